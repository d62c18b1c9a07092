"""Is the twin sane? The same statistics of any cube, so that a made-up one can be set beside a real one.

All functions take soil moisture (and rain) as arrays on (time, pixel) with NaN where not observed; `statistics`
takes a cube.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cube import to_pixels
from tssmnet.cube.earth import FREEZING_K, SEASONS
from tssmnet.data.registry import DataUnavailableError, path_of
from tssmnet.errors import TssmnetError

Float = NDArray[np.floating]
QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)
LAGS = (1, 2, 3, 5, 8, 10)
GAP_BINS = ((1, 1), (2, 2), (3, 7), (8, 30), (31, 10_000))


class Tolerance(NamedTuple):
    """How far the twin may be from the real record, and why that much."""

    absolute: float
    why: str


# The twin is another country with another climate: these are the distances at which a gap filler would meet a
# different problem, not confidence intervals. Statistics without an entry are shown without a verdict.
TOLERANCES = {
    "mean": Tolerance(0.04, "level depends on soils and climate; half a standard deviation of real SMAP"),
    "std": Tolerance(0.025, "spread in space and time together"),
    "std_within_pixel": Tolerance(0.015, "what there is to reconstruct at one place"),
    "std_between_pixels": Tolerance(0.025, "what constants can explain"),
    "quantile_0.05": Tolerance(0.04, "as the mean"),
    "quantile_0.50": Tolerance(0.04, "as the mean"),
    "quantile_0.95": Tolerance(0.06, "as the mean, tails wider"),
    "autocorrelation_1": Tolerance(0.12, "a straight line in time lives on it"),
    "autocorrelation_3": Tolerance(0.12, "as lag 1, at the revisit of the orbit"),
    "autocorrelation_10": Tolerance(0.15, "season and memory beyond an event"),
    "drydown_days": Tolerance(4.0, "e-folding of a dry spell; published medians for SMAP lie at 5 to 15 days"),
    "wetup_per_mm": Tolerance(0.0015, "m3 m-3 per mm; 5 cm of soil can take at most 0.02 per mm"),
    "rain_correlation": Tolerance(0.15, "how well rain explains a rise"),
    "rain_30_days_correlation": Tolerance(0.20, "memory of a month of rain, within pixels"),
    "coverage": Tolerance(0.08, "share of pixel-days observed"),
    "coverage_above_freezing": Tolerance(0.10, "the orbit's share alone: geometry must agree"),
    "coverage_below_freezing": Tolerance(0.08, "frozen ground is masked in both"),
    "gap_days_3_7": Tolerance(0.12, "share of gaps that long; set by the repeat cycle"),
    "gap_days_8_30": Tolerance(0.05, "share of gaps that long"),
    "gap_days_31_up": Tolerance(0.02, "share of gaps that long: winters and forests"),
}


def distribution(ssm: Float) -> dict[str, float]:
    """Mean, spread in all, within and between pixels, quantiles (m3 m-3)."""
    means, stds = np.nanmean(ssm, axis=0), np.nanstd(ssm, axis=0)
    out = {"mean": np.nanmean(ssm), "std": np.nanstd(ssm)}
    out |= {"std_within_pixel": np.nanmean(stds), "std_between_pixels": np.nanstd(means)}
    out |= {f"quantile_{q:.2f}": np.nanquantile(ssm, q) for q in QUANTILES}
    return {name: float(value) for name, value in out.items()}


def autocorrelation(ssm: Float, lags: Sequence[int] = LAGS) -> dict[int, float]:
    """Mean over pixels of the correlation between a day and the day `lag` later, over the pairs both observed."""
    out = {}
    for lag in lags:
        x, y = ssm[:-lag], ssm[lag:]
        out[lag] = float(np.nanmean(columnwise_correlation(x, y, smallest=20)))
    return out


def consecutive(ssm: Float, rain: Float, longest: int = 8) -> pd.DataFrame:
    """Pairs of an observation and the next one at most `longest` days later.

    Returns columns pixel, days (between), before, after (m3 m-3), rain (mm from the first day to the day of the second,
    the first excluded).
    """
    parts = []
    total = np.nancumsum(np.nan_to_num(rain), axis=0)
    for pixel in range(ssm.shape[1]):
        at = np.nonzero(~np.isnan(ssm[:, pixel]))[0]
        days = np.diff(at)
        first, second = at[:-1][days <= longest], at[1:][days <= longest]
        wet = total[second, pixel] - total[first, pixel]
        parts.append(np.stack([np.full(len(first), pixel), second - first, ssm[first, pixel], ssm[second, pixel], wet]))
    columns = ["pixel", "days", "before", "after", "rain"]
    return pd.DataFrame(np.concatenate(parts, axis=1).T, columns=columns).astype({"pixel": int, "days": int})


def drydown_days(pairs: pd.DataFrame, floor: Float, driest_rain: float = 0.5) -> Float:
    """E-folding time of soil moisture above its floor in dry spells, days, per pixel.

    From pairs without rain between: the ratio sum(a b) / sum(a a) of what is above the floor before (a) and after (b)
    is exp(-days / e-folding). Only the upper half of each pixel's values enters, where a dry-down can be told from
    noise.

    `pairs`: from `consecutive`.
    `floor`: m3 m-3 per pixel, the level dry-downs tend to.
    """
    a, b = pairs["before"] - floor[pairs["pixel"]], pairs["after"] - floor[pairs["pixel"]]
    dry = pairs.assign(aa=a * a, ab=a * b, a=a)[pairs["rain"] <= driest_rain]
    dry = dry[dry["a"] > dry.groupby("pixel")["a"].transform("median")]
    groups = dry.groupby("pixel")
    ratio, days = groups["ab"].sum() / groups["aa"].sum(), groups["days"].mean()
    ratio = ratio[(groups.size() >= 10) & (ratio > 0.02) & (ratio < 0.995)]
    return (-days.loc[ratio.index] / np.log(ratio)).to_numpy()


def wetup(pairs: pd.DataFrame, longest: int = 3) -> tuple[float, float]:
    """Rise per mm of rain (m3 m-3 mm-1) and correlation of rise and rain, over pairs up to `longest` days apart."""
    near = pairs[pairs["days"] <= longest]
    rise = near["after"] - near["before"]
    modest = near["rain"] <= 20  # beyond that the layer is full
    slope = np.polyfit(near["rain"][modest], rise[modest], 1)[0]
    return float(slope), float(np.corrcoef(near["rain"], rise)[0, 1])


class Drying(NamedTuple):
    """How the pixels of a record dry without rain and rise with it."""

    pairs: pd.DataFrame  # from `consecutive`
    days: Float  # from `drydown_days`, by pixel
    wetup: tuple[float, float]


def drying(ssm: Float, rain: Float, smallest: int = 60) -> Drying:
    """Drying and wetting of the pixels with `smallest` observations or more; `rain` in mm d-1."""
    full = (~np.isnan(ssm)).sum(axis=0) >= smallest
    pairs = consecutive(ssm[:, full], rain[:, full])
    return Drying(pairs, drydown_days(pairs, np.nanquantile(ssm[:, full], 0.02, axis=0)), wetup(pairs))


def gap_lengths(ssm: Float) -> NDArray[np.int64]:
    """Lengths in days of all gaps between two observations of one pixel."""
    lengths = []
    for column in ssm.T:
        steps = np.diff(np.nonzero(~np.isnan(column))[0])
        lengths.append(steps[steps > 1] - 1)
    return np.concatenate(lengths).astype(np.int64)


def gap_shares(lengths: NDArray[np.int64]) -> dict[str, float]:
    """Share of the gaps in each class of length."""
    shares = {}
    for low, high in GAP_BINS:
        name = f"gap_days_{low}" if low == high else f"gap_days_{low}_{high if high < 10_000 else 'up'}"
        shares[name] = float(np.mean((lengths >= low) & (lengths <= high))) if len(lengths) else float("nan")
    return shares


def coverage(ssm: Float, months: NDArray, air_temperature: Float | None = None) -> dict[str, float]:
    """Share of pixel-days observed: in all, by season, above and below freezing."""
    seen = ~np.isnan(ssm)
    out = {"coverage": float(seen.mean())}
    out |= {
        f"coverage_{name}": float(seen[np.isin(months, m)].mean())
        for name, m in SEASONS.items()
        if np.isin(months, m).any()
    }
    if air_temperature is not None:
        for name, side in (("above", air_temperature >= FREEZING_K), ("below", air_temperature < FREEZING_K)):
            out[f"coverage_{name}_freezing"] = float(seen[side].mean()) if side.any() else float("nan")
    return out


def pull(ssm: Float, rain: Float, air_temperature: Float | None = None, smallest: int = 20) -> dict[str, Float]:
    """Per pixel: the correlation of soil moisture with the last 30 days' rain and with air temperature."""
    ssm, total = ssm.astype(np.float64), np.cumsum(np.nan_to_num(rain.astype(np.float64)), axis=0)
    month = total.copy()
    month[30:] -= total[:-30]
    out = {"rain_30_days_correlation": columnwise_correlation(ssm[30:], month[30:], smallest)}
    if air_temperature is not None:
        out["temperature_correlation"] = columnwise_correlation(ssm, air_temperature.astype(np.float64), smallest)
    return out


