"""The program as its users run it: a process with a command line, files, pipes and an exit code."""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import Future
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from io import TextIOWrapper
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, BinaryIO, ParamSpec, TypeVar

import fork_client
import pytest
from life import PATIENCE

from convcli.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

P = ParamSpec("P")
R = TypeVar("R")

TESTS = Path(__file__).parent
SAMPLES = TESTS.parent / "sample_data"
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
    """The program inside this process, with its imports done.

    A run has a command line, a folder and standard streams of its own, and takes a quarter of the
    processor time of a fork. A run that is watched by strace is a fork of a waiting process.
    """

    @property
    def bin(self) -> Path:
        """A folder with a `convcli` for a shell, whose runs are forks of a waiting process."""
        return waiting_program().bin

    def run(
        self,
        *words: str | Path | bytes,
        stdin: bytes = b"",
        cwd: Path | None = None,
        out: BinaryIO | None = None,
        strace: Sequence[str] = (),
    ) -> Done:
        """Run the program and wait for it.

        out : a file for standard output, instead of a pipe
        strace : arguments of strace, which watches the run, and may let its system calls fail
        """
        texts = [os.fsdecode(word) for word in words]
        if strace:
            return waiting_program().run(texts, stdin, cwd, out, strace)
        reading, feed = os.pipe()
        output, printing = os.pipe()
        if out is not None:
            os.dup2(out.fileno(), printing)
        _begin(_write_all, feed, stdin)
        printed = _begin(_read_all, output)
        # Helpers of multiprocessing keep standard error open, so that a pipe would not end.
        with tempfile.TemporaryFile() as err:
            with chdir(cwd or Path.cwd()), _standard_streams(reading, printing, err.fileno()):
                code = _exit_code_of_main(texts)
            err.seek(0)
            told = err.read().decode("utf-8", "replace")
            return checked(Done(code, _result(printed), told))


def _exit_code_of_main(words: list[str]) -> int:
    try:
        return main(words)
    except SystemExit as ended:
        return int(ended.code or 0)


@contextmanager
def _standard_streams(*given: int) -> Iterator[None]:
    """Make open descriptors the standard streams of this process for a while.

    The first two are closed, so that the other ends of pipes see the end.
    """
    before = (sys.stdin, sys.stdout, sys.stderr)
    before[1].flush()
    before[2].flush()
    kept = [os.dup(number) for number in range(3)]
    for number, descriptor in enumerate(given):
        os.dup2(descriptor, number)
    os.close(given[0])
    os.close(given[1])
    opened = [_stream(number) for number in range(3)]
    sys.stdin, sys.stdout, sys.stderr = opened
    try:
        yield
    finally:
        for stream in (*opened, sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # nobody reads what is left, or it is closed
                stream.close()
        sys.stdin, sys.stdout, sys.stderr = before
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)


def _stream(number: int) -> TextIOWrapper:
    """A text stream for a standard descriptor, as Python opens it."""
    mode = "w" if number else "r"
    errors = "backslashreplace" if number == 2 else "strict"
    binary = open(number, f"{mode}b", closefd=False)  # noqa: SIM115 -- it stays open
    return TextIOWrapper(binary, "utf-8", errors, line_buffering=number == 2)


