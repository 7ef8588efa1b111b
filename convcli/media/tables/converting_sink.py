"""Text tables written as columns: the rows of a source with new numbers, given types.

Filtered columns are float64. The first rows decide what the others are: whole numbers, numbers,
dates, times, or text. Numbers with leading zeros or a plus are text, and no digit is rounded:
pyarrow reads whole numbers beyond int64 as float64, so that a column of them is one of uint64, of
decimals, or of text.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import csv

from convcli.errors import InputError
from convcli.media.tables.numerals import MISSING
from convcli.media.tables.sink import BatchSink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from convcli.array_types import FloatArray
    from convcli.media.tables.recent_rows import DecodedRows
    from convcli.signals import Rows


class ConvertingSink(BatchSink):
    """Writes rows of a text table as columns of another format."""

    def _make_header(self, suffix: str) -> None:
        output = self._output
        new = self._new_names(suffix) if output.has_new else []
        replaced = () if new and not output.added else output.columns
        numbers = [column in replaced for column in range(len(self._source.header))]
        names = output.arranged(self._source.header, new)
        self._new_header = [_in_utf8(name) for name in names]
        self._is_filtered = output.arranged(numbers, [True] * len(new))
        self._types: dict[str, Any] | None = None

    def _splice(self, decoded: DecodedRows, rows: Rows, values: FloatArray | None) -> Any:
        """The text of rows in UTF-8, without comments."""
        text = self._spliced_text(decoded, rows, values)
        encoding = self._source.encoding
        if encoding.stored is None and encoding.names != "utf-8":
            text = str(text, encoding.names).encode()
        dialect = self._source.dialect
        if not dialect.comment:
            return text
        parsed = dialect.without_comments(bytes(text))
        return re.sub(b"\0+" + dialect.newline, b"", parsed)

    def _put_part(self, part: Any) -> None:
        if self._types is None:
            self._types = self._types_of(part)
        else:
            self._refuse_rounded(part, self._types)
        table = self._read(part, self._types)
        for batch in table.to_batches():
            columns = pa.RecordBatch.from_arrays(batch.columns, names=self._new_header)
            self._begun(columns.schema).write(columns)

    def _complete(self) -> None:
        """Complete the file; without rows, columns that are not filtered are text."""
        fields = []
        for name, is_filtered in zip(self._new_header, self._is_filtered, strict=True):
            fields.append(pa.field(name, pa.float64() if is_filtered else pa.string()))
        self._begun(pa.schema(fields)).close()

    def _types_of(self, part: Any) -> dict[str, Any]:
        """The type of each column, by its number as text."""
        columns = range(len(self._new_header))
        numbers = {str(n): pa.float64() for n in columns if self._is_filtered[n]}
        types = {field.name: field.type for field in self._read(part, numbers).schema}
        texts = self._read(part, {str(n): pa.string() for n in columns})
        for name, kind in types.items():
            if name not in numbers:
                types[name] = type_of_cells(kind, texts.column(name).to_pylist())
        return types

    def _refuse_rounded(self, part: Any, types: dict[str, Any]) -> None:
        """Raise InputError for a whole number that a column of float64 would round."""
        if not MANY_DIGITS.search(part):
            return
        floats = [
            name
            for name, kind in types.items()
            if pa.types.is_floating(kind) and not self._is_filtered[int(name)]
        ]
        if not floats:
            return
        texts = self._read(part, dict.fromkeys(types, pa.string()))
        for name in floats:
            found = first_rounded(text or "" for text in texts.column(name).to_pylist())
            if found is not None:
                column = self._new_header[int(name)]
                raise InputError(
                    f"{self._source.name}, column {column}: the first rows are fractions, and "
                    f"{found} would be rounded among them",
                    hint="an output of text, such as -o FILE.csv, keeps every cell as it is",
                )

    def _read(self, part: Any, types: dict[str, Any]) -> Any:
        """The rows of a text as a table. InputError if a cell does not fit its column."""
        dialect = self._source.dialect
        names = [str(n) for n in range(len(self._new_header))]
        missing = {*MISSING, *(word.upper() for word in MISSING), b"NaN", *dialect.numbers.missing}
        try:
            return csv.read_csv(
                pa.BufferReader(part),
                csv.ReadOptions(column_names=names, use_threads=False, block_size=1 << 30),
                csv.ParseOptions(
                    delimiter=dialect.delimiter.decode(),
                    newlines_in_values=True,
                    ignore_empty_lines=len(names) > 1,
                ),
                csv.ConvertOptions(
                    column_types=types,
                    null_values=[word.decode("utf-8", "replace") for word in missing],
                    decimal_point=dialect.numbers.decimal,
                ),
            )
        except pa.ArrowException as error:
            # Rows are counted there from the start of a block.
            reason = re.sub(r"Row #\d+: ", "", str(error))
            raise InputError(
                f"{self._source.name}: expected cells of the types of the first rows: {reason}",
                hint="an output of text, such as -o FILE.csv, keeps every cell as it is",
            ) from error


def _in_utf8(name: str) -> str:
    """The name of a column; bytes that are not UTF-8 become replacement characters."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