def forcing_correlation(ssm: Float, rain: Float, air_temperature: Float | None = None) -> dict[str, float]:
    """Median over pixels of what `pull` gives."""
    return {name: float(np.nanmedian(values)) for name, values in pull(ssm, rain, air_temperature).items()}


def statistics(cube: xr.Dataset, smallest: int = 60) -> pd.Series:
    """All statistics of one cube, by name.

    `cube`: with ``precipitation`` (mm d-1); ``air_temperature`` (K) adds the statistics of frost.
    `smallest`: pixels with fewer observations are left out of all but the coverage.
    Raises TssmnetError if the cube has no precipitation or no pixel with `smallest` observations.
    """
    if "precipitation" not in cube:
        raise TssmnetError(
            "statistics need the variable 'precipitation' in the cube; for the twin, make it with forcing=True"
        )
    pixels = to_pixels(cube)
    land = pixels["precipitation"].notnull().any("time").values
    ssm, rain = (pixels[n].values[:, land].astype(np.float64) for n in ("ssm", "precipitation"))
    air = pixels["air_temperature"].values[:, land] if "air_temperature" in pixels else None
    out = coverage(ssm, pixels["time"].dt.month.values, air)
    full = (~np.isnan(ssm)).sum(axis=0) >= smallest
    if not full.any():
        raise TssmnetError(f"no pixel has {smallest} observations; lower `smallest` or bring a longer record")
    out["pixels_with_record"] = float(full.mean())
    ssm, rain, air = ssm[:, full], rain[:, full], None if air is None else air[:, full]
    out |= distribution(ssm)
    out |= {f"autocorrelation_{lag}": value for lag, value in autocorrelation(ssm).items()}
    found = drying(ssm, rain, smallest)
    out["drydown_days"] = float(np.median(found.days))
    out["wetup_per_mm"], out["rain_correlation"] = found.wetup
    out |= forcing_correlation(ssm, rain, air)
    out |= gap_shares(gap_lengths(ssm))
    return pd.Series(out)


