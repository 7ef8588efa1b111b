"""What `convcli explain` is asked for, and the facts and the lines that answer it."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from convcli.cli import options
from convcli.cli.explain_signal import Excerpt, ExplainTable, one_row_of_numbers, read_signal
from convcli.dataclass import dataclass
from convcli.errors import ConvcliError, RequestError
from convcli.signals import Align, Edge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from convcli.checking.continuous import ContinuousFunction
    from convcli.facts.explanation import ContinuousFacts, ExplanationFacts
    from convcli.facts.properties import PropertyFacts
    from convcli.media.tables.table_options import TableOptions
    from convcli.planning.plan import Plan
    from convcli.report.sample_texts import Line
    from convcli.signals import Array

# A KERNEL that is taps alone: `1,2,1`, `-1,0,1 | stride:2`, `@taps.csv`. Anything else is a FILTER.
_TAPS_ALONE = re.compile(r"\s*(?:[-+.\d]|@[^|]*\.(?:csv|txt|npy)\s*(?:\||$))")


@dataclass(frozen=True, kw_only=True)
class ExplainRules:
    """Edge rule, alignment and rule for missing samples."""

    edge: Annotated[Edge | None, options.edge_option("zero; shrink with -c, as csv")] = None
    align: Annotated[Align | None, options.align_option("center; causal with -c, as csv")] = None


@dataclass(frozen=True, kw_only=True)
class ExplainPage:
    """How much of the computation is shown, and in which format."""

    matrix: Annotated[bool, typer.Option("--matrix", help="Show the filter as a matrix too.")] = (
        False
    )
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="Outputs shown of each step; 0 for all.")
    ] = 12
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
            "does it depend on neighbours alone, is that of a sum the sum of the results?"
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Explained:
    """The answer: facts, and the lines of the page.

    explanation : the facts where they are stages of a filter, else None
    """

    facts: ExplanationFacts | PropertyFacts | ContinuousFacts
    lines: Iterable[Line]
    explanation: ExplanationFacts | None = None


@dataclass(frozen=True, kw_only=True)
class ExplainRequest:
    """A signal, a kernel, and what is to be shown of their convolution."""

    signal: str
    kernel: str
    correlate: bool = False
    table: ExplainTable = field(default_factory=ExplainTable)
    excerpt: Excerpt = field(default_factory=Excerpt)
    rules: ExplainRules = field(default_factory=ExplainRules)
    page: ExplainPage = field(default_factory=ExplainPage)

    @property
    def words(self) -> list[str]:
        """The words of the command line of this request."""
        words = ["convcli", "explain", self.signal, self.kernel]
        if self.correlate:
            words.append("--correlate")
        for group in (self.table, self.excerpt, self.rules, self.page):
            words += _words_of(group)
        return words

    @property
    def command(self) -> str:
        """The command line of this request, which can be pasted."""
        from convcli.report.words import command_text

        return command_text(self.words)

    def with_column(self) -> str:
        """The command line of this request with the last numeric column of the table."""
        name = self.signal.strip().removeprefix("@")
        column = last_column(name, self.table.table_options())
        table = replace(self.table, columns=[column])
        return replace(self, signal=name, table=table).command

    def explained(self) -> Explained:
        """Compute what is asked for. RequestError or InputError where it cannot be."""
        self._check_page()
        if self.page.continuous:
            return self._integral()
        from convcli.checking.explain import small_plan

        text = _filter_text(self.kernel.strip(), correlate=self.correlate)
        shown = read_signal(self.signal, self.table, self.excerpt, self.with_column)
        plan, samples = small_plan(
            text,
            shown.samples,
            signal=shown.signal,
            edge=self.rules.edge,
            align=self.rules.align,
        )
        if self.page.property is not None:
            return _measured_property(self.page.property, plan, samples)
        return self._stages(plan, samples)

    def _check_page(self) -> None:
        """Refuse options that would have no effect on the page."""
        page = self.page
        pages = {
            "--continuous": page.continuous,
            "--property": page.property is not None,
            "--symbolic": page.symbolic,
            "--matrix": page.matrix,
        }
        asked = [name for name, chosen in pages.items() if chosen]
        if len(asked) > 1:
            message = f"{asked[0]} and {asked[1]} are pages of their own"
            raise RequestError(message, hint="ask for one of them")
        if not page.continuous:
            return
        unused = ["--correlate"] if self.correlate else []
        for group in (self.table, self.excerpt, self.rules):
            unused += [word for word in _words_of(group) if word.startswith("-")]
        if unused:
            message = f"--continuous takes functions of time; {unused[0]} has no effect on them"
            raise RequestError(message, hint=f"leave {unused[0]} out")

    def _integral(self) -> Explained:
        from convcli.checking.continuous import explain_integral
        from convcli.report.continuous import continuous_lines

        facts = explain_integral(_function(self.signal), _function(self.kernel))
        return Explained(facts=facts, lines=continuous_lines(facts))

    def _stages(self, plan: Plan, samples: Array) -> Explained:
        from convcli.checking.explain import explain_filter
        from convcli.report.explanation import explanation_lines
        from convcli.report.symbolic import symbolic_lines

        facts = explain_filter(plan, samples, matrix=self.page.matrix)
        render: Callable[..., Iterable[Line]] = explanation_lines
        if self.page.symbolic:
            render = symbolic_lines
        return Explained(facts=facts, lines=render(facts, self.page.limit), explanation=facts)


def _measured_property(name: str, plan: Plan, samples: Array) -> Explained:
    from convcli.checking.properties import measure_property
    from convcli.report.properties import property_lines

    facts = measure_property(name, plan, samples)
    return Explained(facts=facts, lines=property_lines(facts))


def _words_of(group: Any) -> list[str]:
    """The options of a group that differ from their defaults, as words."""
    words: list[str] = []
    for each in fields(group):
        value = vars(group)[each.name]
        if is_dataclass(value):
            words += _words_of(value)
            continue
        if value == each.default:
            continue
        name = f"--{each.name.replace('_', '-')}"
        if each.name == "columns":
            words += ["-c", ",".join(value)]
        elif isinstance(value, list):
            for word in value:
                words += [name, word]
        elif value is True:
            words.append(name)
        else:
            words += [name, str(value)]
    return words


def _function(text: str) -> ContinuousFunction:
    """A function of time: a name, or numbers."""
    from convcli.checking.continuous import function_named, sampled_function

    if text[:1].isalpha():
        return function_named(text.strip())
    return sampled_function(one_row_of_numbers(text))


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


def complete_command(request: ExplainRequest) -> str:
    """The command for a SIGNAL without a KERNEL, or for a FILTER in its place.

    request : its signal is empty if nothing was given
    """
    from convcli.checking.continuous import FUNCTIONS
    from convcli.cli.explain_signal import opened_without_column
    from convcli.places import is_file

    signal = request.signal
    if not signal:
        return replace(request, signal="1,2,3,4", kernel="1,2,1").command
    if signal in FUNCTIONS:
        page = replace(request.page, continuous=True)
        return replace(request, kernel="exp", page=page).command
    if is_file(signal.removeprefix("@")):
        filtered = replace(request, kernel="box:3")
        return filtered.command if opened_without_column(signal) else filtered.with_column()
    if _is_filter(signal):
        return replace(request, signal="1,2,3,4", kernel=signal).command
    return replace(request, kernel="1,2,1").command


def _is_filter(text: str) -> bool:
    """Whether a text can be read as a FILTER."""
    from convcli.designs import is_step
    from convcli.planning.grammar import parse

    try:
        return all(is_step(call.name) for call in parse(text))
    except ConvcliError:
        return False


def last_column(name: str, options: TableOptions) -> str:
    """The last column of numbers of a table, as -c takes it; a word in its place if it has none."""
    from convcli.cli.opening import read_input
    from convcli.media.tables.columns import as_asked
    from convcli.media.tables.files import TableFiles

    if name == "-":
        return "COLUMN"
    try:
        with ExitStack() as held:
            given = read_input(Path(name).expanduser(), held)
            opened = held.enter_context(given.opened(TableFiles(options=options)))
            return as_asked(opened.sources[0].signal.channels[-1])
    except (ConvcliError, IndexError):
        return "COLUMN"
