"""What was found, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.facts import InputFacts


@dataclass(frozen=True, kw_only=True)
class DetectionFacts:
    """What `detect` was asked for and what it found.

    templates : as read; threshold, overlap, top : as asked for; best_score : of all places, however low
    hits : every place by the names of its columns, best first
    """

    templates: tuple[InputFacts, ...]
    threshold: float
    overlap: float
    top: int | None
    best_score: float | None
    hits: tuple[Mapping[str, str | int | float], ...]
