"""Amounts as people write them: `3.4k`, `3400Hz`, `20ms`, `-6dB`, `50%`, `5d`, `12px`, `1mo`.

A `Kind` describes a parameter of a step. Its `convert` turns the user's text into the number that
the design function of the step takes: a length in samples, a frequency in cycles per sample.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated

from convcli.calendar_bins import AVERAGE_MONTH, DAY, WEEK, CalendarBins
from convcli.dataclass import dataclass

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
# Months in the units of the calendar whose length in seconds differs.
MONTHS = {"mo": 1, "q": 3, "y": 12}
HERTZ = {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6}
# Windows and strides that are longer than this are mistakes.
MOST_SAMPLES = 1 << 31
# Seconds in a hundred years.
LONGEST_DURATION = 3.15576e9
PREFIX = {"": 1.0, "k": 1e3, "M": 1e6}
_OTHER_UNITS = ("dB", "%", "px", "deg", "°")
# What other programs call the units: pandas' W and ME, words, and other capital letters.
_OTHER_NAMES = {
    **{unit.lower(): unit for unit in (*SECONDS, *MONTHS, *HERTZ, "dB", "px")},
    **dict.fromkeys(("dbfs", "dbtp"), "dB"),
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("mins", "minute", "minutes"), "min"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("day", "days"), "d"),
    **dict.fromkeys(("week", "weeks", "wk"), "w"),
    **dict.fromkeys(("month", "months", "mon", "mth", "me"), "mo"),
    **dict.fromkeys(("quarter", "quarters", "qe", "qs"), "q"),
    **dict.fromkeys(("year", "years", "yr", "ye", "ys"), "y"),
}

_LOUDNESS = ("lufs", "lkfs", "lu")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_QUANTITY = re.compile(rf"({_NUMBER})(?:/({_NUMBER}))?\s*([A-Za-z%°]*)")


class UnitError(ValueError):
    """An amount cannot be read, or its unit does not fit the signal.

    hint : what the user can try; None for the example of the step
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Quantity:
    """A number with its unit. The prefixes `k` and `M` of bare numbers are part of the value."""

    value: float
    unit: str


