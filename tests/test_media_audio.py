from __future__ import annotations

import io
import os
import resource
import shutil
import struct
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from convcli.errors import InputError, OutputError, RequestError
from convcli.media.audio import wav
from convcli.media.audio.formats import SUFFIXES, Coding, bits_of, choose_coding, sound_format
from convcli.media.audio.medium import AUDIO
from convcli.media.audio.metadata import ogg
from convcli.media.audio.metadata.comments import join_comments, split_comments
from convcli.media.audio.metadata.container import Chunk
from convcli.media.audio.metadata.flac import flac_blocks
from convcli.media.audio.metadata.id3 import id3_frame_names, id3_length
from convcli.media.audio.samples import Dither, Extremes, Grid
from convcli.media.audio.sink import AudioOptions, AudioSink
from convcli.media.audio.source import AudioSource, open_audio
from convcli.media.files import closed_or_discarded
from convcli.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.signals import Array

RATE = 16000
WAV_LIKE = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"]
IDENTICAL = [
    *[("WAV", s) for s in WAV_LIKE],
    *[("WAVEX", s) for s in WAV_LIKE],
    *[("RF64", s) for s in WAV_LIKE],
    *[("FLAC", s) for s in ("PCM_S8", "PCM_16", "PCM_24")],
    *[
        ("AIFF", s)
        for s in ("PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
    ],
    *[("CAF", s) for s in ("PCM_16", "PCM_24", "FLOAT", "ALAC_16")],
    *[("AU", s) for s in ("PCM_16", "ULAW", "DOUBLE")],
    *[("W64", s) for s in ("PCM_16", "PCM_32")],
    *[("WAV", s) for s in ("ULAW", "ALAW")],
]


def noise(frames: int, channels: int = 2, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (frames, channels))


def make(
    path: Path,
    x: Array,
    *,
    format: str = "WAV",
    subtype: str = "PCM_16",
    rate: int = RATE,
    **tags: str,
) -> Path:
    with sf.SoundFile(path, "w", rate, x.shape[1], subtype, format=format) as file:
        for name, text in tags.items():
            setattr(file, name, text)
        file.write(x)
    return path


def samples(path: Path | BinaryIO) -> Any:
    return sf.read(path, always_2d=True)[0]


def read_all(source: AudioSource) -> Array:
    blocks = [source.decode(chunk).x for chunk in source.pieces()]
    return np.concatenate([np.zeros((0, source.details.channels)), *blocks])


def pour(
    source: AudioSource, target: Path | BinaryIO, *, gain: float = 1.0, cut: int = 0, **options: Any
) -> AudioSink:
    """Source to sink; cut > 0 re-cuts the blocks."""
    name = options.pop("name", None)
    asked = AudioOptions(**options)
    with closed_or_discarded(
        AudioSink(target, signal=source.signal, like=source.details, options=asked, name=name)
    ) as sink:
        at = 0
        for chunk in source.pieces():
            x = source.decode(chunk).x * gain
            for start in range(0, len(x), cut or len(x)):
                part = x[start : start + (cut or len(x))]
                sink.write(sink.encode(part, np.arange(at, at + len(part))))
                at += len(part)
    return sink


def convert(path: Path, target: Path | BinaryIO, **options: Any) -> AudioSink:
    with open_audio(path) as source:
        return pour(source, target, **options)


# Identity and formats


@pytest.mark.parametrize(("container", "subtype"), IDENTICAL)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_passing_through_changes_no_bit(
    tmp_path: Path, container: str, subtype: str, channels: int
) -> None:
    source = make(tmp_path / "in", noise(3000, channels), format=container, subtype=subtype)
    sink = convert(source, tmp_path / "out")
    old, new = sf.info(source), sf.info(tmp_path / "out")
    assert np.array_equal(samples(source), samples(tmp_path / "out"))
    kept = ("format", "subtype", "samplerate", "channels", "frames", "endian")
    assert [getattr(old, k) for k in kept] == [getattr(new, k) for k in kept]
    assert sink.warnings == []
    assert sink.facts()["frames"] == 3000
    assert sink.facts()["dither"] is None


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "PCM_U8"])
def test_samples_are_what_libsndfile_says(tmp_path: Path, subtype: str) -> None:
    path = make(tmp_path / "a.wav", noise(5000), subtype=subtype)
    with open_audio(path) as source:
        assert np.array_equal(read_all(source), samples(path))
        assert np.array_equal(read_all(source), samples(path))  # a second pass
        top = {
            "PCM_U8": 127 / 128,
            "PCM_16": 1 - 2**-15,
            "PCM_24": 1 - 2**-23,
            "PCM_32": 1 - 2**-31,
        }.get(subtype, 1.0)
        like = Signal(
            medium=AUDIO,
            holds_missing=False,
            shape=(5000,),
            channels=("left", "right"),
            rate=float(RATE),
            full_scale=top,
            bits=53 if subtype == "PCM_32" else 32,
        )
        assert source.signal == like


def test_full_scale_survives_in_every_integer_width(tmp_path: Path) -> None:
    for subtype, bits in (("PCM_16", 16), ("PCM_24", 24), ("PCM_32", 32)):
        top = 2 ** (bits - 1)
        ends = np.array([[-top, top - 1], [0, -1], [1, -top]], np.int64) << (32 - bits)
        path = tmp_path / f"{subtype}.wav"
        sf.write(path, ends.astype(np.int32), RATE, subtype=subtype)
        sink = convert(path, tmp_path / "out.wav")
        assert np.array_equal(sf.read(tmp_path / "out.wav", dtype="int32")[0], ends)
        assert sum(sink.facts()["clipped"].values()) == 0


