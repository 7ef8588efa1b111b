"""What a small file costs in a batch, how memory grows with the names, and 50 kills.

    python benchmarks/many.py --files 10000 --names 100000 --kills 50

The processor time of a file is that of the whole run, start included, by the number of files.
Memory is the largest resident set of the main process. A run that is killed at a random moment is
resumed until nothing is left; then the outputs are compared with those of an uninterrupted run, and
an output that was in the ledger at a kill must not have been written again.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile as sf

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLES = 128
ROWS = 100
# Files are links to one file, and file systems allow only so many to each.
LINKS = 10_000


@dataclass(frozen=True)
class Spent:
    """What a run cost.

    cpu, wall : seconds, the processes that it has started included
    peak : megabytes of the largest process
    """

    cpu: float
    wall: float
    peak: float


def convcli(folder: Path, *words: str) -> list[str]:
    """The command line of a run whose records stay in the folder."""
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    return [sys.executable, "-m", "convcli", *words]


def spent(folder: Path, *words: str) -> Spent:
    """Run convcli in a folder, and wait for it."""
    started = time.perf_counter()
    process = subprocess.Popen(convcli(folder, *words), cwd=folder)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"convcli {' '.join(words)} ended with {process.returncode}")
    wall = time.perf_counter() - started
    return Spent(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024)


def make_sounds(folder: Path, count: int) -> None:
    """Write short sounds of noise."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        noise = (generator.standard_normal(SAMPLES) * 3000).astype(np.int16)
        sf.write(folder / f"{number:06}.wav", noise, 8000, subtype="PCM_16")


def make_tables(folder: Path, count: int) -> None:
    """Write small tables of two columns."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        values = generator.integers(-9000, 9000, ROWS)
        rows = [f"{row},{value}" for row, value in enumerate(values)]
        (folder / f"{number:06}.csv").write_text("\n".join(["t,x", *rows, ""]))


def make_names(folder: Path, count: int) -> None:
    """Link names in folders of a thousand to a few short sounds."""
    sounds = folder.with_name(f"{folder.name}-sounds")
    make_sounds(sounds, -(-count // LINKS))
    for number in range(count):
        place = folder / f"{number // 1000:03}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"recording-{number:06}.wav").hardlink_to(sounds / f"{number // LINKS:06}.wav")


def cost_of_files(folder: Path, count: int, at_once: Sequence[str]) -> None:
    """Print what a small sound and a small table cost.

    at_once : values of --jobs
    """
    make_sounds(folder / "sounds", count)
    make_tables(folder / "tables", count)
    for command, step, source in (("audio", "lowpass:1k", "sounds"), ("csv", "sma:5", "tables")):
        for jobs in at_once:
            run = spent(
                folder, command, step, source, "-o", f"out-{source}-{jobs}/", "-q", "-j", jobs
            )
            each = 1000 * run.cpu / count
            print(
                f"{count:,} {source}, --jobs {jobs}: {each:.2f} ms of the processor a file, "
                f"{run.wall:.1f} s, {run.peak:.0f} MB"
            )


def memory_of_names(folder: Path, count: int) -> None:
    """Print the memory of a hundred files out of few names and out of many."""
    for names in sorted({1000, 10_000, count}):
        source = f"names-{names}"
        make_names(folder / source, names)
        words = ("audio", "lowpass:1k", source, "--recursive", "-o", f"{source}-out/", "-q")
        run = spent(folder, *words, "--shard", f"1/{max(1, names // 100)}")
        print(f"{names:,} names: {run.peak:.0f} MB, {run.cpu:.1f} s of the processor")


def kills(folder: Path, count: int, files: int, seed: int) -> None:
    """Kill a run again and again, resume it, and compare; print how many units were done twice."""
    make_tables(folder / "killed", files)
    words = ("csv", "sma:5", "killed", "-q", "-o")
    longest = spent(folder, *words, "whole/").wall
    chance = random.Random(seed)
    ledger = folder / "killed.jsonl"
    resumed = (*words, "parts/", "--ledger", ledger.name, "--resume")
    # A kill after the start of Python, and before what is left can be done: each run does a part.
    start = spent(folder, "csv", "sma:5", "killed/000000.csv", "-q", "-o", "one.csv").wall
    twice = 0
    killed = 0
    for _ in range(count):
        before = _written(folder / "parts", ledger)
        process = subprocess.Popen(convcli(folder, *resumed), cwd=folder)
        try:
            process.wait(start * chance.uniform(0.5, 1) + chance.uniform(0, longest / count))
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.wait()
        after = _written(folder / "parts", ledger)
        twice += sum(after.get(name) != state for name, state in before.items())
    before = _written(folder / "parts", ledger)
    spent(folder, *resumed)
    after = _written(folder / "parts", ledger)
    twice += sum(after.get(name) != state for name, state in before.items())
    names = sorted(path.name for path in (folder / "whole").iterdir())
    same, differing, missing = filecmp.cmpfiles(
        folder / "whole", folder / "parts", names, shallow=False
    )
    more = set(os.listdir(folder / "parts")) - set(names)
    print(
        f"{killed} kills at random moments of {files:,} tables: {len(same):,} outputs as of one "
        f"run, {len(differing)} differ, {len(missing)} are missing, {len(more)} too many; "
        f"{twice} done twice"
    )


def _written(folder: Path, ledger: Path) -> dict[str, tuple[int, int]]:
    """The outputs that the ledger has, by name, with what changes if they are written again."""
    if not ledger.exists():
        return {}
    found = {}
    for line in ledger.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            name = Path(json.loads(line)["output"]["path"]).name
            state = (folder / name).stat()
            found[name] = (state.st_ino, state.st_mtime_ns)
    return found


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=10_000, help="small files; 0: leave out")
    parser.add_argument("--jobs", nargs="+", default=["1", "2"], help="how many at once")
    parser.add_argument("--names", type=int, default=100_000, help="names; 0: leave out")
    parser.add_argument("--kills", type=int, default=50, help="kills; 0: leave out")
    parser.add_argument("--killed-files", type=int, default=5000, help="files of the killed run")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.files:
            cost_of_files(folder, asked.files, asked.jobs)
        if asked.names:
            memory_of_names(folder, asked.names)
        if asked.kills:
            kills(folder, asked.kills, asked.killed_files, asked.seed)


if __name__ == "__main__":
    main()
