"""Branches: filters side by side that arithmetic combines, and the recipes that are made of them."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from program import done, refused
from scipy import ndimage
from scipy.signal import savgol_coeffs

from convcli import apply, explain
from convcli.errors import ConvcliError, RequestError
from convcli.layers.weights import encode_weights
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.planning.calls import LONGEST_SHOWN
from convcli.planning.grammar import parse
from convcli.planning.plan import make_plan, rules_for
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.signals import ARRAY, TABLE, Align, Block, Edge, Groups, Missing, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.planning.plan import Plan
    from convcli.signals import Array, Medium

SAMPLES = Path(__file__).parents[1] / "sample_data"
EDGES: tuple[Edge, ...] = get_args(Edge)
WALK = np.random.default_rng(3).normal(size=300).cumsum()
PRICES = pd.Series(100 * np.exp(WALK / 50), name="Close")


def with_gaps(x: Array, share: float = 0.1, seed: int = 1) -> Array:
    holes = np.random.default_rng(seed).random(x.shape) < share
    return np.where(holes, np.nan, x)


def plan_of(text: str, x: Array, medium: Medium = TABLE, **rules: Any) -> Plan:
    axes = 2 if medium is IMAGE else 1
    names = tuple("abcd"[: x.shape[-1]])
    signal = Signal(medium=medium, shape=x.shape[:axes], channels=names)
    return make_plan(text, signal, rules_for(signal, text, **rules))


def filtered(plan: Plan, x: Array, cuts: tuple[int, ...] = (), threads: int = 1) -> Array:
    ends = [0, *sorted(cuts), len(x)]
    sink = Collected()
    run(plan, Blocks(plan.signal, [x[a:b] for a, b in pairwise(ends)]), sink, threads=threads)
    if sink.parts:
        return np.concatenate(sink.parts)
    return np.empty((0, len(plan.result.channels)))


# ------------------------------------------------------------------------------------------ values


def test_macd_is_that_of_pandas() -> None:
    fast = PRICES.ewm(span=12, adjust=False).mean()
    slow = PRICES.ewm(span=26, adjust=False).mean()
    for text in ("macd", "macd:12,26", "ema:span=12 - ema:span=26"):
        pd.testing.assert_series_equal(apply(text, PRICES), fast - slow, atol=1e-11, rtol=0)
    signal = (fast - slow).ewm(span=9, adjust=False).mean()
    line = apply("macd:12,26 | ema:span=9", PRICES)
    pd.testing.assert_series_equal(line, signal, atol=1e-11, rtol=0)
    histogram = apply("macd | x - ema:span=9", PRICES)
    pd.testing.assert_series_equal(histogram, fast - slow - signal, atol=1e-11, rtol=0)


def test_rsi_is_that_of_wilder() -> None:
    change = PRICES.diff()
    rises = change.clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean()
    falls = (-change).clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean()
    expected = 100 - 100 / (1 + rises / falls)
    for text in ("rsi", "100 * (diff | relu | ema:alpha=1/14) / (diff | abs | ema:alpha=1/14)"):
        y = apply(text, PRICES)
        assert np.isnan(y.iloc[0])
        np.testing.assert_allclose(y[1:], expected[1:], rtol=0, atol=1e-10)


def test_windows_of_prices_are_those_of_pandas() -> None:
    mean = PRICES.rolling(20).mean()
    deviation = PRICES.rolling(20).std()
    for text in ("zscore", "(x - sma:20) / std:20"):
        score = apply(text, PRICES)
        np.testing.assert_allclose(score[19:], ((PRICES - mean) / deviation)[19:], atol=1e-11)
    bands = apply("bollinger:20,2", PRICES)
    assert list(bands.columns) == ["upper", "lower"]
    np.testing.assert_allclose(bands["upper"][19:], (mean + 2 * deviation)[19:], atol=1e-11)
    np.testing.assert_allclose(bands["lower"][19:], (mean - 2 * deviation)[19:], atol=1e-11)
    population = apply("bollinger:20,2,ddof=0", PRICES)
    width = population["upper"] - population["lower"]
    np.testing.assert_allclose(width[19:], (4 * PRICES.rolling(20).std(ddof=0))[19:], atol=1e-11)


def test_names_of_several_outputs() -> None:
    frame = pd.DataFrame({"a": WALK, "word": "w", "b": WALK})
    bands = apply("bollinger:5,1", frame)
    assert list(bands.columns) == ["a_upper", "a_lower", "b_upper", "b_lower", "word"]
    assert bands["b_lower"].equals(apply("bollinger:5,1", frame[["b"]])["lower"])
    sides = apply("sma:3 & x - sma:3", frame[["a"]])
    assert list(sides.columns) == ["y0", "y1"]
    assert apply("x & 2 * x & box:3", WALK).shape == (300, 3)


MODES: dict[Edge, Any] = {
    "zero": "constant",
    "edge": "nearest",
    "reflect": "mirror",
    "symmetric": "reflect",
    "wrap": "wrap",
}


@pytest.mark.parametrize("edge", MODES)
def test_a_high_pass_is_that_of_scipy(edge: Edge) -> None:
    for size in (300, 5):
        x = WALK[:size]
        smooth = ndimage.gaussian_filter1d(x, 3, mode=MODES[edge])
        np.testing.assert_allclose(apply("x - gaussian:3", x, edge=edge), x - smooth, atol=1e-12)
    picture = np.random.default_rng(2).uniform(0, 255, (30, 40))
    smooth = ndimage.gaussian_filter(picture, 2, mode=MODES[edge])
    y = apply("x + 50% * (x - gaussian:2)", picture, axes=2, edge=edge)
    np.testing.assert_allclose(y, picture + 0.5 * (picture - smooth), atol=1e-10)
    np.testing.assert_allclose(apply("unsharp:2,0.5", picture, axes=2, edge=edge), y, atol=1e-10)


# What stands on both sides of an operator; every one keeps the length.
OPERANDS = (
    "x",
    "box:4",
    "kernel:1,-3,1",
    "savgol:5,2",
    "(diff | relu)",
    "(kernel:2,-1,2 | kernel:1,-3)",
    "max_pool:3,stride=1",
    "(x - box:3)",
)


@pytest.mark.parametrize("missing", ["keep", "fill", "propagate"])
@pytest.mark.parametrize("edge", [edge for edge in EDGES if edge != "valid"])
def test_branches_are_combined_as_numbers(edge: Edge, missing: Missing) -> None:
    """Each branch by itself is the oracle: the signal is extended once for all of them."""
    x = with_gaps(WALK[:60].reshape(30, 2).copy())
    for medium in (TABLE, ARRAY):
        alone = {
            text: filtered(plan_of(text.strip("()"), x, medium, edge=edge, missing=missing), x)
            for text in OPERANDS
        }
        for number, one in enumerate(OPERANDS):
            other = OPERANDS[(3 * number + 1) % len(OPERANDS)]
            a, b = alone[one], alone[other]
            expected = {"+": a + b, "-": a - b, "*": a * b}
            with np.errstate(divide="ignore", invalid="ignore"):
                expected["/"] = np.where(b == 0, np.nan, a / b)
            for symbol, truth in expected.items():
                plan = plan_of(f"{one} {symbol} {other}", x, medium, edge=edge, missing=missing)
                y = filtered(plan, x)
                np.testing.assert_allclose(y, truth, rtol=1e-9, atol=1e-10, err_msg=plan.filter)


def test_precedence_and_numbers() -> None:
    x = np.arange(1.0, 6.0)
    assert apply("1 + 2 * x", x).tolist() == (1 + 2 * x).tolist()
    assert apply("(1 + 2) * x / 2", x).tolist() == (3 * x / 2).tolist()
    assert apply("x - 1 - 2", x).tolist() == (x - 3).tolist()
    assert apply("x / x / x", x).tolist() == (1 / x).tolist()
    assert apply("1/4 * x", x).tolist() == (x / 4).tolist()
    assert apply("-1 * x + 20dB", x).tolist() == (10 - x).tolist()
    assert apply("100% - 1e-1 * x", x).tolist() == (1 - 0.1 * x).tolist()
    assert apply("x * (gain:2 | offset:1)", x).tolist() == (x * (2 * x + 1)).tolist()
    assert apply("ema:alpha=1/4", x).tolist() == apply("ema:alpha=0.25", x).tolist()
    assert apply("x", x).tolist() == x.tolist()
    assert apply("(gain:2 | offset:1) | abs", x).tolist() == (2 * x + 1).tolist()


@pytest.mark.parametrize("text", ["rsi:3", "zscore:200", "(x - box:99) / (box:99 - box:33)"])
def test_no_rounding_is_divided(text: str) -> None:
    # An FFT leaves some 1e-14 of the noise in the constant, and a quotient makes a number of it.
    noise = np.random.default_rng(0).random(300) * 100
    x = np.concatenate([noise, np.full(2000, 37.3)])
    assert np.isnan(apply(text, x, align="causal")[500:]).all()


def test_a_division_by_0_is_missing() -> None:
    x = np.array([1.0, 0.0, 2.0])
    for text in ("1 / x", "x / x", "x / (x * x)"):
        y = apply(text, x)
        assert np.isnan(y).tolist() == [False, True, False], text
    done_table = done("csv", "1 / x", stdin=b"a\n1\n0\n4\n")
    assert done_table.out == b"a\n1\n\n0.25\n"


def test_a_table_loses_no_digits() -> None:
    """Sums of branches in a table are sums of numbers that are rounded once, whatever is near."""
    x = np.array([1e15, 1, 2, 3, 4, 5, 6, 7.0])[:, None]
    y = filtered(plan_of("x - sma:3", x), x)
    assert y[3:, 0].tolist() == [1.0] * 5


# --------------------------------------------------------------------------------- blocks and whole

LEAVES = st.sampled_from(
    [
        "x",
        "box:3",
        "kernel:1,-3,1",
        "kernel:1,1,-3",
        "ema:span=2",
        "diff:2",
        "max_pool:2,stride=1",
        "savgol:5,1",
        "kernel:1,-3,1 | kernel:2,-5",
        "diff | relu",
    ]
)


def combined(branches: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Groups of such branches, with further steps behind them."""
    number = st.sampled_from(["2", "-1/3", "50%"])
    operand = st.one_of(branches.map(lambda text: f"({text})"), number)
    symbol = st.sampled_from(["+", "-", "*", "/"])
    pair = st.tuples(branches, symbol, operand).map(lambda t: f"({t[0]}) {t[1]} {t[2]}")
    sides = branches.map(lambda text: f"({text}) & x")
    after = st.sampled_from(["", " | kernel:1,-3,1", " | box:2", " | stride:2"])
    return st.tuples(st.one_of(pair, pair, sides), after).map("".join)


