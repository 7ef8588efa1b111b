"""The command line. `main` is the one place that prints errors and sets exit codes."""

from __future__ import annotations

import atexit
import errno
import gc
import io
import os
import sys
from typing import Any, BinaryIO, TextIO

from convcli.errors import ConvcliError, OutputError, unexpected_error
from convcli.stopping import INTERRUPTED, answer_signals, end_process, ending_at_signals

__all__ = ["INTERRUPTED", "Stopped", "closed_pipe", "main", "print_error", "print_message", "say"]

# Blocks are computed in parallel; libraries with threads of their own would compete for the cores.
_THREAD_LIMITS = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)

# Errors that only a write can cause. Files are written by functions that know their names, so that
# here they come from print().
_WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

# What Click says of values, in plain words.
_PLAIN_WORDS = {
    "is not a valid int range.": "is not a whole number",
    "is not a valid int.": "is not a whole number",
    "is not a valid float range.": "is not a number",
    "is not a valid float.": "is not a number",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the program and return the exit code.

    arguments : None for those of this process, which is then the program to its very end: signals
        are answered until the last moment
    """
    if arguments is not None:
        with ending_at_signals():
            return _main(arguments)
    answer_signals()
    codes: list[int] = []
    atexit.register(_end_with, codes)  # Python calls last what was registered first
    codes.append(_main(sys.argv[1:]))
    return codes[0]


def _end_with(codes: list[int]) -> None:
    """End the process with the exit code of `main`, if it returned one."""
    if codes:
        end_process(codes[0])


def _main(words: list[str]) -> int:
    try:
        _open_standard_streams()
        _limit_library_threads()
        _postpone_garbage_collection()
        return _run(words)
    except Stopped as stop:
        return stop.code


def _limit_library_threads() -> None:
    """One thread for each library call, unless the user has set another number.

    The libraries read these variables when NumPy is imported.
    """
    for name in _THREAD_LIMITS:
        os.environ.setdefault(name, "1")


def _postpone_garbage_collection() -> None:
    """Collect garbage rarely.

    Imports make many objects and few reference cycles: this saves a sixth of the start-up time.
    """
    gc.set_threshold(100_000)


def _run(words: list[str]) -> int:
    from convcli.cli.app import with_commands

    try:
        code = with_commands(words)(args=words, prog_name="convcli", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        return closed_pipe()
    except SystemExit as ended:
        # Click raises SystemExit when a pipe is closed.
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        return closed_pipe()
    except ConvcliError as error:
        _flush_stdout()
        print_error(error)
        return error.exit_code
    except Exception as error:
        if "--debug" in words:
            raise
        return _print_other_error(error, words)
    return code if isinstance(code, int) else 0


class Stopped(BaseException):
    """The program ends early, with an exit code. Context managers remove partial outputs."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _ClosedOutput(io.TextIOBase):
    """Standard output to which nothing can be written.

    why : what is wrong with it, such as `it is closed`
    """

    encoding = "utf-8"

    def __init__(self, why: str) -> None:
        super().__init__()
        self._message = f"cannot write to standard output: {why}"

    @property
    def buffer(self) -> BinaryIO:
        """Raise OutputError: there is no stream of bytes."""
        raise OutputError(self._message)

    def fileno(self) -> int:
        """The number of standard output."""
        return 1

    def write(self, _text: str) -> int:
        """Raise OutputError, whatever the data."""
        raise OutputError(self._message)


def _open_standard_streams() -> None:
    """Make the standard streams fit to be read and written, whoever started the program."""
    for number in range(3):
        _open_standard_stream(number)
    if sys.stdout is None:
        sys.stdout = _ClosedOutput("it is closed")
    elif _is_only_read(sys.stdout):
        sys.stdout = _ClosedOutput("it is open for reading only")
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _buffered(sys.stdout)
        # A symbol that a terminal of another encoding does not know is no reason to stop.
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    _own_standard_error()


def _open_standard_stream(number: int) -> None:
    """Connect a closed standard stream to the null device, and let an open one wait for data.

    Otherwise the next file that is opened would get the number of the stream, and its output.
    A program that started this one may have made a pipe that does not wait (O_NONBLOCK): a read
    before data came would look like the end of the input, and what the pipe has no room for would
    be lost.
    """
    try:
        os.fstat(number)
    except OSError:
        os.open(os.devnull, os.O_RDWR)
        return
    if os.name == "posix":
        os.set_blocking(number, True)


def _is_only_read(stream: TextIO) -> bool:
    """Whether the file of a standard stream was opened for reading only."""
    if os.name != "posix":
        return False
    from fcntl import F_GETFL, fcntl

    try:
        flags = fcntl(stream.fileno(), F_GETFL)
    except (OSError, ValueError):  # a stream in memory
        return False
    return flags & os.O_ACCMODE == os.O_RDONLY


def _buffered(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """A standard stream with a buffer, which writes all that it is given or raises an error.

    With PYTHONUNBUFFERED it has none, and a full disk or pipe would take a part in silence. The
    file stays open when the new stream is gone, since it belongs to the one that was given.
    """
    file: object = stream.buffer
    if not isinstance(file, io.FileIO):
        return stream
    shared = io.FileIO(file.fileno(), "w", closefd=False)
    shared.name = file.name  # for messages
    return io.TextIOWrapper(
        io.BufferedWriter(shared), encoding=stream.encoding, line_buffering=stream.isatty()
    )


def _own_standard_error() -> None:
    """Print by another descriptor than 2, which is muted while a library in C would print to it."""
    try:
        if sys.stderr.fileno() != 2:
            return
    except (OSError, ValueError):  # a stream in memory
        return
    sys.stderr.flush()
    encoding = sys.stderr.encoding
    own = os.dup(2)
    sys.stderr = os.fdopen(own, "w", buffering=1, encoding=encoding, errors="backslashreplace")


def closed_pipe() -> int:
    """The exit code after the reader of standard output has closed it, which is not an error."""
    _redirect_to_null(sys.stdout)
    return 0


def _flush_stdout() -> None:
    """Write what was printed before an error, unless standard output is what failed."""
    try:
        sys.stdout.flush()
    except OSError:
        _redirect_to_null(sys.stdout)


def _redirect_to_null(stream: TextIO) -> None:
    """Discard what a stream still holds, so that Python does not fail to write it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _print_other_error(error: Exception, words: list[str]) -> int:
    """Print an error that is not a ConvcliError; returns the exit code.

    words : the command line
    """
    import typer

    # The base of BadParameter is the UsageError of Click, of which Typer has a copy of its own.
    usage_error: Any = typer.BadParameter.__base__
    if isinstance(error, usage_error):
        return _print_usage_error(error, words)
    if isinstance(error, OSError) and error.errno in _WRITE_ERRORS:
        _redirect_to_null(sys.stdout)
        print_message(f"cannot write standard output: {error.strerror}")
        return OutputError.exit_code
    unexpected = unexpected_error(error)
    print_error(unexpected)
    return unexpected.exit_code


def _command(words: list[str]) -> str:
    """The command of a command line, such as `convcli csv`; `convcli` if it has none."""
    from convcli.cli.app import COMMANDS

    named = [word for word in words[:1] if word in COMMANDS]
    return " ".join(["convcli", *named])


def _print_usage_error(error: Any, words: list[str]) -> int:
    """Print an error of the command line, as Typer words it."""
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help text
        say(message)
    elif type(error).__name__ == "NoSuchOption" and words[:1] == [error.ctx.info_name]:
        from convcli.cli.option_words import Options

        options = Options.of(error.ctx.command, error.ctx)
        print_error(options.unknown(error.option_name, words[1:]))
    else:
        command = _command(words)
        text = message.replace(": Value error, ", ": ")
        for words_of_click, plain in _PLAIN_WORDS.items():
            text = text.replace(words_of_click, plain)
        hint = f"`{command} --help` shows what can be asked"
        if message.startswith("No such command"):
            from convcli.cli.word_order import hint_without_command

            hint = hint_without_command(words) or hint
        print_message(text, hint=hint)
    return int(error.exit_code)


def print_error(error: ConvcliError) -> None:
    """Print an error with its excerpt and its hint."""
    print_message(error.message, hint=error.hint, excerpt=error.excerpt)


def print_message(
    message: str, *, hint: str | None = None, excerpt: tuple[str, ...] = (), kind: str = "error"
) -> None:
    """Print a message to standard error, with control characters made visible.

    hint : what the user can try
    excerpt : lines of the user's own text
    kind : `error`, `warning` or `note`
    """
    from convcli.report.words import visible

    lines = [f"{kind}: {visible(message)}", *(f"  {visible(line)}" for line in excerpt)]
    if hint:
        lines.append(f"hint: {visible(hint)}")
    say("\n".join(lines))


def shows_drawings(stream: TextIO) -> bool:
    """Whether a stream is a terminal that has the characters of drawings."""
    if not stream.isatty():
        return False
    from convcli.report.braille import is_drawable

    return is_drawable(stream.encoding or "utf-8")


def say(text: str) -> None:
    """Print a text to standard error. A run goes on if nobody can read it."""
    try:
        print(text, file=sys.stderr)
    except OSError:
        _redirect_to_null(sys.stderr)
