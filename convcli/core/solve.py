"""Linear layers solved exactly: normal equations summed up over blocks, files and workers, then solved once.

The layer y[t] = b + sum over i, j of w[i, j] * x[t + j, i] is least squares in w and b. All that is needed of the data
are sums of products, which add; so are the errors of any other taps, on these data or on those held out:
sum (y - A w)**2 = sum y**2 - 2 w'A'y + w'A'A w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convcli.layers.conv import windows_of

if TYPE_CHECKING:
    from convcli.signals import Array

Matrix = npt.NDArray[np.float64]

# From so many taps on the sums are made of correlations, by FFT; fewer are multiplied out.
LONG = 16
# Values gathered into windows at a time.
GATHERED = 1 << 20
# Eigenvalues below this part of the largest say that the inputs do not determine the taps.
RANK = 1e-12


@dataclass(eq=False)
class Sums:
    """Sums over windows of inputs, each with a 1 at its end for the bias, and over their targets.

    gram : A'A, (p + 1, p + 1) with p = in * k in the order (in, k...); cross : A'y, (p + 1, out)
    energy : the sums of y**2, (out,)
    """

    gram: Matrix
    cross: Matrix
    energy: Matrix

    @classmethod
    def nothing(cls, inputs: int, outputs: int) -> Sums:
        """The sums over no window at all, of `inputs` weights."""
        return cls(
            np.zeros((inputs + 1, inputs + 1)), np.zeros((inputs + 1, outputs)), np.zeros(outputs)
        )

    @property
    def count(self) -> int:
        """How many windows there were."""
        return round(float(self.gram[-1, -1]))

    @property
    def finite(self) -> bool:
        """Whether no square was too large for a number."""
        return all(bool(np.isfinite(each).all()) for each in (self.gram, self.cross, self.energy))

    def add(self, other: Sums) -> None:
        """Take in the sums over other windows."""
        self.gram += other.gram
        self.cross += other.cross
        self.energy += other.energy

    def error(self, w: Matrix) -> float:
        """The mean squared error of the taps and biases `w`, (p + 1, out), per output sample."""
        left = (
            self.energy
            - 2 * np.einsum("po,po->o", w, self.cross)
            + np.einsum("po,pq,qo->o", w, self.gram, w)
        )
        return max(0.0, float(left.sum())) / max(1, self.count * len(self.energy))

    @property
    def power(self) -> float:
        """The mean of y**2."""
        return float(self.energy.sum()) / max(1, self.count * len(self.energy))


def sums_over(x: Array, y: Array, shape: tuple[int, ...]) -> Sums:
    """The sums over all windows of `shape` in `x`, the first of which belongs to y[0] (or y[0, 0]).

    x : (m + k - 1, in) or (m + h - 1, n + w - 1, in) finite; y : (m, out) or (m, n, out) finite
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    long = len(shape) == 1 and shape[0] >= LONG and len(y) >= 4 * shape[0]
    flat = y.reshape(-1, y.shape[-1])
    with np.errstate(over="ignore", invalid="ignore"):  # whoever solves looks at the sums first
        sums = _by_displacement(x, y) if long else _by_gathering(x, y, shape)
        sums.energy = np.einsum("no,no->o", flat, flat)
    sums.cross[-1] = flat.sum(axis=0)
    sums.gram[-1, -1] = len(flat)
    return sums


