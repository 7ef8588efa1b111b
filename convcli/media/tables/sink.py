"""Tables written: the rows of a source with new numbers in them.

`OutputColumns` says which columns the results of a filter become, and how numbers are written.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.media.files import FileSink
from convcli.media.replacing import append_file
from convcli.media.tables.cells import quoted
from convcli.media.tables.source import RowCounts
from convcli.media.tables.splicing import splice
from convcli.signals import row_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from convcli.array_types import FloatArray, IntArray
    from convcli.media.tables.batch_writers import BatchWriter
    from convcli.media.tables.recent_rows import DecodedRows
    from convcli.media.tables.records import Dialect
    from convcli.media.tables.source import TableSource
    from convcli.media.tables.table_formats import TableFormat
    from convcli.signals import AnyRows, Array, Rows


@dataclass(frozen=True, eq=False, kw_only=True)
class WrittenColumns:
    """The columns that the channels of a result become.

    replaced : the channels of the source whose columns the first channels of the result take
    added : the names of new columns for the others
    """

    replaced: tuple[int, ...]
    added: tuple[str, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class OutputColumns:
    """Where and how new numbers are written.

    columns : the numbers of the filtered columns in the file, in the order of the channels
    append : write new cells at the end of the row, in place of replacing the old ones
    made : how many columns are written for all of the filtered ones together; None: one for each,
        in its place
    added : the names of further channels, which are written at the end of the row
    prefixes : what stands before each number at the end of the row; none: the delimiter
    missing : the text of a missing number
    """

    dialect: Dialect
    columns: tuple[int, ...]
    append: bool
    decimals: int | None
    made: int | None = None
    added: tuple[str, ...] = ()
    prefixes: tuple[bytes, ...] = ()
    missing: bytes = b""

    @property
    def has_new(self) -> bool:
        """Whether some numbers become columns that the table did not have."""
        return self.append or self.made is not None or bool(self.added)

    def prefixes_of(self, count: int) -> tuple[bytes, ...]:
        """The text before each of `count` numbers at the end of a row."""
        return self.prefixes or (self.dialect.delimiter,) * count

    @property
    def channels_in_row_order(self) -> list[int]:
        """The channels in the order in which their numbers are in a row."""
        if self.made is not None:
            return list(range(self.made))
        channels = list(range(len(self.columns)))
        if not self.append:
            channels.sort(key=lambda channel: self.columns[channel])
        return channels

    def arranged(self, old: Sequence[Any], new: Sequence[Any]) -> list[Any]:
        """What belongs to the columns of the table, with that of new columns.

        New columns are behind all others, or in place of those that were read. Of a header
        without rows it is not known which columns would be read.
        """
        if self.append or self.made is None or not self.columns:
            return [*old, *new]
        arranged: list[Any] = []
        for number, each in enumerate(old):
            if number == min(self.columns):
                arranged += new
            elif number not in self.columns:
                arranged.append(each)
        return arranged


@dataclass(frozen=True, eq=False)
class EncodedRows:
    """Rows that are ready to be written.

    parts : texts, or record batches
    rows : their number · stop : number of the row after the last one
    missing : missing numbers of each channel
    """

    parts: list[Any]
    rows: int
    stop: int
    missing: IntArray


class TableSink(FileSink):
    """Writes rows of a source with new numbers, in their order.

    target : binary; stays open · suffix : with `append`, new columns are called `Close_<suffix>`
    format : of the output; None for that of the source
    channels : the columns that the numbers belong to, if not all that were read; other names are
        new columns, in place of all that were read
    unchanged : the filter changes nothing, so that cells are copied
    held : what is closed with the sink; nothing at first

    Make the sink before the pass that is to be written: then the source keeps the text of rows.
    Raises RequestError if a new name exists already.
    """

    def __init__(
        self,
        target: BinaryIO,
        *,
        source: TableSource,
        format: TableFormat | None = None,
        suffix: str = "",
        channels: tuple[str, ...] | None = None,
        unchanged: bool = False,
    ) -> None:
        self.warnings: list[str] = []
        self._target = target
        self._source = source
        self._format = format or source.format
        # With --decimals numbers are written as asked for, even if they are the same.
        self._unchanged = unchanged and source.options.output.decimals is None
        self.held = ExitStack()
        self._names = source.signal.channels if channels is None else channels
        written = source.written
        if written is None:
            self._channels, made = _channels_written(self._names, source)
        else:
            self._channels, made = written.replaced, None
        columns = tuple(source.columns[channel] for channel in self._channels)
        self._output = OutputColumns(
            dialect=source.dialect,
            columns=columns,
            append=source.options.output.append and written is None,
            decimals=source.options.output.decimals,
            made=made,
            added=() if written is None else written.added,
        )
        self._make_header(suffix)
        self._started = False
        self._line_is_open = False
        self._counts = RowCounts(len(self._names))
        self._recent = source.keep_text()

    def start(self) -> None:
        """Write the header if it was not written; `write` and `close` do so themselves."""
        if not self._started:
            self._started = True
            self._write_text(self._header)

    def _make_header(self, suffix: str) -> None:
        """Prepare what comes before the rows."""
        self._header = self._header_text(suffix)

    def encode(self, y: Array | None, rows: AnyRows) -> EncodedRows:
        """The text of the input rows `rows` (increasing) with the numbers `y`, `(rows, channels)`.

        If y is None the cells stay byte for byte as they are, and an appended column repeats them.
        """
        if self._unchanged:
            y = None
        numbers = row_numbers(rows)
        parts: list[Any] = []
        missing = np.zeros(len(self._names), np.int64)
        values = None
        if y is not None:
            values = np.asarray(y, np.float64)
            missing = np.isnan(values).sum(axis=0)
        stop = 0
        all_channels = self._channels == tuple(range(len(self._source.columns)))
        for found, local, here in self._recent.find(numbers):
            decoded = found if all_channels else found.of_channels(self._channels)
            parts.append(self._splice(decoded, local, None if values is None else values[here]))
            stop = int(numbers[-1]) + 1
        return EncodedRows(parts, len(numbers), stop, missing)

    def _splice(self, decoded: Any, rows: Rows, values: FloatArray | None) -> Any:
        """Some of the decoded rows with new numbers, as they are written.

        decoded : rows with the channels that are written
        The last line of a table that does not end in a line end gets none.
        """
        text = self._spliced_text(decoded, rows, values)
        if int(rows[-1]) == decoded.count - 1:
            text = text[: len(text) - decoded.spans.records.padded]
        return self._source.encoding.back(text)

    def _spliced_text(
        self, decoded: DecodedRows, rows: Rows, values: FloatArray | None
    ) -> bytes | memoryview:
        """The text of rows in UTF-8, or in the one-byte code of the table."""
        return splice(decoded, rows, values, self._output)

    def write(self, encoded: EncodedRows) -> None:
        """Append rows; the source may forget the text up to here."""
        self.start()
        for part in encoded.parts:
            self._put_part(part)
        if self._source.options.follow:
            self._target.flush()
        self._counts.add(encoded.rows, encoded.missing)
        self._recent.release(encoded.stop)

    # --- parts ---

    def parted(self) -> Self:
        """The sink itself: `OpenedTable.division` has said all there is against parts."""
        return self

    def reserve(self) -> None:
        """Write the header; the rows of parts follow it."""
        self.start()

    def leave_header_out(self) -> None:
        """Write rows alone, since they follow those of another part."""
        self._started = True

    @property
    def written_part(self) -> RowCounts:
        """How many rows were written, and how many numbers of each column were missing."""
        return self._counts

    def add_part(self, written: RowCounts, place: Path) -> None:
        """Append the rows of a part, which are in the file `place`."""
        append_file(place, self._target)
        self._counts.add(written.rows, written.missing)

    def close(self) -> None:
        """Complete the table, and close what the sink holds."""
        self._complete()
        if not self._unchanged:
            self.warnings += self._source.roundings
        self._recent.clear()
        self.held.close()

    def _complete(self) -> None:
        """Write blank lines at the end of the table, and the header if there was no row."""
        self.start()
        if self._recent.tail:
            self._write_text(self._recent.tail)

    def discard(self) -> None:
        """Forget all rows after an error, and close the file, which stays incomplete."""
        self._recent.clear()
        with suppress(OSError):
            self.held.close()

    def facts(self) -> dict[str, Any]:
        """The number of rows and of missing numbers that were written."""
        return {
            "rows": self._counts.rows,
            "missing": self._counts.missing_by_name(self._names),
        }

    def _put_part(self, part: Any) -> None:
        """Write rows as `_splice` has made them.

        `upsample` writes the last row several times, perhaps in several blocks, so that another
        row may follow the line that has no end.
        """
        dialect = self._source.dialect
        if self._line_is_open:
            self._write_text(dialect.line_end)
        self._target.write(part)
        newline = self._source.encoding.back(dialect.newline)
        self._line_is_open = part[-len(newline) :] != newline

    def _write_text(self, text: bytes) -> None:
        self._target.write(self._source.encoding.back(text))
        if self._source.options.follow:
            self._target.flush()

    def _header_text(self, suffix: str) -> bytes:
        """The header line, with the names of new columns."""
        source, header = self._source, self._source.header_line
        output = self._output
        if not source.options.text.header or not output.has_new:
            return header.text
        names = self._new_names(suffix)
        if output.made is None and output.append:
            pairs = zip(names, output.columns, strict=True)
            added = [self._name_cell(name, column) for name, column in pairs]
        else:
            added = [self._name_cell(name, None) for name in names]
        delimiter = source.dialect.delimiter
        if output.append or output.added:
            old = header.text[: header.stop]
            return delimiter.join([old, *added]) + header.text[header.stop :]
        length = len(delimiter.join(header.cells))
        start = header.text[: header.stop - length]
        cells = output.arranged(header.cells, added)
        return start + delimiter.join(cells) + header.text[header.stop :]

    def _new_names(self, suffix: str) -> list[str]:
        """The names of new columns; RequestError if one exists already.

        A column of its own, as a model names it, gets the suffix only where its name is taken.
        """
        source, output = self._source, self._output
        known = set(source.header)
        if output.added:
            return self._added_names(known)
        if output.made is not None and not output.append:
            known -= {source.header[column] for column in output.columns}
        if output.made is None:
            names = [f"{source.header[column]}_{suffix}" for column in output.columns]
        else:
            names = [f"{name}_{suffix}" if name in known else name for name in self._names]
        for name in names:
            if name in known:
                hint = None if output.made else "without --append the cells are replaced"
                message = f"{source.name}: a column {name!r} exists already"
                raise RequestError(message, hint=hint)
            known.add(name)
        return names

    def _added_names(self, known: set[str]) -> list[str]:
        """The names of `--add`; RequestError if a column has one of them already."""
        for name in self._output.added:
            if name in known:
                raise RequestError(
                    f"{self._source.name}: a column {name!r} exists already",
                    hint=f"--add gives a new column a new name, --set {name}=... filters this one",
                )
            known.add(name)
        return list(self._output.added)

    def _name_cell(self, name: str, column: int | None) -> bytes:
        """An appended name, in quotes if the name of the old column has them or it needs them."""
        source = self._source
        text = source.encoding.cell(name)
        cell = quoted(text, source.dialect.delimiter)
        old = b"" if column is None else source.header_line.cells[column]
        if cell == text and old.startswith(b'"'):
            return b'"' + text + b'"'
        return cell


class BatchSink(TableSink):
    """Writes rows as record batches of a format of columns."""

    _writer: BatchWriter | None = None

    def start(self) -> None:
        """Do nothing: the first rows decide the types of the columns."""

    def _begun(self, schema: Any, codec: str | None = None) -> BatchWriter:
        """The writer of the file, which is begun with a schema if it was not."""
        if self._writer is None:
            self._writer = self._format.begin(self._target, schema, codec)
        return self._writer

    def discard(self) -> None:
        """Release everything after an error."""
        if self._writer is not None:
            self._writer.discard()
        super().discard()


def _channels_written(
    names: tuple[str, ...], source: TableSource
) -> tuple[tuple[int, ...], int | None]:
    """The channels of the source whose cells are written, and how many new columns there are.

    Names of columns that were read are written in their places: then no column is new.
    """
    known = source.signal.channels
    if names == known:  # two of which may have one name
        return tuple(range(len(known))), None
    if len(set(names)) == len(names) and set(names) <= set(known):
        return tuple(known.index(name) for name in names), None
    return tuple(range(len(known))), len(names)
