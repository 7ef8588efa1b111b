"""Convolution layers as written: text form, weights, where their windows lie.

`ConvOp` computes them (conv_op.py), and `TrainedConv` trains them (training/trained_conv.py).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import KW_ONLY, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from convcli.core.kernel import Kernel
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.layers.conv_op import ConvOp, dilated
from convcli.layers.layer import WeightedLayer, layer
from convcli.layers.padding import (
    EDGES,
    Padding,
    PaddingMode,
    Placement,
    padded_placement,
    widths_of,
)
from convcli.units import NumberOf, Size, UnitError

if TYPE_CHECKING:
    from convcli.array_types import Sizes
    from convcli.core.binding import Stage
    from convcli.layers.layer import LayerSite, LayerTensors
    from convcli.layers.onnx.writer import ExportPlace
    from convcli.layers.weights import Tensor
    from convcli.signals import Edge


# A layer of more weights would not be learned in a day here.
MOST_WEIGHTS = 10_000_000


class GroupedLayer(WeightedLayer):
    """A convolution or its transpose: windows of `size` taps, and channels in `groups`."""

    out: int | None
    size: tuple[int, ...] | None
    groups: int

    # How a layer that can be trained is written, for hints.
    trainable_example: ClassVar[str]

    @abstractmethod
    def weight_shape(self, channels: int, out: int, size: Sizes) -> Sizes:
        """The shape of the weights that make `out` of `channels` channels."""

    def untrained(self, channels: int) -> dict[str, Tensor]:
        """The tensors of a layer that gets `channels` channels, all 0.

        Raises RequestError where the text says too little, or there are too many weights to train.
        """
        out, size = self._declared(channels)
        shape = self.weight_shape(channels, out, size)
        count = math.prod(shape)
        if count > MOST_WEIGHTS:
            message = f"{count:,} weights in a layer; at most {MOST_WEIGHTS:,} are trained"
            raise self.call.error(message, hint=self.trainable_example)
        tensors = {"weight": np.zeros(shape)}
        if self.bias is not False:
            tensors["bias"] = np.zeros(out)
        return tensors

    def _declared(self, channels: int) -> tuple[int, Sizes]:
        """The output channels and the size.

        Raises RequestError where the text lacks them, or the groups do not divide the channels.
        """
        if self.out is None or self.size is None:
            name = self.call.name
            message = f"a {name} to be trained says how many channels it makes, and its taps"
            raise self.call.error(message, hint=self.trainable_example)
        if channels % self.groups or self.out % self.groups:
            message = f"{self.groups} groups do not share {channels} and {self.out} channels evenly"
            raise self.call.error(message)
        return self.out, self.size


@layer("conv")
@dataclass(frozen=True)
class ConvLayer(GroupedLayer):
    """A convolution with OUT channels and windows of SIZE, as Conv1d and Conv2d.

    out, size : None where the weights say them; all sizes have one number for each sample axis
    Its weights are (out, in / groups, size...).
    """

    out: NumberOf | None = None
    size: Size | None = None
    _: KW_ONLY
    stride: Size | None = None
    padding: Padding | None = None
    padding_mode: PaddingMode = "zeros"
    dilation: Size | None = None
    groups: NumberOf = 1

    example: ClassVar[str] = "conv:stride=2"
    trainable_example: ClassVar[str] = "conv:8,7"
    trainable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.padding == "same" and any(step != 1 for step in self._step):
            raise UnitError("padding=same needs a stride of 1, as in torch")

    @property
    def _step(self) -> Sizes:
        return self.stride or (1,) * self.signal.axes

    @property
    def _spacing(self) -> Sizes:
        """The dilation: inputs from one tap to the next."""
        return self.dilation or (1,) * self.signal.axes

    @property
    def pads(self) -> bool:
        """Whether the layer is written with a padding of its own."""
        return self.padding is not None

    def _checked(self, tensors: LayerTensors) -> tuple[Tensor, Tensor | None]:
        """The weights and the bias.

        Raises RequestError where they are not those of the layer as written.
        """
        axes = self.signal.axes
        mismatch = self.call.error(f"{tensors.found}, which is another layer")
        if tensors.weight.ndim != axes + 2:
            wanted = "(out, in, k)" if axes == 1 else "(out, in, height, width)"
            message = f"{tensors.found}, and this signal needs {wanted}"
            hint = (
                "one-dimensional models are for sound and tables, two-dimensional ones for pictures"
            )
            mismatch = RequestError(message, hint=hint)
        declared = (self.out, None, *(self.size or (None,) * axes))
        weights, bias = self.weights_and_bias(tensors, declared, mismatch)
        if len(weights) % self.groups:
            message = f"{self.groups} groups do not share {len(weights)} channels evenly"
            raise self.call.error(message)
        return weights, bias

    def channels(self, tensors: LayerTensors) -> tuple[int, int]:
        """Channels that go in and come out by the weights."""
        weights, _ = self._checked(tensors)
        return weights.shape[1] * self.groups, len(weights)

    def kernel(self, tensors: LayerTensors) -> Kernel | None:
        """The taps of a layer of one channel without stride, padding and bias; None of others."""
        weights, bias = self._checked(tensors)
        one = weights.shape[:2] == (1, 1) and all(step == 1 for step in self._step)
        if not one or bias is not None or self.pads:
            return None
        kernel = Kernel.correlating(dilated(weights, self._spacing)[0, 0])
        # torch's padding="same" puts the odd sample of padding behind the signal.
        return replace(kernel, centre=tuple(k // 2 for k in kernel.taps.shape))

    def bind(self, site: LayerSite) -> tuple[Stage, ...]:
        """Return one stage with one operation."""
        weights, bias = self._checked(site.tensors)
        taken = weights.shape[1] * self.groups
        if taken * site.copies != site.channels:
            name = f"{site.tensors.path}: {site.tensors.number}.weight"
            message = f"{name} takes {taken} channels, and {site.channels} come to it"
            raise self.call.error(message)
        if site.copies > 1:
            weights = np.tile(weights, (site.copies, *(1,) * (weights.ndim - 1)))
            bias = None if bias is None else np.tile(bias, site.copies)
        op = ConvOp(
            weights=weights,
            bias=bias,
            step=self._step,
            dilation=self._spacing,
            groups=self.groups * site.copies,
            at=self._placement(weights.shape[2:], site),
            beside=site.passed_by is not None,
        )
        return (replace(site.stage(op), learned=op),)

    def _placement(self, shape: Sizes, site: LayerSite) -> Placement:
        """Where the windows of taps of this shape lie, and how the layer pads."""
        widths = widths_of(shape, self._spacing)
        if site.rules.align == "causal":
            return self._causal_placement(widths, site)
        nothing = (0,) * len(widths)
        middle = tuple((width - 1) // 2 for width in widths)
        if site.padding == "chain":
            return Placement(before=middle, anchor=nothing, growth=nothing)
        pads = zip(*self._sides(widths), strict=True)
        return padded_placement(widths, list(pads), EDGES[self.padding_mode])

    def _causal_placement(self, widths: Sizes, site: LayerSite) -> Placement:
        """Windows that end at the sample of their output.

        Under `valid`, a layer that adds no samples gives only the outputs of complete windows.
        """
        nothing = (0,) * len(widths)
        earlier = tuple(width - 1 for width in widths)
        padding = None
        if site.padding == "causal":
            padding = self._causal_padding()
            if site.rules.edge == "valid" and not self.pads:
                fewer = tuple(-n for n in earlier)
                return Placement(before=nothing, anchor=earlier, growth=fewer, padding=padding)
        return Placement(before=earlier, anchor=nothing, growth=nothing, padding=padding)

    def _sides(self, widths: Sizes) -> tuple[Sizes, Sizes]:
        """Samples that the padding adds before and after the signal, on each axis.

        torch's padding="same" puts the odd sample of padding after the signal.
        """
        if self.padding == "same":
            before = tuple((width - 1) // 2 for width in widths)
            after = tuple(width // 2 for width in widths)
            return before, after
        sides = self.padding or (0,) * len(widths)
        return sides, sides

    def _causal_padding(self) -> Edge:
        """How the layer pads before the signal. RequestError if that takes later samples."""
        padding = EDGES[self.padding_mode]
        if padding in {"wrap", "reflect"}:
            message = f"padding_mode={self.padding_mode} looks ahead; --align causal does not"
            raise self.call.error(message)
        return padding

    def export(self, place: ExportPlace) -> None:
        """Add a Conv, and before it a Pad where the padding is not zeros."""
        weights, bias = self._checked(place.tensors)
        widths = widths_of(weights.shape[2:], self._spacing)
        before, after = self._sides(widths)
        if place.padding == "causal":
            before, after = tuple(width - 1 for width in widths), (0,) * len(widths)
        graph = place.graph
        if self.padding_mode != "zeros":
            graph.padded(before, after, EDGES[self.padding_mode])
            before = after = (0,) * len(widths)
        inputs = [place.stored("weight", weights)]
        if bias is not None:
            inputs.append(place.stored("bias", bias))
        graph.node(
            "Conv",
            *inputs,
            kernel_shape=weights.shape[2:],
            strides=self._step,
            dilations=self._spacing,
            group=self.groups,
            pads=[*before, *after],
        )
        graph.channels = len(weights)

    def weight_shape(self, channels: int, out: int, size: Sizes) -> Sizes:
        """The shape of the weights, as in torch: (out, channels of a group, ...)."""
        return (out, channels // self.groups, *size)
