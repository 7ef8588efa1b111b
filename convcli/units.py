"""Amounts as people write them: `3.4k`, `3400Hz`, `20ms`, `-6dB`, `50%`, `5d`, `12px`.

A `Kind` says what a parameter of a step is; its `convert` turns the user's text into the number that the
step's design function takes, for a given signal. Durations become samples, frequencies cycles per sample.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.signals import Signal

SECONDS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
HERTZ = {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6}
# Longer windows and strides than this are mistakes.
MOST_SAMPLES = 1 << 31
PREFIX = {"": 1.0, "k": 1e3, "M": 1e6}

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_QUANTITY = re.compile(rf"({_NUMBER})\s*([A-Za-z%°]*)")


class UnitError(ValueError):
    """An amount that cannot be read, or whose unit does not fit the signal."""


@dataclass(frozen=True)
class Quantity:
    """A number with its unit as written; the prefixes `k` and `M` are multiplied in."""

    value: float
    unit: str


def parse_quantity(text: str) -> Quantity:
    """Read an amount.

    >>> parse_quantity("3.4k"), parse_quantity("20ms")
    (Quantity(value=3400.0, unit=''), Quantity(value=20.0, unit='ms'))
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise UnitError(f"expected a number, got {text!r}")
    value, unit = float(match[1]), match[2]
    if not math.isfinite(value):
        raise UnitError(f"expected a finite number, got {text!r}")
    if unit in PREFIX:
        return Quantity(value * PREFIX[unit], "")
    if unit in SECONDS or unit in HERTZ or unit in ("dB", "%", "px", "deg", "°"):
        return Quantity(value, unit)
    raise UnitError(
        f"unknown unit {unit!r} in {text!r}; known: k, Hz, kHz, ms, s, min, h, d, dB, %, px"
    )


def to_samples(text: str, signal: Signal) -> float:
    """A length in samples (rows, pixels), not rounded: `20`, `20ms`, `5d`, `12px`."""
    quantity = parse_quantity(text)
    if quantity.unit == "":
        return quantity.value
    if quantity.unit in signal.medium.length_units:
        return quantity.value
    if quantity.unit in SECONDS and signal.rate is not None:
        return quantity.value * SECONDS[quantity.unit] * signal.rate
    raise UnitError(f"{text!r} does not fit this signal; a length here is {_lengths(signal)}")


def _lengths(signal: Signal) -> str:
    if signal.rate is not None:
        return "a number of samples (20) or a duration (20ms, 1.5s, 15min, 5d)"
    return signal.medium.length_help


def to_frequency(text: str, signal: Signal) -> float:
    """A frequency in cycles per sample: `3.4k`, `3400Hz`, or cycles per row or pixel where there is no rate."""
    quantity = parse_quantity(text)
    if quantity.unit not in HERTZ and quantity.unit != "":
        raise UnitError(f"{text!r} is no frequency; a frequency here is {_frequencies(signal)}")
    if signal.rate is None:
        if quantity.unit in HERTZ:
            raise UnitError(
                f"{text!r} does not fit this signal; a frequency here is {_frequencies(signal)}"
            )
        return quantity.value
    if quantity.unit in HERTZ:
        return quantity.value * HERTZ[quantity.unit] / signal.rate
    return quantity.value / (signal.rate * signal.cycle)


def _frequencies(signal: Signal) -> str:
    if signal.rate is not None and signal.cycle == 1:
        return "3400, 3.4k, 3400Hz or 3.4kHz"
    if signal.rate is not None:
        return f"a number of cycles per {describe_seconds(signal.cycle)}, or in Hz"
    return signal.medium.frequency_help


def describe_frequency(cycles_per_sample: float, signal: Signal) -> str:
    """A frequency in the words of the signal: `4000 Hz`, `0.5 cycles/row`."""
    if signal.rate is not None:
        unit = "Hz" if signal.cycle == 1 else f"cycles/{describe_seconds(signal.cycle)}"
        return f"{cycles_per_sample * signal.rate * signal.cycle:.6g} {unit}"
    return f"{cycles_per_sample:.6g} cycles/{signal.medium.sample}"