@pytest.mark.parametrize(
    ("container", "subtype"), [("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"), ("OGG", "OPUS")]
)
def test_lossy_formats_keep_length_and_format(tmp_path: Path, container: str, subtype: str) -> None:
    x = 0.5 * np.sin(np.arange(20000) / 20)[:, None]
    path = make(tmp_path / "in", x, format=container, subtype=subtype)
    convert(path, tmp_path / "out")
    assert sf.info(tmp_path / "out").subtype == subtype
    y = samples(tmp_path / "out")
    assert len(y) == len(samples(path))
    # Each pass through a lossy codec may shift the phase a little.
    assert np.corrcoef(y[2000:18000, 0], samples(path)[2000:18000, 0])[0, 1] > 0.95


def test_zero_frames_are_a_valid_file(tmp_path: Path) -> None:
    path = make(tmp_path / "in", noise(0))
    for form in ("wav", "flac", "aiff", "ogg"):
        assert convert(path, tmp_path / "out", format=form).facts()["frames"] == 0
        with open_audio(tmp_path / "out") as source:
            assert read_all(source).shape == (0, 2)
            assert source.details.rate == RATE
            # A FLAC does not say whether its length is 0 or not known.
            assert all(text.endswith("holds no samples") for text in source.warnings)
    with pytest.raises(OutputError, match="MP3 cannot hold a sound without samples"):
        convert(path, tmp_path / "out", format="mp3")


def test_codecs_that_cannot_seek_are_read_twice(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav", noise(3000, 1), subtype="GSM610")
    with open_audio(path) as source:
        assert np.array_equal(read_all(source), read_all(source))


def test_format_of_a_path() -> None:
    assert [sound_format(Path(n)) for n in ("a.WAV", "b.flac", "c.tar.ogg", "d.opus")] == [
        "WAV",
        "FLAC",
        "OGG",
        "OPUS",
    ]
    for name in ("a.m4a", "noext"):
        with pytest.raises(RequestError) as caught:
            sound_format(name)
        assert ".flac" in str(caught.value.hint)
    assert set(SUFFIXES.values()) - {"OPUS"} <= set(sf.available_formats())


def test_unknown_formats_and_subtypes_name_the_known() -> None:
    like = ("WAV", "PCM_16")
    with pytest.raises(RequestError, match="unknown sound format 'flca'") as caught:
        choose_coding(like=like, format="flca", subtype=None)
    assert "did you mean flac?" in str(caught.value.hint)
    with pytest.raises(RequestError, match="FLAC has no subtype 'PCM_32'") as caught:
        choose_coding(like=like, format="flac", subtype="pcm_32")
    assert "PCM_24" in str(caught.value.hint)
    with pytest.raises(RequestError, match=r"^WAV has no subtype 'PCM_8'") as caught:
        choose_coding(like=("WAVEX", "PCM_16"), format=None, subtype="pcm_8")
    assert "PCM_U8? WAV takes" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("like", "wanted", "result", "noted"),
    [
        (("WAV", "PCM_24"), "FLAC", ("FLAC", "PCM_24"), False),
        (("WAV", "FLOAT"), "FLAC", ("FLAC", "PCM_24"), False),
        (("WAV", "PCM_32"), "FLAC", ("FLAC", "PCM_24"), True),
        (("WAV", "PCM_U8"), "FLAC", ("FLAC", "PCM_S8"), False),
        (("WAV", "PCM_24"), "OGG", ("OGG", "VORBIS"), False),
        (("WAV", "PCM_24"), "OPUS", ("OGG", "OPUS"), False),
        (("OGG", "OPUS"), "OGG", ("OGG", "OPUS"), False),
        (("MP3", "MPEG_LAYER_III"), "FLAC", ("FLAC", "PCM_16"), False),
        (("OGG", "VORBIS"), "WAV", ("WAV", "PCM_16"), False),
        (("WAVEX", "PCM_24"), "WAV", ("WAVEX", "PCM_24"), False),
        (("FLAC", "PCM_24"), None, ("FLAC", "PCM_24"), False),
    ],
)
def test_nearest_coding(
    like: tuple[str, str],
    wanted: str | None,
    result: tuple[str, str],
    noted: bool,  # noqa: FBT001
) -> None:
    coding = choose_coding(like=like, format=wanted, subtype=None)
    assert (coding.format, coding.subtype) == result
    assert (coding.note is not None) == noted


