"""Tables: what is read, and that every byte that is not filtered stays what it was."""

from __future__ import annotations

import io
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_settings import table_options

from convcli.errors import InputError, RequestError
from convcli.media.files import closed_or_discarded
from convcli.media.tables import arrow_splicing, numerals, recent_rows, records, text
from convcli.media.tables import cells as table_cells
from convcli.media.tables.any_table import open_table
from convcli.media.tables.sink import TableSink
from convcli.signals import blocks_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.array_types import FloatArray
    from convcli.media.tables.source import TableSource
    from convcli.signals import Array


class Dripping(io.RawIOBase):
    """A pipe that gives bytes in random small helpings."""

    def __init__(self, data: bytes, seed: int = 0) -> None:
        self.data, self.random = io.BytesIO(data), random.Random(seed)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self.data.read(min(size, self.random.choice([1, 2, 3, 7, 50])))


def source_of(data: bytes, *, stream: Any = None, **options: object) -> TableSource:
    stdin = stream or io.BytesIO(data)
    return open_table(None, options=table_options(**options), stdin=stdin)


def filtered(
    data: bytes,
    f: Callable[[Array], Array] | None = lambda x: x + 1,
    *,
    every: int = 1,
    suffix: str = "new",
    stream: object = None,
    **options: object,
) -> bytes:
    """The table with f applied to its columns; only every Nth row stays."""
    source, out = source_of(data, stream=stream, **options), io.BytesIO()
    first = 0
    with closed_or_discarded(TableSink(out, source=source, suffix=suffix)) as sink:
        for block in blocks_of(source):
            x = block.x
            rows = np.arange(first, first + len(x))
            kept = rows % every == 0
            sink.write(sink.encode(None if f is None else f(x)[kept], rows[kept]))
            first += len(x)
    return out.getvalue()


