"""The formats of tables: how each is recognised, and what reads and writes its columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from convcli.dataclass import dataclass
from convcli.media.tables.compression import without_compression

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convcli.media.tables.batch_writers import BatchWriter
    from convcli.places import Place


class ColumnReader(Protocol):
    """An open file of columns.

    schema : names and types of the columns · codec : how the file compresses them, or None
    """

    schema: Any
    codec: str | None

    def batches(self, rows: int) -> Iterator[Any]:
        """Yield record batches of at most `rows` rows."""

    def close(self) -> None:
        """Close the file; no batch is read after this."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TableFormat:
    """A format of tables.

    name : on the command line · title : in messages
    suffixes : of its files · magic : the first bytes of its files; empty: it is text
    reader : the class in `batch_readers` that reads a file of columns; empty: the format is text
    writer : the class in `batch_writers` that writes batches
    one_dictionary : in a column of places in a dictionary, all batches have the same one
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    magic: bytes = b""
    reader: str = ""
    writer: str
    one_dictionary: bool = False

    @property
    def is_text(self) -> bool:
        """Whether rows are lines of text, and not columns in batches."""
        return not self.reader

    def open_columns(self, path: Path) -> ColumnReader:
        """Open a file for reading by columns."""
        from convcli.media.tables import batch_readers

        reader: ColumnReader = vars(batch_readers)[self.reader](path)
        return reader

    def begin(self, stream: BinaryIO, schema: Any, codec: str | None) -> BatchWriter:
        """What writes batches of a schema to a stream.

        codec : of the input; a format that compresses inside keeps it if it has that one
        """
        from convcli.media.tables import batch_writers

        writer: BatchWriter = vars(batch_writers)[self.writer](stream, schema, codec)
        return writer


DELIMITED = TableFormat(
    name="csv",
    title="CSV",
    suffixes=(".csv", ".tsv", ".tab", ".txt", ".dat"),
    writer="DelimitedWriter",
)
# Text that is made of columns, which have no delimiter of their own.
TABBED = TableFormat(name="csv", title="TSV", suffixes=(".tsv", ".tab"), writer="TabbedWriter")
JSON_LINES = TableFormat(
    name="jsonl",
    title="JSON Lines",
    suffixes=(".jsonl", ".ndjson"),
    writer="JsonLinesWriter",
)
PARQUET = TableFormat(
    name="parquet",
    title="Parquet",
    suffixes=(".parquet", ".pq"),
    magic=b"PAR1",
    reader="ParquetReader",
    writer="ParquetWriter",
)
FEATHER = TableFormat(
    name="feather",
    title="Feather",
    suffixes=(".feather", ".arrow", ".ipc"),
    magic=b"ARROW1",
    reader="FeatherReader",
    writer="FeatherWriter",
    one_dictionary=True,
)
ARROW_STREAM = TableFormat(
    name="arrows",
    title="Arrow stream",
    suffixes=(".arrows",),
    magic=b"\xff\xff\xff\xff",
    reader="ArrowStreamReader",
    writer="ArrowStreamWriter",
)
FORMATS = (DELIMITED, JSON_LINES, PARQUET, FEATHER, ARROW_STREAM)
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


# First bytes of files that hold tables and are not read, and how such files are called.
_FOREIGN = (
    (b"FEA1", "Feather of version 1"),
    (b"PK\3\4", "a zip archive or a spreadsheet"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet of old Excel"),
    (b"SQLite format 3", "a database of SQLite"),
    (b"\x89HDF", "HDF5"),
    (b"\x93NUMPY", "an array of NumPy"),
    (b"MATLAB 5.0", "a MAT file"),
    (b"ORC", "ORC"),
    (b"Obj\1", "Avro"),
    (b"RDX", "data of R"),
    (b"<stata_dta>", "data of Stata"),
    (b"\x80\4\x95", "a pickle of Python"),
    (b"\x80\5\x95", "a pickle of Python"),
    (b"%PDF", "PDF"),
)


def foreign_file_kind(start: bytes) -> str | None:
    """What a file is that begins with these bytes and is no table that is read; None if unknown."""
    return next((name for magic, name in _FOREIGN if start.startswith(magic)), None)


def format_named(name: str) -> TableFormat:
    """The format of a name on the command line."""
    return next(each for each in FORMATS if each.name == name)