def parse_quantity(text: str) -> Quantity:
    """Read an amount. Raises UnitError if it has no number, or its unit is unknown.

    >>> parse_quantity("3.4k"), parse_quantity("20ms")
    (Quantity(value=3400.0, unit=''), Quantity(value=20.0, unit='ms'))
    >>> parse_quantity("1/4")
    Quantity(value=0.25, unit='')
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        unit = _OTHER_NAMES.get(text.strip().lower())
        hint = f"a unit follows a number: 1{unit}" if unit else None
        raise UnitError(f"expected a number, got {text!r}", hint=hint)
    value = float(match[1])
    unit = match[3]
    if match[2] is not None:
        divisor = float(match[2])
        if divisor == 0:
            raise UnitError(f"expected a number, got {text!r}, a division by 0")
        value /= divisor
    if not math.isfinite(value):
        raise UnitError(f"expected a finite number, got {text!r}")
    if unit in PREFIX:
        return Quantity(value * PREFIX[unit], "")
    if unit in SECONDS or unit in MONTHS or unit in HERTZ or unit in _OTHER_UNITS:
        return Quantity(value, unit)
    known = "known: k, Hz, kHz, ms, s, min, h, d, w, mo, q, y, dB, %, px"
    hint = None
    if unit.lower() in _LOUDNESS:
        hint = "--report page.html measures LUFS; gain:-3dB lowers the loudness by 3 LU"
    if unit == "m":
        known = "minutes are min, months mo"
    elif unit.lower() in _OTHER_NAMES:
        known = f"write {match[1]}{_OTHER_NAMES[unit.lower()]}"
    raise UnitError(f"unknown unit {unit!r} in {text!r}; {known}", hint=hint)


@dataclass(frozen=True)
class Duration:
    """The length of a window in time.

    text : as written
    whole : whether samples come at equal steps of time, and it is a whole number of them
    """

    nanoseconds: int
    text: str = ""
    whole: bool = False

    @classmethod
    def of(cls, text: str, signal: Signal) -> Duration | None:
        """Convert an amount in a unit of time; None if `text` is in another unit.

        Raises UnitError if it is not above 0, or centuries.
        """
        quantity = parse_quantity(text)
        if quantity.unit not in SECONDS:
            return None
        seconds = quantity.value * SECONDS[quantity.unit]
        if not 0 < seconds <= LONGEST_DURATION:
            raise UnitError(f"expected a duration above 0 and of at most 100 years, got {text!r}")
        regular = signal.rate is not None and not signal.trading_days
        whole = regular and _is_whole(to_samples(text, signal))
        return cls(max(1, round(seconds * 1e9)), text, whole)


def _is_whole(samples: float) -> bool:
    """Whether a computed number of samples is whole, but for its rounding."""
    count = round(samples)
    return count >= 1 and math.isclose(samples, count, rel_tol=1e-9)


def to_calendar_bins(text: str) -> CalendarBins:
    """Convert a length such as `15min`, `1d` or `1mo` to bins of the calendar.

    Raises UnitError if no calendar has such bins: they are equal parts of a day, a day, a week,
    equal parts of a year in months, or years.
    """
    quantity = parse_quantity(text)
    months = quantity.value * MONTHS.get(quantity.unit, 0)
    if months and months == int(months) and (12 % months == 0 or months % 12 == 0):
        return CalendarBins(months=int(months))
    length = round(quantity.value * SECONDS.get(quantity.unit, 0) * 1e9)
    if length == WEEK or (length > 0 and DAY % length == 0):
        return CalendarBins(length=length)
    raise UnitError(
        f"expected a bin of the calendar (15min, 1h, 6h, 1d, 1w, 1mo, 1q, 1y), got {text!r}"
    )


def to_samples(text: str, signal: Signal) -> float:
    """Convert a length such as `20`, `20ms`, `5d` or `12px` to samples, not rounded."""
    quantity = parse_quantity(text)
    if quantity.unit == "" or quantity.unit in signal.medium.length_units:
        return quantity.value
    if quantity.unit in SECONDS and signal.rate is not None:
        seconds = quantity.value * SECONDS[quantity.unit]
        if signal.trading_days:
            return _business_days(text, seconds, signal)
        return seconds * signal.rate
    if quantity.unit in MONTHS and signal.timed:
        raise UnitError(
            f"{text!r} is not a fixed length; 15min, 2h, 5d and 1w are. Pools have bins of the "
            "calendar (avg_pool:1mo), except within a network"
        )
    raise UnitError(f"{text!r} does not fit this signal; a length here is {_lengths(signal)}")


def _business_days(text: str, seconds: float, signal: Signal) -> float:
    """How many business days a duration is: one day is the row before, a week has five."""
    days = seconds / SECONDS["d"]
    weeks = days / 7
    if days == 1:
        return 1.0
    if weeks >= 1 and weeks == round(weeks):
        return weeks * signal.week / SECONDS["d"]
    sample = signal.medium.sample
    raise UnitError(
        f"{text!r} is not a fixed number of {sample}s, which are business days: 1d is one, 1w are "
        f"five, and a number counts {sample}s (20)"
    )


def _window_duration(text: str, signal: Signal) -> Duration | None:
    """The duration that `text` is, where samples have times; else None: a number of samples."""
    return Duration.of(text, signal) if signal.timed else None


def _duration(text: str, signal: Signal) -> Duration | None:
    """The duration that `text` is, unless it is a number of samples.

    A whole number of equal steps of time is a number of samples. The steps between business days
    are not equal: they are one day and three.
    """
    duration = _window_duration(text, signal)
    return None if duration is not None and duration.whole else duration


def _lengths(signal: Signal) -> str:
    sample = signal.medium.sample
    if signal.irregular:
        return f"a number of {sample}s (20), for {sample}s do not come at equal steps of time"
    if signal.rate is not None:
        return f"a number of {sample}s (20) or a duration (20ms, 1.5s, 15min, 5d)"
    return signal.medium.length_help


def to_frequency(text: str, signal: Signal) -> float:
    """Convert a frequency such as `3.4k` or `3400Hz` to cycles per sample.

    A bare number is in cycles per `signal.cycle` seconds, or in cycles per sample (row, pixel) if
    the signal has no rate.
    """
    quantity = parse_quantity(text)
    in_hertz = quantity.unit in HERTZ
    if not in_hertz and quantity.unit != "":
        raise UnitError(f"{text!r} is not a frequency; a frequency here is {_frequencies(signal)}")
    if in_hertz and signal.rate is None:
        raise UnitError(
            f"{text!r} does not fit this signal; a frequency here is {_frequencies(signal)}"
        )
    if signal.rate is None:
        return quantity.value
    if in_hertz:
        return quantity.value * HERTZ[quantity.unit] / signal.rate
    return quantity.value / (signal.rate * signal.cycle)


def to_rate(text: str) -> float:
    """Convert a rate such as `44100`, `16k` or `16kHz` to samples per second.

    >>> to_rate("16k")
    16000.0
    """
    expected = "expects samples per second above 0 (44100, 16k)"
    try:
        quantity = parse_quantity(text)
    except UnitError:
        raise UnitError(f"{expected}, got {text!r}") from None
    scale = {"": 1.0, **HERTZ}.get(quantity.unit, 0.0)
    rate = quantity.value * scale
    if not 0 < rate < math.inf:
        raise UnitError(f"{expected}, got {text!r}")
    return rate


def _frequencies(signal: Signal) -> str:
    if signal.rate is not None and signal.cycle == 1:
        return "3400, 3.4k, 3400Hz or 3.4kHz"
    if signal.rate is not None:
        return f"a number of cycles per {describe_seconds(signal.cycle)}, or in Hz"
    return signal.medium.frequency_help


def describe_frequency(cycles_per_sample: float, signal: Signal) -> str:
    """A frequency in the unit of the signal, as text: `4000 Hz`, `0.5 cycles/row`."""
    if signal.rate is None:
        return f"{cycles_per_sample:.6g} cycles/{signal.medium.sample}"
    frequency = cycles_per_sample * signal.rate * signal.cycle
    if signal.cycle == 1:
        return f"{frequency:.6g} Hz"
    return f"{frequency:.6g} cycles/{describe_seconds(signal.cycle)}"


def plural(count: int, noun: str) -> str:
    """A count with its noun: `1 sample`, `3 samples`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def describe_seconds(seconds: float) -> str:
    """A duration in the largest unit that divides it.

    >>> [describe_seconds(seconds) for seconds in (86400, 900, 2 * 86400, AVERAGE_MONTH, 0.5)]
    ['day', '15 min', '2 days', 'month', '0.5 s']
    """
    for unit, name in (("w", "week"), ("d", "day"), ("h", "hour")):
        count = seconds / SECONDS[unit]
        if count >= 1 and count == round(count):
            return name if count == 1 else f"{count:g} {name}s"
    if seconds > SECONDS["d"]:
        return _long_duration(seconds)
    for unit in ("min", "s"):
        count = seconds / SECONDS[unit]
        if count >= 1 and count == round(count):
            return unit if count == 1 else f"{count:g} {unit}"
    return f"{seconds:g} s"


