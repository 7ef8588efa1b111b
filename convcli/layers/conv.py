"""Layers of a network as operations: convolutions with channels in and out, by windows and products of matrices.

A layer computes y[k, o] = b[o] + sum over i, j of w[o, i, j] * x[k*step - before + j*dilation, i], which is what
torch.nn.Conv1d and Conv2d compute (a correlation: the weights are not flipped). A layer without a padding of its own
reads what the edge rule of the chain says; one with a padding extends its own input at the ends of the signal, as
torch does between layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convcli.core import missing as gaps
from convcli.core.extend import OUTSIDE, Edge, inside
from convcli.core.ops import Held, Op, Span, nothing_held
from convcli.core.reach import Reach
from convcli.layers.bands import Band

if TYPE_CHECKING:
    from convcli.signals import Array, Missing

# Samples gathered into windows at a time, to stay near the caches.
GATHERED = 1 << 18


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Op):
    """A convolution layer.

    weights : (out, in / groups, k) or (out, in / groups, height, width); bias : (out,) or None
    before : inputs read before k*step on each axis; anchor : the input past k*step at which output k stands
    growth : by how much the layer's own padding changes the count of samples on each axis
    padding : how the layer extends its own input; None leaves that to the chain
    beside : the last channel (the opacity of a picture) goes past the layer unchanged
    missing : what is asked for where the signal is missing; exact : add up one tap after the other, so that an answer
        does not depend on where a block ends
    """

    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64] | None
    step: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    anchor: tuple[int, ...]
    growth: tuple[int, ...]
    groups: int = 1
    padding: Edge | None = None
    beside: bool = False
    missing: Missing = "keep"
    exact: bool = False

    @property
    def widths(self) -> tuple[int, ...]:
        """How many neighbouring samples a window spans on each axis."""
        return tuple(
            1 + (k - 1) * d for k, d in zip(self.weights.shape[2:], self.dilation, strict=True)
        )

    @property
    def reach(self) -> tuple[Reach, ...]:
        """One Reach per axis, wide enough that what padding repeats is among the inputs."""
        geometry = zip(
            self.widths, self.before, self.step, self.anchor, self.growth, self._spare, strict=True
        )
        return tuple(
            Reach(before=b + low, after=w - 1 - b + high, step=s, anchor=c, growth=g)
            for w, b, s, c, g, (low, high) in geometry
        )

    @property
    def _spare(self) -> tuple[tuple[int, int], ...]:
        """Inputs on both sides of a window that are read only to be repeated outside, or to have begun at all."""
        return tuple(map(self._spare_along, self.widths, self.before, self.growth))

    def _spare_along(self, width: int, left: int, growth: int) -> tuple[int, int]:
        after, right = width - 1 - left, growth + width - 1 - left
        if self.padding == "reflect":
            return max(0, 2 * right + 1 - width), max(0, left - after)
        if self.padding == "edge":
            return max(0, right + 1 - width), max(0, -after)
        return 0, max(0, -after)

    holds = True

    @property
    def needs_end(self) -> bool:
        """A circle has no beginning."""
        return self.padding == "wrap"

    def output_channels(self, count: int) -> int:
        """The channels of the weights, and what goes past them."""
        return len(self.weights) + self.beside

    def padded(
        self,
        x: Array,
        starts: tuple[int, ...],
        stops: tuple[int, ...],
        ends: tuple[int | None, ...],
    ) -> Array:
        """Extend `x` by the layer's own padding."""
        if self.padding is None:
            return x
        for axis, (start, stop, n) in enumerate(zip(starts, stops, ends, strict=True)):
            x = _extended(x, axis, start, stop, n=n, rule=self.padding)
        return x

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Convolve; NaN in `x` is missing."""
        x = x[
            tuple(
                slice(low, n - high) for (low, high), n in zip(self._spare, x.shape, strict=False)
            )
        ]
        if not self.beside:
            return self._filtered(x, held)
        y = self._filtered(x[..., :-1], _but_last(held))
        return np.concatenate([y, self._standing_at(x, y.shape)[..., -1:]], axis=-1)

    def _filtered(self, x: Array, held: Held) -> Array:
        return self._over_gaps(x, held) if gaps.any_missing(x) else self._summed(x)

    def _summed(self, x: Array) -> Array:
        geometry: dict[str, Any] = {
            "step": self.step,
            "dilation": self.dilation,
            "groups": self.groups,
        }
        with np.errstate(invalid="ignore", over="ignore"):
            if self.exact:
                return tap_by_tap(x, self.weights, self.bias, **geometry)
            return by_windows(x, self.weights, self.bias, **geometry)

    def _over_gaps(self, x: Array, held: Held) -> Array:
        """As a kernel whose weights differ in sign: the nearest earlier value is held across a gap."""
        filled = gaps.hold(x, held)
        unknown = np.isnan(filled)
        y = self._summed(np.where(unknown, 0.0, filled).astype(x.dtype))
        if x.ndim == 2:
            before = held() if np.isnan(x[0]).any() else None
            y[~gaps.known_by(x, before, self.widths[0], self.step[0], len(y)).all(axis=-1)] = np.nan
        else:
            y[self._touched(unknown, y.shape)] = np.nan
        if self.missing == "propagate":
            y[self._touched(np.isnan(x), y.shape)] = np.nan
        elif self.missing != "fill":
            gone: npt.NDArray[np.bool_] = np.isnan(self._standing_at(x, y.shape))
            y[gone.any(axis=-1)] = np.nan
        return y

    def _touched(
        self, missing: npt.NDArray[np.bool_], shape: tuple[int, ...]
    ) -> npt.NDArray[np.bool_]:
        """The outputs with a missing sample in their window, in whatever channel."""
        any_channel: Any = missing.any(axis=-1, keepdims=True).astype(np.float64)
        window = np.ones((1, 1, *self.weights.shape[2:]))
        counted: Any = by_windows(any_channel, window, None, step=self.step, dilation=self.dilation)
        return np.asarray(counted[..., 0] > 0.5, bool)

    def _standing_at(self, x: Array, shape: tuple[int, ...]) -> Any:
        """The inputs at which the outputs stand."""
        places = tuple(
            slice(b + c, b + c + (m - 1) * s + 1, s)
            for b, c, m, s in zip(self.before, self.anchor, shape, self.step, strict=False)
        )
        return x[places]


def _but_last(held: Held) -> Held:
    """What was met before in all channels but the last."""

    def known() -> Array | None:
        values = held()
        return None if values is None else values[..., :-1]

    return known


@dataclass(frozen=True, eq=False, kw_only=True)
class Complete(Op):
    """A pool of which only windows that are complete count, as in torch: floor((n - size) / step) + 1 outputs."""

    op: Op

    @property
    def reach(self) -> tuple[Reach, ...]:
        """That of the pool, on as many samples less as a window has beyond its first."""
        return tuple(replace(r, growth=-(r.before + r.after)) for r in self.op.reach)

    @property
    def holds(self) -> bool:
        """As the pool does."""
        return self.op.holds

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Pool."""
        return self.op(x, span, held)


