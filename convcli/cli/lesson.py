"""What `convcli learn` was asked for, and the lesson that it comes to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from convcli.errors import RequestError

if TYPE_CHECKING:
    from convcli.engine.learn import Lesson
    from convcli.signals import Medium, Signal

DEFAULT_TAPS = {"audio": "64", "table": "20", "image": "9x9"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked for, as written."""

    taps: str | None
    align: str | None
    bias: bool | None
    ahead: int | None
    target: str | None
    blind: bool
    mix: bool
    ridge: float | None
    holdout: str


def check_mode(medium: Medium, asked: Asked, *, paired: bool) -> None:
    """Refuse what says too much or too little of what is to be learned."""
    if asked.blind and (paired or asked.target is not None):
        raise RequestError("--blind learns from INPUT alone", hint="without TARGET and --target")
    if medium != "table" and asked.target is not None:
        raise RequestError("--target names a column of a table", hint="sounds and pictures have a TARGET file")
    if medium == "table" and paired:
        raise RequestError("a table holds its own target", hint="--target COLUMN --ahead 1")
    if not asked.blind and not paired and asked.target is None and not (medium == "audio" and asked.ahead):
        hint = "--target COLUMN predicts a column" if medium == "table" else "convcli learn noisy.wav clean.wav"
        raise RequestError("nothing says what is to be learned", hint=f"{hint}; --blind learns from INPUT alone")


def lesson_of(asked: Asked, signal: Signal, wanted: tuple[str, ...] | None) -> Lesson:
    """The lesson in numbers. RequestError where a value cannot be read or does not fit the signal."""
    from convcli.engine.learn import Lesson
    from convcli.engine.plan import DEFAULT_ALIGN
    from convcli.units import UnitError, parse_quantity, to_size

    try:
        taps = to_size(asked.taps or DEFAULT_TAPS[signal.medium], signal)
    except UnitError as error:
        raise RequestError(f"--taps: {error}", hint="--taps 129, or --taps 9x9 for pictures") from None
    try:
        quantity = parse_quantity(asked.holdout)
        part = quantity.value / 100 if quantity.unit == "%" else quantity.value
    except UnitError as error:
        raise RequestError(f"--holdout: {error}") from None
    if quantity.unit not in ("", "%") or not 0 <= part < 1:
        raise RequestError(f"--holdout expects 0% to 99%, got {asked.holdout!r}", hint="--holdout 20%")
    table = signal.medium == "table"
    ahead = asked.ahead if asked.ahead is not None else int(table and not asked.blind)
    if ahead and asked.blind:
        raise RequestError("--blind has its target where its input is", hint="without --ahead")
    # What predicts reads nothing later than the row it stands at.
    align: Any = asked.align or ("causal" if ahead else "center" if asked.blind else DEFAULT_ALIGN[signal.medium])
    lesson = Lesson(
        taps=taps,
        align=align,
        bias=asked.bias if asked.bias is not None else table and not asked.blind,
        ahead=ahead,
        blind=asked.blind,
        mix=asked.mix,
        ridge=asked.ridge,
        holdout=part,
    )
    return lesson if asked.blind else _with_channels(lesson, asked, signal, wanted)


def _with_channels(lesson: Lesson, asked: Asked, signal: Signal, wanted: tuple[str, ...] | None) -> Lesson:
    """The lesson with the channels that it reads and those that it predicts, where one file holds both."""
    names = signal.channels
    if signal.medium == "audio" and asked.ahead:
        return replace(lesson, inputs=tuple(range(len(names))), targets=tuple(range(len(names))))
    if asked.target is None:
        return lesson
    if asked.target not in names:
        raise RequestError(f"the target {asked.target!r} is none of the columns {', '.join(names)}", hint="-c A,B")
    inputs = tuple(i for i, name in enumerate(names) if wanted is None or name in wanted)
    if lesson.ahead == 0 and names.index(asked.target) in inputs:
        if wanted is not None and asked.target in wanted:
            raise RequestError("--ahead 0 with the target among -c: it would be read off", hint="--ahead 1")
        inputs = tuple(i for i in inputs if names[i] != asked.target)
    return replace(lesson, inputs=inputs, targets=(names.index(asked.target),))
