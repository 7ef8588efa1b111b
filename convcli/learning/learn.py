"""Learning a filter: one linear layer, least squares over whole signals, and what it is worth."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.solve import Sums, solve
from convcli.errors import InputError, RequestError
from convcli.learning.answers import Score, answers_of, own_weights, scores_of, with_today
from convcli.learning.delays import Delay, find_delay
from convcli.learning.denoising import Noise, given_back, noise_of
from convcli.learning.lessons import Cutter, Lanes, Lesson, Reference, summed
from convcli.learning.pairs import check_pair
from convcli.running.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convcli.signals import Array, Signal, Source

__all__ = ["Delay", "Learned", "Lesson", "Score", "learn", "model_of"]

MOST_WEIGHTS = 6000
"""A layer with more inputs than this to one output is refused: its equations would take some 300 MB."""

# What samples are to a model, whatever a file stores them as.

# What varies by less than this part of its power is constant but for the rounding of sums.
ROUNDING = 1e-13


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A layer and how well it does.

    weights : (out, in, k...); bias : (out,) or None; parameters : how many numbers were solved for
    scores : the filter first, then the naive answers
    tried : ridges and the root mean squared errors by which one was chosen
    train, held : how many samples were learned from and held out
    power, power_held : root mean square of the target there
    delays : of each pair, where it has a target file; noise : when blind
    passed_over : windows in which something is missing
    """

    weights: Array
    bias: Array | None
    parameters: int
    ridge: float
    tried: tuple[tuple[float, float], ...]
    deficient: bool
    train: int
    held: int
    power: float
    power_held: float | None
    scores: tuple[Score, ...]
    delays: tuple[Delay, ...] = ()
    noise: Noise | None = None
    passed_over: int = 0

    @property
    def worse(self) -> tuple[str, ...]:
        """The naive answers that are at least as good, on what was held out if there is some."""

        def error(score: Score) -> float:
            return score.train if score.held is None else score.held

        return tuple(
            score.name for score in self.scores[1:] if error(score) <= error(self.scores[0])
        )


