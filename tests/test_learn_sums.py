"""`convcli learn --partial` and `--merge`: sums of several machines make the filter of one."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from convcli.cli import main
from convcli.layers.weights import read_weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RNG = np.random.default_rng(0)


def learned(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tensors of a model, and its facts."""
    file = read_weights(path)
    return dict(file.tensors), json.loads(file.metadata["facts"])


@pytest.fixture
def sounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five pairs of sounds of different lengths, in the folders noisy and clean."""
    monkeypatch.chdir(tmp_path)
    for folder in ("noisy", "clean"):
        (tmp_path / folder).mkdir()
    for number in range(5):
        x = 0.1 * RNG.normal(size=2000 + 300 * number)
        y = np.convolve(x, [0.2, 0.5, -0.1], "same") + 0.01 * RNG.normal(size=len(x))
        soundfile.write(tmp_path / "noisy" / f"{number}.wav", x, 8000, "FLOAT")
        soundfile.write(tmp_path / "clean" / f"{number}.wav", y, 8000, "FLOAT")
    return tmp_path


@pytest.mark.parametrize("words", [["--taps", "17"], ["--taps", "5", "--delay", "1", "--bias"]])
def test_any_number_of_machines_finds_the_same_bits(words: list[str], sounds: Path) -> None:
    shards = 2 if "--delay" in words else 3
    assert main(["learn", "noisy", "clean", *words, "-o", "one.safetensors", "-q"]) == 0
    names: list[str] = []
    for index in range(1, shards + 1):
        name = f"sums.{index}.npz"
        part = ["--shard", f"{index}/{shards}", "--partial", name, "-q"]
        assert main(["learn", "noisy", "clean", *words, *part]) == 0
        names.insert(0, name)
    assert main(["learn", "--merge", *names, "-o", "merged.safetensors", "-q"]) == 0
    assert (sounds / "one.safetensors").read_bytes() == (sounds / "merged.safetensors").read_bytes()


def test_sums_of_sounds_of_two_lengths_are_told(
    sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = sounds / "clean" / "0.wav"
    samples, rate = soundfile.read(target)
    soundfile.write(target, samples[:-100], rate, "FLOAT")
    words = ["--taps", "3", "--delay", "1", "--partial", "sums.npz"]
    assert main(["learn", "noisy/0.wav", "clean/0.wav", *words]) == 0
    assert "noisy/0.wav and clean/0.wav differ in length" in capsys.readouterr().err


@pytest.mark.usefixtures("sounds")
def test_missing_sums_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    # The share 7/7 has none of the five inputs.
    for index in range(1, 6):
        part = ["--shard", f"{index}/7", "--partial", f"{index}.npz", "-q"]
        assert main(["learn", "noisy", "clean", "--taps", "5", *part]) == 0
    names = [f"{index}.npz" for index in range(1, 6)]
    merge = ["learn", "--merge", "-o", "m.safetensors", "--force"]
    assert main([*merge, *names]) == 0
    assert "missing" not in capsys.readouterr().err
    assert main([*merge, "1.npz", "3.npz", "5.npz"]) == 0
    told = capsys.readouterr().err
    assert "warning: the sums of --shard 2/7, --shard 4/7 are missing" in told


def test_inputs_are_named_in_bulk(sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("noisy", "clean"):
        (sounds / folder / "deep").mkdir()
        (sounds / folder / "4.wav").rename(sounds / folder / "deep" / "4.wav")
    names = [f"noisy/./{number}.wav\n" for number in range(4)]
    (sounds / "list").write_text("".join([*names, "noisy/./deep/4.wav\n"]))
    models = []
    for words in (
        ["noisy", "clean", "--recursive"],
        ["noisy/**/*.wav", "clean/"],
        ["clean", "--files-from", "list"],
    ):
        model = sounds / "m.safetensors"
        words += ["--taps", "5", "-q", "--force", "-o", model.name]
        assert main(["learn", *words]) == 0
        models.append(model.read_bytes())
    assert models == [models[0]] * 3
    assert main(["learn", "noisy", "clean", "--taps", "5", "-q", "-o", "four.safetensors"]) == 0
    assert (sounds / "four.safetensors").read_bytes() != models[0]
    (sounds / "clean" / "deep" / "4.wav").unlink()
    assert main(["learn", "noisy", "clean", "--recursive", "-o", "x.safetensors"]) == 2
    assert "clean has no deep/4.wav, which is in noisy" in capsys.readouterr().err


def test_levels_of_several_tables_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables at very different levels, whose provisional means differ."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    joined = []
    rng = np.random.default_rng(5)
    for number, level in enumerate((1e4, -50.0, 300.0)):
        x = level + np.cumsum(rng.normal(size=400))
        joined.append(x)
        pd.DataFrame({"x": x}).to_csv(tmp_path / "in" / f"{number}.csv", index=False)
    words = ["--target", "x", "--taps", "3", "--ridge", "0", "--holdout", "0"]
    for index in (1, 2):
        part = ["--shard", f"{index}/2", "--partial", f"{index}.npz", "-q"]
        assert main(["learn", "in", *words, *part]) == 0
    assert main(["learn", "--merge", "2.npz", "1.npz", "-o", "m.safetensors", "-q"]) == 0
    tensors, _ = learned(tmp_path / "m.safetensors")
    # The same least squares by NumPy, on all windows.
    rows, targets = [], []
    for x in joined:
        windows = np.lib.stride_tricks.sliding_window_view(x[:-1], 3)
        rows.append(np.column_stack([windows, np.ones(len(windows))]))
        targets.append(x[3:])
    expected = np.linalg.lstsq(np.concatenate(rows), np.concatenate(targets), rcond=None)[0]
    np.testing.assert_allclose(tensors["0.weight"].ravel(), expected[:3], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(tensors["0.bias"], expected[3:], rtol=1e-4)


def test_the_same_sums_are_the_same_bytes_and_the_ridge_may_be_said_late(
    sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.npz", "b.npz"):
        assert main(["learn", "noisy", "clean", "--taps", "9", "--partial", name]) == 0
    assert (sounds / "a.npz").read_bytes() == (sounds / "b.npz").read_bytes()
    assert "b.npz: sums over 12,940 windows of 5 inputs" in capsys.readouterr().err
    assert main(["learn", "--merge", "a.npz", "--ridge", "0.5", "-o", "m.safetensors"]) == 0
    assert "ridge 0.5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--partial", "x.npz", "--layers", "conv:1,3"], "are for filters that are solved for"),
        (["--partial", "x.npz", "-o", "m.safetensors"], "--partial writes sums, and no model yet"),
        (["--partial", "x.txt"], "--partial expects a file such as sums.npz"),
        (["--shard", "1/2", "-o", "m.safetensors"], "--shard learns from a part of the inputs"),
        (["--partial", "x.npz", "--shard", "9/9"], "no input is left for this part"),
        (["--merge", "--taps", "3", "-o", "m.safetensors"], "--merge reads what is learned from"),
    ],
)
def test_requests_that_make_no_sense(
    words: list[str], told: str, sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["learn", "noisy", "clean", *words]) == 2
    assert told in capsys.readouterr().err
    assert not (sounds / "x.npz").exists()


@pytest.mark.usefixtures("sounds")
def test_files_that_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    for name, taps in (("a.npz", "9"), ("b.npz", "5")):
        assert main(["learn", "noisy", "clean", "--taps", taps, "--partial", name, "-q"]) == 0
    for names, told, code in (
        (["a.npz", "b.npz"], "b.npz holds sums of another task than a.npz", 2),
        (["a.npz", "a.npz"], "'noisy/0.wav' is in a.npz and in a.npz: it would count twice", 2),
        (["noisy/0.wav"], "noisy/0.wav: holds no sums of convcli learn", 3),
        (["c.npz"], "c.npz: cannot be read: No such file", 3),
    ):
        assert main(["learn", "--merge", *names, "-o", "m.safetensors"]) == code
        assert told in capsys.readouterr().err


def test_a_file_that_lies_about_its_arrays_is_refused(
    sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A header of a million million numbers is refused before there is room for them."""
    assert main(["learn", "noisy", "clean", "--taps", "9", "--partial", "a.npz", "-q"]) == 0
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    forged = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with (
        zipfile.ZipFile(sounds / "a.npz") as given,
        zipfile.ZipFile(sounds / "b.npz", "w") as made,
    ):
        for name in given.namelist():
            content = forged if name == "0/train/gram.npy" else given.read(name)
            made.writestr(name, content)
    assert main(["learn", "--merge", "b.npz", "-o", "m.safetensors"]) == 3
    assert "the sums '0/train/gram' are missing or damaged" in capsys.readouterr().err


