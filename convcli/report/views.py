"""What a page shows of signals: tables, players, sliders and figures under a heading."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.report.figures import Figure
    from convcli.report.tables import ReportTable


@dataclass(frozen=True, kw_only=True)
class Player:
    """A sound that the page plays.

    uri : the sound as a data URI
    """

    name: str
    uri: str


@dataclass(frozen=True, kw_only=True)
class Slider:
    """Two pictures that lie on each other.

    names : what the two are called
    """

    name: str
    caption: str
    names: tuple[str, str]
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class SignalView:
    """A part of a page.

    layout : how many figures stand beside each other: `wide`, `pair`, `three`, `many`
    """

    heading: str = ""
    notes: Sequence[str] = ()
    table: ReportTable | None = None
    players: Sequence[Player] = ()
    slider: Slider | None = None
    figures: Sequence[Figure] = field(default=())
    layout: str = "wide"

    @property
    def zooms(self) -> bool:
        """Whether charts are zoomed, all of them together."""
        return any(each.chart is not None and each.chart.zooms for each in self.figures)
