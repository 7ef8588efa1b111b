"""--time: the rate of a table, and rows that come at the wrong time."""

from __future__ import annotations

import io
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from table_settings import table_options

from convcli.errors import InputError, RequestError
from convcli.media.tables import text
from convcli.media.tables.any_table import open_table
from convcli.media.tables.cells import Cells
from convcli.media.tables.date_formats import formats_of
from convcli.media.tables.date_notation import DateNotation, read_alike
from convcli.media.tables.every import RegularRow
from convcli.media.tables.every_text import TimesAsText
from convcli.media.tables.find_notation import read_iso
from convcli.signals import blocks_of

if TYPE_CHECKING:
    from pathlib import Path

    from convcli.media.tables.source import TableSource
    from convcli.time_rules import DateTimes

DAY = 86400.0


def opened(rows: list[str], *, header: str = "t,x", **options: object) -> TableSource:
    data = "\n".join([header, *rows, ""]).encode()
    settings = table_options(time="t", **options)
    return open_table(None, options=settings, stdin=io.BytesIO(data))


def read(source: TableSource) -> int:
    return sum(len(block.x) for block in blocks_of(source))


def error_of(rows: list[str], **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read(opened(rows, **options))  # type: ignore[arg-type]
    assert caught.value.hint
    return caught.value.message


def timed(times: list[str]) -> list[str]:
    return [f'"{time}",{i}' for i, time in enumerate(times)]


class TestNumbers:
    @pytest.mark.parametrize(
        ("times", "rate"),
        [
            ([0, 1, 2, 3], 1.0),
            ([10.5, 10.51, 10.52, 10.53], 100.0),
            ([1.7e9 + i / 50 for i in range(100)], 50.0),
            ([0, 250, 500], 1 / 250),
        ],
    )
    def test_rate(self, times: list[float], rate: float) -> None:
        source = opened([f"{t},1" for t in times])
        assert source.signal.rate == pytest.approx(rate, rel=1e-6)
        assert source.signal.cycle == 1
        assert source.signal.channels == ("x",)
        assert read(source) == len(times)

    def test_rounded_times_are_regular(self) -> None:
        source = opened([f"{i / 30:.3f},1" for i in range(1000)])
        assert source.signal.rate == pytest.approx(30, rel=1e-4)
        assert read(source) == 1000

    def test_decimal_comma(self) -> None:
        assert opened(["0,5;1", "1,0;2", "1,5;3"], header="t;x", decimal=",").signal.rate == 2

    def test_irregular(self) -> None:
        assert error_of(["0,1", "1,1", "3,1", "4,1"]) == (
            "standard input, line 4, column t: expected the time 2 after 1, got 3"
        )
        assert "line 4, column t: expected the time 2 after 1, got 1" in error_of(
            ["0,1", "1,1", "1,1", "2,1"]
        )
        assert "line 3, column t: expected the time 4 after 3, got 2" in error_of(
            ["3,1", "2,1", "1,1"]
        )

    @pytest.mark.parametrize("cell", ["", "NaN", "x", "inf"])
    def test_no_time(self, cell: str) -> None:
        shown = cell or "an empty cell"
        assert error_of(["0,1", "1,1", f"{cell},1"]) == (
            f"standard input, line 4, column t: expected a time in seconds, got {shown}"
        )


def test_dates_that_are_written_alike_are_read_as_one_by_one() -> None:
    texts = [
        *("2024-02-29", "2023-02-29", "1999-12-31", "2024-1-010", "2024-00-10", "2024-13-01"),
        *(
            "2024-01-00",
            "2024-01-31 23:59",
            "2024-01-31T24:00",
            "2024-01-31 00:60",
            "20240131 12:30",
        ),
        *(
            "1969-12-31 23:59:59",
            "2024-02-28T00:00:61",
            "2024-01-31 1a:00:00",
            "abcdefghij",
        ),
    ]
    for date in texts:
        data = f"{date},{date},".encode()
        stops = np.array([len(date), 2 * len(date) + 1])
        found = read_alike(Cells(data, np.array([0, len(date) + 1]), stops))
        try:
            expected = np.datetime64(date, "ns")
            good = 1678 <= expected.astype("datetime64[Y]").astype(int) + 1970 <= 2261
        except ValueError:
            good = False
        assert (found is not None) == good, date
        assert found is None or (found == expected).all()


class TestDates:
    @pytest.mark.parametrize(
        ("times", "rate", "cycle"),
        [
            (["2024-02-27", "2024-02-28", "2024-02-29", "2024-03-01"], 1 / DAY, DAY),
            (["20240227", "20240228", "20240229", "20240301"], 1 / DAY, DAY),
            (["2024-01-02 10:00", "2024-01-02 11:00", "2024-01-02 12:00"], 1 / 3600, 3600),
            (["2024-01-02T10:00:00.00", "2024-01-02T10:00:00.25", "2024-01-02T10:00:00.50"], 4, 1),
            (
                ["2024-01-02T10:00:00Z", "2024-01-02T12:00:00+01:00", "2024-01-02T12:00:00Z"],
                1 / 3600,
                3600,
            ),
            (["Jan 1 2000", "Feb 1 2000", "Mar 1 2000"], 1 / (30.436875 * DAY), DAY),
            (["31/01/2024", "01/02/2024", "02/02/2024"], 1 / DAY, DAY),
            (["01/02/2024", "02/02/2024", "03/02/2024"], 1 / (30.436875 * DAY), DAY),
            (
                [f"{1 + i % 12:02}/01/{2000 + i // 12}" for i in range(30)],
                1 / (30.436875 * DAY),
                DAY,
            ),
            ([f"{1 + i:02}/02/2000" for i in range(29)], 1 / DAY, DAY),
            (["1/2/2024", "1/3/2024", "1/4/2024"], 1 / DAY, DAY),
        ],
    )
    def test_rate(self, times: list[str], rate: float, cycle: float) -> None:
        source = opened(timed(times))
        assert source.signal.rate == pytest.approx(rate)
        assert source.signal.cycle == cycle
        assert read(source) == len(times)

    @pytest.mark.parametrize(
        ("calendar", "days"),
        [
            ("D", 1),
            ("B", 1),
            ("W-FRI", 7),
            ("MS", 30.436875),
            ("ME", 30.436875),
            ("BMS", 30.436875),
            ("BME", 30.436875),
            ("QS", 91.310625),
            ("QE", 91.310625),
            ("YS", 365.2425),
            ("YE", 365.2425),
            ("30min", 1 / 48),
        ],
    )
    @pytest.mark.parametrize("rows", [3, 40])
    def test_calendars(
        self, calendar: str, days: float, rows: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(text, "BLOCK_BYTES", 130)
        times = (
            pd.date_range("2023-11-01", periods=rows, freq=calendar)
            .strftime("%Y-%m-%d %H:%M:%S")
            .tolist()
        )
        source = opened(timed(times))
        assert source.signal.rate == pytest.approx(1 / (days * DAY))
        assert read(source) == rows

    def test_a_week_of_days_may_go_on_either_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text, "BLOCK_BYTES", 40)
        for weekend in (
            ["2024-01-06", "2024-01-07", "2024-01-08"],
            ["2024-01-08", "2024-01-09", "2024-01-10"],
        ):
            times = ["2024-01-03", "2024-01-04", "2024-01-05", *weekend]
            source = opened(timed(times))
            assert source.signal.rate == 1 / DAY
            assert read(source) == 6
        bad = ["2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09", "2024-01-11"]
        assert error_of(timed(bad)) == (
            "standard input, line 7, column t: "
            "expected the time 2024-01-10 after 2024-01-09, got 2024-01-11"
        )

    def test_irregular(self) -> None:
        months = ["2024-01-01", "2024-02-01", "2024-04-01", "2024-05-01", "2024-06-01"]
        assert error_of(timed(months)) == (
            "standard input, line 4, column t: "
            "expected the time 2024-03-01 after 2024-02-01, got 2024-04-01"
        )

    def test_holidays_are_irregular_and_the_hint_says_what_to_do(self) -> None:
        times = pd.bdate_range("2024-01-01", periods=40).strftime("%Y-%m-%d").tolist()
        del times[10]
        with pytest.raises(InputError) as caught:
            opened(timed(times))
        assert (
            "expected the time 2024-01-15 after 2024-01-12, got 2024-01-16" in caught.value.message
        )
        assert "trading days" in str(caught.value.hint)

    def test_a_late_irregularity_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text, "BLOCK_BYTES", 60)
        times = (
            pd.date_range("2024-01-01", periods=100, freq="h").strftime("%Y-%m-%d %H:%M").tolist()
        )
        del times[70]
        message = error_of(timed(times))
        assert message == (
            "standard input, line 72, column t: "
            f"expected the time {pd.Timestamp(times[69]) + pd.Timedelta('1h')} "
            f"after {pd.Timestamp(times[69])}, got {times[70]}"
        )

    @pytest.mark.parametrize(
        ("cell", "hint"),
        [("", "a row without its time has no place"), ("1e306", "times are smaller than 1e+305")],
    )
    def test_a_number_that_is_no_time(self, cell: str, hint: str) -> None:
        with pytest.raises(InputError) as caught:
            read(opened(timed(["1", "2", cell])))
        assert str(caught.value.hint).startswith(hint)

    @pytest.mark.parametrize("cell", ["", "soon", "2024-2-1"])
    def test_no_date(self, cell: str) -> None:
        message = error_of(timed(["2024-02-27", "2024-02-28", cell]))
        assert "line 4, column t: expected a date or time written as in the first row" in message

    @pytest.mark.parametrize(
        "cell", ["2024-02-30", "2024-13-01", "2024-02-28 24:00", "2024-02-28T23:59:60"]
    )
    def test_the_hint_for_a_date_that_does_not_exist_names_what_is_wrong(self, cell: str) -> None:
        with pytest.raises(InputError) as caught:
            read(opened(timed(["2024-02-28 12:00", cell])))
        is_day = len(cell) == 10
        wanted = "the calendar has no such day" if is_day else "24:00 is 00:00 of the next day"
        assert str(caught.value.hint).startswith(wanted)

    @pytest.mark.parametrize(
        "cell", ["2024-02-30", "2024-13-01", "2024-02-28 24:00", "2024-02-28T23:59:60"]
    )
    @pytest.mark.parametrize("offset", ["", "Z"])
    def test_a_date_that_does_not_exist(self, cell: str, offset: str) -> None:
        if len(cell) == 10:
            cell += " 12:00"
        good = f"2024-02-28 12:00{offset}"
        for cells in ([good, good, cell + offset], [cell + offset, good]):
            row = 2 + cells.index(cell + offset)
            message = error_of(timed(cells))
            assert f"line {row}, column t: expected a date and a time of day that exist" in message

    @pytest.mark.parametrize(
        ("cells", "expected"),
        [
            (["20240227", "20240228", "20240230"], "written as in the first row, got 20240230"),
            (["20240227", "", "20240229"], "written as in the first row, got an empty cell"),
            (
                ["20240227120000", "20240228120000", "20240228126000"],
                "in the first row, got 20240228126",
            ),
            (["20241301", "20240228", "20240229"], "written as in the first row, got 20241301"),
            (["202401", "202402", "202413", "202404"], "written as %Y%m, got 202413"),
        ],
    )
    def test_dates_of_digits_are_not_taken_for_seconds(
        self, cells: list[str], expected: str
    ) -> None:
        assert expected in error_of(timed(cells))

    @pytest.mark.parametrize("times", [["1e308", "9"], ["-1e308", "1e308"], ["0", "1e306"]])
    def test_a_number_too_large_for_a_time(self, times: list[str]) -> None:
        assert "expected a time in" in error_of(timed(times))

    def test_no_time_at_all(self) -> None:
        assert "expected a time: a number of seconds, a date" in error_of(
            timed(["spring", "summer"])
        )


