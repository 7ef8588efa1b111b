"""Inputs and targets: whether they fit each other, and both side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcli.errors import InputError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.signals import Array, Signal, Source


def check_pair(
    first: Signal,
    source: Source[Any],
    target: Source[Any] | None,
    *,
    delay: tuple[int, ...] | None = (),
) -> None:
    """Refuse a pair that does not fit the first one, or of which one does not fit the other.

    delay : how much later the target is along each axis, None where that is to be found: then the lengths may differ,
        as what is late ends late; what both have is learned from
    """
    signal = source.signal
    if len(signal.channels) != len(first.channels) or signal.rate != first.rate:
        message = f"it has {_kind(signal)}, and the first input {_kind(first)}"
        raise RequestError(
            message, hint="one filter is learned from all of them: bring them to one kind first"
        )
    if target is None:
        return
    other = target.signal
    if signal.rate != other.rate:
        message = f"the input has {signal.rate:g} samples per second and the target {other.rate:g}"
        raise RequestError(
            message, hint="convcli audio resample:RATE brings one to the rate of the other"
        )
    if signal.shape != other.shape and delay == () and None not in (*signal.shape, *other.shape):
        message = f"the input has {_size(signal)} and the target {_size(other)}"
        raise RequestError(
            message, hint="cut them to one length; --delay takes the part that both have"
        )
    if delay and any(
        n is not None and abs(lag) >= n for lag, n in zip(delay, signal.shape, strict=True)
    ):
        told = "x".join(f"{lag:,}" for lag in delay)
        raise RequestError(
            f"a delay of {told} leaves nothing of {_size(signal)}", hint="--delay auto finds it"
        )


def _kind(signal: Signal) -> str:
    """`2 channels at 44100 Hz`."""
    n = len(signal.channels)
    return f"{n} channel{'s' * (n != 1)}" + (
        f" at {signal.rate:g} Hz" if signal.medium.in_seconds else ""
    )


def _size(signal: Signal) -> str:
    """`12,000 samples`; a picture's width comes first."""
    return f"{' x '.join(f'{n:,}' for n in reversed(signal.shape) if n is not None)} {signal.medium.sample}s"


def colours(signal: Signal) -> list[int]:
    """The channels that are learned from and for: all but the opacity."""
    return [c for c in range(len(signal.channels)) if c != signal.alpha]


def scaled(x: Array, source: Source[Any]) -> Array:
    """The colours of a picture as 0 ... 1, and sound as it is."""
    signal = source.signal
    if signal.alpha is not None:
        x = x[..., colours(signal)]
    return x / signal.full_scale if signal.medium.unit_scale and signal.full_scale != 1 else x


def side_by_side(
    xs: Iterator[Array], ys: Iterator[Array], *, cut: bool
) -> Iterator[tuple[bytes, Array, Array]]:
    """Blocks of two signals cut to the same lengths; `cut`: one of them may go on alone."""
    x = y = None
    while True:
        x = next(xs, None) if x is None or not len(x) else x
        y = next(ys, None) if y is None or not len(y) else y
        if x is None or y is None:
            break
        shared = tuple(slice(min(sides)) for sides in zip(x.shape[:-1], y.shape[:-1], strict=True))
        yield b"", x[shared], y[shared]
        x, y = x[shared[0].stop :], y[shared[0].stop :]
    if not cut and ((x is not None and len(x)) or (y is not None and len(y))):
        raise InputError(
            "input and target differ in length", hint="--delay takes the part that both have"
        )
