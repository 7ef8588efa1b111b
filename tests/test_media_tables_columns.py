"""Which columns of a table are filtered, and by which columns its rows are grouped."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from table_settings import table_options

from convcli.errors import InputError, RequestError
from convcli.media.tables import columns as table_columns
from convcli.media.tables import text
from convcli.media.tables.any_table import open_table
from convcli.report.words import visible
from convcli.signals import blocks_of

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

    from convcli.media.tables.source import TableSource


class Trickle(io.BytesIO):
    """A pipe that gives so many bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self.size = size

    def read1(self, _size: int | None = -1, /) -> bytes:
        return self.read(self.size)


def piped(data: bytes, *, size: int = 7, **options: object) -> TableSource:
    settings = table_options(**options)
    return open_table(None, options=settings, stdin=Trickle(data, size))


def values(source: TableSource) -> np.ndarray:
    return np.concatenate([block.x for block in blocks_of(source)])


# A column whose first number comes after rows without one, and one whose first text does.
ROWS = 300
LATE = b"a,b,c,none\n" + b"".join(b"%d,,NA,\n" % i for i in range(ROWS)) + b"1,10,x,\n3,30,5,\n"


@pytest.mark.parametrize("block", [16, 100, 1 << 20])
def test_a_column_is_decided_by_the_whole_file(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "BLOCK_BYTES", block)
    path = tmp_path / "late.csv"
    path.write_bytes(LATE)
    frame = pd.read_csv(path)
    for source in (open_table(path, options=table_options()), piped(LATE)):
        assert source.signal.channels == ("a", "b")
        np.testing.assert_array_equal(values(source), frame[["a", "b"]].to_numpy(float))
        assert source.warnings == []


@pytest.mark.parametrize("size", [1, 7, 50, 1 << 20])
def test_a_stream_that_cannot_wait_is_the_same_whatever_comes_together(size: int) -> None:
    data = b"a,b\n1,\n2,NA\n3,30\n"
    source = piped(data, size=size, follow=True)
    assert source.signal.channels == ("a", "b")
    assert "no number was seen in b" in source.warnings[0]
    np.testing.assert_array_equal(values(source), [[1, np.nan], [2, np.nan], [3, 30]])
    with pytest.raises(InputError, match="line 4, column b: expected a number, got 'x'") as caught:
        values(piped(b"a,b\n1,\n2,NA\n3,x\n", size=size, follow=True))
    assert "-c names the columns" in str(caught.value.hint)


def test_a_pipe_is_held_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "BLOCK_BYTES", 100)
    monkeypatch.setattr(table_columns, "MAX_HELD_UNDECIDED", 500)
    numbers = b"a,b\n" + b"1,\n" * ROWS + b"3,30\n"
    source = piped(numbers)
    assert source.signal.channels == ("a", "b")
    assert "no number was seen in b" in source.warnings[0]
    assert values(source)[-1].tolist() == [3, 30]
    with pytest.raises(InputError, match=f"line {ROWS + 2}, column b: expected a number"):
        values(piped(b"a,b\n" + b"1,\n" * ROWS + b"3,x\n"))


def test_the_clock_is_found_though_a_column_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "BLOCK_BYTES", 40)
    data = b"t,v\n" + b"".join(b"%d,\n" % (2 * i) for i in range(ROWS)) + b"%d,7\n" % (2 * ROWS)
    source = piped(data, time="t")
    assert source.signal.rate == 0.5
    assert len(values(source)) == ROWS + 1


