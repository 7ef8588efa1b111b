"""`convcli learn --blind`: it raises the signal above the noise, in every medium, and says when it cannot."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pyvips
import soundfile

from convcli import InputError
from convcli.cli import main
from convcli.core.correlation.normal_equations import sums_over
from convcli.layers.weights import read_weights
from convcli.learning.learn import learn
from convcli.learning.pairs import Pair
from convcli.learning.task import Task
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.running.arrays import Blocks
from convcli.signals import Signal

if TYPE_CHECKING:
    from convcli.learning.learned_model import LearnedModel
    from convcli.signals import Array

DATA = Path(__file__).parents[1] / "sample_data"


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def blind(x: Array, taps: tuple[int, ...], **kwargs: Any) -> LearnedModel:
    names = tuple(str(c) for c in range(x.shape[-1]))
    signal = Signal(medium=AUDIO if x.ndim == 2 else IMAGE, shape=x.shape[:-1], channels=names)
    return learn(Task(taps=taps, blind=True, **kwargs), [Pair(Blocks(signal, [x]))])


def snr(clean: Array, y: Array) -> float:
    return float(10 * np.log10((clean**2).sum() / ((y - clean) ** 2).sum()))


# ----------------------------------------------------------------- what is known of clean and noisy


def read(medium: str, path: Path, column: str = "") -> Array:
    if medium == "audio":
        return np.asarray(soundfile.read(path)[0])
    if medium == "image":
        return np.asarray(pyvips.Image.new_from_file(str(path)).numpy(), np.float64)
    with path.open(newline="") as file:
        return np.array([float(row[column]) for row in csv.DictReader(file)])


@pytest.mark.parametrize(
    ("medium", "names", "options", "gains"),
    [
        ("audio", ("talk_noisy.wav", "talk.wav"), ["--taps", "129"], (1.2, 3.6)),
        ("audio", ("hello_noisy.wav", "hello.wav"), [], (4, 5)),
        ("image", ("cat_noisy.png", "cat.png"), [], (7.5, 8)),
        ("table", ("tide.csv", "tide.csv"), ["-c", "gauge", "--taps", "25"], (5, 5.5)),
    ],
)
def test_sample_data_gains(  # noqa: PLR0917
    medium: str,
    names: tuple[str, str],
    options: list[str],
    gains: tuple[float, float],
    tmp_path: Path,
    capfd: Any,
) -> None:
    noisy, clean = (DATA / name for name in names)
    command = {"audio": "audio", "image": "image", "table": "csv"}[medium]
    before = snr(read(medium, clean, "height"), read(medium, noisy, "gauge"))
    for extra, gain in (([], gains[0]), (["--noise", "auto"], gains[1])):
        model, out = tmp_path / "m.safetensors", tmp_path / f"out{noisy.suffix}"
        words = [
            "learn",
            "--blind",
            str(noisy),
            *options,
            *extra,
            "-o",
            str(model),
            "--force",
            "-q",
        ]
        assert main(words) == 0
        columns = options[:2] if medium == "table" else []
        words = [
            command,
            f"model:{model}",
            str(noisy),
            *columns,
            "--align",
            "center",
            "-o",
            str(out),
            "--force",
            "-q",
        ]
        assert main(words) == 0
        after = snr(read(medium, clean, "height"), read(medium, out, "gauge"))
        assert after > before + gain, (before, after)
    assert capfd.readouterr().out == ""


# ---------------------------------------------------------------------------------------- exactness


@pytest.mark.parametrize("shape", [(9,), (20,), (3, 5)])
def test_with_the_sample_itself_it_is_the_wiener_filter(shape: tuple[int, ...]) -> None:
    """e0 - S R^-1 e0, R being the matrix of the normal equations with the sample itself among the inputs."""
    x = (
        np.cumsum(noise(3000, 1), axis=0) * 0.1
        if len(shape) == 1
        else np.cumsum(noise(60, 50, 1), axis=0)
    )
    x = x + noise(*x.shape, seed=1)
    learned = blind(x, shape, noise=0.7, ridge=0.0, holdout=0.0)
    middle = tuple((k - 1) // 2 for k in shape)
    inner = tuple(
        slice(m, n - (k - 1 - m)) for m, n, k in zip(middle, x.shape, shape, strict=False)
    )
    sums = sums_over(x, x[inner], shape)
    own = np.zeros(shape)
    own[middle] = 1
    expected = own.ravel() - 0.7**2 * np.linalg.solve(sums.gram[:-1, :-1] / sums.count, own.ravel())
    np.testing.assert_allclose(learned.tensors["0.weight"][0, 0].ravel(), expected, atol=1e-8)


def test_channels_that_help_each_other() -> None:
    """Two views of one signal with noise of their own: the exact mixture of both."""
    x = noise(20000, 1) + 0.5 * noise(20000, 2, seed=1)
    learned = blind(x, (3,), mix=True, noise=0.5, ridge=0.0, holdout=0.0)
    sums = sums_over(x, x[1:-1], (3,))
    gram = sums.gram[:-1, :-1] / sums.count
    own = np.zeros((6, 2))
    own[1, 0] = own[4, 1] = 1
    expected = own - 0.25 * np.linalg.solve(gram, own)
    found = learned.tensors["0.weight"].transpose(1, 2, 0).reshape(6, 2)
    np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize("asked", [None, "auto", 0.5])
def test_errors_against_the_clean_signal_are_estimated(asked: Any) -> None:
    clean = np.sin(0.05 * np.arange(40000))[:, None]
    x = clean + 0.5 * noise(40000, 1)
    learned = blind(x, (31,), noise=asked)
    assert learned.facts.noise is not None
    assert learned.facts.noise == pytest.approx(0.5, rel=0.06)
    w = learned.tensors["0.weight"][0, 0]
    y = np.correlate(x[:, 0], w, "valid")
    t = np.arange(15, 40000 - 15)
    # The least eigenvalue of a finite sample is somewhat too small, and what is left of E - S by so
    # much too large.
    within = 0.04 if asked == 0.5 else 0.15
    parts = {"train": t < 32000 - 15, "held": t >= 32000}
    scores = {score.name: score for score in learned.facts.errors}
    for name, part in parts.items():
        true = np.sqrt(np.mean((y - clean[t, 0])[part] ** 2))
        assert getattr(scores["the filter"], name) == pytest.approx(true, abs=within)
        assert getattr(scores["as it is"], name) == pytest.approx(0.5, rel=0.06)


@pytest.mark.parametrize(
    ("n", "taps"), [(500, 20), (1000, 20), (1500, 64), (4000, 64), (30000, 64)]
)
def test_the_estimated_noise_of_short_signals_is_not_too_low(n: int, taps: int) -> None:
    """The least eigenvalue alone comes out 28 % low where there are 1,100 windows of 64, 13 % where 800 of 20."""
    t = np.arange(n)[:, None]
    levels = []
    for seed in range(8):
        learned = blind(
            np.sin(t / 9) + 0.7 * np.sin(t / 31) + 0.3 * noise(n, 1, seed=seed),
            (taps,),
            noise="auto",
        )
        assert learned.facts.noise is not None
        levels.append(learned.facts.noise)
    assert np.mean(levels) == pytest.approx(0.3, rel=0.04)


def test_the_estimated_noise_of_a_small_picture_is_not_too_low() -> None:
    y, x = np.mgrid[:80, :80]
    picture = (60 * np.sin(x / 17) + 50 * np.cos(y / 11 + x / 40))[..., None]
    # The least eigenvalue alone: 13 % low.
    levels = [
        blind(picture + 15 * noise(80, 80, 1, seed=s), (9, 9), noise="auto").facts.noise
        for s in range(4)
    ]
    assert np.mean([level for level in levels if level is not None]) == pytest.approx(15, rel=0.05)


def test_the_sample_is_left_out_unless_noise_is_said() -> None:
    x = np.sin(0.1 * np.arange(5000))[:, None] + 0.3 * noise(5000, 1)
    assert blind(x, (9,)).tensors["0.weight"][0, 0, 4] == 0
    assert 0 < blind(x, (9,), noise="auto").tensors["0.weight"][0, 0, 4] < 0.5
    everything = blind(x, (9,), noise=0.0).tensors["0.weight"][0, 0]
    np.testing.assert_allclose(everything, np.eye(9)[4], atol=1e-12)
    excessive = blind(x, (9,), noise=9.0)
    assert "more noise than the prediction of a sample leaves" in excessive.warnings[0]
    np.testing.assert_allclose(
        excessive.tensors["0.weight"], blind(x, (9,)).tensors["0.weight"], atol=1e-9
    )


def test_nothing_can_be_done_against_noise_that_is_all_there_is() -> None:
    learned = blind(noise(20000, 1), (9,))
    assert np.abs(learned.tensors["0.weight"]).max() < 0.05


def test_noise_that_is_not_white_is_taken_for_signal() -> None:
    """The honest limit: what can be predicted is kept, noise or not."""
    x = np.convolve(noise(20008, 1)[:, 0], np.ones(9) / 3, "valid")[:, None]
    learned = blind(x, (17,), noise="auto")
    assert learned.facts.noise is not None
    assert learned.facts.noise < 0.2 * x.std()


# -------------------------------------------------------------------------------------------- words


def test_the_honest_word(tmp_path: Path, capfd: Any) -> None:
    """A clean sound is not to be cleaned."""
    model = str(tmp_path / "m.safetensors")
    assert main(["learn", "--blind", str(DATA / "talk.wav"), "-o", model]) == 0
    told = capfd.readouterr().err
    assert "against the clean signal, estimated" in told
    assert (
        "no better than 'as it is' on what was held out; --noise auto uses the sample itself too"
        in told
    )


def test_a_table_says_how_it_is_run(tmp_path: Path, capfd: Any) -> None:
    model = tmp_path / "m.safetensors"
    assert main(["learn", "--blind", str(DATA / "tide.csv"), "-c", "gauge", "-o", str(model)]) == 0
    capfd.readouterr()
    assert read_weights(model).metadata["align"] == "center"
    assert main(["csv", f"model:{model}", str(DATA / "tide.csv")]) == 0
    told = capfd.readouterr().err
    assert "runs with --align center, as it was learned, and so reads later rows" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--taps", "1"], "--blind with 1 tap"),
        (["--noise", "-1"], "--noise expects auto or a standard deviation"),
        (["--noise", "20ms"], "--noise expects auto"),
        (["--noise", "loud"], "--noise: expected a number"),
        (["--delay", "3"], "--delay is between an input and a target"),
        (["--ahead", "1"], "--blind has its target where its input is"),
        (["--on", "differences"], "--on differences is for a prediction"),
    ],
)
def test_what_is_refused(words: list[str], told: str, tmp_path: Path, capfd: Any) -> None:
    model = tmp_path / "m.safetensors"
    assert main(["learn", "--blind", str(DATA / "hello.wav"), *words, "-o", str(model)]) == 2
    assert told in capfd.readouterr().err
    assert not model.exists()


def test_noise_in_the_units_of_the_signal(tmp_path: Path, capfd: Any) -> None:
    model = tmp_path / "m.safetensors"
    for name, asked in (
        ("hole.png", "1310.7"),
        ("hello_noisy.wav", "2%"),
        ("hello_noisy.wav", "-34dB"),
    ):
        words = [
            "learn",
            "--blind",
            str(DATA / name),
            "--noise",
            asked,
            "--force",
            "-o",
            str(model),
        ]
        assert main(words) == 0
        level = {"1310.7": "1310.7 of 65535", "2%": "0.02", "-34dB": "0.0199526"}[asked]
        assert f"noise: {level}, as was said" in capfd.readouterr().err
    assert (
        main(["learn", "--blind", str(DATA / "tide.csv"), "--noise", "5%", "-o", str(model)]) == 2
    )


def test_silence() -> None:
    with pytest.raises(InputError, match="constant"):
        blind(np.zeros((500, 1)), (5,))
