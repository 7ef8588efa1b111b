"""Run the commands in the docs and write what they print below them: `make docs`.

In every page a ```console block is a session: lines that begin with `$ ` are commands, and the
lines that follow are what the command prints. A session runs in a new folder that holds
`sample_data/`. Between `<!-- made by COMMAND -->` and `<!-- end -->` stands the output of COMMAND
as Markdown.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])

_SESSION = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
_TABLE = re.compile(
    r"(?P<head><!-- made by (?P<command>[^>]*) -->\n)(?P<body>.*?)(?=<!-- end -->)", re.DOTALL
)
# The seconds that a run took.
_SECONDS = re.compile(r"\bin [0-9.e-]+ s\b")


@dataclass(frozen=True)
class Command:
    """A command of a session and the lines that the page shows below it."""

    text: str
    shown: list[str]

    def agrees(self, printed: list[str]) -> bool:
        """Whether the page shows what was printed, apart from the seconds that it took."""
        shown, printed = _timeless(self.shown), _timeless(printed)
        # What goes to standard error may overtake what goes through a pipe.
        if "|" in self.text:
            return sorted(shown) == sorted(printed)
        return shown == printed


def _timeless(lines: list[str]) -> list[str]:
    return [_SECONDS.sub("in T s", line) for line in lines]


def sessions(page: str) -> list[list[Command]]:
    """The sessions of a page."""
    return [_commands(found) for found in _SESSION.findall(page)]


def _commands(session: str) -> list[Command]:
    commands = []
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        text, *shown = part.splitlines()
        commands.append(Command(text, shown))
    return commands


def run_session(
    session: list[Command], folder: Path, programs: Path = Path(sys.executable).parent
) -> list[list[str]]:
    """Run the commands one after the other in `folder`; the lines that each prints.

    programs : the folder that `convcli` is taken from
    """
    shutil.copytree(ROOT / "sample_data", folder / "sample_data")
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        # What runs over many inputs remember stays in the folder.
        "XDG_STATE_HOME": str(folder / ".state"),
    }
    printed = []
    for command in session:
        done = subprocess.run(
            ["sh", "-c", f"exec 2>&1; {command.text}"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        printed.append(done.stdout.splitlines())
    return printed


def tables(page: str) -> list[tuple[str, str]]:
    """The generated tables of a page: the command that makes each, and what the page shows."""
    return [(found["command"], found["body"]) for found in _TABLE.finditer(page)]


def made_by(command: str) -> str:
    """What a command that makes a table prints."""
    words = shlex.split(command)
    if words[0] == "convcli":
        words = [sys.executable, "-m", *words]
    else:
        words = [sys.executable, *words[1:]]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def refreshed(page: str) -> str:
    """The page with the output of its commands as it is now."""

    def session(found: re.Match[str]) -> str:
        commands = _commands(found[0])
        with tempfile.TemporaryDirectory() as folder:
            printed = run_session(commands, Path(folder))
        text = ""
        for command, lines in zip(commands, printed, strict=True):
            kept = command.shown if command.agrees(lines) else lines
            text += "\n".join([f"$ {command.text}", *kept]) + "\n"
        return text

    def table(found: re.Match[str]) -> str:
        return found["head"] + made_by(found["command"])

    return _TABLE.sub(table, _SESSION.sub(session, page))


def main() -> None:
    """Refresh every page in place."""
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        fresh = refreshed(page)
        if fresh != page:
            path.write_text(fresh, encoding="utf-8")
            print(f"refreshed {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
