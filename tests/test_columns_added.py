"""`--add NAME=FILTER` and `--set COLUMN=FILTER`: several filters in one pass over a table."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from program import SAMPLES, run

from convcli.media.tables import numerals, text

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

STOCKS = str(SAMPLES / "stocks.csv")


def ohlcv(days: int = 200) -> pd.DataFrame:
    """Daily prices of two tickers, interleaved, with gaps in one column."""
    rng = np.random.default_rng(3)
    frames = []
    for ticker in ("A", "B"):
        close = np.round(100 + rng.normal(size=days).cumsum(), 2)
        frame = pd.DataFrame(
            {
                "Date": pd.date_range("2024-01-01", periods=days).astype(str),
                "Ticker": ticker,
                "Open": np.round(close + rng.normal(size=days), 2),
                "High": close + 2,
                "Low": close - 2,
                "Close": close,
                "Volume": rng.integers(1, 1000, days),
            }
        )
        frames.append(frame)
    return pd.concat(frames).sort_values(["Date", "Ticker"], ignore_index=True)


def table_of(data: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(data))


@pytest.mark.parametrize("route", ["small", "columnar"])
def test_new_columns_are_those_of_pandas(
    route: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from convcli.cli import main

    limit = 0 if route == "columnar" else 1 << 40
    monkeypatch.setattr(numerals, "COLUMNAR", limit)
    monkeypatch.setattr(numerals, "COLUMNAR_LOADED", limit)
    # Blocks of a few rows: outputs must not depend on where they end.
    monkeypatch.setattr(text, "BLOCK_BYTES", 300)
    frame = ohlcv().astype({"Volume": float})
    frame.loc[frame.index % 13 == 5, "Volume"] = np.nan
    frame.to_csv(tmp_path / "a.csv", index=False)
    words = ["csv", "sma:3", str(tmp_path / "a.csv"), "-c", "Close,Open", "--by", "Ticker", "-q"]
    words += ["--add", "{column}_fast=ema:span=5", "--add", "{column}_d=diff:1 | lag:2"]
    words += ["--set", "Open=lag:1", "--set", "Volume=lag:1", "-o", str(tmp_path / "b.csv")]
    assert main(words) == 0
    found = pd.read_csv(tmp_path / "b.csv")
    by = frame.groupby("Ticker")
    expected = frame.copy()
    expected["Close"] = by.Close.transform(lambda x: x.rolling(3, min_periods=1).mean())
    expected["Open"] = by.Open.shift(1)
    expected["Volume"] = by.Volume.shift(1)
    for name in ("Close", "Open"):
        fast = by[name].transform(lambda x: x.ewm(span=5, adjust=False).mean())
        expected[f"{name}_fast"] = fast
    for name in ("Close", "Open"):
        expected[f"{name}_d"] = by[name].transform(lambda x: x.diff().shift(2))
    assert list(found) == list(expected)
    for name in map(str, expected):
        if name in ("Date", "Ticker"):
            assert (found[name] == expected[name]).all()
        else:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-11, err_msg=name)


@pytest.mark.parametrize("route", ["small", "columnar"])
def test_without_filter_the_columns_stay_byte_for_byte(
    route: str, program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limit = 0 if route == "columnar" else 1 << 40
    monkeypatch.setattr(numerals, "COLUMNAR", limit)
    monkeypatch.setattr(numerals, "COLUMNAR_LOADED", limit)
    data = b'a,"x",b\r\n1.50,"2.0",z\r\n+3,NA,\r\n\r\n 5,7e0,w\r\n'
    ended = program.run("csv", "-c", "a", "--add", "s=sum_pool:1", stdin=data, cwd=tmp_path)
    expected = b'a,"x",b,s\r\n1.50,"2.0",z,1.5\r\n+3,NA,,3\r\n\r\n 5,7e0,w,5\r\n'
    assert ended.out == expected
    for words in (["x", "-"], ["-"], []):
        again = program.run(
            "csv", *words, "-c", "a", "--add", "s=sum_pool:1", stdin=data, cwd=tmp_path
        )
        assert again.out == expected


def test_only_the_set_column_changes(program: Program, tmp_path: Path) -> None:
    data = b"a,b,c\n1.0,2,3.0\n4,5,6\n"
    ended = program.run("csv", "--set", "b=gain:2", stdin=data, cwd=tmp_path)
    assert ended.out == b"a,b,c\n1.0,4,3.0\n4,10,6\n"
    # A column that was not read otherwise, since its first cells are missing or text.
    data = b"a,word\n1,x\n2,y\n"
    ended = program.run("csv", "gain:2", "--set", "word=lag:1", stdin=data, cwd=tmp_path)
    assert ended.code == 3
    assert "column word: expected a number, got 'x'" in ended.errors[0]


def test_five_days_become_one_row(program: Program, tmp_path: Path) -> None:
    frame = ohlcv()
    frame["Open"] = frame["Close"]
    frame.to_csv(tmp_path / "a.csv", index=False)
    words = ["csv", "a.csv", "--by", "Ticker"]
    for column, step in (("High", "max_pool"), ("Low", "min_pool"), ("Volume", "sum_pool")):
        words += ["--set", f"{column}={step}:5"]
    found = table_of(program.run(*words, cwd=tmp_path).out)
    bins = frame.groupby(["Ticker", frame.groupby("Ticker").cumcount() // 5])
    aggregates = {"Date": "last", "Open": "last", "High": "max", "Low": "min", "Close": "last"}
    expected = bins.agg({**aggregates, "Volume": "sum"}).reset_index(level=0)
    expected = expected.sort_values(["Date", "Ticker"], ignore_index=True)[list(frame)]
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_days_become_the_weeks_of_pandas(program: Program, tmp_path: Path) -> None:
    frame = ohlcv()
    # Holidays: weeks have fewer days.
    holidays = ["2024-01-07", "2024-02-05", "2024-02-06"]
    frame = frame[~frame.Date.isin(holidays)].reset_index(drop=True)
    frame.to_csv(tmp_path / "a.csv", index=False)
    words = ["csv", "a.csv", "--by", "Ticker", "--time", "Date"]
    steps = {"Open": "first", "High": "max", "Low": "min", "Close": "last", "Volume": "sum"}
    for column, step in steps.items():
        words += ["--set", f"{column}={step}_pool:1w"]
    found = table_of(program.run(*words, cwd=tmp_path).out)
    weeks = frame.assign(Date=pd.to_datetime(frame.Date)).groupby("Ticker").resample("W", on="Date")
    expected = weeks.agg(steps).reset_index().sort_values(["Ticker", "Date"])
    found = found.sort_values(["Ticker", "Date"])
    for column in steps:
        np.testing.assert_array_equal(found[column], expected[column])


def test_with_append_the_filter_makes_columns_too(program: Program, tmp_path: Path) -> None:
    data = b"a,b\n1,2\n3,4\n"
    words = ["csv", "sma:2", "--append", "--add", "{column}_up=gain:10", "--set", "b=gain:-1"]
    ended = program.run(*words, stdin=data, cwd=tmp_path)
    assert ended.text == "a,b,a_sma2,a_up,b_up\n1,-2,1,10,20\n3,-4,2,30,40\n"


def test_other_formats(program: Program, tmp_path: Path) -> None:
    data = b"k,a,b\nu,1,2\nv,3,4\n"
    words = ["csv", "--set", "a=gain:2", "--add", "n=gain:3", "-c", "b"]
    for name in ("a.parquet", "b.parquet"):
        source = [] if name == "a.parquet" else ["a.parquet", "--force", "-o", name]
        if source:
            words = ["csv", "--set", "a=gain:2", "--add", "m=gain:3", "-c", "b"]
        more = source or ["-o", name]
        assert program.run(*words, *more, stdin=data, cwd=tmp_path).code == 0
    table = pq.read_table(tmp_path / "b.parquet").to_pydict()
    assert table == {"k": ["u", "v"], "a": [4, 12], "b": [2, 4], "n": [6, 12], "m": [6, 12]}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_pattern_gives_its_filter_to_each_column(
    suffix: str, program: Program, tmp_path: Path
) -> None:
    frame = ohlcv(20).drop(columns="Date").astype({"Volume": float})
    place = tmp_path / f"given.{suffix}"
    if suffix == "csv":
        frame.to_csv(place, index=False)
    elif suffix == "jsonl":
        frame.to_json(place, orient="records", lines=True)
    else:
        frame.to_parquet(place)
    words = ["csv", place.name, "--by", "Ticker", "--format", "csv", "-q"]
    groups = frame.groupby("Ticker")
    columns = {"--set=[HL]*w=lag:1": ["Low"], "--set=*=lag:1": list(frame.columns[1:])}
    columns["--set=?[io]*=lag:1"] = ["High", "Low", "Volume"]
    columns["--set=*e*=lag:1"] = ["Open", "Close", "Volume"]
    for option, shifted in columns.items():
        ended = program.run(*words, option, "-o", "-", cwd=tmp_path)
        assert ended.code == 0, ended
        wanted = frame.copy()
        wanted[shifted] = groups[shifted].shift(1)
        pd.testing.assert_frame_equal(table_of(ended.out), wanted, check_dtype=False)
    ended = program.run(*words, "--set=Clo*=lag:1", "--set=Close=lag:2", cwd=tmp_path)
    assert (ended.code, ended.errors) == (2, ["error: --set names the column 'Close' twice"])
    ended = program.run(*words, "--set=T*=lag:1", cwd=tmp_path)
    assert ended.code == 2
    assert "expected columns that match 'T*', found none" in ended.err


def test_a_filter_leaves_the_columns_of_a_pattern(program: Program, tmp_path: Path) -> None:
    data = b"a,b,c1,c2\n1,2,3,4\n"
    words = ["csv", "gain:2", "--set", "c*=gain:10", "-c", "a,c1"]
    assert program.run(*words, stdin=data, cwd=tmp_path).text == "a,b,c1,c2\n2,2,30,40\n"


def test_names_without_a_header(program: Program, tmp_path: Path) -> None:
    words = ["csv", "--no-header", "-c", "3", "--add", "new=gain:2", "--set", "2=gain:5"]
    assert program.run(*words, stdin=b"a,1,2\n", cwd=tmp_path).out == b"a,5,2,4\n"


def test_a_row_leaves_as_soon_as_it_is_known() -> None:
    ended = run("csv", "--follow", "-c", "a", "--add", "m=sma:2", "-q", stdin=b"a\n1\n3\n")
    assert ended.out == b"a,m\n1,1\n3,2\n"


def test_each_column_is_checked_for_look_ahead(program: Program, tmp_path: Path) -> None:
    words = ["csv", STOCKS, "-c", "price", "--by", "symbol", "--causal-check", "-q"]
    ended = program.run(*words, "--add", "m=sma:3", "--set", "price=ema:span=3", cwd=tmp_path)
    assert ended.code == 0, ended
    verdicts = table_of(ended.out)
    assert set(verdicts.column) == {"m", "price"}
    assert set(verdicts.verdict) == {"ok"}
    ended = program.run(
        *words, "--align", "center", "--add", "m=sma:3", "--add", "l=lag:1", cwd=tmp_path
    )
    verdicts = table_of(ended.out)
    assert ended.code == 1
    assert set(verdicts[verdicts.verdict == "changed"].column) == {"m"}


def test_the_plan_and_the_report_name_every_filter(program: Program, tmp_path: Path) -> None:
    words = ["csv", STOCKS, "-c", "price", "--add", "m=sma:3", "--report", "r.json", "-o", "o.csv"]
    ended = program.run(*words, "--dry-run", cwd=tmp_path)
    assert "--add m=sma:3" in ended.text
    assert program.run(*words, cwd=tmp_path).code == 0
    assert "--add m=sma:3" in (tmp_path / "r.json").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--add", "m"], "--add expects NAME=FILTER, got 'm'"),
        (["--add", "=sma:2"], "--add expects NAME=FILTER"),
        (["--set", "price="], "--set expects COLUMN=FILTER"),
        (["--add", "m=sma:2", "--add", "m=sma:3"], "--add names the column 'm' twice"),
        (["--set", "price=sma:2", "--set", "price=sma:3"], "--set names the column 'price' twice"),
        (["--add", "price=sma:2"], "a column 'price' exists already"),
        (["--set", "nix=sma:2"], "unknown column 'nix'"),
        (["--add", "m=smaa:2"], "unknown step 'smaa'"),
        (["--set", "price=bollinger:3"], "makes 2 columns, expected 1"),
        (
            ["--add", "m=adaptive_avg_pool:2"],
            "adaptive_avg_pool:2 gives 2 outputs for the whole signal",
        ),
        (["--add", "m=max_pool:2"], "gives 1 output for every 2 samples"),
        (["--add", "m=sma:2", "-c", "nix"], "unknown column 'nix'"),
    ],
)
def test_what_is_refused(words: list[str], message: str, program: Program, tmp_path: Path) -> None:
    ended = program.run("csv", "sma:2", STOCKS, *words, "-o", "o.csv", cwd=tmp_path)
    assert ended.code == 2, ended
    assert len(ended.errors) == 1
    assert message in ended.errors[0]
    assert not (tmp_path / "o.csv").exists()


def test_a_name_with_an_equals_sign_stands_in_double_quotes(program: Program) -> None:
    table = b'a=b,"c""d",e\n1,2,3\n2,3,4\n'
    for option, expected in (
        (("--set", '"a=b"=sma:2'), 'a=b,"c""d",e\n1,2,3\n1.5,3,4\n'),
        (("--set", '"c""d" = sma:2'), 'a=b,"c""d",e\n1,2,3\n2,2.5,4\n'),
        (("--add", '"n=1"=sma:2', "-c", "e"), 'a=b,"c""d",e,n=1\n1,2,3,3\n2,3,4,3.5\n'),
    ):
        ended = program.run("csv", "-", *option, stdin=table)
        assert ended.text == expected
    ended = program.run("csv", "-", "--set", "a=b=sma:2", stdin=table)
    assert ended.code == 2
    assert "a name that holds = stands in double quotes" in ended.err


def test_several_columns_need_names_of_their_own(program: Program, tmp_path: Path) -> None:
    data = b"a,b\n1,2\n"
    ended = program.run("csv", "--add", "m=sma:2", stdin=data, cwd=tmp_path)
    assert "--add m=sma:2 names one column, and 2 are read: a, b" in ended.errors[0]
    assert "'{column}_m=...'" in ended.err


def test_a_filter_of_several_outputs_names_each(program: Program, tmp_path: Path) -> None:
    frame = ohlcv(60)[["Ticker", "High", "Low"]]
    given = frame.to_csv(index=False).encode()
    words = ("csv", "-q", "-c", "High,Low", "--by", "Ticker")
    added = ("--add", "{column}_bb=bollinger:5,2", "--add", "range=mix:1,-1", "--add", "s=mono")
    found = table_of(program.run(*words, *added, stdin=given, cwd=tmp_path).out)
    names = ["High_bb_upper", "High_bb_lower", "Low_bb_upper", "Low_bb_lower", "range", "s"]
    assert list(found) == ["Ticker", "High", "Low", *names]
    np.testing.assert_allclose(found.range, frame.High - frame.Low)
    np.testing.assert_allclose(found.s, (frame.High + frame.Low) / 2)
    window = frame.groupby("Ticker").Low.rolling(5, min_periods=1)
    middle = window.mean().droplevel(0).sort_index()
    spread = window.std(ddof=1).droplevel(0).sort_index()
    full = 4 * 2  # from the fifth row of each ticker on, windows are complete
    expected = (middle - 2 * spread)[full:]
    np.testing.assert_allclose(found.Low_bb_lower[full:], expected, rtol=1e-12)


@pytest.mark.parametrize("by", [(), ("--by", "k")])
def test_several_filters_of_several_columns(by: tuple[str, ...], program: Program) -> None:
    words = ("csv", "-q", "-c", "a,b", *by)
    added = ("--add", "{column}_m=sma:2", "--add", "{column}_l=lag")
    ended = program.run(*words, *added, stdin=b"k,a,b\nu,1,10\nv,5,50\nu,3,30\nv,9,90\n")
    found = table_of(ended.out)
    assert list(found) == ["k", "a", "b", "a_m", "b_m", "a_l", "b_l"]
    rows = found[["a", "b"]]
    groups = rows.groupby(found.k) if by else rows
    means = groups.rolling(2, min_periods=1).mean().to_numpy()
    if by:
        means = means[[0, 2, 1, 3]]  # the rows of u and v by turns
    np.testing.assert_array_equal(found[["a_m", "b_m"]], means)
    np.testing.assert_array_equal(found[["a_l", "b_l"]], groups.shift())


def test_the_name_of_one_column_begins_that_of_another(program: Program, tmp_path: Path) -> None:
    words = ["csv", "-q", "-c", "a,a_b,a_upper", "--add", "{column}_bb=bollinger:2"]
    ended = program.run(*words, stdin=b"a,a_b,a_upper\n1,2,3\n", cwd=tmp_path)
    names = "a_bb_upper,a_bb_lower,a_b_bb_upper,a_b_bb_lower,a_upper_bb_upper,a_upper_bb_lower"
    assert ended.text.splitlines()[0] == f"a,a_b,a_upper,{names}"


def test_what_stands_where_the_filter_may_be_left_out(program: Program, tmp_path: Path) -> None:
    ended = program.run("csv", "nix.csv", "--add", "m=sma:2", cwd=tmp_path)
    assert "there is no file nix.csv" in ended.errors[0]
    ended = program.run("csv", "nix", "--add", "m=sma:2", stdin=b"a\n1\n", cwd=tmp_path)
    assert "unknown step 'nix'" in ended.errors[0]
    assert "expected a FILTER, got none" in program.run("csv", cwd=tmp_path).errors[0]


def test_picked_channels() -> None:
    import convcli

    x = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(convcli.apply("pick:3,1", x), x[:, [2, 0]])
    frame = pd.DataFrame(x, columns=["2", "b", "c"])
    picked = convcli.apply("pick:b,#1", frame)
    np.testing.assert_array_equal(picked["b"], x[:, 1])
    with pytest.raises(convcli.RequestError, match="expected the name or the number of a channel"):
        convcli.apply("pick:4", x)


def test_picked_columns_stay_in_place_and_are_added_in_order(program: Program) -> None:
    table = b"k,a,b\nw,1,2\n"
    assert program.run("csv", "pick:2,1", "-q", stdin=table).out == table
    added = program.run("csv", "pick:2,1", "--append", "-q", stdin=table).text
    assert added.splitlines()[1] == "w,1,2,2,1"


@pytest.mark.parametrize(
    ("picked", "difference"), [('"a,b"', 4 - 1), ("a,b", 4 - 1), ('"c;d"', 4 - 2), ("#1", 4 - 1)]
)
def test_a_name_with_commas_is_picked(picked: str, difference: int, program: Program) -> None:
    added = ("--add", f"d=pick:x - pick:{picked}")
    names = ("-c", '"a,b",c;d,x')
    ended = program.run("csv", *added, *names, "-q", stdin=b'"a,b";"c;d";x\n1;2;4\n')
    assert ended.text.splitlines()[1] == f"1;2;4;{difference}", ended


def test_names_without_commas_come_first(program: Program) -> None:
    table = b'b,"a,b",a\n1,2,4\n'
    ended = program.run("csv", "pick:a,b", "-c", 'b,"a,b",a', "--append", "-q", stdin=table)
    assert ended.text.splitlines()[1] == "1,2,4,4,1", ended


@pytest.mark.parametrize("name", ["{columns}_m", "{}", "{x}_{column}"])
def test_braces_that_stand_for_nothing_are_refused(name: str, program: Program) -> None:
    ended = program.run("csv", "--add", f"{name}=sma:2", stdin=b"x\n1\n")
    assert ended.code == 2
    assert "stands for nothing in the name of a column" in ended.errors[0]
    assert "{column} is the name of the column" in ended.err


@pytest.mark.parametrize(
    ("words", "columns"),
    [(("sma:2", "--set", "c7=sum:3"), 1500), (("--add", "{column}_z=x - sma:2"), 4200)],
)
def test_very_wide_tables(words: tuple[str, ...], columns: int, program: Program) -> None:
    names = [f"c{number}" for number in range(columns)]
    table = pd.DataFrame(np.arange(4.0 * columns).reshape(4, columns), columns=names)
    ended = program.run("csv", *words, "-q", stdin=table.to_csv(index=False).encode())
    assert ended.code == 0, ended
    means = table.rolling(2, min_periods=1).mean()
    if words[0] == "--add":
        expected = pd.concat([table, (table - means).add_suffix("_z")], axis=1)
    else:
        expected = means.assign(c7=table["c7"].rolling(3, min_periods=1).sum())
    pd.testing.assert_frame_equal(table_of(ended.out), expected, check_dtype=False)
