"""Sound files whose headers say more, or other things, than libsndfile notices."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile as sf
from program import done, refused

if TYPE_CHECKING:
    from pathlib import Path

RATE = 8000
FRAMES = 1000
SAMPLES = np.random.default_rng(7).integers(-20000, 20000, (FRAMES, 2)).astype(np.int16)


def stored(path: Path) -> Any:
    return sf.read(path, dtype="int16", always_2d=True)[0]


def write(path: Path, samples: Any = SAMPLES, **options: Any) -> Path:
    sf.write(path, samples, RATE, **{"subtype": "PCM_16", **options})
    return path


def overwritten(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new) :]


# More frames promised than there are


def claim_aiff_frames(data: bytes) -> bytes:
    return overwritten(data, data.index(b"COMM") + 10, struct.pack(">I", 2 * FRAMES))


def claim_aiff_size(data: bytes) -> bytes:
    return overwritten(data, data.index(b"SSND") + 4, struct.pack(">I", 8 + 8 * FRAMES))


def claim_au(data: bytes) -> bytes:
    return overwritten(data, 8, struct.pack(">I", 8 * FRAMES))


def claim_caf(data: bytes) -> bytes:
    return overwritten(data, data.index(b"data") + 4, struct.pack(">Q", 4 + 8 * FRAMES))


def claim_w64(data: bytes) -> bytes:
    return overwritten(data, data.index(b"data") + 16, struct.pack("<Q", 24 + 8 * FRAMES))


def claim_rf64(data: bytes) -> bytes:
    return overwritten(data, data.index(b"ds64") + 16, struct.pack("<Q", 8 * FRAMES))


def claim_avr(data: bytes) -> bytes:
    return overwritten(data, 26, struct.pack(">I", 2 * FRAMES))


def claim_nist(data: bytes) -> bytes:
    return data.replace(b"sample_count -i 1000", b"sample_count -i 2000")


def claim_voc(data: bytes) -> bytes:
    return overwritten(data, 27, (12 + 8 * FRAMES).to_bytes(3, "little"))


CLAIMS = [
    ("aiff", "AIFF", claim_aiff_frames),
    ("aiff", "AIFF", claim_aiff_size),
    ("au", "AU", claim_au),
    ("caf", "CAF", claim_caf),
    ("w64", "W64", claim_w64),
    ("rf64", "RF64", claim_rf64),
    ("avr", "AVR", claim_avr),
    ("sph", "NIST", claim_nist),
    ("voc", "VOC", claim_voc),
]


@pytest.mark.parametrize(("suffix", "container", "claim"), CLAIMS)
def test_frames_that_are_promised_and_missing_are_counted(
    tmp_path: Path, suffix: str, container: str, claim: Any
) -> None:
    """All that is there is read: of a CAF libsndfile would lose two frames."""
    path = write(tmp_path / f"in.{suffix}", format=container)
    assert not done("audio", "gain:1", path.name, "-o", "1.wav", cwd=tmp_path).warnings
    path.write_bytes(claim(path.read_bytes()))
    ended = done("audio", "gain:1", path.name, "-o", "2.wav", cwd=tmp_path)
    assert np.array_equal(stored(tmp_path / "2.wav"), SAMPLES)
    (told,) = ended.warnings
    assert f"{2 * FRAMES} frames promised, {FRAMES} there" in told
    refused(3, "audio", "gain:1", path.name, "-o", "3.wav", "--strict", cwd=tmp_path)


@pytest.mark.parametrize(
    ("suffix", "container"),
    [("aiff", "AIFF"), ("au", "AU"), ("caf", "CAF"), ("w64", "W64"), ("mat", "MAT5")],
)
def test_frames_that_were_cut_off_are_counted(tmp_path: Path, suffix: str, container: str) -> None:
    path = write(tmp_path / f"in.{suffix}", format=container)
    path.write_bytes(path.read_bytes()[: -4 * 250 - 1])  # and a byte of another frame
    ended = done("audio", "gain:1", path.name, "-o", "out.wav", cwd=tmp_path)
    there = stored(tmp_path / "out.wav")
    assert np.array_equal(there, SAMPLES[: len(there)])
    assert f"{FRAMES} frames promised, {len(there)} there" in ended.warnings[0]
    assert len(there) == FRAMES - 251


def test_an_aiff_of_unknown_length_is_whole(tmp_path: Path) -> None:
    """SoX writes this size, 0x7F000008, where it cannot seek back: `sox in.wav -t aiff - | cat`."""
    data = write(tmp_path / "in.aiff", format="AIFF").read_bytes()
    place = data.index(b"SSND") + 4
    data = overwritten(data, place, struct.pack(">I", 0x7F000008))
    data = overwritten(data, 4, struct.pack(">I", 0x7F000050))
    (tmp_path / "in.aiff").write_bytes(data)
    assert not done("audio", "gain:1", "in.aiff", "-o", "out.wav", cwd=tmp_path).warnings
    assert np.array_equal(stored(tmp_path / "out.wav"), SAMPLES)


# WAV: a second chunk of samples, and the other byte order


def with_riff_size(data: bytes) -> bytes:
    return overwritten(data, 4, struct.pack("<I", len(data) - 8))


def test_a_second_chunk_of_samples_is_counted(tmp_path: Path) -> None:
    first = write(tmp_path / "one.wav").read_bytes()
    more = SAMPLES[:250].tobytes()
    second = b"data" + struct.pack("<I", len(more)) + more
    title = b"LIST" + struct.pack("<I", 18) + b"INFOINAM" + struct.pack("<I", 6) + b"hello\0"
    (tmp_path / "in.wav").write_bytes(with_riff_size(first + second + title))
    ended = done("audio", "gain:1", "in.wav", "-o", "out.wav", cwd=tmp_path)
    (told,) = ended.warnings
    assert "250 more frames in another 'data' chunk, which are left out" in told
    assert np.array_equal(stored(tmp_path / "out.wav"), SAMPLES)
    assert sf.SoundFile(tmp_path / "out.wav").title == "hello"
    refused(3, "audio", "gain:1", "in.wav", "-o", "no.wav", "--strict", cwd=tmp_path)
    piped = (tmp_path / "in.wav").read_bytes()
    ended = done("audio", "gain:1", "-o", "piped.wav", cwd=tmp_path, stdin=piped)
    assert "250 more frames" in ended.warnings[0]


def test_a_big_endian_wav_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "in.wav"
    with sf.SoundFile(path, "w", RATE, 2, "PCM_24", "BIG", "WAV") as file:
        file.title = "a title"
        file.write(SAMPLES)
    ended = done("audio", "gain:1", "in.wav", "-o", "out.wav", cwd=tmp_path)
    assert not ended.warnings
    assert (tmp_path / "out.wav").read_bytes()[:4] == b"RIFX"
    with sf.SoundFile(tmp_path / "out.wav") as file:
        assert (file.title, file.subtype) == ("a title", "PCM_24")
        assert np.array_equal(file.read(dtype="int16"), SAMPLES)
    done("audio", "gain:1", "in.wav", "-o", "out.flac", cwd=tmp_path)
    assert sf.SoundFile(tmp_path / "out.flac").title == "a title"


def test_metadata_of_a_big_endian_wav_that_are_not_kept(tmp_path: Path) -> None:
    data = write(tmp_path / "in.wav", endian="BIG").read_bytes()
    cue = b"cue " + struct.pack(">II", 28, 1) + struct.pack(">II4sIII", 1, 500, b"data", 0, 0, 500)
    data += cue
    (tmp_path / "in.wav").write_bytes(overwritten(data, 4, struct.pack(">I", len(data) - 8)))
    ended = done("audio", "gain:1", "in.wav", "-o", "out.wav", cwd=tmp_path)
    (told,) = ended.warnings
    assert "big-endian WAV (RIFX) are not kept: cue" in told
    assert (tmp_path / "out.wav").read_bytes()[:4] == b"RIFX"


# VOC

VOC_HEAD = b"Creative Voice File\x1a" + struct.pack("<HHH", 26, 0x10A, 0x1129)


def block(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "little") + body


def plain(samples: bytes, coding: int = 0) -> bytes:
    """A block of type 1 at 8000 Hz: 256 - 1000000 / 125."""
    return block(1, bytes([131, coding]) + samples)


def extended(samples: bytes, bits: int, coding: int) -> bytes:
    head = struct.pack("<IBBHI", RATE, bits, 1, coding, 0)
    return block(9, head + samples)


RAMP = bytes(range(1, 256))


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW"])
def test_companded_voc_has_as_many_frames_as_before(tmp_path: Path, subtype: str) -> None:
    """libsndfile counts the byte that ends the file as a sample, in reading and in writing."""
    samples = SAMPLES[:999, :1]
    write(tmp_path / "in.voc", samples, format="VOC", subtype=subtype)
    sf.write(tmp_path / "in.wav", samples, RATE, subtype=subtype)
    done("audio", "gain:1", "in.voc", "-o", "out.voc", cwd=tmp_path)
    assert np.array_equal(stored(tmp_path / "out.voc"), stored(tmp_path / "in.wav"))


@pytest.mark.parametrize(
    ("blocks", "frames", "said"),
    [
        (plain(RAMP) + b"\0", 255, None),
        (plain(RAMP), 255, None),
        (extended(RAMP, 8, 7), 255, None),
        (plain(RAMP) + block(5, b"words\0") + b"\0", 255, "1 block of text, markers or loops"),
        (extended(RAMP[:200], 16, 4) + block(5, b"words\0") + b"\0", 100, "1 block of text"),
    ],
)
def test_voc_is_read_up_to_the_end_of_its_block(
    tmp_path: Path, blocks: bytes, frames: int, said: str | None
) -> None:
    (tmp_path / "in.voc").write_bytes(VOC_HEAD + blocks)
    ended = done("audio", "gain:1", "in.voc", "-o", "out.voc", cwd=tmp_path)
    assert sf.info(tmp_path / "out.voc").frames == frames
    assert len(ended.warnings) == (said is not None)
    assert said is None or said in ended.warnings[0]


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        (plain(RAMP) + block(2, RAMP) + b"\0", "2 blocks of sound"),
        (extended(RAMP[:200], 16, 4) * 2 + b"\0", "2 blocks of sound"),
        (plain(RAMP) + block(3, b"\x63\0\x83") + plain(RAMP) + b"\0", "3 blocks of sound"),
        (plain(RAMP, coding=1) + b"\0", "the ADPCM of Creative"),
        (block(4, b"\1\0") + plain(RAMP) + b"\0", "begins with a marker or a loop"),
    ],
)
def test_voc_that_libsndfile_would_misread(tmp_path: Path, blocks: bytes, said: str) -> None:
    (tmp_path / "in.voc").write_bytes(VOC_HEAD + blocks)
    told = refused(3, "audio", "gain:1", "in.voc", "-o", "out.voc", cwd=tmp_path)
    assert said in told
    assert "hint: sox in.voc in.flac" in told


def test_voc_has_room_for_16_mib(tmp_path: Path) -> None:
    samples = np.zeros((1 << 23, 1), np.int16)
    write(tmp_path / "in.wav", samples)
    told = refused(4, "audio", "gain:1", "in.wav", "-o", "out.voc", cwd=tmp_path)
    assert "VOC holds less than 16 MiB" in told
    assert not (tmp_path / "out.voc").exists()


@pytest.mark.parametrize("channels", [1, 2])
def test_a_caf_from_a_pipe_is_read_to_its_end(tmp_path: Path, channels: int) -> None:
    """Its writer could not go back: the size of the samples is -1 (Apple 2006)."""
    x = np.tile(SAMPLES[:, :1], (1, channels))
    sf.write(tmp_path / "in.caf", x, 8000, subtype="PCM_16", format="CAF")
    wanted, _ = sf.read(tmp_path / "in.caf", always_2d=True)
    data = (tmp_path / "in.caf").read_bytes()
    place = data.index(b"data")
    size = int.from_bytes(data[place + 4 : place + 12], "big")
    until_end = data[: place + 4] + b"\xff" * 8 + data[place + 12 : place + 12 + size]
    (tmp_path / "in.caf").write_bytes(until_end)
    ended = done("audio", "gain:1", "in.caf", "-o", "out.wav", cwd=tmp_path)
    assert ended.warnings == []
    found, _ = sf.read(tmp_path / "out.wav", always_2d=True)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("subtype", ["MS_ADPCM", "IMA_ADPCM", "GSM610"])
@pytest.mark.parametrize("frames", [300, 5000])
def test_what_fills_up_the_last_block_is_left_out(
    tmp_path: Path, subtype: str, frames: int
) -> None:
    """The chunk `fact` counts the frames before they were coded in blocks (Microsoft 1994)."""
    tone = 0.5 * np.sin(np.arange(frames) / 10)
    sf.write(tmp_path / "in.wav", tone, 8000, subtype="PCM_16")
    source = "in.wav"
    for output in ("a.wav", "b.wav"):  # a second time adds nothing
        words = ("--subtype", subtype.lower()) if output == "a.wav" else ()
        done("audio", "gain:1", source, "-o", output, *words, cwd=tmp_path)
        source = output
    ended = done("audio", "gain:1", "b.wav", "-o", "out.wav", "--subtype", "pcm_16", cwd=tmp_path)
    assert ended.warnings == []
    x, _ = sf.read(tmp_path / "out.wav")
    assert len(x) == frames


def test_half_the_number_of_frames_of_stereo_adpcm_is_no_number(tmp_path: Path) -> None:
    """As libsndfile writes it for IMA ADPCM."""
    write(tmp_path / "in.wav", np.tile(SAMPLES, (5, 1))[:400], subtype="IMA_ADPCM")
    frames = sf.info(tmp_path / "in.wav").frames
    done("audio", "gain:1", "in.wav", "-o", "out.wav", "--subtype", "pcm_16", cwd=tmp_path)
    assert sf.info(tmp_path / "out.wav").frames == frames


@pytest.mark.parametrize("subtype", ["MS_ADPCM", "IMA_ADPCM"])
def test_the_number_of_frames_of_adpcm_is_written(tmp_path: Path, subtype: str) -> None:
    """libsndfile divides it by the number of channels for IMA ADPCM."""
    write(tmp_path / "in.wav", np.tile(SAMPLES, (5, 1)), subtype=subtype)
    done("audio", "gain:1", "in.wav", "-o", "out.wav", cwd=tmp_path)
    data = (tmp_path / "out.wav").read_bytes()
    place = data.index(b"fact") + 8
    frames = sf.info(tmp_path / "in.wav").frames
    assert struct.unpack_from("<I", data, place) == (frames,)
    assert sf.info(tmp_path / "out.wav").frames == frames
