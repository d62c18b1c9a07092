"""One setting chooses where dask tasks run."""

import dask
import pytest

from tssmnet.cluster import ClusterError, open_cluster
from tssmnet.errors import UnknownNameError


def test_without_a_cluster_there_is_no_client():
    with open_cluster("none") as client:
        assert client is None
        assert dask.compute(dask.delayed(sum)([1, 2]))[0] == 3


def test_without_a_cluster_the_active_client_is_taken_and_left_open():
    from distributed import Client

    with Client(processes=False, n_workers=1, dashboard_address=None) as active:
        with open_cluster() as client:
            assert client is active
        assert active.status == "running"


def test_local_workers_are_as_many_as_wanted():
    with open_cluster("local", 1) as client:
        assert len(client.scheduler_info()["workers"]) == 1
        assert client.submit(sum, [1, 2]).result() == 3


@pytest.mark.parametrize(("name", "near"), [("locl", "did you mean 'local'"), ("slurm", "Known: local, none, tcp://")])
def test_an_unknown_cluster_is_refused_with_what_is_known(name, near):
    with pytest.raises(UnknownNameError, match=near), open_cluster(name):
        pass


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    import distributed

    def refuse(*args, **kwargs):
        raise OSError("timed out")

    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(ClusterError, match=r"tcp://127.0.0.1:1.*timed out"), open_cluster("tcp://127.0.0.1:1"):
        pass
