"""A filled record grows by its new days, all at once; what was written stays, and only its own cube is taken."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tssmnet import cli
from tssmnet.cube import open_dataset, write_cube, write_dataset
from tssmnet.disk import OutputError
from tssmnet.errors import TssmnetError
from tssmnet.reconstruction import files
from tssmnet.reconstruction.extend import extend
from tssmnet.reconstruction.files import reconstruct_file
from tssmnet.testing import mock_cube

TREES = {"model": "xgboost", "features": "lag+desc", "rounds": 8}
FEW = {"rounds": 10, "min_child": 5.0}
FILLER = {"folds": 2, "parts": 2, "networks": (), "strangers": (), "far": (), "epochs": 1, "few_events": 0}
FILLER |= dict.fromkeys(("forward", "boosting"), FEW)


@pytest.fixture(autouse=True)
def same_moment(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture(scope="module")
def cube():
    cube = mock_cube(days=100, pixels=5).assign_coords(pixel=np.arange(10, 15))
    cube["ssm"][:, 4] = np.nan
    return cube


@pytest.fixture(scope="module")
def grid():
    return mock_cube(days=100, shape=(4, 3), seed=2)


def months(cube, folder, days=70):
    """The files of the cube up to a day, and of all of it."""
    return write_cube(cube.isel(time=slice(0, days)), folder / "first.zarr"), write_cube(cube, folder / "cube.zarr")


def bytes_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def hidden(folder):
    return [p.name for p in folder.iterdir() if p.name.startswith(".")]


@pytest.fixture
def grown(cube, tmp_path):
    """The files after the first 70 days, and the record after 100."""
    first, whole = months(cube, tmp_path)
    out = tmp_path / "filled.zarr"
    extend(first, out, **TREES)
    files, before = bytes_of(out), open_dataset(out).load()
    return out, files, before, extend(whole, out, **TREES)


def test_chunks_of_days_that_are_full_stay_as_they_are(grown):
    out, files, _, report = grown
    now = bytes_of(out)
    chunks = [name for name in files if name.startswith(("ssm", "source")) and "/c/" in name]
    touched = {Path(name).parts[2] for name in chunks if now[name] != files[name]}
    assert (report.kept, report.added, report.fitted) == (70, 30, False)
    assert touched == {"2"}  # days 64 to 95; those of 0 to 63 are as they were
    assert [name for name in files if "/model/" in name and now[name] != files[name]] == []


def test_the_past_keeps_its_values_and_the_new_days_are_filled_around_their_observations(grown, cube):
    out, _, before, _ = grown
    record = xr.open_zarr(out).load()
    assert record.isel(time=slice(0, 70)).drop_attrs().identical(before[[*record.data_vars]].drop_attrs())
    assert not record.ssm.isnull().any()
    seen = cube.ssm.notnull().values
    np.testing.assert_array_equal(record.ssm.values[seen], cube.ssm.values[seen])
    assert (record.source.values == np.where(seen, 0, 1)).all()
    np.testing.assert_array_equal(record.time.values.astype("M8[D]"), cube.time.values.astype("M8[D]"))
    assert record.attrs["history"].splitlines()[0].endswith("the days 2015-06-10 to 2015-07-09")


def test_a_call_without_new_days_changes_nothing_and_leaves_nothing(grown, tmp_path):
    out = grown[0]
    before = bytes_of(out)
    assert extend(tmp_path / "cube.zarr", out, **TREES).added == 0
    assert bytes_of(out) == before
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("make", ["cube", "grid"])
@pytest.mark.parametrize("call", [TREES, {"model": "linear"}, {"model": "dctpls"}], ids=lambda c: c["model"])
def test_blocks_of_any_size_give_the_same_record(make, call, tmp_path, request):
    first, whole = months(request.getfixturevalue(make), tmp_path)
    for name, size in (("small", 2_500), ("large", 2**27)):
        for path in (first, whole):
            extend(path, tmp_path / f"{name}.zarr", block_bytes=size, **call)
    small, large = (open_dataset(tmp_path / f"{n}.zarr").load() for n in ("small", "large"))
    xr.testing.assert_allclose(small.drop_attrs(), large.drop_attrs(), rtol=0, atol=2e-7)
    assert large.ssm.isel(time=slice(0, 70)).equals(small.ssm.isel(time=slice(0, 70)))


def test_the_first_days_are_those_that_reconstruct_gives(cube, tmp_path):
    first, _ = months(cube, tmp_path)
    extend(first, tmp_path / "grows.zarr", **TREES)
    reconstruct_file(first, tmp_path / "filled.zarr", **TREES)
    grows, filled = (open_dataset(tmp_path / f"{n}.zarr").load() for n in ("grows", "filled"))
    xr.testing.assert_identical(grows.drop_attrs(), filled.drop_attrs())


@pytest.mark.parametrize("size", [pytest.param(60_000, marks=pytest.mark.slow), 2**27])
def test_the_filler_that_is_kept_fills_new_days_from_a_window_and_is_not_fitted_again(
    grid, tmp_path, monkeypatch, size
):
    monkeypatch.setattr("tssmnet.reconstruction.by_filler.FillerModel.WINDOW_DAYS", 40)
    first, whole = months(grid, tmp_path)
    out = tmp_path / "filled.zarr"
    extend(first, out, block_bytes=size, **FILLER)
    before = open_dataset(out).load()
    monkeypatch.setattr("tssmnet.reconstruction.by_filler.learn", None)
    report = extend(whole, out, block_bytes=size, **FILLER)
    record = open_dataset(out).load()
    assert (report.kept, report.added, report.fitted) == (70, 30, False)
    assert record.isel(time=slice(0, 70)).drop_attrs().equals(before.drop_attrs())
    assert not record.ssm.isnull().any()
    assert (record.ssm_upper > record.ssm_lower).all()


@pytest.mark.parametrize("moved", [{"y": slice(None, None, -1)}, {"y": [2, 0, 3, 1], "x": [1, 2, 0]}])
def test_rows_and_columns_in_another_order_are_put_in_order_by_their_coordinates(grid, tmp_path, moved):
    first, whole = months(grid, tmp_path)
    other = write_cube(grid.isel(moved), tmp_path / "moved.zarr")
    for path, out in ((whole, "expected.zarr"), (other, "found.zarr")):
        extend(first, tmp_path / out, **TREES)
        assert extend(path, tmp_path / out, **TREES).added == 30
    expected, found = (open_dataset(tmp_path / n).load() for n in ("expected.zarr", "found.zarr"))
    xr.testing.assert_identical(found.drop_attrs(), expected.drop_attrs())


def test_pixels_in_another_order_are_put_in_order_by_their_places(cube, grown, tmp_path):
    order = [3, 0, 4, 1, 2]
    other = write_cube(cube.isel(pixel=order), tmp_path / "moved.zarr")
    extend(tmp_path / "first.zarr", tmp_path / "found.zarr", **TREES)
    extend(other, tmp_path / "found.zarr", **TREES)
    xr.testing.assert_identical(
        open_dataset(tmp_path / "found.zarr").load().drop_attrs(), open_dataset(grown[0]).load().drop_attrs()
    )


def changed(variable, to):
    def change(cube):
        return cube.assign({variable: to(cube[variable])})

    return change


def late(days):
    """What changes a few days only."""
    return lambda v: v.where(~v.time.isin(v.time[days]), v + 0.01)


OTHERS = {
    "another region": (
        lambda c: c.assign_coords(lat=c.lat + 1),
        "another region's: it lacks 5 of 5 places of the record",
    ),
    "one place moved": (
        lambda c: c.assign_coords(lon=c.lon + 0.01 * (c.pixel == 12)),
        "another region's: it lacks 1 of 5 places",
    ),
    "degrees from 0 to 360": (
        lambda c: c.assign_coords(lon=c.lon % 360),
        "longitudes otherwise than the record: 2.* for -",
    ),
    "fewer places": (lambda c: c.isel(pixel=slice(0, 4)), "it has 4 pixel places, the record 5 pixel"),
    "other numbers of the pixels": (
        lambda c: c.assign_coords(pixel=c.pixel + 1),
        "pixel names the same places otherwise",
    ),
    "degrees C": (
        changed("air_temperature", lambda v: (v - 273.15).assign_attrs(v.attrs | {"units": "degC"})),
        "units of air_temperature was 'K' and is 'degC'",
    ),
    "values of another unit, not said": (
        changed("clay", lambda v: (v / 100).assign_attrs(v.attrs)),
        "other values of clay than",
    ),
    "a variable of another name": (lambda c: c.rename(clay="loam"), "list of variables was"),
    "no rain": (lambda c: c.drop_vars("precipitation"), "list of variables was"),
    "another start": (lambda c: c.isel(time=slice(1, None)), "first day was '2015-04-01' and is '2015-04-02'"),
    "another day of rain": (
        changed("precipitation", late([40])),
        r"precipitation than .* on 1 of its 70 days \(first 2015-05-11\).*--revised-days",
    ),
    "another observation": (changed("ssm", late([66])), r"ssm than .* on 1 of its 70 days \(first 2015-06-06\)"),
    "fewer days": (lambda c: c.isel(time=slice(0, 60)), "holds 70 days, .* only 60"),
    "classes of another number": (
        lambda c: c.assign(
            landcover=(c.landcover + 1).assign_attrs(c.landcover.attrs | {"flag_values": [2, 8, 11, 13]})
        ),
        "classes of landcover",
    ),
}


@pytest.fixture(scope="module")
def begun(cube, tmp_path_factory):
    """A record of 70 days."""
    folder = tmp_path_factory.mktemp("begun")
    extend(months(cube, folder)[0], folder / "filled.zarr", **TREES)
    return folder / "filled.zarr"


@pytest.mark.parametrize("how", OTHERS)
def test_a_cube_that_is_not_that_of_the_record_is_refused_and_said(how, cube, begun, tmp_path):
    change, message = OTHERS[how]
    before = bytes_of(begun)
    with pytest.raises(TssmnetError, match=message):
        extend(write_dataset(change(cube), tmp_path / "other.zarr"), begun, **TREES)
    assert bytes_of(begun) == before
    assert hidden(begun.parent) == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [({"seed": 1}, "seed was 0 and is 1"), ({"rounds": 9}, "params was"), ({"rows": 10}, "rows was 500000 and is 10")],
)
def test_another_recipe_is_refused(asked, message, begun, tmp_path):
    with pytest.raises(TssmnetError, match=message):
        extend(begun.parent / "cube.zarr", begun, **TREES | asked)


def test_predictors_of_the_last_days_may_have_been_revised_where_that_is_allowed(cube, begun, tmp_path, capsys):
    out = tmp_path / "filled.zarr"
    shutil.copytree(begun, out)
    revised = write_cube(changed("precipitation", late([60, 65]))(cube), tmp_path / "revised.zarr")
    before = open_dataset(out).load()
    with pytest.raises(TssmnetError, match="on 2 of its 70 days"):
        extend(revised, out, revised_days=9, **TREES)
    assert extend(revised, out, revised_days=10, **TREES).added == 30
    assert "precipitation" in capsys.readouterr().err
    record = open_dataset(out).load()
    assert record.isel(time=slice(0, 70)).drop_attrs().equals(before.drop_attrs())
    assert record.attrs["history"].splitlines()[0].endswith("revised since the days before were filled: precipitation")
    assert extend(revised, out, **TREES).added == 0


@pytest.mark.parametrize(
    "name", ["ssm/c/0/0", "time/c/0", "lat/zarr.json", "zarr.json", "growth/zarr.json", "growth/model"]
)
@pytest.mark.parametrize("how", ["a bit flipped", "lost"])
def test_a_damaged_record_is_one_line_and_stays_as_it_is(name, how, begun, tmp_path, capsys):
    out = tmp_path / "filled.zarr"
    shutil.copytree(begun, out)
    path = out / name
    path = next(p for p in path.rglob("*.ubj")) if path.is_dir() else path
    content = path.read_bytes()
    path.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
    if how == "lost":
        path.unlink()
    before = bytes_of(out)
    arguments = ["extend", str(begun.parent / "cube.zarr"), str(out), "--model", "xgboost"]
    assert cli.main(arguments) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert "filled.zarr" in told[-1]
    assert len(told) == 1
    assert bytes_of(out) == before


def test_what_extend_did_not_begin_is_not_begun_anew(cube, tmp_path):
    first, whole = months(cube, tmp_path)
    reconstruct_file(first, tmp_path / "filled.zarr", "linear")
    write_cube(cube, tmp_path / "own.zarr")
    before = bytes_of(tmp_path)
    with pytest.raises(TssmnetError, match=r"no record that `extend` began.*another output"):
        extend(whole, tmp_path / "filled.zarr", "linear")
    for out in (tmp_path / "own.zarr", whole, whole / "ssm.zarr"):
        with pytest.raises(OutputError):
            extend(whole, out, "linear")
    with pytest.raises(TssmnetError, match=r"filled\.nc cannot grow: a record that does ends in \.zarr"):
        extend(whole, tmp_path / "filled.nc", "linear")
    assert bytes_of(tmp_path) == before


def test_a_netcdf_cube_and_a_moved_record_grow_as_well(cube, grown, tmp_path):
    first, whole = (write_cube(cube.isel(time=slice(0, d)), tmp_path / f"{d}.nc") for d in (70, 100))
    extend(first, tmp_path / "begun.zarr", **TREES)
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "begun.zarr").rename(tmp_path / "elsewhere" / "moved.zarr")
    assert extend(whole, moved, **TREES).added == 30
    xr.testing.assert_identical(open_dataset(moved).load().drop_attrs(), open_dataset(grown[0]).load().drop_attrs())


def test_names_of_places_and_other_coordinates_of_days_go_with_the_record(cube, tmp_path):
    named = cube.assign_coords(pixel=[f"station {i}" for i in "abcde"], season=("time", cube.time.dt.quarter.values))
    first, whole = months(named, tmp_path)
    for path in (first, whole):
        extend(path, tmp_path / "filled.zarr", "climatology")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record = xr.open_zarr(tmp_path / "filled.zarr").load()
    assert [*record.data_vars] == ["ssm", "ssm_model", "source"]
    assert record.pixel.values.tolist() == named.pixel.values.tolist()
    np.testing.assert_array_equal(record.season, named.season)


def test_a_cube_that_changes_under_the_work_leaves_the_record_as_it_is(cube, begun, tmp_path, monkeypatch):
    whole, other = months(cube, tmp_path)[1], cube.assign(clay=cube.clay + 1)
    before, fill = bytes_of(begun), files.fill_block
    monkeypatch.setattr(files, "fill_block", lambda *at: write_cube(other, whole) and fill(*at))
    with pytest.raises(TssmnetError, match=r"cube\.zarr was changed while it was being filled"):
        extend(whole, begun, **TREES)
    assert bytes_of(begun) == before
    assert hidden(begun.parent) == []


@pytest.mark.slow
def test_a_damaged_work_folder_is_seen_and_the_record_is_as_if_it_had_not_been(cube, tmp_path, monkeypatch, capsys):
    first, whole = months(cube, tmp_path)
    rng, out, begun = np.random.default_rng(4), tmp_path / "again.zarr", tmp_path / "begun.zarr"
    call, fill, names = {"block_bytes": 2_500, **TREES}, files.fill_block, []
    extend(first, out, **call)
    shutil.copytree(out, begun)
    extend(whole, out, **call)
    expected = bytes_of(out)
    for number in range(6):
        shutil.rmtree(out)
        shutil.copytree(begun, out)
        monkeypatch.setattr(
            files, "fill_block", lambda f, i: fill(f, i) if i < 2 else (_ for _ in ()).throw(OSError("full"))
        )
        with pytest.raises(OSError, match="full"):
            extend(whole, out, **call)
        monkeypatch.setattr(files, "fill_block", fill)
        (work,) = tmp_path.glob(".again.zarr.*.work")
        names = names or [
            *rng.permutation(sorted(p.relative_to(work).as_posix() for p in work.rglob("*") if p.is_file()))
        ]
        content = bytearray((work / names[number]).read_bytes())
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        (work / names[number]).write_bytes(content)
        assert extend(whole, out, **call).added == 30
        assert "again" in capsys.readouterr().err
        assert bytes_of(out) == expected
        assert hidden(tmp_path) == []
