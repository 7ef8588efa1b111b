"""Activation functions of a network, and their derivatives.

Where the value of a function determines its derivative, training may overwrite the samples by the
values, and keeps nothing else. Other derivatives are computed from the samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.signals import Array


class Activation(Protocol):
    """A function of each sample, with its derivative."""

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Compute the function of `x`, in `out` if it is given; `out` may be `x`."""
        ...

    def derivative(self, kept: Array, out: Array) -> Array:
        """Compute the derivative in `out`.

        kept : the values of the function where they determine the derivative, else the samples
        """
        ...

    @property
    def derivative_follows(self) -> bool:
        """Whether the value determines the derivative."""
        ...

    @property
    def homogeneous(self) -> bool:
        """Whether f(c x) is c f(x) for every c > 0."""
        ...


@dataclass(frozen=True)
class Rectifier:
    """The rectifier: x where x >= 0, else slope * x."""

    slope: float = 0.0

    homogeneous = True

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

    def derivative(self, kept: Array, out: Array) -> Array:
        """Compute 1 where x > 0, else the slope, as torch does at 0."""
        np.greater(kept, 0, out=out)
        if self.slope != 0:
            out *= np.asarray(1 - self.slope, out.dtype)
            out += np.asarray(self.slope, out.dtype)
        return out


@dataclass(frozen=True)
class Tanh:
    """The hyperbolic tangent of each sample."""

    derivative_follows = True
    homogeneous = False

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Compute the tangent tanh(x)."""
        y: Array = np.tanh(x, out=out)
        return y

    def derivative(self, kept: Array, out: Array) -> Array:
        """Compute the derivative 1 - y**2."""
        np.multiply(kept, kept, out=out)
        return np.subtract(1, out, out=out)


@dataclass(frozen=True)
class Sigmoid:
    """The logistic function 1 / (1 + exp(-x))."""

    derivative_follows = True
    homogeneous = False

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Compute 0.5 + 0.5 tanh(x / 2), which does not overflow for large negative x."""
        y: Array = np.multiply(x, 0.5, out=out)
        np.tanh(y, out=y)
        y *= 0.5
        y += 0.5
        return y

    def derivative(self, kept: Array, out: Array) -> Array:
        """Compute the derivative y (1 - y)."""
        np.multiply(kept, kept, out=out)
        return np.subtract(kept, out, out=out)


@dataclass(frozen=True)
class Elu:
    """The exponential linear unit: x where x > 0, else alpha * (exp(x) - 1).

    Clevert, Unterthiner and Hochreiter (2015), https://arxiv.org/abs/1511.07289
    """

    alpha: float = 1.0

    homogeneous = False

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Compute the unit; large samples do not overflow."""
        negative = np.expm1(np.minimum(x, 0)) * np.asarray(self.alpha, x.dtype)
        y: Array = np.add(np.maximum(x, 0), negative, out=out)
        return y

    @property
    def derivative_follows(self) -> bool:
        """Whether the function rises; with an alpha below 0 two inputs have the same value."""
        return self.alpha >= 0

    def derivative(self, kept: Array, out: Array) -> Array:
        """Compute 1 where x > 0, else alpha * exp(x), which is y + alpha."""
        alpha = np.asarray(self.alpha, out.dtype)
        below = np.minimum(kept, 0)
        if self.derivative_follows:
            np.add(below, alpha, out=out)
        else:
            np.multiply(np.exp(below), alpha, out=out)
        out[kept > 0] = 1
        return out


@dataclass(frozen=True)
class Softplus:
    """The smooth rectifier log(1 + exp(x))."""

    derivative_follows = True
    homogeneous = False

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Compute log(1 + exp(x)), which does not overflow for large x."""
        zero = np.zeros((), x.dtype)
        y: Array = np.logaddexp(zero, x, out=out)
        return y

    def derivative(self, kept: Array, out: Array) -> Array:
        """Compute the derivative 1 - exp(-y), the logistic function of x."""
        np.expm1(-kept, out=out)
        return np.negative(out, out=out)


@dataclass(frozen=True)
class TimesLogistic:
    """The sigmoid linear unit x / (1 + exp(-x)), also called SiLU or swish."""

    derivative_follows = False
    homogeneous = False

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Compute x times its logistic function."""
        y: Array = np.multiply(x, Sigmoid()(x), out=out)
        return y

    def derivative(self, kept: Array, out: Array) -> Array:
        """Compute s (1 + x (1 - s)), where s is the logistic function of x."""
        share = Sigmoid()(kept)
        np.subtract(1, share, out=out)
        out *= kept
        out += 1
        out *= share
        return out


@dataclass(frozen=True)
class TimesNormal:
    """The Gaussian error linear unit: x times the normal distribution function of x.

    Hendrycks and Gimpel (2016), https://arxiv.org/abs/1606.08415
    """

    derivative_follows = False
    homogeneous = False

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Compute x times the part of a normal distribution below x."""
        from scipy.special import ndtr

        below = ndtr(x).astype(x.dtype, copy=False)
        y: Array = np.multiply(x, below, out=out)
        return y

    def derivative(self, kept: Array, out: Array) -> Array:
        """Compute the distribution function of x plus x times its density."""
        from scipy.special import ndtr

        np.multiply(kept, kept, out=out)
        out *= -0.5
        np.exp(out, out=out)
        out *= kept
        out *= 1 / np.sqrt(2 * np.pi)
        out += ndtr(kept)
        return out


@dataclass(frozen=True)
class TimesClippedLine:
    """The hard swish x * min(max(x + 3, 0), 6) / 6.

    Howard et al. (2019), https://arxiv.org/abs/1905.02244
    """

    derivative_follows = False
    homogeneous = False

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Compute x times a line that is clipped to 0 ... 1."""
        line = np.clip(x + 3, 0, 6)
        y: Array = np.multiply(x, line, out=out)
        y /= 6
        return y

    def derivative(self, kept: Array, out: Array) -> Array:
        """Compute 0 up to -3, 1 from 3 on, and x / 3 + 1 / 2 between."""
        np.multiply(kept, 1 / 3, out=out)
        out += 0.5
        out[kept <= -3] = 0
        out[kept >= 3] = 1
        return out
