"""Padding layers, as torch.nn.ZeroPad, ReflectionPad, ReplicationPad and CircularPad."""

from __future__ import annotations

from dataclasses import KW_ONLY  # noqa: TC003 -- the decorator looks it up here
from typing import TYPE_CHECKING, ClassVar

from convcli.dataclass import dataclass
from convcli.layers.layer import Layer, layer
from convcli.layers.padding import EDGES, PaddedInput, PaddingMode, Placement, Sides

if TYPE_CHECKING:
    from convcli.core.binding import Stage
    from convcli.layers.layer import LayerSite
    from convcli.layers.onnx.writer import ExportPlace


@layer("pad")
@dataclass(frozen=True)
class PadLayer(Layer):
    """SIDES more samples at both ends of each axis: zeros, or what `mode` says.

    In a causal network every layer keeps the length by itself, and this one does nothing.
    """

    sides: Sides
    _: KW_ONLY
    mode: PaddingMode = "zeros"

    example: ClassVar[str] = "pad:1,mode=reflect"
    keeps_level: ClassVar[bool] = False
    trainable: ClassVar[bool] = True

    @property
    def pads(self) -> bool:
        """Whether the layer extends its own input, which is all that it does."""
        return True

    def export(self, place: ExportPlace) -> None:
        """Add a Pad; none in a causal network."""
        if place.padding == "torch":
            place.graph.padded(self.sides, self.sides, EDGES[self.mode])

    def bind(self, site: LayerSite) -> tuple[Stage, ...]:
        """Return one stage: the input, extended."""
        if site.passed_by is not None:
            message = f"{self.call.name} has no place for a channel that goes past it"
            raise self.call.error(message, hint="--channels rgb")
        nothing = (0,) * len(self.sides)
        if site.rules.align == "causal":
            return (site.stage(),)
        at = Placement(
            before=self.sides,
            anchor=tuple(-side for side in self.sides),
            growth=tuple(2 * side for side in self.sides),
            padding=EDGES[self.mode],
        )
        return (site.stage(PaddedInput(at=at, step=(1,) * len(nothing))),)
