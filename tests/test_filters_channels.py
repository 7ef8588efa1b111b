"""Sums of channels in every medium, and impulse responses from every channel to every channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import program
import pytest
import pyvips
import scipy.signal
import soundfile

from convcli import apply
from convcli.errors import RequestError
from convcli.media.images.medium import IMAGE
from convcli.planning.plan import make_plan, rules_for
from convcli.signals import ARRAY, TABLE, Signal

if TYPE_CHECKING:
    from pathlib import Path

Samples = np.ndarray[Any, Any]
ROWS = Signal(medium=TABLE, shape=(9,), channels=("Open", "Close"))


def test_a_mix_is_a_product_with_a_matrix() -> None:
    x = np.random.default_rng(0).standard_normal((500, 3))
    weights = np.array([[0.5, 0, 0.5], [1, -1, 0.25]])
    y = apply("mix:0.5,0,50%;1,-1,0.25", x)
    np.testing.assert_allclose(y, x @ weights.T, rtol=0, atol=1e-15)


def test_mono_is_the_rounded_mean_of_whole_numbers() -> None:
    x = np.array([[1.0, 2, 4], [0.1, 0.1, 0.1], [3, 3, 3]])
    np.testing.assert_array_equal(apply("mono", x)[:, 0], [7 / 3, (0.1 + 0.1 + 0.1) / 3, 3])


def test_a_sum_is_missing_where_a_channel_that_it_reads_is() -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan, 3], "b": [2.0, 2, np.nan]})
    y = apply("mix:1,1;1,0;0,1", frame)
    assert y.columns.tolist() == ["y0", "y1", "y2"]
    np.testing.assert_array_equal(y["y0"], [3, np.nan, np.nan])
    np.testing.assert_array_equal(y["y1"], [1, np.nan, 3])
    np.testing.assert_array_equal(y["y2"], [2, 2, np.nan])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mix:1", r"1 weight for 2 columns \(Open, Close\)"),
        ("mix:1,1;1,2,3", "3 weights in row 2 for 2 columns"),
        ("mix:1,x", "expected a number, got 'x'"),
        ("mix:1,2Hz", "expected a plain number"),
        ("mix", "needs WEIGHTS"),
        ("mix:1,1e308;1e308,1e308", "more than the largest number"),
        ("grey", "one axis of rows"),
    ],
)
def test_weights_that_do_not_fit_are_refused(text: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        make_plan(text, ROWS, rules_for(ROWS))


def test_grey_needs_red_green_and_blue() -> None:
    ink = Signal(medium=IMAGE, shape=(4, 4), channels=("C", "M", "Y", "K"))
    with pytest.raises(RequestError, match="this picture has C, M, Y, K"):
        make_plan("grey", ink, rules_for(ink))
    array = Signal(medium=ARRAY, shape=(4, 4), channels=("1", "2", "3"))
    assert make_plan("gray", array, rules_for(array)).result.channels == ("1",)


def test_columns_of_a_table_become_others(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("day,a,b\nx,1,3\ny,2,\nz,4,5\n")
    run = program.run("csv", "mix:0.5,0.5", "t.csv", cwd=tmp_path)
    assert run.out == b"day,y0\nx,2\ny,\nz,4.5\n"
    run = program.run("csv", "mono", "t.csv", "--append", cwd=tmp_path)
    assert run.out == b"day,a,b,y0\nx,1,3,2\ny,2,,\nz,4,5,4.5\n"


def test_sound_gets_as_many_channels_as_there_are_sums(tmp_path: Path) -> None:
    x = np.random.default_rng(1).integers(-9000, 9000, (4000, 2)).astype(np.int16)
    soundfile.write(tmp_path / "x.wav", x, 8000)
    program.run("audio", "mono", "x.wav", "-o", "mono.wav", cwd=tmp_path)
    mono, _ = soundfile.read(tmp_path / "mono.wav", dtype="int16")
    np.testing.assert_array_equal(mono, np.rint(x.mean(axis=1)))
    program.run("audio", "mix:1,0;0,1;0.5,0.5", "x.wav", "-o", "three.wav", cwd=tmp_path)
    three, _ = soundfile.read(tmp_path / "three.wav", dtype="int16")
    np.testing.assert_array_equal(three, np.column_stack([x, np.rint(x.mean(axis=1))]))
    run = program.run("audio", "mix:1,1;1,1;1,1", "x.wav", "-o", "three.mp3", cwd=tmp_path)
    assert run.code == 2
    assert "cannot hold 3 channels" in run.err


def test_loud_sums_are_clipped_and_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.full((100, 2), 0.75), 8000)
    run = program.run("audio", "mix:1,1", "x.wav", "-o", "y.wav", cwd=tmp_path)
    assert "100 samples were clipped" in run.err
    words = ("audio", "mix:1,1", "x.wav", "-o", "z.wav", "--on-clip", "error")
    assert program.run(*words, cwd=tmp_path).code != 0


def test_grey_keeps_the_opacity_of_a_picture(tmp_path: Path) -> None:
    x = np.random.default_rng(2).integers(0, 256, (20, 30, 4)).astype(np.uint8)
    pyvips.Image.new_from_array(x, interpretation="srgb").write_to_file(tmp_path / "x.png")
    program.run("image", "grey", "x.png", "-o", "grey.png", cwd=tmp_path)
    grey = pyvips.Image.new_from_file(str(tmp_path / "grey.png")).numpy()
    luma = (x[..., :3].astype(np.int64) @ np.array([2126, 7152, 722])) / 10000
    np.testing.assert_array_equal(grey[..., 0], np.rint(luma))
    np.testing.assert_array_equal(grey[..., 1], x[..., 3])


def test_a_picture_gets_as_many_bands_as_there_are_sums(tmp_path: Path) -> None:
    x = np.random.default_rng(3).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    pyvips.Image.new_from_array(x, interpretation="srgb").write_to_file(tmp_path / "x.png")
    program.run("image", "mix:0,0,1;0,1,0;1,0,0", "x.png", "-o", "bgr.png", cwd=tmp_path)
    swapped = pyvips.Image.new_from_file(str(tmp_path / "bgr.png")).numpy()
    np.testing.assert_array_equal(swapped, x[..., ::-1])
    five = "mix:1,0,0;0,1,0;0,0,1;1,0,0;0,1,0"
    run = program.run("image", five, "x.png", "-o", "five.png", cwd=tmp_path)
    assert run.code == 0
    assert "montage of 5 channels" in run.warnings[0]
    assert ".tif" in run.warnings[0]
    program.run("image", five, "x.png", "-o", "five.tif", cwd=tmp_path)
    bands = pyvips.Image.new_from_file(str(tmp_path / "five.tif"))
    np.testing.assert_array_equal(bands.numpy(), x[..., [0, 1, 2, 0, 1]])


def test_four_channels_of_a_response_cross_over(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    response = rng.standard_normal((900, 4)) * np.exp(-np.arange(900) / 200)[:, None]
    soundfile.write(tmp_path / "hall.wav", response, 8000, subtype="DOUBLE")
    x = rng.standard_normal((3000, 2))
    left, right = x.T
    ll, lr, rl, rr = response.T

    def room(*pairs: tuple[Samples, Samples]) -> Any:
        return sum(scipy.signal.fftconvolve(signal, taps)[:3000] for signal, taps in pairs)

    wet = np.column_stack([room((left, ll), (right, rl)), room((left, lr), (right, rr))])
    y = apply(f"ir:{tmp_path}/hall.wav,wet=0.3", x, rate=8000)
    np.testing.assert_allclose(y, 0.7 * x + 0.3 * wet, rtol=0, atol=1e-12)
    with pytest.raises(RequestError, match="4 channels and the signal 3"):
        apply(f"ir:{tmp_path}/hall.wav", np.zeros((9, 3)), rate=8000)


def test_channels_beside_those_that_are_filtered(tmp_path: Path) -> None:
    hole = program.SAMPLES / "hole.png"
    words = ("image", "mix:1,0,0;0,1,0", hole, "--channels", "rgb", "-o", "two.tif")
    run = program.run(*words, cwd=tmp_path)
    assert run.code == 2
    assert "keeps the 3 channels, this one makes 2" in run.err
    words = ("image", "grey", hole, "--channels", "rgb", "-o", "grey.tif")
    assert program.run(*words, cwd=tmp_path).code == 0
    grey = pyvips.Image.new_from_file(str(tmp_path / "grey.tif")).numpy()
    original = pyvips.Image.new_from_file(str(hole)).numpy()
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])
    np.testing.assert_array_equal(grey[..., 3], original[..., 3])
