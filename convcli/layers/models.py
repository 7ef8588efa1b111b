"""Networks and learned filters as steps: what a model file holds, checked against its layers and the signal."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.chain import Chain
from convcli.core.kernel import Kernel
from convcli.designs.learned import ConvLayer, DenseLayer, Model
from convcli.errors import RequestError
from convcli.layers.networks import Network
from convcli.layers.written import WrittenLayer, weights_of, widths_of, written_layers
from convcli.planning.plan import BoundLayer, BoundStep, Rules, bind_made
from convcli.signals import ARRAY, Signal

if TYPE_CHECKING:
    from convcli.designs.registry import Step
    from convcli.planning.grammar import Call


def signal_of(model: Model) -> Signal:
    """A signal such as the model takes, of no known length: for looking at the model without one."""
    number = min(model.tensors)
    weights = model.tensors[number]["weight"]
    axes = max(1, weights.ndim - 2)
    signal = Signal(
        medium=ARRAY, shape=(None,) if axes == 1 else (256, 256), channels=("1",), rate=model.rate
    )
    rules = Rules(edge="zero", align="center")
    layers = written_layers(model.layers, signal, rules)
    spec = layers[number].spec if number < len(layers) else None
    count = weights.shape[1] * (spec.groups if isinstance(spec, ConvLayer) else 1)
    names = (
        model.columns if len(model.columns) == count else tuple(str(c + 1) for c in range(count))
    )
    return replace(signal, channels=names)


def bind_model(
    model: Model, call: Call, step: Step, signal: Signal, rules: Rules
) -> tuple[BoundStep, ...]:
    """The steps of a model on `signal`: one, or one more for each layer that must see the whole signal first."""
    _check_origin(model, signal)
    layers = written_layers(model.layers, signal, rules)
    _check_tensors(model, layers)
    kernel = _single_kernel(model, layers, signal)
    if kernel is not None:
        only = bind_made(kernel, call, step, signal, rules)
        text, count = layers[0].call.text, model.parameters
        told = BoundLayer(
            text=text, parameters=count, channels=1, chain=Chain(only.ops, signal.axes)
        )
        return (replace(only, remark=_remark(model, rules), layers=(told,)),)
    bound = Network(model, layers, call=call, step=step, signal=signal, rules=rules).bound()
    return (replace(bound[0], remark=_remark(model, rules)), *bound[1:])


def _remark(model: Model, rules: Rules) -> str:
    count = model.parameters
    told = f"{model.layers}, {count:,} parameter{'s' if count != 1 else ''}"
    if model.on == "differences":
        told += f"; of changes, added to {model.targets[0]}"
    if model.align is not None and model.align != rules.align:
        told += f"; it was learned with --align {model.align} and runs with --align {rules.align}"
    return told


def _check_origin(model: Model, signal: Signal) -> None:
    """Refuse a signal of other axes, rate or columns than the model was learned from."""
    task = model.about.get("task", "")
    if task.startswith("stretches"):
        message = (
            f"{model.path} has one weight for each pair of positions in {task}, and is no filter"
        )
        raise RequestError(message, hint="what convcli learn makes without --layers dense is one")
    if model.medium is not None and (model.medium == "image") != (signal.axes == 2):
        kind = {"image": "pictures", "table": "tables"}.get(model.medium, "sound")
        raise RequestError(
            f"{model.path} was learned from {kind}, and this is {signal.medium.thing}"
        )
    if (
        model.rate is not None
        and signal.rate is not None
        and abs(model.rate - signal.rate) > 1e-6 * model.rate
    ):
        message = f"{model.path} was learned at {model.rate:g} samples per second, and this signal has {signal.rate:g}"
        hint = (
            f"'resample:{model.rate:g} | model:{model.path}'" if signal.medium.in_seconds else None
        )
        raise RequestError(message, hint=hint)
    if model.columns and signal.medium.separate_channels and model.columns != signal.channels:
        message = f"{model.path} was learned from the columns {', '.join(model.columns)}"
        raise RequestError(
            f"{message}, not {', '.join(signal.channels)}", hint=f"-c {','.join(model.columns)}"
        )


def _check_tensors(model: Model, layers: list[WrittenLayer]) -> None:
    """Every layer that needs weights has them, and no other has."""
    for number, layer in enumerate(layers):
        needs = isinstance(layer.spec, (ConvLayer, DenseLayer))
        if needs and number not in model.tensors:
            known = ", ".join(f"{n}.weight" for n in model.tensors)
            raise layer.call.error(
                f"{model.path} has no {number}.weight for this layer; it has {known}"
            )
        if not needs and number in model.tensors:
            raise layer.call.error(
                f"{model.path} has {number}.weight, but layer {number} is {layer.call.name}"
            )
    beyond = [number for number in model.tensors if number >= len(layers)]
    if beyond:
        message = f"{model.path} has {beyond[0]}.weight, but there are only {len(layers)} layers: {model.layers}"
        raise RequestError(
            message, hint="layers are counted from 0, activations and pools included"
        )


def _single_kernel(model: Model, layers: list[WrittenLayer], signal: Signal) -> Kernel | None:
    """The taps of a model that is nothing but one filter, which then is a filter like any other."""
    spec, tensors = layers[0].spec, model.tensors.get(0, {})
    if (
        model.scaling
        or model.on == "differences"
        or len(layers) != 1
        or not isinstance(spec, ConvLayer)
        or spec.padding is not None
        or "bias" in tensors
    ):
        return None
    weights = weights_of(model, 0, layers[0], spec, signal)
    if weights.shape[:2] != (1, 1) or any(s != 1 for s in spec.stride):
        return None
    taps = np.zeros(widths_of(weights.shape[2:], spec.dilation))
    taps[tuple(slice(None, None, d) for d in spec.dilation)] = weights[0, 0]
    return Kernel.correlating(taps)
