"""`convcli explain`: what it shows is what the filters compute, and it adds up."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explained_lines import CASES, explained
from hypothesis import given, settings
from hypothesis import strategies as st
from life import read_terminal
from program import CONVCLI, SAMPLES, Done, Program

from convcli import RequestError, apply
from convcli.checking.continuous import FUNCTIONS, explain_integral, sampled_function
from convcli.checking.explain import small_plan
from convcli.checking.explain_arrays import explain_arrays
from convcli.checking.properties import PROPERTIES, measure_property
from convcli.cli import main
from convcli.facts import to_plain
from convcli.facts.properties import LinearityFacts, LocalityFacts, ShiftFacts
from convcli.layers.weights import encode_weights
from convcli.report.explanation import explanation_lines

REFERENCE = Path(__file__).parent / "reference"
EDGES: list[Any] = ["shrink", "zero", "edge", "reflect", "symmetric", "wrap", "valid"]
FILTERS = [
    "kernel:1,2,3",
    "correlate:1,2,3,4",
    "box:3",
    "diff:2",
    "kernel:1,-1 | box:2",
    "avg_pool:3,stride=2 | kernel:2",
]
PLANES = [
    "kernel:1,2;3,4;5,6",
    "correlate:1,2,3;0,1,0",
    "gaussian:0.4",
    "sobel:x | stride:2",
    "box:2 | abs | box:2",
]


def array(nested: Any) -> Any:
    return np.array(to_plain(nested), dtype=float)


def text(facts: Any, limit: int = 0) -> str:
    return "\n".join("".join(part for part, _ in line) for line in explanation_lines(facts, limit))


def adds_up(facts: Any, x: Any, edge: Any, align: Any) -> None:
    expected = apply(facts.filter, x, edge=edge, align=align, axes=x.ndim)
    np.testing.assert_array_equal(array(facts.result).reshape(expected.shape), expected)
    if not facts.stages:
        return
    np.testing.assert_array_equal(array(facts.stages[-1].outputs), expected)
    for stage in facts.stages:
        for one in stage.sums:
            window, laid = array(one.x), array(stage.laid)
            if one.total is not None:
                np.testing.assert_array_equal(array(one.products), window * laid)
                assert one.total == pytest.approx(np.nansum(window * laid))
                if not np.isnan(window).any():
                    assert one.y == pytest.approx(one.total / stage.divisor, abs=1e-12)
            # The window is where it is said to be.
            start = [f - first for f, first in zip(one.first, stage.first, strict=True)]
            places = tuple(slice(s, s + k) for s, k in zip(start, stage.size, strict=True))
            np.testing.assert_array_equal(array(stage.inputs)[places], window)
            for place in np.ndindex(*stage.size):
                at = [f + p for f, p in zip(one.first, place, strict=True)]
                inside = all(0 <= i < n for i, n in zip(at, stage.length, strict=True))
                assert np.array(one.outside)[place] == (not inside)
        taps = np.flip(array(stage.laid)) if stage.flipped else array(stage.laid)
        if stage.flipped is not None:
            np.testing.assert_array_equal(array(stage.taps), taps)
    assert text(facts).count("\n") > 5


def test_an_output_aligned_with_a_missing_sample_says_why_it_is_missing() -> None:
    rule = "an output aligned with a missing sample stays missing"
    x = np.array([1, 2, np.nan, 4])
    shown = text(explain_arrays("kernel:1,2,1", x, edge="shrink"))
    assert "sum 6 -> .; x[2] is missing\n" in shown
    assert rule in shown
    causal = text(explain_arrays("kernel:1,2,1", x, align="causal"))
    assert "sum 5 -> .; x[2] is missing\n" in causal
    plane = np.array([[1, np.nan, 3], [4, 5, 6]])
    assert "sum 1 -> .; x[0,1] is missing\n" in text(explain_arrays("kernel:1,1;1,1", plane))
    for other in ("kernel:-1,1", "kernel:1,2,1 | gain:2"):
        assert (rule in text(explain_arrays(other, x))) == (other != "kernel:-1,1")
    assert rule not in text(explain_arrays("kernel:1,2,1", np.arange(4.0), edge="shrink"))


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("align", ["center", "causal"])
def test_it_adds_up_and_is_what_the_filter_gives(edge: Any, align: Any) -> None:
    rng = np.random.default_rng(0)
    for filters, shape in ((FILTERS, (7,)), (PLANES, (4, 5))):
        x = rng.integers(-9, 9, shape).astype(float)
        for step in filters:
            adds_up(explain_arrays(step, x, edge=edge, align=align), x, edge, align)


@settings(max_examples=60)
@given(
    st.lists(st.integers(-9, 9), min_size=1, max_size=12),
    st.lists(st.integers(-3, 3), min_size=1, max_size=6),
    st.integers(1, 3),
    st.sampled_from(EDGES),
    st.sampled_from(["center", "causal"]),
)
def test_it_adds_up_for_any_numbers(
    x: list[int], taps: list[int], stride: int, edge: Any, align: Any
) -> None:
    samples = np.array(x, dtype=float)
    chain = f"correlate:{','.join(map(str, taps))} | stride:{stride}"
    adds_up(explain_arrays(chain, samples, edge=edge, align=align), samples, edge, align)


def test_missing_values_are_told() -> None:
    x = np.array([1.0, np.nan, 3, 4])
    facts = explain_arrays("box:3", x)
    np.testing.assert_array_equal(array(facts.result), apply("box:3", x))
    assert "gets no weight" in text(facts)
    assert "sum 4 -> 2" in text(explain_arrays("box:3", np.array([1.0, 3]), edge="shrink"))


@pytest.mark.parametrize("edge", EDGES)
def test_the_matrix_is_the_filter(edge: Any) -> None:
    rng = np.random.default_rng(1)
    for step, shape in (
        ("kernel:1,2,3 | stride:2", (6,)),
        ("correlate:1,2;3,4", (3, 4)),
        ("box:3", (5,)),
    ):
        x = rng.normal(size=shape)
        facts = explain_arrays(step, x, edge=edge, matrix=True)
        np.testing.assert_allclose(
            array(facts.matrix) @ x.ravel(), array(facts.result).ravel(), atol=1e-12
        )
    with pytest.raises(RequestError, match="not linear"):
        explain_arrays("abs", np.ones(3), matrix=True)
    with pytest.raises(RequestError, match="too large"):
        explain_arrays("box:3", np.ones(50), matrix=True)


def conv(x: Any, w: Any, stride: Any = 1) -> Any:
    """What torch.nn.functional.conv1d and conv2d compute for one channel: taps are not flipped."""
    w = np.array(w, dtype=float)
    windows: Any = np.lib.stride_tricks.sliding_window_view(x, w.shape)
    every = tuple(slice(None, None, s) for s in np.broadcast_to(stride, x.ndim))
    return (windows * w).sum(axis=tuple(range(x.ndim, 2 * x.ndim)))[every]


def pad(x: Any, sides: Any, mode: str = "constant") -> Any:
    """torch.nn.functional.pad: the last axis first."""
    names: Any = {
        "constant": "constant",
        "replicate": "edge",
        "reflect": "reflect",
        "circular": "wrap",
    }
    pairs = [sides[i : i + 2] for i in range(0, len(sides), 2)][::-1]
    return np.pad(x, pairs, mode=names[mode])


@pytest.mark.parametrize("edge", ["zero", "edge", "reflect", "wrap", "valid"])
@pytest.mark.parametrize("align", ["center", "causal"])
def test_the_line_for_torch_is_true(edge: Any, align: Any) -> None:
    rng = np.random.default_rng(2)
    steps = [
        ("kernel:1,2,3,4", (9,)),
        ("correlate:3,1,2", (9,)),
        ("box:3", (8,)),
        ("kernel:1,2,3;4,5,6", (5, 6)),
    ]
    for step, shape in steps:
        x = rng.integers(-5, 5, shape).astype(float)
        facts = explain_arrays(step, x, edge=edge, align=align)
        call, _, weights = facts.torch.partition(" with w = ")
        taps, _, divisor = weights.partition(" / ")
        names = {
            "x": x,
            "w": np.array(json.loads(taps)) / float(divisor or 1),
            "pad": pad,
            "conv1d": conv,
            "conv2d": conv,
        }
        np.testing.assert_allclose(eval(call, names), array(facts.result), atol=1e-12)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_the_lines_of_frameworks_compute_the_same(number: int, tmp_path: Path) -> None:
    """Each line was run by the framework itself (tests/reference/make_lines.py)."""
    stored = json.loads((REFERENCE / "lines.json").read_text())[number]
    _, facts = explained(tmp_path, number)
    assert facts.torch
    for framework, line in (("torch", facts.torch), ("equinox", facts.equinox)):
        assert line == stored[framework]
        if f"{framework}_result" not in stored:
            continue
        result = np.array(stored[f"{framework}_result"])
        expected = array(facts.result).reshape(result.shape)
        # The numbers of a line have six digits.
        np.testing.assert_allclose(result, expected, atol=1e-4, err_msg=line)


def test_there_is_no_line_for_torch_where_it_does_something_else() -> None:
    for step, x, edge, reason in (
        ("box:3", [1, np.nan, 3], "zero", "missing samples"),
        ("box:3", [1, 2, 3], "missing", "missing samples"),
        ("box:3", [1, 2, 3], "shrink", "out of a window"),
        ("min:3 | box:2", [1, 2, 3], "shrink", "out of a window"),
        ("rank:3", [1, 2, 3], "zero", "rank:3"),
        ("gaussian:200", [1, 2, 3], "zero", "weights"),
    ):
        facts = explain_arrays(step, np.array(x), edge=edge)  # type: ignore[arg-type]
        assert facts.torch == facts.equinox == ""
        assert reason in facts.no_lines
    assert explain_arrays("box:3", np.ones(3)).no_lines == ""
    for edge, fits in (
        ("reflect", 5),
        ("wrap", 4),
    ):  # torch mirrors n - 1 samples at most, and goes round once
        assert "pad(" in explain_arrays("box:9", np.ones(fits), edge=edge).torch  # type: ignore[arg-type]
        assert "pad(" not in explain_arrays("box:9", np.ones(fits - 1), edge=edge).torch  # type: ignore[arg-type]
    taps = explain_arrays("ema:alpha=0.5", np.ones(3)).torch.partition(" with w = ")[2]
    assert min(json.loads(taps)) == pytest.approx(2.0**-52, rel=1e-5)


def layered(folder: Path, layers: str, **tensors: Any) -> str:
    """FILTER of a model with these layers; a tensor is given as `_0_weight`."""
    named = {}
    for name, values in tensors.items():
        number, _, rest = name.removeprefix("_").partition("_")
        named[f"{number}.{rest}"] = np.array(values, dtype=float)
    path = folder / "layered.safetensors"
    path.write_bytes(encode_weights(named, {"layers": layers}))
    return f"model:{path}"


def test_a_padding_is_told_as_what_it_is(tmp_path: Path) -> None:
    layers = "conv:padding=1 | max_pool:3,stride=2,padding=1 | pad:1,mode=reflect"
    model = layered(tmp_path, layers, _0_weight=[[[1, -2, 1]]])
    x = np.array([1.0, 4, -2, 3, 0, 5, 2])
    stages = explain_arrays(model, x).stages
    pool = "max_pool:3,stride=2,padding=1"
    assert [stage.text for stage in stages] == [
        "conv:padding=1",
        f"the padding of {pool}",
        pool,
        "pad:1,mode=reflect",
    ]
    convolved = np.correlate(np.pad(x, 1), [1, -2, 1], "valid").tolist()
    padded = stages[1]
    assert (padded.inputs, padded.outputs) == (tuple(convolved), (None, *convolved, None))
    assert (padded.before, padded.after, padded.padding) == ((1,), (1,), "shrink")
    mirrored = stages[3]
    assert mirrored.outputs == tuple(np.pad(mirrored.inputs, 1, mode="reflect"))


@pytest.mark.parametrize(
    ("layers", "tensors", "expected"),
    [
        (
            "conv:dilation=2 | relu",
            {"_0_weight": [[[1, 2, 3]]], "_0_bias": [1]},
            ("h(t) = θ₁ x(t-2) + θ₂ x(t) + θ₃ x(t+2) + b", 4),
        ),
        ("conv:dilation=2", {"_0_weight": [[[1, 2]]]}, ("y(t) = θ₁ x(t-1) + θ₂ x(t+1)", 2)),
        (
            "conv_transpose:stride=2,dilation=3",
            {"_0_weight": [[[1, 2]]], "_0_bias": [1]},
            ("x(i) adds θ₁ x(i) to y(2i), θ₂ x(i) to y(2i+3); b is added to every y", 3),
        ),
    ],
)
def test_the_zeros_of_a_dilation_are_no_weights(
    told: Explain,
    tmp_path: Path,
    layers: str,
    tensors: dict[str, Any],
    expected: tuple[str, int],
) -> None:
    """As many weights as the layer has parameters in torch."""
    equation, weights = expected
    page = told.text("1,2,3,4,5", layered(tmp_path, layers, **tensors), "--symbolic")
    assert f"  {equation}\n" in page
    (count,) = re.findall(r"this convolution +(\d+)", page)
    assert int(count) == weights


def test_symbols_of_a_transposed_convolution_of_several_channels(
    told: Explain, tmp_path: Path
) -> None:
    model = layered(tmp_path, "conv_transpose:stride=2", _0_weight=[[[1, 2]], [[3, 4]]])
    page = told.text("1,2,3/4,5,6", model, "--symbolic")
    assert "x̄(i) adds θ₁ᵀ x̄(i) to y(2i), θ₂ᵀ x̄(i) to y(2i+1)\n" in page
    assert re.findall(r"this convolution +(\d+)", page) == ["4"]


def test_a_layer_that_is_computed_with_another_one_is_named(tmp_path: Path) -> None:
    model = layered(
        tmp_path,
        "conv | batch_norm | relu",
        _0_weight=[[[1, -1]]],
        _1_running_mean=[2],
        _1_running_var=[4],
    )
    stages = explain_arrays(model, np.arange(5.0), edge="valid").stages
    assert [stage.text for stage in stages] == ["conv | batch_norm", "relu"]


# -------------------------------------------------------------------------------------- the command


class Explain:
    """Runs of the command in a folder of their own."""

    def __init__(self, program: Program, folder: Path) -> None:
        self.program, self.folder = program, folder

    def run(self, *words: str | Path, stdin: bytes = b"") -> Done:
        return self.program.run("explain", *words, stdin=stdin, cwd=self.folder)

    def text(self, *words: str | Path, stdin: bytes = b"") -> str:
        ended = self.run(*words, stdin=stdin)
        assert (ended.code, ended.err) == (0, ""), ended
        return ended.text

    def result(self, *words: str | Path, stdin: bytes = b"") -> str:
        return next(
            line
            for line in self.text(*words, stdin=stdin).splitlines()
            if line.startswith("result")
        )[8:]


@pytest.fixture
def told(program: Program, tmp_path: Path) -> Explain:
    return Explain(program, tmp_path)


def test_the_kernel_lies_under_the_signal(told: Explain) -> None:
    page = told.text("1,2,3,4", "1,2,3")
    assert "the kernel is flipped: y[t] = sum of g[j] x[t - j + 1]" in page
    rows = [line.split() for line in page.splitlines()]
    assert ["x", "(0)", "1", "2", "3", "4", "(0)"] in rows
    assert ["y[0]", "0", "2", "2", "sum", "4"] in rows
    assert "result  4, 10, 16, 17\n" in page
    x, kernel = (
        next(line for line in page.splitlines() if re.match(rf"{name} +\W?\d", line))
        for name in ("x", "kernel")
    )
    assert kernel.index("2") == x.index("1")  # the middle tap under the first sample
    assert "\x1b" not in page


def test_taps_by_themselves_filters_and_files(told: Explain, tmp_path: Path) -> None:
    assert told.result("1,2,3,4", "-1,0,1") == "-2, -2, -2, 3"
    assert (
        told.result("1,2,3,4", "-1,0,1", "--correlate")
        == told.result("1,2,3,4", "correlate:-1,0,1")
        == "2, 2, 2, -3"
    )
    assert told.result("-1,2", "1") == "-1, 2"
    assert told.result("1,2,3,4", "1,1|stride:2", "--align", "causal") == "1, 5"
    assert told.result("1,2;3,4", "kernel:1,1;1,1", "--edge", "valid") == "10"
    (tmp_path / "x.csv").write_text("1\n2\n3\n4\n")
    (tmp_path / "g.txt").write_text("1 1")
    assert (
        told.result(f"@{tmp_path / 'x.csv'}", f"@{tmp_path / 'g.txt'}", "--edge", "valid")
        == "3, 5, 7"
    )
    assert told.result("-", "1,1", "--edge", "valid", stdin=b"1\n2\n3\n4\n") == "3, 5, 7"
    (tmp_path / "r.conv").write_text("box:2\ngain:2\n")
    assert told.result("1,2,3", f"@{tmp_path / 'r.conv'}", "--edge", "valid") == "3, 5"
    assert told.result("1,2,3", f"model:{SAMPLES / 'denoise.safetensors'}", "--edge", "valid") == ""


def test_a_column_of_a_table(told: Explain, tmp_path: Path) -> None:
    rows = [f"{name},{value}" for name, value in zip("abcd", ("1", "", "3", "5"), strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["name,x y", *rows]) + "\n")
    (tmp_path / "t;.csv").write_text("name;x y\na;1,5\nb;2,5\n")
    page = told.text("@t.csv", "sma:2", "-c", "x y")
    assert "align    causal: an output reads 1 before and 0 after" in page
    assert "edge     shrink" in page
    assert "result  1, ., 3, 4\n" in page
    filtered = told.program.run("csv", "sma:2", "t.csv", "-c", "x y", "-q", cwd=tmp_path)
    assert [line.partition(",")[2] for line in filtered.text.splitlines()[1:]] == [
        "1",
        "",
        "3",
        "4",
    ]
    assert told.text("t.csv", "sma:2", "-c", "x y") == page
    assert told.result("-", "sma:2", "-c", "a", "--matrix", stdin=b"a\n") == ""
    assert told.text("-", "sma:2", "-c", "x y", stdin=(tmp_path / "t.csv").read_bytes()) == page
    assert (
        told.result("t;.csv", "1,1", "-c", "x y", "-d", ";", "--decimal", ",", "--edge", "zero")
        == "1.5, 4"
    )
    assert (
        told.result("t.csv", "1,1", "-c", "x y", "--align", "center", "--edge", "valid")
        == "., 6, 8"
    )


def test_json_has_every_number(told: Explain) -> None:
    facts = json.loads(told.text("1,2,3,4", "1,2,1", "--format", "json", "--matrix"))
    assert facts["result"] == [4, 8, 12, 11]
    assert [one["total"] for one in facts["stages"][0]["sums"]] == [4, 8, 12, 11]
    assert facts["matrix"][0] == [2, 1, 0, 0]
    assert (facts["stages"][0]["flipped"], facts["edge"], facts["align"]) == (
        True,
        "zero",
        "center",
    )


def test_json_is_printed_beside_a_page(told: Explain) -> None:
    """As by `compare --json --report`; text is left out, since the page has all of it."""
    words = ("1,2,3,4", "1,2,1", "--report", "page.html", "--force")
    ended = told.run(*words, "--format", "json")
    assert json.loads(ended.text)["result"] == [4, 8, 12, 11]
    assert told.run(*words).out == b""


def test_numbers_beyond_the_largest(told: Explain) -> None:
    """A sum that overflows is told as infinite, and is null in JSON."""
    assert "inf" in told.text("1e308,1e308,1e308", "10,10,10")
    facts = json.loads(told.text("1e308,1e308", "kernel:1,1", "--format", "json"))
    assert facts["stages"][0]["sums"][1]["total"] is None
    assert told.run("1e308,-1e308,1e308", "box:3").code == 0


def test_a_network_of_several_channels(told: Explain, tmp_path: Path) -> None:
    """Each sum of a hidden channel, of the next layer and of a bias is what torch computes."""
    model = tmp_path / "m.safetensors"
    rng = np.random.default_rng(3)
    first, second = rng.integers(-3, 4, (4, 1, 3)), rng.integers(-3, 4, (1, 4, 3))
    bias = rng.integers(-3, 4, 4)
    tensors: dict[str, Any] = {"0.weight": first, "0.bias": bias, "2.weight": second}
    tensors = {name: np.asarray(value, float) for name, value in tensors.items()}
    model.write_bytes(encode_weights(tensors, {"layers": "conv | relu | conv"}))
    x = np.array([1.0, 2, 3, 4, 0, -1])
    facts = explain_arrays(f"model:{model}", x, edge="valid")
    windows = np.lib.stride_tricks.sliding_window_view(x, 3)
    hidden = first[:, 0] @ windows.T + bias[:, None]
    np.testing.assert_array_equal(array(facts.stages[0].outputs), hidden)
    for one in facts.stages[0].sums:
        assert one.y == pytest.approx(one.total + bias[one.channel])
    rectified = np.maximum(hidden, 0)
    expected = [(rectified[:, t : t + 3] * second[0]).sum() for t in range(2)]
    last = facts.stages[-1]
    np.testing.assert_allclose(array(last.outputs)[0], expected)
    assert last.channels_in == ("h1", "h2", "h3", "h4")
    assert [one.reads for one in last.sums] == [(0, 1, 2, 3)] * 2
    assert [one.total for one in last.sums] == pytest.approx(expected)
    shown = told.text("1,2,3,4,0,-1", f"model:{model}", "--edge", "valid", "--limit", "0")
    assert "is added to each sum" in shown
    model.write_bytes(
        encode_weights({"0.weight": np.ones((1, 1, 3)), "0.bias": np.ones(1)}, {"layers": "conv"})
    )
    shown = told.text("1,2,3,4", f"model:{model}", "--edge", "valid")
    assert "sum 6 + 1 = 7\n" in shown
    assert "result  7, 10\n" in shown


def test_padding_stride_dilation_and_groups_of_a_layer(tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    weights = np.arange(1.0, 9).reshape(4, 1, 2)
    layers = "conv:stride=2,dilation=2,padding=2,groups=2"
    model.write_bytes(encode_weights({"0.weight": weights}, {"layers": layers}))
    x = np.arange(12.0).reshape(6, 2)
    facts = explain_arrays(f"model:{model}", x, axes=1, edge="valid")
    padded = np.pad(x, ((2, 2), (0, 0)))
    expected = [
        [padded[2 * k, o // 2] * weights[o, 0, 0] + padded[2 * k + 2, o // 2] * weights[o, 0, 1]
         for k in range(4)]
        for o in range(4)
    ]  # fmt: skip
    np.testing.assert_allclose(array(facts.result), expected)
    (stage,) = facts.stages
    assert [one.reads for one in stage.sums[::4]] == [(0,), (0,), (1,), (1,)]
    assert [one.y for one in stage.sums] == pytest.approx(np.ravel(expected))
    assert [one.total for one in stage.sums] == pytest.approx(np.ravel(expected))
    assert stage.sums[0].outside == [True, True, False]


def test_several_channels_as_numbers(told: Explain) -> None:
    page = told.text("1,2,3/4,5,6", "1,1", "--edge", "valid")
    assert "result  x1  3, 5\n        x2  9, 11\n" in page
    assert "x2 y[1]  x2  5  6   *  1  1   =  5  6   sum 11" in page
    ended = told.run("1,2,3/4,5", "1,1")
    assert (ended.code, ended.errors[0]) == (
        2,
        "error: SIGNAL expects numbers: each channel must have as many as the first",
    )
    assert told.run("1,2/3,4", "1,1", "--matrix").code == 2


def test_windows_of_a_pool(told: Explain) -> None:
    page = told.text("1,5,3,4", "max_pool:2")
    assert "y[0]      1  5   -> 5\n" in page
    assert "y[1]            3  4   -> 4\n" in page


def test_excerpts_of_sounds_pictures_and_tables(told: Explain, tmp_path: Path) -> None:
    import soundfile

    x = np.arange(1000, dtype=np.int16)
    soundfile.write(tmp_path / "x.wav", np.stack([x, -x], axis=1), 1000)
    scaled = [f"{value / 32768:.6g}" for value in (100, 101)]
    page = told.text("x.wav", "gain:1 | stride:1", "--at", "100ms", "--size", "2")
    assert f"left   {scaled[0]}, {scaled[1]}\n" in page
    assert "right  -" in page
    whole = told.program.run("audio", "diff", "x.wav", "-o", "d.wav", cwd=tmp_path)
    assert whole.code == 0
    assert told.run("x.wav", "lowpass:100", "--size", "4").code == 0
    assert told.run("x.wav", "diff", "--at", "5s").code == 2
    assert told.run("1,2,3", "diff", "--at", "1").code == 2
    picture = b"P2 3 2 255\n1 2 3\n4 5 6\n"
    (tmp_path / "p.pgm").write_bytes(picture)
    assert "result  5, 6\n" in told.text("p.pgm", "gain:1", "--at", "1,1", "--size", "1x2")
    (tmp_path / "t.csv").write_text("a,b\n1,5\n2,6\n3,7\n")
    page = told.text("t.csv", "1,1", "-c", "a,b", "--edge", "valid", "--at", "1")
    assert "result  a  5\n        b  13\n" in page


# --------------------------------------------------------------------------------------- properties


def test_a_convolution_has_all_properties() -> None:
    rng = np.random.default_rng(4)
    for x in (rng.normal(size=40), rng.normal(size=(8, 9))):
        for edge in EDGES:
            for name in PROPERTIES:
                facts = measure_property(name, *small_plan("gaussian:0.5", x, edge=edge))
                assert facts.holds, (name, edge, facts)
    facts = measure_property(
        "locality", *small_plan("kernel:1,2,3,4", rng.normal(size=9), align="causal")
    )
    assert isinstance(facts, LocalityFacts)
    assert (facts.at, facts.changed, facts.promised, facts.read) == (
        (4,), ((4, 7),), ((4, 7),), ((-3, 0),)
    )  # fmt: skip


def test_strides_and_pools_break_the_shift_of_one() -> None:
    impulse = np.zeros(20)
    impulse[9] = 1
    facts = measure_property("shift", *small_plan("box:3 | max_pool:2", impulse))
    assert isinstance(facts, ShiftFacts)
    assert not facts.holds
    assert facts.period == 2
    by_one, by_two = facts.moves
    assert (by_one.outputs, by_two.outputs, by_two.difference) == (None, 1, 0)
    assert facts.moved(by_two)
    # Impulse at 9: the pool sees it at 8, 9, 10 -> outputs 4, 5; moved by one at 9, 10, 11 -> 4, 5.
    assert np.flatnonzero(array(facts.result)).tolist() == [4, 5]
    assert np.flatnonzero(array(by_one.result)).tolist() == [4, 5]
    assert np.flatnonzero(array(by_two.result)).tolist() == [5, 6]


def test_edges_break_the_shift_where_they_are_read() -> None:
    facts = measure_property("shift", *small_plan("box:5", np.arange(1.0, 13), edge="reflect"))
    assert isinstance(facts, ShiftFacts)
    (move,) = facts.moves
    assert facts.holds
    assert move.compared == 7
    assert move.edge_difference is not None
    assert move.edge_difference > 0.1


@pytest.mark.parametrize("step", ["relu", "box:3 | abs", "max_pool:2", "offset:1"])
def test_activations_pools_and_constants_are_not_linear(step: str) -> None:
    facts = measure_property("linearity", *small_plan(step, np.array([1.0, -2, 3, 4, -1])))
    assert isinstance(facts, LinearityFacts)
    assert not facts.holds
    assert facts.sum_first is not None
    assert facts.filter_first is not None
    assert abs(facts.sum_first - facts.filter_first) == pytest.approx(facts.difference)
    assert (facts.of_zero > 0) == (step == "offset:1")


@pytest.mark.parametrize("step", ["median:3", "hampel:5,2", "clip:-20,20", "min:2 | max:2"])
def test_what_treats_one_impulse_as_if_it_were_linear_is_not_linear(step: str) -> None:
    """An impulse among zeros is removed; one at the signal itself shows that the sides differ."""
    x = np.array([0.0, 0, 1, 4, 9, 8, 0, 0, 0, 0, 0, 0, 0])
    facts = measure_property("linearity", *small_plan(step, x))
    assert isinstance(facts, LinearityFacts)
    assert not facts.holds

    (place,) = facts.impulse
    impulse = np.where(np.arange(len(x)) == place, x.max(), 0)
    a, b = facts.factors
    sides = np.abs(apply(step, a * x + b * impulse) - a * apply(step, x) - b * apply(step, impulse))
    assert sides.max() == facts.difference
    assert sides[facts.at] == facts.difference


def test_linear_filters_are_tried_with_an_impulse_at_every_place(told: Explain) -> None:
    facts = measure_property("linearity", *small_plan("box:3 | stride:2", np.arange(9.0)))
    assert isinstance(facts, LinearityFacts)
    assert facts.holds
    assert facts.impulses == 9
    page = told.text("0,0,1,4,2,0,0,0,0", "median:3", "--property", "linearity")
    assert "d is an impulse at x[4]" in page
    page = told.text("1,2,3", "box:3", "--property", "linearity")
    assert "with d at 2 other places the sides are the same, too" in page


def test_a_whole_pass_is_not_local() -> None:
    facts = measure_property("locality", *small_plan("normalize", np.array([1.0, 5, 9, 2])))
    assert not facts.holds
    with pytest.raises(RequestError, match="missing"):
        measure_property("shift", *small_plan("box:3", [1.0, np.nan]))
    with pytest.raises(RequestError, match="no samples"):
        measure_property("shift", *small_plan("box:3", []))


def test_properties_are_told(told: Explain) -> None:
    page = told.text("0,0,1,0,0,0,0,0", "box:3|max_pool:2", "--property", "shift")
    assert page.splitlines()[-1].startswith("no: moving the signal by one sample")
    page = told.text("1,2,3,4", "1,2,1", "--property", "locality")
    assert page.splitlines()[-1].startswith("yes: ")
    facts = json.loads(told.text("1,2", "relu", "--property", "linearity", "--format", "json"))
    assert facts["factors"] == [2, -3]
    page = told.text("1,2;3,4", "box:1", "--property", "shift")
    assert "moved down by 1" in page
    assert "moved to the right by 1" in page


# --------------------------------------------------------------------- symbols, and the integral


def test_symbols_for_weights(told: Explain, tmp_path: Path) -> None:
    page = told.text("1,2,3,4", "correlate:1,2 | leaky_relu:0.1", "--symbolic", "--edge", "valid")
    lines = [line.strip() for line in page.splitlines()]
    assert "h(t) = θ₁ x(t) + θ₂ x(t+1)" in lines
    assert "h(2) = θ₁ x(2) + θ₂ x(3)" in lines
    assert "y(t) = leaky_relu(h(t), 0.1)" in lines
    # A neuron of 4 inputs has 4 + 1 weights, a layer of 3 of them 15, the convolution 2.
    assert ["a", "neuron", "5"] in [line.split()[:3] for line in lines]
    assert ["a", "dense", "layer", "15"] in [line.split()[:4] for line in lines]
    assert ["this", "convolution", "2"] in [line.split()[:3] for line in lines]
    model = tmp_path / "m.safetensors"
    tensors: dict[str, Any] = {"0.weight": np.ones((1, 2, 2)), "0.bias": np.ones(1)}
    model.write_bytes(encode_weights(tensors, {"layers": "conv"}))
    page = told.text("1,2,3/4,5,6", f"model:{model}", "--symbolic", "--edge", "valid")
    assert "y(t) = θ₁ᵀ x̄(t) + θ₂ᵀ x̄(t+1) + b" in page
    assert "1 x 2 channels x 2 taps, whatever the length, and 1 bias" in page


def test_the_sum_approaches_the_integral(told: Explain) -> None:
    page = told.text("pulse", "exp", "--continuous", "--format", "json")
    facts = json.loads(page)
    # From 0 to t, at most 1, exp(-s) has the integral 1 - exp(-t); later it decays.
    for t, value in zip(facts["times"], facts["integral"], strict=True):
        expected = 1 - np.exp(-min(t, 1)) if t <= 1 else (math.e - 1) * np.exp(-t)
        assert value == pytest.approx(expected, abs=1e-9)
    errors = facts["errors"]
    halves = [late / early for early, late in pairwise(errors)]
    assert all(ratio == pytest.approx(0.5, abs=0.05) for ratio in halves)
    assert "dt=0.0625" in told.text("gauss", "gauss", "--continuous")


def test_the_integral_of_smooth_functions() -> None:
    facts = explain_integral(FUNCTIONS["gauss"], FUNCTIONS["gauss"])
    times = np.array(facts.times)
    # Variances add up: a Gaussian of variance 2.
    expected = np.exp(-(times**2) / 4) / np.sqrt(4 * np.pi)
    np.testing.assert_allclose(facts.integral, expected, atol=1e-9)
    np.testing.assert_allclose(facts.sums[-1], expected, atol=1e-9)
    sampled = explain_integral(sampled_function([0.0, 1, 3, 1]), FUNCTIONS["pulse"])
    # The mean of a straight line over [t - 1, t] is its middle.
    assert sampled.integral[:4] == pytest.approx((0, 0.5, 2, 2))
    # Two more than the last sample, which is at 3, and no fewer than five.
    assert len(sampled.times) == 5
    longer = explain_integral(sampled_function([0.0, 1, 3, 1, 2, 4, 1]), FUNCTIONS["pulse"])
    assert len(longer.times) == 8


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("puls", "exp"), "did you mean pulse?"),
        (("pulse", "step"), "`step pulse --continuous` has the same integral"),
        (("1,2,3", "ramp"), "`ramp 1,2,3 --continuous` has the same integral"),
        (("sine", "step"), "has no end"),
        (("1,2;3,4", "exp"), "one row"),
        (("1,,2", "exp"), "a number is missing"),
    ],
)
def test_functions_that_cannot_be_convolved(
    words: tuple[str, ...], expected: str, told: Explain
) -> None:
    ended = told.run(*words, "--continuous")
    assert (ended.code, len(ended.errors)) == (2, 1)
    assert expected in ended.err


def test_long_signals_and_many_outputs(told: Explain) -> None:
    signal = ",".join(map(str, range(60)))
    page = told.text(signal, "1,2,1", "--limit", "3")
    assert page.count("y[") == 4  # and the formula
    assert "... and 57 outputs more" in page
    assert max(map(len, page.splitlines())) < 250
    assert told.text(signal, "1,2,1", "--limit", "0").count("y[") == 61


def test_a_terminal_gets_colour_and_no_color_is_kept() -> None:
    for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        leader, follower = os.openpty()
        held = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        run = subprocess.run(
            [*CONVCLI, "explain", "1,2", "1,1"],
            stdout=follower,
            env={**held, "TERM": "xterm-256color", **env},
            check=False,
        )
        os.close(follower)
        with os.fdopen(leader, "rb", buffering=0) as terminal:
            told = read_terminal(terminal).decode()
        assert run.returncode == 0
        assert ("\x1b[36m" in told) == coloured
        assert "result" in told


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("1,x,3", "1,1"), 2, "'x' is not a number"),
        (("", "1,1"), 2, "got none"),
        (("1,2;3", "1,1"), 2, "SIGNAL expects numbers: each row must have as many as the first"),
        (("1,1e400,3", "1,1"), 2, "SIGNAL expects numbers: '1e400' is infinite"),
        (("1,2", "lowpas:1"), 2, "unknown step"),
        (("1,2", "1,z"), 2, "z"),
        (("1,2", "normalize"), 2, "sees the whole signal first"),
        (("1,2", "global_avg_pool"), 2, "sees the whole signal first"),
        (("1,2,3", "resample:2"), 2, "resample"),
        (("1,2", "box:2", "--correlate"), 2, "taps by themselves"),
        (("1,2", "1;1"), 2, "picture"),
        (("@none.csv", "1,1"), 3, "there is no file none.csv"),
        (("@none", "1,1"), 3, "there is no file none"),
        (("-", "1,1"), 3, "'a' is not a number"),
        (("1,2", "1,1", "--nonsense"), 2, "nonsense"),
        (("-", "1,1", "-c", "b"), 2, "unknown column 'b'"),
        (("-", "1,1", "-c", "a,b"), 2, "unknown column 'b'"),
        (("none.csv", "1,1", "-c", "a"), 3, "there is no file none.csv"),
        (("none.wav", "1,1"), 3, "there is no file none.wav"),
        (("-", "1,1"), 3, "-c names a column of a table: convcli explain - 1,1 -c COLUMN"),
    ],
)
def test_errors(words: tuple[str, ...], code: int, expected: str, told: Explain) -> None:
    ended = told.run(*words, stdin=b"a\n1\n")
    assert (ended.code, ended.text, len(ended.errors)) == (code, "", 1), ended
    assert expected in ended.err


def test_wide_windows_are_refused_before_they_are_computed(told: Explain) -> None:
    """On a picture, whose axes both have 3,754 taps, this took 20 s and 1.3 GB."""
    ended = told.run("1;2", "notch:0.1")
    assert ended.code == 2
    assert "2 outputs of 14,092,516 taps are too many to see" in ended.err


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ((), "convcli explain 1,2,3,4 1,2,1"),
        (("1,2,3",), "convcli explain 1,2,3 1,2,1"),
        (("box:2 | abs",), "convcli explain 1,2,3,4 'box:2 | abs'"),
        (("pulse",), "convcli explain pulse exp --continuous"),
        (("t.csv",), "convcli explain t.csv box:3 -c level"),
        (("@t.csv",), "convcli explain t.csv box:3 -c level"),
        (("t.csv", "1,2,1"), "convcli explain t.csv 1,2,1 -c level"),
        (("@t.csv", "1,2,1"), "convcli explain t.csv 1,2,1 -c level"),
        (
            ("semi.csv", "box:2", "-d", ";"),
            "convcli explain semi.csv box:2 -c level --delimiter ';'",
        ),
        (("comma.csv",), "convcli explain comma.csv box:3 -c '\"a,b\"'"),
    ],
)
def test_the_first_error_shows_a_command_that_works(
    words: tuple[str, ...], command: str, program: Program, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("hour,level,mark\n0,3,a\n1,1,b\n2,4,c\n")
    (tmp_path / "semi.csv").write_text("hour;level;mark\n0;3;a\n1;1;b\n2;4;c\n")
    (tmp_path / "comma.csv").write_text('hour,"a,b"\n0,3\n1,1\n2,4\n')
    ended = program.run("explain", *words, cwd=tmp_path)
    assert ended.code in {2, 3}
    assert ended.err.endswith(f": {command}\n")
    again = program.run(*shlex.split(command)[1:], cwd=tmp_path)
    assert again.code == 0, again.err


def test_a_model_learned_from_a_column_is_shown(program: Program, tmp_path: Path) -> None:
    about = {"columns": '["level"]', "targets": '["level"]', "medium": "table", "align": "causal"}
    path = tmp_path / "m.safetensors"
    w = np.array([[[1.0, 2.0, 4.0]]])
    path.write_bytes(encode_weights({"0.weight": w}, about))
    x = [3.0, 1.0, 4.0, 1.0]
    for words in (("3,1,4,1",), ("table.csv", "-c", "level")):
        (tmp_path / "table.csv").write_text("level\n3\n1\n4\n1\n")
        edge = ("--edge", "zero", "--format", "json")
        done = program.run("explain", words[0], f"model:{path}", *words[1:], *edge, cwd=tmp_path)
        facts = json.loads(done.out)
        assert facts["align"] == "causal"
        assert facts["result"] == np.convolve(x, [4, 2, 1])[:4].tolist()
        assert len(facts["stages"][0]["sums"]) == 4


def test_the_hint_for_a_model_of_several_columns(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(encode_weights({"0.weight": np.ones((1, 2, 3))}, {"columns": '["a","b"]'}))
    (tmp_path / "table.csv").write_text("a,b\n3,1\n")
    done = program.run("explain", "table.csv", f"model:{path}", "-c", "a", cwd=tmp_path)
    assert done.code == 2
    assert "takes 2 columns, and this signal has 1" in done.err
    assert "-c A,B,C names the columns" in done.err


def test_samples_outside_are_told_where_an_output_reads_them(told: Explain) -> None:
    assert "in ( )" in told.text("1,2,3,4", "kernel:1,2", "--edge", "edge")
    assert "in ( )" not in told.text("1,2,3,4", "kernel:1,2", "--edge", "valid")


@pytest.mark.parametrize(
    ("shape", "layer", "signal"),
    [
        ((1, 1, 3), "conv_transpose:stride=2,padding=1", (4,)),
        ((2, 2, 3), "conv_transpose:stride=3,dilation=2,output_padding=1,groups=2", (3, 2)),
        ((1, 2, 2, 3), "conv_transpose:stride=2x1", (2, 3)),
    ],
)
def test_a_transposed_convolution_is_one_stage(
    shape: tuple[int, ...], layer: str, signal: tuple[int, ...], tmp_path: Path
) -> None:
    """The copies of the kernel, added where they lie, and the bias are the outputs."""
    rng = np.random.default_rng(1)
    weights, x = rng.normal(size=shape), rng.normal(size=signal)
    groups = 2 if "groups" in layer else 1
    bias = rng.normal(size=shape[1] * groups)
    path = tmp_path / "m.safetensors"
    path.write_bytes(encode_weights({"0.weight": weights, "0.bias": bias}, {}))
    facts = explain_arrays(f'model:{path},layers="{layer}"', x, axes=len(shape) - 2)
    (stage,) = facts.stages
    outputs = array(stage.outputs)
    several = stage.several
    outputs = outputs if several else outputs[None]
    added = np.broadcast_to(bias.reshape(-1, *[1] * (len(shape) - 2)), outputs.shape).copy()
    assert stage.spread is not None
    for copy in stage.spread.copies:
        products = array(copy.products if several else (copy.products,))
        for output, values in zip(copy.adds_to, products, strict=True):
            for place in np.ndindex(values.shape):
                at = tuple(first + i for first, i in zip(copy.first, place, strict=True))
                if all(0 <= i < n for i, n in zip(at, outputs.shape[1:], strict=True)):
                    added[(output, *at)] += values[place]
    np.testing.assert_allclose(added, outputs, atol=1e-6)
    if not several:
        np.testing.assert_allclose(array(stage.spread.kernel), weights[0, 0], rtol=1e-6)
        printed = text(facts)
        assert printed.count("x[") == len(x)
        assert "padding  what lies before the first output is cut off" in printed


def test_branches_of_a_group_that_is_no_sum(told: Explain) -> None:
    """Each branch gives what it gives by itself."""
    x = np.array([1.0, 2, 4, 3, 9])
    for text, branches in (
        ("(x - sma:3) / std:3", ("x - sma:3", "std:3")),
        ("abs - box:3", ("abs", "box:3")),
    ):
        (stage,) = explain_arrays(text, x, edge="edge").stages
        assert [branch.text for branch in stage.branches] == list(branches)
        for branch in stage.branches:
            expected = apply(branch.text, x, edge="edge")
            np.testing.assert_allclose(branch.results, expected)
    stage = explain_arrays("abs | (x - box:3) / std:3", x, edge="edge").stages[1]
    for branch in stage.branches:
        np.testing.assert_allclose(branch.results, apply(branch.text, x, edge="edge"))
    ((minuend, mean),) = (own.branches for own in stage.branches[0].stages)
    assert minuend.results == tuple(x)
    assert mean.stages[0].outputs == mean.results
    (stage,) = explain_arrays("x - (sma:3 | diff) * 2", x, edge="edge").stages
    plain, own = stage.branches
    assert (plain.text, plain.results, plain.stages) == ("x", tuple(x), ())
    np.testing.assert_allclose(own.results, apply("sma:3 | diff", x, edge="edge"))
    assert [each.text for each in own.stages] == ["sma:3", "diff"]
    assert own.stages[-1].outputs == own.results
    text = told.text("1,2,4,3,9", "abs - (box:3 | diff)", "--edge", "edge")
    assert "branch box:3 | diff  0.333333, 1, 0.666667, 2.33333, 1.66667\n" in text
    in_branch = text[text.index("in branch box:3 | diff\n") :]
    sums = re.findall(r"^  y\[\d\] .* sum (.*)", in_branch, re.MULTILINE)
    assert sums[:2] == ["4 / 3 = 1.33333", "7 / 3 = 2.33333"]
    assert sums[5:] == ["0.333333", "1", "0.666667", "2.33333", "1.66667"]


def test_a_long_kernel_is_shown_where_it_meets_the_signal(told: Explain) -> None:
    """An EMA of 52 taps over three samples: only three products are not 0."""
    text = told.text("1,2,4", "ema:span=3", "--align", "causal")
    (last,) = re.findall(r"^y\[2\] .*", text, re.MULTILINE)
    assert last.split() == ["y[2]", "0.125", "0.5", "2", "sum", "2.625"]
    assert "samples outside, all 0" in text


# ------------------------------------------------------------------------- what pages say and refuse


@pytest.mark.parametrize(
    ("words", "told_of"),
    [
        (("1,2,3", "1,1", "--property", "shift", "--symbolic"), "--property and --symbolic"),
        (("1,2,3", "1,1", "--matrix", "--symbolic"), "--symbolic and --matrix"),
        (("pulse", "exp", "--continuous", "--edge", "wrap"), "--edge has no effect"),
        (("1,2", "1,2", "--continuous", "--correlate"), "--correlate has no effect"),
    ],
)
def test_options_without_effect_are_refused(
    words: tuple[str, ...], told_of: str, told: Explain
) -> None:
    ended = told.run(*words)
    assert (ended.code, ended.text) == (2, "")
    assert told_of in ended.err


def test_a_folder_is_no_signal(told: Explain) -> None:
    ended = told.run(f"{told.folder}/", "1,1")
    assert ended.code == 3
    assert "is a folder" in ended.err


def test_tables_are_read_as_csv_reads_them(told: Explain) -> None:
    content = '# made by hand\na,b\n"1,000",-\n"2,500",7\nn.d.,8\n"4,000",9\n'
    (told.folder / "t.csv").write_text(content)
    words = ("t.csv", "gain:2", "--thousands", ",", "--na", "n.d.", "--na", "-")
    assert told.result(*words, "--comment", "#", "-c", "a") == "2000, 5000, ., 8000"
    assert told.result(*words, "--skip-rows", "1", "-c", "b") == "., 14, 16, 18"
    ended = told.run(*words, "--comment", "#")
    hint = "convcli explain t.csv gain:2 -c b --thousands , --na n.d. --na - --comment '#'"
    assert ended.err.endswith(f": {hint}\n")


def test_durations_of_a_table_name_the_command_that_knows_times(told: Explain) -> None:
    (told.folder / "t.csv").write_text("a\n1\n2\n")
    for step in ("sma:20d", "lowpass:10Hz"):
        ended = told.run("t.csv", step, "-c", "a")
        assert ended.code == 2
        assert "`convcli csv --time COLUMN`" in ended.err


def test_a_signal_without_samples_says_so(told: Explain) -> None:
    (told.folder / "t.csv").write_text("a,b\n")
    assert "the signal has no samples" in told.text("t.csv", "box:3", "-c", "a,b")
    symbolic = told.text("1,2", "box:3", "--edge", "valid", "--symbolic")
    assert "the signal is shorter than the kernel" in symbolic


def test_symbols_of_branches_and_of_wide_windows(told: Explain) -> None:
    text = told.text("1,2,3,4,5", "(x - box:3) / std:3", "--symbolic", "--limit", "1")
    assert text.splitlines()[1] == "  y(t) = b\u2081(t) / b\u2082(t)"
    assert "    b\u2081(t) = (\u03b8\u2081 x(t-1) + \u03b8\u2082 x(t)" in text
    assert "    b\u2082(t) = std(x(t-1), x(t), x(t+1))" in text
    text = told.text("1,2,3", "abs * x", "--symbolic")
    assert text.splitlines()[1] == "  y(t) = b\u2081(t) * x(t)"
    assert "envelope(x(t-69), x(t-68), ..., x(t+69))" in told.text("1,2", "envelope", "--symbolic")
    assert "upsample(x): each output has weights of its own" in told.text(
        "1,2", "upsample:2", "--symbolic"
    )


def test_a_move_that_cannot_be_seen_is_no_proof(told: Explain) -> None:
    for signal, kernel in (("1,2", "1,2"), ("5", "box:3")):
        text = told.text(signal, kernel, "--property", "shift")
        assert text.splitlines()[-1].startswith("not to be seen: no output reads the signal alone")
    facts = measure_property(
        "shift", *small_plan("upsample:2", np.random.default_rng(2).normal(size=200))
    )
    assert facts.holds
    numbers = ",".join(map(str, np.random.default_rng(2).integers(0, 9, 200)))
    text = told.text(numbers, "upsample:2", "--property", "shift")
    assert text.splitlines()[-1].startswith("yes: moving the signal by one sample moves the result")
    assert "by 2 outputs, and changes nothing else" in text
    text = told.text("1,2;3,4;5,6", "box:1", "--property", "shift")
    assert "moved to the right by 1  " in text
    text = told.text("1,2,3,4,5,6,7,8", "stride:3", "--property", "locality")
    assert "  no output reads it\n" in text


def test_the_sum_of_channels_is_shown(told: Explain) -> None:
    text = told.text("1,2,3/4,5,6", "mix:0.5,2")
    assert "y[1]  x1  2   *  0.5   =   1\n      x2  5   *    2   =  10   sum 11\n" in text
    assert "torch   conv1d(x, w) with w = [[[0.5], [2]]]" in text


def test_an_output_follows_from_its_window_alone() -> None:
    """By an FFT, windows of equal samples hold 1e-17 of later ones, and RSI divides by that."""
    x = np.array([1.0] * 8 + [5, 2, 8, 3])
    facts = explain_arrays("rsi:3", x, edge="edge", align="causal")
    assert np.isnan(array(facts.result)[:8]).all()
    # Mean rises over mean changes with weights 1/3, 2/9, 4/27: 100 * (8/9) / (8/9 + 1).
    np.testing.assert_allclose(array(facts.result)[8:10], [100, 100 * 8 / 17], rtol=1e-12)


def test_a_layer_shows_the_samples_that_its_padding_makes(tmp_path: Path) -> None:
    """As torch: numpy.pad with the same mode, and only as much as is read."""
    path = tmp_path / "m.safetensors"
    layers = "conv:padding=2 | conv:padding=2,padding_mode=reflect"
    weight = np.array([[[1.0, 2, 3]]])
    path.write_bytes(encode_weights({"0.weight": weight, "1.weight": weight}, {"layers": layers}))
    first, second = explain_arrays(f"model:{path}", np.arange(1.0, 7)).stages
    assert first.inputs == (0, 0, 1, 2, 3, 4, 5, 6, 0, 0)
    made = np.correlate(first.inputs, [1, 2, 3], mode="valid")
    np.testing.assert_allclose(first.outputs, made)
    np.testing.assert_allclose(second.inputs, np.pad(made, 2, mode="reflect"))
    assert (second.first, second.length) == ((-2,), (8,))


def test_a_picture_names_the_layers_and_the_scaling_of_a_network(told: Explain) -> None:
    path = told.folder / "m.safetensors"
    weights = {"0.weight": np.full((2, 1, 2, 2), 0.25), "2.weight": np.ones((1, 2, 1, 1))}
    path.write_bytes(encode_weights(weights, {"layers": "conv | relu | conv"}))
    (told.folder / "p.pgm").write_bytes(b"P2 3 2 255\n51 51 51\n51 51 51\n")
    as_json = ("--format", "json")
    facts = json.loads(told.text("p.pgm", "model:m.safetensors", "--edge", "valid", *as_json))
    texts = [stage["text"] for stage in facts["stages"]]
    assert texts == ["values divided by 255", "conv", "relu", "conv", "values times 255"]
    assert facts["torch"].startswith("(conv2d(relu(conv2d(")


def test_a_picture_of_several_pages_says_that_the_first_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pyvips import Image

    path = tmp_path / "pages.tif"
    pixels = np.arange(300, dtype=np.uint8).reshape(30, 10)
    Image.new_from_array(pixels).tiffsave(str(path), page_height=10)
    assert main(["explain", str(path), "box:3"]) == 0
    assert capsys.readouterr().err == f"warning: {path}: of 3 pages the first is shown\n"
