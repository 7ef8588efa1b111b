"""`convcli csv` as its users run it."""

from __future__ import annotations

import io
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from life import PATIENCE, read_some, wait_for_end
from program import CONVCLI, SAMPLES, Program, done, peer, refused, run, shell

if TYPE_CHECKING:
    from pathlib import Path

PRICES = b"price\n10\n11\n12\n11\n13\n"
# A file with everything that a careless reader would rewrite.
ODD = (
    b'\xef\xbb\xbfid,"Close, adj",note,zip,ticker\r\n'
    b'1, 1.0500 ,"say ""hi"", twice",007,NA\r\n'
    b"2,\"1e3\",'quoted',00,TRUE\r\n"
    b'3,,"two\r\nlines",  8 ,NULL\r\n'
    b"4,+.5,\xc3\xa9\xc2\xa0,,nan\r\n"
    b"\r\n"
    b"5,NaN,,1_0,-0"
)


def column(text: str, place: int = 0) -> list[str]:
    return [line.split(",")[place] for line in text.splitlines()[1:]]


# ---------------------------------------------------------------------------------- worked examples


@pytest.mark.parametrize(
    ("words", "text", "expected"),
    [
        (("correlate:2,1", "--edge", "valid"), b"x\n1\n2\n3\n4\n5\n", ["4", "7", "10", "13"]),
        (("kernel:2,1", "--edge", "valid"), b"x\n1\n2\n3\n4\n5\n", ["5", "8", "11", "14"]),
        (("sma:3",), PRICES, ["10", "10.5", "11", "11.333333333333334", "12"]),
        (("sma:3", "--decimals", "2"), PRICES, ["10.00", "10.50", "11.00", "11.33", "12.00"]),
        (("ema:alpha=0.5",), PRICES, ["10", "10.5", "11.25", "11.125", "12.0625"]),
        (
            ("sma:3", "--missing", "fill", "--align", "center"),
            b"x\n1\nNaN\n3\n4\n",
            ["1", "2", "3.5", "3.5"],
        ),
        (("sma:3", "--align", "center"), b"x\n1\nNaN\n3\n4\n", ["1", "NaN", "3.5", "3.5"]),
        (("sma:3", "--align", "center"), b"x,y\n1,a\n,b\n3,c\n4,d\n", ["1", "", "3.5", "3.5"]),
        (("diff:1",), b"x,y\n1,a\n4,b\n2,c\n", ["", "3", "-2"]),
        (
            ("kernel:1,2,3", "--align", "center", "--edge", "zero"),
            b"x\n0\n0\n0\n0\n1\n0\n0\n0\n0\n",
            list("000123000"),
        ),
        (
            ("correlate:1,2,3", "--align", "center", "--edge", "zero"),
            b"x\n0\n0\n0\n0\n1\n0\n0\n0\n0\n",
            list("000321000"),
        ),
    ],
)
def test_the_worked_examples(
    words: tuple[str, ...], text: bytes, expected: list[str], program: Program, tmp_path: Path
) -> None:
    ended = program.run("csv", *words, stdin=text, cwd=tmp_path)
    assert ended.code == 0, ended
    assert column(ended.text) == expected


def test_a_pipe_of_the_shell(tmp_path: Path) -> None:
    ended = shell(r"printf 'x\n1\n2\n3\n4\n5\n' | convcli csv correlate:2,1 --edge valid", tmp_path)
    assert ended.text.split() == ["x", "4", "7", "10", "13"]


def test_interleaved_groups_keep_their_rows(program: Program, tmp_path: Path) -> None:
    rows = b"T,p\nA,10\nNA,1\nA,11\nNA,2\nTRUE,5\nA,12\nA,11\nNA,6\nA,13\n"
    ended = program.run("csv", "sma:3", "--by", "T", "--decimals", "1", stdin=rows, cwd=tmp_path)
    assert column(ended.text, 0) == ["A", "NA", "A", "NA", "TRUE", "A", "A", "NA", "A"]
    assert column(ended.text, 1) == [
        "10.0",
        "1.0",
        "10.5",
        "1.5",
        "5.0",
        "11.0",
        "11.3",
        "3.0",
        "12.0",
    ]


def test_by_gives_each_group_what_it_gets_alone(tmp_path: Path) -> None:
    together = done(
        "csv",
        "gaussian:2",
        SAMPLES / "stocks.csv",
        "-c",
        "price",
        "--by",
        "symbol",
        "--align",
        "center",
    )
    lines = (SAMPLES / "stocks.csv").read_text().splitlines()
    place = lines[0].split(",").index("symbol")
    alone = "\n".join([lines[0], *(line for line in lines[1:] if line.split(",")[place] == "IBM")])
    single = done(
        "csv",
        "gaussian:2",
        "-c",
        "price",
        "--align",
        "center",
        stdin=alone.encode() + b"\n",
        cwd=tmp_path,
    )
    mine = [line for line in together.text.splitlines()[1:] if line.split(",")[place] == "IBM"]
    assert mine == single.text.splitlines()[1:]


