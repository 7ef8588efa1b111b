"""The texts of many numbers at once, as `numerals.write_number` writes each.

orjson writes the shortest decimals in a third of the time of pyarrow, but whole numbers and very
small and large ones in another way than `write_number`. Those are left to pyarrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.media.tables.numerals import (
    SWAP_POINT_AND_COMMA,
    fixed,
    from_offsets,
    translated,
)

if TYPE_CHECKING:
    from convcli.array_types import FloatArray
    from convcli.media.tables.numerals import Integers

    Texts = tuple[Any, Integers]

# The numbers that are not whole and have no exponent, in orjson either.
_LEAST_POSITIONAL, _POSITIONAL = 1e-5, 1e16


def write_columnar(values: FloatArray, *, decimals: int | None, decimal: str) -> Texts:
    """Write each value as `write_number` does, into a pyarrow binary array.

    Returns the array and places in it: text i is `array[places[i]]`. The text of NaN is undefined.
    """
    if decimals is not None:
        text = fixed(values, decimals, decimal)
        return _between(text, ord("\n"), first=0)
    texts, places = _shortest_texts(values + 0.0)
    if decimal == ",":
        texts = translated(texts, SWAP_POINT_AND_COMMA)
    return texts, places


def _shortest_texts(values: FloatArray) -> Texts:
    import pyarrow as pa

    magnitudes = np.abs(values)
    is_whole = (values == np.rint(values)) & (magnitudes < _POSITIONAL)
    is_positional = (magnitudes >= _LEAST_POSITIONAL) & (magnitudes < _POSITIONAL)
    is_fraction = is_positional & ~is_whole
    if len(values) > 0 and is_fraction.all():
        return _fractions(values)
    is_other = ~is_whole & ~is_fraction & ~np.isnan(values)
    arrays = [from_offsets(np.zeros(2, np.int32), pa.py_buffer(b""), pa.binary())]
    places = np.zeros(len(values), np.int32)
    count = 1
    for chosen, write in ((is_whole, _whole), (is_fraction, _fractions), (is_other, _others)):
        rows = np.flatnonzero(chosen)
        if len(rows) > 0:
            texts, own_places = write(values[rows])
            places[rows] = own_places + count
            arrays.append(texts)
            count += len(texts)
    return pa.concat_arrays(arrays), places


def _fractions(values: FloatArray) -> Texts:
    """The texts of numbers that are not whole, without exponents."""
    import orjson

    text = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    # In `[0.5,1.5]` the last bracket follows a number as a comma does.
    return _between(text[:-1] + b",", ord(","), first=1)


def _whole(values: FloatArray) -> Texts:
    """The texts of whole numbers that an int64 holds."""
    import pyarrow as pa

    whole = values.astype(np.int64)
    integers = pa.Array.from_buffers(pa.int64(), len(whole), [None, pa.py_buffer(whole)])
    texts = integers.cast(pa.string()).cast(pa.binary())
    return texts, np.arange(len(values), dtype=np.int32)


def _others(values: FloatArray) -> Texts:
    """The texts of very small and large numbers, and of infinities."""
    import pyarrow as pa

    floats = pa.Array.from_buffers(pa.float64(), len(values), [None, pa.py_buffer(values)])
    texts = floats.cast(pa.string()).cast(pa.binary())
    return texts, np.arange(len(values), dtype=np.int32)


def _between(text: bytes, separator: int, *, first: int) -> Texts:
    """The texts from the place `first` on, each of which a separator follows."""
    import pyarrow as pa

    octets = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(octets == separator)
    # Every second span is a number, the others are the separators.
    count = 2 * len(ends)
    offsets = np.empty(count + 1, np.int32)
    offsets[0] = first
    offsets[1::2] = ends
    offsets[2::2] = ends + 1
    places = np.arange(0, count, 2, dtype=np.int32)
    return from_offsets(offsets, pa.py_buffer(text), pa.binary()), places
