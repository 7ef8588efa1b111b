"""The convolution integral as the limit of the convolution sum, for `explain --continuous`.

(g * x)(t) = integral of g(s) x(t - s) ds, which the sum over j of g(j dt) x(t - j dt) dt approaches
as dt becomes smaller.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import RequestError, nearest
from convcli.facts.explanation import ContinuousFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convcli.array_types import FloatArray


# Steps of the sums, each half of the one before it.
STEPS = (1.0, 0.5, 0.25, 0.125, 0.0625)
# Times for which functions by name are convolved.
TIMES = tuple(0.5 * k for k in range(-2, 9))


@dataclass(frozen=True, kw_only=True)
class ContinuousFunction:
    """A function of time.

    formula : the function as text
    values : computes the function for an array of times
    start, stop : the function is 0, or negligible, before and after these times
    breaks : times at which the function or its slope jumps; the integral is computed between them
    """

    name: str
    formula: str
    values: Callable[[FloatArray], FloatArray]
    start: float
    stop: float
    breaks: tuple[float, ...] = ()

    @property
    def ends(self) -> bool:
        """Whether it is 0 from some time on and up to some time."""
        return math.isfinite(self.stop - self.start)


def _zero_outside(
    start: float, stop: float, values: Callable[[FloatArray], FloatArray]
) -> Callable[..., FloatArray]:
    """A function that is 0 outside of [start, stop)."""

    def limited(t: FloatArray) -> FloatArray:
        inside = (t >= start) & (t < stop)
        harmless = np.where(inside, t, 0.0)
        return np.where(inside, values(harmless), 0.0)

    return limited


def _triangle(t: FloatArray) -> FloatArray:
    return 1 - np.abs(t)


def _decay(t: FloatArray) -> FloatArray:
    return np.exp(-t)


def _normal_density(t: FloatArray) -> FloatArray:
    bell = np.exp(-np.square(t) / 2)
    return np.asarray(bell / math.sqrt(2 * math.pi))


def _sine(t: FloatArray) -> FloatArray:
    return np.sin(2 * math.pi * t)


_FUNCTIONS = (
    ContinuousFunction(
        name="pulse",
        formula="1 for 0 <= t < 1",
        values=_zero_outside(0, 1, np.ones_like),
        start=0,
        stop=1,
        breaks=(0, 1),
    ),
    ContinuousFunction(
        name="triangle",
        formula="1 - |t| for -1 <= t < 1",
        values=_zero_outside(-1, 1, _triangle),
        start=-1,
        stop=1,
        breaks=(-1, 0, 1),
    ),
    ContinuousFunction(
        name="exp",
        formula="exp(-t) for t >= 0",
        values=_zero_outside(0, math.inf, _decay),
        start=0,
        stop=40,
        breaks=(0,),
    ),
    ContinuousFunction(
        name="gauss",
        formula="exp(-t*t / 2) / sqrt(2 pi)",
        values=_normal_density,
        start=-9,
        stop=9,
    ),
    ContinuousFunction(
        name="step",
        formula="1 for t >= 0",
        values=_zero_outside(0, math.inf, np.ones_like),
        start=0,
        stop=math.inf,
        breaks=(0,),
    ),
    ContinuousFunction(
        name="ramp",
        formula="t for t >= 0",
        values=_zero_outside(0, math.inf, np.positive),
        start=0,
        stop=math.inf,
        breaks=(0,),
    ),
    ContinuousFunction(
        name="sine",
        formula="sin(2 pi t)",
        values=_sine,
        start=-math.inf,
        stop=math.inf,
    ),
)
FUNCTIONS = {function.name: function for function in _FUNCTIONS}


def sampled_function(samples: Sequence[float]) -> ContinuousFunction:
    """The piecewise linear function through samples at t = 0, 1, 2, ..., 0 outside of them."""
    values = np.asarray(samples, dtype=np.float64)
    times = np.arange(len(values), dtype=np.float64)
    return ContinuousFunction(
        name=", ".join(f"{value:g}" for value in values),
        formula="these values at t = 0, 1, 2, ... and straight lines between them",
        values=lambda t: np.interp(t, times, values, left=0.0, right=0.0),
        start=0.0,
        stop=float(times[-1]),
        breaks=tuple(times.tolist()),
    )


def function_named(name: str) -> ContinuousFunction:
    """The function of a name. RequestError says which there are."""
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    near = nearest(name, list(FUNCTIONS))
    hint = f"did you mean {near}?" if near else f"numbers, or one of {', '.join(FUNCTIONS)}"
    raise RequestError(f"--continuous knows no function {name!r}", hint=hint)


def explain_integral(signal: ContinuousFunction, kernel: ContinuousFunction) -> ContinuousFacts:
    """Compare the convolution sum for smaller and smaller steps with the integral.

    Raises RequestError for a kernel that has no end.
    """
    if not kernel.ends:
        finite = [one.name for one in _FUNCTIONS if one.ends]
        message = f"the kernel {kernel.name} has no end, and its integral need not exist"
        hint = f"a kernel such as {', '.join(finite)}, or numbers"
        if signal.ends:
            swapped = f"{kernel.name} {signal.name.replace(', ', ',')}"
            hint = f"`{swapped} --continuous` has the same integral: convolution is commutative"
        raise RequestError(message, hint=hint)
    times = TIMES
    if math.isfinite(signal.stop):
        last = math.ceil(signal.stop)
        count = max(last + 2, 5)
        times = tuple(float(t) for t in range(count))
    integral = tuple(_integral(signal, kernel, t) for t in times)
    sums = tuple(_sums(signal, kernel, times, step) for step in STEPS)
    distances = np.abs(np.subtract(sums, integral))
    errors = distances.max(axis=1).tolist()
    return ContinuousFacts(
        signal=signal.name,
        signal_formula=signal.formula,
        kernel=kernel.name,
        kernel_formula=kernel.formula,
        times=times,
        steps=STEPS,
        sums=sums,
        integral=integral,
        errors=tuple(errors),
    )


def _sums(
    signal: ContinuousFunction, kernel: ContinuousFunction, times: Sequence[float], step: float
) -> tuple[float, ...]:
    """The convolution sum of a step, at each time."""
    return tuple(_sum(signal, kernel, t, step) for t in times)


def _sum(signal: ContinuousFunction, kernel: ContinuousFunction, t: float, step: float) -> float:
    """The sum over j of kernel(j step) * signal(t - j step) * step."""
    first, last = math.floor(kernel.start / step), math.ceil(kernel.stop / step)
    places: FloatArray = np.arange(first, last + 1, dtype=np.float64) * np.float64(step)
    products: FloatArray = kernel.values(places) * signal.values(t - places)
    return float(np.sum(products) * step)


def _integral(signal: ContinuousFunction, kernel: ContinuousFunction, t: float) -> float:
    """The integral of kernel(s) * signal(t - s) over s, between the places where one jumps."""
    from scipy.integrate import quad

    def product(s: float) -> float:
        place = np.array([s])
        (value,) = kernel.values(place) * signal.values(t - place)
        return float(value)

    low = max(kernel.start, t - signal.stop)
    high = min(kernel.stop, t - signal.start)
    if low >= high:
        return 0.0
    first, last = math.ceil(low), math.floor(high)
    whole = {float(place) for place in range(first, last + 1)}
    jumps = {*kernel.breaks, *(t - place for place in signal.breaks)}
    inner = {place for place in jumps | whole if low < place < high}
    parts = []
    for start, stop in pairwise(sorted({low, high, *inner})):
        value, _ = quad(product, start, stop)
        parts.append(value)
    return math.fsum(parts)
