"""What is measured of the whole signal in a branch: `x - global_avg_pool`, `--add n=normalize`."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import pyvips
import soundfile
from program import SAMPLES

import convcli
from convcli.media.tables import text as text_of_tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from program import Program

STOCKS = SAMPLES / "stocks.csv"
DEMEANED = "x - global_avg_pool"
STANDARDIZED = "(x - global_avg_pool) / (x - global_avg_pool | square | global_avg_pool | sqrt)"


def standardized(x: Any) -> Any:
    return (x - x.mean()) / x.std(ddof=0)


FILTERS: dict[str, Callable[[Any], Any]] = {
    DEMEANED: lambda x: x - x.mean(),
    STANDARDIZED: standardized,
    "demean": lambda x: x - x.mean(),
    "standardize": standardized,
    "x / global_max_pool": lambda x: x / x.max(),
    "x / (abs | global_max_pool)": lambda x: x / x.abs().max(),
    "normalize - global_avg_pool": lambda x: x / x.abs().max() - x.mean(),
    "sma:3 - (sma:3 | global_avg_pool)": lambda x: (
        x.rolling(3, min_periods=1).mean() - x.rolling(3, min_periods=1).mean().mean()
    ),
    "(x - global_avg_pool | normalize) + 1": lambda x: (
        (x - x.mean()) / (x - x.mean()).abs().max() + 1
    ),
}


def column(text: str) -> pd.Series:
    return pd.read_csv(io.StringIO(text)).price


@pytest.mark.parametrize("block", [300, 1 << 20])
@pytest.mark.parametrize("filter", FILTERS)
def test_groups_of_a_table_are_those_of_pandas(
    filter: str, block: int, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_of_tables, "BLOCK_BYTES", block)
    words = ("csv", filter, "-c", "price", "--by", "symbol", "-q")
    # A pipe is stored, as it is read several times.
    found = column(program.run(*words, stdin=STOCKS.read_bytes()).text)
    table = pd.read_csv(STOCKS)
    expected = table.groupby("symbol").price.transform(FILTERS[filter])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_parts_of_a_table_are_the_whole(program: Program, tmp_path: Path) -> None:
    rows = [f"{value}\n" for value in np.random.default_rng(0).normal(7, 3, 4000)]
    (tmp_path / "t.csv").write_text("x\n" + "".join(rows))
    words = ("csv", STANDARDIZED, "t.csv", "-q")
    whole = program.run(*words, cwd=tmp_path)
    parted = program.run(*words, "--parts", "5", "-o", "o.csv", cwd=tmp_path)
    assert (whole.code, parted.code) == (0, 0), parted
    assert (tmp_path / "o.csv").read_bytes() == whole.out


def test_columns_that_are_added(program: Program) -> None:
    words = ("csv", "-c", "price", "--add", "n=normalize", "--add", "top=global_max_pool")
    ended = program.run(*words, "--by", "symbol", "-q", stdin=STOCKS.read_bytes())
    found = pd.read_csv(io.StringIO(ended.text))
    prices = found.groupby("symbol").price
    assert found.top.tolist() == prices.transform("max").tolist()
    np.testing.assert_allclose(found.n, found.price / found.top, rtol=1e-15)


@pytest.mark.parametrize(
    ("missing", "expected"),
    [("keep", "-2 '' 2"), ("propagate", "'' '' ''"), ("fill", "-2 '' 2")],
)
def test_a_gap_in_the_signal(missing: str, expected: str, program: Program) -> None:
    words = ("csv", DEMEANED, "--missing", missing, "-c", "x", "-q")
    ended = program.run(*words, stdin=b"x,y\n1,a\n,a\n5,a\n")
    rows = [line.split(",")[0] for line in ended.text.splitlines()[1:]]
    assert rows == [word.strip("'") for word in expected.split()]


def test_no_rows_and_no_known_value(program: Program) -> None:
    words = ("csv", DEMEANED, "-c", "x", "-q")
    assert program.run(*words, stdin=b"x,y\n").text == "x,y\n"
    assert program.run(*words, stdin=b"x,y\n,a\n").text == "x,y\n,a\n"


def test_a_sound_loses_its_mean(program: Program, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(-3000, 9000, (1000, 2)).astype(np.int16)
    x[3, 0] = -32768
    soundfile.write(tmp_path / "a.wav", x, 8000)
    ended = program.run("audio", DEMEANED, "a.wav", "-o", "b.wav", "-q", cwd=tmp_path)
    assert ended.code == 0, ended
    found, _ = soundfile.read(tmp_path / "b.wav", dtype="int16")
    expected = np.clip(np.rint(x - x.astype(np.float64).mean(axis=0)), -32768, 32767)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bands", [3, 4])
def test_the_colours_of_a_picture_are_weighted_by_its_opacity(
    bands: int, program: Program, tmp_path: Path
) -> None:
    x = np.random.default_rng(0).integers(0, 256, (9, 7, bands)).astype(np.uint8)
    pyvips.Image.new_from_array(x).pngsave(str(tmp_path / "a.png"))
    words = ("image", "x - global_avg_pool + 128", "a.png", "-o", "b.png", "-q")
    ended = program.run(*words, cwd=tmp_path)
    assert ended.code == 0, ended
    found = pyvips.Image.new_from_file(str(tmp_path / "b.png")).numpy()
    opacity = x[..., 3:] if bands == 4 else np.ones((9, 7, 1))
    colours = x[..., :3].astype(np.float64)
    means = (colours * opacity).sum(axis=(0, 1)) / opacity.sum()
    expected = np.clip(np.rint(colours - means + 128), 0, 255)
    np.testing.assert_array_equal(found[..., :3], expected)
    np.testing.assert_array_equal(found[..., 3:], x[..., 3:])


def test_arrays_and_frames_of_python() -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    np.testing.assert_allclose(convcli.apply(DEMEANED, x), x - x.mean(axis=0), atol=1e-15)
    picture = convcli.apply("x / global_max_pool", x, axes=2)
    np.testing.assert_allclose(picture, x / x.max(), rtol=1e-15)
    valid = convcli.apply("box:3 - (box:3 | global_avg_pool)", x[:, 0], edge="valid")
    means = np.convolve(x[:, 0], np.ones(3) / 3, mode="valid")
    np.testing.assert_allclose(valid, means - means.mean(), atol=1e-15)