@pytest.fixture(params=["small", "columnar"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    limit = 0 if request.param == "columnar" else 1 << 40
    monkeypatch.setattr(numerals, "COLUMNAR", limit)
    monkeypatch.setattr(numerals, "COLUMNAR_LOADED", limit)
    return str(request.param)


@pytest.mark.usefixtures("route")
class TestRewriting:
    def test_replaces_only_the_filtered_cells(self) -> None:
        header = b'id,price,"note, long"\r\n'
        data = (
            header + b'007,1.0500,"a ""b"", c"\r\n008, 2 ,x\n\n' + b'009,"3.5","two\r\nlines"\r\n'
        )
        want = header + b'007,2.05,"a ""b"", c"\r\n008, 3 ,x\n\n' + b'009,"4.5","two\r\nlines"\r\n'
        assert filtered(data, columns=("price",)) == want

    def test_last_line_without_line_end_stays_without(self) -> None:
        assert filtered(b"x,y\n1,2\n3,4") == b"x,y\n2,3\n4,5"

    def test_lone_carriage_returns(self) -> None:
        assert filtered(b"x,y\r1,a\r2,b\r", columns=("x",)) == b"x,y\r2,a\r3,b\r"

    def test_identity_keeps_every_byte(self) -> None:
        data = b"\xef\xbb\xbfx,y\n+1e0,NA\n\n 01.50,\r\n\n\n"
        assert filtered(data, None, columns=("x", "y")) == data

    def test_columns_in_any_order(self) -> None:
        assert (
            filtered(b"a,b,c\n1,x,3\n", lambda x: x * [10, 100], columns=("c", "a"))
            == b"a,b,c\n100,x,30\n"
        )

    def test_missing_cells(self) -> None:
        got = filtered(
            b"x,y\n1,q\nNA,q\n,q\n4,q\n", lambda x: np.where(x == 4, np.nan, x), columns=("x",)
        )
        assert got == b"x,y\n1,q\nNA,q\n,q\n,q\n"
        assert (
            filtered(b"x,y\nNA,q\n1,q\n", lambda x: np.nan_to_num(x, nan=7), columns=("x",))
            == b"x,y\n7,q\n1,q\n"
        )

    def test_blank_line_in_a_single_column_is_a_missing_cell(self) -> None:
        assert filtered(b"x\n1\n\n3\n") == b"x\n2\n\n4\n"
        assert filtered(b"x\n1\n\n3\n", lambda x: np.nan_to_num(x, nan=9)) == b"x\n1\n9\n3\n"

    def test_append(self) -> None:
        data = b'"Close",n\r\n1,a\r\n2,b\n3,c'
        assert (
            filtered(data, append=True, suffix="sma20")
            == b'"Close",n,"Close_sma20"\r\n1,a,2\r\n2,b,3\n3,c,4'
        )
        assert filtered(b"a,b\n1,2\n", append=True) == b"a,b,a_new,b_new\n1,2,2,3\n"
        assert filtered(b"a,b\n1.50,2\n", None, append=True) == b"a,b,a_new,b_new\n1.50,2,1.50,2\n"
        assert (
            filtered(b"a;b\n1;2\n", append=True, suffix="x;y") == b'a;b;"a_x;y";"b_x;y"\n1;2;2;3\n'
        )

    def test_append_puts_nothing_for_missing(self) -> None:
        assert filtered(b"a,b\nNA,x\n", append=True, columns=("a",)) == b"a,b,a_new\nNA,x,\n"

    def test_append_refuses_a_name_that_exists(self) -> None:
        with pytest.raises(RequestError, match="'a_new' exists already"):
            filtered(b"a,a_new\n1,2\n", append=True, columns=("a",))

    def test_dropped_rows(self) -> None:
        data = b"x,y\n0,a\n1,b\n\n2,c\r\n3,d\n4,e"
        assert filtered(data, every=2) == b"x,y\n1,a\n\n3,c\r\n5,e"
        assert filtered(data, None, every=2) == b"x,y\n0,a\n\n2,c\r\n4,e"
        assert filtered(data, every=4, append=True, columns=("x",)) == b"x,y,x_new\n0,a,1\n4,e,5"

    def test_decimals(self) -> None:
        data = b"x,y\n1.005,q\n-0.001,q\n2.675,q\nNaN,q\n-0.999,q\n"
        assert filtered(data, lambda x: x, decimals=2, columns=("x",)) == (
            b"x,y\n1.00,q\n0.00,q\n2.67,q\nNaN,q\n-1.00,q\n"
        )
        assert filtered(b"x\n1.5\n2.5\n", lambda x: x, decimals=0) == b"x\n2\n2\n"

    def test_decimal_comma(self) -> None:
        assert filtered(b"x;y\n1,5;a\n2;b\n", decimal=",", columns=("x",)) == b"x;y\n2,5;a\n3;b\n"
        assert filtered(b"x\n1,5\n", decimal=",") == b"x\n2,5\n"
        quoted = filtered(
            b'x,y\n"1,5",a\n2,b\n', lambda x: x / 2, decimal=",", columns=("x",), delimiter=","
        )
        assert quoted == b'x,y\n"0,75",a\n1,b\n'
        bare = filtered(b"x,y\n3,a\n", lambda x: x / 2, decimal=",", columns=("x",), append=True)
        assert bare == b'x,y,x_new\n3,a,"1,5"\n'

    def test_header_only(self) -> None:
        assert filtered(b"x,y\r\n") == b"x,y\r\n"
        assert filtered(b"x,y") == b"x,y"
        assert filtered(b"x,y\n", append=True, columns=("x",)) == b"x,y,x_new\n"

    def test_without_header(self) -> None:
        assert filtered(b"a,1\nb,2\n", header=False) == b"a,2\nb,3\n"
        assert (
            filtered(b"\xef\xbb\xbf1,1\n2,2\n", header=False, columns=("2",))
            == b"\xef\xbb\xbf1,2\n2,3\n"
        )
        assert filtered(b"1,1\n", header=False, append=True, columns=("2",)) == b"1,1,2\n"

    def test_stray_quotes_are_characters(self) -> None:
        data = b'x,y\n1,5" pipe\n2,a "b" c\n3,"q"r"\n4,"""\n'
        with pytest.raises(
            InputError, match=r"line 5: the quoted cell that opens here is never closed"
        ):
            filtered(data, columns=("x",))
        assert (
            filtered(data.replace(b'4,"""\n', b""), columns=("x",))
            == b'x,y\n2,5" pipe\n3,a "b" c\n4,"q"r"\n'
        )

    @pytest.mark.parametrize(
        ("encoding", "name"),
        [
            ("utf-16", "Größe"),
            ("utf-16-le", "Größe"),
            ("utf-32", "Größe"),
            ("latin-1", "Größe"),
            ("cp1252", "Größe"),
            ("cp037", "Größe"),
            ("shift-jis", "\u30bd"),  # its second byte is a backslash
            ("iso-2022-jp", "\u30ac\u30a2"),  # its bytes are %,%"
        ],
    )
    def test_encodings(self, encoding: str, name: str) -> None:
        data = f"{name},y\r\n1,{name}\r\n".encode(encoding)
        assert filtered(data, encoding=encoding) == f"{name},y\r\n2,{name}\r\n".encode(encoding)

    def test_utf16_is_seen_by_its_mark(self) -> None:
        assert filtered("x\n1\n".encode("utf-16")) == "x\n2\n".encode("utf-16")

    def test_unknown_bytes_pass(self) -> None:
        assert filtered(
            b"Gr\xf6\xdfe,y\n1,\xff\n", columns=(b"Gr\xf6\xdfe".decode("utf-8", "surrogateescape"),)
        ) == (b"Gr\xf6\xdfe,y\n2,\xff\n")
        assert filtered(b"x,y\n1,\x81\n", encoding="cp1252") == b"x,y\n2,\x81\n"


NUMBERS = st.one_of(
    st.floats(allow_nan=False),
    st.integers(-(10**17), 10**17).map(float),
    st.floats(-1e-4, 1e-4),
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.integers(-(10**9), 10**9).map(lambda k: k / 100),
)


class TestNumbers:
    @given(st.lists(NUMBERS, max_size=30))
    def test_both_routes_write_the_same_shortest_text(self, values: list[float]) -> None:
        array = np.array(values, np.float64)
        small = numerals.write_numbers(array, decimals=None, decimal=".")
        texts, places = arrow_splicing.write_columnar(array, decimals=None, decimal=".")
        listed = texts.to_pylist()
        assert [listed[i] for i in places.tolist()] == small
        assert [float(text) for text in small] == values
        for value, cell in zip(values, small, strict=True):
            assert (b"e" in cell) == (abs(value) >= 1e16 or 0 < abs(value) < 1e-6) or cell in (
                b"inf",
                b"-inf",
            )
            assert not cell.endswith(b".0")

    @given(st.lists(NUMBERS, max_size=30), st.integers(0, 8))
    def test_both_routes_write_the_same_decimals(self, values: list[float], decimals: int) -> None:
        array = np.array(values, np.float64)
        small = numerals.write_numbers(array, decimals=decimals, decimal=",")
        texts, places = arrow_splicing.write_columnar(array, decimals=decimals, decimal=",")
        listed = texts.to_pylist()
        assert [listed[i] for i in places.tolist()] == small
        assert small == [numerals.write_number(v, decimals=decimals, decimal=",") for v in values]

    @pytest.mark.parametrize("exponent", range(-8, 20))
    def test_all_magnitudes_are_written_alike(self, exponent: int) -> None:
        limit = 10.0**exponent
        rng = np.random.default_rng(exponent + 8)
        array = np.concatenate(
            [
                limit * rng.uniform(-1, 1, 200),
                np.rint(limit * rng.uniform(-1, 1, 20)),
                np.nextafter(limit, [0, limit, 2 * limit]),
                [np.inf, 0.0, -0.0],
            ]
        )
        texts, places = arrow_splicing.write_columnar(array, decimals=None, decimal=".")
        listed = texts.to_pylist()
        small = numerals.write_numbers(array, decimals=None, decimal=".")
        assert [listed[i] for i in places.tolist()] == small

    CELLS = (
        "1e5",
        "+3",
        ".5",
        "5.",
        "-0",
        "1E-3",
        "inf",
        "-Infinity",
        "",
        "NaN",
        "na",
        "NULL",
        "N/A",
        "-nan",
        "1e400",
    )
    BAD = (
        "1_000",
        "1,000",
        "abc",
        "0x1A",
        "1e",
        ".",
        "-",
        "--1",
        "1 2",
        "1d5",
        "\u0661",
        "1.2.3",
        "nan(1)",
    )

    @pytest.mark.usefixtures("route")
    def test_what_a_number_is(self) -> None:
        data = "\n".join(["x;y", *(f"{cell};q" for cell in self.CELLS)]).encode()
        source = source_of(data, columns=("x",), delimiter=";")
        x = np.concatenate([block.x[:, 0] for block in blocks_of(source)])
        want = [1e5, 3, 0.5, 5, 0, 1e-3, np.inf, -np.inf, *[np.nan] * 6, np.inf]
        np.testing.assert_array_equal(x, want)
        assert source.facts()["missing"] == {"x": 6}

    @pytest.mark.usefixtures("route")
    @pytest.mark.parametrize("bad", BAD)
    def test_what_it_is_not(self, bad: str) -> None:
        data = f'x;y\n1;"a\nb"\n\n2;q\n{bad};q\n'.encode()
        with pytest.raises(InputError) as caught:
            filtered(data, columns=("x",), delimiter=";")
        assert (
            caught.value.message
            == f"standard input, line 6, column x: expected a number, got {bad!r}"
        )
        assert caught.value.hint

    @pytest.mark.usefixtures("route")
    def test_hints(self) -> None:
        for cell, decimal, hint in (
            ("1,5", ".", "--decimal ,"),
            ("1.5", ",", "decimal points"),
            ("1,000.5", ".", "thousands"),
        ):
            with pytest.raises(InputError) as caught:
                filtered(
                    f"x;y\n{cell};q\n".encode(), columns=("x",), delimiter=";", decimal=decimal
                )
            assert hint in str(caught.value.hint)


CELL = st.one_of(
    st.sampled_from(
        ["", "a", "NA", "TRUE", "007", "1.0500", "é", "x\r\ny", 'say "hi"', ",;", '""', "\n", " "]
    ),
    st.text(alphabet='ab,;"\n\r ', max_size=6),
)


def written(cell: str, *, force: bool) -> str:
    doubled = cell.replace('"', '""')
    return f'"{doubled}"' if force or any(c in cell for c in ',;"\n\r') else cell


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, bytes, int]:
    """A table with a column of whole numbers `n`, the same table plus 1, and its number of rows."""
    ends = draw(
        st.sampled_from([("\n",), ("\r\n",), ("\n", "\r\n"), ("\n", "\n\n"), ("\r\n", "\r\n\r\n")])
    )
    row = st.tuples(CELL, st.integers(-50, 50), CELL)
    rows = draw(st.lists(row, max_size=12))
    before, after = ["l,n,r\n"], ["l,n,r\n"]
    for left, number, right in rows:
        quotes = draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))
        end = draw(st.sampled_from(ends))
        for texts, value in ((before, number), (after, number + 1)):
            cells = (left, str(value), right)
            texts.append(
                ",".join(written(c, force=f) for c, f in zip(cells, quotes, strict=True)) + end
            )
    unended = draw(st.booleans())
    if rows and unended:
        before[-1], after[-1] = before[-1].rstrip("\r\n"), after[-1].rstrip("\r\n")
    return "".join(before).encode(), "".join(after).encode(), len(rows)