# -------------------------------------------------------------------------------- columns and cells


def test_append_keeps_the_columns_and_names_new_ones(program: Program, tmp_path: Path) -> None:
    rows = b"day,Close,Volume\r\nMon,1.50,7\r\nTue,2.50,9\r\n"
    ended = program.run("csv", "sma:20", "-c", "Close", "--append", stdin=rows, cwd=tmp_path)
    assert ended.out == b"day,Close,Volume,Close_sma20\r\nMon,1.50,7,1.5\r\nTue,2.50,9,2\r\n"
    taken = program.run(
        "csv", "sma:20", "--append", "-c", "x", stdin=b"x,x_sma20\n1,2\n", cwd=tmp_path
    )
    assert taken.code == 2
    assert "'x_sma20' exists already" in taken.err


def test_by_default_every_numeric_column(program: Program, tmp_path: Path) -> None:
    ended = program.run("csv", "box:2", stdin=b"name,a,b\nr1,1,10\nr2,3,30\n", cwd=tmp_path)
    assert ended.out == b"name,a,b\nr1,1,10\nr2,2,20\n"
    some = program.run(
        "csv", "box:2", "-c", "b", stdin=b"name,a,b\nr1,1,10\nr2,3,30\n", cwd=tmp_path
    )
    assert some.out == b"name,a,b\nr1,1,10\nr2,3,20\n"


def test_cells_that_are_not_filtered_stay_byte_for_byte(program: Program, tmp_path: Path) -> None:
    ended = program.run("csv", "box:2", "-c", '"Close, adj"', stdin=ODD, cwd=tmp_path)
    assert ended.code == 0, ended
    assert ended.out == ODD.replace(b" 1.0500 ", b" 1.05 ").replace(b'"1e3"', b'"500.525"').replace(
        b"+.5", b"0.5"
    )


@pytest.mark.parametrize("filter", ["kernel:1", "downsample:1", "gain:0dB | kernel:1"])
def test_a_step_that_changes_nothing_leaves_the_bytes(
    filter: str, program: Program, tmp_path: Path
) -> None:
    (tmp_path / "odd.csv").write_bytes(ODD)
    name = '"Close, adj"'
    assert program.run("csv", filter, "odd.csv", "-c", name, cwd=tmp_path).out == ODD
    assert program.run("csv", filter, "-c", name, stdin=ODD, cwd=tmp_path).out == ODD
    assert program.run("csv", filter, "-c", name, "--follow", stdin=ODD, cwd=tmp_path).out == ODD
    ended = program.run("csv", filter, "odd.csv", "-c", name, "-o", "same.csv", cwd=tmp_path)
    assert ended.out == b""
    assert (tmp_path / "same.csv").read_bytes() == ODD


def test_the_identity_of_real_tables(tmp_path: Path) -> None:
    for name in ("stocks.csv", "weather.csv", "vix.csv"):
        assert (
            done("csv", "kernel:1", SAMPLES / name, cwd=tmp_path).out
            == (SAMPLES / name).read_bytes()
        )


def test_delimiters_and_decimal_commas(program: Program, tmp_path: Path) -> None:
    comma = program.run(
        "csv", "sma:2", "--decimal", ",", stdin=b"a;b\n1,5;x\n2,0;y\n", cwd=tmp_path
    )
    assert comma.out == b"a;b\n1,5;x\n1,75;y\n"
    quoted = program.run(
        "csv", "sma:2", "--decimal", ",", "-d", ",", stdin=b'a,b\n"1,5",x\n"2,0",y\n', cwd=tmp_path
    )
    assert quoted.out == b'a,b\n"1,5",x\n"1,75",y\n'
    tabs = program.run("csv", "sma:2", "-d", r"\t", stdin=b"a\tb,c\n1\tx\n2\ty\n", cwd=tmp_path)
    assert tabs.out == b"a\tb,c\n1\tx\n1.5\ty\n"
    (tmp_path / "t.tsv").write_bytes(b"a,a\tb\n1\tx\n2\ty\n")
    assert program.run("csv", "sma:2", "t.tsv", cwd=tmp_path).out == b"a,a\tb\n1\tx\n1.5\ty\n"
    for bad in ("ab", "", '"', "\n"):
        assert program.run("csv", "sma:2", "-d", bad, stdin=b"a\n1\n", cwd=tmp_path).code == 2


