"""Steps that change the number of samples: decimation, resampling at any ratio, pools."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from convcli.core.convolution import kaiser
from convcli.core.convolution.resample import STOP_BAND, Interpolation, Resample
from convcli.core.kernel import Kernel
from convcli.core.op import Op
from convcli.core.ops import Convolve, Crop
from convcli.core.whole_signal import AdaptivePool
from convcli.core.windows.order_statistics import Median
from convcli.core.windows.sliding import Extreme, Nth, SlidingStatistic, WindowFunction
from convcli.dataclass import dataclass
from convcli.designs.fir import Specification, response_at
from convcli.designs.frequency import lowpass
from convcli.designs.registry import step
from convcli.designs.taps import refuse_huge
from convcli.errors import RequestError
from convcli.signals import Align, Signal
from convcli.units import (
    Count,
    Decibels,
    PoolSize,
    Quantity,
    Size,
    UnitError,
    parse_quantity,
)

if TYPE_CHECKING:
    from fractions import Fraction

    from convcli.array_types import Taps
    from convcli.core.binding import Site, Stage


# The most outputs of an adaptive pool, which are held one by one.
MOST_BINS = 1 << 20
# Pixels along a side that `resize` makes larger. Ten rows of three colours have 1 GB, and so have
# the taps of all phases.
MOST_SIDE = 1 << 22
# The highest new rate of `resample`, in old rates.
MOST_TIMES_FASTER = 1000
# Decibels by which `downsample` and `upsample` damp what lies above the lower Nyquist frequency.
_USUAL_ATTENUATION = 80.0


def _strided(n: tuple[int, ...], taps: tuple[np.ndarray, ...], *, align: Align) -> Convolve | None:
    """Separable taps, one set per axis, at stride n; None if they change nothing."""
    product = taps[0]
    if len(taps) == 2:
        product = np.outer(*taps)
    kernel = Kernel(taps=product)
    if kernel.taps.size == 1 and kernel.identity and max(n) == 1:
        return None
    return Convolve.by(kernel, align, step=n)


@step("resampling", example="downsample:4", anti_alias=True)
def downsample(
    n: Count, *, attenuation: Decibels = _USUAL_ATTENUATION, signal: Signal, align: Align
) -> Convolve | None:
    """Anti-alias low-pass, then every Nth sample; N is a number of samples.

    Sound and tables: a Kaiser low-pass that is flat up to 0.4/N and `attenuation` dB down from
    0.5/N cycles per sample. Images: a Lanczos kernel of 3 lobes, as wide as a new pixel, which
    rings less far. Only the samples that are kept are computed.
    """
    if n == 1:
        return None
    if signal.axes == 2:
        _refuse_attenuation(attenuation)
        refuse_huge((6.0 * n) ** 2, f"a factor of {n:,}", "resize:1% asks for a size instead")
        taps = _lanczos(n)
        return _strided((n, n), (taps, taps), align=align)
    kernel = _lowpass_between_rates(n, attenuation, signal)
    return Convolve.by(kernel, align, step=(n,))


@step("resampling", example="upsample:3", anti_alias=True)
def upsample(
    n: Count, *, attenuation: Decibels = _USUAL_ATTENUATION, signal: Signal, align: Align
) -> tuple[Op, ...]:
    """N samples for each one, interpolated by the low-pass of downsample: its inverse.

    Sound and tables: the Kaiser low-pass of downsample:N. Images: its Lanczos kernel, along both
    axes. Sample k becomes sample k * N of the result, which downsample:N keeps, and a constant
    stays constant. In a table the other cells of a row are repeated N times.
    """
    if n == 1:
        return ()
    if signal.medium.carries_cells and signal.rate is not None:
        message = f"the {signal.medium.sample}s between two times would need times of their own"
        hint = "without --time the other cells of a row are repeated"
        raise RequestError(message, hint=hint)
    causal = align == "causal"
    if signal.axes == 2:
        _refuse_attenuation(attenuation)
        refuse_huge(6.0 * n**2, f"a factor of {n:,}", "resize:400% asks for a size instead")
        taps = _lanczos(n)
        rows = Resample.interpolating(taps, n, causal=causal, axis=0, axes=2)
        columns = Resample.interpolating(taps, n, causal=causal, axis=1, axes=2)
        return rows, columns
    kernel = _lowpass_between_rates(n, attenuation, signal)
    return (Resample.interpolating(kernel.taps, n, causal=causal),)


def _lowpass_between_rates(n: int, attenuation: float, signal: Signal) -> Kernel:
    """The low-pass between a rate and an N-th of it, at the higher one."""
    width = 0.1 / n
    hint = "a smaller N; two steps of 100 make a factor of 10,000"
    refuse_huge(kaiser.length(attenuation, width), f"a factor of {n:,}", hint)
    specification = Specification(width=width, attenuation=attenuation)
    kernel: Kernel = lowpass(0.45 / n, specification, signal=signal)
    return kernel


def _refuse_attenuation(attenuation: float) -> None:
    """Raise RequestError for an attenuation that was asked for on a picture."""
    if attenuation != _USUAL_ATTENUATION:
        raise RequestError(
            "attenuation= is for sound and tables; on pictures this is a Lanczos kernel",
            hint="leave it out",
        )


def _lanczos(n: int) -> Taps:
    """Lanczos taps of 3 lobes, each n samples wide; their sum is 1."""
    distance = np.arange(1 - 3 * n, 3 * n) / n
    taps = np.sinc(distance) * np.sinc(distance / 3)
    return np.asarray(taps / taps.sum(), dtype=np.float64)


@step("resampling", example="stride:4")
def stride(n: Count, *, signal: Signal, align: Align) -> Convolve | None:
    """Every Nth sample and nothing else: frequencies above the new Nyquist frequency alias."""
    return _strided((n,) * signal.axes, (np.ones(1),) * signal.axes, align=align)


@step("resampling", example="resample:8000", anti_alias=True)
def resample(rate: str, *, signal: Signal, align: Align) -> tuple[Op, ...]:
    """Sound at another rate in Hz (16k, 44100), at any ratio; the gain is kept.

    100 dB of stop band, flat to 0.91 of the lower Nyquist frequency. Output k is the sound at the
    time k / RATE; there are ceil(n * RATE / rate) samples.
    """
    if not signal.medium.resamples or signal.rate is None or signal.axes != 1:
        hint = "use downsample:N for tables, resize:50% for images"
        raise RequestError("works on sound alone", hint=hint)
    new_rate = _in_hertz(rate)
    if new_rate <= 0 or new_rate != round(new_rate):
        raise UnitError(f"expected a rate in whole Hz such as 16000 or 16k, got {rate!r}")
    from fractions import Fraction

    # A rate such as 8000 / 3, after a downsampling, is a fraction that a float only approximates.
    old_rate = Fraction(signal.rate).limit_denominator(10**6) or Fraction(signal.rate)
    ratio = int(new_rate) / old_rate
    if ratio == 1:
        return ()
    _refuse_huge_ratio(ratio, signal.rate, int(new_rate))
    if ratio > 1:
        return (interpolator(ratio, lowpass=None, causal=align == "causal"),)
    return _downsampled(ratio, signal, align)


def _refuse_huge_ratio(ratio: Fraction, old: float, new: int) -> None:
    if ratio > MOST_TIMES_FASTER:
        asked = f"{new:,} Hz is {int(ratio):,} times {old:g} Hz"
        message = f"{asked}; at most {MOST_TIMES_FASTER:,} times as many samples are made"
        highest = int(MOST_TIMES_FASTER * old)
        hint = f"resample:{highest} is the highest rate here" if highest else None
        raise RequestError(message, hint=hint)
    phases = max(ratio.numerator, ratio.denominator)
    width = kaiser.length(STOP_BAND, (1 - PASS_BAND) / 2)
    # All phases together may have 8 times as many taps as one filter.
    what = f"{old:g} to {new} Hz, a ratio of {ratio}"
    refuse_huge(phases * width / 8, what, "a rate that has a simpler ratio to the old one")


def _downsampled(ratio: Fraction, signal: Signal, align: Align) -> tuple[Op, ...]:
    """A low-pass at the old rate and, unless every M-th sample is enough, an interpolation.

    The low-pass has many taps, but they are the same for every output. After it, the spectral
    images of the interpolation are far from the signal, so a few taps for each phase are enough.
    """
    share = float(ratio)
    cutoff = share * (1 + PASS_BAND) / 4
    width = share * (1 - PASS_BAND) / 2
    try:
        kernel = lowpass(
            cutoff, Specification(width=width, attenuation=LOWPASS_ATTENUATION), signal=signal
        )
    except RequestError as error:
        new = round(share * (signal.rate or 1))
        hint = f"a higher rate, or two steps: resample:{100 * new} | resample:{new}"
        raise RequestError(error.message, hint=hint) from None
    if ratio.numerator == 1:
        return (Convolve.by(kernel, align, step=(ratio.denominator,)),)
    interpolation = interpolator(ratio, lowpass=kernel.taps, causal=align == "causal")
    return Convolve.by(kernel, align), interpolation


def _in_hertz(text: str) -> float:
    quantity: Quantity = parse_quantity(text)
    factors = {"": 1.0, "Hz": 1.0, "kHz": 1e3, "MHz": 1e6}
    if quantity.unit not in factors:
        raise UnitError(f"expected a rate in Hz such as 16000 or 16k, got {text!r}")
    return quantity.value * factors[quantity.unit]


@dataclass(frozen=True, eq=False)
class ResizedAndCropped:
    """Resamplers to a size that covers the one asked for, then a crop to the middle."""

    ops: tuple[Op, ...]

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return one stage. RequestError under `valid`, which leaves out pixels by itself."""
        if site.rules.edge == "valid":
            message = "fit=cover cuts off the sides, and so does --edge valid"
            raise RequestError(message, hint="any other --edge")
        return (site.stage(*self.ops),)


