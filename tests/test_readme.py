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


def sessions() -> list[tuple[str, str]]:
    """Every command of a console block with the output that stands under it."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for session in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = session.partition("\n")
            found.append((command, output))
    return found


@pytest.mark.parametrize(("command", "output"), sessions(), ids=lambda text: text[:40])
def test_commands_do_what_is_said(command: str, output: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        ["sh", "-c", f"exec 2>&1; {command}"],
        cwd=tmp_path,
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
        [sys.executable, "-m", "convcli", "filters", "--markdown"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    table = re.search(r"<!-- steps: .*? -->\n(.*?)<!-- end of steps -->", README, re.DOTALL)
    assert table is not None
    assert table[1] == run.stdout
