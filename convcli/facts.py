"""The facts of a run: what was read, each step as designed, what was written and what was lost.

Filled in by whoever does the work, rendered by `convcli.report`; nothing is computed here. Lengths are in samples
(rows, pixels) unless a name says otherwise; a number that is not known is None.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class InputFacts:
    """What was read.

    path : as the user wrote it, `-` for standard input; signal : in words (`2 channels, 44100 Hz, 16 bit`)
    shape : samples along each sample axis; rate : samples per second, None where the signal knows no time
    details : whatever else the medium knows (format, subtype, tags, delimiter, ...)
    """

    path: str
    medium: str
    signal: str = ""
    shape: tuple[int | None, ...] = ()
    channels: tuple[str, ...] = ()
    rate: float | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class OutputFacts:
    """What was written; the fields are those of `InputFacts`."""

    path: str
    medium: str
    signal: str = ""
    shape: tuple[int | None, ...] = ()
    channels: tuple[str, ...] = ()
    rate: float | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReachFacts:
    """How far one output looks along one sample axis, and how outputs are spaced: `phases` for every `step` inputs."""

    before: int
    after: int
    step: int = 1
    phases: int = 1


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """One layer of a learned network, counted from 0.

    text : as written; parameters : how many numbers were learned; channels : that come out of it
    reach : from an output of the layer to the input of the network, one per sample axis; None after a layer that sees
    the whole signal
    """

    text: str
    parameters: int
    channels: int
    reach: tuple[ReachFacts, ...] | None


@dataclass(frozen=True, kw_only=True)
class StepFacts:
    """One step as designed, or the whole chain as one step.

    text : as written in FILTER; name : of the step; shape : of the taps, `(255,)` or `(9, 9)`; taps : how many
    sum : of the taps; dc_gain : what a constant is multiplied by; delay : in input samples along axis 0
    look_ahead : later samples that an output reads; reach : one per sample axis
    note : what the design has to say (`ir: 48000 -> 22050 Hz`)
    weights : the taps themselves, for a drawing, one axis only; response : pairs of frequency and gain in dB
    frequency_unit : of the response (`Hz`, `cycles/row`); layers : of a learned network
    """

    text: str
    name: str
    taps: int | None = None
    shape: tuple[int, ...] = ()
    sum: float | None = None
    dc_gain: float | None = None
    delay: float | None = None
    look_ahead: int | None = None
    reach: tuple[ReachFacts, ...] = ()
    note: str = ""
    weights: tuple[float, ...] = ()
    response: tuple[tuple[float, float], ...] = ()
    frequency_unit: str = "cycles/sample"
    layers: tuple[LayerFacts, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LossFacts:
    """What was lost or is not quite what it seems.

    clipped, missing : samples per channel; became_missing : results that have no value where the input had one
    edge_affected : outputs that read past an end of the signal
    other : further counts by their names
    """

    clipped: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    became_missing: Mapping[str, int] = field(default_factory=dict)
    edge_affected: int = 0
    other: Mapping[str, int] = field(default_factory=dict)


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
    passed_over: int = 0
    training: TrainingFacts | None = None
    moved: tuple[MovedFacts, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PrefixFacts:
    """One column, of one group, filtered in prefixes of the data and in the whole.

    row : the first data row whose value changed, from 1, or None; whole, prefix : what it was in both, None for none
    known : how many rows of the group that prefix held
    difference : of the first row that changed; largest : of all rows
    """

    column: str
    group: str = ""
    row: int | None = None
    whole: float | None = None
    prefix: float | None = None
    known: int | None = None
    difference: float | None = None
    largest: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CausalityFacts:
    """What `--causal-check` found.

    prefixes : how many were run; exact : whether bits were compared, else FFT arithmetic has its rounding
    columns : one entry per column and group
    """

    prefixes: int
    exact: bool = True
    columns: tuple[PrefixFacts, ...] = ()

    @property
    def changed(self) -> tuple[PrefixFacts, ...]:
        """Where something changed."""
        return tuple(each for each in self.columns if each.row is not None)


@dataclass(frozen=True, kw_only=True)
class DetectionFacts:
    """What `detect` was asked for and what it found.

    templates : as read; threshold, overlap, top : as asked for; best_score : of all places, however low
    hits : every place by the names of its columns, best first
    """

    templates: tuple[InputFacts, ...]
    threshold: float
    overlap: float
    top: int | None
    best_score: float | None
    hits: tuple[Mapping[str, str | int | float], ...]


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Everything about one input filtered into one output.

    command : the words of the command line; filter : FILTER as written; edge, align, missing : the rules that held
    chain : all steps as one; seconds : what the run took
    """

    version: str
    filter: str
    command: tuple[str, ...] = ()
    edge: str = ""
    align: str = ""
    missing: str = ""
    inputs: tuple[InputFacts, ...] = ()
    steps: tuple[StepFacts, ...] = ()
    chain: StepFacts | None = None
    outputs: tuple[OutputFacts, ...] = ()
    losses: LossFacts = field(default_factory=LossFacts)
    learned: LearningFacts | None = None
    causality: CausalityFacts | None = None
    detection: DetectionFacts | None = None
    warnings: tuple[str, ...] = ()
    seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The facts as JSON can hold them: NaN and infinity are null, bytes that are no text are escaped."""
        plain: dict[str, Any] = to_plain(self)
        return plain


@dataclass(frozen=True, kw_only=True)
class SumFacts:
    """One output of a convolution: what lies under the kernel, and what comes of it.

    at : which output, one index per sample axis; first : the first input under the kernel
    x : the inputs under the kernel, None where missing; outside : which of them lie outside of the signal
    products : of inputs and kernel; total : their sum; y : the output, None where it is missing
    Nested like the axes of the signal: (k,) or (height, width).
    """

    at: tuple[int, ...]
    first: tuple[int, ...]
    x: Any
    outside: Any
    products: Any
    total: float
    y: float | None


@dataclass(frozen=True, kw_only=True)
class StageFacts:
    """One operation of a chain as it is computed.

    text : of the step; flipped : whether its taps run backwards over the signal, None where it has none
    taps : as given; laid : as they lie over the signal; divisor : of the sums; stride : inputs from output to output
    before, after : inputs read on both sides of the one that an output stands at; gaps : what a missing input does
    first : index of the first input; length : of the signal inside; inputs : the signal with what lies outside
    sums : of a convolution; outputs : all outputs, nested like the axes of the signal
    """

    text: str
    first: tuple[int, ...]
    length: tuple[int, ...]
    inputs: Any
    outputs: Any
    flipped: bool | None = None
    taps: Any = ()
    laid: Any = ()
    divisor: float = 1.0
    stride: tuple[int, ...] = (1,)
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    gaps: str = ""
    sums: tuple[SumFacts, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ExplanationFacts:
    """A FILTER computed on a small signal, step by step.

    result : the outputs; matrix : the filter as a matrix, a row for each output and a column for each sample, or None
    torch : what computes the same in PyTorch; empty where nothing simple does
    """

    filter: str
    edge: str
    align: str
    stages: tuple[StageFacts, ...]
    result: Any
    matrix: Any = None
    torch: str = ""


def to_plain(value: object) -> Any:
    """`value` in the types of JSON; numbers and arrays of any library by their own conversions."""
    if value is None or isinstance(value, bool):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: to_plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, (str, bytes, os.PathLike)):
        return _text(value)
    if isinstance(value, Mapping):
        return {str(to_plain(key)): to_plain(entry) for key, entry in value.items()}
    # Scalars and arrays of array libraries know how to become Python's own.
    plain = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(plain, Iterable):
        return [to_plain(entry) for entry in plain]
    return _number(plain)


def _number(value: object) -> int | float | str | None:
    """A number as it is, null where JSON has none for it; anything else as its text."""
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _text(str(value))


def _text(value: str | bytes | os.PathLike[Any]) -> str:
    """Text that UTF-8 can hold: bytes and half characters that it cannot are escaped."""
    if not isinstance(value, str):
        return os.fsencode(value).decode("utf-8", "backslashreplace")
    return _SURROGATE.sub(_escape, value)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    # A byte of a file name that is not UTF-8 reaches Python as a surrogate from U+DC80 on.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
