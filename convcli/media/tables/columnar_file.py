"""A Parquet or Arrow file, opened as its library reads it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from convcli.dataclass import dataclass
from convcli.errors import InputError

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
                f"{self.name}: expected a {kind} file: {_first_line(error)}",
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
                f"{self.name}: the {self.format.title} data are damaged: {_first_line(error)}",
                hint="copy or download the file again",
            ) from error


def _first_line(error: BaseException) -> str:
    """The first line of an error of a library."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
