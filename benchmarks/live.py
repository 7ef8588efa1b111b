"""How late sound leaves a pipe that is fed as slowly as it is played.

    python benchmarks/live.py "lowpass:3k" [--threads 1]

Feeds ten seconds of noise, 48 kHz, in pieces of 10 ms, and prints how long after its first sample came in
each stretch of the output could be read.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from threading import Thread
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from convcli.media.audio.wav import WavHeader

if TYPE_CHECKING:
    import numpy.typing as npt

RATE = 48_000
SECONDS = 10
PIECE = RATE // 100
# Until the program has imported what it needs.
START = 3.0
FRAME_BYTES = 2


def main() -> None:
    """Measure one filter, and print the delays."""
    program = subprocess.Popen(
        [sys.executable, "-m", "convcli", "audio", *sys.argv[1:], "-", "-q", "-o", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    arrivals: list[tuple[float, int]] = []
    reader = Thread(target=note_arrivals, args=(cast("IO[bytes]", program.stdout), arrivals))
    reader.start()
    time.sleep(START)
    rng = np.random.default_rng(0)
    samples = rng.integers(-9000, 9000, RATE * SECONDS).astype("<i2")
    began, ended = feed(cast("IO[bytes]", program.stdin), samples)
    reader.join()
    program.wait()
    delays = delays_of(arrivals, began, ended)
    median = statistics.median(delays)
    print(f"{' '.join(sys.argv[1:])}: median {median:.3f} s, at most {max(delays):.3f} s")


def feed(pipe: IO[bytes], samples: npt.NDArray[np.int16]) -> tuple[float, float]:
    """Write samples at the times at which they are played; return when the first and last came."""
    pipe.write(WavHeader(format="WAV", subtype="PCM_16", rate=RATE, channels=1).to_bytes(None))
    began = time.monotonic()
    for first in range(0, len(samples), PIECE):
        due = began + (first + PIECE) / RATE
        time.sleep(max(0.0, due - time.monotonic()))
        pipe.write(samples[first : first + PIECE].tobytes())
    ended = time.monotonic()
    pipe.close()
    return began, ended


def note_arrivals(pipe: IO[bytes], arrivals: list[tuple[float, int]]) -> None:
    """Note when how many bytes have come."""
    count = 0
    while some := os.read(pipe.fileno(), 1 << 16):
        count += len(some)
        arrivals.append((time.monotonic(), count))


def delays_of(arrivals: list[tuple[float, int]], began: float, ended: float) -> list[float]:
    """How late the first sample of each stretch was, of those that came before the input ended."""
    head = len(WavHeader(format="WAV", subtype="PCM_16", rate=RATE, channels=1).to_bytes(None))
    delays = []
    known = 0
    for at, count in arrivals:
        frames = (count - head) // FRAME_BYTES
        if frames > known and at < ended:
            delays.append(at - began - known / RATE)
            known = frames
    return delays


if __name__ == "__main__":
    main()
