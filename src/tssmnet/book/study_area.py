"""The maps and tables of the page on the study area."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet.book import maps
from tssmnet.book.style import COLOURS, style
from tssmnet.book.tables import classes_of
from tssmnet.metrics.stations import nearest_pixels, readings

STAGE = {
    "dem": ("height (m)", "height"),
    "clay": ("clay (%)", "clay"),
    "precipitation": ("precipitation (mm a⁻¹)", "precipitation"),
    "air_temperature": ("mean air temperature (K)", "temperature"),
    "ssm": ("mean observed soil moisture (m³ m⁻³)", "ssm"),
    "ssm_true": ("mean true soil moisture (m³ m⁻³)", "ssm"),
}
"""Variables on the maps of the stage, with label and quantity."""

CLASSES = {"landcover": "land cover (IGBP)", "texture": "soil texture (USDA)"}
MOST_CLASSES = 7
PALETTE = (*COLOURS[:6], "#F0E442", "#bbbbbb")
"""Colours of the `MOST_CLASSES` most frequent classes, and of all others."""

STANDS_FOR: Mapping[str, Sequence[str]] = {
    "LST": ["lst"],
    "EVI and NDVI": ["evi", "ndvi"],
    "Land Cover": ["landcover"],
    "Calculated TVDI": ["tvdi"],
    "Soil classification, clay content, sand content, bulk density, organic carbon content, soil texture": [
        "soil_class", "clay", "sand", "bulk_density", "organic_carbon", "texture",
    ],
    "DEM, Aspect, Slope": ["dem", "aspect_sin", "aspect_cos", "slope"],
}  # fmt: skip
"""Variables of a cube that stand for those of a row of the paper's Table 1."""


def stage_fields(cube: xr.Dataset, truth: xr.Dataset | None) -> dict[str, xr.DataArray]:
    """The fields of `STAGE` that a profile has, over ``pixel``: means over the record, of rain mm a year.

    Rain and air temperature are those of the `truth` where it is known.
    """
    everything = {**cube.data_vars, **({} if truth is None else truth.data_vars)} | {"ssm": cube["ssm"]}
    found = {name: everything[name] for name in STAGE if name in everything}
    fields = {n: f.mean("time", keep_attrs=True) if "time" in f.dims else f for n, f in found.items()}
    if "precipitation" in fields:
        fields["precipitation"] = 365.25 * fields["precipitation"]
    return {name: field.compute() for name, field in fields.items()}


def stage_maps(fields: Mapping[str, xr.DataArray], projection: str) -> Any:
    """A map of each field of `stage_fields`."""
    fig, axes = maps.new_map(len(fields), projection=projection)
    with style():
        for ax, (name, field) in zip(axes, fields.items(), strict=True):
            label, quantity = STAGE[name]
            look: dict[str, Any] = {"shrink": 0.8, "aspect": 22, "orientation": "horizontal", "extend": "both"}
            fig.colorbar(maps.draw_field(ax, field, quantity), ax=ax, label=label, **look)
    return fig


def climate(fields: Mapping[str, xr.DataArray]) -> dict[str, float]:
    """Rain (mm a year) below which a twentieth of the cells lies, and above which one; its correlation with ``ssm``.

    The correlation is that of the logarithm of rain. Empty without rain.
    """
    if "precipitation" not in fields:
        return {}
    wet = fields["ssm"].values
    known = np.isfinite(wet)
    rain = fields["precipitation"].values[known]
    low, high = np.nanpercentile(rain, [5, 95])
    return {"low": low, "high": high, "r": float(np.corrcoef(np.log(rain + 1), wet[known])[0, 1])}


def frequent_classes(cube: xr.Dataset) -> dict[str, tuple[xr.DataArray, list[str]]]:
    """For each variable of `CLASSES`: the rank of each cell's class, and the words of the legend with their shares.

    Classes beyond the `MOST_CLASSES` most frequent have one rank.
    """
    found = {}
    for name in (name for name in CLASSES if name in cube and "flag_values" in cube[name].attrs):
        words, shares = classes_of(cube[name]), pd.Series(cube[name].values).value_counts(normalize=True)
        first, rest = shares[:MOST_CLASSES], shares[MOST_CLASSES:]
        ranks = pd.Series(cube[name].values).map({v: i for i, v in enumerate(first.index)}).fillna(MOST_CLASSES)
        legend = [f"{words[int(v)]} ({100 * share:.0f} %)" for v, share in first.items()]
        legend += [f"others ({100 * rest.sum():.0f} %)"] if len(rest) else []
        found[name] = cube[name].astype(float).copy(data=ranks), legend
    return found


