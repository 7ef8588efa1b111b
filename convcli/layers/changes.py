"""A network of changes: it sees how far every column moved from row to row, and its answer is added to a level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.layers.conv import Conv

if TYPE_CHECKING:
    from convcli.layers.conv import Weights
    from convcli.planning.grammar import Call
    from convcli.signals import Missing


def changes_of(count: int, level: int, missing: Missing) -> Conv:
    """The changes of `count` columns since the row before, and beside them the column `level` as it is."""
    weights = np.zeros((count + 1, count, 2))
    weights[np.arange(count), np.arange(count)] = -1, 1
    weights[count, level, 1] = 1
    return _layer(weights, missing)


def onto_level(missing: Missing) -> Conv:
    """A change added to the level that comes beside it."""
    return _layer(np.ones((1, 2, 1)), missing)


def refuse_pool(call: Call) -> None:
    """RequestError where a layer would not leave the level as it is."""
    if "pool" in call.name:
        message = f"{call.name} has no place where changes are predicted: it would take in the level they are added to"
        raise call.error(message, hint="conv and activations; conv:8,7,stride=2 makes fewer rows")


def _layer(weights: Weights, missing: Missing) -> Conv:
    width = weights.shape[-1]
    return Conv(
        weights=weights,
        bias=None,
        step=(1,),
        dilation=(1,),
        before=(width - 1,),
        anchor=(0,),
        growth=(0,),
        missing=missing,
        exact=True,
    )
