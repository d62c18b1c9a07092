"""What a fitted model leans on: how much worse it gets on held-out data when a group of features is shuffled.

Features that tell the same thing stand in for each other, so shuffling one of them alone shows little: rankings inside
such a group mean nothing. Groups are shuffled together, by one permutation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.errors import TssmnetError, require_known
from tssmnet.features.descriptors import DESCRIPTORS
from tssmnet.features.samples import Features, Samples
from tssmnet.features.screening import Screening, screen
from tssmnet.trials.trial import fit_trial

Groups = Mapping[str, Sequence[str]]


def written_out(samples: Samples, rows: int = 0, seed: int = 0) -> tuple[Samples, NDArray[np.int64]]:
    """Samples as a table of their own, so that columns can be shuffled, and which of the given samples they are.

    `samples`: any.
    `rows`: draw at most so many of them; 0 takes all.
    `seed`: of the draw.
    """
    chosen = np.arange(len(samples))
    if 0 < rows < len(samples):
        chosen = np.sort(np.random.default_rng(seed).choice(len(samples), rows, replace=False))
    return _as_table(samples, samples.take(chosen).table()), chosen


def _as_table(like: Samples, table: NDArray[np.float32]) -> Samples:
    """A table (n, p) as samples of one day, with the names and groups of `like`."""
    n = len(table)
    features = Features(np.empty((1, n, 0), np.float32), table, (), like.names, like.features.groups)
    return features.at(np.zeros(n), np.arange(n))


def permutation_importance(
    model: Any,
    samples: Samples,
    y: NDArray[Any],
    groups: Groups,
    *,
    repeats: int = 3,
    rows: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """How much the RMSE on held-out samples grows when the features of a group are shuffled together.

    `model`: Fitted.
    `samples`: held-out samples; the model must not have learned from them.
    `y`: observed soil moisture, shape (n,), m3 m-3.
    `groups`: name to its features; each group is shuffled by one permutation of the samples.
    `repeats`: permutations of each group.
    `rows`: draw at most so many samples; 0 takes all.
    `seed`: of the draw and of the permutations.
    Returns index ``group``; ``features`` (how many), ``increase`` and ``spread`` (mean and standard deviation over the
    repeats of the growth of the RMSE, m3 m-3), ``share`` (of the RMSE without shuffling). Largest first. Attribute
    ``rmse`` holds the RMSE without shuffling.
    Raises UnknownNameError if a group names a feature that is not there.
    Raises TssmnetError if `y` does not fit the samples or `repeats` is below 1.
    """
    if len(y) != len(samples) or repeats < 1:
        raise TssmnetError(f"{len(samples)} samples need as many values, and repeats >= 1; got {len(y)}, {repeats}")
    plain, chosen = written_out(samples, rows, seed)
    truth, table = np.asarray(y, np.float64)[chosen], plain.features.static
    before = _rmse(model, plain, truth)
    rng = np.random.default_rng([seed, 1])
    orders = [rng.permutation(len(truth)) for _ in range(repeats)]
    found = []
    for name, members in groups.items():
        columns = [plain.names.index(require_known(m, plain.names, f"feature in group {name!r}")) for m in members]
        shuffled = (_shuffled(table, columns, order) for order in orders)
        grown = [_rmse(model, _as_table(plain, other), truth) - before for other in shuffled]
        found.append((name, len(columns), np.mean(grown), np.std(grown), np.mean(grown) / before))
    out = pd.DataFrame(found, columns=["group", "features", "increase", "spread", "share"]).set_index("group")
    out.attrs["rmse"] = before
    return out.sort_values("increase", ascending=False)


def _shuffled(table: NDArray[np.float32], columns: Sequence[int], order: NDArray[np.int64]) -> NDArray[np.float32]:
    out = table.copy()
    out[:, columns] = table[order][:, columns]
    return out


def _rmse(model: Any, samples: Samples, truth: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean((model.predict(samples).astype(np.float64) - truth) ** 2)))


def kind_groups(features: Features) -> dict[str, list[str]]:
    """Groups by kind, as far as there are: forcing, memory, season, static, position, descriptor."""
    groups: dict[str, list[str]] = {}
    for name in features.names:
        groups.setdefault(features.groups[name], []).append(name)
    return groups


def descriptor_groups(names: Sequence[str], linked: Sequence[Sequence[str]] = ()) -> dict[str, list[str]]:
    """Groups of descriptors that must be shuffled together, each named by its members.

    `names`: the descriptors a model has.
    `linked`: further sets to keep together, such as the correlation groups of a `Screening`.
    Returns descriptors tied at equal length (`Descriptor.ties`) or linked, directly or through others, share a group;
    the rest stand alone. In the order of Table A1.

    Examples
    --------
    >>> list(descriptor_groups(["Mean", "Max", "Sum"]))
    ['Mean, Sum', 'Max']
    """
    ties: dict[str, list[str]] = {}
    for d in DESCRIPTORS:
        if d.ties:
            ties.setdefault(d.ties, []).append(d.abbr)
    label = {n: i for i, n in enumerate(names)}
    for together in [*ties.values(), *linked]:
        present = [label[n] for n in together if n in label]
        for n, at in label.items():
            if at in present:
                label[n] = min(present)
    groups: dict[int, list[str]] = {}
    for n, at in label.items():
        groups.setdefault(at, []).append(n)
    return {", ".join(members): members for members in groups.values()}


def short_name(group: str, members: int = 3) -> str:
    """A group's name as an axis can hold it.

    Examples
    --------
    >>> short_name("Mean, Sum"), short_name("a, b, c, d, e")
    ('Mean, Sum', 'a, b, c + 2')
    """
    names = group.split(", ")
    more = len(names) - members
    return ", ".join(names[:members]) + (f" + {more}" if more > 0 else "")


def screened_descriptors(features: Features) -> Screening:
    """The collinearity screening of the descriptors among the features, over the pixels that have them."""
    kept = [n for n in features.static_names if features.groups.get(n) == "descriptor"]
    table = features.select(kept).static.astype(np.float64)
    return screen(table[np.isfinite(table[:, 0])], kept)


def trial_importance(
    cube: xr.Dataset,
    model: str,
    features: str,
    gap: str = "blocks",
    params: Mapping[str, Any] | None = None,
    repeats: int = 3,
    rows: int = 10_000,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit a model on one feature set, and shuffle on the hidden observations: by kind, then the descriptors by group.

    `cube`, `model`, `features`, `gap`, `params`, `seed`: as for `tssmnet.trials.trial.fit_trial`.
    `repeats`, `rows`: as for `permutation_importance`.
    Returns fit for JSON: ``rmse`` without shuffling (m3 m-3), ``kind`` and ``descriptor``, the rows of
    `permutation_importance` by `kind_groups` and by `descriptor_groups`, the correlation groups of the screening among
    them.
    """
    fitted = fit_trial(cube, model, features, gap, seed=seed, params=params)
    samples, y = fitted.samples()
    kinds = kind_groups(fitted.features)
    names = kinds.get("descriptor", [])
    single = descriptor_groups(names, screened_descriptors(fitted.features).groups) if names else {}
    tables = {
        by: permutation_importance(fitted.model, samples, y, groups, repeats=repeats, rows=rows, seed=seed)
        for by, groups in (("kind", kinds), ("descriptor", single))
        if groups
    }
    out: dict[str, Any] = {by: table.reset_index().to_dict("records") for by, table in tables.items()}
    return {"model": model, "features": features, "rmse": tables["kind"].attrs["rmse"], **out}


