"""The preview of a picture, made while rows come: means of pixels, a detail, a histogram."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.alpha import seen_samples, straight_samples
from convcli.core.ssim import StructuralSimilarity
from convcli.dataclass import dataclass
from convcli.facts.preview import LikenessFacts, PictureFacts, PreviewFacts, SignalPreview
from convcli.previews.outline import sum_of_squares
from convcli.previews.preview import Preview, PreviewOfSums, PreviewSize
from convcli.samples import as_samples, in_type
from convcli.signals import blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import AnyArray, ByteArray, Float32Array, FloatArray
    from convcli.signals import Array, Signal, Source


_RGB = ("R", "G", "B")
# Pixels of a side of the detail, and bins of the histogram.
DETAIL = 96
BINS = 64
# Types whose rows OpenCV adds up in float32.
_ADDED_BY_OPENCV = (np.uint8, np.uint16, np.float32)
# Types of so few numbers that each is counted.
_FEW_NUMBERS = (np.uint8, np.uint16)
# Rows of two pictures whose likeness is measured at once.
STRIP = 64
# The share of the differences that is drawn without being cut off.
DRAWN_SHARE = 0.998
# Bytes are always drawn from 0 to their full scale.
_BYTE_SCALE = 255
# Other pictures are drawn by their own range if it goes this share of the full scale beyond 0 or
# the full scale, or if it ends below this share.
_FAR_OUTSIDE, _DARK = 0.05, 0.125
# The range is taken of about this many values of a picture.
_MOST_RANGED = 1 << 16
# The narrowest range, and its share of the largest value.
_NARROWEST, _NARROWEST_SHARE = 1e-30, 1e-5


@dataclass(frozen=True, eq=False)
class ReducedRows:
    """Rows of a picture that any thread has reduced to bands of squares.

    x : (rows, columns, channels); row : the place of the first one in the picture
    sums : (bands, squares, channels) the sums of the rows of each band; those of a row are the
        means of its pixels in each square, of colours as they are seen over black
    samples : every n-th pixel
    """

    x: Array
    row: int
    sums: Array
    samples: Array


class PictureSums:
    """Collects what is shown of a picture whose rows come in order.

    side : the longer side of the reduced picture, at most
    whole : collect a detail and a histogram, too
    """

    def __init__(self, signal: Signal, side: int, *, whole: bool = True) -> None:
        rows, columns = (n or 1 for n in signal.shape)
        self.signal = signal
        self._whole = whole
        self.shape = (rows, columns)
        self.factor = max(1, -(-max(rows, columns) // side))
        colours = signal.channels[:3] == _RGB
        self.colours = [0, 1, 2] if colours else [0]
        self.shown = list(self.colours)
        if signal.alpha is not None and signal.alpha not in self.shown:
            self.shown.append(signal.alpha)
        self.alpha = None if signal.alpha is None else self.shown.index(signal.alpha)
        self.corner = (max(0, (rows - DETAIL) // 2), max(0, (columns - DETAIL) // 2))
        self.samples: list[Array] = []
        self._sums: list[Array] = []
        self._means: Float32Array | None = None
        self._detail: list[Array] = []
        self._row = 0

    def prepared(self, x: Array, row: int) -> ReducedRows:
        """Reduce rows (rows, columns, channels) that begin at `row`. Any thread may call this."""
        first = -row % self.factor or self.factor
        edges = [0, *range(first, len(x), self.factor), len(x)]
        bands = self._sums_of_bands(self._seen(x), edges)
        every = x[:0]
        if self._whole:
            every = x[-row % self.factor :: self.factor, :: self.factor]
        return ReducedRows(x, row, bands, every.copy())

    def _seen(self, x: Array) -> Array:
        """The channels that are shown, with colours as they are seen over black."""
        shown = x if len(self.shown) == x.shape[-1] else x[..., self.shown]
        return seen_samples(shown, self.alpha, self.signal.full_scale)

    def add(self, rows: ReducedRows) -> None:
        """Add rows, which come in order, to the sums of squares and to the excerpt."""
        if not len(rows.x):
            return
        if rows.row != self._row:
            rows = self.prepared(rows.x, self._row)
        self.samples.append(rows.samples)
        self._add_detail(rows.x)
        self._means = None
        sums = rows.sums
        if self._row % self.factor:
            self._sums[-1][-1] += sums[0]
            sums = sums[1:]
        if len(sums):
            self._sums.append(sums)
        self._row += len(rows.x)

    def _add_detail(self, x: Array) -> None:
        top, left = self.corner
        size = DETAIL if self._whole else 0
        start = max(0, top - self._row)
        stop = min(len(x), top + size - self._row)
        if start < stop:
            part = x[start:stop, left : left + DETAIL]
            self._detail.append(part.copy())

    @np.errstate(over="ignore", invalid="ignore")
    def _sums_of_bands(self, x: Array, edges: list[int]) -> Float32Array:
        """The sums of the rows between edges, reduced; squares at the right edge are smaller.

        Returns (bands, squares, channels).
        """
        if self.factor == 1 or not len(x):
            return as_samples(x).astype(np.float32)
        import cv2

        columns, channels = x.shape[1:]
        lines = x.reshape(len(x), -1)
        if lines.dtype not in _ADDED_BY_OPENCV:
            lines = lines.astype(np.float32)
        sums = np.empty((len(edges) - 1, columns * channels), np.float32)
        for band, (start, stop) in enumerate(pairwise(edges)):
            # For 16 bits a third of the time of np.add.reduce.
            cv2.reduce(lines[start:stop], 0, cv2.REDUCE_SUM, sums[band, None], cv2.CV_32F)
        size = (-(-columns // self.factor), len(sums))
        numbers = sums.reshape(-1, columns, channels)
        means = cv2.resize(numbers, size, interpolation=cv2.INTER_AREA)
        return np.asarray(means, np.float32).reshape(len(sums), size[0], channels)

    @property
    def empty(self) -> bool:
        """Whether no rows have been added."""
        return not self._sums

    def means(self) -> Float32Array:
        """The reduced picture: means of squares of pixels, smaller ones at the lower edge.

        Colours are as they are seen over black.
        """
        if self._means is not None:
            return self._means
        sums = np.concatenate(self._sums)
        sums[:-1] *= np.float32(1 / self.factor)
        rows_of_last = self._row - self.factor * (len(sums) - 1)
        sums[-1] *= np.float32(1 / rows_of_last)
        self._means = sums
        return sums

    def seen_samples(self, full: float) -> Array:
        """Every n-th pixel as it is seen, on a scale that ends at `full`."""
        return self._on_scale(self._seen(np.concatenate(self.samples)), full)

    def seen_means(self, full: float) -> Array:
        """The reduced picture as it is seen, on a scale that ends at `full`."""
        return self._on_scale(self.means(), full)

    def _on_scale(self, x: Array, full: float) -> Array:
        """Samples on a scale that ends at `full`, as they are or in single precision."""
        if full == self.signal.full_scale:
            return x
        return _multiplied(x, full / self.signal.full_scale)

    def facts(self, drawn: tuple[float, float] | None = None) -> PictureFacts | None:
        """What is shown; None of an empty picture.

        drawn : the values that are drawn as black and as white; None for 0 and the full scale
        """
        if self.empty:
            return None
        full = self.signal.full_scale
        low, high = drawn or (0.0, full)
        samples = np.concatenate(self.samples)
        detail = as_samples(np.concatenate(self._detail or [samples]))
        opacity = None
        if self.signal.alpha is not None:
            opacity = samples[..., self.signal.alpha].ravel()
        colours = [samples[..., channel].ravel() for channel in self.colours]
        histogram = [self._histogram(colour, opacity, (low, high)) for colour in colours]
        return PictureFacts(
            shape=self.shape,
            reduced=_as_bytes(straight_samples(self.means(), self.alpha, full), high, low),
            detail=_as_bytes(detail[..., self.shown], high, low),
            corner=self.corner,
            channels=tuple(self.signal.channels[channel] for channel in self.colours),
            undrawn=tuple(self._undrawn()),
            histogram=np.array(histogram),
            full_scale=full,
            drawn=(low, high),
            samples=detail,
        )

    def _undrawn(self) -> Iterator[str]:
        """Yield the names of the channels that are not shown."""
        for channel, name in enumerate(self.signal.channels):
            if channel not in self.shown:
                yield name

    def _histogram(self, x: Array, opacity: Array | None, ends: tuple[float, float]) -> FloatArray:
        """How many known samples are in each of equal bins; the outer bins have those beyond.

        opacity : of each sample, by which it counts; None for pictures without opacity
        """
        if x.dtype in _FEW_NUMBERS:
            # A fifth of the time for bytes: count each number, then put the numbers into bins.
            numbers = np.arange(256**x.itemsize)
            counts = np.bincount(x, opacity, minlength=len(numbers))
            return _binned(numbers, counts, ends)
        finite = np.isfinite(x)
        if not finite.all():
            x = x[finite]
            if opacity is not None:
                opacity = opacity[finite]
        return _binned(x, opacity, ends)


def _binned(x: AnyArray, weights: AnyArray | None, ends: tuple[float, float]) -> FloatArray:
    """The sum of the weights of the samples in each bin, or their count."""
    # Four times as fast as np.histogram.
    low, high = ends
    bins = _multiplied(_above(x, low), BINS / (high - low))
    np.clip(bins, 0, BINS - 1, out=bins)
    counts = np.bincount(bins.astype(np.int64), weights, minlength=BINS)
    return counts.astype(np.float64)


def _above(x: AnyArray, low: float) -> AnyArray:
    """How far samples are above a value; what is too large for their type is infinite."""
    if not low:
        return x
    with np.errstate(over="ignore"):
        above: AnyArray = x - low
    return above


def _multiplied(x: AnyArray, factor: float) -> Float32Array:
    """Samples times a factor; what is too large for float32 is infinite."""
    with np.errstate(over="ignore"):
        return np.multiply(x, factor, dtype=np.float32, casting="same_kind")


def _as_bytes(x: Array, full: float, low: float = 0.0) -> ByteArray:
    """Samples as bytes, 0 for `low` and 255 for `full`; missing ones are black."""
    pixels = np.empty(x.shape, np.uint8)
    for row in range(0, len(x), STRIP):
        scaled = _multiplied(_above(x[row : row + STRIP], low), 255 / (full - low))
        np.rint(scaled, out=scaled)
        # The larger one of NaN and 0 is 0.
        np.fmax(scaled, 0, out=scaled)
        np.fmin(scaled, 255, out=scaled)
        pixels[row : row + STRIP] = scaled
    return pixels


def _drawn_range(pictures: Sequence[PictureSums]) -> tuple[float, float] | None:
    """The values that are drawn as black and as white in all of these pictures.

    Measurements in floating, signed or 16-bit samples often take a small part of the full scale, or
    go far beyond it. None if the pictures are drawn from 0 to their full scale.
    """
    filled = [each for each in pictures if not each.empty]
    scales = {each.signal.full_scale for each in filled}
    if len(scales) != 1 or any(each.alpha is not None for each in filled):
        return None
    (full,) = scales
    if full == _BYTE_SCALE:
        return None
    ends = [_ends_of(each.means()) for each in filled]
    known = [each for each in ends if each is not None]
    if not known:
        return None
    low = min(each[0] for each in known)
    high = max(each[1] for each in known)
    is_outside = low < -_FAR_OUTSIDE * full or high > (1 + _FAR_OUTSIDE) * full
    is_drawn_badly = is_outside or high < _DARK * full
    # Narrower ranges are lost in the rounding of single precision.
    is_wide = high - low > max(_NARROWEST, _NARROWEST_SHARE * max(-low, high))
    return (low, high) if is_drawn_badly and is_wide else None


def _ends_of(means: Array) -> tuple[float, float] | None:
    """The range of nearly all known values; None if there are none."""
    values = means.ravel()
    values = values[:: max(1, values.size // _MOST_RANGED)]
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    return _quantile(values, 1 - DRAWN_SHARE), _quantile(values, DRAWN_SHARE)


def likeness(before: PictureSums, after: PictureSums) -> LikenessFacts | None:
    """How the second picture differs from the first; None if their sizes or colours differ.

    Pictures are compared as they are seen: colours over black, and the opacity if both have one.
    """
    same = before.shape == after.shape and len(before.colours) == len(after.colours)
    if not same or before.empty or after.empty:
        return None
    full = before.signal.full_scale
    a, b = _compared(before.seen_means(full), after.seen_means(full))
    difference = _known_difference(a, b)
    np.abs(difference, out=difference)
    largest = float(np.nanmax(difference, initial=0.0))
    drawn = _drawn_difference(difference, len(before.colours))
    # A few large differences would leave all others dark.
    brightest = largest
    some = drawn[::2, ::2].ravel()
    some = some[~np.isnan(some)]
    if some.size:
        brightest = _quantile(some, DRAWN_SHARE) or largest
    return LikenessFacts(
        difference=_as_bytes(drawn, brightest or 1.0),
        brightest=brightest,
        largest=largest,
        psnr=_peak_snr(*_compared(before.seen_samples(full), after.seen_samples(full)), full),
        ssim=_mean_similarity(a, b, full),
        sampled=before.factor,
    )


def _compared(a: Array, b: Array) -> tuple[Array, Array]:
    """The channels that both pictures have; the last is the opacity, which one may lack."""
    both = min(a.shape[-1], b.shape[-1])
    return a[..., :both], b[..., :both]


def _drawn_difference(difference: Array, colours: int) -> Array:
    """The difference of each colour, or that of the opacity where that is larger."""
    drawn = difference[..., :colours]
    if difference.shape[-1] == colours:
        return drawn
    return np.fmax(drawn, difference[..., colours:])


def _quantile(x: Array, share: float) -> float:
    """A quantile between two samples. `np.quantile` imports `numpy.ma`, in 6 ms."""
    place = share * (x.size - 1)
    low = math.floor(place)
    high = min(low + 1, x.size - 1)
    ordered = np.partition(x, (low, high))
    below, above = float(ordered[low]), float(ordered[high])
    return below + (place - low) * (above - below)


def _peak_snr(a: Array, b: Array, full: float) -> float:
    """The ratio of full scale to RMS difference in dB; NaN without samples.

    Samples that are missing or infinite are left out.
    """
    if a.dtype != b.dtype or a.dtype.kind == "f":
        # Whole numbers are compared as they are stored, which takes a twentieth of the time.
        a, b = in_type(a, np.float32), in_type(b, np.float32)
    count = a.size
    squares = sum_of_squares(a, b)
    if not math.isfinite(squares):
        difference = _known_difference(a, b)
        known = difference[~np.isnan(difference)]
        count, squares = known.size, sum_of_squares(known)
    if not count:
        return math.nan
    if squares == 0:
        return math.inf
    return 10 * math.log10(full**2 * count / squares)


def _known_difference(a: Array, b: Array) -> Array:
    """The second picture less the first; NaN where a sample is missing or infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        difference = b - a
    known = np.isfinite(difference)
    if not known.all():
        difference[~known] = np.nan
    return difference


