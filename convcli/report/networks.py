"""Tables and figures of networks: layers, receptive fields, kernels and feature maps."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

from convcli.report.charts import NARROW_WIDTH, Axis, Graph, Trace
from convcli.report.figures import STYLES, Figure, chart_figure, position_chart, value_range
from convcli.report.tables import ReportTable
from convcli.report.views import SignalView
from convcli.report.words import number, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts import LayerFacts, ReachFacts, RunFacts
    from convcli.facts.preview import FeatureMapFacts

# Most kernels along each axis of a montage.
MOST_KERNELS = 16
# Most kernels, or feature maps, that are drawn as lines; more of them are drawn as pictures.
MOST_LINES = 4
# Most columns of a montage of feature maps.
MONTAGE_COLUMNS = 4
# Height in pixels of a row that stands for a channel.
ROW_HEIGHT = 12
# Side in pixels of a cell that stands for a weight.
CELL = 6
# Most values along a row that is drawn as a picture.
MOST_COLUMNS = 1024

_HEAD: tuple[str, ...] = (
    *("", "layer", "weights", "parameters"),
    *("channels", "size", "receptive field", "stride"),
)


def network_views(run: RunFacts, *, layers: bool = True) -> Iterator[SignalView]:
    """Yield the layers of each network of a run, their kernels, and the feature maps.

    layers : false for the feature maps alone
    """
    for step in run.steps:
        if layers and step.layers:
            heading = visible(step.text) if len(run.steps) > 1 else ""
            figures = [field_figure(step.layers)] if _has_fields(step.layers) else []
            table = layer_table(step.layers)
            yield SignalView(heading=heading, table=table, figures=figures)
            kernels = list(kernel_figures(step.layers))
            if kernels:
                yield SignalView(heading="Kernels", figures=kernels, layout="pair")
    maps = list(feature_map_figures(run.feature_maps))
    if maps:
        yield SignalView(
            heading="Feature maps",
            notes=["What each layer makes of a part of the input."],
            figures=maps,
            layout="pair",
        )


# ------------------------------------------------------------------------------------------- layers


def layer_table(layers: Sequence[LayerFacts]) -> ReportTable:
    """A row for each layer, and the number of parameters of all.

    A column in which no layer has anything, such as sizes without a signal, is left out.
    """
    cells = [_layer_cells(place, layer) for place, layer in enumerate(layers)]
    total = number(sum(layer.parameters for layer in layers))
    in_all = ("", "in all", "", total, "", "", "", "")
    columns = zip(_HEAD, in_all, zip(*cells, strict=True), strict=True)
    shown = [(head, last, *column) for head, last, column in columns if any(column)]
    head, last, *rows = zip(*shown, strict=True)
    return ReportTable("Layers", [*rows, last], head)


def _layer_cells(place: int, layer: LayerFacts) -> tuple[str, ...]:
    shape = "" if layer.weights is None else _product_text(layer.weights.shape)
    field, stride = "the whole signal", ""
    if layer.reach is not None:
        field = _product_text([_field_size(axis) for axis in layer.reach])
        stride = _spacing_text(layer.reach)
    return (
        str(place),
        visible(layer.text),
        shape,
        number(layer.parameters),
        number(layer.channels),
        _product_text(layer.size),
        field,
        stride,
    )


def _product_text(sizes: Sequence[int | None]) -> str:
    """Sizes as `8 x 1 x 9`; an empty text if one of them is not known."""
    known = [size for size in sizes if size is not None]
    return " x ".join(map(number, known)) if len(known) == len(sizes) else ""


def _field_size(axis: ReachFacts) -> int:
    """How many samples of the input an output reads."""
    return axis.before + axis.after + 1


def _spacing_text(axes: Sequence[ReachFacts]) -> str:
    """The strides of the axes as `2 x 3`; equal ones are shown once."""
    return " x ".join(dict.fromkeys(axis.stride_text for axis in axes))


def _has_fields(layers: Sequence[LayerFacts]) -> bool:
    """Whether more than one layer reads neighbours within a bounded field."""
    fields = [layer.reach[0] for layer in layers if layer.reach is not None]
    return len(fields) > 1 and any(_field_size(field) > 1 for field in fields)


def field_figure(layers: Sequence[LayerFacts]) -> Figure:
    """How far an output of each layer reaches into the input, along the first axis."""
    traces = []
    for place, layer in enumerate(layers):
        if layer.reach is None:
            continue
        reach = layer.reach[0]
        points = [(-reach.before - 0.5, float(place)), (reach.after + 0.5, float(place))]
        traces.append(Trace(name="", style="after", points=points, thick=True))
    ends = [x for trace in traces for x, _ in trace.points]
    chart = Graph(
        title="Receptive field of each layer",
        x=Axis(low=min(ends), high=max(ends), label="inputs around the output", whole=True),
        y=Axis(low=len(layers) - 0.5, high=-0.5, label="layer", whole=True),
        traces=traces,
        height=60 + 22 * min(len(layers), 16),
    )
    return chart_figure(chart, "Receptive field: what an output of each layer reads")


# ------------------------------------------------------------------------------------------ kernels


def kernel_figures(layers: Sequence[LayerFacts]) -> Iterator[Figure]:
    """Yield the kernels of each layer that has some: lines, or pictures around 0."""
    for place, layer in enumerate(layers):
        if layer.weights is not None and layer.weights.ndim in (3, 4):
            layer_name = f"{place}: {visible(layer.text)}"
            if math.prod(layer.weights.shape[2:]) > 1:
                yield _kernel_figure(layer_name, layer.weights)


def _kernel_figure(layer_name: str, weights: Any) -> Figure:
    """Draw the kernels of a layer, (out, in / groups, ...), as lines or as a montage."""
    from convcli.report.embedded import signed_uri

    outputs, inputs = weights.shape[:2]
    if weights.ndim == 3 and outputs * inputs <= MOST_LINES:
        return _lines_of_kernels(layer_name, weights)
    shown = weights[:MOST_KERNELS, :MOST_KERNELS]
    count = f"{outputs} x {inputs} kernels"
    if shown.shape != weights.shape:
        count = f"{shown.shape[0]} x {shown.shape[1]} of {count}"
    return Figure(
        caption=f"{layer_name}, {count}; blue is below 0, red above",
        image=signed_uri(_kernel_grid(shown), CELL),
        alt=f"The weights of layer {layer_name}",
        pixels=True,
    )


def _lines_of_kernels(layer_name: str, weights: Any) -> Figure:
    made, read = weights.shape[:2]
    curves = []
    for style, (output, place) in zip(STYLES, product(range(made), range(read)), strict=False):
        name = ""
        if made * read > 1:
            name = f"input {place}" if made == 1 else f"{place} to {output}"
        taps = weights[output, place].tolist()
        curves.append((name, style, [(float(at), float(tap)) for at, tap in enumerate(taps)]))
    single = len(curves) == 1
    return chart_figure(
        position_chart(curves, f"Kernels of {layer_name}", stems=single), layer_name
    )


def _kernel_grid(weights: Any) -> Any:
    """A picture of all kernels, with a row for each output; NaN between kernels of one axis.

    weights : (out, in, taps) or (out, in, height, width)
    """
    import numpy as np

    from convcli.report.embedded import montage

    if weights.ndim == 3 and len(weights) < weights.shape[1]:
        weights = weights.swapaxes(0, 1)  # a row for each input makes a narrower picture
    made, read = weights.shape[:2]
    if weights.ndim == 4:
        tiles = weights.reshape(made * read, *weights.shape[2:])
        rows = max(1, MOST_KERNELS // read)
        return montage(tiles, min(made, rows) * read)
    gaps = np.full((made, read, 1), np.nan)
    lines = np.concatenate([weights, gaps], axis=2).reshape(made, -1)
    return lines[:, :-1]


# ------------------------------------------------------------------------------------- feature maps


def feature_map_figures(maps: Sequence[FeatureMapFacts]) -> Iterator[Figure]:
    """Yield the outputs of each layer, as pictures or as lines."""
    for each in maps:
        layer_name = visible(each.layer)
        if each.number >= 0:
            layer_name = f"{each.number}: {layer_name}"
        shown = len(each.maps)
        channels = f"{each.channels} channel{'s' * (each.channels != 1)}"
        if shown < each.channels:
            channels = f"{shown} of {channels}"
        caption = f"{layer_name}, {channels}"
        if each.maps.ndim == 3:
            yield _map_pictures(each, caption)
        elif shown <= MOST_LINES:
            yield _map_lines(each, caption)
        else:
            yield _map_rows(each, caption)


def _map_pictures(each: FeatureMapFacts, caption: str) -> Figure:
    from convcli.report.embedded import grey_montage_uri

    columns = min(len(each.maps), MONTAGE_COLUMNS)
    return Figure(
        caption=caption,
        image=grey_montage_uri(each.maps, columns),
        alt=f"Feature maps: {caption}",
        pixels=True,
    )


def _map_lines(each: FeatureMapFacts, caption: str) -> Figure:
    values = each.maps.tolist()
    last = float(each.maps.shape[1] - 1)
    low, high = value_range([value for line in values for value in line])
    traces = []
    for style, line in zip(STYLES, values, strict=False):
        traces.append(Trace(name="", style=style, points=list(enumerate(line))))
    chart = Graph(
        title=f"Feature maps: {caption}",
        x=Axis(low=0.0, high=max(1.0, last), label="samples", whole=True),
        y=Axis(low=low, high=high),
        traces=traces,
        zooms=True,
        width=NARROW_WIDTH,
        height=170,
    )
    return chart_figure(chart, caption)


def _map_rows(each: FeatureMapFacts, caption: str) -> Figure:
    """A row of colours for each channel, as a picture in a chart."""
    import numpy as np

    from convcli.report.embedded import signed_uri

    every = max(1, each.maps.shape[1] // MOST_COLUMNS)
    rows = np.repeat(each.maps[:, ::every], ROW_HEIGHT, axis=0)
    chart = Graph(
        title=f"Feature maps: {caption}",
        x=Axis(low=0.0, high=float(each.maps.shape[1]), label="samples", whole=True),
        y=Axis(low=len(each.maps) - 0.5, high=-0.5, label="channel", whole=True),
        image=signed_uri(rows),
        width=NARROW_WIDTH,
        height=60 + 2 * ROW_HEIGHT * min(len(each.maps), 8),
    )
    return chart_figure(chart, f"{caption}; blue is below 0, red above")
