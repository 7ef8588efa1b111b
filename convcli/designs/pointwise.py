"""The same function of every sample: activations, gains, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.core.activations import Rectifier, Sigmoid, Tanh
from convcli.core.ops import Pointwise
from convcli.core.rounding import Rounding, of_factor
from convcli.core.whole import Normalize
from convcli.designs.registry import step
from convcli.errors import RequestError
from convcli.signals import Signal
from convcli.units import Gain, Number

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.signals import Array


def _each(
    function: Callable[[Array], Array], signal: Signal, rounding: Rounding = "irrational"
) -> Pointwise:
    return Pointwise(function=function, axes=signal.axes, keeps=signal.alpha, rounding=rounding)


@step("pointwise", example="relu")
def relu(*, signal: Signal) -> Pointwise:
    """max(x, 0)."""
    return _each(Rectifier(), signal, "exact")


@step("pointwise", example="leaky_relu:0.1")
def leaky_relu(slope: Number = 0.01, *, signal: Signal) -> Pointwise:
    """x where x >= 0, else SLOPE * x."""
    return _each(Rectifier(slope), signal, of_factor(slope))


@step("pointwise", example="tanh")
def tanh(*, signal: Signal) -> Pointwise:
    """Hyperbolic tangent of x: -1 ... 1."""
    return _each(Tanh(), signal)


@step("pointwise", example="sigmoid")
def sigmoid(*, signal: Signal) -> Pointwise:
    """1 / (1 + exp(-x)): 0 ... 1."""
    return _each(Sigmoid(), signal)


@step("pointwise", example="abs", name="abs")
def absolute(*, signal: Signal) -> Pointwise:
    """Magnitude of x."""
    return _each(np.abs, signal, "exact")


@step("pointwise", example="log")
def log(*, signal: Signal) -> Pointwise:
    """Natural logarithm of x; where x <= 0 there is none, and the result is missing."""
    return _each(lambda x: np.log(x, out=np.full_like(x, np.nan), where=x > 0), signal)


@step("pointwise", example="exp")
def exp(*, signal: Signal) -> Pointwise:
    """e to the power of x."""

    def overflowing(x: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.exp(x)

    return _each(overflowing, signal)


@step("pointwise", example="gain:-6dB")
def gain(factor: Gain, *, signal: Signal) -> Pointwise | None:
    """x times a factor (0.5, 50%) or decibels (-6dB)."""
    return (
        None
        if factor == 1
        else _each(lambda x: x * np.asarray(factor, x.dtype), signal, of_factor(factor))
    )


@step("pointwise", example="offset:1")
def offset(value: Number, *, signal: Signal) -> Pointwise | None:
    """x plus VALUE, in the units of the signal (sound -1 ... 1, 8-bit images 0 ... 255, tables as they are)."""
    return (
        None
        if value == 0
        else _each(lambda x: x + np.asarray(value, x.dtype), signal, of_factor(value))
    )


@step("pointwise", example="clip:0,1")
def clip(low: Number, high: Number, *, signal: Signal) -> Pointwise:
    """x limited to LOW ... HIGH, in the units of the signal."""
    if low > high:
        raise RequestError(f"clip expects LOW <= HIGH, got {low:g} and {high:g}")
    return _each(lambda x: np.clip(x, low, high), signal, "exact")


@step("pointwise", example="normalize", reads_twice=True)
def normalize(level: Gain = 1.0, *, signal: Signal) -> Normalize:
    """Scale so that the largest magnitude is LEVEL (1, 80%, -3dB) of full scale; needs a first pass over the signal.

    Sound and images get one factor for all channels, a table one for each column.
    """
    return Normalize(
        level=level * signal.full_scale,
        per_channel=signal.medium.separate_channels,
        axes=signal.axes,
        alpha=signal.alpha,
    )
