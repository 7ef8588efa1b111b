"""The windows that a network is trained on, in random order or in the order of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.learning.dataset import allocate

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from convcli.layers.gradients import Worker
    from convcli.learning.dataset import ReceptiveField, Sizes, TrainingSignal
    from convcli.signals import Array

    # The sample that the first output of each window is aligned with: (count, axes).
    Positions = npt.NDArray[np.int64]


class WindowSampler:
    """Windows of one size in all signals.

    The signals lie in one array, with margins between them that no window crosses. Windows are cut
    anywhere; samples that must not be learned from have weight 0.

    outputs : outputs of one window along each axis; reads : samples that they read
    """

    def __init__(
        self,
        signals: Sequence[TrainingSignal],
        field: ReceptiveField,
        outputs: Sizes,
        reads: Sizes,
        dtype: Any,
    ) -> None:
        self.field = field
        self.outputs = outputs
        # Samples from the first output of one window to that of the next.
        self.stride = tuple(n * s for n, s in zip(outputs, field.step, strict=True))
        margins = _margins(reads, self.stride, field.before)
        self.sizes = [each.train.shape for each in signals]
        self.corners = _corners(self.sizes, margins)
        shape = _shape_with(self.sizes, self.corners, margins)
        self.x = allocate((*shape, signals[0].x.shape[-1]), dtype)
        self.y = allocate((*shape, signals[0].y.shape[-1]), dtype)
        self.train = allocate(shape, bool)
        self.held = allocate(shape, bool)
        for corner, each in zip(self.corners, signals, strict=True):
            self._put(corner, each)
        ones = (1,) * len(reads)
        self._inputs = _window_view(self.x, reads, ones)
        self._targets = _window_view(self.y, outputs, field.step)
        self._masks = {
            False: _window_view(self.train, outputs, field.step),
            True: _window_view(self.held, outputs, field.step),
        }

    def _put(self, corner: Sizes, signal: TrainingSignal) -> None:
        sides = zip(corner, signal.train.shape, strict=True)
        place = tuple(slice(first, first + n) for first, n in sides)
        self.x[place] = signal.x
        self.y[place] = signal.y
        self.train[place] = signal.train
        self.held[place] = signal.held

    def shuffled(self, random: np.random.Generator) -> Positions:
        """Windows that cover the training samples once, in random order from a random offset."""
        offsets = tuple(int(random.integers(0, stride)) for stride in self.stride)
        positions = self._side_by_side(offsets, self.train.shape, held_out=False)
        return positions[random.permutation(len(positions))]

    def in_order(self, *, held_out: bool) -> Positions:
        """Windows whose outputs are aligned with the samples at which the model has outputs."""
        found = []
        for corner, size in zip(self.corners, self.sizes, strict=True):
            # Outputs before the signal, which padding makes, have no target.
            firsts = [
                max(start, start % step)
                for start, step in zip(self.field.start, self.field.step, strict=True)
            ]
            starts = tuple(c + first for c, first in zip(corner, firsts, strict=True))
            stops = tuple(start + n for start, n in zip(starts, size, strict=True))
            found.append(self._side_by_side(starts, stops, held_out=held_out))
        return np.concatenate(found)

    def _side_by_side(self, starts: Sizes, stops: Sizes, *, held_out: bool) -> Positions:
        """Windows side by side in [starts, stops), without those whose weights are all 0."""
        axes = []
        sides = zip(starts, stops, self.stride, self.train.shape, strict=True)
        for start, stop, stride, length in sides:
            count = -(-(stop - start) // stride)
            axis = start + stride * np.arange(count)
            # A window that does not fit at the end would lie in the margin.
            axes.append(axis[axis + stride <= length])
        grid = np.meshgrid(*axes, indexing="ij")
        positions: Positions = np.stack(grid, axis=-1).reshape(-1, len(axes))
        masks = self._masks[held_out][tuple(positions.T)]
        kept: Positions = positions[masks.reshape(len(positions), -1).any(axis=1)]
        return kept

    def count(self, positions: Positions) -> int:
        """Number of training samples in the windows at `positions`."""
        return int(np.count_nonzero(self._masks[False][tuple(positions.T)]))

    def load(self, worker: Worker, positions: Positions, *, held_out: bool) -> tuple[Array, Array]:
        """Copy windows into the input of `worker`; returns their targets and their weights."""
        starts = positions - np.array(self.field.before)
        worker.x[...] = self._inputs[tuple(starts.T)]
        at = tuple(positions.T)
        return self._targets[at], self._masks[held_out][at][..., None]


def _margins(reads: Sizes, stride: Sizes, before: Sizes) -> Sizes:
    """Samples to leave around each signal, so that no window reaches beyond them."""
    sides = zip(reads, stride, before, strict=True)
    return tuple(max(read, step) + abs(earlier) for read, step, earlier in sides)


def _corners(sizes: Sequence[Sizes], margins: Sizes) -> list[Sizes]:
    """First sample of each signal in an array that has them one below the other."""
    corners = []
    top = margins[0]
    for size in sizes:
        corners.append((top, *margins[1:]))
        top += size[0] + margins[0]
    return corners


def _shape_with(sizes: Sequence[Sizes], corners: Sequence[Sizes], margins: Sizes) -> Sizes:
    """Shape of the array that holds all signals and their margins."""
    height = corners[-1][0] + sizes[-1][0] + margins[0]
    widths = [
        max(size[axis] for size in sizes) + 2 * margins[axis] for axis in range(1, len(margins))
    ]
    return (height, *widths)


def _window_view(a: npt.NDArray[Any], shape: Sizes, step: Sizes) -> Any:
    """View of the windows that begin at each sample: (positions..., shape..., channels)."""
    axes = len(shape)
    sides = zip(a.shape, shape, step, strict=False)
    counts = tuple(n - (k - 1) * s for n, k, s in sides)
    inner = tuple(stride * s for stride, s in zip(a.strides, step, strict=False))
    strides = (*a.strides[:axes], *inner, *a.strides[axes:])
    return np.lib.stride_tricks.as_strided(
        a, (*counts, *shape, *a.shape[axes:]), strides, writeable=False
    )
