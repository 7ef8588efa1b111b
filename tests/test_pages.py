"""Pages of compare, learn, detect and filters: what they show, and that they are safe and fit."""

from __future__ import annotations

import base64
import json
import re
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from browser import browser, needs_chromium, opened, unread
from soundfile import write as write_sound
from table_settings import table_options

import convcli
from convcli.cli import main
from convcli.core.binding import Rules
from convcli.layers.weights import encode_weights
from convcli.learning import example
from convcli.learning.pairs import Pair, PairReader
from convcli.learning.task import Task
from convcli.media.audio.medium import AUDIO
from convcli.planning.describe import drawn_facts
from convcli.planning.plan import make_plan
from convcli.report.charts import Axis, Graph
from convcli.report.figures import overlay_figures
from convcli.report.time_axis import time_texts, time_ticks
from convcli.running.workers import Workers
from convcli.signals import ARRAY, TABLE, Block, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = Path(__file__).parent.parent / "sample_data"
EVIL = "<script>alert(1)<"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


def run(*words: object) -> int:
    return main([*map(str, words), "-q"])


def evil_table(folder: Path) -> Path:
    """A table whose name, columns and groups would be scripts in a page."""
    rng = np.random.default_rng(0)
    path = folder / f"{EVIL}.csv".replace("/", "")
    rows = [
        f"2024-{1 + k // 28:02}-{1 + k % 28:02},{EVIL},{v:.4f}"
        for k, v in enumerate(np.cumsum(rng.standard_normal(84)))
    ]
    path.write_text("\n".join([f"day,g{EVIL},v{EVIL}", *rows, ""]))
    return path


def page_of(kind: str, folder: Path) -> Path:
    """A page of a command about the evil table."""
    table, page = evil_table(folder), folder / "page.html"
    column = ("-c", f"v{EVIL}")
    words: dict[str, tuple[object, ...]] = {
        "csv": (
            "csv",
            "sma:3",
            table,
            *column,
            "--by",
            f"g{EVIL}",
            "--time",
            "day",
            "-o",
            folder / "o.csv",
        ),
        "compare": ("compare", table, table, *column),
        "detect": ("detect", table, table, *column, "--by", f"g{EVIL}"),
        "learn": (
            *("learn", table, *column, "--target", f"v{EVIL}", "--ahead", "1", "--epochs", "3"),
            *("--layers", "conv:4,3 | relu | conv:1,2", "-o", folder / f"{EVIL}.safetensors"),
        ),
    }
    assert run(*words[kind], "--report", page) == 0
    return page


