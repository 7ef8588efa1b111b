"""What is known of a signal before its samples, and how samples come and go.

Sample axes come first and channels last in every medium: audio `(time, channel)`, table `(row,
column)`, image `(row, column, channel)`. A stream always runs along axis 0. A missing sample is
NaN.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

from convcli.dataclass import dataclass

# Up to this many channels are made of one in a hint.
MOST_COPIES = 8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from convcli.array_types import AnyArray, IntArray

    Apply = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

    Array = npt.NDArray[np.floating[Any]]
    Rows = IntArray
    AnyRows = Rows | range

    # For each group, None without groups: the time of its latest sample, as the source counts
    # times, or as each rule counts them that the source holds times against.
    LatestTimes = Mapping[bytes | None, tuple[float, ...]]

# What the samples of a block are for, in a part of a signal:
#   filtered  their outputs belong to the part
#   settling  their outputs belong to an earlier part; they are computed for the values they hold
#   earlier   only windows of later samples read them
BlockRole = Literal["filtered", "settling", "earlier"]

Edge = Literal["shrink", "missing", "zero", "edge", "reflect", "symmetric", "wrap", "valid"]
Align = Literal["center", "causal"]
Missing = Literal["keep", "fill", "propagate", "error"]

# Y' = 0.2126 R' + 0.7152 G' + 0.0722 B' (ITU-R BT.709-6, item 3.2), in parts of LUMA_SUM.
LUMA = (2126, 7152, 722)
LUMA_SUM = 10000


@dataclass(frozen=True, kw_only=True)
class LearnedRules:
    """How a model was learned, as far as its file says so.

    columns : of the table, in the order in which the model takes them
    """

    align: Align | None = None
    missing: Missing | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Medium:
    """A kind of signal, such as sound or tables: its defaults, its words and what sets it apart.

    Sound and pictures have theirs in `media/*/medium.py`. `ARRAY` and `TABLE` are below, because
    arrays and data frames in memory are filtered without any file.

    Defaults
    --------
    edge, align : edge rule and alignment where the user asks for none
    taps : how many taps are learned by default, as written on the command line

    Words
    -----
    name : in reports and model files
    sample, channel : what one sample and one channel are called
    thing, things : what a signal and several signals are called
    length_help, frequency_help : how they are written for a signal without a sampling rate
    length_units : units of length besides those of time
    model_units : the range of the values that a model file works on
    channel_names : usual names of the channels, one tuple for each number of channels
    made_names : how further channels are called that a filter makes, before their number from 0
    channels_hint, one_channel_hint : options that choose other channels, or a single one

    Properties
    ----------
    in_seconds : positions and lengths are written in seconds
    resamples : the sampling rate can be converted to any other
    unit_scale : values are divided by the full scale before a model sees them
    separate_channels : channels are unrelated quantities, each with a unit and a range of its own
    binary : files are bytes that a terminal cannot show
    exact : sums must not depend on where blocks begin, and sums of whole numbers are rounded once
    carries_cells : each sample belongs to a row with further cells, so that there can be no more
        outputs than inputs
    early_rows : outputs leave early, instead of waiting for a job that is long beside its overlap
    comes_live : it may come as slowly as it is played, and is then filtered in short blocks
    """

    name: str
    edge: Edge
    align: Align
    taps: str
    sample: str
    channel: str
    thing: str
    things: str
    length_help: str
    frequency_help: str = "in cycles per sample, 0 to 0.5"
    length_units: tuple[str, ...] = ()
    model_units: str = "as they are"
    channel_names: tuple[tuple[str, ...], ...] = ()
    made_names: str = ""
    channels_hint: str | None = None
    one_channel_hint: str | None = None
    in_seconds: bool = False
    resamples: bool = False
    unit_scale: bool = False
    separate_channels: bool = False
    binary: bool = True
    exact: bool = False
    carries_cells: bool = False
    early_rows: bool = False
    comes_live: bool = False

    def hint_for_channels(self, taken: int, given: int) -> str | None:
        """How the user makes `taken` channels of `given` ones; None if there is no way."""
        if taken == 1 and self.one_channel_hint is not None:
            return self.one_channel_hint
        if given == 1 and self.channels_hint is None and taken <= MOST_COPIES:
            copies = ";".join(["1"] * taken)
            return f"`mix:{copies} | model:...` makes {taken} channels of one"
        return self.channels_hint

    def names_of(self, count: int) -> tuple[str, ...]:
        """The usual names of `count` channels; where there are none y0, y1, ... or 1, 2, ..."""
        for names in self.channel_names:
            if len(names) == count:
                return names
        if self.made_names:
            return tuple(f"{self.made_names}{channel}" for channel in range(count))
        return tuple(str(channel + 1) for channel in range(count))


ARRAY = Medium(
    name="array",
    edge="zero",
    align="center",
    taps="64",
    sample="sample",
    channel="channel",
    thing="an array",
    things="arrays",
    length_help="a number of samples (20); durations need a rate",
    length_units=("px",),
    resamples=True,
)

TABLE = Medium(
    name="table",
    edge="shrink",
    align="causal",
    taps="20",
    sample="row",
    channel="column",
    thing="a table",
    things="tables",
    length_help="a number of rows (20); durations need --time COLUMN",
    frequency_help="in cycles per row, 0 to 0.5 (Hz needs --time COLUMN)",
    made_names="y",
    channels_hint="-c A,B,C names the columns, in the order in which it was trained",
    separate_channels=True,
    binary=False,
    exact=True,
    carries_cells=True,
    early_rows=True,
)


# Seconds.
CALENDAR_WEEK = 604800.0


@dataclass(frozen=True, kw_only=True)
class Signal:
    """A signal without its samples.

    shape : samples along each sample axis, `(n,)` or `(rows, columns)`; None for a length that is
        not known yet
    channels : a name per channel (`left`, `Close`, `R`)
    rate : samples per second along axis 0; None if the signal knows no time
    cycle : the period in seconds that a frequency without a unit is counted in (1 = Hz; 86400 =
        cycles per day)
    week : seconds in a week; those of five days where every row is a business day, but for holidays
    timed : each sample has its time, which windows in time and calendar bins read
    dated : the times are dates, not numbers
    uneven : where the times are not regular, for messages
    integrates : windows in time weigh each sample by the time that it stands for, too
    alpha : index of the opacity channel, which weights the others, or None
    full_scale : the loudest, brightest or wholly opaque value: 1 in sound, 255 in an 8-bit image
    holds_missing : a sample may be missing, as it cannot be in sound and in whole numbers
    bits : significant bits of a result; the impulse response of a recursive filter is cut where the
        rest of it changes none of them
    features : the channels are outputs of a network, which need not keep to the range of the input
    speakers : the speaker of each channel of a sound, as its bit in a mask of `speakers.py`; empty
        if they are not known
    skipped : samples of the input along axis 0 before the first one of a result, cut off at the
        edge
    """

    medium: Medium
    shape: tuple[int | None, ...]
    channels: tuple[str, ...]
    rate: float | None = None
    cycle: float = 1.0
    week: float = CALENDAR_WEEK
    timed: bool = False
    dated: bool = False
    uneven: str = ""
    integrates: bool = False
    alpha: int | None = None
    full_scale: float = 1.0
    holds_missing: bool = True
    bits: int = 53
    features: bool = False
    speakers: tuple[int, ...] = ()
    skipped: int = 0

    @property
    def axes(self) -> int:
        """Number of sample axes: 1 for sound and tables, 2 for images."""
        return len(self.shape)

    @property
    def trading_days(self) -> bool:
        """Whether the samples come on business days."""
        return self.timed and self.week < CALENDAR_WEEK

    @property
    def irregular(self) -> bool:
        """Whether the samples have times, and these do not come at equal steps."""
        return self.timed and self.rate is None


@dataclass(frozen=True, eq=False)
class Groups:
    """The interleaved signals that the rows of a block belong to.

    names : the groups of this block; codes : (n,) the group of each row, an index into `names`
    """

    names: list[bytes]
    codes: IntArray

    def places(self) -> Iterator[tuple[bytes, Rows]]:
        """Yield each group with rows in this block, and the places of these rows in order."""
        import numpy as np

        order = np.argsort(self.codes, kind="stable")
        counts = np.bincount(self.codes, minlength=len(self.names)).tolist()
        start = 0
        for name, count in zip(self.names, counts, strict=True):
            if count:
                yield name, order[start : start + count]
            start += count


def _nothing() -> None:
    """Do nothing when a block arrives."""


def _no_times() -> LatestTimes:
    """The latest times of samples that have none."""
    return {}


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive samples, `(n, channels)` or `(rows, columns, channels)`; NaN is missing.

    stored : floats, or whole numbers as the file stores them (`samples.py`) for operations that
        take those
    groups : the signal of each row, None if all rows are of one signal
    stamps : the time of each row, as in `core/in_time/reach.py`; None if rows have no times
    role : what the samples are for, where only a part of a signal is filtered
    on_arrival : called once by the thread that receives the blocks in their order; a source takes
        note of a block here, and not in `decode`
    latest_times : gives the time of the last sample of each group, with which a source compares
        those of later samples
    last_for_now : the next block may be long in coming, so that nobody waits for it
    """

    stored: AnyArray
    groups: Groups | None = None
    on_arrival: Callable[[], None] = _nothing
    stamps: IntArray | None = None
    role: BlockRole = "filtered"
    latest_times: Callable[[], LatestTimes] = _no_times
    last_for_now: bool = False

    @cached_property
    def x(self) -> Array:
        """The samples as floating-point numbers."""
        from convcli.samples import as_samples

        return as_samples(self.stored)

    def by_group(self) -> Iterator[tuple[bytes, Array, AnyRows]]:
        """Yield the samples of each signal and their places; a single signal has no name."""
        if self.groups is None:
            yield b"", self.x, range(len(self.stored))
            return
        for name, places in self.groups.places():
            yield name, self.x[places], places


