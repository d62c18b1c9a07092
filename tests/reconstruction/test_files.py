"""From file to file in blocks: the same values as in memory, whatever the blocks, the kill or the cluster."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from tssmnet.cube import SOURCE_FLAGS, open_dataset, write_cube
from tssmnet.errors import TssmnetError, UnknownNameError
from tssmnet.reconstruction import by_filler, by_samples, files
from tssmnet.reconstruction.blocks import Grid, block_shape, cut, in_order
from tssmnet.reconstruction.by_samples import draw_pixels
from tssmnet.reconstruction.files import reconstruct_file
from tssmnet.reconstruction.fitted import choose, load
from tssmnet.reconstruction.job import content_sum
from tssmnet.reconstruction.memory import reconstruct
from tssmnet.testing import mock_cube

TREES = {"model": "xgboost", "rounds": 20, "depth": 3}
SMALL = 2_200  # bytes of a block: two pixels of the cubes below


def scattered():
    """Synthetic; one pixel was never observed, one lacks every predictor, as the sea does."""
    cube = mock_cube(days=90, pixels=11, seed=1)
    cube["ssm"][:, 3] = np.nan
    for name in ("ssm", "precipitation", "air_temperature"):
        cube[name][:, 7] = np.nan
    return cube


def gridded():
    return mock_cube(days=90, shape=(5, 4), seed=2)


def in_memory(cube, *args, **call):
    return reconstruct(in_order(cube), *args, **call)


def bytes_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def same_values(path, expected):
    found = open_dataset(path).load()
    assert set(found.variables) == set(expected.variables)
    for name, variable in expected.variables.items():
        assert found[name].dims == variable.dims
        np.testing.assert_array_equal(found[name].values, variable.values, err_msg=str(name))
        assert found[name].dtype == variable.dtype or name == "time"
    told = {k: v for k, v in found.attrs.items() if k not in ("history", "tssmnet_input_sha256", "tssmnet_job")}
    assert told == {k: expected.attrs[k] for k in told}
    return found


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
@pytest.mark.parametrize("make", [scattered, gridded])
def test_blocks_give_what_memory_gives(make, suffix, tmp_path):
    cube = make()
    path = write_cube(cube, tmp_path / f"cube{suffix}")
    assert len(cut(open_dataset(path), SMALL)) > 4
    filled = reconstruct_file(path, tmp_path / f"out{suffix}", block_bytes=SMALL, **TREES)
    found = same_values(tmp_path / f"out{suffix}", in_memory(cube, **TREES))
    assert filled.counts == {n: int((found["source"] == f).sum()) for n, f in SOURCE_FLAGS.items()}
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("call", [{"model": "linear"}, {"model": "rf", "features": "lag+screened", "trees": 5}])
def test_other_models_and_a_screening_too(call, tmp_path):
    cube = gridded()
    path = write_cube(cube, tmp_path / "cube.zarr")
    reconstruct_file(path, tmp_path / "out.zarr", block_bytes=SMALL, **call)
    same_values(tmp_path / "out.zarr", in_memory(cube, **call))


def test_a_network_gives_the_same_to_rounding(tmp_path):
    cube = scattered()
    path = write_cube(cube, tmp_path / "cube.zarr")
    reconstruct_file(path, tmp_path / "out.zarr", "tssmnet", block_bytes=SMALL, epochs=1, layers=(16, 8))
    expected = in_memory(cube, "tssmnet", epochs=1, layers=(16, 8))
    found = open_dataset(tmp_path / "out.zarr")
    np.testing.assert_allclose(found["ssm_model"], expected["ssm_model"], atol=1e-5)
    assert np.array_equal(found["source"], expected["source"])


KILLED = """
import os, signal, sys
from tssmnet import provenance
from tssmnet.reconstruction import files
provenance.commit = lambda: ("same", False)
provenance.library_hashes = lambda *a, **k: {}
whole = files.fill_block
def deadly(folder, index):
    if index == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(folder, index)
