"""Facts of `--causal-check`: which outputs change when later rows become known."""

from __future__ import annotations

import math
from dataclasses import replace

from convcli.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class ColumnVerdict:
    """One column of one group, filtered both in prefixes of the data and in the whole.

    row : the first data row whose output differs, counted from 1; None if no output differs
    whole, prefix : the output there in the whole and in the prefix; None if there is no output
    known : how many rows of the group that prefix held
    difference : between `whole` and `prefix`; None if either is missing
    largest : the largest difference in any row
    """

    column: str
    group: str = ""
    row: int | None = None
    whole: float | None = None
    prefix: float | None = None
    known: int | None = None
    difference: float | None = None
    largest: float = 0.0

    def with_outputs(self, whole: float | None, prefix: float | None) -> ColumnVerdict:
        """Return the verdict with these outputs of the first row that differs."""
        difference = None
        if whole is not None and prefix is not None and not math.isnan(whole - prefix):
            difference = abs(whole - prefix)
        return replace(self, whole=whole, prefix=prefix, difference=difference)


@dataclass(frozen=True, kw_only=True)
class CausalityFacts:
    """Result of `--causal-check`.

    prefixes : how many prefixes were filtered
    columns : one verdict for each column of each group
    """

    prefixes: int
    columns: tuple[ColumnVerdict, ...] = ()

    @property
    def changed(self) -> tuple[ColumnVerdict, ...]:
        """Verdicts on columns of which an output differs."""
        return tuple(each for each in self.columns if each.row is not None)
