"""Which layers of a network onnxruntime computes, by costs that were measured.

The choice is a property of the layers, so that a command gives the same bytes each time. Costs are
those of one thread of an AMD EPYC (Zen 4), which has multipliers of 256 bits, as laptops have.
Winograd's algorithm takes a quarter of the products, and half of the time of the library's direct
convolution from 64 channels on. Where multipliers have 512 bits, the library is up to 1.3 times as
fast instead (benchmarks/README.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.layers.onnx.session_convs import input_channels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.core.op import Op
    from convcli.layers.onnx.session_nodes import SessionNode

# Nanoseconds that the layers must take here for each output, so that the library soon saves the
# 0.07 s of its start: in half a megapixel through three layers of 16 channels, or in some thousand
# calls with a short array.
LEAST_COST = 20.0
# Nanoseconds to copy a number from the order of axes here to that of the library, or back.
REORDER = 2.5


def count_in_library(ops: Sequence[Op], nodes: Sequence[SessionNode]) -> int:
    """How many of these operations, from the first on, the library is to compute at once.

    nodes : of the operations; the operations that follow may go through the library again
    """
    densities = _densities(ops)
    reorder = _costs_of_order(ops, nodes, densities)
    # Nanoseconds of the operations from one to the last, if that one is computed here (`own`) or in
    # the library (`theirs`).
    own, theirs = 0.0, reorder[-1]
    leaves: list[bool] = []
    for number in reversed(range(len(nodes))):
        node, density = nodes[number], densities[number + 1]
        leave = own + reorder[number + 1]
        enter = theirs + reorder[number + 1]
        leaves.append(leave <= theirs)
        theirs = density * node.cost + min(theirs, leave)
        own = density * node.own_cost + min(own, enter)
    leaves.reverse()
    count = leaves.index(True) + 1
    saved_from = sum(node.own_cost for node in nodes[:count])
    pays = theirs + reorder[0] < own and saved_from >= LEAST_COST
    return count if pays else 0


def _densities(ops: Sequence[Op]) -> list[float]:
    """How many samples each operation takes for one of the first, and the last one makes."""
    found = [1.0]
    for op in ops:
        density = found[-1]
        for reach in op.reach:
            density *= reach.phases / reach.step
        found.append(density)
    return found


def _costs_of_order(
    ops: Sequence[Op], nodes: Sequence[SessionNode], densities: Sequence[float]
) -> list[float]:
    """Nanoseconds to bring the inputs of each operation into another order, and the outputs."""
    channels = [input_channels(ops[0])]
    for node in nodes:
        channels.append(node.outputs or channels[-1])
    return [REORDER * count * density for count, density in zip(channels, densities, strict=True)]
