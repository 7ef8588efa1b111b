"""Whether a large picture that went through a network in blocks has seams: `python benchmarks/seams.py`.

VGG7 on 24 megapixels (70 s of processor, 1.2 GB). At every border of two blocks a stretch around
the border is computed again by itself, and its middle is compared with the picture. The paths of
convcli itself lay their tiles differently in a stretch, so that the last bits differ. With
`--library` onnxruntime computes all layers, and both are the same bits.

It takes two minutes of processor. `--rows 0:1152` looks at so many rows alone; the blocks are those
of the whole picture.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from networks import VGG7, Network, input_of, network_file

from convcli import apply
from convcli.core.binding import Rules
from convcli.core.blocks import OutputTask, serial_map
from convcli.layers.onnx import sessions
from convcli.planning.plan import make_plan
from convcli.signals import ARRAY, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.core.chain import Chain

# Outputs that are compared on each side of a border, and how far outputs see on each side.
COMPARED, REACH = 3, 7


def _chain(text: str, shape: tuple[int, ...]) -> Chain:
    """The operations of the network on a picture of this shape."""
    signal = Signal(medium=ARRAY, shape=shape[:2], channels=("1", "2", "3"))
    return make_plan(text, signal, Rules(edge="zero", align="center")).chain


def borders(text: str, shape: tuple[int, ...]) -> list[list[int]]:
    """The first row and column of every block but those at the edge of the picture."""
    chain = _chain(text, shape)
    sides = (chain.block_rows or shape[0], chain.block_columns(shape[1]))
    return [list(range(side, n, side)) for side, n in zip(sides, shape, strict=False)]


def filtered(text: str, x: Any, rows: range) -> Any:
    """The blocks of some rows, computed from the rows that they read of the whole picture.

    rows : of outputs, from a multiple of the rows of a block on
    """
    chain = _chain(text, x.shape)
    ends = x.shape[:2]
    span = ((rows.start, rows.stop), (0, x.shape[1]))
    # Layers pad by themselves, and do not read what lies outside of the picture.
    places, outside = [], []
    for axis, (outputs, n) in enumerate(zip(span, ends, strict=True)):
        low, high = chain.needs(axis, *outputs, n)[0]
        places.append(slice(max(0, low), high))
        outside.append((max(0, -low), max(0, high - n)))
    given = np.pad(x[tuple(places)], [*outside, (0, 0)])
    task = OutputTask(chain=chain, x=given, span=span, ends=ends)
    y, _ = task.in_blocks(serial_map)
    return y


def differences(text: str, x: Any, y: Any, rows: range) -> Iterator[tuple[int, int, float]]:
    """Yield the axis and the place of each border, and the largest difference beside it.

    y : the outputs of the rows
    """
    height, width = x.shape[:2]
    below, beside = borders(text, x.shape)
    for place in below:
        if place - COMPARED in rows and place in rows:
            first, last = place - COMPARED - REACH, min(place + COMPARED + REACH, height)
            again = apply(text, x[first:last], threads=1)
            compared = range(place - COMPARED, min(place + COMPARED, height - REACH, rows.stop))
            here = np.take(y, [k - rows.start for k in compared], 0)
            alone = np.take(again, [k - first for k in compared], 0)
            yield 0, place, float(np.abs(here - alone).max(initial=0))
    top = max(0, rows.start - REACH)
    bottom = min(height, rows.stop + REACH)
    # What the end of the stretch pads is no output of the whole picture.
    inside = range(rows.start, rows.stop)
    for place in beside:
        first, last = place - COMPARED - REACH, min(place + COMPARED + REACH, width)
        again = apply(text, x[top:bottom, first:last], threads=1)
        compared = range(place - COMPARED, min(place + COMPARED, width - REACH))
        here = np.take(y, compared, 1)
        alone = again[inside.start - top : inside.stop - top]
        alone = np.take(alone, [k - first for k in compared], 1)
        yield 1, place, float(np.abs(here - alone).max(initial=0))


def main() -> int:
    """Compare, print, and return 1 if there is a seam."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="0.4 megapixels")
    options.add_argument("--library", action="store_true", help="in onnxruntime alone")
    options.add_argument("--rows", default="0:", help="FIRST:STOP, FIRST the beginning of a block")
    wanted = options.parse_args()
    if wanted.library:
        mock.patch.object(sessions, "count_in_library", lambda _, nodes: len(nodes)).start()
    shape = (600, 700) if wanted.quick else (4000, 6000)
    first, _, stop = wanted.rows.partition(":")
    rows = range(int(first), min(int(stop or shape[0]), shape[0]))
    network = Network(
        name="seams", says="", channels=3, blocks=VGG7, shape=shape, goals={}, timed=1
    )
    with tempfile.TemporaryDirectory() as folder:
        text = f"model:{network_file(network, Path(folder))}"
        x = input_of(network)
        start = time.process_time()
        y = filtered(text, x, rows)
        seconds = time.process_time() - start
        found = list(differences(text, x, y, rows))
    largest = max(difference for _, _, difference in found)
    limit = 0.0 if wanted.library else 1e-5 * float(np.abs(y).max())
    print(f"rows {rows.start} to {rows.stop} of {shape[0]} x {shape[1]} in {seconds:.1f} s of")
    print(f"processor: {len(found)} borders of blocks")
    print(f"largest difference beside a border {largest:.1e}, at most {limit:.1e} allowed")
    return int(largest > limit)


if __name__ == "__main__":
    sys.exit(main())
