"""Convolution layers as products with banded matrices, and the adjoints that training needs.

Several outputs that follow each other along the last axis are computed at once: the stretch of inputs that they share,
as a row, times a matrix in which the weights stand once for each output, shifted by its step (a banded Toeplitz
matrix). Compared with gathering each window by itself (im2col; Chellapilla, Puri & Simard 2006) little is copied, and
the products are large enough for BLAS although a layer has few channels; the price is multiplying some zeros.

The transposed products are the exact gradients: of the weights (rows' dy, summed up along the bands) and of the
inputs (dy matrix', added up where rows overlap).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from convcli.signals import Array

    Weights = npt.NDArray[np.floating[Any]]

Sizes = tuple[int, ...]

# More outputs at once multiply ever more zeros.
MOST = 32


@dataclass(frozen=True, kw_only=True)
class Band:
    """The geometry of a layer on one group of channels.

    shape : taps along each sample axis; inputs, outputs : channels; step, dilation : as of the layer
    pool : each tap weighs the sum of so many neighbouring inputs, and `step` and `dilation` count such sums: a pool
        that the layer has taken in
    count : outputs along the last axis to a row
    """

    shape: Sizes
    inputs: int
    outputs: int
    step: Sizes
    dilation: Sizes
    pool: Sizes
    count: int = 1

    @cached_property
    def steps(self) -> Sizes:
        """Inputs from one output to the next, on each axis."""
        return tuple(s * p for s, p in zip(self.step, self.pool, strict=True))

    @cached_property
    def widths(self) -> Sizes:
        """Inputs from the first to the last that an output reads, on each axis."""
        geometry = zip(self.shape, self.dilation, self.pool, strict=True)
        return tuple(((k - 1) * d + 1) * p for k, d, p in geometry)

    @cached_property
    def span(self) -> int:
        """Inputs to a row, along the last axis."""
        return (self.count - 1) * self.steps[-1] + self.widths[-1]

    @cached_property
    def lines(self) -> Sizes:
        """Where, past the first line of a picture that an output reads, the others lie; (0,) on one axis."""
        if len(self.shape) == 1:
            return (0,)
        every = self.dilation[0] * self.pool[0]
        return tuple(j * every + r for j in range(self.shape[0]) for r in range(self.pool[0]))

    @cached_property
    def taps(self) -> int:
        """Numbers to a row."""
        return len(self.lines) * self.span * self.inputs

    def reads(self, outputs: Sizes) -> Sizes:
        """How many inputs so many outputs read; along the last axis a multiple of `count`."""
        return tuple(
            (m - 1) * s + w for m, s, w in zip(outputs, self.steps, self.widths, strict=True)
        )

    @property
    def strides(self) -> bool:
        """Whether it skips inputs between outputs on any axis."""
        return any(step > 1 for step in self.steps)

    @property
    def mirrored(self) -> Band:
        """Of a layer without strides the one that takes the gradient of its outputs to that of its inputs."""
        return replace(self, inputs=self.outputs, outputs=self.inputs, count=1)

    # --- the matrix ---

    def bands(self, matrix: Array) -> Array:
        """A view of the entries of a matrix (taps or more, count * out) that the weights take.

        Returns (count, [k, pool,] k, pool, in, out). Entry for entry it is one and the same weight for each of `count`
        and `pool`; all other entries are 0.
        """
        row, column = matrix.strides
        lane = self.inputs * row
        inner = (self.dilation[-1] * self.pool[-1] * lane, lane)
        line = self.span * lane
        outer = (self.pool[0] * line, line) if len(self.shape) == 2 else ()
        sides = tuple(side for pair in zip(self.shape, self.pool, strict=True) for side in pair)
        strides = (self.steps[-1] * lane + self.outputs * column, *outer, *inner, row, column)
        return np.lib.stride_tricks.as_strided(
            matrix,
            (self.count, *sides, self.inputs, self.outputs),
            strides,
            writeable=matrix.flags.writeable,
        )

    def laid_out(self, w: Weights) -> Weights:
        """Weights (out, in, k...) as they fill `bands`: (1, [k, 1,] k, 1, in, out)."""
        lead = np.moveaxis(w, (0, 1), (-1, -2))
        return lead.reshape(1, *(n for k in self.shape for n in (k, 1)), self.inputs, self.outputs)

    def matrix(self, w: Weights) -> Array:
        """The matrix (taps, count * out) of weights (out, in, k...)."""
        matrix = np.zeros((self.taps, self.count * self.outputs), w.dtype)
        self.bands(matrix)[...] = self.laid_out(w)
        return matrix

    def summed(self, bands: Array) -> Array:
        """The adjoint of filling `bands`: (out, in, k...)."""
        over = (0, *(2 + 2 * axis for axis in range(len(self.shape))))
        total: Array = bands.sum(axis=over)
        return np.moveaxis(total, (-1, -2), (0, 1))

    # --- the rows ---

    def copies(self, x: Array, outputs: Sizes, rows: Array) -> tuple[Array, Array]:
        """Two views of one shape: what `outputs` of `x`, (batch, samples..., in), read, and its place in `rows`.

        rows : (batch * outputs / count, taps or more); copying the first to the second lets the rows be multiplied.
        """
        batch, *down, along, _ = x.strides
        forward = self.count * self.steps[-1] * along
        lead: Sizes = (len(x), *outputs[:-1], outputs[-1] // self.count)
        places: Sizes = (batch, *(self.steps[0] * d for d in down), forward)
        lines = (self.shape[0], self.pool[0]) if down else ()
        apart = tuple(n * d for d in down for n in (self.dilation[0] * self.pool[0], 1))
        run, step = self._run(x, self.span)
        view = np.lib.stride_tricks.as_strided(
            x, (*lead, *lines, *run), (*places, *apart, *step), writeable=False
        )
        # Splitting axes needs no copy: this is a view of the rows.
        return view, rows.reshape(*lead, -1)[..., : self.taps].reshape(view.shape)

    def _run(self, x: Array, count: int) -> tuple[Sizes, Sizes]:
        """Shape and strides of `count` samples in sequence: one run, where no other channels lie between."""
        along, channel = x.strides[-2:]
        if along == self.inputs * channel:
            return (count * self.inputs,), (channel,)
        return (count, self.inputs), (along, channel)

    def sums(self, rows: Array, outputs: Sizes, x: Array) -> list[tuple[Array, Array]]:
        """The adjoint of `copies`: pairs of views of one shape, of `rows` and of places in `x` to which they are added.

        Together the pairs take every number of `rows`, (number of rows, taps), to the input that it was copied from.
        """
        lead = (len(x), *outputs[:-1], outputs[-1] // self.count)
        parts = rows.reshape(*lead, len(self.lines), self.span * self.inputs)
        advance = self.count * self.steps[-1]
        pairs = []
        for number, line in enumerate(self.lines):
            lane = (
                x
                if x.ndim == 3
                else x[:, line : line + (outputs[0] - 1) * self.steps[0] + 1 : self.steps[0]]
            )
            for first in range(0, self.span, advance):
                last = min(first + advance, self.span)
                shape, strides = self._run(lane, last - first)
                strides = (*lane.strides[:-2], advance * lane.strides[-2], *strides)
                into = np.lib.stride_tricks.as_strided(
                    lane[..., first:, :], (*lead, *shape), strides
                )
                pairs.append(
                    (
                        parts[..., number, first * self.inputs : last * self.inputs].reshape(
                            into.shape
                        ),
                        into,
                    )
                )
        return pairs

    def cost(self, outputs: Sizes, *, leads: bool) -> float:
        """About how many nanoseconds a batch of one window takes, forward and backward (measured, float32, AVX2).

        leads : whether the gradient of the inputs is not needed
        """
        wide, run = self.count * self.outputs, self.span * self.inputs
        rate = 46 * wide / (wide + 6) * self.taps / (self.taps + 7)
        products = (2 if leads else 3) * wide / rate
        copied = 0.3 + 10 / run
        added = 0 if leads else 0.8 + 20 / min(run, self.count * self.steps[-1] * self.inputs)
        return (
            math.prod(outputs[:-1])
            * -(-outputs[-1] // self.count)
            * self.taps
            * (products + copied + added)
        )

    def fastest(self, outputs: Sizes, *, leads: bool, whole: bool = False) -> Band:
        """The band that computes as many outputs at once as is cheapest; `whole`: rows that are complete."""
        counts = [
            c for c in range(1, min(MOST, outputs[-1]) + 1) if not whole or outputs[-1] % c == 0
        ]
        return min(
            (replace(self, count=c) for c in counts),
            key=lambda band: band.cost(outputs, leads=leads),
        )
