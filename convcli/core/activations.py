"""Activations: what stands between the layers of a network, and its derivative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from convcli.signals import Array


@runtime_checkable
class Activation(Protocol):
    """The same function of every sample, whose derivative can be told from its value."""

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """The function of `x`; with `out`, which may be `x`, written there."""
        ...

    def derivative(self, y: Array, out: Array) -> Array:
        """The derivative where the function is `y`, written to `out`."""
        ...

    @property
    def derivative_follows(self) -> bool:
        """Whether the derivative can be told from the value."""
        ...


@dataclass(frozen=True)
class Rectifier:
    """x where x >= 0, else slope * x."""

    slope: float = 0.0

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Rectify."""
        if self.slope == 0:
            return np.maximum(x, 0, out=out)
        bent = x * np.asarray(self.slope, x.dtype)
        y: Array = (np.maximum if self.slope <= 1 else np.minimum)(x, bent, out=out)
        return y

    @property
    def derivative_follows(self) -> bool:
        """Whether the function is increasing; with a slope below 0 two inputs have the same value."""
        return self.slope >= 0

    def derivative(self, y: Array, out: Array) -> Array:
        """1 or the slope; the slope at 0, as in torch."""
        np.greater(y, 0, out=out)
        if self.slope != 0:
            out *= np.asarray(1 - self.slope, out.dtype)
            out += np.asarray(self.slope, out.dtype)
        return out


@dataclass(frozen=True)
class Tanh:
    """The hyperbolic tangent."""

    derivative_follows = True

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """tanh(x)."""
        y: Array = np.tanh(x, out=out)
        return y

    def derivative(self, y: Array, out: Array) -> Array:
        """1 - y**2."""
        np.multiply(y, y, out=out)
        return np.subtract(1, out, out=out)


@dataclass(frozen=True)
class Sigmoid:
    """1 / (1 + exp(-x))."""

    derivative_follows = True

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """0.5 + 0.5 tanh(x / 2): this form does not overflow for large negative x."""
        y: Array = np.multiply(x, 0.5, out=out)
        np.tanh(y, out=y)
        y *= 0.5
        y += 0.5
        return y

    def derivative(self, y: Array, out: Array) -> Array:
        """y (1 - y)."""
        np.multiply(y, y, out=out)
        return np.subtract(y, out, out=out)
