"""The program as its users run it: a process with a command line, files, pipes and an exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from life import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLES = Path(__file__).parents[1] / "sample_data"
BIN = Path(sys.executable).parent
CONVCLI = (
    [str(BIN / "convcli")] if (BIN / "convcli").exists() else [sys.executable, "-m", "convcli"]
)
# Streams are buffered as they are for users, whatever the shell of the tests says.
BUFFERED = {"PYTHONUNBUFFERED": ""}

# One run loads what a run loads; then every line asks for a run in a fork, whose standard streams
# are files.
_WAITING = """
import json, os, signal, sys
import convcli.cli.filters, convcli.cli.image, convcli.cli.audio
from convcli.cli import main
assert main(["csv", "box:2", "-q", sys.argv[1], "-o", os.devnull]) == 0
print("ready", flush=True)
for line in sys.stdin:
    words, cwd, streams = json.loads(line)
    child = os.fork()
    if child == 0:
        for fd, path in enumerate(streams):
            os.dup2(os.open(path, os.O_RDONLY if fd == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), fd)
        os.chdir(cwd)
        sys.stdin, sys.stdout, sys.stderr = (open(fd, "rw"[fd > 0], closefd=False) for fd in range(3))
        sys.argv = ["convcli", *words]
        signal.alarm(300)
        code = 99
        try:
            code = main(words)
        finally:
            sys.stderr.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass(frozen=True)
class Done:
    """A run that ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def errors(self) -> list[str]:
        """The `error:` lines."""
        return [line for line in self.err.splitlines() if line.startswith("error: ")]

    @property
    def warnings(self) -> list[str]:
        """The `warning:` lines."""
        return [line for line in self.err.splitlines() if line.startswith("warning: ")]


def checked(done: Done) -> Done:
    """What holds for every run: no traceback, no terminal code."""
    assert "Traceback (most recent call last)" not in done.err, done.err
    assert "\x1b" not in done.err, done.err
    return done


def run(
    *words: str | Path | bytes,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> Done:
    """Run the program and wait for it."""
    ended = subprocess.run(
        [*CONVCLI, *words],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env={**os.environ, **BUFFERED, **(env or {})},
        timeout=PATIENCE,
        check=False,
    )
    return checked(Done(ended.returncode, ended.stdout, ended.stderr.decode("utf-8", "replace")))


def done(*words: str | Path | bytes, stdin: bytes = b"", cwd: Path | None = None) -> Done:
    """A run that does what it was asked for."""
    ended = run(*words, stdin=stdin, cwd=cwd)
    assert ended.code == 0, ended
    assert not ended.errors, ended
    return ended


def refused(
    code: int, *words: str | Path | bytes, stdin: bytes = b"", cwd: Path | None = None
) -> str:
    """The one error of a run that ends with `code` and puts nothing on standard output."""
    ended = run(*words, stdin=stdin, cwd=cwd)
    assert ended.code == code, ended
    assert ended.out == b"", ended
    assert len(ended.errors) == 1, ended
    return ended.err


def shell(script: str, cwd: Path, **env: str) -> Done:
    """A line of the shell, with `convcli` on its PATH; the exit code is that of its last command."""
    path = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    ended = subprocess.run(
        ["sh", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=cwd,
        env={**os.environ, **BUFFERED, "PATH": path, **env},
        timeout=PATIENCE,
        check=False,
    )
    return checked(Done(ended.returncode, ended.stdout, ended.stderr.decode("utf-8", "replace")))


@cache
def _works(name: str) -> bool:
    """Whether a program is there and runs; a name on the PATH may be a stand-in that refuses."""
    if shutil.which(name) is None:
        return False
    asked = {"convert": ["-version"]}.get(name)
    if asked is None:
        return True
    return subprocess.run([name, *asked], capture_output=True, check=False).returncode == 0


def peer(*names: str) -> pytest.MarkDecorator:
    """Marks a test that needs other programs; it is skipped where one of them is missing."""
    missing = [name for name in names if not _works(name)]
    if missing:
        return pytest.mark.skip(reason=f"needs {', '.join(missing)}")
    return pytest.mark.peer


class Program:
    """The program kept waiting with its imports done; every run is a fork of it.

    For the many runs of a fuzz test.
    """

    def __init__(self, folder: Path) -> None:
        self._streams = [folder / name for name in ("stdin", "stdout", "stderr")]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        # One thread in the libraries: a fork takes no threads along.
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._streams[0].write_text("x\\n1\\n")
        command = [sys.executable, "-c", _WAITING, str(self._streams[0])]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.communicate(timeout=PATIENCE)

    def run(self, *words: str | Path, stdin: bytes = b"", cwd: Path) -> Done:
        """Run and wait."""
        self._streams[0].write_bytes(stdin)
        request: Sequence[Any] = [list(map(str, words)), str(cwd), list(map(str, self._streams))]
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        code = int(process.stdout.readline())
        return checked(
            Done(
                code, self._streams[1].read_bytes(), self._streams[2].read_text("utf-8", "replace")
            )
        )
