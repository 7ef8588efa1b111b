"""Nodes of an ONNX graph that are functions of one sample: activations and arithmetic."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.activations import (
    Elu,
    Rectifier,
    Sigmoid,
    Softplus,
    Tanh,
    TimesClippedLine,
    TimesNormal,
)
from convcli.layers.affine import Affine
from convcli.layers.per_channel import sloped_rectifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.core.activations import Activation
    from convcli.layers.onnx.node_place import NodePlace, Ops
    from convcli.layers.weights import Tensor
    from convcli.signals import Array


def _activation_node(function: Activation) -> Callable[[NodePlace], Ops]:
    """A node without attributes that is an activation."""
    return lambda place: place.activation(function)


def _function_node(function: Callable[[Array], Array]) -> Callable[[NodePlace], Ops]:
    """A node without attributes that is some other function of each sample."""
    return lambda place: place.pointwise(function)


def _leaky_relu_node(place: NodePlace) -> Ops:
    return place.activation(Rectifier(place.attribute("alpha", 0.01)))


def _elu_node(place: NodePlace) -> Ops:
    return place.activation(Elu(place.attribute("alpha", 1.0)))


def _prelu_node(place: NodePlace) -> Ops:
    return (sloped_rectifier(place.per_channel(place.needed(1)), place.axes),)


def _gelu_of_node(place: NodePlace) -> Ops:
    if place.attribute("approximate", "none") == "tanh":
        return place.pointwise(_gelu_of_tanh)
    return place.activation(TimesNormal())


def _gelu_of_tanh(x: Array) -> Array:
    """The approximation of Hendrycks & Gimpel (2016), equation 2."""
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    y: Array = 0.5 * x * (1 + np.tanh(inner))
    return y


def _without_errors(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A function that is NaN or infinite outside of its domain, without a warning."""

    def quiet(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return function(x)

    return quiet


def _thresholded_node(place: NodePlace) -> Ops:
    """x above a threshold, else 0."""
    threshold = place.attribute("alpha", 1.0)
    return place.pointwise(lambda x: np.where(x <= threshold, x.dtype.type(0), x))


def _shrink_node(place: NodePlace) -> Ops:
    """0 within +-lambd, and beyond it x, brought nearer to 0 by a bias."""
    limit, bias = place.attribute("lambd", 0.5), place.attribute("bias", 0.0)

    def shrunk(x: Array) -> Array:
        nearer = x - np.sign(x) * x.dtype.type(bias)
        return np.where(np.abs(x) <= limit, x.dtype.type(0), nearer)

    return place.pointwise(shrunk)


def _error_function(x: Array) -> Array:
    from scipy.special import erf

    y: Array = erf(x)
    return y


def _hard_sigmoid_node(place: NodePlace) -> Ops:
    slope, offset = place.attribute("alpha", 0.2), place.attribute("beta", 0.5)
    return place.pointwise(lambda x: np.clip(x * slope + offset, 0, 1))


def _softsign(x: Array) -> Array:
    y: Array = x / (1 + np.abs(x))
    return y


def _selu_node(place: NodePlace) -> Ops:
    alpha, gamma = place.attribute("alpha", 1.67326319), place.attribute("gamma", 1.05070102)
    unit = Elu(alpha)
    return place.pointwise(lambda x: unit(x) * np.asarray(gamma, x.dtype))


def _celu_node(place: NodePlace) -> Ops:
    alpha = place.attribute("alpha", 1.0)

    def scaled(x: Array) -> Array:
        scaled_below = np.minimum(x, 0) / alpha
        y: Array = np.maximum(x, 0) + alpha * np.expm1(scaled_below)
        return y.astype(x.dtype, copy=False)

    return place.pointwise(scaled)


def _mish(x: Array) -> Array:
    """x times the hyperbolic tangent of its softplus. Misra (2019)."""
    return x * np.tanh(Softplus()(x))


def _negation(x: Array) -> Array:
    """1 where a condition, which is 1 or 0, does not hold, else 0."""
    y: Array = 1 - x
    return y


def _power_node(place: NodePlace) -> Ops:
    exponent = place.scalar(1)
    if exponent is None:
        raise place.error("its exponent is not constant")
    return place.pointwise(lambda x: np.power(x, np.asarray(exponent, x.dtype)))


def _clip_node(place: NodePlace) -> Ops:
    low, high = place.scalar(1), place.scalar(2)
    least = place.attribute("min", -np.inf) if low is None else low
    most = place.attribute("max", np.inf) if high is None else high
    return place.pointwise(lambda x: np.clip(x, least, most))


def _batch_normalization_node(place: NodePlace) -> Ops:
    scale, shift, mean, variance = (place.vector(n) for n in (1, 2, 3, 4))
    scale = scale / np.sqrt(variance + place.attribute("epsilon", 1e-5))
    return (Affine(scale=scale, shift=shift - mean * scale, axes=place.axes),)


_ARITHMETIC: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "Add": lambda c: (np.ones_like(c), c),
    "Sub": lambda c: (np.ones_like(c), -c),
    "Mul": lambda c: (c, np.zeros_like(c)),
    "Div": lambda c: (1 / c, np.zeros_like(c)),
}


def with_constant(place: NodePlace, number: int) -> Ops:
    """A sum, difference, product or quotient of which one operand is constant.

    number : of the constant input
    """
    constant = place.per_channel(place.needed(number))
    kind = place.node.kind
    if kind == "Div" and number == 0:
        return place.pointwise(lambda x: constant.astype(x.dtype) / x)
    scale, shift = _ARITHMETIC[kind](constant)
    if kind == "Sub" and number == 0:
        scale, shift = -scale, constant
    return (Affine(scale=scale, shift=shift, axes=place.axes),)


POINTWISE_NODES: dict[str, Callable[[NodePlace], Ops]] = {
    "Relu": _activation_node(Rectifier()),
    "LeakyRelu": _leaky_relu_node,
    "PRelu": _prelu_node,
    "Elu": _elu_node,
    "Sigmoid": _activation_node(Sigmoid()),
    "Tanh": _activation_node(Tanh()),
    "Softplus": _activation_node(Softplus()),
    "HardSwish": _activation_node(TimesClippedLine()),
    "Gelu": _gelu_of_node,
    "Abs": _function_node(np.abs),
    "Exp": _function_node(np.exp),
    "Neg": _function_node(np.negative),
    "Not": _function_node(_negation),
    "Sign": _function_node(np.sign),
    "Sqrt": _function_node(_without_errors(np.sqrt)),
    "Log": _function_node(_without_errors(np.log)),
    "Reciprocal": _function_node(_without_errors(np.reciprocal)),
    "Sin": _function_node(np.sin),
    "Cos": _function_node(np.cos),
    "Floor": _function_node(np.floor),
    "Ceil": _function_node(np.ceil),
    "Round": _function_node(np.rint),
    "ThresholdedRelu": _thresholded_node,
    "Shrink": _shrink_node,
    "Erf": _function_node(_error_function),
    "HardSigmoid": _hard_sigmoid_node,
    "Selu": _selu_node,
    "Celu": _celu_node,
    "Mish": _function_node(_mish),
    "Softsign": _function_node(_softsign),
    "Pow": _power_node,
    "Clip": _clip_node,
    "BatchNormalization": _batch_normalization_node,
}
