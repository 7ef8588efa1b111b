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

if TYPE_CHECKING:
    from convcli.signals import Array

    Complexes = npt.NDArray[Any]

# Complex points that are transformed together; a megabyte.
TOGETHER = 1 << 16

# From so many samples on the transforms of OpenCV, twice as fast as those of NumPy, are worth their import.
MANY = 1 << 17

# Two channels share a transform where the rounding of the louder one cannot be heard in the other.
LOUDER = 1024


def overlap_save(x: Array, w: npt.NDArray[np.float64], step: int = 1) -> Array:
    """The valid correlation along axis 0, every `step`-th output, through frames of F samples.

    x : (n, ...) finite floating; w : (k,), k <= n. Returns ((n - k) // step + 1, ...) of the dtype of x.
    """
    n, k = len(x), w.size
    outputs = (n - k) // step + 1
    lanes = x.reshape(n, -1)
    if lanes.shape[1] % 2 == 0 and _equally_loud(lanes):
        y = _filtered(_paired(lanes), w, step).view(x.dtype)
    else:
        half = -(-outputs // 2)
        z = _filtered(_folded(lanes, half * step, (half - 1) * step + k), w, step)
        y = np.concatenate([z.real, z.imag[: outputs - half]])
    return y.reshape(outputs, *x.shape[1:])


def frame_size(k: int, outputs: int | None = None) -> int:
    """F, the FFT length that costs least, frames * F * log2(F), for so many outputs, or for ever so many."""
    shortest = 12 if outputs is None else min(12, (outputs + k - 2).bit_length())
    sizes: list[int] = [1 << p for p in range(shortest, max(14, k.bit_length() + 4)) if 1 << p > k]

    def cost(f: int) -> float:
        frames = 1 / (f - k + 1) if outputs is None else -(-outputs // (f - k + 1))
        return frames * f * math.log2(f)

    return min(sizes, key=cost)


def points_per_output(k: int) -> float:
    """What an output costs where there are ever so many: points of a frame times log2(F), for each."""
    f = frame_size(k)
    return f * math.log2(f) / (f - k + 1)


def _equally_loud(lanes: Array) -> bool:
    energies = [float(np.dot(lane, lane)) for lane in lanes.T]
    return max(energies) <= LOUDER**2 * min(energies)


def _paired(lanes: Array) -> Complexes:
    """Neighbours as one complex lane, where they stand."""
    return np.ascontiguousarray(lanes).view(np.result_type(lanes.dtype, np.complex64))


def _folded(lanes: Array, second: int, length: int) -> Complexes:
    """Each lane as a complex lane: its first `length` samples real, those from `second` on imaginary."""
    z = np.zeros((length, lanes.shape[1]), np.result_type(lanes.dtype, np.complex64))
    z.real = lanes[:length]
    z.imag[: len(lanes) - second] = lanes[second : second + length]
    return z


def _filtered(z: Complexes, w: npt.NDArray[np.float64], step: int) -> Complexes:
    """Every `step`-th output of the valid correlation of complex lanes, (n, lanes), with real taps."""
    (n, lanes), k = z.shape, w.size
    outputs = (n - k) // step + 1
    f = frame_size(k, n - k + 1)
    each = (f - k) // step + 1
    correlate = _correlator(w.tobytes(), f, z.dtype.char, step, many=outputs * step * lanes >= MANY)
    y = np.empty((outputs, lanes), z.dtype)
    abreast = min(lanes, max(1, TOGETHER // f))
    frames = np.empty((max(1, TOGETHER // (f * abreast)), abreast, f), z.dtype)
    for lane in range(0, lanes, abreast):
        some, target = z[:, lane : lane + abreast], y[:, lane : lane + abreast]
        for first in range(0, outputs, each * len(frames)):
            part = target[first : first + each * len(frames)]
            count = -(-len(part) // each)
            _fill(frames[:count], some[first * step :], each * step)
            back = correlate(frames[:count])[:, : some.shape[1], :each].transpose(0, 2, 1)
            whole = len(part) // each
            part[: whole * each].reshape(whole, each, part.shape[1])[...] = back[:whole]
            part[whole * each :] = back[-1, : len(part) - whole * each]
    return y


def _fill(frames: Complexes, z: Complexes, hop: int) -> None:
    """Copy (count, lanes, F) frames that begin `hop` after one another; zeros stand after the end."""
    (count, _, size), (n, lanes) = frames.shape, z.shape
    whole = min(count, max(0, (n - size) // hop + 1))
    along, across = z.strides
    frames[:whole, :lanes] = np.lib.stride_tricks.as_strided(z, (whole, lanes, size), (hop * along, across, along))
    for number in range(whole, count):
        piece = z[number * hop : number * hop + size]
        frames[number, :lanes, : len(piece)] = piece.T
        frames[number, :, len(piece) :] = 0


@lru_cache(maxsize=8)
def _correlator(w: bytes, f: int, dtype: str, step: int, *, many: bool) -> Any:
    """A function that correlates frames (..., F) circularly with the float64 taps `w` and writes over them.

    Where the stride divides F the spectrum is folded, which is to keep every `step`-th sample, and what is thrown away
    is never computed.
    """
    response = (np.conj(np.fft.fft(np.frombuffer(w), f)) / f).astype(dtype)
    forward, backward = _transforms_of_opencv() if many else _transforms_of_numpy()
    folds = f % step == 0

    def correlate(frames: Complexes) -> Complexes:
        forward(frames)
        np.multiply(frames, response, out=frames)
        if step > 1 and folds:
            frames = frames.reshape(*frames.shape[:-1], step, f // step).sum(axis=-2)
        y: Complexes = backward(frames)
        return y if folds else y[..., ::step]

    return correlate


def _transforms_of_numpy() -> tuple[Any, Any]:
    def forward(frames: Complexes) -> Complexes:
        return np.fft.fft(frames, out=frames)

    def backward(frames: Complexes) -> Complexes:
        return np.fft.ifft(frames, norm="forward", out=frames)

    return forward, backward


def _transforms_of_opencv() -> tuple[Any, Any]:
    import cv2

    def transform(frames: Complexes, flags: int = 0) -> Complexes:
        # A complex row is a row of points with two channels there.
        rows = frames.view(frames.real.dtype).reshape(-1, frames.shape[-1], 2)
        cv2.dft(rows, rows, cv2.DFT_ROWS | flags)
        return frames

    return transform, partial(transform, flags=cv2.DFT_INVERSE)
