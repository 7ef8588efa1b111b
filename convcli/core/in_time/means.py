"""Means of the samples of windows, weighted by their distance in time, and integrals."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.in_time.weights import weighted_sums
from convcli.core.windows.ragged import keep_equal
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.array_types import BoolArray, FloatArray, IntArray
    from convcli.core.in_time.weights import ExponentialWeights, SeparableWeights, WeightFunction
    from convcli.core.windows.ragged import RaggedWindows
    from convcli.signals import Array

# Pairs of an output and a sample that are weighed at a time, to stay near the caches.
PAIRS = 1 << 17
# A window of more samples is summed by running sums: for a bell, 64 pairs take as long.
LONG = 64
# The error of running sums is the rounding of the plain sum of the samples in the window. Where the
# weighted sum is a smaller share of the plain sum than this, each pair is weighed instead.
LEAST_SHARE = 1e-3
# Nodes of the quadrature by Gauss and Legendre on each panel of a window.
NODES = 8


@dataclass(frozen=True)
class WeightedMean:
    """sum(g(t - t[i]) x[i]) / sum(g(t - t[i])) over the known samples of each window."""

    function: SeparableWeights

    def __call__(self, windows: RaggedWindows) -> Array:
        """Take running sums of long windows; weigh each pair of an output and a sample of others.

        Which of the two it is depends on nothing but the samples of the window.
        """
        y = np.full((len(windows.low), windows.x.shape[1]), np.nan)
        accurate = np.zeros(y.shape, np.bool_)
        long = np.flatnonzero(windows.high - windows.low > LONG)
        if len(long):
            y[long], accurate[long] = self._by_running_sums(windows, long)
        others = np.flatnonzero(~accurate.all(axis=1))
        in_pairs = self._by_pairs(windows, others)
        y[others] = np.where(accurate[others], y[others], in_pairs)
        return keep_equal(y, windows)

    def _by_running_sums(
        self, windows: RaggedWindows, outputs: IntArray
    ) -> tuple[FloatArray, BoolArray]:
        """Return the means of some outputs, and which of them are accurate."""
        known = (~windows.missing).astype(np.float64)
        columns = np.concatenate([windows.known, known], axis=1)
        weighted = np.zeros((len(outputs), columns.shape[1]))
        for piece in self.function.pieces():
            parts = windows.between(piece.begin, piece.end)
            weighted += weighted_sums(piece.separation, columns, parts, outputs)
        sums, weights = np.split(weighted, 2, axis=1)
        return _quotient(sums, weights), self._accurate(windows)[outputs]

    def _accurate(self, windows: RaggedWindows) -> BoolArray:
        """Whether the samples of each window weigh enough, (outputs, channels).

        A lower bound of the weighted sum is enough: each sample in the middle half of the window
        weighs at least as much as one at the ends of that half.
        """
        function = self.function
        quarter = (function.end - function.begin) / 4
        ends = np.array([function.begin + quarter, function.end - quarter])
        middle = windows.between(*ends)
        least = float(function(ends).min())
        magnitudes = np.abs(windows.known)
        weighed = least * middle.sums(magnitudes) >= LEAST_SHARE * windows.sums(magnitudes)
        counted = least * middle.counts >= LEAST_SHARE * windows.counts
        return weighed & counted

    def _by_pairs(self, windows: RaggedWindows, outputs: IntArray) -> FloatArray:
        """Return the means of some outputs."""
        low = windows.low[outputs]
        high = windows.high[outputs]
        at = windows.at[outputs]
        known = ~windows.missing
        y = np.empty((len(outputs), windows.x.shape[1]))
        for part in _batches(high - low, PAIRS):
            places, samples, starts = _pairs_in_windows(low[part], high[part])
            distance = at[part][places] - windows.times[samples]
            weight = self.function(distance.astype(np.float64))[:, None]
            sums = np.add.reduceat(weight * windows.known[samples], starts, axis=0)
            weights = np.add.reduceat(weight * known[samples], starts, axis=0)
            y[part] = _quotient(sums, weights)
        return y


@dataclass(frozen=True)
class DecayedMean:
    """The mean with weights of an exponential decay, from sums over stretches of samples."""

    function: ExponentialWeights

    def __call__(self, windows: RaggedWindows) -> Array:
        """Join stretches of samples: the older one has decayed until the end of the newer one."""
        known = (~windows.missing).astype(np.float64)
        leaves = np.stack([windows.known, known], axis=-1)

        def join(a: Any, b: Any, ends_a: IntArray, ends_b: IntArray) -> Any:
            passed = np.maximum(windows.times[ends_b] - windows.times[ends_a], 0)
            return a * self._left(passed) + b

        y = np.zeros((len(windows.low), *leaves.shape[1:]))
        for nodes in windows.nodes(leaves, join):
            passed = windows.at[nodes.outputs] - windows.times[nodes.ends]
            y[nodes.outputs] += nodes.values * self._left(passed)
        return keep_equal(_quotient(y[..., 0], y[..., 1]), windows)

    def _left(self, passed: IntArray) -> FloatArray:
        """Return the share of a weight that is left after `passed` nanoseconds, for each node."""
        return self.function(passed.astype(np.float64))[:, None, None]


@dataclass(frozen=True)
class IntegralMean:
    """The integral of g(t - s) x(s) over that of g, x being linear between the samples.

    A line that begins or ends at a missing sample counts in neither integral. Where there is no
    line, as at the first sample, the sample itself is the mean.
    """

    function: WeightFunction

    def __call__(self, windows: RaggedWindows) -> Array:
        """Integrate every line by Gauss-Legendre quadrature on the panels of the window."""
        y = np.full((len(windows.low), windows.x.shape[1]), np.nan)
        lines = np.maximum(windows.high - windows.low - 1, 0)
        for part in _batches(lines, PAIRS // NODES // self.function.panels):
            y[part] = self._of_outputs(windows, part, lines[part])
        alone = np.isnan(y)
        y = np.where(alone, windows.x[windows.own], y)
        return keep_equal(y, windows)

    def _of_outputs(self, windows: RaggedWindows, part: slice, lines: IntArray) -> Array:
        """Integrate the lines of some outputs; `lines` is how many each of them has."""
        low = windows.low[part]
        outputs, earlier, _ = _pairs_in_windows(low, low + lines)
        at = windows.at[part][outputs]
        older = (at - windows.times[earlier]).astype(np.float64)
        newer = (at - windows.times[earlier + 1]).astype(np.float64)
        pieces = self._pieces(newer, older)
        older_samples = earlier[pieces.line]
        newer_samples = older_samples + 1
        share = pieces.share_of(newer, older)[..., None]
        start = windows.known[newer_samples][:, None]
        end = windows.known[older_samples][:, None]
        values = start + share * (end - start)
        weight = (pieces.weight * self.function(pieces.distance))[..., None]
        has_line = ~(windows.missing[older_samples] | windows.missing[newer_samples])
        counts = np.bincount(outputs[pieces.line], minlength=len(low))
        sums = (weight * values).sum(axis=1) * has_line
        weights = weight.sum(axis=1) * has_line
        return _quotient(_sums_of_runs(sums, counts), _sums_of_runs(weights, counts))

    def _pieces(self, newer: FloatArray, older: FloatArray) -> _Pieces:
        """Cut the lines between distances where the panels of the window end."""
        function = self.function
        begin = np.maximum(newer, function.begin)
        end = np.minimum(older, function.end)
        width = (function.end - function.begin) / function.panels
        first_panel = np.floor((begin - function.begin) / width)
        end_panel = np.ceil((end - function.begin) / width)
        panels = np.maximum(end_panel - first_panel, 0)
        counts = np.where(end > begin, panels, 0).astype(np.int64)
        line = np.repeat(np.arange(len(newer)), counts)
        pieces_before = np.cumsum(counts) - counts
        number_in_line = np.arange(len(line)) - np.repeat(pieces_before, counts)
        panel = first_panel[line] + number_in_line
        edge = function.begin + panel * width
        a = np.maximum(begin[line], edge)
        b = np.maximum(np.minimum(end[line], edge + width), a)
        nodes, weights = _quadrature()
        middle = ((a + b) / 2)[:, None]
        half = ((b - a) / 2)[:, None]
        return _Pieces(line, middle + half * nodes, half * weights)


@dataclass(frozen=True)
class _Pieces:
    """Pieces of lines: the nodes of their quadrature as distances, (pieces, nodes)."""

    line: IntArray
    distance: FloatArray
    weight: FloatArray

    def share_of(self, newer: FloatArray, older: FloatArray) -> FloatArray:
        """Return where on its line each node lies: 0 at the newer sample, 1 at the older one."""
        start = newer[self.line][:, None]
        length = older[self.line][:, None] - start
        return np.asarray((self.distance - start) / np.maximum(length, 1.0))


@lru_cache(maxsize=1)
def _quadrature() -> tuple[FloatArray, FloatArray]:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return nodes, weights


def _quotient(sums: FloatArray, weights: FloatArray) -> FloatArray:
    """Return sums / weights, NaN where nothing has a weight."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weights > 0, sums / weights, np.nan)


def _batches(counts: IntArray, most: int) -> Iterator[slice]:
    """Yield stretches of outputs with about `most` pairs each, of at least one output."""
    batch_numbers = np.cumsum(counts) // max(most, 1)
    cuts = np.flatnonzero(np.diff(batch_numbers, prepend=0))
    bounds = [0, *cuts.tolist(), len(counts)]
    for start, stop in pairwise(bounds):
        if start < stop:
            yield slice(start, stop)


def _pairs_in_windows(low: IntArray, high: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return the output and the sample of each pair, and where the pairs of each output begin."""
    counts = high - low
    starts = np.cumsum(counts) - counts
    outputs = np.repeat(np.arange(len(low)), counts)
    samples = np.arange(len(outputs)) + np.repeat(low - starts, counts)
    return outputs, samples, starts


def _sums_of_runs(values: FloatArray, counts: IntArray) -> FloatArray:
    """Return the sum of each of consecutive runs of `counts` rows, 0 of an empty one."""
    found = np.zeros((len(counts), *values.shape[1:]))
    filled = np.flatnonzero(counts)
    if len(filled):
        starts = (np.cumsum(counts) - counts)[filled]
        found[filled] = np.add.reduceat(values, starts, axis=0)
    return found
