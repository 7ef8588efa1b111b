"""TIFF directories, read and grafted, because libvips keeps neither EXIF nor authors in a TIFF.

A block of EXIF is a small TIFF without pixels. What a TIFF says of author, camera and place is
handed on as such a block, and grafted onto a TIFF that libvips has written. Layout after TIFF 6.0,
section 2, and BigTIFF, whose offsets have 64 bits.
"""

from __future__ import annotations

import io
import os
import struct
from dataclasses import field, replace
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from convcli.dataclass import dataclass
from convcli.media.images.exif import EXIF_PREFIX, iptc_records
from convcli.media.images.layout import are_alike

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from convcli.media.images.details import ImageDetails
    from convcli.media.images.picture_format import WriteRequest
    from convcli.media.images.vips_file import Patch

# Tags that describe the picture and not how its pixels are stored: names, descriptions, dates (TIFF
# 6.0, Exif 2.32).
DESCRIPTIVE_TAGS = frozenset({269, 270, 271, 272, 285, 305, 306, 315, 316, 33432})
_EXIF, _GPS, _INTEROPERABILITY = 34665, 34853, 40965
NESTED = frozenset({_EXIF, _GPS, _INTEROPERABILITY})
_DEEPEST = 2
_COMPRESSION, _PHOTOMETRIC, _TILE_WIDTH, _TILE_HEIGHT = 259, 262, 322, 323
_INNER_PICTURES = 330
_WHITE_IS_ZERO, _PALETTE = 0, 3
# The sides of tiles are multiples of this.
_TILE_UNIT = 16
# IPTC-NAA. libvips counts its bytes wrongly, in reading and in writing.
_IPTC = 33723

# Type numbers of fields.
SHORT, LONG, UNDEFINED, LONG8 = 3, 4, 7, 16
# Bytes of a value of each type, and of a number in it; a rational is two numbers.
_SIZES = {
    1: (1, 1),
    2: (1, 1),
    SHORT: (2, 2),
    LONG: (4, 4),
    5: (8, 4),
    6: (1, 1),
    UNDEFINED: (1, 1),
    8: (2, 2),
    9: (4, 4),
    10: (8, 4),
    11: (4, 4),
    12: (8, 8),
    13: (4, 4),
    LONG8: (8, 8),
    17: (8, 8),
    18: (8, 8),
}
# Larger fields of a file of unknown origin are not read.
_LARGEST_FIELD = 1 << 24
_MOST_ENTRIES = 65535
# The largest place that a system can seek to.
_LARGEST_OFFSET = (1 << 63) - 1

# Above this size of the pixels offsets have 64 bits; the rest below 2**32 is for the metadata.
_LARGEST_CLASSIC = 4_000_000_000
# Compressions, by the value of tag 259, that libvips writes without loss.
_COMPRESSIONS = {
    5: "lzw",
    8: "deflate",
    32946: "deflate",
    32773: "packbits",
    50000: "zstd",
}
# Compressions of fax machines, for samples of 1 bit; the last one replaces the others.
_FAX = (2, 3, 4)
_UNCOMPRESSED = 1
# What a compressed picture is stored with if its own compression is not written.
_REPLACEMENT = "lzw"
# Compressions that are read and not written, by their names.
_UNWRITTEN = {
    6: "JPEG",
    7: "JPEG",
    34676: "SGI LogLuv",
    34677: "SGI LogLuv",
    34887: "LERC",
    34892: "JPEG",
    34925: "LZMA",
    50001: "WebP",
}

_NAMES = {
    _UNCOMPRESSED: "none",
    **dict.fromkeys(_FAX, "fax"),
    5: "LZW",
    8: "Deflate",
    32946: "Deflate",
    32773: "PackBits",
    50000: "Zstandard",
    **_UNWRITTEN,
}


@dataclass(frozen=True)
class TiffField:
    """A field of a directory.

    data : its numbers, low byte first
    nested : the directory that the field points to
    """

    kind: int
    count: int
    data: bytes
    nested: dict[int, TiffField] = field(default_factory=dict)

    @property
    def value(self) -> int:
        """The first number of a field of whole numbers."""
        _, width = _SIZES[self.kind]
        return int.from_bytes(self.data[:width], "little")

    def numbers(self) -> tuple[int, ...]:
        """All numbers of a field of whole numbers."""
        _, width = _SIZES[self.kind]
        starts = range(0, len(self.data), width)
        parts = [self.data[start : start + width] for start in starts]
        return tuple(int.from_bytes(part, "little") for part in parts)

    def stored(self, order: str) -> bytes:
        """The data in the byte order of a file."""
        _, width = _SIZES[self.kind]
        return _swap_bytes(self.data, width, order)


