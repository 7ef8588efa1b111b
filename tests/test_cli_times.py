"""`convcli csv --time` over rows that come irregularly, as its users run it."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import shlex
from contextlib import ExitStack
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from table_settings import table_options

import convcli
from convcli.media.files import closed_or_discarded
from convcli.media.tables import text as table_text
from convcli.media.tables.any_table import open_any_table, open_table
from convcli.media.tables.delimited_source import DelimitedSource
from convcli.media.tables.every_text import DelimitedForm, RegularText
from convcli.media.tables.find_notation import read_dates
from convcli.media.tables.sink import TableSink
from convcli.media.tables.table_options import bin_length
from convcli.signals import blocks_of

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


def irregular_prices() -> pd.DataFrame:
    """Rows of two tickers at irregular times, some of whose prices are missing."""
    rng = np.random.default_rng(3)
    minutes = np.cumsum(rng.integers(0, 900, 60))
    days = pd.Timestamp("2024-01-30") + pd.to_timedelta(minutes, unit="min")
    close = np.where(rng.random(60) < 0.2, np.nan, np.round(rng.normal(100, 9, 60), 2))
    frame = pd.DataFrame({"Date": days, "Close": close, "Note": [f"n{row}" for row in range(60)]})
    frame.insert(1, "Ticker", rng.choice(["B", "A"], 60))
    return frame


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".jsonl":
        dates = frame.Date.dt.strftime("%Y-%m-%d %H:%M:%S")
        frame.assign(Date=dates).to_json(path, orient="records", lines=True)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_feather(path)


def read_frame(path: Path) -> pd.DataFrame:
    if path.suffix == ".jsonl":
        frame = pd.DataFrame([json.loads(line) for line in path.read_text().splitlines()])
        return frame.assign(Date=pd.to_datetime(frame.Date))
    if path.suffix == ".csv":
        return pd.read_csv(path)
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_feather(path)


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
        (("sma:1mo",), "not a fixed length; 15min, 2h, 5d and 1w are", ""),
        (("dog:1d,2d",), "dog: has no window in time", ""),
        (("lag:2d",), "a length here is a number of rows (20)", ""),
        (("avg_pool:1w,stride=1d",), "stride= counts rows", ""),
        (("avg_pool:0.5mo",), "expected a bin of the calendar", ""),
        (("adaptive_avg_pool:1w",), "adaptive_avg_pool: ", ""),
        (("sma:2d", "--edge", "reflect"), "--edge reflect needs rows at equal steps of time", ""),
        (("avg_pool:1w", "--integrate"), "--integrate is for means over windows in time", ""),
        (("sma:900y",), "not a fixed length", ""),
        (("sma:99999w",), "at most 100 years", ""),
        (
            ("sma:2", "--time-zone", "Europe/Berlin"),
            "--time-zone is for times that are numbers",
            "",
        ),
        (("sma:2", "--time-zone", "Mars/Olympus"), "not a time zone", ""),
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


def test_an_error_tells_what_was_taken_for_granted(program: Program, tmp_path: Path) -> None:
    rows = b"t,x\n01/02/2024,1\n02/02/2024,2\n03/02/2024,3\n"
    ended = program.run("csv", "lag:2d", "--time", "t", "-c", "x", stdin=rows, cwd=tmp_path)
    assert ended.code == 2, ended
    assert "the dates in t are read with the month first" in ended.err
    assert "--date-format %d/%m/%Y decides" in ended.err


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
        options = table_options(time="t", irregular=irregular)
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


@pytest.mark.parametrize(("length", "calendar"), [("1w", "W"), ("1mo", "ME")])
def test_a_daily_table_of_prices_becomes_the_weekly_one(
    length: str, calendar: str, program: Program, tmp_path: Path
) -> None:
    rng = np.random.default_rng(2)
    days = trading_days()
    parts = []
    for name in ("B", "A"):
        close = np.round(100 + np.cumsum(rng.normal(size=len(days))), 2)
        spread = np.round(rng.random((2, len(days))), 2)
        columns = {
            "Open": close + 0.25,
            "High": close + spread[0],
            "Low": close - spread[1],
            "Close": close,
        }
        volume = rng.integers(1, 1000, len(days))
        parts.append(pd.DataFrame({"Date": days, "Ticker": name, **columns, "Volume": volume}))
    frame = pd.concat(parts).sort_values("Date", kind="stable")
    pools = {"Open": "first", "High": "max", "Low": "min", "Close": "last", "Volume": "sum"}
    sets = [f"--set={column}={pool}_pool:{length}" for column, pool in pools.items()]
    ended = program.run(
        "csv", *sets, "--by", "Ticker", "--time", "Date", "-q", stdin=table(frame), cwd=tmp_path
    )
    found = read(ended.text)
    for ticker, own in frame.groupby("Ticker"):
        expected = own.set_index("Date").resample(calendar).agg(pools)
        got = found[found.Ticker == ticker]
        np.testing.assert_array_equal(got[list(pools)], expected)
        last_days = own.groupby(
            own.Date.dt.to_period("W-SUN" if calendar == "W" else "M")
        ).Date.max()
        assert got.Date.tolist() == last_days.tolist()
    mixed = program.run(
        "csv", f"--set=Open=first_pool:{length}", "--set=High=max_pool:1d", "--time", "Date",
        "--by", "Ticker", stdin=table(frame), cwd=tmp_path,
    )  # fmt: skip
    first = {"1w": "week", "1mo": "month"}[length]
    told = (
        f"gives a row for each day, and --set Open=first_pool:{length} gives a row for each {first}"
    )
    assert (mixed.code, told in mixed.err) == (2, True), mixed


class TestEvery:
    """Rows that are made regular first."""

    def resampled(self, frame: pd.DataFrame, length: str) -> pd.DataFrame:
        return frame.set_index("Date")[["Close", "Volume"]].resample(length).mean()

    @pytest.mark.parametrize(
        ("every", "length"),
        [("1d", "D"), ("1w", "W-SUN"), ("1mo", "MS"), ("1q", "QS"), ("1y", "YS")],
    )
    @pytest.mark.parametrize("block", [1 << 20, 100])
    def test_rows_are_the_means_of_pandas(
        self, every: str, length: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(table_text, "BLOCK_BYTES", block)
        frame = prices(trading_days())
        path = tmp_path / "t.csv"
        path.write_bytes(table(frame))
        options = table_options(time="Date", every=every)
        source = open_any_table(path, options=options, held=ExitStack())
        sink_file = io.BytesIO()
        with closed_or_discarded(TableSink(sink_file, source=source)) as sink:
            done = 0
            for rows in map(len, (block.x for block in blocks_of(source))):
                sink.write(sink.encode(None, range(done, done + rows)))
                done += rows
        found = read(sink_file.getvalue().decode())
        expected = self.resampled(frame, length)
        np.testing.assert_allclose(found[["Close", "Volume"]], expected, rtol=1e-14)
        starts = pd.DatetimeIndex(expected.index)
        if every == "1w":  # pandas names a week by its Sunday
            starts -= pd.Timedelta("6D")
        assert found.Date.tolist() == starts.tolist()
        assert found.Ticker.isna().tolist() == expected.Close.isna().tolist()

    def test_a_low_pass_over_holidays(self, program: Program, tmp_path: Path) -> None:
        frame = prices(trading_days(), ("A", "B"))
        words = ("csv", "lowpass:0.1", "--every", "1d", "--by", "Ticker", "--time", "Date", "-q")
        ended = program.run(
            *words, "-c", "Close", "--missing", "fill", stdin=table(frame), cwd=tmp_path
        )
        found = read(ended.text)
        days = (frame.Date.max() - frame.Date.min()).days + 1
        assert found.Ticker.value_counts().to_dict() == {"A": days, "B": days}
        assert found.groupby("Ticker").Date.diff().dropna().unique().tolist() == [
            pd.Timedelta("1D")
        ]
        assert found.Close.notna().all()

    @pytest.mark.parametrize(
        ("times", "every", "made"),
        [
            (("3", "8.5"), "2s", ["2", "4", "6", "8"]),
            (("0.3", "0.8"), "250ms", ["0.25", "0.5", "0.75"]),
            (
                ("2024-01-05 10:20", "2024-01-05 12:10"),
                "1h",
                ["2024-01-05 10:00", "2024-01-05 11:00", "2024-01-05 12:00"],
            ),
            (
                ("2024-01-05T10:20:30", "2024-01-05T10:21:10"),
                "30s",
                ["2024-01-05T10:20:30", "2024-01-05T10:21:00"],
            ),
            (("20240105", "20240107"), "1d", ["20240105", "20240106", "20240107"]),
            (
                ("20240105102030", "20240105102110"),
                "30s",
                ["20240105102030", "20240105102100"],
            ),
            (("05.01.2024", "07.01.2024"), "1d", ["05.01.2024", "06.01.2024", "07.01.2024"]),
            (
                ("2024-10-26T23:10:00+02:00", "2024-10-28T00:30:00+01:00"),
                "1d",
                [
                    "2024-10-26T00:00:00+02:00",
                    "2024-10-27T00:00:00+02:00",
                    "2024-10-28T00:00:00+01:00",
                ],
            ),
            (("1/31/2024", "2/2/2024"), "1d", ["1/31/2024", "2/1/2024", "2/2/2024"]),
            (("12/31/2024", "1/1/2025"), "1mo", ["12/1/2024", "1/1/2025"]),
            (("12/31/2024", "01/01/2025"), "1mo", ["12/01/2024", "01/01/2025"]),
            (("9.2.2024 9:05", "9.2.2024 10:05"), "1h", ["9.2.2024 9:00", "9.2.2024 10:00"]),
            (("09.02.2024 0:05", "09.02.2024 3:05"), "3h", ["09.02.2024 0:00", "09.02.2024 3:00"]),
            (("30 Jan 2024", "1 Feb 2024"), "1d", ["30 Jan 2024", "31 Jan 2024", "1 Feb 2024"]),
            (
                ("1/31/2024 9:30 am", "1/31/2024 1:10 pm"),
                "2h",
                ["1/31/2024 8:00 am", "1/31/2024 10:00 am", "1/31/2024 12:00 pm"],
            ),
            (
                ("2024-01-31T09:30:00.125Z", "2024-01-31T09:30:01.250Z"),
                "1s",
                ["2024-01-31T09:30:00.000Z", "2024-01-31T09:30:01.000Z"],
            ),
        ],
    )
    def test_times_are_written_as_the_table_writes_them(
        self, times: tuple[str, str], every: str, made: list[str], program: Program, tmp_path: Path
    ) -> None:
        rows = f"t,x\n{times[0]},1\n{times[1]},2\n".encode()
        words = ("csv", "sma:1", "--time", "t", "--every", every, "-c", "x", "-q")
        ended = program.run(*words, stdin=rows, cwd=tmp_path)
        assert [line.split(",")[0] for line in ended.text.splitlines()[1:]] == made, ended

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("--every", "1h", "--time", "t"), "--every cannot write the beginning of a bin"),
            (("--every", "5", "--time", "t"), "--every: expected a bin of the calendar"),
            (
                ("--every", "0d", "--time", "t"),
                "--every: expected a bin of the calendar",
            ),
            (("--every", "1d"), "--every needs --time COLUMN"),
            (("--every", "1h", "--time", "t", "--append"), "--every cannot write the beginning"),
        ],
    )
    def test_what_is_refused(
        self, words: tuple[str, ...], told: str, program: Program, tmp_path: Path
    ) -> None:
        rows = b"t,x\n2024-01-05,1\n2024-01-08,2\n"
        ended = program.run("csv", "sma:2", *words, stdin=rows, cwd=tmp_path)
        assert ended.code == 2, ended
        assert told in ended.errors[0]

    @pytest.mark.parametrize(
        "words",
        [
            ("--every", "1d", "--time", "t"),
            ("--set", "x=sma:2"),
            ("--every", "1d", "--time", "t", "--set", "x=sma:2"),
        ],
    )
    def test_append_without_a_filter_is_refused(
        self, words: tuple[str, ...], program: Program, tmp_path: Path
    ) -> None:
        (tmp_path / "t.csv").write_text("t,x\n2024-01-05,1\n2024-01-08,2\n")
        for table in (("t.csv",), ()):
            ended = program.run("csv", *table, *words, "--append", cwd=tmp_path)
            assert ended.code == 2, ended
            assert "--append keeps the columns beside the results of a FILTER" in ended.errors[0]
        ended = program.run("csv", "t.csv", "--add", "y=sma:2", "--append", cwd=tmp_path)
        assert ended.text == "t,x,y\n2024-01-05,1,1\n2024-01-08,2,1.5\n"

    def test_regular_rows_are_made_without_a_filter(self, program: Program, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text("t,x\n2024-01-05,1\n2024-01-06,2\n2024-01-08,4\n")
        words = ("--every", "1d", "--time", "t", "-q")
        ended = program.run("csv", "t.csv", *words, cwd=tmp_path)
        assert ended.text == "t,x\n2024-01-05,1\n2024-01-06,2\n2024-01-07,\n2024-01-08,4\n"
        rows = (tmp_path / "t.csv").read_bytes()
        assert program.run("csv", *words, stdin=rows, cwd=tmp_path).text == ended.text

    @pytest.mark.parametrize("suffix", [".parquet", ".feather", ".jsonl"])
    @pytest.mark.parametrize("every", ["1d", "1w", "6h"])
    def test_other_formats_give_the_rows_of_text(
        self, every: str, suffix: str, program: Program, tmp_path: Path
    ) -> None:
        frame = irregular_prices()
        write_frame(frame, tmp_path / "t.csv")
        write_frame(frame, tmp_path / f"t{suffix}")
        words = ("csv", "sma:3", "--every", every, "--by", "Ticker", "--time", "Date", "-q", "-c")
        plain = program.run(*words, "Close", "t.csv", cwd=tmp_path)
        ended = program.run(*words, "Close", f"t{suffix}", "-o", f"o{suffix}", cwd=tmp_path)
        assert (plain.code, ended.code) == (0, 0), ended
        expected, found = read(plain.text), read_frame(tmp_path / f"o{suffix}")
        pd.testing.assert_frame_equal(found[list(expected)], expected, check_dtype=False)

    def test_other_columns_keep_their_types_in_files_of_columns(
        self, program: Program, tmp_path: Path
    ) -> None:
        days = pa.array([dt.date(2024, 1, 5), dt.date(2024, 1, 8)])
        columns = {
            "day": days,
            "kind": pa.array(["a", "a"]).dictionary_encode(),
            "x": pa.array([1, 3], pa.int8()),
            "list": pa.array([[1], [2, 3]]),
            "price": pa.array([Decimal("1.50"), Decimal("2.25")], pa.decimal128(9, 2)),
        }
        pq.write_table(pa.table(columns), tmp_path / "t.parquet")
        words = ("csv", "sma:1", "t.parquet", "--time", "day", "--by", "kind", "-c", "x", "-q")
        ended = program.run(*words, "--every", "1d", "-o", "o.parquet", cwd=tmp_path)
        assert ended.code == 0, ended
        made = pq.read_table(tmp_path / "o.parquet")
        assert made.schema.types[3:] == [columns["list"].type, columns["price"].type]
        assert made.column("day").to_pylist() == [dt.date(2024, 1, day) for day in (5, 6, 7, 8)]
        assert made.column("kind").to_pylist() == ["a"] * 4
        assert made.column("x").to_pylist() == [1.0, None, None, 3.0]
        assert made.column("list").to_pylist() == [[1], None, None, [2, 3]]
        assert made.column("price").to_pylist() == [Decimal("1.50"), None, None, Decimal("2.25")]

    def test_objects_keep_what_is_not_filtered(self, program: Program) -> None:
        rows = (
            b'{"k":"a", "t": 0, "x": 1, "n": {"x": [1]}}\n'
            b'{"k":"a", "t": 1, "s": "\xc3\xbc"}\n{"k":"a", "t": 4, "x": 5, "new": true}\n'
        )
        words = ("csv", "x", "--time", "t", "--every", "2s", "-c", "x", "--by", "k", "-q")
        ended = program.run(*words, stdin=rows)
        assert ended.out == (
            b'{"k":"a", "t": 0, "s": "\xc3\xbc", "x": 1}\n'
            b'{"k": "a", "t": 2, "x": null}\n'
            b'{"k":"a", "t": 4, "x": 5, "new": true}\n'
        ), ended

    @pytest.mark.parametrize("suffix", [".parquet", ".csv"])
    def test_a_day_on_which_the_clock_changes_begins_by_the_clock_before(
        self, suffix: str, program: Program, tmp_path: Path
    ) -> None:
        hours = pd.date_range("2024-03-09", "2024-03-12", freq="h", tz="America/New_York")
        frame = pd.DataFrame({"t": hours, "x": np.arange(float(len(hours)))})
        write_frame(frame, tmp_path / f"t{suffix}")
        words = ("csv", "x", f"t{suffix}", "--time", "t", "--every", "1d", "-c", "x", "-q")
        ended = program.run(*words, "-o", f"o{suffix}", cwd=tmp_path)
        assert ended.code == 0, ended
        found = read_frame(tmp_path / f"o{suffix}").set_index("t").x
        found.index = pd.to_datetime(found.index, utc=True)
        expected = frame.set_index("t").x.resample("D").mean()
        assert found.index.tolist() == expected.index.tolist()
        assert found.tolist() == expected.tolist()

    def test_days_of_numbers_begin_by_the_clock_of_the_zone(self, program: Program) -> None:
        # 2024-03-30 12:00 and 2024-04-01 12:00 in Berlin, whose clocks change on the 31st.
        rows = b"t,x\n1711796400,1\n1711965600,2\n"
        words = ("csv", "x", "--time", "t", "-c", "x", "--every", "1d", "-q")
        ended = program.run(*words, "--time-zone", "Europe/Berlin", stdin=rows)
        times = [int(line.split(",")[0]) for line in ended.text.splitlines()[1:]]
        days = pd.date_range("2024-03-30", periods=3, tz="Europe/Berlin")
        assert times == (days.as_unit("s").asi8).tolist()

    @pytest.mark.parametrize(
        ("words", "rows", "made"),
        [
            (("--skip-rows", "1"), "of 2024\nt,x\n{}", "of 2024\nt,x\n{}"),
            (("--comment", "#"), "# a\nt,x\n{}", "# a\nt,x\n{}"),
            (("--no-header", "--skip-rows", "1"), "of 2024\n{}", "of 2024\n{}"),
            ((), "t,x,x\n{}", "t,x,x\n{}"),
        ],
    )
    def test_the_lines_before_the_rows_stay(
        self, words: tuple[str, ...], rows: str, made: str, program: Program
    ) -> None:
        first, gap, last = "2024-01-01,1", "2024-01-02,", "2024-01-03,4"
        if "x,x" in rows:  # two columns of one name
            first, gap, last = "2024-01-01,1,5", "2024-01-02,,", "2024-01-03,4,6"
        time = "1" if "--no-header" in words else "t"
        table = rows.format(f"{first}\n{last}\n")
        asked = ("csv", "x", "--time", time, "--every", "1d", "-q")
        ended = program.run(*asked, *words, stdin=table.encode())
        assert ended.text == made.format(f"{first}\n{gap}\n{last}\n"), ended

    def test_a_time_in_utc_stays_in_utc(self, program: Program) -> None:
        rows = b"t,x\n2024-03-30T12:00:00Z,1\n2024-04-01T12:00:00Z,2\n"
        words = ("csv", "x", "--time", "t", "-c", "x", "--every", "1d", "-q")
        ended = program.run(*words, "--time-zone", "Europe/Berlin", stdin=rows)
        assert ended.text.splitlines()[1:] == [
            "2024-03-29T23:00:00Z,1",
            "2024-03-30T23:00:00Z,",
            "2024-03-31T22:00:00Z,2",
        ], ended

    @pytest.mark.parametrize(
        ("words", "rows", "made"),
        [
            (
                ("--every", "1d"),
                '"Sat, 30 Dec 2023 20:07:00",1\n"Mon, 01 Jan 2024 09:00:00",2\n',
                (
                    '"Sat, 30 Dec 2023 00:00:00",1\n"Sun, 31 Dec 2023 00:00:00",\n'
                    '"Mon, 01 Jan 2024 00:00:00",2\n'
                ),
            ),
            (
                ("--every", "500ms", "--decimal", ",", "-d", ","),
                '"1,5",1\n"2,5",2\n',
                '"1,5",1\n2,\n"2,5",2\n',
            ),
        ],
    )
    def test_times_that_hold_the_delimiter_or_a_decimal_comma(
        self, words: tuple[str, ...], rows: str, made: str, program: Program
    ) -> None:
        asked = ("csv", "--time", "t", "-c", "x", "-q", *words)
        ended = program.run(*asked, stdin=f"t,x\n{rows}".encode())
        assert ended.text == f"t,x\n{made}", ended

    def test_a_gap_of_centuries_is_refused(self, program: Program, tmp_path: Path) -> None:
        rows = b"t,x\n0,1\n5000000000,2\n"
        ended = program.run(
            "csv", "sma:2", "--time", "t", "--every", "1s", stdin=rows, cwd=tmp_path
        )
        assert (ended.code, "would fill a gap" in ended.err) == (3, True)


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


@pytest.mark.parametrize(
    ("words", "rows", "expected"),
    [
        (("avg_pool:1y",), "2024,1 2024,2 2025,4", "2024,1.5 2025,4"),
        (("avg_pool:1mo",), "202401,1 202403,3", "202401,1 202403,3"),
        (("x", "--every", "1y"), "2024,1 2026,3", "2024,1 2025, 2026,3"),
        (("x", "--every", "1mo"), "202411,1 202501,3", "202411,1 202412, 202501,3"),
    ],
)
def test_years_and_months_are_dates(
    program: Program, words: tuple[str, ...], rows: str, expected: str
) -> None:
    text = "\n".join(["t,x", *rows.split(), ""])
    run = program.run("csv", *words, "--time", "t", stdin=text.encode())
    assert run.text.split()[1:] == expected.split()
    assert "are read as " in run.err


def test_a_bin_that_the_notation_cannot_name_is_refused(program: Program) -> None:
    table = b"t,x\n2024,1\n2025,2\n"
    run = program.run("csv", "x", "--time", "t", "--every", "1mo", stdin=table)
    assert run.code == 2
    assert "cannot write the beginning of a bin" in run.err


# ------------------------------------------------------------ equal steps, and rows that may follow

QUARTERS = ["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00", "2024-01-01 03:00"]
SQUARES = [1.0, 5.0, 2.0, 8.0]


def hourly(*more: tuple[str, float]) -> bytes:
    rows = [*zip(QUARTERS, SQUARES, strict=True), *more]
    return b"t,x\n" + b"".join(f"{time},{value:g}\n".encode() for time, value in rows)


@pytest.mark.parametrize(
    "step",
    [
        "sma:2h",
        "sma:80min",
        "std:80min",
        "median:3h",
        "ema:halflife=2h",
        "ema:span=3h",
        "hann:5h",
        "triangle:4h",
        "wma:3h",
        "gaussian:1h",
    ],
)
def test_a_later_row_does_not_change_what_a_duration_is(
    step: str, tmp_path: Path, program: Program
) -> None:
    words = ("csv", step, "--time", "t", "-q")
    regular = program.run(*words, stdin=hourly(), cwd=tmp_path).out
    irregular = program.run(*words, stdin=hourly(("2024-01-01 03:30", 5.0)), cwd=tmp_path).out
    first = pd.read_csv(io.BytesIO(regular)).x
    again = pd.read_csv(io.BytesIO(irregular)).x[:4]
    np.testing.assert_allclose(first, again, rtol=1e-13)


def test_durations_at_equal_steps_are_those_of_pandas(tmp_path: Path, program: Program) -> None:
    series = pd.Series(SQUARES, index=pd.to_datetime(QUARTERS))
    times = pd.Series(series.index)
    decayed = series.ewm(halflife=pd.Timedelta("2h"), times=times).mean()  # type: ignore[arg-type]
    for step, expected in (
        ("sma:80min", series.rolling("80min").mean()),
        ("std:80min", series.rolling("80min").std()),
        ("ema:halflife=2h", decayed),
    ):
        ended = program.run("csv", step, "--time", "t", "-q", stdin=hourly(), cwd=tmp_path)
        found = pd.read_csv(io.BytesIO(ended.out)).x
        np.testing.assert_allclose(found, expected, rtol=1e-13)
        np.testing.assert_allclose(convcli.apply(step, series), expected, rtol=1e-13)


@pytest.mark.parametrize("step", ["lag:90min", "diff:90min", "savgol:90min,1", "stride:90min"])
def test_a_duration_that_is_no_number_of_rows_is_an_error(
    step: str, tmp_path: Path, program: Program
) -> None:
    ended = program.run("csv", step, "--time", "t", stdin=hourly(), cwd=tmp_path)
    assert ended.code == 2
    assert "'90min' is not a whole number of rows; one comes each hour" in ended.err


@pytest.mark.parametrize(
    ("days", "step"),
    [
        (("2024-01-31", "2024-02-29", "2024-03-31"), "month"),
        (("2024-01-31", "2024-02-02", "2024-02-04"), "2 days"),
    ],
)
def test_an_error_names_the_step_of_the_rows(
    days: tuple[str, ...], step: str, program: Program
) -> None:
    rows = "t,x\n" + "".join(f"{day},1\n" for day in days)
    ended = program.run("csv", "lag:5d", "--time", "t", stdin=rows.encode())
    assert f"'5d' is not a whole number of rows; one comes each {step}\n" in ended.err


def test_dates_of_fourteen_digits_are_read(program: Program) -> None:
    """Of a window of two minutes: the rows of the last two, as by rolling("2min") of pandas."""
    times = ("20240131093000", "20240131093100", "20240131093500", "20240131093600")
    rows = "".join(f"{time},{2**row}\n" for row, time in enumerate(times))
    ended = program.run("csv", "sma:2min", "--time", "t", stdin=f"t,x\n{rows}".encode())
    assert ended.warnings == []
    assert [line.split(",")[1] for line in ended.text.split()[1:]] == ["1", "1.5", "4", "6"]


@pytest.mark.parametrize(
    ("first", "form"), [("202401310930", "%Y%m%d%H%M"), ("2024013109", "%Y%m%d%H")]
)
def test_numbers_that_may_be_dates_with_a_time_of_day_are_told(
    first: str, form: str, program: Program
) -> None:
    rows = f"t,x\n{first},1\n{int(first) + 1},2\n{int(first) + 2},4\n".encode()
    ended = program.run("csv", "sma:2", "--time", "t", stdin=rows)
    assert f"--date-format {form} decides" in ended.warnings[0]
    ended = program.run("csv", "sma:2", "--time", "t", "--date-format", form, stdin=rows)
    assert ended.warnings == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sma:3", "--integrate"], "--integrate weighs the rows of windows in time"),
        (["x - lag:1", "--integrate"], "--integrate weighs the rows of windows in time"),
        (["sma:3d", "--time-zone", "Europe/Berlin"], "--time-zone sets the calendar of bins"),
    ],
)
def test_options_of_time_without_effect_are_refused(
    words: list[str], said: str, program: Program
) -> None:
    table = b"t,x\n2024-01-01T00:00Z,1\n2024-01-02T00:00Z,2\n2024-01-05T00:00Z,3\n"
    run = program.run("csv", *words, "--time", "t", stdin=table)
    assert run.code == 2, run
    assert said in run.errors[0]
    assert "hint: " in run.err


def test_months_of_numbers_that_are_no_dates_are_told(program: Program) -> None:
    table = b"t,x\n24,1\n25,2\n"
    words = ("csv", "avg_pool:1y", "--time", "t")
    assert "counted from 1970" in program.run(*words, stdin=table).warnings[0]
    assert not program.run(*words, "--time-unit", "s", stdin=table).warnings


@pytest.mark.parametrize(
    ("recipe", "chain"),
    [
        ("zscore:2d", "(x - sma:2d) / std:2d"),
        ("zscore:n=36h", "(x - sma:36h) / std:36h"),
        ("bollinger:3d,2", "sma:3d + 2 * std:3d & sma:3d - 2 * std:3d"),
        ("macd:2d,4d", "ema:span=2d - ema:span=4d"),
        ("unsharp:1d,0.5", "x + 0.5 * (x - gaussian:1d)"),
    ],
)
@pytest.mark.parametrize("days", [(1, 2, 5, 6, 7), (1, 2, 3, 4, 5)])
def test_recipes_take_durations(recipe: str, chain: str, days: tuple[int, ...]) -> None:
    index = pd.to_datetime([f"2024-01-{day:02d}" for day in days])
    series = pd.Series([1.0, 5, 2, 8, 3], index)
    found: Any = convcli.apply(recipe, series)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(convcli.apply(chain, series)))


@pytest.mark.parametrize("half", ["am", "AM", "a.m."])
def test_half_past_midnight_is_no_noon(half: str, program: Program) -> None:
    rows = f"t,x\n1/31/2024 9:00 {half},1\n2/1/2024 12:30 {half},2\n2/1/2024 9:00 {half},3\n"
    ended = program.run("csv", "sma:9h", "--time", "t", "-c", "x", "-q", stdin=rows.encode())
    if half == "a.m.":
        assert "expected a time" in ended.errors[0]
        return
    assert [line.split(",")[1] for line in ended.text.splitlines()[1:]] == ["1", "2", "2.5"], ended


def test_a_recipe_without_windows_in_time_says_so(program: Program) -> None:
    table = b"t,x\n2024-01-01,1\n2024-01-02,5\n2024-01-05,2\n"
    ended = program.run("csv", "rsi:2d", "--time", "t", stdin=table)
    assert ended.code == 2
    assert "rsi: has no window in time" in ended.errors[0]


@pytest.mark.parametrize(
    ("written", "form", "moment"),
    [
        ("01/02/2024 03:04 PM", "%m/%d/%Y %I:%M %p", "2024-01-02 15:04"),
        ("13/02/2024 12:04:05 am", "%d/%m/%Y %I:%M:%S %p", "2024-02-13 00:04:05"),
        ("2024-01-02 3:04PM", "%Y-%m-%d %I:%M%p", "2024-01-02 15:04"),
        ("12/31/2024, 11:59:59 PM", "%m/%d/%Y, %I:%M:%S %p", "2024-12-31 23:59:59"),
        ("Jan 2, 2024 3:04 PM", "%b %d, %Y %I:%M %p", "2024-01-02 15:04"),
        ("1/2/24", "%m/%d/%y", "2024-01-02"),
        ("02.01.24 15:04", "%d.%m.%y %H:%M", "2024-01-02 15:04"),
        ("2024-01-02 15:04:05,123", "%Y-%m-%d %H:%M:%S,%f", "2024-01-02 15:04:05.123"),
        ("Feb-24", "%b-%y", "2024-02-01"),
        ("May 2024", "%b %Y", "2024-05-01"),
    ],
)
def test_the_hint_names_a_date_format_that_works(
    written: str, form: str, moment: str, program: Program
) -> None:
    table = f't,x\n"{written}",1\n'.encode()
    ended = program.run("csv", "sma:2d", "--time", "t", stdin=table)
    assert ended.code == 3
    (named,) = re.findall(r"--date-format ('.*?'|\S+)", ended.err)[:1]
    assert shlex.split(named) == [form], ended
    assert read_dates(form, [written.encode()])[0] == pd.Timestamp(moment).to_datetime64()
    words = ("csv", "sma:2d", "--time", "t", "--date-format", form, "-q", "-c", "x")
    assert program.run(*words, stdin=table).out == table


def test_empty_days_are_written_with_the_first_row_behind_them() -> None:
    class Lines(io.BytesIO):
        def read1(self, _size: int | None = -1, /) -> bytes:
            return self.readline()

    days = ["2024-01-01,1", "2024-01-04,4", "2024-01-04,6", "2024-01-05,7"]
    lines = Lines("\n".join(["t,x", *days, ""]).encode())
    text = table_text.TextInput(path=None, stdin=lines, asked="utf-8", follow=True)
    options = table_options(columns=("x",), time="t", follow=True, irregular=True)
    table = DelimitedSource(text, options)
    table.expect_equal_steps(equal=False)
    form = DelimitedForm(table)
    regular = RegularText.of(table, bin_length("1d"), form, table.found_columns)
    _, blocks = regular.reads(regular.open())
    found = [block.decode().split() for block in blocks]
    expected = [["2024-01-01,1", "2024-01-02,", "2024-01-03,"], ["2024-01-04,5"]]
    assert found[-3:-1] == expected
    assert found[-1] == ["2024-01-05,7"]


@pytest.mark.parametrize("offset", ["Z", "+01:00", "-0530"])
def test_fractions_of_a_second_that_come_and_go(offset: str, program: Program) -> None:
    times = ["10:00:00", "10:00:01.5", "10:00:03.123456789"]
    rows = [f"2024-01-05T{time}{offset},{2**row}" for row, time in enumerate(times)]
    table = "\n".join(["t,x", *rows, ""]).encode()
    ended = program.run("csv", "sma:2s", "--time", "t", "-c", "x", "-q", stdin=table)
    # Rows are 1.5 and 1.62 seconds apart.
    assert [line.split(",")[1] for line in ended.text.split()[1:]] == ["1", "1.5", "3"], ended
    bad = table.replace(b"05T10:00:01.5", b"05 at 10")
    assert program.run("csv", "sma:2s", "--time", "t", stdin=bad).code == 3


# ------------------------------------------------------------------------------- rows at the edges


@pytest.mark.parametrize("parts", [(), ("--parts", "3")])
def test_windows_that_read_a_row_beyond_the_table_are_counted(
    parts: tuple[str, ...], tmp_path: Path, program: Program
) -> None:
    """A mean over time reads the rows beside its window: there is none beside the first ones."""
    rng = np.random.default_rng(6)
    t = np.cumsum(rng.integers(1, 5, 300))
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(t, "D")
    write_frame(pd.DataFrame({"Date": days, "Close": rng.normal(size=300)}), tmp_path / "t.csv")
    before = np.searchsorted(t, t - 10) - 1
    after = np.searchsorted(t, t + 10, "right")
    command = ("csv", "sma:20d", "t.csv", "-c", "Close", "--time", "Date", "-o", "o.csv")
    words = ("--integrate", "--align", "center", "--report", "r.json")
    told = program.run(*command, *words, *parts, cwd=tmp_path)
    assert told.code == 0, told
    losses = json.loads((tmp_path / "r.json").read_text())["losses"]
    assert losses["edge_affected"] == ((before < 0) | (after >= 300)).sum()


@pytest.mark.parametrize(
    ("words", "reach"),
    [
        (["gaussian:2 | max_pool:1mo", "--align", "center"], (8, 8)),
        (["gaussian:2 | max_pool:1mo", "--align", "center", "--parts", "4"], (8, 8)),
        (["gaussian:2 | max_pool:1mo"], (16, 0)),
        (["sma:40 | avg_pool:1mo", "--parts", "11"], (39, 0)),
        (["lag:3 | sum_pool:1w"], (3, 0)),
        (["(x - sma:5) | max_pool:1mo", "--align", "center"], (2, 2)),
        (["max_pool:1mo"], (0, 0)),
    ],
)
def test_bins_that_read_outside_of_the_signal_are_counted(
    words: list[str], reach: tuple[int, int], tmp_path: Path, program: Program
) -> None:
    """A bin does if its first row less the reach, or its last row and the reach, lies outside."""
    rng = np.random.default_rng(5)
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.cumsum(rng.integers(1, 4, 400)), "D")
    write_frame(pd.DataFrame({"Date": days, "Close": rng.normal(size=400)}), tmp_path / "t.csv")
    period = "W" if "1w" in words[0] else "M"
    rows = pd.Series(np.arange(400)).groupby(days.to_period(period))
    outside = (rows.min() - reach[0] < 0) | (rows.max() + reach[1] >= 400)
    command = ("csv", *words, "t.csv", "-c", "Close", "--time", "Date", "-o", "o.csv", "--force")
    told = program.run(*command, "--report", "r.json", cwd=tmp_path)
    assert told.code == 0, told
    losses = json.loads((tmp_path / "r.json").read_text())["losses"]
    assert losses["edge_affected"] == outside.sum()