@pytest.mark.parametrize("cell", ["00125867", '"007"', " 00 "])
def test_an_identifier_stays_as_it_is(cell: str, program: Program, tmp_path: Path) -> None:
    rows = f"id,x\n{cell},1\n{cell},3\n"
    ended = program.run("csv", "sma:2", stdin=rows.encode(), cwd=tmp_path)
    assert ended.text == f"id,x\n{cell},1\n{cell},2\n"
    assert "column id is left as it is" in ended.warnings[0]
    asked = program.run("csv", "gain:2", "-c", "id,x", stdin=b"id,x\n007,1\n", cwd=tmp_path)
    assert asked.text == "id,x\n14,2\n"
    assert not asked.warnings


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("1,5", ()),
        ("-0,25", ()),
        ('"1,234"', ()),
        ("1,234,567.5", ()),
        ("1'234", ()),
        ("1.234,50", ()),
        ("1.5", ("--decimal", ",")),
        ("1.234,50", ("--decimal", ",")),
        ("1_234", ()),
        ("1\u00a0234", ()),
        ("1\u202f234,5", ("--decimal", ",")),
        ("1\u2019234", ()),
    ],
)
def test_a_column_of_numbers_in_another_style_is_not_left_silently(
    cell: str, words: tuple[str, ...], program: Program, tmp_path: Path
) -> None:
    rows = f"x;n\n{cell};1\n{cell};3\n"
    ended = program.run("csv", "sma:2", *words, stdin=rows.encode(), cwd=tmp_path)
    assert ended.text == f"x;n\n{cell};1\n{cell};2\n"
    bare = visible(cell.strip('"'))
    assert f"column x is left as it is, for {bare} is no number" in ended.warnings[0]
    assert any(option in ended.warnings[0] for option in ("--decimal", "--thousands"))
    asked = program.run("csv", "sma:2", "-c", "n", *words, stdin=rows.encode(), cwd=tmp_path)
    assert not asked.warnings


@pytest.mark.parametrize(
    ("cell", "plain"),
    [
        ("$12.5", "12.5"),
        ("-$ 12.5", "-12.5"),
        ("12.50\u00a0€", "12.50"),
        ("12.5%", "12.5"),
        ("3 ‰", "3"),
        ("(12.5)", "-12.5"),
        ("(£1)", "-1"),
        ("\u22127", "-7"),
        ("$12,5", "12,5; --decimal , reads decimal commas"),
        ('"¥1,234,567"', "1,234,567; --thousands CHAR names what stands between groups of digits"),
    ],
)
def test_signs_around_a_number_are_told(
    cell: str, plain: str, program: Program, tmp_path: Path
) -> None:
    rows = f"x;n\n{cell};1\n{cell};3\n".encode()
    ended = program.run("csv", "sma:2", "-d", ";", stdin=rows, cwd=tmp_path)
    assert ended.text == f"x;n\n{cell};1\n{cell};2\n"
    bare = visible(cell.strip('"'))
    (warning,) = ended.warnings
    told = f"column x is left as it is, for {bare} is no number as numbers are read"
    assert warning.endswith(f"{told}: write it as {plain}")
    asked = program.run("csv", "sma:2", "-d", ";", "-c", "x", stdin=rows, cwd=tmp_path)
    assert asked.code == 3
    assert f"hint: write it as {plain}; -c names" in asked.err


@pytest.mark.parametrize(
    "cell",
    [
        *("192.168.100.200", "555 123 456", "1.234.567", "2024-01-01"),
        *("$", "%", "()", "\u2212", "$NA", "(555) 123", "50% off", "(a)"),
    ],
)
def test_a_text_of_digits_is_left_silently(cell: str, program: Program, tmp_path: Path) -> None:
    rows = f"x;n\n{cell};1\n{cell};3\n"
    ended = program.run("csv", "sma:2", stdin=rows.encode(), cwd=tmp_path)
    assert not ended.warnings


@pytest.mark.parametrize("cell", ["0", "0.5", "00.5", "+05", "-01", "0e3", "1", "10"])
def test_a_number_is_no_identifier(cell: str) -> None:
    source = piped(f"x\n{cell}\n".encode())
    assert values(source).tolist() == [[float(cell)]]


def test_an_identifier_among_numbers_is_not_changed_silently(
    program: Program, tmp_path: Path
) -> None:
    ended = program.run("csv", "sma:2", stdin=b"zip,x\n10001,1\n00501,2\n", cwd=tmp_path)
    assert ended.code == 3
    assert "line 3, column zip: expected a number without leading zeros" in ended.errors[0]
    assert "-c names the columns" in ended.err


