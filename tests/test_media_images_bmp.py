"""BMP pictures, by OpenCV."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

COLOURS = np.random.default_rng(1).integers(0, 256, (37, 53, 3), np.uint8)


@pytest.mark.parametrize("pixels", [COLOURS, COLOURS[:, :, 0]], ids=["colours", "grey"])
def test_pixels_are_those_of_the_file(pixels: np.ndarray, program: Program, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.bmp"), pixels)
    data = (tmp_path / "a.bmp").read_bytes()
    words = ["image", "kernel:1", "-q", "-o"]
    assert program.run(*words, "b.png", "a.bmp", cwd=tmp_path).code == 0
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "b.png"), -1), pixels)
    assert program.run(*words, "c.png", stdin=data, cwd=tmp_path).code == 0
    assert (tmp_path / "c.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_what_is_damaged_or_too_large(program: Program, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.bmp"), COLOURS)
    data = (tmp_path / "a.bmp").read_bytes()
    huge = data[:18] + struct.pack("<ii", 60_000, -60_000) + data[26:]
    for content, words in (
        (data[:20], "cannot read the picture"),
        (data[:18] + bytes(8) + data[26:], "cannot read the picture"),
        (data[:2000], "cannot read the picture"),  # OpenCV would print why
        (data[:30] + b"\x63" + data[31:], "cannot read the picture"),
        (huge, "pixels"),
    ):
        (tmp_path / "bad.bmp").write_bytes(content)
        ended = program.run("image", "box:3", "bad.bmp", "-o", "o.png", cwd=tmp_path)
        assert ended.code == 3, ended
        assert words in ended.errors[0]
        assert "bad.bmp" in ended.errors[0]
        assert ended.err.startswith("error: ")