class TestCuts:
    @given(tables(), st.integers(1, 40), st.sampled_from([0, 1 << 40]), st.integers(0, 1))
    def test_a_cut_may_fall_anywhere(
        self, table: tuple[bytes, bytes, int], block: int, columnar: int, follow: int
    ) -> None:
        before, after, rows = table
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(text, "BLOCK_BYTES", block)
            patch.setattr(numerals, "COLUMNAR", columnar)
            patch.setattr(numerals, "COLUMNAR_LOADED", columnar)
            assert (
                filtered(
                    before, stream=Dripping(before, block), columns=("n",), follow=bool(follow)
                )
                == after
            )
            source = source_of(before, stream=Dripping(before, block), columns=("n",))
            assert sum(len(block.x) for block in blocks_of(source)) == rows

    @given(st.text(alphabet='a,"\n\r', max_size=30))
    def test_quotes_as_one_walks_them(self, text: str) -> None:
        """The offsets of quotes that count, against a walk from character to character."""
        data, inside, start, want = text.encode(), False, True, []
        skip = False
        for i, sign in enumerate(text):
            if skip:
                skip = False
                continue
            if sign == '"' and (inside or start):
                if inside and text[i + 1 : i + 2] == '"':
                    skip = True
                    continue
                inside = not inside
                want.append(i)
                start = False
            elif not inside:
                start = sign in ",\n"
        marks = table_cells.find_quotes(data, b",\n")
        parity = [
            int(np.searchsorted(marks, i)) % 2 for i, sign in enumerate(text) if sign in ",\n"
        ]
        assert parity == [
            sum(m < i for m in want) % 2 for i, sign in enumerate(text) if sign in ",\n"
        ]

    def test_blank_lines_before_the_first_row_stay_where_they_are(self) -> None:
        for bom in (b"", b"\xef\xbb\xbf"):
            data = bom + b"\n\r\n1,2\n3,4\n"
            assert filtered(data, header=False) == bom + b"\n\r\n2,3\n4,5\n"
            assert filtered(data) == bom + b"\n\r\n1,2\n4,5\n"

    def test_a_line_longer_than_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text, "BLOCK_BYTES", 1000)
        long = b'"' + b"\n" * 5000 + b"y" * 50_000 + b'"'
        assert (
            filtered(b"x,y\n1," + long + b"\n2,b\n", columns=("x",))
            == b"x,y\n2," + long + b"\n3,b\n"
        )

    def test_an_endless_line_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text, "BLOCK_BYTES", 1000)
        monkeypatch.setattr(records, "MAX_RECORD", 10_000)
        with pytest.raises(InputError, match="the row that begins at or after line 2 is longer"):
            filtered(b'x,y\n1,"' + b"y\n" * 50_000, columns=("x",))


