"""What lies around a part of a signal: samples and held values before it, samples after it."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.missing import last_known
from convcli.core.task import nothing_earlier
from convcli.dataclass import dataclass
from convcli.running.chains import geometry_of
from convcli.signals import SignalPast, SignalStart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convcli.core.chain import Chain
    from convcli.core.in_time.reach import Stamps
    from convcli.core.task import HeldLookup, HeldPlace, HeldValues
    from convcli.running.jobs import SignalName
    from convcli.signals import Array, PartSource

    Pasts = Mapping[bytes, SignalPast]
    # The first samples of interleaved signals after some place; a signal without any is left out.
    Followings = Mapping[SignalName, SignalStart]

# Samples of a signal that are held before old ones are given up.
MOST_GROWN = 1 << 12

# Number of first samples of a signal that are gathered before they are looked at; it doubles after
# each look.
FIRST_LOOK = 16


class HistoryNeededError(Exception):
    """A missing sample needs the last known value from before all samples that were read.

    The run has to be repeated from an earlier place.
    """


@dataclass(frozen=True, eq=False, kw_only=True)
class Beginning:
    """Where a part of a signal begins.

    lengths : lengths of the blocks before the part, whose outputs are computed elsewhere
    width : numbers of a sample along axis 0: the channels of a sample, or of a row of pixels
    pasts : the past of each of the interleaved signals; None for a single signal
    held : the values held from before, if they are known
    ends : whether the signal ends with the part
    following : the first samples of the interleaved signals after the part, where outputs wait for
        them
    bins : for each signal the number of the first of each calendar bins that comes, where it
        matters
    """

    lengths: Sequence[int] = ()
    width: int = 1
    pasts: Pasts | None = None
    held: HeldValues | None = None
    ends: bool = True
    following: Followings | None = None
    bins: Mapping[SignalName, Sequence[int]] = field(default_factory=dict)

    @property
    def earlier(self) -> HeldLookup:
        """Gives the values held from before a single signal; nothing is held at its true start."""
        if self.held is not None:
            return self.held.get
        return _unknown if sum(self.lengths) else nothing_earlier


# The beginning of a whole signal.
AT_START = Beginning()


def _unknown(place: HeldPlace) -> Array | None:
    """Raise HistoryNeededError, so that the run is repeated from an earlier place."""
    raise HistoryNeededError(place)


def held_in_past(past: SignalPast, starts: dict[HeldPlace, int], place: HeldPlace) -> Array:
    """The last known value of each channel that is held at a place.

    starts : for each place, the sample before which the last known value is looked for
    """
    return known_before(past, starts[place])


def known_before(past: SignalPast, first: int) -> Array:
    """The last known value of each channel before sample `first`, NaN where there is none."""
    passed = first - (past.count - len(past.samples))
    found = last_known(past.samples[: max(passed, 0)], lambda: past.known)
    return past.known if found is None else found


# ----------------------------------------------------------------------- pasts of several signals


@dataclass(frozen=True, eq=False)
class KeptSamples:
    """Which of the last samples of each signal are kept for the next part.

    count : how many samples
    chain : windows in time, which need the samples of some time instead
    waits : whether outputs wait for later samples, so that first samples are kept for the part
        before
    """

    count: int
    chain: Chain | None = None
    waits: bool = False

    def dropped(self, samples: Array, stamps: Stamps | None) -> int:
        """Return how many of the first samples are given up."""
        n = len(samples)
        if self.chain is None:
            return max(0, n - self.count)
        geometry = geometry_of(self.chain, "shrink")
        geometry.arrive(stamps)
        return max(0, geometry.first_needed(geometry.ready(n), n))

    def start(self, samples: Array, stamps: Stamps | None) -> SignalStart:
        """Return the first samples of a signal, as many as decide the outputs before them."""
        n = len(samples)
        wanted = self.count
        if self.chain is not None:
            geometry = geometry_of(self.chain, "shrink")
            geometry.arrive(stamps)
            wanted = geometry.decisive(n)
        return SignalStart(
            samples=samples[:wanted],
            stamps=None if stamps is None else stamps[:wanted],
            decides=wanted <= n,
        )


@dataclass(frozen=True, eq=False)
class EndsOfSignals:
    """The ends of interleaved signals in a part.

    pasts : of each signal at the end of the part, of the samples of the part alone
    starts : the first samples of each signal in the part; empty where none are wanted
    """

    pasts: Pasts
    starts: Followings


def ends_of_part(part: PartSource[Any], kept: KeptSamples) -> EndsOfSignals:
    """Return the last and first samples of each signal in a part."""
    pasts: dict[bytes, _GrowingPast] = {}
    starts: dict[SignalName, _GrowingStart] = {}
    times: dict[bytes | None, tuple[float, ...]] = {}
    for raw in part.pieces_with_history(0):
        block = part.decode(raw)
        times.update(block.latest_times())
        for group, x, places in block.by_group():
            past = pasts.get(group)
            if past is None:
                past = pasts[group] = _GrowingPast(kept, x.shape[1])
                if kept.waits:
                    starts[group] = _GrowingStart(kept, x.shape[1])
            stamps = None if block.stamps is None else block.stamps[places]
            past.add(x, stamps)
            if kept.waits:
                starts[group].add(x, stamps)
    found = {
        group: replace(past.trimmed(), time=times.get(group, ())) for group, past in pasts.items()
    }
    return EndsOfSignals(found, {group: start.found() for group, start in starts.items()})


class _GrowingStart:
    """The first samples of a signal as they come, until they are enough."""

    def __init__(self, kept: KeptSamples, channels: int) -> None:
        self._kept = kept
        self._start = SignalStart(samples=np.empty((0, channels)), decides=False)
        self._fresh: list[SignalStart] = []
        self._waiting = 0

    def add(self, x: Array, stamps: Stamps | None) -> None:
        """Add the samples that follow, (n, channels), and their times."""
        if self._start.decides:
            return
        self._fresh.append(SignalStart(samples=x, stamps=stamps, decides=False))
        self._waiting += len(x)
        if self._waiting >= max(FIRST_LOOK, len(self._start.samples)):
            self.found()

    def found(self) -> SignalStart:
        """The first samples of what has come, no more than decide."""
        if self._fresh:
            self._start = _joined_start(self._start, self._fresh, self._kept)
        self._fresh = []
        self._waiting = 0
        return self._start


def joined_followings(first: Followings, second: Followings, kept: KeptSamples) -> Followings:
    """The first samples of signals in two consecutive parts. The operation is associative."""
    joined = {**second, **first}
    for group in first.keys() & second.keys():
        if not first[group].decides:
            joined[group] = _joined_start(first[group], [second[group]], kept)
    return joined


def _joined_start(
    first: SignalStart, others: Sequence[SignalStart], kept: KeptSamples
) -> SignalStart:
    parts = [first, *others]
    samples = np.concatenate([part.samples for part in parts])
    stamps = [part.stamps for part in parts if part.stamps is not None]
    return kept.start(samples, np.concatenate(stamps) if stamps else None)


class _GrowingPast:
    """The past of a signal as its samples come; old ones are given up many at a time."""

    def __init__(self, kept: KeptSamples, channels: int) -> None:
        self._kept = kept
        self._past = no_past(channels)
        self._fresh: list[Array] = []
        self._stamps: list[Stamps] = []
        self._held = 0

    def add(self, x: Array, stamps: Stamps | None) -> None:
        """Add the samples that follow, (n, channels), and their times."""
        self._fresh.append(x)
        if stamps is not None:
            self._stamps.append(stamps)
        self._held += len(x)
        if self._held > MOST_GROWN + self._kept.count:
            self.trimmed()

    def trimmed(self) -> SignalPast:
        """The past of what has come, with as many samples as are kept."""
        if self._fresh:
            stamps = np.concatenate(self._stamps) if self._stamps else None
            x = np.concatenate(self._fresh)
            self._past = past_after(self._past, x, self._kept, stamps)
        self._fresh = []
        self._stamps = []
        self._held = 0
        return self._past


def no_past(channels: int) -> SignalPast:
    """The past of a signal at its start."""
    return SignalPast(count=0, samples=np.empty((0, channels)), known=np.full(channels, np.nan))


def past_after(
    past: SignalPast, x: Array, kept: KeptSamples, stamps: Stamps | None = None
) -> SignalPast:
    """The past of a signal after further samples, with their times where they have some."""
    samples = np.concatenate([past.samples, x])
    if stamps is not None and past.stamps is not None:
        stamps = np.concatenate([past.stamps, stamps])
    dropped = kept.dropped(samples, stamps)
    longer = replace(past, count=past.count + len(x), samples=samples)
    first_kept = longer.count - len(samples) + dropped
    return replace(
        longer,
        samples=samples[dropped:],
        known=known_before(longer, first_kept),
        stamps=None if stamps is None else stamps[dropped:],
    )


def joined_pasts(first: Pasts, second: Pasts, kept: KeptSamples) -> dict[bytes, SignalPast]:
    """The pasts of signals after two consecutive parts. The operation is associative."""
    joined = dict(first)
    for group, later in second.items():
        earlier = joined.get(group)
        joined[group] = later if earlier is None else _joined_past(earlier, later, kept)
    return joined


def _joined_past(earlier: SignalPast, later: SignalPast, kept: KeptSamples) -> SignalPast:
    if len(later.samples) < later.count:
        # All samples that are kept are later ones.
        known = known_before(earlier, earlier.count)
        known = np.where(np.isnan(later.known), known, later.known)
        return replace(later, count=earlier.count + later.count, known=known)
    joined = past_after(earlier, later.samples, kept, later.stamps)
    return replace(joined, count=earlier.count + later.count, time=later.time)
