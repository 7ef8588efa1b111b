"""The blocks of two signals, cut so that equal numbers of samples are compared.

`compare` and learning read pairs of signals through it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.signals import Array


class SideBySide:
    """Blocks of two signals cut to equal shapes, up to the end of the shorter one.

    Iterate over it once; `left_over` then counts the samples without a counterpart.
    """

    def __init__(self, xs: Iterator[Array], ys: Iterator[Array]) -> None:
        self._xs = xs
        self._ys = ys
        self._rest: tuple[Array | None, Array | None] = (None, None)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        x: Array | None = None
        y: Array | None = None
        while True:
            if x is None or not len(x):
                x = next(self._xs, None)
            if y is None or not len(y):
                y = next(self._ys, None)
            if x is None or y is None:
                break
            sides = zip(x.shape[:-1], y.shape[:-1], strict=True)
            common = tuple(slice(min(pair)) for pair in sides)
            yield x[common], y[common]
            x = x[common[0].stop :]
            y = y[common[0].stop :]
        self._rest = (x, y)

    @property
    def ended_together(self) -> bool:
        """Whether both signals had the same number of samples along axis 0."""
        return not any(len(rest) for rest in self._rest if rest is not None)

    def left_over(self) -> tuple[int, int]:
        """Samples along axis 0 of each signal past the end of the other; reads them all."""
        x, y = self._rest
        return self._count(x, self._xs), self._count(y, self._ys)

    @staticmethod
    def _count(rest: Array | None, blocks: Iterator[Array]) -> int:
        if rest is None:
            return 0
        still_to_come = sum(len(block) for block in blocks)
        return len(rest) + still_to_come
