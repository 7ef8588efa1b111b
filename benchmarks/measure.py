"""A whole process and what it cost: seconds, processor seconds, peak memory."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LAUNCH = str(Path(__file__).with_name("launch.py"))


@dataclass(frozen=True)
class Measurement:
    """One run. wall, cpu (user + system): seconds; peak: megabytes resident; failure: why it does not count."""

    wall: float
    cpu: float
    peak: float
    failure: str = ""


@dataclass
class Series:
    """Several runs of the same command."""

    runs: list[Measurement] = field(default_factory=list)

    @property
    def failure(self) -> str:
        """Why the command does not count; empty where every run was good."""
        return next((run.failure for run in self.runs if run.failure), "")

    def median(self, name: str) -> float:
        """The median of `wall`, `cpu` or `peak` over the runs."""
        return float(statistics.median(getattr(run, name) for run in self.runs))

    def lowest(self, name: str) -> float:
        """The least `wall`, `cpu` or `peak` of the runs."""
        return float(min(getattr(run, name) for run in self.runs))

    def spread(self) -> float:
        """(slowest - fastest) / median of the seconds."""
        walls = [run.wall for run in self.runs]
        return (max(walls) - min(walls)) / statistics.median(walls)


def measure(
    command: Sequence[str], *, folder: Path, patience: float, environment: Mapping[str, str]
) -> Measurement:
    """Run `command` in `folder` and wait for it, at most `patience` seconds.

    Peak memory is that of the largest process of the command, not the sum of several; `launch.py`
    itself, 9 MB, is the least that can be seen.
    """
    os.sync()  # what others wrote is not to be paid for here
    told, tell = os.pipe()
    try:
        with tempfile.TemporaryFile() as words:
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", LAUNCH, str(tell), str(patience), *command],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=words,
                env={**os.environ, **environment},
                pass_fds=(tell,),
            )
            child.wait()
            words.seek(0)
            said = words.read().decode("utf-8", "replace").strip().splitlines() or [""]
        os.set_blocking(told, False)
        code, wall, cpu, peak = (float(number) for number in os.read(told, 1000).split())
    finally:
        os.close(told)
        os.close(tell)
    failure = ""
    if code == -signal.SIGKILL and wall >= patience:
        failure = f"given up after {patience:g} s"
    elif code:
        failure = f"exit {code:.0f}: {said[-1][:200]}"
    return Measurement(wall, cpu, peak / 1024, failure)


def fit(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """The line a + b x of least squares: a, b, and the largest distance of a point from it."""
    b, a = statistics.linear_regression(x, y)
    return a, b, max(abs(v - a - b * u) for u, v in zip(x, y, strict=True))
