"""What was learned, and what it is worth."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ErrorFacts:
    """The root mean squared error of one way to answer, on what was learned from and on what was held out."""

    name: str
    train: float
    held: float | None = None


@dataclass(frozen=True, kw_only=True)
class RidgeFacts:
    """A ridge that was tried, and the root mean squared error by which it was judged."""

    ridge: float
    error: float


@dataclass(frozen=True, kw_only=True)
class DelayFacts:
    """How much later a target is than its input, per sample axis; correlation is None where that was given.

    noun : what a sample is called; rival : another lag that would do about as well; limit : the largest looked at
    """

    input: str
    samples: tuple[int, ...]
    noun: str = "sample"
    seconds: float | None = None
    correlation: float | None = None
    rival: tuple[int, ...] | None = None
    limit: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """How a network was trained.

    epochs, best : how many there were, and after which it was best; batch : windows to a step; rate : of learning, in
    the end; decay : of the weights; restarts : how often it diverged and was begun again
    """

    epochs: int
    best: int
    seed: int
    batch: int
    rate: float
    decay: float
    restarts: int


@dataclass(frozen=True, kw_only=True)
class MovedFacts:
    """How an answer fares when the same signal begins one sample later.

    before, after : root mean squared errors on what was learned from and on what was held out (None: nothing was)
    differs : root mean square of the change of the answer to one and the same sample
    """

    name: str
    parameters: int
    before: tuple[float, float | None]
    after: tuple[float, float | None]
    differs: float


@dataclass(frozen=True, kw_only=True)
class LearningFacts:
    """A layer that was learned, and what it is worth.

    task : in words; layers : as in FILTER; parameters : how many numbers; samples, held_out : learned from and not
    ridge : as used; judged : by what it was chosen; tried : all of them; deficient : whether the data left taps open
    errors : the filter first, then the naive answers; against : what they are the errors of
    power, power_held : root mean square of that, for errors in decibels; None where these say nothing
    noise : standard deviation of the white noise, when blind; noise_given : whether it was said, not estimated
    full_scale : of a picture of whole numbers, in which the noise is told; the errors are parts of it
    passed_over : windows in which something is missing
    training : how, where it was not solved; moved : of a dense layer and a filter, one sample later
    """

    task: str
    layers: str
    taps: tuple[int, ...]
    bias: bool
    parameters: int
    samples: int
    held_out: int
    ridge: float
    judged: str
    tried: tuple[RidgeFacts, ...]
    deficient: bool
    errors: tuple[ErrorFacts, ...]
    against: str
    power: float | None = None
    power_held: float | None = None
    delays: tuple[DelayFacts, ...] = ()
    noise: float | None = None
    noise_given: bool = False
    full_scale: float | None = None
    passed_over: int = 0
    training: TrainingFacts | None = None
    moved: tuple[MovedFacts, ...] = ()