@step("resampling", example="resize:50%", pictures=True)
def resize(
    size: str,
    *,
    method: Literal["nearest", "linear", "cubic", "lanczos3"] = "lanczos3",
    fit: Literal["inside", "cover", "stretch"] | None = None,
    signal: Signal,
) -> tuple[Op, ...] | ResizedAndCropped:
    """An image at another size, smaller or larger: 50%, or WIDTHxHEIGHT.

    640x480 gives both sides; 640x or x480 keeps the proportions.
    fit : where both sides are given: stretch (the default) changes the proportions; inside keeps
        them and makes the largest picture that fits; cover keeps them, fills the size and cuts off
        what sticks out on both sides

    When the image shrinks, the kernel is widened by the ratio, so that nothing aliases (except with
    `nearest`).
    """
    if signal.axes != 2:
        hint = "use resample:RATE for sound, downsample:N for tables"
        raise RequestError("works on images alone", hint=hint)
    rows, columns = (int(n or 1) for n in signal.shape)
    sides = _new_size(size, rows, columns)
    if fit in (None, "stretch"):
        return _resamplers(sides, (rows, columns), method)
    if size.endswith("%") or not all(_written_sides(size)):
        raise RequestError(f"fit={fit} needs both sides, got {size!r}", hint="640x480")
    height, width = _proportional(sides, (rows, columns), inside=fit == "inside")
    ops = _resamplers((height, width), (rows, columns), method)
    if fit == "inside" or (height, width) == sides:
        return ops
    first = ((height - sides[0]) // 2, (width - sides[1]) // 2)
    return ResizedAndCropped((*ops, Crop(first=first, size=sides)))


def _proportional(
    sides: tuple[int, int], old_sides: tuple[int, int], *, inside: bool
) -> tuple[int, int]:
    """(height, width) with the old proportions: the largest inside `sides`, or one around them."""
    ratios = [side / old for side, old in zip(sides, old_sides, strict=True)]
    scale = min(ratios) if inside else max(ratios)
    scaled = []
    for side, old, ratio in zip(sides, old_sides, ratios, strict=True):
        # The side with the deciding ratio becomes exactly what was asked for.
        rounded = max(1, round(old * scale))
        scaled.append(side if ratio == scale else rounded)
    height, width = scaled
    return height, width


def _resamplers(
    sides: tuple[int, int], old_sides: tuple[int, int], method: Interpolation
) -> tuple[Op, ...]:
    """The resamplers to (height, width)."""
    ops: list[Op] = []
    for axis, (new, old) in enumerate(zip(sides, old_sides, strict=True)):
        common = math.gcd(new, old)
        if new != old:
            ops.append(Resample.by(new // common, old // common, method, axis=axis, axes=2))
    return tuple(ops)


def _new_size(text: str, rows: int, columns: int) -> tuple[int, int]:
    """(height, width) for `50%`, `640x480`, `640x`, `x480`."""
    if text.endswith("%"):
        share = parse_quantity(text).value / 100
        height = round(rows * share)
        width = round(columns * share)
    else:
        across, down = _written_sides(text)
        if not across:
            height = int(down)
            width = round(columns * height / rows)
        elif not down:
            width = int(across)
            height = round(rows * width / columns)
        else:
            width = int(across)
            height = int(down)
    if height < 1 or width < 1:
        raise UnitError(f"{text} of {columns}x{rows} pixels leaves no pixel")
    _refuse_long_sides((height, width), (rows, columns))
    return height, width


def _refuse_long_sides(sides: tuple[int, int], old_sides: tuple[int, int]) -> None:
    """Raise UnitError for a side that is enlarged beyond what a few rows have memory for."""
    if all(new <= max(old, MOST_SIDE) for new, old in zip(sides, old_sides, strict=True)):
        return
    height, width = sides
    raise UnitError(
        f"the result would have {width:,} x {height:,} pixels; "
        f"a side is enlarged to at most {MOST_SIDE:,}"
    )


def _written_sides(text: str) -> tuple[str, str]:
    """The digits of the width and the height, one of which may be missing."""
    across, x, down = text.lower().partition("x")
    digits = all(side.isdecimal() for side in (across, down) if side)
    if not x or not (across or down) or not digits:
        message = f"expected a percentage (50%) or WIDTHxHEIGHT (640x480), got {text!r}"
        hint = "resize:50% is half as large, resize:800x is 800 pixels wide, resize:x600 600 high"
        raise UnitError(message, hint=hint)
    return across, down


@dataclass(frozen=True)
class _PoolWindows:
    """The windows of a pool on each axis; `before` and `anchor` as in `Reach`.

    Windows begin at k * step. Causal windows that overlap end with the new samples of their step
    instead. An output is aligned with the newest sample that it reads if it is causal, else with
    the middle of its new samples.
    """

    size: tuple[int, ...]
    step: tuple[int, ...]
    before: tuple[int, ...]
    anchor: tuple[int, ...]


def _pool_windows(
    size: tuple[int, ...], stride: tuple[int, ...] | None, align: Align
) -> _PoolWindows | None:
    """The windows of a pool; None if it changes nothing. By default they follow each other."""
    step = stride or size
    if all(n == 1 for n in (*size, *step)):
        return None
    written = " x ".join(f"{n:,}" for n in size)
    refuse_huge(math.prod(size), f"a window of {written}", "a smaller N")
    sides = list(zip(size, step, strict=True))
    last_new = tuple(min(n, s) - 1 for n, s in sides)
    if align == "causal":
        overlaps = tuple(max(0, n - s) for n, s in sides)
        return _PoolWindows(size, step, before=overlaps, anchor=last_new)
    middle = tuple(last // 2 for last in last_new)
    return _PoolWindows(size, step, before=(0,) * len(size), anchor=middle)


def _pool_sum(windows: _PoolWindows | None, *, divisor: float) -> Convolve | None:
    """The operation that computes the sum of each window over `divisor`."""
    if windows is None:
        return None
    sides = zip(windows.size, windows.before, strict=True)
    after = tuple(n - 1 - before for n, before in sides)
    return Convolve(
        taps=np.ones(windows.size),
        before=windows.before,
        after=after,
        step=windows.step,
        anchor=windows.anchor,
        divisor=divisor,
        summarises=True,
    )


def _pool_statistic(
    windows: _PoolWindows | None, function: WindowFunction
) -> SlidingStatistic | None:
    """The operation that computes a statistic of each window."""
    if windows is None:
        return None
    return SlidingStatistic(
        function=function,
        size=windows.size,
        step=windows.step,
        before=windows.before,
        anchor=windows.anchor,
        summarises=True,
    )


@step("resampling", example="avg_pool:2", keeps_level=True)
def avg_pool(n: PoolSize, *, stride: Size | None = None, align: Align) -> Convolve | None:
    """Mean of each window of N (or HxW) samples; windows start every N, or every `stride`."""
    return _pool_sum(_pool_windows(n, stride, align), divisor=float(math.prod(n)))


@step("resampling", example="sum_pool:2")
def sum_pool(n: PoolSize, *, stride: Size | None = None, align: Align) -> Convolve | None:
    """Sum of each window of N (or HxW) samples.

    An incomplete window, at the end or over a gap, gives N times the mean of the samples that are
    there. To add up what is there, take a bin of the calendar (`sum_pool:1w`, over times), or
    `sum:7,stride=7`, whose windows end at samples 1, 8, 15 when aligned causal.
    """
    return _pool_sum(_pool_windows(n, stride, align), divisor=1.0)


@step("resampling", example="max_pool:2", keeps_level=True)
def max_pool(n: PoolSize, *, stride: Size | None = None, align: Align) -> SlidingStatistic | None:
    """Largest of each window of N (or HxW) samples; missing ones are skipped."""
    return _pool_statistic(_pool_windows(n, stride, align), Extreme(of_two=np.fmax))


@step("resampling", example="min_pool:2", keeps_level=True)
def min_pool(n: PoolSize, *, stride: Size | None = None, align: Align) -> SlidingStatistic | None:
    """Smallest of each window of N (or HxW) samples; missing ones are skipped."""
    return _pool_statistic(_pool_windows(n, stride, align), Extreme(of_two=np.fmin))


@step("resampling", example="median_pool:3", keeps_level=True)
def median_pool(
    n: PoolSize, *, stride: Size | None = None, align: Align
) -> SlidingStatistic | None:
    """Median of each window of N (or HxW) samples; missing ones are skipped."""
    return _pool_statistic(_pool_windows(n, stride, align), Median())


@step("resampling", example="first_pool:2", keeps_level=True)
def first_pool(n: PoolSize, *, stride: Size | None = None, align: Align) -> SlidingStatistic | None:
    """First of each window of N (or HxW) samples; missing ones are skipped."""
    return _pool_statistic(_pool_windows(n, stride, align), Nth(last=False))


@step("resampling", example="last_pool:2", keeps_level=True)
def last_pool(n: PoolSize, *, stride: Size | None = None, align: Align) -> SlidingStatistic | None:
    """Last of each window of N (or HxW) samples; missing ones are skipped."""
    return _pool_statistic(_pool_windows(n, stride, align), Nth(last=True))


@step("resampling", example="adaptive_avg_pool:4")
def adaptive_avg_pool(n: Size, *, align: Align) -> AdaptivePool:
    """Means over N (or HxW) parts of equal length of the whole signal: always N outputs.

    Needs a first pass over the signal for its length.
    """
    return _adaptive("mean", n, align)


@step("resampling", example="adaptive_max_pool:4")
def adaptive_max_pool(n: Size, *, align: Align) -> AdaptivePool:
    """Largest values of N (or HxW) parts of equal length of the whole signal: always N outputs."""
    return _adaptive("max", n, align)


def _adaptive(statistic: Literal["mean", "max"], n: tuple[int, ...], align: Align) -> AdaptivePool:
    if math.prod(n) > MOST_BINS:
        asked = " x ".join(f"{side:,}" for side in n)
        hint = "avg_pool:N and max_pool:N give one output for every N samples"
        raise RequestError(f"at most {MOST_BINS:,} outputs are made, got {asked}", hint=hint)
    return AdaptivePool(statistic=statistic, bins=n, causal=align == "causal")


@step("resampling", example="global_avg_pool", twice_in_branches=True)
def global_avg_pool(*, signal: Signal, align: Align) -> AdaptivePool:
    """Mean of the whole signal: one output.

    In a branch it is the same at every sample: `x - global_avg_pool` has a mean of 0. It then needs
    a first pass over the signal.
    """
    return AdaptivePool(statistic="mean", bins=(1,) * signal.axes, causal=align == "causal")


@step("resampling", example="global_max_pool", twice_in_branches=True)
def global_max_pool(*, signal: Signal, align: Align) -> AdaptivePool:
    """Largest value of the whole signal: one output.

    In a branch it is the same at every sample: `x / global_max_pool` reaches 1. It then needs a
    first pass over the signal.
    """
    return AdaptivePool(statistic="max", bins=(1,) * signal.axes, causal=align == "causal")


# ----------------------------------------------------------------------------------- interpolations
# It is lengthened until all images are attenuated enough. Frequencies are in cycles per input
# sample. An interpolation to L phases repeats the spectrum of its input around every whole
# frequency; its taps take these images away.


# A resampler is flat up to this share of the lower Nyquist frequency.
PASS_BAND = 0.91
# The low-pass before an interpolation attenuates a little more than both together have to.
LOWPASS_ATTENUATION = STOP_BAND + 0.1
# Kaiser's estimate is raised by at least this many dB at a time, and at most this many times.
LEAST_STEP = 0.2
ATTEMPTS = 40
# More phases than these are measured as these are: they are samples of the same curve.
MOST_MEASURED = 64
# Points of the measured spectrum for each tap of a phase.
POINTS_PER_TAP = 32


def interpolator(ratio: Fraction, *, lowpass: Taps | None, causal: bool) -> Resample:
    """The resampler to `ratio` times the rate whose images are STOP_BAND down.

    lowpass : the taps that filter its input, where they leave room for a gentle interpolation
    """
    share = min(1.0, float(ratio))
    passes = share * PASS_BAND / 2
    stops = 1 - share / 2 if lowpass is not None else 0.5
    attenuation = STOP_BAND
    for _ in range(ATTEMPTS):
        phases = min(ratio.numerator, MOST_MEASURED)
        measured = Resample.between(phases, 1, passes=passes, stops=stops, attenuation=attenuation)
        missing = _highest_image(measured, lowpass, share / 2) + STOP_BAND
        if missing <= 0:
            break
        attenuation += max(missing, LEAST_STEP)
    return Resample.between(
        ratio.numerator,
        ratio.denominator,
        passes=passes,
        stops=stops,
        attenuation=attenuation,
        causal=causal,
    )


def _highest_image(op: Resample, lowpass: Taps | None, nyquist: float) -> float:
    """The largest gain, in dB, from the lower Nyquist frequency on; `op` has a step of 1."""
    phases, width = op.table.shape
    least_points = POINTS_PER_TAP * width
    points = 1 << (least_points - 1).bit_length()
    spectrum = np.fft.rfft(_prototype(op), points * phases)
    gains = np.abs(spectrum) / phases
    frequencies = np.arange(gains.size) / points
    if lowpass is not None:
        one_period = np.arange(points) / points
        gains_of_lowpass = np.abs(response_at(lowpass, one_period))
        gains *= np.resize(gains_of_lowpass, gains.size)
    stopped = gains[frequencies >= nyquist]
    # How far the gain may exceed its measured points (Ehlich and Zeller, 1964).
    between_points = 1 / np.cos(np.pi * width / points)
    largest = float(stopped.max(initial=0.0) * between_points)
    return float(20 * np.log10(max(largest, 1e-300)))


def _prototype(op: Resample) -> Taps:
    """The taps of all phases as one curve, `phases` points for each input sample."""
    phases, width = op.table.shape
    inputs = op.starts[:, None] + np.arange(width)
    places = np.arange(phases)[:, None] - inputs * phases
    places -= places.min()
    last = int(places.max())
    curve = np.zeros(last + 1)
    curve[places.ravel()] = op.table.ravel()
    return curve
