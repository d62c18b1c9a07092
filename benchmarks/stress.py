"""What holds when commands are killed, started twice, or given damaged files: many small trials at random, counted.

    python benchmarks/stress.py                 about 30 minutes on two cores; writes results/stress.json
    python benchmarks/stress.py --quick         a few of each, a minute or two, prints only
    python benchmarks/stress.py --part pairs    only this part, prints only

Parts: `kills` (SIGKILL at moments drawn over the length of a command, or just before one of its changes of the disk,
then the command again), `pairs` (two commands at
once on one output), `flips` (a bit of an input, of the store, of a work folder), `cubes` (cubes broken at random),
`tables` and `netcdf` (station files broken at random). Every trial is drawn from the seed, its part and its number. A
campaign that was stopped goes on where it was, as long as the library is the same. Commands run in children that are
forked from this process, so they cost no imports.

Counted are: observations of an input that its output lacks (`lost`), outputs that stand there and cannot be read
(`unreadable`), tracebacks, files that are still there after the next run (`leftovers`), outputs of other values than
those of an undisturbed run (`silent`), undisturbed runs that fail (`failed`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "TSSMNET_QUIET": "1", "PYTHONWARNINGS": "ignore"}  # before numpy is imported

import numpy as np
import scenes as s
from children import AnswerError, Ended, ask, count_changes, end, killed_at_change, run, start
from common import write

RESULT = Path(__file__).resolve().parents[1] / "results" / "stress.json"
KINDS = ("lost", "unreadable", "tracebacks", "leftovers", "silent", "failed")
KILLED = {
    "in memory": 8, "streamed": 26, "streamed to netCDF": 12, "streamed trees": 12, "streamed filler": 4,
    "extend, first": 12, "extend": 20, "extend trees": 8, "fetch": 16, "store": 18, "build": 5, "build, longer": 3,
}  # fmt: skip
"""Trials of each command; in each it is killed two to four times."""
PAIRS = {
    ("streamed", "streamed"): 40, ("streamed", "streamed, other"): 30, ("streamed", "streamed trees"): 20,
    ("streamed", "streamed to netCDF"): 20, ("in memory", "in memory"): 6, ("extend", "extend"): 20,
    ("extend, first", "extend, first"): 10, ("store", "store"): 28, ("fetch", "fetch"): 20, ("build", "build"): 6,
}  # fmt: skip
FLIPS = {
    "input": 40,
    "input, trees": 20,
    "netCDF": 20,
    "store": 40,
    "work": 40,
    "work, trees": 12,
    "record": 20,
    "build": 8,
}
SLOW = {"in memory", "streamed filler", "build", "trees", "streamed trees", "extend trees"}
"""What a part of the campaign leaves out: seconds each."""
FILES = {"cubes": 1000, "tables": 500, "netcdf": 500}
BATCH = 25
"""Broken files that one child looks at."""


@dataclass
class Trial:
    """What came of one trial: how much was done in it, and each fault, its kind first."""

    part: str
    name: str
    number: int
    done: int = 0
    seconds: float = 0.0
    faults: list[tuple[str, str]] = field(default_factory=list)

    def fault(self, kind: str, text: str) -> None:
        """Note a fault."""
        self.faults.append((kind, f"{self.part}, {self.name}, {self.number}: {text}"))

    def listen(self, ended: Ended, what: str = "") -> None:
        """Note a traceback, and a child that hung."""
        if "Traceback" in ended.said:
            self.fault("tracebacks", f"{what}{ended.said.strip().splitlines()[-1]}")
        if ended.code is None:
            self.fault("failed", f"{what}it hangs")


@dataclass(frozen=True)
class Stage:
    """A scene laid out: how its folder was before and is after an undisturbed run, and how long that takes."""

    scene: s.Scene
    trial: Path  # where every trial takes place: what a work folder holds is bound to its path
    template: Path
    before: dict[str, Any]
    after: dict[str, Any]
    names: set[str]
    seconds: float
    changes: int  # of files and folders, in an undisturbed run

    def lay(self) -> Path:
        """The folder as it was before."""
        shutil.rmtree(self.trial, ignore_errors=True)
        shutil.copytree(self.template, self.trial, symlinks=True)
        return self.trial

    def check(self, trial: Trial, killed: str = "", others: Iterable[Stage] = ()) -> None:
        """Note what is wrong with the output: after a kill it is the old or the new one, in the end the new one."""
        when = f"killed {killed}" if killed else "in the end"
        try:
            found = ask(lambda: self.scene.look(self.trial), log_of(self.trial))
        except AnswerError as error:
            return trial.fault("unreadable", f"{when}: {error}")
        right = [self.after["pieces"], *(o.after["pieces"] for o in others)]
        right += [self.before["pieces"]] if killed else []
        pieces = found["pieces"]
        part = self.scene.gradual and killed and pieces.items() <= self.after["pieces"].items()
        if pieces not in right and not part:
            trial.fault("lost" if found["lost"] or not pieces else "silent", f"{when}: {found['lost']} lost")

    def sweep(self, trial: Trial, others: Iterable[Stage] = ()) -> None:
        """Note what lies there beside what an undisturbed run leaves."""
        if more := names_in(self.trial) - self.names.union(*(o.names for o in others)):
            trial.fault("leftovers", ", ".join(sorted(more)[:3]))


def log_of(folder: Path) -> Path:
    """Where a child writes what it says."""
    return folder.with_suffix(".log")


def names_in(folder: Path) -> set[str]:
    """Names below a folder, but for what belongs to a zarr store."""
    found = (p.relative_to(folder) for p in folder.rglob("*"))
    return {str(p) for p in found if p.name.startswith(".") or not any(q.suffix == ".zarr" for q in p.parents)}


class Campaign:
    """All scenes, each laid out when it is first asked for, below one folder."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place, self.seed = place, seed
        self.stages: dict[str, Stage] = {}

    @cached_property
    def scenes(self) -> dict[str, s.Scene]:
        """The commands, and those on what another run has left."""
        if (ended := run(lambda: s.prepare_place(self.place), self.place / "archive.log")).code != 0:
            raise SystemExit(f"the archive cannot be made: {ended.said}")
        plain = dict(s.scenes(self.place))
        return plain | {
            "work": s.after_kill(plain["streamed"]),
            "work, trees": s.after_kill(plain["streamed trees"]),
            "store, full": s.after(plain["store"]),
            "build, longer": s.after(plain["build"], lambda folder: s.settle(folder, 10)),
        }

    def stage(self, name: str) -> Stage:
        """A scene laid out."""
        if name not in self.stages:
            self.stages[name] = self._laid(name)
        return self.stages[name]

    def _laid(self, name: str) -> Stage:
        scene, trial = self.scenes[name], self.place / "trial"
        template, log = self.place / f"template-{len(self.stages)}", self.place / "laid.log"
        shutil.rmtree(trial, ignore_errors=True)
        trial.mkdir()
        for step in scene.prepare:
            if (ended := run(lambda step=step: step(trial), log)).code != 0:  # type: ignore[misc]
                raise SystemExit(f"{name} cannot be laid out: {ended.said}")
        shutil.copytree(trial, template, symlinks=True)
        before = ask(lambda: scene.look(trial), log)
        if (ended := run(lambda: scene.act(trial), log)).code != 0:
            raise SystemExit(f"{name} fails undisturbed: {ended.said}")
        after, names = ask(lambda: scene.look(trial), log), names_in(trial)
        if after["lost"] or not after["pieces"]:
            raise SystemExit(f"{name} loses observations undisturbed")
        stage = Stage(scene, trial, template, before, after, names, ended.seconds, 0)
        stage.lay()
        return replace(stage, changes=count_changes(lambda: scene.act(trial), trial, log))

    def rng(self, part: str, name: str, number: int) -> np.random.Generator:
        """What a trial draws from."""
        return np.random.default_rng([self.seed, *f"{part} {name}".encode(), number])

    # -- trials ------------------------------------------------------------------------------------------------------

    def kills(self, name: str, number: int) -> Trial:
        """A command killed two to four times, then run to its end."""
        trial, rng, stage = Trial("kills", name, number), self.rng("kills", name, number), self.stage(name)
        folder = stage.lay()
        for _ in range(rng.integers(2, 5)):
            if stage.changes and rng.random() < 0.6:
                number = int(rng.integers(1, stage.changes + 1))
                ended = run(killed_at_change(lambda: stage.scene.act(folder), folder, number), log_of(folder))
                when = f"before change {number} of {stage.changes}"
            else:
                moment = rng.uniform(0, 1.05 * stage.seconds)
                ended = run(lambda: stage.scene.act(folder), log_of(folder), moment)
                when = f"after {moment:.3f} s"
            trial.done += ended.code == -signal.SIGKILL
            trial.listen(ended, f"killed {when}: ")
            stage.check(trial, when)
        self._finish(trial, stage, [run(lambda: stage.scene.act(folder), log_of(folder))])
        return trial

    def _finish(self, trial: Trial, stage: Stage, ends: list[Ended], others: Iterable[Stage] = ()) -> None:
        for ended in ends:
            trial.listen(ended, "undisturbed: ")
            if ended.code:
                trial.fault("failed", f"code {ended.code}: {ended.said.strip()[-300:]}")
        stage.check(trial, others=others)
        stage.sweep(trial, others)

    def pairs(self, name: str, number: int) -> Trial:
        """Two commands at once."""
        trial, rng = Trial("pairs", name, number, done=1), self.rng("pairs", name, number)
        one, other = (self.stage(n) for n in name.split(" | "))
        folder, logs = one.lay(), [self.place / f"{k}.log" for k in range(2)]
        numbers = [start(lambda: one.scene.act(folder), logs[0])]
        time.sleep(rng.choice([0.0, rng.uniform(0, one.seconds)]))
        numbers.append(start(lambda: other.scene.act(folder), logs[1]))
        ends = [end(number, log) for number, log in zip(numbers, logs, strict=True)]
        apart = other.names != one.names
        self._finish(trial, one, ends, [other])
        if apart:
            other.check(trial)
        return trial

    def flips(self, name: str, number: int) -> Trial:
        """A bit of a file turned over, then the command: the same result, or an error in one line."""
        trial, rng = Trial("flips", name, number, done=1), self.rng("flips", name, number)
        scene, *patterns = s.FLIPPED[name]
        stage = self.stage(scene)
        folder = stage.lay()
        path, place = s.byte_in(folder, patterns, rng)
        content = bytearray(path.read_bytes())
        content[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        ended, what = (
            run(lambda: stage.scene.act(folder), log_of(folder)),
            f"byte {place} of {path.relative_to(folder)}: ",
        )
        trial.listen(ended, what)
        if ended.code == 2 and name in s.NOT_MADE_AGAIN and ended.said.strip().count("\n") <= 1:
            return trial
        if ended.code:
            trial.fault("failed", f"{what}code {ended.code}: {ended.said.strip()[-300:]}")
            return trial
        stage.check(trial)
        trial.faults = [(k, f"{what}{t}") for k, t in trial.faults if k != "unreadable"]  # an error is no wrong value
        return trial

    def files(self, part: str, number: int) -> Trial:
        """A batch of broken files in one child; if it crashes, each in a child of its own."""
        trial, log = Trial(part, part, number, done=BATCH), self.place / "files.log"
        numbers = range(number * BATCH, (number + 1) * BATCH)

        def look(some: Iterable[int]) -> list[tuple[str, str]]:
            return [(kind, f"{i}: {text}") for i in some for kind, text in s.BROKEN[part](self.place, self.seed, i)]

        try:
            found = ask(lambda: look(numbers), log)
        except AnswerError:
            found = []
            for i in numbers:
                try:
                    found += ask(lambda i=i: look([i]), log)
                except AnswerError as error:
                    found.append(("failed", f"{i}: the process ends: {error}"))
        for kind, text in found:
            trial.fault(kind, text)
        return trial

    def plan(self, share: float, part: str | None) -> list[tuple[str, Callable[..., Trial], str, int]]:
        """Every trial: its part, what does it, its name and number; one that is ended early has some of each."""
        commands = {"kills": KILLED, "pairs": {" | ".join(k): n for k, n in PAIRS.items()}, "flips": FLIPS}
        files = {name: {name: count // BATCH} for name, count in FILES.items()}
        trials = []
        for name, counts in (commands | files).items():
            for what, count in counts.items() if part in (None, name) else ():
                number = max(1, round(share * count))
                if share == 1 or not SLOW & {*re.split(r" \| |, ", what), what}:
                    work = self.files if name in FILES else getattr(self, name)
                    trials += [(i / number, name, work, what, i) for i in range(number)]
        return [trial[1:] for trial in sorted(trials, key=lambda t: t[0])]


class Journal:
    """Trials that are done, one a line, by a campaign of this seed on this library."""

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if not lines or lines[0] != key:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(key + "\n", encoding="utf-8")
            lines = [key]
        self.trials = {(t["part"], t["name"], t["number"]): Trial(**t) for t in map(json.loads, lines[1:])}

    def add(self, trial: Trial) -> None:
        """Enter a trial."""
        self.trials[trial.part, trial.name, trial.number] = trial
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(trial)) + "\n")


def serving(place: Path) -> int:
    """Start the server in a child; its number."""
    number = start(lambda: s.serve(place / "served", place / "address"), place / "server.log")
    while not (place / "address").exists():
        time.sleep(0.01)
    return number


def campaign(share: float, part: str | None, seed: int, minutes: float, journal: Journal, place: Path) -> bool:
    """Do what is not done yet; returns whether all is."""
    import tqdm

    tqdm.tqdm.monitor_interval = 0  # a thread of its own would be lost in every child
    began, server, all_of = time.monotonic(), serving(place), Campaign(place, seed)
    try:
        with tqdm.tqdm(all_of.plan(share, part), unit="trial") as bar:
            for name, work, what, number in bar:
                bar.set_description(f"{name}: {what}")
                if (name, what, number) in journal.trials:
                    continue
                if time.monotonic() - began > 60 * minutes:
                    return False
                start_ = time.monotonic()
                trial = work(what, number)
                trial.seconds = time.monotonic() - start_
                journal.add(trial)
        return True
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)


