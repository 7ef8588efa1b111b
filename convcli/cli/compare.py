"""The command `convcli compare`: measure how two signals differ, or the files of two folders."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

import typer

from convcli import __version__
from convcli.cli import options, print_error, print_message
from convcli.cli.compare_pairs import Pairs, pairs_of
from convcli.cli.filter_command import exit_code_of
from convcli.cli.groups import command
from convcli.cli.opening import (
    RowText,
    files_for,
    name_input,
    read_input,
    warnings_after_reading,
)
from convcli.cli.results import (
    given_words,
    refuse_plot,
    refuse_report,
    refuse_shared_places,
    report_runs,
    write_result,
)
from convcli.cli.table_arguments import TableArguments, columns_option, time_option
from convcli.dataclass import dataclass
from convcli.errors import ConvcliError, RequestError, shell_word
from convcli.facts import RunFacts
from convcli.places import Place, input_name, place_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.checking.compare import Limit
    from convcli.checking.signal_comparison import ComparedSignal
    from convcli.cli.opening import Input
    from convcli.facts.batch import UnitFailure
    from convcli.facts.comparison import ChannelComparison, ComparisonFacts
    from convcli.facts.preview import PreviewFacts
    from convcli.media.files import Files, OpenedFile
    from convcli.media.tables.table_options import TableOptions
    from convcli.previews.preview import Preview, PreviewSize


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
    csv: Annotated[
        bool, typer.Option("--csv", help="All measures as CSV, a row for each channel.")
    ] = False

    def check(self) -> None:
        """Raise RequestError if both --json and --csv are given."""
        if self.json and self.csv:
            raise RequestError("--json and --csv contradict each other", hint="choose one")


@dataclass(frozen=True, kw_only=True)
class CompareTable(TableArguments):
    """How tables are read; by default the columns that both have are compared."""

    columns: Annotated[list[str] | None, columns_option("all numeric ones that both have")] = None
    # Refused with a hint: rows are compared with the rows beside them.
    by: Annotated[list[str] | None, typer.Option(hidden=True)] = None
    time: Annotated[str | None, time_option("The largest difference is told with its time.")] = None

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
        from convcli.report.files import draws_signals

        if self.plot is None and not draws_signals(self.report):
            return None
        from convcli.previews.preview import size_of_input

        return size_of_input(number)


@dataclass(kw_only=True)
class Comparing:
    """Opens pairs of files and compares them.

    limits : limits on the measures
    failures : the pairs that could not be compared
    pages_alone : a sentence for each pair of which one file has more pages
    """

    table: TableOptions
    run: CompareRun
    limits: Sequence[Limit] = ()
    failures: list[UnitFailure] = field(default_factory=list)
    pages_alone: list[str] = field(default_factory=list)

    def compare_all(self, pairs: Pairs) -> list[RunFacts]:
        """Compare each pair, page by page.

        If one of several pairs fails, its error is shown and the others go on.

        The first run has the failures, and the files that have no partner.
        """
        runs: list[RunFacts] = []
        several = len(pairs.files) > 1
        for number, (path_a, path_b) in enumerate(pairs.files, 1):
            earlier = len(runs) if several else None
            try:
                found = self._compare_pair(path_a, path_b, earlier)
            except ConvcliError as error:
                if not several:
                    raise
                name_a = input_name(path_a)
                failed = name_a if name_a in error.message else input_name(path_b)
                self._note_failure(number, failed, error)
                continue
            runs += found
            for facts in found:
                self._print(facts.warnings)
        self._print(pairs.alone_texts)
        if runs:
            alone = tuple(map(str, pairs.alone))
            runs[0] = replace(runs[0], failures=tuple(self.failures), alone=alone)
        return runs

    @property
    def worst(self) -> int:
        """The worst exit code of the pairs that could not be compared."""
        return max((each.exit_code for each in self.failures), default=0)

    def _note_failure(self, number: int, name: str, error: ConvcliError) -> None:
        from convcli.facts.batch import UnitFailure

        named = name_input(error, name)
        print_error(named)
        self.failures.append(
            UnitFailure(unit=number, path=name, message=named.message, exit_code=error.exit_code)
        )

    def _print(self, warnings: Sequence[str]) -> None:
        if not self.run.quiet:
            for text in warnings:
                print_message(text, kind="warning")

    def _compare_pair(
        self, path_a: Place | None, path_b: Place | None, earlier: int | None
    ) -> list[RunFacts]:
        """Compare two files, page by page.

        earlier : how many comparisons there were before; None of a single pair
        """
        runs: list[RunFacts] = []
        with ExitStack() as held:
            file_a = self._opened(path_a, path_b, held)
            file_b = self._opened(path_b, path_a, held)
            pages_a, pages_b = file_a.pages, file_b.pages
            pages = list(zip(pages_a, pages_b, strict=False))
            is_single = earlier is None and len(pages) == 1
            first = 1 if earlier is None else earlier + 1
            for place, (a, b) in enumerate(pages, first):
                number = None if is_single else place
                runs.append(self._compare_pages(a, b, number))
            warnings = [*file_a.warnings, *file_b.warnings, *self._pages_alone(pages_a, pages_b)]
        runs[0] = replace(runs[0], warnings=(*warnings, *runs[0].warnings))
        return runs

    def _pages_alone(
        self, pages_a: Sequence[ComparedSignal], pages_b: Sequence[ComparedSignal]
    ) -> list[str]:
        """A sentence about the file that has more pages, if one has; it is noted."""
        fewer, more = sorted((pages_a, pages_b), key=len)
        if len(fewer) == len(more):
            return []
        text = (
            f"{more[0].name} has {len(more)} pages and {fewer[0].name} {len(fewer)}: "
            f"those after page {len(fewer)} are in one of the two alone"
        )
        self.pages_alone.append(text)
        return [text]

    def _compare_pages(self, a: ComparedSignal, b: ComparedSignal, number: int | None) -> RunFacts:
        """Compare two signals.

        number : of one of several comparisons, from 1
        """
        started = time.perf_counter()
        facts, drawn = self._compared(a, b, self.run.preview_size(number))
        return RunFacts(
            version=__version__,
            filter="",
            command=given_words(),
            inputs=(facts.a, facts.b),
            comparison=facts,
            preview=drawn,
            warnings=facts.remarks,
            seconds=time.perf_counter() - started,
        )

    def _compared(
        self, a: ComparedSignal, b: ComparedSignal, size: PreviewSize | None
    ) -> tuple[ComparisonFacts, PreviewFacts | None]:
        """How two signals differ, and what is drawn of them."""
        from convcli.checking.compare import compare_signals, refuse_limits

        times = None
        if self.table.times.column is not None:
            times = _TimeOfRow(a.source, self.table.times.column)
        refuse_limits(self.limits, a.signal)
        previews = []
        if size is not None:
            previews = [_preview_of(a, size), _preview_of(b, size)]
            a, b = _observed(a, previews[0]), _observed(b, previews[1])
        facts = compare_signals(a, b, threads=self.run.threads)
        if times is not None:
            facts = replace(facts, channels=tuple(map(times.added_to, facts.channels)))
        drawn = None
        if previews:
            drawn = previews[0].compared_with(previews[1])
        return facts, drawn

    def _opened(self, path: Place | None, other: Place | None, held: ExitStack) -> _ComparedFile:
        """Open one of a pair; standard input is of the same kind as the other."""
        files: Files = files_for(
            [path or other],
            self.table,
            max_pixels=self.run.max_pixels,
            strict=self.run.strict,
        )
        # The text of the time column is read again.
        twice = self.table.times.column is not None
        example = f"convcli compare {shell_word(other)} -"
        given = read_input(path, held, twice=twice, example=example)
        opened = held.enter_context(given.opened(files))
        return _ComparedFile(given, opened)


@dataclass(frozen=True, eq=False)
class _ComparedFile:
    """One file of a pair, which is open."""

    given: Input
    opened: OpenedFile

    @cached_property
    def pages(self) -> list[ComparedSignal]:
        """The pages of a picture; sound and tables have one, without a number."""
        from convcli.checking.signal_comparison import ComparedSignal

        name, sources = self.given.name, self.opened.sources
        if len(sources) == 1:
            return [ComparedSignal(name, sources[0])]
        return [ComparedSignal(name, source, page) for page, source in enumerate(sources, 1)]

    @property
    def warnings(self) -> list[str]:
        """What is odd about the file, after it was read."""
        return warnings_after_reading(self.given, self.opened)


def _preview_of(side: ComparedSignal, size: PreviewSize) -> Preview:
    from convcli.previews.observe import preview_of

    return preview_of(side.signal, side.signal, size)


def _observed(side: ComparedSignal, preview: Preview) -> ComparedSignal:
    """One of a pair, which is drawn while it is read."""
    from convcli.previews.observe import ObservedSource

    return replace(side, source=ObservedSource(side.source, preview))


class _TimeOfRow(RowText):
    """The time column of a table, as text."""

    def added_to(self, row: ChannelComparison) -> ChannelComparison:
        """The comparison of a channel with the time of its largest difference."""
        if row.at is None:
            return row
        return replace(row, time=self._recent.text_at(self._column, row.at[0]))


@command(
    "compare",
    "convcli compare talk.wav out.wav",
    "convcli compare cat.png out.png --fail-below ssim=0.98",
    "convcli compare expected/ out/ --fail-above rms=1e-3 --csv > differences.csv",
    "convcli csv sma:3 vix.csv | convcli compare vix.csv - -c close --json",
    "convcli compare clean.wav out.wav --report difference.html",
)
def compare(
    a: Annotated[
        Place,
        typer.Argument(parser=place_of, metavar="A", help="The reference: a file, a folder or -."),
    ],
    b: Annotated[
        Place, typer.Argument(parser=place_of, metavar="B", help="What is compared with it.")
    ],
    *,
    limits: LimitOptions,
    format: ResultFormat,
    table: CompareTable,
    run: CompareRun,
) -> int:
    """Measure how two signals of a kind differ, or all files that two folders have in common.

    RMS and largest difference with its place, SNR, correlation, the delay of B (found between
    samples) and the difference of the spectra; PSNR and SSIM of pictures; each column of a table by
    itself. Pictures of several pages are compared page by page. Colours are compared as they are
    seen over black, times their opacity. Two missing values are equal. The SNR of equal signals is
    infinite (null in JSON). With a limit, samples that only one of the two has make the run fail
    too, unless --fail-above unmatched=N allows them. Exit code 1 if a limit is broken.
    """
    from convcli.checking.compare import broken_limits, parse_limits

    asked = parse_limits(limits.fail_above or (), limits.fail_below or ())
    format.check()
    if table.by:
        raise RequestError(
            "--by is not needed: rows are compared with the rows beside them",
            hint="leave --by out; -c names the columns that are compared",
        )
    pairs = pairs_of(a, b)
    run.check_places([*pairs.paths()], several=pairs.of_folders)
    comparing = Comparing(table=table.compared_options(), run=run, limits=asked)
    runs = comparing.compare_all(pairs)
    # Files come first: the reader of standard output may close it early.
    if runs:
        _draw_comparisons(runs, run)
    _write_comparisons(runs, format)
    broken = []
    for each in runs:
        if each.comparison is not None:
            broken += list(broken_limits(each.comparison, asked))
    if asked:
        broken += [*pairs.alone_texts, *comparing.pages_alone]
    return max(comparing.worst, exit_code_of(broken))


def _write_comparisons(runs: Sequence[RunFacts], format: ResultFormat) -> None:
    """Write the comparisons to standard output."""
    from convcli.report.as_csv import comparisons_csv
    from convcli.report.as_json import comparisons_json
    from convcli.report.comparison import comparison_lines

    found = [run.comparison for run in runs if run.comparison is not None]
    if not found:
        return
    if format.json:
        write_result(comparisons_json(runs))
    elif format.csv:
        write_result(comparisons_csv(found))
    else:
        write_result("".join(f"{line}\n" for line in comparison_lines(found)))


def _draw_comparisons(runs: Sequence[RunFacts], run: CompareRun) -> None:
    """Write the report and the drawing that were asked for."""
    report_runs(runs, run.report)
    if run.plot is not None:
        from convcli.media.replacing import atomic
        from convcli.report.plots import run_rows_of_figures, write_plot
        from convcli.report.words import run_title, title_of

        rows = [row for each in runs for row in run_rows_of_figures(each)]
        title = run_title(runs[0])
        if len(runs) > 1:
            title = title_of([one.path for each in runs for one in each.inputs])
        write_plot(rows, run.plot, title=title, atomic=atomic, empty="no samples to compare")
