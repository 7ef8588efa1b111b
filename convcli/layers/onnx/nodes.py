"""What each kind of node of an ONNX graph becomes: operations on samples with channels last.

A node that is not here, or that sees the whole signal, is refused by its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.layers.onnx.channel_nodes import CHANNEL_NODES
from convcli.layers.onnx.global_nodes import not_local_error
from convcli.layers.onnx.pointwise_nodes import POINTWISE_NODES
from convcli.layers.onnx.sample_nodes import SAMPLE_NODES
from convcli.layers.onnx.window_nodes import WINDOW_NODES

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.layers.onnx.node_place import NodePlace, Ops


def _no_operation(_: NodePlace) -> Ops:
    return ()


def _cast_node(place: NodePlace) -> Ops:
    from onnx import TensorProto

    floats = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
    if place.attribute("to", TensorProto.FLOAT) not in floats:
        raise place.error("only a cast between floating point types changes nothing here")
    return ()


NODES: dict[str, Callable[[NodePlace], Ops]] = {
    **WINDOW_NODES,
    **POINTWISE_NODES,
    **SAMPLE_NODES,
    **CHANNEL_NODES,
    "Cast": _cast_node,
    "Concat": _no_operation,
    "Dropout": _no_operation,
    "Identity": _no_operation,
}


def operations_of(place: NodePlace) -> Ops:
    """The operations of a node with one input that is not a constant.

    RequestError for a node that is not known, or with arguments that are not.
    """
    if place.node.kind not in NODES:
        raise not_local_error(place.path, place.node)
    return NODES[place.node.kind](place)
