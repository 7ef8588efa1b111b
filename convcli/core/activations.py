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
