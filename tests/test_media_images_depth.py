"""How many bits a sample has and which value is white: kept, or told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pyvips

from convcli.media.images.source import ImageOptions, open_image
from convcli.media.images.tiff import read_directory

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

# Files are written again under the same names.
pyvips.cache_set_max(0)
ROWS, COLUMNS = 6, 8


def pgm(path: Path, pixels: Any, white: int) -> Path:
    stored = pixels.astype(">u2" if white > 255 else "u1")
    path.write_bytes(b"P5\n%d %d\n%d\n" % (COLUMNS, ROWS, white) + stored.tobytes())
    return path


def read_pgm(path: Path) -> tuple[int, Any]:
    """White and samples of a PGM."""
    kind, size, white, data = path.read_bytes().split(b"\n", 3)
    assert (kind, size) == (b"P5", b"%d %d" % (COLUMNS, ROWS))
    dtype = ">u2" if int(white) > 255 else "u1"
    return int(white), np.frombuffer(data, dtype).reshape(ROWS, COLUMNS).astype(int)


def load(path: Path) -> Any:
    return pyvips.Image.new_from_file(str(path)).numpy()


# White at a value of its own.


@pytest.mark.parametrize("white", [3, 15, 100, 1023, 4095])
def test_values_and_white_of_a_pgm_are_kept(program: Program, tmp_path: Path, white: int) -> None:
    ramp = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) * white // (ROWS * COLUMNS - 1)
    source = pgm(tmp_path / "a.pgm", ramp, white)
    most = white * 3 // 4
    for words, wanted in (
        (["gain:1"], ramp),
        ([f"offset:{most}"], np.minimum(ramp + most, white)),
        (["gain:-1", "--range", "offset"], np.minimum(np.rint((white + 1) / 2 - ramp), white)),
        ([f"clip:0,{most}", "--range", "scale"], np.rint(np.minimum(ramp, most) * white / most)),
    ):
        done = program.run("image", *words, source, "-o", "b.pgm", "--force", cwd=tmp_path)
        assert done.code == 0, done
        found = read_pgm(tmp_path / "b.pgm")
        assert found[0] == white
        np.testing.assert_array_equal(found[1], np.maximum(wanted, 0))
    assert open_image(source, options=ImageOptions()).details.bits == white.bit_length()


def test_linear_light_is_that_of_the_file(program: Program, tmp_path: Path) -> None:
    ramp = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) * 21
    source = pgm(tmp_path / "a.pgm", ramp, 1023)
    done = program.run("image", "gain:1", source, "--linear", "-o", "b.pgm", cwd=tmp_path)
    assert done.code == 0, done
    np.testing.assert_array_equal(read_pgm(tmp_path / "b.pgm")[1], ramp)


@pytest.mark.parametrize(("white", "full"), [(1023, 65535), (100, 255)])
def test_formats_with_a_white_of_their_own(
    program: Program, tmp_path: Path, white: int, full: int
) -> None:
    ramp = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) * 2
    source = pgm(tmp_path / "a.pgm", ramp, white)
    done = program.run("image", "offset:3", source, "-o", "b.png", cwd=tmp_path)
    wanted = np.rint((ramp + 3) * (full / white))
    assert f"white is {full} in png: samples of 0..{white} are scaled" in done.err
    np.testing.assert_array_equal(load(tmp_path / "b.png"), wanted)
    pam = program.run("image", "offset:3", source, "-o", "b.pam", cwd=tmp_path)
    assert "scaled" not in pam.err
    assert b"MAXVAL %d\n" % white in (tmp_path / "b.pam").read_bytes()


def test_a_pbm_holds_black_and_white(program: Program, tmp_path: Path) -> None:
    is_white = np.random.default_rng(3).integers(0, 2, (9, 13))
    bits = np.packbits(1 - is_white, axis=1).tobytes()
    (tmp_path / "a.pbm").write_bytes(b"P4\n13 9\n" + bits)
    same = program.run("image", "kernel:1", "a.pbm", "-o", "b.pbm", cwd=tmp_path)
    assert (same.code, same.warnings) == (0, [])
    assert (tmp_path / "b.pbm").read_bytes() == (tmp_path / "a.pbm").read_bytes()
    done = program.run("image", "box:3", "a.pbm", "-o", "c.pbm", cwd=tmp_path)
    grey = "warning: pbm holds black and white alone: each sample becomes the nearer of them"
    assert (done.code, done.warnings) == (0, [grey])
    median = program.run("image", "median:3", "a.pbm", "-o", "m.pbm", cwd=tmp_path)
    assert (median.code, median.warnings) == (0, [])
    padded = np.pad(is_white, 1, mode="edge")
    sums = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).sum(axis=(2, 3))
    wanted = np.packbits(sums < 5, axis=1).tobytes()
    assert (tmp_path / "c.pbm").read_bytes() == b"P4\n13 9\n" + wanted
    (tmp_path / "d.pgm").write_bytes(b"P5 3 2 255\n" + bytes([0, 100, 127, 128, 200, 255]))
    done = program.run("image", "kernel:1", "d.pgm", "-o", "d.pbm", cwd=tmp_path)
    assert "black and white alone" in done.err
    assert (tmp_path / "d.pbm").read_bytes() == b"P4\n3 2\n" + bytes([0b11100000, 0])


@pytest.mark.parametrize("suffix", ["pbm", "pgm"])
def test_a_pbm_or_pgm_holds_no_colours(program: Program, tmp_path: Path, suffix: str) -> None:
    (tmp_path / "a.ppm").write_bytes(b"P6 1 1 255\n123")
    refused = program.run("image", "box:3", "a.ppm", "-o", f"a.{suffix}", cwd=tmp_path)
    assert refused.code == 2
    assert "grey" in refused.err
    done = program.run("image", "grey | box:3", "a.ppm", "-o", f"a.{suffix}", cwd=tmp_path)
    assert done.code == 0


def test_parts_of_a_pgm_know_its_white(program: Program, tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 1024, (300, 400)).astype(">u2")
    (tmp_path / "a.pgm").write_bytes(b"P5 400 300 1023\n" + pixels.tobytes())
    words = ["image", "gain:2", "a.pgm", "-q", "-o"]
    assert program.run(*words, "w.pgm", "--parts", "1", cwd=tmp_path).code == 0
    assert program.run(*words, "p.pgm", "--parts", "2", "--jobs", "1", cwd=tmp_path).code == 0
    whole = (tmp_path / "w.pgm").read_bytes()
    assert whole == (tmp_path / "p.pgm").read_bytes()
    header = b"P5\n400 300\n1023\n"
    stored = np.frombuffer(whole.removeprefix(header), ">u2").reshape(pixels.shape)
    np.testing.assert_array_equal(stored, np.minimum(pixels.astype(int) * 2, 1023))


# Few bits.


def bits_file(path: Path, bits: int, **options: Any) -> Any:
    """A grey picture of few bits, as pixels of 0..255."""
    levels = np.random.default_rng(bits).integers(0, 1 << bits, (40, 50, 1))
    pixels = (levels * (255 // ((1 << bits) - 1))).astype(np.uint8)
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="b-w")
    image.write_to_file(str(path), bitdepth=bits, **options)
    return pixels[..., 0]


def bits_of(path: Path) -> int:
    return int(pyvips.Image.new_from_file(str(path)).get("bits-per-sample"))


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_few_bits_are_kept_where_they_hold_the_result(
    program: Program, tmp_path: Path, suffix: str, bits: int
) -> None:
    from scipy import ndimage

    pixels = bits_file(tmp_path / f"a.{suffix}", bits)
    median = ndimage.median_filter(pixels, 3, mode="nearest")
    for number, (text, wanted) in enumerate((("gain:1", pixels), ("median:3", median))):
        name = f"b{number}.{suffix}"
        done = program.run("image", text, f"a.{suffix}", "-o", name, cwd=tmp_path)
        assert done.code == 0, done
        assert not done.warnings
        np.testing.assert_array_equal(np.squeeze(load(tmp_path / name)), wanted)
        assert bits_of(tmp_path / name) == bits
    done = program.run("image", "box:3", f"a.{suffix}", "-o", f"c.{suffix}", cwd=tmp_path)
    assert f"{bits} bits a sample, the result needs more" in done.err
    assert bits_of(tmp_path / f"c.{suffix}") == 8


def test_a_fax_of_several_pages(program: Program, tmp_path: Path) -> None:
    """Pages of black and white stay a fax; if the last one has grey, all have 8 bits."""
    rng = np.random.default_rng(1)
    pixels = (rng.integers(0, 2, (60, 50, 1)) * 255).astype(np.uint8)
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="b-w")
    image.set_type(pyvips.GValue.gint_type, "page-height", 20)
    path = tmp_path / "a.tif"
    image.write_to_file(str(path), bitdepth=1, compression="ccittfax4", miniswhite=True)
    assert program.run("image", "gain:1", "a.tif", "-o", "b.tif", cwd=tmp_path).code == 0
    made = pyvips.Image.new_from_file(str(tmp_path / "b.tif"), n=-1)
    np.testing.assert_array_equal(np.squeeze(made.numpy()), pixels[..., 0])
    assert made.get("n-pages") == 3
    with (tmp_path / "b.tif").open("rb") as file:
        fields = read_directory(file)
    assert [fields[tag].value for tag in (258, 259, 262)] == [1, 4, 0]
    # Grey on the last page alone: the lower rows of a picture that is dark above.
    pixels[:] = 0
    pixels[50:, 20:] = 255
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="b-w")
    image.set_type(pyvips.GValue.gint_type, "page-height", 20)
    image.write_to_file(str(path), bitdepth=1, compression="ccittfax4")
    out = program.run("image", "box:3", "a.tif", "-o", "-", cwd=tmp_path)
    assert out.code == 0, out
    found = pyvips.Image.new_from_buffer(out.out, "", n=-1)
    assert found.get("bits-per-sample") == 8
    stored = np.squeeze(found.numpy())
    assert stored[:49].max() == 0
    assert stored[48:53, 30].tolist() == [0, 85, 170, 255, 255]


def test_colours_of_few_bits_are_not_grey(program: Program, tmp_path: Path) -> None:
    bits_file(tmp_path / "a.png", 1)
    done = program.run("image", "mix:1;1;0", "a.png", "-o", "b.png", cwd=tmp_path)
    assert done.code == 0, done
    assert load(tmp_path / "b.png").shape == (40, 50, 3)
