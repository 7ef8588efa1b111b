"""The layers of a network in training: their sizes, and where their weights lie in one vector.

`untrained_network` makes them from the text of a network.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.binding import Site
from convcli.core.chain import Chain
from convcli.dataclass import dataclass
from convcli.errors import nearest
from convcli.layers.layer import LayerTensors, layer_kinds, read_layers
from convcli.layers.model import Model
from convcli.layers.network_binder import NetworkBinder
from convcli.layers.training.trained import span_lengths

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.array_types import IntArray, Sizes
    from convcli.core.binding import Rules
    from convcli.core.op import Span
    from convcli.errors import RequestError
    from convcli.layers.layer import Layer
    from convcli.layers.training.trained import TrainedLayer, Vector
    from convcli.layers.weights import Tensor
    from convcli.signals import Signal


@dataclass(frozen=True)
class PlacedLayer:
    """A layer that gets the samples `given` and makes the samples `made`, on each axis."""

    layer: TrainedLayer
    given: Span
    made: Span


@dataclass(frozen=True)
class LayerStack:
    """The layers of a network in training, one after the other.

    All that is learned is one vector: of each layer the weights, then the bias.

    axes, channels : of what the network gets
    blind : number of a layer and one of its taps, on each axis, that stays 0, so that no output
        sees its own sample
    """

    layers: tuple[TrainedLayer, ...]
    axes: int
    channels: int
    blind: tuple[int, Sizes] | None = None

    @classmethod
    def of(cls, layers: Iterable[TrainedLayer], axes: int, channels: int) -> LayerStack:
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
        return cls(tuple(joined), axes, channels)

    @property
    def weighted(self) -> tuple[TrainedLayer, ...]:
        """The layers that learn."""
        return tuple(layer for layer in self.layers if layer.parameters)

    @property
    def outputs(self) -> int:
        """How many channels come out."""
        channels = self.channels
        for layer in self.layers:
            channels = layer.output_channels(channels)
        return channels

    @property
    def parameters(self) -> int:
        """Number of parameters: weights and biases of all layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def decays(self) -> Vector:
        """1 for parameters that a decay of the weights makes smaller, 0 for others."""
        return np.concatenate([layer.decays for layer in self.layers])

    @cached_property
    def left_out(self) -> IntArray:
        """Indices of the parameters that stay 0."""
        if self.blind is None:
            return np.zeros(0, np.int64)
        number, tap = self.blind
        before = sum(layer.parameters for layer in self.layers[:number])
        return before + self.layers[number].numbers_of_tap(tap)

    @cached_property
    def cell(self) -> tuple[tuple[int, int], ...]:
        """After how many inputs and outputs the pattern of what is read repeats, on each axis."""
        return tuple(self._cell_along(axis) for axis in range(self.axes))

    def _cell_along(self, axis: int) -> tuple[int, int]:
        inputs = outputs = 1
        for layer in reversed(self.layers):
            if layer.pace is None:
                continue
            taken, made = layer.pace[axis]
            # The samples between two layers have to be a whole number.
            more = made // math.gcd(inputs * taken, made)
            outputs *= more
            inputs = inputs * more * taken // made
        return inputs, outputs

    @property
    def takes_input_unit(self) -> TrainedLayer | None:
        """The layer whose weights can take up a unit of the inputs; None if there is none."""
        return _taking_unit(self.layers)

    @property
    def takes_output_unit(self) -> TrainedLayer | None:
        """The layer whose weights can take up a unit of the outputs; None if there is none."""
        return _taking_unit(reversed(self.layers))

    def laid_out(self, outputs: Sizes) -> list[PlacedLayer]:
        """The layers in their fastest forms, with the samples that make at least so many outputs.

        Outputs are counted from the beginning of a cell.
        """
        found: list[PlacedLayer] = []
        wanted: Span = tuple((0, count) for count in outputs)
        for number, layer in reversed(list(enumerate(self.layers))):
            leads = not any(earlier.parameters for earlier in self.layers[:number])
            counts = span_lengths(wanted)
            fitted = layer.fitted(counts, leads=leads)
            made = _of_lengths(wanted, fitted.rounded(counts))
            wanted = fitted.needs(made)
            found.append(PlacedLayer(fitted, wanted, made))
        found.reverse()
        for number, place in enumerate(found[1:], 1):
            # The layer before may make more than is read. A pointwise layer then makes as many.
            given = found[number - 1].made
            made = place.made
            if place.layer.pointwise:
                made = _of_lengths(made, span_lengths(given))
            found[number] = replace(place, given=given, made=made)
        return found

    def needs(self, outputs: Span) -> Span:
        """The inputs that outputs read, and no more, on each axis."""
        for layer in reversed(self.layers):
            outputs = layer.needs(outputs)
        return outputs

    def reads(self, outputs: Sizes) -> Sizes:
        """How many inputs so many outputs read, the first of which is the first of a cell."""
        return span_lengths(self.needs(tuple((0, count) for count in outputs)))

    def started(self, random: np.random.Generator) -> Vector:
        """Parameters to begin training with."""
        numbers = np.concatenate([layer.started(random) for layer in self.layers])
        numbers[self.left_out] = 0
        return numbers

    def parts(self, numbers: Vector) -> list[Vector]:
        """Views of the numbers of each layer; empty for a layer without."""
        ends = np.cumsum([layer.parameters for layer in self.layers])
        return np.split(numbers, ends[:-1])

    def tensors(self, numbers: Vector) -> list[dict[str, Vector]]:
        """Views of the tensors of each layer that learns, by their names in the file."""
        parts = [part for part in self.parts(numbers) if part.size]
        return [layer.tensors(part) for layer, part in zip(self.weighted, parts, strict=True)]


