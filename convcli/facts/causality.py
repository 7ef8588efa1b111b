"""What a filter says of rows before and after it saw the ones that follow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PrefixFacts:
    """One column, of one group, filtered in prefixes of the data and in the whole.

    row : the first data row whose value changed, from 1, or None; whole, prefix : what it was in both, None for none
    known : how many rows of the group that prefix held
    difference : of the first row that changed; largest : of all rows
    """

    column: str
    group: str = ""
    row: int | None = None
    whole: float | None = None
    prefix: float | None = None
    known: int | None = None
    difference: float | None = None
    largest: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CausalityFacts:
    """What `--causal-check` found.

    prefixes : how many were run; exact : whether bits were compared, else FFT arithmetic has its rounding
    columns : one entry per column and group
    """

    prefixes: int
    exact: bool = True
    columns: tuple[PrefixFacts, ...] = ()

    @property
    def changed(self) -> tuple[PrefixFacts, ...]:
        """Where something changed."""
        return tuple(each for each in self.columns if each.row is not None)
