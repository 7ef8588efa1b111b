"""Grids of frames for the convolutions of a chain, so that blocks of any length give the same bits.

`core/convolution/frames.py` explains frames, cells and grids. Every convolution by FFT gets a grid,
and the grids are laid so that all cells end where those of the longest frames do. A job that ends
there ends with a cell in every operation.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from convcli.core.convolution.frames import LONGEST_TAPS, FrameGrid, grid_frame_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from convcli.core.chain import Chain

# Several shorter frames have as many outputs as the longest one only if some outputs of it are left
# out: at most this part of them.
LARGEST_LOSS = 1 / 16


def in_frames(chain: Chain, *, many: bool) -> Chain:
    """Return the chain with a grid for each convolution by FFT.

    The chain is returned as it is if this does not help, because some operation depends on where
    blocks end in any case, or if a filter has too many taps.

    many : see `FrameGrid`
    """
    taps = {k for op in chain.ops for k in op.framed_taps}
    grids = grids_of(taps, many=many)
    if chain.axes > 1 or not grids or not _has_one_rate(chain):
        return chain
    cell = max(grid.cell for grid in grids.values())
    framed = laid_chain(chain, grids, 0, cell)
    return chain if framed.cell is None else framed


def laid_chain(chain: Chain, grids: Mapping[int, FrameGrid], first: int, end: int) -> Chain:
    """Return a chain whose operations have grids, by the arguments of `Op.on_grids`.

    first, end : outputs of the chain; those of an operation follow from what the later ones read
    """
    begins = chain.needs(0, first, first + 1)[1:]
    ends = chain.needs(0, first, end)[1:]
    ops = [
        op.on_grids(grids, low, high)
        for op, (low, _), (_, high) in zip(chain.ops, begins, ends, strict=True)
    ]
    return replace(chain, ops=tuple(ops))


def grids_of(taps: Iterable[int], *, many: bool) -> dict[int, FrameGrid]:
    """Return a grid for each number of taps; the cells of the shorter divide those of the longest.

    There are none if the taps are too many, or if too many outputs of the longest frame would have
    to be left out.
    """
    sizes = {k: grid_frame_size(k) for k in taps if k <= LONGEST_TAPS}
    if not sizes or len(sizes) < len(set(taps)):
        return {}
    outputs = {k: size - k + 1 for k, size in sizes.items()}
    largest = max(sizes.values())
    kept = min(outputs[k] for k, size in sizes.items() if size == largest)
    frames = {k: -(-kept // count) for k, count in outputs.items()}
    together = math.lcm(*frames.values())
    lost = kept % together
    if lost > kept * LARGEST_LOSS:
        return {}
    return {
        k: FrameGrid(size=sizes[k], kept=(kept - lost) // count, many=many)
        for k, count in frames.items()
    }


def _has_one_rate(chain: Chain) -> bool:
    """Whether all operations have an output for each sample."""
    reaches = [op.reach[0] for op in chain.ops]
    return all(reach.step == reach.phases == 1 for reach in reaches)
