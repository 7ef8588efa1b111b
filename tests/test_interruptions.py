"""Whatever ends a run, and whenever: the input intact, no partial output, nothing left behind, the right exit code."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from program import CONVCLI, shell

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


def wait_until_awake(process: subprocess.Popen[str]) -> None:
    """Until then Python itself answers to signals, not the program: SIGTERM is caught by the program alone."""
    status = Path(f"/proc/{process.pid}/status")
    for _ in range(2000):
        caught = re.search(r"^SigCgt:\s*(\w+)", status.read_text(), re.MULTILINE)
        if process.poll() is not None or (
            caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1
        ):
            return
        time.sleep(0.01)


def stopped(words: tuple[str, ...], number: int, delay: float, folder: Path) -> tuple[int, str]:
    """The exit code and the words of a run that gets signal `number` after `delay` seconds."""
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
    time.sleep(delay)
    process.send_signal(number)
    told = process.communicate(timeout=60)[1]
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


def test_ctrl_c_while_a_pipe_is_awaited(folder: Path) -> None:
    before = state(folder)
    for line in (
        "csv sma:3 --follow -o o.csv",
        "csv normalize -o o.csv",
        "audio box:3 -o o.wav",
        "image box:3 -o o.png",
    ):
        process = subprocess.Popen(
            [*CONVCLI, *line.split()],
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder / "tmp")},
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until_awake(process)
        time.sleep(0.4)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.close()
        assert process.stderr.read() == ""
        process.stderr.close()
    assert state(folder) == before


def test_a_kill_leaves_no_temporary_file_of_a_pipe(folder: Path) -> None:
    before = state(folder)
    line = (
        "{ cat in.wav; sleep 5; } | TMPDIR=tmp timeout -s KILL 1 convcli audio normalize -o out.wav"
    )
    shell(line, folder)
    assert state(folder) == before


def test_ctrl_c_keeps_what_a_follower_has_shown(folder: Path) -> None:
    line = "{ printf 'x\\n1\\n3\\n'; sleep 3; } | timeout -s INT 1.5 convcli csv sma:2 --follow -q > shown.csv"
    shell(line, folder)
    assert (folder / "shown.csv").read_text() == "x\n1\n2\n"
