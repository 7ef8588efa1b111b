"""Modules that are imported while something else waits."""

from __future__ import annotations

import sys
from threading import Event, current_thread
from typing import TYPE_CHECKING

import pytest

from convcli.cli.importing import importing

if TYPE_CHECKING:
    from pathlib import Path


def test_a_module_is_imported_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "awaited.py").write_text(
        "import sys\n"
        "from threading import current_thread\n"
        "importer = current_thread()\n"
        "sys.begun.set()\n"
        "sys.goes_on.wait()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    begun, goes_on = Event(), Event()
    monkeypatch.setattr(sys, "begun", begun, raising=False)
    monkeypatch.setattr(sys, "goes_on", goes_on, raising=False)
    with importing(("awaited",)):
        begun.wait()
        goes_on.set()
    module = sys.modules.pop("awaited")
    assert module.importer is not current_thread()
    assert not module.importer.is_alive()


def test_a_missing_module_is_left_to_those_who_need_it() -> None:
    with importing(("no_such_module",)):
        pass
    assert "no_such_module" not in sys.modules


def test_an_error_of_the_context_is_raised_after_the_imports() -> None:
    with pytest.raises(OSError, match="disk"), importing(("no_such_module",)):
        raise OSError("disk")


def test_imported_modules_start_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr("convcli.cli.importing.Thread", lambda **options: made.append(options))
    with importing(("sys",)):
        pass
    assert made == []
