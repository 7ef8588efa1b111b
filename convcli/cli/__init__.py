"""The command line. `main` is the one place that prints errors and sets exit codes."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from convcli.errors import ConvcliError, OutputError

if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = 130
DEFECT = 70

# Blocks share the cores among themselves; libraries that did so too would wait for each other.
_ONE_EACH = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)

# What only a write can fail with. Files are written through doors that know their names; this is left to print().
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(arguments: list[str] | None = None) -> int:
    """Run the program; returns the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        _let_signals_clean_up()
        _open_standard_streams()
        _leave_cores_to_blocks()
        _leave_memory_to_the_end()
        return _run(words)
    except Stopped as stop:
        return stop.code


def _leave_cores_to_blocks() -> None:
    """One thread for each product, said before NumPy is imported; who has set it otherwise is heard."""
    for name in _ONE_EACH:
        os.environ.setdefault(name, "1")


def _leave_memory_to_the_end() -> None:
    """Imports make many objects and few cycles, and at the end all memory goes back at once: a sixth of the start."""
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)


def _run(words: list[str]) -> int:
    from convcli.cli.app import with_commands

    try:
        code = with_commands(words)(args=words, prog_name="convcli", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        return closed_pipe()
    except SystemExit as ended:
        if not isinstance(ended.__context__, BrokenPipeError):  # Click makes this of a closed pipe
            raise
        return closed_pipe()
    except ConvcliError as error:
        _let_go_of_stdout(error)
        tell_error(error)
        return error.exit_code
    except Exception as error:
        if "--debug" in words:
            raise
        return _other(error)
    return code if isinstance(code, int) else 0


class Stopped(BaseException):
    """A signal asked the program to end; everything under way is taken back on the way out."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _let_signals_clean_up() -> None:
    """Ctrl-C, `kill` and a closed terminal become an exception, so that no partial file is left."""

    def stop(number: int, _: FrameType | None) -> NoReturn:
        raise Stopped(INTERRUPTED if number == signal.SIGINT else 128 + number)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), stop)


def _open_standard_streams() -> None:
    """Give the null device to those that are closed, lest a file that is opened gets their number and our words."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


def closed_pipe() -> int:
    """Whoever read our output has enough: no error."""
    _give_up(sys.stdout)
    return 0


def _let_go_of_stdout(error: ConvcliError) -> None:
    """What was written before an error leaves, if it can; not what belongs to an output that cannot be made."""
    with suppress(OSError):
        if sys.stdout is not None and not isinstance(error, OutputError):
            sys.stdout.flush()
            return
    _give_up(sys.stdout)


def _give_up(stream: TextIO | None) -> None:
    """What still waits to be written is not tried again, and told as a failure of its own, when Python ends."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _other(error: Any) -> int:
    """Errors of the command line, which Typer raises with a text of their own, and defects."""
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
        say(error.format_message())
        return int(error.exit_code)
    if hasattr(error, "format_message"):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "convcli"
        told = error.format_message().replace(": Value error, ", ": ")
        tell(told, hint=f"`{command} --help` shows what can be asked")
        return int(error.exit_code)
    if isinstance(error, OSError) and error.errno in _FULL:
        _give_up(sys.stdout)
        tell(f"cannot write standard output: {error.strerror}")
        return OutputError.exit_code
    if isinstance(error, MemoryError):
        tell(
            "not enough memory for this",
            hint="--threads 1 and a chain with a shorter reach need less",
        )
        return 3
    tell(
        f"unexpected {type(error).__name__}: {error}",
        hint="this is a defect of convcli; --debug shows where",
    )
    return DEFECT


def tell_error(error: ConvcliError) -> None:
    """An error with its excerpt and its hint."""
    tell(error.message, hint=error.hint, excerpt=error.excerpt)


def tell(
    message: str, *, hint: str | None = None, excerpt: tuple[str, ...] = (), kind: str = "error"
) -> None:
    """An `error:` or `warning:` on standard error, and what to try; control characters are made visible."""
    from convcli.report.words import visible

    lines = [f"{kind}: {visible(message)}", *(f"  {visible(line)}" for line in excerpt)]
    if hint:
        lines.append(f"hint: {visible(hint)}")
    say("\n".join(lines))


def say(text: str) -> None:
    """Words on standard error. That nobody can read them changes nothing of the run."""
    try:
        print(text, file=sys.stderr)
    except OSError:
        _give_up(sys.stderr)
