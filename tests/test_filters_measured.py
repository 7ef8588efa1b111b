"""Filters from curves: what the finished taps do, and files as other programs write them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.signal

from convcli import apply
from convcli.designs.measured_response import measured_response
from convcli.designs.response_curves import read_curve
from convcli.errors import ConvcliError, InputError, RequestError
from convcli.media.audio.medium import AUDIO
from convcli.planning.plan import make_plan, rules_for
from convcli.signals import Signal

Samples = np.ndarray[Any, Any]
SOUND = Signal(medium=AUDIO, shape=(None,), channels=("left",), rate=48000)
HEADPHONE = Path(__file__).parents[1] / "sample_data" / "headphone.csv"


def decibels(taps: Samples, frequencies: Samples, rate: float = 48000) -> Samples:
    _, found = scipy.signal.freqz(taps, worN=frequencies, fs=rate)
    return np.asarray(20 * np.log10(np.abs(found)))


@pytest.mark.parametrize("phase", ["linear", "minimum"])
def test_the_response_is_that_of_the_file(phase: Any) -> None:
    made = measured_response(f"@{HEADPHONE}", phase=phase, signal=SOUND)
    table = np.genfromtxt(HEADPHONE, delimiter=",", names=True)
    found = decibels(made.taps, table["frequency"])
    deviation = np.abs(found - table["equalization"]).max()
    assert deviation < 0.1
    assert "largest deviation 0.0" in made.note
    assert "column equalization" in made.note
    if phase == "linear":
        np.testing.assert_allclose(made.taps, made.taps[::-1], rtol=0, atol=1e-15)
        assert made.centre == (made.taps.size // 2,)
    else:
        energy = np.cumsum(made.taps**2)
        assert np.searchsorted(energy, 0.9 * energy[-1]) < 20
        assert made.centre == (0,)


def test_the_deviation_that_is_told_is_measured(tmp_path: Path) -> None:
    (tmp_path / "steep.csv").write_text("100,0\n110,12\n120,0\n")
    made = measured_response(f"@{tmp_path}/steep.csv", taps=501, signal=SOUND)
    assert made.taps.size == 501
    frequencies = np.geomspace(100, 120, 2000)
    inside = np.interp(np.log(frequencies), np.log([100, 110, 120]), [0, 12, 0])
    worst = np.abs(decibels(made.taps, frequencies) - inside).max()
    assert f"largest deviation {worst:.2g} dB at 110 Hz" in made.note
    assert worst > 8


def test_columns_may_be_chosen_turned_over_and_levelled() -> None:
    correction = measured_response(str(HEADPHONE), signal=SOUND).taps
    turned = measured_response(str(HEADPHONE), column="raw", invert=True, signal=SOUND).taps
    np.testing.assert_allclose(turned, correction, rtol=0, atol=1e-12)
    levelled = measured_response(str(HEADPHONE), reference=1000 / 48000, signal=SOUND).taps
    assert decibels(levelled, np.array([1000.0]))[0] == pytest.approx(0, abs=1e-3)


REW = """* Freq response measured by REW V5.20
* Smoothing: 1/12 octave\xb0
* Freq(Hz) SPL(dB) Phase(degrees)
20.000000 75.1 100.2
1000.000000 80.0 1.5
20000.000000 70.0 -3.0
"""


@pytest.mark.parametrize(
    "text",
    [
        "20,-1\n1000,4\n20000,-6\n",
        "frequency,gain\n20,-1\n1000,4\n20000,-6\n",
        "20;-1\r\n1000;4\r\n20000;-6\r\n",
        "\ufeff20\t-1\n1000\t4\t90\n20000\t-6\n",
        "# by hand\n20   -1\n\n1000 4\n20000 -6",
        "GraphicEQ: 20 -1; 1000 4; 20000 -6\n",
        "Preamp: -6.0 dB\n".replace("Preamp", "# Preamp") + "GraphicEQ: 20 -1; 1000 4; 20000 -6;",
        "frequency,raw,equalization\n20,9,-1\n1000,9,4\n20000,9,-6\n",
        "Frequenz;dB\n20,0;-1,0\n1000,00;4\n20000,0;-6,0\n",
        "* REW\n20,000\t-1,0\t12,5\n1000,000\t4,0\t0,0\n20000,000\t-6,0\t0\n",
        "20,000 -1,0 12,5\n1000,000 4,0 0,0\n20000,000 -6,0 0\n",
    ],
)
def test_files_are_read_as_they_come(text: str, tmp_path: Path) -> None:
    path = tmp_path / "curve.txt"
    path.write_text(text, encoding="utf-8")
    curve = read_curve(path, column="", rate=48000)
    np.testing.assert_array_equal(curve.frequencies, [20, 1000, 20000])
    np.testing.assert_array_equal(curve.decibels, [-1, 4, -6])
    between = math.sqrt(20 * 1000)
    wanted = [-1, 1.5, -6]
    np.testing.assert_allclose(curve.at(np.array([5.0, between, 23000])), wanted, atol=1e-12)


def test_levels_of_rew_need_a_reference(tmp_path: Path) -> None:
    path = tmp_path / "rew.txt"
    path.write_text(REW, encoding="latin-1")
    with pytest.raises(RequestError, match="a gain of 80 dB") as caught:
        measured_response(str(path), signal=SOUND)
    assert "reference=1k" in str(caught.value.hint)
    taps = measured_response(str(path), reference=1000 / 48000, signal=SOUND).taps
    np.testing.assert_allclose(
        decibels(taps, np.array([20.0, 1000, 20000])), [-4.9, 0, -10], atol=0.1
    )


PARAMETRIC = """Preamp: -6.5 dB
Filter 1: ON PK Fc 105 Hz Gain -2.4 dB Q 0.70
Filter 2: ON LSC Fc 80 Hz Gain 5.5 dB Q 0.70
Filter 3: OFF PK Fc 3000 Hz Gain -20 dB Q 2.00
Filter 4: ON HSC Fc 10000 Hz Gain 3.0 dB Q 0.70
Filter 5: ON PK Fc 30000 Hz Gain 9.0 dB Q 1.00
"""


def test_the_filters_of_rew_leave_slots_unused_and_may_have_a_bandwidth(tmp_path: Path) -> None:
    path = tmp_path / "filters.txt"
    q = 1 / (2 * math.sinh(math.log(2) / 2 * 1.5 * (w := 2 * math.pi / 48) / math.sin(w)))
    path.write_text(f"Filter 1: ON PK Fc 1000 Hz Gain -5.2 dB Q {q!r}\n")
    wanted = read_curve(path, column="", rate=48000).decibels
    path.write_text(
        "Filter Settings file\n\nFilter  1: ON  PK       Fc    1000 Hz  Gain  -5.20 dB  BW Oct 1.5\n"
        "Filter  2: ON  None\nFilter  3: OFF None\n"
    )
    found = read_curve(path, column="", rate=48000).decibels
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    assert found.min() == pytest.approx(-5.2, abs=1e-4)


def test_parametric_filters_are_biquads_of_the_cookbook(tmp_path: Path) -> None:
    path = tmp_path / "ParametricEQ.txt"
    path.write_text(PARAMETRIC)
    taps = measured_response(f"@{path}", phase="minimum", signal=SOUND).taps
    x = np.zeros(8000)
    x[0] = 10 ** (-6.5 / 20)
    # The same three biquads, by SciPy from the coefficients of the cookbook.
    w = 2 * math.pi * np.array([105.0, 80.0, 10000.0]) / 48000
    cos, alpha = np.cos(w), np.sin(w) / 1.4
    a = 10 ** (np.array([-2.4, 5.5, 3.0]) / 40)
    root = 2 * np.sqrt(a) * alpha
    b = np.array(
        [
            [1 + alpha[0] * a[0], -2 * cos[0], 1 - alpha[0] * a[0]],
            a[1]
            * np.array(
                [
                    a[1] + 1 - (a[1] - 1) * cos[1] + root[1],
                    2 * (a[1] - 1 - (a[1] + 1) * cos[1]),
                    a[1] + 1 - (a[1] - 1) * cos[1] - root[1],
                ]
            ),
            a[2]
            * np.array(
                [
                    a[2] + 1 + (a[2] - 1) * cos[2] + root[2],
                    -2 * (a[2] - 1 + (a[2] + 1) * cos[2]),
                    a[2] + 1 + (a[2] - 1) * cos[2] - root[2],
                ]
            ),
        ]
    )
    denominators = np.array(
        [
            [1 + alpha[0] / a[0], -2 * cos[0], 1 - alpha[0] / a[0]],
            [
                a[1] + 1 + (a[1] - 1) * cos[1] + root[1],
                -2 * (a[1] - 1 + (a[1] + 1) * cos[1]),
                a[1] + 1 + (a[1] - 1) * cos[1] - root[1],
            ],
            [
                a[2] + 1 - (a[2] - 1) * cos[2] + root[2],
                2 * (a[2] - 1 - (a[2] + 1) * cos[2]),
                a[2] + 1 - (a[2] - 1) * cos[2] - root[2],
            ],
        ]
    )
    for numerator, denominator in zip(b, denominators, strict=True):
        x = scipy.signal.lfilter(numerator, denominator, x)
    frequencies = np.geomspace(20, 20000, 300)
    np.testing.assert_allclose(
        decibels(taps, frequencies), decibels(x, frequencies), rtol=0, atol=0.12
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "holds no frequencies"),
        (b"* nothing\n", "holds no frequencies"),
        (b"20,1\n", "at least 2 frequencies"),
        (b"20,1\n30\n", "line 2: expected a frequency and a gain"),
        (b"20\n30\n", "line 1: expected a frequency and a gain"),
        (b"20,1\n30,high\n", "line 2: expected a number, got 'high'"),
        (b"20,1\n30,nan\n", "line 2: expected a number"),
        (b"20,1\n20,2\n", "line 2: frequencies must be above 0 and rise, got 20 Hz after 20"),
        (b"0,1\n20,2\n", "line 1: frequencies must be above 0"),
        (b"20,1\n30,1e9\n", "line 2: a gain of 1e.09 dB is out of range"),
        (b"30000,1\n40000,2\n", "begins at 30000 Hz, and the signal ends at 24000 Hz"),
        (b"GraphicEQ: 20; 30 1\n", "expected a frequency and a gain"),
        (b"GraphicEQ:\n", "at least 2 frequencies"),
        (b"Filter 1: ON NOPE Fc 105 Hz Gain 1 dB Q 1\n", "expected a filter, one of PK"),
        (b"Filter 1: ON PK Fc -5 Hz Gain 1 dB Q 1\n", "Fc and Q above 0"),
        (b"Filter 1: ON PK Fc x Hz Gain 1 dB Q 1\n", "expected a number, got 'x'"),
        (b"\x89PNG\r\n\0\0", "it holds zero bytes"),
        (None, "no such file"),
    ],
)
def test_a_file_that_is_no_curve_is_refused(text: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "curve.txt"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(InputError, match=said) as caught:
        make_plan(f"response:@{path}", SOUND, rules_for(SOUND))
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("response:@{},column=absent", "no column 'absent'; its columns are frequency"),
        ("response:@{},taps=2000000", "at most 1,048,576"),
        ("response:@{},phase=maximum", "expected linear or minimum"),
    ],
)
def test_requests_that_no_curve_fulfils_are_refused(text: str, said: str) -> None:
    with pytest.raises(ConvcliError, match=said):
        make_plan(text.format(HEADPHONE), SOUND, rules_for(SOUND))
    with pytest.raises(RequestError, match="needs a signal with a sampling rate"):
        apply(f"response:@{HEADPHONE}", np.zeros(9))


def test_an_even_number_of_taps_is_symmetric_too() -> None:
    made = measured_response(str(HEADPHONE), taps=4000, signal=SOUND)
    np.testing.assert_allclose(made.taps, made.taps[::-1], rtol=0, atol=1e-15)
    assert decibels(made.taps, np.array([3000.0]))[0] == pytest.approx(3.43, abs=0.1)
