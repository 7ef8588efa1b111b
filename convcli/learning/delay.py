"""The delay between an input and its target: the lag of the largest correlation.

A lag counts only if its correlation is far above that of unrelated signals, or high in itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.correlation.in_blocks import BlockCorrelation, largest_lag
from convcli.errors import InputError
from convcli.facts.learning import DelayFacts

if TYPE_CHECKING:
    from convcli.core.correlation.in_blocks import LagCandidate
    from convcli.learning.pairs import Channels, PairReader
    from convcli.running.workers import Workers
    from convcli.signals import Signal


def measure_delay(reader: PairReader, channels: Channels, workers: Workers) -> DelayFacts:
    """Measure by how much the target of a pair is later than its input.

    Each channel is correlated with its own target if the channels share a filter, otherwise every
    input with every target. Levels that drift correlate at every lag, so `differences` correlates
    the changes. Raises InputError if no lag stands out.
    """
    signal = reader.pair.source.signal
    limit = largest_lag(signal)
    # Samples of sound and pictures are at most 1, so single precision is enough for them.
    dtype = np.float64 if signal.medium.separate_channels else np.float32
    correlation = BlockCorrelation(
        limit, shared=channels.shared > 0, differences=reader.task.differences, dtype=dtype
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