def damaged_sums(path: Path, damage: Callable[[dict[str, Any]], None]) -> None:
    """Write bad.npz beside a file of sums, with another description."""
    with zipfile.ZipFile(path) as given, zipfile.ZipFile(path.parent / "bad.npz", "w") as made:
        for name in given.namelist():
            content = given.read(name)
            if name == "about.npy":
                about = json.loads(np.load(io.BytesIO(content)).tobytes())
                damage(about)
                text = io.BytesIO()
                np.save(text, np.frombuffer(json.dumps(about).encode(), np.uint8))
                content = text.getvalue()
            made.writestr(name, content)


def test_a_damaged_file_of_sums_is_refused(
    sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["learn", "noisy", "clean", "--taps", "3", "--partial", "a.npz", "-q"]) == 0
    merge = ["learn", "--merge", "bad.npz", "-o", "m.safetensors"]
    damages: list[Callable[[dict[str, Any]], None]] = [
        lambda about: about["task"].update(ridge={}),
        lambda about: about["task"].update(bias=[]),
        lambda about: about["units"].clear(),
        lambda about: about["units"][0].pop("skipped"),
        lambda about: about["units"][0].update(changes=[[1, 2]]),
        lambda about: about["units"][0].update(delay=3),
    ]
    for damage in damages:
        damaged_sums(sounds / "a.npz", damage)
        assert main(merge) == 3
        assert "bad.npz: holds no sums of convcli learn" in capsys.readouterr().err
    data = (sounds / "a.npz").read_bytes()
    # The size of the directory of the archive, so that its members seem to begin before the file.
    (sounds / "bad.npz").write_bytes(data[:-10] + b"\xff\xff" + data[-8:])
    assert main(merge) == 3
    assert len(capsys.readouterr().err.splitlines()) <= 2
    sums = dict(np.load(sounds / "a.npz"))
    sums["0/train/gram"][-1, -1] = np.nan
    np.savez(sounds / "bad.npz", **sums)
    assert main(merge) == 3
    assert "overflow" in capsys.readouterr().err
    assert not (sounds / "m.safetensors").exists()
