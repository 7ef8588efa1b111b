"""The network that `convcli learn` trains: read from its text, and checked against the task."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.binding import Rules
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.layers.training.changes import refuse_pools
from convcli.layers.training.layer_stack import untrained_network
from convcli.layers.training.trained import span_lengths
from convcli.learning.dataset import ReceptiveField

if TYPE_CHECKING:
    from convcli.core.chain import Chain
    from convcli.layers.layer import Layer
    from convcli.layers.training.layer_stack import LayerStack
    from convcli.layers.training.trained import TrainedLayer
    from convcli.learning.pairs import Channels
    from convcli.learning.task import Task
    from convcli.signals import Signal


@dataclass(frozen=True)
class TrainableNetwork:
    """A network whose weights are to be learned.

    layers : the layers as written
    numbers : indices of the layers that have weights
    field : the samples that one output reads
    residual : whether the input is added to the output
    """

    net: LayerStack
    layers: list[Layer]
    numbers: list[int]
    field: ReceptiveField
    residual: bool = False

    @property
    def text(self) -> str:
        """The layers as a model file says them."""
        return " | ".join(layer.call.text for layer in self.layers)

    def check_ahead(self) -> None:
        """Raise RequestError if an output reads samples after its own."""
        after = max(self.field.after)
        if after > 0:
            raise RequestError(
                f"the network would read {after} samples after the one that it predicts from",
                hint="--align causal",
            )

    def check_changes(self) -> None:
        """Raise RequestError if a layer cannot be used in a network that reads changes."""
        refuse_pools(self.layers)

    def check_residual(self, task: Task, channels: Channels) -> None:
        """Raise RequestError if the inputs cannot be added to the outputs, one to one."""
        hint = "without --residual"
        if any(step != 1 for step in self.field.step):
            raise RequestError(
                "--residual adds the input to the output, and the layers make fewer samples",
                hint=hint,
            )
        if task.targets and not set(task.targets) <= set(task.inputs):
            raise RequestError(
                "--residual adds the column that is predicted, and it is not among the inputs",
                hint="name it among -c, or leave --residual out",
            )
        if not task.targets and channels.inputs != channels.outputs:
            raise RequestError(
                f"--residual adds the input to the output: {channels.inputs} channels go in and "
                f"{channels.outputs} come out",
                hint=hint,
            )

    def blind(self) -> TrainableNetwork:
        """The network without the taps that read the sample it estimates.

        Raises RequestError if the sample would come back through its neighbours.
        """
        hint = "conv:16,65 | relu | conv:1,1"
        wide = []
        for number, layer in enumerate(self.net.layers):
            if not _reads_one_sample(layer, self.net.axes):
                wide.append((number, layer))
        if not wide:
            raise RequestError(
                "--blind: the sample has no neighbours in a conv of one tap", hint=hint
            )
        number, first = wide[0]
        if len(wide) > 1 or first is not self.net.weighted[0] or not self.field.one_each:
            raise RequestError(
                "--blind: none but the first conv may have a width, "
                "or the sample comes back through its neighbours",
                hint=hint,
            )
        own_tap = first.own_tap(self.field.before)
        if own_tap is None:
            return self  # no tap reads the sample
        return replace(self, net=replace(self.net, blind=(number, own_tap)))


def _reads_one_sample(layer: TrainedLayer, axes: int) -> bool:
    """Whether an output of a layer reads one sample."""
    needed = layer.needs(((0, 1),) * axes)
    return math.prod(span_lengths(needed)) == 1


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
    if task.residual:
        network.check_residual(task, channels)
    network = replace(network, residual=task.residual)
    if task.blind:
        return network.blind()
    return network


def read_network(text: str, signal: Signal, channels: Channels, rules: Rules) -> TrainableNetwork:
    """The network that `text` says, for signals of one kind."""
    names = tuple(str(number) for number in range(1, channels.inputs + 1))
    inputs = replace(
        signal, shape=(None,) * signal.axes, channels=names, alpha=None, full_scale=1.0
    )
    network = untrained_network(text, inputs, rules)
    net = network.net
    made = net.outputs
    if made != channels.outputs:
        last_weighted = network.layers[network.weighted[-1]]
        name = last_weighted.call.name
        raise last_weighted.call.error(
            f"the last {name} makes {made} channel{'s' * (made != 1)}, "
            f"and the target has {channels.outputs}",
            hint=f"{name}:{channels.outputs},SIZE",
        )
    field = _receptive_field(net, network.chain)
    return TrainableNetwork(net, network.layers, network.weighted, field)


def _receptive_field(net: LayerStack, chain: Chain) -> ReceptiveField:
    """What the outputs read. RequestError if there are more of them than samples."""
    zero = np.zeros(1, np.int64)
    fields = []
    for axis in range(chain.axes):
        start = int(chain.aligned_input(axis, zero)[0])
        fields.append(_field_along(net, axis, start))
    before, after, step, starts, lead, cell = zip(*fields, strict=True)
    return ReceptiveField(before=before, after=after, step=step, start=starts, lead=lead, cell=cell)


def _field_along(net: LayerStack, axis: int, start: int) -> tuple[int, int, int, int, int, int]:
    """The receptive field along an axis, in the order of its fields."""
    inputs, outputs = net.cell[axis]
    if inputs % outputs:
        raise RequestError(
            f"the layers make {outputs} outputs of {inputs} input{'s' * (inputs != 1)}, "
            "and a target has one for every sample",
            hint="begin with layers that make fewer samples (conv:8,4,stride=2, pixel_unshuffle), "
            "and bring a smaller input to the size of the target before (upsample:2)",
        )
    step = inputs // outputs
    # Each output of a cell reads other samples beside its own.
    before, after = [], []
    for number in range(outputs):
        low, high = net.needs(((number, number + 1),) * net.axes)[axis]
        own = start + number * step
        before.append(own - low)
        after.append(high - 1 - own)
    return max(before), max(after), step, start, before[0], outputs
