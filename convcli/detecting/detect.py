"""Where templates fit: a signal is cut into stretches that overlap, and each is searched in any thread.

The cuts lie where the template puts them and not where blocks happen to end, so that a stream in blocks of any size
gives bit for bit what the whole gives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.detecting.peaks import leave_room, local_maxima
from convcli.detecting.templates import sized
from convcli.errors import RequestError
from convcli.running.workers import Workers
from convcli.signals import blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from convcli.detecting.templates import Fitted
    from convcli.signals import Array, Block, Rows, Signal, Source


# ---------------------------------------------------------------------------------------------------- searching


@dataclass(frozen=True, kw_only=True)
class Found:
    """The places of one stretch at which a template fits: local maxima of the score that reach the threshold.

    template : its number; group : the signal's name where there are several; at : (m, axes) first sample
    score : (m,); rows : (m, 2) first and last sample (row of the input) of each place along axis 0
    best : the highest score of the stretch, however low, and the first sample (row of the input) where it is
    settled : no later place reads a row before this one
    """

    template: int
    group: bytes
    at: Rows
    score: Array
    rows: Rows
    best: tuple[float, tuple[int, ...]]
    settled: int


@dataclass(kw_only=True)
class Search:
    """A search for some templates in one signal, or in each group of a table. read : samples along axis 0 so far."""

    fitted: Sequence[Fitted]
    threshold: float
    threads: int | None = None
    read: int = 0

    def run(self, source: Source[Any]) -> Iterator[Found]:
        """What is found, in the order of the signal. RequestError where a template is larger than all there is."""
        signal = source.signal
        for each in self.fitted:
            for k, n in zip(each.size, signal.shape, strict=True):
                if n is not None and k > n:
                    raise _too_large(each, signal, tuple(size or 0 for size in signal.shape))
        with Workers(self.threads) as workers:
            stretches = self._cut(blocks_of(source, workers.map), signal)
            for found in workers.map(partial(_examine, self.fitted, self.threshold), stretches):
                yield from found

    def _cut(self, blocks: Iterable[Block], signal: Signal) -> Iterator[_Stretch]:
        sizes = [each.size[0] for each in self.fitted]
        hop = max(each.template.stretch for each in self.fitted)
        cutters: dict[bytes, _Cutter] = {}
        self.read = 0
        for block in blocks:
            for group, x, places in block.by_group():
                rows = None if isinstance(places, range) else places + self.read
                cutter = cutters.setdefault(group, _Cutter(group, max(sizes), hop))
                for stretch in cutter.push(x, rows):
                    yield stretch.settled_at(min(each.oldest for each in cutters.values()))
            self.read += len(block.x)
        longest = max((cutter.n for cutter in cutters.values()), default=0)
        for each in self.fitted:
            if each.size[0] > longest:
                raise _too_large(each, signal, (longest, *each.size[1:]))
        for cutter in cutters.values():
            yield cutter.rest()


def _too_large(fitted: Fitted, signal: Signal, shape: tuple[int, ...]) -> RequestError:
    size = sized(fitted.size, signal)
    return RequestError(
        f"the template {fitted.name}, {size}, is larger than what is searched, {sized(shape, signal)}"
    )


@dataclass(frozen=True, kw_only=True)
class _Stretch:
    """Samples from `first` on, and the places [start, stop) to be decided with them; all to the end if `stop` is None.

    Around those places one more is there to each side, where the signal has one: a maximum has neighbours.
    """

    group: bytes
    x: Array
    rows: Rows | None
    first: int
    start: int
    stop: int | None
    settled: int = 0

    def settled_at(self, row: int) -> _Stretch:
        return _Stretch(**{**self.__dict__, "settled": row})


@dataclass
class _Cutter:
    """One signal, cut into stretches of `hop` places for templates of at most `size` samples."""

    group: bytes
    size: int
    hop: int
    n: int = 0
    first: int = 0
    start: int = 0
    kept: list[Array] = field(default_factory=list)
    kept_rows: list[Rows] = field(default_factory=list)

    @property
    def oldest(self) -> int:
        """The row of the first sample that is still needed."""
        return int(self.kept_rows[0][0]) if self.kept_rows else self.first

    def push(self, x: Array, rows: Rows | None) -> Iterator[_Stretch]:
        """Take in the next samples; what can be searched now."""
        self.kept.append(x)
        if rows is not None:
            self.kept_rows.append(rows)
        self.n += len(x)
        while self.n >= self.start + self.hop + self.size:
            stop = self.start + self.hop
            stretch = self._stretch(stop, stop + self.size)
            self.start = stop
            passed, self.first = stop - 1 - self.first, stop - 1
            self.kept = [self.kept[0][passed:]]
            self.kept_rows = [rows[passed:] for rows in self.kept_rows]
            yield stretch

    def rest(self) -> _Stretch:
        """What was waiting for the end."""
        return self._stretch(None, self.n)

    def _stretch(self, stop: int | None, end: int) -> _Stretch:
        self.kept = [np.concatenate(self.kept)] if len(self.kept) > 1 else self.kept
        self.kept_rows = (
            [np.concatenate(self.kept_rows)] if len(self.kept_rows) > 1 else self.kept_rows
        )
        x = self.kept[0][: end - self.first]
        rows = self.kept_rows[0][: end - self.first] if self.kept_rows else None
        return _Stretch(
            group=self.group, x=x, rows=rows, first=self.first, start=self.start, stop=stop
        )


def _examine(fitted: Sequence[Fitted], threshold: float, stretch: _Stretch) -> list[Found]:
    """The places of a stretch at which each template fits. Pure: it runs in any thread."""
    found = []
    for number, each in enumerate(fitted):
        k = each.size[0]
        x = stretch.x if stretch.stop is None else stretch.x[: stretch.stop + k - stretch.first]
        if len(x) < k:
            continue
        samples, opacity = each.view(x)
        score = each.template.scores(samples, opacity=opacity)
        found.append(_places(score, stretch, number, k, threshold))
    return found


def _places(score: Array, stretch: _Stretch, number: int, k: int, threshold: float) -> Found:
    at, values = local_maxima(score, threshold)
    at[:, 0] += stretch.first
    mine = at[:, 0] >= stretch.start
    if stretch.stop is not None:
        mine &= at[:, 0] < stretch.stop
    at, values = at[mine], values[mine]
    peak, *across = (int(i) for i in np.unravel_index(int(np.argmax(score)), score.shape))
    stands = peak + stretch.first if stretch.rows is None else int(stretch.rows[peak])
    starts = at[:, 0] - stretch.first
    extent = starts[:, None] + np.array([0, k - 1])
    rows = extent + stretch.first if stretch.rows is None else stretch.rows[extent]
    return Found(
        template=number,
        group=stretch.group,
        at=at,
        score=values,
        rows=rows,
        best=(float(score[(peak, *across)]), (stands, *across)),
        settled=stretch.settled,
    )


# ----------------------------------------------------------------------------------------------------- choosing


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place that was found.

    number : among all that were found; source : number of the input or page
    at, size : first sample and length along each axis; first, last : sample (row of the input) along axis 0
    """

    number: int
    source: int
    template: int
    group: bytes
    at: tuple[int, ...]
    size: tuple[int, ...]
    first: int
    last: int
    score: float


