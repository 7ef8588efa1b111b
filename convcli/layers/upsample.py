"""The layer upsample: repeats samples, or interpolates between them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from convcli.core.op import ChannelUse, LastKnown, NumberUse, Op, Span, none_known
from convcli.core.op_formula import NNRepetition, OpFormula
from convcli.core.reach import Reach
from convcli.dataclass import dataclass
from convcli.layers.conv_op import ConvOp
from convcli.layers.layer import layer
from convcli.layers.padding import Placement
from convcli.layers.shuffle import InterleavePhases, ScalingLayer
from convcli.layers.training.trained import trained_form
from convcli.layers.training.trained_shuffle import TrainedRepetition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convcli.array_types import FloatArray, Sizes
    from convcli.core.binding import Stage
    from convcli.errors import RequestError
    from convcli.layers.layer import LayerSite
    from convcli.layers.onnx.writer import ExportPlace
    from convcli.layers.training.trained import TrainedLayer
    from convcli.signals import Array, Edge


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

    @property
    def formula(self) -> OpFormula:
        """The repetition in PyTorch and JAX."""
        return OpFormula(delay=super().formula.delay, nn_call=NNRepetition(self.factors))

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Repeat along one axis after the other."""
        for axis, (start, stop) in enumerate(span):
            factor = self.factors[axis]
            places = np.arange(start, stop) // factor - start // factor
            x = np.take(x, places, axis=axis)
        return x


@trained_form.register(RepeatSamples)
def _trained_repetition(op: RepeatSamples) -> TrainedLayer:
    return TrainedRepetition(op.factors)


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
    taps = [_linear_taps(count) for count in factor]
    return _interpolation(taps, channels, padding)


def cubic_upsampling(factor: Sizes, channels: int, slope: float) -> tuple[Op, ...]:
    """Operations that interpolate between samples by cubic convolution (Keys 1981).

    The first and the last sample are repeated outside.
    slope : of the kernel one sample away, -0.75 in torch
    """
    taps = [_cubic_taps(count, slope) for count in factor]
    return _interpolation(taps, channels, "edge")


def _interpolation(
    taps: Sequence[FloatArray], channels: int, padding: Edge | None
) -> tuple[Op, ...]:
    """The convolution of all phases, and the phases interleaved.

    taps : on each axis, the taps of each phase, (phases, taps)
    """
    ones = (1,) * len(taps)
    nothing = (0,) * len(ones)
    weights = _phase_products(taps)
    before = tuple(each.shape[1] // 2 for each in taps)
    conv = ConvOp(
        weights=np.concatenate([weights] * channels),
        bias=None,
        step=ones,
        dilation=ones,
        groups=channels,
        at=Placement(before=before, anchor=nothing, growth=nothing, padding=padding),
    )
    factors = tuple(len(each) for each in taps)
    return conv, InterleavePhases(factors=factors, text="interleaved")


def _phase_products(taps: Sequence[FloatArray]) -> FloatArray:
    """Weights of all phases, (phases, 1, taps) or (phases, 1, taps, taps)."""
    weights = taps[0]
    if len(taps) == 2:
        weights = np.einsum("ri,sj->rsij", *taps)
    phases = math.prod(len(each) for each in taps)
    return weights.reshape(phases, 1, *(each.shape[1] for each in taps))


def _linear_taps(factor: int) -> FloatArray:
    """The taps of each phase of linear interpolation, (factor, 3)."""
    return _sampled_kernel(factor, 1, lambda distance: 1 - distance)


def _cubic_taps(factor: int, slope: float) -> FloatArray:
    """The taps of each phase of cubic convolution (Keys 1981), (factor, 5).

    slope : of the kernel at distance 1
    """

    def kernel(distance: float) -> float:
        if distance < 1:
            higher_terms = ((slope + 2) * distance - (slope + 3)) * distance**2
            return higher_terms + 1
        higher_terms = ((distance - 5) * distance + 8) * distance * slope
        return higher_terms - 4 * slope

    return _sampled_kernel(factor, 2, kernel)


def _sampled_kernel(factor: int, reach: int, kernel: Callable[[float], float]) -> FloatArray:
    """The taps of each phase of an interpolation, (factor, 2 * reach + 1).

    kernel : the weight of a sample at a distance in samples; 0 from the distance `reach` on
    """
    taps = np.zeros((factor, 2 * reach + 1))
    for phase in range(factor):
        # The position of the output, counted from the sample in the middle.
        position = (phase + 0.5) / factor - 0.5
        for number in range(2 * reach + 1):
            distance = abs(number - reach - position)
            if distance < reach:
                taps[phase, number] = kernel(distance)
    return taps
