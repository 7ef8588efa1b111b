"""`convcli detect`: scores against a slow formula, what must not change them, and the command."""

from __future__ import annotations

import csv
import gc
import io
import json
import os
import time
import weakref
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import pyvips
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st
from program import SAMPLES, Done, Program, peak_memory, shell, tells_memory

from convcli.core.convolution.fft import TileCorrelator
from convcli.core.correlation.template import Template
from convcli.core.windows.deviations import window_moments
from convcli.detecting.detect import Detection
from convcli.detecting.detect_arrays import detect_arrays
from convcli.detecting.peaks import local_maxima, suppress_overlaps
from convcli.detecting.templates import LoadedTemplate, prepare_template
from convcli.errors import InputError, RequestError
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.running.arrays import Blocks
from convcli.signals import TABLE, Block, Groups, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# ----------------------------------------------------------------------------------- the slow truth


def slow_score(t: Any, x: Any, w: Any = None, seen: Any = None) -> float:
    """The formula, for one window, in extended precision.

    t, x : (..., channels); w : weights; seen : opacity
    """
    t, x = np.asarray(t, np.longdouble), np.asarray(x, np.longdouble)
    w = (
        np.ones(t.shape, np.longdouble)
        if w is None
        else np.broadcast_to(w, t.shape).astype(np.longdouble)
    )
    visible = w if seen is None else w * seen[..., None]
    products = norm = deviation = np.longdouble(0)
    for c in range(t.shape[-1]):
        tc, xc, wc, vc = t[..., c], x[..., c], w[..., c], visible[..., c]
        if wc.sum() == 0 or vc.sum() == 0:
            continue
        dt, dx = tc - (wc * tc).sum() / wc.sum(), xc - (vc * xc).sum() / vc.sum()
        products += (vc * dt * dx).sum()
        norm += (wc * dt * dt).sum()
        deviation += (vc * dx * dx).sum()
    scale = np.sqrt(norm) * np.sqrt(deviation)
    return float(products / scale) if scale > 0 else 0.0


def slow_scores(t: Any, x: Any, w: Any = None, seen: Any = None) -> Any:
    sizes, shape = t.shape[:-1], [n - k + 1 for n, k in zip(x.shape, t.shape[:-1], strict=False)]
    scores = np.zeros(shape)
    for at in np.ndindex(*shape):
        part = tuple(slice(a, a + k) for a, k in zip(at, sizes, strict=True))
        if np.isfinite(x[part]).all():
            scores[at] = slow_score(t, x[part], w, None if seen is None else seen[part])
    return scores


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(20, 120),
    k=st.integers(2, 20),
    channels=st.integers(1, 3),
    offset=st.sampled_from([0.0, -3.0, 1e6, 1e12]),
    gain=st.sampled_from([1.0, 1e-6, 1e-70, 1e70]),
    gaps=st.booleans(),
)
def test_scores_are_the_formula(
    *, seed: int, n: int, k: int, channels: int, offset: float, gain: float, gaps: bool
) -> None:
    rng = np.random.default_rng(seed)
    # whole numbers, so that an offset of 1e12 takes no digits away
    x = (rng.integers(-1000, 1000, (n, channels)) + offset) * (gain if offset == 0 else 1.0)
    t = rng.integers(-50, 50, (k, channels)).astype(float)
    t[0] += 1000
    if gaps:
        x[rng.integers(0, n, 2)] = np.nan
    np.testing.assert_allclose(Template.of(t).scores(x), slow_scores(t, x), atol=1e-9)


@given(
    seed=st.integers(0, 10**6),
    loud=st.sampled_from([1.0, 1e6, 1e12, 1e15]),
    k=st.sampled_from([5, 64, 300]),
)
def test_what_is_loud_leaves_no_trace_in_what_follows(seed: int, loud: float, k: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((1500, 1))
    x[:200] *= loud
    x[900:903] = loud
    t = x[500 : 500 + k] + 0.1 * rng.standard_normal((k, 1))
    scores = Template.of(t).scores(x)
    alone = Template.of(t).scores(x[210:890])
    np.testing.assert_allclose(scores[210 : 210 + len(alone)], alone, atol=1e-7)
    assert scores[500] == pytest.approx(slow_score(t, x[500 : 500 + k]), abs=1e-7)


def test_full_scale_noise_then_silence_and_the_last_bit() -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(-32768, 32767, 30000) / 32768
    x[10000:20000] = 0
    x[20000:] = rng.integers(-1, 2, 10000) / 32768
    t = x[25000:25441, None] * 7 + 3
    scores = Template.of(t).scores(x[:, None])
    assert scores[10000 : 20000 - 440].tolist() == [0.0] * 9560
    assert scores[25000] == pytest.approx(1, abs=1e-9)
    for at in (0, 9990, 19800, 22000):
        assert scores[at] == pytest.approx(slow_score(t, x[at : at + 441, None]), abs=1e-9)


def test_deviations_know_only_their_window() -> None:
    x = np.array([1e15, 1e15, 0.001, 0.002, 0.004, 1e15, 5.0, 5.0, 5.0])
    _, deviations = window_moments(x, 3)
    assert deviations[2] == pytest.approx(np.var(x[2:5]) * 3, rel=1e-12)
    assert deviations[6] == 0


@given(
    seed=st.integers(0, 10**6),
    size=st.tuples(st.integers(1, 6), st.integers(2, 7)),
    channels=st.integers(1, 3),
    kind=st.sampled_from(["8 bit", "16 bit", "float"]),
    weighted=st.booleans(),
    hidden=st.booleans(),
)
def test_scores_of_pictures_are_the_formula(
    *, seed: int, size: tuple[int, int], channels: int, kind: str, weighted: bool, hidden: bool
) -> None:
    rng = np.random.default_rng(seed)
    x: Any = rng.integers(0, 65536 if kind == "16 bit" else 256, (12, 17, channels))
    x = x.astype(np.float32) if kind == "8 bit" else x / (1.0 if kind == "16 bit" else 255.0)
    x[6:, 9:] = x[6, 9]  # flat windows
    t = x[2 : 2 + size[0], 3 : 3 + size[1]] * 0.5 + 7
    w = rng.integers(0, 256, size)[..., None] / 255 if weighted else None
    seen = rng.choice([0.0, 0.5, 1.0], x.shape[:2]) if hidden else None
    scores = Template.of(t, weights=w).scores(x, opacity=seen)
    truth = slow_scores(t, x, w, seen)
    # what is all but hidden or all but flat is flat through an FFT
    clear = np.abs(scores - truth) < 1e-6
    assert clear[(scores != 0) | (not weighted and not hidden)].all(), np.abs(scores - truth).max()
    assert clear.mean() > 0.7


def test_flat_templates_and_windows_score_0() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 1))
    assert Template.of(np.full((10, 1), 0.1)).flat
    assert not Template.of(np.full((10, 1), 0.1)).scores(x).any()
    for level in (0.1, 1e9 + 0.1, -1 / 3):
        assert not Template.of(x[:10]).scores(np.full((50, 1), level)).any()


