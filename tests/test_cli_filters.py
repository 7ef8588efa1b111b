"""`convcli filters` as its users run it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile as sf
from program import CONVCLI, Program, done, refused, run, shell
from scipy.signal import freqz

from convcli import apply
from convcli.layers.weights import encode_weights

if TYPE_CHECKING:
    from pathlib import Path

# Every step of the table in the contract but `model`.
STEPS = [
    *(
        "kernel",
        "correlate",
        "ir",
        "box",
        "sma",
        "wma",
        "ema",
        "gaussian",
        "triangle",
        "binomial",
        "hann",
        "savgol",
    ),
    *(
        "lowpass",
        "highpass",
        "bandpass",
        "bandstop",
        "diff",
        "gradient",
        "laplacian",
        "laplacian_of_gaussian",
        "dog",
    ),
    *(
        "sobel",
        "prewitt",
        "scharr",
        "sharpen",
        "emboss",
        "motion",
        "disk",
        "gabor",
        "downsample",
        "stride",
        "resample",
        "resize",
    ),
    *("avg_pool", "max_pool", "min_pool", "sum_pool", "adaptive_avg_pool", "adaptive_max_pool"),
    *(
        "global_avg_pool",
        "global_max_pool",
        "relu",
        "leaky_relu",
        "tanh",
        "sigmoid",
        "abs",
        "log",
        "exp",
        "gain",
        "offset",
        "clip",
        "normalize",
    ),
]


def facts(text: str) -> dict[str, str]:
    """The lines `name   value` of a step."""
    return {line[:16].strip(): line[16:].strip() for line in text.splitlines() if line[:1].strip()}


def test_the_list_names_every_step() -> None:
    ended = done("filters")
    for name in STEPS:
        assert re.search(rf"(^|[ (]){name}\b", ended.text, re.MULTILINE), name
    assert ended.err == ""


def test_the_table_for_the_readme(program: Program, tmp_path: Path) -> None:
    rows = program.run("filters", "--markdown", cwd=tmp_path).text.splitlines()
    assert rows[1] == "| --- | --- |"
    assert all(len(re.split(r"(?<!\\)\|", row)) == 4 for row in rows)


@pytest.mark.parametrize("name", STEPS)
def test_every_step_has_a_page_with_an_example_that_works(
    name: str, program: Program, tmp_path: Path
) -> None:
    page = program.run("filters", name, cwd=tmp_path)
    assert page.code == 0, page
    example = re.search(r"^example: (.*)", page.text, re.MULTILINE)
    assert example is not None
    if name in ("ir", "resample"):  # these need a file, a rate
        return
    shown = program.run("filters", example[1], cwd=tmp_path)
    assert shown.code == 0, shown
    assert "look-ahead" in shown.text


def test_a_step_as_designed(program: Program, tmp_path: Path) -> None:
    told = facts(program.run("filters", "lowpass:1k,width=200", "--rate", "16k", cwd=tmp_path).text)
    count = int(told["taps"])
    assert told["sum"] == "1"
    assert told["delay"] == "0 samples"
    assert told["look-ahead"] == f"{count // 2} samples"
    assert told["reach"] == f"-{count // 2} ... +{count // 2}"
    assert 900 < float(told["-3 dB at"].split()[0]) < 1000
    assert 1050 < float(told["-80 dB at"].split()[0]) <= 1100
    causal = facts(program.run("filters", "box:5", "--align", "causal", cwd=tmp_path).text)
    assert (causal["delay"], causal["look-ahead"]) == ("2 samples", "0 samples")
    assert causal["taps"] == "5: 1, 1, 1, 1, 1 (/ 5)"


@pytest.mark.parametrize(
    ("text", "align", "reach"),
    [
        ("avg_pool:4", "center", "-1 ... +2, 1 per 4"),
        ("avg_pool:4", "causal", "-3 ... +0, 1 per 4"),
        ("min_pool:3", "causal", "-2 ... +0, 1 per 3"),
    ],
)
def test_the_reach_of_a_pool_is_around_the_sample_of_its_output(
    text: str, align: str, reach: str, program: Program, tmp_path: Path
) -> None:
    # By hand: output k of avg_pool:4 reads 4k ... 4k + 3 and stands at 4k + 1, or at 4k + 3 if it
    # is causal.
    told = facts(program.run("filters", text, "--align", align, cwd=tmp_path).text)
    assert told["reach"] == reach
    ahead = int(re.search(r"\+(\d+)", reach)[1])  # type: ignore[index]
    assert told["look-ahead"].split()[0] == str(ahead)


def test_without_a_rate_frequencies_are_cycles_per_sample(program: Program, tmp_path: Path) -> None:
    assert "cycles/sample" in program.run("filters", "lowpass:0.1", cwd=tmp_path).text
    told = program.run("filters", "lowpass:1kHz", cwd=tmp_path)
    assert told.code == 2
    assert "--rate" in told.err
    for rate in ("0", "-5", "20ms", "fast"):
        assert program.run("filters", "lowpass:0.1", "--rate", rate, cwd=tmp_path).code == 2


@pytest.mark.parametrize("suffix", ["csv", "npy", "wav", "json"])
def test_exported_taps_come_back(suffix: str, program: Program, tmp_path: Path) -> None:
    step = "lowpass:2k,taps=31"
    ended = program.run("filters", step, "--rate", "8k", "--export", f"taps.{suffix}", cwd=tmp_path)
    assert ended.code == 0, ended
    path = tmp_path / f"taps.{suffix}"
    if suffix == "wav":
        taps = sf.read(path)[0]
    elif suffix == "json":
        taps = np.asarray(json.loads(path.read_text())["taps"])
    else:
        taps = (
            np.load(path, allow_pickle=False)
            if suffix == "npy"
            else np.loadtxt(path, delimiter=",")
        )
    assert np.ravel(taps).shape == (31,)
    assert np.sum(taps) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(np.ravel(taps), np.ravel(taps)[::-1], atol=1e-9)
    if suffix in ("csv", "npy"):  # what `kernel:@` reads
        rows = b"x\n" + b"".join(b"%d\n" % (i * i % 17) for i in range(50))
        words = ("--edge", "reflect", "--align", "center")
        again = program.run("csv", f"kernel:@taps.{suffix}", *words, stdin=rows, cwd=tmp_path)
        direct = program.run("csv", "lowpass:0.25,taps=31", *words, stdin=rows, cwd=tmp_path)
        assert again.code == direct.code == 0, again
        mine, theirs = (np.array(ended.text.split()[1:], float) for ended in (again, direct))
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)


def test_export_of_a_picture_kernel(program: Program, tmp_path: Path) -> None:
    assert program.run("filters", "sharpen:1", "--export", "s.csv", cwd=tmp_path).code == 0
    taps = np.loadtxt(tmp_path / "s.csv", delimiter=",")
    assert taps.ndim == 2
    assert taps.sum() == pytest.approx(1)


def test_export_refuses(program: Program, tmp_path: Path) -> None:
    assert program.run("filters", "box:3", "--export", "t.csv", cwd=tmp_path).code == 0
    before = (tmp_path / "t.csv").read_bytes()
    again = program.run("filters", "box:5", "--export", "t.csv", cwd=tmp_path)
    assert again.code == 2
    assert "--force" in again.err
    assert (tmp_path / "t.csv").read_bytes() == before
    assert program.run("filters", "box:5", "--export", "t.csv", "--force", cwd=tmp_path).code == 0
    assert len((tmp_path / "t.csv").read_text().split()) == 5
    for words in (
        ("box:3", "--export", "t.xls"),
        ("box:3 | relu", "--export", "u.csv"),
        ("--export", "u.csv"),
        ("kernel:1e308 | kernel:1e10", "--export", "u.json"),
    ):
        refused = program.run("filters", *words, cwd=tmp_path)
        assert (refused.code, refused.out) == (2, b"")
    assert program.run("filters", "box:3", "--export", "nowhere/t.csv", cwd=tmp_path).code in (0, 4)
    assert program.run("filters", "box:3", "--export", "/dev/full", cwd=tmp_path).code == 2


def test_unknown_steps_and_the_nearest(program: Program, tmp_path: Path) -> None:
    for text, near in (("gausian", "gaussian"), ("low_pass", "lowpass"), ("maxpool:2", "max_pool")):
        told = program.run("filters", text, cwd=tmp_path)
        assert told.code == 2, told
        assert len(told.errors) == 1
        assert near in told.err, told.err


def test_the_shell_completes_steps(tmp_path: Path) -> None:
    def completed(*words: str) -> list[str]:
        line = " ".join(["convcli", *words])
        asked = f"COMP_WORDS='{line}' COMP_CWORD={len(words)} _CONVCLI_COMPLETE=complete_bash"
        return shell(f"{asked} convcli", tmp_path).text.split()

    assert {"lowpass"} <= set(completed("audio", "lowp"))
    assert set(completed("filters", "gau")) == {"gaussian"}
    assert "audio" in completed("a")


def test_python_m_is_the_same_program(tmp_path: Path) -> None:
    import subprocess
    import sys

    ended = subprocess.run(
        [sys.executable, "-m", "convcli", "filters", "box:3"],
        capture_output=True,
        cwd=tmp_path,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, run("filters", "box:3", cwd=tmp_path).out)


# ------------------------------------------------------------------------------------- learned ones


def saved(path: Path, tensors: dict[str, Any], layers: str = "conv", **about: str) -> Path:
    path.write_bytes(encode_weights(tensors, {"layers": layers, **about}))
    return path


def table_of(text: str) -> list[list[str]]:
    """The cells of the table of layers, which are two spaces apart."""
    head, *rows = text[text.rindex("\n\n") + 2 :].splitlines()
    assert head.split("  ")[-1] == "reach so far"
    return [re.split(r" {2,}", row.strip()) for row in rows]


def test_a_network_is_shown_layer_by_layer(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        "0.weight": rng.normal(size=(8, 2, 7)),
        "0.bias": rng.normal(size=8),
        "3.weight": rng.normal(size=(1, 8, 5)),
    }
    model = saved(
        tmp_path / "n.safetensors", tensors, "conv:stride=2 | leaky_relu:0.1 | avg_pool:2 | conv"
    )
    text = done("filters", f"model:{model}").text
    assert table_of(text) == [
        ["0", "conv:stride=2", "120", "8", "2", "-3 ... +3"],
        ["1", "leaky_relu:0.1", "0", "8", "2", "-3 ... +3"],
        ["2", "avg_pool:2", "0", "8", "4", "-3 ... +5"],
        ["3", "conv", "40", "1", "4", "-11 ... +13"],
        ["in all", "160"],
    ]
    assert "look-ahead      13 samples\n" in text
    assert "taps" not in text
    # The reach is that of the run: an impulse outside of it changes nothing, at its ends it does.
    x = np.zeros((81, 2))
    plain = apply(f"model:{model}", x, edge="zero")
    for at, seen in ((40 - 12, False), (40 - 11, True), (40 + 13, True), (40 + 14, False)):
        impulse = x.copy()
        impulse[at] = 1
        assert (apply(f"model:{model}", impulse, edge="zero")[10] != plain[10]).any() == seen, at
    causal = done("filters", f"model:{model}", "--align", "causal").text
    # The window of 25 rows ends at the row that the output stands for.
    assert table_of(causal)[3][-1] == "-24 ... +0"
    assert "look-ahead      0 samples\n" in causal
    assert "no taps of its own" in refused(
        2, "filters", f"model:{model}", "--export", tmp_path / "t.csv"
    )
    assert not (tmp_path / "t.csv").exists()


def test_a_layer_that_sees_everything(tmp_path: Path) -> None:
    model = saved(
        tmp_path / "n.safetensors", {"0.weight": np.ones((3, 1, 3)), "3.weight": np.ones((2, 3, 1))}
    )
    text = done("filters", f'model:{model},layers="conv | relu | adaptive_avg_pool:4 | conv"').text
    assert [row[-1] for row in table_of(text)[:4]] == ["-1 ... +1"] * 2 + ["the whole signal"] * 2
    assert text.count("model:") == 1
    assert "look-ahead      the whole signal" in text


@pytest.mark.parametrize("bias", [None, 0.25])
@pytest.mark.parametrize("align", ["causal", "center"])
def test_the_taps_of_a_linear_model_are_exported(
    bias: float | None, align: Any, tmp_path: Path
) -> None:
    tensors = {"0.weight": np.random.default_rng(1).normal(size=(1, 1, 6))}
    tensors |= {} if bias is None else {"0.bias": np.full(1, bias)}
    model = saved(tmp_path / "n.safetensors", tensors, "conv:dilation=2", align=align)
    place = tmp_path / "t.npy"
    ended = done("filters", f"model:{model}", "--export", place)
    assert ("the bias is not among the taps: offset:0.25" in ended.err) == (bias is not None)
    assert "-3 dB at" in ended.text
    assert table_of(ended.text)[0][-1] == ("-10 ... +0" if align == "causal" else "-5 ... +5")
    x = np.random.default_rng(2).normal(size=50)
    taps = f"kernel:@{place} | offset:{bias or 0}"
    for edge in ("zero", "reflect"):
        np.testing.assert_allclose(
            apply(f"model:{model}", x, edge=edge, align=align),
            apply(taps, x, edge=edge, align=align),
            atol=1e-12,
        )


def test_a_layer_of_several_channels_is_exported_row_by_row(tmp_path: Path) -> None:
    weights = np.random.default_rng(3).normal(size=(2, 3, 4))
    model = saved(tmp_path / "n.safetensors", {"0.weight": weights})
    ended = done("filters", f"model:{model}", "--export", tmp_path / "t.npy")
    assert "a row for each output" in ended.err
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), weights.reshape(6, 4)[:, ::-1])


# ------------------------------------------------------------------------------- taps of a chain


@pytest.mark.parametrize(
    "chain",
    [
        "box:3 | box:3",
        "kernel:1,2,4 | diff:1 | correlate:3,1",
        "gaussian:1.5 | lowpass:0.2",
        "kernel:1,2 | stride:2 | kernel:1,3 | stride:3 | kernel:1,5",
        "box:3 | downsample:2 | avg_pool:2",
    ],
)
def test_the_taps_of_a_chain_are_what_it_makes_of_impulses(chain: str, tmp_path: Path) -> None:
    path = tmp_path / "taps.npy"
    done("filters", chain, "--export", path)
    taps = np.load(path)
    x = np.random.default_rng(0).normal(size=3000)
    y = apply(chain, x, edge="valid")
    windows = np.lib.stride_tricks.sliding_window_view(x, len(taps))
    step = round(len(windows) / len(y))
    np.testing.assert_allclose(y, (windows @ taps[::-1])[::step][: len(y)], atol=1e-12)


def test_the_taps_of_a_chain_on_pictures(tmp_path: Path) -> None:
    path = tmp_path / "taps.csv"
    done("filters", "kernel:1,2;3,4 | box:3,axis=x | kernel:1,0;0,2", "--export", path)
    x = np.zeros((9, 9))
    x[4, 4] = 1
    y = apply("kernel:1,2;3,4 | correlate:1,1,1;0,0,0;0,0,0 | kernel:1,0;0,2", x, axes=2) / 3
    found = np.loadtxt(path, delimiter=",")
    rows, columns = np.nonzero(y)
    part = y[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    np.testing.assert_allclose(found[np.any(found, axis=1)], part, atol=1e-15)


@pytest.mark.parametrize(
    "step", ["relu", "max_pool:2", "normalize", "global_avg_pool", "resample:3"]
)
def test_a_chain_with_a_step_that_is_no_convolution_has_no_taps(step: str, tmp_path: Path) -> None:
    path = tmp_path / "taps.csv"
    words = ("filters", f"box:3 | {step}", "--rate", "8", "--export", path)
    told = refused(2, *words)
    assert (
        f"{step.split(':', maxsplit=1)[0]} is not a convolution, and a chain with it has no taps"
        in told
    )
    assert not path.exists()


def test_a_narrow_notch_is_as_narrow_in_the_response(tmp_path: Path) -> None:
    """Over a logarithmic axis, too; oracle: SciPy's response of the exported taps."""
    outputs = ("--export", "taps.npy", "--report", "facts.json")
    done("filters", "notch:50,harmonics=4", "--rate", "44100", *outputs, cwd=tmp_path)
    taps = np.load(tmp_path / "taps.npy").ravel()
    (step,) = json.loads((tmp_path / "facts.json").read_text())["steps"]
    frequencies, gain = np.array(step["response"]).T
    between = np.array([30.0, 40.0, 45.0, 55.0, 60.0, 75.0, 90.0, 110.0, 125.0, 175.0, 250.0])
    _, expected = freqz(taps, worN=between, fs=44100)
    drawn = np.interp(between, frequencies, gain)
    np.testing.assert_allclose(drawn, 20 * np.log10(np.abs(expected)), atol=0.2)


