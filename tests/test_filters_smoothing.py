"""Smoothing designs against their definitions, SciPy and pandas."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcli.designs.smoothing import binomial, box, ema, gaussian, hann, savgol, triangle, wma
from convcli.designs.taps import on_grid, weights_of_mean
from convcli.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.core.kernel import Kernel

counts = st.integers(1, 400)


@given(counts)
def test_every_mean_of_n_sums_to_1_exactly_and_is_not_negative(n: int) -> None:
    for design in (box, wma, triangle, binomial, hann):
        made = design(n)
        assert made.taps.size == n
        assert math.fsum(made.taps) == made.divisor
        assert (made.taps >= 0).all()
        assert made.on_missing == "renormalise"


@given(counts)
def test_the_symmetric_ones_are_symmetric(n: int) -> None:
    for design in (box, triangle, binomial, hann):
        assert np.array_equal(design(n).taps, design(n).taps[::-1])


@given(st.floats(0.05, 200))
def test_a_gaussian_sums_to_1(sigma: float) -> None:
    taps = gaussian(sigma).taps
    assert math.fsum(taps) == 1
    assert np.array_equal(taps, taps[::-1])


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1, 1.5, 3, 7.3, 40])
def test_gaussian_is_that_of_scipy(sigma: float) -> None:
    from scipy.ndimage import gaussian_filter1d

    taps = gaussian(sigma).taps
    impulse = np.eye(1, taps.size, taps.size // 2)[0]
    assert gaussian_filter1d(impulse, sigma, mode="constant") == pytest.approx(taps, abs=1e-15)


def test_of_one_sample_every_mean_is_the_sample() -> None:
    for design in (box, wma, triangle, binomial, hann):
        assert design(1).identity


@pytest.mark.parametrize("n", range(1, 9))
def test_triangle_and_hann_are_those_of_scipy(n: int) -> None:
    from scipy.signal import windows

    expected = windows.triang(n)
    assert triangle(n).weights == pytest.approx(expected / expected.sum())
    expected = windows.hann(n + 2)[1:-1]
    assert hann(n).weights == pytest.approx(expected / expected.sum())


@pytest.mark.parametrize("n", [1, 2, 5, 54, 55, 56, 101, 1000])
def test_binomial_is_pascals_triangle(n: int) -> None:
    expected = [math.comb(n - 1, j) / 2 ** (n - 1) for j in range(n)]
    assert binomial(n).weights == pytest.approx(expected, rel=2e-15, abs=0)


@pytest.mark.parametrize("n", [1001, 1002, 3001])
def test_a_long_binomial_is_pascals_triangle_without_its_faint_ends(n: int) -> None:
    weights = binomial(n).weights
    assert math.fsum(weights) == 1
    assert np.array_equal(weights, weights[::-1])
    for j in range(0, n, 7):
        expected = math.comb(n - 1, j) / 2 ** (n - 1)
        if expected > 2.0**-1000:
            assert weights[j] == pytest.approx(expected, rel=1e-15, abs=0)
        elif expected < 2.0**-1010:
            assert weights[j] == 0


def test_a_binomial_of_any_length_is_made() -> None:
    made = binomial(200_000)
    assert made.taps.size == 200_000
    assert made.taps[100_000] == pytest.approx(math.sqrt(2 / (math.pi * 199_999)), rel=1e-5)
    with pytest.raises(RequestError, match="4,194,304"):
        binomial(4_194_305)


def test_wma_weighs_the_newest_most() -> None:
    assert np.convolve([0, 0, 1, 0, 0], wma(3).weights)[2:5].tolist() == [3 / 6, 2 / 6, 1 / 6]


@pytest.mark.parametrize("alpha", [0.5, 0.3, 0.01, 0.999, 1.0])
def test_ema_is_the_recursion(alpha: float) -> None:
    x = np.random.default_rng(4).normal(size=300)
    expected = [x[0]]
    for value in x[1:]:
        expected.append(alpha * value + (1 - alpha) * expected[-1])
    made = ema(alpha=alpha)
    held = np.concatenate([np.full(made.taps.size - 1, x[0]), x])
    assert np.convolve(held, made.taps, mode="valid") == pytest.approx(expected, abs=1e-12)
    assert made.taps.sum() == 1
    assert made.centre == (0,)


def test_ema_of_the_contract() -> None:
    made = ema(alpha=0.5)
    x = np.array([10.0] * (made.taps.size - 1) + [10, 11, 12, 11, 13])
    assert np.convolve(x, made.taps, mode="valid").tolist() == [10, 10.5, 11.25, 11.125, 12.0625]
    assert made.on_missing == "hold"


def test_ema_by_span_and_halflife_is_that_of_pandas() -> None:
    import pandas as pd

    x = np.random.default_rng(5).normal(size=400)
    for made, series in (
        (ema(span=20, adjust=True), pd.Series(x).ewm(span=20)),
        (ema(halflife=7.5, adjust=True), pd.Series(x).ewm(halflife=7.5)),
    ):
        assert made.on_missing == "renormalise"
        padded = np.concatenate([np.zeros(made.taps.size - 1), x])
        there = np.concatenate([np.zeros(made.taps.size - 1), np.ones(x.size)])
        y = np.convolve(padded, made.taps, mode="valid") / np.convolve(
            there, made.taps, mode="valid"
        )
        assert y == pytest.approx(series.mean().to_numpy(), abs=1e-12)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "got none"),
        ({"span": 5.0, "alpha": 0.1}, "got span and alpha"),
        ({"alpha": 0.0}, "above 0"),
        ({"alpha": 1.5}, "at most 1"),
        ({"span": 0.5}, "at least 1"),
        ({"span": 1e7}, "taps"),
    ],
)
def test_an_ema_that_makes_no_sense(options: dict[str, float], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        ema(**options)


@pytest.mark.parametrize(
    ("n", "order", "deriv"),
    [
        (5, 2, 0),
        (7, 3, 0),
        (7, 2, 1),
        (9, 4, 2),
        (21, 5, 3),
        (101, 8, 1),
        (6, 2, 0),
        (8, 3, 1),
        (1, 0, 0),
        (51, 0, 0),
    ],
)
def test_savgol_is_that_of_scipy(n: int, order: int, deriv: int) -> None:
    from scipy.signal import savgol_coeffs

    expected = savgol_coeffs(n, order, deriv=deriv)
    taps = savgol(n, order, deriv=deriv).taps
    assert taps == pytest.approx(expected, rel=1e-6, abs=1e-9 * np.abs(expected).max())
    assert taps.sum() == (0 if deriv else 1)


@given(
    st.integers(0, 6).flatmap(
        lambda order: st.tuples(st.just(order), st.integers(order // 2 + 1, 30))
    )
)
def test_savgol_passes_its_polynomials(case: tuple[int, int]) -> None:
    order, half = case
    n = 2 * half + 1
    t = np.arange(-half, half + 1) / half
    for degree in range(order + 1):
        polynomial = (t + 0.3) ** degree
        assert savgol(n, order).taps @ polynomial[::-1] == pytest.approx(0.3**degree, abs=1e-11)
        if order > 0:
            slope = degree * 0.3 ** max(degree - 1, 0) / half
            assert savgol(n, order, deriv=1).taps @ polynomial[::-1] == pytest.approx(
                slope, abs=1e-10
            )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((5, 5, 0), "0 ... 4"), ((5, -1, 0), "0 ... 4"), ((5, 2, 3), "derivatives 0 ... 2")],
)
def test_a_savgol_that_does_not_fit(arguments: tuple[int, int, int], said: str) -> None:
    n, order, deriv = arguments
    with pytest.raises(RequestError, match=said):
        savgol(n, order, deriv=deriv)


@pytest.mark.parametrize("design", [box, wma, triangle, hann])
def test_absurd_lengths_are_refused(design: Callable[[int], Kernel]) -> None:
    with pytest.raises(RequestError, match="at most 4,194,304"):
        design(10**12)
    with pytest.raises(RequestError, match="at most"):
        gaussian(1e300)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=50), st.sampled_from([0.0, 1.0]))
def test_exact_sums_are_exact_in_any_order(values: list[float], total: float) -> None:
    taps = np.array([*values, total - math.fsum(values)])
    if not taps.any():
        return
    made = on_grid(taps, total)
    assert made.sum() == math.fsum(made) == sum(made.tolist()) == sum(made[::-1].tolist()) == total
    assert made == pytest.approx(taps, abs=1e-12)


@given(st.lists(st.floats(1e-300, 10), min_size=1, max_size=50))
def test_weights_of_a_mean_keep_their_ratios(values: list[float]) -> None:
    taps = np.array([*values, max(values), *values[::-1]])
    made = weights_of_mean(taps)
    assert math.fsum(made) == 1
    assert np.array_equal(made, made[::-1])
    assert made == pytest.approx(taps / math.fsum(taps), rel=1e-14, abs=0)