def test_a_rate_the_format_cannot_hold_is_a_request_error(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav", noise(10), rate=96000)
    with pytest.raises(
        RequestError, match=r"MP3 with MPEG_LAYER_III cannot hold 2 channels at 96000 Hz"
    ):
        convert(path, tmp_path / "out", format="mp3")
    path = make(tmp_path / "m.wav", noise(10)[:, :1], rate=96000)
    with pytest.raises(RequestError, match=r"cannot hold 1 channel at 96000 Hz: MPEG-1") as caught:
        convert(path, tmp_path / "out", format="mp3")
    assert "resample:" in str(caught.value.hint)
    path = make(tmp_path / "t.wav", noise(10)[:, [0, 0, 0]])
    with pytest.raises(RequestError, match=r"cannot hold 3 channels at \d+ Hz") as caught:
        convert(path, tmp_path / "out", format="mp3")
    assert caught.value.hint == "choose another --format, which holds more channels"
    path = make(tmp_path / "b.wav", noise(10), rate=650880)
    with pytest.raises(RequestError, match="VORBIS holds at most 200000 Hz"):
        convert(path, tmp_path / "out", format="ogg")


def test_a_fractional_rate_is_said(tmp_path: Path) -> None:
    with open_audio(make(tmp_path / "a.wav", noise(10))) as source:
        signal = Signal(medium=AUDIO, shape=(10,), channels=("left", "right"), rate=5512.5)
        with closed_or_discarded(
            AudioSink(tmp_path / "out.wav", signal=signal, like=source.details)
        ) as sink:
            sink.write(sink.encode(noise(10), np.arange(10)))
    assert sf.info(tmp_path / "out.wav").samplerate == 5512
    assert "5512.5 Hz is written as 5512 Hz" in sink.warnings[0]


# Rounding, clipping, dither


@given(st.lists(st.floats(-1.2, 1.2), min_size=1, max_size=40))
def test_rounding_and_the_ledger_against_python(values: list[float]) -> None:
    y = np.array(values)[:, None]
    grid = Grid.of("PCM_16")
    wanted = [round(v * 32768) for v in values]
    assert grid.round(y)[:, 0].tolist() == [min(max(w, -32768), 32767) for w in wanted]
    assert Extremes.of(y, grid).clipped[0] == sum(w > 32767 or w < -32768 for w in wanted)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32"])
def test_samples_are_rounded_half_to_even_never_floored(tmp_path: Path, subtype: str) -> None:
    with open_audio(make(tmp_path / "a.wav", noise(6, 1), subtype=subtype)) as source:
        step = Grid.of(subtype).full
        y = np.array([0.5, 1.5, 0.6, -0.6, -0.5, -1.5])[:, None] / step
        with closed_or_discarded(
            AudioSink(tmp_path / "out.wav", signal=source.signal, like=source.details)
        ) as sink:
            sink.write(sink.encode(y, np.arange(6)))
    assert (samples(tmp_path / "out.wav")[:, 0] * step).tolist() == [0, 2, 1, -1, 0, -2]


def test_clipping_is_counted_per_channel_and_never_wraps(tmp_path: Path) -> None:
    x = np.zeros((100, 2))
    x[10:15, 0], x[50, 1], x[60, 1] = 0.9, -0.9, 0.1
    sink = convert(make(tmp_path / "a.wav", x), tmp_path / "out.wav", gain=2.0)
    facts = sink.facts()
    assert facts["clipped"] == {"left": 5, "right": 1}
    assert facts["peak_dbfs"]["left"] == pytest.approx(5.105, abs=0.01)
    assert sink.warnings == ["6 samples were clipped (left 5, right 1; peak +5.11 dBFS)"]
    y = samples(tmp_path / "out.wav")
    assert y[10, 0] == 32767 / 32768
    assert y[50, 1] == -1.0


def test_floats_are_not_clipped(tmp_path: Path) -> None:
    sink = convert(
        make(tmp_path / "a.wav", noise(100), subtype="FLOAT"), tmp_path / "out.wav", gain=3.0
    )
    assert sink.warnings == []
    assert np.abs(samples(tmp_path / "out.wav")).max() > 2


def test_on_clip_error_says_where(tmp_path: Path) -> None:
    x = np.zeros((8000, 2))
    x[4000, 1] = 0.9
    with pytest.raises(
        OutputError, match=r"clips at 0\.25 s, channel right \(peak \+5\.1"
    ) as caught:
        convert(make(tmp_path / "a.wav", x), tmp_path / "out.wav", gain=2.0, on_clip="error")
    assert "gain:-5.3dB" in str(caught.value.hint)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_U8"])
def test_normalize_brings_the_peak_to_full_scale_exactly(tmp_path: Path, subtype: str) -> None:
    x = noise(1000)
    path = make(tmp_path / "a.wav", x, subtype=subtype)
    sink = convert(path, tmp_path / "out.wav", gain=4.0, on_clip="normalize", cut=77)
    y = samples(tmp_path / "out.wav") * Grid.of(subtype).full
    assert y.max() == Grid.of(subtype).high or y.min() == Grid.of(subtype).low
    assert "scaled by -" in sink.warnings[0]
    assert np.corrcoef(y[:, 0], x[:, 0])[0, 1] > 0.999


def test_normalize_leaves_what_fits_alone(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav", noise(1000))
    sink = convert(path, tmp_path / "out.wav", on_clip="normalize")
    assert np.array_equal(samples(path), samples(tmp_path / "out.wav"))
    assert sink.warnings == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_no_number_is_refused_with_its_place(tmp_path: Path, bad: float, subtype: str) -> None:
    with open_audio(make(tmp_path / "a.wav", noise(100), subtype=subtype)) as source:
        sink = AudioSink(tmp_path / "out.wav", signal=source.signal, like=source.details)
        y = noise(100)
        y[40, 0] = bad
        with pytest.raises(InputError, match=r"not a number at 1\.0025 s, channel left"):
            sink.encode(y, np.arange(16000, 16100))
        sink.discard()


def test_dither_only_where_the_depth_falls_or_on_request(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav", np.full((4000, 1), 0.25 / 32768), subtype="PCM_24")
    assert convert(path, tmp_path / "b.wav", subtype="pcm_16").facts()["dither"] == "TPDF"
    y = samples(tmp_path / "b.wav") * 32768
    assert set(np.unique(y)) == {-1, 0, 1}
    assert y.mean() == pytest.approx(0.25, abs=0.04)  # dither keeps what lies below the last bit
    assert convert(path, tmp_path / "c.wav").facts()["dither"] is None
    assert convert(path, tmp_path / "d.wav", dither=True).facts()["dither"] == "TPDF"
    sink = convert(path, tmp_path / "e.wav", subtype="FLOAT", dither=True)
    assert sink.facts()["dither"] is None
    assert [warning.partition(":")[0] for warning in sink.warnings] == ["--dither does nothing"]


def test_dither_depends_on_the_seed_and_not_on_the_cuts(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav", noise(3000), subtype="PCM_24")
    results = []
    for cut, seed in ((0, 1), (1, 1), (997, 1), (0, 2)):
        convert(path, tmp_path / "out.wav", subtype="PCM_16", cut=cut, seed=seed)
        results.append((tmp_path / "out.wav").read_bytes())
    assert results[0] == results[1] == results[2] != results[3]


def test_dither_noise_is_triangular() -> None:
    drawn = Dither(0).noise(100000, 1)
    assert np.abs(drawn).max() <= 1
    assert drawn.var() == pytest.approx(1 / 6, rel=0.02)


# WAV bytes


@given(
    st.sampled_from(WAV_LIKE),
    st.integers(1, 5),
    st.integers(0, 20),
    st.lists(
        st.tuples(st.sampled_from([b"note", b"iXML", b"odd "]), st.binary(max_size=9)), max_size=3
    ),
    st.sampled_from(["WAV", "WAVEX", "RF64"]),
)
@settings(deadline=None)
def test_wav_headers_round_trip(
    subtype: str, channels: int, frames: int, chunks: list[tuple[bytes, bytes]], form: str
) -> None:
    header = wav.WavHeader(
        format=form,
        subtype=subtype,
        rate=48000,
        channels=channels,
        chunks=tuple(Chunk(*c) for c in chunks),
    )
    size = frames * header.frame_bytes
    stream = io.BytesIO(header.to_bytes(size) + bytes(size + (size & 1)))
    again = wav.read_header(stream, name="x")
    assert (again.subtype, again.rate, again.channels, again.chunks) == (
        subtype,
        48000,
        channels,
        header.chunks,
    )
    assert again.format == form
    assert (again.data_bytes or 0) == size
    stream.seek(0)
    if form != "RF64" or all(
        len(body) % 2 == 0 for _, body in chunks
    ):  # libsndfile 1.2.2 misses the pad byte there
        assert sf.info(stream).frames == frames


@given(st.binary(max_size=200))
def test_no_header_is_worse_than_an_input_error(data: bytes) -> None:
    with pytest.raises(InputError):
        wav.read_header(io.BytesIO(b"RIFF\0\0\0\0WAVE" + data.replace(b"data", b"dat_")), name="x")


def test_beyond_four_gigabytes_the_header_is_rf64() -> None:
    header = wav.WavHeader(format="WAV", subtype="PCM_16", rate=48000, channels=2)
    size = 5 << 30
    head = header.to_bytes(size)
    assert head[:4] == b"RF64"
    again = wav.read_header(io.BytesIO(head), name="x")
    assert again.data_bytes == size
    # The room left for it is exactly what it takes.
    assert len(header.to_bytes(None, room=True)) == len(head)


def test_a_size_beyond_reason_is_no_size(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav", noise(100), format="RF64")
    data = bytearray(path.read_bytes())
    at = data.index(b"ds64") + 16
    for size in (2**63, 2**64 - 1, 2**40):
        data[at : at + 8] = size.to_bytes(8, "little")
        path.write_bytes(data)
        with open_audio(path) as source:
            assert len(read_all(source)) == 100
            assert len(source.warnings) == (size == 2**40)


def test_packing_24_bits() -> None:
    values = np.array([[-(2**23), 2**23 - 1], [-1, 0x123456]])
    assert wav.pack(values, "PCM_24") == bytes.fromhex("000080ffff7fffffff563412")


# Pipes


@contextmanager
def pipe_from(data: bytes) -> Iterator[BinaryIO]:
    """A real pipe into which `data` is written by a thread."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as sink:
            sink.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reading, "rb") as stream:
        yield stream
    thread.join()


def wav_bytes(x: Array, size: int | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, x, RATE, format="WAV", **options)
    data = bytearray(buffer.getvalue())
    if size is not None:
        at = data.index(b"data")
        data[4:8] = data[at + 4 : at + 8] = struct.pack("<I", size)
    return bytes(data)


@pytest.mark.parametrize("size", [None, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0])
def test_wav_on_a_pipe(size: int | None, tmp_path: Path) -> None:
    x = np.round(noise(300000) * 32768) / 32768
    with pipe_from(wav_bytes(x, size)) as pipe:
        source = open_audio(None, stdin=pipe)
        assert source.signal.shape == ((300000,) if size is None else (None,))
        sink = pour(source, tmp_path / "out.wav")
        assert source.warnings == sink.warnings == []
        with pytest.raises(InputError, match="only once"):
            source.pieces()
    assert np.array_equal(samples(tmp_path / "out.wav"), x)


@pytest.mark.parametrize(
    ("container", "subtype"), [("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("WAV", "ULAW")]
)
def test_other_formats_on_a_pipe_are_spooled(tmp_path: Path, container: str, subtype: str) -> None:
    path = make(tmp_path / "in", noise(5000), format=container, subtype=subtype)
    with pipe_from(path.read_bytes()) as pipe, open_audio(None, stdin=pipe) as source:
        assert source.details.format == container
        assert np.array_equal(read_all(source), samples(path))


def test_a_file_that_is_a_fifo_is_read_as_a_pipe(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(wav_bytes(noise(100))))
    writer.start()
    with open_audio(fifo) as source:
        assert len(read_all(source)) == 100
    writer.join()


class _OneWay(io.RawIOBase):
    """A stream that cannot seek."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        return len(bytes(data))


@pytest.mark.parametrize("known", [True, False])
def test_wav_to_a_pipe(tmp_path: Path, known: bool) -> None:  # noqa: FBT001
    x = noise(1001, 1)
    path = make(tmp_path / "a.wav", x, subtype="PCM_24")
    out = _OneWay()
    if known:
        convert(path, cast("BinaryIO", out))
    else:
        with pipe_from(wav_bytes(x, 0xFFFFFFFF, subtype="PCM_24")) as pipe:
            pour(open_audio(None, stdin=pipe), cast("BinaryIO", out))
    header = wav.read_header(io.BytesIO(bytes(out.data)), name="x")
    assert header.data_bytes == (3003 if known else None)
    assert len(out.data) % 2 == 0 or not known
    assert np.array_equal(samples(io.BytesIO(bytes(out.data)))[:1001], samples(path))


def test_other_formats_to_a_pipe(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav", noise(1000), subtype="PCM_16")
    out = _OneWay()
    convert(path, cast("BinaryIO", out), format="flac")
    assert np.array_equal(samples(io.BytesIO(bytes(out.data))), samples(path))


def test_a_broken_promise_on_a_pipe_is_said(tmp_path: Path) -> None:
    data = wav_bytes(noise(1000))
    out = _OneWay()
    with pipe_from(data[:-2000]) as pipe:
        source = open_audio(None, stdin=pipe)
        sink = pour(source, cast("BinaryIO", out))
    assert "truncated: 1000 frames promised, 500 there" in source.warnings[0]
    assert "promised 1000 frames, 500 were written" in sink.warnings[0]
    path = tmp_path / "seekable.wav"
    with pipe_from(data[:-2000]) as pipe, path.open("wb") as stream:
        assert pour(open_audio(None, stdin=pipe), stream).warnings == []
    assert sf.info(path).frames == 500


def test_a_closed_pipe_passes_through(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav", noise(300000))
    for form in ("wav", "flac"):
        reading, writing = os.pipe()
        os.close(reading)
        with pytest.raises(BrokenPipeError), os.fdopen(writing, "wb", buffering=0) as stream:
            convert(path, cast("BinaryIO", stream), format=form)


# What is wrong with inputs


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty, expected a sound file"),
        (b"hello, this is not a sound at all", "is not a sound file that can be read"),
        (b"RIFF\x24\0\0\0WAVE", "header ends before the samples"),
        (b"RIFF\x24\0\0\0WAVEdata\x04\0\0\0abcd", "no 'fmt ' chunk"),
        (b"RIFF\x24\0\0\0WAVEfmt \xf0\xff\xff\xff", "damaged at chunk"),
        (
            b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0" + bytes(14) + b"data\0\0\0\0",
            "0 channels at 0 Hz",
        ),
        (b"fLaC", "is not a sound file that can be read"),
        (b"OggS" + bytes(40), "is not a sound file that can be read"),
    ],
)
def test_what_is_no_sound_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.wav") as caught:
        open_audio(path)
    assert said in caught.value.message
    with pipe_from(content) as pipe, pytest.raises(InputError, match="standard input") as caught:
        open_audio(None, stdin=pipe)
    assert said in caught.value.message


def test_missing_folder_and_forbidden(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        open_audio(tmp_path / "nothing.wav")
    with pytest.raises(InputError, match="is a folder"):
        open_audio(tmp_path)
    secret = make(tmp_path / "secret.wav", noise(10))
    secret.chmod(0)
    if not os.access(secret, os.R_OK):
        with pytest.raises(InputError, match="Permission denied"):
            open_audio(secret)
    (tmp_path / "x.raw").write_bytes(b"12345678")
    with pytest.raises(InputError, match="is not a sound file"):
        open_audio(tmp_path / "x.raw")


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "PCM_16"), ("WAV", "ULAW"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("AIFF", "PCM_16"),
     ("AU", "PCM_16"), ("W64", "PCM_16")],
)  # fmt: skip
def test_truncated_files_are_told(tmp_path: Path, container: str, subtype: str) -> None:
    path = make(tmp_path / "in", noise(50000), format=container, subtype=subtype)
    whole = path.read_bytes()
    with open_audio(path) as source:
        complete = read_all(source)
        assert source.warnings == []
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with open_audio(path) as source:
        part = read_all(source)
        assert "is truncated" in source.warnings[0]
    assert 10000 < len(part) < 50000
    assert np.array_equal(part[:10000], complete[:10000])
    with pytest.raises(InputError, match="is truncated"), open_audio(path, strict=True) as source:
        read_all(source)


def test_an_unfinished_header_is_read_to_the_end(tmp_path: Path) -> None:
    for size in (0, 0xFFFFFFFF):
        path = tmp_path / "a.wav"
        path.write_bytes(wav_bytes(noise(1000), size))
        with open_audio(path) as source:
            assert source.signal.shape == (1000,)
            assert source.warnings == []


def test_a_damaged_flac_is_an_input_error_or_a_warning(tmp_path: Path) -> None:
    path = make(tmp_path / "a.flac", noise(50000), format="FLAC")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    path.write_bytes(data)
    with open_audio(path) as source:
        try:
            read_all(source)
        except InputError as error:
            assert "damaged" in error.message  # noqa: PT017 either outcome is right, silence is not
        else:
            assert source.warnings


# What is wrong with outputs


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "aiff"])
@pytest.mark.parametrize("frames", [100, 400000])
def test_a_full_disk_is_an_output_error(tmp_path: Path, form: str, frames: int) -> None:
    path = make(tmp_path / "a.wav", noise(frames))
    with pytest.raises(OutputError, match="cannot write result: No space left on device"):
        convert(path, Path("/dev/full"), format=form, name="result")


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "aiff"])
def test_a_disk_that_fills_up_is_an_output_error(tmp_path: Path, form: str) -> None:
    path = make(tmp_path / "a.wav", noise(100000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40000, limits[1]))
    try:
        with pytest.raises(OutputError, match="File too large"):
            convert(path, tmp_path / "out", format=form)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav", noise(10))
    for form in ("wav", "flac"):
        with pytest.raises(OutputError, match="No such file"):
            convert(path, tmp_path / "none" / "out", format=form)


