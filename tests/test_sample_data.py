"""The sample data are what their README says, and the script still makes them."""

from __future__ import annotations

import csv
import datetime as dt
import importlib.util
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

if TYPE_CHECKING:
    from types import ModuleType

FOLDER = Path(__file__).parents[1] / "sample_data"
SCRIPTS = {"README.md", "make.py", "demo.sh"}
DATA = sorted(path.name for path in FOLDER.iterdir() if path.is_file() and path.name not in SCRIPTS)


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_sample_data", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(name: str) -> tuple[Any, int]:
    samples, rate = soundfile.read(FOLDER / name, dtype="int16")
    return samples, rate


def rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_file_has_origin_and_licence() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    table = {
        row[1]: [cell.strip() for cell in row[0].strip("|").split("|")]
        for row in re.finditer(r"^\| `(.+?)` \|.*\|$", text, re.MULTILINE)
    }
    assert sorted(table) == DATA
    for name, cells in table.items():
        assert len(cells) == 4, name
        assert re.search("CC0|BSD|public domain", cells[3]), name


def test_small() -> None:
    assert sum((FOLDER / name).stat().st_size for name in DATA) < 3_000_000


@pytest.mark.parametrize(
    ("name", "rate"), [("hello.wav", 22050), ("talk.wav", 22050), ("room.wav", 48000)]
)
def test_sounds(name: str, rate: int) -> None:
    info = soundfile.info(FOLDER / name)
    assert (info.samplerate, info.channels, info.subtype) == (rate, 1, "PCM_16")
    assert 0.1 < np.abs(read(name)[0]).max() / 32768 < 1


@pytest.mark.parametrize("name", ["hello", "talk"])
def test_noise_is_10_db_below(name: str) -> None:
    clean, noisy = (read(f"{name}{end}.wav")[0].astype(float) for end in ("", "_noisy"))
    assert 10 * np.log10(np.mean(clean**2) / np.mean((noisy - clean) ** 2)) == pytest.approx(
        10, abs=0.1
    )


@pytest.mark.parametrize(("seconds", "gain"), [(1.532, 0), (6.400, -6), (12.836, -12)])
def test_talk_says_hello(seconds: float, gain: float) -> None:
    hello, talk = read("hello.wav")[0], read("talk.wav")[0]
    near = round(seconds * 22050)
    scaled = hello * 10 ** (gain / 20)
    errors = [np.abs(talk[i : i + len(hello)] - scaled).max() for i in range(near - 25, near + 25)]
    assert min(errors) <= 1


def test_room_decays() -> None:
    room = read("room.wav")[0].astype(float)
    assert np.abs(room).argmax() == 0
    early, late = (np.sqrt(np.mean(room[a : a + 2400] ** 2)) for a in (2400, 12000))
    # 60 dB in 0.4 s: 30 dB from 0.05 to 0.25 s.
    assert 20 * np.log10(early / late) == pytest.approx(30, abs=1.5)


def test_stocks() -> None:
    table = rows("stocks.csv")
    assert len(table) == 560
    by_symbol: dict[str, list[str]] = {}
    for row in table:
        assert dt.date.fromisoformat(row["date"]).day == 1
        assert float(row["price"]) > 0
        by_symbol.setdefault(row["symbol"], []).append(row["date"])
    assert {symbol: len(dates) for symbol, dates in by_symbol.items()} == {
        **dict.fromkeys(("MSFT", "AMZN", "IBM", "AAPL"), 123),
        "GOOG": 68,
    }
    assert all(dates == sorted(dates) for dates in by_symbol.values())
    assert table[0] == {"symbol": "MSFT", "date": "2000-01-01", "price": "39.81"}


def test_index() -> None:
    table = rows("vix.csv")
    assert len(table) == 44
    for row in table:
        assert float(row["low"]) <= min(float(row["open"]), float(row["close"]))
        assert float(row["high"]) >= max(float(row["open"]), float(row["close"]))


def test_weather_is_daily() -> None:
    days = [dt.date.fromisoformat(row["date"]) for row in rows("weather.csv")]
    assert len(days) == 1461
    assert {later - earlier for earlier, later in pairwise(days)} == {dt.timedelta(days=1)}


def test_pictures(make: ModuleType) -> None:
    import pyvips

    cat = pyvips.Image.new_from_file(str(FOLDER / "cat.png"))
    assert (cat.width, cat.height, cat.bands, cat.format) == (451, 300, 3, "uchar")
    assert "icc-profile-data" in cat.get_fields()
    hole = pyvips.Image.new_from_file(str(FOLDER / "hole.png"))
    assert (hole.width, hole.height, hole.bands, hole.format) == (256, 256, 4, "ushort")
    pixels = hole.numpy()
    assert (pixels == make.make_hole()).all()
    assert pixels[128, 128].tolist() == [0, 65535, 0, 0]
    assert (pixels[..., 3] == 65535).any()
    assert ((pixels[..., 3] > 0) & (pixels[..., 3] < 65535)).any()


def test_script_makes_the_same_room(make: ModuleType) -> None:
    assert make.synthesised()["room.wav"] == (FOLDER / "room.wav").read_bytes()


def test_script_makes_the_same_noise(make: ModuleType) -> None:
    hello, rate = soundfile.read(FOLDER / "hello.wav")
    made = make.wav(make.add_noise(hello, snr=10, seed=1), rate=rate)
    assert made == (FOLDER / "hello_noisy.wav").read_bytes()


def test_script_makes_the_same_picture_with_noise(make: ModuleType) -> None:
    import pyvips

    noisy = make.add_grain((FOLDER / "cat.png").read_bytes(), sigma=20, seed=4)
    assert (pyvips.Image.new_from_file(str(FOLDER / "cat_noisy.png")).numpy() == noisy).all()


def test_script_makes_the_same_tide(make: ModuleType) -> None:
    assert make.synthesised()["tide.csv"] == (FOLDER / "tide.csv").read_bytes()
    table = rows("tide.csv")
    noise = np.array([float(row["gauge"]) - float(row["height"]) for row in table])
    assert len(table) == 1440
    assert noise.std() == pytest.approx(0.3, abs=0.02)


def test_script_rewrites_dates(make: ModuleType) -> None:
    assert make.stock_rows("symbol,date,price\nIBM,Dec 9 2001,1.50\n")[1] == [
        "IBM",
        "2001-12-09",
        "1.50",
    ]
    assert make.weather_rows("date,wind\n2012/01/02,4.5\n")[1] == ["2012-01-02", "4.5"]
