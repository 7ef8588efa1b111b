"""`convcli audio` as its users run it."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile as sf
from program import CONVCLI, SAMPLES, Program, done, peer, refused, run, shell
from scipy.signal import freqz

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(7)


def integers(bits: int, frames: int, channels: int = 2) -> Any:
    """Samples over the whole range of `bits`, both ends among them, in the upper bits of int32."""
    limit = 1 << (bits - 1)
    x = RNG.integers(-limit, limit, (frames, channels))
    x[0], x[1] = -limit, limit - 1
    return (x << (32 - bits)).astype(np.int32)


def stored(data: Path | bytes) -> Any:
    """The samples of a file as int32."""
    return sf.read(
        io.BytesIO(data) if isinstance(data, bytes) else data, dtype="int32", always_2d=True
    )[0]


def tone(frequency: float, rate: int, seconds: float = 1.0, level: float = 0.5) -> Any:
    return level * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)


def loudness(x: Any) -> float:
    """Root mean square of the middle half."""
    middle = x[len(x) // 4 : -len(x) // 4]
    return float(np.sqrt(np.mean(np.square(middle))))


# --------------------------------------------------------------------------- what is kept as it was


@pytest.mark.parametrize(
    ("name", "bits"), [("a.wav", 16), ("a.wav", 24), ("a.flac", 16), ("a.flac", 24)]
)
def test_the_identity_is_bit_exact(name: str, bits: int, program: Program, tmp_path: Path) -> None:
    x = integers(bits, 5000)
    sf.write(tmp_path / name, x, 16000, subtype=f"PCM_{bits}")
    ended = program.run(
        "audio", "kernel:1", name, "-o", f"same_{name}", "--fail-on", "clip", cwd=tmp_path
    )
    assert ended.code == 0, ended
    assert ended.out == b""
    assert not ended.warnings
    info = sf.info(tmp_path / f"same_{name}")
    assert (info.subtype, info.samplerate, info.channels) == (f"PCM_{bits}", 16000, 2)
    np.testing.assert_array_equal(stored(tmp_path / f"same_{name}"), x)


def test_format_rate_depth_and_tags_are_kept(program: Program, tmp_path: Path) -> None:
    with sf.SoundFile(tmp_path / "a.flac", "w", 22050, 1, "PCM_24") as file:
        file.title, file.artist, file.date = "Grüße", "[red]Ann[/red]", "1999"
        file.write(integers(24, 3000, 1))
    assert program.run("audio", "lowpass:1k", "a.flac", "-o", "b.flac", cwd=tmp_path).code == 0
    with sf.SoundFile(tmp_path / "b.flac") as file:
        assert (file.format, file.subtype, file.samplerate) == ("FLAC", "PCM_24", 22050)
        assert (file.title, file.artist, file.date) == ("Grüße", "[red]Ann[/red]", "1999")
        assert file.frames == 3000


def test_subtype_and_format_where_asked(program: Program, tmp_path: Path) -> None:
    hello = SAMPLES / "hello.wav"
    assert (
        program.run(
            "audio", "gain:-6dB", hello, "-o", "a.wav", "--subtype", "float", cwd=tmp_path
        ).code
        == 0
    )
    assert sf.info(tmp_path / "a.wav").subtype == "FLOAT"
    for name, wanted in (
        ("b.flac", "FLAC"),
        ("b.ogg", "OGG"),
        ("b.aiff", "AIFF"),
        ("b.mp3", "MP3"),
    ):
        ended = program.run("audio", "gain:-6dB", hello, "-o", name, cwd=tmp_path)
        assert ended.code == 0, ended
        assert sf.info(tmp_path / name).format == wanted
    assert (
        program.run("audio", "abs", hello, "-o", "named", "--format", "flac", cwd=tmp_path).code
        == 0
    )
    assert sf.info(tmp_path / "named").format == "FLAC"
    for words in (("--subtype", "pcm_99"), ("--format", "tape"), ("-o", "x.tape", "--force")):
        ended = program.run("audio", "abs", hello, "-o", "x.wav", *words, cwd=tmp_path)
        assert ended.code == 2, ended
        assert not (tmp_path / "x.wav").exists()


# ------------------------------------------------------------------- what is lost, and never silent


def test_clipping_is_counted_and_never_wraps(program: Program, tmp_path: Path) -> None:
    x = np.array([[32767, 100]] * 20 + [[-32768, -100]] * 20, np.int16)
    sf.write(tmp_path / "full.wav", x, 8000, subtype="PCM_16")
    ended = program.run("audio", "kernel:1,1,1", "full.wav", "-o", "out.wav", cwd=tmp_path)
    assert ended.code == 0
    y = sf.read(tmp_path / "out.wav", dtype="int16")[0]
    np.testing.assert_array_equal(y[:19, 0], 32767)
    np.testing.assert_array_equal(y[21:, 0], -32768)
    np.testing.assert_array_equal(y[1:19, 1], 300)
    true = np.convolve(x[:, 0].astype(int), [1, 1, 1], "same")
    count = int(np.sum((true > 32767) | (true < -32768)))
    assert f"{count} samples were clipped (left {count}; peak +9.54 dBFS)" in ended.warnings[0]
    failed = program.run(
        "audio", "kernel:1,1,1", "full.wav", "-o", "out2.wav", "--fail-on", "clip", cwd=tmp_path
    )
    assert failed.code == 1
    assert f"{count} samples were clipped" in failed.errors[0]


def test_on_clip_error_and_normalize(program: Program, tmp_path: Path) -> None:
    sf.write(tmp_path / "loud.wav", tone(100, 8000, 0.5, 0.9), 8000, subtype="PCM_16")
    told = program.run(
        "audio", "gain:6dB", "loud.wav", "-o", "no.wav", "--on-clip", "error", cwd=tmp_path
    )
    assert told.code == 4, told
    assert "clips at" in told.errors[0]
    assert "dBFS" in told.errors[0]
    assert not (tmp_path / "no.wav").exists()
    scaled = program.run(
        "audio", "gain:6dB", "loud.wav", "-o", "yes.wav", "--on-clip", "normalize", cwd=tmp_path
    )
    assert scaled.code == 0
    assert "scaled by" in scaled.warnings[0]
    y = sf.read(tmp_path / "yes.wav")[0]
    assert np.max(np.abs(y)) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(
        y * 0.9, sf.read(tmp_path / "loud.wav")[0] * np.max(np.abs(y)), atol=2e-3
    )


def test_dither_only_where_depth_falls_and_by_its_seed(program: Program, tmp_path: Path) -> None:
    sf.write(tmp_path / "deep.wav", 0.01 * tone(50, 8000), 8000, subtype="PCM_24")
    quiet = ("audio", "gain:-40dB", "deep.wav")
    bytes_of = {}
    for name, words in {
        "one": ("--subtype", "pcm_16"),
        "again": ("--subtype", "pcm_16"),
        "other": ("--subtype", "pcm_16", "--seed", "1"),
        "plain": (),
        "asked": ("--dither",),
    }.items():
        assert program.run(*quiet, *words, "-o", f"{name}.wav", cwd=tmp_path).code == 0
        bytes_of[name] = (tmp_path / f"{name}.wav").read_bytes()
    assert bytes_of["one"] == bytes_of["again"] != bytes_of["other"]
    assert bytes_of["plain"] != bytes_of["asked"]
    assert len(np.unique(sf.read(tmp_path / "one.wav", dtype="int16")[0])) > 2


def test_no_number_is_an_error_never_a_click(tmp_path: Path) -> None:
    x = np.zeros(500, np.float32)
    x[300] = np.nan
    sf.write(tmp_path / "nan.wav", x, 1000, subtype="FLOAT")
    told = refused(3, "audio", "lowpass:100", "nan.wav", "-o", "out.wav", cwd=tmp_path)
    assert "not a number" in told
    assert "nan.wav" in told
    x[300] = np.inf
    sf.write(tmp_path / "inf.wav", x, 1000, subtype="FLOAT")
    refused(3, "audio", "kernel:1", "inf.wav", "-o", "out.wav", cwd=tmp_path)
    assert not (tmp_path / "out.wav").exists()


def test_a_truncated_file_warns_and_strict_refuses(program: Program, tmp_path: Path) -> None:
    data = (SAMPLES / "hello.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(data[: len(data) // 2])
    ended = program.run("audio", "kernel:1", "cut.wav", "-o", "out.wav", cwd=tmp_path)
    assert ended.code == 0
    assert "cut.wav" in ended.warnings[0]
    np.testing.assert_array_equal(stored(tmp_path / "out.wav"), stored(tmp_path / "cut.wav"))
    strict = program.run("audio", "kernel:1", "cut.wav", "-o", "no.wav", "--strict", cwd=tmp_path)
    assert strict.code == 3
    assert not (tmp_path / "no.wav").exists()
    flac = io.BytesIO()
    sf.write(flac, integers(16, 40000), 16000, format="FLAC", subtype="PCM_16")
    (tmp_path / "cut.flac").write_bytes(flac.getvalue()[: len(flac.getvalue()) // 2])
    assert program.run("audio", "kernel:1", "cut.flac", "-o", "f.flac", cwd=tmp_path).warnings
    assert (
        program.run("audio", "kernel:1", "cut.flac", "-o", "g.flac", "--strict", cwd=tmp_path).code
        == 3
    )


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("lowpass:5k",), 2, ("4000 Hz", "lowpass:5k", "^")),
        (("lowpass:3km",), 2, ("3km", "^", "write it as in lowpass:800;")),
        (("resample:0.5",), 2, ("whole Hz",)),
        (("lowpass:5px",), 2, ("5px", "^")),
        (("sobel",), 2, ("sobel", "^")),
        (("lowpas:1k",), 2, ("did you mean lowpass:1k?", "^")),
        (("lowpass:1k,widht=200",), 2, ("did you mean width=?", "^")),
        (("lowpass",), 2, ("CUTOFF",)),
        (("lowpass:1k |",), 2, ("missing", "^")),
        (("ir:nowhere.wav",), 3, ("nowhere.wav",)),
        (("kernel:@nowhere.csv",), 3, ("nowhere.csv",)),
        (("@nowhere.conv",), 3, ("nowhere.conv",)),
    ],
)
def test_a_wrong_request_leaves_no_file(
    words: tuple[str, ...], code: int, told: tuple[str, ...], program: Program, tmp_path: Path
) -> None:
    sf.write(tmp_path / "a.wav", tone(440, 8000), 8000, subtype="PCM_16")
    ended = program.run("audio", *words, "a.wav", "-o", "out.wav", cwd=tmp_path)
    assert ended.code == code, ended
    assert len(ended.errors) == 1
    assert all(text in ended.err for text in told), ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_what_is_no_sound(program: Program, tmp_path: Path) -> None:
    for name, data in {
        "text.wav": b"hello, world\n" * 50,
        "empty.wav": b"",
        "head.wav": b"RIFF\x00\x00\x00\x00WAVE",
    }.items():
        (tmp_path / name).write_bytes(data)
        ended = program.run("audio", "kernel:1", name, "-o", "out.wav", cwd=tmp_path)
        assert ended.code == 3, ended
        assert name in ended.errors[0]
        assert program.run("audio", "kernel:1", "-o", "out.wav", stdin=data, cwd=tmp_path).code == 3
    assert not (tmp_path / "out.wav").exists()


# ------------------------------------------------------------------------------------------- values


def test_an_impulse_centred(program: Program, tmp_path: Path) -> None:
    x = np.zeros(9, np.int16)
    x[4] = 1
    sf.write(tmp_path / "x.wav", x, 8000, subtype="PCM_16")
    for step, expected in (("kernel:1,2,3", "000123000"), ("correlate:1,2,3", "000321000")):
        assert program.run("audio", step, "x.wav", "-o", "y.wav", "--force", cwd=tmp_path).code == 0
        assert "".join(map(str, sf.read(tmp_path / "y.wav", dtype="int16")[0])) == expected


def test_an_impulse_response_at_another_rate_keeps_its_gain(
    program: Program, tmp_path: Path
) -> None:
    rates = (8000, 16000)
    for rate in rates:
        h = (
            0.5
            * np.exp(-np.arange(rate // 4) / (rate / 40))
            * (1 + 0.2 * np.cos(np.arange(rate // 4) * 0.1))
        )
        sf.write(tmp_path / f"ir{rate}.wav", h * (400 / rate), rate, subtype="FLOAT")
    sf.write(tmp_path / "speech.wav", tone(200, 8000, 2.0, 0.1), 8000, subtype="FLOAT")
    heard = {}
    for rate in rates:
        ended = program.run(
            "audio", f"ir:ir{rate}.wav", "speech.wav", "-o", f"o{rate}.wav", "-v", cwd=tmp_path
        )
        assert ended.code == 0, ended
        heard[rate] = loudness(sf.read(tmp_path / f"o{rate}.wav")[0])
    assert "16000" in ended.err
    assert "8000" in ended.err
    taps = sf.read(tmp_path / "ir16000.wav")[0]
    gain = abs(np.sum(taps * np.exp(-2j * np.pi * 200 / 16000 * np.arange(len(taps)))))
    assert heard[16000] / loudness(tone(200, 8000, 2.0, 0.1)) == pytest.approx(gain, rel=0.01)


def test_downsampling_a_constant_gives_it_from_the_first_sample_to_the_last(
    program: Program, tmp_path: Path
) -> None:
    x = np.full(1001, 12345, np.int16)
    sf.write(tmp_path / "dc.wav", x, 8000, subtype="PCM_16")
    for edge in ("edge", "shrink", "reflect", "symmetric", "wrap"):
        words = ("audio", "downsample:4", "dc.wav", "-o", f"{edge}.wav", "--edge", edge)
        assert program.run(*words, cwd=tmp_path).code == 0
        y, rate = sf.read(tmp_path / f"{edge}.wav", dtype="int16")
        assert (rate, len(y)) == (2000, 251)
        np.testing.assert_array_equal(y, 12345)


def test_steps_carry_the_rate(program: Program, tmp_path: Path) -> None:
    sf.write(
        tmp_path / "a.wav", tone(200, 16000) + tone(900, 16000, level=0.4), 16000, subtype="PCM_16"
    )
    ended = program.run("audio", "downsample:4 | lowpass:500", "a.wav", "-o", "b.wav", cwd=tmp_path)
    assert ended.code == 0, ended
    y, rate = sf.read(tmp_path / "b.wav")
    assert rate == 4000
    assert loudness(y) == pytest.approx(loudness(tone(200, 4000)), rel=0.01)
    too_high = program.run(
        "audio", "downsample:4 | lowpass:3k", "a.wav", "-o", "c.wav", cwd=tmp_path
    )
    assert too_high.code == 2
    assert "2000 Hz" in too_high.err


def test_resample(program: Program, tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", tone(440, 44100), 44100, subtype="PCM_16")
    for rate, text in ((16000, "16k"), (48000, "48000"), (8000, "8kHz")):
        ended = program.run("audio", f"resample:{text}", "a.wav", "-o", f"{rate}.wav", cwd=tmp_path)
        assert ended.code == 0, ended
        y, got = sf.read(tmp_path / f"{rate}.wav")
        assert got == rate
        assert len(y) == rate
        np.testing.assert_allclose(y[500:-500], tone(440, rate)[500:-500], atol=1e-4)


def test_the_tail_rings_out(program: Program, tmp_path: Path) -> None:
    sf.write(tmp_path / "click.wav", np.r_[np.zeros(99), 0.5], 8000, subtype="PCM_16")
    sf.write(tmp_path / "echo.wav", np.r_[1.0, np.zeros(49), 0.5], 8000, subtype="FLOAT")
    for words, frames in (((), 100), (("--tail",), 150)):
        ended = program.run(
            "audio", "ir:echo.wav", "click.wav", "-o", "out.wav", "--force", *words, cwd=tmp_path
        )
        assert ended.code == 0, ended
        y = sf.read(tmp_path / "out.wav")[0]
        assert len(y) == frames
    assert y[99] == pytest.approx(0.5, abs=1e-4)
    assert y[149] == pytest.approx(0.25, abs=1e-4)


@pytest.mark.parametrize("step", ["downsample:2", "resample:7k", "ir:echo.wav | upsample:2"])
def test_a_tail_rings_out_into_silence_at_another_rate(
    step: str, program: Program, tmp_path: Path
) -> None:
    """Without a tail, the last sample goes on for ever, which keeps the level."""
    silence = np.zeros(3000)
    sound = np.full(1000, 0.5)
    sf.write(tmp_path / "a.wav", sound, 8000, subtype="FLOAT")
    sf.write(tmp_path / "longer.wav", np.r_[sound, silence], 8000, subtype="FLOAT")
    sf.write(tmp_path / "echo.wav", np.r_[1.0, np.zeros(49), 0.5], 8000, subtype="FLOAT")
    runs = (
        ("a.wav", "b.wav", ("--tail",)),
        ("longer.wav", "c.wav", ("--edge", "zero")),
        ("a.wav", "d.wav", ()),
    )
    for source, output, words in runs:
        ended = program.run("audio", step, source, "-o", output, *words, cwd=tmp_path)
        assert ended.code == 0, ended
    tail, longer, plain = (sf.read(tmp_path / name)[0] for name in ("b.wav", "c.wav", "d.wav"))
    assert len(tail) > len(plain)
    np.testing.assert_allclose(tail, longer[: len(tail)], atol=1e-7)
    assert abs(tail[-1]) < 1e-3
    assert plain[-1] == pytest.approx(0.5, abs=0.3)


@pytest.mark.parametrize(
    ("step", "mask"),
    [
        ("gain:1", 0x3F),
        # Front centre, as SoX and FFmpeg write it.
        ("mono", 0x4),
        ("pick:4", 0x4),
        # Picked channels are front left, front right, low frequency, back left and back right.
        ("pick:1,2", 0x3),
        ("pick:1,2,4", 0xB),
        ("pick:5,6", 0x30),
        ("lag:1 | pick:5,6 | gain:2", 0x30),
        # Channels of a file have the order of their speakers, so that this is a plain stereo sound.
        ("pick:6,5", 0x3),
        ("mix:1,0,0,0,0,0;0,1,0,0,0,0", 0x3),
        ("mix:1,0,0,0,0,0;0,1,0,0,0,0;0,0,0,0,0,1", 0),
        # The channels change places, and the speakers stay.
        ("pick:2,1,3,4,5,6", 0x3F),
    ],
)
def test_the_speakers_of_channels(step: str, mask: int, program: Program, tmp_path: Path) -> None:
    sf.write(tmp_path / "in.wav", np.zeros((99, 6)), 8000, format="WAVEX", subtype="PCM_16")
    assert speaker_mask(tmp_path / "in.wav") == 0x3F
    ended = program.run("audio", step, "in.wav", "-o", "out.wav", cwd=tmp_path)
    assert ended.code == 0, ended
    assert speaker_mask(tmp_path / "out.wav") == mask


def speaker_mask(path: Path) -> int:
    """dwChannelMask of the `fmt ` chunk of an extensible WAV."""
    content = path.read_bytes()
    fields = content[content.index(b"fmt ") + 8 :]
    assert fields[:2] == b"\xfe\xff"
    return int.from_bytes(fields[20:24], "little")


def test_blocks_of_a_long_file_join_without_a_seam(program: Program, tmp_path: Path) -> None:
    x = RNG.normal(0, 0.05, 400_000).astype(np.float32)
    sf.write(tmp_path / "long.wav", x, 48000, subtype="FLOAT")
    assert program.run("audio", "gaussian:3", "long.wav", "-o", "out.wav", cwd=tmp_path).code == 0
    t = np.arange(-12, 13)
    g = np.exp(-(t**2) / 18)
    np.testing.assert_allclose(
        sf.read(tmp_path / "out.wav")[0], np.convolve(x, g / g.sum(), "same"), atol=1e-6
    )


# -------------------------------------------------------------------------------------------- pipes


def test_wav_through_pipes_both_ways(tmp_path: Path) -> None:
    data = (SAMPLES / "hello.wav").read_bytes()
    ended = done("audio", "kernel:1", stdin=data, cwd=tmp_path)
    np.testing.assert_array_equal(stored(ended.out), stored(data))
    # What a pipe of unknown length writes into the header: nothing, or all ones.
    for size in (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff"):
        place = data.index(b"data") + 4
        unknown = data[:4] + size + data[8:place] + size + data[place + 4 :]
        got = done("audio", "kernel:1", "-", "-o", "-", stdin=unknown, cwd=tmp_path)
        np.testing.assert_array_equal(stored(got.out), stored(data))
        assert not got.warnings


def test_any_format_comes_from_a_pipe_and_goes_into_one(program: Program, tmp_path: Path) -> None:
    for kind in ("flac", "ogg", "aiff", "mp3"):
        assert (
            program.run(
                "audio", "kernel:1", SAMPLES / "hello.wav", "-o", f"a.{kind}", cwd=tmp_path
            ).code
            == 0
        )
        data = (tmp_path / f"a.{kind}").read_bytes()
        ended = program.run("audio", "gain:-1dB", "--format", kind, stdin=data, cwd=tmp_path)
        assert ended.code == 0, ended
        assert sf.info(io.BytesIO(ended.out)).format.lower() == kind


@peer("sox")
def test_sox_on_both_sides(tmp_path: Path) -> None:
    line = (
        f"sox '{SAMPLES}/hello.wav' -t wav - | convcli audio 'highpass:80 | downsample:2' -o - "
        "| sox -t wav - out.wav && sox out.wav -n stat"
    )
    ended = shell(line, tmp_path)
    assert ended.code == 0, ended
    assert "warning" not in ended.err.lower()
    assert "WARN" not in ended.err
    info = sf.info(tmp_path / "out.wav")
    assert info.samplerate == 11025
    assert info.frames == (sf.info(SAMPLES / "hello.wav").frames + 1) // 2


@peer("ffmpeg")
def test_ffmpeg_before(tmp_path: Path) -> None:
    line = f"ffmpeg -v error -i '{SAMPLES}/hello.wav' -f wav - | convcli audio kernel:1 -o out.wav"
    ended = shell(line, tmp_path)
    assert ended.code == 0, ended
    assert "warning" not in ended.err
    np.testing.assert_array_equal(stored(tmp_path / "out.wav"), stored(SAMPLES / "hello.wav"))
    after = shell(
        f"convcli audio kernel:1 -q '{SAMPLES}/hello.wav' | ffmpeg -v error -i - -f wav back.wav",
        tmp_path,
    )
    assert (after.code, after.err) == (0, "")
    np.testing.assert_array_equal(stored(tmp_path / "back.wav"), stored(SAMPLES / "hello.wav"))


@peer("sox")
def test_a_low_pass_is_as_deep_as_that_of_sox(tmp_path: Path) -> None:
    sf.write(
        tmp_path / "two.wav",
        tone(300, 8000, level=0.4) + tone(3000, 8000, level=0.4),
        8000,
        subtype="FLOAT",
    )
    done("audio", "lowpass:1k", "two.wav", "-o", "ours.wav", cwd=tmp_path)
    assert shell("sox two.wav theirs.wav sinc -1k", tmp_path).code == 0
    ours, theirs = (sf.read(tmp_path / name)[0] for name in ("ours.wav", "theirs.wav"))
    np.testing.assert_allclose(ours[500:-500], theirs[500:-500], atol=2e-3)


def test_a_closed_pipe_ends_the_run_quietly(tmp_path: Path) -> None:
    sf.write(tmp_path / "long.wav", RNG.normal(0, 0.1, 3_000_000), 48000, subtype="PCM_16")
    ended = shell(
        "{ convcli audio lowpass:1k long.wav -o -; echo code $? >&2; } | head -c 50 | wc -c",
        tmp_path,
    )
    assert ended.text.split() == ["50"]
    assert "code 0" in ended.err
    assert not ended.errors


def test_sound_is_not_written_to_a_terminal(tmp_path: Path) -> None:
    leader, follower = os.openpty()
    try:
        ended = subprocess.run(
            [*CONVCLI, "audio", "kernel:1", str(SAMPLES / "hello.wav")],
            stdin=subprocess.DEVNULL,
            stdout=follower,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            check=False,
        )
    finally:
        os.close(leader)
        os.close(follower)
    assert ended.returncode == 2
    assert b"terminal" in ended.stderr


def test_normalize_from_a_pipe(program: Program, tmp_path: Path) -> None:
    ended = program.run(
        "audio", "gain:-12dB | normalize", stdin=(SAMPLES / "hello.wav").read_bytes(), cwd=tmp_path
    )
    assert ended.code == 0, ended
    assert np.max(np.abs(sf.read(io.BytesIO(ended.out))[0])) == pytest.approx(1, abs=1e-4)


# ------------------------------------------------------------------------------------------ reports


def test_the_report_of_a_long_filter_has_all_its_taps_and_its_notch(tmp_path: Path) -> None:
    """Oracle: SciPy's response of the taps that the filter exports."""
    notch = "bandstop:998,1002,width=2"
    for name in ("a.wav", "b.wav"):
        sf.write(tmp_path / name, np.zeros(100), 22050, subtype="PCM_16")
    done("filters", notch, "--rate", "22050", "--export", "taps.npy", cwd=tmp_path)
    words = ("audio", notch, "a.wav", "b.wav", "-o", "out/", "--report")
    done(*words, "facts.json", cwd=tmp_path)
    done(*words, "facts.html", "--force", cwd=tmp_path)
    facts = json.loads((tmp_path / "facts.json").read_text())
    taps = np.load(tmp_path / "taps.npy").ravel()
    (step,) = facts["steps"]
    assert step["taps"] == taps.size > 40_000
    np.testing.assert_array_equal(step["weights"], taps)
    frequencies, gain = np.array(step["response"]).T
    assert len(gain) < 1_700
    assert (frequencies[0], frequencies[-1]) == (0, 11025)
    assert abs(frequencies[gain.argmin()] - 1000) < 2
    expected = 20 * np.log10(np.abs(freqz(taps, worN=frequencies, fs=22050)[1]))
    loud = gain > -60
    np.testing.assert_allclose(gain[loud], expected[loud], atol=1e-4)
    assert gain.min() < -60
    assert [run["steps"] for run in facts["runs"]] == [None, None]
    page = (tmp_path / "facts.html").read_text()
    # The filter of both inputs is drawn once, the waveforms of each input by themselves.
    waveforms = ["before", "after", "difference"]
    design = [
        "Impulse response",
        "Step response",
        "Gain in dB over a logarithmic axis",
        "Gain",
    ]
    assert re.findall("<figcaption>(.*?)</figcaption>", page) == waveforms + design + waveforms
    assert page.count("<figure>") == 10


