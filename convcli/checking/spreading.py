"""A transposed convolution as it is taught: every input spreads the kernel over the outputs.

The layer runs as a convolution that makes all phases of each output channel, which are interleaved
afterwards. Here the kernel is rebuilt from the weights of that convolution.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.facts.explanation import CopyFacts, SpreadFacts
from convcli.facts.nested import nested

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.array_types import FloatArray
    from convcli.core.op_formula import Spread, WindowWeights
    from convcli.signals import Array


def spread_facts(
    phases: WindowWeights, spread: Spread, x: Array, at: tuple[int, ...], *, several: bool
) -> SpreadFacts:
    """Record every copy of the kernel; the outputs are sums of these copies.

    phases : the weights of the convolution that makes the phases
    x : the inputs from index 0 on, (n, channels) or (rows, columns, channels), none missing
    at : index of the first output along each axis
    several : whether arrays have a level for the channels
    """
    kernel = _kernel_of(phases, spread)
    bias: tuple[float, ...] = ()
    if phases.bias is not None:
        every = math.prod(spread.stride)
        bias = tuple(map(float, phases.bias[::every]))
    return SpreadFacts(
        kernel=nested(kernel if several else kernel[0, 0]),
        stride=spread.stride,
        first=spread.first,
        at=at,
        groups=phases.groups,
        bias=bias,
        copies=tuple(_copies(kernel, phases.groups, spread, x)),
    )


def _kernel_of(phases: WindowWeights, spread: Spread) -> FloatArray:
    """The kernel (out, in / groups, *size): phase r of tap j lies at (before - j) * stride + r."""
    taken = phases.weights.shape[1]
    by_phase = phases.weights.reshape(-1, *spread.stride, taken, *phases.size)
    kernel = np.zeros((len(by_phase), taken, *spread.size))
    for phase in np.ndindex(spread.stride):
        for tap in np.ndindex(phases.size):
            place = []
            for axis, stride in enumerate(spread.stride):
                output = (phases.before[axis] - tap[axis]) * stride + phase[axis]
                place.append(output - spread.first[axis])
            inside = zip(place, spread.size, strict=True)
            if all(0 <= offset < size for offset, size in inside):
                to: Any = (..., *place)
                of: Any = (..., *tap)
                kernel[to] = by_phase[(slice(None), *phase)][of]
    return kernel


def _copies(kernel: FloatArray, groups: int, spread: Spread, x: Array) -> Iterator[CopyFacts]:
    """Yield the kernel times each input, the channels one after the other."""
    made = len(kernel) // groups
    taken = kernel.shape[1]
    several = x.shape[-1] > 1 or len(kernel) > 1
    for channel in range(x.shape[-1]):
        group, number = divmod(channel, taken)
        adds_to = range(group * made, (group + 1) * made)
        weights = kernel[list(adds_to), number]
        for index in np.ndindex(x.shape[:-1]):
            sample = float(x[(*index, channel)])
            products = sample * weights
            places = zip(index, spread.stride, spread.first, strict=True)
            first_output = tuple(i * stride + first for i, stride, first in places)
            yield CopyFacts(
                channel=channel,
                adds_to=tuple(adds_to),
                at=index,
                first=first_output,
                x=sample,
                products=nested(products if several else products[0]),
            )