def test_encodings(program: Program, tmp_path: Path) -> None:
    text = "größe,x\r\nä,1\r\nö,2\r\n"
    filtered = "größe,x\r\nä,1\r\nö,1.5\r\n"
    for encoding in ("latin-1", "utf-16", "utf-16-le", "cp1252", "utf-8-sig"):
        ended = program.run(
            "csv", "sma:2", "--encoding", encoding, stdin=text.encode(encoding), cwd=tmp_path
        )
        assert ended.code == 0, ended
        assert ended.out == filtered.encode(encoding)
    nonsense = program.run("csv", "sma:2", "--encoding", "klingon", stdin=b"a\n1\n", cwd=tmp_path)
    assert nonsense.code == 2
    assert "klingon" in nonsense.err
    # Bytes that are no UTF-8 and stand in cells that nobody reads pass as they are.
    assert (
        program.run("csv", "sma:2", "-c", "x", stdin=b"n,x\n\xe9,1\n\xff,2\n", cwd=tmp_path).out
        == b"n,x\n\xe9,1\n\xff,1.5\n"
    )


def test_no_header(program: Program, tmp_path: Path) -> None:
    ended = program.run("csv", "sma:2", "--no-header", stdin=b"7,a,1\n8,b,2\n", cwd=tmp_path)
    assert ended.out == b"7,a,1\n7.5,b,1.5\n"
    second = program.run(
        "csv", "sma:2", "--no-header", "-c", "3", stdin=b"7,a,1\n8,b,2\n", cwd=tmp_path
    )
    assert second.out == b"7,a,1\n8,b,1.5\n"


def test_header_only_in_header_only_out(program: Program, tmp_path: Path) -> None:
    for header in (b"a,b\n", b"a,b", b"\xef\xbb\xbfa,b\r\n"):
        ended = program.run("csv", "sma:2", stdin=header, cwd=tmp_path)
        assert (ended.code, ended.out) == (0, header), ended
    words = ("--every", "1d", "--time", "a", "-c", "b")
    regular = program.run("csv", *words, stdin=b"a,b\n", cwd=tmp_path)
    assert (regular.out, len(regular.warnings)) == (b"a,b\n", 1), regular
    empty = program.run("csv", "sma:2", stdin=b"", cwd=tmp_path)
    assert empty.code == 3
    assert "empty" in empty.err


def test_after_downsampling_the_other_cells_are_those_of_the_newest_row(
    program: Program, tmp_path: Path
) -> None:
    rows = b"day,x\n" + b"".join(b"d%d,%d\n" % (i, i) for i in range(1, 8))
    causal = program.run("csv", "avg_pool:3", stdin=rows, cwd=tmp_path)
    assert causal.out == b"day,x\nd3,2\nd6,5\nd7,7\n"
    center = program.run("csv", "avg_pool:3", "--align", "center", stdin=rows, cwd=tmp_path)
    assert column(center.text, 0)[:2] == ["d2", "d5"]
    stride = program.run("csv", "stride:3", "--edge", "valid", stdin=rows, cwd=tmp_path)
    assert [line.split(",") for line in stride.text.splitlines()[1:]] == [
        [f"d{n}", str(n)] for n in (1, 4, 7)
    ]


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("words", "text", "code", "told"),
    [
        (
            ("sma:2",),
            b"a,b\n1,2\n3,x4\n",
            3,
            ("standard input", "line 3", "column b", "'x4'", "-c names"),
        ),
        (("sma:2", "-c", "b"), b"a,b\n1,2\n3,\n5,--\n", 3, ("line 4", "column b", "'--'")),
        (
            ("sma:2", "-c", "Clsoe"),
            b"Open,Close\n1,2\n",
            2,
            ("unknown column 'Clsoe'", "did you mean Close?"),
        ),
        (
            ("sma:2", "--by", "Tick"),
            b"Ticker,x\nA,2\n",
            2,
            ("unknown column 'Tick'", "did you mean Ticker?"),
        ),
        (("sma:2",), b"a,b\n1,2\n3\n", 3, ("line 3", "expected 2 cells", "got 1")),
        (("sma:2",), b'a,b\n1,"2\n3,4\n', 3, ("line 2", "never closed")),
        (("sma:2",), b"a,b\nx,y\n", 3, ("column of numbers", "-c names")),
        (
            ("sma:2",),
            b"price|name\n1|2\n",
            3,
            ("column of numbers", "hint: -d '|' if that splits the cells"),
        ),
        (
            ("sma:2", "-c", "price"),
            b"price|name\n1|2\n",
            2,
            ("unknown column", "hint: -d '|' if that splits"),
        ),
        (("sma:2", "-d", ","), b"price\tname\n1\t2\n", 3, ("hint: -d '\\t' if that splits",)),
        (
            ("sma:2", "-c", "volt"),
            b"# logger\ntime,volt\n0,1\n",
            2,
            ("unknown column 'volt'", "hint: --comment '#' leaves out"),
        ),
        (
            ("sma:2", "-c", "volt"),
            b"time,volt\ns,mV\n0,1\n",
            3,
            ("line 2", "'mV'", "--comment s,mV leaves out a row of units"),
        ),
        (
            ("sma:2s", "--time", "time", "-c", "volt"),
            b"time,volt\n(s),(mV)\n0,1\n",
            3,
            ("line 2", "got (s)", "hint: --comment '(s),(mV)' leaves out a row of units"),
        ),
        (("sma:2", "-c", "a"), b"a,a\n1,2\n", 2, ("ambiguous",)),
        (("sma:2", "-c", "a,a"), b"a,b\n1,2\n", 2, ("twice",)),
        (("sma:2", "-c", ","), b"a,b\n1,2\n", 2, ("-c expects",)),
        (("sma:20d",), b"a,b\n1,2\n", 2, ("--time", "sma:20d", "^")),
        (("lowpass:5Hz",), b"a,b\n1,2\n", 2, ("lowpass:5Hz", "^")),
        (("resample:8k",), b"a\n1\n2\n", 2, ("resample",)),
        (("kernel:0,-1,0;-1,5,-1;0,-1,0",), b"a\n1\n2\n", 2, ("3x3 taps", "one axis of rows")),
        (("sma:2", "--missing", "error"), b"a\n1\n\n3\n", 3, ("missing", "a")),
        (("sma:2", "--decimal", "x"), b"a\n1\n", 2, ("--decimal",)),
        (("sma:2", "--decimals", "-1"), b"a\n1\n", 2, ("--decimals",)),
    ],
)
def test_errors_say_what_and_where(
    *,
    words: tuple[str, ...],
    text: bytes,
    code: int,
    told: tuple[str, ...],
    program: Program,
    tmp_path: Path,
) -> None:
    ended = program.run("csv", *words, stdin=text, cwd=tmp_path)
    assert ended.code == code, ended
    assert len(ended.errors) == 1, ended
    for words_told in told:
        assert words_told in ended.err, ended.err