def summary(trials: Iterable[Trial], whole: bool, seed: int) -> dict[str, Any]:
    """Counts of each part and of each command, and what the first faults were."""
    parts: dict[str, Any] = {}
    trials = [*trials]
    for trial in trials:
        about = parts.setdefault(
            trial.part, {"trials": 0, "done": 0, "seconds": 0.0, **dict.fromkeys(KINDS, 0), "of": {}}
        )
        about["trials"] += 1
        about["done"] += trial.done
        about["seconds"] = round(about["seconds"] + trial.seconds, 2)
        about["of"][trial.name] = about["of"].get(trial.name, 0) + trial.done
        for kind, _ in trial.faults:
            about[kind] += 1
    faults = [f"{kind}: {text}" for t in trials for kind, text in t.faults]
    totals = Counter({kind: sum(p[kind] for p in parts.values()) for kind in KINDS})
    seconds = round(sum(t.seconds for t in trials), 1)
    return {
        "seed": seed,
        "whole": whole,
        "seconds": seconds,
        "parts": parts,
        "totals": dict(totals),
        "faults": faults[:60],
    }


def report(result: dict[str, Any]) -> str:
    """The counts as text."""
    lines = [f"{'':<10}{'done':>8}{'seconds':>9}" + "".join(f"{k:>12}" for k in KINDS)]
    for name, about in result["parts"].items():
        lines.append(
            f"{name:<10}{about['done']:>8}{about['seconds']:>9.0f}" + "".join(f"{about[k]:>12}" for k in KINDS)
        )
    return "\n".join([*lines, *result["faults"]])


