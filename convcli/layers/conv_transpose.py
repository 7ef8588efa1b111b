"""Transposed convolutions, as torch.nn.ConvTranspose1d and ConvTranspose2d.

Every input is multiplied by the weights and added to the output at its place times the stride. Seen
from the outputs, each of the phases between two inputs is a convolution of its own; so the layer
runs as a convolution with an output channel for each phase, whose outputs are then interleaved.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY  # noqa: TC003 -- the decorator looks it up here
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convcli.core.op_formula import Spread
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.layers.conv import GroupedLayer
from convcli.layers.conv_op import ConvOp
from convcli.layers.layer import fits_declared, layer
from convcli.layers.padding import Placement, Sides
from convcli.layers.selection import FirstOutputs
from convcli.layers.shuffle import InterleavePhases, refuse_growth
from convcli.layers.training.tied_conv import TiedConv
from convcli.units import Count, Size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import Sizes
    from convcli.core.binding import Stage
    from convcli.core.op import Op
    from convcli.layers.layer import LayerSite, LayerTensors
    from convcli.layers.onnx.writer import ExportPlace
    from convcli.layers.training.trained import TrainedLayer
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

    def spread(self, weights: Tensor) -> Tensor:
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

    def collected(self, weights: Tensor, shape: Sizes) -> Tensor:
        """The adjoint of `spread`: of weights of the convolution, those that are taps.

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


