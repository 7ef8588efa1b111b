"""Missing samples where the number of samples changes, and signals of which nothing is left."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile as sf
from program import done, refused

import convcli.running.arrays
from convcli import apply
from convcli.core.convolution.resample import Resample

if TYPE_CHECKING:
    from pathlib import Path

Samples = np.ndarray[Any, Any]

# NaN where a new pixel holds none but missing ones; else a value.
INTERPOLATIONS = ["nearest", "linear", "cubic", "lanczos3"]


def holed() -> Samples:
    x = np.arange(64.0).reshape(8, 8)
    x[2:6, 2:6] = np.nan
    return x


@pytest.mark.parametrize("method", INTERPOLATIONS)
def test_resize_keeps_what_is_missing_as_a_pool_does(method: str) -> None:
    x = holed()
    pooled = apply("avg_pool:2", x, axes=2, edge="edge")
    resized = apply(f"resize:4x4,method={method}", x, axes=2, edge="edge")
    np.testing.assert_array_equal(np.isnan(resized), np.isnan(pooled))
    assert np.isnan(resized).sum() == 4
    filled = apply(f"resize:4x4,method={method}", x, axes=2, edge="edge", missing="fill")
    assert not np.isnan(filled).any()
    # From a row above 8, 9, 10 to a row below it the numbers rise by 8.
    assert 8 < filled[1:3, 1:3].min() <= filled[1:3, 1:3].max() < 56


@pytest.mark.parametrize("method", INTERPOLATIONS)
@pytest.mark.parametrize("side", [3, 5, 7, 8, 9, 12, 16, 20])
def test_a_new_pixel_is_missing_where_all_pixels_inside_it_are(method: str, side: int) -> None:
    rng = np.random.default_rng(side)
    x = rng.uniform(1, 2, (8, 8))
    x[:, rng.random(8) < 0.5] = np.nan
    middles = np.arange(8) + 0.5
    expected = []
    for k in range(side):
        low, high = k * 8 / side, (k + 1) * 8 / side
        inside = np.flatnonzero((middles >= low) & (middles < high))
        if not inside.size:
            inside = np.array([math.ceil((2 * k + 1) * 8 / (2 * side)) - 1])
        expected.append(bool(np.isnan(x[0, inside]).all()))
    y = apply(f"resize:{side}x8,method={method}", x, axes=2, edge="edge")
    if method == "nearest" and side < 8:
        return  # reads one pixel of each
    assert np.isnan(y[0]).tolist() == expected


def test_nearest_copies_gaps_and_linear_scales_weights_up() -> None:
    x = np.array([[1.0, 2.0, np.nan, 4.0]])
    doubled = apply("resize:8x1,method=nearest", x, axes=2, edge="edge")
    np.testing.assert_array_equal(doubled, np.repeat(x, 2, axis=1))
    y = apply("resize:8x1,method=linear", x, axes=2, edge="edge")
    # 2 and the gap by 3/4 and 1/4: the gap has no weight, 2 is left.
    np.testing.assert_array_equal(y, [[1, 1.25, 1.75, 2, np.nan, np.nan, 4, 4]])


@pytest.mark.parametrize("method", INTERPOLATIONS)
def test_propagate_spreads_a_gap_to_all_that_read_it(method: str) -> None:
    x = np.ones((1, 40))
    x[0, 20] = np.nan
    y = apply(f"resize:80x1,method={method}", x, axes=2, edge="edge", missing="propagate")
    half = {"nearest": 0.5, "linear": 1, "cubic": 2, "lanczos3": 3}[method]
    positions = (np.arange(80) + 0.5) / 2 - 0.5
    np.testing.assert_array_equal(np.isnan(y[0]), np.abs(positions - 20) < half)
    assert np.nanmax(np.abs(y - 1)) < 1e-12


@pytest.mark.parametrize("align", ["center", "causal"])
@pytest.mark.parametrize("new", [8000, 16000, 22050, 96000])
@pytest.mark.parametrize("missing", ["keep", "fill", "propagate"])
def test_sound_at_another_rate_keeps_its_gaps(
    new: int, align: Any, missing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=4000).cumsum()
    x[:50] = np.nan
    x[1000:1100] = np.nan
    rules = {"rate": 44100, "align": align, "missing": missing}
    y = apply(f"resample:{new}", x, **rules)
    gap = np.isnan(y)
    if missing == "keep":
        # Within a sample or two of the old rate, and of the new one.
        at = np.flatnonzero(gap[len(y) // 8 :]) + len(y) // 8
        slack = 2 * max(1, 44100 / new)
        assert abs(at[0] * 44100 / new - 1000) < slack
        assert abs(at[-1] * 44100 / new - 1099) < slack
        assert len(at) == at[-1] - at[0] + 1
    elif missing == "fill":
        # A causal output knows nothing before the first value; a centred one looks ahead.
        assert gap.any() == (align == "causal")
        assert not gap[len(y) // 8 :].any()
    else:
        assert gap.sum() > 100 * new / 44100
    monkeypatch.setattr(convcli.running.arrays, "BLOCK", 97)
    in_blocks = apply(f"resample:{new}", x, **rules)
    np.testing.assert_allclose(in_blocks, y, rtol=0, atol=1e-9)


def test_the_place_of_an_output_lies_in_its_window() -> None:
    for new, old in ((3, 8), (8, 3), (5, 7), (1, 6), (6, 1)):
        for method in INTERPOLATIONS[1:]:
            op = Resample.by(new, old, method)  # type: ignore[arg-type]
            assert (op.own[:, 0] >= 0).all()
            assert (op.own[:, 1] <= op.table.shape[1]).all()
            assert (op.own[:, 0] < op.own[:, 1]).all()


def test_a_float_tiff_with_gaps_is_resized(tmp_path: Path) -> None:
    import pyvips

    depth = tmp_path / "depth.tif"
    pyvips.Image.new_from_array(holed().astype(np.float32)).tiffsave(str(depth))
    out = tmp_path / "small.tif"
    done("image", "resize:4x4", depth, "-o", out)
    y = pyvips.Image.new_from_file(str(out)).numpy()
    expected = apply("resize:4x4", holed().astype(np.float32), axes=2, edge="edge")
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    np.testing.assert_allclose(y, expected, rtol=1e-6)


@pytest.mark.parametrize("pool", ["avg", "max"])
def test_bins_of_the_whole_signal_follow_the_rule_for_missing_samples(pool: str) -> None:
    x = np.arange(24.0).reshape(12, 2)
    x[1, 0] = np.nan
    fold: Any = {"avg": np.nanmean, "max": np.nanmax}[pool]
    for bins in (1, 3, 4):
        text = f"global_{pool}_pool" if bins == 1 else f"adaptive_{pool}_pool:{bins}"
        parts = np.split(x, bins)
        kept = np.array([fold(part, axis=0) for part in parts])
        for missing in ("keep", "fill"):
            np.testing.assert_allclose(apply(text, x, missing=missing), kept, rtol=1e-15)
        kept[0, 0] = np.nan
        np.testing.assert_allclose(apply(text, x, missing="propagate"), kept, rtol=1e-15)
    picture = np.arange(36.0).reshape(6, 6)
    picture[5, 5] = np.nan
    y = apply(f"adaptive_{pool}_pool:2x3", picture, axes=2, missing="propagate")
    assert np.argwhere(np.isnan(y)).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("disk:2.3 | adaptive_avg_pool:3x5", (5, 1)),
        ("box:9,axis=x | global_max_pool", (5, 5)),
        ("box:9,axis=y | global_max_pool", (5, 5)),
        ("box:9,axis=x | adaptive_max_pool:2x3 | gain:2", (5, 5)),
        ("downsample:101 | adaptive_max_pool:101 | box:2", (500, 5)),
        ("adaptive_max_pool:3 | box:9 | global_avg_pool", (20, 20)),
        ("global_max_pool", (4, 0)),
        ("global_avg_pool", (0, 4)),
    ],
)
def test_nothing_is_made_of_nothing(text: str, shape: tuple[int, int]) -> None:
    assert apply(text, np.ones(shape), axes=2, edge="valid").shape == (0, 0)


def test_no_rows_give_no_rows() -> None:
    for text in ("box:9 | global_max_pool", "box:9 | adaptive_avg_pool:3 | gain:2"):
        assert apply(text, np.ones((5, 2)), edge="valid").shape == (0, 2)
        told = refused(2, "csv", "-q", text, "--edge", "valid", stdin=b"v\n1\n2\n3\n")
        assert "nothing is left" in told


def test_a_sound_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    sf.write(tmp_path / "in.wav", np.zeros((50, 2)), 8000)
    out = tmp_path / "out.wav"
    said = refused(2, "audio", "box:51", tmp_path / "in.wav", "--edge", "valid", "-o", out)
    assert "nothing is left of the sound" in said
    assert not out.exists()
    assert done("audio", "box:50", tmp_path / "in.wav", "--edge", "valid", "-o", out).code == 0
    assert sf.info(out).frames == 1


@pytest.mark.parametrize(
    "text",
    [
        "disk:2.3 | adaptive_avg_pool:3x5",
        "box:9 | global_max_pool",
        "downsample:101 | adaptive_max_pool:101 | box:2",
    ],
)
def test_a_picture_of_which_nothing_is_left_is_refused(tmp_path: Path, text: str) -> None:
    small = tmp_path / "small.pgm"
    small.write_bytes(b"P5 4 3 255\n" + bytes(12))
    out = tmp_path / "out.pgm"
    said = refused(2, "image", text, small, "--edge", "valid", "-o", out)
    assert "nothing is left of the picture" in said
    assert not out.exists()
