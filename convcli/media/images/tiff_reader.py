"""The pixels of TIFF files that are not compressed, read from where they stand, without libvips."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.errors import InputError
from convcli.media.images import tiff
from convcli.media.images.layout import Layout, Pixels, Strip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Tags and what they must say for the samples to be the pixels: (tag, allowed values, what holds where it is absent).
_PLAIN = (
    (tiff.COMPRESSION, (1,), 1),
    (262, (1, 2, 5), 1),  # photometric: black is 0, RGB, inks
    (266, (1,), 1),  # fill order
    (274, (1,), 1),  # orientation
    (284, (1,), 1),  # channels beside each other
    (332, (1,), 1),  # inks: CMYK
)
_KINDS = {"u": 1, "i": 2, "f": 3}
_PREMULTIPLIED = 1
_WIDTH, _LENGTH, _BITS, _OFFSETS, _CHANNELS, _STRIP_ROWS, _EXTRA, _KIND = (
    256,
    257,
    258,
    273,
    277,
    278,
    338,
    339,
)


@dataclass(frozen=True)
class _Run:
    """Rows that follow each other in the file, from byte `offset` on."""

    start: int
    stop: int
    offset: int


class PlainTiff:
    """The pages of an uncompressed TIFF; `strips` may be called any number of times."""

    def __init__(
        self, path: Path, name: str, pages: list[tuple[Layout, np.dtype[Any], list[_Run]]]
    ) -> None:
        self._path = path
        self._name = name
        self._pages = pages

    def strips(self, page: int) -> Iterator[Strip]:
        """The rows of a page from the first to the last. A file that was cut off meanwhile raises InputError."""
        layout, stored, runs = self._pages[page]
        with self._path.open("rb", buffering=0) as file:
            for start in range(0, layout.rows, layout.strip_rows):
                rows = min(layout.strip_rows, layout.rows - start)
                pixels = np.empty((rows, layout.columns, len(layout.channels)), stored)
                for run in runs:
                    first, last = max(start, run.start), min(start + rows, run.stop)
                    if first < last:
                        self._fill(file, pixels[first - start : last - start], run, first)
                yield Strip(start, pixels.astype(layout.dtype, copy=False))

    def _fill(self, file: Any, pixels: Pixels, run: _Run, row: int) -> None:
        place = run.offset + (row - run.start) * pixels[0].nbytes
        left = pixels.reshape(-1).view(np.uint8).data
        file.seek(place)
        while len(left):
            count = file.readinto(left)
            if not count:
                raise InputError(
                    f"cannot read the picture {self._name}: it ends before row {row + len(pixels)}"
                )
            left = left[count:]


def plain_tiff(path: Path, name: str, layouts: list[Layout]) -> PlainTiff | None:
    """A reader for a file of pages of these layouts, or None for what has to be decoded, or is not as it should be."""
    with path.open("rb") as file:
        order = tiff.byte_order(file)
        directories = list(islice(tiff.read_directories(file), len(layouts) + 1))
        size = os.fstat(file.fileno()).st_size
    if len(directories) < len(layouts):
        return None
    pages = []
    for fields, layout in zip(directories, layouts, strict=False):
        runs = _runs(fields, layout, size) if _is_plain(fields, layout) else None
        if runs is None:
            return None
        pages.append((layout, layout.dtype.newbyteorder(order), runs))
    return PlainTiff(path, name, pages)


def _is_plain(fields: dict[int, tiff.Entry], layout: Layout) -> bool:
    """Whether the samples stand in the file as libvips would hand them out."""

    def values(tag: int, absent: int) -> set[int]:
        return set(fields[tag].values) if tag in fields else {absent}

    return (
        all(values(tag, absent) <= set(allowed) for tag, allowed, absent in _PLAIN)
        and values(_WIDTH, 0) == {layout.columns}
        and values(_LENGTH, 0) == {layout.rows}
        and values(_CHANNELS, 1) == {len(layout.channels)}
        and values(_BITS, 1) == {8 * layout.dtype.itemsize}
        and values(_KIND, 1) == {_KINDS[layout.dtype.kind]}
        and _PREMULTIPLIED not in values(_EXTRA, 0)
    )


def _runs(fields: dict[int, tiff.Entry], layout: Layout, size: int) -> list[_Run] | None:
    """Where the rows stand in a file of so many bytes, or None if they are not all there."""
    offsets = fields[_OFFSETS].values if _OFFSETS in fields else ()
    rows = min(fields[_STRIP_ROWS].value if _STRIP_ROWS in fields else layout.rows, layout.rows)
    if rows < 1 or len(offsets) != -(-layout.rows // rows):
        return None
    row = layout.stored_bytes // layout.rows
    runs: list[_Run] = []
    for number, offset in enumerate(offsets):
        start, stop = number * rows, min((number + 1) * rows, layout.rows)
        if offset + (stop - start) * row > size:
            return None
        last = runs[-1] if runs else None
        if last and last.offset + (last.stop - last.start) * row == offset:
            runs[-1] = _Run(last.start, stop, last.offset)
        else:
            runs.append(_Run(start, stop, offset))
    return runs
