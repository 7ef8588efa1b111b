"""The Python interface: a FILTER applied to an array, a pandas Series or a DataFrame."""

from __future__ import annotations

import math
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import RequestError, named_first
from convcli.planning.grammar import parse
from convcli.planning.plan import learned_rules
from convcli.running.blas_threads import one_blas_thread
from convcli.running.index_times import times_of_index
from convcli.running.kept_plans import KeptPlans, PlanRequest
from convcli.running.python_arguments import (
    check_axes,
    check_filter,
    check_rules,
    check_threads,
    errors_in_python,
    read_rate,
)
from convcli.running.run import run
from convcli.signals import ARRAY, TABLE, Align, Block, Edge, Missing, Signal, row_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import AnyArray
    from convcli.core.in_time.reach import Stamps
    from convcli.planning.plan import Plan
    from convcli.running.index_times import IndexTimes
    from convcli.running.kept_plans import KeptPlan
    from convcli.signals import AnyRows, Array, Rows

T = TypeVar("T")

# An array goes through the loop in blocks of this many samples, which fit the cache and are
# distributed over the threads.
BLOCK = 1 << 20
# Arrays of at most this many numbers are filtered in the calling thread: a new one costs 1 ms.
SHORT = 1 << 14

_PLANS = KeptPlans()

# Methods of other libraries that compute what an object only describes: polars, dask.
_MAKES_NUMBERS = ("collect", "compute")


@dataclass
class Blocks:
    """Samples in memory as a Source, in blocks.

    stamps : the time of each sample, as in core/in_time/reach.py
    """

    signal: Signal
    blocks: Sequence[Array]
    stamps: Stamps | None = None

    def pieces(self) -> Iterator[Block]:
        """Yield the blocks, which need no decoding."""
        first = 0
        for x in self.blocks:
            stop = first + len(x)
            yield Block(x, stamps=None if self.stamps is None else self.stamps[first:stop])
            first = stop

    def decode(self, raw: Block) -> Block:
        """Return the block, which needs no decoding."""
        return raw


@dataclass
class Collected:
    """A Sink that collects samples in memory."""

    parts: list[Array] = field(default_factory=list)
    rows: list[Rows] = field(default_factory=list)

    def encode(self, y: Array, rows: AnyRows) -> tuple[Array, Rows]:
        """Return the samples unchanged and their rows as an array."""
        return y, row_numbers(rows)

    def write(self, encoded: tuple[Array, Rows]) -> None:
        """Keep the samples and their rows."""
        y, rows = encoded
        self.parts.append(y)
        self.rows.append(rows)


@errors_in_python
@one_blas_thread()
def apply(
    filter: str,
    x: T,
    *,
    rate: float | str | None = None,
    edge: Edge | None = None,
    align: Align | None = None,
    missing: Missing | None = None,
    axes: int | None = None,
    threads: int | None = None,
) -> T:
    """Filter an array, a Series or a DataFrame by a FILTER such as `"lowpass:3.4k | downsample:2"`.

    x : (n,) or (n, channels) with one sample axis, (rows, columns, channels) with two; NaN is
        missing, and so is what a masked array masks. A pandas object is a table: rows by columns,
        and comes back as the same kind, with the index of the rows that the outputs are aligned
        with. An index of times (DatetimeIndex, PeriodIndex, TimedeltaIndex) says the times:
        durations such as 20d, frequencies in Hz and bins of the calendar then fit, also where rows
        come irregularly.
    rate : samples per second, as a number or a text such as "16k", for durations and frequencies in
        Hz; without it frequencies are cycles per sample
    edge, align, missing : the rules of `--edge`, `--align` and `--missing`; arrays default to zero
        (edge where the rate changes) and center, tables to shrink and causal; alignment and
        missing rule of a model are those that it was learned with
    axes : sample axes, 1 or 2; by default 2 for three-dimensional arrays, else 1. A grey image is
        (rows, columns) with axes=2.

    Returns float64 with as many axes as `x` (an array of float32 stays float32). Raises
    `RequestError` for a wrong FILTER or rule.

    >>> apply("box:3", np.array([0.0, 3.0, 0.0, 0.0])).tolist()
    [1.0, 1.0, 1.0, 0.0]
    """
    settings = _Settings(
        rate=read_rate(rate), edge=edge, align=align, missing=missing, threads=threads
    )
    settings.check()
    check_filter(filter)
    check_axes(axes)
    if is_pandas(x):
        return cast("T", _filtered_pandas(filter, x, settings))
    return cast("T", _filtered_array(filter, as_array(x), settings, axes))


def is_pandas(x: Any) -> bool:
    """Whether x is a Series or a DataFrame.

    pandas need not be installed, and its import takes longer than most filters.
    """
    return hasattr(x, "iloc")


def as_array(x: Any) -> AnyArray:
    """An array of what has samples; those that are masked are NaN.

    Arrays of other libraries come through `__array__` or DLPack, without a copy where they lie in
    the memory of the processor. RequestError for what is no array.
    """
    if not hasattr(x, "filled"):
        return _array_of_any(x)
    masked: Any = x
    if masked.dtype.kind not in "fiub" or not masked.mask.any():
        return np.asarray(masked.data)
    return np.asarray(masked.astype(_float_type(masked.dtype)).filled(np.nan))