def _taking_unit(layers: Iterable[TrainedLayer]) -> TrainedLayer | None:
    """The first layer that can take up a unit, if a factor goes unchanged through those before."""
    for layer in layers:
        if layer.takes_units:
            return layer
        if not layer.homogeneous:
            break
    return None


def _of_lengths(span: Span, counts: Sizes) -> Span:
    """Samples from the first ones of `span` on, so many on each axis."""
    sides = zip(span, counts, strict=True)
    return tuple((low, low + count) for (low, _), count in sides)


# --------------------------------------------------------------------------- from text to a network


@dataclass(frozen=True)
class UntrainedNetwork:
    """A network to be trained.

    layers : as written; net : as training sees them; chain : as they run, with weights that count
        the parameters
    """

    layers: list[Layer]
    net: LayerStack
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
    tensors = _numbered_tensors(layers, len(signal.channels))
    model = Model(path="--layers", layers=text, tensors=tensors)
    network = NetworkBinder(model, layers, Site(signal=signal, rules=rules))
    (stage,) = network.stages()
    trained: list[TrainedLayer] = []
    for layer, bound in network.bound:
        trained += layer.trained(bound.ops)
    net = LayerStack.of(trained, signal.axes, len(signal.channels))
    return UntrainedNetwork(layers, net, Chain(stage.ops, signal.axes))


def _numbered_tensors(layers: list[Layer], channels: int) -> dict[int, dict[str, Tensor]]:
    """The tensors of layers that get `channels` channels, by the number of their layer.

    To learn which weight of an operation is which parameter, the network is bound once with the
    values 1, 2, 3 ... as weights; `Layer.trained` reads them back.
    """
    tensors: dict[int, dict[str, Tensor]] = {}
    for number, layer in enumerate(layers):
        if not layer.trainable:
            raise _untrainable(layer)
        if not layer.weighted:
            channels = layer.channels_after(channels)
            continue
        tensors[number] = _numbered_weights(layer.untrained(channels))
        known = layer.channels(LayerTensors("--layers", number, tensors[number]))
        if known is not None:
            _, channels = known
    if not tensors:
        raise layers[-1].call.error("no layer has weights to learn", hint="conv:1,5")
    return tensors


def _numbered_weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the same shapes that hold 1, 2, 3, ..."""
    found = {}
    first = 1
    for name, tensor in tensors.items():
        last = first + tensor.size
        found[name] = np.arange(first, last, dtype=np.float64).reshape(tensor.shape)
        first = last
    return found


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
