"""From the dependencies in pyproject.toml to requirements.lock (pip) and environment.yml (conda), and back as a check.

``python -m workflow.lock`` resolves again, keeping every version of the present lock that still fits;
``--upgrade`` lets go of them; ``--environment`` only rewrites environment.yml from the lock that is there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tssmnet.disk import write_atomically

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
ENVIRONMENT = ROOT / "environment.yml"
EXTRAS = ("book", "test")  # `book` brings `data`

# PyPI name to conda-forge name, where the two differ; a conda environment takes the GPU builds.
CONDA_NAMES = {"torch": "pytorch-gpu", "xgboost-cpu": "py-xgboost-gpu", "jupyter-bokeh": "jupyter_bokeh",
               "cf-xarray": "cf_xarray"}  # fmt: skip
# conda-forge does not carry these, so pip installs them there too.
FROM_PIP = {"snakemake", "sphinx-mathjax-offline"}


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


def environment(pins: dict[str, str]) -> dict[str, Any]:
    """The conda environment: direct dependencies at the versions of the lock, GPU builds of torch and xgboost.

    The library itself is installed into it by hand (``pip install --no-deps -e .``): with its requirements, pip would
    put the CPU build of xgboost over conda's.
    """
    conda, pip = ["python=3.11", "pip"], []
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        version = pins[name]
        if name in FROM_PIP:
            pip.append(f"{name}=={version}")
        else:
            conda.append(f"{CONDA_NAMES.get(name, name)}={version}")
    head, tail = conda[:2], sorted(conda[2:])
    return {
        "name": "tssmnet",
        "channels": ["conda-forge"],
        "dependencies": [*head, *tail, {"pip": sorted(pip)}],
    }


def environment_text(pins: dict[str, str]) -> str:
    """environment.yml for `pins`."""
    head = (
        "# For conda and mamba, with GPU builds. Written by `make lock`, not by hand. Then, inside the environment:\n"
        "# pip install --no-deps -e .\n"
    )
    return head + yaml.safe_dump(environment(pins), sort_keys=False)


def main(arguments: list[str] | None = None) -> None:
    """Write requirements.lock and environment.yml."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that pyproject.toml allows")
    parser.add_argument("--environment", action="store_true", help="only environment.yml, from the lock that is there")
    options = parser.parse_args(arguments)
    if not options.environment:
        old = {} if options.upgrade or not LOCK.exists() else read_lock()
        write_atomically(LOCK, lock_text(resolve(old)))
    write_atomically(ENVIRONMENT, environment_text(read_lock()))


if __name__ == "__main__":
    main()
