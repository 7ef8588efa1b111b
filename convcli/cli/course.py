"""The lecture of `convcli explain --course`: chapters, each with the command that computes it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from convcli.cli.explain_request import ExplainPage, ExplainRequest, ExplainRules
from convcli.cli.explain_signal import Excerpt, ExplainTable
from convcli.dataclass import dataclass
from convcli.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.report.lesson import Chapter

TITLE = "Convolution: from the idea to the layer"
INTRODUCTION = (
    "Signals are sound, prices, pictures: information as a function of time or space. Their "
    "structure is local, and it does not depend on where it is. Convolution is the linear "
    "operation that has exactly these two properties."
    "\n\nEvery chapter names the command that computes it, to be run in the folder sample_data of "
    "convcli. Numbers on a blue or an orange background can be typed over, and everything below "
    "them follows at once."
)


@dataclass(frozen=True, kw_only=True)
class LectureChapter:
    """A chapter of the lecture as written: its text, and the request that computes its numbers.

    text : paragraphs, split by an empty line
    prints : what the command prints is shown at once
    """

    title: str
    text: str
    request: ExplainRequest
    prints: bool = False


CHAPTERS = (
    LectureChapter(
        title="A signal in time: a price",
        text=(
            "A price is a number for every month. What happened in one month is close to what"
            " happened in the next: the structure of the signal is local."
        ),
        request=ExplainRequest(
            signal="stocks.csv",
            kernel="sma:6",
            table=ExplainTable(columns=["price"]),
            excerpt=Excerpt(size="120"),
            page=ExplainPage(limit=2),
        ),
    ),
    LectureChapter(
        title="A signal in time: a sound",
        text=(
            "A sound is the pressure of the air, here 22,050 numbers a second. An excerpt of "
            "the word hello, and what a mean of nine samples makes of it: slow movements "
            "stay, fast ones go. That is a low-pass."
        ),
        request=ExplainRequest(
            signal="hello.wav",
            kernel="box:9",
            excerpt=Excerpt(at="0.3s", size="400"),
            page=ExplainPage(limit=2),
        ),
    ),
    LectureChapter(
        title="A signal in space: a picture",
        text=(
            "A picture is a table of numbers, one for each place and each colour. Here is a "
            "detail of a photograph, and the mean of two by two neighbours in each colour."
        ),
        request=ExplainRequest(
            signal="cat.png",
            kernel="box:2",
            excerpt=Excerpt(at="200,100", size="4"),
            page=ExplainPage(limit=4),
        ),
    ),
    LectureChapter(
        title="Locality",
        text=(
            "One sample of the signal is changed, and the outputs that change with it are "
            "found. With a kernel of three taps there are three, and they lie around it."
        ),
        request=ExplainRequest(
            signal="1,4,2,8,5,7,1,3",
            kernel="box:3",
            page=ExplainPage(property="locality"),
        ),
    ),
    LectureChapter(
        title="Shift",
        text=(
            "If the signal is moved, the result moves with it and does not change otherwise. "
            "Whatever the filter has learned about one place, it knows about every place."
        ),
        request=ExplainRequest(
            signal="0,0,1,4,2,0,0,0,0,0",
            kernel="1,2,1",
            page=ExplainPage(property="shift"),
        ),
    ),
    LectureChapter(
        title="Why a perceptron has neither",
        text=(
            "A dense layer multiplies the signal by a matrix with a free number in every "
            "cell: an output may depend on any sample, and differently at every place."
            "\n\nThe matrix of a convolution has the same numbers in every row, moved by one. All"
            " other cells are 0: that is locality. The rows are the same: that is shift."
        ),
        request=ExplainRequest(
            signal="1,2,3,4,5,6", kernel="1,2,3", page=ExplainPage(matrix=True, limit=2)
        ),
        prints=True,
    ),
    LectureChapter(
        title="The integral and the sum",
        text=(
            "For functions of continuous time, convolution is an integral. For samples that "
            "are dt apart it is a sum times dt, and the sum approaches the integral as dt "
            "becomes smaller."
        ),
        request=ExplainRequest(signal="pulse", kernel="exp", page=ExplainPage(continuous=True)),
    ),
    LectureChapter(
        title="A low-pass cleans a noisy signal",
        text=(
            "The gauge of a tide, with noise. The tide changes slowly and the noise does not:"
            " a weighted mean of neighbours keeps the one and removes most of the other."
        ),
        request=ExplainRequest(
            signal="tide.csv",
            kernel="gaussian:2",
            table=ExplainTable(columns=["gauge"]),
            excerpt=Excerpt(size="150"),
            rules=ExplainRules(align="center"),
            page=ExplainPage(limit=2),
        ),
    ),
    LectureChapter(
        title="A filter slides over 1 2 3 4 5",
        text=(
            "Play it, or step through it. At every position the taps are multiplied by the "
            "samples under them, and the products are added up. Change a tap or a sample and "
            "look."
        ),
        request=ExplainRequest(
            signal="1,2,3,4,5",
            kernel="1,0,-1",
            correlate=True,
            rules=ExplainRules(edge="valid"),
        ),
    ),
    LectureChapter(
        title="θ instead of numbers",
        text=(
            "If the taps are not chosen but learned, they are unknowns: θ₁ and θ₂. The "
            "equations are the same for every position, and so are the unknowns."
        ),
        request=ExplainRequest(
            signal="1,2,3,4,5",
            kernel="1,2",
            correlate=True,
            rules=ExplainRules(edge="valid"),
            page=ExplainPage(symbolic=True),
        ),
    ),
    LectureChapter(
        title="How a neuron differs from a convolution",
        text=(
            "A neuron has a weight for every sample. That is a kernel as long as the signal: it "
            "fits in one place only, and makes one number."
            "\n\nThe chapter before counts weights: a dense layer has a neuron for each of its "
            "outputs, with weights of its own. A convolution uses the same few weights in every "
            "place, however long the signal is."
        ),
        request=ExplainRequest(
            signal="1,2,3,4,5",
            kernel="1,0,-1,2,1",
            correlate=True,
            rules=ExplainRules(edge="valid"),
        ),
    ),
    LectureChapter(
        title="Several channels, a bias, and the activation",
        text=(
            "With several channels θ₁ is a vector with a weight for each of them, and the sum"
            " runs over positions and channels. A constant is added, the bias. A leaky "
            "rectifier follows: it keeps what is above 0 and a tenth of what is below."
        ),
        request=ExplainRequest(
            signal="1,2,0,4,1/3,1,3,1,2",
            kernel="model:layer.safetensors",
            rules=ExplainRules(edge="valid"),
        ),
        prints=True,
    ),
    LectureChapter(
        title="The same layer in symbols, in PyTorch and in Equinox",
        text=(
            "x̄(t) holds all channels at t. The chapter before prints, in its last lines, the"
            " calls of torch.nn.functional and of equinox.nn.Conv1d with leaky_relu that "
            "compute the same."
        ),
        request=ExplainRequest(
            signal="1,2,0,4,1/3,1,3,1,2",
            kernel="model:layer.safetensors",
            rules=ExplainRules(edge="valid"),
            page=ExplainPage(symbolic=True),
        ),
    ),
    LectureChapter(
        title="Two dimensions",
        text=(
            "In a picture the kernel is a small square that moves along both axes. This one "
            "sharpens: five times the middle, less its four neighbours."
        ),
        request=ExplainRequest(
            signal="1,1,1,1,1;1,2,3,2,1;1,3,9,3,1;1,2,3,2,1;1,1,1,1,1",
            kernel="0,-1,0;-1,5,-1;0,-1,0",
            rules=ExplainRules(edge="edge"),
            page=ExplainPage(limit=4),
        ),
    ),
    LectureChapter(
        title="Downsampling",
        text=(
            "A stride of two keeps every second output, a pool of two the larger of two "
            "neighbours. Outputs of later stages stand for more and more of the signal: point at"
            " the dots to see it."
        ),
        request=ExplainRequest(
            signal="1,3,2,5,4,6,2,1,3,2,4,4",
            kernel="correlate:1,2,1 | stride:2 | correlate:1,-1 | max_pool:2",
            rules=ExplainRules(edge="valid"),
            page=ExplainPage(limit=3),
        ),
    ),
    LectureChapter(
        title="What strides and pools break",
        text=(
            "After a pool of two, an output stands for two samples. Moving the signal by one "
            "is moving it by half an output, and the result takes other values. Moving it by two "
            "moves the result by one output."
        ),
        request=ExplainRequest(
            signal="0,0,0,3,1,0,0,0,0,0,0,0",
            kernel="box:3 | max_pool:2",
            page=ExplainPage(property="shift"),
        ),
    ),
)


def course_page() -> str:
    """The lecture as one HTML page. InputError where the sample data are not installed."""
    from convcli.report.lesson import lesson_page

    with _sample_folder():
        chapters = [_filled_chapter(chapter) for chapter in CHAPTERS]
    return lesson_page(TITLE, INTRODUCTION.split("\n\n"), chapters)


def _filled_chapter(written: LectureChapter) -> Chapter:
    from convcli.report.lesson import Chapter, facts_to_play, unplayed_figures

    explained = written.request.explained()
    shown = None if written.request.page.symbolic else facts_to_play(explained.facts)
    return Chapter(
        title=written.title,
        text=written.text.split("\n\n"),
        command=written.request.command,
        lines=explained.lines,
        explanation=shown,
        figures=unplayed_figures(explained.facts),
        prints=written.prints,
    )


@contextmanager
def _sample_folder() -> Iterator[None]:
    """Work in the folder of the sample data, so that commands name its files as they are."""
    package = Path(__file__).parents[1]
    candidates = (package / "sample_data", package.parent / "sample_data")
    found = next((folder for folder in candidates if (folder / "tide.csv").is_file()), None)
    if found is None:
        raise InputError("the sample data of the lecture are not installed")
    before = Path.cwd()
    os.chdir(found)
    try:
        yield
    finally:
        os.chdir(before)
