"""The bytes of a table as UTF-8 text, whatever they are on disk, and its first line."""

from __future__ import annotations

import codecs
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from convcli.errors import InputError, RequestError
from convcli.media.tables.delimited import (
    BOM,
    DELIMITERS,
    Dialect,
    cell_text,
    quote_marks,
    split_record,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convcli.media.tables.delimited import Offsets

# Small enough that the blocks under way on many threads stay few megabytes, large enough for the cost per block.
BLOCK_BYTES = 1 << 20
_SNIFFED = {".tsv": b"\t", ".tab": b"\t"}
_COMPRESSED = (b"\x1f\x8b", b"PK\3\4", b"\x28\xb5\x2f\xfd")  # gzip, zip (and xlsx), zstd
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class Encoding:
    """How text is stored.

    names : the codec of column names
    stored : the codec by which the input becomes UTF-8 and the output returns, or None where the bytes can stay as they
        are (UTF-8 and every one-byte code that extends ASCII)
    """

    names: str
    stored: str | None

    def back(self, text: bytes | memoryview) -> bytes | memoryview:
        """UTF-8 text as it is stored."""
        if self.stored is None:
            return text
        return str(text, "utf-8").encode(self.stored)

    def name(self, cell: bytes) -> str:
        """A cell as a column name."""
        return cell_text(cell.strip()).decode(self.names, "surrogateescape")

    def cell(self, name: str) -> bytes:
        """A column name as text of a cell."""
        try:
            return name.encode(self.names, "surrogateescape")
        except UnicodeEncodeError as error:
            raise RequestError(f"the name {name!r} cannot be written in {self.names}") from error


def find_encoding(asked: str, start: bytes) -> Encoding:
    """The encoding asked for, or the one that a byte order mark at the start of the file says."""
    try:
        codec = codecs.lookup(asked)
    except LookupError:
        raise RequestError(
            f"unknown encoding {asked!r}", hint="for example utf-8, latin-1, cp1252, utf-16"
        ) from None
    said = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    if said is not None and codec.name in ("utf-8", "utf-8-sig", said, said[:6]):
        return Encoding("utf-8", said)
    if codec.name in ("utf-8", "utf-8-sig", "ascii"):
        return Encoding("utf-8", None)
    if codec.name in ("utf-16", "utf-32"):
        return Encoding("utf-8", codec.name + ("-le" if sys.byteorder == "little" else "-be"))
    try:
        whole = bytes(range(256)).decode(codec.name, "replace")
    except (LookupError, UnicodeError):
        raise RequestError(
            f"{asked!r} is no encoding of text", hint="for example utf-8, latin-1, cp1252"
        ) from None
    if len(whole) == 256 and whole[:128].encode() == bytes(range(128)):
        return Encoding(codec.name, None)
    return Encoding("utf-8", codec.name)


@dataclass(frozen=True, kw_only=True)
class Text:
    """Where the bytes of a table come from.

    path : the file, or None for `stdin`; follow : hand on what is there, not waiting for a full block
    """

    path: Path | None
    stdin: BinaryIO | None
    asked: str
    follow: bool

    @property
    def name(self) -> str:
        """How messages call it."""
        return "standard input" if self.path is None else str(self.path)

    @property
    def repeatable(self) -> bool:
        """Whether it can be read from the start again."""
        return self.path is not None and self.path.is_file()

    def open(self) -> BinaryIO:
        """The bytes from the start."""
        if self.path is None:
            return self.stdin if self.stdin is not None else sys.stdin.buffer
        try:
            return self.path.open("rb")
        except IsADirectoryError:
            raise InputError(f"{self.name}: expected a file, got a folder") from None
        except OSError as error:
            raise InputError(f"{self.name}: cannot be read: {error.strerror}") from error

    def reads(self, stream: BinaryIO) -> Iterator[bytes]:
        """What is read, piece by piece, as it is stored."""
        try:
            while fresh := (_some(stream) if self.follow else _block(stream)):
                yield fresh
        except OSError as error:
            raise InputError(f"{self.name}: cannot be read: {error.strerror or error}") from error

    def decoded(self, reads: Iterator[bytes], encoding: Encoding) -> Iterator[bytes]:
        """The same as UTF-8; InputError for what is no text."""
        decoder = (
            None if encoding.stored is None else codecs.getincrementaldecoder(encoding.stored)()
        )
        offset = 0
        for fresh in reads:
            text = fresh
            if decoder is not None:
                text = self._decode(decoder, fresh, offset=offset, asked=encoding.stored or "")
            self._refuse_binary(text, fresh)
            offset += len(fresh)
            if text:
                yield text
        if decoder is not None:
            rest = self._decode(
                decoder, b"", offset=offset, asked=encoding.stored or "", final=True
            )
            if rest:
                yield rest

    def _decode(
        self,
        decoder: codecs.IncrementalDecoder,
        fresh: bytes,
        *,
        offset: int,
        asked: str,
        final: bool = False,
    ) -> bytes:
        try:
            return decoder.decode(fresh, final).encode()
        except UnicodeError as error:
            at = offset + max(getattr(error, "start", 0), 0)
            raise InputError(
                f"{self.name}: near byte {at}: expected text in {asked}, got {error.__class__.__name__[7:]} trouble: "
                f"{getattr(error, 'reason', error)}",
                hint="--encoding names another encoding",
            ) from error

    def _refuse_binary(self, text: bytes, stored: bytes) -> None:
        at = text.find(b"\0")
        if at < 0:
            return
        hint = "--encoding utf-16 reads what some spreadsheets write; compressed files must be unpacked first"
        kind = "a compressed file" if stored.startswith(_COMPRESSED) else "a zero byte"
        raise InputError(f"{self.name}: expected a text table, got {kind}", hint=hint)


def _block(stream: BinaryIO) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size < BLOCK_BYTES and (part := stream.read(BLOCK_BYTES - size)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _some(stream: BinaryIO) -> bytes:
    read_available = getattr(stream, "read1", stream.read)
    return bytes(read_available(1 << 16) or b"")


@dataclass(frozen=True, kw_only=True)
class Header:
    """What stands before the rows.

    text : the bytes before the first row (byte order mark, blank lines, the header line), UTF-8; cells : as they stand
    ends : offset in `text` where the last cell of the header line ends
    """

    text: bytes
    cells: tuple[bytes, ...]
    ends: int
    dialect: Dialect


def read_header(
    start: bytes, *, delimiter: bytes | None, decimal: str, headed: bool, complete: bool
) -> Header | None:
    """The header at the start of a table; None if its line has not ended yet and more is to come.

    delimiter : None to take the commonest of `,` `;` and tab in the first line
    headed : False where the first line is a row already: then `text` is at most a byte order mark
    complete : whether `start` is the whole input
    """
    skip = len(BOM) if start.startswith(BOM) else 0
    skip += len(start) - skip - len(start[skip:].lstrip(b"\r\n"))
    body = start[skip:]
    marks = quote_marks(body, (delimiter or DELIMITERS) + b"\r\n")
    octets = np.frombuffer(body, np.uint8)
    breaks = np.flatnonzero((octets == ord("\n")) | (octets == ord("\r")))
    breaks = breaks[np.searchsorted(marks, breaks) % 2 == 0]
    if not complete and (len(breaks) == 0 or (breaks[0] == len(body) - 1 and body.endswith(b"\r"))):
        return None
    stop = int(breaks[0]) if len(breaks) else len(body)
    ending = body[stop : stop + 2] if body[stop : stop + 2] == b"\r\n" else body[stop : stop + 1]
    newline = b"\r" if ending == b"\r" else b"\n"
    record, marks = body[:stop], marks[: np.searchsorted(marks, stop)]
    sign = delimiter or _sniff(record, marks, decimal=decimal, headed=headed)
    dialect = Dialect(delimiter=sign, newline=newline, decimal=decimal)
    # openers were guessed wide while the delimiter was not known
    cells = tuple(split_record(record, sign, quote_marks(record, sign)))
    if not headed:
        return Header(text=start[: len(BOM) if skip else 0], cells=cells, ends=0, dialect=dialect)
    return Header(
        text=start[: skip + stop + len(ending)], cells=cells, ends=skip + stop, dialect=dialect
    )


def delimiter_of(path: Path | None) -> bytes | None:
    """The delimiter that a file's suffix promises."""
    return None if path is None else _SNIFFED.get(path.suffix.lower())


def _sniff(record: bytes, marks: Offsets, *, decimal: str, headed: bool) -> bytes:
    """The commonest delimiter of the first line; of equally common ones that which stands more rarely in a name.

    With decimal commas a comma in a row of numbers means nothing.
    """
    counts = {sign: len(split_record(record, sign, marks)) - 1 for sign in (b"\t", b";", b",")}
    if not any(counts.values()) and decimal != ",":
        return b","
    if decimal == ",":
        commas = counts.pop(b",")
        if headed and commas and not any(counts.values()):
            return b","
        if not any(counts.values()):
            return b";"
    return max(counts, key=lambda sign: counts[sign])
