"""What `convcli learn` was asked for, and the lesson that it comes to."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from convcli.errors import InputError, RequestError, nearest
from convcli.media.images.medium import IMAGE

if TYPE_CHECKING:
    from convcli.learning.learn import Lesson
    from convcli.signals import Medium, Signal


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked for, as written."""

    taps: str | None
    align: str | None
    bias: bool | None
    ahead: int | None
    on: str
    target: str | None
    delay: str | None
    blind: bool
    noise: str | None
    mix: bool
    ridge: float | None
    holdout: str


def check_mode(medium: Medium, asked: Asked, *, paired: bool) -> None:
    """Refuse what says too much or too little of what is to be learned."""
    if asked.blind and (paired or asked.target is not None):
        raise RequestError("--blind learns from INPUT alone", hint="without TARGET and --target")
    if not medium.carries_cells and asked.target is not None:
        raise RequestError(
            "--target names a column of a table", hint="sounds and pictures have a TARGET file"
        )
    if medium.carries_cells and paired:
        raise RequestError("a table holds its own target", hint="--target COLUMN --ahead 1")
    if medium is IMAGE and asked.ahead:
        raise RequestError("--ahead is for sounds and tables, and a picture knows no time")
    if (
        not asked.blind
        and not paired
        and asked.target is None
        and not (medium.in_seconds and asked.ahead)
    ):
        hint = (
            "--target COLUMN predicts a column"
            if medium.carries_cells
            else "convcli learn noisy.wav clean.wav"
        )
        raise RequestError(
            "nothing says what is to be learned", hint=f"{hint}; --blind learns from INPUT alone"
        )
    _check_options(medium, asked, paired=paired)


def _check_options(medium: Medium, asked: Asked, *, paired: bool) -> None:
    """Refuse options that do not go together."""
    if asked.ahead and asked.blind:
        raise RequestError("--blind has its target where its input is", hint="without --ahead")
    if asked.delay is not None and not (paired or asked.target is not None):
        raise RequestError(
            "--delay is between an input and a target",
            hint="convcli learn INPUT TARGET --delay auto",
        )
    if asked.delay is not None and asked.ahead:
        raise RequestError(
            "--ahead says already how much later the target is", hint="--ahead or --delay, not both"
        )
    if asked.ridge is not None and not math.isfinite(asked.ridge):
        raise RequestError(f"--ridge expects a number, 0 or more, got {asked.ridge:g}")
    if asked.noise is not None and not asked.blind:
        raise RequestError(
            "--noise is for --blind", hint="with a TARGET the noise is what INPUT has more"
        )
    predicts = (
        medium.carries_cells
        and asked.target is not None
        and asked.ahead != 0
        and asked.delay is None
    )
    if asked.on == "differences" and not predicts:
        raise RequestError(
            "--on differences is for a prediction", hint="a table with --target COLUMN --ahead 1"
        )
    if asked.ahead and asked.align == "center":
        raise RequestError(
            "--align center would read what is to be predicted", hint="--ahead is causal"
        )


def lesson_of(asked: Asked, signal: Signal, wanted: tuple[str, ...] | None) -> Lesson:
    """The lesson in numbers. RequestError where a value cannot be read or does not fit the signal."""
    from convcli.learning.learn import Lesson
    from convcli.units import UnitError, to_size

    try:
        taps = to_size(asked.taps or signal.medium.taps, signal)
    except UnitError as error:
        raise RequestError(
            f"--taps: {error}", hint="--taps 129, or --taps 9x9 for pictures"
        ) from None
    if asked.blind and math.prod(taps) == 1:
        raise RequestError("--blind with 1 tap has no neighbours to learn from", hint="--taps 9")
    table = signal.medium.separate_channels
    later = int(table and not asked.blind and asked.delay is None)
    ahead = asked.ahead if asked.ahead is not None else later
    # What predicts reads nothing later than the row it stands at.
    align: Any = asked.align or (
        "causal" if ahead else "center" if asked.blind else signal.medium.align
    )
    if ahead and align == "center":
        raise RequestError(
            "--align center would read what is to be predicted",
            hint="--ahead 0, or without --align",
        )
    lesson = Lesson(
        taps=taps,
        align=align,
        bias=asked.bias if asked.bias is not None else table and not asked.blind,
        ahead=ahead,
        blind=asked.blind,
        delay=_delay(asked.delay, signal),
        differences=asked.on == "differences",
        noise=_noise(asked.noise, signal),
        mix=asked.mix,
        ridge=asked.ridge,
        holdout=_holdout(asked.holdout),
    )
    return lesson if asked.blind else _with_channels(lesson, asked, signal, wanted)