def test_downsampling_a_constant_gives_it_from_the_first_row_to_the_last(
    program: Program, tmp_path: Path
) -> None:
    for words in ((), ("--align", "center"), ("--edge", "reflect"), ("--edge", "wrap")):
        ended = program.run(
            "csv", "downsample:4", *words, stdin=b"x\n" + b"12.3\n" * 203, cwd=tmp_path
        )
        # To the last bits: dot products of fractions are rounded as the BLAS of the machine adds
        # them up.
        np.testing.assert_allclose(
            [float(cell) for cell in ended.text.split()[1:]], [12.3] * 51, rtol=1e-15
        )


def test_an_error_names_the_file_and_leaves_none(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_bytes(b"a\n" + b"1\n" * 3000 + b"oops\n")
    told = refused(3, "csv", "sma:2", "bad.csv", "-o", "out.csv", cwd=tmp_path)
    assert "bad.csv, line 3002, column a: expected a number, got 'oops'" in told
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]


# -------------------------------------------------------------------------------- missing and edges


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("keep", ["1", "", "3", "3.5"]),
        ("fill", ["1", "1", "3", "3.5"]),
        ("propagate", ["", "", "", "3.5"]),
    ],
)
def test_missing_values(rule: str, expected: list[str], program: Program, tmp_path: Path) -> None:
    ended = program.run(
        "csv", "sma:2", "--missing", rule, stdin=b"x,y\n1,a\n,b\n3,c\n4,d\n", cwd=tmp_path
    )
    assert column(ended.text) == expected


@pytest.mark.parametrize(
    ("edge", "expected"),
    [
        ("shrink", "1 1.5 2.5 3.5"),
        ("zero", "0.5 1.5 2.5 3.5"),
        ("edge", "1 1.5 2.5 3.5"),
        ("reflect", "1.5 1.5 2.5 3.5"),
        ("symmetric", "1 1.5 2.5 3.5"),
        ("wrap", "2.5 1.5 2.5 3.5"),
        ("valid", "1.5 2.5 3.5"),
    ],
)
def test_edges(edge: str, expected: str, program: Program, tmp_path: Path) -> None:
    ended = program.run("csv", "sma:2", "--edge", edge, stdin=b"x\n1\n2\n3\n4\n", cwd=tmp_path)
    assert column(ended.text) == expected.split()


