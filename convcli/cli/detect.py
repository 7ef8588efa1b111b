"""`convcli detect`."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from convcli import __version__
from convcli.cli import options, say, tell, tell_error
from convcli.cli.groups import with_option_groups
from convcli.cli.opening import (
    files_for,
    input_name,
    name_input,
    open_template,
    read_input,
)
from convcli.cli.options import InputListOptions, TableArguments, columns_option, examples
from convcli.cli.progress import Progress
from convcli.cli.results import (
    given_words,
    own_place,
    refuse_plot,
    refuse_report,
    refuse_shared_places,
    write_result,
)
from convcli.dataclass import dataclass
from convcli.errors import ConvcliError, RequestError
from convcli.facts import RunFacts
from convcli.media.remote import place_of
from convcli.places import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.batch.listing import InputWords
    from convcli.detecting.detect import Detection
    from convcli.detecting.search import Candidates
    from convcli.detecting.templates import LoadedTemplate
    from convcli.facts.detection import DetectionFacts
    from convcli.facts.preview import SearchedFacts
    from convcli.media.files import Files
    from convcli.previews.observe import Preview
    from convcli.signals import Medium, Source


# Suffixes of files that hits are written to; without one they are CSV.
HIT_SUFFIXES = ("", ".csv", ".txt", ".json")


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What is searched for, and which hits count."""

    more_templates: Annotated[
        list[Path] | None,
        typer.Option(
            "-t",
            "--template",
            metavar="FILE",
            help="A further template; may be given several times.",
        ),
    ] = None
    threshold: Annotated[
        float, typer.Option(help="The lowest score that counts, above 0 and at most 1.")
    ] = 0.7
    top: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="The best K of all only.", show_default="all"),
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
                f"--threshold expects a number above 0 and at most 1, got {self.threshold:g}"
            )

    @property
    def overlap_part(self) -> float:
        """The overlap as a fraction between 0 and 1."""
        from convcli.units import UnitError, parse_quantity

        try:
            quantity = parse_quantity(self.overlap)
        except UnitError as error:
            raise RequestError(f"--overlap: {error}") from None
        part = quantity.value / 100 if quantity.unit == "%" else quantity.value
        if quantity.unit not in ("", "%") or not 0 <= part <= 1:
            raise RequestError(
                f"--overlap expects 0% to 100%, got {self.overlap!r}",
                hint="0%: no two hits share a sample",
            )
        return part


