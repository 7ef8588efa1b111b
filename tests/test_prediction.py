"""`convcli learn --on differences`, and what a prediction of a table does with its last row."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from convcli.cli import main
from convcli.designs.weights import read_weights
from convcli.engine.arrays import Blocks
from convcli.engine.learn import Lesson, learn
from convcli.signals import Signal

if TYPE_CHECKING:
    from convcli.signals import Array

DATA = Path(__file__).parents[1] / "sample_data"


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def source(x: Array, *, size: int = 1000) -> Blocks:
    names = tuple(str(c) for c in range(x.shape[-1]))
    signal = Signal(medium="table", shape=x.shape[:-1], channels=names)
    return Blocks(signal, [x[a : a + size] for a in range(0, len(x), size)])


def walk(n: int, *, seed: int = 0) -> Array:
    """Levels whose changes follow each other, and a column that moves them."""
    z = noise(n, 2, seed=seed)
    change = np.zeros(n)
    for t in range(1, n):
        change[t] = 0.6 * change[t - 1] - 0.4 * (z[t - 1, 1] - z[t - 2, 1] if t > 1 else 0) + 0.1 * z[t, 0] + 0.02
    return np.stack([100 + np.cumsum(change), z[:, 1]], axis=1)


LESSON = Lesson(taps=(3,), align="causal", bias=True, ahead=1, inputs=(0, 1), targets=(0,), differences=True)


@pytest.mark.parametrize("size", [50, 4000])
@pytest.mark.parametrize("ahead", [1, 3])
def test_changes_by_the_definition(size: int, ahead: int) -> None:
    """Least squares over rows of changes, written out, and put together with the last level."""
    x = walk(1000)
    lesson = Lesson(**{**LESSON.__dict__, "ahead": ahead, "ridge": 0.0, "holdout": 0.0})
    learned = learn(lesson, [(source(x, size=size), None)])
    d = np.diff(x, axis=0)
    rows = np.array([[*d[t - 3 : t].T.ravel(), 1] for t in range(3, 1000 - ahead)])
    change = np.array([x[t + ahead, 0] - x[t, 0] for t in range(3, 1000 - ahead)])
    h = np.linalg.lstsq(rows, change, rcond=None)[0]
    assert learned.weights.shape == (1, 2, 4)
    assert learned.bias is not None
    w = learned.weights[0]
    for t in (3, 500, 990):
        expected = x[t, 0] + d[t - 3 : t].T.ravel() @ h[:-1] + h[-1]
        assert (w * x[t - 3 : t + 1].T).sum() + learned.bias[0] == pytest.approx(expected, abs=1e-8)
    assert w.sum(axis=1) == pytest.approx([1, 0], abs=1e-9)
    assert learned.scores[0].train == pytest.approx(np.sqrt(np.mean((change - rows @ h) ** 2)))


def test_naive_answers_of_changes() -> None:
    x = walk(2000)
    learned = learn(LESSON, [(source(x), None)])
    scores = {score.name: score for score in learned.scores}
    held, train = np.diff(x[1600:, 0]), np.diff(x[3:1600, 0])
    assert list(scores) == ["the filter", "tomorrow is like today", "today and the mean change"]
    assert scores["tomorrow is like today"].held == pytest.approx(np.sqrt(np.mean(held**2)))
    drift = scores["today and the mean change"].held
    assert drift == pytest.approx(np.sqrt(np.mean((held - train.mean()) ** 2)), rel=1e-3)
    assert learned.worse == ()


def test_today_is_known_where_the_target_is_no_input() -> None:
    x = walk(2000)
    x[7, 0] = x[1800, 0] = np.nan
    lesson = Lesson(**{**LESSON.__dict__, "differences": False, "inputs": (1,), "ahead": 2})
    for size in (100, 5000):
        scores = {score.name: score for score in learn(lesson, [(source(x, size=size), None)]).scores}
        assert list(scores) == ["the filter", "the same as 2 before", "the mean"]
        change = x[2:, 0] - x[:-2, 0]
        assert scores["the same as 2 before"].train == pytest.approx(np.sqrt(np.nanmean(change[2:1598] ** 2)))
        assert scores["the same as 2 before"].held == pytest.approx(np.sqrt(np.nanmean(change[1600:] ** 2)))


def test_a_level_of_a_million_that_moves_by_thousandths() -> None:
    x = walk(2000)
    x[:, 0] = 1e6 + 1e-3 * x[:, 0]
    plain, large = (learn(LESSON, [(source(each), None)]) for each in (walk(2000), x))
    np.testing.assert_allclose(large.weights[0, 0], plain.weights[0, 0], atol=1e-4)


def test_nothing_held_out_is_learned_from() -> None:
    x = walk(1000)
    lesson = Lesson(**{**LESSON.__dict__, "ridge": 0.0})
    first = learn(lesson, [(source(x), None)])
    x[800:] *= -1e3
    np.testing.assert_array_equal(learn(lesson, [(source(x), None)]).weights, first.weights)


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    """Two shares in turn."""
    shares = {"A": walk(300), "B": 50 + walk(300, seed=1)}
    rows = [f"{t},{name},{shares[name][t, 0]!s},{shares[name][t, 1]!s}\n" for t in range(300) for name in "AB"]
    path = tmp_path / "prices.csv"
    path.write_text("day,name,close,volume\n" + "".join(rows))
    return path


def predicted(path: Path, model: Path, capfd: Any) -> list[dict[str, str]]:
    words = ["csv", f"model:{model}", str(path), "-c", "close,volume", "--by", "name", "--append", "-q"]
    assert main([*words, "--fail-on", "lookahead"]) == 0
    return list(csv.DictReader(io.StringIO(capfd.readouterr().out)))


@pytest.mark.parametrize("on", ["levels", "differences"])
def test_the_next_unknown_day_is_foretold_for_each_share(prices: Path, on: str, capfd: Any) -> None:
    """The last row of each share has a prediction; a day more of data foretells the day after, and changes no other."""
    model = prices.with_name("next.safetensors")
    words = ["learn", str(prices), "-c", "close,volume", "--by", "name", "--target", "close", "--on", on]
    assert main([*words, "--taps", "3", "-o", str(model), "-q"]) == 0
    assert read_weights(model).metadata["task"] == f"ahead 1, on {on}"
    rows = predicted(prices, model, capfd)
    assert len(rows) == 600
    assert all(row["close_model_next"] for row in rows)
    weights = read_weights(model)
    w, b = weights.tensors["0.weight"][0], weights.tensors["0.bias"][0]
    for name in "AB":
        own = [row for row in rows if row["name"] == name]
        x = np.array([[float(row["close"]), float(row["volume"])] for row in own])
        last = (w * x[-w.shape[1] :].T).sum() + b
        assert float(own[-1]["close_model_next"]) == pytest.approx(last, abs=1e-9)
        errors = np.array([float(row["close_model_next"]) for row in own[5:-1]]) - x[6:, 0]
        assert np.sqrt(np.mean(errors**2)) < 0.15
        assert np.sqrt(np.mean(np.diff(x[:, 0]) ** 2)) > 0.4
    text = prices.read_text().splitlines(keepends=True)
    prices.write_text("".join(text[:-2]))
    assert predicted(prices, model, capfd) == rows[:-2]


def test_honest_about_stocks(tmp_path: Path, capfd: Any) -> None:
    words = ["-c", "price", "--target", "price", "--by", "symbol", "--taps", "12", "--on", "differences"]
    assert main(["learn", str(DATA / "stocks.csv"), *words, "-o", str(tmp_path / "m.safetensors")]) == 0
    told = capfd.readouterr().err
    assert "warning: the filter is no better than 'tomorrow is like today' on what was held out" in told
    assert "today and the mean change" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-c", "volume", "--target", "close"], "which is not among -c"),
        (["-c", "volume", "--target", "close", "--ahead", "0"], "--on differences is for a prediction"),
        (["-c", "close", "--target", "close", "--delay", "1"], "--on differences is for a prediction"),
        (["-c", "close", "--target", "close", "--align", "center"], "would read what is to be predicted"),
        (["-c", "close"], "nothing says what is to be learned"),
    ],
)
def test_what_is_refused(words: list[str], told: str, prices: Path, capfd: Any) -> None:
    model = prices.with_name("m.safetensors")
    assert main(["learn", str(prices), *words, "--on", "differences", "-o", str(model)]) == 2
    assert told in capfd.readouterr().err
    assert not model.exists()


def test_groups_that_are_too_short_to_hold_something_out(tmp_path: Path, capfd: Any) -> None:
    path = tmp_path / "t.csv"
    path.write_text("g,a\n" + "".join(f"{i // 5},{i * i % 17}\n" for i in range(300)))
    words = ["learn", str(path), "--by", "g", "-c", "a", "--target", "a", "-o", str(tmp_path / "m.safetensors")]
    assert main(words) == 3
    assert "windows lie in one signal (or group)" in capfd.readouterr().err
    assert main([*words, "--taps", "3"]) == 0
    assert "what is held out holds no complete window" in capfd.readouterr().err
