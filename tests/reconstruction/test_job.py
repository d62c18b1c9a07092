"""Work in progress: one process at a time, on the input it began with, and only what is sound is kept."""

import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tssmnet import cli
from tssmnet.cube import open_dataset, write_cube
from tssmnet.disk import OutputError
from tssmnet.errors import TssmnetError
from tssmnet.reconstruction import files
from tssmnet.reconstruction.files import reconstruct_file
from tssmnet.reconstruction.memory import reconstruct
from tssmnet.testing import mock_cube

SMALL = 2_200  # bytes of a block: two pixels of the cubes below
TREES = {"model": "xgboost", "rounds": 5, "depth": 3, "block_bytes": SMALL}
FILLER = {
    "model": "filler", "folds": 2, "parts": 2, "networks": (), "strangers": (), "far": (), "epochs": 1, "hidden": 8,
    "forward": {"rounds": 10, "depth": 4}, "boosting": {"rounds": 10, "depth": 4}, "few_events": 0,
}  # fmt: skip


def a_cube(seed=1):
    """Synthetic; one pixel was never observed, one lacks every predictor."""
    cube = mock_cube(days=90, pixels=11, seed=seed).assign_coords(pixel=np.arange(100, 111))
    cube["ssm"][:, 3] = np.nan
    for name in ("ssm", "precipitation", "air_temperature"):
        cube[name][:, 7] = np.nan
    return cube


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    return write_cube(a_cube(), tmp_path / "cube.zarr")


def bytes_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def hidden(folder):
    return [p.name for p in folder.iterdir() if p.name.startswith(".")]


RUN = """
import os, signal, sys
from tssmnet import disk
from tssmnet.reconstruction import files
cube, out, moment = sys.argv[1:]
def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
whole = files.fill_block
if moment == "block":
    files.fill_block = lambda folder, index: kill() if index == 3 else whole(folder, index)
elif moment == "before the swap":
    disk._swap = kill
elif moment == "after the swap":
    swap = disk._swap
    disk._swap = lambda new, path: swap(new, path) or (os.path.basename(path).startswith("out") and kill())
files.reconstruct_file(cube, out, "xgboost", rounds=5, depth=3, block_bytes=2200)
"""


def start(cube, out, moment="none"):
    return subprocess.Popen([sys.executable, "-c", RUN, str(cube), str(out), moment], stderr=subprocess.PIPE, text=True)


def killed(cube, out, moment):
    run = start(cube, out, moment)
    run.communicate()
    assert run.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_the_same_command_started_twice_works_once_and_loses_nothing(source, tmp_path):
    reconstruct_file(source, tmp_path / "alone" / "out.zarr", **TREES)
    runs = [start(source, tmp_path / "out.zarr") for _ in range(2)] + [start(source, tmp_path / "out.nc")]
    said = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], said
    assert sorted("is at work on it" in s for s in said[:2]) == [False, True]
    assert said[2] == ""
    assert bytes_of(tmp_path / "out.zarr").keys() == bytes_of(tmp_path / "alone" / "out.zarr").keys()
    alone = open_dataset(tmp_path / "alone" / "out.zarr").load().drop_attrs()
    for name in ("out.zarr", "out.nc"):
        xr.testing.assert_identical(open_dataset(tmp_path / name).load().drop_attrs(), alone)
    assert hidden(tmp_path) == []


@pytest.mark.slow
def test_a_run_goes_on_with_its_own_input_whatever_has_its_name_now(source, tmp_path):
    out = tmp_path / "out.zarr"
    killed(source, out, "block")
    moved = source.rename(tmp_path / "moved.zarr")
    write_cube(a_cube(seed=2), source)
    for path, seed in ((moved, 1), (source, 2)):
        reconstruct_file(path, out, **TREES)
        observed = a_cube(seed)["ssm"].values
        found = open_dataset(out)["ssm"].values
        np.testing.assert_array_equal(found[np.isfinite(observed)], observed[np.isfinite(observed)])
    assert hidden(tmp_path) == []


