"""Equalisers and the analytic signal, against the cookbook's coefficients in SciPy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from program import done

from convcli import apply
from convcli.designs.equalisers import highshelf, lowshelf, notch, peak
from convcli.errors import RequestError
from convcli.media.audio.medium import AUDIO
from convcli.planning.plan import make_plan, rules_for
from convcli.signals import ARRAY, TABLE, Signal

if TYPE_CHECKING:
    from pathlib import Path

Samples = np.ndarray[Any, Any]
PLAIN = Signal(medium=ARRAY, shape=(None,), channels=("x",))
SOUND = Signal(medium=AUDIO, shape=(None,), channels=("left",), rate=48000, bits=32)


def cookbook(kind: str, frequency: float, gain: float, q: float) -> tuple[Samples, Samples]:
    """Coefficients b, a as the RBJ cookbook writes them; the frequency is in cycles per sample."""
    w = 2 * math.pi * frequency
    cos, alpha = math.cos(w), math.sin(w) / (2 * q)
    a = 10 ** (gain / 40)
    root = 2 * math.sqrt(a) * alpha
    up, down = a + 1, a - 1
    if kind == "peak":
        b = [1 + alpha * a, -2 * cos, 1 - alpha * a]
        denominator = [1 + alpha / a, -2 * cos, 1 - alpha / a]
    elif kind == "notch":
        b = [1, -2 * cos, 1]
        denominator = [1 + alpha, -2 * cos, 1 - alpha]
    else:
        sign = 1 if kind == "lowshelf" else -1
        middle = up + sign * down * cos
        mirrored = up - sign * down * cos
        b = [a * (mirrored + root), sign * 2 * a * (down - sign * up * cos), a * (mirrored - root)]
        denominator = [middle + root, -sign * 2 * (down + sign * up * cos), middle - root]
    return np.array(b), np.array(denominator)


def made(kind: str, frequency: float, gain: float, q: float, signal: Signal = PLAIN) -> Any:
    if kind == "peak":
        return peak(frequency, gain, q=q, signal=signal)
    if kind == "notch":
        return notch(frequency, q=q, signal=signal)
    return {"lowshelf": lowshelf, "highshelf": highshelf}[kind](frequency, gain, signal=signal)


@example("highshelf", 0.4899206241608687, 38.0, 1.0)
@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["peak", "notch", "lowshelf", "highshelf"]),
    st.floats(0.001, 0.49),
    st.floats(-40, 40),
    st.sampled_from([0.05, 0.5, math.sqrt(0.5), 1.0, 4.7, 30.0]),
)
def test_a_biquad_is_its_impulse_response(
    kind: str, frequency: float, gain: float, q: float
) -> None:
    if "shelf" in kind:
        q = math.sqrt(0.5)
    taps = made(kind, frequency, gain, q).taps
    impulse = np.zeros(taps.size + 2000)
    impulse[0] = 1
    b, a = cookbook(kind, frequency, gain, q)
    truth = scipy.signal.lfilter(b, a, impulse)
    size = np.abs(truth).sum()
    # lfilter rounds by itself: near 0 and near half the rate, its poles are off by 1e-16 / distance.
    distance = min(frequency, 0.5 - frequency)
    assert np.abs(taps - truth[: taps.size]).max() < 1e-13 / distance * np.abs(truth).max()
    assert np.abs(truth[taps.size :]).sum() < 1e-12 / distance * size
    points = 1 << taps.size.bit_length()
    every = max(1, points // 1000)
    found = np.fft.rfft(taps, points)[::every]
    frequencies = np.arange(found.size) * every / points
    _, wanted = scipy.signal.freqz(b, a, worN=2 * math.pi * frequencies)
    assert np.abs(found - wanted).max() < 1e-9 * np.abs(wanted).max()


@pytest.mark.parametrize("q", [0.5, 0.5 + 1e-9, 0.499999])
def test_poles_that_meet_are_no_exception(q: float) -> None:
    taps = notch(0.05, q=q, signal=PLAIN).taps
    impulse = np.zeros(taps.size)
    impulse[0] = 1
    truth = scipy.signal.lfilter(*cookbook("notch", 0.05, 0, q), impulse)
    np.testing.assert_allclose(taps, truth, rtol=0, atol=1e-14)


def test_sound_needs_fewer_taps_than_tables() -> None:
    fine = notch(50 / 48000, signal=PLAIN).taps
    short = notch(50 / 48000, signal=SOUND).taps
    assert short.size == pytest.approx(fine.size * 32 / 53, rel=0.01)
    np.testing.assert_allclose(short[:1000], fine[:1000], rtol=0, atol=2**-32)
    rest = np.abs(fine[short.size :]).sum()
    assert rest < 2**-31


@pytest.mark.parametrize("subtype", ["PCM_32", "DOUBLE"])
def test_long_samples_have_long_taps(tmp_path: Path, subtype: str) -> None:
    x = np.random.default_rng(1).uniform(-0.5, 0.5, 2000)
    soundfile.write(tmp_path / "x.wav", x, 8000, subtype=subtype)
    x = soundfile.read(tmp_path / "x.wav")[0]
    done("audio", "notch:50,q=9", "x.wav", "-q", "-o", "y.wav", cwd=tmp_path)
    expected = scipy.signal.lfilter(*cookbook("notch", 50 / 8000, 0, 9), x)
    y = soundfile.read(tmp_path / "y.wav")[0]
    smallest_step = 2.0**-31 if subtype == "PCM_32" else 1e-13
    assert np.abs(y - expected).max() < 0.501 * smallest_step


def test_a_constant_is_kept_by_all_but_the_low_shelf() -> None:
    for kind in ("peak", "notch", "highshelf"):
        assert math.fsum(made(kind, 0.02, 9, 2).taps) == pytest.approx(1, abs=1e-15)
    assert math.fsum(lowshelf(0.02, 6, signal=PLAIN).taps) == pytest.approx(10**0.3, abs=1e-15)


def test_harmonics_are_one_notch_after_the_other() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(6000)
    y = apply("notch:0.01,q=5,harmonics=8", x)
    for n in range(1, 9):
        x = scipy.signal.lfilter(*cookbook("notch", 0.01 * n, 0, 5), x)
    np.testing.assert_allclose(y, x, rtol=0, atol=1e-11)


@pytest.mark.parametrize("count", ["0", "1.5", "20ms", "1e10"])
def test_harmonics_are_a_whole_number(count: str) -> None:
    with pytest.raises(RequestError, match="expected a (whole|plain) number.*got '" + count):
        apply(f"notch:50,harmonics={count}", np.zeros(9), rate=8000)


def test_more_harmonics_than_there_are_numbers_to_try() -> None:
    made = notch(0.2, harmonics=1 << 31, signal=SOUND)
    np.testing.assert_array_equal(made.taps, notch(0.2, harmonics=2, signal=SOUND).taps)


def test_harmonics_beyond_half_the_rate_are_left_out_and_told() -> None:
    made = notch(0.2, harmonics=8, signal=SOUND)
    np.testing.assert_array_equal(made.taps, notch(0.2, harmonics=2, signal=SOUND).taps)
    assert made.note == "2 of 8 multiples lie below 24000 Hz"


def test_hum_leaves_speech_as_it_was() -> None:
    rate, seconds = 48000, 3
    t = np.arange(seconds * rate) / rate
    waves = [0.1 / n * np.sin(2 * math.pi * 50 * n * t + n) for n in range(1, 9)]
    hum = np.sum(waves, axis=0)
    near = np.sin(2 * math.pi * 60 * t)
    left = apply("notch:50,harmonics=8", hum, rate=rate)[2 * rate :]
    assert 20 * math.log10(np.std(left) / np.std(hum)) < -40
    kept = apply("notch:50,harmonics=8", near, rate=rate)[2 * rate :]
    assert abs(20 * math.log10(np.std(kept) / np.std(near))) < 0.5


def test_in_tables_frequencies_are_cycles_of_the_time() -> None:
    daily = Signal(medium=TABLE, shape=(900,), channels=("a",), rate=1 / 86400, cycle=86400.0)
    plan = make_plan("peak:0.1,-6dB,q=2", daily, rules_for(daily))
    (kernel,) = plan.steps[0].stage.kernels
    np.testing.assert_allclose(kernel.taps, peak(0.1, -6, q=2, signal=PLAIN).taps)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("peak:1k,200", "the gain must be in -120 ... 120 dB"),
        ("peak:1k,50%", "expected decibels"),
        ("peak:1k,6,q=0", "q must be above 0"),
        ("notch:50,q=-1", "q must be above 0"),
        ("notch:0.001,q=1000", "at most 4,194,304"),
        ("notch:30k", "not below 24000 Hz"),
        ("lowshelf:100", "needs GAIN"),
        ("hilbert:low=20k", "a quarter of the rate"),
        ("hilbert:attenuation=300", "20 ... 140 dB"),
        ("hilbert:low=0.0001", "at most 4,194,304"),
    ],
)
def test_what_no_equaliser_can_do_is_refused(text: str, said: str) -> None:
    with pytest.raises(RequestError, match=said) as caught:
        make_plan(text, SOUND, rules_for(SOUND))
    assert caught.value.hint


def speech_like(n: int = 24000) -> Samples:
    """A tone of changing loudness, far from both ends of the band."""
    t = np.arange(n) / n
    x: Samples = np.sin(2 * math.pi * 900 * t) * (1 + 0.5 * np.sin(2 * math.pi * 3 * t))
    return x


@pytest.mark.parametrize("attenuation", [40, 80, 120])
def test_the_analytic_signal_is_that_of_scipy(attenuation: int) -> None:
    x = speech_like()
    truth = scipy.signal.hilbert(x)
    inner = slice(2000, -2000)
    tolerance = 1.5 * 10 ** (-attenuation / 20)
    options = f"low=0.005,attenuation={attenuation}"
    shifted = apply(f"hilbert:{options}", x)
    np.testing.assert_allclose(shifted[inner], truth.imag[inner], rtol=0, atol=tolerance + 1e-9)
    outline = apply(f"envelope:{options}", x)
    np.testing.assert_allclose(outline[inner], np.abs(truth)[inner], rtol=0, atol=tolerance + 1e-9)


def test_a_causal_envelope_is_late_and_the_same() -> None:
    x = speech_like()
    centred = apply("envelope", x)
    causal = apply("envelope", x, align="causal")
    plan = make_plan("envelope", PLAIN, rules_for(PLAIN))
    half = plan.chain.reach[0].after
    np.testing.assert_allclose(causal[half:], centred[:-half], rtol=0, atol=1e-12)


def test_the_band_of_a_hilbert_transformer_is_told_and_kept() -> None:
    plan = make_plan("hilbert", SOUND, rules_for(SOUND))
    stage = plan.steps[0].stage
    assert stage.note == "gain 1 +- 0.0001 from 20 Hz to 23980 Hz"
    (kernel,) = stage.kernels
    assert kernel.taps.size % 2 == 1
    np.testing.assert_array_equal(kernel.taps, -kernel.taps[::-1])
    frequencies = 2 * math.pi * np.linspace(20, 23980, 5000) / 48000
    _, response = scipy.signal.freqz(kernel.taps, worN=frequencies, fs=2 * math.pi)
    assert np.abs(np.abs(response) - 1).max() < 1e-4


def test_a_picture_is_shifted_along_one_axis() -> None:
    picture = np.sin(2 * math.pi * np.arange(300) / 10)[None, :] * np.ones((8, 1))
    y = apply("hilbert", picture, axes=2)
    expected = -np.cos(2 * math.pi * np.arange(300) / 10)
    np.testing.assert_allclose(y[3, 60:-60], expected[60:-60], rtol=0, atol=2e-4)
    down = apply("hilbert:axis=y", picture.T, axes=2)
    np.testing.assert_allclose(down.T[3], y[3], rtol=0, atol=1e-12)
