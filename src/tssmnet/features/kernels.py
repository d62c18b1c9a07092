"""Compiled kernels of the temporal descriptors: one series at a time, no Python object touched, the lock released.

Every kernel takes the observed values `x` of one pixel and their integer positions `pos` on a time axis of `length`
steps. Positions 0, 1, 2, ... give the descriptors of the compressed series; day numbers give the time-aware ones.
So there is one set of formulas, and missing days need no branch.

The order of the output is that of `tssmnet.features.descriptors.DESCRIPTORS`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

# Slots of one row of output, in the order of Table A1.
MEAN, MEDIAN, WHM, WGM, WPM, STD, VAR, CV, MAD, MEAD, IQR, RMS = range(12)
MIN, MAX, SKEW, KURT, Q1, SAMPEN = range(12, 18)
MEANDIFF, MEDDIFF, MASD, MEASD, ACF, SECDER, SEGCORR, P2P = range(18, 26)
ABSE, SUM, SAD, CAM, CBM = range(26, 31)

BLOCK_WORDS = 64
"""Width, in 64-bit words, of the strip of the match matrix held at once: memory grows with n, not n squared."""

CLUMPED = 64
"""Mean square bucket load above which the bucket sort hands over to a comparison sort."""


@intrinsic
def _intrinsic_popcount(typing_context: Any, word: Any) -> Any:
    """Number of set bits of an unsigned 64-bit word."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen


_popcount: Any = _intrinsic_popcount


@njit(nogil=True, cache=True)
def _leaf_sum(a: Any, lo: int, n: int) -> float:
    """Sum of at most 128 values in eight interleaved running sums, as numpy does it."""
    total = 0.0
    if n < 8:
        for i in range(lo, lo + n):
            total += a[i]
        return total
    r0, r1, r2, r3 = a[lo], a[lo + 1], a[lo + 2], a[lo + 3]
    r4, r5, r6, r7 = a[lo + 4], a[lo + 5], a[lo + 6], a[lo + 7]
    whole = n - n % 8
    for i in range(lo + 8, lo + whole, 8):
        r0 += a[i]
        r1 += a[i + 1]
        r2 += a[i + 2]
        r3 += a[i + 3]
        r4 += a[i + 4]
        r5 += a[i + 5]
        r6 += a[i + 6]
        r7 += a[i + 7]
    total = ((r0 + r1) + (r2 + r3)) + ((r4 + r5) + (r6 + r7))
    for i in range(lo + whole, lo + n):
        total += a[i]
    return total


@njit(nogil=True, cache=True)
def pairwise_sum(a: Any, n: int) -> float:
    """Sum of a[:n] in the very order of `numpy.sum`, so that means and ties agree with it to the last bit.

    numpy halves the range until 128 values are left. Here the halves wait on a small stack, each with its depth in
    the tree; two sums of equal depth are the two halves of one range and are added.
    """
    if n <= 128:
        return _leaf_sum(a, 0, n)
    todo_lo, todo_n, todo_depth = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64, np.int64)
    sums, depths = np.empty(64), np.empty(64, np.int64)
    todo_lo[0], todo_n[0], todo_depth[0] = 0, n, 0
    todo, done = 1, 0
    while todo:
        todo -= 1
        lo, size, depth = todo_lo[todo], todo_n[todo], todo_depth[todo]
        if size > 128:
            half = size // 2
            half -= half % 8
            todo_lo[todo], todo_n[todo], todo_depth[todo] = lo + half, size - half, depth + 1
            todo_lo[todo + 1], todo_n[todo + 1], todo_depth[todo + 1] = lo, half, depth + 1
            todo += 2
            continue
        sums[done], depths[done] = _leaf_sum(a, lo, size), depth
        done += 1
        while done > 1 and depths[done - 1] == depths[done - 2]:
            done -= 1
            sums[done - 1] += sums[done]
            depths[done - 1] -= 1
    return sums[0]


@njit(nogil=True, cache=True)
def merge_order(x: Any, order: Any, spare: Any) -> None:
    """Write to `order` the indices that sort `x`, by merging runs of doubling length; `spare` is scratch of size n."""
    n = x.size
    for i in range(n):
        order[i] = i
    run = 1
    while run < n:
        for lo in range(0, n, 2 * run):
            mid, hi = min(lo + run, n), min(lo + 2 * run, n)
            i, j = lo, mid
            for k in range(lo, hi):
                if j >= hi or (i < mid and x[order[i]] <= x[order[j]]):
                    spare[k] = order[i]
                    i += 1
                else:
                    spare[k] = order[j]
                    j += 1
        for k in range(n):
            order[k] = spare[k]
        run *= 2


