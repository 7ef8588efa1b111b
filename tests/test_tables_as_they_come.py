"""Tables as agencies and programs hand them out: metadata, words for gaps, and compression."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pytest
from program import SAMPLES, Program
from table_settings import table_options

from convcli.errors import InputError, RequestError
from convcli.media.files import closed_or_discarded
from convcli.media.tables import recent_rows, text
from convcli.media.tables.any_table import open_table
from convcli.media.tables.sink import TableSink
from convcli.signals import blocks_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The shape of the series that the Bundesbank hands out: lines of metadata, a byte order mark,
# semicolons, decimal commas, `.` on holidays, and a remark in a further column.
BUNDESBANK = (
    "\ufeff"
    '"";BBEX3.D.USD.EUR.BB.AC.000;BBEX3.D.USD.EUR.BB.AC.000_FLAGS\r\n'
    '"";"Euro-Referenzkurs der EZB / 1 EUR = ... USD / Vereinigte Staaten";""\r\n'
    "Einheit;US-Dollar;\r\n"
    "Dimension;Eins;\r\n"
    "Stand vom;28.03.2024 16:01:32 Uhr;\r\n"
    'Quelle;"Europäische Zentralbank; eigene ""Berechnungen""";\r\n'
    ";;\r\n"
    "Datum;Wert;Bemerkung\r\n"
    "2024-03-27;1,0816;\r\n"
    "2024-03-28;1,0811;\r\n"
    "2024-03-29;.;Kein Wert vorhanden\r\n"
    "2024-04-01;.;Kein Wert vorhanden\r\n"
    "2024-04-02;1,0749;\r\n"
    "2024-04-03;1,0783;\r\n"
).encode()

# The shape of NASA's table of global temperatures: a title, numbers without their zero, and `***`.
GISTEMP = (
    b"Land-Ocean: Global Means\n"
    b"Year,Jan,Feb,Mar,J-D,D-N\n"
    b"1880,-.19,-.24,-.09,-.17,***\n"
    b"1881,-.20,-.15,.03,-.09,-.09\n"
    b"1882,.16,.13,.04,-.11,-.09\n"
    b"2024,1.24,1.44,***,***,***\n"
)

COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}
UNPACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zst": lambda data: pa.CompressedInputStream(pa.BufferReader(data), "zstd").read(),
}
SUFFIXES = sorted(COMPRESSED)


def outcome(data: bytes, **options: object) -> bytes:
    """The table with its numbers doubled."""
    settings = table_options(**options)
    source = open_table(None, options=settings, stdin=io.BytesIO(data))
    out = io.BytesIO()
    first = 0
    with closed_or_discarded(TableSink(out, source=source)) as sink:
        for block in blocks_of(source):
            rows = range(first, first + len(block.x))
            sink.write(sink.encode(block.x * 2, rows))
            first += len(block.x)
    return out.getvalue()


