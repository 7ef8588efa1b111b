"""The network that `convcli learn` trains: read from its text, and checked against the task."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from convcli.core.binding import Rules
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.layers.network_binder import CHECKED_LENGTH, refuse_pools
from convcli.layers.training.layer_stack import untrained_network
from convcli.layers.training.trained import span_lengths
from convcli.layers.training.trained_shuffle import TrainedSplitting
from convcli.learning.dataset import ReceptiveField
from convcli.learning.pairs import Channels
from convcli.learning.target_rate import target_rate
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.core.chain import Chain
    from convcli.layers.layer import Layer
    from convcli.layers.training.layer_stack import LayerStack, UntrainedNetwork
    from convcli.layers.training.trained import TrainedLayer
    from convcli.learning.pairs import Pair
    from convcli.learning.target_rate import TargetRate
    from convcli.learning.task import Task
    from convcli.signals import Signal


@dataclass(frozen=True)
class TrainableNetwork:
    """A network whose weights are to be learned.

    layers : the layers as written
    numbers : indices of the layers that have weights
    field : the samples that one output reads
    residual : whether the input is added to the output
    target_rate : of targets that have more or fewer samples than their inputs
    """

    net: LayerStack
    layers: list[Layer]
    numbers: list[int]
    field: ReceptiveField
    residual: bool = False
    target_rate: TargetRate | None = None

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

    def check_residual(self, task: Task, channels: Channels) -> None:
        """Raise RequestError if the inputs cannot be added to the outputs, one to one."""
        hint = "without --residual"
        if self.target_rate is not None or any(step != 1 for step in self.field.step):
            change = "fewer"
            if self.target_rate is not None and self.target_rate.phases > 1:
                change = "more"
            raise RequestError(
                f"--residual adds the input to the output, and the layers make {change} samples",
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


def network_for(text: str, task: Task, pair: Pair) -> TrainableNetwork:
    """The network that `text` says, fit for the task and a pair of signals.

    Raises RequestError if the layers cannot be trained or do not fit the signals or the task.
    """
    signal = pair.source.signal
    channels = Channels.of(task, pair)
    network = read_network(text, signal, channels, _training_rules(task, signal), pair.target_rate)
    if task.ahead:
        network.check_ahead()
    if task.differences:
        refuse_pools(network.layers)
    if task.residual:
        network.check_residual(task, channels)
    network = replace(network, residual=task.residual)
    if task.blind:
        return network.blind()
    return network


def with_target_rates(text: str, task: Task, pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs, with the rate of each target that has as many samples as the layers make.

    Where layers make fewer samples, a target may also have as many as its input. An output is then
    compared with the sample that it is aligned with.
    """
    if all(pair.target is None for pair in pairs):
        return list(pairs)
    signal = pairs[0].source.signal
    inputs = Channels.of(task, pairs[0]).inputs
    network = _untrained(text, signal, inputs, _training_rules(task, signal))
    made = [Fraction(outputs, inputs) for inputs, outputs in network.net.cell]
    if set(made) == {1}:
        return list(pairs)
    found = []
    for pair in pairs:
        rate = None if pair.target is None else target_rate(made, pair.source, pair.target)
        found.append(replace(pair, target_rate=rate))
    if any(pair.target_rate is not None for pair in found):
        _check_whole_rate(network.chain, made)
    return found


def _check_whole_rate(chain: Chain, made: Sequence[Fraction]) -> None:
    """Raise RequestError if layers that pad make fewer or more samples than a target has."""
    for axis, rate in enumerate(made):
        wanted = int(CHECKED_LENGTH * rate)
        count = chain.count(axis, CHECKED_LENGTH)
        if count != wanted:
            raise RequestError(
                f"the layers make {count:,} of {CHECKED_LENGTH:,} samples, and a target has "
                f"{wanted:,}",
                hint="a padding= that keeps the length, such as padding=same",
            )


def _training_rules(task: Task, signal: Signal) -> Rules:
    return Rules(edge=signal.medium.edge, align=task.align)


def _untrained(text: str, signal: Signal, channels: int, rules: Rules) -> UntrainedNetwork:
    """The network of the layers in `text`, for a signal like this with `channels` channels."""
    names = tuple(str(number) for number in range(1, channels + 1))
    inputs = replace(
        signal, shape=(None,) * signal.axes, channels=names, alpha=None, full_scale=1.0
    )
    return untrained_network(text, inputs, rules)


def read_network(
    text: str, signal: Signal, channels: Channels, rules: Rules, rate: TargetRate | None = None
) -> TrainableNetwork:
    """The network that `text` says, for signals of one kind and targets of a rate."""
    network = _untrained(text, signal, channels.inputs, rules)
    net = network.net
    made = net.outputs
    wanted = channels.outputs // channels.phases
    if made != wanted:
        last_weighted = network.layers[network.weighted[-1]]
        name = last_weighted.call.name
        raise last_weighted.call.error(
            f"the last {name} makes {plural(made, 'channel')}, and the target has {wanted}",
            hint=f"{name}:{wanted},SIZE",
        )
    starts = [network.chain.aligned_input(axis, 0) for axis in range(net.axes)]
    if rate is not None:
        # Output 0 is compared with sample 0 of the target, whatever it is aligned with.
        starts = [0] * net.axes
        net = replace(net, layers=(*net.layers, TrainedSplitting(rate.more)))
    field = _receptive_field(net, starts)
    return TrainableNetwork(net, network.layers, network.weighted, field, target_rate=rate)


def _receptive_field(net: LayerStack, starts: Sequence[int]) -> ReceptiveField:
    """What the outputs read. RequestError if there are more of them than samples.

    starts : the sample that output 0 is compared with, on each axis
    """
    fields = [_field_along(net, axis, start) for axis, start in enumerate(starts)]
    before, after, step, start, lead, cell = zip(*fields, strict=True)
    return ReceptiveField(before=before, after=after, step=step, start=start, lead=lead, cell=cell)


def _field_along(net: LayerStack, axis: int, start: int) -> tuple[int, int, int, int, int, int]:
    """The receptive field along an axis, in the order of its fields."""
    inputs, outputs = net.cell[axis]
    if inputs % outputs:
        raise RequestError(
            f"the layers make {outputs} outputs of {plural(inputs, 'input')}, "
            "and a target has one for every sample",
            hint="begin with layers that make fewer samples (conv:8,4,stride=2, pixel_unshuffle), "
            "or a target that has as many samples as the layers make",
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
