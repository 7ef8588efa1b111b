"""Compare with another checkout: `python benchmarks/against.py FOLDER [--only PATTERN] [--runs N]`.

Every job of `run.py` runs as a whole process with the package of FOLDER and with the package of
this checkout, in turn, A B A B. The table shows medians and the ratio of this one to the other:
below 1 this checkout needs less. Processor seconds tell most on a machine that does other work too.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import shutil
from pathlib import Path

import peers as programs
from job import QUICK, Job, Sizes
from jobs import all_jobs
from measure import Measurement, Series, measure
from results import place_of
from run import DATA, HERE, prepare

PATIENCE = 300.0


def run_with(package: Path, job: Job) -> Measurement:
    """Run the command of a job once, with the package in the folder `package`."""
    place = place_of(job, "convcli")
    target = DATA / place
    target.parent.mkdir(exist_ok=True)
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    environment = {**programs.environment(), "PYTHONPATH": str(package)}
    words = [word.replace("{out}", place) for word in job.command]
    return measure(words, folder=DATA, patience=PATIENCE, environment=environment)


def row(job: Job, other: Series, ours: Series) -> str:
    """The line of a job: seconds, processor seconds and megabytes of both, and their ratios."""
    cells = [f"{job.name:22}"]
    for name in ("wall", "cpu", "peak"):
        before = other.median(name)
        now = ours.median(name)
        cells.append(f"{before:8.2f} {now:8.2f} {now / before:6.2f}")
    return "  ".join(cells)


def main() -> None:
    """Measure the jobs that were asked for."""
    parser = argparse.ArgumentParser(description="Measure this checkout beside another one.")
    parser.add_argument("folder", type=Path, help="the other checkout")
    parser.add_argument("--only", metavar="PATTERN", default="*", help="jobs whose name fits")
    parser.add_argument("--runs", type=int, default=5, help="runs of each command (5)")
    parser.add_argument("--quick", action="store_true", help="smaller inputs")
    wanted = parser.parse_args()
    other = wanted.folder.resolve()
    if not (other / "convcli").is_dir():
        parser.error(f"{wanted.folder} holds no convcli")
    print(f"{'':22}  {'wall s: other, this, ratio':>24}  {'cpu s':>24}  {'peak MB':>24}")
    for job in all_jobs(QUICK if wanted.quick else Sizes()):
        if not fnmatch.fnmatch(job.name, wanted.only):
            continue
        prepare(job.inputs)
        theirs, ours = Series(), Series()
        for _ in range(wanted.runs):
            theirs.runs.append(run_with(other, job))
            ours.runs.append(run_with(HERE.parent, job))
        failure = theirs.failure or ours.failure
        print(f"{job.name:22}  {failure}" if failure else row(job, theirs, ours), flush=True)


if __name__ == "__main__":
    os.chdir(HERE)
    main()
