"""`--plot`, `--mark` and drawings in the terminal."""

from __future__ import annotations

import json
import re
from importlib import util
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from program import SAMPLES
from pyvips import Image

import convcli
from convcli.cli import main
from convcli.core.binding import Rules
from convcli.layers.weights import encode_weights
from convcli.media.images.medium import IMAGE
from convcli.planning.describe import drawn_facts
from convcli.planning.plan import make_plan
from convcli.report import plots
from convcli.report.braille import braille, drawing_lines, kernel_lines
from convcli.report.charts import Axis, Graph, Trace
from convcli.report.figures import Figure, design_figures, overlay_figures
from convcli.signals import Signal

if TYPE_CHECKING:
    from pathlib import Path

needs_matplotlib = pytest.mark.skipif(
    util.find_spec("matplotlib") is None, reason="matplotlib is not installed"
)


def refusal(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    return capsys.readouterr().err


# Plots


@needs_matplotlib
@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["audio", "lowpass:3.4k"], "hello.wav"),
        (["csv", "sma:20", "--by", "symbol"], "stocks.csv"),
        (["image", "gaussian:2"], "cat.png"),
    ],
)
def test_plots_of_each_medium(tmp_path: Path, words: list[str], name: str) -> None:
    source = SAMPLES / name
    out, plot = tmp_path / f"out{source.suffix}", tmp_path / "plot.png"
    run = [*words, str(source), "-o", str(out), "-q", "--plot", str(plot)]
    assert main(run) == 0
    assert Image.new_from_file(str(plot)).width == 1500


@needs_matplotlib
@pytest.mark.parametrize("cells", ["1e308 -1e308 2", "5e-324 0 1.5e-323", "", "inf -inf 1e305"])
def test_a_plot_of_extreme_tables(cells: str, tmp_path: Path) -> None:
    """A table without rows is drawn as words, and its output is its header."""
    table, out, plot, page = (tmp_path / name for name in ("a.csv", "o.csv", "p.svg", "r.html"))
    table.write_text("\n".join(["x", *cells.split(), ""]))
    run = ["csv", "sma:2", str(table), "-c", "x", "-o", str(out), "-q"]
    assert main([*run, "--plot", str(plot), "--report", str(page)]) == 0
    assert plot.read_text().startswith("<?xml")
    assert page.exists()
    if not cells:
        assert out.read_text() == "x\n"


@needs_matplotlib
def test_a_plot_shows_the_numbers_of_the_engine(tmp_path: Path) -> None:
    """The path of a line in an SVG lies where the impulse response of `apply` says."""
    plot = tmp_path / "plot.svg"
    assert main(["filters", "triangle:9", "kernel:1,-1", "--plot", str(plot)]) == 0
    text = plot.read_text()
    assert "triangle:9" in re.sub(r"<!-- (.*?) -->", r"\1", text)
    impulse = np.zeros(21)
    impulse[10] = 1
    expected = convcli.apply("triangle:9", impulse)
    chart = Graph(
        title="",
        x=Axis(low=-10.0, high=10.0),
        y=Axis(low=0.0, high=1.0),
        traces=[Trace(name="", style="after", points=list(enumerate(expected, -10)))],
    )
    with plots._quiet_matplotlib():
        drawing = plots._drawn([[Figure(caption="", chart=chart)]], "")
    (line,) = drawing.subfigs[0].axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), expected)


@needs_matplotlib
@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_a_drawing_has_the_same_bytes_every_time(tmp_path: Path, suffix: str) -> None:
    made = []
    for name in "ab":
        plot = tmp_path / f"{name}{suffix}"
        assert main(["filters", "sobel", "--plot", str(plot)]) == 0
        made.append(plot.read_bytes())
    assert made[0] == made[1]


@needs_matplotlib
def test_names_with_dollars_and_signs_are_drawn(tmp_path: Path) -> None:
    table = tmp_path / "$x_{$.csv"
    table.write_text("$a^$,\u6f22\n1,2\n2,3\n")
    words = ["csv", "sma:2", str(table), "-o", str(tmp_path / "o.csv"), "-q"]
    assert main([*words, "--plot", str(tmp_path / "p.png")]) == 0


def test_refused_plots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hello, talk = SAMPLES / "hello.wav", SAMPLES / "talk.wav"
    words = ["audio", "box:3", hello, "-o", tmp_path / "o.wav", "--plot"]
    assert "expected a drawing named .png, .svg or .pdf" in refusal(capsys, *words, "p.jpg")
    (tmp_path / "p.png").write_text("mine")
    assert "exists already" in refusal(capsys, *words, tmp_path / "p.png")
    several = ["audio", "box:3", hello, talk, "-o", f"{tmp_path}/out/", "--plot", "p.png"]
    assert "--plot draws one input" in refusal(capsys, *several)
    assert "--plot needs a step" in refusal(capsys, "filters", "--plot", tmp_path / "q.png")
    monkeypatch.setattr(plots, "find_spec", lambda _: None)
    told = refusal(capsys, *words, tmp_path / "q.png")
    assert "pip install 'convcli[plot]'" in told
    assert not (tmp_path / "o.wav").exists()


