"""Sums of 2-D correlations by tiles: every plane is transformed once, every answer back once (overlap-save)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.signals import Array

# Beyond this length of a template a tile is no longer five times as long, but twice: memory.
LONG = 256
# A tile has at least this side, which is in the cache with all that is made of it.
LEAST = 320


def tile_side(k: int) -> int:
    """The length of a tile's side for a template of `k` pixels along it: one that transforms well.

    No power of two: its columns share the few lines of the cache that they fall into, and take a third longer.
    """
    import cv2

    side = cv2.getOptimalDFTSize(max(LEAST, (5 if k <= LONG else 2) * k))
    return side if side & (side - 1) else cv2.getOptimalDFTSize(side + 1)


class Correlator:
    """Valid correlations with the same kernels over and over; `sums` may be called from several threads.

    kernels : (height, width) each, all of one shape
    """

    def __init__(self, kernels: Sequence[Array]) -> None:
        self.size: tuple[int, int] = (kernels[0].shape[0], kernels[0].shape[1])
        self._kernels = [np.ascontiguousarray(kernel, np.float64) for kernel in kernels]
        self._spectra: dict[tuple[int, int], list[Any]] = {}

    def _transformed(self, sides: tuple[int, int]) -> list[Any]:
        import cv2

        height, width = self.size
        spectra = []
        for kernel in self._kernels:
            padded = np.zeros(sides)
            padded[:height, :width] = kernel
            spectra.append(cv2.dft(padded))
        return spectra

    def sums(
        self, planes: Sequence[Array], terms: Sequence[Sequence[tuple[int, int]]]
    ) -> list[Array]:
        """For each of `terms`, pairs of a plane and a kernel, the sum of their correlations.

        planes : (rows, columns) each, finite. Returns (rows - height + 1, columns - width + 1) float64 each.
        """
        import cv2

        (height, width), (rows, columns) = self.size, planes[0].shape
        sides = _sides(self.size, (rows, columns))
        spectra = self._spectra.get(sides)
        if spectra is None:  # two threads may both make them: the same
            spectra = self._spectra[sides] = self._transformed(sides)
        answers: list[Array] = [np.empty((rows - height + 1, columns - width + 1)) for _ in terms]
        for top in range(0, rows - height + 1, sides[0] - height + 1):
            for left in range(0, columns - width + 1, sides[1] - width + 1):
                tiles = [cv2.dft(_tile(plane, top, left, sides)) for plane in planes]
                for answer, pairs in zip(answers, terms, strict=True):
                    total: Any = None
                    for plane, kernel in pairs:
                        product = cv2.mulSpectrums(tiles[plane], spectra[kernel], 0, conjB=True)
                        total = product if total is None else cv2.add(total, product, dst=total)
                    back = cv2.idft(total, flags=cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT)
                    target = answer[
                        top : top + sides[0] - height + 1, left : left + sides[1] - width + 1
                    ]
                    target[:] = back[: target.shape[0], : target.shape[1]]
        return answers


def _sides(size: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """The tile for kernels of `size`, no larger than a picture of `shape` asks for."""
    import cv2

    tall, wide = (
        min(tile_side(k), cv2.getOptimalDFTSize(n)) for k, n in zip(size, shape, strict=True)
    )
    return tall, wide


def _tile(plane: Array, top: int, left: int, sides: tuple[int, int]) -> Array:
    """A tile of `plane`, zeros past its ends."""
    piece = plane[top : top + sides[0], left : left + sides[1]]
    if piece.shape == sides:
        return np.ascontiguousarray(piece, np.float64)
    padded = np.zeros(sides)
    padded[: piece.shape[0], : piece.shape[1]] = piece
    return padded
