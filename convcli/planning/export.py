"""Taps written to a file that other programs read; `convcli explain --export` calls it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convcli.array_types import FloatArray


def export_taps(weights: FloatArray, place: Path, suffix: str, *, rate: float | None) -> None:
    """Write taps to `place` in the format that `suffix` names.

    The formats are .csv, .npy, .json and .wav (64-bit float, at `rate`).

    weights : (k,) or (height, width); a .csv has a row of taps a line, one-dimensional taps one a
        line. Numbers are written so that they are read back bit for bit.

    Raises RequestError for another suffix and for taps that are not finite.
    """
    if suffix not in EXPORTS:
        given = suffix or "no suffix"
        raise RequestError(f"expected taps in a file named {', '.join(EXPORTS)}, got {given!r}")
    if not np.isfinite(weights).all():
        message = "the taps of the chain are larger than the largest number"
        raise RequestError(message, hint="`gain` with a small factor makes them smaller")
    EXPORTS[suffix](weights, place, rate)


def _csv(weights: FloatArray, place: Path, _: float | None) -> None:
    rows = weights.reshape(len(weights), -1).tolist()
    lines = [",".join(map(repr, row)) for row in rows]
    text = "\n".join(lines)
    place.write_text(f"{text}\n", encoding="ascii")


def _npy(weights: FloatArray, place: Path, _: float | None) -> None:
    with place.open("wb") as file:
        np.save(file, weights, allow_pickle=False)


def _json(weights: FloatArray, place: Path, rate: float | None) -> None:
    text = json.dumps({"taps": weights.tolist(), "rate": rate}, allow_nan=False)
    place.write_text(f"{text}\n", encoding="ascii")


def _wav(weights: FloatArray, place: Path, rate: float | None) -> None:
    import soundfile

    if weights.ndim != 1:
        message = "taps of an image do not fit in a sound file"
        raise RequestError(message, hint="export to .csv, .npy or .json")
    if rate is None or rate != round(rate):
        raise RequestError("a sound file needs a whole sampling rate", hint="give --rate 44100")
    soundfile.write(str(place), weights, round(rate), format="WAV", subtype="DOUBLE")


EXPORTS: dict[str, Callable[[FloatArray, Path, float | None], Any]] = {
    ".csv": _csv,
    ".npy": _npy,
    ".json": _json,
    ".wav": _wav,
}
