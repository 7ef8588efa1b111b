"""JSON Lines as bytes: the places of values in objects, and new numbers put there.

Only the values of wanted keys are looked at. Everything else stays byte for byte, whatever it is.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError
from convcli.media.tables.cells import QUOTE, Cells
from convcli.media.tables.json_values import json_number
from convcli.media.tables.rows import RowSpans

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convcli.array_types import ByteArray, FloatArray, IntArray
    from convcli.media.tables.recent_rows import DecodedRows
    from convcli.media.tables.records import Records
    from convcli.media.tables.sink import OutputColumns
    from convcli.signals import Rows

BACKSLASH = ord("\\")
# Keys that cannot be taken for something else in a text without backslashes.
_PLAIN_KEY = re.compile(r"[A-Za-z_][\w .-]*", re.ASCII)
# Characters of the shortest object with a pair, up to its `}`.
_SHORTEST_PAIR = 5
_SPACE = re.compile(r"[ \t\r]*")


@dataclass(frozen=True, eq=False)
class _Pair:
    """A key, and where its value is in the text."""

    key: str
    start: int
    stop: int


class _Scanner:
    """Finds the pairs of objects in a text.

    The text is UTF-8 read as Latin-1: places in it are places of bytes.
    """

    def __init__(self, data: bytes) -> None:
        self._text = data.decode("latin-1")
        self._decode = json.JSONDecoder().raw_decode

    def pairs(self, start: int, stop: int) -> tuple[list[_Pair], int]:
        """The pairs of the object in a line, and the place of its `}`. ValueError if it has none.

        start, stop : of the line, without its end
        """
        place = self._place_after(start, "{")
        pairs: list[_Pair] = []
        if self._text[place : place + 1] == "}":
            self._refuse_more(place + 1, stop)
            return pairs, place
        while True:
            if self._text[place : place + 1] != '"':
                raise ValueError(place)
            key, place = self._decode(self._text, place)
            place = self._place_after(place, ":")
            _, end = self._decode(self._text, place)
            pairs.append(_Pair(key, place, end))
            place = self._past_space(end)
            if self._text[place : place + 1] == "}":
                self._refuse_more(place + 1, stop)
                return pairs, place
            place = self._place_after(place, ",")

    def _past_space(self, place: int) -> int:
        found = _SPACE.match(self._text, place)
        return place if found is None else found.end()

    def _place_after(self, place: int, sign: str) -> int:
        """The place after a character and the spaces around it. ValueError if it is not there."""
        place = self._past_space(place)
        if self._text[place : place + 1] != sign:
            raise ValueError(place)
        return self._past_space(place + 1)

    def _refuse_more(self, place: int, stop: int) -> None:
        if self._past_space(place) < stop:
            raise ValueError(place)


def key_name(key: str) -> str:
    """The name that a key stands for, which was read as Latin-1."""
    try:
        return key.encode("latin-1").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # written as \\u1234
        return key


def name_bytes(name: str) -> bytes:
    """The bytes of a name, as they stand in the file if they are no UTF-8 there."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a pair, which was written as \\ud800
        return name.encode("utf-8", "surrogatepass")


def key_of_name(name: str) -> bytes:
    """The JSON string that stands for a name, with its quotes."""
    try:
        return json.dumps(name, ensure_ascii=False).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return json.dumps(name).encode()


def values_of_object(line: bytes) -> dict[str, tuple[int, int]]:
    """The places [start, stop) of the values of an object, by the names of their keys."""
    pairs, _ = _Scanner(line).pairs(0, len(line))
    return {key_name(pair.key): (pair.start, pair.stop) for pair in pairs}


def _lines(records: Records) -> Iterator[tuple[int, int]]:
    """Yield start and stop of every line that is not blank."""
    data = records.data
    start = 0
    while start < len(data):
        stop = data.find(b"\n", start)
        if data[start:stop].strip():
            yield start, stop
        start = stop + 1


