"""Counting the different colours of a picture, for formats that hold few."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from convcli.media.images.layout import Pixels

# libvips writes a pixel of a lower opacity as a transparent one, which has no colour.
_OPAQUE = 128


class ColourCount:
    """Whether a page has more colours than a format holds.

    most : how many the format holds, of 8 bits a sample; None for any number
    too_many : whether a page had more
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._colours: frozenset[int] = frozenset()
        self.too_many = False

    def start_page(self) -> None:
        """Begin a page, which has its own colours."""
        self._colours = frozenset()

    def of_strip(self, pixels: Pixels, alpha: int | None) -> frozenset[int]:
        """The colours of a strip, at most one more than the format holds.

        pixels : (rows, columns, channels)
        alpha : the channel that is the opacity
        It may run in any thread. There are no colours where the answer is known already.
        """
        if self._most is None or self.too_many:
            return frozenset()
        packed = np.zeros(pixels.shape[:2], np.uint32)
        for channel in range(pixels.shape[2]):
            if channel != alpha:
                packed <<= np.uint32(8)
                packed |= pixels[:, :, channel]
        if alpha is not None:
            packed = packed[pixels[:, :, alpha] >= _OPAQUE]
        colours = np.unique(packed)
        return frozenset(colours[: self._most + 1].tolist())

    def add(self, colours: frozenset[int]) -> None:
        """Count the colours of the next strip of the page."""
        if self._most is None or self.too_many:
            return
        self._colours |= colours
        self.too_many = len(self._colours) > self._most
