"""What operations of a network are as nodes of a graph that an inference library runs.

Registered are operations of which each output is computed in one order of sums, wherever it lies:
here those of the core, and a layer's own beside the layer.
"""

from __future__ import annotations

from dataclasses import field
from functools import singledispatch
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.activations import Rectifier
from convcli.core.one_sample import ActivationOp
from convcli.core.op import Complete, Op
from convcli.core.windows.sliding import SlidingStatistic
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import Sizes
    from convcli.core.executor import Pads
    from convcli.layers.onnx.writer import OnnxWriter


@dataclass(frozen=True, eq=False, kw_only=True)
class SessionNode:
    """An operation as nodes of a graph.

    kind, attributes : of the ONNX operator, without its padding
    constants : further inputs of the node
    activation : what is applied to its outputs, None where nothing is
    own_cost, cost : nanoseconds of an output here, and in the library
    outputs : channels that come out; None: as many as go in
    """

    kind: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
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
            attributes["pads"] = [*in_plane(before, 0), *in_plane(after, 0)]
        number = len(graph.nodes)
        names = []
        for place, values in enumerate(self.constants):
            names.append(graph.constant(f"{number}.{place}", values))
        graph.node(self.kind, *names, **attributes)
        if self.activation is not None:
            self.activation.add(graph, ())


def in_plane(sizes: Sequence[int], lacking: int) -> list[int]:
    """Sizes on two axes; a signal with one axis is a picture of one row."""
    return [*(lacking,) * (2 - len(sizes)), *sizes]


@singledispatch
def session_node(op: Op) -> SessionNode | None:  # noqa: ARG001 -- what a function is found by
    """The nodes of an operation; None where the library does not compute it, or not as exactly."""
    return None


@session_node.register(ActivationOp)
def _node_of_activation(op: ActivationOp) -> SessionNode | None:
    return None if op.in_place is None else activation_node(op.in_place)


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
            "kernel_shape": in_plane(taps, 1),
            "strides": in_plane(op.step, 1),
            "dilations": in_plane(spacing, 1),
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