class TestColumns:
    def test_every_numeric_column_by_default(self) -> None:
        source = source_of(b"d,t,a,b,e,m\n2024-01-01,NA,1,,,1x\n2024-01-02,TRUE,NA,2,,2\n")
        assert source.signal.channels == ("a", "b")
        assert source.header == ("d", "t", "a", "b", "e", "m")
        assert source_of(b"g,x\n1,2\n2,3\n", by=("g",)).signal.channels == ("x",)

    def test_a_column_is_judged_by_its_first_cell_that_is_not_missing(self) -> None:
        rows = b"".join(b",x%d\n" % i for i in range(100)) + b"100,7\n"
        source = source_of(b"a,b\n" + rows)
        assert source.signal.channels == ("a",)
        with pytest.raises(
            InputError, match="line 3, column a: expected a number, got 'x'"
        ) as caught:
            filtered(b"a,b\n1,y\nx,y\n")
        assert "-c names the columns to filter" in str(caught.value.hint)

    def test_no_numeric_column(self) -> None:
        with pytest.raises(InputError, match="expected a column of numbers, found none among a, b"):
            source_of(b"a,b\nx,y\n")

    def test_unknown_column(self) -> None:
        with pytest.raises(RequestError) as caught:
            source_of(b"Open,Close\n1,2\n", columns=("close",))
        assert "unknown column 'close'" in caught.value.message
        assert "did you mean Close?" in str(caught.value.hint)
        assert "Open, Close" in str(caught.value.hint)

    def test_two_columns_of_one_name(self) -> None:
        with pytest.raises(RequestError, match="'x' is ambiguous: columns 1 and 3"):
            source_of(b"x,y,x\n1,2,3\n", columns=("x",))
        assert filtered(b"x,y,x\n1,2,3\n", columns=("y",)) == b"x,y,x\n1,3,3\n"

    def test_delimiters(self, tmp_path: Path) -> None:
        assert filtered(b"a;b\n1;2\n") == b"a;b\n2;3\n"
        assert filtered(b"a\tb,c\n1\t2\n") == b"a\tb,c\n2\t3\n"
        assert filtered(b"a|b\n1|2\n", delimiter="|") == b"a|b\n2|3\n"
        path = tmp_path / "x.tsv"
        path.write_bytes(b"a,b\n1\n")
        assert open_table(path, options=table_options()).header == ("a,b",)
        with pytest.raises(RequestError, match="delimiter of one character"):
            source_of(b"x\n", delimiter="::")

    def test_tabs_of_empty_cells_are_no_blank_line(self) -> None:
        assert filtered(b"a\tb\n\t\n\t\n1\tx\n", columns=("a",)) == b"a\tb\n\t\n\t\n2\tx\n"


