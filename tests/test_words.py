"""What the program says: hints that help, names of other programs, and pages without Python."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import program
import pytest
from program import done

import convcli
from convcli.cli.options_elsewhere import OPTIONS_ELSEWHERE
from convcli.core.binding import Rules
from convcli.designs import find, steps
from convcli.designs.other_names import OTHER_NAMES
from convcli.errors import InputError, RequestError, nearest
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.media.inputs import check_input
from convcli.planning.grammar import parse
from convcli.planning.plan import make_plan
from convcli.signals import TABLE, Signal

if TYPE_CHECKING:
    from pathlib import Path

    from convcli.signals import Edge

TALK = Signal(medium=AUDIO, shape=(22050,), channels=("1",), rate=22050.0)
STEREO = Signal(medium=AUDIO, shape=(22050,), channels=("left", "right"), rate=22050.0)
ROWS = Signal(medium=TABLE, shape=(500,), channels=("a",))
BARS = Signal(medium=TABLE, shape=(500,), channels=("High", "Low", "Close"))
DAYS = Signal(medium=TABLE, shape=(500,), channels=("a",), timed=True, dated=True)
PHOTO = Signal(medium=IMAGE, shape=(64, 64), channels=("grey",), full_scale=255.0)


def hint_of(name: str) -> str:
    with pytest.raises(RequestError) as caught:
        find(name)
    assert caught.value.hint is not None
    return caught.value.hint


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lowpas", "lowpass"),
        ("gausian", "gaussian"),
        ("guassian", "gaussian"),
        ("resamlpe", "resample"),
        ("Lowpass", "lowpass"),
        ("max-pool", "max_pool"),
        ("maxpool", "max_pool"),
        ("tahn", "tanh"),
        ("boxx", "box"),
        ("gauss", "gaussian"),
        ("smapvol", None),
        ("treble", None),
        ("medain", "median"),
        ("canny", None),
        ("sort", None),
        ("adaptive", None),
    ],
)
def test_only_a_misspelt_name_is_suggested(typed: str, meant: str | None) -> None:
    assert nearest(typed, list(steps())) == meant


def test_random_words_are_no_misspellings() -> None:
    rng = np.random.default_rng(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choice(list(letters), size)) for size in rng.integers(3, 10, 2000)]
    suggested = [word for word in words if nearest(word, list(steps()))]
    assert len(suggested) < 10


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("treble", "highshelf"),
        ("erosion", "min"),
        ("opening", "min:3 | max:3"),
        ("medfilt", "median"),
        ("stddev", "std"),
        ("stdev", "std:20"),
        ("avg", "box:5"),
        ("delta", "diff:1"),
        ("add", "x + 1"),
        ("power", "x * x"),
        ("lowess", "savgol:11,2"),
        ("rsi", "ema"),
        ("hum", "notch"),
        ("denoise", "convcli learn --blind"),
        ("Unsharp-Mask", "unsharp"),
        ("canny", "sobel"),
        ("rolling", "sma"),
        ("iir", "lowpass:0.1,phase=minimum"),
        ("iqr", "`quantile:20,75% - quantile:20,25%`"),
        ("mode", "no step finds the most frequent one"),
        ("hanning", "hann"),
        ("quantize", "--decimals"),
        ("binning", "`sum_pool:2`"),
        ("guided_filter", "median:5"),
        ("white_tophat", "x - (min:5 | max:5)"),
        ("gaussian_laplace", "laplacian_of_gaussian"),
        ("selu", "`elu:1.67326 | gain:1.0507`"),
        ("frobnicate", "`convcli filters` lists every step"),
    ],
)
def test_names_of_other_programs_are_answered(name: str, told: str) -> None:
    if name.casefold() not in steps():
        assert told in hint_of(name)


def filters_in(hint: str) -> list[str]:
    quoted = re.findall("`([^`]*)`", hint)
    meant = re.findall(r"did you mean ([^?` ]+)\?", hint)
    examples = [find(each).example if each in steps() else each for each in meant]
    written = [each for each in quoted if not each.startswith("convcli")]
    files = ("ir:hall.wav", "kernel:@taps.csv", "response:@curve.csv", "model:net.safetensors")
    return [each for each in [*written, *examples] if each not in files]


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_every_filter_in_an_answer_can_be_used(name: str) -> None:
    hint = OTHER_NAMES[name].hint
    assert len(hint) < 110
    for text in filters_in(hint):
        assert any(can_filter(text, signal) for signal in (ROWS, BARS, TALK, PHOTO, STEREO, DAYS))


def can_filter(text: str, signal: Signal) -> bool:
    edge: Edge = "shrink" if signal.timed else "zero"
    try:
        make_plan(text, signal, Rules(edge=edge, align="causal"))
    except RequestError:
        return False
    return True


@pytest.mark.parametrize(
    ("signal", "typed", "meant"),
    [
        (ROWS, "bbands:20,2", "bollinger:20,2"),
        (ROWS, "rolling_mean:20", "box:20"),
        (ROWS, "rolling_std", "std:5"),
        (ROWS, "ewm:span=12", "ema:span=12"),
        (ROWS, "ewma:0.3", "ema:span=12"),
        (ROWS, "lowpas:0.2", "lowpass:0.2"),
        (ROWS, "lp:3.4k", "lowpass:0.1"),
        (TALK, "lp:3.4k", "lowpass:3.4k"),
        (TALK, "treble", "highshelf:3k,6"),
        (TALK, "treble:-3", "highshelf:3k,-3"),
        (TALK, "norm:-3", "normalize:-3dB"),
        (TALK, "lpf", "lowpass:2000"),
        (PHOTO, "blur:0x2", "gaussian:2"),
        (PHOTO, "GaussianBlur:5", "gaussian:2"),
        (PHOTO, "medianBlur:5", "median:5"),
        (PHOTO, "gaussian-blur:3", "gaussian:3"),
        (PHOTO, "maximum_filter1d:7", "max:7"),
        (PHOTO, "opening:5", "`min:5 | max:5`"),
        (PHOTO, "LoG:2", "laplacian_of_gaussian:2"),
    ],
)
def test_a_hint_shows_the_step_with_values_that_fit(signal: Signal, typed: str, meant: str) -> None:
    with pytest.raises(RequestError) as caught:
        make_plan(typed, signal, Rules(edge="zero", align="center"))
    assert caught.value.hint == f"did you mean {meant}?"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("sma(20)", "write sma:20;"),
        ("sma 20", "write sma:20;"),
        ("highpass 100 | abs", "write highpass:100;"),
        ("rsi,14", "write rsi:14;"),
        ("rolling(20).mean()", "write box:20;"),
        ("ewm(span=12).mean()", "write ema:span=12;"),
        ("ewm(12)", "write ema:span=12;"),
        ("lowpass=f=3000", "write lowpass:3000;"),
        ("gblur=2", "write gaussian:2;"),
        ("resize 800x600", "write resize:800x600;"),
        ("blur 0x2", "write gaussian:2;"),
        ("gain -6", "write gain:-6dB;"),
        ("sinc -3400", "`lowpass:3.4k` is sinc -3.4k of SoX"),
        ("diff 1 2 3", "values follow a colon, as in box:5"),
        ("frobnicate 3", "values follow a colon, as in box:5"),
    ],
)
def test_a_step_in_another_notation_is_shown_as_it_is_written_here(typed: str, told: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse(typed)
    assert told in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("filter", "signal", "told"),
    [
        ("sma:length=20", ROWS, "the value needs no name: sma:20"),
        ("rsi:timeperiod=14", ROWS, "the value needs no name: rsi:14"),
        ("bandpass:300-3400", TALK, "values are separated by commas: bandpass:300,3400"),
        ("mix:0.5,0.5", TALK, "one weight for each: mix:1; `mono` is the mean of all"),
        ("resize:800", PHOTO, "resize:800x is 800 pixels wide"),
        ("last_pool:W", DAYS, "a unit follows a number: 1w"),
        ("last_pool:1week", DAYS, "unknown unit 'week' in '1week'; write 1w"),
        ("last_pool:1ME", DAYS, "write 1mo"),
        ("lowpass:3.4khz", TALK, "write 3.4kHz"),
        ("gain:-6db", TALK, "write -6dB"),
    ],
)
def test_a_value_in_another_notation_is_answered(filter: str, signal: Signal, told: str) -> None:
    with pytest.raises(RequestError) as caught:
        make_plan(filter, signal, Rules(edge="shrink", align="causal"))
    assert told in str(caught.value)


def test_filters_in_answers_compute_what_they_are_called() -> None:
    # The line through the last 14 samples, by NumPy; DEMA and TEMA by pandas; Hull's by its formula.
    x = np.cumsum(np.random.default_rng(5).normal(size=60))
    rows: Any = {"align": "causal", "edge": "missing"}
    windows = np.lib.stride_tricks.sliding_window_view(x, 14)
    slopes, ends = [], []
    for window in windows:
        slope, start = np.polyfit(np.arange(14), window, 1)
        slopes.append(slope)
        ends.append(start + 13 * slope)
    line = filters_in(OTHER_NAMES["linreg"].hint)[0]
    slope_filter = filters_in(OTHER_NAMES["slope"].hint)[0]
    np.testing.assert_allclose(convcli.apply(line, x, **rows)[13:], ends, rtol=1e-10)
    np.testing.assert_allclose(convcli.apply(slope_filter, x, **rows)[13:], slopes, atol=1e-12)
    once = pd.Series(x).ewm(span=9, adjust=False).mean()
    twice = once.ewm(span=9, adjust=False).mean()
    thrice = twice.ewm(span=9, adjust=False).mean()
    averages = {"dema": 2 * once - twice, "tema": 3 * once - 3 * twice + thrice}
    for name, average in averages.items():
        (average_filter,) = filters_in(OTHER_NAMES[name].hint)
        np.testing.assert_allclose(convcli.apply(average_filter, x, **rows), average, rtol=1e-10)
    prices, volumes = x, np.arange(1.0, 61.0)
    pair = pd.DataFrame({"a": prices, "b": volumes})
    mean = convcli.apply(filters_in(OTHER_NAMES["vwap"].hint)[0], pair, edge="missing")
    totals = (pair.a * pair.b).rolling(20).sum() / pair.b.rolling(20).sum()
    np.testing.assert_allclose(mean.to_numpy()[:, 0], totals, rtol=1e-12)
    iqr = convcli.apply(filters_in(OTHER_NAMES["iqr"].hint)[0], x, **rows)
    windows_of_20 = pd.Series(x).rolling(20)
    spread = windows_of_20.quantile(0.75) - windows_of_20.quantile(0.25)
    np.testing.assert_allclose(iqr[19:], spread[19:], rtol=1e-12)
    both = convcli.apply(filters_in(OTHER_NAMES["cov"].hint)[0], pair, edge="missing")
    expected = pair.a.rolling(20).cov(pair.b, ddof=0)
    np.testing.assert_allclose(both.to_numpy()[:, 0], expected, rtol=1e-9)
    weights = {n: np.arange(1, n + 1) / (n * (n + 1) / 2) for n in (4, 8, 16)}
    means = {n: np.convolve(x, weights[n][::-1])[:60] for n in (8, 16)}
    hull = np.convolve(2 * means[8] - means[16], weights[4][::-1])[:60]
    ours = convcli.apply(filters_in(OTHER_NAMES["hma"].hint)[0], x, **rows)
    np.testing.assert_allclose(ours[18:], hull[18:], rtol=1e-12)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("audio x a.wav -o b.wav --bits 16", "--subtype pcm_16 gives"),
        ("audio x a.wav -o b.wav --sample_rate 44100", "`resample:44100`"),
        ("audio x a.wav -o b.wav --overwrite", "--force replaces"),
        ("csv sma:3 a.csv --num-workers=4", "--jobs N"),
        ("learn a.wav b.wav -o c.safetensors --lr 0.1", "--learning-rate"),
        ("learn a.wav b.wav -o c.safetensors --loss l1", "the mean squared error is"),
        # An option that the command has not is not named.
        ("learn a.wav b.wav -o c.safetensors --workers 4", "`convcli learn --help`"),
    ],
)
def test_options_of_other_programs_are_answered(words: str, answer: str) -> None:
    result = program.run(*words.split())
    assert result.code == 2
    assert answer in result.err.partition("hint: ")[2]


@pytest.mark.parametrize("command", OPTIONS_ELSEWHERE)
def test_what_answers_for_options_name_is_there(command: str) -> None:
    usage = program.run(command, "--help").text
    for names, answer in OPTIONS_ELSEWHERE[command].items():
        for option in re.findall(r"--[a-z-]+", answer):
            assert option in usage
        for name in names.split():
            assert f"--{name} " not in usage
        for text in filters_in(answer):
            assert can_filter(text, TALK)


def centred(x: Any, count: int) -> Any:
    """The windows of `count` samples around each one, with zeros outside: those of a filter."""
    after = (count - 1) // 2
    padded = np.pad(x, (count - 1 - after, after))
    return np.lib.stride_tricks.sliding_window_view(padded, count)


def test_gates_compressors_and_limiters_are_answered_with_true_filters() -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal(3000) * np.repeat([0.5, 0.002, 0.1], 1000)
    sound: Any = {"rate": 1000, "edge": "zero", "align": "center"}
    fade = np.hanning(22)[1:-1] / np.hanning(22).sum()

    def level(count: int) -> Any:
        return np.sqrt(np.square(centred(x, count)).mean(axis=1))

    gate, compressor, limiter = (
        convcli.apply(filters_in(OTHER_NAMES[name].hint)[0], x, **sound)
        for name in ("gate", "compressor", "limiter")
    )
    is_open = (level(20) > 0.01).astype(float)
    # Between steps nothing is extended: the ends are those of a signal with zeros beside it.
    inside = slice(30, -30)
    faded = x * (centred(is_open, 20) @ fade)
    np.testing.assert_allclose(gate[inside], faded[inside], atol=1e-12)
    assert np.abs(gate[1030:1970]).max() < 1e-15
    np.testing.assert_allclose(compressor, 0.1 * x / (level(400) + 0.05), atol=1e-12)
    bound = np.maximum(centred(np.abs(x), 25).max(axis=1), 0.5)
    expected = 0.5 * x[inside] / (centred(bound, 20) @ fade)[inside]
    np.testing.assert_allclose(limiter[inside], expected, atol=1e-12)
    assert np.abs(limiter).max() <= 0.5


def test_a_missing_file_suggests_only_a_misspelt_name(tmp_path: Path) -> None:
    for name in ("talk.wav", "b.csv", "report.csv"):
        (tmp_path / name).touch()
    for typed, meant in (
        ("tlak.wav", "talk.wav"),
        ("reprot.csv", "report.csv"),
        ("a.csv", None),
        ("hall.wav", None),
        ("prices.csv", None),
    ):
        with pytest.raises(InputError) as caught:
            check_input(tmp_path / typed)
        expected = None if meant is None else f"did you mean {tmp_path / meant}?"
        assert caught.value.hint == expected


def test_the_text_of_an_error_contains_its_hint() -> None:
    with pytest.raises(RequestError) as caught:
        convcli.apply("box:3 | lowpas:0.1", np.zeros(4))
    assert str(caught.value).splitlines() == [
        "unknown step 'lowpas'",
        "box:3 | lowpas:0.1",
        "        ^",
        "hint: did you mean lowpass:0.1?",
    ]
    assert caught.value.message == "unknown step 'lowpas'"
    assert str(InputError("there is none")) == "there is none"


@pytest.mark.parametrize("name", steps())
def test_the_page_of_a_step_is_free_of_python(name: str) -> None:
    step = find(name)
    assert step.description.startswith(step.help)
    for leaked in (">>>", "array(", "np.", "Raises", "Error"):
        assert leaked not in step.description


def test_a_page_keeps_what_follows_an_exception_or_an_example() -> None:
    assert "Two-dimensional taps need a picture." in find("kernel").description
    assert find("ema").description.endswith("--edge missing leaves out none.")


DEFAULTS = {
    "audio": ("zero; edge where the rate changes without --tail", "center"),
    "csv": ("shrink", "causal"),
    "image": ("edge", "center"),
}


@pytest.mark.parametrize("command", DEFAULTS)
def test_the_help_of_a_command_shows_the_defaults_of_its_own_medium(command: str) -> None:
    page = " ".join(done(command, "--help").text.split())
    edge, align = DEFAULTS[command]
    assert f"What lies outside of the signal. [default: ({edge})]" in page
    assert f"reads no later sample. [default: ({align})]" in page
    for medium in DEFAULTS:
        assert f"for {medium}" not in page


# Words in the help of an option that are true of one command alone.
UNTRUE_WORDS = {
    "explain": ["stay as they are"],
    "learn": ["stay as they are", "Filter the inputs", "--jobs", "calendar (1mo)", "for one input"],
    "detect": ["stay as they are", "Filter the inputs", "calendar (1mo)"],
    "compare": ["stay as they are", "calendar (1mo)", "--by"],
    "csv": ["Filter the inputs"],
}


@pytest.mark.parametrize("command", UNTRUE_WORDS)
def test_the_help_of_shared_options_is_true_of_each_command(command: str) -> None:
    page = " ".join(done(command, "--help").text.split())
    assert [words for words in UNTRUE_WORDS[command] if words in page] == []


@pytest.mark.parametrize(
    ("rate", "number"), [("16k", 16000), ("44100", 44100), ("8kHz", 8000), (8000, 8000)]
)
def test_a_rate_is_a_number_or_a_text(rate: float | str, number: float) -> None:
    x = np.random.default_rng(3).normal(size=300)
    expected = convcli.apply("lowpass:1k", x, rate=number)
    np.testing.assert_array_equal(convcli.apply("lowpass:1k", x, rate=rate), expected)


@pytest.mark.parametrize("rate", ["", "fast", "-8k", "0", "20ms", "nan", "1e400", 0, -1, True])
def test_a_rate_that_is_none_is_refused(rate: float | str) -> None:
    with pytest.raises(RequestError, match="rate expects samples per second") as caught:
        convcli.apply("lowpass:1k", np.zeros(9), rate=rate)
    assert repr(rate) in caught.value.message


def test_python_users_can_have_a_filter_explained() -> None:
    facts = convcli.explain("kernel:1,2,1", [1.0, 2.0, 3.0])
    assert facts.result == (4.0, 8.0, 8.0)
    assert facts.stages[0].sums[1].products == (1.0, 4.0, 3.0)
    assert "explain" in dir(convcli)


OTHER_ORDERS = [
    # the words, and the command that the hint shows
    ("csv sma 3 p.csv", "convcli csv sma:3 p.csv"),
    ("csv p.csv rsi 14", "convcli csv rsi:14 p.csv"),
    ("csv p.csv macd", "convcli csv macd p.csv"),
    ("csv p.csv q.csv lag 1", "convcli csv lag:1 p.csv -o q.csv"),
    ("csv sma:3 p.csv q.csv", "convcli csv sma:3 p.csv -o q.csv"),
    ("csv highpass 0.1 p.csv -o q.csv", "convcli csv highpass:0.1 p.csv -o q.csv"),
    ("csv p.csv q.csv gain -6", "convcli csv gain:-6dB p.csv -o q.csv"),
    ("csv p.csv -blur 0x2 q.csv", "convcli csv gaussian:2 p.csv -o q.csv"),
    ("csv -median 3 p.csv", "convcli csv median:3 p.csv"),
    ("csv '-median 3' p.csv", "convcli csv median:3 p.csv"),
    ("csv p.csv 'sma:3 | diff'", "convcli csv 'sma:3 | diff' p.csv"),
    ("csv sma:3 lag:1 abs p.csv", "convcli csv 'sma:3 | lag:1 | abs' p.csv"),
]


@pytest.mark.parametrize(("words", "command"), OTHER_ORDERS)
def test_words_in_the_order_of_another_program(words: str, command: str, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("v\n1\n2\n3\n4\n")
    ended = program.run(*shlex.split(words), cwd=tmp_path)
    assert ended.code == 2
    assert ended.err.endswith(f": {command}\n")
    again = program.run(*shlex.split(command)[1:], cwd=tmp_path)
    assert again.code == 0, again.err


def test_a_folder_with_the_name_of_a_step_is_an_input(tmp_path: Path) -> None:
    (tmp_path / "mono").mkdir()
    (tmp_path / "mono" / "p.csv").write_text("v\n1\n2\n")
    assert program.run("csv", "sma:2", "mono", "-o", "out/", cwd=tmp_path).code == 0


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("csv sma:3 p.csv -o", "`convcli csv --help` shows"),
        ("learn a.wav b.wav -o m.safetensors --delay", "`convcli learn --help` shows"),
        ("detect a.wav b.wav --top=", "`convcli detect --help` shows"),
        ("detect a.wav -x", "`convcli detect --help` shows"),
        ("compare a.wav -1", "`convcli compare --help` shows"),
        ("csv sma:2 p.csv --na", "`convcli csv --help` shows"),
        ("csv -1,2 p.csv", "a FILTER that begins with a minus stands in parentheses"),
    ],
)
def test_an_error_of_an_option_names_the_help_of_its_command(words: str, hint: str) -> None:
    assert f"hint: {hint}" in program.run(*words.split()).err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        # Click would read the first four as -o utput, -c olumns, -t hreshold and -q -u -a ...
        ("csv sma:2 p.csv -output out.csv", "--output"),
        ("csv sma:2 p.csv -columns=v", "--columns=v"),
        ("detect p.csv p.csv -threshold 0.4", "--threshold"),
        ("image box:3 p.png -quality 90", "--quality"),
        ("csv sma:2 p.csv -edge zero", "--edge"),
        ("explain 1,2,3 1,2 -edge zero", "--edge"),
        ("learn p.csv -taps 3", "--taps"),
        # But ImageMagick has steps that are written so.
        ("image -edge 1 p.csv", "FILTER is one word and comes first: convcli image sobel p.csv"),
        # Dashes, as word processors make them of minus signs.
        ("csv sma:2 p.csv \N{EN DASH}c v", "-c"),
        ("csv sma:2 p.csv \N{EM DASH}columns v", "--columns"),
        ("csv sma:2 p.csv \N{EN DASH}\N{EN DASH}columns v", "--columns"),
        ("csv sma:2 p.csv -edg zero", "did you mean --edge?"),
        ("csv sma:2 p.csv --colums v", "did you mean --columns?"),
        ("filters --reprt", "did you mean --report?"),
        ("explain 1,2,3 1,2 --matrx", "did you mean --matrix?"),
        ("explain --matrx 1,2,3 1,2", "did you mean --matrix?"),
        ("csv sma:2 p.csv -C v", "did you mean -c?"),
        ("detect p.csv p.csv -T 0.3", "did you mean -t?"),
        ("compare p.csv p.csv -o x", "`convcli compare --help` shows what can be asked; short"),
        ("explain 1,2,3 1,2 -e zero", "`convcli explain --help` shows what can be asked; short"),
        # A FILTER that begins with a minus is not meant where there is one already.
        ("csv sma:2 p.csv -x", "`convcli csv --help` shows what can be asked; short options are -"),
        ("csv sma:2 p.csv -5", "`convcli csv --help` shows what can be asked; short options are -"),
        ("csv -c v -x p.csv", "a FILTER that begins with a minus stands in parentheses"),
        ("csv -x p.csv", "a FILTER that begins with a minus stands in parentheses"),
    ],
)
def test_a_misspelt_option_is_answered(words: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("v\n1\n2\n3\n4\n")
    ended = program.run(*words.split(), cwd=tmp_path)
    assert ended.code == 2, ended
    assert f"hint: {hint}" in ended.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.csv"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("detect p.csv p.csv --top x", "Invalid value for '--top': 'x' is not a whole number"),
        ("csv sma:2 p.csv --decimals 1.5", "'1.5' is not a whole number"),
        ("learn p.csv --ridge x", "'x' is not a number"),
    ],
)
def test_a_value_that_is_no_number_is_told_in_plain_words(words: str, told: str) -> None:
    told_here = program.run(*words.split()).err.splitlines()[0]
    assert told in told_here
    assert not re.search(r"\b(int|float|integer|range)\b", told_here)


def test_words_with_minus_signs_that_are_no_options(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("v\n1\n2\n")
    for words in ("explain -1,2 -3,4", "csv gain:-1 -qcv p.csv", "csv gain:2 p.csv --na -x"):
        assert program.run(*words.split(), cwd=tmp_path).code == 0


def test_an_option_that_no_step_stands_for_is_answered(tmp_path: Path) -> None:
    ended = program.run("image", "in.png", "-negate", "out.png", cwd=tmp_path)
    assert ended.code == 2
    assert "hint: `gain:-1` changes the sign" in ended.err
    unknown = program.run("image", "in.png", "-frobnicate", "out.png", cwd=tmp_path)
    assert "`convcli image --help` shows" in unknown.err


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("sma:2 p.csv", "convcli csv sma:2 p.csv"),
        ("sma 2 p.csv", "convcli csv sma:2 p.csv"),
        ("bbands:20 p.csv", "convcli csv bollinger:20 p.csv"),
        ("p.csv lag:1", "convcli csv lag:1 p.csv"),
        ("plot p.csv -c v", "convcli csv box:5 p.csv -c v"),
        ("table sma:2 p.csv -c v", "convcli csv sma:2 p.csv -c v"),
        ("sox p.csv q.csv gain -6", "convcli csv gain:-6dB p.csv -o q.csv"),
        ("convert p.csv -blur 0x2 q.csv", "convcli csv gaussian:2 p.csv -o q.csv"),
    ],
)
def test_a_line_without_a_command_is_answered(words: str, command: str, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("v\n1\n2\n3\n4\n")
    ended = program.run(*shlex.split(words), cwd=tmp_path)
    assert ended.code == 2
    assert ended.err.endswith(f": {command}\n")
    again = program.run(*shlex.split(command)[1:], cwd=tmp_path)
    assert again.code == 0, again.err
