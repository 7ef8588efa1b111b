"""The engine against the slow truth of naive.py, against SciPy, and against the examples of its contract."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import naive
import numpy as np
import pandas as pd
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from convcli.core.binding import Rules
from convcli.core.convolution import fft
from convcli.core.convolution.convolve import correlate_valid
from convcli.core.convolution.convolve_2d import factor
from convcli.core.convolution.direct import direct, dot_products
from convcli.core.convolution.fft import overlap_save
from convcli.core.convolution.polyphase import PhaseTaps, polyphase, polyphase_along
from convcli.core.kernel import Kernel
from convcli.core.ops import Convolve, EachChannel
from convcli.errors import InputError
from convcli.planning.describe import chain_facts, step_facts
from convcli.planning.plan import Plan, make_plan, rules_for
from convcli.running.arrays import Blocks, Collected, apply
from convcli.running.run import RunCounts, run
from convcli.signals import ARRAY, TABLE, Block, Groups, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.core.op import LastKnown, Span
    from convcli.signals import Align, Array, Edge, Medium, Missing, Rows

EDGES: tuple[Edge, ...] = ("shrink", "zero", "edge", "reflect", "symmetric", "wrap", "valid")
ALIGNS: tuple[Align, ...] = ("center", "causal")
MISSING: tuple[Missing, ...] = ("keep", "fill", "propagate")
NAN = float("nan")


def signal_of(x: Array, medium: Medium = ARRAY, rate: float | None = None) -> Signal:
    return Signal(
        medium=medium,
        shape=x.shape[:-1],
        channels=tuple(f"c{c}" for c in range(x.shape[-1])),
        rate=rate,
    )


def planned(
    text: str,
    x: Array,
    *,
    medium: Medium = ARRAY,
    edge: Edge,
    align: Align,
    missing: Missing = "keep",
) -> Plan:
    return make_plan(text, signal_of(x, medium), Rules(edge=edge, align=align, missing=missing))


def cut(x: Array, cuts: list[int]) -> list[Array]:
    """Blocks of `x` that end at `cuts`, some of them empty."""
    ends = sorted(min(c, len(x)) for c in cuts)
    return [x[a:b] for a, b in zip([0, *ends], [*ends, len(x)], strict=True)]


def through(
    plan: Plan, blocks: list[Array], threads: int = 1, tail: int = 0
) -> tuple[Array, Rows, RunCounts]:
    sink = Collected()
    tally = run(plan, Blocks(plan.signal, blocks), sink, threads=threads, tail=tail)
    if not sink.parts:
        shape = [n or 0 for n in plan.result.shape[1:]]
        return np.empty((0, *shape, len(plan.result.channels))), np.empty(0, np.int64), tally
    return np.concatenate(sink.parts), np.concatenate(sink.rows), tally


# ---------------------------------------------------------------------------- random chains as both


@dataclass(frozen=True)
class Both:
    """One step as FILTER text and as the slow truth has it, for an alignment."""

    text: str
    align: Align
    step: naive.Step = field(repr=False)
    whole: bool = True


def _numbers(taps: list[int]) -> str:
    return ",".join(map(str, taps))


@st.composite
def convolutions_1d(draw: st.DrawFn, align: Align) -> Both:
    kind = draw(st.sampled_from(["kernel", "correlate", "box", "diff", "lag"]))
    n = draw(st.integers(1, 5))
    if kind in ("kernel", "correlate"):
        taps = draw(st.lists(st.integers(-3, 3), min_size=1, max_size=6))
        return Both(
            f"{kind}:{_numbers(taps)}",
            align,
            naive.kernel(taps, align=align, flipped=kind == "kernel"),
        )
    if kind == "box":
        step = naive.kernel([1.0] * n, align=align, flipped=True, divisor=n)
        return Both(f"box:{n}", align, step, whole=False)
    if kind == "diff":
        taps = [1] + [0] * (n - 1) + [-1]
        return Both(f"diff:{n}", align, naive.kernel(taps, align=align, flipped=True, first=0))
    taps = [0] * (n - 1) + [1]
    return Both(f"kernel:{_numbers(taps)}", align, naive.kernel(taps, align=align, flipped=True))


@st.composite
def folds_1d(draw: st.DrawFn, align: Align) -> Both:
    kind = draw(st.sampled_from(["stride", "avg", "sum", "max", "min", "abs"]))
    n, stride = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    if kind == "stride":
        return Both(
            f"stride:{n}", align, naive.kernel([1.0], align=align, flipped=True, stride=(n,))
        )
    if kind == "abs":
        return Both("abs", align, naive.Each(abs, 1))
    text = f"{kind}_pool:{n},stride={stride}"
    if kind in ("avg", "sum"):
        return Both(
            text,
            align,
            naive.mean_pool((n,), (stride,), total=kind == "sum", align=align),
            whole=kind == "sum",
        )
    return Both(
        text, align, naive.fold_pool(max if kind == "max" else min, (n,), (stride,), align=align)
    )


@st.composite
def chains_1d(draw: st.DrawFn) -> list[Both]:
    align = draw(st.sampled_from(ALIGNS))
    return draw(st.lists(convolutions_1d(align) | folds_1d(align), min_size=1, max_size=3))


@st.composite
def samples_1d(draw: st.DrawFn, *, gaps: bool) -> Array:
    n, channels = draw(st.integers(0, 24)), draw(st.integers(1, 2))
    x = np.array(
        draw(st.lists(st.integers(-9, 9), min_size=n * channels, max_size=n * channels)),
        dtype=float,
    )
    x = x.reshape(n, channels)
    if gaps and x.size:
        holes = draw(st.lists(st.integers(0, x.size - 1), max_size=x.size))
        x.flat[holes] = np.nan
    return x


cut_lists = st.lists(st.integers(0, 26), max_size=6)


def expected(chain: list[Both], x: Array, edge: Edge, missing: Missing) -> Array:
    # Steps that change nothing are dropped, which makes no difference to values that are there.
    return naive.filtered(x, [both.step for both in chain], edge=edge, missing=missing)


@settings(max_examples=250, deadline=None)
@given(
    chains_1d(), samples_1d(gaps=False), st.sampled_from(EDGES), cut_lists, st.sampled_from([1, 2])
)
def test_random_chains_are_the_slow_truth(
    chain: list[Both], x: Array, edge: Edge, cuts: list[int], threads: int
) -> None:
    text = " | ".join(both.text for both in chain)
    plan = planned(text, x, edge=edge, align=chain[0].align)
    y, _, _ = through(plan, cut(x, cuts), threads)
    truth = expected(chain, x, edge, "keep")
    assert y.shape == truth.shape
    if edge != "shrink" and all(both.whole for both in chain):
        np.testing.assert_array_equal(y, truth)
    else:
        np.testing.assert_allclose(y, truth, rtol=1e-11, atol=1e-11)


@settings(max_examples=250, deadline=None)
@given(
    chains_1d(), samples_1d(gaps=True), st.sampled_from(EDGES), st.sampled_from(MISSING), cut_lists
)
def test_missing_samples_are_the_slow_truth(
    chain: list[Both], x: Array, edge: Edge, missing: Missing, cuts: list[int]
) -> None:
    text = " | ".join(both.text for both in chain)
    plan = planned(text, x, medium=TABLE, edge=edge, align=chain[0].align, missing=missing)
    whole, _, _ = through(plan, [x])
    np.testing.assert_allclose(whole, expected(chain, x, edge, missing), rtol=1e-11, atol=1e-11)
    blocks, _, _ = through(plan, cut(x, cuts), threads=2)
    np.testing.assert_array_equal(blocks, whole)


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(ALIGNS), st.sampled_from(EDGES))
def test_random_chains_on_pictures(data: st.DataObject, align: Align, edge: Edge) -> None:
    chain = data.draw(st.lists(steps_2d(align), min_size=1, max_size=3))
    rows, columns = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    x = np.array(
        data.draw(
            st.lists(st.integers(-9, 9), min_size=rows * columns * 2, max_size=rows * columns * 2)
        )
    )
    x = x.reshape(rows, columns, 2).astype(float)
    if data.draw(st.booleans()) and edge == "shrink":
        x[data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))] = np.nan
    plan = planned(" | ".join(both.text for both in chain), x, edge=edge, align=align)
    y, _, _ = through(plan, cut(x, data.draw(cut_lists)))
    truth = expected(chain, x, edge, "keep")
    assert y.shape == truth.shape
    np.testing.assert_allclose(y, truth, rtol=1e-11, atol=1e-10)


@st.composite
def steps_2d(draw: st.DrawFn, align: Align) -> Both:
    kind = draw(st.sampled_from(["kernel", "correlate", "box", "box x", "stride", "avg", "max"]))
    n, height = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    if kind in ("kernel", "correlate"):
        # Sums above 0 or of 0 only: what holds on a picture is a rule of its own.
        taps = np.array(draw(st.lists(st.integers(0, 3), min_size=n * height, max_size=n * height)))
        taps = taps.reshape(height, n)
        text = f"{kind}:" + ";".join(_numbers(row) for row in taps.tolist())
        return Both(text, align, naive.kernel(taps, align=align, flipped=kind == "kernel"))
    if kind == "box":
        return Both(
            f"box:{n}",
            align,
            naive.kernel(np.ones((n, n)), align=align, flipped=True, divisor=n * n),
        )
    if kind == "box x":
        return Both(
            f"box:{n},axis=x",
            align,
            naive.kernel(np.ones((1, n)), align=align, flipped=True, divisor=n),
        )
    if kind == "stride":
        return Both(
            f"stride:{n}", align, naive.kernel([[1.0]], align=align, flipped=True, stride=(n, n))
        )
    if kind == "avg":
        return Both(f"avg_pool:{height}x{n}", align, naive.mean_pool((height, n)))
    return Both(f"max_pool:{height}x{n}", align, naive.fold_pool(max, (height, n)))


# ----------------------------------------------------------------------------- the contract's words


def column(text: str, x: list[float], **rules: Any) -> list[float]:
    samples = np.array(x, dtype=float)[:, None]
    y, _, _ = through(_table_plan(text, samples, **rules), [samples])
    return cast("list[float]", y[:, 0].tolist())


def _table_plan(text: str, x: Array, **rules: Any) -> Plan:
    signal = signal_of(x, TABLE)
    return make_plan(text, signal, rules_for(signal, **rules))


def test_impulse_at_4_of_9() -> None:
    x = np.zeros(9)
    x[4] = 1
    assert apply("kernel:1,2,3", x).tolist() == [0, 0, 0, 1, 2, 3, 0, 0, 0]
    assert apply("correlate:1,2,3", x).tolist() == [0, 0, 0, 3, 2, 1, 0, 0, 0]


def test_valid_examples() -> None:
    assert column("correlate:2,1", [1, 2, 3, 4, 5], edge="valid") == [4, 7, 10, 13]
    assert column("kernel:2,1", [1, 2, 3, 4, 5], edge="valid") == [5, 8, 11, 14]


def test_prices() -> None:
    prices = [10.0, 11, 12, 11, 13]
    np.testing.assert_allclose(column("sma:3", prices), [10, 10.5, 11, 34 / 3, 12], rtol=1e-15)
    assert column("ema:alpha=0.5", prices) == [10, 10.5, 11.25, 11.125, 12.0625]
    assert column("diff:1", prices)[1:] == [1, 1, -1, 2]
    assert np.isnan(column("diff:1", prices)[0])


def test_filling_a_gap() -> None:
    gap = [1, NAN, 3, 4]
    assert column("sma:3", gap, missing="fill", align="center") == [1, 2, 3.5, 3.5]
    kept = column("sma:3", gap, align="center")
    assert np.isnan(kept[1])
    assert [kept[0], *kept[2:]] == [1, 3.5, 3.5]
    with pytest.raises(InputError, match="data row 2, c0"):
        column("sma:3", gap, missing="error")


def test_edges_of_a_chain_are_not_edges_of_each_step() -> None:
    ramp = np.arange(1.0, 11)
    chained = apply("kernel:1,2,1 | kernel:1,0,-1", ramp, edge="edge")
    one_by_one = apply("kernel:1,0,-1", apply("kernel:1,2,1", ramp, edge="edge"), edge="edge")
    assert (chained[0], chained[-1], one_by_one[0], one_by_one[-1]) == (4, 4, 3, 3)


def test_downsampling_keeps_a_constant_from_the_first_sample_to_the_last() -> None:
    for n in (1, 7, 100, 1001):
        for edge in EDGES[:1] + EDGES[2:-1]:
            y = apply("downsample:4", np.full(n, 7.0), edge=edge)
            np.testing.assert_allclose(y, np.full(-(-n // 4), 7.0), rtol=1e-14)


def test_old_large_values_do_not_leak() -> None:
    x = np.full(3000, 1e-3)
    x[0] = 1e15
    y = np.array(column("sma:20", x.tolist()))
    np.testing.assert_allclose(y[20:], 1e-3, rtol=1e-14)
    y = np.array(column("sma:500", x.tolist()))
    np.testing.assert_allclose(y[500:], 1e-3, rtol=1e-13)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 20])
@pytest.mark.parametrize("edge", EDGES)
def test_lengths(n: int, edge: Edge) -> None:
    x = np.arange(float(n))
    for k in (1, 2, 5, 8):
        assert len(apply(f"kernel:{_numbers([1] * k)}", x, edge=edge)) == (
            max(0, n - k + 1) if edge == "valid" else n
        )
        assert len(apply(f"max_pool:{k}", x, edge=edge)) == (
            n // k if edge == "valid" else -(-n // k)
        )
        assert len(apply(f"stride:{k}", x, edge=edge)) == -(-n // k)


@pytest.mark.parametrize("n", range(1, 12))
def test_mirrors_and_circles_at_every_length(n: int) -> None:
    modes = {
        "edge": "edge",
        "reflect": "reflect",
        "symmetric": "symmetric",
        "wrap": "wrap",
        "zero": "constant",
    }
    x = np.arange(1.0, n + 1)
    taps = [1, -2, 4, 3, 5, 2, 9, 1]
    for edge, mode in modes.items():
        padded = np.pad(x, (4, 3), mode=cast("Any", mode))
        np.testing.assert_array_equal(
            apply(f"kernel:{_numbers(taps)}", x, edge=cast("Edge", edge)),
            np.convolve(padded, taps, "valid"),
        )


# ---------------------------------------------------------------------------------- missing samples


def test_a_held_value_comes_from_however_far_back() -> None:
    x = np.full((400, 1), np.nan)
    x[3], x[250], x[399] = 5, 7, 9
    plan = planned("kernel:2,-1", x, medium=TABLE, edge="shrink", align="causal", missing="fill")
    whole, _, _ = through(plan, [x])
    assert np.isnan(whole[:3]).all()
    np.testing.assert_array_equal(whole[3:250, 0], 5)
    assert whole[250, 0] == 9
    np.testing.assert_array_equal(whole[251:399, 0], 7)
    assert whole[399, 0] == 11
    for size in (1, 2, 3, 50):
        for threads in (1, 2):
            np.testing.assert_array_equal(
                through(plan, cut(x, list(range(0, 400, size))), threads)[0], whole
            )


def test_a_constant_with_gaps_stays_constant() -> None:
    x = np.full((60, 1), 3.0)
    x[[0, 1, 7, 8, 9, 30, 59]] = np.nan
    for text in ("sma:5", "lowpass:0.2,width=0.2", "savgol:7,2", "ema:alpha=0.3", "gaussian:2"):
        for align in ALIGNS:
            plan = planned(text, x, medium=TABLE, edge="shrink", align=align, missing="fill")
            y = through(plan, [x])[0]
            np.testing.assert_allclose(y[2:], 3.0, rtol=1e-13, err_msg=f"{text} {align}")
            kept = through(planned(text, x, medium=TABLE, edge="shrink", align=align), [x])[0]
            np.testing.assert_array_equal(np.isnan(kept), np.isnan(x))


def test_ema_is_the_recursion_over_what_is_there() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=200)
    x[[5, 6, 50]] = np.nan
    y = np.array(column("ema:alpha=0.3", x.tolist(), missing="fill"))
    held, truth = x[0], [x[0]]
    for value in x[1:]:
        held = held if np.isnan(value) else value
        truth.append(0.3 * held + 0.7 * truth[-1])
    np.testing.assert_allclose(y, truth, rtol=1e-13, atol=1e-14)


# ---------------------------------------------------------------------------------- the paths agree


@pytest.mark.parametrize("k", [1, 2, 3, 16, 129, 1000])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_paths_agree(k: int, channels: int) -> None:
    rng = np.random.default_rng(k)
    x, w = rng.normal(size=(7000, channels)), rng.normal(size=k)
    truth = direct(x, w, (1,))
    scale = np.abs(w).sum() * np.abs(x).max()
    np.testing.assert_allclose(overlap_save(x, w), truth, atol=1e-14 * scale)
    for step in (1, 2, 3, 7, 50):
        np.testing.assert_allclose(dot_products(x, w, step), truth[::step], atol=1e-14 * scale)
        product = polyphase(x, PhaseTaps.one_phase(w, step), (0, len(truth[::step])))
        np.testing.assert_allclose(product, truth[::step], atol=1e-14 * scale)
        np.testing.assert_allclose(
            correlate_valid(x, w, (step,), exact=False), truth[::step], atol=1e-14 * scale
        )


@pytest.mark.parametrize("ratio", [(1, 2), (1, 3), (1, 5), (3, 2), (7, 50), (16, 9)])
@pytest.mark.parametrize("span", [(0, 100), (5, 9), (7, 40)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pixel_rows_by_phases(
    ratio: tuple[int, int], span: tuple[int, int], dtype: type[np.floating[Any]]
) -> None:
    phases, step = ratio
    rng = np.random.default_rng(phases)
    starts = np.arange(phases) * step // phases
    taps = PhaseTaps(rng.random((phases, 9)), starts, step)
    origin = taps.origin(span[0])
    needed = taps.first_input(span[1] - 1) + taps.width - origin
    x = rng.random((4, needed, 3)).astype(dtype)
    y = polyphase_along(x, taps, span, axis=1)
    for number, k in enumerate(range(*span)):
        first = taps.first_input(k) - origin
        window = x[:, first : first + taps.width].astype(np.float64)
        truth = np.einsum("rkc,k->rc", window, taps.table[k % phases])
        np.testing.assert_allclose(y[:, number], truth, rtol=1e-5 if dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("width", [1, 2, 7, 130])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_pixel_rows_with_a_small_step(width: int, step: int) -> None:
    rng = np.random.default_rng(width)
    w = rng.random(width)
    for outputs, more in ((1, 0), (40_000, 0), (40_000, 2)):
        x = rng.random((2, (outputs - 1) * step + width + more, 1)).astype(np.float32)
        y = polyphase_along(x, PhaseTaps.one_phase(w, step), (0, outputs), axis=1)
        windows = np.lib.stride_tricks.sliding_window_view(x, width, axis=1)[:, ::step]
        np.testing.assert_allclose(y, (windows @ w)[:, :outputs], rtol=1e-4)


@pytest.mark.parametrize(
    ("n", "channels", "k"), [(70001, 2, 635), (70001, 1, 634), (9000, 6, 5000), (300, 2000, 170)]
)
@pytest.mark.parametrize("many", [0, 1 << 60], ids=["opencv", "numpy"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_both_transforms_agree_with_scipy(  # noqa: PLR0917
    n: int, channels: int, k: int, dtype: type, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fft, "MANY", many)
    rng = np.random.default_rng(k)
    x: Any = rng.normal(size=(n, channels)).astype(dtype)
    w = rng.normal(size=k)
    truth = scipy.signal.oaconvolve(x.astype(np.float64), w[::-1, None], mode="valid", axes=0)
    for step in (1, 3, 4):
        y = overlap_save(x, w, step)
        assert y.dtype == dtype
        np.testing.assert_allclose(
            y, truth[::step], atol=50 * float(np.finfo(dtype).eps) * math.sqrt(k)
        )


def test_cross_spectra_give_correlations_at_any_lags() -> None:
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(2, 3, 40))
    lags = np.array([-7, -1, 0, 3, 7])
    size = fft.transform_size((40,), (7,))
    spectra = fft.cross_spectrum(fft.spectrum(x, size), fft.spectrum(y, size))
    found = fft.at_lags(spectra, size, [lags])
    for row, a, b in zip(found, x, y, strict=True):
        truth = scipy.signal.correlate(b, a, "full", "direct")[39 + lags]
        np.testing.assert_allclose(row, truth, atol=1e-12)


def test_tiles_are_the_sum_of_their_correlations() -> None:
    rng = np.random.default_rng(9)
    planes, kernels = rng.normal(size=(2, 400, 350)), rng.normal(size=(2, 6, 9))
    both, one = fft.TileCorrelator(list(kernels)).sums(list(planes), [[(0, 0), (1, 1)], [(1, 0)]])

    def truth(plane: int, kernel: int) -> Any:
        return direct(planes[plane][..., None], kernels[kernel], (1, 1))[..., 0]

    np.testing.assert_allclose(both, truth(0, 0) + truth(1, 1), atol=1e-10)
    np.testing.assert_allclose(one, truth(1, 0), atol=1e-10)


def test_a_channel_hears_nothing_of_its_neighbour() -> None:
    rng = np.random.default_rng(4)
    x, w = rng.normal(size=(50000, 4)), rng.normal(size=635)
    x[:, 1] = 0
    x[:, 3] *= 1e-9
    y = overlap_save(x, w)
    assert not y[:, 1].any()
    alone = overlap_save(x[:, 3:], w)
    np.testing.assert_allclose(y[:, 3], alone[:, 0], atol=1e-15 * np.abs(alone).max())


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 5), (4, 1), (3, 3), (5, 2), (15, 15), (1, 200), (200, 1), (170, 3)]
)
def test_plane_paths_agree(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(220, 230, 2))
    for w in (
        rng.normal(size=shape),
        np.outer(rng.normal(size=shape[0]), rng.normal(size=shape[1])),
    ):
        truth = direct(x, w, (1, 1))
        for step in ((1, 1), (2, 3)):
            y = correlate_valid(x, w, step, exact=False)
            np.testing.assert_allclose(y, truth[:: step[0], :: step[1]], atol=1e-11)


@pytest.mark.parametrize("total", [5, 127, 128, 129, 1000])
def test_whole_numbers_times_bytes_are_exact(total: int) -> None:
    rng = np.random.default_rng(total)
    x: Any = rng.choice(np.array([0, 1, 254, 255], np.uint8), (60, 70, 3))
    for shape in ((1, 2), (3, 3), (2, 5), (4, 40), (33, 1), (9, 9)):
        dense = rng.multinomial(total, np.full(math.prod(shape), 1 / math.prod(shape))).reshape(
            shape
        )
        side = np.ones(shape[1])
        for w in (
            dense,
            -dense,
            dense * rng.choice([-1, 1], shape),
            np.outer(dense.sum(axis=1) // shape[1], side),
        ):
            y = correlate_valid(x, w.astype(np.float64), (1, 1), exact=False)
            truth = direct(x.astype(np.float64), w.astype(np.float64), (1, 1))
            # Two bytes hold 128 bytes; what they do not hold may go through an FFT.
            assert y.dtype == np.int16 or np.abs(w).sum() > 128 or max(shape) > 32
            np.testing.assert_allclose(
                y, truth, rtol=0, atol=0 if y.dtype == np.int16 else 1e-6 * total * 255
            )


@pytest.mark.parametrize(
    "text", ["box:3", "box:2000", "lowpass:0.1", "kernel:1,-1", "downsample:4"]
)
def test_inf_and_nan_do_not_spread(text: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 1))
    clean = through(planned(text, x, edge="zero", align="center"), [x])[0]
    for bad in (np.inf, np.nan):
        y_in = x.copy()
        y_in[10_000] = bad
        plan = planned(text, x, edge="zero", align="center")
        y = through(plan, [y_in])[0]
        reach = plan.chain.reach[0]
        k = np.arange(len(y)) * reach.step
        touched = (k - reach.before <= 10_000) & (k + reach.after >= 10_000)
        np.testing.assert_allclose(y[~touched], clean[~touched], atol=1e-11)


def test_factor_finds_products_and_nothing_else() -> None:
    rng = np.random.default_rng(2)
    pair = factor(np.outer([1.0, 2, 1], [1, 0, -1]))
    assert pair is not None
    np.testing.assert_array_equal(np.outer(*pair), np.outer([1.0, 2, 1], [1, 0, -1]))
    assert factor(rng.normal(size=(3, 3))) is None
    assert factor(np.zeros((2, 2))) is None


# -------------------------------------------------------------------------------------------- SciPy


@pytest.mark.parametrize("k", [1, 2, 3, 4, 7, 30])
def test_scipy_convolve(k: int) -> None:
    from scipy import signal

    rng = np.random.default_rng(k)
    x, taps = rng.normal(size=100), rng.normal(size=k)
    text = "kernel:" + ",".join(repr(float(t)) for t in taps)
    np.testing.assert_allclose(
        apply(text, x), signal.convolve(x, taps, "same", "direct"), atol=1e-12
    )
    np.testing.assert_allclose(
        apply(text, x, edge="valid"), signal.convolve(x, taps, "valid", "direct"), atol=1e-12
    )
    causal = signal.lfilter(taps, [1.0], x)
    np.testing.assert_allclose(apply(text, x, align="causal"), causal, atol=1e-12)


@pytest.mark.parametrize("edge", ["zero", "edge", "reflect", "symmetric", "wrap"])
def test_scipy_ndimage(edge: Edge) -> None:
    from scipy import ndimage

    modes = {
        "zero": "constant",
        "edge": "nearest",
        "reflect": "mirror",
        "symmetric": "reflect",
        "wrap": "wrap",
    }
    mode = cast("Any", modes[edge])
    rng = np.random.default_rng(4)
    x, taps = rng.normal(size=50), [1, 2, -1, 4, 3]
    text = f"kernel:{_numbers(taps)}"
    np.testing.assert_allclose(
        apply(text, x, edge=edge), ndimage.convolve1d(x, taps, mode=mode), atol=1e-13
    )
    picture, plane = rng.normal(size=(20, 25)), np.array([[1.0, 2, 3], [0, 1, 0], [4, -1, 2]])
    rows = "kernel:" + ";".join(_numbers(row) for row in plane.tolist())
    y = apply(rows, picture, edge=edge, axes=2)
    np.testing.assert_allclose(y, ndimage.convolve(picture, plane, mode=mode), atol=1e-13)
    bell = apply("gaussian:1.5", picture, edge=edge, axes=2)
    np.testing.assert_allclose(bell, ndimage.gaussian_filter(picture, 1.5, mode=mode), atol=1e-13)


def test_scipy_upfirdn() -> None:
    from scipy import signal

    rng = np.random.default_rng(5)
    x, taps = rng.normal(size=101), np.array([1.0, 2, 3, 4, 5, 6])
    y = apply("kernel:1,2,3,4,5,6 | stride:4", x, align="causal")
    np.testing.assert_allclose(y, signal.upfirdn(taps, x, up=1, down=4)[: len(y)], atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new"), [(44100, 16000), (8000, 16000), (48000, 44100), (16000, 8000)]
)
def test_resampling_keeps_what_lies_in_both_bands(old: int, new: int) -> None:
    from scipy import signal

    t = np.arange(old // 4) / old
    x = np.sin(2 * np.pi * 440 * t) + 0.5 * np.cos(2 * np.pi * 0.4 * min(old, new) * t)
    y = apply(f"resample:{new}", x, rate=old)
    common = np.gcd(old, new)
    peer = signal.resample_poly(np.sin(2 * np.pi * 440 * t), new // common, old // common)
    exact = np.arange(len(y)) / new
    truth = np.sin(2 * np.pi * 440 * exact) + 0.5 * np.cos(2 * np.pi * 0.4 * min(old, new) * exact)
    inner = slice(300, -300)
    assert len(y) == len(peer) == -(-len(x) * new // old)
    np.testing.assert_allclose(y[inner], truth[inner], atol=3e-5)
    low = apply(f"resample:{new}", np.sin(2 * np.pi * 440 * t), rate=old)
    np.testing.assert_allclose(low[inner], peer[inner], atol=5e-3)


@pytest.mark.parametrize(
    ("old", "new"), [(44100, 16000), (48000, 44100), (48000, 16000), (192000, 44100)]
)
def test_resampling_takes_away_what_would_fold(old: int, new: int) -> None:
    t = np.arange(old // 4) / old
    for hertz in np.linspace(new / 2, 0.999 * old / 2, 12):
        y = apply(f"resample:{new}", np.sin(2 * np.pi * hertz * t), rate=old)
        assert np.abs(y[400:-400]).max() < 2.1e-5, hertz  # two filters of 100 dB each


@pytest.mark.parametrize(("old", "new"), [(16000, 44100), (44100, 48000)])
def test_resampling_makes_no_images(old: int, new: int) -> None:
    x = np.sin(2 * np.pi * 0.45 * old * np.arange(old // 4) / old)
    y = apply(f"resample:{new}", x, rate=old)[400:-400]
    spectrum = np.abs(np.fft.rfft(y * np.kaiser(len(y), 20)))
    above = np.fft.rfftfreq(len(y), 1 / new) > old / 2
    assert spectrum[above].max() < 1.1e-5 * spectrum.max()


def test_a_ratio_of_large_terms_copies_no_table() -> None:
    x = np.random.default_rng(7).normal(size=200_000)
    started = time.process_time()
    apply("resample:48001", x[:1000], rate=48000)
    made = time.process_time()
    y = apply("resample:48001", x, rate=48000)
    # Both make the table, which takes most of their time. A copy of it for each band took 20 times
    # as long.
    assert time.process_time() - made < 5 * (made - started)
    assert len(y) == 200_005


@pytest.mark.parametrize("old", [44100, 48000, 8000])
def test_the_lag_of_a_causal_resampler_is_told(old: int) -> None:
    x = np.zeros(3000)
    x[1000] = 1
    y = apply("resample:16k", x, rate=old, align="causal")
    lag = (np.arange(len(y)) * old / 16000 * y).sum() / y.sum() - 1000
    plan = make_plan(
        "resample:16k", signal_of(x[:, None], rate=old), Rules(edge="zero", align="causal")
    )
    (step,) = plan.steps
    assert step_facts(step).delay == chain_facts(plan).delay
    assert step_facts(step).delay == pytest.approx(lag, abs=1e-3)


@pytest.mark.parametrize("ratio", [(44100, 16000), (8, 3), (3, 8), (1000, 999)])
def test_resampling_does_not_depend_on_blocks(ratio: tuple[int, int]) -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(2001, 2))
    signal = signal_of(x, rate=ratio[0])
    for edge in EDGES:
        plan = make_plan(f"resample:{ratio[1]}", signal, Rules(edge=edge, align="center"))
        whole = through(plan, [x])[0]
        blocks = through(plan, cut(x, [0, 1, 1, 5, 700, 1400, 1999]), 2)[0]
        np.testing.assert_allclose(blocks, whole, rtol=1e-12, atol=1e-12)
        if edge != "valid":
            assert len(whole) == -(-2001 * ratio[1] // ratio[0])
        if edge in ("shrink", "edge"):
            constant = through(plan, [np.ones((2001, 2))])[0]
            np.testing.assert_allclose(constant, 1, rtol=1e-12)


# ------------------------------------------------------------------------------ prefixes and groups

CAUSAL = [
    "sma:3", "wma:5", "ema:span=9", "gaussian:2", "savgol:7,2", "lowpass:0.1", "highpass:0.2", "diff:2", "gradient",
    "kernel:1,-2,5", "laplacian", "sma:3 | diff:1", "lowpass:0.2 | ema:span=4 | abs", "downsample:3", "stride:4",
    "avg_pool:3", "max_pool:4", "lowpass:0.2 | stride:3 | sma:2", "sum_pool:2 | diff:1", "ema:span=20,adjust=true",
]  # fmt: skip


@pytest.mark.parametrize("text", CAUSAL)
@pytest.mark.parametrize("kind", ["clean", "gaps", "inf"])
def test_the_first_rows_alone_give_the_first_rows(text: str, kind: str) -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(120, 2)).cumsum(axis=0)
    if kind == "gaps":
        x[rng.random(x.shape) < 0.3] = np.nan
    if kind == "inf":
        x[100, 0] = np.inf
    signal = signal_of(x, TABLE)
    plan = make_plan(text, signal, rules_for(signal))
    assert plan.chain.look_ahead() <= 0
    whole, rows, _ = through(plan, [x])
    # Every length up to some windows, then lengths of every remainder of the strides.
    for k in (*range(1, 40), *range(41, 121, 5)):
        part, at, _ = through(plan, [x[:k]])
        complete = plan.chain.ready(0, k)
        assert len(part) >= complete
        np.testing.assert_array_equal(part[:complete], whole[:complete])
        np.testing.assert_array_equal(at[:complete], rows[:complete])


@dataclass
class Interleaved:
    """A Source of rows that belong to several signals."""

    signal: Signal
    blocks: list[Array]
    codes: list[Any]

    def pieces(self) -> Iterator[tuple[Array, Any]]:
        yield from zip(self.blocks, self.codes, strict=True)

    def decode(self, raw: tuple[Array, Any]) -> Block:
        names, codes = np.unique(raw[1], return_inverse=True)
        return Block(
            raw[0], Groups([f"g{name}".encode() for name in names], codes.astype(np.int64))
        )


@pytest.mark.parametrize("align", ALIGNS)
@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize(
    "text", ["sma:3", "kernel:1,2,-4,1", "diff:2 | sma:2", "stride:2", "max_pool:3", "normalize"]
)
def test_interleaved_signals_are_each_as_if_alone(text: str, edge: Edge, align: Align) -> None:
    rng = np.random.default_rng(9)
    codes = rng.choice(4, size=50, p=[0.6, 0.25, 0.1, 0.05])
    x = rng.integers(-9, 9, size=(50, 2)).astype(float)
    plan = planned(text, x, medium=TABLE, edge=edge, align=align)
    truth: dict[int, str] = {}
    for code in range(4):
        mine = np.flatnonzero(codes == code)
        y, rows, _ = through(plan, [x[mine]])
        truth |= dict(zip(mine[rows].tolist(), map(repr, y.tolist()), strict=True))
    # With one thread and with two by turns.
    for turn, cuts in enumerate(([], [0, 0, 1, 2, 25], [7, 7, 49], list(range(50)))):
        ends = [0, *cuts, 50]
        blocks = [(x[a:b], codes[a:b]) for a, b in pairwise(ends)]
        sink = Collected()
        source = Interleaved(plan.signal, [b for b, _ in blocks], [c for _, c in blocks])
        run(plan, source, sink, threads=1 + turn % 2)
        rows = np.concatenate(sink.rows)
        assert (np.diff(rows) > 0).all(), "rows stay in their order"
        values = np.concatenate(sink.parts).tolist()
        assert dict(zip(rows.tolist(), map(repr, values), strict=True)) == truth


@pytest.mark.parametrize(
    "text", ["stride:3", "upsample:3", "avg_pool:2", "adaptive_avg_pool:4 | box:3"]
)
def test_outputs_without_cells_are_numbered(text: str) -> None:
    """Only a table writes the cells of the rows that outputs are aligned with."""
    x = np.arange(40.0)[:, None]
    plan = planned(text, x, edge="edge", align="center")
    for cuts in ([], [1, 9, 9, 26], list(range(40))):
        y, rows, _ = through(plan, cut(x, cuts), threads=2)
        assert rows.tolist() == list(range(len(y)))


def test_rows_at_which_outputs_stand() -> None:
    x = np.arange(10.0)[:, None]
    rows = {
        ("max_pool:3", "causal"): [2, 5, 8, 9],
        ("max_pool:3", "center"): [1, 4, 7, 9],
        ("stride:4", "causal"): [0, 4, 8],
        ("max_pool:2 | avg_pool:2", "causal"): [3, 7, 9],
        ("sma:3", "causal"): list(range(10)),
    }
    for (text, align), places in rows.items():
        plan = planned(text, x, medium=TABLE, edge="shrink", align=cast("Align", align))
        for blocks in ([x], cut(x, list(range(10)))):
            assert through(plan, blocks)[1].tolist() == places, text


# ----------------------------------------------------------------------------------- tail and tally


def test_a_tail_is_what_rings_after_the_end() -> None:
    x = np.array([1.0, 2, 3])[:, None]
    plan = planned("kernel:1,1,1,1", x, edge="zero", align="causal")
    for blocks in ([x], cut(x, [0, 1, 2])):
        y, _, tally = through(plan, blocks, tail=3)
        assert y[:, 0].tolist() == [1, 3, 6, 6, 5, 3]
        assert tally.written == 6


def test_edge_affected_outputs_are_counted() -> None:
    x = np.ones((20, 1))
    counts = {"box:5": 4, "kernel:1": 0, "stride:3": 0, "box:3 | box:3": 4, "max_pool:8": 1}
    for text, count in counts.items():
        for edge in EDGES[:-1]:
            _, _, tally = through(planned(text, x, edge=edge, align="center"), [x])
            assert tally.losses.edge_affected == count, (text, edge)
        assert (
            through(planned(text, x, edge="valid", align="center"), [x])[2].losses.edge_affected
            == 0
        )


def test_missing_samples_are_counted() -> None:
    x = np.array([[1.0, NAN], [NAN, NAN], [1, 2]])
    tally = through(planned("sma:2", x, medium=TABLE, edge="shrink", align="causal"), cut(x, [1]))[
        2
    ]
    assert (tally.read, tally.written) == (3, 3)
    assert tally.losses.missing == {"c0": 1, "c1": 2}


@settings(max_examples=150)
@given(
    chains_1d(),
    samples_1d(gaps=True),
    st.sampled_from(EDGES),
    st.sampled_from(MISSING),
    st.lists(st.integers(0, 24)),
)
def test_what_becomes_missing_is_counted(
    chain: list[Both], x: Array, edge: Edge, missing: Missing, cuts: list[int]
) -> None:
    text = " | ".join(["log", *(both.text for both in chain)])
    plan = planned(text, x, medium=TABLE, edge=edge, align=chain[0].align, missing=missing)
    y, rows, tally = through(plan, cut(x, sorted(cuts)))
    gone = np.isnan(y) & ~np.isnan(x[rows])
    assert dict(tally.losses.became_missing) == {
        f"c{c}": n for c, n in enumerate(gone.sum(axis=0).tolist()) if n
    }


@pytest.mark.parametrize(
    "text", ["log", "log | kernel:1,-1;0,0", "log | max_pool:2", "log | gaussian:1 | stride:3"]
)
def test_what_becomes_missing_in_a_picture_is_counted(text: str) -> None:
    x = np.random.default_rng(5).integers(-1, 3, (11, 7, 2)).astype(float)
    x[3, 4] = NAN
    for edge in EDGES:
        for align in ALIGNS:
            plan = planned(text, x, edge=edge, align=align)
            y, _, tally = through(plan, cut(x, [2, 5]))
            stands = [
                np.clip(
                    plan.chain.aligned_input(axis, np.arange(y.shape[axis])), 0, x.shape[axis] - 1
                )
                for axis in (0, 1)
            ]
            origin = [
                -plan.chain.needs(axis, 0, 1)[0][0] if edge == "valid" else 0 for axis in (0, 1)
            ]
            places = [at + shift for at, shift in zip(stands, origin, strict=True)]
            gone = np.isnan(y) & ~np.isnan(x[np.ix_(*places)])
            assert [tally.losses.became_missing[f"c{c}"] for c in (0, 1)] == gone.sum(
                axis=(0, 1)
            ).tolist(), (edge, align)


def test_what_a_reduced_stage_takes_is_counted_once() -> None:
    x = np.array([[1.0], [-1], [NAN], [3], [0]])
    for text in (
        "log | global_avg_pool",
        "log | normalize",
        "log | normalize | global_max_pool",
        "log | normalize | abs",
    ):
        plan = planned(text, x, medium=TABLE, edge="shrink", align="causal")
        assert dict(through(plan, cut(x, [2]))[2].losses.became_missing) == {"c0": 2}, text


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("n", [0, 1, 5, 23])
def test_adaptive_and_global_pools(edge: Edge, n: int) -> None:
    x = np.arange(float(n))[:, None] ** 2
    for blocks in ([x], cut(x, [0, 1, 2, 11])):
        for text, fold in (
            ("global_avg_pool", np.mean),
            ("global_max_pool", np.max),
            ("adaptive_avg_pool:4", np.mean),
        ):
            y = through(planned(text, x, edge=edge, align="center"), blocks)[0][:, 0]
            bins = 4 if text.startswith("adaptive") else 1
            parts = [x[k * n // bins : -(-(k + 1) * n // bins), 0] for k in range(bins)]
            truth = [float(fold(part)) for part in parts] if n else []
            np.testing.assert_allclose(y, truth, rtol=1e-14)


@pytest.mark.parametrize("edge", EDGES)
def test_normalize_is_a_second_pass(edge: Edge) -> None:
    x = np.array([1.0, -4, 2, 0])[:, None]
    for blocks in ([x], cut(x, [0, 1, 3])):
        y = through(planned("normalize", x, edge=edge, align="center"), blocks, 2)[0]
        assert y[:, 0].tolist() == [0.25, -1, 0.5, 0]
        y = through(planned("diff:1 | normalize:50%", x, edge="zero", align="causal"), blocks)[0]
        np.testing.assert_allclose(y[:, 0], np.array([1, -5, 6, -2]) / 12, rtol=1e-15)


# -------------------------------------------------------------------------------------- exact means


@pytest.mark.parametrize(
    "text", ["sma:3", "sma:20", "wma:5", "triangle:4", "binomial:6", "avg_pool:3"]
)
@pytest.mark.parametrize("value", [0.1, 39.81, 1e-300, 1e300, -7.3])
def test_a_constant_stays_that_constant_to_the_last_bit(text: str, value: float) -> None:
    x = pd.Series(np.full(60, value))
    assert set(apply(text, x)) == {value}
    x[[0, 7, 8, 31]] = np.nan
    assert set(apply(text, x, missing="fill").dropna()) == {value}


def test_means_of_prices_are_rounded_but_once() -> None:
    x = np.round(np.random.default_rng(0).uniform(10, 99, 400), 2)
    y = apply("sma:20", pd.Series(x))
    exact = [
        float(sum(map(Fraction, x[max(0, i - 19) : i + 1])) / min(20, i + 1)) for i in range(400)
    ]
    assert y.tolist() == exact


def test_a_failing_job_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    names, codes = [b"a", b"b"], np.tile([0, 1], 50)
    blocks = [
        Block(np.r_[[[np.nan]] * 4, np.ones((96, 1))], Groups(names, codes)) for _ in range(6)
    ]
    signal = Signal(medium=TABLE, shape=(None,), channels=("x",))
    whole = Convolve.__call__
    calls = iter(range(1000))

    def failing(self: Convolve, x: Array, span: Span, held: LastKnown) -> Array:
        if next(calls) == 2:
            raise MemoryError
        return whole(self, x, span, held)

    monkeypatch.setattr(Convolve, "__call__", failing)
    source: Any = Blocks(signal, cast("Any", blocks))  # that come with their groups
    monkeypatch.setattr(source, "pieces", lambda: iter(blocks))
    with pytest.raises(MemoryError):
        run(make_plan("lowpass:0.1", signal, rules_for(signal)), source, Collected(), threads=2)


def test_a_value_that_a_stride_skips_is_held_all_the_same() -> None:
    x = np.array([[0.0], [0], [0], [0], [0], [1], [np.nan]])
    signal = Signal(medium=TABLE, shape=(None,), channels=("x",))
    plan = make_plan("kernel:-1 | stride:2", signal, rules_for(signal, missing="fill"))
    for cut in range(8):
        sink = Collected()
        run(plan, Blocks(signal, [x[:cut], x[cut:]]), sink, threads=1)
        assert np.concatenate(sink.parts)[:, 0].tolist() == [0, 0, 0, -1]


@pytest.mark.parametrize("missing", MISSING[:3])
def test_values_held_under_a_later_stride_do_not_depend_on_blocks(missing: Missing) -> None:
    random = np.random.default_rng(60)
    x = random.normal(size=(60, 1))
    x[random.permutation(60)[:30]] = NAN
    text = "correlate:2,-0.5 | stride:7"
    plan = planned(text, x, medium=TABLE, edge="shrink", align="causal", missing=missing)
    whole, rows, _ = through(plan, [x])
    held = np.array([np.nan, *naive_held(x[:, 0])])
    want = 2 * held[:-1][::7] - 0.5 * held[1:][::7]
    there = ~np.isnan(whole[:, 0]) & ~np.isnan(want)
    np.testing.assert_allclose(whole[there, 0], want[there])
    assert there.sum() >= 2
    for place in range(1, 60):
        y, at, _ = through(plan, cut(x, [place]))
        np.testing.assert_array_equal(y, whole)
        assert at.tolist() == rows.tolist()
    y, _, _ = through(plan, cut(x, list(range(1, 60))))
    np.testing.assert_array_equal(y, whole)


def naive_held(x: Array) -> list[float]:
    """Each missing sample replaced by the last one before it."""
    held = []
    last = NAN
    for value in x.tolist():
        last = last if np.isnan(value) else value
        held.append(last)
    return held


def test_rows_of_bins() -> None:
    """Bins of 10 rows: 0-2, 2-4, 5-7, 7-9.

    A causal bin has the row of its end, a centred one that of its middle.
    """
    x = np.arange(10.0)[:, None]
    rows_of: dict[Align, list[int]] = {"causal": [2, 4, 7, 9], "center": [1, 3, 6, 8]}
    for align, want in rows_of.items():
        plan = planned("adaptive_avg_pool:4", x, medium=TABLE, edge="shrink", align=align)
        for cuts in ([], [1], [3, 4], list(range(1, 10))):
            y, rows, _ = through(plan, cut(x, cuts))
            assert rows.tolist() == want
            assert y[:, 0].tolist() == [1, 3, 6, 8]


def test_whole_numbers_are_samples_to_all_but_the_loop() -> None:
    block = Block(np.array([[16384, -32768]], np.int16))
    ((_, x, _),) = block.by_group()
    assert block.x.tolist() == x.tolist() == [[0.5, -1.0]]
    assert Block(np.array([[1 << 30]], np.int32)).x.tolist() == [[0.5]]
    assert Block(np.array([[[7]]], np.uint8)).x.dtype == np.float32


def test_each_channel_has_a_filter_of_its_own() -> None:
    """Two channels, and one that is fed to both."""
    taps = (np.array([1.0, 2.0, -4.0]), np.array([3.0, 0.5, 1.0]))
    parts = tuple(Convolve.by(Kernel(taps=one), "center") for one in taps)
    x = np.random.default_rng(3).normal(size=(12, 2))
    both = EachChannel(parts=parts)(x, ((1, 11),))
    expected = [np.convolve(x[:, c], taps[c], "valid") for c in range(2)]
    np.testing.assert_allclose(both, np.stack(expected, axis=1), rtol=1e-12)
    alone = EachChannel(parts=parts)(x[:, :1], ((1, 11),))
    expected = [np.convolve(x[:, 0], taps[c], "valid") for c in range(2)]
    np.testing.assert_allclose(alone, np.stack(expected, axis=1), rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("box:101", 50),
        ("median:101", 50),
        ("max:7", 3),
        ("box:3 | relu", 1),
        ("std:5 | max_pool:4 | median:3", 2 + 1.5 + 4),
        ("hampel:9", 0),
        ("abs", 0),
        ("median:5 - lowpass:0.2", None),
        ("pct_change:2", None),
    ],
)
def test_the_delay_of_a_chain_is_told_where_it_is_known(text: str, delay: float | None) -> None:
    signal = Signal(medium=TABLE, shape=(None,), channels=("v",))
    plan = make_plan(text, signal, rules_for(signal, text))
    assert chain_facts(plan).delay == delay
