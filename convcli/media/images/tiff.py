"""The directories of TIFF files, read and grafted on, because libvips keeps neither EXIF nor authors in TIFF.

EXIF is a small TIFF without pixels: what one file says of author, camera and place is handed on as such a block, and
grafted on a TIFF that libvips has written. Layout after TIFF 6.0, section 2, and BigTIFF (64-bit offsets).
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

# What is said of the picture (TIFF 6.0, Exif 2.32), and not of how its pixels are stored: names, descriptions, dates.
DESCRIBING = {269, 270, 271, 272, 285, 305, 306, 315, 316, 33432}
EXIF, GPS, INTEROPERABILITY = 34665, 34853, 40965
_NESTED = {EXIF, GPS, INTEROPERABILITY}
COMPRESSION = 259

# Bytes per value of each type, and per number in it (a rational is two numbers).
_SIZES = {
    1: (1, 1),
    2: (1, 1),
    3: (2, 2),
    4: (4, 4),
    5: (8, 4),
    6: (1, 1),
    7: (1, 1),
    8: (2, 2),
    9: (4, 4),
    10: (8, 4),
    11: (4, 4),
    12: (8, 8),
    13: (4, 4),
    16: (8, 8),
    17: (8, 8),
    18: (8, 8),
}
# Bytes of a field that are read from a file of unknown origin.
LARGEST = 1 << 24


@dataclass(frozen=True)
class Entry:
    """A field of a directory: its numbers low byte first, or the directory it points to."""

    kind: int
    count: int
    data: bytes
    nested: dict[int, Entry] = field(default_factory=dict)

    @property
    def value(self) -> int:
        """The first number, of a field of whole numbers."""
        return int.from_bytes(self.data[: _SIZES[self.kind][1]], "little")

    @property
    def values(self) -> tuple[int, ...]:
        """All numbers, of a field of whole numbers that are not negative; none of any other field."""
        code = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(self.kind)
        return struct.unpack(f"<{self.count}{code}", self.data) if code else ()


@dataclass(frozen=True)
class Shape:
    """How a TIFF is spelled: byte order, and the widths of its classic or its large form."""

    order: str
    big: bool

    @property
    def entry(self) -> int:
        """Bytes of an entry."""
        return 20 if self.big else 12

    @property
    def word(self) -> str:
        """The format of an offset."""
        return self.order + ("Q" if self.big else "I")

    @property
    def counter(self) -> str:
        """The format of a directory's number of entries."""
        return self.order + ("Q" if self.big else "H")


def _open(file: BinaryIO) -> tuple[Shape, int] | None:
    """The shape of a TIFF and the offset of its first directory, or None for what is none."""
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return None
    version = struct.unpack_from(order + "H", head, 2)[0]
    if version == 42:
        return Shape(order, big=False), struct.unpack_from(order + "I", head, 4)[0]
    if version == 43 and len(head) == 16:
        return Shape(order, big=True), struct.unpack_from(order + "Q", head, 8)[0]
    return None


def read_directory(file: BinaryIO, *, largest: int = LARGEST) -> dict[int, Entry]:
    """The fields of the first directory, by their tags; what cannot be understood or is too large is left out."""
    found = _open(file)
    return {} if found is None else _read(file, *found, depth=0, largest=largest)


def read_directories(file: BinaryIO) -> Iterator[dict[int, Entry]]:
    """The fields of every directory, one after the other; the nested ones are left out."""
    file.seek(0)
    found = _open(file)
    seen: set[int] = set()
    while found is not None and found[1] and found[1] not in seen:
        shape, offset = found
        seen.add(offset)
        fields = _read(file, shape, offset, depth=2, largest=LARGEST)
        yield fields
        file.seek(offset)
        count = struct.unpack(shape.counter, file.read(struct.calcsize(shape.counter)))[0]
        file.seek(count * shape.entry, 1)
        link = file.read(struct.calcsize(shape.word))
        found = (
            (shape, struct.unpack(shape.word, link)[0])
            if len(link) == struct.calcsize(shape.word)
            else None
        )


def byte_order(file: BinaryIO) -> Literal["<", ">"]:
    """How numbers stand in a TIFF, in the letters of `struct`."""
    file.seek(0)
    return ">" if file.read(2) == b"MM" else "<"


