"""Which pages of a file of several pictures are wanted: `3`, `3-7`, `2-` or `1,4-6`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

_RANGE = re.compile(r"\s*([0-9]{1,18})\s*(?:(-)\s*([0-9]{1,18})?\s*)?", re.ASCII)
_HINT = "pages count from 1: --pages 3, --pages 3-7, --pages 2- (to the last) or --pages 1,4-6"


@dataclass(frozen=True)
class PageRange:
    """Consecutive pages, `first` to `last`, which count from 1; `last` is None for the last one."""

    first: int
    last: int | None

    @property
    def text(self) -> str:
        """The range as it is written: `3`, `3-7` or `2-`."""
        if self.last == self.first:
            return str(self.first)
        return f"{self.first}-{'' if self.last is None else self.last}"


@dataclass(frozen=True)
class PageChoice:
    """Pages of a file in the order in which they are wanted."""

    ranges: tuple[PageRange, ...]

    @property
    def text(self) -> str:
        """The pages as they are written: `1,4-6`."""
        return ",".join(each.text for each in self.ranges)

    def indices(self, count: int, name: str) -> list[int]:
        """The pages as indices from 0.

        count : pages in the file
        name : of the file, for the RequestError about a page that it does not have, or that is
            named twice
        """
        chosen: dict[int, None] = {}
        for each in self.ranges:
            last = count if each.last is None else each.last
            largest = max(each.first, last)
            if largest > count:
                raise RequestError(
                    f"--pages asks for page {largest}, but {name} has {plural(count, 'page')}",
                    hint=_HINT,
                )
            for number in range(each.first, last + 1):
                if number - 1 in chosen:
                    raise RequestError(f"--pages names page {number} twice", hint=_HINT)
                chosen[number - 1] = None
        return list(chosen)


def parse_pages(text: str) -> PageChoice:
    """The pages that `3`, `3-7`, `2-` or `1,4-6` stand for.

    Raises
    ------
    RequestError
        for other text, page 0, or a range whose end comes before its start
    """
    return PageChoice(tuple(_page_ranges(text)))


def _page_ranges(text: str) -> Iterator[PageRange]:
    """Yield the ranges that commas separate; a range without an end has no last page."""
    for part in text.split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            raise RequestError(f"--pages expects numbers of pages, got {part!r}", hint=_HINT)
        first = int(found[1])
        has_dash, end = found[2], found[3]
        last: int | None = first
        if has_dash:
            last = int(end) if end else None
        if first < 1 or (last is not None and last < first):
            raise RequestError(f"--pages {part.strip()} names no page", hint=_HINT)
        yield PageRange(first, last)