def test_cells_of_a_template_that_are_missing_carry_no_weight() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 2))
    t = x[20:30].copy()
    t[3, 0] = np.nan
    scores = Template.of(t).scores(x)
    assert scores[20] == pytest.approx(1)
    np.testing.assert_allclose(
        scores, slow_scores(np.nan_to_num(t), x, (~np.isnan(t)).astype(float)), atol=1e-9
    )


@given(
    seed=st.integers(0, 10**6),
    k=st.integers(2, 40),
    gaps=st.integers(1, 30),
    offset=st.sampled_from([0.0, 1e6, 1e12]),
    loud=st.sampled_from([1.0, 1e9]),
)
def test_scores_of_a_template_with_gaps_are_the_formula(
    *, seed: int, k: int, gaps: int, offset: float, loud: float
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-1000, 1000, (200, 2)) + offset
    t = x[50 : 50 + k].copy()
    t[rng.integers(0, k, gaps), rng.integers(0, 2, gaps)] = np.nan
    there = (~np.isnan(t)).astype(float)
    x[51][there[1] == 0] *= loud  # what the template does not know does not count
    np.testing.assert_allclose(
        Template.of(t).scores(x), slow_scores(np.nan_to_num(t), x, there), atol=1e-7
    )


def test_a_correlator_goes_with_its_last_user() -> None:
    """Its spectra are large, and each picture has one: none may wait for the garbage collector."""
    gc.disable()
    try:
        correlator = TileCorrelator([np.ones((3, 3))])
        correlator.sums([np.ones((20, 20))], [[(0, 0)]])
        gone = weakref.ref(correlator)
        del correlator
        assert gone() is None
    finally:
        gc.enable()


def test_a_gap_in_a_long_template_costs_no_more_than_another_sum() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200_000, 1))
    t = x[70_000:90_000].copy()
    started = time.process_time()
    whole = Template.of(t).scores(x)
    took = time.process_time() - started
    t[[5, 777, 778]] = np.nan
    started = time.process_time()
    scores = Template.of(t).scores(x)
    assert time.process_time() - started < 5 * took + 0.2
    assert scores[70_000] == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(scores, whole, atol=1e-3)


def test_columns_count_alike_whatever_their_units() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 2))
    template = Template.of(x[20:30], own_units=True)
    units = np.array([1.0, 1e9])
    same = Template.of(x[20:30] * units, own_units=True).scores(x * units)
    np.testing.assert_allclose(template.scores(x), same, atol=1e-9)


# ----------------------------------------------------------------------------------- peaks and room


def test_local_maxima_with_plateaus_and_ends() -> None:
    at, values = local_maxima(np.array([0.9, 0.5, 0.8, 0.8, 0.2, 0.95]), 0.6)
    assert at[:, 0].tolist() == [0, 2, 3, 5]
    assert values.tolist() == [0.9, 0.8, 0.8, 0.95]
    at, _ = local_maxima(np.array([[0.9, 0.1], [0.1, 0.95]]), 0.6)
    assert at.tolist() == [[1, 1]]


@given(
    starts=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=60),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_room_is_what_comparing_all_pairs_gives(
    starts: list[tuple[int, int]], overlap: float
) -> None:
    size = (6, 4)

    def share(a: tuple[int, int], b: tuple[int, int]) -> float:
        sides = (max(0, k - abs(p - q)) / k for p, q, k in zip(a, b, size, strict=True))
        return next(sides) * next(sides)

    kept: list[int] = []
    for i, place in enumerate(starts):
        if all(share(place, starts[j]) <= overlap for j in kept):
            kept.append(i)
    m = len(starts)
    boxes = np.array(starts), np.tile(size, (m, 1)), np.zeros(m, np.int64)
    assert list(suppress_overlaps(*boxes, overlap=overlap)) == kept