def _holdout(text: str) -> float:
    from convcli.units import UnitError, parse_quantity

    try:
        quantity = parse_quantity(text)
    except UnitError as error:
        raise RequestError(f"--holdout: {error}") from None
    part = quantity.value / 100 if quantity.unit == "%" else quantity.value
    if quantity.unit not in ("", "%") or not 0 <= part < 1:
        raise RequestError(f"--holdout expects 0% to 99%, got {text!r}", hint="--holdout 20%")
    return part


def _delay(text: str | None, signal: Signal) -> tuple[int, ...] | None:
    """`auto` is None, nothing is (); else samples along each axis: `120`, `-20ms`, in pictures `3x-2`."""
    from convcli.units import UnitError, to_samples

    if text is None or text == "auto":
        return None if text else ()
    sides = text.lower().split("x") if signal.axes == 2 else [text]
    try:
        lags = [round(to_samples(side, signal)) for side in sides]
    except UnitError as error:
        raise RequestError(f"--delay: {error}", hint="--delay auto finds it") from None
    if len(lags) != signal.axes:
        raise RequestError(
            f"--delay expects ROWSxCOLUMNS for a picture, got {text!r}",
            hint="--delay 3x-2, or auto",
        )
    return tuple(lags)


def _noise(text: str | None, signal: Signal) -> float | Literal["auto"] | None:
    """A standard deviation in the units of the signal, a part of its full scale, or decibels below it."""
    from convcli.units import UnitError, parse_quantity

    if text is None or text == "auto":
        return "auto" if text else None
    scale = signal.full_scale if signal.medium.unit_scale else 1.0
    try:
        quantity = parse_quantity(text)
    except UnitError as error:
        raise RequestError(f"--noise: {error}", hint="--noise auto estimates it") from None
    relative = {"": 1 / scale, "%": 0.01, "dB": 1.0}
    value = 10 ** (quantity.value / 20) if quantity.unit == "dB" else quantity.value
    if (
        quantity.unit not in relative
        or value < 0
        or (signal.medium.separate_channels and quantity.unit)
    ):
        kinds = (
            "a number"
            if signal.medium.separate_channels
            else "a number, or below full scale 5% or -30dB"
        )
        raise RequestError(f"--noise expects auto or a standard deviation, {kinds}; got {text!r}")
    return value * relative[quantity.unit]


def _with_channels(
    lesson: Lesson, asked: Asked, signal: Signal, wanted: tuple[str, ...] | None
) -> Lesson:
    """The lesson with the channels that it reads and those that it predicts, where one file holds both."""
    names = signal.channels
    if signal.medium.in_seconds and asked.ahead:
        return replace(lesson, inputs=tuple(range(len(names))), targets=tuple(range(len(names))))
    if asked.target is None:
        return lesson
    if not names:
        raise InputError("the input holds no samples", hint="a table has rows below its header")
    if asked.target not in names:
        near = nearest(asked.target, list(names))
        message = f"the target {asked.target!r} is none of the columns {', '.join(names)}"
        raise RequestError(
            message, hint=f"did you mean {near}?" if near else "-c names others that hold numbers"
        )
    inputs = tuple(i for i, name in enumerate(names) if wanted is None or name in wanted)
    if lesson.ahead == 0 and names.index(asked.target) in inputs:
        if wanted is not None and asked.target in wanted:
            raise RequestError(
                "--ahead 0 with the target among -c: it would be read off", hint="--ahead 1"
            )
        inputs = tuple(i for i in inputs if names[i] != asked.target)
    if not inputs:
        raise RequestError(
            f"no column is left to learn {asked.target!r} from", hint="-c A,B names the inputs"
        )
    if lesson.differences and names.index(asked.target) not in inputs:
        message = f"--on differences adds a change to the last value of {asked.target!r}, which is not among -c"
        raise RequestError(
            message, hint=f"-c {','.join([*(names[i] for i in inputs), asked.target])}"
        )
    return replace(lesson, inputs=inputs, targets=(names.index(asked.target),))
