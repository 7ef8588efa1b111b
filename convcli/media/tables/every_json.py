"""Objects made regular, one a line: the newest of a bin with the means in it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass
from convcli.media.tables.cells import QUOTE
from convcli.media.tables.every_text import TextForm
from convcli.media.tables.json_rows import key_of_name, values_of_object
from convcli.media.tables.json_values import json_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import IntArray
    from convcli.media.tables.every import KeepRows, RegularRow

# The places [start, stop) of the values of an object, by the names of their keys.
_Places = dict[str, tuple[int, int]]


@dataclass(frozen=True, eq=False)
class ObjectForm(TextForm):
    """Rows that are JSON objects. What is kept of a row is its line."""

    def keeper(self, records: Any) -> KeepRows:
        """Return the function that gives the lines of rows."""
        spans = self.source.rows_of(records)
        data = spans.records.data

        def lines_of(rows: IntArray) -> Sequence[bytes]:
            edges = zip(spans.starts[rows].tolist(), spans.stops[rows].tolist(), strict=True)
            return [data[start : stop + 1] for start, stop in edges]

        return lines_of

    def _time_of(self, kept: bytes) -> bytes:
        start, stop = values_of_object(kept)[self._time_key]
        return kept[start:stop]

    @cached_property
    def _time_key(self) -> str:
        return self.source.header[self.source.time_column]

    def _line(self, row: RegularRow, time: bytes) -> bytes:
        places = values_of_object(row.kept)
        if row.kept[places[self._time_key][0]] == QUOTE:
            time = b'"' + time + b'"'
        new = {self._time_key: time}
        if row.means is None:
            new.update(self._values(row.kept, places))
            return self._object_of(new)
        pairs = zip(self._filtered, row.means.tolist(), strict=True)
        new.update((name, json_number(mean)) for name, mean in pairs)
        return _with_values(row.kept, places, new)

    @cached_property
    def _filtered(self) -> list[str]:
        return [self.source.header[column] for column in self.source.columns]

    def _values(self, line: bytes, places: _Places) -> Iterator[tuple[str, bytes]]:
        """Yield the pairs of a row for an empty bin besides its time: null, and the group."""
        for name in self._filtered:
            yield name, b"null"
        for column in self.source.by_columns:
            name = self.source.header[column]
            if name in places:
                start, stop = places[name]
                yield name, line[start:stop]

    def _object_of(self, values: dict[str, bytes]) -> bytes:
        """An object of some values, in the order of the columns."""
        names = [name for name in self.source.header if name in values]
        pairs = [key_of_name(name) + b": " + values[name] for name in names]
        return b"{" + b", ".join(pairs) + b"}\n"


def _with_values(line: bytes, places: _Places, values: dict[str, bytes]) -> bytes:
    """An object with new values; those whose key it lacks come last."""
    parts: list[bytes] = []
    done = 0
    inside = [name for name in values if name in places]
    for name in sorted(inside, key=places.__getitem__):
        start, stop = places[name]
        parts += [line[done:start], values[name]]
        done = stop
    parts.append(line[done:-1].rstrip())
    lacking = [name for name in values if name not in places]
    for name in lacking:
        parts += [b", ", key_of_name(name), b": ", values[name]]
    return b"".join((*parts, b"}\n"))
