"""Facts of `explain --continuous`: sums for smaller and smaller steps, and the integral."""

from __future__ import annotations

from convcli.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class ContinuousFacts:
    """A convolution integral and the sums that approach it.

    signal, kernel : names of the two functions; signal_formula, kernel_formula : what they are
    times : t at which they are convolved
    steps : dt of each row of `sums`
    sums : the convolution sum for each step and each time
    integral : the convolution integral for each time
    errors : largest difference between the sums of a step and the integral
    """

    signal: str
    signal_formula: str
    kernel: str
    kernel_formula: str
    times: tuple[float, ...]
    steps: tuple[float, ...]
    sums: tuple[tuple[float, ...], ...]
    integral: tuple[float, ...]
    errors: tuple[float, ...]
