"""`convcli learn`: known taps come back, what is held out is not seen, and it says when nothing was gained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from program import done, refused, run, shell

from convcli import InputError, RequestError, apply
from convcli.cli import main
from convcli.core.correlation.normal_equations import ProductSums, solve, sums_over
from convcli.layers.weights import read_weights
from convcli.learning.baselines import no_worse
from convcli.learning.learn import learn
from convcli.learning.least_squares import ridge_choice
from convcli.learning.pairs import Pair, PairReader, check_pairs
from convcli.learning.task import Task
from convcli.learning.trainer import Callbacks
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.running.arrays import Blocks
from convcli.signals import TABLE, Signal

if TYPE_CHECKING:
    from program import Program

    from convcli.signals import Array


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def source(
    x: Array, *, medium: Any = AUDIO, size: int = 1000, rate: float | None = 16000.0
) -> Blocks:
    names = tuple(str(c) for c in range(x.shape[-1]))
    signal = Signal(medium=medium, shape=x.shape[:-1], channels=names, rate=rate)
    return Blocks(signal, [x[a : a + size] for a in range(0, len(x), size)])


# ----------------------------------------------------------------------------------------- the sums


@pytest.mark.parametrize(
    ("shape", "x_shape", "outputs"),
    [
        ((5,), (60, 2), 1),
        ((20,), (400, 3), 2),
        ((33,), (200, 1), 1),
        ((3, 4), (12, 11, 2), 2),
        ((1,), (9, 1), 1),
    ],
)
def test_sums_are_those_of_the_definition(
    shape: tuple[int, ...], x_shape: tuple[int, ...], outputs: int
) -> None:
    x = 3 + noise(*x_shape)
    size = tuple(n - k + 1 for n, k in zip(x_shape, shape, strict=False))
    y = noise(*size, outputs, seed=1)
    rows = []
    for place in np.ndindex(*size):
        window = x[tuple(slice(p, p + k) for p, k in zip(place, shape, strict=True))]
        rows.append([*np.moveaxis(window, -1, 0).ravel(), 1.0])
    a = np.array(rows)
    sums = sums_over(x, y, shape)
    flat = y.reshape(-1, outputs)
    np.testing.assert_allclose(sums.gram, a.T @ a, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(sums.cross, a.T @ flat, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(sums.energy, (flat**2).sum(axis=0))
    assert sums.count == len(a)
    w: Any = noise(a.shape[1], outputs, seed=2)
    assert sums.error(w) == pytest.approx(float(((flat - a @ w) ** 2).mean()))


def test_a_ridge_is_what_the_definition_says() -> None:
    x, y = noise(200, 1), noise(191, 1, seed=1)
    sums = sums_over(x, y, (10,))
    solution = solve(sums, None, free=np.ones(10, bool), bias=False, ridge=0.3)
    assert solution is not None
    gram = sums.gram[:-1, :-1]
    expected = np.linalg.solve(gram + 0.3 * np.diag(np.diag(gram)), sums.cross[:-1])
    np.testing.assert_allclose(solution.w[:-1], expected, rtol=1e-9)


# --------------------------------------------------------------------------------------- known taps


def weighed(w: Array, x: Array, align: str = "center") -> Array:
    """Windows of `x` times the weights of a layer.

    Of an even number of taps the earlier one of the two in the middle meets the sample of the
    output, as with padding="same" in torch.
    """
    before = len(w) - 1 if align == "causal" else (len(w) - 1) // 2
    padded = np.pad(x[:, 0], (before, len(w) - 1 - before))
    return np.correlate(padded, w, "valid")[:, None]


@pytest.mark.parametrize("align", ["center", "causal"])
@pytest.mark.parametrize("k", [1, 8, 31, 64])
def test_known_taps_come_back(align: Any, k: int) -> None:
    w = noise(k, seed=3)
    x = noise(6000, 1)
    y = weighed(w, x, align)
    for size in (37, 1000, 6000):
        learned = learn(
            Task(taps=(k,), align=align), [Pair(source(x, size=size), source(y, size=777))]
        )
        np.testing.assert_allclose(learned.tensors["0.weight"][0, 0], w, atol=1e-8)
    assert learned.facts.errors[0].held == pytest.approx(0, abs=1e-6)
    assert "0.bias" not in learned.tensors


@pytest.mark.parametrize("k", [5, 9, 64])
def test_an_error_of_rounding_alone_is_0(k: int) -> None:
    """Taps that are known exactly leave no error, and no ridge looks better than none."""
    w = noise(k, seed=3)
    x = noise(20_000, 1)
    learned = learn(Task(taps=(k,)), [Pair(source(x), source(weighed(w, x)))])
    filtered = learned.facts.errors[0]
    assert (filtered.train, filtered.held) == (0, 0)
    assert learned.facts.ridge == 0
    np.testing.assert_allclose(learned.tensors["0.weight"][0, 0], w, atol=1e-13)


@pytest.mark.parametrize("level", [1e-3, 1e-5, 1e-6])
def test_an_error_above_the_rounding_is_told(level: float) -> None:
    x = noise(20_000, 1)
    y = weighed(np.array([0.5, -0.3, 0.2]), x) + level * noise(len(x), 1, seed=7)
    learned = learn(Task(taps=(3,), ridge=0.0), [Pair(source(x), source(y))])
    difference = y - weighed(learned.tensors["0.weight"][0, 0], x)
    held = difference[16_000:-1]
    expected = float(np.sqrt((held**2).mean()))
    assert learned.facts.errors[0].held == pytest.approx(expected, rel=1e-2)


def test_2_600_000_samples_to_1e_5_under_noise_of_1e_3() -> None:
    w = noise(64, seed=4)
    x = noise(2_600_000, 1)
    y = weighed(w, x)
    y = y + 1e-3 * noise(len(x), 1, seed=5)
    learned = learn(Task(taps=(64,)), [Pair(source(x, size=65536), source(y, size=65536))])
    assert np.abs(learned.tensors["0.weight"][0, 0] - w).max() < 1e-5 * np.abs(w).max()


def test_channels_mix_or_share() -> None:
    w = noise(2, 3, 5, seed=6)
    x = noise(3000, 3)
    y = np.stack(
        [sum(np.correlate(x[:, i], w[o, i], "same") for i in range(3)) for o in range(2)], axis=1
    )
    mixed = learn(Task(taps=(5,), mix=True), [Pair(source(x), source(y))])
    np.testing.assert_allclose(mixed.tensors["0.weight"], w, atol=1e-9)
    shared = np.stack([np.correlate(x[:, c], w[0, 0], "same") for c in range(3)], axis=1)
    one = learn(Task(taps=(5,)), [Pair(source(x), source(shared))])
    np.testing.assert_allclose(one.tensors["0.weight"], w[:1, :1], atol=1e-9)
    with pytest.raises(RequestError, match="the input has 3 channels and the target 2"):
        learn(Task(taps=(5,)), [Pair(source(x), source(y))])


def test_pictures_and_a_bias() -> None:
    w = noise(3, 5, seed=7)
    x = noise(60, 50, 1)
    kernel = ";".join(",".join(map(repr, row)) for row in w.tolist())
    y = apply(f"correlate:{kernel} | offset:0.25", x, edge="zero")
    for size in (1, 7, 60):
        learned = learn(
            Task(taps=(3, 5), bias=True),
            [Pair(source(x, medium=IMAGE, size=size), source(y, medium=IMAGE, size=11))],
        )
        np.testing.assert_allclose(learned.tensors["0.weight"][0, 0], w, atol=1e-9)
        np.testing.assert_allclose(learned.tensors["0.bias"], 0.25, atol=1e-9)


def test_the_sums_of_several_pairs_add_up() -> None:
    w = noise(9, seed=8)
    parts = [noise(500, 1, seed=s) for s in (1, 2, 3)]
    text = "correlate:" + ",".join(map(repr, w.tolist()))
    learned = learn(Task(taps=(9,)), [Pair(source(x), source(apply(text, x))) for x in parts])
    np.testing.assert_allclose(learned.tensors["0.weight"][0, 0], w, atol=1e-9)
    assert learned.facts.samples + learned.facts.held_out <= 3 * 500


def test_large_levels_with_small_changes() -> None:
    """A price of a million that moves by thousandths."""
    x = 1e6 + 1e-3 * noise(4000, 1)
    y = 0.5 * x[1:-1] - 0.25 * x[:-2] + 7
    y = np.concatenate([y[:1], y, y[-1:]])
    learned = learn(Task(taps=(3,), bias=True), [Pair(source(x), source(y))])
    np.testing.assert_allclose(learned.tensors["0.weight"][0, 0], [-0.25, 0.5, 0], atol=1e-4)
    assert learned.facts.errors[0].held is not None
    assert learned.facts.errors[0].held < 1e-6


@pytest.mark.parametrize("scale", [1e12, 1e-12])
def test_channels_of_any_scale_are_learned_from(scale: float) -> None:
    """The volume of trades beside returns; a third channel is constant, but not its rounded mean."""
    x = noise(3000, 3) * [1, scale, 0] + [0, 0, 0.1]
    learned = learn(Task(taps=(1,), bias=True, mix=True), [Pair(source(x), source(2 * x[:, 1:2]))])
    shares = learned.tensors["0.weight"][0, :, 0] * [1, scale, 0.1] / scale
    np.testing.assert_allclose(shares, [0, 2, 0], atol=1e-9)


# --------------------------------------------------------------------------------- what is held out


@pytest.mark.parametrize("ahead", [0, 3])
@pytest.mark.parametrize("align", ["center", "causal"])
def test_nothing_held_out_is_learned_from(align: Any, ahead: int) -> None:
    x, y = noise(1000, 1), noise(1000, 1, seed=1)
    task = Task(taps=(21,), align=align, ahead=ahead, ridge=0.0)
    first = learn(task, [Pair(source(x), source(y))])
    x[800:], y[800:] = 1e3 * x[800:], -1e3
    np.testing.assert_array_equal(
        learn(task, [Pair(source(x), source(y))]).tensors["0.weight"], first.tensors["0.weight"]
    )
    x[799] += 1
    assert (
        (
            learn(task, [Pair(source(x), source(y))]).tensors["0.weight"]
            != first.tensors["0.weight"]
        ).any()
        or align == "center"
        or ahead
    )


def test_scores_are_those_of_the_taps() -> None:
    x = noise(1000, 1)
    y = 0.7 * x + 0.1 * noise(1000, 1, seed=1)
    learned = learn(Task(taps=(3,), ridge=0.0), [Pair(source(x), source(y))])
    scores = {score.name: score for score in learned.facts.errors}
    t, held = np.arange(1, 799), np.arange(800, 999)
    w = learned.tensors["0.weight"][0, 0]
    for part, name in ((t, "train"), (held, "held")):
        own = y[part, 0] - sum(w[j] * x[part + j - 1, 0] for j in range(3))
        assert getattr(scores["the filter"], name) == pytest.approx(float(np.sqrt((own**2).mean())))
        identity = y[part, 0] - x[part, 0]
        assert getattr(scores["as it is"], name) == pytest.approx(
            float(np.sqrt((identity**2).mean()))
        )
        gain = (x[t, 0] * y[t, 0]).sum() / (x[t, 0] ** 2).sum()
        best = y[part, 0] - gain * x[part, 0]
        assert getattr(scores["the best gain"], name) == pytest.approx(
            float(np.sqrt((best**2).mean()))
        )
    assert (learned.facts.samples, learned.facts.held_out) == (len(t), len(held))


def test_levels_do_not_change_the_naive_answers() -> None:
    x = 50 + noise(1000, 2)
    task = Task(taps=(3,), align="causal", bias=True, ahead=1, inputs=(0, 1), targets=(1,))
    learned = learn(task, [Pair(source(x, medium=TABLE))])
    (today,) = [score for score in learned.facts.errors if score.name == "tomorrow is like today"]
    part = np.arange(800, 999)
    assert today.held == pytest.approx(float(np.sqrt(((x[part + 1, 1] - x[part, 1]) ** 2).mean())))


def test_a_walk_at_random_cannot_be_foretold() -> None:
    x = np.cumsum(noise(3000, 1), axis=0)
    task = Task(
        taps=(20,), align="causal", bias=True, ahead=1, inputs=(0,), targets=(0,), ridge=0.0
    )
    learned = learn(task, [Pair(source(x, medium=TABLE))])
    assert no_worse(learned.facts.errors) == ["tomorrow is like today"]


def test_missing_samples_are_passed_over() -> None:
    w = noise(4, seed=9)
    x = noise(2000, 1)
    y = weighed(w, x)
    x[np.random.default_rng(1).random(2000) < 0.05] = np.nan
    y[::37] = np.nan
    for size in (3, 200):
        learned = learn(Task(taps=(4,)), [Pair(source(x, size=size), source(y, size=size))])
        np.testing.assert_allclose(learned.tensors["0.weight"][0, 0], w, atol=1e-9)


def test_blind_leaves_the_sample_itself_out() -> None:
    t = np.arange(8000)
    clean = np.sin(0.05 * t)[:, None]
    noisy = clean + 0.5 * noise(8000, 1)
    learned = learn(Task(taps=(41,), blind=True), [Pair(source(noisy))])
    assert learned.tensors["0.weight"][0, 0, 20] == 0
    taps = ",".join(map(repr, learned.tensors["0.weight"][0, 0].tolist()))
    cleaned = apply(f"correlate:{taps}", noisy)[50:-50]
    before, after = np.mean((noisy - clean)[50:-50] ** 2), np.mean((cleaned - clean[50:-50]) ** 2)
    assert 10 * np.log10(before / after) > 10


# ----------------------------------------------------------------------------------- honest failure


def test_constant_input() -> None:
    for level in (0.0, 0.5):
        x = np.full((500, 1), level)
        with pytest.raises(InputError, match="constant"):
            learn(Task(taps=(5,), bias=True), [Pair(source(x), source(noise(500, 1)))])


def test_rank_deficient_input_gives_finite_taps() -> None:
    x = np.sin(0.3 * np.arange(3000))[:, None]
    y = np.roll(x, 2)
    learned = learn(Task(taps=(32,)), [Pair(source(x), source(y))])
    assert learned.facts.deficient
    assert np.isfinite(learned.tensors["0.weight"]).all()
    assert learned.facts.errors[0].held is not None
    assert learned.facts.errors[0].held < 1e-3


def test_too_little_data() -> None:
    with pytest.raises(InputError, match="complete windows to learn 64 weights from"):
        learn(Task(taps=(64,)), [Pair(source(noise(100, 1)), source(noise(100, 1)))])
    with pytest.raises(InputError, match=r"no samples|complete windows"):
        learn(Task(taps=(3,)), [Pair(source(noise(0, 1)), source(noise(0, 1)))])


def test_pairs_that_do_not_fit() -> None:
    x = noise(500, 1)
    with pytest.raises(RequestError, match="the input has 500 samples and the target 400"):
        learn(Task(taps=(3,)), [Pair(source(x), source(x[:400]))])
    with pytest.raises(
        RequestError, match="the input has 16000 samples per second and the target 8000"
    ):
        learn(Task(taps=(3,)), [Pair(source(x), source(x, rate=8000.0))])
    with pytest.raises(RequestError, match="6,001 weights"):
        learn(Task(taps=(6001,)), [Pair(source(x), source(x))])


def test_of_several_pairs_the_one_that_does_not_fit_is_named() -> None:
    x = noise(500, 1)
    pairs = [Pair(source(x), source(x), "first"), Pair(source(x), source(x[:400]), "second")]
    with pytest.raises(RequestError, match="second: the input has 500 samples"):
        learn(Task(taps=(3,)), pairs)


def test_every_window_is_told_on_the_way() -> None:
    x = noise(3000, 2)
    told: list[int] = []
    callbacks = Callbacks(on_samples=told.append)
    model = learn(Task(taps=(5,)), [Pair(source(x), source(x))], callbacks=callbacks)
    assert 2 * sum(told) == model.facts.samples + model.facts.held_out


def test_overflowing_samples() -> None:
    x = 1e200 * noise(500, 1)
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(InputError, match="overflow") as caught,
    ):
        learn(Task(taps=(3,)), [Pair(source(x), source(x))])
    assert "normalize" in str(caught.value.hint)
    for size in (slice(None), slice(450, None)):  # in all, or in what is held out alone
        y = noise(500, 1)
        y[size] *= 1e200
        with pytest.raises(InputError, match="overflow"):
            learn(Task(taps=(3,)), [Pair(source(noise(500, 1)), source(y))])


@pytest.mark.parametrize("options", [(), ("--on", "differences")])
def test_the_largest_numbers_warn_of_nothing(options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n" + "1e308\n-1e308\n" * 50)
    words = ["learn", "a.csv", "-c", "x", "--target", "x", "--taps", "2", "-o", "m.safetensors"]
    ended = run(*words, *options, cwd=tmp_path)
    assert ended.code == 3
    assert (len(ended.errors), len(ended.err.splitlines())) == (1, 2), ended
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_sums_that_overflow_in_opposite_directions_warn_of_nothing() -> None:
    x = noise(9, 1)
    total = sums_over(x, x[2:], (3,))
    other = sums_over(x, x[2:], (3,))
    total.gram[0, 1], other.gram[0, 1] = np.inf, -np.inf
    total.add(other)  # a warning is an error in tests
    assert not total.finite


# --------------------------------------------------------------------------------- the command line


@pytest.fixture
def sounds(tmp_path: Path) -> tuple[Path, Path]:
    clean = apply("lowpass:0.05", noise(30_000)) * 0.3
    noisy = clean + 0.02 * noise(30_000, seed=1)
    soundfile.write(tmp_path / "noisy.wav", noisy, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "clean.wav", clean, 16000, subtype="FLOAT")
    return tmp_path / "noisy.wav", tmp_path / "clean.wav"


def snr(clean: Array, y: Array) -> float:
    return float(10 * np.log10((clean**2).sum() / ((y - clean) ** 2).sum()))


def test_learned_from_a_pair_of_sounds(sounds: tuple[Path, Path], capfd: Any) -> None:
    noisy, clean = map(str, sounds)
    model, out = noisy.replace("noisy.wav", "m.safetensors"), noisy.replace("noisy", "out")
    assert main(["learn", noisy, clean, "--taps", "65", "-o", model]) == 0
    told = capfd.readouterr()
    assert told.out == ""
    assert "conv:1,65, 65 parameters" in told.err
    for name in ("the filter", "as it is", "the best gain", "the mean"):
        assert f"  {name} " in told.err
    assert "dB)" in told.err
    assert main(["audio", f"model:{model}", noisy, "-o", out, "-q"]) == 0
    truth, _ = soundfile.read(clean)
    before, _ = soundfile.read(noisy)
    after, _ = soundfile.read(out)
    assert snr(truth, after) > snr(truth, before) + 6
    metadata = read_weights(sounds[0].with_name("m.safetensors")).metadata
    assert metadata["layers"] == "conv:1,65"
    assert metadata["rate"] == "16000.0"
    assert json.loads(metadata["facts"])["train"] > 20_000


def test_blind_from_one_sound(sounds: tuple[Path, Path]) -> None:
    noisy, clean = sounds
    model, out = noisy.with_name("b.safetensors"), noisy.with_name("out.wav")
    assert main(["learn", "--blind", str(noisy), "-o", str(model), "-q"]) == 0
    assert main(["audio", f"model:{model}", str(noisy), "-o", str(out), "-q"]) == 0
    truth = soundfile.read(clean)[0]
    assert snr(truth, soundfile.read(out)[0]) > snr(truth, soundfile.read(noisy)[0]) + 3


def test_two_folders(sounds: tuple[Path, Path], tmp_path: Path) -> None:
    for folder, file in (("in", sounds[0]), ("out", sounds[1])):
        (tmp_path / folder).mkdir()
        for name in ("a.wav", "b.wav"):
            (tmp_path / folder / name).write_bytes(file.read_bytes())
    model = tmp_path / "m.safetensors"
    assert (
        main(
            [
                "learn",
                str(tmp_path / "in"),
                str(tmp_path / "out"),
                "--taps",
                "9",
                "-o",
                str(model),
                "-q",
            ]
        )
        == 0
    )
    (tmp_path / "out" / "b.wav").unlink()
    assert (
        main(["learn", str(tmp_path / "in"), str(tmp_path / "out"), "-o", str(model), "--force"])
        == 2
    )


PRICES = "day,name,open,close\n"


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    """Two shares whose next close is a mixture of what was."""
    rows = []
    for name, seed in (("A", 1), ("B", 2)):
        z = noise(400, 2, seed=seed)
        for t in range(2, 400):
            z[t, 1] = 0.6 * z[t - 1, 1] - 0.3 * z[t - 2, 0] + 2 + 0.1 * z[t, 1]
        rows += [(t, name, float(z[t, 0]), float(z[t, 1])) for t in range(400)]
    rows.sort(key=lambda row: row[0])
    path = tmp_path / "prices.csv"
    path.write_text(PRICES + "".join(f"{t},{name},{o!r},{c!r}\n" for t, name, o, c in rows))
    return path


def test_prediction_of_a_column(prices: Path, capfd: Any) -> None:
    model = prices.with_name("next.safetensors")
    options = ["-c", "open,close", "--by", "name"]
    words = [
        "learn",
        str(prices),
        *options,
        "--target",
        "close",
        "--ahead",
        "1",
        "--taps",
        "3",
        "-o",
        str(model),
    ]
    assert main(words) == 0
    assert "tomorrow is like today" in capfd.readouterr().err
    weights = read_weights(model)
    np.testing.assert_allclose(
        weights.tensors["0.weight"][0], [[0, -0.3, 0], [0, 0, 0.6]], atol=0.12
    )
    np.testing.assert_allclose(weights.tensors["0.bias"], [2], atol=0.3)
    assert (
        main(
            [
                "csv",
                f"model:{model}",
                str(prices),
                *options,
                "--append",
                "-q",
                "--fail-on",
                "lookahead",
            ]
        )
        == 0
    )
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "day,name,open,close,close_model_next"
    assert len(lines) == 801
    rows = [line.split(",") for line in lines[1:]]
    for name in "AB":
        own = [row for row in rows if row[1] == name]
        predicted = np.array([float(row[4]) for row in own])
        x = np.array([[float(row[2]), float(row[3])] for row in own])
        # The prediction beside a row is that for the next; the last row, whose next is not known,
        # has one too.
        w, b = weights.tensors["0.weight"][0], weights.tensors["0.bias"][0]
        expected = [b + (w * x[t - 2 : t + 1].T).sum() for t in range(2, len(x))]
        np.testing.assert_allclose(predicted[2:], expected, atol=1e-12)
        assert np.std(predicted[5:-1] - x[6:, 1]) < 0.12


def test_in_place_of_the_column(prices: Path, capfd: Any) -> None:
    model = prices.with_name("m.safetensors")
    words = [
        "learn",
        str(prices),
        "-c",
        "open,close",
        "--target",
        "close",
        "--taps",
        "3",
        "-o",
        str(model),
        "-q",
    ]
    assert main(words) == 0
    assert main(["csv", f"model:{model}", str(prices), "-c", "open,close", "-q"]) == 0
    before = prices.read_text().splitlines()
    after = capfd.readouterr().out.splitlines()
    assert [line.rsplit(",", 1)[0] for line in after] == [line.rsplit(",", 1)[0] for line in before]
    assert after[5] != before[5]


def test_a_column_from_another_one(prices: Path, capfd: Any) -> None:
    model = prices.with_name("m.safetensors")
    words = [
        "-c",
        "open",
        "--target",
        "close",
        "--ahead",
        "0",
        "--taps",
        "5",
        "--by",
        "name",
        "-o",
        str(model),
    ]
    assert main(["learn", str(prices), *words]) == 0
    assert "tomorrow" not in capfd.readouterr().err
    assert read_weights(model).metadata["columns"] == '["open"]'


def test_a_target_that_is_misspelt(prices: Path, capfd: Any) -> None:
    assert (
        main(
            ["learn", str(prices), "--target", "clos", "-o", str(prices.with_name("m.safetensors"))]
        )
        == 2
    )
    assert "hint: did you mean close?" in capfd.readouterr().err


def test_no_rows_but_a_header(tmp_path: Path, capfd: Any) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n")
    assert (
        main(
            [
                "learn",
                str(path),
                "-c",
                "a,b",
                "--target",
                "a",
                "-o",
                str(tmp_path / "m.safetensors"),
            ]
        )
        == 3
    )
    assert "no samples" in capfd.readouterr().err
    assert not (tmp_path / "m.safetensors").exists()


def test_two_tables_are_put_side_by_side(tmp_path: Path, program: Program) -> None:
    x = np.random.default_rng(8).normal(size=300)
    y = np.convolve(x, [0.5, 0.25])[:300]
    for name, values in (("a", x), ("b", y)):
        text = "\n".join(format(value, ".17g") for value in values)
        (tmp_path / f"{name}.csv").write_text(f"{name}\n{text}\n")
    ended = program.run("learn", "a.csv", "b.csv", "-o", "m.safetensors", cwd=tmp_path)
    assert ended.code == 2
    command = "paste -d, a.csv b.csv | convcli learn - -c INPUT --target COLUMN --ahead 0"
    assert f"{command} -o MODEL.safetensors" in ended.err
    rows = zip(
        *((tmp_path / name).read_text().splitlines() for name in ("a.csv", "b.csv")), strict=True
    )
    pasted = "\n".join(",".join(row) for row in rows).encode()
    words = ("learn", "-", "-c", "a", "--target", "b", "--ahead", "0", "-o", "m.safetensors")
    learned = program.run(*words, "--taps", "2", stdin=pasted, cwd=tmp_path)
    assert learned.code == 0, learned.err
    shown = program.run("csv", "model:m.safetensors", "a.csv", "-q", cwd=tmp_path)
    found = [float(line) for line in shown.text.splitlines()[2:]]
    np.testing.assert_allclose(found, y[1:], atol=1e-6)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["clean.wav"], 2, "nothing says what is to be learned"),
        (["noisy.wav", "clean.wav", "--blind"], 2, "--blind learns from INPUT alone"),
        (["noisy.wav", "clean.wav", "--taps", "9x9"], 2, "--taps: expected N, got '9x9'"),
        (["noisy.wav", "clean.wav", "--taps", "0"], 2, "--taps: expected at least 1"),
        (["noisy.wav", "clean.wav", "--holdout", "100%"], 2, "--holdout expects 0% to 99%"),
        (["noisy.wav", "clean.wav", "--target", "x"], 2, "--target names a column"),
        (["noisy.wav", "none.wav"], 3, "none.wav"),
        (["noisy.wav", "clean.wav", "--taps", "7000"], 2, "7,000 weights"),
        (["noisy.wav", "clean.wav", "-o", "m.txt"], 2, "expects a model file"),
        (["noisy.wav", "clean.wav", "-o", "no/m.safetensors"], 4, "no"),
        (["noisy.wav", "clean.wav", "noisy.wav"], 2, "noisy.wav has no target"),
        (["noisy.wav", "."], 2, ". is a folder and noisy.wav is a file"),
        ([".", "clean.wav"], 2, ". is a folder and clean.wav is a file"),
        (["-", "-"], 2, "standard input can be read only once"),
        (["noisy.wav", "clean.wav", "--noise", "auto"], 2, "--noise is for --blind"),
        (["noisy.wav", "clean.wav", "--ridge", "nan"], 2, "--ridge expects a number"),
        (
            ["noisy.wav", "clean.wav", "--ahead", "1", "--align", "center"],
            2,
            "would read what is to be predicted",
        ),
        (["noisy.wav", "clean.wav", "--report", "r.txt"], 2, "expected a report named"),
        (["noisy.wav", "clean.wav", "-c", "a"], 2, "-c is for tables, and these are sounds"),
        (["noisy.wav", "clean.wav", "--delimiter", ";"], 2, "--delimiter is for tables"),
        (["noisy.wav", "clean.wav", "--decimal", "x"], 2, "--decimal expects . or , got 'x'"),
        (
            ["noisy.wav", "clean.wav", "--delay", "2s"],
            2,
            "a delay of 32,000 leaves nothing of 30,000 samples",
        ),
    ],
)
def test_what_is_refused(  # noqa: PLR0917
    words: list[str],
    code: int,
    told: str,
    sounds: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: Any,
) -> None:
    monkeypatch.chdir(sounds[0].parent)
    given = words if "-o" in words else [*words, "-o", "m.safetensors"]
    assert main(["learn", *given]) == code
    assert told in capfd.readouterr().err
    assert not sounds[0].with_name("m.safetensors").exists()


def test_an_existing_model_is_kept_without_force(sounds: tuple[Path, Path], capfd: Any) -> None:
    model = sounds[0].with_name("m.safetensors")
    model.write_bytes(b"old")
    words = ["learn", *map(str, sounds), "--taps", "5", "-o", str(model)]
    assert main(words) == 2
    assert "exists already" in capfd.readouterr().err
    assert model.read_bytes() == b"old"
    assert main([*words, "--force", "-q"]) == 0
    assert read_weights(model).tensors["0.weight"].shape == (1, 1, 5)


# -------------------------------------------------------------------- several pairs, pipes, reports


def test_several_pairs_are_those_of_a_folder(sounds: tuple[Path, Path], tmp_path: Path) -> None:
    for folder, file in (("in", sounds[0]), ("out", sounds[1])):
        (tmp_path / folder).mkdir()
        for name in ("a.wav", "b.wav"):
            (tmp_path / folder / name).write_bytes(file.read_bytes())
    files = [
        str(tmp_path / folder / name) for name in ("a.wav", "b.wav") for folder in ("in", "out")
    ]
    found = []
    for words in (files, [str(tmp_path / "in"), str(tmp_path / "out")]):
        model = tmp_path / "m.safetensors"
        assert main(["learn", *words, "--taps", "9", "-o", str(model), "-q", "--force"]) == 0
        found.append(model.read_bytes())
    assert found[0] == found[1]


def test_a_report_is_no_input_and_replaces_nothing(sounds: tuple[Path, Path], capfd: Any) -> None:
    noisy, clean = sounds
    named = noisy.with_name("noisy.html")
    named.write_bytes(noisy.read_bytes())
    words = [
        "learn",
        str(named),
        str(clean),
        "-o",
        str(noisy.with_name("m.safetensors")),
        "--report",
    ]
    assert main([*words, str(named), "--force"]) == 2
    assert "is one of the inputs" in capfd.readouterr().err
    assert named.read_bytes() == noisy.read_bytes()
    report = noisy.with_name("r.md")
    report.write_text("mine")
    assert main([*words, str(report)]) == 2
    assert report.read_text() == "mine"
    assert main([*words, str(noisy.with_name("no") / "r.md")]) == 4
    assert not noisy.with_name("no").exists()
    table = noisy.with_name("t.safetensors")
    table.write_text("a\n1\n2\n")
    assert main(["learn", str(table), "--target", "a", "-o", str(table), "--force"]) == 2
    assert "--in-place" not in capfd.readouterr().err


def test_of_several_pairs_it_is_said_which_does_not_fit(
    sounds: tuple[Path, Path], capfd: Any
) -> None:
    folder = sounds[0].parent
    soundfile.write(folder / "two.wav", noise(100, 2) * 0.1, 16000)
    soundfile.write(folder / "short.wav", noise(100) * 0.1, 16000)
    words = ["learn", *map(str, sounds), "-o", str(folder / "m.safetensors")]
    assert main([*words, str(folder / "two.wav"), str(folder / "two.wav")]) == 2
    told = capfd.readouterr().err
    assert (
        "two.wav: it has 2 channels at 16000 Hz, and the first input 1 channel at 16000 Hz" in told
    )
    assert main([*words, str(folder / "short.wav"), str(sounds[1])]) == 2
    assert (
        "short.wav: the input has 100 samples and the target 30,000 samples"
        in capfd.readouterr().err
    )


def test_pipes_of_unknown_length(sounds: tuple[Path, Path]) -> None:
    """As `sox ... -t wav -` writes them: the length in the header is not that of what follows."""
    noisy, clean = sounds
    model = noisy.with_name("m.safetensors")
    expected = noisy.with_name("expected.safetensors")
    options = ["--taps", "9", "--delay", "auto", "--force", "-q"]
    assert main(["learn", str(noisy), str(clean), *options, "-o", str(expected)]) == 0
    data = bytearray(noisy.read_bytes())
    place = data.index(b"data") + 4
    data[4:8] = data[place : place + 4] = b"\xff\xff\xff\xff"
    done("learn", "-", clean, *options, "-o", model, stdin=bytes(data))
    assert model.read_bytes() == expected.read_bytes()
    model.unlink()
    ended = shell(
        f"cat {noisy} | convcli learn /dev/stdin {clean} {' '.join(options)} -o {model}",
        noisy.parent,
    )
    assert ended.code == 0, ended
    assert model.read_bytes() == expected.read_bytes()


def test_a_table_and_a_picture_through_a_pipe(prices: Path) -> None:
    model = prices.with_name("m.safetensors")
    words = [
        "-c",
        "close",
        "--target",
        "close",
        "--taps",
        "3",
        "--by",
        "name",
        "-o",
        str(model),
        "-q",
    ]
    done("learn", "-", *words, stdin=prices.read_bytes())
    picture = (Path(__file__).parents[1] / "sample_data" / "hole.png").read_bytes()
    done("learn", "--blind", "-", "--taps", "3x3", "-o", model, "--force", "-q", stdin=picture)
    assert read_weights(model).metadata["medium"] == "image"
    done("learn", "--blind", "--taps", "3x3", "-o", model, "--force", "-q", stdin=picture)
    told = refused(3, "learn", "--blind", "-o", model, "--force", stdin=b"")
    assert "standard input is empty" in told
    told = refused(3, "learn", "-", "--target", "a", "-o", model, "--force", stdin=b"a,b\n1,x\n2\n")
    assert "standard input" in told


def test_a_report_in_every_format(sounds: tuple[Path, Path]) -> None:
    model = sounds[0].with_name("m.safetensors")
    for suffix in ("json", "html", "md"):
        report = sounds[0].with_name(f"r.{suffix}")
        words = [
            "learn",
            *map(str, sounds),
            "--taps",
            "9",
            "-o",
            str(model),
            "--force",
            "-q",
            "--report",
            str(report),
        ]
        assert main(words) == 0
    facts = json.loads(sounds[0].with_name("r.json").read_text())
    learned = facts["learned"]
    assert [each["path"] for each in facts["inputs"]] == [str(path) for path in sounds]
    assert facts["inputs"][0]["shape"] == [30000]
    assert facts["outputs"][0]["path"] == str(model)
    assert (learned["layers"], learned["parameters"], learned["judged"]) == (
        "conv:1,9",
        9,
        "the best on what was held out",
    )
    best = min(learned["tried"], key=lambda each: each["error"])
    assert learned["ridge"] == best["ridge"]
    assert learned["errors"][0] == {
        "name": "the filter",
        "train": learned["errors"][0]["train"],
        "held": pytest.approx(best["error"]),
    }
    assert learned["samples"] + learned["held_out"] == 30000 - 8 - 4
    (step,) = facts["steps"]
    assert step["weights"] == pytest.approx(
        read_weights(model).tensors["0.weight"][0, 0, ::-1].tolist()
    )
    assert len(step["response"]) > 100
    page = sounds[0].with_name("r.html").read_text()
    captions = re.findall(r"<figcaption>([^<]+)", page)
    for caption in ("Impulse response", "Step response", "Gain", "Group delay"):
        assert any(text.startswith(caption) for text in captions)
    for text in (page, sounds[0].with_name("r.md").read_text().replace("\\", "")):
        for word in ("the filter", "as it is", "held out", "ridge", "conv:1,9"):
            assert word in text


# ----------------------------------------------------------------------------- odd inputs, honestly


def test_missing_samples_are_counted(tmp_path: Path, capfd: Any) -> None:
    x = 0.1 * noise(3000)
    x[[100, 2900]] = np.nan, np.inf
    soundfile.write(tmp_path / "x.wav", x, 8000, subtype="FLOAT")
    words = [str(tmp_path / "x.wav")] * 2
    assert main(["learn", *words, "--taps", "5", "-o", str(tmp_path / "m.safetensors")]) == 0
    assert "10 windows with a missing value passed over" in capfd.readouterr().err


def test_opacity_is_not_learned(tmp_path: Path) -> None:
    """The filter of a picture with an opacity is that of its colours."""
    hole = Path(__file__).parents[1] / "sample_data" / "hole.png"
    import pyvips

    picture = pyvips.Image.new_from_file(str(hole))
    picture.extract_band(0, n=3).write_to_file(str(tmp_path / "rgb.png"))
    found = []
    for path in (hole, tmp_path / "rgb.png"):
        model = tmp_path / "m.safetensors"
        words = ["learn", "--blind", str(path), "-o", str(model), "--taps", "5x5", "--force", "-q"]
        assert main(words) == 0
        found.append(read_weights(model).tensors["0.weight"])
    np.testing.assert_array_equal(found[0], found[1])


def test_a_model_of_another_medium(sounds: tuple[Path, Path], tmp_path: Path, capfd: Any) -> None:
    model = tmp_path / "m.safetensors"
    data = Path(__file__).parents[1] / "sample_data"
    assert (
        main(["learn", "--blind", str(data / "cat.png"), "--taps", "3x3", "-o", str(model), "-q"])
        == 0
    )
    assert main(["audio", f"model:{model}", str(sounds[0]), "-o", str(tmp_path / "y.wav")]) == 2
    assert "was learned from pictures, and this is sound" in capfd.readouterr().err
    assert main(["learn", *map(str, sounds), "-o", str(model), "--force", "-q"]) == 0
    assert (
        main(["image", f"model:{model}", str(data / "cat.png"), "-o", str(tmp_path / "y.png")]) == 2
    )
    assert "was learned from sound, and this is a picture" in capfd.readouterr().err


def test_pictures_that_do_not_fit(tmp_path: Path, capfd: Any) -> None:
    data = Path(__file__).parents[1] / "sample_data"
    words = [
        "learn",
        str(data / "cat.png"),
        str(data / "hole.png"),
        "-o",
        str(tmp_path / "m.safetensors"),
    ]
    assert main(words) == 2
    assert (
        "the input has 451 x 300 pixels and the target 256 x 256 pixels" in capfd.readouterr().err
    )


def test_without_anything_held_out_the_ridge_is_cross_validated() -> None:
    """The generalised cross-validation of the definition: n RSS / (n - trace of the hat matrix)^2, of centred data."""
    x = noise(60, 1)
    y = noise(60, 1, seed=1) + x
    learned = learn(Task(taps=(9,), holdout=0.0), [Pair(source(x), source(y))])
    a = np.lib.stride_tricks.sliding_window_view(x[:, 0], 9)
    z = y[4:-4, 0]
    for tried in learned.facts.tried:
        ridge, error = tried.ridge, tried.error
        gram = a.T @ a
        hat = a @ np.linalg.solve(gram + ridge * np.diag(np.diag(gram)), a.T)
        expected = np.sqrt(np.mean((z - hat @ z) ** 2)) / (1 - np.trace(hat) / len(z))
        assert error == pytest.approx(expected, rel=1e-6)
    assert learned.facts.ridge == min(learned.facts.tried, key=lambda tried: tried.error).ridge > 0


def test_filters_shows_a_model(sounds: tuple[Path, Path], capfd: Any) -> None:
    model = sounds[0].with_name("m.safetensors")
    assert main(["learn", *map(str, sounds), "--taps", "5", "-o", str(model), "-q"]) == 0
    assert main(["filters", f"model:{model}"]) == 0
    told = capfd.readouterr().out
    assert "taps            5:" in told
    assert "note            conv:1,5, 5 parameters" in told
    taps = sounds[0].with_name("taps.csv")
    assert main(["filters", f"model:{model}", "--export", str(taps)]) == 0
    exported = [float(line) for line in taps.read_text().split()]
    assert exported == read_weights(model).tensors["0.weight"][0, 0, ::-1].tolist()


def test_nothing_of_a_sum_is_lost_over_blocks() -> None:
    x, y = noise(2000, 2), noise(1976, 1, seed=1)
    whole = sums_over(x, y, (25,))
    parts = ProductSums.nothing(50, 1)
    for a, b in ((0, 10), (10, 700), (700, 701), (701, 1976)):
        parts.add(sums_over(x[a : b + 24], y[a:b], (25,)))
    np.testing.assert_allclose(parts.gram, whole.gram, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(parts.cross, whole.cross, rtol=1e-10, atol=1e-9)


def test_the_choice_of_a_ridge_is_told() -> None:
    assert ridge_choice(Task(taps=(3,), ridge=0.5), held_out=9) == "as asked for"
    assert ridge_choice(Task(taps=(3,)), held_out=9) == "the best on what was held out"
    assert ridge_choice(Task(taps=(3,)), held_out=0) == "by cross-validation"
    assert ridge_choice(Task(taps=(3,), blind=True), held_out=9) == "by cross-validation"


def test_a_pair_has_the_length_of_its_shorter_signal() -> None:
    short, long = np.zeros((50, 1)), np.zeros((80, 1))
    task = Task(taps=(3,), delay=None)
    for x, y in ((short, long), (long, short)):
        assert PairReader(task, Pair(source(x), source(y))).length == 50


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((160,), "upsample:2"),
        ((159,), "cut them"),
        ((240,), "upsample:3"),
        ((230,), "cut them"),
        ((79,), "cut them"),
        ((40,), "avg_pool:2"),
        ((160, 160), "upsample:2"),
        ((20, 20), "stride=4"),
    ],
)
def test_a_target_that_is_so_many_times_as_large_has_a_hint(
    shape: tuple[int, ...], hint: str
) -> None:
    x = source(np.zeros((80,) * len(shape) + (1,)))
    pair = Pair(x, source(np.zeros((*shape, 1))))
    with pytest.raises(RequestError) as caught:
        check_pairs([pair])
    assert hint in (caught.value.hint or "")


def test_the_power_of_one_sample_is_its_square() -> None:
    sums = sums_over(np.ones((1, 1)), np.full((1, 1), 3.0), (1,))
    assert sums.count == 1
    assert sums.power == 9


def test_frequencies_of_a_model_of_a_table_have_the_unit_of_its_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A filter of daily rows: half a cycle per day is the highest frequency, not 5.8e-06 Hz."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(3).normal(size=200).cumsum().tolist()
    days = np.datetime64("2024-01-01") + np.arange(200)
    rows = "\n".join(f"{day},{value}" for day, value in zip(days, values, strict=True))
    Path("t.csv").write_text(f"day,v\n{rows}\n")
    words = ["learn", "t.csv", "--target", "v", "--taps", "5", "-c", "v", "--time", "day", "-q"]
    assert main([*words, "-o", "m.safetensors", "--report", "one.json"]) == 0
    assert main([*words, "--partial", "sums.npz"]) == 0
    merge = ["learn", "--merge", "sums.npz", "-o", "merged.safetensors", "-q"]
    assert main([*merge, "--report", "merged.json"]) == 0
    assert main(["filters", "model:m.safetensors", "--report", "shown.json"]) == 0
    for name in ("one", "merged", "shown"):
        (step,) = json.loads(Path(f"{name}.json").read_text())["steps"]
        assert step["frequency_unit"] == "cycles/day"
        assert step["response"][-1][0] == 0.5
    rows = "\n".join(f"{60 * place},{value}" for place, value in enumerate(values))
    Path("minutes.csv").write_text(f"day,v\n{rows}\n")
    capsys.readouterr()
    run = ["csv", "model:m.safetensors", "minutes.csv", "-c", "v", "--time", "day"]
    assert main(run) == 2
    error = capsys.readouterr().err
    assert "from a signal with a row every day, and this one has a row every min\n" in error
    assert "hint: without --time, rows are taken in their order" in error
    assert main(run[:-2]) == 0
