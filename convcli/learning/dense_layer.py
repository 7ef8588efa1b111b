"""A dense layer for comparison with a filter: one weight for each pair of positions in a tile.

The signal is cut into consecutive tiles, and every output of a tile reads every sample of it. A
filter has one weight for each distance between input and output, whatever their positions. So it
learns from every sample, and a signal that begins one sample later gives the same output one sample
later. A dense layer learns each position by itself, from as many examples as there are tiles. Both
are linear and solved exactly, so they differ in nothing but the sharing of weights.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.correlation.normal_equations import ProductSums, solve
from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError
from convcli.facts.learning import ErrorFacts, MovedFacts
from convcli.layers.conv_path import ConvSums
from convcli.layers.conv_paths import cheapest_conv_path
from convcli.layers.model import DENSE_TASK
from convcli.learning.dataset import (
    ReceptiveField,
    load_signals,
    open_dataset,
    target_powers,
)
from convcli.learning.learned_model import learned_model
from convcli.learning.least_squares import fit_linear, ridge_choice, with_powers
from convcli.learning.magnitudes import are_too_small, too_small
from convcli.learning.pairs import Channels
from convcli.running.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from convcli.array_types import AnyArray, BoolArray, Sizes
    from convcli.core.correlation.normal_equations import Solution
    from convcli.facts.learning import LearningFacts
    from convcli.learning.dataset import Dataset, TrainingSignal
    from convcli.learning.learned_model import LearnedModel
    from convcli.learning.least_squares import LinearFit
    from convcli.learning.pairs import Pair
    from convcli.learning.task import Task
    from convcli.signals import Array

    # A function of the samples and of which of them are known; it gives NaN where it has no answer.
    AnswerFunction = Callable[[Array, BoolArray], Array]


# The equations of a layer with more inputs or outputs would take over 300 MB.
WIDEST = 4000


def learn_dense_layer(task: Task, pairs: Sequence[Pair]) -> LearnedModel:
    """The dense layer of least squared error on tiles of `task.taps` samples, beside a filter.

    Raises RequestError for a prediction or tiles that are too large, InputError for too few tiles.
    """
    if task.ahead:
        raise RequestError(
            "a dense layer answers a stretch as a whole, "
            "and would read rows after those that it predicts",
            hint="--ahead 0, or a filter: without --layers dense",
        )
    channels = Channels.of(task, pairs[0])
    widest = math.prod(task.taps) * max(channels.inputs, channels.outputs)
    if widest > WIDEST:
        raise RequestError(
            f"stretches of {widest:,} numbers; at most {WIDEST:,} are solved for", hint="--taps"
        )
    dataset = open_dataset(task, pairs)
    linear = fit_linear(replace(task, bias=True, ridge=None), dataset)
    field = ReceptiveField.one_sample(dataset.signal.axes)
    with Workers() as workers:
        signals = load_signals(dataset, task, field, workers=workers)
    dense, solution = _fit_dense(task, channels, signals)
    facts = _dense_facts(task, dataset, linear, signals, dense)
    facts = replace(facts, ridge=solution.ridge, deficient=solution.deficient)
    model = learned_model(task, dataset.signal, facts, dense.tensors(), linear.noise)
    metadata = {"task": f"{DENSE_TASK} of {'x'.join(map(str, task.taps))}"}
    moved = [vars(each) for each in facts.moved]
    return replace(model.with_metadata(metadata, {"moved": moved}), runs=False)


@dataclass(frozen=True, eq=False)
class TileLayer:
    """A dense layer on tiles of `taps` samples.

    weights : (out * samples, in * samples), as of torch.nn.Linear, channels first
    bias : (out * samples,)
    """

    weights: Array
    bias: Array
    taps: Sizes

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return self.weights.size + self.bias.size

    def tensors(self) -> dict[str, Array]:
        """Weights and biases by their names in torch.nn.Sequential."""
        return {"0.weight": self.weights, "0.bias": self.bias}

    def __call__(self, x: Array, mask: BoolArray) -> Array:
        """Outputs for a signal, (samples..., out); NaN where a tile is not complete."""
        inputs = _one_row_each(_tiles(x, self.taps))
        outputs = inputs @ self.weights.T + self.bias
        outputs[~_complete(mask, self.taps)] = np.nan
        # (tiles, out * samples) -> (tiles, samples of a tile..., out)
        tiles = np.moveaxis(outputs.reshape(len(outputs), -1, *self.taps), 1, -1)
        counts = [n // k for n, k in zip(x.shape, self.taps, strict=False)]
        joined = _from_tiles(tiles, counts, self.taps)
        *covered, outputs_of_sample = joined.shape
        y = np.full((*x.shape[:-1], outputs_of_sample), np.nan)
        y[tuple(map(slice, covered))] = joined
        return y


def _dense_facts(
    task: Task,
    dataset: Dataset,
    linear: LinearFit,
    signals: list[TrainingSignal],
    dense: TileLayer,
) -> LearningFacts:
    """Facts of the dense layer, beside those of the filter."""
    moved_dense = shift_facts("dense", dense.parameters, signals, dense)
    train, held = moved_dense.before
    error = ErrorFacts(name="one weight per position", train=train, held=held)
    name = f"one filter of {'x'.join(map(str, task.taps))} taps"
    answer = partial(filter_answer, linear=linear, task=task)
    moved_filter = shift_facts(name, linear.facts.parameters, signals, answer)
    facts = with_powers(linear.facts, target_powers(signals), linear.noise, dataset.signal)
    return replace(
        facts,
        layers=f"dense:{len(dense.weights)}",
        bias=False,
        parameters=dense.parameters,
        judged=ridge_choice(task, facts.held_out),
        tried=(),
        errors=(error, replace(linear.error, name=name), *linear.naive),
        moved=(moved_dense, moved_filter),
    )


def _fit_dense(
    task: Task, channels: Channels, signals: list[TrainingSignal]
) -> tuple[TileLayer, Solution]:
    train = _tile_sums(task, channels, signals, held_out=False)
    held = _tile_sums(task, channels, signals, held_out=True)
    if train.count < 2:
        size = "x".join(map(str, task.taps))
        raise InputError(
            f"{train.count} stretches of {size} to learn from",
            hint="more data or shorter --taps",
        )
    free = np.ones(len(train.gram) - 1, bool)
    solution = solve(train, held, free=free, bias=True, ridge=task.ridge)
    if are_too_small(train):
        raise too_small()
    if solution is None:
        raise InputError(
            "the input is constant where it is learned from: there is nothing to learn"
        )
    return TileLayer(solution.w[:-1].T.copy(), solution.w[-1].copy(), task.taps), solution


def _tile_sums(
    task: Task, channels: Channels, signals: list[TrainingSignal], *, held_out: bool
) -> ProductSums:
    """Normal equations summed over all complete tiles."""
    samples = math.prod(task.taps)
    sums = ProductSums.nothing(samples * channels.inputs, samples * channels.outputs)
    for x, y, mask in known_parts(signals, held_out=held_out):
        complete = _complete(mask, task.taps)
        inputs = _one_row_each(_tiles(x, task.taps)[complete])
        targets = _one_row_each(_tiles(y, task.taps)[complete])
        inputs = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
        energy = np.einsum("no,no->o", targets, targets)
        sums.add(ProductSums(inputs.T @ inputs, inputs.T @ targets, energy))
    return sums


# ------------------------------------------------------------------------------------------- tiles


def _tiles(a: AnyArray, taps: Sizes) -> Any:
    """The whole tiles of an array (samples..., channels): (tiles, taps..., channels)."""
    axes = len(taps)
    counts = [n // k for n, k in zip(a.shape, taps, strict=False)]
    covered = np.multiply(counts, taps).tolist()
    sides = [n for pair in zip(counts, taps, strict=True) for n in pair]
    a = a[tuple(map(slice, covered))].reshape(*sides, a.shape[-1])
    # Tile numbers first, then the samples of a tile.
    order = (*range(0, 2 * axes, 2), *range(1, 2 * axes, 2), 2 * axes)
    return a.transpose(order).reshape(-1, *taps, a.shape[-1])


def _from_tiles(tiles: Array, counts: Sequence[int], taps: Sizes) -> Array:
    """Put tiles side by side again: (samples..., channels)."""
    axes = len(taps)
    a = tiles.reshape(*counts, *taps, -1)
    order = [n for axis in range(axes) for n in (axis, axes + axis)]
    covered = tuple(m * k for m, k in zip(counts, taps, strict=True))
    return a.transpose(*order, 2 * axes).reshape(*covered, -1)


def _complete(mask: BoolArray, taps: Sizes) -> BoolArray:
    """Tiles whose every sample is known."""
    tiles = _tiles(mask[..., None], taps)
    by_tile = tiles.reshape(len(tiles), -1)
    return np.asarray(by_tile.all(axis=1))


def _one_row_each(tiles: Array) -> Array:
    """Tiles as rows, channels first, as torch.nn.Flatten has them."""
    return np.moveaxis(tiles, -1, 1).reshape(len(tiles), -1)


# ------------------------ answers for a signal that begins one sample later (a picture: one column)


# Answers that differ by less than this part of their errors are equal but for rounding.
EQUAL_WITHIN = 1e-9
# All samples but the first, or all columns of a picture but the first.
LATER: Any = (..., slice(1, None), slice(None))


def shift_facts(
    name: str, parameters: int, signals: Sequence[TrainingSignal], answer: AnswerFunction
) -> MovedFacts:
    """Errors of an answer before and after each signal loses its first sample."""
    change = _MeanSquare()
    before: list[float | None] = []
    after: list[float | None] = []
    for held_out in (False, True):
        error = _MeanSquare()
        moved_error = _MeanSquare()
        for x, y, mask in known_parts(signals, held_out=held_out):
            first = answer(x, mask)
            moved = answer(x[LATER], mask[..., 1:])
            error.add(first - y)
            moved_error.add(moved - y[LATER])
            change.add(first[LATER] - moved)
        before.append(error.root)
        after.append(moved_error.root)
    train_before = before[0] or 0.0
    train_after = after[0] or 0.0
    differs = change.root or 0.0
    if differs <= EQUAL_WITHIN * max(train_before, train_after):
        differs = 0.0
    return MovedFacts(
        name=name,
        parameters=parameters,
        before=(train_before, before[1]),
        after=(train_after, after[1]),
        differs=differs,
    )


def known_parts(
    signals: Sequence[TrainingSignal], *, held_out: bool
) -> Iterator[tuple[Array, Array, BoolArray]]:
    """Samples, targets and mask of the held-out (or training) rows of each signal."""
    for each in signals:
        mask = each.mask(held_out=held_out)
        rows = np.flatnonzero(mask.reshape(len(mask), -1).any(axis=1))
        if len(rows):
            part = slice(rows[0], rows[-1] + 1)
            x = np.asarray(each.x[part], np.float64)
            y = np.asarray(each.y[part], np.float64)
            yield x, y, mask[part]


def filter_answer(x: Array, mask: BoolArray, *, linear: LinearFit, task: Task) -> Array:
    """Outputs of a linear layer, (samples..., out); NaN where a window is not complete."""
    y = np.full((*x.shape[:-1], len(linear.weights)), np.nan)
    if any(n < k for n, k in zip(x.shape, task.taps, strict=False)):
        return y
    ones: Any = (1,) * len(task.taps)
    filtering = ConvSums(weights=linear.weights, bias=linear.bias, step=ones, dilation=ones)
    outputs = cheapest_conv_path(filtering, x.dtype)(x)
    unknown: Any = (~mask[..., None]).astype(np.float64)
    window = np.ones((1, 1, *task.taps))
    counting = ConvSums(weights=window, bias=None, step=ones, dilation=ones)
    missing = cheapest_conv_path(counting, np.float64)(unknown)
    inside = tuple(slice(b, b + n) for b, n in zip(task.before, outputs.shape, strict=False))
    y[inside] = np.where(missing > 0.5, np.nan, outputs)
    return y


class _MeanSquare:
    """Mean square of all finite values."""

    def __init__(self) -> None:
        self.sum = 0.0
        self.count = 0

    def add(self, x: Array) -> None:
        known = x[np.isfinite(x)]
        self.sum += float(np.vdot(known, known))
        self.count += known.size

    @property
    def root(self) -> float | None:
        """Root mean square, or None if there are no values."""
        return math.sqrt(self.sum / self.count) if self.count else None
