"""What a search found, and how it is told."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from convcli.cli.opening import input_name
from convcli.facts import InputFacts
from convcli.media.images.medium import IMAGE
from convcli.signals import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from convcli.detecting.detect import Found, Place
    from convcli.facts import RunFacts
    from convcli.signals import Medium, Signal

    Cell = str | int | float

# Digits after the point of seconds and of scores.
DIGITS = 6


@dataclass(kw_only=True)
class Searched:
    """One input, or one page of it. read : samples along axis 0; best : the highest score and where it is."""

    path: Path | None
    page: int | None
    signal: Signal
    read: int = 0
    best: tuple[float, tuple[int, ...]] | None = None

    def remember(self, found: Found) -> None:
        """Keep the best place, however low it scores."""
        if self.best is None or found.best[0] > self.best[0]:
            self.best = found.best

    @property
    def where_best(self) -> str:
        """`at 1.53 s of talk.wav`."""
        at = self.best[1] if self.best is not None else ()
        if self.signal.medium.in_seconds:
            place = f"at {at[0] / (self.signal.rate or 1):.3f} s"
        elif self.signal.axes == 2:
            place = f"at {at[1]},{at[0]}"
        else:
            place = f"from data row {at[0] + 1}"
        page = f"page {self.page} of " if self.page is not None else ""
        return f"{place} of {page}{input_name(self.path)}"

    def facts(self, details: dict[str, Any] | None = None) -> InputFacts:
        """What was read."""
        signal = self.signal
        return InputFacts(
            path=str(self.path or "-"),
            medium=signal.medium.name,
            shape=(self.read, *signal.shape[1:]),
            channels=signal.channels,
            rate=signal.rate,
            details=(details or {}) | ({} if self.page is None else {"page": self.page}),
        )


@dataclass(kw_only=True)
class Telling:
    """How hits are told: which columns there are depends on what was asked for and on what was searched.

    times : the cells of the time column at the first and last row of every place that was found
    """

    searched: list[Searched] = field(default_factory=list)
    templates: Sequence[str] = ()
    grouped: bool = False
    times: list[tuple[str, str]] = field(default_factory=list)

    def names(self, medium: Medium, *, timed: bool) -> list[str]:
        """The columns."""
        names = ["file"]
        names += ["template"] if len(self.templates) > 1 else []
        names += ["page"] if any(each.page is not None for each in self.searched) else []
        names += ["group"] if self.grouped else []
        names += ["x", "y", "width", "height"] if medium is IMAGE else ["start", "end"]
        names += ["start_time", "end_time"] if timed else []
        return [*names, "score"]

    def cells(self, place: Place) -> dict[str, Cell]:
        """A hit by the names of its columns."""
        of = self.searched[place.source]
        cells: dict[str, Cell] = {"file": str(of.path or "-")}
        if len(self.templates) > 1:
            cells["template"] = self.templates[place.template]
        if any(each.page is not None for each in self.searched):
            cells["page"] = of.page or 1
        if self.grouped:
            from convcli.media.tables.delimited import group_name

            cells["group"] = group_name(place.group)
        return {**cells, **self._extent(place, of.signal), "score": round(place.score, DIGITS)}

    def _extent(self, place: Place, signal: Signal) -> dict[str, Cell]:
        if signal.axes == 2:
            (y, x), (height, width) = place.at, place.size
            return {"x": x, "y": y, "width": width, "height": height}
        if signal.medium.in_seconds:
            rate = signal.rate or 1.0
            return {
                "start": round(place.first / rate, DIGITS),
                "end": round((place.last + 1) / rate, DIGITS),
            }
        extent: dict[str, Cell] = {"start": place.first + 1, "end": place.last + 1}
        if self.times:
            extent["start_time"], extent["end_time"] = self.times[place.number]
        return extent


def as_csv(hits: Sequence[dict[str, Cell]], names: Sequence[str]) -> str:
    """A header and a line for each hit."""
    told = (
        [f"{cell:.{DIGITS}f}" if isinstance(cell, float) else cell for cell in hit.values()]
        for hit in hits
    )
    return as_cells([names, *told])


def as_cells(rows: Iterable[Sequence[object]]) -> str:
    """Rows of cells as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def as_json(facts: RunFacts) -> str:
    """The facts of the run and the hits as one flat object."""
    run = facts.to_dict()
    kept = {name: run[name] for name in ("version", "command", "inputs", "warnings", "seconds")}
    return (
        json.dumps({**kept, **run["detection"]}, indent=2, ensure_ascii=False, allow_nan=False)
        + "\n"
    )


def put(text: str, place: Path | None = None) -> None:
    """Write to `place`, or to standard output; the bytes of file names as they are."""
    data = text.encode("utf-8", "surrogateescape")
    if place is not None:
        from convcli.media.outputs import open_output

        with open_output(place, medium=TABLE) as file:
            if hasattr(file, "write_bytes"):
                file.write_bytes(data)
            else:
                file.write(data)
    elif sys.stdout is not None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
