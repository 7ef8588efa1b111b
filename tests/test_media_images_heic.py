"""HEIC pictures, by pillow-heif."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pillow_heif
import pyvips

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

# Orientation 6 and nothing else.
EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


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


def test_what_is_damaged(program: Program, tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(heic(gradient(255, np.uint8))[:300])
    ended = program.run("image", "box:3", "a.heic", "-o", "b.png", cwd=tmp_path)
    assert ended.code == 3, ended
    assert "cannot read the picture a.heic" in ended.errors[0]
    assert not (tmp_path / "b.png").exists()
