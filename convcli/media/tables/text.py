"""The bytes of a table as UTF-8 text, whatever its encoding on disk, and its header line."""

from __future__ import annotations

import codecs
import re
import sys
from io import BufferedIOBase
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError
from convcli.media.object_stream import ObjectStream
from convcli.media.tables.compression import (
    compression_of_start,
    may_be_compressed,
    unpacked,
    without_compression,
)
from convcli.media.tables.delimited import (
    BOM,
    DELIMITERS,
    Dialect,
    cell_text,
    find_quotes,
    outside_quotes,
    split_record,
)
from convcli.media.tables.numerals import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convcli.array_types import IntArray
    from convcli.media.tables.compression import Compression
    from convcli.media.tables.numerals import NumberStyle

# Small enough that the blocks that many threads hold take few megabytes, large enough to be worth
# the cost of each block.
BLOCK_BYTES = 1 << 20
_DELIMITER_OF_SUFFIX = {".tsv": b"\t", ".tab": b"\t"}
_ZIP = b"PK\3\4"  # zip, and xlsx
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UTF8 = ("utf-8", "utf-8-sig", "ascii")
_LINE_END = re.compile(rb"\r\n?|\n")


@dataclass(frozen=True, eq=False)
class Encoding:
    """How text is stored.

    names : the codec of column names
    stored : the codec by which the input becomes UTF-8 and the output is stored again, or None
        if the bytes can stay as they are (UTF-8 and every one-byte code that extends ASCII)
    """

    names: str
    stored: str | None

    def back(self, text: bytes | memoryview) -> bytes | memoryview:
        """Encode UTF-8 text as the input was."""
        if self.stored is None:
            return text
        return str(text, "utf-8").encode(self.stored)

    def name(self, cell: bytes) -> str:
        """Decode a cell of the header line."""
        return cell_text(cell.strip()).decode(self.names, "surrogateescape")

    def cell(self, name: str) -> bytes:
        """Encode a column name as text of a cell."""
        try:
            return name.encode(self.names, "surrogateescape")
        except UnicodeEncodeError as error:
            raise RequestError(f"the name {name!r} cannot be written in {self.names}") from error


def find_encoding(asked: str, start: bytes) -> Encoding:
    """The encoding that is asked for, or the one of the byte order mark in `start`."""
    try:
        codec = codecs.lookup(asked).name
    except LookupError:
        raise RequestError(
            f"unknown encoding {asked!r}", hint="for example utf-8, latin-1, cp1252, utf-16"
        ) from None
    for mark, marked in _BYTE_ORDER_MARKS:
        if start.startswith(mark):
            if codec in ("utf-8", "utf-8-sig", marked, marked[:6]):
                return Encoding("utf-8", marked)
            break
    if codec in _UTF8:
        return Encoding("utf-8", None)
    if codec in ("utf-16", "utf-32"):
        order = "-le" if sys.byteorder == "little" else "-be"
        return Encoding("utf-8", codec + order)
    try:
        all_bytes = bytes(range(256)).decode(codec, "replace")
    except (LookupError, UnicodeError):
        raise RequestError(
            f"{asked!r} is not an encoding of text", hint="for example utf-8, latin-1, cp1252"
        ) from None
    ascii_bytes = bytes(range(128))
    extends_ascii = len(all_bytes) == 256 and all_bytes[:128].encode() == ascii_bytes
    return Encoding(codec, None) if extends_ascii else Encoding("utf-8", codec)