class WaitingProgram:
    """The program kept waiting with its imports done; every run is a fork of it.

    A run has pipes for its standard streams, and ends as a process of its own does. It takes 0.02
    to 0.05 s of the processor instead of 0.25 to 0.4.

    bin : a folder with a `convcli` for a shell, whose runs are forks, too. It is a process of its
        own beside them: limits and signals of the shell do not reach the run.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.bin = Path(self._folder.name)
        self._socket = str(self.bin / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._socket)
            listener.listen(64)
            self._process = subprocess.Popen(
                [sys.executable, TESTS / "fork_server.py", str(listener.fileno())],
                env={**os.environ, **BUFFERED},
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,
            )
        command = [sys.executable, "-IS", str(TESTS / "fork_client.py"), self._socket]
        (self.bin / "convcli").write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        (self.bin / "convcli").chmod(0o755)

    def close(self) -> None:
        """Let the waiting process end."""
        self._process.communicate(timeout=PATIENCE)
        self._folder.cleanup()

    def run(
        self,
        words: Sequence[str],
        stdin: bytes,
        cwd: Path | None,
        out: BinaryIO | None,
        strace: Sequence[str],
    ) -> Done:
        """Run the program and wait for it, as `Program.run` does."""
        reading, feed = os.pipe()
        output, printing = os.pipe()
        err, telling = os.pipe()
        if out is not None:
            os.dup2(out.fileno(), printing)
        streams = [reading, printing, telling]
        folder = str(cwd or Path.cwd())
        environment = {**os.environ, **BUFFERED}
        run = fork_client.ask(self._socket, words, streams, folder, environment, strace)
        for stream in streams:
            os.close(stream)
        _begin(_write_all, feed, stdin)
        told = _begin(_read_all, err)
        printed = _begin(_read_all, output)
        out_bytes = _result(printed)
        err_text = _result(told).decode("utf-8", "replace")
        return checked(Done(fork_client.exit_code(run), out_bytes, err_text))


def _begin(function: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> Future[R]:
    """Start a call in a thread that nobody has to wait for."""
    ended: Future[R] = Future()

    def call() -> None:
        try:
            ended.set_result(function(*arguments, **options))
        except BaseException as error:  # noqa: BLE001 -- it is raised where the result is asked for
            ended.set_exception(error)

    Thread(target=call, daemon=True).start()
    return ended


def _result(printed: Future[bytes]) -> bytes:
    """What a run has printed. AssertionError if its pipe does not end after the run."""
    try:
        return printed.result(PATIENCE)
    except TimeoutError:
        raise AssertionError("another process holds the output of the run open") from None


def _write_all(pipe: int, data: bytes) -> None:
    """Write to a pipe whose reader may close it early, and close it."""
    with suppress(BrokenPipeError), open(pipe, "wb", buffering=0) as file:
        file.write(data)


def _read_all(pipe: int) -> bytes:
    with open(pipe, "rb") as file:
        return file.read()


@cache
def waiting_program() -> WaitingProgram:
    """The one waiting program of these tests."""
    program = WaitingProgram()
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
        return Program().run(*words, stdin=stdin, cwd=cwd)
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


def shell(script: str, cwd: Path) -> Done:
    """A script of the shell, whose `convcli` is the waiting program; the exit code is its last."""
    path = f"{waiting_program().bin}{os.pathsep}{os.environ.get('PATH', '')}"
    ended = subprocess.run(
        ["sh", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=cwd,
        env={**os.environ, **BUFFERED, "PATH": path},
        timeout=PATIENCE,
        check=False,
    )
    return checked(Done(ended.returncode, ended.stdout, ended.stderr.decode("utf-8", "replace")))


# Memory is known from /proc alone. A limit on it would count the stacks of the threads, too, of which
# some libraries have as many as there are cores.
tells_memory = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs /proc/self/status"
)
_PEAK = """
import sys
from pathlib import Path
from convcli.cli import main
try:
    code = main(sys.argv[1:])
finally:
    lines = Path("/proc/self/status").read_text().splitlines()
    print(next(line for line in lines if line.startswith("VmHWM")), file=sys.stderr)
sys.exit(code)
"""


def peak_memory(*words: str | Path, cwd: Path) -> tuple[bytes, float]:
    """What a run that does what it was asked for prints, and its peak memory in MB."""
    ended = subprocess.run(
        [sys.executable, "-c", _PEAK, *words],
        cwd=cwd,
        capture_output=True,
        check=True,
        timeout=PATIENCE,
    )
    told = ended.stderr.decode().splitlines()[-1]
    return ended.stdout, int(told.split()[1]) / 1024


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
