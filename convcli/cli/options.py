"""The options that several commands share: one spelling and one help text for each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

RULES, FILES, RUN = "What the filter does", "Files", "The run"


def complete_filter(incomplete: str) -> list[str]:
    """Names of steps for the shell, after the last `|`."""
    from convcli.designs import steps

    head, bar, last = incomplete.rpartition("|")
    space = " " if bar and last.startswith(" ") else ""
    return [f"{head}{bar}{space}{name}" for name in steps() if name.startswith(last.strip())]


Filter = Annotated[
    str,
    typer.Argument(
        metavar="FILTER",
        help="Steps split by |, such as 'lowpass:3.4k | downsample:2', or @recipe.conv; `convcli filters` lists all.",
        autocompletion=complete_filter,
        show_default=False,
    ),
]
Inputs = Annotated[
    Optional[list[Path]],  # noqa: UP045 -- Typer reads it at run time
    typer.Argument(metavar="[INPUT]...", help="Files to filter; none or - is standard input.", show_default=False),
]
Output = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "-o",
        "--output",
        metavar="OUTPUT",
        help="A file, or for several inputs a folder (out/) or a template ('out/{stem}_lp{suffix}'; also {parent} "
        "{index}); none or - is standard output.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]
InPlace = Annotated[bool, typer.Option("--in-place", help="Replace the inputs themselves, each when it is complete.")]
Edge = Annotated[
    Literal["shrink", "zero", "edge", "reflect", "symmetric", "wrap", "valid"] | None,
    typer.Option(
        help="What lies outside of the signal.", show_default="shrink for csv, zero for audio, edge for image"
    ),
]
Align = Annotated[
    Literal["center", "causal"] | None,
    typer.Option(
        help="center: delay compensated; causal: an output reads no later sample.",
        show_default="causal for csv, else center",
    ),
]
Missing = Annotated[
    Literal["keep", "fill", "propagate", "error"],
    typer.Option(help="Missing values: stay missing, are estimated, spread, or are an error."),
]
Report = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(metavar="FILE", help="Write the facts of the run to FILE.json, .html or .md.", show_default=False),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and touch nothing.")]
Jobs = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("-j", "--jobs", min=1, help="Inputs filtered at once.", show_default="as many as cores"),
]
Threads = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, help="Threads for one input.", show_default="as many as cores"),
]


class Condition(StrEnum):
    """What `--fail-on` can name; an enumeration, as Typer has no lists of literals."""

    CLIP = "clip"
    MISSING = "missing"
    LOOKAHEAD = "lookahead"


FailOn = Annotated[
    Optional[list[Condition]],  # noqa: UP045
    typer.Option(
        help="Exit with 1 if samples were clipped, values were missing, or the filter looks ahead (then nothing is "
        "run). May be given several times.",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say more: a table of the steps as designed.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback where a defect is met.")]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for, as far as it is the same for sound, tables and pictures."""

    command: str
    filter: str
    inputs: tuple[Path | None, ...]
    output: str | None = None
    force: bool = False
    in_place: bool = False
    edge: str | None = None
    align: str | None = None
    missing: str = "keep"
    suffix: str | None = None
    report: Path | None = None
    dry_run: bool = False
    jobs: int | None = None
    threads: int | None = None
    fail_on: tuple[str, ...] = ()
    quiet: bool = False
    verbose: bool = False

    @staticmethod
    def sources(inputs: list[Path] | None) -> tuple[Path | None, ...]:
        """The inputs as written; None is standard input."""
        return tuple(None if str(path) == "-" else path for path in inputs or [Path("-")])


def examples(*lines: str) -> str:
    """The examples at the end of a command's help, one a line."""
    return "\n\n".join(["Examples:", *(f"\b\n  {line}" for line in lines)])