RULES = st.fixed_dictionaries(
    {
        "edge": st.sampled_from(EDGES),
        "align": st.sampled_from(get_args(Align)),
        "missing": st.sampled_from(["keep", "fill", "propagate"]),
    }
)
TREES = st.recursive(LEAVES, combined, max_leaves=6)


def planned(text: str, x: Array, **rules: Any) -> Plan | None:
    """The plan of a random tree, None where its branches have different rates."""
    try:
        return plan_of(text, x, **rules)
    except RequestError as error:
        if "1 output for" not in error.message and " columns, and another" not in error.message:
            raise
        return None


@settings(max_examples=40, deadline=None)
@given(
    text=TREES,
    rules=RULES,
    gaps=st.sampled_from([0, 0.1, 0.5]),
    cuts=st.lists(st.integers(0, 20), max_size=6).map(tuple),
)
def test_blocks_are_the_whole(
    text: str, rules: dict[str, Any], gaps: float, cuts: tuple[int, ...]
) -> None:
    x = with_gaps(np.rint(WALK[:40].reshape(20, 2) * 4), gaps, seed=7)
    plan = planned(text, x, **rules)
    if plan is None:
        return
    whole = filtered(plan, x)
    assert whole.shape == (plan.result.shape[0], len(plan.result.channels))
    for some in (cuts, tuple(range(20))):
        for threads in (1, 2):
            np.testing.assert_array_equal(filtered(plan, x, some, threads), whole)


