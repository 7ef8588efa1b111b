"""Whatever is asked, and whatever the input holds: an exit code of the contract, one `error:` line, no traceback."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program import SAMPLES, Program

if TYPE_CHECKING:
    from pathlib import Path

    from program import Done

FEW = settings(
    max_examples=50,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NAMES = """
kernel correlate ir box sma wma ema gaussian triangle binomial hann savgol lowpass highpass bandpass bandstop diff
gradient laplacian laplacian_of_gaussian dog sobel sharpen emboss motion disk gabor downsample stride resample resize
avg_pool max_pool adaptive_avg_pool global_avg_pool relu leaky_relu log exp gain offset clip normalize nonsense
""".split()  # noqa: SIM905 -- a list of words is read more easily as one
VALUES = [
    "0",
    "-1",
    "1",
    "3",
    "2.5",
    "1e9",
    "1e400",
    "nan",
    "inf",
    "1k",
    "20ms",
    "-6dB",
    "50%",
    "5d",
    "3px",
    "3x4",
    "0x0",
]
VALUES += [
    "true",
    "x",
    "abc",
    '"a,b"',
    '"',
    "@none.csv",
    "@.",
    "width=1",
    "taps=0",
    "phase=minimum",
    "axis=y",
    "=",
    "é",
    "",
]

# No medium knows what these mean.
WRONG = [
    "", " ", "|", "||", "box", "box:", "box:,", "box:3,", "box:3|", "|box:3", "box:3||box:3", "box:3 box:3",
    "box::3", "box:0", "box:-1", "box:2.5", "box:1e9", "box:99999999999999999999", "box:nan", "box:inf", "box:3,4",
    "box:n=3,n=4", "box:m=3", "box:3;4", 'box:"3', 'box:"3"x', "3", ":3", "box:3k", "box:3dB", "box:3 px px",
    "\uff42ox:3", "box:\uff13", "b\x00x", "kernel", "kernel:", "kernel:a", "kernel:1,,2", "kernel:1;2,3",
    "kernel:nan", "kernel:inf,1", "kernel:1e400", "kernel:0,normalize=true", "kernel:1,-1,normalize=true",
    "kernel:@", "kernel:@/", "kernel:@/dev/null", "kernel:@a.wav",
    "@", "@none", "@.", "@a.wav", "@/dev/null", "conv:3", "BOX:3", "box :3", "--help", "-1",
]  # fmt: skip
# Numbers that steps refuse, or that lead far.
EXTREME = [
    "box:1e9", "lowpass:0", "lowpass:-1", "lowpass:0.5",
    "lowpass:0.7", "lowpass:0.1,width=0", "lowpass:0.1,width=9", "lowpass:1e-9", "lowpass:0.1,taps=0",
    "lowpass:0.1,taps=1e12", "lowpass:0.1,attenuation=-5", "lowpass:0.1,attenuation=999",
    "lowpass:0.1,method=magic", "lowpass:0.1,phase=wrong", "lowpass:0.1,taps=2.5", "bandpass:0.2,0.1",
    "bandpass:0.1", "bandpass:0.1,0.1", "highpass:0", "bandstop:0.1,0.2,0.3", "savgol:5,9", "savgol:4,2",
    "savgol:5,2,deriv=9", "gaussian:0", "gaussian:-1", "gaussian:1e9", "gaussian:1e-300", "gaussian:nan", "ema",
    "ema:alpha=0", "ema:alpha=2", "ema:alpha=1e-12", "ema:span=0", "ema:span=3,alpha=0.5", "ema:halflife=-1",
    "dog:2,1", "dog:1,1", "diff:0", "diff:1e12", "stride:0", "stride:1e18", "downsample:0", "downsample:1e6",
    "avg_pool:0", "max_pool:3,stride=0", "avg_pool:3x3", "adaptive_avg_pool:0", "adaptive_max_pool:1e9",
    "global_avg_pool:2", "leaky_relu:x", "clip:2,1", "clip:1", "gain:loud", "offset:1e400", "log:2", "normalize:9",
    "resample:0", "resample:-8k", "resample:1e9", "notch:0.25 | 0 * x | diff:1", "resize:0%", "resize:0x0", "resize", "ir", "ir:", "ir:.", "ir:a.csv",
    "ir:/dev/null", "sobel:z", "motion:1e9", "disk:-3", "gabor:", "emboss:x", "binomial:99999",
    "model:none.safetensors",
]  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small input of each medium."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "a.csv").write_text(
        "t,x,y\n" + "".join(f"r{i},{i * i % 7},{i}.5\n" for i in range(40))
    )
    sf.write(
        folder / "a.wav",
        np.random.default_rng(1).uniform(-0.5, 0.5, (300, 2)),
        8000,
        subtype="PCM_16",
    )
    (folder / "a.ppm").write_bytes(b"P6 9 7 255\n" + bytes(range(189)))
    return folder


def lawful(ended: Done) -> None:
    """The exit code is one of the contract's, and says so in one line."""
    assert ended.code in {0, 1, 2, 3, 4}, ended
    assert len(ended.errors) == (ended.code > 0), ended
    if ended.code > 1:
        assert ended.out == b"" or ended.code == 3, ended


