"""The reach of a chain of resamplers covers every output, also where their ratios cancel."""

from __future__ import annotations

import pytest

from convcli.core.chain import Chain
from convcli.core.convolution.resample import Resample


def resampler(phases: int, step: int) -> Resample:
    stops = 0.5 * min(1.0, phases / step)
    return Resample.between(phases, step, passes=0.8 * stops, stops=stops)


@pytest.mark.parametrize(
    "ratios",
    [
        [(2, 3), (3, 2)],
        [(3, 2), (2, 3)],
        [(2, 3), (3, 2), (5, 4)],
        [(160, 147), (147, 160)],
        [(1, 4), (4, 1)],
        [(5, 7), (1, 2), (3, 5)],
        [(2, 3)],
    ],
)
def test_the_reach_covers_every_output_and_no_more(ratios: list[tuple[int, int]]) -> None:
    chain = Chain(tuple(resampler(*ratio) for ratio in ratios))
    (reach,) = chain.reach
    before = []
    after = []
    ahead = []
    for k in range(2000):
        low, high = chain.needs(0, k, k + 1)[0]
        position = k * reach.step // reach.phases
        before.append(position - low)
        after.append(high - 1 - position)
        ahead.append(high - 1 - chain.aligned_input(0, k))
    assert (reach.before, reach.after) == (max(before), max(after))
    assert chain.look_ahead() == max(ahead)
