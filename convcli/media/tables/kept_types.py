"""Types of columns that keep every digit of numbers which are not filtered.

pyarrow reads whole numbers beyond int64 as float64, which rounds them. A column of such numbers is
one of uint64, of decimals, or of text.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
