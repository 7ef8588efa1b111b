"""The facts of a run: what was read, each step as designed, what was written and what was lost.

Filled in by whoever does the work, rendered by `convcli.report`; nothing is computed here. Lengths are in samples
(rows, pixels) unless a name says otherwise; a number that is not known is None.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convcli.facts.causality import CausalityFacts
    from convcli.facts.detection import DetectionFacts
    from convcli.facts.learning import LearningFacts

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


class OutputFacts(InputFacts):
    """What was written; the fields are those of `InputFacts`."""


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

    def __add__(self, more: LossFacts) -> LossFacts:
        """Return the losses of two inputs, such as the pages of a picture, taken together."""
        return LossFacts(
            clipped=Counter(self.clipped) + Counter(more.clipped),
            missing=Counter(self.missing) + Counter(more.missing),
            became_missing=Counter(self.became_missing) + Counter(more.became_missing),
            edge_affected=self.edge_affected + more.edge_affected,
        )


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