@dataclass(frozen=True, eq=False, kw_only=True)
class TextInput:
    """Where the bytes of a table come from.

    path : the file, or None for `stdin`
    asked : the encoding that the user names
    follow : pass on what is there, without waiting for a full block
    """

    path: Path | None
    stdin: BinaryIO | None
    asked: str
    follow: bool

    @property
    def name(self) -> str:
        """The name of the table in messages."""
        return "standard input" if self.path is None else str(self.path)

    @property
    def repeatable(self) -> bool:
        """Whether the bytes can be read again from the start."""
        return self.path is not None and self.path.is_file()

    @property
    def seekable(self) -> bool:
        """Whether parts of the text can be read again, by `open_again`."""
        return self.repeatable or isinstance(self.stdin, ObjectStream)

    @property
    def known_columns(self) -> tuple[int, ...] | None:
        """None: names or rows decide which columns FILTER reads."""
        return None

    def open_again(self) -> BinaryIO:
        """Open the text at its start once more, to read a part of it."""
        return self.stdin.again() if isinstance(self.stdin, ObjectStream) else self.open()

    def open(self) -> BinaryIO:
        """Open the file at its start, or return the standard input."""
        if self.path is None:
            return self.stdin if self.stdin is not None else sys.stdin.buffer
        try:
            return self.path.open("rb")
        except IsADirectoryError:
            raise InputError(f"{self.name}: expected a file, got a folder") from None
        except OSError as error:
            raise InputError(f"{self.name}: cannot be read: {error.strerror}") from error

    def reads(self, stream: BinaryIO) -> tuple[Compression | None, Iterator[bytes]]:
        """The compression of the file, and its bytes in blocks, unpacked if they are compressed."""
        stored = self._stored(stream)
        first = b""
        while may_be_compressed(first) and (more := next(stored, b"")):
            first += more
        stored = preceded(first, stored)
        compression = compression_of_start(first)
        if compression is None:
            return None, stored
        return compression, unpacked(stored, compression, read=self._read, name=self.name)

    def became_shorter(self) -> InputError:
        """The error for a file that has become shorter while it was read."""
        return InputError(f"{self.name}: became shorter while it was read")

    def _stored(self, stream: BinaryIO) -> Iterator[bytes]:
        """Yield the bytes of the file in blocks."""
        try:
            while fresh := self._read(stream):
                yield fresh
        except OSError as error:
            raise InputError(f"{self.name}: cannot be read: {error.strerror or error}") from error

    def _read(self, stream: BinaryIO) -> bytes:
        return _read_some(stream) if self.follow else _read_block(stream)

    def decoded(self, reads: Iterator[bytes], encoding: Encoding) -> Iterator[bytes]:
        """Yield stored bytes as UTF-8. InputError if they are not text."""
        if encoding.stored is None:
            for fresh in reads:
                self._refuse_binary(fresh, fresh)
                yield fresh
            return
        decoder = codecs.getincrementaldecoder(encoding.stored)()
        offset = 0
        for fresh in reads:
            text = self._decode(decoder, fresh, offset, encoding.stored)
            self._refuse_binary(text, fresh)
            offset += len(fresh)
            if text:
                yield text
        rest = self._decode(decoder, b"", offset, encoding.stored, final=True)
        if rest:
            yield rest

    def _decode(
        self,
        decoder: codecs.IncrementalDecoder,
        fresh: bytes,
        offset: int,
        codec: str,
        *,
        final: bool = False,
    ) -> bytes:
        try:
            return decoder.decode(fresh, final).encode()
        except UnicodeError as error:
            place, reason = offset, str(error)
            if isinstance(error, UnicodeDecodeError | UnicodeEncodeError):
                place += max(error.start, 0)
                reason = error.reason
            kind = type(error).__name__.removeprefix("Unicode")
            raise InputError(
                f"{self.name}: near byte {place}: expected text in {codec}, "
                f"got {kind} trouble: {reason}",
                hint="--encoding names another encoding",
            ) from error

    def _refuse_binary(self, text: bytes, stored: bytes) -> None:
        if b"\0" not in text:
            return
        kind = "a zip archive or a spreadsheet" if stored.startswith(_ZIP) else "a zero byte"
        raise InputError(
            f"{self.name}: expected a text table, got {kind}",
            hint="--encoding utf-16 reads what some spreadsheets write; "
            "archives must be unpacked first",
        )


def preceded(first: bytes, reads: Iterator[bytes]) -> Iterator[bytes]:
    """`reads` after the bytes that were read before, if any."""
    return chain([first], reads) if first else reads


def _read_block(stream: BinaryIO) -> bytes:
    """Read a whole block, of which a pipe gives only parts."""
    parts: list[bytes] = []
    missing = BLOCK_BYTES
    while missing and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _read_some(stream: BinaryIO) -> bytes:
    """Read what is there, or wait for the next byte."""
    if isinstance(stream, BufferedIOBase):
        return stream.read1(1 << 16)
    return stream.read(1 << 16) or b""


@dataclass(frozen=True, eq=False, kw_only=True)
class Header:
    """The text before the rows.

    text : byte order mark, blank lines and the header line, in UTF-8
    cells : the cells of the header line, with their quotes
    stop : offset in `text` where the last cell ends
    """

    text: bytes
    cells: tuple[bytes, ...]
    stop: int
    dialect: Dialect


