"""The command line."""

import errno
import os
import signal
import subprocess
import sys

import pandas as pd
import pytest

from tssmnet import cli
from tssmnet.cube import open_dataset, write_cube
from tssmnet.testing import mock_cube


@pytest.fixture
def cube_path(tmp_path):
    return str(write_cube(mock_cube(days=60, pixels=4), tmp_path / "cube.zarr"))


def test_reconstruct_writes_a_gap_free_cube(cube_path, tmp_path, capsys):
    out = str(tmp_path / "out.nc")
    assert cli.main(["reconstruct", cube_path, out, "--model", "climatology", "--seed", "3"]) == 0
    filled = open_dataset(out)
    assert not filled["ssm"].isnull().any()
    assert filled.attrs["tssmnet_seed"] == 3
    assert "0 outside values by climatology, seed 3" in capsys.readouterr().out


def test_features_and_device_are_passed_on(cube_path, tmp_path):
    out = str(tmp_path / "out.zarr")
    assert cli.main(["reconstruct", cube_path, out, "--model", "linear", "--features", "lag", "--device", "cpu"]) == 0
    assert '"memory": true' in open_dataset(out).attrs["tssmnet_parameters"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reconstruct", "none.zarr", "out.nc"], "none.zarr: no such file or folder\n"),
        (["reconstruct", "CUBE", "out.tif"], "must end in .zarr or .nc"),
        (["reconstruct", "CUBE", "CUBE"], "would overwrite its own input"),
        (["reconstruct", "CUBE", "out.nc", "--model", "tsmnet"], "did you mean 'tssmnet'"),
        (["validate", "CUBE", "none.csv"], "none.csv: no such file"),
        (["data", "fetch", "conuss"], "did you mean 'conus'"),
        (["evaluate", "--list", "--models", "xgbost"], "did you mean 'xgboost'"),
        (["evaluate", "--list", "--workers", "-3"], "workers must be a whole number from 1 on, it is -3"),
        (["evaluate", "--list", "--minutes", "nan"], "minutes must be a time above 0, it is nan"),
        (["evaluate", "--list", "--out", "CUBE"], "is no result of an evaluation; give another name for --out"),
        (["reconstruct", "CUBE", "/proc/out.nc"], "/proc/.out.nc.lock"),
    ],
)
def test_errors_are_told_on_standard_error_with_code_2(arguments, message, cube_path, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main([cube_path if a == "CUBE" else a for a in arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("tssmnet: ")
    assert "Traceback" not in captured.err
    assert not captured.out
    assert not (tmp_path / "out.nc").exists()


def test_an_interrupt_ends_with_code_130(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tssmnet.data.registry.list_data", interrupted)
    assert cli.main(["data", "list"]) == 130
    assert "run the same command again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "CUBE OUT: no space left on device; make room on that disk"),
        (OSError(errno.EROFS, "Read-only file system", "x.part"), "x.part: read-only file system; name a place that"),
        (PermissionError(errno.EACCES, "Permission denied", "b.zarr"), "b.zarr: permission denied; name another place"),
        (MemoryError(), "CUBE OUT: there is not enough memory"),
        (KeyError("zarr.json"), "CUBE OUT: KeyError: 'zarr.json' (--debug shows where in the program)"),
        (ValueError("first line\nsecond line"), "CUBE OUT: ValueError: first line (--debug"),
        (AssertionError(), "CUBE OUT: AssertionError: no more is known (--debug"),
    ],
)
def test_an_error_of_any_library_is_one_line_that_names_the_files(error, line, monkeypatch, capsys):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr("tssmnet.reconstruction.files.reconstruct_file", fails)
    assert cli.main(["reconstruct", "a.zarr", "b.zarr"]) == 2
    told = capsys.readouterr().err
    assert told.replace("a.zarr b.zarr", "CUBE OUT").startswith(f"tssmnet: {line}")
    assert told.count("\n") == 1
    for place in (["--debug", "reconstruct", "a.zarr", "b.zarr"], ["reconstruct", "a.zarr", "b.zarr", "--debug"]):
        assert cli.main(place) == 2
        assert "in fails" in capsys.readouterr().err


WAITING = """
import sys, time
from tssmnet import cli
from tssmnet.data import registry
def wait(*_):
    print("ready", file=sys.stderr, flush=True)
    time.sleep(60)
registry.list_data = wait
sys.exit(cli.main(["data", "list"]))
"""


@pytest.mark.parametrize(("number", "code", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "int")])
def test_a_signal_ends_a_command_with_one_line(number, code, word):
    heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731 - a shell's background jobs ignore it
    run = subprocess.Popen([sys.executable, "-c", WAITING], stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    assert run.stderr.readline() == "ready\n"
    run.send_signal(number)
    told = run.communicate(timeout=20)[1]
    assert run.returncode == code
    assert told.startswith(f"tssmnet: {word}")
    assert told.count("\n") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full is a thing of Linux")
def test_a_standard_output_that_takes_nothing_is_one_line():
    with open("/dev/full", "w") as full:
        code = "import sys; from tssmnet import cli; sys.exit(cli.main(['data', 'list']))"
        run = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == "tssmnet: no space left on device; make room on that disk, then run the same command again\n"


def test_data_list_names_the_data_sets(capsys):
    assert cli.main(["data", "list", "conus"]) == 0
    assert "smap-conus" in capsys.readouterr().out


def test_validate_prints_and_writes_the_table(cube_path, tmp_path, capsys):
    series = mock_cube(days=60, pixels=4, observed=1.0)["ssm"].isel(pixel=[0, 1])
    table = series.to_dataframe().reset_index().rename(columns={"pixel": "station"})
    table.to_csv(tmp_path / "stations.csv", index=False)
    arguments = ["validate", cube_path, str(tmp_path / "stations.csv"), "--csv", str(tmp_path / "scores.csv")]
    assert cli.main(arguments) == 0
    assert "median" in capsys.readouterr().out
    assert "rmse_low" in (tmp_path / "scores.csv").read_text()


def test_validate_writes_over_its_own_tables_and_nothing_else(cube_path, tmp_path, capsys):
    series = mock_cube(days=60, pixels=4, observed=1.0)["ssm"].isel(pixel=[0, 1])
    stations = tmp_path / "stations.csv"
    series.to_dataframe().reset_index().rename(columns={"pixel": "station"}).to_csv(stations, index=False)
    (tmp_path / "notes.csv").write_text("mine")
    (tmp_path / "link.csv").symlink_to(stations)
    (tmp_path / "folder.csv").mkdir()
    before = stations.read_bytes()
    for out in (stations, tmp_path / "link.csv", cube_path, f"{cube_path}/scores.csv", tmp_path / "notes.csv",
                tmp_path / "folder.csv", tmp_path / "absent" / "scores.csv"):  # fmt: skip
        assert cli.main(["validate", cube_path, str(stations), "--csv", str(out)]) == 2
        assert str(out) in capsys.readouterr().err
    assert stations.read_bytes() == before
    assert (tmp_path / "notes.csv").read_text() == "mine"
    for _ in range(2):
        assert cli.main(["validate", cube_path, str(stations), "--csv", str(tmp_path / "scores.csv")]) == 0


def test_validate_takes_a_depth_flags_and_hours(cube_path, tmp_path, capsys):
    series = mock_cube(days=60, pixels=4, observed=1.0)["ssm"].isel(pixel=[0])
    table = series.to_dataframe().reset_index().rename(columns={"pixel": "station"}).assign(depth=0.05, qc=1)
    stations = tmp_path / "stations.csv"
    pd.concat([table, table.assign(depth=0.5, ssm=0.9)]).to_csv(stations, index=False)
    assert cli.main(["validate", cube_path, str(stations)]) == 2
    assert "column qc: flag '1'" in capsys.readouterr().err
    assert cli.main(["validate", cube_path, str(stations), "--good", "1"]) == 2
    assert "several depths: 0.05, 0.5 m" in capsys.readouterr().err
    assert cli.main(["validate", cube_path, str(stations), "--good", "1", "--depth", "0.05"]) == 0
    for words in (["--min-hours", "0"], ["--largest-km", "nan"], ["--largest-km", "-5"], ["--depth", "-1"]):
        assert cli.main(["validate", cube_path, str(stations), "--good", "1", *words]) == 2


def test_book_hands_its_options_on(monkeypatch):
    calls = []

    def run(command, **_):
        calls.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(cli.subprocess, "run", run)
    assert cli.main(["book", "--profile", "twin", "-p", "seed=1", "-p", "days=9", "--strict"]) == 3
    assert cli.main(["book"]) == 3
    assert calls[0][3:] == ["--profile", "twin", "-p", "seed=1", "-p", "days=9", "--strict"]
    assert calls[1][1:] == ["-m", "workflow.build"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["reconstruct"], "the following arguments are required: CUBE, OUT"),
        (["reconstruct", "a.zarr", "b.zarr", "--rows", "many"], "argument --rows: invalid int value: 'many'"),
        (["recontruct"], "invalid choice: 'recontruct'"),
    ],
)
def test_a_wrong_option_ends_in_one_line_that_names_it(arguments, line, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert line in told
    assert told.count("\n") == 1


def test_the_command_starts_fast_and_imports_no_heavy_library():
    code = "import sys, tssmnet.cli; tssmnet.cli.parser(); print({'torch', 'xarray', 'matplotlib'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "set()"


def test_nothing_is_drawn_when_quiet(cube_path, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("TSSMNET_QUIET", "1")
    cli.main(["reconstruct", cube_path, str(tmp_path / "out.nc"), "--model", "linear"])
    assert capfd.readouterr().err == ""


def test_a_filled_record_is_extended_by_command_and_grows_only_as_zarr(tmp_path, capsys):
    cube = mock_cube(days=60, pixels=4)
    short, longer = write_cube(cube.isel(time=slice(0, 50)), tmp_path / "a.zarr"), write_cube(cube, tmp_path / "b.zarr")
    for path, told in ((short, "0 days kept, 50 added"), (longer, "50 days kept, 10 added"), (longer, "60 days kept")):
        assert cli.main(["extend", str(path), str(tmp_path / "out.zarr"), "--model", "linear"]) == 0
        assert told in capsys.readouterr().out
    assert open_dataset(tmp_path / "out.zarr").sizes["time"] == 60
    assert cli.main(["extend", str(longer), str(tmp_path / "out.nc")]) == 2
    assert "ends in .zarr" in capsys.readouterr().err
