"""Parquet, Feather and JSON Lines tables: types, values and rows are kept, and formats converted."""

from __future__ import annotations

import io
import json
import math
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from program import SAMPLES, Program
from pyarrow import feather
from table_settings import table_options

from convcli.media.files import closed_or_discarded
from convcli.media.tables import batch_readers, recent_rows
from convcli.media.tables import text as text_of_tables
from convcli.media.tables.any_table import open_any_table
from convcli.media.tables.columnar import ColumnarSink
from convcli.media.tables.table_formats import PARQUET
from convcli.signals import blocks_of

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 500


def mixed() -> pa.Table:
    """A table with columns of many types, some of them nested, some with nulls."""
    rng = np.random.default_rng(7)
    days = pd.date_range("2024-01-01", periods=ROWS // 2, tz="Europe/Berlin").repeat(2)
    x = rng.normal(size=ROWS)
    table = pa.table(
        {
            "when": pa.array(days),
            "key": pa.array(["a", "b"] * (ROWS // 2)),
            "n": pa.array(rng.integers(-100, 100, ROWS), pa.int16()),
            "x": pa.array(x, mask=np.arange(ROWS) % 11 == 3),
            "list": pa.array([[1, 2], None] * (ROWS // 2)),
            "struct": pa.array([{"p": 1, "q": "z"}] * ROWS),
            "flag": pa.array([True, None] * (ROWS // 2)),
            "kind": pa.array(["u", "v"] * (ROWS // 2)).dictionary_encode(),
            "bytes": pa.array([b"\0\xff"] * ROWS),
        }
    )
    return table.replace_schema_metadata({"made": "by a test"})


def written(path: Path, table: pa.Table) -> Path:
    """The table in a file, in several row groups or batches."""
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=70, compression="zstd")
    elif path.suffix == ".arrows":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table, max_chunksize=70)
    else:
        feather.write_feather(table, str(path), chunksize=70)
    return path


def read(path: Path | io.BytesIO, suffix: str) -> pa.Table:
    if suffix == ".arrows":
        return pa.ipc.open_stream(path if isinstance(path, io.BytesIO) else str(path)).read_all()
    return pq.read_table(path) if suffix == ".parquet" else feather.read_table(path)


@pytest.fixture(params=[64, 1 << 20])
def batch_cells(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells of a batch: few, so that outputs span batches, or all."""
    monkeypatch.setattr(batch_readers, "BATCH_CELLS", request.param)
    monkeypatch.setattr(batch_readers, "FEWEST_ROWS", 7)


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "lz4", "zstd"])
def test_parquet_stays_compressed_as_it_was(codec: str, program: Program, tmp_path: Path) -> None:
    pq.write_table(mixed(), tmp_path / "a.parquet", compression=codec)
    words = ("csv", "sma:3", "a.parquet", "-c", "x", "-o", "b.parquet")
    assert program.run(*words, cwd=tmp_path).code == 0
    before, after = (pq.read_metadata(tmp_path / f"{name}.parquet") for name in "ab")
    for column in range(before.num_columns):
        expected = before.row_group(0).column(column).compression
        assert after.row_group(0).column(column).compression == expected


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrows"])
class TestColumns:
    def test_other_columns_are_kept(self, suffix: str, program: Program, tmp_path: Path) -> None:
        table = mixed()
        written(tmp_path / f"a{suffix}", table)
        words = ["csv", "sma:3", f"a{suffix}", "--by", "key", "--time", "when", "-q"]
        ended = program.run(*words, "-o", f"b{suffix}", cwd=tmp_path)
        assert ended.code == 0, ended
        found = read(tmp_path / f"b{suffix}", suffix)
        assert found.schema.metadata == table.schema.metadata
        for name in table.column_names:
            if name not in ("n", "x"):
                assert found.schema.field(name).equals(table.schema.field(name))
                assert found.column(name).combine_chunks() == table.column(name).combine_chunks()
        frame = table.select(["key", "n", "x"]).to_pandas()
        rolling = frame.groupby("key")[["n", "x"]].rolling(3, min_periods=1).mean()
        expected = rolling.droplevel(0).sort_index()
        expected.loc[frame.x.isna(), "x"] = np.nan
        for name in ("n", "x"):
            assert found.schema.field(name).type == pa.float64()
            values = found.column(name).to_pandas()
            np.testing.assert_allclose(values, expected[name], rtol=1e-12, atol=1e-12)
        assert found.column("x").null_count == table.column("x").null_count

    def test_through_a_pipe(self, suffix: str, program: Program, tmp_path: Path) -> None:
        place = written(tmp_path / f"a{suffix}", mixed())
        words = ["csv", "sma:3", "-c", "x", "--append", "--decimals", "3", "-q"]
        ended = program.run(*words, stdin=place.read_bytes(), cwd=tmp_path)
        found = read(io.BytesIO(ended.out), suffix)
        assert found.column_names[-1] == "x_sma3"
        values = found.column("x_sma3").drop_null().to_numpy()
        np.testing.assert_array_equal(values, np.round(values, 3))
        again = program.run(*words, stdin=place.read_bytes(), cwd=tmp_path)
        assert again.out == ended.out

    def test_fewer_rows(self, suffix: str, program: Program, tmp_path: Path) -> None:
        written(tmp_path / f"a{suffix}", mixed())
        words = ["csv", "sum_pool:4", f"a{suffix}", "-c", "n", "-o", f"b{suffix}", "-q"]
        assert program.run(*words, cwd=tmp_path).code == 0
        found = read(tmp_path / f"b{suffix}", suffix)
        n = mixed().column("n").to_numpy()
        np.testing.assert_array_equal(found.column("n").to_numpy(), n.reshape(-1, 4).sum(axis=1))
        assert found.column("bytes").to_pylist() == [b"\0\xff"] * (ROWS // 4)

    def test_what_is_damaged(self, suffix: str, program: Program, tmp_path: Path) -> None:
        data = written(tmp_path / f"a{suffix}", mixed()).read_bytes()
        middle = len(data) // 2
        (tmp_path / f"cut{suffix}").write_bytes(data[:middle])
        (tmp_path / f"bad{suffix}").write_bytes(data[:200] + bytes(middle) + data[200 + middle :])
        for name in ("cut", "bad"):
            ended = program.run(
                "csv", "sma:3", f"{name}{suffix}", "-c", "x", "-o", "o.csv", cwd=tmp_path
            )
            assert ended.code == 3, ended
            assert f"{name}{suffix}" in ended.errors[0]
            assert not (tmp_path / "o.csv").exists()

    def test_what_cannot_be_asked_for(self, suffix: str, program: Program, tmp_path: Path) -> None:
        written(tmp_path / f"a{suffix}", mixed())
        for words, message in (
            (["-c", "key"], "column key: expected numbers, got string"),
            (["-c", "nix"], "unknown column 'nix'"),
            (["-d", ";"], "-d is for tables of text"),
            (["--follow"], "--follow is for tables of text"),
            (["--by", "struct"], "cannot name groups or times"),
            (["-o", f"b{suffix}.gz"], "are compressed inside"),
            (["-c", "x", "-o", "b.csv"], "the column list cannot be written as text"),
            (["-c", "x", "-o", "b.csv", "--format", "parquet"], "contradict each other"),
        ):
            ended = program.run("csv", "sma:3", f"a{suffix}", *words, cwd=tmp_path)
            assert ended.code in (2, 3), ended
            assert message in ended.errors[0]


@pytest.mark.usefixtures("batch_cells")
def test_old_batches_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_rows, "MAX_HELD", 1000)
    place = written(tmp_path / "a.parquet", mixed())
    out = io.BytesIO()
    with pytest.MonkeyPatch.context(), open_held() as held:
        source: Any = open_any_table(place, options=table_options(columns=("n",)), held=held)
        with closed_or_discarded(ColumnarSink(out, source=source, format=PARQUET)) as sink:
            x = np.concatenate([block.x for block in blocks_of(source)])
            rows = range(len(x))
            sink.write(sink.encode(x + 1, rows))
    found = pq.read_table(out)
    expected = mixed().column("n").to_numpy() + 1
    np.testing.assert_array_equal(found.column("n").to_numpy(), expected)
    assert found.column("struct").combine_chunks() == mixed().column("struct").combine_chunks()


def open_held() -> Any:
    from contextlib import ExitStack

    return ExitStack()


def test_hours_of_a_zone_are_regular_over_a_change_of_the_clock(
    program: Program, tmp_path: Path
) -> None:
    hours = pd.date_range("2024-03-30 12:00", periods=48, freq="h", tz="Europe/Berlin")
    pq.write_table(pa.table({"t": hours, "x": np.arange(48.0)}), tmp_path / "a.parquet")
    words = ["csv", "sma:3h", "a.parquet", "--time", "t", "-o", "b.parquet", "-q"]
    ended = program.run(*words, cwd=tmp_path)
    assert ended.code == 0, ended
    assert pq.read_table(tmp_path / "b.parquet").column("x").to_pylist()[-1] == 46


# ----------------------------------------------------------------------------------- conversion


def test_text_to_columns(program: Program, tmp_path: Path) -> None:
    data = (
        b"id,day,when,n,y,word,empty,x\n"
        b'007,2024-01-01,2024-01-01 10:00:00,1,1.5,"a, b",,1\n'
        b"008,2024-01-02,2024-01-02 10:00:00,2,,NA,,3\n"
    )
    for name in ("o.parquet", "o.feather"):
        ended = program.run("csv", "sma:2", "-c", "x", "-o", name, stdin=data, cwd=tmp_path)
        assert ended.code == 0, ended
    table = pq.read_table(tmp_path / "o.parquet")
    assert table.equals(feather.read_table(tmp_path / "o.feather").cast(table.schema))
    assert table.schema.names == ["id", "day", "when", "n", "y", "word", "empty", "x"]
    kinds = [str(kind) for kind in table.schema.types]
    text = "string"
    times = "timestamp[ms]"
    assert kinds == [text, "date32[day]", times, "int64", "double", text, text, "double"]
    assert table.column("id").to_pylist() == ["007", "008"]
    assert table.column("word").to_pylist() == ["a, b", "NA"]
    assert table.column("y").to_pylist() == [1.5, None]
    assert table.column("x").to_pylist() == [1, 2]


def test_columns_to_text_and_back(program: Program, tmp_path: Path) -> None:
    words = ["csv", "sma:3", "--by", "symbol", "-c", "price", "-q"]
    plain = program.run(*words, SAMPLES / "stocks.csv", cwd=tmp_path).out
    steps: list[tuple[str | Path, str]] = [
        (SAMPLES / "stocks.csv", "a.parquet"),
        ("a.parquet", "b.feather"),
    ]
    for source, output in steps:
        ended = program.run("csv", "kernel:1", "-c", "price", source, "-o", output, cwd=tmp_path)
        assert ended.code == 0, ended
    assert program.run(*words, "b.feather", "--format", "csv", cwd=tmp_path).out == plain
    ended = program.run(*words, "b.feather", "-o", "c.csv.gz", cwd=tmp_path)
    assert ended.code == 0, ended
    assert pd.read_csv(tmp_path / "c.csv.gz").equals(pd.read_csv(io.BytesIO(plain)))


def test_columns_to_json_lines(program: Program, tmp_path: Path) -> None:
    table = mixed().drop_columns(["bytes"])
    written(tmp_path / "a.parquet", table)
    words = ["csv", "sum_pool:1", "a.parquet", "-c", "x,n", "-o", "b.jsonl"]
    assert program.run(*words, cwd=tmp_path).code == 0
    rows = [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines()]
    kept = ["key", "n", "x", "list", "struct", "flag", "kind"]
    expected = table.select(kept).to_pylist()
    assert [{name: row[name] for name in kept} for row in rows] == expected


def test_what_is_infinite_or_not_a_number_is_json_too(program: Program, tmp_path: Path) -> None:
    """RFC 8259 has no NaN and no Infinity: NaN is null, and 1e999 is read as infinite."""
    table = {
        "x": [1.0, 2.0, 3.0],
        "far": [math.inf, -math.inf, math.nan],
        "list": [[0.5, math.nan], [], None],
        "struct": [{"a": math.nan, "b": -math.inf}, None, {"a": 2.5, "b": None}],
    }
    written(tmp_path / "a.parquet", pa.table(table))
    words = ["csv", "kernel:1", "a.parquet", "-c", "x", "-o", "b.jsonl"]
    assert program.run(*words, cwd=tmp_path).code == 0
    assert (tmp_path / "b.jsonl").read_text().splitlines() == [
        '{"x": 1, "far": 1e999, "list": [0.5, null], "struct": {"a": null, "b": -1e999}}',
        '{"x": 2, "far": -1e999, "list": [], "struct": null}',
        '{"x": 3, "far": null, "list": null, "struct": {"a": 2.5, "b": null}}',
    ]


def test_a_header_alone_becomes_columns(program: Program, tmp_path: Path) -> None:
    words = ["csv", "sma:3", "-c", "x", "-o", "o.parquet"]
    assert program.run(*words, stdin=b"x,word\n", cwd=tmp_path).code == 0
    table = pq.read_table(tmp_path / "o.parquet")
    assert (table.num_rows, [str(kind) for kind in table.schema.types]) == (0, ["double", "string"])


def test_a_cell_of_another_type_than_the_first_ones(program: Program, tmp_path: Path) -> None:
    lines = [b"x,n"] + [b"1,%d" % n for n in range(300_000)] + [b"1,word"]
    data = b"\n".join(lines) + b"\n"
    words = ["csv", "sma:3", "-c", "x", "-o", "o.parquet"]
    ended = program.run(*words, stdin=data, cwd=tmp_path)
    assert ended.code == 3, ended
    assert "expected cells of the types of the first rows" in ended.errors[0]
    assert "-o FILE.csv" in ended.err
    assert not (tmp_path / "o.parquet").exists()


def test_an_output_folder_takes_the_format(program: Program, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x\n1\n3\n")
    ended = program.run("csv", "sma:2", "a.csv", "-o", "out/", "--format", "parquet", cwd=tmp_path)
    assert ended.code == 0, ended
    assert pq.read_table(tmp_path / "out/a.parquet").column("x").to_pylist() == [1, 2]


# Cells that a float64 would round, and the type that keeps each column.
LARGE_CELLS = {
    "uint64": ["12345678901234567890", "9007199254740993"],
    "decimal128(38, 0)": ["12345678901234567890123", "-9007199254740993"],
    "string": ["9" * 60, "3"],
}


@pytest.mark.parametrize("kind", LARGE_CELLS)
@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_whole_numbers_that_are_not_filtered_keep_every_digit(
    kind: str, suffix: str, program: Program, tmp_path: Path
) -> None:
    cells = LARGE_CELLS[kind]
    text = "id,x\n" + "".join(f"{cell},1\n" for cell in cells)
    first = program.run("csv", "x", "-c", "x", "-o", "a.parquet", stdin=text.encode(), cwd=tmp_path)
    assert first.code == 0, first
    table = pq.read_table(tmp_path / "a.parquet")
    assert str(table.schema.field("id").type) == kind
    assert [str(value) for value in table.column("id").to_pylist()] == cells
    second = program.run("csv", "x", "-c", "x", "a.parquet", "-o", f"b{suffix}", cwd=tmp_path)
    assert second.code == 0, second
    if suffix == ".parquet":
        assert pq.read_table(tmp_path / "b.parquet").column("id") == table.column("id")
        return
    lines = (tmp_path / f"b{suffix}").read_text().splitlines()[-2:]
    is_text = suffix == ".jsonl" and kind == "string"
    for line, cell in zip(lines, cells, strict=True):
        assert (f'"{cell}"' if is_text else cell) in line
        assert is_text or f'"{cell}"' not in line


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2"], "int64"),
        (["0.5", "12345678901234567890123"], "string"),
        (["0.5", "100000000000000000000"], "double"),
        (["0x1F", "0x20"], "string"),
        (["+4915112345678", "+44"], "string"),
        (["007", "1"], "string"),
    ],
)
def test_cells_that_are_no_plain_numbers_stay_text(
    cells: list[str], kind: str, program: Program, tmp_path: Path
) -> None:
    text = "id,x\n" + "".join(f"{cell},1\n" for cell in cells)
    program.run("csv", "x", "-c", "x", "-o", "a.parquet", stdin=text.encode(), cwd=tmp_path)
    column = pq.read_table(tmp_path / "a.parquet").column("id")
    assert str(column.type) == kind
    if kind == "string":
        assert column.to_pylist() == cells


@pytest.mark.parametrize(
    ("first", "second"), [("12345678901234567890", "1"), ("12345678901234567890123", "null")]
)
def test_whole_numbers_of_objects_keep_every_digit(
    first: str, second: str, program: Program, tmp_path: Path
) -> None:
    data = f'{{"id": {first}, "x": 1}}\n{{"id": {second}, "x": 1}}\n'.encode()
    ended = program.run("csv", "x", "-c", "x", "--format", "csv", stdin=data, cwd=tmp_path)
    cell = "" if second == "null" else second
    assert ended.text == f"id,x\n{first},1\n{cell},1\n"


@pytest.mark.parametrize(
    "values", [("0.5", "9007199254740993"), ('{"a": 12345678901234567890}', "{}"), ("9" * 50, "1")]
)
def test_values_that_no_type_keeps_are_refused(
    values: tuple[str, str], program: Program, tmp_path: Path
) -> None:
    data = "".join(f'{{"id": {value}, "x": 1}}\n' for value in values).encode()
    ended = program.run("csv", "x", "-c", "x", "-o", "a.parquet", stdin=data, cwd=tmp_path)
    assert ended.code == 3, ended
    assert "id" in ended.errors[0]
    assert "would be rounded" in ended.errors[0]


def test_a_large_whole_number_behind_rows_of_fractions(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_of_tables, "BLOCK_BYTES", 100)
    rows = ["0.5,1"] * 100 + ["9007199254740993,1"]
    text = "\n".join(["id,x", *rows, ""]).encode()
    ended = program.run("csv", "x", "-c", "x", "-o", "a.parquet", stdin=text, cwd=tmp_path)
    assert ended.code == 3, ended
    assert "9007199254740993 would be rounded" in ended.errors[0]


def test_binary_values_and_durations_as_text(program: Program, tmp_path: Path) -> None:
    """Durations are written as pandas writes them, binary values not at all."""
    lengths = [1_000_000, 90_061_000_001, -1, None]
    table = pa.table({"d": pa.array(lengths, pa.duration("us")), "x": [1.0, 2, 3, 4]})
    pq.write_table(table, tmp_path / "d.parquet")
    ended = program.run("csv", "x", "d.parquet", "--format", "csv", cwd=tmp_path)
    frame = pd.read_csv(io.BytesIO(ended.out))
    found = pd.to_timedelta(frame.d).dt.as_unit("us").tolist()
    assert found[:3] == [pd.Timedelta(length, "us") for length in (1_000_000, 90_061_000_001, -1)]
    assert pd.isna(frame.d[3])
    ended = program.run("csv", "x", "d.parquet", "--format", "jsonl", cwd=tmp_path)
    assert json.loads(ended.text.splitlines()[1])["d"] == "1 days 01:01:01.000001"
    pq.write_table(pa.table({"b": [b"\xff"], "x": [1.0]}), tmp_path / "b.parquet")
    for suffix in ("csv", "jsonl"):
        ended = program.run("csv", "x", "b.parquet", "--format", suffix, cwd=tmp_path)
        assert ended.code == 2
        assert "its type is binary" in ended.errors[0]
        assert "-o FILE.parquet" in ended.err
        assert "jsonl" not in ended.err


STORED_IN_FEATHER = {
    "interval": pa.array([(1, 2, 3)] * 2, pa.month_day_nano_interval()),
    "union": pa.UnionArray.from_sparse(pa.array([0, 0], pa.int8()), [pa.array([1, 2])]),
    "view": pa.array([b"a", b"b"], pa.binary_view()),
    "tensor": pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.float32(), [2]),
        pa.array([[1.0, 2.0]] * 2, pa.list_(pa.float32(), 2)),
    ),
    "far": pa.array([0, 10**15], pa.timestamp("s")),
    "nested far": pa.array([[10**15]] * 2, pa.list_(pa.timestamp("s"))),
    "zone": pa.array([0, 1], pa.timestamp("us", "Mars/Base")),
    "scale": pa.array([100, 200], pa.decimal128(5, 0)).cast(pa.decimal128(5, -2)),
}


@pytest.mark.parametrize(
    ("name", "refusing"),
    [
        ("interval", (".parquet", ".csv", ".jsonl")),
        ("union", (".parquet", ".csv")),
        ("view", (".csv", ".jsonl")),
        ("tensor", (".csv",)),
        ("far", (".csv", ".jsonl")),
        ("nested far", (".csv", ".jsonl")),
        ("zone", (".csv", ".jsonl")),
        ("scale", (".parquet",)),
    ],
)
def test_types_that_another_format_has_no_form_for(
    name: str, refusing: tuple[str, ...], program: Program, tmp_path: Path
) -> None:
    table = pa.table({name: STORED_IN_FEATHER[name], "x": [1.0, 3.0]})
    feather.write_feather(table, tmp_path / "a.feather")
    for suffix in (".feather", ".parquet", ".csv", ".jsonl"):
        ended = program.run(
            "csv", "sma:2", "a.feather", "-c", "x", "-o", f"b{suffix}", cwd=tmp_path
        )
        is_refused = suffix in refusing
        assert ended.code == (2 if is_refused else 0), ended
        assert (tmp_path / f"b{suffix}").exists() is not is_refused
        if is_refused:
            assert f"the column {name} cannot be written" in ended.errors[0]
            assert "hint: -o FILE." in ended.err
        ended = program.run("csv", "sma:2d", "a.feather", "--time", name, "-c", "x", cwd=tmp_path)
        assert len(ended.errors) == (ended.code != 0)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("begin", [0, 1700, 45000])  # neither a year nor a day of a spreadsheet
def test_durations_are_times(unit: str, begin: int, program: Program, tmp_path: Path) -> None:
    """The same as pandas: rolling("2s"), and resample("2s") from the first."""
    seconds = np.array([0, 1, 2, 5, 6])
    x = pd.Series([1.0, 10, 100, 1000, 10000], pd.to_timedelta(seconds, unit="s"))
    stored = pa.array(begin + seconds, pa.duration("s")).cast(pa.duration(unit))
    pq.write_table(pa.table({"t": stored, "x": x.to_numpy()}), tmp_path / "a.parquet")
    words = ("a.parquet", "--time", "t", "-c", "x", "-q", "-o", "b.parquet", "--force")
    assert program.run("csv", "sma:2s", *words, cwd=tmp_path).code == 0
    found = pq.read_table(tmp_path / "b.parquet")
    np.testing.assert_allclose(found.column("x").to_numpy(), x.rolling("2s").mean())
    assert found.column("t").combine_chunks() == stored
    ended = program.run("csv", "x", *words, "--every", "500ms", cwd=tmp_path)
    if unit == "s":
        assert "--every cannot write the beginning of a bin" in ended.errors[0]
        ended = program.run("csv", "x", *words, "--every", "1s", cwd=tmp_path)
    assert ended.code == 0, ended
    found = pq.read_table(tmp_path / "b.parquet").to_pandas().dropna()
    assert found.t.dt.total_seconds().tolist() == (begin + seconds).tolist()
    assert found.x.tolist() == x.tolist()


@pytest.mark.parametrize(
    "option", [("--time-unit", "ms"), ("--date-format", "%Y"), ("--time-zone", "UTC")]
)
def test_options_of_times_have_no_effect_on_durations(
    option: tuple[str, str], program: Program, tmp_path: Path
) -> None:
    stored = pa.array([0, 1, 2], pa.duration("ms"))
    pq.write_table(pa.table({"t": stored, "x": [1.0, 2.0, 4.0]}), tmp_path / "a.parquet")
    ended = program.run("csv", "sma:2ms", "a.parquet", "--time", "t", *option, cwd=tmp_path)
    assert ended.code == 2
    assert ended.errors == [
        f"error: {option[0]} is for times that are written, and t holds durations"
    ]


def test_categories_may_change_within_a_stream(program: Program, tmp_path: Path) -> None:
    schema = pa.schema({"k": pa.dictionary(pa.int8(), pa.string()), "x": pa.float64()})
    with pa.OSFile(str(tmp_path / "a.arrows"), "wb") as file:
        with pa.ipc.new_stream(file, schema) as stream:
            for kinds, x in ((["a", "b"], [1.0, 2.0]), (["c", "a"], [3.0, 5.0])):
                column = pa.array(kinds).dictionary_encode().cast(schema.field("k").type)
                stream.write_batch(pa.record_batch([column, pa.array(x)], schema))
    for name in ("b.arrows", "b.feather", "b.parquet", "b.csv"):
        ended = program.run("csv", "sma:2", "a.arrows", "--by", "k", "-o", name, cwd=tmp_path)
        assert ended.code == 0, ended
        ended = program.run("csv", "x", name, "-c", "x", "--format", "csv", cwd=tmp_path)
        assert ended.text == "k,x\na,1\nb,2\nc,3\na,3\n", name


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"FEA1", "Feather of version 1"),
        (b"SQLite format 3\0", "a database of SQLite"),
        (b"\x93NUMPY\1\0", "an array of NumPy"),
        (b"PK\3\4", "a zip archive or a spreadsheet"),
    ],
)
def test_tables_that_are_not_read_are_named(
    start: bytes, name: str, program: Program, tmp_path: Path
) -> None:
    (tmp_path / "a.table").write_bytes(start + bytes(100))
    for words in (("a.table",), ()):
        ended = program.run("csv", "sma:2", *words, stdin=start + bytes(100), cwd=tmp_path)
        assert ended.code == 3
        assert f"expected a table, got {name}" in ended.errors[0]
        assert "save it as CSV or Parquet first" in ended.err


def test_an_identifier_of_16_bytes_is_written_as_uuid(program: Program, tmp_path: Path) -> None:
    keys = [uuid.UUID(int=2**127 + 5), None]
    stored = pa.array([key and key.bytes for key in keys], pa.binary(16))
    table = pa.table({"key": pa.ExtensionArray.from_storage(pa.uuid(), stored), "x": [1.0, 3.0]})
    pq.write_table(table, tmp_path / "a.parquet")
    ended = program.run("csv", "x", "a.parquet", "--format", "csv", cwd=tmp_path)
    assert ended.text == "key,x\n80000000-0000-0000-0000-000000000005,1\n,3\n"


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrows", ".jsonl"])
def test_columns_of_one_name_are_refused(suffix: str, program: Program, tmp_path: Path) -> None:
    text = b"a,a,x\n1,2,3\n"
    ended = program.run("csv", "x", "-c", "x", "-o", f"o{suffix}", stdin=text, cwd=tmp_path)
    assert ended.code == 2
    assert "two columns are called a" in ended.errors[0]
    assert not list(tmp_path.iterdir())


def test_decimals_are_numbers_of_json(program: Program, tmp_path: Path) -> None:
    prices = pa.array(["1.50", "0.10", "123456789012345678.25", None]).cast(pa.decimal128(25, 2))
    pq.write_table(pa.table({"p": prices, "x": [1.0] * 4}), tmp_path / "p.parquet")
    ended = program.run("csv", "x", "-c", "x", "p.parquet", "--format", "jsonl", cwd=tmp_path)
    found = [json.loads(line)["p"] for line in ended.text.splitlines()]
    assert found == [1.5, 0.1, "123456789012345678.25", None]


def test_bins_follow_the_days_of_the_time_zone_of_the_column(
    program: Program, tmp_path: Path
) -> None:
    hours = pd.date_range("2024-03-08 05:00", "2024-03-13", freq="h", tz="America/New_York")
    frame = pd.DataFrame({"t": hours, "x": np.arange(float(len(hours)))})
    frame.to_parquet(tmp_path / "t.parquet")
    words = ("csv", "avg_pool:1d", "t.parquet", "--time", "t", "-o", "o.parquet", "-q")
    ended = program.run(*words, cwd=tmp_path)
    assert ended.code == 0, ended
    expected = frame.set_index("t").x.resample("D").mean()
    assert pd.read_parquet(tmp_path / "o.parquet").x.tolist() == expected.tolist()


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
def test_pandas_reads_what_becomes_of_its_own_types(
    suffix: str, program: Program, tmp_path: Path
) -> None:
    frame = pd.DataFrame(
        {"x": pd.array([1, 2, 4], dtype="Int64"), "y": pd.array([1, 2, 4], dtype="int8[pyarrow]")},
        index=pd.Index([7, 8, 9], name="number"),
    )
    if suffix == ".feather":
        frame = frame.reset_index()
    write = {".parquet": frame.to_parquet, ".feather": frame.to_feather}[suffix]
    write(tmp_path / f"a{suffix}")  # type: ignore[operator]
    words = ("csv", "sma:2", f"a{suffix}", "-o", f"b{suffix}", "-q")
    ended = program.run(*words, *(("-c", "x,y") if suffix == ".feather" else ()), cwd=tmp_path)
    assert ended.code == 0, ended
    read = pd.read_parquet if suffix == ".parquet" else pd.read_feather
    made = read(tmp_path / f"b{suffix}")
    assert made.x.tolist() == made.y.tolist() == [1.0, 1.5, 3.0]
    if suffix == ".parquet":
        assert made.index.tolist() == [7, 8, 9]


def test_categories_that_polars_writes(program: Program, tmp_path: Path) -> None:
    views = pa.array(["a", "b"], pa.string_view())
    kinds = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.uint32()), views)
    feather.write_feather(pa.table({"k": kinds, "x": [1.0, 2.0, 5.0]}), tmp_path / "a.arrow")
    ended = program.run("csv", "sma:2", "a.arrow", "--by", "k", "--format", "csv", cwd=tmp_path)
    assert ended.text == "k,x\na,1\nb,2\na,3\n", ended


def test_whole_numbers_beyond_a_float_are_rounded_where_the_filter_changes_nothing(
    program: Program, tmp_path: Path
) -> None:
    numbers = pa.array([2**63, 2**53 + 1, 3], pa.uint64())
    pq.write_table(pa.table({"x": numbers}), tmp_path / "a.parquet")
    for text in ("gain:1", "sma:1"):
        words = ("csv", "-q", text, "a.parquet", "-o", f"{text[:3]}.parquet")
        assert program.run(*words, cwd=tmp_path).code == 0
        column = pq.read_table(tmp_path / f"{text[:3]}.parquet").column("x")
        assert column.to_pylist() == [2.0**63, 2.0**53, 3.0]