@pytest.mark.parametrize("name", ["a.csv", "a.wav", "a.ppm"])
@pytest.mark.parametrize("part", range(4))
def test_filters_that_make_no_sense(name: str, part: int, program: Program, inputs: Path) -> None:
    command = {"a.csv": "csv", "a.wav": "audio", "a.ppm": "image"}[name]
    for text in EXTREME[part::4]:
        lawful(program.run(command, "--", text, name, cwd=inputs))


def test_what_does_not_mean_anything_is_refused(program: Program, inputs: Path) -> None:
    meant = {"box:3k", "box:\uff13", "box :3", "kernel:0,normalize=true"}
    for text in WRONG:
        ended = program.run("csv", "--", text.replace("\x00", "\x01"), "a.csv", cwd=inputs)
        lawful(ended)
        assert ended.code != 0 or text in meant, ended


def test_numbers_out_of_range_are_no_defect(program: Program, inputs: Path) -> None:
    for words in (
        ("csv", "exp | exp | exp", "a.csv"),
        ("csv", "log", "a.csv"),
        ("csv", "gain:300dB | gain:300dB", "a.csv"),
        ("csv", "offset:1e308 | gain:20", "a.csv"),
        ("audio", "gain:400dB", "a.wav"),
        ("audio", "log", "a.wav"),
        ("image", "exp | exp", "a.ppm"),
        ("image", "log", "a.ppm", "--range", "scale"),
        ("image", "kernel:1e308,1e308", "a.ppm"),
    ):
        lawful(program.run(*words, cwd=inputs))


@pytest.mark.parametrize(
    "words",
    [
        ("csv",),
        ("csv", "box:3", "a.csv", "b.csv", "--time"),
        ("csv", "box:3", "a.csv", "-c", ""),
        ("csv", "box:3", "a.csv", "--by", ""),
        ("csv", "box:3", "a.csv", "--time", "t"),
        ("csv", "box:3", "a.csv", "--encoding", ""),
        ("csv", "box:3", "a.csv", "--encoding", "base64"),
        ("csv", "box:3", "a.csv", "--encoding", "\udcff"),
        ("csv", "box:3", "a.csv", "--encoding", "utf-16"),
        ("csv", "box:3", "a.csv", "--encoding", "idna"),
        ("csv", "box:3", "a.csv", "--decimals", "99"),
        ("csv", "box:3", "a.csv", "--jobs", "0"),
        ("csv", "box:3", "a.csv", "--threads", "-1"),
        ("csv", "box:3", "a.csv", "--threads", "9999"),
        ("csv", "box:3", "a.csv", "--report", "a.csv"),
        ("csv", "box:3", "a.csv", "--report", ""),
        ("csv", "box:3", "a.csv", "--report", "/"),
        ("csv", "box:3", "a.csv", "--report", "none/r.json"),
        ("csv", "box:3", "a.csv", "--edge", ""),
        ("csv", "box:3", "a.wav"),
        ("csv", "box:3", "a.csv", "a.csv", "-o", "out/"),
        ("csv", "box:3", "-", "-", "-o", "out/{index}"),
        ("audio", "box:3", "a.csv"),
        ("audio", "box:3", "a.wav", "--seed", "-1"),
        ("audio", "box:3", "a.wav", "--subtype", ""),
        ("audio", "box:3", "a.wav", "--format", ""),
        ("audio", "box:3", "a.wav", "--format", "raw"),
        ("audio", "box:3", "a.wav", "--format", "mp3", "--subtype", "pcm_24"),
        ("audio", "resample:7", "a.wav", "--format", "mp3"),
        ("audio", "resample:16k", "a.wav", "--format", "opus", "--subtype", "pcm_16"),
        ("image", "box:3", "a.wav"),
        ("image", "box:3", "a.ppm", "--format", ""),
        ("image", "box:3", "a.ppm", "--format", "svg"),
        ("image", "box:3", "a.ppm", "--max-pixels", "0"),
        ("image", "resize:99999x99999", "a.ppm", "--dry-run"),
        ("filters", "box:3", "--rate", ""),
        ("filters", ""),
        ("filters", "|"),
        ("filters", "model:x"),
        ("filters", "box:3", "more"),
        ("learn", "a.wav"),
        ("explain", "1,2,3", "1,2"),
        ("detect",),
        ("--version", "--help"),
    ],
)
def test_command_lines_that_make_no_sense(
    words: tuple[str, ...], program: Program, inputs: Path
) -> None:
    before = (inputs / "a.csv").read_bytes()
    ended = program.run(*words, stdin=b"x\n1\n", cwd=inputs)
    assert ended.code in {0, 1, 2, 3, 4}, ended
    assert (len(ended.errors) >= 1) == (ended.code > 0), ended
    assert (inputs / "a.csv").read_bytes() == before