@pytest.mark.parametrize(
    ("words", "rows", "hint"),
    [
        ((), b"a;b\n1,5;x\n", "--decimal , reads decimal commas"),
        (("--decimal", ","), b"a;b\n1.5;x\n", "leave out --decimal ,"),
        ((), b'a,b\n"1,234.5",x\n', "--thousands CHAR"),
        ((), b"a;b\n1.234,5;x\n", "--decimal , --thousands . reads such numbers"),
        ((), b"a;b\nx;y\n", "hint: -c names the columns to filter\n"),
        (("--decimal", ","), b"a;b\nx;y\n", "hint: -c names the columns to filter\n"),
        (("--no-header", "--decimal", ","), b"1,5|2,5\n", "hint: -d '|'"),
        (("--no-header", "--decimal", ","), b"1,5 2,5\n", "hint: -d ' '"),
        (("--no-header", "--decimal", ",", "-d", "|"), b"1,5;2,5\n", "hint: -d ';'"),
        ((), b"id\n007\n", "-c id filters numbers with leading zeros such as 007"),
    ],
)
def test_the_hint_fits_the_options_that_were_given(
    words: tuple[str, ...], rows: bytes, hint: str, program: Program, tmp_path: Path
) -> None:
    ended = program.run("csv", "sma:2", *words, stdin=rows, cwd=tmp_path)
    assert ended.code == 3, ended
    assert hint in ended.err, ended.err


def test_semicolons_part_decimal_commas_without_a_header(program: Program, tmp_path: Path) -> None:
    words = ("csv", "sma:2", "--no-header", "--decimal", ",")
    assert program.run(*words, stdin=b"1,5;2,5\n3,5;4,5\n", cwd=tmp_path).text == (
        "1,5;2,5\n2,5;3,5\n"
    )


@pytest.mark.parametrize(
    ("rows", "words", "said"),
    [
        (b"1\n2\n3\n", (), True),
        (b'"1.5",x\n2,y\n', (), True),
        (b"1\n", (), True),
        (b"x\n2\n", (), False),
        (b"1\n2\n3\n", ("--no-header",), False),
        (b"a,2020\n1,2\n", ("-c", "2020"), False),
    ],
)
def test_a_header_that_is_a_number_is_said(
    *, rows: bytes, words: tuple[str, ...], said: bool, program: Program, tmp_path: Path
) -> None:
    ended = program.run("csv", "sma:2", *words, stdin=rows, cwd=tmp_path)
    assert ended.code == 0, ended
    assert any("--no-header" in warning for warning in ended.warnings) is said


# ---------------------------------------------------------------------------------------- groups


@pytest.mark.parametrize("block", [30, 1 << 20])
def test_several_keys_group_by_all_of_them(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "BLOCK_BYTES", block)
    random = np.random.default_rng(1)
    keys = [",".join(random.choice(["a", "b", "", '"a,b"'], 3)) for _ in range(60)]
    rows = [f"{key},{random.integers(100)}\n" for key in keys]
    path = tmp_path / "keys.csv"
    path.write_text("k,l,m,x\n" + "".join(rows))
    source = open_table(path, options=table_options(by=("k", "m", "l"), columns=("x",)))
    met: dict[tuple[str, ...], bytes] = {}
    frame = pd.read_csv(path, keep_default_na=False)
    wanted = list(zip(frame["k"], frame["l"], frame["m"], strict=True))
    row = 0
    for part in blocks_of(source):
        assert part.groups is not None
        for code in part.groups.codes.tolist():
            assert met.setdefault(wanted[row], part.groups.names[code]) == part.groups.names[code]
            row += 1
    assert row == 60
    assert len(set(met.values())) == len(met)


