"""`compare`: how far two signals differ, and whether limits on the measures are broken.

Signals are read in one pass and constant memory.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.checking.signal_comparison import ComparedSignal, SignalComparison
from convcli.dataclass import dataclass
from convcli.errors import RequestError, named_first, nearest, shell_word
from convcli.facts.comparison import MEASURES, ComparisonFacts
from convcli.running.arrays import as_array, is_pandas, source_of
from convcli.running.blas_threads import one_blas_thread
from convcli.running.python_arguments import (
    check_axes,
    check_number,
    check_threads,
    errors_in_python,
    read_rate,
)
from convcli.running.workers import Workers
from convcli.units import UnitError, describe_frequency, describe_rate, parse_quantity, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from convcli.facts.comparison import ChannelComparison
    from convcli.signals import Signal


@errors_in_python
@one_blas_thread()
def compare_arrays(
    a: Any,
    b: Any,
    *,
    rate: float | str | None = None,
    axes: int | None = None,
    full_scale: float | None = None,
    alpha: int | None = None,
    threads: int | None = None,
) -> ComparisonFacts:
    """Compare two arrays, Series or DataFrames; A is the reference.

    a, b : as `apply` takes them; NaN is missing, and two missing samples are equal. The columns
        that two DataFrames have in common are compared.
    rate : samples per second, as a number or a text such as "16k"
    axes : sample axes, 1 or 2; by default 2 for three-dimensional arrays, else 1
    full_scale : the largest sample, for the PSNR and SSIM of pictures; by default 255 for unsigned
        bytes, 65535 for 16 bits, else 1
    alpha : which channel is the opacity of a picture, from 0, or from the last one as -1. Colours
        are then compared as they are seen over black, as those of files are, and the opacity is one
        more channel; an array without that channel is opaque. By default an array has no opacity,
        and all channels are compared as they are, as skimage.metrics does.

    Returns the measures of each channel. Raises RequestError where the two cannot be compared.

    >>> facts = compare_arrays(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.5]))
    >>> facts.channels[0].largest, facts.channels[0].at
    (0.5, (2,))
    """
    samples_per_second = read_rate(rate)
    check_axes(axes)
    check_threads(threads)
    if full_scale is not None:
        check_number("full_scale", full_scale, above=0)
    sources = [source_of(x, rate=samples_per_second, axes=axes) for x in (a, b)]
    opacity = _opacity_channel(alpha, [source.signal for source in sources])
    sides = []
    for name, x, source in zip("ab", (a, b), sources, strict=True):
        signal = replace(source.signal, full_scale=full_scale or _full_scale(x))
        if opacity is not None and opacity < len(signal.channels):
            signal = replace(signal, alpha=opacity)
        sides.append(ComparedSignal(name, replace(source, signal=signal)))
    return compare_signals(*sides, threads=threads)


def _opacity_channel(alpha: int | None, signals: Sequence[Signal]) -> int | None:
    """The index of the opacity, from 0. RequestError where there is no such channel."""
    if alpha is None:
        return None
    count = max(len(signal.channels) for signal in signals)
    if any(signal.axes != 2 for signal in signals):
        raise RequestError("alpha expects pictures, which are (rows, columns, channels)")
    if alpha not in range(-count, count):
        channels = f"a channel from {-count} to {count - 1}"
        raise RequestError(f"alpha expects {channels}, got {alpha!r}")
    return alpha % count


def _full_scale(x: Any) -> float:
    """The largest value of a type of unsigned numbers; 1 for all other types, and for tables."""
    if is_pandas(x):
        return 1.0
    dtype = as_array(x).dtype
    return float(np.iinfo(dtype).max) if dtype.kind == "u" else 1.0


def compare_signals(
    a: ComparedSignal, b: ComparedSignal, *, threads: int | None = None
) -> ComparisonFacts:
    """Compare two signals of one kind; A is the reference.

    Raises RequestError where they cannot be compared: other media, rates, sizes or channels.
    """
    channels, remarks = _common_channels(a, b)
    _refuse_other_kind(a, b)
    comparison = SignalComparison(a, b, channels)
    with Workers(threads) as workers:
        delays = comparison.read(workers)
    remarks += comparison.length_remarks()
    rows = comparison.channel_rows(delays)
    _, unit = describe_frequency(0.5, a.signal).split(" ", 1)
    return ComparisonFacts(
        a=comparison.facts_of(0),
        b=comparison.facts_of(1),
        channels=rows,
        together=comparison.together(rows, delays),
        frequency_unit=unit,
        remarks=tuple(remarks),
    )


# ------------------------------------------------------------------------------------------- checks


def _common_channels(
    a: ComparedSignal, b: ComparedSignal
) -> tuple[list[tuple[int, int]], list[str]]:
    """The indices of the channels that both have, and remarks about all others."""
    _refuse_other_medium(a, b)
    names_a = a.signal.channels
    names_b = b.signal.channels
    common = [(place, names_b.index(name)) for place, name in enumerate(names_a) if name in names_b]
    if not common:
        noun = a.signal.medium.channel
        names_of_a = named_first(list(names_a)) or f"no {noun}"
        names_of_b = named_first(list(names_b)) or f"no {noun}"
        raise RequestError(
            f"{a.name} and {b.name} have no {noun} in common: {names_of_a} and {names_of_b}",
            hint=f"bring both to the same {noun}s first",
        )
    remarks = []
    for one, other in ((a, b), (b, a)):
        alone = [name for name in one.signal.channels if name not in other.signal.channels]
        if alone:
            noun = plural(len(alone), one.signal.medium.channel)
            remarks.append(f"{noun} of {one.name} alone: {named_first(alone)}")
    return common, remarks


def _refuse_other_medium(a: ComparedSignal, b: ComparedSignal) -> None:
    if a.signal.medium is not b.signal.medium:
        things = f"{a.signal.medium.thing} and {b.name} {b.signal.medium.thing}"
        raise RequestError(f"{a.name} is {things}", hint="two signals of one kind are compared")


def _refuse_other_kind(a: ComparedSignal, b: ComparedSignal) -> None:
    if a.signal.rate != b.signal.rate:
        rates = [_rate_words(each) for each in (a, b)]
        hint = "resample one to the rate of the other first"
        if a.signal.medium.in_seconds:
            hint = f"convcli audio resample:{a.signal.rate:g} {shell_word(b.name)} -o OUTPUT"
        elif a.signal.medium.carries_cells:
            hint = "without --time, rows are compared in their order"
        raise RequestError(f"{rates[0]}, and {rates[1]}", hint=hint)
    if a.signal.axes != b.signal.axes or a.signal.shape[1:] != b.signal.shape[1:]:
        raise _other_size(a, b)
    # A longer sound is compared up to the end of the shorter one; pictures must be of one size.
    if a.signal.axes == 2 and a.signal.shape != b.signal.shape:
        raise _other_size(a, b)


def _rate_words(side: ComparedSignal) -> str:
    return f"{side.name} has {describe_rate(side.signal.rate, side.signal.medium.sample)}"


def _other_size(a: ComparedSignal, b: ComparedSignal) -> RequestError:
    sizes = []
    for side in (a, b):
        sides = [str(n) for n in reversed(side.signal.shape)]
        sizes.append("x".join(sides))
    return RequestError(
        f"{a.name} has {sizes[0]} and {b.name} {sizes[1]} {a.signal.medium.sample}s",
        hint=f"bring both to one size first: resize:{sizes[0]}",
    )


# ---------------------------------------- limits: `--fail-above rms=1e-3`, `--fail-below ssim=0.98`


UNMATCHED = "unmatched"
# Measures that pictures alone have.
OF_PICTURES = ("psnr", "ssim")


@dataclass(frozen=True)
class Limit:
    """The largest allowed value of a measure, or the smallest one of a similarity."""

    measure: str
    value: float

    @property
    def is_least(self) -> bool:
        """Whether values below it are refused."""
        return MEASURES[self.measure].similarity

    @property
    def text(self) -> str:
        """The limit as written on the command line, without the option."""
        return f"{self.measure}={self.value:g}"

    def broken_by(self, row: ChannelComparison) -> str | None:
        """How the comparison of a channel breaks the limit, as text; None if it does not."""
        value = row.measure(self.measure)
        if value is None:
            if row.equal:
                return None
            return f"{self.measure} is not known, and a limit of {self.value:g} was asked for"
        if self.is_least and not value >= self.value:
            return f"{self.measure} {value:.6g} is below {self.value:g}"
        if not self.is_least and not value <= self.value:
            return f"{self.measure} {value:.6g} is above {self.value:g}"
        return None


def parse_limits(above: Iterable[str], below: Iterable[str]) -> list[Limit]:
    """The limits in the texts of `--fail-above` and of `--fail-below`.

    Raises RequestError for a text that is not a limit, or under the wrong one of the two options.
    """
    limits = [_parse_limit(text, "--fail-above", least=False) for text in above]
    limits += [_parse_limit(text, "--fail-below", least=True) for text in below]
    return limits


def _parse_limit(text: str, option: str, *, least: bool) -> Limit:
    names = [name for name, measure in MEASURES.items() if measure.similarity == least]
    name, sign, number = text.partition("=")
    name = name.strip()
    known = MEASURES.get(name)
    if known is not None and known.similarity != least:
        other = "--fail-below" if known.similarity else "--fail-above"
        grows = "more" if known.similarity else "less"
        raise RequestError(
            f"{option} {text}: a larger {name} means that the two are {grows} alike",
            hint=f"{other} {text}",
        )
    if known is None or not sign:
        word = re.match("[A-Za-z_]*", name)
        near = nearest(word[0] if word else "", names) or names[0]
        raise RequestError(
            f"{option} expects MEASURE=NUMBER with one of {', '.join(names)}, got {text!r}",
            hint=f"{option} {near}={_number_in(text) or MEASURES[near].limit}",
        )
    example = f"{option} {name}={known.limit}"
    try:
        quantity = parse_quantity(number)
    except UnitError as error:
        raise RequestError(f"{option} {name}: {error}", hint=error.hint or example) from None
    if quantity.unit and not (quantity.unit == "dB" and known.in_decibels):
        raise RequestError(
            f"{option} {name} expects a number without a unit, got {number!r}", hint=example
        )
    if quantity.value < 0 and not least:
        raise RequestError(
            f"{option} {name} expects a number of at least 0, got {number!r}", hint=example
        )
    return Limit(name, quantity.value)


def _number_in(text: str) -> str | None:
    """The number at the end of a text that is no limit, as in `0.001`, `rms 1` and `=1`."""
    found = re.search(r"(?<![\w.-])(\d+(\.\d*)?|\.\d+)(e-?\d+)?$", text)
    return found[0] if found else None


def refuse_limits(limits: Sequence[Limit], signal: Signal) -> None:
    """Raise RequestError for a limit on a measure that signals of this kind do not have."""
    for limit in limits:
        if limit.measure in OF_PICTURES and not signal.medium.unit_scale and signal.axes < 2:
            raise RequestError(
                f"{limit.measure} is a measure of pictures, and these are {signal.medium.things}"
            )


def broken_limits(facts: ComparisonFacts, limits: Sequence[Limit]) -> Iterator[str]:
    """Yield a text for each limit that a comparison breaks.

    Unless they have a limit of their own, unmatched samples break every other limit, because
    nothing can be said about their difference.
    """
    names = [limit.measure for limit in limits]
    for row in facts.overall:
        label = f"{facts.b.page_label}: "
        if facts.together is None:
            label += f"{row.channel}: "
        if limits and UNMATCHED not in names and row.unmatched:
            samples = plural(row.unmatched, facts.a.medium.sample)
            yield f"{label}{samples} in only one of the two; {UNMATCHED}=N allows some"
        for limit in limits:
            broken = limit.broken_by(row)
            if broken is not None:
                yield label + broken