@settings(max_examples=20, deadline=None)
@given(text=TREES, edge=st.sampled_from(EDGES), size=st.integers(1, 17))
def test_groups_of_a_table_are_tables_of_their_own(text: str, edge: Edge, size: int) -> None:
    x = with_gaps(np.rint(WALK[:60, None] * 4), 0.2, seed=5)
    plan = planned(text, x, edge=edge)
    if plan is None:
        return
    codes = np.random.default_rng(6).integers(0, 3, len(x))
    blocks = [
        Block(x[first : first + size], Groups([b"a", b"b", b"c"], codes[first : first + size]))
        for first in range(0, len(x), size)
    ]
    sink = Collected()
    run(plan, _Interleaved(plan.signal, blocks), sink)
    y = np.concatenate([*sink.parts, np.empty((0, len(plan.result.channels)))])
    rows = np.concatenate([*sink.rows, np.empty(0, np.int64)])
    for code in range(3):
        alone = filtered(plan_of(text, x[codes == code], edge=edge), x[codes == code])
        np.testing.assert_array_equal(y[codes[rows] == code], alone)


class _Interleaved:
    """Blocks of rows of several groups, as a Source."""

    def __init__(self, signal: Signal, blocks: list[Block]) -> None:
        self.signal = signal
        self.blocks = blocks

    def pieces(self) -> Iterator[Block]:
        return iter(self.blocks)

    def decode(self, raw: Block) -> Block:
        return raw


# ------------------------------------------------------------------------------------------ models


def model(path: Path, layers: str, taps: int, *, axes: int = 1) -> str:
    """A network of two layers of three channels inside, as a step."""
    random = np.random.default_rng(9)
    size = (taps,) * axes
    tensors = {
        "0.weight": random.normal(size=(3, 1, *size)),
        "0.bias": random.normal(size=3),
        "2.weight": random.normal(size=(1, 3, *size)),
    }
    path.write_bytes(encode_weights(tensors, {"layers": layers}))
    return f"model:{path}"


@pytest.mark.parametrize(
    "layers",
    [
        "conv | relu | conv",
        "conv:padding=same | relu | conv:padding=same",
        "conv:padding=1,padding_mode=circular | tanh | conv:padding=1,padding_mode=reflect",
    ],
)
def test_a_residual_network(tmp_path: Path, layers: str) -> None:
    """`x - model` is the signal less what the network makes of it, with any padding."""
    step = model(tmp_path / "net.safetensors", layers, 3)
    x = WALK[:50, None]
    for edge in EDGES:
        if edge in ("shrink", "missing"):
            continue
        for align in get_args(Align):
            if align == "causal" and "circular" in layers:
                continue
            alone = filtered(plan_of(step, x, ARRAY, edge=edge, align=align), x)
            plan = plan_of(f"x - {step}", x, ARRAY, edge=edge, align=align)
            y = filtered(plan, x)
            assert y.shape == (*plan.result.shape, 1)
            lost = len(x) - len(alone)
            first = lost if align == "causal" else lost // 2
            np.testing.assert_allclose(y, x[first : first + len(y)] - alone, atol=1e-12)
            for cuts in ((3, 4, 20), tuple(range(50))):
                np.testing.assert_allclose(filtered(plan, x, cuts), y, atol=1e-12)