def _array_of_any(x: Any) -> AnyArray:
    try:
        if hasattr(x, "__dlpack__") and not hasattr(x, "__array__"):
            return np.from_dlpack(x)
        array = np.asarray(x)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise RequestError(f"expected numbers, got a {type(x).__name__}: {error}") from error
    if array.dtype == object and array.ndim == 0:
        # What only says how its numbers are made, such as a LazyFrame.
        makers = [name for name in _MAKES_NUMBERS if hasattr(x, name)]
        hint = f"its numbers are made by .{makers[0]}()" if makers else None
        raise RequestError(f"expected numbers, got a {type(x).__name__}", hint=hint)
    return array


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """The arguments of `apply` besides the filter and the samples."""

    rate: float | None
    edge: Edge | None
    align: Align | None
    missing: Missing | None
    threads: int | None

    def check(self) -> None:
        """Raise a RequestError for a value that its argument does not take."""
        check_rules(edge=self.edge, align=self.align, missing=self.missing)
        check_threads(self.threads)

    def filtered(
        self, filter: str, signal: Signal, x: Array, times: IndexTimes | None = None
    ) -> _Filtered:
        """Filter an array of samples in memory, of which each may have its time."""
        kept = self._plan(filter, signal, times)
        plan = kept.plan
        names = plan.result.channels
        if x.size <= SHORT and kept.one_job is not None:
            return _Filtered(kept.one_job.outputs(x), kept.one_job.rows, names)
        made = self._collected(plan, x, times)
        if made.parts:
            return _Filtered(np.concatenate(made.parts), np.concatenate(made.rows), names)
        across = [n or 0 for n in plan.result.shape[1:]]
        nothing = np.empty((0, *across, len(names)), x.dtype)
        return _Filtered(nothing, np.empty(0, np.int64), names)

    def _collected(self, plan: Plan, x: Array, times: IndexTimes | None) -> Collected:
        """Filter in blocks by the loop of `run`, and collect the outputs."""
        made = Collected()
        stamps = times.stamps if times is not None and plan.signal.timed else None
        threads = self.threads
        if threads is None and x.size <= SHORT:
            threads = 1
        run(plan, Blocks(plan.signal, _in_blocks(x), stamps), made, threads=threads)
        return made

    def _plan(self, filter: str, signal: Signal, times: IndexTimes | None) -> KeptPlan:
        """Plan FILTER for a signal. Irregular times are used only if FILTER needs times."""
        if times is None:
            return self._plan_for(filter, signal)
        if times.step:
            return self._plan_for(filter, times.regular_signal(signal))
        try:
            return self._plan_for(filter, signal)
        except RequestError:
            if times.problem is not None:
                raise times.problem from None
            return self._plan_for(filter, times.irregular_signal(signal))

    def _plan_for(self, filter: str, signal: Signal) -> KeptPlan:
        request = PlanRequest(
            filter=filter, signal=signal, edge=self.edge, align=self.align, missing=self.missing
        )
        return _PLANS.plan(request)


@dataclass(frozen=True)
class _Filtered:
    """Outputs, the rows that they are aligned with, and the names of their channels."""

    y: Array
    rows: Rows
    names: tuple[str, ...]


def _filtered_array(filter: str, array: Any, settings: _Settings, axes: int | None) -> Array:
    """Filter an array with `axes` sample axes, which an axis of channels may follow."""
    x, signal = _read_array(array, axes, settings.rate)
    y = settings.filtered(filter, signal, x).y
    had_channels = array.ndim > signal.axes
    if had_channels or y.shape[-1] > 1:
        return y
    return y[..., 0]


def no_numbers(given: str) -> RequestError:
    """The error for samples of another type, such as texts, objects, times or complex numbers."""
    hint = "x.astype(float) reads texts and objects as numbers; x.real and x.imag are signals each"
    return RequestError(f"expected numbers, got {given}", hint=hint)


def _read_array(array: AnyArray, axes: int | None, rate: float | None) -> tuple[Array, Signal]:
    """The samples of an array with an axis of channels, and the signal that describes them."""
    if array.dtype.kind not in "fiub":
        raise no_numbers(f"an array of {array.dtype}")
    x: Array = np.ascontiguousarray(array, dtype=_float_type(array.dtype))
    sample_axes = axes or (2 if array.ndim == 3 else 1)
    if not sample_axes <= array.ndim <= sample_axes + 1:
        raise _wrong_shape(array.shape, axes)
    if array.ndim == sample_axes:
        x = x[..., None]
    *shape, channels = x.shape
    if not channels:
        raise RequestError(f"an array of shape {array.shape} has no channels")
    names = tuple(str(number) for number in range(1, channels + 1))
    return x, Signal(medium=ARRAY, shape=tuple(shape), channels=names, rate=rate)


