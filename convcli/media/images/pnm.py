"""The netpbm family (PBM, PGM, PPM, PAM, PFM), which libvips reads and writes only in some builds.

Formats after the netpbm manual: a header of words, then rows of samples, the high byte first. Samples of an odd
maximum are scaled to the full range of 8 or 16 bits; the ones of a PBM are black.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from convcli.errors import InputError
from convcli.media.images.details import ImageDetails
from convcli.media.images.layout import Layout, Pixels, Reader, Strip, name_channels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAGIC = re.compile(rb"P[1-7Ff]\s")
_WORD = re.compile(rb"(?:\s|#[^\n]*\n)*([^\s#]+)")
_PAM_LINE = re.compile(rb"[ \t]*(?:#[^\n]*|(\w+)[ \t]*([^\n]*?)[ \t\r]*)\n")
_KINDS = {b"1": 1, b"2": 1, b"3": 3, b"4": 1, b"5": 1, b"6": 3, b"F": 3, b"f": 1}
_HEADER = 4096


@dataclass(frozen=True)
class _Page:
    """A picture in the file: what its samples are and where they start and stop."""

    layout: Layout
    kind: bytes
    start: int
    stop: int
    full: float
    stored: np.dtype[Any]


class PnmPicture:
    """A picture of the netpbm family. data : the file's bytes, or the path of the file."""

    def __init__(self, data: bytes | Path, name: str, *, max_pixels: int) -> None:
        self._bytes = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else _mapped(data)
        self._name = name
        self._max_pixels = max_pixels
        self._pages = list(self._find_pages())
        self.layouts = [page.layout for page in self._pages]
        self.warnings: list[str] = []
        first = self._pages[0]
        self.details = ImageDetails(
            format="pam" if first.kind == b"7" else "pfm" if first.kind in b"Ff" else "ppm",
            loader="netpbm",
            pages=len(self._pages),
            bits=first.layout.dtype.itemsize * 8,
            interpretation=first.layout.interpretation,
        )

    def reader(self) -> Reader:
        """The picture itself: its samples lie open."""
        return self

    def _find_pages(self) -> Iterator[_Page]:
        """The pictures that follow each other; a plain (ASCII) one is the only one of its file."""
        place = 0
        while place == 0 or MAGIC.match(self._head(place)):
            page = self._read_header(place)
            if page.layout.pixels > self._max_pixels:
                raise too_many_pixels(
                    self._name, page.layout.columns, page.layout.rows, self._max_pixels
                )
            if page.stop > len(self._bytes):
                have, need = len(self._bytes) - page.start, page.stop - page.start
                raise InputError(
                    f"{self._name} is cut off: its header promises {need} bytes of pixels, it has {have}"
                )
            yield page
            place = page.stop

    def _head(self, place: int) -> bytes:
        return self._bytes[place : place + _HEADER].tobytes()

    def _read_header(self, place: int) -> _Page:
        head = self._head(place)
        kind = head[1:2]
        try:
            sides, full, length = _read_pam(head) if kind == b"7" else _read_words(head, kind)
        except (ValueError, KeyError, IndexError) as error:
            raise InputError(
                f"{self._name}: expected a P{kind.decode('latin-1')} header, could not read it"
            ) from error
        rows, columns, bands = sides
        if min(sides) < 1 or not 0 < full <= 65535:
            raise InputError(
                f"{self._name}: a picture of {columns}x{rows} pixels with a maximum of {full:g} is none"
            )
        floating = kind in b"Ff"
        if floating:
            dtype, stored = np.dtype(np.float32), np.dtype("<f4" if _little_endian(head) else ">f4")
        else:
            dtype, stored = np.dtype(f"u{1 + (full > 255)}"), np.dtype(f">u{1 + (full > 255)}")
        meaning = _meaning(bands, dtype)
        channels, alpha = name_channels(meaning, bands)
        layout = Layout(
            rows=rows,
            columns=columns,
            dtype=dtype,
            interpretation=meaning,
            channels=channels,
            alpha=alpha,
        )
        start = place + length
        size = (
            rows * ((columns + 7) // 8) if kind == b"4" else layout.pixels * bands * stored.itemsize
        )
        stop = len(self._bytes) if kind in b"123" else start + size
        return _Page(layout, kind, start, stop, full, stored)

    def strips(self, page: int) -> Iterator[Strip]:
        """The rows of a page from the first to the last."""
        found = self._pages[page]
        layout, step = found.layout, found.layout.strip_rows
        whole = self._plain(found) if found.kind in b"123" else None
        for start in range(0, layout.rows, step):
            stop = min(start + step, layout.rows)
            rows = self._rows(found, start, stop) if whole is None else whole[start:stop]
            yield Strip(start, _to_full(rows, found))

    def _rows(self, page: _Page, start: int, stop: int) -> Pixels:
        layout = page.layout
        data = self._bytes[page.start : page.stop]
        if page.kind == b"4":
            bits = data.reshape(layout.rows, -1)[start:stop]
            return 1 - np.unpackbits(bits, axis=1, count=layout.columns)[:, :, None]
        samples = data.view(page.stored).reshape(layout.rows, layout.columns, len(layout.channels))
        if page.kind in b"Ff":  # the last row stands first
            samples = samples[::-1]
        return samples[start:stop]

    def _plain(self, page: _Page) -> Pixels:
        """All samples of a picture written in digits."""
        layout = page.layout
        text = re.sub(rb"#[^\n]*", b"", self._bytes[page.start : page.stop].tobytes())
        if page.kind == b"1":  # the digits of a bitmap need no spaces between them
            text = b" ".join(text[k : k + 1] for k in range(len(text)) if text[k : k + 1].strip())
        count = layout.pixels * len(layout.channels)
        words = text.split(maxsplit=count)[:count]
        if len(words) < count:
            raise InputError(
                f"{self._name} is cut off: its header promises {count} samples, it has {len(words)}"
            )
        try:
            samples = np.array(words).astype(np.int64)
        except ValueError as error:
            raise InputError(
                f"{self._name}: expected whole numbers as samples ({error})"
            ) from error
        if samples.min() < 0 or samples.max() > page.full:
            raise InputError(
                f"{self._name}: expected samples of 0 to {page.full:g}, got {samples.max()}"
            )
        shaped = samples.reshape(layout.rows, layout.columns, -1)
        return 1 - shaped if page.kind == b"1" else shaped


def too_many_pixels(name: str, columns: int, rows: int, limit: int) -> InputError:
    """The error for a picture that is larger than was allowed."""
    return InputError(
        f"{name} has {columns * rows} pixels ({columns}x{rows}), more than the {limit} that are allowed",
        hint=f"if it is no bomb, give --max-pixels {columns * rows}",
    )


def _mapped(path: Path) -> Pixels:
    return np.memmap(path, np.uint8, mode="r")


def _meaning(bands: int, dtype: np.dtype[Any]) -> str:
    if bands > 4:
        return "multiband"
    if dtype.kind == "f":
        return "b-w" if bands < 3 else "scrgb"
    wide = dtype.itemsize == 2
    if bands < 3:
        return "grey16" if wide else "b-w"
    return "rgb16" if wide else "srgb"


def _read_words(head: bytes, kind: bytes) -> tuple[tuple[int, int, int], float, int]:
    """(rows, columns, bands), the maximum and the header's length, of every kind but PAM."""
    place, words = 2, []
    for _ in range(2 if kind in b"14" else 3):
        match = _WORD.match(head, place)
        if match is None:
            raise ValueError(head)
        words.append(match[1])
        place = match.end()
    full = 1.0 if kind in b"14Ff" else float(int(words[2]))
    # One white-space byte ends the header.
    return (int(words[1]), int(words[0]), _KINDS[kind]), full, place + 1


def _little_endian(head: bytes) -> bool:
    """Whether the third word of a PFM, its scale, is negative."""
    return head.split(maxsplit=4)[3].startswith(b"-")


def _read_pam(head: bytes) -> tuple[tuple[int, int, int], float, int]:
    fields, place = {}, head.index(b"\n") + 1
    while not head.startswith(b"ENDHDR\n", place):
        match = _PAM_LINE.match(head, place)
        if match is None:
            raise ValueError(head)
        if match[1]:
            fields[match[1]] = match[2]
        place = match.end()
    sides = int(fields[b"HEIGHT"]), int(fields[b"WIDTH"]), int(fields[b"DEPTH"])
    return sides, float(int(fields[b"MAXVAL"])), place + len(b"ENDHDR\n")


def _to_full(samples: Pixels, page: _Page) -> Pixels:
    """The samples in the range of their type, in the byte order of the machine."""
    dtype = page.layout.dtype
    if dtype.kind == "f" or page.full == np.iinfo(dtype).max:
        return np.ascontiguousarray(samples, dtype=dtype)
    scaled = samples.astype(np.float64) * (np.iinfo(dtype).max / page.full)
    return np.rint(np.minimum(scaled, np.iinfo(dtype).max)).astype(dtype)


class PnmWriter:
    """Writes pictures one after the other to a stream as their strips come."""

    def __init__(self, file: BinaryIO, *, container: str) -> None:
        self._file = file
        self._container = container

    def start(self, layout: Layout) -> None:
        """Write the header of a picture."""
        full, bands = np.iinfo(layout.dtype).max, len(layout.channels)
        size = (layout.columns, layout.rows)
        if self._container == "pam":
            words = {1: "GRAYSCALE", 2: "GRAYSCALE_ALPHA", 3: "RGB", 4: "RGB_ALPHA"}[bands]
            head = "P7\nWIDTH {}\nHEIGHT {}\nDEPTH {}\nMAXVAL {}\nTUPLTYPE {}\nENDHDR\n"
            self._file.write(head.format(*size, bands, full, words).encode())
        else:
            self._file.write("P{}\n{} {}\n{}\n".format({1: 5, 3: 6}[bands], *size, full).encode())

    def append(self, data: bytes) -> None:
        """Write a strip that `pack_pnm` made."""
        self._file.write(data)


def pack_pnm(pixels: Pixels) -> bytes:
    """The samples as they stand in the file."""
    return pixels.astype(pixels.dtype.newbyteorder(">"), copy=False).tobytes()
