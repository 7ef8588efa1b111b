"""M4A, AAC, WebM and the sound of videos, decoded by FFmpeg."""

from __future__ import annotations

import io
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
import soundfile
from av.stream import Disposition

from convcli.errors import InputError
from convcli.media.audio.source import open_audio
from convcli.signals import blocks_of

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

RATE = 48000
# Container, codec, suffix, frames that this encoder of AAC puts before the sound, and the root mean square of
# what the coding changes.
CODINGS = [
    ("mp4", "aac", ".m4a", 1024, 0.015),
    ("adts", "aac", ".aac", 1024, 0.015),
    ("webm", "libopus", ".webm", 0, 0.01),
    ("mp4", "alac", ".m4a", 0, 1e-6),
]


def sine(seconds: float = 1.5, channels: int = 2) -> np.ndarray:
    t = np.arange(int(seconds * RATE)) / RATE
    tones = [0.5 * np.sin(2 * np.pi * 440 * (1 + c) * t) for c in range(channels)]
    return np.stack(tones, axis=1).astype(np.float32)


def encoded(
    container: str,
    codec: str,
    x: np.ndarray,
    *,
    video: bool = False,
    place: Path | None = None,
    tags: dict[str, str] | None = None,
) -> bytes:
    """A file; one that is written at a `place` has its header first."""
    out: Any = io.BytesIO() if place is None else str(place)
    options = {} if place is None else {"movflags": "faststart"}
    layout = "mono" if x.shape[1] == 1 else "stereo"
    with av.open(out, "w", format=container, options=options) as file:
        file.metadata.update(tags or {})
        stream: Any = file.add_stream(codec, rate=RATE)
        stream.layout = layout
        if codec == "aac":
            stream.bit_rate = 192_000
        picture: Any = None
        if video:
            picture = file.add_stream("mpeg4", rate=25)
            picture.width = picture.height = 64
            for _ in range(5):
                image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
                file.mux(picture.encode(image))
        samples = np.ascontiguousarray(x.T)
        frame = av.AudioFrame.from_ndarray(samples, "fltp", layout)
        frame.sample_rate = RATE
        for part in av.AudioResampler(stream.format, layout, RATE, stream.frame_size).resample(
            frame
        ):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
        if picture is not None:
            file.mux(picture.encode(None))
    return out.getvalue() if place is None else place.read_bytes()


@pytest.mark.parametrize("coding", CODINGS)
def test_samples_are_decoded(coding: tuple[str, str, str, int, float], tmp_path: Path) -> None:
    container, codec, suffix, delay, error = coding
    x = sine()
    place = tmp_path / f"a{suffix}"
    place.write_bytes(encoded(container, codec, x))
    with open_audio(place) as source:
        assert source.signal.rate == RATE
        assert source.signal.channels == ("left", "right")
        for _ in range(2):  # a second pass starts over
            y = np.concatenate([block.x for block in blocks_of(source)])
    middle = slice(8000, 48000)
    moved = y[8000 + delay : 48000 + delay]
    # A sound that is one sample off differs by 0.023.
    assert np.sqrt(np.square(moved - x[middle]).mean(axis=0)).max() < error


@pytest.mark.parametrize(
    ("channels", "layout"), [(6, "5.1"), (8, "7.1"), (12, "7.1.4"), (16, "9.1.6")]
)
def test_many_channels_are_decoded(channels: int, layout: str, tmp_path: Path) -> None:
    numbers = np.random.default_rng(channels).integers(-(1 << 15), 1 << 15, (4000, channels))
    place = tmp_path / "many.mka"
    with av.open(str(place), "w", format="matroska") as file:
        stream: Any = file.add_stream("pcm_s16le", rate=RATE)
        stream.layout = layout
        interleaved = numbers.astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(interleaved, "s16", layout)
        frame.sample_rate = RATE
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with open_audio(place) as source:
        y = np.concatenate([block.x for block in blocks_of(source)])
    np.testing.assert_array_equal(y, numbers / (1 << 15))


def test_the_sound_of_a_video_in_a_pipe(program: Program, tmp_path: Path) -> None:
    data = encoded("mp4", "aac", sine(channels=1), video=True)
    words = ["audio", "gain:0.5", "-q", "-o", "o.wav"]
    assert program.run(*words, stdin=data, cwd=tmp_path).code == 0
    y, rate = soundfile.read(tmp_path / "o.wav")
    assert (rate, y.ndim) == (RATE, 1)
    assert abs(np.abs(y[8000:48000]).max() - 0.25) < 0.01
    assert soundfile.info(tmp_path / "o.wav").subtype == "PCM_16"


