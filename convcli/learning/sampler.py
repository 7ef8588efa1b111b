"""The windows that a network is trained on, in random order or in the order of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.learning.dataset import allocate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import AnyArray, IntArray, Sizes
    from convcli.layers.training.gradients import Worker
    from convcli.learning.dataset import ReceptiveField, TrainingSignal
    from convcli.signals import Array

    # The sample that the first output of each window is aligned with: (count, axes).


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
        self.stride = np.multiply(outputs, field.step)
        # A window that begins before a signal or ends after it stays within the margins.
        margins = np.maximum(reads, self.stride) + np.abs(field.lead)
        self.sizes = np.array([each.train.shape for each in signals])
        self.corners = np.tile(margins, (len(signals), 1))
        self.corners[1:, 0] += np.cumsum(self.sizes[:-1, 0] + margins[0])
        self._join(signals, margins, dtype)
        self._inputs = _window_view(self.x, reads, (1,) * len(reads))
        self._targets = _window_view(self.y, outputs, field.step)
        self._masks = {
            False: _window_view(self.train, outputs, field.step),
            True: _window_view(self.held, outputs, field.step),
        }

    def _join(self, signals: Sequence[TrainingSignal], margins: Any, dtype: Any) -> None:
        """Copy the samples of all signals into one array, and so their targets and masks."""
        ends = self.corners + self.sizes
        last = ends.max(axis=0) + margins
        shape = tuple(last.tolist())
        places = [tuple(map(slice, *sides)) for sides in zip(self.corners, ends, strict=True)]
        self.x = _joined_arrays(shape, places, [each.x for each in signals], dtype)
        self.y = _joined_arrays(shape, places, [each.y for each in signals], dtype)
        self.train = _joined_arrays(shape, places, [each.train for each in signals], bool)
        self.held = _joined_arrays(shape, places, [each.held for each in signals], bool)

    def shuffled(self, random: np.random.Generator) -> IntArray:
        """Windows that cover the training samples once, in random order from a random offset."""
        offsets = np.array([random.integers(0, stride) for stride in self.stride])
        positions = self._side_by_side(offsets, self.train.shape, held_out=False)
        return positions[random.permutation(len(positions))]

    def in_order(self, *, held_out: bool) -> IntArray:
        """Windows whose outputs are aligned with the samples at which the model has outputs."""
        # Outputs before the signal, which padding makes, have no target.
        cells = np.multiply(self.field.cell, self.field.step)
        firsts = np.maximum(self.field.start, np.mod(self.field.start, cells))
        starts = self.corners + firsts
        found = [
            self._side_by_side(start, start + size, held_out=held_out)
            for start, size in zip(starts, self.sizes, strict=True)
        ]
        return np.concatenate(found)

    def _side_by_side(self, starts: Any, stops: Any, *, held_out: bool) -> IntArray:
        """Windows side by side in [starts, stops), without those whose weights are all 0."""
        axes = []
        sides = zip(starts, stops, self.stride, self.train.shape, strict=True)
        for start, stop, stride, length in sides:
            axis = np.arange(start, stop, stride)
            # A window that does not fit at the end would lie in the margin.
            fits = axis + stride <= length
            axes.append(axis[fits])
        grid = np.meshgrid(*axes, indexing="ij")
        positions: IntArray = np.stack(grid, axis=-1).reshape(-1, len(axes))
        masks = self._masks[held_out][tuple(positions.T)]
        by_window = masks.reshape(len(positions), -1)
        kept: IntArray = positions[by_window.any(axis=1)]
        return kept

    def count(self, positions: IntArray) -> int:
        """Number of training samples in the windows at `positions`."""
        masks = self._masks[False][tuple(positions.T)]
        return int(np.count_nonzero(masks))

    def load(self, worker: Worker, positions: IntArray, *, held_out: bool) -> tuple[Array, Array]:
        """Copy windows into the input of `worker`; returns their targets and their weights."""
        starts = positions - np.array(self.field.lead)
        worker.x[...] = self._inputs[tuple(starts.T)]
        at = tuple(positions.T)
        return self._targets[at], self._masks[held_out][at][..., None]


def _joined_arrays(shape: Sizes, places: list[Any], arrays: list[AnyArray], dtype: Any) -> AnyArray:
    """One array with the samples of each of `arrays` in its place, and zeros around them."""
    channels = arrays[0].shape[len(shape) :]
    joined = allocate((*shape, *channels), dtype)
    for place, array in zip(places, arrays, strict=True):
        joined[place] = array
    return joined


def _window_view(a: AnyArray, shape: Sizes, step: Sizes) -> Any:
    """View of the windows that begin at each sample: (positions..., shape..., channels)."""
    axes = len(shape)
    last_sample = np.multiply(np.subtract(shape, 1), step)
    counts = np.subtract(a.shape[:axes], last_sample)
    inner = np.multiply(a.strides[:axes], step)
    return np.lib.stride_tricks.as_strided(
        a,
        (*counts, *shape, *a.shape[axes:]),
        (*a.strides[:axes], *inner, *a.strides[axes:]),
        writeable=False,
    )
