"""A record of many days ends in the same bytes however it came about."""

import functools
import hashlib
import os
import pickle
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr

from tssmnet.cube import absent_chunks, open_dataset
from tssmnet.data.china.record import write_record
from tssmnet.data.readers.faults import SourceError, TruncatedFileError

FIRST, LAST = "2020-01-01", "2020-01-10"


def read_text_day(path, slow=0.0):
    """A reader for made-up days kept as one number in a text file."""
    time.sleep(slow)
    text = Path(path).read_text()
    if text == "broken":
        raise TruncatedFileError(f"{path} is broken; get it again")
    day = np.datetime64(Path(path).stem, "ns")
    values = np.full((1, 3, 4), float(text), np.float32) + np.arange(12, dtype=np.float32).reshape(3, 4) / 100
    coords = {"time": [day], "y": np.arange(3.0), "x": np.arange(4.0)}
    attrs = {"long_name": "surface soil moisture", "units": "m3 m-3"}
    return xr.Dataset(
        {"ssm": (("time", "y", "x"), values, attrs)}, coords, {"source": Path(path).name, "grid": "made up"}
    )


@pytest.fixture
def granules(tmp_path):
    """Ten days, the fourth missing, the seventh broken."""
    (tmp_path / "in").mkdir()
    paths = {}
    for i, day in enumerate(np.arange(FIRST, "2020-01-11", dtype="datetime64[D]")):
        path = tmp_path / "in" / f"{day}.txt"
        path.write_text("broken" if i == 6 else f"{i / 100}")
        os.utime(path, ns=(10**18, 10**18))
        if i != 3:
            paths[day] = path
    return paths


