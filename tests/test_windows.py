"""Statistics of sliding windows against pandas, SciPy, exact fractions and windows taken one by one."""

from __future__ import annotations

import io
import math
import warnings
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pytest
import pyvips
import scipy.ndimage
import scipy.stats
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from program import SAMPLES, Program

import convcli
from convcli.core.windows import counted, order_statistics
from convcli.designs.windows import _refuse_more
from convcli.errors import RequestError
from convcli.media.images.medium import IMAGE
from convcli.planning.plan import make_plan, rules_for
from convcli.running.arrays import Blocks, Collected, apply
from convcli.running.run import run
from convcli.signals import TABLE, Align, Edge, Missing, Signal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convcli.signals import Array

# What numpy.pad calls the edge rules.
PADDED: dict[Edge, dict[str, Any]] = {
    "shrink": {"mode": "constant", "constant_values": np.nan},
    "zero": {"mode": "constant"},
    "edge": {"mode": "edge"},
    "reflect": {"mode": "reflect"},
    "symmetric": {"mode": "symmetric"},
    "wrap": {"mode": "wrap"},
}
NDIMAGE: dict[Edge, Any] = {"zero": "constant", "edge": "nearest", "reflect": "mirror", "symmetric": "reflect", "wrap": "wrap"}  # fmt: skip


