"""Binding: the result of a design becomes operations, at one place in a FILTER.

A design returns taps, operations, a pass over the whole signal, or a network. Each of these has a
method `bind(site)` that returns its stages at that place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Protocol

from convcli.core.alpha import MaskedByAlpha, WeightedByAlpha
from convcli.core.chain import Chain
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.array_types import Taps
    from convcli.core.kernel import Kernel
    from convcli.core.op import Op
    from convcli.core.reach import Reach
    from convcli.core.whole_signal import AdaptivePool
    from convcli.facts import LayerFacts
    from convcli.signals import Align, Edge, Missing, Signal


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of a whole run: for samples outside the signal, alignment, missing samples.

    exact : no output may depend, not even in the last bit, on samples that it does not read
    """

    edge: Edge
    align: Align
    missing: Missing = "keep"
    exact: bool = False


class LearnedTaps(Protocol):
    """The taps of a network that has a single layer, which is a filter."""

    @property
    def taps(self) -> Taps:
        """Taps as they act, (k,) or (height, width); with several channels a stack of them."""
        ...

    @property
    def bias(self) -> Taps | None:
        """The constant that is added to each output channel, (out,)."""
        ...

    @property
    def position(self) -> Reach | None:
        """How the taps lie along axis 0; None where the layer pads its own input."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Stage:
    """What a design does at its place: it turns the signal `before` into the signal `after`.

    ops : the operations that run; none where nothing is changed
    pool : set instead of `ops` where the whole signal becomes a few bins
    kernels : the taps that the design returned
    remark : a message of the design to the user, besides the notes of its kernels
    notices : messages that the user sees at every run, because they say something unexpected
    warnings : possible faults of a step in a branch
    layers : the layers of a network, given by its first stage alone
    titles : of each operation of a network, the layers that it computes; empty where none are known
    learned : the layer of a network that has only one
    formula : what the layers of a network compute together, where they are one operation
    """

    before: Signal
    after: Signal
    ops: tuple[Op, ...] = ()
    pool: AdaptivePool | None = None
    kernels: tuple[Kernel, ...] = ()
    remark: str = ""
    notices: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    layers: tuple[LayerFacts, ...] = ()
    titles: tuple[str, ...] = ()
    learned: LearnedTaps | None = None
    formula: str = ""

    @property
    def sees_whole(self) -> bool:
        """Whether the stage has to see the whole signal before its first output."""
        return self.measures or self.pool is not None

    @property
    def measures(self) -> bool:
        """Whether the signal is measured in passes of their own."""
        return any(op.to_measure is not None for op in self.ops)

    @property
    def note(self) -> str:
        """The notes of the kernels and the remark, separated by semicolons."""
        notes = sorted({kernel.note for kernel in self.kernels if kernel.note})
        if self.remark:
            notes.append(self.remark)
        return "; ".join(notes)

    @property
    def network(self) -> bool:
        """Whether the stage runs the layers of a network, which have no taps in common."""
        return bool(self.layers) and not self.kernels


@dataclass(frozen=True, eq=False, kw_only=True)
class Site:
    """The place of a step: the signal that reaches it, and the rules of the run.

    axis : the axis of a picture along which one-dimensional taps run; None: along both
    in_branch : the outputs are combined with those of other branches, one for each sample
    """

    signal: Signal
    rules: Rules
    axis: Literal["x", "y"] | None = None
    in_branch: bool = False

    def placed(self, op: Op) -> Op:
        """The operation under the rules of the run; colours are weighted or masked by opacity."""
        exact = self.rules.exact or self.signal.medium.exact
        op = op.with_rules(self.rules.missing, exact=exact)
        alpha = self.signal.alpha
        opacity = op.channels.opacity
        if alpha is None or opacity is None:
            return op
        if opacity == "masks":
            return MaskedByAlpha(op=op, alpha=alpha)
        return WeightedByAlpha(
            op=op, alpha=alpha, opaque=self.signal.full_scale, keeps_alpha=opacity == "kept"
        )

    def stage(self, *ops: Op, kernels: tuple[Kernel, ...] = ()) -> Stage:
        """The operations at this place, as one stage."""
        placed = tuple(self.placed(op) for op in ops)
        after = signal_after(self.signal, placed)
        return Stage(before=self.signal, after=after, ops=placed, kernels=kernels)


class Bindable(Protocol):
    """What a design returns: taps, operations, a whole-signal pass or a network."""

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return the stages at a place. RequestError where it does not fit the signal."""
        ...


@dataclass(frozen=True, eq=False)
class Series:
    """Operations one after the other; with none of them nothing is changed."""

    ops: tuple[Op, ...] = ()

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return all operations as one stage."""
        return (site.stage(*self.ops),)


def signal_after(signal: Signal, ops: tuple[Op, ...]) -> Signal:
    """The signal that the operations make, as far as it is known before any sample is read."""
    chain = Chain(ops, signal.axes)
    lengths: list[int | None] = []
    for axis, n in enumerate(signal.shape):
        outputs = None if n is None else chain.count(axis, n)
        lengths.append(outputs)
    shape = tuple(lengths)
    channels, alpha = _channels_after(signal, ops)
    along = chain.reach[0]
    rate = signal.rate
    if rate is not None:
        rate = rate * along.phases / along.step
    if chain.times.bins:
        rate = None
        shape = (None,) * signal.axes
    speakers = signal.speakers if len(channels) == len(signal.channels) else ()
    return replace(
        signal, shape=shape, channels=channels, rate=rate, alpha=alpha, speakers=speakers
    )


def _channels_after(signal: Signal, ops: tuple[Op, ...]) -> tuple[tuple[str, ...], int | None]:
    """The names of the channels that operations make, and which of them is the opacity."""
    chain = Chain(ops, signal.axes)
    count = chain.channels(len(signal.channels))
    alpha = chain.opacity_after(signal.alpha)
    if count == len(signal.channels):
        return signal.channels, alpha
    if alpha is None:
        return signal.medium.names_of(count), None
    names = list(signal.medium.names_of(count - 1))
    names.insert(alpha, "A")
    return tuple(names), alpha
