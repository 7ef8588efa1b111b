"""Options of `convcli compare`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from convcli.cli import options
from convcli.cli.results import refuse_plot, refuse_report, refuse_shared_places
from convcli.cli.table_arguments import TableArguments, columns_option
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.places import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.media.tables.table_options import TableOptions
    from convcli.previews.preview import PreviewSize


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """Which differences make the run fail."""

    fail_above: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MEASURE=N",
            help="Exit with 1 if a difference is larger: rms, largest, delay, spectrum, unmatched. "
            "May be given several times.",
        ),
    ] = None
    fail_below: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MEASURE=N",
            help="Exit with 1 if a likeness is smaller: snr, correlation, psnr, ssim.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ResultFormat:
    """How the comparison is written to standard output."""

    json: Annotated[bool, typer.Option("--json", help="All measures as JSON.")] = False
    csv: Annotated[bool, typer.Option("--csv", help="All measures as CSV, a row each channel.")] = (
        False
    )

    def check(self) -> None:
        """Raise RequestError if both --json and --csv are given."""
        if self.json and self.csv:
            raise RequestError("--json and --csv contradict each other", hint="choose one")


@dataclass(frozen=True, kw_only=True)
class CompareTable(TableArguments):
    """How tables are read; by default the columns that both have are compared."""

    columns: Annotated[list[str] | None, columns_option("all of numbers that both have")] = None

    def compared_options(self) -> TableOptions:
        """The options with which both tables are opened. RequestError if one cannot be read."""
        options = self.options()
        if self.time is not None:
            # Times are only shown, so they need not be regular.
            options = options.with_irregular_rows()
        return replace(options, columns=replace(options.columns, takes_empty=True))


@dataclass(frozen=True, kw_only=True)
class CompareRun:
    """How inputs are opened, and how the run goes."""

    max_pixels: options.MaxPixels = options.MOST_PIXELS
    strict: options.Strict = False
    force: options.Force = False
    report: options.Report = None
    plot: options.Plot = None
    threads: options.Threads = None
    quiet: options.Quiet = False
    debug: options.Debug = False

    def check_places(self, paths: Sequence[Place | None], *, several: bool) -> None:
        """Refuse a report or a drawing that cannot be written."""
        refuse_report(self.report, paths, force=self.force)
        if self.plot is None:
            return
        if several:
            raise RequestError(
                "--plot draws one comparison", hint="--report FILE.html shows any number of them"
            )
        refuse_plot(self.plot, paths, force=self.force)
        refuse_shared_places({"--report": self.report, "--plot": self.plot})

    def preview_size(self, number: int | None) -> PreviewSize | None:
        """How much is collected of a pair; None where nothing is drawn.

        number : of one of several pairs, counted from 1
        """
        from convcli.report.files import draws

        if self.plot is None and not draws(self.report):
            return None
        from convcli.previews.preview import size_of_input

        return size_of_input(number)
