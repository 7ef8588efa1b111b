"""Impulse responses from sound files, brought to the rate of the signal with their gain kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convcli.designs.taps import refuse_huge
from convcli.errors import InputError, RequestError

if TYPE_CHECKING:
    from pathlib import Path

    from convcli.core.kernel import Taps

MARGIN = 0.05
"""Seconds of silence put around a response while it is converted, for the ringing of the converter."""
NOTHING = 1e-7
"""What the converter adds around a response is cut where it stays below this part of the peak (-140 dB)."""


@dataclass(frozen=True)
class Response:
    """taps : (k, channels); start : the tap at time 0, later than 0 if converting rang before; note : for the user."""

    taps: Taps
    start: int
    note: str


def impulse_response(path: Path, *, rate: float, channel: int | None) -> Response:
    """A sound file, or one channel of it (`channel` counts from 1), at `rate` samples per second."""
    taps, own_rate = _read(path, channel)
    refuse_huge(len(taps) * rate / own_rate, f"{path} at {rate:g} Hz", "a shorter impulse response")
    if own_rate == rate:
        return Response(taps, 0, "")
    converted, start = _convert(taps, own_rate, rate)
    return Response(
        converted, start, f"{path}: converted from {own_rate:g} Hz to {rate:g} Hz, gain kept"
    )


def _read(path: Path, channel: int | None) -> tuple[Taps, int]:
    import soundfile

    try:
        if not path.is_file():
            problem = "is no file" if path.exists() else "no such file"
            raise InputError(f"{path}: {problem}; expected a sound file with an impulse response")
        with soundfile.SoundFile(path) as file:
            _check_channel(path, channel, file.channels)
            refuse_huge(file.frames, str(path), "a shorter impulse response")
            samples = file.read(dtype="float64", always_2d=True)
            rate = file.samplerate
    except (OSError, soundfile.SoundFileError) as error:
        raise InputError(f"{path}: cannot be read as a sound file: {error}") from error
    taps = np.array(samples if channel is None else samples[:, channel - 1 : channel])
    if taps.size == 0:
        raise InputError(f"{path}: holds no samples")
    if not np.isfinite(taps).all():
        second = float(np.flatnonzero(~np.isfinite(taps).all(axis=1))[0]) / rate
        raise InputError(f"{path}: the sample at {second:g} s is not finite")
    return taps, rate


def _check_channel(path: Path, channel: int | None, channels: int) -> None:
    if channel is not None and not 1 <= channel <= channels:
        raise RequestError(
            f"{path} has channels 1 ... {channels}, not {channel}", hint="channel=1 takes the first"
        )


def _convert(taps: Taps, own_rate: float, rate: float) -> tuple[Taps, int]:
    """The taps at another rate, and which of them is time 0.

    The frequency response sum_n h[n] exp(-2 pi i f n / rate) is kept up to the lower of the two Nyquist
    frequencies, so the samples are scaled by own_rate / rate. Silence goes before and after: a converter is
    symmetric, and what it rings before time 0 belongs to the response.
    """
    import soxr

    lead = math.ceil(MARGIN * own_rate)
    if (
        float(own_rate).is_integer() and float(rate).is_integer()
    ):  # time 0 falls on a sample of both rates
        period = int(own_rate) // math.gcd(int(own_rate), int(rate))
        lead = -(-lead // period) * period
    start = round(lead * rate / own_rate)
    padded = np.pad(taps, ((lead, math.ceil(MARGIN * own_rate)), (0, 0)))
    converted = np.asarray(
        soxr.resample(padded, own_rate, rate, quality="VHQ"), dtype=np.float64
    ) * (own_rate / rate)
    return _trim(converted, start, start + math.ceil(len(taps) * rate / own_rate))


def _trim(taps: Taps, start: int, stop: int) -> tuple[Taps, int]:
    """`taps` without the near-silence before `start` and from `stop` on, and where `start` is then."""
    heard = np.flatnonzero((np.abs(taps) > NOTHING * np.abs(taps).max()).any(axis=1))
    first = min(start, int(heard[0])) if heard.size else start
    last = max(stop, int(heard[-1]) + 1) if heard.size else stop
    return np.array(taps[first:last]), start - first
