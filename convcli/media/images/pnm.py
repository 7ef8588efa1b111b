"""The netpbm family (PBM, PGM, PPM, PAM, PFM), which libvips reads and writes only in some builds.

Formats after the netpbm manual: a header of words, then rows of samples, the high byte first. The
header says which value is white. The ones of a PBM are black; its samples are read as 0 and 255.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError
from convcli.media.images.details import ImageDetails
from convcli.media.images.layout import (
    Layout,
    PictureReader,
    Pixels,
    Strip,
    name_channels,
    plain_interpretation,
    stored_bytes,
    too_many_pixels,
)
from convcli.media.images.plain_writer import PlainWriter
from convcli.media.images.vips import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convcli.media.images.page_choice import PageChoice


MAGIC = re.compile(rb"P[1-7Ff]\s")
_WORD = re.compile(rb"(?:\s|#[^\n]*\n)*([^\s#]+)")
_COMMENT = re.compile(rb"#[^\n]*")
_PAM_LINE = re.compile(rb"[ \t]*(?:#[^\n]*|(\w+)[ \t]*([^\n]*?)[ \t\r]*)\n")
_PAM_END = b"ENDHDR\n"
_HEADER_BYTES = 4096
_WHOLE = re.compile(rb"[0-9]{1,18}")
_SCALE = re.compile(rb"[+-]?([0-9]{1,18}\.?[0-9]{0,18}|\.[0-9]{1,18})([eE][+-]?[0-9]{1,3})?")

# Kinds of pictures, by the second byte of the file.
_PLAIN_BITMAP, _BITMAP, _PAM = b"1", b"4", b"7"
_BITMAPS = (_PLAIN_BITMAP, _BITMAP)
_PLAIN = (b"1", b"2", b"3")
_FLOATING = (b"F", b"f")
# Tuple types of a PAM.
_INKS, _INK_BANDS, _OPACITY = "CMYK", 4, "_ALPHA"
_BANDS = {b"1": 1, b"2": 1, b"3": 3, b"4": 1, b"5": 1, b"6": 3, b"F": 3, b"f": 1}


@dataclass(frozen=True)
class _Header:
    """The header of a picture.

    maximum : of its samples; length : bytes of the header; order : of floating samples
    tuples : what the bands of a PAM are, empty if it does not say so
    """

    kind: bytes
    rows: int
    columns: int
    bands: int
    maximum: float
    length: int
    order: Literal["<", ">"] = ">"
    tuples: str = ""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the samples as they are handed out."""
        if self.kind in _FLOATING:
            return np.dtype(np.float32)
        return np.dtype(np.uint16 if self.maximum > 255 else np.uint8)

    @property
    def white(self) -> int | None:
        """The value of white, if it is not the largest of the type."""
        if self.kind in _BITMAPS or self.kind in _FLOATING:
            return None
        white = int(self.maximum)
        return None if white == np.iinfo(self.dtype).max else white

    @property
    def interpretation(self) -> str:
        """The meaning of the samples, by the name in libvips."""
        if self.tuples.startswith(_INKS) and self.bands >= _INK_BANDS:
            return "cmyk"
        if self.bands <= 4:
            return plain_interpretation(self.dtype, is_grey=self.bands < 3)
        return "multiband"

    @property
    def extra_bands(self) -> tuple[bool, ...] | None:
        """Whether each band after the colours is an opacity; None if the header does not say it."""
        if not self.tuples or self.tuples.endswith(_OPACITY):
            return None
        colours = {"cmyk": 4, "multiband": 0}.get(self.interpretation, 1 if self.bands < 3 else 3)
        return (False,) * (self.bands - colours)

    @property
    def bits(self) -> int:
        """How many bits the largest sample needs."""
        if self.kind in _FLOATING:
            return 8 * self.dtype.itemsize
        return int(self.maximum).bit_length()


@dataclass(frozen=True)
class _PnmPage:
    """A picture in the file, whose samples are the bytes `start` to `stop`."""

    layout: Layout
    header: _Header
    start: int
    stop: int


