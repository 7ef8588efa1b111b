"""Tables that are text in lines: what delimited text and JSON Lines share."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.errors import InputError
from convcli.media.tables.cells import Cells, cells_by_row
from convcli.media.tables.columns import ColumnNames, ColumnSearch, first_identifier, shown_cell
from convcli.media.tables.numerals import (
    LARGEST_EXACT,
    BadCellError,
    first_rounded_number,
    read_numbers,
)
from convcli.media.tables.recent_rows import DecodedRows, RecentRows, RowsInFile, RowsInScratch
from convcli.media.tables.records import join_records
from convcli.media.tables.source import Pass, TableSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from convcli.array_types import FloatArray, IntArray
    from convcli.media.tables.compression import Compression
    from convcli.media.tables.header import Header
    from convcli.media.tables.records import Records
    from convcli.media.tables.rows import RowSpans
    from convcli.media.tables.text import Encoding, TextInput


class TextSource(TableSource):
    """The wanted columns of a table whose rows are lines of text."""

    @property
    def text(self) -> TextInput:
        """The text of the table, which can be read from any place on if nothing is `undivided`."""
        text: TextInput = self._input
        return text

    # --- opening ---

    def _open(self) -> Pass:
        with ExitStack() as opening:
            stream = self.text.open()
            if self.path is not None:
                opening.enter_context(stream)
            encoding, header, records, compression = self._opened(stream)
            closing = opening.pop_all()
        return Pass(encoding, header, records, closing, compression)

    @abstractmethod
    def _opened(
        self, stream: BinaryIO
    ) -> tuple[Encoding, Header, Iterator[Records], Compression | None]:
        """The encoding, the header, the records after it, and how the file is compressed."""

    def _find_columns(
        self, names: ColumnNames, seen: list[Records], coming: Iterator[Records]
    ) -> tuple[int, ...]:
        """The columns to filter: those asked for, else all numeric ones besides group and time.

        Records of a pipe that this takes are added to `seen`.
        """
        asked = self.options.columns.names
        if asked is not None:
            return names.find_all(asked, but=self._keys())
        return ColumnSearch(self, seen, coming).columns(names)

    @abstractmethod
    def rows_of(self, records: Records, columns: Iterable[int] = ()) -> RowSpans:
        """The rows of some records with the cells of some columns."""

    def rows_to_search(self, records: Records, columns: Iterable[int]) -> RowSpans:
        """The rows of some records, in which a search for columns of numbers looks at cells."""
        return self.rows_of(records, columns)

    # --- decoding ---

    def end_of_first_row(self, records: Records) -> int | None:
        """Offset in some records after the first row and its line end; None without a line end."""
        spans = self.rows_of(records)
        line_end = records.data.find(self.dialect.newline, int(spans.stops[0]))
        length = len(records.data) - records.padded
        if line_end < 0 or line_end >= length:
            return None
        return line_end + 1

    def has_rows(self, records: Any) -> bool:
        """Whether records are more than blank lines and comments."""
        return self.dialect.has_rows(records, len(self.header))

    def joined(self, parts: list[Any]) -> Any:
        """Join consecutive records to one block of text."""
        return join_records(parts)

    def _decode(self, records: Any) -> tuple[Any, FloatArray]:
        """The rows of some records and their numbers, `(rows, channels)`."""
        spans = self.rows_of(records, {*self.columns, *self._keys()})
        shape = (spans.count, len(self.columns))
        if 0 in shape:
            nowhere = np.zeros(shape, np.int64)
            return DecodedRows(spans, nowhere, nowhere, None), np.zeros(shape)
        # All numbers are read together, in the order of the file: calls of a library for each
        # column would take most of the time where columns are many and rows are few.
        columns = sorted(self.columns)
        cells = cells_by_row([spans.cells[column] for column in columns]).numerals()
        values = self._read_numbers(spans, cells, columns)
        starts, stops = cells.start.reshape(shape), cells.stop.reshape(shape)
        x = values.reshape(shape)
        if columns != list(self.columns):
            order = np.searchsorted(columns, self.columns)
            starts, stops, x = starts[:, order], stops[:, order], x[:, order]
        missing = np.isnan(x)
        rounded = self._rounded_numbers(x, starts, stops, cells.data)
        return DecodedRows(spans, starts, stops, missing if missing.any() else None, rounded), x

    def _rounded_numbers(
        self, x: FloatArray, starts: IntArray, stops: IntArray, text: bytes
    ) -> dict[int, str]:
        """For each channel a whole number that is rounded, if there is one.

        starts, stops : (rows, channels) the places of the numbers in `text`
        """
        large = np.abs(x) >= LARGEST_EXACT
        rounded: dict[int, str] = {}
        for channel in np.flatnonzero(large.any(axis=0)).tolist():
            cells = Cells(text, starts[:, channel], stops[:, channel])
            number = first_rounded_number(x[:, channel], partial(self._digits, cells))
            if number is not None:
                rounded[channel] = number
        return rounded

    def _digits(self, cells: Cells, row: int) -> str:
        """The text of a number without separators of thousands."""
        text = cells.data[cells.start[row] : cells.stop[row]]
        return self.dialect.numbers.without_thousands(text).decode("utf-8", "replace")

    def _read_numbers(self, spans: RowSpans, cells: Cells, columns: list[int]) -> FloatArray:
        """The numbers of the cells of `columns`, row by row. Raises InputError."""
        automatic = self.options.columns.names is None
        try:
            values = read_numbers(cells, self.dialect.numbers)
        except BadCellError as bad:
            row, place = divmod(bad.row, len(columns))
            advice = (bad.hint, spans.advice_on_words(row), "-c names the columns to filter")
            hint = "; ".join(filter(None, advice))
            raise self._bad_cell(spans, row, columns[place], "a number", hint) from None
        identifier = first_identifier(cells) if automatic else None
        if identifier is not None:
            expected = "a number without leading zeros, as in the first row"
            hint = "-c names the columns to filter, and reads what is in them as numbers"
            row, place = divmod(identifier, len(columns))
            raise self._bad_cell(spans, row, columns[place], expected, hint)
        return values

    def _bad_cell(
        self, spans: RowSpans, row: int, column: int, expected: str, hint: str
    ) -> InputError:
        place = spans.place_of_cell(row, column)
        cell = shown_cell(spans.cells[column].text(row))
        where = f"{self.name}, {place}, column {self.header[column]}"
        return InputError(f"{where}: expected {expected}, got {cell}", hint=hint)

    def keep_text(self) -> RecentRows:
        """From now on keep the text of decoded rows, in the object returned."""
        is_stored_as_read = self.compression is None and self.encoding.stored is None
        if self.text.seekable and self.repeatable and is_stored_as_read:
            self._recent = RecentRows(RowsInFile(self.text, self._redecode))
        else:
            self._recent = RecentRows(RowsInScratch(self._redecode))
        return self._recent

    def _redecode(self, records: Records, text: bytes) -> DecodedRows:
        """Decode records again whose text was dropped; `text` : as it was read again."""
        added = self.dialect.line_end[: records.padded]
        again = self.dialect.records(
            text + added, line=records.line, offset=records.offset, padded=records.padded
        )
        decoded: DecodedRows = self._decode(again)[0]
        return decoded
