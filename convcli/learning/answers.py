"""What a filter answers and what would be answered without one, and their errors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convcli.core.solve import Sums
    from convcli.learning.denoising import Noise
    from convcli.learning.lessons import Lanes, Lesson, Reference


@dataclass(frozen=True, kw_only=True)
class Score:
    """The root of the mean squared error of one way to answer, on what was learned from and on what was held out."""

    name: str
    train: float
    held: float | None


def answers_of(
    lesson: Lesson, lanes: Lanes, reference: Reference, train: Sums, *, w: Any, own: Any
) -> list[tuple[str, Any]]:
    """The filter, and what would be answered without one."""
    answers = [("the filter", w)]
    mean = np.zeros_like(w)
    mean[-1] = train.cross[-1] / max(1, train.count)
    if lesson.differences:
        unchanged = _as_levels(np.zeros_like(w), lanes, reference)
        return [
            *answers,
            (_persistence(lesson.ahead), unchanged),
            ("today and the mean change", mean),
        ]
    if own is not None:
        name = "as it is" if lesson.ahead == 0 else _persistence(lesson.ahead)
        answers.append((name, _as_levels(own, lanes, reference)))
        if lesson.ahead == 0 and not lesson.blind:
            gains = own * [_best_gain(train, own[:, o], o, reference) for o in range(lanes.outputs)]
            answers.append(("the best gain", _as_levels(gains, lanes, reference)))
    return [*answers, ("the mean", mean)]


def scores_of(
    answers: list[tuple[str, Any]], noise: Noise | None, *, train: Sums, held: Sums
) -> tuple[Score, ...]:
    """The errors of all answers; against a noisy target what they would be against a clean one."""

    def error(sums: Sums, w: Any) -> float:
        return math.sqrt(max(0.0, sums.error(w) - (0.0 if noise is None else noise.part_of(w))))

    return tuple(
        Score(name=name, train=error(train, w), held=error(held, w) if held.count else None)
        for name, w in answers
    )


def _persistence(ahead: int) -> str:
    return "tomorrow is like today" if ahead == 1 else f"the same as {ahead} before"


def own_weights(lesson: Lesson, lanes: Lanes) -> Any:
    """The weights of the answer that changes nothing; None where no input stands for a target."""
    places = list(range(lanes.outputs))
    if lesson.targets:
        if set(lesson.targets) <= set(lesson.inputs):
            places = [lesson.inputs.index(target) for target in lesson.targets]
        elif lesson.ahead or lanes.inputs != lanes.outputs:
            return None
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


def with_today(
    scores: tuple[Score, ...], lesson: Lesson, unchanged: Sequence[Mapping[bool, tuple[float, int]]]
) -> tuple[Score, ...]:
    """The scores with the answer that nothing changes, where no input could stand for the target.

    unchanged : squared changes and their count in what was learned from and in what was held out
    """
    name = _persistence(lesson.ahead)
    if not (lesson.ahead and lesson.targets) or any(score.name == name for score in scores):
        return scores
    totals = [[sum(each[part][i] for each in unchanged) for i in (0, 1)] for part in (False, True)]
    train, held = (math.sqrt(total / count) if count else None for total, count in totals)
    return (
        scores
        if train is None
        else (scores[0], Score(name=name, train=train, held=held), *scores[1:])
    )
