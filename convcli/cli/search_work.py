"""The search of an input, in any process, and what was found in all inputs."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import field
from threading import Event
from typing import TYPE_CHECKING, Any, ClassVar

from convcli import __version__
from convcli.cli import INTERRUPTED, Stopped, print_message
from convcli.cli.opening import RowText, read_input, warnings_after_reading
from convcli.cli.progress import Progress
from convcli.dataclass import dataclass
from convcli.facts import RunFacts
from convcli.facts.detection import FoundHits
from convcli.facts.preview import SearchedFacts
from convcli.report.words import loss_texts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.batch.units import Unit
    from convcli.detecting.detect import Detection
    from convcli.detecting.search import Candidates
    from convcli.facts.batch import UnitFailure
    from convcli.media.files import Files
    from convcli.previews.preview import Preview
    from convcli.signals import Source


@dataclass(frozen=True, eq=False, kw_only=True)
class Search:
    """What is searched for, and how inputs are opened. It can be pickled.

    detection : the templates and the rules; it has searched nothing
    files : how inputs are opened
    time_column : column of a table whose cells are printed with every hit
    draws : the first inputs are drawn with the places
    threads : threads for one input; None for as many as there are cores, or one of many inputs
    """

    detection: Detection
    files: Files
    time_column: str | None = None
    draws: bool = False
    threads: int | None = None


@dataclass(eq=False, kw_only=True)
class SearchWork:
    """What is done with each input of a search. It can be pickled.

    retries : how often an input is tried again after an error that may pass
    alone : inputs are searched one after the other, each with all threads
    stopping : set to end the searches that are under way
    shows_progress : the samples that were read are shown; for a single input
    """

    search: Search
    retries: int = 0
    alone: bool = True
    stopping: Event = field(default_factory=Event)
    shows_progress: bool = False
    runs_network: ClassVar[bool] = False

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the event, which belongs to one process."""
        return {**vars(self), "stopping": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The work in another process, where it is not stopped."""
        vars(self).update(state, stopping=Event())

    def refuse(self, unit: Unit) -> None:
        """Accept every unit: a search writes no file that could replace another one."""

    def run(self, unit: Unit) -> RunFacts:
        """Search an input, and return what was found in it."""
        threads = self.search.threads
        if threads is None and not self.alone:
            threads = 1
        searched = _SearchedInput(self, unit, self.search.detection.afresh(threads))
        with ExitStack() as held:
            given = read_input(unit.source, held, example="convcli detect TEMPLATE")
            opened = held.enter_context(given.opened(self.search.files))
            for number, source in enumerate(opened.sources, 1):
                searched.add_page(source, number if len(opened.sources) > 1 else None)
            searched.note("warning", *warnings_after_reading(given, opened))
        return searched.facts()


class _SearchedInput:
    """The search of one input, page by page."""

    def __init__(self, work: SearchWork, unit: Unit, detection: Detection) -> None:
        self._work = work
        self._search = work.search
        self._unit = unit
        self._name = str(unit.source or "-")
        self._detection = detection
        self._notes: dict[tuple[str, str], None] = {}
        self._previews: list[tuple[int | None, Preview]] = []

    def add_page(self, source: Source[Any], page: int | None) -> None:
        """Search a page; page : its number, None for an input without pages."""
        from convcli.detecting.templates import prepare_template

        prepared = [prepare_template(each, source.signal) for each in self._detection.templates]
        self.note("note", *(each.note for each in prepared))
        for each in prepared:
            if each.template.flat:
                self.note(
                    "warning", f"{each.name}: nothing varies in it, so that no place is like it"
                )
        times = None
        if self._search.time_column is not None:
            times = _RowTimes(source, self._search.time_column).of
        progress = Progress(source.signal.shape[0], shown=self._work.shows_progress)
        seen = self._observed(source, page)
        steps = self._detection.search(seen, prepared, name=self._name, page=page, times=times)
        try:
            for read in steps:
                if self._work.stopping.is_set():
                    raise Stopped(INTERRUPTED)
                progress.advance(read - progress.done)
        finally:
            progress.close()
        self._note_missing()

    def _note_missing(self) -> None:
        """Warn of missing samples of the page that was searched last."""
        searched = self._detection.inputs[-1]
        for text in loss_texts(self._detection.losses[-1]):
            self.note(
                "warning", f"{searched.page_label}: {text}; a place that has one is never found"
            )

    def _observed(self, source: Source[Any], page: int | None) -> Source[Any]:
        """The source, which is observed where it is to be drawn."""
        from convcli.media.tables.group_names import group_name
        from convcli.previews.observe import ObservedSource, preview_of
        from convcli.previews.preview import MOST_FULL, OUTLINE

        many = max(self._unit.number - 1, len(self._previews)) >= MOST_FULL
        if not self._search.draws or many:
            return source
        preview = preview_of(source.signal, source.signal, OUTLINE, group_name)
        self._previews.append((page, preview))
        return ObservedSource(source, preview)

    def note(self, kind: str, *texts: str) -> None:
        """Remember notes or warnings, each once."""
        for text in texts:
            if text:
                self._notes[kind, text] = None

    def facts(self) -> RunFacts:
        """What was found, and what is drawn."""
        found = self._detection.found(self._notes)
        warnings = [text for kind, text in found.notes if kind == "warning"]
        return RunFacts(
            version=__version__,
            filter="",
            inputs=found.inputs,
            found=found,
            searched=tuple(self._drawn()),
            warnings=tuple(warnings),
        )

    def _drawn(self) -> Iterable[SearchedFacts]:
        for page, preview in self._previews:
            yield SearchedFacts(
                path=self._name,
                page=page,
                in_seconds=self._search.files.medium.in_seconds,
                signal=preview.facts().before,
            )


class _RowTimes(RowText):
    """The time column of a table, as text."""

    def of(self, found: Candidates) -> list[tuple[str, str]]:
        """Return the times of the first and the last row of each candidate.

        The text of rows before `found.earliest_next` is released.
        """
        first = self._recent.texts_of(self._column, found.rows[:, 0])
        last = self._recent.texts_of(self._column, found.rows[:, 1])
        self._recent.release(found.earliest_next)
        return list(zip(first, last, strict=True))


# ------------------------------------------------------------------------------------ all together


@dataclass(eq=False, kw_only=True)
class SearchResults:
    """What a search has found so far, by the numbers of the inputs.

    quiet : notes are not printed
    failures : the inputs that could not be searched, for a report
    """

    quiet: bool
    failures: tuple[UnitFailure, ...] = ()
    drawn: dict[int, tuple[SearchedFacts, ...]] = field(default_factory=dict)
    _found: dict[int, FoundHits] = field(default_factory=dict)
    _of_templates: tuple[tuple[str, str], ...] = ()
    _printed: set[tuple[str, str]] = field(default_factory=set)

    def take(self, number: int, facts: RunFacts) -> None:
        """Keep what was found in an input, and print the notes that were not printed before."""
        found = facts.found or FoundHits()
        self.keep(number, found)
        if facts.searched:
            self.drawn[number] = facts.searched
        self._print(found.notes)

    def keep(self, number: int, found: FoundHits) -> None:
        """Keep what was found in an input."""
        self._found[number] = found

    def note(self, kind: str, texts: Iterable[str]) -> None:
        """Keep and print notes about the templates."""
        notes = tuple((kind, text) for text in texts)
        self._of_templates += notes
        self._print(notes)

    def _print(self, notes: Iterable[tuple[str, str]]) -> None:
        """Print each note that was not printed before."""
        for kind, text in notes:
            if (kind, text) not in self._printed and not self.quiet:
                print_message(text, kind=kind)
            self._printed.add((kind, text))

    def joined(self, top: int | None) -> FoundHits:
        """What was found in all inputs, in their order."""
        from convcli.detecting.detect import joined_hits

        found = [self._found[number] for number in sorted(self._found)]
        return joined_hits([FoundHits(notes=self._of_templates), *found], top)

    @property
    def searched(self) -> tuple[SearchedFacts, ...]:
        """What is drawn of the first inputs."""
        from convcli.previews.preview import MOST_FULL

        drawn = [each for number in sorted(self.drawn) for each in self.drawn[number]]
        return tuple(drawn[:MOST_FULL])
