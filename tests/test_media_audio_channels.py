"""Several channels: which loudspeaker each one is for, and their order in each format."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
import soundfile as sf
from program import done

from convcli.media.audio.metadata import ogg

if TYPE_CHECKING:
    from pathlib import Path

RATE = 48000
# Low enough for a channel of low frequencies.
TONES = 30 + 10 * np.arange(8)


def tones(channels: int) -> Any:
    """A tone of its own in each channel."""
    time = np.arange(2 * RATE)[:, None] / RATE
    return 0.3 * np.sin(2 * np.pi * TONES[:channels] * time)


def order_of(x: Any) -> list[int]:
    """Which tone is in each channel."""
    spectrum = np.abs(np.fft.rfft(x[:RATE], axis=0))
    return [int(np.argmin(np.abs(TONES - peak))) for peak in spectrum.argmax(axis=0)]


def decoded_by_ffmpeg(path: Path) -> Any:
    """Samples in the order in which FFmpeg names the channels, that of WAV."""
    with av.open(str(path)) as file:
        layout = file.streams.audio[0].layout.name
        plain = av.AudioResampler(format="flt", layout=layout)
        parts = [part for frame in file.decode(audio=0) for part in plain.resample(frame)]
        channels = file.streams.audio[0].layout.nb_channels
        return np.concatenate([part.to_ndarray().reshape(-1, channels) for part in parts])


@pytest.mark.parametrize("suffix", ["ogg", "opus", "flac"])
@pytest.mark.parametrize("channels", range(2, 9))
def test_each_channel_goes_to_its_loudspeaker(tmp_path: Path, channels: int, suffix: str) -> None:
    """Vorbis and Opus have the centre between left and right, and low frequencies last."""
    name = f"a.{suffix}"
    sf.write(tmp_path / "in.wav", tones(channels), RATE)
    done("audio", "gain:1", "in.wav", "-o", name, cwd=tmp_path)
    expected = list(range(channels))
    assert order_of(decoded_by_ffmpeg(tmp_path / name)) == expected
    done("audio", "gain:1", name, "-o", "back.wav", cwd=tmp_path)
    assert order_of(sf.read(tmp_path / "back.wav", always_2d=True)[0]) == expected


def test_channels_are_counted_as_in_a_wav(tmp_path: Path) -> None:
    sf.write(tmp_path / "in.wav", tones(6), RATE)
    done("audio", "gain:1", "in.wav", "-o", "a.ogg", cwd=tmp_path)
    done("audio", "pick:3", "a.ogg", "-o", "centre.wav", cwd=tmp_path)
    assert order_of(sf.read(tmp_path / "centre.wav", always_2d=True)[0]) == [2]
    sf.write(tmp_path / "impulse.wav", 0.5 * (np.arange(2 * RATE) == 0), RATE)
    done("audio", "ir:a.ogg,channel=5", "impulse.wav", "-o", "back_left.wav", cwd=tmp_path)
    assert order_of(sf.read(tmp_path / "back_left.wav", always_2d=True)[0]) == [4]


@pytest.mark.parametrize(("family", "expected"), [(1, [0, 1, 2]), (255, [0, 2, 1])])
def test_channels_of_opus_without_loudspeakers_stay_in_place(
    tmp_path: Path, family: int, expected: list[int]
) -> None:
    sf.write(tmp_path / "in.wav", tones(3), RATE)
    done("audio", "gain:1", "in.wav", "-o", "a.opus", cwd=tmp_path)
    with (tmp_path / "a.opus").open("r+b") as file:
        page = ogg.read_page(file)
        assert page is not None
        assert page.body[18] == 1
        other = replace(page, body=page.body[:18] + bytes([family]) + page.body[19:])
        file.seek(0)
        file.write(other.to_bytes())
    done("audio", "gain:1", "a.opus", "-o", "back.wav", cwd=tmp_path)
    assert order_of(sf.read(tmp_path / "back.wav", always_2d=True)[0]) == expected