def test_such_files_are_read_and_not_written(program: Program, tmp_path: Path) -> None:
    (tmp_path / "a.m4a").write_bytes(encoded("mp4", "aac", sine()))
    ended = program.run("audio", "gain:0.5", "a.m4a", "-o", "o.m4a", cwd=tmp_path)
    assert ended.code == 2
    assert "unknown sound file suffix '.m4a'" in ended.errors[0]


def test_what_is_damaged(program: Program, tmp_path: Path) -> None:
    data = encoded("mp4", "aac", sine())
    webm = encoded("webm", "libopus", sine())
    (tmp_path / "cut.m4a").write_bytes(data[: len(data) // 2])
    (tmp_path / "bad.webm").write_bytes(webm[:60] + bytes(2000))
    for name in ("cut.m4a", "bad.webm"):
        ended = program.run("audio", "gain:0.5", name, "-o", "o.wav", cwd=tmp_path)
        assert ended.code == 3, ended
        assert name in ended.errors[0]
        assert not (tmp_path / "o.wav").exists()


@pytest.mark.parametrize(("container", "codec"), [("webm", "libopus"), ("mp4", "aac")])
def test_a_file_that_is_cut_off_gives_what_there_is(
    container: str, codec: str, program: Program, tmp_path: Path
) -> None:
    whole = encoded(container, codec, sine(3), place=tmp_path / "whole")
    (tmp_path / "cut").write_bytes(whole[: len(whole) * 2 // 3])
    ended = program.run("audio", "gain:0.5", "cut", "-o", "o.wav", cwd=tmp_path)
    assert ended.code == 0, ended
    assert "cut: is truncated: 14" in ended.err
    y, _ = soundfile.read(tmp_path / "o.wav")
    assert 60_000 < len(y) < 120_000
    strict = program.run("audio", "gain:0.5", "cut", "-o", "p.wav", "--strict", cwd=tmp_path)
    assert strict.code == 3


def test_without_the_decoder_the_error_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.m4a").write_bytes(encoded("mp4", "aac", sine()))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError) as caught:
        open_audio(tmp_path / "a.m4a")
    assert caught.value.hint == "pip install 'convcli[av]' installs what decodes it"


def test_tags_and_length_of_an_m4a(program: Program, tmp_path: Path) -> None:
    """What fills up the last packet of AAC is no sound: the header counts the frames without it."""
    tags = {"title": "words", "artist": "someone", "track": "3"}
    x = sine(3.003)
    (tmp_path / "a.m4a").write_bytes(encoded("mp4", "aac", x, tags=tags))
    with av.open(str(tmp_path / "a.m4a")) as file:
        promised = file.streams.audio[0].duration
    ended = program.run("audio", "gain:0.5", "a.m4a", "-o", "b.wav", cwd=tmp_path)
    assert not ended.warnings, ended
    with soundfile.SoundFile(tmp_path / "b.wav") as made:
        assert made.frames == promised
        assert (made.title, made.artist, made.tracknumber) == ("words", "someone", "3")


@pytest.mark.parametrize(
    ("codec", "subtype"), [("pcm_f32le", "FLOAT"), ("pcm_s24le", "PCM_24"), ("pcm_s16le", "PCM_16")]
)
def test_samples_without_a_codec_keep_their_bits(
    program: Program, tmp_path: Path, codec: str, subtype: str
) -> None:
    x = sine(0.1)
    (tmp_path / "a.mka").write_bytes(encoded("matroska", codec, x))
    assert program.run("audio", "gain:1", "a.mka", "-o", "b.wav", cwd=tmp_path).code == 0
    with soundfile.SoundFile(tmp_path / "b.wav") as made:
        assert made.subtype == subtype
        error = np.abs(made.read() - x).max()
    assert error <= {"FLOAT": 0, "PCM_24": 2.0**-23, "PCM_16": 2.0**-15}[subtype]


def test_chapters_and_covers_are_told(program: Program, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.m4a"), "w", format="mp4") as file:
        sound = file.add_stream("aac", rate=RATE)
        sound.layout = "mono"
        cover = file.add_stream("png")
        cover.width, cover.height, cover.pix_fmt = 16, 16, "rgb24"
        cover.disposition = Disposition.attached_pic
        chapters: Any = [
            {"id": n, "start": n, "end": n + 1, "time_base": Fraction(1, 2), "metadata": {}}
            for n in range(2)
        ]
        file.set_chapters(chapters)
        picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))
        samples = av.AudioFrame.from_ndarray(sine(1, 1).T.copy(), format="fltp", layout="mono")
        samples.rate = RATE
        streams: Any = ((cover, picture), (sound, samples))
        for stream, frame in streams:
            file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    ended = program.run("audio", "gain:1", "a.m4a", "-o", "b.wav", cwd=tmp_path)
    assert ended.code == 0
    (told,) = ended.warnings
    assert "2 chapters and 1 cover picture" in told
