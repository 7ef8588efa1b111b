"""`compare`: how far two signals differ, in one pass and constant memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from convcli.checking.signal_comparison import ComparedSignal, SignalComparison
from convcli.errors import RequestError, named_first
from convcli.facts.comparison import ComparisonFacts
from convcli.running.arrays import source_of
from convcli.running.blas_threads import one_blas_thread
from convcli.running.python_arguments import (
    check_axes,
    check_number,
    check_threads,
    errors_in_python,
    read_rate,
)
from convcli.running.workers import Workers
from convcli.units import describe_frequency, plural


@errors_in_python
@one_blas_thread()
def compare_arrays(
    a: Any,
    b: Any,
    *,
    rate: float | str | None = None,
    axes: int | None = None,
    full_scale: float | None = None,
    threads: int | None = None,
) -> ComparisonFacts:
    """Compare two arrays, Series or DataFrames; A is the reference.

    a, b : as `apply` takes them; NaN is missing, and two missing samples are equal. The columns
        that two DataFrames have in common are compared.
    rate : samples per second, as a number or a text such as "16k"
    axes : sample axes, 1 or 2; by default 2 for three-dimensional arrays, else 1
    full_scale : the largest sample, for the PSNR and SSIM of pictures; by default 255 for unsigned
        bytes, 65535 for 16 bits, else 1

    Returns the measures of each channel. Raises RequestError where the two cannot be compared.

    >>> facts = compare_arrays(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.5]))
    >>> facts.channels[0].largest, facts.channels[0].at
    (0.5, (2,))
    """
    samples_per_second = read_rate(rate)
    check_axes(axes)
    check_threads(threads)
    check_number("full_scale", full_scale, above=0)
    sides = []
    for name, x in (("a", a), ("b", b)):
        source = source_of(x, rate=samples_per_second, axes=axes)
        scale = full_scale or _full_scale(x)
        source = replace(source, signal=replace(source.signal, full_scale=scale))
        sides.append(ComparedSignal(name, source))
    return compare_signals(*sides, threads=threads)


def _full_scale(x: Any) -> float:
    """The largest value of a type of unsigned numbers; 1 for all other types."""
    dtype = getattr(x, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind == "u":
        return float(np.iinfo(dtype).max)
    return 1.0


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
            hint = f"convcli audio resample:{a.signal.rate:g} {b.name} -o OUTPUT"
        raise RequestError(f"{rates[0]}, and {rates[1]}", hint=hint)
    if a.signal.axes != b.signal.axes or a.signal.shape[1:] != b.signal.shape[1:]:
        raise _other_size(a, b)
    # A longer sound is compared up to the end of the shorter one; pictures must be of one size.
    if a.signal.axes == 2 and a.signal.shape != b.signal.shape:
        raise _other_size(a, b)


def _rate_words(side: ComparedSignal) -> str:
    rate = side.signal.rate
    if rate is None:
        return f"{side.name} has no rate"
    return f"{side.name} has {rate:g} {side.signal.medium.sample}s per second"


def _other_size(a: ComparedSignal, b: ComparedSignal) -> RequestError:
    sizes = []
    for side in (a, b):
        sides = [str(n) for n in reversed(side.signal.shape)]
        sizes.append("x".join(sides))
    return RequestError(
        f"{a.name} has {sizes[0]} and {b.name} {sizes[1]} {a.signal.medium.sample}s",
        hint=f"bring both to one size first: resize:{sizes[0]}",
    )
