"""The protocol of an operation, what it says of itself, and operations that wrap another one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from convcli.core.convolution.convolve_2d import products_of
from convcli.core.extend import Bounds
from convcli.core.missing import last_known
from convcli.core.op_formula import OpFormula, delay_of_one_sample
from convcli.core.task import Inputs, nothing_earlier
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

    from convcli.array_types import FloatArray
    from convcli.calendar_bins import CalendarBins
    from convcli.core.binding import Site, Stage
    from convcli.core.convolution.frames import FrameGrid
    from convcli.core.convolution.polyphase import AxisTaps
    from convcli.core.convolution.rounding import Rounding
    from convcli.core.executor import Executor
    from convcli.core.in_time.reach import Tracker
    from convcli.core.op_formula import WindowWeights
    from convcli.core.reach import Reach
    from convcli.core.task import BranchTask, HeldLookup, HeldPlace, HeldValues, OpTask
    from convcli.signals import Array, Missing


@dataclass(frozen=True, eq=False, kw_only=True)
class TimeUse:
    """What an operation or a chain makes of the times of its inputs.

    in_time : whether windows are bounded by the times of the samples
    bins : the calendar bins that there is an output for, one after the other
    counted : how many of `bins` have to be counted from the start of the signal, because the number
        of a bin matters after them: to sums of windows in time, and to strides
    """

    in_time: bool = False
    bins: tuple[CalendarBins, ...] = ()
    counted: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class OpTimes(TimeUse):
    """How an operation follows the times of its inputs.

    tracker : makes what follows the times of the inputs of one signal and of their outputs
    bound : gives the operation with the reach of its tracker, which knows the times so far
    """

    tracker: Callable[[], Tracker]
    bound: Callable[[Any], Op]


def time_use_of_series(ops: Iterable[Op]) -> TimeUse:
    """Return what operations one after the other make of the times."""
    bins: tuple[CalendarBins, ...] = ()
    counted = 0
    in_time = False
    for op in ops:
        times = op.times
        along = op.reach[0]
        if times.in_time or along.step != 1 or along.phases != 1:
            counted = len(bins)
        if times.counted:
            counted = len(bins) + times.counted
        bins += times.bins
        in_time = in_time or times.in_time
    return TimeUse(in_time=in_time, bins=bins, counted=counted)


# The outputs [start, stop) on each sample axis.
Span = tuple[tuple[int, int], ...]

# What becomes of the opacity of a picture:
#   filtered  it weights the colours and is filtered with them
#   kept      it weights the colours and is kept as it is
#   masks     colours of transparent pixels are missing, and it is kept as it is
Opacity = Literal["filtered", "kept", "masks"]

# Gives the last known value of each channel before the inputs, None if there is none. It may wait
# for another thread and is therefore called only if a gap needs it.
LastKnown = Callable[[], "Array | None"]


def none_known() -> None:
    """Return None: no value is known from before the start of a signal."""
    return


@dataclass(frozen=True, kw_only=True)
class NumberUse:
    """How an operation treats numbers.

    takes_stored : whether it takes whole numbers as files store them (`samples.py`)
    rounding : the rounding class, which decides the type that bytes are filtered in
    homogeneous : whether samples that are c times as large give results that are c times as large
    """

    takes_stored: bool = False
    rounding: Rounding = "rounded"
    homogeneous: bool = False


@dataclass(frozen=True, kw_only=True)
class ChannelUse:
    """How an operation treats channels.

    uniform : whether all channels are treated alike; the outputs of one channel are then neighbours
    written_by_result : how many outputs of a channel each result has, where one result of all
        channels is to be written after the other; else empty
    opacity : what becomes of the opacity of a picture; None: the operation treats it by itself
    widest : the most channels that a layer of a network reads or makes; 0 for other operations
    """

    uniform: bool = False
    written_by_result: tuple[int, ...] = ()
    opacity: Opacity | None = None
    widest: int = 0


def _as_given(x: Array, _: OpTask) -> Array:
    """Return the inputs of a task as they are."""
    return x


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnPadding:
    """How an operation, or a chain, extends its own input, so that nothing outside of it is read.

    needs_end : whether the first outputs depend on the last inputs (circular padding)
    reads_inside : whether each end is extended from samples near that end
    extend : extends the inputs of a task
    """

    needs_end: bool = False
    reads_inside: bool = False
    extend: Callable[[Array, OpTask], Array] = _as_given

    @property
    def extends(self) -> bool:
        """Whether the inputs are extended here; those of branches are, each in its own chain."""
        return self.extend is not _as_given


class Measure(Protocol):
    """What is measured of a whole signal, and the operation that follows from it.

    It can be pickled, and so can what it finds.
    """

    def of_block(self, y: Array) -> Any:
        """Measure one block of the signal, `y`."""
        ...

    def joined(self, one: Any, other: Any) -> Any:
        """Return what is found of two blocks together, in any order."""
        ...

    def measured_op(self, found: Any | None) -> Op:
        """Return the operation that follows; None is found of a signal without samples."""
        ...


def op_itself(op: Op) -> Op:
    """Return the operation itself."""
    return op


@dataclass(frozen=True, eq=False, kw_only=True)
class ToMeasure:
    """What has to be measured of the whole signal before an operation is known.

    measures : in the order in which they are taken, each in a pass of its own
    before : operations of a branch whose outputs the first of them measures
    with_measured : takes the `Measure.measured_op` of the first of them, and returns the operation
        that takes the place of the one that was not known
    """

    measures: tuple[Measure, ...]
    before: tuple[Op, ...]
    with_measured: Callable[[Op], Op]


class Op(ABC):
    """An operation on samples `(n, channels)` or `(rows, columns, channels)`.

    It is a set of parameters and a pure function, and has no other state. The signal was extended
    at its ends before, so every operation is "valid": it never asks where the signal begins or
    ends. A new operation defines two members:

        reach               which inputs an output reads, on each axis; lengths, latency, blocks and
                            causality are computed from it
        __call__            computes outputs from exactly the inputs that they read

    The others have defaults. They suit an operation that fills no gaps, gives as many channels as
    it takes, and is described by nothing but its name. Most operations set one or two of these:

        numbers             NumberUse: rounding, whether whole numbers are taken as files store them
        channels            ChannelUse: whether all channels are treated alike; opacity
        output_channels     how many channels come out
        opacity_after       which of them is the opacity
        holds               whether gaps are filled with the last known value
        with_rules          the operation under the rule for missing samples
        formula             OpFormula: taps, delay and notation, for reports and explanations
        cell                how many outputs are computed together at fixed places

    Operations of a special kind set one of these:

        padding, complete   OwnPadding, for layers that extend their own input
        times               OpTimes, for windows that are bounded by times
        to_measure          ToMeasure, for what depends on the whole signal
        bind                for an operation that adds a remark or a message where it is used
        compute, reads, windows, complete_outputs, branch_tasks, held_places, held_starts,
        holds_input_alone   for a group of branches, whose chains do its work
        framed_taps, on_grids
                            for FFTs with frames at fixed places
        products, in_place, axis_taps, joined, scale_and_shift, undivided,
        executor, prefers_long_jobs
                            for what is computed faster together
    """

    # --- required ---

    @property
    @abstractmethod
    def reach(self) -> tuple[Reach, ...]:
        """How far the operation looks, one Reach per sample axis."""

    @abstractmethod
    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Compute the outputs `span` from the inputs that they read.

        x : the inputs `reach[a].needs(*span[a])` of each axis a, NaN where a sample is missing; not
            changed
        held : the values that fill a gap at the beginning of `x`
        """

    # --- numbers, channels and gaps ---

    @property
    def numbers(self) -> NumberUse:
        """How the operation treats numbers."""
        return _ANY_NUMBERS

    @property
    def prefers_long_jobs(self) -> bool:
        """Whether jobs on a picture should have many rows, so that fewer are read by two jobs."""
        return False

    @property
    def channels(self) -> ChannelUse:
        """How the operation treats channels."""
        return _ANY_CHANNELS

    def output_channels(self, count: int) -> int:
        """Count the channels that come out if `count` channels go in."""
        return count

    def opacity_after(self, alpha: int | None) -> int | None:
        """Return which channel is the opacity of the result, if `alpha` is that of the input."""
        return alpha

    @property
    def holds(self) -> bool:
        """Whether the operation fills a gap with the last known value, however old."""
        return False

    def with_rules(self, missing: Missing, *, exact: bool) -> Op:
        """Return the operation under the rules of a run.

        missing : the rule for missing samples
        exact : the result must not depend on where a block ends, not even in the last bit
        """
        return self

    @property
    def formula(self) -> OpFormula:
        """What is known of the function, for reports and explanations."""
        return OpFormula(delay=delay_of_one_sample(self.reach))

    # --- where blocks end ---

    @property
    def cell(self) -> int | None:
        """The number of outputs that are computed together at fixed places of the signal.

        Blocks that end with a cell give the same bits, whatever their length (see
        `convolution/frames.py`). 1 if the bits of an output depend on its window alone; None if
        they may depend on where a block begins or ends.
        """
        return None

    @property
    def framed_taps(self) -> tuple[int, ...]:
        """The numbers of taps that are applied by FFT, each of which may get a grid of frames."""
        return ()

    def on_grids(self, grids: Mapping[int, FrameGrid], first: int, end: int) -> Op:
        """Return the operation with grids for its FFTs.

        grids : by the number of taps, for all of `framed_taps`
        first : the first output of the operation; end : an output before which a cell ends
        """
        return self

    # --- special kinds ---

    @property
    def padding(self) -> OwnPadding | None:
        """How the operation extends its own input; None if it does not."""
        return None

    def complete(self) -> Op:
        """Return the operation on complete windows alone, the first of which begins at input 0."""
        if all(reach.before == reach.after == 0 for reach in self.reach):
            return self
        return Complete(self)

    @property
    def times(self) -> OpTimes:
        """How the operation follows the times of the samples."""
        return OpTimes(tracker=partial(_sample_tracker, self), bound=lambda _: self)

    @property
    def to_measure(self) -> ToMeasure | None:
        """What has to be measured of the whole signal first; None if nothing has."""
        return None

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return the operation at its place in a FILTER, as one stage."""
        return (site.stage(self),)

    # --- as a part of a chain ---

    @property
    def windows(self) -> tuple[Reach, ...]:
        """The windows that have to lie within the signal under the edge rule `missing`."""
        return self.reach

    def compute(self, x: Array, task: OpTask) -> tuple[Array, HeldLookup]:
        """Compute the outputs of a task; return also what gives the values held after it.

        x : all inputs of the task, NaN where a sample is missing; not changed
        """
        if self.padding is not None:
            x = self.padding.extend(x, task)
        windows = x[task.skipped :]
        if not self.holds:
            return self(windows, task.outputs), nothing_earlier
        held = partial(last_known, x[: task.skipped], task.held_before)
        y = self(windows, task.outputs, held)
        after: HeldValues = {(): last_known(x[: task.passed], task.held_before)}
        return y, after.get

    def reads(self, start: int, stop: int, done: int, n: int | None) -> Inputs:
        """Return the inputs along axis 0 for the outputs [start, stop).

        done : the end of the outputs that were computed before, at most 0 if there are none
        n : the length of the input, given if the operation needs the end of the signal
        """
        along = self.reach[0]
        low, high = along.needs(start, stop)
        first = low
        if self.holds and done > 0:
            _, read = along.needs(done - 1, done)
            first = min(low, read)
        return Inputs(first, low, high)

    def complete_outputs(self, inputs: Bounds, ends: tuple[int | None, ...]) -> Bounds:
        """Return the outputs whose windows lie within the inputs, for the edge rule `missing`.

        inputs : those that lack no part of the signal
        ends : the length of the input on each axis, None if it has not ended yet
        """
        low = []
        high = []
        for reach, first, stop in zip(self.windows, inputs.low, inputs.high, strict=True):
            low.append(reach.first_within(first))
            high.append(reach.ready(stop))
        if self.padding is not None:
            # Beyond the ends of its input the operation reads its padding, which is never missing.
            for axis, length in enumerate(ends):
                if inputs.low[axis] <= 0:
                    low[axis] = 0
                if length is not None and inputs.high[axis] >= length:
                    high[axis] = self.windows[axis].count(length)
        return Bounds(tuple(low), tuple(high))

    def branch_tasks(self, span: Span, ends: tuple[int | None, ...]) -> tuple[BranchTask, ...]:
        """Return what each branch of a group computes for the outputs `span` of the group.

        ends : the length of the signal along each axis, None if it has not ended yet
        """
        return ()

    # --- values that are held over gaps ---

    @property
    def held_places(self) -> tuple[HeldPlace, ...]:
        """The places of the values that the operation holds."""
        return ((),) if self.holds else ()

    def held_starts(self, start: int, stop: int, done: int) -> dict[HeldPlace, int]:
        """Return, for each held value, the input before which it is the last known one.

        start, stop : the outputs to come; done : the end of those that were computed before
        """
        first = self.reads(start, stop, done, None).start
        return dict.fromkeys(self.held_places, first)

    @property
    def holds_input_alone(self) -> bool:
        """Whether all values that are held are inputs of the operation itself."""
        return True

    # --- how it is computed ---

    @property
    def products(self) -> int:
        """How many products of samples and taps an output takes."""
        return sum(products_of(convolution.taps) for convolution in self.formula.convolutions)

    @property
    def in_place(self) -> Callable[[Array, Array], Array] | None:
        """The function that the operation applies to every sample of every channel alike.

        It computes the function of one array in another one, which may be the same. None for other
        operations.
        """
        return None

    @property
    def axis_taps(self) -> AxisTaps | None:
        """The taps and their axis, where the operation resamples along one axis alone."""
        return None

    def joined(self, following: Op) -> Op | None:
        """Return one operation that does this and the following one, if that saves a pass."""
        return None

    @property
    def scale_and_shift(self) -> tuple[FloatArray, FloatArray] | None:
        """The scale and the shift of each channel, where the operation is scale * x + shift.

        None for other operations.
        """
        return None

    def undivided(self) -> tuple[Op, float]:
        """Return the operation without its divisor, and the divisor; 1 if it has none."""
        return self, 1.0

    def executor(self, ops: Sequence[Op]) -> Executor | None:
        """Return what computes this and some following operations at once, if that is faster.

        ops : the operation and those that follow it
        """
        return None


def _sample_tracker(op: Op) -> Tracker:
    """Return what follows the times of an operation whose windows are numbers of samples."""
    from convcli.core.in_time.reach import Tracker

    return Tracker(op.reach[0])


_ANY_NUMBERS = NumberUse()
_ANY_CHANNELS = ChannelUse()


@dataclass(frozen=True, eq=False)
class WrappedOp(Op):
    """An operation around another one, `op`, whose inputs or outputs it changes.

    What is known of `op` holds for the wrapper, unless the wrapper says something else. But the
    wrapper is another function of the inputs. So what describes the function of `op`, such as
    `formula.as_convolution` or `executor`, has its default here.
    """

    op: Op

    @property
    def reach(self) -> tuple[Reach, ...]:
        """How far the wrapped operation looks."""
        return self.op.reach

    @property
    def numbers(self) -> NumberUse:
        """How the operation treats numbers."""
        return self.op.numbers

    @property
    def channels(self) -> ChannelUse:
        """How the operation treats channels."""
        return self.op.channels

    def output_channels(self, count: int) -> int:
        """Count the channels of the operation."""
        return self.op.output_channels(count)

    def opacity_after(self, alpha: int | None) -> int | None:
        """Return which channel is the opacity of the result."""
        return self.op.opacity_after(alpha)

    @property
    def holds(self) -> bool:
        """Whether the operation fills a gap with the last known value."""
        return self.op.holds

    def with_rules(self, missing: Missing, *, exact: bool) -> Self:
        """Return the wrapper around the operation under the rules of a run."""
        return replace(self, op=self.op.with_rules(missing, exact=exact))

    @property
    def to_measure(self) -> ToMeasure | None:
        """What has to be measured before the operation is known; it is wrapped again then."""
        inside = self.op.to_measure
        if inside is None:
            return None
        return replace(inside, with_measured=partial(self._with_measured, inside))

    def _with_measured(self, inside: ToMeasure, op: Op) -> Self:
        """Return the wrapper around the operation that has taken its first measure."""
        return replace(self, op=inside.with_measured(op))

    @property
    def formula(self) -> OpFormula:
        """What is known of the operation, without what describes its function."""
        inside = self.op.formula
        return OpFormula(
            convolutions=inside.convolutions,
            delay=inside.delay,
            continues_layer=inside.continues_layer,
        )

    @property
    def padding(self) -> OwnPadding | None:
        """How the operation extends its own input."""
        return self.op.padding

    @property
    def times(self) -> OpTimes:
        """How the operation follows the times of the samples, in the wrapper."""
        return replace(self.op.times, bound=self._bound)

    def _bound(self, reach: Any) -> Self:
        """Return the wrapper around the operation that knows the times so far."""
        return replace(self, op=self.op.times.bound(reach))

    @property
    def windows(self) -> tuple[Reach, ...]:
        """The windows of the wrapped operation."""
        return self.op.windows

    @property
    def products(self) -> int:
        """How many products of samples and taps an output takes."""
        return self.op.products


@dataclass(frozen=True, eq=False)
class Complete(WrappedOp):
    """An operation that gives only the outputs of complete windows.

    Window 0 begins at input 0, and there are floor((n - size) / step) + 1 outputs, as in torch.
    """

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """The reach of the operation, moved to where its first window begins."""
        return tuple(_complete_reach(reach) for reach in self.op.reach)

    @property
    def windows(self) -> tuple[Reach, ...]:
        """The windows, by the reach that was moved."""
        return self.reach

    @property
    def times(self) -> OpTimes:
        """How the operation follows the times, by the reach that was moved."""
        return replace(super().times, tracker=partial(_sample_tracker, self))

    @property
    def formula(self) -> OpFormula:
        """What is known of the operation, and its weights, whose first window begins at input 0."""
        formula = super().formula
        own = self.op.formula
        return replace(
            formula,
            window_weights=self._window_weights,
            nn_pool=own.nn_pool,
            nn_windows=own.nn_windows,
        )

    def _window_weights(self, channels: int) -> WindowWeights | None:
        found = self.op.formula.window_weights(channels)
        if found is None:
            return None
        return replace(found, before=(0,) * len(found.before))

    def complete(self) -> Complete:
        """Return the operation, which is complete."""
        return self

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Compute the outputs [start, stop) on each axis, as the operation itself does."""
        return self.op(x, span, held)


def _complete_reach(reach: Reach) -> Reach:
    """The reach whose first output reads the inputs from 0 on."""
    beside = reach.before + reach.after
    anchor = reach.anchor + reach.before
    return replace(reach, before=0, after=beside, anchor=anchor, growth=-beside)
