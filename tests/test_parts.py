"""One large input in parts: the bytes of the whole, whatever the step, the file and the cuts."""

from __future__ import annotations

import os
import pickle
import re
import resource
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import lost_process
import numpy as np
import pytest
import pyvips
import soundfile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from life import PATIENCE, children, is_running, wait_until
from program import CONVCLI, done, refused, run
from table_settings import table_options

from convcli.batch.parted_input import (
    PartedInput,
    PartPlaces,
    joined_counts,
    needs_of,
    refuse_parts,
    worthwhile_parts,
)
from convcli.batch.parts import PartedRun, carry_out_task
from convcli.batch.processes import LostProcessError, ProcessRunner
from convcli.batch.units import Unit
from convcli.errors import OutputError
from convcli.layers.weights import encode_weights
from convcli.media.audio.files import AudioFiles
from convcli.media.audio.sink import AudioOptions
from convcli.media.files import UndividedError, closed_or_discarded
from convcli.media.images.files import ImageFiles
from convcli.media.tables.files import TableFiles
from convcli.media.tables.records import Dialect
from convcli.media.tables.text_survey import (
    LinesFound,
    record_starts,
    survey_lines,
    survey_quoted_lines,
)
from convcli.planning.grammar import parse
from convcli.planning.plan import make_plan, rules_for
from convcli.running.past import (
    KeptSamples,
    joined_followings,
    joined_pasts,
    no_past,
    past_after,
)
from convcli.running.run import run as run_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convcli.media.files import Files
    from convcli.planning.plan import Plan
    from convcli.running.run import RunCounts

FEW = settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@dataclass
class Inline:
    """Carries tasks out in this process, each from its pickle, as another process would."""

    run: PartedRun

    def results(self, tasks: Iterable[Any]) -> Iterator[Any]:
        text = pickle.dumps(self.run)
        for task in tasks:
            result = carry_out_task(pickle.loads(text), pickle.loads(pickle.dumps(task)))
            yield pickle.loads(pickle.dumps(result))


@dataclass
class Filtered:
    """What a run has written and counted."""

    data: bytes
    read: int
    written: int
    losses: Any
    facts: Any
    details: Any


def filtered(
    files: Files, path: Path, text: str, count: int | None, rules: dict[str, Any]
) -> Filtered | str:
    """A file filtered as one, or in at most `count` parts; or why it is not cut."""
    output = path.with_name(f"out{path.suffix}")
    calls = parse(text)
    with files.open(path, stdin=None, output=output) as opened:
        signal = opened.sources[0].signal
        bound = rules_for(signal, calls, **rules)
        plan = make_plan(calls, signal, bound)
        sink: Any = opened.sink(output, [plan.result], label="f", unchanged=plan.identity)
        try:
            with closed_or_discarded(sink):
                if count is None:
                    counts = run_whole(plan, opened.sources[0], sink, threads=1)
                else:
                    refuse_parts(plan, groups=opened.grouped)
                    parted = PartedRun(
                        files=files,
                        source=path,
                        output=output,
                        known=opened.known,
                        calls=calls,
                        rules=bound,
                        result=plan.result,
                        tail=0,
                        label="f",
                        unchanged=plan.identity,
                        needs=needs_of(plan, groups=opened.grouped),
                    )
                    counts = counts_of_parts(parted, opened, plan, sink, count)
        except UndividedError as error:
            return str(error)
        details = dict(opened.details())
    return Filtered(
        output.read_bytes(), counts.read, counts.written, counts.losses, sink.facts(), details
    )


def counts_of_parts(parted: PartedRun, opened: Any, plan: Plan, sink: Any, count: int) -> RunCounts:
    """What the parts of a run have read and written."""
    division = opened.division()
    whole = sink.parted()
    cut = PartedInput(
        run=parted,
        division=division,
        plan=plan,
        runner=Inline(parted),  # type: ignore[arg-type]
        groups=opened.grouped,
        count=count,
    )
    parts = cut.parts()
    output: Any = parted.output
    places = PartPlaces(None, output.parent) if division.apart else PartPlaces(output)
    with closing(places):
        return joined_counts(cut.filter_into(whole, parts, places))


def check(files: Files, path: Path, text: str, count: int, **rules: Any) -> None:
    """All that a run leaves behind is the same for the whole and for its parts."""
    assert filtered(files, path, text, count, rules) == filtered(files, path, text, None, rules)


