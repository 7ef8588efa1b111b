"""The command `convcli compare`: measure how two signals differ, or the files of two folders."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convcli import __version__
from convcli.cli import options, print_error, print_message
from convcli.cli.filter_command import exit_code_of
from convcli.cli.groups import with_option_groups
from convcli.cli.opening import files_for, first_page, input_name, name_input, read_input
from convcli.cli.options import TableArguments, columns_option, examples
from convcli.cli.results import (
    given_words,
    refuse_plot,
    refuse_report,
    refuse_shared_places,
    write_result,
)
from convcli.dataclass import dataclass
from convcli.errors import ConvcliError, InputError, RequestError
from convcli.facts import RunFacts
from convcli.places import Place, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.checking.compare import ComparedSignal
    from convcli.checking.limits import Limit
    from convcli.facts.comparison import ChannelComparison
    from convcli.media.files import Files
    from convcli.media.tables.table_options import TableOptions
    from convcli.previews.observe import Preview, PreviewSize


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """Which differences make the run fail."""

    fail_above: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MEASURE=N",
            help="Exit with 1 if a difference is larger: rms, largest, delay, spectrum, unmatched. "
            "May be given several times.",
            show_default=False,
        ),
    ] = None
    fail_below: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MEASURE=N",
            help="Exit with 1 if a likeness is smaller: snr, correlation, psnr, ssim.",
            show_default=False,
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


@dataclass(frozen=True, kw_only=True)
class CompareRun:
    """How inputs are opened, and how the run goes."""

    max_pixels: Annotated[int, typer.Option(min=1, help="Refuse pictures with more pixels.")] = (
        10**9
    )
    strict: Annotated[
        bool, typer.Option("--strict", help="A truncated sound is an error, not a warning.")
    ] = False
    force: options.Force = False
    report: options.Report = None
    plot: options.Plot = None
    threads: options.Threads = None
    quiet: options.Quiet = False
    debug: options.Debug = False

    def check_places(self, paths: Sequence[Place | None], *, several: bool) -> None:
        """Refuse a report or a drawing that cannot be written."""
        if self.report is not None:
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
        from convcli.previews.observe import size_of_input

        return size_of_input(number)


@with_option_groups
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
    itself. Two missing values are equal. The SNR of equal signals is infinite (null in JSON). With
    a limit, samples that only one of the two has make the run fail too, unless --fail-above
    unmatched=N allows them. Exit code 1 if a limit is broken.
    """
    from convcli.checking.limits import broken_limits, parse_limits

    asked = parse_limits(limits.fail_above or (), limits.fail_below or ())
    format.check()
    if table.by:
        raise RequestError("--by is not needed: rows are compared with the rows beside them")
    pairs = _pairs(a, b)
    run.check_places([*pairs.paths()], several=pairs.of_folders)
    # Times are only shown, so they need not be regular.
    opened = table.options()
    if table.time is not None:
        opened = opened.with_irregular_rows()
    opened = replace(opened, columns=replace(opened.columns, takes_empty=True))
    comparing = Comparing(table=opened, run=run, limits=asked)
    runs = comparing.compare_all(pairs)
    # Files come first: the reader of standard output may close it early.
    if runs:
        _draw_comparisons(runs, run)
    _write_comparisons(runs, pairs, format)
    broken = []
    for each in runs:
        if each.comparison is not None:
            broken += list(broken_limits(each.comparison, asked))
    if asked:
        broken += [f"{path} is in one of the folders alone" for path in pairs.alone]
    return max(comparing.worst, exit_code_of(broken))


# ------------------------------------------------------------------------------------------- inputs


@dataclass(frozen=True)
class _Pairs:
    """What is compared with what; None is standard input.

    alone : files that one of two folders has and the other has not
    of_folders : whether two folders are compared
    """

    files: list[tuple[Place | None, Place | None]]
    alone: list[Path] = field(default_factory=list)
    of_folders: bool = False

    def paths(self) -> Iterator[Place | None]:
        for pair in self.files:
            yield from pair


def _pairs(a: Place, b: Place) -> _Pairs:
    """The two files, or the files of two folders that have the same name."""
    from convcli.media.inputs import local_folder

    folder_a = local_folder(a)
    folder_b = local_folder(b)
    if folder_a is not None and folder_b is not None:
        return _pairs_of_folders(folder_a, folder_b)
    folder = folder_a or folder_b
    if folder is not None:
        other = b if folder_b is None else a
        raise _not_a_folder(folder, other)
    paths = [None if str(path) == "-" else path for path in (a, b)]
    if paths == [None, None]:
        raise RequestError("standard input can be read only once", hint="name one of the files")
    return _Pairs([(paths[0], paths[1])])