@dataclass
class Places:
    """All places found so far, in several searches."""

    parts: list[tuple[int, Found, tuple[int, ...]]] = field(default_factory=list)

    def add(self, source: int, found: Found, size: tuple[int, ...]) -> None:
        """Take in what was found in input (or page) `source` with a template of `size`."""
        if len(found.at):
            self.parts.append((source, found, size))

    def choose(self, *, overlap: float, top: int | None = None) -> list[Place]:
        """The best places that leave each other room, best first; of equal ones the first.

        overlap : the part of the smaller of two places that the other may cover; top : so many at most
        """
        if not self.parts:
            return []
        counts = [len(found.at) for _, found, _ in self.parts]
        codes: dict[tuple[int, bytes], int] = {}
        signals = [
            codes.setdefault((source, found.group), len(codes)) for source, found, _ in self.parts
        ]
        at = np.concatenate([found.at for _, found, _ in self.parts])
        size = np.repeat([size for _, _, size in self.parts], counts, axis=0)
        score = np.concatenate([found.score for _, found, _ in self.parts])
        order = np.argsort(-score, kind="stable")
        room = leave_room(
            at[order], size[order], np.repeat(signals, counts)[order], overlap=overlap
        )
        starts = np.cumsum([0, *counts])
        return [self._place(int(order[number]), starts) for number in islice(room, top)]

    def _place(self, number: int, starts: Rows) -> Place:
        part = int(np.searchsorted(starts, number, side="right")) - 1
        source, found, size = self.parts[part]
        i = number - int(starts[part])
        return Place(
            number=number,
            source=source,
            template=found.template,
            group=found.group,
            at=tuple(found.at[i].tolist()),
            size=size,
            first=int(found.rows[i, 0]),
            last=int(found.rows[i, 1]),
            score=float(found.score[i]),
        )