class TestGroups:
    ROWS = ("0,a,1", "0,b,1", "1,a,1", "5,c,1", "1,b,1", "2,a,1", "2,b,1", "6,c,1")

    @pytest.mark.parametrize("block", [8, 1 << 20])
    def test_each_has_its_own_times(self, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text, "BLOCK_BYTES", block)
        source = opened(list(self.ROWS), header="t,g,x", by=("g",), columns=("x",))
        assert source.signal.rate == 1
        assert read(source) == 8
        message = error_of([*self.ROWS, "4,b,1"], header="t,g,x", by=("g",), columns=("x",))
        assert (
            message == "standard input, line 10, column t: expected the time 3 after 2 of b, got 4"
        )

    def test_all_must_have_the_same_step(self) -> None:
        rows = ["0,a,1", "1,a,1", "2,a,1", "0,b,1", "2,b,1"]
        assert "line 6, column t: expected the time 1 after 0 of b, got 2" in error_of(
            rows, header="t,g,x", by=("g",)
        )


class TestShort:
    def test_header_only(self) -> None:
        source = opened([], columns=("x",))
        assert source.signal.rate is not None
        assert source.warnings
        assert read(source) == 0

    def test_follow_waits_for_two_rows(self) -> None:
        class Lines(io.BytesIO):
            def read1(self, _size: int | None = -1, /) -> bytes:
                return self.readline()

        lines = Lines(b"t,x\n0,1\n2,2\n4,3\n")
        source = open_table(None, options=table_options(time="t", follow=True), stdin=lines)
        assert source.signal.rate == 0.5
        assert lines.tell() == 12
        assert read(source) == 3
        assert np.isclose(source.facts()["rows"], 3)