@dataclass(frozen=True, eq=False, kw_only=True)
class HeaderRules:
    """What is known of a table before its header is read.

    delimiter : None to take the commonest of `,` `;` and tab in the first line
    numbers : how numbers are written
    headed : False if the first line is a row already
    skipped : lines before the header or the first row
    comment : what lines begin with that are left out too, or nothing
    """

    delimiter: bytes | None = None
    numbers: NumberStyle = PLAIN
    headed: bool = True
    skipped: int = 0
    comment: bytes = b""


def read_header_line(start: bytes, rules: HeaderRules, *, complete: bool) -> Header | None:
    """The header at the start of a table; None if its line has not ended yet and more is to come.

    If the first line is a row already, `text` holds only what is before it.

    complete : whether `start` is the whole input
    """
    line_start = _start_of_first_line(start, rules, complete=complete)
    if line_start is None:
        return None
    body = start[line_start:]
    # Any of the delimiters may open a quoted cell, as long as it is not known which is used.
    delimiter = rules.delimiter
    quotes = find_quotes(body, (delimiter or DELIMITERS) + b"\r\n")
    line_end = _first_line_end(body, quotes)
    # A carriage return at the very end may be the first half of a line ending.
    if not complete and (line_end is None or body[line_end:] == b"\r"):
        return None
    if line_end is None:
        line_end = len(body)
    record = body[:line_end]
    ending = _line_ending(body, line_end)
    if delimiter is None:
        quotes = quotes[: np.searchsorted(quotes, line_end)]
        delimiter = _commonest_delimiter(
            record, quotes, decimal=rules.numbers.decimal, headed=rules.headed
        )
    newline = b"\r" if ending == b"\r" else b"\n"
    cells = split_record(record, delimiter, find_quotes(record, delimiter))
    stop = line_start + line_end
    text = start[: stop + len(ending)]
    if not rules.headed:
        # Blank lines and comments before the first row belong to that row.
        stop = _skipped_text(start, rules.skipped)
        text = start[:stop]
    return Header(
        text=text,
        cells=tuple(cells),
        stop=stop,
        dialect=Dialect(
            delimiter=delimiter,
            newline=newline,
            numbers=rules.numbers,
            comment=rules.comment,
        ),
    )


def _line_ending(text: bytes, place: int) -> bytes:
    """The line ending at a place: a line feed, a carriage return, both, or none."""
    ending = text[place : place + 2]
    return ending if ending == b"\r\n" else ending[:1]


def _start_of_first_line(start: bytes, rules: HeaderRules, *, complete: bool) -> int | None:
    """Offset of the first line that is not left out; None if it has not been read yet."""
    place = _skipped_text(start, rules.skipped)
    if place < 0:
        return len(start) if complete else None
    while True:
        body = start[place:].lstrip(b"\r\n")
        place = len(start) - len(body)
        could_be_comment = not complete and rules.comment.startswith(body)
        if rules.comment and could_be_comment:
            return None
        if not rules.comment or not body.startswith(rules.comment):
            return place
        end = _LINE_END.search(body)
        if end is None:
            return len(start) if complete else None
        place += end.end()


def _skipped_text(start: bytes, lines: int) -> int:
    """Offset after the byte order mark and `lines` lines; -1 if there are fewer."""
    place = len(BOM) if start.startswith(BOM) else 0
    for _ in range(lines):
        end = _LINE_END.search(start, place)
        if end is None:
            return -1
        place = end.end()
    return place


def _first_line_end(body: bytes, quotes: IntArray) -> int | None:
    """Offset of the first line end outside quotes."""
    octets = np.frombuffer(body, np.uint8)
    is_line_end = (octets == ord("\n")) | (octets == ord("\r"))
    line_ends = outside_quotes(np.flatnonzero(is_line_end), quotes)
    return int(line_ends[0]) if len(line_ends) else None


def delimiter_of(path: Path | None) -> bytes | None:
    """The delimiter that belongs to the suffix of a file."""
    if path is None:
        return None
    return _DELIMITER_OF_SUFFIX.get(without_compression(path).suffix.lower())


def _commonest_delimiter(record: bytes, quotes: IntArray, *, decimal: str, headed: bool) -> bytes:
    """The commonest delimiter of the first line; of equally common ones the one rarer in names.

    With decimal commas, a comma in a row of numbers is not a delimiter.
    """
    # In the order of preference.
    counts = {}
    for sign in (b"\t", b";", b","):
        counts[sign] = len(split_record(record, sign, quotes)) - 1
    commas = counts[b","]
    if decimal == ",":
        del counts[b","]
    if any(counts.values()):
        return max(counts, key=lambda sign: counts[sign])
    if decimal == "," and not (headed and commas):
        return b";"
    return b","
