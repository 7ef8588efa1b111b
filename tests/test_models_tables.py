"""Models on tables: another number of columns than was read, and models that run as they were learned."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from program import SAMPLES, done, run

from convcli import RequestError, apply
from convcli.layers.weights import encode_weights, read_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from convcli.signals import Array


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape).round(2)


def saved(path: Path, w: Any, metadata: Mapping[str, str] | None = None) -> Path:
    path.write_bytes(encode_weights({"0.weight": np.asarray(w, float)}, metadata or {}))
    return path


def causal(w: Array, x: Array) -> Array:
    """y[t, o] = sum w[o, i, j] x[t - (k - 1) + j, i] by loops, from the first complete window on."""
    out, inputs, taps = w.shape
    y = np.zeros((len(x) - taps + 1, out))
    for t, o, i, j in np.ndindex(len(y), out, inputs, taps):
        y[t, o] += w[o, i, j] * x[t + j, i]
    return y


def cells(text: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(text), delimiter=delimiter))


# ---------------------------------------------------------------------- another number of columns


@pytest.mark.parametrize("rows", [40, 60_000])
@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("made", [1, 3, 5])
def test_new_columns_replace_those_that_were_read(
    made: int, *, append: bool, rows: int, tmp_path: Path
) -> None:
    w = noise(made, 2, 3)
    model = saved(tmp_path / "m.safetensors", w)
    x = np.random.default_rng(1).integers(0, 100, (rows, 2)).astype(float)
    lines = [f'{k},{a},"t, {k}",{b},z' for k, (a, b) in enumerate(x.astype(int).tolist())]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(['k,"a",text,b,end', *lines, ""]))
    options = ("--append",) if append else ()
    told = done("csv", f"model:{model}", table, "-c", "a,b", "-q", *options).out.decode()
    header, *found = cells(told)
    names = [f"y{number}" for number in range(made)]
    if append:
        assert header == ["k", "a", "text", "b", "end", *names]
        kept = [[*row[:5]] for row in found]
        assert kept == cells("\n".join(lines))
        values = [row[5:] for row in found]
    else:
        assert header == ["k", *names, "text", "end"]
        assert [row[0] for row in found] == [str(k) for k in range(rows)]
        assert [row[1 + made :] for row in found] == [[f"t, {k}", "z"] for k in range(rows)]
        values = [row[1 : 1 + made] for row in found]
    y = np.array(values, float)[2:]
    if rows < 100:
        np.testing.assert_allclose(y, causal(w, x), atol=1e-9)
    windows = np.lib.stride_tricks.sliding_window_view(x, 3, axis=0)
    np.testing.assert_allclose(y, np.einsum("oij,tij->to", w, windows), atol=1e-9)


def test_columns_are_named_by_the_targets_of_the_model(tmp_path: Path) -> None:
    targets = {"targets": json.dumps(["low", "k", "h,i"])}
    model = saved(tmp_path / "m.safetensors", np.ones((3, 1, 1)), targets)
    for header, words, wanted in (
        ("k,x", ("-c", "x"), ["k", "low", "k_model_m", "h,i"]),
        ("x,k", ("-c", "x"), ["low", "k_model_m", "h,i", "k"]),
        ("k,x", ("-c", "k"), ["low", "k", "h,i", "x"]),
        ("k,x", ("-c", "x", "--append"), ["k", "x", "low", "k_model_m", "h,i"]),
    ):
        table = (header + "\n1,2\n").encode()
        told = done("csv", f"model:{model}", "-q", *words, stdin=table).out.decode()
        assert cells(told)[0] == wanted
    taken = b"k,x,k_model_m\n1,2,3\n"
    failed = run("csv", f"model:{model}", "-q", "-c", "x", stdin=taken)
    assert failed.code == 2
    assert "a column 'k_model_m' exists already" in failed.err


def test_new_columns_of_odd_tables(tmp_path: Path) -> None:
    model = saved(tmp_path / "m.safetensors", [[[1.0]], [[0.5]]])
    step = f"model:{model}"
    assert done("csv", step, "--no-header", "-q", stdin=b"3\n5\n").out == b"3,1.5\n5,2.5\n"
    comma = ("-d", ";", "--decimal", ",")
    told = done("csv", step, *comma, "-q", stdin=b'v;"w"\n1,5;a\nNA;"b"\n3;c\n').out
    assert told == b'y0;y1;"w"\n1,5;0,75;a\n;;"b"\n3;1,5;c\n'
    told = done("csv", step, "-c", "v", "-q", stdin=b"v\r\n1\r\n2").out
    assert told == b"y0,y1\r\n1,0.5\r\n2,1"
    assert done("csv", step, "-c", "v", "-q", stdin=b"v,w\n").out == b"y0,y1,w\n"
    told = done("csv", f"{step} | stride:2", "-c", "v", "-q", stdin=b"v,w\n1,a\n2,b\n3,c\n").out
    assert told == b"y0,y1,w\n1,0.5,a\n3,1.5,c\n"
    told = done("csv", step, "-c", "v", "--by", "w", "-q", stdin=b"v,w\n1,a\n2,b\n").out
    assert told == b"y0,y1,w\n1,0.5,a\n2,1,b\n"
    checked = done("csv", step, "-c", "v", "--causal-check", stdin=b"v,w\n1,a\n2,b\n")
    assert checked.code == 0


@pytest.mark.parametrize("edge", ["shrink", "valid"])
def test_a_table_gets_no_more_rows_by_padding(edge: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    tensors = {"0.weight": np.ones((1, 1, 3)), "1.weight": np.ones((1, 1, 3))}
    table = b"v\n1\n2\n3\n4\n"
    rules = ("--edge", edge, "--align", "center", "-q")
    for layers, code in (("conv:padding=2 | conv", 0), ("conv:padding=3 | conv", 2)):
        path.write_bytes(encode_weights(tensors, {"layers": layers}))
        ran = run("csv", f"model:{path}", *rules, stdin=table)
        assert ran.code == code
        if code:
            assert "a table cannot get more rows than it has" in ran.err
        else:
            # [1, 2, 3, 4] by [1, 1, 1], once at full length and once without its ends
            assert ran.out == b"v\n10\n18\n22\n20\n"


def test_frames_and_series_get_new_columns_too(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    two = saved(tmp_path / "two.safetensors", [[[1.0]], [[0.5]]])
    one = saved(tmp_path / "one.safetensors", [[[1.0], [1.0]]], {"targets": '["sum"]'})
    series = pandas.Series([2.0, 4.0], index=[7, 8], name="v")
    made = apply(f"model:{two}", series)
    assert made.columns.tolist() == ["y0", "y1"]
    assert made.index.tolist() == [7, 8]
    assert made["y1"].tolist() == [1.0, 2.0]
    frame = pandas.DataFrame({"t": ["p", "q"], "a": [1.0, 2.0], "u": ["r", "s"], "b": [3.0, 5.0]})
    made = apply(f"model:{one}", frame)
    assert made.columns.tolist() == ["t", "sum", "u"]
    assert made["sum"].tolist() == [4.0, 7.0]
    named = saved(tmp_path / "named.safetensors", [[[1.0], [1.0]]], {"targets": '["b"]'})
    made = apply(f"model:{named}", frame)
    assert made.columns.tolist() == ["t", "a", "u", "b"]
    assert made["b"].tolist() == [4.0, 7.0]
    assert made["a"].tolist() == [1.0, 2.0]
    with pytest.raises(RequestError, match="a column 'sum' exists already"):
        apply(f"model:{one}", frame.rename(columns={"t": "sum"}))


# ----------------------------------------------------------------------------- as it was learned

ABOUT = {"align": "center", "missing": "fill", "columns": '["b", "a"]', "medium": "table"}


def test_a_model_runs_as_it_was_learned(tmp_path: Path) -> None:
    w = np.array([[[1.0, 2.0, 4.0], [0, 0, 0]], [[0, 0, 0], [0, 1.0, 0]]])
    model = f"model:{saved(tmp_path / 'm.safetensors', w, ABOUT)}"
    table = b"a,c,b\n1,9,10\n2,9,\n3,9,30\n4,9,40\n"
    ran = done("csv", model, "--edge", "zero", stdin=table)
    # b is filtered around each row, its gap filled by the value before; c is left alone.
    assert ran.out == b"a,c,b\n1,9,60\n2,9,150\n3,9,230\n4,9,110\n"
    told = ran.err
    assert "runs with --align center, as it was learned, and so reads later rows" in told
    asked = ("-c", "a,c", "--align", "causal", "--missing", "keep")
    ran = done("csv", model, "--edge", "zero", *asked, stdin=table)
    assert ran.out == b"a,c,b\n4,0,10\n10,9,\n17,9,30\n24,9,40\n"
    told = ran.err
    assert "was learned with --align center and runs with --align causal" in told
    assert "was learned with --missing fill and runs with --missing keep" in told
    assert "was learned from the columns b, a and runs on a, c" in told
    quiet = done("csv", model, "-q", stdin=table)
    assert not quiet.err


def test_columns_that_are_not_there_are_said_to_be_those_of_the_model(tmp_path: Path) -> None:
    model = f"model:{saved(tmp_path / 'm.safetensors', np.ones((2, 2, 1)), ABOUT)}"
    failed = run("csv", model, stdin=b"a,c\n1,2\n")
    assert failed.code == 2
    told = failed.err
    assert "unknown column 'b'; the model was learned from b, a" in told
    pandas = pytest.importorskip("pandas")
    with pytest.raises(RequestError, match="learned from 'b', and the DataFrame has the columns a"):
        apply(model, pandas.DataFrame({"a": [1.0], "c": [2.0]}))
    frame = pandas.DataFrame({"a": [1.0, 2.0], "c": [5.0, 6.0], "b": [3.0, 4.0]})
    swapped = f"model:{saved(tmp_path / 's.safetensors', [[[1.0], [0]], [[0], [2.0]]], ABOUT)}"
    made = apply(swapped, frame)
    assert made.to_dict("list") == {"a": [2.0, 4.0], "c": [5.0, 6.0], "b": [3.0, 4.0]}


def test_arrays_and_sounds_are_aligned_as_the_model_was(tmp_path: Path) -> None:
    w = [[[1.0, 2.0, 4.0]]]
    model = saved(tmp_path / "m.safetensors", w, {"align": "causal"})
    impulse = np.array([0, 0, 1.0, 0, 0])
    assert apply(f"model:{model}", impulse).tolist() == [0, 0, 4, 2, 1]
    assert apply(f"model:{model}", impulse, align="center").tolist() == [0, 4, 2, 1, 0]
    assert apply(f"gain:2 | model:{model}", impulse).tolist() == [0, 0, 8, 4, 2]
    bad = saved(tmp_path / "b.safetensors", w, {"align": "left"})
    with pytest.raises(Exception, match="the align in its metadata is 'left', expected"):
        apply(f"model:{bad}", impulse)


def test_what_is_learned_says_how_it_is_run(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    weather = SAMPLES / "weather.csv"
    words = ("-c", "temp_max,wind", "--target", "temp_max", "--ahead", "2", "--taps", "4")
    done("learn", weather, *words, "-o", path)
    about = read_weights(path).metadata
    assert (about["align"], about["missing"], about["ahead"]) == ("causal", "keep", "2")
    plain = done("csv", f"model:{path}", weather, "-q").out
    asked = ("-c", "temp_max,wind", "--align", "causal", "--missing", "keep")
    assert plain == done("csv", f"model:{path}", weather, "-q", *asked).out
    assert "2 ahead" in done("filters", f"model:{path}").out.decode()
