"""Naive answers to compare a learned filter with, such as the last value or the mean.

A naive answer is a set of weights, whose error follows from the same sums as that of the filter.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convcli.facts.learning import ErrorFacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convcli.array_types import FloatArray
    from convcli.core.correlation.normal_equations import ProductSums
    from convcli.learning.noise import NoiseEstimate
    from convcli.learning.pairs import Channels
    from convcli.learning.task import Task
    from convcli.learning.windows import ProvisionalMeans, SquaredChanges

    # A name, and weights (p + 1, out) whose last row is the bias.
    Answer = tuple[str, FloatArray]

FILTER = "the filter"
UNCHANGED = "as it is"


def naive_answers(
    task: Task,
    channels: Channels,
    train: ProductSums,
    means: ProvisionalMeans,
    identity: FloatArray | None,
) -> list[Answer]:
    """The answers that need no filter.

    identity : weights that return the sample itself, if an input is the target
    """
    shape = (channels.weights(task.taps) + 1, channels.outputs)
    mean = np.zeros(shape)
    mean[-1] = train.cross[-1] / max(1, train.count)
    if task.differences:
        no_change = _without_means(np.zeros(shape), channels, means)
        return [(persistence(task.ahead), no_change), ("today and the mean change", mean)]
    answers = []
    if identity is not None:
        name = persistence(task.ahead) if task.ahead else UNCHANGED
        answers.append((name, _without_means(identity, channels, means)))
        if not task.ahead and not task.blind:
            outputs = range(channels.outputs)
            gains = [_best_gain(train, identity[:, o], o, means) for o in outputs]
            scaled = _without_means(identity * gains, channels, means)
            answers.append(("the best gain", scaled))
    answers.append(("the mean", mean))
    return answers


def errors_of(
    answers: Sequence[Answer], noise: NoiseEstimate | None, *, train: ProductSums, held: ProductSums
) -> tuple[ErrorFacts, ...]:
    """Root mean squared errors; with a noise estimate, those against the clean signal."""

    def error(sums: ProductSums, w: FloatArray) -> float:
        clean = sums.error(w)
        if noise is not None:
            clean -= noise.excess(w)
        return math.sqrt(max(0.0, clean))

    found = []
    for name, w in answers:
        held_error = error(held, w) if held.count else None
        found.append(ErrorFacts(name=name, train=error(train, w), held=held_error))
    return tuple(found)


def persistence(ahead: int) -> str:
    """Name of the prediction that nothing changes."""
    return "tomorrow is like today" if ahead == 1 else f"the same as {ahead} before"


def identity_weights(task: Task, channels: Channels) -> FloatArray | None:
    """Weights (p + 1, out) that return the sample itself; None if no input is the target."""
    sources = [output // channels.phases for output in range(channels.outputs)]
    if task.targets and set(task.targets) <= set(task.inputs):
        sources = [task.inputs.index(target) for target in task.targets]
    elif channels.inputs * channels.phases != channels.outputs or (task.targets and task.ahead):
        return None
    weights = np.zeros((channels.inputs, *task.taps, channels.outputs))
    for o, source in enumerate(sources):
        weights[(source, *task.before, o)] = 1
    bias = np.zeros((1, channels.outputs))
    return np.concatenate([weights.reshape(-1, channels.outputs), bias])


def _without_means(w: FloatArray, channels: Channels, means: ProvisionalMeans) -> FloatArray:
    """Weights that give the same answer after provisional means are subtracted from all samples."""
    w = w.copy()
    gains = w[:-1].reshape(channels.inputs, -1, channels.outputs).sum(axis=1)
    w[-1] = np.broadcast_to(means.x, channels.inputs) @ gains - means.y
    return w


def _best_gain(train: ProductSums, identity: FloatArray, o: int, means: ProvisionalMeans) -> float:
    """The gain sum(x y) / sum(x x) of output `o`, from the sums of samples without their means."""
    tap = int(np.argmax(identity))
    n = train.count
    taps = (len(identity) - 1) // np.size(means.x)
    mean_x = np.ravel(means.x)[tap // taps]
    mean_y = np.broadcast_to(means.y, len(train.energy))[o]
    x = train.gram[tap, -1]
    y = train.cross[-1, o]
    of_means = n * mean_x
    products = train.cross[tap, o] + mean_x * y + mean_y * x + of_means * mean_y
    power = train.gram[tap, tap] + 2 * mean_x * x + of_means * mean_x
    return float(products / power) if power > 0 else 0.0


def with_persistence(
    naive: tuple[ErrorFacts, ...], task: Task, changes: Mapping[bool, SquaredChanges]
) -> tuple[ErrorFacts, ...]:
    """Add the prediction that nothing changes, if it is missing because no input is the target."""
    name = persistence(task.ahead)
    if not (task.ahead and task.targets) or any(each.name == name for each in naive):
        return naive
    train = changes[False].root_mean
    if train is None:
        return naive
    unchanged = ErrorFacts(name=name, train=train, held=changes[True].root_mean)
    return (unchanged, *naive)


def no_worse(errors: Sequence[ErrorFacts]) -> list[str]:
    """Names of the answers that are at least as good as the first one.

    Held-out errors decide, or training errors if nothing was held out.
    """
    learned, *others = [(each.name, _deciding(each)) for each in errors]
    return [name for name, error in others if error <= learned[1]]


def _deciding(error: ErrorFacts) -> float:
    return error.train if error.held is None else error.held
