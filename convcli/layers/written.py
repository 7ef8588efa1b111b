"""Layers as they are written, and the tensors of a model file that belong to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from convcli.designs.learned import LAYERS, ConvLayer, DenseLayer, FlattenLayer, Model
from convcli.errors import RequestError
from convcli.planning.grammar import parse
from convcli.planning.plan import Rules, arguments_of, injected
from convcli.units import UnitError

if TYPE_CHECKING:
    from convcli.layers.weights import Tensor
    from convcli.planning.grammar import Call
    from convcli.signals import Signal


@dataclass(frozen=True)
class WrittenLayer:
    """A layer as written and what its design made of it; None for one that is a step."""

    call: Call
    spec: ConvLayer | DenseLayer | FlattenLayer | None


def written_layers(text: str, signal: Signal, rules: Rules) -> list[WrittenLayer]:
    """The layers of `conv:8,7 | relu | conv:1,5`. RequestError points at what is wrong."""
    layers = []
    for call in parse(text):
        step = LAYERS.get(call.name)
        if step is None:
            layers.append(WrittenLayer(call, None))
            continue
        values, _ = arguments_of(call, step, signal)
        try:
            layers.append(
                WrittenLayer(call, step.design(**values, **injected(step, signal, rules)))
            )
        except UnitError as error:
            raise call.error(f"{call.name}: {error}") from None
    return layers


def widths_of(shape: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """How many neighbouring samples windows of `shape` span."""
    return tuple(1 + (k - 1) * d for k, d in zip(shape, dilation, strict=True))


def weights_of(
    model: Model, number: int, layer: WrittenLayer, spec: ConvLayer, signal: Signal
) -> Tensor:
    """The weights of a convolution layer, (out, in / groups, k...), as the layer is written."""
    weights = model.tensors[number]["weight"]
    if weights.ndim != signal.axes + 2:
        wanted = "(out, in, k)" if signal.axes == 1 else "(out, in, height, width)"
        message = f"{model.path}: {number}.weight has the shape {weights.shape}, and this signal needs {wanted}"
        raise RequestError(
            message,
            hint="one-dimensional models are for sound and tables, two-dimensional for pictures",
        )
    if (spec.out or len(weights)) != len(weights) or (
        spec.size or weights.shape[2:]
    ) != weights.shape[2:]:
        raise layer.call.error(
            f"{model.path}: {number}.weight has the shape {weights.shape}, which is another layer"
        )
    if len(weights) % spec.groups:
        raise layer.call.error(f"{spec.groups} groups do not share {len(weights)} channels evenly")
    return weights


def bias_of(
    model: Model,
    number: int,
    layer: WrittenLayer,
    out: int,
    bias: bool | None,  # noqa: FBT001
) -> Tensor | None:
    """The bias of a layer, (out,); equinox keeps it as (out, 1)."""
    stored = model.tensors[number].get("bias")
    if bias is not None and bias != (stored is not None):
        raise layer.call.error(f"{model.path} has {'no' if bias else 'a'} {number}.bias")
    if stored is None:
        return None
    if stored.size != out or stored.shape[:1] != (out,):
        message = f"{model.path}: {number}.bias has the shape {stored.shape}, expected ({out},)"
        raise layer.call.error(message)
    return stored.reshape(out)