def match_climate(twin: xr.Dataset, real: xr.Dataset) -> xr.Dataset:
    """Pixels of the twin whose mean rain and temperature are nearest to each pixel of `real`, each used once at most.

    Two countries differ in climate before they differ in anything else; matched, what is left is the twin's own doing.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    def climate(cube: xr.Dataset) -> tuple[xr.Dataset, Float]:
        pixels = to_pixels(cube)
        pixels = pixels.isel(pixel=pixels["precipitation"].notnull().any("time").values.nonzero()[0])
        rain, air = (pixels[n].mean("time").values for n in ("precipitation", "air_temperature"))
        return pixels, np.stack([np.log(rain + 0.05) / 0.6, air / 6.0], axis=1)

    pixels, twin_climate = climate(twin)
    _, real_climate = climate(real)
    _, chosen = linear_sum_assignment(cdist(real_climate, twin_climate))
    return pixels.isel(pixel=np.sort(chosen))


def without_dense_vegetation(cube: xr.Dataset, densest: float = 0.2, wettest: float = 0.1) -> xr.Dataset:
    """Pixels of a real cube where SMAP's own flags do not advise against its retrievals.

    The twin, like the paper, leaves out dense vegetation and open water. A cube that keeps such retrievals and brings
    ``vegetation_density`` (share of flagged days) and ``water_fraction`` is brought to the same footing here.
    """
    pixels = to_pixels(cube)
    good = (pixels["vegetation_density"] < densest) & (pixels["water_fraction"] < wettest)
    return pixels.isel(pixel=np.nonzero(good.values)[0])


def compare(real: pd.Series, twin: pd.Series) -> pd.DataFrame:
    """Real and twin side by side, with the tolerance, whether it holds, and why it is that wide."""
    table = pd.DataFrame({"real": real, "twin": twin}).reindex(real.index)
    table["difference"] = table["twin"] - table["real"]
    table["tolerance"] = [TOLERANCES[n].absolute if n in TOLERANCES else np.nan for n in table.index]
    within = (table["difference"].abs() <= table["tolerance"]).astype(object)
    table["within"] = within.where(table["tolerance"].notna(), None)
    table["why"] = [TOLERANCES[n].why if n in TOLERANCES else "" for n in table.index]
    return table


def revisit(ssm: Float, lags: Sequence[int]) -> pd.Series:
    """Share of the observed days after which, `lag` days later, the pixel is observed again; index the lags."""
    seen = ~np.isnan(ssm)
    return pd.Series({lag: float(seen[lag:][seen[:-lag]].mean()) for lag in lags})


def halves(cube: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """The western and the eastern half of a cube's pixels: how far two real records are apart."""
    pixels = to_pixels(cube)
    west = pixels["lon"].values <= np.median(pixels["lon"].values)
    return pixels.isel(pixel=np.nonzero(west)[0]), pixels.isel(pixel=np.nonzero(~west)[0])


