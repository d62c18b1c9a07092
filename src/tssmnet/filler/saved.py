"""A learned filler as files: XGBoost UBJSON, safetensors and JSON, and nothing that can run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tssmnet.disk import write_atomically
from tssmnet.filler.config import FillerConfig, settings
from tssmnet.filler.correction import Correction
from tssmnet.filler.evidence import Kernel
from tssmnet.filler.forward import Forward
from tssmnet.models import load_model
from tssmnet.models.base import read_json

FILE = "filler.json"


def save_parts(
    folder: Path, forward: Forward, correction: Correction, ranges: Mapping[str, tuple[float, float]]
) -> None:
    """Write a filler's models each to a folder of its own, then the file that names them."""
    groups = {f"forward-{key}": group for key, group in forward.models.items()}
    groups |= {"correction": correction.members, "spread": correction.spreads}
    for name, members in groups.items():
        for i, member in enumerate(members):
            member.save(folder / name / str(i))
    about = {
        "config": asdict(forward.config),
        "corrected_with": asdict(correction.config),
        "seed": forward.seed,
        "complete": forward.complete,
        "spacing": forward.spacing,
        "folds": {str(number): fold for number, fold in forward.folds.items()},
        "by_day": forward.by_day,
        "block_days": forward.block_days,
        "first_day": forward.first_day,
        "groups": {name: len(members) for name, members in groups.items()},
        "names": list(correction.names),
        "used": list(correction.used),
        "scale": {str(kind): list(pair) for kind, pair in correction.scale.items()},
        "ranges": {name: list(pair) for name, pair in ranges.items()},
    }
    write_atomically(folder / FILE, json.dumps(about, sort_keys=True).encode())


def load_parts(folder: Path, device: str) -> tuple[Forward, Correction, dict[str, tuple[float, float]]]:
    """What `save_parts` wrote, ready to predict."""
    about = read_json(folder / FILE)
    groups = {
        name: [load_model(folder / name / str(i), device=device) for i in range(count)]
        for name, count in about["groups"].items()
    }
    forward = Forward(_config(about["config"]), about["seed"], device, complete=about["complete"])
    forward.models = {n.removeprefix("forward-"): g for n, g in groups.items() if n.startswith("forward-")}
    forward.folds = {int(number): fold for number, fold in about["folds"].items()}
    forward.spacing, forward.fitted = about["spacing"], True
    forward.by_day, forward.block_days, forward.first_day = (about[n] for n in ("by_day", "block_days", "first_day"))
    correction = Correction(_config(about["corrected_with"]), about["seed"], device)
    correction.names, correction.used = tuple(about["names"]), about["used"]
    correction.members, correction.spreads = groups["correction"], groups["spread"]
    correction.scale = {int(kind): (pair[0], pair[1]) for kind, pair in about["scale"].items()}
    return forward, correction, {name: (low, high) for name, (low, high) in about["ranges"].items()}


def _config(given: Mapping[str, Any]) -> FillerConfig:
    return settings({**given, "kernel": Kernel(**given["kernel"])})
