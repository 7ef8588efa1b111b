"""Least squares for a linear layer: sums of products over blocks, files and workers, solved once.

The layer is y[t] = b + sum over i, j of w[i, j] * x[t + j, i]. With A the matrix of windows, each
with a 1 at its end for the bias, the solution needs only A'A and A'y, which add up over data. The
squared error of any other taps follows from the same sums, on these data or on held-out ones: sum
(y - A w)**2 = sum y**2 - 2 w'A'y + w'A'A w.
"""

from __future__ import annotations

import math
from dataclasses import field
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convcli.core.convolution.fft import at_lags, cross_spectrum, spectrum, transform_size
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.array_types import BoolArray, FloatArray
    from convcli.signals import Array


# From this many taps on, the sums are correlations by FFT; for fewer, products of gathered windows
# are faster.
LONG = 16
# Values gathered into windows at a time.
VALUES_GATHERED = 1 << 20
# If an eigenvalue is smaller than this fraction of the largest one, the inputs do not determine all
# taps.
RANK = 1e-12
# Sums of squares that cancel out to less than this part of them differ by their rounding alone.
ROUNDING = 16 * np.finfo(np.float64).eps
# Ridges to choose from, as parts of the mean power of each input.
RIDGES = (0.0, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


# --------------------------------------------------------------------------------------------- sums


@dataclass(eq=False)
class ProductSums:
    """Sums of products over windows of the inputs and their targets.

    gram : A'A, (p + 1, p + 1) with p = in * k weights in the order (in, k...); cross : A'y, (p + 1,
        out)
    energy : the sums of y**2, (out,)
    """

    gram: FloatArray
    cross: FloatArray
    energy: FloatArray

    @classmethod
    def nothing(cls, inputs: int, outputs: int) -> ProductSums:
        """The sums over no windows, for `inputs` weights."""
        return cls(
            gram=np.zeros((inputs + 1, inputs + 1)),
            cross=np.zeros((inputs + 1, outputs)),
            energy=np.zeros(outputs),
        )

    @property
    def count(self) -> int:
        """How many windows were added up."""
        return round(float(self.gram[-1, -1]))

    @property
    def finite(self) -> bool:
        """Whether no sum of squares overflowed."""
        sums = (self.gram, self.cross, self.energy)
        return all(np.isfinite(each).all() for each in sums)

    def add(self, other: ProductSums) -> None:
        """Add the sums over other windows."""
        with np.errstate(over="ignore", invalid="ignore"):  # the caller asks `finite`
            self.gram += other.gram
            self.cross += other.cross
            self.energy += other.energy

    def error(self, w: FloatArray) -> float:
        """The mean squared error of the taps and biases `w`, (p + 1, out), per output sample.

        0 where it is less than the rounding of the sums.
        """
        explained = 2 * np.einsum("po,po->o", w, self.cross)
        predicted = np.einsum("po,pq,qo->o", w, self.gram, w)
        squares = self.energy - explained + predicted
        total = float(squares.sum())
        magnitudes = self.energy + np.abs(explained) + np.abs(predicted)
        if total <= ROUNDING * float(magnitudes.sum()):
            return 0.0
        return total / self._samples

    @property
    def power(self) -> float:
        """The mean of y**2 over all outputs."""
        return float(self.energy.sum()) / self._samples

    @property
    def _samples(self) -> int:
        """The number of target values, at least 1."""
        return max(1, self.count * len(self.energy))


def sums_over(x: Array, y: Array, shape: tuple[int, ...]) -> ProductSums:
    """The sums over all windows of `shape` in `x`; the window at t is paired with the target y[t].

    x : (m + k - 1, in) or (m + h - 1, n + w - 1, in) finite; y : (m, out) or (m, n, out) finite
    """
    x = np.asarray(x, np.float64)
    y = np.asarray(y, np.float64)
    k = shape[0]
    is_long = len(shape) == 1 and k >= LONG
    by_correlation = is_long and len(y) >= 4 * k
    with np.errstate(over="ignore", invalid="ignore"):  # the caller asks `ProductSums.finite`
        sums = _by_correlation(x, y) if by_correlation else _by_products(x, y, shape)
        targets = y.reshape(-1, y.shape[-1])
        sums.energy = np.einsum("no,no->o", targets, targets)
        sums.cross[-1] = targets.sum(axis=0)
    sums.gram[-1, -1] = len(targets)
    sums.gram[:-1, -1] = sums.gram[-1, :-1]
    return sums


def _by_products(x: Array, y: Array, shape: tuple[int, ...]) -> ProductSums:
    """A'A and A'y from gathered windows, some at a time."""
    axes = tuple(range(len(shape)))
    windows = sliding_window_view(x, shape, axis=axes)  # (outputs..., in, k...)
    p = math.prod(shape) * x.shape[-1]
    sums = ProductSums.nothing(p, y.shape[-1])
    row = p * math.prod(y.shape[1:-1])
    rows = max(1, VALUES_GATHERED // max(1, row))
    for first in range(0, len(y), rows):
        gathered = np.ascontiguousarray(windows[first : first + rows])
        a = gathered.reshape(-1, p)
        targets = y[first : first + rows].reshape(len(a), -1)
        sums.gram[:-1, :-1] += a.T @ a
        sums.gram[-1, :-1] += a.sum(axis=0)
        sums.cross[:-1] += a.T @ targets
    return sums


def _by_correlation(x: Array, y: Array) -> ProductSums:
    """A'A and A'y from correlations, for long windows along one axis.

    Two channels i, j have a (k, k) block in A'A: sum over t < m of x[t + a, i] x[t + b, j]. Its
    first row and column are correlations at the lags 0 ... k - 1; `_covariance_block` computes the
    others from them.
    """
    m, outputs = y.shape
    k = len(x) - m + 1
    inputs = x.shape[1]
    size = transform_size((len(x),), (k,))
    lags = [np.arange(k)]
    channels = np.ascontiguousarray(x.T)
    whole = spectrum(channels, size)
    heads = spectrum(channels[:, :m], size)
    targets = spectrum(np.ascontiguousarray(y.T), size)

    sums = ProductSums.nothing(k * inputs, outputs)
    edges = [at_lags(cross_spectrum(head, whole), size, lags) for head in heads]
    _fill_gram(sums.gram, channels, edges, m)
    for output, target in enumerate(targets):
        products = at_lags(cross_spectrum(target, whole), size, lags)
        sums.cross[:-1, output] = products.ravel()
    return sums


def _fill_gram(gram: FloatArray, channels: Array, edges: list[Array], m: int) -> None:
    """Fill A'A block by block, and the sums of each input over the windows.

    edges : for channel i, the correlations of its first m samples with each channel, (inputs, k)
    """
    inputs = len(channels)
    k = edges[0].shape[1]
    for i in range(inputs):
        rows = slice(i * k, (i + 1) * k)
        gram[-1, rows] = _shifted_totals(channels[i], m)
        for j in range(i, inputs):
            columns = slice(j * k, (j + 1) * k)
            block = _covariance_block(edges[i][j], edges[j][i], channels[i], channels[j])
            gram[rows, columns] = block
            gram[columns, rows] = block.T


def _shifted_totals(x: FloatArray, m: int) -> FloatArray:
    """The sums of x[t + a] over t < m, for each a that `x` has room for."""
    running = np.concatenate([[0.0], np.cumsum(x)])
    totals: FloatArray = running[m:] - running[:-m]
    return totals


def _covariance_block(
    row: FloatArray, column: FloatArray, x: FloatArray, z: FloatArray
) -> FloatArray:
    """The (k, k) sums of x[t + a] z[t + b] over t < m, from a = 0 (`row`) and b = 0 (`column`).

    The sum for (a + 1, b + 1) is the one for (a, b) less its first product, plus one product at the
    end: the covariance method of linear prediction (Morf, Dickinson, Kailath & Vieira, 1977).
    """
    k = len(row)
    m = len(x) - k + 1
    block = np.empty((k, k))
    block[0] = row
    block[:, 0] = column
    gained = np.outer(x[m:], z[m:])
    lost = np.outer(x[: k - 1], z[: k - 1])
    change = gained - lost
    for a in range(1, k):
        np.add(block[a - 1, :-1], change[a - 1], out=block[a, 1:])
    return block


# ------------------------------------------------------------------------------------------ solving


@dataclass(frozen=True)
class Solution:
    """The taps, and how they were chosen.

    w : (p + 1, out) taps and, in the last row, biases; ridge : the one used
    deficient : whether the data do not determine all taps
    tried : each ridge with its mean squared error, on held-out data or expected by cross-validation
    """

    w: FloatArray
    ridge: float
    deficient: bool
    tried: tuple[tuple[float, float], ...] = field(default=())


def solve(
    train: ProductSums,
    held: ProductSums | None,
    *,
    free: BoolArray,
    bias: bool,
    ridge: float | None,
) -> Solution | None:
    """The taps of least squared error, with `ridge` times the power of each input on the diagonal.

    free : (p,) the weights that may differ from 0
    ridge : None tries RIDGES and keeps the one with the least error on `held`, or without held-out
        data the least error expected by generalised cross-validation
    Returns None if no input varies.
    """
    equations = _centred_equations(train, free, bias=bias)
    power = np.diagonal(equations.gram)
    # Taking the mean off leaves rounding errors, a part of the power that an input had with it.
    with_mean = np.diagonal(train.gram)[:-1][free]
    varies = power > RANK * np.maximum(1e-300, with_mean)
    if not varies.any():
        return None
    spectral = _decomposed(equations, varies)
    tried = []
    for strength in RIDGES if ridge is None else (ridge,):
        w = spectral.taps(strength)
        if held is not None and held.count:
            error = held.error(w)
        else:
            parameters = spectral.effective_parameters(strength) + bias
            error = _cross_validated(train.error(w), parameters, train.count)
        tried.append((strength, error))
    best, _ = min(tried, key=itemgetter(1))
    return Solution(spectral.taps(best), best, spectral.deficient, tuple(tried))


def _cross_validated(error: float, parameters: float, count: int) -> float:
    """The error expected on new data by generalised cross-validation.

    error / (1 - parameters / count)**2 (Golub, Heath & Wahba, 1979)
    """
    unspent = max(1e-9, 1 - parameters / count)
    return error / unspent**2


@dataclass(frozen=True, eq=False)
class _NormalEquations:
    """gram w = cross for the free weights, with the means of inputs and targets taken off.

    gram : (free, free); cross : (free, out); mean : (p,) of all inputs; target : (out,) the mean of
        the targets
    """

    gram: FloatArray
    cross: FloatArray
    free: BoolArray
    mean: FloatArray
    target: FloatArray


def _centred_equations(sums: ProductSums, free: BoolArray, *, bias: bool) -> _NormalEquations:
    """A'A - n m m' and A'y - n m t', with the means m of the inputs and t of the targets.

    Both means are 0 without a bias.
    """
    mean = np.zeros(len(free))
    target = np.zeros(len(sums.energy))
    if bias:
        mean = sums.gram[-1, :-1] / max(1, sums.count)
        target = sums.cross[-1] / max(1, sums.count)
    gram = sums.gram[:-1, :-1] - sums.count * np.outer(mean, mean)
    cross = sums.cross[:-1] - sums.count * np.outer(mean, target)
    return _NormalEquations(gram[np.ix_(free, free)], cross[free], free, mean, target)


@dataclass(frozen=True, eq=False)
class _Eigenbasis:
    """The eigenvectors of the normal equations: S G S = V diag(values) V'.

    S = diag(scale) gives every input that varies power 1.

    cross : V' S A'y, (free, out)
    """

    equations: _NormalEquations
    scale: FloatArray
    values: FloatArray
    vectors: FloatArray
    cross: FloatArray

    @property
    def deficient(self) -> bool:
        """Whether the inputs do not determine the taps."""
        return bool(self.values[0] < RANK * self.values[-1])

    def taps(self, ridge: float) -> FloatArray:
        """(p + 1, out): w = S V (values + ridge)^-1 V' S A'y, and the bias b = t - m'w."""
        free = self.equations.free
        raised = self.values + ridge
        determined = raised > RANK * self.values[-1]
        inverse = np.divide(1.0, raised, out=np.zeros_like(raised), where=determined)
        in_eigenbasis = inverse[:, None] * self.cross
        scaled = self.vectors @ in_eigenbasis
        w = np.zeros((len(free) + 1, self.cross.shape[1]))
        w[:-1][free] = self.scale[:, None] * scaled
        w[-1] = self.equations.target - self.equations.mean @ w[:-1]
        return w

    def effective_parameters(self, ridge: float) -> float:
        """The trace of the matrix that maps targets to predictions."""
        least = RANK * self.values[-1]
        determined = self.values[self.values > least]
        shares = determined / (determined + ridge)
        return float(shares.sum())


def _decomposed(equations: _NormalEquations, varies: BoolArray) -> _Eigenbasis:
    """The eigenvectors of the scaled equations; inputs that do not vary have scale 0."""
    power = np.where(varies, np.diagonal(equations.gram), 1.0)
    scale = np.where(varies, 1 / np.sqrt(power), 0.0)
    values, vectors = np.linalg.eigh(equations.gram * np.outer(scale, scale))
    values = np.maximum(values, 0.0)
    cross = vectors.T @ (equations.cross * scale[:, None])
    return _Eigenbasis(equations, scale, values, vectors, cross)
