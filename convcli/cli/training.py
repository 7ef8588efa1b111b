"""`convcli learn --layers`: what is asked of the training, a bar, and Ctrl-C that keeps the best so far."""

from __future__ import annotations

import math
import signal as signals
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from convcli import __version__
from convcli.errors import RequestError
from convcli.facts.learning import MovedFacts, TrainingFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from convcli.cli.lesson import Asked
    from convcli.cli.progress import Progress
    from convcli.facts.learning import LearningFacts
    from convcli.learning.learn import Learned
    from convcli.learning.lessons import Lesson
    from convcli.learning.perceptron import Perceptron
    from convcli.learning.school import Course, Epoch
    from convcli.learning.training import Trained
    from convcli.signals import Signal, Source

    Pairs = Sequence[tuple[Source[Any], Source[Any] | None]]

DENSE = "dense"


@dataclass(frozen=True, kw_only=True)
class Training:
    """What was asked for of the training, as written; None where nothing was."""

    layers: str | None
    epochs: int | None
    batch: int | None
    learning_rate: float | None
    weight_decay: float | None
    seed: int | None
    threads: int | None

    def course(self) -> Course:
        """How to train, with the defaults for what was not asked."""
        from convcli.learning.school import Course

        given = {
            "epochs": self.epochs,
            "batch": self.batch,
            "rate": self.learning_rate,
            "decay": self.weight_decay,
        }
        given |= {"seed": self.seed, "threads": self.threads}
        known = {name: value for name, value in given.items() if value is not None}
        return Course(layers=self.layers or "", **known)  # type: ignore[arg-type]


def check_training(training: Training, asked: Asked) -> None:
    """Refuse what does not go together with --layers, or not without."""
    given = [
        name for name, value in vars(training).items() if value is not None and name != "layers"
    ]
    option = f"--{given[0].replace('_', '-')}" if given else ""
    if training.layers is None:
        if given:
            raise RequestError(
                f"{option} is for training", hint='--layers "conv:8,7 | relu | conv:1,5"'
            )
        return
    if training.layers.strip() == DENSE:
        if asked.blind:
            raise RequestError(
                "--blind is for filters: a dense layer has no neighbours",
                hint="without --layers dense",
            )
        if given:
            raise RequestError(
                f"{option} is for training, and a dense layer is solved", hint=f"without {option}"
            )
        return
    _check_numbers(training)
    for name, value, instead in (
        ("--taps", asked.taps, "the layers have their own: conv:8,7"),
        ("--ridge", asked.ridge, "--weight-decay"),
        ("--bias", asked.bias, "conv:8,7,bias=false"),
        ("--noise", asked.noise, "a network gives back nothing of the sample itself"),
    ):
        if value is not None:
            raise RequestError(f"{name} is for one linear layer", hint=instead)


def _check_numbers(training: Training) -> None:
    for option, number in (
        ("--learning-rate", training.learning_rate),
        ("--weight-decay", training.weight_decay),
    ):
        if number is not None and not math.isfinite(number):
            raise RequestError(f"{option} expects a number, got {number:g}")


@dataclass(frozen=True)
class Taught:
    """What was learned: a linear layer, and what it is compared with where a network or a dense layer was asked for."""

    learned: Learned
    network: Trained | None = None
    dense: Perceptron | None = None

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self.network is not None and self.network.interrupted

    @property
    def runs(self) -> bool:
        """Whether it is a filter that `model:` can run."""
        return self.dense is None

    def model(self, lesson: Lesson, signal: Signal) -> tuple[dict[str, Any], dict[str, str]]:
        """The tensors and the metadata of the model file."""
        from convcli.learning.learn import model_of

        made = self.network or self.dense
        if made is None:
            return model_of(self.learned, lesson, signal, version=__version__)
        return made.model(lesson, signal, version=__version__)

    def facts(self, facts: LearningFacts) -> LearningFacts:
        """The facts, from those of the linear layer."""
        made = self.network or self.dense
        if made is None:
            return facts
        facts = replace(facts, layers=made.layers, parameters=made.parameters, tried=(), bias=False)
        if self.dense is not None:
            return replace(
                facts, moved=tuple(MovedFacts(**vars(each)) for each in self.dense.moved)
            )
        return replace(
            facts, training=None if self.network is None else _training_facts(self.network)
        )

    def warnings(self, place: Path) -> Iterator[str]:
        """What ended the training before its time, or began it anew."""
        if self.network is None:
            return
        if self.network.restarts:
            yield f"training diverged and was begun again with a learning rate of {self.network.rate:g}"
        if self.interrupted:
            yield f"interrupted after epoch {self.network.last}: {place} has the best until then"


def _training_facts(made: Trained) -> TrainingFacts:
    return TrainingFacts(
        epochs=made.last,
        best=made.best,
        seed=made.course.seed,
        batch=made.course.batch,
        rate=made.rate,
        decay=made.course.decay,
        restarts=made.restarts,
    )


def taught_by(
    training: Training, lesson: Lesson, pairs: Pairs, progress: Progress
) -> Taught | None:
    """What is learned; None where Ctrl-C came before there was anything."""
    if training.layers is None:
        from convcli.learning.learn import learn

        return Taught(learn(lesson, pairs, watch=progress.advance))
    if training.layers.strip() == DENSE:
        from convcli.learning.perceptron import fit_perceptron

        dense = fit_perceptron(lesson, pairs)
        return Taught(dense.learned, dense=dense)
    network = _trained(training, lesson, pairs, progress)
    return None if network is None else Taught(network.learned, network=network)


def _trained(
    training: Training, lesson: Lesson, pairs: Pairs, progress: Progress
) -> Trained | None:
    """A network, trained with a bar."""
    from convcli.learning.school import Watch
    from convcli.learning.training import train

    course = training.course()
    progress.expect(course.epochs)
    with first_interrupt() as stop:
        watch = Watch(tell=lambda epoch: progress.advance(1, _told(epoch)), stop=stop)
        return train(lesson, course, pairs, watch)


@contextmanager
def first_interrupt() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed; pressed again, it ends the program as everywhere."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    before = signals.getsignal(signals.SIGINT)

    def press(*_: object) -> None:
        pressed.set()
        signals.signal(signals.SIGINT, before)

    signals.signal(signals.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signals.signal(signals.SIGINT, before)


def _told(epoch: Epoch) -> str:
    """An epoch, for the bar."""
    from convcli.report.words import number

    held = "" if epoch.held is None else f", held out {number(epoch.held)}"
    return f"epoch {epoch.number}: loss {number(epoch.train)}{held}"
