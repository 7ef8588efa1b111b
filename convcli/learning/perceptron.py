"""A perceptron for comparison: every sample of a stretch from every sample of it, a weight for each pair of positions.

It is what a convolution is not. A filter has one weight for each distance between input and output, whatever the
position, so it learns from every sample how to treat all others, and what it makes of a signal that comes a sample
later comes a sample later. A dense layer has to learn every position by itself from as many examples as there are
stretches, and what it has learned of one position says nothing of the next. Both are linear and are solved, so that
nothing but the sharing of weights tells them apart.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.solve import Sums, solve
from convcli.errors import InputError, RequestError
from convcli.layers.bands import by_windows
from convcli.layers.model import PERCEPTRON_TASK
from convcli.learning.learn import Learned, Score, learn, model_of
from convcli.learning.lessons import Lanes
from convcli.learning.material import Stand, powers, segments_of
from convcli.running.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from convcli.learning.lessons import Lesson
    from convcli.learning.material import Segment, Sizes
    from convcli.signals import Array, Signal, Source

    Pairs = Sequence[tuple[Source[Any], Source[Any] | None]]
    Flags = npt.NDArray[np.bool_]
    Answer = Callable[[Array, Flags], Array]

# The equations of a layer with more inputs or outputs than this would take some 300 MB.
WIDEST = 4000
# Answers that differ by this part of their errors are the same but for rounding.
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Moved:
    """How an answer fares when the same signal comes one sample (of a picture: one column) later.

    errors : root mean squared, on what was learned from and on what was held out, None where nothing was; before and
    after the move; differs : root mean square of the change of the answer to one and the same sample
    """

    name: str
    parameters: int
    before: tuple[float, float | None]
    after: tuple[float, float | None]
    differs: float


@dataclass(frozen=True, kw_only=True)
class Perceptron:
    """A dense layer.

    weights : (out * stretch, in * stretch), as of torch.nn.Linear, channels first; bias : (out * stretch,)
    stretch : samples on each axis; learned : its errors beside those of the filter of as many taps and of the naive
    answers; moved : both, one sample later
    """

    weights: Array
    bias: Array
    stretch: Sizes
    learned: Learned
    moved: tuple[Moved, ...]

    @property
    def parameters(self) -> int:
        """How many numbers were learned."""
        return self.weights.size + self.bias.size

    @property
    def layers(self) -> str:
        """As in FILTER."""
        return f"dense:{len(self.weights)}"

    def model(
        self, lesson: Lesson, signal: Signal, *, version: str
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """The tensors and the metadata of the model file."""
        _, metadata = model_of(self.learned, lesson, signal, version=version)
        task = f"{PERCEPTRON_TASK} of {'x'.join(str(n) for n in self.stretch)}"
        facts = {**json.loads(metadata["facts"]), "moved": [vars(each) for each in self.moved]}
        tensors = {"0.weight": self.weights, "0.bias": self.bias}
        return tensors, metadata | {"layers": self.layers, "task": task, "facts": json.dumps(facts)}


def fit_perceptron(lesson: Lesson, pairs: Pairs) -> Perceptron:
    """The dense layer of least squared error on stretches of `lesson.taps`, beside the filter of as many taps.

    RequestError for a prediction and for stretches that are too long, InputError for too little data.
    """
    if lesson.ahead:
        message = "a dense layer answers a stretch as a whole, and would read rows after those that it predicts"
        raise RequestError(message, hint="--ahead 0, or a filter: without --layers dense")
    signal = pairs[0][0].signal
    lanes = Lanes.of(lesson, signal, pairs[0][1])
    sides = [math.prod(lesson.taps) * channels for channels in (lanes.inputs, lanes.outputs)]
    if max(sides) > WIDEST:
        raise RequestError(
            f"stretches of {max(sides):,} numbers; at most {WIDEST:,} are solved for", hint="--taps"
        )
    linear = learn(replace(lesson, bias=True, ridge=None), pairs)
    with Workers() as workers:
        nowhere = (0,) * signal.axes
        stand = Stand(before=nowhere, after=nowhere, step=(1,) * signal.axes, start=nowhere)
        lags = [delay.lag for delay in linear.delays] or [nowhere] * len(pairs)
        segments = segments_of(lesson, lanes, pairs, workers, stand=stand, lags=lags)
    power, power_held = powers(segments)
    weights, bias, solution = _solved(lesson, segments, sides)
    parameters = weights.size + bias.size
    dense = _moved(
        "dense", parameters, segments, lambda x, known: _dense(x, known, lesson.taps, weights, bias)
    )
    name = f"one filter of {'x'.join(str(n) for n in lesson.taps)} taps"
    conv = _moved(
        name, linear.parameters, segments, lambda x, known: _filtered(x, known, linear, lesson)
    )
    score = Score(name="one weight per position", train=dense.before[0], held=dense.before[1])
    scores = (score, replace(linear.scores[0], name=name), *linear.scores[1:])
    learned = replace(
        linear,
        scores=scores,
        ridge=solution.ridge,
        deficient=solution.deficient,
        tried=(),
        power=power,
        power_held=power_held,
    )
    return Perceptron(
        weights=weights, bias=bias, stretch=lesson.taps, learned=learned, moved=(dense, conv)
    )


def _solved(lesson: Lesson, segments: list[Segment], sides: list[int]) -> tuple[Array, Array, Any]:
    sums = {held: _sums(lesson, segments, sides, held=held) for held in (False, True)}
    if sums[False].count < 2:
        size = "x".join(str(n) for n in lesson.taps)
        raise InputError(
            f"{sums[False].count} stretches of {size} to learn from",
            hint="more data or shorter --taps",
        )
    free = np.ones(sides[0], bool)
    solution = solve(sums[False], sums[True], free=free, bias=True, ridge=lesson.ridge)
    if solution is None:
        raise InputError(
            "the input is constant where it is learned from: there is nothing to learn"
        )
    return solution.w[:-1].T.copy(), solution.w[-1].copy(), solution


def _sums(lesson: Lesson, segments: list[Segment], sides: list[int], *, held: bool) -> Sums:
    """The sums over stretches side by side, as over windows."""
    sums = Sums.nothing(*sides)
    for x, y, flags in _regions(segments, held=held):
        whole = _stretches(flags[..., None], lesson.taps).all(axis=tuple(range(1, x.ndim + 1)))
        a, b = (_flat(_stretches(each, lesson.taps)[whole]) for each in (x, y))
        a = np.concatenate([a, np.ones((len(a), 1))], axis=1)
        sums.add(Sums(a.T @ a, a.T @ b, np.einsum("no,no->o", b, b)))
    return sums


def _regions(segments: list[Segment], *, held: bool) -> Iterator[tuple[Array, Array, Flags]]:
    """What is held out of each signal, or learned from, with its targets and which samples are known."""
    for each in segments:
        flags = each.held if held else each.train
        rows = np.flatnonzero(flags.reshape(len(flags), -1).any(axis=1))
        if len(rows):
            part = slice(rows[0], rows[-1] + 1)
            yield (
                np.asarray(each.x[part], np.float64),
                np.asarray(each.y[part], np.float64),
                flags[part],
            )


def _stretches(a: npt.NDArray[Any], taps: Sizes) -> Any:
    """An array cut into stretches side by side, what is left over at the end left out: (count, taps..., channels)."""
    counts = [n // k for n, k in zip(a.shape, taps, strict=False)]
    a = a[tuple(slice(m * k) for m, k in zip(counts, taps, strict=True))]
    a = a.reshape(*(n for pair in zip(counts, taps, strict=True) for n in pair), a.shape[-1])
    axes = len(taps)
    order = (*range(0, 2 * axes, 2), *range(1, 2 * axes, 2), 2 * axes)
    return a.transpose(order).reshape(-1, *taps, a.shape[-1])


def _flat(x: Array) -> Array:
    """Stretches as rows, channels first, as torch.nn.Flatten does."""
    return np.moveaxis(x, -1, 1).reshape(len(x), -1)


# ------------------------------------------------------------------------------------------ one sample later


def _dense(x: Array, flags: Flags, taps: Sizes, weights: Array, bias: Array) -> Array:
    """The answers to a signal, (samples..., out); NaN where there is none."""
    known = _stretches(flags[..., None], taps).all(axis=tuple(range(1, x.ndim + 1)))
    answers = _flat(_stretches(x, taps)) @ weights.T + bias
    answers[~known] = np.nan
    counts = [n // k for n, k in zip(x.shape, taps, strict=False)]
    blocks = np.moveaxis(answers.reshape(len(answers), -1, *taps), 1, -1).reshape(
        *counts, *taps, -1
    )
    axes = len(taps)
    order = (
        *(a for pair in zip(range(axes), range(axes, 2 * axes), strict=True) for a in pair),
        2 * axes,
    )
    covered = tuple(m * k for m, k in zip(counts, taps, strict=True))
    y = np.full((*x.shape[:-1], blocks.shape[-1]), np.nan)
    y[tuple(slice(n) for n in covered)] = blocks.transpose(order).reshape(*covered, -1)
    return y


def _filtered(x: Array, flags: Flags, linear: Learned, lesson: Lesson) -> Array:
    """The same of a filter."""
    y = np.full((*x.shape[:-1], len(linear.weights)), np.nan)
    if any(n < k for n, k in zip(x.shape, lesson.taps, strict=False)):
        return y
    ones: Any = (1,) * len(lesson.taps)
    weights: Any = linear.weights
    bias: Any = linear.bias
    answers = by_windows(x, weights, bias, step=ones, dilation=ones)
    unknown: Any = (~flags[..., None]).astype(np.float64)
    missing = by_windows(unknown, np.ones((1, 1, *lesson.taps)), None, step=ones, dilation=ones)
    inside = tuple(slice(b, b + n) for b, n in zip(lesson.before, answers.shape, strict=False))
    y[inside] = np.where(missing > 0.5, np.nan, answers)
    return y


def _moved(name: str, parameters: int, segments: list[Segment], answer: Answer) -> Moved:
    """The errors of an answer, those when every signal begins one sample later, and what changes in the answer."""
    errors: list[list[float | None]] = [[], []]
    change = _Mean()
    for held in (False, True):
        means = _Mean(), _Mean()
        for x, y, flags in _regions(segments, held=held):
            first = answer(x, flags)
            moved = (..., slice(1, None), slice(None))
            second = answer(x[moved], flags[..., 1:])
            means[0].add(first - y)
            means[1].add(second - y[moved])
            change.add(first[moved] - second)
        for each, mean in zip(errors, means, strict=True):
            each.append(mean.root)
    before, after = ((train or 0.0, held) for train, held in errors)
    differs = change.root or 0.0
    rounding = ROUNDING * max(before[0], after[0])
    return Moved(
        name=name,
        parameters=parameters,
        before=before,
        after=after,
        differs=differs if differs > rounding else 0.0,
    )


class _Mean:
    """The mean of squares of what is known."""

    def __init__(self) -> None:
        self.power, self.count = 0.0, 0

    def add(self, x: Array) -> None:
        """Take in some more; NaN is not known."""
        known = x[np.isfinite(x)]
        self.power, self.count = self.power + float(np.vdot(known, known)), self.count + known.size

    @property
    def root(self) -> float | None:
        """Its root, None of nothing."""
        return math.sqrt(self.power / self.count) if self.count else None
