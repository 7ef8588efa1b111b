"""A network of changes.

It sees by how much every column changed since the row before, and predicts a change.

The predicted change is added to a level, which goes past the layers of the network as its last
channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.layers.conv_op import ConvOp
from convcli.layers.padding import Placement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.array_types import FloatArray
    from convcli.layers.layer import Layer


def changes_of(count: int, level: int) -> ConvOp:
    """The changes of `count` columns since the row before, then the column `level` itself."""
    weights = np.zeros((count + 1, count, 2))
    columns = np.arange(count)
    weights[columns, columns] = -1, 1
    weights[count, level, 1] = 1
    return _causal(weights)


def onto_level() -> ConvOp:
    """The change added to the level that comes beside it."""
    return _causal(np.ones((1, 2, 1)))


def refuse_pools(layers: Iterable[Layer]) -> None:
    """RequestError where a layer would not leave the level as it is."""
    for layer in layers:
        if not layer.keeps_level:
            name = layer.call.name
            message = (
                f"{name} has no place where changes are predicted: "
                "it would take in the level they are added to"
            )
            hint = "conv and activations; conv:8,7,stride=2 makes fewer rows"
            raise layer.call.error(message, hint=hint)


def _causal(weights: FloatArray) -> ConvOp:
    """A layer on rows up to the present one."""
    placement = Placement(before=(weights.shape[-1] - 1,), anchor=(0,), growth=(0,))
    return ConvOp(weights=weights, bias=None, step=(1,), dilation=(1,), at=placement)