TiffFields = dict[int, TiffField]


@dataclass(frozen=True)
class TiffVariant:
    """Byte order (`<` or `>`) of a TIFF, and whether it is a BigTIFF."""

    order: str
    big: bool

    @property
    def entry_bytes(self) -> int:
        """Bytes of an entry of a directory."""
        return 20 if self.big else 12

    @property
    def pointer(self) -> int:
        """Type number of the offset of a nested directory."""
        return LONG8 if self.big else LONG

    @property
    def start_place(self) -> int:
        """Where the offset of the first directory is."""
        return 8 if self.big else 4

    @property
    def word(self) -> struct.Struct:
        """An offset, or a number of values."""
        return struct.Struct(self.order + ("Q" if self.big else "I"))

    @property
    def counter(self) -> struct.Struct:
        """The number of entries of a directory."""
        return struct.Struct(self.order + ("Q" if self.big else "H"))

    def header(self, place: int) -> bytes:
        """The first bytes of a file whose first directory is at offset `place`."""
        mark = b"II" if self.order == "<" else b"MM"
        rest = (43, 8, 0) if self.big else (42,)
        return mark + struct.pack(f"{self.order}{len(rest)}H", *rest) + self.word.pack(place)

    def tag_of(self, entry: bytes) -> int:
        """The tag of a directory entry."""
        return int.from_bytes(entry[:2], "big" if self.order == ">" else "little")


def read_tiff_header(file: BinaryIO) -> tuple[TiffVariant, int] | None:
    """The variant of a TIFF and the offset of its first directory, or None for another file."""
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return None
    (version,) = struct.unpack_from(order + "H", head, 2)
    if version == 42:
        classic = TiffVariant(order, big=False)
        return classic, classic.word.unpack_from(head, 4)[0]
    if version == 43 and len(head) == 16:
        big = TiffVariant(order, big=True)
        return big, big.word.unpack_from(head, 8)[0]
    return None


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    """`size` bytes of a file from `offset` on, or fewer if the file ends before."""
    if offset > _LARGEST_OFFSET:
        return b""
    file.seek(offset)
    return file.read(size)


@dataclass(frozen=True)
class TiffPage:
    """A directory of a TIFF: its offset and its entries as stored."""

    variant: TiffVariant
    offset: int
    entries: list[bytes]

    @property
    def link_place(self) -> int:
        """Where the offset of the next directory is."""
        variant = self.variant
        return self.offset + variant.counter.size + len(self.entries) * variant.entry_bytes

    def _entry_place(self, tag: int) -> int:
        """The offset of the entry of a field."""
        variant = self.variant
        index = [variant.tag_of(entry) for entry in self.entries].index(tag)
        return self.offset + variant.counter.size + index * variant.entry_bytes

    def value_place(self, tag: int) -> int:
        """The offset of the value of a field that is stored in its entry."""
        variant = self.variant
        return self._entry_place(tag) + variant.entry_bytes - variant.word.size

    def entry_patch(self, tag: int, value: int) -> Patch:
        """The patch by which the field of a tag has one whole number as its value."""
        variant = self.variant
        head = struct.pack(variant.order + "HH", tag, LONG) + variant.word.pack(1)
        number = struct.pack(variant.order + "I", value).ljust(variant.word.size, b"\0")
        return self._entry_place(tag), head + number

    def values_place(self, file: BinaryIO, tag: int, size: int) -> int:
        """The offset of the values of a field, which take `size` bytes."""
        word = self.variant.word
        place = self.value_place(tag)
        if size > word.size:
            (place,) = word.unpack(read_at(file, place, word.size))
        return place

    def fields(self, file: BinaryIO, wanted: Container[int]) -> TiffFields:
        """The fields with these tags that can be read."""
        fields: TiffFields = {}
        for entry in self.entries:
            tag = self.variant.tag_of(entry)
            found = read_tiff_field(file, self.variant, entry) if tag in wanted else None
            if found is not None:
                fields[tag] = found
        return fields

    def all_fields(self, file: BinaryIO, *, depth: int = 0) -> TiffFields:
        """The fields by tag, with nested ones, without those damaged or too large."""
        tags = {self.variant.tag_of(entry) for entry in self.entries}
        fields = self.fields(file, tags)
        for tag in NESTED & fields.keys():
            if depth < _DEEPEST:
                place = fields[tag].value
                inner = TiffPage(self.variant, place, read_tiff_entries(file, self.variant, place))
                nested = inner.all_fields(file, depth=depth + 1)
                fields[tag] = replace(fields[tag], nested=nested)
        return fields


