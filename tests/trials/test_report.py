"""The page about a filled cube holds what the cube holds, and the scores on it are those of what was hidden."""

import base64
import json
import re
import zlib

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import norm
from sklearn.metrics import mean_pinball_loss

from tssmnet import cli, reconstruct
from tssmnet.cube import write_cube, write_dataset
from tssmnet.errors import TssmnetError
from tssmnet.testing import mock_cube
from tssmnet.trials.own_gaps import (
    compact,
    hidden_values,
    hold_back,
    recipe_of,
    require_same,
    score_table,
)
from tssmnet.trials.report import NONE_16, SSM_STEP, cell_degrees, page_of, thinned

QUANTILES = {"ssm_lower": 0.05, "ssm_q25": 0.25, "ssm_model": 0.5, "ssm_q75": 0.75, "ssm_upper": 0.95}


@pytest.fixture(scope="module")
def cube():
    return mock_cube(days=60, pixels=6)


@pytest.fixture(scope="module")
def filled(cube):
    return reconstruct(cube, model="climatology")


@pytest.fixture
def files(cube, filled, tmp_path):
    return write_cube(cube, tmp_path / "cube.zarr"), write_dataset(filled, tmp_path / "filled.nc")


def held_values(page):
    """What the page's script reads, by another way."""
    about = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.S)[1])
    raw = np.frombuffer(zlib.decompress(base64.b64decode(re.search(r'type="text/plain">(.*?)<', page)[1])), np.uint8)
    planes = raw.reshape(-1, len(about["lat"]), about["days"])
    return about, planes[0] + planes[1].astype(np.uint16) * 256, planes[2]


def test_the_page_holds_every_value_and_needs_nothing_from_elsewhere(filled):
    page = page_of(filled, "filled <&>.zarr")
    about, ssm, source = held_values(page)
    assert np.abs(ssm.T * SSM_STEP - filled.ssm.values).max() <= SSM_STEP / 2 + 1e-6
    assert np.array_equal(source.T, filled.source.values)
    assert about["first"] == str(filled.time.values[0])[:10]
    assert "filled &lt;&amp;&gt;.zarr" in page
    assert not re.search(r'(src|href)="(?!data:)|url\(|@import|fetch\(|@@', page)


def test_what_is_missing_stays_missing_on_the_page(filled):
    _, ssm, _ = held_values(page_of(filled.assign(ssm=filled.ssm.where(filled.pixel != 2)), "x"))
    assert (ssm[2] == NONE_16).all()
    assert (ssm[1] != NONE_16).all()


def test_a_large_map_is_thinned_along_both_sides_and_a_long_record_in_days():
    lat, lon = np.repeat(np.arange(300.0), 400), np.tile(np.arange(400.0), 300)
    places, every = thinned(lat, lon, 365)
    assert len(places) * 365 / every <= 2_500_000
    assert len(np.unique(lat[places])) > 50
    assert len(thinned(lat[:10], lon[:10], 365)[0]) == 10
    assert thinned(np.arange(100.0), np.arange(100.0), 100_000)[1] == 4


def test_cells_are_as_large_as_rows_and_columns_lie_apart():
    assert cell_degrees(np.repeat([1.0, 1.5, 2.0], 4), np.tile([0.0, 0.1, 0.2, 0.3], 3)) == [0.5, 0.1]
    rng = np.random.default_rng(0)
    height, width = cell_degrees(rng.uniform(0, 10, 100), rng.uniform(0, 10, 100))
    assert height == width == pytest.approx(1, rel=0.1)


def test_scores_are_those_of_the_hidden_observations(cube, filled):
    hidden = hold_back(cube, recipe_of(filled), least=1)
    table = score_table(hidden)
    assert 0 < len(hidden) < int(cube.ssm.count())
    assert np.isin(hidden.observed.astype("f4"), cube.ssm.values).all()
    error = (hidden.ssm_model - hidden.observed).to_numpy()
    assert table.loc[("", "all"), "rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    for by, group in table.groupby(level="by"):
        assert group["n"].sum() == len(hidden), by


def test_a_short_record_hides_three_times(cube, filled):
    assert len(hold_back(cube, recipe_of(filled))) > 2 * len(hold_back(cube, recipe_of(filled), least=1))


def test_coverage_and_crps_are_those_of_a_known_distribution():
    rng, stated = np.random.default_rng(0), {n: norm.ppf(q) for n, q in QUANTILES.items()}
    time = pd.date_range("2020-01-01", periods=400)
    record = xr.DataArray(rng.normal(size=(400, 5)), {"time": time}, ("time", "pixel"))
    filled = xr.Dataset({n: xr.full_like(record, v) for n, v in stated.items()})
    hidden = hidden_values(record, filled, rng.random((400, 5)) < 0.9)
    scores = score_table(hidden).loc[("", "all")]
    losses = [mean_pinball_loss(hidden.observed, hidden[n], alpha=q) for n, q in QUANTILES.items()]
    assert scores["coverage"] == pytest.approx(0.9, abs=0.03)
    assert scores["crps"] == pytest.approx(2 * np.mean(losses))
    assert scores["width"] == pytest.approx(2 * norm.ppf(0.95))


def test_hidden_observations_are_grouped_by_what_was_left():
    record = xr.DataArray(np.ones((6, 2)), {"time": pd.date_range("2020-05-29", periods=6)}, ("time", "pixel"))
    hidden = np.zeros((6, 2), bool)
    hidden[2], hidden[3, 0] = True, True
    rows = hidden_values(record, xr.Dataset({"ssm_model": record}), hidden)
    assert rows["days to the nearest observation"].tolist() == ["1"] * 3
    assert rows["cells seen that day"].tolist() == ["none", "none", "up to half"]
    assert rows["season"].tolist() == ["March to May"] * 2 + ["June to August"]


def test_a_compact_part_of_a_map_lies_together():
    big = mock_cube(days=3, pixels=50)
    chosen = compact(big, 10)
    assert len(chosen) == 10
    assert float(np.ptp(big.lat.values[chosen])) < float(np.ptp(big.lat.values))
    assert len(compact(big, 100)) == 50


def test_the_command_writes_one_page_and_says_how_large_it_is(files, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert cli.main(["report", str(files[1]), str(out), "--cube", str(files[0])]) == 0
    assert "MB" in capsys.readouterr().out
    assert "were hidden in the shape of the record" in out.read_text()
    assert cli.main(["report", str(files[1]), str(out)]) == 0
    assert "Name the cube that was filled" in out.read_text()


def test_what_is_wrong_is_one_line_and_nothing_is_replaced(files, tmp_path, capsys):
    notes = tmp_path / "notes.html"
    notes.write_text("mine")
    other = write_cube(mock_cube(days=60, pixels=6, seed=5), tmp_path / "other.zarr")
    for arguments, message in (
        ([files[1], notes], "is no report of this program"),
        ([files[1], tmp_path / "page.pdf"], "must end in .html"),
        ([files[0], tmp_path / "page.html"], "does not say how it was filled"),
        ([files[1], tmp_path / "page.html", "--cube", other], "are not those of the filled cube"),
    ):
        assert cli.main(["report", *map(str, arguments)]) == 2
        assert message in capsys.readouterr().err
    assert notes.read_text() == "mine"
    assert not (tmp_path / "page.html").exists()


def test_a_cube_of_other_days_is_not_the_one_that_was_filled(cube, filled):
    with pytest.raises(TssmnetError, match="or other days"):
        require_same(cube.isel(time=slice(1, None)), filled)