@needs_chromium
@pytest.mark.parametrize("kind", ["csv", "compare", "detect", "learn"])
def test_names_from_files_are_text_in_every_page(
    chromium: Any, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = page_of(kind, tmp_path)
    capsys.readouterr()
    text = page.read_text()
    assert text.count("<script") == text.count("</script>") == 1
    assert "alert(1)" in text
    for width, scheme in ((390, "dark"), (1200, "light")):
        with opened(chromium, page, width=width, scheme=scheme) as shown:
            assert not shown.too_wide
            assert shown.page.locator("svg.chart").count() > 0
            assert unread(shown.page) == []
            assert shown.said == []
            assert [url for url in shown.fetched if not url.startswith(("file:", "data:"))] == []


@needs_chromium
def test_pages_can_be_read_aloud_and_used_by_keyboard(chromium: Any, tmp_path: Path) -> None:
    """Every control and drawing has a name in the accessibility tree, and Tab reaches each control."""
    sound, pictures = tmp_path / "sound.html", tmp_path / "pictures.html"
    hello, out = SAMPLES / "hello.wav", tmp_path / "o.wav"
    assert run("audio", "lowpass:1k", hello, "-o", out, "--report", sound) == 0
    both = (SAMPLES / "cat.png", SAMPLES / "hole.png")
    words = ("image", "gaussian:2", *both, "-o", f"{tmp_path}/out/")
    assert run(*words, "--report", pictures) == 0
    names = {
        sound: [
            *('button "Before" [pressed]', 'button "After"', 'button "Earlier"'),
            *('img "Waveform before"', 'img "Gain of lowpass:1k in dB"', 'rowheader "before"'),
        ],
        pictures: [
            *('searchbox "Show those with"', 'button "seconds"', "link", 'img "A detail after"'),
            *('slider "How much of the first picture is shown"', 'region "2 inputs"'),
        ],
    }
    for path, expected in names.items():
        with opened(chromium, path) as shown:
            page = shown.page
            page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
            tree = page.locator("body").aria_snapshot()
            for name in expected:
                assert f"- {name}" in tree
            nameless = re.findall(
                r"- (?:img|button|link|slider|searchbox)(?:$|:)", tree, re.MULTILINE
            )
            assert nameless == []
            controls = "button, input, summary, a, audio, svg[tabindex], pre"
            assert tabbed_through(page) == page.locator(f":is({controls}):visible").count()


def tabbed_through(page: Any) -> int:
    """How many elements the key Tab reaches, each of which has to show that it has the focus."""
    focused = """() => {
        const {activeElement: element} = document, {outlineStyle} = getComputedStyle(element);
        const again = element.reached;
        element.reached = true;
        return [element.tagName, again ?? false, outlineStyle];
    }"""
    count = 0
    for _ in range(200):
        page.keyboard.press("Tab")
        tag, again, outline = page.evaluate(focused)
        if tag == "BODY":
            break
        # Tab passes the parts of a player, too.
        if not again:
            assert outline == "solid"
            count += 1
    return count


# Commands whose pages have charts, and at least how many.
CHARTS = {
    "audio lowpass:1k @hello.wav -o o.wav": 12,
    "audio resample:8k @hello.wav -o o.wav": 10,
    "csv downsample:4 @tide.csv -o o.csv": 2,
    "csv sma:20 -c price --by symbol @stocks.csv -o o.csv": 9,
    "image gaussian:2 @hole.png -o o.png": 2,
    "compare @hello.wav @hello_noisy.wav": 8,
    "detect @hello.wav @talk.wav": 1,
    "learn @tide.csv --target height --ahead 1 --epochs 2 --layers conv:1,3 -o m.safetensors": 4,
    "filters lowpass:100 ema:span=12 savgol:7,2 --rate 8k": 17,
    "explain": 6,
}


@pytest.mark.parametrize("command", CHARTS)
def test_what_a_chart_shows_lies_between_its_axes(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Graph] = []

    def draw(graph: Graph) -> str:
        drawn.append(graph)
        return ""

    monkeypatch.setattr(Graph, "svg", draw)
    monkeypatch.chdir(tmp_path)
    option = "--course" if command == "explain" else "--report"
    words = command.replace("@", f"{SAMPLES}/").split()
    assert main([*words, option, "page.html"]) == 0
    assert len(drawn) >= CHARTS[command]
    for graph in drawn:
        points = [each for trace in graph.traces for each in (*trace.points, *trace.upper)]
        for axis, values in zip((graph.x, graph.y), np.reshape(points, (-1, 2)).T, strict=True):
            beyond = 0.001 * (axis.high - axis.low)  # the last bin of an outline is not whole
            assert beyond > 0, graph.title
            known = values[~np.isnan(values)]
            assert ((known >= axis.low - beyond) & (known <= axis.high + beyond)).all(), graph.title


def test_filters_on_common_axes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    model = SAMPLES / "denoise.safetensors"
    assert (
        main(["filters", "lowpass:3k", f"model:{model}", "--rate", "22050", "--report", str(page)])
        == 0
    )
    capsys.readouterr()
    text = page.read_text()
    assert "All on common axes" in text
    assert "stop band, -80 dB" in text


def test_filters_with_and_without_a_rate_share_the_axis_of_frequencies() -> None:
    """A model knows the rate of its sounds, a filter beside it only samples."""
    sound = Signal(medium=AUDIO, shape=(None,), channels=("mono",), rate=8000.0)
    rows = Signal(medium=TABLE, shape=(None,), channels=("v",))
    rules = Rules(edge="zero", align="center")
    at_rate, in_samples = (
        drawn_facts(text, make_plan(text, signal, rules).steps)
        for text, signal in (("lowpass:800", sound), ("lowpass:0.1", rows))
    )
    chart = overlay_figures([at_rate, in_samples])[2].chart
    assert chart is not None
    assert chart.x.label == "cycles/sample"
    for trace in chart.traces:
        half = [frequency for frequency, gain in trace.points if gain > -6]
        assert max(half) == pytest.approx(0.1, abs=0.01)


def test_a_comparison_shows_both_sounds_and_their_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b, page = SAMPLES / "hello.wav", SAMPLES / "hello_noisy.wav", tmp_path / "page.html"
    assert run("compare", a, b, "--report", page) == 0
    text = page.read_text()
    capsys.readouterr()
    assert len(re.findall("<audio", text)) == 2
    difference = convcli.compare(*(_samples(path) for path in (a, b))).channels[0].rms
    assert difference is not None
    assert f"{20 * np.log10(difference):.1f} dBFS" in text


def _samples(path: Path) -> Any:
    import soundfile

    return soundfile.read(path)[0]


def test_a_limit_on_a_measure_of_pictures_is_refused_before_sounds_are_compared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hello = str(SAMPLES / "hello.wav")
    assert main(["compare", hello, hello, "--fail-below", "ssim=0.9"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "a measure of pictures" in told.err


def test_drawings_in_markdown_are_svg(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    assert (
        run(
            "csv",
            "sma:5",
            SAMPLES / "vix.csv",
            "-c",
            "close",
            "-o",
            tmp_path / "o.csv",
            "--report",
            page,
        )
        == 0
    )
    text = page.read_text()
    named = re.findall(r"!\[[^]]*\]\[(drawing-\d+)\]", text)
    assert len(named) > 4
    for name in named:
        (uri,) = re.findall(rf"^\[{name}\]: data:image/svg\+xml;base64,(.*)$", text, re.MULTILINE)
        assert ET.fromstring(base64.b64decode(uri)).tag.endswith("svg")


def test_columns_lie_over_their_times(tmp_path: Path) -> None:
    """Rows on 1, 2, 3 and 11 January: the line is flat in between, and a tick is a date."""
    table, page = tmp_path / "t.csv", tmp_path / "page.html"
    table.write_text("day,v\n2024-01-01,1\n2024-01-02,2\n2024-01-03,3\n2024-01-11,4\n")
    assert (
        run("csv", "box:1", table, "--time", "day", "-o", tmp_path / "o.csv", "--report", page) == 0
    )
    text = page.read_text()
    assert "data-timed" in text
    path = re.findall(r'class="line before" d="M0 [\d.]+l([^"]*)"', text)[0]
    steps = [float(step) for step in re.split("[ l]", path)[::2]]
    assert steps == pytest.approx([1000, 1000, 8000])


def test_ticks_of_times() -> None:
    day = 86400.0
    texts = time_texts(time_ticks(0, 400 * day, 4))
    assert texts == ["1970-01", "1970-04", "1970-07", "1970-10", "1971-01"]
    assert time_texts(time_ticks(0, day, 4)) == ["01-01", "06:00", "12:00", "18:00", "01-02"]
    assert time_texts(time_ticks(4 * day, 40 * day, 6)) == [
        *("1970-01-05", "1970-01-12", "1970-01-19"),
        *("1970-01-26", "1970-02-02", "1970-02-09"),
    ]


def test_an_axis_of_the_largest_numbers() -> None:
    axis = Axis(low=-1.6e308, high=1.6e308)
    places = axis.place(np.array([-1.6e308, 0, 0.8e308, 1.6e308]))
    assert places.tolist() == [0, 0.5, 0.75, 1]


def test_ticks_of_counts_are_whole() -> None:
    assert Axis(low=1, high=3).ticks(4) == [1, 1.5, 2, 2.5, 3]
    assert Axis(low=1, high=3, whole=True).ticks(4) == [1, 2, 3]
    assert Axis(low=2.5, high=-0.5, whole=True).ticks(6) == [0, 1, 2]
    assert Axis(low=0, high=1000, whole=True).ticks(4) == [0, 200, 400, 600, 800, 1000]


@needs_chromium
def test_texts_below_an_axis_do_not_touch_on_a_narrow_screen(tmp_path: Path, chromium: Any) -> None:
    page = tmp_path / "page.html"
    table = tmp_path / "table.csv"
    table.write_text("a\n" + "1\n2\n5\n" * 4)
    sound = tmp_path / "sound.wav"
    write_sound(sound, np.random.default_rng(5).standard_normal(8000) / 9, 16000)
    script = """() => [...document.querySelectorAll('.ticks.x')].map(
        ticks => [...ticks.querySelectorAll('text')]
            .map(text => [text.textContent, text.getBoundingClientRect()])
            .filter(([_, box]) => box.width).map(([text, box]) => [text, box.left, box.right]))"""
    for command, name in (("audio", sound), ("csv", table)):
        words = [command, "box:3", str(name), "-o", str(tmp_path / f"out{name.suffix}")]
        assert main([*words, "-q", "--force", "--report", str(page)]) == 0
        with opened(chromium, page, width=390) as shown:
            for _ in range(2):
                charts = shown.page.evaluate(script)
                assert charts
                for texts in charts:
                    for (_, _, right), (_, left, _) in pairwise(texts):
                        assert left - right > 2, texts
                for button in shown.page.query_selector_all("[data-zoom=in]"):
                    for _ in range(3):
                        button.click()
    # Twelve rows, zoomed to a small part, have no ticks between them.
    assert all(float(text).is_integer() for text, _, _ in charts[0])


def test_sizes_of_layers_are_told_of_a_signal_alone(tmp_path: Path) -> None:
    """A model that was learned takes pictures of any size."""
    pair = [SAMPLES / "cat_noisy.png", SAMPLES / "cat.png"]
    model, page, facts = (tmp_path / name for name in ("m.safetensors", "p.html", "facts.json"))
    assert run("learn", *pair, "--taps", "3x3", "-o", model, "--report", page) == 0
    learned = page.read_text()
    assert "receptive field" in learned
    assert '<th scope="col">size</th>' not in learned
    assert main(["filters", f"model:{model}", "--report", str(facts)]) == 0
    (layer,) = json.loads(facts.read_text())["steps"][0]["layers"]
    assert layer["size"] == []
    assert main(["filters", f"model:{model}", "--report", str(page), "--force"]) == 0
    assert '<th scope="col">size</th>' not in page.read_text()


def test_a_result_on_another_scale_has_a_chart_of_its_own(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = ("csv", "macd:12,26", SAMPLES / "vix.csv", "-c", "close", "-o", tmp_path / "o.csv")
    assert run(*words, "--report", page) == 0
    text = page.read_text()
    assert "close, before" in text
    assert "close, after" in text
    assert "Nearly every result reads what lies outside" in text
    assert 'class="outside"' not in text


@pytest.mark.parametrize("filter", ["gain:0.5 | {}", "x - (gain:0.5 | {})"])
def test_what_a_page_of_a_network_shows(filter: str, tmp_path: Path) -> None:
    """The channels after a layer are those of `upto`, and the example is what the model gives."""
    from convcli.planning.grammar import parse
    from convcli.planning.plan import rules_for
    from convcli.previews.feature_maps import feature_maps
    from convcli.signals import ARRAY, Signal

    rng = np.random.default_rng(1)
    model = tmp_path / "m.safetensors"
    tensors = {
        "0.weight": rng.standard_normal((3, 1, 5)),
        "2.weight": rng.standard_normal((1, 3, 3)),
    }
    model.write_bytes(encode_weights(tensors, {"layers": "conv | relu | conv"}))
    x = rng.standard_normal((50, 1))
    signal = Signal(medium=ARRAY, shape=(50,), channels=("1",))
    calls = parse(filter.format(f"model:{model}"))
    maps = feature_maps(calls, signal, rules_for(signal, calls), x)
    assert [each.number for each in maps] == [-1, 0, 1, 2]
    np.testing.assert_allclose(maps[0].maps[0], 0.5 * x[:, 0])
    for each in maps[1:]:
        expected = convcli.apply(f"gain:0.5 | model:{model},upto={each.number}", x)
        np.testing.assert_allclose(each.maps.T, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("suffix", ["html", "md"])
def test_the_layers_that_inputs_share_are_drawn_once(suffix: str, tmp_path: Path) -> None:
    """The kernels of a large network took 350 kB for each of 500 small pictures."""
    rng = np.random.default_rng(1)
    tensors = {"0.weight": rng.standard_normal((1, 1, 3, 3))}
    (tmp_path / "m.safetensors").write_bytes(encode_weights(tensors, {"layers": "conv"}))
    for number in range(12):
        pixels = rng.integers(0, 256, 64, dtype=np.uint8).tobytes()
        (tmp_path / f"{number}.pgm").write_bytes(b"P5 8 8 255\n" + pixels)
    report = tmp_path / f"page.{suffix}"
    words = ("image", f"model:{tmp_path}/m.safetensors", tmp_path / "*.pgm", "-o", f"{tmp_path}/o/")
    assert run(*words, "--report", report) == 0
    page = report.read_text()
    assert page.count("Kernels") == 1
    # The first eight inputs are drawn in full.
    assert page.count("What each layer makes of a part of the input.") == 8


def test_layers_of_a_network_that_filters_each_channel_by_itself(tmp_path: Path) -> None:
    """A colour picture behind a network of one input: the maps are those of its first channel."""
    from convcli.planning.grammar import parse
    from convcli.planning.plan import rules_for
    from convcli.previews.feature_maps import feature_maps
    from convcli.signals import ARRAY, Signal

    rng = np.random.default_rng(2)
    model = tmp_path / "m.safetensors"
    tensors = {
        "0.weight": rng.standard_normal((3, 1, 5)),
        "2.weight": rng.standard_normal((1, 3, 3)),
    }
    model.write_bytes(encode_weights(tensors, {"layers": "conv | relu | conv"}))
    x = rng.standard_normal((50, 2))
    signal = Signal(medium=ARRAY, shape=(50,), channels=("left", "right"))
    calls = parse(f"model:{model}")
    maps = feature_maps(calls, signal, rules_for(signal, calls), x)
    assert [(each.number, each.channels) for each in maps] == [(-1, 1), (0, 3), (1, 3), (2, 1)]
    left = x[:, :1]
    expected = convcli.apply(f"model:{model},upto=0", left)
    np.testing.assert_allclose(maps[1].maps.T, expected, rtol=1e-6, atol=1e-9)


def test_a_page_of_a_network_up_to_a_layer(tmp_path: Path) -> None:
    model, out, page = SAMPLES / "cleaner.onnx", tmp_path / "o.tif", tmp_path / "p.html"
    words = ("image", f"model:{model},upto=1", SAMPLES / "cat.png", "-o", out)
    assert run(*words, "--report", page) == 0
    assert "PRelu 1_PRelu" in page.read_text()


def test_the_example_of_a_model_is_what_it_predicts(tmp_path: Path) -> None:
    """The prediction of each row beside the value of the next row, which is its target."""
    from convcli.cli.opening import files_for

    model, page = tmp_path / "m.safetensors", tmp_path / "m.json"
    table = SAMPLES / "vix.csv"
    words = ("learn", table, "-c", "open,close", "--target", "close", "--ahead", "1", "--taps", "4")
    assert run(*words, "-o", model, "--report", page) == 0
    assert "example" not in json.loads(page.read_text())["learned"]
    files = files_for([table], table_options(columns=("open", "close")), max_pixels=1, strict=False)
    with files.open(table, stdin=None) as source:
        task = Task(taps=(4,), align="causal", ahead=1, inputs=(0, 1), targets=(1,))
        found = example.example_of(task, Pair(source.sources[0]), model)
    assert found is not None
    rows = np.genfromtxt(table, delimiter=",", skip_header=1, usecols=(1, 4))
    made = convcli.apply(f"model:{model}", rows, align="causal")
    first, count = found.first[0], len(found.target)
    np.testing.assert_allclose(found.prediction[:, 0], made[first : first + count, 0], rtol=1e-6)
    np.testing.assert_array_equal(found.target[: count - 1, 0], rows[first + 1 : first + count, 1])


class Ramp:
    """A long signal that counts its samples, made block by block; `decoded` counts the blocks."""

    signal = Signal(medium=ARRAY, shape=(2_000_000,), channels=("x",))
    decoded = 0

    def pieces(self) -> Iterator[int]:
        return iter(range(0, 2_000_000, 10_000))

    def decode(self, raw: int) -> Block:
        self.decoded += 1
        return Block(np.arange(raw, raw + 10_000.0)[:, None])


def test_an_example_of_a_long_signal_is_read_in_little_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All blocks together are 32 MB."""
    monkeypatch.setattr(example, "LOOKED", 25_000)
    x, y = Ramp(), Ramp()
    reader = PairReader(Task(taps=(4,)), Pair(x, y))
    tracemalloc.start()
    with Workers(1) as workers:
        part = example._read_part(reader, b"", 1_234_567, workers)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert part is not None
    np.testing.assert_array_equal(part.x[:, 0], np.arange(1_234_567, 1_259_567))
    np.testing.assert_array_equal(part.x, part.y)
    assert peak < 3_000_000
    # It stops after what it looks for.
    assert max(x.decoded, y.decoded) <= 127


def test_what_comes_before_an_example_is_not_decoded_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(example, "LOOKED", 25_000)
    source = Ramp()
    source.signal = Signal(medium=ARRAY, shape=(None,), channels=("x",))
    reader = PairReader(Task(taps=(4,), inputs=(0,), targets=(0,)), Pair(source))
    with Workers(1) as workers:
        assert reader.lengths(workers) == {b"": 2_000_000}
        assert source.decoded == 200
        part = example._read_part(reader, b"", 1_234_567, workers)
    assert part is not None
    np.testing.assert_array_equal(part.x[:, 0], np.arange(1_234_567, 1_259_567))
    assert part.first == 1_234_567
    # Three blocks hold the part; workers may begin the next ones.
    assert source.decoded <= 200 + 3 + 2


@needs_chromium
def test_a_picture_of_several_pages_and_of_another_shape(tmp_path: Path, chromium: Any) -> None:
    from pyvips import Image

    page = tmp_path / "page.html"
    one = Image.new_from_file(str(SAMPLES / "cat.png")).crop(0, 0, 60, 40)
    Image.arrayjoin([one, one.invert()], across=1).tiffsave(str(tmp_path / "t.tif"), page_height=40)
    assert (
        run(
            "image",
            "resize:30x30,fit=cover",
            tmp_path / "t.tif",
            "-o",
            tmp_path / "o.tif",
            "--report",
            page,
        )
        == 0
    )
    with opened(chromium, page, width=390) as shown:
        words = shown.page.inner_text("main")
        assert "The first of 2 pages is drawn here; " in words
        assert "page 2, before" in words
        assert shown.page.locator(".slider").count() == 0
        assert not shown.too_wide


def drawn_graphs(monkeypatch: pytest.MonkeyPatch, *words: object) -> list[Graph]:
    """The charts of the page that a command writes."""
    drawn: list[Graph] = []
    draw = Graph.svg

    def noted(graph: Graph) -> Any:
        drawn.append(graph)
        return draw(graph)

    monkeypatch.setattr(Graph, "svg", noted)
    assert run(*words) == 0
    return drawn


def test_histograms_of_two_depths_lie_on_one_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Floats from 0 to 1 are written as 16 bits: the middle value is 0.5 on both sides."""
    from pyvips import Image

    half = np.full((20, 20), 0.5, np.float32)
    Image.new_from_array(half).tiffsave(str(tmp_path / "a.tif"))
    words = ("image", "gain:1", tmp_path / "a.tif", "-o", tmp_path / "o.png")
    page = tmp_path / "page.html"
    (chart,) = drawn_graphs(monkeypatch, *words, "--report", page)
    for trace in chart.traces:
        (place,) = [place for place, share in trace.points if share > 0]
        assert place == pytest.approx(0.5, abs=1 / 64), trace.name
    assert chart.x.label == "value, on the scale of before"


@pytest.mark.parametrize("times", [True, False])
def test_a_single_row_lies_in_the_middle(
    times: bool,  # noqa: FBT001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "t.csv").write_text("day,v\n2024-01-02,3.5\n")
    words = ["csv", "gain:2", tmp_path / "t.csv", "-c", "v", "-o", tmp_path / "o.csv"]
    if times:
        words += ["--time", "day"]
    charts = drawn_graphs(monkeypatch, *words, "--report", tmp_path / "page.html")
    # 2024-01-02 is 1704153600 s after 1970-01-01 (date -ud 2024-01-02 +%s).
    place = 1704153600 if times else 1
    for chart in charts[:2]:
        assert chart.x.place(place) == 0.5
        assert [point[0] for trace in chart.traces for point in trace.points] == [place]


def test_a_single_sample_lies_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sound(tmp_path / "x.wav", np.array([0.5]), 8000)
    words = ("audio", "gain:1", tmp_path / "x.wav", "-o", tmp_path / "o.wav")
    charts = drawn_graphs(monkeypatch, *words, "--report", tmp_path / "page.html")
    assert [chart.x.place(chart.traces[0].points[0][0]) for chart in charts[:2]] == [0.5, 0.5]


@needs_chromium
def test_a_detail_of_one_pixel_across_is_no_chessboard(tmp_path: Path, chromium: Any) -> None:
    """A column of 60 pixels: its picture keeps its ratio, so that nothing lies beside it."""
    from pyvips import Image

    column = np.linspace(0, 255, 60).astype(np.uint8)[:, None]
    Image.new_from_array(column).cast("uchar").pngsave(str(tmp_path / "a.png"))
    page = tmp_path / "page.html"
    words = ("image", "gain:1", tmp_path / "a.png", "-o", tmp_path / "o.png", "--report", page)
    assert run(*words) == 0
    for width in (1200, 390):
        with opened(chromium, page, width=width) as shown:
            boxes = shown.page.eval_on_selector_all(
                ".pixels", "all => all.map(x => [x.clientWidth, x.clientHeight])"
            )
            assert len(boxes) == 2
            for wide, high in boxes:
                assert wide > 3
                assert high == 60 * wide


@needs_chromium
def test_charts_that_zoom_together_have_one_left_margin(tmp_path: Path, chromium: Any) -> None:
    """Values around 10 and around 10,000,000 have ticks of other widths."""
    rows = [f"{value},{1e7 + 500 * value}" for value in range(10, 40)]
    (tmp_path / "t.csv").write_text("small,large\n" + "\n".join(rows) + "\n")
    page = tmp_path / "page.html"
    assert run("csv", "sma:2", tmp_path / "t.csv", "-o", tmp_path / "o.csv", "--report", page) == 0
    with opened(chromium, page) as shown:
        lefts = shown.page.eval_on_selector_all(
            "[data-linked] svg.chart", "all => all.map(x => x.getBoundingClientRect().left)"
        )
        assert len(lefts) == 2
        assert lefts[0] == lefts[1]


def test_silence_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 8000)
    page = tmp_path / "page.html"
    words = ("-o", tmp_path / "o.wav", "--force", "--report", page)
    for x, steps, silent in (
        (np.zeros(8000), "gain:1", ["before", "after"]),
        (noise, "gain:0", ["after"]),
        (noise, "gain:1", []),
    ):
        write_sound(tmp_path / "x.wav", x, 8000)
        charts = drawn_graphs(monkeypatch, "audio", steps, tmp_path / "x.wav", *words)
        monkeypatch.undo()
        titles = [chart.title for chart in charts]
        pictures = [title for title in titles if "Spectrogram" in title]
        assert len(pictures) == 2 - len(silent)
        assert ("Difference of the spectrograms" in titles) == (not silent)
        text = page.read_text()
        for name in ("before", "after"):
            assert (f"{name}: silence, which has no spectrum." in text) == (name in silent)


def test_a_sound_below_the_range_of_a_spectrogram_is_not_drawn_black(tmp_path: Path) -> None:
    """A sine of -130 dB, below the -110 dB at which spectrograms end."""
    tone = 10 ** (-130 / 20) * np.sin(np.arange(8000))
    write_sound(tmp_path / "x.wav", tone, 8000, subtype="FLOAT")
    page = tmp_path / "page.html"
    words = ("audio", "gain:1", tmp_path / "x.wav", "-o", tmp_path / "o.wav", "--report", page)
    assert run(*words) == 0
    text = page.read_text()
    assert text.count(": below -110 dB at every frequency.") == 2
    assert "Mean spectrum of before and after" in text
    assert 'aria-label="Spectrogram' not in text


@needs_chromium
def test_the_overview_of_mixed_media_fits(tmp_path: Path, chromium: Any) -> None:
    """A sound, a table with a column of a long name and a picture have all measures together."""
    from pyvips import Image

    rng = np.random.default_rng(0)
    for folder in (tmp_path / "expected values", tmp_path / "what came out"):
        folder.mkdir()
        x = rng.normal(0, 0.1, 4000 + len(str(folder)))
        write_sound(folder / "a recording of a meeting.wav", x, 8000)
        pixels = rng.integers(0, 255, (40, 50, 3)).astype(np.uint8)
        Image.new_from_array(pixels).copy(interpretation="srgb").pngsave(str(folder / "p.png"))
        values = rng.normal(0, 1e5, 50)
        rows = "\n".join(f"{v},{v / 3e9}" for v in values)
        (folder / "t.csv").write_text(f"a column of a long name,volume\n{rows}\n")
    page = tmp_path / "page.html"
    assert run("compare", *sorted(tmp_path.iterdir()), "--report", page) == 0
    for width, fits in ((1200, True), (390, False)):
        with opened(chromium, page, width=width) as shown:
            assert not shown.too_wide
            inner, outer = shown.page.eval_on_selector(
                ".scroll", "box => [box.scrollWidth, box.clientWidth]"
            )
            assert (inner <= outer) == fits
            assert "unmatched" in shown.page.inner_text("#overview-table thead")


DAYS = [1, 2, 3, 5, 6, 9, 12, 13, 14, 17, 18, 20, 21, 22, 25, 28, 29]


def dated_table(folder: Path, *, groups: bool = False) -> Path:
    """A table with irregular days of 2024, of two groups that take turns if asked for."""
    values = np.random.default_rng(7).integers(0, 100, len(DAYS)).tolist()
    rows = []
    for day, value in zip(DAYS, values, strict=True):
        rows.append(f"2024-01-{day:02},A,{value}")
        if groups:
            rows.append(f"2024-01-{day:02},B,{value * value}")
    path = folder / "t.csv"
    path.write_text("day,name,v\n" + "\n".join(rows) + "\n")
    return path


def january(day: int) -> int:
    """The seconds from 1970-01-01 to a day of January 2024 (date -ud 2024-01-01 +%s)."""
    return 1704067200 + 86400 * (day - 1)


@pytest.mark.parametrize("groups", [False, True])
def test_places_that_were_found_lie_over_dates(
    groups: bool,  # noqa: FBT001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The fourth to the eighth row of the first group are those of 5 to 13 January."""
    table = dated_table(tmp_path, groups=groups)
    rows = [row.split(",")[2] for row in table.read_text().split() if ",A," in row]
    (tmp_path / "part.csv").write_text("v\n" + "\n".join(rows[3:8]) + "\n")
    words = ["detect", tmp_path / "part.csv", table, "-c", "v", "--threshold", "0.999"]
    words += ["--time", "day", "--report", tmp_path / "page.html"]
    if groups:
        words += ["--by", "name"]
    charts = drawn_graphs(monkeypatch, *words)
    assert "2024-01-05,2024-01-13" in capsys.readouterr().out
    assert len(charts) == 1 + groups
    for chart in charts:
        assert chart.x.timed
        assert [x for x, _ in chart.traces[0].points] == [january(day) for day in DAYS]
    (region,) = charts[0].regions
    assert (region.low, region.high) == (january(5), january(13))


def test_marks_of_a_long_table_lie_between_the_rows_of_a_bin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20,000 rows, two seconds apart: a bin has several, and hits begin in the middle of one."""
    values = np.random.default_rng(8).integers(0, 1000, 20_000)
    rows = "\n".join(f"{2 * place},{value}" for place, value in enumerate(values.tolist()))
    (tmp_path / "t.csv").write_text(f"second,v\n{rows}\n")
    part = "\n".join(map(str, values[12_345:12_365].tolist()))
    (tmp_path / "part.csv").write_text(f"v\n{part}\n")
    words = ["detect", tmp_path / "part.csv", tmp_path / "t.csv", "-c", "v", "--time", "second"]
    words += ["--threshold", "0.99", "--report", tmp_path / "page.html"]
    (chart,) = drawn_graphs(monkeypatch, *words)
    (region,) = chart.regions
    assert (region.low, region.high) == pytest.approx((24_690, 24_728))
    assert (chart.x.low, chart.x.high, chart.x.label) == (0, 39_998, "time in s")


@pytest.mark.parametrize("groups", [False, True])
def test_the_example_of_a_model_lies_over_dates(
    groups: bool,  # noqa: FBT001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Regular days, of which the last fifth is held out."""
    days = np.datetime64("2024-01-01") + np.arange(100)
    values = np.cumsum(np.random.default_rng(9).normal(size=100)).tolist()
    rows = [f"{day},{name},{v}" for day, v in zip(days, values, strict=True) for name in "AB"]
    (tmp_path / "t.csv").write_text("day,name,v\n" + "\n".join(rows[:: 2 - groups]) + "\n")
    words = ["learn", tmp_path / "t.csv", "--target", "v", "--taps", "3", "--time", "day"]
    words += ["-c", "v", "-o", tmp_path / "m.safetensors", "--report", tmp_path / "page.html"]
    if groups:
        words += ["--by", "name"]
    chart = drawn_graphs(monkeypatch, *words)[0]
    assert chart.x.timed
    places = [x for x, _ in chart.traces[0].points]
    first = round((places[0] - january(1)) / 86400)
    assert places == [january(1 + place) for place in range(first, first + len(places))]
    drawn = [y for _, y in chart.traces[0].points]
    assert drawn == pytest.approx(values[first : first + len(places)])


@needs_chromium
def test_each_signal_that_was_searched_is_zoomed_by_itself(tmp_path: Path, chromium: Any) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 9000)
    write_sound(tmp_path / "part.wav", noise[1000:1400], 8000)
    write_sound(tmp_path / "long.wav", np.tile(noise[1000:1400], 25), 8000)
    write_sound(tmp_path / "short.wav", noise[500:2500], 8000)
    page = tmp_path / "page.html"
    names = [tmp_path / f"{name}.wav" for name in ("part", "long", "short")]
    assert run("detect", *names, "--report", page) == 0
    with opened(chromium, page) as shown:
        shown.page.click("[data-zoom=in] >> nth=1")
        boxes = shown.page.eval_on_selector_all(
            ".plot", "all => all.map(x => x.getAttribute('viewBox').split(' ')[2])"
        )
        assert boxes == ["10000", "5000"]
        # The drawings come before the table of the 26 places, which is bounded.
        table = shown.page.locator(".tall").bounding_box()
        drawings = shown.page.locator("svg.chart")
        assert drawings.last.bounding_box()["y"] < table["y"]
        assert table["height"] < 450
        shown.page.emulate_media(media="print")
        assert shown.page.locator(".tall").bounding_box()["height"] > 26 * 25
        assert shown.page.locator("thead").first.inner_text().split() == HEAD_OF_PLACES
        assert not shown.page.locator("[data-zoom]").first.is_visible()


HEAD_OF_PLACES = ["file", "start", "end", "score"]


def test_a_spectrogram_lies_over_the_time_of_its_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 s at 8 kHz: 45 frames of 1,024 samples, 512 apart, the first around sample 512.

    Without its edges, 500 samples on each side, a result has 43 frames, the first around 1,012.
    """
    write_sound(tmp_path / "x.wav", np.random.default_rng(0).normal(0, 0.1, 24_000), 8000)
    words = ["audio", "box:1001", tmp_path / "x.wav", "--edge", "valid", "-o", tmp_path / "o.wav"]
    charts = drawn_graphs(monkeypatch, *words, "--report", tmp_path / "page.html")
    drawn = {chart.title: chart for chart in charts if chart.image}
    assert len(drawn) == 3
    for title, first, frames in (
        ("Spectrogram before", 512, 45),
        ("Spectrogram after", 1012, 43),
        ("Difference of the spectrograms", 1024, 43),
    ):
        chart = drawn[title]
        assert (chart.x.low, chart.x.high) == (0, 3)
        ends = [(first - 256) / 8000, (first - 256 + 512 * frames) / 8000]
        assert chart.image_ends == pytest.approx(ends)


def test_spectrograms_of_sounds_of_other_lengths_are_compared_at_the_same_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 60 s at 8 kHz every 800 samples have a frame, of their first half every 512."""
    x = np.random.default_rng(0).normal(0, 0.1, 480_000) * np.linspace(0.01, 1, 480_000)
    write_sound(tmp_path / "a.wav", x, 8000)
    write_sound(tmp_path / "b.wav", x[:240_000], 8000)
    changes = []

    def noted(change: Any) -> str:
        changes.append(change)
        return ""

    monkeypatch.setattr("convcli.report.embedded.difference_uri", noted)
    words = ["compare", tmp_path / "a.wav", tmp_path / "b.wav"]
    charts = drawn_graphs(monkeypatch, *words, "--report", tmp_path / "page.html")
    (chart,) = [chart for chart in charts if chart.title == "Difference of the spectrograms"]
    assert chart.image_ends == pytest.approx((0, 30), abs=0.1)
    (change,) = changes
    # Frames that overlap by half and more differ by chance, not in their mean level.
    assert abs(np.mean(change)) < 0.2


def test_a_page_says_which_channels_it_draws_and_plays(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    to_page = ("--force", "--report", page)
    noise = np.random.default_rng(0).normal(0, 0.1, (50, 10))
    write_sound(tmp_path / "x.wav", noise, 8000)
    words = ("audio", "gain:0.5", tmp_path / "x.wav", "-o", tmp_path / "o.wav", *to_page)
    assert run(*words) == 0
    text = page.read_text()
    assert "The players play the first 2 of 10 channels." in text
    assert "The first 8 of 10 channels are drawn." in text
    assert "before: channel 8" in text
    assert "before: too short for a spectrum." in text
    write_sound(tmp_path / "x.wav", noise[:0], 8000)
    assert run(*words) == 0
    assert "<td>no samples</td>" in page.read_text()
    assert "Waveform" not in page.read_text()
    write_sound(tmp_path / "part.wav", noise[10:30], 8000)
    write_sound(tmp_path / "x.wav", noise, 8000)
    assert run("detect", tmp_path / "part.wav", tmp_path / "x.wav", *to_page) == 0
    assert "The first 8 of 10 channels are drawn." in page.read_text()


def test_a_page_says_which_bands_and_pixels_it_measures(tmp_path: Path) -> None:
    from pyvips import Image

    rng = np.random.default_rng(0)
    inks = Image.new_from_array(rng.integers(0, 255, (3, 2000, 4)).astype(np.uint8))
    inks.copy(interpretation="cmyk").tiffsave(str(tmp_path / "t.tif"))
    page = tmp_path / "page.html"
    words = ("image", "median:3", tmp_path / "t.tif", "-o", tmp_path / "o.tif", "--report", page)
    assert run(*words) == 0
    text = page.read_text()
    assert "Of the channels, C is drawn and measured here; left out: M, Y, K." in text
    reduced = ", of the pictures at the size shown here"
    assert re.search(rf"largest difference</th><td>[\d.]+{reduced}", text)


def test_rows_of_a_group_are_told_from_rows_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.csv").write_text("g,v\na,1\nb,2\na,\nb,4\na,5\n")
    words = ["csv", "sma:2", tmp_path / "t.csv", "-o", tmp_path / "o.csv", "--force"]
    words += ["-c", "v", "--report", tmp_path / "page.html"]
    for more, label in ((["--by", "g"], "row of the group"), ([], "row")):
        charts = drawn_graphs(monkeypatch, *words, *more)
        assert charts[0].x.label == label
        monkeypatch.undo()
    assert "already missing in the input: 1 sample" in (tmp_path / "page.html").read_text()


def test_a_page_of_a_search_lists_the_inputs_that_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 3000)
    write_sound(tmp_path / "part.wav", noise[1000:1400], 8000)
    write_sound(tmp_path / "x.wav", noise, 8000)
    bad = tmp_path / f"{EVIL}.wav"
    bad.write_text("no sound")
    names = [tmp_path / "part.wav", tmp_path / "x.wav", bad]
    for suffix in ("html", "md", "json"):
        words = ("detect", *names, "--format", "json", "--report", tmp_path / f"r.{suffix}")
        assert run(*words) == 3
        printed = json.loads(capsys.readouterr().out)
    written = json.loads((tmp_path / "r.json").read_text())
    for facts in (printed, written):
        assert [each["path"] for each in facts["failures"]] == [str(bad)]
    page = (tmp_path / "r.html").read_text()
    assert '<h2 id="failed">1 failed</h2>' in page
    assert EVIL not in page
    assert "# 1 input failed" in (tmp_path / "r.md").read_text()


def test_a_single_epoch_lies_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=60).cumsum()
    (tmp_path / "t.csv").write_text("v\n" + "\n".join(map(str, rows)) + "\n")
    words = [
        "learn",
        tmp_path / "t.csv",
        "--target",
        "v",
        "-c",
        "v",
        "--layers",
        "conv:2,3 | relu | conv:1,1",
    ]
    words += ["--epochs", "1", "-o", tmp_path / "m.safetensors"]
    charts = drawn_graphs(monkeypatch, *words, "--report", tmp_path / "page.html")
    (chart,) = [chart for chart in charts if "epochs" in chart.title]
    assert chart.x.place(1) == 0.5


def test_a_page_about_many_inputs_has_a_short_title(tmp_path: Path) -> None:
    """A search draws 8 inputs, and names those in the title of which there is room."""
    rows = np.random.default_rng(0).normal(size=40)
    for place in range(14):
        (tmp_path / f"{place:02}.csv").write_text("v\n" + "\n".join(map(str, rows)) + "\n")
    (tmp_path / "part.csv").write_text("v\n" + "\n".join(map(str, rows[10:20])) + "\n")
    page = tmp_path / "page.html"
    names = [tmp_path / f"{place:02}.csv" for place in range(14)]
    assert run("detect", tmp_path / "part.csv", *names, "--report", page) == 0
    text = page.read_text()
    assert "<h1>00.csv, 01.csv, 02.csv and 11 more</h1>" in text
    assert "Of the 14 that were searched, 8 are drawn." in text
    assert run("detect", tmp_path / "part.csv", *names[:4], "--report", page, "--force") == 0
    assert "<h1>00.csv, 01.csv, 02.csv, 03.csv</h1>" in page.read_text()
    assert "that were searched" not in page.read_text()


def test_the_title_names_a_file_of_many_pages_once(tmp_path: Path) -> None:
    from pyvips import Image

    pixels = np.random.default_rng(0).integers(0, 255, (60, 20)).astype(np.uint8)
    Image.new_from_array(pixels).tiffsave(str(tmp_path / "t.tif"), page_height=20)
    Image.new_from_array(pixels[25:35, 5:15].copy()).pngsave(str(tmp_path / "part.png"))
    page = tmp_path / "page.html"
    assert run("detect", tmp_path / "part.png", tmp_path / "t.tif", "--report", page) == 0
    assert "<h1>t.tif</h1>" in page.read_text()


@needs_chromium
@pytest.mark.parametrize("command", ["filters lowpass:1k --rate 8k", "explain 1,2,3,4 box:3"])
def test_the_last_sheet_of_paper_has_more_than_the_footer(
    chromium: Any, tmp_path: Path, command: str
) -> None:
    """The versions are the first line on paper, however high a sheet is."""
    path = tmp_path / "page.html"
    assert main([*command.split(), "--report", str(path)]) == 0
    with opened(chromium, path) as shown:
        shown.page.emulate_media(media="print")
        footer, title = (shown.page.locator(name).bounding_box() for name in ("footer", "h1"))
        assert footer["y"] == 0
        assert footer["y"] + footer["height"] < title["y"]
