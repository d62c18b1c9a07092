"""The errors a user can meet, and the hint that goes with an unknown name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


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
