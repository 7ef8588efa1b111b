"""A long table of delimited text cut at rows into parts, each of which is read by itself.

The table is opened once. Its header, its dialect and the columns that are filtered are decided
then, and every part gets them by a copy of the opened source.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import replace
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from convcli.dataclass import dataclass
from convcli.media.tables.delimited_source import DelimitedSource
from convcli.media.tables.records import whole_records
from convcli.media.tables.text import BLOCK_BYTES
from convcli.media.tables.text_survey import record_starts, survey_lines, survey_quoted_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from convcli.media.division import PartNeeds, PartOfFile
    from convcli.media.files import FileSink
    from convcli.media.tables.recent_rows import DecodedRows
    from convcli.media.tables.records import Dialect, Records
    from convcli.media.tables.sink import TableSink
    from convcli.media.tables.source import RowCounts
    from convcli.media.tables.text_survey import LinesFound, RecordStart
    from convcli.media.tables.times import CheckedTimes, StampChecker
    from convcli.signals import Block, BlockRole, Signal, SignalPast

    Pasts = Mapping[bytes, SignalPast]

# Bytes of a piece that is surveyed at once. A part begins at the first row after such a place, or
# after its own.
SURVEYED_BYTES = 1 << 22

# Of the places before a part where records begin, this many are known without a gap.
CLOSE_STARTS = 32

# The number that a row far from the start of a table gets, if its own is not needed.
FAR = 1 << 40


@dataclass(frozen=True, kw_only=True)
class RowRange:
    """The rows of one part, as a range of bytes.

    start, stop : offset of the first byte, and of the one after the last; rows are whole
    rows_before : how many rows come before; None if that is not needed
    starts : some places before the part where records begin, the first row of the table among them
    needs : what the filter needs to know of earlier rows
    settling : this many places before the part the filter begins, for the values that it holds
    line : number of the first line, for messages
    """

    start: int
    stop: int
    rows_before: int | None
    starts: tuple[RecordStart, ...]
    needs: PartNeeds
    last: bool
    settling: int = 0
    line: int | None = None

    first: ClassVar[int] = 0

    @property
    def length(self) -> int:
        """Number of bytes of the part."""
        return self.stop - self.start

    @property
    def settles_far(self) -> bool:
        """Whether the rows that settle the filter are longer than the part, in bytes."""
        begins = self.starts[-self.settling].offset if self.settling else self.start
        return self.start - begins > self.length

    def with_longer_settling(self) -> RowRange:
        """Return these rows with a settling four times as long, as far as starts are known."""
        return replace(self, settling=min(len(self.starts), max(1, 4 * self.settling)))


# ----------------------------------------------------------------------------------------- cutting


def text_places(source: DelimitedSource, count: int) -> list[int]:
    """Where pieces begin that are surveyed by themselves, each after a line end; and the end.

    count : of the parts that are wanted
    """
    first = len(source.header_line.text)
    with source.text.open_again() as file:
        size = file.seek(0, 2)
        length = size - first
        wanted = {first + length * part // count for part in range(1, count)}
        wanted |= set(range(first + SURVEYED_BYTES, size, SURVEYED_BYTES))
        places = [first]
        for place in sorted(wanted):
            found = _after_line_end(file, max(place, places[-1]), source.dialect)
            if places[-1] < found < size:
                places.append(found)
    return [*places, size]


def _after_line_end(file: BinaryIO, place: int, dialect: Dialect) -> int:
    """The first offset from `place` on that is after a line end."""
    file.seek(place - 1)
    while data := file.read(1 << 16):
        found = data.find(dialect.newline)
        if found >= 0:
            return file.tell() - len(data) + found + 1
    return file.tell()


@dataclass(frozen=True)
class TextSurvey:
    """Finds out where records begin in the pieces between consecutive places."""

    places: Sequence[int]
    needs: PartNeeds

    def of(self, division: TableDivision) -> list[LinesFound]:
        """Survey the pieces of an open table."""
        source = division.source
        found = []
        with source.text.open_again() as file:
            file.seek(self.places[0])
            for start, stop in pairwise(self.places):
                data = file.read(stop - start)
                rules = _survey_rules(source, start, self.needs)
                found.append(survey_lines(data, source.dialect, **rules))
        return found


def _survey_rules(source: DelimitedSource, start: int, needs: PartNeeds) -> dict[str, Any]:
    return {"start": start, "width": len(source.header), "counted": needs.numbered}


def cut_rows(
    source: DelimitedSource,
    count: int,
    needs: PartNeeds,
    size: int,
    surveys: Iterable[LinesFound],
) -> list[RowRange]:
    """Cut a table into at most `count` parts of about equally many bytes.

    size : of the file · surveys : of all pieces in their order
    """

    def quoted(lines: LinesFound) -> LinesFound:
        data = b"".join(_reads(source, lines.start, lines.stop))
        rules = _survey_rules(source, lines.start, needs)
        return survey_quoted_lines(data, source.dialect, **rules)

    starts = list(record_starts(surveys, quoted, counted=needs.numbered))
    offsets = [start.offset for start in starts]
    bounds = _beginnings_of_parts(source, starts, count, size)
    stops = [*(bound.offset for bound in bounds[1:]), size]
    ranges = []
    for bound, stop in zip(bounds, stops, strict=True):
        before = starts[: bisect_left(offsets, bound.offset)]
        ranges.append(
            RowRange(
                start=bound.offset,
                stop=stop,
                rows_before=bound.rows,
                starts=_thinned(before),
                needs=needs,
                last=stop == size,
            )
        )
    return ranges


def _beginnings_of_parts(
    source: DelimitedSource, starts: list[RecordStart], count: int, size: int
) -> list[RecordStart]:
    """Where at most `count` parts of about equally many bytes begin.

    starts : places where records begin · size : of the file
    """
    first = len(source.header_line.text)
    length = size - first
    bounds = starts[:1]
    offsets = [start.offset for start in starts]
    for part in range(1, count):
        even = first + length * part // count
        target = max(even, bounds[-1].offset)
        at = bisect_right(offsets, target - 1)
        if at == len(starts):
            break
        bound = _after_first_row(source, starts[at], size)
        if bound is not None and bounds[-1].offset < bound.offset < size:
            bounds.append(bound)
    return bounds


def _thinned(starts: list[RecordStart]) -> tuple[RecordStart, ...]:
    """The first and the last of some places, and ever fewer the farther back they are."""
    kept = []
    at = len(starts) - 1
    step = 1
    while at > 0:
        kept.append(starts[at])
        if len(kept) % CLOSE_STARTS == 0:
            step *= 2
        at -= step
    return (*starts[:1], *reversed(kept))


def _after_first_row(source: DelimitedSource, start: RecordStart, size: int) -> RecordStart | None:
    """The place after the first row from `start` on; None if there is none.

    Blank lines belong to the row after them, so that a part has to begin right after a row.
    """
    for records in _records(source, start.offset, size):
        if source.has_rows(records):
            stop = source.end_of_first_row(records)
            rows = None if start.rows is None else start.rows + 1
            return None if stop is None else type(start)(records.offset + stop, rows)
    return None


def _records(source: DelimitedSource, start: int, stop: int, line: int = 1) -> Iterator[Records]:
    """The whole records in a range of bytes."""
    return whole_records(
        source.text.decoded(_reads(source, start, stop), source.encoding),
        source.dialect,
        line=line,
        offset=start,
        width=len(source.header),
        name=source.name,
    )


def _reads(source: DelimitedSource, start: int, stop: int) -> Iterator[bytes]:
    """The bytes of a range in blocks."""
    with source.text.open_again() as file:
        file.seek(start)
        left = stop - start
        while left > 0:
            data = file.read(min(left, BLOCK_BYTES))
            if not data:
                raise source.text.became_shorter()
            left -= len(data)
            yield data


# ------------------------------------------------------------------------------------------ reading


class TablePart(DelimitedSource):
    """Some rows of an open table, as a part of its signal.

    pasts : of each group before the part; None for a table without groups
    """

    def __init__(
        self, whole: DelimitedSource, wanted: RowRange, pasts: Pasts | None = None
    ) -> None:
        # The decisions that were made when the table was opened.
        vars(self).update(vars(whole))
        self.warnings = []
        self.pasts = pasts
        self._wanted = wanted
        self._begin = self._settling_start()
        self._history_start, self._history_rows = self._find_history()
        self._recent = None
        self._start_over()

    @property
    def ends(self) -> bool:
        """Whether the table ends with this part."""
        return self._wanted.last

    @property
    def before(self) -> Sequence[int]:
        """The number of rows before the first one whose output is computed here."""
        if self.pasts is not None or self._begin == self._first:
            return ()
        if self._wanted.needs.in_time:
            return (self._rows_before(self._history_start),)
        if self._history_start == self._first:
            return (self._history_rows,)
        if self._wanted.rows_before is None:
            return (FAR,)
        return (self._rows_before(self._begin),)

    def _rows_before(self, place: int) -> int:
        """How many rows come before a place that is not after the start of the part."""
        return (self._wanted.rows_before or 0) - self._count_rows(place, self._wanted.start)

    @property
    def _first(self) -> int:
        """The place where the first row of the table begins."""
        return len(self.header_line.text)

    def _settling_start(self) -> int:
        """The place of the first row that the filter reads."""
        wanted = self._wanted
        if not wanted.settling:
            return wanted.start
        return wanted.starts[-wanted.settling].offset

    def _find_history(self) -> tuple[int, int]:
        """The place of the first of enough rows before the filter's first, and their number."""
        rows = 0
        stop = self._begin
        if self.pasts is not None:
            return stop, rows
        for start in reversed(self._wanted.starts):
            if rows >= self._wanted.needs.samples:
                break
            if start.offset < stop:
                rows += self._count_rows(start.offset, stop)
                stop = start.offset
        return stop, rows

    def _count_rows(self, start: int, stop: int) -> int:
        records = filter(self.has_rows, _records(self, start, stop))
        return sum(self.rows_of(some, ()).count for some in records)

    def pieces_with_history(self, history: int) -> Iterator[tuple[BlockRole, Records]]:
        """Yield records, those of at least `history` rows before the part first."""
        self._start_over()
        wanted = self._wanted
        if history > 0 or self._checker is not None:
            # The time of the first row is compared with that of the row before it.
            role: BlockRole = "settling" if wanted.needs.in_time else "earlier"
            yield from self._in_role(role, self._history_start, self._begin)
        yield from self._in_role("settling", self._begin, wanted.start)
        yield from self._in_role("filtered", wanted.start, wanted.stop)

    def last_for_now(self, raw: object) -> bool:  # noqa: ARG002 -- a part is of a file
        """False: the next rows are there."""
        return False

    def _in_role(
        self, role: BlockRole, start: int, stop: int
    ) -> Iterator[tuple[BlockRole, Records]]:
        line = 1
        if role == "filtered" and self._wanted.line is not None:
            line = self._wanted.line
        for records in _records(self, start, stop, line):
            if self.has_rows(records):
                yield role, records
            elif self._recent is not None and role == "filtered":
                self._recent.tail = records.data[: len(records.data) - records.padded]

    def decode(self, raw: Any) -> Block:
        """The filtered columns of some records as float64, NaN where missing. Pure."""
        role, records = raw
        if role == "filtered":
            return super().decode(records)
        return replace(self._block_of(records, self._keep), role=role)

    def _keep(self, decoded: DecodedRows, times: CheckedTimes | None) -> None:
        """Keep rows before the part for the sink, without counting them or checking their times."""
        if times is not None and self._checker is not None:
            self._checker.start_after(times.latest())
        if self._recent is not None:
            self._recent.add(decoded)

    def _new_checker(self) -> StampChecker | None:
        """The checker of times, which knows the latest time of each group before the part."""
        checker = super()._new_checker()
        if checker is not None and self.pasts:
            checker.start_after({group: past.time for group, past in self.pasts.items()})
        return checker

    def located(self) -> RowRange | None:
        """The part with the numbers of its first line and row; None if it has them."""
        wanted = self._wanted
        if wanted.line is not None:
            return None
        lines = 1
        for data in _reads(self, 0, wanted.start):
            lines += data.count(self.dialect.newline)
        rows = self._count_rows(self._first, wanted.start)
        return replace(wanted, line=lines, rows_before=rows)

    @property
    def noted(self) -> RowCounts:
        """How many rows were read, and how many cells of each column were missing."""
        return self._counts

    @property
    def first_row(self) -> int:
        """How many rows come before the part, for messages."""
        return self._wanted.rows_before or 0