def _long_duration(seconds: float) -> str:
    """A duration of days that are not whole, or of months."""
    months = seconds / AVERAGE_MONTH
    count = round(months)
    if count >= 1 and math.isclose(months, count, rel_tol=1e-9):
        return "month" if count == 1 else f"{count} months"
    return f"{seconds / SECONDS['d']:.4g} days"


def describe_rate(rate: float | None, noun: str = "sample") -> str:
    """A rate as text: `44100 samples per second`, `a row every 15 min`, `no rate`."""
    if rate is None:
        return "no rate"
    if rate >= 1:
        return f"{rate:g} {noun}s per second"
    seconds = float(f"{1 / rate:.12g}")
    return f"a {noun} every {describe_seconds(seconds)}"


@dataclass(frozen=True)
class Kind:
    """A kind of parameter: its name in help texts, and how its values are read.

    convert : converts text to a value that fits the signal; raises UnitError
    takes_all : one text of all values that are written without a name, rows separated by `;`
    in_samples : converts the text of a `Duration` to a number of samples
    """

    name: str
    convert: Callable[[str, Signal], object]
    takes_all: bool = False
    in_samples: Callable[[str, Signal], object] | None = None


def _read_count(text: str, signal: Signal) -> int:
    samples = to_samples(text, signal)
    if signal.timed and signal.rate is not None and not _is_whole(samples):
        quantity = parse_quantity(text)
        if quantity.unit in SECONDS:
            sample = signal.medium.sample
            step = describe_seconds(1 / signal.rate)
            raise UnitError(f"{text!r} is not a whole number of {sample}s; one comes each {step}")
    if samples > MOST_SAMPLES:
        raise UnitError(f"expected at most {MOST_SAMPLES:,} {signal.medium.sample}s, got {text!r}")
    count = math.floor(samples + 0.5)
    if parse_quantity(text).unit in ("", "px") and count != samples:
        raise UnitError(f"expected a whole number of {signal.medium.sample}s, got {text!r}")
    if count < 1:
        message = f"expected at least 1 {signal.medium.sample}, got {text!r}"
        if parse_quantity(text).unit:
            message += f", which is {samples:.3g}"
        raise UnitError(message)
    return count


def _read_lag(text: str, signal: Signal) -> int:
    if to_samples(text, signal) <= -0.5:
        sample = signal.medium.sample
        ahead = "correlate:0,0,1 with --align center reads one ahead"
        raise UnitError(f"{text!r} would read later {sample}s; {ahead}")
    return _read_count(text, signal)


def _read_length(text: str, signal: Signal) -> float:
    samples = to_samples(text, signal)
    if samples <= 0:
        raise UnitError(f"expected a length above 0, got {text!r}")
    return samples


def _read_frequency(text: str, signal: Signal) -> float:
    frequency = to_frequency(text, signal)
    if frequency <= 0:
        raise UnitError(f"expected a frequency above 0, got {text!r}")
    if frequency >= 0.5:
        limit = describe_frequency(0.5, signal)
        raise UnitError(
            f"{text} is not below {limit}, half the sampling rate: "
            "nothing above it is in the signal"
        )
    return frequency