files.fill_block = deadly
files.reconstruct_file(sys.argv[1], sys.argv[2], "xgboost", rounds=20, depth=3, block_bytes=int(sys.argv[3]))
"""


def of_one_moment(monkeypatch):
    """Date, commit and library as they are for all runs of a test, so that their outputs can agree to the byte."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setattr("tssmnet.provenance.commit", lambda: ("same", False))
    monkeypatch.setattr("tssmnet.provenance.library_hashes", lambda *a, **k: {})


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_a_killed_run_goes_on_where_it_was_and_ends_the_same(suffix, tmp_path, monkeypatch):
    of_one_moment(monkeypatch)
    path, out = write_cube(gridded(), tmp_path / "cube.zarr"), tmp_path / f"out{suffix}"
    run = subprocess.run([sys.executable, "-c", KILLED, str(path), str(out), str(SMALL)], check=False)
    assert run.returncode == -signal.SIGKILL
    assert not out.exists()
    computed, whole = [], files.fill_block
    monkeypatch.setattr(files, "fill_block", lambda f, i: computed.append(i) or whole(f, i))
    monkeypatch.setattr(by_samples, "_fit_both", None)  # the fitted model is found again
    reconstruct_file(path, out, block_bytes=SMALL, **TREES)
    assert computed == list(range(3, len(cut(open_dataset(path), SMALL))))
    monkeypatch.undo()
    of_one_moment(monkeypatch)
    once = tmp_path / "once" / f"out{suffix}"
    reconstruct_file(path, once, block_bytes=SMALL, **TREES)
    if suffix == ".zarr":
        assert bytes_of(out) == bytes_of(once)
    xr.testing.assert_identical(open_dataset(out).load(), open_dataset(once).load())


def test_what_was_begun_with_other_settings_or_data_is_not_taken_over(tmp_path, monkeypatch):
    path, out = write_cube(scattered(), tmp_path / "cube.zarr"), tmp_path / "out.zarr"
    whole = files.fill_block

    def interrupted(folder, index):
        if index:
            raise KeyboardInterrupt
        return whole(folder, index)

    monkeypatch.setattr(files, "fill_block", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reconstruct_file(path, out, "linear", block_bytes=SMALL)
    monkeypatch.undo()
    assert len([*tmp_path.glob(".out.zarr.*.work")]) == 1
    reconstruct_file(path, out, "linear", block_bytes=2 * SMALL)
    assert [*tmp_path.glob(".out*")] == []  # nobody will go on with the first one: its output is another's now
    changed = scattered()
    changed["ssm"][0, 0] = 0.2
    other = write_cube(changed, tmp_path / "other.zarr")
    assert content_sum(other) != content_sum(path)


@pytest.mark.slow
def test_a_dask_cluster_of_two_processes_writes_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    from distributed import Client, LocalCluster

    path = write_cube(gridded(), tmp_path / "cube.zarr")
    reconstruct_file(path, tmp_path / "alone" / "out.zarr", block_bytes=SMALL, **TREES)
    with (
        LocalCluster(2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(2)
        reconstruct_file(path, tmp_path / "active" / "out.zarr", block_bytes=SMALL, **TREES)
        address = cluster.scheduler_address
        reconstruct_file(path, tmp_path / "named" / "out.zarr", block_bytes=SMALL, scheduler=address, **TREES)
    alone = bytes_of(tmp_path / "alone" / "out.zarr")
    assert bytes_of(tmp_path / "active" / "out.zarr") == alone
    assert bytes_of(tmp_path / "named" / "out.zarr") == alone


def test_rows_are_drawn_from_observations_of_pixels_all_over_the_map(tmp_path, monkeypatch):
    cube = mock_cube(days=90, pixels=40, seed=3)
    path = write_cube(cube, tmp_path / "cube.zarr")
    monkeypatch.setattr(by_samples, "ROWS_PER_PIXEL", 10)
    seen = []
    made = by_samples._drawn_samples
    monkeypatch.setattr(by_samples, "_drawn_samples", lambda *a: seen.append(made(*a)) or seen[-1])
    filled = reconstruct_file(path, tmp_path / "out.zarr", block_bytes=SMALL, rows=200, **TREES)
    X, y = seen[0]
    assert len(X) == len(y) == 200
    assert X.features.shape == (10, 20)
    # each row has the features that its pixel and day have in memory
    observed, recipe = cube["ssm"].notnull().values, choose("xgboost", None, {}, 0, "cpu")
    features = by_samples.features_of(in_order(cube), observed, recipe, None)
    table = features.where(cube["ssm"].notnull().values)
    rows = {r.tobytes(): t for r, t in zip(table.table(), cube["ssm"].values[table.time, table.pixel], strict=True)}
    assert [rows[r.tobytes()] for r in X.table()] == y.tolist()
    assert filled.counts["outside"] == 0


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60).filter(any), st.integers(1, 400), st.integers(0, 9))
def test_drawn_pixels_are_observed_sorted_and_keep_to_the_rows(counts, rows, seed):
    counts = np.array(counts)
    pixels, most = draw_pixels(counts, rows, seed)
    assert (counts[pixels] > 0).all()
    assert (np.diff(pixels) > 0).all()
    taken = np.minimum(counts[pixels], most).sum()
    assert taken == counts.sum() if counts.sum() <= rows else taken <= max(rows, len(pixels))


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=2),
    st.integers(1, 500),
)
@settings(max_examples=60)
def test_blocks_cover_the_map_once_and_keep_to_their_size(dims, most):
    sizes, chunks = tuple(d[0] for d in dims), tuple(d[1] for d in dims)
    grid = Grid(("y", "x")[: len(dims)], sizes, block_shape(sizes, chunks, most))
    assert np.prod(grid.shape) <= most
    covered = np.concatenate([grid.pixels(i) for i in range(len(grid))])
    assert sorted(covered.tolist()) == list(range(int(np.prod(sizes))))