@pytest.fixture(params=[7, 1 << 20])
def block_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes that are read at once; the small ones cut lines, numbers and comments in two."""
    monkeypatch.setattr(text, "BLOCK_BYTES", request.param)
    return int(request.param)


# ------------------------------------------------------------------------------ what is in a table


def test_a_series_of_the_bundesbank(program: Program, tmp_path: Path) -> None:
    (tmp_path / "usd.csv").write_bytes(BUNDESBANK)
    words = [
        "csv",
        "sma:2",
        "usd.csv",
        "--skip-rows",
        "7",
        "--decimal",
        ",",
        "--na",
        ".",
        "--time",
        "Datum",
        "-c",
        "Wert",
        "-q",
    ]
    ended = program.run(*words, cwd=tmp_path)
    expected = BUNDESBANK.replace(b"28;1,0811", b"28;1,08135").replace(b"03;1,0783", b"03;1,0766")
    assert ended.out == expected, ended
    words = [
        "csv",
        "sma:2",
        "usd.csv",
        "--skip-rows",
        "8",
        "--no-header",
        "--decimal",
        ",",
        "--na",
        ".",
        "-c",
        "2",
        "-q",
    ]
    assert program.run(*words, cwd=tmp_path).out == expected


def test_the_temperatures_of_nasa(program: Program, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(GISTEMP)
    words = ["csv", "diff:1", "t.csv", "--skip-rows", "1", "--na", "***", "-q", "--append"]
    ended = program.run(*words, "-c", "Jan,J-D,D-N", "--decimals", "2", cwd=tmp_path)
    assert ended.out == (
        b"Land-Ocean: Global Means\n"
        b"Year,Jan,Feb,Mar,J-D,D-N,Jan_diff1,J-D_diff1,D-N_diff1\n"
        b"1880,-.19,-.24,-.09,-.17,***,,,\n"
        b"1881,-.20,-.15,.03,-.09,-.09,-0.01,0.08,\n"
        b"1882,.16,.13,.04,-.11,-.09,0.36,-0.02,0.00\n"
        b"2024,1.24,1.44,***,***,***,1.08,,\n"
    ), ended
    assert program.run(*words[:6], "kernel:1", "-q", cwd=tmp_path).code == 3


@pytest.mark.usefixtures("block_bytes")
def test_missing_words_are_those_of_pandas() -> None:
    data = b"x,y\n1,a\n-999,b\n***,c\n.,d\n5,e\n-9990,f\n"
    done = outcome(data, na=("***", ".", "-999"), columns=("x",))
    known = pd.read_csv(io.BytesIO(data), na_values=["***", ".", "-999"]).x
    found = pd.read_csv(io.BytesIO(done), na_values=["***", ".", "-999"]).x
    pd.testing.assert_series_equal(found, known * 2, check_dtype=False)
    assert done == b"x,y\n2,a\n-999,b\n***,c\n.,d\n10,e\n-19980,f\n"


@pytest.mark.parametrize(
    ("sign", "decimal", "cell", "value"),
    [
        (",", ".", '"1,234,567.5"', 1234567.5),
        (".", ",", "-1.234,5", -1234.5),
        ("'", ".", "1'234", 1234),
        (" ", ",", "12 345,25", 12345.25),
        (",", ".", '"12,34,567"', 1234567),
        (",", ".", "987.5", 987.5),
    ],
)
def test_thousands(sign: str, decimal: str, cell: str, value: float) -> None:
    delimiter = "," if decimal == "." else ";"
    data = f"a{delimiter}x\nk{delimiter}{cell}\n".encode()
    doubled = f"{2 * value:.15g}".replace(".", decimal)
    expected = f"k{delimiter}{doubled}\n"
    if '"' in cell:
        expected = f'k{delimiter}"{doubled}"\n'
    done = outcome(data, thousands=sign, decimal=decimal, columns=("x",))
    assert done.decode().splitlines(keepends=True)[1] == expected


@pytest.mark.parametrize("cell", ["1,5", "1,2345", ",123", "1,,234", "1,234,56"])
def test_what_is_no_group_of_digits_is_refused(cell: str) -> None:
    with pytest.raises(InputError, match="line 2, column x: expected a number"):
        outcome(f'a,x\n1,"{cell}"\n'.encode(), thousands=",", columns=("x",))


@pytest.mark.usefixtures("block_bytes")
def test_comments_stay_where_they_are() -> None:
    data = (
        b'# made by "x, on Monday\n\n# and more\na,x\n# b,1\n1,2\n"#\n# no comment",3\n'
        b'#"open, quote\n5,6\n7,8\n\n# the end'
    )
    done = outcome(data, comment="#", columns=("x",))
    assert done == (
        b'# made by "x, on Monday\n\n# and more\na,x\n# b,1\n1,4\n"#\n# no comment",6\n'
        b'#"open, quote\n5,12\n7,16\n\n# the end'
    )


@pytest.mark.parametrize("last", ["", "#f", "#f\n", "\n"])
def test_lines_without_rows_go_with_the_row_after_them(
    last: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = f"a,v\n1,1\n#b\n2,2\n#c\n3,3\n\n4,4\n5,5\n6,6\n{last}".encode()
    expected = f"a,v\n1,1\n#c\n3,3\n5,5\n{last}".encode()
    for block in (4, 5, 6, 8, 13, 1000):
        monkeypatch.setattr(text, "BLOCK_BYTES", block)
        ended = program.run("csv", "stride:2", "-c", "v", "--comment", "#", stdin=data)
        assert ended.out == expected, block
    if last == "\n":  # a row of a table of one column
        return
    data = f"v\n1\n#b\n2\n#c\n3\n4\n5\n6\n{last}".encode()
    expected = f"v\n1\n#c\n3\n5\n{last}".encode()
    for block in (3, 4, 5, 6, 8, 13, 1000):
        monkeypatch.setattr(text, "BLOCK_BYTES", block)
        assert program.run("csv", "stride:2", "--comment", "#", stdin=data).out == expected, block


@pytest.mark.usefixtures("block_bytes")
def test_comments_in_a_table_of_one_column() -> None:
    data = b"// head\nx\n// one\n1\n\n// two\n3\n// end\n"
    assert outcome(data, comment="//") == b"// head\nx\n// one\n2\n\n// two\n6\n// end\n"


@pytest.mark.usefixtures("block_bytes")
def test_lines_before_a_table_without_header() -> None:
    data = b"title, of it\r\n\r\n1,2\r\n3,4\r\n"
    done = outcome(data, skip_rows=2, header=False, columns=("2",))
    assert done == b"title, of it\r\n\r\n1,4\r\n3,8\r\n"


def test_a_bad_cell_is_named_by_its_line_in_the_file() -> None:
    data = b"one\ntwo\n# three\nx,y\n# five\n1,a\nbad,b\n"
    with pytest.raises(InputError, match="line 7, column x: expected a number, got 'bad'"):
        outcome(data, skip_rows=2, comment="#", columns=("x",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thousands": "."}, "--thousands and --decimal are both '.'"),
        ({"thousands": "0"}, "--thousands expects one character"),
        ({"thousands": "ab"}, "--thousands expects one character"),
        ({"na": ("",)}, "--na expects a word"),
        ({"comment": '"'}, "--comment expects"),
    ],
)
def test_options_that_mean_nothing(options: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        outcome(b"x\n1\n", **options)
    assert message in caught.value.message


def test_nothing_is_left_of_a_table() -> None:
    for options in ({"skip_rows": 9}, {"comment": "#"}):
        with pytest.raises(InputError, match="expected a table after the lines left out"):
            outcome(b"# a\n# b\n", **options)


# ------------------------------------------------------------------------------------- columns


def test_patterns_of_columns() -> None:
    data = b"Close A,day,Close B,Open\n1,2,3,4\n"
    assert outcome(data, columns=("Close*",)) == b"Close A,day,Close B,Open\n2,2,6,4\n"
    assert outcome(data, columns=("Open", "*e*"), by=("day",)).endswith(b"2,2,6,8\n")
    assert outcome(data, columns=("*",), by=("day",)).endswith(b"2,2,6,8\n")
    with pytest.raises(RequestError, match=r"expected columns that match 'High\*', found none"):
        outcome(data, columns=("High*",))


def test_a_column_that_is_called_like_a_pattern() -> None:
    assert outcome(b"a*,ab\n1,2\n", columns=("a*",)) == b"a*,ab\n2,2\n"


# ----------------------------------------------------------------------------------- compression


@pytest.mark.parametrize("suffix", SUFFIXES)
class TestCompression:
    def test_in_and_out(self, suffix: str, program: Program, tmp_path: Path) -> None:
        data = (SAMPLES / "stocks.csv").read_bytes()
        packed = COMPRESSED[suffix](data)
        (tmp_path / f"in.csv{suffix}").write_bytes(packed)
        words = ["csv", "sma:3", "--by", "symbol", "-c", "price", "-q"]
        plain = program.run(*words, SAMPLES / "stocks.csv", cwd=tmp_path).out
        for number in range(2):
            place = f"out{number}.csv{suffix}"
            ended = program.run(*words, f"in.csv{suffix}", "-o", place, cwd=tmp_path)
            assert ended.code == 0, ended
        once, again = ((tmp_path / f"out{number}.csv{suffix}").read_bytes() for number in range(2))
        assert once == again
        assert UNPACKED[suffix](once) == plain
        assert program.run(*words, stdin=packed, cwd=tmp_path).out == plain

    def test_in_place(self, suffix: str, program: Program, tmp_path: Path) -> None:
        # Without a suffix the table is known by its first bytes, and stays compressed.
        (tmp_path / "table").write_bytes(COMPRESSED[suffix](b"x\n1\n2\n"))
        ended = program.run("csv", "gain:2", "table", "--in-place", "-q", cwd=tmp_path)
        assert ended.code == 0, ended
        assert UNPACKED[suffix]((tmp_path / "table").read_bytes()) == b"x\n2\n4\n"

    def test_what_is_damaged(self, suffix: str, program: Program, tmp_path: Path) -> None:
        data = b"x\n" + b"".join(b"%d\n" % (n * 7919 % 10007) for n in range(20000))
        packed = COMPRESSED[suffix](data)
        (tmp_path / f"cut.csv{suffix}").write_bytes(packed[: len(packed) // 2])
        middle = len(packed) // 2
        broken = packed[:middle] + bytes(40) + packed[middle + 40 :]
        (tmp_path / f"bad.csv{suffix}").write_bytes(broken)
        for name, words in (("cut", "they end too early"), ("bad", "data are damaged")):
            ended = program.run(
                "csv", "sma:3", f"{name}.csv{suffix}", "-o", f"o.csv{suffix}", cwd=tmp_path
            )
            assert ended.code == 3, ended
            assert f"{name}.csv{suffix}" in ended.err
            assert words in ended.err
            assert not (tmp_path / f"o.csv{suffix}").exists()

    def test_several_parts(self, suffix: str) -> None:
        """`cat a.gz b.gz` is a file of two members."""
        packed = COMPRESSED[suffix](b"x\n1\n") + COMPRESSED[suffix](b"2\n3\n")
        assert outcome(packed) == b"x\n2\n4\n6\n"

    @pytest.mark.usefixtures("block_bytes")
    def test_old_text_is_found_again(self, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Rows that wait long are kept on the disk: memory is not held for them."""
        monkeypatch.setattr(recent_rows, "MAX_HELD", 100)
        data = b"n,x\n" + b"".join(b"%d,%d\n" % (n, n) for n in range(300))
        source = open_table(
            None, options=table_options(columns=("x",)), stdin=io.BytesIO(COMPRESSED[suffix](data))
        )
        out = io.BytesIO()
        with closed_or_discarded(TableSink(out, source=source)) as sink:
            blocks = [block.x for block in blocks_of(source)]
            rows = range(sum(map(len, blocks)))
            sink.write(sink.encode(pd.concat([*map(pd.DataFrame, blocks)]).to_numpy() + 1, rows))
        assert out.getvalue() == b"n,x\n" + b"".join(b"%d,%d\n" % (n, n + 1) for n in range(300))


