"""The errors a user can meet, and the hint that goes with an unknown name."""

from __future__ import annotations

import errno
import operator
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class TssmnetError(Exception):
    """Base of every error this library raises on purpose: bad input, missing data, unknown names."""


class UnknownNameError(TssmnetError, KeyError):
    """A name that is in no table of the library.

    The message names the unknown word, the nearest known one and all that are known.
    """

    def __str__(self) -> str:
        return str(self.args[0])


def require_known(name: str, known: Iterable[str], what: str) -> str:
    """Return `name` if it is known, else raise an error that suggests the nearest one.

    Parameters
    ----------
    name
        The word that was given.
    known
        The words that exist.
    what
        What the word names, for the message: ``"model"``, ``"parameter of tssmnet"``.

    Raises
    ------
    UnknownNameError
        If `name` is not among `known`.

    Examples
    --------
    >>> require_known("rf", ["rf", "xgboost"], "model")
    'rf'
    >>> require_known("xgbost", ["rf", "xgboost"], "model")
    Traceback (most recent call last):
    ...
    tssmnet.errors.UnknownNameError: unknown model 'xgbost'; did you mean 'xgboost'? Known: rf, xgboost
    """
    words = list(known)
    if name in words:
        return name
    near = get_close_matches(name, words, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise UnknownNameError(f"unknown {what} {name!r}{hint} Known: {', '.join(sorted(words))}")


def require_whole(value: Any, name: str, least: int, most: int | None = None) -> int:
    """Return a whole number between `least` and `most`, both included, as an int; anything else is an error.

    Raises
    ------
    TssmnetError
        If it is no whole number, or lies outside.

    Examples
    --------
    >>> require_whole(-5, "rows", 1)
    Traceback (most recent call last):
    ...
    tssmnet.errors.TssmnetError: rows must be a whole number from 1 on, it is -5
    """
    span = f"from {least} on" if most is None else f"from {least} to {most}"
    try:
        number = operator.index(value)
    except TypeError:
        raise TssmnetError(f"{name} must be a whole number {span}, it is {value!r}") from None
    if isinstance(value, bool) or number < least or (most is not None and number > most):
        raise TssmnetError(f"{name} must be a whole number {span}, it is {value!r}")
    return number


_ADVICE = {
    errno.ENOSPC: "make room on that disk, then run the same command again",
    errno.EDQUOT: "make room within your quota, then run the same command again",
    errno.EROFS: "name a place that can be written",
    errno.EACCES: "name another place, or ask for the right to use this one",
    errno.EPERM: "name another place, or ask for the right to use this one",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EMFILE: "allow more open files with `ulimit -n`",
}


def sentence(error: BaseException) -> str:
    """One line on an error of any library: what happened, to which file where it is known, and what helps.

    Examples
    --------
    >>> sentence(OSError(errno.ENAMETOOLONG, "File name too long", "out.nc"))
    'out.nc: file name too long; give a shorter name'
    >>> sentence(KeyError("zarr.json"))
    "KeyError: 'zarr.json'"
    """
    if isinstance(error, TssmnetError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory; end other programs, or take a smaller part"
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("tssmnet"):
        what = f"this command needs the package {error.name}, which is not installed"
        return f"{what}; get it with: pip install 'tssmnet[data,book]'"
    if isinstance(error, UnicodeError):
        return f"a file is no text in UTF-8: {_first_line(error)}"
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        names = " and ".join(str(f) for f in (error.filename, error.filename2) if f is not None)
        advice = f"; {_ADVICE[error.errno]}" if error.errno in _ADVICE else ""
        return f"{names}{': ' * bool(names)}{error.strerror[0].lower()}{error.strerror[1:]}{advice}"
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no more is known")