def test_dates_that_may_be_read_both_ways_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("d,v\n01/01/2024,1\n01/02/2024,2\n01/03/2024,4\n01/04/2024,4\n")
    source = open_table(path, options=table_options(time="d"))
    assert any("month first" in warning for warning in source.warnings)


class TestYearsAndMonths:
    @pytest.mark.parametrize(
        ("times", "form", "dates", "days"),
        [
            (["2024", "2025", "2026"], "%Y", ["2024-01-01", "2026-01-01"], 365.2425),
            (["2024.0", "2025.0", "2026.0"], "%Y", ["2024-01-01", "2026-01-01"], 365.2425),
            (["1700", "1710", "1720"], "%Y", ["1700-01-01", "1720-01-01"], 3652.425),
            (["202411", "202412", "202501"], "%Y%m", ["2024-11-01", "2025-01-01"], 30.436875),
        ],
    )
    def test_they_are_dates_and_a_warning_says_so(
        self, times: list[str], form: str, dates: list[str], days: float
    ) -> None:
        source = opened(timed(times))
        assert source.signal.dated
        assert source.signal.rate == pytest.approx(1 / (days * DAY))
        (block,) = blocks_of(source)
        assert block.stamps is not None
        wall = block.stamps[:, 1].view("datetime64[ns]")
        assert [str(wall[0])[:10], str(wall[-1])[:10]] == dates
        assert f"(--date-format {form}); --time-unit s" in source.warnings[0]
        assert opened(timed(times), time_unit="s", irregular=True).warnings == []

    @pytest.mark.parametrize(
        "times",
        [["2024", "20251"], ["1999", "2500"], ["202411", "202413"], ["24", "25"], ["0", "2024"]],
    )
    def test_other_numbers_are_seconds(self, times: list[str]) -> None:
        source = opened(timed(times), irregular=True)
        assert not source.signal.dated
        assert source.warnings == []

    def test_fractions_of_years_are_seconds_and_a_warning_says_so(self) -> None:
        source = opened(timed(["2024.5", "2025.5"]))
        assert "2024.5 looks like a year" in source.warnings[0]
        assert opened(timed(["2024.5", "2025.5"]), time_unit="s").warnings == []

    def test_a_later_row_that_is_no_year(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text, "BLOCK_BYTES", 20)
        message = error_of([*(f"{year},1" for year in range(2001, 2009)), "20090,1"])
        assert "line 10, column t: expected a date or time written as %Y, got 20090" in message

    @pytest.mark.parametrize("date", ["1600-01-01", "2300-05-01", "1600-01-01 10:00"])
    def test_dates_that_nanoseconds_cannot_count(self, date: str) -> None:
        assert f"expected a date from 1678 to 2261, got {date}" in error_of(timed([date, date]))