def _extended(x: Array, axis: int, start: int, stop: int, *, n: int | None, rule: Edge) -> Array:
    """One axis of `x`, which begins at `start`, up to `stop`, extended outside of 0 ... n; None: not ended yet."""
    end = stop if n is None else n
    if start >= 0 and stop <= end:
        return x[(slice(None),) * axis + (slice(stop - start),)]
    index = inside(np.arange(start, stop), end, rule) if end > 0 else np.full(stop - start, OUTSIDE)
    outside = index == OUTSIDE
    # What lies beyond what padding repeats is read for the geometry alone.
    taken: Array = np.take(x, np.clip(index - start, 0, x.shape[axis] - 1), axis=axis)
    taken[(slice(None),) * axis + (outside,)] = 0
    return taken


# ------------------------------------------------------------------------------------------------- products

Weights = npt.NDArray[np.float64]


def by_windows(
    x: Array,
    w: Weights,
    bias: Weights | None,
    *,
    step: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int = 1,
) -> Array:
    """The valid layer: rows of windows times the weights as a matrix, some thousand windows at a time.

    x : (n, in) or (rows, columns, in); w : (out, in / groups, k...); returns (outputs..., out) of the dtype of x
    """
    band = Band(
        shape=w.shape[2:],
        inputs=w.shape[1],
        outputs=len(w) // groups,
        step=step,
        dilation=dilation,
        pool=(1,) * (w.ndim - 2),
    )
    sides = tuple((n - k) // s + 1 for n, k, s in zip(x.shape, band.widths, step, strict=False))
    y = np.empty((*sides, len(w)), x.dtype)
    matrices = [band.matrix(part.astype(x.dtype)) for part in np.split(w, groups)]
    count = max(1, GATHERED // max(1, math.prod(sides[1:]) * band.taps))
    for first in range(0, sides[0], count):
        some = y[None, first : first + count]
        rows = np.empty((math.prod(some.shape[:-1]), band.taps), x.dtype)
        for g, matrix in enumerate(matrices):
            lane = x[None, first * step[0] :, ..., _part(g, band.inputs)]
            windows, place = band.copies(lane, some.shape[1:-1], rows)
            np.copyto(place, windows)
            some[..., _part(g, band.outputs)] = (rows @ matrix).reshape(
                *some.shape[:-1], band.outputs
            )
    return y if bias is None else np.add(y, bias.astype(x.dtype), out=y)


def windows_of(
    x: Array, shape: tuple[int, ...], step: tuple[int, ...], dilation: tuple[int, ...]
) -> Array:
    """A view of the windows: (outputs..., in, k...)."""
    axes = len(shape)
    widths = tuple(1 + (k - 1) * d for k, d in zip(shape, dilation, strict=True))
    windows: Any = np.lib.stride_tricks.sliding_window_view(x, widths, axis=tuple(range(axes)))
    every = tuple(slice(None, None, s) for s in step)
    return windows[(*every, slice(None), *(slice(None, None, d) for d in dilation))]  # type: ignore[no-any-return]


def _part(number: int, size: int) -> slice:
    return slice(number * size, (number + 1) * size)


def tap_by_tap(
    x: Array,
    w: Weights,
    bias: Weights | None,
    *,
    step: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int = 1,
) -> Array:
    """The valid layer with the same additions in the same order for every output; one sample axis."""
    width = 1 + (w.shape[2] - 1) * dilation[0]
    outputs = (len(x) - width) // step[0] + 1
    y = np.zeros((outputs, len(w)), x.dtype)
    part_in, part_out = w.shape[1], len(w) // groups
    for g, i, j in np.ndindex(groups, part_in, w.shape[2]):
        at = j * dilation[0]
        lane = x[at : at + (outputs - 1) * step[0] + 1 : step[0], g * part_in + i, None]
        y[:, _part(g, part_out)] += lane * w[_part(g, part_out), i, j].astype(x.dtype)
    return y if bias is None else np.add(y, bias.astype(x.dtype), out=y)
