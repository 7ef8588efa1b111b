"""The sums that a convolution layer computes, and the base class of the paths that compute them.

All paths compute y[k, o] = b[o] + sum over i, j of w[o, i, j] * x[k*step + j*dilation, i] on
complete windows, then the activation that follows. They differ in speed, and in the answer only by
rounding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convcli.dataclass import dataclass
from convcli.layers.bands import Band
from convcli.samples import in_type

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from convcli.array_types import Sizes
    from convcli.signals import Array

    Weights = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvSums:
    """The sums of a convolution layer over complete windows.

    weights : (out, in / groups, k...), k along each sample axis
    bias : (out,), or None
    step, dilation : in samples, for each axis
    activation : computes its function of an array in the array that is given as its second
        argument; None where no activation follows
    """

    weights: Weights
    bias: Weights | None
    step: Sizes
    dilation: Sizes
    groups: int = 1
    activation: Callable[[Array, Array], Array] | None = None

    @property
    def shape(self) -> Sizes:
        """How many taps the weights have along each axis."""
        return self.weights.shape[2:]

    @property
    def inputs(self) -> int:
        """Number of input channels that an output reads."""
        count: int = self.weights.shape[1]
        return count

    @property
    def outputs(self) -> int:
        """Number of output channels of a group."""
        return len(self.weights) // self.groups


class ConvPath(ABC):
    """One algorithm for a convolution layer, with the weights prepared for one floating type.

    mixes_windows : an infinite sample makes outputs NaN whose windows do not hold it, and a huge
        one rounds them as coarsely as its own
    """

    mixes_windows: ClassVar[bool] = False

    def __init__(self, sums: ConvSums, dtype: npt.DTypeLike) -> None:
        self.sums = sums
        self.dtype = np.dtype(dtype)
        self.band = Band.of_weights(
            sums.weights, step=sums.step, dilation=sums.dilation, groups=sums.groups
        )
        self.bias = None if sums.bias is None else in_type(sums.bias, dtype)

    @classmethod
    @abstractmethod
    def cost(cls, sums: ConvSums) -> float:
        """Estimate the time of an output pixel in ns, by measurements in float32 with AVX-512.

        The time is infinite where the path cannot compute the layer.
        """

    @abstractmethod
    def fill(self, y: Array, x: Array, first: int) -> None:
        """Compute the outputs `y` from the inputs `x`.

        y : (n, out) or (rows, columns, out), filled in place
        x : (n, in) or (rows, columns, in)
        first : position in the signal of the first output along the first axis
        """

    def __call__(self, x: Array, first: int = 0) -> Array:
        """Compute all outputs whose windows are complete.

        x : (n, in) or (rows, columns, in) of the type of the path
        first : number in the signal of the first output along the first axis
        """
        geometry = zip(x.shape, self.band.widths, self.band.steps, strict=False)
        sides = []
        for n, width, step in geometry:
            last = (n - width) // step
            sides.append(last + 1)
        y = np.empty((*sides, len(self.sums.weights)), self.dtype)
        if y.size:
            self.fill(y, x, first)
        return y

    def finish(self, part: Array) -> None:
        """Add the bias and apply the activation, in place.

        part : outputs, (..., out). A path passes small parts, which are still in the cache.
        """
        if self.bias is not None:
            part += self.bias
        if self.sums.activation is not None:
            self.sums.activation(part, part)
