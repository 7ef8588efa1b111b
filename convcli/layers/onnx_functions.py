"""Functions of each sample as nodes of an ONNX graph."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from convcli.layers.onnx_writer import OnnxWriter

    Export = Callable[[OnnxWriter, Mapping[str, Any]], Any]


def _plain(kind: str, **attributes: Any) -> Export:
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


def _gain(graph: OnnxWriter, values: Mapping[str, Any]) -> None:
    graph.node("Mul", graph.constant(f"{len(graph.nodes)}.gain", values["factor"]))


def _offset(graph: OnnxWriter, values: Mapping[str, Any]) -> None:
    graph.node("Add", graph.constant(f"{len(graph.nodes)}.offset", values["value"]))


def _clip(graph: OnnxWriter, values: Mapping[str, Any]) -> None:
    number = len(graph.nodes)
    limits = []
    for side in ("low", "high"):
        limit = values[side]
        limits.append(graph.constant(f"{number}.{side}", limit) if math.isfinite(limit) else "")
    graph.node("Clip", *limits)


# By the name of the step. `log` is missing: it makes -inf of 0 there and no value here.
FUNCTIONS: dict[str, Export] = {
    "relu": _plain("Relu"),
    "leaky_relu": _leaky_relu,
    "tanh": _plain("Tanh"),
    "sigmoid": _plain("Sigmoid"),
    "elu": _elu,
    "softplus": _plain("Softplus"),
    "silu": _silu,
    "gelu": _gelu_node,
    "hardswish": _plain("HardSwish"),
    "abs": _plain("Abs"),
    "sign": _plain("Sign"),
    "square": _square,
    "sqrt": _plain("Sqrt"),
    "exp": _plain("Exp"),
    "gain": _gain,
    "offset": _offset,
    "clip": _clip,
}
