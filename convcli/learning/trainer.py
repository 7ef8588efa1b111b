"""Training of a network: epochs of mini-batches, shared between threads, with an early stop.

The optimizer is Adam.
"""

from __future__ import annotations

import math
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.layers.training.gradients import Worker
from convcli.learning.dataset import rows_where
from convcli.learning.sampler import WindowSampler
from convcli.running.workers import Workers, cores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convcli.array_types import IntArray, Sizes
    from convcli.layers.training.layer_stack import LayerStack
    from convcli.layers.training.trained import Vector
    from convcli.learning.dataset import ReceptiveField, TrainingSignal
    from convcli.signals import Array


# Decay of the running means of the gradient and of its square, and the term that avoids 0 / 0.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Gradient descent with a step size for every weight.

    Adam (Kingma & Ba 2015) with weight decay apart from the gradient (AdamW: Loshchilov & Hutter
    2019). `decays` is 1 for parameters that decay (weights) and 0 for others (biases).
    """

    def __init__(self, decays: Vector, *, learning_rate: float, weight_decay: float) -> None:
        self.decays = decays
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.mean = np.zeros(len(decays))
        self.square = np.zeros(len(decays))
        self.steps = 0

    def step(self, parameters: Vector, gradient: Vector) -> None:
        """Change `parameters` in place."""
        self.steps += 1
        with np.errstate(over="ignore", invalid="ignore"):  # the loss shows a divergence
            parameters -= self.learning_rate * self.weight_decay * self.decays * parameters
            self.mean += (1 - BETA_1) * (gradient - self.mean)
            self.square += (1 - BETA_2) * (gradient * gradient - self.square)
            mean = self.mean / (1 - BETA_1**self.steps)
            square = self.square / (1 - BETA_2**self.steps)
            parameters -= self.learning_rate * mean / (np.sqrt(square) + EPSILON)


# A batch is divided between this many workers, for any number of threads, so that its sums are the
# same on every machine.
PARTS = 2
# Largest number of input samples that the outputs of one window cover along an axis, and smallest
# number of steps in an epoch where the data allow it.
LONGEST = {1: 1024, 2: 64}
STEPS = 32
# Epochs without an improvement after which the learning rate is halved, and training ends.
HALVED, PATIENCE = 4, 12
# Training has diverged if its error is DIVERGED times the power of the target. It then starts again
# from the best parameters with a tenth of the learning rate, at most MOST_RESTARTS times.
DIVERGED, MOST_RESTARTS = 1e4, 5
# Batches with fewer input samples are not worth a second thread.
SMALL = 1 << 12


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a network is trained.

    batch : windows in one mini-batch; threads : None takes one for each core
    """

    epochs: int = 100
    batch: int = 32
    learning_rate: float = 0.003
    weight_decay: float = 1e-4
    seed: int = 0
    threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """Mean squared errors of one epoch, in the units of training.

    train : mean over the epoch, while the parameters changed; held : at its end, None if nothing
        is held out; best : whether this epoch is the best so far
    """

    number: int
    train: float
    held: float | None
    best: bool


@dataclass(frozen=True, kw_only=True)
class Callbacks:
    """Functions that learning calls while it runs.

    on_samples : with the number of samples read since the last call, while equations are summed
    on_epoch : after every epoch of training
    should_stop : before every mini-batch; True ends the training
    """

    on_samples: Callable[[int], None] = lambda _: None
    on_epoch: Callable[[Epoch], None] = lambda _: None
    should_stop: Callable[[], bool] = lambda: False


class TrainingStoppedError(Exception):
    """A callback stopped the training before its first epoch had ended."""


@dataclass
class History:
    """What happened in training, and the best parameters.

    error : the smallest error so far, that of the best parameters
    best, last : numbers of the best and of the last epoch, 0 before the first has ended
    learning_rate : the learning rate after the last restart
    restarts : how often training diverged
    epochs : the epochs that have ended
    """

    parameters: Vector
    learning_rate: float
    epochs: list[Epoch] = field(default_factory=list)
    error: float = math.inf
    best: int = 0
    last: int = 0
    restarts: int = 0
    interrupted: bool = False

    def update(self, epoch: Epoch, parameters: Vector) -> None:
        """Note an epoch, and keep its parameters if it is the best."""
        self.last = epoch.number
        self.epochs.append(epoch)
        if epoch.best:
            self.parameters = parameters.copy()
            self.error = epoch.train if epoch.held is None else epoch.held
            self.best = epoch.number