def test_a_block_does_not_grow_with_the_record_nor_with_the_map():
    sizes = []
    for days, pixels in ((100, 500), (1000, 500), (1000, 5000)):
        cube = xr.Dataset({n: (("time", "pixel"), np.zeros((days, pixels), "f4")) for n in ("ssm", "rain")})
        shape = cut(cube, 400_000).shape
        sizes.append(shape[0] * days * 8)
    assert max(sizes) <= 400_000
    assert sizes[1] == sizes[2]


FILLER = {
    "model": "filler", "folds": 2, "parts": 2, "networks": (), "strangers": (), "far": (), "epochs": 1, "hidden": 8,
    "forward": {"rounds": 10, "depth": 4}, "boosting": {"rounds": 10, "depth": 4}, "few_events": 0,
}  # fmt: skip


@pytest.mark.parametrize("make", [scattered, gridded])
def test_the_filler_in_blocks_gives_what_it_gives_in_memory(make, tmp_path, monkeypatch):
    monkeypatch.setattr(by_filler, "MEMORY_BLOCKS", 0)  # so that the cube is taken for a large one
    cube = make()
    path = write_cube(cube, tmp_path / "cube.zarr")
    filled = reconstruct_file(path, tmp_path / "out.zarr", block_bytes=100 * SMALL, **FILLER)
    expected = in_memory(cube, **FILLER)
    found = same_values(tmp_path / "out.zarr", expected)
    assert all(v.attrs["long_name"] == expected[n].attrs["long_name"] for n, v in found.data_vars.items())
    assert filled.counts == {n: int((found["source"] == f).sum()) for n, f in SOURCE_FLAGS.items()}


@pytest.mark.slow
def test_the_filler_learns_from_patches_and_a_pixel_has_its_value_whatever_the_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(by_filler, "MEMORY_BLOCKS", 0)
    monkeypatch.setattr("tssmnet.filler.patches.NEIGHBOURS", 6)
    monkeypatch.setattr("tssmnet.filler.evidence.NEIGHBOURS", 6)
    path = write_cube(mock_cube(days=60, shape=(8, 6), seed=2), tmp_path / "cube.zarr")
    learned = []
    whole = by_filler.learn
    monkeypatch.setattr(by_filler, "learn", lambda *a, **k: learned.append(k["numbers"]) or whole(*a, **k))
    outs = []
    for k, size in enumerate((400_000, 800_000)):  # four blocks and two
        reconstruct_file(path, tmp_path / f"{k}.zarr", block_bytes=size, rows=300, **FILLER)
        outs.append(open_dataset(tmp_path / f"{k}.zarr").load().drop_attrs())
    assert 7 <= len(learned[0]) < 30
    xr.testing.assert_identical(*outs)
    assert not outs[0].ssm.isnull().any()