def test_appending_to_a_file_does_not_overwrite_it(tmp_path: Path) -> None:
    path, out = make(tmp_path / "a.wav", noise(10)), tmp_path / "log"
    out.write_bytes(b"before")
    with pipe_from(wav_bytes(noise(10), 0xFFFFFFFF)) as pipe, out.open("ab") as stream:
        pour(open_audio(None, stdin=pipe), stream)
    assert out.read_bytes()[:10] == b"beforeRIFF"
    assert path.exists()


# Tags

TAGS = {
    "title": "Tîtle",
    "artist": "An artist",
    "comment": "with [red]markup[/red]",
    "date": "2024",
    "album": "Album",
}


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
     ("MP3", "MPEG_LAYER_III"), ("CAF", "PCM_16"), ("RF64", "PCM_24")],
)  # fmt: skip
@pytest.mark.parametrize("target", [None, "wav", "flac", "ogg", "mp3", "caf"])
def test_common_tags_are_kept_from_any_format_to_any(
    tmp_path: Path, container: str, subtype: str, target: str | None
) -> None:
    tags: dict[str, Any] = TAGS
    path = make(
        tmp_path / "in", noise(2000), format=container, subtype=subtype, genre="Speech", **tags
    )
    convert(path, tmp_path / "out", format=target)
    with sf.SoundFile(tmp_path / "out") as file:
        kept = file.copy_metadata()
        assert len(file.read()) >= 2000
    assert {key: kept.get(key) for key in TAGS} == TAGS


