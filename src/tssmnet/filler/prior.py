"""A correction learned elsewhere, for cubes too short to learn their own: networks, factors of the intervals, a card.

A month of one region has 31 independent days; nobody can learn the size of a surprise from them. What comes with the
library was learned on short stretches of a long record of another region, from the observations and the rain around
each gap alone, so that it means the same anywhere. `python -m tssmnet.filler.prior CUBE FOLDER` makes another.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tssmnet.cube import dynamic_names, to_pixels
from tssmnet.filler.config import FillerConfig
from tssmnet.filler.correction import Correction
from tssmnet.filler.evidence import Index, region_of
from tssmnet.filler.forward import Forward, prepare
from tssmnet.filler.lessons import Rows, together, training_rows

SHIPPED = Path(__file__).with_name("shipped")
WINDOWS, WINDOW_DAYS = 16, (14, 60)
ROWS = 7_000
"""Rows of the lessons of each window."""


@cache
def shipped() -> Correction:
    """The correction that comes with the library."""
    return Correction.load(SHIPPED)


def fitted_to(prior: Correction, rows: Rows, region: Index, config: FillerConfig) -> Correction:
    """A prior whose intervals are drawn to what a short cube's own lessons say, as far as its days allow."""
    own = replace(prior.config, ignore=config.ignore)
    return replace(prior, config=own).calibrated(rows, region)


def windows(pixels: xr.Dataset, count: int, seed: int) -> Iterator[xr.Dataset]:
    """Short stretches of a record, a third of them without rain and temperature."""
    rng = np.random.default_rng(seed)
    for n in range(count):
        length = int(rng.integers(WINDOW_DAYS[0], WINDOW_DAYS[1] + 1))
        start = int(rng.integers(0, pixels.sizes["time"] - length + 1))
        part = pixels.isel(time=slice(start, start + length))
        if n % 3 == 0:
            part = part.drop_vars(dynamic_names(part))
        yield part


def learn_prior(pixels: xr.Dataset, seed: int = 0, config: FillerConfig | None = None) -> Correction:
    """Learn a prior from a long record in (time, pixel) form."""
    config = replace(config or FillerConfig(), rows=ROWS, few_events=10**9, few=4, share=1.0, epochs=3)
    parts, events = [], []
    origin = float(pixels["lat"].min()), float(pixels["lon"].min())
    region = region_of(pixels["lat"].values, pixels["lon"].values, origin)
    for n, part in enumerate(windows(pixels, WINDOWS, seed)):
        case = prepare(part, Forward(config, seed, "cpu"), False)
        rows = training_rows(case, part, seed + n)
        parts.append(rows)
        events.append(region[rows.pixel] * 1_000_000 + n * 1000 + rows.time // 3)
    return Correction(replace(config, rows=ROWS * WINDOWS), seed, "cpu").fit_events(
        joined(parts), np.concatenate(events)
    )


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows of several cubes of the same pixels in one."""
    out = together(list(parts))
    first = np.cumsum([0, *(len(part.records) for part in parts)])
    lesson = np.concatenate([part.lesson + k for part, k in zip(parts, first, strict=False)])
    records = tuple(record for part in parts for record in part.records)
    kinds = tuple(kind for part in parts for kind in part.kinds)
    return replace(out, records=records, kinds=kinds, lesson=lesson)


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn a prior from a cube file and keep it in a folder."""
    parser = argparse.ArgumentParser(description=str(main.__doc__))
    parser.add_argument("cube", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--card", type=Path, help="JSON file with what is to be known of it: data, licence, scores")
    options = parser.parse_args(arguments)
    with xr.open_dataset(options.cube) as cube:
        learn_prior(to_pixels(cube).load()).save(options.folder)
    if options.card:
        card: dict[str, Any] = json.loads(options.card.read_text(encoding="utf-8"))
        (options.folder / "card.json").write_text(json.dumps(card, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
