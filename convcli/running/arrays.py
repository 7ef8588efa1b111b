"""The Python door: a FILTER applied to an array, a pandas Series or a DataFrame."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import numpy as np

from convcli.errors import RequestError, nearest
from convcli.planning.plan import make_plan, rules_for
from convcli.running.run import run
from convcli.signals import ARRAY, TABLE, Align, Block, Edge, Missing, Signal, row_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.signals import AnyRows, Array, Medium, Rows

T = TypeVar("T")

# An array goes through the loop in blocks of so many samples, which fit the cache and are shared by the threads.
BLOCK = 1 << 20

# What other libraries call our rules, where the word is not ours in another meaning.
_ELSEWHERE = {
    "nearest": "edge",
    "replicate": "edge",
    "mirror": "reflect",
    "constant": "zero",
    "circular": "wrap",
    "same": "center",
}


@dataclass
class Blocks:
    """Samples in memory as a Source: the blocks one after the other."""

    signal: Signal
    blocks: Sequence[Array]

    def chunks(self) -> Iterator[Array]:
        """The blocks."""
        return iter(self.blocks)

    def decode(self, raw: Array) -> Block:
        """A block is its own samples."""
        return Block(raw)


@dataclass
class Collected:
    """Samples in memory as a Sink."""

    parts: list[Array] = field(default_factory=list)
    rows: list[Rows] = field(default_factory=list)

    def encode(self, y: Array, rows: AnyRows) -> tuple[Array, Rows]:
        """As they are."""
        return y, row_numbers(rows)

    def write(self, encoded: tuple[Array, Rows]) -> None:
        """Keep them."""
        self.parts.append(encoded[0])
        self.rows.append(encoded[1])


def apply(
    filter: str,
    x: T,
    *,
    rate: float | None = None,
    edge: Edge | None = None,
    align: Align | None = None,
    missing: Missing = "keep",
    axes: int | None = None,
    threads: int | None = None,
) -> T:
    """Filter an array, a Series or a DataFrame by a FILTER such as `"lowpass:3.4k | downsample:2"`.

    x : (n,) or (n, channels) with one sample axis, (rows, columns, channels) with two; NaN is missing. A pandas
        object is a table: rows by columns, and comes back as the same kind, with the index of the rows at which the
        outputs stand.
    rate : samples per second, for durations and frequencies in Hz; without it frequencies are cycles per sample
    edge, align, missing : as `--edge`, `--align`, `--missing`; arrays default to zero (edge where the rate changes)
        and center, tables to shrink and causal
    axes : sample axes, 1 or 2; by default 2 for three-dimensional arrays, else 1. A grey image is (rows, columns)
        with axes=2.

    Returns float64 (float32 stays float32), with as many axes as `x`. Raises `RequestError` for a wrong FILTER or rule.

    >>> apply("box:3", np.array([0.0, 3.0, 0.0, 0.0])).tolist()
    [1.0, 1.0, 1.0, 0.0]
    """
    _check_words(edge=edge, align=align, missing=missing)
    _check_values(filter, rate, axes, threads)
    if hasattr(x, "iloc"):
        frame: T = _apply_to_pandas(
            filter, x, rate=rate, edge=edge, align=align, missing=missing, threads=threads
        )
        return frame
    array = np.asarray(x)
    samples = _samples(array)
    sample_axes = axes or (2 if array.ndim == 3 else 1)
    if not sample_axes <= array.ndim <= sample_axes + 1:
        raise RequestError(
            f"an array of shape {array.shape} has no {sample_axes} sample axes and one of channels"
        )
    if array.ndim == sample_axes:
        samples = samples[..., None]
    y, _ = _apply(
        filter,
        samples,
        ARRAY,
        rate=rate,
        edge=edge,
        align=align,
        missing=missing,
        threads=threads,
    )
    result: Any = y[..., 0] if array.ndim == sample_axes and y.shape[-1] == 1 else y
    return result  # type: ignore[no-any-return]


def _check_words(*, edge: Any, align: Any, missing: Any) -> None:
    rules = (
        ("edge", edge, get_args(Edge)),
        ("align", align, get_args(Align)),
        ("missing", missing, get_args(Missing)),
    )
    for name, given, known in rules:
        if given in known or (given is None and name != "missing"):
            continue
        word = str(given).casefold()
        ours = _ELSEWHERE.get(word)
        near = ours if ours in known else nearest(word, list(known))
        raise RequestError(
            f"{name} expects {', '.join(known[:-1])} or {known[-1]}, got {given!r}",
            hint=f"did you mean {near}?" if near else None,
        )


def _check_values(filter: Any, rate: Any, axes: Any, threads: Any) -> None:
    if not isinstance(filter, str):
        raise RequestError(f"filter expects a FILTER such as 'box:3', got {filter!r}")
    if rate is not None and not (_is(rate, Real) and 0 < rate < math.inf):
        raise RequestError(f"rate expects samples per second, a number above 0, got {rate!r}")
    if axes is not None and not (_is(axes, Integral) and axes in (1, 2)):
        raise RequestError(f"axes expects 1 or 2 sample axes, got {axes!r}")
    if threads is not None and not (_is(threads, Integral) and threads >= 1):
        raise RequestError(f"threads expects a whole number from 1 on, got {threads!r}")


def _is(given: Any, kind: type) -> bool:
    return isinstance(given, kind) and not isinstance(given, bool)


def _samples(array: Any) -> Array:
    if array.dtype.kind not in "fiub":
        raise RequestError(f"expected numbers, got an array of {array.dtype}")
    return np.ascontiguousarray(
        array, dtype=np.float32 if array.dtype == np.float32 else np.float64
    )


def _apply(
    filter: str,
    x: Array,
    medium: Medium,
    *,
    rate: float | None,
    edge: Edge | None,
    align: Align | None,
    missing: Missing,
    threads: int | None,
    names: tuple[str, ...] = (),
) -> tuple[Array, Rows]:
    channels = names or tuple(str(c + 1) for c in range(x.shape[-1]))
    signal = Signal(medium=medium, shape=x.shape[:-1], channels=channels, rate=rate)
    plan = make_plan(
        filter, signal, rules_for(signal, filter, edge=edge, align=align, missing=missing)
    )
    sink = Collected()
    rows = max(1, BLOCK // max(1, math.prod(x.shape[1:])))
    blocks = [x[first : first + rows] for first in range(0, len(x), rows)]
    run(plan, Blocks(signal, blocks), sink, threads=threads)
    if not sink.parts:
        shape = tuple(n or 0 for n in plan.result.shape)
        return np.empty((0, *shape[1:], len(plan.result.channels)), x.dtype), np.empty(0, np.int64)
    return np.concatenate(sink.parts), np.concatenate(sink.rows)


def _apply_to_pandas(filter: str, x: Any, **rules: Any) -> Any:
    columns, numeric = x, []
    if x.ndim == 2:
        numeric = [place for place, dtype in enumerate(x.dtypes) if dtype.kind in "iuf"]
        columns = x.iloc[:, numeric]
        if not numeric:
            raise RequestError("the DataFrame has no numeric column")
    elif x.dtype.kind not in "iufb":
        raise RequestError(f"expected numbers, got a Series of {x.dtype}")
    values = columns.to_numpy(dtype="float64", na_value=np.nan)
    samples = values if values.ndim == 2 else values[:, None]
    names = tuple(str(name) for name in columns.columns) if columns.ndim == 2 else (str(x.name),)
    y, rows = _apply(filter, np.ascontiguousarray(samples), TABLE, names=names, **rules)
    result = x.iloc[rows].copy()
    if result.ndim == 1:
        return result.__class__(y[:, 0], index=result.index, name=x.name)
    for number, place in enumerate(numeric):
        result.isetitem(place, y[:, number])
    return result
