"""The k-th smallest pixel of each window of a picture, in a time that hardly depends on its size.

The pixels are put in order once and divided into up to 256 buckets of neighbouring values. For each
row of windows, the pixels of each bucket are counted in each column. From one row to the next, only
two rows of pixels change these counts (Huang, Yang & Tang, IEEE Transactions on Acoustics, Speech
and Signal Processing 27, 1979). Running sums over the columns give the counts of all windows of the
row, which tell the bucket that holds the k-th smallest pixel of each. Within a bucket the pixels
are compared in tiles of windows, which have most of their pixels in common (`tile_of_windows.py`).
A bucket of equal values, as in a picture of bytes, needs no tile. Medians of 101 x 101 pixels of 16
bits take a thirtieth of the time of a wavelet matrix, and those of 1001 x 1001 little longer.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convcli.core.convolution.rounding import LARGEST_WHOLE
from convcli.core.windows.kth_smallest import OrderedWindows
from convcli.core.windows.tile_of_windows import Pixels, TileOfWindows, WindowGrid
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.array_types import IntArray, Sizes
    from convcli.signals import Array

    Counts = npt.NDArray[np.floating[Any]]

_MOST_BUCKETS = 256
# Neighbouring buckets, a power of two, whose counts lie in the same line of the cache.
_NEAR_BUCKETS = 16
# Counts of buckets in windows that are held at a time, of 4 bytes each, or 8.
_MOST_COUNTS = 1 << 24
# Bits of tiles that are kept for the next search in a band: 32 MB.
_MOST_KEPT_BITS = 1 << 28
# Pixels between the first and the last window of a tile: the windows of a larger one have fewer
# pixels in common.
_TILE_SIDE = 64
_TILE_PIXELS = _TILE_SIDE**2


@dataclass(frozen=True, eq=False)
class _Buckets:
    """The known pixels of a picture in order, divided where values change.

    pixels : in order
    starts : (buckets + 1,) the rank at which each bucket begins, and how many pixels are known
    of_pixel : (rows, columns) the bucket of each pixel; that of a missing one is the last
    """

    pixels: Pixels
    starts: IntArray
    of_pixel: npt.NDArray[np.int16]

    @property
    def count(self) -> int:
        """The number of buckets that values are counted in."""
        return len(self.starts) - 1


def _in_buckets(x: Array) -> _Buckets:
    flat = x.reshape(-1)
    order = np.argsort(flat, kind="stable")
    known = flat.size - int(np.count_nonzero(np.isnan(flat)))
    order = order[:known]
    values = flat[order]
    starts = np.append(_bucket_starts(values), known)
    buckets = np.arange(len(starts) - 1, dtype=np.int16)
    of_pixel = np.full(flat.size, len(buckets), np.int16)
    of_pixel[order] = np.repeat(buckets, np.diff(starts))
    ranks = np.full(flat.size, known, np.int32)
    ranks[order] = np.arange(known)
    rows, columns = np.divmod(order.astype(np.int32), np.int32(x.shape[1]))
    pixels = Pixels(values=values, rows=rows, columns=columns, ranks=ranks.reshape(x.shape))
    return _Buckets(pixels, starts, of_pixel.reshape(x.shape))


def _bucket_starts(values: Array) -> IntArray:
    """The ranks at which buckets begin: one for each value, or else of about equal sizes.

    A value that would fill a bucket has one of its own.

    values : in order, none missing
    """
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1
    if len(changes) < _MOST_BUCKETS:
        return np.append(0, changes)[: len(values)]
    even = values[np.arange(_MOST_BUCKETS) * len(values) // _MOST_BUCKETS]
    frequent = even[1:][even[1:] == even[:-1]]
    starts = np.searchsorted(values, even, side="left")
    after_frequent = np.searchsorted(values, frequent, side="right")
    after_frequent = after_frequent[after_frequent < len(values)]
    return np.union1d(starts, after_frequent)


def counted_windows(x: Array, size: Sizes, step: Sizes, own: Sizes) -> Iterator[CountedWindows]:
    """Yield the windows of (rows, columns), some rows of windows at a time.

    Windows are valid until the next ones are asked for, which take their memory.

    own : the place in a window of the sample that its output is aligned with
    """
    buckets = _in_buckets(x)
    grid = WindowGrid(size=size, step=step, shape=x.shape)
    most = _MOST_COUNTS // (grid.columns * (buckets.count + 1))
    rows_at_once = max(1, min(most, _TILE_SIDE // step[0]))
    column_counts = _ColumnCounts(buckets, grid)
    columns = own[1] + step[1] * np.arange(grid.columns)
    # The windows of a band are done with when those of the next one are asked for.
    of_band = np.empty((rows_at_once, grid.columns, buckets.count + 1), column_counts.type)
    for first in range(0, grid.rows, rows_at_once):
        numbers = range(first, min(first + rows_at_once, grid.rows))
        counts = of_band[: len(numbers)]
        for row, of_row in zip(numbers, counts, strict=True):
            column_counts.count_windows(row, of_row)
        rows = own[0] + step[0] * np.array(numbers)
        of_outputs = x[rows[:, None], columns].reshape(-1)
        yield CountedWindows(_Band(buckets, grid, numbers, counts), of_outputs)


class _ColumnCounts:
    """How many pixels of each bucket lie in each column of a row of windows.

    type : floating, of counts of whole rows
    """

    type: type[np.floating[Any]]

    def __init__(self, buckets: _Buckets, grid: WindowGrid) -> None:
        self._of_pixel = buckets.of_pixel
        self._grid = grid
        columns = grid.shape[1]
        self._columns = np.arange(columns)
        # The last bucket is that of missing pixels.
        self._counts = np.zeros((columns, buckets.count + 1), np.float32)
        self._first = 0
        self._last = 0
        is_large = columns * grid.size[0] > LARGEST_WHOLE
        self.type = np.float64 if is_large else np.float32

    def count_windows(self, row: int, counts: Counts) -> None:
        """Write how many pixels of each window of a row lie in the buckets before each one.

        counts : (columns of windows, buckets + 1); rows must come in order
        """
        import cv2

        self._move_to(row * self._grid.step[0])
        width, stride = self._grid.size[1], self._grid.step[1]
        # Running sums of OpenCV take a tenth of the time of those of NumPy.
        depth = cv2.CV_32F if self.type == np.float32 else cv2.CV_64F
        before = cv2.integral(self._counts, sdepth=depth)[:, :-1]
        np.subtract(before[width::stride], before[:-width:stride], out=counts)

    def _move_to(self, first: int) -> None:
        """Count the rows of pixels from `first` on that belong to a row of windows."""
        last = first + self._grid.size[0]
        if first >= self._last:
            self._counts[:] = 0
            self._first = self._last = first
        for row in range(self._first, first):
            self._counts[self._columns, self._of_pixel[row]] -= 1
        for row in range(self._last, last):
            self._counts[self._columns, self._of_pixel[row]] += 1
        self._first, self._last = first, last


@dataclass(frozen=True, eq=False)
class _Band:
    """Some rows of windows of a picture.

    rows : the numbers of the rows in the grid
    counts : (rows, columns, buckets + 1) how many pixels of a window are in the buckets before each
    """

    buckets: _Buckets
    grid: WindowGrid
    rows: range
    counts: Counts


class CountedWindows(OrderedWindows):
    """The windows of a band, row by row.

    own : the sample that the output of each is aligned with
    """

    def __init__(self, band: _Band, own: Array) -> None:
        self._band = band
        self._counts = band.counts.reshape(-1, band.counts.shape[2])
        self.known = self._counts[:, -1].astype(np.int64)
        self.own = own
        self._kept: dict[int, tuple[range, TileOfWindows]] = {}
        rows, columns = len(band.rows), band.grid.columns
        side = min(_columns_of_tile(band.grid, rows), columns)
        tile = band.grid.spans(0, rows).width * band.grid.spans(1, side).width
        self._keeps = tile * (rows + side) * (columns // side) < _MOST_KEPT_BITS

    def smallest(self, k: IntArray) -> Array:
        """Find the bucket of the k-th smallest pixel, and then the pixel."""
        buckets = self._band.buckets
        values = buckets.pixels.values
        if not len(values):
            return np.full(self.known.shape, np.nan)
        most = np.maximum(self.known - 1, 0)
        k = np.minimum(np.broadcast_to(k, self.known.shape), most)
        bucket = self._bucket_of(k)
        found = values[buckets.starts[bucket]]
        last_places = buckets.starts[bucket + 1] - 1
        is_several = found != values[last_places]
        for tile in self._tiles(bucket, is_several & (self.known > 0)):
            within = k[tile.windows] - tile.before
            found[tile.windows] = tile.pixels.smallest(*tile.places, within)
        return found

    @cached_property
    def _far_apart(self) -> Counts:
        """The counts before every `_NEAR_BUCKETS`-th bucket but the first, (buckets, windows)."""
        return np.ascontiguousarray(self._counts[:, _NEAR_BUCKETS::_NEAR_BUCKETS].T)

    def _bucket_of(self, k: IntArray) -> IntArray:
        """The last bucket before which a window has at most k pixels.

        Buckets far apart are compared one after the other, and those between two of them by
        bisection: their counts lie near each other, which takes a quarter of the time.
        """
        counts = self._counts
        k = k.astype(counts.dtype)
        is_before = self._far_apart <= k
        passed: Any = np.add.reduce(is_before.view(np.uint8), axis=0)
        low: IntArray = passed.astype(np.int64) * _NEAR_BUCKETS
        high = np.minimum(low + _NEAR_BUCKETS, self._band.buckets.count)
        # Where no pixel is known, even the count behind the last bucket is not above k.
        low = np.minimum(low, high - 1)
        windows = np.arange(len(k)) * counts.shape[1]
        for _ in range(_NEAR_BUCKETS.bit_length() - 1):
            middle = (low + high) // 2
            is_lower = np.take(counts, windows + middle) <= k
            low = np.where(is_lower, middle, low)
            high = np.where(is_lower, high, middle)
        return low

    def counts_of_own(self) -> tuple[IntArray, IntArray]:
        """Count the ranks below those of the samples that are equal, and of all up to them."""
        values = self._band.buckets.pixels.values
        less = np.searchsorted(values, self.own, side="left")
        not_more = np.searchsorted(values, self.own, side="right")
        return self._count_below(less), self._count_below(not_more)

    def _count_below(self, rank: IntArray) -> IntArray:
        """Count the samples of each window whose rank is below `rank`."""
        starts = self._band.buckets.starts
        bucket = np.searchsorted(starts, rank, side="right") - 1
        count = self._counts[np.arange(len(rank)), bucket].astype(np.int64)
        is_within = rank > starts[bucket]
        for tile in self._tiles(bucket, is_within):
            below = tile.pixels.count_below(*tile.places, rank[tile.windows])
            count[tile.windows] = tile.before + below
        return count

    def _tiles(self, bucket: IntArray, is_sought: Any) -> Iterator[_Sought]:
        """Yield the tiles with windows in which a pixel of some bucket is sought."""
        band = self._band
        rows = len(band.rows)
        columns = band.grid.columns
        side = _columns_of_tile(band.grid, rows)
        sought = is_sought.reshape(rows, columns)
        for first in range(0, columns, side):
            row, column = np.nonzero(sought[:, first : first + side])
            if not len(row):
                continue
            windows = row * columns + column + first
            of_windows = bucket[windows]
            across = range(first, min(first + side, columns))
            wanted = range(int(of_windows.min()), int(of_windows.max()) + 1)
            held, pixels = self._pixels_of(across, wanted)
            before = self._counts[windows, of_windows].astype(np.int64)
            yield _Sought(pixels, windows, (of_windows - held.start, row, column), before)

    def _pixels_of(self, across: range, wanted: range) -> tuple[range, TileOfWindows]:
        """The pixels of the wanted buckets, and perhaps of others, in a tile of these columns.

        A tile is kept for the next search, with all buckets that were wanted so far: a median
        deviation searches some thirty times.
        """
        kept = self._kept.get(across.start)
        if kept is not None:
            held = kept[0]
            if held.start <= wanted.start and wanted.stop <= held.stop:
                return kept
            wanted = range(min(held.start, wanted.start), max(held.stop, wanted.stop))
        band = self._band
        starts = band.buckets.starts[wanted.start : wanted.stop + 1]
        pixels = TileOfWindows(band.buckets.pixels, band.grid, band.rows, across, starts)
        if self._keeps:
            self._kept[across.start] = wanted, pixels
        return wanted, pixels


@dataclass(frozen=True, eq=False)
class _Sought:
    """The windows of a tile in which pixels are sought.

    windows : their numbers; places : the bucket, the row and the column of each in the tile
    before : how many pixels of each window are in lower buckets
    """

    pixels: TileOfWindows
    windows: IntArray
    places: tuple[IntArray, IntArray, IntArray]
    before: IntArray


def _columns_of_tile(grid: WindowGrid, rows: int) -> int:
    """How many columns of windows are looked at together with `rows` rows of windows."""
    rows_read = rows * grid.step[0]
    columns = _TILE_PIXELS // rows_read // grid.step[1]
    return max(1, columns)