# ----------------------------------------------------------------------------- blocks are the whole


def found(
    pattern: Any, signal: Signal, blocks: list[Any], *, threads: int | None = None
) -> tuple[list[Any], list[Any]]:
    """The hits, and every candidate with its place, its rows and its score."""
    own = Signal(
        medium=signal.medium, shape=pattern.shape[:-1], channels=signal.channels, rate=signal.rate
    )
    loaded = LoadedTemplate(name="t", x=pattern, signal=own)
    detection = Detection(templates=[loaded], threshold=0.5, threads=threads)
    search(detection, Blocks(signal, blocks))
    candidates = [
        each
        for part in detection._found
        for each in zip(
            part.candidates.at.tolist(),
            part.candidates.rows.tolist(),
            part.candidates.score.tolist(),
            strict=True,
        )
    ]
    return list(detection.facts().hits), candidates


def search(detection: Detection, source: Any) -> None:
    prepared = [prepare_template(each, source.signal) for each in detection.templates]
    for _ in detection.search(source, prepared, name="x"):
        pass


def cut(x: Any, sizes: list[int]) -> Iterator[Any]:
    at = i = 0
    while at < len(x):
        yield x[at : at + sizes[i % len(sizes)]]
        at += sizes[i % len(sizes)]
        i += 1


