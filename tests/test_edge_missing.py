"""The edge rule `missing`: pandas' rolling, windows in NumPy, and chains cut anywhere."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import program
import pytest
import pyvips
from numpy.lib.stride_tricks import sliding_window_view

from convcli import apply
from convcli.errors import RequestError
from convcli.planning.plan import make_plan, rules_for
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.signals import TABLE, Signal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Samples = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"a": RNG.standard_normal(60), "b": RNG.uniform(1, 2, 60)})


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("sma:1", lambda x: x),
        ("sma:5", lambda x: x.rolling(5).mean()),
        ("sma:61", lambda x: x.rolling(61).mean()),
        ("sma:3 | sma:4", lambda x: x.rolling(3).mean().rolling(4).mean()),
        ("diff:2 | abs | sma:3", lambda x: x.diff(2).abs().rolling(3).mean()),
        ("ema:span=4", lambda x: x.ewm(span=4, adjust=False).mean()),
        ("ema:span=4,adjust=true", lambda x: x.ewm(span=4).mean()),
        ("sma:3 | ema:span=4", lambda x: x.rolling(3).mean().ewm(span=4, adjust=False).mean()),
        ("ema:span=4 | sma:3", lambda x: x.ewm(span=4, adjust=False).mean().rolling(3).mean()),
        ("max_pool:3,stride=1", lambda x: x.rolling(3).max()),
        (
            "ema:span=4 - ema:span=9",
            lambda x: x.ewm(span=4, adjust=False).mean() - x.ewm(span=9, adjust=False).mean(),
        ),
        (
            "sma:2 | ((sma:3 | ema:span=4) - x)",
            lambda x: (
                x.rolling(2).mean().rolling(3).mean().ewm(span=4, adjust=False).mean()
                - x.rolling(2).mean()
            ),
        ),
        (
            "(x - sma:3 | sma:2) / std:4",
            lambda x: (x - x.rolling(3).mean()).rolling(2).mean() / x.rolling(4).std(),
        ),
        ("median:4 | std:3", lambda x: x.rolling(4).median().rolling(3).std()),
        ("lag:2 | pct_change", lambda x: x.shift(2).pct_change(fill_method=None)),
    ],
)
def test_it_is_rolling_of_pandas(text: str, truth: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    y = apply(text, FRAME, edge="missing")
    pd.testing.assert_frame_equal(y, truth(FRAME), rtol=1e-12, atol=1e-13)


def test_centred_windows_and_strides_end_with_the_signal() -> None:
    x = RNG.standard_normal(20)
    taps = np.array([3.0, -1, 0.5, 2])
    windows = sliding_window_view(x, 4) @ taps
    y = apply("correlate:3,-1,0.5,2", x, edge="missing")
    np.testing.assert_allclose(y, [np.nan, np.nan, *windows, np.nan], atol=1e-14)
    pooled = apply("avg_pool:6", x, edge="missing")
    means = x[:18].reshape(3, 6).mean(axis=1)
    np.testing.assert_allclose(pooled, [*means, np.nan], atol=1e-14)
    strided = apply("correlate:3,-1,0.5,2 | stride:3", x, edge="missing")
    np.testing.assert_array_equal(strided, y[::3])


def test_a_picture_has_a_frame_of_missing_pixels() -> None:
    x = RNG.standard_normal((9, 11))
    y = apply("kernel:1,2,3;4,5,6;7,8,9 | abs", x, axes=2, edge="missing")
    sums = np.abs(apply("kernel:1,2,3;4,5,6;7,8,9", x, axes=2, edge="valid"))
    np.testing.assert_allclose(y[1:-1, 1:-1], sums, atol=1e-13)
    y[1:-1, 1:-1] = np.nan
    assert np.isnan(y).all()


CHAINS = (
    "sma:3 | sma:4",
    "diff | ema:span=3 | sma:2",
    "sma:4 | avg_pool:3",
    "gaussian:1 | stride:2 | diff",
    "savgol:5,2 | correlate:1,2",
    "sum_pool:4,stride=2 | ema:span=2",
    "sma:2 | (sma:3 | ema:span=4) - x",
)


@pytest.mark.parametrize("align", ["causal", "center"])
@pytest.mark.parametrize("text", CHAINS)
def test_blocks_of_any_size_give_the_same_rows(text: str, align: Any) -> None:
    x = FRAME.to_numpy().copy()
    x[RNG.random(x.shape) < 0.1] = np.nan
    signal = Signal(medium=TABLE, shape=(60,), channels=("a", "b"))
    plan = make_plan(text, signal, rules_for(signal, edge="missing", align=align))
    whole = None
    for size in (60, 1, 2, 7, 13):
        cuts = [*range(0, 60, size), 60]
        sink = Collected()
        run(plan, Blocks(signal, [x[a:b] for a, b in pairwise(cuts)]), sink)
        y = np.concatenate(sink.parts)
        whole = y if whole is None else whole
        np.testing.assert_array_equal(y, whole)


@pytest.mark.parametrize("text", CHAINS)
def test_each_group_has_edges_of_its_own(text: str, tmp_path: Path) -> None:
    keys = RNG.integers(0, 15, 260)
    frame = pd.DataFrame({"key": keys, "x": np.arange(260) ** 2 % 91})
    frame.to_csv(tmp_path / "t.csv", index=False)
    words = ("csv", text, "t.csv", "--by", "key", "-c", "x", "--edge", "missing", "-q")
    made = program.run(*words, cwd=tmp_path)
    (tmp_path / "y.csv").write_bytes(made.out)
    found = pd.read_csv(tmp_path / "y.csv")
    for key, rows in frame.groupby("key"):
        truth = apply(text, rows[["x"]].astype(float), edge="missing")["x"]
        y = found.loc[found["key"] == key, "x"].to_numpy()
        np.testing.assert_allclose(y, truth, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("parts", [(), ("--parts", "3")])
def test_each_column_has_edges_of_its_own(parts: tuple[str, ...], tmp_path: Path) -> None:
    frame = pd.DataFrame({"key": RNG.integers(0, 4, 200), "x": RNG.normal(5, 1, 200)})
    frame["z"] = RNG.normal(0, 1, 200)
    frame.to_csv(tmp_path / "t.csv", index=False)
    filters = ("-c", "x", "--set", "z=diff:7", "--add", "mean=sma:3", "--add", "late=x - lag:21")
    rules = ("--by", "key", "--edge", "missing", "-o", "y.csv")
    program.run("csv", "t.csv", *filters, "--add", "b=bollinger:4", *rules, *parts, cwd=tmp_path)
    found = pd.read_csv(tmp_path / "y.csv")
    of_keys = frame.groupby("key")
    x = of_keys["x"]
    mean = x.transform(lambda s: s.rolling(4).mean())
    spread = 2 * x.transform(lambda s: s.rolling(4).std())
    truth = {
        "z": of_keys["z"].transform(lambda s: s.diff(7)),
        "mean": x.transform(lambda s: s.rolling(3).mean()),
        "late": x.transform(lambda s: s.diff(21)),
        "b_upper": mean + spread,
        "b_lower": mean - spread,
    }
    for name, values in truth.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12, atol=1e-12, err_msg=name)


def test_centred_columns_end_where_their_windows_do(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x\n1\n2\n6\n4\n5\n9\n")
    filters = ("--add", "a=max:3", "--add", "b=lag:2", "--edge", "missing", "--align", "center")
    made = program.run("csv", "t.csv", *filters, cwd=tmp_path)
    assert made.out.decode() == "x,a,b\n1,,\n2,6,\n6,6,1\n4,6,2\n5,9,6\n9,,4\n"


def test_what_cannot_be_missing_is_refused(tmp_path: Path) -> None:
    for command, name in (("audio", "talk.wav"), ("image", "cat.png")):
        words = (command, "box:3", name, "--edge", "missing", "-o", tmp_path / name)
        run = program.run(*words, cwd=program.SAMPLES)
        assert run.code == 2
        assert "can be missing" in run.err
        assert "--edge valid" in run.err
    with pytest.raises(RequestError, match="edge expects shrink, missing, zero"):
        apply("box:3", np.zeros(5), edge="absent")  # type: ignore[arg-type]


def test_a_floating_picture_keeps_its_missing_frame(tmp_path: Path) -> None:
    x = RNG.standard_normal((8, 9)).astype(np.float32)
    pyvips.Image.new_from_array(x).write_to_file(tmp_path / "x.tif")
    program.run("image", "box:3", "x.tif", "--edge", "missing", "-o", "y.tif", cwd=tmp_path)
    y = pyvips.Image.new_from_file(str(tmp_path / "y.tif")).numpy()
    assert np.isnan(y).sum() == 72 - 42
    means = sliding_window_view(x, (3, 3)).mean(axis=(2, 3))
    np.testing.assert_allclose(y[1:-1, 1:-1], means, atol=1e-6)
