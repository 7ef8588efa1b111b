"""`convcli image` as its users run it."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pyvips
from program import CONVCLI, SAMPLES, Program, done, peer, refused, run, shell

from convcli.layers.weights import encode_weights

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(11)
PROFILE = pyvips.Operation.call("profile_load", "p3")
# Files are written again under the same names.
pyvips.cache_set_max(0)


def save(path: Path, pixels: Any, **fields: Any) -> Path:
    """A picture of `(rows, columns, channels)` with the fields of libvips given."""
    grey = pixels.shape[2] < 3
    kind = {
        ("uint8", True): "b-w",
        ("uint8", False): "srgb",
        ("uint16", True): "grey16",
        ("uint16", False): "rgb16",
    }
    interpretation = kind.get((str(pixels.dtype), grey), "multiband")
    image = pyvips.Image.new_from_array(pixels).copy(interpretation=interpretation)
    types = {
        bytes: pyvips.GValue.blob_type,
        str: pyvips.GValue.gstr_type,
        int: pyvips.GValue.gint_type,
    }
    for name, value in fields.items():
        image.set_type(types[type(value)], name.replace("_", "-"), value)
    image.write_to_file(str(path))
    return path


def load(path: Path | bytes, **options: Any) -> Any:
    opened = (
        pyvips.Image.new_from_buffer(path, "", **options)
        if isinstance(path, bytes)
        else pyvips.Image.new_from_file(str(path), **options)
    )
    pixels = opened.numpy()
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def noise(rows: int, columns: int, channels: int, bits: int = 8) -> Any:
    return RNG.integers(0, 1 << bits, (rows, columns, channels)).astype(
        np.uint8 if bits == 8 else np.uint16
    )


def box3(x: Any) -> Any:
    """The plain mean over 3 by 3 pixels, the edge repeated."""
    wide = np.pad(x.astype(float), ((1, 1), (1, 1), (0, 0)), "edge")
    rows, columns = x.shape[:2]
    return sum(wide[i : i + rows, j : j + columns] for i in range(3) for j in range(3)) / 9


# --------------------------------------------------------------------------- what is kept as it was


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("channels", "bits"), [(1, 8), (3, 8), (4, 8), (1, 16), (3, 16), (4, 16)])
def test_the_identity_is_bit_exact(
    suffix: str, channels: int, bits: int, program: Program, tmp_path: Path
) -> None:
    x = noise(37, 53, channels, bits)
    fields: dict[str, Any] = {"exif-ifd0-Artist": "Ann (Ann, ASCII, 4 components, 4 bytes)"}
    if channels > 1:
        fields["icc_profile_data"] = PROFILE
    source = save(tmp_path / f"a.{suffix}", x, **fields)
    ended = program.run("image", "kernel:1", source, "-o", f"b.{suffix}", cwd=tmp_path)
    assert ended.code == 0, ended
    assert not ended.warnings
    np.testing.assert_array_equal(load(tmp_path / f"b.{suffix}"), x)
    before, after = (
        pyvips.Image.new_from_file(str(tmp_path / f"{name}.{suffix}")) for name in "ab"
    )
    if channels > 1:
        assert after.get("icc-profile-data") == PROFILE
    if suffix == "png":
        assert after.get("exif-ifd0-Artist").startswith("Ann (")
    assert (before.xres, before.yres) == pytest.approx((after.xres, after.yres), rel=1e-3)


def test_depth_profile_and_text_are_kept_by_a_filter(program: Program, tmp_path: Path) -> None:
    x = noise(40, 30, 3, 16)
    save(tmp_path / "a.png", x, icc_profile_data=PROFILE, png_comment_0_Title="[red]a cat[/red]")
    ended = program.run("image", "box:3", "a.png", "-o", "b.png", cwd=tmp_path)
    assert ended.code == 0, ended
    after = pyvips.Image.new_from_file(str(tmp_path / "b.png"))
    assert after.format == "ushort"
    assert after.get("icc-profile-data") == PROFILE
    assert after.get("png-comment-0-Title") == "[red]a cat[/red]"
    np.testing.assert_allclose(load(tmp_path / "b.png"), box3(x), atol=0.51)


def test_orientation_is_applied_once(program: Program, tmp_path: Path) -> None:
    x = noise(16, 24, 3)
    image = pyvips.Image.new_from_array(x).copy(interpretation="srgb")
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    image.write_to_file(str(tmp_path / "a.tif"))
    ended = program.run("image", "kernel:1", "a.tif", "-o", "b.tif", cwd=tmp_path)
    assert ended.code == 0, ended
    after = pyvips.Image.new_from_file(str(tmp_path / "b.tif"))
    turned = np.rot90(x, -1)
    np.testing.assert_array_equal(load(tmp_path / "b.tif"), turned)
    assert after.get_typeof("orientation") == 0 or after.get("orientation") == 1
    assert program.run("image", "kernel:1", "b.tif", "-o", "c.tif", cwd=tmp_path).code == 0
    np.testing.assert_array_equal(load(tmp_path / "c.tif"), turned)


def test_every_page(program: Program, tmp_path: Path) -> None:
    pages = [noise(10, 14, 3) for _ in range(3)]
    joined = pyvips.Image.new_from_array(np.concatenate(pages)).copy(interpretation="srgb")
    joined.set_type(pyvips.GValue.gint_type, "page-height", 10)
    joined.tiffsave(str(tmp_path / "a.tif"))
    ended = program.run("image", "box:3", "a.tif", "-o", "b.tif", cwd=tmp_path)
    assert ended.code == 0, ended
    got = load(tmp_path / "b.tif", n=-1)
    assert len(got) == 30
    for number, page in enumerate(pages):
        np.testing.assert_allclose(got[10 * number : 10 * number + 10], box3(page), atol=0.51)
    one = program.run("image", "box:3", "a.tif", "-o", "b.png", cwd=tmp_path)
    assert one.code == 2
    assert "3 pages" in one.err
    assert not (tmp_path / "b.png").exists()


def test_other_formats(program: Program, tmp_path: Path) -> None:
    cat = SAMPLES / "cat.png"
    for name in ("a.jpg", "a.webp", "a.tif", "a.ppm", "a.gif"):
        ended = program.run("image", "gaussian:2", cat, "-o", name, cwd=tmp_path)
        assert ended.code == 0, ended
        again = program.run("image", "kernel:1", name, "-o", f"again_{name}", cwd=tmp_path)
        assert again.code == 0, again
        assert "451x300" in again.err
    low = program.run("image", "kernel:1", cat, "-o", "q.jpg", "--quality", "5", cwd=tmp_path)
    assert low.code == 0
    assert (tmp_path / "q.jpg").stat().st_size < (tmp_path / "a.jpg").stat().st_size
    for words in (("-o", "x.tape"), ("-o", "x.png", "--format", "tape")):
        assert program.run("image", "box:3", cat, *words, cwd=tmp_path).code == 2
    assert not (tmp_path / "x.png").exists()


# ------------------------------------------------------------------------------------------- values


def test_no_fringe_beside_what_is_transparent(program: Program, tmp_path: Path) -> None:
    x = np.zeros((6, 12, 4), np.uint8)
    x[:, :6] = (255, 0, 0, 255)
    x[:, 6:] = (0, 255, 0, 0)
    save(tmp_path / "a.png", x)
    assert program.run("image", "box:3", "a.png", "-o", "b.png", cwd=tmp_path).code == 0
    row = load(tmp_path / "b.png")[3]
    np.testing.assert_array_equal(row[:7, :3], [[255, 0, 0]] * 7)
    np.testing.assert_array_equal(row[:, 3], [255] * 5 + [170, 85] + [0] * 5)


def test_negatives_are_clipped_and_said_so(program: Program, tmp_path: Path) -> None:
    x = np.zeros((8, 10, 1), np.uint8)
    x[:, :5] = 200
    save(tmp_path / "step.png", x)
    ended = program.run("image", "sobel:x", "step.png", "-o", "edges.png", cwd=tmp_path)
    assert ended.code == 0
    assert "16 below" in ended.warnings[0]
    assert "--range" in ended.warnings[0]
    failed = program.run(
        "image", "sobel:x", "step.png", "-o", "e.png", "--fail-on", "clip", cwd=tmp_path
    )
    assert failed.code == 1
    assert "clipped" in failed.errors[0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("correlate:-0.5,0,0.5",), [0, 0, 0, 30, 30, 0, 0, 0, 0]),
        (("correlate:0.5,0,-0.5", "--range", "abs"), [0, 0, 0, 30, 30, 0, 0, 0, 0]),
        (
            ("correlate:0.5,0,-0.5", "--range", "offset"),
            [128, 128, 128, 98, 98, 128, 128, 128, 128],
        ),
        (("correlate:0.5,0,-0.5", "--range", "scale"), [255, 255, 255, 0, 0, 255, 255, 255, 255]),
    ],
)
def test_what_range_makes_of_values(
    words: tuple[str, ...], expected: list[int], program: Program, tmp_path: Path
) -> None:
    x = np.full((4, 9, 1), 100, np.uint8)
    x[:, 4:] = 160
    save(tmp_path / "step.png", x)
    ended = program.run("image", *words, "step.png", "-o", "out.png", cwd=tmp_path)
    assert ended.code == 0, ended
    assert not ended.warnings, ended
    np.testing.assert_array_equal(load(tmp_path / "out.png")[2, :, 0], expected)


def test_linear_light(program: Program, tmp_path: Path) -> None:
    x = np.zeros((6, 8, 3), np.uint8)
    x[:, ::2] = 255
    save(tmp_path / "a.png", x)
    for words, grey in ((("--linear",), 188), ((), 128)):
        ended = program.run(
            "image", "box:2", "a.png", "-o", "b.png", "--force", *words, cwd=tmp_path
        )
        assert ended.code == 0, ended
        assert np.abs(load(tmp_path / "b.png")[2, 1:-1].astype(int) - grey).max() <= 1


def test_channels(program: Program, tmp_path: Path) -> None:
    x = noise(12, 14, 4)
    save(tmp_path / "a.png", x)
    got = {}
    for channels in ("all", "rgb", "luma", "alpha"):
        ended = program.run(
            "image", "box:3", "a.png", "-o", f"{channels}.png", "--channels", channels, cwd=tmp_path
        )
        assert ended.code == 0, ended
        got[channels] = load(tmp_path / f"{channels}.png")
    blurred = box3(x)
    np.testing.assert_array_equal(got["alpha"][..., :3], x[..., :3])
    np.testing.assert_allclose(got["alpha"][..., 3], blurred[..., 3], atol=0.51)
    np.testing.assert_array_equal(got["rgb"][..., 3], x[..., 3])
    np.testing.assert_array_equal(got["luma"][..., 3], x[..., 3])
    np.testing.assert_allclose(got["all"][..., 3], blurred[..., 3], atol=0.51)
    assert not np.array_equal(got["luma"][..., :3], got["rgb"][..., :3])
    told = program.run(
        "image", "stride:2", "a.png", "-o", "x.png", "--channels", "alpha", cwd=tmp_path
    )
    assert told.code == 2
    assert "size" in told.errors[0]
    assert "hint: leave --channels out, which filters" in told.err
    told = program.run(
        "image", "stride:2", "a.png", "-o", "x.png", "--channels", "luma", cwd=tmp_path
    )
    assert "`grey | ...`" in told.err
    told = program.run("image", "grey | stride:2", "a.png", "-o", "x.png", cwd=tmp_path)
    assert told.code == 0
    save(tmp_path / "rgb.png", x[..., :3])
    assert (
        program.run(
            "image", "box:3", "rgb.png", "-o", "x.png", "--channels", "alpha", cwd=tmp_path
        ).code
        == 2
    )


def test_a_network_of_colours_that_enlarges_a_picture_with_an_opacity(tmp_path: Path) -> None:
    """The hints lead to a result: the opacity cannot be kept, so that it is taken away before."""
    save(tmp_path / "a.png", noise(6, 8, 4))
    weights = RNG.uniform(0, 0.1, (12, 3, 1, 1))
    layers = {"layers": "conv | pixel_shuffle:2"}
    (tmp_path / "net.safetensors").write_bytes(encode_weights({"0.weight": weights}, layers))
    words = ("image", "model:net.safetensors", "a.png", "-o", "b.png")
    assert "hint: --channels rgb" in refused(2, *words, cwd=tmp_path)
    told = refused(2, *words, "--channels", "rgb", cwd=tmp_path)
    assert "convcli image gain:1 IN.png -o IN.ppm" in told
    done("image", "gain:1", "a.png", "-o", "a.ppm", cwd=tmp_path)
    done("image", "model:net.safetensors", "a.ppm", "-o", "b.png", cwd=tmp_path)
    assert load(tmp_path / "b.png").shape == (12, 16, 3)


def test_smoothing_runs_along_both_axes_and_axis_picks_one(
    program: Program, tmp_path: Path
) -> None:
    x = noise(9, 11, 1)
    save(tmp_path / "a.png", x)
    assert program.run("image", "box:3", "a.png", "-o", "xy.png", cwd=tmp_path).code == 0
    assert program.run("image", "box:3,axis=x", "a.png", "-o", "x.png", cwd=tmp_path).code == 0
    np.testing.assert_allclose(load(tmp_path / "xy.png"), box3(x), atol=0.51)
    wide = np.pad(x[..., 0].astype(float), ((0, 0), (1, 1)), "edge")
    np.testing.assert_allclose(
        load(tmp_path / "x.png")[..., 0],
        (wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]) / 3,
        atol=0.51,
    )


def test_resize_and_pools(program: Program, tmp_path: Path) -> None:
    cat = SAMPLES / "cat.png"
    for step, size in {
        "resize:50%": (150, 226),
        "resize:100x60": (60, 100),
        "resize:200%,method=cubic": (600, 902),
        "downsample:2": (150, 226),
        "avg_pool:2x3": (150, 151),
        "max_pool:4": (75, 113),
        "global_avg_pool": (1, 1),
        "adaptive_avg_pool:7x5": (7, 5),
    }.items():
        ended = program.run("image", step, cat, "-o", "out.png", "--force", cwd=tmp_path)
        assert ended.code == 0, ended
        assert load(tmp_path / "out.png").shape[:2] == size, step
    mean = load(cat).astype(float).mean(axis=(0, 1))
    assert program.run("image", "global_avg_pool", cat, "-o", "m.png", cwd=tmp_path).code == 0
    np.testing.assert_allclose(load(tmp_path / "m.png")[0, 0], mean, atol=0.51)


def test_a_constant_stays_that_constant(program: Program, tmp_path: Path) -> None:
    save(tmp_path / "flat.png", np.full((20, 22, 3), 77, np.uint8))
    for step in (
        "gaussian:3",
        "downsample:4",
        "resize:37%",
        "lowpass:0.1",
        "sharpen:2",
        "savgol:5,2",
        "disk:3",
    ):
        ended = program.run("image", step, "flat.png", "-o", "out.png", "--force", cwd=tmp_path)
        assert ended.code == 0, ended
        np.testing.assert_array_equal(load(tmp_path / "out.png"), 77)


# ----------------------------------------------------------------------------------------- refusals


def test_what_is_damaged_or_no_picture(program: Program, tmp_path: Path) -> None:
    whole = (SAMPLES / "cat.png").read_bytes()
    damaged = {
        "cut.png": whole[: len(whole) // 2],
        "flipped.png": whole[:50_000] + bytes(200) + whole[50_200:],
        "text.png": b"hello\n" * 100,
        "empty.png": b"",
        "head.png": whole[:20],
    }
    for name, data in damaged.items():
        (tmp_path / name).write_bytes(data)
        ended = program.run("image", "box:3", name, "-o", "out.png", cwd=tmp_path)
        assert ended.code == 3, ended
        assert len(ended.errors) == 1, ended
        assert name in ended.errors[0]
        assert program.run("image", "box:3", "-o", "out.png", stdin=data, cwd=tmp_path).code == 3
    assert not (tmp_path / "out.png").exists()


def test_a_bomb_is_refused(program: Program, tmp_path: Path) -> None:
    ended = program.run(
        "image", "box:3", SAMPLES / "cat.png", "-o", "o.png", "--max-pixels", "100000", cwd=tmp_path
    )
    assert ended.code == 3
    assert "--max-pixels" in ended.err
    (tmp_path / "bomb.ppm").write_bytes(b"P6\n100000 100000\n255\n")
    assert program.run("image", "box:3", "bomb.ppm", "-o", "o.png", cwd=tmp_path).code == 3
    assert not (tmp_path / "o.png").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("resample:8k",), "resample"),
        (("lowpass:1kHz",), "1kHz"),
        (("gaussian:20ms",), "20ms"),
        (("box:3,axis=z",), "axis"),
        (("kernel:1,2;3",), "kernel"),
        (("box:999", "--edge", "valid"), "valid"),
        (("box:3", "--channels", "blue"), "--channels"),
        (("box:3", "--range", "wrap"), "--range"),
        (("box:3", "--quality", "0"), "--quality"),
    ],
)
def test_wrong_requests(
    words: tuple[str, ...], told: str, program: Program, tmp_path: Path
) -> None:
    ended = program.run("image", *words, SAMPLES / "cat.png", "-o", "out.png", cwd=tmp_path)
    assert ended.code == 2, ended
    assert len(ended.errors) == 1
    assert told in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_not_written_to_a_terminal() -> None:
    leader, follower = os.openpty()
    command = [*CONVCLI, "image", "box:3", str(SAMPLES / "cat.png")]
    try:
        ended = subprocess.run(
            command, stdin=follower, stdout=follower, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(leader)
        os.close(follower)
    assert ended.returncode == 2
    assert b"terminal" in ended.stderr


# -------------------------------------------------------------------------------------------- pipes


def test_pictures_through_pipes(tmp_path: Path) -> None:
    line = f"cat '{SAMPLES}/cat.png' | convcli image kernel:1 --format png -o - | convcli image kernel:1 -o out.tif"
    ended = shell(line, tmp_path)
    assert ended.code == 0, ended
    np.testing.assert_array_equal(load(tmp_path / "out.tif"), load(SAMPLES / "cat.png"))


def test_without_a_format_a_pipe_keeps_that_of_the_input(tmp_path: Path) -> None:
    save(tmp_path / "a.tif", noise(5, 5, 3))
    tiff = (tmp_path / "a.tif").read_bytes()
    assert done("image", "box:3", stdin=tiff, cwd=tmp_path).out.startswith(b"II*\x00")


@peer("vips")
def test_vips_after(tmp_path: Path) -> None:
    line = f"cat '{SAMPLES}/cat.png' | convcli image gaussian:2 --format png -o - | vips invert stdin out.png"
    ended = shell(line, tmp_path)
    assert ended.code == 0, ended
    done("image", "gaussian:2", SAMPLES / "cat.png", "-o", "soft.png", cwd=tmp_path)
    np.testing.assert_array_equal(255 - load(tmp_path / "out.png"), load(tmp_path / "soft.png"))


@peer("convert")
def test_the_gaussian_is_that_of_imagemagick(tmp_path: Path) -> None:
    done("image", "gaussian:2", SAMPLES / "cat.png", "-o", "ours.png", cwd=tmp_path)
    assert (
        shell(
            f"convert '{SAMPLES}/cat.png' -define convolve:showkernel=0 -gaussian-blur 8x2 theirs.png",
            tmp_path,
        ).code
        == 0
    )
    assert (
        np.abs(load(tmp_path / "ours.png").astype(int) - load(tmp_path / "theirs.png")).max() <= 2
    )


@pytest.mark.parametrize("extra", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--quality", "5", "-o", "b.png"], "--quality"),
        (["--quality", "5", "-o", "b.tif"], "--quality"),
        (["--quality", "5", "-o", "-"], "--quality"),
        (["--quality", "5", "-o", "b.ppm"], "--quality"),
        (["--quality", "5", "--in-place"], "--quality"),
        (["--linear", "--channels", "alpha", "-o", "b.png"], "--linear"),
    ],
)
def test_options_that_would_do_nothing(
    program: Program, tmp_path: Path, words: list[str], text: str, extra: list[str]
) -> None:
    save(tmp_path / "a.png", noise(8, 8, 4))
    ended = program.run("image", "gain:1", "a.png", *words, *extra, cwd=tmp_path)
    assert ended.code == 2, ended
    assert text in ended.errors[0]
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_quality_is_kept_or_asked_for(program: Program, tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(40, 40, 3))
    sizes = []
    for name, quality in (("b.jpg", 90), ("c.jpg", 10), ("d.webp", 90), ("e.webp", 10)):
        words = ["image", "gain:1", "a.png", "--quality", str(quality), "-o", name]
        assert program.run(*words, cwd=tmp_path).code == 0
        sizes.append((tmp_path / name).stat().st_size)
    assert sizes[0] > 2 * sizes[1]
    assert sizes[2] > 2 * sizes[3]


@pytest.mark.parametrize(
    ("suffix", "most"), [("jpg", 65_500), ("webp", 16_383), ("gif", 65_535), ("avif", 16_384)]
)
def test_a_picture_larger_than_its_format_is_refused_at_once(
    suffix: str, most: int, program: Program, tmp_path: Path
) -> None:
    """Oracle: the encoders of libvips, which would say so in the middle of the run."""
    save(tmp_path / "in.png", np.full((1, 9, 1), 99, np.uint8))
    out = f"out.{suffix}"
    fits = program.run("image", f"resize:{most}x1", "in.png", "-o", out, cwd=tmp_path)
    assert fits.code == 0, fits
    assert pyvips.Image.new_from_file(str(tmp_path / out)).width == most
    for size in (f"{most + 1}x1", f"1x{most + 1}"):
        words = ("image", f"resize:{size}", "in.png", "-o", out, "--force", "--dry-run")
        ended = program.run(*words, cwd=tmp_path)
        assert ended.code == 2, ended
        assert f"holds at most {most:,} pixels a side" in ended.err
        assert "hint: write one of: png, tiff" in ended.err
    with pytest.raises(pyvips.Error):
        pyvips.Image.black(most + 1, 1).write_to_file(str(tmp_path / out))


@pytest.mark.parametrize(
    ("filter", "size"),
    [
        ("resize:99999999x9", "99,999,999 x 9"),
        ("resize:9x99999999", "9 x 99,999,999"),
        ("resize:4194305x", "4,194,305 x 4,194,305"),
        ("resize:99999999x9 | resize:9x9", "99,999,999 x 9"),
        ("x + (resize:99999999x1 | resize:9x9)", "99,999,999 x 1"),
        ("resize:99999999x1,fit=cover", "99,999,999 x 1"),
        ("resize:99999999%", "9,000,000 x 9,000,000"),
    ],
)
def test_sides_that_would_fill_the_memory_are_refused(
    filter: str, size: str, program: Program, tmp_path: Path
) -> None:
    """A row of 1e8 pixels in three channels has 2.4 GB, and a run of them would be killed."""
    save(tmp_path / "in.png", np.full((9, 9, 3), 99, np.uint8))
    ended = program.run("image", filter, "in.png", "-o", "out.tif", cwd=tmp_path)
    assert ended.code == 2, ended
    told = f"the result would have {size} pixels; a side is enlarged to at most 4,194,304"
    assert told in ended.err


def test_several_pictures_into_a_folder(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / name, noise(8, 8, 3))
    (tmp_path / "bad.png").write_bytes(b"nothing")
    ended = run(
        "image",
        "box:3",
        "a.png",
        "bad.png",
        "b.png",
        "-o",
        "out/",
        "--format",
        "tiff",
        cwd=tmp_path,
    )
    assert ended.code == 3
    assert len(ended.errors) == 1
    assert "bad.png" in ended.errors[0]
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == ["a", "b"]
    assert refused(2, "image", "box:3", "a.png", "b.png", cwd=tmp_path)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("lowpass:0.1", "2 x 207 taps"),
        ("lowpass:0.1,axis=x", "207 taps"),
        ("box:3", "9 taps"),
        ("lowpass:0.1 | box:3", "2 x 207 + 2 x 3 taps"),
        ("disk:12", "625 taps"),
    ],
)
def test_the_summary_tells_what_a_filter_costs(
    program: Program, tmp_path: Path, text: str, wanted: str
) -> None:
    save(tmp_path / "a.png", noise(9, 8, 3))
    ended = program.run("image", text, "a.png", "-o", "b.png", cwd=tmp_path)
    assert ended.code == 0, ended
    assert f", {wanted}," in ended.err