def seconds_of(stamps: IntArray) -> Array:
    """The local times of stamps (n, 2), in seconds since 1970, as a drawing shows them."""
    return stamps[:, 1] * 1e-9


def row_numbers(rows: AnyRows) -> Rows:
    """Return row numbers as an array."""
    import numpy as np

    return np.arange(rows.start, rows.stop, rows.step) if isinstance(rows, range) else rows


def rows_at(rows: AnyRows, places: IntArray) -> Rows:
    """Return the row numbers at some places; rows that are a range follow each other."""
    return rows[0] + places if isinstance(rows, range) else rows[places]


def end_of_rows(rows: AnyRows) -> int:
    """Return the number after the largest row number, 0 if there are none."""
    if isinstance(rows, range):
        return rows.stop
    return int(rows.max(initial=-1)) + 1


def joined_row_numbers(rows: list[AnyRows]) -> AnyRows:
    """Join row numbers in their order; ranges, which follow each other, become one range."""
    import numpy as np

    if isinstance(rows[0], range):
        last = int(rows[-1][-1])
        return range(rows[0][0], last + 1)
    return np.concatenate([row_numbers(some) for some in rows])


Raw = TypeVar("Raw")
Encoded = TypeVar("Encoded")


class Source(Protocol[Raw]):
    """Samples from a file or a pipe. `pieces` is called by one thread, `decode` by any."""

    signal: Signal

    def pieces(self) -> Iterator[Raw]:
        """Yield undecoded pieces in order; start over when called again.

        InputError at a second call on a pipe.
        """
        ...

    def decode(self, raw: Raw) -> Block:
        """Return the samples of one piece. Pure: it may run in any thread and in any order."""
        ...


