"""High-pass, band-pass and band-stop of pictures, and what taps along both axes may cost."""

from __future__ import annotations

import struct
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from program import done

from convcli import apply
from convcli.errors import RequestError

if TYPE_CHECKING:
    from pathlib import Path

Samples = np.ndarray[Any, Any]


def picture() -> Samples:
    return np.random.default_rng(0).normal(size=(40, 50))


def filtered(text: str, x: Samples) -> Samples:
    return apply(text, x, axes=2, edge="reflect")


def test_a_high_pass_of_a_picture_is_the_picture_less_its_low_pass() -> None:
    x = picture()
    for options in ("", ",width=0.1", ",attenuation=40", ",method=firls", ",taps=31"):
        expected = x - filtered(f"lowpass:0.2{options}", x)
        np.testing.assert_allclose(filtered(f"highpass:0.2{options}", x), expected, atol=1e-11)


def test_bands_of_a_picture_are_differences_of_low_passes() -> None:
    x = picture()
    low, high = (filtered(f"lowpass:{edge},width=0.05", x) for edge in (0.1, 0.3))
    band = filtered("bandpass:0.1,0.3,width=0.05", x)
    np.testing.assert_allclose(band, high - low, atol=1e-11)
    stopped = filtered("bandstop:0.1,0.3,width=0.05", x)
    np.testing.assert_allclose(stopped, x - (high - low), atol=1e-11)


def test_what_is_fine_in_one_direction_alone_passes_a_high_pass() -> None:
    columns = np.arange(60)
    stripes = np.tile(np.cos(2 * np.pi * 0.4 * columns), (60, 1))  # high along x, constant along y
    y = apply("highpass:0.2", stripes, axes=2, edge="wrap")
    np.testing.assert_allclose(y[24:40, 24:40], stripes[24:40, 24:40], atol=1e-3)
    assert np.abs(apply("highpass:0.2", np.ones((64, 64)), axes=2, edge="edge")).max() < 1e-12


@pytest.mark.parametrize("axis", ["x", "y"])
def test_an_axis_alone_is_filtered_as_a_signal_is(axis: str) -> None:
    x = picture()
    for text in ("highpass:0.2", "bandpass:0.1,0.3", "bandstop:0.1,0.3", "savgol:7,2,deriv=1"):
        y = filtered(f"{text},axis={axis}", x)
        lines = x.T if axis == "x" else x
        expected = apply(text, lines, edge="reflect")
        np.testing.assert_allclose(y, expected.T if axis == "x" else expected, atol=1e-11)


def test_a_derivative_of_a_picture_runs_along_x() -> None:
    ramp = np.add.outer(100 * np.arange(20.0), 3 * np.arange(30.0))
    y = filtered("savgol:7,2,deriv=1", ramp)
    np.testing.assert_allclose(y[:, 3:-3], 3, atol=1e-9)
    y = filtered("savgol:7,2,deriv=1,axis=y", ramp)
    np.testing.assert_allclose(y[3:-3], 100, atol=1e-9)
    # Without a derivative the taps smooth along both axes.
    flat = filtered("savgol:7,2", ramp)
    np.testing.assert_allclose(flat[3:-3, 3:-3], ramp[3:-3, 3:-3], atol=1e-9)


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("highpass:0.2,phase=minimum", "phase=minimum", "axis=x"),
        ("highpass:0.001", "at most 4,194,304", "axis=x"),
        ("lowpass:1e-3", "20,735 x 20,735 taps", "axis=x"),
        ("gaussian:2.5|lowpass:1e-3|bandpass:0.1,0.2,width=0.01", "20,735 taps", "axis=x"),
        ("box:6000", "6,000 x 6,000 taps", "axis=x"),
        ("gaussian:2000", "16,001 x 16,001", "axis=x"),
    ],
)
def test_planes_of_too_many_taps_are_refused_before_they_are_made(
    text: str, said: str, hint: str
) -> None:
    began = time.process_time()
    with pytest.raises(RequestError, match=said) as caught:
        filtered(text, picture())
    assert hint in str(caught.value.hint)
    assert time.process_time() - began < 5  # 0.1 s; making the taps took 40 s and 3.6 GB


