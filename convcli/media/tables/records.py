"""Whole records of delimited text, found in the blocks of a file wherever these were cut."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError
from convcli.media.tables.cells import find_quotes
from convcli.media.tables.numerals import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.array_types import IntArray
    from convcli.media.tables.numerals import NumberStyle


MAX_RECORD = 64 << 20

# Lines of zero bytes, which are comments.
_COMMENTS_ONLY = re.compile(rb"(?:\0+[\r\n])*")


@dataclass(frozen=True, eq=False, kw_only=True)
class Dialect:
    """The characters that separate cells and records.

    newline : ends a record: a line feed (a carriage return before it belongs to the line ending),
        or a lone carriage return in files whose first line ends in one
    numbers : how numbers are written
    line_end : what ends the first line, or `newline` if nothing does
    comment : what a line begins with that is not a row; empty: every line that is not blank is one
    has_quotes : a cell may be in quotes, and line ends within quotes end no record
    """

    delimiter: bytes
    newline: bytes
    line_end: bytes = b"\n"
    numbers: NumberStyle = PLAIN
    comment: bytes = b""
    has_quotes: bool = True

    @property
    def separators(self) -> bytes:
        """The bytes after which a cell starts."""
        return self.delimiter + self.newline

    @property
    def number_needs_quotes(self) -> bool:
        """Whether a number may contain the delimiter."""
        return self.numbers.decimal.encode() == self.delimiter

    def has_rows(self, records: Records, width: int) -> bool:
        """Whether records are more than blank lines and comments.

        In a table of one column a blank line is a row.
        """
        if width == 1 and not records.is_commented:
            return True
        return self._has_row_in(records.parsed, width)

    def end_of_last_row(self, records: Records, width: int) -> int:
        """The offset after the last row of records that have one.

        The lines after it are blank or comments, and belong to the next row.
        """
        stop = records.size
        if width == 1 and not records.is_commented:
            return stop
        while True:
            start = records.parsed.rfind(self.newline, 0, stop - 1) + 1
            if start == 0 or self._has_row_in(records.parsed[start:stop], width):
                return stop
            stop = start

    def _has_row_in(self, parsed: bytes, width: int) -> bool:
        if width == 1:
            return not _COMMENTS_ONLY.fullmatch(parsed)
        blanks = b" \t\r\n\0".replace(self.delimiter, b"")
        return bool(parsed[:1024].strip(blanks)) or bool(parsed.strip(blanks))

    def without_comments(self, data: bytes) -> bytes:
        """`data` with a zero byte in place of every byte of a comment.

        data : begins at the start of a record
        """
        if not self.comment or self.comment not in data:
            return data
        newline = re.escape(self.newline)
        comment = re.escape(self.comment)
        comments = re.compile(b"(?<![^%b])%b[^%b]*" % (newline, comment, newline))
        parts = []
        start = 0
        for found in comments.finditer(data):
            before = data[start : found.start()]
            # Within quotes, a line is a part of a cell.
            if len(find_quotes(before, self.separators)) % 2 == 0:
                parts += [before, bytes(len(found[0]))]
                start = found.end()
        return b"".join((*parts, data[start:])) if parts else data

    def quotes_in(self, data: bytes) -> IntArray:
        """Offsets of the quotes that open or close cells; `data` begins with a record."""
        return find_quotes(data if self.has_quotes else b"", self.separators)

    def records(self, data: bytes, *, line: int, offset: int, padded: int = 0) -> Records:
        """Whole records, with the places of their quotes and comments."""
        parsed = self.without_comments(data)
        return Records(
            line=line,
            offset=offset,
            data=data,
            parsed=parsed,
            quotes=self.quotes_in(parsed),
            padded=padded,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Records:
    """Some whole records of a table, byte for byte.

    line : line number of the first byte, counted from 1 · offset : bytes of UTF-8 text before it
    parsed : `data` with zero bytes in place of comments, the same object if it has none
    quotes : offsets of the quotes that open or close cells
    padded : length of the line end that was added to `data` because the last one was missing
    """

    line: int
    offset: int
    data: bytes
    parsed: bytes
    quotes: IntArray
    padded: int = 0

    @property
    def size(self) -> int:
        """Size of the text of the records, in bytes."""
        return len(self.data)

    @property
    def is_commented(self) -> bool:
        """Whether some line is a comment."""
        return self.parsed is not self.data


def end_of_records(data: bytes, quotes: IntArray, newline: bytes) -> int:
    """The offset after the last line end outside quotes, 0 if there is none."""
    stop = len(data)
    while (place := data.rfind(newline, 0, stop)) >= 0:
        quotes_before = int(np.searchsorted(quotes, place))
        if quotes_before % 2 == 0:
            return place + 1
        stop = int(quotes[quotes_before - 1])
    return 0


def whole_records(
    reads: Iterator[bytes], dialect: Dialect, *, line: int, offset: int, width: int, name: str
) -> Iterator[Records]:
    """Regroup text into whole records, wherever the reads were cut.

    line, offset : line number and offset of the first byte
    The last records may be only blank lines and comments; all others end with a row.
    """
    unread: list[bytes] = []
    for fresh in reads:
        unread.append(fresh)
        if dialect.newline not in fresh:
            _refuse_endless(sum(map(len, unread)), line, name)
            continue
        records, rest = _split_off_records(unread, dialect, line=line, offset=offset)
        _refuse_endless(len(rest), line, name)
        unread = [records.data, rest]
        if records.data and dialect.has_rows(records, width):
            stop = dialect.end_of_last_row(records, width)
            unread = [records.data[stop:], rest]
            records = _until(records, stop)
            yield records
            offset += len(records.data)
            line += _count_lines(records.data, dialect.newline)
    rest = b"".join(unread)
    if rest:
        yield _last_records(rest, dialect, line=line, offset=offset, name=name)


def _split_off_records(
    parts: list[bytes], dialect: Dialect, *, line: int, offset: int
) -> tuple[Records, bytes]:
    """The whole records in `parts`, and the rest; the last part holds a line end."""
    if not dialect.has_quotes or not any(b'"' in part for part in parts):
        last = parts[-1]
        cut = last.rfind(dialect.newline) + 1
        data = b"".join((*parts[:-1], memoryview(last)[:cut]))
        return dialect.records(data, line=line, offset=offset), last[cut:]
    held = b"".join(parts)
    parsed = dialect.without_comments(held)
    quotes = find_quotes(parsed, dialect.separators)
    cut = end_of_records(parsed, quotes, dialect.newline)
    data = held[:cut]
    records = Records(
        line=line,
        offset=offset,
        data=data,
        parsed=data if parsed is held else parsed[:cut],
        quotes=quotes[: np.searchsorted(quotes, cut)],
    )
    return records, held[cut:]


def _until(records: Records, stop: int) -> Records:
    """The records before the offset `stop`; only blank lines and comments come after it."""
    if stop == records.size:
        return records
    data = records.data[:stop]
    parsed = records.parsed[:stop] if records.is_commented else data
    return replace(records, data=data, parsed=parsed)


def _last_records(rest: bytes, dialect: Dialect, *, line: int, offset: int, name: str) -> Records:
    added = b""
    if not rest.endswith(dialect.newline):
        added = dialect.line_end
    records = dialect.records(rest + added, line=line, offset=offset, padded=len(added))
    quotes = records.quotes
    if len(quotes) % 2:
        line += rest.count(dialect.newline, 0, int(quotes[-1]))
        raise InputError(
            f"{name}, line {line}: the quoted cell that opens here is never closed",
            hint="close it, or write a quote inside a quoted cell twice",
        )
    return records


def join_records(parts: list[Records]) -> Records:
    """Put consecutive records together."""
    quotes, length = [], 0
    for records in parts:
        quotes.append(records.quotes + length)
        length += len(records.data)
    data = b"".join(records.data for records in parts)
    parsed = data
    if any(records.is_commented for records in parts):
        parsed = b"".join(records.parsed for records in parts)
    return Records(
        line=parts[0].line,
        offset=parts[0].offset,
        data=data,
        parsed=parsed,
        quotes=np.concatenate(quotes),
        padded=parts[-1].padded,
    )


def _refuse_endless(length: int, line: int, name: str) -> None:
    if length > MAX_RECORD:
        raise InputError(
            f"{name}: the row that begins at or after line {line} "
            f"is longer than {MAX_RECORD >> 20} MB",
            hint="is a quote left open, or is this no table?",
        )


def _count_lines(data: bytes, newline: bytes) -> int:
    """Number of line ends, counted seven times as fast as by `bytes.count`."""
    octets = np.frombuffer(data, np.uint8)
    return int(np.count_nonzero(octets == newline[0]))


def at_most_one(records: Iterator[Records]) -> list[Records]:
    """The next records, or nothing at the end."""
    following = next(records, None)
    return [] if following is None else [following]
