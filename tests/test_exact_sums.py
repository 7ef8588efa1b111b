"""Tables: an output depends on its window alone and is rounded once, however long the window is."""

from __future__ import annotations

import math
from fractions import Fraction
from math import comb
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcli import apply
from convcli.core import missing
from convcli.core.convolution.convolve import correlate_valid
from convcli.core.convolution.fft import frame_size
from convcli.core.exact import digits
from convcli.core.exact import sums as exact_sums
from convcli.core.exact.totals import ExactTotals
from convcli.planning.plan import make_plan, rules_for
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.signals import TABLE, Signal

# Every float64 is a whole number of these.
UNIT = 1074


def whole(value: float) -> int:
    """The number in units of 2**-1074."""
    numerator, denominator = float(value).as_integer_ratio()
    return numerator * ((1 << UNIT) // denominator)


def correlation(x: Any, w: Any) -> Any:
    """The valid correlation in whole numbers, correctly rounded."""
    samples = [whole(value) for value in x]
    taps = [whole(value) for value in w]
    sums = [
        sum(tap * samples[start + j] for j, tap in enumerate(taps))
        for start in range(len(x) - len(w) + 1)
    ]
    return np.array([total / (1 << 2 * UNIT) for total in sums])


def filtered(text: str, x: Any, *cuts: int, **rules: Any) -> Any:
    """A column through FILTER, in blocks that end at the cuts."""
    signal = Signal(medium=TABLE, shape=(None,), channels=("v",))
    plan = make_plan(text, signal, rules_for(signal, text, **rules))
    blocks = np.split(np.asarray(x, float)[:, None], cuts)
    sink = Collected()
    run(plan, Blocks(signal, blocks), sink, threads=1)
    return np.concatenate(sink.parts)[:, 0]


def signals(rng: np.random.Generator, n: int) -> dict[str, Any]:
    x = rng.normal(size=n)
    return {
        "noise": x,
        "cents": np.round(100 * x, 2),
        "all exponents": x * 10.0 ** rng.integers(-150, 150, n),
        "spikes": np.where(rng.random(n) < 0.1, 1e15, 1e-3) * x,
        "nothing": np.zeros(n),
        "largest": np.clip(x, -1, 1) * 1.7e308 / 64,
        "whole": np.floor(x * 2.0**52),
        "powers": 2.0 ** rng.integers(-60, 60, n),
    }


@pytest.mark.parametrize("few", [0, 1000], ids=["fft", "dot products"])
@pytest.mark.parametrize("part", [16, 1 << 18])
def test_sums_are_rounded_once(few: int, part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_sums, "FEW_OUTPUTS", few)
    monkeypatch.setattr(exact_sums, "PART", part)
    exact_sums._method.cache_clear()
    rng = np.random.default_rng(3)
    k = 40
    kernels = [np.ones(k), rng.random(k), rng.normal(size=k), np.arange(1.0, k + 1), np.zeros(k)]
    kernels.append(0.9 ** np.arange(k) * (np.arange(k) > 20))
    for name, x in signals(rng, k + 50).items():
        for kernel in kernels:
            w = kernel / 40 if name == "largest" else kernel
            for step in (1, 7):
                high, _ = exact_sums.exact_sums(x[:, None], w, step)
                np.testing.assert_array_equal(high[:, 0], correlation(x, w)[::step], name)
    exact_sums._method.cache_clear()


def test_the_fft_is_as_exact_as_its_bound_says() -> None:
    """The largest error of sums of digits, far below the 1/2 at which rounding would go wrong."""
    rng = np.random.default_rng(4)
    for k in (5000, 100_000):
        w = rng.random(k)
        method: Any = exact_sums._DigitProducts(w)
        x = rng.choice([-1.0, 1.0], 3 * k) * 2.0 ** (method.bits - 1)  # the largest digits
        (part,) = method._parts
        outputs = 2 * k + 1
        size = min(method._frame, frame_size(k, outputs))
        products = exact_sums._products_by_fft({0: x}, part, size, outputs)
        worst = max(float(np.abs(sums - np.rint(sums)).max()) for sums in products.values())
        assert worst < 1 / 16


def test_sums_past_the_largest_number_are_infinite() -> None:
    x = np.full((50, 1), 1.7e308)
    assert (exact_sums.exact_sums(x, np.full(40, 0.025))[0] > 1.69e308).all()
    with np.errstate(over="ignore"):
        assert (exact_sums.exact_sums(-x, np.ones(40))[0] == -np.inf).all()


LONG = ["sma:4097", "ema:span=252", "gaussian:600", "wma:5000", "triangle:4999", "hann:4500"]
SIGNED = ["lowpass:0.001,taps=5001", "highpass:0.01,taps=4501", "savgol:4501,2"]


@pytest.mark.parametrize("text", LONG)
def test_means_of_numbers_that_are_not_negative(text: str) -> None:
    """After large volumes come 0s: `seq 1000 1000 20000000; yes 0 | head -20000`."""
    x = np.concatenate([np.arange(1000.0, 20_001_000, 1000), np.zeros(20_000)])
    y = filtered(text, x)
    assert len(y) == 40_000
    assert y.min() >= 0
    assert y[-1] < 1e-9


@pytest.mark.parametrize("text", [*LONG, *SIGNED, "avg_pool:5000", "sma:4097 | diff:1"])
@pytest.mark.parametrize("align", ["causal", "center"])
def test_a_row_is_what_it_is_where_the_table_ends(text: str, align: str) -> None:
    """Bit for bit, also beside a value of 1e15 that the window does not read."""
    rng = np.random.default_rng(5)
    x = np.round(rng.uniform(1, 1000, 16_000), 2)
    x[12_001] = 1e15
    whole_table = filtered(text, x, align=align)
    np.testing.assert_array_equal(filtered(text, x, 100, 9000, 9001, align=align), whole_table)
    if align == "causal" and "pool" not in text:
        np.testing.assert_array_equal(filtered(text, x[:12_000]), whole_table[:12_000])


def test_the_mean_of_whole_numbers_is_rounded_once() -> None:
    x = np.random.default_rng(6).integers(0, 10**12, 6000).astype(float)
    y = filtered("sma:4097", x)
    for row in (0, 1, 2, 100, 4095, 4096, 5000, 5999):
        window = x[max(0, row - 4096) : row + 1]
        assert y[row] == float(Fraction(int(window.sum()), len(window))), row


def mixed_whole_numbers(n: int) -> np.ndarray:
    """Whole numbers from 1 to 2**53."""
    rng = np.random.default_rng(11)
    return np.floor(2.0 ** rng.uniform(0, 53, n))


def exact_mean(x: np.ndarray, weights: list[int]) -> float:
    """The weighted mean of the known samples of a window, rounded once."""
    pairs = [
        (weight, int(value))
        for weight, value in zip(weights, x, strict=True)
        if not math.isnan(value)
    ]
    total = sum(weight for weight, _ in pairs)
    return float(Fraction(sum(weight * value for weight, value in pairs), total))


@pytest.mark.parametrize("k", [3, 20, 128, 300])
@pytest.mark.parametrize("gaps", ["gaps", "all known"])
def test_means_of_whole_numbers_of_mixed_sizes(k: int, gaps: str) -> None:
    x = mixed_whole_numbers(900)
    if gaps == "gaps":
        x[::17] = np.nan
    y = filtered(f"sma:{k}", x)
    blocks = filtered(f"sma:{k}", x, 100, 333, 600)
    np.testing.assert_array_equal(blocks, y)
    for row in range(k, 900, 41):
        if not np.isnan(x[row]):
            assert y[row] == exact_mean(x[row - k + 1 : row + 1], [1] * k), row


@pytest.mark.parametrize(("text", "weights"), [
    ("wma:30", list(range(1, 31))),
    ("binomial:28", [comb(27, j) for j in range(28)]),
    ("binomial:40", [comb(39, j) for j in range(40)]),
    ("sum_pool:1 | sma:5", [1] * 5),
])  # fmt: skip
def test_weighted_means_of_whole_numbers(text: str, weights: list[int]) -> None:
    x = mixed_whole_numbers(400)
    x[200:] = np.random.default_rng(12).integers(0, 1000, 200)
    y = filtered(text, x)
    for row in range(len(weights), 400, 7):
        window = x[row - len(weights) + 1 : row + 1]
        assert y[row] == exact_mean(window, weights), row


def first_weights(text: str, count: int) -> list[Fraction]:
    """The weights of the newest samples of a mean by its definition, up to a factor."""
    name, _, number = text.partition(":")
    places = range(count)
    if name == "binomial":
        return [Fraction(comb(int(number) - 1, j)) for j in places]
    if name == "hann":
        angle = math.pi / (int(number) + 1)
        return [Fraction(math.sin(angle * (j + 1)) ** 2) for j in places]
    sigma = float(number)
    radius = int(4 * sigma + 0.5)
    return [Fraction(math.exp(-0.5 * ((radius - j) / sigma) ** 2)) for j in places]


@pytest.mark.parametrize("text", ["binomial:56", "binomial:60", "binomial:1000", "hann:5000",
                                  "hann:20000", "gaussian:300", "gaussian:3000"])  # fmt: skip
@pytest.mark.parametrize("scale", [1.0, 1e-30])
def test_rows_that_only_small_taps_reach(text: str, scale: float) -> None:
    """The first rows, and rows after a gap, are means by the weights that meet known samples."""
    x = [3.0, 1, math.nan, 4, 1, 5]
    y = filtered(text, np.array(x) * scale, missing="fill")
    weights = first_weights(text, len(x))
    known = [(row, Fraction(value)) for row, value in enumerate(x) if not math.isnan(value)]
    for row in range(len(x)):
        pairs = [(weights[row - at], value) for at, value in known if at <= row]
        total = sum(weight for weight, _ in pairs)
        expected = float(sum(weight * value for weight, value in pairs) / total) * scale
        assert math.isclose(y[row], expected, rel_tol=2e-15), row
    assert y[0] == x[0] * scale


def test_an_adjusted_ema_over_a_gap() -> None:
    """As `pandas.Series.ewm(alpha=0.5, ignore_na=False).mean()`."""
    x = np.array([3.0, 1, 4, *[math.nan] * 40])
    y = filtered("ema:alpha=0.5,adjust=true", x, missing="fill")
    expected = pd.Series(x).ewm(alpha=0.5).mean()
    np.testing.assert_allclose(y, expected, rtol=2e-15)


def test_a_fraction_beside_large_whole_numbers_leaks_nowhere() -> None:
    x = mixed_whole_numbers(600)
    x[300] = 0.5
    whole = filtered("sma:20", x)
    np.testing.assert_array_equal(filtered("sma:20", x[:300]), whole[:300])
    np.testing.assert_array_equal(filtered("sma:20", x, 320, 450), whole)


def test_long_windows_with_gaps_are_those_of_pandas() -> None:
    x = np.random.default_rng(7).integers(0, 1000, 20_000).astype(float)
    x[np.random.default_rng(8).random(20_000) < 0.2] = np.nan
    y = filtered("sma:5001", x, missing="fill")
    expected = pd.Series(x).rolling(5001, min_periods=1).mean()
    np.testing.assert_allclose(y, expected, rtol=1e-13)
    taps = np.exp(-0.5 * (np.arange(-2400, 2401) / 600) ** 2)
    known = ~np.isnan(x)
    sums = np.convolve(np.where(known, x, 0), taps, "same")
    weights = np.convolve(known.astype(float), taps, "same")
    y = filtered("gaussian:600", x, align="center", missing="fill")
    np.testing.assert_allclose(y, sums / weights, rtol=1e-11)


def test_a_window_far_longer_than_the_table() -> None:
    """320,001 taps: every window is cut at both ends, and takes no longer for that."""
    x = np.arange(1.0, 20_001)
    y = filtered("gaussian:40000", x, align="center")
    taps = np.exp(-0.5 * (np.arange(20_000) / 40_000) ** 2)
    for row in (0, 9_999, 19_999):
        weights = taps[np.abs(np.arange(20_000) - row)]
        assert math.isclose(y[row], float(weights @ x / weights.sum()), rel_tol=1e-12)


@pytest.mark.parametrize("value", [7.0, 101.27, 0.1, 3.3, -1e-7])
def test_the_mean_of_equal_values_is_that_value(value: float) -> None:
    x = np.full(9000, value)
    x[[20, 21, 500]] = np.nan
    for text in (*LONG, "ema:alpha=0.1", "ema:span=12", "ema:span=12,adjust=true", "gaussian:3"):
        for missing_rule in ("fill", "keep"):
            y = filtered(text, x, 10, 4000, missing=missing_rule)
            assert set(y[~np.isnan(y)].tolist()) == {value}, text
    for text in ("gaussian:3", "hann:9", "savgol:7,2", "binomial:40", "lowpass:0.1"):
        y = filtered(text, x, align="center")
        assert set(y[~np.isnan(y)].tolist()) == {value}, text
    for text in ("highpass:0.2", "savgol:7,2,deriv=1", "laplacian_of_gaussian:2"):
        y = filtered(text, x, align="center", edge="reflect", missing="fill")
        assert set(y[~np.isnan(y)].tolist()) == {0.0}, text


def test_only_windows_of_equal_values_are_touched() -> None:
    x = np.array([1.0, 7, 7, 7, 7, 7, 2, 3, 3, 3, 3, 3])
    y = filtered("hann:4", x)
    assert y[4:6].tolist() == [7, 7]
    assert y[10:].tolist() == [3, 3]
    taps = np.array([np.sin(np.pi * j / 5) ** 2 for j in range(1, 5)])
    np.testing.assert_allclose(y[3:], np.convolve(x, taps / taps.sum(), "valid"), rtol=1e-15)


def test_infinities_spread_over_their_windows_alone() -> None:
    x = np.ones(20_000)
    x[[3000, 15_000]] = np.inf, -np.inf
    y = filtered("sma:5000", x)
    assert (y[3000:8000] == np.inf).all()
    assert (y[15_000:] == -np.inf).all()
    assert (y[:3000] == 1).all()
    assert (y[8000:15_000] == 1).all()
    both = filtered("lowpass:0.01,taps=4501", np.where(x == -np.inf, np.inf, x))
    assert np.isfinite(both[:3000]).all()
    assert np.isfinite(both[3000:7501]).mean() < 0.05  # some taps are 0


def test_infinities_meet_the_sign_of_their_taps() -> None:
    rng = np.random.default_rng(9)
    for _ in range(50):
        x = rng.normal(size=(30, 2))
        x[rng.random(x.shape) < 0.1] = np.inf
        x[rng.random(x.shape) < 0.1] = -np.inf
        w = rng.integers(-1, 2, 5).astype(float)
        y = correlate_valid(x, w, (1,), exact=bool(rng.integers(2)))
        with np.errstate(invalid="ignore"):
            terms = [w[j] * x[j : j + 26] for j in range(5) if w[j] != 0]
            expected = np.sum(terms, axis=0) if terms else np.zeros((26, 2))
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


def test_taps_that_are_0_read_no_gap() -> None:
    w = np.where(np.arange(301) % 2, 0.0, 1.0)  # more runs than are compared one by one
    gaps = np.random.default_rng(10).random((2000, 1)) < 0.002
    found = missing.reads_gap(gaps, w, (1,))
    expected = [bool(gaps[start : start + 301, 0][w > 0].any()) for start in range(1700)]
    assert found[:, 0].tolist() == expected


def test_totals_of_blocks_are_exact() -> None:
    rng = np.random.default_rng(11)
    for name, x in signals(rng, 1000).items():
        totals = ExactTotals(1)
        for block in np.split(x[:, None], [1, 300, 301]):
            totals.add(block)
        expected = float(sum(map(Fraction, x.tolist()), Fraction()) / 1000)
        assert totals.mean(np.array([1000.0]))[0] == expected, name


def test_the_mean_of_a_whole_table() -> None:
    x = np.full(30_000, 3.3)
    assert filtered("global_avg_pool", x, 7, 9000).tolist() == [3.3]
    x = np.random.default_rng(12).uniform(0, 1e6, 10_000)
    halves = [float(sum(map(Fraction, part.tolist())) / 5000) for part in (x[:5000], x[5000:])]
    assert filtered("adaptive_avg_pool:2", x).tolist() == halves
    x[5] = np.inf
    assert filtered("global_avg_pool", x).tolist() == [np.inf]
    x[6] = -np.inf
    assert np.isnan(filtered("global_avg_pool", x)).all()


@pytest.mark.parametrize("pool", ["adaptive_avg_pool", "adaptive_max_pool"])
@pytest.mark.parametrize(("n", "bins"), [(1000, 900), (1000, 5000), (1000, 17), (1000, 16), (7, 7)])
@pytest.mark.parametrize("gaps", ["keep", "propagate"])
def test_bins_of_any_width(pool: str, n: int, bins: int, gaps: Any) -> None:
    """Bins of few samples are computed together: each is that of a loop over the bins."""
    x = np.random.default_rng(13).normal(size=n) * 1e6
    x[::13] = np.nan
    x[n // 2] = np.inf
    y = apply(f"{pool}:{bins}", x, missing=gaps)
    for k in range(bins):
        window = x[k * n // bins : -(-(k + 1) * n // bins)]
        known = window[~np.isnan(window)]
        if len(known) == 0 or (gaps == "propagate" and len(known) < len(window)):
            assert np.isnan(y[k]), k
        elif pool == "adaptive_max_pool" or np.inf in known:
            assert y[k] == known.max(), k
        else:
            assert y[k] == float(sum(map(Fraction, known.tolist())) / len(known)), k


def test_narrow_bins_do_not_depend_on_blocks() -> None:
    x = np.random.default_rng(14).normal(size=1000)
    whole_table = filtered("adaptive_avg_pool:300", x)
    np.testing.assert_array_equal(
        filtered("adaptive_avg_pool:300", x, 1, 5, 6, 500, 999), whole_table
    )


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_digits_are_rounded_once(data: st.DataObject) -> None:
    bits = data.draw(st.integers(14, 26))
    lowest = data.draw(st.integers(-4, 4))
    places = data.draw(st.sets(st.integers(0, 4), min_size=1))
    # Numbers of very different sizes are rounded together.
    numbers = []
    for _ in range(data.draw(st.integers(1, 6))):
        number = {}
        for place in places:
            size = data.draw(st.integers(0, 60))
            # Multiples of a power of two meet the halves between two float64.
            zeros = data.draw(st.integers(0, size))
            value = data.draw(st.integers(-(1 << size), 1 << size)) >> zeros << zeros
            number[lowest + place] = value
        exact = sum(digit * Fraction(2) ** (bits * place) for place, digit in number.items())
        if exact >= 0:
            numbers.append((number, exact.numerator / exact.denominator))
    if not numbers:
        return
    sums = {p: np.array([number[p] for number, _ in numbers]) for p in number}
    truth = [value for _, value in numbers]
    np.testing.assert_array_equal(digits.rounded(sums, bits, 0), truth)


@pytest.mark.parametrize("gap", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        *("sma:2", "sma:200", "box:5000", "wma:3", "binomial:5", "kernel:1,1,normalize=true"),
        *("median:4", "mad:3", "std:3", "avg_pool:2", "global_avg_pool", "adaptive_avg_pool:5"),
        "sma:2 | sma:3",
    ],
)
def test_a_mean_of_the_largest_numbers_is_a_number(text: str, gap: bool) -> None:  # noqa: FBT001
    """A power of two as a factor changes no digit of a mean but the last."""
    x = pd.Series([1e308, 1.7e308, 1e308, 0.5e308, -1e308, -1.7e308, 1.1e308, 1.3e308])
    if gap:
        x[3] = np.nan
    found: Any = apply(text, x)
    smaller: Any = apply(text, x * 2.0**-60)
    np.testing.assert_allclose(found, smaller * 2.0**60, rtol=2.0**-52)
    if text == "sma:2":
        assert found[1] == 1.35e308


@pytest.mark.parametrize("text", ["sma:2d", "triangle:3d", "std:3d", "median:2d", "avg_pool:1w"])
def test_a_mean_in_time_of_the_largest_numbers_is_a_number(text: str) -> None:
    days = pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-04", "2020-01-05"])
    x = pd.Series([1e308, 1.7e308, 1.2e308, 1.5e308], days)
    smaller: Any = apply(text, x * 2.0**-60)
    np.testing.assert_allclose(apply(text, x), smaller * 2.0**60, rtol=2.0**-52)
