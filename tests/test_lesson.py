"""Pages of `explain --report` and `--course`: they play, and what is edited is computed anew."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from browser import browser, needs_chromium, opened, unread
from program import run
from soundfile import SoundFile

from convcli import apply
from convcli.layers.weights import encode_weights
from convcli.report.explained import _indexed_trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from program import Program


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def course(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("course")
    ended = program.run("explain", "--course", "course.html", cwd=folder)
    assert ended.code == 0, ended
    return folder / "course.html"


def report(program: Program, folder: Path, *words: str) -> Path:
    ended = program.run("explain", *words, "--report", "page.html", "--force", cwd=folder)
    assert ended.code == 0, ended
    return folder / "page.html"


def row(page: Any, kind: str) -> list[str]:
    """The numbers in the first row of a kind."""
    script = """kind => [...document.querySelector(`.row.${kind}`).querySelectorAll('.cell')]
        .map(cell => cell.querySelector('input')?.value ?? cell.textContent)"""
    cells: list[str] = page.evaluate(script, kind)
    return [text for text in cells if text]


def sums(page: Any) -> str:
    """The sum in words, with a star between a weight and a sample."""
    text: str = page.locator(".sum").inner_text()
    return text.replace("\N{MULTIPLICATION SIGN}", "*")


def last_outputs(page: Any) -> list[float]:
    """The outputs of the last stage."""
    cells = page.locator(".row.output").last.locator(".cell:not(.blank)")
    return [float(text) for text in cells.all_inner_texts()]


def edit(page: Any, label: str, value: str) -> None:
    field = page.get_by_label(label, exact=True).first
    field.fill(value)
    field.press("Tab")


@needs_chromium
def test_the_kernel_moves_and_what_is_edited_is_computed(
    chromium: Any, program: Program, tmp_path: Path
) -> None:
    path = report(program, tmp_path, "1,2,3,4,5", "1,2,1")
    with opened(chromium, path) as shown:
        page = shown.page
        assert sums(page) == "y[0] = 1 * 0 + 2 * 1 + 1 * 2 = 4"
        page.get_by_role("button", name="Step").click()
        assert sums(page) == "y[1] = 1 * 1 + 2 * 2 + 1 * 3 = 8"
        page.get_by_label("position of the output").fill("4")
        assert sums(page) == "y[4] = 1 * 4 + 2 * 5 + 1 * 0 = 14"
        assert row(page, "output") == ["4", "8", "12", "16", "14"]
        edit(page, "tap 0", "-1")
        edit(page, "input x 0 2", "10")
        expected = apply("correlate:-1,2,1", np.array([1.0, 2, 10, 4, 5]))
        assert row(page, "output") == [f"{value:g}" for value in expected]
        page.get_by_role("button", name="Play").click()
        page.get_by_role("button", name="Pause").click()
        assert shown.said == []
        assert shown.fetched == [path.as_uri()]


@needs_chromium
@pytest.mark.parametrize("edge", ["zero", "edge", "reflect", "symmetric", "wrap", "shrink"])
def test_the_script_computes_what_the_filters_do(
    chromium: Any, program: Program, tmp_path: Path, edge: str
) -> None:
    steps = "kernel:1,2,3,4 | relu | max_pool:2"
    path = report(program, tmp_path, "1,-2,3,5,-4,2,7", steps, "--edge", edge)
    with opened(chromium, path) as shown:
        edit(shown.page, "input x 0 3", "-6")
        place: Any = edge
        expected = apply(steps, np.array([1.0, -2, 3, -6, -4, 2, 7]), edge=place)
        assert last_outputs(shown.page) == pytest.approx(expected.tolist(), rel=1e-3)


@needs_chromium
def test_the_sum_of_known_samples_is_right_arithmetic(
    chromium: Any, program: Program, tmp_path: Path
) -> None:
    """At the edge the mean of three is the mean of those that exist."""
    path = report(program, tmp_path, "6,1,5", "sma:3", "--edge", "shrink", "--align", "causal")
    with opened(chromium, path) as shown:
        assert sums(shown.page) == "y[0] = 1 * 6 = 6"
        shown.page.get_by_role("button", name="Step").click()
        assert sums(shown.page) == "y[1] = (1 * 6 + 1 * 1) / 2 = 3.5"
        shown.page.get_by_role("button", name="Step").click()
        assert sums(shown.page) == "y[2] = (1 * 6 + 1 * 1 + 1 * 5) / 3 = 4"


@needs_chromium
def test_long_numbers_fit_their_cells(chromium: Any, program: Program, tmp_path: Path) -> None:
    path = report(program, tmp_path, "-0.00234567,12345.678,1e-9,-0.04797", "0.123456,-1e6,3")
    fits = """() => [...document.querySelectorAll('.row .cell')].filter(cell => {
        const field = cell.querySelector('input') ?? cell;
        return field.scrollWidth > field.clientWidth + 1}).length"""
    with opened(chromium, path) as shown:
        assert shown.page.evaluate(fits) == 0


@needs_chromium
@needs_chromium
def test_long_numbers_of_planes_fit_their_cells(
    chromium: Any, program: Program, tmp_path: Path
) -> None:
    words = ("1,2,3;4,5,6;7,8,9", "gaussian:1")
    script = """() => [...document.querySelectorAll('.plane.kernel .cell')].map(cell => {
        const style = getComputedStyle(cell), pen = document.createElement('canvas').getContext('2d');
        pen.font = style.font;
        pen.letterSpacing = style.letterSpacing;
        const text = cell.querySelector('input')?.value ?? cell.textContent;
        return [text, pen.measureText(text).width, cell.clientWidth]; })"""
    with opened(chromium, report(program, tmp_path, *words)) as shown:
        cells = shown.page.evaluate(script)
        assert any(len(text) == 7 for text, _, _ in cells)
        assert [text for text, width, room in cells if width > room] == []


def test_kernels_that_hold_values_are_edited_only_where_nothing_is_missing(
    chromium: Any, program: Program, tmp_path: Path
) -> None:
    for signal, edge, fields in (
        ("1,2,3,4", "zero", 7),
        ("1,2,3,4", "shrink", 0),
        ("1,,3,4", "zero", 0),
    ):
        path = report(program, tmp_path, signal, "2,-1,0.5", "--edge", edge)
        with opened(chromium, path) as shown:
            assert shown.page.locator("input[type=number]").count() == fields
            if fields:
                edit(shown.page, "input x 0 1", "")
                expected = apply("kernel:2,-1,0.5", np.array([1.0, 0, 3, 4]))
                assert row(shown.page, "output") == [f"{value:g}" for value in expected]


@needs_chromium
def test_layers_of_several_channels(chromium: Any, program: Program, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = {"0.weight": rng.integers(-3, 4, (2, 3, 2)).astype(float), "0.bias": np.ones(2)}
    (tmp_path / "m.safetensors").write_bytes(
        encode_weights(weights, {"layers": "conv | leaky_relu:0.1"})
    )
    signal = "1,2,3,4/0,1,0,2/5,1,1,0"
    words = (signal, "model:m.safetensors", "--edge", "valid")
    path = report(program, tmp_path, *words)
    told = program.run("explain", *words, "--format", "json", cwd=tmp_path)
    facts = json.loads(told.out)
    with opened(chromium, path) as shown:
        rows = shown.page.locator(".row.output")
        for number, values in enumerate(facts["result"]):
            cells = rows.nth(2 + number).locator(".cell:not(.blank)").all_inner_texts()
            assert [float(text) for text in cells] == pytest.approx(values, rel=1e-3)
        edit(shown.page, "tap 0", "0")
        assert shown.said == []


@needs_chromium
def test_a_picture(chromium: Any, program: Program, tmp_path: Path) -> None:
    path = report(program, tmp_path, "1,2,3;4,5,6;7,8,9", "0,1,0;1,-4,1;0,1,0")
    with opened(chromium, path) as shown:
        edit(shown.page, "input x 1 1", "0")
        cells = shown.page.locator(".plane.output .cell").all_inner_texts()
        x = np.array([[1.0, 2, 3], [4, 0, 6], [7, 8, 9]])
        expected = apply("kernel:0,1,0;1,-4,1;0,1,0", x, axes=2)
        assert [float(text) for text in cells] == expected.ravel().tolist()


@needs_chromium
def test_the_receptive_field(chromium: Any, program: Program, tmp_path: Path) -> None:
    path = report(program, tmp_path, "1,2,3,4,5,6,7,8", "box:3 | max_pool:2 | diff")
    with opened(chromium, path) as shown:
        dots = shown.page.locator(".field .row").last.locator("button")
        dots.nth(2).hover()
        # Difference of the pools of samples 4, 5 and 2, 3, and a neighbour at both sides.
        told = shown.page.locator(".field .sum").inner_text()
        assert told == "It reads 6 samples of the signal: 1 to 6."


@needs_chromium
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_the_course_on_screens(chromium: Any, course: Path, width: int, scheme: str) -> None:
    with opened(chromium, course, width=width, scheme=scheme) as shown:
        assert shown.page.evaluate("document.documentElement.dataset.ready") == "yes"
        assert not shown.too_wide
        assert shown.page.locator(".stage").count() > 5
        assert unread(shown.page) == []
        assert shown.page.locator(".chart").count() >= 3
        assert shown.said == []
        assert shown.fetched == [course.as_uri()]


def test_the_course_follows_the_lecture(course: Path) -> None:
    page = course.read_text()
    titles = re.findall(r"<h2>\d+\. (.*?)</h2>", page)
    assert len(titles) == 16
    assert len(page) < 1_000_000
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page
    for command in ("--property shift", "--symbolic", "--continuous", "equinox "):
        assert command in page


def test_the_page_of_a_long_signal_is_small(program: Program, tmp_path: Path) -> None:
    """A curve is drawn by the extremes of bins, so its highest point stays."""
    x = np.sin(np.arange(30_000) / 50)
    x[12_345] = 7
    np.save(tmp_path / "x.npy", x)
    page = report(program, tmp_path, "@x.npy", "box:1 | gain:1", "--limit", "1").read_text()
    assert len(page) < 300_000
    trace = _indexed_trace("", "", tuple(x.tolist()), 0)
    assert len(trace.points) < 4001
    assert max(trace.points, key=lambda point: point[1]) == (12_345.0, 7.0)


def test_text_from_files_is_escaped(program: Program, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    (tmp_path / "t.csv").write_text(f"{evil}\n1\n2\n3\n")
    path = report(program, tmp_path, "t.csv", "sma:2", "-c", evil)
    page = path.read_text()
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert "alert(1)" in page


# A name that would leave the code block of a Markdown page, colour a terminal, and be markup of rich.
HOSTILE = "\x1b[31m[red]a<script>alert(1)</script>"


@pytest.mark.parametrize("suffix", [".html", ".md"])
def test_names_of_columns_and_files_cannot_act(
    program: Program, tmp_path: Path, suffix: str
) -> None:
    """In what `explain` and `filters` write, and in a report on a sound with such tags."""
    recipe = "a\n" + HOSTILE.replace("/", "_")
    (tmp_path / "t.csv").write_text(f'"{HOSTILE}"\n1\n2\n3\n')
    (tmp_path / recipe).write_text("box:3 | diff\n")
    tagged = tmp_path / "tagged.flac"
    with SoundFile(tagged, "w", 8000, 1, format="FLAC") as sound:
        sound.title = sound.artist = "<script>alert(1)</script>"
        sound.write(np.zeros(800))
    page = f"page{suffix}"
    for words in (
        ("explain", "@t.csv", "box:3", "-c", HOSTILE),
        ("explain", "1,2,3,4", f"@{recipe}"),
        ("filters", f"@{recipe}"),
        ("audio", "box:3", tagged, "-o", "o.flac"),
    ):
        ended = program.run(*map(str, words), "--report", page, "--force", cwd=tmp_path)
        assert ended.code == 0, ended
        written = (tmp_path / page).read_text()
        text = written.replace("\\<", "")
        assert "\x1b" not in ended.text + ended.err + text
        outside = [line for line in text.splitlines() if not line.startswith("    ")]
        assert "<script>alert" not in "\n".join(outside)
        if suffix == ".html":
            assert "<script>alert" not in text


def test_a_terminal_shows_a_hostile_name_as_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f'"{HOSTILE}",b\n1,2\n3,4\n')
    words = ("explain", "@t.csv", "box:2 | abs", "-c", f"{HOSTILE},b")
    ended = run(*words, cwd=tmp_path, env=os.environ | {"FORCE_COLOR": "1"})
    assert ended.code == 0, ended
    assert r"\x1b[31m[red]a<script>" in ended.text
    assert "\x1b[31m" not in ended.text


@needs_chromium
@pytest.mark.parametrize(
    ("plane", "filter"),
    [(False, "x - box:3 | abs"), (True, "x - box:3 | abs"), (False, "abs | x - box:3 | abs")],
)
def test_branches_are_played_and_follow_the_signal(
    chromium: Any, program: Program, tmp_path: Path, *, plane: bool, filter: str
) -> None:
    signal = "1,2,3,4;4,3,2,1;1,2,3,4" if plane else "1,2,3,4"
    path = report(program, tmp_path, signal, filter)
    x = np.array([[float(number) for number in line.split(",")] for line in signal.split(";")])
    x = x if plane else x[0]
    with opened(chromium, path) as shown:
        page = shown.page
        assert page.locator(".branch").count() == 1
        page.locator(".demo > .stage").first.get_by_label("input x 0 1", exact=True).fill("9")
        page.keyboard.press("Tab")
        x[(0, 1) if plane else 1] = 9
        green = "figure.output .cell" if plane else ".row.output .cell:not(.blank)"
        cells = page.locator(f".branch {green}").all_text_contents()
        expected = apply("box:3", x, axes=x.ndim).ravel()
        assert [float(text) for text in cells] == pytest.approx(expected, rel=1e-3)
        last = page.locator(".demo > .stage").last.locator(green).all_text_contents()
        expected = apply(filter, x, axes=x.ndim).ravel()
        assert [float(text) for text in last] == pytest.approx(expected, rel=1e-3, abs=1e-3)
        dots = page.locator(".demo > .field .row").last.locator("button")
        dots.first.hover()
        told = page.locator(".demo > .field .sum").inner_text()
        assert ("3 \N{MULTIPLICATION SIGN} 3" if plane else "reads 3 samples") in told
        assert shown.said == []


@needs_chromium
def test_a_transposed_convolution_is_played(
    chromium: Any, program: Program, tmp_path: Path
) -> None:
    """What the copies up to the current input add up to follows the numbers that are edited."""
    tensors = {"0.weight": np.ones((1, 1, 1)), "1.weight": np.array([[[1.0, 2, 3]]])}
    (tmp_path / "m.safetensors").write_bytes(encode_weights(tensors, {}))
    model = 'model:m.safetensors,layers="conv | conv_transpose:stride=2"'
    with opened(chromium, report(program, tmp_path, "1,2,3", model)) as shown:
        page = shown.page
        outputs = page.locator(".stage").last.locator(".row.output .cell")
        assert outputs.all_text_contents() == ["1", "2", "3", "0", "0", "0", "0"]
        edit(page, "input x 0 1", "10")
        page.get_by_label("position of the input").fill("1")
        assert outputs.all_text_contents() == ["1", "2", "13", "20", "30", "0", "0"]
        page.locator(".demo > .field .row").last.locator("button").nth(2).hover()
        assert "reads 2 samples of the signal: 0 to 1" in page.locator(".field .sum").inner_text()
        assert shown.said == []


def test_other_formats_and_refusals(program: Program, tmp_path: Path) -> None:
    def run(*words: str) -> Any:
        return program.run("explain", *words, cwd=tmp_path)

    assert run("1,2,3", "1,1", "--report", "p.json").code == 0
    facts = json.loads((tmp_path / "p.json").read_text())
    assert facts["result"] == [1, 3, 5]
    # The shape is that of all reports.
    assert (facts["schema"], len(facts["runs"]), facts["runs"][0]["result"]) == (1, 1, [1, 3, 5])
    assert facts["command"] == ["convcli", "explain", "1,2,3", "1,1"]
    (tmp_path / "a\nb.csv").write_text("x\n1\n2\n")
    assert run("a\nb.csv", "1,1", "-c", "x", "--report", "lines.json").code == 0
    facts = json.loads((tmp_path / "lines.json").read_text())
    assert facts["command"] == ["convcli", "explain", "a\nb.csv", "1,1", "-c", "x"]
    assert run("1,2,3", "1,1", "--report", "p.md").code == 0
    assert "    result  1, 3, 5\n" in (tmp_path / "p.md").read_text()
    for words, told in (
        (("1,2,3", "1,1", "--report", "p.md"), "--force"),
        (("1,2,3", "1,1", "--report", "p.pdf"), ".html"),
        (("--course", "p.txt"), "lecture.html"),
        (("1,2,3", "--course", "p.html"), "leave SIGNAL and KERNEL out"),
        (("1,2,3",), "expected SIGNAL and KERNEL"),
    ):
        ended = run(*words)
        assert (ended.code, len(ended.errors)) == (2, 1)
        assert told in ended.err


@needs_chromium
@pytest.mark.parametrize(
    "steps", ["median:3 | max_pool:2", "std:3", "(x - box:3) / std:3", "rms:2"]
)
def test_windows_can_be_edited(chromium: Any, program: Program, tmp_path: Path, steps: str) -> None:
    path = report(program, tmp_path, "1,5,2,8,3,9,1", steps, "--edge", "edge")
    with opened(chromium, path) as shown:
        shown.page.locator("[aria-label='input x 0 3']").last.fill("-4")
        shown.page.keyboard.press("Enter")
        expected = apply(steps, np.array([1.0, 5, 2, -4, 3, 9, 1]), edge="edge")
        assert last_outputs(shown.page) == pytest.approx(expected.tolist(), rel=1e-3)


@needs_chromium
def test_a_layer_that_mirrors_its_input_does_so_after_an_edit(
    chromium: Any, program: Program, tmp_path: Path
) -> None:
    layers = "conv:padding=2,padding_mode=reflect"
    weights = {"0.weight": np.array([[[1.0, 2, 3]]])}
    (tmp_path / "m.safetensors").write_bytes(encode_weights(weights, {"layers": layers}))
    path = report(program, tmp_path, "1,2,3,4,5,6", "model:m.safetensors")
    with opened(chromium, path) as shown:
        assert row(shown.page, "input") == ["3", "2", "1", "2", "3", "4", "5", "6", "5", "4"]
        edit(shown.page, "input x 0 1", "7")
        padded = np.pad([1.0, 7, 3, 4, 5, 6], 2, mode="reflect")
        expected = np.correlate(padded, [1.0, 2, 3], mode="valid")
        assert [float(text) for text in row(shown.page, "output")] == expected.tolist()


# Layers, their weights, and a signal of one channel.
MOVED: list[tuple[str, dict[str, Any]]] = [
    ("conv | pixel_shuffle:3", {"0.weight": [[[1.0, 2]], [[3, -1]], [[0, 5]]]}),
    (
        "conv | pixel_shuffle:2 | conv",
        {"0.weight": [[[1.0, 2]], [[3, -1]]], "2.weight": [[[1.0, -3, 2]]]},
    ),
    ("conv | upsample:2 | conv", {"0.weight": [[[1.0, 2]]], "2.weight": [[[1.0, -3, 2]]]}),
    ("pad:2,mode=reflect | conv", {"1.weight": [[[1.0, 2, 4]]]}),
    ("pad:1 | conv", {"1.weight": [[[1.0, 2, 4]]]}),
    ("conv | upsample:3,mode=linear", {"0.weight": [[[1.0, 2]]]}),
    ("conv | avg_pool:3,stride=2,padding=1", {"0.weight": [[[1.0, 2]]]}),
]


@needs_chromium
@pytest.mark.parametrize(("layers", "weights"), MOVED)
def test_layers_that_move_samples_are_played_and_computed(
    chromium: Any, program: Program, tmp_path: Path, layers: str, weights: dict[str, Any]
) -> None:
    """An output of a padding, a shuffle or a repetition is one sample, and the page says which."""
    named = {name: np.array(values, dtype=float) for name, values in weights.items()}
    (tmp_path / "m.safetensors").write_bytes(encode_weights(named, {"layers": layers}))
    path = report(program, tmp_path, "1,2,4,-3,5,6,9", "model:m.safetensors")
    with opened(chromium, path) as shown:
        for number, slider in enumerate(shown.page.get_by_role("slider").all()):
            for place in range(int(slider.get_attribute("max") or 0) + 1):
                slider.fill(str(place))
                told = shown.page.locator(".stage > .sum").nth(number).inner_text()
                copied = re.fullmatch(r"y\[\d+\]: .* of (\S+) = (\S+)", told)
                assert copied is None or copied[1] == copied[2]
        edit(shown.page, "input x 0 1", "7")
        x = np.array([1.0, 7, 4, -3, 5, 6, 9])
        expected = apply(f"model:{tmp_path / 'm.safetensors'}", x)
        assert last_outputs(shown.page) == pytest.approx(expected.tolist(), rel=1e-3)
        assert shown.said == []


@needs_chromium
def test_the_receptive_field_of_repeated_samples(
    chromium: Any, program: Program, tmp_path: Path
) -> None:
    weights = {"0.weight": np.array([[[1.0, 2, 3]]])}
    layers = {"layers": "conv | upsample:2"}
    (tmp_path / "m.safetensors").write_bytes(encode_weights(weights, layers))
    path = report(program, tmp_path, "1,2,3,4,5,6,7", "model:m.safetensors")
    with opened(chromium, path) as shown:
        shown.page.get_by_label("output 9 of upsample:2", exact=True).hover()
        assert (
            "It reads 3 samples of the signal: 3 to 5." in shown.page.locator(".field").inner_text()
        )


@needs_chromium
def test_what_cannot_be_edited_says_so(chromium: Any, program: Program, tmp_path: Path) -> None:
    path = report(program, tmp_path, "1,5,2,8,3", "hampel:3")
    with opened(chromium, path) as shown:
        assert shown.page.locator("input[type=number]").count() == 0
        assert "this page does not compute hampel:3." in shown.page.locator("main").inner_text()


@needs_chromium
def test_a_keyboard_keeps_its_place_and_a_reader_hears_the_sum(
    chromium: Any, program: Program, tmp_path: Path
) -> None:
    path = report(program, tmp_path, "1,2,3,4,5", "1,2,1 | relu")
    with opened(chromium, path) as shown:
        page = shown.page
        page.evaluate("window.sum = document.querySelector('.sum')")
        page.get_by_label("input x 0 1", exact=True).fill("9")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.ariaLabel") == "input x 0 2"
        page.get_by_label("position of the output").first.press("ArrowRight")
        assert page.evaluate("window.sum.isConnected && window.sum.ariaLive") == "polite"
        slider = page.get_by_label("position of the output").first
        assert slider.get_attribute("aria-valuetext") == page.locator(".sum").first.inner_text()
        # The outputs that are still to come are not read out.
        cells = page.locator(".row.output").first.locator(".cell:not(.blank)")
        hidden = [cells.nth(i).get_attribute("aria-hidden") for i in range(5)]
        assert hidden == [None, None, "true", "true", "true"]
        field = page.locator(".field")
        assert field.locator("[tabindex='0']").count() == 1
        field.locator("[tabindex='0']").focus()
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
        assert page.evaluate("document.activeElement.ariaLabel") == "output 1 of kernel:1,2,1"
        assert "It reads 3 samples of the signal: 0 to 2." in field.inner_text()


@needs_chromium
def test_a_long_kernel_is_followed_and_its_sum_is_short(
    chromium: Any, program: Program, tmp_path: Path
) -> None:
    numbers = ",".join(map(str, range(1, 31)))
    path = report(program, tmp_path, numbers, "gaussian:8")
    script = """() => {
        const scroll = document.querySelector('.scroll').getBoundingClientRect();
        const now = document.querySelector('.output .now').getBoundingClientRect();
        return now.left >= scroll.left && now.right <= scroll.right;
    }"""
    with opened(chromium, path, width=390) as shown:
        assert shown.page.evaluate(script)
        shown.page.get_by_label("position of the output").fill("29")
        assert shown.page.evaluate(script)
        assert len(sums(shown.page)) < 150
        assert sums(shown.page).endswith(", the sum of 65 products")
        # The whole sum is folded below the short one.
        whole = shown.page.locator("details:has(.whole)")
        assert whole.get_attribute("open") is None
        products = whole.locator(".whole").text_content().split(" = ")[1]
        assert products.count("\N{MULTIPLICATION SIGN}") == 30
        # The controls and the drawing come before it, on one screen.
        tops = shown.page.evaluate(TOPS)
        assert tops == sorted(tops)
        assert tops[-1] < 844
        assert shown.page.evaluate(COVERED)
        shown.page.get_by_label("input x 0 1", exact=True).fill("0")
        assert unread(shown.page) == []


# Where the controls, the drawing and the sum in words begin.
TOPS = """['.controls', '.stage .scroll', '.sum'].map(
    part => document.querySelector(part).getBoundingClientRect().top)"""
# Whether the name of each row is as high as its cells, which are scrolled behind it.
COVERED = """[...document.querySelectorAll('.row')].every(row => {
    const label = row.querySelector('.label').getBoundingClientRect();
    const cells = [...row.querySelectorAll('.cell')].map(cell => cell.getBoundingClientRect());
    return cells.every(cell => label.top <= cell.top && label.bottom >= cell.bottom);
})"""
# Texts of the rows that are printed, by kind.
PRINTED = """kind => [...document.querySelectorAll(`.band .${kind}`)]
    .filter(row => row.checkVisibility())
    .flatMap(row => [...row.querySelectorAll('.cell:not(.blank)')])
    .map(cell => cell.querySelector('input')?.value ?? cell.textContent)"""


@needs_chromium
def test_a_lesson_on_paper(chromium: Any, program: Program, tmp_path: Path) -> None:
    """Wide rows are cut into bands of columns, without those that add nothing, and end after it."""
    numbers = ",".join(map(str, range(1, 31)))
    path = report(program, tmp_path, numbers, "gaussian:8")
    with opened(chromium, path, width=680, scheme="dark") as shown:
        page = shown.page
        edit(page, "input x 0 29", "7")
        drawn = row(page, "output")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print", color_scheme="dark")
        assert not shown.too_wide
        assert not page.locator(".controls").is_visible()
        assert not page.locator(".scroll").is_visible()
        assert page.evaluate(PRINTED, "output") == drawn
        # 33 columns with the signal and three beside it of the 94 columns of its extension.
        indices = page.evaluate(PRINTED, "index")
        assert len(indices) % 11 == 0
        assert {str(index) for index in range(30)} <= set(indices)
        assert len(indices) < 60
        assert "Columns that lie outside" in page.locator(".bands").inner_text()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == WHITE
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator(".bands").count() == 0
        assert page.locator("[aria-label='input x 0 29']").input_value() == "7"


WHITE = "rgb(255, 255, 255)"


@needs_chromium
def test_play_steps_without_motion(chromium: Any, program: Program, tmp_path: Path) -> None:
    with opened(chromium, report(program, tmp_path, "1,2,3,4,5", "1,2,1")) as shown:
        page = shown.page
        page.emulate_media(reduced_motion="reduce")
        page.clock.install()
        page.get_by_role("button", name="Play").click()
        page.clock.run_for(1500)
        assert page.get_by_label("position of the output").input_value() == "2"
        assert page.evaluate("document.getAnimations().length") == 0
