"""The steps that FILTER knows: one function each, entered here by `@step`.

The function's signature is its grammar, its docstring its help. It returns a `Kernel` (the coefficients of a
convolution) or an operation of `convcli.core`.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from convcli.errors import RequestError, nearest
from convcli.units import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Family = Literal[
    "given taps",
    "smoothing",
    "frequency",
    "differences",
    "image",
    "downsampling",
    "pointwise",
    "learned",
]

# The module of each family, in the order in which steps are listed and looked for; imported once they are needed.
FAMILIES: dict[Family, str] = {
    "given taps": "given",
    "smoothing": "smoothing",
    "frequency": "frequency",
    "differences": "differences",
    "image": "pictures",
    "downsampling": "downsampling",
    "pointwise": "pointwise",
    "learned": "learned",
}

# What a design may ask to be told about the place where it is used; never written in FILTER.
INJECTED = ("signal", "align")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a step. `kind` converts its text; `choices` are its words if it takes words."""

    name: str
    kind: Kind | None
    choices: tuple[str, ...]
    default: Any
    keyword_only: bool

    @property
    def required(self) -> bool:
        """Whether the step cannot do without it."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True)
class Step:
    """A named step of FILTER: its design function and what is known of it."""

    name: str
    aliases: tuple[str, ...]
    family: Family
    example: str
    design: Callable[..., Any]

    @property
    def help(self) -> str:
        """The first line of the design's docstring."""
        return (inspect.getdoc(self.design) or "").split("\n", maxsplit=1)[0]

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """What may be written after the colon, in order."""
        signature = inspect.signature(self.design, eval_str=True)
        return tuple(_parameter(p) for p in signature.parameters.values() if p.name not in INJECTED)

    @cached_property
    def injected(self) -> tuple[str, ...]:
        """Which facts about the place the design asks for."""
        return tuple(name for name in inspect.signature(self.design).parameters if name in INJECTED)

    @property
    def usage(self) -> str:
        """How the step is written, generated from its signature: `savgol:N,ORDER[,deriv=0]`."""
        text = self.name
        for number, parameter in enumerate(self.parameters):
            word = (":" if number == 0 else ",") + _usage(parameter)
            text += word if parameter.required else f"[{word}]"
        return text


def _parameter(parameter: inspect.Parameter) -> Parameter:
    annotation = parameter.annotation
    kind: Kind | None = None
    choices: tuple[str, ...] = ()
    for part in (annotation, *get_args(annotation)):  # X itself, or the X of `X | None`
        if get_origin(part) is Annotated:
            kind = next(extra for extra in get_args(part)[1:] if isinstance(extra, Kind))
        elif get_origin(part) is Literal:
            choices = get_args(part)
        elif part is bool:
            choices = ("true", "false")
    if kind is None and choices == () and annotation is not str:
        raise TypeError(f"step parameter {parameter.name} has no kind: {annotation!r}")
    keyword_only = parameter.kind is inspect.Parameter.KEYWORD_ONLY
    return Parameter(parameter.name, kind, choices, parameter.default, keyword_only)


def _usage(parameter: Parameter) -> str:
    word = "|".join(parameter.choices) if parameter.choices else parameter.name.upper()
    return f"{parameter.name}={word}" if parameter.keyword_only else word


# What steps are called elsewhere.
COMMON = {
    "average": "box",
    "blur": "gaussian",
    "convolve": "kernel",
    "decimate": "downsample",
    "edge": "sobel",
    "edges": "sobel",
    "ewm": "ema",
    "ewma": "ema",
    "ma": "sma",
    "mean": "box",
    "pct_change": "diff",
    "reverb": "ir",
    "rolling": "sma",
    "scale": "resize",
    "smooth": "gaussian",
    "volume": "gain",
}

_STEPS: dict[str, Step] = {}
_NAMES: dict[str, Step] = {}


def step(
    family: Family, *, example: str, name: str | None = None, aliases: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a design function as a step. `example` is a FILTER that uses it, run by the tests."""

    def enter(design: Callable[..., Any]) -> Callable[..., Any]:
        entry = Step(name or design.__name__, aliases, family, example, design)
        for known in (entry.name, *entry.aliases):
            if known in _NAMES:
                raise ValueError(f"two steps are called {known}")
            _NAMES[known] = entry
        _STEPS[entry.name] = entry
        return design

    return enter


def steps() -> Mapping[str, Step]:
    """Every step by its name, in the order of the families."""
    for module in FAMILIES.values():
        import_module(f"convcli.designs.{module}")
    order = list(FAMILIES)
    return MappingProxyType(
        dict(sorted(_STEPS.items(), key=lambda entry: order.index(entry[1].family)))
    )


def find(name: str) -> Step:
    """The step called `name`; RequestError names the nearest known one."""
    for module in FAMILIES.values():
        if name in _NAMES:
            break
        import_module(f"convcli.designs.{module}")
    if name in _NAMES:
        return _NAMES[name]
    near = COMMON.get(name.casefold()) or nearest(name, list(_NAMES))
    hint = f"did you mean {near}?" if near else "`convcli filters` lists every step"
    raise RequestError(f"unknown step {name!r}", hint=hint)
