"""Nodes of an ONNX graph whose outputs read windows: convolutions and pools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.core.op import Complete, Op
from convcli.errors import RequestError
from convcli.layers.conv_op import ConvOp
from convcli.layers.padding import extended_input, padded_placement, widths_of
from convcli.layers.pool import spread_extreme
from convcli.layers.transposed import TransposedAxis, transposed_ops

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.layers.onnx.node_place import NodePlace, Ops
    from convcli.signals import Edge


def _conv_node(place: NodePlace) -> Ops:
    weights, bias = place.filled(1), place.constant(2)
    groups = place.count("group", place.channels)
    if weights.ndim != place.axes + 2 or weights.shape[1] * groups != place.channels:
        raise place.error(f"weights {weights.shape} do not take {place.channels} channels")
    dilation = place.sizes("dilations")
    widths = widths_of(weights.shape[2:], dilation)
    pads = place.window(widths)
    return (
        ConvOp(
            weights=weights,
            bias=bias,
            step=place.sizes("strides"),
            dilation=dilation,
            groups=groups,
            at=padded_placement(widths, pads, "zero"),
        ),
    )


def _conv_transpose_node(place: NodePlace) -> Ops:
    weights, bias = place.filled(1), place.constant(2)
    groups = place.count("group", place.channels)
    shared = place.channels % groups == 0
    if weights.ndim != place.axes + 2 or len(weights) != place.channels or not shared:
        raise place.error(f"weights {weights.shape} do not take {place.channels} channels")
    if place.attribute("output_shape", None) or place.attribute("auto_pad", "NOTSET") != "NOTSET":
        raise place.error("output_shape and auto_pad depend on the length")
    strides, dilations = place.sizes("strides"), place.sizes("dilations")
    added = tuple(place.attribute("output_padding", (0,) * place.axes))
    pads = place.window((1,) * place.axes)
    axes = []
    for axis, taps in enumerate(weights.shape[2:]):
        span = dilations[axis] * (taps - 1) + 1
        more = span + added[axis] - sum(pads[axis]) - strides[axis]
        axes.append(TransposedAxis(taps, strides[axis], dilations[axis], pads[axis][0], more))
    try:
        return transposed_ops(weights, bias, axes, groups)
    except RequestError as error:
        raise place.error(error.message) from None


def _average_pool_node(place: NodePlace) -> Ops:
    """The mean of each window, with zeros that count beside the signal, or nothing."""
    from convcli.designs.downsampling import avg_pool

    size, step = place.sizes("kernel_shape"), place.sizes("strides")
    if any(space != 1 for space in place.sizes("dilations")):
        raise place.error("only a maximum has a dilation")
    op = avg_pool(size, stride=step, align="center")
    counts_padding = bool(place.attribute("count_include_pad", 0))
    return _padded_pool(place, op, size, "zero" if counts_padding else "shrink")


def _max_pool_node(place: NodePlace) -> Ops:
    """The largest sample of each window, which may have gaps between its samples."""
    from convcli.designs.downsampling import max_pool

    size, step = place.sizes("kernel_shape"), place.sizes("strides")
    spacing = place.sizes("dilations")
    op = max_pool(size, stride=step, align="center")
    if op is not None and any(space != 1 for space in spacing):
        op = spread_extreme(np.fmax, op.reach, size, spacing)
    return _padded_pool(place, op, widths_of(size, spacing), "shrink")


def _padded_pool(place: NodePlace, op: Op | None, widths: tuple[int, ...], rule: Edge) -> Ops:
    """A pool on complete windows, and before it what extends its input.

    op : None where the pool changes nothing
    widths : of its windows; rule : what the padding puts beside the signal
    """
    ops: list[Op] = []
    pads = place.window(widths)
    if any(map(any, pads)):
        ops.append(extended_input(pads, rule))
    if place.attribute("ceil_mode", 0):
        sides = tuple((0, stride - 1) for stride in place.sizes("strides"))
        ops.append(extended_input(sides, "shrink"))
    if op is not None:
        ops.append(Complete(op))
    return tuple(ops)


WINDOW_NODES: dict[str, Callable[[NodePlace], Ops]] = {
    "Conv": _conv_node,
    "ConvTranspose": _conv_transpose_node,
    "MaxPool": _max_pool_node,
    "AveragePool": _average_pool_node,
}
