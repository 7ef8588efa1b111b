"""Files that are cut off or damaged: no picture with holes is made of them."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from convcli.errors import InputError
from convcli.media.images.page_choice import parse_pages
from convcli.media.images.source import ImageOptions, open_image

if TYPE_CHECKING:
    from pathlib import Path

    from convcli.array_types import AnyArray

PIXELS = np.random.default_rng(4).integers(0, 256, (5, 90, 110), dtype=np.uint8)


def read(path: Path, pages: str | None = None) -> list[AnyArray]:
    """All pages of a picture."""
    chosen = None if pages is None else parse_pages(pages)
    image = open_image(path, options=ImageOptions(), pages=chosen)
    found = []
    for page in image.pages:
        strips = [np.asarray(strip.pixels) for strip in page.pieces()]
        found.append(np.concatenate(strips))
    return found


def tiff_bytes(pixels: AnyArray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, metadata=None, **options)
    return file.getvalue()


def first_page(data: bytes | bytearray) -> Any:
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        return file.pages[0]


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("tile", [None, (16, 32)])
def test_a_tiff_that_is_cut_off_anywhere(
    compression: str | None, tile: tuple[int, int] | None, tmp_path: Path
) -> None:
    data = tiff_bytes(PIXELS[0], compression=compression, tile=tile)
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    np.testing.assert_array_equal(read(path)[0][..., 0], PIXELS[0])
    for part in (0.1, 0.5, 0.8, 0.99):
        path.write_bytes(data[: int(part * len(data))])
        with pytest.raises(InputError):
            read(path)


def test_a_tile_that_does_not_decode(tmp_path: Path) -> None:
    data = bytearray(tiff_bytes(PIXELS[0], compression="zlib", tile=(32, 32)))
    start = first_page(data).dataoffsets[5]
    data[start : start + 40] = bytes(40)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(InputError, match="Decoding error"):
        read(tmp_path / "a.tif")


def test_wrong_sizes_of_strips_that_are_not_needed_stay_a_warning(tmp_path: Path) -> None:
    data = bytearray(tiff_bytes(PIXELS[0], rowsperstrip=90))
    place = first_page(data).tags["StripByteCounts"].valueoffset
    struct.pack_into("<I", data, place, 0)
    (tmp_path / "a.tif").write_bytes(data)
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0][..., 0], PIXELS[0])


def test_pages_behind_the_place_where_a_tiff_is_cut_off(tmp_path: Path) -> None:
    """A stack of ImageJ has its directories at the end, so that the first alone is found."""
    whole, path = tmp_path / "whole.tif", tmp_path / "a.tif"
    tifffile.imwrite(whole, PIXELS, imagej=True)
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cut off: it ends within page 2") as told:
        read(path)
    assert told.value.hint == "--pages 1 reads what is there"
    np.testing.assert_array_equal(read(path, "1")[0][..., 0], PIXELS[0])


def test_a_tiff_that_is_cut_off_within_a_directory(tmp_path: Path) -> None:
    data = tiff_bytes(PIXELS)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        last = file.pages[len(PIXELS) - 1].offset
    path = tmp_path / "a.tif"
    for end in (last, last + 1, last + 2, last + 30):
        path.write_bytes(data[:end])
        with pytest.raises(InputError, match=f"cut off: it ends within page {len(PIXELS)}"):
            read(path)
    first = np.stack(read(path, "1-4"))
    np.testing.assert_array_equal(first[..., 0], PIXELS[:4])


def test_a_gif_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    frames = [Image.fromarray(frame) for frame in PIXELS]
    file = io.BytesIO()
    frames[0].save(file, "gif", save_all=True, append_images=frames[1:], loop=0)
    data = file.getvalue()
    path.write_bytes(data)
    whole = read(path)
    for end in (len(data) // 2, len(data) - 3):
        path.write_bytes(data[:end])
        with pytest.raises(InputError, match="cut off"):
            read(path)
    # Without its last byte alone a file still has all its frames.
    path.write_bytes(data[:-1])
    np.testing.assert_array_equal(read(path), whole)
    path.write_bytes(data[: len(data) // 2])
    np.testing.assert_array_equal(read(path, "1-2"), whole[:2])
    frames[0].save(path)
    still = path.read_bytes()
    path.write_bytes(still[: len(still) // 2])
    with pytest.raises(InputError, match="cut off"):
        read(path)