# ------------------------------------------------------------------------------------------ tables


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A table with gaps, some of them long, of three groups that come in any order."""
    newline = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    rows = draw(st.integers(0, 60))
    seed = np.random.default_rng(draw(st.integers(0, 99)))
    gap = sorted(seed.integers(0, rows + 1, 2).tolist())
    if draw(st.booleans()):  # so long that parts hold nothing
        gap = [min(3, rows), max(3, rows - 5)]
    lines = ['when,"the, text",A,B,group']
    for row in range(rows):
        a = f"{seed.normal():.3f}"
        if gap[0] <= row < gap[1] or seed.random() < 0.1:
            a = draw(st.sampled_from(["", "NA"]))
        text = seed.choice(["x", '"a ""b"", c"', f'"two{newline}lines"', 'in "it"'])
        lines.append(f"d{row},{text},{a},{seed.integers(100)},{seed.choice(['u', 'v', 'w'])}")
        if seed.random() < 0.1:
            lines.append(seed.choice(["", '# a "comment', " "]))
    end = draw(st.sampled_from(["", newline]))
    mark = draw(st.sampled_from(["", "\ufeff"]))
    return (mark + newline.join(lines) + end).encode()


STEPS = (
    "sma:5",
    "lowpass:0.2",
    "ema:span=3,adjust=false",
    "savgol:7,2 | diff:1",
    "diff:1 | ema:span=4,adjust=false",
    "median:4",
    "x - sma:9",
    "ema:span=2,adjust=false - ema:span=6,adjust=false",
    "sma:3 | normalize | lag:2",
)


@pytest.mark.parametrize("text", STEPS)
@FEW
@given(tables(), st.integers(2, 9))
def test_table(tmp_path: Path, text: str, data: bytes, count: int) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    options = table_options(columns=("A", "B"), comment="#")
    check(TableFiles(options=options), path, text, count)


@pytest.mark.parametrize("text", ["downsample:3", "max_pool:4", "stride:2 | sma:3"])
@FEW
@given(tables(), st.integers(2, 9))
def test_table_of_fewer_rows(tmp_path: Path, text: str, data: bytes, count: int) -> None:
    # The lines between two rows go with either of them where rows are left out.
    lines = data.splitlines(keepends=True)
    path = tmp_path / "table.csv"
    path.write_bytes(b"".join(line for line in lines if line.strip() and not line.startswith(b"#")))
    check(TableFiles(options=table_options(columns=("A", "B"))), path, text, count)


RULES = st.fixed_dictionaries(
    {
        "edge": st.sampled_from(["shrink", "missing", "reflect", "valid"]),
        "missing": st.sampled_from(["keep", "fill", "propagate"]),
        "align": st.just("center"),
    }
)


@FEW
@given(tables(), st.sampled_from(STEPS[:2]), RULES, st.integers(2, 5))
def test_table_by_rules(
    tmp_path: Path, data: bytes, text: str, rules: dict[str, Any], count: int
) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    files = TableFiles(options=table_options(columns=("A",), comment="#"))
    check(files, path, text, count, **rules)


@pytest.mark.parametrize("text", [step for step in STEPS if step != STEPS[4]])
@FEW
@given(tables(), st.integers(2, 6))
def test_groups(tmp_path: Path, text: str, data: bytes, count: int) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    options = table_options(columns=("A", "B"), by=("group",), comment="#")
    check(TableFiles(options=options), path, text, count)


def test_table_of_which_nothing_is_left(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a\n1\n2\n3\n")
    words = ("csv", "sma:5", table, "--edge", "valid", "-q", "-o", tmp_path / "out.csv")
    whole = run(*words)
    parts = run(*words, "--parts", "2")
    assert (parts.code, parts.err) == (whole.code, whole.err)
    assert whole.errors == [
        "error: nothing is left of the table: the filter is longer than it, and --edge is valid"
    ]
    assert not (tmp_path / "out.csv").exists()
    table.write_text("a\n")
    assert done(*words, "--parts", "2").code == 0


def test_values_are_handed_over_a_gap_of_several_parts(tmp_path: Path) -> None:
    rows = ["1,5", *(f",{n % 7}" for n in range(300)), "2,6", *(f",{n % 5}" for n in range(300))]
    path = tmp_path / "table.csv"
    path.write_text("A,B\n" + "\n".join(rows) + "\n")
    for text in (
        "ema:span=4,adjust=false",
        "diff:1 | savgol:5,2",
        "x - ema:alpha=0.5,adjust=false",
    ):
        check(TableFiles(options=table_options(columns=("A", "B"))), path, text, 9)


def test_a_layer_gets_its_value_over_a_gap_of_several_parts(tmp_path: Path) -> None:
    """The activation before it is computed by the first layer, which moves it in the chain."""
    draw = np.random.default_rng(11)
    weights = {"0.weight": draw.normal(size=(3, 1, 4)), "2.weight": draw.normal(size=(1, 3, 4))}
    model = tmp_path / "m.safetensors"
    model.write_bytes(encode_weights(weights, {"layers": "conv | relu | conv"}))
    known = [f"{number:.3f}" for number in draw.normal(size=300)]
    path = tmp_path / "table.csv"
    path.write_text("A,B\n" + "".join(f"{a},x\n" for a in [*known, *[""] * 300, *known]))
    check(TableFiles(options=table_options(columns=("A",))), path, f"model:{model}", 9)


def naive_states(text: str) -> list[bool]:
    """Whether each character is within quotes, read one by one (RFC 4180)."""
    inside = False
    states = []
    place = 0
    while place < len(text):
        states.append(inside)
        if text[place] == '"':
            if not inside:
                inside = place == 0 or text[place - 1] in ",\n"
            elif text[place + 1 : place + 2] == '"':
                states.append(True)
                place += 1
            else:
                inside = False
        place += 1
    return states


@settings(max_examples=40, deadline=None)
@given(st.text('a,"\n', max_size=60), st.sets(st.integers(1, 59), max_size=4))
@example('a,"\n\n', {3, 4})
def test_survey_finds_records_whatever_the_quotes_hold(text: str, cuts: set[int]) -> None:
    text = f"{text}\n"
    dialect = Dialect(delimiter=b",", newline=b"\n")
    line_starts = [0] + [at for at in sorted(cuts) if at < len(text) and text[at - 1] == "\n"]
    rules: dict[str, Any] = {"width": 1, "counted": True}
    surveys = []
    for start, stop in pairwise([*line_starts, len(text)]):
        piece = text[start:stop].encode()
        surveys.append(survey_lines(piece, dialect, start=start, **rules))

    def quoted(lines: LinesFound) -> LinesFound:
        piece = text[lines.start : lines.stop].encode()
        return survey_quoted_lines(piece, dialect, start=lines.start, **rules)

    states = naive_states(text)
    found = list(record_starts(surveys, quoted, counted=True))
    for start, stop in pairwise([*line_starts, len(text)]):
        ends = [at + 1 for at in range(start, stop) if text[at] == "\n" and not states[at]]
        first = start
        if start > 0 and states[start - 1]:
            first = ends[0] if ends else -1
        here = [record.offset for record in found if start <= record.offset < stop]
        assert here == [first] * (0 <= first < stop) or not here
    for record in found:
        assert not states[record.offset - 1] or record.offset == 0
        rows = sum(text[at] == "\n" and not states[at] for at in range(record.offset))
        assert record.rows == rows


def test_pasts_combine_associatively() -> None:
    draw = np.random.default_rng(7)
    x = draw.normal(size=(40, 2))
    x[draw.random(x.shape) < 0.4] = np.nan
    five = KeptSamples(5)
    nothing = no_past(2)
    pieces = [{b"k": past_after(nothing, part, five)} for part in np.split(x, [3, 4, 20, 33])]
    whole = past_after(nothing, x, five)
    left = reduce(lambda a, b: joined_pasts(a, b, five), pieces)
    right = reduce(lambda a, b: joined_pasts(b, a, five), reversed(pieces))
    for joined in (left[b"k"], right[b"k"]):
        assert joined.count == whole.count == 40
        np.testing.assert_array_equal(joined.samples, x[-5:])
        np.testing.assert_array_equal(joined.known, whole.known)
    known = [column[~np.isnan(column)][-1] for column in x[:-5].T]
    np.testing.assert_array_equal(whole.known, known)


# ------------------------------------------------------------------------------- tables with times


def timed_table(times: Iterable[object]) -> str:
    """A table of four groups that come in turns, five rows each, with a few gaps."""
    draw = np.random.default_rng(17)
    lines = ["Date,A,group"]
    for row, time in enumerate(times):
        a = "" if row % 11 == 5 else f"{draw.normal():.3f}"
        lines.append(f"{time},{a},{'uvwx'[row // 5 % 4]}")
    return "\n".join(lines) + "\n"


def timed_files(*by: str) -> TableFiles:
    options = table_options(columns=("A",), time="Date", by=by, irregular=True)
    return TableFiles(options=options)


DAYS = np.arange("2020-01", "2020-04", dtype="datetime64[D]")
MONTHS = np.arange("2001-01", "2008-01", dtype="datetime64[M]")
IRREGULAR = np.sort(np.random.default_rng(1).integers(0, 5000, 80))
TIMES: dict[str, list[object]] = {
    "days": [*DAYS],
    "business days": [*DAYS[np.is_busday(DAYS)]],
    "month ends": [*((MONTHS + 1).astype("datetime64[D]") - 1)],
    "years": [*range(1950, 2020)],
    "month first": [day.strftime("%m/%d/%Y") for day in DAYS.tolist()],
    "numbers": [f"{row / 10:.1f}" for row in range(80)],
    "irregular numbers": [*IRREGULAR],
    "irregular dates": [*(np.datetime64("2020-01-01T08:00") + IRREGULAR)],
}


@pytest.mark.parametrize("kind", TIMES)
def test_rows_with_times(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(timed_table(TIMES[kind]))
    check(timed_files(), path, "sma:5", 4)
    check(timed_files(), path, "ema:span=4,adjust=false", 3)
    check(timed_files("group"), path, "diff:1", 4)


@pytest.mark.parametrize("kind", ["irregular dates", "days"])
def test_windows_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr("convcli.media.tables.parts.SURVEYED_BYTES", 100)
    path = tmp_path / "table.csv"
    path.write_text(timed_table(TIMES[kind]))
    # Sums of the windows are rounded as their rows are numbered from the start of the table.
    unit = "d" if kind == "days" else "h"
    check(timed_files(), path, f"sma:7{unit}", 4)
    check(timed_files(), path, f"lag:2 | gaussian:1{unit} | diff:1", 3, align="center")
    check(timed_files(), path, f"x - ema:halflife=1{unit} | normalize", 5, missing="propagate")
    check(timed_files(), path, f"avg_pool:3{unit} | diff:1", 4)
    check(timed_files(), path, f"stride:2 | sma:9{unit}", 4)
    check(timed_files(), path, f"x - sma:9{unit} | max_pool:3 | quantile:30{unit},0.4", 3)
    check(timed_files(), path, f"sma:5{unit} | avg_pool:3 | diff:1", 5)
    check(timed_files(), path, f"lag:1 | stride:3 | gaussian:9{unit} | sma:3", 7, align="center")
    check(timed_files(), path, f"stride:3 | avg_pool:3{unit}", 4)
    check(timed_files("group"), path, f"sma:1{unit} | quantile:9{unit},0.3", 4)
    check(timed_files("group"), path, f"x - std:12{unit}", 3)
    check(timed_files("group"), path, f"ema:span=3,adjust=false | sma:9{unit}", 4)


def days_of_years(rows: int) -> str:
    """A table of four groups in any order, at irregular days of several years, with gaps."""
    draw = np.random.default_rng(21)
    steps = draw.choice([1, 2, 3, 40, 200], rows, p=[0.6, 0.2, 0.16, 0.03, 0.01])
    days = np.datetime64("2001-01-01") + np.cumsum(steps)
    lines = ["Date,A,group"]
    for row, day in enumerate(days):
        # The values that are held reach over a gap of several parts.
        is_gap = rows // 4 < row < rows // 2 or draw.random() < 0.1
        a = "" if is_gap else f"{draw.normal():.3f}"
        group = draw.choice([*"uvwx"], p=[0.5, 0.3, 0.19, 0.01])
        lines.append(f"{day},{a},{group}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        "sma:9d | ema:span=3,adjust=false",
        "ema:span=3,adjust=false | normalize | std:30d",
        "avg_pool:1w | ema:span=3",
        "avg_pool:1w | stride:2",
        "avg_pool:1w | sma:60d | normalize",
        "avg_pool:1d | stride:2 | sum_pool:1mo | gaussian:200d",
        "avg_pool:1w | stride:3 | sum_pool:1q | stride:2",
        "avg_pool:1w | stride:4 | sma:90d",
        "sum_pool:1w | x - sma:70d | ema:span=3,adjust=false",
        "sum_pool:1w - max_pool:1w | avg_pool:1q",
    ],
)
def test_windows_in_time_over_bins_and_held_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr("convcli.media.tables.parts.SURVEYED_BYTES", 100)
    path = tmp_path / "table.csv"
    path.write_text(days_of_years(400))
    check(timed_files(), path, text, 5)
    check(timed_files(), path, text, 3, align="center", missing="propagate")


@pytest.mark.parametrize("order", ["times", "groups"])
@pytest.mark.parametrize(
    "text",
    [
        "last_pool:1w",
        "sum_pool:1mo | diff:1",
        "sma:3",
        "max_pool:4",
        "sma:20d | normalize",
        "avg_pool:1w | sma:60d",
        "sum_pool:1w | avg_pool:1q",
    ],
)
def test_groups_whose_outputs_wait_for_later_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, text: str
) -> None:
    monkeypatch.setattr("convcli.media.tables.parts.SURVEYED_BYTES", 100)
    header, *rows = days_of_years(150).splitlines()
    if order == "groups":
        rows.sort(key=lambda row: row[-1])
    path = tmp_path / "table.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    for count in (2, 5):
        check(timed_files("group"), path, text, count)
        check(timed_files("group"), path, text, count, align="center")


@pytest.mark.parametrize("edge", ["reflect", "valid", "missing", "zero"])
def test_groups_by_edge_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edge: str) -> None:
    monkeypatch.setattr("convcli.media.tables.parts.SURVEYED_BYTES", 100)
    path = tmp_path / "table.csv"
    path.write_text(days_of_years(150))
    untimed = TableFiles(options=table_options(columns=("A",), by=("group",)))
    for text in ("sma:3", "max_pool:4"):
        check(untimed, path, text, 4, edge=edge)
        check(untimed, path, text, 4, edge=edge, align="center")


def test_first_samples_combine_associatively() -> None:
    x = np.random.default_rng(7).normal(size=(40, 2))
    six = KeptSamples(6, waits=True)
    pieces: list[Any] = [{b"k": six.start(part, None)} for part in np.split(x, [3, 4, 20, 33])]
    pieces.insert(2, {})
    left: Any = reduce(lambda a, b: joined_followings(a, b, six), pieces)
    right: Any = reduce(lambda a, b: joined_followings(b, a, six), reversed(pieces))
    for joined in (left[b"k"], right[b"k"]):
        assert joined.decides
        np.testing.assert_array_equal(joined.samples, x[:6])
    short = joined_followings(pieces[0], pieces[1], six)[b"k"]
    assert not short.decides
    np.testing.assert_array_equal(short.samples, x[:4])


# ------------------------------------------------------------------------------------------- sound


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Sounds of 15 blocks."""
    folder = tmp_path_factory.mktemp("sounds")
    draw = np.random.default_rng(3)
    x = np.clip(np.cumsum(draw.normal(size=(15_000, 2)), axis=0) * 5e-3, -0.99, 0.99)
    paths = {}
    for subtype in ("PCM_16", "PCM_24", "FLOAT"):
        paths[subtype] = folder / f"{subtype}.wav"
        soundfile.write(paths[subtype], x, 8000, subtype=subtype)
    paths["mono"] = folder / "mono.wav"
    soundfile.write(paths["mono"], x[:, 0], 8000, subtype="PCM_U8")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("convcli.media.audio.reader._SHORT_BLOCK_FRAMES", 1024)
        yield paths


