"""The operations that a chain is made of.

An operation is a set of parameters and a pure function. It has no other state.

* `reach` says, for each sample axis, which inputs an output reads. Everything else about lengths,
  latency, blocks and causality is computed from it.
* A call computes the outputs `span` from exactly the inputs that they read. The signal was extended
  at its ends before, so every operation is "valid": it never asks where the signal begins or ends.
* The other properties of `Op` are what the chain and the scheduler have to know of an operation.
  Their defaults suit an operation that filters every channel alike, sample by sample or window by
  window.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from convcli.core.activations import Activation
from convcli.core.complete import Bounds
from convcli.core.convolution.convolve import all_finite, mean_valid
from convcli.core.convolution.convolve_2d import factor
from convcli.core.convolution.near_halves import settled, settles_cheaply
from convcli.core.convolution.rounding import Rounding, of_taps, outside_of
from convcli.core.in_time.reach import Tracker
from convcli.core.missing import any_missing, hold, known_by, last_known, reads_gap, renormalised
from convcli.core.reach import Reach, aligned_samples, widest
from convcli.core.task import Inputs
from convcli.core.windows.constants import keep_constants
from convcli.dataclass import dataclass
from convcli.samples import summed

if TYPE_CHECKING:
    from typing import Self

    from convcli.calendar_bins import CalendarBins
    from convcli.core.binding import Site, Stage
    from convcli.core.executor import Executor
    from convcli.core.kernel import Kernel
    from convcli.core.task import HeldAfter, HeldPlace, OpTask
    from convcli.signals import Align, Array, Edge, Missing

# The outputs [start, stop) on each sample axis.
Span = tuple[tuple[int, int], ...]

# What a missing sample does to the outputs of a convolution: weights are renormalised over the
# known samples, the last known value is held, or there is no output.
OnMissing = Literal["renormalise", "hold", "empty"]

# What becomes of the opacity of a picture:
#   filtered  it weights the colours and is filtered with them
#   kept      it weights the colours and is kept as it is
#   masks     colours of transparent pixels are missing, and it is kept as it is
Opacity = Literal["filtered", "kept", "masks"]

# Gives the last known value of each channel before the inputs, None if there is none. It may wait
# for another thread and is therefore called only if a gap needs it.
Held = Callable[[], "Array | None"]


def nothing_held() -> None:
    """Return None: no value is known from before the start of a signal."""
    return


@dataclass(frozen=True, eq=False, kw_only=True)
class WindowWeights:
    """The weights with which outputs sum up their windows.

    y[k, o] = sum over i, j of weights[o, i, j] * x[k*step - before + j, i] / divisor + bias[o]

    weights : (out, in / groups, *size), in the order of the samples of the window, not flipped
    before : inputs of a window before k*step, on each axis
    groups : output o reads only the channels of its group
    bias : (out,), or None
    flipped : whether the weights are the taps of a convolution in reverse
    on_missing : what a missing input does to the sum
    summarises : an output describes its whole window, not the sample that it is aligned with
    padding : edge rule by which a layer extends its own input; None where it does not
    only_complete : whether the weights hold only for windows in which no sample is missing
    """

    weights: npt.NDArray[np.float64]
    before: tuple[int, ...]
    groups: int
    divisor: float = 1.0
    bias: npt.NDArray[np.float64] | None = None
    flipped: bool = True
    on_missing: OnMissing = "hold"
    summarises: bool = False
    padding: Edge | None = None
    only_complete: bool = False

    @property
    def size(self) -> tuple[int, ...]:
        """How many samples a window has on each axis."""
        return self.weights.shape[2:]

    def inputs_of(self, output: int) -> range:
        """The channels that an output channel reads."""
        group = output * self.groups // len(self.weights)
        count = self.weights.shape[1]
        return range(group * count, (group + 1) * count)


@dataclass(frozen=True)
class Spread:
    """Outputs that an input of a transposed convolution adds to, along each sample axis.

    Input i adds its product with each tap to the outputs i * stride + first, ..., of which there
    are `size`; taps are as far apart as the dilation says, with zeros between them.
    """

    stride: tuple[int, ...]
    first: tuple[int, ...]
    size: tuple[int, ...]


@dataclass(frozen=True)
class NNCall:
    """The function of torch.nn.functional and of jax.nn that computes the same as an operation.

    argument : the argument besides the samples, or None
    """

    function: str
    argument: float | None = None

    def text(self, x: str) -> str:
        """The call with the samples written as `x`."""
        if self.argument is None:
            return f"{self.function}({x})"
        return f"{self.function}({x}, {self.argument:g})"


@dataclass(frozen=True)
class BranchTask:
    """What a branch of a group computes.

    ops : the operations of the branch
    spans : for each operation, the inputs [low, high) that it reads along each axis; at the end the
        outputs of the branch, by its own index
    """

    ops: tuple[Op, ...]
    spans: tuple[Span, ...]


class Op(ABC):
    """An operation on samples `(n, channels)` or `(rows, columns, channels)`."""

    @property
    @abstractmethod
    def reach(self) -> tuple[Reach, ...]:
        """How far the operation looks, one Reach per sample axis."""

    @abstractmethod
    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Compute the outputs `span` from the inputs that they read.

        x : the inputs `reach[a].needs(*span[a])` of each axis a, NaN where a sample is missing; not
            changed
        held : the values that fill a gap at the beginning of `x`
        """

    def compute(self, x: Array, task: OpTask) -> tuple[Array, HeldAfter]:
        """Compute the outputs of a task, and what the next job has to know.

        x : all inputs of the task, NaN where a sample is missing; not changed
        """
        x = self.padded(x, task)
        windows = x[task.skipped :]
        if not self.holds:
            return self(windows, task.outputs), {}
        held = partial(last_known, x[: task.skipped], task.held_before)
        y = self(windows, task.outputs, held)
        return y, {(): last_known(x[: task.passed], task.held_before)}

    def branch_tasks(self, span: Span, ends: tuple[int | None, ...]) -> tuple[BranchTask, ...]:
        """Return what each branch of a group computes for the outputs `span` of the group.

        ends : the length of the signal along each axis, None if it has not ended yet
        """
        return ()

    def reads(self, start: int, stop: int, done: int, n: int | None) -> Inputs:
        """Return the inputs along axis 0 for the outputs [start, stop).

        done : the end of the outputs that were computed before, at most 0 if there are none
        n : the length of the input, given if the operation needs the end of the signal
        """
        low, high = self.reach[0].needs(start, stop)
        first = low
        if self.holds and done > 0:
            _, read = self.reach[0].needs(done - 1, done)
            first = min(low, read)
        return Inputs(first, low, high)

    def complete_outputs(self, inputs: Bounds, ends: tuple[int | None, ...]) -> Bounds:
        """Return the outputs whose windows lie within the inputs, for the edge rule `missing`.

        inputs : those that lack no part of the signal
        ends : the length of the input on each axis, None if it has not ended yet
        """
        found = _complete_outputs(self.reach, inputs)
        if not self.pads:
            return found
        # Beyond the ends of its input the operation reads its own padding, which is never missing.
        low = list(found.low)
        high = list(found.high)
        for axis, length in enumerate(ends):
            if inputs.low[axis] <= 0:
                low[axis] = 0
            if length is not None and inputs.high[axis] >= length:
                high[axis] = self.reach[axis].count(length)
        return Bounds(tuple(low), tuple(high))

    # --- what the operation does to samples ---

    @property
    def holds(self) -> bool:
        """Whether the operation fills a gap with the last known value, however old."""
        return False

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

    @property
    def takes_stored(self) -> bool:
        """Whether the operation takes whole numbers as files store them (`samples.py`)."""
        return False

    @property
    def rounding(self) -> Rounding:
        """The rounding class, which decides the type that bytes are filtered in."""
        return "rounded"

    @property
    def convolutions(self) -> tuple[Convolve, ...]:
        """The convolutions that the operation consists of, if it does."""
        return ()

    def window_weights(self, channels: int) -> WindowWeights | None:
        """The weights of each output's window, for signals of `channels` channels.

        None for an operation that is not a weighted sum of one window.
        """
        return None

    @property
    def continues_layer(self) -> bool:
        """Whether the operation is a part of the layer that the operation before it begins."""
        return False

    @property
    def spread(self) -> Spread | None:
        """Where each input of a transposed convolution adds to the outputs.

        None for all operations but the one that interleaves the phases of such a layer.
        """
        return None

    @property
    def nn_call(self) -> NNCall | None:
        """The function of PyTorch and JAX that computes the same, for functions of one sample."""
        return None

    @property
    def in_place(self) -> Callable[[Array, Array], Array] | None:
        """The function that the operation applies to every sample of every channel alike.

        It computes the function of one array in another one, which may be the same. None for other
        operations.
        """
        return None

    def joined(self, following: Op) -> Op | None:
        """Return one operation that does this and the following one, if that saves a pass."""
        return None

    def executor(self, ops: Sequence[Op]) -> Executor | None:
        """Return what computes this and some following operations at once, if that is faster.

        ops : the operation and those that follow it
        """
        return None

    @property
    def as_convolution(self) -> Convolve | None:
        """The one convolution that the operation is where no sample is missing, if it is one."""
        return None

    @property
    def products(self) -> int:
        """How many products of samples and taps an output takes."""
        return sum(products_of(convolution.taps) for convolution in self.convolutions)

    @property
    def delay(self) -> float | None:
        """The delay in samples along axis 0, where it does not follow from convolutions.

        It is 0 for an operation that reads one sample for each output, and None where nothing tells
        it.
        """
        along = self.reach[0]
        return None if along.before or along.after else 0.0

    @property
    def homogeneous(self) -> bool:
        """Whether samples that are c times as large give results that are c times as large."""
        return False

    # --- what the operation does to channels ---

    @property
    def uniform(self) -> bool:
        """Whether all channels are treated alike, wherever a signal begins.

        Signals that are interleaved in one file can then be filtered side by side, as channels of
        one array.
        """
        return False

    def output_channels(self, count: int) -> int:
        """Count the channels that come out if `count` channels go in."""
        return count

    @property
    def widest(self) -> int:
        """The most channels that a layer of a network reads or makes; 0 for other operations."""
        return 0

    @property
    def opacity(self) -> Opacity | None:
        """What becomes of the opacity of a picture; None: the operation treats it by itself."""
        return None

    def opacity_after(self, alpha: int | None) -> int | None:
        """Return which channel is the opacity of the result, if `alpha` is that of the input."""
        return alpha

    def with_rules(self, missing: Missing, *, exact: bool) -> Op:
        """Return the operation under the rules of a run.

        missing : the rule for missing samples
        exact : the result must not depend on where a block ends, not even in the last bit
        """
        return self

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return the operation at its place in a FILTER, as one stage."""
        return (site.stage(self),)

    # --- times of the samples ---

    @property
    def in_time(self) -> bool:
        """Whether the windows are bounded by the times of the samples."""
        return False

    @property
    def bins(self) -> tuple[CalendarBins, ...]:
        """The calendar bins that there is an output for, one after the other; none by default."""
        return ()

    @property
    def windows_over_bins(self) -> bool:
        """Whether windows in time within the operation read what calendar bins give."""
        return False

    def tracker(self) -> Tracker:
        """Return what follows the times of the inputs of one signal and of their outputs."""
        return Tracker(self.reach[0])

    def bound(self, reach: Any) -> Op:
        """Return the operation with the reach of its tracker, which knows the times so far."""
        return self

    # --- padding of its own, for layers of a network ---

    @property
    def pads(self) -> bool:
        """Whether the operation extends its own input, so that nothing outside of it is read."""
        return False

    def complete(self) -> Op:
        """Return the operation on complete windows alone, the first of which begins at input 0."""
        if all(reach.before == reach.after == 0 for reach in self.reach):
            return self
        return Complete(self)

    @property
    def needs_end(self) -> bool:
        """Whether the first outputs depend on the last inputs (circular padding)."""
        return False

    @property
    def reads_inside(self) -> bool:
        """Whether the operation extends its input by itself, from samples near the ends."""
        return False

    def padded(self, x: Array, task: OpTask) -> Array:
        """Extend the inputs of a task by the padding of the operation itself, if it has one."""
        return x


def _complete_outputs(reaches: tuple[Reach, ...], inputs: Bounds) -> Bounds:
    """The outputs that read nothing but these inputs."""
    low = []
    high = []
    for reach, first, stop in zip(reaches, inputs.low, inputs.high, strict=True):
        low.append(reach.first_within(first))
        high.append(reach.ready(stop))
    return Bounds(tuple(low), tuple(high))


def _of_wrapped(name: str) -> Any:
    """A member of a wrapper that is the one of the wrapped operation."""
    return property(attrgetter(f"op.{name}"))


@dataclass(frozen=True, eq=False)
class WrappedOp(Op):
    """An operation around another one, `op`, whose inputs or outputs it changes.

    What is known of `op` holds for the wrapper, unless the wrapper says something else. But the
    wrapper is another function of the inputs. So what stands for the function of `op`, such as
    `as_convolution` or `executor`, does not stand for the wrapper: it is as `Op` says.
    """

    op: Op

    reach = _of_wrapped("reach")
    complete_outputs = _of_wrapped("complete_outputs")
    holds = _of_wrapped("holds")
    takes_stored = _of_wrapped("takes_stored")
    rounding = _of_wrapped("rounding")
    convolutions = _of_wrapped("convolutions")
    products = _of_wrapped("products")
    delay = _of_wrapped("delay")
    homogeneous = _of_wrapped("homogeneous")

    uniform = _of_wrapped("uniform")
    output_channels = _of_wrapped("output_channels")
    widest = _of_wrapped("widest")
    continues_layer = _of_wrapped("continues_layer")
    opacity = _of_wrapped("opacity")
    opacity_after = _of_wrapped("opacity_after")

    in_time = _of_wrapped("in_time")
    bins = _of_wrapped("bins")
    windows_over_bins = _of_wrapped("windows_over_bins")
    tracker = _of_wrapped("tracker")

    pads = _of_wrapped("pads")
    padded = _of_wrapped("padded")
    needs_end = _of_wrapped("needs_end")
    reads_inside = _of_wrapped("reads_inside")

    def with_rules(self, missing: Missing, *, exact: bool) -> Self:
        """Return the wrapper around the operation under the rules of a run."""
        return replace(self, op=self.op.with_rules(missing, exact=exact))

    def bound(self, reach: Any) -> Self:
        """Return the wrapper around the operation that knows the times so far."""
        return replace(self, op=self.op.bound(reach))


@dataclass(frozen=True, eq=False)
class Complete(WrappedOp):
    """An operation that gives only the outputs of complete windows.

    Window 0 begins at input 0, and there are floor((n - size) / step) + 1 outputs, as in torch.
    """

    # These two follow from the reach, which is another one than that of the operation.
    complete_outputs = Op.complete_outputs
    tracker = Op.tracker

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """The reach of the operation, moved to where its first window begins."""
        return tuple(_complete_reach(reach) for reach in self.op.reach)

    def complete(self) -> Complete:
        """Return the operation, which is complete."""
        return self

    def window_weights(self, channels: int) -> WindowWeights | None:
        """The weights of the operation, whose first window begins at input 0."""
        found = self.op.window_weights(channels)
        if found is None:
            return None
        return replace(found, before=(0,) * len(found.before))

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Compute the outputs [start, stop) on each axis, as the operation itself does."""
        return self.op(x, span, held)


