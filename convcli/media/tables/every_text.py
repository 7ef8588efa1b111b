"""Rows of delimited text made regular, and times written as a table writes them."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.media.tables.cells import quoted
from convcli.media.tables.date_notation import OFFSET
from convcli.media.tables.every import RegularRows
from convcli.media.tables.numerals import write_numbers
from convcli.media.tables.text import TextInput

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Sequence

    from convcli.array_types import FloatArray, IntArray
    from convcli.calendar_bins import CalendarBins
    from convcli.media.tables.compression import Compression
    from convcli.media.tables.date_spelling import DateSpelling
    from convcli.media.tables.every import KeepRows, RegularRow, RowForm
    from convcli.media.tables.source import TableSource
    from convcli.media.tables.text_source import TextSource


@dataclass(frozen=True, eq=False, kw_only=True)
class RegularText(TextInput):
    """The text of a table whose rows are made regular.

    source : the table before that
    form : how its rows are written; start : the text before the first of them, as UTF-8
    found_columns : the numbers of the columns that FILTER reads; None if they are asked for by name
    """

    source: TableSource
    bins: CalendarBins
    form: RowForm
    start: bytes
    found_columns: tuple[int, ...] | None

    @classmethod
    def of(
        cls,
        source: TextSource,
        bins: CalendarBins,
        form: RowForm,
        found_columns: tuple[int, ...] | None,
    ) -> RegularText:
        """Return the regular text of a table that is read from a text."""
        text = source.text
        return cls(
            path=text.path,
            stdin=None,
            asked=text.asked,
            follow=text.follow,
            source=source,
            bins=bins,
            form=form,
            start=source.header_line.text,
            found_columns=found_columns,
        )

    @property
    def seekable(self) -> bool:
        """False: the text is made while it is read."""
        return False

    @property
    def repeatable(self) -> bool:
        """Whether the table can be read again from the start."""
        return self.source.repeatable

    @property
    def known_columns(self) -> tuple[int, ...] | None:
        """The numbers of the columns that FILTER reads; None if they are asked for by name."""
        return self.found_columns

    def open(self) -> BinaryIO:
        """Return an empty stream: `reads` makes the text."""
        return io.BytesIO()

    def reads(self, stream: BinaryIO) -> tuple[Compression | None, Iterator[bytes]]:
        """Return the text in blocks; it is not compressed."""
        return None, self._blocks()

    def _blocks(self) -> Iterator[bytes]:
        encoding = self.source.encoding
        if self.start:
            yield bytes(encoding.back(self.start))
        for text in RegularRows(self.source, self.bins, self.form).parts():
            yield bytes(encoding.back(text))


@dataclass(frozen=True, eq=False)
class TextForm(ABC):
    """Rows that are lines of text."""

    source: TextSource

    @abstractmethod
    def keeper(self, records: Any) -> KeepRows:
        """Return the function that keeps rows of a part of the table."""

    @abstractmethod
    def _time_of(self, kept: Any) -> bytes:
        """The time of a row that was kept, as the table writes it."""

    @abstractmethod
    def _line(self, row: RegularRow, time: bytes) -> bytes:
        """A row as a line of the table."""

    def joined(self, rows: list[RegularRow]) -> bytes:
        """Return rows as lines of the table."""
        example = self._time_of(rows[0].kept).strip(b'" ')
        times = TimesAsText(self.source, example).texts(rows)
        lines = [self._line(row, time) for row, time in zip(rows, times, strict=True)]
        return b"".join(lines)


@dataclass(frozen=True, eq=False)
class DelimitedForm(TextForm):
    """Rows of cells between delimiters. What is kept of a row is the text of its cells."""

    def keeper(self, records: Any) -> KeepRows:
        """Return the function that gives the cells of rows."""
        spans = self.source.rows_of(records, range(len(self.source.header)))
        columns = [spans.cells[column] for column in sorted(spans.cells)]

        def cells_of(rows: IntArray) -> Sequence[tuple[bytes, ...]]:
            texts = [cells[rows].texts() for cells in columns]
            return list(zip(*texts, strict=True))

        return cells_of

    def _time_of(self, kept: Sequence[bytes]) -> bytes:
        return kept[self.source.time_column]

    def _line(self, row: RegularRow, time: bytes) -> bytes:
        source = self.source
        if row.means is None:
            cells = [b""] * len(row.kept)
            for column in source.by_columns:
                cells[column] = row.kept[column]
        else:
            cells = list(row.kept)
            for column, text in zip(source.columns, self._numbers(row.means), strict=True):
                cells[column] = text
        cells[source.time_column] = quoted(time, source.dialect.delimiter)
        return source.dialect.delimiter.join(cells) + source.dialect.line_end

    def _numbers(self, means: FloatArray) -> Iterator[bytes]:
        dialect = self.source.dialect
        for text in write_numbers(means, decimals=None, decimal=dialect.numbers.decimal):
            needs_quotes = dialect.number_needs_quotes and dialect.delimiter in text
            yield b'"' + text + b'"' if needs_quotes else text


@dataclass(frozen=True, eq=False)
class TimesAsText:
    """Writes times as the column of times of a table does.

    example : a time of the table
    """

    source: TableSource
    example: bytes

    def texts(self, rows: list[RegularRow]) -> list[bytes]:
        """Return the times of rows. RequestError if this notation cannot write them."""
        stamper = self.source.stamper
        if stamper is None:
            raise AssertionError("a row came before its time was read")
        notation = stamper.notation
        unit = notation.unit_of_numbers
        if unit is not None:
            decimal = self.source.dialect.numbers.decimal.encode()
            texts = [_instant_text(row.instant, unit) for row in rows]
            return [text.replace(b".", decimal) for text in texts]
        texts = self._dates(rows, notation.form, stamper.spelling)
        # All at once: pandas takes 1.5 ms to read a date, and as long to read a thousand.
        found = notation.read_back(texts)
        wrong = np.flatnonzero(found != [row.instant for row in rows])
        if len(wrong):
            self._refuse(texts[wrong[0]])
        return texts

    def _dates(self, rows: list[RegularRow], form: str, spelling: DateSpelling) -> list[bytes]:
        wall = np.array([row.wall for row in rows])
        instants = np.array([row.instant for row in rows])
        if not form:
            return _iso(wall, self.example)
        zone = OFFSET.search(self.example)
        if zone is None or zone["utc"]:
            word = zone["utc"].decode() if zone else ""
            return spelling.texts(instants, form.replace("%z", word).replace("%Z", word))
        offsets = wall - instants
        texts = np.empty(len(rows), object)
        for offset in np.unique(offsets).tolist():
            some = offsets == offset
            named = form.replace("%z", _offset_text(offset, zone))
            texts[some] = spelling.texts(wall[some], named)
        return list(texts)

    def _refuse(self, text: bytes) -> None:
        source = self.source
        shown = text.decode("utf-8", "replace")
        raise RequestError(
            f"{source.name}: --every cannot write the beginning of a bin as the times in "
            f"{source.header[source.time_column]} are written, got {shown}",
            hint="dates go with --every 1d or longer, months with 1mo, years with 1y",
        )


def _instant_text(instant: int, unit: int) -> bytes:
    whole, rest = divmod(instant, unit)
    return b"%d" % whole if rest == 0 else repr(instant / unit).encode()


def _offset_text(offset: int, example: re.Match[bytes]) -> str:
    """An offset from UTC in nanoseconds, written as in an example: +02:00, +0200 or +02."""
    minutes = abs(offset) // 60_000_000_000
    hours, rest = divmod(minutes, 60)
    sign = "-" if offset < 0 else "+"
    if example["minutes"] is None and rest == 0:
        return f"{sign}{hours:02d}"
    colon = ":"
    if example["minutes"] and not example["colon"]:
        colon = ""
    return f"{sign}{hours:02d}{colon}{rest:02d}"


def _iso(wall: IntArray, example: bytes) -> list[bytes]:
    """Dates like `example`: 20240131, 20240131093000, 2024-01-31, or with a time of day."""
    if b"-" not in example:
        separated = b"2024-01-31 09:30:00"
        if len(example) == len(b"20240131"):
            separated = b"2024-01-31"
        return [text.translate(None, b"-: ") for text in _iso(wall, separated)]
    units: dict[int, Any] = {10: "D", 16: "m", 19: "s"}
    unit = units.get(len(example), "ns")
    between = example[10:11].decode() or "T"
    dates = wall.view("datetime64[ns]").astype(f"datetime64[{unit}]")
    texts = np.datetime_as_string(dates)
    length = len(example)
    spaced = [str(text).replace("T", between) for text in texts]
    return [text[:length].encode() for text in spaced]
