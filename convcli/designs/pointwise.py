"""Functions of one sample: activations, gains, limits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.activations import (
    Elu,
    Rectifier,
    Sigmoid,
    Softplus,
    Tanh,
    TimesClippedLine,
    TimesLogistic,
    TimesNormal,
)
from convcli.core.convolution.rounding import Rounding, rounding_of_factor
from convcli.core.one_sample import ActivationOp, Pointwise
from convcli.core.op_formula import NNCall
from convcli.core.whole_signal import Normalize
from convcli.designs.registry import step
from convcli.errors import RequestError
from convcli.signals import Signal
from convcli.units import Gain, Number

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.core.activations import Activation
    from convcli.signals import Array


def _activation(
    function: Activation,
    signal: Signal,
    nn_call: NNCall | None = None,
    *,
    rounding: Rounding = "rounded",
) -> ActivationOp:
    """The activation of every sample; the opacity of a picture is kept."""
    return ActivationOp(
        function=function,
        axes=signal.axes,
        keeps=signal.alpha,
        rounding=rounding,
        nn_call=nn_call,
    )


def _each(
    function: Callable[[Array], Array],
    signal: Signal,
    rounding: Rounding = "rounded",
    nn_call: NNCall | None = None,
) -> Pointwise:
    """The function of every sample; the opacity of a picture is kept."""
    return Pointwise(
        function=function,
        axes=signal.axes,
        keeps=signal.alpha,
        rounding=rounding,
        nn_call=nn_call,
    )


@step("pointwise", example="relu")
def relu(*, signal: Signal) -> ActivationOp:
    """Rectified linear unit: max(x, 0)."""
    return _activation(Rectifier(), signal, NNCall("relu"), rounding="exact")


@step("pointwise", example="leaky_relu:0.1")
def leaky_relu(slope: Number = 0.01, *, signal: Signal) -> ActivationOp:
    """x where x >= 0, else SLOPE * x."""
    return _activation(
        Rectifier(slope), signal, NNCall("leaky_relu", (slope,)), rounding=rounding_of_factor(slope)
    )


@step("pointwise", example="tanh")
def tanh(*, signal: Signal) -> ActivationOp:
    """Hyperbolic tangent of x: -1 ... 1."""
    return _activation(Tanh(), signal, NNCall("tanh"))


@step("pointwise", example="sigmoid")
def sigmoid(*, signal: Signal) -> ActivationOp:
    """Logistic function of x, 1 / (1 + exp(-x)): 0 ... 1."""
    return _activation(Sigmoid(), signal, NNCall("sigmoid"))


@step("pointwise", example="elu")
def elu(alpha: Number = 1.0, *, signal: Signal) -> ActivationOp:
    """Exponential linear unit: x where x > 0, else ALPHA * (exp(x) - 1)."""
    return _activation(Elu(alpha), signal, NNCall("elu", (alpha,)))


@step("pointwise", example="softplus")
def softplus(*, signal: Signal) -> ActivationOp:
    """Smooth rectifier: log(1 + exp(x))."""
    return _activation(Softplus(), signal, NNCall("softplus"))


@step("pointwise", example="silu", aliases=("swish",))
def silu(*, signal: Signal) -> ActivationOp:
    """Sigmoid linear unit: x / (1 + exp(-x))."""
    return _activation(TimesLogistic(), signal, NNCall("silu"))


@step("pointwise", example="gelu")
def gelu(*, signal: Signal) -> ActivationOp:
    """Gaussian error linear unit: x times the normal distribution function of x."""
    return _activation(TimesNormal(), signal, NNCall("gelu"))


@step("pointwise", example="hardswish")
def hardswish(*, signal: Signal) -> ActivationOp:
    """Piecewise quadratic approximation of silu: x * min(max(x + 3, 0), 6) / 6."""
    return _activation(TimesClippedLine(), signal, NNCall("hardswish"))


@step("pointwise", example="abs", name="abs")
def absolute(*, signal: Signal) -> Pointwise:
    """Magnitude of x, without its sign."""
    return _each(np.abs, signal, "exact", NNCall("abs"))


@step("pointwise", example="sign")
def sign(*, signal: Signal) -> Pointwise:
    """1 where x > 0, -1 where x < 0, else 0."""
    return _each(np.sign, signal, "exact", NNCall("sign"))


@step("pointwise", example="square")
def square(*, signal: Signal) -> Pointwise:
    """Square of each sample, x times x."""
    return _each(np.square, signal, "exact", NNCall("square"))


@step("pointwise", example="sqrt")
def sqrt(*, signal: Signal) -> Pointwise:
    """Square root of x; missing where x < 0."""

    def root(x: Array) -> Array:
        missing = np.full_like(x, np.nan)
        y: Array = np.sqrt(x, out=missing, where=x >= 0)
        return y

    return _each(root, signal, nn_call=NNCall("sqrt"))


@step("pointwise", example="log")
def log(*, signal: Signal) -> Pointwise:
    """Natural logarithm of x; missing where x <= 0."""

    def logarithm(x: Array) -> Array:
        missing = np.full_like(x, np.nan)
        y: Array = np.log(x, out=missing, where=x > 0)
        return y

    return _each(logarithm, signal)


@step("pointwise", example="exp")
def exp(*, signal: Signal) -> Pointwise:
    """Exponential function: e to the power of x."""

    def overflowing(x: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.exp(x)

    return _each(overflowing, signal, nn_call=NNCall("exp"))


@step("pointwise", example="gain:-6dB")
def gain(factor: Gain, *, signal: Signal) -> Pointwise | None:
    """x times a factor (0.5, 50%) or decibels (-6dB)."""
    if factor == 1:
        return None

    def multiplied(x: Array) -> Array:
        return x * np.asarray(factor, x.dtype)

    amplify = _each(multiplied, signal, rounding_of_factor(factor))
    return replace(amplify, factor=factor)


@step("pointwise", example="offset:1")
def offset(value: Number, *, signal: Signal) -> Pointwise | None:
    """x plus VALUE, in the units of the signal.

    Sound goes from -1 to 1, 8-bit images from 0 to 255; tables have their own units.
    """
    if value == 0:
        return None

    def raised(x: Array) -> Array:
        return x + np.asarray(value, x.dtype)

    return _each(raised, signal, rounding_of_factor(value), NNCall("add", (value,)))


@step("pointwise", example="clip:0,1")
def clip(low: Number, high: Number, *, signal: Signal) -> Pointwise:
    """x limited to LOW ... HIGH, in the units of the signal."""
    if low > high:
        message = f"expected LOW <= HIGH, got {low:g} and {high:g}"
        raise RequestError(message, hint=f"clip:{high:g},{low:g}")
    limits = NNCall("clip", (low, high))
    return _each(lambda x: np.clip(x, low, high), signal, "exact", limits)


@step("pointwise", example="normalize", reads_twice=True)
def normalize(level: Gain = 1.0, *, signal: Signal) -> Normalize:
    """Scale so that the largest magnitude is LEVEL (1, 80%, -3dB) of full scale.

    Sound and images get one factor for all channels, a table one for each column. Needs a first
    pass over the signal.
    """
    if level <= 0:
        hint = "normalize:-1dB is a decibel below full scale, normalize:0dB is full scale"
        raise RequestError(f"expected a level above 0, got {level:g}", hint=hint)
    return Normalize(
        level=level * signal.full_scale,
        per_channel=signal.medium.separate_channels,
        axes=signal.axes,
        alpha=signal.alpha,
    )
