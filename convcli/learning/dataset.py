"""A dataset: pairs of signals with their delays, and their samples in memory.

An output of a network is aligned with one sample of its input, and its target is the target of this
sample. A network with strides or pools has fewer outputs than samples. An output may be trained on
if every sample that it reads lies in the signal, is known, and is not held out.
"""

from __future__ import annotations

import math
import os
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.correlation.lags import BlockCorrelation, largest_lag, precision_for
from convcli.dataclass import dataclass
from convcli.errors import InputError, OutputError
from convcli.facts.learning import DelayFacts
from convcli.learning.pairs import Channels, PairReader
from convcli.learning.windows import channel_by_channel
from convcli.running.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from convcli.array_types import AnyArray, BoolArray, Sizes
    from convcli.core.correlation.lags import LagCandidate
    from convcli.learning.pairs import Pair
    from convcli.learning.task import Task
    from convcli.signals import Array, Signal


# A larger array of samples, in bytes, is kept in a temporary file.
IN_MEMORY = 1 << 30
# Numbers that are converted to float64 at a time.
CHUNK = 1 << 18


@dataclass(frozen=True)
class DataOrigin:
    """The description, in a model, of the data that it was learned from.

    signal : an input
    channels : how many channels one filter reads and makes
    delays : the delay of every pair
    """

    signal: Signal
    channels: Channels
    delays: tuple[DelayFacts, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Pairs of signals that fit each other.

    delays : of every pair, if the task has a delay
    """

    pairs: tuple[Pair, ...]
    channels: Channels
    delays: tuple[DelayFacts, ...] = ()

    @property
    def signal(self) -> Signal:
        """The first input, whose medium, rate and channels all inputs have."""
        return self.pairs[0].source.signal

    @property
    def origin(self) -> DataOrigin:
        """The description of the dataset for a model."""
        return DataOrigin(self.signal, self.channels, self.delays)

    @property
    def lags(self) -> list[Sizes]:
        """Samples by which the target of each pair is later, on each axis."""
        if self.delays:
            return [delay.samples for delay in self.delays]
        return [(0,) * self.signal.axes] * len(self.pairs)


def open_dataset(task: Task, pairs: Sequence[Pair]) -> Dataset:
    """The pairs, with the delays that the task asks for. Raises InputError if none is clear."""
    channels = Channels.of(task, pairs[0])
    dataset = Dataset(tuple(pairs), channels)
    if task.delay == ():
        return dataset
    delays = []
    with Workers() as workers:
        for pair in pairs:
            if task.delay is None:
                delay = measure_delay(PairReader(task, pair), channels, workers)
            else:
                delay = delay_facts(pair.source.signal, task.delay)
            delays.append(replace(delay, input=pair.name))
    return replace(dataset, delays=tuple(delays))


@dataclass(frozen=True)
class ReceptiveField:
    """Samples that one output reads, on each sample axis.

    before, after : samples read before and after the sample that the output is aligned with; the
        most if outputs differ
    step : input samples from one output to the next
    start : the input sample that output 0 is aligned with
    lead : samples from the first that output 0 reads to the one that it is aligned with
    cell : the number of outputs after which the pattern of the samples that they read repeats
    """

    before: Sizes
    after: Sizes
    step: Sizes
    start: Sizes
    lead: Sizes
    cell: Sizes

    @classmethod
    def one_sample(cls, axes: int) -> ReceptiveField:
        """The field of outputs that read their own sample only."""
        zeros = (0,) * axes
        ones = (1,) * axes
        return cls(before=zeros, after=zeros, step=ones, start=zeros, lead=zeros, cell=ones)

    @property
    def one_each(self) -> bool:
        """Whether there is an output for each sample, made like all others."""
        return all(n == 1 for n in (*self.step, *self.cell))

    @property
    def size(self) -> Sizes:
        """Samples from the first to the last that one output reads."""
        sides = zip(self.before, self.after, strict=True)
        return tuple(before + after + 1 for before, after in sides)


# ------------------------------------------------------------------------------- samples in memory


@dataclass(frozen=True)
class TrainingSignal:
    """One signal with its targets.

    x : inputs, (n, in) or (rows, columns, in); y : the target of each sample
    train, held : samples whose output is trained on, and whose output is held out
    """

    x: Array
    y: Array
    train: BoolArray
    held: BoolArray

    def mask(self, *, held_out: bool) -> BoolArray:
        """Samples whose output is held out, or trained on."""
        return self.held if held_out else self.train


def load_signals(
    dataset: Dataset, task: Task, field: ReceptiveField, *, workers: Workers, dtype: Any = None
) -> list[TrainingSignal]:
    """Read all samples into memory.

    Each group of a table is a signal, and so is each channel if all channels share one filter.
    dtype : type of the samples; None keeps the type that the files have
    """
    signals = []
    for pair, lag in zip(dataset.pairs, dataset.lags, strict=True):
        shift = (lag[0] + task.ahead, *lag[1:])
        for x, y in _read_groups(PairReader(task, pair), workers, dtype):
            parts = channel_by_channel(x, y) if dataset.channels.shared else [(x, y)]
            signals += [_training_signal(task, *part, field, shift) for part in parts]
    return signals


def _read_groups(reader: PairReader, workers: Workers, dtype: Any) -> list[tuple[Array, Array]]:
    """Inputs and targets of each group, in arrays that may be written to."""
    if reader.length is not None:
        return _read_known_length(reader, reader.length, workers, dtype)
    parts: dict[bytes, tuple[list[Array], list[Array]]] = {}
    for group, x, y in reader.blocks(workers):
        xs, ys = parts.setdefault(group, ([], []))
        xs.append(x.astype(dtype or x.dtype, copy=False))
        ys.append(y.astype(dtype or y.dtype, copy=False))
    return [(np.concatenate(xs), np.concatenate(ys)) for xs, ys in parts.values()]


def _read_known_length(
    reader: PairReader, length: int, workers: Workers, dtype: Any
) -> list[tuple[Array, Array]]:
    """Inputs and targets of one group, whose length says how much room they need."""
    all_x: Array | None = None
    all_y: Array | None = None
    count = 0
    for _, x, y in reader.blocks(workers):
        if all_x is None or all_y is None:
            all_x = allocate((length, *x.shape[1:]), dtype or x.dtype)
            all_y = allocate((length, *y.shape[1:]), dtype or y.dtype)
        all_x[count : count + len(x)] = x
        all_y[count : count + len(y)] = y
        count += len(x)
    if all_x is None or all_y is None:
        return []
    return [(all_x[:count], all_y[:count])]


def _training_signal(
    task: Task, x: Array, y: Array, field: ReceptiveField, shift: Sizes
) -> TrainingSignal:
    """A signal with its targets moved by `shift`, and what may be learned from it."""
    border = task.first_held_out(len(x))
    present = y
    for axis, lag in enumerate(shift):
        y = _shifted(y, axis, lag)
    if task.differences:
        x = x - _shifted(x, 0, -1)
        y = y - present
    good_x = np.asarray(np.isfinite(x).all(axis=-1))
    good_y = np.asarray(np.isfinite(y).all(axis=-1))
    held: BoolArray = complete_windows(good_x, field)
    held &= good_y
    train = held.copy()
    # Training neither reads nor predicts a held-out sample.
    look_ahead = max(field.after[0], shift[0], 0)
    train_end = max(0, border - look_ahead)
    held_start = border + max(0, -shift[0])
    train[train_end:] = False
    held[:held_start] = False
    if not good_x.all():
        x[~good_x] = 0
    if not good_y.all():
        y[~good_y] = 0
    return TrainingSignal(x=x, y=y, train=train, held=held)


def _shifted(y: Array, axis: int, lag: int) -> Array:
    """The sample that is `lag` later along `axis`, for each sample; NaN beyond the ends."""
    if lag == 0:
        return y
    moved = allocate(y.shape, y.dtype)
    moved[...] = np.nan
    target: list[Any] = [slice(None)] * y.ndim
    source: list[Any] = [slice(None)] * y.ndim
    if lag > 0:
        target[axis] = slice(0, -lag)
        source[axis] = slice(lag, None)
    else:
        target[axis] = slice(-lag, None)
        source[axis] = slice(0, lag)
    moved[tuple(target)] = y[tuple(source)]
    return moved


def allocate(shape: Sizes, dtype: Any) -> AnyArray:
    """An array of zeros; one larger than IN_MEMORY lies in a temporary file.

    The system can then write its pages to disk. Raises OutputError if the disk has no room.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= IN_MEMORY:
        return np.zeros(shape, dtype)
    try:
        with tempfile.TemporaryFile() as file:
            _reserve(file.fileno(), size)
            return np.memmap(file, dtype, "r+", shape=shape)
    except OSError as error:
        folder = tempfile.gettempdir()
        reason = error.strerror or error
        message = f"{folder} has no room for {size / 1e9:.1f} GB of samples: {reason}"
        raise OutputError(message, hint="TMPDIR names another folder") from error


def _reserve(file: int, size: int) -> None:
    """Make a file `size` bytes long, and where the system can, take the room for it at once."""
    try:
        os.posix_fallocate(file, 0, size)
    except AttributeError:
        os.truncate(file, size)


def complete_windows(good: BoolArray, field: ReceptiveField) -> BoolArray:
    """Samples whose output reads good samples only, all of them inside the signal."""
    for axis, (before, after) in enumerate(zip(field.before, field.after, strict=True)):
        good = _complete_along(good, axis, before, after)
    return good


def _complete_along(good: BoolArray, axis: int, before: int, after: int) -> BoolArray:
    n = good.shape[axis]
    low = max(0, before)
    high = max(0, after)
    if good.all():
        inside: list[Any] = [slice(None)] * good.ndim
        inside[axis] = slice(low, max(0, n - high))
        found = np.zeros(good.shape, bool)
        found[tuple(inside)] = True
        return found
    margins = [(0, 0)] * good.ndim
    margins[axis] = (low, high)
    bad = np.pad(~good, margins, constant_values=True)
    counts = np.insert(np.cumsum(bad, axis=axis), 0, 0, axis=axis)
    centre = np.arange(n) + low
    bad_until_first = np.take(counts, centre - before, axis=axis)
    bad_until_last = np.take(counts, centre + after + 1, axis=axis)
    return np.asarray(bad_until_last == bad_until_first)


# -------------------------------------------------------------------------------- sums over samples


def rows_where(values: Array, mask: BoolArray) -> Iterator[Array]:
    """The values where `mask` is true, (n, channels) float64, some rows of the signal at a time."""
    width = math.prod(values.shape[1:])
    rows = max(1, CHUNK // width)
    for first in range(0, len(values), rows):
        some = slice(first, first + rows)
        wanted = mask[some]
        if wanted.any():
            yield values[some][wanted].astype(np.float64)


def target_powers(signals: Sequence[TrainingSignal]) -> tuple[float, float | None]:
    """Root mean square of the targets that are trained on, and of the held-out ones."""
    train = _root_mean_square((each.y, each.train) for each in signals)
    held = _root_mean_square((each.y, each.held) for each in signals)
    return train or 0.0, held


def _root_mean_square(parts: Iterable[tuple[Array, BoolArray]]) -> float | None:
    """Root mean square where the masks are true; None if they are nowhere."""
    power = 0.0
    count = 0
    for values, mask in parts:
        for known in rows_where(values, mask):
            power += float(np.vdot(known, known))
            count += known.size
    return math.sqrt(power / count) if count else None


# ---------------------------------------------------------------------------- the delay of a target
# It is the lag of the largest correlation, which counts only if it is far above that of unrelated
# signals, or high in itself.


def measure_delay(reader: PairReader, channels: Channels, workers: Workers) -> DelayFacts:
    """Measure by how much the target of a pair is later than its input.

    Each channel is correlated with its own target if the channels share a filter, otherwise every
    input with every target. Levels that drift correlate at every lag, so `differences` correlates
    the changes. Raises InputError if no lag stands out.
    """
    signal = reader.pair.source.signal
    limit = largest_lag(signal)
    correlation = BlockCorrelation(
        limit,
        shared=channels.shared > 0,
        differences=reader.task.differences,
        dtype=precision_for(signal),
    )
    candidates = correlation.candidates(reader.blocks(workers), workers.map)
    best = _most_certain(candidates)
    return delay_facts(
        signal, best.lag, correlation=best.correlation, limit=limit, rival=best.rival
    )


def _most_certain(candidates: list[LagCandidate]) -> LagCandidate:
    if not candidates:
        raise InputError(
            "input or target is constant: no delay can be found",
            hint="--delay N, where it is known",
        )
    best = max(candidates, key=lambda each: abs(each.correlation))
    if not best.stands_out:
        lag = "x".join(map(str, best.lag))
        found = f"the best correlation is {best.correlation:.2g}, at {lag}"
        raise InputError(
            f"input and target have no delay that stands out: {found}, "
            f"and chance alone gives {best.by_chance:.2g}",
            hint="are these a pair? --delay N, where the delay is known",
        )
    return best


def delay_facts(signal: Signal, lag: tuple[int, ...], **measured: Any) -> DelayFacts:
    """Facts of a delay of `lag` samples; `measured` are the fields that only a search knows."""
    seconds = None
    if signal.medium.in_seconds and signal.rate is not None:
        seconds = lag[0] / signal.rate
    return DelayFacts(input="", samples=lag, noun=signal.medium.sample, seconds=seconds, **measured)
