"""Weights of samples by their distance in time, and means with those weights.

A distance is the time of the output less that of the sample, in nanoseconds: positive in the past.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.ragged import keep_equal
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.core.ragged import Floats, RaggedWindows
    from convcli.core.reach import Indices
    from convcli.signals import Array

# Pairs of an output and a sample that are weighed at a time, to stay near the caches.
PAIRS = 1 << 17
# A weight is at least this share of the largest one, so that a sample at the very end of a window,
# where a bell is 0, counts if it is alone. It is below the rounding of the others.
LEAST = 1e-17
# Nodes of the quadrature by Gauss and Legendre on each panel, and panels of a window.
NODES = 8
PANELS = 8


class WeightFunction(ABC):
    """Weights >= 0 as a function of the distance.

    begin, end : the distances between which the weights lie, in nanoseconds
    """

    begin: float
    end: float

    @property
    def panels(self) -> int:
        """How many equal parts of the window a polynomial of degree 15 describes well."""
        return PANELS

    @abstractmethod
    def __call__(self, distance: Floats) -> Floats:
        """Return the weight at each distance."""


@dataclass(frozen=True)
class UniformWeights(WeightFunction):
    """A weight of 1 all over the window."""

    begin: float
    end: float

    def __call__(self, distance: Floats) -> Floats:
        """Return the weight 1 at every distance."""
        return np.ones_like(distance)


@dataclass(frozen=True)
class LinearWeights(WeightFunction):
    """The distance to the old end of the window: the newest sample is the heaviest."""

    begin: float
    end: float

    def __call__(self, distance: Floats) -> Floats:
        """Return the share of the window that is left to its old end."""
        left = (self.end - distance) / (self.end - self.begin)
        return np.maximum(left, LEAST)


@dataclass(frozen=True)
class TriangularWeights(WeightFunction):
    """Weights that rise evenly to the middle of the window and fall again."""

    begin: float
    end: float

    def __call__(self, distance: Floats) -> Floats:
        """Return the distance to the nearer end of the window."""
        nearer = np.minimum(distance - self.begin, self.end - distance)
        return np.maximum(nearer / (self.end - self.begin), LEAST)


@dataclass(frozen=True)
class HannWeights(WeightFunction):
    """One period of a raised cosine."""

    begin: float
    end: float

    def __call__(self, distance: Floats) -> Floats:
        """Return sin(pi u)**2 with u from 0 to 1 over the window."""
        share = (distance - self.begin) / (self.end - self.begin)
        weight = np.square(np.sin(math.pi * share))
        return np.maximum(weight, LEAST)


@dataclass(frozen=True)
class GaussianWeights(WeightFunction):
    """A Gaussian bell in the middle of the window."""

    begin: float
    end: float
    sigma: float

    def __call__(self, distance: Floats) -> Floats:
        """Return exp(-u**2 / 2), u the distance from the middle in sigmas."""
        middle = (self.begin + self.end) / 2
        sigmas = (distance - middle) / self.sigma
        return np.exp(-0.5 * np.square(sigmas))


@dataclass(frozen=True)
class ExponentialWeights(WeightFunction):
    """Weights that fall to their half in each half-life."""

    halflife: float
    end: float
    begin: float = 0.0

    @property
    def panels(self) -> int:
        """One panel for each half-life."""
        return math.ceil(self.end / self.halflife)

    def __call__(self, distance: Floats) -> Floats:
        """Return 2**(-distance / halflife)."""
        rate = -math.log(2) / self.halflife
        return np.exp(distance * rate)


@dataclass(frozen=True)
class WeightedMean:
    """sum(g(t - t[i]) x[i]) / sum(g(t - t[i])) over the known samples of each window."""

    function: WeightFunction

    def __call__(self, windows: RaggedWindows) -> Array:
        """Weigh each pair of an output and a sample."""
        y = np.empty((len(windows.low), windows.x.shape[1]))
        known = ~windows.missing
        for part in _batches(windows.high - windows.low, PAIRS):
            outputs, samples, starts = _pairs_in_windows(windows.low[part], windows.high[part])
            distance = windows.at[part][outputs] - windows.times[samples]
            weight = self.function(distance.astype(np.float64))[:, None]
            sums = np.add.reduceat(weight * windows.known[samples], starts, axis=0)
            weights = np.add.reduceat(weight * known[samples], starts, axis=0)
            y[part] = _quotient(sums, weights)
        return keep_equal(y, windows)


@dataclass(frozen=True)
class DecayedMean:
    """The mean with weights of an exponential decay, from sums over stretches of samples."""

    function: ExponentialWeights

    def __call__(self, windows: RaggedWindows) -> Array:
        """Join stretches of samples: the older one has decayed until the end of the newer one."""
        known = (~windows.missing).astype(np.float64)
        leaves = np.stack([windows.known, known], axis=-1)

        def join(a: Any, b: Any, ends_a: Indices, ends_b: Indices) -> Any:
            passed = np.maximum(windows.times[ends_b] - windows.times[ends_a], 0)
            return a * self._left(passed) + b

        y = np.zeros((len(windows.low), *leaves.shape[1:]))
        for nodes in windows.nodes(leaves, join):
            passed = windows.at[nodes.outputs] - windows.times[nodes.ends]
            y[nodes.outputs] += nodes.values * self._left(passed)
        return keep_equal(_quotient(y[..., 0], y[..., 1]), windows)

    def _left(self, passed: Indices) -> Floats:
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

    def _of_outputs(self, windows: RaggedWindows, part: slice, lines: Indices) -> Array:
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

    def _pieces(self, newer: Floats, older: Floats) -> _Pieces:
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

    line: Indices
    distance: Floats
    weight: Floats

    def share_of(self, newer: Floats, older: Floats) -> Floats:
        """Return where on its line each node lies: 0 at the newer sample, 1 at the older one."""
        start = newer[self.line][:, None]
        length = older[self.line][:, None] - start
        return np.asarray((self.distance - start) / np.maximum(length, 1.0))


@lru_cache(maxsize=1)
def _quadrature() -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return nodes, weights


def _quotient(sums: Floats, weights: Floats) -> Floats:
    """Return sums / weights, NaN where nothing has a weight."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weights > 0, sums / weights, np.nan)


def _batches(counts: Indices, most: int) -> Iterator[slice]:
    """Yield stretches of outputs with about `most` pairs each, of at least one output."""
    batch_numbers = np.cumsum(counts) // max(most, 1)
    cuts = np.flatnonzero(np.diff(batch_numbers, prepend=0))
    bounds = [0, *cuts.tolist(), len(counts)]
    for start, stop in pairwise(bounds):
        if start < stop:
            yield slice(start, stop)


def _pairs_in_windows(low: Indices, high: Indices) -> tuple[Indices, Indices, Indices]:
    """Return the output and the sample of each pair, and where the pairs of each output begin."""
    counts = high - low
    starts = np.cumsum(counts) - counts
    outputs = np.repeat(np.arange(len(low)), counts)
    samples = np.arange(len(outputs)) + np.repeat(low - starts, counts)
    return outputs, samples, starts


def _sums_of_runs(values: Floats, counts: Indices) -> Floats:
    """Return the sum of each of consecutive runs of `counts` rows, 0 of an empty one."""
    found = np.zeros((len(counts), *values.shape[1:]))
    filled = np.flatnonzero(counts)
    if len(filled):
        starts = (np.cumsum(counts) - counts)[filled]
        found[filled] = np.add.reduceat(values, starts, axis=0)
    return found
