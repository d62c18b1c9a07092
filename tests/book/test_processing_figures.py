"""What the page on processing says of each step follows from the step."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tssmnet.book import processing_figures as drawn
from tssmnet.twin.world import tvdi_windows


def test_three_of_five_made_up_values_are_screened_out() -> None:
    table = drawn.screening_table()
    assert table["after"].isna().tolist() == [False, True, False, True, True]
    assert table["flag"].tolist()[:3] == ["0000", "0001", "1000"]


def test_clear_and_cloudy_days_are_scored_apart() -> None:
    true = np.zeros((5, 1))
    clear = np.array([[1.0], [np.nan], [np.nan], [np.nan], [5.0]])
    filled = np.array([[1.0], [2.0], [2.0], [2.0], [5.0]])
    errors = drawn.temperature_errors(clear, filled, true)
    assert errors.away.ravel().tolist() == [0, 1, 2, 1, 0]
    scores = drawn.temperature_scores(errors)
    assert scores.loc["cloudy"].tolist() == pytest.approx([60, 2, 2, np.sqrt((4 + 9 + 16) / 3)])
    assert scores.loc["clear", "rmse"] == pytest.approx(np.sqrt(13))


def test_the_edges_run_through_the_hottest_and_the_coolest_cells() -> None:
    greenness = np.repeat(np.arange(0.1, 0.5, 0.1) + 0.025, 3)
    cells = pd.DataFrame({"ndvi": greenness, "temperature": np.tile([300.0, 305, 310], 4) - 10 * greenness})
    edges = drawn.triangle_edges(cells)
    assert edges["dry edge"] == pytest.approx([310, -10])
    assert edges["wet edge"] == pytest.approx([300, -10])
    assert drawn.triangle_edges(cells[:6]) == {}


def test_a_triangle_has_the_cells_of_one_window_at_sea_level() -> None:
    lon, height = np.array([100.0, 101.0, 120.0]), np.array([0.0, 1000.0, 0.0])
    values = {name: ("pixel", np.full(3, 300.0)) for name in ("lst", "ndvi", "tvdi")}
    today = xr.Dataset(
        {**values, "dem": ("pixel", height)}, {"lon": ("pixel", lon), "lat": ("pixel", np.full(3, 30.0))}
    )
    window = tvdi_windows(lon, today["lat"].values)
    cells = drawn.triangle_cells(today, today["lst"], 0)
    assert len(cells) == (window == window[0]).sum() == 2
    assert cells["temperature"].tolist() == [300.0, 305.5]


def test_the_mean_height_stays_and_each_class_has_its_share() -> None:
    hills = drawn.two_hills()
    fine, coarse = hills["height (m)"]
    assert (fine.shape, coarse.shape) == ((60, 60), (5, 5))
    assert fine.mean() == pytest.approx(coarse.mean())
    assert drawn.kept_classes(hills).sum().tolist() == pytest.approx([100, 100])
