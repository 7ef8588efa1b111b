"""Layers with numbers for each channel: batch normalisation, and rectifiers of learned slopes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convcli.core.one_sample import Pointwise
from convcli.core.op_formula import NNArithmetic, NNCall
from convcli.dataclass import dataclass
from convcli.layers.affine import Affine
from convcli.layers.layer import Layer, layer
from convcli.layers.training.trained import BatchLayer, LearnedTensor, TrainedLayer
from convcli.units import Number, NumberOf

if TYPE_CHECKING:
    from convcli.core.binding import Stage
    from convcli.core.op import Op, Span
    from convcli.layers.layer import LayerSite, LayerTensors
    from convcli.layers.onnx.writer import ExportPlace
    from convcli.layers.training.trained import BatchShape, Tensors
    from convcli.layers.weights import Tensor
    from convcli.signals import Array


@dataclass(frozen=True, kw_only=True)
class PerChannelLayer(Layer):
    """A layer that scales or bends each sample with parameters of its channel."""

    weighted: ClassVar[bool] = True

    def _numbers(self, site: LayerSite, name: str, default: float | None = None) -> Tensor:
        """A tensor with a number for each channel that the layer gets, (channels,).

        A channel that bypasses the layer gets a copy of the last number, which is not used.
        """
        stored = site.tensors.named.get(name)
        count = site.channels // site.copies
        if stored is None and default is None:
            message = f"{site.tensors.path} has no {site.tensors.number}.{name} for this layer"
            raise self.call.error(message)
        if stored is None:
            stored = np.full(count, default)
        if stored.shape not in {(count,), *self._other_shapes}:
            message = f"{site.tensors.path}: {site.tensors.number}.{name} has the shape"
            raise self.call.error(f"{message} {stored.shape}, and {count} channels come to it")
        numbers = np.tile(np.broadcast_to(stored, (count,)), site.copies)
        return numbers if site.passed_by is None else np.append(numbers, numbers[-1])

    def _exported(self, place: ExportPlace, name: str, default: float) -> str:
        """A tensor with a number for each channel, as a constant of the graph."""
        count = place.graph.channels
        stored = place.tensors.named.get(name, np.full(count, default))
        return place.stored(name, np.broadcast_to(stored, (count,)))

    # Shapes that stand for all channels at once.
    _other_shapes: ClassVar[tuple[tuple[int, ...], ...]] = ()


@layer("batch_norm")
@dataclass(frozen=True, kw_only=True)
class BatchNormLayer(PerChannelLayer):
    """Batch normalisation with the statistics of the training, as BatchNorm1d and 2d compute.

    y = (x - running_mean) / sqrt(running_var + eps) * weight + bias, with a number of each for
    every channel; weight and bias may be missing. Ioffe and Szegedy (2015),
    https://arxiv.org/abs/1502.03167
    """

    eps: Number = 1e-5

    example: ClassVar[str] = "batch_norm"
    untrainable_hint: ClassVar[str | None] = (
        "leave it out: scale and shift of a channel are in the weights of the next conv"
    )

    def channels(self, tensors: LayerTensors) -> tuple[int, int] | None:
        """Return (n, n) for n means: as many channels come out as go in."""
        mean = tensors.named.get("running_mean")
        return None if mean is None else (mean.size, mean.size)

    def bind(self, site: LayerSite) -> tuple[Stage, ...]:
        """Return one stage with one operation."""
        mean, variance = self._numbers(site, "running_mean"), self._numbers(site, "running_var")
        if (variance + self.eps <= 0).any():
            message = f"{site.tensors.path}: {site.tensors.number}.running_var is not above 0"
            raise self.call.error(message)
        scale = self._numbers(site, "weight", 1.0) / np.sqrt(variance + self.eps)
        shift = self._numbers(site, "bias", 0.0) - mean * scale

        if site.passed_by is not None:
            scale[-1], shift[-1] = 1, 0
        return (site.stage(Affine(scale=scale, shift=shift, axes=site.signal.axes)),)

    def export(self, place: ExportPlace) -> None:
        """Add a BatchNormalization to the graph."""
        defaults = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
        inputs = [self._exported(place, name, default) for name, default in defaults.items()]
        place.graph.node("BatchNormalization", *inputs, epsilon=float(self.eps))


@layer("prelu")
@dataclass(frozen=True)
class PreluLayer(PerChannelLayer):
    """x where x >= 0, else a learned slope times x: one slope for all channels, or one for each.

    slopes : how many there are; the model file says so, and training has one by default
    He, Zhang, Ren and Sun (2015), https://arxiv.org/abs/1502.01852
    """

    slopes: NumberOf | None = None

    example: ClassVar[str] = "prelu"
    trainable: ClassVar[bool] = True
    _other_shapes: ClassVar[tuple[tuple[int, ...], ...]] = ((1,),)

    def channels(self, tensors: LayerTensors) -> tuple[int, int] | None:
        """Return (n, n) for n slopes; None if one slope is that of all channels."""
        count = tensors.weight.size
        if self.slopes not in {None, count}:
            raise self.call.error(f"{tensors.found}, which is another layer")
        return None if count == 1 else (count, count)

    def untrained(self, channels: int) -> dict[str, Tensor]:
        """The slopes, all 0. RequestError unless there is one slope, or one for each channel."""
        count = self.slopes or 1
        if count not in {1, channels}:
            message = f"prelu has 1 slope or {channels}, one for each channel"
            raise self.call.error(message, hint=f"prelu:{channels}")
        return {"weight": np.zeros(count)}

    def export(self, place: ExportPlace) -> None:
        """Add a PRelu node to the graph."""
        slopes = place.graph.per_channel(place.tensors.weight)
        place.graph.node("PRelu", place.stored("weight", slopes))

    def trained(self, ops: tuple[Op, ...]) -> tuple[TrainedLayer, ...]:
        """The rectifier with slopes that are learned."""
        return (TrainedPrelu(slopes=self.slopes or 1),)

    def bind(self, site: LayerSite) -> tuple[Stage, ...]:
        """Return one stage with one operation."""
        slopes = self._numbers(site, "weight")

        kept = None if site.passed_by is None else site.channels
        return (site.stage(sloped_rectifier(slopes, site.signal.axes, keeps=kept)),)


def sloped_rectifier(slopes: Tensor, axes: int, *, keeps: int | None = None) -> Pointwise:
    """x where x >= 0, else the slope of the channel times x.

    slopes : (channels,); keeps : the channel that is left alone, or None
    """

    def rectified(x: Array) -> Array:
        below: Any = np.minimum(x, 0) * slopes.astype(x.dtype)
        y: Array = np.maximum(x, 0) + below
        return y

    call: NNCall | NNArithmetic | None = None
    numbers = slopes.tolist()
    if keeps is None and len(set(numbers)) == 1:
        call = NNCall("leaky_relu", (numbers[0],))
    elif keeps is None:
        call = NNArithmetic("leaky_relu({x}, {slope})", (("slope", tuple(numbers)),))
    return Pointwise(function=rectified, axes=axes, keeps=keeps, alike=False, nn_call=call)


@dataclass(frozen=True, kw_only=True)
class TrainedPrelu(TrainedLayer):
    """A rectifier in training; `slopes` : one for all channels, or one for each."""

    slopes: int

    pointwise = True
    homogeneous = True

    def needs(self, outputs: Span) -> Span:
        """Return the outputs: each reads the sample at its own place."""
        return outputs

    @property
    def learned(self) -> tuple[LearnedTensor, ...]:
        """The slopes, which do not decay."""
        return (LearnedTensor(name="weight", shape=(self.slopes,), decays=False),)

    def started(self, random: np.random.Generator) -> Tensors:
        """Slopes of a quarter, as in torch and in the paper."""
        return {"weight": np.full(self.slopes, 0.25)}

    def for_batches(self, batch: BatchShape) -> BatchPrelu:
        """Return what computes the rectifier for mini-batches of this shape."""
        return BatchPrelu(self.slopes, batch)


class BatchPrelu(BatchLayer):
    """Computes a rectifier of learned slopes on mini-batches."""

    def __init__(self, slopes: int, batch: BatchShape) -> None:
        self.shared = slopes == 1
        self.slopes = np.zeros(slopes, batch.dtype)
        self.y = batch.outputs(batch.channels)
        self.below = batch.outputs(batch.channels)

    def load(self, tensors: Tensors) -> None:
        """Take the new slopes of the parameters."""
        self.slopes[...] = tensors["weight"]

    def forward(self, x: Array) -> Array:
        """Return x where x >= 0, else the slope of its channel times x."""
        np.minimum(x, 0, out=self.below)
        np.multiply(self.below, self.slopes, out=self.y)
        self.y += np.maximum(x, 0)
        return self.y

    def learn(self, dy: Array, gradients: Tensors) -> None:
        """Write the derivative of each slope: the sum of dy times x over the samples below 0."""
        products = (dy * self.below).reshape(-1, dy.shape[-1])
        sums = products.sum(axis=0, dtype=np.float64)
        gradients["weight"][...] = sums.sum() if self.shared else sums

    def backward(self, dy: Array) -> Array:
        """Multiply by the slope where x < 0."""
        dy *= np.where(self.below < 0, self.slopes, np.ones((), self.slopes.dtype))
        return dy
