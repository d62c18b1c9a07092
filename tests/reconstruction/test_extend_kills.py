"""Killed at any moment, or started twice, a record that grows holds its old days or all the new ones."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tssmnet.cube import open_dataset, write_cube
from tssmnet.testing import mock_cube

COMMAND = [sys.executable, "-m", "tssmnet.cli", "extend"]
OPTIONS = ["--model", "linear"]
CHANGING = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate"}
"""What the interpreter tells of a program that changes files."""


@pytest.fixture
def months(tmp_path, monkeypatch):
    """A cube up to a day, and one of all days."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("TSSMNET_QUIET", "1")
    cube = mock_cube(days=100, shape=(4, 3))
    return write_cube(cube.isel(time=slice(0, 70)), tmp_path / "a.zarr"), write_cube(cube, tmp_path / "cube.zarr")


def bytes_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def hidden(folder):
    return [p.name for p in folder.iterdir() if p.name.startswith(".")]


def extend_until(cube, out, last, count):
    """`tssmnet extend` in a process that is killed at change number `last` to a file; `count` takes their number."""
    from tssmnet import cli

    folder = str(Path(out).parent)

    def see(event, arguments):
        if event not in CHANGING or not str(arguments[0]).startswith(folder):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        count.value += 1
        if count.value == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(see)
    sys.exit(cli.main(["extend", cube, out, *OPTIONS]))


@pytest.fixture(scope="module")
def server():
    """Processes that have the library loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["tssmnet.cli", "tssmnet.reconstruction.extend", "tssmnet.reconstruction.by_samples"]
    )
    return context


def run(server, cube, out, last=0):
    """The code of `tssmnet extend`, killed at a change or not, and how many changes there were."""
    count = server.Value("l", 0)
    process = server.Process(target=extend_until, args=(str(cube), str(out), last, count))
    process.start()
    process.join()
    return process.exitcode, count.value


@pytest.mark.slow
def test_a_kill_at_any_change_of_a_file_leaves_the_old_days_or_all_the_new_ones(months, tmp_path, server):
    first, cube = months
    out, rng, whole = tmp_path / "out.zarr", np.random.default_rng(7), {}
    changes = {}
    for path, days in ((first, 70), (cube, 100)):
        code, changes[days] = run(server, path, out)
        assert code == 0
        whole[days] = bytes_of(out)
    subprocess.run(["rm", "-r", out], check=True)
    seen, killed = set(), 0
    for number in range(8):
        for path, old, new in ((first, 0, 70), (cube, 70, 100)):
            moment = int(rng.integers(1, changes[new] + 1)) if number else changes[new]
            code = run(server, path, out, moment)[0]
            assert code in (-signal.SIGKILL, 0)  # threads that make the same folder change the count by a few
            killed += code != 0
            held = open_dataset(out).load().sizes["time"] if out.exists() else 0
            assert held in (old, new)
            seen.add(held)
            if held:
                assert bytes_of(out) == whole[held]
            assert run(server, path, out)[0] == 0
            assert bytes_of(out) == whole[new]
            assert hidden(tmp_path) == []
        subprocess.run(["rm", "-r", out], check=True)
    assert seen == {0, 70, 100}
    assert killed >= 13


@pytest.mark.slow
def test_two_at_once_work_one_after_the_other(months, tmp_path):
    first, cube = months
    for path in (first, cube):
        subprocess.run([*COMMAND, path, tmp_path / "alone.zarr", *OPTIONS], check=True)
    out = tmp_path / "out.zarr"
    subprocess.run([*COMMAND, first, out, *OPTIONS], check=True)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    runs = [subprocess.Popen([*COMMAND, cube, out, *OPTIONS], **pipes) for _ in range(3)]
    ends = [process.communicate() for process in runs]
    assert [process.returncode for process in runs] == [0, 0, 0], ends
    assert sorted("70 days kept, 30 added" in said for said, _ in ends) == [False, False, True]
    assert sum("100 days kept, 0 added" in said for said, _ in ends) == 2
    assert bytes_of(out) == bytes_of(tmp_path / "alone.zarr")
    assert hidden(tmp_path) == []
