"""The lessons of a network: epochs of mini-batches, shared out between threads, with an early stop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.errors import RequestError
from convcli.layers.gradients import Worker
from convcli.learning.descent import Adam
from convcli.learning.material import Material, known_parts
from convcli.running.workers import Workers, cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.layers.nets import Net
    from convcli.layers.trained import Vector
    from convcli.learning.material import Places, Segment, Sizes, Stand

# A batch is shared out to so many workers, whatever the number of threads: the sums are the same on every machine.
PARTS = 2
# Outputs along an axis of a window at most; and how many steps an epoch has at least, where the data allow it.
LONGEST = {1: 1024, 2: 64}
STEPS = 32
# Epochs without a gain after which the rate is halved, and after which training ends.
HALVED, PATIENCE = 4, 12
# Training whose error is so many times the power of the target has diverged. With a tenth of the rate it
# is begun again, at most so often.
HOPELESS, RESTARTS = 1e4, 5


@dataclass(frozen=True, kw_only=True)
class Course:
    """How to train.

    batch : windows to a step; rate : of learning; decay : of the weights; threads : None, as many as cores
    """

    layers: str
    epochs: int = 100
    batch: int = 32
    rate: float = 0.003
    decay: float = 1e-4
    seed: int = 0
    threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What came of an epoch: mean squared errors while learning and on what is held out (None where nothing is)."""

    number: int
    train: float
    held: float | None
    best: bool


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Who looks on: told of every epoch, and asked before every step whether to stop."""

    tell: Callable[[Epoch], None] = lambda _: None
    stop: Callable[[], bool] = lambda: False


@dataclass
class Outcome:
    """The best weights so far."""

    numbers: Vector
    error: float = math.inf
    best: int = 0
    last: int = 0
    rate: float = 0.0
    restarts: int = 0
    interrupted: bool = False


class School:
    """A network, what it is trained on, and the workers that share out each batch."""

    def __init__(
        self, net: Net, course: Course, segments: list[Segment], stand: Stand, *, dtype: Any
    ) -> None:
        self.net, self.course = net, course
        count = sum(int(np.count_nonzero(each.train)) for each in segments)
        self.batch = max(PARTS, -(-course.batch // PARTS) * PARTS)
        outputs = window_size(stand, count // math.prod(stand.step), self.batch)
        self.workers = [Worker(net, self.batch // PARTS, outputs, dtype) for _ in range(PARTS)]
        self.material = Material(segments, stand, outputs, self.workers[0].x.shape[1:-1], dtype)
        self.decays = np.concatenate(
            [
                np.repeat([1.0, 0.0], [each.weight_count, each.parameters - each.weight_count])
                for each in net.weighted
            ]
        )
        power = sum(
            float(np.vdot(known, known)) for known in known_parts(segments, "y", "train")
        ) / max(1, count)
        self.hopeless = HOPELESS * max(1.0, power)
        self.checked = any(each.held.any() for each in segments)
        small = self.workers[0].x.size < 1 << 12
        self.threads = 1 if small else min(PARTS, course.threads or cores())

    def train(self, watch: Watch) -> Outcome:
        """Epochs until there are enough, nothing is gained any more, or `watch` says stop."""
        random = np.random.default_rng(self.course.seed)
        numbers = self.net.started(random)
        outcome = Outcome(numbers.copy(), rate=self.course.rate)
        adam = Adam(len(numbers), rate=self.course.rate, decay=self.course.decay)
        with Workers(self.threads) as workers:
            for epoch in range(1, self.course.epochs + 1):
                trained = self.epoch(
                    self.material.scattered(random), numbers, adam, workers, watch.stop
                )
                if trained is None:
                    outcome.interrupted = True
                    break
                held = self.error(numbers, workers, held=True) if self.checked else None
                error = trained if held is None else held
                if not error < self.hopeless:
                    adam = self._again(outcome)
                    numbers[:] = outcome.numbers
                    continue
                better = error < outcome.error
                if better:
                    outcome.numbers, outcome.error, outcome.best = numbers.copy(), error, epoch
                outcome.last = epoch
                watch.tell(Epoch(number=epoch, train=trained, held=held, best=better))
                idle = epoch - outcome.best
                if idle >= PATIENCE:
                    break
                if idle and idle % HALVED == 0:
                    adam.rate /= 2
        return outcome

    def _again(self, outcome: Outcome) -> Adam:
        """A new start from the best weights, with smaller steps."""
        outcome.restarts += 1
        if outcome.restarts > RESTARTS:
            raise diverged(outcome.rate)
        outcome.rate /= 10
        return Adam(len(outcome.numbers), rate=outcome.rate, decay=self.course.decay)

    def epoch(
        self,
        places: Places,
        numbers: Vector,
        adam: Adam,
        workers: Workers,
        stop: Callable[[], bool],
    ) -> float | None:
        """One pass over the windows at `places`: the mean squared error on the way, or None where it was stopped."""
        steps = -(-len(places) // self.batch)
        places = np.resize(
            places, (steps * self.batch, places.shape[1])
        )  # the last batch is filled up from the first
        total = count = 0.0
        for step in range(steps):
            if stop():
                return None
            some = places[step * self.batch : (step + 1) * self.batch]
            parts = np.split(some, PARTS)
            weight = self._weight(some)
            learned = partial(self._learned, numbers=numbers, weight=weight)
            done = list(workers.map(learned, zip(self.workers, parts, strict=True)))
            loss = sum(loss for loss, _ in done)
            if not loss < self.hopeless * max(1.0, weight):
                return math.inf
            gradient = sum((gradient for _, gradient in done[1:]), done[0][1].copy())
            gradient[self.net.left_out] = 0
            adam.step(numbers, gradient, self.decays)
            total, count = total + loss, count + weight
        return total / max(1.0, count)

    def _weight(self, places: Places) -> float:
        """How many numbers the windows at `places` are compared in."""
        return float(self.material.count(places) * self.workers[0].dy.shape[-1])

    def _learned(
        self, job: tuple[Worker, Places], *, numbers: Vector, weight: float
    ) -> tuple[float, Vector]:
        """The sum of squared errors of some windows, and the gradient of what it adds to the mean over the batch."""
        worker, places = job
        with np.errstate(over="ignore", invalid="ignore"):  # the loss is looked at
            worker.load(numbers)
            target, weights = self.material.fill(worker, places, held=False)
            error = np.subtract(worker.forward(), target, out=target)
            error *= weights
            loss = float(np.vdot(error, error))
            np.multiply(error, 2 / max(1.0, weight), out=worker.slopes)
            return loss, worker.backward()

    def error(self, numbers: Vector, workers: Workers, *, held: bool) -> float:
        """The mean squared error at the samples where `model:` has outputs."""
        places = self.material.in_order(held=held)
        with np.errstate(over="ignore", invalid="ignore"):
            for worker in self.workers:
                worker.load(numbers)
        size = self.batch // PARTS
        total = count = 0.0
        for first in range(0, len(places), self.batch):
            parts = [
                places[at : at + size]
                for at in range(first, min(first + self.batch, len(places)), size)
            ]
            jobs = zip(self.workers, parts, strict=False)
            for loss, weight in workers.map(partial(self._checked, held=held), jobs):
                total, count = total + loss, count + weight
        return total / count if count else math.nan

    def _checked(self, job: tuple[Worker, Places], *, held: bool) -> tuple[float, float]:
        """The sum of squared errors of some windows, and how many numbers were compared."""
        worker, places = job
        full = np.resize(places, (worker.batch, places.shape[1]))
        with np.errstate(over="ignore", invalid="ignore"):
            target, weights = self.material.fill(worker, full, held=held)
            weights[len(places) :] = False
            error = np.subtract(worker.forward(), target, out=target)
            error *= weights
            return float(np.vdot(error, error)), float(np.count_nonzero(weights) * error.shape[-1])


def diverged(rate: float) -> RequestError:
    """What is said of training that gave it up."""
    message = f"training diverges, even at a learning rate of {rate:g}"
    return RequestError(message, hint="--learning-rate 1e-5, or look at the data for huge values")


def window_size(stand: Stand, count: int, batch: int) -> Sizes:
    """How many outputs to a window on each axis: as many as fit the caches, and leave some steps to an epoch."""
    wanted = max(1, count // (batch * STEPS))
    axes = len(stand.step)
    side = max(1, math.floor(wanted ** (1 / axes)))
    # Layers compute some outputs at once, and few are wasted where their number is a round one.
    side = side if side < 8 else round(side / 8) * 8
    return tuple(min(side, max(1, LONGEST[axes] // s)) for s in stand.step)
