"""The page of a step in `convcli filters`: a line for each fact, and the layers of a network."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.report.words import number, reach_text
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts import LayerFacts, StepFacts

LAYER_COLUMNS = ("", "layer", "parameters", "channels", "stride so far", "reach so far")
# The columns of words; columns of numbers are aligned to the right.
LEFT_ALIGNED = ("layer", "reach so far")
WHOLE_SIGNAL = "the whole signal"


@dataclass(frozen=True, kw_only=True)
class StepPage:
    """A step as designed.

    help : the first line of its description
    taps : the taps as text, if there are few
    crossings : a level such as `-3 dB` and the frequencies at which the response crosses it
    A step without reach sees the whole signal.
    """

    facts: StepFacts
    help: str
    taps: str = ""
    crossings: Sequence[tuple[str, str]] = ()

    def lines(self) -> Iterator[str]:
        """Yield a line for each fact, and then the table of layers."""
        for name, text in self._rows():
            yield f"{name:<16}{text}".rstrip()
        if self.facts.layers:
            yield ""
            yield from _layer_lines(self.facts.layers)

    def _rows(self) -> Iterator[tuple[str, str]]:
        facts = self.facts
        yield "step", facts.text
        yield "", self.help
        if facts.taps is not None:
            shape = " x ".join(str(side) for side in facts.shape)
            yield "taps", f"{shape}: {self.taps}" if self.taps else shape
            yield "sum", number(facts.sum)
        if facts.taps is not None and facts.delay is not None:
            yield "delay", f"{number(facts.delay)} samples"
        look_ahead = WHOLE_SIGNAL
        if facts.look_ahead is not None:
            look_ahead = plural(facts.look_ahead, "sample")
        yield "look-ahead", look_ahead
        yield "reach", reach_text(facts.reach) or WHOLE_SIGNAL
        for level, frequencies in self.crossings:
            yield f"{level} at", frequencies
        if facts.note:
            yield "note", facts.note


def _layer_lines(layers: Sequence[LayerFacts]) -> Iterator[str]:
    """Yield the layers as a table; the reach of a layer is that into the input of the network."""
    rows = [LAYER_COLUMNS, *(_layer_row(place, layer) for place, layer in enumerate(layers))]
    total = sum(layer.parameters for layer in layers)
    rows.append(("", "in all", number(total), "", "", ""))
    columns = zip(*rows, strict=True)
    widths = [max(map(len, column)) for column in columns]
    for row in rows:
        cells = []
        for name, cell, width in zip(LAYER_COLUMNS, row, widths, strict=True):
            cells.append(cell.ljust(width) if name in LEFT_ALIGNED else cell.rjust(width))
        yield "  ".join(cells).rstrip()


def _layer_row(place: int, layer: LayerFacts) -> tuple[str, ...]:
    stride, reach = "", WHOLE_SIGNAL
    if layer.reach is not None:
        stride = "x".join(dict.fromkeys(axis.stride_text for axis in layer.reach))
        # The spacing of the outputs has a column of its own.
        unspaced = [replace(axis, step=1, phases=1) for axis in layer.reach]
        reach = reach_text(unspaced)
    return (str(place), layer.text, number(layer.parameters), str(layer.channels), stride, reach)