# ---------------------------------------------------------------------- types that keep every digit


# Only numbers with this many digits may be rounded by float64.
MANY_DIGITS = re.compile(rb"\d{16}")
_WHOLE = re.compile(r"[+-]?\d+")
# Cells that pyarrow reads as numbers, and that are names: 007, 0x1F, +49151.
_IDENTIFIER = re.compile(r"[+-]?0\d+|[+-]?0[xX][\dA-Fa-f]+|\+\d+")
_DIGITS_OF_DECIMAL = 38
_LARGEST_UINT64 = 2**64 - 1


def type_of_cells(kind: Any, cells: Sequence[str | None]) -> Any:
    """The type of a column of text that pyarrow takes for one of `kind`, from its first cells."""
    if pa.types.is_null(kind):
        return pa.string()
    if not pa.types.is_integer(kind) and not pa.types.is_floating(kind):
        return kind
    texts = [cell.strip() for cell in cells if cell]
    if any(_IDENTIFIER.fullmatch(text) for text in texts):
        return pa.string()
    if pa.types.is_integer(kind) or first_rounded(texts) is None:
        return kind
    return type_of_whole_numbers(texts) or pa.string()


def first_rounded(texts: Iterable[str]) -> str | None:
    """The first whole number that float64 rounds; None if there is none."""
    for text in texts:
        if len(text) < 16 or not _WHOLE.fullmatch(text):
            continue
        if Decimal(float(text)) != Decimal(text):
            return text
    return None


def type_of_whole_numbers(texts: Iterable[str]) -> Any:
    """uint64, or a decimal with as many digits as there are; None for numbers that fit neither."""
    lowest = Decimal(0)
    highest = Decimal(0)
    for text in texts:
        if not _WHOLE.fullmatch(text):
            return None
        number = Decimal(text)
        lowest = min(lowest, number)
        highest = max(highest, number)
    if lowest >= 0 and highest <= _LARGEST_UINT64:
        return pa.uint64()
    if max(-lowest, highest).adjusted() < _DIGITS_OF_DECIMAL:
        return pa.decimal128(_DIGITS_OF_DECIMAL, 0)
    return None


def rounded_values(value: Any, kind: Any) -> Iterator[str]:
    """Yield the whole numbers of a JSON value that float64 rounds where `kind` has float64."""
    if isinstance(value, dict) and pa.types.is_struct(kind):
        for field in kind:
            yield from rounded_values(value.get(field.name), field.type)
    elif isinstance(value, list) and pa.types.is_list(kind):
        for item in value:
            yield from rounded_values(item, kind.value_type)
    elif isinstance(value, int) and pa.types.is_floating(kind):
        text = first_rounded([str(value)])
        if text is not None:
            yield text
