"""Templates of pages are compiled once, as modules are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from jinja2 import Environment

from convcli.report.rendering import render_page

if TYPE_CHECKING:
    from pathlib import Path

LESSON = {"title": "a & b", "introduction": [], "chapters": []}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which Python keeps what it compiles."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(sys, "pycache_prefix", str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return folder


def compiled(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.jinja"))


def test_a_template_is_compiled_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = render_page("lesson", **LESSON)
    assert compiled(cache)
    monkeypatch.setattr(Environment, "compile", None)
    assert render_page("lesson", **LESSON) == first


@pytest.mark.parametrize("length", [0, 5, 25, 60, 500])
def test_a_compiled_template_that_was_cut_off_is_made_again(cache: Path, length: int) -> None:
    first = render_page("lesson", **LESSON)
    whole = [path.read_bytes() for path in compiled(cache)]
    for path, content in zip(compiled(cache), whole, strict=True):
        path.write_bytes(content[:length])
    assert render_page("lesson", **LESSON) == first
    assert [path.read_bytes() for path in compiled(cache)] == whole


def test_a_folder_that_cannot_be_written_is_no_error(cache: Path) -> None:
    cache.write_text("not a folder")
    assert "a &amp; b" in render_page("lesson", **LESSON)


def test_nothing_is_kept_where_python_keeps_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    render_page("lesson", **LESSON)
    assert not cache.exists()
