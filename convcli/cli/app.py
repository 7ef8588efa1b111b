"""The program: its commands, and the options of all of them."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Annotated

import typer

from convcli import __version__

# Each command, the module in cli/ that adds it, and its line in the help of the program.
COMMANDS = {
    "audio": ("audio", "Filter sound files."),
    "csv": ("table", "Filter numeric columns of CSV and TSV files."),
    "image": ("image", "Filter pictures."),
    "detect": ("detect", "Find every place where a template fits."),
    "compare": ("compare", "Measure how two signals differ."),
    "merge": ("merge", "Put the ledgers of several machines together."),
    "learn": ("learn", "Learn a filter from examples."),
    "filters": ("filters", "List every step of FILTER, or show what one of them does."),
    "explain": ("explain", "Show a convolution being computed, step by step."),
}

# The end of the help of the program. Lines that begin with \b are not wrapped.
_FIRST_STEPS = """To begin:

\b
  convcli csv sma:20 prices.csv -c Close --append
  convcli audio 'notch:50,harmonics=8 | mono' talk.wav -o clean.wav
  convcli image median:3 scan.png -o clean.png
  convcli filters                 all steps, and recipes such as macd and rsi
  convcli csv --help              options, with examples
"""


def _show_version(wanted: bool) -> None:  # noqa: FBT001 -- the shape of a Typer callback
    if wanted:
        print(f"convcli {__version__}")
        raise typer.Exit


def convcli(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Convolution in the shell: filter sound, CSV tables and pictures with one language and engine.

    Data go to standard output or -o, words to standard error. Exit codes: 0 done, 1 the answer is
    no, 2 the request is wrong, 3 the input is bad, 4 the output cannot be written, 130 interrupted,
    143 terminated.
    """


def with_commands(words: list[str]) -> typer.Typer:
    """The program with the command that `words` begin with.

    The others are not imported. They are lines in the help of the program, which needs no more of
    them, and are there only where it may be shown.
    """
    app = typer.Typer(
        name="convcli",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=_FIRST_STEPS,
    )
    app.callback()(convcli)
    if words and words[0] in COMMANDS:
        _add(app, words[0])
        return app
    completing = any(name.endswith("_COMPLETE") for name in os.environ)
    for command, (_, summary) in COMMANDS.items():
        if completing:
            _add(app, command)
        else:
            app.command(name=command, help=summary)(_listed)
    return app


def _add(app: typer.Typer, command: str) -> None:
    """Import a command and add it."""
    from convcli.cli.groups import ADD_COMMAND

    module, _ = COMMANDS[command]
    import_module(f"convcli.cli.{module}")
    ADD_COMMAND[command](app)


def _listed() -> None:
    """A placeholder for a command that was not asked for."""
