"""What computes several operations of a chain at once: the door to libraries that run networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.convolution.convolve import all_finite
from convcli.dataclass import dataclass
from convcli.samples import sums_as_floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import BoolArray
    from convcli.core.chain import Chain
    from convcli.core.op import Span
    from convcli.core.task import OpTask
    from convcli.signals import Array

# Samples that an operation adds before and after its inputs, on each axis.
Pads = tuple[tuple[int, int], ...]


class Executor(ABC):
    """Computes operations that follow each other, on float32 samples none of which is missing.

    An output must be the same, bit for bit, whatever other outputs are computed with it.

    chain : the operations
    """

    chain: Chain

    @property
    def count(self) -> int:
        """How many operations are computed at once."""
        return len(self.chain.ops)

    @abstractmethod
    def outputs(self, x: Array, pads: Sequence[Pads]) -> Array:
        """Return all outputs whose windows are complete.

        x : finite samples, (n, channels) or (rows, columns, channels)
        pads : zeros that each operation puts beside its inputs
        """


def reads_any(chain: Chain, marked: BoolArray, span: Span, starts: Sequence[int]) -> Any:
    """Mark the outputs of a chain that read a sample which is marked.

    marked : (n,) or (rows, columns), from the samples `starts` on
    Returns booleans of the shape of the outputs `span`.
    """
    counts: Any = marked.astype(np.int64)
    for axis, ((start, stop), first) in enumerate(zip(span, starts, strict=True)):
        outputs = np.arange(start, stop)
        low, high = chain.needs(axis, outputs, outputs + 1)[0]
        below = np.insert(np.cumsum(counts, axis=axis), 0, 0, axis=axis)
        count = counts.shape[axis]
        up_to = [np.take(below, np.clip(end - first, 0, count), axis=axis) for end in (high, low)]
        counts = up_to[0] - up_to[1]
    return counts > 0


@dataclass(frozen=True, eq=False, kw_only=True)
class ExecutedPart:
    """What an executor computes in a run.

    inputs, span : what it reads for which outputs, on each axis
    places : of the inputs among those that its first operation is given
    pads : zeros that each operation puts beside its inputs
    """

    inputs: Span
    span: Span
    places: tuple[slice, ...]
    pads: Sequence[Pads]


class ExecutedRun:
    """A computation of a chain in which executors compute some of the operations.

    tasks : of all operations
    """

    def __init__(self, chain: Chain, tasks: list[OpTask]) -> None:
        self.chain = chain
        self.tasks = tasks
        # By the number of the first operation of an executor; None where it is not used.
        self._parts: dict[int, ExecutedPart | None] = {}

    def outputs(self, x: Array) -> Array:
        """Compute the outputs of the chain."""
        number = 0
        while number < len(self.tasks):
            if number > 0:
                x = sums_as_floats(x)
            executor = self.chain.executor_at(number, x)
            if executor is None:
                x = self._each(x, number, number + 1)
                number += 1
            else:
                x = self._executed(x, number, executor)
                number += executor.count
        return x

    def _each(self, x: Array, start: int, stop: int) -> Array:
        y, _ = self.chain.compute_each(x, self.tasks[start:stop], first=start)
        return y

    def _executed(self, x: Array, start: int, executor: Executor) -> Array:
        """Compute the operations of an executor.

        Outputs that read samples which are missing or infinite, or overflow, are computed one
        operation after the other. This is decided for each output by itself, so that it is the same
        in blocks of any size.
        """
        stop = start + executor.count
        if start not in self._parts:
            self._parts[start] = _part_of(executor, self.tasks[start:stop])
        part = self._parts[start]
        if part is None:
            return self._each(x, start, stop)
        samples = x[part.places]
        if all_finite(samples):
            y = executor.outputs(samples, part.pads)
            if all_finite(y):
                return y
        unusual: Any = ~np.isfinite(samples)
        y = executor.outputs(np.where(unusual, np.float32(0), samples), part.pads)
        each = self._each(x, start, stop)
        starts = [low for low, _ in part.inputs]
        touched = reads_any(executor.chain, unusual.any(axis=-1), part.span, starts)
        usual = _all_known(y, each) & ~touched
        return np.where(usual[..., None], y, each)


def _part_of(executor: Executor, tasks: Sequence[OpTask]) -> ExecutedPart | None:
    """What an executor computes for the tasks of its operations.

    None if an operation has an input of no samples, or windows that lie outside of its input.
    """
    span = tasks[-1].outputs
    inputs, pads = executor.chain.inputs_and_pads(span, tasks[0].ends)
    fewest = [min(pair) for sides in pads for pair in sides]
    if min(fewest) < 0 or any(0 in task.ends for task in tasks):
        return None
    pairs = zip(inputs, tasks[0].starts, strict=True)
    places = tuple(slice(low - given, high - given) for (low, high), given in pairs)
    return ExecutedPart(inputs=inputs, span=span, places=places, pads=tuple(pads))


def _all_known(y: Array, each: Array) -> Any:
    """Mark the outputs of which all channels are finite in `y` and none is missing in `each`."""
    finite = np.isfinite(y).all(axis=-1)
    missing = np.isnan(each).any(axis=-1)
    return finite & ~missing