@pytest.mark.parametrize("kind", ["PCM_16", "PCM_24", "FLOAT", "mono"])
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(
        [
            "sma:5",
            "lowpass:400",
            "highpass:30,taps=4001",
            "lowpass:1k | downsample:2",
            "resample:3k",
            "max_pool:7",
            "median:5",
            "x - sma:30",
            "lowpass:500 | normalize",
        ]
    ),
    st.sampled_from(["zero", "edge", "reflect", "valid"]),
    st.integers(2, 8),
)
def test_sound(sounds: dict[str, Path], kind: str, text: str, edge: str, count: int) -> None:
    check(AudioFiles(), sounds[kind], text, count, edge=edge)


@pytest.mark.parametrize("kind", ["W64 PCM_24", "AIFF PCM_S8", "CAF FLOAT", "AU PCM_16"])
def test_sound_without_a_codec(sounds: dict[str, Path], kind: str) -> None:
    """Other containers than WAV, read by libsndfile from any block on."""
    form, subtype = kind.split()
    x, rate = soundfile.read(sounds["FLOAT"])
    path = sounds["FLOAT"].with_name(f"{form}.wav")  # results are WAVs
    soundfile.write(path, x, rate, format=form, subtype=subtype)
    check(AudioFiles(), path, "lowpass:400 | normalize", 4)