class TestGroups:
    @pytest.mark.usefixtures("route")
    def test_names_are_exact(self) -> None:
        source = source_of(b'g,x\nNA,1\nTRUE,2\n"NA",3\n na,4\n,5\nNA,6\n', by=("g",))
        (block,) = blocks_of(source)
        assert block.groups is not None
        names = [block.groups.names[code] for code in block.groups.codes]
        assert names == [b"NA", b"TRUE", b"NA", b" na", b"", b"NA"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "expected a table, got an empty file"),
            (b"\n\n", "expected a table, got an empty file"),
            (b"a,b\n1,2\n1,2,3\n", "line 3: expected 2 cells as in the first line, got 3"),
            (b'a,b\n"x\n",2\n\n1\n', "line 5: expected 2 cells as in the first line, got 1"),
            (b"a,b\n1,\0\n", "expected a text table, got a zero byte"),
            (b"PK\3\4\0\0", "expected a table, got a zip archive or a spreadsheet"),
        ],
    )
    def test_is_refused(self, data: bytes, message: str) -> None:
        with pytest.raises(InputError) as caught:
            filtered(data, columns=("a",))
        assert message in caught.value.message

    @pytest.mark.parametrize(
        ("data", "hint"),
        [
            (b"# made in May\na,b\n1,2\n", "--comment '#' those that begin with #"),
            (b"Sales of May\na,b\n1,2\n", "--skip-rows N leaves out N lines before the header"),
            (b"a,b\n1,2\n# a note\n", "--comment '#' leaves out lines that begin with #"),
            (b"a,b\r\n1,2,\r\n", "the line ends with ',', and the first line does not"),
            (b"a,b\n1,2,3\n", "a cell that holds the delimiter must stand in quotes"),
        ],
    )
    def test_a_line_of_another_length_is_answered(self, data: bytes, hint: str) -> None:
        with pytest.raises(InputError) as caught:
            filtered(data)
        assert hint in (caught.value.hint or "")

    def test_bytes_that_are_no_text(self) -> None:
        with pytest.raises(InputError, match="near byte 5: expected text in shift_jis"):
            filtered(b"x,y\n1\x81\xff\n", encoding="shift-jis")
        with pytest.raises(RequestError, match="unknown encoding 'klingon'"):
            filtered(b"x\n", encoding="klingon")

    def test_missing_file_and_folder(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "none.csv"):
            with pytest.raises(InputError):
                open_table(path, options=table_options())


