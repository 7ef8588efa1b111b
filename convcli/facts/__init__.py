"""The facts of a run: what was read, each step as designed, what was written and what was lost.

The engine builds facts where it computes them, and `convcli.report` renders them. The names of the
fields are the keys of JSON reports. Lengths are in samples (rows, pixels) unless a name says
otherwise; None means that a number is not known.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import field, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from convcli.dataclass import dataclass
from convcli.signals import Medium

if TYPE_CHECKING:
    from convcli.facts.batch import BatchFacts, UnitFailure
    from convcli.facts.causality import CausalityFacts
    from convcli.facts.comparison import ComparisonFacts
    from convcli.facts.detection import DetectionFacts, FoundHits
    from convcli.facts.learning import LearningFacts
    from convcli.facts.preview import FeatureMapFacts, PreviewFacts, SearchedFacts
    from convcli.signals import Signal

# The metadata of a field that is for drawings alone: JSON leaves it out.
DRAWN = {"drawn": True}

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """A file that was read or written.

    path : as the user wrote it, `-` for standard input or output
    medium : what kind of signal it holds; JSON holds its name
    signal : a description (`2 channels, 44100 Hz, 16 bit`)
    shape : samples along each sample axis
    rate : samples per second; None for a signal that knows no time
    details : whatever else the medium knows (format, subtype, tags, delimiter, ...)
    """

    path: str
    medium: Medium | str
    signal: str = ""
    shape: tuple[int | None, ...] = ()
    channels: tuple[str, ...] = ()
    rate: float | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ModelFileFacts(FileFacts):
    """A model file that was written."""

    medium: str = "model"


@dataclass(frozen=True, kw_only=True)
class InputFacts(FileFacts):
    """A file that a signal was read from, and that signal."""

    medium: Medium

    @classmethod
    def of(
        cls,
        path: str,
        signal: Signal,
        *,
        shape: tuple[int | None, ...] | None = None,
        details: Mapping[str, object] | None = None,
    ) -> Self:
        """The facts of `signal`, read from or written to `path`.

        shape : the shape that was counted, where `signal` did not know it beforehand
        """
        return cls(
            path=path,
            medium=signal.medium,
            shape=signal.shape if shape is None else shape,
            channels=signal.channels,
            rate=signal.rate,
            details=details or {},
        )

    @property
    def label(self) -> str:
        """What the input is called in sentences."""
        return "standard input" if self.path == "-" else self.path

    @property
    def page_label(self) -> str:
        """The label; of one of several pages `page 2 of scan.tif`."""
        page = self.details.get("page")
        return self.label if page is None else f"page {page} of {self.label}"

    @property
    def seconds(self) -> float | None:
        """Duration of sound; None for other media and where the length or the rate is unknown."""
        length = self.shape[0] if self.shape else None
        if not self.medium.in_seconds or length is None or not self.rate:
            return None
        return length / self.rate


class OutputFacts(InputFacts):
    """A file that a signal was written to, and that signal."""


@dataclass(frozen=True, kw_only=True)
class ReachFacts:
    """How far one output looks along one sample axis, and how outputs are spaced.

    before, after : samples read before and after the one that the output is aligned with
    step, phases : there are `phases` outputs for every `step` inputs
    """

    before: int
    after: int
    step: int = 1
    phases: int = 1

    @property
    def text(self) -> str:
        """How far, in words; with `, 1 per 2` if there is one output for two inputs."""
        text = f"{-self.before} ... {self.after:+d}"
        if self.step == self.phases == 1:
            return text
        return f"{text}, {self.phases} per {self.step}"

    @property
    def stride_text(self) -> str:
        """Inputs from one output to the next: `2`, or `1/2` where outputs lie between inputs."""
        if self.phases == 1:
            return str(self.step)
        return f"{self.step}/{self.phases}"


@dataclass(frozen=True, kw_only=True)
class TimeReachFacts(ReachFacts):
    """How far an output looks whose window is bounded by times: that depends on the rows.

    in_time : true, so that facts written as JSON say it
    """

    in_time: bool = True

    @property
    def text(self) -> str:
        """The extent as text for sentences."""
        return "by the times of the rows"


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """One layer of a learned network.

    text : as written in FILTER or in the model file
    parameters : how many numbers were learned
    channels : number of output channels
    reach : from an output of the layer to the input of the network, one for each sample axis; None
        for a layer that sees the whole signal and for all layers after it
    size : samples that come out along each sample axis, as far as they are known beforehand
    weights : what was learned, (out, in / groups, ...) as in torch; None of a layer without
    """

    text: str
    parameters: int
    channels: int
    reach: tuple[ReachFacts, ...] | None
    size: tuple[int | None, ...] = ()
    weights: Any = field(default=None, compare=False, repr=False, metadata=DRAWN)


@dataclass(frozen=True, kw_only=True)
class StepFacts:
    """One step as designed, or the whole chain as one step.

    text, name : the step as written in FILTER, and its name
    taps, shape : number of taps and their shape, `(255,)` or `(9, 9)`
    passes : taps of the passes of each step, if a picture is filtered along one axis after the
        other at a small part of the cost of all taps
    sum : sum of the taps, the gain of a constant signal
    delay : delay in input samples along axis 0
    look_ahead : how many later samples an output reads; None if it reads the whole signal
    reach : one for each sample axis
    note : what the design remarks (`ir: 48000 -> 22050 Hz`)
    weights : in a report all taps, if they lie along one axis; in a JSON report none of more than
        fit, which the note says
    response : in a report pairs of frequency, in `frequency_unit` (`Hz`, `cycles/row`), and gain in
        dB; of a long filter the least and the largest gain in each of many narrow bands
    cycle : one cycle per sample in `frequency_unit`: the rate of a sound
    group_delay : in a report, samples at each frequency of `response`; None where next to nothing
        passes
    crossings : in a report, levels in dB below the largest gain, and the frequencies at which the
        response crosses each of them
    stop_level : in dB below the largest gain, what a design stays below in its stop bands
    stop_bands : the first and the last frequency of each
    impulse, step_response : in a report, pairs of a position in samples and the response there to
        an impulse and to a step at 0; of a long filter the least and the largest value in each of
        many parts
    plane, plane_response : in a report on a picture, the rows of two-dimensional taps, and the gain
        in dB from -1/2 to 1/2 cycles per pixel along both axes
    planes : how many sets of two-dimensional taps the step has; `plane` is the first of them
    layers : the layers of a learned network
    notices : messages that are printed at every run
    """

    text: str
    name: str
    taps: int | None = None
    shape: tuple[int, ...] = ()
    passes: tuple[tuple[int, ...], ...] = ()
    sum: float | None = None
    delay: float | None = None
    look_ahead: int | None = None
    reach: tuple[ReachFacts, ...] = ()
    note: str = ""
    weights: tuple[float, ...] = ()
    response: tuple[tuple[float, float], ...] = ()
    frequency_unit: str = "cycles/sample"
    cycle: float = 1.0
    group_delay: tuple[float | None, ...] = ()
    crossings: tuple[tuple[float, tuple[float, ...]], ...] = ()
    stop_level: float | None = None
    stop_bands: tuple[tuple[float, float], ...] = ()
    impulse: tuple[tuple[float, float], ...] = ()
    step_response: tuple[tuple[float, float], ...] = ()
    plane: tuple[tuple[float, ...], ...] = ()
    plane_response: tuple[tuple[float, ...], ...] = ()
    planes: int = 1
    layers: tuple[LayerFacts, ...] = ()
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class UsageFacts:
    """How a step of the registry is written, and what it does.

    family : the kind of step; aliases : other names of it
    stands_for : the chain that a recipe is short for
    """

    name: str
    family: str
    usage: str
    help: str
    aliases: tuple[str, ...] = ()
    stands_for: str = ""


@dataclass(frozen=True, kw_only=True)
class LossFacts:
    """Samples that were lost or are not quite what they seem.

    clipped, missing : samples of each channel
    became_missing : results of each channel without a value where the input had one
    edge_affected : outputs that depend on the edge rule
    """

    clipped: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    became_missing: Mapping[str, int] = field(default_factory=dict)
    edge_affected: int = 0

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
    """Everything about one run, which filtered, searched, compared or learned from its inputs.

    command : the words of the command line
    libraries : the versions of Python and of the libraries that took part, in a report
    filter : FILTER as written
    edge, align, missing : the rules of the run
    chain : all steps as one
    usage : of a step in a list of all steps, whose example is the filter
    preview : what pages and plots draw of the input and the output
    searched : what they draw of each input of a search
    found : what a search has found in one of its inputs, before `detection` is made of all
    feature_maps : what the layers of a network make of a part of the input
    failures : with the first of several runs, the inputs that failed
    alone : with the first of several comparisons, the files that only one of the two folders has
    seconds : how long the run took
    """

    version: str
    filter: str
    command: tuple[str, ...] = ()
    libraries: Mapping[str, str] = field(default_factory=dict)
    edge: str = ""
    align: str = ""
    missing: str = ""
    inputs: tuple[InputFacts, ...] = ()
    steps: tuple[StepFacts, ...] = ()
    chain: StepFacts | None = None
    usage: UsageFacts | None = None
    outputs: tuple[OutputFacts | ModelFileFacts, ...] = ()
    losses: LossFacts = field(default_factory=LossFacts)
    preview: PreviewFacts | None = None
    searched: tuple[SearchedFacts, ...] = ()
    learned: LearningFacts | None = None
    feature_maps: tuple[FeatureMapFacts, ...] = field(default=(), compare=False, metadata=DRAWN)
    causality: CausalityFacts | None = None
    detection: DetectionFacts | None = None
    found: FoundHits | None = field(default=None, metadata=DRAWN)
    comparison: ComparisonFacts | None = None
    batch: BatchFacts | None = None
    failures: tuple[UnitFailure, ...] = ()
    alone: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Convert the facts to the types of JSON; see `to_plain`."""
        plain: dict[str, Any] = to_plain(self)
        return plain


