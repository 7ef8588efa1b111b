"""Bit rates of lossy sound: that of a file, and the encoder's settings for a wanted one."""

from __future__ import annotations

import io
import os
import re
from typing import TYPE_CHECKING, Any, BinaryIO

from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.media.audio.formats import LOSSY, MPEG
from convcli.media.audio.metadata import ogg
from convcli.media.audio.metadata.id3 import id3_length
from convcli.media.audio.mp3_frames import mp3_frame
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.media.audio.formats import Coding

_BEST_QUALITY = 10.0
# The highest and the lowest bits per second of MP3, by the lowest sampling rate that has them.
_MP3_RANGES = {32000: (320_000, 32_000), 16000: (160_000, 8_000), 0: (64_000, 8_000)}
_OPUS_RANGE = (256_000, 6_000)  # of each channel
_WINDOW_BYTES = 1 << 15
_SEARCH_STEPS, _HALVINGS = 8, 4
_CLOSE_ENOUGH = 0.01


@dataclass(frozen=True)
class BitRate:
    """The bit rate of a lossy coding.

    bits : bits per second
    constant : whether every frame has this bit rate, not only the average
    rate, channels : of the sound; the quality at a bit rate depends on them
    """

    bits: float
    constant: bool
    rate: int
    channels: int


@dataclass(frozen=True, kw_only=True)
class RequestedRate:
    """What the user asks of a lossy coding, and the bit rate of the input; None if not given."""

    bitrate: float | None = None
    quality: float | None = None
    kept: BitRate | None = None


