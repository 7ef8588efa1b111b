"""Whether a large picture that went through a network in blocks has seams: `python benchmarks/seams.py`.

VGG7 on 24 megapixels (100 s of processor, 1.2 GB). At every border of two blocks a stretch around
the border is computed again by itself, and its middle is compared with the picture. In onnxruntime
both are the same bits; the paths of convcli itself lay their tiles differently in a stretch, so
that the last bits differ.

It takes two minutes of processor. `--save y.npy` filters the picture alone, and `--saved y.npy`
compares with what was saved.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from networks import VGG7, Network, input_of, network_file

from convcli import apply
from convcli.core.binding import Rules
from convcli.layers.onnx import sessions
from convcli.planning.plan import make_plan
from convcli.signals import ARRAY, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

# Outputs that are compared on each side of a border, and how far outputs see on each side.
COMPARED, REACH = 3, 7


def borders(text: str, shape: tuple[int, ...]) -> list[list[int]]:
    """The first row and column of every block but those at the edge of the picture."""
    signal = Signal(medium=ARRAY, shape=shape[:2], channels=("1", "2", "3"))
    chain = make_plan(text, signal, Rules(edge="zero", align="center")).chain
    sides = (chain.blocks.rows or shape[0], chain.blocks.columns(shape[1]))
    return [list(range(side, n, side)) for side, n in zip(sides, shape, strict=False)]


def differences(text: str, x: Any, y: Any) -> Iterator[tuple[int, int, float]]:
    """Yield the axis and the place of each border, and the largest difference beside it."""
    for axis, places in enumerate(borders(text, x.shape)):
        for place in places:
            first = max(0, place - COMPARED - REACH)
            stretch = np.take(x, range(first, min(place + COMPARED + REACH, x.shape[axis])), axis)
            again = apply(text, stretch, threads=1)
            beside = range(place - COMPARED, min(place + COMPARED, x.shape[axis] - REACH))
            here = np.take(y, beside, axis)
            alone = np.take(again, [k - first for k in beside], axis)
            yield axis, place, float(np.abs(here - alone).max(initial=0))


def filtered(text: str, x: Any, threads: int) -> Any:
    """Filter the picture, and print how long that took and how much memory the process needed."""
    start = time.perf_counter()
    started = time.process_time()
    y = apply(text, x, threads=threads)
    seconds = time.perf_counter() - start
    processor = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{x.shape[0]} x {x.shape[1]} in {seconds:.1f} s, {processor:.1f} s of processor, with")
    print(f"{threads} threads; {peak:.0f} MB, {(x.nbytes + y.nbytes) >> 20} of them the two arrays")
    return y


def main() -> int:
    """Compare, print, and return 1 if there is a seam."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--save", type=Path, help="filter the picture and write the result here")
    options.add_argument("--saved", type=Path, help="compare with the result that was written here")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--quick", action="store_true", help="0.4 megapixels")
    options.add_argument("--own", action="store_true", help="without onnxruntime")
    wanted = options.parse_args()
    if wanted.own:
        sessions._installed = lambda: False  # type: ignore[assignment]
    shape = (600, 700) if wanted.quick else (4000, 6000)
    network = Network(
        name="seams", says="", channels=3, blocks=VGG7, shape=shape, goals={}, timed=1
    )
    with tempfile.TemporaryDirectory() as folder:
        path = network_file(network, Path(folder))
        x = input_of(network)
        if wanted.saved:
            y = np.load(wanted.saved, mmap_mode="r")
        else:
            y = filtered(f"model:{path}", x, wanted.threads)
        if wanted.save:
            np.save(wanted.save, y)
            return 0
        found = list(differences(f"model:{path}", x, y))
    exact = not wanted.own and sessions._installed()
    largest = max(difference for _, _, difference in found)
    limit = 0.0 if exact else 1e-5 * float(np.abs(y).max())
    print(f"{len(found)} borders of blocks")
    print(f"largest difference beside a border {largest:.1e}, at most {limit:.1e} allowed")
    return int(largest > limit)


if __name__ == "__main__":
    sys.exit(main())