def test_an_input_that_changes_under_the_work_is_an_error_and_gives_no_output(source, tmp_path, monkeypatch):
    whole = files.fill_block

    def swapping(folder, index):
        if index == 2:
            write_cube(a_cube(seed=2), source)
        return whole(folder, index)

    monkeypatch.setattr(files, "fill_block", swapping)
    with pytest.raises(TssmnetError, match=r"cube\.zarr was changed while it was being filled"):
        reconstruct_file(source, tmp_path / "out.zarr", **TREES)
    assert sorted(os.listdir(tmp_path)) == ["cube.zarr"]


def test_a_users_folder_at_the_outputs_place_is_left_alone(source, tmp_path, capsys):
    (tmp_path / "work.zarr").mkdir()
    (tmp_path / "work.zarr" / "thesis.txt").write_text("years")
    inside = source.rename(tmp_path / "work.zarr" / "cube.zarr")
    for out in (tmp_path / "work.zarr", inside, inside / "ssm" / "out.zarr"):
        before = bytes_of(tmp_path)
        with pytest.raises(OutputError):
            reconstruct_file(inside, out, "linear")
        assert cli.main(["reconstruct", str(inside), str(out), "--model", "linear"]) == 2
        assert capsys.readouterr().err.count("\n") == 1
        assert bytes_of(tmp_path) == before


@pytest.mark.parametrize("model", ["linear", "climatology", "dctpls"])
@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_a_baseline_is_the_same_in_blocks_of_any_size_and_in_memory(model, suffix, source, tmp_path):
    expected = reconstruct(open_dataset(source).load(), model)
    for size in (SMALL, 4 * SMALL, 2**20):
        reconstruct_file(source, tmp_path / f"out{suffix}", model, block_bytes=size)
        found = open_dataset(tmp_path / f"out{suffix}")
        np.testing.assert_allclose(found["ssm_model"], expected["ssm_model"], rtol=0, atol=2e-7)
        np.testing.assert_array_equal(found["source"], expected["source"])


def begun(source, out):
    """A run that ended after three blocks; gives its folder."""
    whole, left = files.fill_block, [0, 1, 2]

    def interrupted(folder, index):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return whole(folder, index)

    files.fill_block = interrupted
    try:
        with pytest.raises(KeyboardInterrupt):
            reconstruct_file(source, out, **TREES)
    finally:
        files.fill_block = whole
    (work,) = out.parent.glob(f".{out.name}.*.work")
    return work