@runtime_checkable
class LiveSource(Source[Raw], Protocol):
    """A source that can give what is there when more is long in coming."""

    def pieces_as_they_come(self) -> Iterator[Raw]:
        """Yield pieces as `pieces` does, but shorter ones where the samples come slowly."""
        ...

    def last_for_now(self, raw: Raw) -> bool:
        """Whether the next piece may be long in coming."""
        ...


def blocks_of(source: Source[Raw], apply: Apply = map) -> Iterator[Block]:
    """Yield all blocks of a source in their order, each after its arrival was noted.

    apply : `map`, or a map that decodes several pieces at once and keeps the order
    """
    for block in apply(source.decode, source.pieces()):
        block.on_arrival()
        yield block


@dataclass(frozen=True, eq=False, kw_only=True)
class SignalPast:
    """What a filter has to know of the samples of a signal before some place.

    count : how many there were
    samples : (m, channels) the last of them
    known : (channels,) the last known value of each channel before those, NaN where there is none
    stamps : (m, 2) the times of `samples`, as in `core/in_time/reach.py`; None if they have none
    time : of the last sample, as in `LatestTimes`; empty if samples have no times
    """

    count: int
    samples: Array
    known: Array
    stamps: IntArray | None = None
    time: tuple[float, ...] = ()

    @property
    def first(self) -> int:
        """The number of the first of `samples` in the signal."""
        return self.count - len(self.samples)


@dataclass(frozen=True, eq=False, kw_only=True)
class SignalStart:
    """The first samples of a signal from some place on.

    samples : (m, channels)
    stamps : (m, 2) their times, as in `core/in_time/reach.py`; None if they have none
    decides : whether no output that is aligned with a sample before the place waits for any more;
        if it is not so, they are all samples that the signal has
    """

    samples: Array
    stamps: IntArray | None = None
    decides: bool


class PartSource(Protocol[Raw]):
    """The samples of one part of a signal, which can also give those before it.

    before : the lengths of the blocks before the first one whose outputs are computed here
    pasts : of interleaved signals, by group; None for a single signal
    ends : whether the signal ends with this part
    """

    @property
    def before(self) -> Sequence[int]:
        """The lengths of the blocks before the first one whose outputs are computed here."""
        ...

    @property
    def pasts(self) -> Mapping[bytes, SignalPast] | None:
        """The past of each of the interleaved signals; None for a single signal."""
        ...

    @property
    def ends(self) -> bool:
        """Whether the signal ends with this part."""
        ...

    @property
    def first_row(self) -> int:
        """How many samples come before the part, for messages."""
        ...

    def pieces_with_history(self, history: int) -> Iterator[Raw]:
        """Yield undecoded pieces in order; start over when called again.

        history : at least this many samples before the part come first, in the role `earlier`
        """
        ...

    def decode(self, raw: Raw) -> Block:
        """Return the samples of one piece. Pure: it may run in any thread and in any order."""
        ...

    def last_for_now(self, raw: Raw) -> bool:  # noqa: ARG002 -- parts are those of files
        """Whether the next piece may be long in coming."""
        return False


class Sink(Protocol[Encoded]):
    """A destination of samples. `encode` is called by any thread, `write` by one, in order."""

    def encode(self, y: Array, rows: AnyRows) -> Encoded:
        """Convert `y` to what the medium stores.

        rows : increasing; rows[i] is the input row that y[i] is aligned with
        """
        ...

    def write(self, encoded: Encoded) -> None:
        """Append samples that `encode` has converted to what the medium stores."""
        ...
