"""A picture reduced while its rows come: means of squares of pixels, a detail, a histogram."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convcli.core.ssim import StructuralSimilarity
from convcli.facts.preview import LikenessFacts, PictureFacts
from convcli.samples import as_samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.signals import Array, Signal

_RGB = ("R", "G", "B")
# Pixels of a side of the detail, and bins of the histogram.
DETAIL = 96
BINS = 64
# The sum of so many bytes fits into 16 bits.
MOST_BYTES = 257
# Rows of two pictures whose likeness is measured at once.
STRIP = 64
# The share of the differences that is drawn without being cut off.
DRAWN_SHARE = 0.998


class PictureSums:
    """Collects what is shown of a picture whose rows come in order.

    side : the longer side of the reduced picture, at most
    """

    def __init__(self, signal: Signal, side: int) -> None:
        rows, columns = (n or 1 for n in signal.shape)
        self.signal = signal
        self.shape = (rows, columns)
        self.factor = max(1, -(-max(rows, columns) // side))
        colours = signal.channels[:3] == _RGB
        self.colours = [0, 1, 2] if colours else [0]
        self.shown = list(self.colours)
        if signal.alpha is not None and signal.alpha not in self.shown:
            self.shown.append(signal.alpha)
        self.corner = (max(0, (rows - DETAIL) // 2), max(0, (columns - DETAIL) // 2))
        self.means: list[Array] = []
        self.samples: list[Array] = []
        self._held: Array | None = None
        self._detail: list[Array] = []
        self._row = 0

    def add(self, x: Array) -> None:
        """Add the next rows, (rows, columns, channels)."""
        first = -self._row % self.factor
        every = x[first :: self.factor, :: self.factor]
        self.samples.append(as_samples(every.copy()))
        top, left = self.corner
        start = max(0, top - self._row)
        stop = min(len(x), top + DETAIL - self._row)
        if start < stop:
            part = x[start:stop, left : left + DETAIL]
            self._detail.append(as_samples(part.copy()))
        self._row += len(x)
        shown = x if len(self.shown) == x.shape[-1] else x[..., self.shown]
        for rows in self._complete_rows(shown):
            self.means.append(self._reduced(rows))

    def _complete_rows(self, x: Array) -> Iterator[Array]:
        """Yield the rows of whole squares, and at the end of the picture all; hold the others.

        Only the squares that begin in an earlier block are copied.
        """
        ended = self._row == self.shape[0]
        held = self._held
        if held is not None:
            missing = self.factor - len(held)
            held = np.concatenate([held, x[:missing]])
            x = x[missing:]
            if len(held) < self.factor and not ended:
                self._held = held
                return
            yield held
            self._held = None
        whole = len(x)
        if not ended:
            whole -= len(x) % self.factor
        if whole:
            yield x[:whole]
        if whole < len(x):
            self._held = x[whole:].copy()

    def _reduced(self, x: Array) -> Array:
        """Means of squares of `factor` pixels; those at the right and lower edge are smaller."""
        if self.factor == 1:
            return as_samples(x).astype(np.float32)
        import cv2

        whole = len(x) // self.factor
        means = self._row_means(x[: whole * self.factor])
        if whole * self.factor < len(x):
            rest = as_samples(x[whole * self.factor :])
            means = np.concatenate([means, rest.mean(axis=0, dtype=np.float32)[None]])
        columns = -(-x.shape[1] // self.factor)
        size = (columns, len(means))
        reduced = cv2.resize(means, size, interpolation=cv2.INTER_AREA)
        return np.asarray(reduced, np.float32).reshape(len(means), columns, -1)

    def _row_means(self, x: Array) -> Array:
        """Means of every `factor` rows, float32. The sums of bytes are whole numbers, at first."""
        samples = as_samples(x) if self.factor > MOST_BYTES or x.dtype != np.uint8 else x
        kind = np.uint16 if samples.dtype == np.uint8 else np.float32
        together = samples.reshape(-1, self.factor, x.shape[1] * x.shape[2])
        sums = np.add.reduce(together, axis=1, dtype=kind).reshape(-1, *x.shape[1:])
        means: Array = np.multiply(sums, np.float32(1 / self.factor), dtype=np.float32)
        return means

    def sampled_colours(self, full: float) -> npt.NDArray[np.float32]:
        """The colours of every n-th pixel, on a scale that ends at `full`."""
        samples = np.concatenate(self.samples)
        if samples.shape[-1] > len(self.colours):
            samples = samples[..., self.colours]
        return self._on_scale(samples, full)

    def reduced_colours(self, full: float) -> npt.NDArray[np.float32]:
        """The colours of the reduced picture, likewise."""
        return self._on_scale(np.concatenate(self.means)[..., : len(self.colours)], full)

    def _on_scale(self, x: Array, full: float) -> npt.NDArray[np.float32]:
        """Samples on a scale that ends at `full`, in single precision: what is drawn is bytes."""
        scaled: npt.NDArray[np.float32] = np.multiply(
            x, full / self.signal.full_scale, dtype=np.float32, casting="same_kind"
        )
        return scaled

    def facts(self) -> PictureFacts | None:
        """What is shown; None of an empty picture."""
        if not self.means:
            return None
        full = self.signal.full_scale
        samples = np.concatenate(self.samples)
        detail = np.concatenate(self._detail)
        histogram = [self._histogram(samples[..., channel]) for channel in self.colours]
        return PictureFacts(
            shape=self.shape,
            reduced=_as_bytes(np.concatenate(self.means), full),
            detail=_as_bytes(detail[..., self.shown], full),
            corner=self.corner,
            channels=tuple(self.signal.channels[channel] for channel in self.colours),
            histogram=np.array(histogram),
            full_scale=full,
            samples=detail,
        )

    def _histogram(self, x: Array) -> npt.NDArray[np.int64]:
        """How many known samples are in each of equal bins up to the full scale."""
        known = x.ravel()
        finite = np.isfinite(known)
        if not finite.all():
            known = known[finite]
        # Four times as fast as np.histogram.
        bins = known * (BINS / self.signal.full_scale)
        np.clip(bins, 0, BINS - 1, out=bins)
        return np.bincount(bins.astype(np.int64), minlength=BINS)


def _as_bytes(x: Array, full: float) -> npt.NDArray[np.uint8]:
    """Samples as bytes from 0 to the full scale; missing ones are black."""
    scaled = np.multiply(x, 255 / full, dtype=np.float32, casting="same_kind")
    np.rint(scaled, out=scaled)
    # The larger one of NaN and 0 is 0.
    np.fmax(scaled, 0, out=scaled)
    np.fmin(scaled, 255, out=scaled)
    return scaled.astype(np.uint8)


def likeness(before: PictureSums, after: PictureSums) -> LikenessFacts | None:
    """How the second picture differs from the first; None if their sizes or colours differ."""
    same = before.shape == after.shape and len(before.colours) == len(after.colours)
    if not same or not before.means or not after.means:
        return None
    full = before.signal.full_scale
    a, b = before.reduced_colours(full), after.reduced_colours(full)
    difference = np.abs(b - a)
    largest = float(np.nanmax(difference, initial=0.0))
    # A few large differences would leave all others dark.
    brightest = largest
    if difference.size:
        some = difference[::2, ::2]
        brightest = float(np.nanquantile(some, DRAWN_SHARE)) or largest
    return LikenessFacts(
        difference=_as_bytes(difference, brightest or 1.0),
        brightest=brightest,
        largest=largest,
        psnr=_peak_snr(before.sampled_colours(full), after.sampled_colours(full), full),
        ssim=_mean_similarity(a, b, full),
        sampled=before.factor,
    )


def _peak_snr(a: Array, b: Array, full: float) -> float:
    """The ratio of full scale to RMS difference in dB; NaN without samples."""
    if not a.size:
        return math.nan
    squares = np.square(b - a, dtype=np.float64)
    error = float(squares.mean())
    if math.isnan(error):
        error = float(np.nanmean(squares))
    if error == 0:
        return math.inf
    return 10 * math.log10(full**2 / error)


def _mean_similarity(a: Array, b: Array, full: float) -> float | None:
    """The SSIM of two pictures (rows, columns, colours); None if they are too small for it."""
    similarity = StructuralSimilarity(a.shape[-1], full, np.float32)
    for row in range(0, len(a), STRIP):
        similarity.add(a[row : row + STRIP], b[row : row + STRIP])
    means: Any = similarity.mean()
    return None if means is None else float(means.mean())
