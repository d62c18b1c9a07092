"""Figures of the results pages: what is drawn is what was given."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tssmnet.book import plots

matplotlib.use("Agg")
TITLES = {"rf": "RF", "tssmnet": "TsSMNet"}


@pytest.fixture(autouse=True)
def _closed():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def test_every_pair_inside_falls_into_one_bin():
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 0.6, (2, 500))
    counts = plots.density_counts(x, y, 0.6, 20)
    assert counts.sum() == 500
    expected = np.histogram2d(x, y, [np.linspace(0, 0.6, 21)] * 2)[0]
    assert np.abs(counts - expected).sum() <= 2  # a value on an edge may round to either side


def test_pairs_with_a_hole_or_outside_are_not_drawn():
    assert plots.density_counts([0.1, np.nan, 0.7, -0.1], [0.1, 0.1, 0.1, 0.1], 0.6, 4).sum() == 1


def test_each_scatter_tells_its_scores_and_draws_its_regression():
    x = np.linspace(0.1, 0.4, 50)
    fig = plots.density_panels({"a": (x, 0.05 + 0.5 * x), "b": (x, x)}, "station")
    first = fig.axes[0]
    assert "slope = 0.50" in first.texts[0].get_text()
    line = first.lines[1]
    assert line.get_ydata() == pytest.approx(0.05 + 0.5 * np.asarray(line.get_xdata()))


def test_ranks_run_downwards_with_the_best_on_top():
    ranks = pd.DataFrame({"stations": [2, 1], "truth": [1, 2]}, index=["rf", "tssmnet"])
    fig = plots.rank_chart(ranks, {"stations": "stations", "truth": "truth"}, TITLES)
    assert fig.axes[0].yaxis_inverted()
    assert [t.get_text() for t in fig.axes[0].get_legend().get_texts()] == ["RF", "TsSMNet"]


def test_stations_and_smap_are_dots_and_products_lines():
    time = pd.date_range("2016-01-01", periods=5)
    series = {
        name: xr.DataArray(np.full(5, 0.2), dims="time", coords={"time": time}) for name in ("station", "rf", "smap")
    }
    fig = plots.station_panels({"N/a": series}, {"station": "station", "rf": "RF", "smap": "SMAP"})
    styles = {line.get_label(): line.get_linestyle() for line in fig.axes[0].lines}
    assert styles == {"station": "None", "RF": "-", "SMAP": "None"}


def test_causes_are_stacked_to_the_whole():
    months = pd.to_datetime(["2016-01-01", "2016-02-01"])
    share = pd.DataFrame({"observed": [0.3, 0.6], "frost": [0.7, 0.4]}, index=months)
    fig = plots.cause_bars(share, {"observed": "0.8", "frost": "0.2"})
    bars = fig.axes[0].patches
    assert max(p.get_y() + p.get_height() for p in bars) == pytest.approx(1.0)
    assert {round(p.get_width()) for p in bars} == {28}  # days


def test_errors_are_drawn_a_panel_for_each_score():
    index = pd.MultiIndex.from_product([["rf", "tssmnet"], ["orbit", "frost"]], names=["product", "label"])
    table = pd.DataFrame({"rmse": [0.1, 0.2, 0.3, 0.4], "bias": [0.0, 0.1, -0.1, 0.0]}, index=index)
    fig = plots.error_dots(table, {"rmse": "RMSE", "bias": "bias"}, ["orbit", "frost"], TITLES)
    assert [ax.get_xlabel() for ax in fig.axes] == ["RMSE", "bias"]
    assert list(fig.axes[0].lines[0].get_xdata()) == [0.1, 0.2]
    assert len(plots.length_lines(table, {"rmse": "RMSE"}, ["orbit", "frost"], TITLES).axes) == 1


def test_a_grid_of_numbers_leaves_cells_without_days_empty():
    values = pd.DataFrame({"winter": [0.05, np.nan], "summer": [0.08, 0.02]}, index=["orbit", "frost"])
    share = pd.DataFrame({"winter": [0.2, 0.0], "summer": [0.3, 0.5]}, index=["orbit", "frost"])
    assert len(plots.number_grid(values, share).axes[0].texts) == 3
