"""Convolution layers as nodes of a graph that onnxruntime runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.layers.conv_paths import least_cost
from convcli.layers.onnx.session_nodes import SessionNode, activation_node, in_plane

if TYPE_CHECKING:
    from convcli.array_types import Sizes
    from convcli.core.executor import Pads
    from convcli.core.op import Op
    from convcli.layers.conv_op import ConvOp
    from convcli.layers.onnx.writer import OnnxWriter

# Nanoseconds of a product in the library, where channels are computed in blocks of this many; and
# what a layer costs here for each number that goes in or out, besides its sums: looking for gaps,
# and copying for the padding.
PRODUCT, AROUND, BLOCK = 0.018, 0.6, 16
# Nanoseconds to add one of the shifted products to an output.
SHIFTED = 2.0
# Channels that a convolution reads: fewer than the first number, or a multiple of the second. Else
# the library multiplies matrices, and the order of its sums depends on how many outputs there are.
FEW_INPUTS, MULTIPLE = 8, 4


def node_of_convolution(op: ConvOp) -> SessionNode | None:
    """A layer as nodes; None where the library does not compute it, or not as exactly."""
    inputs = op.weights.shape[1]
    exact = inputs < FEW_INPUTS or inputs % MULTIPLE == 0
    if op.beside or op.groups > 1 or not exact or not _pads_zeros(op):
        return None
    activation = None
    if op.activation is not None:
        activation = activation_node(op.activation)
        if activation is None:
            return None
    if _cost_of_shifts(op) < _cost_of_windows(op):
        return _shifted_products(op, activation)
    return SessionNode(
        kind="Conv",
        attributes={
            "kernel_shape": in_plane(op.weights.shape[2:], 1),
            "strides": in_plane(op.step, 1),
            "dilations": in_plane(op.dilation, 1),
        },
        constants=(_weights_in_plane(op.weights), *_bias_of(op)),
        activation=activation,
        own_cost=_own_cost(op),
        cost=_cost_of_windows(op),
        outputs=len(op.weights),
        pads=True,
    )


def _shifted_products(op: ConvOp, activation: SessionNode | None) -> ShiftedProducts:
    """The nodes of a layer with few outputs."""
    weights = _weights_in_plane(op.weights)
    by_tap = weights.transpose(2, 3, 0, 1).reshape(-1, weights.shape[1], 1, 1)
    return ShiftedProducts(
        constants=(by_tap, *_bias_of(op)),
        taps=weights.shape[2:],
        dilation=tuple(in_plane(op.dilation, 1)),
        activation=activation,
        own_cost=_own_cost(op),
        cost=_cost_of_shifts(op),
        outputs=len(op.weights),
    )


def _bias_of(op: ConvOp) -> tuple[Any, ...]:
    return () if op.bias is None else (op.bias,)


def _own_cost(op: ConvOp) -> float:
    """Nanoseconds of an output by the paths of this program."""
    outputs, inputs = op.weights.shape[:2]
    around: float = AROUND * (inputs + outputs)
    return least_cost(op.sums) + around


def _whole_blocks(channels: int) -> int:
    """Round a number of channels up to whole blocks of the library, which it computes."""
    return -(-channels // BLOCK) * BLOCK


def _cost_of_windows(op: ConvOp) -> float:
    """Nanoseconds of an output where each window is summed."""
    taken: int = math.prod(op.weights.shape[1:])
    return PRODUCT * taken * _whole_blocks(len(op.weights))


def _cost_of_shifts(op: ConvOp) -> float:
    """Nanoseconds of an output as `ShiftedProducts`; infinite where these are not exact."""
    outputs, inputs, *sides = op.weights.shape
    if any(step != 1 for step in op.step) or inputs % BLOCK:
        return math.inf
    made: int = outputs * math.prod(sides)
    products: float = PRODUCT * inputs * _whole_blocks(made)
    return products + SHIFTED * made


@dataclass(frozen=True, eq=False, kw_only=True)
class ShiftedProducts(SessionNode):
    """A convolution with few outputs as products of all channels, shifted and added.

    The library computes channels in blocks of 16. Of three outputs with windows of 3 x 3 it would
    compute 16, but the 27 products of a sample fit in two blocks: the last layer of VGG7 takes a
    fifth of the time (13 ms in place of 66 on 512 x 512 pixels).

    constants : weights (taps * outputs, inputs, 1, 1), and the bias (outputs,) if there is one
    taps, dilation : on both axes
    """

    taps: Sizes
    dilation: Sizes

    def add(self, graph: OnnxWriter, pads: Pads) -> None:
        """Add the nodes to a graph; `pads` : zeros that are put beside the inputs."""
        number = len(graph.nodes)
        weights, *bias = self.constants
        graph.node("Conv", graph.constant(f"{number}.weights", weights), kernel_shape=[1, 1])
        # The convolution would sum in another order if it padded.
        before, after = zip(*pads, strict=True)
        graph.padded(in_plane(before, 0), in_plane(after, 0), "zero")
        products = graph.x
        terms = [self._shifted(graph, products, place) for place in np.ndindex(*self.taps)]
        if bias:
            terms.append(graph.constant(f"{number}.bias", graph.per_channel(bias[0])))
        graph.node("Sum", *terms[1:], x=terms[0])
        if self.activation is not None:
            self.activation.add(graph, ())

    def _shifted(self, graph: OnnxWriter, products: str, place: Sizes) -> str:
        """The products of one tap, at the outputs that they are a part of."""
        count = self.outputs or 0
        first = int(np.ravel_multi_index(place, self.taps)) * count
        starts, left = [], []
        for tap, taps, dilation in zip(place, self.taps, self.dilation, strict=True):
            starts.append(tap * dilation)
            left.append((taps - 1 - tap) * dilation)
        return graph.cut(products, starts, left, channels=(first, first + count))


def input_channels(op: Op) -> int:
    """How many channels a convolution takes."""
    found = op.formula.window_weights(1)
    if found is None:
        raise ValueError("a network begins with a convolution")
    count: int = found.weights.shape[1]
    return count


def _weights_in_plane(weights: Any) -> Any:
    """Weights (out, in, height, width); one axis is that of the width."""
    sides = in_plane(weights.shape[2:], 1)
    return weights.reshape(*weights.shape[:2], *sides)


def _pads_zeros(op: ConvOp) -> bool:
    """Whether the layer puts nothing or zeros beside its input, and no window holds these alone."""
    if op.at.padding is None:
        return True
    if op.at.padding != "zero":
        return False
    sides = zip(op.at.before, op.at.growth, op.widths, strict=True)
    for before, growth, width in sides:
        after = growth + width - 1 - before
        if not 0 <= before < width or not 0 <= after < width:
            return False
    return True