def tiff_pages(file: BinaryIO, most: int) -> Iterator[TiffPage]:
    """The directories that follow each other, at most `most`."""
    header = read_tiff_header(file)
    if header is None:
        return
    variant, offset = header
    for _ in range(most):
        entries = read_tiff_entries(file, variant, offset)
        if not entries:
            return
        link = file.read(variant.word.size)
        yield TiffPage(variant, offset, entries)
        if len(link) < variant.word.size:
            return
        (offset,) = variant.word.unpack(link)


def first_cut_page(file: BinaryIO, pages: int) -> int | None:
    """The page behind the given number of pages if the file ends before or within its directory."""
    directories = list(tiff_pages(file, pages))
    if len(directories) < pages:
        return None
    last = directories[-1]
    word = last.variant.word
    link = read_at(file, last.link_place, word.size)
    if len(link) < word.size:
        return None
    (offset,) = word.unpack(link)
    is_cut = offset > 0 and not _is_whole_directory(file, last.variant, offset)
    return pages if is_cut else None


def _is_whole_directory(file: BinaryIO, variant: TiffVariant, offset: int) -> bool:
    """Whether all entries of a directory at `offset` are in the file."""
    counter = variant.counter
    head = read_at(file, offset, counter.size)
    if len(head) < counter.size:
        return False
    count: int = counter.unpack(head)[0]
    stop = offset + counter.size + count * variant.entry_bytes
    return stop <= file.seek(0, os.SEEK_END)


def read_directory(file: BinaryIO, page: int = 0) -> TiffFields:
    """The fields of the directory of a page by tag, without those damaged or too large."""
    for directory in islice(tiff_pages(file, page + 1), page, None):
        return directory.all_fields(file)
    return {}


def read_tiff_entries(file: BinaryIO, variant: TiffVariant, offset: int) -> list[bytes]:
    """The entries of the directory at `offset`, as stored."""
    head = read_at(file, offset, variant.counter.size)
    if len(head) < variant.counter.size:
        return []
    (count,) = variant.counter.unpack(head)
    size = variant.entry_bytes
    data = file.read(min(count, _MOST_ENTRIES) * size)
    starts = range(0, len(data) - size + 1, size)
    return [data[start : start + size] for start in starts]


def read_tiff_field(file: BinaryIO, variant: TiffVariant, entry: bytes) -> TiffField | None:
    """The field of an entry, or None if it is damaged or too large."""
    (kind,) = struct.unpack_from(variant.order + "H", entry, 2)
    (count,) = variant.word.unpack_from(entry, 4)
    value_bytes, width = _SIZES.get(kind, (0, 1))
    size = count * value_bytes
    if not 0 < size <= _LARGEST_FIELD:
        return None
    inline = entry[-variant.word.size :]
    if size <= len(inline):
        data = inline[:size]
    else:
        data = read_at(file, variant.word.unpack(inline)[0], size)
    if len(data) < size:
        return None
    return TiffField(kind, count, _swap_bytes(data, width, variant.order))


def _swap_bytes(data: bytes, width: int, order: str) -> bytes:
    """Numbers of `width` bytes turned from `order` to low byte first, or back."""
    if order == "<" or width == 1:
        return data
    numbers = [data[start : start + width] for start in range(0, len(data), width)]
    return b"".join(number[::-1] for number in numbers)


def _describing(fields: TiffFields) -> TiffFields:
    return {tag: each for tag, each in fields.items() if tag in DESCRIPTIVE_TAGS or each.nested}


def exif_of_tiff(directory: TiffFields) -> bytes | None:
    """What a directory says of its picture as a block of EXIF, or None if it says nothing."""
    fields = _describing(directory)
    if not fields:
        return None
    variant = TiffVariant("<", big=False)
    header = variant.header(8)
    return header + build_directory(fields, variant, place=len(header), link=0)


def build_directory(fields: TiffFields, variant: TiffVariant, *, place: int, link: int) -> bytes:
    """A directory for offset `place`, with its values and nested directories behind it.

    link : offset of the next directory, or 0
    """
    entries, values = _build_entries(fields, variant, place=place)
    return _join_directory(entries, variant, variant.word.pack(link), values)


