"""What lies on disk: nothing of a user's is ever replaced, nothing is half written, one writer at a time."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tssmnet import disk
from tssmnet.cube import absent_chunks, open_dataset, write_dataset
from tssmnet.disk import OutputError, check_output, differences, one_writer, placing, sums, write_atomically
from tssmnet.testing import mock_cube


def filled(path):
    """A result of this library, as far as its attributes tell."""
    return write_dataset(mock_cube(days=5, pixels=3).assign_attrs(tssmnet_version="1", tssmnet_model="linear"), path)


@pytest.fixture
def source(tmp_path):
    return write_dataset(mock_cube(days=5, pixels=3), tmp_path / "data" / "cube.zarr")


@pytest.mark.parametrize("name", ["cube.zarr", "../data/cube.zarr", "link.zarr", "../again/cube.zarr"])
def test_a_result_never_takes_the_place_of_its_input(name, source, tmp_path):
    (source.parent / "link.zarr").symlink_to(source)
    (tmp_path / "again").symlink_to(source.parent)
    with pytest.raises(OutputError, match="overwrite its own input"):
        check_output(source.parent / name, source)


def test_a_hard_link_to_the_input_is_the_input(tmp_path):
    source = write_dataset(mock_cube(days=5, pixels=3), tmp_path / "cube.nc")
    os.link(source, tmp_path / "out.nc")
    with pytest.raises(OutputError, match="overwrite its own input"):
        check_output(tmp_path / "out.nc", source)


def test_a_result_lies_neither_in_its_input_nor_around_it(source, tmp_path):
    around = tmp_path / "data.zarr"
    source.parent.rename(around)
    with pytest.raises(OutputError, match=r"data\.zarr holds the input"):
        check_output(around, around / "cube.zarr")
    with pytest.raises(OutputError, match="inside its own input"):
        check_output(around / "cube.zarr" / "ssm" / "out.nc", around / "cube.zarr")
    other = filled(tmp_path / "other.zarr")
    with pytest.raises(OutputError, match=r"inside .*other\.zarr, which is data itself"):
        check_output(other / "out.zarr", around / "cube.zarr")


@pytest.mark.parametrize("kind", ["folder", "empty", "text.nc", "cube", "cube.nc", "own with notes", "damaged"])
def test_only_a_result_of_this_program_may_be_replaced(kind, source, tmp_path):
    out = tmp_path / ("out.nc" if kind.endswith("nc") else "out.zarr")
    if kind in ("folder", "empty"):
        out.mkdir()
        if kind == "folder":
            (out / "thesis.txt").write_text("years of work")
    elif kind == "text.nc":
        out.write_text("notes")
    elif kind.startswith("cube"):
        write_dataset(mock_cube(days=5, pixels=3), out)
    else:
        filled(out)
        (out / ("thesis.txt" if kind == "own with notes" else "zarr.json")).write_text("years of work")
    with pytest.raises(OutputError, match="no filled cube that this program wrote"):
        check_output(out, source)


@pytest.mark.parametrize("name", ["out.zarr", "out.nc"])
def test_a_result_of_this_program_may_be_replaced(name, source, tmp_path):
    check_output(tmp_path / name, source)
    filled(tmp_path / name)
    check_output(tmp_path / name, source)
    (tmp_path / f"link{name[3:]}").symlink_to(tmp_path / name)
    check_output(tmp_path / f"link{name[3:]}", source)


def test_a_link_to_a_place_of_another_kind_is_refused(source, tmp_path):
    (tmp_path / "out.zarr").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="is a link to"):
        check_output(tmp_path / "out.zarr", source)


def test_what_is_written_through_a_link_goes_where_the_link_leads(tmp_path):
    filled(tmp_path / "disk" / "x.zarr")
    (tmp_path / "out.zarr").symlink_to(tmp_path / "disk" / "x.zarr")
    filled(tmp_path / "out.zarr")
    assert (tmp_path / "out.zarr").is_symlink()
    assert sorted(p.name for p in tmp_path.rglob("*") if p.name.startswith(".")) == []


def test_a_folder_of_other_files_is_never_replaced_by_anything(tmp_path):
    (tmp_path / "thesis.zarr").mkdir()
    (tmp_path / "thesis.zarr" / "chapter.txt").write_text("1")
    with pytest.raises(OutputError, match="folder of other files"):
        write_dataset(mock_cube(days=5, pixels=3), tmp_path / "thesis.zarr")
    assert (tmp_path / "thesis.zarr" / "chapter.txt").read_text() == "1"


def write_folder(path, word):
    with placing(path) as part:
        (part / "a").mkdir(parents=True)
        (part / "a" / "zarr.json").write_text(word)
        (part / "zarr.json").write_text(word)


def words(path):
    return {p.read_text() for p in path.rglob("zarr.json")}


def in_a_child_killed_at_line(number, work):
    """Do `work` in a process that SIGKILL ends at a line of `tssmnet.disk`; returns whether it came to that line."""
    child = os.fork()
    if child == 0:
        lines = 0

        def tracer(frame, event, _):
            nonlocal lines
            if frame.f_code.co_filename != disk.__file__:
                return None
            lines += event == "line"
            if lines == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return tracer

        sys.settrace(tracer)
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.slow
@pytest.mark.parametrize("one_step", [True, False])
def test_a_kill_at_any_line_loses_neither_what_stood_there_nor_leaves_anything_behind(one_step, tmp_path, monkeypatch):
    if not one_step:
        monkeypatch.setattr(disk, "_exchanged", lambda *_: False)
    out, number, absent = tmp_path / "out.zarr", 0, 0
    write_folder(out, "old")
    while in_a_child_killed_at_line(number := number + 1, lambda: write_folder(out, "new")):
        absent += not out.exists()
        with one_writer(out):
            assert words(out) in ({"old"}, {"new"})
        assert os.listdir(tmp_path) == ["out.zarr"]
        write_folder(out, "old")
    assert number > 30
    assert absent == 0 if one_step and sys.platform == "linux" else absent <= 2


def test_what_a_killed_process_left_is_swept_up_by_the_next_writer(tmp_path):
    if os.fork() == 0:
        with placing(tmp_path / "a.json") as part:
            part.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
    assert len(os.listdir(tmp_path)) == 2
    write_atomically(tmp_path / "a.json", "whole")
    assert os.listdir(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "whole"


HOLDING = """
import sys, time
from tssmnet.disk import one_writer
with one_writer(sys.argv[1]):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holding(path, seconds):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(path), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_writer_says_who_is_at_work_and_waits(tmp_path, capsys):
    process = holding(tmp_path / "out.zarr", 0.5)
    with one_writer(tmp_path / "out.zarr") as waited:
        assert waited
        assert process.wait(5) == 0
    said = capsys.readouterr().err
    assert f"out.zarr: process {process.pid}, since 2" in said
    assert "waiting" in said
    assert os.listdir(tmp_path) == []


