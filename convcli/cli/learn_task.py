"""The task that the options of `convcli learn` ask for, and options that exclude each other."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from convcli.cli.options import fraction_of
from convcli.errors import InputError, RequestError, nearest, shell_word
from convcli.units import UnitError, parse_quantity, to_samples, to_size

if TYPE_CHECKING:
    from convcli.cli.learn_options import LearnOptions
    from convcli.learning.task import Task
    from convcli.learning.trainer import TrainingOptions
    from convcli.media.tables.table_options import TableOptions
    from convcli.signals import Align, Medium, Signal


def training_options(options: LearnOptions) -> TrainingOptions:
    """How to train, with defaults for what was not said."""
    from convcli.learning.trainer import TrainingOptions

    given: dict[str, Any] = {
        name: value for name, value in options.training.items() if value is not None
    }
    return TrainingOptions(**given)


def table_with_target(options: LearnOptions) -> TableOptions:
    """How tables are read: the target is a column like the inputs."""
    table = options.table.options()
    names = table.columns.names
    if names is None or options.target is None:
        return table
    return table.of_columns(tuple(dict.fromkeys((*names, options.target))))


def task_of(options: LearnOptions, signal: Signal) -> Task:
    """The task in numbers. Raises RequestError if a value does not fit the signal."""
    from convcli.learning.task import Task

    medium = signal.medium
    ahead = options.ahead
    if ahead is None:
        predicts = medium.carries_cells and not options.blind and options.delay is None
        ahead = 1 if predicts else 0
    bias = options.bias
    if bias is None:
        bias = medium.separate_channels and not options.blind
    task = Task(
        taps=_taps(options, signal),
        align=_align(options, medium, ahead),
        bias=bias,
        ahead=ahead,
        blind=options.blind,
        delay=_delay(options.delay, signal),
        differences=options.on == "differences",
        residual=options.residual,
        noise=_noise(options.noise, signal),
        mix=options.mix,
        ridge=options.ridge,
        holdout=fraction_of(options.holdout, "--holdout", most="99%", hint="--holdout 20%"),
    )
    if options.blind:
        return task
    if options.target is not None:
        return _with_columns(task, options.target, options.table.options().columns.names, signal)
    if ahead:
        channels = tuple(range(len(signal.channels)))
        return replace(task, inputs=channels, targets=channels)
    return task


def _taps(options: LearnOptions, signal: Signal) -> tuple[int, ...]:
    try:
        taps = to_size(options.taps or signal.medium.taps, signal)
    except UnitError as error:
        raise RequestError(
            f"--taps: {error}", hint="--taps 129, or --taps 9x9 for pictures"
        ) from None
    if options.blind and math.prod(taps) == 1:
        raise RequestError("--blind with 1 tap has no neighbours to learn from", hint="--taps 9")
    return taps


def _align(options: LearnOptions, medium: Medium, ahead: int) -> Align:
    """The alignment: a prediction is causal, and a blind filter reads both sides of its sample."""
    if ahead and options.align == "center":
        raise RequestError(
            "--align center would read what is to be predicted",
            hint="--ahead 0, or without --align",
        )
    if options.align is not None:
        return options.align
    if ahead:
        return "causal"
    return "center" if options.blind else medium.align


def _delay(text: str | None, signal: Signal) -> tuple[int, ...] | None:
    """Samples on each axis from `120`, `-20ms`, or `3x-2`; None for `auto`, () for nothing."""
    if text is None:
        return ()
    if text == "auto":
        return None
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
    """A standard deviation in the units of models, from those of the file, percent or decibels."""
    if text is None:
        return None
    if text == "auto":
        return "auto"
    try:
        quantity = parse_quantity(text)
    except UnitError as error:
        raise RequestError(f"--noise: {error}", hint="--noise auto estimates it") from None
    separate = signal.medium.separate_channels
    units = ("",) if separate else ("", "%", "dB")
    negative = quantity.value < 0 and quantity.unit != "dB"
    if negative or quantity.unit not in units:
        kinds = "a number" if separate else "a number, or below full scale 5% or -30dB"
        raise RequestError(f"--noise expects auto or a standard deviation, {kinds}; got {text!r}")
    if quantity.unit == "dB":
        return float(10 ** (quantity.value / 20))
    if quantity.unit == "%":
        return quantity.value * 0.01
    scale = signal.full_scale if signal.medium.unit_scale else 1.0
    return quantity.value * (1 / scale)


def _with_columns(task: Task, target: str, wanted: tuple[str, ...] | None, signal: Signal) -> Task:
    """The task with the columns that it reads and the column that it predicts.

    wanted : the columns that -c names
    """
    names = signal.channels
    if not names:
        raise InputError("the input holds no samples", hint="a table has rows below its header")
    if target not in names:
        near = nearest(target, list(names))
        raise RequestError(
            f"the target {target!r} is not among the columns {', '.join(names)}",
            hint=f"did you mean {near}?" if near else "-c names others that hold numbers",
        )
    predicted = names.index(target)
    inputs = [i for i, name in enumerate(names) if wanted is None or name in wanted]
    if task.ahead == 0 and predicted in inputs:
        if wanted is not None:
            raise RequestError(
                "--ahead 0 with the target among -c: it would be read off", hint="--ahead 1"
            )
        inputs = [i for i in inputs if names[i] != target]
    if not inputs:
        raise RequestError(
            f"no column is left to learn {target!r} from", hint="-c A,B names the inputs"
        )
    if task.differences and predicted not in inputs:
        from convcli.media.tables.columns import listed_names

        columns = listed_names([*(names[i] for i in inputs), target], ",")
        raise RequestError(
            f"--on differences adds a change to the last value of {target!r}, "
            "which is not among -c",
            hint=f"-c {shell_word(columns)}",
        )
    return replace(task, inputs=tuple(inputs), targets=(predicted,))


def check_mode(options: LearnOptions, medium: Medium) -> None:
    """Raise RequestError unless the options say one thing that can be learned from this medium."""
    if options.blind and (options.paired or options.target is not None):
        raise RequestError("--blind learns from INPUT alone", hint="without TARGET and --target")
    if options.target is not None and not medium.carries_cells:
        raise RequestError(
            "--target names a column of a table", hint="sounds and pictures have a TARGET file"
        )
    if options.paired and medium.carries_cells:
        names = shlex.join(str(path) for path in options.paths[:2])
        command = "convcli learn - -c INPUT --target COLUMN --ahead 0 -o MODEL.safetensors"
        raise RequestError(
            "the input and the target of a table are columns of one file",
            hint=f"side by side they are one table: paste -d, {names} | {command}",
        )
    predicts_sound = medium.in_seconds and options.ahead
    if options.ahead and not (medium.in_seconds or medium.carries_cells):
        raise RequestError("--ahead is for sounds and tables, and a picture knows no time")
    has_target = options.paired or options.target is not None
    if not (options.blind or has_target or predicts_sound):
        hint = "convcli learn noisy.wav clean.wav"
        if medium.carries_cells:
            hint = "--target COLUMN predicts a column"
        raise RequestError(
            "nothing says what is to be learned", hint=f"{hint}; --blind learns from INPUT alone"
        )
    _check_combinations(options, has_target=has_target)
    predicts_column = options.target is not None and options.ahead != 0 and options.delay is None
    if options.on == "differences" and not predicts_column:
        raise RequestError(
            "--on differences is for a prediction", hint="a table with --target COLUMN --ahead 1"
        )
    if options.ahead and options.align == "center":
        raise RequestError(
            "--align center would read what is to be predicted", hint="--ahead is causal"
        )


def _check_combinations(options: LearnOptions, *, has_target: bool) -> None:
    """Raise RequestError for options that exclude each other."""
    if options.ahead and options.blind:
        raise RequestError("--blind has its target where its input is", hint="without --ahead")
    if options.delay is not None and not has_target:
        raise RequestError(
            "--delay is between an input and a target",
            hint="convcli learn INPUT TARGET --delay auto",
        )
    if options.delay is not None and options.ahead:
        raise RequestError(
            "--ahead says already how much later the target is", hint="--ahead or --delay, not both"
        )
    if options.ridge is not None and not math.isfinite(options.ridge):
        raise RequestError(f"--ridge expects a number, 0 or more, got {options.ridge:g}")
    if options.residual and (options.blind or options.on == "differences"):
        other = "--blind" if options.blind else "--on differences"
        raise RequestError(f"--residual and {other} exclude each other", hint="without --residual")
    if options.noise is not None and not options.blind:
        raise RequestError(
            "--noise is for --blind", hint="with a TARGET the noise is what INPUT has more"
        )


def check_training(options: LearnOptions) -> None:
    """Raise RequestError for options that need --layers, or do not go together with it."""
    given = [name for name, value in options.training.items() if value is not None]
    option = f"--{given[0].replace('_', '-')}" if given else ""
    if options.residual and not options.trains:
        raise RequestError(
            "--residual is for --layers: one linear layer can pass its input on by itself",
            hint='--layers "conv:8,9 | relu | conv:1,9" --residual',
        )
    if options.layers is None:
        if given:
            raise RequestError(
                f"{option} is for training", hint='--layers "conv:8,7 | relu | conv:1,5"'
            )
    elif not options.trains:
        if options.blind:
            raise RequestError(
                "--blind is for filters: a dense layer has no neighbours",
                hint="without --layers dense",
            )
        if given:
            raise RequestError(
                f"{option} is for training, and a dense layer is solved", hint=f"without {option}"
            )
    else:
        _check_network(options)


def _check_network(options: LearnOptions) -> None:
    rates = {
        "--learning-rate": options.learning_rate,
        "--weight-decay": options.weight_decay,
    }
    for option, number in rates.items():
        if number is not None and not math.isfinite(number):
            raise RequestError(f"{option} expects a number, got {number:g}")
    for option, value, instead in (
        ("--taps", options.taps, "the layers have their own: conv:8,7"),
        ("--ridge", options.ridge, "--weight-decay"),
        ("--bias", options.bias, "conv:8,7,bias=false"),
        ("--noise", options.noise, "a network gives back nothing of the sample itself"),
    ):
        if value is not None:
            raise RequestError(f"{option} is for one linear layer", hint=instead)