class TestStreaming:
    def make(self, tmp_path: Path, rows: int = 5000) -> Path:
        path = tmp_path / "t.csv"
        path.write_bytes(b"n,x\n" + b"".join(b"%d,%d\n" % (i, i) for i in range(rows)))
        return path

    def test_a_file_is_read_again_and_a_pipe_is_not(self, tmp_path: Path) -> None:
        source = open_table(self.make(tmp_path), options=table_options())
        passes = [sum(len(block.x) for block in blocks_of(source)) for _ in range(2)]
        assert passes == [5000, 5000]
        assert source.facts()["rows"] == 5000
        piped = source_of(b"x\n1\n")
        assert len(list(piped.pieces())) == 1
        with pytest.raises(InputError, match="read only once"):
            list(piped.pieces())

    def test_texts_are_let_go_as_rows_are_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(text, "BLOCK_BYTES", 1000)
        source, out = (
            open_table(self.make(tmp_path), options=table_options(columns=("x",))),
            io.BytesIO(),
        )
        with closed_or_discarded(TableSink(out, source=source)) as sink:
            first = 0
            for block in blocks_of(source):
                n = len(block.x)
                # the outputs lag 30 rows behind
                rows = np.arange(max(0, first - 30), max(0, first + n - 30))
                sink.write(sink.encode(rows[:, None] * 2.0, rows))
                first += n
                assert len(sink._recent._parts) < 4
        assert out.getvalue().splitlines()[1:] == [b"%d,%d" % (i, 2 * i) for i in range(first - 30)]

    def test_texts_of_a_file_are_read_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Outputs that come long after their inputs do not hold the whole file in memory."""
        monkeypatch.setattr(text, "BLOCK_BYTES", 1000)
        monkeypatch.setattr(recent_rows, "MAX_HELD", 3000)
        source, out = (
            open_table(self.make(tmp_path), options=table_options(columns=("x",))),
            io.BytesIO(),
        )
        with closed_or_discarded(TableSink(out, source=source)) as sink:
            for _ in range(2):
                for _ in blocks_of(source):
                    assert sink._recent._held_bytes < 5000
            rows = np.arange(5000)
            sink.write(sink.encode(rows[:, None] * 2.0, rows))
        assert out.getvalue() == b"n,x\n" + b"".join(b"%d,%d\n" % (i, 2 * i) for i in range(5000))

    def test_pieces_may_be_decoded_in_any_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text, "BLOCK_BYTES", 50)
        data = b"n\n" + b"".join(b"%d\n" % i for i in range(100))
        source, out = source_of(data), io.BytesIO()
        with closed_or_discarded(TableSink(out, source=source)) as sink:
            blocks = [source.decode(raw) for raw in reversed(list(source.pieces()))]
            for block in blocks[::-1]:
                block.on_arrival()
            x = np.concatenate([block.x for block in blocks[::-1]])
            sink.write(sink.encode(x, np.arange(100)))
        assert out.getvalue() == data

    def test_decoding_alone_takes_note_of_nothing(self) -> None:
        source = source_of(b"t,x\n1,5\n2,\n3,7\n", time="t", columns=("x",))
        (raw,) = source.pieces()
        blocks = [source.decode(raw) for _ in range(3)]
        assert source.facts()["rows"] == 0
        blocks[0].on_arrival()
        assert source.facts()["rows"] == 3
        assert source.facts()["missing"] == {"x": 1}

    def test_follow_waits_for_one_row_only(self) -> None:
        script = (
            "import sys; from convcli.media.tables.table_options import TableOptions\n"
            "from convcli.media.tables.any_table import open_table\n"
            "s = open_table(None, options=TableOptions(follow=True))\n"
            "for raw in s.pieces(): print(s.decode(raw).x.tolist(), flush=True)\n"
        )
        command = [sys.executable, "-c", script]
        root = Path(__file__).parents[1]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"x,y\n1,2\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"[[1.0, 2.0]]\n"
            process.stdin.write(b"3,4\n5,")
            process.stdin.flush()
            assert process.stdout.readline() == b"[[3.0, 4.0]]\n"
            process.stdin.write(b"6\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"[[5.0, 6.0]]\n"
            process.stdin.close()

    def test_a_small_table_needs_neither_pyarrow_nor_pandas(self, tmp_path: Path) -> None:
        path = self.make(tmp_path, 1000)
        script = (
            "import io, sys, numpy as np; from pathlib import Path\n"
            "from convcli.media.tables.table_options import *\n"
            "from convcli.media.tables.any_table import open_table\n"
            "from convcli.media.tables.sink import TableSink\n"
            "from convcli.signals import blocks_of\n"
            f"s = open_table(Path({str(path)!r}), options=TableOptions(times=TimeOptions(column='n')))\n"
            "k = TableSink(io.BytesIO(), source=s)\n"
            "for block in blocks_of(s): k.write(k.encode(block.x, np.arange(1000)))\n"
            "assert not {'pyarrow', 'pandas', 'scipy'} & set(sys.modules)\n"
        )
        subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[1])

    def test_a_large_table_does_not_need_pandas(self, tmp_path: Path) -> None:
        path = self.make(tmp_path, 300_000)
        script = (
            "import io, sys, numpy as np; from pathlib import Path\n"
            "from convcli.media.tables.table_options import *\n"
            "from convcli.media.tables.any_table import open_table\n"
            "from convcli.media.tables.sink import TableSink\n"
            "from convcli.signals import blocks_of\n"
            f"s = open_table(Path({str(path)!r}), options=TableOptions(columns=ColumnOptions(by=('n',))))\n"
            "k = TableSink(io.BytesIO(), source=s)\n"
            "for block in blocks_of(s): k.write(k.encode(block.x, np.arange(len(block.x))))\n"
            "assert 'pyarrow' in sys.modules and 'pandas' not in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[1])


@pytest.mark.usefixtures("route")
def test_a_wide_table_is_read_and_written_in_few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of a library for each of 100,000 columns took 45 s for 10 rows."""
    rows, columns = 3, 2000
    table = np.arange(rows * columns).reshape(rows, columns) % 97
    names = ",".join(f"c{number}" for number in range(columns))
    data = "\n".join([names, *(",".join(map(str, row)) for row in table.tolist()), ""]).encode()
    reads: list[int] = []
    read = numerals.read_numbers

    def counted(cells: table_cells.Cells, style: numerals.NumberStyle) -> FloatArray:
        reads.append(len(cells))
        return read(cells, style)

    monkeypatch.setattr("convcli.media.tables.text_source.read_numbers", counted)
    got = filtered(data, lambda x: x * 2)
    assert reads == [rows * columns]
    lines = got.decode().splitlines()
    assert lines[0] == names
    assert np.array([line.split(",") for line in lines[1:]], int).tolist() == (2 * table).tolist()


@pytest.mark.parametrize(
    ("cells", "bare"),
    [("12,3", True), (" 12,3", False), ("12,3\t", False), ('"1",2', False), ("1 2,3", True)],
)
def test_cells_that_are_bare(cells: str, bare: object) -> None:
    """A blank on one side alone is enough."""
    comma = cells.index(",")
    starts = np.array([0, comma + 1])
    stops = np.array([comma, len(cells)])
    assert table_cells.Cells(cells.encode(), starts, stops).bare is bare
