"""The whole china profile on loopback: plan, fetch, cube, reconstruction; killed, damaged, grown, on two workers."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
import yaml
from pyproj import Transformer

sys.path.insert(0, str(Path(__file__).parent))
import china_archive as made
import loopback

from tssmnet import reconstruct
from tssmnet.cube import open_cube
from tssmnet.data import registry
from tssmnet.data.china import build, fetch
from tssmnet.data.china.settings import Settings, SettingsError, load_settings
from tssmnet.data.readers import ismn, modis, smap
from tssmnet.data.readers.faults import SourceError
from tssmnet.data.readers.grids import ease_cells, ease_geobox, ease_window
from tssmnet.profiles import profile_cube, profile_part
from workflow import pages, run_notebook

DAYS, LAST = 60, "2020-06-29"
pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="session")
def origin(tmp_path_factory) -> Path:
    """What the archives hold: made-up granules in the genuine layouts, 60 days."""
    return made.write_archive(tmp_path_factory.mktemp("origin"), DAYS, lst_every=6)


@pytest.fixture
def services(origin):
    with loopback.serving(origin) as running:
        yield running


@pytest.fixture(autouse=True)
def account(monkeypatch, tmp_path):
    """An account that the loopback archive knows, and no netrc of the user."""
    monkeypatch.setenv("EARTHDATA_TOKEN", loopback.TOKEN)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.delenv("EARTHDATA_USERNAME", raising=False)
    monkeypatch.delenv("TSSMNET_OFFLINE", raising=False)


def settings(**changes) -> Settings:
    return replace(Settings(first=made.SEAM.first, last=LAST, bounds=made.SEAM.box, days_per_chunk=10), **changes)


def sums(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="session")
def built(origin, tmp_path_factory) -> Path:
    """The cube straight from the folder of granules."""
    out = tmp_path_factory.mktemp("built") / "cube.zarr"
    build.build_cube(origin, settings(), out)
    return out


# ------------------------------------------------------------------------------------------------------------ the cube


def test_the_cube_holds_the_observations_of_each_granule_on_the_exact_grid(built, origin):
    cube = open_cube(built).load()
    assert dict(cube.sizes) == {"time": DAYS, "y": 8, "x": 8}
    row, column = ease_cells(cube.lat.values.ravel(), cube.lon.values.ravel())
    window = ease_window(made.SEAM.box)
    assert (row.min(), column.min()) == (window[0].start, window[1].start)
    for day in made.days(DAYS)[::17]:
        granule = smap.read_granule(origin / "smap-l3-enhanced" / made.smap_name(day), made.SEAM.box)
        np.testing.assert_array_equal(cube.ssm.sel(time=day).values, granule.ssm.values[0])
    assert 0.3 < float(cube.ssm.notnull().mean()) < 0.7
    assert cube.ssm.dtype == np.float32


def test_a_clear_day_has_the_mean_of_its_pixels_and_a_cloudy_one_the_cycle_and_its_neighbours(built, origin):
    cube = open_cube(built).load()
    paths = sorted((origin / "modis-lst").glob("*.hdf"))
    day = modis.read_tile(paths[0], "MOD11A1").time.values[0]
    box = ease_geobox()[ease_window(made.SEAM.box)]
    values, lat, lon = [], [], []
    for path in paths[:2]:
        tile = modis.read_tile(path, "MOD11A1").lst_day.isel(time=0)
        seen = tile.notnull().values
        y, x = np.meshgrid(tile.y.values, tile.x.values, indexing="ij")
        to_cells = Transformer.from_crs(made.SINUSOIDAL, "EPSG:6933", always_xy=True)
        px, py = to_cells.transform(x[seen], y[seen])
        lon.append((px - box.affine.c) / box.affine.a)
        lat.append((py - box.affine.f) / box.affine.e)
        values.append(tile.values[seen])
    column, row, values = (np.concatenate(v) for v in (lon, lat, values))
    for r, c in ((2, 2), (5, 6)):
        inside = (column.astype(int) == c) & (row.astype(int) == r) & (column >= 0) & (row >= 0)
        assert cube.lst.sel(time=day).values[r, c] == pytest.approx(values[inside].mean(), abs=0.35)
    assert not cube.lst.isnull().any()
    assert 270 < float(cube.lst.min()) < float(cube.lst.max()) < 310


def test_predictors_are_within_their_ranges_and_classes_are_classes(built):
    cube = open_cube(built).load()
    assert float(cube.ndvi.min()) > 0
    assert float(cube.ndvi.max()) < 0.8
    assert float(cube.evi.mean()) < float(cube.ndvi.mean())
    assert (float(cube.tvdi.min()), float(cube.tvdi.max())) == (0.0, 1.0)
    assert set(np.unique(cube.landcover)) <= {10, 12, 16}
    assert 3000 < float(cube.dem.mean()) < 4500
    assert float(cube.slope.min()) > 0
    for name in ("landcover", "texture", "soil_class"):
        assert cube[name].dtype == np.int16
        assert set(np.unique(cube[name])) <= set(cube[name].attrs["flag_values"]) | {build.OUTSIDE}


def test_what_is_not_there_is_an_error_unless_it_is_given_up(origin, tmp_path):
    part = tmp_path / "archive"
    part.mkdir()
    (part / "smap-l3-enhanced").symlink_to(origin / "smap-l3-enhanced")
    with pytest.raises(SourceError, match=r"lacks modis-lst.*tssmnet data fetch china.*without"):
        build.build_cube(part, settings())
    lacking = ("modis-lst", "modis-vegetation", *build.STATICS)
    build.build_cube(part, settings(without=lacking, last="2020-05-10"))
    assert set(open_cube(part / build.CUBE).data_vars) == {"ssm"}


# ------------------------------------------------------------------------------------------- the way, end to end


@pytest.mark.slow
def test_from_the_archives_to_the_filled_map_with_nothing_changed_but_the_addresses(
    services, built, origin, genuine, tmp_path, monkeypatch
):
    place = tmp_path / "data"
    place.mkdir()
    about = {"first": made.SEAM.first, "last": LAST, "bounds": list(made.SEAM.box), "days_per_chunk": 10}
    (place / "china.yml").write_text(yaml.safe_dump(about | {"services": services.addresses}))
    monkeypatch.setenv("TSSMNET_DATA_DIR", str(place))

    planned = fetch.plan("china")
    counts = {i.dataset.name: len(i.granules) for i in planned.items if i.granules}
    assert counts["smap-l3-enhanced"] == DAYS
    assert (counts["modis-lst"], counts["modis-vegetation"], counts["modis-landcover"]) == (20, 10, 2)
    assert counts["copernicus-dem"] == 2  # of six: the others do not touch the window
    assert "NASA Earthdata" in str(planned)
    assert "to be had by hand" in str(planned)

    report = fetch.fetch(planned=planned, progress=False)
    assert report.fetched == sum(counts.values())
    assert not report.quarantined
    used = sum(p.stat().st_size for p in place.rglob("*") if p.is_file() and p.suffix in (".h5", ".hdf", ".tif"))
    assert used <= planned.disk
    assert fetch.verify("china") == {}
    text = "".join(p.read_text() for p in place.rglob("*.json")) + str(planned) + str(report)
    assert loopback.TOKEN not in text
    assert fetch.fetch(progress=False).fetched == 0

    for name in ("ismn-naqu", "esa-cci-sm"):  # by hand
        shutil.copytree(origin / name, place / name)
    assert "1 surface sensors" in fetch.placed(registry.select("ismn-naqu")[0], place, load_settings(place))

    pixels = profile_cube("china")
    assert (pixels.ssm.dims, pixels.sizes["pixel"]) == (("time", "pixel"), 64)
    cube = profile_cube("china", layout="grid")
    first = list(cube)[:5]
    assert first == ["ssm", "lst", "ndvi", "evi", "tvdi"]
    xr.testing.assert_equal(cube.load(), open_cube(built)[list(cube)].load())
    stations = profile_part("china", "stations")
    assert stations.sizes["station"] == 1
    assert float(stations.ssm.mean()) == pytest.approx(np.mean([made.wetness(d) for d in made.days(DAYS)]), abs=0.01)
    image = profile_part("china", "esa_cci").sm.isel(time=1)
    assert float(image.mean()) == pytest.approx(made.wetness(np.datetime64("2020-05-02")), abs=1e-5)

    filled = reconstruct(cube, "xgboost", features="lag", rounds=10, progress=False)
    assert not filled.ssm.isnull().any()
    seen = cube.ssm.notnull().values
    np.testing.assert_array_equal(filled.ssm.values[seen], cube.ssm.values[seen])

    genuine("natural-earth")  # the outline on the pages' maps, the only file here that is not made up
    monkeypatch.setenv("TSSMNET_STORE_DIR", str(tmp_path / "store"))
    monkeypatch.setattr(pages, "BUILD", tmp_path / "_build")
    quick = {"samples": 2000, "epochs": 1, "rounds": 5, "trees": 4}
    for name, given in (("2.1.2-data", {}), ("3.2-maps", quick)):
        page = next(p for p in pages.book_pages("china") if p.name == name)
        assert run_notebook.run(page, given)["profile"] == "china"
        shown = [o for c in json.loads(page.executed.read_text())["cells"] for o in c.get("outputs", ())]
        assert sum("image/png" in o.get("data", {}) for o in shown) >= 2


def lay_stations(folder: Path, genuine) -> None:
    for path in genuine("ismn-maqu").values():
        target = folder / "ismn-maqu-full" / Path(*path.parts[-3:])
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def check_stations(genuine) -> None:
    """A day of the record is the mean of its good hours, read line by line."""
    stations = profile_part("china", "stations").ssm
    path = next(p for p in genuine("ismn-maqu").values() if p.name.startswith("MAQU_MAQU_CST-01_sm"))
    fields = [line.split() for line in path.read_text().splitlines() if line.startswith("2010/05")]
    days = sorted({f[0] for f in fields})[:10]
    for day in days:
        good = [float(f[2]) for f in fields if f[0] == day and f[3] in ("G", "U")]
        value = stations.sel(station="MAQU/CST_01", time=day.replace("/", "-")).item()
        if len(good) >= ismn.MIN_HOURS:
            assert value == pytest.approx(np.mean(good), abs=1e-6)
        else:
            assert np.isnan(value)


def lay_smap(folder: Path, genuine) -> None:
    made.lay_smap(folder / "smap-l3-enhanced", genuine("smap-l3e-9km"))


def check_smap(genuine) -> None:
    """Each value of the record is the mean of the one or two values that the file has of the cell."""
    cube, found = profile_cube("china").load(), 0
    for path in (p for p in genuine("smap-l3e-9km").values() if "_smap_" in p.name):
        with xr.open_dataset(path, engine="h5netcdf") as d:
            cells, values = np.stack([d.latitude.values, d.longitude.values], axis=1), d.soil_moisture.values
        day = cube.ssm.sel(time=path.stem[-10:])
        for value, *centre in zip(day.values, day.lat.values, day.lon.values, strict=True):
            own = np.abs(cells - centre).max(axis=1) < 0.01
            assert value == pytest.approx(values[own].mean(), abs=1e-6) if own.any() else np.isnan(value)
            found += own.any()
    assert found > 100


def lay_temperature(folder: Path, genuine) -> None:
    next((folder / "modis-lst").glob("MOD11A1.A2019305.h14v09.*")).unlink()
    name = "MOD11A1.A2019305.h14v09.006.2019306084028.hdf"
    shutil.copy(genuine("modis-mod11a1")["modis/MOD11A1.hdf"], folder / "modis-lst" / name)


def check_temperature(genuine) -> None:
    """A cell in the midst of clear pixels has about their mean."""
    lst = profile_cube("china").lst.sel(time="2019-11-01").load()
    tile = modis.read_tile(genuine("modis-mod11a1")["modis/MOD11A1.hdf"], "MOD11A1").lst_day[0]
    to_tile = Transformer.from_crs("EPSG:4326", made.SINUSOIDAL, always_xy=True)
    errors = []
    for value, lat, lon in zip(lst.values, lst.lat.values, lst.lon.values, strict=True):
        x, y = to_tile.transform(lon, lat)
        around = tile.sel(x=slice(x - 4500, x + 4500), y=slice(y + 4500, y - 4500))
        if around.notnull().mean() > 0.9:
            errors.append(value - float(around.mean()))
    assert len(errors) > 20
    assert np.sqrt(np.mean(np.square(errors))) < 0.3  # a cell is no square of the tile


def lay_cci(folder: Path, genuine) -> None:
    """The genuine days alone: they are of an older version, and versions are not mixed in one record."""
    shutil.rmtree(folder / "esa-cci-sm")
    for path in genuine("esa-cci-sm-days").values():
        (folder / "esa-cci-sm" / "2016").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / "esa-cci-sm" / "2016")


def check_cci(genuine) -> None:
    """A cell has the value of the quarter degree that it lies in."""
    image = profile_part("china", "esa_cci").load()
    for path in genuine("esa-cci-sm-days").values():
        with h5py.File(path) as f:
            sm, lat, lon = f["sm"][0], f["lat"][:], f["lon"][:]
        day = image.sm.sel(time=np.datetime64(re.search(r"-(2016)(06)(0\d)000000-", path.name).expand(r"\1-\2-\3")))
        row = np.abs(lat[:, None] - day.lat.values).argmin(axis=0)
        column = np.abs(lon[:, None] - day.lon.values).argmin(axis=0)
        there = np.isfinite(day.values)
        assert there.any()
        np.testing.assert_allclose(day.values[there], sm[row, column][there], atol=1e-6)


GENUINE = {
    "stations": (made.MAQU, 30, lay_stations, check_stations),
    "SMAP values": (made.SINDH, 7, lay_smap, check_smap),
    "a MOD11A1 granule": (made.CEARA, 8, lay_temperature, check_temperature),
    "ESA CCI days": (made.QINGHAI, 8, lay_cci, check_cci),
}
"""What there is of genuine pieces: where and when, days, how it comes into the archives, what must come out."""


@pytest.mark.slow
@pytest.mark.mirror
@pytest.mark.parametrize("piece", GENUINE)
def test_genuine_pieces_go_the_whole_way_beside_made_up_granules(piece, genuine, tmp_path, monkeypatch):
    place, count, lay, check = GENUINE[piece]
    folder = made.write_archive(tmp_path / "origin", count, place, lst_every=1)
    lay(folder, genuine)
    target = tmp_path / "data"
    target.mkdir()
    monkeypatch.setenv("TSSMNET_DATA_DIR", str(target))
    about = {"first": place.first, "last": str(made.days(count, place)[-1]), "bounds": list(place.box)}
    with loopback.serving(folder) as services:
        (target / "china.yml").write_text(yaml.safe_dump(about | {"services": services.addresses}))
        report = fetch.fetch(planned=fetch.plan("china"), progress=False)
    assert not report.quarantined
    for name in ("ismn-naqu", "ismn-maqu-full", "esa-cci-sm"):  # by hand
        if (folder / name).is_dir():
            shutil.copytree(folder / name, target / name)

    cube = profile_cube("china", layout="grid")
    check(genuine)
    filled = reconstruct(cube, "xgboost", features="lag", rounds=10, progress=False)
    assert not filled.ssm.isnull().any()
    monkeypatch.setenv("TSSMNET_STORE_DIR", str(tmp_path / "store"))
    monkeypatch.setattr(pages, "BUILD", tmp_path / "_build")
    page = next(p for p in pages.book_pages("china") if p.name == "2.1.1-study-area")
    assert run_notebook.run(page, {})["profile"] == "china"


def test_every_set_that_a_program_gets_names_its_service_and_how_it_is_asked():
    sets = [s for s in registry.select("china") if s.access in ("earthdata", "stac")]
    assert len(sets) == 11
    assert all(s.service["name"] in fetch._SEARCHES for s in sets)
    assert {s.service["name"] for s in sets} == set(registry.services())


# ----------------------------------------------------------------------------------------------------------- fetching


@pytest.fixture
def few(services) -> Settings:
    """Land surface temperature of some days: two tiles each."""
    return settings(last="2020-05-20", services=services.addresses)


def test_one_bad_granule_is_listed_and_the_rest_comes_and_a_later_run_gets_it(services, few, tmp_path):
    bad = sorted((services.folder / "modis-lst").glob("*.hdf"))[1].name
    services.damaged.add(bad)
    report = fetch.fetch("modis-lst", few, tmp_path, progress=False)
    assert list(report.quarantined["modis-lst"]) == [bad]
    assert report.fetched > 4
    assert "md5 expected" in str(report)
    assert not (tmp_path / "modis-lst" / bad).exists()
    assert list(fetch.verify("modis-lst", tmp_path)) == [f"modis-lst/{bad}"]
    services.damaged.clear()
    again = fetch.fetch("modis-lst", few, tmp_path, progress=False)
    assert (again.fetched, again.quarantined) == (1, {})


def test_without_an_account_nothing_is_fetched_and_the_remedy_is_told(few, tmp_path, monkeypatch):
    monkeypatch.delenv("EARTHDATA_TOKEN")
    with pytest.raises(fetch.AccountError, match=r"netrc.*urs.earthdata.nasa.gov"):
        fetch.fetch("modis-lst", few, tmp_path, progress=False)
    assert not list(tmp_path.rglob("*.hdf*"))


def test_a_refused_account_is_told_without_its_token(few, tmp_path, monkeypatch):
    monkeypatch.setenv("EARTHDATA_TOKEN", "secret-and-wrong")
    with pytest.raises(fetch.AccountError, match=r"refuses.*approve") as error:
        fetch.fetch("modis-lst", few, tmp_path, progress=False)
    assert "secret" not in str(error.value)


def test_a_disk_that_is_too_small_is_refused_before_anything_comes(few, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10**6)
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(fetch.DiskError, match=r"1\.0 MB free.*TSSMNET_DATA_DIR"):
        fetch.fetch("modis-lst", few, tmp_path, progress=False)
    assert not list(tmp_path.rglob("*.hdf*"))


def test_a_catalogue_that_cannot_be_asked_or_holds_nothing_is_named(few, tmp_path):
    nowhere = replace(few, services={"cmr": "http://127.0.0.1:1/search/"})
    with pytest.raises(fetch.ServiceError, match=r"127.0.0.1:1/search/ cannot be asked for MOD11A1"):
        fetch.plan("modis-lst", nowhere, tmp_path)
    with pytest.raises(fetch.ServiceError, match="holds nothing of MOD11A1 for 1999-01-01"):
        fetch.plan("modis-lst", replace(few, first="1999-01-01", last="1999-01-02"), tmp_path)


def test_a_page_of_words_in_place_of_a_granule_is_refused(tmp_path):
    (tmp_path / "a.part").write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(fetch.DamagedFileError, match=r"is no .hdf file"):
        fetch.probe(tmp_path / "a.part", "MOD11A1.hdf")


RUN = """
import sys
from dataclasses import replace
from pathlib import Path
import yaml
from tssmnet.data.china import build, fetch
from tssmnet.data.china.settings import load_settings
what, place, folder = sys.argv[1:4]
settings = load_settings(Path(place))
print("ready", flush=True)
if what == "fetch":
    fetch.fetch(["modis-lst", "smap-l3-enhanced"], settings, Path(folder), progress=False)