def test_a_page_about_filters(tmp_path: Path) -> None:
    page, facts = tmp_path / "page.html", tmp_path / "facts.json"
    words = ["filters", "lowpass:0.1 | box:3", "sobel"]
    assert main([*words, "--report", str(page)]) == 0
    text = page.read_text()
    assert "the whole chain: lowpass:0.1 | box:3" in text
    assert "of the first of 2 sets of taps" in text
    assert main([*words, "--report", str(facts)]) == 0
    told = json.loads(facts.read_text())
    assert told["schema"] == 1
    assert [run["steps"] is None for run in told["runs"]] == [True, False]


def test_a_page_about_all_steps(tmp_path: Path) -> None:
    from convcli.designs import steps

    page, facts = tmp_path / "page.html", tmp_path / "facts.json"
    assert main(["filters", "--report", str(page)]) == 0
    assert main(["filters", "--report", str(facts)]) == 0
    text = page.read_text()
    assert len(text) < 3_000_000
    assert text.count("<details class=") == len(steps())
    assert "Impulse response of gaussian:1.5" in text
    told = json.loads(facts.read_text())["runs"]
    assert [run["usage"]["name"] for run in told] == list(steps())


# Marks


@needs_matplotlib
def test_the_axes_of_a_plot_have_the_texts_of_pages() -> None:
    from matplotlib.figure import Figure as Canvas

    day = 86400.0
    axes = Canvas().subplots()
    years = Axis(low=0, high=3 * 365 * day, timed=True)
    chart = Graph(title="", x=years, y=Axis(low=0, high=40_000), width=360)
    plots._draw_chart(axes, chart)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1970", "1971", "1972"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0", "10k", "20k", "30k", "40k"]


@needs_matplotlib
def test_marks(tmp_path: Path) -> None:
    eye, mark, page = tmp_path / "eye.png", tmp_path / "mark.png", tmp_path / "page.html"
    cat = SAMPLES / "cat.png"
    Image.new_from_file(str(cat)).crop(150, 60, 60, 50).write_to_file(str(eye))
    words = ["detect", str(eye), str(cat), "--mark", str(mark), "--report", str(page), "-q"]
    assert main(words) == 0
    drawn = Image.new_from_file(str(mark)).numpy()[..., :3].astype(int)
    framed = np.abs(drawn - [255, 176, 0]).max(axis=2) < 8
    assert framed.sum() > 400
    # The frame has the sides of the template.
    rows, columns = np.flatnonzero(framed.any(axis=1)), np.flatnonzero(framed.any(axis=0))
    height, width = np.ptp(rows), np.ptp(columns)
    assert width / height == pytest.approx(60 / 50, rel=0.05)
    (box,) = re.findall(r'<rect class="box" x="(.*?)" y="(.*?)" width="(.*?)"', page.read_text())
    assert [float(number) for number in box] == pytest.approx(
        [150 / 451 * 10_000, 60 / 300 * 10_000, 60 / 451 * 10_000], abs=0.1
    )


