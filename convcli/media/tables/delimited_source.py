"""CSV and TSV as signals: numeric columns in and out, every other byte as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convcli.errors import InputError
from convcli.media.tables.columns import ColumnNames, shown_cell
from convcli.media.tables.header import Header, HeaderRules, delimiter_of, read_header_line
from convcli.media.tables.numerals import NumberStyle, reads_as_number
from convcli.media.tables.records import MAX_RECORD, whole_records
from convcli.media.tables.rows import RowSpans, find_rows
from convcli.media.tables.table_formats import DELIMITED
from convcli.media.tables.text import BOM, Encoding, preceded
from convcli.media.tables.text_source import TextSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from convcli.calendar_bins import CalendarBins
    from convcli.media.tables.compression import Compression
    from convcli.media.tables.records import Records
    from convcli.media.tables.sink import TableSink
    from convcli.media.tables.source import Pass, TableSource
    from convcli.media.tables.table_formats import TableFormat
    from convcli.media.tables.table_options import TableOptions


class DelimitedSource(TextSource):
    """The wanted columns of delimited text. Made by `open_table`."""

    format = DELIMITED

    def _opened(
        self, stream: BinaryIO
    ) -> tuple[Encoding, Header, Iterator[Records], Compression | None]:
        """The encoding, the header, the records after it, and how the file is compressed."""
        compression, encoding, reads = self.text.opened(stream)
        header, rest = self._read_header(reads, encoding)
        records = whole_records(
            preceded(rest, reads),
            header.dialect,
            line=1 + header.text.count(header.dialect.newline),
            offset=len(header.text),
            width=len(header.cells),
            name=self.name,
        )
        return encoding, header, records, compression

    def _read_header(self, reads: Iterator[bytes], encoding: Encoding) -> tuple[Header, bytes]:
        """The header and the text that was read beyond it."""
        rules = self._header_rules(encoding)
        start, header = b"", None
        while header is None:
            fresh = next(reads, b"")
            start += fresh
            _refuse_endless_header(start, self.name)
            header = read_header_line(start, rules, complete=not fresh)
        if not start.removeprefix(BOM).strip():
            raise InputError(
                f"{self.name}: expected a table, got an empty file",
                hint="a table has at least a header line",
            )
        leaves_out = bool(rules.skipped or rules.comment)
        if leaves_out and not b"".join(header.cells).strip():
            left_out = "the lines left out by --skip-rows and --comment"
            raise InputError(f"{self.name}: expected a table after {left_out}, got none")
        return header, start[len(header.text) :]

    def _header_rules(self, encoding: Encoding) -> HeaderRules:
        options = self.options
        delimiter = delimiter_of(self.path)
        if options.text.delimiter is not None:
            delimiter = options.text.delimiter.encode()
        words = (encoding.cell(word) for word in options.text.na)
        numbers = NumberStyle(
            decimal=options.text.decimal,
            thousands=encoding.cell(options.text.thousands),
            missing=frozenset(words),
        )
        return HeaderRules(
            delimiter=delimiter,
            numbers=numbers,
            headed=options.text.header,
            skipped=options.text.skip_rows,
            comment=encoding.cell(options.text.comment),
        )

    def _column_names(self) -> tuple[str, ...]:
        cells = self.header_line.cells
        if not self.options.text.header:
            return tuple(str(1 + i) for i in range(len(cells)))
        return tuple(self.encoding.name(cell) for cell in cells)

    def _choose_columns(self, names: ColumnNames, seen: list[Records], first_pass: Pass) -> None:
        super()._choose_columns(names, seen, first_pass)
        self._warn_of_number_in_header()

    def _warn_of_number_in_header(self) -> None:
        """Warn if the name of a filtered column is a number, unless the user has called it so."""
        if not self.options.text.header or self.options.columns.names is not None:
            return
        for column in self.columns or self.value_columns:
            cell = self.header_line.cells[column].strip().strip(b'"')
            if cell and reads_as_number(cell, self.dialect.numbers):
                self.warnings.append(
                    f"{self.name}: the first line is taken for names, and "
                    f"{shown_cell(self.header[column])} is a number; "
                    "--no-header if it is a row already"
                )
                return

    def rows_of(self, records: Records, columns: Iterable[int] = ()) -> RowSpans:
        """The rows of some records with the cells of some columns."""
        width = len(self.header)
        return find_rows(records, self.dialect, width=width, wanted=columns, name=self.name)

    @property
    def undivided(self) -> str | None:
        """Why the table is read in one piece; None if parts of it can be read by themselves."""
        if self.options.times.every is not None:
            return super().undivided
        if self.compression is not None:
            return "a compressed table is read from its beginning to its end"
        if self.encoding.stored is not None:
            return f"text in {self.encoding.stored} is read from its beginning to its end"
        if self.options.follow or not self.text.seekable:
            return "a pipe is read from its beginning to its end"
        if not self._has_one_rule:
            return "which rule its times follow is known when all of them were read"
        return None

    @property
    def _has_one_rule(self) -> bool:
        """Whether it is known by which rule all rows come. A file was read to its end for that."""
        return self._clock is None or self.repeatable or len(self._clock.rules) < 2

    def with_regular_rows(self, bins: CalendarBins, options: TableOptions) -> TableSource:
        """Return the table that has a row for each bin of the calendar, in the same format."""
        from convcli.media.tables.every_text import DelimitedForm, RegularText

        text = RegularText.of(self, bins, DelimitedForm(self), self.found_columns)
        delimiter = self.dialect.delimiter.decode()
        known = replace(options, text=replace(options.text, delimiter=delimiter))
        return DelimitedSource(text, known)

    def sink_of(self, format: TableFormat) -> type[TableSink]:
        """The sink that writes this table in its own or another format."""
        if format is self.format:
            from convcli.media.tables.sink import TableSink

            return TableSink
        from convcli.media.tables.converting_sink import ConvertingSink

        return ConvertingSink


def _refuse_endless_header(start: bytes, name: str) -> None:
    if len(start) > MAX_RECORD:
        raise InputError(
            f"{name}: the header is longer than {MAX_RECORD >> 20} MB",
            hint="is a quote left open, or is this no table?",
        )