def test_text_that_begins_like_bzip2() -> None:
    assert outcome(b"BZh9,x\n1,2\n") == b"BZh9,x\n2,4\n"


def test_the_delimiter_is_known_by_the_suffix_within(program: Program, tmp_path: Path) -> None:
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(b"a,b\tx\n1,2\t3\n"))
    ended = program.run("csv", "gain:2", "a.tsv.gz", "-c", "x", "-q", cwd=tmp_path)
    assert ended.out == b"a,b\tx\n1,2\t6\n"
    ended = program.run("csv", "gain:2", SAMPLES / "vix.csv", "-o", "o.tsv.gz", cwd=tmp_path)
    assert ended.code == 2
    assert "-o o.csv.gz keeps the delimiter" in ended.err


def test_hits_are_compressed_too(program: Program, tmp_path: Path) -> None:
    words = ("detect", SAMPLES / "vix.csv", SAMPLES / "vix.csv", "-c", "close", "-q")
    plain = program.run(*words, cwd=tmp_path)
    assert program.run(*words, "-o", "hits.csv.gz", cwd=tmp_path).code == plain.code == 0
    assert gzip.decompress((tmp_path / "hits.csv.gz").read_bytes()) == plain.out
    assert program.run(*words, "-o", "hits.json.xz", cwd=tmp_path).code == 0
    assert lzma.decompress((tmp_path / "hits.json.xz").read_bytes()).startswith(b"{")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_number_for_a_missing_value_however_it_is_written(
    suffix: str, program: Program, tmp_path: Path
) -> None:
    path = tmp_path / f"t{suffix}"
    if suffix == ".csv":
        path.write_text("x\n1\n-999.0\n-9.99E2\n5\n")
    elif suffix == ".jsonl":
        path.write_text('{"x": 1}\n{"x": -999.00}\n{"x": -999}\n{"x": 5}\n')
    else:
        pd.DataFrame({"x": [1.0, -999.0, -999.0, 5.0]}).to_parquet(path)
    words = ("csv", "diff", path.name, "--na", "-999", "--missing", "fill", "-q")
    ended = program.run(*words, "--add", "y=x", "-o", "o.csv", cwd=tmp_path)
    assert ended.code == 0, ended
    # pandas reads such numbers as missing, too.
    given = pd.read_csv(io.StringIO("x\n1\n-999.0\n-9.99E2\n5\n"), na_values=["-999"])
    assert given.x.isna().tolist() == [False, True, True, False]
    made = pd.read_csv(tmp_path / "o.csv", na_values=["-999"])
    assert made.y.isna().tolist() == given.x.isna().tolist()


