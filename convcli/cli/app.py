"""The program: its commands and what holds for all of them."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from convcli import __version__

# Each command and the module that adds it, in the order of the help.
COMMANDS = {"audio": "audio", "csv": "table", "image": "image", "filters": "filters"}

app = typer.Typer(
    name="convcli",
    help="Convolution in the shell: filter sound, CSV tables and pictures.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 -- the shape of a Typer callback
    if wanted:
        print(f"convcli {__version__}")
        raise typer.Exit


@app.callback()
def convcli(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Convolution in the shell: filter sound, CSV tables and pictures with one language and one engine.

    Data go to standard output or -o, words to standard error. Exit codes: 0 done, 1 the answer is no, 2 the request is
    wrong, 3 the input is bad, 4 the output cannot be written, 130 interrupted.
    """


def with_commands(words: list[str]) -> typer.Typer:
    """The program with the command that `words` begin with, or with all: what is not asked for costs no time."""
    asked = words[0] if words and words[0] in COMMANDS else None
    for command, module in COMMANDS.items():
        if asked in (None, command):
            import_module(f"convcli.cli.{module}").register(app)
    return app
