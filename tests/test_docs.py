"""The docs tell the truth: their commands are run and their tables are made again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from refresh import PAGES, ROOT, Command, made_by, run_session, sessions, tables

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PAGES}
SESSIONS = [
    pytest.param(session, id=f"{name}: {session[0].text[:40]}")
    for name, text in TEXTS.items()
    for session in sessions(text)
]
TABLES = [
    pytest.param(command, body, id=f"{name}: {command}")
    for name, text in TEXTS.items()
    for command, body in tables(text)
]


@pytest.mark.parametrize("session", SESSIONS)
def test_commands_print_what_the_page_shows(
    session: list[Command], program: Program, tmp_path: Path
) -> None:
    printed = run_session(session, tmp_path, program.bin)
    for command, lines in zip(session, printed, strict=True):
        assert command.agrees(lines), f"$ {command.text}\n" + "\n".join(lines)


@pytest.mark.parametrize(("command", "body"), TABLES)
def test_tables_are_what_their_command_makes(command: str, body: str) -> None:
    assert body == made_by(command)


def test_the_steps_are_in_the_reference() -> None:
    found = [command for command, _ in tables(TEXTS["docs/reference/filter.md"])]
    assert "convcli filters --markdown" in found


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name: str) -> None:
    folder = (ROOT / name).parent
    text = re.sub(r"```.*?```", "", TEXTS[name], flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (folder / target).exists(), f"{name} links to {target}"