def test_the_first_line_for_spreadsheets_is_answered(program: Program) -> None:
    table = b"sep=;\nx;y\n1;a\n3;b\n"
    for words in (("-c", "x"), ()):
        ended = program.run("csv", "sma:2", *words, stdin=table)
        assert ended.code in (2, 3)
        assert "--skip-rows 1" in ended.err, ended
    ended = program.run("csv", "sma:2", "--skip-rows", "1", "-q", stdin=table)
    assert ended.out == b"sep=;\nx;y\n1;a\n2;b\n", ended


@pytest.mark.parametrize(
    ("table", "line_end", "encoding"),
    [
        ("x,y\n1,a\n2,b", "\n", "utf-8"),
        ("x,y\r\n1,a\r\n2,b", "\r\n", "utf-8"),
        ("x,y\r1,a\r2,b", "\r", "utf-8"),
        ("x,y\r\n1,a\r\n2,b", "\r\n", "utf-16"),
        ('{"x":1}\n{"x":2}', "\n", "utf-8"),
    ],
)
def test_rows_that_are_made_of_a_last_line_without_an_end(
    program: Program, table: str, line_end: str, encoding: str
) -> None:
    """Every row made of it is a line of its own, and the last one has no line end either."""
    words = ["csv", "-q", "upsample:3", "--align", "center"]
    whole = program.run(*words, stdin=(table + line_end).encode(encoding))
    unfinished = program.run(*words, stdin=table.encode(encoding))
    assert whole.code == unfinished.code == 0, unfinished.err
    expected = whole.out.decode(encoding)
    assert expected.count(line_end) == 6 + ("{" not in table)
    assert unfinished.out.decode(encoding) == expected.removesuffix(line_end)
