"""Flatten and dense layers: every output from every sample, as torch.nn.Linear after a Flatten."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from convcli.dataclass import dataclass
from convcli.layers.conv_op import ConvOp
from convcli.layers.layer import Layer, WeightedLayer, layer
from convcli.layers.padding import Placement
from convcli.units import NumberOf

if TYPE_CHECKING:
    from convcli.core.binding import Stage
    from convcli.errors import RequestError
    from convcli.layers.layer import LayerSite, Shape
    from convcli.layers.onnx.writer import ExportPlace


UNTRAINABLE = (
    "windows are cut anywhere, and it has a weight for each position; a conv of that width has none"
)


@layer("dense")
@dataclass(frozen=True)
class DenseLayer(WeightedLayer):
    """Every sample of every channel into each of OUT numbers, as Linear after a Flatten.

    Its weights are (out, channels * samples), channels first. It runs as a convolution whose one
    window is the signal.
    """

    out: NumberOf | None = None

    example: ClassVar[str] = "dense"
    takes_everything: ClassVar[bool] = True
    untrainable_hint: ClassVar[str | None] = UNTRAINABLE

    def bind(self, site: LayerSite) -> tuple[Stage, ...]:
        """Return one stage with one operation."""
        self._check_channels(site)
        sides = site.lengths
        declared: Shape = (self.out, site.channels * math.prod(sides))
        weights, bias = self.weights_and_bias(site.tensors, declared, self._mismatch(site))
        anchor = tuple((n - 1) // 2 for n in sides)
        if site.rules.align == "causal":
            anchor = tuple(n - 1 for n in sides)
        growth = tuple(1 - n for n in sides)
        ones = (1,) * len(sides)
        op = ConvOp(
            weights=weights.reshape(len(weights), site.channels, *sides),
            bias=bias,
            step=ones,
            dilation=ones,
            at=Placement(before=(0,) * len(sides), anchor=anchor, growth=growth),
        )
        return (replace(site.stage(op), learned=op),)

    def export(self, place: ExportPlace) -> None:
        """Add a Gemm, and before the first one a Flatten."""
        graph, tensors = place.graph, place.tensors
        weights = tensors.weight
        bias = self.bias_of(tensors, len(weights))
        if not graph.flat:
            graph.node("Flatten", axis=1)
        inputs = [place.stored("weight", weights)]
        if bias is not None:
            inputs.append(place.stored("bias", bias))
        graph.node("Gemm", *inputs, transB=1)
        graph.flat = True
        graph.channels = len(weights)

    def _check_channels(self, site: LayerSite) -> None:
        """Raise RequestError where a channel would bypass the layer, which makes one sample."""
        if site.passed_by == "level":
            raise self.call.error("dense has no place for the level that is added to a change")
        if site.passed_by == "opacity":
            message = "dense takes colours, and this picture has an opacity"
            raise self.call.error(message, hint="--channels rgb")

    def _mismatch(self, site: LayerSite) -> RequestError:
        """The error for weights that fit no signal of these lengths."""
        came = "x".join(str(n or "?") for n in site.lengths)
        hint = "an adaptive or global pool fixes the size"
        if site.padding == "chain" and site.rules.edge != "valid":
            hint = (
                "--edge valid: as torch, without padding; "
                "or an adaptive or global pool, which fixes the size"
            )
        message = f"{site.tensors.found}, and {site.channels} channels of {came} come to it"
        return self.call.error(message, hint=hint)


# ------------------------------------------------------------------------------------------ flatten


@layer("flatten")
@dataclass(frozen=True, kw_only=True)
class FlattenLayer(Layer):
    """All samples of all channels side by side.

    It only counts as a layer: a dense layer reads them all anyway.
    """

    example: ClassVar[str] = "flatten"
    untrainable_hint: ClassVar[str | None] = UNTRAINABLE

    def check_next(self, following: list[Layer]) -> None:
        """Raise RequestError where no dense layer follows."""
        if not following or not following[0].takes_everything:
            raise self.call.error("flatten comes before dense and nowhere else")

    def export(self, place: ExportPlace) -> None:
        """Add nothing: the dense layer that follows flattens its input."""

    def bind(self, site: LayerSite) -> tuple[Stage, ...]:
        """Return one stage without operations."""
        return (site.stage(),)
