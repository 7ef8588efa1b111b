"""Padding by a layer itself: how it is written, where windows lie, how inputs are extended."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property, partial
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import numpy as np

from convcli.core.extend import REPEATING, indices_inside, value_outside
from convcli.core.op import ChannelUse, LastKnown, NumberUse, Op, OwnPadding, Span, none_known
from convcli.core.op_formula import AddedSamples, OpFormula, delay_of_one_sample
from convcli.core.reach import Reach
from convcli.dataclass import dataclass
from convcli.layers.training.trained import BatchLayer, TrainedLayer, trained_form
from convcli.units import Kind, UnitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import IntArray, Sizes
    from convcli.core.task import OpTask
    from convcli.layers.training.trained import BatchShape
    from convcli.signals import Array, Edge, Signal

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
EDGES: dict[PaddingMode, Edge] = {
    "zeros": "zero",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


def _read_sides(text: str, signal: Signal, *, other: str = "") -> tuple[int, ...]:
    """Read how many samples are added on each axis: `2` or `2x1`.

    other : what may be written instead, for the message
    """
    axes = signal.axes
    sides = text.lower().split("x")
    are_numbers = [side.isdecimal() and len(side) < 10 for side in sides]
    if not all(are_numbers) or len(sides) not in {1, axes}:
        forms = "a number or HxW" if axes == 2 else "a number"
        raise UnitError(f"padding is {forms}{other}, got {text!r}")
    if len(sides) < axes:
        sides *= axes
    return tuple(int(side) for side in sides)


def _read_padding(text: str, signal: Signal) -> tuple[int, ...] | Literal["same"]:
    """Read a padding: `2`, `2x1` or `same`."""
    if text == "same":
        return "same"
    return _read_sides(text, signal, other=" or same")


Sides = Annotated[tuple[int, ...], Kind("padding", _read_sides)]
Padding = Annotated[tuple[int, ...] | Literal["same"], Kind("padding", _read_padding)]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the windows of a layer lie on its input, on each axis.

    before : inputs read before k*step; anchor : offset from k*step to the input that output k is
        aligned with
    growth : by how much the layer's own padding changes the number of samples, at step 1
    padding : how the layer extends its own input; None leaves that to the chain
    """

    before: Sizes
    anchor: Sizes
    growth: Sizes
    padding: Edge | None = None


def widths_of(shape: Sizes, dilation: Sizes) -> Sizes:
    """How many neighbouring samples windows of `shape` taps span."""
    widths = []
    for taps, spacing in zip(shape, dilation, strict=True):
        last = (taps - 1) * spacing
        widths.append(last + 1)
    return tuple(widths)


def begun_windows(
    widths: Sizes, pads: Sequence[tuple[int, int]], step: Sizes, *, text: str = ""
) -> PaddedInput:
    """Missing samples after a padded input, so that a last window counts that it does not fill.

    As in torch, such a window begins within the input or the padding before it.
    text : what pages call it
    """
    sides = []
    for width, (_, after), stride in zip(widths, pads, step, strict=True):
        begun = max(0, width - 1 - after)
        sides.append((0, min(stride - 1, begun)))
    return extended_input(sides, "shrink", text=text)


class SelfPadding(Op):
    """An operation whose windows lie as `at` says, and which may extend its own input."""

    at: Placement
    step: Sizes

    @property
    @abstractmethod
    def widths(self) -> Sizes:
        """How many neighbouring samples a window spans on each axis."""

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """One Reach per axis, which includes the samples that padding repeats."""
        reaches = []
        for axis, (low, high) in enumerate(self._spare):
            before = self.at.before[axis]
            after = self.widths[axis] - 1 - before
            reaches.append(
                Reach(
                    before=before + low,
                    after=after + high,
                    step=self.step[axis],
                    anchor=self.at.anchor[axis],
                    growth=self.at.growth[axis],
                )
            )
        return tuple(reaches)

    @cached_property
    def _spare(self) -> tuple[tuple[int, int], ...]:
        """How many inputs an output reads before and after its window, on each axis.

        Padding repeats them. If a window ends before the sample k*step, the inputs up to that
        sample are read too, so that at least one of them lies in the signal.
        """
        at = self.at
        return tuple(map(self._spare_along, self.widths, at.before, at.growth))

    def _spare_along(self, width: int, left: int, growth: int) -> tuple[int, int]:
        after = width - 1 - left
        right = growth + after
        if self.at.padding == "reflect":
            return max(0, 2 * right + 1 - width), max(0, left - after)
        if self.at.padding == "edge":
            return max(0, right + 1 - width), max(0, -after)
        # A negative padding cuts inputs off; the last output waits until they have come.
        return 0, max(0, -after, -right)

    @cached_property
    def padding(self) -> OwnPadding | None:
        """How the layer extends its own input. A padding of 0 extends it by 0 samples."""
        rule = self.at.padding
        if rule is None:
            return None
        circular = rule == "wrap"
        extend = partial(_extended, rule=rule)
        return OwnPadding(needs_end=circular, reads_inside=not circular, extend=extend)

    def complete(self) -> Op:
        """Return the layer itself if it pads: it then reads nothing outside of its input."""
        return super().complete() if self.padding is None else self

    def within(self, x: Array) -> Array:
        """Return the inputs of the windows, without those that only padding repeats."""
        sides = zip(self._spare, x.shape, strict=False)
        places = [slice(low, n - high) for (low, high), n in sides]
        return x[tuple(places)]

    def held_within(self, held: LastKnown) -> LastKnown:
        """Return a function for the held values of the columns that `within` keeps of a picture."""
        if len(self._spare) == 1:
            return held
        low, high = self._spare[1]

        def values() -> Array | None:
            known = held()
            return None if known is None else known[low : len(known) - high]

        return values


