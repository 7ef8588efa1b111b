"""The steps that FILTER knows: one function each, registered here by `@step`.

A function's signature is the grammar of its step, and its docstring is the help. A parameter that
is a dataclass stands for the options that are its fields. The function returns taps (`Kernel`),
operations of `convcli.core`, a pass over the whole signal, or a model: anything with a method
`bind`, which places it in a chain (`core/binding.py`). `planning/plan.py` looks steps up here.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, is_dataclass
from functools import cached_property
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

from convcli.calendar_bins import CalendarBins
from convcli.core.binding import Series
from convcli.dataclass import dataclass
from convcli.errors import RequestError, nearest
from convcli.units import Duration, Kind, UnitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from convcli.core.binding import Bindable, Site
    from convcli.designs.other_names import Answer
    from convcli.signals import LearnedRules, Signal

FamilyName = Literal[
    "given taps",
    "smoothing",
    "frequency",
    "differences",
    "windows",
    "image",
    "channels",
    "resampling",
    "pointwise",
    "branches",
    "recipes",
    "learned",
]


@dataclass(frozen=True, eq=False, kw_only=True)
class Family:
    """What the steps of a group have in common.

    both_axes : one-dimensional taps run along both axes of a picture, unless `axis=` picks one
    cycles : the values of their examples are frequencies in cycles per sample
    regular : the steps need samples at equal steps of time
    layers : the steps may be layers of a network
    pictures : the steps need a picture
    """

    both_axes: bool = False
    cycles: bool = False
    regular: bool = False
    layers: bool = False
    pictures: bool = False


FAMILIES: dict[FamilyName, Family] = {
    "given taps": Family(),
    "smoothing": Family(both_axes=True),
    "frequency": Family(both_axes=True, cycles=True, regular=True),
    "differences": Family(),
    "windows": Family(),
    "image": Family(pictures=True),
    "channels": Family(),
    "resampling": Family(layers=True),
    "pointwise": Family(layers=True),
    "branches": Family(),
    "recipes": Family(),
    "learned": Family(regular=True),
}

# The names of steps, aliases included, by the module that registers them, in the order in which
# steps are listed. Only the module of a step that is used is imported.
MODULES = {
    "convcli.designs.given_taps": "kernel correlate ir",
    "convcli.designs.smoothing": "box sma wma ema gaussian triangle binomial hann savgol",
    "convcli.designs.frequency": "lowpass highpass bandpass bandstop",
    "convcli.designs.equalisers": "peak lowshelf highshelf notch",
    "convcli.designs.measured_response": "response",
    "convcli.designs.analytic": "hilbert envelope",
    "convcli.designs.differences": (
        "diff lag pct_change gradient laplacian laplacian_of_gaussian dog"
    ),
    "convcli.designs.windows": (
        "median quantile rank mad hampel std var rms sum min erode max dilate"
    ),
    "convcli.designs.pictures": "sobel prewitt scharr sharpen emboss motion disk gabor",
    "convcli.designs.channels": "mix mono grey gray grayscale greyscale luma pick",
    "convcli.designs.downsampling": (
        "downsample upsample stride resample resize avg_pool sum_pool max_pool min_pool "
        "median_pool first_pool last_pool adaptive_avg_pool adaptive_max_pool global_avg_pool "
        "global_max_pool"
    ),
    "convcli.designs.pointwise": (
        "relu leaky_relu tanh sigmoid elu softplus silu swish gelu hardswish abs sign square sqrt "
        "log exp gain offset clip normalize"
    ),
    "convcli.planning.branches": "branches",
    "convcli.planning.recipes": (
        "macd rsi zscore demean standardize bollinger unsharp local_contrast"
    ),
    "convcli.layers.model_reader": "model",
}
_MODULE_OF = {name: module for module, names in MODULES.items() for name in names.split()}

# In a docstring: a section of examples, and sentences about exceptions, which end a paragraph.
_FOR_PYTHON = (
    re.compile(r"^>>> .*?(?:\n\s*\n|\Z)", re.MULTILINE | re.DOTALL),
    re.compile(r"\s*\bRaises\s+[A-Z]\w*Error\b.*?(?=\n\s*\n|\Z)", re.DOTALL),
)

# Parameters that give a design the place where it is used; never written in FILTER.
INJECTED = ("signal", "align", "call")


@dataclass(frozen=True, eq=False)
class StepParameter:
    """One parameter of a step.

    `kind` converts its text; `choices` are its words if it takes words.
    """

    name: str
    kind: Kind | None
    choices: tuple[str, ...]
    default: Any
    keyword_only: bool

    @property
    def required(self) -> bool:
        """Whether the step cannot do without it."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True, eq=False)