def _complete_reach(reach: Reach) -> Reach:
    """The reach whose first output reads the inputs from 0 on."""
    beside = reach.before + reach.after
    anchor = reach.anchor + reach.before
    return replace(reach, before=0, after=beside, anchor=anchor, growth=-beside)


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolve(Op):
    """y[k] = sum_j taps[j] * x[k*step + centre - j] / divisor, in every channel alike.

    taps : (k,) or (height, width) in convolution order
    before, after : samples read on each side of the sample k*step
    anchor : offset from k*step to the sample that output k is aligned with
    on_missing : what a missing input does to the sum; missing : the rule for outputs aligned with a
        missing sample
    recursive : the taps are the impulse response of a recursion, which begins with the first sample
        and has no window that could be incomplete
    summarises : an output describes its whole window (a pool), not the sample that it is aligned
        with
    exact : add up in one order, so that the last bit does not depend on the length of a block
    """

    taps: npt.NDArray[np.float64]
    before: tuple[int, ...]
    after: tuple[int, ...]
    step: tuple[int, ...]
    anchor: tuple[int, ...]
    divisor: float = 1.0
    on_missing: OnMissing = "renormalise"
    missing: Missing = "keep"
    recursive: bool = False
    summarises: bool = False
    exact: bool = False

    takes_stored = True
    uniform = True
    homogeneous = True

    @classmethod
    def by(cls, kernel: Kernel, align: Align, *, step: tuple[int, ...] | None = None) -> Convolve:
        """The operation that convolves with `kernel` and keeps every `step`-th output."""
        offsets = kernel.offsets(align)
        axes = kernel.taps.ndim
        return cls(
            taps=kernel.taps,
            before=tuple(before for before, _ in offsets),
            after=tuple(after for _, after in offsets),
            step=step or (1,) * axes,
            anchor=(0,) * axes,
            divisor=kernel.divisor,
            on_missing=kernel.on_missing or "renormalise",
            recursive=kernel.recursive,
        )

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """One Reach per axis of the taps."""
        geometry = zip(self.before, self.after, self.step, self.anchor, strict=True)
        return tuple(Reach(before=b, after=a, step=s, anchor=c) for b, a, s, c in geometry)

    def complete_outputs(self, inputs: Bounds, ends: tuple[int | None, ...]) -> Bounds:
        """Return the outputs whose windows lie within the inputs; a recursive filter has none."""
        if not self.recursive:
            return super().complete_outputs(inputs, ends)
        newest = tuple(replace(reach, before=-reach.after) for reach in self.reach)
        return _complete_outputs(newest, inputs)

    @property
    def holds(self) -> bool:
        """Whether the kernel fills gaps with the last known value."""
        return self.on_missing == "hold"

    @property
    def rounding(self) -> Rounding:
        """The rounding class of the taps and the divisor."""
        return self._rounding

    @cached_property
    def _rounding(self) -> Rounding:
        found = of_taps(self.taps, self.divisor)
        if found == "rounded" and settles_cheaply(self.taps, self.divisor):
            return "settled"
        return found

    @property
    def convolutions(self) -> tuple[Convolve, ...]:
        """The convolution itself, which is the only one."""
        return (self,)

    def window_weights(self, channels: int) -> WindowWeights:
        """The taps in reverse, once for each channel."""
        of_one_channel = np.flip(self.taps)[None]
        weights = np.stack([of_one_channel] * channels)
        return WindowWeights(
            weights=weights,
            before=self.before,
            groups=channels,
            divisor=self.divisor,
            on_missing=self.on_missing,
            summarises=self.summarises,
        )

    @property
    def as_convolution(self) -> Convolve:
        """The operation itself, which is a convolution already."""
        return self

    @property
    def opacity(self) -> Literal["filtered", "kept"]:
        """Whether the opacity is kept, as by taps of sum 0: they would make all transparent."""
        return "kept" if self.on_missing == "empty" else "filtered"

    def with_rules(self, missing: Missing, *, exact: bool) -> Self:
        """Return the convolution under the rules of a run."""
        return replace(self, missing=missing, exact=exact)

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Convolve samples or stored numbers."""
        window = np.flip(self.taps)
        if all_finite(x):
            y = mean_valid(x, window, self.divisor, self.step, exact=self.exact, finite=True)
            if x.dtype == np.uint8 and self.rounding == "settled":
                return settled(y, x, window / self.divisor, self.step)
            return y
        if not any_missing(x):
            return self._mean(x, window)
        y = self._over_gaps(x, window, held)
        if self.missing == "propagate":
            y[reads_gap(np.isnan(x), window, self.step)] = np.nan
        elif self.missing != "fill" and not self.summarises:
            y[np.isnan(aligned_samples(x, self.reach, y.shape))] = np.nan
        return y

    def _mean(self, x: Array, window: npt.NDArray[np.float64]) -> Array:
        return mean_valid(x, window, self.divisor, self.step, exact=self.exact)

    def _over_gaps(self, x: Array, window: npt.NDArray[np.float64], held: Held) -> Array:
        if self.on_missing == "renormalise":
            return renormalised(x, window, self.divisor, self.step, exact=self.exact)
        if self.on_missing == "hold":
            return self._over_held_values(x, window, held)
        missing = np.isnan(x)
        y = self._mean(np.where(missing, 0.0, x).astype(x.dtype), window)
        y[reads_gap(missing, window, self.step)] = np.nan
        if self.exact and window.ndim == 1:
            # A missing sample that meets a tap of 0 was a 0 until here.
            keep_constants(y, x, window, self.divisor, self.step[0])
        return y

    def _over_held_values(self, x: Array, window: npt.NDArray[np.float64], held: Held) -> Array:
        """Convolve with gaps filled by the last known value; NaN before the first one."""
        filled = hold(x, held)
        unknown = np.isnan(filled)
        y = self._mean(np.where(unknown, 0.0, filled), window)
        if x.ndim == 2:
            begins_with_gap = np.isnan(x[0]).any()
            earlier = held() if begins_with_gap else None
            is_known = known_by(x, earlier, len(window), self.step[0], len(y))
            y[~is_known] = np.nan
        else:
            y[reads_gap(unknown, window, self.step)] = np.nan
        return y


def products_of(taps: npt.NDArray[np.float64]) -> int:
    """How many products an output takes; separable taps are applied along one axis at a time."""
    if taps.ndim == 2 and min(taps.shape) > 1 and factor(taps) is not None:
        return sum(taps.shape)
    return taps.size


def default_on_missing(taps: npt.NDArray[np.float64]) -> OnMissing:
    """Return the default effect of a missing sample on the outputs of these taps."""
    total = float(taps.sum())
    size = float(np.abs(taps).sum())
    if abs(total) <= 1e-12 * size:
        return "empty"
    is_average = bool((taps >= 0).all())
    return "renormalise" if is_average else "hold"


@dataclass(frozen=True, eq=False, kw_only=True)
class Pointwise(Op):
    """A function that is applied to every sample by itself.

    keeps : the channel that is left alone (the opacity of a picture), or None
    alike : whether the function is the same for all channels
    factor : of a function that multiplies by a number
    """

    function: Callable[[Array], Array]
    axes: int
    keeps: int | None = None
    alike: bool = True
    rounding: Rounding = "rounded"
    nn_call: NNCall | None = None
    factor: float | None = None

    @property
    def reach(self) -> tuple[Reach, ...]:
        """An output reads one sample, its own."""
        return (Reach(),) * self.axes

    @property
    def in_place(self) -> Callable[[Array, Array], Array] | None:
        """The function, if it is an activation and no channel is left alone."""
        if self.keeps is None and isinstance(self.function, Activation):
            return self.function
        return None

    @property
    def uniform(self) -> bool:
        """Whether no channel is left alone or has a function of its own."""
        return self.alike and self.keeps is None

    @property
    def as_convolution(self) -> Convolve | None:
        """The convolution with one tap, the factor."""
        if self.factor is None or self.keeps is not None:
            return None
        nothing = (0,) * self.axes
        return Convolve(
            taps=np.full((1,) * self.axes, self.factor),
            before=nothing,
            after=nothing,
            step=(1,) * self.axes,
            anchor=nothing,
        )

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Apply the function to all channels but the one that is kept."""
        y = self.function(x)
        if self.keeps is not None:
            y[..., self.keeps] = x[..., self.keeps]
        return y