def plural(count: int, noun: str) -> str:
    """`1 sample`, `3 samples`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def describe_seconds(seconds: float) -> str:
    """A stretch of time in the largest unit that divides it: `day`, `15 min`."""
    names = {"w": "week", "d": "day", "h": "hour"}
    for unit in ("w", "d", "h", "min", "s"):
        count = seconds / SECONDS[unit]
        if count >= 1 and count == round(count):
            name = names.get(unit, unit)
            return name if count == 1 else f"{count:g} {name}"
    return f"{seconds:g} s"


@dataclass(frozen=True)
class Kind:
    """What a parameter is, for help and for reading it.

    convert : its value from text and signal; raises UnitError
    takes_all : one text of all values that are written without a name, rows separated by `;`
    """

    name: str
    convert: Callable[[str, Signal], object]
    takes_all: bool = False


def _count(text: str, signal: Signal) -> int:
    samples = to_samples(text, signal)
    count = math.floor(samples + 0.5)
    if parse_quantity(text).unit in ("", "px") and count != samples:
        raise UnitError(f"expected a whole number of {signal.medium.sample}s, got {text!r}")
    if count > MOST_SAMPLES:
        raise UnitError(f"expected at most {MOST_SAMPLES:,} {signal.medium.sample}s, got {text!r}")
    if count < 1:
        raise UnitError(
            f"expected at least 1 {signal.medium.sample}, got {text!r}, which is {samples:.3g}"
        )
    return count


def _length(text: str, signal: Signal) -> float:
    samples = to_samples(text, signal)
    if samples <= 0:
        raise UnitError(f"expected a length above 0, got {text!r}")
    return samples


def _frequency(text: str, signal: Signal) -> float:
    frequency = to_frequency(text, signal)
    if frequency <= 0:
        raise UnitError(f"expected a frequency above 0, got {text!r}")
    if frequency >= 0.5:
        limit = describe_frequency(0.5, signal)
        raise UnitError(
            f"{text} is not below {limit}, half the sampling rate: nothing above it is in the signal"
        )
    return frequency


def _gain(text: str, _: Signal) -> float:
    quantity = parse_quantity(text)
    if quantity.unit == "dB":
        if quantity.value > 6000:
            raise UnitError(f"expected at most 6000 dB, got {text!r}")
        return float(10 ** (quantity.value / 20))
    if quantity.unit == "%":
        return quantity.value / 100
    if quantity.unit == "":
        return quantity.value
    raise UnitError(f"expected a factor (0.5, 50%) or decibels (-6dB), got {text!r}")


def _decibels(text: str, _: Signal) -> float:
    quantity = parse_quantity(text)
    if quantity.unit not in ("", "dB"):
        raise UnitError(f"expected decibels (80 or 80dB), got {text!r}")
    return quantity.value


def _number(text: str, _: Signal) -> float:
    quantity = parse_quantity(text)
    if quantity.unit == "%":
        return quantity.value / 100
    if quantity.unit != "":
        raise UnitError(f"expected a plain number, got {text!r}")
    return quantity.value


def _integer(text: str, signal: Signal) -> int:
    value = _number(text, signal)
    if value != int(value):
        raise UnitError(f"expected a whole number, got {text!r}")
    return int(value)


def _angle(text: str, _: Signal) -> float:
    quantity = parse_quantity(text)
    if quantity.unit not in ("", "deg", "°"):
        raise UnitError(f"expected an angle in degrees (45), got {text!r}")
    return quantity.value


def to_size(text: str, signal: Signal) -> tuple[int, ...]:
    """A whole number of samples for each sample axis: `3`, or on an image `3x5`."""
    sides = text.lower().split("x")
    if len(sides) > 2 or (len(sides) == 2 and signal.axes == 1):
        raise UnitError(f"expected {'N or HxW' if signal.axes == 2 else 'N'}, got {text!r}")
    counts = [_count(side, signal) for side in sides]
    return tuple(counts) if len(counts) == 2 else tuple(counts * signal.axes)


Count = Annotated[int, Kind("samples", _count)]
Length = Annotated[float, Kind("samples, may be fractional", _length)]
Frequency = Annotated[float, Kind("frequency", _frequency)]
Gain = Annotated[float, Kind("factor or dB", _gain)]
Decibels = Annotated[float, Kind("dB", _decibels)]
Number = Annotated[float, Kind("number", _number)]
Integer = Annotated[int, Kind("whole number", _integer)]
Angle = Annotated[float, Kind("degrees", _angle)]
Size = Annotated[tuple[int, ...], Kind("N or HxW", to_size)]
