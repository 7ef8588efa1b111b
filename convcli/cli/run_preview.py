"""What reports and plots draw of a run of a filter command, collected while it goes."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from convcli.errors import ConvcliError
from convcli.previews.observe import ObservedSink, ObservedSource, preview_of
from convcli.previews.preview import THUMBNAIL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convcli.facts.preview import FeatureMapFacts, PreviewFacts
    from convcli.media.files import Files
    from convcli.places import Place
    from convcli.planning.plan import Plan
    from convcli.previews.observe import StoringSink
    from convcli.previews.preview import PreviewSize
    from convcli.signals import Signal, Sink, Source

# Further pages of a picture that are drawn small.
MOST_PAGES = 24


class RunPreview:
    """The preview of one run: of its input, and of its result as it was written.

    signals : of each page, what is read and what is written
    """

    def __init__(self, signals: Sequence[tuple[Signal, Signal]], size: PreviewSize) -> None:
        self._preview = preview_of(*signals[0], size, _group_name)
        drawn = [] if size.small else signals[1 : MOST_PAGES + 1]
        self._pages = [preview_of(*page, THUMBNAIL) for page in drawn]
        self._small = size.small
        self._more = len(signals) - 1 - len(drawn)

    def observed(
        self, source: Source[Any], sink: StoringSink, page: int
    ) -> tuple[Source[Any], Sink[Any]]:
        """The source and the sink of a page, counted from 0, with an observer between them."""
        previews = [self._preview, *self._pages]
        if page >= len(previews):
            return source, sink
        preview = previews[page]
        observed = ObservedSink(sink, preview, sink.stored)
        # A thumbnail shows the result alone.
        if self._small and not preview.needs_input:
            return source, observed
        return ObservedSource(source, preview), observed

    def facts(self, files: Files, source: Place | None, output: Place | None) -> PreviewFacts:
        """What is drawn.

        A picture is shown as it was stored, because it is rounded, clipped and perhaps scaled after
        the filter: it is read from its file, where there is one.
        """
        pages = tuple(page.facts() for page in self._pages)
        facts = self._first_page(files, source, output)
        return replace(facts, pages=pages, more_pages=self._more)

    def feature_maps(self, plan: Plan) -> tuple[FeatureMapFacts, ...]:
        """What the layers of a network in the plan make of a part of the input."""
        from convcli.designs import find

        # A network may be several steps of one call.
        calls = list(dict.fromkeys(step.call for step in plan.steps))
        nested = [each for call in calls for each in call.with_nested()]
        if self._small or not any(find(call.name).runs_model for call in nested):
            return ()
        # The import takes 25 ms.
        from convcli.previews.feature_maps import feature_maps, part_of

        part = part_of(self._preview.facts().before)
        if part is None:
            return ()
        return feature_maps(calls, plan.signal, plan.rules, part)

    def _first_page(self, files: Files, source: Place | None, output: Place | None) -> PreviewFacts:
        preview = self._preview
        viewed = files.for_viewing()
        better: list[tuple[Files, Place | None, Callable[[Source[Any]], None]]] = []
        if viewed is not None:
            better.append((viewed, source, preview.read_input))
        if preview.better_in_file:
            readable = (viewed or files).for_results()
            better.append((readable, output, preview.read_result))
        # What is read takes the place of what was noted, which the copy keeps.
        noted = copy(preview)
        try:
            for reader, place, take in better:
                _read_again(reader, place, take)
        except (ConvcliError, OSError):  # a device, or a file that was removed meanwhile
            return noted.facts()
        return preview.facts()


def _group_name(name: bytes) -> str:
    """What a group of a table is called."""
    from convcli.media.tables.group_names import group_name

    return group_name(name)


def _read_again(files: Files, place: Place | None, take: Callable[[Source[Any]], None]) -> None:
    from convcli.places import is_file, local_path

    path = local_path(place)
    if path is None or not is_file(path):
        return
    with files.open(path, stdin=None) as opened:
        take(opened.sources[0])
