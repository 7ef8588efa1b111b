"""The past of a part of a signal: which samples and held values come before the part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.core.missing import last_known
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convcli.core.task import HeldAfter, HeldPlace
    from convcli.signals import Array, SignalPast


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
    """

    lengths: Sequence[int] = ()
    width: int = 1
    pasts: Mapping[bytes, SignalPast] | None = None
    held: HeldAfter | None = None
    ends: bool = True

    @property
    def values(self) -> UnknownValues | KnownValues | None:
        """The values held from before a single signal; None at its true start."""
        if self.held is not None:
            return KnownValues(self.held)
        return UnknownValues() if sum(self.lengths) else None


# The beginning of a whole signal.
AT_START = Beginning()


class UnknownValues:
    """The values held from before a part, where its run does not know them."""

    def held(self, place: HeldPlace) -> Array | None:
        """Raise HistoryNeededError, so that the run is repeated from an earlier place."""
        raise HistoryNeededError(place)


@dataclass(frozen=True, eq=False)
class KnownValues:
    """The values held from before a part, as the part before it has returned them."""

    after: HeldAfter

    def held(self, place: HeldPlace) -> Array | None:
        """Return the last known value of each channel before the operation at `place`, or None."""
        return self.after.get(place)


@dataclass(frozen=True, eq=False)
class ValuesOfPast:
    """The last known samples of a signal, by the place that holds them.

    starts : for each place, the sample before which the last known value is looked for
    """

    past: SignalPast
    starts: dict[HeldPlace, int]

    def held(self, place: HeldPlace) -> Array | None:
        """Return the last known value of each channel."""
        return known_before(self.past, self.starts[place])


def known_before(past: SignalPast, first: int) -> Array:
    """The last known value of each channel before sample `first`, NaN where there is none."""
    passed = first - (past.count - len(past.samples))
    found = last_known(past.samples[: max(passed, 0)], lambda: past.known)
    return past.known if found is None else found