def sums(folder):
    files = sorted(p for p in Path(folder).rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_every_day_is_at_its_place_and_the_bad_one_is_listed(granules, tmp_path):
    report = write_record(granules, read_text_day, tmp_path / "r.zarr", FIRST, LAST, 4)
    assert (report.days, report.done, report.kept) == (10, 3, 0)
    assert report.missing == ("2020-01-04",)
    assert list(report.quarantined) == ["2020-01-07.txt"]
    assert "is broken; get it again" in str(report)
    record = xr.open_zarr(tmp_path / "r.zarr", consolidated=False)
    assert record.ssm.chunks[0] == (4, 4, 2)
    expected = [np.nan if i in (3, 6) else i / 100 for i in range(10)]
    np.testing.assert_allclose(record.ssm.values[:, 0, 0], expected, atol=1e-6)
    np.testing.assert_allclose(record.ssm.values[9, 2, 3], 0.09 + 0.11, rtol=1e-5)
    assert [str(t)[:10] for t in record.time.values[[0, -1]]] == [FIRST, LAST]
    assert record.attrs["grid"] == "made up"
    assert open_dataset(tmp_path / "r.zarr").attrs == {"grid": "made up"}
    assert record.ssm.attrs["units"] == "m3 m-3"


def test_a_second_run_writes_nothing(granules, tmp_path):
    write_record(granules, read_text_day, tmp_path / "r.zarr", FIRST, LAST, 4)
    before = sums(tmp_path / "r.zarr")
    report = write_record(granules, read_text_day, tmp_path / "r.zarr", FIRST, LAST, 4)
    assert (report.done, report.kept) == (0, 3)
    assert list(report.quarantined) == ["2020-01-07.txt"]
    assert sums(tmp_path / "r.zarr") == before


def chunks(record):
    return sorted(p for p in record.glob("ssm/c/*/0/0"))


@pytest.mark.parametrize("how", ["a bit flipped", "lost", "its entry damaged"])
def test_a_damaged_chunk_is_seen_said_and_made_again(how, granules, tmp_path, capsys):
    record = tmp_path / "r.zarr"
    write_record(granules, read_text_day, record, FIRST, LAST, 4)
    before, path = (sums(record), sums(tmp_path / "r.zarr.journal")), chunks(record)[1]
    content = bytearray(path.read_bytes())
    content[9] ^= 4
    if how == "its entry damaged":
        (tmp_path / "r.zarr.journal" / "00001.json").write_bytes(b"{")
    elif how == "lost":
        path.unlink()
    else:
        path.write_bytes(content)
    if how != "its entry damaged":  # nobody reads another value before it is mended
        with pytest.raises(Exception, match=r"1 of 3 chunks are lost|[Cc]hecksum"):
            open_dataset(record).load()
    assert write_record(granules, read_text_day, record, FIRST, LAST, 4).done == 1
    assert (sums(record), sums(tmp_path / "r.zarr.journal")) == before
    if how != "its entry damaged":
        assert "chunk 1 is damaged (ssm/0/0 is" in capsys.readouterr().err


def test_a_record_says_that_it_is_whole_only_when_it_is(granules, tmp_path):
    def broken_off(path):
        if Path(path).stem == "2020-01-06":
            raise KeyboardInterrupt
        return read_text_day(path)

    with pytest.raises(KeyboardInterrupt), dask.config.set(scheduler="synchronous"):
        write_record(granules, broken_off, tmp_path / "r.zarr", FIRST, LAST, 4)
    assert absent_chunks(tmp_path / "r.zarr").endswith(" of 3 chunks of ssm")  # it opens, and what it lacks is said
    assert open_dataset(tmp_path / "r.zarr").sizes["time"] == 10
    write_record(granules, read_text_day, tmp_path / "r.zarr", FIRST, LAST, 4)
    assert absent_chunks(tmp_path / "r.zarr") == ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.open_zarr(tmp_path / "r.zarr")


def test_a_granule_got_anew_is_read_and_nothing_else(granules, tmp_path):
    write_record(granules, read_text_day, tmp_path / "r.zarr", FIRST, LAST, 4)
    granules[np.datetime64("2020-01-07")].write_text("0.06")
    report = write_record(granules, read_text_day, tmp_path / "r.zarr", FIRST, LAST, 4)
    assert (report.done, report.kept, report.quarantined) == (1, 2, {})
    record = xr.open_zarr(tmp_path / "r.zarr", consolidated=False)
    np.testing.assert_allclose(record.ssm.values[6, 0, 0], 0.06, rtol=1e-6)


def test_a_record_that_grows_is_the_record_made_at_once(granules, tmp_path):
    write_record(granules, read_text_day, tmp_path / "grown.zarr", FIRST, "2020-01-06", 4)
    report = write_record(granules, read_text_day, tmp_path / "grown.zarr", FIRST, LAST, 4)
    assert (report.done, report.kept) == (2, 1)
    write_record(granules, read_text_day, tmp_path / "whole.zarr", FIRST, LAST, 4)
    assert sums(tmp_path / "grown.zarr") == sums(tmp_path / "whole.zarr")
    assert sums(tmp_path / "grown.zarr.journal") == sums(tmp_path / "whole.zarr.journal")


def test_another_beginning_or_other_chunks_are_refused(granules, tmp_path):
    write_record(granules, read_text_day, tmp_path / "r.zarr", FIRST, LAST, 4)
    for first, size in (("2020-01-02", 4), (FIRST, 5)):
        with pytest.raises(SourceError, match="begins on 2020-01-01, holds 10 days in chunks of 4"):
            write_record(granules, read_text_day, tmp_path / "r.zarr", first, LAST, size)


def test_nothing_readable_is_an_error_and_leaves_no_record(granules, tmp_path):
    for path in granules.values():
        path.write_text("broken")
    with pytest.raises(SourceError, match=r"none of 9 granules can be read; the first: .*2020-01-01"):
        write_record(granules, read_text_day, tmp_path / "r.zarr", FIRST, LAST, 4)
    assert not (tmp_path / "r.zarr").exists()


RUN = """
import functools, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[3])
from test_record import FIRST, LAST, read_text_day
from tssmnet.cube import absent_chunks, open_dataset
from tssmnet.data.china.record import write_record
files = {np.datetime64(p.stem): p for p in Path(sys.argv[1]).glob("*.txt") if p.stem != "2020-01-04"}
print("ready", flush=True)
write_record(files, functools.partial(read_text_day, slow=0.05), sys.argv[2], FIRST, LAST, 2)
"""


def test_a_run_killed_at_random_points_ends_in_the_same_bytes(granules, tmp_path):
    chance = random.Random(3)
    command = [
        sys.executable,
        "-c",
        RUN,
        str(tmp_path / "in"),
        str(tmp_path / "killed.zarr"),
        str(Path(__file__).parent),
    ]
    for _ in range(3):
        run = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"DASK_SCHEDULER": "synchronous"})
        run.stdout.readline()
        time.sleep(chance.uniform(0.05, 0.6))
        run.send_signal(signal.SIGKILL)
        run.wait()
        run.stdout.close()
    write_record(granules, read_text_day, tmp_path / "killed.zarr", FIRST, LAST, 2)
    write_record(granules, read_text_day, tmp_path / "whole.zarr", FIRST, LAST, 2)
    assert sums(tmp_path / "killed.zarr") == sums(tmp_path / "whole.zarr")
    assert sums(tmp_path / "killed.zarr.journal") == sums(tmp_path / "whole.zarr.journal")


def test_two_workers_of_a_cluster_make_the_same_record(granules, tmp_path):
    distributed = pytest.importorskip("distributed")
    settings = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    read = pickle.loads(pickle.dumps(functools.partial(read_text_day, slow=0.0)))
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster):
        write_record(granules, read, tmp_path / "two.zarr", FIRST, LAST, 4)
    write_record(granules, read, tmp_path / "one.zarr", FIRST, LAST, 4)
    assert sums(tmp_path / "two.zarr") == sums(tmp_path / "one.zarr")


@pytest.mark.slow
def test_readers_of_netcdf_may_run_in_many_threads_at_once(genuine):
    paths = [p for n, p in genuine("smap-l3e-9km").items() if "Pakistan_9km_smap" in n]
    total = "import sys; from concurrent.futures import ThreadPoolExecutor as Pool\n"
    total += "from tssmnet.data.readers.faults import reading_netcdf\n"
    total += "def read(path):\n"
    total += "    with reading_netcdf(path) as (_, cells): return float(cells.soil_moisture.sum())\n"
    total += "with Pool(4) as pool: print(len(set(sum(pool.map(read, sys.argv[1:])) for _ in range(15))))"
    done = subprocess.run([sys.executable, "-c", total, *map(str, paths)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"reading in threads ended with {done.returncode}: {done.stderr[-500:]}"
    assert done.stdout.strip() == "1"
