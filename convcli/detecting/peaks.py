"""Where scores are highest, and which of those places leave each other room."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.signals import Array, Rows

    # First sample and length along each axis.
    Box = list[list[int]]

# Scores that differ by less are the same; of those the first is taken.
DIGITS = 9


def local_maxima(score: Array, threshold: float) -> tuple[Rows, Array]:
    """The places of `score` that reach `threshold` and are exceeded by no neighbour, (m, axes), and their scores.

    score : (n,) or (rows, columns); along two axes a place has eight neighbours
    """
    at = np.stack(
        np.unravel_index(np.flatnonzero(score >= threshold - 10.0**-DIGITS / 2), score.shape),
        axis=1,
    )
    values = score[tuple(at.T)].round(DIGITS)
    keep = np.ones(len(at), bool)
    last = np.array(score.shape) - 1
    for offset in product((-1, 0, 1), repeat=score.ndim):
        near = at + np.array(offset)
        within = np.all((near >= 0) & (near <= last), axis=1)
        beside = score[tuple(np.clip(near, 0, last).T)].round(DIGITS)
        keep &= ~within | (values >= beside)
    return at[keep], values[keep]


def leave_room(at: Rows, size: Rows, signal: Rows, *, overlap: float) -> Iterator[int]:
    """The numbers of the boxes, given best first, that no better one covers by more than `overlap` of the smaller.

    at, size : (m, axes) first sample and length along each axis; signal : (m,) boxes of several signals never meet
    """
    if not len(at):
        return
    cell = size.max(axis=0).tolist()
    beside = list(product((-1, 0, 1), repeat=len(cell)))
    kept: dict[tuple[int, ...], list[Box]] = {}
    for first in range(0, len(at), 4096):
        some = slice(first, first + 4096)
        columns = (at[some].tolist(), size[some].tolist(), signal[some].tolist())
        for number, (*box, of) in enumerate(zip(*columns, strict=True), first):
            home = [place // side for place, side in zip(box[0], cell, strict=True)]
            near = ((of, *(h + o for h, o in zip(home, offset, strict=True))) for offset in beside)
            if all(
                _shared(box, other) <= overlap + 1e-9 for key in near for other in kept.get(key, ())
            ):
                kept.setdefault((of, *home), []).append(box)
                yield number


def _shared(one: Box, other: Box) -> float:
    """The part of the smaller of two boxes that lies in the other."""
    share = 1.0
    for a, n, b, m in zip(*one, *other, strict=True):
        share *= max(0, min(a + n, b + m) - max(a, b)) / min(n, m)
    return share
