"""Taps that the user gives: in place, from files of numbers, from sound files."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest
import scipy.signal
import soundfile

from convcli import apply
from convcli.core.kernel import Kernel
from convcli.designs.given_taps import TapsText, correlate, ir, kernel
from convcli.designs.registry import find
from convcli.errors import InputError, RequestError
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.signals import TABLE, Signal
from convcli.units import Kind, UnitError

if TYPE_CHECKING:
    from pathlib import Path

Samples = np.ndarray[Any, Any]

SOUND = Signal(medium=AUDIO, shape=(None,), channels=("left",), rate=8000)
ROWS = Signal(medium=TABLE, shape=(None,), channels=("x",))
PICTURE = Signal(medium=IMAGE, shape=(9, 9), channels=("Y",))


def taps_of(text: str, signal: Signal = SOUND) -> Samples:
    kind = next(extra for extra in get_args(TapsText) if isinstance(extra, Kind))
    taps = kind.convert(text, signal)
    assert isinstance(taps, np.ndarray)
    return taps


def test_rows_of_taps_are_split_by_semicolons_on_a_picture() -> None:
    assert taps_of("0, -1,0 ; -1,5,-1;0,-1,0", PICTURE).tolist() == [
        [0, -1, 0],
        [-1, 5, -1],
        [0, -1, 0],
    ]


def test_one_row_is_flat_on_sound_and_lies_along_x_on_a_picture() -> None:
    assert taps_of("1,2,1e-1").tolist() == [1, 2, 0.1]
    assert taps_of("1,2,1", PICTURE).tolist() == [[1, 2, 1]]
    assert taps_of("1;2;1", PICTURE).tolist() == [[1], [2], [1]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "got nothing"),
        ("1,,2", "got nothing"),
        ("1,2,", "got nothing"),
        ("1,two", "'two'"),
        ("1,nan", "'nan'"),
        ("inf", "'inf'"),
        ("1e999", "finite"),
        ("1e308,1e308", "more than the largest number"),
        ("1,2ms", "plain number"),
        ("1,2;3", "row 2 has 1 taps, row 1 has 2"),
    ],
)
def test_bad_taps_are_named(text: str, said: str) -> None:
    with pytest.raises(UnitError, match=said):
        taps_of(text, PICTURE)


@pytest.mark.parametrize("text", ["1,2;3,4", "1;2"])
def test_two_dimensional_taps_need_a_picture(text: str) -> None:
    with pytest.raises(UnitError, match="needs a picture; this signal has one axis of rows"):
        taps_of(text, ROWS)


@pytest.mark.parametrize("suffix", ["csv", "txt", "npy"])
@pytest.mark.parametrize("shape", [(5,), (1, 5), (5, 1), (3, 4)])
def test_tap_files_round_trip(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    wanted = np.random.default_rng(1).normal(size=shape)
    path = tmp_path / f"taps.{suffix}"
    if suffix == "npy":
        np.save(path, wanted)
    else:
        between = "," if suffix == "csv" else " "
        path.write_text(
            "\n".join(between.join(map(repr, row)) for row in np.atleast_2d(wanted).tolist())
        )
    on_picture = taps_of(f"@{path}", PICTURE)
    assert np.array_equal(on_picture, np.atleast_2d(wanted))
    if 1 in shape or len(shape) == 1:
        assert np.array_equal(taps_of(f"@{path}"), wanted.ravel())
    else:
        with pytest.raises(UnitError, match="3x4"):
            taps_of(f"@{path}")


def test_text_files_may_have_comments_blank_lines_tabs_and_a_byte_order_mark(
    tmp_path: Path,
) -> None:
    path = tmp_path / "taps.txt"
    path.write_bytes(b"\xef\xbb\xbf# made by hand\r\n1\t2 , 3\r\n\r\n4; 5  6 # the last\r\n")
    assert taps_of(f"@{path}", PICTURE).tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"1,2\n3,x\n", "line 2, column 2: expected a number, got 'x'"),
        ("a.csv", b"1,2\n3\n", "line 2: 1 taps, 2 in the lines before"),
        ("a.csv", b"1,nan\n", "tap 1, 2 is not finite"),
        ("a.csv", b"# nothing\n", "holds no taps"),
        ("a.csv", b"\xff\xfe1", "expected text"),
        ("a.npy", b"", "not an array"),
        ("a.npy", b"1,2,3", "not an array"),
        (
            "a.npy",
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999,)}\n",
            "not an",
        ),
        ("a.json", b"[1]", "one of .csv, .txt, .npy"),
    ],
)
def test_bad_tap_files_are_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        taps_of(f"@{path}", PICTURE)
    assert str(path) in caught.value.message


def test_files_that_are_not_there_or_no_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        taps_of(f"@{tmp_path}/nothing.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is not a file"):
        taps_of(f"@{tmp_path}/folder.csv")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="not an array"):
        taps_of(f"@{tmp_path}/object.npy")
    for name, array in (
        ("complex", np.array([1j])),
        ("cube", np.zeros((2, 2, 2))),
        ("point", np.float64(3)),
    ):
        np.save(tmp_path / f"{name}.npy", array)
        with pytest.raises(InputError, match="expected one or two dimensions of real numbers"):
            taps_of(f"@{tmp_path}/{name}.npy")


def test_a_kernel_leaves_the_array_of_the_caller_alone() -> None:
    taps = np.array([1.0, 2.0])
    made = Kernel(taps=taps)
    taps[0] = 5
    assert made.taps.tolist() == [1, 2]


def test_kernel_is_flipped_and_correlate_is_not() -> None:
    impulse = np.eye(1, 9, 4)[0]
    true, pre_flipped = kernel(np.array([1.0, 2, 3])), correlate(np.array([1.0, 2, 3]))
    assert true.taps.tolist() == [1, 2, 3]
    assert true.centre == (1,)
    assert np.convolve(impulse, true.taps)[1:-1].tolist() == [0, 0, 0, 1, 2, 3, 0, 0, 0]
    assert np.convolve(impulse, pre_flipped.taps)[1:-1].tolist() == [0, 0, 0, 3, 2, 1, 0, 0, 0]


def test_the_callers_array_stays_writable() -> None:
    mine = np.array([1.0, 2.0])
    made = kernel(mine)
    mine[0] = 5
    assert made.taps.tolist() == [1, 2]


def test_normalize_divides_by_the_sum() -> None:
    assert kernel(np.array([1.0, 2, 1]), normalize=True).divisor == 4
    assert correlate(np.array([[1.0, 2], [3, 4]]), normalize=True).divisor == 10
    with pytest.raises(RequestError, match="sum to 0"):
        kernel(np.array([0.1, 0.2, -0.3]), normalize=True)


def write(path: Path, samples: Samples, rate: int) -> str:
    soundfile.write(path, samples, rate, subtype="DOUBLE")
    return str(path)


def test_a_response_at_the_signals_rate_is_taken_as_it_is(tmp_path: Path) -> None:
    samples = np.random.default_rng(2).normal(size=50)
    made = ir(write(tmp_path / "a.wav", samples, 8000), signal=SOUND)
    assert np.array_equal(made.taps, samples)
    assert made.centre == (0,)
    assert made.note == ""


@pytest.mark.parametrize("own_rate", [16000, 44100, 4000, 96000, 8001])
def test_a_response_at_another_rate_keeps_its_gain_and_its_time(
    tmp_path: Path, own_rate: int
) -> None:
    n = np.arange(own_rate // 10)
    noise = np.random.default_rng(3).normal(size=n.size) * np.exp(-n / own_rate * 80)
    noise[0] = 5
    made = ir(write(tmp_path / "a.wav", noise, own_rate), signal=SOUND)
    k = np.arange(made.taps.size) - made.centre[0]
    for hertz in (0, 100, 500, 1000, 0.42 * min(own_rate, 8000)):
        before = (noise * np.exp(-2j * np.pi * hertz * n / own_rate)).sum()
        after = (made.taps * np.exp(-2j * np.pi * hertz * k / 8000)).sum()
        assert after == pytest.approx(before, rel=1e-3, abs=1e-3)
    assert f"from {own_rate} Hz to 8000 Hz, gain kept" in made.note


def test_the_ringing_of_the_converter_before_time_0_is_short(tmp_path: Path) -> None:
    made = ir(write(tmp_path / "a.wav", np.eye(1, 100)[0], 16000), signal=SOUND)
    assert made.taps.sum() == pytest.approx(1, abs=1e-5)
    assert int(np.argmax(np.abs(made.taps))) == made.centre[0]
    assert made.centre[0] < 400


def test_wet_mixes_the_signal_as_it_came(tmp_path: Path) -> None:
    made = ir(write(tmp_path / "a.wav", np.array([1.0, 0.5]), 8000), wet=0.25, signal=SOUND)
    assert made.taps.tolist() == [1.0, 0.125]
    with pytest.raises(RequestError, match="wet must be in 0"):
        ir(str(tmp_path / "a.wav"), wet=1.5, signal=SOUND)


def test_normalize_makes_the_energy_1(tmp_path: Path) -> None:
    made = ir(write(tmp_path / "a.wav", np.array([3.0, 4.0]), 8000), normalize=True, signal=SOUND)
    assert math.fsum(made.taps**2) == pytest.approx(1)
    with pytest.raises(InputError, match="silent"):
        ir(write(tmp_path / "b.wav", np.zeros(5), 8000), normalize=True, signal=SOUND)


def test_a_silent_response_at_another_rate(tmp_path: Path) -> None:
    assert not ir(write(tmp_path / "a.wav", np.zeros(50), 16000), signal=SOUND).taps.any()


def test_channels_are_picked_not_mixed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.array([[1.0, 2.0], [3.0, 4.0]]), 8000)
    assert ir(path, channel=2, signal=SOUND).taps.tolist() == [2, 4]
    both = ir(path, signal=SOUND)
    assert [kernel.taps.tolist() for kernel in both.kernels] == [[1, 3], [2, 4]]
    with pytest.raises(RequestError, match="2 channels and the signal 3"):
        ir(path, signal=replace(SOUND, channels=("1", "2", "3")))
    for channel in (0, 3):
        with pytest.raises(RequestError, match="not"):
            ir(path, channel=channel, signal=SOUND)


def test_bad_responses_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        ir(str(tmp_path / "no.wav"), signal=SOUND)
    (tmp_path / "text.wav").write_text("not a sound")
    with pytest.raises(InputError, match="cannot be read as a sound file"):
        ir(str(tmp_path / "text.wav"), signal=SOUND)
    with pytest.raises(InputError, match="holds no samples"):
        ir(write(tmp_path / "empty.wav", np.zeros(0), 8000), signal=SOUND)
    with pytest.raises(InputError, match=r"at 0.00025 s is not finite"):
        ir(write(tmp_path / "nan.wav", np.array([1, 2, np.nan]), 8000), signal=SOUND)
    for signal in (ROWS, PICTURE):
        with pytest.raises(RequestError, match="sampling rate"):
            ir(str(tmp_path / "no.wav"), signal=signal)


def test_the_steps_say_how_they_are_written() -> None:
    assert find("kernel").usage == "kernel:TAPS[,normalize=true|false]"
    assert find("ir").usage == "ir:PATH[,wet=WET][,normalize=true|false][,channel=CHANNEL]"


@pytest.mark.parametrize("count", range(1, 8))
def test_correlate_centred_is_numpys_and_scipys_and_the_reversed_kernel(count: int) -> None:
    taps = np.arange(1.0, count + 1)
    x = np.random.default_rng(count).integers(-9, 10, 20).astype(float)
    text = ",".join(f"{tap:g}" for tap in taps)
    reverse = ",".join(f"{tap:g}" for tap in taps[::-1])
    y = apply(f"correlate:{text}", x)
    assert y.tolist() == np.correlate(x, taps, "same").tolist()
    assert y.tolist() == scipy.signal.correlate(x, taps, "same", "direct").tolist()
    assert y.tolist() == apply(f"kernel:{reverse}", x).tolist()


def test_correlate_of_an_even_kernel_by_hand() -> None:
    x = np.zeros(9)
    x[4] = 1
    assert apply("correlate:1,2,3,4", x).tolist() == [0, 0, 0, 4, 3, 2, 1, 0, 0]


@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (3, 4), (4, 1), (1, 2)])
def test_correlate_of_a_plane_is_scipys(shape: tuple[int, int]) -> None:
    taps = np.arange(1.0, 1 + math.prod(shape)).reshape(shape)
    x = np.random.default_rng(1).integers(-9, 10, (7, 8)).astype(float)
    text = ";".join(",".join(f"{tap:g}" for tap in row) for row in taps)
    expected = scipy.signal.correlate(x, taps, "same", "direct")
    assert apply(f"correlate:{text}", x, axes=2).tolist() == expected.tolist()


@pytest.mark.parametrize("missing", ["keep", "fill", "propagate"])
@pytest.mark.parametrize("step", ["kernel", "correlate"])
@pytest.mark.parametrize(("taps", "axes"), [("1,2", 1), ("1,2,4", 1), ("1,2;3,4", 2)])
def test_weights_are_judged_after_the_division(
    step: str, taps: str, axes: int, missing: Any
) -> None:
    negative = taps.replace(",", ",-").replace(";", ";-")
    x = np.random.default_rng(2).uniform(1, 2, (9, 9))
    x[4, 3:5] = np.nan
    one = apply(f"{step}:{taps},normalize=true", x, axes=axes, missing=missing)
    other = apply(f"{step}:-{negative},normalize=true", x, axes=axes, missing=missing)
    np.testing.assert_array_equal(one, other)


def test_a_response_of_less_than_a_sample_is_its_sum(tmp_path: Path) -> None:
    """The gain at frequency 0 is kept: sum_n h[n]."""
    path = write(tmp_path / "short.wav", np.full(40, 0.25), 8000)
    slow = replace(SOUND, rate=1 / 3600)
    assert ir(path, signal=slow).taps.tolist() == [10.0]


def test_a_response_at_a_rate_beyond_reason_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "fast.wav", np.full(40, 0.25), 1_000_000_000)
    with pytest.raises(RequestError, match="a response at 1e\\+09 Hz needs"):
        ir(path, signal=SOUND)
