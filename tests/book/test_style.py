"""Figures say what they are, where they come from, and look the same each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tssmnet.book import maps, page, plots
from tssmnet.book.page import Page, png_of
from tssmnet.book.style import QUANTITIES, limits_of, quantity_of
from tssmnet.errors import UnknownNameError
from tssmnet.testing import mock_cube


@pytest.fixture(autouse=True)
def _no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    # the outline of a made-up island: these tests read no data
    monkeypatch.setattr(maps, "land_outline", lambda tolerance=0.0: (np.array([[-100.0, 40.0], [-99, 40], [-99, 41]]),))


def a_figure() -> Any:
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    ax.plot(np.arange(9.0), np.arange(9.0), "o")
    return fig


def test_an_unknown_quantity_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'difference'"):
        quantity_of("diference")


def test_a_quantity_keeps_its_range_whatever_the_data() -> None:
    low, high = limits_of(quantity_of("ssm"), np.array([0.0, 0.9]))
    assert (low, high) == (0.02, 0.5)


def test_differences_are_drawn_symmetrically() -> None:
    assert QUANTITIES["difference"].low == -(QUANTITIES["difference"].high or 0)


def test_open_ranges_ignore_missing_values() -> None:
    low, high = limits_of(quantity_of("any"), np.array([np.nan, 1.0, 3.0]))
    assert 1 <= low < high <= 3


@pytest.mark.parametrize("space", [{"pixels": 6}, {"shape": (3, 4)}])
def test_a_cube_of_pixels_and_a_cube_of_a_grid_are_both_mapped(space: dict[str, object]) -> None:
    field = mock_cube(days=5, **space).ssm.mean("time")
    fig = maps.map_fields({"a": field, "b": field}, "ssm")
    assert len(fig.axes) == 3, "two maps and one colour bar"
    assert png_of(fig)[:4] == b"\x89PNG"


def test_a_place_is_a_share_of_the_map() -> None:
    cube = xr.Dataset(coords={"lon": ("pixel", [80.0, 100.0, 120.0]), "lat": ("pixel", [20.0, 40.0, 30.0])})
    assert maps.pixels_near(cube, [1.0, 0.5]).tolist() == [2]
    assert maps.pixels_near(cube, [0.0, 0.0], 2).tolist() == [0, 1]


def test_the_same_figure_gives_the_same_bytes() -> None:
    assert png_of(a_figure()) == png_of(a_figure())


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Metadata of what a page displays, with its HTML."""
    seen: list[dict[str, Any]] = []

    def record(data: dict[str, str], metadata: dict[str, Any] | None = None, raw: bool = False) -> None:
        seen.append({**(metadata or {}), "html": data.get("text/html", "")})

    monkeypatch.setattr("IPython.display.display", record)
    return seen


def test_a_figure_is_shown_with_its_name_and_provenance_and_closed(displayed: list[dict[str, Any]]) -> None:
    import matplotlib.pyplot as plt

    fig = a_figure()
    Page("3.1-training", "conus").show(fig, "fig-dots", made_by=plots.plot_series)
    record = displayed[-1]["tssmnet"]
    assert (record["kind"], record["name"], record["synthetic"]) == ("figure", "fig-dots", False)
    assert "book/3.1-training.ipynb · tssmnet.book.plots.plot_series · profile conus" in record["provenance"]
    assert not plt.fignum_exists(fig.number)
    assert fig.texts == []


def test_on_the_twin_every_figure_and_table_says_that_it_is_synthetic(displayed: list[dict[str, Any]]) -> None:
    fig, page = a_figure(), Page("3.1-training", "twin")
    page.show(fig, "fig-dots")
    page.table(pd.DataFrame({"a": [1]}), "table-a")
    assert [shown["tssmnet"]["synthetic"] for shown in displayed if "tssmnet" in shown] == [True, True]
    assert "Synthetic twin." in displayed[-1]["html"]
    assert [text.get_text() for text in fig.texts] == ["SYNTHETIC TWIN"]


def test_what_is_real_on_a_page_of_the_twin_is_not_marked(displayed: list[dict[str, Any]]) -> None:
    Page("3.1-training", "twin").table(pd.DataFrame({"a": [1]}), "table-paper", synthetic=False)
    assert "Synthetic" not in displayed[-1]["html"]


def test_maps_of_the_twin_read_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_PAGE", Page("3.1-training", "twin"))
    monkeypatch.setattr(maps, "land_outline", None)
    rings = maps.outline()
    assert all(np.array_equal(ring[0], ring[-1]) for ring in rings)


def test_pixels_of_a_lattice_are_drawn_as_their_cells() -> None:
    lon, lat = np.meshgrid([100.0, 100.4, 100.8], [30.0, 30.3])
    kept = np.array([0, 1, 2, 3, 5])
    coords = {"lon": ("pixel", lon.ravel()[kept]), "lat": ("pixel", lat.ravel()[kept])}
    field = xr.DataArray(kept.astype(float), coords, dims="pixel")
    edges_lon, edges_lat, grid = maps._cells(field)
    np.testing.assert_allclose(edges_lon, [99.8, 100.2, 100.6, 101.0])
    np.testing.assert_allclose(edges_lat, [29.85, 30.15, 30.45])
    np.testing.assert_array_equal(grid, [[0, 1, 2], [3, np.nan, 5]])


def test_scattered_pixels_stay_squares() -> None:
    field = mock_cube(days=5, pixels=6).ssm.mean("time")
    assert maps._cells(field)[2].shape == (6,)
