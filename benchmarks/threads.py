"""What a second thread is worth for one picture through a network: `python benchmarks/threads.py`.

Whole processes with `--threads 1` and `--threads 2`, by turns; the ratio is that of the shortest
times. On a machine that others use, too, look at the other ratio: the processor time of all threads
over that of the main thread and of the busiest worker. It is what two free cores would give, since
only what a worker waits for is lost.

`--only PATTERN` chooses networks by their names; --runs says how often each process runs.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import peers as programs
from networks import DNCNN, VGG7, Block, Network, network_file

# Seconds between two looks at the threads of a process.
PAUSE = 0.02
# The ratio to reach.
GOAL = 1.8


@dataclass(frozen=True)
class Case:
    """A network, and the picture that goes through it: (rows, columns, channels)."""

    name: str
    blocks: tuple[Block, ...]
    shape: tuple[int, int, int]


CASES = (
    Case("vgg7-1mpx", VGG7, (1000, 1000, 3)),
    Case("vgg7-3mpx", VGG7, (1500, 2000, 3)),
    Case("vgg7-24mpx", VGG7, (4000, 6000, 3)),
    Case("dncnn-2mpx", DNCNN, (1152, 1736, 1)),
)


@dataclass(frozen=True)
class Run:
    """One process: its seconds, and the processor seconds of its main thread and of its workers."""

    wall: float
    main: float
    workers: tuple[float, ...]

    @property
    def processor(self) -> float:
        """Processor seconds of all threads."""
        return self.main + sum(self.workers)

    @property
    def at_best(self) -> float:
        """Seconds on cores of its own: the main thread, and then the busiest worker."""
        return self.main + max(self.workers, default=0.0)


def run(command: list[str]) -> Run:
    """Run a command and watch its threads."""
    start = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, **programs.environment()})
    seconds: dict[int, float] = {}
    while process.poll() is None:
        seconds |= _of_threads(process.pid)
        time.sleep(PAUSE)
    wall = time.perf_counter() - start
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    main = seconds.pop(process.pid, 0.0)
    return Run(wall, main, tuple(seconds.values()))


def _of_threads(pid: int) -> dict[int, float]:
    """The processor seconds of each thread of a process so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for place in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        found[int(place.parent.name)] = (int(fields[11]) + int(fields[12])) / ticks
    return found


def picture(shape: tuple[int, int, int], place: Path) -> None:
    """Write noise as a PPM or PGM picture."""
    rows, columns, channels = shape
    kind = {1: "P5", 3: "P6"}[channels]
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    place.write_bytes(f"{kind} {columns} {rows} 255\n".encode() + pixels.tobytes())


def measured(case: Case, runs: int, folder: Path) -> float:
    """Measure and print one case; return the ratio of the shortest times."""
    channels = case.shape[2]
    network = Network(
        name=case.name, says="", channels=channels, blocks=case.blocks, shape=(), goals={}
    )
    source, target = folder / f"{case.name}.pnm", folder / "out.pnm"
    picture(case.shape, source)
    step = f"model:{network_file(network, folder)}"
    command = [sys.executable, "-m", "convcli", "image", step, str(source), "-o", str(target)]
    series: dict[int, list[Run]] = {1: [], 2: []}
    for _ in range(runs):
        for threads, found in series.items():
            found.append(run([*command, "--force", "-q", "--threads", str(threads)]))
    walls = {threads: min(each.wall for each in found) for threads, found in series.items()}
    processor = min(each.processor for each in series[1])
    balance = max(each.processor / each.at_best for each in series[2])
    ratio = walls[1] / walls[2]
    print(
        f"{case.name:12}1 thread {walls[1]:7.2f} s, 2 threads {walls[2]:7.2f} s: {ratio:.2f}; "
        f"{processor:.2f} s of processor; by the threads' own time {balance:.2f}"
    )
    return ratio


def main() -> int:
    """Measure, print, and return 1 if a ratio is below the goal."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", default="*", metavar="PATTERN")
    options.add_argument("--runs", type=int, default=3)
    wanted = options.parse_args()
    cases = [case for case in CASES if fnmatch.fnmatch(case.name, wanted.only)]
    with tempfile.TemporaryDirectory() as folder:
        ratios = [measured(case, wanted.runs, Path(folder)) for case in cases]
    return int(min(ratios, default=GOAL) < GOAL)


if __name__ == "__main__":
    sys.exit(main())
