"""Damaged sound files and failing reads: what is there is read, what is missing is told."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile as sf
from program import done, peer, refused, run

from convcli.errors import InputError
from convcli.media.audio.source import open_audio

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

RATE = 44100


def noise(frames: int, channels: int = 2, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (frames, channels))


def write(path: Path, x: Any, rate: int = RATE, **options: Any) -> Path:
    """A sound file, written in pieces: the Vorbis encoder cannot take many frames at once."""
    with sf.SoundFile(path, "w", rate, x.shape[1], **options) as file:
        for start in range(0, len(x), 10000):
            file.write(x[start : start + 10000])
    return path


def stored(path: Path) -> Any:
    return sf.read(path, dtype="int16", always_2d=True)[0]


# Reads that fail

SYSTEM_ERRORS = ["wav", "w64", "flac", "aiff", "ogg", "mp3", "caf", "au", "voc"]


@peer("strace")
@pytest.mark.parametrize("suffix", SYSTEM_ERRORS)
def test_a_failed_read_is_no_end(program: Program, tmp_path: Path, suffix: str) -> None:
    source = write(tmp_path / f"in.{suffix}", noise(100000))
    target = tmp_path / "out.wav"
    words = ["audio", "-q", "gain:1", str(source), "-o", str(target)]
    log = tmp_path / "log"
    counting = ["-P", str(source), "-o", str(log), "-e", "trace=read"]
    assert program.run(*words, strace=counting).code == 0
    target.unlink()
    count = log.read_text().count("read(")
    for number in (1, count // 2, count):
        failing = ["-P", str(source), "-e", f"inject=read:error=EIO:when={number}"]
        ended = program.run(*words, strace=failing)
        assert ended.code == 3
        assert f"error: {source}: cannot be read: Input/output error\n" in ended.err
        assert not target.exists()


# MP3


def damaged_mp3(tmp_path: Path) -> Path:
    path = write(tmp_path / "in.mp3", noise(120000))
    data = bytearray(path.read_bytes())
    for place in range(1000, len(data), 97):
        data[place] ^= 0x55
    middle = len(data) // 2
    data[middle : middle + 5000] = bytes(5000)
    path.write_bytes(data)
    return path


def test_the_decoder_of_mp3_does_not_print(tmp_path: Path) -> None:
    path = damaged_mp3(tmp_path)
    quiet = done("audio", "-q", "gain:1", path, "-o", tmp_path / "a.wav")
    assert quiet.err == ""
    told = done("audio", "gain:1", path, "-o", tmp_path / "b.wav")
    assert all(line.startswith(("warning: ", str(path))) for line in told.err.splitlines())
    response = refused(3, "audio", "-q", f"ir:{path}", path, "-o", tmp_path / "c.wav")
    assert response == f"error: {path}: cannot be read as a sound file: it is damaged\n"


def test_an_mp3_without_a_frame_is_damaged_and_not_absent(tmp_path: Path) -> None:
    path = tmp_path / "in.mp3"
    path.write_bytes(b"\xff\xfb\x90\x64" + np.random.default_rng(0).bytes(30000))
    told = refused(3, "audio", "gain:1", path, "-o", tmp_path / "out.wav")
    assert "it is damaged" in told
    assert "does not exist" not in told
    assert len(told.splitlines()) == 2


# Impulse responses


@pytest.mark.parametrize(("name", "subtype"), [("a.wav", "GSM610"), ("a.xi", "DPCM_16")])
def test_an_impulse_response_that_cannot_seek(tmp_path: Path, name: str, subtype: str) -> None:
    response = write(tmp_path / name, noise(400, 1), subtype=subtype)
    impulse = np.zeros((2000, 1))
    impulse[0] = 1
    source = write(tmp_path / "x.wav", impulse, subtype="DOUBLE")
    done("audio", f"ir:{response}", source, "-o", tmp_path / "y.wav")
    expected = sf.read(response)[0]
    assert np.allclose(sf.read(tmp_path / "y.wav")[0][: len(expected)], expected, atol=1e-12)


# FLAC whose header is wrong


def with_facts(data: bytes, *, frames: int | None = None, channels: int | None = None) -> bytes:
    """A FLAC file whose STREAMINFO claims other numbers (RFC 9639, section 8.2)."""
    facts = int.from_bytes(data[18:26], "big")
    if frames is not None:
        facts = facts >> 36 << 36 | frames
    if channels is not None:
        facts = facts & ~(7 << 41) | (channels - 1) << 41
    return data[:18] + facts.to_bytes(8, "big") + data[26:]


def first_frame(data: bytes) -> int:
    return data.index(b"\xff\xf8")


@pytest.mark.parametrize("claimed", [0, 1, 40000, 119999])
def test_a_flac_that_counts_too_few_samples_is_read_to_its_end(
    tmp_path: Path, claimed: int
) -> None:
    path = write(tmp_path / "in.flac", noise(120000))
    expected = stored(path)
    path.write_bytes(with_facts(path.read_bytes(), frames=claimed) + b"TAG" + bytes(125))
    ended = done("audio", "gain:1", path, "-o", tmp_path / "out.wav")
    assert np.array_equal(stored(tmp_path / "out.wav"), expected)
    assert (f"its header counts {claimed} frames, 120000 are there" in ended.err) == (claimed > 0)


@pytest.mark.parametrize(("channels", "claimed"), [(2, 1), (1, 2), (2, 8)])
def test_a_flac_that_claims_other_channels_has_those_of_its_frames(
    tmp_path: Path, channels: int, claimed: int
) -> None:
    path = write(tmp_path / "in.flac", noise(50000, channels))
    expected = stored(path)
    path.write_bytes(with_facts(path.read_bytes(), channels=claimed))
    ended = done("audio", "gain:1", path, "-o", tmp_path / "out.wav")
    assert np.array_equal(stored(tmp_path / "out.wav"), expected)
    assert "its header says" in ended.err


@pytest.mark.parametrize(("channels", "rate"), [(1, RATE), (2, 22050), (6, 48000)])
@pytest.mark.parametrize("claimed", [0, 120000, 180000])
def test_a_flac_that_changes_midway_ends_there_and_the_rest_is_counted(
    tmp_path: Path, channels: int, rate: int, claimed: int
) -> None:
    path = write(tmp_path / "in.flac", noise(120000))
    expected = stored(path)
    other = write(tmp_path / "other.flac", noise(60000, channels), rate).read_bytes()
    path.write_bytes(with_facts(path.read_bytes(), frames=claimed) + other[first_frame(other) :])
    ended = done("audio", "gain:1", path, "-o", tmp_path / "out.wav")
    assert np.array_equal(stored(tmp_path / "out.wav"), expected)
    assert "the 60000 frames from there on are left out" in ended.err
    told = refused(3, "audio", "gain:1", "--strict", path, "-o", tmp_path / "strict.wav")
    assert "changes from 2 channels of 16 bits at 44100 Hz" in told
    assert not (tmp_path / "strict.wav").exists()


@pytest.mark.parametrize("claimed", ["none", "first", "all"])
@pytest.mark.parametrize(("channels", "rate"), [(1, RATE), (2, 22050)])
@pytest.mark.parametrize("length", [9000, 100_000])
def test_a_flac_that_changes_midway_and_back_ends_where_it_changes(
    tmp_path: Path, claimed: str, channels: int, rate: int, length: int
) -> None:
    """The three parts are of one length, so that the number of the last frame tells nothing."""
    path = write(tmp_path / "in.flac", noise(length))
    expected = stored(path)
    whole = path.read_bytes()
    other = write(tmp_path / "other.flac", noise(5000, channels), rate).read_bytes()
    count = {"none": 0, "first": length, "all": 2 * length + 5000}[claimed]
    behind = other[first_frame(other) :] + whole[first_frame(whole) :]
    path.write_bytes(with_facts(whole, frames=count) + behind)
    ended = done("audio", "gain:1", path, "-o", tmp_path / "out.wav")
    assert np.array_equal(stored(tmp_path / "out.wav"), expected)
    assert f"the {length + 5000} frames" in ended.err
    assert len(ended.warnings) == 1
    refused(3, "audio", "gain:1", "--strict", path, "-o", tmp_path / "strict.wav")


# ADPCM


@pytest.mark.parametrize("subtype", ["MS_ADPCM", "IMA_ADPCM"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("missing", [1, 100, 700, 1000])
@pytest.mark.parametrize("truncated", [False, True])
def test_the_last_block_of_adpcm_may_be_incomplete(
    tmp_path: Path,
    subtype: str,
    channels: int,
    missing: int,
    truncated: bool,  # noqa: FBT001
) -> None:
    path = write(tmp_path / "in.wav", noise(20000, channels), subtype=subtype)
    # As many frames as fill the last block.
    write(path, noise(sf.info(path).frames, channels), subtype=subtype)
    whole = stored(path)
    data = bytearray(path.read_bytes())
    place = data.index(b"data")
    size = int.from_bytes(data[place + 4 : place + 8], "little") - missing
    del data[place + 8 + size :]
    if not truncated:
        data[place + 4 : place + 8] = struct.pack("<I", size)
        data[4:8] = struct.pack("<I", len(data) - 8)
        data += bytes(size & 1) + b"LIST\x0c\0\0\0INFOIART\0\0\0\0"
    path.write_bytes(data)
    ended = done("audio", "gain:1", path, "-o", tmp_path / "out.wav", "--subtype", "pcm_16")
    found = stored(tmp_path / "out.wav")
    lost = len(whole) - len(found)
    # A byte holds two numbers of 4 bits; IMA stores groups of 8 for each channel.
    assert 2 * missing // channels <= lost <= 2 * missing // channels + 8
    assert np.array_equal(found, whole[: len(found)])
    assert ("is truncated" in ended.err) == truncated


# Nothing


@pytest.mark.parametrize("suffix", ["wav", "aiff", "flac", "w64"])
def test_an_empty_output_is_no_success(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"in.{suffix}", noise(5000))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 20000])
    ended = run("audio", "gain:1", path, "-o", tmp_path / "out.wav")
    if ended.code == 0:
        assert sf.info(tmp_path / "out.wav").frames > 0
    cut = {"wav": 44, "flac": first_frame(data) if suffix == "flac" else 0}.get(suffix)
    if cut is not None:
        path.write_bytes(data[:cut])
        told = refused(3, "audio", "gain:1", path, "-o", tmp_path / "none.wav")
        assert "5000 frames promised, and not one can be read" in told
        assert not (tmp_path / "none.wav").exists()


def test_a_pipe_that_ends_before_its_first_sample(tmp_path: Path) -> None:
    data = write(tmp_path / "in.wav", noise(5000)).read_bytes()
    ended = run("audio", "gain:1", "-", "-o", tmp_path / "out.wav", stdin=data[:44])
    assert ended.code == 3
    assert not (tmp_path / "out.wav").exists()


def test_an_empty_sound_stays_one(tmp_path: Path) -> None:
    path = write(tmp_path / "in.wav", noise(0))
    done("audio", "gain:1", path, "-o", tmp_path / "out.flac")
    done("audio", "gain:1", tmp_path / "out.flac", "-o", tmp_path / "out.wav")
    with open_audio(tmp_path / "out.wav") as source:
        assert source.signal.shape == (0,)


def test_noise_behind_a_header_is_no_sound(tmp_path: Path) -> None:
    path = write(tmp_path / "in.flac", noise(5000))
    data = with_facts(path.read_bytes(), frames=0)
    path.write_bytes(data[: first_frame(data)] + bytes(5000))
    with open_audio(path) as source, pytest.raises(InputError):
        list(source.pieces())


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_a_nan_that_signals_is_quiet(tmp_path: Path, subtype: str) -> None:
    x = noise(3000, 1)
    part = write(tmp_path / "part.wav", x[200:300], 8000, subtype=subtype)
    path = write(tmp_path / "in.wav", x, 8000, subtype=subtype)
    data = bytearray(path.read_bytes())
    width = 4 if subtype == "FLOAT" else 8
    signalling = {4: "010080ff", 8: "010000000000f0ff"}[width]  # IEEE 754: quiet bit 0
    place = len(data) - 1000 * width
    data[place : place + width] = bytes.fromhex(signalling)
    path.write_bytes(data)
    found = done("detect", part, path)
    assert "Warning" not in found.err
    assert ",0.025," in found.text or "0.025" in found.text
    refused(3, "audio", "gain:1", path, "-o", tmp_path / "out.wav")


def test_samples_beyond_reason_are_clipped_or_refused_without_a_warning_of_numpy(
    tmp_path: Path,
) -> None:
    x = noise(3000, 1)
    x[100] = 1.7e308
    path = write(tmp_path / "in.wav", x, 8000, subtype="DOUBLE")
    ended = done("audio", "gain:1", path, "-o", tmp_path / "out.flac")
    assert "1 sample was clipped" in ended.err
    assert "RuntimeWarning" not in ended.err
    told = refused(3, "audio", f"ir:{path}", path, "-o", tmp_path / "o.wav")
    assert "too large to be added up" in told


def test_a_midi_sample_dump_is_refused(tmp_path: Path) -> None:
    """The reader of libsndfile prints to standard output."""
    (tmp_path / "in.sds").write_bytes(b"\xf0\x7e\0\1" + bytes(range(1, 120)))
    write(tmp_path / "in.wav", noise(300, 1), 8000)
    assert "SDS" in refused(3, "audio", "gain:1", "in.sds", "-o", "out.wav", cwd=tmp_path)
    assert "SDS" in refused(3, "audio", "ir:in.sds", "in.wav", "-o", "out.wav", cwd=tmp_path)


def test_the_streams_of_a_chained_ogg_are_counted(tmp_path: Path) -> None:
    """libsndfile reads the first stream and says nothing of the others."""
    for name, frames in (("one.ogg", 8000), ("two.ogg", 16000)):
        noise = np.random.default_rng(frames).normal(0, 0.1, frames)
        sf.write(tmp_path / name, noise, 8000)
    chained = (tmp_path / "one.ogg").read_bytes() + (tmp_path / "two.ogg").read_bytes()
    (tmp_path / "in.ogg").write_bytes(chained)
    ended = done("audio", "gain:1", "in.ogg", "-o", "out.wav", cwd=tmp_path)
    assert sf.info(tmp_path / "out.wav").frames == 8000
    (told,) = ended.warnings
    assert "the 16000 frames after the first one are left out" in told
    refused(3, "audio", "gain:1", "in.ogg", "-o", "no.wav", "--strict", cwd=tmp_path)
    assert not done("audio", "gain:1", "one.ogg", "-o", "1.wav", cwd=tmp_path).warnings


def test_a_chained_opus_keeps_the_bit_rate_of_its_first_stream(tmp_path: Path) -> None:
    """Frames that precede the sound are no part of it, and other streams no part of the first."""
    for name, seed in (("one.opus", 1), ("two.opus", 2)):
        quiet = 0.2 * noise(48000, 1, seed)
        write(tmp_path / name, quiet, 48000, format="OGG", subtype="OPUS")
    chained = (tmp_path / "one.opus").read_bytes() + (tmp_path / "two.opus").read_bytes() * 3
    # Streams are told from each other by their serial numbers, so the copies count as one.
    (tmp_path / "in.opus").write_bytes(chained)
    ended = done("audio", "gain:1", "in.opus", "-o", "out.opus", cwd=tmp_path)
    (told,) = ended.warnings
    assert "the 48000 frames after the first one" in told
    done("audio", "gain:1", "one.opus", "-o", "alone.opus", cwd=tmp_path)
    assert (tmp_path / "out.opus").stat().st_size == (tmp_path / "alone.opus").stat().st_size


def test_a_sound_that_libsndfile_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "a b.ogg").write_bytes(b"OggS" + bytes(60))
    told = refused(3, "audio", "gain:1", "a b.ogg", "-o", "out.wav", cwd=tmp_path)
    assert "ffmpeg -i 'a b.ogg' 'a b.flac'" in told