def _read(
    file: BinaryIO, shape: Shape, offset: int, *, depth: int, largest: int
) -> dict[int, Entry]:
    fields: dict[int, Entry] = {}
    for raw in _raw_entries(file, shape, offset):
        tag, kind = struct.unpack_from(shape.order + "HH", raw)
        count = struct.unpack_from(shape.word, raw, 4)[0]
        size = count * _SIZES.get(kind, (0, 1))[0]
        place = 4 + struct.calcsize(shape.word)
        if not 0 < size <= largest:
            continue
        data = raw[place : place + size]
        if size > len(raw) - place:
            file.seek(struct.unpack_from(shape.word, raw, place)[0])
            data = file.read(size)
        if len(data) < size:
            continue
        entry = Entry(kind, count, _swap(data, kind, shape.order))
        if tag in _NESTED and depth < 2:
            entry = replace(
                entry, nested=_read(file, shape, entry.value, depth=depth + 1, largest=largest)
            )
        fields[tag] = entry
    return fields


def _raw_entries(file: BinaryIO, shape: Shape, offset: int) -> list[bytes]:
    file.seek(offset)
    head = file.read(struct.calcsize(shape.counter))
    if len(head) < struct.calcsize(shape.counter):
        return []
    count = min(struct.unpack(shape.counter, head)[0], 65535)
    data = file.read(count * shape.entry)
    return [
        data[start : start + shape.entry]
        for start in range(0, len(data) - shape.entry + 1, shape.entry)
    ]


def _swap(data: bytes, kind: int, order: str) -> bytes:
    """The bytes of numbers turned from `order` to low byte first, or back."""
    width = _SIZES[kind][1]
    if order == "<" or width == 1:
        return data
    return b"".join(data[start : start + width][::-1] for start in range(0, len(data), width))


def describing_block(file: BinaryIO) -> bytes | None:
    """What a TIFF says of its picture, as a block of EXIF, or None if that is nothing."""
    fields = {
        tag: entry
        for tag, entry in read_directory(file).items()
        if tag in DESCRIBING or entry.nested
    }
    if not fields:
        return None
    shape = Shape("<", big=False)
    return b"II*\0" + struct.pack("<I", 8) + build(fields, shape, place=8, link=0)


def build(fields: dict[int, Entry], shape: Shape, *, place: int, link: int) -> bytes:
    """A directory that will stand at `place`, its values and nested directories behind it."""
    room = struct.calcsize(shape.word)
    head = struct.pack(shape.counter, len(fields))
    behind = place + len(head) + shape.entry * len(fields) + room
    values = b""
    for tag, entry in sorted(fields.items()):
        kind, count, data = entry.kind, entry.count, _swap(entry.data, entry.kind, shape.order)
        if entry.nested:
            values += bytes(-(behind + len(values)) % 8)
            start = behind + len(values)
            values += build(entry.nested, shape, place=start, link=0)
            kind, count, data = (16 if shape.big else 4), 1, struct.pack(shape.word, start)
        if len(data) > room:
            values += bytes(-(behind + len(values)) % 8)
            start = behind + len(values)
            values += data
            data = struct.pack(shape.word, start)
        head += (
            struct.pack(shape.order + "HH", tag, kind)
            + struct.pack(shape.word, count)
            + data.ljust(room, b"\0")
        )
    return head + struct.pack(shape.word, link) + values


def graft(file: BinaryIO, block: bytes) -> None:
    """Add what a block of EXIF says to the first directory of a TIFF; what the TIFF says itself stays.

    The directory is written anew behind the file, and the header shows there; nothing else moves.
    """
    source = read_directory(io.BytesIO(block.removeprefix(b"Exif\0\0")))
    added = {tag: entry for tag, entry in source.items() if tag in DESCRIBING or entry.nested}
    file.seek(0)
    found = _open(file)
    if not added or found is None:
        return
    shape, offset = found
    raw = {
        struct.unpack_from(shape.order + "H", each)[0]: each
        for each in _raw_entries(file, shape, offset)
    }
    link = struct.unpack(shape.word, file.read(struct.calcsize(shape.word)))[0]
    added = {tag: entry for tag, entry in added.items() if tag not in raw}
    place = file.seek(0, 2)
    file.write(bytes(-place % 8))
    place += -place % 8
    file.write(_merge(raw, added, shape, place=place, link=link))
    file.seek(8 if shape.big else 4)
    file.write(struct.pack(shape.word, place))


def _merge(
    raw: dict[int, bytes], added: dict[int, Entry], shape: Shape, *, place: int, link: int
) -> bytes:
    """A directory of entries as they stand in the file, `raw`, and new ones."""
    counter = struct.calcsize(shape.counter)
    # Built as if the old entries stood in front, so that what lies behind the directory is where it says.
    front = shape.entry * len(raw)
    built = build(added, shape, place=place + front, link=link)
    stop = counter + shape.entry * len(added)
    fresh = [built[start : start + shape.entry] for start in range(counter, stop, shape.entry)]
    entries = raw | {struct.unpack_from(shape.order + "H", each)[0]: each for each in fresh}
    body = b"".join(entry for _, entry in sorted(entries.items()))
    return struct.pack(shape.counter, len(entries)) + body + built[stop:]
