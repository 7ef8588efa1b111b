"""Parquet and Arrow IPC files and streams, read a batch at a time by pyarrow."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from convcli.dataclass import dataclass
from convcli.errors import InputError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convcli.media.tables.table_formats import ColumnReader, TableFormat

# Cells in a batch, and the fewest and most rows of it: some megabytes whatever the width.
BATCH_CELLS = 1 << 20
FEWEST_ROWS, MOST_ROWS = 64, 1 << 16


@dataclass(frozen=True, eq=False, kw_only=True)
class ColumnarFile:
    """A file of columns.

    path : of a regular file · name : in messages
    """

    path: Path
    name: str
    format: TableFormat

    repeatable = True

    @property
    def known_columns(self) -> tuple[int, ...] | None:
        """None: names or types decide which columns FILTER reads."""
        return None

    def open(self) -> ColumnReader:
        """Open the file as its library reads it. InputError if it is no such file."""
        kind = self.format.title
        try:
            with ExitStack() as opening:
                opened = self.format.open_columns(self.path)
                opening.callback(opened.close)
                _ = opened.schema.names
                opening.pop_all()
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{self.name}: expected a {kind} file: {first_line(error)}",
                hint="copy or download the file again",
            ) from error
        except UnicodeDecodeError:
            raise InputError(
                f"{self.name}: the name of a column of the {kind} file is not UTF-8",
                hint="copy or download the file again",
            ) from None
        return opened

    def batches(self, opened: ColumnReader) -> Iterator[Any]:
        """Yield the record batches of an open file. InputError if they are damaged."""
        width = max(1, len(opened.schema))
        rows = min(MOST_ROWS, max(FEWEST_ROWS, BATCH_CELLS // width))
        try:
            yield from opened.batches(rows)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{self.name}: the {self.format.title} data are damaged: {first_line(error)}",
                hint="copy or download the file again",
            ) from error


# Bytes of each column that are read from the file at once.
_READ_BUFFER = 1 << 18


class ParquetReader:
    """An open Parquet file; of a row group only some pages are in memory."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        stored = pa.OSFile(str(path))
        with ExitStack() as opening:
            opening.callback(stored.close)
            # Without pre_buffer=False whole row groups are read ahead.
            self._file = pq.ParquetFile(stored, pre_buffer=False, buffer_size=_READ_BUFFER)
            self.schema: Any = self._file.schema_arrow
            self.codec = self._read_codec()
            opening.pop_all()
        self._stored = stored

    def _read_codec(self) -> str | None:
        """The compression of the first column, None if the file has no rows."""
        metadata = self._file.metadata
        if not metadata.num_row_groups or not metadata.num_columns:
            return None
        # Damaged metadata of a column end the process when pyarrow is asked for them, but are an
        # error when it reads the column.
        first_column = [self.schema.names[0]]
        first_rows = self._file.iter_batches(
            1, row_groups=[0], columns=first_column, use_threads=False
        )
        next(first_rows, None)
        codec: str = metadata.row_group(0).column(0).compression.lower()
        return "none" if codec == "uncompressed" else codec

    def batches(self, rows: int) -> Iterator[Any]:
        """Yield record batches of at most `rows` rows."""
        for batch in self._file.iter_batches(rows, use_threads=False):
            # Texts of a damaged file may not be UTF-8.
            batch.validate(full=True)
            yield batch

    def close(self) -> None:
        """Close the file and release its buffers."""
        self._file.close()
        self._stored.close()


class ArrowStreamReader:
    """An open Arrow IPC stream, whose batches are read one after the other."""

    def __init__(self, path: Path) -> None:
        self.codec: str | None = None
        self._stored = pa.OSFile(str(path))
        with ExitStack() as opening:
            opening.callback(self._stored.close)
            self._stream = pa.ipc.open_stream(self._stored)
            opening.pop_all()
        self.schema: Any = self._stream.schema

    def batches(self, rows: int) -> Iterator[Any]:
        """Yield record batches of at most `rows` rows."""
        for batch in self._stream:
            yield from _checked_slices(batch, rows)

    def close(self) -> None:
        """Close the file and release its buffers."""
        self._stored.close()


def _checked_slices(batch: Any, rows: int) -> Iterator[Any]:
    """Yield a batch of a file in slices of at most `rows` rows."""
    # Offsets of a damaged file may lead anywhere in memory.
    batch.validate(full=True)
    for first in range(0, batch.num_rows, rows):
        yield batch.slice(first, rows)


class FeatherReader:
    """An open Arrow IPC file, which is mapped into memory."""

    def __init__(self, path: Path) -> None:
        self.codec: str | None = None
        self._mapped = pa.memory_map(str(path))
        with ExitStack() as opening:
            opening.callback(self._mapped.close)
            self._file = pa.ipc.open_file(self._mapped)
            opening.pop_all()
        self.schema: Any = self._file.schema

    def batches(self, rows: int) -> Iterator[Any]:
        """Yield record batches of at most `rows` rows."""
        for number in range(self._file.num_record_batches):
            yield from _checked_slices(self._file.get_batch(number), rows)

    def close(self) -> None:
        """Close the file and release its buffers."""
        self._mapped.close()
