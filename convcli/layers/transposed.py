"""A transposed convolution as a convolution that makes all phases, which are then interleaved.

Seen from the outputs, each of the phases between two inputs is a convolution of its own. So there
is an output channel for each phase.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.op_formula import Spread
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.layers.conv_op import ConvOp
from convcli.layers.padding import Placement
from convcli.layers.selection import FirstOutputs
from convcli.layers.shuffle import InterleavePhases, refuse_growth

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import Sizes
    from convcli.core.op import Op
    from convcli.layers.weights import Tensor

# The most weights of all phases, half a gigabyte of float64.
MOST_NUMBERS = 1 << 26


@dataclass(frozen=True)
class TransposedAxis:
    """One axis of a transposed convolution.

    Output q*stride + r reads the input q + m by tap j where m*stride = r + padding - j*dilation.

    more : outputs beyond `stride` times the number of inputs; fewer, if negative
    """

    taps: int
    stride: int
    dilation: int
    padding: int
    more: int

    @property
    def reads(self) -> list[tuple[int, int, int]]:
        """Every phase r, tap j and place m of the input that they read."""
        pairs = product(range(self.stride), range(self.taps))
        found = [(r, j, r + self.padding - j * self.dilation) for r, j in pairs]
        return [(r, j, m // self.stride) for r, j, m in found if m % self.stride == 0]

    @property
    def first(self) -> int:
        """The first place that some phase reads."""
        return min(m for _, _, m in self.reads)

    @property
    def width(self) -> int:
        """How many inputs all phases together read."""
        return max(m for _, _, m in self.reads) - self.first + 1

    @property
    def span(self) -> int:
        """How many outputs lie between the first and the last tap, both of them included."""
        return self.dilation * (self.taps - 1) + 1

    @property
    def growth(self) -> int:
        """How many more positions than inputs have outputs."""
        return -(-self.more // self.stride)

    @property
    def surplus(self) -> int:
        """Outputs of the last position that are too many."""
        return self.growth * self.stride - self.more


@dataclass(frozen=True)
class PhaseWeights:
    """The weights of a transposed convolution as those of a convolution that makes all phases.

    Each tap reads one place in one phase; all other weights of the convolution are 0.

    axes : the geometry on each axis; groups : of channels
    """

    axes: tuple[TransposedAxis, ...]
    groups: int

    @property
    def count(self) -> int:
        """How many phases an output channel has."""
        return math.prod(axis.stride for axis in self.axes)

    def scattered(self, weights: Tensor) -> Tensor:
        """The weights of the convolution, (out * phases, in / groups, window...).

        weights : (in, out / groups, taps...)
        """
        by_group = weights.reshape(self.groups, -1, *weights.shape[1:])
        _, taken, made = by_group.shape[:3]
        strides = tuple(axis.stride for axis in self.axes)
        window = tuple(axis.width for axis in self.axes)
        phases = np.zeros((self.groups, made, *strides, taken, *window))
        # (groups, out, in, taps...)
        transposed = by_group.swapaxes(1, 2)
        for place, tap in self._places():
            phases[place] = transposed[tap]
        return phases.reshape(self.groups * made * self.count, taken, *window)

    def gathered(self, weights: Tensor, shape: Sizes) -> Tensor:
        """The adjoint of `scattered`: of weights of the convolution, those that are taps.

        shape : (in, out / groups, taps...), which is returned
        """
        by_group = np.zeros((self.groups, shape[0] // self.groups, *shape[1:]))
        _, taken, made = by_group.shape[:3]
        strides = tuple(axis.stride for axis in self.axes)
        phases = weights.reshape(self.groups, made, *strides, taken, *weights.shape[2:])
        transposed = by_group.swapaxes(1, 2)
        for place, tap in self._places():
            transposed[tap] = phases[place]
        return by_group.reshape(shape)

    def _places(self) -> Iterator[tuple[Any, Any]]:
        """Yield where each tap lies in the weights of all phases, and in those of the layer."""
        for reads in product(*(axis.reads for axis in self.axes)):
            phase = tuple(r for r, _, _ in reads)
            tap = tuple(j for _, j, _ in reads)
            place = tuple(m - axis.first for (_, _, m), axis in zip(reads, self.axes, strict=True))
            yield (..., *phase, slice(None), *place), (..., *tap)


def transposed_ops(
    weights: Tensor, bias: Tensor | None, axes: Sequence[TransposedAxis], groups: int
) -> tuple[Op, ...]:
    """The convolution of all phases, and the phases interleaved.

    weights : (in, out / groups, taps...); bias : (out,) or None
    Raises RequestError for a stride or dilation that would take too much memory.
    """
    refuse_growth([(axis.stride, 1) for axis in axes])
    _refuse_many_weights(weights, axes)
    strides = tuple(axis.stride for axis in axes)
    repeated = None if bias is None else np.repeat(bias, math.prod(strides))
    conv = _phases_conv(PhaseWeights(tuple(axes), groups), weights, repeated)
    spread = Spread(
        stride=strides,
        first=tuple(-axis.padding for axis in axes),
        size=tuple(axis.span for axis in axes),
        dilation=tuple(axis.dilation for axis in axes),
    )
    interleaved = InterleavePhases(factors=strides, spread=spread)
    surplus = tuple(axis.surplus for axis in axes)
    if not any(surplus):
        return conv, interleaved
    return conv, interleaved, FirstOutputs(fewer=surplus)


def _phases_conv(phases: PhaseWeights, weights: Tensor, bias: Tensor | None) -> ConvOp:
    """The convolution that makes all phases.

    weights : (in, out / groups, taps...); bias : (out * phases,) or None
    """
    axes = phases.axes
    return ConvOp(
        weights=phases.scattered(weights),
        bias=bias,
        step=(1,) * len(axes),
        dilation=(1,) * len(axes),
        groups=phases.groups,
        at=Placement(
            before=tuple(-axis.first for axis in axes),
            anchor=(0,) * len(axes),
            growth=tuple(axis.growth for axis in axes),
            padding="zero",
        ),
    )


def _refuse_many_weights(weights: Tensor, axes: Sequence[TransposedAxis]) -> None:
    """Raise RequestError where the weights of all phases are more numbers than are held."""
    count = math.prod(weights.shape[:2])
    for axis in axes:
        count *= axis.stride * (-(-axis.taps * axis.dilation // axis.stride) + 1)
    if count > MOST_NUMBERS:
        message = f"the phases of a transposed convolution have {count:,} weights"
        raise RequestError(f"{message}; at most {MOST_NUMBERS:,} are held")