def one_row_per_pixel(samples: Samples, y: NDArray[Any], seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """One sample of each pixel, drawn at random, for tests that take rows as independent.

    Returns features by name and observed soil moisture (m3 m-3), one row a pixel.
    """
    order = np.random.default_rng(seed).permutation(len(samples))
    first = order[np.unique(samples.pixel[order], return_index=True)[1]]
    table = pd.DataFrame(samples.take(first).table(), columns=list(samples.names), index=samples.pixel[first])
    return table, pd.Series(np.asarray(y)[first], table.index, name="ssm")


def relevance(table: pd.DataFrame, target: pd.Series) -> pd.DataFrame:
    """tsfresh's relevance test: Kendall's tau of each feature with the target, Benjamini-Hochberg over all features.

    `table`: rows of features; missing values take their column's median. Rows are taken as independent.
    `target`: one value a row. One in twenty kept features may be wrongly kept.
    Returns index ``feature``: ``p_value`` and ``relevant``. Constants are not relevant and have no p value.
    """
    from tsfresh.feature_selection.relevance import calculate_relevance_table

    filled = table.fillna(table.median()).astype(np.float64)
    found = calculate_relevance_table(filled, target, ml_task="regression", n_jobs=0, fdr_level=0.05)
    return found[["p_value", "relevant"]].rename_axis("feature").reindex(table.columns)
