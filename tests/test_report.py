"""The facts of a run and their renderers."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from itertools import accumulate
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from program import run as run_program

import convcli
from convcli.errors import OutputError, RequestError
from convcli.facts import (
    InputFacts,
    LossFacts,
    OutputFacts,
    ReachFacts,
    RunFacts,
    StepFacts,
    to_plain,
)
from convcli.facts.libraries import library_versions
from convcli.facts.preview import OutlineFacts
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.media.replacing import atomic
from convcli.report import charts, learning
from convcli.report.as_json import json_text
from convcli.report.charts import Axis, Graph, Trace, round_ticks, tick_text
from convcli.report.figures import bin_edges, decibel_chart, outline_trace, position_chart
from convcli.report.files import check_report, render_report, write_report
from convcli.report.terminal import run_details, summary
from convcli.report.words import command_text, duration_text, loss_texts, visible
from convcli.signals import TABLE

STEPS = (
    StepFacts(
        text="lowpass:3.4k",
        name="lowpass",
        taps=255,
        shape=(255,),
        sum=1.0,
        delay=0.0,
        look_ahead=127,
        reach=(ReachFacts(before=127, after=127),),
        weights=(0.25, 0.5, 0.25),
        response=((0.0, 0.0), (3400.0, -6.0), (22050.0, -math.inf)),
        crossings=((-3.0, (2400.0,)),),
        impulse=((-1.0, 0.25), (0.0, 0.5), (1.0, 0.25)),
        step_response=((-1.0, 0.25), (0.0, 0.75), (1.0, 1.0)),
        frequency_unit="Hz",
    ),
    StepFacts(text="downsample:2", name="downsample", note="255 taps < 300"),
)
RUN = RunFacts(
    version="0.1.0",
    filter="lowpass:3.4k | downsample:2",
    command=("convcli", "audio"),
    edge="zero",
    align="center",
    missing="keep",
    inputs=(
        InputFacts(
            path="talk.wav", medium=AUDIO, signal="2 channels", shape=(542430,), rate=44100.0
        ),
    ),
    steps=STEPS,
    chain=replace(STEPS[0], text="whole", weights=(), response=()),
    outputs=(OutputFacts(path="out.wav", medium=AUDIO, shape=(271215,), rate=22050.0),),
    losses=LossFacts(clipped={"left": 2, "right": 1}, missing={"left": 0}, edge_affected=254),
    warnings=("3 samples clipped",),
    seconds=0.2,
)
HOSTILE = "\x1b[31m[red]<script>alert(1)</script>|`x`\u202e\n\udcff"


def hostile() -> RunFacts:
    step = replace(STEPS[0], text=HOSTILE, note=HOSTILE, frequency_unit=HOSTILE)
    return replace(
        RUN,
        filter=HOSTILE,
        steps=(step,),
        inputs=(replace(RUN.inputs[0], path=HOSTILE, signal=HOSTILE, details={HOSTILE: HOSTILE}),),
        losses=LossFacts(clipped={HOSTILE: 1, "b": 2}),
        warnings=(HOSTILE,),
        command=(HOSTILE,),
    )


# Facts


def test_facts_as_json() -> None:
    data = json.loads(render_report(RUN, ".json"))
    assert data["steps"][0]["reach"] == [{"before": 127, "after": 127, "step": 1, "phases": 1}]
    assert data["steps"][0]["response"][2] == [22050.0, None]
    assert data["steps"][1]["sum"] is None
    assert data["losses"] == {
        "clipped": {"left": 2, "right": 1},
        "missing": {"left": 0},
        "became_missing": {},
        "edge_affected": 254,
    }
    assert (data["filter"], data["seconds"], data["inputs"][0]["shape"]) == (
        RUN.filter,
        0.2,
        [542430],
    )


def test_one_run_and_several_have_the_same_keys() -> None:
    other = replace(RUN, steps=(STEPS[1],), edge="edge", seconds=0.5, warnings=())
    one = json.loads(render_report(RUN, ".json"))
    several = json.loads(render_report([RUN, RUN, other], ".json"))
    assert list(one) == list(several)
    assert len(one["runs"]) == 1
    assert [list(run) for run in several["runs"]] == 3 * [list(one["runs"][0])]
    assert {**one, "runs": None} == {**to_plain(RUN), "schema": 1, "runs": None}
    assert several["steps"] == one["steps"]
    assert [len(several["inputs"]), len(several["outputs"])] == [3, 3]
    assert several["losses"]["clipped"] == {"left": 6, "right": 3}
    assert several["seconds"] == pytest.approx(0.9)
    assert [run["seconds"] for run in several["runs"]] == [0.2, 0.2, 0.5]
    assert [run["steps"] for run in several["runs"]] == [None, None, to_plain((STEPS[1],))]
    assert [run["edge"] for run in several["runs"]] == ["zero", "zero", "edge"]


@pytest.mark.parametrize("suffix", [".json", ".html", ".md"])
def test_a_report_grows_with_the_number_of_inputs(suffix: str) -> None:
    def size(count: int) -> int:
        names = tuple(f"{number:04}.wav" for number in range(count))
        command = ("convcli", "audio", RUN.filter, *names)
        inputs = [replace(RUN.inputs[0], path=name) for name in names]
        runs = [replace(RUN, command=command, inputs=(one,)) for one in inputs]
        return len(render_report(runs, suffix))

    first, more, most = size(10), size(110), size(210)
    # The numbers of the runs become longer.
    assert abs((most - more) - (more - first)) < 300
    assert most - first < 200 * 2_000


def test_a_command_can_be_pasted() -> None:
    words = (
        "convcli",
        "csv",
        "box:3 | diff",
        "it's $HOME",
        "a\nb \\'c'",
        "\x85\u202e",
        "",
        "\udcff",
    )
    pasted = f"printf '%s\\0' {command_text(words)}"
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["bash", "-c", pasted], capture_output=True, check=True, env=environment)
    assert done.stdout == b"".join(os.fsencode(word) + b"\0" for word in words)
    assert command_text(words).isprintable()


@pytest.mark.parametrize(
    ("seconds", "digits", "text"),
    [
        (0.0456, 2, "0.046 s"),
        (99.4, 2, "99 s"),
        (123.4, 2, "123 s"),
        (999.4, 3, "999 s"),
        (999.6, 3, "1,000 s"),
        (1234.5, 3, "1,234 s"),
        (86400.0, 2, "86,400 s"),
    ],
)
def test_durations(seconds: float, digits: int, text: str) -> None:
    assert duration_text(seconds, digits) == text


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (math.nan, None),
        (-math.inf, None),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), None),
        (np.int64(7), 7),
        (np.bool_(True), True),  # noqa: FBT003
        (np.array([[1.0, np.nan]]), [[1.0, None]]),
        (b"a\xff", "a\\xff"),
        ("a\udcff", "a\\xff"),
        ("\ud800", "\\ud800"),
        (Path("a/b"), "a/b"),
        ({1: (2, {3})}, {"1": [2, [3]]}),
        (range(2), [0, 1]),
        (1 + 2j, "(1+2j)"),
    ],
)
def test_plain(value: object, plain: object) -> None:
    assert to_plain(value) == plain
    json.dumps(to_plain(value), allow_nan=False).encode()


@settings(max_examples=40)
@given(
    st.recursive(
        st.floats() | st.text() | st.binary() | st.none(), lambda s: st.dictionaries(st.text(), s)
    )
)
def test_everything_becomes_json(value: Any) -> None:
    run = replace(RUN, inputs=(InputFacts(path="a", medium=AUDIO, details={"x": value}),))
    text = render_report(run, ".json")
    text.encode()
    json.loads(text)


# The terminal


def test_summary() -> None:
    assert summary(RUN) == (
        "talk.wav -> out.wav: lowpass:3.4k | downsample:2, 255 taps, delay 0, "
        "44100 -> 22050 Hz, 12.3 s in 0.2 s; "
        "clipped 3 samples (left 2, right 1)"
    )


def test_summary_of_a_picture_and_a_table() -> None:
    picture = RunFacts(
        version="0",
        filter="downsample:2",
        inputs=(InputFacts(path="a.png", medium=IMAGE, shape=(300, 451)),),
        outputs=(OutputFacts(path="b.png", medium=IMAGE, shape=(150, 226)),),
    )
    assert summary(picture) == "a.png -> b.png: downsample:2, 451x300 -> 226x150 pixels"
    table = RunFacts(
        version="0",
        filter="sma:3",
        inputs=(InputFacts(path="-", medium=TABLE, shape=(1461,), channels=("Close",)),),
        outputs=(OutputFacts(path="-", medium=TABLE, shape=(1461,)),),
        losses=LossFacts(missing={"Close": 1}),
        seconds=0.04,
    )
    assert summary(table) == "- -> -: sma:3 of Close, 1,461 rows, in 0.04 s; missing 1 sample"
    assert summary(RunFacts(version="0", filter="box:3")).endswith("box:3")


def test_summary_of_a_stream_of_unknown_length() -> None:
    run = replace(RUN, inputs=(replace(RUN.inputs[0], shape=(None,)),), losses=LossFacts())
    assert summary(run).endswith("44100 -> 22050 Hz, in 0.2 s")


@given(st.text())
def test_visible_is_printable(text: str) -> None:
    assert visible(text).isprintable()
    if text.isprintable():
        assert visible(text) == text


def test_visible() -> None:
    assert visible("a\x1b[31m\n\t\x9b\u202e\udcff\ud800 \N{GRINNING FACE}é") == (
        "a\\x1b[31m\\n\\t\\x9b\\u202e\\xff\\ud800 \N{GRINNING FACE}é"
    )


def printed(run: RunFacts) -> str:
    from rich.console import Console

    stream = StringIO()
    Console(file=stream, width=500).print(run_details(run))
    return stream.getvalue()


def test_a_causal_reach_and_the_spacing_of_a_resampler() -> None:
    step = replace(
        STEPS[1],
        reach=(ReachFacts(before=19, after=0, step=147, phases=160), ReachFacts(before=0, after=1)),
    )
    assert "-19 ... +0, 160 per 147 x 0 ... +1" in printed(replace(RUN, steps=(step,)))


def test_details() -> None:
    text = printed(RUN)
    for word in (
        "lowpass:3.4k",
        "-127 ... +127",
        "255 taps < 300",
        "edge",
        "zero",
        "clipped 3 samples",
        "0.2 s",
        "254 samples",
    ):
        assert word in text


def test_nothing_acts_on_the_terminal() -> None:
    for text in (summary(hostile()), printed(hostile())):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "[red]" in text


def test_the_terminal_renderer_starts_without_rich() -> None:
    modules = "convcli.report.terminal, convcli.report.files, convcli.facts"
    code = f"import sys, {modules}; print({{'rich', 'numpy'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# Pages


class Page(HTMLParser):
    """The tags and the text of a page; every tag must be closed in order."""

    VOID = ("meta",)

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(run: RunFacts) -> Page:
    parsed = Page()
    parsed.feed(render_report(run, ".html"))
    parsed.close()
    assert parsed.open == []
    return parsed


def test_html() -> None:
    parsed = page(RUN)
    for word in (
        "talk.wav",
        "lowpass:3.4k",
        "255 taps < 300",
        "3 samples clipped",
        "Gain in dB over a logarithmic axis",
        "-3 dB: 2400",
    ):
        assert word in parsed.text
    assert [tag for tag, _ in parsed.tags].count("svg") == 2 * 4


@pytest.mark.parametrize("run", [RUN, hostile()], ids=["plain", "hostile"])
def test_html_loads_nothing_and_runs_only_its_own_script(run: RunFacts) -> None:
    parsed = page(run)
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    policies = [each["content"] for tag, each in parsed.tags if each.get("http-equiv")]
    assert len(policies) == 1
    assert str(policies[0]).startswith("default-src 'none'; script-src 'sha256-")
    for tag, attributes in parsed.tags:
        assert tag not in ("link", "iframe", "object", "base")
        assert str(attributes.get("src") or "data:").startswith("data:")
        assert str(attributes.get("href") or "#").startswith(("#", "data:"))
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
    render_report(run, ".html").encode()


def test_hostile_html_shows_the_text() -> None:
    assert visible(HOSTILE) in page(hostile()).text


def test_markdown() -> None:
    text = render_report(RUN, ".md")
    assert text.startswith("# talk.wav\n")
    assert "| lowpass:3.4k | 255 | 1 | 0 | 127 | -127 ... \\+127 |" in text
    assert "| filter | lowpass:3.4k \\| downsample:2 |" in text


def test_hostile_markdown_is_text() -> None:
    text = render_report(hostile(), ".md")
    assert "<script>" not in text.replace("\\<", "")
    assert "\x1b" not in text
    columns = {
        line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")
    }
    assert columns == {3, 8}


def drawn(chart: Graph) -> ET.Element:
    text = str(chart.svg())
    assert "nan" not in text
    assert "inf" not in text
    return ET.fromstring(text)


def inner_points(chart: Graph) -> list[tuple[float, float]]:
    """The points of the only line of a chart, in units of the inner drawing."""
    (path,) = re.findall(r'class="line [^"]*" d="M([^"]*)"', str(chart.svg()))
    numbers = [float(text) for text in re.split("[l ]", path)]
    steps = zip(numbers[::2], numbers[1::2], strict=True)
    return list(accumulate(steps, lambda a, b: (a[0] + b[0], a[1] + b[1])))


@pytest.mark.parametrize("values", [(1.0,), (0.0, 0.0), (1.0, -2.0, 1.0), tuple(range(1000))])
def test_drawing_of_an_impulse_response(values: tuple[float, ...]) -> None:
    points = [(float(place), float(value)) for place, value in enumerate(values)]
    assert drawn(position_chart([("", "after", points)], "taps")).tag == "svg"


def test_a_line_lies_where_its_values_are() -> None:
    values = [(0.0, 0.0), (2.5, 1.0), (10.0, -1.0)]
    chart = Graph(
        title="",
        x=Axis(low=0.0, high=10.0),
        y=Axis(low=-1.0, high=1.0),
        traces=[Trace(name="", style="after", points=values)],
    )
    assert inner_points(chart) == [(0, 5000), (2500, 0), (10_000, 10_000)]


def test_the_texts_of_an_axis_differ() -> None:
    """Of numbers that have most of their digits in common, the label has what they share."""
    axis = Axis(low=999_999_996.5, high=1_000_000_003.5, label="Pa")
    assert axis.texts([999_999_998, 1e9]) == ["999999998", "1000000000"]
    assert axis.short_texts([999_999_998, 1e9]) == (["0", "2"], "Pa + 999999998")
    assert axis.short_texts([0.25, 0.5]) == (["0.25", "0.5"], "Pa")
    chart = Graph(title="", x=Axis(low=0, high=1), y=Axis(low=1e9, high=1e9 + 4)).svg()
    assert re.findall(r'text-anchor="end">(.*?)<', chart) == ["0", "1", "2", "3", "4"]
    assert ">+ 1000000000<" in str(chart)


def test_the_losses_of_many_channels_are_short() -> None:
    counts = {f"c{number}": 1 for number in range(30)}
    (text,) = loss_texts(LossFacts(missing=counts))
    assert text == (
        "missing 30 samples (c0 1, c1 1, c2 1, c3 1, c4 1, c5 1, c6 1, c7 1, and 22 more)"
    )


def test_an_axis_of_ratios() -> None:
    axis = Axis(low=10.0, high=1000.0, logarithmic=True)
    assert axis.place(100.0) == pytest.approx(0.5)
    assert axis.ticks(5) == [10, 20, 50, 100, 200, 500, 1000]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 9.0, [0, 2, 4, 6, 8]),
        (-1.0, 1.0, [-1, -0.5, 0, 0.5, 1]),
        (0.3, 0.3, [0.3]),
        (0.0, 0.001, [0, 0.0002, 0.0004, 0.0006, 0.0008, 0.001]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert round_ticks(low, high, 4) == pytest.approx(ticks)


def test_numbers_on_an_axis() -> None:
    values = (0.0, -0.5, 22050.0, 20000.0, 1e6, 1e-7)
    assert [tick_text(value) for value in values] == ["0", "-0.5", "22050", "20k", "1M", "1e-07"]


@pytest.mark.parametrize("gains", [(0.0, -1.0), (0.0, -math.inf, math.nan), (12.0, -3.0, -300.0)])
def test_drawing_of_a_response(gains: tuple[float, ...]) -> None:
    response = tuple((float(f), gain) for f, gain in enumerate(gains))
    step = replace(STEPS[0], response=response, crossings=(), frequency_unit="a<b")
    drawn(decibel_chart([step]))


# Files


@pytest.mark.parametrize("name", ["r.json", "r.HTML", "r.md", "r.htm"])
def test_write_report(tmp_path: Path, name: str) -> None:
    write_report(RUN, tmp_path / name, atomic=atomic)
    expected = replace(RUN, libraries=library_versions())
    text = render_report(expected, Path(name).suffix)
    assert (tmp_path / name).read_text(encoding="utf-8") == text


def test_unknown_report(tmp_path: Path) -> None:
    for name in ("r.pdf", "r", ".json"):
        match = r"expected a report named \.json, \.html or \.md"
        with pytest.raises(RequestError, match=match) as caught:
            check_report(tmp_path / name)
        option, place = shlex.split(caught.value.hint or "")
        assert (option, Path(place).parent) == ("--report", tmp_path)
        assert check_report(Path(place)) == ".json"


def test_report_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "full.json").symlink_to("/dev/full")
    (tmp_path / "folder.json").mkdir()
    for name in ("full.json", "folder.json"):
        with pytest.raises(OutputError, match=f"cannot write .*{name}"):
            write_report(RUN, tmp_path / name, atomic=atomic)


def test_an_error_as_large_as_the_target_is_0_decibels() -> None:
    assert learning.error_words(0.9999, 1.0) == "0.9999 (0.0 dB)"
    assert learning.error_words(0.5, 1.0) == "0.5 (-6.0 dB)"


def test_as_many_stems_as_do_not_touch() -> None:
    points = [(float(place), 1.0) for place in range(charts.MOST_STEMS + 1)]
    most = Trace(name="", style="after", points=points[:-1], stems=True)
    assert most.stems_drawn
    assert not replace(most, points=points).stems_drawn


def outlined(per_bin: int, axis: Any = None) -> OutlineFacts:
    """Two bins of one channel."""
    low, high = np.array([[1.0], [2.0]]), np.array([[3.0], [5.0]])
    return OutlineFacts(
        channels=("x",), length=2 * per_bin, per_bin=per_bin, low=low, high=high,
        gaps=np.zeros((2, 1), np.int64), axis=axis, peak=(5.0,), rms=1.0,
    )  # fmt: skip


def test_an_outline_is_a_band_unless_its_bins_are_samples() -> None:
    line = outline_trace(outlined(1), 0, "x", "after")
    np.testing.assert_equal(line.points, [(0.0, 1.0), (1.0, 2.0)])
    assert len(line.upper) == 0
    band = outline_trace(outlined(2), 0, "x", "after")
    np.testing.assert_equal(band.points, [(0.5, 1.0), (2.5, 2.0)])
    np.testing.assert_equal(band.upper, [(0.5, 3.0), (2.5, 5.0)])


def test_bins_lie_where_their_times_are() -> None:
    assert bin_edges(outlined(2)) == [-0.5, 1.5, 3.5]
    times = np.array([[10.0, 20.0], [30.0, 50.0]])
    assert bin_edges(outlined(2, times)) == [10, 25, 50]


def test_json_is_written_as_the_standard_library_writes_it() -> None:
    """With an indentation of 2, for values of every kind and depth."""
    facts = {
        "empty": [{}, [], ""],
        "flat": {"a": 1, "b": 1e-7, "c": None, "d": True, "é": 'x"\n\x1b\x7f\u2028'},
        "numbers": [0.1, -0.0, 1e16, 2**70],
        "nested": [[1, [2, {"x": [3]}]], {"y": {}, "z": [[]]}],
        "one": 5,
    }
    values: list[Any] = [facts, [], {}, [facts, 1], 0.5, "text", [[]]]
    for value in values:
        expected = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        assert json_text(value) == expected


def test_a_high_frequency_is_marked_without_an_exponent() -> None:
    step = replace(STEPS[0], crossings=((-3.0, (12284.9,)),))
    assert [mark.text for mark in decibel_chart([step]).marks] == ["-3 dB: 12280"]


# What was lost


def lost_in(folder: Path, *words: str) -> str:
    """The section of a page about what was lost."""
    assert run_program(*words, "-q", "--report", "page.html", "--force", cwd=folder).code == 0
    page_text = (folder / "page.html").read_text()
    return page_text.partition("What was lost")[2].partition("</section>")[0]


def test_bits_of_sound_that_were_lost(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(100), 8000, "PCM_24")
    words = ["audio", "gain:0.5", "x.wav", "-o"]
    assert "24 bits became 16" in lost_in(tmp_path, *words, "o.wav", "--subtype", "pcm_16")
    assert "24 bits became 8" in lost_in(tmp_path, *words, "o.wav", "--subtype", "pcm_u8")
    assert "bits became" not in lost_in(tmp_path, *words, "o.wav")
    # Lossy samples have no bits of their own.
    assert "bits became" not in lost_in(tmp_path, *words, "o.ogg")


@pytest.mark.parametrize("name", ["t.csv", "lost.csv"])
def test_warnings_about_what_was_lost(name: str, tmp_path: Path) -> None:
    """A rounded number is lost, a time that is uncertain is not, whatever the file is called."""
    (tmp_path / name).write_text(f"t,b\n1,{2**53 + 1}\n2,4\n")
    assert f"such as {2**53 + 1}, are rounded" in lost_in(
        tmp_path, "csv", "sma:2", name, "-c", "b", "-o", "o.csv"
    )
    (tmp_path / name).write_text("t,b\n2024-01-01,4\n")
    words = ["csv", "lag:1d", name, "--time", "t", "-o", "o.csv"]
    ended = run_program(*words, "--force", cwd=tmp_path)
    assert f"warning: {name}: too few rows" in ended.err
    assert "too few rows" not in lost_in(tmp_path, *words)


def test_a_warning_is_no_loss_for_the_words_in_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("lost,x\n007,1\n008,2\n")
    words = ["csv", "sma:2", "t.csv", "-o", "o.csv"]
    ended = run_program(*words, "--force", cwd=tmp_path)
    assert "column lost is left as it is" in ended.err
    assert "left as it is" not in lost_in(tmp_path, *words)


def test_a_loss_is_told_whatever_process_and_pipe_it_came_through(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.zeros(100), 8000, "PCM_16")
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:-100])
    told = "is truncated: 100 frames promised, 50 there"
    page = lost_in(tmp_path, "audio", "gain:0.5", "a.wav", "b.wav", "-o", "o/", "--jobs", "2")
    assert f"a.wav: {told}" in page
    words = ["audio", "gain:0.5", "-", "-o", "o.wav", "--report", "page.md"]
    given = (tmp_path / "a.wav").read_bytes()
    assert run_program(*words, cwd=tmp_path, stdin=given).code == 0
    lost = (tmp_path / "page.md").read_text().partition("## What was lost")[2]
    assert f"standard input: {told}" in lost.partition("##")[0]


def test_opacity_that_was_lost(tmp_path: Path) -> None:
    from pyvips import Image

    pixels = np.full((9, 9, 4), 99, np.uint8)
    picture = Image.new_from_array(pixels).copy(interpretation="srgb")
    picture.pngsave(str(tmp_path / "x.png"))
    lost = lost_in(tmp_path, "image", "box:3", "x.png", "-o", "o.jpg")
    assert "jpeg holds no opacity: the picture was laid over white" in lost
    words = ["audio", "gain:0.5", "x.wav", "-o", "o.wav", "--subtype", "pcm_16"]
    soundfile.write(tmp_path / "x.wav", np.zeros(100), 8000, "PCM_24")
    assert run_program(*words, "--report", "page.md", cwd=tmp_path).code == 0
    assert (
        "## What was lost\n\n* 24 bits became 16\n\n## Facts" in (tmp_path / "page.md").read_text()
    )


# Size


@pytest.mark.parametrize("suffix", ["json", "md", "html"])
def test_a_report_on_a_very_long_filter_is_bounded(suffix: str, tmp_path: Path) -> None:
    """Oracle: the taps that the step is made of."""
    soundfile.write(tmp_path / "one.wav", np.array([0.5]), 44100)
    words = ["audio", "bandpass:6,12 | box:3", "one.wav", "-o", "o.wav", "--report", f"r.{suffix}"]
    assert run_program(*words, cwd=tmp_path).code == 0
    text = (tmp_path / f"r.{suffix}").read_text()
    assert len(text) < 1_000_000
    if suffix != "json":
        return
    step, short = json.loads(text)["steps"]
    assert step["taps"] > 100_000
    assert step["weights"] == []
    assert step["note"] == f"weights left out: {step['taps']:,} taps do not fit into a report"
    assert short["weights"] == pytest.approx([1 / 3] * 3)
    taps = convcli.design("bandpass:6,12", rate=44100).weights
    assert len(taps) == step["taps"]
    drawn = [value for _, value in step["impulse"]]
    assert (min(drawn), max(drawn)) == (min(taps), max(taps))


@pytest.mark.parametrize("suffix", ["json", "html"])
def test_a_report_on_many_long_steps_is_below_three_megabytes(suffix: str, tmp_path: Path) -> None:
    """Forty low-passes of 1,121 taps each; all points of each would make 6 MB of JSON."""
    soundfile.write(tmp_path / "one.wav", np.array([0.5]), 44100)
    chain = " | ".join(["lowpass:3k,width=200,attenuation=80"] * 40)
    words = ["audio", chain, "one.wav", "-o", "o.wav", "--report", f"r.{suffix}"]
    assert run_program(*words, cwd=tmp_path).code == 0
    text = (tmp_path / f"r.{suffix}").read_text()
    assert len(text) < 3_000_000
    if suffix != "json":
        return
    steps = json.loads(text)["steps"]
    taps = convcli.design("lowpass:3k,width=200,attenuation=80", rate=44100).weights
    assert len(steps) == 40
    for step in steps:
        drawn = [value for _, value in step["impulse"]]
        assert (min(drawn), max(drawn)) == (min(taps), max(taps))
        assert 300 < len(step["response"]) < 600


def test_a_page_on_a_thousand_steps_is_below_three_megabytes(tmp_path: Path) -> None:
    """All drawings would take 7 MB."""
    (tmp_path / "t.csv").write_text("x\n1\n2\n3\n")
    chain = " | ".join(["lowpass:0.1"] * 1000)
    words = ["csv", chain, "t.csv", "-o", "o.csv", "--report", "r.html"]
    assert run_program(*words, cwd=tmp_path).code == 0
    text = (tmp_path / "r.html").read_text()
    assert 1_500_000 < len(text) < 3_000_000
    # The whole chain is drawn besides steps.
    drawn = text.count("<summary>lowpass:0.1</summary>")
    left_out = re.search(r"Drawings left out: those of (\d+) more steps", text)
    assert left_out is not None
    assert drawn > 100
    assert drawn + int(left_out[1]) == 1000


def test_markdown_on_hundreds_of_steps_draws_as_many_as_there_is_room_for(tmp_path: Path) -> None:
    """All drawings of 200 low-passes of 1,121 taps would take 4 MB."""
    soundfile.write(tmp_path / "one.wav", np.array([0.5]), 44100)
    chain = " | ".join(["lowpass:3k,width=200,attenuation=80"] * 200)
    words = ["audio", chain, "one.wav", "-o", "o.wav", "--report", "r.md"]
    assert run_program(*words, cwd=tmp_path).code == 0
    text = (tmp_path / "r.md").read_text()
    assert 2_000_000 < len(text) < 3_000_000
    drawn = text.count("## What the filter is: ")
    left_out = re.search(r"Drawings left out: those of (\d+) more steps", text)
    assert left_out is not None
    assert drawn + int(left_out[1]) == 200
    # The facts of all steps are in the table.
    assert text.count("| lowpass:3k,width=200,attenuation=80 | 1,121 |") == 200


def test_kernels_of_many_steps_are_drawn_in_part(tmp_path: Path) -> None:
    """With 65 x 47 taps and 64 x 64 gains of each, the JSON of 30 steps would take 1.7 MB."""
    (tmp_path / "one.pgm").write_bytes(b"P5 8 8 255\n" + bytes(64))
    chain = " | ".join(["gabor:10"] * 30)
    words = ["image", chain, "one.pgm", "-o", "o.pgm", "--report", "r.json"]
    assert run_program(*words, cwd=tmp_path).code == 0
    text = (tmp_path / "r.json").read_text()
    assert len(text) < 1_500_000
    step = json.loads(text)["steps"][0]
    taps = convcli.design("gabor:10", axes=2).plane
    middle = step["plane"][len(step["plane"]) // 2]
    assert len(middle) < len(taps[32])
    assert max(middle) == max(taps[32])


def test_the_curves_of_a_design_are_in_the_first_input_that_has_it(tmp_path: Path) -> None:
    for number, rate in enumerate((8000, 16000, 8000, 16000)):
        soundfile.write(tmp_path / f"{number}.wav", np.zeros(100), rate)
    words = ["audio", "lowpass:1k", "0.wav", "1.wav", "2.wav", "3.wav", "-o", "out/"]
    assert run_program(*words, "--report", "r.json", cwd=tmp_path).code == 0
    facts = json.loads((tmp_path / "r.json").read_text())
    steps = [each["steps"] for each in facts["runs"]]
    assert (steps[0], steps[2]) == (None, None)
    assert len(facts["steps"][0]["weights"]) == facts["steps"][0]["taps"]
    assert len(steps[1][0]["weights"]) == steps[1][0]["taps"] == steps[3][0]["taps"]
    assert steps[3][0]["weights"] == steps[3][0]["response"] == steps[3][0]["impulse"] == []
    assert steps[3][0]["delay"] == 0