@pytest.mark.parametrize(
    "filter", ["sma:4", "ema:span=3", "lowpass:0.2,taps=9", "savgol:5,2", "diff:2", "avg_pool:3"]
)
def test_filtering_the_first_rows_gives_the_first_rows_of_all(
    filter: str, program: Program, tmp_path: Path
) -> None:
    lines = [
        b"x,y\n",
        *(b"%d,r%d\n" % (value, i) for i, value in enumerate((3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5))),
    ]
    words = ("csv", filter, *(("--edge", "valid") if filter.startswith("avg_pool") else ()))
    whole = program.run(*words, stdin=b"".join(lines), cwd=tmp_path).out
    for k in (1, 2, 3, 5, 8, 11):
        part = program.run(*words, stdin=b"".join(lines[:k]), cwd=tmp_path)
        # Under `valid` nothing is left of fewer rows than the filter reads.
        assert part.code == 2 * ("nothing is left" in part.err), part
        assert whole.startswith(part.out), (k, whole, part.out)


# --------------------------------------------------------------------------------------------- time


def test_durations_count_rows_by_the_time_column(tmp_path: Path) -> None:
    weather = SAMPLES / "weather.csv"
    timed = done("csv", "sma:7d", weather, "--time", "date", "-c", "wind", cwd=tmp_path)
    counted = done("csv", "sma:7", weather, "-c", "wind", cwd=tmp_path)
    assert timed.out == counted.out
    slow = done(
        "csv",
        "lowpass:0.1",
        weather,
        "--time",
        "date",
        "-c",
        "wind",
        "--decimals",
        "3",
        cwd=tmp_path,
    )
    assert len(slow.text.splitlines()) == len(counted.text.splitlines())


@pytest.mark.parametrize(
    ("days", "place", "told"),
    [
        (("2020-01-01", "2020-01-02", "2020-01-03", "2020-01-02"), "line 5", "2020-01-02"),
        (("2020-01-01", "2020-01-02", "soon", "2020-01-04"), "line 4", "soon"),
    ],
)
def test_times_that_are_no_rate(
    days: tuple[str, ...], place: str, told: str, program: Program, tmp_path: Path
) -> None:
    text = "day,x\n" + "".join(f"{day},{i}\n" for i, day in enumerate(days))
    ended = program.run("csv", "sma:2d", "--time", "day", stdin=text.encode(), cwd=tmp_path)
    assert ended.code == 3, ended
    assert all(words in ended.errors[0] for words in (place, "column day", told)), ended.err


def test_each_group_has_its_own_times(program: Program, tmp_path: Path) -> None:
    text = b"T,day,x\nA,2020-01-01,1\nB,2020-01-01,5\nA,2020-01-02,3\nB,2020-01-02,7\n"
    ended = program.run("csv", "sma:2d", "--time", "day", "--by", "T", stdin=text, cwd=tmp_path)
    assert column(ended.text, 2) == ["1", "5", "2", "6"]


# --------------------------------------------------------------------------------- pipes and follow


