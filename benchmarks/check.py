"""Whether two outputs say the same: `python check.py KIND OURS THEIRS LIMIT` prints what it found as JSON.

sound    RMS difference in dB of full scale, at the head and the tail of the sound, after the lag and the gain
of the peer were taken out; its first and last half second, where edges differ, are left out
table    largest difference of the last column, relative to its largest value
picture  mean difference in levels of 8 bits
folder   as many files on both sides, and the first sound or picture alike
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

HEAD = 20


def sound(ours: Path, theirs: Path, limit: float) -> dict[str, Any]:
    """Compare the first and the last seconds."""
    import soundfile

    worst, lags, gains = -200.0, [], []
    files = [soundfile.SoundFile(path) for path in (ours, theirs)]
    if files[0].samplerate != files[1].samplerate or files[0].channels != files[1].channels:
        said = " and ".join(f"{file.samplerate} Hz, {file.channels} channels" for file in files)
        return {"agrees": False, "found": said}
    n = min(files[0].frames, files[1].frames)
    length = min(n, HEAD * files[0].samplerate)
    for start in {0, n - length}:
        for file in files:
            file.seek(start)
        x, y = (file.read(length, dtype="float64", always_2d=True) for file in files)
        decibels, lag, gain = _difference(x, y, files[0].samplerate)
        worst = max(worst, decibels)
        lags.append(lag)
        gains.append(gain)
    found = f"{worst:.0f} dBFS RMS"
    if any(lags):
        found += f" after a lag of {lags[0]} samples"
    if any(abs(gain - 1) > 1e-3 for gain in gains):
        found += f" and a gain of {gains[0]:.3g}"
    return {"agrees": bool(worst <= limit), "difference": worst, "found": found}


def _difference(x: Any, y: Any, rate: int) -> tuple[float, int, float]:
    n = len(x)
    size = 1 << (2 * n - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(y[:, 0], size) * np.conj(np.fft.rfft(x[:, 0], size)), size)
    reach = min(n - 1, rate)
    near = np.concatenate([product[-reach:], product[: reach + 1]])
    lag = int(np.argmax(np.abs(near))) - reach
    edge = min(rate // 2, n // 8)
    first, last = edge + max(0, -lag), n - edge - max(0, lag)
    a, b = x[first:last], y[first + lag : last + lag]
    gain = float((a * b).sum() / (a * a).sum())
    rms = float(np.sqrt(np.mean((b / gain - a) ** 2)))
    return 20 * math.log10(max(rms, 1e-10)), lag, gain


def table(ours: Path, theirs: Path, limit: float) -> dict[str, Any]:
    """Compare the last column."""
    a, b = (_last_column(path) for path in (ours, theirs))
    if a.shape != b.shape:
        return {"agrees": False, "found": f"{len(a)} rows and {len(b)}"}
    if (np.isnan(a) != np.isnan(b)).any():
        return {"agrees": False, "found": "other cells are empty"}
    worst = float(np.nanmax(np.abs(a - b)) / np.nanmax(np.abs(a)))
    return {"agrees": worst <= limit, "difference": worst, "found": f"{worst:.1e} relative"}


def _last_column(path: Path) -> Any:
    with path.open("rb") as file:
        next(file)
        cells = (line.rsplit(b",", 1)[1].strip() for line in file)
        return np.array([float(cell or "nan") for cell in cells])


def picture(ours: Path, theirs: Path, limit: float) -> dict[str, Any]:
    """Compare all pixels."""
    import cv2

    how = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    a, b = (cv2.imread(str(path), how) for path in (ours, theirs))
    if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
        return {
            "agrees": False,
            "found": f"shapes {[None if i is None else i.shape for i in (a, b)]}",
        }
    difference = cv2.absdiff(a, b)
    mean, largest = float(difference.mean()), int(difference.max())
    return {
        "agrees": mean <= limit,
        "difference": mean,
        "found": f"mean {mean:.2g}, largest {largest} levels",
    }


def folder(ours: Path, theirs: Path, limit: float) -> dict[str, Any]:
    """Compare the numbers of files and the first of them."""
    a, b = (sorted(path.iterdir()) for path in (ours, theirs))
    if [path.name for path in a] != [path.name for path in b]:
        return {"agrees": False, "found": f"{len(a)} files and {len(b)}"}
    compare = sound if a[0].suffix == ".wav" else picture
    result = compare(a[0], b[0], limit)
    return {**result, "found": f"{len(a)} files, {result['found']}"}


if __name__ == "__main__":
    kind, first, second, most = sys.argv[1:]
    compare = {"sound": sound, "table": table, "picture": picture, "folder": folder}[kind]
    print(json.dumps(compare(Path(first), Path(second), float(most))))
