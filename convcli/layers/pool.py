"""Pools: steps of FILTER, in a network with the windows and the gradients of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convcli.core.ops import Complete, Convolve
from convcli.core.sliding import SlidingStatistic, folded, windowed
from convcli.layers.layer import StepLayer, layer
from convcli.layers.trained import BatchLayer, TrainedLayer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.core.binding import Stage
    from convcli.core.ops import Op
    from convcli.layers.layer import LayerSite
    from convcli.layers.trained import BatchShape, Sizes
    from convcli.signals import Array


@layer("avg_pool", "sum_pool", "max_pool", "min_pool")
@dataclass(frozen=True, kw_only=True)
class PoolLayer(StepLayer):
    """A mean, sum, maximum or minimum of each window."""

    trainable: ClassVar[bool] = True
    keeps_level: ClassVar[bool] = False

    def bind(self, site: LayerSite) -> tuple[Stage, ...]:
        """Return one stage; where layers pad as in torch, only complete windows count."""
        (stage,) = super().bind(site)
        if site.padding != "torch":
            return (stage,)
        return (site.stage(*map(Complete, stage.ops)),)

    def trained(self, op: Op) -> TrainedPool | None:
        """The pool as training sees it."""
        if isinstance(op, Complete):
            op = op.op
        if isinstance(op, SlidingStatistic) and op.function.fold is not None:
            fold = op.function.fold
            return TrainedPool(fold=fold, size=op.size, step=op.step, before=op.before)
        if isinstance(op, Convolve):
            size, scale = op.taps.shape, 1 / op.divisor
            return TrainedPool(fold=np.add, size=size, step=op.step, before=op.before, scale=scale)
        return None


@layer("adaptive_avg_pool", "adaptive_max_pool", "global_avg_pool", "global_max_pool")
@dataclass(frozen=True, kw_only=True)
class GlobalPoolLayer(StepLayer):
    """A pool that makes a few numbers of the whole signal."""

    untrainable_hint: ClassVar[str | None] = (
        "it makes one answer of a whole signal, and the target has one for every sample"
    )
    keeps_level: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class TrainedPool(TrainedLayer):
    """A pool in training: a fold (np.fmax, np.fmin, np.add) of each window, times `scale`."""

    fold: Any
    size: Sizes
    step: Sizes
    before: Sizes
    scale: float = 1.0

    # A maximum or minimum is compared with its window again, to find where it came from.
    reads_its_outputs: ClassVar[bool] = True

    def reads(self, outputs: Sizes) -> Sizes:
        """Return how many inputs so many outputs read."""
        return tuple((m - 1) * s + n for m, s, n in zip(outputs, self.step, self.size, strict=True))

    def first(self, output: Sizes) -> Sizes:
        """Return the first input that an output reads."""
        return tuple(k * s - b for k, s, b in zip(output, self.step, self.before, strict=True))

    @property
    def side_by_side_sums(self) -> tuple[Sizes, float] | None:
        """Size and factor of sums over windows side by side that begin at sample 0; or None."""
        if self.fold is not np.add or self.step != self.size or any(self.before):
            return None
        return self.size, self.scale

    def at_work(self, batch: BatchShape) -> BatchPool:
        """Return the pool at work on mini-batches."""
        return BatchPool(self, batch.made)


class BatchPool(BatchLayer):
    """A pool at work, one axis after the other."""

    def __init__(self, pool: TrainedPool, outputs: Sizes) -> None:
        self.pool = pool
        self.outputs = outputs
        # Inputs and outputs of each axis.
        self.kept: list[tuple[Array, Array]] = []

    def _windows(self, x: Array, axis: int) -> Iterable[Array]:
        size, step = self.pool.size[axis], self.pool.step[axis]
        return windowed(x, size, step, self.outputs[axis], axis + 1)

    def forward(self, x: Array) -> Array:
        """Fold the windows."""
        self.kept = []
        for axis in range(len(self.outputs)):
            y = folded(self.pool.fold, iter(self._windows(x, axis)))
            self.kept.append((x, y))
            x = y
        if self.pool.scale == 1:
            return x
        return x * np.asarray(self.pool.scale, x.dtype)

    def backward(self, dy: Array) -> Array:
        """Pass each derivative on to all inputs of a sum, or to the input that was chosen."""
        for axis in reversed(range(len(self.outputs))):
            x, y = self.kept[axis]
            dx = np.zeros_like(x)
            windows = zip(self._windows(x, axis), self._windows(dx, axis), strict=True)
            if self.pool.fold is np.add:
                for _, into in windows:
                    np.add(into, dy, out=into)
            else:
                # The first of equal inputs is the one that was passed on.
                open_ones = np.ones(y.shape, bool)
                for window, into in windows:
                    chosen = (window == y) & open_ones
                    np.add(into, dy * chosen, out=into)
                    open_ones &= ~chosen
            dy = dx
        return dy * np.asarray(self.pool.scale, dy.dtype)
