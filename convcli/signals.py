"""The one noun: what is known of a signal before its samples, and how samples come and go.

Sample axes first, channels last, for every medium: audio `(time, channel)`, table `(row, column)`,
image `(row, column, channel)`. A stream always runs along axis 0. A missing sample is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.floating[Any]]
    Rows = npt.NDArray[np.int64]
    AnyRows = Rows | range

Medium = Literal["audio", "table", "image", "array"]
Align = Literal["center", "causal"]
Missing = Literal["keep", "fill", "propagate", "error"]


@dataclass(frozen=True, kw_only=True)
class Signal:
    """A signal without its samples.

    shape : samples along each sample axis, `(n,)` or `(rows, columns)`; None where a stream has not said yet
    channels : a name per channel (`left`, `Close`, `R`)
    rate : samples per second along axis 0; None where the signal knows no time
    cycle : the seconds in which a bare frequency is counted (1 = Hz; 86400 = cycles per day)
    alpha : index of the channel that weights the others, or None
    full_scale : the value that stands for the loudest, brightest or wholly opaque: 1 in sound, 255 in an 8-bit image
    """

    medium: Medium
    shape: tuple[int | None, ...]
    channels: tuple[str, ...]
    rate: float | None = None
    cycle: float = 1.0
    alpha: int | None = None
    full_scale: float = 1.0

    @property
    def axes(self) -> int:
        """Number of sample axes: 1 for sound and tables, 2 for images."""
        return len(self.shape)


@dataclass(frozen=True)
class Groups:
    """Which of several interleaved signals each row of a block belongs to.

    names : the groups met in this block; codes : (n,) indices into `names`
    """

    names: list[bytes]
    codes: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Consecutive samples, `(n, channels)` or `(rows, columns, channels)`; NaN is missing.

    stored : floating, or whole numbers as the file stores them (`samples.py`), for who can compute with those
    """

    stored: npt.NDArray[Any]
    groups: Groups | None = None

    @cached_property
    def x(self) -> Array:
        """The samples, floating."""
        from convcli.samples import as_samples

        return as_samples(self.stored)


Raw = TypeVar("Raw")
Encoded = TypeVar("Encoded")


class Source(Protocol[Raw]):
    """Samples from a file or a pipe. `chunks` is called by one thread, `decode` by any."""

    signal: Signal

    def chunks(self) -> Iterator[Raw]:
        """Undecoded pieces in their order. A second call starts over; on a pipe it raises InputError."""
        ...

    def decode(self, raw: Raw) -> Block:
        """The samples of one piece. Pure: it may run in any thread and in any order."""
        ...


class Sink(Protocol[Encoded]):
    """Where samples go. `encode` is called by any thread, `write` by one, in order."""

    def encode(self, y: Array, rows: AnyRows) -> Encoded:
        """`y` as the medium stores it; `rows[i]`, increasing, is the input row (sample) that `y[i]` stands at."""
        ...

    def write(self, encoded: Encoded) -> None:
        """Append what `encode` made."""
        ...