def test_a_name_with_another_ending_is_another_name(tmp_path):
    process = holding(tmp_path / "out.zarr", 20)
    began = time.monotonic()
    with one_writer(tmp_path / "out.nc") as waited:
        assert not waited
    assert time.monotonic() - began < 5
    process.kill()
    process.wait()


def test_the_lock_of_a_process_that_was_killed_holds_nobody_up(tmp_path):
    process = holding(tmp_path / "out.zarr", 60)
    process.kill()
    process.wait()
    with one_writer(tmp_path / "out.zarr") as waited, one_writer(tmp_path / "out.zarr"):
        assert not waited
        assert json.loads((tmp_path / ".out.zarr.lock").read_text())["pid"] == os.getpid()
    assert os.listdir(tmp_path) == []


def test_the_same_name_is_held_by_one_of_many_processes(tmp_path):
    code = """
import sys
from pathlib import Path
from tssmnet.disk import one_writer
for _ in range(15):
    with one_writer(Path(sys.argv[1]) / "x"):
        mark = Path(sys.argv[1]) / "mark"
        mark.touch(exist_ok=False)
        mark.unlink()
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.DEVNULL) for _ in range(4)
    ]
    assert [p.wait() for p in processes] == [0] * 4
    assert os.listdir(tmp_path) == []


def test_sums_show_what_is_damaged_missing_or_foreign(tmp_path):
    for name in "abc":
        (tmp_path / name).write_text(name)
    noted = sums(tmp_path)
    assert differences(sums(tmp_path), noted) == []
    (tmp_path / "a").write_text("A")
    (tmp_path / "b").rename(tmp_path / "d")
    assert differences(sums(tmp_path), noted) == ["a is damaged", "b is missing", "d does not belong there"]


def chunks_of(store):
    return sorted(p for p in Path(store).rglob("*") if p.is_file() and p.name != "zarr.json")


def test_a_lost_chunk_of_a_stored_cube_is_an_error_that_names_it(tmp_path):
    cube = mock_cube(days=20, pixels=3).chunk(time=5)
    cube["ssm"][5:10] = float("nan")  # a chunk that zarr leaves out when it may
    stored = write_dataset(cube, tmp_path / "cube.zarr")
    whole = len(chunks_of(stored))
    for number in range(whole):
        path = chunks_of(stored)[number]
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(disk.TssmnetError, match=rf"{path.relative_to(stored).parts[0]}: 1 of \d chunks are lost"):
            open_dataset(stored)
        path.write_bytes(content)
    assert open_dataset(stored)["ssm"].attrs == cube["ssm"].attrs
    assert open_dataset(stored).attrs == cube.attrs


def test_a_lost_variable_of_a_stored_cube_is_an_error_that_names_it(tmp_path):
    stored = write_dataset(mock_cube(days=20, pixels=3), tmp_path / "cube.zarr")
    shutil.rmtree(stored / "clay")
    with pytest.raises(disk.TssmnetError, match="clay: the variable is lost"):
        open_dataset(stored)


def test_what_a_zarr_store_of_other_making_leaves_out_is_said(tmp_path):
    cube = mock_cube(days=20, pixels=3).chunk(time=5)
    cube["ssm"][5:10] = float("nan")
    cube.to_zarr(tmp_path / "cube.zarr", consolidated=False)
    assert absent_chunks(tmp_path / "cube.zarr") == "1 of 4 chunks of ssm"
    write_dataset(cube, tmp_path / "own.zarr")
    assert absent_chunks(tmp_path / "own.zarr") == ""


@pytest.mark.slow
def test_a_flipped_bit_of_a_netcdf_file_is_never_another_value(tmp_path):
    stored = write_dataset(mock_cube(days=30, pixels=4), tmp_path / "cube.nc")
    content, whole, rng = bytearray(stored.read_bytes()), open_dataset(stored).load(), np.random.default_rng(0)
    for _ in range(200):
        place, bit = rng.integers(len(content)), 1 << rng.integers(8)
        content[place] ^= bit
        stored.write_bytes(content)
        content[place] ^= bit
        try:
            found = open_dataset(stored).load()
        except Exception:  # of many kinds; none is a value
            continue
        assert all(found[n].equals(whole[n]) for n in found.variables if n in whole.variables)


def test_a_flipped_bit_in_any_chunk_is_an_error_and_no_value(tmp_path):
    stored = write_dataset(mock_cube(days=20, pixels=3).chunk(time=10), tmp_path / "cube.zarr")
    for path in chunks_of(stored):
        content = bytearray(path.read_bytes())
        for place in (0, len(content) - 1):
            content[place] ^= 16
            path.write_bytes(content)
            with pytest.raises((ValueError, disk.TssmnetError), match="checksum"):
                open_dataset(stored).load()
            content[place] ^= 16
        path.write_bytes(content)
    open_dataset(stored).load()
