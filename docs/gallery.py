"""Make the gallery: run its commands on sample_data/, and write gallery.md and the pictures in it.

`make gallery` runs this. Drawings are made by `--plot`, and shrunk to what a page shows.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pyvips

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
FOLDER = HERE / "gallery"
PAGE = HERE / "gallery.md"
# The widest picture, in pixels, and how well it is coded.
WIDTH = 900
QUALITY = 82


@dataclass(frozen=True)
class Exhibit:
    """A command, what it makes, and what is to be seen.

    shown : the picture that is shown, made by the command
    heard : a sound that the command makes, if any
    """

    title: str
    text: str
    command: str
    shown: str
    heard: str = ""


EXHIBITS = (
    Exhibit(
        "Smoothing: a price and its mean",
        "The closing price of the volatility index, and its mean over ten rows.",
        "convcli csv sma:10 sample_data/vix.csv -c close -o mean.csv --plot mean.png",
        "mean.png",
    ),
    Exhibit(
        "Frequency: two low-passes",
        "A windowed sinc with a flat pass band and a steep edge, and a Gaussian bell.",
        "convcli filters lowpass:0.1 gaussian:3 --plot lowpasses.png",
        "lowpasses.png",
    ),
    Exhibit(
        "Frequency: telephone sound",
        "A word before and after a low-pass: waveform, spectrum and spectrogram.",
        "convcli audio lowpass:1k sample_data/hello.wav -o telephone.mp3 --plot telephone.png",
        "telephone.png",
        "telephone.mp3",
    ),
    Exhibit(
        "Given taps: the sound of a room",
        "A word in a small room, by the impulse response of the room.",
        "convcli audio ir:sample_data/room.wav,wet=0.5 sample_data/hello.wav --tail -o room.mp3 "
        "--plot room.png",
        "room.png",
        "room.mp3",
    ),
    Exhibit(
        "Given taps: a kernel that sharpens",
        "Three by three taps, written in the command.",
        "convcli image 'kernel:0,-1,0;-1,5,-1;0,-1,0' sample_data/cat.png -o sharp.png "
        "--plot sharp_plot.png",
        "sharp_plot.png",
    ),
    Exhibit(
        "Equalisers: a presence boost and a hum filter",
        "The biquads of audio equalisers, as kernels.",
        "convcli filters peak:3k,6dB,q=2 notch:1k,q=5 --rate 16k --plot equalisers.png",
        "equalisers.png",
    ),
    Exhibit(
        "Equalisers: the correction of a headphone",
        "A table of frequencies and levels, as AutoEq writes them, becomes a filter.",
        "convcli filters response:@sample_data/headphone.csv --rate 44.1k --plot headphone.png",
        "headphone.png",
    ),
    Exhibit(
        "Pointwise: soft clipping",
        "A word, four times as loud and bent by a hyperbolic tangent, which adds frequencies.",
        "convcli audio 'gain:12dB | tanh' sample_data/hello.wav -o soft.mp3 --plot soft.png",
        "soft.png",
        "soft.mp3",
    ),
    Exhibit(
        "Differences: edges of a picture",
        "The strength of the gradient in each colour.",
        "convcli image sobel sample_data/cat.png -o edges.png --range scale",
        "edges.png",
    ),
    Exhibit(
        "Windows: a median removes specks",
        "A noisy picture, and the median of five by five pixels.",
        "convcli image median:5 sample_data/cat_noisy.png -o median.png --plot median_plot.png",
        "median_plot.png",
    ),
    Exhibit(
        "Branches: what a Gaussian takes away",
        "The picture less its smoothed self, with zero shown as mid-grey.",
        "convcli image 'x - gaussian:3' --range offset sample_data/cat.png -o details.png -q",
        "details.png",
    ),
    Exhibit(
        "Recipes: a z-score",
        "How far a price is from its mean over ten rows, in standard deviations.",
        "convcli csv zscore:10 sample_data/vix.csv -c close -o z.csv --plot z.png",
        "z.png",
    ),
    Exhibit(
        "Branches over time: MACD",
        "The difference of two exponential means of a price, over its dates.",
        "convcli csv macd:12,26 sample_data/vix.csv -c close --time date -o macd.csv "
        "--plot macd.png",
        "macd.png",
    ),
    Exhibit(
        "Windows in time: a month of weather",
        "The warmest hour of each day, and its mean over the last thirty days.",
        "convcli csv sma:30d sample_data/weather.csv -c temp_max --time date -o warm.csv "
        "--plot warm.png",
        "warm.png",
    ),
    Exhibit(
        "Channels and resampling: a small grey picture",
        "Luma alone, at half the size.",
        "convcli image 'grey | resize:50%' sample_data/cat.png -o grey.png",
        "grey.png",
    ),
    Exhibit(
        "Learned: a filter that cleans speech",
        "A filter that was learned from noisy and clean speech, on speech that it has not heard.",
        "convcli audio model:sample_data/denoise.safetensors sample_data/hello_noisy.wav "
        "-o clean.mp3 --plot clean.png",
        "clean.png",
        "clean.mp3",
    ),
    Exhibit(
        "Networks: learned, and looked into",
        "A small network learns to clean speech: its errors, a prediction beside its target, the "
        "receptive field and the kernels of its layers, and what each layer makes of the sound.",
        "convcli learn sample_data/talk_noisy.wav sample_data/talk.wav --epochs 10 "
        "--layers 'conv:4,9 | leaky_relu:0.1 | conv:8,9 | relu | conv:1,9' -o net.safetensors "
        "--plot network.png -q",
        "network.png",
    ),
    Exhibit(
        "Comparison: how much a picture has lost",
        "Two pictures, their difference, and how often each level occurs.",
        "convcli compare sample_data/cat.png sample_data/cat_noisy.png --plot compared.png",
        "compared.png",
    ),
    Exhibit(
        "Teaching: a convolution in its steps",
        "A signal, the kernel that slides over it, the outputs, and the largest of every two.",
        "convcli explain 1,2,3,4,5 'box:3 | max_pool:2' --plot explained.png",
        "explained.png",
    ),
    Exhibit(
        "Detection: where a word is said",
        "The places where a word occurs in speech, at three loudnesses.",
        "convcli detect sample_data/hello.wav sample_data/talk.wav --mark found.png",
        "found.png",
    ),
)


def main() -> None:
    """Write gallery.md and the pictures in gallery/."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        shutil.copytree(ROOT / "sample_data", folder / "sample_data")
        for exhibit in EXHIBITS:
            _run(exhibit.command, folder)
            _shrink(folder / exhibit.shown, FOLDER / f"{Path(exhibit.shown).stem}.webp")
            if exhibit.heard:
                shutil.copy(folder / exhibit.heard, FOLDER / exhibit.heard)
    PAGE.write_text("\n".join(_page()), encoding="utf-8")


def _run(command: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    subprocess.run(["sh", "-c", command], cwd=folder, env=environment, check=True)


def _shrink(source: Path, target: Path) -> None:
    """Write a picture of at most `WIDTH` pixels across as WebP."""
    picture = pyvips.Image.thumbnail(str(source), WIDTH, size="down")
    picture.webpsave(str(target), Q=QUALITY, strip=True)


def _page() -> list[str]:
    lines = [
        "# Gallery",
        "",
        "The command above each picture made it, from files in `sample_data/`; `make gallery`",
        "makes them again.",
        "",
    ]
    for exhibit in EXHIBITS:
        lines += [
            f"## {exhibit.title}",
            "",
            exhibit.text,
            "",
            "```sh",
            exhibit.command,
            "```",
            "",
            f"![{exhibit.text}](gallery/{Path(exhibit.shown).stem}.webp)",
            "",
        ]
        if exhibit.heard:
            lines += [f"[Listen](gallery/{exhibit.heard})", ""]
    return lines


if __name__ == "__main__":
    main()
