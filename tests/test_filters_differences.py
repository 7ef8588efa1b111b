"""Differences: exactly nothing from a constant, the right slope from a ramp, the right curve from a parabola."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcli import apply
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
        assert made.on_missing == "empty"


@pytest.mark.parametrize("sigma", [0.7, 1, 2.5, 6])
def test_laplacian_of_gaussian_is_near_that_of_scipy(sigma: float) -> None:
    from scipy.ndimage import gaussian_laplace

    taps = laplacian_of_gaussian(sigma, signal=PICTURE).taps
    impulse = np.zeros(taps.shape)
    impulse[taps.shape[0] // 2, taps.shape[1] // 2] = 1
    expected = gaussian_laplace(impulse, sigma)  # its taps do not sum to 0, hence the tolerance
    assert taps == pytest.approx(expected, abs=2e-2 * np.abs(expected).max())


def test_a_sigma_between_the_samples_is_refused() -> None:
    with pytest.raises(RequestError, match="sigma must be at least"):
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


GAPS = pd.DataFrame({"a": [1.0, 2, np.nan, 0, 5, -4, 8], "b": [7.0, 7, 7, 1, np.nan, 2, 3]})


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_lag_is_shift_of_pandas(n: int) -> None:
    for align in ("causal", "center"):
        pd.testing.assert_frame_equal(apply(f"lag:{n}", GAPS, align=align), GAPS.shift(n))


@pytest.mark.parametrize("n", [1, 3])
def test_pct_change_is_that_of_pandas_and_missing_after_a_zero(n: int) -> None:
    truth = GAPS.pct_change(n, fill_method=None).replace([np.inf, -np.inf], np.nan)
    pd.testing.assert_frame_equal(apply(f"pct_change:{n}", GAPS), truth, rtol=1e-15)


def test_the_change_of_a_picture_runs_along_x() -> None:
    picture = np.random.default_rng(0).uniform(1, 2, (5, 6))
    y = apply("pct_change", picture, axes=2, edge="edge")
    np.testing.assert_allclose(y[:, 1:], picture[:, 1:] / picture[:, :-1] - 1, atol=1e-15)
    assert not y[:, 0].any()
    y = apply("lag:2,axis=y", picture, axes=2, edge="zero")
    np.testing.assert_array_equal(y[2:], picture[:-2])
    assert not y[:2].any()


@pytest.mark.parametrize("step", ["lag:-1", "diff:-3", "pct_change:-2"])
def test_a_lag_into_the_future_is_refused(step: str) -> None:
    with pytest.raises(RequestError, match=r"would read later rows; correlate:0,0,1 with align"):
        apply(step, GAPS)


def test_functions_of_a_sample() -> None:
    x = np.array([-4.0, -0.0, 2.25, np.nan])
    np.testing.assert_array_equal(apply("square", x), [16, 0, 5.0625, np.nan])
    np.testing.assert_array_equal(apply("sqrt", x), [np.nan, 0, 1.5, np.nan])
    np.testing.assert_array_equal(apply("sign", x), [-1, 0, 1, np.nan])
