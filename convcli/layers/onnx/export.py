"""`convcli filters ... --export net.onnx`: a model, or a filter with taps, as an ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.core.binding import Rules, Site
from convcli.errors import RequestError
from convcli.layers.layer import read_layers
from convcli.layers.network_binder import NetworkBinder, network_padding
from convcli.layers.onnx.writer import INPUT, ExportPlace, OnnxWriter

if TYPE_CHECKING:
    from convcli.array_types import Taps
    from convcli.core.binding import Stage
    from convcli.layers.model import Model
    from convcli.layers.onnx.writer import ExportedGraph
    from convcli.signals import Align


_PADS_NOTHING = "it reads complete windows alone, as under --edge valid"
_UNITS = {
    "image": "colours from 0 to 1",
    "audio": "sound from -1 to 1",
    "table": "columns as they are",
}


def exported_model(model: Model, align: Align) -> ExportedGraph:
    """An ONNX file that computes a model.

    align : causal layers pad before the signal alone
    Raises RequestError for a model with a layer that ONNX does not have.
    """
    require_onnx()
    if model.differences:
        raise RequestError(
            f"{model.path} reads changes and adds its answer to a level, which is not exported",
            hint="a model that was learned on levels",
        )
    signal = model.signal()
    layers = read_layers(model.layers, signal)
    if model.last is not None:
        layers = layers[: model.last + 1]
    graph = OnnxWriter(axes=signal.axes, channels=len(signal.channels))
    _standardise(graph, model)
    rules = Rules(edge="valid", align=align)
    padding = network_padding(layers, rules)
    for number, layer in enumerate(layers):
        tensors = model.tensors_of(number)
        layer.export(ExportPlace(graph=graph, tensors=tensors, padding=padding))
    if model.last is None:
        _undo_standardisation(graph, model)
    if model.adds_input:
        network = NetworkBinder(model, layers, Site(signal=signal, rules=rules))
        _add_input(graph, model, network.stages()[0])
    about = {name: text for name, text in model.about.items() if name != "facts"}
    return graph.encoded(len(signal.channels), about, _graph_description(model, padding))


def exported_taps(weights: Taps, align: Align | None) -> ExportedGraph:
    """An ONNX file that convolves with taps, (k,) or (height, width).

    align : the alignment that is noted in the file, because the graph does not contain it; None
        for no note
    """
    require_onnx()
    graph = OnnxWriter(axes=weights.ndim, channels=1)
    name = graph.constant("taps", np.flip(weights)[None, None])
    graph.node("Conv", name, kernel_shape=weights.shape)
    description = f"one convolution, whose taps are flipped as Conv wants them; {_PADS_NOTHING}"
    about = {} if align is None else {"align": align}
    return graph.encoded(1, about, description)


def require_onnx() -> None:
    """Raise RequestError if the package `onnx` is not installed."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        message = "writing ONNX needs the package onnx, which is not installed"
        raise RequestError(message, hint="pip install 'convcli[onnx]'") from None


def _standardise(graph: OnnxWriter, model: Model) -> None:
    """Bring columns into the units of the training, where the file has a scaling."""
    if not model.scaling:
        return
    mean, unit = np.transpose(model.scaling["inputs"])
    graph.node("Sub", graph.constant("inputs.mean", graph.per_channel(mean)))
    graph.node("Div", graph.constant("inputs.unit", graph.per_channel(unit)))


def _undo_standardisation(graph: OnnxWriter, model: Model) -> None:
    """Bring outputs back from the units of the training, where the file has a scaling."""
    if not model.scaling:
        return
    mean, unit = np.transpose(model.scaling["outputs"])
    graph.node("Mul", graph.constant("outputs.unit", graph.per_channel(unit)))
    graph.node("Add", graph.constant("outputs.mean", graph.per_channel(mean)))


def _add_input(graph: OnnxWriter, model: Model, stage: Stage) -> None:
    """Add the input to the output, without the samples that complete windows leave out."""
    (group,) = stage.ops
    output = graph.x
    added = INPUT
    if model.targets and model.targets != model.columns:
        picked = [model.columns.index(target) for target in model.targets]
        indices = graph.constant("targets", picked, whole=True)
        added = graph.node("Gather", indices, x=added, axis=1)
    before = []
    after = []
    for reach in group.complete().reach:
        first = reach.aligned_input(0)
        before.append(first)
        after.append(-reach.growth - first)
    added = graph.cut(added, before, after)
    graph.node("Add", output, x=added)


def _graph_description(model: Model, padding: str) -> str:
    """The formula, the units and the padding of the graph, for the note and the ONNX file."""
    units = _UNITS.get(model.medium or "", "samples as the network was trained on")
    pads = "its layers pad what they say"
    if padding == "chain":
        pads = _PADS_NOTHING
    return f"{model.formula}, on {units}; {pads}"