def descriptor_distances(first: xr.Dataset, second: xr.Dataset) -> pd.Series:
    """Kolmogorov-Smirnov distance of each variable's values: 0 for one distribution, 1 where they do not overlap.

    `first`, `second`: as `tssmnet.temporal_descriptors` gives them.
    Returns index the variables of `first`; NaN where a side has no value.
    """
    from scipy.stats import ks_2samp

    out = {}
    for name in first.data_vars:
        a, b = (d[name].values[np.isfinite(d[name].values)] for d in (first, second))
        out[str(name)] = float(ks_2samp(a, b).statistic) if len(a) and len(b) else float("nan")
    return pd.Series(out)


def orbit_agreement(days: Mapping[str, tuple[Float, Float]]) -> pd.Series:
    """How well the orbit simulator tells which cells a dated record holds.

    `days`: ISO date to the latitudes and longitudes of the cells that have a value on it; a cell that both overpasses
    of the day saw stands there twice, so the simulator has to tell 0, 1 and 2 apart.
    Returns share of cells and days told right, over all cells of the record; index 0 is the right date, 1 to 7 are the
    other days of the repeat cycle, as if the date were wrong by so many days.
    """
    from tssmnet.twin.orbits import REPEAT_DAYS, cycle_day, overpass_masks

    rows = {date: np.round(np.stack(place, 1).astype(float), 3) for date, place in days.items()}
    cells = np.unique(np.concatenate(list(rows.values())), axis=0)
    masks = overpass_masks(cells[:, 1], cells[:, 0])
    told = masks["am"].astype(int) + masks["pm"]
    right = np.zeros(REPEAT_DAYS)
    for date, places in rows.items():
        _, index = np.unique(np.concatenate([cells, places]), axis=0, return_inverse=True)
        count = np.bincount(index.ravel()[len(cells) :], minlength=len(cells))
        for wrong in range(REPEAT_DAYS):
            right[wrong] += (told[(cycle_day(np.datetime64(date)) + wrong) % REPEAT_DAYS] == count).mean()
    return pd.Series(right / len(rows), index=pd.RangeIndex(REPEAT_DAYS, name="days off"))


def dated_swaths() -> dict[str, tuple[Float, Float]]:
    """Latitudes and longitudes of the cells that a genuine week of SMAP over Pakistan saw, by ISO date.

    Empty where the files are not at hand.
    """
    import h5py

    days = {}
    for date in pd.date_range("2020-01-01", periods=7).strftime("%Y-%m-%d"):
        try:
            path = path_of("smap-l3e-9km", f"smap-l3e-9km/Pakistan_9km_smap/Pakistan_9km_smap_{date}.nc")
        except DataUnavailableError:
            return {}
        with h5py.File(path) as file:
            days[date] = (file["latitude"][:], file["longitude"][:])
    return days


def columnwise_correlation(x: Float, y: Float, smallest: int) -> Float:
    """Pearson correlation per column over rows where both exist; NaN with fewer than `smallest` or no spread."""
    both = ~(np.isnan(x) | np.isnan(y))
    n = both.sum(axis=0)
    safe = np.maximum(n, 1)
    x, y = np.where(both, x, 0.0), np.where(both, y, 0.0)
    dx, dy = (x - x.sum(axis=0) / safe) * both, (y - y.sum(axis=0) / safe) * both
    scale = np.sqrt((dx**2).sum(axis=0) * (dy**2).sum(axis=0))
    r = (dx * dy).sum(axis=0) / np.where(scale > 0, scale, np.nan)
    return np.where(n >= smallest, r, np.nan)
