"""Transposed convolution layers, as torch.nn.ConvTranspose1d and ConvTranspose2d.

Every input is multiplied by the weights and added to the output at its place times the stride. The
layer runs as a convolution with an output channel for each phase (transposed.py).
"""

from __future__ import annotations

from dataclasses import KW_ONLY  # noqa: TC003 -- the decorator looks it up here
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from convcli.core.op_formula import Spread
from convcli.dataclass import dataclass
from convcli.layers.conv import GroupedLayer
from convcli.layers.layer import fits_declared, layer
from convcli.layers.padding import Sides
from convcli.layers.training.trained_conv import TiedConv
from convcli.layers.transposed import PhaseWeights, TransposedAxis, transposed_ops
from convcli.units import NumberOf, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import Sizes
    from convcli.core.binding import Stage
    from convcli.core.op import Op
    from convcli.layers.layer import LayerSite, LayerTensors
    from convcli.layers.onnx.writer import ExportPlace
    from convcli.layers.training.trained import TrainedLayer
    from convcli.layers.weights import Tensor


@layer("conv_transpose")
@dataclass(frozen=True)
class ConvTransposeLayer(GroupedLayer):
    """A transposed convolution with OUT channels and windows of SIZE: STRIDE times as many samples.

    out, size : None where the weights say them; all sizes have one number for each sample axis
    Its weights are (in, out / groups, size...). Of n inputs it makes (n - 1) * stride - 2 * padding
    + dilation * (size - 1) + output_padding + 1 outputs. In a causal network it makes n * stride,
    and no output reads a later input.
    """

    out: NumberOf | None = None
    size: Size | None = None
    _: KW_ONLY
    stride: Size | None = None
    padding: Sides | None = None
    output_padding: Sides | None = None
    dilation: Size | None = None
    groups: NumberOf = 1

    example: ClassVar[str] = "conv_transpose:stride=2"
    trainable_example: ClassVar[str] = "conv_transpose:8,4,stride=2,padding=1"
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

        Raises RequestError if as many are added as runtimes refuse.
        """
        both = [min(pair) for pair in zip(after, added, strict=True)]
        cut = tuple(count - less for count, less in zip(after, both, strict=True))
        more = tuple(count - less for count, less in zip(added, both, strict=True))
        strides = self.stride or (1,) * len(more)
        if any(count >= stride for count, stride in zip(more, strides, strict=True)):
            message = "an output_padding as large as the stride is not exported to ONNX"
            raise self.call.error(message)
        return cut, more

    def weight_shape(self, channels: int, out: int, size: Sizes) -> Sizes:
        """The shape of the weights, as in torch: (channels, outputs of a group, ...)."""
        return (channels, out // self.groups, *size)

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


def _side(sides: Sides | None, axis: int) -> int:
    """The padding along an axis; 0 where none is written."""
    return 0 if sides is None else sides[axis]
