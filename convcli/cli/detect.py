"""`convcli detect`."""

from __future__ import annotations

import math
import os
import sys
import time as clock
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from convcli import __version__
from convcli.cli import options, say, tell, tell_error
from convcli.cli.batch import own_place, refuse_report
from convcli.cli.groups import with_option_groups
from convcli.cli.hits import Searched, Telling, as_csv, as_json, put
from convcli.cli.opening import (
    Times,
    files_for,
    input_name,
    name_input,
    open_template,
    read_input,
)
from convcli.cli.options import TableArguments, columns_option, examples
from convcli.cli.progress import Progress
from convcli.errors import ConditionError, ConvcliError, RequestError
from convcli.facts import InputFacts, RunFacts
from convcli.facts.detection import DetectionFacts
from convcli.report.words import plural, visible
from convcli.signals import TABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.detecting.detect import Places
    from convcli.detecting.templates import Pattern
    from convcli.media.files import Files
    from convcli.media.tables.source import TableOptions
    from convcli.signals import Source


@dataclass(kw_only=True)
class Detection:
    """A search under way: some templates in some inputs."""

    files: Files
    table: TableOptions
    threshold: float
    threads: int | None
    quiet: bool
    places: Places
    telling: Telling
    patterns: list[Pattern] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    worst: int = 0

    def read(self, path: Path | None) -> None:
        """Read a template."""
        from convcli.detecting.templates import read_pattern

        try:
            with open_template(path, self.files) as (source, warnings, self.files):
                self.patterns.append(read_pattern(input_name(path), source))
        except ConvcliError as error:
            raise name_input(error, input_name(path)) from None
        self._note("warning", *warnings)

    def search_all(self, inputs: Sequence[Path | None]) -> None:
        """Search every input; one that fails is told, and the others go on."""
        for path in inputs:
            try:
                self._search_file(path)
            except ConvcliError as error:
                if len(inputs) == 1:
                    raise name_input(error, input_name(path)) from None
                tell_error(name_input(error, input_name(path)))
                self.worst = max(self.worst, error.exit_code)

    def _search_file(self, path: Path | None) -> None:
        with ExitStack() as held:
            given = read_input(path, held, example="convcli detect TEMPLATE")
            opened = held.enter_context(given.opened(self.files))
            for number, source in enumerate(opened.sources, 1):
                page = number if len(opened.sources) > 1 else None
                self._search(source, Searched(path=path, page=page, signal=source.signal))
            self._note("warning", *opened.warnings)

    def _search(self, source: Source[Any], searched: Searched) -> None:
        from convcli.detecting.detect import Search
        from convcli.detecting.templates import fit

        fitted = [fit(pattern, source.signal) for pattern in self.patterns]
        self._note("note", *(each.note for each in fitted))
        flat = [each.name for each in fitted if each.flat]
        self._note(
            "warning",
            *(f"{name}: nothing varies in it, so that no place is like it" for name in flat),
        )
        search = Search(fitted=fitted, threshold=self.threshold, threads=self.threads)
        times = Times(source, self.table.time) if self.files.medium is TABLE else None
        number = len(self.telling.searched)
        progress = Progress(source.signal.shape[0], shown=not self.quiet)
        try:
            for found in search.run(source):
                self.places.add(number, found, fitted[found.template].size)
                self.telling.times += times.of(found) if times is not None else ()
                searched.remember(found)
                progress.advance(search.read - progress.done)
        finally:
            progress.close()
        searched.read = search.read
        self.telling.searched.append(searched)

    def _note(self, kind: str, *texts: str) -> None:
        """Say something once, and remember it."""
        for text in texts:
            if text and text not in self.notes:
                self.notes.append(text)
                if not self.quiet:
                    tell(text, kind=kind)

    def facts(self, hits: Sequence[dict[str, Any]], seconds: float, **asked: Any) -> RunFacts:
        """The facts of the run: templates, inputs, what was asked for, what was found."""
        templates = (
            InputFacts(
                path=each.name,
                medium=own.medium.name,
                shape=each.x.shape[:-1],
                channels=own.channels,
                rate=own.rate,
            )
            for each in self.patterns
            for own in [each.signal]
        )
        found = DetectionFacts(
            templates=tuple(templates),
            threshold=self.threshold,
            best_score=self._best_score(),
            hits=tuple(hits),
            **asked,
        )
        return RunFacts(
            version=__version__,
            filter="",
            command=("convcli", *sys.argv[1:]),
            inputs=tuple(searched.facts() for searched in self.telling.searched),
            detection=found,
            warnings=tuple(self.notes),
            seconds=seconds,
        )

    def _best_score(self) -> float | None:
        return max(
            (searched.best[0] for searched in self.telling.searched if searched.best), default=None
        )

    def summary(self, hits: Sequence[dict[str, Any]], seconds: float) -> str:
        """`hello.wav in talk.wav: 3 places, best 1, 14.1 s in 0.2 s`."""
        names = [visible(", ".join(names)) for names in (self.telling.templates, self._names())]
        best = f"best {hits[0]['score']:.3g}"
        return f"{' in '.join(names)}: {plural(len(hits), 'place')}, {best}, {self._searched()}in {seconds:.2g} s"

    def _names(self) -> list[str]:
        names = list(dict.fromkeys(input_name(searched.path) for searched in self.telling.searched))
        return names if len(names) <= 3 else [f"{len(names)} files"]

    def _searched(self) -> str:
        rates = [searched.signal.rate for searched in self.telling.searched]
        if not self.files.medium.in_seconds:
            return ""
        seconds = sum(
            s.read / rate for s, rate in zip(self.telling.searched, rates, strict=True) if rate
        )
        return f"{seconds:.3g} s "

    def nothing(self) -> ConditionError:
        """Nothing was found: the best there is."""
        known = [
            (searched.best[0], searched) for searched in self.telling.searched if searched.best
        ]
        score, searched = max(known, key=lambda each: each[0], default=(0.0, None))
        if searched is None or score <= 0:
            return ConditionError("nothing found: no place is like the template")
        lower = math.floor(score * 100) / 100
        return ConditionError(
            f"nothing found: the best score is {score:.3g}, {searched.where_best}",
            hint=f"--threshold {lower:g} would accept it" if lower > 0 else None,
        )