def test_a_residual_network_that_pools_and_makes_as_many_samples_again(tmp_path: Path) -> None:
    """A pool drops an incomplete window, so that only a signal of whole windows keeps its length."""
    weights = np.array([0.5, 2.0, -1.0])
    tensors = {"1.weight": weights[None, None], "1.bias": np.array([0.25])}
    path = tmp_path / "net.safetensors"
    path.write_bytes(
        encode_weights(tensors, {"layers": "max_pool:2 | conv:padding=1 | upsample:2"})
    )
    x = WALK[:50, None]
    pooled = x[:, 0].reshape(-1, 2).max(axis=1)
    expected = x[:, 0] - np.repeat(np.correlate(pooled, weights, "same") + 0.25, 2)
    for edge in ("zero", "reflect", "valid"):
        plan = plan_of(f"x - model:{path}", x, ARRAY, edge=edge)
        for cuts in ((), (3, 4, 20), tuple(range(50))):
            np.testing.assert_allclose(filtered(plan, x, cuts)[:, 0], expected, atol=1e-12)
        y = apply(f"stride:1 | x - model:{path} | x * 1", x[:, 0], edge=edge)
        np.testing.assert_allclose(y, expected, atol=1e-12)
    with pytest.raises(RequestError, match="shortens the signal by 1 sample, and x keeps"):
        apply(f"x - model:{path}", x[:49, 0], edge="zero")
    unknown = Signal(medium=ARRAY, shape=(None,), channels=("x",))
    with pytest.raises(RequestError, match="shortens the signal by 1 sample, and x keeps"):
        make_plan(parse(f"x - model:{path}"), unknown, rules_for(unknown, edge="zero"))


def test_a_branch_of_another_length_is_refused(tmp_path: Path) -> None:
    layers = "conv:padding=0 | relu | conv:padding=1"
    step = model(tmp_path / "net.safetensors", layers, 3)
    x = WALK[:50, None]
    with pytest.raises(RequestError, match="shortens the signal by 2 samples, and x keeps"):
        plan_of(f"x - {step}", x, ARRAY, edge="zero")
    plan = plan_of(f"(x - {step}) | box:3", x, ARRAY, edge="valid")
    y = filtered(plan, x)
    alone = filtered(plan_of(step, x, ARRAY, edge="valid"), x)
    expected = apply("box:3", x[1:-1] - alone, edge="valid")
    np.testing.assert_allclose(y, expected, atol=1e-12)


# ---------------------------------------------------------------------------------------- pictures


def picture(text: str, x: Array, **rules: Any) -> Array:
    """An 8-bit picture with opacity through a FILTER."""
    shape = x.shape[:2]
    signal = Signal(medium=IMAGE, shape=shape, channels=tuple("RGBA"), alpha=3, full_scale=255.0)
    plan = make_plan(text, signal, rules_for(signal, text, **rules))
    y = filtered(plan, x)
    for cuts in ((5,), (3, 4, 11), tuple(range(len(x)))):
        np.testing.assert_allclose(filtered(plan, x, cuts), y, atol=1e-9)
    return y


TRANSPARENT = np.random.default_rng(4).integers(0, 256, (24, 20, 4)).astype(float)
TRANSPARENT[8:14, 5:12, 3] = 0


def test_a_linear_group_is_one_kernel_on_a_transparent_picture() -> None:
    """Colours are weighted once; taps of sum 0 keep the opacity, others filter it."""
    for group, kernel in (
        ("x - kernel:1,1,1;1,1,1;1,1,1,normalize=true", "-1,-1,-1;-1,8,-1;-1,-1,-1|9"),
        ("x - kernel:0,1,0;1,0,1;0,1,0,normalize=true", "0,-1,0;-1,4,-1;0,-1,0|4"),
        ("x - kernel:1,2;3,-1,normalize=true", "4,-2;-3,1|5"),
        ("x + 2 * (x - kernel:0,1,0;1,0,1;0,1,0,normalize=true)", "0,-1,0;-1,6,-1;0,-1,0|2"),
    ):
        taps, divisor = kernel.split("|")
        rows = [[float(tap) / float(divisor) for tap in row.split(",")] for row in taps.split(";")]
        alone = "kernel:" + ";".join(",".join(map(repr, row)) for row in rows)
        np.testing.assert_allclose(
            picture(group, TRANSPARENT), picture(alone, TRANSPARENT), atol=1e-9
        )


def test_a_factor_and_a_constant_change_the_colours_alone() -> None:
    y = picture("0.5 * x + 20", TRANSPARENT)
    seen = TRANSPARENT[..., 3] > 0
    np.testing.assert_allclose(y[seen][:, :3], TRANSPARENT[seen][:, :3] / 2 + 20, atol=1e-9)
    np.testing.assert_allclose(y[..., 3], TRANSPARENT[..., 3], atol=1e-9)
    minus = picture("box:3 - 2 * x", TRANSPARENT)
    np.testing.assert_allclose(minus, _minus(TRANSPARENT), atol=1e-9)


def _minus(x: Array) -> Array:
    """2 x - mean, weighted by the opacity, with the sign of the colours changed."""
    weighted = x * x[..., 3:]
    weighted[..., 3] = x[..., 3]
    mean = np.stack([ndimage.uniform_filter(weighted[..., c], 3, mode="nearest") for c in range(4)])
    y = 2 * weighted - np.moveaxis(mean, 0, -1)
    opacity = y[..., 3:]
    colours = np.divide(y, opacity, out=np.zeros_like(y), where=opacity > 255e-6)
    colours *= -1
    colours[..., 3] = y[..., 3]
    return colours