@pytest.mark.parametrize("words", [("--by", "a", "--by", "b"), ("--by", "a,b")])
def test_the_mean_of_each_pair_of_keys(
    words: tuple[str, ...], program: Program, tmp_path: Path
) -> None:
    rows = "a,b,x\nu,p,1\nu,q,10\nv,p,100\nu,p,3\nu,q,30\nv,p,300\n,p,7\n,p,9\n"
    ended = program.run("csv", "sma:2", "-c", "x", *words, stdin=rows.encode(), cwd=tmp_path)
    frame = pd.read_csv(io.StringIO(rows), keep_default_na=False)
    rolling = frame.groupby(["a", "b"])["x"].rolling(2, min_periods=1).mean()
    expected = rolling.droplevel([0, 1]).sort_index()
    got = pd.read_csv(io.StringIO(ended.text), keep_default_na=False)["x"]
    assert got.tolist() == expected.tolist()


def test_groups_of_several_keys_are_named_by_all(program: Program, tmp_path: Path) -> None:
    rows = b"a,b,t,x\nu,p,0,1\nu,q,0,1\nu,p,1,2\nu,q,5,2\nu,p,2,3\nu,p,3,3\n"
    words = ("csv", "lowpass:0.1", "--by", "a,b", "--time", "t", "-c", "x")
    ended = program.run(*words, stdin=rows, cwd=tmp_path)
    assert "expected the time 1 after 0 of u,q, got 5" in ended.errors[0]
    twice = program.run("csv", "sma:2", "--by", "a,a", stdin=rows, cwd=tmp_path)
    assert "asked for twice" in twice.errors[0]
    for wrong in (",", "a\nb", ""):
        ended = program.run("csv", "sma:2", "--by", wrong, stdin=rows, cwd=tmp_path)
        assert (ended.code, "--by expects names" in ended.err) == (2, True)


@pytest.mark.parametrize("columns", ["x*,x", "x,x*", "[xz],x,*"])
def test_a_column_that_several_patterns_name_is_filtered_once(
    columns: str, program: Program
) -> None:
    """Its cells are written once, not one behind the other."""
    ended = program.run("csv", "sma:2", "-c", columns, "--by", "k", stdin=b"k,x\na,1\na,3\n")
    assert ended.text == "k,x\na,1\na,2\n"


@pytest.mark.parametrize(
    "words", [("sma:2", "-c", "x"), ("--set", "x=sma:2"), ("--add", "y=sma:2", "-c", "x")]
)
def test_the_column_of_the_groups_is_not_filtered(words: tuple[str, ...], program: Program) -> None:
    ended = program.run("csv", *words, "--by", "x", stdin=b"k,x\n1,1\n2,3\n")
    assert ended.code == 2, ended
    assert "--by x makes a group of each value of x" in ended.errors[0]


@pytest.mark.parametrize("command", ["csv sma:2 -", "learn - --target k -o m.safetensors"])
def test_a_column_named_twice_is_refused_by_every_command(
    command: str, program: Program, tmp_path: Path
) -> None:
    table = b"k,x\n1,1\n2,3\n"
    ended = program.run(*command.split(), "-c", "x", "-c", "x", stdin=table, cwd=tmp_path)
    assert (ended.code, ended.errors) == (2, ["error: -c: column 'x' is asked for twice"])
    assert "hint: name it once" in ended.err


# --------------------------------------------------------------------------------------- outputs


