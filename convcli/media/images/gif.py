"""GIF: its comments, which libvips neither reads nor writes, and where it is transparent.

Layout after GIF89a, sections 18 to 27.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, BinaryIO

from convcli.media.images.details import with_comments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.media.images.details import ImageDetails
    from convcli.media.images.picture_format import WriteRequest

_HEADER_BYTES, _IMAGE_BYTES = 13, 9
_EXTENSION, _IMAGE, _TRAILER, _COMMENT = b"!", b",", b";", b"\xfe"
_HAS_COLOURS, _COLOUR_BITS = 0x80, 0x07
_CONTROL = b"\xf9"
_IS_TRANSPARENT = 0x01
# What becomes of a frame after it was shown.
_REMOVED, _REPLACED_BY_LAST = 2, 3
_LARGEST_BLOCK = 255
_LONGEST_COMMENT = 1 << 20


def inspect_gif(file: BinaryIO, details: ImageDetails) -> ImageDetails:
    """The details with the comments."""
    return with_comments(details, read_gif_comments(file))


def read_gif_comments(file: BinaryIO) -> tuple[bytes, ...]:
    """The comments of a GIF, up to where it can be read."""
    header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        return ()
    _skip_colours(file, header[10])
    comments = []
    while (kind := file.read(1)) in (_EXTENSION, _IMAGE):
        if kind == _IMAGE:
            image = file.read(_IMAGE_BYTES)
            if len(image) < _IMAGE_BYTES:
                break
            _skip_colours(file, image[8])
            file.seek(1, os.SEEK_CUR)
            _read_blocks(file, keep=False)
        else:
            is_comment = file.read(1) == _COMMENT
            text = _read_blocks(file, keep=is_comment)
            if is_comment and text:
                comments.append(text)
    return tuple(comments)


def first_cut_frame(file: BinaryIO, _pages: int) -> int | None:
    """The frame, from 0, in which the file ends; None if every frame that it begins is whole."""
    header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        return 0
    _skip_colours(file, header[10])
    frame = 0
    while (kind := file.read(1)) in (_EXTENSION, _IMAGE):
        if kind == _EXTENSION:
            file.seek(1, os.SEEK_CUR)
        else:
            image = file.read(_IMAGE_BYTES)
            if len(image) < _IMAGE_BYTES:
                return frame
            _skip_colours(file, image[8])
            file.seek(1, os.SEEK_CUR)
        if not _skip_blocks(file):
            return frame
        frame += kind == _IMAGE
    return None


def _skip_blocks(file: BinaryIO) -> bool:
    """Go behind the blocks that follow; whether they end before the file does."""
    while (size := file.read(1)) not in (b"", b"\0"):
        file.seek(size[0], os.SEEK_CUR)
    return size == b"\0"


def _skip_colours(file: BinaryIO, flags: int) -> None:
    if flags & _HAS_COLOURS:
        bits = (flags & _COLOUR_BITS) + 1
        file.seek(3 << bits, os.SEEK_CUR)


def _read_blocks(file: BinaryIO, *, keep: bool) -> bytes:
    """The data of the blocks that follow, if they are kept; they end with an empty one."""
    data = b""
    while (size := file.read(1)) not in (b"", b"\0"):
        if keep and len(data) < _LONGEST_COMMENT:
            data += file.read(size[0])
        else:
            file.seek(size[0], os.SEEK_CUR)
    return data


def is_opaque_gif(file: BinaryIO) -> bool:
    """Whether no pixel of an animation is transparent; libvips gives each an opacity.

    The first frame must cover the picture, without a transparent colour. Later ones may leave out
    what has not changed, unless the frame before them is removed.
    """
    is_empty = True
    for covers, disposal in _gif_frames(file):
        if is_empty and not covers:
            return False
        is_empty = disposal == _REMOVED or (disposal == _REPLACED_BY_LAST and is_empty)
    return True


def _gif_frames(file: BinaryIO) -> Iterator[tuple[bool, int]]:
    """Whether each frame covers the whole picture, and what becomes of it."""
    header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        return
    _skip_colours(file, header[10])
    whole = (0, 0, *struct.unpack_from("<HH", header, 6))
    flags = 0
    while (kind := file.read(1)) in (_EXTENSION, _IMAGE):
        if kind == _EXTENSION:
            is_control = file.read(1) == _CONTROL
            block = _read_blocks(file, keep=is_control)
            flags = block[0] if block else flags
            continue
        image = file.read(_IMAGE_BYTES)
        if len(image) < _IMAGE_BYTES:
            return
        covers = struct.unpack_from("<HHHH", image) == whole and not flags & _IS_TRANSPARENT
        yield covers, flags >> 2 & 7
        flags = 0
        _skip_colours(file, image[8])
        file.seek(1, os.SEEK_CUR)
        _read_blocks(file, keep=False)


def complete_gif(file: BinaryIO, request: WriteRequest) -> None:
    """Repair a GIF that libvips has written.

    The comments of the input are put before its end. libvips marks one colour as transparent in
    every frame; without an opacity the mark is removed from the first one. Later frames have
    transparent pixels where nothing has changed.
    """
    comments = b"".join(map(_comment_extension, request.details.comments))
    end = file.seek(0, os.SEEK_END)
    if not end:
        return
    if comments:
        file.seek(end - 1)
        if file.read(1) == _TRAILER:
            file.seek(end - 1)
            file.write(comments + _TRAILER)
    if request.layouts[0].alpha is None:
        _make_opaque(file)


def _make_opaque(file: BinaryIO) -> None:
    """Remove the mark of a transparent colour from the first picture of a GIF."""
    file.seek(0)
    header = file.read(_HEADER_BYTES)
    _skip_colours(file, header[10])
    while file.read(1) == _EXTENSION:
        is_control = file.read(1) == _CONTROL
        place = file.tell() + 1
        block = _read_blocks(file, keep=is_control)
        if block:
            flags = block[0] & ~_IS_TRANSPARENT
            file.seek(place)
            file.write(bytes([flags]))
            return


def _comment_extension(text: bytes) -> bytes:
    starts = range(0, len(text), _LARGEST_BLOCK)
    parts = [text[start : start + _LARGEST_BLOCK] for start in starts]
    with_sizes = [bytes([len(part)]) + part for part in parts]
    blocks = b"".join(with_sizes)
    return _EXTENSION + _COMMENT + blocks + b"\0"
