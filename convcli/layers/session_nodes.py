"""What operations of a network are as nodes of a graph that an inference library runs.

Listed are operations of which each output is computed in one order of sums, wherever it lies.
"""

from __future__ import annotations

import math
from functools import singledispatch
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.activations import Rectifier
from convcli.core.ops import Complete, Op, Pointwise
from convcli.core.sliding import SlidingStatistic
from convcli.dataclass import dataclass
from convcli.layers.affine import Affine
from convcli.layers.conv import ConvOp
from convcli.layers.conv_paths import least_cost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.core.executor import Pads
    from convcli.layers.onnx_writer import OnnxWriter
    from convcli.layers.trained import Sizes

# Nanoseconds of a product in the library, where channels are computed in blocks of so many; and
# what a layer costs here for each number that goes in or out, besides its sums: looking for gaps,
# and copying for the padding.
PRODUCT = 0.0145
AROUND = 1.0
BLOCK = 16
# Channels that a convolution reads: fewer than the first number, or a multiple of the second. Else
# the library multiplies matrices, and the order of its sums depends on how many outputs there are.
FEW_INPUTS, MULTIPLE = 8, 4


@dataclass(frozen=True, eq=False, kw_only=True)
class SessionNode:
    """An operation as nodes of a graph.

    kind : of the ONNX operator; attributes : of the node, without its padding
    constants : further inputs of the node
    activation : what is applied to its outputs, None where nothing is
    own_cost, cost : nanoseconds of an output here, and in the library
    outputs : channels that come out; None: as many as go in
    """

    kind: str
    attributes: dict[str, Any]
    constants: tuple[Any, ...] = ()
    activation: SessionNode | None = None
    own_cost: float = 0.0
    cost: float = 0.0
    outputs: int | None = None
    pads: bool = False

    def add(self, graph: OnnxWriter, pads: Pads) -> None:
        """Add the node to a graph; `pads` : samples that it puts beside its inputs."""
        attributes = dict(self.attributes)
        if self.pads:
            before, after = zip(*pads, strict=True)
            attributes["pads"] = [*_in_plane(before, 0), *_in_plane(after, 0)]
        number = len(graph.nodes)
        names = []
        for place, values in enumerate(self.constants):
            names.append(graph.constant(f"{number}.{place}", values))
        graph.node(self.kind, *names, **attributes)
        if self.activation is not None:
            self.activation.add(graph, ())


def _in_plane(sizes: Sequence[int], lacking: int) -> list[int]:
    """Sizes on two axes; a signal with one axis is a picture of one row."""
    return [*(lacking,) * (2 - len(sizes)), *sizes]


@singledispatch
def session_node(op: Op) -> SessionNode | None:  # noqa: ARG001 -- what a function is found by
    """The nodes of an operation; None where the library does not compute it, or not as exactly."""
    return None


@session_node.register(ConvOp)
def _conv_node(op: ConvOp) -> SessionNode | None:
    inputs = op.weights.shape[1]
    exact = inputs < FEW_INPUTS or inputs % MULTIPLE == 0
    if op.beside or op.groups > 1 or not exact or not _pads_zeros(op):
        return None
    activation = None
    if op.activation is not None:
        activation = activation_node(op.activation)
        if activation is None:
            return None
    constants = [_weights_in_plane(op.weights)]
    if op.bias is not None:
        constants.append(op.bias)
    outputs = len(op.weights)
    products = math.prod(op.weights.shape[1:]) * -(-outputs // BLOCK) * BLOCK
    return SessionNode(
        kind="Conv",
        attributes={
            "kernel_shape": _in_plane(op.weights.shape[2:], 1),
            "strides": _in_plane(op.step, 1),
            "dilations": _in_plane(op.dilation, 1),
        },
        constants=tuple(constants),
        activation=activation,
        own_cost=least_cost(op.sums) + AROUND * (inputs + outputs),
        cost=PRODUCT * products,
        outputs=outputs,
        pads=True,
    )


def _weights_in_plane(weights: Any) -> Any:
    """Weights (out, in, height, width); one axis is that of the width."""
    sides = _in_plane(weights.shape[2:], 1)
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


@session_node.register(Pointwise)
def _pointwise_node(op: Pointwise) -> SessionNode | None:
    return None if op.in_place is None else activation_node(op.in_place)


@session_node.register(Affine)
def _affine_node(op: Affine) -> SessionNode:
    count = len(op.scale)
    return SessionNode(
        kind="BatchNormalization",
        attributes={"epsilon": 0.0},
        constants=(op.scale, op.shift, np.zeros(count), np.ones(count)),
    )


@session_node.register(SlidingStatistic)
def _extreme_node(op: SlidingStatistic) -> SessionNode | None:
    if op.function.fold is not np.fmax:
        return None
    spacing: Sizes = op.function.spacing or (1,) * len(op.size)
    taps = []
    for width, space in zip(op.size, spacing, strict=True):
        taps.append((width - 1) // space + 1)
    return SessionNode(
        kind="MaxPool",
        attributes={
            "kernel_shape": _in_plane(taps, 1),
            "strides": _in_plane(op.step, 1),
            "dilations": _in_plane(spacing, 1),
        },
    )


@session_node.register(Complete)
def _complete_node(op: Complete) -> SessionNode | None:
    return session_node(op.op)


@singledispatch
def activation_node(function: object) -> SessionNode | None:  # noqa: ARG001 -- as above
    """The node of a function of each sample; None where its last bits depend on the place."""
    return None


@activation_node.register(Rectifier)
def _rectifier_node(function: Rectifier) -> SessionNode:
    if function.slope == 0:
        return SessionNode(kind="Relu", attributes={})
    return SessionNode(kind="LeakyRelu", attributes={"alpha": float(function.slope)})