def test_wav_chunks_stay_byte_for_byte(tmp_path: Path) -> None:
    chunks = [
        (b"bext", b"b" * 346 + bytes(76) + b"b" * 181),
        (b"iXML", b"<x/>"),
        (b"LIST", b"INFOIKEY\x04\0\0\0abc\0ISFT\x04\0\0\0me\0\0"),
    ]
    body = b"".join(
        name + struct.pack("<I", len(b)) + b + b"\0" * (len(b) & 1) for name, b in chunks
    )
    cue = b"cue \x04\0\0\0\0\0\0\0"
    plain = wav_bytes(noise(101, 1), subtype="PCM_U8")
    at = plain.index(b"data")
    path = tmp_path / "a.wav"
    path.write_bytes(plain[:at] + body + plain[at:] + b"\0" * (len(plain[at:]) & 1) + cue)
    sink = convert(path, tmp_path / "out.wav")
    assert sink.warnings == []
    written = (tmp_path / "out.wav").read_bytes()
    assert body in written
    assert cue in written
    assert np.array_equal(samples(path), samples(tmp_path / "out.wav"))
    with open_audio(path) as source:
        assert source.details.tags == {"software": "me"}
    lost = convert(path, tmp_path / "out.flac", format="flac").warnings[0]
    assert lost == "FLAC output does not keep: bext, iXML, IKEY, cue"


