"""Whether inputs and targets fit each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcli.errors import RequestError
from convcli.units import sample_noun

if TYPE_CHECKING:
    from convcli.signals import Signal, Source


def check_pair(first: Signal, source: Source[Any], target: Source[Any] | None, *, delayed: bool = False) -> None:
    """Refuse a pair that does not fit the first one, or of which one does not fit the other.

    delayed : the lengths may differ, as what is late ends late; what both have is learned from
    """
    signal = source.signal
    if len(signal.channels) != len(first.channels) or signal.rate != first.rate:
        kinds = [f"{len(each.channels)} channels at {each.rate or 0:g} per second" for each in (first, signal)]
        raise RequestError(f"the first input has {kinds[0]}, a further one {kinds[1]}", hint="all share one filter")
    if target is None:
        return
    other = target.signal
    if signal.rate != other.rate:
        message = f"the input has {signal.rate:g} samples per second and the target {other.rate:g}"
        raise RequestError(message, hint="convcli audio resample:RATE brings one to the rate of the other")
    if signal.shape != other.shape and not delayed and None not in (*signal.shape, *other.shape):
        message = f"the input has {_size(signal)} and the target {_size(other)}"
        raise RequestError(message, hint="cut them to one length; --delay takes the part that both have")


def _size(signal: Signal) -> str:
    """`12,000 samples`; a picture's width comes first."""
    return f"{' x '.join(f'{n:,}' for n in reversed(signal.shape) if n is not None)} {sample_noun(signal)}s"