def quietly(statistic: Callable[..., Any]) -> Callable[[Array], float]:
    """A statistic of NumPy on the known samples of a window; NaN of none."""

    def known(window: Array) -> float:
        there = window[~np.isnan(window)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(statistic(there)) if there.size else math.nan

    return known


def median_deviation(window: Array) -> Any:
    return np.median(np.abs(window - np.median(window)))


# Each step without its window, and the same of one window by NumPy.
BY_NUMPY: dict[str, Callable[[Array], float]] = {
    "median": quietly(np.median),
    "quantile": quietly(lambda w: np.quantile(w, 0.3)),
    "mad": quietly(median_deviation),
    "std": quietly(lambda w: np.std(w, ddof=1)),
    "var": quietly(lambda w: np.var(w, ddof=1)),
    "rms": quietly(lambda w: np.sqrt(np.mean(np.square(w)))),
    "min": quietly(np.min),
    "max": quietly(np.max),
}


def quietly_ranked(window: Array, own: float) -> float:
    ranks = scipy.stats.rankdata(window)[window == own]
    return float(ranks[0]) if ranks.size else math.nan


# The arguments that follow the window.
MORE = {"quantile": ",0.3", "hampel": ",2"}
# Those that compare the sample of the output with its window.
OF_OWN: dict[str, Callable[[Any, float], float]] = {
    "rank": quietly_ranked,
    "hampel": lambda w, x: (
        x if abs(x - np.median(w)) <= 2 * 1.4826 * median_deviation(w) else float(np.median(w))
    ),
}
NAMES = (*BY_NUMPY, *OF_OWN)


def one_by_one(
    name: str, x: Array, size: tuple[int, ...], *, edge: Edge, align: Align, missing: Missing
) -> Array:
    """Each window of `x`, (n,) or (rows, columns), taken by itself."""
    after = tuple((n - 1) // 2 if align == "center" else 0 for n in size)
    margins = [(n - 1 - a, a) for n, a in zip(size, after, strict=True)]
    padded = np.pad(x, margins, **PADDED[edge])
    y = np.empty(x.shape)
    for k in np.ndindex(*x.shape):
        window = padded[tuple(slice(i, i + n) for i, n in zip(k, size, strict=True))]
        known = window[~np.isnan(window)]
        if name in BY_NUMPY:
            y[k] = BY_NUMPY[name](window.ravel())
        else:
            y[k] = OF_OWN[name](known, float(x[k])) if known.size else np.nan
        if missing == "propagate" and np.isnan(window).any():
            y[k] = np.nan
        if missing == "keep" and np.isnan(x[k]):
            y[k] = np.nan
    return y


def noise(shape: tuple[int, ...], gaps: float = 0.0, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(10, 3, shape), 1)
    x[rng.random(shape) < gaps] = np.nan
    return x


# ------------------------------------------------------------------------------- oracles: one by one


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("edge", PADDED)
@pytest.mark.parametrize("align", ["center", "causal"])
def test_windows_of_a_series(name: str, edge: Edge, align: Align) -> None:
    rules: tuple[Missing, ...] = ("keep", "fill", "propagate")
    for turn, n in enumerate((1, 2, 5, 8, 40)):
        if (name, n) in {("std", 1), ("var", 1)}:
            continue
        for missing in rules if n == 5 else rules[turn % 3 :][:1]:
            x = noise((50,), gaps=0.2)
            y = apply(f"{name}:{n}{MORE.get(name, '')}", x, edge=edge, align=align, missing=missing)
            truth = one_by_one(name, x, (n,), edge=edge, align=align, missing=missing)
            np.testing.assert_allclose(y, truth, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("edge", PADDED)
def test_windows_of_a_plane(name: str, edge: Edge) -> None:
    for text, size in (("3", (3, 3)), ("2x5", (2, 5)), ("9x1", (9, 1))):
        for gaps in (0.0, 0.2):
            x = noise((12, 11), gaps)
            y = apply(
                f"{name}:{text}{MORE.get(name, '')}",
                x,
                axes=2,
                edge=edge,
                align="center",
                missing="fill",
            )
            truth = one_by_one(name, x, size, edge=edge, align="center", missing="fill")
            np.testing.assert_allclose(y, truth, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["quantile", "rank", "mad", "hampel"])
def test_long_windows_are_those_that_are_sorted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    values = rng.choice([0.0, -0.0, 1.5, np.inf, -np.inf, np.nan, -2.0, 7.25, 1e300], (3, 300))
    text = f"{name}:70{MORE.get(name, '')}"
    plane = noise((20, 30), gaps=0.2)
    limits = (
        "MOST_SORTED",
        "MOST_SORTED_FOR_SEARCHES",
        "MOST_PIXELS_SORTED",
        "MOST_PIXELS_SORTED_FOR_SEARCHES",
    )
    for limit in limits:
        monkeypatch.setattr(order_statistics, limit, 1 << 20)
    series = [apply(text, x, missing="fill", edge="shrink") for x in values]
    planes = apply(f"{name}:9x8{MORE.get(name, '')}", plane, axes=2, missing="fill")
    strides = apply(text + ",stride=7", values[0])
    for limit in limits:
        monkeypatch.setattr(order_statistics, limit, 1)
    monkeypatch.setattr(order_statistics, "LOOKED_UP", 16)
    for x, truth in zip(values, series, strict=True):
        np.testing.assert_array_equal(apply(text, x, missing="fill", edge="shrink"), truth)
    found = apply(f"{name}:9x8{MORE.get(name, '')}", plane, axes=2, missing="fill")
    np.testing.assert_array_equal(found, planes)
    np.testing.assert_array_equal(apply(text + ",stride=7", values[0]), strides)


@pytest.mark.parametrize("levels", [1, 2, 300, 60_000])
@pytest.mark.parametrize("gaps", [0, 0.4])
def test_large_windows_of_a_picture_are_counted(
    levels: int, gaps: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is that of the sorted samples, whether values have buckets of their own or not."""
    rng = np.random.default_rng(levels)
    x = rng.integers(0, levels, (23, 31)).astype(float)
    x[:, 20:] = 7.0
    x[rng.random(x.shape) < gaps] = np.nan
    texts = ("median:21x20", "quantile:24,0.3", "rank:21", "mad:9x8", "median:21,stride=3")
    monkeypatch.setattr(order_statistics, "MOST_PIXELS_SORTED", 10_000)
    sorted_one_by_one = [apply(text, x, axes=2, edge="edge") for text in texts]
    monkeypatch.setattr(order_statistics, "MOST_PIXELS_SORTED", 1)
    monkeypatch.setattr(order_statistics, "MOST_PIXELS_SORTED_FOR_SEARCHES", 1)
    for text, truth in zip(texts, sorted_one_by_one, strict=True):
        np.testing.assert_array_equal(apply(text, x, axes=2, edge="edge"), truth, text)
    # Counts of more pixels than float32 holds whole numbers.
    monkeypatch.setattr(counted, "LARGEST_WHOLE", 100)
    found = apply(texts[0], x, axes=2, edge="edge")
    np.testing.assert_array_equal(found, sorted_one_by_one[0])


def test_medians_of_16_bits_are_those_of_scipy() -> None:
    from scipy.ndimage import median_filter, percentile_filter

    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[:60, :130]
    x = 20_000 + 15_000 * np.sin(columns / 30) * np.cos(rows / 20) + rng.normal(0, 800, (60, 130))
    x = x.astype(np.uint16)
    found = apply("median:25x21", x, axes=2, edge="edge")
    np.testing.assert_array_equal(found, median_filter(x, (25, 21), mode="nearest"))
    found = apply("quantile:21,0.25", x, axes=2, edge="symmetric")
    # A quarter of 440 steps is a whole number: no two samples are interpolated.
    rank = percentile_filter(x, 25, (21, 21), mode="reflect")
    np.testing.assert_array_equal(found, rank)


@pytest.mark.parametrize("edge", ["edge", "reflect", "wrap"])
def test_a_window_larger_than_the_picture(edge: Literal["edge", "reflect", "wrap"]) -> None:
    x = np.random.default_rng(3).integers(0, 256, (6, 7), np.uint8).astype(float)
    wide = np.pad(x, 40, mode=edge)
    windows = np.lib.stride_tricks.sliding_window_view(wide, (81, 81))
    wanted = np.median(windows, axis=(2, 3))
    np.testing.assert_array_equal(apply("median:81", x, axes=2, edge=edge), wanted)


@pytest.mark.parametrize("name", NAMES)
def test_a_stride_keeps_every_so_many_outputs(name: str) -> None:
    x = noise((60,), gaps=0.1)
    more = MORE.get(name, "")
    for align in ("center", "causal"):
        every = apply(f"{name}:7{more}", x, align=align)
        np.testing.assert_array_equal(apply(f"{name}:7{more},stride=4", x, align=align), every[::4])
    plane = noise((20, 21))
    every = apply(f"{name}:5x3{more}", plane, axes=2)
    some = apply(f"{name}:5x3{more},stride=2x3", plane, axes=2)
    np.testing.assert_array_equal(some, every[::2, ::3])


def test_valid_windows_are_complete() -> None:
    x = noise((30,))
    for name in NAMES:
        text = f"{name}:7{MORE.get(name, '')}"
        y = apply(text, x, edge="valid")
        np.testing.assert_array_equal(y, apply(text, x)[3:-3])


def test_pools_of_a_series() -> None:
    rows = pd.date_range("2024-01-01", periods=70, freq="D")
    x = pd.Series(noise((70,), gaps=0.4), index=rows)
    x.iloc[14:21] = np.nan
    bins = x.resample("7D")
    for name in ("first", "last", "median", "min", "max"):
        truth = getattr(bins, name)()
        np.testing.assert_array_equal(apply(f"{name}_pool:7", x), truth)
        alone = apply(f"{name}_pool:7", x, missing="propagate")
        np.testing.assert_array_equal(np.isnan(alone), bins.count() < 7)


def test_pools_of_a_plane() -> None:
    x = noise((12, 15), gaps=0.5)
    for name, place in (("first", 0), ("last", -1)):
        for size, stride in (((3, 5), (3, 5)), ((4, 3), (2, 4)), ((2, 2), (1, 1))):
            y = apply(f"{name}_pool:{size[0]}x{size[1]},stride={stride[0]}x{stride[1]}", x, axes=2, edge="valid")  # fmt: skip
            for k in np.ndindex(*y.shape):
                begin = [i * s for i, s in zip(k, stride, strict=True)]
                window = x[begin[0] : begin[0] + size[0], begin[1] : begin[1] + size[1]].ravel()
                known = window[~np.isnan(window)]
                np.testing.assert_equal(y[k], known[place] if known.size else np.nan)


# -------------------------------------------------------------------------- oracles: pandas and SciPy


@pytest.mark.parametrize("name", ["median", "quantile", "rank", "std", "var", "sum", "min", "max"])
def test_tables_roll_as_in_pandas(name: str) -> None:
    for n in (2, 5, 20, 200):
        for gaps in (0.0, 0.15):
            x = pd.DataFrame({"a": noise((150,), gaps), "b": noise((150,), gaps, seed=1)})
            y = apply(f"{name}:{n}{MORE.get(name, '')}", x, missing="fill")
            rolling = x.rolling(n, min_periods=1)
            truth = getattr(rolling, name)(*([0.3] if name == "quantile" else []))
            np.testing.assert_allclose(y, truth, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("edge", NDIMAGE)
def test_planes_are_those_of_ndimage(edge: Edge) -> None:
    x = noise((23, 19))
    mode = NDIMAGE[edge]
    for text, size in (("3", (3, 3)), ("5", (5, 5)), ("4x3", (4, 3)), ("1x7", (1, 7))):
        # SciPy takes the upper one of two in the middle.
        if math.prod(size) % 2:
            truth = scipy.ndimage.median_filter(x, size, mode=mode)
            np.testing.assert_array_equal(apply(f"median:{text}", x, axes=2, edge=edge), truth)
        truth = scipy.ndimage.grey_erosion(x, size, mode=mode)
        np.testing.assert_array_equal(apply(f"erode:{text}", x, axes=2, edge=edge), truth)
        truth = scipy.ndimage.maximum_filter(x, size, mode=mode)
        np.testing.assert_array_equal(apply(f"dilate:{text}", x, axes=2, edge=edge), truth)
        y = apply(f"std:{text},ddof=0", x, axes=2, edge=edge)
        truth = scipy.ndimage.generic_filter(x, np.std, size, mode=mode)
        np.testing.assert_allclose(y, truth, rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------------------ exact at every length


def exact_variance(window: Array, ddof: int = 1) -> float:
    """The variance of a window in fractions."""
    known = [Fraction(float(value)) for value in window if not math.isnan(value)]
    mean = sum(known, Fraction()) / len(known)
    return float(sum((value - mean) ** 2 for value in known) / (len(known) - ddof))


@pytest.mark.parametrize("n", [2, 5, 33, 400])
def test_a_deviation_is_rounded_only_once(n: int) -> None:
    rng = np.random.default_rng(n)
    length = n + 40
    signals = {
        "a large offset": 1e9 + rng.choice([-1.0, 1.0], length),
        "cents at a large offset": 1e12 + rng.integers(0, 100, length) / 100,
        "prices": np.round(rng.normal(100, 5, length), 2),
        "any magnitudes": rng.normal(size=length) * 10.0 ** rng.integers(-140, 140, length),
        "a spike": np.where(np.arange(length) == 10, 1e15, rng.normal(0, 1e-3, length)),
        "near the largest": rng.uniform(0.5, 1, length) * 1e150,
    }
    for name, x in signals.items():
        y = apply(f"var:{n}", x, edge="valid")
        some = np.linspace(0, len(y) - 1, 6).astype(int)
        truth = [exact_variance(x[k : k + n]) for k in some]
        np.testing.assert_allclose(y[some], truth, rtol=4e-16, atol=0, err_msg=name)
        roots = apply(f"std:{n}", x, edge="valid")
        np.testing.assert_allclose(roots, np.sqrt(y), rtol=4e-16, atol=0, err_msg=name)


def test_what_pandas_loses() -> None:
    # pandas issue 18044: digits that a running sum of squares does not have.
    x = 1e9 + np.tile([-1.0, 1.0], 500)
    np.testing.assert_array_equal(apply("var:4", x, edge="valid"), 4 / 3)
    # A spike that has left the window is forgotten, and two equal samples do not deviate.
    x = np.concatenate([[0.0, 1e15], np.tile([0.001, 0.002], 20)])
    np.testing.assert_allclose(
        apply("std:2", x, edge="valid")[2:], 0.001 / math.sqrt(2), rtol=1e-15
    )
    assert not apply("std:20", np.full(60, 0.1), edge="valid").any()


def test_the_deviation_of_huge_and_tiny_numbers() -> None:
    for scale in (1e300, 1e-300, 5e-324):
        x = np.array([3.0, 4.0, 4.0, 4.0, 9.0]) * scale
        y = apply("std:2", x, edge="valid")
        np.testing.assert_allclose(y, np.array([1, 0, 0, 5]) / math.sqrt(2) * scale, rtol=1e-15)
        np.testing.assert_allclose(apply("rms:5", x, edge="valid"), scale * math.sqrt(27.6))
    assert apply("var:2", np.array([1e300, 2e300]), edge="valid") == np.inf
    x = np.array([1.0, np.inf, 1.0, 2.0])
    np.testing.assert_array_equal(apply("var:2", x, edge="valid"), [np.nan, np.nan, 0.5])
    np.testing.assert_array_equal(apply("rms:2", x, edge="valid")[:2], np.inf)


def test_too_few_samples_do_not_deviate() -> None:
    x = pd.Series([1.0, np.nan, np.nan, 4.0, 6.0])
    y = apply("std:3", x)
    np.testing.assert_allclose(y, [np.nan, np.nan, np.nan, np.nan, math.sqrt(2)])
    np.testing.assert_allclose(apply("std:3,ddof=0", x), [0, np.nan, np.nan, 0, 1])
    for text in (
        "quantile:5,1.2",
        "hampel:5,-1",
        "rank:2000000",
        "std:1",
        "var:3,ddof=3",
        "std:3,ddof=-1",
        "median:0",
        "min:99999999",
    ):
        with pytest.raises(RequestError):
            apply(text, x)


# ----------------------------------------------------------------------------------- blocks and groups


def in_blocks(text: str, x: Array, cuts: list[int], edge: Edge) -> Array:
    """A table of two columns filtered in blocks that end at `cuts`."""
    signal = Signal(medium=TABLE, shape=(len(x),), channels=("a", "b"))
    plan = make_plan(text, signal, rules_for(signal, edge=edge))
    sink = Collected()
    ends = [0, *sorted(cuts), len(x)]
    blocks = [x[a:b] for a, b in pairwise(ends)]
    run(plan, Blocks(signal, blocks), sink, threads=1)
    return np.concatenate(sink.parts)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_blocks_are_the_whole(data: st.DataObject) -> None:
    """Short and long windows, whose samples are put in order by other means."""
    name = data.draw(st.sampled_from(NAMES))
    n = data.draw(st.integers(2, 40))
    stride = data.draw(st.sampled_from(["", ",stride=3"]))
    edge: Edge = data.draw(st.sampled_from(["shrink", "reflect", "valid", "wrap"]))
    cuts = data.draw(st.lists(st.integers(0, 120), max_size=6))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = rng.normal(size=(120, 2)) * 10.0 ** rng.integers(-200, 200, (120, 2))
    x[rng.random(x.shape) < data.draw(st.sampled_from([0.0, 0.3]))] = np.nan
    text = f"{name}:{n}{MORE.get(name, '')}{stride}"
    limits = ("MOST_SORTED", "MOST_SORTED_FOR_SEARCHES")
    with pytest.MonkeyPatch.context() as patch, np.errstate(over="ignore"):
        for limit in limits:
            patch.setattr(order_statistics, limit, data.draw(st.sampled_from([1, 512])))
        whole = in_blocks(text, x, [], edge)
        np.testing.assert_array_equal(in_blocks(text, x, cuts, edge), whole)


# ------------------------------------------------------------------------------------------- pictures


def test_transparent_pixels_are_left_out() -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(0, 256, (14, 15, 4)).astype(np.float32)
    x[..., 3] = np.where(rng.random((14, 15)) < 0.4, 0, 200)
    signal = Signal(
        medium=IMAGE, shape=(14, 15), channels=("R", "G", "B", "A"), alpha=3, full_scale=255.0
    )
    is_seen = x[..., 3] > 0
    for name in NAMES:
        sink = Collected()
        run(
            make_plan(f"{name}:3{MORE.get(name, '')}", signal, rules_for(signal)),
            Blocks(signal, [x]),
            sink,
        )
        y = np.concatenate(sink.parts)
        np.testing.assert_array_equal(y[..., 3], x[..., 3])
        np.testing.assert_array_equal(y[~is_seen], x[~is_seen])
        colour = np.where(is_seen, x[..., 1], np.nan).astype(np.float64)
        found = one_by_one(name, colour, (3, 3), edge="edge", align="center", missing="fill")
        truth = np.nan_to_num(found)
        np.testing.assert_allclose(y[..., 1][is_seen], truth[is_seen], rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("name", [*NAMES, "median_pool", "first_pool", "last_pool", "max_pool"])
def test_bytes_are_filtered_as_their_numbers(name: str) -> None:
    rng = np.random.default_rng(5)
    for channels, alpha in (("Y", None), ("RGB", None), ("RGBA", 3), ("CMYKW", None)):
        x = rng.integers(0, 256, (16, 17, len(channels)), dtype=np.uint8)
        signal = Signal(
            medium=IMAGE, shape=(16, 17), channels=tuple(channels), alpha=alpha, full_scale=255.0
        )
        opacities = (np.uint8(9),) if alpha is None else (np.uint8(9), rng.integers(0, 2, (16, 17)))
        for size in ("3", "5", "4x3", "3,stride=2"):
            for opacity in opacities:
                if alpha is not None:
                    x[..., alpha] = opacity
                text, stride = (*size.split(","), "")[:2]
                more = MORE.get(name, "") + ("," + stride if stride else "")
                plan = make_plan(f"{name}:{text}{more}", signal, rules_for(signal))
                found, truth = Collected(), Collected()
                stored: Any = [x[:7], x[7:]]
                run(plan, Blocks(signal, stored), found)
                run(plan, Blocks(signal, [x.astype(np.float64)]), truth)
                y = np.concatenate(found.parts).astype(np.float64)
                np.testing.assert_allclose(y, np.concatenate(truth.parts), rtol=1e-6, atol=1e-4)


# ------------------------------------------------------------------------------------- the program


def test_the_volatility_of_each_ticker(program: Program, tmp_path: Path) -> None:
    table = SAMPLES / "stocks.csv"
    words = ("csv", "-q", "std:6", str(table), "--by", "symbol", "-c", "price", "--append")
    done = program.run(*words, cwd=tmp_path)
    assert done.code == 0, done
    found = pd.read_csv(io.BytesIO(done.out))
    rolling = pd.read_csv(table).groupby("symbol", sort=False)["price"].rolling(6, min_periods=1)
    truth = rolling.std().reset_index(level=0, drop=True).sort_index()
    np.testing.assert_allclose(found["price_std6"], truth, rtol=1e-9)


def test_a_spike_of_a_sensor(program: Program, tmp_path: Path) -> None:
    levels = b"t,level\n1,5.0\n2,\n3,5.1\n4,99.9\n5,5.2\n6,5.1\n7,5.0\n"
    done = program.run("csv", "-q", "hampel:5", "-c", "level", stdin=levels, cwd=tmp_path)
    assert done.code == 0, done
    # Known of the windows: 5 | 5 5.1 | 5 5.1 99.9 | 5.1 99.9 5.2 | 5.1 99.9 5.2 5.1 | ...
    expected = b"t,level\n1,5\n2,\n3,5.1\n4,5.1\n5,5.2\n6,5.1\n7,5\n"
    assert done.out == expected
    done = program.run("csv", "-q", "hampel:5", "--missing", "fill", stdin=levels, cwd=tmp_path)
    assert done.out.splitlines()[2] == b"2,5"


@pytest.mark.parametrize("bits", [8, 16])
def test_a_scan_without_its_specks(bits: int, program: Program, tmp_path: Path) -> None:
    dtype: Any = np.uint8 if bits == 8 else np.uint16
    x = np.random.default_rng(bits).integers(0, 1 << bits, (40, 30, 3)).astype(dtype)
    pyvips.Image.new_from_array(x).write_to_file(str(tmp_path / "scan.tif"))
    for text, size in (("median:5", 5), ("median:7", 7), ("dilate:4", 4)):
        for options in ((), ("--range", "offset"), ("--range", "abs"), ("--channels", "rgb")):
            # libvips remembers a file by its name.
            clean = f"{text.replace(':', '')}{''.join(options)}.tif"
            words = ("image", "-q", text, "scan.tif", "-o", clean, *options)
            done = program.run(*words, cwd=tmp_path)
            assert done.code == 0, done
            y = pyvips.Image.new_from_file(str(tmp_path / clean)).numpy()
            of_channel: Any = scipy.ndimage.median_filter
            if text.startswith("dilate"):
                of_channel = scipy.ndimage.maximum_filter
            truth = of_channel(x, (size, size, 1), mode="nearest").astype(np.float64)
            if "offset" in options:
                truth = np.clip(np.rint(truth + (1 << (bits - 1))), 0, (1 << bits) - 1)
            assert y.dtype == dtype
            np.testing.assert_array_equal(y, truth)


def test_the_level_of_a_sound(program: Program, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(-20000, 20000, (300, 2)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", x, 8000)
    squares = scipy.ndimage.uniform_filter(x.astype(float) ** 2, (8, 1), mode="constant")
    expected = {
        "median:5": scipy.ndimage.median_filter(x, (5, 1), mode="constant"),
        "max:4": scipy.ndimage.maximum_filter(x, (4, 1), mode="constant"),
        "rms:1ms": np.sqrt(squares),
    }
    for text, truth in expected.items():
        done = program.run("audio", "-q", text, "a.wav", "-o", "b.wav", "--force", cwd=tmp_path)
        assert done.code == 0, done
        y, rate = soundfile.read(tmp_path / "b.wav", dtype="int16")
        assert rate == 8000
        np.testing.assert_array_equal(y, np.rint(truth))


def test_the_largest_window() -> None:
    _refuse_more(6, (2, 3))
    with pytest.raises(RequestError, match="at most 5 samples, got 6"):
        _refuse_more(5, (2, 3))


@pytest.mark.parametrize("size", [(150, 151), (60, 160)])
@pytest.mark.parametrize("levels", [100, 60000])
def test_large_windows_equal_those_that_numpy_sorts(size: tuple[int, int], levels: int) -> None:
    x = np.random.default_rng(levels).integers(0, levels, (size[0] + 5, 170)).astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(x, size)
    samples = windows.reshape(*windows.shape[:2], -1)
    medians = np.median(samples, axis=2)
    distances = np.abs(samples - medians[..., None])
    for name, truth in (("median", medians), ("mad", np.median(distances, axis=2))):
        y = convcli.apply(f"{name}:{size[0]}x{size[1]}", x, axes=2, edge="valid", align="center")
        np.testing.assert_array_equal(y, truth)