def _not_a_folder(folder: Path, other: Place) -> ConvcliError:
    """The error for a folder that is compared with something else, or with nothing."""
    from convcli.media.inputs import similar_name
    from convcli.places import local_path

    path = local_path(other)
    if path is not None and str(path) != "-" and not os.path.lexists(path):
        message = f"{path} does not exist; {folder} is a folder, to be compared with another"
        return InputError(message, hint=similar_name(path))
    if path is not None and str(path) == "-":
        return RequestError(f"{folder} is a folder, and standard input holds one file")
    return RequestError(
        f"{folder} is a folder and {other} is a file",
        hint=f"name the file in the folder: {folder / other.name}",
    )


def _pairs_of_folders(a: Path, b: Path) -> _Pairs:
    """The files at the same place in both, with another suffix if no other has their stem."""
    in_a = _signals_below(a)
    in_b = _signals_below(b)
    stems_a = _unique_stems(in_a)
    stems_b = _unique_stems(in_b)
    pairs: list[tuple[Place | None, Place | None]] = []
    matched: set[Path] = set()
    for place, path in in_a.items():
        other = in_b.get(place)
        stem = place.with_suffix("")
        if other is None and stems_a.get(stem) == path:
            other = stems_b.get(stem)
        if other is not None:
            pairs.append((path, other))
            matched |= {path, other}
    alone = [path for path in (*in_a.values(), *in_b.values()) if path not in matched]
    if not pairs:
        raise RequestError(
            f"{a} and {b} have no file in common",
            hint="sounds, tables and pictures at the same place in both folders are compared",
        )
    return _Pairs(pairs, alone, of_folders=True)


def _signals_below(folder: Path) -> dict[Path, Path]:
    """The sounds, tables and pictures in a folder and those below it, by their place in it."""
    from convcli.batch.listing import files_below
    from convcli.media.audio.files import AudioFiles
    from convcli.media.images.files import ImageFiles
    from convcli.media.tables.files import TableFiles

    kinds = (AudioFiles, ImageFiles, TableFiles)
    found = {}
    for name in sorted(files_below(f"{folder}/", recursive=True)):
        path = Path(name)
        if any(kind.has_suffix(path) for kind in kinds):
            found[path.relative_to(folder)] = path
    return found


def _unique_stems(files: dict[Path, Path]) -> dict[Path, Path]:
    """The files by their place without the suffix; places of several files are left out."""
    places: dict[Path, list[Path]] = {}
    for place, path in files.items():
        places.setdefault(place.with_suffix(""), []).append(path)
    return {stem: paths[0] for stem, paths in places.items() if len(paths) == 1}


# -------------------------------------------------------------------------------------- comparisons