def test_marks_counted_in_samples_follow_another_rate(tmp_path: Path) -> None:
    plain = wav_bytes(noise(101, 1))
    time = b"\0" * 338 + (160000).to_bytes(8, "little") + bytes(256)
    cue = struct.pack("<III4sIII", 1, 7, 40, b"data", 0, 0, 40)
    extra = (
        b"cue " + struct.pack("<I", len(cue)) + cue + b"bext" + struct.pack("<I", len(time)) + time
    )
    at = plain.index(b"data")
    path = tmp_path / "a.wav"
    path.write_bytes(plain[:at] + extra + plain[at:])
    with open_audio(path) as source:
        half = Signal(medium=AUDIO, shape=(50,), channels=("mono",), rate=RATE / 2)
        with closed_or_discarded(
            AudioSink(tmp_path / "out.wav", signal=half, like=source.details)
        ) as sink:
            sink.write(sink.encode(noise(50, 1), np.arange(0, 100, 2)))
    assert sink.warnings == []
    with open_audio(tmp_path / "out.wav") as source:
        assert source.details.chunks[0].body[8:12] == (20).to_bytes(4, "little")
        assert source.details.chunks[1].body[338:346] == (80000).to_bytes(8, "little")


def flac_with(path: Path, x: Array, *blocks: tuple[int, bytes]) -> Path:
    """A FLAC file with these metadata blocks and no others beside STREAMINFO."""
    make(path, x, format="FLAC")
    with path.open("rb") as file:
        info = next(body for kind, body in flac_blocks(file) if kind == 0)
        list(flac_blocks(file))
        audio = file.read()
    head = b"fLaC"
    for place, (kind, body) in enumerate([(0, info), *blocks]):
        head += (
            bytes([kind | (0x80 if place == len(blocks) else 0)])
            + len(body).to_bytes(3, "big")
            + body
        )
    path.write_bytes(head + audio)
    return path


def test_flac_keeps_every_comment_and_picture(tmp_path: Path) -> None:
    comments = join_comments(
        b"someone", [b"TITLE=x", b"ISRC=ABC", b"MOOD=calm", b"MOOD=bright", b"SOFTWARE=mine"]
    )
    picture = struct.pack(">8I", 3, 0, 0, 0, 0, 0, 0, 70000) + bytes(70000)
    path = flac_with(tmp_path / "a.flac", noise(1000), (4, comments), (6, picture))
    sink = convert(path, tmp_path / "out.flac")
    assert sink.warnings == []
    assert np.array_equal(samples(path), samples(tmp_path / "out.flac"))
    with open_audio(tmp_path / "out.flac") as source:
        kept = {c.name: c.body for c in source.details.chunks}
        assert kept[b"PICTURE"] == picture
        assert split_comments(kept[b"VORBIS_COMMENT"])[1] == split_comments(comments)[1]
        assert source.details.tags["software"] == "mine"
    assert "PICTURE" in convert(path, tmp_path / "out.ogg", format="ogg").warnings[-1]
    lost = convert(path, tmp_path / "out.wav", format="wav").warnings[0]
    assert lost == "WAV output does not keep: ISRC, MOOD, PICTURE"