class TestUnits:
    START = 1_577_836_800  # 2020-01-01 00:00:00 UTC, as pandas says

    @pytest.mark.parametrize(
        ("unit", "name"), [("s", ""), ("ms", "milli"), ("us", "micro"), ("ns", "nano")]
    )
    @pytest.mark.parametrize("block", [30, 1 << 20])
    def test_the_unit_is_known_by_magnitude(
        self, unit: str, name: str, block: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(text, "BLOCK_BYTES", block)
        per_second = pd.Timedelta("1s") // pd.Timedelta(f"1{unit}")
        rows = [f"{(self.START + 60 * i) * per_second},{i}" for i in range(100)]
        source = opened(rows)
        assert source.signal.rate == pytest.approx(1 / 60, rel=1e-12)
        assert read(source) == 100
        told = f"read as {name}seconds since 1970: the first is 2020-01-01"
        assert told in source.warnings[0]
        asked = opened(rows, time_unit=unit)
        assert asked.signal.rate == pytest.approx(1 / 60, rel=1e-12)
        assert asked.warnings == []

    def test_the_unit_that_is_asked_for(self) -> None:
        assert opened(["0,1", "20,1", "40,1"], time_unit="ms").signal.rate == 50
        assert opened(["20200101,1", "20200102,1"], time_unit="us").signal.rate == 1e6
        assert "expected a time in milliseconds, got 2020-01-01" in error_of(
            ["2020-01-01,1", "2020-01-02,1"], time_unit="ms"
        )

    @pytest.mark.parametrize("block", [30, 1 << 20])
    def test_nanoseconds_are_exact(self, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text, "BLOCK_BYTES", block)
        start = self.START * 10**9
        rows = [f"{start + 100 * i},{i}" for i in range(50)]
        source = opened(rows)
        assert source.signal.rate == pytest.approx(1e7, rel=1e-9)
        assert read(source) == 50
        rows[30] = f"{start + 3050},0"
        assert error_of(rows) == (
            "standard input, line 32, column t: "
            f"expected the time {start + 3000} after {start + 2900}, got {start + 3050}"
        )
        rows[30] = f"{start}.5,0"
        assert "expected a time in whole nanoseconds, got" in error_of(rows)

    def test_errors_are_in_the_unit_of_the_table(self) -> None:
        rows = [f"{self.START * 1000 + 60_000 * i},1" for i in (0, 1, 2, 4)]
        assert error_of(rows).endswith(
            "expected the time 1577836980000 after 1577836920000, got 1577837040000"
        )

    @pytest.mark.parametrize(
        ("first", "told"),
        [
            ("43831", "a serial day of Excel (2020-01-01)"),
            ("43831.5", "a serial day of Excel (2020-01-01 12:00:00)"),
            ("737791", "a serial day of MATLAB (2020-01-01)"),
            ("2458849.5", "a Julian day (2020-01-01)"),
        ],
    )
    def test_serial_days_are_named(self, first: str, told: str) -> None:
        rows = [f"{first},1", "80000000,2"]
        with pytest.raises(InputError) as caught:
            opened(rows)
        assert told in caught.value.message
        assert "--time-unit s" in str(caught.value.hint)
        assert opened([f"{first},1", f"{float(first) + 1},2"], time_unit="s").signal.rate == 1

    @pytest.mark.parametrize("times", [["9e300", "9.5e300"], ["1e-320", "2e-320"]])
    def test_steps_that_give_no_rate(self, times: list[str]) -> None:
        rows = [f"{time},1" for time in times]
        assert "expected a step of 1e-15 to 1e+15 seconds" in error_of(rows)

    def test_options_that_contradict(self) -> None:
        with pytest.raises(RequestError, match="contradict"):
            opened(["0,1"], time_unit="s", date_format="%Y")
        for options in (table_options(time_unit="s"), table_options(date_format="%Y")):
            with pytest.raises(RequestError, match="needs --time COLUMN"):
                open_table(None, options=options, stdin=io.BytesIO(b"x\n1\n"))


class TestOrderOfDates:
    @pytest.mark.parametrize(
        ("times", "days"),
        [
            (["01.02.2020", "02.02.2020", "03.02.2020"], 1),
            (["1.2.2020 08:00", "2.2.2020 08:00", "3.2.2020 08:00"], 1),
            (["2020/02/01", "2020/03/01", "2020/04/01"], 30.436875),
            (["2020/02/01", "2020/02/02", "2020/02/03"], 1),
            (["2020.02.01", "2020.02.02", "2020.02.03"], 1),
            (["01.13.2020", "01.14.2020"], 1),
        ],
    )
    def test_the_order_that_a_spelling_has_leaves_no_doubt(
        self, times: list[str], days: float
    ) -> None:
        source = opened(timed(times))
        assert source.signal.rate == pytest.approx(1 / (days * DAY))
        assert source.warnings == []
        assert read(source) == len(times)

    def test_the_day_is_first_between_points_even_if_only_months_come_regularly(self) -> None:
        assert "expected the time" in error_of(timed(["01.01.2020", "02.02.2020", "03.02.2020"]))

    @pytest.mark.parametrize(
        ("form", "times", "days"),
        [
            ("%d/%m/%Y", ["01/02/2020", "02/02/2020", "03/02/2020"], 1),
            ("%d.%m.%y", ["01.02.20", "02.02.20", "03.02.20"], 1),
            ("%Y%m%d%H", ["2020010100", "2020010106", "2020010112"], 0.25),
            ("%d-%b-%Y", ["28-Feb-2021", "01-Mar-2021"], 1),
        ],
    )
    def test_the_format_that_is_asked_for(self, form: str, times: list[str], days: float) -> None:
        stamps = pd.to_datetime(times, format=form)
        assert stamps[1] - stamps[0] == pd.Timedelta(days=days)
        source = opened(timed(times), date_format=form)
        assert source.signal.rate == pytest.approx(1 / (days * DAY))
        assert source.warnings == []
        message = error_of(timed([*times, "soon"]), date_format=form)
        assert f"expected a date or time written as {form}, got soon" in message

    @pytest.mark.parametrize("form", ["", "mixed", "%", "%Q", "%Y %Y", "ISO8601"])
    def test_no_format(self, form: str) -> None:
        with pytest.raises(RequestError, match="--date-format cannot be"):
            opened(timed(["2020-01-01"]), date_format=form)

    def test_unsorted_times_say_so(self) -> None:
        back = ["2020-01-02", "2020-01-03", "2020-01-01"]
        for times in (back, back[::-1], ["0", "1", "0.5"]):
            with pytest.raises(InputError, match="the times are unsorted") as caught:
                read(opened(timed(times)))
            assert "sort the rows by time" in str(caught.value.hint)
        assert "unsorted" not in error_of(timed(["0", "1", "1"]))

    def test_unsorted_times_of_two_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text, "BLOCK_BYTES", 20)
        assert "the times are unsorted" in error_of([f"{t},1" for t in (*range(20), 3)])