@pytest.mark.parametrize(
    "name",
    [
        "z.csv.zip",
        "o.orc",
        "o.AVRO",
        "o.xlsx",
        "o.json",
        "o.wav",
        "o.npy",
        "o.tsv",
        "o.xyz",
        "o.csv.gx",
    ],
)
def test_a_suffix_that_is_no_such_table_is_refused(
    name: str, program: Program, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_bytes(b"x\n1\n")
    for output in (name, f"{{stem}}_{name}"):
        ended = program.run("csv", "sma:2", "a.csv", "-o", output, cwd=tmp_path)
        assert ended.code == 2, ended
        assert "expected an output" in ended.errors[0]
        assert "hint: -o " in ended.err
        assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_suffix_of_text_or_of_the_input_is_written(program: Program, tmp_path: Path) -> None:
    for name in ("a.csv", "a.json"):
        (tmp_path / name).write_bytes(b"x\n1\n")
    for name in ("b.txt", "b", "b.2020", "b.csv"):
        assert program.run("csv", "sma:2", "a.csv", "-o", name, cwd=tmp_path).code == 0
        assert (tmp_path / name).read_bytes() == b"x\n1\n"
    assert program.run("csv", "sma:2", "a.json", "--in-place", cwd=tmp_path).code == 0
    (tmp_path / "a.tsv").write_bytes(b"x\ty\n1\t2\n")
    assert program.run("csv", "sma:2", "a.tsv", "-o", "c.tsv", cwd=tmp_path).code == 0


def test_any_suffix_is_written_in_a_format_that_is_asked_for(
    program: Program, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_bytes(b"x\n1\n")
    refused = program.run("csv", "sma:2", "a.csv", "-o", "o.xyz", cwd=tmp_path)
    assert "got o.xyz: .xyz is the suffix of no table" in refused.errors[0]
    assert "hint: -o o.csv, or --format csv, writes text" in refused.err
    asked = ("csv", "sma:2", "a.csv", "-o", "o.xyz", "--format", "csv")
    assert program.run(*asked, cwd=tmp_path).code == 0
    assert (tmp_path / "o.xyz").read_bytes() == b"x\n1\n"


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.jsonl"])
def test_columns_become_a_table_of_tabs(name: str, program: Program, tmp_path: Path) -> None:
    rows = b'a b,x,text\n1,2,"one, two"\n2,4,"tab\there"\n3,6,"say ""so"""\n'
    made = program.run("csv", "x", "-o", name, "-c", "x", stdin=rows, cwd=tmp_path)
    assert made.code == 0, made.err
    words = ("csv", "sma:2", name, "-c", "x", "-o")
    for output in ("o.tsv", "o.tab.gz", "o.csv"):
        ended = program.run(*words, output, cwd=tmp_path)
        assert ended.code == 0, ended.err
    text = b'a b\tx\ttext\n1\t2\tone, two\n2\t3\t"tab\there"\n3\t5\t"say ""so"""\n'
    assert (tmp_path / "o.tsv").read_bytes() == text
    assert gzip.decompress((tmp_path / "o.tab.gz").read_bytes()) == text
    tabs = pd.read_csv(tmp_path / "o.tsv", sep="\t")
    pd.testing.assert_frame_equal(tabs, pd.read_csv(tmp_path / "o.csv"))


def test_no_table_of_tabs_is_made_a_csv(program: Program, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"x\ty\n1\t2\n")
    ended = program.run("csv", "sma:2", "a.tsv", "-o", "c.csv.gz", cwd=tmp_path)
    assert ended.code == 2
    assert "got c.csv.gz, whose suffix promises commas" in ended.errors[0]
    assert "hint: -o c.tsv.gz keeps the delimiter" in ended.err
    assert not (tmp_path / "c.csv.gz").exists()
    ended = program.run("csv", "sma:2", "a.tsv", "-o", "c.txt", cwd=tmp_path)
    assert (tmp_path / "c.txt").read_bytes() == b"x\ty\n1\t2\n"


def test_lengths_of_timed_tables_are_rows(program: Program, tmp_path: Path) -> None:
    rows = b"t,x\n0,1\n1,2\n"
    ended = program.run("csv", "box:3Hz", "--time", "t", stdin=rows, cwd=tmp_path)
    assert "a length here is a number of rows (20) or a duration" in ended.errors[0]


def test_an_unknown_column_is_told_by_its_list() -> None:
    with pytest.raises(RequestError, match="unknown column 'c'"):
        piped(b"a,b\n1,2\n", by=("a", "c"))


def test_long_names_are_told_shortened() -> None:
    with pytest.raises(RequestError) as caught:
        piped(b"a" * 9000 + b",b\n1,2\n", size=1 << 20, columns=("c",))
    assert len(str(caught.value)) < 200


def test_two_columns_of_one_name_are_both_filtered(program: Program, tmp_path: Path) -> None:
    ended = program.run("csv", "sma:2", stdin=b"a,a,b\n1,20,3\n3,40,5\n", cwd=tmp_path)
    assert ended.text == "a,a,b\n1,20,3\n2,30,4\n"
