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

    shown : the file that is shown, made by the command
    """

    title: str
    text: str
    command: str
    shown: str


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
        "convcli audio lowpass:1k sample_data/hello.wav -o telephone.wav --plot telephone.png",
        "telephone.png",
    ),
    Exhibit(
        "Equalisers: a presence boost and a hum filter",
        "The biquads of audio equalisers, as kernels.",
        "convcli filters peak:3k,6dB,q=2 notch:1k,q=5 --rate 16k --plot equalisers.png",
        "equalisers.png",
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
        "Channels and resampling: a small grey picture",
        "Luma alone, at half the size.",
        "convcli image 'grey | resize:50%' sample_data/cat.png -o grey.png",
        "grey.png",
    ),
    Exhibit(
        "Learned: a filter that cleans speech",
        "A filter that was learned from noisy and clean speech, on speech that it has not heard.",
        "convcli audio model:sample_data/denoise.safetensors sample_data/hello_noisy.wav "
        "-o clean.wav --plot clean.png",
        "clean.png",
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
    return lines


if __name__ == "__main__":
    main()
