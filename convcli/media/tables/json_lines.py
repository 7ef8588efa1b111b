"""JSON Lines as signals: numbers of some keys in and out, every other byte as it was."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

from convcli.errors import InputError
from convcli.media.tables.header import Header
from convcli.media.tables.json_rows import (
    find_json_rows,
    is_plain,
    key_name,
    key_of_name,
    keys_of,
    name_bytes,
    splice_json,
)
from convcli.media.tables.numerals import NumberStyle
from convcli.media.tables.records import Dialect, whole_records
from convcli.media.tables.sink import BatchSink, TableSink
from convcli.media.tables.splicing import splice
from convcli.media.tables.table_formats import JSON_LINES
from convcli.media.tables.table_options import refuse_options
from convcli.media.tables.text import BOM, Encoding, preceded
from convcli.media.tables.text_source import TextSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convcli.array_types import FloatArray
    from convcli.calendar_bins import CalendarBins
    from convcli.media.tables.compression import Compression
    from convcli.media.tables.recent_rows import DecodedRows
    from convcli.media.tables.records import Records
    from convcli.media.tables.rows import RowSpans
    from convcli.media.tables.source import TableSource
    from convcli.media.tables.table_formats import TableFormat
    from convcli.media.tables.table_options import TableOptions
    from convcli.media.tables.text import TextInput
    from convcli.signals import Rows


class JsonLinesSource(TextSource):
    """The wanted keys of objects, one a line. Made by `open_any_table`.

    The keys of the first block are the columns; later ones are passed on.
    """

    format = JSON_LINES

    def __init__(self, text: TextInput, options: TableOptions) -> None:
        refuse_options(options, f"{text.name} is a JSON Lines file", allowed=("--na", "--follow"))
        self._keys_of_file: tuple[str, ...] = ()
        super().__init__(text, options)

    def _opened(
        self, stream: BinaryIO
    ) -> tuple[Encoding, Header, Iterator[Records], Compression | None]:
        """The encoding, the keys as a header, the records, and how the file is compressed."""
        compression, encoding, reads = self.text.opened(stream)
        first = next(reads, b"")
        mark = len(BOM) if first.startswith(BOM) else 0
        dialect = self._dialect_of_lines()
        records = whole_records(
            preceded(first[mark:], reads), dialect, line=1, offset=mark, width=2, name=self.name
        )
        start = next(records, None)
        if start is None or not dialect.has_rows(start, 2):
            raise InputError(f"{self.name}: expected JSON objects, got an empty file")
        self._find_keys(start)
        cells = tuple(map(name_bytes, self._column_names()))
        header = Header(text=first[:mark], cells=cells, stop=mark, dialect=dialect)
        return encoding, header, chain([start], records), compression

    def _find_keys(self, start: Records) -> None:
        """Take the keys of the first records, when the file is opened for the first time."""
        if not self._keys_of_file:
            most = 1 if self.options.follow else None
            self._keys_of_file = tuple(keys_of(start, name=self.name, most=most))
        if not self._keys_of_file:
            raise InputError(f"{self.name}: expected objects with keys, got empty ones")

    def _dialect_of_lines(self) -> Dialect:
        """The dialect by which lines are found, and cells read as numbers."""
        words = (word.encode() for word in self.options.text.na)
        return Dialect(
            delimiter=b",",
            newline=b"\n",
            numbers=NumberStyle(missing=frozenset(words)),
            has_quotes=False,
        )

    def _column_names(self) -> tuple[str, ...]:
        return tuple(key_name(key) for key in self._keys_of_file)

    def rows_of(self, records: Records, columns: Iterable[int] = ()) -> RowSpans:
        """The objects of some records with the values of some keys."""
        return find_json_rows(records, self._keys_of_file, columns, name=self.name)

    def rows_to_search(self, records: Records, columns: Iterable[int]) -> RowSpans:
        """The objects of some records; a string is not a number here."""
        return find_json_rows(records, self._keys_of_file, columns, name=self.name, strings=False)

    # --- for rows that are made regular ---

    def with_regular_rows(self, bins: CalendarBins, options: TableOptions) -> TableSource:
        """Return the table that has an object for each bin of the calendar."""
        from convcli.media.tables.every_json import ObjectForm
        from convcli.media.tables.every_text import RegularText

        text = RegularText.of(self, bins, ObjectForm(self), None)
        found = self.found_columns
        if found is not None:
            # The objects of the bins may have other keys before these.
            options = options.of_columns(tuple(self.header[column] for column in found))
        return JsonLinesSource(text, options)

    # --- for the sink ---

    def sink_of(self, format: TableFormat) -> type[TableSink]:
        """The sink that writes these objects in a format."""
        if format is self.format:
            return JsonLinesSink
        return JsonConvertingSink


class JsonLinesSink(TableSink):
    """Writes objects of a source with new numbers in them, in their order."""

    def _header_text(self, suffix: str) -> bytes:
        """The byte order mark, if there was one; the keys of new numbers are made ready."""
        output, source = self._output, self._source
        names = [source.header[column] for column in output.columns]
        if output.append or output.made is not None:
            names = []
        replaced = len(names)
        if output.has_new:
            names += self._new_names(suffix)
        self._new_header = names
        self._output_keys = tuple(map(key_of_name, names))
        prefixes = tuple(b", " + key + b": " for key in self._output_keys[replaced:])
        self._output = replace(output, prefixes=prefixes, missing=b"null")
        return source.header_line.text

    def _spliced_text(
        self, decoded: DecodedRows, rows: Rows, values: FloatArray | None
    ) -> bytes | memoryview:
        if values is None and not self._output.append:
            return splice(decoded, rows, None, self._output)
        if values is not None and is_plain(decoded, rows, values, self._output):
            return splice(decoded, rows, values, self._output)
        return splice_json(decoded, rows, values, self._output, self._output_keys)


class JsonConvertingSink(JsonLinesSink, BatchSink):
    """Writes objects as columns of another format; the first rows decide their types."""

    _schema: Any = None

    def _splice(self, decoded: DecodedRows, rows: Rows, values: FloatArray | None) -> Any:
        """The text of some rows, encoded in UTF-8."""
        return self._spliced_text(decoded, rows, values)

    def _put_part(self, part: Any) -> None:
        import pyarrow as pa

        values = _values_with_many_digits(part)
        if self._schema is None:
            self._schema = self._schema_of(part, values)
        writer = self._begun(self._schema)
        self._refuse_rounded(values)
        table = self._read(part, self._schema).select(self._schema.names)
        for batch in table.to_batches():
            columns = pa.RecordBatch.from_arrays(batch.columns, schema=self._schema)
            writer.write(columns)

    def _schema_of(self, part: Any, values: list[dict[str, Any]]) -> Any:
        """The types of the first rows: filtered values are float64, texts are not times.

        values : of the objects with many digits
        """
        import pyarrow as pa

        from convcli.media.tables.converting_sink import type_of_whole_numbers

        fields = []
        for field in self._read(part, None).schema:
            if field.name in self._new_header:
                fields.append(field.with_type(pa.float64()))
            elif pa.types.is_timestamp(field.type) or pa.types.is_null(field.type):
                fields.append(field.with_type(pa.string()))
            elif pa.types.is_floating(field.type) and _are_rounded(values, field):
                numbers = _values_as_text(part, field.name)
                fields.append(field.with_type(type_of_whole_numbers(numbers) or field.type))
            else:
                fields.append(field)
        return pa.schema(fields)

    def _refuse_rounded(self, values: list[dict[str, Any]]) -> None:
        """Raise InputError for a whole number that the type of its column would round."""
        from convcli.media.tables.converting_sink import rounded_values

        for value in values:
            for field in self._schema:
                if field.name in self._new_header:
                    continue
                found = next(rounded_values(value.get(field.name), field.type), None)
                if found is not None:
                    raise InputError(
                        f"{self._source.name}, column {field.name}: {found} would be rounded, as "
                        "no type keeps all of its values",
                        hint="an output of JSON Lines, such as -o FILE.jsonl, keeps every value as "
                        "it is",
                    )

    def _read(self, part: Any, schema: Any) -> Any:
        """The rows of a text as a table. InputError if a value does not fit its column."""
        import pyarrow as pa
        from pyarrow import json as arrow_json

        try:
            rows = arrow_json.read_json(
                pa.BufferReader(part),
                arrow_json.ReadOptions(use_threads=False, block_size=1 << 30),
                arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer"),
            )
            rows.validate(full=True)  # pyarrow reads texts that are not UTF-8
        except pa.ArrowException as error:
            reason = re.sub(r" in row \d+", "", str(error))
            raise InputError(
                f"{self._source.name}: expected values of the types of the first rows: {reason}",
                hint="an output of JSON Lines, such as -o FILE.jsonl, keeps every value as it is",
            ) from error
        except UnicodeDecodeError:
            raise InputError(
                f"{self._source.name}: a key is not UTF-8",
                hint="an output of JSON Lines, such as -o FILE.jsonl, keeps every key as it is",
            ) from None
        return rows

    def _complete(self) -> None:
        """Complete the file. InputError if no row showed the types of its columns."""
        if self._writer is None:
            raise InputError(
                f"{self._source.name}: no rows are left to decide the types of columns"
            )
        self._writer.close()


def _values_with_many_digits(part: Any) -> list[dict[str, Any]]:
    """The objects of some lines that have a number, or a text, with many digits."""
    from convcli.media.tables.converting_sink import MANY_DIGITS

    if not MANY_DIGITS.search(part):
        return []
    lines = bytes(part).split(b"\n")
    return [_object_of(line) for line in lines if MANY_DIGITS.search(line)]


def _are_rounded(values: list[dict[str, Any]], field: Any) -> bool:
    """Whether the type of a field would round one of its values."""
    from convcli.media.tables.converting_sink import rounded_values

    found: list[str] = []
    for value in values:
        found += rounded_values(value.get(field.name), field.type)
    return bool(found)


def _values_as_text(part: Any, key: str) -> list[str]:
    """The values of a key in some lines as text, without nulls."""
    lines = bytes(part).split(b"\n")
    values = [_object_of(line).get(key) for line in lines if line.strip()]
    return [str(value) for value in values if value is not None]


def _object_of(line: bytes) -> dict[str, Any]:
    """The object of a line, which was read as one before."""
    found: dict[str, Any] = json.loads(line.decode("utf-8", "replace"))
    return found
