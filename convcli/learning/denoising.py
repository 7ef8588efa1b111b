"""What a blind filter leaves, how much of it is noise, and how much of the sample itself is to be given back.

A filter that does not see the sample it estimates ("J-invariant": Batson & Royer 2019, Noise2Self) cannot learn noise
that is independent from sample to sample. Nor does it use the sample. With e the error of the estimate, E its mean
square, and noise of variance S, the mixture y - c e of least error against the clean signal has c = S / E, whatever the
filter: the noise meets nothing but itself in e. For the best linear estimate it is the Wiener filter of the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from convcli.core.solve import Matrix, Sums

# Of fewer windows than four for each weight the scatter of eigenvalues is no longer known.
MOST_SPREAD = 0.5


@dataclass(frozen=True, eq=False, kw_only=True)
class Noise:
    """The noise of each output channel, and what a blind filter leaves of all.

    variance : (out,); left : (out, out), the mean products of the errors of the blind filter
    given : whether the variance was said, not estimated; places : (p + 1, out), the weights of the sample itself
    """

    variance: Matrix
    left: Matrix
    given: bool
    places: Any

    @property
    def level(self) -> float:
        """The standard deviation, over all channels."""
        return float(np.sqrt(self.variance.mean()))

    @property
    def excessive(self) -> bool:
        """Whether there is said to be more noise than the blind filter leaves at all."""
        return bool((self.variance > np.diagonal(self.left)).any())

    def part_of(self, w: Matrix) -> float:
        """By how much the mean squared error of taps `w` against the noisy signal exceeds that against the clean one.

        Stein's unbiased estimate: the variance, less twice what of it the sample itself brings into the answer.
        """
        own = (w * self.places).sum(axis=0)
        return float((self.variance * (1 - 2 * own)).mean())


def noise_of(asked: float | Literal["auto"] | None, train: Sums, w: Matrix, own: Matrix) -> Noise:
    """The noise that was said, or an estimate of white noise.

    White noise lies under all eigenvalues of the covariance of a window alike, so that there is no more of it than the
    least of them, and as much where some direction is free of signal (Pisarenko 1973).
    """
    n = max(1, train.count)
    left = (own - w).T @ train.gram @ (own - w) / n
    outputs = w.shape[1]
    if isinstance(asked, float):
        variance = np.full(outputs, asked**2)
    else:
        mean = train.gram[-1, :-1] / n
        covariance = train.gram[:-1, :-1] / n - np.outer(mean, mean)
        size = len(covariance) // outputs
        blocks = [slice(o * size, (o + 1) * size) for o in range(outputs)]
        variance = np.array([white_floor(np.linalg.eigvalsh(covariance[b, b]), n) for b in blocks])
    return Noise(variance=variance, left=left, given=isinstance(asked, float), places=own)


def white_floor(values: npt.NDArray[Any], n: int) -> float:
    """The variance of white noise, from the eigenvalues, in ascending order, of the covariance of `n` windows.

    In m directions that hold nothing else, n windows scatter them over (1 -+ sqrt(m / n))**2 times that variance
    (Marchenko & Pastur 1967). The least is the lower end of this; m are those up to the upper end that all would have.
    """

    def ends(free: int) -> tuple[float, float]:
        spread = min(MOST_SPREAD, (free / n) ** 0.5)
        return (1 - spread) ** 2, (1 + spread) ** 2

    least = max(0.0, float(values[0]))
    low, high = ends(len(values))
    free = int(np.count_nonzero(values <= least / low * high))
    return least / ends(max(1, free))[0]


def given_back(w: Matrix, own: Matrix, noise: Noise) -> Matrix:
    """The taps `w` of a blind filter with that part of the sample itself that is not noise."""
    left = noise.left + np.diag(np.maximum(0.0, noise.variance - np.diagonal(noise.left)))
    share: npt.NDArray[np.float64] = np.diag(noise.variance) @ np.linalg.pinv(left, hermitian=True)
    mixed: Matrix = own - (own - w) @ share.T
    return mixed
