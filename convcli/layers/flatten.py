"""Flatten: all samples of all channels side by side, for the dense layer that follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from convcli.dataclass import dataclass
from convcli.layers.dense import UNTRAINABLE
from convcli.layers.layer import Layer, layer

if TYPE_CHECKING:
    from convcli.core.binding import Stage
    from convcli.layers.layer import LayerSite
    from convcli.layers.onnx.writer import ExportPlace


@layer("flatten")
@dataclass(frozen=True, kw_only=True)
class FlattenLayer(Layer):
    """All samples of all channels side by side.

    It only counts as a layer: a dense layer reads them all anyway.
    """

    example: ClassVar[str] = "flatten"
    untrainable_hint: ClassVar[str | None] = UNTRAINABLE

    def check_next(self, following: list[Layer]) -> None:
        """RequestError where no dense layer follows."""
        if not following or not following[0].takes_everything:
            raise self.call.error("flatten comes before dense and nowhere else")

    def export(self, place: ExportPlace) -> None:
        """Add nothing: the dense layer that follows flattens its input."""

    def bind(self, site: LayerSite) -> tuple[Stage, ...]:
        """Return one stage without operations."""
        return (site.stage(),)
