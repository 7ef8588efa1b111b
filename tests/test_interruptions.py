"""Whatever ends a run, and whenever: the input intact, no partial output, nothing left behind, the right exit code."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from life import (
    PATIENCE,
    read_some,
    wait_until_awake,
    wait_until_drained,
    wait_until_worked,
)
from program import BUFFERED, CONVCLI

# What a process hears can be seen in /proc alone.
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
LONG = {
    "csv": ("csv", "gaussian:40", "in.csv"),
    "audio": ("audio", "lowpass:1k,taps=30001", "in.wav"),
    "image": ("image", "disk:60", "in.ppm"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with inputs that take a while."""
    return filled(tmp_path / "files")


def filled(folder: Path) -> Path:
    """A new folder with the inputs."""
    (folder / "tmp").mkdir(parents=True)
    (folder / "in.csv").write_bytes(b"a,b\n" + b"1.25,3\n2.75,4\n" * 300_000)
    x = np.random.default_rng(3).normal(0, 0.1, 1_500_000)
    sf.write(folder / "in.wav", x, 44100, subtype="PCM_24")
    pixels = np.random.default_rng(4).integers(0, 65536, (1500, 1500, 3), np.uint16)
    (folder / "in.ppm").write_bytes(b"P6 1500 1500 65535\n" + pixels.tobytes())
    return folder


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


@pytest.mark.parametrize("medium", list(LONG))
@pytest.mark.parametrize("place", [("-o", "out{suffix}"), ("--in-place",)])
@pytest.mark.parametrize(
    ("number", "codes"),
    [
        (signal.SIGINT, {130}),
        (signal.SIGTERM, {143}),
        (signal.SIGHUP, {129}),
        (signal.SIGKILL, {-9}),
    ],
)
def test_a_signal_at_any_moment(
    medium: str, place: tuple[str, ...], number: int, codes: set[int], folder: Path
) -> None:
    random.seed(f"{medium} {place} {number}")
    before = state(folder)
    for _ in range(2):
        words = (*LONG[medium], *place)
        code, told = stopped(words, number, random.uniform(0, 0.9), folder)
        if state(folder) != before:  # it was done already, but perhaps for its last words
            undisturbed = filled(folder.with_name("undisturbed"))
            assert (
                subprocess.run(
                    [*CONVCLI, *words], cwd=undisturbed, capture_output=True, check=False
                ).returncode
                == 0
            )
            assert contents(folder) == contents(undisturbed)
            break
        assert code in codes, (code, told)
        assert told == ""
        assert state(folder) == before


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.2])
def test_ctrl_c_with_several_inputs(moment: float, folder: Path) -> None:
    sound, rate = sf.read(folder / "in.wav", dtype="int32")
    sf.write(folder / "in.wav", np.tile(sound, 8), rate, subtype="PCM_24")
    shutil.copy(folder / "in.wav", folder / "in2.wav")
    before = state(folder)
    words = (
        "audio",
        "lowpass:1k,taps=300001",
        "in.wav",
        "in2.wav",
        "-o",
        "out_{stem}{suffix}",
        "-j",
        "2",
    )
    code, told = stopped(words, signal.SIGINT, moment, folder)
    assert code == 130, told
    assert "Traceback (most recent call last)" not in told
    # One of the two may have been complete; half of one is never there.
    after = state(folder)
    sizes = {after.pop(name, before[name[4:]])[0] for name in ("out_in.wav", "out_in2.wav")}
    assert sizes == {before["in.wav"][0]}
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
