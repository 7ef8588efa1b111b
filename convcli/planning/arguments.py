"""The arguments of a call as values.

Each is matched with a parameter of the step and converted by its kind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from convcli.errors import nearest
from convcli.planning.calls import SPACED, hint_for_sign, look_alike, unspaced_operator
from convcli.units import FREQUENCY, UnitError

if TYPE_CHECKING:
    from convcli.designs.registry import Step, StepParameter
    from convcli.planning.calls import Argument, Call
    from convcli.signals import Signal

Axis = Literal["x", "y"]
AXES: tuple[Axis, ...] = ("x", "y")


def arguments_of(call: Call, step: Step, signal: Signal) -> tuple[dict[str, Any], Axis | None]:
    """The values of the step's parameters, and of `axis=` if the step takes it on a picture."""
    values: dict[str, Any] = {}
    axis: Axis | None = None
    for argument, parameter in _matched_parameters(call, step, signal):
        if parameter is None:
            axis = _choice(call, argument, AXES)
        elif parameter.name in values:
            raise call.error(f"{call.name}: {parameter.name} is given twice", at=argument.at)
        else:
            values[parameter.name] = _value(call, step, argument, parameter, signal)
    for parameter in step.parameters:
        if parameter.required and parameter.name not in values:
            hint = usage_hint(call.name, step, signal)
            raise call.error(f"{call.name} needs {parameter.name.upper()}", hint=hint)
    return values, axis


def _matched_parameters(
    call: Call, step: Step, signal: Signal
) -> list[tuple[Argument, StepParameter | None]]:
    """Each argument with its parameter; None means `axis`."""
    named: dict[str, StepParameter | None] = {p.name: p for p in step.parameters}
    if signal.axes == 2 and step.takes_axis:
        named["axis"] = None
    positional = [p for p in step.parameters if not p.keyword_only]
    free = iter(positional)
    matched: list[tuple[Argument, StepParameter | None]] = []
    for argument in _taps_joined(call, positional):
        if argument.key is None:
            parameter = next(free, None)
            if parameter is None:
                message = f"{call.name}: {argument.text!r} is one value too many"
                raise call.error(message, at=argument.at, hint=usage_hint(call.name, step, signal))
        elif (name := _name_of_parameter(argument.key, list(named))) is not None:
            parameter = named[name]
        else:
            message = f"{call.name} has no parameter {argument.key!r}"
            hint = _hint_for_key(call, argument, argument.key, list(named))
            hint = hint or usage_hint(call.name, step, signal)
            raise call.error(message, at=argument.key_at, hint=hint)
        matched.append((argument, parameter))
    return matched


def _hint_for_key(call: Call, argument: Argument, key: str, names: list[str]) -> str | None:
    """The hint for the name of a parameter that is misspelt, or another program's; else None."""
    from convcli.designs.other_names import LONE_VALUES

    near = nearest(key, names)
    if near is not None:
        return f"did you mean {near}=?"
    if len(call.arguments) == 1 and key.casefold() in LONE_VALUES:
        return f"the value needs no name: {call.name}:{argument.text}"
    return None


def _name_of_parameter(key: str, names: list[str]) -> str | None:
    """The parameter that a key names, in any case if only one is meant; None if it names none."""
    if key in names:
        return key
    alike = [name for name in names if name.casefold() == key.casefold()]
    return alike[0] if len(alike) == 1 else None


def _taps_joined(call: Call, positional: list[StepParameter]) -> list[Argument]:
    """The arguments, where all values of one parameter, such as taps, are joined to one text."""
    arguments = list(call.arguments)
    kind = positional[0].kind if positional else None
    unnamed = [argument for argument in arguments if argument.key is None]
    if kind is None or not kind.takes_all or not unnamed:
        return arguments
    rows: dict[int, list[str]] = {}
    for argument in unnamed:
        rows.setdefault(argument.row, []).append(argument.text)
    text = ";".join(",".join(row) for row in rows.values())
    named = [argument for argument in arguments if argument.key is not None]
    return [replace(unnamed[0], text=text), *named]


def _value(
    call: Call, step: Step, argument: Argument, parameter: StepParameter, signal: Signal
) -> Any:
    if parameter.choices:
        word = _choice(call, argument, parameter.choices)
        return word == "true" if parameter.choices == ("true", "false") else word
    if parameter.kind is None:
        return argument.text
    try:
        return parameter.kind.convert(argument.text, signal)
    except UnitError as error:
        place = unspaced_operator(argument.text)
        if place is not None:
            at = argument.at + place
            hint = _hint_for_range(call, argument) or SPACED
            raise call.error(f"{call.name}: {error}", at=at, hint=hint) from None
        hint = error.hint or usage_hint(call.name, step, signal)
        at = argument.at
        place = look_alike(argument.text)
        if place is not None:
            at += place
            hint = hint_for_sign(argument.text[place:]) or hint
        raise call.error(f"{call.name}: {error}", at=at, hint=hint) from None


def _hint_for_range(call: Call, argument: Argument) -> str | None:
    """The hint for two values with a hyphen between them, `300-3400`; None for any other text."""
    low, hyphen, high = argument.text.partition("-")
    if not hyphen or not high[:1].isdigit() or len(call.arguments) != 1:
        return None
    return f"values are separated by commas: {call.name}:{low},{high}"


def _choice(call: Call, argument: Argument, choices: tuple[Any, ...]) -> Any:
    """The word that was written, if it is one of `choices`."""
    if argument.text in choices:
        return argument.text
    near = nearest(argument.text, list(choices))
    message = f"{call.name}: expected {' or '.join(choices)}, got {argument.text!r}"
    hint = f"did you mean {near}?" if near else None
    raise call.error(message, at=argument.at, hint=hint)


def usage_hint(name: str, step: Step, signal: Signal) -> str:
    """How the step is written, by its example, and where to read more.

    name : the name or alias that the user wrote
    """
    _, colon, values = example_for(step, signal).partition(":")
    text = f"write it as in {name}{colon}{values}"
    return f"{text}; `convcli filters {name}` says more" if step.listed else text


def example_for(step: Step, signal: Signal) -> str:
    """The example of a step, with frequencies in the unit of the signal (Hz, cycles/day ...)."""
    if not step.traits.cycles or signal.rate is None:
        return step.example
    name, _, text = step.example.partition(":")
    scale = signal.rate * signal.cycle
    values = text.split(",") if text else []
    for place, parameter in enumerate(step.parameters[: len(values)]):
        if parameter.kind is FREQUENCY and "=" not in values[place]:
            frequency = float(values[place]) * scale
            one_digit = format(frequency, ".1g")
            values[place] = format(float(one_digit), "g")
    return f"{name}:{','.join(values)}" if values else name
