"""Functions of each sample as nodes of an ONNX graph."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from convcli.layers.onnx.writer import OnnxWriter

    Export = Callable[[OnnxWriter, Mapping[str, Any]], Any]


def _single_node(kind: str, **attributes: Any) -> Export:
    """A function that is one node."""
    return lambda graph, _: graph.node(kind, **attributes)


def _leaky_relu(graph: OnnxWriter, values: Mapping[str, Any]) -> None:
    graph.node("LeakyRelu", alpha=float(values["slope"]))


def _elu(graph: OnnxWriter, values: Mapping[str, Any]) -> None:
    graph.node("Elu", alpha=float(values["alpha"]))


def _silu(graph: OnnxWriter, _: Mapping[str, Any]) -> None:
    x = graph.x
    graph.node("Mul", graph.node("Sigmoid"), x=x)


def _gelu_node(graph: OnnxWriter, _: Mapping[str, Any]) -> None:
    graph.opset = max(graph.opset, 20)
    graph.node("Gelu")


def _square(graph: OnnxWriter, _: Mapping[str, Any]) -> None:
    graph.node("Mul", graph.x)


def _export_gain(graph: OnnxWriter, values: Mapping[str, Any]) -> None:
    graph.node("Mul", graph.constant(f"{len(graph.nodes)}.gain", values["factor"]))


def _export_offset(graph: OnnxWriter, values: Mapping[str, Any]) -> None:
    graph.node("Add", graph.constant(f"{len(graph.nodes)}.offset", values["value"]))


def _export_clip(graph: OnnxWriter, values: Mapping[str, Any]) -> None:
    number = len(graph.nodes)
    limits = []
    for side in ("low", "high"):
        limit = values[side]
        limits.append(graph.constant(f"{number}.{side}", limit) if math.isfinite(limit) else "")
    graph.node("Clip", *limits)


# By the name of the step. `log` is missing: it makes -inf of 0 there and no value here.
FUNCTIONS: dict[str, Export] = {
    "relu": _single_node("Relu"),
    "leaky_relu": _leaky_relu,
    "tanh": _single_node("Tanh"),
    "sigmoid": _single_node("Sigmoid"),
    "elu": _elu,
    "softplus": _single_node("Softplus"),
    "silu": _silu,
    "gelu": _gelu_node,
    "hardswish": _single_node("HardSwish"),
    "abs": _single_node("Abs"),
    "sign": _single_node("Sign"),
    "square": _square,
    "sqrt": _single_node("Sqrt"),
    "exp": _single_node("Exp"),
    "gain": _export_gain,
    "offset": _export_offset,
    "clip": _export_clip,
}
