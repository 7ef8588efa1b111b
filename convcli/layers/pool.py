"""Pools: steps of FILTER, in a network with the windows and the gradients of torch."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from convcli.core.op import Complete
from convcli.core.ops import Convolve
from convcli.core.windows.sliding import SlidingStatistic, WindowFunction, folded, windowed
from convcli.dataclass import dataclass
from convcli.layers.layer import StepLayer, layer
from convcli.layers.padding import Sides, begun_windows, extended_input, widths_of
from convcli.layers.training.trained import (
    BatchLayer,
    TrainedLayer,
    inputs_of_windows,
    trained_form,
)
from convcli.units import Size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from convcli.array_types import Sizes
    from convcli.core.binding import Stage
    from convcli.core.op import Op, Span
    from convcli.core.reach import Reach
    from convcli.layers.layer import LayerSite
    from convcli.layers.onnx.writer import ExportPlace
    from convcli.layers.training.trained import BatchShape
    from convcli.planning.calls import Call
    from convcli.signals import Array, Signal


@layer("avg_pool", "sum_pool", "max_pool", "min_pool")
@dataclass(frozen=True)
class PoolLayer(StepLayer):
    """A mean, sum, maximum or minimum of each window of N (or HxW), as the pools of torch.

    padding : samples at both ends of each axis: zeros for a mean or sum, nothing for an extreme
    dilation : of the window of an extreme
    ceil_mode : a last window that the input does not fill counts, too
    count_include_pad : a mean counts the zeros of the padding
    """

    n: Size
    _: KW_ONLY
    stride: Size | None = None
    padding: Sides | None = None
    dilation: Size | None = None
    ceil_mode: bool = False
    count_include_pad: bool = True

    trainable: ClassVar[bool] = True
    keeps_level: ClassVar[bool] = False

    @classmethod
    def read(cls, call: Call, signal: Signal) -> Self:
        """The layer that `call` says. RequestError points at what is wrong."""
        return super(StepLayer, cls).read(call, signal)

    @property
    def pads(self) -> bool:
        """Whether the layer extends its own input."""
        return self.padding is not None or self.ceil_mode

    @property
    def _folds(self) -> np.ufunc | None:
        """The function of two samples that finds an extreme; None for a mean or sum."""
        return {"max_pool": np.fmax, "min_pool": np.fmin}.get(self.call.name)

    def bind(self, site: LayerSite) -> tuple[Stage, ...]:
        """Return one stage; where layers pad as in torch, only complete windows count."""
        (op,) = self._step_ops(site) or (None,)
        if op is not None and self.dilation is not None:
            op = self._spread(op)
        ops = [] if op is None else [op]
        if site.padding == "torch":
            ops = [*self._extensions(), *map(Complete, ops)]
        elif self.pads:
            raise self.call.error(
                "a padding of pools and ceil_mode look ahead", hint="--align center"
            )
        return (site.stage(*ops),)

    def export(self, place: ExportPlace) -> None:
        """Add a MaxPool or AveragePool; a minimum is a maximum of what is below 0."""
        if place.padding == "causal":
            raise self.call.error(
                f"{self.call.name} is not exported from a causal network with a padding",
                hint="a padding that ONNX has not: each pool reads samples before the signal",
            )
        graph = place.graph
        options: dict[str, Any] = {
            "kernel_shape": self.n,
            "strides": self.stride or self.n,
            "pads": place.pads(self.padding),
            "ceil_mode": int(self.ceil_mode),
        }
        name = self.call.name
        if self._folds is not None:
            options["dilations"] = self.dilation or (1,) * len(self.n)
        if name == "min_pool":
            graph.node("Neg")
        if self._folds is not None:
            graph.node("MaxPool", **options)
        else:
            counted = name == "sum_pool" or self.count_include_pad
            graph.node("AveragePool", count_include_pad=int(counted), **options)
        if name == "min_pool":
            graph.node("Neg")
        if name == "sum_pool":
            graph.node("Mul", graph.constant(f"{len(graph.nodes)}.size", math.prod(self.n)))

    def _step_ops(self, site: LayerSite) -> tuple[Op, ...]:
        """The operation of the step of this name; none where it changes nothing."""
        written = [
            each
            for each in self.call.arguments
            if each.key is None or each.key.casefold() in {"n", "stride"}
        ]
        step = replace(self, call=replace(self.call, arguments=tuple(written)))
        (stage,) = super(PoolLayer, step).bind(site)
        return stage.ops

    def _spread(self, op: Op) -> Op:
        """The extreme of windows with gaps between their samples."""
        if self._folds is None:
            raise self.call.error("only max_pool and min_pool have a dilation, as in torch")
        spacing = self.dilation or (1,) * len(self.n)
        return spread_extreme(self._folds, op.reach, self.n, spacing)

    def _extensions(self) -> Iterator[Op]:
        """Yield what extends the input: padding, and missing samples for a last window."""
        if self.padding is not None:
            if any(2 * side > n for side, n in zip(self.padding, self.n, strict=True)):
                raise self.call.error("a pool pads by half of its window at most, as in torch")
            zeros = self._folds is None and self.count_include_pad
            both_sides = [(side, side) for side in self.padding]
            text = f"the padding of {self.call.text}"
            yield extended_input(both_sides, "zero" if zeros else "shrink", text=text)
        if self.ceil_mode:
            sides = self.padding or (0,) * len(self.n)
            widths = widths_of(self.n, self.dilation or (1,) * len(self.n))
            pads = [(side, side) for side in sides]
            text = f"the last window of {self.call.text}"
            yield begun_windows(widths, pads, self.stride or self.n, text=text)


@dataclass(frozen=True, eq=False, kw_only=True)
class SpreadExtreme(WindowFunction):
    """The largest (np.fmax) or smallest (np.fmin) known sample of a window with gaps in it.

    distance : inputs from one sample of a window to the next, on each axis
    """

    of_two: np.ufunc
    distance: Sizes

    rounding = "exact"

    @property
    def fold(self) -> np.ufunc:
        """The larger or the smaller of two samples."""
        return self.of_two

    @property
    def spacing(self) -> Sizes:
        """The distance of the samples of a window."""
        return self.distance

    def of_windows(self, x: Array, size: Sizes, step: Sizes) -> Array:
        """Fold the windows, one axis after the other."""
        sides = zip(size, step, self.distance, strict=True)
        for axis, (width, stride, space) in enumerate(sides, start=1):
            outputs = (x.shape[axis] - width) // stride + 1
            every = list(windowed(x, width, stride, outputs, axis))[::space]
            x = folded(self.of_two, iter(every))
        return x


def spread_extreme(
    of_two: np.ufunc, near: Sequence[Reach], size: Sizes, spacing: Sizes
) -> SlidingStatistic:
    """The extreme of windows with gaps between their samples.

    of_two : np.fmax or np.fmin
    near : reach of windows of this size without gaps, which begin at the same samples
    spacing : inputs from one sample of a window to the next, on each axis
    """
    return SlidingStatistic(
        function=SpreadExtreme(of_two=of_two, distance=spacing),
        size=widths_of(size, spacing),
        step=tuple(reach.step for reach in near),
        before=tuple(reach.before for reach in near),
        anchor=tuple(reach.anchor for reach in near),
        summarises=True,
    )


@layer("adaptive_avg_pool", "adaptive_max_pool", "global_avg_pool", "global_max_pool")
@dataclass(frozen=True, kw_only=True)
class GlobalPoolLayer(StepLayer):
    """A pool that reduces the whole signal to a few numbers."""

    untrainable_hint: ClassVar[str | None] = (
        "it makes one answer of a whole signal, and the target has one for every sample"
    )
    keeps_level: ClassVar[bool] = False

    def export(self, place: ExportPlace) -> None:
        """Add a GlobalAveragePool or GlobalMaxPool; ONNX has no adaptive pool of several bins."""
        kinds = {"global_avg_pool": "GlobalAveragePool", "global_max_pool": "GlobalMaxPool"}
        if self.call.name not in kinds:
            super().export(place)
        place.graph.node(kinds[self.call.name])


@dataclass(frozen=True, kw_only=True)
class TrainedPool(TrainedLayer):
    """A pool in training: a fold (np.fmax, np.fmin, np.add) of each window, times `scale`.

    size : inputs from the first to the last of a window; step : from one window to the next
    spacing : inputs from one sample of a window to the next
    before : inputs of a window before k * step
    """

    fold: Any
    size: Sizes
    step: Sizes
    before: Sizes
    spacing: Sizes
    scale: float = 1.0

    # A maximum or minimum is compared with its window again, to find where it came from.
    reads_its_outputs = True
    homogeneous = True

    def needs(self, outputs: Span) -> Span:
        """Return the inputs of the windows."""
        return inputs_of_windows(outputs, step=self.step, before=self.before, widths=self.size)

    def from_the_start(self) -> TrainedPool:
        """Return the pool with windows the first of which begins at input 0."""
        return replace(self, before=(0,) * len(self.size))

    @property
    def pace(self) -> tuple[tuple[int, int], ...]:
        """Return the inputs from one window to the next, for one output, on each axis."""
        return tuple((step, 1) for step in self.step)

    @property
    def side_by_side_sums(self) -> tuple[Sizes, float] | None:
        """Size and factor of sums over windows side by side that begin at sample 0; or None."""
        if self.fold is not np.add or self.step != self.size or any(self.before):
            return None
        return self.size, self.scale

    def for_batches(self, batch: BatchShape) -> BatchPool:
        """Return what computes the pool for mini-batches of this shape."""
        return BatchPool(self, batch.made)


@trained_form.register(SlidingStatistic)
def _trained_extreme(op: SlidingStatistic) -> TrainedPool:
    """How a maximum or minimum is trained. NotImplementedError for any other statistic."""
    fold = op.function.fold
    if fold is None:
        raise NotImplementedError
    spacing = op.function.spacing or (1,) * len(op.size)
    return TrainedPool(fold=fold, size=op.size, step=op.step, before=op.before, spacing=spacing)


@trained_form.register(Convolve)
def _trained_mean(op: Convolve) -> TrainedPool:
    """How a mean or sum of each window is trained."""
    size = op.taps.shape
    return TrainedPool(
        fold=np.add,
        size=size,
        step=op.step,
        before=op.before,
        spacing=(1,) * len(size),
        scale=1 / op.divisor,
    )


@trained_form.register(Complete)
def _trained_complete(op: Complete) -> TrainedLayer | None:
    """The layer on complete windows, the first of which begins at input 0."""
    trained = trained_form(op.op)
    return None if trained is None else trained.from_the_start()


class BatchPool(BatchLayer):
    """Computes a pool on mini-batches, one axis after the other."""

    def __init__(self, pool: TrainedPool, outputs: Sizes) -> None:
        self.pool = pool
        self.outputs = outputs
        # Inputs and outputs of each axis.
        self.kept: list[tuple[Array, Array]] = []

    def _windows(self, x: Array, axis: int) -> Iterable[Array]:
        size, step = self.pool.size[axis], self.pool.step[axis]
        samples = windowed(x, size, step, self.outputs[axis], axis + 1)
        return islice(samples, 0, None, self.pool.spacing[axis])

    def forward(self, x: Array) -> Array:
        """Reduce each window to its sum or extreme, times the scale of the pool."""
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
