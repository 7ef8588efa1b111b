"""The command `convcli explain`: show the windows, products and sums behind each output."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from convcli.cli import options, say
from convcli.cli.explain_request import ExplainPage, ExplainRequest, ExplainRules
from convcli.cli.explain_signal import Excerpt, ExplainTable
from convcli.cli.groups import command
from convcli.cli.results import refuse_plot, refuse_report, refuse_shared_places, write_result
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.places import Place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.cli.explain_request import Explained
    from convcli.report.sample_texts import Line


@dataclass(frozen=True, kw_only=True)
class PageOutput:
    """Where the page goes, and in which format."""

    format: Annotated[
        Literal["text", "json"], typer.Option(help="text, or json with every number.")
    ] = "text"
    report: Annotated[
        Place | None,
        options.file_option(
            help="Write FILE.html, a page on which the kernel moves and numbers can be edited; or "
            ".json, .md.",
        ),
    ] = None
    course: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="Write a lecture on convolution as one such page; SIGNAL and KERNEL are left out.",
        ),
    ] = None
    plot: options.Plot = None
    force: options.Force = False
    debug: options.Debug = False

    def check_places(self) -> None:
        """Refuse a report or a drawing that cannot be written."""
        refuse_plot(self.plot, [], force=self.force)
        refuse_report(self.report, [], force=self.force)
        refuse_shared_places({"--plot": self.plot, "--report": self.report})


@command(
    "explain",
    "convcli explain 1,2,3,4 1,2,1",
    "convcli explain 1,2,3,4,5,6 'box:3 | stride:2' --align causal --edge edge",
    "head -9 prices.csv | convcli explain - 'sma:3 | diff' -c Close",
    "convcli explain '1,2,3;4,5,6;7,8,9' '0,-1,0;-1,5,-1;0,-1,0' --matrix",
    "convcli explain 0,0,0,1,0,0,0,0 'box:3 | max_pool:2' --property shift",
    "convcli explain 1,2,3,4,5 'correlate:1,2 | leaky_relu:0.1' --symbolic",
    "convcli explain hello.wav lowpass:3k,taps=9 --at 0.5s --size 8",
    "convcli explain pulse exp --continuous",
    ignore_unknown_options=True,
)
def explain(
    signal: Annotated[
        str | None,
        typer.Argument(
            metavar="SIGNAL",
            help="Numbers such as 1,2,3,4; rows split by ; and channels by /; @FILE, or - for "
            "standard input; a sound or a picture, of which an excerpt is shown. With -c a table.",
        ),
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Argument(
            metavar="KERNEL", help="Taps such as 1,2,1, or a FILTER such as 'box:3 | stride:2'."
        ),
    ] = None,
    *,
    correlate: Annotated[
        bool, typer.Option("--correlate", help="Do not flip the taps, as in Conv1d of torch.")
    ] = False,
    table: ExplainTable,
    excerpt: Excerpt,
    rules: ExplainRules,
    page: ExplainPage,
    output: PageOutput,
) -> int:
    """Show a convolution being computed: the kernel under the signal, the products and their sum.

    The numbers are those of the filters themselves. Taps alone are convolved (flipped); --correlate
    leaves them as they are. For two axes the rows are split by ; and shown as blocks.
    """
    if output.course is not None:
        _write_course(signal, output.course, force=output.force)
        return 0
    if signal is None or kernel is None:
        from convcli.cli.explain_request import complete_command

        command = complete_command(ExplainRequest(signal=signal or "", kernel="", table=table))
        raise RequestError("expected SIGNAL and KERNEL", hint=f"for example: {command}")
    request = ExplainRequest(
        signal=signal,
        kernel=kernel,
        correlate=correlate,
        table=table,
        excerpt=excerpt,
        rules=rules,
        page=page,
    )
    output.check_places()
    _write_explained(request.explained(), request, output)
    return 0


def _write_explained(explained: Explained, request: ExplainRequest, output: PageOutput) -> None:
    """Write the files that were asked for. JSON is printed also beside them, text without them."""
    if output.plot is not None:
        _plot_explained(explained, request, output.plot)
    if output.report is not None:
        _write_page(explained, request, output.report)
    if output.format == "json":
        from convcli.report.as_json import json_text

        write_result(json_text(explained.facts))
    elif output.plot is None and output.report is None:
        _print_page(explained.lines)


def _write_page(explained: Explained, request: ExplainRequest, report: Place) -> None:
    """Write the answer as a page, as JSON or as Markdown."""
    from convcli.report.files import check_report
    from convcli.report.lesson import explained_text

    suffix = check_report(report)
    text = explained_text(explained.facts, explained.lines, suffix=suffix, words=request.words)
    write_result(text, report)
    say(f"{report} written")


def _plot_explained(explained: Explained, request: ExplainRequest, plot: Place) -> None:
    """Draw the signal, the kernel and the outputs of each stage, or the integral."""
    from convcli.media.replacing import atomic
    from convcli.report.plots import explained_rows_of_figures, write_plot
    from convcli.report.words import visible

    rows = explained_rows_of_figures(explained.facts)
    if not rows:
        raise RequestError(
            "--plot draws stages, integrals and moves, and this is shown in numbers alone",
            hint="leave --plot out",
        )
    write_plot(rows, plot, title=visible(request.kernel), atomic=atomic)
    say(f"{plot} written")


def _write_course(signal: str | None, course: Place, *, force: bool) -> None:
    """Write the lecture as a page of its own."""
    from convcli.cli.course import course_page

    if signal is not None:
        raise RequestError("--course has its own signals", hint="leave SIGNAL and KERNEL out")
    if course.suffix.lower() not in (".html", ".htm"):
        raise RequestError(f"--course writes a page, got {course}", hint="--course lecture.html")
    refuse_report(course, [], force=force)
    write_result(course_page(), course)
    say(f"{course} written")


def _print_page(lines: Iterable[Line]) -> None:
    """Print the page, with colours if standard output is a terminal."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        console = Console(highlight=False)
        for line in lines:
            console.print(Text.assemble(*line), soft_wrap=True)
        return
    for line in lines:
        print("".join(text for text, _ in line).rstrip())
