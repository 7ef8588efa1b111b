"""What a week is: seven days, or five where every row is a business day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from program import done, refused

if TYPE_CHECKING:
    from pathlib import Path


def series(tmp_path: Path, freq: str) -> tuple[Path, pd.Series[float]]:
    times = pd.date_range("2024-01-01", periods=40, freq=freq)  # a Monday
    values = np.random.default_rng(0).integers(0, 100, 40).astype(float)
    table = tmp_path / "table.csv"
    pd.DataFrame({"t": times.strftime("%Y-%m-%d"), "v": values}).to_csv(table, index=False)
    return table, pd.Series(values, index=times)


def column(*words: str | Path) -> list[float]:
    lines = done("csv", "-q", *words, "--time", "t").text.splitlines()[1:]
    return [float(line.split(",")[1] or "nan") for line in lines]


@pytest.mark.parametrize(("freq", "rows"), [("B", 5), ("D", 7)])
def test_a_week_of_rows_is_what_a_window_in_time_holds(
    tmp_path: Path, freq: str, rows: int
) -> None:
    table, prices = series(tmp_path, freq)
    found = column("sma:1w", table)
    assert found == column(f"sma:{rows}", table)
    # pandas looks at the times: all rows of the seven days up to this one.
    np.testing.assert_allclose(found, prices.rolling("7D").mean().to_numpy(), rtol=1e-14)
    assert column("sma:2w", table) == column(f"sma:{2 * rows}", table)


@pytest.mark.parametrize("freq", ["B", "D"])
def test_a_pool_of_a_week_is_a_row_a_week(tmp_path: Path, freq: str) -> None:
    table, prices = series(tmp_path, freq)
    weekly = prices.resample("W-SUN").mean().to_numpy()
    found = column("avg_pool:1w", table)
    whole = len(prices) // (5 if freq == "B" else 7)
    np.testing.assert_allclose(found[:whole], weekly[:whole], rtol=1e-14)


def test_days_are_those_of_the_calendar_and_a_number_counts_trading_days(tmp_path: Path) -> None:
    table, prices = series(tmp_path, "B")
    found = column("sma:20d", table)
    np.testing.assert_allclose(found, prices.rolling("20D").mean().to_numpy(), rtol=1e-14)
    np.testing.assert_allclose(column("sma:20", table), prices.rolling(20, min_periods=1).mean())
    assert column("lag:1d", table)[1:] == column("lag:1", table)[1:]


def test_a_week_back_is_five_business_days(tmp_path: Path) -> None:
    table, _ = series(tmp_path, "B")
    for step in ("lag", "diff"):
        wanted = column(f"{step}:5", table)[5:]
        assert column(f"{step}:7d", table)[5:] == column(f"{step}:168h", table)[5:] == wanted
    told = refused(2, "csv", "lag:3d", table, "--time", "t")
    assert "'3d' is not a fixed number of rows" in told
