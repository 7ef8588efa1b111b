"""The writer of tables: the rows of a source with new numbers in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np

from convcli.errors import RequestError
from convcli.media.tables.delimited import quoted
from convcli.media.tables.splicing import Places, splice

if TYPE_CHECKING:
    from convcli.media.tables.numerals import Floats
    from convcli.media.tables.source import TableSource
    from convcli.media.tables.splicing import Passage
    from convcli.signals import AnyRows, Array, Rows


@dataclass(frozen=True)
class EncodedRows:
    """Text that is ready to be written: its parts, how many rows it is, and one past the last of them."""

    parts: list[bytes | memoryview]
    rows: int
    stop: int
    missing: tuple[int, ...]


class TableSink:
    """Writes the rows that outputs stand at, in their order.

    target : binary, written to in order. suffix : with `append`, the new columns are called `Close_<suffix>`.
    channels : the columns that the numbers belong to, where they are not all that were read.
    Make the sink before the pass that is to be written: from then on the source keeps the text of the rows.
    RequestError if an appended name exists already, or if there is no such column.
    """

    def __init__(
        self,
        target: BinaryIO,
        *,
        source: TableSource,
        suffix: str = "",
        channels: tuple[str, ...] | None = None,
    ) -> None:
        self._target = target
        self._source = source
        self._channels = source.signal.channels if channels is None else channels
        self._chosen = _places_of(self._channels, source)
        self._columns = tuple(source.columns[channel] for channel in self._chosen)
        self._header = self._header_text(suffix)
        self._started = False
        self._rows = 0
        self._missing = [0] * len(self._columns)
        options = source.options
        self._places = Places(
            dialect=source.dialect,
            columns=self._columns,
            append=options.append,
            decimals=options.decimals,
        )
        self._document = source.keep_text()

    def start(self) -> None:
        """Write the header, once; `write` and `close` see to it themselves."""
        if not self._started:
            self._started = True
            self._put(self._header)

    def encode(self, y: Array | None, rows: AnyRows) -> EncodedRows:
        """The text of the input rows `rows` (increasing) with the numbers `y`, `(rows, columns)`.

        With y None the cells stay byte for byte what they are (an appended column repeats them).
        """
        values = None if y is None else np.asarray(y, np.float64)
        if isinstance(rows, range):
            rows = np.arange(rows.start, rows.stop, rows.step)
        parts: list[bytes | memoryview] = [
            self._spliced(passage, local, None if values is None else values[part])
            for passage, local, part in self._document.find(rows)
        ]
        missing = () if values is None else tuple(np.isnan(values).sum(axis=0).tolist())
        return EncodedRows(parts, len(rows), int(rows[-1]) + 1 if len(rows) else 0, missing)

    def _spliced(self, passage: Passage, rows: Rows, values: Floats | None) -> bytes | memoryview:
        """The text of rows with numbers in the cells that results go to, which may not be all that were read."""
        if len(self._chosen) < len(self._source.columns):
            passage = passage.of_channels(self._chosen)
        return self._source.encoding.back(splice(passage, rows, values, self._places))

    def write(self, encoded: EncodedRows) -> None:
        """Write rows after those before; the text of rows up to here is let go."""
        self.start()
        for part in encoded.parts:
            self._target.write(part)
        if self._source.options.follow:
            self._target.flush()
        self._rows += encoded.rows
        self._missing = [
            a + b for a, b in zip(self._missing, encoded.missing or self._missing, strict=True)
        ]
        self._document.release(encoded.stop)

    def close(self) -> None:
        """Write what is left when every row is written: the header where no row came, blank lines at the end.

        The target stays open.
        """
        self.start()
        if self._document.tail:
            self._put(self._document.tail)
        self._document.restart()

    def discard(self) -> None:
        """Let go of everything after an error."""
        self._document.restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def facts(self) -> dict[str, Any]:
        """What was written so far."""
        return {
            "rows": self._rows,
            "missing": dict(zip(self._channels, self._missing, strict=True)),
        }

    def _put(self, text: bytes) -> None:
        self._target.write(self._source.encoding.back(text))
        if self._source.options.follow:
            self._target.flush()

    def _header_text(self, suffix: str) -> bytes:
        """The header, with the names of appended columns."""
        source = self._source
        header = source.layout_header
        if not (source.options.append and source.options.header):
            return header.text
        names = [f"{source.header[column]}_{suffix}" for column in self._columns]
        for i, name in enumerate(names):
            if name in source.header or name in names[:i]:
                raise RequestError(
                    f"{source.name}: a column {name!r} exists already",
                    hint="without --append the cells are replaced",
                )
        cells = [
            self._name_cell(name, column) for name, column in zip(names, self._columns, strict=True)
        ]
        added = b"".join(source.dialect.delimiter + cell for cell in cells)
        return header.text[: header.ends] + added + header.text[header.ends :]

    def _name_cell(self, name: str, column: int) -> bytes:
        """An appended name, in quotes where the column it comes from has them or it needs them."""
        text, delimiter = self._source.encoding.cell(name), self._source.dialect.delimiter
        cell = quoted(text, delimiter)
        in_quotes = self._source.layout_header.cells[column].startswith(b'"')
        return b'"' + text + b'"' if in_quotes and cell == text else cell


def _places_of(channels: tuple[str, ...], source: TableSource) -> tuple[int, ...]:
    """Which of the columns that were read results of these names go to."""
    known = source.signal.channels
    unknown = [name for name in channels if name not in known]
    if unknown:
        message = f"{source.name}: the filter makes {len(channels)} columns of {len(known)}, and a table keeps its own"
        raise RequestError(
            message, hint=f"results are written to {', '.join(known)}, or beside them with --append"
        )
    return tuple(known.index(name) for name in channels)
