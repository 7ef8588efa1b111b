"""Search of several inputs for several templates, and its facts: the best hits of all inputs."""

from __future__ import annotations

import math
from dataclasses import field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.detecting.peaks import suppress_overlaps
from convcli.detecting.search import SignalSearch
from convcli.errors import ConditionError
from convcli.facts import InputFacts
from convcli.facts.detection import DetectionFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from convcli.detecting.search import Candidates
    from convcli.detecting.templates import LoadedTemplate, PreparedTemplate
    from convcli.facts.detection import Hit
    from convcli.signals import Source

    # Text of the time column in the first and the last row of each candidate.
    RowTimes = list[tuple[str, str]]
    Cells = dict[str, str | int | float]

# Decimals of scores and of times in seconds.
HIT_DIGITS = 6


@dataclass(kw_only=True)
class Detection:
    """A search for `templates` in one input after another.

    threshold : the lowest score of a hit, above 0 and at most 1
    overlap : the largest part of a hit that a better hit may cover, 0 to 1
    top : the largest number of hits; None for all
    group_name : makes the text of a group from its name; None if no input is a table with groups
    timed : whether hits have the cells `start_time` and `end_time`
    inputs : facts of the inputs, or pages, that were searched
    """

    templates: Sequence[LoadedTemplate]
    threshold: float
    overlap: float = 0.0
    top: int | None = None
    threads: int | None = None
    group_name: Callable[[bytes], str] | None = None
    timed: bool = False
    inputs: list[InputFacts] = field(default_factory=list)
    _found: list[_SectionCandidates] = field(default_factory=list)
    _best: _SectionCandidates | None = None

    def search(
        self,
        source: Source[Any],
        prepared: Sequence[PreparedTemplate],
        *,
        name: str,
        page: int | None = None,
        times: Callable[[Candidates], RowTimes] | None = None,
    ) -> Iterator[int]:
        """Search one input; yield how many samples along axis 0 have been read.

        prepared : the templates, prepared for the signal of `source`
        name : the path as the user wrote it, `-` for standard input
        page : number of the page, from 1; None for an input without pages
        times : reads the time column of candidates
        An input whose search raises an error leaves no hits.
        """
        search = SignalSearch(templates=prepared, threshold=self.threshold, threads=self.threads)
        found: list[_SectionCandidates] = []
        best = self._best
        for candidates in search.run(source):
            part = _SectionCandidates(
                input=len(self.inputs),
                page=page or 1,
                size=prepared[candidates.template].size,
                candidates=candidates,
                times=[] if times is None else times(candidates),
            )
            if len(candidates.at):
                found.append(part)
            if best is None or candidates.best > best.candidates.best:
                best = part
            yield search.read
        shape = (search.read, *source.signal.shape[1:])
        details = {} if page is None else {"page": page}
        self.inputs.append(InputFacts.of(name, source.signal, shape=shape, details=details))
        self._found += found
        self._best = best

    def facts(self) -> DetectionFacts:
        """Return the facts of the search, with the best hits that overlap no better one."""
        best_score = None
        if self._best is not None:
            best_score = self._best.candidates.best
        templates = tuple(template.facts() for template in self.templates)
        return DetectionFacts(
            templates=templates,
            threshold=self.threshold,
            overlap=self.overlap,
            top=self.top,
            best_score=best_score,
            hits=tuple(self._hits()),
        )

    @property
    def columns(self) -> list[str]:
        """Names of the cells of every hit."""
        names = ["file"]
        if len(self.templates) > 1:
            names.append("template")
        if any("page" in one.details for one in self.inputs):
            names.append("page")
        if self.group_name is not None:
            names.append("group")
        if self.templates[0].signal.axes == 2:
            names += ["x", "y", "width", "height"]
        else:
            names += ["start", "end"]
        if self.timed:
            names += ["start_time", "end_time"]
        return [*names, "score"]

    def _hits(self) -> Iterator[Hit]:
        """Yield the hits, best score first; of equal scores, the first in the signal first."""
        if not self._found:
            return
        columns = self.columns
        counts = [len(each.candidates.at) for each in self._found]
        score = np.concatenate([each.candidates.score for each in self._found])
        at = np.concatenate([each.candidates.at for each in self._found])
        size = np.repeat([each.size for each in self._found], counts, axis=0)
        signal = np.repeat(self._signal_numbers(), counts)
        order = np.argsort(-score, kind="stable")
        kept = suppress_overlaps(at[order], size[order], signal[order], overlap=self.overlap)
        starts = np.cumsum([0, *counts])
        for rank in islice(kept, self.top):
            number = int(order[rank])
            part = int(np.searchsorted(starts, number, side="right")) - 1
            index = number - int(starts[part])
            cells = self._cells(self._found[part], index)
            yield {name: cells[name] for name in columns}

    def _signal_numbers(self) -> list[int]:
        """Number the signals, one for each input and group, for every entry of `_found`."""
        numbers: dict[tuple[int, bytes], int] = {}
        for each in self._found:
            numbers.setdefault((each.input, each.candidates.group), len(numbers))
        return [numbers[each.input, each.candidates.group] for each in self._found]

    def _cells(self, found: _SectionCandidates, index: int) -> Cells:
        """Return the cells of one hit, also those that are not among the columns."""
        one = self.inputs[found.input]
        candidates = found.candidates
        cells: Cells = {
            "file": one.path,
            "template": self.templates[candidates.template].name,
            "page": found.page,
            "score": round(float(candidates.score[index]), HIT_DIGITS),
            **found.extent(index, one),
        }
        if self.group_name is not None:
            cells["group"] = self.group_name(candidates.group)
        if self.timed:
            cells["start_time"], cells["end_time"] = found.times[index]
        return cells

    def nothing_found(self) -> ConditionError:
        """Return the error that says that there are no hits, and how near the best score came."""
        if self._best is None or self._best.candidates.best <= 0:
            return ConditionError("nothing found: no place is like the template")
        score = self._best.candidates.best
        place = _place_text(self.inputs[self._best.input], self._best.candidates.best_at)
        # Rounded down, so that the threshold of the hint accepts the best score.
        lower = math.floor(score * 100) / 100
        return ConditionError(
            f"nothing found: the best score is {score:.3g}, {place}",
            hint=f"--threshold {lower:g} would accept it" if lower > 0 else None,
        )


