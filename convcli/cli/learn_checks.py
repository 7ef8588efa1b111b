"""Options of `convcli learn` that exclude each other, refused before anything is read."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING

from convcli.errors import RequestError

if TYPE_CHECKING:
    from convcli.cli.learn_options import LearnOptions
    from convcli.signals import Medium


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
    network = options.layers is not None and options.layers.strip() != "dense"
    if options.residual and not network:
        raise RequestError(
            "--residual is for --layers: one linear layer can pass its input on by itself",
            hint='--layers "conv:8,9 | relu | conv:1,9" --residual',
        )
    if options.layers is None:
        if given:
            raise RequestError(
                f"{option} is for training", hint='--layers "conv:8,7 | relu | conv:1,5"'
            )
    elif options.layers.strip() == "dense":
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
