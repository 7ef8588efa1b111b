"""Options that several commands share, with one spelling and one help text each."""

from __future__ import annotations

import re
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from convcli import signals
from convcli.cli import shows_drawings
from convcli.cli.batch_options import BatchOptions
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.places import Place, place_of
from convcli.signals import Align, Edge


def complete_filter(incomplete: str) -> list[str]:
    """Complete the name of a step at the end, and that of a recipe of the user after an @."""
    from convcli.designs import steps
    from convcli.planning.recipe_folder import known_recipes

    begun = re.search(r"(?:^|[\s|(])(@?\w*)$", incomplete)
    if begun is None:
        return []
    word = begun[1]
    head = incomplete[: begun.start(1)]
    known = list(steps())
    if word.startswith("@"):
        known = [f"@{name}" for name in known_recipes()]
    return [head + name for name in known if name.startswith(word)]


filter_argument = typer.Argument(
    metavar="FILTER",
    help="Steps split by |, such as 'gaussian:2 | downsample:2', combined by + - * / between "
    "spaces, such as 'x - gaussian:3' (x is the input), or @recipe.conv; `convcli filters` lists "
    "all.",
    autocompletion=complete_filter,
)
Filter = Annotated[str, filter_argument]
Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[INPUT]...",
        help="Files, folders, quoted patterns ('in/**/*.*') and URLs (s3://bucket/key); none or "
        "- is standard input.",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="OUTPUT",
        help="A file, or for several inputs a folder (out/) or a template "
        "('out/{stem}_lp{suffix}'; also {parent} {relative} {subfolder} {index}); none or - is "
        "standard output.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]


def edge_option(default: str) -> Any:
    """`--edge`, with its default in words."""
    return typer.Option(help="What lies outside of the signal.", show_default=default)


def align_option(default: str) -> Any:
    """`--align`, with its default in words."""
    return typer.Option(
        help="center: delay compensated; causal: an output reads no later sample.",
        show_default=default,
    )


Missing = Annotated[
    signals.Missing | None,
    typer.Option(
        help="Missing values stay missing (keep), are estimated (fill), make every output that "
        "reads them missing (propagate), or are an error.",
        show_default="keep",
    ),
]


def file_option(
    *names: str, help: str, metavar: str = "FILE", show_default: str | bool = True
) -> Any:
    """An option that names a file or an object."""
    return typer.Option(
        *names, parser=place_of, metavar=metavar, help=help, show_default=show_default
    )


Report = Annotated[
    Place | None, file_option(help="Write the facts of the run to FILE.json, .html or .md.")
]
Plot = Annotated[
    Place | None,
    file_option(help="Draw the result into FILE.png, .svg or .pdf; needs convcli[plot]."),
]
# More processes or threads than this are a mistake, and would exhaust most machines.
MOST_JOBS = 1024


def jobs_option(help: str) -> Any:
    """`--jobs`, with what is done at once."""
    return typer.Option(
        "-j", "--jobs", min=1, max=MOST_JOBS, help=help, show_default="as many as cores"
    )


Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads for one input.", show_default="as many as cores"),
]
# Pictures with more pixels than this are not read unless the user says so.
MOST_PIXELS = 10**9
MaxPixels = Annotated[int, typer.Option(min=1, help="Refuse pictures with more pixels.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="A truncated sound is an error, not a warning.")
]


class Condition(StrEnum):
    """Conditions of `--fail-on`; an enumeration because Typer has no lists of literals."""

    CLIP = "clip"
    MISSING = "missing"
    LOOKAHEAD = "lookahead"


Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of a defect of convcli.")]


@dataclass(frozen=True, eq=False, kw_only=True)
class Request:
    """A filter, the files that it is applied to, and where the results go."""

    filter: Filter
    inputs: Inputs = None
    output: Output = None


@dataclass(frozen=True, eq=False, kw_only=True)
class RunOptions:
    """Options of all commands that apply a filter.

    Each command defines `edge` and `align` again, so that its help shows the defaults of its own
    medium.
    """

    edge: Edge | None = None
    align: Align | None = None
    force: Force = False
    in_place: Annotated[
        bool,
        typer.Option("--in-place", help="Replace the inputs themselves, each when it is complete."),
    ] = False
    report: Report = None
    plot: Plot = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and touch nothing.")
    ] = False
    jobs: Annotated[
        int | None, jobs_option("Inputs filtered at once, or parts of one large input.")
    ] = None
    threads: Threads = None
    parts: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Cut one large WAV, uncompressed picture or plain table into N parts, which "
            "--jobs processes filter at once, with the same bytes; 1: do not cut.",
            show_default="with --jobs, by size",
        ),
    ] = None
    batch: BatchOptions = BatchOptions()
    fail_on: Annotated[
        list[Condition] | None,
        typer.Option(
            help="Exit with 1 if samples were clipped, values were or became missing, or the "
            "filter looks ahead (then nothing is run). May be given several times."
        ),
    ] = None
    quiet: Quiet = False
    verbose: Annotated[
        bool,
        typer.Option(
            "-v", "--verbose", help="Print more: a table of the steps as they were designed."
        ),
    ] = False
    debug: Debug = False

    def fails_on(self, condition: Condition) -> bool:
        """Whether the run fails if `condition` holds."""
        return condition in (self.fail_on or ())

    @property
    def draws(self) -> bool:
        """Whether the responses of the steps are drawn or reported."""
        shown = self.verbose and shows_drawings(sys.stderr)
        return shown or self.report is not None or self.plot is not None

    @property
    def prints_design(self) -> bool:
        """Whether the design of the steps is printed or reported."""
        return not self.quiet or self.dry_run or self.report is not None or self.plot is not None


def suffix_of(format: str | None) -> str | None:
    """The suffix of files of a format, for outputs that are named after their inputs."""
    return None if format is None else f".{format.lower()}"


def fraction_of(text: str, option: str, *, most: str, hint: str) -> float:
    """A fraction of 1, such as 0.2 or 20%, up to `most` percent. RequestError for other texts."""
    from convcli.units import UnitError, parse_quantity

    try:
        quantity = parse_quantity(text)
    except UnitError as error:
        raise RequestError(f"{option}: {error}") from None
    part = quantity.value / 100 if quantity.unit == "%" else quantity.value
    fits = 0 <= part < 1 or (part == 1 and most == "100%")
    if quantity.unit not in ("", "%") or not fits:
        raise RequestError(f"{option} expects 0% to {most}, got {text!r}", hint=hint)
    return part