def _by_gathering(x: Array, y: Array, shape: tuple[int, ...]) -> Sums:
    """The sums as products of gathered windows."""
    windows = windows_of(x, shape, (1,) * len(shape), (1,) * len(shape))
    p = math.prod(shape) * x.shape[-1]
    sums = Sums.nothing(p, y.shape[-1])
    rows = max(1, GATHERED // max(1, p * math.prod(y.shape[1:-1])))
    for first in range(0, len(y), rows):
        a = np.ascontiguousarray(windows[first : first + rows]).reshape(-1, p)
        sums.gram[:-1, :-1] += a.T @ a
        sums.cross[:-1] += a.T @ y[first : first + rows].reshape(len(a), -1)
        sums.gram[-1, :-1] += a.sum(axis=0)
    sums.gram[:-1, -1] = sums.gram[-1, :-1]
    return sums


def _by_displacement(x: Array, y: Array) -> Sums:
    """The same, where only the first row and column of each block are summed up over the signal.

    The others follow exactly: sum x[t+j+1] z[t+l+1] is sum x[t+j] z[t+l] less its first product and plus one more at
    the end. (The covariance method of linear prediction: Morf, Dickinson, Kailath & Vieira 1977.)
    """
    m, k, lanes = len(y), len(x) - len(y) + 1, x.shape[1]
    sums = Sums.nothing(k * lanes, y.shape[1])
    columns: Matrix = np.ascontiguousarray(x.T, np.float64)
    correlated = _Correlator(columns, k)
    for i in range(lanes):
        block = slice(i * k, (i + 1) * k)
        total = np.concatenate([[0.0], np.cumsum(columns[i])])
        sums.gram[-1, block] = total[m : m + k] - total[:k]
        for other in range(i, lanes):
            row, column = correlated(other, columns[i, :m]), correlated(i, columns[other, :m])
            square = _filled(row, column, columns[i], columns[other], m)
            there = slice(other * k, (other + 1) * k)
            sums.gram[block, there] = square
            sums.gram[there, block] = square.T
        for o in range(y.shape[1]):
            sums.cross[block, o] = correlated(i, np.ascontiguousarray(y[:, o], np.float64))
    sums.gram[:-1, -1] = sums.gram[-1, :-1]
    return sums


class _Correlator:
    """sum_t lane[t + l] * z[t] for l = 0 ... k - 1, by FFT."""

    def __init__(self, columns: Matrix, k: int) -> None:
        self.k, self.size = k, 1 << (columns.shape[1] + k).bit_length()
        self.spectra = np.fft.rfft(columns, self.size, axis=1)

    def __call__(self, lane: int, z: Matrix) -> Matrix:
        product = self.spectra[lane] * np.fft.rfft(z, self.size).conj()
        return np.asarray(np.fft.irfft(product, self.size)[: self.k])


def _filled(row: Matrix, column: Matrix, x: Matrix, z: Matrix, m: int) -> Matrix:
    """The k x k sums of x[t + j] * z[t + l] over t < m, from those with j = 0 and those with l = 0."""
    k = len(row)
    square = np.empty((k, k))
    square[0], square[:, 0] = row, column
    change = np.outer(x[m : m + k - 1], z[m : m + k - 1]) - np.outer(x[: k - 1], z[: k - 1])
    for j in range(1, k):
        np.add(square[j - 1, :-1], change[j - 1], out=square[j, 1:])
    return square


# ---------------------------------------------------------------------------------------------------- solving

RIDGES = (0.0, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Solution:
    """The taps, and how they were chosen.

    w : (p + 1, out) taps and, in the last row, biases; ridge : as used; deficient : whether the data left taps open
    tried : ridges and the mean squared errors that they led to, or that cross-validation expects of them
    """

    w: Matrix
    ridge: float
    deficient: bool
    tried: tuple[tuple[float, float], ...] = field(default=())


def solve(
    train: Sums, held: Sums | None, *, free: npt.NDArray[np.bool_], bias: bool, ridge: float | None
) -> Solution | None:
    """The taps of least squared error, with `ridge` times the mean power of each input added to the diagonal.

    free : (p,) the weights that may differ from 0; ridge : None tries RIDGES and takes the best on what is held out, or
    without that by generalised cross-validation (Golub, Heath & Wahba 1979). None where no input varies.
    """
    mean = train.gram[-1, :-1] / max(1, train.count) if bias else np.zeros(len(free))
    target = train.cross[-1] / max(1, train.count) if bias else np.zeros(len(train.energy))
    gram = (train.gram[:-1, :-1] - train.count * np.outer(mean, mean))[np.ix_(free, free)]
    cross = (train.cross[:-1] - train.count * np.outer(mean, target))[free]
    power = np.diagonal(gram).copy()
    varies = power > RANK * max(1e-300, float(np.diagonal(train.gram)[:-1][free].max()))
    if not varies.any():
        return None
    scale = np.where(varies, 1 / np.sqrt(np.where(varies, power, 1.0)), 0.0)
    values, vectors = np.linalg.eigh(gram * np.outer(scale, scale))
    values = np.maximum(values, 0.0)
    deficient = bool(values[0] < RANK * values[-1])
    turned = vectors.T @ (cross * scale[:, None])

    def taps(strength: float) -> Matrix:
        kept = values + strength > RANK * values[-1]
        share = np.divide(1.0, values + strength, out=np.zeros_like(values), where=kept)
        w = np.zeros((len(free) + 1, turned.shape[1]))
        w[:-1][free] = scale[:, None] * (vectors @ (share[:, None] * turned))
        w[-1] = target - mean @ w[:-1]
        return w

    def error(strength: float) -> float:
        if held is not None and held.count:
            return held.error(taps(strength))
        kept = values[values > RANK * values[-1]]
        spent = float((kept / (kept + strength)).sum())
        return train.error(taps(strength)) / max(1e-9, 1 - (spent + bias) / train.count) ** 2

    tried = tuple((s, error(s)) for s in (RIDGES if ridge is None else (ridge,)))
    best = min(tried, key=lambda pair: pair[1])[0]
    return Solution(taps(best), best, deficient, tried)