step = st.builds(
    lambda name, values: f"{name}:{','.join(values)}" if values else name,
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(VALUES), max_size=3),
)


@FEW
@given(
    steps=st.lists(step, min_size=1, max_size=3), name=st.sampled_from(["a.csv", "a.wav", "a.ppm"])
)
def test_random_chains(steps: list[str], name: str, program: Program, inputs: Path) -> None:
    command = {"a.csv": "csv", "a.wav": "audio", "a.ppm": "image"}[name]
    lawful(program.run(command, "--", " | ".join(steps), name, cwd=inputs))


@FEW
@given(
    text=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)
)
def test_random_text_as_filter(text: str, program: Program, inputs: Path) -> None:
    lawful(program.run("csv", "--", text, "a.csv", cwd=inputs))


@FEW
@given(
    data=st.binary(max_size=200)
    | st.text(st.sampled_from('1,.;\t"\r\n -x\xe9\ufeff'), max_size=60).map(
        lambda text: text.encode("utf-8")
    ),
    words=st.sampled_from(
        [
            (),
            ("--no-header",),
            ("-d", ";"),
            ("--decimal", ","),
            ("--encoding", "latin-1"),
            ("--follow",),
        ]
    ),
)
def test_random_bytes_as_a_table(
    data: bytes, words: tuple[str, ...], program: Program, inputs: Path
) -> None:
    lawful(program.run("csv", "box:2", *words, stdin=data, cwd=inputs))


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """`whole` with some bytes changed, cut off or put in."""
    spots = st.lists(
        st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), min_size=1, max_size=6
    )

    def changed(spots: list[tuple[int, int]], end: int) -> bytes:
        data = bytearray(whole)
        for place, value in spots:
            data[place] = value
        return bytes(data[:end])

    return st.builds(changed, spots, st.integers(0, len(whole)) | st.just(len(whole)))


def sound(kind: str) -> bytes:
    file = io.BytesIO()
    sf.write(file, np.random.default_rng(2).uniform(-0.5, 0.5, (64, 2)), 8000, format=kind)
    return file.getvalue()


SOUNDS = [sound(kind) for kind in ("WAV", "FLAC", "AIFF", "OGG", "AU")]


