"""`convcli csv --time` over rows that come irregularly, as its users run it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from convcli.media.tables import text as table_text
from convcli.media.tables.source import TableOptions, open_table

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program


def prices(days: pd.DatetimeIndex, tickers: tuple[str, ...] = ("A",)) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    parts = []
    for ticker in tickers:
        close = np.round(100 + np.cumsum(rng.normal(size=len(days))), 2)
        volume = rng.integers(1, 1000, len(days))
        parts.append(
            pd.DataFrame({"Date": days, "Ticker": ticker, "Close": close, "Volume": volume})
        )
    return pd.concat(parts).sort_values("Date", kind="stable").reset_index(drop=True)


def trading_days() -> pd.DatetimeIndex:
    days = pd.bdate_range("2023-12-01", "2024-03-29")
    return days.drop(
        pd.DatetimeIndex(["2023-12-25", "2024-01-01", "2024-01-15", "2024-02-19", "2024-03-29"])
    )


def table(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, date_format="%Y-%m-%d").encode()


def read(out: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(out), parse_dates=["Date"])


def test_a_window_of_days_over_holidays_is_that_of_pandas_for_each_ticker(
    program: Program, tmp_path: Path
) -> None:
    frame = prices(trading_days(), ("A", "B"))
    words = ("csv", "sma:20d", "-c", "Close", "--by", "Ticker", "--time", "Date", "-q")
    found = read(program.run(*words, stdin=table(frame), cwd=tmp_path).text)
    for ticker, own in frame.groupby("Ticker"):
        expected = own.set_index("Date").Close.rolling("20D").mean()
        got = found[found.Ticker == ticker].Close
        np.testing.assert_allclose(got, expected, rtol=1e-13)
    checked = program.run(*words, "--causal-check", stdin=table(frame), cwd=tmp_path)
    assert checked.code == 0


def test_a_daily_table_becomes_the_monthly_one(program: Program, tmp_path: Path) -> None:
    frame = prices(trading_days(), ("A", "B"))
    words = ("csv", "sum_pool:1mo", "-c", "Volume", "--by", "Ticker", "--time", "Date", "-q")
    found = read(program.run(*words, stdin=table(frame), cwd=tmp_path).text)
    for ticker, own in frame.groupby("Ticker"):
        expected = own.set_index("Date").Volume.resample("ME").sum()
        got = found[found.Ticker == ticker]
        assert got.Volume.tolist() == expected.tolist()
        # The other cells are those of the last trading day of the month.
        last = own.groupby(own.Date.dt.to_period("M")).tail(1)
        assert got.Date.tolist() == last.Date.tolist()
        assert got.Close.tolist() == last.Close.tolist()


def test_a_pipe_streams_windows_in_time(program: Program, tmp_path: Path) -> None:
    rows = b"t,x\n0,1\n1,2\n5,4\n5,6\n"
    ended = program.run("csv", "sma:3s", "--time", "t", "--follow", "-q", stdin=rows, cwd=tmp_path)
    assert ended.text == "t,x\n0,1\n1,1.5\n5,4\n5,5\n"
    ended = program.run(
        "csv", "ema:halflife=1s", "--time", "t", "-q", stdin=b"t,x\n0,1\n1,4\n3,7\n", cwd=tmp_path
    )
    assert ended.text.splitlines()[1:] == [
        "0,1",
        "1,3",
        f"3,{(7 + 4 / 4 + 1 / 8) / (1 + 1 / 4 + 1 / 8)!r}",
    ]


def test_a_weighted_mean_and_its_integral(program: Program, tmp_path: Path) -> None:
    rows = b"t,x\n0,0\n1,1\n3,3\n"
    plain = program.run("csv", "sma:1h", "--time", "t", "-q", stdin=rows, cwd=tmp_path)
    assert plain.text == "t,x\n0,0\n1,0.5\n3,1.3333333333333333\n"
    integral = program.run(
        "csv", "sma:1h", "--time", "t", "-q", "--integrate", stdin=rows, cwd=tmp_path
    )
    values = [float(line.split(",")[1]) for line in integral.text.splitlines()[1:]]
    assert values == pytest.approx([0, 0.5, 1.5], rel=1e-15)


@pytest.mark.parametrize(
    ("words", "told", "hint"),
    [
        (
            ("lowpass:0.1",),
            "lowpass needs rows at equal steps of time; standard input, line 4",
            "--every 1d",
        ),
        (("savgol:5,2",), "savgol needs rows at equal steps", "--every 1d"),
        (("downsample:2",), "downsample needs rows at equal steps", "--every 1d"),
        (("savgol:5d,2",), "savgol needs rows at equal steps", "--every 1d"),
        (("sma:1mo",), "no fixed length; 15min, 2h, 5d and 1w are", ""),
        (("dog:1d,2d",), "dog: has no window in time", ""),
        (("lag:2d",), "a length here is a number of rows (20)", ""),
        (("avg_pool:1w,stride=1d",), "stride= counts rows", ""),
        (("avg_pool:0.5mo",), "a whole number of calendar units such as 1w", ""),
        (("adaptive_avg_pool:1w",), "adaptive_avg_pool: ", ""),
        (("sma:2d", "--edge", "reflect"), "--edge reflect needs rows at equal steps of time", ""),
        (("avg_pool:1w", "--integrate"), "--integrate is for means over windows in time", ""),
        (("sma:900y",), "no fixed length", ""),
        (("sma:99999w",), "at most 100 years", ""),
        (
            ("sma:2", "--time-zone", "Europe/Berlin"),
            "--time-zone is for times that are numbers",
            "",
        ),
        (("sma:2", "--time-zone", "Mars/Olympus"), "no time zone", ""),
    ],
)
def test_requests_that_rows_at_any_distance_refuse(
    words: tuple[str, ...], told: str, hint: str, program: Program, tmp_path: Path
) -> None:
    rows = b"t,x\n2024-01-01,1\n2024-01-02,2\n2024-01-05,4\n2024-01-08,4\n"
    ended = program.run("csv", *words, "--time", "t", stdin=rows, cwd=tmp_path)
    assert ended.code == 2, ended
    assert told in ended.errors[0]
    assert hint in ended.err


@pytest.mark.parametrize(
    ("times", "place", "told"),
    [
        (
            ("2024-01-01", "2024-01-05", "2024-01-04", "2024-01-09"),
            "line 4",
            "a time from 2024-01-05 on, got 2024-01-04: the times are unsorted",
        ),
        (("2024-01-01", "2024-01-05", "", "2024-01-09"), "line 4", "got an empty cell"),
        (("3", "4", "9", "8.5"), "line 5", "a time from 9 on, got 8.5: the times are unsorted"),
        (("3", "4", "1e300", "2e300"), "line 4", "a time within 290 years of 1970"),
    ],
)
def test_times_that_are_in_no_order(
    times: tuple[str, ...], place: str, told: str, program: Program, tmp_path: Path
) -> None:
    rows = "t,x\n" + "".join(f"{time},{i}\n" for i, time in enumerate(times))
    ended = program.run(
        "csv", "sma:2d", "--time", "t", "-c", "x", stdin=rows.encode(), cwd=tmp_path
    )
    assert ended.code == 3, ended
    assert f"{place}, column t" in ended.errors[0]
    assert told in ended.errors[0]


class TestReading:
    """Whether rows come regularly does not depend on where a block ends."""

    @pytest.fixture(autouse=True)
    def small_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(table_text, "BLOCK_BYTES", 40)

    def opened(
        self, rows: list[str], *, path: Path | None = None, irregular: bool = True
    ) -> object:
        data = "\n".join(["t,x", *rows, ""]).encode()
        options = TableOptions(time="t", irregular=irregular)
        if path is None:
            return open_table(None, options=options, stdin=io.BytesIO(data)).signal
        path.write_bytes(data)
        return open_table(path, options=options).signal

    def test_a_late_holiday(self, tmp_path: Path) -> None:
        days = trading_days().strftime("%Y-%m-%d")
        for path in (None, tmp_path / "t.csv"):
            signal = self.opened([f"{day},1" for day in days], path=path)
            assert signal.rate is None  # type: ignore[attr-defined]
            assert "expected the time 2023-12-25" in signal.uneven  # type: ignore[attr-defined]

    def test_a_first_block_within_one_week_knows_business_days(self, tmp_path: Path) -> None:
        days = pd.bdate_range("2024-01-01", periods=30).strftime("%Y-%m-%d")
        for path in (None, tmp_path / "t.csv"):
            signal = self.opened([f"{day},1" for day in days], path=path)
            assert signal.rate == 1 / 86400  # type: ignore[attr-defined]
            assert signal.week == 5 * 86400  # type: ignore[attr-defined]


def test_bins_of_numbers_follow_a_time_zone(program: Program, tmp_path: Path) -> None:
    times = pd.date_range("2024-10-26", periods=73, freq="h", tz="Europe/Berlin")
    seconds = (
        times.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[s]").astype(int)
    )
    as_numbers = "t,x\n" + "".join(f"{second},1\n" for second in seconds)
    as_text = "t,x\n" + "".join(f"{time.isoformat()},1\n" for time in times)
    in_zone = ("--time-zone", "Europe/Berlin")
    for rows, words in ((as_numbers, in_zone), (as_text, ()), (as_text, in_zone)):
        ended = program.run(
            "csv",
            "sum_pool:1d",
            "--time",
            "t",
            "-q",
            "-c",
            "x",
            *words,
            stdin=rows.encode(),
            cwd=tmp_path,
        )
        assert [line.split(",")[1] for line in ended.text.splitlines()[1:]] == ["24", "25", "24"]


def test_a_table_of_one_row(program: Program, tmp_path: Path) -> None:
    for filter_text in ("sma:5d", "avg_pool:1mo"):
        ended = program.run(
            "csv", filter_text, "--time", "t", "-q", stdin=b"t,x\n2024-01-01,3\n", cwd=tmp_path
        )
        assert ended.text == "t,x\n2024-01-01,3\n"
    ended = program.run(
        "csv", "sma:5d", "--time", "t", "-q", "-c", "x", stdin=b"t,x\n", cwd=tmp_path
    )
    assert ended.text == "t,x\n"
