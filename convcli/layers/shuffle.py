"""Layers that turn channels into samples and back: pixel_shuffle and pixel_unshuffle.

Shi et al. (2016), "Real-time single image and video super-resolution using an efficient sub-pixel
convolutional neural network", https://arxiv.org/abs/1609.05158
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from convcli.core.op import LastKnown, Op, Span, none_known
from convcli.core.op_formula import NNInterleaving, OpFormula, Spread
from convcli.core.reach import Reach
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.layers.layer import Layer, layer
from convcli.layers.phases import interleaved_phases, split_phases
from convcli.layers.training.trained import trained_form
from convcli.layers.training.trained_shuffle import TrainedInterleaving, TrainedSplitting
from convcli.units import Size, UnitError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.array_types import FloatArray, Sizes
    from convcli.core.binding import Stage
    from convcli.layers.layer import LayerSite
    from convcli.layers.onnx.writer import ExportPlace
    from convcli.layers.training.trained import TrainedLayer
    from convcli.signals import Array


@dataclass(frozen=True, eq=False, kw_only=True)
class InterleavePhases(Op):
    """Interleave channels: the phases of an output channel become neighbouring samples.

    y[k*s + r, o] = x[k, o*s + r]; in a picture the phases of a channel are counted row by row.

    factors : s, on each axis
    spread : of a transposed convolution, whose phases the operation before makes
    text : what pages call the operation where it is a part of another layer
    """

    factors: Sizes
    spread: Spread | None = None
    text: str = ""

    @property
    def reach(self) -> tuple[Reach, ...]:
        """An output reads one sample, of which `factors` outputs are made on each axis."""
        return tuple(Reach(phases=factor) for factor in self.factors)

    @property
    def formula(self) -> OpFormula:
        """The phases of a transposed convolution continue that layer."""
        continues = self.spread is not None
        return OpFormula(
            delay=0.0,
            continues_layer=continues,
            spread=self.spread,
            text=self.text,
            nn_call=NNInterleaving(self.factors),
        )

    def output_channels(self, count: int) -> int:
        """Count the channels, each of which has all phases."""
        return count // math.prod(self.factors)

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Interleave the phases of all inputs, then cut off what was not asked for."""
        whole = interleaved_phases(x, self.factors)
        wanted = []
        for (start, stop), factor in zip(span, self.factors, strict=True):
            first = start % factor
            wanted.append(slice(first, first + stop - start))
        return whole[tuple(wanted)]


@trained_form.register(InterleavePhases)
def _trained_interleaving(op: InterleavePhases) -> TrainedLayer:
    return TrainedInterleaving(op.factors)