def _float_type(dtype: np.dtype[Any]) -> type[np.floating[Any]]:
    """The type to compute in: float32 in any byte order stays, all else becomes float64."""
    is_single = dtype.kind == "f" and dtype.itemsize == 4
    return np.float32 if is_single else np.float64


def _wrong_shape(shape: tuple[int, ...], axes: int | None) -> RequestError:
    expected = {
        None: "(n,), (n, channels) or (rows, columns, channels)",
        1: "(n,) or (n, channels)",
        2: "(rows, columns) or (rows, columns, channels)",
    }
    return RequestError(f"expected an array of shape {expected[axes]}, got {shape}")


def source_of(x: Any, *, rate: float | None = None, axes: int | None = None) -> Blocks:
    """The samples of an array, a Series, or the numeric columns of a DataFrame, as a source.

    Raises RequestError where they are not numbers.
    """
    check_axes(axes)
    if is_pandas(x):
        samples, signal = _read_pandas(x, rate)
    else:
        samples, signal = _read_array(as_array(x), axes, rate)
    return Blocks(signal, _in_blocks(samples))


def _in_blocks(x: Array) -> list[Array]:
    width = max(1, math.prod(x.shape[1:]))
    rows = max(1, BLOCK // width)
    return [x[first : first + rows] for first in range(0, len(x), rows)]


def _read_pandas(x: Any, rate: float | None) -> tuple[Array, Signal]:
    """The numeric columns of a Series or a DataFrame, and the signal that describes them."""
    frame = x.to_frame() if x.ndim == 1 else x
    numeric = [place for place, dtype in enumerate(frame.dtypes) if dtype.kind in "iufb"]
    if not numeric:
        raise RequestError(f"expected numbers, got a {type(x).__name__} without any")
    names = tuple(str(frame.columns[place]) for place in numeric)
    return _column_samples(frame.iloc[:, numeric], names, rate)


def _column_samples(
    columns: Any, names: tuple[str, ...], rate: float | None
) -> tuple[Array, Signal]:
    values = columns.to_numpy(dtype="float64", na_value=np.nan)
    x = np.ascontiguousarray(values.reshape(len(values), len(names)))
    return x, Signal(medium=TABLE, shape=(len(x),), channels=names, rate=rate)


def _filtered_pandas(filter: str, x: Any, settings: _Settings) -> Any:
    """Filter a Series, or columns of a DataFrame; the other columns are kept."""
    if x.ndim == 2:
        return _filtered_frame(filter, x, settings)
    if x.dtype.kind not in "iufb":
        raise no_numbers(f"a Series of {x.dtype}")
    made = _filtered_columns(filter, x, (str(x.name),), settings)
    kept = x.iloc[made.rows]
    if len(made.names) > 1:
        return _with_new_columns(kept.to_frame(), [0], made)
    return kept.__class__(made.y[:, 0], index=kept.index, name=x.name)


def _filtered_frame(filter: str, x: Any, settings: _Settings) -> Any:
    """Filter the columns of a DataFrame that a model was learned from, else all numeric ones."""
    numeric = [place for place, dtype in enumerate(x.dtypes) if dtype.kind in "iuf"]
    if not numeric:
        raise RequestError("the DataFrame has no numeric column")
    names = [str(name) for name in x.columns]
    learned = learned_rules(parse(filter)).columns
    if learned:
        numeric = [_place_of(name, names, numeric) for name in learned]
    read = tuple(names[place] for place in numeric)
    made = _filtered_columns(filter, x.iloc[:, numeric], read, settings)
    kept = x.iloc[made.rows].copy()
    if len(set(made.names)) < len(made.names) and made.names != read:
        return _with_new_columns(kept, numeric, made)
    if not set(made.names) <= set(read):
        return _with_new_columns(kept, numeric, made)
    for channel, name in enumerate(made.names):
        place = channel if made.names == read else read.index(name)
        kept.isetitem(numeric[place], made.y[:, channel])
    return kept


def _place_of(name: str, names: list[str], numeric: list[int]) -> int:
    """The number of a column that a model was learned from."""
    for place in numeric:
        if names[place] == name:
            return place
    known = named_first([names[place] for place in numeric])
    message = f"the model was learned from {name!r}, and the DataFrame has the columns {known}"
    raise RequestError(message)


def _with_new_columns(kept: Any, read: list[int], made: _Filtered) -> Any:
    """Rows of a DataFrame with the outputs in place of the columns that were read."""
    others = [place for place in range(kept.shape[1]) if place not in read]
    result = kept.iloc[:, others].copy()
    first = min(read)
    for channel, name in enumerate(made.names):
        if name in result.columns:
            raise RequestError(f"a column {name!r} exists already")
        key: Any = name
        if result.columns.nlevels > 1:
            key = (name, *[""] * (result.columns.nlevels - 1))
        result.insert(first + channel, key, made.y[:, channel])
    return result


def _filtered_columns(
    filter: str, columns: Any, names: tuple[str, ...], settings: _Settings
) -> _Filtered:
    x, signal = _column_samples(columns, names, settings.rate)
    times = times_of_index(columns.index) if settings.rate is None else None
    return settings.filtered(filter, signal, x, times)
