"""The command ``tssmnet``: data, cube, reconstruct, extend, members, report, validate, book, evaluate."""

from __future__ import annotations

import argparse
import gc
import math
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from tssmnet.errors import TssmnetError, sentence

EPILOG = """CUBE and OUT end in .zarr or .nc. Set TSSMNET_QUIET=1 for no progress bars, TSSMNET_DATA_DIR and
TSSMNET_MIRRORS for where data lie, TSSMNET_STORE_DIR for where costly results are kept."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its code: 0; 2 after an error; 130 or 143 when it was interrupted or terminated.

    Whatever library an error comes from, it ends in one line on standard error; ``--debug`` shows where it arose.
    """
    options = parser().parse_args(arguments)
    with _silent_remains(getattr(options, "debug", False)):
        return _ended(options)


def _ended(options: argparse.Namespace) -> int:
    """The code of a command, whose error has been told."""
    try:
        with _terminated_as_interrupted():
            code: int = options.run(options)
            sys.stdout.flush()
        return code
    except Terminated:
        return _end("terminated; run the same command again to go on", 143)
    except KeyboardInterrupt:
        return _end("interrupted; run the same command again to go on", 130)
    except BrokenPipeError:  # the reader of a pipe has gone, as `head` does
        _to_nowhere()
        return 0
    except Exception as error:
        if getattr(options, "debug", False):
            traceback.print_exc()
        return _end(_line_of(error, options), 2)


@contextmanager
def _silent_remains(debug: bool) -> Iterator[None]:
    """Let nothing be printed of files that were opened half when their reader found them damaged."""
    before = sys.unraisablehook
    try:
        if not debug:
            sys.unraisablehook = lambda _: None
        yield
        if not debug:
            gc.collect()
    finally:
        sys.unraisablehook = before


class Terminated(KeyboardInterrupt):
    """The system, or whoever watches this program, asks it to end (SIGTERM)."""


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end a block as Ctrl-C does, so that locks and temporary files are let go of."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def end(number: int, _: Any) -> None:
        if os.getpid() == owner:
            raise Terminated
        signal.signal(number, signal.SIG_DFL)  # a worker that was forked off ends without a word
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(text: str, code: int) -> int:
    try:
        sys.stdout.flush()
    except OSError:
        _to_nowhere()
    print(f"tssmnet: {text}", file=sys.stderr)
    return code


