"""Learning from examples: the verb behind `convcli learn`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.learning.dataset import open_dataset
from convcli.learning.learned_model import learned_model
from convcli.learning.least_squares import check_weights, fit_linear
from convcli.learning.pairs import Channels, check_pairs
from convcli.learning.trainer import Callbacks, TrainingOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.learning.learned_model import LearnedModel
    from convcli.learning.least_squares import LinearFit
    from convcli.learning.pairs import Pair
    from convcli.learning.task import Task
    from convcli.signals import Array, Signal

# The layers that ask for a dense layer, which is solved and not trained.
DENSE = "dense"


def learn(
    task: Task,
    pairs: Sequence[Pair],
    *,
    layers: str | None = None,
    training: TrainingOptions | None = None,
    callbacks: Callbacks | None = None,
) -> LearnedModel:
    """Learn what turns inputs into their targets with the least squared error.

    layers : None solves for one linear layer, DENSE for a dense layer; other layers are trained
    Raises RequestError if pairs, layers and task do not fit each other or training diverges;
    InputError if the data are too few, constant, too large, of different lengths, or have no
    delay that stands out; TrainingStoppedError if a callback stops the training in its first epoch.
    """
    callbacks = callbacks or Callbacks()
    check_pairs(pairs, task.delay)
    if layers is None:
        return learn_filter(task, pairs, callbacks)
    # Networks are imported for those who train one: a filter starts sooner without them.
    if layers.strip() == DENSE:
        from convcli.learning.dense_layer import learn_dense_layer

        return learn_dense_layer(task, pairs)
    from convcli.learning.train_network import train_network

    return train_network(task, pairs, layers, training or TrainingOptions(), callbacks)


def pairs_at_rates(task: Task, pairs: Sequence[Pair], layers: str | None) -> list[Pair]:
    """The pairs, of which those know it whose target has as many samples as the layers make.

    Raises RequestError if the layers cannot be trained.
    """
    if layers is None or layers.strip() == DENSE or task.delay != ():
        return list(pairs)
    from convcli.learning.trainable_network import with_target_rates

    return with_target_rates(layers, task, pairs)


def learn_filter(task: Task, pairs: Sequence[Pair], callbacks: Callbacks) -> LearnedModel:
    """One linear layer of least squared error."""
    check_weights(task, Channels.of(task, pairs[0]))
    dataset = open_dataset(task, pairs)
    linear = fit_linear(task, dataset, callbacks.on_samples)
    return linear_model(task, linear, dataset.signal)


def linear_model(task: Task, linear: LinearFit, signal: Signal) -> LearnedModel:
    """The model of a layer that was solved for."""
    tensors: dict[str, Array] = {"0.weight": linear.weights}
    if linear.bias is not None:
        tensors["0.bias"] = linear.bias
    return learned_model(task, signal, linear.facts, tensors, linear.noise)
