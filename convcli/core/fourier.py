"""The valid correlation of long signals through the FFT: overlap-save.

Stockham, High-speed convolution and correlation, 1966; Oppenheim & Schafer, Discrete-Time Signal Processing, 8.7.3.
The taps are real, so that two real series go through one complex transform, as its real and its imaginary part: two
channels as they lie side by side, any other channel as its two halves.
"""

from __future__ import annotations

import math
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


def overlap_save(x: Array, w: npt.NDArray[np.float64]) -> Array:
    """The valid correlation along axis 0 through frames of F samples, of which F - k + 1 come out right.

    x : (n, ...) finite floating; w : (k,), k <= n. Returns (n - k + 1, ...) of the dtype of x.
    """
    n, k = len(x), w.size
    lanes = x.reshape(n, -1)
    if lanes.shape[1] % 2 == 0 and _equally_loud(lanes):
        y = _filtered(_paired(lanes), w).view(x.dtype)
    else:
        y = _unfolded(_filtered(_folded(lanes, k), w), n - k + 1)
    return y.reshape(n - k + 1, *x.shape[1:])


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


def _folded(lanes: Array, k: int) -> Complexes:
    """Each lane as a complex lane of half its outputs: the first half real, the second imaginary."""
    n = len(lanes)
    half = -(-(n - k + 1) // 2)
    z = np.zeros((half + k - 1, lanes.shape[1]), np.result_type(lanes.dtype, np.complex64))
    z.real = lanes[: len(z)]
    z.imag[: n - half] = lanes[half:]
    return z


def _unfolded(z: Complexes, outputs: int) -> Array:
    return np.concatenate([z.real, z.imag[: outputs - len(z)]])


def _filtered(z: Complexes, w: npt.NDArray[np.float64]) -> Complexes:
    """The valid correlation of complex lanes, (n, lanes), with real taps."""
    (n, lanes), k = z.shape, w.size
    outputs = n - k + 1
    f = frame_size(k, outputs)
    hop = f - k + 1
    convolve = _convolver(w, f, z.dtype, many=outputs * lanes >= MANY)
    y = np.empty((outputs, lanes), z.dtype)
    abreast = min(lanes, max(1, TOGETHER // f))
    frames = np.empty((max(1, TOGETHER // (f * abreast)), abreast, f), z.dtype)
    for lane in range(0, lanes, abreast):
        some, target = z[:, lane : lane + abreast], y[:, lane : lane + abreast]
        for first in range(0, outputs, hop * len(frames)):
            count = _fill(frames, some, first, hop)
            back = convolve(frames[:count])[:, : some.shape[1], k - 1 :].transpose(0, 2, 1)
            part = target[first : first + count * hop]
            whole = len(part) // hop
            part[: whole * hop].reshape(whole, hop, part.shape[1])[...] = back[:whole]
            part[whole * hop :] = back[-1, : len(part) - whole * hop]
    return y


def _fill(frames: Complexes, z: Complexes, first: int, hop: int) -> int:
    """Copy the frames from `first` on, zeros after the end; returns how many hold outputs."""
    (most, _, size), lanes = frames.shape, z.shape[1]
    count: int = min(most, -(-(len(z) - first - (size - hop)) // hop))
    whole = min(count, max(0, (len(z) - first - size) // hop + 1))
    along, across = z.strides
    z = z[first:]
    frames[:whole, :lanes] = np.lib.stride_tricks.as_strided(z, (whole, lanes, size), (hop * along, across, along))
    for number in range(whole, count):
        piece = z[number * hop : number * hop + size]
        frames[number, :lanes, : len(piece)] = piece.T
        frames[number, :, len(piece) :] = 0
    return count


def _convolver(w: npt.NDArray[np.float64], f: int, dtype: Any, *, many: bool) -> Any:
    """A function that correlates frames (..., f) circularly with `w`, in place where it can."""
    response = (np.fft.fft(w[::-1], f) / f).astype(dtype)
    return _by_opencv(response) if many else _by_numpy(response)


def _by_numpy(response: Complexes) -> Any:
    def convolve(frames: Complexes) -> Complexes:
        np.fft.fft(frames, out=frames)
        np.multiply(frames, response, out=frames)
        return np.fft.ifft(frames, norm="forward", out=frames)

    return convolve


def _by_opencv(response: Complexes) -> Any:
    import cv2

    def convolve(frames: Complexes) -> Complexes:
        # A complex row is a row of points with two channels there.
        rows = frames.view(frames.real.dtype).reshape(-1, len(response), 2)
        cv2.dft(rows, rows, cv2.DFT_ROWS)
        np.multiply(frames, response, out=frames)
        cv2.dft(rows, rows, cv2.DFT_ROWS | cv2.DFT_INVERSE)
        return frames

    return convolve
