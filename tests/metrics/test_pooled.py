"""Station-days pooled as in the paper's Table 4, with intervals and ranks."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from tssmnet import metrics
from tssmnet.book.stations import errors_of_means, on_cells
from tssmnet.errors import TssmnetError
from tssmnet.metrics import pooled
from tssmnet.metrics.stations import StationsError, match, readings

DAYS = pd.date_range("2016-01-01", periods=30)


@pytest.fixture(scope="module")
def product():
    """Two synthetic products on four cells; the second is 0.05 wetter and has a hole."""
    first = np.random.default_rng(1).uniform(0.1, 0.4, (30, 4))
    second = first + 0.05
    second[3, 2] = np.nan
    return xr.DataArray(
        np.stack([first, second]),
        dims=("product", "time", "pixel"),
        coords={
            "product": ["a", "b"], "time": DAYS,
            "lat": ("pixel", [30.0, 30, 31, 31]), "lon": ("pixel", [100.0, 101, 100, 101]),
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def stations(product):
    """Synthetic: two stations in cell 2, one in cell 1 and one far from all; flags as the twin gives them."""
    values = np.stack(
        [product.values[0, :, 2], product.values[0, :, 2] + 0.02, product.values[0, :, 1], np.full(30, 0.2)], 1
    )
    flags = np.zeros((30, 4), np.int8)
    flags[5, 0] = 1
    return xr.Dataset(
        {
            "soil_moisture": (("time", "station"), values),
            "soil_moisture_flag": (
                ("time", "station"), flags, {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "G D01"},
            ),
        },
        {
            "time": DAYS, "station": ["N/a", "N/b", "M/c", "M/far"], "network": ("station", ["N", "N", "M", "M"]),
            "lat": ("station", [31.02, 30.95, 30.01, 50.0]), "lon": ("station", [100.0, 100.1, 101.0, 100.0]),
        },
    )  # fmt: skip


def test_a_reading_meets_the_product_of_its_cell_and_day(product, stations):
    table = match(product, stations)
    assert set(table["station"]) == {"N/a", "N/b", "M/c"}
    exact = table[table["station"].isin(["N/a", "M/c"])]
    assert np.allclose(exact["reading"], exact["a"])
    assert set(table.loc[table["station"] == "N/b", "pixel"]) == {2}


def test_flagged_readings_are_left_out(product, stations):
    table = match(product, stations)
    assert len(table) == 3 * 30 - 1
    assert len(match(product, stations, good=("G", "D01"))) == 3 * 30


def test_a_day_without_product_stays_in_the_table_as_nan(product, stations):
    table = match(product, stations)
    hole = table[(table["time"] == DAYS[3]) & (table["pixel"] == 2)]
    assert hole["b"].isna().all()
    assert hole["a"].notna().all()


def test_stations_of_one_cell_can_be_averaged(product, stations):
    table = match(product, stations, by_cell=True)
    assert len(table) == 2 * 30
    both = table[(table["pixel"] == 2) & (table["stations"] == 2)]
    assert len(both) == 29
    assert np.allclose(both["reading"], both["a"] + 0.01)


def test_one_product_needs_no_product_dimension(product, stations):
    table = match(product.sel(product="a", drop=True).rename("ssm"), stations)
    assert "ssm" in table


def test_stations_without_soil_moisture_are_refused(stations):
    with pytest.raises(StationsError, match="soil_moisture_flag"):
        readings(stations.drop_vars("soil_moisture_flag"))


def test_products_and_stations_of_other_years_are_refused(product, stations):
    with pytest.raises(TssmnetError, match="no day in common"):
        match(product.assign_coords(time=DAYS + pd.Timedelta(days=900)), stations)


pairs = st.lists(st.tuples(st.floats(0.01, 0.6), st.floats(0.01, 0.6)), min_size=6, max_size=40)


@given(pairs)
def test_scores_from_sums_are_those_of_the_metrics(values):
    x, y = np.array(values).T
    x = x + np.linspace(0, 0.1, len(x))  # not constant
    y = y + np.linspace(0, 0.1, len(y)) ** 2
    found = pooled.scores_from(pooled.sums_by_place(x, y, np.arange(len(x)) % 3, 3).sum(0))
    for name in ("bias", "rmse", "ubrmse", "slope", "r"):
        assert found[name] == pytest.approx(metrics.METRICS[name].function(x, y), abs=1e-6)
    assert found["count"] == len(x)


def test_constant_sides_have_no_correlation():
    found = pooled.scores_from(pooled.sums_by_place([0.1, 0.1, 0.1], [0.1, 0.2, 0.3], 0, 1))
    assert np.isnan(found["r"]).all()
    assert np.isnan(found["slope"]).all()


def test_the_table_of_the_paper_has_its_columns_and_intervals_hold_the_score(product, stations):
    table = pooled.pooled_table(pooled.station_sums(match(product, stations), ["a", "b"]))
    assert [c for c in table if "_" not in c] == list(pooled.TABLE_4)
    assert table.loc["b", "bias"] - table.loc["a", "bias"] == pytest.approx(0.05, abs=2e-3)
    assert (table["rmse_low"] <= table["rmse"]).all()
    assert (table["rmse"] <= table["rmse_high"]).all()
    assert table["count"].tolist() == [89, 87]


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(8)
    inside = 0
    for seed in range(120):
        offset = 0.05 * rng.standard_normal(40)
        x = rng.uniform(0.1, 0.4, (20, 40))
        row = pooled.pooled_table(
            {"p": pooled.sums_by_place(x, x + offset, np.arange(40), 40)}, resamples=300, seed=seed
        ).loc["p"]
        inside += row["bias_low"] <= 0 <= row["bias_high"]
    assert 0.87 <= inside / 120 <= 0.99


def test_days_of_one_place_count_as_one_draw():
    x = np.tile(np.linspace(0.1, 0.4, 50)[:, None], (1, 10))
    offset = np.linspace(-0.1, 0.1, 10)
    by_place = pooled.pooled_table({"p": pooled.sums_by_place(x, x + offset, np.arange(10), 10)}).loc["p"]
    by_day = pooled.pooled_table({"p": pooled.sums_by_place(x.ravel(), (x + offset).ravel(), np.arange(500), 500)}).loc[
        "p"
    ]
    assert by_place["bias_high"] - by_place["bias_low"] > 4 * (by_day["bias_high"] - by_day["bias_low"])


def test_a_field_known_everywhere_gives_the_same_scores_as_its_pairs(product):
    reference = product.sel(product="a").values - 0.01
    sums = pooled.field_sums(reference, product)
    assert pooled.pooled_table(sums)["bias"].tolist() == pytest.approx([0.01, 0.06])
    where = np.zeros(reference.shape, bool)
    where[:10] = True
    assert pooled.pooled_table(pooled.field_sums(reference, product, where))["count"].tolist() == [40, 39]
    assert len(pooled.field_sums(reference, product, degrees=5.0)["a"]) == 1


def test_the_best_of_a_score_is_nearest_to_its_best_value():
    table = pd.DataFrame(
        {"rmse": [0.1, 0.05, 0.2], "slope": [1.3, 0.8, 0.9], "bias": [-0.01, 0.02, 0.0]}, index=list("abc")
    )
    assert pooled.ranking(table).tolist() == [2, 1, 3]
    assert pooled.ranking(table, "slope").tolist() == [3, 2, 1]
    assert pooled.ranking(table, "bias").tolist() == [2, 3, 1]


def test_a_clear_winner_wins_every_draw_and_equals_share():
    rng = np.random.default_rng(5)
    x = rng.uniform(0.1, 0.4, (60, 12))
    noise = rng.standard_normal((3, 60, 12))
    place = np.arange(12)
    sums = {
        "good": pooled.sums_by_place(x, x + 0.01 * noise[0], place, 12),
        "even": pooled.sums_by_place(x, x + 0.05 * noise[1], place, 12),
        "same": pooled.sums_by_place(x, x + 0.05 * noise[2], place, 12),
    }
    ranks = pooled.resampled_ranks(sums)
    assert ranks.loc["good", ["rank", "rank_low", "rank_high", "first"]].tolist() == [1, 1, 1, 1.0]
    assert ranks.loc["even", "rank_low"] == 2
    assert ranks.loc["even", "rank_high"] == 3


def test_rankings_agree_by_kendalls_tau():
    first = pd.Series([1, 2, 3, 4], index=list("abcd"))
    assert pooled.agreement(first, first) == 1
    assert pooled.agreement(first, 5 - first) == -1
    assert np.isnan(pooled.agreement(first, first[:1]))


def test_cells_inside_a_coarser_cell_are_averaged_and_the_nearest_serves_elsewhere():
    field = xr.DataArray(
        [[0.1, 0.3, 0.5], [np.nan, 0.3, 0.5]],
        dims=("time", "pixel"),
        coords={"lat": ("pixel", [30.05, 30.20, 31.0]), "lon": ("pixel", [100.1, 100.2, 101.0])},
    )
    like = xr.Dataset(coords={"lat": ("pixel", [30.125, 30.7]), "lon": ("pixel", [100.125, 100.9])})
    assert on_cells(field, like).tolist() == [pytest.approx([0.2, 0.5]), pytest.approx([0.3, 0.5])]


def test_no_common_pair_is_an_error(product):
    with pytest.raises(TssmnetError, match="reference has one"):
        pooled.pooled_table(pooled.field_sums(np.full((30, 4), np.nan), product))


def test_the_mean_of_more_stations_is_nearer_to_their_cell():
    rng = np.random.default_rng(9)
    cell = rng.uniform(0.1, 0.4, (40, 2))
    readings = np.repeat(cell, 10, axis=1) + 0.08 * rng.standard_normal(20)
    values = xr.DataArray(readings, dims=("time", "station"))
    table = errors_of_means(values, np.repeat([0, 1], 10), {"truth": cell})
    assert table["truth"].is_monotonic_decreasing
    assert table.attrs["cells"] == 2


def test_without_a_crowded_cell_there_is_no_curve():
    values = xr.DataArray(np.full((5, 3), 0.2), dims=("time", "station"))
    assert errors_of_means(values, np.arange(3), {"truth": np.full((5, 3), 0.2)})["truth"].isna().all()
