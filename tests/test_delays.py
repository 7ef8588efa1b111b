"""`convcli learn --delay`: found where it is, whatever the blocks, and doubted where it cannot be known."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from convcli import InputError, apply
from convcli.cli import main
from convcli.core.correlation import lags as correlate_blocks
from convcli.core.correlation.lags import BlockPair, LagSums, chance_deviation, peak_and_rival
from convcli.layers.weights import read_weights
from convcli.learning.learn import learn
from convcli.learning.pairs import Pair
from convcli.learning.task import Task
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.running.arrays import Blocks
from convcli.signals import TABLE, Medium, Signal

if TYPE_CHECKING:
    from pathlib import Path

    from convcli.learning.learned_model import LearnedModel
    from convcli.signals import Array


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def source(x: Array, *, medium: Any = AUDIO, size: int = 1000) -> Blocks:
    names = tuple(str(c) for c in range(x.shape[-1]))
    signal = Signal(
        medium=medium,
        shape=x.shape[:-1],
        channels=names,
        rate=16000.0 if medium == AUDIO else None,
        bits=53 if medium == TABLE else 32,
    )
    return Blocks(signal, [x[a : a + size] for a in range(0, len(x), size)])


def later(x: Array, n: int) -> Array:
    """`x` so many samples later, with noise before it or cut off."""
    return np.concatenate([noise(n, *x.shape[1:], seed=99), x]) if n >= 0 else x[-n:]


def lag_of(x: Array, y: Array, **kwargs: Any) -> tuple[int, ...]:
    size = kwargs.pop("size", 1000)
    medium = kwargs.pop("medium", AUDIO)
    pair = Pair(source(x, size=size, medium=medium), source(y, size=777, medium=medium))
    return (
        learn(Task(taps=(5,) * (x.ndim - 1), delay=None, **kwargs), [pair]).facts.delays[0].samples
    )


# ----------------------------------------------------------------------------------------- the sums


@pytest.mark.parametrize(
    ("shape", "limit"), [((50,), (9,)), ((12, 9), (3, 4)), ((5,), (9,)), ((6, 3), (4, 5))]
)
@pytest.mark.parametrize("cuts", [(), (1, 3), (2, 2, 4)])
def test_sums_are_those_of_the_definition(
    shape: tuple[int, ...], limit: tuple[int, ...], cuts: tuple[int, ...]
) -> None:
    x, y = noise(*shape), noise(*shape, seed=1)
    sums = LagSums(limit)
    ends = [0, *cuts, shape[0]]
    for first, last in pairwise(ends):
        kept = max(0, first - limit[0])
        sums.add(*BlockPair(x[kept:last], y[kept:last], first - kept).spectra(limit))
    for total, (a, b) in zip(sums.totals(), ((x, y), (x, x), (y, y)), strict=True):
        for place in np.ndindex(*total.shape):
            lag = [p - k for p, k in zip(place, limit, strict=True)]
            pairs = ((i, tuple(np.add(i, lag))) for i in np.ndindex(*shape))
            expected = sum(
                a[i] * b[j]
                for i, j in pairs
                if all(0 <= c < n for c, n in zip(j, shape, strict=True))
            )
            assert total[place] == pytest.approx(expected, abs=1e-9)


def test_the_rival_of_a_summit_stands_elsewhere() -> None:
    r = np.array([0.1, 0.5, 0.95, 1.0, 0.93, 0.2, -0.97, 0.1])
    assert peak_and_rival(r) == ((3,), (6,))


def test_chance_is_that_of_signals_with_nothing_in_common() -> None:
    """The correlation of unrelated low-passed signals deviates as Bartlett says."""
    found = []
    for seed in range(40):
        x, y = (apply("box:9", noise(2000, 1, seed=s))[:, 0] for s in (2 * seed, 2 * seed + 1))
        sums = LagSums((50,))
        sums.add(*BlockPair(x, y, 0).spectra((50,)))
        c, a, b = sums.totals()
        found.append(float(c[50] / np.sqrt(a[50] * b[50])))
        expected = chance_deviation(a / a[50], b / b[50], 2000)
    assert np.std(found) == pytest.approx(expected, rel=0.4)


# -------------------------------------------------------------------------------------------- found


@pytest.mark.parametrize("lag", [0, 1, -1, 137, -3000, 4000])
@pytest.mark.parametrize("size", [313, 20000])
def test_a_delay_is_found(lag: int, size: int) -> None:
    x = noise(12000, 2)
    assert lag_of(x, later(0.3 * x, lag), size=size) == (lag,)


def test_an_offset_a_drift_and_a_sign_do_not_matter() -> None:
    x = noise(9000, 1)
    y = later(x, 55) + 0.3 * noise(9055, 1, seed=2)
    assert lag_of(7 + x, 3 - y) == (55,)


def test_pieces_that_are_cut_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlate_blocks, "MOST_SAMPLES", 400)
    monkeypatch.setattr(correlate_blocks, "MOST_PIXELS", 6)
    monkeypatch.setattr(correlate_blocks, "SHORTEST_TRANSFORM", {1: 500, 2: 7})
    x = noise(6000, 1)
    assert lag_of(x, later(x, -321), size=2000) == (-321,)
    picture = noise(60, 50, 2)
    assert lag_of(picture[3:, 5:], picture, medium=IMAGE, size=60) == (3, 5)


@pytest.mark.parametrize("lag", [(3, 5), (-4, 2), (0, -7)])
def test_pictures(lag: tuple[int, int]) -> None:
    x = 100 + noise(80, 70, 3)
    rows, columns = lag
    y = np.roll(x, lag, (0, 1))[: 80 - abs(rows), : 70 - abs(columns)]
    y = y + 0.1 * noise(*y.shape, seed=3)
    assert lag_of(x, y, medium=IMAGE) == lag


def test_gaps_do_not_hide_it() -> None:
    x = noise(5000, 1)
    y = later(x, 40)
    x[::7], y[5::11] = np.nan, np.nan
    assert lag_of(x, y) == (40,)


def test_levels_that_wander_are_found_by_their_changes() -> None:
    x = np.cumsum(noise(4000, 1), axis=0)
    table = np.concatenate([x, later(x, 20)[:4000]], axis=1)
    task = Task(taps=(3,), delay=None, align="causal", bias=True, inputs=(0,), targets=(1,))
    assert learn(task, [Pair(source(table, medium=TABLE))]).facts.delays[0].samples == (20,)


# --------------------------------------------------------------------------- taken out, and learned


@pytest.mark.parametrize("lag", [0, 6, -6])
@pytest.mark.parametrize("align", ["center", "causal"])
def test_the_taps_are_those_without_the_delay(lag: int, align: Any) -> None:
    w = np.array([0.1, -0.2, 0.9, 0.3, -0.1])
    x = noise(3000, 1)
    y = later(apply("correlate:" + ",".join(map(repr, w.tolist())), x, align=align), lag)
    task = Task(taps=(5,), delay=(lag,), align=align)
    for size in (100, 3000):
        learned = learn(task, [Pair(source(x, size=size), source(y))])
        np.testing.assert_allclose(learned.tensors["0.weight"][0, 0], w, atol=1e-9)
        assert learned.facts.errors[0].held == pytest.approx(0, abs=1e-6)


def test_nothing_held_out_is_learned_from() -> None:
    for lag in (40, -40):
        x, y = noise(1000, 1), noise(1000, 1, seed=1)
        task = Task(taps=(9,), delay=(lag,), ridge=0.0)
        first = learn(task, [Pair(source(x), source(y))])
        x[800:], y[800:] = 1e3 * x[800:], -1e3
        second = learn(task, [Pair(source(x), source(y))])
        np.testing.assert_array_equal(second.tensors["0.weight"], first.tensors["0.weight"])


def test_a_delay_across_a_picture() -> None:
    w = noise(3, 3, seed=4)
    x = noise(40, 30, 1)
    y = apply("correlate:" + ";".join(",".join(map(repr, row)) for row in w.tolist()), x)
    for lag in ((2, -3), (-2, 3)):
        late = np.roll(y, lag, (0, 1))
        late[: max(0, lag[0])] = late[:, : max(0, lag[1])] = 0
        inner = tuple(slice(None, n + min(0, k)) for n, k in zip((40, 30), lag, strict=True))
        learned = learn(
            Task(taps=(3, 3), delay=lag, ridge=0.0),
            [Pair(source(x[inner], medium=IMAGE, size=7), source(late[inner], medium=IMAGE))],
        )
        np.testing.assert_allclose(learned.tensors["0.weight"][0, 0], w, atol=1e-9)


def test_each_pair_has_its_own() -> None:
    x = noise(5000, 1)
    pairs = [Pair(source(x), source(later(x, n)), str(n)) for n in (10, -20)]
    learned = learn(Task(taps=(5,), delay=None), pairs)
    assert [delay.samples for delay in learned.facts.delays] == [(10,), (-20,)]
    np.testing.assert_allclose(learned.tensors["0.weight"][0, 0], [0, 0, 1, 0, 0], atol=1e-9)


# ------------------------------------------------------------------------------------------- doubts


def fitted(x: Array, y: Array) -> LearnedModel:
    return learn(Task(taps=(3,), delay=None), [Pair(source(x), source(y))])


def test_unrelated_signals() -> None:
    with pytest.raises(InputError, match="have no delay that stands out: the best correlation is"):
        fitted(noise(20000, 1), noise(20000, 1, seed=1))
    slow = [apply("box:200", noise(20000, 1, seed=s)) for s in (1, 2)]
    with pytest.raises(InputError, match="no delay that stands out"):
        fitted(*slow)


@pytest.mark.parametrize(("medium", "gain"), [(AUDIO, 1e30), (TABLE, 1e160), (TABLE, 1e300)])
def test_samples_whose_squares_overflow(medium: Medium, gain: float) -> None:
    with pytest.raises(InputError, match="so large that their squares overflow"):
        lag_of(noise(900, 1), gain * noise(900, 1, seed=1), medium=medium)
    assert lag_of(noise(900, 1), 1e10 * noise(900, 1), medium=medium) == (0,)


def test_constant_signals() -> None:
    for level in (0.0, 0.47):
        with pytest.raises(InputError, match="constant"):
            fitted(np.full((500, 1), level), noise(500, 1))
        with pytest.raises(InputError, match="constant"):
            fitted(noise(500, 1), np.full((500, 1), level))


def test_a_tone_fits_at_many_places() -> None:
    x = np.sin(2 * np.pi * np.arange(20000) / 50)[:, None]
    (delay,) = fitted(x, later(x, 10)).facts.delays
    assert delay.rival is not None
    assert (delay.samples[0] - 10) % 25 == (delay.rival[0] - 10) % 25 == 0


# --------------------------------------------------------------------------------- the command line


@pytest.fixture
def late(tmp_path: Path) -> tuple[Path, Path]:
    x = 0.1 * noise(8000, 1)
    soundfile.write(tmp_path / "in.wav", x, 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "out.wav", 0.5 * later(x, 80), 8000, subtype="FLOAT")
    return tmp_path / "in.wav", tmp_path / "out.wav"


def test_the_hint_for_lengths_that_differ_can_be_followed(
    late: tuple[Path, Path], capfd: Any
) -> None:
    words = ["learn", *map(str, late), "--taps", "9", "-o", str(late[0].with_name("h.safetensors"))]
    assert main(words) == 2
    told = capfd.readouterr().err
    assert "hint: cut them to one length; --delay auto takes the part that both have" in told
    assert main([*words, "--delay", "auto"]) == 0


@pytest.mark.parametrize("asked", ["auto", "80", "10ms"])
def test_told_and_written_down(late: tuple[Path, Path], asked: str, capfd: Any) -> None:
    model, report = late[0].with_name("m.safetensors"), late[0].with_name("r.json")
    words = [
        "learn",
        *map(str, late),
        "--taps",
        "9",
        "--delay",
        asked,
        "-o",
        str(model),
        "--report",
        str(report),
    ]
    assert main(words) == 0
    told = capfd.readouterr().err
    assert "delay: the target is 80 samples (10 ms) later than the input" in told
    assert ("correlation" in told) == (asked == "auto")
    assert "differ in length: what both have is learned from" in told
    assert read_weights(model).metadata["delay"] == "80"
    facts = json.loads(report.read_text())["learned"]["delays"][0]
    assert (facts["samples"], facts["seconds"]) == ([80], 0.01)
    out = late[0].with_name("y.wav")
    assert main(["audio", f"model:{model}", str(late[0]), "-o", str(out), "-q"]) == 0
    # What comes out stands where the input stands.
    np.testing.assert_allclose(soundfile.read(out)[0], 0.5 * soundfile.read(late[0])[0], atol=1e-6)


def test_lengths_that_differ_are_an_error_without_a_delay(
    late: tuple[Path, Path], capfd: Any
) -> None:
    assert main(["learn", *map(str, late), "-o", str(late[0].with_name("m.safetensors"))]) == 2
    told = capfd.readouterr().err
    assert "the input has 8,000 samples and the target 8,080 samples" in told
    assert "--delay" in told


def test_the_first_of_two_that_fit_is_doubted(tmp_path: Path, capfd: Any) -> None:
    x = np.sin(2 * np.pi * np.arange(8000) / 50)
    soundfile.write(tmp_path / "x.wav", x, 8000)
    paths = [str(tmp_path / "x.wav")] * 2
    assert (
        main(
            [
                "learn",
                *paths,
                "--taps",
                "3",
                "--delay",
                "auto",
                "-o",
                str(tmp_path / "m.safetensors"),
            ]
        )
        == 0
    )
    assert "is almost as likely as" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--delay", "x"], "--delay: expected a number, got 'x'"),
        (["--delay", "3x4"], "--delay: expected a number"),
        (["--delay", "3", "--ahead", "2"], "--ahead says already"),
    ],
)
def test_what_is_refused(words: list[str], told: str, late: tuple[Path, Path], capfd: Any) -> None:
    assert (
        main(["learn", *map(str, late), *words, "-o", str(late[0].with_name("m.safetensors"))]) == 2
    )
    assert told in capfd.readouterr().err


def test_a_column_that_follows_another(tmp_path: Path, capfd: Any) -> None:
    x = noise(900, 1)[:, 0]
    rows = "".join(f"{a:.6f},{b:.6f}\n" for a, b in zip(x, np.roll(x, 7), strict=True))
    (tmp_path / "t.csv").write_text("lead,follow\n" + rows)
    model = tmp_path / "m.safetensors"
    words = ["-c", "lead", "--target", "follow", "--delay", "auto", "--taps", "1", "-o", str(model)]
    assert main(["learn", str(tmp_path / "t.csv"), *words]) == 0
    assert "the target is 7 rows later than the input" in capfd.readouterr().err
    np.testing.assert_allclose(read_weights(model).tensors["0.weight"], [[[1.0]]], atol=1e-3)
