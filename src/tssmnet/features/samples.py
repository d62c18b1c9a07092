"""What a model sees: feature arrays over (time, pixel), and rows that point into them.

A cube of n days and m pixels has n*m possible samples. Writing them out as a table repeats each static value n times,
so the arrays stay apart, a sample is a pair of indices, and a table exists only for the models that need one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tssmnet.errors import TssmnetError, require_known

Float = NDArray[np.float32]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Features:
    """Predictors of every pixel-day, the static ones stored once per pixel."""

    dynamic: Float  # shape (time, pixel, d), float32, NaN where a predictor is missing
    static: Float  # shape (pixel, s), float32
    # dynamic_names, static_names: one name per last-axis entry
    dynamic_names: tuple[str, ...]
    static_names: tuple[str, ...]
    # name to group (``forcing``, ``memory``, ``season``, ``static``, ``position``, ``descriptor``), for grouped
    # importance
    groups: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.dynamic.ndim != 3 or self.static.ndim != 2:
            raise TssmnetError(
                "features need dynamic (time, pixel, d) and static (pixel, s); "
                f"got {self.dynamic.shape} and {self.static.shape}"
            )
        if self.dynamic.shape[1] != self.static.shape[0]:
            raise TssmnetError(f"dynamic has {self.dynamic.shape[1]} pixels, static has {self.static.shape[0]}")
        if (self.dynamic.shape[2], self.static.shape[1]) != (len(self.dynamic_names), len(self.static_names)):
            raise TssmnetError("each feature needs one name")

    @property
    def names(self) -> tuple[str, ...]:
        """All names, dynamic first: the column order of `Samples.table`."""
        return self.dynamic_names + self.static_names

    @property
    def shape(self) -> tuple[int, int]:
        """(number of days, number of pixels)."""
        return self.dynamic.shape[0], self.dynamic.shape[1]

    def at(self, time: NDArray[Any], pixel: NDArray[Any]) -> Samples:
        """Samples at index pairs (time[i], pixel[i])."""
        return Samples(self, np.asarray(time, np.int64), np.asarray(pixel, np.int64))

    def where(self, mask: NDArray[np.bool_]) -> Samples:
        """Samples at the true cells of a (time, pixel) mask, in row-major order."""
        time, pixel = np.nonzero(mask)
        return self.at(time, pixel)

    def select(self, names: Sequence[str]) -> Features:
        """The same arrays with only the features in `names`, in the stored order."""
        for name in names:
            require_known(name, self.names, "feature")
        d = [i for i, n in enumerate(self.dynamic_names) if n in names]
        s = [i for i, n in enumerate(self.static_names) if n in names]
        return Features(
            self.dynamic[:, :, d],
            self.static[:, s],
            tuple(self.dynamic_names[i] for i in d),
            tuple(self.static_names[i] for i in s),
            {n: g for n, g in self.groups.items() if n in names},
        )


@dataclass(frozen=True)
class Samples:
    """Rows of `Features`: sample i is day `time[i]` of pixel `pixel[i]`."""

    features: Features
    time: Index
    pixel: Index

    def __len__(self) -> int:
        return len(self.time)

    @property
    def names(self) -> tuple[str, ...]:
        """Column names of `table`."""
        return self.features.names

    def take(self, rows: NDArray[Any]) -> Samples:
        """The samples at `rows` (indices or a mask)."""
        return Samples(self.features, self.time[rows], self.pixel[rows])

    def table(self) -> Float:
        """All samples written out, shape (n, d + s)."""
        f = self.features
        return np.concatenate([f.dynamic[self.time, self.pixel], f.static[self.pixel]], axis=1)


def as_samples(X: Any) -> Samples:
    """Accept a plain 2-D array or data frame where `Samples` are expected: each row becomes a pixel with one day.

    Raises
    ------
    TssmnetError
        If `X` is neither samples nor two-dimensional.
    """
    if isinstance(X, Samples):
        return X
    names = tuple(str(c) for c in getattr(X, "columns", ()))
    values = np.asarray(X, np.float32)
    if values.ndim != 2:
        raise TssmnetError(f"a model takes Samples or a 2-D array (samples, features); got shape {values.shape}")
    n, p = values.shape
    features = Features(np.empty((1, n, 0), np.float32), values, (), names or tuple(f"x{i}" for i in range(p)))
    return features.at(np.zeros(n), np.arange(n))