@FEW
@given(data=st.binary(max_size=100) | st.one_of([damaged(whole[:300]) for whole in SOUNDS]))
def test_random_bytes_as_a_sound(data: bytes, program: Program, inputs: Path) -> None:
    lawful(program.run("audio", "box:3", stdin=data, cwd=inputs))


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = zlib.compress(b"".join(b"\x00" + bytes(range(21)) for _ in range(5)))
    header = struct.pack(">IIBBBBB", 7, 5, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


PICTURES = [
    png(),
    b"P6 4 4 255\n" + bytes(48),
    b"P5 # c\n4 4 65535\n" + bytes(32),
    (SAMPLES / "hole.png").read_bytes()[:600],
]


@FEW
@given(data=st.binary(max_size=100) | st.one_of([damaged(whole) for whole in PICTURES]))
def test_random_bytes_as_a_picture(data: bytes, program: Program, inputs: Path) -> None:
    lawful(
        program.run(
            "image", "box:3", "--max-pixels", "1000000", "--format", "ppm", stdin=data, cwd=inputs
        )
    )


TAPS = ",".join(map(str, range(1, 90)))
LONG = "a" * 300


@pytest.mark.parametrize("name", ["a.csv", "a.wav", "a.ppm"])
def test_a_filter_longer_than_a_file_name(name: str, program: Program, inputs: Path) -> None:
    command = {"a.csv": "csv", "a.wav": "audio", "a.ppm": "image"}[name]
    assert program.run(command, f"kernel:{TAPS}", name, "-o", f"long-{name}", cwd=inputs).code == 0
    for text in (f"kernel:@{LONG}.csv", f"ir:{LONG}.wav", f"model:{LONG}.safetensors"):
        lawful(program.run(command, text, name, cwd=inputs))


def test_names_longer_than_a_file_has(program: Program, inputs: Path) -> None:
    ended = program.run("explain", TAPS, "1,2", cwd=inputs)
    assert ended.code == 0, ended
    for words in (
        ("csv", "box:2", "a.csv", "--report", f"{TAPS}.html"),
        ("csv", "box:2", "a.csv", "-o", f"{TAPS}.csv"),
        ("csv", "box:2", "a.csv", TAPS, "-o", TAPS),
        ("learn", TAPS, "a.csv", "-o", "m.safetensors"),
        ("filters", "show", "box:2", "--export", f"{TAPS}.csv"),
    ):
        lawful(program.run(*words, cwd=inputs))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("audio box:3 a.wav -o b.wav --tail --edge shrink", "--tail and --edge shrink contradict"),
        ("audio box:3 a.wav -o b.wav --tail --edge valid", "--tail and --edge valid contradict"),
        ("csv box:3 a.csv --skip-existing", "--skip-existing skips inputs whose output exists"),
        ("csv box:3 a.csv -o - --skip-existing", "--skip-existing skips inputs whose output"),
        ("csv box:3 a.csv --causal-check --format parquet", "--causal-check writes no data"),
        ("detect a.wav a.wav -o b.csv --format json", "--format json and the output b.csv"),
        ("detect a.wav a.wav -o b.json --format csv", "--format csv and the output b.json"),
    ],
)
def test_options_without_effect_are_refused(
    words: str, told: str, program: Program, inputs: Path
) -> None:
    ended = program.run(*words.split(), cwd=inputs)
    lawful(ended)
    assert ended.code == 2, ended
    assert told in ended.errors[0]
    assert not list(inputs.glob("b.*"))


@pytest.mark.parametrize("name", ["@" + LONG, f"@{LONG}:3", f"sma:2 | @{LONG}"])
def test_recipes_with_names_longer_than_a_file_has(
    name: str, program: Program, inputs: Path
) -> None:
    ended = program.run("csv", name, "a.csv", cwd=inputs)
    lawful(ended)
    assert ended.code in (2, 3), ended


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("filters lowpass:1 --rate 1e300", "2.15e+301 taps"),
        ("filters ema:alpha=1e-200", "e+201 taps"),
        ("filters sma:1e300s --rate 1e300", "expected at most 2,147,483,648 samples"),
        ("filters std:5,ddof=1e300", "got 1.00e+300"),
        ("audio resample:1e300 a.wav", "1.00e+300 Hz"),
        ("audio upsample:1e9 a.wav", "a factor of 1,000,000,000 needs 50,174,094,708 taps"),
        ("image upsample:1e9 a.ppm", "a factor of 1,000,000,000 needs"),
        ("image upsample:3,attenuation=60 a.ppm", "attenuation= is for sound and tables"),
        ("image downsample:3,attenuation=60 a.ppm", "attenuation= is for sound and tables"),
        ("image disk:1e300 a.ppm", "needs infinitely many taps"),
        ("image sharpen:0.5,sigma=1e300 a.ppm", "needs infinitely many taps"),
        ("image motion:1e300,1e300 a.ppm", "needs infinitely many taps"),
        ("image gabor:6,45,sigma=1e-300 a.ppm", "sigma must be at least 0.1 pixels"),
        ("image gabor:6,45,aspect=1e-320 a.ppm", "needs infinitely many taps"),
        ("image resize:1e300% a.ppm", "a side is enlarged to at most 4,194,304"),
        ("csv sma:" + "x" * 5000 + " a.csv", "expected a number, got 'xxxx"),
    ],
)
def test_enormous_numbers_and_texts_are_told_in_a_line(
    words: str, told: str, program: Program, inputs: Path
) -> None:
    ended = program.run(*words.split(), cwd=inputs)
    lawful(ended)
    assert ended.code == 2, ended
    assert told in ended.errors[0]
    assert len(ended.errors[0]) < 300
    assert "width=" not in ended.err or "lowpass" in words


@pytest.mark.parametrize("name", ["a.wav", "a.ppm"])
def test_the_logarithm_of_nothing_is_bad_input_in_every_medium(
    name: str, program: Program, inputs: Path
) -> None:
    command = {"a.wav": "audio", "a.ppm": "image"}[name]
    ended = program.run(command, "gain:0 | log", name, "-o", f"log-{name}", cwd=inputs)
    assert ended.code == 3, ended
    assert "not a number" in ended.err