def _mean_similarity(a: Array, b: Array, full: float) -> float | None:
    """The SSIM of two pictures (rows, columns, colours).

    None if they are too small for it, or if a sample is missing or infinite.
    """
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return None
    similarity = StructuralSimilarity(a.shape[-1], full, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for row in range(0, len(a), STRIP):
            similarity.add(a[row : row + STRIP], b[row : row + STRIP])
    means: Any = similarity.mean()
    if means is None or not np.isfinite(means).all():
        return None
    return float(means.mean())


# -------------------------------------------------------------------------------------- the preview


class PicturePreview(PreviewOfSums["PictureSums"]):
    """What is drawn of a picture before and after."""

    def __init__(self, signal: Signal, result: Signal, size: PreviewSize) -> None:
        self._signals = (signal, result)
        self._size = size
        self.restart()
        self.after = PictureSums(result, size.side, whole=not size.small)

    def restart(self) -> None:
        """Forget the input, which is read once more from its start."""
        self.before = PictureSums(self._signals[0], self._size.side, whole=not self._size.small)

    @property
    def better_in_file(self) -> bool:
        """Whether what was noted is not rounded, clipped and perhaps scaled as in the file."""
        return not self.as_stored

    def read_input(self, source: Source[Any]) -> None:
        """Take the input from a file, in place of the rows that were noted."""
        self._signals = (source.signal, self._signals[1])
        super().read_input(source)

    def read_result(self, source: Source[Any]) -> None:
        """Take the result from the file that was written, in place of the rows that were noted."""
        self.after = PictureSums(source.signal, self._size.side, whole=not self._size.small)
        row = 0
        for block in blocks_of(source):
            self.after.add(self.after.prepared(block.stored, row))
            row += len(block.stored)

    def facts(self) -> PreviewFacts:
        """What is drawn of the input and of the output so far."""
        drawn = _drawn_range((self.before, self.after))
        return PreviewFacts(
            before=SignalPreview(picture=self.before.facts(drawn)),
            after=SignalPreview(picture=self.after.facts(drawn)),
            likeness=None if self._size.small else likeness(self.before, self.after),
            small=self._size.small,
        )

    def compared_with(self, other: Preview) -> PreviewFacts:
        """What is drawn of two pictures that are compared, and how alike they are."""
        facts = super().compared_with(other)
        if not isinstance(other, PicturePreview):
            return facts
        drawn = _drawn_range((self.before, other.before))
        facts = replace(
            facts,
            before=SignalPreview(picture=self.before.facts(drawn)),
            after=SignalPreview(picture=other.before.facts(drawn)),
        )
        if self._size.small:
            return facts
        return replace(facts, likeness=likeness(self.before, other.before))
