"""Dates written as those of a table are, in what the directives of strptime leave open."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convcli.array_types import IntArray

_DIRECTIVE = re.compile(r"(%[A-Za-z%])")
# Directives that stand for one digit or two.
_MAY_BE_SHORT = frozenset({"%d", "%m", "%H", "%I"})
# Patterns of what may stand for a directive.
_TEXT_OF = {
    **dict.fromkeys(_MAY_BE_SHORT, r"\d{1,2}"),
    **dict.fromkeys(("%y", "%M", "%S"), r"\d\d"),
    **dict.fromkeys(("%a", "%A", "%b", "%B", "%Z"), r"\w+?"),
    "%Y": r"\d{4}",
    "%f": r"\d+",
    "%p": r"[AaPp][Mm]",
    "%z": r"(?:Z|[+-]\d\d(?::?\d\d)?)",
}


@dataclass(frozen=True)
class DateSpelling:
    """How the dates of a table are spelled.

    short : the directives written in one digit where one is enough: 1/2/2024
    digits : of a fraction of a second
    small : half days are am and pm, not AM and PM
    """

    short: tuple[str, ...]
    digits: int
    small: bool

    @classmethod
    def of(cls, form: str, texts: Iterable[bytes]) -> DateSpelling:
        """Return the spelling of dates in the format `form`."""
        found = list(_parts_of_dates(form, texts))
        short = {name for name, part in found if len(part) == 1}
        short &= _MAY_BE_SHORT
        digits = [len(part) for name, part in found if name == "%f"]
        halves = [part for name, part in found if name == "%p"]
        return cls(
            short=tuple(sorted(short)),
            digits=max(digits, default=6),
            small=any(map(str.islower, halves)),
        )

    def texts(self, moments: IntArray, form: str) -> list[bytes]:
        """Return moments, in nanoseconds, in the format `form`."""
        pieces = [self._piece(moments, part) for part in _DIRECTIVE.split(form) if part]
        return ["".join(text).encode() for text in zip(*pieces, strict=True)]

    def _piece(self, moments: IntArray, part: str) -> list[str]:
        """The texts for one directive, or for what stands between two."""
        if part == "%f":
            return [f"{moment % 1_000_000_000:09d}"[: self.digits] for moment in moments.tolist()]
        texts = _strftime(moments, part)
        if part in self.short:
            return [text[1:] if text[0] == "0" else text for text in texts]
        if part == "%p" and self.small:
            return [text.lower() for text in texts]
        return texts


def _strftime(moments: IntArray, form: str) -> list[str]:
    import pandas as pd

    texts: Any = pd.DatetimeIndex(moments.view("datetime64[ns]")).strftime(form)
    return [str(text) for text in texts]


def _parts_of_dates(form: str, texts: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Yield each different part of dates with its directive; nothing for other formats."""
    parts = _DIRECTIVE.split(form)
    names = parts[1::2]
    if not set(names) & {*_MAY_BE_SHORT, "%f", "%p"} or not set(names) <= _TEXT_OF.keys():
        return
    pattern = "".join(_pattern_of(part) for part in parts)
    dates = re.compile(pattern)
    found: set[tuple[str, str]] = set()
    for text in texts:
        date = dates.fullmatch(text.decode("utf-8", "replace"))
        if date is not None:
            found.update(zip(names, date.groups(), strict=True))
    yield from found


def _pattern_of(part: str) -> str:
    if part.startswith("%"):
        return f"({_TEXT_OF[part]})"
    return re.escape(part)
