"""The program as its users run it: a process with a command line, files, pipes and an exit code."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from life import PATIENCE

SAMPLES = Path(__file__).parents[1] / "sample_data"
BIN = Path(sys.executable).parent
CONVCLI = (
    [str(BIN / "convcli")] if (BIN / "convcli").exists() else [sys.executable, "-m", "convcli"]
)
# Streams are buffered as they are for users, whatever the shell of the tests says.
BUFFERED = {"PYTHONUNBUFFERED": ""}


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


class Program:
    """The program kept waiting with its imports done; every run is a fork of it.

    A run has pipes for its standard streams, and ends as a process of its own does. It takes 0.02
    to 0.05 s of the processor instead of 0.25 to 0.4.
    """

    def __init__(self) -> None:
        self._connection, theirs = socket.socketpair()
        server = Path(__file__).with_name("fork_server.py")
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, server, str(theirs.fileno())],
                env={**os.environ, **BUFFERED},
                pass_fds=[theirs.fileno()],
            )
        self._answers = self._connection.makefile("r")

    def close(self) -> None:
        """Let the waiting process end."""
        self._answers.close()
        self._connection.close()
        self._process.wait(PATIENCE)

    def run(self, *words: str | Path | bytes, stdin: bytes = b"", cwd: Path | None = None) -> Done:
        """Run the program and wait for it."""
        reading, feed = os.pipe()
        out, printing = os.pipe()
        err, telling = os.pipe()
        request = {
            "words": [os.fsdecode(word) for word in words],
            "cwd": str(cwd or Path.cwd()),
            "environment": {**os.environ, **BUFFERED},
        }
        text = json.dumps(request).encode()
        streams = [reading, printing, telling]
        socket.send_fds(self._connection, [len(text).to_bytes(8)], streams)
        self._connection.sendall(text)
        for stream in streams:
            os.close(stream)
        with ThreadPoolExecutor(2) as others:
            others.submit(_write_all, feed, stdin)
            told = others.submit(_read_all, err)
            printed = _read_all(out)
        code = int(self._answers.readline())
        return checked(Done(code, printed, told.result().decode("utf-8", "replace")))


def _write_all(pipe: int, data: bytes) -> None:
    """Write to a pipe whose reader may close it early, and close it."""
    with suppress(BrokenPipeError), open(pipe, "wb", buffering=0) as file:
        file.write(data)


def _read_all(pipe: int) -> bytes:
    with open(pipe, "rb") as file:
        return file.read()


@cache
def waiting_program() -> Program:
    """The one waiting program of these tests."""
    program = Program()
    atexit.register(program.close)
    return program


def run(
    *words: str | Path | bytes,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> Done:
    """Run the program and wait for it; with `env`, which may matter to imports, from its start."""
    if env is None:
        return waiting_program().run(*words, stdin=stdin, cwd=cwd)
    ended = subprocess.run(
        [*CONVCLI, *words],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env={**os.environ, **BUFFERED, **env},
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
