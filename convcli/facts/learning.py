"""What was learned, and what it is worth."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.facts import DRAWN

if TYPE_CHECKING:
    from convcli.facts.preview import Numbers


@dataclass(frozen=True, kw_only=True)
class ErrorFacts:
    """Root mean squared errors of one answer, on training samples and on held-out samples."""

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
    """By how much a target is later than its input.

    input : name of the input file
    samples : the delay along each sample axis, negative if the target is earlier
    noun : what one sample is called
    seconds : the delay of a sound
    correlation : of input and target at this delay, -1 to 1; None if the delay was given
    rival : another delay that is about as likely
    limit : the largest delay that was examined, along each axis; empty if the delay was given
    """

    input: str
    samples: tuple[int, ...]
    noun: str = "sample"
    seconds: float | None = None
    correlation: float | None = None
    rival: tuple[int, ...] | None = None
    limit: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EpochFacts:
    """Root mean squared errors of one epoch, in the units of the target.

    train : over the epoch, while the weights changed; held : at its end, None without held-out data
    """

    number: int
    train: float
    held: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """How a network was trained.

    epochs : number of epochs; best : the epoch whose weights were kept
    batch : windows in a mini-batch
    rate : learning rate after the last restart; decay : weight decay
    restarts : how often training diverged and started again with a smaller learning rate
    losses : of each epoch
    """

    epochs: int
    best: int
    seed: int
    batch: int
    rate: float
    decay: float
    restarts: int
    losses: tuple[EpochFacts, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MovedFacts:
    """Errors of an answer before and after the signal is moved by one sample.

    before, after : root mean squared errors on training samples and on held-out samples
    differs : root mean square of the change of the answer to the same sample
    """

    name: str
    parameters: int
    before: tuple[float, float | None]
    after: tuple[float, float | None]
    differs: float


@dataclass(frozen=True, eq=False, kw_only=True)
class ExampleFacts:
    """What a model makes of a part of its input, beside the target, in the units of the model.

    first : index of the first sample along each axis; held : whether the part was held out
    rate : samples per second along the first axis; None of a signal that knows no time
    times : (n,) of the rows of a table in seconds since 1970 in local time; None if they have none
    dated : these are dates, not numbers
    channel : name of the first channel of the target; beside : the channel of the input that is
        drawn beside it
    input, target, prediction : (n, channels) or (rows, columns, channels)
    """

    channel: str
    beside: int
    first: tuple[int, ...]
    held: bool
    rate: float | None
    times: Numbers | None = None
    dated: bool = False
    input: Numbers
    target: Numbers
    prediction: Numbers


@dataclass(frozen=True, kw_only=True)
class LearningFacts:
    """A model that was learned, and what it is worth.

    task : kind of task; layers : as written in FILTER; taps : of a linear layer, else empty
    bias : whether a linear layer has a constant; parameters : how many numbers were learned
    samples, held_out : how many samples were trained on, and how many were held out
    ridge : strength of the ridge; judged : how it was chosen; tried : all ridges that were tried
    deficient : whether the data do not determine all taps
    errors : of the model, then of the naive answers
    against : the target of the errors, if it is not the target of learning
    power, power_held : root mean square of the target on training samples and on held-out samples,
        for errors in decibels; None if decibels mean nothing
    noise : standard deviation of white noise in a blind task; noise_given : whether it was given,
        not estimated
    full_scale : of a picture of whole numbers, the unit of the noise; errors are parts of it
    passed_over : windows that were skipped because a value is missing
    example : prediction beside target, in a report; None where outputs are not samples of the input
    training : of a network; moved : of a dense layer and the filter beside it
    residual : whether the input is added to what the layers make
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
    example: ExampleFacts | None = field(default=None, compare=False, metadata=DRAWN)
    training: TrainingFacts | None = None
    moved: tuple[MovedFacts, ...] = ()
    residual: bool = False

    @property
    def formula(self) -> str:
        """The layers, and the input where it is added to what they make."""
        return f"x + ({self.layers})" if self.residual else self.layers