# Types whose values JSON holds as they are.
_JSON_SCALARS = (int, bool, type(None))


def to_plain(value: Any) -> Any:
    """Convert `value` to the types of JSON.

    Dataclasses and mappings become objects, other collections lists. NaN and infinity become null,
    bytes that are not UTF-8 are escaped.
    """
    # First of all numbers, because facts may hold a million taps: 4 times as fast.
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind in _JSON_SCALARS:
        return value
    if isinstance(value, Medium):
        return value.name
    if isinstance(value, (str, bytes, os.PathLike)):
        return _as_text(value)
    if is_dataclass(value) and not isinstance(value, type):
        value = {name: vars(value)[name] for name in _names_of_facts(type(value))}
    if isinstance(value, Mapping):
        return {str(to_plain(key)): to_plain(entry) for key, entry in value.items()}
    return _plain_number_or_list(value)


@cache
def _names_of_facts(kind: type[Any]) -> list[str]:
    """The fields of a dataclass without those that are only drawn."""
    return [each.name for each in fields(kind) if not each.metadata.get("drawn")]


def _plain_number_or_list(value: Any) -> Any:
    """Convert a number or a collection, also of an array library, and other objects to text."""
    with suppress(AttributeError):
        value = value.tolist()
    if isinstance(value, Iterable):
        return [to_plain(entry) for entry in value]
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _as_text(str(value))


def _as_text(value: str | bytes | os.PathLike[Any]) -> str:
    """Escape bytes and surrogates that UTF-8 cannot hold."""
    if not isinstance(value, str):
        return os.fsencode(value).decode("utf-8", "backslashreplace")
    return _SURROGATE.sub(_escape_surrogate, value)


def _escape_surrogate(match: re.Match[str]) -> str:
    code = ord(match[0])
    # Python maps bytes of file names that are not UTF-8 to the surrogates U+DC80 to U+DCFF.
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}"
