"""What the stress campaign does: small commands on small inputs, and how what they leave is looked at."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path += [str(TESTS / "data"), str(TESTS / "cube")]

SMALL = 500  # bytes of a block: two pixels of the cubes below, or one with its predictors
TREES = {"rounds": 5, "depth": 3}
FILLER = {
    "folds": 2, "parts": 2, "networks": (), "strangers": (), "far": (), "epochs": 1, "hidden": 8,
    "forward": {"rounds": 5, "depth": 3}, "boosting": {"rounds": 5, "depth": 3}, "few_events": 0,
}  # fmt: skip
SERVED = {f"{n}.bin": np.random.default_rng(n).bytes(300_000) for n in range(4)}
HISTORY = ("history", "tssmnet_input_sha256", "tssmnet_job", "tssmnet_commit")
"""Attributes that differ between two equal runs."""

Look = Callable[[Path], dict[str, Any]]


@dataclass(frozen=True)
class Scene:
    """A command in a folder of its own.

    Parameters
    ----------
    prepare
        Lay out the inputs, and what stands there already: each step in a process of its own.
    act
        Runs the command; gives its code.
    look
        Reads the output: sums of its pieces by name, and how many observations of the input it lacks. Raises if it
        cannot be read.
    gradual
        Whether pieces of the output may come one by one.
    """

    prepare: tuple[Callable[[Path], Any], ...]
    act: Callable[[Path], int]
    look: Look
    gradual: bool = False


def digest(*parts: Any) -> str:
    """sha256 of some values."""
    from tssmnet.provenance import content_hash

    return content_hash(parts)


def cube(days: int = 60, seed: int = 1) -> xr.Dataset:
    """A small cube; one pixel was never observed, one lacks every predictor."""
    from tssmnet.testing import mock_cube

    made = mock_cube(days=60, pixels=7, seed=seed)
    made["ssm"][:, 3] = np.nan
    for name in ("ssm", "precipitation", "air_temperature"):
        made[name][:, 5] = np.nan
    return made.isel(time=slice(0, days))


def lay_cubes(folder: Path) -> None:
    """Three cubes: the small one, another, and the small one as netCDF."""
    from tssmnet.cube import write_cube

    write_cube(cube(), folder / "cube.zarr")
    write_cube(cube(seed=2), folder / "other.zarr")
    write_cube(cube(), folder / "cube.nc")


def reconstruct(model: str, out: str = "out.zarr", given: str = "cube.zarr", memory: bool = True, **params: Any) -> Any:
    """The command `reconstruct` with small blocks and small models; `memory` lets the filler hold a cube whole."""

    def act(folder: Path) -> int:
        from tssmnet import cli
        from tssmnet.reconstruction import by_filler, files

        whole, size = files.reconstruct_file, 200_000 if model == "filler" and not memory else SMALL
        size = 2**27 if model == "filler" and memory else size
        before = by_filler.MEMORY_BLOCKS
        by_filler.MEMORY_BLOCKS = before if memory else 0
        files.reconstruct_file = partial(whole, block_bytes=size, **params)  # type: ignore[assignment]
        return cli.main(["reconstruct", str(folder / given), str(folder / out), "--model", model])

    return act


def sums_of(filled: xr.Dataset) -> dict[str, str]:
    """One sum of all that a filled cube holds, but for when and where it was made."""
    bare = filled.copy()
    bare.attrs = {k: v for k, v in filled.attrs.items() if k not in HISTORY}
    return {"all": digest(bare)}


def lost(filled: xr.Dataset, given: xr.Dataset) -> int:
    """Observations of an input that its output does not hold."""
    observed = given["ssm"].transpose("time", "pixel").values[: filled.sizes["time"]]
    found = filled["ssm"].transpose("time", "pixel").values
    seen = np.isfinite(observed[: len(found)])
    return int((found[seen] != observed[: len(found)][seen]).sum())


def look_at(out: str, given: str = "cube.zarr") -> Look:
    """Reads a filled cube, and compares it with the observations of its input."""

    def look(folder: Path) -> dict[str, Any]:
        from tssmnet.cube import open_dataset

        if not (folder / out).exists():
            return {"pieces": {}, "lost": 0}
        filled = open_dataset(folder / out).load()
        return {"pieces": sums_of(filled), "lost": lost(filled, open_dataset(folder / given).load())}

    return look


def filled(model: str, **options: Any) -> Scene:
    """A cube filled in the place of an output that stands there."""
    return Scene((lay_cubes, reconstruct("climatology")), reconstruct(model, **options), look_at("out.zarr"))


# -- a record that grows ---------------------------------------------------------------------------------------------


def lay_growing(folder: Path) -> None:
    """Cubes of 40 and of 60 days."""
    from tssmnet.cube import write_cube

    write_cube(cube(40), folder / "short.zarr")
    write_cube(cube(60), folder / "cube.zarr")


def extend(model: str, given: str = "cube.zarr") -> Callable[[Path], int]:
    """The command `extend`."""

    def act(folder: Path) -> int:
        from tssmnet import cli
        from tssmnet.reconstruction import extend as growing

        growing.extend = partial(growing.extend, block_bytes=SMALL)  # type: ignore[assignment]
        return cli.main(["extend", str(folder / given), str(folder / "record.zarr"), "--model", model])

    return act


# -- the store -------------------------------------------------------------------------------------------------------


def costly(days: int) -> xr.Dataset:
    """A result of the library that is kept."""
    from tssmnet import cache
    from tssmnet.testing import mock_cube

    cache._SOUND.clear()  # as in a fresh process
    return cache.cached_dataset(mock_cube, {"days": days, "pixels": 5})


def store(folder: Path) -> int:
    """Ask for two results that a store below `folder` keeps."""
    os.environ["TSSMNET_STORE_DIR"] = str(folder / "store")
    for days in (30, 31):
        costly(days).load()
    return 0


def look_at_store(folder: Path) -> dict[str, Any]:
    """What the entries hold, each whole or not there."""
    from tssmnet.cube import open_dataset

    found = sorted((folder / "store").glob("[a-z]*/data.zarr"))
    return {"pieces": {p.parent.name: digest(open_dataset(p).load()) for p in found}, "lost": 0}


# -- fetching --------------------------------------------------------------------------------------------------------


def serve(folder: Path, port: Path) -> None:
    """Serve the made-up files slowly, for ever."""
    import loopback

    (folder / "made-up").mkdir(parents=True, exist_ok=True)
    for name, content in SERVED.items():
        (folder / "made-up" / name).write_bytes(content)
    services = loopback.Services(folder)
    services.pause = 0.01
    port.with_suffix(".part").write_text(services.base)
    os.replace(port.with_suffix(".part"), port)
    services.serve_forever()


def lay_registry(port: Path) -> Callable[[Path], None]:
    """A registry with one data set, on the server whose address stands in a file."""

    def lay(folder: Path) -> None:
        import yaml

        files = [
            {"path": f"made-up/{n}", "url": f"{port.read_text()}/archive/made-up/{n}", "bytes": len(c),
             "sha256": hashlib.sha256(c).hexdigest()} for n, c in SERVED.items()
        ]  # fmt: skip
        entry = {"name": "made-up", "title": "made up", "version": "1", "product": "none", "profiles": ["cases"],
                 "access": "url", "licence": {"data": "public domain"}, "citation": "none", "files": files}  # fmt: skip
        (folder / "manifest.yml").write_text(yaml.safe_dump({"datasets": [entry]}))

    return lay


def fetch(folder: Path) -> int:
    """The command `data fetch`."""
    from tssmnet import cli
    from tssmnet.data import registry

    registry.manifest_path = lambda: folder / "manifest.yml"
    registry.mirrors = list  # type: ignore[assignment]
    os.environ["TSSMNET_DATA_DIR"] = str(folder / "data")
    os.environ.pop("TSSMNET_OFFLINE", None)
    return cli.main(["data", "fetch", "made-up"])


def look_at_files(folder: Path) -> dict[str, Any]:
    """The files that have their names: each must be whole."""
    found = sorted((folder / "data").rglob("*.bin"))
    if wrong := [p.name for p in found if p.read_bytes() != SERVED[p.name]]:
        raise ValueError(f"{', '.join(wrong)} are not whole")
    return {"pieces": {p.name: "whole" for p in found}, "lost": 0}


# -- building --------------------------------------------------------------------------------------------------------


def lay_archive(archive: Path, days: int = 8) -> Callable[[Path], None]:
    """A folder with links to the granules of the archive, and settings for so many days."""

    def lay(folder: Path) -> None:
        for source in archive.iterdir():
            (folder / source.name).symlink_to(source)
        settle(folder, days)

    return lay


def settle(folder: Path, days: int) -> None:
    """Settings for a cube of so many days."""
    import china_archive as made
    import yaml

    last = str(made.days(days)[-1])
    about = {"first": made.SEAM.first, "last": last, "bounds": list(made.SEAM.box), "days_per_chunk": 2}
    (folder / "china.yml").write_text(yaml.safe_dump(about))


def build(folder: Path) -> int:
    """The command `data build china`."""
    from tssmnet import cli

    os.environ["TSSMNET_DATA_DIR"] = str(folder)
    return cli.main(["data", "build", "china"])


def look_at_build(folder: Path) -> dict[str, Any]:
    """What each variable of a built cube holds on each day; a day without any value is not there yet."""
    from tssmnet.cube import open_dataset

    if not (folder / "china-cube.zarr").exists():
        return {"pieces": {}, "lost": 0}
    built = open_dataset(folder / "china-cube.zarr").load()
    pieces = {}
    for name, field in built.data_vars.items():
        for k in range(built.sizes["time"] if "time" in field.dims else 1):
            values = field.values[k] if "time" in field.dims else field.values
            if values.dtype.kind != "f" or np.isfinite(values).any():
                pieces[f"{name} {k}"] = digest(values)
    return {"pieces": pieces, "lost": 0}


def scenes(place: Path) -> Mapping[str, Scene]:
    """All scenes by name; `place` has the archive of granules and the address of the server."""
    record = look_at("record.zarr")
    return {
        "in memory": filled("filler", **FILLER),
        "streamed": filled("linear"),
        "streamed, other": Scene(
            (lay_cubes, reconstruct("climatology")),
            reconstruct("linear", given="other.zarr"),
            look_at("out.zarr", "other.zarr"),
        ),
        "streamed to netCDF": Scene(
            (lay_cubes, reconstruct("climatology")), reconstruct("linear", "out.nc", "cube.nc"), look_at("out.nc")
        ),
        "streamed trees": filled("xgboost", **TREES),
        "streamed filler": filled("filler", memory=False, **FILLER),
        "extend, first": Scene((lay_growing,), extend("linear"), record),
        "extend": Scene((lay_growing, extend("linear", "short.zarr")), extend("linear"), record),
        "extend trees": Scene((lay_growing, extend("xgboost", "short.zarr")), extend("xgboost"), record),
        "fetch": Scene((lay_registry(place / "address"),), fetch, look_at_files, gradual=True),
        "store": Scene((), store, look_at_store, gradual=True),
        "build": Scene((lay_archive(place / "archive"),), build, look_at_build, gradual=True),
    }


def prepare_place(place: Path) -> None:
    """The archive of granules that is built from."""
    import china_archive as made

    shutil.rmtree(place / "archive", ignore_errors=True)
    made.write_archive(place / "archive", 10, lst_every=3)


def warm() -> None:
    """Import and compile, in this process, what every child would have to; nothing that starts a thread is run."""
    import gc
    import importlib

    from tssmnet import provenance
    from tssmnet.cube import as_cube
    from tssmnet.features.build import build_features
    from tssmnet.models import make_model

    for name in (
        "dask.array", "distributed", "h5netcdf", "scipy.io", "zarr.codecs", "xgboost", "yaml", "requests", "pytesmo",
        "china_archive", "broken_cubes", "broken_stations", "tssmnet.cli", "tssmnet.cache", "tssmnet.metrics.stations",
        "tssmnet.data.china.build", "tssmnet.data.china.fetch", "tssmnet.reconstruction.by_filler",
        "tssmnet.reconstruction.by_samples", "tssmnet.reconstruction.extend", "tssmnet.reconstruction.files",
    ):  # fmt: skip
        importlib.import_module(name)
    small = as_cube(cube(30))
    build_features(small, small["ssm"].notnull().values, memory=True, descriptors="full")
    for model in ("linear", "climatology", "xgboost"):
        make_model(model)
    provenance.commit()
    provenance.library_hashes(["tssmnet.reconstruction.memory", "tssmnet.reconstruction.files", "tssmnet.filler.fill"])
    gc.freeze()  # no child need look through what was here before it


# -- damage ----------------------------------------------------------------------------------------------------------


def after(scene: Scene, *then: Callable[[Path], Any]) -> Scene:
    """A scene that begins where an undisturbed run of it has ended, and `then` was done."""
    return replace(scene, prepare=(*scene.prepare, scene.act, *then))


def after_kill(scene: Scene) -> Scene:
    """A scene that begins where a run ended in its third block."""

    def begin(folder: Path) -> int:
        from tssmnet.reconstruction import files

        whole = files.fill_block
        files.fill_block = lambda f, i: os._exit(0) if i == 2 else whole(f, i)
        scene.act(folder)
        return 1

    return replace(scene, prepare=(*scene.prepare, begin))


FLIPPED: Mapping[str, tuple[str, ...]] = {
    "input": ("streamed", "cube.zarr/*/c/**/*"),
    "input, trees": ("streamed trees", "cube.zarr/*/c/**/*"),
    "netCDF": ("streamed to netCDF", "cube.nc"),
    "store": ("store, full", "store/**/*"),
    "work": ("work", ".out.zarr.*.work/**/*"),
    "work, trees": ("work, trees", ".out.zarr.*.work/**/*"),
    "record": ("extend trees", "record.zarr/**/*"),
    "build": ("build, longer", "china-work/*.zarr/*/c/**/*"),
}
"""Name to the scene, and to patterns of the files of which one has a bit turned over."""

NOT_MADE_AGAIN = ("input", "input, trees", "netCDF", "record", "build")
"""What a command cannot make again: an error is right."""


def byte_in(folder: Path, patterns: Sequence[str], rng: np.random.Generator) -> tuple[Path, int]:
    """A file that fits a pattern, and a place in it; of netCDF a place in a chunk: its header has no checksum."""
    files = sorted(p for pattern in patterns for p in folder.glob(pattern) if p.is_file() and p.stat().st_size)
    path = files[rng.integers(len(files))]
    if path.suffix != ".nc":
        return path, int(rng.integers(path.stat().st_size))
    import h5py

    with h5py.File(path) as file:
        chunked = [v for v in file.values() if v.chunks and v.id.get_num_chunks()]
        chunk = chunked[rng.integers(len(chunked))].id.get_chunk_info(0)
    return path, chunk.byte_offset + int(rng.integers(chunk.size))


# -- broken files ----------------------------------------------------------------------------------------------------


def broken_cube(place: Path, seed: int, number: int) -> list[tuple[str, str]]:
    """Faults of the library on a cube broken at random, and on the sound one that it was."""
    import broken_cubes

    faults = []
    for kind, given in zip(("sound", "broken"), broken_cubes.broken_pair(number)[:2], strict=True):
        try:
            if broken_cubes.refused(given) != (kind == "broken"):
                faults.append(
                    (
                        "silent" if kind == "broken" else "failed",
                        f"a {kind} cube is {'accepted' if kind == 'broken' else 'refused'}",
                    )
                )
        except Exception as error:
            faults.append(("tracebacks", f"{kind}: {type(error).__name__}: {error}"))
    what = broken_cubes.broken_pair(number)[2] if faults else ""
    return [(k, f"{what}: {t}") for k, t in faults]


def broken_stations(place: Path, seed: int, number: int, netcdf: bool) -> list[tuple[str, str]]:
    """Faults of the library on a station file broken at random."""
    import random

    import broken_stations as made

    rng, path = random.Random(f"{seed} {number}"), place / f"stations.{'nc' if netcdf else 'csv'}"
    if netcdf:
        kind, truth = made.random_netcdf(rng, path)
    else:
        content, kind, truth = made.random_file(rng)
        path.write_bytes(content)
    try:
        fault = made.fault_of(made.read_or_refused(path), path, kind, truth)
    except Exception as error:
        return [("tracebacks", f"{kind}: {type(error).__name__}: {error}")]
    return [("silent", f"{kind}: {fault}")] if fault else []


BROKEN = {
    "cubes": broken_cube,
    "tables": partial(broken_stations, netcdf=False),
    "netcdf": partial(broken_stations, netcdf=True),
}
"""Part to what makes one broken file and looks at what comes."""