def conversation(words: list[str], rows: list[bytes], tmp_path: Path) -> list[bytes]:
    """Write each row and read its answer before the next row; the first answer is the header's."""
    process = subprocess.Popen(
        [*CONVCLI, "csv", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    answers = []
    try:
        for row in rows:
            process.stdin.write(row)
            process.stdin.flush()
            answers.append(read_some(process.stdout))
        process.stdin.close()
        answers.append(process.stdout.read())
        assert wait_for_end(process) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    return answers


@pytest.mark.parametrize("options", [(), ("--follow",), ("--parts", "2", "--jobs", "2")])
def test_whole_numbers_that_are_rounded_are_told(
    options: tuple[str, ...], program: Program, tmp_path: Path
) -> None:
    far = 2**53 + 1
    assert float(far) != far
    (tmp_path / "a.csv").write_text(f"id,exact,x\n{far},{2**60},1\n{far + 2},{2**61},3\n")
    words = ["csv", "lag:1", "a.csv", "-o", "b.csv", "--force", *options]
    ended = program.run(*words, cwd=tmp_path)
    assert ended.code == 0, ended
    told = [line for line in ended.err.splitlines() if "2^53" in line]
    (warning,) = told
    assert f"a.csv: whole numbers beyond 2^53 in id, such as {far}, are rounded" in warning
    # Cells that are not filtered, or copied, keep all digits.
    for silent in (["lag:1", "-c", "x"], ["x"]):
        ended = program.run("csv", *silent, "a.csv", "-o", "b.csv", "--force", cwd=tmp_path)
        assert "2^53" not in ended.err
        assert str(far) in (tmp_path / "b.csv").read_text()


@pytest.mark.parametrize(
    ("table", "options"),
    [
        ('{"id": -9007199254740993}\n', []),
        ("id;n\n9.007.199.254.740.993;1\n", ["--thousands", ".", "--decimal", ","]),
    ],
)
def test_rounded_numbers_of_other_forms(table: str, options: list[str], program: Program) -> None:
    ended = program.run("csv", "gain:2", "-c", "id", *options, stdin=table.encode())
    assert "whole numbers beyond 2^53 in id" in ended.err, ended


@pytest.mark.parametrize(
    "words",
    [
        "compare a.csv b.csv",
        "compare b.csv a.csv",
        "detect a.csv b.csv -c id",
        "detect b.csv a.csv -c id",
        "learn a.csv --target id -o m.safetensors --taps 3",
        "learn a.csv --target id --taps 3 --partial sums.npz",
        "explain a.csv sma:3 -c id",
    ],
)
def test_every_command_tells_of_rounded_numbers(
    words: str, program: Program, tmp_path: Path
) -> None:
    far = 2**53 + 1
    rows = [far + 10**10 * (number**2 % 17) for number in range(60)]
    for name, step in (("a.csv", 0), ("b.csv", -1)):
        lines = [f"{row + step}" for row in rows]
        (tmp_path / name).write_text("\n".join(["id", *lines]) + "\n")
    ended = program.run(*words.split(), cwd=tmp_path)
    assert ended.code == 0, ended
    told = [line for line in ended.err.splitlines() if "2^53" in line]
    (warning,) = told
    assert warning.startswith(f"warning: a.csv: whole numbers beyond 2^53 in id, such as {far}")


def test_a_warning_of_a_rounded_number_does_not_write_hundreds_of_digits(program: Program) -> None:
    ended = program.run("csv", "gain:2", stdin=b"id\n" + b"1" * 300 + b"\n")
    assert f"such as {'1' * 57}..., are rounded" in ended.err


def test_a_number_beyond_float64_is_infinite(program: Program) -> None:
    ended = program.run("csv", "lag:1", stdin=b"x\n%s\n2\n" % (b"9" * 400))
    assert ended.out == b"x\n\ninf\n", ended


def test_follow_shows_each_row_at_once(tmp_path: Path) -> None:
    rows = [b"%d,r%d\n" % (i, i) for i in range(40)]
    answers = conversation(["sma:2", "--follow", "-c", "x"], [b"x,n\n", *rows], tmp_path)
    assert answers[0] == b"x,n\n"
    assert [answer.split(b",")[1] for answer in answers[1:-1]] == [b"r%d\n" % i for i in range(40)]
    assert b"".join(answers[1:4]) == b"0,r0\n0.5,r1\n1.5,r2\n"


def test_followed_rows_may_come_at_any_time(tmp_path: Path) -> None:
    first = b"t,x\n2024-01-01 00:00,1\n2024-01-01 01:00,5\n"
    rest = b"2024-01-01 01:10,3\n2024-01-01 06:10,4\n"
    answers = conversation(["sma:1h", "--time", "t", "-q", "--follow"], [first, rest], tmp_path)
    assert first.startswith(answers[0])
    assert b"".join(answers) == first + b"2024-01-01 01:10,4\n2024-01-01 06:10,4\n"


FIRST_ROWS = [
    # filter and options, rows, and the answer to each
    ("sma:1h", [b"t,x\n2024-01-01,1\n", b"2024-01-02,5\n"], [b"2024-01-01,1\n", b"2024-01-02,5\n"]),
    ("sma:3s", [b"t,x\n0,1\n", b"1,5\n"], [b"0,1\n", b"1,3\n"]),
    # 1.2.2024 is read with the day first.
    ("sma:3d", [b"t,x\n1.2.2024,1\n", b"2.2.2024,5\n"], [b"1.2.2024,1\n", b"2.2.2024,3\n"]),
    ("sma:3d --date-format %m/%d/%Y", [b"t,x\n1/2/2024,1\n"], [b"1/2/2024,1\n"]),
    ("sma:3s --by g", [b"t,x,g\n0,1,a\n", b"0,2,b\n"], [b"0,1,a\n", b"0,2,b\n"]),
    ("sma:2", [b"t,x\n0,1\n", b"1,5\n"], [b"0,1\n", b"1,3\n"]),
]


@pytest.mark.parametrize(("words", "rows", "expected"), FIRST_ROWS)
def test_the_first_followed_row_does_not_wait_for_the_second(
    words: str, rows: list[bytes], expected: list[bytes], tmp_path: Path
) -> None:
    header = rows[0].splitlines(keepends=True)[0]
    asked = [*words.split(), "--time", "t", "-c", "x", "-q", "--follow"]
    answers = conversation(asked, rows, tmp_path)
    assert answers[0] in {header, header + expected[0]}
    assert b"".join(answers) == header + b"".join(expected)


@pytest.mark.parametrize(
    ("words", "rows", "expected"),
    [
        # Equal steps are needed: two rows say how long one is.
        ("lag:1s", [b"0,1\n1,5\n", b"2,7\n"], b"0,\n1,1\n2,5\n"),
        # One date does not say whether the day is first.
        (
            "sma:9d",
            [b"1/2/2024,1\n13/2/2024,5\n", b"14/2/2024,7\n"],
            b"1/2/2024,1\n13/2/2024,5\n14/2/2024,6\n",
        ),
        # 2024 may be a year or a number of seconds.
        ("sma:900s", [b"2024,1\n2500,5\n", b"3000,3\n"], b"2024,1\n2500,3\n3000,4\n"),
    ],
)
def test_a_followed_row_waits_for_the_second_that_says_what_it_means(
    words: str, rows: list[bytes], expected: bytes, tmp_path: Path
) -> None:
    asked = [*words.split(), "--time", "t", "-c", "x", "-q", "--follow"]
    answers = conversation(asked, [b"t,x\n" + rows[0], *rows[1:]], tmp_path)
    assert b"".join(answers) == b"t,x\n" + expected


def test_follow_waits_only_for_what_the_filter_looks_ahead(tmp_path: Path) -> None:
    rows = [b"x,n\n", b"3,a\n6,b\n", b"9,c\n", b"0,d\n"]
    answers = conversation(["box:3", "--follow", "-c", "x", "--align", "center"], rows, tmp_path)
    assert answers == [b"x,n\n", b"4.5,a\n", b"6,b\n", b"5,c\n", b"4.5,d\n"]


def test_follow_by_groups_shows_each_row_at_once(tmp_path: Path) -> None:
    rows = [b"T,x\n", b"A,1\n", b"B,5\n", b"A,3\n", b"B,7\n"]
    answers = conversation(["sma:2", "--follow", "--by", "T", "-c", "x"], rows, tmp_path)
    assert answers == [b"T,x\n", b"A,1\n", b"B,5\n", b"A,2\n", b"B,6\n", b""]


def test_follow_shows_a_bin_as_soon_as_the_next_one_begins(tmp_path: Path) -> None:
    first = b"T,t,x\nA,2024-01-01 00:00,1\nA,2024-01-01 06:00,5\n"
    rows = [first, b"A,2024-01-02 01:10,3\n", b"A,2024-01-05 02:00,4\n", b"A,2024-01-07 00:00,8\n"]
    answers = [b"A,2024-01-01 06:00,3\n", *rows[1:]]
    for words in ("avg_pool:1d --time t", "avg_pool:1d --time t --by T"):
        shown = conversation([*words.split(), "-q", "--follow"], rows, tmp_path)
        assert shown == [b"T,t,x\n", *answers]


@peer("tail")
def test_tail_f(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("x\n1\n3\n")
    tail = subprocess.Popen(
        ["tail", "-n", "+1", "-s", "0.05", "-f", log], stdout=subprocess.PIPE, cwd=tmp_path
    )
    assert tail.stdout is not None
    follower = subprocess.Popen(
        [*CONVCLI, "csv", "sma:2", "--follow", "-q"], stdin=tail.stdout, stdout=subprocess.PIPE
    )
    tail.stdout.close()
    assert follower.stdout is not None
    shown = b""
    for row, answer in ((b"", b"2\n"), (b"5\n", b"4\n"), (b"7\n", b"6\n")):
        with log.open("ab") as file:
            file.write(row)
        while not shown.endswith(answer):
            shown += read_some(follower.stdout)
    tail.terminate()
    wait_for_end(tail)
    assert shown + follower.communicate(timeout=PATIENCE)[0] == b"x\n1\n2\n4\n6\n"
    assert follower.returncode == 0


def test_head_ends_the_run_quietly(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_bytes(b"x,y\n" + b"".join(b"%d,a\n" % i for i in range(300_000)))
    ended = shell("{ convcli csv sma:5 long.csv; echo code $? >&2; } | head -3", tmp_path)
    assert ended.text.splitlines() == ["x,y", "0,a", "0.5,a"]
    assert "code 0" in ended.err
    assert not ended.errors


def test_an_endless_pipe_into_head(tmp_path: Path) -> None:
    ended = shell(
        "yes 4 | { convcli csv sma:5 --no-header; echo code $? >&2; } | head -2", tmp_path
    )
    assert ended.text.split() == ["4", "4"]
    assert "code 0" in ended.err
    assert not ended.errors


def test_the_end_of_the_file_reaches_normalize_from_a_pipe(tmp_path: Path) -> None:
    assert done("csv", "normalize", stdin=b"x\n1\n-4\n2\n", cwd=tmp_path).text.split() == [
        "x",
        "0.25",
        "-1",
        "0.5",
    ]


def test_several_tables(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_bytes(PRICES)
    ended = done("csv", "sma:3", "a.csv", "b.csv", "-o", "out/{stem}_{index}{suffix}", cwd=tmp_path)
    assert ended.out == b""
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_1.csv", "b_2.csv"]
    assert (tmp_path / "out/b_2.csv").read_text().split()[-1] == "12"
    told = refused(2, "csv", "sma:3", "a.csv", "b.csv", cwd=tmp_path)
    assert "standard output" in told


@peer("mlr")
def test_ema_is_that_of_miller(tmp_path: Path) -> None:
    wanted = "step -a ewma -d 0.3 -f wind then cut -f wind_ewma_0.3"
    miller = shell(f"mlr --icsv --ocsv {wanted} {SAMPLES / 'weather.csv'}", tmp_path)
    theirs = [float(cell) for cell in column(miller.text)]
    ours = run("csv", "ema:alpha=0.3", SAMPLES / "weather.csv", "-c", "wind", cwd=tmp_path)
    mine = [float(cell) for cell in column(ours.text, 4)]
    assert mine == pytest.approx(theirs, rel=1e-12)


def test_a_table_of_a_header_alone(program: Program, tmp_path: Path) -> None:
    ended = program.run("csv", "sma:2", stdin=b"price,name\n", cwd=tmp_path)
    assert (ended.code, ended.out) == (0, b"price,name\n")
    assert ended.err.startswith("- -> -: sma:2, 2 taps, delay 0.5, 0 rows, in ")
    # Which of the columns hold numbers is not known.
    ended = program.run("csv", "-q", "mono", stdin=b"price,name\n", cwd=tmp_path)
    assert (ended.code, ended.out) == (0, b"price,name,y0\n")
    ended = program.run("csv", "-q", "mono", stdin=b"price,name\r\n", cwd=tmp_path)
    assert (ended.code, ended.out) == (0, b"price,name,y0\r\n")


def test_the_plan_of_a_run_in_place_names_its_output(program: Program, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n2\n")
    words = ("csv", "avg_pool:2", "--in-place", "a.csv", "--dry-run")
    assert "output   a.csv\n" in program.run(*words, cwd=tmp_path).text


def test_the_plan_of_a_batch_says_what_would_be_refused(program: Program, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("x\n1\n2\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.csv").write_text("kept")
    words = ("csv", "sma:2", "a.csv", "b.csv", "-o", "out/", "--dry-run")
    ended = program.run(*words, cwd=tmp_path)
    assert ended.code == 2
    assert ended.errors == ["error: the output out/b.csv exists already"]
    assert "output   out/a.csv\n" in ended.text
    assert program.run(*words, "--force", cwd=tmp_path).code == 0


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"\xef\xbb\xbf", b"\xff\xfe\n\0", b"\n"])
def test_a_byte_order_mark_alone_is_an_empty_file(text: bytes, program: Program) -> None:
    ended = program.run("csv", "sma:2", stdin=text)
    assert ended.code == 3
    assert "expected a table, got an empty file" in ended.errors[0]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (b"k,x\na,1.256\nb,\n", b"k,x\na,1.26\nb,\n"),
        (b'{"k": "a", "x": 1.256}\n', b'{"k": "a", "x": 1.26}\n'),
    ],
)
def test_decimals_are_written_where_the_filter_changes_nothing(
    table: bytes, expected: bytes, program: Program
) -> None:
    assert program.run("csv", "x", "--decimals", "2", "-c", "x", "-q", stdin=table).out == expected
    assert program.run("csv", "x", "-c", "x", "-q", stdin=table).out == table


@pytest.mark.parametrize("words", [(), ("--follow",), ("--by", "g")])
@pytest.mark.parametrize("step", ["ema:alpha=1", "ema:span=1", "ema:alpha=1 | ema:alpha=1"])
def test_an_ema_of_one_row_is_a_forward_fill(
    step: str, words: tuple[str, ...], program: Program
) -> None:
    rng = np.random.default_rng(4)
    x = pd.Series(rng.integers(0, 100, 200) / 4).where(rng.random(200) > 0.6)
    table = pd.DataFrame({"g": rng.choice(["a", "b"], 200), "x": x})
    text = table.to_csv(index=False).encode()
    ended = program.run("csv", step, "-c", "x", "--missing", "fill", "-q", *words, stdin=text)
    assert ended.code == 0, ended
    expected = x.groupby(table["g"]).ffill() if "--by" in words else x.ffill()
    found = pd.read_csv(io.BytesIO(ended.out))["x"]
    np.testing.assert_array_equal(found, expected)
    kept = program.run("csv", step, "-c", "x", "-q", *words, stdin=text)
    np.testing.assert_array_equal(pd.read_csv(io.BytesIO(kept.out))["x"], x)
