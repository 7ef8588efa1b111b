"""JSON Lines: numbers are filtered where they are, and every other byte stays."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow.parquet as pq
import pytest
from program import SAMPLES, run
from table_settings import table_options

from convcli.media.files import closed_or_discarded
from convcli.media.tables import json_lines, json_rows, numerals, recent_rows, text
from convcli.media.tables.compression import compressed, compression_of_suffix
from convcli.media.tables.json_lines import JsonLinesSink, JsonLinesSource
from convcli.media.tables.text import TextInput
from convcli.signals import blocks_of

if TYPE_CHECKING:
    from program import Program

ODD = (
    b'{"k":"a","x":1.50,"n":{"x":[1,{"y":"}"}]},"s":"q\\"},{"}\n'
    b'  { "x" : null , "k" : "b\\u0041" }\r\n'
    b"\n"
    b'{"s": "\xc3\xbc", "x": 3, "k": "c"}\n'
    b'{"k": "d"}\n'
    b"{}\n"
    b'{"k": "e", "x": 1e1, "new": [true, null]}'
)


def outcome(data: bytes, **options: object) -> bytes:
    """The table with its numbers doubled."""
    given = TextInput(path=None, stdin=io.BytesIO(data), asked="utf-8", follow=False)
    source = JsonLinesSource(given, table_options(**options))
    out = io.BytesIO()
    first = 0
    with closed_or_discarded(JsonLinesSink(out, source=source, suffix="new")) as sink:
        for block in blocks_of(source):
            rows = range(first, first + len(block.x))
            sink.write(sink.encode(block.x * 2, rows))
            first += len(block.x)
    return out.getvalue()


MIXED = (
    b'{"a": "x,y", "v": 1, "k\\"q": [1], "w": "2", "z": null}\n'
    b'{"v":3.5,"w":4}\n'
    b'{ "w" : 5 , "b": true, "v" : 0.5 }\n'
    b'{"b": 7}\n'
)


@pytest.mark.parametrize("block_bytes", [5, 1 << 20])
def test_other_channels_replace_the_keys_that_were_read(
    block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the place of the first one of each object; where it has none, behind its others."""
    monkeypatch.setattr(text, "BLOCK_BYTES", block_bytes)
    one = (
        b'{"a": "x,y", "y0": 3, "k\\"q": [1], "z": null}\n'
        b'{"y0": 7.5}\n'
        b'{ "y0": 5.5 , "b": true }\n'
        b'{"b": 7, "y0": null}\n'
    )
    three = (
        b'{"a": "x,y", "y0": 3, "y1": -1, "y2": 4, "k\\"q": [1], "z": null}\n'
        b'{"y0": 7.5, "y1": -0.5, "y2": 8}\n'
        b'{ "y0": 5.5, "y1": -4.5, "y2": 10 , "b": true }\n'
        b'{"b": 7, "y0": null, "y1": null, "y2": null}\n'
    )
    for step, expected in (("mix:1,1", one), ("mix:1,1;1,-1;0,2", three)):
        words = ("csv", "-q", step, "-c", "v,w", "--format", "jsonl", "-")
        done = run(*words, stdin=MIXED)
        assert (done.code, done.out) == (0, expected)
        for line in done.out.splitlines():
            assert not {"v", "w"} & json.loads(line).keys()


