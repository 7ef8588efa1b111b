"""Pictures of many channels in a format that holds few: a montage of one map per channel.

The maps stand in a grid, row by row from the first channel, with a line between them. Each is
scaled to its own range, because the channels of a network have no unit in common.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.losses import Loss
from convcli.media.files import FileSink, UndividedError
from convcli.media.images.layout import list_channels
from convcli.media.scratch import append_array, scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from convcli.array_types import Float32Array
    from convcli.media.images.sink import ImageSink
    from convcli.signals import AnyRows, Array, Signal


# Pixels between two maps.
GAP = 1
# Bytes of maps that are laid out at a time.
STRIP_BYTES = 4_000_000


@dataclass(frozen=True)
class MontageGrid:
    """The places of the maps of a page in a montage.

    count : maps; rows, columns : pixels of each
    """

    count: int
    rows: int
    columns: int

    @property
    def maps_across(self) -> int:
        """Maps in a row of the grid: as many as make it about as wide as it is high."""
        proportion = (self.rows + GAP) / (self.columns + GAP)
        square = math.sqrt(self.count * proportion)
        return min(self.count, max(1, math.ceil(square)))

    @property
    def maps_down(self) -> int:
        """Number of rows of maps in the grid."""
        return -(-self.count // self.maps_across)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the montage."""
        height = self.maps_down * (self.rows + GAP) - GAP
        return height, self.maps_across * (self.columns + GAP) - GAP

    def maps(self, line: int) -> range:
        """The maps of one row of the grid."""
        first = line * self.maps_across
        return range(first, min(first + self.maps_across, self.count))


def grid_of(signal: Signal) -> MontageGrid:
    """The grid for the channels of a page."""
    rows, columns = signal.shape
    return MontageGrid(len(signal.channels), rows or 0, columns or 0)


class MontageSink(FileSink):
    """Takes the maps of each page, keeps them until their ranges are known, and writes montages.

    signals : shape and channels of the maps, one for each page
    make : the sink of the montages, given their signals
    most_pixels : a larger montage is refused
    """

    def __init__(
        self,
        signals: Sequence[Signal],
        make: Callable[[list[Signal]], ImageSink],
        most_pixels: int,
    ) -> None:
        self._grids = [grid_of(signal) for signal in signals]
        montages = []
        for signal, grid in zip(signals, self._grids, strict=True):
            height, width = grid.shape
            if height * width > most_pixels:
                raise RequestError(
                    f"a montage of {grid.count} maps has {width:,} x {height:,} pixels, "
                    f"more than {most_pixels:,}",
                    hint="write TIFF (.tif), which holds any number of channels",
                )
            montages.append(replace(signal, shape=grid.shape, channels=("grey",), alpha=None))
        self._montages = make(montages)
        self._file, _ = scratch()
        self._full = signals[0].full_scale
        self._page = 0
        self._forget_ranges()
        first = self._grids[0]
        names = list_channels(signals[0].channels)
        text = (
            f"the output is a montage of {first.count} channels ({names}), "
            f"{first.maps_across} in a row from the first on, "
            "each scaled to its own range; TIFF (.tif) holds their values"
        )
        self.warnings: list[str] = [Loss(text)]

    def _forget_ranges(self) -> None:
        count = self._grids[self._page].count
        self._least = np.full(count, np.inf)
        self._most = np.full(count, -np.inf)

    def encode(self, y: Array, rows: AnyRows) -> Float32Array:
        """Return the maps; they are laid out when the page is complete."""
        del rows
        return np.ascontiguousarray(y, dtype=np.float32)

    def write(self, encoded: Float32Array) -> None:
        """Keep the next rows of all maps, and widen their ranges."""
        self._least = np.minimum(self._least, encoded.min(axis=(0, 1)))
        self._most = np.maximum(self._most, encoded.max(axis=(0, 1)))
        append_array(self._file, encoded)

    def parted(self) -> NoReturn:
        """Raise UndividedError: a montage needs the ranges of all maps."""
        raise UndividedError("a montage needs the whole of every map")

    def next_page(self) -> None:
        """Lay out the page that is complete, and go on to the next one."""
        self._lay_out()
        self._montages.next_page()
        self._page += 1
        self._forget_ranges()

    def close(self) -> None:
        """Lay out the last page, and end the file."""
        self._lay_out()
        self._file.close()
        self._montages.close()
        self.warnings += self._montages.warnings

    def discard(self) -> None:
        """Give up: write nothing more and delete temporary files."""
        self._file.close()
        self._montages.discard()

    def facts(self) -> dict[str, object]:
        """What was written, for a report."""
        grid = self._grids[0]
        return {**self._montages.facts(), "montage": [grid.maps_across, grid.maps_down]}

    def _lay_out(self) -> None:
        """Write the montage of the page whose maps are in the file."""
        self._file.flush()
        grid = self._grids[self._page]
        shape = (grid.rows, grid.columns, grid.count)
        maps: Float32Array = np.memmap(self._file, np.float32, "r", shape=shape)
        for strip in self._strips(maps, grid):
            self._montages.write(self._montages.encode(strip, np.arange(len(strip))))
        del maps
        self._file.seek(0)
        self._file.truncate()

    def _strips(self, maps: Float32Array, grid: MontageGrid) -> Iterator[Array]:
        """Yield the montage from the top, some rows at a time, (rows, columns, 1)."""
        row_bytes = 4 * grid.count * grid.columns
        at_once = max(1, STRIP_BYTES // row_bytes)
        for line in range(grid.maps_down):
            if line:
                yield np.zeros((GAP, grid.shape[1], 1), np.float32)
            for first in range(0, grid.rows, at_once):
                yield self._side_by_side(maps[first : first + at_once], grid, line)

    def _side_by_side(self, rows: Float32Array, grid: MontageGrid, line: int) -> Array:
        """Some pixel rows of all maps in one row of the grid, side by side."""
        strip: Float32Array = np.zeros((len(rows), grid.shape[1], 1), np.float32)
        for place, number in enumerate(grid.maps(line)):
            left = place * (grid.columns + GAP)
            strip[:, left : left + grid.columns, 0] = self._scaled(rows[..., number], number)
        return strip

    def _scaled(self, values: Float32Array, number: int) -> Float32Array:
        """A map with its least value at 0 and its largest at full scale; a constant one is 0."""
        least = self._least[number]
        extent = self._most[number] - least
        if not extent > 0:
            return np.zeros_like(values)
        factor = self._full / extent
        scaled: Float32Array = ((values - least) * factor).astype(np.float32)
        return scaled