def test_other_groups_keep_the_opacity() -> None:
    for text in ("(x - box:3) / (std:3 + 1)", "x * x / 255", "max_pool:3,stride=1 - x"):
        y = picture(text, TRANSPARENT)
        np.testing.assert_array_equal(y[..., 3], TRANSPARENT[..., 3])
    opaque = TRANSPARENT.copy()
    opaque[..., 3] = 255
    y = picture("(x - box:3) / (box:5 + 1)", opaque)[..., :3]
    for c in range(3):
        x = opaque[..., c]
        mean, wide = (ndimage.uniform_filter(x, n, mode="nearest") for n in (3, 5))
        np.testing.assert_allclose(y[..., c], (x - mean) / (wide + 1), atol=1e-9)
    with pytest.raises(RequestError, match="no common opacity"):
        picture("x & box:3", TRANSPARENT)


def test_local_contrast_is_the_deviation_in_deviations() -> None:
    x = np.random.default_rng(8).uniform(0, 255, (30, 30))
    signal = Signal(medium=IMAGE, shape=(30, 30), channels=("grey",), full_scale=255.0)
    plan = make_plan("local_contrast:5", signal, rules_for(signal))
    y = filtered(plan, x[..., None])[2:-2, 2:-2, 0]
    windows = np.lib.stride_tricks.sliding_window_view(x, (5, 5))
    deviation = windows.std(axis=(2, 3), ddof=1)
    expected = 127.5 + 42.5 * (x[2:-2, 2:-2] - windows.mean(axis=(2, 3))) / (deviation + 1)
    np.testing.assert_allclose(y, expected, atol=1e-9)


# ------------------------------------------------------------------------------------------- sound


def test_linear_branches_are_one_convolution_where_that_is_the_same() -> None:
    """The answer does not depend on whether a gap forbids to fold the branches."""
    x = np.random.default_rng(5).normal(size=(4000, 1))
    for text in ("x - lowpass:0.1", "gaussian:2 - gaussian:9 / 2", "2 * (x - box:3 | gain:3)"):
        for edge in ("zero", "reflect"):
            plan = plan_of(text, x, ARRAY, edge=edge)
            with_gap = x.copy()
            with_gap[2000] = np.nan
            far = filtered(plan, with_gap)
            y = filtered(plan, x)
            reach = plan.chain.reach[0]
            np.testing.assert_allclose(
                y[: 2000 - reach.after], far[: 2000 - reach.after], atol=1e-12
            )
            blocks = filtered(plan, with_gap, (1, 700, 1999, 2000, 2001, 2100, 3500))
            np.testing.assert_allclose(blocks, far, atol=1e-12)


def test_a_group_within_a_group_holds_what_came_before_its_windows() -> None:
    """Windows of 7 samples are 50 apart, and each gap begins behind one and ends in the next."""
    x = np.arange(1000.0)[:, None] ** 2 % 97
    for first in range(154, 1000, 150):
        x[first : first + 46] = np.nan
    inner = "((x + savgol:{}) | stride:50)"
    text = f"{inner.format('5,2')} + {inner.format('7,2')}"
    plan = plan_of(text, x, ARRAY)
    # The branches are sums of steps that `naive` knows: x[50 k] twice, and what two kernels give.
    filled = x[:, 0].copy()
    for place in np.flatnonzero(np.isnan(filled)):
        filled[place] = filled[place - 1]
    smooth = sum(np.convolve(filled, savgol_coeffs(k, 2), "same") for k in (5, 7))
    expected = (2 * filled + smooth)[::50]
    for cuts in ((), tuple(range(50, 1000, 50)), tuple(range(100, 1000, 100))):
        y = filtered(plan, x, cuts)[:, 0]
        np.testing.assert_allclose(y[1:], expected[1:], atol=1e-9)


@pytest.mark.parametrize(
    "branches",
    [
        ("resample:8k", "resample:8k | lowpass:1k"),
        ("x", "downsample:2 | upsample:2"),
        ("resample:12k | resample:8k", "resample:8k"),
        ("downsample:3", "lowpass:1k | stride:3"),
        ("downsample:2 | x - box:3", "downsample:2 | box:2"),
    ],
    ids=" with ".join,
)
@pytest.mark.parametrize("align", ["center", "causal"])
def test_branches_that_change_the_rate_alike(branches: tuple[str, str], align: Align) -> None:
    for length in (400, 401, 7):
        x = np.random.default_rng(length).normal(size=(length, 1))
        signal = Signal(medium=AUDIO, shape=(length,), channels=("mono",), rate=22050.0)
        alone = []
        for text in branches:
            plan = make_plan(text, signal, rules_for(signal, edge="edge", align=align))
            alone.append(filtered(plan, x))
        text = f"({branches[0]}) - ({branches[1]})"
        plan = make_plan(text, signal, rules_for(signal, edge="edge", align=align))
        y = filtered(plan, x)
        assert y.shape == (*plan.result.shape, 1)
        np.testing.assert_allclose(y, alone[0][: len(y)] - alone[1][: len(y)], atol=1e-11)
        for cuts in ((1, 2, 6), tuple(range(0, length, 3))):
            np.testing.assert_allclose(filtered(plan, x, cuts), y, atol=1e-11)


def test_stored_numbers_of_a_sound_are_samples() -> None:
    stored: Any = np.random.default_rng(5).integers(-(2**15), 2**15, (500, 2)).astype(np.int16)
    x: Any = stored / 2**15
    signal = Signal(medium=AUDIO, shape=(500,), channels=("left", "right"), rate=8000.0)
    for text in ("x - box:5", "x * box:3", "(x - box:3) / (2 + x)", "x & box:3", "x"):
        plan = make_plan(text, signal, rules_for(signal))
        np.testing.assert_allclose(filtered(plan, stored), filtered(plan, x), atol=1e-12)


