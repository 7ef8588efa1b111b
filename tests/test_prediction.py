"""`convcli learn --on differences`, and what a prediction of a table does with its last row."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from program import done
from program import run as run_program

from convcli import RequestError, apply
from convcli.cli import main
from convcli.core.binding import Rules
from convcli.errors import ConvcliError
from convcli.layers.weights import encode_weights, read_weights
from convcli.learning.baselines import no_worse
from convcli.learning.learn import learn
from convcli.learning.pairs import Pair
from convcli.learning.task import Task
from convcli.planning.plan import make_plan
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.signals import TABLE, Signal

if TYPE_CHECKING:
    from convcli.planning.plan import Plan
    from convcli.signals import Array

DATA = Path(__file__).parents[1] / "sample_data"


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def source(x: Array, *, size: int = 1000) -> Blocks:
    names = tuple(str(c) for c in range(x.shape[-1]))
    signal = Signal(medium=TABLE, shape=x.shape[:-1], channels=names)
    return Blocks(signal, [x[a : a + size] for a in range(0, len(x), size)])


def walk(n: int, *, seed: int = 0) -> Array:
    """Levels whose changes follow each other, and a column that moves them."""
    z = noise(n, 2, seed=seed)
    change = np.zeros(n)
    for t in range(1, n):
        change[t] = (
            0.6 * change[t - 1]
            - 0.4 * (z[t - 1, 1] - z[t - 2, 1] if t > 1 else 0)
            + 0.1 * z[t, 0]
            + 0.02
        )
    return np.stack([100 + np.cumsum(change), z[:, 1]], axis=1)


TASK = Task(
    taps=(3,), align="causal", bias=True, ahead=1, inputs=(0, 1), targets=(0,), differences=True
)


@pytest.mark.parametrize("size", [50, 4000])
@pytest.mark.parametrize("ahead", [1, 3])
def test_changes_by_the_definition(size: int, ahead: int) -> None:
    """Least squares over rows of changes, written out, and put together with the last level."""
    x = walk(1000)
    task = Task(**{**vars(TASK), "ahead": ahead, "ridge": 0.0, "holdout": 0.0})
    learned = learn(task, [Pair(source(x, size=size))])
    d = np.diff(x, axis=0)
    rows = np.array([[*d[t - 3 : t].T.ravel(), 1] for t in range(3, 1000 - ahead)])
    change = np.array([x[t + ahead, 0] - x[t, 0] for t in range(3, 1000 - ahead)])
    h = np.linalg.lstsq(rows, change, rcond=None)[0]
    assert learned.tensors["0.weight"].shape == (1, 2, 4)
    w = learned.tensors["0.weight"][0]
    for t in (3, 500, 990):
        expected = x[t, 0] + d[t - 3 : t].T.ravel() @ h[:-1] + h[-1]
        assert (w * x[t - 3 : t + 1].T).sum() + learned.tensors["0.bias"][0] == pytest.approx(
            expected, abs=1e-8
        )
    assert w.sum(axis=1) == pytest.approx([1, 0], abs=1e-9)
    assert learned.facts.errors[0].train == pytest.approx(
        np.sqrt(np.mean((change - rows @ h) ** 2))
    )


def test_naive_answers_of_changes() -> None:
    x = walk(2000)
    learned = learn(TASK, [Pair(source(x))])
    scores = {score.name: score for score in learned.facts.errors}
    held, train = np.diff(x[1600:, 0]), np.diff(x[3:1600, 0])
    assert list(scores) == ["the filter", "tomorrow is like today", "today and the mean change"]
    assert scores["tomorrow is like today"].held == pytest.approx(np.sqrt(np.mean(held**2)))
    drift = scores["today and the mean change"].held
    assert drift == pytest.approx(np.sqrt(np.mean((held - train.mean()) ** 2)), rel=1e-3)
    assert no_worse(learned.facts.errors) == []


def test_today_is_known_where_the_target_is_no_input() -> None:
    x = walk(2000)
    x[7, 0] = x[1800, 0] = np.nan
    task = Task(**{**vars(TASK), "differences": False, "inputs": (1,), "ahead": 2})
    for size in (100, 5000):
        scores = {
            score.name: score for score in learn(task, [Pair(source(x, size=size))]).facts.errors
        }
        assert list(scores) == ["the filter", "the same as 2 before", "the mean"]
        change = x[2:, 0] - x[:-2, 0]
        assert scores["the same as 2 before"].train == pytest.approx(
            np.sqrt(np.nanmean(change[2:1598] ** 2))
        )
        assert scores["the same as 2 before"].held == pytest.approx(
            np.sqrt(np.nanmean(change[1600:] ** 2))
        )


def test_a_level_of_a_million_that_moves_by_thousandths() -> None:
    x = walk(2000)
    x[:, 0] = 1e6 + 1e-3 * x[:, 0]
    plain, large = (learn(TASK, [Pair(source(each))]) for each in (walk(2000), x))
    np.testing.assert_allclose(
        large.tensors["0.weight"][0, 0], plain.tensors["0.weight"][0, 0], atol=1e-4
    )


def test_nothing_held_out_is_learned_from() -> None:
    x = walk(1000)
    task = Task(**{**vars(TASK), "ridge": 0.0})
    first = learn(task, [Pair(source(x))])
    x[800:] *= -1e3
    np.testing.assert_array_equal(
        learn(task, [Pair(source(x))]).tensors["0.weight"], first.tensors["0.weight"]
    )


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    """Two shares in turn."""
    shares = {"A": walk(300), "B": 50 + walk(300, seed=1)}
    rows = [
        f"{t},{name},{shares[name][t, 0]!s},{shares[name][t, 1]!s}\n"
        for t in range(300)
        for name in "AB"
    ]
    path = tmp_path / "prices.csv"
    path.write_text("day,name,close,volume\n" + "".join(rows))
    return path


def predicted(path: Path, model: Path, capfd: Any) -> list[dict[str, str]]:
    words = [
        "csv",
        f"model:{model}",
        str(path),
        "-c",
        "close,volume",
        "--by",
        "name",
        "--append",
        "-q",
    ]
    assert main([*words, "--fail-on", "lookahead"]) == 0
    return list(csv.DictReader(io.StringIO(capfd.readouterr().out)))


def test_infinite_numbers_are_passed_over_without_a_word() -> None:
    """The tests make an error of every warning."""
    x = walk(3000)
    clear = learn(TASK, [Pair(source(x))])
    x[1000:1010, 0] = np.inf
    gaps = learn(TASK, [Pair(source(x))])
    assert gaps.facts.passed_over > 10
    np.testing.assert_allclose(gaps.tensors["0.weight"], clear.tensors["0.weight"], atol=0.05)


@pytest.mark.parametrize("on", ["levels", "differences"])
def test_the_next_unknown_day_is_foretold_for_each_share(prices: Path, on: str, capfd: Any) -> None:
    """The last row of each share has a prediction; a day more of data foretells the day after, and changes no other."""
    model = prices.with_name("next.safetensors")
    words = [
        "learn",
        str(prices),
        "-c",
        "close,volume",
        "--by",
        "name",
        "--target",
        "close",
        "--on",
        on,
    ]
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
    words = [
        "-c",
        "price",
        "--target",
        "price",
        "--by",
        "symbol",
        "--taps",
        "12",
        "--on",
        "differences",
    ]
    assert (
        main(["learn", str(DATA / "stocks.csv"), *words, "-o", str(tmp_path / "m.safetensors")])
        == 0
    )
    told = capfd.readouterr().err
    assert (
        "warning: the filter is no better than 'tomorrow is like today' on what was held out"
        in told
    )
    assert "today and the mean change" in told


@pytest.mark.parametrize("layers", [[], ["--layers", "conv:4,3 | relu | conv:1,3"]])
def test_a_perfect_trend_has_constant_changes(
    layers: list[str], tmp_path: Path, capfd: Any
) -> None:
    (tmp_path / "t.csv").write_text("x\n" + "".join(f"{3 * i + 1}\n" for i in range(300)))
    words = [
        "-c",
        "x",
        "--target",
        "x",
        "--on",
        "differences",
        *layers,
        "-o",
        str(tmp_path / "m.safetensors"),
    ]
    assert main(["learn", str(tmp_path / "t.csv"), *words]) == 3
    told = capfd.readouterr().err
    assert (
        "error: the changes of the input are constant where it is learned from: there is nothing to learn"
        in told
    )
    assert "hint: the last value and that change are the forecast" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-c", "volume", "--target", "close"], "which is not among -c"),
        (
            ["-c", "volume", "--target", "close", "--ahead", "0"],
            "--on differences is for a prediction",
        ),
        (
            ["-c", "close", "--target", "close", "--delay", "1"],
            "--on differences is for a prediction",
        ),
        (
            ["-c", "close", "--target", "close", "--align", "center"],
            "would read what is to be predicted",
        ),
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
    words = [
        "learn",
        str(path),
        "--by",
        "g",
        "-c",
        "a",
        "--target",
        "a",
        "-o",
        str(tmp_path / "m.safetensors"),
    ]
    assert main(words) == 3
    assert "windows lie in one signal (or group)" in capfd.readouterr().err
    assert main([*words, "--taps", "3"]) == 0
    assert "what is held out holds no complete window" in capfd.readouterr().err


# ------------------------------------------------------------------------------ networks of changes


def network_of_changes(path: Path, layers: str, **about: str) -> tuple[Path, dict[str, Any]]:
    random = np.random.default_rng(3)
    tensors: dict[str, Any] = {
        "0.weight": random.normal(size=(3, 2, 4)),
        "0.bias": random.normal(size=3),
        "2.weight": random.normal(size=(1, 3, 2)),
        "2.bias": random.normal(size=1),
    }
    metadata = {
        "layers": layers,
        "medium": "table",
        "align": "causal",
        "on": "differences",
        "columns": '["a", "b"]',
        "targets": '["b"]',
        "scaling": '{"inputs": [[0.5, 2.0], [-1.0, 4.0]], "outputs": [[0.25, 8.0]]}',
    } | about
    path.write_bytes(encode_weights(tensors, metadata))
    return path, tensors


def planned(path: Path, x: Array, **rules: Any) -> tuple[Plan, Signal]:
    signal = Signal(medium=TABLE, shape=(len(x),), channels=("a", "b"))
    return make_plan(f"model:{path}", signal, Rules(edge="shrink", align="causal", **rules)), signal


def run_in(plan: Plan, signal: Signal, x: Array, size: int) -> Array:
    sink = Collected()
    run(plan, Blocks(signal, [x[a : a + size] for a in range(0, len(x), size)]), sink, threads=1)
    return np.concatenate(sink.parts)[:, 0]


def test_a_network_of_changes_by_the_definition(tmp_path: Path) -> None:
    path, w = network_of_changes(tmp_path / "m.safetensors", "conv | tanh | conv")
    x = 100 + np.cumsum(noise(40, 2), axis=0)
    x[17, 0] = np.nan
    plan, signal = planned(path, x)
    assert plan.result.channels == ("b",)
    assert plan.chain.reach[0].before == 5
    assert "of changes, added to b" in plan.steps[0].stage.note
    y = run_in(plan, signal, x, 40)
    change = (np.diff(x, axis=0) - [0.5, -1]) / [2, 4]
    for t in range(5, 40):
        if 17 <= t <= 22:
            continue
        hidden = [
            np.tanh((w["0.weight"] * change[s - 4 : s].T).sum(axis=(1, 2)) + w["0.bias"])
            for s in (t - 1, t)
        ]
        out = (w["2.weight"][0] * np.array(hidden).T).sum() + w["2.bias"][0]
        assert y[t] == pytest.approx(x[t, 1] + 8 * out + 0.25, abs=1e-10)
    assert np.isnan(y).tolist() == [t == 17 for t in range(40)]
    for missing in ("keep", "fill", "propagate"):
        plan, signal = planned(path, x, missing=missing)
        whole = run_in(plan, signal, x, 40)
        for size in (1, 3, 7):
            np.testing.assert_array_equal(run_in(plan, signal, x, size), whole)


def test_a_network_of_changes_is_learned_and_run(tmp_path: Path) -> None:
    x = walk(1500)
    x[:, 0] += np.cumsum(
        np.maximum(0, np.roll(np.diff(x[:, 1], prepend=0), 1))
    )  # what no linear filter follows
    data = tmp_path / "w.csv"
    data.write_text("a,b\n" + "".join(f"{a!r},{b!r}\n" for a, b in x.tolist()))
    model = tmp_path / "m.safetensors"
    words = (
        "learn",
        data,
        "-c",
        "a,b",
        "--target",
        "a",
        "--on",
        "differences",
        "--layers",
        "conv:6,3 | relu | conv:1,1",
    )
    told = done(*words, "--epochs", "60", "--learning-rate", "0.01", "-o", model).err.splitlines()
    names, held = zip(*(re.split("  +", line.strip())[::2] for line in told[2:6]), strict=True)
    assert names == (
        "the network",
        "one linear layer, 3 taps",
        "tomorrow is like today",
        "today and the mean change",
    )
    errors = [float(number) for number in held]
    assert errors[0] < 0.8 * errors[1] < errors[2]
    assert read_weights(model).metadata["on"] == "differences"
    lines = done("csv", f"model:{model}", data, "-q").text.splitlines()[1:]
    foretold = np.array([float(line.split(",")[0]) for line in lines])
    wrong = foretold[1200:-1] - x[1201:, 0]
    assert np.sqrt(np.mean(wrong**2)) == pytest.approx(errors[0], rel=1e-3)


@pytest.mark.parametrize(
    ("layers", "about", "said"),
    [
        (
            "conv | avg_pool:3,stride=1 | conv",
            {},
            "avg_pool has no place where changes are predicted",
        ),
        (
            "conv | global_avg_pool | conv",
            {},
            "global_avg_pool has no place where changes are predicted",
        ),
        ("conv | tanh | conv", {"on": "both"}, "its metadata says on 'both' of b"),
        ("conv | tanh | conv", {"targets": '["c"]'}, "its metadata says on 'differences' of c"),
        ("conv | tanh | conv", {"targets": '["a", "b"]'}, "on 'differences' of a, b"),
        ("conv | tanh | conv", {"columns": '["a", "b", "c"]'}, "changes of a table with 3 columns"),
    ],
)
def test_networks_of_changes_that_are_none(
    layers: str, about: dict[str, str], said: str, tmp_path: Path
) -> None:
    path, _ = network_of_changes(tmp_path / "m.safetensors", layers, **about)
    with pytest.raises(ConvcliError, match=said):
        planned(path, noise(40, 2))


def test_changes_need_their_columns(tmp_path: Path) -> None:
    path, _ = network_of_changes(
        tmp_path / "m.safetensors", "conv | tanh | conv", columns='["a", "b", "c"]'
    )
    with pytest.raises(
        RequestError, match="predicts changes of a table with 3 columns, and this has 2"
    ):
        apply(f"model:{path}", noise(40, 2))
    words = [
        "learn",
        str(DATA / "stocks.csv"),
        "-c",
        "price",
        "--target",
        "price",
        "--on",
        "differences",
    ]
    out = ["--layers", "conv:2,3 | max_pool:2 | conv:1,1", "-o", str(tmp_path / "n.safetensors")]
    assert main([*words, *out]) == 2
    assert not (tmp_path / "n.safetensors").exists()


def test_values_whose_squares_overflow_are_told_in_one_line(tmp_path: Path) -> None:
    data = tmp_path / "big.csv"
    data.write_text("a\n" + "".join(f"{i * 7 % 5}e300\n" for i in range(100)))
    for how in (("--layers", "conv:4,2 | relu | conv:1,1"), ("--taps", "3")):
        told = run_program(
            "learn",
            data,
            "--target",
            "a",
            "--on",
            "differences",
            *how,
            "-o",
            tmp_path / "m.safetensors",
        )
        assert told.code == 3
        assert (
            told.err.splitlines()[0]
            == "error: the samples are so large that their squares overflow"
        )
