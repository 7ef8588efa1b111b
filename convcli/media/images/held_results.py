"""Results that are held in a temporary file until all of them are known.

`--range scale` needs their range. Grey pictures of 1, 2 or 4 bits a sample keep these bits if their
results need no more: a file says how many bits a sample has before its first pixel, and whether the
results are black and white alone is known after the last one. They are held up to the first sample
that needs 8 bits: after a median there is none, after a mean it is in one of the first rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from convcli.dataclass import dataclass
from convcli.media.images.layout import are_alike
from convcli.media.scratch import append_array, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from convcli.media.images.encoder import PageEncoder
    from convcli.media.images.layout import Layout, Pixels
    from convcli.media.images.picture_format import PictureWriter, WriteRequest
    from convcli.signals import Array

FEW_BITS = (1, 2, 4)
# Bytes of held samples that are passed on at once.
_PASSED_BYTES = 1 << 20


def few_bits_of(request: WriteRequest, inputs: Sequence[Layout]) -> int | None:
    """Bits of a sample of the input, if they are few and the output can have as few.

    inputs : the pages of the input
    """
    bits = request.details.bits
    if bits not in FEW_BITS or not request.format.samples.few_bits or request.details.palette:
        return None
    if not are_alike(request.layouts):
        return None
    for layout in (*inputs, *request.layouts):
        if len(layout.channels) > 1 or layout.dtype != np.uint8 or layout.white is not None:
            return None
    return bits


@dataclass(frozen=True)
class _CheckedStrip:
    """A strip of a page, and whether all of its samples can be stored with few bits."""

    pixels: Pixels
    fits: bool


class FewBitsWriter:
    """Writes grey pages with few bits a sample if all results fit, else with 8 bits.

    bits : of a sample; None as soon as a result needs 8
    """

    def __init__(self, target: Path | BinaryIO, request: WriteRequest, bits: int) -> None:
        self._target = target
        self._request = request
        self.bits: int | None = bits
        # Stored samples of few bits are read as multiples of this, so that the largest is 255.
        self._unit = np.uint8(255 // ((1 << bits) - 1))
        self._held, _ = scratch()
        # Rows that are held of each page that was begun.
        self._held_rows: list[int] = []
        self._writer: PictureWriter | None = None

    # None, since the whole result decides how it is written.
    shared: None = None

    def pack(self, pixels: Pixels) -> _CheckedStrip:
        """A strip as `append` takes it."""
        fits = not np.any(pixels % self._unit)
        return _CheckedStrip(pixels, fits)

    def start(self, layout: Layout) -> None:
        """Begin a page of the given shape and type."""
        if self._writer is None:
            self._held_rows.append(0)
        else:
            self._writer.start(layout)

    def append(self, packed: _CheckedStrip) -> None:
        """Hold a strip, or write it after all that was held."""
        if self._writer is None and packed.fits:
            append_array(self._held, packed.pixels)
            self._held_rows[-1] += len(packed.pixels)
            return
        if self._writer is None:
            self.bits = None
            self._writer = self._open()
        self._writer.append(self._writer.pack(packed.pixels))

    def finish(self) -> None:
        """Write what is held with few bits, or end the file of 8 bits."""
        if self._writer is None:
            self._writer = self._open()
        self._writer.finish()
        self._held.close()

    def discard(self) -> None:
        """Give up: nothing more is written, and what is held is deleted."""
        if self._writer is not None:
            self._writer.discard()
        self._held.close()

    def _open(self) -> PictureWriter:
        """The writer of the file, to which everything that is held was passed."""
        request = replace(self._request, bits=self.bits)
        writer = request.format.writing.writer(self._target, request)
        self._held.seek(0)
        try:
            for rows, layout in zip(self._held_rows, request.layouts, strict=False):
                writer.start(layout)
                self._pass_on(writer, layout, rows)
        except BaseException:
            writer.discard()
            raise
        return writer

    def _pass_on(self, writer: PictureWriter, layout: Layout, rows: int) -> None:
        at_once = max(1, _PASSED_BYTES // layout.columns)
        for first in range(0, rows, at_once):
            count = min(at_once, rows - first)
            data = self._held.read(count * layout.columns)
            pixels = np.frombuffer(data, np.uint8).reshape(count, layout.columns, 1)
            writer.append(writer.pack(pixels))


class ScaledResults:
    """Results that are read back with the range of all of them mapped to 0..full."""

    def __init__(self) -> None:
        self._file, _ = scratch()
        self._least = np.inf
        self._most = -np.inf

    def add(self, values: Array, page: PageEncoder) -> None:
        """Keep results of a page, and widen the range to its filtered channels.

        Infinite values do not count.
        """
        filtered = values[..., page.filtered]
        finite = filtered[np.isfinite(filtered)]
        if finite.size:
            self._least = min(self._least, float(finite.min()))
            self._most = max(self._most, float(finite.max()))
        append_array(self._file, np.asarray(values, np.float64))

    def rewind(self) -> None:
        """Start to read at the first page."""
        self._file.seek(0)

    def strips(self, page: PageEncoder) -> Iterator[Array]:
        """The scaled results of the next page, in strips of rows."""
        layout = page.layout
        row_bytes = layout.columns * page.channels * np.dtype(np.float64).itemsize
        for start in range(0, layout.rows, layout.strip_rows):
            rows = min(layout.strip_rows, layout.rows - start)
            data = bytearray(self._file.read(rows * row_bytes))
            values = np.frombuffer(data, np.float64).reshape(rows, layout.columns, page.channels)
            self._scale(values, page)
            yield values

    def _scale(self, values: Array, page: PageEncoder) -> None:
        """Scale the filtered channels in place. A constant stays as it is."""
        extent = self._most - self._least
        if extent <= 0:
            return
        for channel in page.filtered:
            values[..., channel] -= self._least
            values[..., channel] *= page.source.levels.full
            values[..., channel] /= extent

    def close(self) -> None:
        """Close the temporary file, which deletes it."""
        self._file.close()
