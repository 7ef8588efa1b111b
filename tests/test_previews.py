"""What pages draw of the signals of a run, held against NumPy and the engine's own output."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pytest
import soundfile
from browser import browser, needs_chromium, opened, unread
from program import SAMPLES
from program import run as run_program
from pyvips import Image

import convcli
from convcli.checking.compare import compare_signals
from convcli.checking.signal_comparison import ComparedSignal
from convcli.cli import main
from convcli.core.binding import Rules
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.planning.describe import chain_facts, chain_with_response, step_facts, with_response
from convcli.planning.plan import make_plan
from convcli.previews.observe import ObservedSink, ObservedSource, preview_of
from convcli.previews.outline import SHORTEST_GRAIN, OutlineCollector
from convcli.previews.picture import PicturePreview, PictureSums, likeness
from convcli.previews.preview import FULL
from convcli.previews.sound import EXCERPT, ExcerptSamples, LoudnessSums, SpectrogramSums
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.signals import ARRAY, TABLE, Block, Groups, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convcli.facts.preview import PictureFacts, PreviewFacts
    from convcli.signals import Array

HOSTILE = "<script>alert(1)</script>"


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


# Outlines


@pytest.mark.parametrize("block", [1, 7, 100, 5000])
@pytest.mark.parametrize("length", [None, 5000])
def test_an_outline(block: int, length: int | None) -> None:
    x = noise(5000, 2)
    x[40:70, 1] = np.nan
    sums = OutlineCollector(("a", "b"), 50, length, level=True)
    for first in range(0, len(x), block):
        sums.add(x[first : first + block])
    facts = sums.facts()
    assert 50 <= len(facts.low) <= 100
    for number in range(len(facts.low)):
        part = x[number * facts.per_bin : (number + 1) * facts.per_bin]
        np.testing.assert_array_equal(facts.low[number], np.nanmin(part, axis=0))
        np.testing.assert_array_equal(facts.high[number], np.nanmax(part, axis=0))
        assert facts.gaps[number].tolist() == np.isnan(part).sum(axis=0).tolist()
    assert facts.peak == pytest.approx(np.nanmax(np.abs(x), axis=0))
    assert facts.rms == pytest.approx(np.sqrt(np.nanmean(x**2)))


@pytest.mark.parametrize("block", [37, 1000, 65536])
@pytest.mark.parametrize("length", [None, 200_000])
@pytest.mark.parametrize("gap", [False, True])
def test_an_outline_of_large_bins(block: int, length: int | None, gap: bool) -> None:  # noqa: FBT001
    x = noise(200_000, 2)
    if gap:
        x[100_000:100_010, 0] = np.nan
    sums = OutlineCollector(("a", "b"), 10, length, level=True)
    for first in range(0, len(x), block):
        sums.add(x[first : first + block])
    facts = sums.facts()
    assert facts.per_bin % SHORTEST_GRAIN == 0
    starts = np.arange(0, len(x), facts.per_bin)
    np.testing.assert_array_equal(facts.low, np.fmin.reduceat(x, starts, axis=0))
    np.testing.assert_array_equal(facts.high, np.fmax.reduceat(x, starts, axis=0))
    assert facts.gaps.sum() == 10 * gap
    assert facts.rms == pytest.approx(np.sqrt(np.nanmean(x**2)))


def test_an_outline_of_stored_samples() -> None:
    x: Any = np.array([[1], [-32768], [16384]], np.int16)
    sums = OutlineCollector(("mono",), 10, level=True)
    sums.add(x)
    facts = sums.facts()
    assert facts.low[:, 0].tolist() == [1 / 32768, -1, 0.5]
    assert facts.rms == pytest.approx(np.sqrt(np.mean((x / 32768) ** 2)))


def test_the_level_of_a_sound_that_is_loud_at_regular_times() -> None:
    """An eighth of those on the left is 10000: sqrt(1 / 16) * 10000 / 32768 = 0.0762939."""
    x: Any = np.zeros((65_536, 2), np.int16)
    x[np.arange(len(x)) % 4096 < 512, 0] = 10_000
    sums = OutlineCollector(("left", "right"), 1, len(x), level=True)
    for first in range(0, len(x), 20_000):
        sums.add(x[first : first + 20_000])
    assert sums.facts().rms == pytest.approx(0.0762939, abs=1e-6)


@pytest.mark.parametrize("kind", [np.int16, np.int32])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_level_of_stored_samples_at_full_scale(kind: Any, channels: int) -> None:
    """All but one of 65,536 samples of each channel are -1, the other one is 0.5."""
    x: Any = np.full((65_536, channels), np.iinfo(kind).min, kind)
    x[1234] = np.iinfo(kind).max // 2 + 1
    sums = OutlineCollector(("left", "right")[:channels], 1, len(x), level=True)
    for first in range(0, len(x), 20_000):
        sums.add(x[first : first + 20_000])
    facts = sums.facts()
    assert facts.rms == pytest.approx(math.sqrt((65_535 + 0.25) / 65_536), rel=1e-12)
    assert facts.low[0].tolist() == [-1.0] * channels
    assert facts.high[0].tolist() == [0.5] * channels


def test_an_outline_with_a_bin_of_gaps_alone() -> None:
    sums = OutlineCollector(("a",), 4, 16)
    sums.add(np.array([1.0, 2, *[math.nan] * 2, 3, 4, 5, 6])[:, None])
    facts = sums.facts()
    assert facts.per_bin == 2
    np.testing.assert_array_equal(facts.low[:, 0], [1, math.nan, 3, 5])


# Sound


@pytest.mark.parametrize("block", [5000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_loudness(block: int, channels: int) -> None:
    meters = pytest.importorskip("pyloudnorm")
    x, rate = soundfile.read(SAMPLES / "talk.wav")
    x = np.stack([x, 0.5 * x][:channels], axis=1)
    sums = LoudnessSums(rate, channels, len(x))
    for first in range(0, len(x), block):
        sums.add(x[first : first + block])
    expected = meters.Meter(rate).integrated_loudness(x)
    assert sums.loudness() == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(
    ("speakers", "gains"),
    [
        ((1, 2, 8), [1, 1, 0]),
        ((), [1, 1, 1]),
        ((), [1, 1, 1.41, 1.41]),
        ((1, 2, 4, 0x100), [1, 1, 1, 1]),  # straight behind
        ((), [1, 1, 1, 1.41, 1.41]),
        ((), [1, 1, 1, 0, 1.41, 1.41]),
        ((1, 2, 4, 8, 0x200, 0x400), [1, 1, 1, 0, 1.41, 1.41]),
        ((), [1, 1, 1, 0, 1, 1.41, 1.41]),
        ((), [1, 1, 1, 0, 1, 1, 1.41, 1.41]),
        ((), [1] * 16),
    ],
)
def test_the_loudness_of_each_loudspeaker(speakers: tuple[int, ...], gains: list[float]) -> None:
    """ITU-R BS.1770-5, table 4: 1.41 at 60 to 120 degrees, else 1, and 0 for low frequencies.

    A surround pair alone is at 110 degrees; with a pair at the side, that at the back is at 135.
    """
    for channel, gain in enumerate(gains):
        tone = np.zeros((48000, len(gains)))
        tone[:, channel] = np.sin(2 * np.pi * 997 / 48000 * np.arange(48000))
        sums = LoudnessSums(48000, len(gains), speakers=speakers)
        sums.add(tone)
        expected = None if gain == 0 else pytest.approx(-3.01 + 10 * np.log10(gain), abs=0.02)
        assert sums.loudness() == expected


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000, 96000])
def test_the_loudness_of_a_tone(rate: int) -> None:
    """ITU-R BS.1770-5: a sine of 997 Hz at full scale in one channel is -3.01 LUFS."""
    tone = np.sin(2 * np.pi * 997 / rate * np.arange(2 * rate))
    sums = LoudnessSums(rate, 1)
    sums.add(tone[:, None])
    assert sums.loudness() == pytest.approx(-3.01, abs=0.02)


def test_the_loudness_of_silence() -> None:
    silent = LoudnessSums(48000, 1)
    silent.add(np.zeros((96000, 1)))
    assert silent.loudness() is None


@pytest.mark.parametrize("block", [300, 4000, 60_000])
@pytest.mark.parametrize("length", [None, 60_000])
def test_a_spectrogram(block: int, length: int | None) -> None:
    rate = 16000
    frequency = np.where(np.arange(60_000) < 30_000, 2000, 4000)
    x = np.sin(2 * np.pi * np.cumsum(frequency) / rate)[:, None]
    sums = SpectrogramSums(20, length)
    for first in range(0, len(x), block):
        sums.add(x[first : first + block])
    facts = sums.facts(rate)
    assert facts is not None
    assert 20 <= len(facts.power) <= 40
    loudest = facts.power.argmax(axis=1) * rate / 1024
    assert loudest[0] == 2000
    assert loudest[-1] == 4000
    assert facts.power.max() == pytest.approx(1, abs=0.01)
    assert facts.seconds * len(facts.power) == pytest.approx(60_000 / rate, rel=0.1)


def test_spectra_before_and_after_a_change_of_the_rate_are_on_one_scale() -> None:
    """Noise has the same mean level in both where the filter passes it."""
    signal = Signal(medium=AUDIO, shape=(40_000,), channels=("mono",), rate=16000)
    x = 0.1 * noise(40_000, 1)
    facts = observed("downsample:4", signal, [x], edge="edge")
    before, after = facts.before.spectrogram, facts.after.spectrogram
    assert before is not None
    assert after is not None
    assert after.power.shape[1] == 129
    band = slice(20, 100)
    levels = [10 * np.log10(each.power[:, band].mean()) for each in (before, after)]
    assert levels[1] == pytest.approx(levels[0], abs=0.3)


def loudness_of_parts(levels: Any) -> tuple[float, float, float]:
    """The loudness of parts of a tone, of all of it, and the seconds of the parts.

    levels : of each second, in decibels
    """
    rate = 1000
    tone = np.sin(2 * np.pi * 100 / rate * np.arange(rate))[:, None]
    sums = LoudnessSums(rate, 1, len(levels) * rate)
    whole = LoudnessSums(rate, 1)
    gains = 10 ** (np.asarray(levels) / 20)
    for gain in gains:
        sums.add(gain * tone)
        whole.add(gain * tone)
    rms = float(np.sqrt(np.mean(gains**2) / 2))
    loudness, expected = sums.loudness(rms), whole.loudness()
    assert loudness is not None
    assert expected is not None
    return loudness, expected, sums.seconds


def test_the_loudness_of_a_long_sound_is_measured_all_over_it() -> None:
    """15 minutes, every other 30 s of them silent: a mean of 0.4 s here and there finds both."""
    levels = np.where(np.arange(900) // 30 % 2, -6.0, -200.0)
    loudness, expected, seconds = loudness_of_parts(levels)
    assert 19 < seconds < 22
    assert loudness == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize("seed", range(5))
def test_the_loudness_of_parts_follows_the_level_of_the_whole_sound(seed: int) -> None:
    """Seconds of random levels: the parts alone are up to 2.3 LU off."""
    levels = np.random.default_rng(seed).normal(-30, 6, 1800)
    loudness, expected, _ = loudness_of_parts(levels)
    assert loudness == pytest.approx(expected, abs=0.7)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_loudness_of_parts_counts_stored_samples_as_sound(channels: int) -> None:
    """Samples of 16 bits and of float64 have the same loudness."""
    x = np.random.default_rng(3).normal(0, 3000, (70_000, channels)).astype(np.int16)
    kinds: list[Any] = [x, x / 32768]
    found = []
    for samples in kinds:
        sums = LoudnessSums(1000, channels, len(x))
        sums.add(samples)
        found.append(sums.loudness(0.1))
    assert found[0] == pytest.approx(found[1], abs=1e-3)
    assert found[0] is not None


@pytest.mark.parametrize("block", [1, 3, 50])
def test_an_excerpt(block: int) -> None:
    x = np.arange(40.0)[:, None] / 40
    excerpt = ExcerptSamples(7, 19)
    for first in range(0, len(x), block):
        excerpt.add(x[first : first + block])
    facts = excerpt.facts(10.0)
    assert facts is not None
    np.testing.assert_allclose(facts.samples, x[7:19], rtol=1e-7)
    assert facts.start == 0.7


# Runs


def observed(filter: str, signal: Signal, blocks: list[Any], edge: Any = "zero") -> PreviewFacts:
    align: Any = "causal" if signal.medium is TABLE else "center"
    plan = make_plan(filter, signal, Rules(edge=edge, align=align))
    preview = preview_of(signal, plan.result, FULL)
    source = ObservedSource(Blocks(signal, blocks), preview)
    run(plan, source, ObservedSink(Collected(), preview), threads=1)
    return preview.facts()


class Grouped(Blocks):
    """Blocks of (samples, group of each row)."""

    def pieces(self) -> Iterator[Block]:
        for x, codes in cast("Any", self.blocks):
            yield Block(x, Groups([b"one", b"two"], codes))


@pytest.mark.parametrize("size", [5, 31, 400])
def test_groups_of_a_table(size: int) -> None:
    x = noise(400, 1)
    codes = np.random.default_rng(1).integers(0, 2, 400)
    signal = Signal(medium=TABLE, shape=(None,), channels=("p",))
    plan = make_plan("sma:9", signal, Rules(edge="shrink", align="causal"))
    preview = preview_of(signal, plan.result, FULL)
    blocks: list[Any] = [(x[a : a + size], codes[a : a + size]) for a in range(0, 400, size)]
    source = ObservedSource(Grouped(signal, blocks), preview)
    run(plan, source, ObservedSink(Collected(), preview), threads=1)
    facts = preview.facts()
    order = list(dict.fromkeys(codes.tolist()))
    for number, code in enumerate(order):
        group = x[codes == code, 0]
        before, after = facts.before.outlines[number], facts.after.outlines[number]
        assert before.group == ("one", "two")[code]
        np.testing.assert_array_equal(before.low[:, 0], group)
        expected = pd.Series(group).rolling(9, min_periods=1).mean()
        np.testing.assert_allclose(after.low[:, 0], expected, rtol=1e-12)


def test_a_filter_that_reads_its_input_twice() -> None:
    x = 0.25 * noise(3000, 1)
    signal = Signal(medium=TABLE, shape=(3000,), channels=("p",))
    facts = observed("normalize", signal, [x[:1000], x[1000:]])
    assert facts.before.outlines[0].length == 3000
    assert facts.after.outlines[0].peak == pytest.approx((1.0,))


def test_a_table_that_gets_shorter() -> None:
    """Only rows of the result are drawn, each where its last row lies: a line joins them."""
    x = noise(300, 1)
    signal = Signal(medium=TABLE, shape=(None,), channels=("p",))
    facts = observed("avg_pool:10", signal, [x[:77], x[77:]], edge="shrink")
    after = facts.after.outlines[0]
    np.testing.assert_allclose(after.low[:, 0], x.reshape(30, 10).mean(axis=1))
    assert after.axis is not None
    np.testing.assert_array_equal(after.axis[:, 0], np.arange(10, 301, 10))


def test_a_table_with_dates_that_gets_shorter(tmp_path: Path) -> None:
    """The results of calendar bins lie over the dates, on the same axis as the input."""
    days = pd.date_range("2024-01-01", periods=91)
    table = pd.DataFrame({"day": days.strftime("%Y-%m-%d"), "v": np.arange(91.0)})
    table.to_csv(tmp_path / "t.csv", index=False)
    page = tmp_path / "p.html"
    words = ("csv", "avg_pool:1mo", tmp_path / "t.csv", "--time", "day", "-q")
    assert main([*map(str, words), "-o", str(tmp_path / "o.csv"), "--report", str(page)]) == 0
    text = page.read_text()
    assert "data-timed" in text
    lines = dict(re.findall(r'class="line (before|after)" d="M([\d.]+) ', text))
    # The first month ends after 30 of the 90 days.
    assert float(lines["before"]) == 0.0
    assert float(lines["after"]) == pytest.approx(10_000 * 30 / 90, abs=1)


def test_a_row_between_two_gaps_is_a_dot(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("v\n1\n\n3\n\n5\n6\n")
    page = tmp_path / "p.html"
    words = ("csv", "gain:2", tmp_path / "t.csv", "-q", "-o", tmp_path / "o.csv")
    assert main([*map(str, words), "--report", str(page)]) == 0
    dots = re.findall(r'class="dots before" d="([^"]*)"', page.read_text())
    assert [path.count("M") for path in dots] == [2]


# Pictures


@pytest.mark.parametrize("strip", [1, 13, 100])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32", "float64"])
def test_a_picture_is_reduced(strip: int, dtype: str) -> None:
    x: Any = np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(dtype)
    signal = Signal(medium=IMAGE, shape=(300, 400), channels=("R", "G", "B"), full_scale=255)
    sums = PictureSums(signal, 100)
    for number, first in enumerate(range(0, 300, strip)):
        part = x[first : first + strip]
        # The place of the last strip is guessed wrongly, as it is shorter.
        sums.add(sums.prepared(part, number * len(part)))
    facts = sums.facts()
    assert facts is not None
    means = x.reshape(75, 4, 100, 4, 3).mean(axis=(1, 3))
    assert np.abs(facts.reduced.astype(float) - means).max() <= 0.5001
    np.testing.assert_array_equal(facts.detail, x[102:198, 152:248])
    assert facts.corner == (102, 152)
    sampled = x[::4, ::4, 1].astype(float)
    expected = np.histogram(sampled, 64, (0, 255))[0]
    assert facts.histogram[1].tolist() == expected.tolist()


def test_the_likeness_of_pictures_is_that_of_compare() -> None:
    a: Any = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    b: Any = np.clip(a.astype(int) + np.random.default_rng(1).integers(-20, 20, a.shape), 0, 255)
    signal = Signal(medium=IMAGE, shape=(60, 80), channels=("R", "G", "B"), full_scale=255)
    before, after = PictureSums(signal, 800), PictureSums(signal, 800)
    before.add(before.prepared(a, 0))
    after.add(after.prepared(b.astype(np.uint8), 0))
    facts = likeness(before, after)
    expected = convcli.compare(a, b.astype(np.uint8)).together
    assert facts is not None
    assert expected is not None
    assert (facts.psnr, facts.largest) == pytest.approx((expected.psnr, expected.largest))
    assert facts.ssim == pytest.approx(expected.ssim, rel=1e-5)


TYPES = ["uint8", "uint16", "int32", "float32", "float64"]


@pytest.mark.parametrize("type_a", TYPES)
@pytest.mark.parametrize("type_b", TYPES)
def test_the_signal_to_noise_ratio_of_samples_of_all_types(type_a: str, type_b: str) -> None:
    """Samples that are as far apart as they can be: their squares fit into no whole number."""
    full = 255 if "uint8" in {type_a, type_b} else 65535
    rng = np.random.default_rng(8)
    a: Any = rng.choice([0, 1, full], (1000, 1001, 1))
    b: Any = np.where(a == 1, 0, full - a)
    sums = []
    for x, dtype in ((a, type_a), (b, type_b)):
        signal = Signal(medium=IMAGE, shape=x.shape[:2], channels=("grey",), full_scale=full)
        collected = PictureSums(signal, 1001)
        collected.add(collected.prepared(x.astype(dtype), 0))
        sums.append(collected)
    facts = likeness(*sums)
    assert facts is not None
    assert facts.psnr == pytest.approx(10 * np.log10(full**2 / np.mean((a - b) ** 2)), rel=1e-5)


def test_the_likeness_of_pictures_with_pixels_beyond_single_precision() -> None:
    """They are infinite where pictures are drawn, and left out; the others differ by 0.1."""
    a: Any = np.full((10, 10, 1), 0.5)
    a[3, 3] = 1e200
    signal = Signal(medium=IMAGE, shape=(10, 10), channels=("grey",), full_scale=1)
    before, after = PictureSums(signal, 800), PictureSums(signal, 800)
    before.add(before.prepared(a, 0))
    after.add(after.prepared(np.where(a > 1, -a, a + 0.1), 0))
    facts = likeness(before, after)
    assert facts is not None
    assert facts.psnr == pytest.approx(20.0, rel=1e-5)


def test_the_likeness_of_pictures_with_infinite_and_missing_pixels() -> None:
    """The PSNR of the known pixels: 98 of them differ by 0.1, so that it is 20 dB."""
    a: Any = np.full((10, 10, 1), 0.5, np.float32)
    a[3, 3], a[5, 5] = np.nan, np.inf
    signal = Signal(medium=IMAGE, shape=(10, 10), channels=("grey",), full_scale=1)
    before, after = PictureSums(signal, 800), PictureSums(signal, 800)
    before.add(before.prepared(a, 0))
    after.add(after.prepared(a + np.float32(0.1), 0))
    facts = likeness(before, after)
    assert facts is not None
    assert (facts.psnr, facts.largest) == pytest.approx((20.0, 0.1), rel=1e-5)
    assert facts.ssim is None


def drawn_facts(x: Any, y: Any, full: float) -> tuple[PictureFacts, PictureFacts]:
    """What is drawn of a picture of grey and of a result."""
    signal = Signal(medium=IMAGE, shape=x.shape[:2], channels=("grey",), full_scale=full)
    preview = PicturePreview(signal, signal, FULL)
    preview.add_input(preview.prepared_input(Block(x), 0))
    preview.add_output(preview.prepared_output(y, np.arange(len(y))))
    facts = preview.facts()
    assert facts.before.picture is not None
    assert facts.after.picture is not None
    return facts.before.picture, facts.after.picture


@pytest.mark.parametrize(
    ("low", "high", "dtype", "full"),
    [
        (-300, 900, np.float32, 1),
        (1e-5, 1e-4, np.float64, 1),
        (-2e4, 3e4, np.float64, 32767),
        (100, 4095, np.uint16, 65535),
    ],
)
def test_measurements_are_drawn_by_their_own_range(
    low: float, high: float, dtype: Any, full: float
) -> None:
    x: Any = np.random.default_rng(5).uniform(low, high, (60, 90, 1)).astype(dtype)
    if x.dtype.kind == "f":
        x[4, 5] = np.nan
    y = (x.astype(np.float64) + low) / 2
    pictures = drawn_facts(x, y, full)
    values = np.concatenate([x.ravel(), y.ravel()]).astype(np.float64)
    ends = np.nanmin(values), np.nanmax(values)
    width = ends[1] - ends[0]
    for values, picture in zip((x, y), pictures, strict=True):
        black, white = picture.drawn
        assert picture.drawn == pytest.approx(ends, abs=0.01 * width)
        levels = np.clip(np.nan_to_num((values - black) / (white - black)), 0, 1) * 255
        assert np.abs(picture.reduced - levels).max() < 0.51
        assert np.abs(picture.detail - levels).max() < 0.51
        known = values[np.isfinite(values)]
        counts = np.histogram(np.clip(known, black, white), 64, (black, white))[0]
        assert np.abs(picture.histogram[0] - counts).max() <= 2


@pytest.mark.parametrize(
    ("low", "high", "full"),
    [
        (0, 1, 1),
        (-0.01, 1.02, 1),
        (0, 20_000, 65535),
        (0, 9, 255),
        (-50, 300, 255),
        (7, 7, 1),
        (0, 1e-44, 1),
        (np.nan, np.nan, 1),
    ],
)
def test_photographs_are_drawn_by_their_full_scale(low: float, high: float, full: float) -> None:
    x: Any = np.linspace(low, high, 600, dtype=np.float32).reshape(20, 30, 1)
    for picture in drawn_facts(x, x, full):
        assert picture.drawn == (0, full)


def sums_of(x: Any, side: int = 800) -> PictureSums:
    """What is drawn of a picture (rows, columns, 4) whose last channel is the opacity."""
    signal = Signal(
        medium=IMAGE, shape=x.shape[:2], channels=("R", "G", "B", "A"), full_scale=255, alpha=3
    )
    sums = PictureSums(signal, side)
    for row in range(0, len(x), 7):
        sums.add(sums.prepared(x[row : row + 7], row))
    return sums


def transparent_picture() -> Any:
    """A picture of which a third is transparent, a third partly, and a third opaque."""
    rng = np.random.default_rng(6)
    x: Any = rng.integers(0, 256, (40, 60, 4)).astype(np.uint8)
    x[..., 3] = rng.choice([0, 100, 255], (40, 60))
    return x


@pytest.mark.parametrize("side", [800, 15])
def test_hidden_colours_are_not_drawn(side: int) -> None:
    """The reduced picture, its likeness and histograms are those of what is seen."""
    a = transparent_picture()
    b = a.copy()
    b[a[..., 3] == 0, :3] = 255
    before, after = sums_of(a, side), sums_of(b, side)
    alike = likeness(before, after)
    assert alike is not None
    assert (alike.largest, alike.psnr) == (0, np.inf)
    assert alike.ssim == (pytest.approx(1) if side == 800 else None)
    facts = before.facts(), after.facts()
    assert facts[0] is not None
    assert facts[1] is not None
    np.testing.assert_array_equal(facts[0].histogram, facts[1].histogram)
    every = before.factor
    opacity = a[::every, ::every, 3].astype(float)
    expected = np.histogram(a[::every, ::every, 0], 64, (0, 255), weights=opacity)[0]
    assert facts[0].histogram[0].tolist() == expected.tolist()
    if side == 15:
        np.testing.assert_array_equal(facts[0].reduced, facts[1].reduced)
        squares = a.reshape(10, 4, 15, 4, 4).astype(np.float64)
        weighted = (squares[..., :3] * squares[..., 3:]).sum(axis=(1, 3))
        colours = weighted / np.maximum(1, squares[..., 3:].sum(axis=(1, 3)))
        assert np.abs(facts[0].reduced[..., :3] - colours).max() <= 0.501


def test_the_likeness_of_transparent_pictures_is_that_of_compare() -> None:
    a = transparent_picture()
    b = a.copy()
    b[::3, ::2, 1] //= 2
    b[1::3, ::2, 3] //= 2
    facts = likeness(sums_of(a), sums_of(b))
    signal = sums_of(a).signal
    sides = [ComparedSignal(name, Blocks(signal, [x])) for name, x in (("a", a), ("b", b))]
    expected = compare_signals(*sides).together
    assert facts is not None
    assert expected is not None
    assert (facts.psnr, facts.largest) == pytest.approx((expected.psnr, expected.largest))
    assert facts.ssim == pytest.approx(expected.ssim, rel=1e-5)


# Designs


def designed(filter: str, **signal: Any) -> tuple[Any, Any]:
    made = Signal(medium=ARRAY, shape=(None,), channels=("1",), **signal)
    plan = make_plan(filter, made, Rules(edge="zero", align="center"))
    steps = [with_response(step_facts(step), step) for step in plan.steps]
    return steps, chain_with_response(chain_facts(plan), plan.steps)


def test_responses_are_the_output_of_the_engine() -> None:
    whole = "kernel:1,2,4 | kernel:1,0,0,-3"
    (first, _), chain = designed(whole)
    impulse, step = np.zeros(41), np.zeros(81)
    impulse[20], step[20:] = 1, 1
    for facts, text in ((first, "kernel:1,2,4"), (chain, whole)):
        y = convcli.apply(text, impulse)
        for place, value in facts.impulse:
            assert value == pytest.approx(y[20 + int(place)], abs=1e-12)
        y = convcli.apply(text, step)
        for place, value in facts.step_response:
            assert value == pytest.approx(y[20 + int(place)], abs=1e-12)


def test_group_delay_and_crossings() -> None:
    (smooth,), _ = designed("box:5", rate=1000.0)
    delays = [delay for delay in smooth.group_delay if delay is not None]
    assert delays == pytest.approx([0.0] * len(delays), abs=1e-6)
    ((level, found),) = smooth.crossings
    frequency = found[0] / 1000
    gain = abs(np.sum(np.exp(-2j * np.pi * frequency * np.arange(5)))) / 5
    assert (level, 20 * math.log10(gain)) == pytest.approx((-3, -3), abs=1e-3)
    (late,), _ = designed("ema:span=9")
    assert late.group_delay[0] == pytest.approx(4.0)


def test_the_delay_of_a_resampler_is_that_of_its_facts() -> None:
    (step,), _ = designed("resample:8k", rate=22050.0)
    delays = [delay for delay in step.group_delay if delay is not None]
    assert delays == pytest.approx([step.delay] * len(delays), abs=1e-3)


def test_a_chain_that_is_no_convolution_has_no_response() -> None:
    _, chain = designed("box:3 | relu")
    assert chain.response == ()


def test_a_hundred_thousand_taps_are_drawn_small(tmp_path: Path) -> None:
    taps = np.zeros(100_000)
    taps[77_777], taps[88_888] = 1.0, -2.0
    np.save(tmp_path / "taps.npy", taps)
    (step,), _ = designed(f"kernel:@{tmp_path / 'taps.npy'}")
    values = [value for _, value in step.impulse]
    assert (min(values), max(values)) == (-2, 1)
    assert len(values) < 1500


# Pages


def report(tmp_path: Path, *words: Any) -> str:
    page = tmp_path / "page.html"
    assert main([*map(str, words), "-q", "--report", str(page), "--force"]) == 0
    return page.read_text(encoding="utf-8")


def test_the_page_of_a_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convcli.previews.sound.LONGEST_WHOLE", 5.0)
    monkeypatch.setattr("convcli.previews.sound.SECONDS_OF_PARTS", 5.0)
    out = tmp_path / "out.wav"
    text = report(tmp_path, "audio", "lowpass:3.4k | box:3", SAMPLES / "talk.wav", "-o", out)
    assert len(text) < 3_000_000
    for words in ("Waveform", "Spectrogram", "LUFS", "the whole chain", "-3 dB", "group delay 0"):
        assert words in text
    assert "in parts of the sound that add up to 5." in text
    y, rate = soundfile.read(out)
    assert f"{20 * np.log10(np.abs(y).max()):.1f} dBFS" in text
    uris = re.findall(r'<audio[^>]*src="data:audio/flac;base64,([^"]*)"', text)
    assert len(uris) == 2
    heard, heard_rate = soundfile.read(io.BytesIO(base64.b64decode(uris[1])))
    assert heard_rate == rate
    start = round((len(y) / rate - EXCERPT) / 2 * rate)
    excerpt = y[start : start + len(heard)]
    np.testing.assert_allclose(heard, excerpt, atol=1 / 32768)


@pytest.mark.parametrize(("rate", "kind"), [(96_000, "flac"), (1_000_000, "wav")])
def test_the_players_of_a_high_rate_are_exact(tmp_path: Path, rate: int, kind: str) -> None:
    """Two channels of which a page keeps 250,000 samples: 2.6 s and 0.25 s."""
    x = np.random.default_rng(0).integers(-9000, 9000, (4 * rate, 2)).astype(np.int16)
    soundfile.write(tmp_path / "x.wav", x, rate)
    report(tmp_path, "audio", "gain:0dB", tmp_path / "x.wav", "-o", tmp_path / "o.wav")
    page = (tmp_path / "page.html").read_text()
    found = re.findall(rf'<audio [^>]*src="data:audio/{kind};base64,(.*?)"', page)
    assert len(found) == 2
    for each in found:
        heard, its_rate = soundfile.read(io.BytesIO(base64.b64decode(each)), dtype="int16")
        assert its_rate == rate
        start = (len(x) - 250_000) // 2
        assert np.abs(heard - x[start : start + 250_000].astype(int)).max() <= 1


def test_a_page_of_a_long_sound_that_is_silent_where_its_loudness_is_measured(
    tmp_path: Path,
) -> None:
    """Half a second of a tone in 15 minutes, between two parts of which the loudness is measured."""
    x = np.zeros(900_000)
    x[300_000:300_500] = np.sin(np.arange(500))
    soundfile.write(tmp_path / "x.wav", x, 1000)
    text = report(tmp_path, "audio", "gain:-3dB", tmp_path / "x.wav", "-o", tmp_path / "o.wav")
    assert "silent where it was measured" in text
    assert "below -70" not in text


def test_a_page_of_a_sound_that_is_too_short_for_a_loudness(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.full(100, 0.5), 8000)
    words = ("audio", "gain:-3dB", tmp_path / "x.wav", "-o", tmp_path / "o.wav")
    text = report(tmp_path, *words)
    assert "too short" in text
    assert "silent" not in text


def test_a_page_says_how_many_columns_are_drawn(tmp_path: Path) -> None:
    names = ",".join(f"c{number}" for number in range(30))
    rows = "\n".join(",".join(["1", "2"] * 15) for _ in range(3))
    (tmp_path / "t.csv").write_text(f"{names}\n{rows}\n")
    text = report(tmp_path, "csv", "sma:2", tmp_path / "t.csv", "-o", tmp_path / "o.csv")
    assert "The first 8 of 30 columns are drawn." in text


def test_the_page_of_a_picture_shows_the_file_that_was_written(tmp_path: Path) -> None:
    words = ["image", "sobel", SAMPLES / "cat.png", "--range", "scale", "-o", tmp_path / "o.png"]
    assert "SSIM" in report(tmp_path, *words)
    out = tmp_path / "o.png"
    words = ["image", "gaussian:2", SAMPLES / "cat.png", "--channels", "luma", "-o", out]
    text = report(tmp_path, *words)
    a, b = (Image.new_from_file(str(path)).numpy() for path in (SAMPLES / "cat.png", out))
    facts = convcli.compare(a, b).together
    assert facts is not None
    assert f"{facts.psnr:.2f} dB" in text


def psnr_of_page(text: str) -> float:
    (found,) = re.findall(r"PSNR</th><td>(-?[0-9.]+) dB", text)
    return float(found)


def psnr(a: Array, b: Array, full: float) -> float:
    return float(10 * np.log10(full**2 / np.square(a.astype(float) - b).mean()))


def over_black(x: Array) -> Array:
    """Colours times their opacity, and the opacity."""
    seen = x * (x[..., 3:] / 255)
    return np.concatenate([seen[..., :3], x[..., 3:]], axis=2)


def pixels(*shape: int, high: int, kind: Any) -> Any:
    return np.random.default_rng(0).integers(0, high + 1, shape).astype(kind)


def test_the_page_of_a_filtered_opacity_shows_the_whole_picture(tmp_path: Path) -> None:
    source, out = tmp_path / "a.png", tmp_path / "o.png"
    Image.new_from_array(pixels(40, 50, 4, high=255, kind=np.uint8)).write_to_file(str(source))
    text = report(tmp_path, "image", "median:3", source, "--channels", "alpha", "-o", out)
    a, b = (Image.new_from_file(str(path)).numpy() for path in (source, out))
    assert psnr_of_page(text) == pytest.approx(psnr(over_black(a), over_black(b), 255), abs=0.01)


def test_the_page_of_a_picture_that_gets_another_full_scale(tmp_path: Path) -> None:
    grey = pixels(60, 80, high=100, kind=np.uint8)
    source, out = tmp_path / "a.pgm", tmp_path / "o.png"
    source.write_bytes(b"P5 80 60 100\n" + grey.tobytes())
    text = report(tmp_path, "image", "median:3", source, "-o", out)
    result = Image.new_from_file(str(out)).numpy()
    assert psnr_of_page(text) == pytest.approx(psnr(grey * 2.55, result, 255), abs=0.01)


@pytest.mark.parametrize(("suffix", "kind"), [("png", "u2"), ("tif", "u2"), ("tif", "f4")])
def test_the_page_of_a_deep_picture_in_a_pipe_shows_what_was_written(
    tmp_path: Path, suffix: str, kind: str
) -> None:
    """The result cannot be read again: what was noted is rounded and clipped as it is there."""
    full = 1 if kind == "f4" else 65535
    source, page = tmp_path / f"a.{suffix}", tmp_path / "p.html"
    noise = pixels(60, 80, high=65535, kind=np.uint16)
    grey = (noise / np.float32(65535)).astype("f4") if kind == "f4" else noise
    Image.new_from_array(grey, interpretation="grey16").write_to_file(str(source))
    done = run_program("image", "gain:3", source, "-o", "-", "--report", page)
    result = Image.new_from_buffer(done.out, "").numpy()
    expected = psnr(grey, result, full)
    assert psnr_of_page(page.read_text()) == pytest.approx(expected, abs=0.01)
    assert result.dtype == kind
    assert kind == "f4" or result.max() == full


def test_names_from_files_are_escaped(tmp_path: Path) -> None:
    table = tmp_path / f"{HOSTILE.replace('/', '_')}.csv"
    table.write_text(f"g,{HOSTILE}\n{HOSTILE},1\n{HOSTILE},\nb,3\n{HOSTILE},4\n")
    text = report(tmp_path, "csv", "sma:2", table, "--by", "g", "-o", tmp_path / "o.csv")
    assert HOSTILE not in text
    assert "<script>alert" not in text
    assert text.count("<script") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert 'class="gap"' in text
    assert 'class="outside"' in text


def test_json_reports_hold_no_previews(tmp_path: Path) -> None:
    place = tmp_path / "facts.json"
    out = tmp_path / "o.wav"
    words = ["audio", "box:3", str(SAMPLES / "hello.wav"), "-o", str(out), "--report", str(place)]
    assert main([*words, "-q"]) == 0
    assert json.loads(place.read_text())["preview"] is None


def test_a_batch(tmp_path: Path) -> None:
    inputs = []
    for number in range(30):
        inputs.append(tmp_path / f"in{number:02}.wav")
        soundfile.write(inputs[-1], noise(800, seed=number).clip(-1, 1) * 0.9, 8000)
    text = report(tmp_path, "audio", "gain:6dB", *inputs, "-o", f"{tmp_path}/out/")
    assert "30 inputs" in text
    assert "30 with warnings" in text
    assert text.count('class="thumbnail"') == 30
    assert text.count("<audio") == 2 * 8
    assert len(text) < 20_000_000 * 30 / 500


def test_a_report_names_the_inputs_that_failed(tmp_path: Path) -> None:
    broken = tmp_path / "broken<b>.wav"
    broken.write_text("no sound")
    words = ["audio", "box:3", broken, SAMPLES / "hello.wav", "-o", f"{tmp_path}/out/"]
    for suffix in (".html", ".md", ".json"):
        place = tmp_path / f"report{suffix}"
        assert main([*map(str, words), "-q", "--force", "--report", str(place)]) == 3
    page = (tmp_path / "report.html").read_text()
    assert "2 inputs" not in page  # one run has no overview
    assert '<h2 id="failed">1 failed</h2>' in page
    assert "broken&lt;b&gt;.wav</dt><dd>" in page
    assert "broken\\<b\\>.wav: is not a sound file" in (tmp_path / "report.md").read_text()
    facts = json.loads((tmp_path / "report.json").read_text())
    failure = {"path": str(broken), "unit": 1, "exit_code": 3}
    assert [failure | {"message": facts["failures"][0]["message"]}] == facts["failures"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


@needs_chromium
@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["audio", "lowpass:3.4k"], "talk.wav"),
        (["image", "gaussian:2"], "cat_noisy.png"),
        (["csv", "sma:20", "--by", "symbol"], "stocks.csv"),
    ],
)
def test_pages_in_a_browser(chromium: Any, tmp_path: Path, words: list[str], name: str) -> None:
    source = SAMPLES / name
    report(tmp_path, *words, source, "-o", tmp_path / f"out{source.suffix}")
    with opened(chromium, tmp_path / "page.html", width=390, scheme="dark") as shown:
        page = shown.page
        assert not shown.too_wide
        for players in page.query_selector_all(".players"):
            assert page.evaluate(
                """async () => {
                    const [a, b] = document.querySelectorAll("audio");
                    const ready = sound => sound.readyState ||
                        new Promise(done => sound.addEventListener("loadedmetadata", done));
                    await Promise.all([ready(a), ready(b)]);
                    a.currentTime = 2;
                    document.querySelectorAll("[data-player]")[1].click();
                    return [a.hidden, b.hidden, b.currentTime];
                }"""
            ) == [True, False, 2]
            assert players
        for slider in page.query_selector_all(".slider input"):
            slider.evaluate("s => { s.value = 20; s.dispatchEvent(new Event('input')); }")
            assert page.evaluate("document.querySelector('.over').style.clipPath").endswith("20%)")
        for button in page.query_selector_all("[data-zoom=in]")[:1]:
            before = page.inner_html(".ticks.x")
            button.click()
            assert page.inner_html(".ticks.x") != before
            assert page.get_attribute("[data-linked] .plot", "viewBox").split()[2] == "5000"
        assert unread(page) == []
        page.emulate_media(media="print", color_scheme="dark")
        white = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert white == "rgb(255, 255, 255)"
        assert shown.said == []
        assert [url for url in shown.fetched if not url.startswith(("file:", "data:"))] == []


@needs_chromium
def test_the_overview_sorts_and_filters(chromium: Any, tmp_path: Path) -> None:
    inputs = []
    for number, rows in enumerate((30, 10, 20)):
        inputs.append(tmp_path / f"t{number}.csv")
        inputs[-1].write_text("v\n" + "\n" * (rows // 2) + "1\n2\n" * rows)
    report(tmp_path, "csv", "sma:2", *inputs, "-c", "v", "-o", f"{tmp_path}/out/")
    with opened(chromium, tmp_path / "page.html") as shown:
        page = shown.page
        page.click("#overview-table th:nth-child(3) button")
        names = page.eval_on_selector_all(
            "#overview-table tbody tr", "r => r.map(x => x.innerText)"
        )
        assert [re.findall(r"t\d\.csv", name)[0] for name in names] == [
            "t1.csv",
            "t2.csv",
            "t0.csv",
        ]
        assert unread(page) == []
        page.fill("[data-filter]", "t2")
        assert page.inner_text(".count") == "1 of 3"
        assert shown.said == []


def test_samples_beyond_single_precision_warn_of_nothing(tmp_path: Path) -> None:
    samples = np.zeros((4000, 1))
    samples[100:110] = [[1e300], [-1e300]] * 5
    soundfile.write(tmp_path / "in.wav", samples, 8000, subtype="DOUBLE")
    words = ("audio", "-q", "gain:0.5", "in.wav", "-o", "o.wav", "--report", "r.html")
    ended = run_program(*words, cwd=tmp_path)
    assert "RuntimeWarning" not in ended.err
    assert ended.code == 0, ended