@dataclass(frozen=True, eq=False, kw_only=True)
class Magnitude(Op):
    """The root of the sum of squares of several convolutions: the strength of a gradient.

    y[k] = sqrt(a[k]**2 + b[k]**2 + ...), where all convolutions a, b ... have one step
    """

    parts: tuple[Convolve, ...]

    takes_stored = True
    uniform = True
    homogeneous = True
    opacity = "kept"

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """The union of the reaches of the parts on each axis."""
        by_axis = zip(*(part.reach for part in self.parts), strict=True)
        return tuple(widest(reaches) for reaches in by_axis)

    @property
    def rounding(self) -> Rounding:
        """The rounding class of the parts: the root of a whole number never comes near a half."""
        classes = {outside_of(part.rounding) for part in self.parts}
        return "rounded" if "rounded" in classes else self.parts[0].rounding

    @property
    def convolutions(self) -> tuple[Convolve, ...]:
        """The convolutions that the operation consists of."""
        return self.parts

    def with_rules(self, missing: Missing, *, exact: bool) -> Self:
        """Return the same magnitude with each part under the rules of a run."""
        parts = tuple(part.with_rules(missing, exact=exact) for part in self.parts)
        return replace(self, parts=parts)

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Convolve with each part, then take the root of the sum of squares."""
        total: Any = None
        for part in self.parts:
            inputs = _inputs_of_part(x, self.reach, part.reach)
            y = summed(part(inputs, span, held))
            squares = np.square(y, out=y)
            if total is None:
                total = squares
            else:
                np.add(total, squares, out=total)
        strength: Array = np.sqrt(total, out=total)
        return strength


def _inputs_of_part(x: Array, outer: tuple[Reach, ...], inner: tuple[Reach, ...]) -> Array:
    """Select the inputs of a part from those of the whole operation."""
    places = []
    for axis, (whole, part) in enumerate(zip(outer, inner, strict=True)):
        start = whole.before - part.before
        stop = x.shape[axis] - (whole.after - part.after)
        places.append(slice(start, stop))
    return x[tuple(places)]


@dataclass(frozen=True, eq=False, kw_only=True)
class EachChannel(Op):
    """One convolution for each channel, all of one reach.

    All of them filter the same channel of a signal that has only one.
    """

    parts: tuple[Convolve, ...]

    takes_stored = True
    homogeneous = True

    @property
    def reach(self) -> tuple[Reach, ...]:
        """The common reach of the parts."""
        return self.parts[0].reach

    @property
    def holds(self) -> bool:
        """Whether some part fills gaps with the last known value."""
        return any(part.holds for part in self.parts)

    @property
    def convolutions(self) -> tuple[Convolve, ...]:
        """The convolutions that the operation consists of."""
        return self.parts

    def output_channels(self, count: int) -> int:
        """Count the parts: each gives one channel."""
        return len(self.parts)

    def window_weights(self, channels: int) -> WindowWeights | None:
        """The taps of each part in reverse, if all parts have one divisor."""
        first = self.parts[0]
        if any(part.divisor != first.divisor for part in self.parts):
            return None
        by_part = [np.flip(part.taps) for part in self.parts]
        return WindowWeights(
            weights=np.stack(by_part)[:, None],
            before=first.before,
            groups=channels,
            divisor=first.divisor,
            on_missing=first.on_missing,
        )

    def with_rules(self, missing: Missing, *, exact: bool) -> Self:
        """Return the operation with each part under the rules of a run."""
        parts = tuple(part.with_rules(missing, exact=exact) for part in self.parts)
        return replace(self, parts=parts)

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Filter each channel with its own taps."""
        outputs = []
        for c, part in enumerate(self.parts):
            channel = _channel(x, c)
            outputs.append(part(channel, span, _held_in_channel(held, c)))
        return np.concatenate(outputs, axis=-1)


def _channel(x: Array, c: int) -> Array:
    """Channel `c` as an array of one channel; for a signal of one channel that one."""
    return x if x.shape[-1] == 1 else x[..., c : c + 1]


def _held_in_channel(held: Held, c: int) -> Held:
    def values() -> Array | None:
        known = held()
        return None if known is None else _channel(known, c)

    return values
