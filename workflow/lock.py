"""From the dependencies in pyproject.toml to requirements.lock (pip) and environments for conda, and back as a check.

``python -m workflow.lock`` resolves again, keeping every version of the present lock that still fits;
``--upgrade`` lets go of them; ``--environment`` only rewrites the environments. conda gets the ranges of
pyproject.toml, not the versions of the lock: a version of PyPI need not exist on conda-forge.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tssmnet.disk import write_atomically

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
EXTRAS = ("book", "test")  # `book` brings `data`

# PyPI name to conda-forge name, where the two differ.
CONDA_NAMES = {"jupyter-bokeh": "jupyter_bokeh", "cf-xarray": "cf_xarray"}
# What has one build for the CPU and one for the GPU. The exact version of torch serves pip's choice of builds alone.
BUILDS = {"torch": "pytorch-{}>=2.8,<3", "xgboost-cpu": "py-xgboost-{}>=3,<4"}
# conda-forge does not carry these, so pip installs them there too, at the version of the lock.
FROM_PIP = {"ismn", "pytesmo", "snakemake", "sphinx-mathjax-offline", "tsfel"}


@dataclass(frozen=True)
class Environment:
    """One environment file for conda: where it lies, the build and the extras it takes, what stands beside them."""

    path: str
    build: str
    extras: tuple[str, ...] = EXTRAS
    beside: tuple[str, ...] = ()
    head: str = "Then, inside the environment: pip install --no-deps -e ."


ENVIRONMENTS = (
    Environment("environment.yml", "cpu"),
    Environment("environment-gpu.yml", "gpu"),
    Environment(
        ".binder/environment.yml",
        "cpu",
        ("book",),
        ("jupyterlab>=4", "jupyterlab-myst>=2"),
        "What a launch button starts: the notebooks, and what shows their text in Jupyter.",
    ),
)


def stated(extras: tuple[str, ...] = EXTRAS, pyproject: Path = ROOT / "pyproject.toml") -> list[Requirement]:
    """What pyproject.toml asks for on any platform: core, the extras with those they name, the build backend."""
    data = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    project = data["project"]
    lines = [*project["dependencies"], *data["build-system"]["requires"]]
    waiting = list(extras)
    while waiting:
        for line in project["optional-dependencies"][waiting.pop()]:
            own = Requirement(line).name == project["name"]
            (waiting if own else lines).extend(Requirement(line).extras if own else [line])
    return [Requirement(line) for line in lines]


def requirements(extras: tuple[str, ...] = EXTRAS) -> list[Requirement]:
    """What pyproject.toml asks for on this platform."""
    return [r for r in stated(extras) if r.marker is None or r.marker.evaluate()]


def fingerprint() -> str:
    """A short hash of the stated requirements: the lock carries it, so a lock older than pyproject.toml is seen."""
    text = "\n".join(sorted(str(r) for r in stated()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_lock(path: Path = LOCK) -> dict[str, str]:
    """Canonical name to version, as pinned in the lock."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.split("==") for line in lines if line)
    return {canonicalize_name(name): version for name, version in pairs}


def resolve(constraints: dict[str, str]) -> dict[str, str]:
    """Ask pip for one full set of versions that satisfies pyproject.toml and `constraints`."""
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder) / "constraints.txt"
        pins.write_text("".join(f"{name}=={version}\n" for name, version in constraints.items()))
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--report", str(report), "-c", str(pins), *map(str, stated())]
        subprocess.run(command, check=True)
        found = json.loads(report.read_text())["install"]
    metadata = [entry["metadata"] for entry in found]
    # A local label such as +cpu names one build of a version; the lock holds the version alone.
    return {m["name"]: Version(m["version"]).public for m in metadata}


def lock_text(pins: dict[str, str]) -> str:
    """The lock file for `pins`, sorted, with a head that says where it comes from."""
    head = (
        "# The full set of versions this project is tested with, for CPU. Derived from pyproject.toml by `make lock`.\n"
        f"# requirements: {fingerprint()}\n"
    )
    return head + "".join(f"{name}=={pins[name]}\n" for name in sorted(pins, key=str.lower))


def environment(kind: Environment, pins: dict[str, str]) -> dict[str, Any]:
    """The conda environment: direct dependencies in the ranges of pyproject.toml, those for pip as locked.

    The library itself is installed into it by hand (``pip install --no-deps -e .``): with its requirements, pip would
    put its own builds over conda's.
    """
    conda, pip = set(kind.beside), []
    for requirement in requirements(kind.extras):
        name = canonicalize_name(requirement.name)
        if name in FROM_PIP:
            pip.append(f"{name}=={pins[name]}")
        else:
            usual = f"{CONDA_NAMES.get(name, name)}{_range(requirement)}"
            conda.add(BUILDS.get(name, usual).format(kind.build))
    head: list[Any] = ["python=3.11", "pip", *sorted(conda)]
    return {"name": "tssmnet", "channels": ["conda-forge"], "dependencies": [*head, {"pip": sorted(pip)}]}


def _range(requirement: Requirement) -> str:
    """The versions that a requirement allows, lowest first, as conda writes them."""
    return ",".join(sorted((str(s) for s in requirement.specifier), reverse=True)).replace("==", "=")


def environment_text(kind: Environment, pins: dict[str, str]) -> str:
    """The environment file of one kind."""
    head = f"# For conda and mamba, {kind.build.upper()} builds. Written by `make lock`, not by hand.\n# {kind.head}\n"
    return head + yaml.safe_dump(environment(kind, pins), sort_keys=False)


def main(arguments: list[str] | None = None) -> None:
    """Write requirements.lock and the environments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that pyproject.toml allows")
    parser.add_argument("--environment", action="store_true", help="only the environments, from the lock that is there")
    options = parser.parse_args(arguments)
    if not options.environment:
        old = {} if options.upgrade or not LOCK.exists() else read_lock()
        write_atomically(LOCK, lock_text(resolve(old)))
    for kind in ENVIRONMENTS:
        (ROOT / kind.path).parent.mkdir(exist_ok=True)
        write_atomically(ROOT / kind.path, environment_text(kind, read_lock()))


if __name__ == "__main__":
    main()
