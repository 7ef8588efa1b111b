"""White noise under a blind filter: its variance, and a filter that uses the sample itself too.

A filter that does not read the sample it estimates ("J-invariant": Batson & Royer 2019, Noise2Self)
cannot learn noise that is independent from sample to sample, nor can it use the sample. Let e be
the error of its estimate against the noisy sample y, E the mean square of e, and S the variance of
the noise. Then y - c e has the least error against the clean signal for c = S / E, whatever the
filter, because the noise in e is correlated with nothing but itself. If the filter is the best
linear one, y - c e is the Wiener filter of the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    import numpy.typing as npt

    from convcli.array_types import FloatArray
    from convcli.core.correlation.normal_equations import ProductSums

# With fewer than four windows for each weight, the spread of eigenvalues is no longer known.
WIDEST_SPREAD = 0.5


@dataclass(frozen=True, eq=False, kw_only=True)
class NoiseEstimate:
    """White noise of each output channel, and the error that a blind filter leaves.

    variance : (out,) the variance of the noise
    errors : (out, out) mean products of the errors of the blind filter
    given : whether the variance was given, not estimated
    identity : (p + 1, out) the weights that return the sample itself
    """

    variance: FloatArray
    errors: FloatArray
    given: bool
    identity: FloatArray

    @property
    def level(self) -> float:
        """Standard deviation over all channels."""
        return float(np.sqrt(self.variance.mean()))

    @property
    def exceeds_errors(self) -> bool:
        """Whether a channel has more noise than the blind filter leaves as error."""
        is_larger = self.variance > np.diagonal(self.errors)
        return bool(is_larger.any())

    def excess(self, w: FloatArray) -> float:
        """By how much the noise raises the mean squared error of the weights `w`.

        Stein's unbiased risk estimate of the error against the clean signal is the error against
        the noisy one, minus the variance, plus twice the noise that passes from the sample itself.
        """
        own = (w * self.identity).sum(axis=0)
        excess = self.variance * (1 - 2 * own)
        return float(excess.mean())


def estimate_noise(
    asked: float | Literal["auto"] | None, train: ProductSums, w: FloatArray, identity: FloatArray
) -> NoiseEstimate:
    """White noise of a blind filter with weights `w`, as given or estimated from its windows.

    White noise adds its variance to every eigenvalue of the covariance of a window. So the variance
    is at most the least eigenvalue, and equal to it if some direction has no signal (Pisarenko
    1973).
    """
    count = max(1, train.count)
    change = identity - w
    errors = change.T @ train.gram @ change / count
    outputs = w.shape[1]
    if isinstance(asked, float):
        variance = np.full(outputs, asked**2)
    else:
        mean = train.gram[-1, :-1] / count
        covariance = train.gram[:-1, :-1] / count - np.outer(mean, mean)
        variance = _least_variances(covariance, outputs, count)
    given = isinstance(asked, float)
    return NoiseEstimate(variance=variance, errors=errors, given=given, identity=identity)


def _least_variances(covariance: FloatArray, outputs: int, count: int) -> FloatArray:
    """White noise of each channel, from its own block on the diagonal of the covariance."""
    size = len(covariance) // outputs
    found = []
    for o in range(outputs):
        block = slice(o * size, (o + 1) * size)
        eigenvalues = np.linalg.eigvalsh(covariance[block, block])
        found.append(white_noise_variance(eigenvalues, count))
    return np.array(found)


def white_noise_variance(eigenvalues: npt.NDArray[np.floating[Any]], count: int) -> float:
    """Variance of white noise, from the ascending eigenvalues of the covariance of `count` windows.

    In m directions without signal, the sampled eigenvalues spread over (1 - sqrt(m / count))**2 to
    (1 + sqrt(m / count))**2 times the variance (Marchenko & Pastur 1967). The least eigenvalue is
    the lower end of this range, and m is the number of eigenvalues below the upper end.
    """
    least = max(0.0, float(eigenvalues[0]))
    low, high = _spread(len(eigenvalues), count)
    upper_end = least / low * high
    without_signal = int(np.count_nonzero(eigenvalues <= upper_end))
    low, _ = _spread(max(1, without_signal), count)
    return least / low


def _spread(directions: int, count: int) -> tuple[float, float]:
    """Range of the eigenvalues of white noise of variance 1."""
    spread = min(WIDEST_SPREAD, (directions / count) ** 0.5)
    return (1 - spread) ** 2, (1 + spread) ** 2


def with_own_sample(w: FloatArray, noise: NoiseEstimate) -> FloatArray:
    """Weights of y - c e, for a blind filter with weights `w` and the share c = S / E of e."""
    lacking = np.maximum(0.0, noise.variance - np.diagonal(noise.errors))
    errors = noise.errors + np.diag(lacking)
    share = np.diag(noise.variance) @ np.linalg.pinv(errors, hermitian=True)
    mixed: FloatArray = noise.identity - (noise.identity - w) @ share.T
    return mixed