class PnmPicture:
    """A picture of the netpbm family.

    data : the file's bytes, or the path of the file
    pages : which pictures of the file are read; None for all
    """

    def __init__(
        self, data: bytes | Path, name: str, *, pages: PageChoice | None = None, max_pixels: int
    ) -> None:
        if isinstance(data, bytes):
            self._bytes = np.frombuffer(data, np.uint8)
        else:
            self._bytes = np.memmap(data, np.uint8, mode="r")
        self._name = name
        self._max_pixels = max_pixels
        found = list(self._find_pages())
        indices = list(range(len(found)))
        if pages is not None:
            indices = pages.indices(len(found), name)
        self._pages = [found[index] for index in indices]
        self.layouts = [page.layout for page in self._pages]
        self.warnings: list[str] = []
        first = self._pages[0]
        self.details = ImageDetails(
            format=_netpbm_name(first.header.kind),
            loader="netpbm",
            pages=len(found),
            page_indices=tuple(indices),
            bits=first.header.bits,
            interpretation=first.layout.interpretation,
        )

    def reader(self) -> PictureReader:
        """The picture itself, which can be read any number of times."""
        return self

    def _find_pages(self) -> Iterator[_PnmPage]:
        """The pictures that follow each other; a plain (ASCII) one is the only one of its file."""
        place = 0
        while place == 0 or MAGIC.match(self._head(place)):
            page = self._read_page(place)
            layout = page.layout
            if layout.pixels > self._max_pixels:
                raise too_many_pixels(self._name, layout.columns, layout.rows, self._max_pixels)
            if page.stop > len(self._bytes):
                have, need = len(self._bytes) - page.start, page.stop - page.start
                raise InputError(
                    f"{self._name} is cut off: "
                    f"its header promises {need} bytes of pixels, it has {have}"
                )
            yield page
            place = page.stop

    def _head(self, place: int) -> bytes:
        return self._bytes[place : place + _HEADER_BYTES].tobytes()

    def _read_page(self, place: int) -> _PnmPage:
        header = self._read_header(place)
        meaning = header.interpretation
        channels, alpha = name_channels(meaning, header.bands, header.extra_bands)
        layout = Layout(
            rows=header.rows,
            columns=header.columns,
            dtype=header.dtype,
            interpretation=meaning,
            channels=channels,
            alpha=alpha,
            white=header.white,
        )
        start = place + header.length
        if header.kind in _PLAIN:
            stop = len(self._bytes)
        elif header.kind == _BITMAP:
            row_bytes = (header.columns + 7) // 8
            stop = start + header.rows * row_bytes
        else:
            stop = start + layout.stored_bytes
        return _PnmPage(layout, header, start, stop)

    def _read_header(self, place: int) -> _Header:
        head = self._head(place)
        kind = head[1:2]
        try:
            header = _parse_pam(head) if kind == _PAM else _parse_words(head, kind)
        except (ValueError, KeyError, IndexError) as error:
            raise InputError(
                f"{self._name}: expected a P{kind.decode('latin-1')} header, could not read it"
            ) from error
        sides = (header.rows, header.columns, header.bands)
        if min(sides) < 1 or not 0 < header.maximum <= 65535:
            raise InputError(
                f"{self._name}: expected a picture of 1x1 pixels or more whose maximum is at most "
                f"65535, got {header.columns}x{header.rows} and {header.maximum:g}"
            )
        return header

    def strips(self, page: int) -> Iterator[Strip]:
        """Yield the strips of a page from the first row to the last."""
        return self.strips_from(page, 0)

    def seekable(self, page: int) -> bool:
        """Whether the strips of a page can be read from any strip on: not if samples are digits."""
        return self._pages[page].header.kind not in _PLAIN

    def strips_from(self, page: int, row: int) -> Iterator[Strip]:
        """Yield the strips of a page, beginning with the strip that begins at `row`."""
        found = self._pages[page]
        layout = found.layout
        whole: Pixels | None = None
        if found.header.kind in _PLAIN:
            whole = self._parse_plain(found)
        for start in range(row, layout.rows, layout.strip_rows):
            stop = min(start + layout.strip_rows, layout.rows)
            rows = self._rows(found, start, stop) if whole is None else whole[start:stop]
            yield Strip(start, _in_machine_order(rows, found.header))

    def _rows(self, page: _PnmPage, start: int, stop: int) -> Pixels:
        layout, header = page.layout, page.header
        data = self._bytes[page.start : page.stop]
        if header.kind == _BITMAP:
            packed = data.reshape(layout.rows, -1)[start:stop]
            bits = np.unpackbits(packed, axis=1, count=layout.columns)
            return 1 - bits[:, :, None]
        stored = header.dtype.newbyteorder(header.order)
        samples = data.view(stored).reshape(layout.rows, layout.columns, -1)
        if header.kind in _FLOATING:  # the last row comes first
            samples = samples[::-1]
        return samples[start:stop]

    def _parse_plain(self, page: _PnmPage) -> Pixels:
        """All samples of a picture written in digits."""
        layout, header = page.layout, page.header
        text = _COMMENT.sub(b"", self._bytes[page.start : page.stop].tobytes())
        if header.kind == _PLAIN_BITMAP:  # its digits need no spaces between them
            digits = b"".join(text.split())
            single = [digits[k : k + 1] for k in range(len(digits))]
            text = b" ".join(single)
        count = layout.pixels * len(layout.channels)
        words = text.split(maxsplit=count)[:count]
        if len(words) < count:
            raise InputError(
                f"{self._name} is cut off: its header promises {count} samples, it has {len(words)}"
            )
        try:
            samples = np.array(words).astype(np.int64)
        except (ValueError, OverflowError) as error:
            cause = one_line(str(error))
            raise InputError(
                f"{self._name}: expected whole numbers as samples ({cause})"
            ) from error
        if samples.min() < 0 or samples.max() > header.maximum:
            raise InputError(
                f"{self._name}: expected samples of 0 to {header.maximum:g}, got {samples.max()}"
            )
        shaped = samples.reshape(layout.rows, layout.columns, -1)
        return 1 - shaped if header.kind == _PLAIN_BITMAP else shaped


