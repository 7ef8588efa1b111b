"""The network to train: read from its text, and checked against the task."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.chain import Chain
from convcli.designs import find
from convcli.designs.learned import ConvLayer, Model
from convcli.errors import RequestError, nearest
from convcli.layers.changes import refuse_pool
from convcli.layers.nets import Net, Pooled, layer_of
from convcli.layers.networks import Network
from convcli.layers.written import written_layers
from convcli.learning.dataset import ReceptiveField
from convcli.planning.grammar import parse
from convcli.planning.plan import Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.core.ops import Op
    from convcli.learning.pairs import Channels
    from convcli.learning.task import Task
    from convcli.planning.grammar import Call
    from convcli.signals import Signal

TRAINABLE = (
    "conv",
    "relu",
    "leaky_relu",
    "tanh",
    "sigmoid",
    "avg_pool",
    "sum_pool",
    "max_pool",
    "min_pool",
)
# More weights in one layer could not be learned in a day.
MOST_WEIGHTS = 10_000_000


@dataclass(frozen=True)
class TrainableNetwork:
    """A network whose weights are to be learned.

    text : its layers, as a model file says them; numbers : of the layers that have weights
    field : what one output reads
    """

    net: Net
    text: str
    numbers: list[int]
    field: ReceptiveField

    def check_ahead(self) -> None:
        """Raise RequestError if an output reads samples after its own."""
        after = max(self.field.after)
        if after > 0:
            raise RequestError(
                f"the network would read {after} samples after the one that it predicts from",
                hint="--align causal",
            )

    def check_changes(self) -> None:
        """Raise RequestError if a layer has no place in a network of changes."""
        for call in parse(self.text):
            refuse_pool(call)

    def blind(self) -> TrainableNetwork:
        """The network without the taps that read the sample it estimates.

        Raises RequestError if the sample would come back through its neighbours.
        """
        hint = "conv:16,65 | relu | conv:1,1"
        first, *others = self.net.weighted
        wide = [layer for layer in others if math.prod(layer.shape) > 1]
        pools = [layer for layer in self.net.layers if isinstance(layer, Pooled)]
        absorbed = [layer for layer in self.net.weighted if math.prod(layer.pool) > 1]
        if wide or pools or absorbed:
            raise RequestError(
                "--blind: none but the first conv may have a width, "
                "or the sample comes back through its neighbours",
                hint=hint,
            )
        own_tap = []
        sides = zip(self.field.before, first.dilation, first.shape, strict=True)
        for before, dilation, size in sides:
            tap, between = divmod(before, dilation)
            if between or not 0 <= tap < size:
                return self  # no tap reads the sample
            own_tap.append(tap)
        if math.prod(first.shape) == 1:
            raise RequestError(
                "--blind: the sample has no neighbours in a conv of one tap", hint=hint
            )
        return replace(self, net=replace(self.net, blind=tuple(own_tap)))


def network_for(text: str, task: Task, signal: Signal, channels: Channels) -> TrainableNetwork:
    """The network that `text` says, fit for the task.

    Raises RequestError if the layers cannot be trained or do not fit the signal or the task.
    """
    rules = Rules(edge=signal.medium.edge, align=task.align)
    network = read_network(text, signal, channels, rules)
    if task.ahead:
        network.check_ahead()
    if task.differences:
        network.check_changes()
    if task.blind:
        return network.blind()
    return network


def read_network(text: str, signal: Signal, channels: Channels, rules: Rules) -> TrainableNetwork:
    """The network that `text` says, for signals of one kind."""
    names = tuple(str(i + 1) for i in range(channels.inputs))
    inputs = replace(
        signal, shape=(None,) * signal.axes, channels=names, alpha=None, full_scale=1.0
    )
    model, calls = _model_without_weights(text, inputs, rules)
    ops = _ops(model, calls[0], inputs, rules)
    layers = [layer_of(op) for op in ops]
    net = Net.of([layer for layer in layers if layer is not None])
    made = net.weighted[-1].outputs
    if made != channels.outputs:
        last_conv = calls[max(model.tensors)]
        raise last_conv.error(
            f"the last conv makes {made} channel{'s' * (made != 1)}, "
            f"and the target has {channels.outputs}",
            hint=f"conv:{channels.outputs},SIZE",
        )
    field = _receptive_field(net, Chain(ops, signal.axes))
    return TrainableNetwork(net, model.layers, list(model.tensors), field)


def _receptive_field(net: Net, chain: Chain) -> ReceptiveField:
    axes = range(chain.axes)
    zeros = (0,) * chain.axes
    ones = (1,) * chain.axes
    first = net.first(zeros)
    second = net.first(ones)
    reads = net.reads(ones)
    first_output = np.zeros(1, np.int64)
    start = tuple(int(chain.aligned_input(axis, first_output)[0]) for axis in axes)
    return ReceptiveField(
        before=tuple(start[a] - first[a] for a in axes),
        after=tuple(first[a] + reads[a] - 1 - start[a] for a in axes),
        step=tuple(second[a] - first[a] for a in axes),
        start=start,
    )


def _model_without_weights(text: str, signal: Signal, rules: Rules) -> tuple[Model, Sequence[Call]]:
    """The network with weights of the right shapes, all 0. RequestError points at bad layers."""
    layers = written_layers(text, signal, rules)
    calls = [layer.call for layer in layers]
    tensors: dict[int, dict[str, Any]] = {}
    channels = len(signal.channels)
    for number, layer in enumerate(layers):
        if layer.call.name not in TRAINABLE:
            raise layer.call.error(
                f"{layer.call.name} cannot be trained", hint=_instead(layer.call.name)
            )
        if isinstance(layer.spec, ConvLayer):
            tensors[number] = _empty_tensors(layer.call, layer.spec, channels)
            channels = len(tensors[number]["weight"])
    if not tensors:
        raise calls[-1].error("no layer has weights to learn", hint="conv:1,5")
    written = " | ".join(call.text for call in calls)
    return Model(path="--layers", layers=written, tensors=tensors), calls


def _empty_tensors(call: Call, conv: ConvLayer, channels: int) -> dict[str, Any]:
    if conv.out is None or conv.size is None:
        raise call.error(
            "a conv to be trained says how many channels it makes, and its taps",
            hint="conv:8,7",
        )
    if channels % conv.groups or conv.out % conv.groups:
        raise call.error(
            f"{conv.groups} groups do not share {channels} and {conv.out} channels evenly"
        )
    shape = (conv.out, channels // conv.groups, *conv.size)
    if math.prod(shape) > MOST_WEIGHTS:
        raise call.error(
            f"{math.prod(shape):,} weights in a layer; at most {MOST_WEIGHTS:,} are trained",
            hint="conv:8,7",
        )
    tensors = {"weight": np.zeros(shape)}
    if conv.bias is not False:
        tensors["bias"] = np.zeros(conv.out)
    return tensors


def _instead(name: str) -> str:
    near = nearest(name, list(TRAINABLE))
    if near is not None and "pool" not in name:
        return f"did you mean {near}?"
    if name in ("dense", "flatten"):
        return (
            "windows are cut anywhere, and it has a weight for each position; "
            "a conv of that width has none"
        )
    if name.startswith(("adaptive", "global")):
        return "it makes one answer of a whole signal, and the target has one for every sample"
    return f"layers to be trained are {', '.join(TRAINABLE)}"


def _ops(model: Model, call: Call, signal: Signal, rules: Rules) -> tuple[Op, ...]:
    layers = written_layers(model.layers, signal, rules)
    network = Network(model, layers, call=call, step=find("model"), signal=signal, rules=rules)
    (only,) = network.bound()
    for layer in layers:
        arguments = layer.call.arguments
        if layer.call.name == "leaky_relu" and arguments and arguments[0].text.startswith("-"):
            raise layer.call.error("a slope below 0 cannot be trained", hint="leaky_relu:0.1")
    return only.ops