def keys_of(records: Records, *, name: str, most: int | None) -> list[str]:
    """All keys of some records in order of appearance. InputError if a line is not an object.

    most : of the first rows; None for all
    """
    scanner = _Scanner(records.data)
    keys: dict[str, None] = {}
    for row, (start, stop) in enumerate(_lines(records)):
        if row == most:
            break
        found = _keys_by_library(records.data[start:stop])
        if found is None:
            pairs, _ = _pairs_of_line(scanner, records, start, stop, name=name)
            found = [pair.key for pair in pairs]
        keys.update(dict.fromkeys(found))
    return list(keys)


def _keys_by_library(line: bytes) -> Iterable[str] | None:
    """The keys of an object, in a tenth of the time of a walk; None for what is no object."""
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        read: dict[str, Any] = json.loads(line.decode("latin-1"))
    except (ValueError, RecursionError):
        return None
    return read


def _pairs_of_line(
    scanner: _Scanner, records: Records, start: int, stop: int, *, name: str
) -> tuple[list[_Pair], int]:
    try:
        return scanner.pairs(start, stop)
    except (ValueError, RecursionError):
        line = records.line + records.data.count(b"\n", 0, start)
        shown = records.data[start : min(stop, start + 40)].decode("utf-8", "replace")
        raise InputError(
            f"{name}, line {line}: expected a JSON object, got {shown!r}",
            hint='JSON Lines have an object a line, such as {"x": 1.5}',
        ) from None


def find_json_rows(
    records: Records,
    keys: tuple[str, ...],
    wanted: Iterable[int],
    *,
    name: str,
    strings: bool = True,
) -> RowSpans:
    """The rows of some records and the values of the wanted keys, as `find_rows` does for text.

    A value that is absent is an empty cell at the `}` of its object.

    strings : a string may be read as a number; else its cell keeps the first of its two quotes, so
        that it is not read as one
    """
    columns = {keys[column]: column for column in wanted}
    regular = _find_plain_rows(records, columns, strings=strings)
    if regular is not None:
        return regular
    return _walk_rows(records, columns, name=name, strings=strings)


def _walk_rows(records: Records, columns: dict[str, int], *, name: str, strings: bool) -> RowSpans:
    """Find rows and values by a walk through every pair.

    columns : the number of the column of each wanted key
    """
    lines = list(_lines(records))
    places, ends = _places_of_values(records, lines, list(columns), name=name)
    if not strings:
        octets = np.frombuffer(records.data, np.uint8)
        is_string = octets[places[:, :, 0]] == QUOTE
        places[:, :, 1] -= is_string
    cells = {}
    for place, column in enumerate(columns.values()):
        cells[column] = Cells(records.data, places[:, place, 0], places[:, place, 1])
    spans = np.array(lines, np.int64).reshape(-1, 2)
    line_starts, line_ends = spans.T
    return _row_spans(records, line_starts, line_ends, ends, cells)


def _places_of_values(
    records: Records, lines: list[tuple[int, int]], keys: list[str], *, name: str
) -> tuple[IntArray, IntArray]:
    """Start and stop of the value of each key in each line, and the places of the closing braces.

    Returns (lines, keys, 2) and (lines,). An absent value is empty and lies at the brace.
    """
    scanner = _Scanner(records.data)
    ends = np.zeros(len(lines), np.int64)
    places = np.zeros((len(lines), len(keys), 2), np.int64)
    order = {key: place for place, key in enumerate(keys)}
    for row, (start, stop) in enumerate(lines):
        pairs, ends[row] = _pairs_of_line(scanner, records, start, stop, name=name)
        places[row] = ends[row]
        for pair in pairs:
            if pair.key in order:
                places[row, order[pair.key]] = pair.start, pair.stop
    return places, ends


def _row_spans(
    records: Records,
    starts: IntArray,
    line_ends: IntArray,
    stops: IntArray,
    cells: dict[int, Cells],
) -> RowSpans:
    """The rows of lines that begin at `starts` and whose objects are closed at `stops`."""
    bounds = np.concatenate(([0], line_ends + 1))
    bounds[-1] = len(records.data)
    return RowSpans(
        records=records,
        newline=b"\n",
        bounds=bounds,
        starts=starts,
        stops=stops,
        cells=cells,
    )