@njit(nogil=True, cache=True)
def sort_order(x: Any, order: Any, counts: Any) -> None:
    """Write to `order` the indices that sort `x`: buckets by value, then insertion, O(n) on spread-out values.

    `counts` is scratch of at least n + 1. Values that clump into few buckets are merged instead.
    """
    n = x.size
    low, high = x[0], x[0]
    for i in range(1, n):
        low = min(low, x[i])
        high = max(high, x[i])
    scale = (n - 1) / (high - low) if high > low else 0.0
    if scale > 1e300:  # the spread is denormal: no bucket can be told from its neighbour
        scale = 0.0
    for b in range(n + 1):
        counts[b] = 0
    for i in range(n):
        counts[int((x[i] - low) * scale) + 1] += 1
    load = 0
    for b in range(n):
        load += counts[b + 1] * counts[b + 1]
        counts[b + 1] += counts[b]
    if load > CLUMPED * n:
        merge_order(x, order, counts)
        return
    for i in range(n):
        b = int((x[i] - low) * scale)
        order[counts[b]] = i
        counts[b] += 1
    for k in range(1, n):
        item = order[k]
        value = x[item]
        q = k - 1
        while q >= 0 and x[order[q]] > value:
            order[q + 1] = order[q]
            q -= 1
        order[q + 1] = item


@njit(nogil=True, cache=True)
def quantile(s: Any, q: float) -> float:
    """Linearly interpolated quantile of the sorted values `s`, as `numpy.quantile` has it."""
    at = q * (s.size - 1)
    i = int(at)
    if i + 1 >= s.size:
        return s[s.size - 1]
    return s[i] + (s[i + 1] - s[i]) * (at - i)


@njit(nogil=True, cache=True)
def median_distance(s: Any, centre: float) -> float:
    """Median of |s - centre| of sorted values: two sorted runs, walked outwards from the centre until the middle."""
    n = s.size
    right = 0
    while right < n and s[right] < centre:
        right += 1
    left = right - 1
    half = n // 2
    last, before = 0.0, 0.0
    for _ in range(half + 1):
        before = last
        if left < 0 or (right < n and s[right] - centre < centre - s[left]):
            last = s[right] - centre
            right += 1
        else:
            last = centre - s[left]
            left -= 1
    return last if n % 2 else 0.5 * (before + last)


@njit(nogil=True, cache=True)
def weighted_means(x: Any, w: Any, low: float, high: float, power: float, out: Any) -> None:
    """Harmonic, geometric and power mean. `w` is empty for uniform weights; a negative value leaves NaN."""
    n = x.size
    unit = high if power > 0 else low  # the power is taken of x / unit, which cannot overflow
    total, inverse, logs, powers = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        wi = w[i] if w.size else 1.0
        if wi == 0.0:
            continue
        total += wi
        if low > 0.0:
            inverse += wi / x[i]
            logs += wi * np.log(x[i])
        if low > 0.0 or (low == 0.0 and power > 0):
            y = x[i] / unit if unit > 0.0 else 0.0
            powers += wi * (y * y * y if power == 3.0 else y**power)
    if low < 0.0 or total == 0.0:
        return
    out[WHM] = total / inverse if low > 0.0 else 0.0
    out[WGM] = np.exp(logs / total) if low > 0.0 else 0.0
    if power == 0.0:
        out[WPM] = out[WGM]
    else:
        out[WPM] = unit * (powers / total) ** (1.0 / power) if (low > 0.0 or power > 0) else 0.0


@njit(nogil=True, cache=True)
def moments(x: Any, mean: float, work: Any, out: Any) -> None:
    """Mean and everything made of powers of x or of x - mean, except what needs the order in time."""
    n = x.size
    third, fourth, absolute, energy = 0.0, 0.0, 0.0, 0.0
    above, below = 0, 0
    for i in range(n):
        d = x[i] - mean
        dd = d * d
        work[i] = dd
        absolute += abs(d)
        third += dd * d
        fourth += dd * dd
        energy += x[i] * x[i]
        above += d > 0.0
        below += d < 0.0
    var = pairwise_sum(work, n) / n
    out[MEAN], out[VAR], out[STD] = mean, var, np.sqrt(var)
    out[CV] = np.sqrt(var) / mean if mean != 0.0 else np.nan
    out[MAD] = absolute / n
    out[RMS], out[ABSE] = np.sqrt(energy / n), energy
    out[CAM], out[CBM] = above, below
    if var > (1e-15 * mean) ** 2:  # below this the spread is rounding noise, as scipy.stats.skew judges it
        out[SKEW] = third / n / var**1.5
        out[KURT] = fourth / n / (var * var) - 3.0


