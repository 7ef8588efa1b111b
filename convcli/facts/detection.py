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


@dataclass(frozen=True, kw_only=True)
class LargerTemplate:
    """A template that is larger than an input, so that it has no place there.

    template, searched : the file of the template, and the input or its page
    template_size, searched_size : in words
    """

    template: str
    template_size: str
    searched: str
    searched_size: str


@dataclass(frozen=True, kw_only=True)
class FoundHits:
    """What a search has found in one input, or in several.

    inputs : facts of the inputs, each page of a picture by itself
    hits : all cells of each hit, best hit first, with the score as it was computed
    best_score : the highest score at any position; None without any
    best_place : where it is, in words
    notes : notes and warnings, each with its kind
    larger : the templates that are larger than an input, with each such input
    """

    inputs: tuple[InputFacts, ...] = ()
    hits: tuple[Hit, ...] = ()
    best_score: float | None = None
    best_place: str = ""
    notes: tuple[tuple[str, str], ...] = ()
    larger: tuple[LargerTemplate, ...] = ()
