"""What a unit costs on a Dask cluster: processor time of the scheduler, the workers and convcli itself.

    python benchmarks/cluster.py --units 2000 --workers 2

Starts a real scheduler and workers of one thread on this machine, filters as many small tables as
asked, and compares with one process that filters them alone. How many workers one scheduler feeds
follows from the time that a unit takes in the scheduler: it is computed, not measured.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

FILTER = "ema:span=12"
ROWS = 200
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Processes:
    """The scheduler and the workers of a cluster."""

    folder: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, tool: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a tool of `distributed` without a dashboard."""
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{tool}", "--no-dashboard", *words],
            cwd=self.folder,
            stderr=subprocess.DEVNULL,
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        """Kill all."""
        for process in self.started:
            process.kill()
            process.wait()


def processor_time(process: subprocess.Popen[bytes]) -> float:
    """Seconds of the processor that a process has used so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def make_tables(folder: Path, count: int) -> None:
    """Write small tables of random prices."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(count):
        prices = 100 + rng.normal(size=ROWS).cumsum()
        text = "price\n" + "\n".join(f"{price:.2f}" for price in prices) + "\n"
        (folder / f"t{number:06}.csv").write_text(text)


def filtered(folder: Path, out: str, *words: str) -> tuple[float, float]:
    """Run the command; return its seconds by the clock and of the processor."""
    command = [sys.executable, "-m", "convcli", "csv", FILTER, "in", "-o", f"{out}/", "-q", *words]
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - began, used.ru_utime + used.ru_stime


def same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files, byte for byte."""
    names = sorted(os.listdir(one))
    if names != sorted(os.listdir(other)):
        return False
    _, different, errors = filecmp.cmpfiles(one, other, names, shallow=False)
    return not different and not errors


def measured(folder: Path, units: int, workers: int) -> dict[str, float]:
    """Filter the tables alone and on a cluster; milliseconds of the processor for each unit."""
    make_tables(folder / "in", units)
    _, alone = filtered(folder, "alone", "--jobs", "1")
    processes = Processes(folder)
    try:
        contact = folder / "scheduler.json"
        words = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(contact))
        scheduler = processes.start("dask_scheduler", *words)
        while not contact.exists():
            time.sleep(0.05)
        address = json.loads(contact.read_text())["address"]
        worker = (address, "--nthreads", "1", "--no-nanny")
        hands = [processes.start("dask_worker", *worker) for _ in range(workers)]
        # The first run loads convcli in the workers.
        filtered(folder, "warm", "--cluster", address)
        before = [processor_time(process) for process in (scheduler, *hands)]
        seconds, client = filtered(folder, "out", "--cluster", address)
        after = [processor_time(process) for process in (scheduler, *hands)]
    finally:
        processes.close()
    if not same_files(folder / "alone", folder / "out"):
        raise SystemExit("DIFFERS: the cluster wrote other bytes than one process")
    used = [1000 * (end - start) / units for start, end in zip(before, after, strict=True)]
    return {
        "alone": 1000 * alone / units,
        "scheduler": used[0],
        "workers": sum(used[1:]),
        "client": 1000 * client / units,
        "clock": 1000 * seconds / units,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), asked.units, asked.workers)
    print(f"{asked.units} tables of {ROWS} rows, {asked.workers} workers, milliseconds for each:")
    for name, value in found.items():
        print(f"  {name:10} {value:6.2f}")
    for seconds in (0.1, 1, 10):
        fed = seconds / (found["scheduler"] / 1000)
        print(f"  units of {seconds:g} s: one scheduler feeds {fed:,.0f} threads (computed)")


if __name__ == "__main__":
    main()
