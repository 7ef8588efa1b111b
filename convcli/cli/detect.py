"""The command `convcli detect`: search inputs for templates, and write the hits."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from convcli import __version__
from convcli.batch.units import Unit
from convcli.cli import print_message, say
from convcli.cli.detect_options import DetectRun, HitOptions, SearchOptions, TemplateTable
from convcli.cli.groups import command
from convcli.cli.opening import files_for, name_input, open_template
from convcli.cli.results import (
    given_words,
    own_place,
    refuse_plot,
    refuse_report,
    refuse_shared_places,
    report_runs,
    write_result,
)
from convcli.cli.search_work import Search, SearchResults, SearchWork
from convcli.dataclass import dataclass
from convcli.errors import ConvcliError, RequestError
from convcli.facts import RunFacts
from convcli.places import Place, input_name, place_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.detecting.detect import Detection
    from convcli.detecting.templates import LoadedTemplate
    from convcli.facts.detection import FoundHits
    from convcli.media.files import Files


@command(
    "detect",
    "convcli detect hello.wav talk.wav",
    "convcli detect button.png screen1.png screen2.png --threshold 0.9 --top 5",
    "convcli detect hello.wav 'archive/**/*.flac' -o places.csv --report places.html",
    "convcli detect hello.wav archive --recursive --shard 1/4 --ledger run.1.jsonl",
    "sed '1p;9,15!d' vix.csv | convcli detect - vix.csv -c close --overlap 50%",
)
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
    facts = RunFacts(
        version=__version__,
        filter="",
        command=given_words(),
        inputs=found.inputs,
        detection=detection.facts_of(found),
        searched=results.searched,
        failures=results.failures,
        warnings=tuple(text for _, text in found.notes),
        seconds=time.perf_counter() - started,
    )
    _write_found(facts, asked, detection.columns_of(found), place)
    return _reported_result(facts, found, run, worst)


def _write_found(
    facts: RunFacts, asked: Asked, columns: Sequence[str], place: Place | None
) -> None:
    """Write the report, the drawing and the hits that were asked for.

    columns : of the hits as CSV · place : of the hits; None for standard output
    """
    # Files come first: the reader of standard output may close it early.
    report_runs([facts], asked.run.report)
    if asked.hits.mark is not None:
        _write_marks(facts, asked.hits.mark)
    write_result(_hits_text(facts, columns, as_json=asked.hits.as_json), place)


def _with_size_warnings(found: FoundHits, run: DetectRun, worst: int) -> FoundHits:
    """Warn of templates that are larger than some inputs.

    worst : exit code of the inputs that failed
    Raises RequestError if they are larger than all inputs, before anything is written.
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
    read = [*templates]
    if not words.several:
        read += named
    files = _files_of(asked, read)
    asked.search.check()
    if several:
        # The inputs are listed later, when their list can be checked as well.
        named = [place for place in named if place is None]
    _refuse_second_stdin([*named, *templates])
    place = _checked_place(asked, [*templates, *named])
    asked.hits.check()
    loaded, files = _loaded(templates, files, results)
    search = _search(asked, loaded, files)
    worst = 0
    if several:
        worst = _search_batch(asked, search, results)
    else:
        _search_one(words.words[0], search, results, shows_progress=not run.quiet)
    return worst, search.detection, place


def _search_one(name: str, search: Search, results: SearchResults, *, shows_progress: bool) -> None:
    """Search a single input into `results`. Errors name it."""
    work = SearchWork(search=search, shows_progress=shows_progress)
    unit = Unit(number=1, name=name, relative=name)
    try:
        results.take(1, work.run(unit))
    except ConvcliError as error:
        raise name_input(error, unit.label) from None


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
            with open_template(place, files) as (page, next_files):
                loaded.append(load_template(name, page.source))
                results.note("warning", page.all_warnings)
                files = next_files
        except ConvcliError as error:
            raise name_input(error, name) from None
    return loaded, files


def _search(asked: Asked, templates: list[LoadedTemplate], files: Files) -> Search:
    from convcli.detecting.detect import Detection
    from convcli.media.tables.group_names import group_name
    from convcli.report.files import draws_signals

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
        draws=asked.hits.mark is not None or draws_signals(asked.run.report),
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
        reports=run.report is not None or asked.hits.as_json,
    )
    places = {"-o": asked.hits.output, "--report": run.report, "--mark": asked.hits.mark}
    return SearchBatch(request, search, results, places).run()


def _hits_text(facts: RunFacts, columns: Sequence[str], *, as_json: bool) -> str:
    """The hits as the text that is printed, in JSON or in CSV."""
    from convcli.report.as_csv import hits_csv
    from convcli.report.as_json import detection_json

    if as_json or facts.detection is None:
        return detection_json(facts)
    return hits_csv(facts.detection, columns)


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
