"""One large input in parts: two workers against one, with the same bytes."""

from __future__ import annotations

import fnmatch
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from job import OUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from measure import Measurement

PATIENCE = 3600.0


@dataclass(frozen=True)
class LargeInput:
    """A command over one large input."""

    name: str
    source: str
    command: tuple[str, ...]


def large_inputs(*, quick: bool) -> list[LargeInput]:
    """A table and a sound."""
    # About 10 GB each; a second has 176,400 bytes. A sound of more than 4 GB is RF64.
    rows, seconds = (18_000_000, 6_000) if quick else (190_000_000, 56_700)
    return [
        LargeInput(
            "parts-table",
            f"prices-{rows}.csv",
            ("convcli", "csv", "-q", "-c", "close", "sma:20"),
        ),
        LargeInput(
            "parts-sound",
            f"sound-{seconds}s.wav",
            ("convcli", "audio", "-q", "lowpass:3400,width=400,attenuation=100"),
        ),
    ]


def run(
    *,
    only: str,
    quick: bool,
    data: Path,
    prepare: Callable[[tuple[str, ...]], None],
    measured: Callable[[tuple[str, ...], str, float], Measurement],
) -> list[dict[str, Any]]:
    """Measure every input whose name fits, print it, and give it back for the JSON."""
    found = []
    for each in large_inputs(quick=quick):
        if not fnmatch.fnmatch(each.name, only):
            continue
        prepare((each.source,))
        size = (data / each.source).stat().st_size
        suffix = Path(each.source).suffix
        one, two = (f"out/{each.name}-{workers}{suffix}" for workers in (1, 2))
        words = (*each.command, each.source, "--threads", "1", "-o", OUT)
        alone = measured((*words, "--parts", "1"), one, PATIENCE)
        digests = [removed(data / one)]
        both = measured((*words, "--jobs", "2"), two, PATIENCE)
        digests.append(removed(data / two))
        same = digests[0] is not None and digests[0] == digests[1]
        found.append(
            {
                "name": each.name,
                "command": " ".join(each.command),
                "gigabytes": size / 1e9,
                "workers": {"1": vars(alone), "2": vars(both)},
                "agrees": same,
            }
        )
        print("", *lines_of(found[-1]), sep="\n")
    return found


def removed(output: Path) -> str | None:
    """Remove an output, so that the disk holds one at a time, and return what its bytes hash to.

    None if there is no output.
    """
    if not output.exists():
        return None
    with output.open("rb") as file:
        digest = hashlib.file_digest(file, "blake2b").hexdigest()
    output.unlink()
    return digest


def lines_of(found: dict[str, Any]) -> list[str]:
    """What was measured of one input."""
    lines = [f"{found['name']}: {found['command']}, {found['gigabytes']:.1f} GB"]
    lines.append(f"  {'workers':>9}{'s':>9}{'cpu s':>9}{'MB/s':>9}{'peak MB':>9}")
    for workers, run in found["workers"].items():
        rate = 1000 * found["gigabytes"] / run["wall"]
        numbers = f"{run['wall']:9.1f}{run['cpu']:9.1f}{rate:9.0f}{run['peak']:9.0f}"
        lines.append(f"  {workers:>9}{numbers}  {run['failure']}".rstrip())
    one, two = found["workers"]["1"], found["workers"]["2"]
    same = "the same bytes" if found["agrees"] else "OTHER BYTES"
    lines.append(f"  two workers are {one['wall'] / two['wall']:.2f} times as fast; {same}")
    return lines
