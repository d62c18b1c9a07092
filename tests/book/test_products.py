"""The six products of Table 4, on small cubes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tssmnet.book import products
from tssmnet.book.paper import paper_table
from tssmnet.errors import TssmnetError, UnknownNameError
from tssmnet.models import make_model
from tssmnet.testing import mock_cube

PARAMS = products.product_params(epochs=1, rounds=8, trees=3)


@pytest.fixture(autouse=True)
def shelf(tmp_path, monkeypatch):
    monkeypatch.setenv("TSSMNET_STORE_DIR", str(tmp_path / "store"))


@pytest.fixture
def cube():
    cube = mock_cube(days=60, pixels=6)
    cube["ssm"][:, 2] = np.nan  # a pixel that was never seen
    return cube


def test_the_products_are_the_rows_of_the_papers_table_4():
    titles = [product.title.removesuffix("-derived SSM") for product in products.PRODUCTS.values()]
    assert titles == paper_table(4)["data"].tolist()


def test_smap_is_the_observations(cube):
    np.testing.assert_array_equal(products.filled_product(cube, "smap"), cube["ssm"])


@pytest.mark.parametrize("name", [n for n in products.PRODUCTS if n != "smap"])
def test_a_models_product_is_the_model_on_every_day_of_every_pixel(name, cube):
    filled = products.filled_product(cube, name, params=PARAMS)
    assert filled.dims == ("time", "pixel")
    assert filled.shape == cube["ssm"].shape
    assert bool(((filled >= 0) & (filled <= 1)).all())
    seen = np.isfinite(cube["ssm"].values)
    assert not np.array_equal(filled.values[seen], cube["ssm"].values[seen])


def test_a_pixel_never_seen_gets_the_model_without_descriptors(cube):
    from tssmnet.features.build import build_features

    observed = np.isfinite(cube["ssm"].values)
    features = build_features(cube, observed)
    model = make_model("rf", **PARAMS["rf"]).fit(features.where(observed), cube["ssm"].values[observed])
    expected = model.predict(features.at(np.arange(60), np.full(60, 2)))
    np.testing.assert_allclose(products.filled_product(cube, "rf", params=PARAMS)[:, 2], expected, rtol=1e-6)


def test_a_product_is_computed_once_for_the_same_settings(cube, monkeypatch):
    first = products.filled_product(cube, "xgboost", params=PARAMS, samples=100)
    monkeypatch.setattr("tssmnet.reconstruction.fitted.make_model", None)
    again = products.filled_product(cube.isel(pixel=slice(None)), "xgboost", params=PARAMS, samples=100)
    xr.testing.assert_identical(first.load(), again.load())
    for other in ({"samples": 90}, {"samples": 100, "seed": 1}):
        with pytest.raises(TypeError):
            products.filled_product(cube, "xgboost", params=PARAMS, **other)


def test_products_stand_side_by_side(cube):
    both = products.products(cube, ["smap", "xgboost"], params=PARAMS)
    assert both.dims == ("product", "time", "pixel")
    assert both["product"].values.tolist() == ["smap", "xgboost"]
    np.testing.assert_array_equal(both.sel(product="xgboost"), products.filled_product(cube, "xgboost", params=PARAMS))
    np.testing.assert_array_equal(both["lat"], cube["lat"])


def test_a_day_without_any_predictor_stays_empty(cube):
    for name in ("precipitation", "air_temperature"):
        cube[name][5, 0] = np.nan
    filled = products.filled_product(cube, "rf", params=PARAMS)
    assert np.argwhere(np.isnan(filled.values)).tolist() == [[5, 0]]


def test_wrong_names_are_refused(cube):
    with pytest.raises(UnknownNameError, match="did you mean 'xgboost'"):
        products.filled_product(cube, "xgbost")
    with pytest.raises(UnknownNameError, match="did you mean 'trees'"):
        products.filled_product(cube, "rf", params={"rf": {"tree": 3}})
    with pytest.raises(TssmnetError, match="name one product"):
        products.products(cube, [])
