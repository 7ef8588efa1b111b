"""`--range scale`: results are held in a temporary file until their range is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.media.scratch import keep, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.media.images.encoder import PageEncoder
    from convcli.signals import Array


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
        keep(self._file, np.asarray(values, np.float64))

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
