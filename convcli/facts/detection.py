"""Facts of `detect`: the hits of some templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.facts import InputFacts

    Hit = Mapping[str, str | int | float]


@dataclass(frozen=True, kw_only=True)
class DetectionFacts:
    """The request and the result of `detect`.

    templates : as read
    threshold, overlap, top : as asked for
    best_score : the highest score at any position, even one below the threshold; None without any
    hits : the cells of each hit by the names of their columns, best hit first
    """

    templates: tuple[InputFacts, ...]
    threshold: float
    overlap: float
    top: int | None
    best_score: float | None
    hits: tuple[Hit, ...]