# ------------------------------------------------------------------------------------------ words

SOUND = Signal(medium=AUDIO, shape=(8000,), channels=("left", "right"), rate=8000.0)
REFUSED = [
    # filter, a part of the message, the caret's column, a part of the hint
    ("x - lowpas:1k", "unknown step 'lowpas'", 4, "did you mean lowpass:1k?"),
    ("x + (abs | box:0)", "at least 1 sample", 15, "box:5"),
    ("box:3 -box:5", "expected a number, got '3 -box:5'", 6, "between spaces"),
    ("box:3- box:5", "expected a number, got '3- box:5'", 5, "between spaces"),
    ("box:3-box:5", "expected a number, got '3-box:5'", 5, "between spaces"),
    ("x-box:5", "unknown step 'x-box'", 1, "between spaces"),
    ("x*2", "expected | or the end, got '*'", 1, "between spaces"),
    ("2*x", "expected a number, got '2*x'", 0, "between spaces"),
    ("(x - box:3)/box:3", "expected | or the end, got '/'", 11, "between spaces"),
    ("x- box:3", "expected | or the end, got 'b'", 3, "between spaces"),
    ("box 3", "expected | or the end, got '3'", 4, "follow a colon"),
    ("box(3)", "expected | or the end, got '('", 3, "follow a colon"),
    ("x -", "missing after the -", 2, None),
    ("x - | abs", "expected the name of a step, got '|'", 4, None),
    ("x + * abs", "expected the name of a step, got '*'", 4, None),
    ("(abs", "not closed", 0, None),
    ("(abs | box:3", "not closed", 0, None),
    ("abs)", "closes no parenthesis", 3, None),
    ("box:3)", "closes no parenthesis", 5, None),
    ("()", "expected the name of a step, got ')'", 1, None),
    ("2", "expected the name of a step, got '2'", 0, None),
    ("2 + 3", "numbers alone", 0, "2 * x"),
    ("x & 2", "numbers alone", 0, "2 * x"),
    ("(2 | abs)", "numbers alone", 1, "2 * x"),
    ("x / 0", "division by 0", 4, None),
    ("x / (2 - 2)", "division by 0", 4, None),
    ("1/0 * x", "a division by 0", 0, None),
    ("2kHz * x", "expected a factor", 0, None),
    ("x - adaptive_avg_pool:4", "gives 4 outputs for the whole signal", 4, "global_avg_pool"),
    ("x - (abs | adaptive_max_pool:2)", "2 outputs for the whole signal", 11, "before or after"),
    ("x - downsample:4", "1 output for every 4 samples, and x gives 1", 4, "the rate"),
    ("resample:4k - x", "and resample:4k gives 1 output for every 2", 14, "the rate"),
    ("avg_pool:4 - stride:4", "the samples 0, 4, 8", 13, None),
    ("branches", "no step of its own", 0, "x - gaussian:3"),
    ("(" * 20 + "x" + ")" * 20, "more than 16 parentheses", 16, None),
    ("x + " * 300 + "x", "more than 200 operators", None, None),
    (" | ".join(["x & abs"] * 40), "these branches make 8,192 outputs; at most 4,096", None, "&"),
    ("zscore:0", "at least 1 sample", 7, "zscore:5"),
    ("unsharp:1", "unsharp needs AMOUNT", 0, "unsharp:2,0.5"),
    ("local_contrast", "picture", 0, None),
    ("@nowhere", "no recipe 'nowhere'", 0, "nowhere.conv"),
    ("x - @nowhere", "no recipe 'nowhere'", 4, "nowhere.conv"),
    ("x - @", "after the @", 4, None),
]


