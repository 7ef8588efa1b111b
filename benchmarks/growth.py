"""How time and memory grow with the length of the input, and what a second thread is worth."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from job import OUT
from measure import Measurement, fit

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 1800.0


@dataclass(frozen=True)
class Growth:
    """One command over inputs of several lengths. sizes : input -> length in `unit`; most : MB allowed, if so said."""

    name: str
    unit: str
    sizes: dict[str, float]
    command: tuple[str, ...]
    suffix: str
    most: float | None = None


def growths(*, quick: bool) -> list[Growth]:
    """Sound, tables, pictures."""
    seconds = (10, 60, 300) if quick else (60, 600, 7200)
    rows = (20_000, 100_000, 400_000) if quick else (180_000, 1_800_000, 18_000_000)
    megapixels = (1, 3, 12) if quick else (24, 100, 400)
    photos = {f"photo-{m}mpx.tif": float(m) for m in megapixels}
    return [
        Growth(
            "growth-sound",
            "minutes",
            {f"sound-{s}s.wav": s / 60 for s in seconds},
            ("convcli", "audio", "-q", "lowpass:3400,width=400,attenuation=100"),
            ".wav",
        ),
        Growth(
            "growth-table",
            "million rows",
            {f"prices-{n}.csv": n / 1e6 for n in rows},
            ("convcli", "csv", "-q", "-c", "close", "--append", "sma:20"),
            ".csv",
        ),
        Growth(
            "growth-picture",
            "Mpx",
            photos,
            ("convcli", "image", "-q", "gaussian:3"),
            ".tif",
            most=600,
        ),
    ]


def run(
    *,
    only: str,
    quick: bool,
    prepare: Callable[[tuple[str, ...]], None],
    measured: Callable[[tuple[str, ...], str, float], Measurement],
) -> list[dict[str, Any]]:
    """Measure every growth whose name fits, print it, and give it back for the JSON."""
    found = []
    for growth in growths(quick=quick):
        if not fnmatch.fnmatch(growth.name, only):
            continue
        prepare(tuple(growth.sizes))
        runs: dict[int, list[Measurement]] = {}
        for threads in (2, 1):
            options = ("--threads", str(threads), "-o", OUT)
            runs[threads] = [
                measured(
                    (*growth.command, source, *options), f"out/growth{growth.suffix}", PATIENCE
                )
                for source in growth.sizes
            ]
        found.append(
            {
                "name": growth.name,
                "command": " ".join(growth.command),
                "unit": growth.unit,
                "sizes": growth.sizes,
                "most": growth.most,
                "threads": {
                    str(threads): [vars(run) for run in each] for threads, each in runs.items()
                },
            }
        )
        print("", *lines_of(found[-1]), sep="\n")
    return found


def lines_of(found: dict[str, Any]) -> list[str]:
    """What was measured of one command, and the lines of least squares through it."""
    unit, lengths = found["unit"], list(found["sizes"].values())
    two, one = found["threads"]["2"], found["threads"]["1"]
    lines = [f"{found['name']}: {found['command']}"]
    lines.append(f"  {unit:>14}{'2 threads s':>13}{'MB':>7}{'1 thread s':>13}{'MB':>7}{'1 / 2':>8}")
    for length, both, alone in zip(lengths, two, one, strict=True):
        numbers = (
            f"{both['wall']:13.2f}{both['peak']:7.0f}{alone['wall']:13.2f}{alone['peak']:7.0f}"
        )
        failure = both["failure"] or alone["failure"]
        lines.append(
            f"  {length:14.3g}{numbers}{alone['wall'] / both['wall']:8.2f}  {failure}".rstrip()
        )
    for threads, each in (("2", two), ("1", one)):
        seconds, memory = (fit(lengths, [run[name] for run in each]) for name in ("wall", "peak"))
        lines.append(
            f"  {threads} threads: {seconds[0]:.2f} s + {seconds[1]:.4f} s for each of {unit} "
            f"(off by {seconds[2]:.2f}); {memory[0]:.0f} MB + {memory[1]:.4f} MB (off by {memory[2]:.0f})"
        )
    if found["most"] is not None:
        peak = max(run["peak"] for run in two)
        lines.append(
            f"  peak memory {peak:.0f} MB, {'within' if peak <= found['most'] else 'MORE THAN'} {found['most']:.0f} MB"
        )
    return lines
