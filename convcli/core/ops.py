"""The operations that a chain is made of: parameters in, a pure callable out, no other state.

An operation has a `reach` along each sample axis and is called with just the inputs that its reach says the
outputs in `span` need, extended at the ends of the signal beforehand: every operation is "valid".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from convcli.core import missing as gaps
from convcli.core.convolve import all_finite, mean_valid
from convcli.core.reach import Reach
from convcli.core.rounding import Rounding, of_taps
from convcli.samples import summed

if TYPE_CHECKING:
    from convcli.core.kernel import Gaps, Kernel
    from convcli.signals import Align, Array, Missing

Span = tuple[tuple[int, int], ...]
Earlier = Callable[[], "Array | None"]


def nothing_earlier() -> None:
    """What is held from before the start of a signal."""
    return


@runtime_checkable
class Op(Protocol):
    """An operation on samples `(n, channels)` or `(rows, columns, channels)`."""

    @property
    def reach(self) -> tuple[Reach, ...]:
        """One Reach per sample axis."""
        ...

    @property
    def holds(self) -> bool:
        """Whether it fills a gap with the nearest earlier value, however far back that lies."""
        ...

    def __call__(self, x: Array, span: Span, earlier: Earlier = nothing_earlier) -> Array:
        """The outputs of `span` from exactly the inputs `reach[a].needs(*span[a])`; `x` is not changed."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolve:
    """y[k] = sum_j taps[j] * x[k*step + centre - j] / divisor, the same taps for every channel.

    taps : (k,) or (height, width) in convolution order; before, after : samples read on each side of an output
    gaps : what a missing input does to the sum; missing : what is asked for where the signal itself is missing
    summarises : the outputs stand for whole windows (a pool) and not for the sample that they stand at
    """

    taps: npt.NDArray[np.float64]
    before: tuple[int, ...]
    after: tuple[int, ...]
    step: tuple[int, ...]
    anchor: tuple[int, ...]
    divisor: float = 1.0
    gaps: Gaps = "renormalise"
    missing: Missing = "keep"
    summarises: bool = False
    exact: bool = False

    # Whole numbers are taken as they are stored; operations that do not say so are given the samples.
    takes_stored = True

    @classmethod
    def by(
        cls,
        kernel: Kernel,
        align: Align,
        *,
        step: tuple[int, ...] | None = None,
        missing: Missing = "keep",
        exact: bool = False,
    ) -> Convolve:
        """The operation that convolves with `kernel` and keeps every `step`-th output."""
        offsets = kernel.offsets(align)
        return cls(
            taps=kernel.taps,
            before=tuple(before for before, _ in offsets),
            after=tuple(after for _, after in offsets),
            step=step or (1,) * kernel.taps.ndim,
            anchor=(0,) * kernel.taps.ndim,
            divisor=kernel.divisor,
            gaps=kernel.gaps or "renormalise",
            missing=missing,
            exact=exact,
        )

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """One Reach per axis of the taps."""
        return tuple(
            Reach(before=b, after=a, step=s, anchor=c)
            for b, a, s, c in zip(self.before, self.after, self.step, self.anchor, strict=True)
        )

    @property
    def holds(self) -> bool:
        """As the kernel says."""
        return self.gaps == "hold"

    @property
    def rounding(self) -> Rounding:
        """As the taps are."""
        return of_taps(self.taps, self.divisor)

    def __call__(self, x: Array, span: Span, earlier: Earlier = nothing_earlier) -> Array:
        """Convolve; NaN in `x` is missing. Stored numbers are taken as they are."""
        window = np.flip(self.taps)
        if all_finite(x):
            return mean_valid(x, window, self.divisor, self.step, exact=self.exact, finite=True)
        if not gaps.any_missing(x):
            return self._mean(x, window)
        y = self._over_gaps(x, window, earlier)
        if self.missing == "propagate":
            y[gaps.touched(np.isnan(x), window, self.step)] = np.nan
        elif self.missing != "fill" and not self.summarises:
            y[np.isnan(self._standing_at(x, y.shape))] = np.nan
        return y

    def _mean(self, x: Array, window: npt.NDArray[np.float64]) -> Array:
        return mean_valid(x, window, self.divisor, self.step, exact=self.exact)

    def _over_gaps(self, x: Array, window: npt.NDArray[np.float64], earlier: Earlier) -> Array:
        if self.gaps == "renormalise":
            return gaps.renormalised(x, window, self.divisor, self.step, exact=self.exact)
        if self.gaps == "hold":
            held = gaps.hold(x, earlier)
            unknown = np.isnan(held)
            y = self._mean(np.where(unknown, 0.0, held), window)
            before = earlier() if np.isnan(x[0]).any() else None
            known = (
                gaps.known_by(x, before, window.shape[0], self.step[0], len(y))
                if x.ndim == 2
                else None
            )
            y[gaps.touched(unknown, window, self.step) if known is None else ~known] = np.nan
            return y
        there = np.where(np.isnan(x), 0.0, x).astype(x.dtype)
        y = self._mean(there, window)
        y[gaps.touched(np.isnan(x), window, self.step)] = np.nan
        return y

    def _standing_at(self, x: Array, shape: tuple[int, ...]) -> Array:
        """The inputs at which the outputs stand."""
        places = tuple(
            slice(b + c, b + c + (m - 1) * s + 1, s)
            for b, c, m, s in zip(self.before, self.anchor, shape, self.step, strict=False)
        )
        return x[places]


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The largest (np.fmax) or smallest (np.fmin) of windows of `size` samples; missing ones are passed over."""

    fold: Callable[..., Any]
    size: tuple[int, ...]
    step: tuple[int, ...]
    before: tuple[int, ...]
    anchor: tuple[int, ...]
    missing: Missing = "keep"

    @property
    def reach(self) -> tuple[Reach, ...]:
        """A window starts at the sample k*step - before."""
        geometry = zip(self.size, self.step, self.before, self.anchor, strict=True)
        return tuple(Reach(before=b, after=n - 1 - b, step=s, anchor=c) for n, s, b, c in geometry)

    holds = False
    rounding: Rounding = "exact"

    def __call__(self, x: Array, span: Span, earlier: Earlier = nothing_earlier) -> Array:
        """Fold the windows, one axis after the other."""
        fold = self.fold
        if self.missing == "propagate":
            fold = np.maximum if self.fold is np.fmax else np.minimum
        for axis, (size, step, (start, stop)) in enumerate(
            zip(self.size, self.step, span, strict=True)
        ):
            x = folded(fold, windowed(x, size, step, stop - start, axis))
        return x


def windowed(x: Array, size: int, step: int, outputs: int, axis: int) -> Iterator[Array]:
    """The first sample of every window along `axis`, then the second of every window, and so on."""
    for j in range(size):
        yield x[(slice(None),) * axis + (slice(j, j + (outputs - 1) * step + 1, step),)]


def folded(fold: Callable[..., Any], arrays: Iterator[Array]) -> Array:
    """All arrays put together by `fold`, one after the other."""
    y = np.array(next(arrays))
    for array in arrays:
        fold(y, array, out=y)
    return y


@dataclass(frozen=True, eq=False, kw_only=True)
class Pointwise:
    """The same function of every sample. `keeps` names channels that it leaves alone (the alpha of a picture)."""

    function: Callable[[Array], Array]
    axes: int
    keeps: int | None = None
    rounding: Rounding = "irrational"

    @property
    def reach(self) -> tuple[Reach, ...]:
        """Nothing but the sample itself."""
        return (Reach(),) * self.axes

    holds = False

    def __call__(self, x: Array, span: Span, earlier: Earlier = nothing_earlier) -> Array:
        """Apply the function."""
        y = self.function(x)
        if self.keeps is not None:
            y[..., self.keeps] = x[..., self.keeps]
        return y


@dataclass(frozen=True, eq=False, kw_only=True)
class Magnitude:
    """sqrt(a**2 + b**2 + ...) of several convolutions that share their geometry: the strength of a gradient."""

    parts: tuple[Convolve, ...]

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """The widest of the parts on each axis."""
        return tuple(
            _widest(reaches) for reaches in zip(*(part.reach for part in self.parts), strict=True)
        )

    holds = False
    takes_stored = True

    @property
    def rounding(self) -> Rounding:
        """As the parts do: the root of a whole number is one, or no fraction."""
        return self.parts[0].rounding

    def __call__(self, x: Array, span: Span, earlier: Earlier = nothing_earlier) -> Array:
        """Convolve with each part, then the root of the sum of squares."""
        total: Any = None
        for part in self.parts:
            y = part(_within(x, self.reach, part.reach), span, earlier)
            y = summed(y)
            squares = np.square(y, out=y)
            total = squares if total is None else np.add(total, squares, out=total)
        strength: Array = np.sqrt(total, out=total)
        return strength


@dataclass(frozen=True, eq=False, kw_only=True)
class EachChannel:
    """One operation per channel, all of the same reach; a signal of one channel is fed to every one of them."""

    parts: tuple[Convolve, ...]
    takes_stored = True

    @property
    def reach(self) -> tuple[Reach, ...]:
        """That of the first, as of all."""
        return self.parts[0].reach

    @property
    def holds(self) -> bool:
        """As the parts do."""
        return any(part.holds for part in self.parts)

    def __call__(self, x: Array, span: Span, earlier: Earlier = nothing_earlier) -> Array:
        """Filter each channel by itself."""
        lanes = [x[..., c : c + 1] if x.shape[-1] > 1 else x for c in range(len(self.parts))]
        return np.concatenate(
            [
                part(lane, span, _of_channel(earlier, c))
                for c, (part, lane) in enumerate(zip(self.parts, lanes, strict=True))
            ],
            axis=-1,
        )


def _of_channel(earlier: Earlier, channel: int) -> Earlier:
    def held() -> Array | None:
        values = earlier()
        return (
            values
            if values is None or values.shape[-1] == 1
            else values[..., channel : channel + 1]
        )

    return held


def _widest(reaches: tuple[Reach, ...]) -> Reach:
    return replace(
        reaches[0], before=max(r.before for r in reaches), after=max(r.after for r in reaches)
    )


def _within(x: Array, outer: tuple[Reach, ...], inner: tuple[Reach, ...]) -> Array:
    """The inputs of an operation of reach `inner` among those gathered for `outer`."""
    places = tuple(
        slice(o.before - i.before, x.shape[axis] - (o.after - i.after))
        for axis, (o, i) in enumerate(zip(outer, inner, strict=True))
    )
    return x[places]
