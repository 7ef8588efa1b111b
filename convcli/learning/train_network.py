"""Learning a network: its data in memory, its training, and its errors beside a filter's.

Samples are scaled first: a mean is subtracted from each channel, which is divided by a unit.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError
from convcli.facts.learning import EpochFacts, ErrorFacts, LearningFacts, TrainingFacts
from convcli.learning.dataset import load_signals, open_dataset, rows_where, target_powers
from convcli.learning.learned_model import learned_model
from convcli.learning.least_squares import fit_linear, with_powers
from convcli.learning.magnitudes import LEAST_POWER, too_large, too_small
from convcli.learning.trainable_network import network_for
from convcli.learning.trainer import Trainer
from convcli.running.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convcli.array_types import BoolArray
    from convcli.layers.training.layer_stack import LayerStack
    from convcli.learning.dataset import Dataset, ReceptiveField, TrainingSignal
    from convcli.learning.learned_model import LearnedModel
    from convcli.learning.least_squares import LinearFit
    from convcli.learning.pairs import Pair
    from convcli.learning.task import Task
    from convcli.learning.trainable_network import TrainableNetwork
    from convcli.learning.trainer import Callbacks, History, TrainingOptions
    from convcli.signals import Array

    # Samples of one signal, and which of them are trained on.
    Masked = tuple[Array, BoolArray]


# A channel whose variance is less than this part of its power is constant but for rounding.
LEAST_VARIANCE_OF_CHANNEL = 1e-18


@dataclass(frozen=True)
class ChannelScale:
    """Mean that is subtracted from each channel, and unit that it is divided by: (channels,)."""

    mean: Array
    unit: Array

    def apply(self, samples: Array) -> None:
        """Scale samples, (..., channels), in place."""
        np.subtract(samples, self.mean, out=samples, casting="same_kind")
        np.divide(samples, self.unit, out=samples, casting="same_kind")

    def pairs(self) -> list[list[float]]:
        """Mean and unit of each channel."""
        return [[float(m), float(u)] for m, u in zip(self.mean, self.unit, strict=True)]

    def of_phases(self, count: int) -> ChannelScale:
        """The scale with one pair for each `count` channels, which are samples of one channel."""
        if count == 1:
            return self
        mean = self.mean.reshape(-1, count).mean(axis=1)
        squares = np.square(self.unit) + np.square(self.mean)
        power = squares.reshape(-1, count).mean(axis=1) - np.square(mean)
        return ChannelScale(np.repeat(mean, count), np.repeat(np.sqrt(power), count))

    def unused(self) -> ChannelScale:
        """A scale that changes nothing."""
        return ChannelScale(np.zeros_like(self.mean), np.ones_like(self.unit))


@dataclass(frozen=True)
class Scaling:
    """Scales of inputs and targets; `phases` channels of the targets are samples of one channel."""

    inputs: ChannelScale
    targets: ChannelScale
    phases: int = 1

    def metadata(self) -> dict[str, list[list[float]]]:
        """Mean and unit of each input column and of each output column, for a model file."""
        return {"inputs": self.inputs.pairs(), "outputs": self.targets.pairs()[:: self.phases]}


def scale_signals(
    net: LayerStack, signals: Sequence[TrainingSignal], *, separate: bool, phases: int = 1
) -> Scaling:
    """Bring inputs and targets, in place, into units that suit gradient descent.

    separate : standardise every channel, as the model file will say. Otherwise all channels are
        divided by one factor, which the weights at that end of the network can take up, so that
        the network reads and makes samples in their own units.
    phases : number of target channels that are samples of one channel, and share its scale
    Raises InputError if nothing can be trained on, or the inputs are constant or too large.
    """
    inputs, constant = _scale_of([(each.x, each.train) for each in signals], separate=separate)
    if constant.all():
        raise InputError(
            "the input is constant where it is learned from: there is nothing to learn"
        )
    targets, _ = _scale_of([(each.y, each.train) for each in signals], separate=separate)
    targets = targets.of_phases(phases)
    if not separate and net.takes_input_unit is None:
        inputs = inputs.unused()
    if net.takes_output_unit is None:
        targets = targets.unused()
    for each in signals:
        inputs.apply(each.x)
        targets.apply(each.y)
    return Scaling(inputs, targets, phases)


def _scale_of(masked: Sequence[Masked], *, separate: bool) -> tuple[ChannelScale, BoolArray]:
    """The scale of all training samples, and which channels are constant.

    separate : mean and standard deviation of each channel; otherwise 0 and the root mean square
        of all channels
    """
    masks = [mask for _, mask in masked]
    count = sum(int(np.count_nonzero(mask)) for mask in masks)
    if not count:
        raise InputError(
            "no window is complete: too little data for these layers",
            hint="windows lie in one signal (or group) and hold no missing value, those of a "
            "picture no row that has one: more data or smaller layers",
        )
    squares = _mean_of(np.square, masked, count)
    if separate:
        mean = _mean_of(np.positive, masked, count)

        def squared_deviation(known: Array) -> Array:
            return np.square(known - mean)

        power = _mean_of(squared_deviation, masked, count)
    else:
        mean = np.zeros_like(squares)
        power = np.full_like(squares, squares.mean())
    if not np.isfinite(power).all():
        raise too_large()
    if (squares < LEAST_POWER).all() and _mean_of(np.abs, masked, count).any():
        raise too_small()
    constant = np.asarray(power <= LEAST_VARIANCE_OF_CHANNEL * squares)
    unit = np.where(constant, 1.0, np.sqrt(np.where(constant, 1.0, power)))
    return ChannelScale(mean, unit), constant


def _mean_of(function: Callable[[Array], Array], masked: Sequence[Masked], count: int) -> Array:
    """Mean of `function` over the training samples of each channel."""
    sums: list[Array] = []
    for values, mask in masked:
        sums += [function(known).sum(axis=0) for known in rows_where(values, mask)]
    return np.asarray(np.sum(sums, axis=0) / count)


# A linear layer with at most this many weights to one output is fitted for comparison.
COMPARED = 1500
NETWORK = "the network"


def train_network(
    task: Task,
    pairs: Sequence[Pair],
    layers: str,
    options: TrainingOptions,
    callbacks: Callbacks,
) -> LearnedModel:
    """The network of least squared error that training finds.

    The taps of the task are ignored: the layers have their own.
    Raises RequestError if the layers cannot be trained or do not fit the signals, or if training
    diverges; InputError if the data are too few, constant, or of different lengths; OutputError if
    neither memory nor a temporary file has room for the samples; TrainingStoppedError if a callback
    stops the training in its first epoch.
    """
    signal = pairs[0].source.signal
    network = network_for(layers, task, pairs[0])
    dataset = open_dataset(task, pairs)
    linear = fit_for_comparison(task, dataset, network.field)
    signals = _signals_in_memory(task, dataset, network, options)
    powers = target_powers(signals)
    if task.residual:
        _subtract_inputs(task, signals)
    separate = signal.medium.separate_channels
    phases = dataset.channels.phases
    scaling = scale_signals(network.net, signals, separate=separate, phases=phases)
    trainer = Trainer(network.net, options, signals, network.field)
    signals.clear()
    history = trainer.train(callbacks)
    trained = _TrainedNetwork(
        network=network, options=options, history=history, scaling=scaling, separate=separate
    )
    facts = trained.facts(linear, trained.error(trainer, linear))
    facts = with_powers(facts, powers, linear.noise, signal)
    model = learned_model(task, signal, facts, trained.tensors(), linear.noise)
    model = model.with_metadata(trained.metadata(task), trained.numbers())
    return replace(model, interrupted=history.interrupted)


def _signals_in_memory(
    task: Task, dataset: Dataset, network: TrainableNetwork, options: TrainingOptions
) -> list[TrainingSignal]:
    """The samples of all pairs.

    Levels of a column may be large and their changes small, so columns of a table stay in double
    precision until they are scaled.
    """
    separate = dataset.signal.medium.separate_channels
    dtype = None if separate else np.float32
    with Workers(options.threads) as workers:
        return load_signals(dataset, task, network.field, workers=workers, dtype=dtype)


def _subtract_inputs(task: Task, signals: Sequence[TrainingSignal]) -> None:
    """Subtract the inputs from the targets, in place: the network learns what to add to them."""
    sources = [task.inputs.index(target) for target in task.targets] or slice(None)
    for each in signals:
        each.y[...] -= each.x[..., sources]


def fit_for_comparison(task: Task, dataset: Dataset, field: ReceptiveField) -> LinearFit:
    """The errors of one linear layer that reads as much as the network, and of naive answers.

    Where that layer has too many weights, or too few windows, the naive answers alone.
    """
    taps = field.size
    task = replace(task, bias=True, ridge=None)
    if dataset.channels.weights(taps) <= COMPARED:
        try:
            linear = fit_linear(replace(task, taps=taps), dataset)
        except InputError:  # too few windows for so many taps
            pass
        else:
            name = f"one linear layer, {'x'.join(map(str, taps))} taps"
            errors = (replace(linear.error, name=name), *linear.naive)
            return replace(linear, facts=replace(linear.facts, errors=errors))
    few_taps = (3,) if task.blind else (1,)
    small = fit_linear(replace(task, taps=few_taps * len(taps)), dataset)
    return replace(small, facts=replace(small.facts, errors=small.naive))


@dataclass(frozen=True, eq=False, kw_only=True)
class _TrainedNetwork:
    """A network after its training.

    separate : whether each column was scaled by itself, as the model file then says; otherwise the
        first and the last layer take up the scaling
    """

    network: TrainableNetwork
    options: TrainingOptions
    history: History
    scaling: Scaling
    separate: bool

    @property
    def unit_power(self) -> float:
        """The squared error, in units of the target, of an error of 1 in the units of training."""
        return float(np.mean(np.square(self.scaling.targets.unit)))

    def error(self, trainer: Trainer, linear: LinearFit) -> ErrorFacts:
        """Root mean squared errors of the network in the units of the signal."""
        # The noise of a sample is an error that no estimate without this sample can avoid.
        noise = 0.0 if linear.noise is None else linear.noise.level**2
        errors = []
        with Workers(trainer.threads) as workers:
            for held_out in (False, True):
                parameters = self.history.parameters
                error = trainer.mean_squared_error(parameters, workers, held_out=held_out)
                clean = max(0.0, error * self.unit_power - noise)
                errors.append(math.sqrt(clean))
        train, held = errors
        return ErrorFacts(name=NETWORK, train=train, held=held if trainer.checked else None)

    def facts(self, linear: LinearFit, error: ErrorFacts) -> LearningFacts:
        """Facts of the network.

        linear : what it is compared with, which has read the same samples
        """
        network = self.network
        data = linear.facts
        return replace(
            data,
            layers=network.text,
            residual=network.residual,
            taps=(),
            bias=False,
            parameters=network.net.parameters - network.net.blind_count,
            ridge=0.0,
            tried=(),
            deficient=False,
            errors=(error, *data.errors),
            training=self._training_facts(),
        )

    def _training_facts(self) -> TrainingFacts:
        unit = math.sqrt(self.unit_power)
        losses = []
        for epoch in self.history.epochs:
            held = None if epoch.held is None else unit * math.sqrt(epoch.held)
            train = unit * math.sqrt(epoch.train)
            losses.append(EpochFacts(number=epoch.number, train=train, held=held))
        return TrainingFacts(
            epochs=self.history.last,
            best=self.history.best,
            seed=self.options.seed,
            batch=self.options.batch,
            rate=self.history.learning_rate,
            decay=self.options.weight_decay,
            restarts=self.history.restarts,
            losses=tuple(losses),
        )

    def tensors(self) -> dict[str, Array]:
        """Weights and biases by their names in torch.nn.Sequential."""
        net = self.network.net
        views = net.tensors(self.history.parameters)
        tensors = [{name: view.copy() for name, view in each.items()} for each in views]
        if not self.separate:
            # The network then reads and makes samples in their own units.
            for layer, own in zip(net.weighted, tensors, strict=True):
                if layer is net.takes_input_unit:
                    layer.take_input_unit(own, self.scaling.inputs.unit[0])
                if layer is net.takes_output_unit:
                    layer.take_output_unit(own, self.scaling.targets.unit[0])
        named: dict[str, Array] = {}
        for number, own in zip(self.network.numbers, tensors, strict=True):
            for name, tensor in own.items():
                named[f"{number}.{name}"] = tensor.astype(np.float32)
        return named

    def metadata(self, task: Task) -> dict[str, str]:
        """Metadata that says how to run a model that adds its input, reads changes or is scaled."""
        metadata = {}
        if task.residual:
            metadata["residual"] = "true"
        if task.differences:
            metadata["on"] = "differences"
        if self.separate:
            metadata["scaling"] = json.dumps(self.scaling.metadata(), allow_nan=False)
            metadata["units"] = "(value - mean) / unit, which scaling says"
        return metadata

    def numbers(self) -> dict[str, float]:
        """How the network was trained, for the model file."""
        return {
            "epochs": self.history.last,
            "best_epoch": self.history.best,
            "seed": self.options.seed,
            "batch": self.options.batch,
            "learning_rate": self.options.learning_rate,
            "weight_decay": self.options.weight_decay,
        }
