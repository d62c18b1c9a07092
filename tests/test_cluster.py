"""One setting chooses where dask tasks run."""

import sys

import dask
import pytest

from tssmnet.cluster import CLUSTERS, ClusterError, open_cluster


def test_without_a_cluster_there_is_no_client():
    with open_cluster("none") as client:
        assert client is None
        assert dask.compute(dask.delayed(sum)([1, 2]))[0] == 3


def test_an_unknown_cluster_is_refused_with_the_nearest_name():
    with pytest.raises(ClusterError, match="did you mean 'slurm'"), open_cluster("slrum"):
        pass


@pytest.mark.parametrize(
    ("setting", "module", "package"),
    [("slurm", "dask_jobqueue", "dask-jobqueue"), ("kubernetes", "dask_kubernetes", "dask-kubernetes")],
)
def test_a_missing_package_is_named_with_the_way_to_get_it(setting, module, package, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ClusterError, match=f"pip install {package}"), open_cluster(setting):
        pass


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    import distributed

    def refuse(*args, **kwargs):
        raise OSError("timed out")

    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(ClusterError, match=r"tcp://127.0.0.1:1.*timed out"), open_cluster("tcp://127.0.0.1:1"):
        pass


def test_slurm_is_asked_for_the_workers_that_are_wanted(monkeypatch):
    asked = []

    class Cluster:
        def scale(self, jobs):
            asked.append(jobs)

    monkeypatch.setitem(sys.modules, "dask_jobqueue", type("M", (), {"SLURMCluster": Cluster}))
    assert isinstance(CLUSTERS["slurm"](5), Cluster)
    assert asked == [5]