def _to_nowhere() -> None:
    """Let go of a standard output that takes nothing more; the interpreter would complain of it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line_of(error: Exception, options: argparse.Namespace) -> str:
    """The line of an error; one of another library is told together with the files of the command."""
    text = sentence(error)
    if isinstance(error, TssmnetError):
        return text.replace(" has 1 fault:\n  1. ", ": ")
    named = [str(getattr(options, n)) for n in ("cube", "filled", "stations", "out") if getattr(options, n, None)]
    names_one = getattr(error, "filename", None) is not None or any(name in text for name in named)
    files = "" if names_one else " ".join(named)
    known = isinstance(error, ModuleNotFoundError) or (isinstance(error, OSError) and error.errno is not None)
    return f"{files}{': ' * bool(files)}{text}{'' if known else ' (--debug shows where in the program)'}"


class _Parser(argparse.ArgumentParser):
    """A parser whose commands all know ``--debug``, and that says in one line what is wrong with an option."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show where in the program an error arose"
        )


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    from tssmnet._public import __version__

    top: argparse.ArgumentParser = _Parser("tssmnet", description="Gap-free satellite soil moisture.", epilog=EPILOG)
    top.add_argument("--version", action="version", version=f"tssmnet {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _add_data(commands)
    _add_cube(commands)
    _add_reconstruct(commands)
    _add_extend(commands)
    _add_members(commands)
    _add_report(commands)
    _add_validate(commands)
    _add_book(commands)
    _add_evaluate(commands)
    return top


def _add_data(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    registry = commands.add_parser("data", help="what is needed, where it comes from, is it whole")
    what = registry.add_subparsers(required=True, metavar="list|fetch|verify")
    known = what.add_parser("list", help="every data set: profile, access, size, how much is here")
    known.add_argument("profile", nargs="?", help="only this profile or data set")
    known.set_defaults(run=_data_list)
    fetch = what.add_parser("fetch", help="get the files of data sets or profiles; a killed fetch goes on where it was")
    fetch.add_argument("names", nargs="+", metavar="NAME")
    fetch.add_argument("--plan", action="store_true", help="only say what would come, how large it is, which accounts")
    fetch.set_defaults(run=_data_fetch)
    build = what.add_parser("build", help="make or extend the cube of a profile from its archive; resumable")
    build.add_argument("profile", choices=("china",))
    build.add_argument("--cluster", help="none, local, or the address of a dask scheduler")
    build.add_argument("--workers", type=int, help="of the cluster")
    build.set_defaults(run=_data_build)
    verify = what.add_parser("verify", help="compare every file with its registered sum")
    verify.add_argument("names", nargs="*", metavar="NAME")
    verify.set_defaults(run=_data_verify)


def _data_list(options: argparse.Namespace) -> int:
    from tssmnet.data import registry

    print(registry.list_data(options.profile))
    return 0


def _data_fetch(options: argparse.Namespace) -> int:
    from tssmnet.data import registry
    from tssmnet.progress import quiet

    chosen = registry.select(options.names)
    registered = [s.name for s in chosen if s.files]
    others = [s.name for s in chosen if not s.files]
    if others:
        from tssmnet.data.china.fetch import fetch, plan

        planned = plan(others)
        print(planned)
        if options.plan:
            return 0
    elif options.plan:
        print(registry.list_data(options.names[0]))
        return 0
    for report in registry.fetch(registered, progress=not quiet()) if registered else ():
        print(report)
    if not others:
        return 0
    outcome = fetch(planned=planned, progress=not quiet())
    print(outcome)
    return 1 if outcome.quarantined or outcome.by_hand else 0


def _data_build(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from tssmnet.data import registry
    from tssmnet.data.china.build import build_cube
    from tssmnet.data.china.settings import checked, load_settings

    given = {k: v for k, v in {"cluster": options.cluster, "workers": options.workers}.items() if v is not None}
    report = build_cube(settings=checked(replace(load_settings(registry.data_dir()), **given)))
    print(report)
    return 1 if report.quarantined else 0


def _data_verify(options: argparse.Namespace) -> int:
    from tssmnet.data import registry
    from tssmnet.data.china.fetch import verify

    reports = registry.verify(options.names or None)
    for report in reports:
        print(report)
    wrong = verify(options.names or None)
    for name, why in wrong.items():
        print(f"wrong    {name}: {why}")
    bad = [r for r in reports if r.state != "sound"]
    print(f"{len(reports) - len(bad)} of {len(reports)} registered files are sound; {len(wrong)} granules are not")
    return 1 if bad or wrong else 0


def _add_cube(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("cube", help="make a cube of the files in a folder: SMAP, ESA CCI, ERA5-Land, netCDF")
    command.add_argument("folder", metavar="FOLDER", help="searched with all its folders; each file's product is told")
    command.add_argument("out", metavar="OUT", help="where the cube goes, .zarr or .nc")
    command.add_argument(
        "--bounds", type=float, nargs=4, metavar=("W", "S", "E", "N"), help="degrees (default: all that is there)"
    )
    command.set_defaults(run=_cube)


def _cube(options: argparse.Namespace) -> int:
    from tssmnet.data.folder import cube_file
    from tssmnet.progress import quiet

    bounds = tuple(options.bounds) if options.bounds else None
    print(cube_file(options.folder, options.out, bounds, progress=not quiet()))
    print(f"{options.out}: written")
    return 0


def _add_reconstruct(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("reconstruct", help="fill the gaps of a cube")
    command.add_argument("cube", metavar="CUBE", help="cube to fill, .zarr or .nc")
    command.add_argument("out", metavar="OUT", help="where the gap-free cube goes, .zarr or .nc")
    _add_filling(command)
    command.set_defaults(run=_reconstruct)


def _add_filling(command: argparse.ArgumentParser) -> None:
    """How gaps are to be filled, and where."""
    command.add_argument("--model", default="filler", help="name of a model (default: %(default)s)")
    command.add_argument(
        "--features", help="feature set: base, lag, base+desc, lag+desc, ... (default: what suits the model)"
    )
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    command.add_argument("--rows", type=int, help="training rows at most, drawn over the map (default: half a million)")
    command.add_argument(
        "--scheduler",
        metavar="NAME",
        default="none",
        help="none, local, or the address of a dask scheduler whose workers see the files (default: %(default)s)",
    )


def _filling(options: argparse.Namespace) -> dict[str, Any]:
    """The options that `_add_filling` adds, but for the model."""
    rows = {} if options.rows is None else {"rows": options.rows}
    return {name: getattr(options, name) for name in ("features", "seed", "device", "scheduler")} | rows


def _reconstruct(options: argparse.Namespace) -> int:
    from tssmnet.reconstruction.files import reconstruct_file

    filled = reconstruct_file(options.cube, options.out, options.model, **_filling(options))
    counts = ", ".join(f"{n} {name}" for name, n in filled.counts.items() if n or name == "outside")
    print(f"{options.out}: {counts} values by {options.model}, seed {options.seed}")
    return 0


def _add_extend(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("extend", help="fill the days that a filled record does not hold yet")
    command.add_argument("cube", metavar="CUBE", help="the cube, as before or longer, .zarr or .nc")
    command.add_argument("out", metavar="OUT", help="the filled record, .zarr; made if it is not there")
    _add_filling(command)
    command.add_argument(
        "--revised-days",
        type=int,
        metavar="DAYS",
        default=0,
        help="last days of the record on which predictors may have other values now (default: %(default)s)",
    )
    command.set_defaults(run=_extend)


def _extend(options: argparse.Namespace) -> int:
    from tssmnet.reconstruction.extend import extend

    days = options.revised_days
    print(extend(options.cube, options.out, options.model, revised_days=days, **_filling(options)))
    return 0


def _add_members(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("members", help="draw series that may have been, for the error of sums and means")
    command.add_argument("filled", metavar="FILLED", help="a cube that the filler has filled, .zarr or .nc")
    command.add_argument("out", metavar="OUT", help="where the members go, .zarr")
    command.add_argument("--count", type=int, default=20, help="how many (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0)
    command.set_defaults(run=_members)


def _members(options: argparse.Namespace) -> int:
    from tssmnet.progress import quiet
    from tssmnet.reconstruction.members import members_file

    members_file(options.filled, options.out, options.count, options.seed, progress=not quiet())
    print(f"{options.out}: {options.count} members, seed {options.seed}")
    return 0


def _add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("report", help="one page about a filled cube: maps, series, how well it was filled")
    command.add_argument("filled", metavar="FILLED", help="what reconstruct has written, .zarr or .nc")
    command.add_argument("out", metavar="OUT", help="the page, .html; it needs no network")
    command.add_argument(
        "--cube", help="the cube that was filled: some of its observations are hidden, filled again and scored"
    )
    command.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    command.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> int:
    from tssmnet.progress import quiet
    from tssmnet.trials.report import report

    page = report(options.filled, options.out, options.cube, device=options.device, progress=not quiet())
    print(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
    return 0


def _add_validate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("validate", help="score a cube against stations: each, then median and quartiles")
    command.add_argument("cube", metavar="CUBE", help="a cube, filled or not, .zarr or .nc")
    command.add_argument(
        "stations", metavar="STATIONS", help=".nc or .csv with station, lat, lon, time, ssm, or a folder of the ISMN"
    )
    command.add_argument("--depth", type=float, metavar="M", help="of the sensors, where there are several depths")
    command.add_argument("--good", nargs="+", metavar="FLAG", help="flags that are good, where this cannot be told")
    command.add_argument(
        "--min-hours", type=int, default=1, help="hours with readings that a daily mean needs (default: %(default)s)"
    )
    command.add_argument("--largest-km", type=float, default=50.0, help="farthest nearest pixel (default: %(default)s)")
    command.add_argument("--no-ci", action="store_true", help="leave the 95 %% intervals out")
    command.add_argument("--csv", help="write the table there as well")
    command.set_defaults(run=_validate)


def _validate(options: argparse.Namespace) -> int:
    from tssmnet.cube import open_dataset, require_ssm
    from tssmnet.disk import placing
    from tssmnet.metrics.stations import check_scores_path, open_stations, validate

    if options.csv:
        check_scores_path(options.csv, options.cube, options.stations)
    cube = require_ssm(open_dataset(options.cube), options.cube)
    stations = open_stations(options.stations, depth=options.depth, good=options.good, min_hours=options.min_hours)
    table = validate(cube, stations, largest_km=options.largest_km, ci=not options.no_ci)
    if options.csv:
        with placing(options.csv) as temporary:
            table.to_csv(temporary)
    shown = table.drop(columns=[c for c in table if str(c).endswith(("_low", "_high"))])
    print(shown.to_string(float_format=lambda v: f"{v:.4g}", na_rep="-"))
    return 0


def _add_book(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("book", help="run the notebooks that are stale and build the pages")
    command.add_argument("--profile", help="whose data the pages run on")
    command.add_argument(
        "-p", dest="parameters", metavar="NAME=VALUE", action="append", default=[], help="of the pages"
    )
    command.add_argument("--strict", action="store_true", help="a page over its minutes or memory is an error")
    command.set_defaults(run=_book)


def _book(options: argparse.Namespace) -> int:
    from tssmnet.provenance import ROOT

    if not (ROOT / "workflow").is_dir():
        raise TssmnetError("the book is built from a source checkout: clone the repository and run `make book` in it")
    given = ["--profile", options.profile] if options.profile else []
    given += [word for parameter in options.parameters for word in ("-p", parameter)]
    given += ["--strict"] if options.strict else []
    return subprocess.run([sys.executable, "-m", "workflow.build", *given], cwd=ROOT, check=False).returncode


def _add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("evaluate", help="models x features x gaps x seeds on real SMAP; resumable")
    command.add_argument(
        "--quick", action="store_true", help="a few small runs, minutes; writes nothing under results/"
    )
    command.add_argument("--part", help="paper or filler (default: both)")
    command.add_argument(
        "--out", type=Path, help="result file (default: that of the part in results/; none for a choice or --quick)"
    )
    command.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    command.add_argument(
        "--minutes", type=float, default=math.inf, help="begin no run after so many; the result then says what it lacks"
    )
    command.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    command.add_argument("--models", nargs="+", help="only these models")
    command.add_argument("--gaps", nargs="+", help="only these kinds of gaps")
    command.add_argument("--list", action="store_true", help="say what would run, and what is done already")
    command.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from tssmnet.trials.study import command

    return command(options)


if __name__ == "__main__":
    sys.exit(main())