def _find_plain_rows(
    records: Records, columns: dict[str, int], *, strings: bool
) -> RowSpans | None:
    """Find the rows of a text in which each line is an object without objects in it.

    A regular expression finds the values, and the JSON parser checks all lines at once: this takes
    a fifth of the time of a walk through every pair. None if the text is not so simple.
    """
    data = records.data
    octets = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(octets == ord("\n"))
    starts = np.concatenate(([0], ends[:-1] + 1))
    if not _are_flat_objects(data, octets, starts, ends):
        return None
    cells = {}
    for key, column in columns.items():
        spans = _plain_values(data, key)
        if len(spans) != len(ends):
            return None
        value_starts, value_stops = spans.T
        is_within = (value_starts > starts) & (value_stops < ends)
        if not is_within.all():
            return None
        if not strings:
            is_string = octets[value_starts] == QUOTE
            value_stops = value_stops - is_string
        cells[column] = Cells(data, value_starts, value_stops)
    return _row_spans(records, starts, ends, ends - 1, cells)


def _are_flat_objects(data: bytes, octets: ByteArray, starts: IntArray, ends: IntArray) -> bool:
    """Whether each line is a JSON object without escapes and without objects in it.

    octets : the bytes of `data`
    starts, ends : of the lines, without their line ends
    """
    if b"\\" in data or data.count(b"{") != len(ends):
        return False
    if (octets[starts] != ord("{")).any() or (octets[ends - 1] != ord("}")).any():
        return False
    with_commas = data[:-1].replace(b"\n", b",")
    try:
        objects = json.loads(b"[" + with_commas + b"]")
    except (ValueError, RecursionError):
        return False
    return len(objects) == len(ends)


def _plain_values(data: bytes, key: str) -> IntArray:
    """Start and stop of every value of a key, `(values, 2)`; none if its name is not plain."""
    if not _PLAIN_KEY.fullmatch(key):
        return np.empty((0, 2), np.int64)
    name = re.escape(key.encode("latin-1"))
    values = re.compile(b'"' + name + rb'"[ \t]*:[ \t]*("[^"]*"|[^\s,}]+)')
    spans = [found.span(1) for found in values.finditer(data)]
    return np.array(spans, np.int64).reshape(-1, 2)


def is_plain(decoded: DecodedRows, rows: Rows, y: FloatArray, output: OutputColumns) -> bool:
    """Whether `splice` can write rows of objects: all values are numbers in one order."""
    spans = decoded.spans
    ends = spans.stops[rows]
    if np.isinf(y).any() or (ends - spans.starts[rows] < _SHORTEST_PAIR).any():
        return False
    if output.append or not output.columns:
        return True
    if output.made is not None:
        return False
    starts = decoded.starts[rows][:, output.channels_in_row_order]
    octets = np.frombuffer(spans.records.data, np.uint8)
    in_order = (np.diff(starts, axis=1) > 0).all()
    is_inside = (starts < ends[:, None]).all()
    if not in_order or not is_inside:
        return False
    return bool((octets[starts - 1] != QUOTE).all())


def splice_json(
    decoded: DecodedRows,
    rows: Rows,
    y: FloatArray | None,
    output: OutputColumns,
    keys: tuple[bytes, ...],
) -> bytes:
    """The text of `rows` with the numbers `y`, as `splice` gives it for delimited text.

    keys : for each channel that is replaced its key, then those of new pairs, as JSON strings
    """
    data = decoded.spans.records.data
    bounds = decoded.spans.bounds
    parts: list[bytes] = []
    for number, row in enumerate(rows.tolist()):
        values = None if y is None else y[number].tolist()
        changes = _edits_of_row(decoded, row, values, output, keys)
        place = int(bounds[row])
        for start, stop, text in sorted(changes):
            parts += [data[place:start], text]
            place = stop
        parts.append(data[place : bounds[row + 1]])
    return b"".join(parts)