@pytest.mark.parametrize("length", [10, 70000, 300000])
def test_ogg_keeps_long_comments(tmp_path: Path, length: int) -> None:
    comments = join_comments(b"", [b"LYRICS=" + b"la" * length])
    path = flac_with(tmp_path / "a.flac", noise(30000), (4, comments))
    for form in ("ogg", "opus"):
        out = tmp_path / "out"
        convert(path, out, format=form)
        with open_audio(out) as source:
            assert source.warnings == []
            assert split_comments(source.details.chunks[0].body)[1] == [b"LYRICS=" + b"la" * length]
            assert len(read_all(source)) == 30000
        with out.open("rb") as file:
            pages = list(iter(lambda: ogg.read_page(file), None))
        assert [page.number for page in pages] == list(range(len(pages)))
        # RFC 3533, section 6: a page continues a packet if the page before ends within it, and has
        # the position -1 if no packet ends on it.
        continues = [False, *(page.lacing[-1] == 255 for page in pages[:-1])]
        assert [bool(page.flags & 1) for page in pages] == continues
        assert [page.granule == -1 for page in pages] == [min(p.lacing) == 255 for p in pages]


def test_ogg_checksum_is_the_one_libogg_writes(tmp_path: Path) -> None:
    path = make(tmp_path / "a.ogg", noise(3000), format="OGG", subtype="VORBIS")
    with path.open("rb") as file:
        pages = []
        while (page := ogg.read_page(file)) is not None:
            pages.append(page.to_bytes())
    assert b"".join(pages) == path.read_bytes()


def test_mp3_keeps_its_id3_tags_exactly_and_wav_takes_them(tmp_path: Path) -> None:
    path = make(
        tmp_path / "a.mp3", 0.2 * noise(30000), format="MP3", subtype="MPEG_LAYER_III", title="old"
    )
    frame = b"APIC" + struct.pack(">I", 5000) + b"\0\0" + bytes(5000)
    tag = b"ID3\x03\0\0" + bytes([0, 0, len(frame) >> 7, len(frame) & 127]) + frame
    data = path.read_bytes()
    with path.open("rb") as file:
        path.write_bytes(tag + data[id3_length(file) :])
    convert(path, tmp_path / "out.mp3")
    assert (tmp_path / "out.mp3").read_bytes().startswith(tag)
    assert len(samples(tmp_path / "out.mp3")) == len(samples(path))
    assert convert(path, tmp_path / "out.wav", format="wav").warnings == []
    assert b"id3 " in (tmp_path / "out.wav").read_bytes()
    assert "APIC" in convert(path, tmp_path / "out.caf", format="caf").warnings[-1]


def id3_tag(version: int, *frames: tuple[bytes, bytes]) -> bytes:
    """An ID3v2.3 or 2.4 tag; only the latter counts the size of a frame in bytes of 7 bits."""

    def seven_bits(size: int) -> bytes:
        return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))

    body = b""
    for name, content in frames:
        size = len(content)
        body += name + (seven_bits(size) if version == 4 else size.to_bytes(4, "big"))
        body += b"\0\0" + content
    return b"ID3" + bytes([version, 0, 0]) + seven_bits(len(body)) + body


@pytest.mark.parametrize("version", [3, 4])
def test_every_frame_of_an_id3_tag_is_named_when_it_is_lost(tmp_path: Path, version: int) -> None:
    frames = [
        (b"TIT2", b"\0Title"),
        (b"APIC", b"\0image/png\0\3\0" + bytes(70000)),
        (b"TXXX", b"\0key\0value"),
        (b"PRIV", b"owner\0" + bytes(200)),
        (b"COMM", b"\0eng\0a comment"),
        (b"TSRC", b"\0ABC"),
    ]
    tag = id3_tag(version, *frames)
    assert id3_frame_names(tag) == [name for name, _ in frames]
    assert id3_frame_names(tag + bytes(100)) == [name for name, _ in frames]  # padding
    path = make(tmp_path / "a.mp3", 0.2 * noise(5000), format="MP3", subtype="MPEG_LAYER_III")
    with path.open("rb") as file:
        audio = path.read_bytes()[id3_length(file) :]
    path.write_bytes(tag + audio)
    lost = convert(path, tmp_path / "out.caf", format="caf").warnings[-1]
    assert lost == "CAF output does not keep: APIC, TXXX, PRIV, TSRC"
    # Containers that take the tag keep it whole.
    for form in ("mp3", "wav", "aiff"):
        assert convert(path, tmp_path / "out", format=form).warnings == []
        assert tag in (tmp_path / "out").read_bytes()


def test_an_id3_tag_of_an_unknown_layout_is_named_as_a_whole() -> None:
    whole = [b"ID3 tags beyond the common ones"]
    assert id3_frame_names(b"ID3\x02\0\0" + bytes(20)) == whole
    assert id3_frame_names(b"ID3\x04\0\x40" + bytes(20)) == whole


def test_every_way_to_spell_a_format_is_known() -> None:
    like = ("FLAC", "PCM_24")
    for name, result in {
        "aif": ("AIFF", "PCM_24"),
        "wave": ("WAV", "PCM_24"),
        ".flac": ("FLAC", "PCM_24"),
        "vorbis": ("OGG", "VORBIS"),
        "opus": ("OGG", "OPUS"),
    }.items():
        coding = choose_coding(like=like, format=name, subtype=None)
        assert (coding.format, coding.subtype) == result
    assert choose_coding(like=like, format="opus", subtype="vorbis") == Coding("OGG", "VORBIS")