@dataclass(frozen=True, kw_only=True)
class HitOptions:
    """Where the hits are written, and in which format."""

    output: Annotated[
        Place | None,
        typer.Option(
            "-o",
            "--output",
            parser=place_of,
            metavar="FILE",
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
        typer.Option(
            "--mark",
            "--plot",
            parser=place_of,
            metavar="FILE",
            help="Draw the inputs with the places into FILE.png, .svg or .pdf; needs "
            "convcli[plot].",
            show_default=False,
        ),
    ] = None

    def check(self) -> None:
        """Refuse a file name that promises another format than CSV or JSON."""
        if self.format is not None or self.output is None:
            return
        from convcli.media.replacing import is_special
        from convcli.media.tables.compression import without_compression

        suffix = without_compression(self.output).suffix.lower()
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

    max_pixels: Annotated[int, typer.Option(min=1, help="Refuse pictures with more pixels.")] = (
        10**9
    )
    strict: Annotated[
        bool, typer.Option("--strict", help="A truncated sound is an error, not a warning.")
    ] = False
    listed: InputListOptions = InputListOptions()
    force: options.Force = False
    report: options.Report = None
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


@with_option_groups
def detect(
    template: Annotated[
        Place,
        typer.Argument(
            parser=place_of,
            metavar="TEMPLATE",
            help="What to look for: sound, table or picture; - is standard input.",
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="Where to look: files, folders and quoted patterns ('in/**/*.wav'); none or - is "
            "standard input.",
            show_default=False,
        ),
    ] = None,
    *,
    search: SearchOptions,
    hits: HitOptions,
    table: TemplateTable,
    run: DetectRun,
) -> int:
    """Find every place where a template fits: a word in speech, a pattern in a table, a detail.

    The score is the normalised cross-correlation of all channels together, -1 to 1: neither the
    loudness or contrast of a place nor an offset changes it. Places are told best first, as file,
    start and end in seconds; first and last data row, from 1; or x and y of the upper left pixel.
    Exit code 1 where nothing is found.
    """
    from convcli.batch.listing import named_place
    from convcli.report.files import draws
    from convcli.report.terminal import detection_summary

    started = time.perf_counter()
    templates = _paths([template, *(search.more_templates or [])])
    words = run.listed.words(inputs)
    # Times are only told, and so they need not be regular.
    opened = replace(table.options(), irregular=table.time is not None)
    named = [] if words.several else [named_place(word) for word in words.words]
    files = files_for([*templates, *named], opened, max_pixels=run.max_pixels, strict=run.strict)
    sources = _listed_sources(words, files, quiet=run.quiet)
    _refuse_second_stdin([*sources, *templates])
    search.check()
    place = _checked_place(hits.output, [*templates, *sources], run)
    if hits.mark is not None:
        refuse_plot(hits.mark, [*templates, *sources], force=run.force)
    listed = None if words.files_from is None else place_of(words.files_from)
    places = {"--report": run.report, "--mark": hits.mark, "--files-from": listed}
    refuse_shared_places(places, [place])
    hits.check()
    searching = Searching(
        files=files,
        time_column=table.time,
        quiet=run.quiet,
        draws=hits.mark is not None or draws(run.report),
    )
    detection = _new_detection(searching, templates, search, table, run.threads)
    searching.search_all(detection, sources)
    found = detection.facts()
    facts = RunFacts(
        version=__version__,
        filter="",
        command=given_words(),
        inputs=tuple(detection.inputs),
        detection=found,
        searched=searching.drawn(),
        warnings=tuple(searching.notes),
        seconds=time.perf_counter() - started,
    )
    # Files come first: the reader of standard output may close it early.
    if run.report is not None:
        _write_search_report(facts, run.report)
    if hits.mark is not None:
        _write_marks(facts, hits.mark)
    write_result(_hits_text(facts, found, detection, as_json=hits.as_json), place)
    if not found.hits and not searching.worst:
        raise detection.nothing_found()
    if found.hits and not run.quiet:
        say(detection_summary(facts, found))
    return searching.worst


def _new_detection(
    searching: Searching,
    templates: Sequence[Place | None],
    search: SearchOptions,
    table: TemplateTable,
    threads: int | None,
) -> Detection:
    """Load the templates, and begin a detection that has searched no input yet."""
    from convcli.detecting.detect import Detection
    from convcli.media.tables.delimited import group_name

    return Detection(
        threshold=search.threshold,
        overlap=search.overlap_part,
        templates=[searching.load(path) for path in templates],
        top=search.top,
        threads=threads,
        group_name=group_name if table.by else None,
        timed=table.time is not None,
    )


def _hits_text(
    facts: RunFacts, found: DetectionFacts, detection: Detection, *, as_json: bool
) -> str:
    """The hits as the text that is printed, in JSON or in CSV."""
    from convcli.report.as_csv import hits_csv
    from convcli.report.as_json import detection_json

    return detection_json(facts) if as_json else hits_csv(found, detection.columns)


def _write_search_report(facts: RunFacts, report: Place) -> None:
    from convcli.media.replacing import atomic
    from convcli.report.files import write_report

    write_report(facts, report, atomic=atomic)


def _write_marks(facts: RunFacts, place: Place) -> None:
    from convcli.media.replacing import atomic
    from convcli.report.plots import marked_rows_of_figures, write_plot
    from convcli.report.words import run_title

    write_plot(marked_rows_of_figures(facts), place, title=run_title(facts), atomic=atomic)


@dataclass(kw_only=True)
class Searching:
    """Opens the templates and the inputs of one search.

    time_column : column of a table whose cells are told with every hit
    draws : the inputs are drawn with the places
    notes : notes and warnings so far
    worst : the worst exit code of the inputs that failed
    """

    files: Files
    time_column: str | None
    quiet: bool
    draws: bool = False
    notes: list[str] = field(default_factory=list)
    worst: int = 0
    _previews: list[tuple[str, int | None, Medium, Preview]] = field(default_factory=list)

    def load(self, path: Place | None) -> LoadedTemplate:
        """Read a template and collect its warnings. The error names the file."""
        from convcli.detecting.templates import load_template

        try:
            with open_template(path, self.files) as (source, warnings, self.files):
                loaded = load_template(input_name(path), source)
        except ConvcliError as error:
            raise name_input(error, input_name(path)) from None
        self._note("warning", *warnings)
        return loaded

    def search_all(self, detection: Detection, paths: Sequence[Place | None]) -> None:
        """Search every input. If one of several fails, its error is told and the others go on."""
        for path in paths:
            try:
                self._search_file(detection, path)
            except ConvcliError as error:
                if len(paths) == 1:
                    raise name_input(error, input_name(path)) from None
                tell_error(name_input(error, input_name(path)))
                self.worst = max(self.worst, error.exit_code)

    def _search_file(self, detection: Detection, path: Place | None) -> None:
        with ExitStack() as held:
            given = read_input(path, held, example="convcli detect TEMPLATE")
            opened = held.enter_context(given.opened(self.files))
            for number, source in enumerate(opened.sources, 1):
                page = number if len(opened.sources) > 1 else None
                self._search_source(detection, source, str(path or "-"), page)
            self._note("warning", *opened.warnings)

    def _search_source(
        self, detection: Detection, source: Source[Any], name: str, page: int | None
    ) -> None:
        from convcli.detecting.templates import prepare_template

        prepared = [prepare_template(each, source.signal) for each in detection.templates]
        self._note("note", *(each.note for each in prepared))
        for each in prepared:
            if each.template.flat:
                self._note(
                    "warning", f"{each.name}: nothing varies in it, so that no place is like it"
                )
        times = None
        if self.time_column is not None:
            times = _RowTimes(source, self.time_column).of
        progress = Progress(source.signal.shape[0], shown=not self.quiet)
        try:
            seen = self._observed(source, name, page)
            for read in detection.search(seen, prepared, name=name, page=page, times=times):
                progress.advance(read - progress.done)
        finally:
            progress.close()

    def _observed(self, source: Source[Any], name: str, page: int | None) -> Source[Any]:
        """The source, which is observed where it is to be drawn."""
        from convcli.media.tables.delimited import group_name
        from convcli.previews.observe import MOST_FULL, OUTLINE, ObservedSource, preview_of

        if not self.draws or len(self._previews) >= MOST_FULL:
            return source
        preview = preview_of(source.signal, source.signal, OUTLINE, group_name)
        self._previews.append((name, page, source.signal.medium, preview))
        return ObservedSource(source, preview)

    def drawn(self) -> tuple[SearchedFacts, ...]:
        """What is drawn of the first inputs."""
        from convcli.facts.preview import SearchedFacts

        return tuple(
            SearchedFacts(
                path=name, page=page, in_seconds=medium.in_seconds, signal=preview.facts().before
            )
            for name, page, medium, preview in self._previews
        )

    def _note(self, kind: str, *texts: str) -> None:
        """Print each note once, and remember it."""
        for text in texts:
            if text and text not in self.notes:
                self.notes.append(text)
                if not self.quiet:
                    tell(text, kind=kind)


class _RowTimes:
    """The time column of a table, as text."""

    def __init__(self, source: Any, column: str) -> None:
        self._recent = source.keep_text()
        self._column = source.header.index(column)

    def of(self, found: Candidates) -> list[tuple[str, str]]:
        """Return the times of the first and the last row of each candidate.

        The text of rows before `found.settled` is released.
        """
        first = self._recent.texts_of(self._column, found.rows[:, 0])
        last = self._recent.texts_of(self._column, found.rows[:, 1])
        self._recent.release(found.settled)
        return list(zip(first, last, strict=True))


def _listed_sources(words: InputWords, files: Files, *, quiet: bool) -> list[Place | None]:
    """The inputs that some words stand for."""
    from convcli.batch.listing import list_inputs

    listing = list_inputs(words, files)
    if not quiet:
        for warning in listing.warnings:
            tell(warning, kind="warning")
    return list(listing.sources())


def _paths(paths: Sequence[Place]) -> list[Place | None]:
    return [None if str(path) == "-" else path for path in paths]


def _refuse_second_stdin(paths: Sequence[Place | None]) -> None:
    if paths.count(None) > 1:
        raise RequestError(
            "standard input can be read only once",
            hint="name a file: convcli detect TEMPLATE INPUT",
        )


def _checked_place(
    output: Place | None, read: Sequence[Place | None], run: DetectRun
) -> Place | None:
    """Return where the hits go, None for standard output; refuse places before the work begins."""
    report = run.report
    if report is not None:
        refuse_report(report, read, force=run.force)
    if output is None:
        return None
    return own_place(output, read, force=run.force, example="places.csv")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        name="detect",
        epilog=examples(
            "convcli detect hello.wav talk.wav",
            "convcli detect button.png screen1.png screen2.png --threshold 0.9 --top 5",
            "convcli detect hello.wav 'archive/**/*.flac' -o places.csv --report places.html",
            "sed '1p;9,15!d' vix.csv | convcli detect - vix.csv -c close --overlap 50%",
        ),
    )(detect)