@njit(nogil=True, cache=True)
def changes(x: Any, pos: Any, order: Any, counts: Any, work: Any, out: Any) -> None:
    """Descriptors of consecutive values: differences per time step, and the second central difference."""
    n = x.size
    rates = work[: n - 1]
    total, absolute = 0.0, 0.0
    for i in range(n - 1):
        rates[i] = (x[i + 1] - x[i]) / (pos[i + 1] - pos[i])
        total += rates[i]
        absolute += abs(rates[i])
    curved = 0.0
    for i in range(n - 2):
        curved += (rates[i + 1] - rates[i]) / (pos[i + 2] - pos[i])
    if n > 2:
        out[SECDER] = curved / (n - 2)
    out[MEANDIFF], out[MASD], out[SAD] = total / (n - 1), absolute / (n - 1), absolute
    sort_order(rates, order, counts)
    ranked = work[n : 2 * n - 1]
    for i in range(n - 1):
        ranked[i] = rates[order[i]]
    out[MEDDIFF] = quantile(ranked, 0.5)
    out[MEASD] = median_distance(ranked, 0.0)


@njit(nogil=True, cache=True)
def autocorrelation(x: Any, pos: Any, mean: float, var: float, lag: int) -> float:
    """Mean product of deviations `lag` steps apart, over the pairs that exist, divided by the variance."""
    total, pairs, j = 0.0, 0, 0
    for i in range(x.size):
        while j < x.size and pos[j] < pos[i] + lag:
            j += 1
        if j == x.size:
            break
        if pos[j] == pos[i] + lag:
            total += (x[i] - mean) * (x[j] - mean)
            pairs += 1
    return total / (pairs * var) if pairs else np.nan


@njit(nogil=True, cache=True)
def segment_correlation(x: Any, pos: Any, length: int, segments: int) -> float:
    """Mean Pearson r between consecutive segments of length // segments steps, over steps observed in both.

    Values are taken relative to the first of their segment, so that equal values have a spread of exactly zero.
    """
    step = length // segments
    total, defined, i, j = 0.0, 0, 0, 0
    for segment in range(segments - 1):
        n, sa, sb, saa, sbb, sab, a0, b0 = 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        while i < x.size and pos[i] < (segment + 1) * step:
            while j < x.size and pos[j] < pos[i] + step:
                j += 1
            if j < x.size and pos[j] == pos[i] + step:
                if n == 0:
                    a0, b0 = x[i], x[j]
                a, b = x[i] - a0, x[j] - b0
                n, sa, sb = n + 1, sa + a, sb + b
                saa, sbb, sab = saa + a * a, sbb + b * b, sab + a * b
            i += 1
        if n < 2:
            continue
        va, vb, cov = saa - sa * sa / n, sbb - sb * sb / n, sab - sa * sb / n
        if va > 1e-24 * a0 * a0 and vb > 1e-24 * b0 * b0 and va > 1e-14 * saa and vb > 1e-14 * sbb:
            total += min(1.0, max(-1.0, cov / np.sqrt(va * vb)))
            defined += 1
    return total / defined if defined else np.nan


