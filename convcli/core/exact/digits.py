"""Float64 numbers in digits: whole numbers that are added and multiplied without rounding.

A float64 is a whole number times a power of two. It is written in digits,

    x = sum_i d_i 2**(b i),    |d_i| <= 2**(b - 1),

with so few bits b that sums of products of digits are exact. Carries are passed on as in long
multiplication, and the result is read into two float64.

The splitting follows Ozaki, Ogita, Oishi and Rump, Error-free transformations of matrix
multiplication, Numerical Algorithms 59, 2012.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from convcli.array_types import AnyArray, FloatArray

    # Digit signals, or their sums or spectra, by the place i of their weight 2**(b i).
    Digits = dict[int, AnyArray]

# Bits of a float64 that are added without rounding, and of an int64, with one to spare.
FLOAT_BITS = 52
WORD_BITS = 62

# Powers of two up to this exponent, and their inverses, are float64 without loss.
PLAIN_POWER = 1000

# From this on, the last two bits of a whole number are below the rounding of a float64.
_LEAST_STICKY = 1 << 54


def digits_of(x: FloatArray, bits: int) -> Digits:
    """Write numbers in digits of `bits` bits: whole float64 numbers of at most 2**(bits - 1).

    Places at which all digits are 0 are left out.
    """
    huge = np.abs(x) >= 2.0**PLAIN_POWER
    if not huge.any():
        return _plain_digits(x, bits)
    # A digit of the largest numbers may round up beyond them, so they are written at a smaller
    # scale.
    places = -(-WORD_BITS // bits)
    digits = _plain_digits(np.where(huge, 0.0, x), bits)
    scaled = np.where(huge, x, 0.0) * 2.0 ** (-bits * places)
    for place, digit in _plain_digits(scaled, bits).items():
        add_digit(digits, place + places, digit)
    return digits


def _plain_digits(x: FloatArray, bits: int) -> Digits:
    """`digits_of` of numbers that are not the largest."""
    digits: Digits = {}
    rest = x
    while True:
        largest = max(float(rest.max()), -float(rest.min()))
        if largest == 0:
            return digits
        # The lowest place at which no digit is larger than 2**(bits - 1).
        mantissa, exponent = math.frexp(largest)
        if mantissa == 1 / 2:
            exponent -= 1
        place = -((bits - 1 - exponent) // bits)
        digit = np.rint(_times_power(rest, -bits * place))
        rest = rest - _times_power(digit, bits * place)
        digits[place] = digit


def _times_power(x: Any, exponent: int) -> Any:
    """Return x * 2**exponent, also where 2**exponent is not a float64."""
    if abs(exponent) <= PLAIN_POWER:
        return x * math.ldexp(1.0, exponent)
    return np.ldexp(x, exponent)


def add_digit(sums: Digits, place: int, values: Any) -> None:
    """Add values to the digit at a place, which may change in place."""
    if place in sums:
        sums[place] += values
    else:
        sums[place] = values


def numbers_of_digits(sums: Digits, bits: int) -> tuple[FloatArray, FloatArray]:
    """Return the numbers with these digits as high + low."""
    words, word_bits = words_of(with_carries(sums, bits), bits)
    high, low = added_up(words, word_bits, 0)
    overflows = ~np.isfinite(high)
    if overflows.any():
        # Sums near the largest number are added up at a smaller scale.
        few = {place: word[overflows] for place, word in words.items()}
        scaled, _ = added_up(few, word_bits, -WORD_BITS)
        with np.errstate(over="ignore"):
            high[overflows] = np.ldexp(scaled, WORD_BITS)
        low[overflows] = 0
    return high, low


def rounded(sums: Digits, bits: int, exponent: int) -> FloatArray:
    """Return numbers >= 0 with these digits, times 2**exponent, each rounded once."""
    if max(sums) - min(sums) <= 4 and 2 * bits <= FLOAT_BITS:
        return _rounded_five(sums, bits, exponent)
    words, word_bits = words_of(with_carries(sums, bits), bits)
    return added_up(words, word_bits, exponent)[0]


def _rounded_five(sums: Digits, bits: int, exponent: int) -> FloatArray:
    """`rounded` of up to five digits, in a fifth of the time that any number of them takes."""
    lowest = max(sums) - 4
    zero = np.int64(0)
    five = [sums.get(place, zero) for place in range(lowest, lowest + 5)]
    high, upper, lower = np.broadcast_arrays(*_joined_digits(five, bits))
    y = _rounded_words(high, upper, lower, 2 * bits)
    return np.asarray(_times_power(y, lowest * bits + exponent))


def _rounded_words(high: Any, upper: Any, lower: Any, bits: int) -> FloatArray:
    """high * 2**(2 bits) + upper * 2**bits + lower, of int64, each rounded once.

    `upper` and `lower` have `bits` bits. As many of them as there is room for are put behind
    `high`, and a last bit says whether any lower bit is set (a sticky bit), so that the whole
    number and the exact one have the same nearest float64. What is so small that the last bit is
    not below its rounding is rounded again, where larger numbers leave more room.
    """
    room = WORD_BITS - int(high.max()).bit_length()
    shift = min(max(room, 0), bits)
    left = bits - shift
    whole = (high << shift) | (upper >> left)
    rest = (upper & ((1 << left) - 1)) | lower
    is_rest = rest > 0
    y = (whole | is_rest) * 2.0 ** (2 * bits - shift)
    small = is_rest & (whole < _LEAST_STICKY)
    if not small.any():
        return np.asarray(y)
    if left > 0:
        y[small] = _rounded_words(high[small], upper[small], lower[small], bits)
        return np.asarray(y)
    # All of `upper` has moved up.
    nothing = np.zeros_like(lower[small])
    y[small] = _rounded_words(whole[small], lower[small], nothing, bits) * 2.0**-bits
    return np.asarray(y)


def _joined_digits(digits: list[Any], bits: int) -> tuple[Any, Any, Any]:
    """The highest of five digits, and the two pairs below it, after all carries."""
    mask = (1 << bits) - 1
    carry: Any = np.int64(0)
    kept = []
    for digit in digits[:4]:
        total = digit + carry
        carry = total >> bits
        kept.append(total & mask)
    high = digits[4] + carry
    upper = (kept[3] << bits) | kept[2]
    lower = (kept[1] << bits) | kept[0]
    return high, upper, lower


def with_carries(sums: Digits, bits: int) -> Digits:
    """Pass on carries until every digit lies in -2**(bits - 1) ... 2**(bits - 1) - 1.

    Every whole number has exactly one such form.
    """
    half = 1 << (bits - 1)
    carry: Any = np.int64(0)
    normal: Digits = {}
    place = min(sums)
    highest = max(sums)
    while place <= highest or np.any(carry):
        total = sums[place] + carry if place in sums else carry
        carry = (total + half) >> bits
        normal[place] = total - (carry << bits)
        place += 1
    return normal


def words_of(digits: Digits, bits: int) -> tuple[Digits, int]:
    """Join neighbouring digits to words that float64 holds exactly; return also their bits."""
    together = FLOAT_BITS // bits
    words: Digits = {}
    for place, digit in digits.items():
        word, within = divmod(place, together)
        add_digit(words, word, digit << (bits * within))
    return words, bits * together


def added_up(words: Digits, bits: int, exponent: int) -> tuple[FloatArray, FloatArray]:
    """Add up words from the highest on, times 2**exponent, as high + low."""
    high = low = lost = np.float64(0)
    with np.errstate(over="ignore", invalid="ignore"):
        for place in sorted(words, reverse=True):
            term = _times_power(words[place].astype(np.float64), bits * place + exponent)
            low, error = two_sum(low, term)
            high, low = two_sum(high, low)
            lost = lost + error
        return _rounded_sum(high, low, lost)


def _rounded_sum(high: Any, low: Any, lost: Any) -> tuple[FloatArray, FloatArray]:
    """Round high + low + lost to the nearest float64, where `low` is exactly half a step of it."""
    same_sign = np.signbit(low) == np.signbit(lost)
    wrong = (low != 0) & (lost != 0) & same_sign
    if np.any(wrong):
        step = 2 * low
        other = high + step
        wrong &= other - high == step
        high = np.where(wrong, other, high)
        low = np.where(wrong, -low, low)
    return np.asarray(high), np.asarray(low)


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """The sum of two numbers and its rounding error (Knuth)."""
    total = a + b
    of_b = total - a
    error = (a - (total - of_b)) + (b - of_b)
    return total, error
