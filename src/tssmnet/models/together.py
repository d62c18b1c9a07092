"""Fitting several models at once: one thread each, side by side on the cores of the processor.

A step of a small network or of boosting is too short for two threads to share: a second core gains little over one
within a fit, and nearly everything over two fits.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from tssmnet.models.base import Float
from tssmnet.progress import bar

MOST = 2
"""Fits side by side at most; each takes memory for its own table of samples."""

FEWEST = 20_000
"""Samples of the largest fit from which processes of their own are worth their start."""


class Fit(NamedTuple):
    """A model that is not fitted yet, its samples (`Samples` or an array (n, p)), and their target (n,), m3 m-3."""

    model: Any
    X: Any
    y: Float


def fit_together(fits: Sequence[Fit], title: str, device: str, progress: bool | None = None) -> list[Any]:
    """Fit all models and return them in their order.

    Parameters
    ----------
    fits
        What is to be fitted; no fit depends on another.
    title, progress
        Of the progress bar, see `tssmnet.progress.bar`.
    device
        Where the networks are trained, as in `tssmnet.reconstruct`. On a GPU, with few samples, or where torch is given
        a single thread, one fit follows the other in this process.
    """
    workers = min(MOST, len(fits), _threads(device))
    if workers < 2 or max(len(fit.y) for fit in fits) < FEWEST:
        return [fit.model.fit(fit.X, fit.y) for fit in bar(fits, title, progress=progress)]
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky import get_reusable_executor

    with parallel_config(backend="loky", inner_max_num_threads=1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped")  # one that has grown is replaced: no fault
        # large arrays are shared; torch wants them writable, so each process has its own copy once it writes
        pool = Parallel(n_jobs=workers, mmap_mode="c", return_as="generator")
        fitted = pool(delayed(fit.model.fit)(fit.X, fit.y) for fit in fits)
        done = list(bar(fitted, title, total=len(fits), progress=progress))
    get_reusable_executor().shutdown(wait=True)  # idle processes would keep their memory
    return done


def _threads(device: str) -> int:
    """Threads that torch may use for work on the processor; 1 where the work is a GPU's."""
    import torch

    from tssmnet.models.training import pick_device

    return torch.get_num_threads() if pick_device(device) == "cpu" else 1
