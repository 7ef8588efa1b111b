"""Windows in time over rows that come irregularly, and bins of the calendar, against pandas."""

from __future__ import annotations

import gc
import math
import weakref
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcli import apply
from convcli.planning.plan import make_plan, rules_for
from convcli.running.run import run
from convcli.running.stream import Stream
from convcli.running.timed_geometry import TimedGeometry
from convcli.signals import TABLE, Block, Groups, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR = 3600 * 10**9
DAY = 24 * HOUR


@dataclass
class Rows:
    """Rows with times as a source, in blocks that end at `cuts`."""

    times: pd.DatetimeIndex
    x: np.ndarray
    cuts: tuple[int, ...] = ()
    groups: np.ndarray | None = None
    integrates: bool = False

    def __post_init__(self) -> None:
        channels = tuple(f"c{i}" for i in range(self.x.shape[1]))
        self.signal = Signal(
            medium=TABLE, shape=(None,), channels=channels, timed=True, integrates=self.integrates
        )

    def pieces(self) -> Iterator[slice]:
        bounds = [0, *sorted({min(cut, len(self.x)) for cut in self.cuts}), len(self.x)]
        for start, stop in pairwise(bounds):
            yield slice(start, stop)

    def decode(self, raw: slice) -> Block:
        wall = self.times.tz_localize(None) if self.times.tz is not None else self.times
        instants = (
            self.times.tz_convert("UTC").tz_localize(None)
            if self.times.tz is not None
            else self.times
        )
        both = [
            part.to_numpy().astype("datetime64[ns]").view(np.int64) for part in (instants, wall)
        ]
        stamps = np.stack(both, axis=1)[raw]
        groups = None
        if self.groups is not None:
            names, codes = np.unique(self.groups[raw], return_inverse=True)
            groups = Groups([str(name).encode() for name in names], codes)
        return Block(self.x[raw], groups, stamps=stamps)