else:
    build.build_cube(Path(place), settings, Path(folder))
"""


def run_and_kill(arguments: list[str], times: int, longest: float, done) -> int:
    """Start, kill at a random moment, again; returns how often the kill came before the end."""
    chance, early = random.Random(5), 0
    for _ in range(times):
        command = [sys.executable, "-W", "ignore", "-c", RUN, *arguments]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"DASK_SCHEDULER": "synchronous"})
        run.stdout.readline()
        ready = time.monotonic()
        while run.poll() is None and not done() and time.monotonic() - ready < 60:
            time.sleep(0.02)
        time.sleep(chance.uniform(0.0, longest))
        early += run.poll() is None
        run.send_signal(signal.SIGKILL)
        run.wait()
        run.stdout.close()
    return early


@pytest.mark.slow
def test_a_fetch_killed_at_random_points_ends_in_the_same_files(services, tmp_path):
    place = tmp_path / "settings"
    place.mkdir()
    about = {
        "first": made.SEAM.first,
        "last": "2020-05-12",
        "bounds": list(made.SEAM.box),
        "services": services.addresses,
    }
    (place / "china.yml").write_text(yaml.safe_dump(about))
    services.pause = 0.02
    killed = tmp_path / "killed"
    early = run_and_kill(["fetch", str(place), str(killed)], 3, 0.5, lambda: len(services.log) > 6)
    assert early
    services.pause = 0.0
    given = load_settings(place)
    fetch.fetch(["modis-lst", "smap-l3-enhanced"], given, killed, progress=False)
    fetch.fetch(["modis-lst", "smap-l3-enhanced"], given, tmp_path / "whole", progress=False)
    left = {n for n in sums(killed) if not n.endswith((".h5", ".hdf", ".json", ".fetch.lock"))}
    assert not left
    assert {n: s for n, s in sums(killed).items() if n.endswith(".hdf")} == {
        n: s for n, s in sums(tmp_path / "whole").items() if n.endswith(".hdf")
    }
    for path in sorted(killed.rglob("*.h5")):
        other = tmp_path / "whole" / path.relative_to(killed)
        assert smap.read_granule(path, made.SEAM.box).equals(smap.read_granule(other, made.SEAM.box))


def test_the_cut_of_a_granule_reads_as_the_granule(origin, tmp_path):
    path = origin / "smap-l3-enhanced" / made.smap_name(np.datetime64("2020-05-03"))
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    os.replace(fetch.cut_smap(copy, made.SEAM.box), copy)
    assert smap.read_granule(copy, made.SEAM.box).equals(smap.read_granule(path, made.SEAM.box))
    assert copy.stat().st_size < path.stat().st_size / 5


# ------------------------------------------------------------------------------------------------- building and growing


@pytest.mark.slow
def test_a_build_killed_while_regridding_and_writing_ends_in_the_same_cube(origin, built, tmp_path):
    place = tmp_path / "archive"
    place.mkdir()
    for folder in origin.iterdir():
        (place / folder.name).symlink_to(folder)
    about = {"first": made.SEAM.first, "last": LAST, "bounds": list(made.SEAM.box), "days_per_chunk": 10}
    (place / "china.yml").write_text(yaml.safe_dump(about))
    out = tmp_path / "out" / "cube.zarr"
    work = out.with_name(build.WORK)
    regridding = run_and_kill(
        ["build", str(place), str(out)], 2, 0.3, lambda: len(list((work / "lst.zarr.journal").glob("0*.json"))) > 1
    )
    writing = run_and_kill(
        ["build", str(place), str(out)], 1, 0.01, lambda: len(list(out.with_name("cube.zarr.journal").glob("0*"))) > 1
    )
    assert regridding + writing
    build.build_cube(place, load_settings(place), out)
    assert sums(out) == sums(built)


@pytest.mark.slow
def test_two_workers_make_the_same_cube(origin, built, tmp_path):
    out = tmp_path / "cube.zarr"
    build.build_cube(origin, settings(cluster="local", workers=2), out)
    assert sums(out) == sums(built)


@pytest.mark.slow
def test_a_new_month_leaves_the_chunks_before_its_margin_alone(origin, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MARGIN", {"lst": 8, "vegetation": 32})
    reference = {"reference_first": made.SEAM.first, "reference_last": "2020-06-09"}
    grown, whole = tmp_path / "grown" / "cube.zarr", tmp_path / "whole" / "cube.zarr"
    build.build_cube(origin, settings(last="2020-06-09", **reference), grown)
    before = {p: p.stat().st_mtime_ns for p in grown.glob("*/c/*/*/*") if p.is_file()}  # chunks (time, y, x)
    assert len(before) == 5 * 4
    report = build.build_cube(origin, settings(**reference), grown)
    touched = {p.relative_to(grown).parts[2] for p, s in before.items() if p.stat().st_mtime_ns != s}
    assert touched == {"2", "3"}  # the composite and the temperatures of the new days lie within their margin
    assert (report.records["cube"].done, report.records["cube"].kept) == (4, 2)
    build.build_cube(origin, settings(**reference), whole)
    assert sums(grown) == sums(whole)


def test_a_bad_granule_is_quarantined_and_its_day_is_empty_in_the_cube(origin, tmp_path):
    place = tmp_path / "archive"
    place.mkdir()
    (place / "smap-l3-enhanced").mkdir()
    for day in made.days(6):
        shutil.copy(origin / "smap-l3-enhanced" / made.smap_name(day), place / "smap-l3-enhanced")
    bad = place / "smap-l3-enhanced" / made.smap_name(np.datetime64("2020-05-03"))
    bad.write_bytes(bad.read_bytes()[:5000])
    lacking = ("modis-lst", "modis-vegetation", *build.STATICS)
    report = build.build_cube(place, settings(last="2020-05-06", without=lacking))
    assert list(report.quarantined) == [bad.name]
    assert "get it again" in str(report)
    cube = open_cube(place / build.CUBE)
    assert cube.ssm.isnull().all(["y", "x"]).values.tolist() == [False, False, True, False, False, False]


def test_settings_that_cannot_be_are_refused_by_name(tmp_path):
    for text, told in (
        ("frist: 2016-01-01", "did you mean 'first'"),
        ("first: 2020-01-02\nlast: 2020-01-01", "lies after"),
        ("bounds: [1, 2, 3]", "west, south, east, north"),
        ("cluster: locl", "did you mean 'local'"),
    ):
        (tmp_path / "china.yml").write_text(text)
        with pytest.raises(SettingsError, match=told):
            load_settings(tmp_path)