@dataclass(frozen=True, eq=False, kw_only=True)
class SplitPhases(Op):
    """The inverse of `InterleavePhases`: neighbouring samples become channels.

    factors : this many samples on each axis become one
    """

    factors: Sizes

    @property
    def reach(self) -> tuple[Reach, ...]:
        """An output reads the samples that become its channels."""
        return tuple(Reach(after=factor - 1, step=factor) for factor in self.factors)

    def output_channels(self, count: int) -> int:
        """Count the channels: a phase of a channel becomes one."""
        return count * math.prod(self.factors)

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Put the phases side by side."""
        return split_phases(x, self.factors)


@trained_form.register(SplitPhases)
def _trained_splitting(op: SplitPhases) -> TrainedLayer:
    return TrainedSplitting(op.factors)


# The most outputs of a network for one input along an axis, and the most phases in all.
MOST_TIMES_AS_MANY, MOST_PHASES = 1000, 1 << 16


def refuse_growth(ratios: Iterable[tuple[int, int]]) -> None:
    """Raise RequestError where there are too many outputs for each input.

    ratios : outputs and the inputs that they are made of, on each axis
    """
    for outputs, inputs in ratios:
        if outputs > MOST_TIMES_AS_MANY * inputs:
            raise RequestError(
                f"{outputs // inputs:,} times as many samples along an axis; "
                f"at most {MOST_TIMES_AS_MANY:,} are made"
            )


@dataclass(frozen=True)
class ScalingLayer(Layer):
    """A layer that makes other numbers of samples and channels, without weights.

    factor : samples that come out for each that goes in, or go in for each that comes out
    """

    factor: Size

    keeps_level: ClassVar[bool] = False
    trainable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        most = max(self.factor)
        if most > MOST_TIMES_AS_MANY or math.prod(self.factor) > MOST_PHASES:
            raise UnitError(
                f"a factor of {most:,}; at most {MOST_TIMES_AS_MANY:,} along an axis and "
                f"{MOST_PHASES:,} in all"
            )

    def _check_channels(self, site: LayerSite) -> None:
        """Raise RequestError where a channel would go past the layer, which makes other samples."""
        if site.passed_by == "opacity":
            message = f"{self.call.name} has no place for an opacity"
            raise self.call.error(message, hint="--channels rgb")


@layer("pixel_shuffle")
@dataclass(frozen=True)
class PixelShuffleLayer(ScalingLayer):
    """FACTOR * FACTOR channels become the pixels of one, as PixelShuffle; along one axis FACTOR."""

    example: ClassVar[str] = "pixel_shuffle:2"
    upsamples: ClassVar[bool] = True

    def channels_before(self, made: int) -> int:
        """Count the phases of all channels."""
        return made * math.prod(self.factor)

    def channels_after(self, given: int) -> int:
        """Count the channels that have all phases."""
        return given // math.prod(self.factor)

    def bind(self, site: LayerSite) -> tuple[Stage, ...]:
        """Return one stage with one operation."""
        self._check_channels(site)
        phases = math.prod(self.factor)
        if site.channels % phases:
            message = f"{self.call.text} makes one channel of {phases}, and {site.channels} come"
            raise self.call.error(message)
        return (site.stage(InterleavePhases(factors=self.factor)),)

    def export(self, place: ExportPlace) -> None:
        """Add a DepthToSpace, or where that does not fit a transposed convolution of ones."""
        graph = place.graph
        made = self.channels_after(graph.channels)
        if len(self.factor) == 2 and self.factor[0] == self.factor[1]:
            graph.node("DepthToSpace", blocksize=self.factor[0], mode="CRD")
        else:
            ones = _one_for_each_phase(self.factor, made)
            name = graph.constant(f"{len(graph.nodes)}.phases", ones)
            graph.node(
                "ConvTranspose", name, kernel_shape=self.factor, strides=self.factor, group=made
            )
        graph.channels = made


def _one_for_each_phase(factor: Sizes, channels: int) -> FloatArray:
    """Weights that pick one phase each, for every channel: (channels * phases, 1, factor...)."""
    phases = math.prod(factor)
    each = np.eye(phases).reshape(phases, 1, *factor)
    return np.concatenate([each] * channels)


@layer("pixel_unshuffle")
@dataclass(frozen=True)
class PixelUnshuffleLayer(ScalingLayer):
    """FACTOR * FACTOR pixels become channels, as PixelUnshuffle; along one axis FACTOR."""

    example: ClassVar[str] = "pixel_unshuffle:2"

    def channels_before(self, made: int) -> int:
        """Count the channels of which each phase becomes one."""
        return made // math.prod(self.factor)

    def channels_after(self, given: int) -> int:
        """Count the phases of all channels."""
        return given * math.prod(self.factor)

    def bind(self, site: LayerSite) -> tuple[Stage, ...]:
        """Return one stage with one operation on complete windows, as torch."""
        self._check_channels(site)
        op: Op = SplitPhases(factors=self.factor)
        if site.padding == "torch":
            op = op.complete()
        return (site.stage(op),)

    def export(self, place: ExportPlace) -> None:
        """Add a convolution of ones; SpaceToDepth of ONNX has another order of channels."""
        graph = place.graph
        ones = _one_for_each_phase(self.factor, graph.channels)
        name = graph.constant(f"{len(graph.nodes)}.phases", ones)
        graph.node(
            "Conv", name, kernel_shape=self.factor, strides=self.factor, group=graph.channels
        )
        graph.channels = self.channels_after(graph.channels)