@pytest.mark.parametrize("block_bytes", [5, 1 << 20])
def test_every_other_byte_stays(block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(recent_rows, "MAX_HELD", 30)
    assert outcome(ODD, columns=("x",)) == (
        b'{"k":"a","x":3,"n":{"x":[1,{"y":"}"}]},"s":"q\\"},{"}\n'
        b'  { "x" : null , "k" : "b\\u0041" }\r\n'
        b"\n"
        b'{"s": "\xc3\xbc", "x": 6, "k": "c"}\n'
        b'{"k": "d"}\n'
        b"{}\n"
        b'{"k": "e", "x": 20, "new": [true, null]}'
    )


def test_new_keys_come_last() -> None:
    rows = outcome(ODD, columns=("x",), append=True).splitlines()
    assert rows[0].endswith(b'"s":"q\\"},{", "x_new": 3}')
    assert rows[1] == b'  { "x" : null , "k" : "b\\u0041" , "x_new": null}'
    assert rows[5] == b'{"x_new": null}'
    assert json.loads(rows[6]) == {"k": "e", "x": 10, "new": [True, None], "x_new": 20}


def test_strings_are_no_numbers_unless_asked_for() -> None:
    data = b'{"zip": "01234", "code": "7", "x": 1}\n'
    assert outcome(data) == b'{"zip": "01234", "code": "7", "x": 2}\n'
    assert outcome(data, columns=("code",)) == b'{"zip": "01234", "code": "14", "x": 1}\n'


def test_groups_times_and_pandas(program: Program, tmp_path: Path) -> None:
    frame = pd.read_csv(SAMPLES / "stocks.csv")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    words = ["csv", "sma:3", "a.jsonl", "--by", "symbol", "--time", "date", "-c", "price", "-q"]
    ended = program.run(*words, "--add", "d=diff:1", "-o", "b.jsonl.gz", cwd=tmp_path)
    assert ended.code == 0, ended
    found = pd.read_json(
        io.BytesIO(gzip.decompress((tmp_path / "b.jsonl.gz").read_bytes())), lines=True
    )
    by = frame.groupby("symbol").price
    expected = by.transform(lambda x: x.rolling(3, min_periods=1).mean())
    pd.testing.assert_series_equal(found.price, expected, check_names=False)
    pd.testing.assert_series_equal(found.d, by.diff(), check_names=False)
    assert list(found.symbol) == list(frame.symbol)


def test_a_pipe_is_known_by_its_first_byte(program: Program, tmp_path: Path) -> None:
    data = b'{"t": 0, "x": 1}\n{"t": 1, "x": 3}\n'
    ended = program.run("csv", "sma:2", "-c", "x", "-q", stdin=data, cwd=tmp_path)
    assert ended.out == b'{"t": 0, "x": 1}\n{"t": 1, "x": 2}\n'
    ended = run("csv", "sma:2", "--follow", "-c", "x", "-q", stdin=data)
    assert ended.out == b'{"t": 0, "x": 1}\n{"t": 1, "x": 2}\n'


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_a_byte_order_mark_tells_the_encoding(codec: str, program: Program, tmp_path: Path) -> None:
    def stored(rows: str) -> bytes:
        return f"\ufeff{rows}".encode(codec)

    rows = (
        '{"ä": "ü\U0001f600", "t": "2024-01-01", "x": 1}\n{"ä": "b", "t": "2024-01-03", "x": 4}\n'
    )
    data, halved = stored(rows), stored(rows.replace('"x": 4', '"x": 2.5'))
    for name in ("a.jsonl", "a"):
        (tmp_path / name).write_bytes(data)
        assert program.run("csv", "sma:2", name, "-q", cwd=tmp_path).out == halved
    assert program.run("csv", "sma:2", "-q", stdin=data, cwd=tmp_path).out == halved
    assert run("csv", "sma:2", "-q", "--follow", stdin=data).out == halved
    ended = program.run(
        "csv", "--every", "1d", "--time", "t", "-c", "x", "a.jsonl", "-q", cwd=tmp_path
    )
    objects = [json.loads(line) for line in ended.out.decode(codec).lstrip("\ufeff").splitlines()]
    assert [row.get("x") for row in objects] == [1, None, 4]
    program.run("csv", "sma:2", "a.jsonl", "-o", "b.parquet", "-q", cwd=tmp_path)
    written = pq.read_table(tmp_path / "b.parquet").to_pydict()
    assert written == {
        "ä": ["ü\U0001f600", "b"],
        "t": ["2024-01-01", "2024-01-03"],
        "x": [1.0, 2.5],
    }
    ended = program.run("csv", "sma:2", "-q", stdin=stored('[{"x": 1}]'), cwd=tmp_path)
    assert "an object a line, got an array" in ended.errors[0]


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz"])
@pytest.mark.parametrize("follow", [(), ("--follow",)])
def test_compressed_objects_are_known_by_what_is_within(
    suffix: str, follow: tuple[str, ...], program: Program, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"k": range(40_000), "x": [row**2 % 1009 for row in range(40_000)]})
    data = frame.to_json(orient="records", lines=True).encode()
    expected = run("csv", "sma:2", "-c", "x", "-q", stdin=data).out
    assert expected.count(b"\n") == len(frame)
    compression = compression_of_suffix(Path(f"a{suffix}"))
    assert compression is not None
    packed = compressed(data, compression)
    ended = run("csv", "sma:2", "-c", "x", "-q", *follow, stdin=packed)
    assert ended.code == 0, ended
    assert ended.out == expected
    (tmp_path / "a").write_bytes(packed)
    assert program.run("csv", "sma:2", "-c", "x", "a", "-q", cwd=tmp_path).out == expected
    broken = run("csv", "sma:2", "-q", stdin=packed[: len(packed) // 2])
    assert broken.code == 3
    assert "standard input" in broken.errors[0]


@pytest.mark.parametrize(
    "data", [b'[{"x": 1}, {"x": 2}]', b'\xef\xbb\xbf [\n  {"x": 1}\n]\n', b"[]"]
)
def test_an_array_of_objects_is_no_table(data: bytes, program: Program, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(data)
    for words in (["a.json"], []):
        ended = program.run("csv", "sma:2", *words, stdin=data, cwd=tmp_path)
        assert ended.code == 3, ended
        assert "an object a line, got an array" in ended.errors[0]
    named = b"[a],x\n1,2\n"
    assert program.run("csv", "sma:2", "-q", stdin=named, cwd=tmp_path).out == named


def test_objects_become_columns(program: Program, tmp_path: Path) -> None:
    data = b'{"day": "2024-01-01", "x": 1, "l": [1], "n": 5}\n{"day": "2024-01-02", "x": 3, "l": [], "n": 6}\n'
    words = ["csv", "sma:2", "-c", "x", "-o"]
    assert program.run(*words, "a.parquet", stdin=data, cwd=tmp_path).code == 0
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.to_pylist() == [
        {"day": "2024-01-01", "x": 1.0, "l": [1], "n": 5},
        {"day": "2024-01-02", "x": 2.0, "l": [], "n": 6},
    ]
    ended = program.run(*words, "a.csv", stdin=data, cwd=tmp_path)
    assert "the column l cannot be written as text" in ended.errors[0]
    plain = data.replace(b'"l": [1], ', b"").replace(b'"l": [], ', b"")
    assert program.run(*words, "a.csv", stdin=plain, cwd=tmp_path).code == 0
    assert (tmp_path / "a.csv").read_bytes() == b"day,x,n\n2024-01-01,1,5\n2024-01-02,2,6\n"


@pytest.mark.parametrize(
    ("data", "words", "message"),
    [
        (b'{"x": 1}\n{"x": 2\n', [], "line 2: expected a JSON object"),
        (b'{"x": 1}\n[1]\n', [], "line 2: expected a JSON object"),
        (b'{"x": 1} {"x": 2}\n', [], "line 1: expected a JSON object"),
        (b'{"x": 1}]\n', [], "line 1: expected a JSON object"),
        (b'{"x": 1}\n{}]\n', [], "line 2: expected a JSON object"),
        (b'{"x": 1}\n{"x": true}\n', [], "line 2, column x: expected a number, got 'true'"),
        (b'{"x": "word"}\n', ["-c", "x"], "expected a number"),
        (b'{"x": 1}\n', ["-c", "y"], "unknown column 'y'"),
        (b'{"x": 1}\n', ["-d", ";"], "-d is for tables of text"),
        (b'{"x": 1, "y": 2}\n', ["--append", "--add", "y=sma:2", "-c", "x"], "exists already"),
        (b'{"x": ' + b"[" * 100000 + b"}\n", [], "line 1: expected a JSON object"),
    ],
)
def test_what_is_refused(
    data: bytes, words: list[str], message: str, program: Program, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_bytes(data)
    ended = program.run("csv", "sma:2", "a.jsonl", *words, "-o", "o.jsonl", cwd=tmp_path)
    assert ended.code == (2 if words and "number" not in message else 3), ended
    assert message in ended.errors[0]
    assert not (tmp_path / "o.jsonl").exists()


@pytest.mark.parametrize("columnar", [0, 1 << 40])
@pytest.mark.parametrize("words", [[], ["--append"], ["--add", "{column}_d=diff:1"]])
def test_plain_objects_are_written_as_all_others(
    columnar: int, words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A text without nested objects takes a shorter way, to the same bytes."""
    from convcli.cli import main

    monkeypatch.setattr(numerals, "COLUMNAR", columnar)
    monkeypatch.setattr(numerals, "COLUMNAR_LOADED", columnar)
    rows = []
    for n in range(400):
        value = "null" if n % 17 == 3 else f"{n * 7919 % 1000 / 8}"
        rows.append(f'{{"k": "a:{n}, b", "x": {value}, "l": [1, "x"], "y":{n}}}')
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    outputs = []
    for name in ("plain.jsonl", "walked.jsonl"):
        place = tmp_path / name
        command = ["csv", "sma:3", str(tmp_path / "a.jsonl"), "-c", "y,x", "-q", "-o", str(place)]
        assert main([*command, *words]) == 0
        outputs.append(place.read_bytes())
        monkeypatch.setattr(json_rows, "_find_plain_rows", lambda *_, **__: None)
        monkeypatch.setattr(json_lines, "is_plain", lambda *_: False)
    assert outputs[0] == outputs[1]
    assert [json.loads(line)["k"] for line in outputs[0].splitlines()][7] == "a:7, b"
