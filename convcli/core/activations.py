"""Activation functions of a network, and their derivatives computed from their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from convcli.signals import Array


@runtime_checkable
class Activation(Protocol):
    """A function of each sample, with its derivative as a function of its value."""

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Compute the function of `x`, in `out` if it is given; `out` may be `x`."""
        ...

    def derivative(self, y: Array, out: Array) -> Array:
        """Compute the derivative in `out`, where the value of the function is `y`."""
        ...

    @property
    def derivative_follows(self) -> bool:
        """Whether the value determines the derivative."""
        ...


@dataclass(frozen=True)
class Rectifier:
    """The rectifier: x where x >= 0, else slope * x."""

    slope: float = 0.0

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Compute max(x, slope * x), or min for a slope above 1."""
        if self.slope == 0:
            return np.maximum(x, 0, out=out)
        sloped = x * np.asarray(self.slope, x.dtype)
        larger_or_smaller = np.maximum if self.slope <= 1 else np.minimum
        y: Array = larger_or_smaller(x, sloped, out=out)
        return y

    @property
    def derivative_follows(self) -> bool:
        """Whether the function rises; with a slope below 0 two inputs have the same value."""
        return self.slope >= 0

    def derivative(self, y: Array, out: Array) -> Array:
        """Compute 1 where y > 0, else the slope, as torch does at 0."""
        np.greater(y, 0, out=out)
        if self.slope != 0:
            out *= np.asarray(1 - self.slope, out.dtype)
            out += np.asarray(self.slope, out.dtype)
        return out


@dataclass(frozen=True)
class Tanh:
    """The hyperbolic tangent of each sample."""

    derivative_follows = True

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Compute the tangent tanh(x)."""
        y: Array = np.tanh(x, out=out)
        return y

    def derivative(self, y: Array, out: Array) -> Array:
        """Compute the derivative 1 - y**2."""
        np.multiply(y, y, out=out)
        return np.subtract(1, out, out=out)


@dataclass(frozen=True)
class Sigmoid:
    """The logistic function 1 / (1 + exp(-x))."""

    derivative_follows = True

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Compute 0.5 + 0.5 tanh(x / 2), which does not overflow for large negative x."""
        y: Array = np.multiply(x, 0.5, out=out)
        np.tanh(y, out=y)
        y *= 0.5
        y += 0.5
        return y

    def derivative(self, y: Array, out: Array) -> Array:
        """Compute the derivative y (1 - y)."""
        np.multiply(y, y, out=out)
        return np.subtract(y, out, out=out)


@dataclass(frozen=True)
class Elu:
    """The exponential linear unit: x where x > 0, else alpha * (exp(x) - 1).

    Clevert, Unterthiner and Hochreiter (2015), https://arxiv.org/abs/1511.07289
    """

    alpha: float = 1.0

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Compute the unit; large samples do not overflow."""
        negative = np.expm1(np.minimum(x, 0)) * np.asarray(self.alpha, x.dtype)
        y: Array = np.add(np.maximum(x, 0), negative, out=out)
        return y

    @property
    def derivative_follows(self) -> bool:
        """Whether the function rises; with an alpha below 0 two inputs have the same value."""
        return self.alpha >= 0

    def derivative(self, y: Array, out: Array) -> Array:
        """Compute 1 where y > 0, else y + alpha."""
        np.add(np.minimum(y, 0), np.asarray(self.alpha, out.dtype), out=out)
        out[y > 0] = 1
        return out


@dataclass(frozen=True)
class Softplus:
    """The smooth rectifier log(1 + exp(x))."""

    derivative_follows = True

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Compute log(1 + exp(x)), which does not overflow for large x."""
        zero = np.zeros((), x.dtype)
        y: Array = np.logaddexp(zero, x, out=out)
        return y

    def derivative(self, y: Array, out: Array) -> Array:
        """Compute the derivative 1 - exp(-y), the logistic function of x."""
        np.expm1(-y, out=out)
        return np.negative(out, out=out)


def times_logistic(x: Array) -> Array:
    """Compute x / (1 + exp(-x)), the sigmoid linear unit, also called swish."""
    y: Array = x * Sigmoid()(x)
    return y


def times_normal(x: Array) -> Array:
    """Compute x times the normal distribution function of x.

    Hendrycks and Gimpel (2016), https://arxiv.org/abs/1606.08415
    """
    from scipy.special import ndtr

    y: Array = x * ndtr(x).astype(x.dtype)
    return y


def times_clipped_line(x: Array) -> Array:
    """Compute x * min(max(x + 3, 0), 6) / 6.

    Howard et al. (2019), https://arxiv.org/abs/1905.02244
    """
    y: Array = x * np.clip(x + 3, 0, 6) / np.asarray(6, x.dtype)
    return y