@pytest.mark.slow
@pytest.mark.parametrize("how", ["a bit flipped", "cut", "lost"])
def test_a_damaged_work_folder_is_seen_and_never_changes_the_result(how, source, tmp_path, capsys):
    out, rng = tmp_path / "out.zarr", np.random.default_rng(3)
    work = begun(source, out)
    names = sorted(p.relative_to(work).as_posix() for p in work.rglob("*") if p.is_file())
    reconstruct_file(source, out, **TREES)
    expected = bytes_of(out)
    for name in rng.permutation(names)[:12]:
        shutil.rmtree(out)
        path = begun(source, out) / name
        capsys.readouterr()
        content = bytearray(path.read_bytes())
        if how == "a bit flipped" and content:
            content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(content[: len(content) // 2] if how == "cut" else content)
        if how == "lost":
            path.unlink()
        reconstruct_file(source, out, **TREES)
        assert bytes_of(out) == expected, name
        said = capsys.readouterr().err
        assert said.count("again") == 1 or (how == "lost" and name.startswith(("done/", "prepared.json"))), name
        assert hidden(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before the swap", "after the swap"])
@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_a_kill_around_the_swap_leaves_an_output_and_no_work_behind(moment, suffix, source, tmp_path, monkeypatch):
    out = tmp_path / f"out{suffix}"
    reconstruct_file(source, out, "linear", block_bytes=SMALL)
    killed(source, out, moment)
    model = open_dataset(out).attrs["tssmnet_model"]
    assert model == ("linear" if moment == "before the swap" else "xgboost")
    filled = reconstruct_file(source, out, **TREES)
    assert filled.counts["observed"] == int(a_cube()["ssm"].count())
    assert open_dataset(out).attrs["tssmnet_model"] == "xgboost"
    assert hidden(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_kills_at_any_moment_end_in_the_same_output(suffix, source, tmp_path):
    began = time.monotonic()
    reconstruct_file(source, tmp_path / "once" / f"out{suffix}", **TREES)
    rng, seconds = np.random.default_rng(5), 5 + time.monotonic() - began
    out = tmp_path / f"out{suffix}"
    for delay in rng.uniform(2, seconds, 8):
        run = start(source, out)
        time.sleep(delay)
        run.kill()
        run.communicate()
        if out.exists():  # whole, whenever it is there
            open_dataset(out).load()
    reconstruct_file(source, out, **TREES)
    found, once = (open_dataset(p).load() for p in (out, tmp_path / "once" / f"out{suffix}"))
    xr.testing.assert_identical(found.drop_attrs(), once.drop_attrs())
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("call", [{"model": "linear"}, FILLER])
def test_the_output_opens_as_it_should(call, source, tmp_path):
    reconstruct_file(source, tmp_path / "out.zarr", **call)
    reconstruct_file(source, tmp_path / "out.nc", **call)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filled = xr.open_zarr(tmp_path / "out.zarr").load()
        stored = xr.open_dataset(tmp_path / "out.nc", engine="h5netcdf").load()
    assert [*filled.data_vars][:2] == ["ssm", "ssm_model"]
    assert [*filled.data_vars] == [*stored.data_vars]
    assert filled["pixel"].values.tolist() == stored["pixel"].values.tolist() == [*range(100, 111)]
    assert filled.attrs["title"].startswith("Gap-free daily surface soil moisture")
    memory = reconstruct(a_cube(), **call)
    assert [*memory.data_vars] == [*filled.data_vars]
    assert memory["pixel"].values.tolist() == [*range(100, 111)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--rows", "-5"], "rows must be a whole number from 1 on, it is -5"),
        (["--rows", "0"], "rows must be a whole number from 1 on, it is 0"),
        (["--seed", str(10**23)], f"seed must be a whole number from 0 to 4294967295, it is {10**23}"),
        (["--seed", "-1"], "seed must be a whole number from 0"),
        (["--scheduler", "somewhere"], "unknown cluster 'somewhere'"),
        (["--scheduler", "tcp://nowhere:port"], "no dask scheduler answers for cluster 'tcp://nowhere:port'"),
    ],
)
def test_an_option_without_sense_is_one_line_that_names_it(given, message, source, tmp_path, capsys):
    assert cli.main(["reconstruct", str(source), str(tmp_path / "out.zarr"), "--model", "linear", *given]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_a_history_that_is_a_number_is_kept_as_text(tmp_path):
    source = write_cube(a_cube().assign_attrs(history=7), tmp_path / "cube.zarr")
    reconstruct_file(source, tmp_path / "out.nc", "linear")
    assert open_dataset(tmp_path / "out.nc").attrs["history"].endswith("\n7")


def test_a_damaged_chunk_of_the_input_is_one_line_that_names_the_file(source, tmp_path, capsys):
    for name in ("ssm", "precipitation", "clay", "lat"):
        (path,) = [p for p in (source / name / "c").rglob("*") if p.is_file()]
        content = path.read_bytes()
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        assert cli.main(["reconstruct", str(source), str(tmp_path / "out.zarr"), "--model", "xgboost"]) == 2
        told = capsys.readouterr().err
        assert "cube.zarr" in told
        assert "Traceback" not in told
        assert not (tmp_path / "out.zarr").exists()
        path.write_bytes(content)
