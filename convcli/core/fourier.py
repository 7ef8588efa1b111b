"""The valid correlation of long signals through the FFT: overlap-save.

Stockham, High-speed convolution and correlation, 1966; Oppenheim & Schafer, Discrete-Time Signal Processing, 8.7.3.
The taps are real, so that two real series go through one complex transform, as its real and its imaginary part: two
channels as they lie side by side, any other channel as its two halves.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convcli.samples import extremes, sample_type, unit

if TYPE_CHECKING:
    from convcli.signals import Array

    Complexes = npt.NDArray[Any]

# Complex points that are transformed together, 2 MB: fewer would leave more to Python, more would leave the cache.
TOGETHER = 1 << 17

# The shortest frame for a long signal, 2 to the power of it.
SHORTEST = 12

# Blocks of so many numbers are those of a long signal, for which the transforms of OpenCV, twice as fast as those of
# NumPy, are worth their import.
MANY = 1 << 17

# Two channels share a transform where the rounding of the louder one cannot be heard in the other.
LOUDER = 1024


def overlap_save(x: Array, w: npt.NDArray[np.float64], step: int = 1) -> Array:
    """The valid correlation along axis 0, every `step`-th output, through frames of F samples.

    x : (n, ...) finite floating, or stored numbers; w : (k,), k <= n
    Returns ((n - k) // step + 1, ...) of the dtype of x, or of the samples that its numbers stand for.
    """
    n, k = len(x), w.size
    outputs = (n - k) // step + 1
    lanes = x.reshape(n, -1)
    y = np.empty((outputs, lanes.shape[1]), sample_type(x))
    if lanes.shape[1] % 2 == 0 and _equally_loud(lanes):
        pairs, results = lanes.reshape(n, -1, 2), y.reshape(outputs, -1, 2)
    else:
        half = -(-outputs // 2)
        second = outputs - half
        pairs, results = (
            _halves(lanes, (half - 1) * step + k, second * step),
            _halves(y, half, second),
        )
    _filter(pairs, results, w * unit(x), step)
    return y.reshape(outputs, *x.shape[1:])


def frame_size(k: int, outputs: int | None = None) -> int:
    """F, the FFT length that costs least, frames * F * log2(F), for so many outputs, or for ever so many."""
    shortest = SHORTEST if outputs is None else min(SHORTEST, (outputs + k - 2).bit_length())
    sizes: list[int] = [
        1 << p for p in range(shortest, max(SHORTEST + 2, k.bit_length() + 4)) if 1 << p > k
    ]

    def cost(f: int) -> float:
        frames = 1 / (f - k + 1) if outputs is None else -(-outputs // (f - k + 1))
        return frames * f * math.log2(f)

    return min(sizes, key=cost)


def folds(step: int) -> bool:
    """Whether a stride divides the length of the frames of a long signal, a power of two."""
    return (1 << SHORTEST) % step == 0


def points_per_output(k: int) -> float:
    """What an output costs where there are ever so many: points of a frame times log2(F), for each."""
    f = frame_size(k)
    return f * math.log2(f) / (f - k + 1)


def _equally_loud(lanes: Array) -> bool:
    low, high = (found.astype(np.float64) for found in extremes(lanes))
    peaks = np.maximum(-low, high)
    return bool(peaks.max() <= LOUDER * peaks.min())


def _halves(x: Array, length: int, second: int) -> Array:
    """Of each lane of (n, lanes) the first `length` samples and those from `second` on: a view, (length, lanes, 2)."""
    along, across = x.strides
    return np.lib.stride_tricks.as_strided(
        x, (length, x.shape[1], 2), (along, across, second * along)
    )


def _filter(pairs: Array, results: Array, w: npt.NDArray[np.float64], step: int) -> None:
    """Every `step`-th output of the valid correlation of pairs of lanes, (n, lanes, 2), with the same taps."""
    (_, lanes, _), outputs, k = pairs.shape, len(results), w.size
    f = frame_size(k, (outputs - 1) * step + 1)
    each = (f - k) // step + 1
    correlate = _correlator(
        w.tobytes(), f, results.dtype.char, step, many=2 * outputs * step * lanes >= MANY
    )
    abreast = min(lanes, max(1, TOGETHER // f))
    most = min(max(1, TOGETHER // (f * abreast)), -(-outputs // each))
    frames = np.empty((most, abreast, f, 2), results.dtype)
    for lane in range(0, lanes, abreast):
        some, target = pairs[:, lane : lane + abreast], results[:, lane : lane + abreast]
        for first in range(0, outputs, each * most):
            part = target[first : first + each * most]
            count = -(-len(part) // each)
            _fill(frames[:count], some[first * step :], each * step)
            back = correlate(frames[:count])[:, : some.shape[1], :each].swapaxes(1, 2)
            whole = len(part) // each
            _copy(back[:whole], part[: whole * each].reshape(whole, each, *part.shape[1:]))
            _copy(back[-1, : len(part) - whole * each], part[whole * each :])


def _fill(frames: Array, pairs: Array, hop: int) -> None:
    """Copy (count, lanes, F, 2) frames that begin `hop` after one another; zeros stand after the end."""
    (count, _, size, _), (n, lanes, _) = frames.shape, pairs.shape
    whole = min(count, max(0, (n - size) // hop + 1))
    along, *within = pairs.strides
    windows = (hop * along, within[0], along, within[1])
    _copy(
        np.lib.stride_tricks.as_strided(pairs, (whole, lanes, size, 2), windows),
        frames[:whole, :lanes],
    )
    for number in range(whole, count):
        piece = pairs[number * hop : number * hop + size]
        _copy(piece.swapaxes(0, 1), frames[number, :lanes, : len(piece)])
        frames[number, :, len(piece) :] = 0


def _copy(source: Array, target: Array) -> None:
    """Copy pairs, (..., 2): one of them after the other where they do not follow one another, for a long inner loop."""
    one = target.shape[-2] == 1
    if all(
        x.strides[-1] == x.itemsize and (one or x.strides[-2] == 2 * x.itemsize)
        for x in (source, target)
    ):
        target[...] = source
        return
    for member in range(2):
        target[..., member] = source[..., member]


def _complex(frames: Array) -> Complexes:
    """Frames (..., F, 2), real and imaginary, as complex ones: a view, (..., F)."""
    z: Complexes = frames.view(np.result_type(frames.dtype, np.complex64))[..., 0]
    return z


@lru_cache(maxsize=8)
def _correlator(w: bytes, f: int, dtype: str, step: int, *, many: bool) -> Any:
    """A function that correlates frames (..., F, 2) circularly with the float64 taps `w` and writes over them.

    Where the stride divides F the spectrum is folded, which is to keep every `step`-th sample, and what is thrown away
    is never computed.
    """
    response = (np.conj(np.fft.fft(np.frombuffer(w), f)) / f).astype(
        np.result_type(dtype, np.complex64)
    )
    forward, backward = _transforms_of_opencv() if many else _transforms_of_numpy()
    whole = f % step == 0

    def correlate(frames: Array) -> Array:
        spectra = _complex(frames)
        forward(frames)
        np.multiply(spectra, response, out=spectra)
        if step > 1 and whole:
            folded = spectra.reshape(*spectra.shape[:-1], step, f // step).sum(axis=-2)
            frames = folded.view(dtype).reshape(*folded.shape, 2)
        backward(frames)
        return frames if whole else frames[..., ::step, :]

    return correlate


def _transforms_of_numpy() -> tuple[Any, Any]:
    """FFT and scaled inverse of frames (..., F, 2), real and imaginary, in their place."""

    def forward(frames: Array) -> None:
        z = _complex(frames)
        np.fft.fft(z, out=z)

    def backward(frames: Array) -> None:
        z = _complex(frames)
        np.fft.ifft(z, norm="forward", out=z)

    return forward, backward


def _transforms_of_opencv() -> tuple[Any, Any]:
    import cv2

    def transform(frames: Array, flags: int = 0) -> None:
        rows = frames.reshape(-1, *frames.shape[-2:])
        cv2.dft(rows, rows, cv2.DFT_ROWS | flags)

    return transform, partial(transform, flags=cv2.DFT_INVERSE)
