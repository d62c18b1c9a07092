"""A page's buttons lead to notebooks that exist, on the page's own profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow import launch, notebooks, pages

HOME = "https://github.com/a/b"
BINDER = {"text": "Binder", "url": "https://mybinder.org/v2/gh/a/b/main?urlpath=lab/tree/book/"}
COLAB = {"text": "Colab", "url": "https://colab.research.google.com/github/a/b/blob/main/book/"}
EDIT = {"text": "Suggest edit", "url": f"{HOME}/edit/main/book/"}


def page_of(entry: str, suffix: str = ".ipynb") -> str:
    """A page with the buttons that the theme gives it, mended."""
    theme = [{**button, "url": f"{button['url']}{entry}{suffix}"} for button in (BINDER, COLAB, EDIT)]
    (group,) = launch.mended({"type": "group", "buttons": theme}, entry)
    return " ".join(f'<a href="{button["url"]}">{button["text"]}</a>' for button in group["buttons"])


def test_every_button_of_every_page_leads_to_a_file_of_the_tree_or_to_one_made_for_binder() -> None:
    for entry in pages.toc_entries():
        suffix = ".md" if (pages.BOOK / f"{entry}.md").is_file() else ".ipynb"
        assert launch.targets(page_of(entry, suffix))
        assert launch.dead(page_of(entry, suffix)) == []


def test_a_page_on_a_second_profile_opens_on_binder_alone_and_is_edited_where_it_is() -> None:
    html = page_of("conus/3.1-training")
    assert launch.targets(html) == {"book/conus/3.1-training.ipynb", "book/3.1-training.ipynb"}
    assert "colab" not in html


def test_the_page_that_stands_in_for_one_without_data_is_edited_where_the_notebook_is() -> None:
    assert "book/hawaii.ipynb" in launch.targets(page_of("hawaii", ".md"))


def test_a_button_to_no_file_is_found() -> None:
    assert launch.dead(f'<a href="{EDIT["url"]}no-such-page.md">') == ["book/no-such-page.md"]


def test_the_notebook_made_for_binder_has_the_parameters_of_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, page = "book/conus/3.1-training.ipynb", launch.copies()["book/conus/3.1-training.ipynb"]
    monkeypatch.setattr(launch, "copies", lambda: {place: page})
    launch.write_copies(tmp_path)
    cells = notebooks.read(tmp_path / place).cells
    (given,) = [c.source for c in cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert 'profile = "conus"' in given
    assert f"pixels = {page.profile.notebooks['3.1-training']['pixels']}" in given


def test_binder_is_built_by_a_script_that_can_be_run() -> None:
    script = pages.ROOT / ".binder" / "postBuild"
    assert script.stat().st_mode & 0o111
    assert "python -m workflow.launch" in script.read_text(encoding="utf-8")
