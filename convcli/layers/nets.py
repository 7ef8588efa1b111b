"""Networks as training knows them: layers, the sizes of what goes through them, and where their weights stand."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.activations import Activation
from convcli.core.ops import Convolve, Pointwise, Pool
from convcli.layers.bands import Band
from convcli.layers.conv import Complete, Conv

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from convcli.core.ops import Op
    from convcli.layers.bands import Sizes

    Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """A convolution layer: what it weighs, and the pool before it that it has taken in (1: none).

    shape : taps on each axis; inputs, outputs : channels; scale : what the sums of that pool are multiplied by
    """

    shape: Sizes
    inputs: int
    outputs: int
    step: Sizes
    dilation: Sizes
    before: Sizes
    groups: int = 1
    bias: bool = True
    pool: Sizes = ()
    scale: float = 1.0

    @classmethod
    def of(cls, op: Conv) -> Weighted:
        """The layer that runs as `op`."""
        out, part, *shape = op.weights.shape
        return cls(
            shape=tuple(shape),
            inputs=part * op.groups,
            outputs=out,
            step=op.step,
            dilation=op.dilation,
            before=op.before,
            groups=op.groups,
            bias=op.bias is not None,
            pool=(1,) * len(shape),
        )

    @property
    def band(self) -> Band:
        """The geometry of one group."""
        return Band(
            shape=self.shape,
            inputs=self.inputs // self.groups,
            outputs=self.outputs // self.groups,
            step=self.step,
            dilation=self.dilation,
            pool=self.pool,
        )

    @property
    def weights(self) -> tuple[int, ...]:
        """The shape of the weights, (out, in / groups, k...)."""
        return (self.outputs, self.inputs // self.groups, *self.shape)

    @property
    def parameters(self) -> int:
        """How many numbers are learned."""
        return math.prod(self.weights) + self.outputs * self.bias

    def reads(self, outputs: Sizes) -> Sizes:
        """How many inputs they read."""
        return self.band.reads(outputs)

    def first(self, output: Sizes) -> Sizes:
        """The first input that an output reads, counted from where the layer, or its pool, is at 0."""
        return tuple(
            (k * s - b) * p
            for k, s, b, p in zip(output, self.step, self.before, self.pool, strict=True)
        )


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """A pool over windows of `size`: a fold (np.fmax, np.fmin, np.add), times `scale`."""

    fold: Any
    size: Sizes
    step: Sizes
    before: Sizes
    scale: float = 1.0

    parameters = 0

    def reads(self, outputs: Sizes) -> Sizes:
        """How many inputs they read."""
        return tuple((m - 1) * s + n for m, s, n in zip(outputs, self.step, self.size, strict=True))

    def first(self, output: Sizes) -> Sizes:
        """The first input that an output reads."""
        return tuple(k * s - b for k, s, b in zip(output, self.step, self.before, strict=True))


@dataclass(frozen=True, kw_only=True)
class Activated:
    """A function of every sample."""

    function: Activation

    parameters = 0

    def reads(self, outputs: Sizes) -> Sizes:
        """As many as come out."""
        return outputs

    def first(self, output: Sizes) -> Sizes:
        """The sample itself."""
        return output


Layer = Weighted | Pooled | Activated


def layer_of(op: Op) -> Layer | None:
    """What of an operation training needs to know; None where it cannot be trained through."""
    if isinstance(op, Complete):
        op = op.op
    if isinstance(op, Conv):
        return Weighted.of(op)
    if isinstance(op, Pool):
        return Pooled(fold=op.fold, size=op.size, step=op.step, before=op.before)
    if isinstance(op, Convolve) and op.summarises:
        return Pooled(
            fold=np.add, size=op.taps.shape, step=op.step, before=op.before, scale=1 / op.divisor
        )
    if isinstance(op, Pointwise) and isinstance(op.function, Activation):
        return Activated(function=op.function)
    return None


# -------------------------------------------------------------------------------------------------- networks


@dataclass(frozen=True)
class Placed:
    """A layer that gets `given` samples and makes `made`, on each axis; `band` : how, where it has weights."""

    layer: Layer
    given: Sizes
    made: Sizes
    band: Band | None


@dataclass(frozen=True)
class Net:
    """Layers one after the other; means and sums over windows side by side are taken into the layer that follows.

    blind : the tap of the first layer with weights, on each axis, that stays 0, so that no output sees its own sample
    """

    layers: tuple[Layer, ...]
    blind: Sizes | None = None

    @classmethod
    def of(cls, layers: Iterable[Layer]) -> Net:
        """The network of these layers."""
        joined: list[Layer] = []
        for layer in layers:
            last = joined[-1] if joined else None
            if isinstance(layer, Weighted) and isinstance(last, Pooled) and _beside(last):
                joined[-1] = replace(layer, pool=last.size, scale=last.scale)
            else:
                joined.append(layer)
        return cls(tuple(joined))

    @property
    def weighted(self) -> tuple[Weighted, ...]:
        """The layers with weights."""
        return tuple(layer for layer in self.layers if isinstance(layer, Weighted))

    @property
    def parameters(self) -> int:
        """How many numbers there are."""
        return sum(layer.parameters for layer in self.layers)

    @cached_property
    def left_out(self) -> npt.NDArray[np.int64]:
        """Those of them that stay 0."""
        numbers = np.zeros(self.parameters)
        if self.blind is not None:
            at: Any = (slice(None), slice(None), *self.blind)
            self.tensors(numbers)[0][0][at] = 1
        return np.flatnonzero(numbers)

    def laid_out(self, outputs: Sizes) -> list[Placed]:
        """The layers with the sizes at which they make at least so many outputs."""
        found: list[Placed] = []
        for number in range(len(self.layers) - 1, -1, -1):
            layer, band = self.layers[number], None
            if isinstance(layer, Weighted):
                leads = not any(isinstance(earlier, Weighted) for earlier in self.layers[:number])
                band = layer.band
                # Without strides the gradient of the inputs is computed by another band.
                band = band.fastest(outputs, leads=leads or not band.strides)
                outputs = (*outputs[:-1], -(-outputs[-1] // band.count) * band.count)
            made, outputs = outputs, layer.reads(outputs)
            found.append(Placed(layer, outputs, made, band))
        found.reverse()
        for number, place in enumerate(found[1:], 1):
            # Of what the layer before makes beyond what is read, an activation makes as many.
            given = found[number - 1].made
            made = given if isinstance(place.layer, Activated) else place.made
            found[number] = replace(place, given=given, made=made)
        return found

    def reads(self, outputs: Sizes) -> Sizes:
        """How many inputs so many outputs read, and no more."""
        for layer in reversed(self.layers):
            outputs = layer.reads(outputs)
        return outputs

    def first(self, output: Sizes) -> Sizes:
        """The first input that an output reads, on each axis; absolute, as the indices of a Reach are."""
        for layer in reversed(self.layers):
            output = layer.first(output)
        return output

    def started(self, random: np.random.Generator) -> Vector:
        """Weights to begin with: even in +-1 / sqrt(inputs to an output), as torch begins (He et al. 2015)."""
        parts = []
        for layer in self.weighted:
            bound = 1 / math.sqrt(math.prod(layer.weights[1:]))
            parts.append(random.uniform(-bound, bound, layer.parameters))
        numbers = np.concatenate(parts)
        numbers[self.left_out] = 0
        return numbers

    def tensors(self, numbers: Vector) -> list[tuple[Vector, Vector | None]]:
        """Views of the weights (out, in / groups, k...) and biases (out,) of each layer that has some."""
        found, at = [], 0
        for layer in self.weighted:
            middle, end = at + math.prod(layer.weights), at + layer.parameters
            bias = numbers[middle:end] if layer.bias else None
            found.append((numbers[at:middle].reshape(layer.weights), bias))
            at = end
        return found


def _beside(pool: Pooled) -> bool:
    """Whether the windows of a sum lie side by side and begin where they stand."""
    return pool.fold is np.add and pool.step == pool.size and not any(pool.before)