def _join_directory(
    entries: list[bytes], variant: TiffVariant, link: bytes, values: bytes
) -> bytes:
    count = variant.counter.pack(len(entries))
    return b"".join([count, *entries, link, values])


def _build_entries(
    fields: TiffFields, variant: TiffVariant, *, place: int, others: int = 0
) -> tuple[list[bytes], bytes]:
    """The entries of a directory for offset `place`, and the values that go behind it.

    others : number of further entries that the directory gets
    """
    word = variant.word
    count = len(fields) + others
    behind = place + variant.counter.size + variant.entry_bytes * count + word.size
    entries, values = [], b""
    for tag, each in sorted(fields.items()):
        kind, number, data = each.kind, each.count, each.stored(variant.order)
        if each.nested or len(data) > word.size:
            values += bytes(-(behind + len(values)) % 8)
            start = behind + len(values)
            if each.nested:
                kind, number = variant.pointer, 1
                data = build_directory(each.nested, variant, place=start, link=0)
            values += data
            data = word.pack(start)
        head = struct.pack(variant.order + "HH", tag, kind) + word.pack(number)
        entries.append(head + data.ljust(word.size, b"\0"))
    return entries, values


@dataclass(frozen=True)
class PageChange:
    """Fields that are put into a directory, in place of those of the same tags and of `removed`."""

    fields: TiffFields
    removed: frozenset[int] = frozenset()


def change_pages(file: BinaryIO, changes: Sequence[PageChange]) -> None:
    """Change the first directories of a TIFF.

    A directory that changes is written anew at the end of the file, and the header or the directory
    before points there; nothing else moves.
    """
    header = read_tiff_header(file)
    if header is None:
        return
    variant, _ = header
    pointer = variant.start_place
    for change in changes:
        pointer = _change_page(file, variant, pointer, change)


def _change_page(file: BinaryIO, variant: TiffVariant, pointer: int, change: PageChange) -> int:
    """Change the directory whose offset is at `pointer`; return where that of the next one is."""
    word = variant.word
    (offset,) = word.unpack(read_at(file, pointer, word.size))
    entries = read_tiff_entries(file, variant, offset)
    link_place = file.tell()
    link = file.read(word.size)
    if not (change.fields or change.removed):
        return link_place
    replaced = change.removed | change.fields.keys()
    kept = [entry for entry in entries if variant.tag_of(entry) not in replaced]
    end = file.seek(0, io.SEEK_END)
    place = end + -end % 8
    new, values = _build_entries(change.fields, variant, place=place, others=len(kept))
    together = sorted([*kept, *new], key=variant.tag_of)
    directory = _join_directory(together, variant, link, values)
    file.write(bytes(place - end) + directory)
    file.seek(pointer)
    file.write(word.pack(place))
    return place + variant.counter.size + len(together) * variant.entry_bytes


def described_fields(exif: bytes | None, iptc: bytes | None) -> TiffFields:
    """The fields of a directory that hold EXIF and IPTC, by tag."""
    block = (exif or b"").removeprefix(EXIF_PREFIX)
    fields = _describing(read_directory(io.BytesIO(block)))
    records = iptc_records(iptc or b"")
    if records:
        fields[_IPTC] = TiffField(UNDEFINED, len(records), records)
    return fields


def inspect_tiff(file: BinaryIO, details: ImageDetails) -> ImageDetails:
    """The details with the compression, the EXIF and the IPTC of a TIFF."""
    header = read_tiff_header(file)
    directory = read_directory(file, details.page_indices[0])
    exif = exif_of_tiff(directory) or details.exif
    compression = directory.get(_COMPRESSION)
    if compression is not None:
        details = replace(details, compression=compression.value)
    photometric = directory.get(_PHOTOMETRIC)
    if photometric is not None and photometric.value == _WHITE_IS_ZERO:
        details = replace(details, white_is_zero=True)
    if photometric is not None and photometric.value == _PALETTE:
        details = replace(details, palette=True)
    details = _inspect_pages(file, replace(details, tile=_tile_of(directory)))
    iptc = directory.get(_IPTC)
    if iptc is not None and header is not None:
        variant, _ = header
        details = replace(details, iptc=iptc.stored(variant.order))
    return replace(details, exif=exif)