class Kept:
    """A sink that keeps outputs by their row."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.values: list[np.ndarray] = []

    def encode(self, y: Any, rows: Any) -> Any:
        return np.array(y), list(rows)

    def write(self, encoded: Any) -> None:
        y, rows = encoded
        self.rows += rows
        self.values += list(y)


def filtered(filter: str, rows: Rows, **rules: Any) -> tuple[list[int], np.ndarray]:
    plan = make_plan(filter, rows.signal, rules_for(rows.signal, filter, **rules))
    kept = Kept()
    run(plan, rows, kept, threads=1)
    width = len(plan.result.channels)
    return kept.rows, np.array(kept.values).reshape(-1, width)


def irregular(n: int = 400, seed: int = 0, *, channels: int = 2, longest: int = 30) -> Rows:
    """Rows some hours apart, at the same time, and after long gaps; a tenth is missing."""
    rng = np.random.default_rng(seed)
    hours = rng.integers(0, longest, n)
    hours[rng.random(n) < 0.1] = 0
    hours[rng.random(n) < 0.02] = 900
    times = pd.Timestamp("2023-11-01 05:00") + pd.to_timedelta(np.cumsum(hours), unit="h")
    x = np.round(rng.normal(size=(n, channels)) * 10, 3)
    x[rng.random(x.shape) < 0.1] = np.nan
    return Rows(pd.DatetimeIndex(times), x)


def frame(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(rows.x, index=rows.times)


def with_gaps_kept(values: Any, rows: Rows) -> np.ndarray:
    kept = np.array(values, dtype=float)
    kept[np.isnan(rows.x)] = np.nan
    return kept


# ------------------------------------------------------------------------------- against pandas


@pytest.mark.parametrize("window", ["20d", "36h", "1w"])
@pytest.mark.parametrize("align", ["causal", "center"])
def test_a_mean_is_the_rolling_mean_of_pandas(window: str, align: str) -> None:
    rows = irregular()
    offset = window.replace("d", "D").replace("1w", "7D")
    expected = frame(rows).rolling(offset, center=align == "center").mean()
    _, kept = filtered(f"sma:{window}", rows, align=align)
    np.testing.assert_allclose(kept, with_gaps_kept(expected, rows), rtol=0, atol=1e-12)
    _, filled = filtered(f"box:{window}", rows, align=align, missing="fill")
    np.testing.assert_allclose(filled, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("align", ["causal", "center"])
@pytest.mark.parametrize(
    ("step", "statistic"),
    [
        ("std", "std"),
        ("var", "var"),
        ("median", "median"),
        ("min", "min"),
        ("max", "max"),
        ("sum", "sum"),
    ],
)
def test_a_statistic_is_the_rolling_one_of_pandas(step: str, statistic: str, align: str) -> None:
    rows = irregular(300)
    rolling = frame(rows).rolling("6D", center=align == "center")
    # A deviation that pandas rounds to almost nothing is nothing.
    expected = with_gaps_kept(rolling.agg(statistic), rows)
    _, y = filtered(f"{step}:6d", rows, align=align)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-7 if step in ("std", "var") else 0)
    loops = with_gaps_kept(rolling.apply(getattr(pd.Series, statistic)), rows)
    np.testing.assert_allclose(y, loops, rtol=1e-12)


def test_a_deviation_in_time_loses_no_digits_and_remembers_nothing() -> None:
    rows = irregular(200, channels=1)
    signs = np.where(np.arange(200) % 2, 1.0, -1.0)
    rows.x[:, 0] = 1e9 + signs
    rows.x[20] = 1e300
    found = filtered("std:6d,ddof=0", rows)[1][:, 0]
    after = rows.times > rows.times[20] + pd.Timedelta("6D")
    days = ((rows.times - rows.times[0]) / pd.Timedelta("1D")).to_numpy()
    for k in np.flatnonzero(after):
        inside = (days > days[k] - 6 + 1e-9) & (np.arange(200) <= k)
        assert found[k] == pytest.approx(np.std(signs[inside]), rel=1e-12, abs=0)


def test_order_statistics_in_time() -> None:
    rows = irregular(200)
    rolling = frame(rows).rolling("6D")
    for text, expected in (
        ("quantile:6d,0.3", rolling.quantile(0.3)),
        ("rank:6d", rolling.rank()),
        ("rank:6d,pct=true", rolling.rank(pct=True)),
        ("mad:6d", rolling.apply(lambda x: (x - x.median()).abs().median())),
    ):
        found = filtered(text, rows)[1]
        np.testing.assert_allclose(found, with_gaps_kept(expected, rows), rtol=1e-12, err_msg=text)
    median = rolling.median()
    far = (frame(rows) - median).abs() > 1.5 * 1.4826 * rolling.apply(
        lambda x: (x - x.median()).abs().median()
    )
    mended = with_gaps_kept(frame(rows).where(~far, median), rows)
    np.testing.assert_allclose(filtered("hampel:6d,1.5", rows)[1], mended, rtol=1e-12)


def test_a_level_in_time() -> None:
    rows = irregular(100)
    expected = np.sqrt((frame(rows) ** 2).rolling("4D").mean())
    np.testing.assert_allclose(
        filtered("rms:4d", rows)[1], with_gaps_kept(expected, rows), rtol=1e-12
    )


def test_propagated_gaps_are_the_windows_that_pandas_finds_incomplete() -> None:
    rows = irregular()
    missing = frame(rows).isna().rolling("5D").sum().to_numpy() > 0
    _, y = filtered("sma:5d", rows, missing="propagate")
    assert np.array_equal(np.isnan(y), missing)


@pytest.mark.parametrize("halflife", ["2h", "3d"])
def test_an_ema_is_the_ewm_of_pandas_with_times(halflife: str) -> None:
    rows = irregular()
    expected = (
        frame(rows).ewm(halflife=halflife.replace("d", "D"), times=pd.Series(rows.times)).mean()
    )
    _, y = filtered(f"ema:halflife={halflife}", rows)
    np.testing.assert_allclose(y, with_gaps_kept(expected, rows), rtol=0, atol=1e-12)


def test_the_span_of_an_ema_is_the_limit_of_dense_rows() -> None:
    rows = irregular()
    _, y = filtered("ema:span=5d", rows)
    _, same = filtered(f"ema:halflife={5 * math.log(2) / 2}d", rows)
    np.testing.assert_allclose(y, same, rtol=1e-9)


def test_several_outputs_of_each_column() -> None:
    times = pd.to_datetime(["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-02 02:00"])
    frame = pd.DataFrame({"x": [1.0, 2, 5], "y": [10.0, 40, 90]}, index=times)
    bands = apply("bollinger:2d,2", frame)
    assert list(bands.columns) == ["x_upper", "x_lower", "y_upper", "y_lower"]
    rolling = frame.rolling("2D")
    upper, lower = rolling.mean() + 2 * rolling.std(), rolling.mean() - 2 * rolling.std()
    expected = [upper["x"], lower["x"], upper["y"], lower["y"]]
    np.testing.assert_allclose(bands.to_numpy(), np.stack(expected, axis=1), atol=1e-12)
    extremes = apply("max_pool:1d & min_pool:1d", frame)
    assert extremes.to_numpy().tolist() == [[2, 1, 40, 10], [5, 5, 90, 90]]


def test_groups_have_their_own_times() -> None:
    parts = [irregular(120, seed) for seed in range(3)]
    table = pd.concat([frame(part).assign(group=i) for i, part in enumerate(parts)]).sort_index(
        kind="stable"
    )
    rows = Rows(
        pd.DatetimeIndex(table.index),
        table[[0, 1]].to_numpy(),
        (50, 51, 200),
        table.group.to_numpy(),
    )
    found, y = filtered("sma:9d | ema:halflife=1d", rows)
    assert found == list(range(len(table)))
    for i in range(3):
        own = table.group.to_numpy() == i
        alone = Rows(rows.times[own], rows.x[own])
        assert np.array_equal(
            y[own], filtered("sma:9d | ema:halflife=1d", alone)[1], equal_nan=True
        )


# --------------------------------------------------------------------- against the definition


def naive(rows: Rows, weigh: Any, back: float, ahead: float | None) -> np.ndarray:
    """Sums over all rows, with distances in days; the newest row is the last one that counts."""
    days = ((rows.times - rows.times[0]) / pd.Timedelta("1D")).to_numpy()
    y = np.full(rows.x.shape, np.nan)
    for k in range(len(days)):
        distances = days[k] - days
        inside = (distances >= -(ahead or 0) - 1e-9) & (distances < back - 1e-9)
        if ahead is None:
            inside[k + 1 :] = False
        weights = np.maximum(weigh(distances), 1e-17)
        for channel in np.flatnonzero(~np.isnan(rows.x[k])):
            counted = inside & ~np.isnan(rows.x[:, channel])
            y[k, channel] = np.average(rows.x[counted, channel], weights=weights[counted])
    return y


@pytest.mark.parametrize("align", ["causal", "center"])
@pytest.mark.parametrize("days", [6, 96])
@pytest.mark.parametrize(
    ("step", "weigh"),
    [
        ("wma", lambda u: 1 - u),
        ("triangle", lambda u: np.minimum(u, 1 - u)),
        ("hann", lambda u: np.sin(math.pi * u) ** 2),
        ("gaussian", lambda u: np.exp(-0.5 * (8 * u - 4) ** 2)),
    ],
)
def test_weights_follow_from_the_distance_in_time(
    step: str, weigh: Any, days: int, align: str
) -> None:
    rows = irregular(400)
    ahead = days / 2 if align == "center" else None
    shift = days / 2 if align == "center" else 0
    back = days - shift
    length = f"{days}d"
    if step == "gaussian":
        # Only a bell is more than 0 at the old end of its window, and is closed there.
        back += 2e-9
        length = f"{3 * days}h"
    expected = naive(rows, lambda d: weigh((d + shift) / days), back, ahead)
    _, y = filtered(f"{step}:{length}", rows, align=align)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-11)


def test_a_row_that_is_alone_in_its_window_is_itself() -> None:
    times = pd.DatetimeIndex(["2024-01-01", "2024-03-01", "2024-05-05"])
    rows = Rows(times, np.array([[3.0], [0.1], [7.0]]))
    for text in ("sma:5d", "wma:5d", "triangle:5d", "hann:5d", "gaussian:5h", "ema:halflife=1h"):
        assert filtered(text, rows)[1].tolist() == [[3.0], [0.1], [7.0]]


@pytest.mark.parametrize("apart", ["1ns", "1ms", "1s"])
@pytest.mark.parametrize("step", ["hann", "triangle"])
def test_rows_that_lie_close_to_each_other_have_the_weights_of_their_distances(
    step: str, apart: str
) -> None:
    start = pd.Timestamp("2024-01-01")
    times = start + pd.Timedelta(apart) * np.array([0, 2, 3, 7])
    y = apply(f"{step}:30d", pd.Series([1.0, 0, 0, 1], index=times))
    # The weight rises as the distance or its square, and that of the newest row is 0.
    power = 2 if step == "hann" else 1
    third = 3**power / (3**power + 1)
    last = 7**power / (7**power + 5**power + 4**power)
    np.testing.assert_allclose(y, [1, 1, third, last], rtol=1e-9)


@pytest.mark.parametrize("step", ["hann", "triangle", "wma"])
def test_the_oldest_rows_of_a_window_have_the_weights_of_their_distances(step: str) -> None:
    ends = pd.Timestamp("2024-01-31")
    times = [ends - pd.Timedelta("30D") + pd.Timedelta(ns, "ns") for ns in (1, 2, 4)]
    y = apply(f"{step}:30d", pd.Series([0.0, 0, 1, np.nan], index=[*times, ends]), missing="fill")
    power = 2 if step == "hann" else 1
    share = 4**power / (4**power + 2**power + 1)
    np.testing.assert_allclose(y.iloc[-1], share, rtol=1e-9)


def test_the_mean_of_equal_values_is_their_value_and_nothing_leaks() -> None:
    rows = irregular(300, longest=4)
    rows.x[:] = 0.1
    for text in ("sma:9d", "wma:9d", "hann:9d", "triangle:9d", "gaussian:27h", "ema:halflife=1d"):
        assert np.all(filtered(text, rows)[1] == 0.1)
    rows.x[:] = 0.0
    rows.x[5] = 1e300
    for text in ("sma:9d", "wma:9d", "hann:9d", "triangle:9d", "gaussian:27h"):
        _, y = filtered(text, rows)
        gone = np.flatnonzero(rows.times > rows.times[5] + pd.Timedelta("9D"))
        assert len(gone)
        assert np.all(y[gone] == 0)
        assert np.all(y >= 0)


# ----------------------------------------------------------------------- blocks, and prefixes

IN_TIME = {
    "box": "box:5d",
    "wma": "wma:5d",
    "triangle": "triangle:5d",
    "hann": "hann:5d",
    "gaussian": "gaussian:9h",
    "ema": "ema:halflife=30h",
    "sum": "sum:4d",
    "std": "std:4d",
    "var": "var:4d",
    "rms": "rms:4d",
    "median": "median:4d",
    "quantile": "quantile:4d,0.8",
    "rank": "rank:4d",
    "mad": "mad:4d",
    "hampel": "hampel:4d,1",
    "max": "max:4d",
    "min": "min:4d",
    "avg_pool": "avg_pool:1d",
    "sum_pool": "sum_pool:1w",
    "max_pool": "max_pool:6h",
    "min_pool": "min_pool:1mo",
    "median_pool": "median_pool:1w",
    "first_pool": "first_pool:1w",
    "last_pool": "last_pool:1w",
}


def test_every_step_with_a_window_in_time_is_tried() -> None:
    import convcli.designs.in_time  # noqa: F401 -- registers them
    from convcli.designs.registry import _IN_TIME, find

    # A recipe is a chain of others; tests/test_cli_times.py compares it with its chain.
    assert set(IN_TIME) == {name for name in _IN_TIME if not find(name).stands_for}


@pytest.mark.parametrize("align", ["causal", "center"])
@pytest.mark.parametrize("missing", ["keep", "fill", "propagate"])
@pytest.mark.parametrize("text", IN_TIME.values())
def test_blocks_of_any_size_are_the_whole(text: str, align: str, missing: str) -> None:
    rows = irregular(60, 7)
    at, whole = filtered(text, rows, align=align, missing=missing)
    rows.cuts = (1, 2, 3, 11, 12, 30, 59)
    again, parts = filtered(text, rows, align=align, missing=missing)
    assert at == again
    assert np.array_equal(whole, parts, equal_nan=True)
    single = Rows(rows.times, rows.x[:, :1])
    assert np.array_equal(
        filtered(text, single, align=align, missing=missing)[1], whole[:, :1], equal_nan=True
    )


CHAINS = [
    "sma:5d",
    "ema:halflife=30h",
    "gaussian:9h",
    "gaussian:8d | triangle:60d",
    "hann:70d - wma:50d",
    "wma:4d | diff",
    "sma:5d | diff | ema:halflife=2d",
    "diff:2 | sma:3d | stride:3 | triangle:9d",
    "kernel:1,2,-1 | sma:4d | ema:span=4",
    "avg_pool:1w",
    "max_pool:1d | sma:9d | diff",
    "sma:2d | sum_pool:1mo",
    "avg_pool:1d | avg_pool:1w | diff",
    "avg_pool:3 | hann:6d",
    "x - ema:halflife=2d",
    "median:5d | std:4d",
    "hampel:6d,1 | rank:9d",
    "last_pool:1d - first_pool:1d",
    "max:3d - min:3d",
    "(x - sma:9d) / sma:20d | diff | ema:span=2d",
    "max_pool:1w - (diff | min_pool:1w) | sma:30d",
    "kernel:1,2,-1 - (diff | kernel:3,-1 | sma:4d)",
]


@given(
    cuts=st.lists(st.integers(1, 149), max_size=8),
    seed=st.integers(0, 5),
    which=st.integers(0, len(CHAINS) - 1),
)
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("align", ["causal", "center"])
def test_blocks_are_the_whole_bit_for_bit(
    align: str, cuts: list[int], seed: int, which: int
) -> None:
    rows = irregular(150, seed)
    whole = filtered(CHAINS[which], rows, align=align)
    rows.cuts = tuple(cuts)
    parts = filtered(CHAINS[which], rows, align=align)
    assert whole[0] == parts[0]
    assert np.array_equal(whole[1], parts[1], equal_nan=True)


@pytest.mark.parametrize("filter", ["wma:30d", "triangle:30d", "hann:30d", "gaussian:8d"])
def test_running_sums_of_one_output_are_those_of_many(filter: str) -> None:
    rows = irregular(300)
    _, whole = filtered(filter, rows)
    rows.cuts = tuple(range(1, 300))
    _, alone = filtered(filter, rows)
    assert np.array_equal(whole, alone, equal_nan=True)


@pytest.mark.parametrize("filter", CHAINS)
def test_a_row_is_what_it_is_if_the_table_ends_there(filter: str) -> None:
    rows = irregular(80)
    at, whole = filtered(filter, rows)
    for n in (1, 2, 3, 5, 11, 17, 18, 31, 40, 41, 52, 66, 79):
        short = Rows(rows.times[:n], rows.x[:n])
        known, y = filtered(filter, short)
        for row, value in zip(known, y, strict=True):
            if row in at and row < n - 1:
                assert np.array_equal(whole[at.index(row)], value, equal_nan=True), (n, row)


# ------------------------------------------------------------------------------------ integrals


@pytest.mark.parametrize("align", ["causal", "center"])
@pytest.mark.parametrize(
    ("filter", "weigh", "width"),
    [
        ("sma:2d", lambda _: 1.0, 48),
        ("wma:2d", lambda u: 1 - u, 48),
        ("triangle:2d", lambda u: min(u, 1 - u), 48),
        ("hann:2d", lambda u: math.sin(math.pi * u) ** 2, 48),
        ("gaussian:6h", lambda u: math.exp(-0.5 * (8 * u - 4) ** 2), 48),
        ("ema:halflife=3h", lambda u: 2.0 ** (-64 * u), 192),
    ],
)
def test_an_integral_is_that_of_the_line_through_the_rows(
    filter: str, weigh: Any, width: float, align: str
) -> None:
    from scipy.integrate import quad

    made = irregular(60, 3, channels=1)
    rows = Rows(made.times, np.nan_to_num(made.x, nan=1.5), integrates=True)
    _, y = filtered(filter, rows, align=align)
    hours = ((rows.times - rows.times[0]) / pd.Timedelta("1h")).to_numpy()
    values = rows.x[:, 0]
    shift = width / 2 if align == "center" and "ema" not in filter else 0
    for k in range(1, 60, 11):
        start = max(hours[k] - width + shift, 0)
        stop = min(hours[k] + shift, hours[-1])
        # What the integrals are cut at, so that each part is smooth: rows and the middle of the window.
        breaks = {start, stop, *hours[(hours > start) & (hours < stop)]}
        breaks |= {hours[k] - (width * part / 16 - shift) for part in range(17)}
        cuts = sorted(at for at in breaks if start <= at <= stop)

        def line(s: float) -> float:
            right = int(np.clip(np.searchsorted(hours, s, "right"), 1, 59))
            while hours[right] == hours[right - 1]:
                right -= 1
            share = (s - hours[right - 1]) / (hours[right] - hours[right - 1])
            return float(values[right - 1] + share * (values[right] - values[right - 1]))

        def g(s: float, k: int = k) -> float:
            return float(weigh((hours[k] - s + shift) / width))

        parts = [(a, b) for a, b in pairwise(cuts) if b > a]
        above = sum(quad(lambda s: g(s) * line(s), a, b, epsabs=1e-13)[0] for a, b in parts)
        below = sum(quad(g, a, b, epsabs=1e-13)[0] for a, b in parts)
        expected = above / below if below else values[k]
        assert y[k, 0] == pytest.approx(expected, abs=1e-9), k


def test_an_integral_gives_the_same_in_blocks() -> None:
    for align in ("causal", "center"):
        for text in ("sma:2d", "gaussian:9h | diff", "ema:halflife=4h | wma:30h"):
            made = irregular(100, 1)
            rows = Rows(made.times, made.x, integrates=True)
            whole = filtered(text, rows, align=align)[1]
            rows.cuts = (3, 4, 40, 77)
            assert np.array_equal(whole, filtered(text, rows, align=align)[1], equal_nan=True)


# ---------------------------------------------------------------------------- calendar bins

POOLS = {
    "avg_pool": "mean",
    "sum_pool": "sum",
    "max_pool": "max",
    "min_pool": "min",
    "first_pool": "first",
    "last_pool": "last",
    "median_pool": "median",
}


def binned(rows: Rows, bin: str, statistic: str) -> np.ndarray:
    expected = (
        frame(rows).resample(bin).agg(statistic, **({"min_count": 1} if statistic == "sum" else {}))
    )
    return expected[frame(rows).resample(bin).size() > 0].to_numpy()


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize(
    ("length", "bin"),
    [
        ("1w", "W"),
        ("1mo", "ME"),
        ("1q", "QE"),
        ("1y", "YE"),
        ("1d", "D"),
        ("1h", "h"),
        ("15min", "15min"),
        ("4h", "4h"),
        ("3mo", "QE"),
    ],
)
def test_bins_of_the_calendar_are_those_of_pandas(pool: str, length: str, bin: str) -> None:
    rows = irregular(300, 2, longest=70)
    at, y = filtered(f"{pool}:{length}", rows)
    np.testing.assert_allclose(y, binned(rows, bin, POOLS[pool]), rtol=0, atol=1e-11)
    sizes = frame(rows).resample(bin).size()
    assert at == (np.cumsum(sizes[sizes > 0]) - 1).tolist()  # the newest row of each bin


def test_a_centred_bin_is_at_the_row_in_its_middle() -> None:
    times = pd.date_range("2024-01-01", periods=14, freq="D")
    rows = Rows(times, np.arange(14.0)[:, None])
    at, y = filtered("avg_pool:1w", rows, align="center")
    assert at == [3, 10]
    assert y[:, 0].tolist() == [3, 10]


def test_bins_follow_the_clock_on_the_wall() -> None:
    # In Berlin 2024-03-31 has 23 hours, and 2024-10-27 has 25.
    for day in ("2024-03-30", "2024-10-26"):
        times = pd.date_range(day, periods=3 * 24 * 4, freq="15min", tz="Europe/Berlin")
        rows = Rows(times, np.arange(float(len(times)))[:, None])
        for length, calendar in (("1d", "D"), ("1h", "h"), ("15min", "15min"), ("1w", "W")):
            _, y = filtered(f"sum_pool:{length}", rows)
            expected = frame(rows).resample(calendar).sum().to_numpy()
            np.testing.assert_array_equal(y, expected)
    days = pd.date_range("2024-10-26", periods=73, freq="h", tz="Europe/Berlin")
    assert filtered("sum_pool:1d", Rows(days, np.ones((73, 1))))[1][:, 0].tolist() == [24, 25, 24]


def test_leap_days_and_the_ends_of_years() -> None:
    times = pd.date_range("1999-12-27", "2004-03-05", freq="D")
    rows = Rows(times, np.ones((len(times), 1)))
    for length, calendar in (("1mo", "ME"), ("1y", "YE"), ("1q", "QE"), ("1w", "W")):
        _, y = filtered(f"sum_pool:{length}", rows)
        assert y[:, 0].tolist() == frame(rows).resample(calendar).sum()[0].tolist()


def test_a_day_is_24_hours_of_a_window_and_not_of_a_bin() -> None:
    times = pd.date_range("2024-10-26", periods=60, freq="h", tz="Europe/Berlin")
    rows = Rows(times, np.ones((60, 1)), integrates=False)
    _, y = filtered("sma:1d", rows)
    assert np.all(y == 1)


@pytest.mark.parametrize("steps", ["sma:1h", "x - sma:1h | median:5min"])
def test_chains_of_earlier_times_are_freed_at_once(steps: str) -> None:
    signal = Signal(medium=TABLE, shape=(None,), channels=("v",), timed=True, dated=True)
    plan = make_plan(steps, signal, rules_for(signal))
    stream = Stream(None, TimedGeometry(plan.chain, "shrink"), patience=0)
    seconds = np.cumsum(np.random.default_rng(4).choice([60, 120], 20_000))
    stamps = np.repeat(seconds[:, None] * 10**9, 2, axis=1)
    bound = []
    gc.disable()
    try:
        for first in range(0, len(stamps), 200):
            rows = range(first, first + 200)
            stream.take(np.ones((200, 1)), rows, stamps[rows.start : rows.stop])
            for job in stream.known_jobs():
                bound.append(weakref.ref(job.chain))
                job.run()
        alive = sum(chain() is not None for chain in bound)
    finally:
        gc.enable()
    # The stream and the last job have one each.
    assert (len(bound), alive <= 2) == (100, True)
