"""Correlation through the FFT, for every part of the program that needs it.

The correlation c[l] = sum_t w[t] x[t + l] is the inverse transform of conj(W) X, at every lag l at
which no product wraps around the end of the transform. It is computed here in three ways:

* `overlap_save`: one long signal and one set of taps, in frames along axis 0. They begin where its
  input does; the frames of `frames.py` lie at fixed places.
* `TileCorrelator`: pictures and several kernels of one size, in two-dimensional tiles.
* `spectrum`, `cross_spectrum`, `at_lags`: two signals at some lags. Cross-spectra of many blocks
  can be added up and transformed back once.

Stockham, High-speed convolution and correlation, 1966; Oppenheim & Schafer, Discrete-Time Signal
Processing, 8.7.3.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convcli.dataclass import dataclass
from convcli.samples import extremes, sample_type, value_of_one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from convcli.array_types import AnyArray, FloatArray, IntArray, Sizes
    from convcli.signals import Array

    Complexes = AnyArray
    Transform = Callable[[Array], None]


# -------------------------------------------------------------------------- frames of a long signal

# Complex points that are transformed together, 2 MB: with fewer, Python takes too much of the time;
# more leave the cache.
POINTS_TOGETHER = 1 << 17

# The shortest frame of a long signal, as a power of two.
SHORTEST_POWER = 12

# From this many numbers in a block on, OpenCV's transforms are worth their import: they are twice
# as fast as NumPy's.
MANY = 1 << 17

# Two channels share a transform only if the louder one is at most this many times louder: its
# rounding errors appear in the other channel.
MOST_LOUDER = 1024


def overlap_save(x: Array, w: FloatArray, step: int = 1) -> Array:
    """The valid correlation along axis 0, every `step`-th output.

    The taps are real, so one complex transform filters two real series, as its real and its
    imaginary part: two neighbouring channels, or the two halves of a channel.

    x : (n, ...) finite floating, or stored numbers; w : (k,), k <= n
    Returns ((n - k) // step + 1, ...) of the dtype of x, or of the samples that its numbers
    represent.
    """
    n = len(x)
    outputs = (n - w.size) // step + 1
    channels = x.reshape(n, -1)
    y = np.empty((outputs, channels.shape[1]), sample_type(x))
    if channels.shape[1] % 2 == 0 and _equally_loud(channels):
        pairs = channels.reshape(n, -1, 2)
        results = y.reshape(outputs, -1, 2)
    else:
        half = -(-outputs // 2)
        second = outputs - half  # with an odd count, both halves compute the output in the middle
        inputs_of_half = (half - 1) * step + w.size
        pairs = _halves_as_pairs(channels, inputs_of_half, second * step)
        results = _halves_as_pairs(y, half, second)
    _filter_pairs(pairs, results, w * value_of_one(x), step)
    return y.reshape(outputs, *x.shape[1:])


def overlap_save_along_rows(x: Array, w: FloatArray) -> Array:
    """The valid correlation along the pixel rows of a picture.

    The two halves of a row share a transform, and no row is copied into a column for it: with
    `overlap_save` along axis 0 of the transposed picture this takes three times as long.

    x : (rows, columns, channels) finite floating, or stored numbers; w : (k,), k <= columns
    Returns (rows, columns - k + 1, channels) of the dtype of x, or of the samples that its numbers
    represent.
    """
    rows, columns, channels = x.shape
    outputs = columns - w.size + 1
    y = np.empty((rows, outputs, channels), sample_type(x))
    half = -(-outputs // 2)
    second = outputs - half
    for channel in range(channels):
        pairs = _halves_as_pairs(x[..., channel].T, half - 1 + w.size, second)
        results = _halves_as_pairs(y[..., channel].T, half, second)
        _filter_pairs(pairs, results, w * value_of_one(x), 1)
    return y


def frame_size(k: int, outputs: int | None = None) -> int:
    """The FFT length with the least cost for `k` taps: a power of two.

    outputs : how many are needed; None for a signal without end
    """
    shortest = SHORTEST_POWER
    if outputs is not None:
        last_input = outputs + k - 2
        shortest = min(shortest, last_input.bit_length())
    longest = max(SHORTEST_POWER + 1, k.bit_length() + 3)
    powers = range(shortest, longest + 1)
    sizes = [1 << power for power in powers if 1 << power > k]
    return min(sizes, key=lambda size: _frames_cost(size, k, outputs))


def _frames_cost(size: int, k: int, outputs: int | None) -> float:
    """frames * F * log2(F); for a signal without end, the cost of one output."""
    kept = size - k + 1
    frames = 1 / kept if outputs is None else -(-outputs // kept)
    return frames * size * math.log2(size)


def points_per_output(k: int) -> float:
    """F * log2(F) for each output of a long signal, the measure of its cost."""
    return _frames_cost(frame_size(k), k, None)


def divides_frames(step: int) -> bool:
    """Whether a stride divides the frame length, so that skipped outputs are never computed."""
    return (1 << SHORTEST_POWER) % step == 0


def _equally_loud(channels: Array) -> bool:
    lowest, highest = extremes(channels)
    peaks = np.maximum(-lowest.astype(np.float64), highest.astype(np.float64))
    softest = float(peaks.min())
    return float(peaks.max()) <= MOST_LOUDER * softest


def _halves_as_pairs(x: Array, length: int, second: int) -> Array:
    """A view (length, channels, 2) of each channel from 0 on and from `second` on."""
    along, across = x.strides
    return np.lib.stride_tricks.as_strided(
        x, (length, x.shape[1], 2), (along, across, second * along)
    )


def _filter_pairs(pairs: Array, results: Array, w: FloatArray, step: int) -> None:
    """Write every `step`-th output of the correlation of pairs, (n, channels, 2), to `results`."""
    outputs, channels, _ = results.shape
    last_place = (outputs - 1) * step
    size = frame_size(w.size, last_place + 1)
    kept = (size - w.size) // step + 1  # outputs of each frame
    numbers = 2 * outputs * step * channels
    correlate = frame_correlator(w.tobytes(), size, results.dtype.char, step, many=numbers >= MANY)

    count = -(-outputs // kept)
    for batch in batches(count, channels, size, results.dtype):
        first = batch.first * kept
        part = results[first : first + len(batch.frames) * kept, batch.lines]
        _load_frames(pairs[first * step :, batch.lines], batch.frames, kept * step)
        answers = correlate(batch.frames)
        _store_frames(answers[:, :, :kept], part)


class FrameBatch(NamedTuple):
    """Frames that are transformed together.

    first : the number of the first one; lines : the series that they are of
    frames : (frames, lines, F, 2) memory for them
    """

    first: int
    lines: slice
    frames: Array


def batches(count: int, lines: int, size: int, dtype: np.dtype[Any]) -> Iterator[FrameBatch]:
    """Divide `count` frames of each of `lines` series into batches that stay in the cache.

    All batches use the same memory, which is contiguous: a batch has fewer lines than others only
    if each has one frame.

    size : of a frame, a power of two
    """
    beside = min(lines, max(1, POINTS_TOGETHER // size))
    at_once = min(count, max(1, POINTS_TOGETHER // (size * beside)))
    frames = np.empty((at_once, beside, size, 2), dtype)
    for line in range(0, lines, beside):
        some = slice(line, min(line + beside, lines))
        for first in range(0, count, at_once):
            wanted = min(at_once, count - first)
            yield FrameBatch(first, some, frames[:wanted, : some.stop - line])


def _load_frames(pairs: Array, frames: Array, hop: int) -> None:
    """Fill frames (count, channels, F, 2) that start `hop` samples apart; zeros follow the end."""
    count, channels, size, _ = frames.shape
    frames_inside = (len(pairs) - size) // hop + 1
    complete = min(count, max(0, frames_inside))
    along, across, within = pairs.strides
    overlapping = np.lib.stride_tricks.as_strided(
        pairs, (complete, channels, size, 2), (hop * along, across, along, within)
    )
    copy_pairs(overlapping, frames[:complete])
    for number in range(complete, count):
        first = number * hop
        rest = pairs[first : first + size]
        copy_pairs(rest.swapaxes(0, 1), frames[number, :, : len(rest)])
        frames[number, :, len(rest) :] = 0


def _store_frames(answers: Array, results: Array) -> None:
    """Write the outputs of frames, (count, channels, kept, 2), in a row to `results`."""
    by_time = answers.swapaxes(1, 2)
    kept = by_time.shape[1]
    complete, rest = divmod(len(results), kept)
    stop = complete * kept
    copy_pairs(by_time[:complete], results[:stop].reshape(complete, kept, *results.shape[1:]))
    copy_pairs(by_time[-1, :rest], results[stop:])


def copy_pairs(source: Array, target: Array) -> None:
    """Copy pairs, (..., 2); if they are not contiguous, member by member for longer inner loops."""
    if _contiguous_pairs(source) and _contiguous_pairs(target):
        target[...] = source
        return
    for member in range(2):
        target[..., member] = source[..., member]


def _contiguous_pairs(x: Array) -> bool:
    pairs_follow = x.shape[-2] == 1 or x.strides[-2] == 2 * x.itemsize
    return pairs_follow and x.strides[-1] == x.itemsize


@dataclass(frozen=True, eq=False)
class _FrameCorrelator:
    """Correlates frames (..., F, 2) circularly with the same taps, and writes over them.

    response : (F,) conj(W) / F; forward, backward : transforms in place
    """

    response: Complexes
    step: int
    forward: Transform
    backward: Transform

    def __call__(self, frames: Array) -> Array:
        """Every `step`-th output, (..., F / step, 2)."""
        size = len(self.response)
        spectra = _as_complex(frames)
        self.forward(frames)
        np.multiply(spectra, self.response, out=spectra)
        if self.step == 1:
            self.backward(frames)
            return frames
        if size % self.step:
            self.backward(frames)
            return frames[..., :: self.step, :]
        # Adding up the `step` parts of a spectrum is the same as keeping every step-th sample, and
        # leaves a shorter transform back.
        shorter = size // self.step
        folded = spectra.reshape(*spectra.shape[:-1], self.step, shorter).sum(axis=-2)
        answers: Array = folded.view(frames.dtype).reshape(*folded.shape, 2)
        self.backward(answers)
        return answers


@lru_cache(maxsize=8)
def frame_correlator(w: bytes, size: int, dtype: str, step: int, *, many: bool) -> _FrameCorrelator:
    """The correlator of frames of `size` samples with the float64 taps `w`."""
    spectrum_of_taps = np.fft.fft(np.frombuffer(w), size)
    response = np.conj(spectrum_of_taps) / size
    forward, backward = _opencv_transforms() if many else _numpy_transforms()
    complex_type = np.result_type(dtype, np.complex64)
    return _FrameCorrelator(response.astype(complex_type), step, forward, backward)


def _as_complex(frames: Array) -> Complexes:
    """A complex view (..., F) of frames (..., F, 2)."""
    z: Complexes = frames.view(np.result_type(frames.dtype, np.complex64))[..., 0]
    return z


def _numpy_transforms() -> tuple[Transform, Transform]:
    """The FFT and its inverse times F, of frames (..., F, 2), in place."""

    def forward(frames: Array) -> None:
        z = _as_complex(frames)
        np.fft.fft(z, out=z)

    def backward(frames: Array) -> None:
        z = _as_complex(frames)
        np.fft.ifft(z, norm="forward", out=z)

    return forward, backward


def _opencv_transforms() -> tuple[Transform, Transform]:
    """OpenCV's versions of the two transforms of `_numpy_transforms`."""
    import cv2

    def transform(frames: Array, flags: int) -> None:
        rows = frames.reshape(-1, *frames.shape[-2:])
        cv2.dft(rows, rows, cv2.DFT_ROWS | flags)

    return partial(transform, flags=0), partial(transform, flags=cv2.DFT_INVERSE)


def line_powers(lines: Array) -> Array:
    """The power spectrum of each line of (lines, n), n even: (lines, n / 2 + 1), float32.

    This takes a seventh of the time of `np.fft.rfft`, in lines of 4,410.
    """
    import cv2

    packed = cv2.dft(np.asarray(lines, np.float32), flags=cv2.DFT_ROWS)
    # The transform of a line is Re 0, Re 1, Im 1, Re 2, Im 2 ..., Re n/2.
    squares = np.square(packed, out=packed)
    power = np.empty((len(squares), lines.shape[1] // 2 + 1), np.float32)
    power[:, 0] = squares[:, 0]
    power[:, -1] = squares[:, -1]
    np.add(squares[:, 1:-1:2], squares[:, 2:-1:2], out=power[:, 1:-1])
    return power


# ------------------------------------------------------------------------------- tiles of a picture

# A tile is five times as long as a kernel up to this length, and twice as long as a longer one, to
# save memory.
LONG_KERNEL = 256

# The shortest side of a tile; a tile of this size and all that is computed from it stay in the
# cache.
SHORTEST_SIDE = 320


def tile_side(k: int) -> int:
    """The length of a tile along an axis with `k` taps.

    A power of two is avoided: its columns share few cache lines, and the transform takes a third
    longer.
    """
    import cv2

    factor = 5 if k <= LONG_KERNEL else 2
    side = cv2.getOptimalDFTSize(max(SHORTEST_SIDE, factor * k))
    if side & (side - 1) == 0:
        side = cv2.getOptimalDFTSize(side + 1)
    return side


class TileCorrelator:
    """Sums of valid correlations of planes with kernels, by two-dimensional overlap-save.

    Every plane is transformed once and every sum is transformed back once. Safe to use from several
    threads.

    kernels : (height, width) each, all of one shape
    """

    def __init__(self, kernels: Sequence[Array]) -> None:
        self.size: tuple[int, int] = (kernels[0].shape[0], kernels[0].shape[1])
        self._kernels = [np.ascontiguousarray(kernel, np.float64) for kernel in kernels]
        self._spectra: dict[Sizes, list[Any]] = {}

    def sums(
        self, planes: Sequence[Array], terms: Sequence[Sequence[tuple[int, int]]]
    ) -> list[Array]:
        """The sum of the correlations of each plane and kernel of a term, for each of `terms`.

        planes : (rows, columns) each, finite; terms : pairs (number of a plane, number of a kernel)
        Returns (rows - height + 1, columns - width + 1) float64 each.
        """
        import cv2

        outputs = self._outputs_of(planes[0].shape)
        sides = self._sides(planes[0].shape)
        kernels = self._kernel_spectra(sides)
        tall, wide = self._outputs_of(sides)
        answers: list[Array] = [np.empty(outputs) for _ in terms]
        for top in range(0, outputs[0], tall):
            for left in range(0, outputs[1], wide):
                tiles = [cv2.dft(_tile(plane, top, left, sides)) for plane in planes]
                for answer, term in zip(answers, terms, strict=True):
                    target = answer[top : top + tall, left : left + wide]
                    correlation = _tile_sum(tiles, kernels, term)
                    target[:] = correlation[: target.shape[0], : target.shape[1]]
        return answers

    def _outputs_of(self, shape: Sizes) -> Sizes:
        """The number of outputs on each axis of a picture or tile of `shape`."""
        lengths = zip(shape, self.size, strict=True)
        return tuple(n - k + 1 for n, k in lengths)

    def _sides(self, shape: Sizes) -> Sizes:
        """The size of a tile, no larger than a picture of `shape` needs."""
        import cv2

        sides = []
        for k, n in zip(self.size, shape, strict=True):
            enough = cv2.getOptimalDFTSize(n)
            sides.append(min(tile_side(k), enough))
        return tuple(sides)

    def _kernel_spectra(self, sides: Sizes) -> list[Any]:
        """The spectra of the kernels for tiles of this size, in OpenCV's packed form."""
        import cv2

        spectra = self._spectra.get(sides)
        if spectra is None:
            # Two threads may both compute them, with the same result.
            spectra = [cv2.dft(_tile(kernel, 0, 0, sides)) for kernel in self._kernels]
            self._spectra[sides] = spectra
        return spectra


def _tile_sum(tiles: list[Any], kernels: list[Any], term: Sequence[tuple[int, int]]) -> Any:
    """The sum of circular correlations over a term, from the spectra of tiles and kernels."""
    import cv2

    total: Any = None
    for plane, kernel in term:
        product = cv2.mulSpectrums(tiles[plane], kernels[kernel], 0, conjB=True)
        total = product if total is None else cv2.add(total, product, dst=total)
    return cv2.idft(total, flags=cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT)


def _tile(plane: Array, top: int, left: int, sides: Sizes) -> Array:
    """A tile of `plane` in float64, with zeros beyond its last row and column."""
    part = plane[top : top + sides[0], left : left + sides[1]]
    if part.shape == sides:
        return np.ascontiguousarray(part, np.float64)
    padded = np.zeros(sides)
    padded[: part.shape[0], : part.shape[1]] = part
    return padded


# ------------------------------------------------------------------------- two signals at some lags


def transform_size(shape: Sizes, limit: Sizes) -> Sizes:
    """Transform lengths at which the lags -limit ... limit do not wrap into one another."""
    sizes = []
    for n, k in zip(shape, limit, strict=True):
        length = max(n + k, 2 * k + 1)
        power = (length - 1).bit_length()
        sizes.append(1 << power)
    return tuple(sizes)


def spectrum(x: Array, size: Sizes) -> Complexes:
    """The transform of real `x` along its last len(size) axes, zero-padded to `size`."""
    axes = tuple(range(-len(size), 0))
    return np.asarray(np.fft.rfftn(x, size, axes))


def cross_spectrum(x: Complexes, y: Complexes) -> Complexes:
    """The spectrum of sum_t x[t] y[t + l], from the spectra of x and y."""
    return np.asarray(x.conj() * y)


def at_lags(spectra: Complexes, size: Sizes, lags: Sequence[IntArray]) -> Array:
    """The correlations that belong to a cross-spectrum, at some lags along each axis.

    size : the transform length on each axis
    """
    axes = tuple(range(-len(size), 0))
    everywhere = np.fft.irfftn(spectra, size, axes)
    places = [lag % n for lag, n in zip(lags, size, strict=True)]
    index: Any = (..., *np.ix_(*places))
    return np.asarray(everywhere[index])