@dataclass(frozen=True, eq=False, kw_only=True)
class PaddedInput(SelfPadding):
    """The input itself, extended at its ends.

    Under the rule `shrink` the samples outside are missing.

    text : what pages call it where it is a part of a layer
    """

    at: Placement
    step: Sizes
    text: str = ""

    numbers = NumberUse(rounding="exact")
    channels = ChannelUse(uniform=True)

    @property
    def widths(self) -> Sizes:
        """Width 1 on each axis: an output reads one sample."""
        return (1,) * len(self.at.before)

    @property
    def formula(self) -> OpFormula:
        """Which samples are added, and where."""
        sides = zip(self.at.growth, self.at.before, strict=True)
        added = AddedSamples(
            before=self.at.before,
            after=tuple(growth - before for growth, before in sides),
            rule=self.at.padding or "zero",
        )
        return OpFormula(delay=delay_of_one_sample(self.reach), text=self.text, added=added)

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Return the input, which has been extended, unchanged."""
        return self.within(x)


@dataclass(frozen=True)
class TrainedShift(TrainedLayer):
    """A padding in training, where windows lie inside the signal: it only shifts their places.

    by : samples that the padding puts before the signal, on each axis
    """

    by: Sizes

    pointwise = True
    homogeneous = True
    # Its outputs are its inputs, so the layer before it may read them again.
    reads_its_outputs = True

    def needs(self, outputs: Span) -> Span:
        """Return the places of the inputs, counted from the beginning of the signal."""
        sides = zip(outputs, self.by, strict=True)
        return tuple((low - side, high - side) for (low, high), side in sides)

    def for_batches(self, batch: BatchShape) -> BatchShift:
        """Return what passes the samples on."""
        return BatchShift()


@trained_form.register(PaddedInput)
def _trained_padding(op: PaddedInput) -> TrainedShift:
    """How an extended input is trained."""
    return TrainedShift(op.at.before)


class BatchShift(BatchLayer):
    """Passes samples and derivatives on: inside the signal a padding changes nothing."""

    def forward(self, x: Array) -> Array:
        """Return the inputs, which are the outputs."""
        return x

    def backward(self, dy: Array) -> Array:
        """Return the derivatives with respect to the outputs; those of the inputs are the same."""
        return dy


def padded_placement(widths: Sizes, pads: Sequence[tuple[int, int]], rule: Edge) -> Placement:
    """Where windows lie on an input that is padded, as in torch and ONNX.

    pads : samples that are added before and after, on each axis; negative ones are cut off
    rule : what is added
    """
    anchors = []
    growths = []
    for width, (low, high) in zip(widths, pads, strict=True):
        middle = (width - 1) // 2
        anchors.append(middle - low)
        growths.append(low + high + 1 - width)
    return Placement(
        before=tuple(low for low, _ in pads),
        anchor=tuple(anchors),
        growth=tuple(growths),
        padding=rule,
    )


def extended_input(pads: Sequence[tuple[int, int]], rule: Edge, *, text: str = "") -> PaddedInput:
    """The input with samples added, or cut off, before and after it on each axis.

    text : what pages call it where it is a part of a layer
    """
    ones = (1,) * len(pads)
    return PaddedInput(at=padded_placement(ones, pads, rule), step=ones, text=text)


class _Stretch(NamedTuple):
    """The samples [start, stop) of an axis of a signal that is known up to `end`.

    lead : how many of them lie before the first one that is given
    """

    start: int
    stop: int
    end: int
    lead: int

    @property
    def inside(self) -> slice:
        """The places in the stretch of the samples that belong to the signal."""
        count = self.stop - self.start
        first = min(max(-self.start, 0), count)
        return slice(first, max(first, min(self.end - self.start, count)))


def _extended(x: Array, task: OpTask, rule: Edge) -> Array:
    """The inputs of a task of a layer, extended by its own padding."""
    stretches = []
    geometry = zip(task.starts, task.begins, task.stops, task.ends, strict=True)
    for known, start, stop, n in geometry:
        end = stop if n is None else n
        stretches.append(_Stretch(start, stop, end, known - start))
    return padded_input(x, stretches, rule)


def padded_input(x: Array, stretches: list[_Stretch], rule: Edge) -> Array:
    """The samples of `stretches`, one for each axis, extended outside of the signal.

    x : the samples that follow the lead of each stretch. They are copied once, however many axes
        are extended.
    """
    wanted = tuple(slice(part.stop - part.start) for part in stretches)
    own = tuple(part.inside for part in stretches)
    if own == tuple(slice(0, each.stop) for each in wanted):
        return x[wanted]
    known = [slice(part.lead, part.lead + n) for part, n in zip(stretches, x.shape, strict=False)]
    # Circular padding reads samples after the last wanted one.
    sides = [max(each.stop, given.stop) for each, given in zip(wanted, known, strict=True)]
    y = np.empty((*sides, x.shape[-1]), x.dtype)
    y[tuple(known)] = x
    for axis, part in enumerate(stretches):
        lines = y.swapaxes(0, axis)
        for outside in (slice(0, own[axis].start), slice(own[axis].stop, wanted[axis].stop)):
            if rule in REPEATING and part.end > 0:
                lines[outside] = lines[_repeated(outside, part, rule, known[axis])]
            else:
                lines[outside] = value_outside(rule)
    return y[wanted]


def _repeated(outside: slice, part: _Stretch, rule: Edge, known: slice) -> IntArray:
    """The places in a stretch of the samples that the rule repeats; `known` : what is given."""
    places = np.arange(outside.start, outside.stop) + part.start
    index = indices_inside(places, part.end, rule)
    # The values of samples farther out do not matter: they only complete the shape.
    return np.clip(index - part.start, known.start, known.stop - 1)
