"""Sums of products of float64 numbers, rounded only once.

Samples and taps are written in digits (`digits.py`) with so few bits that an FFT gives the sums of
products of digits, which are whole numbers, with an error below one half. Rounding to the nearest
whole number makes them exact. An output is therefore a function of its window alone: no sample
outside of the window leaks into it, it does not depend on where a block ends, and a sum of numbers
>= 0 is >= 0. The cost is that of about ten FFTs.

The bound on the error of the FFT is that of Percival, Mathematics of Computation 72, 2003.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from convcli.core.convolution.fft import POINTS_TOGETHER, frame_size
from convcli.core.exact.digits import FLOAT_BITS, WORD_BITS, add_digit, digits_of, numbers_of_digits

if TYPE_CHECKING:
    from convcli.array_types import FloatArray, IntArray
    from convcli.core.exact.digits import Digits

# Up to this many outputs, dot products of the digits take less time than an FFT.
FEW_OUTPUTS = 32

# Longer kernels are split into parts of this many taps, which bounds the memory.
PART = 1 << 18

# Outputs of a piece of a signal that is added up by running sums: it stays in the cache.
RUNNING = 1 << 15


def exact_sums(x: FloatArray, w: FloatArray, step: int = 1) -> tuple[FloatArray, FloatArray]:
    """The valid correlation of (n, channels) with (k,), every `step`-th output, as high + low.

    x, w : finite. `high` is the sum rounded to float64, and `low` is the error of this rounding.
    """
    k = w.size
    outputs = (len(x) - k) // step + 1
    method = _method(w.tobytes())
    at_once = max(1, method.outputs // step)
    high = np.empty((outputs, x.shape[1]))
    low = np.empty_like(high)
    for channel in range(x.shape[1]):
        values = np.ascontiguousarray(x[:, channel])
        for first in range(0, outputs, at_once):
            last = min(first + at_once, outputs)
            begin = first * step
            end = (last - 1) * step + k
            sums = method.sums(values[begin:end], step)
            numbers = numbers_of_digits(sums, method.bits)
            high[first:last, channel], low[first:last, channel] = numbers
    return high, low


def exact_sums_between(
    x: FloatArray, low: IntArray, high: IntArray
) -> tuple[FloatArray, FloatArray]:
    """The sums of x[low:high], as high + low.

    x : (n,) finite; low, high : (sums,) where each sum begins and ends, at least one sample later
    """
    longest = int((high - low).max())
    bits = _bits_of_running_sums(longest)
    sums: Digits = {}
    for place, running in _running_digits(x, bits).items():
        sums[place] = running[high] - running[low]
    return numbers_of_digits(sums or _zeros(len(low), 1), bits)


class _Method(Protocol):
    """A way to add up products of digits.

    outputs : how many outputs to compute together; bits : the bits of a digit, which depend on the
        taps alone
    """

    bits: int

    @property
    def outputs(self) -> int: ...

    def sums(self, x: FloatArray, step: int) -> Digits:
        """The sums of products as int64 digits, not carried; every `step`-th output."""
        ...


@lru_cache(maxsize=8)
def _method(taps: bytes) -> _Method:
    w = np.frombuffer(taps)
    if bool(np.all(w == 1)):
        return _RunningSums(w.size)
    return _DigitProducts(w)


# ---------------------------------------------------------------------- sums of products of digits


def _bits_of_running_sums(k: int) -> int:
    """The most bits of a digit at which a sum of k digits is an int64."""
    return min(FLOAT_BITS, WORD_BITS - k.bit_length())


def _running_digits(x: FloatArray, bits: int) -> Digits:
    """The sums of the digits of all samples before each one and before the end, by place."""
    running_sums: Digits = {}
    for place, digit in digits_of(x, bits).items():
        running = np.zeros(len(x) + 1, np.int64)
        np.cumsum(digit.astype(np.int64), out=running[1:])
        running_sums[place] = running
    return running_sums


class _RunningSums:
    """Sums of `k` samples, by differences of running sums of their digits.

    Whole numbers have no rounding errors, and a running sum may overflow: its differences are right
    modulo 2**64.

    bits : of a digit, few enough that a sum of k digits is an int64
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self.bits = _bits_of_running_sums(k)

    @property
    def outputs(self) -> int:
        """Enough outputs that the overlap of pieces costs little."""
        return max(RUNNING, 4 * self.k)

    def sums(self, x: FloatArray, step: int) -> Digits:
        """Return the sums of the windows as digits."""
        sums: Digits = {}
        for place, running in _running_digits(x, self.bits).items():
            sums[place] = running[self.k :: step] - running[: -self.k : step]
        outputs = len(x) - self.k + 1
        return sums or _zeros(outputs, step)


