"""Fewer samples: every Nth with or without an anti-alias filter, resampling at any ratio, pools."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from convcli.core import kaiser
from convcli.core.kernel import Kernel
from convcli.core.ops import Convolve, Op, Pool
from convcli.core.resample import STOP_BAND, Resample
from convcli.core.whole import Reduce
from convcli.designs.frequency import lowpass
from convcli.designs.registry import step
from convcli.designs.taps import refuse_huge
from convcli.errors import RequestError
from convcli.signals import Align, Signal
from convcli.units import Count, Decibels, Quantity, Size, UnitError, parse_quantity

if TYPE_CHECKING:
    from fractions import Fraction

MOST_STRETCHES = 1 << 20

# What a resampler leaves flat, as a share of the lower Nyquist frequency.
PASS_BAND = 0.91


def _every(n: tuple[int, ...], taps: tuple[np.ndarray, ...], *, align: Align) -> Convolve | None:
    """Separable taps, one set per axis, of which every n-th output is kept; None where nothing changes."""
    kernel = Kernel(taps=taps[0] if len(taps) == 1 else np.outer(*taps))
    if kernel.taps.size == 1 and kernel.identity and all(s == 1 for s in n):
        return None
    return Convolve.by(kernel, align, step=n)


@step("downsampling", example="downsample:4", anti_alias=True)
def downsample(
    n: Count, *, attenuation: Decibels = 80.0, signal: Signal, align: Align
) -> Convolve | None:
    """Anti-alias low-pass, then every Nth sample; N is a number of samples.

    Sound and tables: a Kaiser low-pass that is flat up to 0.4/N and `attenuation` dB down from 0.5/N cycles per
    sample. Images: Lanczos (3 lobes) of the new pixel's size, which does not ring as far. Only the samples that are
    kept are computed.
    """
    if n == 1:
        return None
    if signal.axes == 2:
        refuse_huge((6.0 * n) ** 2, f"downsample:{n}", "resize:1% asks for a size instead")
        distance = np.arange(1 - 3 * n, 3 * n) / n
        taps = np.sinc(distance) * np.sinc(distance / 3)
        return _every((n, n), (taps / taps.sum(),) * 2, align=align)
    kernel = lowpass(0.45 / n, width=0.1 / n, attenuation=attenuation, signal=signal)
    return Convolve.by(kernel, align, step=(n,))


@step("downsampling", example="stride:4")
def stride(n: Count, *, signal: Signal, align: Align) -> Convolve | None:
    """Every Nth sample and nothing else: what lies above the new Nyquist frequency folds back."""
    return _every((n,) * signal.axes, (np.ones(1),) * signal.axes, align=align)


@step("downsampling", example="resample:8000", anti_alias=True)
def resample(rate: str, *, signal: Signal, align: Align) -> tuple[Op, ...]:
    """Sound at another rate in Hz (16k, 44100), at any ratio: 100 dB of stop band, flat to 0.91 of the lower Nyquist.

    y[k] is the sound at the time k / RATE; ceil(n * RATE / rate) samples. The gain is kept.
    """
    if not signal.medium.resamples or signal.rate is None or signal.axes != 1:
        raise RequestError(
            "resample works on sound", hint="use downsample:N for tables, resize:50% for images"
        )
    quantity = _in_hertz(rate)
    if quantity <= 0 or quantity != round(quantity):
        raise UnitError(f"expected a rate in whole Hz such as 16000 or 16k, got {rate!r}")
    from fractions import Fraction

    # A rate such as 8000 / 3, after a downsampling, is a fraction that a float only comes near.
    ratio = int(quantity) / Fraction(signal.rate).limit_denominator(10**6)
    if ratio == 1:
        return ()
    refuse_huge(
        # A table may hold more numbers than a filter has taps.
        max(ratio.numerator, ratio.denominator) * kaiser.length(STOP_BAND, (1 - PASS_BAND) / 2) / 8,
        f"{signal.rate:g} to {int(quantity)} Hz, a ratio of {ratio}",
        "a rate that has a simpler ratio to the old one",
    )
    return _resampled(ratio, signal, align)


def _resampled(ratio: Fraction, signal: Signal, align: Align) -> tuple[Op, ...]:
    """A low-pass at the old rate and, where whole steps do not do, an interpolation.

    What is left of the sound is far from the images of an interpolation, so that a few taps will do for that, and the
    many are those of one filter, which is the same for every output.
    """
    phases, step, causal = ratio.numerator, ratio.denominator, align == "causal"
    if ratio > 1:
        return (Resample.between(phases, step, passes=PASS_BAND / 2, stops=0.5, causal=causal),)
    share = float(ratio)
    edge, width = share * (1 + PASS_BAND) / 4, share * (1 - PASS_BAND) / 2
    try:
        kernel = lowpass(edge, width=width, attenuation=STOP_BAND, signal=signal)
    except RequestError as error:
        new = round(share * (signal.rate or 1))
        hint = f"a higher rate, or two steps: resample:{100 * new} | resample:{new}"
        raise RequestError(error.message, hint=hint) from None
    if phases == 1:
        return (Convolve.by(kernel, align, step=(step,)),)
    passes, stops = share * PASS_BAND / 2, 1 - share / 2
    return (
        Convolve.by(kernel, align),
        Resample.between(phases, step, passes=passes, stops=stops, causal=causal),
    )


def _in_hertz(text: str) -> float:
    quantity: Quantity = parse_quantity(text)
    factors = {"": 1.0, "Hz": 1.0, "kHz": 1e3, "MHz": 1e6}
    if quantity.unit not in factors:
        raise UnitError(f"expected a rate in Hz such as 16000 or 16k, got {text!r}")
    return quantity.value * factors[quantity.unit]


@step("downsampling", example="resize:50%", pictures=True)
def resize(
    size: str,
    *,
    method: Literal["nearest", "linear", "cubic", "lanczos3"] = "lanczos3",
    signal: Signal,
) -> tuple[Op, ...]:
    """An image at another size: 50%, or WIDTHxHEIGHT (640x480, 640x or x480 keep the proportions); also larger.

    The kernel is widened by the ratio when the image shrinks (`nearest` is not), so that nothing aliases.
    """
    if signal.axes != 2:
        raise RequestError(
            "resize works on images", hint="use resample:RATE for sound, downsample:N for tables"
        )
    rows, columns = (int(n or 1) for n in signal.shape)
    height, width = _new_size(size, rows, columns)
    ops: list[Op] = []
    for axis, (new, old) in enumerate(((height, rows), (width, columns))):
        common = math.gcd(new, old)
        if new != old:
            ops.append(Resample.by(new // common, old // common, method, axis=axis, axes=2))
    return tuple(ops)


def _new_size(text: str, rows: int, columns: int) -> tuple[int, int]:
    """(height, width) for `50%`, `640x480`, `640x`, `x480`."""
    if text.endswith("%"):
        share = parse_quantity(text).value / 100
        height, width = round(rows * share), round(columns * share)
    else:
        across, x, down = text.lower().partition("x")
        if (
            not x
            or not (across or down)
            or not all(side.isdecimal() or not side for side in (across, down))
        ):
            raise UnitError(f"expected a percentage (50%) or WIDTHxHEIGHT (640x480), got {text!r}")
        width = int(across) if across else round(columns * int(down) / rows)
        height = int(down) if down else round(rows * int(across) / columns)
    if height < 1 or width < 1:
        raise UnitError(f"{text} of {columns}x{rows} pixels leaves no pixel")
    return height, width


def _pooled(
    size: tuple[int, ...], step: tuple[int, ...] | None, *, align: Align, divisor: float
) -> Convolve | None:
    """A sum over windows, divided by `divisor`."""
    if all(n == 1 for n in (*size, *(step or size))):
        return None
    every = step or size
    before = _pool_before(size, every, align)
    _refuse_huge_window(size)
    return Convolve(
        taps=np.ones(size),
        before=before,
        after=tuple(n - 1 - b for n, b in zip(size, before, strict=True)),
        step=every,
        anchor=_pool_anchor(size, every, align),
        divisor=divisor,
        summarises=True,
    )


def _refuse_huge_window(size: tuple[int, ...]) -> None:
    refuse_huge(math.prod(size), f"a window of {' x '.join(f'{n:,}' for n in size)}", "a smaller N")


def _pool_before(size: tuple[int, ...], every: tuple[int, ...], align: Align) -> tuple[int, ...]:
    """Windows start at k*step; causal ones that overlap end with the new samples of their step."""
    return tuple(
        max(0, n - s) if align == "causal" else 0 for n, s in zip(size, every, strict=True)
    )


def _pool_anchor(size: tuple[int, ...], every: tuple[int, ...], align: Align) -> tuple[int, ...]:
    """A pooled value stands at the newest sample that it read, or in the middle of the samples that are new in it."""
    new = [min(n, s) for n, s in zip(size, every, strict=True)]
    return tuple(n - 1 if align == "causal" else (n - 1) // 2 for n in new)


@step("downsampling", example="avg_pool:2")
def avg_pool(n: Size, *, stride: Size | None = None, align: Align) -> Convolve | None:
    """Mean of each window of N (or HxW) samples; windows follow each other, or come every `stride`."""
    return _pooled(n, stride, align=align, divisor=float(math.prod(n)))


@step("downsampling", example="sum_pool:2")
def sum_pool(n: Size, *, stride: Size | None = None, align: Align) -> Convolve | None:
    """Sum of each window of N (or HxW) samples; an incomplete window counts as N times the mean of what is there."""
    return _pooled(n, stride, align=align, divisor=1.0)


def _folded(
    fold: np.ufunc, n: tuple[int, ...], step: tuple[int, ...] | None, align: Align
) -> Pool | None:
    if all(side == 1 for side in (*n, *(step or n))):
        return None
    every = step or n
    _refuse_huge_window(n)
    return Pool(
        fold=fold,
        size=n,
        step=every,
        before=_pool_before(n, every, align),
        anchor=_pool_anchor(n, every, align),
    )


@step("downsampling", example="max_pool:2")
def max_pool(n: Size, *, stride: Size | None = None, align: Align) -> Pool | None:
    """Largest of each window of N (or HxW) samples; missing ones are passed over."""
    return _folded(np.fmax, n, stride, align)


@step("downsampling", example="min_pool:2")
def min_pool(n: Size, *, stride: Size | None = None, align: Align) -> Pool | None:
    """Smallest of each window of N (or HxW) samples; missing ones are passed over."""
    return _folded(np.fmin, n, stride, align)


@step("downsampling", example="adaptive_avg_pool:4")
def adaptive_avg_pool(n: Size, *, align: Align) -> Reduce:
    """Means over N (or HxW) even stretches of the whole signal: always N outputs. Needs a first pass for the length."""
    return _adaptive("mean", n, align)


@step("downsampling", example="adaptive_max_pool:4")
def adaptive_max_pool(n: Size, *, align: Align) -> Reduce:
    """Largest values of N (or HxW) even stretches of the whole signal: always N outputs."""
    return _adaptive("max", n, align)


def _adaptive(statistic: Literal["mean", "max"], n: tuple[int, ...], align: Align) -> Reduce:
    """The stretches are held one by one, so that there is an end to how many can be asked for."""
    if math.prod(n) > MOST_STRETCHES:
        raise RequestError(
            f"at most {MOST_STRETCHES:,} outputs are made, got {' x '.join(f'{side:,}' for side in n)}",
            hint="avg_pool:N and max_pool:N give one output for every N samples",
        )
    return Reduce(statistic=statistic, bins=n, causal=align == "causal")


@step("downsampling", example="global_avg_pool")
def global_avg_pool(*, signal: Signal, align: Align) -> Reduce:
    """Mean of the whole signal: one output."""
    return Reduce(statistic="mean", bins=(1,) * signal.axes, causal=align == "causal")


@step("downsampling", example="global_max_pool")
def global_max_pool(*, signal: Signal, align: Align) -> Reduce:
    """Largest value of the whole signal: one output."""
    return Reduce(statistic="max", bins=(1,) * signal.axes, causal=align == "causal")
