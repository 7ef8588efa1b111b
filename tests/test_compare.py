"""`convcli compare`: every measure against an oracle, and what a batch script relies on."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from program import SAMPLES, Program
from scipy import signal as scipy_signal

import convcli
from convcli import RequestError
from convcli.checking.compare import compare_signals, parse_limits
from convcli.checking.differences import Moments
from convcli.checking.signal_comparison import ComparedSignal, PowerSpectrum
from convcli.cli import main
from convcli.core.ssim import StructuralSimilarity
from convcli.media.images.medium import IMAGE
from convcli.running.arrays import Blocks
from convcli.running.side_by_side import SideBySide
from convcli.signals import Signal

if TYPE_CHECKING:
    from pathlib import Path

    from convcli.signals import Array

HELLO = SAMPLES / "hello.wav"
CAT = SAMPLES / "cat.png"


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def later(x: Array, delay: float) -> Array:
    """`x` later by a part of a sample, by the phase of its periodic spectrum."""
    spectrum = np.fft.rfft(x)
    turns = np.arange(len(spectrum)) * delay / len(x)
    return np.fft.irfft(spectrum * np.exp(-2j * np.pi * turns), len(x))


def compared(capsys: pytest.CaptureFixture[str], *words: Any) -> Any:
    """The comparisons that a run writes as JSON."""
    assert main(["compare", *map(str, words), "--json", "-q"]) == 0
    return json.loads(capsys.readouterr().out)["comparisons"]


# Measures


def test_errors_snr_and_correlation() -> None:
    x, y = noise(2, 5000, 3)
    x[7, 1], y[[7, 9], 1] = np.nan, np.nan
    y[1234, 2] = 99
    facts = convcli.compare(x, y)
    for channel, row in enumerate(facts.channels):
        a, b = x[:, channel], y[:, channel]
        known = ~np.isnan(a) & ~np.isnan(b)
        error = (b - a)[known]
        assert row.rms == pytest.approx(np.sqrt(np.mean(error**2)))
        assert row.largest == pytest.approx(np.abs(error).max())
        snr = 10 * np.log10(np.sum(a[known] ** 2) / np.sum(error**2))
        assert row.snr == pytest.approx(snr)
        assert row.correlation == pytest.approx(np.corrcoef(a[known], b[known])[0, 1])
        assert row.unmatched == (channel == 1)
    assert facts.channels[2].at == (1234,)
    assert (facts.channels[2].value_a, facts.channels[2].value_b) == (x[1234, 2], 99)
    together = facts.together
    assert together is not None
    both = ~np.isnan(x) & ~np.isnan(y)
    assert together.correlation == pytest.approx(np.corrcoef(x[both], y[both])[0, 1])
    assert (together.at, together.samples, together.unmatched) == ((1234,), 14999, 1)


def test_a_small_change_of_a_large_level_is_not_rounded_away() -> None:
    x = 1e9 + noise(3000)
    y = x + 1e-3 * noise(3000, seed=1)
    (row,) = convcli.compare(x, y).channels
    assert row.correlation == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)


@pytest.mark.parametrize("frame", [False, True])
@pytest.mark.parametrize("rows", [2, 10, 70_001])
def test_whole_numbers_beyond_a_quadrillion_correlate(rows: int, frame: bool) -> None:  # noqa: FBT001
    """1e15 and 1e15 + 1 are 8 units in the last place apart."""
    small = np.arange(rows) % 10.0
    changed = np.where(np.arange(rows) % 3 == 1, small + 1, small)
    sides: list[Any] = [1e15 + small, 1e15 + changed]
    if frame:
        sides = [pd.DataFrame({"x": side}) for side in sides]
    (row,) = convcli.compare(*sides).channels
    assert row.correlation == pytest.approx(np.corrcoef(small, changed)[0, 1])
    assert row.rms == pytest.approx(np.sqrt(np.mean((changed - small) ** 2)))


def test_rounding_alone_is_no_correlation() -> None:
    x = np.full(1000, 0.1)
    y = np.nextafter(x, np.where(np.arange(1000) % 2, 1, 0))
    (row,) = convcli.compare(x, y).channels
    assert row.correlation is None


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e-160])
def test_samples_whose_squares_vanish(size: float) -> None:
    """The same measures as of samples around 1, in blocks and of channels of other sizes."""
    x, y = noise(2, 70_000, 2)
    usual = convcli.compare(x, y)
    facts = convcli.compare(size * x, size * y)
    assert facts.together is not None
    assert usual.together is not None
    for row, expected in zip(facts.rows, usual.rows, strict=True):
        assert row.rms is not None
        assert row.rms / size == pytest.approx(expected.rms)
        assert row.snr == pytest.approx(expected.snr)
        assert row.correlation == pytest.approx(expected.correlation)
    beside = np.where(np.arange(70_000)[:, None] < 35_000, 0, x)
    (first, _) = convcli.compare(beside, beside + size * y).channels
    assert first.largest
    tiny = np.where(beside == 0, size, 0.0)
    (first, _) = convcli.compare(beside, beside + tiny).channels
    assert first.rms == pytest.approx(size * math.sqrt(0.5))
    assert first.snr == pytest.approx(
        20 * math.log10(np.sqrt(np.mean(beside[:, 0] ** 2)) / size) + 10 * math.log10(2)
    )


def test_equal_signals_and_missing_against_missing() -> None:
    x = np.array([[1.0, math.nan], [math.inf, 2.0], [3.0, 5.0]])
    facts = convcli.compare(x, x.copy())
    assert facts.equal
    for row in facts.rows:
        assert (row.equal, row.rms, row.largest, row.at, row.unmatched) == (True, 0, 0, None, 0)
        assert row.snr == math.inf


@pytest.mark.parametrize("level", [0.0, 0.1, 1e9])
@pytest.mark.parametrize("count", [2, 3, 7, 200, 30_001])
def test_equal_signals_correlate_to_the_last_bit(count: int, level: float) -> None:
    x = level + noise(count, seed=count)
    for scale in (1, -2, 2**-300):
        (row,) = convcli.compare(x, scale * x).channels
        assert row.correlation == math.copysign(1, scale)


def test_spectra_are_of_the_samples_that_both_have() -> None:
    """A tone of which one signal lacks the second, louder half: what both have is equal."""
    x = np.sin(np.arange(8192.0)) * np.where(np.arange(8192) < 4096, 1, 100)
    y = np.where(np.arange(8192) < 4096, x, np.nan)
    for a, b in ((x, y), (y, x)):
        (row,) = convcli.compare(a, b).channels
        assert row.spectrum == 0
    everywhere = np.where(np.arange(8192) % 8, x, np.nan)
    (row,) = convcli.compare(x, everywhere).channels
    assert row.spectrum is None  # no frame is known


def test_what_only_one_of_the_two_has() -> None:
    facts = convcli.compare(np.array([1.0, math.nan, 3.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert not facts.equal
    assert facts.channels[0].unmatched == 2
    assert facts.channels[0].rms == 0
    assert facts.remarks == ("b is longer by 1 sample: its end is not compared",)


def test_nothing_to_compare() -> None:
    (row,) = convcli.compare(np.full(4, np.nan), np.arange(4.0)).channels
    assert (row.rms, row.snr, row.correlation, row.unmatched) == (None, None, None, 4)


@pytest.mark.parametrize("delay", [0.0, 0.5, 3.37, -41.2, 400.0])
@pytest.mark.parametrize("smooth", [False, True])
def test_a_delay_between_samples(delay: float, smooth: bool) -> None:  # noqa: FBT001
    x = noise(20_000)
    if smooth:
        x = np.convolve(x, np.hanning(15), "same")
    (row,) = convcli.compare(x, 0.3 * later(x, delay)).channels
    assert row.delay == pytest.approx((delay,), abs=0.005)


def test_no_delay_of_unrelated_signals() -> None:
    (row,) = convcli.compare(noise(9000), noise(9000, seed=1)).channels
    assert row.delay is None


def test_the_delay_of_a_picture() -> None:
    picture = noise(80, 90, 1)
    facts = convcli.compare(picture, np.roll(picture, (2, -3), axis=(0, 1)))
    assert facts.channels[0].delay == pytest.approx((2, -3), abs=0.1)


@pytest.mark.parametrize("block", [64, 1000, 5000])
def test_the_mean_spectrum(block: int) -> None:
    x = noise(5000, 2)
    spectrum = PowerSpectrum(64, 2, 32)
    for first in range(0, len(x), block):
        spectrum.add(x[first : first + block])
    window: Any = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(64) + 0.5) / 64)
    _, expected = scipy_signal.welch(x, window=window, detrend=False, axis=0)
    ours = spectrum.mean().T
    # scipy's are one-sided densities: the inner frequencies count twice.
    density = ours / np.sum(window**2)
    density[1:-1] *= 2
    np.testing.assert_allclose(density, expected, rtol=1e-10)


def test_the_difference_of_the_spectra_of_a_filter() -> None:
    x = noise(1 << 16)
    y = convcli.apply("lowpass:0.1,width=0.02,attenuation=60", x)
    facts = convcli.compare(x, y, rate=1000)
    (row,) = facts.channels
    assert row.spectrum_at is not None
    assert row.spectrum_largest is not None
    assert row.spectrum_largest < -60
    assert row.spectrum_at > 100
    assert facts.frequency_unit == "Hz"
    assert convcli.compare(x, 0.1 * x).channels[0].spectrum == pytest.approx(20)


# By the command in test_structural_similarity.
SSIM = [0.9663758079913924, 0.9657041161903213, 0.9687373440344489]


def two_pictures() -> tuple[Any, Any]:
    a = np.random.default_rng(3).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    changed = a + np.random.default_rng(4).normal(0, 20, a.shape)
    return a, np.clip(changed, 0, 255).astype(np.uint8)


class ForeignArray:
    """An array of another library, which names its types in its own way, as torch does."""

    def __init__(self, x: Any) -> None:
        self.x = x
        self.dtype = "torch.uint8"

    def __array__(self, *_: Any, **__: Any) -> Any:
        """The array of NumPy."""
        return self.x


def test_full_scale_of_arrays_and_tables() -> None:
    a, _ = two_pictures()
    for pair in ((a, ForeignArray(a)), (ForeignArray(a), a)):
        rows = convcli.compare(*pair).channels
        assert all(row.equal for row in rows)
    # The numbers of a table stand for themselves, in whatever type they are kept.
    column = pd.Series(a[:, 0, 0], name="y")
    for other in (column.to_frame(), column.astype(float)):
        (row,) = convcli.compare(column, other).channels
        assert row.equal


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_structural_similarity(rows: int) -> None:
    """The values of SSIM are those of scikit-image 0.26.0 for the two pictures a and b:

    structural_similarity(a[..., c], b[..., c], gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, data_range=255) for c in 0, 1, 2
    """
    a, b = two_pictures()
    similarity = StructuralSimilarity(3, 255.0)
    for first in range(0, 40, rows):
        similarity.add(a[first : first + rows], b[first : first + rows])
    found = similarity.mean()
    assert found is not None
    assert list(found) == pytest.approx(SSIM)


def slow_similarity(a: Any, b: Any, full: float) -> float:
    """The SSIM of two pictures with gaps, window by window, over what both have."""
    line = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    found = []
    for row in range(len(a) - 10):
        for column in range(a.shape[1] - 10):
            x, y = (each[row : row + 11, column : column + 11] for each in (a, b))
            known = np.isfinite(x) & np.isfinite(y)
            if not known.any():
                continue
            w = np.outer(line, line)[known]
            x, y = x[known], y[known]
            mean_x, mean_y = np.average(x, weights=w), np.average(y, weights=w)
            covariance = np.average((x - mean_x) * (y - mean_y), weights=w)
            spread = np.average((x - mean_x) ** 2 + (y - mean_y) ** 2, weights=w)
            c1, c2 = (0.01 * full) ** 2, (0.03 * full) ** 2
            luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
            found.append(luminance * (2 * covariance + c2) / (spread + c2))
    return float(np.mean(found))


@pytest.mark.parametrize("rows", [7, 40])
def test_structural_similarity_with_gaps(rows: int) -> None:
    a, b = (x.astype(np.float64) for x in two_pictures())
    gaps = np.random.default_rng(0).random(a.shape)
    a[gaps < 0.1] = np.nan
    b[gaps > 0.95] = np.nan
    b[:13, :14] = np.nan
    a[..., 2] = np.nan
    similarity = StructuralSimilarity(3, 255.0)
    for first in range(0, 40, rows):
        similarity.add(a[first : first + rows], b[first : first + rows])
    found = similarity.mean()
    assert found is not None
    for channel in (0, 1):
        slow = slow_similarity(a[..., channel], b[..., channel], 255.0)
        assert found[channel] == pytest.approx(slow, abs=1e-6)
    assert np.isnan(found[2])


def test_a_picture_and_its_copy_with_gaps_are_alike() -> None:
    a, _ = (x.astype(np.float64) for x in two_pictures())
    b = a.copy()
    b[::3, ::5] = np.nan
    rows = convcli.compare(a, b).channels
    assert [row.ssim for row in rows] == pytest.approx([1.0] * 3)


def test_pictures() -> None:
    a, b = two_pictures()
    facts = convcli.compare(a, b)
    assert [row.ssim for row in facts.channels] == pytest.approx(SSIM)
    together = facts.together
    assert together is not None
    error = np.mean((a.astype(float) - b) ** 2)
    assert together.psnr == pytest.approx(10 * np.log10(255**2 / error))
    assert together.ssim == pytest.approx(np.mean(SSIM))
    small = convcli.compare(a[:10], b[:10]).channels[0]
    assert small.ssim is None
    assert small.psnr is not None


def test_pictures_of_other_depths_are_compared_on_one_scale() -> None:
    a, _ = two_pictures()
    names = ("R", "G", "B")
    sides = []
    for scale in (1.0, 257.0):
        signal = Signal(medium=IMAGE, shape=(40, 50), channels=names, full_scale=255 * scale)
        sides.append(ComparedSignal(str(scale), Blocks(signal, [a * scale])))
    facts = compare_signals(*sides)
    assert facts.equal


def with_opacity(x: Any) -> ComparedSignal:
    """A picture (rows, columns, 4) whose last channel is the opacity, up to 255."""
    signal = Signal(
        medium=IMAGE, shape=x.shape[:2], channels=("R", "G", "B", "A"), full_scale=255, alpha=3
    )
    return ComparedSignal("picture", Blocks(signal, [x]))


def test_colours_are_compared_as_they_are_seen() -> None:
    """Hidden colours do not count, and half-transparent ones count half, as over black."""
    rng = np.random.default_rng(5)
    a: Any = rng.integers(0, 256, (20, 30, 4)).astype(np.float64)
    a[..., 3] = rng.choice([0, 51, 255], (20, 30))
    other = a.copy()
    other[a[..., 3] == 0, :3] = rng.integers(0, 256, ((a[..., 3] == 0).sum(), 3))
    other[0, 0] = np.inf, np.nan, 3, 0
    a[0, 0] = 0
    assert compare_signals(with_opacity(a), with_opacity(other)).equal
    changed = a.copy()
    changed[3, 4], a[3, 4] = (100, 0, 0, 51), (50, 0, 0, 51)
    changed[..., 3] = np.where(a[..., 3] == 0, 60, a[..., 3])
    facts = compare_signals(with_opacity(a), with_opacity(changed))
    red, opacity = facts.channels[0], facts.channels[3]
    # 51 / 255 of the difference of 50 is seen.
    at = np.s_[..., :1]
    seen = [x[at] * x[..., 3:] / 255 for x in (a, changed)]
    assert red.rms == pytest.approx(np.sqrt(np.mean((seen[1] - seen[0]) ** 2)))
    assert seen[1][3, 4] - seen[0][3, 4] == pytest.approx(10)
    assert opacity.largest == 60


def test_arrays_have_the_opacity_that_they_are_said_to_have() -> None:
    """Hidden colours count as numbers unless `alpha` says which channel hides them."""
    rng = np.random.default_rng(6)
    a = rng.integers(0, 256, (20, 30, 4)).astype(np.uint8)
    a[..., 3] = 255
    a[:10, :, 3] = 0
    b = a.copy()
    b[:10, :, :3] = 255 - a[:10, :, :3]
    numbers = convcli.compare(a, b)
    error = b.astype(float) - a
    assert [row.rms for row in numbers.channels] == pytest.approx(
        np.sqrt(np.mean(error**2, axis=(0, 1))).tolist()
    )
    for alpha in (3, -1):
        assert convcli.compare(a, b, alpha=alpha).equal
    black = np.where(a[..., 3:] == 0, 0, a)[..., :3]
    assert all(row.equal for row in convcli.compare(a, black, alpha=3).channels)
    halves = (np.array([[[200.0, 127.5]]]), np.array([[[100.0, 255.0]]]))
    colour, opacity = convcli.compare(*halves, alpha=-1, full_scale=255).channels
    assert (colour.largest, opacity.largest) == (0, 127.5)
    assert convcli.compare(*halves, full_scale=255).channels[0].largest == 100


@pytest.mark.parametrize(
    ("x", "alpha", "words"),
    [
        (np.zeros((2, 2, 4)), 4, "alpha expects a channel from -4 to 3, got 4"),
        (np.zeros((2, 2, 4)), "A", "alpha expects a channel from -4 to 3, got 'A'"),
        (np.zeros((2, 2)), 1, "alpha expects pictures"),
    ],
)
def test_opacity_that_is_not_there(x: Any, alpha: Any, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        convcli.compare(x, x, alpha=alpha)


def test_a_picture_without_opacity_is_opaque() -> None:
    """Half of 200 over black is 100."""
    half = with_opacity(np.full((12, 12, 4), (200.0, 200, 200, 127.5)))
    signal = Signal(medium=IMAGE, shape=(12, 12), channels=("R", "G", "B"), full_scale=255)
    flat = ComparedSignal("flat", Blocks(signal, [np.full((12, 12, 3), 100.0)]))
    for a, b in ((half, flat), (flat, half)):
        assert [row.largest for row in compare_signals(a, b).channels] == [0, 0, 0]


def test_columns_of_two_frames() -> None:
    a = pd.DataFrame({"x": [1.0, 2, 3], "y": [1.0, 2, 3], "only_a": 1.0, "word": "w"})
    b = pd.DataFrame({"y": [1.0, 2, 4], "x": [1.0, 2, 3], "only_b": 1.0})
    facts = convcli.compare(a, b)
    assert facts.together is None
    assert [(row.channel, row.largest) for row in facts.channels] == [("x", 0), ("y", 1)]
    assert facts.remarks == ("1 column of a alone: only_a", "1 column of b alone: only_b")


def test_blocks_stand_side_by_side() -> None:
    x, y = np.arange(10.0)[:, None], np.arange(13.0)[:, None]
    both = SideBySide(iter([x[:3], x[3:]]), iter([y[:5], y[5:11], y[11:]]))
    pairs = list(both)
    assert all((a == b).all() for a, b in pairs)
    assert sum(len(a) for a, _ in pairs) == 10
    assert not both.ended_together
    assert both.left_over() == (0, 3)


# What cannot be compared


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (noise(5), noise(5, 5, 1), "no|axes|samples"),
        (noise(5, 5, 1), noise(5, 6, 1), "5x5 and b 6x5 samples"),
        (noise(5), pd.Series(noise(5)), "a is an array and b a table"),
        (pd.Series([1.0], name="p"), pd.Series([1.0], name="q"), "no column in common: p and q"),
        (np.array(["a"]), noise(5), "expected numbers"),
    ],
)
def test_signals_that_do_not_fit(a: Any, b: Any, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        convcli.compare(a, b)


def test_sounds_of_two_rates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "a.wav", noise(99) / 9, 8000)
    assert main(["compare", str(HELLO), str(tmp_path / "a.wav")]) == 2
    error = capsys.readouterr().err
    assert "22050 samples per second" in error
    assert "resample:22050" in error


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([HELLO, CAT], "is sound and"),
        ([HELLO, SAMPLES], "is a folder and"),
        (["-", SAMPLES], "is a folder, and standard input holds one file"),
        (["-", "-"], "read only once"),
        ([HELLO, HELLO, "--fail-above", "rsm=1"], "rms, largest, delay, spectrum, unmatched"),
        ([HELLO, HELLO, "--fail-above", "snr=1"], "--fail-below snr=1"),
        ([HELLO, HELLO, "--fail-below", "rms=1"], "--fail-above rms=1"),
        ([HELLO, HELLO, "--fail-below", "ssim=1"], "a measure of pictures"),
        ([HELLO, HELLO, "--fail-above", "rms=x"], "expected a number, got 'x'"),
        ([HELLO, HELLO, "--fail-above", "rms=1ms"], "a number without a unit, got '1ms'"),
        ([HELLO, HELLO, "--fail-above", "0.001"], "hint: --fail-above rms=0.001\n"),
        ([HELLO, HELLO, "--fail-above", "=2e-3"], "hint: --fail-above rms=2e-3\n"),
        ([HELLO, HELLO, "--fail-above", "largest 2"], "hint: --fail-above largest=2\n"),
        ([HELLO, HELLO, "--fail-above", "largest:.2"], "hint: --fail-above largest=.2\n"),
        ([HELLO, HELLO, "--fail-above", "rms"], "hint: --fail-above rms=0.001\n"),
        ([HELLO, HELLO, "--fail-above", "rms="], "hint: --fail-above rms=0.001\n"),
        ([HELLO, HELLO, "--fail-above", "largest=x"], "hint: --fail-above largest=0.01\n"),
        # -60dB would have been read as -60.
        ([HELLO, HELLO, "--fail-above", "rms=-60dB"], "expects a number without a unit"),
        ([HELLO, HELLO, "--fail-above", "rms=-1"], "of at least 0, got '-1'"),
        ([CAT, CAT, "--fail-below", "ssim"], "hint: --fail-below ssim=0.98\n"),
        ([CAT, CAT, "--fail-below", "psnr=x"], "hint: --fail-below psnr=40\n"),
        ([HELLO, HELLO, "--json", "--csv"], "contradict"),
        ([HELLO, HELLO, "--by", "x"], "--by is not needed"),
    ],
)
def test_requests_that_are_wrong(
    words: list[Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *map(str, words)]) == 2
    assert told in capsys.readouterr().err


# The command


def test_equal_files(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = compared(capsys, HELLO, HELLO, "--fail-above", "rms=0", "--fail-below", "snr=200")
    assert found["equal"] is True
    assert found["together"]["snr"] is None
    assert found["together"]["delay"] == [0]


def test_what_a_filter_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.wav"
    assert main(["audio", "kernel:0,0,0,1", "--align", "causal", str(HELLO), "-o", str(out)]) == 0
    capsys.readouterr()
    (found,) = compared(capsys, HELLO, out)
    assert found["together"]["delay"] == pytest.approx([3], abs=1e-3)
    a, b = soundfile.read(HELLO)[0], soundfile.read(out)[0]
    assert found["together"]["rms"] == pytest.approx(np.sqrt(np.mean((a - b) ** 2)))
    at = int(np.abs(a - b).argmax())
    assert found["together"]["at"] == [at]
    assert main(["compare", str(HELLO), str(out)]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["channel", "samples", "rms"]
    assert f"{at / 22050:.6g} s" in line


def test_limits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noisy = SAMPLES / "hello_noisy.wav"
    words = ["compare", str(HELLO), str(noisy), "-q"]
    assert main([*words, "--fail-above", "rms=0.1", "--fail-below", "snr=9dB"]) == 0
    assert main([*words, "--fail-above", "rms=1e-3", "--fail-below", "snr=60"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[2] for line in errors] == [
        "rms 0.0213759 is above 0.001",
        "snr 10.053 is below 60",
    ]
    longer = tmp_path / "longer.wav"
    data, rate = soundfile.read(HELLO, dtype="int16")
    soundfile.write(longer, np.concatenate([data, data[:5]]), rate)
    words = ["compare", str(HELLO), str(longer), "--fail-above", "rms=1"]
    assert main(words) == 1
    assert "5 samples in only one of the two" in capsys.readouterr().err
    assert main([*words, "--fail-above", "unmatched=5"]) == 0


def test_a_limit_on_what_is_not_known() -> None:
    (limit,) = parse_limits(["delay=1"], [])
    (row,) = convcli.compare(noise(9000), noise(9000, seed=1)).channels
    assert limit.broken_by(row) == "delay is not known, and a limit of 1 was asked for"
    (equal,) = convcli.compare(np.ones(9), np.ones(9)).channels
    assert limit.broken_by(equal) is None


def test_columns_of_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    a.write_text("day,p,q\n2024-01-01,1,\n2024-01-02,2,5\n2024-01-03,3,6\n")
    b.write_text("day,p,q\n2024-01-01,1,\n2024-01-02,2,5\n2024-01-03,3.5,\n")
    assert main(["compare", str(a), str(b), "--time", "day", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["channel"] for row in rows] == ["p", "q"]
    told = ("largest", "at", "time", "value_a", "value_b", "unmatched", "snr")
    assert [rows[0][name] for name in told[:-1]] == ["0.5", "3", "2024-01-03", "3.0", "3.5", "0"]
    assert [rows[1][name] for name in told] == ["0.0", "", "", "", "", "1", "inf"]
    assert main(["compare", str(a), str(b), "--time", "day"]) == 0
    assert "row 3 (2024-01-03)" in capsys.readouterr().out


def test_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for folder in (a, b):
        (folder / "deep").mkdir(parents=True)
    data, rate = soundfile.read(HELLO, dtype="int16")
    soundfile.write(a / "x.wav", data, rate)
    soundfile.write(b / "x.flac", data, rate)
    (a / "deep" / "t.csv").write_text("v\n1\n2\n")
    (b / "deep" / "t.csv").write_text("v\n1\n3\n")
    soundfile.write(a / "bad.wav", data, rate)
    (b / "bad.wav").write_text("")
    (b / "alone.csv").write_text("v\n1\n")
    (b / "notes.md").write_text("no signal")
    report = tmp_path / "report.html"
    words = ["compare", str(a), str(b), "--fail-above", "largest=0.5", "--report", str(report)]
    assert main(words) == 3
    streams = capsys.readouterr()
    lines = streams.out.splitlines()
    assert len(lines) == 3
    assert [line.split()[1] for line in lines[1:]] == ["v", "all"]
    assert "bad.wav" in streams.err
    assert "alone.csv is in one of the folders alone" in streams.err
    assert "v: largest 1 is above 0.5" in streams.err
    assert "notes" not in streams.err
    page = report.read_text()
    assert "3 inputs, 1 of which failed" in page
    assert f"<dt>{b / 'bad.wav'}</dt>" in page
    assert '<h2 id="alone">1 in one of the folders alone</h2>' in page
    assert f"<li>{b / 'alone.csv'}</li>" in page
    assert "deep/t.csv" in page
    assert '<th scope="col">rms</th><th scope="col">largest</th>' in page
    assert f'<td data-value="{0.5**0.5}">0.707107</td>' in page  # of the differences 0 and 1
    assert '<td data-value="Infinity">inf</td>' in page


def test_json_and_markdown_of_folders_say_what_was_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t.csv").write_text("v\n1\n2\n")
        (tmp_path / folder / "bad.wav").write_text("")
        (tmp_path / folder / f"{folder}.csv").write_text("v\n1\n")
    words = ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "-q"]
    for suffix in ("json", "md"):
        assert main([*words, "--json", "--report", str(tmp_path / f"r.{suffix}")]) == 3
        printed = json.loads(capsys.readouterr().out)
    written = json.loads((tmp_path / "r.json").read_text())
    for facts in (printed, written):
        (failure,) = facts["failures"]
        assert failure["path"] == str(tmp_path / "a" / "bad.wav")
        assert failure["message"] == f"{tmp_path}/a/bad.wav: is empty, expected a sound file"
        assert facts["alone"] == [str(tmp_path / name / f"{name}.csv") for name in "ab"]
    text = (tmp_path / "r.md").read_text()
    assert "# 1 input failed" in text
    assert f"* {tmp_path}/a/a.csv".replace("_", r"\_") in text


def test_tables_whose_rows_come_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, days in (("a", (1, 2, 3, 4)), ("b", (1, 2, 5, 7)), ("c", (1, 8, 15, 22))):
        rows = "\n".join(f"2024-01-{day:02},{day}" for day in days)
        (tmp_path / f"{name}.csv").write_text(f"day,v\n{rows}\n")
    places = [str(tmp_path / f"{name}.csv") for name in "abc"]
    for other, words in ((1, "has no rate"), (2, "has a row every week")):
        assert main(["compare", places[0], places[other], "--time", "day"]) == 2
        error = capsys.readouterr().err
        assert f"a.csv has a row every day, and {places[other]} {words}" in error
        assert "hint: without --time, rows are compared in their order" in error
        assert main(["compare", places[0], places[other], "-c", "v"]) == 0


def test_folders_without_a_common_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.csv").write_text("v\n1\n")
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert "no file in common" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "c")]) == 3
    assert f"error: {tmp_path}/c does not exist; " in capsys.readouterr().err


@pytest.mark.parametrize("table", ["x,y\n", "x,y\n,\nNA,\n"])
def test_tables_without_a_number_are_equal(table: str, program: Program, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(table)
    words = ("compare", "a.csv", "b.csv", "--fail-above", "rms=0")
    ended = program.run(*words, cwd=tmp_path)
    assert ended.code == 0, ended
    assert not ended.err
    assert ended.text.split()[:2] == ["channel", "samples"]
    (tmp_path / "b.csv").write_text("z\n")
    assert program.run(*words, cwd=tmp_path).code == 2


def test_the_squares_of_huge_numbers(program: Program, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1e300\n-2e300\n5\n")
    (tmp_path / "b.csv").write_text("x\n-1e300\n2e300\n4\n")
    ended = program.run("compare", "a.csv", "b.csv", cwd=tmp_path)
    assert ended.code == 3
    assert "Warning" not in ended.err
    assert "gain:1e-301" in ended.err
    for name in ("a.csv", "b.csv"):
        program.run("csv", "gain:1e-301", "--in-place", name, "-q", cwd=tmp_path)
    assert program.run("compare", "a.csv", "b.csv", cwd=tmp_path).code == 0


@pytest.mark.parametrize("first", ["1e308", "-1.7e308", "9e307"])
def test_numbers_whose_unit_is_too_large_for_one(
    first: str, program: Program, tmp_path: Path
) -> None:
    """From 2**1023 = 8.99e307 on, the next power of two is no float64."""
    (tmp_path / "a.csv").write_text(f"x\n{first}\n5\n")
    ended = program.run("compare", "a.csv", "a.csv", cwd=tmp_path)
    assert (ended.code, len(ended.err.splitlines())) == (3, 2), ended
    assert "squares overflow" in ended.err


def test_moments_of_numbers_whose_unit_is_too_large_for_one() -> None:
    a = np.array([[1.5e308, -1.5e308, 1.5e308, 0.0]])
    moments = Moments.of(a, a / 2, np.zeros((2, 1)))
    assert moments.root_mean_square(0) == pytest.approx(0.75e308 * 3**0.5, rel=1e-14)
    assert moments.root_mean_square_error(0) == pytest.approx(0.375e308 * 3**0.5, rel=1e-14)
    assert moments.correlation(0) == pytest.approx(1, rel=1e-14)


def test_an_origin_whose_square_overflows() -> None:
    """The origin is the first sample; the samples of a later block are small beside it."""
    a = np.array([[1.0, 2.0, 3.0]])
    moments = Moments.of(a, a, np.full((2, 1), 1e200))
    assert moments.root_mean_square_error(0) == 0


def test_huge_numbers_beside_missing_ones(program: Program, tmp_path: Path) -> None:
    """The largest magnitude, which the hint brings to 1, is that of the known samples."""
    (tmp_path / "a.csv").write_text("x\n1e300\n\n-2e300\n5\n")
    (tmp_path / "b.csv").write_text("x\n1\n2\n3\n\n")
    for pair in (("a.csv", "b.csv"), ("b.csv", "a.csv")):
        ended = program.run("compare", *pair, cwd=tmp_path)
        assert ended.code == 3, ended
        assert ended.err.splitlines() == [
            "error: the samples are so large that their squares overflow",
            "hint: scale both first: gain:1e-301",
        ]


@pytest.mark.parametrize("columns", [64, 95, 127, 128, 150, 200])
def test_every_column_of_a_picture_counts_in_its_spectrum(columns: int) -> None:
    """Stripes that are twice as strong in some columns alone differ, wherever these are."""
    x = np.tile(np.sin(np.arange(columns)), (20, 1))
    for first in range(0, columns - 20, 20):
        y = x.copy()
        y[:, first : first + 20] *= 2
        (row,) = convcli.compare(x[..., None], y[..., None]).channels
        assert row.spectrum is not None
        assert row.spectrum > 0.1


# Pages


def pages(path: Path, samples: Any) -> Path:
    """A TIFF of pages of 20 rows."""
    from pyvips import Image

    Image.new_from_array(samples).tiffsave(str(path), page_height=20)
    return path


def test_pictures_of_several_pages_are_compared_page_by_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the third of three pages differs."""
    x = np.random.default_rng(0).integers(0, 200, (60, 30)).astype(np.uint8)
    y = x.copy()
    y[40:] += np.random.default_rng(1).integers(0, 9, (20, 30)).astype(np.uint8)
    a, b = pages(tmp_path / "a.tif", x), pages(tmp_path / "b.tif", y)
    found = compared(capsys, a, b)
    assert [each["b"]["details"]["page"] for each in found] == [1, 2, 3]
    assert [each["equal"] for each in found] == [True, True, False]
    error = y[40:].astype(float) - x[40:]
    assert found[2]["together"]["rms"] == pytest.approx(np.sqrt(np.mean(error**2)))
    page = tmp_path / "page.html"
    words = ["compare", str(a), str(b), "--fail-above", "largest=0", "--report", str(page)]
    assert main([*words, "--csv"]) == 1
    told = capsys.readouterr()
    rows = list(csv.DictReader(told.out.splitlines()))
    assert [(row["page"], row["largest"]) for row in rows] == [
        ("1", "0.0"),
        ("2", "0.0"),
        ("3", "8.0"),
    ]
    assert told.err == f"error: page 3 of {b}: largest 8 is above 0\n"
    assert f"<h3>A is page 3 of {a}, B is page 3 of {b}</h3>" in page.read_text()


def test_pages_that_only_one_of_two_pictures_has_break_a_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(0).integers(0, 200, (60, 30)).astype(np.uint8)
    a, b = pages(tmp_path / "a.tif", x), pages(tmp_path / "b.tif", x[:40])
    text = f"{a} has 3 pages and {b} 2: those after page 2 are in one of the two alone"
    assert main(["compare", str(a), str(b)]) == 0
    assert capsys.readouterr().err == f"warning: {text}\n"
    assert main(["compare", str(b), str(a), "--fail-above", "rms=9", "-q"]) == 1
    assert capsys.readouterr().err == f"error: {text}\n"


def test_a_picture_of_one_page_is_compared_with_the_first_of_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(0).integers(0, 200, (60, 30)).astype(np.uint8)
    one, three = pages(tmp_path / "one.tif", x[:20]), pages(tmp_path / "three.tif", x)
    for a, b in ((one, three), (three, one)):
        assert main(["compare", str(a), str(b), "--csv", "-q"]) == 0
        (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
        assert (row["page"], row["equal"]) == ("1", "true")
