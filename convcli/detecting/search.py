"""Search of one signal, or of each group of a table, for templates.

The signal is cut into overlapping sections, which are scored in any thread. The templates decide
where the sections begin, not the blocks of the input: blocks of any size give the same bits.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.missing import count_missing
from convcli.dataclass import dataclass
from convcli.detecting.peaks import local_maxima
from convcli.running.workers import Workers
from convcli.signals import blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from convcli.detecting.templates import PreparedTemplate
    from convcli.signals import Array, Block, Rows, Source


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The local maxima of the score of one template in one section that reach the threshold.

    template : number of the template
    group : name of the signal where several are interleaved
    at : (m, axes) first sample of each candidate
    score : (m,)
    rows : (m, 2) rows of the input along axis 0 of the first and the last sample of each candidate
    best : the highest score of the section, even one below the threshold
    best_at : row of the input along axis 0, and position along the other axes, of the best score
    earliest_next : no later candidate begins in a row before this one
    """

    template: int
    group: bytes
    at: Rows
    score: Array
    rows: Rows
    best: float
    best_at: tuple[int, ...]
    earliest_next: int


@dataclass(kw_only=True)
class SignalSearch:
    """A search of one source for templates.

    read : samples along axis 0 that were read so far
    missing : how many of them are missing, by the names of the channels
    longest : of these the samples of the longest group, or all; known after the search
    too_large : numbers of the templates that are larger than the signal, known after the search
    """

    templates: Sequence[PreparedTemplate]
    threshold: float
    threads: int | None = None
    read: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    longest: int = 0
    too_large: set[int] = field(default_factory=set)

    def run(self, source: Source[Any]) -> Iterator[Candidates]:
        """Yield the candidates of each section and template in the order of the signal.

        A signal that is known to be smaller than all templates is not read.
        """
        shape = source.signal.shape
        self._note_too_large(shape)
        if len(self.too_large) == len(self.templates):
            self.read = self.longest = shape[0] or 0
            return
        score = partial(_score_section, self.templates, self.threshold)
        with Workers(self.threads) as workers:
            blocks = self._counted(blocks_of(source, workers.map), source.signal.channels)
            sections = self._sections(blocks)
            for candidates in workers.map(score, sections):
                yield from candidates

    def _note_too_large(self, shape: Sequence[int | None]) -> None:
        """Note the templates that are larger than a signal; None is a length that is not known."""
        for number, template in enumerate(self.templates):
            sides = zip(template.size, shape, strict=True)
            if any(length is not None and needed > length for needed, length in sides):
                self.too_large.add(number)

    def _counted(self, blocks: Iterable[Block], channels: Sequence[str]) -> Iterator[Block]:
        """Yield the blocks, and count the missing samples of each channel."""
        for block in blocks:
            counts = count_missing(block.stored).tolist()
            self.missing.update(dict(zip(channels, counts, strict=True)))
            yield block

    def _sections(self, blocks: Iterable[Block]) -> Iterator[_Section]:
        longest_template = max(template.size[0] for template in self.templates)
        hop = max(template.template.places_at_once for template in self.templates)
        buffers: dict[bytes, _SectionBuffer] = {}
        self.read = 0
        for block in blocks:
            for group, x, places in block.by_group():
                if group not in buffers:
                    buffers[group] = _SectionBuffer(group, longest_template, hop)
                rows = None if block.groups is None else self.read + np.asarray(places)
                for section in buffers[group].push(x, rows):
                    earliest_next = min(buffer.oldest_row for buffer in buffers.values())
                    yield replace(section, earliest_next=earliest_next)
            self.read += len(block.x)
        self.longest = max((buffer.received for buffer in buffers.values()), default=0)
        across = self.templates[0].size[1:]
        self._note_too_large((self.longest, *(None for _ in across)))
        for buffer in buffers.values():
            yield buffer.last_section()


