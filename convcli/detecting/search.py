"""Search of one signal, or of each group of a table, for templates.

The signal is cut into overlapping sections, which are scored in any thread. The templates decide
where the sections begin, not the blocks of the input: blocks of any size give the same bits.
"""

from __future__ import annotations

from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.detecting.peaks import local_maxima
from convcli.detecting.templates import size_text
from convcli.errors import RequestError
from convcli.running.workers import Workers
from convcli.signals import blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from convcli.detecting.templates import PreparedTemplate
    from convcli.signals import Array, Block, Rows, Signal, Source


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
    settled : no later candidate begins in a row before this one
    """

    template: int
    group: bytes
    at: Rows
    score: Array
    rows: Rows
    best: float
    best_at: tuple[int, ...]
    settled: int


@dataclass(kw_only=True)
class SignalSearch:
    """A search of one source for templates.

    read : samples along axis 0 that were read so far
    """

    templates: Sequence[PreparedTemplate]
    threshold: float
    threads: int | None = None
    read: int = 0

    def run(self, source: Source[Any]) -> Iterator[Candidates]:
        """Yield the candidates of each section and template in the order of the signal.

        Raises RequestError if a template is larger than the signal.
        """
        signal = source.signal
        for template in self.templates:
            for needed, length in zip(template.size, signal.shape, strict=True):
                if length is not None and needed > length:
                    lengths = tuple(n or 0 for n in signal.shape)
                    raise _too_large(template, signal, lengths)
        score = partial(_score_section, self.templates, self.threshold)
        with Workers(self.threads) as workers:
            sections = self._sections(blocks_of(source, workers.map), signal)
            for candidates in workers.map(score, sections):
                yield from candidates

    def _sections(self, blocks: Iterable[Block], signal: Signal) -> Iterator[_Section]:
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
                    settled = min(buffer.oldest_row for buffer in buffers.values())
                    yield replace(section, settled=settled)
            self.read += len(block.x)
        longest_signal = max((buffer.received for buffer in buffers.values()), default=0)
        for template in self.templates:
            if template.size[0] > longest_signal:
                raise _too_large(template, signal, (longest_signal, *template.size[1:]))
        for buffer in buffers.values():
            yield buffer.last_section()


def _too_large(template: PreparedTemplate, signal: Signal, shape: tuple[int, ...]) -> RequestError:
    return RequestError(
        f"the template {template.name}, {size_text(template.size, signal)}, "
        f"is larger than the searched signal, {size_text(shape, signal)}"
    )


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
    settled: int = 0

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
        if len(x) >= size:
            score = template.scores(x)
            found.append(_candidates(score, section, number, size, threshold))
    return found


def _candidates(
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
        settled=section.settled,
    )