@dataclass(frozen=True, kw_only=True)
class TemplateTable(TableArguments):
    """How tables are read; by default the columns of the template are searched."""

    columns: Annotated[
        Optional[list[str]],  # noqa: UP045
        columns_option("those of the template"),
    ] = None


@with_option_groups
def detect(
    template: Annotated[
        Path,
        typer.Argument(
            metavar="TEMPLATE",
            help="What to look for: sound, table or picture; - is standard input.",
        ),
    ],
    inputs: Annotated[
        Optional[list[Path]],  # noqa: UP045 -- Typer reads it at run time
        typer.Argument(
            metavar="[INPUT]...",
            help="Where to look; none or - is standard input.",
            show_default=False,
        ),
    ] = None,
    *,
    more: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(
            "-t",
            "--template",
            metavar="FILE",
            help="A further template; may be given several times.",
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="The lowest score that counts, above 0 and at most 1.")
    ] = 0.7,
    top: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, metavar="K", help="The best K of all only.", show_default="all"),
    ] = None,
    overlap: Annotated[
        str,
        typer.Option(
            metavar="PART", help="How much of a place a better one may cover: 50% or 0.5."
        ),
    ] = "0%",
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write the places to a file.",
            show_default="standard output",
        ),
    ] = None,
    format: Annotated[
        Optional[Literal["csv", "json"]],  # noqa: UP045
        typer.Option(
            help="csv, or json with the facts of the run.",
            show_default="by the suffix of -o, else csv",
        ),
    ] = None,
    table: TemplateTable,
    max_pixels: Annotated[int, typer.Option(min=1, help="Refuse pictures with more pixels.")] = 10
    ** 9,
    strict: Annotated[
        bool, typer.Option("--strict", help="A truncated sound is an error, not a warning.")
    ] = False,
    force: options.Force = False,
    report: options.Report = None,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Find every place where a template fits: a word in speech, a pattern in a table, a detail in a picture.

    The score is the normalised cross-correlation of all channels together, -1 to 1: neither the loudness or contrast
    of a place nor an offset changes it. Places are told best first, as file, start and end in seconds; first and last
    data row, from 1; or x and y of the upper left pixel. Exit code 1 where nothing is found.
    """
    from convcli.detecting.detect import Places
    from convcli.media.outputs import atomic
    from convcli.report.files import write_report

    started = clock.perf_counter()
    templates, sources = _paths([template, *(more or [])]), _paths(inputs or [Path("-")])
    _check(templates, sources, threshold)
    goal = _checked_output(output, [*templates, *sources], report, force=force)
    table_options = table.options()
    files = files_for([*templates, *sources], table_options, max_pixels=max_pixels, strict=strict)
    medium = files.medium
    telling = Telling(
        templates=[input_name(path) for path in templates],
        grouped=medium is TABLE and table.by is not None,
    )
    detection = Detection(
        files=files,
        table=table_options,
        threshold=threshold,
        threads=threads,
        quiet=quiet,
        places=Places(),
        telling=telling,
    )
    part = _part(overlap)
    for path in templates:
        detection.read(path)
    detection.search_all(sources)
    hits = [telling.cells(place) for place in detection.places.choose(overlap=part, top=top)]
    seconds = clock.perf_counter() - started
    facts = detection.facts(hits, seconds, overlap=part, top=top)
    if (
        format or ("json" if output is not None and output.suffix.lower() == ".json" else "csv")
    ) == "json":
        put(as_json(facts), goal)
    else:
        put(
            as_csv(hits, telling.names(medium, timed=medium is TABLE and table.time is not None)),
            goal,
        )
    if report is not None:
        write_report(facts, report, atomic=atomic)
    if not hits and not detection.worst:
        raise detection.nothing()
    if hits and not quiet:
        say(detection.summary(hits, seconds))
    return detection.worst


def _checked_output(
    output: Path | None, read: list[Path | None], report: Path | None, *, force: bool
) -> Path | None:
    """Where the places go, None for standard output, after every refusal that can be known before the work."""
    if report is not None:
        refuse_report(report, read, force=force)
    if output is None:
        return None
    if report is not None and os.path.realpath(report) == os.path.realpath(output):
        raise RequestError(
            f"the output and the report are both {output}", hint="give one of them another name"
        )
    return own_place(output, read, force=force, example="places.csv")


def _paths(paths: list[Path]) -> list[Path | None]:
    return [None if str(path) == "-" else path for path in paths]


def _check(templates: list[Path | None], sources: list[Path | None], threshold: float) -> None:
    if (*sources, *templates).count(None) > 1:
        raise RequestError(
            "standard input can be read only once",
            hint="name a file: convcli detect TEMPLATE INPUT",
        )
    if not 0 < threshold <= 1:
        raise RequestError(f"--threshold expects a number above 0 and at most 1, got {threshold:g}")


def _part(text: str) -> float:
    """`50%` or `0.5` as a part of 1."""
    from convcli.units import UnitError, parse_quantity

    try:
        quantity = parse_quantity(text)
    except UnitError as error:
        raise RequestError(f"--overlap: {error}") from None
    part = quantity.value / 100 if quantity.unit == "%" else quantity.value
    if quantity.unit not in ("", "%") or not 0 <= part <= 1:
        raise RequestError(
            f"--overlap expects 0% to 100%, got {text!r}", hint="0%: no two hits share a sample"
        )
    return part


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        name="detect",
        epilog=examples(
            "convcli detect hello.wav talk.wav",
            "convcli detect button.png screen1.png screen2.png --threshold 0.9 --top 5",
            "convcli detect hello.wav talk.wav -o places.csv --report places.html",
            "sed '1p;9,15!d' vix.csv | convcli detect - vix.csv -c close --overlap 50%",
        ),
    )(detect)