def test_long_filters_of_minimum_phase_are_refused() -> None:
    with pytest.raises(RequestError, match="phase=minimum is computed for at most 1,048,576"):
        apply("sigmoid|bandstop:0.1,0.2,phase=minimum", np.zeros(100), rate=8000)


@pytest.mark.parametrize("pool", ["avg", "max"])
@pytest.mark.parametrize(("shape", "bins"), [((4, 3), (9, 8)), ((7, 11), (3, 4)), ((5, 6), (5, 6))])
def test_bins_of_a_picture_are_those_of_torch(
    pool: str, shape: tuple[int, int], bins: tuple[int, int]
) -> None:
    x = np.random.default_rng(3).normal(size=(*shape, 2))
    x[1, 2, 0] = np.nan
    y = apply(f"adaptive_{pool}_pool:{bins[0]}x{bins[1]}", x)
    fold = np.nanmean if pool == "avg" else np.nanmax
    for i, j in np.ndindex(bins):
        rows = slice(i * shape[0] // bins[0], -(-(i + 1) * shape[0] // bins[0]))
        columns = slice(j * shape[1] // bins[1], -(-(j + 1) * shape[1] // bins[1]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a bin without a known sample
            expected = fold(x[rows, columns], axis=(0, 1))
        np.testing.assert_allclose(y[i, j], expected, rtol=1e-14)


def test_a_million_bins_of_a_picture_are_soon_made() -> None:
    began = time.process_time()
    y = apply("adaptive_avg_pool:1000", np.arange(12.0).reshape(4, 3), axes=2)
    assert y.shape == (1000, 1000)
    assert y[0, 0] == 0
    assert y[-1, -1] == 11
    assert time.process_time() - began < 10  # 0.4 s; one bin after the other took 12 s


def test_numbers_near_the_largest_warn_of_nothing() -> None:
    for text in ("offset:1e308", "kernel:1e308", "gain:6000dB"):
        said = done("csv", text, "-", stdin=b"v\n0\n1\n").err
        assert "RuntimeWarning" not in said
        small = b"P5 4 3 255\n" + bytes(12)
        said = done("image", "-q", text, "-", "--format", "pgm", stdin=small).err
        assert "RuntimeWarning" not in said


def test_numbers_beyond_single_precision_warn_of_nothing(tmp_path: Path) -> None:
    """Floats as a file stores them become infinite, and a NaN that signals a quiet one."""
    signalling = struct.pack("<4I", 0x7F800001, 0x3F800000, 0, 0x40000000)
    (tmp_path / "in.pfm").write_bytes(b"Pf 4 1 -1\n" + signalling)
    for text in ("gain:1e300", "avg_pool:2"):
        ended = done("image", "-q", text, "in.pfm", "-o", f"{text[:3]}.tif", cwd=tmp_path)
        assert ended.err == ""


TALL = ("v\n" + "\n".join(map(str, range(1000))) + "\n").encode()


@pytest.mark.parametrize(
    ("text", "rows", "way"),
    [
        ("downsample:7", 178, "avg_pool:7"),
        ("gaussian:3 | downsample:7", 178, "avg_pool:7"),
        ("lowpass:0.05", 208, "phase=minimum"),
        ("highpass:0.05", 202, "phase=minimum"),
    ],
)
def test_a_delay_that_nobody_asked_for_is_told(text: str, rows: int, way: str) -> None:
    (said,) = done("csv", text, "-", stdin=TALL).warnings
    assert f"delays by {rows} rows" in said
    assert way in said
    assert "--align center" in said


def test_a_way_out_that_a_step_does_not_have_is_not_told() -> None:
    (said,) = done("csv", "hilbert", "-", stdin=TALL).warnings
    assert "delays by 69 rows" in said
    assert "phase" not in said


@pytest.mark.parametrize(
    "words",
    [
        ("sma:400",),
        ("ema:span=99",),
        ("lowpass:0.05", "--align", "center"),
        ("lowpass:0.05,phase=minimum",),
        ("lowpass:0.05,taps=99",),
        ("avg_pool:7",),
        ("downsample:1",),
    ],
)
def test_a_delay_that_was_asked_for_is_not_warned_of(words: tuple[str, ...]) -> None:
    assert not done("csv", *words, "-", stdin=TALL).warnings
