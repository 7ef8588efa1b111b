"""Normalised cross-correlation: how much each window of a signal is like a template, from -1 to 1.

With weights w, the mean m of the template and the mean u of the window, each channel about its own mean,

    score = sum w (t - m) (x - u) / sqrt(sum w (t - m)^2 * sum w (x - u)^2)

over all samples and channels together (Lewis, 1995, Fast Normalized Cross-Correlation; with weights on both sides
after Padfield, 2012, IEEE Trans. Image Processing 21). An offset of a channel changes nothing, nor does a gain that all
channels share. A flat template, a flat window and a window with a missing sample score 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convcli.core.convolve import correlate_valid, runs
from convcli.core.fft import TileCorrelator, frame_size, tile_side
from convcli.core.window_statistics import ROUNDING, deviations_of_some, plane_deviations, touched

if TYPE_CHECKING:
    from convcli.signals import Array

    Flags = npt.NDArray[np.bool_]

# The rounding of an FFT is some eps of all that is in it. Windows that are softer than this part of it are taken
# out and transformed by themselves.
SOFT = 1e-7
# In planes what is softer than this beside something loud is lost, and taken for flat.
LOST = 1e-13
# Through the FFT squares of planes are known to some eps of the tile: what varies less than this part is flat.
FLAT = 1e-9
# Squares of what lies between are numbers, with room for sums and for soft places beside loud ones.
HUSHED, LOUD = 1e-60, 1e100
# A stretch of sound that is searched at once has at least so many samples.
STRETCH = 1 << 17


@dataclass(frozen=True, eq=False, kw_only=True)
class Template:
    """What is looked for.

    taps : (k, channels) or (height, width, channels), the deviations from the mean times their weights, over the root
        of the sum of weights times squared deviations; all 0 where the template is flat
    weights : of the same shape, >= 0, along a line 0 or one value for each channel; even : whether they differ at most
        from column to column of a table
    """

    taps: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    even: bool

    @classmethod
    def of(cls, x: Array, *, weights: Array | None = None, own_units: bool = False) -> Template:
        """The template of samples `x`, (k, channels) or (height, width, channels).

        weights : what broadcasts to the shape of `x`; a missing sample (NaN) has weight 0
        own_units : every channel is measured by its own variation, as columns of a table are
        """
        w = np.array(np.broadcast_to(1.0 if weights is None else weights, x.shape), np.float64)
        w[~np.isfinite(x)] = 0
        x = np.where(w > 0, x, 0.0).astype(np.float64)
        x = _tamed(x, _peak(x))
        axes = tuple(range(x.ndim - 1))
        # About a first guess of the mean, so that a large offset costs no digits.
        mean = _means(x, w)
        x = x - mean
        x = x - _means(x, w)
        variation = (w * np.square(x)).sum(axis=axes)
        variation[variation <= w.sum(axis=axes) * np.square(ROUNDING * mean)] = 0
        unit = np.divide(1.0, variation, out=np.zeros_like(variation), where=variation > 0)
        w *= unit if own_units else 1.0
        taps = w * x * (variation > 0)
        norm = float((variation * unit if own_units else variation).sum())
        even = bool(np.all(w == (w[0] if w.ndim == 2 else w[0, 0, 0])))
        return cls(taps=taps / (np.sqrt(norm) or 1.0), weights=w, even=even)

    @property
    def flat(self) -> bool:
        """Whether nothing varies, so that no place is more like it than another."""
        return not self.taps.any()

    @property
    def size(self) -> tuple[int, ...]:
        """Samples along each sample axis."""
        return self.taps.shape[:-1]

    @property
    def stretch(self) -> int:
        """How many places along axis 0 are best searched at once."""
        if len(self.size) == 2:
            return tile_side(self.size[0]) - self.size[0] - 1
        hop = frame_size(self.size[0]) - self.size[0] + 1
        return hop * -(-STRETCH // hop) - 2

    @cached_property
    def planes(self) -> TileCorrelator:
        """The correlator of a picture: the taps of every channel, then its weights where they are not even."""
        channels = range(self.taps.shape[-1])
        return TileCorrelator(
            [part[..., c] for part in (self.taps, self.weights) for c in channels]
        )

    def scores(self, x: Array, *, opacity: Array | None = None) -> Array:
        """The score of every window of `x`.

        x : (n, channels) or (rows, columns, channels), NaN where missing; none of its axes shorter than the template
        opacity : (rows, columns), 0 ... 1: how much each pixel of a picture counts
        Returns (n - k + 1,) or (rows - height + 1, columns - width + 1) float64 in -1 ... 1.
        """
        x, bad = _prepared(x)
        score = np.empty(tuple(n - k + 1 for n, k in zip(x.shape, self.size, strict=False)))
        if x.ndim == 2:
            _divide(*self._line(x), out=score)
        else:
            # Bands as wide as a tile: what is computed on the way stays in the cache.
            width = self.size[1]
            step = tile_side(width) - width + 1
            for left in range(0, score.shape[1], step):
                band = slice(left, left + step + width - 1)
                shown = None if opacity is None else opacity[:, band]
                _divide(*self._plane(x[:, band], shown), out=score[:, left : left + step])
        if bad is not None:
            score[touched(bad, self.size)] = 0
        return score

    # --- lines ---

    def _line(self, x: Array) -> tuple[Array, Array]:
        first, *others = (
            deviations_of_some(lane, weights > 0) * weights.max()
            for lane, weights in zip(x.T, self.weights.T, strict=True)
        )
        deviations: Array = sum(others, start=first)
        return self._line_products(x, deviations), deviations

    def _line_products(self, x: Array, deviations: Array) -> Array:
        """Sums of taps times samples; soft windows beside loud ones by themselves."""
        k = self.size[0]
        centred = x - x.mean(axis=0)
        soft = (deviations > 0) & (deviations < (SOFT * self._loudness(centred)) ** 2)
        if soft.all():  # what is loud stands where the template is missing
            windows = np.lib.stride_tricks.sliding_window_view(x - np.median(x, axis=0), k, axis=0)
            return np.asarray(np.einsum("nck,kc->n", windows, self.taps))
        products: Array = np.zeros(len(deviations))
        for c in range(x.shape[1]):
            products += correlate_valid(centred[:, c : c + 1], self.taps[:, c], (1,), exact=False)[
                :, 0
            ]
        for first, last in runs(soft):
            products[first:last] = self._line_products(
                x[first : last + k - 1], deviations[first:last]
            )
        return products

    def _loudness(self, x: Array) -> float:
        """What the rounding of sums of products is relative to: the lengths of taps and samples, over all channels."""
        axes = tuple(range(x.ndim - 1))
        lengths = np.sqrt(np.square(self.taps).sum(axis=axes)) * np.sqrt(
            np.square(x, dtype=np.float64).sum(axis=axes)
        )
        return float(lengths.sum())

    # --- planes ---

    def _plane(self, x: Array, opacity: Array | None) -> tuple[Array, Array]:
        if opacity is not None or not self.even:
            return self._weighted_plane(x, opacity)
        channels = range(x.shape[-1])
        centred = _centred(x)
        (products,) = self.planes.sums(centred, [[(c, c) for c in channels]])
        deviations = plane_deviations(centred, (self.size[0], self.size[1]))
        deviations *= self.weights[0, 0, 0]
        if x.dtype == np.float64:  # 8 bits are never as soft as that
            deviations *= deviations > (LOST * self._loudness(np.stack(centred, axis=-1))) ** 2
        return products, deviations

    def _weighted_plane(self, x: Array, opacity: Array | None) -> tuple[Array, Array]:
        """Pixels count as much as they are opaque in the template and in the picture.

        What the picture hides is taken to be as the mean of what it shows: it adds nothing, and a place of which
        much is hidden scores low.
        """
        channels = list(range(x.shape[-1]))
        n = len(channels)
        seen = np.ones(x.shape[:2]) if opacity is None else opacity.astype(np.float64)
        centred = _centred(np.where(seen[..., None] > 0, x, np.nan) if opacity is not None else x)
        planes = [
            *(plane * seen for plane in centred),
            *(np.square(plane) * seen for plane in centred),
            seen,
        ]
        sums = self.planes.sums(
            planes,
            # plane times weights and kernel: x t, x^2 w, t, x w, w -- all as far as it is seen
            [
                [(c, c) for c in channels],
                [(n + c, n + c) for c in channels],
                *([(2 * n, c)] for c in channels),
                *([(c, n + c)] for c in channels),
                *([(2 * n, n + c)] for c in channels),
            ],
        )
        products, squares = sums[0], sums[1]
        for c in channels:
            taps_seen, totals, weights_seen = sums[2 + c], sums[2 + n + c], sums[2 + 2 * n + c]
            least = FLAT * float(self.weights[..., c].sum())
            mean = np.divide(
                totals, weights_seen, out=np.zeros_like(totals), where=weights_seen > least
            )
            products -= mean * taps_seen
            squares -= mean * totals
        # Of each tile the squares are known to a part of their mean; what is less is flat.
        power = sum(
            float(np.mean(plane)) * float(self.weights[..., c].sum())
            for c, plane in enumerate(planes[n:-1])
        )
        squares[squares <= FLAT * power] = 0
        return products, squares


def _means(x: Array, w: Array) -> Array:
    """The weighted mean of each channel; 0 where nothing has weight."""
    axes = tuple(range(x.ndim - 1))
    total = w.sum(axis=axes)
    mean: Array = np.divide(
        (w * x).sum(axis=axes), total, out=np.zeros_like(total), where=total > 0
    )
    return mean


def _divide(products: Array, deviations: Array, *, out: Array) -> None:
    """Scores from sums of products and of squared deviations; 0 where nothing deviates."""
    flat = deviations <= 0
    any_flat = bool(flat.any())
    if any_flat:
        deviations[flat] = 1.0
    np.divide(products, np.sqrt(deviations, out=deviations), out=out)
    if any_flat:
        out[flat] = 0.0
    np.clip(out, -1.0, 1.0, out=out)


def _prepared(x: Array) -> tuple[Array, Flags | None]:
    """`x` with 0 for what is missing or infinite, and where that was (None where nothing was), and of a usual size."""
    peak, bad = _peak(x), None
    if not np.isfinite(peak):
        bad = np.logical_not(np.isfinite(x).all(axis=-1))
        x = np.where(bad[..., None], 0.0, x).astype(x.dtype)
        peak = _peak(x)
    return _tamed(x, peak), bad


def _peak(x: Array) -> float:
    return max(float(x.max()), -float(x.min()))


def _tamed(x: Array, peak: float) -> Array:
    """`x` as it is; times a power of two where it is so large or small that squares would not be numbers."""
    if peak == 0 or HUSHED < peak < LOUD:
        return x
    tamed: Array = np.ldexp(x, -int(np.frexp(peak)[1]))
    return tamed


def _centred(x: Array) -> list[Array]:
    """The planes of a picture about a whole number near their mean; NaN becomes 0."""
    planes: list[Array] = []
    for c in range(x.shape[-1]):
        plane: Array = x[..., c]
        middle = float(plane.mean())
        gaps = np.isnan(middle)
        if gaps:
            middle = float(np.nanmean(plane)) if np.isfinite(plane).any() else 0.0
        centred: Array = plane - plane.dtype.type(round(middle) if abs(middle) >= 1 else middle)
        planes.append(np.nan_to_num(centred, nan=0.0) if gaps else centred)
    return planes
