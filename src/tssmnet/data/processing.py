"""From raw products to predictors: the steps of the paper's section 2.1.3, for real data and the twin alike.

Quality screening, all-weather land surface temperature, Savitzky-Golay smoothing of vegetation indices, 16-day to
daily, TVDI by the triangle method, slope and aspect, aggregation of fine rasters. The paper names the methods
through its references but not their settings; every setting here is a parameter. All functions are pure and take
plain arrays with time first; missing values are NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tssmnet.errors import TssmnetError

Float = NDArray[np.floating]
Bool = NDArray[np.bool_]
DAYS_PER_YEAR = 365.25


def bit_field(flag: ArrayLike, first: int, count: int = 1) -> NDArray[np.int64]:
    """Value of `count` bits starting at bit `first` (0 is the lowest).

    >>> bit_field([0b1100, 0b0100], 2, 2).tolist()
    [3, 1]
    """
    return (np.asarray(flag, np.int64) >> first) & ((1 << count) - 1)


SMAP_FLAG_FILL = 65534
"""``retrieval_qual_flag`` where there is no retrieval; its bit 0 is clear, as that of a good one."""


def smap_recommended(retrieval_flag: ArrayLike) -> Bool:
    """SMAP L3 retrievals of recommended quality: bit 0 of ``retrieval_qual_flag`` clear, and the flag not missing.

    >>> smap_recommended([0, 8, 1, 65534]).tolist()
    [True, True, False, False]
    """
    return (bit_field(retrieval_flag, 0) == 0) & (np.asarray(retrieval_flag) != SMAP_FLAG_FILL)


def modis_lst_good(qc: ArrayLike, worst_error: int = 1) -> Bool:
    """MOD11 pixels with LST produced and an average error no worse than class `worst_error`.

    Bits 0-1 of ``QC_Day`` say whether LST was produced (00, 01), bits 6-7 the error class (0: up to 1 K, 1: up to 2
    K, 2: up to 3 K, 3: more).
    """
    return (bit_field(qc, 0, 2) <= 1) & (bit_field(qc, 6, 2) <= worst_error)


def vegetation_index_good(summary_qa: ArrayLike) -> Bool:
    """MOD13 pixels whose ``SummaryQA`` is good (0) or marginal (1); snow (2), cloud (3) and fill (-1) are not."""
    qa = np.asarray(summary_qa)
    return (qa == 0) | (qa == 1)


def screen_values(values: ArrayLike, good: ArrayLike | None = None, valid: tuple[float, float] | None = None) -> Float:
    """Values with NaN where `good` is false or outside the closed range `valid`.

    >>> screen_values([0.1, 0.7, 0.2], good=[True, True, False], valid=(0.02, 0.6)).tolist()
    [0.1, nan, nan]
    """
    out = np.array(values, dtype=np.result_type(np.asarray(values).dtype, np.float32))
    if good is not None:
        out[~np.asarray(good, bool)] = np.nan
    if valid is not None:
        out[(out < valid[0]) | (out > valid[1])] = np.nan
    return out


def interpolate_gaps(values: Float) -> Float:
    """Straight lines across the gaps along axis 0; before the first and after the last value that value is held.

    Columns without any value stay NaN.

    >>> interpolate_gaps(np.array([[np.nan], [1.0], [np.nan], [3.0]])).ravel().tolist()
    [1.0, 1.0, 2.0, 3.0]
    """
    flat = values.reshape(len(values), -1)
    seen = ~np.isnan(flat)
    steps = np.arange(len(flat))[:, None]
    before = np.maximum.accumulate(np.where(seen, steps, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen, steps, len(flat))[::-1], axis=0)[::-1]
    before = np.where(before < 0, after, before)
    after = np.where(after == len(flat), before, after)
    low = np.take_along_axis(flat, np.clip(before, 0, len(flat) - 1), 0)
    high = np.take_along_axis(flat, np.clip(after, 0, len(flat) - 1), 0)
    share = (steps - before) / np.maximum(after - before, 1)
    return (low + np.clip(share, 0, 1) * (high - low)).astype(values.dtype).reshape(values.shape)


def annual_basis(day_of_year: ArrayLike, harmonics: int = 2) -> Float:
    """Constant, sines and cosines of the year, shape (time, 1 + 2 harmonics)."""
    angle = 2 * np.pi * np.asarray(day_of_year, float)[:, None] / DAYS_PER_YEAR * np.arange(1, harmonics + 1)
    return np.concatenate([np.ones((len(angle), 1)), np.sin(angle), np.cos(angle)], axis=1)


def fit_with_gaps(basis: Sequence[Float] | Float, values: Float, ridge: float = 1e-3) -> Float:
    """Least squares per column where values exist, evaluated on every day.

    Parameters
    ----------
    basis
        Shape (time, k), the same for all columns, or a sequence of k arrays that broadcast to (time, pixel).
    values
        Shape (time, pixel), NaN where missing.
    ridge
        Small penalty that keeps the fit defined where there are fewer values than terms.

    Returns
    -------
    fitted
        Shape (time, pixel); NaN for columns without values.
    """
    terms = list(np.asarray(basis).T[:, :, None]) if isinstance(basis, np.ndarray) else list(basis)
    seen = ~np.isnan(values)
    filled = np.where(seen, values, 0.0)
    k, pixels = len(terms), values.shape[1]
    gram, right = np.empty((pixels, k, k)), np.empty((pixels, k, 1))
    for i, a in enumerate(terms):
        right[:, i, 0] = (a * filled).sum(axis=0)
        for j, b in enumerate(terms[: i + 1]):
            gram[:, i, j] = gram[:, j, i] = (a * b * seen).sum(axis=0)
    # The constant is not penalised: a short column then falls back on its mean.
    gram += ridge * np.diag([0.0] + [1.0] * (k - 1)) + 1e-9 * np.eye(k)
    coefficients = np.linalg.solve(gram, right)[:, :, 0]
    fitted = sum(coefficients[:, i] * term for i, term in enumerate(terms))
    return np.where(seen.any(axis=0), fitted, np.nan)


def all_weather_lst(
    lst: Float, day_of_year: ArrayLike, covariates: Sequence[Float] = (), harmonics: int = 2, memory_days: float = 4.0
) -> Float:
    """Land surface temperature on every day, clear or cloudy.

    Clear-sky values are regressed, pixel by pixel, on an annual cycle and on the anomalies of `covariates` (air
    temperature, radiation of a reanalysis); what the regression leaves unexplained is carried from the neighbouring
    clear days with weight exp(-days / `memory_days`). Clear days keep their value. Assumption: the paper cites a
    merging of reanalysis and thermal infrared (its reference 45) without settings; this is its simplest form.

    Parameters
    ----------
    lst
        K, shape (time, pixel), NaN under cloud.
    day_of_year
        Shape (time,).
    covariates
        Arrays (time, pixel) without gaps; with none, cloudy days take the annual cycle and their neighbours' anomaly.

    Returns
    -------
    lst
        K, shape (time, pixel), NaN only for pixels never seen.
    """
    basis = annual_basis(day_of_year, harmonics)
    anomalies = [field - fit_with_gaps(basis, field) for field in covariates]
    terms = [*basis.T[:, :, None], *anomalies]
    return fill_around(lst, fit_with_gaps(terms, lst, ridge=1.0), memory_days)


def fill_around(lst: Float, expected: Float, memory_days: float = 4.0) -> Float:
    """Clear days keep their value, the others take what is expected plus the residual of the clear days around.

    Parameters
    ----------
    lst
        K, shape (time, pixel), NaN under cloud.
    expected
        K, same shape, NaN where nothing is known.
    memory_days
        A residual counts exp(-days / `memory_days`).
    """
    return np.where(np.isnan(lst), expected + carry_residual(lst - expected, memory_days), lst).astype(lst.dtype)


def carry_residual(residual: Float, memory_days: float) -> Float:
    """Residuals carried into gaps from both sides with weight exp(-days / memory), so that long gaps get zero."""
    decay = np.exp(-1.0 / memory_days)

    def sweep(rows: Float) -> tuple[Float, Float]:
        value, weight = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
        values, weights = np.empty(rows.shape), np.empty(rows.shape)
        for i, row in enumerate(rows):
            seen = ~np.isnan(row)
            value, weight = np.where(seen, row, value), np.where(seen, 1.0, weight * decay)
            values[i], weights[i] = value, weight
        return values, weights

    past, past_weight = sweep(residual)
    future, future_weight = (array[::-1] for array in sweep(residual[::-1]))
    total = np.maximum(past_weight + future_weight, 1e-12)
    mean = (past * past_weight + future * future_weight) / total
    return mean * np.maximum(past_weight, future_weight)


def savitzky_golay(values: Float, window: int = 7, order: int = 2) -> Float:
    """Savitzky-Golay smoothing along axis 0 after straight lines across the gaps.

    Raises
    ------
    TssmnetError
        If the window is even, not longer than the order, or longer than the series.
    """
    from scipy.signal import savgol_filter

    if window % 2 == 0 or window <= order or window > len(values):
        raise TssmnetError(
            f"Savitzky-Golay window must be odd, above the order and within the series of {len(values)} steps; "
            f"got window {window}, order {order}"
        )
    return savgol_filter(interpolate_gaps(values), window, order, axis=0)


def upper_envelope(
    values: Float, window: int = 9, order: int = 2, fine_window: int = 7, fine_order: int = 4, rounds: int = 5
) -> Float:
    """Savitzky-Golay series that approaches the upper envelope of a vegetation index (Chen et al. 2004).

    Cloud and haze only lower an index. A first smoothing gives the trend; then values below it are replaced by it
    and the series is smoothed again, until the distance to the original values, weighted by how far they lie above
    the trend, grows. Each column keeps its own best round.

    Parameters
    ----------
    values
        Shape (composite, pixel), NaN where screened out.
    """
    original = interpolate_gaps(values)
    trend = savitzky_golay(original, window, order)
    below = np.abs(original - trend)
    reach = np.maximum(below.max(axis=0), 1e-12)
    weight = np.where(original >= trend, 1.0, 1.0 - below / reach)
    best, best_index = trend, np.full(original.shape[1:], np.inf)
    series = np.maximum(original, trend)
    for _ in range(rounds):
        smooth = savitzky_golay(series, fine_window, fine_order)
        index = (np.abs(smooth - original) * weight).sum(axis=0)
        better = index < best_index
        best, best_index = np.where(better, smooth, best), np.where(better, index, best_index)
        series = np.maximum(original, smooth)
    return best.astype(values.dtype)


def to_daily(values: Float, composite_days: ArrayLike, days: ArrayLike) -> Float:
    """Straight lines from composites to days; outside the composites the nearest one is held.

    Parameters
    ----------
    values
        Shape (composite, ...), without gaps.
    composite_days, days
        Numbers on one axis (days since any date), composites rising.

    >>> to_daily(np.array([0.0, 1.6]), [8, 24], [8, 16, 30]).tolist()
    [0.0, 0.8, 1.6]
    """
    at, days = np.asarray(composite_days, float), np.asarray(days, float)
    if len(at) == 1:
        return np.repeat(values, len(days), axis=0)
    right = np.clip(np.searchsorted(at, days), 1, len(at) - 1)
    share = np.clip((days - at[right - 1]) / (at[right] - at[right - 1]), 0, 1)
    share = share.reshape(-1, *[1] * (values.ndim - 1)).astype(values.dtype)
    return values[right - 1] + share * (values[right] - values[right - 1])


def temperature_vegetation_dryness(
    lst: Float,
    ndvi: Float,
    window: NDArray[np.integer] | None = None,
    elevation: Float | None = None,
    lapse_rate: float = 0.0055,
    bin_width: float = 0.05,
    smallest_span: float = 3.0,
) -> Float:
    """TVDI by the triangle method: (LST - wet edge) / (dry edge - wet edge), 0 wet to 1 dry.

    On each day and in each window the highest and the lowest LST of every NDVI bin are fitted by a straight line in
    NDVI: the dry and the wet edge (Sandholt et al. 2002). Windows with too few bins take the edges of all cells of
    the day.

    Parameters
    ----------
    lst, ndvi
        K and index, shape (time, pixel).
    window
        Shape (pixel,): label of the region whose cells share edges; None for one region.
    elevation
        m, shape (pixel,): LST is first brought to one level with `lapse_rate` (K m-1).
    bin_width
        Width of the NDVI bins.
    smallest_span
        K; edges nearer than this (winter, a uniform scene) are moved apart to it, so that noise is not blown up.

    Returns
    -------
    tvdi
        Shape (time, pixel), clipped to 0..1, NaN where LST or NDVI is.
    """
    labels = np.zeros(lst.shape[1], np.int64) if window is None else np.unique(window, return_inverse=True)[1]
    level = lst if elevation is None else lst + lapse_rate * elevation
    out = np.full(lst.shape, np.nan, np.float32)
    for day, (temperature, greenness) in enumerate(zip(level, ndvi, strict=True)):
        good = ~(np.isnan(temperature) | np.isnan(greenness))
        if good.any():
            t, g, w = temperature[good], greenness[good], labels[good]
            wet, dry = _edges(t, g, w, int(labels.max()) + 1, bin_width)
            middle, span = (dry + wet) / 2, np.maximum(dry - wet, smallest_span)
            out[day, good] = np.clip((t - middle) / span + 0.5, 0, 1)
    return out


def _edges(t: Float, g: Float, window: NDArray, windows: int, bin_width: float) -> tuple[Float, Float]:
    """Wet and dry edge temperature at each cell."""
    bins = round(1 / bin_width)
    slot = np.clip((g / bin_width).astype(int), 0, bins - 1)
    every_wet, every_dry = (_fit_edge(t, slot, np.zeros_like(window), 1, bins, high) for high in (False, True))
    x = (slot + 0.5) * bin_width
    lines = []
    for high, every in ((False, every_wet), (True, every_dry)):
        line = _fit_edge(t, slot, window, windows, bins, high)
        line = np.where(np.isnan(line), every, line)[window]
        lines.append(line[:, 0] + line[:, 1] * x)
    return lines[0], lines[1]


def _fit_edge(t: Float, slot: NDArray, window: NDArray, windows: int, bins: int, high: bool) -> Float:
    """Intercept and slope of the edge per window, shape (windows, 2); NaN with fewer than 4 bins of 3 cells."""
    group = window * bins + slot
    extreme = np.full(windows * bins, -np.inf)
    np.maximum.at(extreme, group, t if high else -t)
    count = np.bincount(group, minlength=windows * bins).reshape(windows, bins)
    edge = (extreme if high else -extreme).reshape(windows, bins)
    used = count >= 3
    y, x = np.where(used, edge, 0.0), np.broadcast_to((np.arange(bins) + 0.5) / bins, edge.shape)
    n = np.maximum(used.sum(axis=1), 1)
    mx, my = (x * used).sum(axis=1) / n, y.sum(axis=1) / n
    dx = (x - mx[:, None]) * used
    slope = (dx * y).sum(axis=1) / np.maximum((dx**2).sum(axis=1), 1e-9)
    line = np.stack([my - slope * mx, slope], axis=1)
    line[used.sum(axis=1) < 4] = np.nan
    return line


def horn_gradient(elevation: Float, cell: float) -> tuple[Float, Float]:
    """Rise per metre towards east and north by Horn's 3 x 3 weights; rows run from north to south.

    Parameters
    ----------
    elevation
        m, shape (y, x); the border is extended by its own values.
    cell
        m.
    """
    z = np.pad(elevation, 1, mode="edge")
    across = z[:-2] + 2 * z[1:-1] + z[2:]
    down = z[:, :-2] + 2 * z[:, 1:-1] + z[:, 2:]
    return (across[:, 2:] - across[:, :-2]) / (8 * cell), (down[:-2] - down[2:]) / (8 * cell)


def slope_degrees(east: Float, north: Float) -> Float:
    """Slope in degrees from the gradient."""
    return np.rad2deg(np.arctan(np.hypot(east, north)))


def aspect_components(east: Float, north: Float) -> tuple[Float, Float]:
    """Sine and cosine of the aspect (the downhill direction, clockwise from north); both 0 on level ground.

    An angle has no mean across north; its sine and cosine have, so these are what is aggregated and fed to models.
    """
    steep = np.hypot(east, north)
    safe = np.where(steep > 0, steep, 1.0)
    return -east / safe, -north / safe


def aspect_degrees(east: Float, north: Float) -> Float:
    """Aspect in degrees clockwise from north, 0 to 360; NaN on level ground."""
    sin, cos = aspect_components(east, north)
    return np.where((sin == 0) & (cos == 0), np.nan, np.rad2deg(np.arctan2(sin, cos)) % 360)


def _blocks(values: NDArray, factor: int) -> NDArray:
    """View (..., y, x) as (..., Y, X, factor * factor)."""
    *lead, ny, nx = values.shape
    if ny % factor or nx % factor:
        raise TssmnetError(f"a raster of {ny} x {nx} cells cannot be cut into blocks of {factor} x {factor}")
    cut = values.reshape(*lead, ny // factor, factor, nx // factor, factor)
    return np.moveaxis(cut, -3, -2).reshape(*lead, ny // factor, nx // factor, factor * factor)


def aggregate_mean(values: Float, factor: int, smallest_share: float = 0.0) -> Float:
    """Mean of `factor` x `factor` blocks over the cells that have a value.

    Blocks with no more than `smallest_share` of valid cells become NaN.
    """
    blocks = _blocks(values, factor)
    seen = ~np.isnan(blocks)
    count = seen.sum(axis=-1)
    mean = np.where(seen, blocks, 0).sum(axis=-1) / np.maximum(count, 1)
    return np.where(count > smallest_share * factor**2, mean, np.nan).astype(values.dtype)


def aggregate_majority(classes: NDArray[np.integer], factor: int, missing: int | None = None) -> NDArray[np.integer]:
    """Most frequent class of `factor` x `factor` blocks; ties go to the lowest class, `missing` never wins unless
    alone.

    >>> aggregate_majority(np.array([[1, 2], [2, 3]]), 2).tolist()
    [[2]]
    """
    blocks = _blocks(classes, factor)
    known = np.unique(classes)
    known = known[known != missing] if missing is not None else known
    if not len(known):
        return blocks[..., 0]
    counts = np.stack([(blocks == c).sum(axis=-1) for c in known])
    winner = known[counts.argmax(axis=0)]
    return winner if missing is None else np.where(counts.max(axis=0) == 0, missing, winner).astype(classes.dtype)
