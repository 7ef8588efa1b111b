"""Rows made regular before they are filtered: one for each bin of the calendar.

`--every 1d` turns a table into one with a row for every day: the means of the rows of that day, or
missing cells. It is the text of a table again, which a `TableSource` reads as any other. A row
keeps the other cells of the newest row of its bin. A row for an empty bin has the names of its
group, its time, and nothing else. Its time is where the bin begins, written as the times of the
table are.
"""

from __future__ import annotations

import io
from dataclasses import field, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError
from convcli.media.tables.numerals import write_numbers
from convcli.media.tables.source import TableSource
from convcli.media.tables.table_options import bin_length
from convcli.media.tables.text import TextInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convcli.calendar_bins import CalendarBins
    from convcli.media.tables.compression import Compression
    from convcli.media.tables.delimited import RowSpans
    from convcli.media.tables.numerals import Floats
    from convcli.media.tables.table_options import TableOptions
    from convcli.media.tables.time_stamps import Stamper
    from convcli.signals import Groups

    Integers = npt.NDArray[np.int64]
    # Writes times on the wall clock, which are these instants.
    WriteTimes = Callable[[Integers, Integers], list[bytes]]

# The most rows with which one gap is filled.
MOST_FILLED = 1 << 22


@dataclass(frozen=True, eq=False, kw_only=True)
class RegularText(TextInput):
    """The text of a table whose rows are made regular.

    source : the table before that
    """

    source: TableSource
    bins: CalendarBins

    @property
    def seekable(self) -> bool:
        """False: the text is made while it is read."""
        return False

    @property
    def repeatable(self) -> bool:
        """Whether the table can be read again from the start."""
        return self.source.repeatable

    def open(self) -> BinaryIO:
        """Return an empty stream: `reads` makes the text."""
        return io.BytesIO()

    def reads(self, stream: BinaryIO) -> tuple[Compression | None, Iterator[bytes]]:
        """Return the text in blocks; it is not compressed."""
        return None, self._blocks()

    def _blocks(self) -> Iterator[bytes]:
        source = self.source
        encoding = source.encoding
        yield bytes(encoding.back(source.header_line.text))
        rows = _RegularRows(source, self.bins)
        for records in source.pieces():
            block = source.decode(records)
            block.on_arrival()
            spans = source.all_cells(records)
            if block.stamps is not None:
                rows.add(spans, np.asarray(block.x, np.float64), block.stamps, block.groups)
                yield bytes(encoding.back(rows.complete()))
        yield bytes(encoding.back(rows.rest()))


def regular_table(text: TextInput, options: TableOptions) -> TableSource:
    """Open a table whose rows are made regular, as `options.every` says."""
    source = TableSource(text, replace(options, every=None, irregular=True))
    # With --follow the first rows may be regular and later ones not.
    source.expect_equal_steps(equal=False)
    columns = tuple(source.header[column] for column in source.columns)
    regular = RegularText(
        path=text.path,
        stdin=None,
        asked=text.asked,
        follow=text.follow,
        source=source,
        bins=bin_length(options.every or ""),
    )
    known = replace(
        options, columns=columns, delimiter=source.dialect.delimiter.decode(), skip_rows=0
    )
    table = TableSource(regular, known)
    table.warnings[:0] = source.warnings
    return table


@dataclass(eq=False)
class _OpenBin:
    """The bin of a group to which more rows may still come.

    x : its rows so far; cells : those of the newest row
    first, row : the numbers of its first and of its newest row in the table
    offset : of the wall clock from UTC, in nanoseconds
    """

    number: int
    x: Floats
    cells: list[bytes]
    first: int
    row: int
    offset: int


@dataclass(frozen=True, eq=False)
class _Line:
    """A row that is ready: its text, and the number of the row of the table that it stands for.

    A row for an empty bin comes before the first row after the gap.
    """

    row: int
    text: bytes


