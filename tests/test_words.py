"""What the program says: hints that help, names of other programs, and pages without Python."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from program import done

import convcli
from convcli.core.binding import Rules
from convcli.designs import find, steps
from convcli.designs.elsewhere import ELSEWHERE
from convcli.errors import InputError, RequestError, nearest
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.media.inputs import check_input
from convcli.planning.grammar import parse
from convcli.planning.plan import make_plan
from convcli.signals import TABLE, Signal

if TYPE_CHECKING:
    from pathlib import Path

TALK = Signal(medium=AUDIO, shape=(22050,), channels=("1",), rate=22050.0)
ROWS = Signal(medium=TABLE, shape=(500,), channels=("a",))
PHOTO = Signal(medium=IMAGE, shape=(64, 64), channels=("grey",), full_scale=255.0)
PICTURE_STEPS = ("sobel", "sharpen", "resize", "grey")


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
        ("rsi", "ema"),
        ("hum", "notch"),
        ("denoise", "convcli learn --blind"),
        ("Unsharp-Mask", "unsharp"),
        ("canny", "sobel"),
        ("rolling", "sma"),
        ("frobnicate", "`convcli filters` lists every step"),
    ],
)
def test_names_of_other_programs_are_answered(name: str, told: str) -> None:
    if name.casefold() not in steps():
        assert told in hint_of(name)


def filters_in(hint: str) -> list[str]:
    quoted = re.findall("`([^`]*)`", hint)
    meant = re.findall(r"did you mean (\w+)\?", hint)
    examples = [steps()[find(name).name].example for name in meant]
    written = [each for each in quoted if not each.startswith("convcli")]
    files = ("ir:hall.wav", "kernel:@taps.csv")
    return [each for each in [*written, *examples] if each not in files]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_every_filter_in_an_answer_can_be_used(name: str) -> None:
    hint = ELSEWHERE[name]
    assert len(hint) < 110
    for text in filters_in(hint):
        called = parse(text)[0].name
        signal = ROWS if re.search(r"[:,]0\.\d", text) else TALK
        if called in PICTURE_STEPS:
            signal = PHOTO
        if called not in ("ir", "model"):
            make_plan(text, signal, Rules(edge="zero", align="center"))


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
        "hint: did you mean lowpass?",
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
    "audio": ("zero; edge where the rate changes", "center"),
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
