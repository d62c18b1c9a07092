"""Figures say what they are, where they come from, and look the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from tssmnet import figures
from tssmnet.errors import UnknownNameError
from tssmnet.testing import mock_cube


@pytest.fixture(autouse=True)
def _no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    # the outline of a made-up island: these tests read no data
    monkeypatch.setattr(
        figures, "land_outline", lambda tolerance=0.0: (np.array([[-100.0, 40.0], [-99, 40], [-99, 41]]),)
    )


def test_an_unknown_quantity_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'difference'"):
        figures.quantity_of("diference")


def test_a_quantity_keeps_its_range_whatever_the_data() -> None:
    low, high = figures.limits_of(figures.quantity_of("ssm"), np.array([0.0, 0.9]))
    assert (low, high) == (0.02, 0.5)


def test_differences_are_drawn_symmetrically() -> None:
    for quantity in figures.QUANTITIES.values():
        if quantity.symmetric:
            assert quantity.low == -(quantity.high or 0)


def test_open_ranges_ignore_missing_values() -> None:
    low, high = figures.limits_of(figures.quantity_of("any"), np.array([np.nan, 1.0, 3.0]))
    assert 1 <= low < high <= 3


@pytest.mark.parametrize("space", [{"pixels": 6}, {"shape": (3, 4)}])
def test_a_cube_of_pixels_and_a_cube_of_a_grid_are_both_mapped(space: dict[str, object]) -> None:
    field = mock_cube(days=5, **space).ssm.mean("time")
    fig = figures.map_fields({"a": field, "b": field}, "ssm")
    assert len(fig.axes) == 3, "two maps and one colour bar"
    assert figures.png_of(fig)[:4] == b"\x89PNG"


def test_synthetic_data_are_marked_on_the_figure_itself() -> None:
    field = mock_cube(days=5, pixels=6).ssm.mean("time")
    fig = figures.map_fields({"": field}, synthetic=True)
    assert any("SYNTHETIC" in text.get_text() for text in fig.texts)


def test_the_same_figure_gives_the_same_bytes() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random(500), rng.random(500)
    assert figures.png_of(figures.density_scatter(x, y)) == figures.png_of(figures.density_scatter(x, y))


def test_show_gives_alternative_text_caption_provenance_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.pyplot as plt

    seen: list[tuple[dict[str, str], dict[str, object]]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, metadata, raw: seen.append((data, metadata)))
    fig = figures.density_scatter(np.arange(9.0), np.arange(9.0))
    figures.show(fig, "Dots <on> a line", made_by=figures.density_scatter, alt="a diagonal", name="fig-dots")
    (data, metadata), *_ = seen
    assert 'alt="a diagonal"' in data["text/html"]
    assert "Dots &lt;on&gt; a line" in data["text/html"]
    assert "tssmnet.figures.density_scatter" in data["text/html"]
    assert metadata == {"scrapbook": {"name": "fig-dots", "mime_prefix": ""}}
    assert not plt.fignum_exists(fig.number)