def test_dither_and_rf64(sounds: dict[str, Path]) -> None:
    options = AudioOptions(subtype="PCM_16", format="RF64", dither=True)
    check(AudioFiles(options=options), sounds["FLOAT"], "lowpass:400", 4)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_w64_has_the_bytes_of_libsndfile(tmp_path: Path, subtype: str) -> None:
    x = np.random.default_rng(4).uniform(-0.9, 0.9, (501, 3))
    soundfile.write(tmp_path / "in.w64", x, 8000, subtype=subtype)
    done("audio", "kernel:1", "in.w64", "-o", "out.w64", "--parts", "2", "-j", "1", cwd=tmp_path)
    assert (tmp_path / "out.w64").read_bytes() == (tmp_path / "in.w64").read_bytes()


def test_w64_is_written_in_parts(sounds: dict[str, Path], tmp_path: Path) -> None:
    words = ["audio", "lowpass:400", str(sounds["FLOAT"]), "--subtype", "pcm_24", "-o"]
    done(*words, "whole.w64", cwd=tmp_path)
    done(*words, "parts.w64", "--parts", "4", "-j", "1", cwd=tmp_path)
    shared = [*words, "shared.w64", "--parts", "4", "-j", "1", "--ledger"]
    for shard in (1, 2):
        done(*shared, f"{shard}.jsonl", "--shard", f"{shard}/2", cwd=tmp_path)
    done("merge", "1.jsonl", "2.jsonl", cwd=tmp_path)
    whole = (tmp_path / "whole.w64").read_bytes()
    assert whole == (tmp_path / "parts.w64").read_bytes()
    assert whole == (tmp_path / "shared.w64").read_bytes()


