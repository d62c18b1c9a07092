"""Gap-free cubes: what is kept, what is filled, what is said about it."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import xarray as xr

from tssmnet.cube import SOURCE_FLAGS, CubeError, check_cube, open_dataset, predictable, write_dataset
from tssmnet.errors import TssmnetError, UnknownNameError
from tssmnet.gaps import simulate_gaps
from tssmnet.metrics.scores import rmse
from tssmnet.models import MODELS
from tssmnet.reconstruction.fitted import choose
from tssmnet.reconstruction.memory import reconstruct
from tssmnet.testing import mock_cube

TREES = {"model": "xgboost", "rounds": 40, "depth": 4}


@pytest.fixture(scope="module")
def cube():
    """Synthetic, with one pixel that was never observed."""
    made = mock_cube(days=150, pixels=8, seed=1)
    made["ssm"][:, 3] = np.nan
    return made


@pytest.fixture(scope="module")
def filled(cube):
    return reconstruct(cube, **TREES)


def test_observed_values_are_kept_bit_for_bit(cube, filled):
    seen = cube["ssm"].notnull().values
    assert filled["ssm"].dtype == cube["ssm"].dtype
    assert np.array_equal(filled["ssm"].values[seen].view("i4"), cube["ssm"].values[seen].view("i4"))
    wide = cube.assign(ssm=cube["ssm"].astype("f8", keep_attrs=True) + 1e-12)
    wide["ssm"].attrs = cube["ssm"].attrs
    kept = reconstruct(wide, "climatology")["ssm"].values[seen]
    assert np.array_equal(kept, wide["ssm"].values[seen])


def test_no_gap_is_left_and_the_source_says_which_is_which(cube, filled):
    assert not filled["ssm"].isnull().any()
    assert not filled["ssm_model"].isnull().any()
    observed = cube["ssm"].notnull().values
    assert np.array_equal(filled["source"].values == SOURCE_FLAGS["observed"], observed)
    assert np.array_equal(filled["source"].values == SOURCE_FLAGS["filled"], ~observed)
    gaps = ~observed
    assert np.array_equal(filled["ssm"].values[gaps], filled["ssm_model"].values[gaps])


def test_a_model_learns_from_no_more_rows_than_asked_for(cube, filled):
    first, again, other = (reconstruct(cube, **TREES, rows=50, seed=s)["ssm_model"] for s in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)
    assert reconstruct(cube, **TREES, rows=10**6)["ssm_model"].equals(filled["ssm_model"])
    with pytest.raises(TssmnetError, match="rows must be a whole number from 0 on"):
        reconstruct(cube, **TREES, rows=0.8)
    assert choose("filler", None, {}, 0, "cpu", rows=50).params["rows"] == 50  # a setting of its own


def test_the_filled_values_are_near_the_truth(cube, filled):
    truth = mock_cube(days=150, pixels=8, seed=1, observed=1.0)["ssm"]
    gaps = cube["ssm"].isnull() & cube["ssm"].notnull().any("time")
    error = rmse(truth.where(gaps), filled["ssm"].where(gaps))
    flat = rmse(truth.where(gaps), xr.full_like(truth, float(cube["ssm"].mean())).where(gaps))
    assert error < 0.6 * flat


def test_a_pixel_never_observed_is_served_without_descriptors(cube):
    # the two models are told apart by what they know: the plain one alone is what a set without descriptors gives
    with_descriptors = reconstruct(cube, features="lag+desc", **TREES)["ssm_model"].values
    without = reconstruct(cube, features="lag", **TREES)["ssm_model"].values
    assert np.array_equal(with_descriptors[:, 3], without[:, 3])
    assert not np.array_equal(with_descriptors[:, 2], without[:, 2])


def test_days_without_any_predictor_are_outside():
    cube = mock_cube(days=80, pixels=4)
    day = int(np.flatnonzero(cube["ssm"].isnull().values[20:, 1])[0]) + 20
    for name in ("precipitation", "air_temperature"):
        cube[name][day, 1] = np.nan
    cube["precipitation"][5, 0] = np.nan  # one of the two is there
    assert predictable(cube).sum() == 80 * 4 - 1
    filled = reconstruct(cube, **TREES)
    assert filled["source"].values[day, 1] == SOURCE_FLAGS["outside"]
    assert np.isnan(filled["ssm"].values[day, 1])
    assert int((filled["source"] == SOURCE_FLAGS["outside"]).sum()) == 1


@pytest.mark.parametrize("name", [n for n, spec in MODELS.items() if spec.kind == "baseline"])
def test_each_baseline_fills_every_gap(cube, name):
    assert not reconstruct(cube, name)["ssm"].isnull().any()


@pytest.mark.parametrize("name", [n for n, spec in MODELS.items() if spec.kind == "network"])
def test_each_network_fills_every_gap(name):
    cube = mock_cube(days=60, pixels=4)
    filled = reconstruct(cube, name, epochs=1)
    assert not filled["ssm"].isnull().any()
    assert 0 <= float(filled["ssm_model"].min()) <= float(filled["ssm_model"].max()) <= 1


def test_blocks_hidden_from_a_cube_are_filled_again():
    cube = mock_cube(days=120, pixels=5, observed=0.8)
    hidden = simulate_gaps(cube["ssm"].notnull().values, "blocks", seed=1)
    filled = reconstruct(cube.assign(ssm=cube["ssm"].where(~hidden)), **TREES)
    assert not filled["ssm"].isnull().any()
    assert (filled["source"].values[hidden] == SOURCE_FLAGS["filled"]).all()


def test_a_grid_stays_a_grid():
    cube = mock_cube(days=60, shape=(2, 3))
    filled = reconstruct(cube, "climatology")
    assert filled["ssm"].dims == ("time", "y", "x")
    assert filled["source"].dims == ("time", "y", "x")
    xr.testing.assert_equal(filled["lat"], cube["lat"])
    seen = cube["ssm"].notnull()
    assert bool((filled["ssm"] == cube["ssm"]).where(seen, True).all())
    same = reconstruct(cube.chunk(time=7), "climatology")
    xr.testing.assert_equal(filled, same)


def test_a_filled_cube_is_a_cube_again(filled):
    check_cube(filled.drop_vars(["ssm_std"], errors="ignore"))


def test_the_input_is_left_as_it_was(cube):
    before = cube.copy(deep=True)
    reconstruct(cube, "linear")
    xr.testing.assert_identical(cube, before)


def test_the_seed_decides(cube, filled):
    xr.testing.assert_equal(filled, reconstruct(cube, **TREES))
    assert not filled.equals(reconstruct(cube, seed=1, **TREES))


def test_how_it_was_made_stands_in_the_attributes(cube, filled):
    attrs = filled.attrs
    assert attrs["Conventions"] == "CF-1.11"
    assert attrs["tssmnet_model"] == "xgboost"
    assert attrs["tssmnet_seed"] == 0
    parameters = json.loads(attrs["tssmnet_parameters"])
    assert parameters["rounds"] == 40
    assert parameters["features"] == {"memory": True, "descriptors": "full"}
    assert len(attrs["tssmnet_input_sha256"]) == 64
    assert attrs["synthetic"] == "true"
    changed = cube.copy(deep=True)
    changed["ssm"][0, 0] = 0.123
    other = reconstruct(changed, "linear").attrs["tssmnet_input_sha256"]
    assert other != attrs["tssmnet_input_sha256"]


def test_variables_bear_cf_attributes(filled):
    assert filled["ssm"].attrs["standard_name"] == "volume_fraction_of_condensed_water_in_soil"
    assert filled["ssm"].attrs["units"] == "m3 m-3"
    assert filled["ssm"].attrs["ancillary_variables"] == "source"
    assert "cell_methods" in filled["ssm"].attrs
    assert filled["source"].attrs["flag_meanings"] == " ".join(SOURCE_FLAGS)
    assert [*SOURCE_FLAGS][:3] == ["observed", "filled", "outside"]
    assert filled["source"].attrs["flag_values"].dtype == filled["source"].dtype
    assert filled["time"].attrs["standard_name"] == "time"


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_what_is_written_reads_back_the_same(filled, tmp_path, suffix):
    back = open_dataset(write_dataset(filled, tmp_path / f"filled{suffix}")).load()
    xr.testing.assert_equal(back, filled)
    assert back.attrs["tssmnet_parameters"] == filled.attrs["tssmnet_parameters"]
    assert back["source"].dtype == np.int8


@pytest.mark.skipif(shutil.which("ncdump") is None, reason="ncdump is not installed")
def test_ncdump_shows_flags_and_no_fill_value_on_coordinates(filled, tmp_path):
    path = write_dataset(filled, tmp_path / "filled.nc")
    header = subprocess.run(["ncdump", "-h", str(path)], check=True, capture_output=True, text=True).stdout
    assert f'source:flag_meanings = "{" ".join(SOURCE_FLAGS)}"' in header
    assert f"source:flag_values = {', '.join(f'{v}b' for v in SOURCE_FLAGS.values())}" in header
    assert "lat:_FillValue" not in header
    assert 'time:units = "days since 1970-01-01' in header


def test_bytes_are_reproducible_when_the_date_is_given(cube, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    paths = [write_dataset(reconstruct(cube, "linear"), tmp_path / f"{i}.nc") for i in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"model": "tsmnet"}, "unknown model 'tsmnet'; did you mean 'tssmnet'"),
        ({"model": "rf", "features": "lagg"}, "unknown feature set 'lagg'; did you mean 'lag'"),
        ({"model": "rf", "features": {"memry": True}}, "unknown option of the features 'memry'"),
        ({"model": "xgboost", "rouns": 3}, "unknown parameter of xgboost 'rouns'; did you mean 'rounds'"),
    ],
)
def test_unknown_names_are_refused(cube, call, message):
    with pytest.raises(UnknownNameError, match=message):
        reconstruct(cube, **call)


def test_what_is_no_cube_is_refused(cube):
    with pytest.raises(CubeError, match="lat: the coordinate is missing"):
        reconstruct(cube.drop_vars("lat"))