def test_aiff_keeps_its_chunks(tmp_path: Path) -> None:
    path = make(
        tmp_path / "a.aiff",
        noise(1001, 1),
        format="AIFF",
        subtype="PCM_24",
        title="T",
        software="S",
    )
    extra = b"ANNO\x00\x00\x00\x05hello\0" + b"ID3 \x00\x00\x00\x04abcd"
    data = path.read_bytes() + extra
    path.write_bytes(data[:4] + (len(data) - 8).to_bytes(4, "big") + data[8:])
    convert(path, tmp_path / "out")
    assert np.array_equal(samples(path), samples(tmp_path / "out"))
    assert extra in (tmp_path / "out").read_bytes()
    with sf.SoundFile(path) as old, sf.SoundFile(tmp_path / "out") as new:
        assert old.copy_metadata() == new.copy_metadata()


@pytest.mark.parametrize("container", ["WAV", "RF64"])
def test_a_wav_with_a_codec_keeps_its_chunks(tmp_path: Path, container: str) -> None:
    path = make(
        tmp_path / "a", noise(2001, 1), format=container, subtype="ULAW", title="T", artist="A"
    )
    convert(path, tmp_path / "out")
    assert np.array_equal(samples(path), samples(tmp_path / "out"))
    with open_audio(path) as old, open_audio(tmp_path / "out") as new:
        assert old.details.tags == new.details.tags
        assert new.details.tags["artist"] == "A"
        assert new.warnings == []


def test_damaged_tags_are_a_warning(tmp_path: Path) -> None:
    path = flac_with(tmp_path / "a.flac", noise(1000), (4, b"\xff\xff\xff\x7f"))
    try:
        source = open_audio(path)
    except InputError as error:
        assert "sound file" in error.message  # noqa: PT017 libsndfile may refuse it itself
        return
    with source:
        assert "tags are damaged" in source.warnings[0]
        assert len(read_all(source)) == 1000


# Peers

needs_sox = pytest.mark.skipif(shutil.which("sox") is None, reason="sox is not installed")
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def run(*command: str, data: bytes | None = None) -> bytes:
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


@pytest.mark.peer
@needs_sox
@pytest.mark.parametrize("bits", ["8", "16", "24", "32"])
def test_sox_writes_a_pipe_that_is_read_and_reads_one_that_is_written(
    tmp_path: Path, bits: str
) -> None:
    data = run(
        "sox",
        "-D",
        "-n",
        "-b",
        bits,
        "-r",
        "8000",
        "-c",
        "2",
        "-t",
        "wav",
        "-",
        "synth",
        "0.5",
        "sine",
        "440",
    )
    with pipe_from(data) as pipe:
        source = open_audio(None, stdin=pipe)
        assert source.signal.shape == (None,)
        out = _OneWay()
        pour(source, cast("BinaryIO", out))
    assert source.warnings == []
    back = run(
        "sox", "-D", "-t", "wav", "-", "-t", "wav", str(tmp_path / "back.wav"), data=bytes(out.data)
    )
    assert back == b""
    assert len(samples(tmp_path / "back.wav")) == 4000
    straight = tmp_path / "straight.wav"
    run("sox", "-D", "-t", "wav", "-", str(straight), data=data)
    assert np.array_equal(samples(tmp_path / "back.wav"), samples(straight))


@pytest.mark.peer
@needs_ffmpeg
@pytest.mark.parametrize("coding", ["pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_u8"])
def test_ffmpeg_writes_a_pipe_that_is_read_and_reads_one_that_is_written(
    tmp_path: Path, coding: str
) -> None:
    quiet = ("ffmpeg", "-v", "error", "-nostdin")
    tone = ("-f", "lavfi", "-i", "sine=440:r=8000:d=0.5", "-metadata", "title=Tone", "-ac", "2")
    data = run(*quiet, *tone, "-c:a", coding, "-f", "wav", "-")
    with pipe_from(data) as pipe:
        source = open_audio(None, stdin=pipe)
        assert source.details.tags["title"] == "Tone"
        out = _OneWay()
        pour(source, cast("BinaryIO", out))
    (tmp_path / "ours.wav").write_bytes(out.data)
    raw = run(*quiet, "-i", str(tmp_path / "ours.wav"), "-f", "f64le", "-")
    (tmp_path / "theirs.wav").write_bytes(data)
    assert raw == run(*quiet, "-i", str(tmp_path / "theirs.wav"), "-f", "f64le", "-")
    assert len(raw) == 4000 * 2 * 8


@pytest.mark.peer
@needs_ffmpeg
@pytest.mark.parametrize("form", ["flac", "ogg", "opus", "mp3", "aiff"])
def test_ffmpeg_reads_every_format_and_its_tags(tmp_path: Path, form: str) -> None:
    path = make(tmp_path / "a.wav", 0.1 * noise(16000), title="A title", artist="Somebody")
    convert(path, tmp_path / f"out.{form}", format=form)
    quiet = ("ffmpeg", "-v", "error", "-nostdin", "-i", str(tmp_path / f"out.{form}"))
    assert abs(len(run(*quiet, "-f", "s16le", "-ar", "16000", "-")) // 4 - 16000) < 3000
    # ffmpeg keeps the comments of an Ogg with the stream, all others with the file.
    tags = run(
        *quiet,
        *(("-map_metadata", "0:s:0") if form in ("ogg", "opus") else ()),
        "-f",
        "ffmetadata",
        "-",
    )
    assert b"title=a title" in tags.lower()


def test_bits_that_a_coding_keeps() -> None:
    """The numbers in the names of libsndfile's codings; the mantissas of IEEE 754 with the hidden bit."""
    named = {"PCM_S8": 8, "DWVW_12": 12, "PCM_16": 16, "ALAC_20": 20, "PCM_24": 24, "ALAC_32": 32}
    others = {"FLOAT": 24, "DOUBLE": 53, "VORBIS": 16}
    for subtype, bits in (named | others).items():
        assert bits_of(subtype) == bits, subtype