def class_maps(found: Mapping[str, tuple[xr.DataArray, list[str]]], projection: str) -> Any:
    """A map with a legend for each of `frequent_classes`."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    fig, axes = maps.new_map(len(found), projection=projection)
    look: dict[str, Any] = {"fontsize": 7, "ncols": 2, "loc": "upper center", "handlelength": 1, "columnspacing": 1}
    with style():
        for ax, (name, (ranks, words)) in zip(axes, found.items(), strict=True):
            drawn = maps.draw_field(ax, ranks, "any", title=CLASSES[name], limits=(-0.5, MOST_CLASSES + 0.5))
            drawn.set_cmap(ListedColormap(PALETTE))
            handles = [Patch(color=colour, label=word) for colour, word in zip(PALETTE, words, strict=False)]
            ax.legend(handles=handles, bbox_to_anchor=(0.5, -0.03), **look)
    return fig


def station_map(stations: xr.Dataset, ground: xr.DataArray, projection: str) -> Any:
    """A marker for each station, a colour and shape for each network, hollow where the place is approximate.

    `ground`: a field over ``pixel``, drawn in grey below.
    """
    import cartopy.crs as ccrs

    networks = stations["network"].values
    rough = stations.get("approximate", xr.zeros_like(stations["lon"])).values.astype(bool)
    with style():
        fig, (ax,) = maps.new_map(1, projection=projection, width=6.6)
        maps.draw_field(ax, ground, "any", limits=(0, 9000)).set(cmap="Greys")
        for network, marker, colour in zip(np.unique(networks), "osD^vP*", COLOURS, strict=False):
            for mine, face, words in ((~rough, colour, ""), (rough, "white", ", place approximate")):
                at = (networks == network) & mine
                if at.any():
                    look = {"marker": marker, "s": 32, "facecolor": face, "edgecolor": colour, "linewidth": 1.1}
                    label = f"{network} ({at.sum()}{words})"
                    lon, lat = stations["lon"].values[at], stations["lat"].values[at]
                    ax.scatter(lon, lat, transform=ccrs.PlateCarree(), zorder=5, label=label, **look)
        ax.legend(loc="lower left", fontsize=7, frameon=True)
    return fig


def sources_table(paper: pd.DataFrame, cube: xr.Dataset, cci: xr.Dataset | None, profile: str) -> pd.DataFrame:
    """The paper's Table 1, and beside each row what a profile has of it."""
    cell = f"{cube.attrs['twin_cell_km']} km" if "twin_cell_km" in cube.attrs else "the profile's cells"
    rows = []
    for row in paper.itertuples():
        match row.source, row.variables:
            case "SMAP", "SSM":
                here = f"ssm: daily, {cell}, {100 * float(cube['ssm'].notnull().mean()):.0f} % of the pixel-days"
            case "SMAP", _:
                here = f"computed by `tssmnet.temporal_descriptors`, one value a cell, {cell}"
            case "ESA CCI", _ if cci is not None:
                here = f"sm: daily, 0.25 degree, {100 * float(cci['sm'].notnull().mean()):.0f} % of the pixel-days"
            case _, variables:
                found = [name for name in STANDS_FOR.get(variables, []) if name in cube]
                daily = "daily, " if any("time" in cube[name].dims for name in found) else ""
                here = f"{', '.join(found)}: {daily}{cell}" if found else "not in this profile"
        rows.append(here)
    shown = paper.rename(columns={"resolution": "resolution (paper)"})
    return shown.assign(**{f"here ({profile})": rows}).set_index("source")


def beyond_the_paper(cube: xr.Dataset) -> list[str]:
    """Variables of a cube that stand for nothing in the paper's Table 1."""
    return [str(name) for name in cube if name != "ssm" and not any(name in names for names in STANDS_FOR.values())]


def stations_table(paper: pd.DataFrame, cube: xr.Dataset, stations: xr.Dataset | None) -> pd.DataFrame:
    """The paper's Table 2, and beside each row the stations of a profile that belong to it, if it has any.

    `paper`: its ``pattern`` is the regular expression of the names of the stations of a row.
    """
    titles = {"landcover": "land cover (paper)", "period": "period (paper)"}
    cited = paper.rename(columns=titles).drop(columns="pattern").set_index("network")
    if stations is None:
        return cited
    short, networks = pd.Index(stations["station"].values).str.split("/").str[-1], stations["network"].values
    reports = stations["soil_moisture" if "soil_moisture" in stations else "ssm"].transpose("time", "station")
    days, good = reports.notnull().values, readings(stations).notnull().values
    words, cover = classes_of(cube["landcover"]), cube["landcover"].values[nearest_pixels(cube, stations)[0]]
    rows = []
    for row in paper.itertuples():
        mine = short.str.fullmatch(row.pattern) & (networks == row.network)
        median_days = int(np.median(days[:, mine].sum(0))) if mine.any() else 0
        flagged = 100 * (days & ~good)[:, mine].sum() / max(days[:, mine].sum(), 1)
        plants = ", ".join(words[int(value)] for value in pd.unique(cover[mine]))
        rows.append((int(mine.sum()), median_days, flagged, plants))
    columns = ["stations here", "days (median)", "flagged (%)", "land cover here"]
    return pd.concat([cited, pd.DataFrame(rows, columns=columns, index=cited.index)], axis=1)
