"""A fault of the system in one call: the input stays, the output is whole or not there, and one line says what failed."""

from __future__ import annotations

import errno
import resource
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
import pyvips
import soundfile as sf
from program import CONVCLI, Program, done, peer

from convcli.errors import unexpected_error

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
    "opus": ("audio", "resample:48k"),
}
# Further formats that are only written.
FORMATS_OF_SOUND = ("mp3", "aiff", "caf", "w64", "au")


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
    other = ("audio" if suffix in FORMATS_OF_SOUND else "image", "box:3")
    command, step = FORMATS.get(suffix, other)
    source = {"csv": "in.csv", "audio": "in.wav", "image": "in.ppm"}[command]
    return [command, step, source, "-q", "-o", f"out.{suffix}"]


def make_input(folder: Path, name: str) -> Path:
    """The input of this name, which is made of those that are there."""
    place = folder / name
    if place.suffix == ".flac":
        sf.write(place, *sf.read(folder / "in.wav"))
    elif place.suffix in (".png", ".tif"):
        pixels = np.random.default_rng(4).integers(0, 256, (200, 300, 3), np.uint8)
        pyvips.Image.new_from_array(pixels).write_to_file(str(place))
    return place


def with_fault(
    fault: str, words: list[str], folder: Path, path: Path | None = None
) -> tuple[int, str]:
    """The exit code and the words of a run in which a call of the system fails.

    path : only calls about this file fail
    """
    call = fault.partition(":")[0]
    only = [] if path is None else ["-P", str(path)]
    strace = [*only, "-e", f"trace={call}", "-e", f"inject={fault}"]
    ended = Program().run(*words, cwd=folder, strace=strace)
    return ended.code, ended.err


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


@peer("strace")
@pytest.mark.parametrize(
    "fault", ["read:error=EIO:when=2", "lseek:error=EIO:when=2", "openat:error=EACCES"]
)
@pytest.mark.parametrize("name", ["in.csv", "in.flac", "in.png"])
def test_an_input_that_cannot_be_read(fault: str, name: str, folder: Path) -> None:
    """The answer is 3 with the name of the input, and no output; or the call was not needed."""
    source = make_input(folder, name)
    before = source.read_bytes()
    command = {"csv": "csv", "wav": "audio", "flac": "audio"}.get(name[3:], "image")
    output = folder / f"out{source.suffix}"
    words = [command, "gain:1", name, "-q", "-o", output.name]
    done(*words, cwd=folder)
    whole = output.read_bytes()
    output.unlink()
    code, told = with_fault(fault, words, folder, path=source)
    assert code in (0, 3), told
    if code == 0:
        assert output.read_bytes() == whole
    else:
        assert sum(line.startswith("error: ") for line in told.splitlines()) == 1
        assert name in told
        assert not output.exists()
    assert source.read_bytes() == before


@peer("strace")
@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "words", ["compare in.csv table", "detect table in.csv", "merge table -o all"]
)
def test_a_file_without_a_suffix_that_cannot_be_read(words: str, number: int, folder: Path) -> None:
    """The answer is 3, whatever is read of it: what kind of file it is, or all of it."""
    table = folder / "table"
    done("csv", "sma:3", "in.csv", "-q", "-o", "table.csv", "--ledger", table.name, cwd=folder)
    if not words.startswith("merge"):
        (folder / "table.csv").replace(table)
    fault = f"read:error=EIO:when={number}+"
    code, told = with_fault(fault, words.split(), folder, path=table)
    assert code in (0, 3), told
    assert code == 3 or number > 1
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    assert (code == 0) == (errors == [])
    assert all("table" in line and "Input/output error" in line for line in errors)


@peer("strace")
@pytest.mark.parametrize("call", ["linkat", "rename"])
@pytest.mark.parametrize("suffix", ["csv", "tif"])
def test_an_output_that_cannot_be_named(call: str, suffix: str, folder: Path) -> None:
    """It replaces an older file, which stays as it was if that fails."""
    output = folder / f"out.{suffix}"
    output.write_bytes(b"old")
    code, told = with_fault(
        f"{call}:error=EIO", [*words_for(suffix), "--force"], folder, path=folder
    )
    assert code in (0, 4), told
    assert "Traceback" not in told
    assert (output.read_bytes() == b"old") == (code == 4)
    assert sorted(path.name for path in folder.iterdir()) == [
        "in.csv",
        "in.ppm",
        "in.wav",
        output.name,
    ]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("cv2.abi3.so: failed to map segment from shared object"),
        ImportError("libarrow.so: cannot open shared object file: Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_a_lack_of_memory_is_no_defect(error: Exception) -> None:
    found = unexpected_error(error)
    assert (found.exit_code, found.message) == (3, "not enough memory for this")
    assert unexpected_error(ImportError("No module named 'x'")).exit_code == 70
    assert unexpected_error(RuntimeError("another")).exit_code == 70


@pytest.mark.parametrize("suffix", ["flac", "aiff", "parquet", "feather"])
def test_a_pipe_for_which_there_is_no_room(suffix: str, folder: Path) -> None:
    """A disk takes a part of a block before it is full: no part of a file is taken for all of it."""
    command, source = ("audio", "in.wav") if suffix in ("flac", "aiff") else ("csv", "in.csv")
    done(command, "gain:1", source, "-q", "-o", f"whole.{suffix}", cwd=folder)
    whole = (folder / f"whole.{suffix}").read_bytes()
    most = len(whole) // 2
    ended = subprocess.run(
        [*CONVCLI, command, "gain:1", "-"],
        cwd=folder,
        input=whole,
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (3, b"")
    assert ended.stderr.decode().splitlines() == [
        "error: standard input cannot be kept in a file: File too large",
        "hint: let TMPDIR name a larger place",
    ]


@pytest.mark.parametrize("suffix", [*FORMATS, *FORMATS_OF_SOUND, "avif", "pam"])
def test_the_same_bytes_again(suffix: str, folder: Path) -> None:
    done(*words_for(suffix), cwd=folder)
    output = folder / f"out.{suffix}"
    first = output.read_bytes()
    output.unlink()
    done(*words_for(suffix), cwd=folder)
    assert output.read_bytes() == first
