"""Where dask tasks run: in this process, in processes of this machine, or on a running scheduler.

The setting changes which client is opened and nothing else: work is written as dask tasks and asks no client.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tssmnet.errors import TssmnetError, require_known

ADDRESS = ("tcp://", "tls://", "ucx://", "ws://", "wss://")

CLUSTERS = ("none", "local")
"""Settings that are no address."""

EXAMPLE = "tcp://host:8786"


class ClusterError(TssmnetError):
    """A cluster that cannot be opened: nobody answers at its address."""


def check_cluster(setting: str) -> str:
    """Return the setting if it is an address or one of `CLUSTERS`.

    >>> check_cluster("locl")
    Traceback (most recent call last):
    ...
    tssmnet.errors.UnknownNameError: unknown cluster 'locl'; did you mean 'local'? Known: local, none, tcp://host:8786
    """
    return setting if setting.startswith(ADDRESS) else require_known(setting, (*CLUSTERS, EXAMPLE), "cluster")


@contextmanager
def open_cluster(setting: str = "none", workers: int = 0) -> Iterator[Any]:
    """Open the dask client of a setting for the length of a block.

    Parameters
    ----------
    setting
        ``"none"``: this process, or the ``dask.distributed`` client that is active in it; ``"local"``: processes of
        this machine; or the address of a running scheduler, ``"tcp://host:8786"``.
    workers
        Of ``"local"``, how many; 0 takes all cores.

    Yields
    ------
    distributed.Client or None
        None for ``"none"`` without an active client.

    Raises
    ------
    UnknownNameError
        If the setting is unknown.
    ClusterError
        If the scheduler does not answer.

    Examples
    --------
    >>> with open_cluster("none") as client:
    ...     print(client)
    None
    """
    check_cluster(setting)
    if setting == "none":
        yield _active_client()
    elif setting == "local":
        with _local(workers) as cluster, _client(cluster, setting) as client:
            yield client
    else:
        with _client(setting, setting) as client:
            yield client


def _active_client() -> Any:
    """The client of ``dask.distributed`` that is active in this process, if any; nothing is imported to find out."""
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client

    try:
        return default_client()
    except ValueError:
        return None


def _client(where: Any, setting: str) -> Any:
    from distributed import Client

    try:
        return Client(where, set_as_default=True, timeout="20s")
    except (OSError, TimeoutError, ValueError) as error:  # ValueError: the address itself is none
        raise ClusterError(f"no dask scheduler answers for cluster {setting!r}: {error}") from error


def _local(workers: int) -> Any:
    from distributed import LocalCluster

    count = workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else workers or None
    return LocalCluster(n_workers=count, threads_per_worker=1, processes=True, dashboard_address=None)