@needs_matplotlib
def test_marks_lie_on_the_pixels_of_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drawing has the pixels of a PNG themselves, and so has a page if they are enlarged."""
    small = Image.new_from_file(str(SAMPLES / "cat.png")).crop(130, 80, 40, 30)
    small.pngsave(str(tmp_path / "small.png"))
    small.crop(5, 4, 12, 9).pngsave(str(tmp_path / "part.png"))
    mark, page = tmp_path / "mark.png", tmp_path / "page.html"
    drawn = []
    draw = plots._draw_chart
    monkeypatch.setattr(plots, "_draw_chart", lambda axes, chart: drawn.append((axes, chart)))
    words = ["--mark", str(mark), "--report", str(page), "-q"]
    for name in ("small.png", str(SAMPLES / "cat.png")):
        assert (
            main(["detect", str(tmp_path / "part.png"), str(tmp_path / name), *words, "--force"])
            == 0
        )
        (axes, chart), drawn = drawn[-1], []
        source = Image.new_from_file(str(tmp_path / name)).numpy()
        np.testing.assert_array_equal(plots._pixels(chart.image), source)
        if name == "small.png":
            draw(axes, chart)
            assert axes.images[0].get_interpolation() == "nearest"
            assert chart.image in page.read_text()
            assert 'image-rendering="pixelated"' in page.read_text()


@needs_matplotlib
def test_pages_without_a_mark_keep_their_proportions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cat = Image.new_from_file(str(SAMPLES / "cat.png"))
    pages = [cat.crop(left, 80, 40, 30) for left in (30, 130)]
    scan, eye = tmp_path / "scan.tif", tmp_path / "eye.png"
    Image.arrayjoin(pages, across=1).tiffsave(str(scan), page_height=30)
    pages[1].crop(5, 4, 12, 9).pngsave(str(eye))
    drawings: list[Any] = []
    save = plots._save

    def kept(drawing: Any, *given: Any) -> None:
        drawings.append(drawing)
        save(drawing, *given)

    monkeypatch.setattr(plots, "_save", kept)
    page = tmp_path / "page.html"
    words = ["--mark", str(tmp_path / "mark.png"), "--report", str(page), "-q"]
    assert main(["detect", str(eye), str(scan), "--threshold", "0.99", *words]) == 0
    (drawing,) = drawings
    assert [part.axes[0].get_aspect() for part in drawing.subfigs] == [1.0, 1.0]
    first, second = (part.bbox.height for part in drawing.subfigs)
    assert first == pytest.approx(second)
    assert page.read_text().count('<svg class="framed"') == 2


def test_marks_of_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of two groups that take turns: the hit in rows 6 to 10 is the third to fifth of B."""
    page = tmp_path / "page.html"
    rows = [f"{name},{value}" for value in (1, 2, 9, 3, 8, 1) for name in ("A", "B")]
    rows[4::2] = [f"A,{value}" for value in (5, 5, 5, 5)]
    (tmp_path / "t.csv").write_text("g,v\n" + "\n".join(rows) + "\n")
    (tmp_path / "q.csv").write_text("v\n9\n3\n8\n")
    words = [str(tmp_path / "q.csv"), str(tmp_path / "t.csv"), "-c", "v", "--by", "g"]
    assert main(["detect", *words, "--threshold", "0.99", "--report", str(page)]) == 0
    assert "B,6,10,1.0" in capsys.readouterr().out
    text = page.read_text()
    charts = re.findall(r'aria-label="[^"]*of ([AB]), with.*?<svg class="plot".*?</svg>', text)
    assert charts == ["A", "B"]
    (region,) = re.findall(r'<rect class="hit" x="(.*?)" y="0" width="(.*?)"', text)
    # B lies in rows 2 to 12.
    assert [float(number) for number in region] == pytest.approx([4000, 4000], abs=0.1)