@dataclass(frozen=True, kw_only=True)
class _Section:
    """Samples that are scored together.

    The section finds the hits at the positions [start, stop), or at all from `start` on if `stop`
    is None. Whether a position is a local maximum depends on its neighbours. So `x` begins at
    sample `first` of its signal, which is one before `start` if there is one, and reaches one
    position past `stop`.

    rows : the row of the input of each sample; None if sample i is row i
    """

    group: bytes
    x: Array
    rows: Rows | None
    first: int
    start: int
    stop: int | None
    earliest_next: int = 0

    def row_of(self, sample: Any) -> Any:
        """Map indices into `x` to rows of the input."""
        if self.rows is None:
            return sample + self.first
        return self.rows[sample]


@dataclass
class _SectionBuffer:
    """Buffers one signal and cuts it into sections of `hop` positions.

    size : samples of the longest template along axis 0
    received : samples so far
    first, start : of the next section
    blocks, row_blocks : samples from `first` on, and their rows if signals are interleaved
    """

    group: bytes
    size: int
    hop: int
    received: int = 0
    first: int = 0
    start: int = 0
    blocks: list[Array] = field(default_factory=list)
    row_blocks: list[Rows] = field(default_factory=list)

    @property
    def oldest_row(self) -> int:
        """Row of the first sample that is still needed."""
        if not self.row_blocks:
            return self.first
        rows = self.row_blocks[0]
        return int(rows[0])

    def push(self, x: Array, rows: Any) -> Iterator[_Section]:
        """Append samples, and yield the sections that are complete."""
        self.blocks.append(x)
        if rows is not None:
            self.row_blocks.append(rows)
        self.received += len(x)
        while self.received >= self.start + self.hop + self.size:
            stop = self.start + self.hop
            section = self._section(stop, stop + self.size)
            self.start = stop
            passed = stop - 1 - self.first
            self.first = stop - 1
            self.blocks = [block[passed:] for block in self.blocks]
            self.row_blocks = [block[passed:] for block in self.row_blocks]
            yield section

    def last_section(self) -> _Section:
        """Return the samples that are left at the end of the signal."""
        return self._section(None, self.received)

    def _section(self, stop: int | None, end: int) -> _Section:
        if len(self.blocks) > 1:
            self.blocks = [np.concatenate(self.blocks)]
        if len(self.row_blocks) > 1:
            self.row_blocks = [np.concatenate(self.row_blocks)]
        length = end - self.first
        rows = None
        if self.row_blocks:
            rows = self.row_blocks[0][:length]
        return _Section(
            group=self.group,
            x=self.blocks[0][:length],
            rows=rows,
            first=self.first,
            start=self.start,
            stop=stop,
        )


def _score_section(
    templates: Sequence[PreparedTemplate], threshold: float, section: _Section
) -> list[Candidates]:
    """Score a section with every template. The function is pure: any thread may call it."""
    found = []
    for number, template in enumerate(templates):
        size = template.size[0]
        x = section.x
        if section.stop is not None:
            x = x[: section.stop + size - section.first]
        if all(n >= k for n, k in zip(x.shape, template.size, strict=False)):
            score = template.scores(x)
            found.append(_section_candidates(score, section, number, size, threshold))
    return found


def _section_candidates(
    score: Array, section: _Section, template: int, size: int, threshold: float
) -> Candidates:
    """Pick the local maxima of `score` at the positions of the section itself."""
    at, values = local_maxima(score, threshold)
    starts = at[:, 0].copy()
    at[:, 0] += section.first
    decided = at[:, 0] >= section.start
    if section.stop is not None:
        decided &= at[:, 0] < section.stop
    extent = starts[decided, None] + np.array([0, size - 1])
    best, *best_across = (int(i) for i in np.unravel_index(np.argmax(score), score.shape))
    return Candidates(
        template=template,
        group=section.group,
        at=at[decided],
        score=values[decided],
        rows=section.row_of(extent),
        best=float(score[(best, *best_across)]),
        best_at=(int(section.row_of(best)), *best_across),
        earliest_next=section.earliest_next,
    )