@pytest.mark.parametrize(("text", "message", "column", "hint"), REFUSED)
def test_refused(
    text: str, message: str, column: int | None, hint: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVCLI_RECIPES", "/nowhere")
    with pytest.raises(ConvcliError) as caught:
        make_plan(text, SOUND, rules_for(SOUND, text))
    error = caught.value
    assert error.exit_code == 2
    assert message in error.message
    line, mark = error.excerpt
    assert line.removeprefix("...").removesuffix("...") in text
    if len(text) <= LONGEST_SHOWN:
        assert line == text
    if column is not None:
        assert mark.index("^") == column
    if hint is not None:
        assert hint in (error.hint or "")


TOKENS = st.sampled_from(
    ["x", "box:3", "abs", "(", ")", " + ", " - ", " * ", " / ", " & ", " | ", "2", "1/2", " ", "-"]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(TOKENS, max_size=14).map("".join))
def test_any_tokens_are_read_or_refused(text: str) -> None:
    """What is refused has a caret in the text; what is read is a plan that runs."""
    x = WALK[:9, None]
    plan = fault = None
    try:
        plan = plan_of(text, x, ARRAY)
    except RequestError as error:
        fault = error
    if fault is not None and text.strip():
        assert fault.excerpt[0] == text
        assert len(fault.excerpt[1]) <= len(text) + 1
    if plan is None:
        return
    y = filtered(plan, x)
    assert y.shape == (9, len(plan.result.channels))
    again = plan_of(plan.filter, x, ARRAY)
    np.testing.assert_array_equal(filtered(again, x), y)


def test_values_may_hold_what_looks_like_an_operator() -> None:
    for text, value in (
        ("gain:-6dB", "-6dB"),
        ("kernel:1e-3, -1", "1e-3"),
        ("ema:alpha=1/14", "1/14"),
        ('ir:"a - b.wav"', "a - b.wav"),
        ("kernel:@taps (1).csv", "@taps (1).csv"),
        ("lowpass:3k, width=200", "3k"),
    ):
        (call,) = parse(text)
        assert call.arguments[0].text == value
        (group,) = parse(f"x - ({text} | abs) * 2")
        assert group.group is not None
        first = group.group.branches[1].calls[0]
        assert (first.text, first.arguments[0].text) == (text, value)


def test_a_branch_that_is_written_twice_is_computed_once() -> None:
    (call,) = parse("sma:20 + 2 * std:20 & sma:20 - 2 * std:20")
    assert call.group is not None
    assert [branch.text for branch in call.group.branches] == ["sma:20", "std:20"]


# ---------------------------------------------------------------------------------------- recipes


def test_recipes_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVCLI_RECIPES", str(tmp_path))
    (tmp_path / "detail.conv").write_text("# what is fine\nx - box:3\n")
    (tmp_path / "twice.conv").write_text("(\n  @detail +\n  @detail\n)\nabs\n")
    x = WALK[:40]
    detail = x - apply("box:3", x)
    np.testing.assert_allclose(apply("@detail", x), detail, atol=1e-12)
    np.testing.assert_allclose(apply("@detail | gain:2", x), 2 * detail, atol=1e-12)
    np.testing.assert_allclose(apply("x - @detail", x), x - detail, atol=1e-12)
    np.testing.assert_allclose(apply("@twice", x), 2 * np.abs(detail), atol=1e-12)
    with pytest.raises(RequestError, match="no recipe 'other'") as caught:
        apply("@other", x)
    assert caught.value.hint == f"{tmp_path} holds detail, twice"


def test_recipes_do_not_call_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVCLI_RECIPES", str(tmp_path))
    (tmp_path / "a.conv").write_text("box:3\n@b\n")
    (tmp_path / "b.conv").write_text("x - @a\n")
    with pytest.raises(RequestError, match="calls itself") as caught:
        apply("@a", WALK)
    assert caught.value.excerpt == ("x - @a", "    ^")


def test_recipes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVCLI_RECIPES", str(tmp_path))
    for number in range(12):
        twice = f"@r{number + 1} + (@r{number + 1} | abs)\n"
        (tmp_path / f"r{number}.conv").write_text(twice if number < 11 else "box:3\n")
    with pytest.raises(RequestError, match="too often"):
        apply("@r0", WALK)


def test_no_name_leads_out_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not a plain name is a path, as a shell would read it, and never a name."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    (tmp_path / "secret.conv").write_text("box:3\n")
    monkeypatch.setenv("CONVCLI_RECIPES", str(folder))
    monkeypatch.chdir(folder)
    for word in ("../secret", "..", ".", "a/../../secret", "sub/../secret"):
        with pytest.raises(ConvcliError, match="cannot be read"):
            apply(f"@{word}", WALK)


def test_what_the_program_says_of_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVCLI_RECIPES", str(tmp_path))
    (tmp_path / "detail.conv").write_text("x - box:3\n")
    listed = done("filters").text
    assert "= ema:span=FAST - ema:span=SLOW\n" in listed
    assert listed.endswith(f"recipes in {tmp_path}:\n  @detail\n")
    page = done("filters", "macd").text
    assert "stands for: ema:span=FAST - ema:span=SLOW" in page
    assert "| ema:span=9" in page


# ------------------------------------------------------------------------------------ the program


def test_taps_and_response_of_a_linear_group(tmp_path: Path) -> None:
    page = done("filters", "x - box:3").text
    assert "taps            3: -1, 2, -1 (/ 3)\n" in page
    assert "-3 dB at" in page
    path = tmp_path / "taps.csv"
    done("filters", "(gaussian:1 - gaussian:2) * 2 | box:3", "--export", path)
    one, two = (apply(f"gaussian:{sigma}", np.eye(1, 41, 20)[0]) for sigma in (1, 2))
    expected = np.convolve(2 * (one - two), np.ones(3) / 3)[12:-12]
    np.testing.assert_allclose(np.loadtxt(path), expected, atol=1e-15)
    told = refused(2, "filters", "x * x | box:3", "--export", tmp_path / "other.csv")
    assert "x * x is not a convolution" in told


def test_branches_on_a_table() -> None:
    table = SAMPLES / "stocks.csv"
    frame = pd.read_csv(table)
    made = done("csv", "(x - sma:5) / std:5", table, "-c", "price", "--by", "symbol", "--append")
    y = pd.read_csv(io.BytesIO(made.out))
    assert list(y.columns)[-1] == "price_x-sma5_std5"
    prices = frame.groupby("symbol")["price"]
    mean = prices.transform(lambda x: x.rolling(5).mean())
    deviation = prices.transform(lambda x: x.rolling(5).std())
    full = mean.notna()
    expected = ((frame["price"] - mean) / deviation)[full]
    np.testing.assert_allclose(y.iloc[:, -1][full], expected, atol=1e-9)
    bands = done("csv", "bollinger:5,2", table, "-c", "price", "--by", "symbol")
    assert bands.text.startswith("symbol,date,upper,lower\n")


def test_a_group_is_causal_in_a_table() -> None:
    table = SAMPLES / "vix.csv"
    done("csv", "(x - sma:20) / std:20", table, "-c", "close", "--causal-check")
    told = refused(1, "csv", "x - gaussian:3", table, "--align", "center", "--fail-on", "lookahead")
    assert "looks 12 rows ahead" in told
    dry = done("csv", "macd", table, "-c", "close", "--dry-run")
    assert "macd: taps 478" in dry.text


def test_explain_shows_the_one_kernel_of_a_group() -> None:
    page = done("explain", "1,2,3,4", "x - box:3", "--matrix").text
    assert "kernel   -1, 2, -1" in page
    assert "result  0, 0, 0, 1.66667" in page
    assert "0.666667  -0.333333" in page
    assert "result  1, 1, 1, 1.71429" in done("explain", "1,2,3,4", "x / box:3").text


def test_explain_knows_where_the_signal_of_a_padded_branch_ends(tmp_path: Path) -> None:
    layers = "conv:padding=1 | relu | conv:padding=1"
    step = model(tmp_path / "net.safetensors", layers, 3)
    facts = explain(f"x - {step}", WALK[:6])
    np.testing.assert_allclose(facts.stages[0].outputs, facts.result, atol=1e-12)


def test_a_filter_does_not_begin_with_a_minus() -> None:
    table = SAMPLES / "vix.csv"
    assert "'(-1 * x)'" in refused(2, "csv", "-1 * x", table)
    assert done("csv", "(-1 * x)", table, "-c", "close").text.splitlines()[1].endswith(",-30.04")


def test_a_sound_and_a_picture(tmp_path: Path) -> None:
    import soundfile
    from pyvips import Image

    y = tmp_path / "y.wav"
    done("audio", "x - lowpass:1k", SAMPLES / "hello.wav", "-o", y)
    x, rate = soundfile.read(SAMPLES / "hello.wav", always_2d=True)
    expected = x[:, 0] - apply("lowpass:1k", x[:, 0], rate=rate)
    np.testing.assert_allclose(soundfile.read(y)[0], expected, atol=2**-15)
    told = refused(3, "audio", "x / (x - x)", SAMPLES / "hello.wav", "-o", tmp_path / "z.wav")
    assert "not a number" in told
    done("audio", "lowpass:1k & x - lowpass:1k", SAMPLES / "hello.wav", "-o", tmp_path / "two.wav")
    assert soundfile.info(tmp_path / "two.wav").channels == 2
    sharp = tmp_path / "sharp.png"
    done("image", "unsharp:2,0.8", SAMPLES / "cat.png", "-o", sharp)
    pixels = Image.new_from_file(str(SAMPLES / "cat.png")).numpy().astype(float)
    smooth = np.stack(
        [ndimage.gaussian_filter(pixels[..., c], 2, mode="nearest") for c in range(3)]
    )
    expected = pixels + 0.8 * (pixels - np.moveaxis(smooth, 0, -1))
    made = Image.new_from_file(str(sharp)).numpy()
    wrong = np.abs(made - np.clip(np.rint(expected), 0, 255))
    assert wrong.max() <= 1
    assert np.count_nonzero(wrong) < 10


def test_a_branch_of_one_channel_stands_beside_one_of_several() -> None:
    x = np.random.default_rng(12).normal(size=(9, 3))
    middle = x.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(apply("x - mono", x, rate=8000), x - middle, atol=1e-15)
    np.testing.assert_allclose(apply("mono - x", x, rate=8000), middle - x, atol=1e-15)


@pytest.mark.parametrize(
    "text", ["x - 0.5 * mono", "x * (mono | gain:0.01)", "100 - 0.1 * mono + x"]
)
def test_one_grey_branch_goes_with_colours_beside_the_opacity(text: str, tmp_path: Path) -> None:
    """The colours are those of an opaque picture, and the opacity is that of the input."""
    rng = np.random.default_rng(3)
    pixels = rng.integers(60, 120, (7, 6, 4)).astype(np.uint8)
    for name, image in (("rgba", pixels), ("rgb", pixels[..., :3])):
        source = pyvips.Image.new_from_array(image, interpretation="srgb")
        source.write_to_file(tmp_path / f"{name}.png")
        done("image", "-q", text, f"{name}.png", "-o", f"{name}_out.png", cwd=tmp_path)
    colours = pyvips.Image.new_from_file(tmp_path / "rgb_out.png").numpy()
    found = pyvips.Image.new_from_file(tmp_path / "rgba_out.png").numpy()
    np.testing.assert_array_equal(found, np.dstack([colours, pixels[..., 3]]))


@pytest.mark.parametrize("text", ["mono / mix:1,1,1", "(grey | abs) - mix:1,0,0", "mono * grey"])
def test_colours_become_one_beside_the_opacity(text: str, tmp_path: Path) -> None:
    """The opacity is kept where the branches make fewer channels than they read."""
    pixels = np.random.default_rng(7).integers(1, 256, (5, 6, 4)).astype(np.uint8)
    pyvips.Image.new_from_array(pixels, interpretation="srgb").write_to_file(tmp_path / "in.png")
    done("image", "-q", text, "in.png", "-o", "out.png", cwd=tmp_path)
    found = pyvips.Image.new_from_file(tmp_path / "out.png").numpy()
    assert found.shape == (5, 6, 2)
    assert found[..., 1].tolist() == pixels[..., 3].tolist()
