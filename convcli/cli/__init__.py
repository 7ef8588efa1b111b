"""The command line. `main` is the one place that prints errors and sets exit codes."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from convcli.errors import ConvcliError

if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = 130
DEFECT = 70


def main(arguments: list[str] | None = None) -> int:
    """Run the program; returns the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    _let_signals_clean_up()
    from convcli.cli.app import with_commands

    try:
        code = with_commands(words)(args=words, prog_name="convcli", standalone_mode=False)
        sys.stdout.flush()
    except Stopped as stop:
        return stop.code
    except BrokenPipeError:
        return closed_pipe()
    except ConvcliError as error:
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


def closed_pipe() -> int:
    """Whoever read our output has enough: no error. Standard output is not flushed again when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _other(error: Any) -> int:
    """Errors of the command line, which Typer raises with a text of their own, and defects."""
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
        print(error.format_message(), file=sys.stderr)
        return int(error.exit_code)
    if hasattr(error, "format_message"):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "convcli"
        tell(error.format_message(), hint=f"`{command} --help` shows what can be asked")
        return int(error.exit_code)
    if isinstance(error, MemoryError):
        tell("not enough memory for this", hint="--threads 1 and a chain with a shorter reach need less")
        return 3
    tell(f"unexpected {type(error).__name__}: {error}", hint="this is a defect of convcli; --debug shows where")
    return DEFECT


def tell_error(error: ConvcliError) -> None:
    """An error with its excerpt and its hint."""
    tell(error.message, hint=error.hint, excerpt=error.excerpt)


def tell(message: str, *, hint: str | None = None, excerpt: tuple[str, ...] = (), kind: str = "error") -> None:
    """An `error:` or `warning:` on standard error, and what to try; control characters are made visible."""
    from convcli.report.words import visible

    lines = [f"{kind}: {visible(message)}", *(f"  {visible(line)}" for line in excerpt)]
    if hint:
        lines.append(f"hint: {visible(hint)}")
    print(*lines, sep="\n", file=sys.stderr)
