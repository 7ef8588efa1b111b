"""Stacks of ImageJ and OME: what a file says of all its pages holds for its copy."""

from __future__ import annotations

import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from program import Program

RNG = np.random.default_rng(5)
HYPERSTACK = RNG.integers(0, 65536, (2, 3, 2, 21, 33), dtype=np.uint16)
ODD_BYTES = RNG.integers(0, 256, (5, 21, 33), dtype=np.uint8)


def told(program: Program, folder: Path, text: str, *words: str, name: str = "a.tif") -> str:
    """What a command prints that writes b.tif."""
    ended = program.run("image", text, name, "-o", "b.tif", "--force", *words, cwd=folder)
    assert ended.code == 0, ended
    return str(ended)


@contextmanager
def copied(
    program: Program, folder: Path, text: str, *words: str, name: str = "a.tif"
) -> Iterator[Any]:
    """The output of a command, opened by tifffile."""
    told(program, folder, text, *words, name=name)
    with tifffile.TiffFile(folder / "b.tif") as file:
        yield file


@pytest.mark.parametrize("pixels", [HYPERSTACK, ODD_BYTES], ids=["hyperstack", "odd"])
def test_a_stack_of_imagej_stays_one(pixels: Any, program: Program, tmp_path: Path) -> None:
    """ImageJ reads the images from where the first one begins, and no directory but the first."""
    axes = {"axes": "TZCYX"} if pixels.ndim == 5 else {}
    tifffile.imwrite(tmp_path / "a.tif", pixels, imagej=True, metadata={"unit": "um", **axes})
    with copied(program, tmp_path, "stride:2") as file:
        assert file.imagej_metadata["unit"] == "um"
        np.testing.assert_array_equal(file.asarray(), pixels[..., ::2, ::2])
        first, images = file.pages[0].dataoffsets[0], file.imagej_metadata["images"]
        alone = [page.asarray() for page in file.pages]
        assert len(alone) == images
    data = (tmp_path / "b.tif").read_bytes()
    joined = np.frombuffer(data, pixels.dtype, np.stack(alone).size, first)
    np.testing.assert_array_equal(joined, np.ravel(alone))


@pytest.mark.parametrize(
    ("unit", "text", "said"),
    [("um", "stride:2", True), ("um", "box:3", False), ("pixel", "stride:2", False)],
)
def test_a_resolution_by_which_imagej_measures(
    program: Program, tmp_path: Path, unit: str, text: str, *, said: bool
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", ODD_BYTES, imagej=True, resolution=(10, 10), metadata={"unit": unit}
    )
    words = told(program, tmp_path, text)
    assert ("by which ImageJ measures" in words) == said


def test_some_images_of_a_stack_are_no_hyperstack(program: Program, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", HYPERSTACK, imagej=True, metadata={"axes": "TZCYX"})
    with copied(program, tmp_path, "gain:1", "--pages", "1-4") as file:
        np.testing.assert_array_equal(file.asarray(), HYPERSTACK.reshape(12, 21, 33)[:4])
        assert "images" not in file.imagej_metadata


def test_a_packed_stack_does_not_promise_images_in_a_row(program: Program, tmp_path: Path) -> None:
    description = "ImageJ=1.53t\nimages=5\nslices=5\nunit=um\n"
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for number, page in enumerate(ODD_BYTES):
            text = description if number == 0 else None
            file.write(page, compression="zlib", description=text, metadata=None)
    with copied(program, tmp_path, "gain:1") as made:
        assert made.pages[0].description == description.replace("images=5\n", "").rstrip()
        np.testing.assert_array_equal(made.asarray(), ODD_BYTES)


def test_images_of_a_stack_that_has_one_directory_are_missed(
    program: Program, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ODD_BYTES, imagej=True)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        order, place = file.byteorder, file.pages[0].offset
    (count,) = struct.unpack_from(order + "H", data, place)
    struct.pack_into(order + "I", data, place + 2 + 12 * count, 0)
    path.write_bytes(data)
    assert "promises 4 further images" in told(program, tmp_path, "gain:1")
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert "images" not in (file.imagej_metadata or {})
        np.testing.assert_array_equal(file.asarray(), ODD_BYTES[0])


def test_a_description_like_that_of_tifffile_that_is_no_json(
    program: Program, tmp_path: Path
) -> None:
    for text in ('{"shape": [5, 7', '{"shape": [' + "[" * 100_000):
        tifffile.imwrite(tmp_path / "a.tif", ODD_BYTES[0], description=text, metadata=None)
        with copied(program, tmp_path, "stride:2") as file:
            assert file.pages[0].description == text


def test_the_xml_of_ome_is_kept_where_it_holds(program: Program, tmp_path: Path) -> None:
    name = "a.ome.tif"
    axes = {"axes": "ZYX", "PhysicalSizeX": 0.2, "Detector": {"Type": "CCD"}}
    tifffile.imwrite(tmp_path / name, ODD_BYTES, metadata=axes)
    with copied(program, tmp_path, "gain:1", name=name) as file:
        assert file.is_ome
        assert "PhysicalSizeX" in file.ome_metadata
        np.testing.assert_array_equal(file.asarray(), ODD_BYTES)
    for words in (("stride:2",), ("gain:1", "--pages", "1-2")):
        assert "XML of OME" in told(program, tmp_path, *words, name=name)
        with tifffile.TiffFile(tmp_path / "b.tif") as file:
            assert not file.is_ome


@pytest.mark.parametrize("notes", [{}, {"dose": 3}])
def test_the_shape_that_tifffile_notes(
    notes: dict[str, Any], program: Program, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", ODD_BYTES, photometric="minisblack", metadata=notes)
    expected = {
        ("gain:1",): ODD_BYTES,
        ("gain:1", "--pages", "1-2"): ODD_BYTES[:2],
        ("stride:2",): ODD_BYTES[:, ::2, ::2],
        ("mix:1;1;1",): np.stack([ODD_BYTES] * 3, axis=-1),
    }
    for words, pixels in expected.items():
        with copied(program, tmp_path, *words) as file:
            np.testing.assert_array_equal(file.asarray(), pixels)
            described = file.pages[0].description
            assert ("dose" in described) == bool(notes)
            assert ("shape" in described) == (words == ("gain:1",))


@pytest.mark.parametrize(
    "stored",
    [
        {"photometric": "rgb", "planarconfig": "separate"},
        {"photometric": "palette", "colormap": np.arange(768, dtype=np.uint16).reshape(3, 256)},
    ],
)
def test_the_shape_that_tifffile_notes_is_that_of_the_pixels(
    stored: dict[str, Any], program: Program, tmp_path: Path
) -> None:
    pixels = ODD_BYTES[:3]
    if stored["photometric"] == "palette":
        pixels = pixels[0]
    tifffile.imwrite(tmp_path / "a.tif", pixels, **stored)
    with copied(program, tmp_path, "gain:1") as file:
        assert "shape" not in file.pages[0].description
        assert file.asarray().shape == (*pixels.shape[-2:], 3)
