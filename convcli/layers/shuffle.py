"""Layers that turn channels into samples and back: pixel_shuffle, pixel_unshuffle; upsample.

Shi et al. (2016), "Real-time single image and video super-resolution using an efficient sub-pixel
convolutional neural network", https://arxiv.org/abs/1609.05158
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from convcli.core.op import ChannelUse, Held, NumberUse, Op, Span, nothing_held
from convcli.core.op_formula import OpFormula, Spread, delay_of_one_sample
from convcli.core.reach import Reach
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.layers.conv_op import ConvOp
from convcli.layers.layer import Layer, layer
from convcli.layers.padding import Placement
from convcli.layers.phases import interleaved_phases, split_phases
from convcli.layers.training.trained import trained_form
from convcli.layers.training.trained_shuffle import (
    TrainedInterleaving,
    TrainedRepetition,
    TrainedSplitting,
)
from convcli.units import Size, UnitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from convcli.array_types import FloatArray, Sizes
    from convcli.core.binding import Stage
    from convcli.layers.layer import LayerSite
    from convcli.layers.onnx.writer import ExportPlace
    from convcli.layers.training.trained import TrainedLayer
    from convcli.signals import Array, Edge


@dataclass(frozen=True, eq=False, kw_only=True)
class InterleavePhases(Op):
    """Interleave channels: the phases of an output channel become neighbouring samples.

    y[k*s + r, o] = x[k, o*s + r]; in a picture the phases of a channel are counted row by row.

    factors : s, on each axis
    spread : of a transposed convolution, whose phases the operation before makes
    """

    factors: Sizes
    spread: Spread | None = None

    @property
    def reach(self) -> tuple[Reach, ...]:
        """An output reads one sample, of which `factors` outputs are made on each axis."""
        return tuple(Reach(phases=factor) for factor in self.factors)

    @property
    def formula(self) -> OpFormula:
        """The phases of a transposed convolution continue that layer."""
        continues = self.spread is not None
        return OpFormula(delay=0.0, continues_layer=continues, spread=self.spread)

    def output_channels(self, count: int) -> int:
        """Count the channels, each of which has all phases."""
        return count // math.prod(self.factors)

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
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

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Put the phases side by side."""
        return split_phases(x, self.factors)


@trained_form.register(SplitPhases)
def _trained_splitting(op: SplitPhases) -> TrainedLayer:
    return TrainedSplitting(op.factors)


@dataclass(frozen=True, eq=False, kw_only=True)
class RepeatSamples(Op):
    """Each sample several times: upsampling by the nearest one.

    factors : how many times, on each axis
    """

    factors: Sizes

    numbers = NumberUse(rounding="exact")
    channels = ChannelUse(uniform=True)

    @property
    def reach(self) -> tuple[Reach, ...]:
        """An output reads one sample, of which `factors` outputs are made on each axis."""
        return tuple(Reach(phases=factor) for factor in self.factors)

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Repeat along one axis after the other."""
        for axis, (start, stop) in enumerate(span):
            factor = self.factors[axis]
            places = np.arange(start, stop) // factor - start // factor
            x = np.take(x, places, axis=axis)
        return x


@trained_form.register(RepeatSamples)
def _trained_repetition(op: RepeatSamples) -> TrainedLayer:
    return TrainedRepetition(op.factors)


@dataclass(frozen=True, eq=False, kw_only=True)
class ChannelSelection(Op):
    """Some of the channels, in another order.

    selected : which ones
    """

    selected: tuple[int, ...]
    axes: int

    numbers = NumberUse(rounding="exact")

    @property
    def reach(self) -> tuple[Reach, ...]:
        """An output reads one sample, its own."""
        return (Reach(),) * self.axes

    def output_channels(self, count: int) -> int:
        """Count the channels that are selected."""
        return len(self.selected)

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Return the selected channels, in the order of `selected`."""
        return x[..., list(self.selected)]


