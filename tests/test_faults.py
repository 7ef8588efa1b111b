"""A fault of the system in one call: the input stays, the output is whole or not there, and one line says what failed."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile as sf
from life import PATIENCE
from program import BUFFERED, CONVCLI, done, peer

if TYPE_CHECKING:
    from pathlib import Path

# Each format with what filters it.
FORMATS = {
    "csv": ("csv", "sma:3"),
    "wav": ("audio", "box:3"),
    "flac": ("audio", "box:3"),
    "ogg": ("audio", "box:3"),
    "png": ("image", "box:3"),
    "jpg": ("image", "box:3"),
    "webp": ("image", "box:3"),
    "tif": ("image", "box:3"),
    "gif": ("image", "box:3"),
    "ppm": ("image", "box:3"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a table, a sound and a picture."""
    (tmp_path / "in.csv").write_text("v\n" + "".join(f"{row}.25\n" for row in range(20_000)))
    random = np.random.default_rng(3)
    sf.write(tmp_path / "in.wav", random.normal(0, 0.1, 60_000), 44100, subtype="PCM_16")
    pixels = random.integers(0, 256, (200, 300, 3), np.uint8)
    (tmp_path / "in.ppm").write_bytes(b"P6 300 200 255\n" + pixels.tobytes())
    return tmp_path


def words_for(suffix: str) -> list[str]:
    """A run that writes this format."""
    command, step = FORMATS[suffix]
    source = {"csv": "in.csv", "audio": "in.wav", "image": "in.ppm"}[command]
    return [command, step, source, "-q", "-o", f"out.{suffix}"]


def with_fault(fault: str, words: list[str], folder: Path) -> tuple[int, str]:
    """The exit code and the words of a run in which a call of the system fails."""
    call = fault.partition(":")[0]
    ended = subprocess.run(
        [
            "strace",
            "-f",
            "-qq",
            "-o",
            os.devnull,
            "-e",
            f"trace={call}",
            "-e",
            f"inject={fault}",
            *CONVCLI,
            *words,
        ],
        cwd=folder,
        env={**os.environ, **BUFFERED},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return ended.returncode, ended.stderr


@peer("strace")
@pytest.mark.parametrize("suffix", list(FORMATS))
@pytest.mark.parametrize("number", [1, 2])
def test_a_write_that_fails(suffix: str, number: int, folder: Path) -> None:
    """strace counts for each thread, so that the message fails too where it is that write."""
    inputs = {path: path.read_bytes() for path in folder.iterdir()}
    words = words_for(suffix)
    done(*words, cwd=folder)
    output = folder / f"out.{suffix}"
    whole = output.read_bytes()
    output.unlink()
    code, told = with_fault(f"write:error=EIO:when={number}", words, folder)
    if code == 0:  # there were fewer writes
        assert output.read_bytes() == whole
    else:
        assert code == 4, told
        assert sum(line.startswith("error: ") for line in told.splitlines()) <= 1
        assert "Traceback" not in told
        assert not output.exists()
    assert {path: path.read_bytes() for path in inputs} == inputs


@pytest.mark.parametrize("suffix", [suffix for suffix in FORMATS if suffix != "ogg"])
def test_the_same_bytes_again(suffix: str, folder: Path) -> None:
    done(*words_for(suffix), cwd=folder)
    output = folder / f"out.{suffix}"
    first = output.read_bytes()
    output.unlink()
    done(*words_for(suffix), cwd=folder)
    assert output.read_bytes() == first
