"""The command `convcli detect`: search inputs for templates, and write the hits."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from convcli import __version__
from convcli.batch.units import Unit
from convcli.cli import options, print_message, say
from convcli.cli.groups import with_option_groups
from convcli.cli.opening import files_for, input_name, name_input, open_template
from convcli.cli.options import TableArguments, WorkOptions, columns_option, examples
from convcli.cli.results import (
    given_words,
    own_place,
    refuse_plot,
    refuse_report,
    refuse_shared_places,
    write_result,
)
from convcli.cli.search_work import Search, SearchResults, SearchWork
from convcli.dataclass import dataclass
from convcli.errors import ConvcliError, RequestError
from convcli.facts import RunFacts
from convcli.places import Place, place_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.detecting.detect import Detection
    from convcli.detecting.templates import LoadedTemplate
    from convcli.facts.detection import DetectionFacts, FoundHits
    from convcli.media.files import Files

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
    batch: WorkOptions = WorkOptions()
    force: options.Force = False
    report: options.Report = None
    jobs: Annotated[
        int | None,
        typer.Option(
            "-j",
            "--jobs",
            min=1,
            max=options.MOST_JOBS,
            help="Inputs searched at once.",
            show_default="as many as cores",
        ),
    ] = None
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
    loudness or contrast of a place nor an offset changes it. Places are listed best first, as file,
    start and end in seconds; first and last data row, from 1; or x and y of the upper left pixel.
    Exit code 1 where nothing is found.
    """
    started = time.perf_counter()
    asked = Asked(inputs=inputs, search=search, hits=hits, table=table, run=run)
    results = SearchResults(quiet=run.quiet)
    templates = _paths([template, *(search.more_templates or [])])
    worst, detection, place = _searched(asked, templates, results)
    found = _with_size_warnings(results.joined(search.top), run, worst)
    rounded = detection.facts_of(found)
    facts = RunFacts(
        version=__version__,
        filter="",
        command=given_words(),
        inputs=found.inputs,
        detection=rounded,
        searched=results.searched,
        warnings=tuple(text for _, text in found.notes),
        seconds=time.perf_counter() - started,
    )
    # Files come first: the reader of standard output may close it early.
    if run.report is not None:
        _write_search_report(facts, run.report)
    if hits.mark is not None:
        _write_marks(facts, hits.mark)
    text = _hits_text(facts, rounded, detection.columns_of(found), as_json=hits.as_json)
    write_result(text, place)
    return _reported_result(facts, found, run, worst)


def _with_size_warnings(found: FoundHits, run: DetectRun, worst: int) -> FoundHits:
    """Warn of templates that are larger than some inputs.

    worst : exit code of the inputs that failed
    RequestError if they are larger than all inputs, before anything is written.
    """
    from convcli.detecting.detect import larger_texts, nothing_found

    if found.larger and found.best_score is None and not worst:
        if run.batch.shard is None:
            raise nothing_found(found)
        return found
    warnings = [f"{text}: it has no place there" for text in larger_texts(found.larger)]
    if not run.quiet:
        for warning in warnings:
            print_message(warning, kind="warning")
    notes = tuple(("warning", warning) for warning in warnings)
    return replace(found, notes=(*found.notes, *notes))


def _reported_result(facts: RunFacts, found: FoundHits, run: DetectRun, worst: int) -> int:
    """Say what was found, and return the exit code. ConditionError if nothing was found.

    A machine that has searched its share of the inputs has done what it was asked for.
    """
    from convcli.detecting.detect import nothing_found
    from convcli.report.terminal import detection_summary

    if found.hits:
        if not run.quiet and facts.detection is not None:
            say(detection_summary(facts, facts.detection))
        return worst
    nothing = nothing_found(found)
    if run.batch.shard is not None:
        if not run.quiet:
            print_message(nothing.message, kind="note")
        return worst
    if worst:
        return worst
    raise nothing


@dataclass(frozen=True, eq=False, kw_only=True)
class Asked:
    """What the user has asked for, apart from the template.

    inputs : words that stand for inputs
    """

    inputs: list[str] | None
    search: SearchOptions
    hits: HitOptions
    table: TemplateTable
    run: DetectRun


def _searched(
    asked: Asked, templates: Sequence[Place | None], results: SearchResults
) -> tuple[int, Detection, Place | None]:
    """Search all inputs into `results`.

    Returns the worst exit code, the rules of the search, and where the hits go.
    """
    from convcli.batch.listing import input_place

    run = asked.run
    words = run.batch.words(asked.inputs)
    several = words.several or run.batch.asked
    named = [input_place(word) for word in words.words]
    files = _files_of(asked, [*templates, *([] if words.several else named)])
    asked.search.check()
    if several:
        # The inputs are listed later, when their list can be checked as well.
        named = [place for place in named if place is None]
    _refuse_second_stdin([*named, *templates])
    place = _checked_place(asked, [*templates, *named])
    asked.hits.check()
    loaded, files = _loaded(templates, files, results)
    search = _search(asked, loaded, files)
    if several:
        return _search_batch(asked, search, results), search.detection, place
    work = SearchWork(search=search, shows_progress=not run.quiet)
    unit = Unit(number=1, name=words.words[0], relative=words.words[0])
    try:
        results.take(1, work.run(unit))
    except ConvcliError as error:
        raise name_input(error, unit.label) from None
    return 0, search.detection, place