@dataclass(frozen=True, eq=False, kw_only=True)
class FirstOutputs(Op):
    """All samples but the last ones.

    fewer : how many are cut off at the end of each axis
    """

    fewer: Sizes

    numbers = NumberUse(rounding="exact")
    channels = ChannelUse(uniform=True)

    @property
    def reach(self) -> tuple[Reach, ...]:
        """An output is known when `fewer` inputs have come after it."""
        return tuple(Reach(after=count, growth=-count) for count in self.fewer)

    @property
    def formula(self) -> OpFormula:
        """The end of a transposed convolution."""
        return OpFormula(delay=delay_of_one_sample(self.reach), continues_layer=True)

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Return the inputs that have enough others behind them."""
        wanted = [slice(0, stop - start) for start, stop in span]
        return x[tuple(wanted)]


@trained_form.register(FirstOutputs)
def _untouched(op: FirstOutputs) -> None:
    """Inside the signal nothing is cut off."""


# The most outputs of a network for one input along an axis, and the most phases in all.
MOST_TIMES_AS_MANY, MOST_PHASES = 1000, 1 << 16


def refuse_growth(paces: Iterable[tuple[int, int]]) -> None:
    """RequestError where there are too many outputs for each input.

    paces : (outputs, inputs) on each axis
    """
    for outputs, inputs in paces:
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
        """RequestError where a channel would go past the layer, which makes other samples."""
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


@layer("upsample")
@dataclass(frozen=True)
class UpsampleLayer(ScalingLayer):
    """FACTOR times as many samples, as Upsample with align_corners=False.

    mode : the nearest sample, or linear interpolation (bilinear in pictures), for which the first
        and the last sample are repeated outside
    """

    mode: Literal["nearest", "linear", "bilinear"] = "nearest"

    example: ClassVar[str] = "upsample:2"
    upsamples: ClassVar[bool] = True

    @property
    def pads(self) -> bool:
        """Whether the layer repeats samples at the edges, as torch does."""
        return self.mode != "nearest"

    def bind(self, site: LayerSite) -> tuple[Stage, ...]:
        """Return the repetition or interpolation as one stage."""
        self._check_channels(site)
        if self.mode == "nearest":
            return (site.stage(RepeatSamples(factors=self.factor)),)
        if site.rules.align == "causal":
            raise self._looks_ahead()
        padding: Edge | None = "edge" if site.padding == "torch" else None
        return (site.stage(*linear_upsampling(self.factor, site.channels, padding)),)

    def export(self, place: ExportPlace) -> None:
        """Add a Resize by whole factors."""
        graph = place.graph
        scales = graph.constant(f"{len(graph.nodes)}.scales", [1, 1, *self.factor])
        if self.mode == "nearest":
            how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            graph.node("Resize", "", scales, mode="nearest", **how)
        else:
            where = "half_pixel"
            graph.node("Resize", "", scales, mode="linear", coordinate_transformation_mode=where)

    def trained(self, ops: tuple[Op, ...]) -> tuple[TrainedLayer, ...]:
        """The repetition or interpolation, which does not learn."""
        return tuple(layer.frozen() for layer in super().trained(ops))

    def _looks_ahead(self) -> RequestError:
        message = f"{self.call.text} interpolates between a sample and the next one"
        return self.call.error(message, hint="--align center, or upsample:2,mode=nearest")


def linear_upsampling(factor: Sizes, channels: int, padding: Edge | None) -> tuple[Op, ...]:
    """Operations that interpolate linearly between samples.

    factor : outputs for each input, on each axis
    padding : how samples outside are made; None leaves that to the chain
    """
    shares = [_linear_shares(count) for count in factor]
    return _interpolation(shares, channels, padding)


def cubic_upsampling(factor: Sizes, channels: int, slope: float) -> tuple[Op, ...]:
    """Operations that interpolate between samples by cubic convolution (Keys 1981).

    The first and the last sample are repeated outside.
    slope : of the kernel one sample away, -0.75 in torch
    """
    shares = [_cubic_shares(count, slope) for count in factor]
    return _interpolation(shares, channels, "edge")


def _interpolation(
    shares: Sequence[FloatArray], channels: int, padding: Edge | None
) -> tuple[Op, ...]:
    """The convolution of all phases, and the phases interleaved.

    shares : on each axis, of the neighbouring samples in each phase, (phases, taps)
    """
    ones = (1,) * len(shares)
    nothing = (0,) * len(ones)
    weights = _phase_products(shares)
    before = tuple(each.shape[1] // 2 for each in shares)
    conv = ConvOp(
        weights=np.concatenate([weights] * channels),
        bias=None,
        step=ones,
        dilation=ones,
        groups=channels,
        at=Placement(before=before, anchor=nothing, growth=nothing, padding=padding),
    )
    return conv, InterleavePhases(factors=tuple(len(each) for each in shares))


def _phase_products(shares: Sequence[FloatArray]) -> FloatArray:
    """Weights of all phases, (phases, 1, taps) or (phases, 1, taps, taps)."""
    weights = shares[0]
    if len(shares) == 2:
        weights = np.einsum("ri,sj->rsij", *shares)
    phases = math.prod(len(each) for each in shares)
    return weights.reshape(phases, 1, *(each.shape[1] for each in shares))


def _linear_shares(factor: int) -> FloatArray:
    """Shares of three neighbouring samples in each of the phases between them, (factor, 3)."""
    return _shares_by_distance(factor, 1, lambda distance: 1 - distance)


def _cubic_shares(factor: int, slope: float) -> FloatArray:
    """Shares of five neighbouring samples in each of the phases between them, (factor, 5)."""

    def kernel(distance: float) -> float:
        if distance < 1:
            higher_terms = ((slope + 2) * distance - (slope + 3)) * distance**2
            return higher_terms + 1
        higher_terms = ((distance - 5) * distance + 8) * distance * slope
        return higher_terms - 4 * slope

    return _shares_by_distance(factor, 2, kernel)


def _shares_by_distance(factor: int, reach: int, kernel: Callable[[float], float]) -> FloatArray:
    """Shares of samples by their distance from each phase, (factor, 2 * reach + 1).

    kernel : the share at a distance in samples, 0 from the distance `reach` on
    """
    shares = np.zeros((factor, 2 * reach + 1))
    for phase in range(factor):
        # The position of the output, counted from the sample in the middle.
        position = (phase + 0.5) / factor - 0.5
        for number in range(2 * reach + 1):
            distance = abs(number - reach - position)
            if distance < reach:
                shares[phase, number] = kernel(distance)
    return shares
