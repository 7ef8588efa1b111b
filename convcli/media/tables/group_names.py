"""Groups of rows, named by the cells of the columns of --by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.media.tables.numerals import distinct_texts
from convcli.signals import Groups

if TYPE_CHECKING:
    from convcli.media.tables.cells import Cells

# Between the keys of a group. No cell holds it: a table with a zero byte is refused.
BETWEEN_KEYS = b"\0"


def group_name(inner: bytes) -> str:
    """The name of a group whose cells hold `inner` between their quotes.

    >>> group_name(b'5 ""wide"" shelf'), group_name(b"MSFT" + BETWEEN_KEYS + b"2024")
    ('5 "wide" shelf', 'MSFT,2024')
    """
    shown = inner.replace(b'""', b'"').replace(BETWEEN_KEYS, b",")
    return shown.decode("utf-8", "surrogateescape")


def joined_groups(first: Groups, second: Groups) -> Groups:
    """The groups of rows that agree in both keys, in order of appearance."""
    pairs = first.codes * len(second.names) + second.codes
    found, first_rows, codes = np.unique(pairs, return_index=True, return_inverse=True)
    order = np.argsort(first_rows)
    names = []
    for pair in found[order].tolist():
        one, other = divmod(pair, len(second.names))
        names.append(first.names[one] + BETWEEN_KEYS + second.names[other])
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return Groups(names, places[codes])


def named_groups(cells: Cells) -> Groups:
    """The group of each row, named by the cells of one column without their quotes."""
    names, codes = distinct_texts(cells if cells.bare else cells.unquoted())
    return Groups(names, codes)