def _files_of(asked: Asked, places: Sequence[Place | None]) -> Files:
    """How the templates and the inputs are opened."""
    # Times are only printed, and so they need not be regular.
    table = asked.table.options()
    if asked.table.time is not None:
        table = table.with_irregular_rows()
    return files_for(places, table, max_pixels=asked.run.max_pixels, strict=asked.run.strict)


def _checked_place(asked: Asked, read: Sequence[Place | None]) -> Place | None:
    """Where the hits go, None for standard output; refuse places before the work begins."""
    run, hits = asked.run, asked.hits
    if run.report is not None:
        refuse_report(run.report, read, force=run.force)
    place = None
    if hits.output is not None:
        place = own_place(hits.output, read, force=run.force, example="places.csv")
    if hits.mark is not None:
        refuse_plot(hits.mark, read, force=run.force)
        if run.batch.resume:
            raise RequestError(
                "--mark draws inputs while they are searched, and --resume leaves some out",
                hint="without --mark, or without --resume",
            )
    refuse_shared_places({"--report": run.report, "--mark": hits.mark}, [place])
    return place


def _loaded(
    templates: Sequence[Place | None], files: Files, results: SearchResults
) -> tuple[list[LoadedTemplate], Files]:
    """The templates, and how the inputs are opened, which the first template may decide.

    Errors name the file.
    """
    from convcli.detecting.templates import load_template

    loaded = []
    for place in templates:
        name = input_name(place)
        try:
            with open_template(place, files) as (source, warnings, next_files):
                loaded.append(load_template(name, source))
                files = next_files
        except ConvcliError as error:
            raise name_input(error, name) from None
        results.note("warning", warnings)
    return loaded, files


def _search(asked: Asked, templates: list[LoadedTemplate], files: Files) -> Search:
    from convcli.detecting.detect import Detection
    from convcli.media.tables.group_names import group_name
    from convcli.report.files import draws

    detection = Detection(
        threshold=asked.search.threshold,
        overlap=asked.search.overlap_part,
        templates=templates,
        top=asked.search.top,
        group_name=group_name if asked.table.by else None,
        timed=asked.table.time is not None,
    )
    return Search(
        detection=detection,
        files=files,
        time_column=asked.table.time,
        draws=asked.hits.mark is not None or draws(asked.run.report),
        threads=asked.run.threads,
    )


def _search_batch(asked: Asked, search: Search, results: SearchResults) -> int:
    """Search many inputs, and return the worst exit code."""
    from convcli.cli.batch_run import BatchRequest
    from convcli.cli.search_batch import SearchBatch

    run = asked.run
    request = BatchRequest(
        inputs=asked.inputs,
        files=search.files,
        batch=run.batch,
        jobs=run.jobs,
        force=run.force,
        quiet=run.quiet,
        debug=run.debug,
        shows_progress=not run.quiet,
        reports=run.report is not None,
    )
    places = {"-o": asked.hits.output, "--report": run.report, "--mark": asked.hits.mark}
    return SearchBatch(request, search, results, places).run()


def _hits_text(
    facts: RunFacts, found: DetectionFacts, columns: Sequence[str], *, as_json: bool
) -> str:
    """The hits as the text that is printed, in JSON or in CSV."""
    from convcli.report.as_csv import hits_csv
    from convcli.report.as_json import detection_json

    return detection_json(facts) if as_json else hits_csv(found, columns)


def _write_search_report(facts: RunFacts, report: Place) -> None:
    from convcli.media.replacing import atomic
    from convcli.report.files import write_report

    write_report(facts, report, atomic=atomic)


def _write_marks(facts: RunFacts, place: Place) -> None:
    from convcli.media.replacing import atomic
    from convcli.report.plots import marked_rows_of_figures, write_plot
    from convcli.report.words import run_title

    write_plot(marked_rows_of_figures(facts), place, title=run_title(facts), atomic=atomic)


def _paths(paths: Sequence[Place]) -> list[Place | None]:
    return [None if str(path) == "-" else path for path in paths]


def _refuse_second_stdin(paths: Sequence[Place | None]) -> None:
    if paths.count(None) > 1:
        raise RequestError(
            "standard input can be read only once",
            hint="name a file: convcli detect TEMPLATE INPUT",
        )


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        name="detect",
        epilog=examples(
            "convcli detect hello.wav talk.wav",
            "convcli detect button.png screen1.png screen2.png --threshold 0.9 --top 5",
            "convcli detect hello.wav 'archive/**/*.flac' -o places.csv --report places.html",
            "convcli detect hello.wav archive --recursive --shard 1/4 --ledger run.1.jsonl",
            "sed '1p;9,15!d' vix.csv | convcli detect - vix.csv -c close --overlap 50%",
        ),
    )(detect)
