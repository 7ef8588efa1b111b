"""Several channels: which loudspeaker each one is for, and their order in each format."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
import soundfile as sf
from program import done, run

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


# The loudspeakers, as a mask


def extensible(path: Path, channels: int, mask: int, kind: str = "0100000000001000") -> Path:
    """A WAV whose header has a mask."""
    data = np.arange(100 * channels, dtype="<i2").tobytes()
    fields = (0xFFFE, channels, 8000, 16000 * channels, 2 * channels, 16, 22, 16, mask)
    form = struct.pack("<HHIIHHHHI", *fields) + bytes.fromhex(kind + "800000aa00389b71")
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def mask_of(path: Path) -> int:
    """The mask in the header of a WAV or W64; 0 of one that is not extensible."""
    data = path.read_bytes()
    head = 24 if data.startswith(b"riff") else 8
    form = data[data.index(b"fmt ") + head :]
    return struct.unpack_from("<I", form, 20)[0] if form[:2] == b"\xfe\xff" else 0


@pytest.mark.parametrize("suffix", ["flac", "w64", "caf", "rf64", "wav"])
@pytest.mark.parametrize(
    ("channels", "mask"), [(2, 0x30), (3, 0xB), (4, 0x107), (6, 0x60F), (6, 0x3F), (8, 0xFF)]
)
def test_a_mask_goes_from_format_to_format(
    tmp_path: Path, channels: int, mask: int, suffix: str
) -> None:
    extensible(tmp_path / "in.wav", channels, mask)
    name = f"a.{suffix}"
    for source, output in (("in.wav", name), (name, f"b.{suffix}"), (f"b.{suffix}", "back.wav")):
        ended = done("audio", "gain:1", source, "-o", output, cwd=tmp_path)
        assert ended.warnings == []
    assert mask_of(tmp_path / "back.wav") == mask
    ended = done("audio", "pick:1,2", name, "-o", f"two.{suffix}", cwd=tmp_path)
    assert ended.warnings == []
    done("audio", "gain:1", f"two.{suffix}", "-o", "pair.wav", cwd=tmp_path)
    # Left and right need no mask.
    expected = {0x30} if channels == 2 else {0, 0x3}
    assert mask_of(tmp_path / "pair.wav") in expected


@pytest.mark.parametrize(
    ("suffix", "channels", "mask", "lost"),
    [
        ("ogg", 6, 0x3F, 0),
        ("opus", 6, 0x60F, 0),
        ("ogg", 7, 0x70F, 0),
        ("ogg", 3, 0xB, 1),
        ("ogg", 2, 0x30, 1),
        ("aiff", 6, 0x3F, 1),
        ("aiff", 2, 0x3, 0),
        ("au", 1, 0x4, 0),
    ],
)
def test_a_mask_that_is_lost_is_told(
    tmp_path: Path, suffix: str, channels: int, mask: int, lost: int
) -> None:
    extensible(tmp_path / "in.wav", channels, mask)
    ended = done("audio", "gain:1", "in.wav", "-o", f"a.{suffix}", cwd=tmp_path)
    told = (
        f"{'OGG' if suffix == 'opus' else suffix.upper()} output does not keep: speaker positions"
    )
    assert [told in line for line in ended.warnings] == [True] * lost


@pytest.mark.parametrize("suffix", ["flac", "ogg", "opus"])
@pytest.mark.parametrize(
    ("channels", "mask"),
    [(2, 0), (3, 0x7), (4, 0x33), (5, 0x37), (6, 0x3F), (7, 0x70F), (8, 0x63F)],
)
def test_what_a_number_of_channels_stands_for(
    tmp_path: Path, channels: int, mask: int, suffix: str
) -> None:
    """RFC 9639, section 9.1.3, and Vorbis I, section 4.3.9."""
    sf.write(tmp_path / "in.wav", tones(channels)[:800], RATE)
    done("audio", "gain:1", "in.wav", "-o", f"a.{suffix}", cwd=tmp_path)
    done("audio", "gain:1", f"a.{suffix}", "-o", "back.wav", cwd=tmp_path)
    assert mask_of(tmp_path / "back.wav") == mask


def test_what_describes_each_channel_goes_with_them(tmp_path: Path) -> None:
    """The tracks of the audio definition model, ITU-R BS.2088."""
    extensible(tmp_path / "in.wav", 4, 0x33)
    tracks = b"chna" + struct.pack("<IHH", 4 + 160, 4, 4) + bytes(160)
    with (tmp_path / "in.wav").open("ab") as file:
        file.write(tracks)
    ended = done("audio", "gain:1", "in.wav", "-o", "all.wav", cwd=tmp_path)
    assert ended.warnings == []
    assert tracks in (tmp_path / "all.wav").read_bytes()
    ended = done("audio", "pick:1,2", "in.wav", "-o", "pair.wav", cwd=tmp_path)
    assert "output does not keep: chna" in ended.warnings[0]
    assert b"chna" not in (tmp_path / "pair.wav").read_bytes()


def long_form(path: Path, mark: bytes) -> Path:
    """The same WAV with sizes of 64 bits: RF64 (EBU Tech 3306) or BW64 (ITU-R BS.2088)."""
    data = path.read_bytes()
    place = data.index(b"data")
    size = int.from_bytes(data[place + 4 : place + 8], "little")
    sizes = struct.pack("<QQQI", len(data) - 8 + 36, size, size // 8, 0)
    unknown = b"\xff" * 4
    head = mark + unknown + b"WAVEds64" + struct.pack("<I", 28) + sizes
    path.write_bytes(head + data[12:place] + b"data" + unknown + data[place + 8 :])
    return path


@pytest.mark.parametrize("mark", [b"RF64", b"BW64"])
@pytest.mark.parametrize("kind", ["0100000000001000", "010000002107d311"])
def test_long_forms_of_wav_stay_what_they_are(tmp_path: Path, mark: bytes, kind: str) -> None:
    """The second kind is that of ambisonic samples."""
    mask = 0x33 if kind.endswith("1000") else 0
    path = long_form(extensible(tmp_path / "in.wav", 4, mask, kind), mark)
    for words in ((), ("--threads", "1"), ("--parts", "2", "--jobs", "2")):
        done("audio", "gain:1", path, "-o", "out.wav", "--force", *words, cwd=tmp_path)
        assert (tmp_path / "out.wav").read_bytes() == path.read_bytes()
    done("audio", "gain:1", path, "-o", "out.rf64", cwd=tmp_path)
    assert (tmp_path / "out.rf64").read_bytes()[:4] == b"RF64"
    piped = run("audio", "gain:1", "-", "-q", stdin=path.read_bytes())
    assert piped.out[:4] == mark


def test_the_kind_of_ambisonic_samples_is_told_where_it_is_lost(tmp_path: Path) -> None:
    extensible(tmp_path / "in.wav", 4, 0, kind="010000002107d311")
    ended = done("audio", "gain:1", "in.wav", "-o", "a.flac", cwd=tmp_path)
    assert "FLAC output does not keep: kind of samples (ambisonic)" in ended.warnings[0]


def test_a_comment_about_loudspeakers_goes_with_them(tmp_path: Path) -> None:
    extensible(tmp_path / "in.wav", 6, 0x60F)
    done("audio", "gain:1", "in.wav", "-o", "a.flac", cwd=tmp_path)
    assert b"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x60F" in (tmp_path / "a.flac").read_bytes()
    for steps, output in (("mono", "one.flac"), ("gain:1", "b.ogg")):
        done("audio", steps, "a.flac", "-o", output, cwd=tmp_path)
        assert b"CHANNEL_MASK=0x60F" not in (tmp_path / output).read_bytes()
