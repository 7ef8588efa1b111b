"""Normalised cross-correlation: how similar each window of a signal is to a template, from -1 to 1.

With weights w, the mean m of the template and the mean u of the window, each channel about its own
mean,

    score = sum w (t - m) (x - u) / sqrt(sum w (t - m)^2 * sum w (x - u)^2)

over all samples and channels together (Lewis, 1995, Fast Normalized Cross-Correlation; with weights
on both sides after Padfield, 2012, IEEE Trans. Image Processing 21). An offset of a channel changes
nothing, nor does a gain that all channels share. A flat template, a flat window and a window with a
missing sample score 0.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convcli.core.convolution.convolve import correlate_valid, true_runs
from convcli.core.convolution.fft import TileCorrelator, frame_size, tile_side
from convcli.core.windows.deviations import (
    FLAT_SHARE,
    partial_deviations,
    plane_deviations,
    windows_holding,
)
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import BoolArray, FloatArray
    from convcli.signals import Array


# An FFT rounds to some eps of everything in it. Windows quieter than this part of it are
# transformed by themselves.
SOFT = 1e-7
# In pictures, windows quieter than this part of the whole are lost in its rounding and count as
# flat.
LOST = 1e-13
# With weights, squares come out of an FFT too, right to some eps of the tile: smaller deviations
# count as flat.
FLAT = 1e-9
# Peaks between which squares neither overflow nor underflow, with room for sums and for quiet
# beside loud places.
SMALLEST_PEAK = 1e-60
LARGEST_PEAK = 1e100
# At least this many places of a long signal are searched at once.
PLACES = 1 << 17


@dataclass(frozen=True, eq=False, kw_only=True)
class Template:
    """The samples to look for, prepared.

    taps : (k, channels) or (height, width, channels), w (t - m) / sqrt(sum w (t - m)^2); 0 if the
        template is flat
    weights : w, of the same shape, >= 0; along a line each is 0 or the one value of its channel
    even : whether all weights are equal, in a table those of each column
    """

    taps: FloatArray
    weights: FloatArray
    even: bool

    @classmethod
    def of(cls, x: Array, *, weights: Array | None = None, own_units: bool = False) -> Template:
        """The template of samples `x`, (k, channels) or (height, width, channels).

        weights : an array that broadcasts to the shape of `x`; a missing sample (NaN) has weight 0
        own_units : divide every channel by its own variation, because columns of a table have units
            of their own
        """
        w: FloatArray = np.ones(x.shape)
        if weights is not None:
            w *= weights
        w[~np.isfinite(x)] = 0
        known = np.where(w > 0, x, 0.0).astype(np.float64)
        safe = np.asarray(_in_safe_range(known, _peak(known)), np.float64)
        deviations, variation = _deviations(safe, w)
        if own_units:
            unit = np.divide(1.0, variation, out=np.zeros_like(variation), where=variation > 0)
            w *= unit
            variation *= unit
        taps = w * deviations * (variation > 0)
        norm = float(np.sqrt(variation.sum()))
        first = w[0] if w.ndim == 2 else w[0, 0, 0]
        is_even = bool((w == first).all())
        return cls(taps=taps / (norm or 1.0), weights=w, even=is_even)

    @property
    def flat(self) -> bool:
        """Whether the template does not vary, so that every window scores 0."""
        return not self.taps.any()

    @property
    def size(self) -> tuple[int, ...]:
        """The number of samples along each sample axis."""
        return self.taps.shape[:-1]

    @property
    def channels(self) -> int:
        """The number of channels of a sample."""
        return int(self.taps.shape[-1])

    @property
    def places_at_once(self) -> int:
        """How many places along axis 0 are best searched at once, to fill frames or tiles."""
        k = self.size[0]
        if len(self.size) == 2:
            return tile_side(k) - k - 1
        hop = frame_size(k) - k + 1
        return hop * -(-PLACES // hop) - 2

    @cached_property
    def _kernels(self) -> TileCorrelator:
        """The correlator of a picture: the taps of every channel, then all weights."""
        channels = range(self.channels)
        return TileCorrelator(
            [part[..., c] for part in (self.taps, self.weights) for c in channels]
        )

    def scores(self, x: Array, *, opacity: Array | None = None) -> Array:
        """The score of every window of `x`.

        x : (n, channels) or (rows, columns, channels), NaN where missing; no axis shorter than that
            of the template
        opacity : (rows, columns), 0 ... 1: how much each pixel of a picture counts
        Returns (n - k + 1,) or (rows - height + 1, columns - width + 1) float64 in -1 ... 1.
        """
        x, missing = _without_missing(x)
        score = self._line_scores(x) if x.ndim == 2 else self._picture_scores(x, opacity)
        if missing is not None:
            score[windows_holding(missing, self.size)] = 0
        return score

    # --- signals with one sample axis ---

    def _line_scores(self, x: Array) -> Array:
        """The score of every window of (n, channels)."""
        outputs = len(x) - self.size[0] + 1
        deviations = np.zeros(outputs)
        for channel, weights in zip(x.T, self.weights.T, strict=True):
            deviations += partial_deviations(channel, weights > 0) * weights.max()
        return _quotients(self._line_products(x, deviations), deviations)

    def _line_products(self, x: Array, deviations: Array) -> Array:
        """Sums of taps times samples; far quieter windows are transformed by themselves."""
        k = self.size[0]
        centred = x - x.mean(axis=0)
        softest = SOFT * self._loudness(centred)
        soft = (deviations > 0) & (deviations < softest**2)
        if soft.all():  # the loud samples lie where the template has no weight
            windows = sliding_window_view(x - np.median(x, axis=0), k, axis=0)
            return np.asarray(np.einsum("nck,kc->n", windows, self.taps))
        products: Array = np.zeros(len(deviations))
        for c in range(self.channels):
            channel = centred[:, c : c + 1]
            products += correlate_valid(channel, self.taps[:, c], (1,), exact=False)[:, 0]
        for first, last in true_runs(soft):
            quiet = x[first : last + k - 1]
            products[first:last] = self._line_products(quiet, deviations[first:last])
        return products

    def _loudness(self, x: Array) -> float:
        """|taps| times |samples| over all channels: the scale of the rounding of products."""
        axes = tuple(range(x.ndim - 1))
        of_taps = np.sqrt(np.square(self.taps).sum(axis=axes))
        of_samples = np.sqrt(np.square(x, dtype=np.float64).sum(axis=axes))
        return float((of_taps * of_samples).sum())

    # --- pictures ---

    def _picture_scores(self, x: Array, opacity: Array | None) -> Array:
        """The scores, in columns as wide as a tile: intermediate results stay in the cache."""
        height, width = self.size
        rows = x.shape[0] - height + 1
        columns = x.shape[1] - width + 1
        score = np.empty((rows, columns))
        step = tile_side(width) - width + 1
        for left in range(0, columns, step):
            right = left + step + width - 1
            part = x[:, left:right]
            if opacity is not None:
                sums = self._weighted_sums(part, opacity[:, left:right])
            elif self.even:
                sums = self._even_sums(part)
            else:
                sums = self._weighted_sums(part, None)
            score[:, left : left + step] = _quotients(*sums)
        return score

    def _even_sums(self, x: Array) -> tuple[Array, Array]:
        """The sums of products and of squared deviations of every window, for even weights."""
        height, width = self.size
        centred = _centred_planes(x)
        (products,) = self._kernels.sums(centred, [[(c, c) for c in range(self.channels)]])
        deviations = plane_deviations(centred, (height, width))
        deviations *= self.weights[0, 0, 0]
        if x.dtype == np.float64:  # windows of bytes are never that quiet
            loudness = self._loudness(np.stack(centred, axis=-1))
            deviations *= deviations > (LOST * loudness) ** 2
        return products, deviations

    def _weighted_sums(self, x: Array, opacity: Array | None) -> tuple[Array, Array]:
        """The sums of products and of squared deviations of every window, for any weights.

        With s the opacity of the picture and u = sum s w x / sum s w, the products are sum s t (x -
        u) and the squared deviations sum s w x^2 - u sum s w x. A hidden pixel adds nothing, so a
        window scores low if much of it is hidden.
        """
        n = self.channels
        if opacity is None:
            seen = np.ones(x.shape[:2])
        else:
            seen = opacity.astype(np.float64)
            x = np.where(seen[..., None] > 0, x, np.nan)
        centred = _centred_planes(x)
        squares = [np.square(plane) * seen for plane in centred]
        planes = [*(plane * seen for plane in centred), *squares, seen]
        products, deviations, *by_channel = self._kernels.sums(planes, _weighted_terms(n))
        taps_seen = by_channel[:n]
        totals = by_channel[n : 2 * n]
        weights_seen = by_channel[2 * n :]
        weight = self.weights.sum(axis=(0, 1))
        for c in range(n):
            shown = weights_seen[c] > FLAT * weight[c]
            nothing = np.zeros_like(totals[c])
            mean = np.divide(totals[c], weights_seen[c], out=nothing, where=shown)
            products -= mean * taps_seen[c]
            deviations -= mean * totals[c]
        # The FFT rounds the squares of a tile to a part of their mean; smaller deviations are flat.
        deviations[deviations <= FLAT * _weighted_power(squares, weight)] = 0
        return products, deviations


def _weighted_power(squares: Sequence[Array], weights: FloatArray) -> float:
    """The sum over the planes of squares: the mean of each times the weight of its channel."""
    power = 0.0
    for plane, weight in zip(squares, weights.tolist(), strict=True):
        power += float(np.mean(plane)) * weight
    return power


def _weighted_terms(n: int) -> list[list[tuple[int, int]]]:
    """The sums that a picture of `n` channels needs, as pairs of a plane and a kernel.

    Planes are s x of every channel, then s x^2, then s; kernels the taps t of every channel, then
    the weights w.
    """
    every = range(n)
    seen = 2 * n
    return [
        [(c, c) for c in every],  # sum s t x over all channels
        [(n + c, n + c) for c in every],  # sum s w x^2 over all channels
        *([(seen, c)] for c in every),  # sum s t of each channel
        *([(c, n + c)] for c in every),  # sum s w x of each channel
        *([(seen, n + c)] for c in every),  # sum s w of each channel
    ]


def _deviations(x: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The deviations of `x` from weighted means, and their weighted sums of squares by channel.

    A sum that is only rounding becomes 0. The mean is subtracted twice, so that a large offset
    costs no digits.
    """
    axes = tuple(range(x.ndim - 1))
    mean = _weighted_means(x, w)
    deviations = x - mean
    deviations = deviations - _weighted_means(deviations, w)
    variation = (w * np.square(deviations)).sum(axis=axes)
    rounding = w.sum(axis=axes) * np.square(FLAT_SHARE * mean)
    variation[variation <= rounding] = 0
    return deviations, variation