@dataclass(frozen=True, kw_only=True)
class _SectionCandidates:
    """Candidates of one template in one section of an input.

    input : number of the input in `Detection.inputs`
    page : number of the page, from 1
    size : samples of the template along each axis
    times : the time column of each candidate; empty without one
    """

    input: int
    page: int
    size: tuple[int, ...]
    candidates: Candidates
    times: RowTimes

    def extent(self, index: int, searched: InputFacts) -> Cells:
        """Return where a candidate lies: in seconds, in data rows from 1, or in pixels."""
        if len(self.size) == 2:
            y, x = self.candidates.at[index].tolist()
            height, width = self.size
            return {"x": x, "y": y, "width": width, "height": height}
        first, last = self.candidates.rows[index].tolist()
        if not searched.medium.in_seconds:
            return {"start": first + 1, "end": last + 1}
        rate = searched.rate or 1.0
        start, end = first / rate, (last + 1) / rate
        return {"start": round(start, HIT_DIGITS), "end": round(end, HIT_DIGITS)}


def _place_text(searched: InputFacts, at: tuple[int, ...]) -> str:
    """Describe a position: `at 1.53 s of talk.wav`, `at 12,7 of page 2 of scan.tif`."""
    if searched.medium.in_seconds:
        place = f"at {at[0] / (searched.rate or 1):.3f} s"
    elif len(at) == 2:
        place = f"at {at[1]},{at[0]}"
    else:
        place = f"from data row {at[0] + 1}"
    if "page" in searched.details:
        place += f" of page {searched.details['page']}"
    return f"{place} of {searched.label}"
