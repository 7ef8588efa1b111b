"""Damaged tables of columns, compressed tables and networks, by a seed: an answer or one error, never a defect."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper, numpy_helper
from pyarrow import feather

from convcli.layers.weights import encode_weights

if TYPE_CHECKING:
    from pathlib import Path

    from program import Done, Program

ROWS = 40
CASES = 8


def rows() -> dict[str, list[object]]:
    numbers: list[object] = [None if row % 7 == 0 else row / 4 for row in range(ROWS)]
    return {"a": numbers, "b": list(range(ROWS)), "k": ["xy"[row % 2] for row in range(ROWS)]}


def tables(folder: Path) -> dict[str, bytes]:
    """A table in every format, by its suffix."""
    table = pa.table(rows())
    pq.write_table(table, folder / "t.parquet")
    feather.write_feather(table, str(folder / "t.feather"), compression="uncompressed")
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as opened:
        opened.write_table(table)
    text = "a,b,k\n" + "".join(f"{row / 4},{row},x\n" for row in range(ROWS))
    lines = "".join(json.dumps({"a": row / 4, "k": "\u00e9"}) + "\n" for row in range(ROWS))
    return {
        ".parquet": (folder / "t.parquet").read_bytes(),
        ".feather": (folder / "t.feather").read_bytes(),
        ".arrows": stream.getvalue(),
        ".jsonl": lines.encode(),
        ".csv.gz": gzip.compress(text.encode()),
        ".csv.bz2": bz2.compress(text.encode()),
        ".csv.xz": lzma.compress(text.encode()),
    }


def networks() -> dict[str, bytes]:
    """A network in each format, by its suffix."""
    taps = np.random.default_rng(1).normal(size=(1, 1, 5)).astype(np.float32)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, "n"]) for name in ("x", "y")
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"], pads=[2, 2]),
        helper.make_node("Tanh", ["h"], ["y"]),
    ]
    weights = [numpy_helper.from_array(taps, "w")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return {
        ".onnx": model.SerializeToString(),
        ".safetensors": encode_weights({"0.weight": taps}, {"layers": "conv"}),
    }


def damaged(whole: bytes, choice: random.Random) -> bytes:
    """The bytes with some of them changed, left out, or cut off."""
    data = bytearray(whole)
    for _ in range(choice.choice([1, 1, 2, 5, 20])):
        place = choice.randrange(max(1, min(len(data), choice.choice([64, 200, len(data)]))))
        kind = choice.random()
        if kind < 0.5:
            data[place : place + 1] = [choice.randrange(256)]
        elif kind < 0.7:
            data[place : place + 4] = choice.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"])
        elif kind < 0.9:
            del data[place : place + choice.randint(1, 6)]
        else:
            del data[place + 1 :]
    return bytes(data)


def is_lawful(ended: Done, output: Path) -> None:
    """An answer, or one short error and no output."""
    assert ended.code in {0, 2, 3}, ended
    assert len(ended.errors) == (ended.code > 0), ended
    assert "Warning" not in ended.err.replace("warning:", ""), ended
    assert all(len(line) < 600 for line in ended.err.splitlines()), ended
    assert output.exists() == (ended.code == 0), ended


@pytest.mark.parametrize(
    "suffix", [".parquet", ".feather", ".arrows", ".jsonl", ".csv.gz", ".csv.bz2", ".csv.xz"]
)
def test_damaged_tables(suffix: str, program: Program, tmp_path: Path) -> None:
    whole = tables(tmp_path)[suffix]
    choice = random.Random(suffix)
    for number in range(CASES):
        source = tmp_path / f"in{suffix}"
        source.write_bytes(damaged(whole, choice))
        output = tmp_path / f"o{number}{choice.choice(['.csv', '.parquet', '.jsonl'])}"
        is_lawful(program.run("csv", "sma:3", source.name, "-o", output, cwd=tmp_path), output)


@pytest.mark.parametrize("suffix", [".onnx", ".safetensors"])
def test_damaged_networks(suffix: str, program: Program, tmp_path: Path) -> None:
    whole = networks()[suffix]
    (tmp_path / "in.csv").write_text("v\n" + "".join(f"{row}\n" for row in range(ROWS)))
    choice = random.Random(suffix)
    for number in range(2 * CASES):
        (tmp_path / f"m{suffix}").write_bytes(damaged(whole, choice))
        output = tmp_path / f"o{number}.csv"
        words = ("csv", f"model:m{suffix}", "in.csv", "-o", output)
        is_lawful(program.run(*words, cwd=tmp_path), output)


@pytest.mark.parametrize("target", ["o.csv", "o.parquet"])
def test_json_texts_that_are_not_utf_8(target: str, program: Program, tmp_path: Path) -> None:
    """They stay as they are among JSON Lines, and no other format has a place for them."""
    (tmp_path / "in.jsonl").write_bytes(b'{"a": 1, "k": "\xe5"}\n{"a": 3, "k": "x"}\n')
    ended = program.run("csv", "sma:2", "in.jsonl", "-o", target, cwd=tmp_path)
    is_lawful(ended, tmp_path / target)
    assert "Invalid UTF8" in ended.err
    kept = program.run("csv", "sma:2", "in.jsonl", cwd=tmp_path)
    assert kept.out == b'{"a": 1, "k": "\xe5"}\n{"a": 2, "k": "x"}\n'


def test_a_name_that_is_not_utf_8(program: Program, tmp_path: Path) -> None:
    table = tables(tmp_path)[".feather"]
    (tmp_path / "in.feather").write_bytes(table.replace(b"\1\0\0\0a\0", b"\1\0\0\0\xe5\0"))
    output = tmp_path / "o.csv"
    refused = program.run("csv", "sma:2", "in.feather", "-o", output, cwd=tmp_path)
    is_lawful(refused, output)
    assert "is not UTF-8" in refused.err


def test_keys_that_are_not_utf_8(program: Program, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b'{"\x99": 1, "\\ud800": 5}\n{"\x99": 3, "\\ud800": 6}\n')
    kept = program.run("csv", "sma:2", "in.jsonl", cwd=tmp_path)
    assert kept.out == b'{"\x99": 1, "\\ud800": 5}\n{"\x99": 2, "\\ud800": 5.5}\n'
    added = program.run("csv", "lag:1", "in.jsonl", "--append", cwd=tmp_path)
    assert added.out.splitlines()[1].endswith(b'"\x99_lag1": 1, "\\ud800_lag1": 5}'), added
    (tmp_path / "in.jsonl").write_bytes(b'{"\x99": 1}\n{"\x99": 3}\n')
    refused = program.run("csv", "sma:2", "in.jsonl", "-o", "o.parquet", cwd=tmp_path)
    is_lawful(refused, tmp_path / "o.parquet")
    assert "is not UTF-8" in refused.err


def test_metadata_at_which_pyarrow_ends_the_process(program: Program, tmp_path: Path) -> None:
    """The counts of missing cells of a column that, by its type, has none."""
    table = tables(tmp_path)[".parquet"]
    optional, required = b"\x25\x02\x18\x01a", b"\x25\x00\x18\x01a"
    assert optional in table
    (tmp_path / "in.parquet").write_bytes(table.replace(optional, required))
    output = tmp_path / "o.csv"
    ended = program.run("csv", "sma:2", "in.parquet", "-o", output, cwd=tmp_path)
    is_lawful(ended, output)
    assert ended.code == 3


def test_a_type_that_does_not_exist(program: Program, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("v\n1\n2\n")
    network = networks()[".onnx"]
    # Fields 1 and 2 of the tensor: its three sizes, then its type.
    sizes_and_type = b"\x08\x01\x08\x01\x08\x05\x10\x01"
    assert sizes_and_type in network
    other = sizes_and_type[:-1] + b"\x52"
    (tmp_path / "m.onnx").write_bytes(network.replace(sizes_and_type, other))
    output = tmp_path / "o.csv"
    refused = program.run("csv", "model:m.onnx", "in.csv", "-o", output, cwd=tmp_path)
    is_lawful(refused, output)
    assert "a type that does not exist" in refused.err
