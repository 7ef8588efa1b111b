"""Search of several inputs for several templates, and its facts: the best hits of all inputs."""

from __future__ import annotations

import math
from dataclasses import field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.detecting.peaks import suppress_overlaps
from convcli.detecting.search import SignalSearch
from convcli.detecting.templates import size_text
from convcli.errors import ConditionError, RequestError
from convcli.facts import InputFacts, LossFacts
from convcli.facts.detection import DetectionFacts, FoundHits, LargerTemplate
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from convcli.detecting.search import Candidates
    from convcli.detecting.templates import LoadedTemplate, PreparedTemplate
    from convcli.errors import ConvcliError
    from convcli.facts.detection import Hit
    from convcli.signals import Signal, Source

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
    losses : the missing samples of each of them
    larger : the templates that are larger than one of them
    """

    templates: Sequence[LoadedTemplate]
    threshold: float
    overlap: float = 0.0
    top: int | None = None
    threads: int | None = None
    group_name: Callable[[bytes], str] | None = None
    timed: bool = False
    inputs: list[InputFacts] = field(default_factory=list)
    losses: list[LossFacts] = field(default_factory=list)
    larger: list[LargerTemplate] = field(default_factory=list)
    _found: list[_SectionCandidates] = field(default_factory=list)
    _best: _SectionCandidates | None = None

    def afresh(self, threads: int | None) -> Detection:
        """Return a search by the same rules that has searched no input yet."""
        return Detection(
            templates=self.templates,
            threshold=self.threshold,
            overlap=self.overlap,
            top=self.top,
            threads=threads,
            group_name=self.group_name,
            timed=self.timed,
        )

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
        self._note_input(search, source.signal, name=name, page=page)
        self._found += found
        self._best = best

    def _note_input(
        self, search: SignalSearch, signal: Signal, *, name: str, page: int | None
    ) -> None:
        """Note the input that was searched, and the templates that are larger than it."""
        shape = (search.read, *signal.shape[1:])
        details = {} if page is None else {"page": page}
        searched = InputFacts.of(name, signal, shape=shape, details=details)
        self.inputs.append(searched)
        self.losses.append(LossFacts(missing=search.missing))
        for number in sorted(search.too_large):
            template = search.templates[number]
            larger = _larger_template(template, searched, signal)
            if search.longest < search.read:
                larger = replace(
                    larger,
                    searched=f"the longest group of {larger.searched}",
                    searched_size=size_text((search.longest,), signal),
                )
            self.larger.append(larger)

    def found(self, notes: Iterable[tuple[str, str]] = ()) -> FoundHits:
        """Return what was found in the inputs that were searched.

        notes : notes and warnings about them, each with its kind
        """
        best = self._best
        score = None
        place = ""
        if best is not None:
            score = best.candidates.best
            place = _place_text(self.inputs[best.input], best.candidates.best_at)
        return FoundHits(
            inputs=tuple(self.inputs),
            hits=tuple(self._hits()),
            best_score=score,
            best_place=place,
            notes=tuple(notes),
            larger=tuple(self.larger),
        )

    def facts(self) -> DetectionFacts:
        """Return the facts of the search, with the best hits that overlap no better one."""
        return self.facts_of(self.found())

    def facts_of(self, found: FoundHits) -> DetectionFacts:
        """Return the facts of a search for these templates that has found this in all inputs."""
        columns = self.columns_of(found)
        templates = tuple(template.facts() for template in self.templates)
        return DetectionFacts(
            templates=templates,
            threshold=self.threshold,
            overlap=self.overlap,
            top=self.top,
            best_score=found.best_score,
            hits=tuple(_rounded_hit(hit, columns) for hit in found.hits),
        )

    def columns_of(self, found: FoundHits) -> list[str]:
        """Names of the cells that are printed for every hit."""
        names = ["file"]
        if len(self.templates) > 1:
            names.append("template")
        if any("page" in one.details for one in found.inputs):
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
        """Yield all cells of each hit, best score first; of equal scores, the first in the signal.

        The scores are not rounded.
        """
        if not self._found:
            return
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
            yield self._cells(self._found[part], index)

    def _signal_numbers(self) -> list[int]:
        """Number the signals, one for each input and group, for every entry of `_found`."""
        numbers: dict[tuple[int, bytes], int] = {}
        for each in self._found:
            numbers.setdefault((each.input, each.candidates.group), len(numbers))
        return [numbers[each.input, each.candidates.group] for each in self._found]

    def _cells(self, found: _SectionCandidates, index: int) -> Cells:
        """Return the cells of one hit, also those that are not printed."""
        one = self.inputs[found.input]
        candidates = found.candidates
        cells: Cells = {
            "file": one.path,
            "template": self.templates[candidates.template].name,
            "page": found.page,
            "score": float(candidates.score[index]),
            **found.extent(index, one),
        }
        if self.group_name is not None:
            cells["group"] = self.group_name(candidates.group)
        if self.timed:
            cells["start_time"], cells["end_time"] = found.times[index]
        return cells


def joined_hits(found: Iterable[FoundHits], top: int | None) -> FoundHits:
    """What was found in consecutive inputs, put together. The operation is associative.

    top : the largest number of hits; None for all

    The best hit comes first, and of hits with equal scores the one of the earlier input.
    """
    inputs: list[InputFacts] = []
    hits: list[Hit] = []
    notes: dict[tuple[str, str], None] = {}
    larger: list[LargerTemplate] = []
    best = FoundHits()
    for one in found:
        inputs += one.inputs
        hits += one.hits
        notes |= dict.fromkeys(one.notes)
        larger += one.larger
        if one.best_score is not None and one.best_score > _score_or_least(best):
            best = one
    hits.sort(key=_descending_score)
    return FoundHits(
        inputs=tuple(inputs),
        hits=tuple(hits[:top]),
        best_score=best.best_score,
        best_place=best.best_place,
        notes=tuple(notes),
        larger=tuple(larger),
    )


def _score_or_least(found: FoundHits) -> float:
    return -math.inf if found.best_score is None else found.best_score


def _descending_score(hit: Hit) -> float:
    return -float(hit["score"])


def _rounded_hit(hit: Hit, columns: Sequence[str]) -> Hit:
    """The cells of a hit that are printed, with a rounded score."""
    rounded = {**hit, "score": round(float(hit["score"]), HIT_DIGITS)}
    return {name: rounded[name] for name in columns}


def larger_texts(larger: Iterable[LargerTemplate]) -> list[str]:
    """A sentence for each template that is larger than some inputs."""
    by_template: dict[str, list[LargerTemplate]] = {}
    for each in larger:
        by_template.setdefault(each.template, []).append(each)
    return [_larger_text(some) for some in by_template.values()]


def _larger_text(some: Sequence[LargerTemplate]) -> str:
    """A sentence about the inputs that are smaller than one template."""
    first = some[0]
    text = (
        f"{first.template}, {first.template_size}, "
        f"is larger than {first.searched}, {first.searched_size}"
    )
    if len(some) > 1:
        text += f", and than {plural(len(some) - 1, 'other input')}"
    return text


def nothing_found(found: FoundHits) -> ConvcliError:
    """Return the error that says that there are no hits, and how near the best score came.

    Raises RequestError if no input is as large as a template, so that no place was compared.
    """
    score = found.best_score
    if score is None and found.larger:
        return RequestError(
            larger_texts(found.larger)[0],
            hint="a template is a short part of what is searched",
        )
    if score is None or score <= 0:
        return ConditionError("nothing found: no place is like the template")
    # Rounded down, so that the threshold of the hint accepts the best score.
    lower = math.floor(score * 100) / 100
    return ConditionError(
        f"nothing found: the best score is {score:.3g}, {found.best_place}",
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


def _larger_template(
    template: PreparedTemplate, searched: InputFacts, signal: Signal
) -> LargerTemplate:
    """The note that a template is larger than an input; lengths that are not known are 0."""
    shape = tuple(n or 0 for n in searched.shape)
    return LargerTemplate(
        template=template.name,
        template_size=size_text(template.size, signal),
        searched=searched.page_label,
        searched_size=size_text(shape, signal),
    )


def _place_text(searched: InputFacts, at: tuple[int, ...]) -> str:
    """Describe a position: `at 1.53 s of talk.wav`, `at 12,7 of page 2 of scan.tif`."""
    if searched.medium.in_seconds:
        place = f"at {at[0] / (searched.rate or 1):.3f} s"
    elif len(at) == 2:
        place = f"at {at[1]},{at[0]}"
    else:
        place = f"from data row {at[0] + 1}"
    return f"{place} of {searched.page_label}"