class Trainer:
    """Trains one network on signals.

    checked : whether there are held-out samples, which then decide what is best
    """

    def __init__(
        self,
        net: LayerStack,
        options: TrainingOptions,
        signals: Sequence[TrainingSignal],
        field: ReceptiveField,
    ) -> None:
        self.net = net
        self.options = options
        # Every worker gets as many windows of a batch as the others.
        self.part = max(1, -(-options.batch // PARTS))
        self.batch = self.part * PARTS
        masks = [each.train for each in signals]
        count = sum(int(np.count_nonzero(mask)) for mask in masks)
        outputs = window_outputs(field, count // math.prod(field.step), self.batch)
        self.workers = [Worker(net, self.part, outputs, np.float32) for _ in range(PARTS)]
        reads = self.workers[0].x.shape[1:-1]
        self.sampler = WindowSampler(signals, field, outputs, reads, np.float32)
        self.channels = self.workers[0].dy.shape[-1]
        self.checked = any(each.held.any() for each in signals)
        self.divergence = DIVERGED * max(1.0, _target_power(signals, count))
        self.threads = min(PARTS, options.threads or cores())
        if self.workers[0].x.size < SMALL:
            self.threads = 1

    def optimizer(self, learning_rate: float) -> Adam:
        """An optimizer that has made no step yet; weights decay, biases do not."""
        return Adam(
            self.net.decays,
            learning_rate=learning_rate,
            weight_decay=self.options.weight_decay,
        )

    def train(self, callbacks: Callbacks) -> History:
        """Run epochs until there are enough of them, nothing improves, or a callback says stop.

        Raises RequestError if training diverges with every learning rate, TrainingStoppedError if
        it is stopped in its first epoch.
        """
        random = np.random.default_rng(self.options.seed)
        parameters = self.net.started(random)
        history = History(parameters.copy(), self.options.learning_rate)
        adam = self.optimizer(history.learning_rate)
        with Workers(self.threads) as workers:
            for number in range(1, self.options.epochs + 1):
                positions = self.sampler.shuffled(random)
                train = self.epoch(positions, parameters, adam, workers, callbacks.should_stop)
                if train is None:
                    history.interrupted = True
                    break
                held = None
                if self.checked:
                    held = self.mean_squared_error(parameters, workers, held_out=True)
                error = train if held is None else held
                if not error < self.divergence:
                    adam = self._restart(history)
                    parameters[:] = history.parameters
                    continue
                best = error < history.error
                epoch = Epoch(number=number, train=train, held=held, best=best)
                history.update(epoch, parameters)
                callbacks.on_epoch(epoch)
                idle = number - history.best
                if idle >= PATIENCE:
                    break
                if idle and idle % HALVED == 0:
                    adam.learning_rate /= 2
        if history.best:
            return history
        if history.interrupted:
            raise TrainingStoppedError
        raise diverged(self.options.learning_rate)

    def _restart(self, history: History) -> Adam:
        """A new optimizer with smaller steps, after training has diverged."""
        history.restarts += 1
        if history.restarts > MOST_RESTARTS:
            raise diverged(history.learning_rate)
        history.learning_rate /= 10
        return self.optimizer(history.learning_rate)

    def epoch(
        self,
        positions: IntArray,
        parameters: Vector,
        adam: Adam,
        workers: Workers,
        should_stop: Callable[[], bool],
    ) -> float | None:
        """One pass over the windows at `positions`, which changes `parameters` in place.

        Returns the mean squared error on the way, infinity after a divergence, None if stopped.
        """
        steps = -(-len(positions) // self.batch)
        # Windows from the beginning fill up the last batch.
        positions = np.resize(positions, (steps * self.batch, positions.shape[1]))
        total = 0.0
        count = 0.0
        for step in range(steps):
            if should_stop():
                return None
            batch = positions[step * self.batch : (step + 1) * self.batch]
            compared = float(self.sampler.count(batch) * self.channels)
            loss, gradient = self._batch_gradient(batch, parameters, compared, workers)
            if not loss < self.divergence * max(1.0, compared):
                return math.inf
            adam.step(parameters, gradient)
            total += loss
            count += compared
        return total / max(1.0, count)

    def _batch_gradient(
        self, batch: IntArray, parameters: Vector, compared: float, workers: Workers
    ) -> tuple[float, Vector]:
        """Sum of squared errors of a batch, and the gradient of that sum over `compared`."""
        run = partial(self._forward_backward, parameters=parameters, compared=compared)
        jobs = zip(self.workers, np.split(batch, PARTS), strict=True)
        losses, gradients = zip(*workers.map(run, jobs), strict=True)
        gradient = gradients[0].copy()
        for other in gradients[1:]:
            gradient += other
        self.net.clear_blind(gradient)
        return sum(losses), gradient

    def _forward_backward(
        self, job: tuple[Worker, IntArray], *, parameters: Vector, compared: float
    ) -> tuple[float, Vector]:
        """Loss and gradient of one worker's part of a batch."""
        worker, positions = job
        with np.errstate(over="ignore", invalid="ignore"):  # the loss shows a divergence
            worker.load(parameters)
            target, weights = self.sampler.load(worker, positions, held_out=False)
            error = _errors(worker, target, weights)
            loss = float(np.vdot(error, error))
            np.multiply(error, 2 / max(1.0, compared), out=worker.output_gradient)
            return loss, worker.backward()

    def mean_squared_error(self, parameters: Vector, workers: Workers, *, held_out: bool) -> float:
        """Mean squared error where the model has outputs; NaN if it has none."""
        positions = self.sampler.in_order(held_out=held_out)
        with np.errstate(over="ignore", invalid="ignore"):
            for worker in self.workers:
                worker.load(parameters)
        run = partial(self._squared_error, held_out=held_out)
        total = 0.0
        count = 0.0
        for first in range(0, len(positions), self.batch):
            batch = positions[first : first + self.batch]
            parts = [batch[at : at + self.part] for at in range(0, len(batch), self.part)]
            jobs = zip(self.workers, parts, strict=False)
            for loss, compared in workers.map(run, jobs):
                total += loss
                count += compared
        return total / count if count else math.nan

    def _squared_error(
        self, job: tuple[Worker, IntArray], *, held_out: bool
    ) -> tuple[float, float]:
        """Sum of squared errors of some windows, and how many numbers were compared."""
        worker, positions = job
        full = np.resize(positions, (worker.batch, positions.shape[1]))
        with np.errstate(over="ignore", invalid="ignore"):
            target, weights = self.sampler.load(worker, full, held_out=held_out)
            weights[len(positions) :] = False
            error = _errors(worker, target, weights)
            compared = float(np.count_nonzero(weights) * error.shape[-1])
            return float(np.vdot(error, error)), compared


def _errors(worker: Worker, target: Array, weights: Array) -> Array:
    """The errors of the outputs of a worker, in place of the targets."""
    error = np.subtract(worker.forward(), target, out=target)
    error *= weights
    return error


def _target_power(signals: Sequence[TrainingSignal], count: int) -> float:
    """Mean square of the training targets."""
    power = 0.0
    for each in signals:
        for known in rows_where(each.y, each.train):
            power += float(np.vdot(known, known))
    return power / max(1, count)


def diverged(learning_rate: float) -> RequestError:
    """The error of a training that diverged with every learning rate."""
    return RequestError(
        f"training diverges, even at a learning rate of {learning_rate:g}",
        hint="--learning-rate 1e-5, or look at the data for huge values",
    )


def window_outputs(field: ReceptiveField, count: int, batch: int) -> Sizes:
    """Outputs of one window along each axis.

    Windows are large enough to be fast and small enough to fit the caches, and `count` outputs give
    at least STEPS mini-batches if there are enough of them.
    """
    axes = len(field.step)
    wanted = max(1, count // (batch * STEPS))
    side = max(1, math.floor(wanted ** (1 / axes)))
    if side >= 8:
        # Layers compute several outputs at once, and a multiple of 8 wastes few of them.
        side = round(side / 8) * 8
    found = []
    for step, cell in zip(field.step, field.cell, strict=True):
        longest = max(1, LONGEST[axes] // step)
        cells = max(1, min(side, longest) // cell)
        found.append(cells * cell)
    return tuple(found)
