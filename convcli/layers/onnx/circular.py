"""Circular padding of an ONNX graph that is written as slices put beside their value.

The older exporter of torch (`dynamo=False`) writes the last samples of a value, the value, and its
first samples as a Concat along an axis of samples. That is a Pad that wraps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convcli.layers.onnx.sample_nodes import ENDLESS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convcli.layers.onnx.file import Node
    from convcli.layers.onnx.folding import Constant


def with_circular_pads(
    nodes: Sequence[Node], constants: dict[str, Constant], rank: int, output: str
) -> tuple[Node, ...]:
    """The nodes of a graph, with a Pad in place of slices of samples beside their value.

    constants : those of the graph, to which the widths of the paddings are added
    rank : the number of axes of the values, of which the first two are no samples
    output : the name of the result of the graph
    """
    makers = {name: node for node in nodes for name in node.outputs}
    made = []
    for node in nodes:
        sides = _wrapped_sides(node, makers, constants, rank)
        if sides is None:
            made.append(node)
            continue
        widths = f"{node.outputs[0]}, widths"
        constants[widths] = sides
        inputs = (_padded_value(node, makers), widths)
        made.append(replace(node, kind="Pad", inputs=inputs, attributes={"mode": "wrap"}))
    return _without_unread_slices(made, output)


def _without_unread_slices(nodes: Sequence[Node], output: str) -> tuple[Node, ...]:
    read = {output, *(name for node in nodes for name in node.inputs)}
    kept = []
    for node in nodes:
        is_unread = node.kind == "Slice" and node.outputs[0] not in read
        if not is_unread:
            kept.append(node)
    return tuple(kept)


def _padded_value(node: Node, makers: Mapping[str, Node]) -> str:
    """The input of a Concat that is no Slice of another input."""
    for name in node.inputs:
        maker = makers.get(name)
        if maker is None or maker.kind != "Slice" or maker.inputs[0] not in node.inputs:
            return name
    return ""


def _wrapped_sides(
    node: Node, makers: Mapping[str, Node], constants: Mapping[str, Constant], rank: int
) -> Constant | None:
    """The widths of the padding that a Concat is, as those of a Pad; None if it is none."""
    axis = node.attributes.get("axis", 0) % rank
    if node.kind != "Concat" or axis < 2:
        return None
    value = _padded_value(node, makers)
    sides = np.zeros(2 * rank, np.int64)
    is_behind = False
    for name in node.inputs:
        if name == value:
            if is_behind:
                return None
            is_behind = True
            continue
        part = _slice_of(makers.get(name), value, constants, axis, rank)
        if part is None:
            return None
        start, end = part
        is_first = start == 0 < end < ENDLESS
        is_last = start < 0 and end >= ENDLESS
        if not (is_first if is_behind else is_last):
            return None
        place = axis + rank if is_behind else axis
        if sides[place]:
            return None
        sides[place] = end if is_behind else -start
    return sides


def _slice_of(
    node: Node | None, value: str, constants: Mapping[str, Constant], axis: int, rank: int
) -> tuple[int, int] | None:
    """Where a Slice of a value along an axis starts and ends; None for any other node."""
    if node is None or node.kind != "Slice" or node.inputs[0] != value or len(node.inputs) < 4:
        return None
    numbers = [constants.get(name) for name in node.inputs[1:] if name]
    if any(array is None or array.size != 1 for array in numbers):
        return None
    start, end, along, *steps = [int(array.item()) for array in numbers if array is not None]
    is_along = along % rank == axis
    return (start, end) if is_along and steps in ([], [1]) else None
