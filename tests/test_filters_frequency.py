"""The promises of the frequency designs, measured on a finer grid than the designs measure themselves."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcli.designs import fir
from convcli.designs.fir import Bands, Specification
from convcli.designs.frequency import bandpass, bandstop, highpass, lowpass
from convcli.errors import RequestError
from convcli.media.audio.medium import AUDIO
from convcli.planning.plan import make_plan, rules_for
from convcli.signals import ARRAY, Signal

Samples = np.ndarray[Any, Any]
Design = Callable[..., Any]
PLAIN = Signal(medium=ARRAY, shape=(None,), channels=("x",))
SOUND = Signal(medium=AUDIO, shape=(None,), channels=("left",), rate=8000)

DESIGNS = {
    "lowpass": (lowpass, (0.1,), (1, 0)),
    "highpass": (highpass, (0.15,), (0, 1)),
    "bandpass": (bandpass, (0.1, 0.25), (0, 1, 0)),
    "bandstop": (bandstop, (0.12, 0.3), (1, 0, 1)),
}


def broken_by(
    taps: Samples,
    edges: tuple[float, ...],
    gains: tuple[int, ...],
    width: float,
    attenuation: float,
) -> float:
    """By how many dB the worst point of all bands misses the promise (at most 0: kept)."""
    points = 1 << (50 * taps.size - 1).bit_length()
    response, f = np.abs(np.fft.rfft(taps, points)), np.fft.rfftfreq(points)
    worst = 0.0
    for start, stop, gain in Bands(edges=edges, gains=gains, width=width).spans:
        inside = (f >= start) & (f <= stop)
        worst = max(worst, float(np.abs(response[inside] - gain).max(initial=0)))
    return float(20 * np.log10(worst) + attenuation)


def default_width(edges: tuple[float, ...]) -> float:
    return 0.25 * min(b - a for a, b in itertools.pairwise((0, *edges, 0.5)))


@pytest.mark.parametrize("phase", ["linear", "minimum"])
@pytest.mark.parametrize("method", ["kaiser", "remez", "firls"])
@pytest.mark.parametrize("name", DESIGNS)
def test_every_method_keeps_its_promise(name: str, method: str, phase: str) -> None:
    design, edges, gains = DESIGNS[name]
    for attenuation in (21, 60, 80, 100):
        spec = Specification(attenuation=attenuation, method=method, phase=phase)  # type: ignore[arg-type]
        made = design(*edges, spec, signal=PLAIN)
        assert broken_by(made.taps, edges, gains, default_width(edges), attenuation) <= 1e-6
        assert math.fsum(made.taps) == gains[0]
        assert made.taps.size % 2 == 1
        assert made.on_missing == ("hold" if gains[0] else "empty")
        if phase == "linear":
            assert np.array_equal(made.taps, made.taps[::-1])
            assert made.centre == (made.taps.size // 2,)
        else:
            assert made.centre == (0,)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0.004, 0.496),
    st.floats(0.05, 0.95),
    st.floats(10, 180),
    st.sampled_from([(lowpass, (1, 0)), (highpass, (0, 1))]),
)
def test_one_edge_anywhere(
    cutoff: float, part: float, attenuation: float, which: tuple[Design, tuple[int, ...]]
) -> None:
    design, gains = which
    width = part * 2 * min(cutoff, 0.5 - cutoff)
    made = design(cutoff, Specification(width=width, attenuation=attenuation), signal=PLAIN)
    assert broken_by(made.taps, (cutoff,), gains, width, attenuation) <= 1e-6
    assert math.fsum(made.taps) == gains[0]


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0.01, 0.45),
    st.floats(0.01, 0.45),
    st.floats(10, 180),
    st.sampled_from([(bandpass, (0, 1, 0)), (bandstop, (1, 0, 1))]),
)
def test_two_edges_anywhere(
    first: float, second: float, attenuation: float, which: tuple[Design, tuple[int, ...]]
) -> None:
    design, gains = which
    edges = (min(first, second), min(max(first, second), 0.49) + 0.005)
    made = design(*edges, Specification(attenuation=attenuation), signal=PLAIN)
    assert broken_by(made.taps, edges, gains, default_width(edges), attenuation) <= 1e-6
    assert math.fsum(made.taps) == gains[0]


def test_the_kaiser_estimate_is_raised_only_as_needed() -> None:
    from scipy.signal import kaiserord

    for attenuation in (40, 60, 80, 120):
        taps = lowpass(0.2, Specification(width=0.02, attenuation=attenuation), signal=PLAIN).taps
        estimate, _ = kaiserord(attenuation, 0.02 * 2)
        assert estimate - 1 <= taps.size <= 1.05 * estimate + 4


def test_gain_1_at_nyquist_and_in_the_middle() -> None:
    assert abs(np.fft.rfft(highpass(0.2, signal=PLAIN).taps, 1024)[-1]) == pytest.approx(
        1, abs=1e-13
    )
    assert abs(np.fft.rfft(bandpass(0.125, 0.375, signal=PLAIN).taps, 1024)[256]) == pytest.approx(
        1, abs=1e-13
    )


def test_a_given_number_of_taps_is_kept() -> None:
    for count in (3, 4, 31, 64, 1001):
        assert lowpass(0.1, Specification(taps=count), signal=PLAIN).taps.size == count
        assert (
            lowpass(0.01, Specification(taps=count, width=0.001), signal=PLAIN).taps.size == count
        )
    assert (
        bandstop(0.1, 0.2, Specification(taps=101, method="firls"), signal=PLAIN).taps.size == 101
    )
    assert (
        lowpass(
            0.1, Specification(taps=65, method="remez", phase="minimum"), signal=PLAIN
        ).taps.size
        == 65
    )
    wide = lowpass(0.2, Specification(taps=401), signal=PLAIN).taps
    assert broken_by(wide, (0.2,), (1, 0), 0.014, 80) <= 0.5


def test_minimum_phase_has_its_energy_first() -> None:
    linear, minimum = (
        lowpass(0.1, Specification(phase=phase), signal=PLAIN).taps
        for phase in ("linear", "minimum")
    )
    centroid = [
        float((taps**2 @ np.arange(taps.size)) / (taps**2).sum()) for taps in (linear, minimum)
    ]
    assert centroid[1] < 0.2 * centroid[0]


def test_a_long_design_is_quick() -> None:
    began = time.process_time()
    made = lowpass(0.0002, Specification(width=0.00005), signal=PLAIN)
    assert made.taps.size > 100_000
    assert time.process_time() - began < 30  # takes 0.1; by a product of matrices hours


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: lowpass(3800 / 8000, Specification(width=600 / 8000), signal=SOUND),
            "600 Hz leaves no band between 3800 Hz and 4000 Hz",
        ),
        (
            lambda: highpass(100 / 8000, Specification(width=300 / 8000), signal=SOUND),
            "300 Hz leaves no band between 0 Hz and 100 Hz",
        ),
        (
            lambda: bandpass(0.1, 0.2, Specification(width=0.1), signal=PLAIN),
            "between 0.1 cycles/sample and 0.2 cycles/sample",
        ),
        (lambda: bandpass(0.2, 0.1, signal=SOUND), "got 1600 Hz and 800 Hz"),
        (lambda: bandstop(0.2, 0.2, signal=SOUND), "below the second"),
        (lambda: lowpass(0.1, Specification(attenuation=300), signal=SOUND), "10 ... 200 dB"),
        (
            lambda: lowpass(0.1, Specification(attenuation=150, phase="minimum"), signal=SOUND),
            "10 ... 120 dB",
        ),
        (
            lambda: lowpass(0.1, Specification(attenuation=150, method="remez"), signal=SOUND),
            "10 ... 120 dB",
        ),
        (lambda: lowpass(0.1, Specification(attenuation=-3), signal=SOUND), "10 ... 200 dB"),
        (
            lambda: highpass(0.1, Specification(taps=100), signal=SOUND),
            "odd number of taps, not 100",
        ),
        (
            lambda: lowpass(0.1, Specification(taps=100, method="firls"), signal=SOUND),
            "odd number of taps, not 100",
        ),
        (lambda: lowpass(0.1, Specification(taps=2), signal=SOUND), "2 taps"),
        (lambda: lowpass(0.1, Specification(taps=10**9), signal=SOUND), "at most 4,194,304"),
        (lambda: lowpass(1e-7, signal=SOUND), "at most 4,194,304"),
        (lambda: lowpass(0.001, Specification(method="remez"), signal=SOUND), "remez needs"),
        (lambda: lowpass(0.001, Specification(method="firls"), signal=SOUND), "firls needs"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        make()


@pytest.mark.parametrize(
    ("name", "edges", "attenuation"),
    [
        ("highpass", (0.02,), 80),
        ("highpass", (0.02,), 100),
        ("highpass", (0.05,), 100),
        ("lowpass", (0.45,), 100),
        ("bandstop", (0.055, 0.137), 80),
        ("bandstop", (0.055, 0.137), 120),
        ("bandstop", (0.1, 0.2), 120),
        ("bandstop", (0.05, 0.1), 80),
        ("bandstop", (0.3, 0.45), 100),
        ("bandpass", (0.02, 0.4), 120),
    ],
)
def test_remez_finds_another_way_where_it_does_not_converge_at_first(
    name: str, edges: tuple[float, ...], attenuation: float
) -> None:
    design, _, gains = DESIGNS[name]
    made = design(*edges, Specification(attenuation=attenuation, method="remez"), signal=PLAIN)
    assert broken_by(made.taps, edges, gains, default_width(edges), attenuation) <= 1e-6


def test_remez_that_does_not_converge_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.signal

    def diverge(*_: object, **__: object) -> None:
        raise ValueError("Failure to converge")

    monkeypatch.setattr(scipy.signal, "remez", diverge)
    with pytest.raises(RequestError, match="remez does not converge") as caught:
        highpass(0.021, Specification(method="remez"), signal=PLAIN)
    assert "kaiser" in str(caught.value.hint)


@pytest.mark.parametrize("text", ["lowpass:3", "bandpass:4,200", "highpass:3,attenuation=60"])
def test_a_very_long_filter_is_designed_once(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its transition is found on a short filter: measuring one of 3 million taps takes 2 s."""
    monkeypatch.setattr(fir, "MANY_TAPS", 2**12)
    sizes: list[int] = []
    measure = fir.shortfall

    def counted(taps: Samples, bands: fir.Bands, attenuation: float) -> float:
        sizes.append(taps.size)
        return measure(taps, bands, attenuation)

    monkeypatch.setattr(fir, "shortfall", counted)
    fir.design_taps.cache_clear()
    signal = Signal(medium=AUDIO, shape=(None,), channels=("mono",), rate=22050.0)
    make_plan(text, signal, rules_for(signal, text))
    fir.design_taps.cache_clear()
    assert len([size for size in sizes if size > 2**14]) == 1
    assert sizes[-1] > 2**16
