"""Options of `convcli detect`: what is searched for, and where the hits go."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from convcli.cli import options
from convcli.cli.batch_options import WorkOptions
from convcli.cli.table_arguments import TableArguments, columns_option, time_option
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.places import Place

# Suffixes of files that hits are written to; without one they are CSV.
HIT_SUFFIXES = ("", ".csv", ".txt", ".json")


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What is searched for, and which hits count."""

    more_templates: Annotated[
        list[Place] | None,
        options.file_option(
            "-t", "--template", help="A further template; may be given several times."
        ),
    ] = None
    threshold: Annotated[
        float, typer.Option(help="The lowest score that counts, above 0 and at most 1.")
    ] = 0.7
    top: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Only the best K of all.", show_default="all"),
    ] = None
    overlap: Annotated[
        str,
        typer.Option(
            metavar="PART", help="How much of a place a better one may cover: 50% or 0.5."
        ),
    ] = "0%"

    def check(self) -> None:
        """Refuse a threshold that no score can reach, or that every score reaches."""
        if not 0 < self.threshold <= 1:
            raise RequestError(
                f"--threshold expects a number above 0 and at most 1, got {self.threshold}"
            )

    @property
    def overlap_part(self) -> float:
        """The overlap as a fraction between 0 and 1."""
        hint = "0%: no two hits share a sample"
        return options.fraction_of(self.overlap, "--overlap", most="100%", hint=hint)


@dataclass(frozen=True, kw_only=True)
class HitOptions:
    """Where the hits are written, and in which format."""

    output: Annotated[
        Place | None,
        options.file_option(
            "-o",
            "--output",
            help="Write the places to a file.",
            show_default="standard output",
        ),
    ] = None
    format: Annotated[
        Literal["csv", "json"] | None,
        typer.Option(
            help="csv, or json with the facts of the run.",
            show_default="by the suffix of -o, else csv",
        ),
    ] = None
    mark: Annotated[
        Place | None,
        options.file_option(
            "--mark",
            "--plot",
            help="Draw the inputs with the places into FILE.png, .svg or .pdf; needs "
            "convcli[plot].",
        ),
    ] = None

    def check(self) -> None:
        """Refuse a file name that promises another format than is written."""
        if self.output is None:
            return
        from convcli.media.files import format_contradiction
        from convcli.media.replacing import is_special
        from convcli.media.tables.compression import without_compression

        suffix = without_compression(self.output).suffix.lower()
        if self.format is not None:
            if suffix in HIT_SUFFIXES[1:] and (suffix == ".json") != self.as_json:
                raise format_contradiction(self.format, self.output)
            return
        if suffix not in HIT_SUFFIXES and not is_special(self.output):
            raise RequestError(
                f"the suffix {suffix} of {self.output} is of no format that hits are written in",
                hint="CSV (.csv, .txt) and JSON (.json) are; --format names one of them",
            )

    @property
    def as_json(self) -> bool:
        """Whether the hits are written as JSON."""
        if self.format is not None:
            return self.format == "json"
        if self.output is None:
            return False
        from convcli.media.tables.compression import without_compression

        return without_compression(self.output).suffix.lower() == ".json"


@dataclass(frozen=True, kw_only=True)
class DetectRun:
    """How inputs are opened, and how the run goes."""

    max_pixels: options.MaxPixels = options.MOST_PIXELS
    strict: options.Strict = False
    batch: WorkOptions = WorkOptions()
    force: options.Force = False
    report: options.Report = None
    jobs: Annotated[int | None, options.jobs_option("Inputs searched at once.")] = None
    threads: options.Threads = None
    quiet: options.Quiet = False
    debug: options.Debug = False


@dataclass(frozen=True, kw_only=True)
class TemplateTable(TableArguments):
    """How tables are read; by default the columns of the template are searched."""

    columns: Annotated[
        list[str] | None,
        columns_option("those of the template"),
    ] = None
    time: Annotated[str | None, time_option("Places are told with their times.")] = None
