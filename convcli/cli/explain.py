"""`convcli explain`."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from convcli.cli import options
from convcli.cli.explain_signal import Excerpt, ExplainTable, one_row_of_numbers, read_signal
from convcli.cli.groups import with_option_groups
from convcli.cli.options import examples
from convcli.cli.results import write_result
from convcli.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.checking.continuous import ContinuousFunction
    from convcli.facts.continuous import ContinuousFacts
    from convcli.facts.explanation import ExplanationFacts
    from convcli.facts.properties import PropertyFacts
    from convcli.report.explanation import Line

# A KERNEL that is taps alone: `1,2,1`, `-1,0,1 | stride:2`, `@taps.csv`. Anything else is a FILTER.
_TAPS_ALONE = re.compile(r"\s*(?:[-+.\d]|@[^|]*\.(?:csv|txt|npy)\s*(?:\||$))")


@dataclass(frozen=True, kw_only=True)
class ExplainRules:
    """Edge rule, alignment and rule for missing samples."""

    edge: Annotated[options.EdgeRule, options.edge_option("zero; shrink with -c, as csv")] = None
    align: Annotated[options.Alignment, options.align_option("center; causal with -c, as csv")] = (
        None
    )


@dataclass(frozen=True, kw_only=True)
class ExplainPage:
    """How much of the computation is shown, and in which format."""

    matrix: Annotated[bool, typer.Option("--matrix", help="Show the filter as a matrix too.")] = (
        False
    )
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="Outputs shown of each step; 0 for all.")
    ] = 12
    format: Annotated[
        Literal["text", "json"], typer.Option(help="text, or json with every number.")
    ] = "text"
    symbolic: Annotated[
        bool,
        typer.Option("--symbolic", help="Weights as θ instead of numbers, and how many there are."),
    ] = False
    continuous: Annotated[
        bool,
        typer.Option(
            "--continuous",
            help="SIGNAL and KERNEL are functions of time (pulse, triangle, exp, gauss, step, "
            "ramp, sine, or numbers): the sum for smaller and smaller dt, and the integral.",
        ),
    ] = False
    property: Annotated[
        Literal["shift", "locality", "linearity"] | None,
        typer.Option(
            help="Measure a property on this signal instead: does the result move with the signal, "
            "does it depend on neighbours alone, is that of a sum the sum of the results?",
            show_default=False,
        ),
    ] = None
    debug: options.Debug = False


@with_option_groups
def explain(
    signal: Annotated[
        str,
        typer.Argument(
            metavar="SIGNAL",
            help="Numbers such as 1,2,3,4; rows split by ; and channels by /; @FILE, or - for "
            "standard input; a sound or a picture, of which an excerpt is shown. With -c a table.",
        ),
    ],
    kernel: Annotated[
        str,
        typer.Argument(
            metavar="KERNEL", help="Taps such as 1,2,1, or a FILTER such as 'box:3 | stride:2'."
        ),
    ],
    *,
    correlate: Annotated[
        bool, typer.Option("--correlate", help="Do not flip the taps, as Conv1d does not.")
    ] = False,
    table: ExplainTable,
    excerpt: Excerpt,
    rules: ExplainRules,
    page: ExplainPage,
) -> int:
    """Show a convolution being computed: the kernel under the signal, the products and their sum.

    The numbers are those of the filters themselves. Taps alone are convolved (flipped); --correlate
    leaves them as they are. For two axes the rows are split by ; and shown as blocks.
    """
    from convcli.checking.continuous import explain_integral
    from convcli.checking.explain import explain_filter
    from convcli.checking.properties import measure_property
    from convcli.report.continuous import continuous_lines
    from convcli.report.explanation import explanation_lines
    from convcli.report.properties import property_lines
    from convcli.report.symbolic import symbolic_lines

    facts: ExplanationFacts | PropertyFacts | ContinuousFacts
    if page.continuous:
        facts = explain_integral(_function(signal), _function(kernel))
        _write_page(facts, continuous_lines(facts), page)
        return 0
    text = _filter_text(kernel.strip(), correlate=correlate)
    shown = read_signal(signal, table, excerpt)
    place: Any = {"signal": shown.signal, "edge": rules.edge, "align": rules.align}
    if page.property is not None:
        facts = measure_property(page.property, text, shown.samples, **place)
        lines = property_lines(facts)
    else:
        facts = explain_filter(text, shown.samples, matrix=page.matrix, **place)
        lines = explanation_lines(facts, page.limit)
        if page.symbolic:
            lines = symbolic_lines(facts, page.limit)
    _write_page(facts, lines, page)
    return 0


def _function(text: str) -> ContinuousFunction:
    """A function of time: a name, or numbers."""
    from convcli.checking.continuous import function_named, sampled_function

    if text[:1].isalpha():
        return function_named(text.strip())
    return sampled_function(one_row_of_numbers(text))


def _write_page(facts: Any, lines: Iterable[Line], page: ExplainPage) -> None:
    """Write the page as text, or every number as JSON."""
    from convcli.report.as_json import json_text

    if page.format == "json":
        write_result(json_text(facts))
    else:
        _print_page(lines)


def _filter_text(kernel: str, *, correlate: bool) -> str:
    """Return KERNEL as a FILTER: taps alone become a step."""
    if _TAPS_ALONE.match(kernel):
        step = "correlate" if correlate else "kernel"
        return f"{step}:{kernel}"
    if correlate:
        raise RequestError(
            "--correlate is for taps by themselves", hint="correlate:1,2,1 is a step like others"
        )
    return kernel


def _print_page(lines: Iterable[Line]) -> None:
    """Print the page, with colours if standard output is a terminal."""
    if sys.stdout is not None and sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        console = Console(highlight=False)
        for line in lines:
            console.print(Text.assemble(*line), soft_wrap=True)
        return
    for line in lines:
        print("".join(text for text, _ in line).rstrip())


def register(app: typer.Typer) -> None:
    """Add the command. A SIGNAL or KERNEL that begins with a minus is no option."""
    app.command(
        name="explain",
        context_settings={"ignore_unknown_options": True},
        epilog=examples(
            "convcli explain 1,2,3,4 1,2,1",
            "convcli explain 1,2,3,4,5,6 'box:3 | stride:2' --align causal --edge edge",
            "head -9 prices.csv | convcli explain - 'sma:3 | diff' -c Close",
            "convcli explain '1,2,3;4,5,6;7,8,9' '0,-1,0;-1,5,-1;0,-1,0' --matrix",
            "convcli explain 0,0,0,1,0,0,0,0 'box:3 | max_pool:2' --property shift",
            "convcli explain 1,2,3,4,5 'correlate:1,2 | leaky_relu:0.1' --symbolic",
            "convcli explain hello.wav lowpass:3k,taps=9 --at 0.5s --size 8",
            "convcli explain pulse exp --continuous",
        ),
    )(explain)