def _netpbm_name(kind: bytes) -> str:
    if kind == _PAM:
        return "pam"
    return "pfm" if kind in _FLOATING else "ppm"


def _parse_words(head: bytes, kind: bytes) -> _Header:
    """The header of every kind but PAM: columns, rows and the maximum or scale."""
    is_bitmap = kind in _BITMAPS
    count = 2 if is_bitmap else 3
    place, words = 2, []
    for _ in range(count):
        match = _WORD.match(head, place)
        if match is None:
            raise ValueError(head)
        words.append(match[1])
        place = match.end()
    maximum = 1.0
    order: Literal["<", ">"] = ">"
    if kind in _FLOATING:
        _check_scale(words[2])
        if words[2].startswith(b"-"):
            order = "<"
    elif not is_bitmap:
        maximum = float(_header_number(words[2]))
    # One white-space byte ends the header.
    columns, rows = _header_number(words[0]), _header_number(words[1])
    return _Header(kind, rows, columns, _BANDS[kind], maximum, place + 1, order)


def _header_number(word: bytes) -> int:
    """A whole number of a header. ValueError for one that no picture has."""
    if not _WHOLE.fullmatch(word):
        raise ValueError(word)
    return int(word)


def _check_scale(word: bytes) -> None:
    """Raise ValueError for the scale of a PFM that is no number, is 0 or is beyond float64."""
    if not _SCALE.fullmatch(word) or float(word) == 0 or math.isinf(float(word)):
        raise ValueError(word)


def _parse_pam(head: bytes) -> _Header:
    fields, place = {}, head.index(b"\n") + 1
    while not head.startswith(_PAM_END, place):
        match = _PAM_LINE.match(head, place)
        if match is None:
            raise ValueError(head)
        if match[1]:
            fields[match[1]] = match[2]
        place = match.end()
    rows, columns, bands, maximum = (
        _header_number(fields[name]) for name in (b"HEIGHT", b"WIDTH", b"DEPTH", b"MAXVAL")
    )
    tuples = fields.get(b"TUPLTYPE", b"").decode("ascii", "replace").strip().upper()
    length = place + len(_PAM_END)
    return _Header(_PAM, rows, columns, bands, float(maximum), length, tuples=tuples)


def _in_machine_order(samples: Pixels, header: _Header) -> Pixels:
    """The samples in the byte order of the machine; those above white, which are wrong, as white.

    The samples of a bitmap become 0 and 255.
    """
    dtype = header.dtype
    if header.kind in _BITMAPS:
        return np.where(samples, np.uint8(255), np.uint8(0))
    if header.white is not None:
        samples = np.minimum(samples, header.white)
    return np.ascontiguousarray(samples, dtype=dtype)


def _largest_sample(layout: Layout) -> int:
    """The value of white, as the header gives it."""
    return int(np.iinfo(layout.dtype).max) if layout.white is None else layout.white


class PpmWriter(PlainWriter):
    """Writes PGM (P5) and PPM (P6)."""

    def _header(self, layout: Layout) -> bytes:
        kind = "P5" if len(layout.channels) == 1 else "P6"
        return f"{kind}\n{layout.columns} {layout.rows}\n{_largest_sample(layout)}\n".encode()


class PbmWriter(PlainWriter):
    """Writes PBM (P4): a bit for each pixel, 1 for black."""

    def pack(self, pixels: Pixels) -> memoryview:
        """The bits of the rows, each row filled up to whole bytes."""
        is_black = pixels[:, :, 0] == 0
        return stored_bytes(np.packbits(is_black, axis=1), self.order)

    def _bytes_of_row(self, layout: Layout) -> int:
        return (layout.columns + 7) // 8

    def _header(self, layout: Layout) -> bytes:
        return f"P4\n{layout.columns} {layout.rows}\n".encode()


class PamWriter(PlainWriter):
    """Writes PAM (P7), which can hold an opacity."""

    _TUPLES = ("GRAYSCALE", "GRAYSCALE_ALPHA", "RGB", "RGB_ALPHA")

    def _header(self, layout: Layout) -> bytes:
        bands = len(layout.channels)
        fields = {
            "WIDTH": layout.columns,
            "HEIGHT": layout.rows,
            "DEPTH": bands,
            "MAXVAL": _largest_sample(layout),
            "TUPLTYPE": _INKS if layout.interpretation == "cmyk" else self._TUPLES[bands - 1],
        }
        lines = [f"{name} {value}\n" for name, value in fields.items()]
        header = "".join(["P7\n", *lines, "ENDHDR\n"])
        return header.encode()
