"""Learning a filter: one linear layer, least squares over whole signals, and what it is worth."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.solve import Solution, Sums, solve
from convcli.engine.lessons import Cutter, Lanes, Lesson, Reference, check_pair, summed
from convcli.engine.workers import Workers
from convcli.errors import InputError, RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.signals import Array, Signal, Source

__all__ = ["Learned", "Lesson", "Score", "learn", "model_of"]

MOST_WEIGHTS = 6000
"""A layer with more inputs than this to one output is refused: its equations would take some 300 MB."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """The root of the mean squared error of one way to answer, on what was learned from and on what was held out."""

    name: str
    train: float
    held: float | None


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A layer and how well it does.

    weights : (out, in, k...); bias : (out,) or None; scores : the filter first, then the naive answers
    train, held : how many samples were learned from and held out; power : root mean square of the target held out (or
    learned from); worse : the naive answers that do at least as well
    """

    weights: Array
    bias: Array | None
    ridge: float
    deficient: bool
    train: int
    held: int
    power: float
    scores: tuple[Score, ...]

    @property
    def worse(self) -> tuple[str, ...]:
        """The naive answers that are at least as good, on what was held out if there is some."""

        def error(score: Score) -> float:
            return score.train if score.held is None else score.held

        return tuple(score.name for score in self.scores[1:] if error(score) <= error(self.scores[0]))


def learn(lesson: Lesson, pairs: Sequence[tuple[Source[Any], Source[Any] | None]]) -> Learned:
    """The filter of least squared error from inputs to their targets; the sums of several pairs add up.

    A pair without a target learns from its own channels. Windows that leave the signal, or in which something is
    missing, are passed over. The last `holdout` of every signal (of every group of a table) is held out.
    Raises RequestError where the pairs do not fit each other or the lesson, InputError where the data are too few,
    constant, or different in length.
    """
    signal = pairs[0][0].signal
    lanes = Lanes.of(lesson, signal, pairs[0][1])
    if math.prod(lesson.taps) * lanes.inputs > MOST_WEIGHTS:
        count = math.prod(lesson.taps) * lanes.inputs
        raise RequestError(f"{count:,} weights to one output; at most {MOST_WEIGHTS:,} are solved for", hint="--taps")
    reference = Reference()
    train, held = lanes.nothing(lesson), lanes.nothing(lesson)
    with Workers() as workers:
        for source, target in pairs:
            check_pair(signal, source, target)
            jobs = Cutter(lesson, lanes, reference, source, target).jobs(workers)
            for is_held, sums in workers.map(summed, jobs):
                (held if is_held else train).add(sums)
    return _learned(lesson, lanes, train, held, reference)


# -------------------------------------------------------------------------------------------------- results


def _learned(lesson: Lesson, lanes: Lanes, train: Sums, held: Sums, reference: Reference) -> Learned:
    free = _free(lesson, lanes)
    needed = int(free.sum()) + lesson.bias
    if train.count < needed:
        message = f"{train.count:,} complete windows to learn {needed:,} weights from"
        raise InputError(message, hint="more data, fewer --taps or a smaller --holdout")
    if not (np.isfinite(train.gram).all() and np.isfinite(train.cross).all()):
        raise InputError("the samples are so large that their squares overflow", hint="scale them first: gain:0.001")
    solution = solve(train, held, free=free, bias=lesson.bias, ridge=lesson.ridge)
    if solution is None:
        raise InputError("the input is constant where it is learned from: there is nothing to learn")
    weights = solution.w[:-1].T.reshape(lanes.outputs, lanes.inputs, *lesson.taps)
    bias = solution.w[-1].copy() if lesson.bias else None
    if bias is not None and reference.settled:
        bias += reference.y - weights.reshape(lanes.outputs, lanes.inputs, -1).sum(axis=2) @ reference.x
    power = math.sqrt((held if held.count else train).power)
    return Learned(
        weights=weights,
        bias=bias,
        ridge=solution.ridge,
        deficient=solution.deficient,
        train=train.count,
        held=held.count,
        power=power,
        scores=_scores(lesson, lanes, solution, reference, train=train, held=held),
    )


