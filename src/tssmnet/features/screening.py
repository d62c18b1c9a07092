"""Which of many collinear features to keep: one of each correlated group, then those of low variance inflation.

The screening sees feature values of training pixels only, never the target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tssmnet.errors import TssmnetError, require_known

Float = NDArray[np.float64]

RIDGE = 1e-10
"""Added to the diagonal of the correlation matrix, so that exact collinearity gives a huge VIF instead of an error."""


@dataclass(frozen=True)
class Screening:
    """What a screening kept and why it dropped the rest."""

    kept: tuple[str, ...]  # names that stay, in the order given
    dropped: Mapping[str, str]  # name to reason, in the order of dropping
    # correlation groups of the features that vary; the first of each is its representative
    groups: tuple[tuple[str, ...], ...]
    vif: Mapping[str, float]  # variance inflation factor of each kept feature among the kept

    def table(self) -> pd.DataFrame:
        """One row a feature: group (1, 2, ...; 0 if constant), whether it is kept, its VIF or the reason to drop it."""
        group = {name: g for g, members in enumerate(self.groups, 1) for name in members}
        names = sorted([*self.kept, *self.dropped], key=lambda n: (group.get(n, 0), n in self.dropped))
        rows = [(n, group.get(n, 0), n in self.kept, self.vif.get(n, np.nan), self.dropped.get(n, "")) for n in names]
        return pd.DataFrame(rows, columns=["feature", "group", "kept", "vif", "reason"])


def correlation_matrix(table: Float, method: Literal["spearman", "pearson"] = "spearman") -> Float:
    """Correlations of the columns of a table (rows, features) without missing values or constant columns."""
    if method == "spearman":
        table = pd.DataFrame(table).rank().to_numpy()
    return np.atleast_2d(np.corrcoef(table, rowvar=False))


def correlation_groups(correlation: Float, threshold: float) -> list[list[int]]:
    """Groups in which every pair has |r| > threshold (complete linkage), each sorted, in order of their first member.

    Examples
    --------
    >>> correlation_groups(np.array([[1, 0.2, -0.99], [0.2, 1, 0.1], [-0.99, 0.1, 1]]), 0.95)
    [[0, 2], [1]]
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(correlation) < 2:
        return [[i] for i in range(len(correlation))]
    distance = np.clip(1 - np.abs(correlation), 0, 2)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "complete")
    label = fcluster(tree, np.nextafter(1 - threshold, 0), "distance")
    groups = [np.flatnonzero(label == g).tolist() for g in np.unique(label)]
    return sorted(groups)


def variance_inflation(table: Float) -> Float:
    r"""Variance inflation factor of each column, :math:`1 / (1 - R_j^2)` of its regression on the others.

    Read off the inverse of the Pearson correlation matrix, of which it is the diagonal.
    """
    correlation = np.atleast_2d(np.corrcoef(table, rowvar=False))
    return np.diag(np.linalg.inv(correlation + RIDGE * np.eye(len(correlation))))


def screen(
    table: Any,
    names: Sequence[str] | None = None,
    *,
    max_correlation: float = 0.95,
    max_vif: float = 10.0,
    method: Literal["spearman", "pearson"] = "spearman",
) -> Screening:
    """Drop collinear features in two steps, the same way each time.

    1. Features that are constant, or missing in more than half of the rows, go. Other missing values take their
       column's median.
    2. Features fall into groups whose every pair has abs(r) > `max_correlation`. Each group is represented by its
       first member in the order of `names`: for descriptors that is Table A1's order, where the plain statistics come
       before their variants, so that different folds choose alike.
    3. While a variance inflation factor exceeds `max_vif`, the feature with the largest goes (the later one of equals).

    Parameters
    ----------
    table
        Shape (rows, features): one row a training pixel. An array, or a data frame that brings its own names.
    names
        Feature names, for an array.
    max_correlation
        Threshold of step 2, within (0, 1].
    max_vif
        Threshold of step 3, at least 1; infinity leaves it out.
    method
        Rank (Spearman) or linear (Pearson) correlation in step 2. Step 3 is linear.

    Raises
    ------
    TssmnetError
        If names and columns do not match or a threshold is out of range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(2, 100))
    >>> result = screen(np.stack([a, 2 * a, b, a + b], 1), ["a", "twice", "b", "sum"], max_correlation=0.95)
    >>> result.kept, dict(result.dropped)["twice"]
    (('a', 'b'), 'correlates with a (|r| = 1.000)')
    """
    require_known(method, ("spearman", "pearson"), "correlation method")
    values, names = _checked(table, names, max_correlation, max_vif)
    dropped: dict[str, str] = {}
    varying = _varying(values, names, dropped)
    filled = _filled(values[:, varying])
    if not varying:
        return Screening((), dropped, (), {})
    correlation = correlation_matrix(filled, method)
    groups = correlation_groups(correlation, max_correlation)
    for first, *others in groups:
        for j in others:
            r = abs(correlation[first, j])
            dropped[names[varying[j]]] = f"correlates with {names[varying[first]]} (|r| = {r:.3f})"
    kept = [g[0] for g in groups]
    vif = _eliminate(filled, kept, max_vif, [names[i] for i in varying], dropped)
    named = tuple(tuple(names[varying[i]] for i in g) for g in groups)
    order = sorted(kept)
    return Screening(
        tuple(names[varying[i]] for i in order), dropped, named, {names[varying[i]]: vif[i] for i in order}
    )


def _checked(
    table: Any, names: Sequence[str] | None, max_correlation: float, max_vif: float
) -> tuple[Float, tuple[str, ...]]:
    """The table as a float array and its column names."""
    given = tuple(str(n) for n in (names if names is not None else getattr(table, "columns", ())))
    values = np.asarray(table, np.float64)
    if values.ndim != 2 or values.shape[1] != len(given):
        raise TssmnetError(
            f"screening needs a table (rows, features) and one name a column; got {values.shape}, {given}"
        )
    if not 0 < max_correlation <= 1:
        raise TssmnetError(f"max_correlation must lie in (0, 1], got {max_correlation}")
    if not max_vif >= 1:
        raise TssmnetError(f"max_vif must be at least 1, got {max_vif}")
    return np.where(np.isfinite(values), values, np.nan), given


def _varying(values: Float, names: Sequence[str], dropped: dict[str, str]) -> list[int]:
    """Columns worth comparing; the others are noted in `dropped`."""
    keep = []
    for j, name in enumerate(names):
        known = values[np.isfinite(values[:, j]), j]
        if 2 * len(known) < len(values) or not len(known):
            dropped[name] = f"missing in {len(values) - len(known)} of {len(values)} rows"
        elif np.ptp(known) <= 1e-12 * np.abs(known).max():
            dropped[name] = "constant"
        else:
            keep.append(j)
    return keep


def _filled(values: Float) -> Float:
    """Missing values replaced by the median of their column."""
    return np.where(np.isnan(values), np.nanmedian(values, axis=0), values) if values.size else values


def _eliminate(
    table: Float, kept: list[int], max_vif: float, names: Sequence[str], dropped: dict[str, str]
) -> dict[int, float]:
    """Take the feature with the largest VIF out of `kept` until none exceeds `max_vif`; the VIFs that remain."""
    kept.sort()
    while True:
        vif = variance_inflation(table[:, kept])
        worst = len(kept) - 1 - int(np.argmax(vif[::-1]))
        if vif[worst] <= max_vif or len(kept) == 1:
            return dict(zip(kept, vif.tolist(), strict=True))
        dropped[names[kept[worst]]] = f"variance inflation factor {vif[worst]:.3g} among {len(kept)}"
        del kept[worst]
