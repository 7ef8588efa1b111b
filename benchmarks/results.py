"""What came of a job, and how it is shown: as it comes, as a table, as JSON."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, field
from typing import Any

from job import OUT, Job, Peer, reasons
from measure import Series


@dataclass
class Result:
    """What came of a job."""

    job: Job
    ours: Series = field(default_factory=Series)
    theirs: dict[str, Series] = field(default_factory=dict)
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)

    def ratio(self, peer: Peer) -> float | None:
        """Seconds of the peer over ours."""
        series = self.theirs.get(peer.name)
        if series is None or not series.runs or self.ours.failure or self._failed(series):
            return None
        return series.median("wall") / self.ours.median("wall")

    def _failed(self, series: Series) -> bool:
        """One that was given up has taken at least so long, and counts as that."""
        return bool(series.failure) and not series.failure.startswith("given up")


def place_of(job: Job, name: str) -> str:
    """Where a command writes, seen from the folder of the inputs."""
    return f"out/{''.join(c if c.isalnum() else '-' for c in name)}{job.suffix}"


def printable(command: tuple[str, ...], place: str) -> str:
    """A command as one would type it in the folder of the inputs."""
    return shlex.join(word.replace(OUT, place) for word in command)


def tell(result: Result) -> None:
    """A job as it was measured: its commands, times, memory, answers."""
    job = result.job
    print(f"\n{job.name}: {job.says}")
    for reason in reasons(job):
        print(f"  ({reason})")
    print(
        f"  {'':22}{'seconds':>9}{'spread':>8}{'cpu s':>8}{'peak MB':>9}{'ratio':>8}{'goal':>7}  runs"
    )
    print(_line("convcli", result.ours, "", ""))
    for peer in job.peers:
        series = result.theirs.get(peer.name)
        if series is None:
            print(f"  {peer.name:22}{_why_not(peer)}")
            continue
        ratio = result.ratio(peer)
        print(
            _line(
                peer.name,
                series,
                "" if ratio is None else f"{ratio:.2f}",
                f"{peer.goal:.2f}" if peer.goal else "",
            )
        )
        check = result.checks.get(peer.name)
        if check:
            print(f"  {'':24}{'agrees' if check['agrees'] else 'DIFFERS'}: {check['found']}")
    print(f"    $ {printable(job.command, place_of(job, 'convcli'))}")
    for peer in job.peers:
        print(f"    $ {printable(peer.command, place_of(job, peer.name))}")
    sys.stdout.flush()


def _why_not(peer: Peer) -> str:
    """Why a peer was not measured."""
    return "not run: ours failed" if peer.needs.present else f"absent; {peer.needs.install}"


def _line(name: str, series: Series, ratio: str, goal: str) -> str:
    if not series.runs:
        return f"  {name:22}not run"
    numbers = f"{series.median('wall'):9.3f}{series.spread():8.0%}"
    numbers += f"{series.median('cpu'):8.2f}{series.median('peak'):9.0f}"
    return f"  {name:22}{numbers}{ratio:>8}{goal:>7}  {len(series.runs)} {series.failure}"


def table(results: list[Result]) -> str:
    """All ratios, as Markdown."""
    lines = [
        "| job | s (MB) | peer | s (MB) | ratio | to reach | answers |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        job = result.job
        first = [f"{job.name}: {job.says}", _cell(result.ours)]
        for peer in job.peers:
            series, ratio = result.theirs.get(peer.name), result.ratio(peer)
            if series is None:
                lines.append(_row(*first, peer.name, "", "", "", _why_not(peer)))
            else:
                answer = result.checks.get(peer.name, {"found": series.failure})["found"]
                least = "≥ " if series.failure else ""
                shown = "" if ratio is None else f"{least}{ratio:.2f}"
                goal = "" if peer.goal is None else f"{peer.goal:.2f}"
                missed = ratio is not None and peer.goal is not None and ratio < peer.goal
                lines.append(
                    _row(
                        *first,
                        peer.name,
                        _cell(series),
                        shown,
                        goal + (" (missed)" if missed else ""),
                        answer,
                    )
                )
            first = ["", ""]
    return "\n".join(lines)


def _shown(number: float | None) -> str:
    return "" if number is None else f"{number:.2f}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _cell(series: Series) -> str:
    if not series.runs:
        return "not run"
    return f"{series.median('wall'):.3g} ({series.median('peak'):.0f})" + (
        " failed" if series.failure else ""
    )


def as_json(results: list[Result]) -> list[dict[str, Any]]:
    """Everything that was measured."""
    found = []
    for result in results:
        job = result.job
        peers = [
            {
                "name": peer.name,
                "command": printable(peer.command, place_of(job, peer.name)),
                "goal": peer.goal,
                "ratio": result.ratio(peer),
                "note": peer.why,
                "answer": result.checks.get(peer.name),
                "runs": [vars(run) for run in result.theirs.get(peer.name, Series()).runs],
                "absent": None if peer.needs.present else peer.needs.install,
            }
            for peer in job.peers
        ]
        found.append(
            {
                "name": job.name,
                "says": job.says,
                "equal": job.equal,
                "command": printable(job.command, place_of(job, "convcli")),
                "runs": [vars(run) for run in result.ours.runs],
                "peers": peers,
            }
        )
    return found
