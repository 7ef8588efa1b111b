"""The properties of convolution, measured on a signal: shift, locality, linearity.

Each function runs the filter itself on the signal and on a changed signal, and compares. Strides,
pools, activations and edges break some of the properties, and the measurements show where.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convcli.checking.explain import filter_samples
from convcli.core.extend import Extent
from convcli.errors import RequestError
from convcli.facts.nested import nested
from convcli.facts.properties import (
    LARGEST_ROUNDING,
    LinearityFacts,
    LocalityFacts,
    MoveFacts,
    ShiftFacts,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.array_types import BoolArray, IntArray
    from convcli.facts.properties import PropertyFacts
    from convcli.planning.plan import Plan
    from convcli.signals import Array, Edge


# Weights of the signal and of the impulse whose sum tests linearity. One is negative, so that a
# rectifier shows on a signal without negative samples.
FACTORS = (2.0, -3.0)
# The largest number of places that are tried for the impulse.
MOST_IMPULSES = 64


def measure_property(name: str, plan: Plan, samples: Array) -> PropertyFacts:
    """Measure a property of a filter on a signal of one channel.

    name : a key of `PROPERTIES`
    plan, samples : as from `small_plan`
    Raises RequestError for a signal that is empty or has missing samples, and for several channels.
    """
    if max(samples.shape[-1], len(plan.result.channels)) > 1:
        raise RequestError("a property is measured on one channel, and there are several here")
    if samples.size == 0:
        raise RequestError("a property is measured on a signal, and this one has no samples")
    if np.isnan(samples).any():
        raise RequestError("a property is measured on a signal without missing samples")
    return PROPERTIES[name](plan, samples[..., 0])


def _filtered(plan: Plan, x: Array) -> Array:
    """Filter a signal of one channel, (n,) or (rows, columns)."""
    return filter_samples(plan, x[..., None])[..., 0]


def measure_shift(plan: Plan, x: Array) -> ShiftFacts:
    """Move the signal by one sample, and by as many as give whole outputs, along each axis."""
    result = _filtered(plan, x)
    moves = []
    longest = 1
    for axis in range(x.ndim):
        period = _period(plan, axis)
        longest = max(longest, period)
        distances = [by for by in sorted({1, period}) if by < x.shape[axis]]
        moves += [_compared_move(plan, x, result, axis, by) for by in distances]
    return ShiftFacts(
        filter=plan.filter,
        result=nested(result),
        scale=_largest_magnitude(result),
        period=longest,
        moves=tuple(moves),
    )


def _period(plan: Plan, axis: int) -> int:
    """How many samples move the outputs by a whole number of outputs."""
    reach = plan.chain.reach[axis]
    return reach.step // math.gcd(reach.step, reach.phases)


def _compared_move(plan: Plan, x: Array, result: Array, axis: int, by: int) -> MoveFacts:
    """Compare the outputs of the signal, moved `by` samples, with the moved outputs."""
    moved = _filtered(plan, _moved(x, axis, by, plan.rules.edge))
    reach = plan.chain.reach[axis]
    outputs, rest = divmod(by * reach.phases, reach.step)
    facts = MoveFacts(axis=axis, by=by, result=nested(moved))
    length = moved.shape[axis]
    if rest or outputs >= length:
        return facts
    leading_axes = (slice(None),) * axis
    before = (*leading_axes, slice(0, length - outputs))
    after = (*leading_axes, slice(outputs, None))
    difference = _differences(moved[after], result[before])
    undisturbed = _undisturbed(plan, x.shape, moved.shape, axis, by)[after]
    largest, place = _largest_at(difference, undisturbed)
    at = None if place is None else _place_moved(place, axis, outputs)
    edge_difference, _ = _largest_at(difference, ~undisturbed)
    return replace(
        facts,
        outputs=outputs,
        compared=int(undisturbed.sum()),
        difference=largest,
        at=at,
        edge_difference=edge_difference,
    )


def _place_moved(place: tuple[int, ...], axis: int, by: int) -> tuple[int, ...]:
    moved = list(place)
    moved[axis] += by
    return tuple(moved)


def _moved(x: Array, axis: int, by: int, edge: Edge) -> Array:
    """Delay the signal along an axis; the edge rule gives the samples that appear in front."""
    n = x.shape[axis]
    return Extent(-by, n - by, n, "zero" if edge == "valid" else edge).of(x, axis)


def _undisturbed(
    plan: Plan, lengths: tuple[int, ...], shape: tuple[int, ...], axis: int, by: int
) -> BoolArray:
    """Mark the outputs that read only samples of the signal, before and after it was moved."""
    if any(step.sees_whole for step in plan.steps):
        return np.ones(shape, np.bool_)
    inner = np.ones((), np.bool_)
    for a, (n, count) in enumerate(zip(lengths, shape, strict=True)):
        low, high = _windows(plan, a, count)
        first = by if a == axis else 0
        along = (low >= first) & (high <= n)
        inner = np.logical_and.outer(inner, along)
    return inner


def _windows(plan: Plan, axis: int, count: int) -> tuple[IntArray, IntArray]:
    """The samples [low, high) that each of `count` outputs reads along an axis."""
    chain = plan.chain
    spans = []
    for output in range(count):
        of_input, *_ = chain.needs(axis, output, output + 1)
        spans.append(of_input)
    windows = np.array(spans, np.int64).reshape(count, 2)
    if plan.extension == "valid":
        (first, _), *_ = chain.needs(axis, 0, 1)
        windows -= first
    return windows[:, 0], windows[:, 1]


def measure_locality(plan: Plan, x: Array) -> LocalityFacts:
    """Change the sample in the middle and find the outputs that change."""
    at = tuple(n // 2 for n in x.shape)
    change = float(np.ptp(x)) or 1.0
    other = x.copy()
    other[at] += change
    result = _filtered(plan, x)
    other_result = _filtered(plan, other)
    rounding = LARGEST_ROUNDING * max(_largest_magnitude(result), _largest_magnitude(other_result))
    changed = _differences(other_result, result) > rounding
    promised: tuple[tuple[int, int], ...] = ()
    read: tuple[tuple[int, int], ...] = ()
    if not any(step.sees_whole for step in plan.steps):
        promised = _readers(plan, at, result.shape)
        read = tuple((-r.before - r.anchor, r.after - r.anchor) for r in plan.chain.reach)
    return LocalityFacts(
        filter=plan.filter,
        at=at,
        change=change,
        changed=_box(changed),
        count=int(changed.sum()),
        outputs=result.size,
        promised=promised,
        read=read,
    )


def _readers(
    plan: Plan, at: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """First and last output that may read a sample along each axis; empty if none may."""
    readers = []
    for axis, (i, count) in enumerate(zip(at, shape, strict=True)):
        low, high = _windows(plan, axis, count)
        found = np.flatnonzero((low <= i) & (i < high))
        if not len(found):
            return ()
        readers.append((int(found[0]), int(found[-1])))
    return tuple(readers)


def _box(mask: BoolArray) -> tuple[tuple[int, int], ...]:
    """First and last marked place along each axis; empty if none is marked."""
    if not mask.any():
        return ()
    box = []
    for along in np.nonzero(mask):
        first, last = int(along.min()), int(along.max())
        box.append((first, last))
    return tuple(box)


@np.errstate(over="ignore", invalid="ignore")
def measure_linearity(plan: Plan, x: Array) -> LinearityFacts:
    """Compare the outputs of a weighted sum with the weighted sum of the outputs.

    The impulse in the sum lies in the middle first. A median, for one, removes an impulse among
    equal samples as if it were linear, so that other places follow as long as the sides are equal.
    """
    places = _from_the_middle(x.shape)[:MOST_IMPULSES]
    result = _filtered(plan, x)
    of_zero = _largest_magnitude(_filtered(plan, np.zeros_like(x)))
    measured = []
    for place in places:
        facts = _linearity_at(place, plan, x, result, of_zero)
        if not facts.holds:
            return facts
        measured.append(facts)
    return replace(measured[0], impulses=len(places))


def _from_the_middle(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The places of all samples, those near the middle first."""
    middle = [n // 2 for n in shape]

    def distance(place: tuple[int, ...]) -> int:
        return sum(abs(i - half) for i, half in zip(place, middle, strict=True))

    return sorted(np.ndindex(shape), key=distance)


def _linearity_at(
    place: tuple[int, ...], plan: Plan, x: Array, result: Array, of_zero: float
) -> LinearityFacts:
    """Compare both sides for an impulse at a place.

    result : the outputs of the signal `x`
    of_zero : the largest output of a signal of zeros
    """
    impulse = np.zeros_like(x)
    impulse[place] = _largest_magnitude(x) or 1.0
    a, b = FACTORS
    sum_first = _filtered(plan, a * x + b * impulse)
    filter_first = a * result + b * _filtered(plan, impulse)
    difference, output = _largest_at(_differences(sum_first, filter_first))
    return LinearityFacts(
        filter=plan.filter,
        factors=FACTORS,
        impulse=place,
        difference=difference or 0.0,
        at=output,
        sum_first=None if output is None else float(sum_first[output]),
        filter_first=None if output is None else float(filter_first[output]),
        scale=max(_largest_magnitude(sum_first), _largest_magnitude(filter_first)),
        of_zero=of_zero,
    )


def _differences(a: Array, b: Array) -> Array:
    """|a - b|; 0 where both are missing, infinite where one is."""
    with np.errstate(invalid="ignore"):
        difference: Array = np.abs(a - b)
    difference[a == b] = 0
    difference[np.isnan(difference)] = np.inf
    difference[np.isnan(a) & np.isnan(b)] = 0
    return difference


def _largest_magnitude(x: Array) -> float:
    """The largest magnitude of the known samples; 0 if there are none."""
    known = np.abs(x[~np.isnan(x)])
    return float(known.max(initial=0.0))


def _largest_at(
    difference: Array, where: BoolArray | None = None
) -> tuple[float | None, tuple[int, ...] | None]:
    """The largest marked difference and its place; (None, None) if none is marked."""
    if where is not None:
        difference = np.where(where, difference, -1.0)
    if not difference.size:
        return None, None
    place = np.unravel_index(int(difference.argmax()), difference.shape)
    largest = float(difference[place])
    if largest < 0:
        return None, None
    return largest, tuple(int(k) for k in place)


# What `explain --property` knows, by name.
PROPERTIES: dict[str, Callable[[Plan, Array], PropertyFacts]] = {
    "shift": measure_shift,
    "locality": measure_locality,
    "linearity": measure_linearity,
}
