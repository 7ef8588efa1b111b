"""The bytes of a table as UTF-8 text, whatever its encoding on disk, and its header line."""

from __future__ import annotations

import codecs
import sys
from io import BufferedIOBase
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError
from convcli.media.object_stream import opener_of
from convcli.media.tables.cells import cell_text
from convcli.media.tables.compression import compression_of_start, may_be_compressed, unpacked
from convcli.media.tables.table_formats import foreign_file_kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convcli.media.tables.compression import Compression

# Small enough that the blocks that many threads hold take few megabytes, large enough to be worth
# the cost of each block.
BLOCK_BYTES = 1 << 20
BOM = b"\xef\xbb\xbf"
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# The longest code of a letter; a part of a text may end within a letter.
_LONGEST_LETTER = 4
_UTF8 = ("utf-8", "utf-8-sig", "ascii")


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
    except (LookupError, ValueError):  # a name that is no text is a ValueError
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
    # ISO 2022 has no bytes from 128 on: after an escape sequence, a comma is half of a letter.
    has_one_byte_letters = len(all_bytes) == 256 and all_bytes[128:] != "\ufffd" * 128
    extends_ascii = has_one_byte_letters and all_bytes[:128].encode() == ascii_bytes
    return Encoding(codec, None) if extends_ascii else Encoding("utf-8", codec)


def start_as_utf8(start: bytes) -> bytes:
    """The first bytes of a text as UTF-8, if a byte order mark says that it is in UTF-16 or -32."""
    for mark, codec in _BYTE_ORDER_MARKS:
        if start.startswith(mark):
            whole = len(start) - len(start) % _LONGEST_LETTER
            return start[:whole].decode(codec, "replace").encode()
    return start


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
        return self.repeatable or opener_of(self.stdin) is not None

    @property
    def known_columns(self) -> tuple[int, ...] | None:
        """None: names or rows decide which columns FILTER reads."""
        return None

    def open_again(self) -> BinaryIO:
        """Open the text at its start once more, to read a part of it."""
        open_object = opener_of(self.stdin)
        return self.open() if open_object is None else open_object()

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
        stored = self.stored_blocks(stream)
        first = b""
        while may_be_compressed(first) and (more := next(stored, b"")):
            first += more
        stored = preceded(first, stored)
        compression = compression_of_start(first)
        if compression is None:
            return None, stored
        return compression, unpacked(stored, compression, read=self._read, name=self.name)

    def opened(self, stream: BinaryIO) -> tuple[Compression | None, Encoding, Iterator[bytes]]:
        """The compression and the encoding of the file, and its text as UTF-8 in blocks."""
        compression, stored = self.reads(stream)
        # A byte order mark has up to four bytes.
        first = b""
        while len(first) < 4 and (more := next(stored, b"")):
            first += more
        encoding = find_encoding(self.asked, first)
        return compression, encoding, self.decoded(preceded(first, stored), encoding)

    def became_shorter(self) -> InputError:
        """The error for a file that has become shorter while it was read."""
        return InputError(f"{self.name}: became shorter while it was read")

    def stored_blocks(self, stream: BinaryIO) -> Iterator[bytes]:
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
        kind = foreign_file_kind(stored)
        if kind is not None:
            raise InputError(
                f"{self.name}: expected a table, got {kind}",
                hint="save it as CSV or Parquet first, with the program that wrote it or by pandas",
            )
        raise InputError(
            f"{self.name}: expected a text table, got a zero byte",
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
