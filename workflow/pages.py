"""Which pages the book has, which profile each runs on, and where its executed notebook lies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tssmnet.errors import TssmnetError, require_known
from workflow import notebooks

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
BUILD = ROOT / "_build"
DEFAULT_PROFILE = "twin"


SOONER, LATER = 1, 0
START = {"3.3-validation": 4, "4.2-memory": 3, "best-filler": 2} | dict.fromkeys(
    ("3.2-maps", "4.3-limitations", "5-conclusions", "truth-in-gaps", "paper-here-why"), LATER
)
"""When a notebook starts among those to be run, the highest first: those that take longest, then those that share
nothing with them, then those that would only wait for fits that another is making."""


@dataclass(frozen=True)
class Profile:
    """One file of book/profiles: the parameters it hands to the notebooks, and the data they need.

    Parameters
    ----------
    name, title
        As shown.
    data
        Data sets of the manifest that its pages read, unless a notebook declares its own.
    common
        Parameters for every notebook that declares them.
    notebooks
        Parameters by notebook; each must be declared there.
    minutes, memory_gb
        What one notebook may take on two cores.
    """

    name: str
    title: str
    data: tuple[str, ...] = ()
    common: Mapping[str, Any] = field(default_factory=dict)
    notebooks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    minutes: float = 5.0
    memory_gb: float = 1.5


@dataclass(frozen=True)
class Page:
    """A notebook of the book on one profile.

    Parameters
    ----------
    entry
        Its name in _toc.yml, ``2.1.2-data`` or ``china/2.1.2-data``.
    source
        The notebook.
    profile
        What it runs on.
    """

    entry: str
    source: Path
    profile: Profile

    @property
    def name(self) -> str:
        """The notebook's name without folder and suffix."""
        return self.source.stem

    @property
    def executed(self) -> Path:
        """Where its executed copy lies."""
        return executed_path(self.source, self.profile.name)


def executed_path(source: Path, profile: str) -> Path:
    """Where the executed copy of a notebook lies."""
    return BUILD / "executed" / profile / source.name


def profile_names() -> list[str]:
    """The profiles that exist."""
    return sorted(p.stem for p in (BOOK / "profiles").glob("*.yml"))


def load_profile(name: str) -> Profile:
    """Read one profile.

    Raises
    ------
    UnknownNameError
        For an unknown profile or an unknown key in its file.
    """
    require_known(name, profile_names(), "profile")
    content = yaml.safe_load((BOOK / "profiles" / f"{name}.yml").read_text(encoding="utf-8"))
    for key in content:
        require_known(key, Profile.__dataclass_fields__, f"key of book/profiles/{name}.yml")
    content["data"] = tuple(content.get("data") or ())
    content["common"] = {"profile": name, **(content.get("common") or {})}
    content["notebooks"] = content.get("notebooks") or {}
    for notebook in content["notebooks"]:
        require_known(notebook, [p.stem for p in BOOK.glob("*.ipynb")], f"notebook in book/profiles/{name}.yml")
    return Profile(**{**content, "name": name})


def toc_entries() -> list[str]:
    """The pages named in the table of contents, in order."""
    return list(_files(yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))))


def _files(node: Any) -> Iterable[str]:
    if isinstance(node, list):
        for child in node:
            yield from _files(child)
    elif isinstance(node, dict):
        yield from (str(node[key]) for key in ("root", "file") if key in node)
        for key in ("parts", "chapters", "sections"):
            yield from _files(node.get(key, []))


def book_pages(default_profile: str = DEFAULT_PROFILE) -> list[Page]:
    """The notebooks among the entries of _toc.yml, each with its profile.

    An entry in a folder named after a profile, ``china/2.1.2-data``, is book/2.1.2-data.ipynb on that profile; any
    other runs on `default_profile`.

    Raises
    ------
    TssmnetError
        If an entry is neither a notebook nor a text page of the book.
    """
    profiles = {name: load_profile(name) for name in profile_names()}
    require_known(default_profile, profiles, "profile")
    pages = []
    for entry in toc_entries():
        folder, _, rest = entry.partition("/")
        name, profile = (rest, folder) if folder in profiles else (entry, default_profile)
        source = BOOK / f"{name}.ipynb"
        if source.is_file():
            pages.append(Page(entry, source, profiles[profile]))
        elif not (BOOK / f"{entry}.md").is_file():
            raise TssmnetError(f"book/_toc.yml names {entry!r}; there is no book/{name}.ipynb and no book/{entry}.md")
    return pages


def parameters_for(page: Page, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All parameters of a page: its defaults, what the profile hands it, what was `given` on top.

    Raises
    ------
    UnknownNameError
        If the profile's entry for this notebook, or `given`, holds a name that the notebook does not declare.
    """
    declared = notebooks.declared_parameters(notebooks.read(page.source), page.source.name)
    common = {k: v for k, v in page.profile.common.items() if k in declared}
    chosen = {**common, **page.profile.notebooks.get(page.name, {}), **(given or {})}
    notebooks.check_parameters(chosen, declared, page.source.name)
    return {**declared, **chosen}


def declared(page: Page) -> dict[str, Any]:
    """What the page's notebook declares in ``metadata.tssmnet``."""
    return notebooks.declaration(notebooks.read(page.source), page.source.name)


def data_for(page: Page) -> tuple[str, ...]:
    """The data sets a page reads: its own declaration, else its profile's."""
    own = declared(page).get("data")
    return tuple(own) if own is not None else page.profile.data


def files_of(page: Page, key: str) -> list[str]:
    """The files a page ``reads`` or ``writes``, relative to the repository, on its profile."""
    return [name.replace("{profile}", page.profile.name) for name in declared(page).get(key, [])]


def split_given(pages: Iterable[Page], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Hand parameters given for the whole book to the notebooks that declare them, by entry.

    Raises
    ------
    UnknownNameError
        If no notebook of the book declares a name.
    """
    declared = {p.entry: notebooks.declared_parameters(notebooks.read(p.source), p.source.name) for p in pages}
    every = {name for names in declared.values() for name in names}
    for name in given:
        require_known(name, every, "parameter: no notebook of the book declares")
    return {entry: {k: v for k, v in given.items() if k in names} for entry, names in declared.items()}
