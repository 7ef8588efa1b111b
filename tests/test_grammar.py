"""FILTER: what is read, what is refused, and what the refusal says."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcli import apply
from convcli.errors import ConvcliError, InputError, RequestError, nearest
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.planning.calls import Call
from convcli.planning.grammar import parse
from convcli.planning.plan import Plan, make_plan, rules_for
from convcli.signals import TABLE, Medium, Signal
from convcli.units import MOST_SAMPLES, UnitError, _read_count

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

SOUND = Signal(medium=AUDIO, shape=(8000,), channels=("left", "right"), rate=8000.0)
ROWS = Signal(medium=TABLE, shape=(100,), channels=("Close",))
DAILY = Signal(medium=TABLE, shape=(100,), channels=("Close",), rate=1 / 86400, cycle=86400.0)
PICTURE = Signal(medium=IMAGE, shape=(30, 40), channels=("R", "G", "B"), full_scale=255.0)


def plan(text: str, signal: Signal = SOUND, **rules: Any) -> Plan:
    return make_plan(text, signal, rules_for(signal, **rules))


def told(text: str, signal: Signal = SOUND) -> RequestError:
    with pytest.raises(RequestError) as caught:
        plan(text, signal)
    return caught.value


def caret(error: ConvcliError) -> tuple[str, int]:
    """The line that an error shows and the column under which its caret stands."""
    line, mark = error.excerpt
    assert mark.strip() == "^"
    return line, mark.index("^")


def words(text: str) -> list[tuple[str, list[tuple[str | None, str, int]]]]:
    return [(call.name, [(a.key, a.text, a.row) for a in call.arguments]) for call in parse(text)]


def test_a_long_line_is_shown_around_the_place() -> None:
    steps = ["box:3"] * 400
    error = told(" | ".join([*steps, "boxx:3", *steps]))
    line, place = caret(error)
    assert line[place:].startswith("boxx:3 | box:3")
    assert line.startswith("...")
    assert line.endswith("...")
    assert len(line) < 140


# ------------------------------------------------------------------------------------------ reading

VALID = {
    "abs": [("abs", [])],
    "  abs  ": [("abs", [])],
    "box:5": [("box", [(None, "5", 0)])],
    "box : 5": [("box", [(None, "5", 0)])],
    "kernel:-1,0,1": [("kernel", [(None, "-1", 0), (None, "0", 0), (None, "1", 0)])],
    "kernel:1,2;3,4": [
        ("kernel", [(None, "1", 0), (None, "2", 0), (None, "3", 1), (None, "4", 1)])
    ],
    "kernel: 1 , 2 ; 3 , 4 ": [
        ("kernel", [(None, "1", 0), (None, "2", 0), (None, "3", 1), (None, "4", 1)])
    ],
    "lowpass:3.4k,width=200": [("lowpass", [(None, "3.4k", 0), ("width", "200", 0)])],
    "lowpass:3.4k , width = 200Hz": [("lowpass", [(None, "3.4k", 0), ("width", "200Hz", 0)])],
    "ema:span=5|abs|relu": [("ema", [("span", "5", 0)]), ("abs", []), ("relu", [])],
    'ir:"a, b|c;d.wav",wet=0.3': [("ir", [(None, "a, b|c;d.wav", 0), ("wet", "0.3", 0)])],
    'ir:""': [("ir", [(None, "", 0)])],
    "kernel:@taps one.csv": [("kernel", [(None, "@taps one.csv", 0)])],
    "box:3\n| abs": [("box", [(None, "3", 0)]), ("abs", [])],
    "anything:=": [("anything", [(None, "=", 0)])],
}


@pytest.mark.parametrize("text", VALID)
def test_valid(text: str) -> None:
    assert words(text) == VALID[text]


INVALID = {
    "": ("FILTER is empty", None),
    "   ": ("FILTER is empty", None),
    "|": ("expected the name of a step", 0),
    "abs |": ("missing after the |", 4),
    "abs | ": ("missing after the |", 4),
    "| abs": ("expected the name of a step", 0),
    "abs || relu": ("expected the name of a step", 5),
    "5": ("expected the name of a step, got '5'", 0),
    "box:": ("a value is missing", 4),
    "box:5,": ("a value is missing", 6),
    "kernel:1,,2": ("a value is missing", 9),
    "kernel:1;;2": ("a value is missing", 9),
    "lowpass:1k,width=": ("a value is missing", 17),
    'ir:"hall.wav': ("quote that opens here is not closed", 3),
    'ir:"a"b': ("expected | or the end, got 'b'", 6),
    "abs relu": ("expected | or the end, got 'r'", 4),
    "box(5)": ("expected | or the end, got '('", 3),
}


@pytest.mark.parametrize("text", INVALID)
def test_invalid(text: str) -> None:
    message, column = INVALID[text]
    error = told(text)
    assert message in error.message
    assert error.exit_code == 2
    if column is not None:
        assert caret(error) == (text, column)


names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name != "x")
bare = st.from_regex(
    r"[A-Za-z0-9.@%/+-][A-Za-z0-9.@%/+ -]{0,6}[A-Za-z0-9.@%/+-]", fullmatch=True
).filter(lambda value: not re.search(r"\s[-+*/&]\s", f" {value} "))
anything = st.text(st.characters(exclude_characters='"\n', exclude_categories=["Cs"]), max_size=8)
spaces = st.sampled_from(["", " ", "  "])


@st.composite
def chains(draw: st.DrawFn) -> tuple[str, list[tuple[str, list[tuple[str | None, str, int]]]]]:
    """A FILTER with spaces wherever they may stand, and what it says."""
    text, said = "", []
    for number in range(draw(st.integers(1, 4))):
        name = draw(names)
        text += (draw(spaces) + "|" if number else "") + draw(spaces) + name
        arguments: list[tuple[str | None, str, int]] = []
        row = 0
        for position in range(draw(st.integers(0, 3))):
            between = draw(st.sampled_from([",", ";"])) if position else ":"
            row += between == ";"
            key = draw(st.none() | names)
            quoted = draw(st.booleans())
            value = draw(anything if quoted else bare)
            text += draw(spaces) + between + draw(spaces)
            text += f"{key}{draw(spaces)}={draw(spaces)}" if key else ""
            text += f'"{value}"' if quoted else value
            arguments.append((key, value, row))
        said.append((name, arguments))
    return text + draw(spaces), said


@given(chains())
def test_what_is_written_is_what_is_read(chain: tuple[str, Any]) -> None:
    text, said = chain
    assert words(text) == said


@given(chains())
def test_a_step_knows_its_own_words(chain: tuple[str, Any]) -> None:
    text, said = chain
    calls = parse(text)
    assert words(" | ".join(call.text for call in calls)) == said
    for argument in (a for call in calls for a in call.arguments):
        assert text[argument.at :].removeprefix('"').startswith(argument.text)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    if text.strip().startswith("@"):
        return
    with contextlib.suppress(RequestError):
        assert all(isinstance(call, Call) for call in parse(text))


# ------------------------------------------------------------------------------------------ recipes


def test_a_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "voice.conv"
    recipe.write_text(
        '# a voice\n\nlowpass:1k  # soft\n\n  downsample:2 | abs\nir:"a#b.wav"\n# end\n',
        encoding="utf-8",
    )
    said = [
        ("lowpass", [(None, "1k", 0)]),
        ("downsample", [(None, "2", 0)]),
        ("abs", []),
        ("ir", [(None, "a#b.wav", 0)]),
    ]
    assert words(f"@{recipe}") == said
    recipe.write_bytes(b"\xef\xbb\xbf" + b"box:3\r\nabs\r\n")
    assert words(f" @{recipe} ") == [("box", [(None, "3", 0)]), ("abs", [])]


def test_a_recipe_shows_its_own_line(tmp_path: Path) -> None:
    recipe = tmp_path / "bad.conv"
    recipe.write_text("abs\nlowpas:1k\n", encoding="utf-8")
    error = told(f"@{recipe}")
    assert caret(error) == ("lowpas:1k", 0)
    assert error.hint == "did you mean lowpass:1k?"


def test_recipes_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.conv cannot be read"):
        parse(f"@{tmp_path}/nothing.conv")
    with pytest.raises(InputError, match="cannot be read"):
        parse(f"@{tmp_path}")
    (tmp_path / "binary.conv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        parse(f"@{tmp_path}/binary.conv")
    (tmp_path / "empty.conv").write_text("# nothing\n")
    with pytest.raises(RequestError, match="holds no step"):
        parse(f"@{tmp_path}/empty.conv")


# ----------------------------------------------------------------------------- names and parameters

REFUSED = [
    # filter, signal, a part of the message, the caret's column, a part of the hint
    ("lowpas:1k", SOUND, "unknown step 'lowpas'", 0, "did you mean lowpass:1k?"),
    ("abs | sm:3", SOUND, "unknown step 'sm'", 6, "sma"),
    ("abs | qqqqq", SOUND, "unknown step 'qqqqq'", 6, "convcli filters"),
    ("box", SOUND, "box needs N", 0, "box:5"),
    ("abs:3", SOUND, "one value too many", 4, "abs"),
    ("box:3,4", SOUND, "'4' is one value too many", 6, "box:5"),
    ("box:n=3,n=4", SOUND, "n is given twice", 10, None),
    ("box:3,n=4", SOUND, "n is given twice", 8, None),
    ("lowpass:1k,widht=3", SOUND, "no parameter 'widht'", 11, "did you mean width=?"),
    ("lowpass:1k,zzz=3", SOUND, "no parameter 'zzz'", 11, "lowpass:800"),
    (
        "lowpass:1k,phase=minimun",
        SOUND,
        "expected linear or minimum, got 'minimun'",
        17,
        "did you mean minimum?",
    ),
    ("kernel:1,2,normalize=yes", SOUND, "expected true or false, got 'yes'", 21, None),
    ("box:2.5", SOUND, "whole number of samples", 4, "box:5"),
    ("box:0", SOUND, "at least 1 sample", 4, "box:5"),
    ("box:-3", SOUND, "at least 1 sample", 4, "box:5"),
    ("box:20ms", ROWS, "durations need --time", 4, "box:5"),
    ("box:3Hz", SOUND, "does not fit this signal", 4, "box:5"),
    ("box:3px", SOUND, "does not fit this signal", 4, "box:5"),
    ("box:20ms", PICTURE, "a number of pixels", 4, "box:5"),
    ("box:3parsec", SOUND, "unknown unit 'parsec'", 4, "box:5"),
    ("box:80m", DAILY, "unknown unit 'm' in '80m'; minutes are min, months mo", 4, "box:5"),
    ("box:2D", DAILY, "unknown unit 'D' in '2D'; write 2d", 4, "box:5"),
    ("box:many", SOUND, "expected a number, got 'many'", 4, "box:5"),
    ("lowpass:5k", SOUND, "4000 Hz", 8, "lowpass:800"),
    ("lowpass:4000", SOUND, "4000 Hz", 8, None),
    ("lowpass:20ms", SOUND, "not a frequency", 8, None),
    ("lowpass:-1k", SOUND, "above 0", 8, None),
    ("lowpass:0.6", ROWS, "0.5 cycles/row", 8, None),
    ("lowpass:3Hz", ROWS, "Hz needs --time", 8, None),
    ("lowpass:0.7", DAILY, "0.5 cycles/day", 8, None),
    ("downsample:4 | lowpass:1k", SOUND, "1000 Hz", 23, None),
    ("bandpass:2k,1k", SOUND, "bandpass", 0, None),
    ("gain:3Hz", SOUND, "decibels", 5, None),
    ("sobel", SOUND, "picture", 0, None),
    ("kernel:1,2;3", PICTURE, "row 2 has 1 taps", 7, None),
    ("kernel:1;2", SOUND, "needs a picture", 7, None),
    ("resample:16k", ROWS, "resample: works on sound alone", 0, "downsample"),
    ("normalize:-1", SOUND, "expected a level above 0", 0, "normalize:-1dB"),
    ("normalize:0", SOUND, "expected a level above 0", 0, "normalize:0dB"),
    ("resize:50%", SOUND, "resize: works on images alone", 0, "resample"),
    ("clip:1,0", SOUND, "LOW <= HIGH", 0, "clip:0,1"),
    ("ema:span=3,alpha=0.5", SOUND, "exactly one of", 0, None),
    ("box:3,axis=z", PICTURE, "expected x or y, got 'z'", 11, None),
    ("box:3,axis=x", SOUND, "no parameter 'axis'", 6, None),
    ("box:2x2", SOUND, "'2x2'", 4, None),
    ("max_pool:2x2", SOUND, "expected N", 9, None),
]


@pytest.mark.parametrize(
    ("text", "signal", "message", "column", "hint"), REFUSED, ids=[case[0] for case in REFUSED]
)
def test_refused(text: str, signal: Signal, message: str, column: int, hint: str | None) -> None:
    error = told(text, signal)
    assert message in error.message
    assert caret(error) == (text, column)
    if hint is not None:
        assert hint in (error.hint or "")


def test_a_caret_stands_under_the_right_line() -> None:
    error = told("box:3\n| lowpas:1k\n| abs")
    assert caret(error) == ("| lowpas:1k", 2)


def test_units_become_samples() -> None:
    lengths = {
        ("box:20ms", SOUND): 160,
        ("box:0.5s", SOUND): 4000,
        ("box:7", SOUND): 7,
        ("box:5d", DAILY): 5,
        ("box:1w", DAILY): 7,
        ("box:48h", DAILY): 2,
        ("box:5px", PICTURE): 5,
        ("sma:3", ROWS): 3,
    }
    for (text, signal), n in lengths.items():
        assert max(plan(text, signal).steps[0].stage.kernels[0].taps.shape) == n, text


# ------------------------------------------------------------------------------- rates and identity


def test_the_rate_is_carried_along() -> None:
    bound = plan("downsample:4 | lowpass:500").steps
    assert [step.after.rate for step in bound] == [2000.0, 2000.0]
    alone = plan(
        "lowpass:500",
        Signal(medium=AUDIO, shape=(2000,), channels=("left", "right"), rate=2000.0),
    )
    np.testing.assert_array_equal(
        bound[1].stage.kernels[0].taps, alone.steps[0].stage.kernels[0].taps
    )
    assert plan("resample:16k | stride:3").result.rate == 16000 / 3
    assert plan("downsample:4 | box:10ms").steps[1].stage.kernels[0].taps.size == 20


def test_lengths_are_carried_along() -> None:
    assert plan("downsample:4 | resample:16k").result.shape == (16000,)
    assert plan("stride:7 | max_pool:2").result.shape == (572,)
    assert plan("kernel:1,2,3", edge="valid").result.shape == (7998,)
    assert plan("stride:7 | adaptive_avg_pool:5").result.shape == (5,)
    assert plan("resize:50%", PICTURE).result.shape == (15, 20)
    assert plan("resize:80x | box:3", PICTURE).result.shape == (60, 80)
    unknown = Signal(medium=AUDIO, shape=(None,), channels=("1",), rate=8000.0)
    assert plan("downsample:4", unknown).result.shape == (None,)


IDENTITY = [
    "kernel:1", "correlate:1", "box:1", "downsample:1", "stride:1", "max_pool:1", "avg_pool:1",
    "gain:1", "gain:0dB",
    "offset:0", "ema:alpha=1", "resample:8000", "kernel:1 | box:1",
]  # fmt: skip


@pytest.mark.parametrize("text", IDENTITY)
def test_steps_that_change_nothing_are_dropped(text: str) -> None:
    assert plan(text).identity
    assert not plan(text).chain.ops
    mixed = plan(f"{text} | box:3").chain.ops
    assert len(mixed) == 1


def test_identity_depends_on_the_alignment() -> None:
    assert plan("kernel:0,1,0").identity
    assert not plan("kernel:0,1,0", align="causal").identity
    assert plan("kernel:1,0,0", align="causal").identity
    assert not plan("kernel:0,1,0", edge="valid").identity, "two samples fewer"
    assert not plan("gain:2").identity
    assert plan("kernel:0,0,0;0,1,0;0,0,0", PICTURE).identity
    assert plan("resize:100%", PICTURE).identity


def test_a_plan_says_its_filter() -> None:
    assert (
        plan(" downsample:4|lowpass : 500 ,width=50 ").filter
        == "downsample:4 | lowpass : 500 ,width=50"
    )


def test_kernels_from_files(tmp_path: Path) -> None:
    (tmp_path / "my taps.csv").write_text("1,2,1\n")
    np.save(tmp_path / "taps.npy", np.array([1.0, 2, 1]))
    for text in (
        f"kernel:@{tmp_path}/my taps.csv",
        f'kernel:"@{tmp_path}/taps.npy"',
        "kernel:1,2,1",
    ):
        assert plan(text).steps[0].stage.kernels[0].taps.tolist() == [1, 2, 1]
    with pytest.raises(InputError, match="no such file"):
        plan("kernel:@nowhere.csv")


@pytest.mark.parametrize(
    ("text", "medium"),
    [
        ("stride:1e9 | tanh | gradient", TABLE),
        ("stride:1e9 | stride:1e9 | stride:1e9 | gradient", TABLE),
        ("stride:1e6 | sma:500 | global_avg_pool", TABLE),
        ("stride:100000 | gaussian:3", IMAGE),
    ],
)
def test_a_reach_far_beyond_the_signal_is_refused(text: str, medium: Medium) -> None:
    """What lies outside is held in memory: 2 billion rows before a table of 100."""
    shape: tuple[int | None, ...] = (20, 30) if medium is IMAGE else (None,)
    signal = Signal(medium=medium, shape=shape, channels=("v",))
    error = told(text, signal)
    assert "outside of the signal" in error.message
    assert "--edge valid" in (error.hint or "")
    plan(text, signal, edge="valid")


def test_a_year_of_seconds_is_not_refused() -> None:
    seconds = Signal(medium=TABLE, shape=(None,), channels=("v", "w"), rate=1.0)
    assert plan("avg_pool:86400 | sma:365", seconds).chain.reach[0].before > 31_000_000


def test_a_letter_that_is_replaced_is_a_slip_in_names_of_five_letters() -> None:
    assert nearest("sobal", ["sobel", "disk"]) == "sobel"
    assert nearest("disc", ["disk"]) is None


def test_the_largest_count() -> None:
    signal = Signal(medium=TABLE, shape=(None,), channels=("x",))
    assert _read_count(str(MOST_SAMPLES), signal) == MOST_SAMPLES
    with pytest.raises(UnitError, match="at most"):
        _read_count(str(MOST_SAMPLES + 1), signal)


def test_an_error_in_a_recipe_names_its_file_and_line(tmp_path: Path) -> None:
    recipe = tmp_path / "r.conv"
    for text, line in (
        ("sma:3 # three\n\nsmaa:5\n", 3),
        ("sma:3\nx - hampel:5,z=3", 2),
        ("sma:3\n(abs", 2),
    ):
        recipe.write_text(text)
        with pytest.raises(RequestError) as error:
            apply(f"@{recipe} | abs", np.arange(5.0))
        assert error.value.message.startswith(f"recipe {recipe}, line {line}: ")


def test_names_of_arguments_in_any_case() -> None:
    x = np.array([1.0, 2, 90, 4, 5, 6])
    np.testing.assert_array_equal(apply("hampel:5,K=2", x), apply("hampel:5,k=2", x))
    np.testing.assert_array_equal(apply("ema:SPAN=3", x), apply("ema:span=3", x))
    with pytest.raises(RequestError, match="k is given twice"):
        apply("hampel:5,K=2,k=3", x)


@pytest.mark.parametrize(
    ("text", "at", "hint"),
    [
        ("(-x)", 1, "-1 * x changes the sign"),
        ("2 * -x", 4, "-1 * x changes the sign"),
        ("x \u2212 box:3", 2, "write - in place of \u2212"),
        ("x - box:3 \u00d7 2", 10, "write * in place of \u00d7"),
        ("x ^ 2", 2, "square"),
        ("x ** 2", 2, "square"),
        ("x-1", 1, "between spaces"),
    ],
)
def test_signs_that_are_written_otherwise(text: str, at: int, hint: str) -> None:
    with pytest.raises(RequestError) as caught:
        apply(text, np.arange(5.0))
    assert hint in (caught.value.hint or "")
    assert caught.value.excerpt[1].index("^") == at


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("box:3\n  | diff\n\n| abs\n", "box:3 | diff | abs"),
        ("x\n- box:3 # less noise\n  * 2\nabs\n", "x - box:3 * 2 | abs"),
        ("x -\n  box:3\n", "x - box:3"),
    ],
)
def test_a_line_of_a_recipe_that_begins_with_an_operator_goes_on(
    text: str, same: str, tmp_path: Path
) -> None:
    recipe = tmp_path / "r.conv"
    recipe.write_text(text)
    x = np.random.default_rng(0).normal(size=20)
    np.testing.assert_array_equal(apply(f"@{recipe}", x), apply(same, x))


def test_a_recipe_of_the_user_takes_no_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVCLI_RECIPES", str(tmp_path))
    (tmp_path / "smooth.conv").write_text("box:3")
    with pytest.raises(RequestError, match="the recipe smooth takes no values"):
        apply("@smooth:5", np.arange(5.0))


@pytest.mark.parametrize(
    ("before", "columns"),
    [
        ("kernel:1 | model:\u65e5\u672c | ", 24),
        ("model:e\u0301 | ", 10),
        ("abs |\t", 7),
        ("model:\U0001f600 | ", 11),
    ],
)
def test_the_caret_stands_under_the_sign_on_a_terminal(
    before: str, columns: int, program: Program
) -> None:
    ended = program.run("csv", before + "| abs", stdin=b"x\n1\n")
    _, _, caret, *_ = ended.err.splitlines()
    assert caret == " " * (2 + columns) + "^", ended.err
