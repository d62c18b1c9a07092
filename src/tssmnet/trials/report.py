"""One page about a filled cube that needs no network: its maps day by day, any cell's series, and how right it is."""

from __future__ import annotations

import base64
import json
import os
import zlib
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cube import NOTES, SOURCE_FLAGS, open_cube, open_dataset, require_ssm, to_pixels
from tssmnet.disk import OutputError, placing
from tssmnet.reconstruction.output import source_counts
from tssmnet.trials.own_gaps import hold_back, recipe_of, require_same, score_table

PIXEL_DAYS = 2_500_000
"""The page holds so many at most, about 8 MB; of more, every second, third ... pixel and day is shown."""

FEWEST_PIXELS = 2000
SSM_STEP, BOUND_STEP, NONE_16, NONE_8 = 0.0005, 0.0025, 65535, 255
"""How finely values (two bytes) and ends of intervals (one byte) are kept, m3 m-3, and what stands for no value."""

MARK = b"<!-- tssmnet report -->"
CAUSES = {
    "observed": "observed",
    "filled": "filled: not seen that day",
    "filled_frozen": "filled: frozen that day",
    "filled_extrapolated": "filled: weather unlike any in training",
    "outside": "left open: nothing to fill it from",
}
COLUMNS = {
    "n": ("values", "{:,.0f}"),
    "rmse": ("RMSE", "{:.4f}"),
    "bias": ("bias", "{:+.4f}"),
    "coverage": ("inside 90 %", "{:.0%}"),
    "width": ("width", "{:.4f}"),
    "crps": ("CRPS", "{:.4f}"),
}
Path_ = str | os.PathLike[str]


