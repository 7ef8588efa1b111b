"""The taps of bound steps and of chains, their delays, and their response over frequency."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.chain import Chain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import FloatArray, IntArray
    from convcli.core.op import Op
    from convcli.core.ops import Convolve
    from convcli.core.reach import Reach
    from convcli.planning.plan import BoundStep


# Products of taps that are computed for an export.
MOST_PRODUCTS = 1 << 32


def weights_of(step: BoundStep) -> FloatArray | None:
    """The taps of a step divided by their divisor, (k,) or (height, width).

    Several sets of taps are a stack; None for a step without taps. A network that is one learned
    layer has a set for each pair of an input and an output channel.
    """
    stage = step.stage
    if stage.network:
        return None if stage.learned is None else stage.learned.taps
    convolutions = [convolution for op in stage.ops for convolution in op.formula.convolutions]
    weights = [_weights(convolution) for convolution in convolutions]
    if not weights:
        return None
    return weights[0] if len(weights) == 1 else np.stack(weights)


def chain_taps(steps: Sequence[BoundStep], most: int = MOST_PRODUCTS) -> FloatArray:
    """The taps of one convolution that equals several in series, (k,) or (height, width).

    Taps that follow a stride are as far apart as the stride says. Raises RequestError for a step
    that is not a convolution, and for more than `most` products, by default a minute's work.
    """
    from convcli.core.composed import composed

    ops = tuple(op for step in steps for op in _linear_operations(step))
    found = composed(Chain(ops, steps[0].before.axes), most=most)
    if found is None:
        raise steps[-1].call.error("the taps of the chain are too many to be exported")
    return _weights(found)


def _linear_operations(step: BoundStep) -> tuple[Op, ...]:
    """The operations of a step that is a series of convolutions; RequestError for any other."""
    if step.sees_whole or any(op.formula.as_convolution is None for op in step.ops):
        message = f"{step.call.title} is not a convolution, and a chain with it has no taps"
        raise step.call.error(message, hint="a chain of kernels, smoothing and frequency steps has")
    return step.ops


def bias_of(step: BoundStep) -> FloatArray | None:
    """The constants that a network of one layer adds to its outputs, (out,); None if none."""
    learned = step.stage.learned
    return None if learned is None else learned.bias


def taps_text(step: BoundStep) -> str:
    """The taps as text if they are few, else "": `1, 2, 1 (/ 4)`; rows are separated by `;`."""
    stage = step.stage
    if stage.network:
        weights = weights_of(step)
        taps = [] if weights is None else [(weights, 1.0)]
    else:
        taps = [(each.taps, each.divisor) for op in stage.ops for each in op.formula.convolutions]
    if not taps or taps[0][0].size > 49:
        return ""
    return " and ".join(_taps_and_divisor(each, divisor) for each, divisor in taps)


def _taps_and_divisor(taps: FloatArray, divisor: float) -> str:
    rows = [", ".join(f"{tap:.6g}" for tap in row) for row in np.atleast_2d(taps)]
    text = "; ".join(rows)
    return text if divisor == 1 else f"{text} (/ {divisor:g})"


def first_taps(step: BoundStep) -> FloatArray | None:
    """The taps that describe a step: of its first convolution, or of its only layer.

    None for a step without taps, and for a layer with several sets of taps.
    """
    if step.stage.network:
        weights = weights_of(step)
        one_set = weights is not None and weights.ndim == step.before.axes
        return weights if one_set else None
    convolution = first_convolution(step.ops)
    return None if convolution is None else _weights(convolution)


def first_convolution(ops: tuple[Op, ...]) -> Convolve | None:
    """The first convolution among some operations; None if there is none."""
    for op in ops:
        if op.formula.convolutions:
            return op.formula.convolutions[0]
    return None


def _weights(convolution: Convolve) -> FloatArray:
    return convolution.taps / convolution.divisor


def step_delay(step: BoundStep) -> float | None:
    """The delay of a step in samples of its input; None where it is unknown."""
    learned = step.stage.learned
    if step.stage.network:
        weights = first_taps(step)
        if weights is None or learned is None or learned.position is None:
            return None
        return group_delay(weights, learned.position)
    return total_delay(step.ops)


def total_delay(ops: tuple[Op, ...]) -> float | None:
    """The delays of operations added up, in samples of the input of the first.

    None where the delay of one of them is unknown.
    """
    total, scale = 0.0, 1.0
    for op in ops:
        own = _delay_of(op)
        if own is None:
            return None
        total += scale * own
        along = op.reach[0]
        scale *= along.step / along.phases
    return total


def _delay_of(op: Op) -> float | None:
    """The delay of an operation in samples of its input; None where it is unknown."""
    formula = op.formula
    if not formula.convolutions:
        return formula.delay
    first = formula.convolutions[0]
    return group_delay(first.taps, first.reach[0])


# ---------------------------------------------------------------------------------------- responses


# A response has at least this many frequencies; of more, the extremes in as many bands are drawn.
RESPONSE_POINTS = 512
# Further bands of a response for a logarithmic axis, a few in a hundred wide.
RATIO_BANDS = 256


def group_delay(weights: FloatArray, at: Reach) -> float:
    """How many samples the output lags behind the input that it is aligned with, along axis 0.

    The group delay at frequency 0, sum(j w[j]) / sum(w), or the centre of the energy where the sum
    of the taps is nearly 0.
    """
    others = tuple(range(1, weights.ndim))
    profile = weights.sum(axis=others)
    total = profile.sum()
    if abs(total) <= 0.1 * np.abs(profile).sum():
        energies = np.square(weights).sum(axis=others)
        profile = np.square(profile) if profile.any() else energies
        total = profile.sum()
    if total == 0:
        return 0.0
    moment = (np.arange(profile.size) * profile).sum()
    centre = float(moment / total)
    lag = centre - at.after + at.anchor
    return round(lag, 9) + 0.0  # adding 0 turns -0 into 0


def response(weights: FloatArray, points: int = 1 << 15) -> tuple[FloatArray, FloatArray]:
    """Frequencies in cycles per sample, from 0 to 1/2, and the gain of the taps there in dB.

    points : how many frequencies there are at least
    """
    least_size = 4 * weights.size
    power_of_two = 1 << (least_size - 1).bit_length()
    size = max(2 * points, power_of_two)
    if weights.size <= 1 << 22:
        size = min(size, 1 << 22)
    gain = np.abs(np.fft.rfft(weights, size))
    decibels = 20 * np.log10(np.maximum(gain, 1e-16))
    return np.arange(gain.size) / size, decibels


def band_extremes(gain: FloatArray, bands: int) -> IntArray:
    """Indices of the ends, and of the least and largest gain in each of some equal bands.

    A shorter band at the end has what is left over.
    """
    if gain.size <= 2 * bands:
        return np.arange(gain.size)
    width = gain.size // bands
    whole = width * (gain.size // width)
    lines = gain[:whole].reshape(-1, width)
    starts = np.arange(0, whole, width)
    kept = [[0], starts + lines.argmin(axis=1), starts + lines.argmax(axis=1)]
    rest = gain[whole:]
    if rest.size:
        kept.append([whole + int(rest.argmin()), whole + int(rest.argmax())])
    return _distinct(np.concatenate([*kept, [gain.size - 1]]))


def _distinct(indices: IntArray) -> IntArray:
    """Each of some indices once, in order. `np.unique` imports `numpy.ma`, in 6 ms."""
    given = np.zeros(int(indices.max()) + 1, bool)
    given[indices] = True
    return np.flatnonzero(given)


def drawn_frequencies(gain: FloatArray, bands: int, ratio_bands: int) -> IntArray:
    """Indices of the frequencies that show a response over a linear and over a logarithmic axis.

    They are those of `band_extremes`, and the least and largest gain in each of `ratio_bands` bands
    whose ends have one ratio.
    """
    kept = band_extremes(gain, bands)
    if kept.size == gain.size:
        return kept
    borders = np.geomspace(1, gain.size, ratio_bands + 1).astype(np.int64)
    places = [kept]
    for low, high in pairwise(_distinct(borders).tolist()):
        band = gain[low:high]
        extremes_of_band = np.array([band.argmin(), band.argmax()])
        places.append(low + extremes_of_band)
    return _distinct(np.concatenate(places))


def crossings(weights: FloatArray, level: float) -> list[float]:
    """Frequencies in cycles per sample at which the gain crosses `level` dB below its largest."""
    frequencies, gain = response(weights)
    relative = gain - gain.max() - level
    at = np.flatnonzero(np.diff(np.signbit(relative)))
    fall = relative[at] - relative[at + 1]
    share = relative[at] / fall
    spacing = frequencies[at + 1] - frequencies[at]
    crossed: list[float] = (frequencies[at] + share * spacing).tolist()
    return crossed
