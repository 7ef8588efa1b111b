"""One linear layer of least squared error: normal equations, summed over all signals."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.correlation.normal_equations import ProductSums, solve
from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError
from convcli.facts.learning import LearningFacts, RidgeFacts
from convcli.learning.baselines import (
    FILTER,
    errors_of,
    identity_weights,
    naive_answers,
    with_persistence,
)
from convcli.learning.magnitudes import are_too_small, too_large, too_small
from convcli.learning.noise import estimate_noise, with_own_sample
from convcli.learning.pairs import PairReader
from convcli.learning.windows import ProvisionalMeans, SquaredChanges, WindowBatch, WindowStream
from convcli.running.workers import Workers
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convcli.array_types import BoolArray, FloatArray
    from convcli.core.correlation.normal_equations import Solution
    from convcli.facts.learning import ErrorFacts
    from convcli.learning.dataset import DataOrigin, Dataset
    from convcli.learning.noise import NoiseEstimate
    from convcli.learning.pairs import Channels
    from convcli.learning.task import Task
    from convcli.signals import Array, Signal

# The equations of a layer with more weights to one output would take over 300 MB.
MOST_WEIGHTS = 6000
# An input whose variance is less than this part of its power is constant but for rounding.
LEAST_VARIANCE_OF_INPUT = 1e-13


@dataclass(frozen=True, eq=False)
class LinearFit:
    """A linear layer with the facts of how it was learned.

    weights : (out, in, k...)
    bias : (out,) or None
    noise : the noise estimate of a blind filter, else None
    error : the errors of the layer; naive : those of the naive answers
    """

    weights: Array
    bias: Array | None
    noise: NoiseEstimate | None
    error: ErrorFacts
    naive: tuple[ErrorFacts, ...]
    facts: LearningFacts


@dataclass(eq=False)
class DatasetSums:
    """Sums of products over all windows of a dataset, for training and for held-out windows.

    means : the means that were subtracted from all samples
    changes : squared changes of a predicted target, for training (False) and held-out samples
    skipped : number of windows in which a value is missing
    """

    train: ProductSums
    held: ProductSums
    means: ProvisionalMeans
    changes: dict[bool, SquaredChanges]
    skipped: int

    @property
    def root_powers(self) -> tuple[float, float | None]:
        """Root mean square of the training targets, and of the held-out ones; None without any."""
        held = math.sqrt(self.held.power) if self.held.count else None
        return math.sqrt(self.train.power), held

    def add(self, other: DatasetSums) -> None:
        """Add the sums over other signals, whose samples may be less other means."""
        if not self.means.known:
            self.means = other.means
        for own, more in ((self.train, other.train), (self.held, other.held)):
            own.add(_about(more, other.means, self.means))
        for part, each in other.changes.items():
            self.changes[part].merge(each)
        self.skipped += other.skipped


def _about(sums: ProductSums, given: ProvisionalMeans, wanted: ProvisionalMeans) -> ProductSums:
    """The sums for samples minus the means `wanted`, from the sums for samples minus `given`.

    A window a and its target y become a + d and y + e, and the sums of products follow from those
    of a, of y and of 1.
    """
    if given is wanted or not given.known:
        return sums
    weights = len(sums.gram) - 1
    of_channels = given.x - wanted.x
    taps = weights // len(of_channels)
    d = np.repeat(of_channels, taps)[:, None]
    e = given.y - wanted.y
    count = sums.gram[-1, -1]
    of_windows = sums.gram[:-1, -1:]
    of_targets = sums.cross[-1].copy()
    cross = sums.cross + sums.gram[:, -1:] * e
    cross[:-1] += d * cross[-1]
    gram = sums.gram.copy()
    gram[:-1, :-1] += of_windows * d.T + d * of_windows.T + count * d * d.T
    gram[:-1, -1:] += count * d
    gram[-1, :-1] = gram[:-1, -1]
    of_shifts = count * e * e
    energy = sums.energy + 2 * e * of_targets + of_shifts
    return ProductSums(gram=gram, cross=cross, energy=energy)


def check_weights(task: Task, channels: Channels) -> None:
    """Raise RequestError if the equations would be too large."""
    count = channels.weights(task.taps)
    if count > MOST_WEIGHTS:
        raise RequestError(
            f"{count:,} weights to one output; at most {MOST_WEIGHTS:,} are solved for",
            hint="--taps",
        )


def fit_linear(
    task: Task, dataset: Dataset, on_samples: Callable[[int], None] = lambda _: None
) -> LinearFit:
    """The layer of least squared error from inputs to targets.

    Windows that leave their signal, or that hold a missing value, are skipped.
    on_samples : called with the number of samples that were read since the last call
    Raises InputError if the data are too few, constant or too large to be squared.
    """
    total: DatasetSums | None = None
    for unit in unit_sums(task, dataset, on_samples):
        if total is None:
            total = unit
        else:
            total.add(unit)
    if total is None:
        raise InputError("the input holds no samples")
    return solved_layer(task, dataset.origin, total)


def solved_layer(task: Task, origin: DataOrigin, sums: DatasetSums) -> LinearFit:
    """The layer of least squared error by the sums over a dataset.

    Raises InputError if the data are too few, constant or too large to be squared.
    """
    solution = _solved(task, origin.channels, sums)
    return _linear_fit(task, origin, sums, solution)


def unit_sums(
    task: Task, dataset: Dataset, on_samples: Callable[[int], None]
) -> Iterator[DatasetSums]:
    """Yield the sums over each pair of signals.

    They are added up in the order of the pairs, so that the result has the same bits however many
    machines the pairs were divided between.
    """
    channels = dataset.channels
    weights = channels.weights(task.taps)
    with Workers() as workers:
        for pair, lag in zip(dataset.pairs, dataset.lags, strict=True):
            means = ProvisionalMeans()
            stream = WindowStream(PairReader(task, pair), channels, means, lag)
            sums = {part: ProductSums.nothing(weights, channels.outputs) for part in (False, True)}
            for held_out, some in workers.map(_batch_sums, stream.batches(workers)):
                sums[held_out].add(some)
                on_samples(some.count // max(1, channels.shared))
            yield DatasetSums(sums[False], sums[True], means, stream.changes, stream.skipped)


def _batch_sums(batch: WindowBatch) -> tuple[bool, ProductSums]:
    return batch.held_out, batch.sums()


# ------------------------------------------------------------------------------------------ solving


def _solved(task: Task, channels: Channels, sums: DatasetSums) -> Solution:
    _check_solvable(task, sums, _unknowns(task, channels))
    # Held-out samples of a noisy signal are noisy too, and seldom as loud as the others. So the
    # ridge of a blind filter is chosen by cross-validation on the training samples.
    judge = None if task.blind else sums.held
    free = _free_weights(task, channels)
    solution = solve(sums.train, judge, free=free, bias=task.bias, ridge=task.ridge)
    if solution is None:
        raise InputError("nothing but the sample itself varies: there is nothing to learn")
    return solution


def _free_weights(task: Task, channels: Channels) -> BoolArray:
    """Weights that may differ from 0: of a blind filter, all but those of the sample itself."""
    free = np.ones((channels.inputs, *task.taps), bool)
    if task.blind:
        own_tap: Any = (slice(None), *task.before)
        free[own_tap] = False
    return free.ravel()


def _unknowns(task: Task, channels: Channels) -> int:
    """Weights and bias of one output."""
    weights = int(_free_weights(task, channels).sum())
    return weights + task.bias


def _check_solvable(task: Task, sums: DatasetSums, unknowns: int) -> None:
    train = sums.train
    if not (train.finite and sums.held.finite):
        raise too_large()
    if are_too_small(train):
        raise too_small()
    if train.count < unknowns:
        weights = plural(unknowns, "weight")
        raise InputError(
            f"{train.count:,} complete windows to learn {weights} from",
            hint="windows lie in one signal (or group) and hold no missing value, those of a "
            "picture no row that has one: more data, fewer --taps, less --holdout",
        )
    if _is_constant(train):
        what = "the input is"
        hint = None
        if task.differences:
            what = "the changes of the input are"
            hint = "the last value and that change are the forecast"
        raise InputError(
            f"{what} constant where it is learned from: there is nothing to learn", hint=hint
        )


def _is_constant(train: ProductSums) -> bool:
    """Whether no input deviates from its mean by more than rounding."""
    power = np.diagonal(train.gram)[:-1]
    power_of_means = np.square(train.gram[-1, :-1]) / max(1, train.count)
    deviation = power - power_of_means
    is_constant = deviation <= LEAST_VARIANCE_OF_INPUT * power
    return bool(is_constant.all())


# ------------------------------------------------------------------------------------------ results


def _linear_fit(task: Task, origin: DataOrigin, sums: DatasetSums, solution: Solution) -> LinearFit:
    channels = origin.channels
    identity = identity_weights(task, channels)
    w = solution.w
    noise = None
    if task.blind and identity is not None:
        noise = estimate_noise(task.noise, sums.train, w, identity)
        if task.noise is not None:
            w = with_own_sample(w, noise)
    weights, bias = _layer_weights(task, channels, w, sums.means)
    (error,) = errors_of([(FILTER, w)], noise, train=sums.train, held=sums.held)
    naive = _naive_errors(task, origin, sums, noise)
    facts = _facts_of(task, origin, sums, solution, weights.shape)
    facts = replace(facts, errors=(error, *naive))
    facts = with_powers(facts, sums.root_powers, noise, origin.signal)
    facts = _with_noise(facts, noise, origin.signal)
    return LinearFit(weights, bias, noise, error, naive, facts)


def _naive_errors(
    task: Task, origin: DataOrigin, sums: DatasetSums, noise: NoiseEstimate | None
) -> tuple[ErrorFacts, ...]:
    """The errors of the naive answers."""
    identity = identity_weights(task, origin.channels)
    answers = naive_answers(task, origin.channels, sums.train, sums.means, identity)
    errors = errors_of(answers, noise, train=sums.train, held=sums.held)
    return with_persistence(errors, task, sums.changes)


def _facts_of(
    task: Task,
    origin: DataOrigin,
    sums: DatasetSums,
    solution: Solution,
    shape: tuple[int, ...],
) -> LearningFacts:
    """Facts of a layer with weights of `shape`, without its errors."""
    out, _, *taps = shape
    tried = [RidgeFacts(ridge=r, error=math.sqrt(error)) for r, error in solution.tried]
    return LearningFacts(
        task=task.summary,
        layers=f"conv:{out},{'x'.join(map(str, taps))}",
        taps=task.taps,
        bias=task.bias,
        parameters=_unknowns(task, origin.channels) * out,
        samples=sums.train.count,
        held_out=sums.held.count,
        ridge=solution.ridge,
        judged=ridge_choice(task, sums.held.count),
        tried=tuple(tried),
        deficient=solution.deficient,
        errors=(),
        against="the clean signal, estimated" if task.blind else "",
        delays=origin.delays,
        passed_over=sums.skipped,
    )


def ridge_choice(task: Task, held_out: int) -> str:
    """How the ridge was chosen, in words."""
    if task.ridge is not None:
        return "as asked for"
    if held_out and not task.blind:
        return "the best on what was held out"
    return "by cross-validation"


def _with_noise(facts: LearningFacts, noise: NoiseEstimate | None, signal: Signal) -> LearningFacts:
    """Facts with the noise, in the units of the file."""
    scale = signal.full_scale if signal.medium.unit_scale else 1.0
    if scale != 1:
        facts = replace(facts, full_scale=scale)
    if noise is None:
        return facts
    return replace(facts, noise=noise.level * scale, noise_given=noise.given)


def with_powers(
    facts: LearningFacts,
    powers: tuple[float, float | None],
    noise: NoiseEstimate | None,
    signal: Signal,
) -> LearningFacts:
    """Facts with the root mean square of the targets, without their noise.

    Columns of a table have units of their own, so their errors are not given in decibels.
    powers : of the training targets and of the held-out ones
    """
    if signal.medium.separate_channels:
        return facts
    train, held = powers
    held_clean = None if held is None else _without_noise(held, noise)
    return replace(facts, power=_without_noise(train, noise), power_held=held_clean)


def _without_noise(power: float, noise: NoiseEstimate | None) -> float:
    if noise is None:
        return power
    clean = max(0.0, power**2 - noise.level**2)
    return float(clean**0.5)


def _layer_weights(
    task: Task, channels: Channels, w: FloatArray, means: ProvisionalMeans
) -> tuple[Array, Array | None]:
    """Weights (out, in, k...) and biases of the layer that reads the samples as they are."""
    weights = w[:-1].T.reshape(channels.outputs, channels.inputs, *task.taps)
    bias = w[-1].copy() if task.bias else None
    if bias is not None and means.known:
        gains = weights.reshape(channels.outputs, channels.inputs, -1).sum(axis=2)
        bias += means.y - gains @ means.x
    if task.differences:
        # A filter h of changes, added to the last level, is a filter of levels:
        # y[t] + sum h[m] (x[m + 1] - x[m]).
        weights = np.diff(np.pad(weights, ((0, 0), (0, 0), (1, 1))), axis=2) * -1
        for o, target in enumerate(task.targets):
            weights[o, task.inputs.index(target), -1] += 1
    return weights, bias
