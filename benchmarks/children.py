"""Commands in children of this process: forked, so that they begin at once, and killed or watched until they end."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT = 120.0
"""Seconds after which a child that has not ended counts as hanging."""

CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")
"""Audit events of Python that change a disk; of those that open a file, the ones that may write to it."""


@dataclass(frozen=True)
class Ended:
    """How a child ended: its code (negative for a signal; None if it hung), what it said, how long it took."""

    code: int | None
    said: str
    seconds: float


class AnswerError(Exception):
    """A child that was asked something ended without an answer; the message is what it said."""


def start(work: Callable[[], Any], log: Path) -> int:
    """The number of a new process that does `work` and writes what it says to `log`; an int that it gives is its code.

    This process must hold no lock and run no thread that the child would need: it imports and waits, no more.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 1
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        os.dup2(2, 1)
        sys.stdout = sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        given = work()
        code = given if isinstance(given, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def end(pid: int, log: Path, after: float | None = None) -> Ended:
    """Wait for a child, or kill it `after` so many seconds from now."""
    began, limit = time.monotonic(), LIMIT if after is None else after
    found, status = os.waitpid(pid, os.WNOHANG)
    while not found and time.monotonic() - began < limit:
        time.sleep(0.002)
        found, status = os.waitpid(pid, os.WNOHANG)
    if not found:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    code = None if not found and after is None else os.waitstatus_to_exitcode(status)
    return Ended(code, log.read_text(errors="replace") if log.exists() else "", time.monotonic() - began)


def run(work: Callable[[], Any], log: Path, after: float | None = None) -> Ended:
    """Do `work` in a child to its end, or until it is killed `after` so many seconds."""
    return end(start(work, log), log, after)


def ask(question: Callable[[], Any], log: Path) -> Any:
    """What a child answers, anything that JSON can hold.

    Raises
    ------
    AnswerError
        If it ends without an answer.
    """
    answer = log.with_suffix(".json")
    answer.unlink(missing_ok=True)
    ended = run(lambda: answer.write_text(json.dumps(question())) and 0, log)
    if ended.code == 0:
        return json.loads(answer.read_text())
    last = [line for line in ended.said.splitlines() if line.strip()][-3:]
    raise AnswerError(" / ".join(last) or f"it ended with {ended.code}")


def at_changes(work: Callable[[], Any], folder: Path, then: Callable[[int], None]) -> Callable[[], Any]:
    """`work` in which `then` is called before each change of what lies below a folder, with the number of the change.

    Python's own calls are seen, those of HDF5 are not. For a child only: a hook of this kind stays.
    """
    place, count = str(folder), 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in CHANGES or not isinstance(arguments[0], str | os.PathLike):
            return
        writing = event != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if writing and os.fspath(arguments[0]).startswith(place):
            count += 1
            then(count)

    def watched() -> Any:
        sys.addaudithook(hook)
        return work()

    return watched


def killed_at_change(work: Callable[[], Any], folder: Path, number: int) -> Callable[[], Any]:
    """`work` in a process that ends by SIGKILL just before its change `number` below a folder."""
    return at_changes(work, folder, lambda n: os.kill(os.getpid(), signal.SIGKILL) if n == number else None)


def count_changes(work: Callable[[], Any], folder: Path, log: Path) -> int:
    """How many changes below a folder a piece of work makes."""
    numbers = log.with_suffix(".changes")
    run(at_changes(work, folder, lambda n: numbers.write_text(str(n)) and None), log)
    return int(numbers.read_text()) if numbers.exists() else 0