class Step:
    """A named step of FILTER: its design function and its properties.

    anti_alias : it filters only in order to change the rate
    keeps_level : it lowers the rate, and its outputs lie between the samples that they are made of
    correlates : its taps are written in the order of the samples, not flipped
    pictures : it needs a picture, although other steps of its family do not
    regular : it needs samples at equal steps of time, although other steps of its family do not
    reads_twice : it measures the whole signal before the first output
    twice_in_branches : it does so in a branch
    runs_model : its first value is the path of a model file
    listed : `convcli filters` has a page for it
    learned_rules : a function that reads from a model file how the model was learned
    stands_for : the chain that a recipe is short for, with its parameters in capitals
    """

    name: str
    aliases: tuple[str, ...]
    family: FamilyName
    example: str
    design: Callable[..., Any]
    anti_alias: bool = False
    keeps_level: bool = False
    correlates: bool = False
    pictures: bool = False
    regular: bool = False
    reads_twice: bool = False
    twice_in_branches: bool = False
    runs_model: bool = False
    listed: bool = True
    learned_rules: Callable[[str], LearnedRules] | None = None
    stands_for: str = ""

    @property
    def traits(self) -> Family:
        """The family of the step, with the properties that all its steps share."""
        return FAMILIES[self.family]

    @property
    def extends_level(self) -> bool:
        """Whether silence around the signal would be a wrong level of its first or last outputs."""
        return self.anti_alias or self.keeps_level

    @property
    def length_follows_frequency(self) -> bool:
        """Whether its taps follow from frequencies, so that their delay may surprise."""
        return self.anti_alias or self.traits.cycles

    @property
    def needs_picture(self) -> bool:
        """Whether the step works on pictures alone."""
        return self.pictures or self.traits.pictures

    @property
    def needs_regular(self) -> bool:
        """Whether the step makes sense only where samples come at equal steps of time."""
        return self.regular or self.anti_alias or self.traits.regular

    @property
    def help(self) -> str:
        """The first line of the design's docstring."""
        text = inspect.getdoc(self.design) or ""
        first, _, _ = text.partition("\n")
        return first

    @property
    def description(self) -> str:
        """The design's docstring without what is for Python alone: examples and exceptions."""
        text = inspect.getdoc(self.design) or ""
        for pattern in _FOR_PYTHON:
            text = pattern.sub("", text)
        return text.rstrip()

    @cached_property
    def parameters(self) -> tuple[StepParameter, ...]:
        """What may be written after the colon, in order."""
        found: list[StepParameter] = []
        for parameter in inspect.signature(self.design).parameters.values():
            if parameter.name in INJECTED:
                continue
            if parameter.name in self._groups:
                found += _options_of(self._groups[parameter.name])
            else:
                found.append(_parameter(parameter, self._annotations[parameter.name]))
        return tuple(found)

    @cached_property
    def _annotations(self) -> dict[str, Any]:
        """The types of the parameters of the design."""
        annotations = get_type_hints(self.design, include_extras=True)
        annotations.pop("return", None)
        return annotations

    @cached_property
    def _groups(self) -> dict[str, Any]:
        """The parameters that are dataclasses, whose fields are options of the step."""
        written = {name: kind for name, kind in self._annotations.items() if name not in INJECTED}
        return {name: kind for name, kind in written.items() if is_dataclass(kind)}

    @property
    def takes_axis(self) -> bool:
        """Whether `axis=` may be written on a picture, although the design has no such argument."""
        names = [parameter.name for parameter in self.parameters]
        return self.traits.both_axes and "axis" not in names

    @property
    def usage(self) -> str:
        """How the step is written, generated from its signature: `savgol:N,ORDER[,deriv=0]`."""
        text = self.name
        for number, parameter in enumerate(self.parameters):
            separator = "," if number else ":"
            word = separator + _usage_word(parameter)
            text += word if parameter.required else f"[{word}]"
        return text

    def bindable(self, values: Mapping[str, Any], site: Site, call: object) -> Bindable:
        """Return what the design makes of these values at this place.

        A design may also return None or several operations; they become a series of operations.

        call : the step as written
        """
        given = {"signal": site.signal, "align": site.rules.align, "call": call}
        design = self.design
        if any(isinstance(value, Duration | CalendarBins) for value in values.values()):
            if self._takes_durations(values, site):
                design = self._design_in_time(values)
            else:
                values = self._in_samples(values, site.signal)
        taken = inspect.signature(design).parameters
        injected = {name: given[name] for name in INJECTED if name in taken}
        made = design(**self._grouped(values), **injected)
        if made is None:
            return Series()
        if isinstance(made, tuple):
            return Series(made)
        bindable: Bindable = made
        return bindable

    def _grouped(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the design: options that belong together are one value."""
        arguments = dict(values)
        for name, group in self._groups.items():
            options = [each.name for each in fields(group) if each.name in arguments]
            arguments[name] = group(**{option: arguments.pop(option) for option in options})
        return arguments

    def _takes_durations(self, values: Mapping[str, Any], site: Site) -> bool:
        """Whether durations are windows in time here; else they are numbers of samples.

        At equal steps of time they are numbers of samples for a step without windows in time, and
        for other values and rules than such windows take.
        """
        if site.signal.irregular:
            return True
        if any(isinstance(value, CalendarBins) for value in values.values()):
            return True
        design = _design_in_time(self.name)
        if design is None or site.rules.edge != "shrink":
            return False
        known = inspect.signature(design).parameters
        return all(name in known for name in values)

    def _in_samples(self, values: Mapping[str, Any], signal: Signal) -> dict[str, Any]:
        """Return the values with numbers of samples in place of durations."""
        counted = dict(values)
        for parameter in self.parameters:
            value = values.get(parameter.name)
            kind = parameter.kind
            if isinstance(value, Duration) and kind is not None and kind.in_samples is not None:
                counted[parameter.name] = kind.in_samples(value.text, signal)
        return counted

    def _design_in_time(self, values: Mapping[str, Any]) -> Callable[..., Any]:
        """Return the design of the step for durations and calendar bins. UnitError if it has none.

        UnitError also if one of the values cannot be given together with a duration.
        """
        design = _design_in_time(self.name)
        if design is None:
            raise UnitError(
                "has no window in time over rows that come irregularly; a number counts rows (20)"
            )
        known = inspect.signature(design).parameters
        for name in values:
            if name not in known:
                raise UnitError(
                    f"{name}= counts rows, and cannot be given with a duration or a bin"
                )
        return design


def _options_of(group: Any) -> Iterator[StepParameter]:
    """The fields of a dataclass as parameters that are written with their names."""
    annotations = get_type_hints(group, include_extras=True)
    for parameter in inspect.signature(group).parameters.values():
        yield _parameter(parameter, annotations[parameter.name])


def _parameter(parameter: inspect.Parameter, annotation: Any) -> StepParameter:
    kind = None
    choices: tuple[str, ...] = ()
    for part in (annotation, *get_args(annotation)):  # X itself, or the X of `X | None`
        if get_origin(part) is Annotated:
            _, *extras = get_args(part)
            kind = next(extra for extra in extras if isinstance(extra, Kind))
        elif get_origin(part) is Literal:
            choices = get_args(part)
        elif part is bool:
            choices = ("true", "false")
    if kind is None and choices == () and annotation is not str:
        raise TypeError(f"step parameter {parameter.name} has no kind: {annotation!r}")
    keyword_only = parameter.kind is inspect.Parameter.KEYWORD_ONLY
    return StepParameter(parameter.name, kind, choices, parameter.default, keyword_only)


def _usage_word(parameter: StepParameter) -> str:
    """A parameter in a usage: `N`, `method=firls|kaiser`."""
    value = "|".join(parameter.choices) or parameter.name.upper()
    return f"{parameter.name}={value}" if parameter.keyword_only else value


# By each of their names.
_STEPS: dict[str, Step] = {}
_IN_TIME: dict[str, Callable[..., Any]] = {}


def _design_in_time(name: str) -> Callable[..., Any] | None:
    """The design of step `name` for durations and calendar bins, if it has one."""
    import_module("convcli.designs.in_time")
    return _IN_TIME.get(name)


def in_time(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the design of step `name` for durations or calendar bins."""

    def enter(design: Callable[..., Any]) -> Callable[..., Any]:
        _IN_TIME[name] = design
        return design

    return enter


def step(
    family: FamilyName,
    *,
    example: str,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    learned_rules: Callable[[str], LearnedRules] | None = None,
    stands_for: str = "",
    **properties: bool,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a design function as a step.

    example : a FILTER that uses it, run by the tests; properties : fields of `Step` that are True
    learned_rules, stands_for : as in `Step`
    """

    def enter(design: Callable[..., Any]) -> Callable[..., Any]:
        entry = Step(
            name or design.__name__,
            aliases,
            family,
            example,
            design,
            learned_rules=learned_rules,
            stands_for=stands_for,
            **properties,
        )
        for known in (entry.name, *entry.aliases):
            if known in _STEPS:
                raise ValueError(f"two steps are called {known}")
            if known not in _MODULE_OF:
                raise ValueError(f"MODULES in convcli/designs/registry.py lacks the step {known}")
            _STEPS[known] = entry
        return design

    return enter


def steps() -> Mapping[str, Step]:
    """Every step by its name, in the order of the families."""
    every = (find(name) for name in _MODULE_OF)
    return MappingProxyType({step.name: step for step in every})


def is_step(name: str) -> bool:
    """Whether there is a step of this name."""
    return name in _MODULE_OF


def find(name: str) -> Step:
    """The step called `name`; the hint of a RequestError says what exists instead."""
    if not is_step(name):
        raise RequestError(f"unknown step {name!r}", hint=answer_for(name).hint)
    import_module(_MODULE_OF[name])
    return _STEPS[name]


def answer_for(name: str) -> Answer:
    """The answer to a name: what stands for that of another program, or a similar name."""
    from convcli.designs.other_names import Answer, answer_by, answer_to, without_affixes

    answer = answer_to(name)
    if answer is not None:
        return answer
    for form in (name, without_affixes(name)):
        near = form if form in _MODULE_OF else nearest(form, list(_MODULE_OF))
        if near is not None:
            return answer_by(near, f"{near}:{{}}")
    return Answer("`convcli filters` lists every step")
