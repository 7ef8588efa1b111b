"""What was measured, as documents: `python benchmarks/document.py benchmarks/results.json [--table]`.

Writes RESULTS.md beside this file, with every number and command. With --table it prints the short
table of docs/explanation/speed.md instead.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from growth import lines_of
from networks import lines_of as network_lines
from one_input import lines_of as parts_lines

HERE = Path(__file__).resolve().parent


def short(kept: dict[str, Any]) -> str:
    """A row for each job: our seconds, how many times as long each peer takes, and what was wanted where missed."""
    lines = ["| job | convcli | the peer takes so many times as long |", "| --- | --- | --- |"]
    for job in kept["jobs"]:
        peers = [_short_peer(peer) for peer in job["peers"] if peer["ratio"] is not None]
        says = job["says"] + (f", on {job['machine']}" if "machine" in job else "")
        lines.append(f"| {says} | {_seconds(job['runs'])} | {', '.join(peers)} |")
    for found in kept.get("networks", []):
        peers = [_short_peer(peer) for peer in found["peers"]]
        seconds = f"{min(found['seconds']['convcli']):.2g} s of processor"
        says = f"{found['says']}, {found['where']}"
        if found["machine"] != kept["versions"]["machine"]:
            processor, _, _ = found["machine"].partition(",")
            says += f", on {processor}"
        lines.append(f"| {says} | {seconds} | {', '.join(peers)} |")
    return f"{_machine(kept)}\n\n" + "\n".join(lines) + "\n"


def _short_peer(peer: dict[str, Any]) -> str:
    ratio = (
        f"{_least(peer)}{peer['ratio']:.2g}"
        if peer["ratio"] < 10
        else f"{_least(peer)}{peer['ratio']:.0f}"
    )
    wanted = (
        f" (wanted {peer['goal']:.2g})" if peer["goal"] and peer["ratio"] < peer["goal"] else ""
    )
    return f"{peer['name']} {ratio}{wanted}"


def full(kept: dict[str, Any]) -> str:
    """Everything: machine, versions, each job with its commands, growth, and where the paths meet."""
    parts = [
        "# Measured",
        _machine(kept),
        _versions(kept),
        "## Jobs",
        *(_job(job) for job in kept["jobs"]),
    ]
    if kept.get("growth"):
        parts += [
            "## Growth",
            *(f"```text\n{chr(10).join(lines_of(each))}\n```" for each in kept["growth"]),
        ]
    if kept.get("networks"):
        parts += [
            "## Networks",
            *(f"```text\n{chr(10).join(network_lines(each))}\n```" for each in kept["networks"]),
        ]
    if kept.get("one_input"):
        parts += [
            "## One input in parts",
            *(f"```text\n{chr(10).join(parts_lines(each))}\n```" for each in kept["one_input"]),
        ]
    if "crossover" in kept:
        parts += ["## Where the paths meet", _crossover(kept["crossover"])]
    return "\n\n".join(parts) + "\n"


def _machine(kept: dict[str, Any]) -> str:
    told = kept["versions"]
    return f"Measured {kept['began'][:10]} on {told['machine']}, {told['system']}, Python {told['Python']}."


def _versions(kept: dict[str, Any]) -> str:
    told = [
        f"{name} {version}"
        for name, version in kept["versions"].items()
        if name not in ("machine", "system", "Python")
    ]
    return "Versions: " + "; ".join(told) + "."


def _job(job: dict[str, Any]) -> str:
    lines = [f"### {job['name']}", "", f"{job['says'][:1].upper()}{job['says'][1:]}."]
    reasons = [
        *([job["equal"]] if job["equal"] else []),
        *(f"{p['name']}: {p['note']}" for p in job["peers"] if p["note"]),
    ]
    lines += ["", "; ".join(reasons) + "."] if reasons else []
    # A job that was measured later, on another machine than the others, says on which.
    lines += ["", f"Measured on {job['machine']}."] if "machine" in job else []
    lines += [
        "",
        "| | seconds | spread | cpu s | peak MB | ratio | to reach | answers |",
        "| --- " * 8 + "|",
    ]
    lines.append(f"| convcli | {_numbers(job['runs'])} | | | |")
    for peer in job["peers"]:
        if not peer["runs"]:
            lines.append(f"| {peer['name']} | | | | | | | {peer['absent'] or 'not run'} |")
            continue
        ratio = "" if peer["ratio"] is None else f"{_least(peer)}{peer['ratio']:.2f}"
        goal = "" if peer["goal"] is None else f"{peer['goal']:.2f}"
        missed = (
            " (missed)"
            if peer["goal"] and peer["ratio"] is not None and peer["ratio"] < peer["goal"]
            else ""
        )
        answer = (peer["answer"] or {"found": _failure(peer["runs"])})["found"]
        lines.append(
            f"| {peer['name']} | {_numbers(peer['runs'])} | {ratio} | {goal}{missed} | {answer} |"
        )
    commands = [job["command"], *(peer["command"] for peer in job["peers"])]
    return "\n".join([*lines, "", "```sh", *commands, "```"])


def _numbers(runs: list[dict[str, Any]]) -> str:
    walls = [run["wall"] for run in runs]
    middle = statistics.median(walls)
    spread = (max(walls) - min(walls)) / middle
    cpu, peak = (statistics.median(run[name] for run in runs) for name in ("cpu", "peak"))
    return f"{middle:.3f} | {spread:.0%} | {cpu:.2f} | {peak:.0f}"


def _seconds(runs: list[dict[str, Any]]) -> str:
    return f"{statistics.median(run['wall'] for run in runs):.2g} s"


def _failure(runs: list[dict[str, Any]]) -> str:
    return next((run["failure"] for run in runs if run["failure"]), "")


def _least(peer: dict[str, Any]) -> str:
    """A peer that was given up takes at least so long."""
    return "≥ " if _failure(peer.get("runs", [])) else ""


def _crossover(found: dict[str, Any]) -> str:
    meet = [
        "| paths | taps, measured | taps, by the rule | costs differ there by |",
        "| --- | --- | --- | --- |",
    ]
    meet += [
        f"| {name} | {taps:.0f} | {rule} | {differ:.0%} |"
        for name, (taps, rule, differ) in found["meet"].items()
    ]
    taps = ["| taps | ns for an output | path |", "| --- | --- | --- |"]
    taps += [f"| {k:,} | {cost:.1f} | {path} |" for k, cost, path in found["taps"]]
    return "\n".join(meet) + "\n\n" + "\n".join(taps)


if __name__ == "__main__":
    kept = json.loads(Path(sys.argv[1]).read_text())
    if "--table" in sys.argv:
        print(short(kept), end="")
    else:
        (HERE / "RESULTS.md").write_text(full(kept))
