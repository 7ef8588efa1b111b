"""The k-th smallest pixel of neighbouring windows of a picture, among some of the pixels.

The pixels that lie in any window of the tile are in order. One bit for each row of windows, and one
for each column of windows, says whether a pixel lies within. A window holds the pixels of which
both bits are set, and counts 64 of them at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.array_types import IntArray, Sizes
    from convcli.signals import Array

    Words = npt.NDArray[np.uint64]

_WORD = 64


@dataclass(frozen=True, eq=False)
class Pixels:
    """The known pixels of a picture in order.

    values, rows, columns : (pixels,) by rank
    ranks : (rows, columns) of the picture; missing pixels have the highest one
    """

    values: Array
    rows: npt.NDArray[np.int32]
    columns: npt.NDArray[np.int32]
    ranks: npt.NDArray[np.int32]

    def within(self, top: int, left: int, shape: Sizes, first: int, last: int) -> IntArray:
        """Return the ranks first ... last - 1 that lie in a rectangle, in order."""
        height, width = shape
        if last - first > 2 * height * width:
            ranks = self.ranks[top : top + height, left : left + width].reshape(-1)
            some = ranks[(ranks >= first) & (ranks < last)]
            return np.sort(some).astype(np.int64)
        # Numbers below 0 become large ones, so that one comparison does for both sides.
        down = (self.rows[first:last] - np.int32(top)).view(np.uint32)
        across = (self.columns[first:last] - np.int32(left)).view(np.uint32)
        return first + np.flatnonzero((down < height) & (across < width))


@dataclass(frozen=True, eq=False)
class Spans:
    """Rows or columns of neighbouring windows.

    starts : of each, from the first one on; size : how many pixels each has
    """

    starts: range
    size: int

    @property
    def width(self) -> int:
        """How many pixels lie between the first and the last, both of them included."""
        return self.starts[-1] + self.size


@dataclass(frozen=True, eq=False)
class WindowGrid:
    """The complete windows of a picture.

    size, step : of the windows; shape : (rows, columns) of the picture
    """

    size: Sizes
    step: Sizes
    shape: Sizes

    @property
    def rows(self) -> int:
        """How many rows of windows there are."""
        return (self.shape[0] - self.size[0]) // self.step[0] + 1

    @property
    def columns(self) -> int:
        """How many windows there are in a row."""
        return (self.shape[1] - self.size[1]) // self.step[1] + 1

    def spans(self, axis: int, count: int) -> Spans:
        """Return the pixels of `count` neighbouring windows along an axis, from the first one."""
        step = self.step[axis]
        return Spans(range(0, count * step, step), self.size[axis])


class TileOfWindows:
    """A rectangle of windows, and the pixels of some buckets that they hold.

    The pixels of each bucket begin with a new word of bits.

    rows, columns : of the windows, as ranges of numbers in the grid
    starts : (buckets + 1,) the ranks at which the buckets begin
    """

    def __init__(
        self, pixels: Pixels, grid: WindowGrid, rows: range, columns: range, starts: IntArray
    ) -> None:
        top = rows.start * grid.step[0]
        left = columns.start * grid.step[1]
        down = grid.spans(0, len(rows))
        across = grid.spans(1, len(columns))
        ranks = pixels.within(
            top, left, (down.width, across.width), int(starts[0]), int(starts[-1])
        )
        # Where the pixels of each bucket begin and end among those of the tile.
        bounds = np.searchsorted(ranks, starts)
        counts = np.diff(bounds)
        words = -(-counts // _WORD)
        ends = np.cumsum(words)
        self._values = pixels.values
        self._first_words = ends - words
        places = _places_of_bits(counts, self._first_words)
        # The places of a word that no pixel has come after those of all pixels of the bucket.
        self._ranks = np.repeat(starts[1:], words * _WORD)
        self._ranks[places] = ranks
        self._in_rows = _bits(pixels.rows[ranks] - top, places, ends[-1], down)
        self._in_columns = _bits(pixels.columns[ranks] - left, places, ends[-1], across)

    def smallest(self, bucket: IntArray, row: IntArray, column: IntArray, k: IntArray) -> Array:
        """Return the k-th smallest pixel in a bucket, from 0, of windows at (row, column)."""
        word = self._first_words[bucket]
        rest = k
        while True:
            bits = self._in_rows[word, row] & self._in_columns[word, column]
            count = np.bitwise_count(bits)
            is_later = rest >= count
            if not is_later.any():
                break
            rest = rest - count * is_later
            word = word + is_later
        place = _WORD * word + _place_of_bit(bits, rest)
        found: Array = self._values[self._ranks[place]]
        return found

    def count_below(
        self, bucket: IntArray, row: IntArray, column: IntArray, rank: IntArray
    ) -> IntArray:
        """Count the pixels of a bucket, in windows at (row, column), whose rank is below `rank`."""
        last_word, bit = np.divmod(np.searchsorted(self._ranks, rank), _WORD)
        lower_bits = (np.uint64(1) << bit.astype(np.uint64)) - np.uint64(1)
        word = self._first_words[bucket]
        total = np.zeros(len(rank), np.int64)
        for _ in range(int((last_word - word).max()) + 1):
            at = np.minimum(word, last_word)
            bits = self._in_rows[at, row] & self._in_columns[at, column]
            bits = np.where(word < last_word, bits, bits & lower_bits)
            total += np.where(word <= last_word, np.bitwise_count(bits), 0)
            word = word + 1
        return total


def _places_of_bits(counts: IntArray, first_words: IntArray) -> IntArray:
    """The bit of each pixel, in the order of buckets and ranks.

    counts : pixels of each bucket; first_words : the word that the bits of each bucket begin with
    """
    begins = np.cumsum(counts) - counts
    shifts = np.repeat(_WORD * first_words - begins, counts)
    places: IntArray = np.arange(len(shifts)) + shifts
    return places


def _bits(from_start: Any, places: IntArray, words: int, spans: Spans) -> Words:
    """(words, spans) a bit for each place, whether its pixel lies in each of some spans.

    from_start : of the pixels; places : of their bits
    """
    kind = _smallest_type(spans)
    # No span holds the largest number.
    padded = np.full(words * _WORD, np.iinfo(kind).max, kind)
    padded[places] = from_start
    starts = np.array(spans.starts, kind)[:, None]
    # Numbers below 0 become large ones, so that one comparison does for both sides.
    flags = padded - starts < spans.size
    packed = np.packbits(flags, axis=1, bitorder="little").view("<u8")
    return np.ascontiguousarray(packed.T.astype(np.uint64, copy=False))


def _smallest_type(spans: Spans) -> type[np.unsignedinteger[Any]]:
    """The smallest type in which a difference below 0 is no place within a span.

    Bytes take a fifth of the time of int32.
    """
    largest = spans.size + 2 * max(spans.starts)
    for kind in (np.uint8, np.uint16):
        if largest < np.iinfo(kind).max:
            return kind
    return np.uint32


def _place_of_bit(words: Words, number: IntArray) -> IntArray:
    """The place of set bit `number`, counted from 0, in each word of 64 bits."""
    rest = number
    place = np.zeros(len(words), np.int64)
    for width in (32, 16, 8, 4, 2, 1):
        lower = words & np.uint64((1 << width) - 1)
        count = np.bitwise_count(lower).astype(np.int64)
        is_above = rest >= count
        rest = rest - count * is_above
        words = np.where(is_above, words >> np.uint64(width), lower)
        place += width * is_above
    return place
