"""`convcli learn --layers`: training with a bar, Ctrl-C that keeps the best so far, and the errors side by side."""

from __future__ import annotations

import signal as signals
import threading
import time as clock
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convcli import __version__
from convcli.cli import INTERRUPTED, say, tell
from convcli.cli.progress import Progress
from convcli.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from convcli.engine.learn import Learned
    from convcli.engine.lessons import Lesson
    from convcli.engine.training import Course, Epoch, Trained
    from convcli.signals import Medium, Signal, Source

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
        from convcli.engine.training import Course

        given = {"epochs": self.epochs, "batch": self.batch, "rate": self.learning_rate, "decay": self.weight_decay}
        given |= {"seed": self.seed, "threads": self.threads}
        known = {name: value for name, value in given.items() if value is not None}
        return Course(layers=self.layers or "", **known)  # type: ignore[arg-type]


def check_training(
    training: Training, *, taps: str | None, blind: bool, ridge: float | None, bias: bool | None
) -> None:
    """Refuse what does not go together with --layers, or not without."""
    if training.layers is None:
        asked = [name for name, value in vars(training).items() if value is not None]
        if asked:
            raise RequestError(
                f"--{asked[0].replace('_', '-')} is for training", hint='--layers "conv:8,7 | relu | conv:1,5"'
            )
        return
    if blind:
        raise RequestError("--blind is for one linear layer: a network would learn to give back what it reads")
    if training.layers.strip() == DENSE:
        return
    for name, value, instead in (
        ("--taps", taps, "the layers have their own: conv:8,7"),
        ("--ridge", ridge, "--weight-decay"),
        ("--bias", bias, "conv:8,7,bias=false"),
    ):
        if value is not None:
            raise RequestError(f"{name} is for one linear layer", hint=instead)


def run_training(place: Path, lesson: Lesson, training: Training, pairs: Pairs, *, quiet: bool, started: float) -> int:
    """Train, write the model and tell; 130 where Ctrl-C ended it, with the best until then written."""
    from convcli.engine.training import Watch, train

    course, source = training.course(), pairs[0][0].signal
    progress = Progress(course.epochs, shown=not quiet)
    with ExitStack() as held:
        stop = held.enter_context(first_interrupt())
        held.callback(progress.close)
        watch = Watch(tell=lambda epoch: progress.advance(1, _told(epoch)), stop=stop)
        trained = train(lesson, course, pairs, watch)
    if trained is None:
        tell("interrupted before the first epoch ended: nothing was written", kind="warning")
        return INTERRUPTED
    write_model(place, *trained.model(lesson, source, course, version=__version__))
    if not quiet:
        _tell(trained, place, clock.perf_counter() - started, source)
    if trained.interrupted:
        tell(f"interrupted after epoch {trained.last}: {place} has the best until then", kind="warning")
        return INTERRUPTED
    return 0


def write_model(place: Path, tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    """The model file, complete or not at all."""
    from convcli.designs.weights import encode_weights
    from convcli.media.outputs import atomic

    encoded = encode_weights(tensors, metadata)
    with atomic(place) as path:
        path.write_bytes(encoded)


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


def _tell(trained: Trained, place: Path, seconds: float, source: Signal) -> None:
    """The summary, the errors side by side, and the honest word."""
    learned = trained.learned
    samples = f"{learned.train:,} samples learned from, {learned.held:,} held out"
    epochs = f"{trained.last} epoch{'s' * (trained.last != 1)}, the best was {trained.best}"
    head = f"{place}: {trained.layers}, {trained.parameters:,} parameters, {samples}"
    say(f"{head}, {epochs}, in {seconds:.3g} s")
    tell_scores(learned, source.medium)
    if trained.restarts:
        rate = f"{trained.rate:g}"
        tell(f"training diverged and was begun again with a learning rate of {rate}", kind="note")


def tell_scores(learned: Learned, medium: Medium) -> None:
    """The errors of what was learned and of the naive answers, side by side, and the honest word."""
    from convcli.report.words import number

    rows = [("root mean squared error", "learned from", "held out")]
    for score in learned.scores:
        held = "" if score.held is None else _error(score.held, learned.power, medium)
        rows.append((score.name, number(score.train), held))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for name, train, held in rows:
        say(f"  {name:<{widths[0]}}  {train:>{widths[1]}}  {held:<{widths[2]}}".rstrip())
    for name in learned.worse:
        where = "on what was held out" if learned.held else "on what it was learned from"
        tell(f"{learned.scores[0].name} is no better than {name!r} {where}", kind="warning")


def _error(error: float, power: float, medium: Medium) -> str:
    """An error, and for sound and pictures what it is in decibels below the target."""
    import math

    from convcli.report.words import number

    if medium == "table" or error <= 0 or power <= 0:
        return number(error)
    return f"{number(error)} ({20 * math.log10(error / power):.1f} dB)"
