"""Impulse responses from sound files, converted to the rate of the signal with their gain kept."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass
from convcli.designs.taps import refuse_huge
from convcli.errors import InputError, RequestError
from convcli.named_files import opened_named

if TYPE_CHECKING:
    from convcli.array_types import Taps
    from convcli.places import Place

# Seconds of silence around a response while it is converted, for the ringing of the converter.
MARGIN = 0.05
# A file of more bytes is not read as an impulse response.
LARGEST_RESPONSE = 1 << 32
# Ringing around a response is cut where it stays below this part of the peak (-140 dB).
SILENCE = 1e-7


@dataclass(frozen=True)
class Response:
    """An impulse response at the rate of the signal.

    taps : (k, channels)
    start : index of the tap at time 0, above 0 if the conversion rings before it
    note : a message to the user
    """

    taps: Taps
    start: int
    note: str


def impulse_response(path: Place, *, rate: float, channel: int | None) -> Response:
    """A sound file, or one channel of it (counted from 1), at `rate` samples per second."""
    taps, own_rate = _read_sound(path, channel)
    count = len(taps) * rate / own_rate
    refuse_huge(count, f"{path} at {rate:g} Hz", "a shorter impulse response")
    if own_rate == rate:
        return Response(taps, 0, "")
    converted, start = _convert(taps, own_rate, rate)
    note = f"{path}: converted from {own_rate:g} Hz to {rate:g} Hz, gain kept"
    return Response(converted, start, note)


def _read_sound(path: Place, channel: int | None) -> tuple[Taps, int]:
    """The samples of a sound file, (k, channels), and its rate."""
    samples, rate = _decoded_response(path, channel)
    if channel is not None:
        samples = samples[:, channel - 1 : channel]
    taps = np.array(samples)
    if taps.size == 0:
        raise InputError(f"{path}: holds no samples")
    finite = np.isfinite(taps).all(axis=1)
    if not finite.all():
        second = int(np.argmin(finite)) / rate
        raise InputError(f"{path}: the sample at {second:g} s is not finite")
    if float(np.abs(taps).max()) > math.sqrt(sys.float_info.max) / taps.size:
        raise InputError(f"{path}: the samples are too large to be added up")
    return taps, rate


def _decoded_response(path: Place, channel: int | None) -> tuple[Taps, int]:
    """All samples of a sound file, (k, channels), and its rate."""
    import soundfile

    from convcli.sndfile import SAMPLE_DUMP, Sound, WatchedFile, messages_muted, reason_of

    problem = f"{path}: cannot be read as a sound file"
    expected = "a sound file with an impulse response"
    try:
        with (
            opened_named(path, expected=expected, most=LARGEST_RESPONSE) as (raw, _),
            messages_muted(),
        ):
            if raw.read(len(SAMPLE_DUMP)) == SAMPLE_DUMP:
                raise InputError(
                    f"{path}: a MIDI sample dump (SDS) is not read", hint="sox in.sds out.wav"
                )
            raw.seek(0)
            watched = WatchedFile(raw)
            try:
                with Sound(watched) as file:
                    if channel is not None and not 1 <= channel <= file.channels:
                        message = f"{path} has channels 1 ... {file.channels}, not {channel}"
                        raise RequestError(message, hint="channel=1 takes the first")
                    refuse_huge(file.frames, str(path), "a shorter impulse response")
                    samples = file.read(file.frames, dtype="float64", always_2d=True)
                    rate = file.samplerate
            finally:
                if watched.error is not None:
                    raise watched.error
    except soundfile.SoundFileError as error:
        raise InputError(f"{problem}: {reason_of(error)}") from error
    return samples, rate


def _convert(taps: Taps, own_rate: float, rate: float) -> tuple[Taps, int]:
    """The taps at another rate, and which of them is at time 0.

    The frequency response sum_n h[n] exp(-2 pi i f n / rate) is kept up to the lower of the two
    Nyquist frequencies, so the samples are scaled by own_rate / rate. Silence goes before and
    after: a converter is symmetric, and its ringing before time 0 belongs to the response.
    """
    import soxr

    margin = math.ceil(MARGIN * own_rate)
    lead = margin
    if float(own_rate).is_integer() and float(rate).is_integer():
        # Time 0 falls on a sample at both rates.
        period = int(own_rate) // math.gcd(int(own_rate), int(rate))
        lead = -(-margin // period) * period
    start = round(lead * rate / own_rate)
    count = lead + len(taps) + margin
    refuse_huge(count, f"a response at {own_rate:g} Hz", "resample it first: sox in.wav -r 48k ...")
    padded = np.pad(taps, ((lead, margin), (0, 0)))
    resampled = soxr.resample(padded, own_rate, rate, quality="VHQ")
    if len(resampled) == 0:
        # Less than one sample at this rate: all of the response is at time 0.
        return np.sum(taps, axis=0, keepdims=True), 0
    converted = np.asarray(resampled, dtype=np.float64) * (own_rate / rate)
    length = math.ceil(len(taps) * rate / own_rate)
    return _trim(converted, start, start + length)


def _trim(taps: Taps, start: int, stop: int) -> tuple[Taps, int]:
    """`taps` without the silence around `start` ... `stop`, and the place of `start` in them."""
    level = np.abs(taps)
    is_above_silence = level > SILENCE * level.max()
    heard = np.flatnonzero(is_above_silence.any(axis=1))
    first, last = start, stop
    if heard.size:
        first = min(start, int(heard[0]))
        last = max(stop, int(heard[-1]) + 1)
    return np.array(taps[first:last]), start - first
