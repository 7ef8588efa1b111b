"""Where one path of a convolution becomes cheaper than another: measured, and as the rule in convcli has it.

Prints the constants of convcli/core/convolution/convolve.py as they come out on this machine, the numbers of
taps at which the paths meet, and what a sample costs from 3 to 100,000 taps. One thread, two
channels of float64, its processor time.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import sys
import time
from typing import TYPE_CHECKING

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import numpy as np

from convcli.core.convolution import convolve
from convcli.core.convolution.direct import dot_products
from convcli.core.convolution.fft import overlap_save
from convcli.core.convolution.polyphase import PhaseTaps, polyphase
from convcli.running.workers import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

CHANNELS = 2
SAMPLES = 1 << 18
STEPS = (2, 4, 8)
TAPS = (3, 9, 31, 101, 315, 1001, 3163, 10001, 31623, 100001)


def main() -> None:
    """Measure, print, and with --json write standard output for a program (words go to standard error)."""
    keep_freed_memory()  # as every run does
    words = sys.stderr if "--json" in sys.argv else sys.stdout
    measured_constants, meet, taps_costs = constants(), meetings(), growth()
    found = {"constants": measured_constants, "meet": meet, "taps": taps_costs}
    print("\nconstants of the cost rule, ns for one output of one channel", file=words)
    for name, measured in measured_constants.items():
        print(f"  {name:20}{measured:8.3f}   in the code {convolve.COST[name]:g}", file=words)
    print("\nnumbers of taps at which the paths meet", file=words)
    for name, (measured, rule, differ) in meet.items():
        verdict = "" if abs(rule / measured - 1) <= 0.2 else f"   where they differ by {differ:.0%}"
        print(f"  {name:28}{measured:8.0f}   by the rule {rule:6d}{verdict}", file=words)
    print("\nns for one output of one channel, against the number of taps", file=words)
    for taps, nanoseconds, path in taps_costs:
        print(
            f"  {taps:8}{nanoseconds:9.2f}   {nanoseconds / math.log2(taps):7.3f} a log2   {path}",
            file=words,
        )
    if "--json" in sys.argv:
        print(json.dumps(found))


# ---------------------------------------------------------------------------------------- the paths


def sound(n: int) -> npt.NDArray[np.float64]:
    """Noise, (n, CHANNELS)."""
    return np.random.default_rng(5).standard_normal((n, CHANNELS))


def direct(x: npt.NDArray[np.float64], w: npt.NDArray[np.float64], step: int) -> object:
    """As correlate_valid does it."""
    return dot_products(x, w, step)


def fft(x: npt.NDArray[np.float64], w: npt.NDArray[np.float64], step: int) -> object:
    """As correlate_valid does it."""
    return overlap_save(x, w, step)


def product(x: npt.NDArray[np.float64], w: npt.NDArray[np.float64], step: int) -> object:
    """As correlate_valid does it."""
    return polyphase(x, PhaseTaps.one_phase(w, step), (0, (len(x) - w.size) // step + 1))


PATHS: dict[convolve.Path, Callable[..., object]] = {
    "direct": direct,
    "fft": fft,
    "product": product,
}


def cost(
    path: Callable[..., object], k: int, step: int = 1, *, n: int = SAMPLES, tries: int = 9
) -> float:
    """Nanoseconds for one output of one channel: the best of some tries, as what disturbs only ever adds."""
    x, w = sound(n), np.random.default_rng(k).standard_normal(k)
    outputs = ((n - k) // step + 1) * CHANNELS
    best = math.inf
    path(x[: 4 * k + 4096], w, step)
    for _ in range(tries):
        started = time.thread_time()
        path(x, w, step)
        best = min(best, time.thread_time() - started)
    return 1e9 * best / outputs


# ----------------------------------------------------------------------------------- what they cost


def constants() -> dict[str, float]:
    """The constants of the rule by straight lines through costs."""
    taps = {
        "direct": (3, 5, 7, 9, 11),
        "fft": (15, 63, 255, 1023, 4095),
        "product": (15, 31, 63, 127, 255, 511),
    }
    found = _fitted("direct", taps["direct"], (1,)) | _fitted(
        "direct", (15, 31, 63, 127, 255), (1,)
    )
    return (
        found
        | _fitted("product", taps["product"], STEPS)
        | _fitted("fft", taps["fft"], (1, *STEPS))
    )


def _fitted(name: convolve.Path, taps: tuple[int, ...], steps: tuple[int, ...]) -> dict[str, float]:
    """The prices of a path by least squares of the relative error."""
    kinds = list(convolve.priced(name, taps[0], steps[0]))
    counts, costs = [], []
    for step in steps:
        for k in taps:
            priced = convolve.priced(name, k, step)
            counts.append([priced[kind] for kind in kinds])
            costs.append(cost(PATHS[name], k, step))
    weighted = np.array(counts) / np.array(costs)[:, None]
    prices = np.linalg.lstsq(weighted, np.ones(len(costs)), rcond=None)[0]
    return dict(zip(kinds, prices.tolist(), strict=True))


def meetings() -> dict[str, tuple[float, int, float]]:
    """From how many taps on another path is the cheapest, measured and by the rule, and how they differ there."""
    found = {}
    for step in (1, *STEPS):
        taken = [convolve.cheapest_path(k, k, step, exact=False) for k in range(3, 1 << 14)]
        for k, (below, above) in enumerate(itertools.pairwise(taken), 4):
            if below != above:
                differ = cost(PATHS[above], k, step) / cost(PATHS[below], k, step) - 1
                found[f"{below} to {above}, step {step}"] = (
                    _meet(PATHS[below], PATHS[above], step),
                    k,
                    abs(differ),
                )
    return found


def _meet(below: Callable[..., object], above: Callable[..., object], step: int) -> float:
    """The number of taps where `above` becomes cheaper, halving an interval on a logarithmic scale."""
    low, high = math.log(3), math.log(20000)
    for _ in range(9):
        middle = (low + high) / 2
        k = round(math.exp(middle))
        if cost(above, k, step, tries=3) < cost(below, k, step, tries=3):
            high = middle
        else:
            low = middle
    return math.exp((low + high) / 2)


def growth() -> list[tuple[int, float, str]]:
    """What a sample costs by the path that the rule takes."""
    found: list[tuple[int, float, str]] = []
    for k in TAPS:
        name = convolve.cheapest_path(k, k, 1, exact=False)
        found.append((k, cost(PATHS[name], k, n=max(4 * SAMPLES, 32 * k), tries=3), name))
    return found


if __name__ == "__main__":
    main()