@pytest.mark.parametrize("sizes", [[1000], [1, 0, 7], [99, 100, 101], [4099], [10**6]])
def test_blocks_are_the_whole(sizes: list[int]) -> None:
    rng = np.random.default_rng(1)
    n = 5000 if sizes[0] == 1 else 300_000
    x = rng.standard_normal((n, 2)).cumsum(axis=0) % 7
    for at in range(50, n - 200, max(150, n // 40)):
        x[at : at + 100] = x[10:110] * rng.uniform(0.1, 3) + rng.standard_normal((100, 2)) * 0.05
    signal = Signal(medium=AUDIO, shape=(None,), channels=("left", "right"), rate=100.0)
    whole = found(x[10:110], signal, [x], threads=1)
    assert len(whole[0]) > 20
    assert found(x[10:110], signal, list(cut(x, sizes))) == whole


@pytest.mark.parametrize("sizes", [[1], [7, 0, 50], [400]])
def test_strips_of_a_picture_are_the_whole(sizes: list[int]) -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (400, 90, 3)).astype(np.float32)
    for at in range(5, 380, 37):
        x[at : at + 9, 20:31] = x[100:109, 60:71] // 2
    signal = Signal(medium=IMAGE, shape=x.shape[:2], channels=("R", "G", "B"), full_scale=255.0)
    whole = found(x[100:109, 60:71], signal, [x], threads=1)
    assert len(whole[0]) == 12
    assert found(x[100:109, 60:71], signal, list(cut(x, sizes))) == whole


def test_groups_are_signals_of_their_own() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((300, 1))
    codes = rng.integers(0, 2, 300)
    pattern = x[codes == 1][40:50]

    class Source:
        signal = Signal(medium=TABLE, shape=(None,), channels=("v",))

        def pieces(self) -> Iterator[slice]:
            return (slice(a, a + 17) for a in range(0, 300, 17))

        def decode(self, raw: slice) -> Block:
            return Block(x[raw], Groups([b"a", b"b"], codes[raw]))

    loaded = LoadedTemplate(name="t", x=pattern, signal=Source.signal)
    detection = Detection(templates=[loaded], threshold=0.99, group_name=bytes.decode)
    search(detection, Source())
    (hit,) = detection.facts().hits
    rows = np.flatnonzero(codes == 1)
    assert (hit["group"], hit["start"], hit["end"]) == ("b", rows[40] + 1, rows[49] + 1)


def test_an_input_that_fails_leaves_no_hits() -> None:
    """Neither its own nor, under its name, those of the input after it."""
    x = np.random.default_rng(1).standard_normal((400_000, 1))
    signal = Signal(medium=TABLE, shape=(None,), channels=("v",))

    class Broken(Blocks):
        def decode(self, raw: Any) -> Block:
            if len(raw.x) == 1:
                raise InputError("broken")
            return super().decode(raw)

    loaded = LoadedTemplate(name="t", x=x[10:50], signal=signal)
    detection = Detection(templates=[loaded], threshold=0.99)
    with pytest.raises(InputError):
        search(detection, Broken(signal, [x, x[:1]]))
    assert detection.facts().hits == ()
    search(detection, Blocks(signal, [x[5:]]))
    (hit,) = detection.facts().hits
    assert (hit["start"], hit["end"]) == (6, 45)


def test_a_template_larger_than_the_signal_is_refused() -> None:
    with pytest.raises(RequestError, match=r"^template, 10 samples, is larger than x, 9 samples"):
        detect_arrays(np.arange(10.0), np.zeros(9))


def test_a_template_without_samples_is_refused() -> None:
    with pytest.raises(InputError, match=r"^template: holds no samples"):
        detect_arrays(np.zeros(0), np.zeros(9))


def test_inputs_smaller_than_the_template_are_told_once(detect: Detect, tmp_path: Path) -> None:
    """They have no places, and fail only a search in which no input is large enough."""
    (tmp_path / "t.csv").write_text("v\n1\n5\n2\n")
    for name, rows in (("a", "1\n2\n"), ("b", "9\n1\n5\n2\n"), ("c", "3\n")):
        (tmp_path / f"{name}.csv").write_text(f"v\n{rows}")
    paths = [tmp_path / f"{name}.csv" for name in "tabc"]
    ended = detect.run(*paths)
    assert ended.code == 0
    assert [hit["start"] for hit in table(ended.text)] == ["2"]
    (warning,) = ended.warnings
    assert "t.csv, 3 rows, is larger than" in warning
    assert "a.csv, 2 rows, and than 1 other input: it has no place there" in warning
    # One of two templates fits.
    two = detect.run(paths[0], paths[1], "-t", paths[3], "--threshold", "0.1")
    assert (two.code, len(two.warnings)) == (1, 2)
    for inputs in ([paths[1]], [paths[1], paths[3]]):
        none = detect.run(paths[0], *inputs, "-o", tmp_path / "o.csv")
        assert none.code == 2
        assert "t.csv, 3 rows, is larger than" in none.errors[0]
        assert not (tmp_path / "o.csv").exists()


# -------------------------------------------------------------------------------------- the command


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


class Detect:
    """Runs of the command in a folder of their own."""

    def __init__(self, program: Program, folder: Path) -> None:
        self.program, self.folder = program, folder

    def run(self, *words: str | Path, stdin: bytes = b"") -> Done:
        return self.program.run("detect", *words, stdin=stdin, cwd=self.folder)

    def done(self, *words: str | Path, stdin: bytes = b"") -> Done:
        ended = self.run(*words, stdin=stdin)
        assert ended.code == 0, ended
        assert not ended.errors, ended
        return ended

    def hits(self, *words: str | Path, stdin: bytes = b"") -> list[dict[str, str]]:
        return table(self.done(*words, stdin=stdin).text)

    def refused(self, code: int, *words: str | Path) -> str:
        ended = self.run(*words)
        assert (ended.code, ended.out, len(ended.errors)) == (code, b"", 1), ended
        return ended.err


@pytest.fixture
def detect(program: Program, tmp_path: Path) -> Detect:
    return Detect(program, tmp_path)


def test_hello_is_found_where_it_was_put(detect: Detect) -> None:
    clean = detect.hits(SAMPLES / "hello.wav", SAMPLES / "talk.wav")
    assert [float(h["start"]) for h in clean] == pytest.approx([1.532, 6.400, 12.836], abs=0.001)
    assert [float(h["score"]) for h in clean] == pytest.approx([1, 1, 1], abs=1e-6)
    noisy = detect.hits(SAMPLES / "hello.wav", SAMPLES / "talk_noisy.wav", "--threshold", "0.5")
    assert [(h["start"], round(float(h["score"]), 2)) for h in noisy] == [
        (clean[i]["start"], score) for i, score in enumerate((0.95, 0.84, 0.60))
    ]
    assert list(clean[0]) == ["file", "start", "end", "score"]


def test_nothing_found_is_exit_1_and_says_how_near_it_came(detect: Detect, tmp_path: Path) -> None:
    ended = detect.run(SAMPLES / "hello.wav", SAMPLES / "talk_noisy.wav", "--threshold", "0.99")
    assert (ended.code, ended.text) == (1, "file,start,end,score\n")
    assert "the best score is 0.949, at 1.532 s of" in ended.err
    assert "hint: --threshold 0.94 would accept it" in ended.err
    sf.write(tmp_path / "flat.wav", np.full(100, 0.25), 22050)
    ended = detect.run(tmp_path / "flat.wav", SAMPLES / "talk.wav")
    assert ended.code == 1
    assert "nothing varies in it" in ended.err


def test_neither_gain_nor_offset_nor_length_nor_place_changes_a_score(
    detect: Detect, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    word = rng.standard_normal(800) * 0.1
    noise = rng.standard_normal(5000) * 0.01
    sf.write(tmp_path / "t.wav", word, 8000, subtype="DOUBLE")
    scores = []
    for gain, offset, at, n in (
        (1, 0, 100, 5000),
        (1e-4, 0.5, 100, 5000),
        (3, -1, 77_777, 200_000),
    ):
        x = np.full(n, float(offset))
        x[at - 100 : at + 1000] += gain * noise[:1100]
        x[at : at + 800] += gain * word
        sf.write(tmp_path / "x.wav", x, 8000, subtype="DOUBLE")
        (hit,) = detect.hits(tmp_path / "t.wav", tmp_path / "x.wav")
        assert float(hit["start"]) == at / 8000
        scores.append(float(hit["score"]))
    assert scores == [pytest.approx(scores[0], abs=1e-6)] * 3


def test_neither_gain_nor_offset_nor_length_nor_place_changes_a_score_in_a_table(
    detect: Detect, tmp_path: Path
) -> None:
    rng = np.random.default_rng(6)
    shape, noise = rng.standard_normal((40, 2)), 0.3 * rng.standard_normal((60, 2))

    def write(name: str, x: Any) -> Path:
        np.savetxt(tmp_path / name, x, delimiter=",", header="a,b", comments="", fmt="%.17g")
        return tmp_path / name

    template, scores = write("t.csv", shape), []
    # One gain for all columns, an offset for each.
    for gain, offset, at, n in ((1, 0, 30, 400), (1e-3, [7, -100], 30, 400), (50, 3, 2900, 3000)):
        x = np.zeros((n, 2))
        x[at - 10 : at + 50] = noise
        x[at : at + 40] += shape
        (hit,) = detect.hits(
            template, write("x.csv", x * gain + np.array(offset)), "--threshold", "0.8"
        )
        assert (hit["start"], hit["end"]) == (str(at + 1), str(at + 40))
        scores.append(float(hit["score"]))
    assert scores == [pytest.approx(scores[0], abs=1e-6)] * 3
    assert 0.8 < scores[0] < 0.999


def test_neither_contrast_nor_brightness_nor_size_nor_place_changes_a_score_in_a_picture(
    detect: Detect, tmp_path: Path
) -> None:
    rng = np.random.default_rng(7)
    icon = rng.integers(0, 100, (12, 15, 3)).astype(np.float64)
    noise = rng.integers(0, 30, (12, 15, 3))
    template, scores = picture(tmp_path / "t.png", icon.astype(np.uint8)), []
    cases = (
        (1, 0, (5, 7), (60, 80)),
        (2, 0, (5, 7), (60, 80)),
        (1, 120, (30, 60), (60, 80)),
        (1, 60, (280, 7), (300, 200)),
    )
    for gain, offset, (y, x), sides in cases:
        whole = np.full((*sides, 3), offset, np.uint8)
        whole[y : y + 12, x : x + 15] = gain * (icon + noise) + offset
        (hit,) = detect.hits(template, picture(tmp_path / "x.png", whole), "--threshold", "0.8")
        assert (hit["x"], hit["y"]) == (str(x), str(y))
        scores.append(float(hit["score"]))
    assert scores == [pytest.approx(scores[0], abs=1e-5)] * 4
    assert 0.8 < scores[0] < 0.999


def test_another_rate_and_other_channels_are_brought_together(
    detect: Detect, tmp_path: Path
) -> None:
    t = np.arange(1600) / 16000
    word = np.sin(2 * np.pi * (300 + 2000 * t) * t) * np.hanning(1600)
    sf.write(tmp_path / "t.wav", word * 0.5, 16000)
    x = np.zeros((20000, 2))
    x[4000:4800, 0] = word[::2] * 0.3
    sf.write(tmp_path / "x.wav", x, 8000)
    ended = detect.done(tmp_path / "t.wav", tmp_path / "x.wav")
    (hit,) = table(ended.text)
    assert float(hit["start"]) == pytest.approx(0.5, abs=2e-4)
    assert float(hit["score"]) > 0.99
    assert (
        "converted from 16000 Hz to 8000 Hz; the searched signal is mixed to one channel"
        in ended.err
    )
    sf.write(tmp_path / "six.wav", np.zeros((100, 6)), 8000)
    error = detect.refused(2, tmp_path / "x.wav", tmp_path / "six.wav")
    assert "has 2 channels, and the searched signal has 6" in error


def test_sound_comes_through_a_pipe_and_best_is_first_over_all_files(
    detect: Detect, tmp_path: Path
) -> None:
    talk = (SAMPLES / "talk.wav").read_bytes()
    piped = detect.hits(SAMPLES / "hello.wav", stdin=talk)
    assert [h["file"] for h in piped] == ["-"] * 3
    both = detect.hits(
        SAMPLES / "hello.wav",
        SAMPLES / "talk_noisy.wav",
        SAMPLES / "talk.wav",
        "--threshold",
        "0.9",
    )
    assert [h["file"].split("/")[-1] for h in both] == ["talk.wav"] * 3 + ["talk_noisy.wav"]
    assert len(detect.hits(SAMPLES / "hello.wav", SAMPLES / "talk.wav", "--top", "2")) == 2
    ended = detect.run(SAMPLES / "hello.wav", tmp_path / "no.wav", SAMPLES / "talk.wav")
    assert (ended.code, len(table(ended.text))) == (3, 3)


def test_json_has_the_hits_and_the_facts(detect: Detect) -> None:
    told = json.loads(
        detect.done(SAMPLES / "hello.wav", SAMPLES / "talk.wav", "--format", "json").text
    )
    assert [hit["start"] for hit in told["hits"]] == [1.531973, 6.400272, 12.836463]
    assert told["inputs"][0]["shape"] == [311953]
    assert told["templates"][0]["shape"] == [20089]
    assert (told["threshold"], told["overlap"], told["best_score"]) == (0.7, 0.0, pytest.approx(1))


def test_places_in_a_file_and_facts_in_a_report(detect: Detect, tmp_path: Path) -> None:
    words = (SAMPLES / "hello.wav", SAMPLES / "talk.wav")
    told = detect.done(*words).text
    ended = detect.done(*words, "-o", "places.csv", "--report", "facts.json")
    assert (ended.out, (tmp_path / "places.csv").read_text()) == (b"", told)
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert (facts["filter"], facts["steps"], facts["inputs"][0]["shape"]) == ("", [], [311953])
    detect.done(*words, "-o", "places.json")
    flat = json.loads((tmp_path / "places.json").read_text())
    assert flat["hits"] == facts["detection"]["hits"]
    assert {k: flat[k] for k in facts["detection"]} == facts["detection"]
    assert [f"{hit['start']:.6f}" for hit in flat["hits"]] == [hit["start"] for hit in table(told)]
    for name in ("facts.html", "facts.md"):
        detect.done(*words, "--report", name)
        assert all(hit["end"] in (tmp_path / name).read_text() for hit in table(told))
    assert detect.done(*words, "-o", "places", "--format", "json").code == 0
    assert json.loads((tmp_path / "places").read_text())["hits"] == flat["hits"]


def test_outputs_of_a_search_are_refused_before_it(detect: Detect, tmp_path: Path) -> None:
    for name in ("hello.wav", "talk.wav"):
        (tmp_path / name).write_bytes((SAMPLES / name).read_bytes())
    (tmp_path / "old.csv").write_text("kept")
    (tmp_path / "old.json").write_text("kept")
    (tmp_path / "folder").mkdir()
    words = ("hello.wav", "talk.wav")
    assert "exists already" in detect.refused(2, *words, "-o", "old.csv")
    assert "exists already" in detect.refused(2, *words, "--report", "old.json")
    assert "is the input" in detect.refused(2, *words, "-o", "./hello.wav", "--force")
    assert "is the input" in detect.refused(2, *words, "-o", "talk.wav", "--force")
    assert "is a folder" in detect.refused(2, *words, "-o", "folder")
    assert "named .json" in detect.refused(2, *words, "--report", "facts.txt")
    assert "are both" in detect.refused(2, *words, "-o", "a.json", "--report", "./a.json")
    assert "no folder" in detect.refused(4, *words, "-o", "none/a.csv")
    sf.write(tmp_path / "noise.wav", np.random.default_rng(1).uniform(-1, 1, 30_000), 22050)
    assert detect.run("hello.wav", "noise.wav", "-o", "none.csv").code == 1
    assert (tmp_path / "none.csv").read_text() == "file,start,end,score\n"
    assert (tmp_path / "old.csv").read_text() == (tmp_path / "old.json").read_text() == "kept"
    assert (tmp_path / "hello.wav").read_bytes() == (SAMPLES / "hello.wav").read_bytes()


def test_overlap(detect: Detect, tmp_path: Path) -> None:
    x = np.sin(2 * np.pi * np.arange(2000) / 50)
    sf.write(tmp_path / "x.wav", x, 8000, subtype="DOUBLE")
    sf.write(tmp_path / "t.wav", x[:200], 8000, subtype="DOUBLE")
    words = (tmp_path / "t.wav", tmp_path / "x.wav")
    assert len(table(detect.done(*words).text)) == 10
    assert len(table(detect.done(*words, "--overlap", "50%").text)) == 19
    assert len(table(detect.done(*words, "--overlap", "100%").text)) == 37
    detect.refused(2, *words, "--overlap", "7px")
    detect.refused(2, *words, "--threshold", "0")


def test_tables_by_group_and_time(detect: Detect, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    days = np.datetime64("2024-01-01") + np.arange(80)
    rows = [
        (day, ticker, value)
        for day in days
        for ticker, value in zip("ab", rng.integers(0, 99, 2), strict=True)
    ]
    text = "".join(f"{day},{ticker},{value}\n" for day, ticker, value in rows)
    (tmp_path / "x.csv").write_text(f"day,ticker,close\n{text}")
    mine = [str(value * 3 - 5) for _, ticker, value in rows if ticker == "b"][30:40]
    (tmp_path / "t.csv").write_text("close\n" + "\n".join(mine) + "\n")
    words = (
        tmp_path / "t.csv",
        tmp_path / "x.csv",
        "--by",
        "ticker",
        "--time",
        "day",
        "--threshold",
        "0.95",
    )
    (hit,) = detect.hits(*words)
    assert hit == {
        "file": str(tmp_path / "x.csv"),
        "group": "b",
        "start": "62",
        "end": "80",
        "start_time": "2024-01-31",
        "end_time": "2024-02-09",
        "score": "1.000000",
    }
    (piped,) = detect.hits(tmp_path / "t.csv", *words[2:], stdin=(tmp_path / "x.csv").read_bytes())
    assert piped == {**hit, "file": "-"}
    error = detect.refused(2, tmp_path / "t.csv", tmp_path / "x.csv", "-c", "Open")
    assert "Open" in error


@pytest.mark.parametrize("dated", [True, False])
def test_weeks_of_days_are_searched_as_every_makes_them(
    *, dated: bool, detect: Detect, tmp_path: Path
) -> None:
    """A template with the column of the times is gathered into weeks, too."""
    x = np.random.default_rng(3).integers(0, 99, 140)
    days = np.datetime64("2024-01-01") + np.arange(140)  # a Monday
    rows = [f"{day},{value}\n" for day, value in zip(days, x, strict=True)]
    (tmp_path / "x.csv").write_text("day,x\n" + "".join(rows))
    weeks = x.reshape(20, 7).mean(axis=1)[5:10].tolist()
    template = "day,x\n" + "".join(rows[35:70])
    if not dated:
        template = "x\n" + "".join(f"{mean!r}\n" for mean in weeks)
    (tmp_path / "t.csv").write_text(template)
    words = ("--time", "day", "--every", "1w", "--top", "1")
    (hit,) = detect.hits(tmp_path / "t.csv", tmp_path / "x.csv", *words)
    assert hit == {
        "file": str(tmp_path / "x.csv"),
        "start": "6",
        "end": "10",
        "start_time": "2024-02-05",
        "end_time": "2024-03-04",
        "score": "1.000000",
    }


def test_a_template_longer_than_each_group_is_told(detect: Detect, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x\n1\n2\n4\n8\n")
    (tmp_path / "x.csv").write_text("k,x\na,1\nb,2\na,4\nb,8\na,1\n")
    told = detect.refused(2, tmp_path / "t.csv", tmp_path / "x.csv", "--by", "k")
    assert "4 rows, is larger than the longest group of" in told
    assert "x.csv, 3 rows" in told


def test_an_opacity_that_is_no_number_hides(detect: Detect, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).random((30, 40, 2)).astype(np.float32)
    picture[..., 1] = 1
    pyvips.Image.new_from_array(picture[10:18, 20:30].copy()).write_to_file(
        str(tmp_path / "part.tif")
    )
    picture[0, 0, 1] = np.nan
    pyvips.Image.new_from_array(picture).write_to_file(str(tmp_path / "whole.tif"))
    (hit,) = detect.hits("part.tif", "whole.tif", "--threshold", "0.9")
    assert (hit["x"], hit["y"]) == ("20", "10")
    assert float(hit["score"]) == pytest.approx(1, abs=1e-6)


def test_a_template_from_a_named_pipe(tmp_path: Path) -> None:
    """As `<(...)` of a shell gives it."""
    (tmp_path / "week.csv").write_text("x\n" + "".join(f"{i % 7}\n" for i in range(21)))
    os.mkfifo(tmp_path / "pipe")
    ended = shell("head -8 week.csv > pipe & convcli detect pipe week.csv -q", tmp_path)
    assert [(hit["start"], hit["end"]) for hit in table(ended.text)] == [
        ("1", "7"),
        ("8", "14"),
        ("15", "21"),
    ]


def test_options_of_tables_are_for_tables(detect: Detect) -> None:
    for words, told in (
        (["hello.wav", "talk.wav", "-c", "a"], "-c is for tables, and these are sounds"),
        (
            ["cat.png", "cat.png", "--no-header"],
            "--no-header is for tables, and these are pictures",
        ),
    ):
        paths = [str(SAMPLES / word) if "." in word else word for word in words]
        ended = detect.run(*paths)
        assert ended.code == 2
        assert told in ended.err


def test_missing_cells_and_too_few_rows(detect: Detect, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("v;w\n1;1\n5;\n2;3\n8;4\n1;1\n5;9\n2;3\n")
    (tmp_path / "t.csv").write_text("v;w\n1;1\n5;9\n2;3\n")
    (hit,) = detect.hits(tmp_path / "t.csv", tmp_path / "x.csv")
    assert (hit["start"], hit["end"]) == ("5", "7")
    (tmp_path / "head.csv").write_text("v;w\n")
    assert "3 rows, is larger than" in detect.refused(
        2, tmp_path / "t.csv", tmp_path / "head.csv", "-c", "v,w"
    )
    assert detect.refused(2, tmp_path / "x.csv", tmp_path / "t.csv")


def test_missing_samples_of_what_is_searched_are_counted(detect: Detect, tmp_path: Path) -> None:
    """They hide a place, whether or not another one is found."""
    (tmp_path / "x.csv").write_text("v,w\n1,1\n5,\n2,3\n8,4\n,\n5,9\n2,3\n")
    (tmp_path / "t.csv").write_text("v,w\n1,1\n5,9\n2,3\n")
    for options in ([], ["--jobs", "1", "-t", "t.csv"]):
        ended = detect.run("t.csv", "x.csv", *options)
        (warning,) = ended.warnings
        assert "x.csv: missing 3 samples (v 1, w 2)" in warning
    assert detect.run("t.csv", "t.csv").warnings == []
    ended = detect.run("t.csv", "x.csv", "t.csv", "--format", "json")
    (warning,) = ended.warnings
    assert json.loads(ended.text)["warnings"] == [warning.removeprefix("warning: ")]


def test_missing_samples_of_a_picture_are_counted(detect: Detect, tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((30, 40)).astype(np.float32)
    pages = [x.copy(), x.copy()]
    pages[1][12, 24] = np.nan
    part = pyvips.Image.new_from_array(x[10:18, 20:30].copy())
    part.write_to_file(str(tmp_path / "part.tif"))
    both = pyvips.Image.new_from_array(np.concatenate(pages))
    both.copy(interpretation="b-w").tiffsave(str(tmp_path / "whole.tif"), page_height=30)
    ended = detect.run("part.tif", "whole.tif", "--threshold", "0.9")
    assert [(hit["page"], hit["x"], hit["y"]) for hit in table(ended.text)] == [("1", "20", "10")]
    (warning,) = ended.warnings
    assert "page 2 of whole.tif: missing 1 sample;" in warning


def picture(path: Path, x: Any) -> Path:
    assert cv2.imwrite(str(path), x)
    return path


def test_pictures_with_opacity_grey_and_several_templates(detect: Detect, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x = cv2.GaussianBlur(rng.integers(0, 256, (120, 160, 3), dtype=np.uint8), (5, 5), 1)
    icon = np.concatenate([x[40:56, 70:90], np.full((16, 20, 1), 255, np.uint8)], axis=2)
    icon[:5, :5] = [0, 255, 0, 0]  # hidden, and of another colour
    whole = picture(tmp_path / "x.png", x)
    (hit,) = detect.hits(picture(tmp_path / "t.png", icon), whole, "--threshold", "0.99")
    assert list(hit) == ["file", "x", "y", "width", "height", "score"]
    assert [hit[name] for name in ("x", "y", "width", "height")] == ["70", "40", "20", "16"]
    assert float(hit["score"]) == pytest.approx(1, abs=1e-4)
    grey = picture(tmp_path / "g.png", cv2.cvtColor(x[10:26, 20:40], cv2.COLOR_BGR2GRAY))
    both = detect.hits(tmp_path / "t.png", whole, "-t", grey, "--threshold", "0.95")
    assert [(h["template"][-5:], h["x"], h["y"]) for h in both] == [
        ("t.png", "70", "40"),
        ("g.png", "20", "10"),
    ]
    see_through = np.concatenate([x, np.full((120, 160, 1), 255, np.uint8)], axis=2)
    see_through[41:44, 72:76] = [255, 0, 255, 0]
    (hit,) = detect.hits(
        tmp_path / "t.png", picture(tmp_path / "h.png", see_through), "--threshold", "0.9"
    )
    assert (hit["x"], hit["y"]) == ("70", "40")
    assert 0.9 < float(hit["score"]) < 0.999
    assert "20x16 pixels, is larger than" in detect.refused(2, whole, tmp_path / "t.png").replace(
        "160x120", "20x16"
    )


def test_every_page_is_searched(detect: Detect, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    pages = [rng.integers(0, 65536, (40, 50), dtype=np.uint16) for _ in range(3)]
    pages[2][5:17, 30:44] = pages[1][20:32, 10:24] // 2
    assert cv2.imwritemulti(str(tmp_path / "x.tif"), pages)
    found = detect.hits(picture(tmp_path / "t.png", pages[1][20:32, 10:24]), tmp_path / "x.tif")
    assert [(h["page"], h["x"], h["y"]) for h in found] == [("2", "10", "20"), ("3", "30", "5")]


@tells_memory
def test_an_hour_takes_no_more_memory_than_a_minute(tmp_path: Path) -> None:
    talk, rate = sf.read(SAMPLES / "talk_noisy.wav", dtype="int16")
    megabytes = []
    for repeats in (4, 40):  # one minute and nine; these are 190 MB as float64
        path = tmp_path / f"{repeats}.wav"
        sf.write(path, np.tile(talk, repeats), rate)
        words = ("detect", SAMPLES / "hello.wav", path, "--threshold", "0.9", "--threads", "2")
        hits, peak = peak_memory(*words, cwd=tmp_path)
        assert len(hits.splitlines()) == repeats + 1
        megabytes.append(peak)
    minute, long = megabytes
    assert long < minute + 80


QUOTED = (
    'k,t,x\n"a ""q"", b",2020-01-01,1\n"a ""q"", b",2020-01-02,5\n"a ""q"", b",2020-01-03,2\n'
    "z,2020-01-01,3\n"
)


def test_names_of_groups_with_quotes(program: Program, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(QUOTED)
    (tmp_path / "qt.csv").write_text("x\n1\n5\n2\n")
    told = program.run(
        "detect", "qt.csv", "q.csv", "--by", "k", "-c", "x", "--format", "json", cwd=tmp_path
    )
    assert [hit["group"] for hit in json.loads(told.out)["hits"]] == ['a "q", b']
    told = program.run("detect", "qt.csv", "q.csv", "--by", "k", "-c", "x", cwd=tmp_path)
    assert [row["group"] for row in csv.DictReader(io.StringIO(told.out.decode()))] == ['a "q", b']
    told = program.run(
        "csv",
        "box:3",
        "q.csv",
        "--by",
        "k",
        "-c",
        "x",
        "--align",
        "center",
        "--causal-check",
        cwd=tmp_path,
    )
    rows = list(csv.DictReader(io.StringIO(told.out.decode())))
    assert {row["group"] for row in rows} == {'a "q", b', "z"}, told
    assert '(a "q", b)' in told.err
    (tmp_path / "q.csv").write_text(QUOTED.replace("2020-01-03", "2019-01-03"))
    told = program.run(
        "csv", "box:3d", "q.csv", "--by", "k", "-c", "x", "--time", "t", cwd=tmp_path
    )
    assert told.code == 3
    assert ' of a "q", b' in told.err


def test_a_file_name_of_another_format_is_refused(detect: Detect, tmp_path: Path) -> None:
    told = detect.refused(2, SAMPLES / "hello.wav", SAMPLES / "talk.wav", "-o", "hits.parquet")
    assert "suffix .parquet" in told
    assert not (tmp_path / "hits.parquet").exists()


def test_hidden_pixels_have_no_colour() -> None:
    """Under them a file may hold any colour, which must not take digits from those that are seen."""
    rng = np.random.default_rng(7)
    x = rng.uniform(0, 1, (30, 30, 1))
    seen = np.ones((30, 30))
    seen[5:12, 8:20] = 0
    template = Template.of(x[15:21, 10:16])
    loud = x.copy()
    loud[seen == 0] = 1e12
    truth = template.scores(np.where(seen[..., None] == 0, 0.0, x), opacity=seen)
    np.testing.assert_allclose(template.scores(loud, opacity=seen), truth, atol=1e-9)