def parse_bitrate(text: str) -> float:
    """Bits per second in `192k`, `192000` or `192`. RequestError for another text.

    >>> parse_bitrate("192k")
    192000.0
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(k?)(?:bit/s|bps|b)?", text.strip().lower())
    value = float(match[1]) if match else 0.0
    if match is None or value == 0:
        raise RequestError(f"--bitrate expects bits per second such as 192k, got {text!r}")
    # A number below 1,000 is in kilobits, even without a k.
    is_kilobits = match[2] != "" or value < 1000
    return value * 1000 if is_kilobits else value


# --------------------------------------------------------------------------- of an input


def bit_rate_of(
    file: BinaryIO, sound: Any, *, frames: int | None, tag_bytes: int
) -> BitRate | None:
    """The bit rate of an open sound file, None if it is not lossy or not known.

    sound : libsndfile's view of it
    frames : samples of each channel, None if not known
    tag_bytes : of the file that are not sound
    """
    if sound.subtype not in LOSSY:
        return None
    constant = nominal = None
    if sound.subtype in MPEG and sound.format in ("MP3", "MPEG"):
        constant = _constant_mp3_rate(file)
    elif sound.subtype == "VORBIS":
        nominal = _nominal_vorbis_rate(file)
    bits = constant or nominal
    if not bits:
        if not frames:
            return None
        seconds = frames / sound.samplerate
        sound_bytes = file.seek(0, os.SEEK_END) - tag_bytes
        bits = 8 * max(1, sound_bytes) / seconds
    return BitRate(bits, constant is not None, sound.samplerate, sound.channels)


def _constant_mp3_rate(file: BinaryIO) -> int | None:
    """Bits per second of an MP3 if all its first frames agree; None if a `Xing` tag is there."""
    file.seek(id3_length(file))
    data = file.read(_WINDOW_BYTES)
    found: set[int] = set()
    place = 0
    while (frame := mp3_frame(data[place : place + 4])) is not None:
        head = data[place : place + 200]
        if b"Xing" in head or b"VBRI" in head:
            return None
        if b"Info" not in head:
            found.add(frame.bits)
        place += frame.size
    return found.pop() if len(found) == 1 else None


def _nominal_vorbis_rate(file: BinaryIO) -> int | None:
    """The nominal bits per second in the first header (Vorbis I specification, 4.2.2)."""
    file.seek(0)
    try:
        page = ogg.read_page(file)
    except ValueError:
        return None
    if page is None or not page.body.startswith(b"\x01vorbis"):
        return None
    bits = int.from_bytes(page.body[20:24], "little", signed=True)
    return bits if bits > 0 else None


# -------------------------------------------------------------------------- of an output


def encoder_settings(
    coding: Coding, wanted: RequestedRate, *, rate: int, channels: int
) -> Mapping[str, Any]:
    """libsndfile's settings of an encoder, none for its defaults.

    Raises RequestError if the coding cannot do what is asked.
    """
    asked = wanted.bitrate is not None or wanted.quality is not None
    if coding.subtype not in LOSSY:
        if asked:
            raise _not_lossy(coding, wanted)
        return {}
    if not asked and wanted.kept is None:
        return {}
    if coding.subtype in MPEG:
        return _mp3_settings(wanted, rate)
    if coding.subtype == "OPUS":
        return _opus_settings(wanted, channels)
    return _vorbis_settings(wanted, rate, channels)


def _not_lossy(coding: Coding, wanted: RequestedRate) -> RequestError:
    option = "--quality" if wanted.bitrate is None else "--bitrate"
    return RequestError(
        f"{option} is for MP3, Vorbis and Opus, and the output is {coding.format} {coding.subtype}",
        hint="choose one with --format mp3, ogg or opus",
    )


def _mp3_settings(wanted: RequestedRate, rate: int) -> Mapping[str, Any]:
    if wanted.quality is not None:
        # LAME counts from 0, the best, to 9.999.
        level = min(1 - wanted.quality / _BEST_QUALITY, 0.9999)
        return {"compression_level": level, "bitrate_mode": "VARIABLE"}
    high, low = next(ends for lowest, ends in _MP3_RANGES.items() if rate >= lowest)
    bits = _bits_within(wanted, low, high, f"MP3 at {rate} Hz")
    # libsndfile rounds down to kilobits.
    level = (high - bits - 500) / (high - low)
    kept = wanted.kept
    varies = wanted.bitrate is None and kept is not None and not kept.constant
    mode = "AVERAGE" if varies else "CONSTANT"
    return {"compression_level": min(1.0, max(0.0, level)), "bitrate_mode": mode}


def _opus_settings(wanted: RequestedRate, channels: int) -> Mapping[str, Any]:
    if wanted.quality is not None:
        raise RequestError("Opus has no --quality", hint="--bitrate 128k sets its bit rate")
    high, low = _OPUS_RANGE
    bits = _bits_within(
        wanted, low * channels, high * channels, f"Opus with {plural(channels, 'channel')}"
    )
    return {"compression_level": (high - bits / channels) / (high - low)}


def _vorbis_settings(wanted: RequestedRate, rate: int, channels: int) -> Mapping[str, Any]:
    if wanted.quality is not None:
        return {"compression_level": 1 - wanted.quality / _BEST_QUALITY}
    if wanted.bitrate is None and wanted.kept is not None:
        # The quality is kept, whatever bit rate the output needs for it.
        rate, channels = wanted.kept.rate, wanted.kept.channels
    low, high = (_vorbis_bits(level, rate, channels) for level in (1.0, 0.0))
    if low is None or high is None:
        return {}
    bits = _bits_within(
        wanted, low, high, f"Vorbis with {plural(channels, 'channel')} at {rate} Hz"
    )
    return {"compression_level": _vorbis_level(bits, rate, channels, (low, high))}


def _bits_within(wanted: RequestedRate, low: float, high: float, holder: str) -> float:
    """The wanted bits per second; RequestError if they are asked for and out of range."""
    if wanted.bitrate is None:
        kept = wanted.kept.bits if wanted.kept is not None else high
        return min(high, max(low, kept))
    if not low <= wanted.bitrate <= high:
        nearest = min(high, max(low, wanted.bitrate))
        raise RequestError(
            f"{holder} has {low / 1000:.0f}k to {high / 1000:.0f}k bits per second, "
            f"not {wanted.bitrate / 1000:g}k",
            hint=f"--bitrate {nearest / 1000:.0f}k",
        )
    return wanted.bitrate


def _vorbis_level(bits: float, rate: int, channels: int, ends: tuple[float, float]) -> float:
    """The compression level that has a nominal bit rate.

    The bit rate is linear between any two of the ten whole qualities. The first steps halve the
    interval until it lies between two of them, and further steps interpolate (regula falsi).
    """
    low, high = ends
    worst, best = 1.0, 0.0
    level = worst
    for step in range(_SEARCH_STEPS):
        share = 0.5
        if step >= _HALVINGS and high > low:
            share = (bits - low) / (high - low)
        level = worst + (best - worst) * share
        found = _vorbis_bits(level, rate, channels)
        if found is None or abs(found - bits) <= _CLOSE_ENOUGH * bits:
            break
        if found < bits:
            low, worst = found, level
        else:
            high, best = found, level
    return min(1.0, max(0.0, level))


def _vorbis_bits(level: float, rate: int, channels: int) -> int | None:
    """The nominal bits per second that the encoder writes into its header at a level."""
    import numpy as np
    import soundfile

    from convcli.sndfile import Sound

    probe = io.BytesIO()
    try:
        with Sound(
            probe, "w", rate, channels, "VORBIS", format="OGG", compression_level=level
        ) as sound:
            sound.write(np.zeros((1, channels), np.float32))
    except soundfile.LibsndfileError:
        return None
    return _nominal_vorbis_rate(probe)