# ---------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize(
    ("pixels", "texts"),
    [
        ("u1 3 srgb", "gaussian:2, sobel, max_pool:2"),
        ("u1 4 srgb", "box:5, normalize"),
        ("u2 1 grey16", "median:3, x - box:5"),
        ("f4 3 scrgb", "gaussian:2, normalize, laplacian"),
    ],
)
def test_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: str, texts: str) -> None:
    dtype, bands, meaning = pixels.split()
    monkeypatch.setattr("convcli.media.images.layout.STRIP_BYTES", 1)
    monkeypatch.setattr("convcli.media.images.layout.STRIP_ROWS", 4)
    draw = np.random.default_rng(5)
    values = draw.integers(0, 250, (57, 40, int(bands))).astype(dtype)
    path = tmp_path / "picture.tif"
    image = pyvips.Image.new_from_array(values).copy(interpretation=meaning)
    image.write_to_file(str(path))
    files = ImageFiles(max_pixels=10**6)
    for count, text in enumerate(texts.split(", "), start=2):
        check(files, path, text, count)
    check(files, path, "gaussian:1", 5, edge="reflect")
    check(files, path, "box:3", 3, edge="valid")


# -------------------------------------------------------------------------------- what is not cut


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ("global_avg_pool", {}, "a pool of the whole signal"),
        ("diff:1 | ema:span=3,adjust=false", {"by": ("group",)}, "--by with values held between"),
        (
            "avg_pool:9s | stride:2",
            {"time": "t", "irregular": True, "by": ("group",)},
            "--by with strides beside windows in time",
        ),
        ("sma:3", {"encoding": "utf-16"}, "text in utf-16"),
    ],
)
def test_reasons(tmp_path: Path, text: str, options: dict[str, Any], reason: str) -> None:
    path = tmp_path / "table.csv"
    rows = [f"{row},u,{row}\n{row},v,{row}\n" for row in range(9)]
    path.write_text("A,group,t\n" + "".join(rows), encoding=options.get("encoding", "utf-8"))
    files = TableFiles(options=table_options(columns=("A",), **options))
    found = filtered(files, path, text, 3, {})
    assert isinstance(found, str)
    assert found.startswith(reason)


