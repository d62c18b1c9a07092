"""Where dask tasks run: threads of this process, processes of this machine, SLURM, Kubernetes, or a running scheduler.

The setting changes which client is opened and nothing else: work is written as dask tasks and asks no client.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from tssmnet.errors import TssmnetError

ADDRESS = ("tcp://", "tls://", "ucx://", "ws://", "wss://")


class ClusterError(TssmnetError):
    """A cluster that cannot be opened: unknown, its package is not installed, or nobody answers."""


@contextmanager
def open_cluster(setting: str = "none", workers: int = 0) -> Iterator[Any]:
    """Open the dask client of a setting for the length of a block.

    Parameters
    ----------
    setting
        ``"none"``: threads of this process; ``"local"``: processes of this machine; ``"slurm"``: jobs of a SLURM
        cluster, queue, memory and walltime from dask's own configuration (``~/.config/dask/jobqueue.yaml``);
        ``"kubernetes"``: pods through the dask operator; or the address of a running scheduler, ``"tcp://host:8786"``.
    workers
        How many; 0 leaves it to dask (all cores locally, two jobs or pods elsewhere).

    Yields
    ------
    distributed.Client or None
        None for ``"none"``.

    Raises
    ------
    ClusterError
        If the setting is unknown, its package is not installed, or the scheduler does not answer.

    Examples
    --------
    >>> with open_cluster("none") as client:
    ...     print(client)
    None
    """
    if setting == "none":
        yield None
        return
    if setting.startswith(ADDRESS):
        with _client(setting, setting) as client:
            yield client
        return
    if setting not in CLUSTERS:
        near = get_close_matches(setting, [*CLUSTERS, "none"], n=1)
        raise ClusterError(
            f"unknown cluster {setting!r}{f'; did you mean {near[0]!r}?' if near else '.'} Known: none, "
            f"{', '.join(CLUSTERS)}, or the address of a scheduler such as tcp://host:8786"
        )
    with CLUSTERS[setting](workers) as cluster, _client(cluster, setting) as client:
        yield client


def _client(where: Any, setting: str) -> Any:
    from distributed import Client

    try:
        return Client(where, set_as_default=True, timeout="20s")
    except (OSError, TimeoutError) as error:
        raise ClusterError(f"no dask scheduler answers for cluster {setting!r}: {error}") from error


def _local(workers: int) -> Any:
    from distributed import LocalCluster

    count = workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else workers or None
    return LocalCluster(n_workers=count, threads_per_worker=1, processes=True, dashboard_address=None)


def _slurm(workers: int) -> Any:
    cluster = _imported("dask_jobqueue", "dask-jobqueue", "slurm").SLURMCluster()
    cluster.scale(jobs=workers or 2)
    return cluster


def _kubernetes(workers: int) -> Any:
    operator = _imported("dask_kubernetes.operator", "dask-kubernetes", "kubernetes")
    return operator.KubeCluster(name="tssmnet", n_workers=workers or 2)


CLUSTERS: Mapping[str, Callable[[int], Any]] = {"local": _local, "slurm": _slurm, "kubernetes": _kubernetes}
"""Setting to what opens it."""


def _imported(module: str, package: str, setting: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ClusterError(
            f"cluster {setting!r} needs the package {package}, which is not installed; install it with "
            f"`python -m pip install {package}`, or choose none, local or the address of a running scheduler"
        ) from error