def to_factor(text: str) -> float:
    """Convert a factor such as `0.5`, `1/14`, `50%` or `-6dB`.

    >>> to_factor("1/4"), to_factor("50%"), to_factor("-20dB")
    (0.25, 0.5, 0.1)
    """
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


def _read_gain(text: str, _: Signal) -> float:
    return to_factor(text)


def _read_decibels(text: str, _: Signal) -> float:
    quantity = parse_quantity(text)
    if quantity.unit not in ("", "dB"):
        raise UnitError(f"expected decibels (80 or 80dB), got {text!r}")
    return quantity.value


def read_plain_number(text: str, _: Signal) -> float:
    """Convert a plain number or a percentage. Raises UnitError for any other unit."""
    quantity = parse_quantity(text)
    if quantity.unit == "%":
        return quantity.value / 100
    if quantity.unit != "":
        raise UnitError(f"expected a plain number, got {text!r}")
    return quantity.value


def _read_integer(text: str, signal: Signal) -> int:
    value = read_plain_number(text, signal)
    if value != int(value):
        raise UnitError(f"expected a whole number, got {text!r}")
    return int(value)


def _read_number_of(text: str, signal: Signal) -> int:
    number = read_plain_number(text, signal)
    if number != math.floor(number) or not 1 <= number <= MOST_SAMPLES:
        raise UnitError(f"expected a whole number from 1 to {MOST_SAMPLES:,}, got {text!r}")
    return int(number)


def _read_angle(text: str, _: Signal) -> float:
    quantity = parse_quantity(text)
    if quantity.unit not in ("", "deg", "°"):
        raise UnitError(f"expected an angle in degrees (45), got {text!r}")
    return quantity.value


def to_size(text: str, signal: Signal) -> tuple[int, ...]:
    """Convert `3`, or `3x5` for two sample axes, to a number of samples for each sample axis."""
    sides = text.lower().split("x")
    if len(sides) not in (1, signal.axes):
        expected = "N or HxW" if signal.axes == 2 else "N"
        raise UnitError(f"expected {expected}, got {text!r}")
    counts = [_read_count(side, signal) for side in sides]
    if len(counts) == 1:
        counts *= signal.axes
    return tuple(counts)


def _read_size_or_bin(text: str, signal: Signal) -> tuple[int, ...] | CalendarBins:
    if not signal.timed:
        return to_size(text, signal)
    quantity = parse_quantity(text)
    if quantity.unit not in MONTHS and quantity.unit not in SECONDS:
        return to_size(text, signal)
    try:
        return to_calendar_bins(text)
    except UnitError:
        if signal.irregular or quantity.unit in MONTHS:
            raise
    # 7d of daily rows are seven rows, wherever they begin.
    return to_size(text, signal)


def _kind_or_duration(
    name: str,
    read: Callable[[str, Signal], object],
    read_duration: Callable[[str, Signal], Duration | None] = _duration,
) -> Kind:
    """The kind that `read` reads, which may also be a duration where samples have times."""

    def read_either(text: str, signal: Signal) -> object:
        duration = read_duration(text, signal)
        return read(text, signal) if duration is None else duration

    return Kind(name, read_either, in_samples=read)


# Where samples have times, a duration is a `Duration` and a bin of the calendar a `CalendarBins`;
# the design for them is then the one in `designs/in_time.py`. `WindowCount` and `WindowLength` are
# for windows whose weights in time are not those of as many samples at equal steps.
_COUNT = "samples"
Count = Annotated[int, _kind_or_duration(_COUNT, _read_count)]
WindowCount = Annotated[int, _kind_or_duration(_COUNT, _read_count, _window_duration)]
Lag = Annotated[int, Kind("samples back", _read_lag)]
_LENGTH = "samples, may be fractional"
Length = Annotated[float, _kind_or_duration(_LENGTH, _read_length)]
WindowLength = Annotated[float, _kind_or_duration(_LENGTH, _read_length, _window_duration)]
FREQUENCY = Kind("frequency", _read_frequency)
Frequency = Annotated[float, FREQUENCY]
Gain = Annotated[float, Kind("factor or dB", _read_gain)]
Decibels = Annotated[float, Kind("dB", _read_decibels)]
Number = Annotated[float, Kind("number", read_plain_number)]
Integer = Annotated[int, Kind("whole number", _read_integer)]
# How many there are of what is no sample: channels, groups, multiples.
NumberOf = Annotated[int, Kind("whole number from 1", _read_number_of)]
Angle = Annotated[float, Kind("degrees", _read_angle)]
Size = Annotated[tuple[int, ...], _kind_or_duration("N or HxW", to_size)]
PoolSize = Annotated[tuple[int, ...], Kind("N or HxW", _read_size_or_bin)]