@dataclass(kw_only=True)
class Comparing:
    """Opens pairs of files and compares them.

    limits : limits on the measures
    worst : the worst exit code of the pairs that could not be compared
    """

    table: TableOptions
    run: CompareRun
    limits: Sequence[Limit] = ()
    worst: int = 0

    def compare_all(self, pairs: _Pairs) -> list[RunFacts]:
        """Compare each pair. If one of several fails, its error is shown and the others go on."""
        runs = []
        several = len(pairs.files) > 1
        for number, (path_a, path_b) in enumerate(pairs.files, 1):
            size = self.run.preview_size(number if several else None)
            try:
                facts = self._compare_pair(path_a, path_b, size)
            except ConvcliError as error:
                if not several:
                    raise
                print_error(name_input(error, input_name(path_b)))
                self.worst = max(self.worst, error.exit_code)
                continue
            runs.append(facts)
            self._print(facts.warnings)
        self._print([f"{path} is in one of the folders alone" for path in pairs.alone])
        return runs

    def _print(self, warnings: Sequence[str]) -> None:
        if not self.run.quiet:
            for text in warnings:
                print_message(text, kind="warning")

    def _compare_pair(
        self, path_a: Place | None, path_b: Place | None, size: PreviewSize | None
    ) -> RunFacts:
        from convcli.checking.compare import compare_signals
        from convcli.checking.limits import refuse_limits

        started = time.perf_counter()
        with ExitStack() as held:
            sides = []
            warnings: list[str] = []
            for path, other in ((path_a, path_b), (path_b, path_a)):
                sides.append(self._opened(path, other, held, warnings))
            times = None
            if self.table.times.column is not None:
                times = RowText(sides[0].source, self.table.times.column)
            refuse_limits(self.limits, sides[0].signal)
            previews = []
            if size is not None:
                previews = [_preview_of(side, size) for side in sides]
                pairs = zip(sides, previews, strict=True)
                sides = [_observed(side, preview) for side, preview in pairs]
            facts = compare_signals(*sides, threads=self.run.threads)
            if times is not None:
                facts = replace(facts, channels=tuple(map(times.added_to, facts.channels)))
        return RunFacts(
            version=__version__,
            filter="",
            command=given_words(),
            inputs=(facts.a, facts.b),
            comparison=facts,
            preview=previews[0].compared_with(previews[1]) if previews else None,
            warnings=(*warnings, *facts.remarks),
            seconds=time.perf_counter() - started,
        )

    def _opened(
        self, path: Place | None, other: Place | None, held: ExitStack, warnings: list[str]
    ) -> ComparedSignal:
        """Open one of a pair; standard input is of the same kind as the other."""
        from convcli.checking.compare import ComparedSignal

        files: Files = files_for(
            [path or other],
            self.table,
            max_pixels=self.run.max_pixels,
            strict=self.run.strict,
        )
        # The text of the time column is read again.
        twice = self.table.times.column is not None
        given = read_input(path, held, twice=twice, example=f"convcli compare {other} -")
        opened = held.enter_context(given.opened(files))
        source, own = first_page(opened, given.name, "compared")
        warnings += [given.message(text) for text in own]
        return ComparedSignal(given.name, source)


def _preview_of(side: ComparedSignal, size: PreviewSize) -> Preview:
    from convcli.previews.observe import preview_of

    return preview_of(side.signal, side.signal, size)


def _observed(side: ComparedSignal, preview: Preview) -> ComparedSignal:
    """One of a pair, which is drawn while it is read."""
    from convcli.previews.observe import ObservedSource

    return replace(side, source=ObservedSource(side.source, preview))


class RowText:
    """A column of a table as text, which is kept while the table is read."""

    def __init__(self, source: Any, column: str) -> None:
        self._recent = source.keep_text()
        self._column = source.header.index(column)

    def added_to(self, row: ChannelComparison) -> ChannelComparison:
        """The comparison of a channel with the time of its largest difference."""
        if row.at is None:
            return row
        return replace(row, time=self._recent.text_at(self._column, row.at[0]))


# ------------------------------------------------------------------------------------------ results


def _write_comparisons(runs: Sequence[RunFacts], pairs: _Pairs, format: ResultFormat) -> None:
    """Write the comparisons to standard output."""
    from convcli.report.as_csv import comparisons_csv
    from convcli.report.as_json import comparisons_json
    from convcli.report.comparison import comparison_lines

    found = [run.comparison for run in runs if run.comparison is not None]
    if not found:
        return
    if format.json:
        write_result(comparisons_json(runs, list(map(str, pairs.alone))))
    elif format.csv:
        write_result(comparisons_csv(found))
    else:
        write_result("".join(f"{line}\n" for line in comparison_lines(found)))


def _draw_comparisons(runs: Sequence[RunFacts], run: CompareRun) -> None:
    """Write the report and the drawing that were asked for."""
    from convcli.media.replacing import atomic

    if run.report is not None:
        from convcli.report.files import write_report

        write_report(runs, run.report, atomic=atomic)
    if run.plot is not None:
        from convcli.report.plots import run_rows_of_figures, write_plot
        from convcli.report.words import run_title

        rows = run_rows_of_figures(runs[0])
        title = run_title(runs[0])
        write_plot(rows, run.plot, title=title, atomic=atomic, empty="no samples to compare")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        name="compare",
        epilog=examples(
            "convcli compare talk.wav out.wav",
            "convcli compare cat.png out.png --fail-below ssim=0.98",
            "convcli compare expected/ out/ --fail-above rms=1e-3 --csv > differences.csv",
            "convcli csv sma:3 vix.csv | convcli compare vix.csv - -c close --json",
            "convcli compare clean.wav out.wav --report difference.html",
        ),
    )(compare)
