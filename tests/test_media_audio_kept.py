"""What sound files keep: bit rates, positions in metadata, tags of every container, rates, bytes."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile as sf
from program import done, refused, run

from convcli.errors import RequestError
from convcli.media.audio import bitrate
from convcli.media.audio.metadata.aiff import AiffContainer
from convcli.media.audio.metadata.carry import Shift, moved
from convcli.media.audio.metadata.comments import COMMENTS, join_comments
from convcli.media.audio.metadata.container import Chunk
from convcli.media.audio.metadata.flac import FlacContainer
from convcli.media.audio.metadata.riff import WavContainer
from convcli.media.audio.mp3_frames import counted_frames, mp3_frame, mp3_start
from convcli.media.audio.source import open_audio

if TYPE_CHECKING:
    from pathlib import Path

RATE = 44100


def noise(frames: int, channels: int = 2, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (frames, channels))


def music(seconds: float, rate: int = RATE, channels: int = 2) -> Any:
    """Tones up to 20 kHz and a little noise."""
    time = np.arange(int(seconds * rate))[:, None] / rate
    tones = sum(np.sin(2 * np.pi * f * time) for f in (440, 1440, 0.45 * rate))
    return 0.2 * tones + 0.02 * noise(len(time), channels)


def write(path: Path, x: Any, rate: int = RATE, **options: Any) -> Path:
    tags = options.pop("tags", {})
    with sf.SoundFile(path, "w", rate, x.shape[1], **options) as file:
        for name, text in tags.items():
            setattr(file, name, text)
        for start in range(0, len(x), 10000):
            file.write(x[start : start + 10000])
    return path


def mean_rate(path: Path) -> float:
    """Bits per second of the whole file, headers included."""
    return float(8 * path.stat().st_size / sf.info(path).duration)


# Bit rates


@pytest.mark.parametrize("bits", [320, 192, 64])
@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE"])
def test_an_mp3_keeps_its_bit_rate(tmp_path: Path, bits: int, mode: str) -> None:
    level = (320 - bits - 0.5) / 288
    path = write(tmp_path / "in.mp3", music(4), compression_level=max(0, level), bitrate_mode=mode)
    done("audio", "gain:0.9", path, "-o", tmp_path / "out.mp3")
    # LAME keeps an average bit rate about so well.
    near = pytest.approx(mean_rate(path), rel=0.03 if mode == "CONSTANT" else 0.12)
    assert mean_rate(tmp_path / "out.mp3") == near
    if mode == "CONSTANT":
        with open_audio(tmp_path / "out.mp3") as source:
            assert source.details.bit_rate is not None
            assert source.details.bit_rate.bits == 1000 * bits
            assert source.details.bit_rate.constant


def test_a_loud_mp3_keeps_what_is_above_18_khz(tmp_path: Path) -> None:
    path = write(tmp_path / "in.mp3", music(3), compression_level=0, bitrate_mode="CONSTANT")
    done("audio", "gain:1", path, "-o", tmp_path / "out.mp3")

    def high(path: Path) -> float:
        spectrum = np.abs(np.fft.rfft(sf.read(path)[0][:, 0]))
        return float(np.sum(spectrum[int(len(spectrum) * 18 / 22.05) :] ** 2))

    assert high(tmp_path / "out.mp3") > 0.5 * high(path) > 0


@pytest.mark.parametrize("level", [0.0, 0.2, 0.9])
@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (16000, 1)])
def test_vorbis_keeps_its_quality(tmp_path: Path, level: float, rate: int, channels: int) -> None:
    x = music(3, rate, channels)
    path = write(tmp_path / "in.ogg", x, rate, compression_level=level)
    done("audio", "gain:1", path, "-o", tmp_path / "out.ogg")
    assert mean_rate(tmp_path / "out.ogg") == pytest.approx(mean_rate(path), rel=0.15)
    nominal = [
        int.from_bytes(each.read_bytes()[48:52], "little") for each in (path, tmp_path / "out.ogg")
    ]
    assert nominal[1] == pytest.approx(nominal[0], rel=0.011)


@pytest.mark.parametrize("level", [0.1, 0.9])
def test_opus_keeps_its_bit_rate(tmp_path: Path, level: float) -> None:
    path = write(
        tmp_path / "in.opus", music(3, 48000), 48000, format="OGG", subtype="OPUS",
        compression_level=level,
    )  # fmt: skip
    done("audio", "gain:1", path, "-o", tmp_path / "out.opus")
    assert mean_rate(tmp_path / "out.opus") == pytest.approx(mean_rate(path), rel=0.15)


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "opus"])
@pytest.mark.parametrize("bits", [64, 160])
def test_the_bit_rate_that_is_asked_for(tmp_path: Path, suffix: str, bits: int) -> None:
    path = write(tmp_path / "in.wav", music(4, 48000), 48000)
    target = tmp_path / f"out.{suffix}"
    done("audio", "gain:1", path, "-o", target, "--bitrate", f"{bits}k")
    # Bit rates of Vorbis and Opus are aims.
    assert mean_rate(target) == pytest.approx(1000 * bits, rel=0.03 if suffix == "mp3" else 0.35)


@pytest.mark.parametrize("suffix", ["mp3", "ogg"])
def test_better_quality_takes_more_bits(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / "in.wav", music(3))
    sizes = []
    for quality in ("0", "5", "10"):
        target = tmp_path / f"{quality}.{suffix}"
        done("audio", "gain:1", path, "-o", target, "--quality", quality)
        sizes.append(target.stat().st_size)
    assert sizes == sorted(sizes)
    assert sizes[2] > 1.5 * sizes[0]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("o.wav", ["--bitrate", "128k"], "--bitrate is for MP3, Vorbis and Opus"),
        ("o.flac", ["--quality", "5"], "--quality is for MP3, Vorbis and Opus"),
        ("o.opus", ["--quality", "5"], "Opus has no --quality"),
        ("o.mp3", ["--bitrate", "500k"], "32k to 320k"),
        ("o.ogg", ["--bitrate", "2"], "Vorbis with 2 channels"),
        ("o.mp3", ["--bitrate", "loud"], "got 'loud'"),
        ("o.mp3", ["--bitrate", "0"], "got '0'"),
        ("o.mp3", ["--bitrate", "128k", "--quality", "3"], "contradict each other"),
    ],
)
def test_bit_rates_that_cannot_be(tmp_path: Path, name: str, options: list[str], said: str) -> None:
    path = write(tmp_path / "in.wav", noise(1000, 2), 48000)
    assert said in refused(2, "audio", "gain:1", path, "-o", tmp_path / name, *options)
    assert not (tmp_path / name).exists()


def test_how_bit_rates_are_written() -> None:
    for text in ("192k", "192", "192000", "192 kbps", "192K"):
        assert bitrate.parse_bitrate(text) == 192000
    for text in ("", "k", "-3", "1e9", "nan"):
        with pytest.raises(RequestError):
            bitrate.parse_bitrate(text)


# Positions


def riff(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def cue(*positions: int) -> bytes:
    points = [
        struct.pack("<II4sIII", number, place, b"data", 0, 0, place)
        for number, place in enumerate(positions)
    ]
    return struct.pack("<I", len(points)) + b"".join(points)


def sampler(*loops: tuple[int, int]) -> bytes:
    head = struct.pack("<9I", 0, 0, 22676, 60, 0, 0, 0, len(loops), 0)
    return head + b"".join(struct.pack("<6I", 0, 0, start, end, 0, 0) for start, end in loops)


def marked(path: Path, frames: int = 10000) -> Path:
    write(path, noise(frames, 1))
    data = path.read_bytes()
    bext = bytearray(602)
    bext[338:346] = (1_000_000).to_bytes(8, "little")
    label = b"ltxt" + struct.pack("<III4s4H", 20, 0, 100, b"rgn ", 0, 0, 0, 0)
    extra = (
        riff(b"bext", bytes(bext))
        + riff(b"cue ", cue(700, 50, 9990))
        + riff(b"smpl", sampler((700, 900), (0, 9999)))
        + riff(b"LIST", b"adtl" + label)
    )
    place = data.index(b"data")
    path.write_bytes(data[:place] + extra + data[place:])
    return path


def positions(path: Path) -> dict[bytes, Any]:
    with open_audio(path) as source:
        bodies = {chunk.full_name: chunk.body for chunk in source.details.chunks}
    cues = bodies[b"cue "]
    loops = bodies[b"smpl"]
    return {
        b"cue": [struct.unpack_from("<I", cues, 4 + 24 * n + 4)[0] for n in range(3)],
        b"offset": [struct.unpack_from("<I", cues, 4 + 24 * n + 20)[0] for n in range(3)],
        b"loops": [struct.unpack_from("<II", loops, 36 + 24 * n + 8) for n in range(2)],
        b"time": int.from_bytes(bodies[b"bext"][338:346], "little"),
        b"label": struct.unpack_from("<I", bodies[b"LIST adtl"], 4 + 8 + 4)[0],
        b"period": struct.unpack_from("<I", loops, 8)[0],
    }


@pytest.mark.parametrize("threads", [1, 2])
def test_positions_move_with_what_valid_cuts_off(tmp_path: Path, threads: int) -> None:
    path = marked(tmp_path / "in.wav")
    done(
        "audio", "box:401", path, "-o", tmp_path / "out.wav", "--edge", "valid",
        "--threads", str(threads),
    )  # fmt: skip
    found = positions(tmp_path / "out.wav")
    # Before the first sample is the first one, behind the last is the end: 10000 - 400.
    assert found[b"cue"] == found[b"offset"] == [500, 0, 9600]
    assert found[b"loops"] == [(500, 700), (0, 9599)]
    assert found[b"time"] == 1_000_200
    assert found[b"label"] == 100
    assert found[b"period"] == 22676


def test_positions_of_a_causal_filter_count_from_its_first_output(tmp_path: Path) -> None:
    path = marked(tmp_path / "in.wav")
    done(
        "audio", "box:401", path, "-o", tmp_path / "out.wav", "--edge", "valid", "--align",
        "causal",
    )  # fmt: skip
    assert positions(tmp_path / "out.wav")[b"cue"] == [300, 0, 9590]


def test_positions_stay_where_nothing_is_cut(tmp_path: Path) -> None:
    path = marked(tmp_path / "in.wav")
    done("audio", "box:401", path, "-o", tmp_path / "out.wav")
    assert positions(tmp_path / "out.wav") == positions(path)


def test_positions_are_resampled(tmp_path: Path) -> None:
    path = marked(tmp_path / "in.wav")
    done("audio", "resample:22050", path, "-o", tmp_path / "out.wav")
    found = positions(tmp_path / "out.wav")
    assert found[b"cue"] == [350, 25, 4995]
    assert found[b"loops"] == [(350, 450), (0, 4999)]
    assert found[b"time"] == 500_000
    assert found[b"label"] == 50
    assert found[b"period"] == round(1e9 / 22050)


def test_cut_and_resampled(tmp_path: Path) -> None:
    path = marked(tmp_path / "in.wav")
    done("audio", "box:401 | stride:2", path, "-o", tmp_path / "out.wav", "--edge", "valid")
    found = positions(tmp_path / "out.wav")
    assert found[b"cue"] == [250, 0, 4800]
    assert found[b"time"] == 500_100


@pytest.mark.parametrize(
    ("ratio", "loop"), [(2, (2000, 2199)), (0.5, (500, 549)), (160 / 147, (1088, 1196))]
)
def test_a_loop_keeps_its_length_in_time(ratio: float, loop: tuple[int, int]) -> None:
    """A hundred samples from 1000 on, the last of which is 1099."""
    shift = Shift(rate=8000, ratio=ratio, frames=5000)
    body = moved(Chunk(b"smpl", sampler((1000, 1099))), shift).body
    assert struct.unpack_from("<II", body, 44) == loop


def test_the_time_of_day_in_ixml_moves_with_that_of_bext() -> None:
    text = (
        b"<BWFXML><SPEED><FILE_SAMPLE_RATE>44100</FILE_SAMPLE_RATE>"
        b"<TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI>1</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI>"
        b"<TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>441000</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>"
        b"</SPEED><NOTE>441000</NOTE></BWFXML>"
    )
    shift = Shift(rate=88200, skipped=100, ratio=2)
    found = moved(Chunk(b"iXML", text), shift).body
    assert b"<FILE_SAMPLE_RATE>88200</FILE_SAMPLE_RATE>" in found
    assert b"_HI>2</" in found
    assert b"_LO>882200</" in found
    assert b"<NOTE>441000</NOTE>" in found
    cut = moved(Chunk(b"iXML", text), Shift(rate=44100, skipped=100)).body
    assert b"_LO>441100</" in cut
    assert b"<FILE_SAMPLE_RATE>44100<" in cut


def test_timers_of_a_broadcast_cart_are_moved() -> None:
    """AES46: eight timers, each of four letters and a number of samples, from byte 684 on."""
    body = bytearray(2048)
    body[684:700] = struct.pack("<4sI4sI", b"SEGs", 1100, b"EOD ", 50)
    found = moved(Chunk(b"cart", bytes(body)), Shift(rate=8000, skipped=100, ratio=0.5)).body
    assert found[684:700] == struct.pack("<4sI4sI", b"SEGs", 500, b"EOD ", 0)
    assert found[:684] + found[700:] == bytes(684) + bytes(2048 - 700)


def test_loops_in_comments_are_moved() -> None:
    """As games read them: in samples, in FLAC and Ogg."""
    texts = [b"LOOPSTART=1100", b"LOOPLENGTH=600", b"LoopEnd=1700", b"TITLE=1100", b"LOOP_START=x"]
    chunk = Chunk(COMMENTS, join_comments(b"me", texts))
    shift = Shift(rate=8000, skipped=100, ratio=0.5)
    wanted = [b"LOOPSTART=500", b"LOOPLENGTH=300", b"LoopEnd=800", b"TITLE=1100", b"LOOP_START=x"]
    assert moved(chunk, shift).body == join_comments(b"me", wanted)


def test_loops_in_comments_move_with_the_rate(tmp_path: Path) -> None:
    write(tmp_path / "in.flac", noise(4000))
    chunk = Chunk(COMMENTS, join_comments(b"", [b"LOOPSTART=1000", b"LOOPLENGTH=2000"]))
    with (tmp_path / "in.flac").open("r+b") as file:
        FlacContainer().write(file, (chunk,))
    for suffix in ("flac", "ogg"):
        done("audio", "resample:22050", "in.flac", "-o", f"out.{suffix}", cwd=tmp_path)
        content = (tmp_path / f"out.{suffix}").read_bytes()
        assert b"LOOPSTART=500" in content
        assert b"LOOPLENGTH=1000" in content


def test_positions_of_other_containers() -> None:
    shift = Shift(rate=8000, skipped=100, ratio=0.5, frames=5000)
    marker = struct.pack(">HHI", 1, 7, 1100) + b"\x04loop\0"
    assert moved(Chunk(b"MARK", marker), shift).body[4:8] == struct.pack(">I", 500)
    caf = struct.pack(">II", 0, 1) + struct.pack(">Id", 0, 1100.0) + bytes(16)
    assert moved(Chunk(b"mark", caf), shift).body[12:20] == struct.pack(">d", 500.0)
    sheet = bytearray(396 + 36 + 12 + 36)
    sheet[136], sheet[395] = 0x80, 2
    struct.pack_into(">Q", sheet, 396, 1100)
    sheet[396 + 35] = 1
    struct.pack_into(">Q", sheet, 432, 588)
    struct.pack_into(">Q", sheet, 444, 10100)
    new = moved(Chunk(b"CUESHEET", bytes(sheet)), shift).body
    found = [struct.unpack_from(">Q", new, place)[0] for place in (396, 432, 444)]
    assert found == [500, 294, 5000]
    assert new[136] == 0
    playlist = struct.pack("<IIII", 1, 1, 300, 2)
    assert moved(Chunk(b"plst", playlist), shift).body[8:12] == struct.pack("<I", 150)
    for name in (b"cue ", b"smpl", b"MARK", b"mark", b"CUESHEET", b"plst"):
        with pytest.raises(ValueError, match="it "):
            moved(Chunk(name, b"\xff" * 40), shift)


def test_damaged_positions_are_lost_and_said(tmp_path: Path) -> None:
    path = write(tmp_path / "in.wav", noise(1000, 1))
    data = path.read_bytes()
    place = data.index(b"data")
    path.write_bytes(data[:place] + riff(b"cue ", b"\xff" * 10) + data[place:])
    ended = done("audio", "box:3", path, "-o", tmp_path / "out.wav", "--edge", "valid")
    assert "WAV output does not keep: cue" in ended.err


# Tags


def test_caf_keeps_tags_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "in.caf", noise(1000, 1), tags={"title": "Song"})
    body = struct.pack(">I", 2) + b"title\0Lied\0mood\0glad\0"
    uuid = bytes(range(16)) + b"more"
    chunks = [(b"info", body), (b"uuid", uuid)]
    data = path.read_bytes()
    start = data.index(b"info")
    size = int.from_bytes(data[start + 4 : start + 12], "big")
    data = data[:start] + data[start + 12 + size :]
    place = data.index(b"data")
    extra = b"".join(name + struct.pack(">q", len(text)) + text for name, text in chunks)
    path.write_bytes(data[:place] + extra + data[place:])
    done("audio", "gain:1", path, "-o", tmp_path / "out.caf")
    with open_audio(tmp_path / "out.caf") as source:
        assert source.details.chunks == tuple(Chunk(*chunk) for chunk in chunks)
        assert source.details.tags["title"] == "Lied"
    assert np.array_equal(sf.read(path)[0], sf.read(tmp_path / "out.caf")[0])
    ended = done("audio", "gain:1", path, "-o", tmp_path / "out.flac")
    assert "FLAC output does not keep: mood, uuid" in ended.err
    assert sf.SoundFile(tmp_path / "out.flac").title == "Lied"


@pytest.mark.parametrize("endian", ["BIG", "LITTLE"])
@pytest.mark.parametrize("frames", [0, 1000])
def test_au_keeps_its_annotation(tmp_path: Path, endian: str, frames: int) -> None:
    path = write(tmp_path / "in.au", noise(frames, 1), endian=endian)
    data = path.read_bytes()
    order = "<" if endian == "LITTLE" else ">"
    text = b"recorded by the sea, 1991\0\0\0"
    head = data[:4] + struct.pack(f"{order}I", 24 + len(text)) + data[8:24]
    path.write_bytes(head + text + data[24:])
    done("audio", "gain:1", path, "-o", tmp_path / "out.au")
    assert (tmp_path / "out.au").read_bytes() == path.read_bytes()
    ended = done("audio", "gain:1", path, "-o", tmp_path / "out.wav")
    assert "WAV output does not keep: annotation" in ended.err


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("subtype", ["PCM_U8", "ULAW"])
def test_a_list_behind_samples_of_odd_length(
    tmp_path: Path,
    padded: bool,  # noqa: FBT001
    subtype: str,
) -> None:
    path = write(tmp_path / "in.wav", noise(1001, 1), subtype=subtype)
    data = path.read_bytes()
    data = data[: data.index(b"data") + 8 + 1001]
    path.write_bytes(data + b"\0" * padded + riff(b"LIST", b"INFO" + riff(b"IART", b"Bo\0")))
    with open_audio(path) as source:
        assert source.details.tags == {"artist": "Bo"}
    ended = run("audio", "gain:1", "-", "-o", tmp_path / "out.wav", stdin=path.read_bytes())
    assert ended.code == 0
    assert ("came too late" in ended.err) == (subtype == "PCM_U8")


def test_aiff_text_in_latin_1(tmp_path: Path) -> None:
    path = write(tmp_path / "in.aiff", noise(1000, 1))
    data = path.read_bytes()
    text = b"NAME" + struct.pack(">I", 6) + "Ärger\0".encode("latin-1")
    data = data[:12] + text + data[12:]
    path.write_bytes(data[:4] + struct.pack(">I", len(data) - 8) + data[8:])
    done("audio", "gain:1", path, "-o", tmp_path / "out.flac")
    assert sf.SoundFile(tmp_path / "out.flac").title == "Ärger"
    done("audio", "gain:1", path, "-o", tmp_path / "out.aiff")
    assert text in (tmp_path / "out.aiff").read_bytes()


# Suffixes and rates


def test_samples_without_a_header(tmp_path: Path) -> None:
    """The bytes of `sox in.wav -t raw out.raw`: interleaved, little-endian."""
    x = np.array([[0, 1], [-2, 300], [32767, -32768]], np.int16)
    sf.write(tmp_path / "in.wav", x, 22050)
    done("audio", "gain:1", "in.wav", "-o", "out.raw", cwd=tmp_path)
    assert (tmp_path / "out.raw").read_bytes() == x.astype("<i2").tobytes()
    piped = done("audio", "gain:1", "in.wav", "--format", "raw", "--subtype", "float", cwd=tmp_path)
    assert piped.out == (x / 32768).astype("<f4").tobytes()


@pytest.mark.parametrize(
    "name", ["o.png", "o.csv", "o.txt", "o.wav.gz", "o.m4a", "o.webm", "o", "o.sd2", "o.parquet"]
)
def test_a_suffix_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "in.wav", noise(1000))
    refused(2, "audio", "gain:1", path, "-o", tmp_path / name)
    assert not (tmp_path / name).exists()


def wav_at(path: Path, rate: int, channels: int = 2) -> Path:
    data = bytearray(write(path, noise(3000, channels)).read_bytes())
    data[24:28] = struct.pack("<I", rate)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "suffix",
    ["flac", "ogg", "opus", "mp3", "aiff", "au", "caf", "w64", "voc", "sf", "svx", "htk"],
)
@pytest.mark.parametrize("rate", [1, 44100, 192000, 655350, 1 << 20, 2**31 - 1, 2**32 - 1])
def test_any_rate_is_kept_or_refused(tmp_path: Path, suffix: str, rate: int) -> None:
    path = wav_at(tmp_path / "in.wav", rate, 1)
    target = tmp_path / f"out.{suffix}"
    ended = run("audio", "gain:1", path, "-o", target)
    assert ended.code in (0, 2), ended
    if ended.code == 2:
        assert len(ended.errors) == 1
        assert not target.exists()
        return
    found = sf.info(target).samplerate
    assert abs(found - rate) <= 0.03 * rate
    assert (found == rate) == ("cannot hold" not in ended.err)


@pytest.mark.parametrize(
    ("target", "rate", "channels", "message"),
    [
        # The encoder crashed, or never returned.
        ("o.ogg", 200_001, 1, "VORBIS holds at most 200000 Hz, not 200001 Hz"),
        ("o.ogg", 4_000_000_000, 1, "VORBIS holds at most 200000 Hz"),
        ("o.ogg", 8000, 256, "VORBIS holds at most 255 channels, not 256"),
        # It told its reason at the first block alone.
        ("o.flac", 200_001, 1, "FLAC holds rates beyond 65535 Hz in tens, not 200001 Hz"),
    ],
)
def test_what_an_encoder_does_not_take_is_refused_before(
    target: str, rate: int, channels: int, message: str, tmp_path: Path
) -> None:
    path = wav_at(tmp_path / "in.wav", rate, channels)
    assert message in refused(2, "audio", "gain:1", path, "-o", tmp_path / target)
    assert not (tmp_path / target).exists()


def test_a_long_block_does_not_fill_the_stack_of_the_encoder(tmp_path: Path) -> None:
    path = write(tmp_path / "in.wav", noise(300000, 1), 8000)
    done("audio", "resample:192000", path, "-o", tmp_path / "out.ogg")
    assert sf.info(tmp_path / "out.ogg").frames == 24 * 300000


def test_a_wav_has_no_room_for_frames_beyond_64_kib(tmp_path: Path) -> None:
    head = struct.pack("<HHIIHH", 1, 40000, 8000, 0xFFFFFFFF, 40000, 8)
    samples = bytes(40000 * 3)
    data = b"RIFF" + struct.pack("<I", 36 + len(samples)) + b"WAVE" + riff(b"fmt ", head)
    path = tmp_path / "in.wav"
    path.write_bytes(data + b"data" + struct.pack("<I", len(samples)) + samples)
    told = refused(2, "audio", "gain:1", path, "-o", tmp_path / "o.wav", "--subtype", "pcm_16")
    assert "cannot hold 40000 channels" in told


# The same bytes twice


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.ogg", "vorbis"), ("a.opus", "opus"), ("a.mp3", "mpeg_layer_iii"), ("a.flac", "pcm_16"),
     ("a.aiff", "float"), ("a.aiff", "double"), ("a.mat", "pcm_16"), ("a.mat", "double"),
     ("a.wav", "float"), ("a.caf", "float"), ("a.w64", "pcm_16"), ("a.au", "float")],
)  # fmt: skip
def test_the_same_bytes_at_another_time(tmp_path: Path, name: str, subtype: str) -> None:
    path = write(tmp_path / "in.wav", noise(30000), 48000, tags={"title": "A"})
    target = tmp_path / name
    done("audio", "gain:0.5", path, "-o", target, "--subtype", subtype)
    first = target.read_bytes()
    done("audio", "gain:0.5", path, "-o", target, "--subtype", subtype, "--force")
    assert target.read_bytes() == first
    assert sf.info(target).frames >= 30000
    # The time of day is nowhere in the file: not as a number, and not as a text.
    year = str(np.datetime64("now").astype("datetime64[Y]")).encode()
    head = first[:600]
    assert year + b"-" not in head
    place = head.find(b"PEAK")
    if place >= 0 and name == "a.aiff":
        assert head[place + 12 : place + 16] == bytes(4)


def test_ogg_pages_have_one_serial_number_that_the_content_gives(tmp_path: Path) -> None:
    serials = []
    for seed in (1, 2):
        path = write(tmp_path / "in.wav", noise(200000, seed=seed))
        target = tmp_path / f"{seed}.ogg"
        done("audio", "gain:1", path, "-o", target)
        data = target.read_bytes()
        pages = [place for place in range(len(data)) if data.startswith(b"OggS\0", place)]
        found = {data[place + 14 : place + 18] for place in pages}
        assert len(found) == 1
        serials.append(found.pop())
        assert sf.info(target).frames == 200000
        assert len(sf.read(target)[0]) == 200000
    assert serials[0] != serials[1]


def test_a_label_that_ends_after_its_size_is_cut_off() -> None:
    text = b"ltxt" + struct.pack("<I", 20)
    with pytest.raises(ValueError, match="cut off"):
        moved(Chunk(b"LIST", b"adtl" + text), Shift(rate=8000, skipped=10))


def with_valid_bits(samples: Any, stored: int, valid: int, *, extensible: bool) -> bytes:
    """A mono WAV of left-justified whole numbers of `valid` bits in `stored` bits."""
    width = stored // 8
    numbers = np.asarray(samples, np.int64) << (32 - valid)
    if stored == 8:
        numbers += 1 << 31
    octets = numbers.astype("<u4").view(np.uint8).reshape(-1, 4)[:, 4 - width :].tobytes()
    head = (1, RATE, RATE * width, width)
    body = struct.pack("<HHIIHH", 1, *head, valid)
    if extensible:
        guid = bytes.fromhex("0100000000001000800000aa00389b71")
        body = struct.pack("<HHIIHHHHI", 0xFFFE, *head, stored, 22, valid, 4) + guid
    return riff(b"RIFF", b"WAVE" + riff(b"fmt ", body) + riff(b"data", octets))


@pytest.mark.parametrize(
    ("stored", "valid", "extensible"),
    [
        (24, 20, True),
        (24, 20, False),
        (16, 12, True),
        (16, 12, False),
        (8, 6, True),
        (32, 24, True),
        (24, 16, True),
    ],
)
def test_bits_that_are_valid_stay_so(
    tmp_path: Path, stored: int, valid: int, *, extensible: bool
) -> None:
    largest = 1 << (valid - 1)
    x = np.random.default_rng(valid).integers(-largest, largest, 400)
    source = tmp_path / "in.wav"
    source.write_bytes(with_valid_bits(x, stored, valid, extensible=extensible))
    same = done("audio", "kernel:1", source, "-o", "-", cwd=tmp_path).out
    assert same == source.read_bytes()
    smooth = done("audio", "kernel:1,1,1,normalize=true", source, "-o", "-", cwd=tmp_path)
    mean = np.rint(np.convolve(x, np.ones(3), "same") / 3).astype(int)
    assert smooth.out == with_valid_bits(mean, stored, valid, extensible=extensible)
    clipped = done("audio", "gain:4", source, "-o", "-", cwd=tmp_path).out
    limited = np.clip(4 * x, -largest, largest - 1)
    assert clipped == with_valid_bits(limited, stored, valid, extensible=extensible)


def all_tags(path: Path) -> Any:
    with open_audio(path) as source:
        return source.details.tags


@pytest.mark.parametrize("suffix", ["mp3", "wav", "aiff", "caf"])
def test_every_value_of_a_repeated_comment_is_kept(tmp_path: Path, suffix: str) -> None:
    source = write(tmp_path / "in.flac", noise(500))
    comments = [b"ARTIST=One", b"artist=Two", b"ARTIST=One", b"TITLE=T", b"COMMENT="]
    with source.open("r+b") as file:
        FlacContainer().write(file, (Chunk(COMMENTS, join_comments(b"", comments)),))
    done("audio", "gain:1", source, "-o", f"out.{suffix}", cwd=tmp_path)
    kept = all_tags(tmp_path / f"out.{suffix}")
    assert (kept["artist"], kept["title"]) == ("One; Two", "T")


@pytest.mark.parametrize("text", [b"\x03One\0Tw\xc3\xb6\0", b"\0One\0Tw\xf6", b"\1"
                                  + "One\0".encode("utf-16") + "Twö".encode("utf-16")])  # fmt: skip
def test_every_value_of_an_id3_frame_is_kept(tmp_path: Path, text: bytes) -> None:
    source = write(tmp_path / "in.mp3", noise(5000))
    frame = b"TPE1" + bytes([0, 0, 0, len(text), 0, 0]) + text
    tag = b"ID3\4\0\0" + bytes([0, 0, 0, len(frame)]) + frame
    old = source.read_bytes()
    source.write_bytes(tag + old[old.index(b"\xff\xfb") :])
    done("audio", "gain:1", source, "-o", "out.wav", cwd=tmp_path)
    assert all_tags(tmp_path / "out.wav")["artist"] == "One; Twö"


def test_every_text_of_a_wav_and_an_aiff_is_kept(tmp_path: Path) -> None:
    source = write(tmp_path / "in.wav", noise(500))
    entries = riff(b"IART", b"One\0") + riff(b"IART", b"Two\0")
    with source.open("r+b") as file:
        WavContainer().write(file, (Chunk(b"LIST", b"INFO" + entries),))
    done("audio", "gain:1", source, "-o", "out.flac", cwd=tmp_path)
    assert all_tags(tmp_path / "out.flac")["artist"] == "One; Two"
    source = write(tmp_path / "in.aiff", noise(500))
    with source.open("r+b") as file:
        AiffContainer().write(file, (Chunk(b"ANNO", b"One"), Chunk(b"ANNO", b"Two")))
    done("audio", "gain:1", source, "-o", "out.flac", "--force", cwd=tmp_path)
    assert all_tags(tmp_path / "out.flac")["comment"] == "One; Two"


@pytest.mark.parametrize(("align", "channels", "bits"), [(2, 2, 16), (2, 1, 32), (4, 1, 16),
                                                         (4, 1, 24), (3, 1, 16), (2, 1, 8)])  # fmt: skip
def test_a_frame_size_that_contradicts_the_bits(
    tmp_path: Path, align: int, channels: int, bits: int
) -> None:
    """The bits decide, as in sox and libsndfile."""
    octets = np.random.default_rng(bits).integers(0, 256, 240).astype(np.uint8).tobytes()
    form = struct.pack("<HHIIHH", 1, channels, RATE, RATE * align, align, bits)
    source = tmp_path / "in.wav"
    source.write_bytes(riff(b"RIFF", b"WAVE" + riff(b"fmt ", form) + riff(b"data", octets)))
    done("audio", "gain:1", source, "-o", "out.wav", cwd=tmp_path)
    np.testing.assert_array_equal(sf.read(tmp_path / "out.wav")[0], sf.read(source)[0])


def test_a_lossless_coding_that_loses_is_found_out(tmp_path: Path) -> None:
    """libsndfile 1.2.2 damages sounds in ALAC of 24 bits that can hardly be compressed."""
    loud = np.random.default_rng(3).normal(0, 0.25, (9000, 2)).clip(-0.9, 0.9)
    source = write(tmp_path / "in.wav", loud, subtype="PCM_24")
    words = ("audio", "gain:1", source, "-o", tmp_path / "out.caf", "--subtype", "alac_24")
    ended = run(*words)
    if ended.code == 0:  # a libsndfile that has mended it
        np.testing.assert_array_equal(sf.read(tmp_path / "out.caf")[0], sf.read(source)[0])
    else:
        assert ended.code == 4
        assert "damaged the sound" in ended.err
        assert not (tmp_path / "out.caf").exists()
    quiet = write(tmp_path / "quiet.wav", noise(9000) / 100, subtype="PCM_24")
    done("audio", "gain:1", quiet, "-o", tmp_path / "b.caf", "--subtype", "alac_24")
    np.testing.assert_array_equal(sf.read(tmp_path / "b.caf")[0], sf.read(quiet)[0])
    silence = write(tmp_path / "none.wav", np.zeros((0, 2)), subtype="PCM_24")
    ended = run("audio", "gain:1", silence, "-o", tmp_path / "c.caf", "--subtype", "alac_24")
    assert ended.code in (0, 4)


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW"])
@pytest.mark.parametrize("suffix", ["au", "wav"])
def test_companded_samples_are_the_nearest_steps(tmp_path: Path, subtype: str, suffix: str) -> None:
    codes = io.BytesIO(bytes(range(256)))
    steps, _ = sf.read(codes, channels=1, samplerate=RATE, format="RAW", subtype=subtype)
    x = np.random.default_rng(6).uniform(-1, 1, 3000)
    source = write(tmp_path / "in.wav", x[:, None], subtype="DOUBLE")
    target = tmp_path / f"out.{suffix}"
    done("audio", "gain:0.9", source, "-o", target, "--subtype", subtype.lower())
    y, _ = sf.read(target)
    distances = np.abs(steps - 0.9 * x[:, None])
    np.testing.assert_array_equal(np.abs(y - 0.9 * x), distances.min(axis=1))
    same = done("audio", "gain:1", target, "-o", "-", cwd=tmp_path).out
    assert same == target.read_bytes()


@pytest.mark.parametrize(("stored", "valid"), [(24, 20), (16, 12)])
def test_an_aiff_keeps_its_sample_size(tmp_path: Path, stored: int, valid: int) -> None:
    largest = 1 << (valid - 1)
    x = np.random.default_rng(valid).integers(-largest, largest, (300, 1))
    wide = (x << (32 - valid)).astype(np.int32)
    source = tmp_path / "in.aiff"
    sf.write(source, wide, RATE, subtype=f"PCM_{stored}")
    data = source.read_bytes()
    place = data.index(b"COMM") + 14
    source.write_bytes(data[:place] + struct.pack(">H", valid) + data[place + 2 :])
    mean = np.rint(np.convolve(x[:, 0], np.ones(3), "same") / 3).astype(np.int64)
    for steps, wanted in (("kernel:1", x[:, 0]), ("box:3", mean)):
        done("audio", steps, source, "-o", "out.aiff", "--force", cwd=tmp_path)
        written = (tmp_path / "out.aiff").read_bytes()
        place = written.index(b"COMM") + 14
        assert struct.unpack_from(">H", written, place) == (valid,)
        found, _ = sf.read(tmp_path / "out.aiff", dtype="int32")
        np.testing.assert_array_equal(found.astype(np.int64) >> (32 - valid), wanted)


def test_ambisonic_sound_stays_so(tmp_path: Path) -> None:
    """The kind of samples of B-format is AMBISONIC_B_FORMAT_PCM, not PCM."""
    kind = bytes.fromhex("010000002107d3118644c8c1ca000000")
    form = struct.pack("<HHIIHH", 0xFFFE, 4, 8000, 64000, 8, 16)
    form += struct.pack("<HHI", 22, 16, 0) + kind
    data = np.arange(400, dtype="<i2").tobytes()
    body = b"WAVE" + riff(b"fmt ", form) + riff(b"data", data)
    (tmp_path / "in.wav").write_bytes(riff(b"RIFF", body))
    done("audio", "gain:1", "in.wav", "-o", "out.wav", cwd=tmp_path)
    assert (tmp_path / "out.wav").read_bytes() == (tmp_path / "in.wav").read_bytes()
    done("audio", "mono", "in.wav", "-o", "mono.wav", cwd=tmp_path)
    assert kind not in (tmp_path / "mono.wav").read_bytes()


def test_an_mp3_keeps_an_ape_tag(tmp_path: Path) -> None:
    """Layout of APEv2: a header, items, and a footer with the same fields."""

    def edge(flags: int) -> bytes:
        return b"APETAGEX" + struct.pack("<IIII", 2000, len(item) + 32, 1, flags) + bytes(8)

    item = struct.pack("<II", 5, 0) + b"Title\0words"
    tag = edge(0xA0000000) + item + edge(0x80000000)
    last = b"TAG" + b"old words".ljust(125, b"\0")
    write(tmp_path / "in.mp3", music(0.5))
    plain = (tmp_path / "in.mp3").read_bytes()
    (tmp_path / "in.mp3").write_bytes(plain + tag + last)
    done("audio", "gain:1", "in.mp3", "-o", "out.mp3", cwd=tmp_path)
    made = (tmp_path / "out.mp3").read_bytes()
    assert made.endswith(tag + last)
    assert made.count(b"APETAGEX") == 2
    ended = done("audio", "gain:1", "in.mp3", "-o", "out.wav", cwd=tmp_path)
    assert "does not keep: APEv2" in ended.warnings[0]


# The length of an MP3


def quiet_after_loud(path: Path, seconds: int = 12) -> Path:
    """An MP3 whose bit rate falls, written with LAME's tag."""
    loud = 0.5 * noise(RATE)
    time = np.arange(seconds * RATE)[:, None] / RATE
    quiet = 0.05 * np.sin(2 * np.pi * 300 * time) * np.ones((1, 2))
    return write(path, np.concatenate([loud, quiet]), bitrate_mode="VARIABLE")