def test_one_note_says_why_an_input_is_one_unit(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("A\n" + "1\n2\n" * 9)
    said = done(
        "csv", "sma:3", "t.csv", "--edge", "wrap", "-o", "o.csv", "--parts", "3", cwd=tmp_path
    )
    assert said.err.count("note: t.csv is filtered as one unit: --edge wrap reads") == 1
    quiet = done("csv", "sma:3", "--parts", "3", "-q", stdin=b"A\n1\n", cwd=tmp_path)
    assert quiet.text == "A\n1\n"
    shard = done("csv", "sma:3", "t.csv", "--shard", "1/2", "--parts", "2", cwd=tmp_path)
    assert "note: t.csv is one unit: " in shard.err


# --------------------------------------------------------------------------------------- processes


def test_real_processes(tmp_path: Path) -> None:
    draw = np.random.default_rng(11)
    rows = [
        f'{value:.4f},"a{n}\n""b""",{"xyz"[n % 3]}' for n, value in enumerate(draw.normal(size=900))
    ]
    (tmp_path / "t.csv").write_text("\r\n".join(["A,text,group", *rows]), newline="")
    words = ["csv", "sma:5", "t.csv", "--by", "group", "-c", "A"]
    whole = done(*words, cwd=tmp_path)
    parted = done(*words, "-o", "o.csv", "--parts", "5", "--jobs", "2", cwd=tmp_path)
    assert (tmp_path / "o.csv").read_bytes() == whole.out
    assert "900 rows" in parted.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.csv", "t.csv"]


@pytest.mark.parametrize("medium", ["csv", "audio", "image"])
def test_shards_and_merge(tmp_path: Path, medium: str) -> None:
    draw = np.random.default_rng(13)
    if medium == "csv":
        name, text = "t.csv", "sma:5"
        (tmp_path / name).write_text("A,B\n" + "".join(f"{n},x\n" for n in range(90)))
    elif medium == "audio":
        name, text = "t.wav", "lowpass:1k"
        soundfile.write(tmp_path / name, draw.normal(size=99_999) * 0.1, 8000, subtype="PCM_U8")
    else:
        name, text = "t.ppm", "box:3"
        pixels = draw.integers(0, 256, (700, 900, 3)).astype("u1")
        (tmp_path / name).write_bytes(b"P6 900 700 255\n" + pixels.tobytes())
    output = f"o{Path(name).suffix}"
    for shard in (1, 2):
        ledger = f"run.{shard}.jsonl"
        words = ["--parts", "3", "--shard", f"{shard}/2", "--ledger", ledger, "--jobs", "1"]
        done(medium, text, name, "-o", output, *words, cwd=tmp_path)
    part = run("merge", "run.1.jsonl", cwd=tmp_path)
    assert part.code == 1
    (error,) = part.errors
    assert error.endswith(f" parts of {name} is missing: 2; of --shard 2/2")
    assert "hint: the command of --shard 2/2 with its --ledger and --resume runs" in part.err
    assert not (tmp_path / output).exists()
    told = done("merge", "run.1.jsonl", "run.2.jsonl", "-o", "all.jsonl", cwd=tmp_path)
    assert f"parts -> {output}" in told.err
    done(medium, text, name, "-o", f"whole{output}", cwd=tmp_path)
    assert (tmp_path / output).read_bytes() == (tmp_path / f"whole{output}").read_bytes()
    assert not list(tmp_path.glob("*.part*"))


def test_parts_that_do_not_belong_together_are_not_joined(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("A\n" + "1\n" * 180)
    words = ["csv", "sma:5", "t.csv", "-o", "o.csv", "--parts", "2", "--jobs", "1"]
    for shard in (1, 2):
        share = ["--shard", f"{shard}/2", "--ledger", f"{shard}.jsonl"]
        done(*words, *share, cwd=tmp_path)
    ledger = tmp_path / "2.jsonl"
    noted = ledger.read_text()
    merge = ["merge", "1.jsonl", "2.jsonl"]
    for option, place, shared in (
        ("-o", "o.csv", "-o and the output of the parts"),
        ("-o", "o.csv.part1-of-2", "-o and part 1"),
        ("--failed", "o.csv.part2-of-2", "part 2 and --failed"),
    ):
        told = refused(2, *merge, option, place, "--force", cwd=tmp_path)
        assert f"error: {shared} are both {place}" in told
    for field, value, code, error in (
        ("mtime_ns", "1", 3, "t.csv has changed between the parts o.csv.part1-of-2 and o.csv.part"),
        ("request", '"other"', 2, "the parts of o.csv were made by different FILTER or options"),
        ("version", '"0"', 2, "the parts of o.csv were made by different versions of convcli"),
        ("facts", "null", 3, "o.csv.part2-of-2 has 3 bytes, and 178 were written"),
    ):
        ledger.write_text(re.sub(f'"{field}":("[^"]*"|[0-9]+)', f'"{field}":{value}', noted))
        if field == "facts":  # the ledger is right, and the part is not
            (tmp_path / "o.csv.part2-of-2").write_text("cut")
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        told = refused(code, *merge, "-o", "all.jsonl", "--failed", "failed.txt", cwd=tmp_path)
        assert error in told
        assert "hint: " in told
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    done(*words, *share, "--resume", cwd=tmp_path)
    done(*merge, "-q", cwd=tmp_path)
    assert (tmp_path / "o.csv").read_bytes() == table.read_bytes()


def test_parts_are_resumed(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("A,B\n" + "".join(f"{n},x\n" for n in range(90)))
    words = ["csv", "sma:5", "t.csv", "-o", "o.csv", "--parts", "3", "--jobs", "1"]
    ledger = [*words, "--ledger", "run.jsonl"]
    done(*ledger, "--shard", "1/2", cwd=tmp_path)
    rest = done(*ledger, "--resume", cwd=tmp_path)
    assert "2 parts done by an earlier run" in rest.err
    assert rest.err.count(" rows") == 1
    assert (tmp_path / "o.csv").read_bytes() == done("csv", "sma:5", "t.csv", cwd=tmp_path).out
    assert "made by an earlier run" in done(*ledger, "--resume", cwd=tmp_path).err
    refused(2, *words, "--ledger", "other.jsonl", cwd=tmp_path)


def test_files_of_others_are_neither_joined_nor_replaced(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("A\n" + "1\n" * 180)
    words = ["csv", "sma:5", "t.csv", "-o", "o.csv", "--parts", "2", "--jobs", "1"]
    part = tmp_path / "o.csv.part1-of-2"
    part.write_text("notes\n")
    assert f"the output {part.name} exists" in refused(2, *words, "--skip-existing", cwd=tmp_path)
    assert part.read_text() == "notes\n"
    assert not (tmp_path / "o.csv").exists()
    part.unlink()
    (tmp_path / "o.csv").write_text("notes\n")
    assert "the output o.csv exists" in refused(2, *words, "--resume", cwd=tmp_path)
    left_out = done(*words, "--skip-existing", cwd=tmp_path)
    assert "1 input left out: the output exists" in left_out.err
    assert (tmp_path / "o.csv").read_text() == "notes\n"


def test_an_output_of_parts_is_made_again_when_its_input_changes(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("A\n" + "1\n" * 180)
    words = ["csv", "sma:5", "t.csv", "-o", "o.csv", "--parts", "2", "--jobs", "1", "--resume"]
    done(*words, cwd=tmp_path)
    assert "o.csv was made by an earlier run" in done(*words, cwd=tmp_path).err
    table.write_text("A\n" + "2\n" * 180)
    done(*words, cwd=tmp_path)
    assert (tmp_path / "o.csv").read_bytes() == table.read_bytes()
    (tmp_path / "o.csv").write_text("notes\n")
    assert "the output o.csv exists" in refused(2, *words, cwd=tmp_path)


def test_more_parts_than_make_sense_are_not_made(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("A\n" + "1\n" * 600_000)
    words = ["csv", "sma:5", "t.csv", "-o", "o.csv", "--jobs", "1"]
    told = done(*words, "--parts", "999999999999", cwd=tmp_path)
    assert "note: t.csv is cut into 18 parts instead of 999,999,999,999: parts have" in told.err
    assert told.err.count("note: ") == 1
    assert (tmp_path / "o.csv").read_bytes() == table.read_bytes()
    assert worthwhile_parts(1 << 40, 1 << 50) == 10_000
    assert worthwhile_parts(12, 1) == 12


@pytest.mark.parametrize(("cell", "place"), [("bad", "line 502"), ("", "data row 251")])
def test_an_error_names_its_place_and_leaves_nothing(tmp_path: Path, cell: str, place: str) -> None:
    lines = ["A,B", *(f'{n},"x\ny"' for n in range(300))]
    lines[251] = f'{cell},"x\ny"'
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    words = ["csv", "sma:5", "t.csv", "-c", "A", "--missing", "error", "-o", "o.csv"]
    whole = refused(3, *words, cwd=tmp_path)
    assert place in whole
    assert refused(3, *words, "--parts", "4", "--jobs", "1", cwd=tmp_path) == whole
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
    shared = ("--parts", "4", "--jobs", "1", "--shard", "4/4")
    told = refused(3, *words, *shared, cwd=tmp_path)
    assert told.startswith("error: t.csv, part 4 of 4")
    assert place in told
    assert told.count("t.csv") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error_of_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PartPlaces, "begin", lambda *_: Path("/dev/full"))
    path = tmp_path / "t.csv"
    path.write_text("A\n" + "1\n2\n" * 99)
    with pytest.raises(OutputError, match=r"cannot write .*out\.csv: No space left on device"):
        filtered(TableFiles(options=table_options()), path, "sma:3", 3, {})


def test_no_room_for_parts_that_go_to_standard_output(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("A\n" + "1\n2\n" * 50_000)
    ended = subprocess.run(
        [*CONVCLI, "csv", "sma:3", "t.csv", "--parts", "2"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (4, b"A\n")
    assert ended.stderr.decode().splitlines() == [
        f"error: cannot keep a part in {tmp_path}: File too large",
        "hint: let TMPDIR name a larger place",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_signal_ends_all_processes(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "s.wav", np.zeros(8_000_000), 8000)
    steps = "|".join(["quantile:4001,0.3"] * 10)  # half a minute of work
    words = ["audio", steps, "s.wav", "-o", "o.wav", "--parts", "4", "--jobs", "2"]
    process = subprocess.Popen([*CONVCLI, *words], cwd=tmp_path, stderr=subprocess.DEVNULL)
    started: list[str] = []

    def has_two() -> bool:
        started[:] = children(process)
        return len(started) >= 2 or process.poll() is not None

    wait_until(has_two, "starts two processes")
    process.terminate()
    assert process.wait(PATIENCE) == 143
    wait_until(lambda: not any(map(is_running, started)), "ends its processes")
    assert [path.name for path in tmp_path.iterdir()] == ["s.wav"]


def test_a_lost_process_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    runner = ProcessRunner(lost_process.LosesProcess(tmp_path), 1, Event())  # type: ignore[arg-type]
    for number in (1, 2):
        runner.submit(Unit(number=number, name="x", relative="x"))
    ended = [runner.next_outcome() for _ in range(2)]
    runner.close()
    assert sorted(outcome.unit.number for outcome in ended) == [1, 2]
    assert [outcome.error for outcome in ended] == [None, None]


def test_a_process_that_is_lost_before_it_reads_a_unit_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    # More than a pipe holds, so that the other end is still to be written when the pipe is closed.
    work = lost_process.Works("x" * (1 << 20))
    runner = ProcessRunner(work, 1, Event())  # type: ignore[arg-type]
    for number in (1, 2):
        runner.submit(Unit(number=number, name="x", relative="x"))
        assert runner.next_outcome().error is None
        runner._kill()
    # A unit that cannot be sent is an error, and not waited for.
    work.text = (each for each in "x")
    runner.submit(Unit(number=3, name="x", relative="x"))
    error = runner.next_outcome().error
    runner.close()
    assert error is not None
    assert "cannot pickle" in error.message


def test_a_process_that_cannot_be_started_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    unit = Unit(number=1, name="a.csv", relative="a.csv")
    work: Any = lost_process.Works("x")
    runner = ProcessRunner(work, 1, Event())
    runner.submit(unit)
    error = runner.next_outcome().error
    runner.close()
    assert str(error).startswith("cannot start a process: No such file or directory")


def test_a_part_that_loses_every_process_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its process was lost a unit is begun again once."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    runner = ProcessRunner(lost_process.LosesEveryProcess(), 1, Event())  # type: ignore[arg-type]
    runner.submit(Unit(number=1, name="x", relative="x"))
    outcome = runner.next_outcome()
    runner.close()
    assert isinstance(outcome.error, LostProcessError)
    assert outcome.tries == 2


def test_a_small_input_is_not_cut_unasked(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "s.wav", np.zeros((100, 1)), 8000)
    told = run("audio", "sma:3", "s.wav", "-o", "o.wav", "--jobs", "2", cwd=tmp_path)
    assert told.code == 0
    assert "note" not in told.err
