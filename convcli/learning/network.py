"""The network to train: read from its text, and checked against the task."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.binding import Rules
from convcli.errors import RequestError
from convcli.layers.changes import refuse_pools
from convcli.layers.nets import untrained_network
from convcli.learning.dataset import ReceptiveField

if TYPE_CHECKING:
    from convcli.core.chain import Chain
    from convcli.layers.layer import Layer
    from convcli.layers.nets import Net
    from convcli.learning.pairs import Channels
    from convcli.learning.task import Task
    from convcli.signals import Signal


@dataclass(frozen=True)
class TrainableNetwork:
    """A network whose weights are to be learned.

    layers : as written; numbers : of the layers that have weights; field : what one output reads
    """

    net: Net
    layers: list[Layer]
    numbers: list[int]
    field: ReceptiveField

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
        """Raise RequestError if a layer has no place in a network of changes."""
        refuse_pools(self.layers)

    def blind(self) -> TrainableNetwork:
        """The network without the taps that read the sample it estimates.

        Raises RequestError if the sample would come back through its neighbours.
        """
        hint = "conv:16,65 | relu | conv:1,1"
        first, *others = self.net.weighted
        wide = [layer for layer in others if math.prod(layer.shape) > 1]
        if wide or self.net.pools:
            raise RequestError(
                "--blind: none but the first conv may have a width, "
                "or the sample comes back through its neighbours",
                hint=hint,
            )
        own_tap = []
        sides = zip(self.field.before, first.op.dilation, first.shape, strict=True)
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
    network = untrained_network(text, inputs, rules)
    net = network.net
    made = net.weighted[-1].outputs
    if made != channels.outputs:
        last_conv = network.layers[network.weighted[-1]]
        raise last_conv.call.error(
            f"the last conv makes {made} channel{'s' * (made != 1)}, "
            f"and the target has {channels.outputs}",
            hint=f"conv:{channels.outputs},SIZE",
        )
    field = _receptive_field(net, network.chain)
    return TrainableNetwork(net, network.layers, network.weighted, field)


def _receptive_field(net: Net, chain: Chain) -> ReceptiveField:
    ones = (1,) * chain.axes
    first = np.array(net.first((0,) * chain.axes))
    last = first + net.reads(ones) - 1
    output = np.zeros(1, np.int64)
    start = np.array([chain.aligned_input(axis, output)[0] for axis in range(chain.axes)])
    return ReceptiveField(
        before=tuple((start - first).tolist()),
        after=tuple((last - start).tolist()),
        step=tuple((net.first(ones) - first).tolist()),
        start=tuple(start.tolist()),
    )
