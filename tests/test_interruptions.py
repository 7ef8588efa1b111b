"""Whatever ends a run, and whenever: the input intact, no partial output, nothing left behind, the right exit code."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile as sf
from life import (
    PATIENCE,
    processor_time,
    read_some,
    wait_until,
    wait_until_awake,
    wait_until_drained,
    wait_until_worked,
)
from program import BUFFERED, CONVCLI, done

from convcli.running.workers import cores

if TYPE_CHECKING:
    from collections.abc import Iterable

# What a process hears can be seen in /proc alone.
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")


def chain(step: str, values: Iterable[int]) -> str:
    """A chain of one step with one value after the other, for steps that alone are done too soon."""
    return "|".join(step.format(value) for value in values)


# Requests that take several seconds of the processor.
MEDIANS = chain("median:{}", range(4001, 4121, 2))
LONG = {
    "csv": ("csv", MEDIANS, "in.csv"),
    "audio": ("audio", MEDIANS, "in.wav"),
    "image": ("image", "median:41", "in.ppm"),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs that take a while."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "tmp").mkdir()
    (folder / "in.csv").write_bytes(b"a,b\n" + b"1.25,3\n2.75,4\n" * 300_000)
    x = np.random.default_rng(3).normal(0, 0.1, 1_500_000)
    sf.write(folder / "in.wav", x, 44100, subtype="PCM_24")
    pixels = np.random.default_rng(4).integers(0, 65536, (1500, 1500, 3), np.uint16)
    (folder / "in.ppm").write_bytes(b"P6 1500 1500 65535\n" + pixels.tobytes())
    return folder


@pytest.fixture
def folder(tmp_path: Path, inputs: Path) -> Path:
    """A folder with a copy of the inputs."""
    return shutil.copytree(inputs, tmp_path / "files")


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and the time of its last change."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
    }


def contents(folder: Path) -> dict[str, bytes]:
    """Every file with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def undisturbed_contents(words: Iterable[str], folder: Path, inputs: Path) -> dict[str, bytes]:
    """What the same command leaves beside `folder` if no signal comes."""
    undisturbed = shutil.copytree(inputs, folder.with_name("undisturbed"))
    done(*words, cwd=undisturbed)
    return contents(undisturbed)


