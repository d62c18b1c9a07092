"""The store of costly things."""

import json
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tssmnet import cache, provenance
from tssmnet.cache import Store, cached_arrays, cached_dataset, cached_json
from tssmnet.disk import lock_of
from tssmnet.errors import TssmnetError
from tssmnet.provenance import content_hash
from tssmnet.testing import mock_cube

MODULES = ("tssmnet.metrics",)


@pytest.fixture
def shelf(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def calls(tmp_path):
    """A function that leaves a line in a file each time it really runs."""
    log = tmp_path / "calls.txt"

    def count():
        return len(log.read_text().split()) if log.exists() else 0

    count.log = str(log)
    return count


def double(values, log):
    with open(log, "a") as handle:
        handle.write("x\n")
    return {"doubled": (2 * np.asarray(values)).tolist()}


def slow(seconds, log):
    import time

    with open(log, "a") as handle:
        handle.write("x\n")
    time.sleep(seconds)
    return "done"


def test_a_thing_is_computed_once(shelf, calls):
    for _ in range(3):
        assert cached_json(double, {"values": [1, 2], "log": calls.log}, store=shelf, modules=MODULES) == {
            "doubled": [2, 4]
        }
    assert calls() == 1


def test_other_inputs_make_another_entry(shelf, calls):
    inputs = [[1, 2], np.array([1, 2]), np.array([1.0, 2.0]), np.array([[1, 2]])]
    for values in inputs:
        cached_json(double, {"values": values, "log": calls.log}, store=shelf, modules=MODULES)
    assert calls() == len(inputs)


def test_an_edit_of_the_library_makes_another_entry(shelf, calls, monkeypatch):
    cached_json(double, {"values": [1], "log": calls.log}, store=shelf, modules=MODULES)
    monkeypatch.setattr(cache, "library_hashes", lambda modules: {"tssmnet.metrics": "edited"})
    cached_json(double, {"values": [1], "log": calls.log}, store=shelf, modules=MODULES)
    assert calls() == 2


def test_other_data_make_another_entry(shelf, calls, monkeypatch):
    for digest in ("one", "two", "two"):
        monkeypatch.setattr(cache, "data_hashes", lambda digest=digest: {"smap-conus": digest})
        cached_json(double, {"values": [1], "log": calls.log}, store=shelf, modules=MODULES, data=("smap-conus",))
    assert calls() == 2


def test_an_entry_says_what_went_in(shelf, calls):
    cached_json(double, {"values": [1], "log": calls.log}, store=shelf, modules=MODULES)
    (entry,) = [p for p in shelf.folder.iterdir() if p.is_dir()]
    about = json.loads((entry / "entry.json").read_text())
    assert about["function"].endswith(".double")
    assert about["inputs"]["log"] == calls.log
    assert about["library"] == provenance.library_hashes(MODULES)


def test_datasets_come_back_the_same(shelf):
    call = {"days": 30, "pixels": 4, "seed": 2}
    first, second = (cached_dataset(mock_cube, call, store=shelf) for _ in range(2))
    xr.testing.assert_equal(first.load(), mock_cube(**call))
    xr.testing.assert_equal(first, second.load())
    assert second["ssm"].attrs == mock_cube(**call)["ssm"].attrs


def three_arrays():
    return {"a": np.arange(3), "b": np.array([[np.nan, 1.0]], np.float32), "names": np.array(["x", "yy"])}


def test_arrays_come_back_the_same(shelf):
    back = cached_arrays(three_arrays, store=shelf, modules=MODULES)
    for name, array in three_arrays().items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def an_object():
    return {"bad": np.array([{}], object)}


def test_what_would_need_a_pickle_is_refused_and_leaves_no_entry(shelf):
    with pytest.raises(ValueError, match="allow_pickle"):
        cached_arrays(an_object, store=shelf, modules=MODULES)
    assert not [p for p in shelf.folder.iterdir() if not p.name.startswith(".")]


def fail_once(log):
    if not Path(log).exists():
        Path(log).write_text("x")
        raise KeyboardInterrupt
    return 7


def test_an_interrupted_computation_leaves_nothing_and_is_done_again(shelf, tmp_path):
    call = {"inputs": {"log": str(tmp_path / "mark")}, "store": shelf, "modules": MODULES}
    with pytest.raises(KeyboardInterrupt):
        cached_json(fail_once, **call)
    assert not [p for p in shelf.folder.iterdir() if not p.name.startswith(".")]
    assert cached_json(fail_once, **call) == 7


def die(log):
    if not Path(log).exists():
        Path(log).write_text("x")
        os._exit(1)
    return "alive"


def call_die(folder, log):
    cached_json(die, {"log": log}, store=Store(folder), modules=MODULES)


def test_a_killed_process_leaves_neither_entry_nor_lock(shelf, tmp_path):
    context = multiprocessing.get_context("fork")
    process = context.Process(target=call_die, args=(shelf.folder, str(tmp_path / "mark")))
    process.start()
    process.join()
    assert process.exitcode == 1
    assert cached_json(die, {"log": str(tmp_path / "mark")}, store=shelf, modules=MODULES) == "alive"


def test_a_lock_that_a_killed_process_left_beside_a_whole_entry_is_swept_up(shelf, tmp_path, calls):
    inputs = {"values": [1], "log": calls.log}
    for _ in range(2):
        cached_json(double, inputs, store=shelf, modules=MODULES)
        (entry,) = shelf.folder.iterdir()
        lock_of(entry).touch()
    cached_json(double, inputs, store=shelf, modules=MODULES)
    assert [*shelf.folder.iterdir()] == [entry]
    assert calls() == 1


def call_slow(folder, log):
    assert cached_json(slow, {"seconds": 0.3, "log": log}, store=Store(folder), modules=MODULES) == "done"


def test_two_processes_compute_a_thing_once(shelf, calls):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=call_slow, args=(shelf.folder, calls.log)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert calls() == 1


@dataclass
class Setting:
    depth: int = 3


def test_hashes_tell_values_apart():
    values = [
        None, 0, 0.0, False, "", "0", [], {}, [1, 2], [[1], 2], {"a": 1}, Setting(), Setting(4),
        np.zeros(3), np.zeros(3, "f4"), np.zeros((3, 1)), np.datetime64("2020-01-01"),
        mock_cube(days=5), mock_cube(days=5, seed=1), mock_cube(days=5)["ssm"], mock_cube(days=5)["clay"],
    ]  # fmt: skip
    assert len({content_hash(v) for v in values}) == len(values)
    assert content_hash((1, 2)) == content_hash([1, 2])
    assert content_hash(mock_cube(days=5).chunk(time=2)) == content_hash(mock_cube(days=5))
    with pytest.raises(TssmnetError, match="cannot key a object"):
        content_hash(object())


def test_a_function_from_elsewhere_must_name_what_it_depends_on(shelf):
    with pytest.raises(TssmnetError, match="name the library modules"):
        cached_json(three_arrays, store=shelf)


def test_the_folder_is_chosen_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TSSMNET_STORE_DIR", str(tmp_path / "here"))
    assert Store().folder == tmp_path / "here"
    monkeypatch.delenv("TSSMNET_STORE_DIR")
    assert Store().folder == provenance.ROOT / ".store"


def test_an_entry_that_was_emptied_by_hand_is_made_again(shelf, calls):
    inputs = {"values": [1, 2], "log": calls.log}
    first = cached_json(double, inputs, store=shelf, modules=MODULES)
    for path in shelf.folder.glob("double-*/*"):
        path.unlink()
    assert cached_json(double, inputs, store=shelf, modules=MODULES) == first
    assert calls() == 2


def damage(path, how, rng):
    """Do to a file of an entry what disks and people do."""
    content = bytearray(path.read_bytes())
    if how == "a bit flipped":
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content[: len(content) // 2] if how == "cut" else content)
    if how == "lost":
        path.unlink()
    if how == "another beside it":
        (path.parent / "0.bak").write_bytes(b"x")


@pytest.mark.parametrize("how", ["a bit flipped", "cut", "lost", "another beside it"])
@pytest.mark.parametrize("kind", ["dataset", "arrays", "json"])
def test_a_damaged_entry_is_seen_said_and_made_again(kind, how, shelf, capsys, monkeypatch):
    call = {"days": 12, "pixels": 3}
    read = {
        "dataset": lambda: cached_dataset(mock_cube, call, store=shelf).load(),
        "arrays": lambda: cached_arrays(three_arrays, store=shelf, modules=MODULES),
        "json": lambda: cached_json(double, {"values": [1], "log": os.devnull}, store=shelf, modules=MODULES),
    }[kind]
    sound, rng = content_hash(read()), np.random.default_rng(1)
    (entry,) = [p for p in shelf.folder.iterdir() if p.is_dir()]
    for path in sorted(p for p in entry.rglob("*") if p.is_file())[:: 7 if kind == "dataset" else 1]:
        monkeypatch.setattr(cache, "_SOUND", {})  # as in another process
        damage(path, how, rng)
        assert content_hash(read()) == sound
        if path.name != "entry.json" or how != "lost":
            assert "it is made again" in capsys.readouterr().err
        monkeypatch.setattr(cache, "_SOUND", {})
        read()
        assert capsys.readouterr().err == ""


def test_an_entry_of_another_name_is_not_taken_for_this_one(shelf, calls, monkeypatch):
    inputs = [{"values": [v], "log": calls.log} for v in (1, 2)]
    for given in inputs:
        cached_json(double, given, store=shelf, modules=MODULES)
    one, other = (p for p in shelf.folder.iterdir() if p.is_dir())
    for file in other.iterdir():
        (one / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(cache, "_SOUND", {})
    doubled = [cached_json(double, g, store=shelf, modules=MODULES)["doubled"] for g in inputs]
    assert doubled == [[2], [4]]
    assert calls() == 3


def test_inputs_that_are_not_a_number_make_an_entry_that_is_found_again(shelf, calls, monkeypatch):
    for _ in range(2):
        monkeypatch.setattr(cache, "_SOUND", {})
        cached_json(double, {"values": float("nan"), "log": calls.log}, store=shelf, modules=MODULES)
    assert calls() == 1