@needs_matplotlib
def test_marks_of_a_sound_and_of_a_table(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = ["detect", str(SAMPLES / "hello.wav"), str(SAMPLES / "talk.wav"), "-q"]
    assert main([*words, "--report", str(page), "--mark", str(tmp_path / "m.svg")]) == 0
    found = re.findall(r'<rect class="hit" x="(.*?)" y="0" width="(.*?)"', page.read_text())
    assert len(found) == 3
    seconds = 311953 / 22050
    first = [float(number) * seconds / 10_000 for number in found[0]]
    assert first == pytest.approx([1.531973, 0.911066], abs=1e-3)


# The terminal


def test_braille() -> None:
    assert braille([(0, 0), (1, 1)], 2, 1) == ["\u2874\u280b"]
    flat = braille([(0, 1), (1, 1)], 3, 2)
    assert flat == ["\u2809" * 3, "\u2800" * 3]
    spike = [(float(x), float(x == 500)) for x in range(1001)]
    rows = braille(spike, 11, 3)
    assert [row[5] != "\u2800" for row in rows] == [True, True, True]
    assert all(cell == "\u2800" for row in rows[:2] for cell in row[:5])


def test_a_drawing_has_its_range_beside_it() -> None:
    lines = list(drawing_lines("gain", [(0.0, 0.0), (0.5, -80.0)], "Hz"))
    assert lines[1] == "gain"
    assert lines[2].startswith("  0 ")
    assert lines[7].startswith("-80 ")
    assert lines[8].endswith("0.5 Hz")


def test_a_kernel_in_shades() -> None:
    title, *rows = list(kernel_lines([[0.0, 0.25, 0.5], [0.75, 1.0, 0.0]]))[1:]
    assert title == "impulse response from 0 (blank) to 1 (full)"
    assert rows == ["    ░░▒▒", "  ▓▓██"]
    signed = list(kernel_lines([[-1.0, 0.0, 1.0]]))
    assert signed[1:] == ["impulse response from -1 (blank) to 1 (full)", "    ▒▒██"]


def test_a_large_kernel_in_shades_keeps_its_largest_tap() -> None:
    """Of 40 x 90 taps each four by four are one: ceil(90 / 28) = 4."""
    taps = np.zeros((40, 90))
    taps[21, 50] = -3
    _, title, *rows = kernel_lines(taps.tolist())
    assert title == "impulse response from -3 (blank) to 0 (full)"
    assert len(rows) == 10
    assert rows[5] == "  " + "██" * 12 + "  " + "██" * 10
    assert rows[4] == "  " + "██" * 23


def test_filters_draws_on_a_terminal_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["filters", "box:5"]) == 0
    assert "\u2800" not in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["filters", "box:5", "lowpass:0.1", "gabor:3"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("impulse response") == 3
    assert "██" in shown
    assert "gain in dB" in shown


def test_a_plot_of_a_network_draws_its_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no response, but kernels and receptive fields."""
    rng = np.random.default_rng(0)
    tensors = {"0.weight": rng.normal(size=(2, 1, 3)), "2.weight": rng.normal(size=(1, 2, 3))}
    stored = {name: values.astype(np.float32) for name, values in tensors.items()}
    path = tmp_path / "net.safetensors"
    path.write_bytes(encode_weights(stored, {"layers": "conv:2,3 | relu | conv:1,3"}))
    drawn: list[Any] = []

    def noted(rows: Any, *_: Any, **__: Any) -> None:
        drawn.extend(rows)

    monkeypatch.setattr(plots, "write_plot", noted)
    words = ["filters", f"model:{path}", "--plot", str(tmp_path / "plot.png")]
    assert main(words) == 0
    captions = [figure.caption for row in drawn for figure in row]
    assert captions[0].startswith("Receptive field")
    assert [caption for caption in captions if "Kernels: " in caption] == [
        "Kernels: 0: conv:2,3",
        "Kernels: 2: conv:1,3",
    ]


def test_the_key_of_a_plot_names_lines_and_shades(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("v\n1\n2\n\n4\n5\n3\n6\n8\n7\n")
    plot = tmp_path / "plot.svg"
    words = ["csv", "sma:3", str(tmp_path / "t.csv"), "-o", str(tmp_path / "o.csv"), "-q"]
    assert main([*words, "--plot", str(plot)]) == 0
    legend = plot.read_text().partition('id="legend_1"')[2]
    named = re.findall(r"<!-- (.+?) -->", legend)
    assert named[:4] == ["before", "after", "missing", "at the edge"]


@needs_matplotlib
def test_texts_above_narrow_pictures_stand_beside_each_other() -> None:
    """The taps of gabor:6 are 29 wide and 55 high, and the text above them is far wider."""
    from matplotlib.text import Text

    picture = Signal(medium=IMAGE, shape=(64, 64), channels=("grey",))
    steps = make_plan("gabor:6", picture, Rules(edge="edge", align="center")).steps
    figures = design_figures(drawn_facts("gabor:6", steps))
    drawing = plots._drawn([figures], "gabor:6")
    drawing.draw_without_rendering()
    left, right = (
        text.get_window_extent()
        for part in drawing.subfigs
        for axes in part.axes
        for text in axes.findobj(Text)
        if text.get_text().startswith(("Impulse", "Gain"))
    )
    assert left.x1 < right.x0


def test_pictures_of_several_filters_are_told_apart() -> None:
    picture = Signal(medium=IMAGE, shape=(64, 64), channels=("grey",))
    rules = Rules(edge="edge", align="center")
    names = ("gabor:6", "motion:9")
    both = [drawn_facts(name, make_plan(name, picture, rules).steps) for name in names]
    captions = [each.caption.partition(": ")[0] for each in overlay_figures(both)]
    assert captions == ["gabor:6", "gabor:6", "motion:9", "motion:9"]


@needs_matplotlib
def test_a_comparison_of_pages_draws_each_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cat = Image.new_from_file(str(SAMPLES / "cat.png")).crop(100, 60, 30, 60)
    for name, picture in (("a.tif", cat), ("b.tif", cat.invert())):
        picture.tiffsave(str(tmp_path / name), page_height=20)
    drawn = []
    monkeypatch.setattr(plots, "_draw_figure", lambda _, figure, __: drawn.append(figure.caption))
    pair = [str(tmp_path / name) for name in ("a.tif", "b.tif")]
    assert main(["compare", *pair, "--plot", str(tmp_path / "plot.png")]) == 0
    assert [caption for caption in drawn if caption.startswith("A")] == [
        "A, page 1",
        "A, page 2",
        "A, page 3",
    ]


@needs_matplotlib
def test_a_drawing_says_how_many_rows_are_left_out(tmp_path: Path) -> None:
    """There is room for 24 rows."""
    from convcli.media.replacing import atomic

    svg = tmp_path / "plot.svg"
    figure = Figure(
        caption="a chart", chart=Graph(title="", x=Axis(low=0, high=1), y=Axis(low=0, high=1))
    )
    for count, told in ((24, False), (30, True)):
        plots.write_plot([[figure]] * count, svg, title="many", atomic=atomic)
        words = svg.read_text()
        assert words.count("<!-- a chart -->") == 24
        assert ("<!-- There is no room for 6 rows more. -->" in words) is told
