"""The observer of a run: a source and a sink that pass everything on and note what is drawn."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from convcli.previews.preview import Preview, PreviewSize, group_text
from convcli.signals import LiveSource, Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convcli.signals import AnyRows, Array, Block, Signal, Source


def preview_of(
    signal: Signal,
    result: Signal,
    size: PreviewSize,
    group_name: Callable[[bytes], str] = group_text,
) -> Preview:
    """The preview for a run that makes `result` of `signal`.

    group_name : what a group of a table is called
    """
    if signal.axes == 2:
        from convcli.previews.picture import PicturePreview

        return PicturePreview(signal, result, size)
    if signal.medium.in_seconds:
        from convcli.previews.sound import SoundPreview

        return SoundPreview(signal, result, size)
    from convcli.previews.table import TablePreview

    return TablePreview(signal, result, size, group_name)


class ObservedSource:
    """A source whose blocks are noted as they arrive."""

    def __init__(self, source: Source[Any], preview: Preview) -> None:
        self.signal = source.signal
        self._source = source
        self._preview = preview

    def pieces(self) -> Iterator[Any]:
        """Yield the undecoded pieces of the source with their numbers."""
        self._preview.restart()
        yield from enumerate(self._source.pieces())

    def pieces_as_they_come(self) -> Iterator[Any]:
        """Yield shorter pieces where the samples of the source come slowly."""
        if not isinstance(self._source, LiveSource):
            yield from self.pieces()
            return
        self._preview.restart()
        yield from enumerate(self._source.pieces_as_they_come())

    def last_for_now(self, raw: Any) -> bool:
        """Whether the next piece may be long in coming."""
        _, piece = raw
        return isinstance(self._source, LiveSource) and self._source.last_for_now(piece)

    def decode(self, raw: Any) -> Block:
        """Decode a piece to a block that is noted when it arrives."""
        number, piece = raw
        block = self._source.decode(piece)
        # Of most files, all blocks but the last one have the same length.
        position = number * len(block.stored)
        prepared = self._preview.prepared_input(block, position)
        return replace(block, on_arrival=partial(self._arrived, block, prepared))

    def _arrived(self, block: Block, prepared: Any) -> None:
        block.on_arrival()
        self._preview.add_input(prepared)


class StoringSink(Sink[Any], Protocol):
    """A sink that knows the samples of an encoded block as they are stored."""

    def stored(self, encoded: Any) -> Array | None:
        """The samples of a block; None where those that were encoded are as good."""
        ...


class ObservedSink:
    """A sink whose samples are noted as they are written.

    stored : finds in an encoded block the samples as they are stored, if they are to be noted; else
        they are noted as they were before they were encoded
    """

    def __init__(
        self,
        sink: Sink[Any],
        preview: Preview,
        stored: Callable[[Any], Array | None] | None = None,
    ) -> None:
        self._sink = sink
        self._preview = preview
        self._stored = stored

    def encode(self, y: Array, rows: AnyRows) -> Any:
        """Encode samples, and keep them until they are written."""
        encoded = self._sink.encode(y, rows)
        stored = None if self._stored is None else self._stored(encoded)
        noted = stored
        if noted is None:
            noted = y
            self._preview.as_stored = False
        return self._preview.prepared_output(noted, rows), encoded

    def write(self, encoded: Any) -> None:
        """Write encoded samples and note them."""
        prepared, content = encoded
        self._sink.write(content)
        self._preview.add_output(prepared)