def _free(lesson: Lesson, lanes: Lanes) -> Any:
    """The weights that may differ from 0: when blind, all but those of the sample itself."""
    free = np.ones((lanes.inputs, *lesson.taps), bool)
    if lesson.blind:
        at: Any = (slice(None), *lesson.before)
        free[at] = False
    return free.ravel()


def _scores(
    lesson: Lesson, lanes: Lanes, solution: Solution, reference: Reference, *, train: Sums, held: Sums
) -> tuple[Score, ...]:
    """The errors of the filter and of what would be answered without one."""
    answers = [("the filter", solution.w)]
    own = _own(lesson, lanes)
    if own is not None and not lesson.blind:
        name = "as it is" if lesson.ahead == 0 else _persistence(lesson.ahead)
        answers.append((name, _as_levels(own, lanes, reference)))
        if lesson.ahead == 0:
            gains = own * [_best_gain(train, own[:, o], o, reference) for o in range(lanes.outputs)]
            answers.append(("the best gain", _as_levels(gains, lanes, reference)))
    mean = np.zeros_like(solution.w)
    mean[-1] = train.cross[-1] / max(1, train.count)
    answers.append(("the mean", mean))
    return tuple(
        Score(name=name, train=math.sqrt(train.error(w)), held=math.sqrt(held.error(w)) if held.count else None)
        for name, w in answers
    )


def _persistence(ahead: int) -> str:
    return "tomorrow is like today" if ahead == 1 else f"the same as {ahead} before"


def _own(lesson: Lesson, lanes: Lanes) -> Any:
    """The weights of the answer that changes nothing; None where a target is not among the inputs."""
    places = list(range(lanes.outputs))
    if lesson.targets:
        if not set(lesson.targets) <= set(lesson.inputs):
            return None
        places = [lesson.inputs.index(target) for target in lesson.targets]
    elif lanes.inputs != lanes.outputs:
        return None
    own = np.zeros((lanes.inputs, *lesson.taps, lanes.outputs))
    for o, place in enumerate(places):
        own[(place, *lesson.before, o)] = 1
    return np.concatenate([own.reshape(-1, lanes.outputs), np.zeros((1, lanes.outputs))])


def _as_levels(w: Any, lanes: Lanes, reference: Reference) -> Any:
    """Weights of true levels as weights of samples with their reference taken off."""
    w = w.copy()
    sums = w[:-1].reshape(lanes.inputs, -1, lanes.outputs).sum(axis=1)
    w[-1] = np.broadcast_to(reference.x, lanes.inputs) @ sums - reference.y
    return w


def _best_gain(train: Sums, own: Any, o: int, reference: Reference) -> float:
    """sum(x y) / sum(x x) of the true levels."""
    at, n = int(np.argmax(own)), train.count
    x0 = np.ravel(reference.x)[at // ((len(own) - 1) // np.size(reference.x))]
    y0 = np.broadcast_to(reference.y, len(train.energy))[o]
    x, y = train.gram[at, -1], train.cross[-1, o]
    both = train.cross[at, o] + x0 * y + y0 * x + n * x0 * y0
    power = train.gram[at, at] + 2 * x0 * x + n * x0 * x0
    return float(both / power) if power > 0 else 0.0


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
        "errors": {score.name: [score.train, score.held] for score in learned.scores},
    }
    sizes = "x".join(str(k) for k in lesson.taps)
    metadata = {
        "layers": f"conv:{len(learned.weights)},{sizes}",
        "medium": signal.medium,
        "align": lesson.align,
        "task": "blind" if lesson.blind else f"ahead {lesson.ahead}" if lesson.ahead else "pairs",
        "facts": json.dumps(facts),
        "convcli": version,
    }
    if signal.rate is not None:
        metadata["rate"] = repr(signal.rate)
    if signal.medium == "table":
        metadata["columns"] = json.dumps([signal.channels[i] for i in lesson.inputs] or signal.channels)
        metadata["targets"] = json.dumps([signal.channels[t] for t in lesson.targets])
    return tensors, metadata
