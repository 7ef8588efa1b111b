"""How many bits a sample has and which value is white: kept, or told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pyvips

from convcli.media.images.source import ImageOptions, open_image

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
