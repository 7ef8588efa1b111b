"""The benchmarks: `python benchmarks/run.py [jobs] [growth] [crossover] [training] [one_input] [--only PATTERN] [--json FILE]`.

Every job runs as a whole process, and its peers in turn with it, A B A B; the ratio is that of the
medians. Files are in the page cache before the clock starts; all processes share the same cores (2,
unless --cores says otherwise).
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import peers as programs
from job import OUT, QUICK, Job, Peer, Sizes
from jobs import all_jobs
from measure import Measurement, Series, measure
from results import Result, as_json, place_of, printable, table, tell

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"

PARTS = ("jobs", "growth", "crossover", "training", "networks", "one_input")

# What is slower than this runs only twice.
SLOW = 30.0


def run_job(job: Job, *, runs: int, patience: float) -> Result:
    """Measure a job and its peers, and compare what they wrote."""
    result = Result(job)
    prepare(job.inputs)
    here = [peer for peer in job.peers if peer.needs.present]
    for turn in range(runs):
        result.ours.runs.append(_measured(job.command, place_of(job, "convcli"), patience))
        if result.ours.failure:
            break
        for peer in here:
            series = result.theirs.setdefault(peer.name, Series())
            if series.failure or (turn >= 2 and series.median("wall") > SLOW):
                continue
            series.runs.append(_measured(peer.command, place_of(job, peer.name), patience))
            if turn == 0 and not series.failure:
                result.checks[peer.name] = _compare(job, peer)
    return result


def _measured(command: tuple[str, ...], place: str, patience: float) -> Measurement:
    """One run, without what an earlier one left behind."""
    target = DATA / place
    target.parent.mkdir(exist_ok=True)
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    words = [word.replace(OUT, place) for word in command]
    return measure(words, folder=DATA, patience=patience, environment=programs.environment())


def prepare(inputs: tuple[str, ...]) -> None:
    """Make what is not there yet, and read it once."""
    DATA.mkdir(exist_ok=True)
    missing = [name for name in inputs if not (DATA / name).exists()]
    if missing:
        print(f"making {', '.join(missing)} ...", file=sys.stderr)
        subprocess.run(
            [sys.executable, HERE / "inputs.py", DATA, *missing], check=True, env=_environment()
        )
    for name in inputs:
        for path in (DATA / name).iterdir() if (DATA / name).is_dir() else [DATA / name]:
            with path.open("rb") as file:
                while file.read(1 << 24):
                    continue


def _environment() -> dict[str, str]:
    return {**os.environ, **programs.environment()}


def _compare(job: Job, peer: Peer) -> dict[str, Any]:
    """What check.py finds."""
    if peer.limit is None:
        return {"agrees": True, "found": "not compared"}
    ours, theirs = (str(DATA / place_of(job, name)) for name in ("convcli", peer.name))
    command = [sys.executable, str(HERE / "check.py"), job.kind, ours, theirs, str(peer.limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"agrees": False, "found": (done.stderr.strip().splitlines() or ["no answer"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# ------------------------------------------------------------------------------------------ command


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Measure convcli against its peers.")
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help="jobs, growth, crossover, training, networks, one_input (all)",
    )
    parser.add_argument(
        "--only", metavar="PATTERN", default="*", help="jobs or growths whose name fits: 'csv*'"
    )
    parser.add_argument("--runs", type=int, default=5, help="runs of each command (5)")
    parser.add_argument(
        "--quick", action="store_true", help="smaller inputs, to see that all works"
    )
    parser.add_argument("--cores", type=int, default=2, help="cores that all may use (2)")
    parser.add_argument(
        "--patience", type=float, default=300, help="seconds after which a run is given up (300)"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="keep everything that was measured"
    )
    parser.add_argument(
        "--list", action="store_true", help="print the names and commands, run nothing"
    )
    parser.add_argument(
        "--clean", action="store_true", help="remove the inputs and outputs, run nothing"
    )
    wanted = parser.parse_args()
    if not set(wanted.parts) <= set(PARTS):
        parser.error(f"expected {', '.join(PARTS)}, got {' '.join(wanted.parts)}")
    wanted.parts = wanted.parts or list(PARTS)
    return wanted


def main() -> int:
    """Run what was asked for; 1 where an answer differs or a command of ours failed."""
    wanted = arguments()
    if wanted.clean:
        shutil.rmtree(DATA, ignore_errors=True)
        return 0
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: wanted.cores])
    jobs = [
        job
        for job in all_jobs(QUICK if wanted.quick else Sizes())
        if fnmatch.fnmatch(job.name, wanted.only)
    ]
    if wanted.list:
        for job in jobs:
            commands = [job.command, *(peer.command for peer in job.peers)]
            print(job.name, *(f"\n    $ {printable(command, 'OUT')}" for command in commands))
        return 0
    kept: dict[str, Any] = {
        "versions": programs.versions(),
        "began": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    for name, version in kept["versions"].items():
        print(f"{name:14}{version}")
    failed = "jobs" in wanted.parts and _run_jobs(jobs, wanted, kept)
    if "growth" in wanted.parts:
        import growth

        kept["growth"] = growth.run(
            only=wanted.only, quick=wanted.quick, prepare=prepare, measured=_measured
        )
    if "crossover" in wanted.parts and fnmatch.fnmatch("crossover", wanted.only):
        kept["crossover"] = _run_crossover()
    failed |= _run_nets(wanted, kept)
    if "one_input" in wanted.parts:
        failed |= _run_one_input(wanted, kept)
    if wanted.json:
        wanted.json.write_text(json.dumps(kept, indent=1) + "\n")
    return int(failed)


def _run_crossover() -> Any:
    done = subprocess.run(
        [sys.executable, HERE / "crossover.py", "--json"], stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def _run_training(wanted: argparse.Namespace, kept: dict[str, Any]) -> bool:
    import training

    kept["training"] = training.run(only=wanted.only, runs=wanted.runs, quick=wanted.quick)
    return any(not found.get("agrees", True) for found in kept["training"])


def _run_one_input(wanted: argparse.Namespace, kept: dict[str, Any]) -> bool:
    import one_input

    kept["one_input"] = one_input.run(
        only=wanted.only, quick=wanted.quick, data=DATA, prepare=prepare, measured=_measured
    )
    return any(not found["agrees"] for found in kept["one_input"])


def _run_nets(wanted: argparse.Namespace, kept: dict[str, Any]) -> bool:
    """Run networks and their training; whether an answer differs."""
    failed = False
    if "networks" in wanted.parts:
        import networks

        kept["networks"] = networks.run(only=wanted.only, runs=wanted.runs)
        failed |= any(not found["agrees"] for found in kept["networks"])
    if "training" in wanted.parts:
        failed |= _run_training(wanted, kept)
    return failed


def _run_jobs(jobs: list[Job], wanted: argparse.Namespace, kept: dict[str, Any]) -> bool:
    results = []
    for job in jobs:
        results.append(run_job(job, runs=wanted.runs, patience=wanted.patience))
        tell(results[-1])
        kept["jobs"] = as_json(results)
        if wanted.json:  # what is measured is kept, whatever comes
            wanted.json.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"\n{table(results)}")
    differs = [
        check for result in results for check in result.checks.values() if not check["agrees"]
    ]
    return bool(differs) or any(result.ours.failure for result in results)


if __name__ == "__main__":
    sys.exit(main())
