"""The twin written to disk in blocks and tiles: the same world, resumable, in flat memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from tssmnet.cube import open_cube
from tssmnet.errors import TssmnetError
from tssmnet.twin import open_twin, stream, twin_world, write_twin
from tssmnet.twin import world as world_module
from tssmnet.twin.grid import make_grid
from tssmnet.twin.land import make_land
from tssmnet.twin.simulate import Run, blocks

SMALL = {"cell_km": 72, "region": (98, 28, 116, 42), "spinup": 20, "forcing": True}


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(stream, "BLOCK_DAYS", 9)
    monkeypatch.setattr(stream, "TILE", 12)
    monkeypatch.setattr(world_module, "SERIES_VALUES", 500)


def assert_same_twin(folder, twin) -> None:
    for part, written in open_twin(folder).items():
        expected = getattr(twin, part)
        assert set(written) == set(expected)
        for name in expected.data_vars:
            a, b = written[name], expected[name]
            assert a.dims == b.dims
            if b.dtype.kind in "fi":
                np.testing.assert_allclose(a.values, b.values, rtol=1e-6, err_msg=f"{part} {name}")


def test_written_in_chunks_it_is_the_world_made_at_once(tmp_path, small_blocks):
    options = {**SMALL, "days": 25, "seed": 2}
    folder = write_twin(tmp_path / "twin", **options)
    assert_same_twin(folder, twin_world(**options))
    open_cube(folder / "cube.zarr")
    assert not list(folder.glob("_*"))


def test_a_run_that_was_cut_off_goes_on_and_ends_the_same(tmp_path, small_blocks, monkeypatch):
    options = {**SMALL, "days": 25, "seed": 2}
    write, calls = stream._write_block, []

    def fail_in_the_second_block(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(*args)

    monkeypatch.setattr(stream, "_write_block", fail_in_the_second_block)
    with pytest.raises(KeyboardInterrupt):
        write_twin(tmp_path / "twin", **options)
    assert not (tmp_path / "twin").exists()
    folder = write_twin(tmp_path / "twin", **options)
    assert len(calls) == 4  # days 0-8, 9-17 (failed), 9-17, 18-24
    assert_same_twin(folder, twin_world(**options))


def test_a_whole_twin_is_kept_and_another_ones_folder_refused(tmp_path):
    options = {**SMALL, "days": 6}
    folder = write_twin(tmp_path / "twin", **options)
    stamp = (folder / "twin.json").stat().st_mtime_ns
    write_twin(tmp_path / "twin", **options)
    assert (folder / "twin.json").stat().st_mtime_ns == stamp
    with pytest.raises(TssmnetError, match="another twin"):
        write_twin(tmp_path / "twin", **{**options, "days": 7})


def test_memory_of_the_simulation_does_not_grow_with_the_record():
    grid = make_grid(72, (98, 28, 116, 42))
    peaks = []
    for days in (40, 160):
        run = Run(grid, make_land(grid), 0, np.datetime64("2016-01-01"), 0)
        tracemalloc.start()
        for _ in blocks(run, np.datetime64("2016-01-01") + days, 10):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.15 * peaks[0]