def _inspect_pages(file: BinaryIO, details: ImageDetails) -> ImageDetails:
    """The details with how the pixels of each page are stored, and with the inner pictures.

    The latter belong to a page: smaller copies, or the raw pixels of a camera.
    """
    tags = (_COMPRESSION, _TILE_WIDTH, _TILE_HEIGHT, _INNER_PICTURES)
    inner_pictures = 0
    stored = []
    wanted = set(details.page_indices)
    for page, directory in enumerate(tiff_pages(file, max(wanted) + 1)):
        if page in wanted:
            fields = directory.fields(file, tags)
            stored.append(_storage_text(fields))
            if _INNER_PICTURES in fields:
                inner_pictures += fields[_INNER_PICTURES].count
    ways = tuple(dict.fromkeys(stored))
    return replace(details, ways_of_storing=ways, inner_pictures=inner_pictures)


def _storage_text(fields: TiffFields) -> str:
    """How the pixels of a page are stored: `LZW`, `none in tiles of 256x256`."""
    compression = fields[_COMPRESSION].value if _COMPRESSION in fields else _UNCOMPRESSED
    text = _NAMES.get(compression, f"method {compression} of TIFF")
    tile = _tile_of(fields)
    if tile is not None:
        width, height = tile
        text += f" in tiles of {width}x{height}"
    return text


def _tile_of(directory: TiffFields) -> tuple[int, int] | None:
    """Width and height of the tiles, or None without tiles of sides that TIFF allows."""
    if not {_TILE_WIDTH, _TILE_HEIGHT} <= directory.keys():
        return None
    width, height = directory[_TILE_WIDTH].value, directory[_TILE_HEIGHT].value
    is_allowed = width > 0 and height > 0 and width % _TILE_UNIT == height % _TILE_UNIT == 0
    return (width, height) if is_allowed else None


def tiff_options(request: WriteRequest) -> dict[str, object]:
    """Options of `tiffsave`: tiles and compression of the input, if it was a TIFF without loss."""
    details = request.details
    compression = _compression_of(details)
    if request.bits == 1 and details.compression in _FAX:
        compression = "ccittfax4"
    size = sum(layout.stored_bytes for layout in request.layouts)
    options: dict[str, object] = {"compression": compression, "bigtiff": size > _LARGEST_CLASSIC}
    if request.bits is not None:
        options["predictor"] = "none"
        options["miniswhite"] = details.white_is_zero
    elif compression in ("lzw", "deflate", "zstd"):
        dtype = request.layouts[0].dtype
        # Predicted samples of 64 bits are read neither by libvips nor here.
        kind = dtype.kind if dtype.itemsize < 8 else "wide"
        options["predictor"] = {"f": "float", "wide": "none"}.get(kind, "horizontal")
    if details.tile is not None:
        width, height = details.tile
        options |= {"tile": True, "tile_width": width, "tile_height": height}
    if details.resolution and details.field("resolution-unit") == "in":
        options["resunit"] = "inch"
    return options


def _compression_of(details: ImageDetails) -> str:
    """The lossless compression that is nearest to that of the input, by the name in libvips."""
    if details.compression in (None, _UNCOMPRESSED):
        return "none"
    return _COMPRESSIONS.get(details.compression, _REPLACEMENT)


def tiff_losses(request: WriteRequest) -> Iterator[str]:
    """Warnings about how pixels were stored in the input, if that is not kept."""
    details = request.details
    if details.format != request.format.name:
        return
    compression = _UNWRITTEN.get(details.compression or _UNCOMPRESSED)
    ways = details.ways_of_storing
    is_packed = any(way != _NAMES[_UNCOMPRESSED] for way in ways)
    if not are_alike(request.layouts) and is_packed:
        yield "pages that differ in size or kind are stored in strips, without compression"
        return
    if len(ways) > 1:
        listed = ", ".join(ways)
        yield f"pages differ in their compression or tiles ({listed}): all are stored as the first"
    if compression is not None:
        yield (
            f"the tiff was compressed by {compression}, which would lose more with each run: "
            "the result is stored without loss, by LZW"
        )


def shorts_field(*values: int) -> TiffField:
    """A field of numbers of 16 bits."""
    return TiffField(SHORT, len(values), struct.pack(f"<{len(values)}H", *values))


def longs_field(*values: int) -> TiffField:
    """A field of numbers of 32 bits."""
    return TiffField(LONG, len(values), struct.pack(f"<{len(values)}I", *values))


def long8s_field(*values: int) -> TiffField:
    """A field of numbers of 64 bits."""
    return TiffField(LONG8, len(values), struct.pack(f"<{len(values)}Q", *values))
