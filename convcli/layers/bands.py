"""Convolution layers as products with banded matrices, and the adjoints that training needs.

Several outputs that follow each other along the last axis are computed at once. The inputs that
they share form a row, which is multiplied by a matrix that holds the weights once for each output,
shifted by its step (a banded Toeplitz matrix). Compared with gathering each window by itself
(im2col; Chellapilla, Puri & Simard 2006) little is copied, and the products are large enough for
BLAS although a layer has few channels. The price is multiplying some zeros.

The transposed products are the exact gradients: of the weights (rows' dy, summed along the bands)
and of the inputs (dy matrix', added up where rows overlap).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    import numpy.typing as npt

    from convcli.array_types import Sizes
    from convcli.signals import Array

    Weights = npt.NDArray[np.floating[Any]]

# More outputs at once multiply ever more zeros.
MOST_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class Band:
    """The geometry of a layer on one group of channels.

    shape : taps along each sample axis; inputs, outputs : channels; step, dilation : those of the
        layer
    pool : size of the windows whose sums the taps weigh instead of single inputs, where a layer has
        taken in the pool before it; `step` and `dilation` then count such windows
    count : outputs along the last axis that one row computes
    """

    shape: Sizes
    inputs: int
    outputs: int
    step: Sizes
    dilation: Sizes
    pool: Sizes
    count: int = 1

    @classmethod
    def of_weights(cls, w: Weights, *, step: Sizes, dilation: Sizes, groups: int = 1) -> Band:
        """The band of one group of a layer with weights (out, in / groups, k...) and no pool."""
        out, inputs, *shape = w.shape
        return cls(
            shape=tuple(shape),
            inputs=inputs,
            outputs=out // groups,
            step=step,
            dilation=dilation,
            pool=(1,) * len(shape),
        )

    @cached_property
    def steps(self) -> Sizes:
        """Inputs from one output to the next, on each axis."""
        return tuple(s * p for s, p in zip(self.step, self.pool, strict=True))

    @cached_property
    def widths(self) -> Sizes:
        """How many neighbouring inputs the window of an output spans, on each axis."""
        geometry = zip(self.shape, self.dilation, self.pool, strict=True)
        widths = []
        for taps, dilation, pool in geometry:
            spread = (taps - 1) * dilation + 1
            widths.append(spread * pool)
        return tuple(widths)

    @cached_property
    def span(self) -> int:
        """How many inputs along the last axis one row holds."""
        return (self.count - 1) * self.steps[-1] + self.widths[-1]

    @cached_property
    def lines(self) -> Sizes:
        """Offsets of the lines of a picture that an output reads, from the first of them.

        A signal with one axis has one line, (0,).
        """
        if len(self.shape) == 1:
            return (0,)
        pool = self.pool[0]
        spacing = self.dilation[0] * pool
        return tuple(tap * spacing + line for tap in range(self.shape[0]) for line in range(pool))

    @cached_property
    def taps(self) -> int:
        """How many numbers one row holds."""
        return len(self.lines) * self.span * self.inputs

    def reads(self, outputs: Sizes) -> Sizes:
        """The number of inputs that `outputs` read; the last axis has a multiple of `count`."""
        geometry = zip(outputs, self.steps, self.widths, strict=True)
        inputs = []
        for made, step, width in geometry:
            last_window = (made - 1) * step
            inputs.append(last_window + width)
        return tuple(inputs)

    @property
    def strides(self) -> bool:
        """Whether it skips inputs between outputs on any axis."""
        return any(step > 1 for step in self.steps)

    @property
    def mirrored(self) -> Band:
        """The band of the layer that turns the gradient of the outputs into that of the inputs.

        Only a layer without strides has one.
        """
        return replace(self, inputs=self.outputs, outputs=self.inputs, count=1)

    # --- the matrix ---

    def bands(self, matrix: Array) -> Array:
        """A view of the entries of a matrix, (taps or more, count * out), that hold weights.

        Returns (count, [k, pool,] k, pool, in, out). The entries along `count` and `pool` are one
        and the same weight; all other entries of the matrix are 0.
        """
        row, column = matrix.strides
        sample = self.inputs * row
        along = (self.dilation[-1] * self.pool[-1] * sample, sample)
        down: Sizes = ()
        if len(self.shape) == 2:
            line = self.span * sample
            down = (self.pool[0] * line, line)
        next_output = self.steps[-1] * sample + self.outputs * column
        sides = tuple(n for pair in zip(self.shape, self.pool, strict=True) for n in pair)
        return np.lib.stride_tricks.as_strided(
            matrix,
            (self.count, *sides, self.inputs, self.outputs),
            (next_output, *down, *along, row, column),
            writeable=matrix.flags.writeable,
        )

    def laid_out(self, w: Weights) -> Weights:
        """Weights (out, in, k...) in the shape that fills `bands`: (1, [k, 1,] k, 1, in, out)."""
        channels_last = np.moveaxis(w, (0, 1), (-1, -2))
        sides = tuple(n for k in self.shape for n in (k, 1))
        return channels_last.reshape(1, *sides, self.inputs, self.outputs)

    def matrix(self, w: Weights) -> Array:
        """The matrix (taps, count * out) of weights (out, in, k...)."""
        matrix = np.zeros((self.taps, self.count * self.outputs), w.dtype)
        self.bands(matrix)[...] = self.laid_out(w)
        return matrix

    def summed(self, bands: Array) -> Array:
        """The adjoint of filling `bands`: (out, in, k...)."""
        pools = tuple(2 + 2 * axis for axis in range(len(self.shape)))
        total: Array = bands.sum(axis=(0, *pools))
        return np.moveaxis(total, (-1, -2), (0, 1))

    # --- the rows ---

    def _lead(self, x: Array, outputs: Sizes) -> Sizes:
        """The numbers of rows: windows, lines of a picture, and rows along the last axis."""
        return (len(x), *outputs[:-1], outputs[-1] // self.count)

    def copies(self, x: Array, outputs: Sizes, rows: Array) -> tuple[Array, Array]:
        """Views of the inputs that outputs read, and of their places in `rows`, of one shape.

        Copying the first view to the second fills the rows for a product.

        x : (batch, samples..., in); rows : (batch * outputs / count, taps or more)
        """
        lead = self._lead(x, outputs)
        batch, *down, along, _ = x.strides
        to_next_row = self.count * self.steps[-1] * along
        lead_strides = (batch, *(self.steps[0] * line for line in down), to_next_row)
        line_shape: Sizes = ()
        line_strides: Sizes = ()
        if down:
            line_shape = (self.shape[0], self.pool[0])
            line_strides = (self.dilation[0] * self.pool[0] * down[0], down[0])
        run_shape, run_strides = self._run(x, self.span)
        windows = np.lib.stride_tricks.as_strided(
            x,
            (*lead, *line_shape, *run_shape),
            (*lead_strides, *line_strides, *run_strides),
            writeable=False,
        )
        # Splitting axes needs no copy: this is a view of the rows.
        places = rows.reshape(*lead, -1)[..., : self.taps]
        return windows, places.reshape(windows.shape)

    def _run(self, x: Array, count: int) -> tuple[Sizes, Sizes]:
        """Shape and strides of `count` neighbouring samples.

        They are one axis where no other channels lie between them.
        """
        along, channel = x.strides[-2:]
        if along == self.inputs * channel:
            return (count * self.inputs,), (channel,)
        return (count, self.inputs), (along, channel)

    def sums(self, rows: Array, outputs: Sizes, x: Array) -> list[tuple[Array, Array]]:
        """Return views of `rows`, each with the view of `x` that it is added to: both of one shape.

        This is the adjoint of `copies`: together the views take every number of `rows`, (number of
        rows, taps), to the input that it was copied from.
        """
        lead = self._lead(x, outputs)
        parts = rows.reshape(*lead, len(self.lines), self.span * self.inputs)
        advance = self.count * self.steps[-1]
        pairs = []
        for number, line in enumerate(self.lines):
            samples = x
            if x.ndim == 4:
                last_line = line + (outputs[0] - 1) * self.steps[0]
                samples = x[:, line : last_line + 1 : self.steps[0]]
            # Pieces no longer than the advance of a row do not overlap those of the next row.
            for first in range(0, self.span, advance):
                last = min(first + advance, self.span)
                shape, strides = self._run(samples, last - first)
                lead_strides = (*samples.strides[:-2], advance * samples.strides[-2])
                into = np.lib.stride_tricks.as_strided(
                    samples[..., first:, :], (*lead, *shape), (*lead_strides, *strides)
                )
                some = parts[..., number, first * self.inputs : last * self.inputs]
                pairs.append((some.reshape(into.shape), into))
        return pairs

    # --- how many outputs at once ---

    def cost(self, outputs: Sizes, *, learns_first: bool) -> float:
        """Estimate the nanoseconds for one window, forward and backward.

        The factors were measured in float32 with AVX2.

        learns_first : the gradient with respect to the inputs is not needed
        """
        wide = self.count * self.outputs
        run = self.span * self.inputs
        rate = 46 * wide / (wide + 6) * self.taps / (self.taps + 7)
        products = (2 if learns_first else 3) * wide / rate
        copied = 0.3 + 10 / run
        added = 0.0
        if not learns_first:
            new_inputs = self.count * self.steps[-1] * self.inputs
            added = 0.8 + 20 / min(run, new_inputs)
        rows_along_last = -(-outputs[-1] // self.count)
        rows = math.prod(outputs[:-1]) * rows_along_last
        return rows * self.taps * (products + copied + added)

    def fastest(self, outputs: Sizes, *, learns_first: bool, whole: bool = False) -> Band:
        """The band with the cheapest number of outputs at once.

        whole : rows must be complete, so that the number divides the outputs
        """
        along = outputs[-1]
        counts = list(range(1, min(MOST_AT_ONCE, along) + 1))
        if whole:
            counts = [count for count in counts if along % count == 0]
        bands = [replace(self, count=count) for count in counts]
        return min(bands, key=lambda band: band.cost(outputs, learns_first=learns_first))


def channels_of_group(group: int, size: int) -> slice:
    """The channels of one group, where each has `size` of them."""
    return slice(group * size, (group + 1) * size)
