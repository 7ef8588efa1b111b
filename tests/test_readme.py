"""README tells the truth: its commands are run, its table of steps is the one that the code knows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TIMES = re.compile(r"\bin [0-9.e-]+ s\b")


def sessions() -> list[list[tuple[str, str]]]:
    """The commands of every console block, each with the output that stands under it."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        session = [
            command.partition("\n") for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
        ]
        found.append([(command, output) for command, _, output in session])
    return found


@pytest.mark.parametrize("session", sessions(), ids=lambda session: session[0][0][:40])
def test_commands_do_what_is_said(session: list[tuple[str, str]], tmp_path: Path) -> None:
    """The commands of a block are run one after the other in one folder."""
    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    for command, output in session:
        check(command, output, tmp_path)


def check(command: str, output: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        ["sh", "-c", f"exec 2>&1; {command}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    told, expected = (TIMES.sub("in T s", text).splitlines() for text in (run.stdout, output))
    # What goes to standard error may overtake what goes through a pipe.
    assert sorted(told) == sorted(expected) if "|" in command else told == expected


def test_the_table_of_steps_is_generated() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "convcli", "filters", "--markdown"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    table = re.search(r"<!-- steps: .*? -->\n(.*?)<!-- end of steps -->", README, re.DOTALL)
    assert table is not None
    assert table[1] == run.stdout
