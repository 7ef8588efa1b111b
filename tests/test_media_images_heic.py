"""HEIC pictures, by pillow-heif, and AVIF."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pillow_heif
import pytest
import pyvips
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

# Orientation 6 and nothing else.
EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'


def heic(pixels: np.ndarray, **fields: bytes) -> bytes:
    mode = "RGB" if pixels.dtype == np.uint8 else "RGB;16"
    rows, columns, _ = pixels.shape
    file = pillow_heif.from_bytes(mode=mode, size=(columns, rows), data=pixels.tobytes())
    out = io.BytesIO()
    file.save(out, quality=95, **fields)
    return out.getvalue()


def gradient(largest: int, dtype: type) -> np.ndarray:
    ramp = np.linspace(0, largest, 64)
    return np.stack([np.tile(ramp, (48, 1))] * 3, axis=2).astype(dtype)


def test_pixels_and_depth(program: Program, tmp_path: Path) -> None:
    for largest, dtype in ((255, np.uint8), (65535, np.uint16)):
        pixels = gradient(largest, dtype)
        (tmp_path / "a.heic").write_bytes(heic(pixels))
        words = ["image", "kernel:1", "a.heic", "-o", "b.png", "--force", "-q"]
        assert program.run(*words, cwd=tmp_path).code == 0
        found = cv2.imread(str(tmp_path / "b.png"), -1)
        assert found is not None
        assert found.dtype == dtype
        assert np.abs(found.astype(int) - pixels).max() < 0.02 * largest


def test_a_turned_picture_is_upright_once(program: Program, tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(heic(gradient(255, np.uint8), exif=EXIF))
    expected = pillow_heif.open_heif(tmp_path / "a.heic").size
    words = ["image", "kernel:1", "a.heic", "-o", "b.png", "-q"]
    assert program.run(*words, cwd=tmp_path).code == 0
    image = pyvips.Image.new_from_file(str(tmp_path / "b.png"))
    assert (image.width, image.height) == expected
    assert image.get("orientation") == 1 if "orientation" in image.get_fields() else True


def test_what_belongs_to_a_picture(program: Program, tmp_path: Path) -> None:
    """XMP is kept; no resolution is made up; another picture in the file is told."""
    one, other = (Image.fromarray(gradient(level, np.uint8)) for level in (255, 100))
    file = pillow_heif.from_pillow(one)
    file.save(tmp_path / "one.heic", quality=95, xmp=XMP)
    file.add_from_pillow(other)
    file.save(tmp_path / "two.heif", quality=95, primary_index=1)
    ended = program.run("image", "kernel:1", "one.heic", "-o", "1.png", cwd=tmp_path)
    assert not ended.warnings
    with Image.open(tmp_path / "1.png") as made:
        assert made.info["XML:com.adobe.xmp"].encode() == XMP
        assert not {"dpi", "exif"} & made.info.keys()
    ended = program.run("image", "kernel:1", "two.heif", "-o", "2.png", cwd=tmp_path)
    assert "only the main picture of the HEIC is read: 1 other picture" in ended.warnings[0]
    with Image.open(tmp_path / "2.png") as made:
        assert np.abs(np.array(made).astype(int) - gradient(100, np.uint8)).max() < 5


def test_what_is_damaged(program: Program, tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(heic(gradient(255, np.uint8))[:300])
    ended = program.run("image", "box:3", "a.heic", "-o", "b.png", cwd=tmp_path)
    assert ended.code == 3, ended
    assert "cannot read the picture a.heic" in ended.errors[0]
    assert not (tmp_path / "b.png").exists()


# AVIF


def avif(path: Path, pixels: np.ndarray, **options: object) -> Path:
    meaning = "srgb" if pixels.dtype == np.uint8 else "rgb16"
    image = pyvips.Image.new_from_array(pixels).copy(interpretation=meaning)
    image.heifsave(str(path), compression="av1", **options)
    return path


def loaded(path: Path) -> np.ndarray:
    found: np.ndarray = pyvips.Image.new_from_file(str(path)).numpy()
    return found


def test_a_lossless_avif_stays_lossless(program: Program, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 24, 3), np.uint8)
    avif(tmp_path / "a.avif", pixels, lossless=True)
    assert program.run("image", "gain:1", "a.avif", "-o", "b.avif", cwd=tmp_path).code == 0
    assert np.array_equal(loaded(tmp_path / "b.avif"), pixels)
    words = ["image", "gain:1", "a.avif", "--quality", "50", "-o", "c.avif"]
    assert program.run(*words, cwd=tmp_path).code == 0
    assert not np.array_equal(loaded(tmp_path / "c.avif"), pixels)


@pytest.mark.parametrize("bits", [10, 12])
def test_an_avif_keeps_its_bits(program: Program, tmp_path: Path, bits: int) -> None:
    """libvips gives 16 bits, and cuts the lower ones off again without rounding."""
    step = 1 << (16 - bits)
    pixels = gradient(65535, np.uint16) // step * step
    avif(tmp_path / "a.avif", pixels, bitdepth=bits, lossless=True)
    assert np.array_equal(loaded(tmp_path / "a.avif"), pixels)
    words = ["image", f"offset:{0.6 * step}", "a.avif", "-o", "b.avif"]
    ended = program.run(*words, cwd=tmp_path)
    assert all("clipped" in told for told in ended.warnings), ended
    made = pyvips.Image.new_from_file(str(tmp_path / "b.avif"))
    assert made.get("heif-bitdepth") == bits
    wanted = np.minimum(pixels.astype(int) + step, 65536 - step)
    assert np.array_equal(made.numpy(), wanted)


def test_16_bits_become_12_in_an_avif(program: Program, tmp_path: Path) -> None:
    Image.fromarray(gradient(65535, np.uint16)[..., 0]).save(tmp_path / "a.png")
    ended = program.run("image", "gain:1", "a.png", "-o", "b.avif", cwd=tmp_path)
    (told,) = ended.warnings
    assert "avif holds 12 of the 16 bits" in told
    wanted = gradient(65535, float)[..., 0]
    assert np.abs(loaded(tmp_path / "b.avif")[..., 0] - wanted).max() < 700