def _weighted_means(x: FloatArray, w: FloatArray) -> FloatArray:
    """The weighted mean of each channel; 0 where nothing has weight."""
    axes = tuple(range(x.ndim - 1))
    total = w.sum(axis=axes)
    weighted = (w * x).sum(axis=axes)
    means: FloatArray = np.divide(weighted, total, out=np.zeros_like(total), where=total > 0)
    return means


def _quotients(products: Array, deviations: Array) -> Array:
    """products / sqrt(deviations), and 0 where nothing deviates; both arrays are overwritten."""
    flat = deviations <= 0
    deviations[flat] = 1.0
    score = np.divide(products, np.sqrt(deviations, out=deviations), out=products)
    score[flat] = 0.0
    return np.clip(score, -1.0, 1.0, out=score)


def _without_missing(x: Array) -> tuple[Array, BoolArray | None]:
    """`x` with 0 for missing and infinite samples, and a mask of them (None without any)."""
    peak = _peak(x)
    missing: BoolArray | None = None
    if not np.isfinite(peak):
        missing = np.logical_not(np.isfinite(x).all(axis=-1))
        x = np.where(missing[..., None], 0.0, x).astype(x.dtype)
        peak = _peak(x)
    return _in_safe_range(x, peak), missing


def _peak(x: Array) -> float:
    return max(float(x.max()), -float(x.min()))


def _in_safe_range(x: Array, peak: float) -> Array:
    """`x`, scaled by a power of two if its squares would overflow or become 0."""
    if peak == 0 or SMALLEST_PEAK < peak < LARGEST_PEAK:
        return x
    exponent = int(np.frexp(peak)[1])
    scaled: Array = np.ldexp(x, -exponent)
    return scaled


def _centred_planes(x: Array) -> list[Array]:
    """The planes of a picture about a whole number near their mean; NaN becomes 0."""
    return [_centred_plane(x[..., c]) for c in range(x.shape[-1])]


def _centred_plane(plane: Array) -> Array:
    middle = float(plane.mean())
    has_gaps = np.isnan(middle)
    if has_gaps:
        middle = float(np.nanmean(plane)) if np.isfinite(plane).any() else 0.0
    if abs(middle) >= 1:
        middle = round(middle)
    centred: Array = plane - plane.dtype.type(middle)
    return np.nan_to_num(centred, nan=0.0) if has_gaps else centred