def without_tag(path: Path) -> bytes:
    """The bytes of an MP3 without the frame that counts the others."""
    with path.open("rb") as file:
        start = mp3_start(file)
        assert start is not None
        assert start.tag is not None
        file.seek(start.sound_place)
        return file.read()


def test_all_of_an_mp3_of_varying_bit_rate_is_read_that_does_not_tell_its_length(
    tmp_path: Path,
) -> None:
    # libsndfile estimates 4 s by the first bit rate and reads no more.
    tagged = quiet_after_loud(tmp_path / "tagged.mp3")
    (tmp_path / "in.mp3").write_bytes(without_tag(tagged))
    told = done("audio", "gain:1", "in.mp3", "-o", "out.wav", "--strict", cwd=tmp_path).err
    assert "warning: " not in told
    expected = sf.read(tagged)[0]
    found = sf.read(tmp_path / "out.wav")[0]
    # Frames of 1,152 samples hold the sound, the delays of LAME and of the decoder, and padding.
    frames = -(-(len(expected) + 1105) // 1152)
    assert len(found) in (1152 * frames, 1152 * (frames + 1))
    assert np.abs(found[1105:][: len(expected)] - expected).max() < 1e-4


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_an_mp3_without_a_tag_is_not_taken_for_a_truncated_one(tmp_path: Path, mode: str) -> None:
    path = write(tmp_path / "tagged.mp3", music(3), bitrate_mode=mode)
    whole = without_tag(path)
    (tmp_path / "in.mp3").write_bytes(whole)
    assert "truncated" not in done("audio", "gain:1", "in.mp3", "-o", "a.wav", cwd=tmp_path).err
    (tmp_path / "in.mp3").write_bytes(whole[:-100])
    told = done("audio", "gain:1", "in.mp3", "-o", "b.wav", cwd=tmp_path).err
    assert "warning: in.mp3: is truncated: its last frame is not complete\n" in told
    first, second = (sf.info(tmp_path / name).frames for name in ("a.wav", "b.wav"))
    assert first - second == 1152


def test_a_tag_of_an_mp3_that_counts_nothing_is_no_sound(tmp_path: Path) -> None:
    whole = write(tmp_path / "tagged.mp3", music(3)).read_bytes()
    place = whole.index(b"Xing") if b"Xing" in whole else whole.index(b"Info")
    (tmp_path / "in.mp3").write_bytes(whole[: place + 4] + bytes(4) + whole[place + 8 :])
    (tmp_path / "untold.mp3").write_bytes(without_tag(tmp_path / "tagged.mp3"))
    for name in ("in", "untold"):
        told = done("audio", "gain:1", f"{name}.mp3", "-o", f"{name}.wav", cwd=tmp_path).err
        assert "warning: " not in told
    found, expected = (sf.read(tmp_path / name)[0] for name in ("in.wav", "untold.wav"))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("between", [b"\0", b"ID3\3\0\0\0\0\0\0"])
def test_frames_are_counted_without_reading_a_file_many_times(between: bytes) -> None:
    head = bytes.fromhex("fff314c0")  # the smallest frames, of 24 bytes
    frames = head + bytes(20) + head + bytes(20)
    file = CountedReads((frames + between) * 20_000)
    start = mp3_start(file)
    assert start is not None
    assert counted_frames(file, start).frames == 40_000
    assert file.read_bytes < 5e6 + 3 * len(file.getvalue())


class CountedReads(io.BytesIO):
    """A file in memory that counts the bytes that are read from it."""

    read_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.read_bytes += len(data)
        return data


def test_an_mp3_keeps_the_tags_at_its_end_without_a_count_at_its_start(tmp_path: Path) -> None:
    whole = without_tag(write(tmp_path / "tagged.mp3", music(1)))
    last = b"TAG" + b"By the sea".ljust(30, b"\0") + bytes(95)
    (tmp_path / "in.mp3").write_bytes(whole + last)
    done("audio", "gain:1", "in.mp3", "-o", "out.wav", cwd=tmp_path)
    with sf.SoundFile(tmp_path / "out.wav") as file:
        assert file.title == "By the sea"


def test_all_parts_of_joined_mp3_files_are_read(tmp_path: Path) -> None:
    part = write(tmp_path / "part.mp3", music(2), tags={"title": "sea"}).read_bytes()
    (tmp_path / "in.mp3").write_bytes(part + part)
    told = done("audio", "gain:1", "in.mp3", "-o", "out.wav", cwd=tmp_path).err
    assert "warning: in.mp3: its header counts 2.0" in told
    assert 4 < sf.info(tmp_path / "out.wav").duration < 4.2


@pytest.mark.parametrize(
    ("rate", "channels", "bits"),
    [(44100, 2, 32), (44100, 2, 56), (44100, 1, 48), (22050, 1, 32), (22050, 2, 8), (8000, 1, 8)],
)
def test_an_mp3_of_a_low_bit_rate_is_not_late(
    tmp_path: Path, rate: int, channels: int, bits: int
) -> None:
    time = np.arange(3 * rate)[:, None] / rate
    x = np.sin(2 * np.pi * 300 * time) * np.exp(-50 * (time - 1.5) ** 2) * np.ones((1, channels))
    write(tmp_path / "in.wav", 0.5 * x, rate)
    done("audio", "gain:1", "in.wav", "-o", "out.mp3", "--bitrate", f"{bits}k", cwd=tmp_path)
    y = sf.read(tmp_path / "out.mp3", always_2d=True)[0]
    assert len(y) == len(x)
    energy = (y**2).sum(axis=1)
    assert (energy @ time[:, 0]) / energy.sum() == pytest.approx(1.5, abs=20 / rate)
    assert mean_rate(tmp_path / "out.mp3") == pytest.approx(1000 * bits, rel=0.15)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("fffb9064", (3, 128_000, 44100, 2, 417, 1152)),
        ("fff384c4", (3, 64_000, 24000, 1, 192, 576)),
        ("fffda404", (2, 192_000, 48000, 2, 576, 1152)),
        ("ffff3804", (1, 96_000, 32000, 2, 144, 384)),
    ],
)
def test_the_header_of_an_mpeg_frame(head: str, expected: tuple[int, ...]) -> None:
    frame = mp3_frame(bytes.fromhex(head))
    assert frame is not None
    found = frame.layer, frame.bits, frame.rate, frame.channels, frame.size, frame.samples
    assert found == expected
    assert mp3_frame(b"fLaC") is None