@dataclass(eq=False)
class _RegularRows:
    """The rows of a table as they come, and regular rows as they are complete."""

    source: TableSource
    bins: CalendarBins
    _open: dict[bytes, _OpenBin] = field(default_factory=dict)
    _ready: list[_Line] = field(default_factory=list)
    _seen: int = 0
    _writer: WriteTimes | None = None

    def add(self, spans: RowSpans, x: Floats, stamps: Integers, groups: Groups | None) -> None:
        """Add the next rows of the table to the bins of their groups."""
        stamper = self.source.stamper
        if self._writer is None and len(x) and stamper is not None:
            example = spans.cells[self.source.time_column].numerals().texts()[0]
            self._writer = _writer_of_times(self.source, stamper, example)
        numbers = self.bins.numbers(stamps)
        offsets = stamps[:, 1] - stamps[:, 0]
        places = [(b"", np.arange(len(x)))] if groups is None else groups.places()
        for name, rows in places:
            self._add_group(name, _Rows(spans, x, numbers, offsets, rows))
        self._seen += len(x)

    def complete(self) -> bytes:
        """Return the text of the rows that no later row can precede."""
        oldest = min((each.row for each in self._open.values()), default=self._seen)
        # A row for an empty bin is known as soon as the first row after it has come.
        ready = [line for line in self._ready if line.row <= oldest]
        self._ready = [line for line in self._ready if line.row > oldest]
        return _text_of(ready)

    def rest(self) -> bytes:
        """Return the text of all other rows, at the end of the table."""
        for open_bin in self._open.values():
            self._write([open_bin], None)
        ready, self._ready, self._open = self._ready, [], {}
        return _text_of(ready)

    def _add_group(self, name: bytes, rows: _Rows) -> None:
        """Take in the next rows of a group."""
        before = self._open.get(name)
        found = list(rows.bins(self._seen, before))
        *complete, self._open[name] = found
        self._write(complete, self._open[name])

    def _write(self, bins: list[_OpenBin], following: _OpenBin | None) -> None:
        """Write complete bins, and the empty ones up to the one that follows them."""
        for number, one in enumerate(bins):
            later = bins[number + 1] if number + 1 < len(bins) else following
            self._write_bin(one)
            if later is not None:
                self._write_empty(one, later)

    def _write_bin(self, one: _OpenBin) -> None:
        dialect = self.source.dialect
        cells = list(one.cells)
        with np.errstate(invalid="ignore"):
            known = ~np.isnan(one.x)
            counts = known.sum(axis=0)
            sums = np.where(known, one.x, 0.0).sum(axis=0)
            means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        texts = write_numbers(means, decimals=None, decimal=dialect.numbers.decimal)
        for column, text in zip(self.source.columns, texts, strict=True):
            quoted = dialect.number_needs_quotes and dialect.delimiter in text
            cells[column] = b'"' + text + b'"' if quoted else text
        numbers = np.array([one.number])
        self._put_line(one.row, cells, self._labels(numbers, one.offset)[0])

    def _write_empty(self, one: _OpenBin, later: _OpenBin) -> None:
        """Write the empty bins between two bins."""
        count = later.number - one.number - 1
        if count > MOST_FILLED:
            raise InputError(
                f"{self.source.name}: --every would fill a gap with {count:,} rows; "
                f"at most {MOST_FILLED:,} are made",
                hint="a longer --every, or a time column without such a gap",
            )
        if count <= 0:
            return
        kept = [b""] * len(one.cells)
        for column in self.source.by_columns:
            kept[column] = one.cells[column]
        numbers = np.arange(one.number + 1, later.number)
        for label in self._labels(numbers, one.offset):
            self._put_line(later.first, kept, label)

    def _labels(self, numbers: Integers, offset: int) -> list[bytes]:
        """Return the times at which bins begin, as the table writes times."""
        wall = self.bins.starts(numbers, offset)
        if self._writer is None:
            raise AssertionError("a row came before its time was read")
        return self._writer(wall, wall - offset)

    def _put_line(self, row: int, cells: list[bytes], label: bytes) -> None:
        cells = list(cells)
        cells[self.source.time_column] = label
        header = self.source.header_line
        ending = header.text[header.stop :] or self.source.dialect.newline
        self._ready.append(_Line(row, self.source.dialect.delimiter.join(cells) + ending))


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of one group in a block; `rows` are their places."""

    spans: RowSpans
    x: Floats
    numbers: Integers
    offsets: Integers
    rows: Integers

    def bins(self, seen: int, before: _OpenBin | None) -> Iterator[_OpenBin]:
        """Yield the bins of the rows; the first may continue the open one from before.

        seen : how many rows of the table came before the block
        """
        numbers = self.numbers[self.rows]
        if before is not None:
            # When the wall clock is put back, the current bin continues.
            numbers = np.maximum(numbers, before.number)
        numbers = np.maximum.accumulate(numbers)
        cuts = np.flatnonzero(np.diff(numbers)) + 1
        bounds = [0, *cuts.tolist(), len(numbers)]
        last_places = np.array(bounds[1:]) - 1
        texts = self._cells_of(self.rows[last_places])
        if before is not None and before.number != numbers[0]:
            yield before
            before = None
        for start, stop, cells in zip(bounds[:-1], bounds[1:], texts, strict=True):
            rows = self.rows[start:stop]
            x = self.x[rows]
            first = seen + int(rows[0])
            if before is not None:
                x = np.concatenate([before.x, x])
                first = before.first
                before = None
            last = int(rows[-1])
            offset = int(self.offsets[last])
            yield _OpenBin(int(numbers[start]), x, list(cells), first, seen + last, offset)

    def _cells_of(self, rows: Integers) -> Iterator[tuple[bytes, ...]]:
        """Yield the texts of all cells of some rows, row by row."""
        columns = [self.spans.cells[column] for column in sorted(self.spans.cells)]
        return zip(*(cells[rows].texts() for cells in columns), strict=True)


def _text_of(lines: list[_Line]) -> bytes:
    """The text of lines in the order of their rows."""
    in_order = sorted(lines, key=attrgetter("row"))
    return b"".join(line.text for line in in_order)


# ------------------------------------------------------------------------------- times as text


def _writer_of_times(source: TableSource, stamper: Stamper, example: bytes) -> WriteTimes:
    """Return what writes times as the table does.

    example : a time of the table
    """
    unit = stamper.notation.unit_of_numbers
    if unit is not None:
        return lambda _wall, instants: [
            _instant_text(instant, unit) for instant in instants.tolist()
        ]

    def writer(wall: Integers, instants: Integers) -> list[bytes]:
        if stamper.notation.form:
            offset = _offset_text(int(wall[0] - instants[0]), example)
            texts = _strftime(wall, stamper.notation.form.replace("%z", offset))
        else:
            texts = _iso(wall, example)
        read_back = np.array([stamper.notation.read_date(text) for text in texts])
        wrong = np.flatnonzero(read_back != instants)
        if len(wrong):
            shown = texts[wrong[0]].decode("utf-8", "replace")
            raise RequestError(
                f"{source.name}: --every cannot write the beginning of a bin as the times in "
                f"{source.header[source.time_column]} are written, got {shown}",
                hint="dates go with --every 1d or longer, months with 1mo, years with 1y",
            )
        return texts

    return writer


def _instant_text(instant: int, unit: int) -> bytes:
    whole, rest = divmod(instant, unit)
    return b"%d" % whole if rest == 0 else repr(instant / unit).encode()


def _offset_text(offset: int, example: bytes) -> str:
    """An offset from UTC in nanoseconds, with a colon if `example` has one: +02:00."""
    if example.endswith(b"Z"):
        return "Z"
    minutes = abs(offset) // 60_000_000_000
    sign = "-" if offset < 0 else "+"
    colon = ":" if example[-3:-2] == b":" else ""
    return f"{sign}{minutes // 60:02d}{colon}{minutes % 60:02d}"


def _iso(wall: Integers, example: bytes) -> list[bytes]:
    """Dates like `example`: 20240131, 2024-01-31, or with a time of day."""
    if b"-" not in example:
        return [text.replace(b"-", b"") for text in _iso(wall, b"2024-01-31")]
    units: dict[int, Any] = {10: "D", 16: "m", 19: "s"}
    unit = units.get(len(example), "ns")
    between = example[10:11].decode() or "T"
    dates = wall.view("datetime64[ns]").astype(f"datetime64[{unit}]")
    texts = np.datetime_as_string(dates)
    length = len(example)
    spaced = [str(text).replace("T", between) for text in texts]
    return [text[:length].encode() for text in spaced]


def _strftime(wall: Integers, form: str) -> list[bytes]:
    import pandas as pd

    texts: Any = pd.DatetimeIndex(wall.view("datetime64[ns]")).strftime(form)
    return [str(text).encode() for text in texts]