def learn(
    lesson: Lesson,
    pairs: Sequence[tuple[Source[Any], Source[Any] | None]],
    *,
    watch: Callable[[int], None] = lambda _: None,
) -> Learned:
    """The filter of least squared error from inputs to their targets; the sums of several pairs add up.

    A pair without a target learns from its own channels. Windows that leave the signal, or in which something is
    missing, are passed over. The last `holdout` of every signal (of every group of a table) is held out.
    watch : called with the number of samples that were taken in
    Raises RequestError where the pairs do not fit each other or the lesson, InputError where the data are too few,
    constant, different in length, or have no delay that stands out.
    """
    signal = pairs[0][0].signal
    lanes = Lanes.of(lesson, signal, pairs[0][1])
    if math.prod(lesson.taps) * lanes.inputs > MOST_WEIGHTS:
        count = math.prod(lesson.taps) * lanes.inputs
        raise RequestError(
            f"{count:,} weights to one output; at most {MOST_WEIGHTS:,} are solved for",
            hint="--taps",
        )
    reference = Reference()
    train, held = lanes.nothing(lesson), lanes.nothing(lesson)
    delays, cutters = [], []
    with Workers() as workers:
        for source, target in pairs:
            check_pair(signal, source, target, delay=lesson.delay)
            cutter = Cutter(lesson, lanes, reference, source, target)
            if lesson.delay != ():
                delays.append(_delay(lesson, lanes, cutter, workers))
                cutter.put_off(delays[-1].lag)
            for is_held, sums in workers.map(summed, cutter.jobs(workers)):
                (held if is_held else train).add(sums)
                watch(sums.count // max(1, lanes.shared))
            cutters.append(cutter)
    learned = _learned(lesson, lanes, train, held, reference)
    return replace(
        learned,
        delays=tuple(delays),
        passed_over=sum(cutter.passed_over for cutter in cutters),
        scores=with_today(learned.scores, lesson, [cutter.unchanged for cutter in cutters]),
    )


def _delay(lesson: Lesson, lanes: Lanes, cutter: Cutter, workers: Workers) -> Delay:
    """The delay that was given, or that is found in a pass over the pair."""
    if lesson.delay is not None:
        return Delay(lag=lesson.delay)
    return find_delay(
        cutter.arrivals(workers),
        cutter.source.signal,
        shared=lanes.shared > 0,
        differences=lesson.differences,
        workers=workers,
    )


# -------------------------------------------------------------------------------------------------- results


def _learned(
    lesson: Lesson, lanes: Lanes, train: Sums, held: Sums, reference: Reference
) -> Learned:
    free = _free(lesson, lanes)
    needed = int(free.sum()) + lesson.bias
    if train.count < needed:
        message = (
            f"{train.count:,} complete windows to learn {needed:,} weight{'s' * (needed != 1)} from"
        )
        hint = "windows lie in one signal (or group) and hold no missing value: more data, fewer --taps, less --holdout"
        raise InputError(message, hint=hint)
    if not (train.finite and held.finite):
        raise InputError(
            "the samples are so large that their squares overflow",
            hint="scale them first: gain:0.001",
        )
    if _constant(train):
        what = "the changes of the input are" if lesson.differences else "the input is"
        told = "the last value and that change are the forecast" if lesson.differences else None
        raise InputError(
            f"{what} constant where it is learned from: there is nothing to learn", hint=told
        )
    # What is held out of a noisy signal is noisy too, and seldom as loud: the filter of the whole is wanted.
    chosen_by = None if lesson.blind else held
    solution = solve(train, chosen_by, free=free, bias=lesson.bias, ridge=lesson.ridge)
    if solution is None:
        raise InputError("nothing but the sample itself varies: there is nothing to learn")
    own = own_weights(lesson, lanes)
    w, noise = solution.w, None
    if lesson.blind and own is not None:
        noise = noise_of(lesson.noise, train, w, own)
        if lesson.noise is not None:
            w = given_back(w, own, noise)
    weights, bias = _layer(lesson, lanes, w, reference)
    return Learned(
        weights=weights,
        bias=bias,
        parameters=needed * lanes.outputs,
        ridge=solution.ridge,
        tried=tuple((ridge, math.sqrt(error)) for ridge, error in solution.tried),
        deficient=solution.deficient,
        train=train.count,
        held=held.count,
        power=math.sqrt(train.power),
        power_held=math.sqrt(held.power) if held.count else None,
        scores=scores_of(
            answers_of(lesson, lanes, reference, train, w=w, own=own), noise, train=train, held=held
        ),
        noise=noise,
    )


def _constant(train: Sums) -> bool:
    """Whether no input deviates from its mean by more than rounding."""
    power = np.diagonal(train.gram)[:-1]
    deviation = power - np.square(train.gram[-1, :-1]) / max(1, train.count)
    return bool((deviation <= ROUNDING * power).all())


def _layer(
    lesson: Lesson, lanes: Lanes, w: Any, reference: Reference
) -> tuple[Array, Array | None]:
    """The weights, (out, in, k...), and the biases of the layer that acts on the samples as they are."""
    weights = w[:-1].T.reshape(lanes.outputs, lanes.inputs, *lesson.taps)
    bias = w[-1].copy() if lesson.bias else None
    if bias is not None and reference.settled:
        bias += (
            reference.y - weights.reshape(lanes.outputs, lanes.inputs, -1).sum(axis=2) @ reference.x
        )
    if lesson.differences:
        # h over changes added to the last level is a filter of levels: y[t] + sum h[m] (x[m + 1] - x[m]).
        weights = np.diff(np.pad(weights, ((0, 0), (0, 0), (1, 1))), axis=2) * -1
        for o, target in enumerate(lesson.targets):
            weights[o, lesson.inputs.index(target), -1] += 1
    return weights, bias


def _free(lesson: Lesson, lanes: Lanes) -> Any:
    """The weights that may differ from 0: when blind, all but those of the sample itself."""
    free = np.ones((lanes.inputs, *lesson.taps), bool)
    if lesson.blind:
        at: Any = (slice(None), *lesson.before)
        free[at] = False
    return free.ravel()


def model_of(
    learned: Learned, lesson: Lesson, signal: Signal, *, version: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """The tensors and the metadata of the model file."""
    tensors: dict[str, Any] = {"0.weight": learned.weights}
    if learned.bias is not None:
        tensors["0.bias"] = learned.bias
    facts = {
        "train": learned.train,
        "held_out": learned.held,
        "ridge": learned.ridge,
        "delays": [list(delay.lag) for delay in learned.delays],
        "noise": None if learned.noise is None else learned.noise.level,
        "errors": {score.name: [score.train, score.held] for score in learned.scores},
    }
    metadata = {
        "layers": layers_of(learned),
        "medium": signal.medium.name,
        "units": signal.medium.model_units,
        "align": lesson.align,
        "task": task_of(lesson),
        "facts": json.dumps(facts),
        "convcli": version,
    }
    lags = {delay.lag for delay in learned.delays}
    if len(lags) == 1:
        metadata["delay"] = "x".join(str(lag) for lag in lags.pop())
    if signal.rate is not None:
        metadata["rate"] = repr(signal.rate)
    if signal.medium.separate_channels:
        metadata["columns"] = json.dumps(
            [signal.channels[i] for i in lesson.inputs] or signal.channels
        )
        metadata["targets"] = json.dumps([signal.channels[t] for t in lesson.targets])
    return tensors, metadata


def layers_of(learned: Learned) -> str:
    """The layer as in FILTER."""
    return f"conv:{len(learned.weights)},{'x'.join(str(k) for k in learned.weights.shape[2:])}"


def task_of(lesson: Lesson) -> str:
    """What was learned, in words."""
    if lesson.blind:
        return "blind" if lesson.noise is None else "blind, with the sample itself"
    if not lesson.ahead:
        return "pairs"
    return f"ahead {lesson.ahead}, on {'differences' if lesson.differences else 'levels'}"