WHAT = "Faults seen when commands are killed, started twice, or given damaged files; done: kills, pairs, flips, files."
MODULES = ("tssmnet.cli", "tssmnet.reconstruction.files", "tssmnet.reconstruction.extend", "tssmnet.data.china.build",
           "tssmnet.metrics.stations", "tssmnet.cache")  # fmt: skip


def main() -> int:
    """The command."""
    from tssmnet.cache import store_folder
    from tssmnet.provenance import content_hash, library_hashes

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few of each, prints only")
    parser.add_argument("--part", choices=["kills", "pairs", "flips", *FILES], help="only this part, prints only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no trial after so many")
    parser.add_argument("--out", type=Path, help=f"result file (default: results/{RESULT.name})")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server ends with this process
    s.warm()
    key = content_hash([library_hashes(MODULES), options.seed])
    share = 0.02 if options.quick else 1.0
    with tempfile.TemporaryDirectory(prefix="stress-") as folder:
        place = Path(folder)
        journal = Journal((place if options.quick else store_folder()) / "stress.jsonl", key)
        whole = campaign(share, options.part, options.seed, options.minutes, journal, place)
    chosen = [t for t in journal.trials.values() if options.part in (None, t.part)]
    result = summary(chosen, whole, options.seed)
    print(report(result))
    if options.out or not (options.quick or options.part):
        about = {"command": "python benchmarks/stress.py", "seconds": result["seconds"]}
        write(result, options.out or RESULT, WHAT, MODULES, ["xarray", "zarr", "h5netcdf"], **about)
    return int(any(result["totals"].values()))


if __name__ == "__main__":
    raise SystemExit(main())