@pytest.mark.slow
@pytest.mark.parametrize("step", ["first_block", "fill_block"])
def test_an_interrupted_filler_goes_on_at_its_block_without_learning_anew(step, tmp_path, monkeypatch):
    of_one_moment(monkeypatch)
    monkeypatch.setattr(by_filler, "MEMORY_BLOCKS", 0)
    path, call = write_cube(gridded(), tmp_path / "cube.zarr"), {"block_bytes": 200_000, **FILLER}
    reconstruct_file(path, tmp_path / "once" / "out.zarr", **call)
    whole, computed = getattr(files, step), []

    def interrupted(folder, index):
        if index == 2:
            raise KeyboardInterrupt
        return whole(folder, index)

    monkeypatch.setattr(files, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        reconstruct_file(path, tmp_path / "out.zarr", **call)
    monkeypatch.setattr(by_filler, "learn", None)
    monkeypatch.setattr(files, step, lambda f, i: computed.append(i) or whole(f, i))
    reconstruct_file(path, tmp_path / "out.zarr", **call)
    assert computed[0] == 2
    assert bytes_of(tmp_path / "out.zarr") == bytes_of(tmp_path / "once" / "out.zarr")


class Planted:
    """Unpickled, it would write a file."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return open, (self.target, "w")


def test_a_file_planted_in_the_work_folder_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(by_filler, "MEMORY_BLOCKS", 0)
    path, call = write_cube(gridded(), tmp_path / "cube.zarr"), {"block_bytes": 200_000, **FILLER}
    with monkeypatch.context() as killed:
        killed.setattr(files, "_run", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            reconstruct_file(path, tmp_path / "out.zarr", **call)
    (work,) = tmp_path.glob(".out.zarr.*.work")
    kept = [p for p in work.rglob("*") if p.is_file() and "zarr" not in str(p.relative_to(work))]
    assert {p.suffix for p in kept} <= {".json", ".ubj", ".safetensors"}
    for folder in {work, *(p.parent for p in kept)}:
        for name in ("filler.pickle", "model.pkl", "model.pt"):
            (folder / name).write_bytes(pickle.dumps(Planted(tmp_path / "ran")))
    model = shutil.copytree(work / files.MODEL, tmp_path / "model")
    reconstruct_file(path, tmp_path / "out.zarr", **call)
    for file in model.rglob("booster.ubj"):  # nor does one in place of a model's own file
        file.write_bytes(pickle.dumps(Planted(tmp_path / "ran")))
    with pytest.raises(TssmnetError, match="cannot be read"):
        load(model, choose("filler", None, {k: v for k, v in FILLER.items() if k != "model"}, 0, "cpu"))
    assert not (tmp_path / "ran").exists()


def test_unknown_names_are_refused_before_anything_is_read_or_written(tmp_path):
    path = write_cube(scattered(), tmp_path / "cube.zarr")
    with pytest.raises(UnknownNameError, match="did you mean 'rounds'"):
        reconstruct_file(path, tmp_path / "out.zarr", "xgboost", rouns=3)
    assert os.listdir(tmp_path) == ["cube.zarr"]


def test_a_cube_without_any_observation_is_refused(tmp_path):
    cube = scattered()
    path = write_cube(cube, tmp_path / "cube.zarr")
    recipe = choose("xgboost", None, {}, 0, "cpu")
    job = files.job_for(open_dataset(path), path, tmp_path / "out.zarr", recipe, 10, SMALL)
    cube.assign(ssm=cube.ssm * np.nan).to_zarr(path, mode="w")
    with pytest.raises(TssmnetError, match=r"cube\.zarr: ssm has no observation at all"):
        files._prepare(job, open_dataset(path), False)


def test_a_netcdf_file_whose_variables_lie_in_one_piece_is_filled_too(tmp_path, monkeypatch):
    cube, path = gridded(), tmp_path / "cube.nc"
    cube.to_netcdf(path, engine="h5netcdf")
    monkeypatch.setattr(files, "BLOCK_BYTES", 100)  # so that it is taken for a large one
    reconstruct_file(path, tmp_path / "out.nc", "linear", block_bytes=SMALL)
    same_values(tmp_path / "out.nc", in_memory(cube, "linear"))
