"""Layers with numbers for each channel: batch normalisation, and rectifiers of learned slopes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convcli.core.ops import Pointwise
from convcli.layers.affine import Affine
from convcli.layers.layer import Layer, layer
from convcli.units import Number

if TYPE_CHECKING:
    from convcli.core.binding import Stage
    from convcli.layers.layer import LayerSite, LayerTensors
    from convcli.layers.weights import Tensor
    from convcli.signals import Array


@dataclass(frozen=True, kw_only=True)
class PerChannelLayer(Layer):
    """A layer that treats every sample by numbers of its channel."""

    weighted: ClassVar[bool] = True
    untrainable_hint: ClassVar[str | None] = "it runs in networks that were trained elsewhere"

    def _numbers(self, site: LayerSite, name: str, default: float | None = None) -> Tensor:
        """A tensor with a number for each channel that the layer gets, (channels,).

        A channel that goes past the layer gets the last number, which is not used.
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

    def channels(self, tensors: LayerTensors) -> tuple[int, int] | None:
        """Return the number of means twice: as many channels go in as come out."""
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


@layer("prelu")
@dataclass(frozen=True, kw_only=True)
class PreluLayer(PerChannelLayer):
    """x where x >= 0, else a learned slope times x: one slope for all channels, or one for each.

    He, Zhang, Ren and Sun (2015), https://arxiv.org/abs/1502.01852
    """

    example: ClassVar[str] = "prelu"
    _other_shapes: ClassVar[tuple[tuple[int, ...], ...]] = ((1,),)

    def channels(self, tensors: LayerTensors) -> tuple[int, int] | None:
        """Return the number of slopes twice; None if there is one for all channels."""
        count = tensors.weight.size
        return None if count == 1 else (count, count)

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

    return Pointwise(function=rectified, axes=axes, keeps=keeps, alike=False)