def shown_on_terminal(stream: str, *words: str, encoding: str, folder: Path) -> str:
    """What a command that succeeds prints where `stdout` or `stderr` is a terminal."""
    leader, follower = os.openpty()
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    streams[stream] = follower
    try:
        ended = subprocess.run(
            [*CONVCLI, *words],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONIOENCODING": encoding},
            cwd=folder,
            check=False,
            **streams,
        )
        shown = os.read(leader, 100_000).decode(encoding)
    finally:
        os.close(leader)
        os.close(follower)
    assert ended.returncode == 0
    assert not ended.stdout
    assert not ended.stderr
    return shown


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize(
    ("stream", "words"),
    [("stdout", "filters box:3"), ("stderr", "csv sma:3 t.csv -v -o o.csv")],
)
def test_what_a_terminal_does_not_know_is_not_drawn(
    stream: str, words: str, encoding: str, tmp_path: Path
) -> None:
    """A terminal of Latin-1 has no Braille characters; the facts are printed."""
    (tmp_path / "t.csv").write_text("x\n1\n2\n")
    shown = shown_on_terminal(stream, *words.split(), encoding=encoding, folder=tmp_path)
    assert "look-ahead" in shown
    assert "\\u28" not in shown
    assert ("impulse response" in shown) == (encoding == "utf-8")


def test_symbols_that_standard_output_does_not_know_are_escaped() -> None:
    words = ("explain", "1,2,3", "box:3", "--symbolic")
    ended = run(*words, env={"PYTHONIOENCODING": "ascii"})
    assert (ended.code, ended.err) == (0, "")
    text = done(*words).text
    assert not text.isascii()
    assert ended.out == text.encode("ascii", "backslashreplace")
