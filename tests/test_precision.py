"""Speed is not paid for with correctness: what comes out is what float64 gives, rounded to the type of the output.

At most one sample of 10,000 may lie one step of the output beside it (where the sum falls upon a
half), in 16 bits and fewer; deeper sound, floats and tables go through float64 all the way, and
agree to its rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.signal
import soundfile as sf

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

RATE = 44100


def differing(y: Any, truth: Any) -> float:
    """The part of whole numbers that differ, none by more than 1."""
    away = np.abs(np.asarray(y, np.int64) - truth)
    assert away.max() <= 1
    return float(np.count_nonzero(away) / away.size)


def filtered(program: Program, folder: Path, x: Any, subtype: str, text: str) -> Any:
    """The samples of a sound file through the program, as they are stored: -1 ... 1 in float64."""
    sf.write(folder / "in.wav", x, RATE, subtype=subtype)
    ended = program.run(
        "audio", text, "in.wav", "-o", "out.wav", "--force", "--edge", "zero", cwd=folder
    )
    assert ended.code == 0, ended
    return sf.read(folder / "out.wav", always_2d=True)[0]


def by_scipy(program: Program, folder: Path, x: Any, text: str) -> Any:
    """The same taps, by SciPy in float64."""
    ended = program.run(
        "filters", text, "--rate", str(RATE), "--export", "taps.npy", "--force", cwd=folder
    )
    assert ended.code == 0, ended
    taps = np.load(folder / "taps.npy")
    return scipy.signal.oaconvolve(x, taps[:, None], axes=0)[(len(taps) - 1) // 2 :][: len(x)]


def noise(frames: int, channels: int, bits: int) -> Any:
    """Noise over half the scale, in whole numbers of so many bits."""
    full = 1 << (bits - 1)
    x = np.random.default_rng(bits).normal(0, 0.15, (frames, channels))
    return np.rint(np.clip(x, -0.9, 0.9) * full) / full


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize(
    "text", ["lowpass:3400,width=400,attenuation=100", "gaussian:3", "lowpass:300,width=20"]
)
def test_sound_of_whole_numbers(text: str, bits: int, program: Program, tmp_path: Path) -> None:
    # Longer than several blocks, on both sides of where the transforms of another library begin.
    x = noise(700_000, 2, bits)
    y = filtered(program, tmp_path, x, f"PCM_{bits}", text)
    truth = by_scipy(program, tmp_path, x, text)
    assert differing(np.rint(y * 2 ** (bits - 1)), np.rint(truth * 2 ** (bits - 1))) <= 1e-4


def test_sound_of_floats(program: Program, tmp_path: Path) -> None:
    text = "lowpass:3400,width=400,attenuation=100"
    x = noise(700_000, 2, 24)
    y = filtered(program, tmp_path, x, "DOUBLE", text)
    np.testing.assert_allclose(y, by_scipy(program, tmp_path, x, text), atol=1e-14)


@pytest.mark.parametrize("text", ["downsample:4", "resample:16k", "downsample:3,attenuation=100"])
def test_sound_at_another_rate(text: str, program: Program, tmp_path: Path) -> None:
    """In 16 bits as in DOUBLE, rounded."""
    x = noise(500_000, 2, 16)
    rounded = filtered(program, tmp_path, x, "PCM_16", text)
    exact = filtered(program, tmp_path, x, "DOUBLE", text)
    assert differing(np.rint(rounded * 2**15), np.rint(exact * 2**15)) <= 1e-4