# ----------------------------------------------------------------------------------------- division


@dataclass(frozen=True, eq=False, kw_only=True)
class TableDivision:
    """The division of a table of plain text.

    make_sink : the sink that writes the rows of a part
    """

    source: DelimitedSource
    make_sink: Callable[..., TableSink]

    apart: ClassVar[bool] = True
    block_lengths: ClassVar[tuple[int, ...]] = ()

    @property
    def size(self) -> int:
        """How many bytes the text has."""
        with self.source.text.open_again() as file:
            return int(file.seek(0, 2))

    def surveys(self, count: int, needs: PartNeeds) -> Sequence[TextSurvey]:
        """The surveys of all pieces, in `count` groups of consecutive ones."""
        places = text_places(self.source, count)
        pieces = len(places) - 1
        cuts = sorted({pieces * part // count for part in range(count + 1)})
        return [TextSurvey(places[a : b + 1], needs) for a, b in pairwise(cuts)]

    def cut(
        self, count: int, needs: PartNeeds, surveyed: Sequence[list[LinesFound]]
    ) -> list[RowRange]:
        """Ranges of rows of about equally many bytes."""
        surveys = chain.from_iterable(surveyed)
        return cut_rows(self.source, count, needs, self.size, surveys)

    def part(self, stretch: RowRange, pasts: Pasts | None) -> TablePart:
        """Return some rows as a source of their own."""
        return TablePart(self.source, stretch, pasts)

    def sink(
        self,
        place: Path,
        pages: Sequence[Signal],
        *,
        label: str,
        unchanged: bool,
        part: Any,
        of_file: PartOfFile,
    ) -> FileSink:
        """The sink that writes the rows of a part, with the header where they open the file."""
        sink = self.make_sink(place, part, pages, label=label, unchanged=unchanged)
        if not (of_file.apart and of_file.opens):
            sink.leave_header_out()
        return sink

    def note(self, noted: RowCounts) -> None:
        """Count the rows and the missing cells of a part."""
        self.source.note_part(noted)