# Tags that hold the loudness


def test_a_warning_names_tags_that_hold_the_loudness_of_the_input(tmp_path: Path) -> None:
    path = write(tmp_path / "in.flac", noise(1000), tags={"title": "sea"})
    plain = done("audio", "gain:0.5", "in.flac", "-o", "a.flac", cwd=tmp_path).err
    assert "loudness" not in plain
    comments = [b"REPLAYGAIN_TRACK_GAIN=+4.56 dB", b"replaygain_track_peak=0.35"]
    chunk = Chunk(COMMENTS, join_comments(b"reference", comments))
    with path.open("r+b") as file:
        FlacContainer().write(file, (chunk,))
    told = done("audio", "gain:0.5", "in.flac", "-o", "b.flac", cwd=tmp_path).err
    names = "REPLAYGAIN_TRACK_GAIN, REPLAYGAIN_TRACK_PEAK"
    assert f"warning: tags are kept that hold the loudness of the input: {names}\n" in told
    into_wav = done("audio", "gain:0.5", "in.flac", "-o", "c.wav", cwd=tmp_path).err
    assert "loudness" not in into_wav


@pytest.mark.parametrize(("version", "loudness"), [(1, 0), (2, 0), (2, 0x7FFF), (2, -2300)])
def test_a_warning_names_the_loudness_of_a_broadcast_wav(
    tmp_path: Path, version: int, loudness: int
) -> None:
    path = write(tmp_path / "in.wav", noise(1000))
    body = bytearray(602)
    body[346:348] = struct.pack("<H", version)
    body[412:422] = struct.pack("<h", loudness) * 5
    with path.open("r+b") as file:
        WavContainer().write(file, (Chunk(b"bext", bytes(body)),))
    told = done("audio", "gain:0.5", "in.wav", "-o", "out.wav", cwd=tmp_path).err
    assert ("loudness of the input: bext loudness" in told) == (loudness == -2300)


def test_a_file_that_is_no_sound_file_is_answered_with_what_reads_it(tmp_path: Path) -> None:
    (tmp_path / "in.raw").write_bytes(np.random.default_rng(0).bytes(4000))
    told = refused(3, "audio", "gain:1", "in.raw", "-o", "out.wav", cwd=tmp_path)
    assert "ffmpeg knows more" in told
    assert "sox -t raw -r 44100" in told
