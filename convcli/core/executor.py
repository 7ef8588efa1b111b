"""What computes several operations of a chain at once: the door to libraries that run networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from convcli.core.chain import Chain
    from convcli.core.ops import Span
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


def reads_any(
    chain: Chain, marked: npt.NDArray[np.bool_], span: Span, starts: Sequence[int]
) -> Any:
    """Mark the outputs of a chain that read a sample which is marked.

    marked : (n,) or (rows, columns), from the samples `starts` on
    Returns booleans of the shape of the outputs `span`.
    """
    counts: Any = marked.astype(np.int64)
    for axis, ((start, stop), first) in enumerate(zip(span, starts, strict=True)):
        low, high = chain.inputs_of_each(axis, np.arange(start, stop))
        below = np.insert(np.cumsum(counts, axis=axis), 0, 0, axis=axis)
        count = counts.shape[axis]
        up_to = [np.take(below, np.clip(end - first, 0, count), axis=axis) for end in (high, low)]
        counts = up_to[0] - up_to[1]
    return counts > 0