def stopped(words: tuple[str, ...], number: int, work: float, folder: Path) -> tuple[int, str]:
    """The exit code and the words of a run that gets signal `number` after `work` processor seconds."""
    process = subprocess.Popen(
        [*CONVCLI, *words],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until_awake(process)
    wait_until_worked(process, work)
    process.send_signal(number)
    told = process.communicate(timeout=PATIENCE)[1]
    return process.returncode, told


NEW, IN_PLACE = ("-o", "out{suffix}"), ("--in-place",)
# Three signals are answered by one function, which does not know the medium: each place has them
# all, and every medium has two of them.
MOMENTS = [
    *(("csv", NEW, signal.SIGINT, 130), ("csv", IN_PLACE, signal.SIGTERM, 143)),
    *(("audio", NEW, signal.SIGTERM, 143), ("audio", IN_PLACE, signal.SIGHUP, 129)),
    *(("image", NEW, signal.SIGHUP, 129), ("image", IN_PLACE, signal.SIGINT, 130)),
    *((medium, place, signal.SIGKILL, -9) for medium in LONG for place in (NEW, IN_PLACE)),
]


@pytest.mark.parametrize(("medium", "place", "number", "expected"), MOMENTS)
def test_a_signal_at_any_moment(  # noqa: PLR0917
    medium: str, place: tuple[str, ...], number: int, expected: int, folder: Path, inputs: Path
) -> None:
    random.seed(f"{medium} {place} {number}")
    before = state(folder)
    words = (*LONG[medium], *place)
    code, told = stopped(words, number, random.uniform(0, 0.9), folder)
    if state(folder) != before:  # it was done already, but perhaps for its last words
        assert contents(folder) == undisturbed_contents(words, folder, inputs)
        return
    assert code == expected, (code, told)
    assert told == ""
    assert state(folder) == before


# Requests that spend seconds in calls that NumPy, OpenCV, SciPy, libvips and the rest do not leave.
MINIMUM_PHASES = chain("lowpass:{},taps=1000001,phase=minimum", range(100, 105))
EXCHANGES = chain("lowpass:{}k,taps=2001,method=remez", range(1, 20))
EQUATIONS = chain("lowpass:{}k,taps=6001,method=firls", range(1, 6))
POOLS = chain("adaptive_avg_pool:{}", range(1000, 990, -1))
CALLS = {
    "long windows": "csv gaussian:40000 --align center in.csv -o o.csv",
    "minimum phases": f"audio {MINIMUM_PHASES} in.wav -o o.wav",
    "remez": f"audio {EXCHANGES} in.wav -o o.wav",
    "linear equations": f"audio {EQUATIONS} in.wav -o o.wav",
    "whole pictures": f"image {POOLS} in.ppm -o o.png",
    "least squares": "learn in.ppm in.ppm --taps 31x31 -o m.safetensors",
    "long impulses": "audio ir:in.wav|ir:in.wav|ir:in.wav|ir:in.wav in.wav -o o.wav",
    "encoding": "image box:3 in.ppm -o o.avif",
    "templates": "detect in.ppm in.ppm",
    "training": "learn in.wav in.wav --layers conv:64,65|relu|conv:64,33|relu|conv:1,9 -o m.safetensors",
}


@pytest.mark.parametrize("call", list(CALLS))
def test_a_long_call_ends_within_a_second(call: str, folder: Path, inputs: Path) -> None:
    before = state(folder)
    process = subprocess.Popen(
        [*CONVCLI, *CALLS[call].split()],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until_awake(process)
    wait_until_worked(process, random.Random(call).uniform(0.4, 0.8))
    if process.poll() is not None:
        assert process.returncode == 0
        pytest.skip("this machine has done it already")
    # It stands still meanwhile, even if this process has to wait for its turn.
    os.kill(process.pid, signal.SIGSTOP)
    used = processor_time(process.pid)
    os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGCONT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if state(folder) != before:  # it was done already, but perhaps for its last words
        words = CALLS[call].split()
        assert contents(folder) == undisturbed_contents(words, folder, inputs)
        return
    if process.returncode == 0:
        pytest.skip("this machine has done it already")
    assert process.returncode == 143
    # Seconds of the processor, which do not depend on what else the machine does: all cores may
    # compute until the thread that answers signals has its turn.
    assert usage.ru_utime + usage.ru_stime - used < max(2.0, cores())


def test_a_signal_in_the_last_moments(tmp_path: Path) -> None:
    """What runs at the end of a process comes after `main`, whose handlers are still there."""
    (tmp_path / "in.csv").write_text("v\n1\n2\n")
    program = (
        "import atexit, os, signal, sys; from convcli.cli import main; code = main(); "
        "atexit.register(os.kill, os.getpid(), int(os.environ['NUMBER'])); sys.exit(code)"
    )
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        ended = subprocess.run(
            [sys.executable, "-c", program, "csv", "sma:3", "in.csv", "-q", "-o", f"{code}.csv"],
            cwd=tmp_path,
            env={**os.environ, "NUMBER": str(int(number))},
            capture_output=True,
            check=False,
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (code, b"", b"")


def test_signals_take_the_number_of_no_standard_stream() -> None:
    """Where one is closed, its number is free, and what is opened next would get it."""
    program = (
        "import os, sys; from convcli.stopping import answer_signals\n"
        "os.closerange(0, 2); answer_signals()\n"
        "sys.exit(sum(map(os.path.exists, ('/proc/self/fd/0', '/proc/self/fd/1'))))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_ctrl_c_during_the_first_import() -> None:
    program = (
        "import os, runpy, signal, sys\n"
        "class Pressed:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'convcli.stopping':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "runpy.run_module('convcli', run_name='__main__')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "--version"], capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")


def test_nothing_can_swallow_a_signal(folder: Path) -> None:
    """An exception in a finalizer or in a callback from C would be printed and forgotten."""
    program = (
        "import os, signal\n"
        "class Finalized:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        sum(range(10_000_000))\n"
        "import convcli.cli\n"
        "convcli.cli._run = lambda _: [Finalized() is None, 0][1]\n"
        "convcli.cli.main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (143, b"", b"")


def test_nohup(folder: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = fed("csv sma:3 -o o.csv", folder)
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_until_awake(process)
    process.send_signal(signal.SIGHUP)
    assert process.communicate(b"x\n1\n2\n3\n", timeout=PATIENCE)[0] == b""
    assert process.returncode == 0
    assert (folder / "o.csv").exists()


def test_a_hidden_file_goes_with_the_process(folder: Path) -> None:
    """Where there are no files without a name, the unfinished output is a hidden file."""
    before = state(folder)
    program = (
        "from convcli.media import replacing; from convcli.cli import main; "
        "replacing._unnamed = lambda folder: None; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, "csv", "sma:3", "--follow", "-o", "out.csv"],
        cwd=folder,
        stdin=subprocess.PIPE,  # it waits for the next row
    )
    assert process.stdin is not None
    process.stdin.write(b"x\n1\n")
    process.stdin.flush()
    wait_until(
        lambda: process.poll() is not None or any(folder.glob(".convcli-*.part")),
        "makes its output",
    )
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert state(folder) == before


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.2])
def test_ctrl_c_with_several_inputs(moment: float, folder: Path) -> None:
    sound, rate = sf.read(folder / "in.wav", dtype="int32")
    sf.write(folder / "in.wav", np.tile(sound, 8), rate, subtype="PCM_24")
    shutil.copy(folder / "in.wav", folder / "in2.wav")
    before = state(folder)
    words = (
        "audio",
        chain("lowpass:{}k,taps=300001", range(1, 6)),
        "in.wav",
        "in2.wav",
        "-o",
        "out_{stem}{suffix}",
        "-j",
        "2",
    )
    code, told = stopped(words, signal.SIGINT, moment, folder)
    # Both may have been complete, or one; half of one is never there.
    after = state(folder)
    complete = [after.pop(name) for name in ("out_in.wav", "out_in2.wav") if name in after]
    assert code == 130 or (code == 0 and len(complete) == 2), (code, told)
    assert "Traceback (most recent call last)" not in told
    assert {size for size, _ in complete} <= {before["in.wav"][0]}
    assert after == before


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("csv sma:3 --follow -o o.csv", b"x\n1\n"),
        ("csv normalize -o o.csv", b"x\n1\n"),
        ("audio box:3 -o o.wav", b"RIFF"),
        ("image box:3 -o o.png", b"\x89PNG"),
    ],
)
def test_ctrl_c_while_a_pipe_is_awaited(line: str, first: bytes, folder: Path) -> None:
    before = state(folder)
    process = fed(line, folder)
    assert process.stdin is not None
    process.stdin.write(first)
    process.stdin.flush()
    wait_until_drained(process.stdin)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=PATIENCE)
    assert (process.returncode, told) == (130, b"")
    assert state(folder) == before


def test_a_kill_leaves_no_temporary_file_of_a_pipe(folder: Path) -> None:
    before = state(folder)
    process = fed("audio normalize -o out.wav", folder)
    assert process.stdin is not None
    process.stdin.write((folder / "in.wav").read_bytes())
    process.stdin.flush()
    wait_until_drained(process.stdin)
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert state(folder) == before


def test_ctrl_c_keeps_what_a_follower_has_shown(folder: Path) -> None:
    process = fed("csv sma:2 --follow -q", folder)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"x\n1\n3\n")
    process.stdin.flush()
    shown = b""
    while not shown.endswith(b"2\n"):
        shown += read_some(process.stdout)
    process.send_signal(signal.SIGINT)
    rest, told = process.communicate(timeout=PATIENCE)
    assert (process.returncode, shown + rest, told) == (130, b"x\n1\n2\n", b"")


def fed(line: str, folder: Path) -> subprocess.Popen[bytes]:
    """A run of `convcli LINE` that reads a pipe, whose temporary files are in the folder `tmp`."""
    return subprocess.Popen(
        [*CONVCLI, *line.split()],
        cwd=folder,
        env={**os.environ, **BUFFERED, "TMPDIR": str(folder / "tmp")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