@pytest.mark.parametrize("form", ["%m/%d/%Y  %I:%M %p", "%d-%b-%y,  %H:%M", "%b %d, %Y, %H:%M:%S"])
def test_the_format_of_a_date_reads_it(form: str) -> None:
    """Oracle: strptime, for which one blank stands for several."""
    moment = datetime(2024, 7, 28, 15, 4)  # noqa: DTZ001
    text = moment.strftime(form)
    (found,) = formats_of(text)
    assert datetime.strptime(text, found) == moment  # noqa: DTZ007
    assert formats_of(text + "x" * 100) == []


def test_the_times_of_bins_are_read_back_together() -> None:
    """One by one, pandas takes 1.5 ms for each date that names its offset."""
    asked = []

    def read(texts: list[bytes]) -> DateTimes:
        asked.append(len(texts))
        return read_iso(texts)

    stamper = SimpleNamespace(notation=DateNotation(read), spelling=None)
    source = SimpleNamespace(stamper=stamper, name="t.csv", header=["t"], time_column=0)
    times = TimesAsText(source, b"2024-01-31 09:30")  # type: ignore[arg-type]
    instants = np.arange(1000) * 60_000_000_000
    rows = [RegularRow(row=0, kept=(), means=None, wall=at, instant=at) for at in instants.tolist()]
    assert times.texts(rows)[-1] == b"1970-01-01 16:39"
    assert asked == [1000]
    half = 30_000_000_000
    late = RegularRow(row=0, kept=(), means=None, wall=half, instant=half)
    with pytest.raises(RequestError, match="got 1970-01-01 00:00\n"):
        times.texts([rows[0], late])
