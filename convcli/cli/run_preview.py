"""What reports and plots draw of a run of a filter command, collected while it goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from convcli.errors import ConvcliError
from convcli.previews.observe import ObservedSink, ObservedSource, preview_of

if TYPE_CHECKING:
    from convcli.facts.preview import PreviewFacts
    from convcli.media.files import Files
    from convcli.places import Place
    from convcli.previews.observe import PreviewSize
    from convcli.signals import Signal, Sink, Source


class RunPreview:
    """The preview of one run: of its input, and of its result as it was written."""

    def __init__(self, signal: Signal, result: Signal, size: PreviewSize) -> None:
        self._preview = preview_of(signal, result, size)
        self._size = size

    def observed(self, source: Source[Any], sink: Sink[Any]) -> tuple[Source[Any], Sink[Any]]:
        """The source and the sink with an observer between them and the engine."""
        return ObservedSource(source, self._preview), ObservedSink(sink, self._preview)

    def facts(self, files: Files, source: Place | None, output: Place | None) -> PreviewFacts:
        """What is drawn.

        A picture is shown as it was stored, because it is rounded, clipped and perhaps scaled after
        the filter: it is read from its file, where there is one.
        """
        facts = self._preview.facts()
        if facts.after.picture is None:
            return facts
        viewed = files.for_viewing()
        before = None if viewed is None else source
        try:
            return self._with_files(viewed or files, before, output)
        except (ConvcliError, OSError):  # a device, or a file that was removed meanwhile
            return facts

    def _with_files(self, files: Files, before: Place | None, after: Place | None) -> PreviewFacts:
        """The facts with the pictures in two files in place of what was observed."""
        from convcli.media.outputs import is_file

        for path, take in ((before, self._preview.read_input), (after, self._preview.read_result)):
            if not isinstance(path, Path) or not is_file(path):
                continue
            with files.open(path, stdin=None) as opened:
                take(opened.sources[0])
        return self._preview.facts()
