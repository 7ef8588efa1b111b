"""Bins of the calendar where a time zone changes by less than an hour, or leaves out a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

if TYPE_CHECKING:
    from program import Done, Program

UTC = "%Y-%m-%dT%H:%M:%SZ"
LORD_HOWE = "Australia/Lord_Howe"
# (zone, time of the first row in UTC): the clock is put forward, or back.
HALF_HOURS = [
    (LORD_HOWE, "2023-09-30T12:00"),
    (LORD_HOWE, "2023-04-01T12:00"),
    ("America/Caracas", "2016-05-01T04:00"),
    ("America/Caracas", "2007-12-09T04:00"),
    ("Asia/Pyongyang", "2018-05-04T12:00"),
    ("Asia/Kolkata", "2024-02-28T12:00"),
]


def times_in_utc(first: str, minutes: int, count: int) -> pd.DatetimeIndex:
    return pd.date_range(first, periods=count, freq=f"{minutes}min", tz="UTC")


def filtered(program: Program, times: pd.DatetimeIndex, zone: str, *words: str) -> Done:
    """Filter the numbers 0, 1, 2, ... at these times."""
    lines = [f"{time},{row}\n" for row, time in enumerate(times.strftime(UTC))]
    text = "t,x\n" + "".join(lines)
    asked = ("csv", *words, "--time", "t", "--time-zone", zone, "-c", "x", "-q")
    return program.run(*asked, stdin=text.encode())


def means(bins: pd.DatetimeIndex) -> pd.Series[float]:
    """Return the means of the numbers 0, 1, 2, ... in each bin."""
    return pd.Series(np.arange(float(len(bins)))).groupby(bins).mean()


def numbers(ended: Done) -> list[float]:
    assert ended.code == 0, ended
    return [float(line.split(",")[1] or "nan") for line in ended.text.splitlines()[1:]]


def starts(ended: Done) -> list[str]:
    return [line.split(",")[0] for line in ended.text.splitlines()[1:]]


@pytest.mark.parametrize("minutes", [10, 15, 30])
@pytest.mark.parametrize(("zone", "first"), HALF_HOURS)
def test_bins_of_up_to_half_an_hour_are_those_of_the_wall_clock(
    zone: str, first: str, minutes: int, program: Program
) -> None:
    times = times_in_utc(first, 10, 30)
    wall = times.tz_convert(zone).tz_localize(None)
    offset = wall - times.tz_localize(None)
    # A half of an hour that comes twice is two bins.
    expected = means(wall.floor(f"{minutes}min") - offset)
    of_pool = filtered(program, times, zone, f"avg_pool:{minutes}min")
    assert numbers(of_pool) == pytest.approx(expected.tolist())
    regular = filtered(program, times, zone, "--every", f"{minutes}min")
    assert numbers(regular) == pytest.approx(expected.tolist())
    assert starts(regular) == pd.DatetimeIndex(expected.index).strftime(UTC).tolist()


@pytest.mark.parametrize(("zone", "first"), HALF_HOURS)
def test_hours_of_the_wall_clock_over_a_change_by_half_an_hour(
    zone: str, first: str, program: Program
) -> None:
    times = times_in_utc(first, 10, 30)
    wall = times.tz_convert(zone).tz_localize(None)
    expected = means(wall.floor("h")).tolist()
    assert numbers(filtered(program, times, zone, "avg_pool:1h")) == pytest.approx(expected)
    assert numbers(filtered(program, times, zone, "--every", "1h")) == pytest.approx(expected)


def test_bins_that_do_not_divide_an_hour_begin_at_midnight(program: Program) -> None:
    zone = "Europe/Berlin"
    times = times_in_utc("2024-07-01T00:00", 15, 200)
    wall = times.tz_convert(zone).tz_localize(None)
    expected = means(wall.floor("45min")).tolist()
    assert numbers(filtered(program, times, zone, "avg_pool:45min")) == expected
    assert numbers(filtered(program, times, zone, "--every", "45min")) == expected


@pytest.mark.parametrize(
    ("zone", "first", "days"),
    [
        ("Pacific/Apia", "2011-12-28", ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"]),
        ("Pacific/Kwajalein", "1993-08-19", ["1993-08-19", "1993-08-20", "1993-08-22"]),
        ("Pacific/Kiritimati", "1994-12-29", ["1994-12-29", "1994-12-30", "1995-01-01"]),
    ],
)
@pytest.mark.parametrize("hours", [6, 24])
def test_a_day_that_the_calendar_left_out_has_no_row(
    zone: str, first: str, days: list[str], hours: int, program: Program
) -> None:
    start = pd.Timestamp(first, tz=zone).tz_convert("UTC")
    count = len(days) * 24 // hours
    times = pd.date_range(start, periods=count, freq=f"{hours}h")
    regular = filtered(program, times, zone, "--every", f"{hours}h")
    assert numbers(regular) == list(range(count))
    assert starts(regular) == times.strftime(UTC).tolist()


def test_empty_bins_after_a_change_name_the_offset_of_their_time(program: Program) -> None:
    rows = b"t,x\n2023-10-29T02:30:00+02:00,1\n2023-10-29T03:30:00+01:00,2\n"
    words = ("csv", "--every", "30min", "--time", "t", "-c", "x", "-q")
    ended = program.run(*words, "--time-zone", "Europe/Berlin", stdin=rows)
    assert ended.text.splitlines()[1:] == [
        "2023-10-29T02:30:00+02:00,1",
        "2023-10-29T02:00:00+01:00,",
        "2023-10-29T02:30:00+01:00,",
        "2023-10-29T03:00:00+01:00,",
        "2023-10-29T03:30:00+01:00,2",
    ], ended


OFFSETS = [
    ("2024-01-31 18:00:00-05", "2024-01-31 20:00:00-05", ""),  # as PostgreSQL writes them
    ("2024-01-31T18:00-05", "2024-01-31T20:00-05", ""),
    ("2024-01-31 18:00:00-05", "2024-01-31 20:00:00.25-05", ""),
    ("2024-01-31 18:00:00.5-05", "2024-01-31 20:00:00-05", ""),
    ("20240131T180000-0500", "20240131T200000-0500", ""),
    (
        "1/31/2024 6:00:00 PM -05:00",
        "1/31/2024 8:00:00 PM -05:00",
        "%m/%d/%Y %I:%M:%S %p %z",
    ),
    (
        "Wed Jan 31 18:00:00 -0500 2024",
        "Wed Jan 31 20:00:00 -0500 2024",
        "%a %b %d %H:%M:%S %z %Y",
    ),
    ("31/Jan/2024:18:00:00 -0500", "31/Jan/2024:20:00:00 -0500", "%d/%b/%Y:%H:%M:%S %z"),
]


@pytest.mark.parametrize(("first", "second", "form"), OFFSETS)
def test_days_follow_the_offset_however_it_is_written(
    first: str, second: str, form: str, program: Program
) -> None:
    rows = f"t,x\n{first},1\n{second},2\n".encode()
    words = ["csv", "sum_pool:1d", "--time", "t", "-c", "x", "-q"]
    if form:
        words += ["--date-format", form]
    # Both are on the 31st there, and on two days in UTC.
    assert numbers(program.run(*words, stdin=rows)) == [3.0]
    assert numbers(program.run(*words, "--time-zone", "Etc/UTC", stdin=rows)) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("first", "second", "made"),
    [
        (
            "2024-01-31 23:30:00-05",
            "2024-02-01 01:00:00-05",
            ["2024-01-31 23:00:00-05", "2024-02-01 00:00:00-05", "2024-02-01 01:00:00-05"],
        ),
        (
            "2024-01-31 23:30:00+05:30",
            "2024-02-01 00:30:00+05:30",
            ["2024-01-31 23:00:00+05:30", "2024-02-01 00:00:00+05:30"],
        ),
        (
            "2024-01-31T09:30-05",
            "2024-01-31T10:30-05",
            ["2024-01-31T09:00-05", "2024-01-31T10:00-05"],
        ),
        (
            "2024-01-31 09:30:00 UTC",
            "2024-01-31 10:30:00 UTC",
            ["2024-01-31 09:00:00 UTC", "2024-01-31 10:00:00 UTC"],
        ),
        (
            "30 Dec 2023 09:30:00 GMT",
            "30 Dec 2023 10:30:00 GMT",
            ["30 Dec 2023 09:00:00 GMT", "30 Dec 2023 10:00:00 GMT"],
        ),
        (
            "20240131T180500Z",
            "20240131T190500Z",
            ["20240131T180000Z", "20240131T190000Z"],
        ),
    ],
)
def test_regular_times_keep_the_spelling_of_the_offset(
    first: str, second: str, made: list[str], program: Program
) -> None:
    rows = f"t,x\n{first},1\n{second},2\n".encode()
    ended = program.run("csv", "--every", "1h", "--time", "t", "-c", "x", "-q", stdin=rows)
    assert starts(ended) == made, ended


def test_half_an_hour_of_an_offset_is_written_behind_whole_hours(program: Program) -> None:
    rows = b"t,x\n2024-01-31 18:10:00+00,1\n2024-01-31 19:10:00+00,2\n"
    words = ("csv", "--every", "1h", "--time", "t", "-c", "x", "-q")
    ended = program.run(*words, "--time-zone", "Asia/Kolkata", stdin=rows)
    assert starts(ended) == ["2024-01-31 23:00:00+05:30", "2024-02-01 00:00:00+05:30"], ended
