"""How figures look: quantities with their units, limits and colours, and the style of every figure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tssmnet.errors import require_known

PRODUCT_COLOURS = {
    "smap": "#D55E00",
    "rf": "#E69F00",
    "xgboost": "#009E73",
    "transformer": "#CC79A7",
    "resautonet": "#56B4E9",
    "tssmnet": "#0072B2",
    "truth": "#000000",
    "station": "#999999",
}
"""One colour for each product of Table 4 on all pages, after Okabe and Ito."""


@dataclass(frozen=True)
class Quantity:
    """How a quantity is drawn: label with unit, colour map safe for colour-blind readers, range (None: from data)."""

    label: str
    cmap: str
    low: float | None = None
    high: float | None = None


_SM = "m³ m⁻³"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def pretty_units(units: str) -> str:
    """Units as a reader sees them.

    Examples
    --------
    >>> print(pretty_units("W"), pretty_units("m-2"), pretty_units("1"))
    W m⁻² 1
    """
    raised = re.sub(r"(?<=[A-Za-z])-?\d+", lambda m: m[0].translate(_RAISED), units)
    return raised.replace(" ", "\N{NO-BREAK SPACE}")


def place_name(lat: float, lon: float) -> str:
    """A place in degrees as a reader has it.

    Examples
    --------
    >>> place_name(35.04, -101.26)
    '35.0° N, 101.3° W'
    """
    return f"{abs(lat):.1f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.1f}° {'E' if lon >= 0 else 'W'}"


QUANTITIES: Mapping[str, Quantity] = {
    "ssm": Quantity(f"soil moisture ({_SM})", "YlGnBu", 0.02, 0.5),
    "difference": Quantity(f"difference ({_SM})", "PuOr", -0.1, 0.1),
    "std": Quantity(f"standard deviation ({_SM})", "magma_r", 0.0, 0.1),
    "rmse": Quantity(f"RMSE ({_SM})", "magma_r", 0.0, 0.1),
    "correlation": Quantity("correlation", "cividis", 0.0, 1.0),
    "fraction": Quantity("share of days", "cividis", 0.0, 1.0),
    "coverage": Quantity("share of days observed", "cividis", 0.1, 0.6),
    "count": Quantity("number", "cividis"),
    "days": Quantity("days", "viridis_r", 0.0),
    "temperature": Quantity("temperature (K)", "inferno"),
    "precipitation": Quantity("precipitation (mm d⁻¹)", "Blues", 0.0),
    "height": Quantity("height (m)", "cividis", 0.0, 5500.0),
    "clay": Quantity("clay (%)", "YlOrBr", 0.0, 60.0),
    "sand": Quantity("sand (%)", "YlOrBr", 0.0, 100.0),
    "vegetation": Quantity("vegetation index", "YlGn", 0.0, 0.9),
    "dryness": Quantity("dryness index (TVDI)", "YlOrBr", 0.0, 1.0),
    "any": Quantity("", "viridis"),
}

# Okabe and Ito's colours: told apart by colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")

STYLE: Mapping[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "figure.dpi": 110,
    "savefig.dpi": 130,
    "image.interpolation": "nearest",
}


@contextmanager
def style() -> Iterator[None]:
    """The book's fonts, sizes and colours, for the figures drawn inside the block."""
    import matplotlib as mpl
    from matplotlib.rcsetup import cycler

    settings: Any = {**STYLE, "axes.prop_cycle": cycler(color=COLOURS)}
    with mpl.rc_context(settings):
        yield


@contextmanager
def figure(rows: int = 1, columns: int = 1, **options: Any) -> Iterator[tuple[Any, Any]]:
    """A figure and its axes in the book's style, to be drawn inside the block.

    `options`: of `matplotlib.pyplot.subplots`.
    """
    import matplotlib.pyplot as plt

    with style():
        yield plt.subplots(rows, columns, layout="constrained", **options)


def quantity_of(name: str) -> Quantity:
    """The drawing rules of a quantity, by name."""
    return QUANTITIES[require_known(name, QUANTITIES, "quantity")]


def limits_of(quantity: Quantity, *values: NDArray[Any]) -> tuple[float, float]:
    """The colour range of a quantity; where it leaves an end open, from the 2nd and 98th percentile of the values."""
    joined = np.concatenate([np.asarray(v, float).ravel() for v in values]) if values else np.array([0.0, 1.0])
    finite = joined[np.isfinite(joined)]
    low, high = np.percentile(finite, [2, 98]) if finite.size else (0.0, 1.0)
    low = float(low) if quantity.low is None else quantity.low
    high = float(high) if quantity.high is None else quantity.high
    return low, high if high > low else low + 1.0
