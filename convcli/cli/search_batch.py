"""The inputs of a search as units of work: on this machine, a share of them, or on a cluster."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

from convcli.batch.ledger_line import RunIdentity
from convcli.batch.units import InputUnits
from convcli.cli.batch_run import BatchRequest, BatchRun
from convcli.cli.results import refuse_place, refuse_plot, refuse_report
from convcli.cli.search_work import Search, SearchResults, SearchWork
from convcli.digests import blake2b
from convcli.facts import InputFacts, RunFacts
from convcli.facts.detection import FoundHits, LargerTemplate
from convcli.media.output_names import OneOutput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from convcli.batch.earlier_runs import EarlierRuns
    from convcli.batch.ledger_line import Line
    from convcli.batch.listing import Listing
    from convcli.batch.units import Unit, Units
    from convcli.places import Place


class SearchBatch(BatchRun):
    """The inputs of a search as units of work.

    results : what was found in them
    places : `-o`, `--report` and `--mark`
    """

    def __init__(
        self,
        request: BatchRequest,
        search: Search,
        results: SearchResults,
        places: Mapping[str, Place | None],
    ) -> None:
        super().__init__(request, Event())
        self._search = search
        self._results = results
        self._named_places = places

    def _units(self, listing: Listing) -> Units:
        units = InputUnits(listing.inputs, OneOutput())
        self._refuse_standard_input(units)
        return units

    def _check_reports(self, listing: Listing) -> None:
        places, force = self._named_places, self.request.force
        output = places["-o"]
        if output is not None:
            refuse_place(output, "output", listing.sources(), force=force)
        refuse_report(places["--report"], listing.sources(), force=force)
        refuse_plot(places["--mark"], listing.sources(), force=force)

    def _places(self) -> dict[str, Place | None]:
        return {"--report": self._named_places["--report"], "--mark": self._named_places["--mark"]}

    def _outputs(self, units: Units) -> Sequence[Place | None]:
        return [self._named_places["-o"]]

    def _identity(self, units: Units) -> RunIdentity:
        detection = self._search.detection
        names = [template.name for template in detection.templates]
        return RunIdentity(
            units=len(units),
            listing=units.identity,
            filter=f"detect {' '.join(names)}",
            request=_search_identity(self._search),
            shards=self.shard.count,
            holds_results=True,
        )

    def _work(self, *, alone: bool) -> SearchWork:
        return SearchWork(
            search=self._search,
            retries=self.batch.retries,
            alone=alone,
            stopping=self.stopping,
        )

    def _take(self, number: int, facts: RunFacts) -> int:
        self._results.take(number, facts)
        return 0

    def _take_earlier(self, done: Iterable[Unit], earlier: EarlierRuns) -> None:
        units = list(done)
        for unit, line in zip(units, earlier.lines_of(units), strict=True):
            if line is not None:
                found = _found_of_line(line, str(unit.source or "-"), self._search)
                self._results.keep(unit.number, found)

    def _finish(self) -> None:
        """Keep the failures: the command writes what was found."""
        self._results.failures = self.failed.in_order


def _search_identity(search: Search) -> str:
    """A short text that two searches have in common if they find the same in every input."""
    detection = search.detection
    rules = (detection.threshold, detection.overlap, detection.top, detection.timed)
    options = (rules, search.files, search.time_column)
    digest = blake2b(repr(options).encode("utf-8", "surrogatepass"), digest_size=8)
    for template in detection.templates:
        digest.update(repr((template.name, template.x.shape, template.signal)).encode())
        digest.update(template.x.tobytes())
    return digest.hexdigest()


def _found_of_line(line: Line, name: str, search: Search) -> FoundHits:
    """What an earlier run has found in an input, from its line in the ledger.

    name : of the input, whose bytes the line need not hold
    """
    plain: Any = line.result
    return FoundHits(
        inputs=tuple(_input_facts(each, name, search) for each in plain["inputs"]),
        hits=tuple({**hit, "file": name} for hit in plain["hits"]),
        best_score=plain["best_score"],
        best_place=plain["best_place"],
        notes=tuple((kind, text) for kind, text in plain["notes"]),
        larger=tuple(LargerTemplate(**each) for each in plain["larger"]),
    )


def _input_facts(plain: Mapping[str, Any], name: str, search: Search) -> InputFacts:
    return InputFacts(
        path=name,
        medium=search.files.medium,
        signal=plain["signal"],
        shape=tuple(plain["shape"]),
        channels=tuple(plain["channels"]),
        rate=plain["rate"],
        details=plain["details"],
    )
