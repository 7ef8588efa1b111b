"""The limit on how far a plan may read beyond its signal, whose extension is held in memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from convcli.core.chain import Chain
from convcli.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.planning.plan import BoundStep
    from convcli.signals import Signal

# The most numbers outside of a signal, half a gigabyte of float64. A large signal may be extended
# by TIMES_INSIDE times as many numbers as it has itself.
MOST_OUTSIDE = 1 << 26
TIMES_INSIDE = 4


def refuse_endless_reach(steps: Sequence[BoundStep]) -> None:
    """Raise RequestError for a chain that reads very far beyond the ends of its signal.

    A pass over the whole signal ends one chain and begins another.
    """
    chain: list[BoundStep] = []
    for step in steps:
        chain.append(step)
        if step.stage.reduces is not None:
            _refuse_endless_chain(chain)
            chain = []
    _refuse_endless_chain(chain)


def _refuse_endless_chain(steps: Sequence[BoundStep]) -> None:
    if not steps:
        return
    signal = steps[0].before
    ops = tuple(op for step in steps for op in step.ops)
    outside = _numbers_outside(Chain(ops, signal.axes), signal)
    lengths = [n or 0 for n in signal.shape]
    inside = len(signal.channels) * math.prod(lengths)
    if outside <= max(MOST_OUTSIDE, TIMES_INSIDE * inside):
        return
    text = " | ".join(dict.fromkeys(step.call.text for step in steps))
    asked = f"{text} reads {outside:,} numbers outside of the signal"
    raise RequestError(
        f"{asked}; at most {MOST_OUTSIDE:,} are held",
        hint="shorter windows, smaller steps, or --edge valid",
    )


def _numbers_outside(chain: Chain, signal: Signal) -> int:
    """How many numbers outside of the signal the outputs read: rows, and columns beside them."""
    lengths = [n or 0 for n in signal.shape]
    around = []
    for axis, n in enumerate(lengths):
        outputs = max(1, chain.count(axis, n))
        low, high = chain.needs(axis, 0, outputs, n or None)[0]
        before = max(0, -low)
        after = max(0, high - n)
        around.append(before + after)
    if len(lengths) == 1:
        return around[0] * len(signal.channels)
    rows, columns = around
    above_and_below = rows * (lengths[1] + columns)
    beside = lengths[0] * columns
    return (above_and_below + beside) * len(signal.channels)