def _zeros(outputs: int, step: int) -> Digits:
    """The digits of every `step`-th of a number of sums that are 0."""
    return {0: np.zeros(-(-outputs // step), np.int64)}


class _DigitProducts:
    """Sums of products with any taps, by FFTs of the digits of samples and taps.

    w : (k,)
    """

    def __init__(self, w: FloatArray) -> None:
        self.k = w.size
        self._frame = frame_size(min(PART, w.size))
        self.bits = self._most_bits(w)
        self._parts = []
        for start in range(0, w.size, PART):
            part = _TapDigits(start, w[start : start + PART], self.bits)
            self._parts.append(part)

    @property
    def outputs(self) -> int:
        """The outputs of as many frames as stay in the cache together."""
        frames = max(1, POINTS_TOGETHER // self._frame)
        outputs_of_frame = self._frame - min(PART, self.k) + 1
        return frames * outputs_of_frame

    def _most_bits(self, w: FloatArray) -> int:
        """The most bits of a digit at which the error of the FFT is below 1/4."""
        fits, fails = 1, FLOAT_BITS // 2
        while fails - fits > 1:
            bits = (fits + fails) // 2
            if self._error(w, bits) < 1 / 4:
                fits = bits
            else:
                fails = bits
        return fits

    def _error(self, w: FloatArray, bits: int) -> float:
        """Percival's bound on the error of a sum of products of digits."""
        units = 13 * math.log2(self._frame) + 3
        relative = units * 2.0**-53
        sample_norm = 2.0 ** (bits - 1) * math.sqrt(self._frame)
        tap_digits = digits_of(w, bits).values()
        tap_norm = sum(float(np.linalg.norm(digit)) for digit in tap_digits)
        return relative * sample_norm * tap_norm

    def sums(self, x: FloatArray, step: int) -> Digits:
        """Return the sums of products as digits."""
        outputs = len(x) - self.k + 1
        sums: Digits = {}
        for part in self._parts:
            end = part.start + outputs + part.k - 1
            samples = digits_of(x[part.start : end], self.bits)
            for place, products in self._products(samples, part, outputs).items():
                whole = np.rint(products[::step]).astype(np.int64)
                add_digit(sums, place, whole)
        return sums or _zeros(outputs, step)

    def _products(self, samples: Digits, part: _TapDigits, outputs: int) -> Digits:
        """The sums of products of digits by place, near whole numbers."""
        if outputs <= FEW_OUTPUTS:
            return _direct_products(samples, part.digits)
        size = min(self._frame, frame_size(part.k, outputs))
        return _products_by_fft(samples, part, size, outputs)


class _TapDigits:
    """The digits of a part of the taps.

    start : the first tap of the part; k : how many taps it has
    """

    def __init__(self, start: int, w: FloatArray, bits: int) -> None:
        self.start = start
        self.k = w.size
        self.digits = digits_of(w, bits)
        self._latest: tuple[int, Digits] = (0, {})

    def spectra(self, size: int) -> Digits:
        """The conjugate spectra of the digits; those of the latest size are kept."""
        known, spectra = self._latest
        if known != size:
            spectra = {
                place: np.conj(np.fft.rfft(digit, size)) for place, digit in self.digits.items()
            }
            # The spectra of one of many parts would not be needed again soon.
            if self.k < PART:
                self._latest = (size, spectra)
        return spectra


def _direct_products(samples: Digits, taps: Digits) -> Digits:
    """The sums of products of digits, by dot products."""
    products: Digits = {}
    for i, sample in samples.items():
        for j, tap in taps.items():
            add_digit(products, i + j, np.correlate(sample, tap, "valid"))
    return products


def _products_by_fft(samples: Digits, part: _TapDigits, size: int, outputs: int) -> Digits:
    """The sums of products of digits, by overlap-save in frames of `size`."""
    kept = size - part.k + 1
    taps = part.spectra(size)
    spectra: Digits = {}
    for i, sample in samples.items():
        spectrum = np.fft.rfft(_overlapping_frames(sample, size, kept, outputs))
        for j, tap in taps.items():
            add_digit(spectra, i + j, spectrum * tap)
    products: Digits = {}
    for place, spectrum in spectra.items():
        frames = np.fft.irfft(spectrum, size)[:, :kept]
        products[place] = frames.reshape(-1)[:outputs]
    return products


def _overlapping_frames(x: FloatArray, size: int, hop: int, outputs: int) -> FloatArray:
    """A view of (frames, size) samples that start `hop` samples apart; zeros follow the end."""
    count = -(-outputs // hop)
    last_start = (count - 1) * hop
    padded = np.zeros(last_start + size)
    padded[: len(x)] = x
    return np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
