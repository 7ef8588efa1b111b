"""Differences: exactly nothing from a constant, the right slope from a ramp, the right curve from a parabola."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcli.designs.differences import diff, dog, gradient, laplacian, laplacian_of_gaussian
from convcli.errors import RequestError
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.signals import Signal

if TYPE_CHECKING:
    from convcli.core.kernel import Kernel

Samples = np.ndarray[Any, Any]
SOUND = Signal(medium=AUDIO, shape=(None,), channels=("left",), rate=8000)
PICTURE = Signal(medium=IMAGE, shape=(9, 9), channels=("Y",))


def applied(made: Kernel, x: Samples) -> Samples:
    """y[t] = sum_j taps[j] x[t - j + c] / divisor for the t whose inputs all exist, in Python loops."""
    taps = made.taps.reshape((-1, 1)) if made.taps.ndim == 1 else made.taps
    x = x.reshape((-1, 1)) if x.ndim == 1 else x
    height, width = taps.shape
    rows, columns = x.shape[0] - height + 1, x.shape[1] - width + 1
    y = np.zeros((rows, columns))
    for r in range(rows):
        for c in range(columns):
            for i in range(height):
                for j in range(width):
                    y[r, c] += taps[i, j] * x[r + height - 1 - i, c + width - 1 - j]
    return y / made.divisor


def test_diff_is_the_difference_to_n_before() -> None:
    made = diff(2, signal=SOUND)
    assert made.taps.tolist() == [1, 0, -1]
    assert made.centre == (0,)
    assert applied(made, np.array([1.0, 2, 4, 8])).ravel().tolist() == [3, 6]


def test_gradient_is_the_slope() -> None:
    made = gradient(signal=SOUND)
    assert applied(made, 3.0 * np.arange(5)).ravel().tolist() == [3, 3, 3]
    assert made.centre == (1,)


def test_on_a_picture_both_run_along_x_unless_told() -> None:
    ramp = 2.0 * np.arange(6)[None, :] + 5.0 * np.arange(6)[:, None]
    assert set(applied(gradient(signal=PICTURE), ramp).ravel()) == {2}
    assert set(applied(gradient(axis="y", signal=PICTURE), ramp).ravel()) == {5}
    assert set(applied(diff(2, axis="x", signal=PICTURE), ramp).ravel()) == {4}
    assert set(applied(diff(2, axis="y", signal=PICTURE), ramp).ravel()) == {10}
    assert diff(axis="y", signal=PICTURE).centre == (0, 0)
    with pytest.raises(RequestError, match="axis= is for images"):
        diff(axis="x", signal=SOUND)


def test_laplacian_of_a_parabola() -> None:
    t = np.arange(7.0)
    assert set(applied(laplacian(signal=SOUND), t**2).ravel()) == {2}
    assert set(applied(laplacian(signal=PICTURE), t[None] ** 2 + 3 * t[:, None] ** 2).ravel()) == {
        8
    }


@given(st.floats(0.5, 20), st.sampled_from([SOUND, PICTURE]))
def test_sums_are_exactly_0_and_the_kernels_symmetric(sigma: float, signal: Signal) -> None:
    for made in (
        laplacian_of_gaussian(sigma, signal=signal),
        dog(sigma, 1.6 * sigma, signal=signal),
    ):
        assert made.taps.sum() == 0
        assert np.array_equal(made.taps, np.flip(made.taps))
        assert made.taps.ndim == signal.axes
        assert made.gaps == "empty"


@pytest.mark.parametrize("sigma", [0.7, 1, 2.5, 6])
def test_laplacian_of_gaussian_is_near_that_of_scipy(sigma: float) -> None:
    from scipy.ndimage import gaussian_laplace

    taps = laplacian_of_gaussian(sigma, signal=PICTURE).taps
    impulse = np.zeros(taps.shape)
    impulse[taps.shape[0] // 2, taps.shape[1] // 2] = 1
    expected = gaussian_laplace(impulse, sigma)  # its taps do not sum to 0, hence the tolerance
    assert taps == pytest.approx(expected, abs=2e-2 * np.abs(expected).max())


def test_a_sigma_between_the_samples_is_refused() -> None:
    with pytest.raises(RequestError, match="sigma is at least"):
        laplacian_of_gaussian(0.3, signal=SOUND)


def test_dog_is_the_difference_of_two_gaussians() -> None:
    from scipy.ndimage import gaussian_filter

    made = dog(1, 2, signal=PICTURE)
    impulse = np.zeros((41, 41))
    impulse[20, 20] = 1
    expected = gaussian_filter(impulse, 1) - gaussian_filter(impulse, 2)
    reach = made.taps.shape[0] // 2
    assert made.taps == pytest.approx(
        expected[20 - reach : 21 + reach, 20 - reach : 21 + reach], abs=1e-15
    )
    assert dog(2, 1, signal=SOUND).taps == pytest.approx(-dog(1, 2, signal=SOUND).taps)
    with pytest.raises(RequestError, match="are the same"):
        dog(1, 1, signal=SOUND)
    with pytest.raises(RequestError, match="are the same"):
        dog(0.01, 0.02, signal=SOUND)


@pytest.mark.parametrize("signal", [SOUND, PICTURE])
def test_absurd_sizes_are_refused(signal: Signal) -> None:
    with pytest.raises(RequestError, match="at most"):
        diff(10**9, signal=signal)
    with pytest.raises(RequestError, match="at most"):
        dog(1, 1e9, signal=signal)
    with pytest.raises(RequestError, match="at most"):
        laplacian_of_gaussian(1e200, signal=signal)
