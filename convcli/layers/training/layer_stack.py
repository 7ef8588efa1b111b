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

    from convcli.array_types import Sizes
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

    All that is learned is one vector. `views` gives each layer its parameters in it, by name.

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
        """The layers that have parameters."""
        return tuple(layer for layer in self.layers if layer.parameters)

    @property
    def outputs(self) -> int:
        """Number of channels that come out."""
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
        decays = np.zeros(self.parameters)
        for layer, views in zip(self.layers, self.views(decays), strict=True):
            for parameter in layer.learned:
                views[parameter.name][...] = parameter.decays
        return decays

    @property
    def blind_count(self) -> int:
        """Number of parameters that training keeps at 0."""
        ones = np.ones(self.parameters)
        self.clear_blind(ones)
        return int(np.count_nonzero(ones == 0))

    def clear_blind(self, numbers: Vector) -> None:
        """Set the weights of the tap that no output sees to 0, in place."""
        if self.blind is not None:
            number, tap = self.blind
            views = self.views(numbers)[number]
            self.layers[number].weights_of_tap(views, tap)[...] = 0

    @cached_property
    def cell(self) -> tuple[tuple[int, int], ...]:
        """The inputs and outputs, on each axis, after which the pattern of what is read repeats."""
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
        """The layers in their fastest forms, with the samples that make at least these outputs.

        Outputs are counted from the beginning of a cell.
        """
        found: list[PlacedLayer] = []
        wanted: Span = tuple((0, count) for count in outputs)
        for number, layer in reversed(list(enumerate(self.layers))):
            learns_first = not any(earlier.parameters for earlier in self.layers[:number])
            counts = span_lengths(wanted)
            fitted = layer.fitted(counts, learns_first=learns_first)
            made = _of_lengths(wanted, fitted.rounded(counts))
            wanted = fitted.needs(made)
            found.append(PlacedLayer(fitted, wanted, made))
        found.reverse()
        for number, place in enumerate(found[1:], 1):
            # The layer before may make more than is read. A pointwise layer then makes more, too.
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
        """The inputs that a number of outputs read, the first of which is the first of a cell."""
        return span_lengths(self.needs(tuple((0, count) for count in outputs)))

    def started(self, random: np.random.Generator) -> Vector:
        """Initial values of all parameters."""
        numbers = np.zeros(self.parameters)
        for layer, views in zip(self.layers, self.views(numbers), strict=True):
            for name, values in layer.started(random).items():
                views[name][...] = values
        self.clear_blind(numbers)
        return numbers

    def views(self, numbers: Vector) -> list[dict[str, Vector]]:
        """Views of the parameters of each layer, by name, in a vector of all parameters.

        This is the one place that says where a parameter lies in the vector that an optimizer
        changes: in the order of the layers, and of `TrainedLayer.learned` in each.
        """
        found = []
        first = 0
        for layer in self.layers:
            of_layer = {}
            for parameter in layer.learned:
                last = first + parameter.size
                of_layer[parameter.name] = numbers[first:last].reshape(parameter.shape)
                first = last
            found.append(of_layer)
        return found

    def tensors(self, numbers: Vector) -> list[dict[str, Vector]]:
        """Views of the parameters of each layer that learns, by their names in the file."""
        return [views for views in self.views(numbers) if views]


def _taking_unit(layers: Iterable[TrainedLayer]) -> TrainedLayer | None:
    """The first layer that can take up a unit, if a factor goes unchanged through those before."""
    for layer in layers:
        if layer.takes_units:
            return layer
        if not layer.homogeneous:
            break
    return None


def _of_lengths(span: Span, counts: Sizes) -> Span:
    """`counts` samples on each axis, from the first ones of `span` on."""
    sides = zip(span, counts, strict=True)
    return tuple((low, low + count) for (low, _), count in sides)


# --------------------------------------------------------------------------- from text to a network


@dataclass(frozen=True)
class UntrainedNetwork:
    """A network to be trained.

    layers : as written; net : in training; chain : as they run, with weights of 0
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
    tensors = _untrained_tensors(layers, len(signal.channels))
    model = Model(path="--layers", layers=text, tensors=tensors)
    network = NetworkBinder(model, layers, Site(signal=signal, rules=rules))
    (stage,) = network.stages()
    trained: list[TrainedLayer] = []
    for layer, bound in network.bound:
        try:
            trained += layer.trained(bound.ops)
        except NotImplementedError:  # a pool of calendar bins
            name = layer.call.name
            raise layer.call.error(
                f"{name} cannot be trained in bins of the calendar",
                hint=f"--every makes rows regular first; {name}:2 takes two rows",
            ) from None
    net = LayerStack.of(trained, signal.axes, len(signal.channels))
    return UntrainedNetwork(layers, net, Chain(stage.ops, signal.axes))


def _untrained_tensors(layers: list[Layer], channels: int) -> dict[int, dict[str, Tensor]]:
    """The tensors of layers that get `channels` channels, all 0, by the number of their layer."""
    tensors: dict[int, dict[str, Tensor]] = {}
    for number, layer in enumerate(layers):
        if not layer.trainable:
            raise _untrainable(layer)
        if not layer.weighted:
            channels = layer.channels_after(channels)
            continue
        tensors[number] = layer.untrained(channels)
        known = layer.channels(LayerTensors("--layers", number, tensors[number]))
        if known is not None:
            _, channels = known
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
