"""Networks in training.

Their layers, the sizes of what goes through them, and where their weights lie in a vector.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.binding import Site
from convcli.core.chain import Chain
from convcli.errors import nearest
from convcli.layers.conv import TrainedConv
from convcli.layers.layer import layer_kinds, read_layers
from convcli.layers.model import Model
from convcli.layers.network import Network

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from convcli.core.binding import Rules
    from convcli.errors import RequestError
    from convcli.layers.layer import Layer
    from convcli.layers.trained import Sizes, TrainedLayer, Vector
    from convcli.layers.weights import Tensor
    from convcli.signals import Signal


@dataclass(frozen=True)
class PlacedLayer:
    """A layer that gets `given` samples and makes `made`, on each axis."""

    layer: TrainedLayer
    given: Sizes
    made: Sizes


@dataclass(frozen=True)
class Net:
    """Layers one after the other.

    All that is learned is one vector: of each layer the weights, then the bias.

    blind : a tap of the first layer with weights, on each axis, that stays 0, so that no output
        sees its own sample
    """

    layers: tuple[TrainedLayer, ...]
    blind: Sizes | None = None

    @classmethod
    def of(cls, layers: Iterable[TrainedLayer]) -> Net:
        """The network of these layers.

        A layer takes in a mean or sum over windows side by side before it.
        """
        joined: list[TrainedLayer] = []
        for layer in layers:
            both = layer.absorbing(joined[-1]) if joined else None
            if both is None:
                joined.append(layer)
            else:
                joined[-1] = both
        return cls(tuple(joined))

    @property
    def weighted(self) -> tuple[TrainedConv, ...]:
        """The layers that have weights."""
        return tuple(layer for layer in self.layers if isinstance(layer, TrainedConv))

    @property
    def pools(self) -> bool:
        """Whether there is a pool, taken in by another layer or not."""
        absorbed = any(math.prod(layer.pool) > 1 for layer in self.weighted)
        return absorbed or any(not (each.parameters or each.pointwise) for each in self.layers)

    @property
    def parameters(self) -> int:
        """Number of parameters: weights and biases of all layers."""
        return sum(layer.parameters for layer in self.layers)

    @cached_property
    def left_out(self) -> npt.NDArray[np.int64]:
        """Indices of the parameters that stay 0."""
        numbers = np.zeros(self.parameters)
        if self.blind is not None:
            weights, _ = self.tensors(numbers)[0]
            tap: Any = (slice(None), slice(None), *self.blind)
            weights[tap] = 1
        return np.flatnonzero(numbers)

    def laid_out(self, outputs: Sizes) -> list[PlacedLayer]:
        """The layers in their fastest forms, with the sizes that make at least so many outputs."""
        found: list[PlacedLayer] = []
        for number, layer in reversed(list(enumerate(self.layers))):
            leads = not any(earlier.parameters for earlier in self.layers[:number])
            fitted = layer.fitted(outputs, leads=leads)
            made = fitted.rounded(outputs)
            outputs = fitted.reads(made)
            found.append(PlacedLayer(fitted, outputs, made))
        found.reverse()
        for number, place in enumerate(found[1:], 1):
            # The layer before may make more than is read. A pointwise layer then makes as many.
            given = found[number - 1].made
            made = given if place.layer.pointwise else place.made
            found[number] = replace(place, given=given, made=made)
        return found

    def reads(self, outputs: Sizes) -> Sizes:
        """How many inputs so many outputs read, and no more."""
        for layer in reversed(self.layers):
            outputs = layer.reads(outputs)
        return outputs

    def first(self, output: Sizes) -> Sizes:
        """The first input that an output reads, on each axis.

        The index is absolute, as those of a Reach.
        """
        for layer in reversed(self.layers):
            output = layer.first(output)
        return output

    def started(self, random: np.random.Generator) -> Vector:
        """Weights to begin with.

        They are uniform in +-1 / sqrt(inputs to an output), as in torch (He et al. 2015).
        """
        parts = []
        for layer in self.weighted:
            fan_in = layer.weight_count // layer.outputs
            bound = 1 / math.sqrt(fan_in)
            parts.append(random.uniform(-bound, bound, layer.parameters))
        numbers = np.concatenate(parts)
        numbers[self.left_out] = 0
        return numbers

    def parts(self, numbers: Vector) -> list[Vector]:
        """Views of the numbers of each layer; empty for a layer without."""
        ends = np.cumsum([layer.parameters for layer in self.layers])
        return np.split(numbers, ends[:-1])

    def tensors(self, numbers: Vector) -> list[tuple[Vector, Vector | None]]:
        """Views of weights (out, in / groups, k...) and biases (out,), for each weighted layer."""
        parts = [part for part in self.parts(numbers) if part.size]
        return [layer.tensors(part) for layer, part in zip(self.weighted, parts, strict=True)]


# --------------------------------------------------------------------------- from text to a network


@dataclass(frozen=True)
class UntrainedNetwork:
    """A network to be trained.

    layers : as written; net : as training sees them; chain : as they run, with weights that are all
        0
    """

    layers: list[Layer]
    net: Net
    chain: Chain

    @property
    def weighted(self) -> list[int]:
        """The numbers of the layers with weights, counted from 0."""
        return [number for number, layer in enumerate(self.layers) if layer.weighted]


def untrained_network(text: str, signal: Signal, rules: Rules) -> UntrainedNetwork:
    """The network that `text` says, for signals like `signal`.

    RequestError points at what cannot be trained.
    """
    layers = read_layers(text, signal)
    tensors = _empty_tensors(layers, len(signal.channels))
    model = Model(path="--layers", layers=text, tensors=tensors)
    network = Network(model, layers, Site(signal=signal, rules=rules))
    (stage,) = network.stages()
    trained = [layer.trained(op) for layer, bound in network.bound for op in bound.ops]
    net = Net.of(layer for layer in trained if layer is not None)
    return UntrainedNetwork(layers, net, Chain(stage.ops, signal.axes))


def _empty_tensors(layers: list[Layer], channels: int) -> dict[int, dict[str, Tensor]]:
    """The tensors of layers that get `channels` channels, all 0, by the number of their layer."""
    tensors: dict[int, dict[str, Tensor]] = {}
    for number, layer in enumerate(layers):
        if not layer.trainable:
            raise _untrainable(layer)
        if layer.weighted:
            tensors[number] = layer.untrained(channels)
            channels = len(tensors[number]["weight"])
    if not tensors:
        raise layers[-1].call.error("no layer has weights to learn", hint="conv:1,5")
    return tensors


def _untrainable(layer: Layer) -> RequestError:
    """The error for a layer that cannot be trained."""
    name = layer.call.name
    trainable = [known for known, kind in layer_kinds().items() if kind.trainable]
    near = nearest(name, trainable)
    if layer.untrainable_hint is not None:
        hint = layer.untrainable_hint
    elif near is not None:
        hint = f"did you mean {near}?"
    else:
        hint = f"layers to be trained are {', '.join(trainable)}"
    return layer.call.error(f"{name} cannot be trained", hint=hint)