def report(
    filled: Path_, out: Path_, cube: Path_ | None = None, *, device: str = "auto", progress: bool = False
) -> Path:
    """Write the page about a filled cube, whole or not at all.

    Parameters
    ----------
    filled
        What `tssmnet.reconstruct` has written, ``.zarr`` or ``.nc``.
    out
        The page, ``.html``; a page of this function there is replaced, nothing else is.
    cube
        The cube that was filled; with it, some of its observations are hidden, filled again and scored.
    device, progress
        As in `tssmnet.reconstruct`.

    Returns
    -------
    pathlib.Path
        `out`.

    Raises
    ------
    TssmnetError
        If a file is missing or wrong, the cubes do not belong together, or something else stands at `out`.
    """
    out = _checked(Path(out))
    data = open_dataset(filled)
    recipe = recipe_of(data, device)
    require_ssm(data[["ssm"]], str(filled))
    scores = ""
    if cube is not None:
        given = open_cube(cube)
        require_same(given, data)
        hidden = hold_back(given, recipe, progress=progress)
        scores = scores_html(score_table(hidden), hidden.attrs["part"])
    page = page_of(data, Path(filled).name, scores)
    with placing(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out


def _checked(out: Path) -> Path:
    if out.suffix not in (".html", ".htm"):
        raise OutputError(f"{out}: the name of a page must end in .html, it ends in {out.suffix!r}")
    if out.is_dir() or (out.is_file() and MARK not in out.read_bytes()[:200]):
        raise OutputError(f"{out} is there already and is no report of this program; give another name")
    return out


def page_of(data: xr.Dataset, name: str, scores: str = "") -> str:
    """The page about a filled cube as HTML; `scores` is what `scores_html` gives, empty where nothing was scored."""
    about, blob = embedded(data)
    parts = {
        "TITLE": escape(name),
        "ABOUT": json.dumps(about).replace("<", "\\u003c"),
        "DATA": base64.b64encode(blob).decode("ascii"),
        "SUMMARY": _summary(data, about),
        "CAUSES": _causes(data),
        "SCORES": scores or NOT_SCORED,
        "MADE": _made(data),
    }
    page = (files("tssmnet.trials") / "report.html").read_text(encoding="utf-8")
    for key, value in parts.items():
        page = page.replace(f"@@{key}@@", value)
    return page


NOT_SCORED = (
    "<p>Not looked at. Name the cube that was filled with <code>--cube</code>, and some of its observations are hidden "
    "in the shape of its own gaps, filled again and compared.</p>"
)


def embedded(data: xr.Dataset) -> tuple[dict[str, Any], bytes]:
    """What the page's script reads: a description for JSON, and the values, compressed.

    Returns
    -------
    dict
        Places, days and steps of the values.
    bytes
        zlib of, pixel by pixel, ``ssm`` (low bytes, then high bytes), ``source`` and, if there is one, the lower and
        the upper end of the interval; all of shape (pixel, time).
    """
    pixels = to_pixels(data[[n for n in ("ssm", "source", "ssm_lower", "ssm_upper") if n in data]])
    places, every = thinned(pixels["lat"].values, pixels["lon"].values, pixels.sizes["time"])
    shown = pixels.isel(pixel=places, time=slice(None, None, every)).transpose("pixel", "time").load()
    ssm = _steps(shown["ssm"].values, SSM_STEP, NONE_16, np.uint16)
    planes = [(ssm & 255).astype(np.uint8), (ssm >> 8).astype(np.uint8), shown["source"].values.astype(np.uint8)]
    interval = "ssm_lower" in shown
    if interval:
        planes += [_steps(shown[n].values, BOUND_STEP, NONE_8, np.uint8) for n in ("ssm_lower", "ssm_upper")]
    lat, lon = shown["lat"].values, shown["lon"].values
    about = {
        "lat": np.round(lat, 4).tolist(), "lon": np.round(lon, 4).tolist(), "cell": cell_degrees(lat, lon),
        "first": str(shown["time"].values[0])[:10], "every": every, "days": shown.sizes["time"], "interval": interval,
        "step": SSM_STEP, "bound": BOUND_STEP, "range": _range(shown["ssm"].values),
        "pixels": pixels.sizes["pixel"], "allDays": pixels.sizes["time"],
    }  # fmt: skip
    return about, zlib.compress(b"".join(p.tobytes() for p in planes), 9)


def thinned(lat: NDArray[np.floating], lon: NDArray[np.floating], days: int) -> tuple[NDArray[np.int64], int]:
    """Numbers of the pixels that a page has room for, every k-th along both sides of the map, and every how many days.

    >>> places, every = thinned(np.repeat(np.arange(100.0), 100), np.tile(np.arange(100.0), 100), 1000)
    >>> len(places), every
    (2500, 1)
    """
    rows, columns = (np.unique(np.round(v, 3), return_inverse=True)[1] for v in (lat, lon))
    places, k = np.arange(len(lat)), 1
    while len(places) * days > PIXEL_DAYS and len(places) > FEWEST_PIXELS:
        k += 1
        kept = np.flatnonzero((rows % k == 0) & (columns % k == 0))
        # places that lie on no grid share neither rows nor columns
        places = kept if len(kept) > len(lat) / (4 * k**2) else np.arange(0, len(lat), k**2)
    return places, max(1, -(-len(places) * days // PIXEL_DAYS))


def cell_degrees(lat: NDArray[np.floating], lon: NDArray[np.floating]) -> list[float]:
    """Height and width of a cell, degrees: as rows and columns lie apart, else as the places share the map."""
    sides = [np.unique(np.round(v, 3)) for v in (lat, lon)]
    steps = [float(np.median(np.diff(s))) if len(s) > 1 else 0.1 for s in sides]
    room = np.prod([np.ptp(s) + step for s, step in zip(sides, steps, strict=True)])
    if np.prod(steps) * len(lat) < room / 20:
        steps = [float(np.sqrt(room / len(lat)))] * 2
    return [round(s, 4) for s in steps]


def _steps(values: NDArray[np.floating], step: float, none: int, kind: Any) -> NDArray[Any]:
    found = np.clip(np.round(values / step), 0, none - 1)
    return np.where(np.isfinite(values), found, none).astype(kind)


def _range(values: NDArray[np.floating]) -> list[float]:
    known = values[np.isfinite(values)]
    low, high = np.quantile(known, [0.02, 0.98]) if known.size else (0.0, 0.5)
    return [float(np.floor(20 * low) / 20), float(max(np.ceil(20 * high), np.floor(20 * low) + 1) / 20)]


# --- words and tables --------------------------------------------------------------------------------------------


def _summary(data: xr.Dataset, about: dict[str, Any]) -> str:
    first, last = (str(data["time"].values[i])[:10] for i in (0, -1))
    south, north, west, east = (float(f(data[n])) for n in ("lat", "lon") for f in (np.min, np.max))
    where = f"{_degrees(south, 'NS')} to {_degrees(north, 'NS')}, {_degrees(west, 'EW')} to {_degrees(east, 'EW')}"
    words = f"{about['pixels']:,} cells, {where}; {about['allDays']:,} days, {first} to {last}."
    shown = len(about["lat"])
    if shown < about["pixels"] or about["every"] > 1:
        days = "every day" if about["every"] == 1 else f"one day in {about['every']}"
        words += f" This page holds {shown:,} of the cells and {days}; the file holds all."
    synthetic = " <strong>Synthetic data.</strong>" if data.attrs.get("synthetic") else ""
    return f"{words}{synthetic}"


def _degrees(value: float, sides: str) -> str:
    return f"{abs(value):.1f}° {sides[value < 0]}"


def _causes(data: xr.Dataset) -> str:
    """Share of all values by where they come from, as a table with bars."""
    counts = source_counts(data["source"].data)
    total = max(1, sum(int(n) for n in counts.values()))
    rows = []
    for name, count in counts.items():
        key, share = f"k{SOURCE_FLAGS[name]}", count / total
        words = f'<th scope="row"><i class="key {key}"></i>{CAUSES[name]}</th><td>{count:,}</td><td>{share:.1%}</td>'
        rows += (
            [f'<tr>{words}<td class="bar"><i class="{key}" style="width:{share:.2%}"></i></td></tr>'] if count else []
        )
    head = '<tr><th scope="col">source</th><th scope="col">values</th><th scope="col">share</th><td></td></tr>'
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def scores_html(table: pd.DataFrame, part: float) -> str:
    """Scores on hidden observations as a table with a sentence on how they were had."""
    shown = [c for c in COLUMNS if c in table]
    whole = table.loc[("", "all")]
    lead = f"<p>{int(whole['n']):,} of the observations were hidden in the shape of the record's own gaps"
    lead += ", and filled again with the same settings from the rest" + (
        "" if part == 1 else f", on {part:.0%} of the map"
    )
    lead += ". "
    lead += f"The filled values miss them by <strong>{whole['rmse']:.3f} m³ m⁻³</strong> (RMSE)"
    if "coverage" in table:
        lead += f", and <strong>{whole['coverage']:.0%}</strong> lie in the interval that is to hold 90 %"
    head = "".join(f'<th scope="col">{COLUMNS[c][0]}</th>' for c in shown)
    rows = []
    for by, group in table.groupby(level="by", sort=False):
        if by:
            rows.append(f'<tr class="by"><th scope="rowgroup" colspan="{len(shown) + 1}">{escape(str(by))}</th></tr>')
        for (_, name), row in group.iterrows():
            cells = "".join(f"<td>{COLUMNS[c][1].format(row[c])}</td>" for c in shown)
            rows.append(f'<tr><th scope="row">{escape(str(name))}</th>{cells}</tr>')
    caption = "m³ m⁻³. RMSE and bias are of filled less observed; CRPS judges value and interval together, low is good."
    body = f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'{lead}.</p><div class="wide"><table>{body}</table></div><p class="small">{caption}</p>'


def _made(data: xr.Dataset) -> str:
    wanted = ("title", "history", "license", "references", "tssmnet_model", "tssmnet_parameters", "tssmnet_seed", NOTES)
    rows = [
        f"<dt>{escape(n.removeprefix('tssmnet_').replace('_', ' '))}</dt><dd>{escape(str(data.attrs[n]))}</dd>"
        for n in wanted
        if data.attrs.get(n) not in (None, "")
    ]
    return f"<dl>{''.join(rows)}</dl>"