def _edits_of_row(
    decoded: DecodedRows,
    row: int,
    values: Any,
    output: OutputColumns,
    keys: tuple[bytes, ...],
) -> Iterator[tuple[int, int, bytes]]:
    """Yield the spans of a row that are replaced, with their new text; new pairs come last."""
    end = int(decoded.spans.stops[row])
    replaced = 0 if output.append or output.made is not None else len(output.columns)
    new_pairs: list[bytes] = []
    for channel, key in enumerate(keys):
        is_replaced = channel < replaced
        if is_replaced or values is not None:
            text = json_number(values[channel], output.decimals)
        else:
            text = _old_value(decoded, row, channel)
        if is_replaced and text == b"null" and _was_missing(decoded, row, channel):
            continue
        has_key = is_replaced and decoded.starts[row, channel] < end
        if has_key:
            yield _edit_of_value(decoded, row, channel, text)
        else:
            new_pairs.append(key + b": " + text)
    if output.made is not None and not output.append:
        yield from _edits_of_pairs(decoded, row, b", ".join(new_pairs))
    elif new_pairs:
        yield _edit_at_end(decoded, row, b", ".join(new_pairs))


def _edits_of_pairs(
    decoded: DecodedRows, row: int, pairs: bytes
) -> Iterator[tuple[int, int, bytes]]:
    """Yield the spans of the pairs that were read: new ones replace the first, the others go."""
    data = decoded.spans.records.data
    end = int(decoded.spans.stops[row])
    values = zip(decoded.starts[row].tolist(), decoded.stops[row].tolist(), strict=True)
    found = sorted(_span_of_pair(data, *span) for span in values if span[0] < end)
    if not found:
        yield _edit_at_end(decoded, row, pairs)
    for number, (start, stop) in enumerate(found):
        if number == 0:
            yield start, stop, pairs
        else:
            yield data.rindex(b",", 0, start), stop, b""


def _span_of_pair(data: bytes, start: int, stop: int) -> tuple[int, int]:
    """Where the pair of a value begins and ends, with its key and the quotes around a number."""
    if data[start - 1] == QUOTE:
        start, stop = start - 1, stop + 1
    key_end = data.rindex(b'"', 0, start)
    key_start = data.rindex(b'"', 0, key_end)
    while _is_escaped(data, key_start):
        key_start = data.rindex(b'"', 0, key_start)
    return key_start, stop


def _is_escaped(data: bytes, place: int) -> bool:
    """Whether a quote is behind an odd number of backslashes."""
    count = 0
    while data[place - 1 - count] == BACKSLASH:
        count += 1
    return count % 2 == 1


def _edit_at_end(decoded: DecodedRows, row: int, pairs: bytes) -> tuple[int, int, bytes]:
    """The place before the `}` of a row, and the text of the pairs that are added there."""
    start, end = int(decoded.spans.starts[row]), int(decoded.spans.stops[row])
    is_empty = decoded.spans.records.data[start:end].strip() == b"{"
    separator = b"" if is_empty else b", "
    return end, end, separator + pairs


def _was_missing(decoded: DecodedRows, row: int, channel: int) -> bool:
    """Whether the row has null, or no number, for a channel that was read."""
    return decoded.missing is not None and bool(decoded.missing[row, channel])


def _edit_of_value(
    decoded: DecodedRows, row: int, channel: int, text: bytes
) -> tuple[int, int, bytes]:
    """The span of a value and its new text; null also replaces the quotes around a number."""
    start, stop = int(decoded.starts[row, channel]), int(decoded.stops[row, channel])
    if text == b"null" and decoded.spans.records.data[start - 1] == QUOTE:
        return start - 1, stop + 1, text
    return start, stop, text


def _old_value(decoded: DecodedRows, row: int, channel: int) -> bytes:
    if channel >= decoded.starts.shape[1]:
        return b"null"
    start, stop = decoded.starts[row, channel], decoded.stops[row, channel]
    return decoded.spans.records.data[start:stop] or b"null"
