"""The formats of tables: how each is recognised, and what reads and writes its columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from convcli.dataclass import dataclass
from convcli.media.tables.compression import without_compression

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from convcli.places import Place


class ColumnReader(Protocol):
    """An open file of columns.

    schema : names and types of the columns · codec : how the file compresses them, or None
    """

    schema: Any
    codec: str | None

    def batches(self, rows: int) -> Iterator[Any]:
        """Yield record batches of at most `rows` rows."""
        ...

    def close(self) -> None:
        """Close the file; no batch is read after this."""
        ...


class BatchWriter(Protocol):
    """Writes record batches of one schema."""

    def write(self, batch: Any) -> None:
        """Append the rows of a record batch of the schema."""
        ...

    def close(self) -> None:
        """Complete the file; the stream that it is written to stays open."""
        ...

    def discard(self) -> None:
        """Release everything after an error; the file stays incomplete."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class TableFormat:
    """A format of tables.

    name : on the command line · title : in messages
    suffixes : of its files · magic : the first bytes of its files; empty: it is text
    reader : opens a file of columns; None: the format is text
    writer : writes batches of a schema to a stream; where the format compresses inside, by the
        codec of the input if it has that one
    one_dictionary : in a column of places in a dictionary, all batches have the same one
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    magic: bytes = b""
    reader: Callable[[Path], ColumnReader] | None = None
    writer: Callable[[BinaryIO, Any, str | None], BatchWriter]
    one_dictionary: bool = False

    def open_columns(self, path: Path) -> ColumnReader:
        """Open a file of columns. TypeError if the format is text."""
        if self.reader is None:
            raise TypeError(f"{self.title} is text")
        return self.reader(path)


def _read_parquet(path: Path) -> ColumnReader:
    from convcli.media.tables.batch_readers import ParquetReader

    return ParquetReader(path)


def _read_feather(path: Path) -> ColumnReader:
    from convcli.media.tables.batch_readers import FeatherReader

    return FeatherReader(path)


def _write_parquet(stream: BinaryIO, schema: Any, codec: str | None) -> BatchWriter:
    from convcli.media.tables.batch_writers import ParquetWriter

    return ParquetWriter(stream, schema, codec)


def _write_feather(stream: BinaryIO, schema: Any, codec: str | None) -> BatchWriter:
    from convcli.media.tables.batch_writers import FeatherWriter

    return FeatherWriter(stream, schema, codec)


def _write_delimited(stream: BinaryIO, schema: Any, _: str | None) -> BatchWriter:
    from convcli.media.tables.batch_writers import DelimitedWriter

    return DelimitedWriter(stream, schema, b",")


def _write_tabbed(stream: BinaryIO, schema: Any, _: str | None) -> BatchWriter:
    from convcli.media.tables.batch_writers import DelimitedWriter

    return DelimitedWriter(stream, schema, b"\t")


def _write_json_lines(stream: BinaryIO, schema: Any, _: str | None) -> BatchWriter:
    from convcli.media.tables.batch_writers import JsonLinesWriter

    return JsonLinesWriter(stream, schema)


DELIMITED = TableFormat(
    name="csv",
    title="CSV",
    suffixes=(".csv", ".tsv", ".tab", ".txt", ".dat"),
    writer=_write_delimited,
)
# Text that is made of columns, which have no delimiter of their own.
TABBED = TableFormat(name="csv", title="TSV", suffixes=(".tsv", ".tab"), writer=_write_tabbed)
JSON_LINES = TableFormat(
    name="jsonl",
    title="JSON Lines",
    suffixes=(".jsonl", ".ndjson"),
    writer=_write_json_lines,
)
PARQUET = TableFormat(
    name="parquet",
    title="Parquet",
    suffixes=(".parquet", ".pq"),
    magic=b"PAR1",
    reader=_read_parquet,
    writer=_write_parquet,
)
FEATHER = TableFormat(
    name="feather",
    title="Feather",
    suffixes=(".feather", ".arrow", ".ipc"),
    magic=b"ARROW1",
    reader=_read_feather,
    writer=_write_feather,
    one_dictionary=True,
)
FORMATS = (DELIMITED, JSON_LINES, PARQUET, FEATHER)
SUFFIXES = frozenset(suffix for each in FORMATS for suffix in each.suffixes)


def format_of_suffix(path: Place | None) -> TableFormat | None:
    """The format that belongs to the suffix of a file, before the suffix of a compression."""
    if path is None:
        return None
    suffix = without_compression(path).suffix.lower()
    return next((each for each in FORMATS if suffix in each.suffixes), None)


def format_of_start(start: bytes) -> TableFormat | None:
    """The format of a file of columns that begins with these bytes; None for text."""
    for each in FORMATS:
        if each.magic and start.startswith(each.magic):
            return each
    return None


def format_named(name: str) -> TableFormat:
    """The format of a name on the command line."""
    return next(each for each in FORMATS if each.name == name)