@njit(nogil=True, cache=True)
def peak_interval(x: Any, pos: Any) -> float:
    """Mean distance of consecutive local maxima; a flat top counts once, at its middle (rounded down)."""
    n = x.size
    first, last, peaks, i = 0, 0, 0, 1
    while i < n - 1:
        if x[i - 1] < x[i]:
            ahead = i + 1
            while ahead < n - 1 and x[ahead] == x[i]:
                ahead += 1
            if x[ahead] < x[i]:
                last = pos[(i + ahead - 1) // 2]
                first = last if peaks == 0 else first
                peaks += 1
                i = ahead
        i += 1
    return (last - first) / (peaks - 1) if peaks > 1 else np.nan


@njit(nogil=True, cache=True)
def match_windows(s: Any, tolerance: float, lo: Any, hi: Any) -> None:
    """For each of the n sorted values the range lo[k] to hi[k] of those within the tolerance; `lo` has n + 1 slots.

    Differences are rounded as in a comparison of all pairs and rounding is monotone, so ties fall alike. Each turn
    of the first loop moves one of two counters without branching on the data; matching is mutual, so that lo[k] is
    the number of values whose range ends at or before k.
    """
    n = s.size
    k, top = 0, 0
    while k < n:
        hi[k] = top
        near = top < n and s[top] - s[k] <= tolerance
        top += near
        k += 1 - near
    for k in range(n + 1):
        lo[k] = 0
    for k in range(n):
        lo[hi[k]] += 1
    for k in range(1, n):
        lo[k] += lo[k - 1]


@njit(nogil=True, cache=True)
def fill_matches(order: Any, lo: Any, hi: Any, start: int, rows: Any, prefix: Any) -> None:
    """Match matrix of a strip of columns, one bit a pair: bit j of rows[q, i] says that i matches start + 64 q + j > i.

    `order` sorts the values, lo and hi are from `match_windows`. With the set of the first k of the order kept as
    running words, the set that matches one value is the difference of two of them.
    """
    one = np.uint64(1)
    n, limit = order.size, rows.shape[1]
    prefix[0] = 0
    for q in range(rows.shape[0] - 1):
        word = np.uint64(0)
        for k in range(n):
            c = order[k] - start - 64 * q
            word ^= np.uint64(0 <= c < 64) << np.uint64(c & 63)
            prefix[k + 1] = word
        for k in range(n):
            if order[k] < limit:
                rows[q, order[k]] = prefix[hi[k]] ^ prefix[lo[k]]
        first = start + 64 * q
        for i in range(first, min(first + 64, limit)):  # only pairs j > i: each pair once
            rows[q, i] &= ~((np.uint64(2) << np.uint64(i - first)) - one)
    rows[rows.shape[0] - 1, :] = 0


@njit(nogil=True, cache=True)
def number_gaps(pos: Any, gap: Any, seen: Any) -> None:
    """Give each length of step between consecutive positions a number: gap[i] is that of the step after i."""
    kinds = 0
    for i in range(pos.size - 1):
        seen[pos[i + 1] - pos[i]] = -1
    for i in range(pos.size - 1):
        step = pos[i + 1] - pos[i]
        if seen[step] < 0:
            seen[step] = kinds
            kinds += 1
        gap[i] = seen[step]


@njit(nogil=True, cache=True)
def fill_gaps(gap: Any, start: int, alike: Any) -> None:
    """Which columns of a strip are followed by which gap: bit j of alike[q, g] says that start + 64 q + j is by g."""
    alike[:, :] = 0
    for j in range(start, min(gap.size, start + 64 * alike.shape[0])):
        alike[(j - start) >> 6, gap[j]] |= np.uint64(1) << np.uint64((j - start) & 63)


@njit(nogil=True, cache=True)
def lengthen(rows: Any, n: int, start: int, surplus: int, gap: Any, alike: Any) -> Any:
    """Turn matches of length q into matches of length q + 1, i with j and i + 1 with j + 1, and count them.

    In place, for the first n templates, without the `surplus` last columns, which belong to the next strip. Where
    `gap` is not empty the steps from i to i + 1 and from j to j + 1 must be equally long.
    """
    total = np.uint64(0)
    words = rows.shape[0] - 1
    for q in range(words):
        mask = ~np.uint64(0) >> np.uint64(surplus if q == words - 1 else 0)
        last = min(n, start + 64 * (q + 1))
        for i in range(last):
            rows[q, i] &= (rows[q, i + 1] >> np.uint64(1)) | (rows[q + 1, i + 1] << np.uint64(63))
        for i in range(last if gap.size else 0):
            rows[q, i] &= alike[q, gap[i]]
        for i in range(last):
            total += _popcount(rows[q, i] & mask)
    return np.int64(total)


@njit(nogil=True, cache=True)
def template_matches(s: Any, order: Any, m: int, tolerance: float, gap: Any, scratch: Any) -> Any:
    """Pairs of templates of length m, and of length m + 1, that match within `tolerance` (Chebyshev, <=).

    Exactly the counts of comparing all pairs, 64 pairs to a machine word. `s` are the sorted values, `order` what
    sorts them, `gap` from `number_gaps` or empty, `scratch` from `entropy_scratch`.
    """
    lo, hi, bits, alike = scratch
    match_windows(s, tolerance, lo, hi)
    shorter: Any = np.int64(0)
    longer: Any = np.int64(0)
    start: Any = np.int64(0)
    while start < s.size:
        words = min(BLOCK_WORDS, (s.size - start + 63) >> 6)
        whole = start + 64 * words >= s.size
        n = s.size if whole else start + 64 * words
        surplus = 0 if whole else m
        rows = bits[: n * (words + 1)].reshape(words + 1, n)
        fill_matches(order, lo, hi, start, rows, bits[n * (words + 1) :])
        if gap.size:
            fill_gaps(gap, start, alike[:words])
        for q in range(1, m):
            found = lengthen(rows, n - q, start, surplus, gap, alike)
        shorter += found
        longer += lengthen(rows, n - m, start, surplus, gap, alike)
        start = s.size if whole else start + 64 * words - m
    return shorter, longer


@njit(nogil=True, cache=True)
def entropy_scratch(n: int, kinds: int) -> Any:
    """Room to count the matches of up to n values with up to `kinds` lengths of gap."""
    words = min(BLOCK_WORDS, (n + 63) >> 6)
    bits = np.empty(n * (words + 2) + 1, np.uint64)  # a strip of the match matrix and the running words
    return np.empty(n + 1, np.int64), np.empty(n + 1, np.int64), bits, np.empty((words, kinds), np.uint64)


@njit(nogil=True, cache=True)
def sample_entropy(s: Any, order: Any, m: int, tolerance: float, gap: Any, scratch: Any) -> float:
    """-log(A / B) of the matches of length m + 1 (A) and m (B); NaN where either is none."""
    shorter, longer = template_matches(s, order, m, tolerance, gap, scratch)
    if shorter == 0 or longer == 0:
        return np.nan
    return -np.log(longer / shorter)


@njit(nogil=True, cache=True)
def describe(x: Any, pos: Any, length: int, w: Any, gap: Any, options: Any, scratch: Any, out: Any) -> None:
    """All descriptors of one series into `out` (31,), which comes filled with NaN."""
    power, lag, segments, m, r, entropy = options
    order, counts, work, match_scratch = scratch
    n = x.size
    sort_order(x, order, counts)
    s = work[2 * n : 3 * n]
    for k in range(n):
        s[k] = x[order[k]]
    constant = s[0] == s[n - 1]
    total = pairwise_sum(x, n)
    mean = x[0] if constant else total / n  # the rounded mean of equal values may differ from them
    moments(x, mean, work, out)
    out[SUM], out[MIN], out[MAX] = total, s[0], s[n - 1]
    out[MEDIAN], out[Q1] = quantile(s, 0.5), quantile(s, 0.25)
    out[IQR] = quantile(s, 0.75) - out[Q1]
    out[MEAD] = median_distance(s, out[MEDIAN])
    weighted_means(x, w, s[0], s[n - 1], power, out)
    if entropy and n >= m + 2:
        out[SAMPEN] = 0.0
        if not constant:
            out[SAMPEN] = sample_entropy(s, order[:n], m, r * out[STD], gap, match_scratch)
    if n > 1:
        changes(x, pos, order, counts, work, out)
    if out[VAR] > (1e-15 * mean) ** 2:
        out[ACF] = autocorrelation(x, pos, mean, out[VAR], lag)
        out[SEGCORR] = segment_correlation(x, pos, length, segments)
    out[P2P] = peak_interval(x, pos)


@njit(nogil=True, cache=True)
def describe_rows(values: Any, weights: Any, days: Any, in_time: bool, options: Any, out: Any) -> None:
    """Descriptors of each row of `values` (pixel, time), NaN where missing, into `out` (pixel, 31).

    `weights` is (pixel, time) or has no rows. `days` are the day numbers of the time axis, used where `in_time`.
    """
    pixels, times = values.shape
    length = days[times - 1] + 1 if in_time else times
    kinds = int(np.sqrt(2.0 * length)) + 2 if in_time else 0  # so many different gaps fit into the record
    scratch = (
        np.empty(times + 1, np.int64),
        np.empty(times + 2, np.int64),
        np.empty(3 * times + 1, np.float64),
        entropy_scratch(times, kinds),
    )
    x, pos, w = np.empty(times), np.empty(times, np.int64), np.empty(times if weights.size else 0)
    gap, seen = np.empty(times if in_time else 0, np.int64), np.empty(length + 1, np.int64)
    for p in range(pixels):
        out[p, :] = np.nan
        n = 0
        for t in range(times):
            if np.isfinite(values[p, t]) and (weights.size == 0 or weights[p, t] >= 0.0):
                x[n] = values[p, t]
                pos[n] = days[t] if in_time else n
                if weights.size:
                    w[n] = weights[p, t]
                n += 1
        if n == 0:
            continue
        if in_time:
            number_gaps(pos[:n], gap, seen)
        span, gaps, weight = length if in_time else n, gap[: n - 1 if in_time else 0], w[: n if weights.size else 0]
        describe(x[:n], pos[:n], span, weight, gaps, options, scratch, out[p])