def test_the_report_says_what_was_done(program: Program, tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", np.full(400, 0.9), 8000, subtype="PCM_16")
    words = ("audio", "lowpass:1k | gain:6dB | downsample:2", "a.wav", "-o", "b.wav", "--force")
    for name in ("f.json", "f.html", "f.md"):
        ended = program.run(*words, "--report", name, cwd=tmp_path)
        assert ended.code == 0, ended
    facts = json.loads((tmp_path / "f.json").read_text())
    assert facts["inputs"][0]["path"] == "a.wav"
    assert facts["inputs"][0]["shape"] == [400]
    assert facts["inputs"][0]["rate"] == 8000
    assert facts["outputs"][0]["shape"] == [200]
    assert facts["outputs"][0]["rate"] == 4000
    first = facts["steps"][0]
    assert first["text"] == "lowpass:1k"
    assert first["sum"] == pytest.approx(1, abs=1e-12)
    assert first["taps"] == 2 * first["look_ahead"] + 1
    assert first["delay"] == pytest.approx(0, abs=1e-9)
    assert sum(facts["losses"]["clipped"].values()) > 100
    assert facts["losses"]["edge_affected"] > 0
    assert any("clipped" in warning for warning in facts["warnings"])
    for name in ("f.html", "f.md"):
        text = (tmp_path / name).read_text()
        assert "lowpass:1k" in text
        assert "clipped" in text
    assert re.search(r"https?://(?!www\.w3\.org)", (tmp_path / "f.html").read_text()) is None
    bad = program.run(*words, "--report", "f.pdf", cwd=tmp_path)
    assert bad.code == 2
    assert ".json" in bad.err


def test_a_recipe_file(program: Program, tmp_path: Path) -> None:
    (tmp_path / "phone.conv").write_text(
        "# a telephone\nhighpass:300   # no rumble\nlowpass:3.4k | downsample:2\n"
    )
    ended = program.run("audio", "@phone.conv", SAMPLES / "hello.wav", "-o", "a.wav", cwd=tmp_path)
    assert ended.code == 0, ended
    same = program.run(
        "audio",
        "highpass:300|lowpass:3.4k|downsample:2",
        SAMPLES / "hello.wav",
        "-o",
        "b.wav",
        cwd=tmp_path,
    )
    assert same.code == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    (tmp_path / "bad.conv").write_text("highpass:300\nlowpss:3k\n")
    wrong = program.run("audio", "@bad.conv", SAMPLES / "hello.wav", "-o", "c.wav", cwd=tmp_path)
    assert wrong.code == 2
    assert "lowpss:3k" in wrong.err
    assert "did you mean lowpass:3k?" in wrong.err


def test_several_files_and_one_that_fails(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        sf.write(tmp_path / name, tone(440, 8000, 0.1), 8000, subtype="PCM_16")
    (tmp_path / "bad.wav").write_bytes(b"no sound at all")
    words = (
        "audio",
        "downsample:2",
        "a.wav",
        "bad.wav",
        "b.wav",
        "-o",
        "out/{stem}_2{suffix}",
        "--jobs",
        "2",
    )
    ended = run(*words, "--format", "flac", cwd=tmp_path)
    assert ended.code == 3, ended
    assert len(ended.errors) == 1
    assert "bad.wav" in ended.errors[0]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_2.flac", "b_2.flac"]
    assert sf.info(tmp_path / "out/a_2.flac").samplerate == 4000


# -------------------------------------------------------------------------------- pools at the end


@pytest.mark.parametrize(
    ("step", "last"),
    [
        ("avg_pool:4", (0.4 + 3 * 0.6) / 4),
        ("min_pool:4", 0.4),
        ("max_pool:4 | gain:-1", -0.6),
        ("median_pool:4", 0.6),
        ("first_pool:4", 0.4),
        ("last_pool:4", 0.6),
        ("square | avg_pool:4 | sqrt", np.sqrt((0.4**2 + 3 * 0.6**2) / 4)),
        ("sum_pool:4", 1.0),
    ],
)
def test_a_pool_that_the_end_cuts_off_holds_no_silence(
    tmp_path: Path, step: str, last: float
) -> None:
    # The window holds 0.4 and 0.6, and the nearest sample twice; sum_pool adds up what is there.
    x = np.array([0.1, 0.2, 0.3, 0.4, 0.4, 0.6])
    sf.write(tmp_path / "in.wav", x, 8000, subtype="DOUBLE")
    done("audio", step, "in.wav", "-o", "out.wav", cwd=tmp_path)
    assert sf.read(tmp_path / "out.wav")[0][-1] == pytest.approx(last, abs=1e-12)