@layer("conv_transpose")
@dataclass(frozen=True)
class ConvTransposeLayer(GroupedLayer):
    """A transposed convolution with OUT channels and windows of SIZE: STRIDE times as many samples.

    out, size : None where the weights say them; all sizes have one number for each sample axis
    Its weights are (in, out / groups, size...). There are (n - 1) * stride - 2 * padding +
    dilation * (size - 1) + output_padding + 1 outputs of n inputs, in a causal network n * stride,
    none of which reads a later input.
    """

    out: Count | None = None
    size: Size | None = None
    _: KW_ONLY
    stride: Size | None = None
    padding: Sides | None = None
    output_padding: Sides | None = None
    dilation: Size | None = None
    groups: Count = 1

    example: ClassVar[str] = "conv_transpose:stride=2"
    keeps_level: ClassVar[bool] = False
    trainable: ClassVar[bool] = True

    @property
    def pads(self) -> bool:
        """Whether the layer extends its own input; outside of it there is nothing to add up."""
        return True

    def channels(self, tensors: LayerTensors) -> tuple[int, int]:
        """Channels that go in and come out by the weights."""
        weights, _ = self._checked(tensors)
        return len(weights), weights.shape[1] * self.groups

    def _checked(self, tensors: LayerTensors) -> tuple[Tensor, Tensor | None]:
        """The weights and the bias. RequestError where they are not those of the layer."""
        axes = self.signal.axes
        mismatch = self.call.error(f"{tensors.found}, which is another layer")
        weights = tensors.weight
        sizes = self.size or (None,) * axes
        made = None if self.out is None else self.out // self.groups
        declared = (None, made, *sizes)
        if not fits_declared(weights.shape, declared) or len(weights) % self.groups:
            raise mismatch
        return weights, self.bias_of(tensors, weights.shape[1] * self.groups)

    def bind(self, site: LayerSite) -> tuple[Stage, ...]:
        """Return one stage: the convolution of all phases, and the phases interleaved."""
        weights, bias = self._checked(site.tensors)
        if site.passed_by is not None:
            message = f"{self.call.name} has no place for a channel that goes past it"
            raise self.call.error(message, hint="--channels rgb")
        if len(weights) * site.copies != site.channels:
            name = f"{site.tensors.path}: {site.tensors.number}.weight"
            message = f"{name} takes {len(weights)} channels, and {site.channels} come to it"
            raise self.call.error(message)
        axes = self._axes(weights.shape[2:], causal=site.rules.align == "causal")
        tiled = np.tile(weights, (site.copies, *(1,) * (weights.ndim - 1)))
        biases = None if bias is None else np.tile(bias, site.copies)
        return (site.stage(*transposed_ops(tiled, biases, axes, self.groups * site.copies)),)

    def export(self, place: ExportPlace) -> None:
        """Add a ConvTranspose to the graph."""
        weights, bias = self._checked(place.tensors)
        before, after, added = self._exported_sides(weights.shape[2:], place)
        inputs = [place.stored("weight", weights)]
        if bias is not None:
            inputs.append(place.stored("bias", bias))
        ones = (1,) * self.signal.axes
        place.graph.node(
            "ConvTranspose",
            *inputs,
            kernel_shape=weights.shape[2:],
            strides=self.stride or ones,
            dilations=self.dilation or ones,
            group=self.groups,
            pads=[*before, *after],
            output_padding=added,
        )
        place.graph.channels = weights.shape[1] * self.groups

    def _exported_sides(self, taps: Sizes, place: ExportPlace) -> tuple[Sizes, Sizes, Sizes]:
        """Outputs that are cut off before and after, and outputs that are added."""
        nothing = (0,) * self.signal.axes
        if place.padding != "causal":
            sides = self.padding or nothing
            cut, added = self._without_both(sides, self.output_padding or nothing)
            return sides, cut, added
        # As many outputs as inputs times the stride, none of which reads a later input.
        axes = self._axes(taps, causal=True)
        surplus = [axis.span - axis.stride for axis in axes]
        after = tuple(max(0, count) for count in surplus)
        more = tuple(max(0, -count) for count in surplus)
        cut, added = self._without_both(after, more)
        return nothing, cut, added

    def _without_both(self, after: Sequence[int], added: Sequence[int]) -> tuple[Sizes, Sizes]:
        """Fewer outputs cut off and fewer added, so that one of both is 0 on each axis.

        RequestError if as many are added as runtimes refuse.
        """
        both = [min(pair) for pair in zip(after, added, strict=True)]
        cut = tuple(count - less for count, less in zip(after, both, strict=True))
        more = tuple(count - less for count, less in zip(added, both, strict=True))
        strides = self.stride or (1,) * len(more)
        if any(count >= stride for count, stride in zip(more, strides, strict=True)):
            message = "an output_padding as large as the stride is not exported to ONNX"
            raise self.call.error(message)
        return cut, more

    def untrained(self, channels: int) -> dict[str, Tensor]:
        """The tensors of a layer that gets `channels` channels, all 0.

        RequestError where the text says too little.
        """
        example = "conv_transpose:8,4,stride=2,padding=1"
        out, size = self.declared(channels, example)
        shape = (channels, out // self.groups, *size)
        return self.zeros(shape, out, example)

    def trained(self, ops: tuple[Op, ...]) -> tuple[TrainedLayer, ...]:
        """The convolution of all phases, whose weights are tied, and the phases interleaved."""
        conv, *others = super().trained(ops)
        (spread,) = (op.formula.spread for op in ops if op.formula.spread is not None)
        return (self._tied(conv, spread), *others)

    def _tied(self, conv: TrainedLayer, spread: Spread) -> TiedConv:
        """The convolution of all phases, made of the parameters of the layer."""
        made = self.out or 1
        sizes = self.size or ()
        ones = (1,) * len(sizes)
        axes = []
        geometry = zip(sizes, spread.stride, self.dilation or ones, spread.first, strict=True)
        for taps, stride, dilation, first in geometry:
            axes.append(TransposedAxis(taps, stride, dilation, padding=-first, more=0))
        weight, *bias = conv.learned
        inputs_of_group = weight.shape[1]
        return TiedConv(
            conv=conv,
            shape=(inputs_of_group * self.groups, made // self.groups, *sizes),
            bias=made if bias else 0,
            phases=PhaseWeights(tuple(axes), self.groups),
        )

    def _axes(self, taps: tuple[int, ...], *, causal: bool) -> list[TransposedAxis]:
        """The geometry along each axis."""
        axes = []
        for axis, count in enumerate(taps):
            stride = self.stride[axis] if self.stride else 1
            dilation = self.dilation[axis] if self.dilation else 1
            padding = 0 if causal else _side(self.padding, axis)
            more = 0
            if not causal:
                added = _side(self.output_padding, axis)
                width = dilation * (count - 1) + 1
                more = width + added - 2 * padding - stride
            axes.append(TransposedAxis(count, stride, dilation, padding, more))
        return axes


def transposed_ops(
    weights: Tensor, bias: Tensor | None, axes: Sequence[TransposedAxis], groups: int
) -> tuple[Op, ...]:
    """The convolution of all phases, and the phases interleaved.

    weights : (in, out / groups, taps...); bias : (out,) or None
    RequestError for a stride or dilation that would take too much memory.
    """
    refuse_growth([(axis.stride, 1) for axis in axes])
    _refuse_many_weights(weights, axes)
    strides = tuple(axis.stride for axis in axes)
    conv = ConvOp(
        weights=PhaseWeights(tuple(axes), groups).spread(weights),
        bias=None if bias is None else np.repeat(bias, math.prod(strides)),
        step=(1,) * len(axes),
        dilation=(1,) * len(axes),
        groups=groups,
        at=Placement(
            before=tuple(-axis.first for axis in axes),
            anchor=(0,) * len(axes),
            growth=tuple(axis.growth for axis in axes),
            padding="zero",
        ),
    )
    spread = Spread(
        stride=strides,
        first=tuple(-axis.padding for axis in axes),
        size=tuple(axis.span for axis in axes),
    )
    interleaved = InterleavePhases(factors=strides, spread=spread)
    surplus = tuple(axis.surplus for axis in axes)
    if not any(surplus):
        return conv, interleaved
    return conv, interleaved, FirstOutputs(fewer=surplus)


def _refuse_many_weights(weights: Tensor, axes: Sequence[TransposedAxis]) -> None:
    """RequestError where the weights of all phases are more numbers than are held."""
    count = math.prod(weights.shape[:2])
    for axis in axes:
        count *= axis.stride * (-(-axis.taps * axis.dilation // axis.stride) + 1)
    if count > MOST_NUMBERS:
        message = f"the phases of a transposed convolution have {count:,} weights"
        raise RequestError(f"{message}; at most {MOST_NUMBERS:,} are held")


def _side(sides: Sides | None, axis: int) -> int:
    """The padding along an axis; 0 where none is written."""
    return 0 if sides is None else sides[axis]
