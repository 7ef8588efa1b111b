"""What a report costs: time and memory beside the same command without one.

    python benchmarks/reports.py --runs 4 --only 'sound*'

Every command runs as a whole process without a report and with `--report` of each kind, in turn.
Seconds are those of the processor (user and system), with `--wall` those of the clock, the lowest
of the runs; memory is the largest resident set. `--times 4` makes the inputs four times as long:
memory should stay what it was. `--threads 1` compares the work alone: two threads on one core of
a processor slow each other down, and their seconds say less.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from inputs import clouds, make_photo, noise
from measure import Measurement, Series, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 300.0
HERE = Path(__file__).parent
KINDS = ("html", "json", "md")
# Samples of sound, and rows of a table, that are written at once.
AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Case:
    """One command that can write a report.

    inputs : names of the files that it reads; words : the command, which writes to `out`
    """

    name: str
    inputs: tuple[str, ...]
    words: tuple[str, ...]


def cases() -> list[Case]:
    """All commands."""
    return [
        Case("sound-lowpass-mono16k", ("mono16k.wav",), ("audio", "lowpass:3k", "mono16k.wav")),
        Case("sound-gain-mono48k", ("mono48k.wav",), ("audio", "gain:-3dB", "mono48k.wav")),
        Case("sound-box-mono48k", ("mono48k.wav",), ("audio", "box:5", "mono48k.wav")),
        Case("sound-lowpass-stereo", ("stereo.wav",), ("audio", "lowpass:3k", "stereo.wav")),
        Case("sound-gain-stereo", ("stereo.wav",), ("audio", "gain:-3dB", "stereo.wav")),
        Case("sound-flac", ("stereo.flac",), ("audio", "box:5", "stereo.flac")),
        Case("table-one", ("one.csv",), ("csv", "sma:20", "one.csv")),
        Case("table-six", ("six.csv",), ("csv", "sma:20", "--time", "date", "six.csv")),
        Case("table-six-rows", ("six.csv",), ("csv", "sma:20", "-c", "a,b,c,d,e,f", "six.csv")),
        Case("table-groups", ("groups.csv",), ("csv", "sma:20", "-c", "v", "--by", "k", "groups.csv")),
        Case("picture-gaussian-tif", ("photo.tif",), ("image", "gaussian:3", "photo.tif")),
        Case("picture-sobel-tif", ("photo.tif",), ("image", "sobel", "photo.tif")),
        Case("picture-sobel-png", ("photo.png",), ("image", "sobel", "photo.png")),
        Case("picture-sobel-jpg", ("photo.jpg",), ("image", "sobel", "photo.jpg")),
        Case("picture-box-grey16", ("grey16.tif",), ("image", "box:5", "grey16.tif")),
        Case("learn-sound", ("mono48k.wav", "filtered48k.wav"), ("learn", "mono48k.wav", "filtered48k.wav")),
        Case("learn-table", ("six.csv",), ("learn", "six.csv", "-c", "a,b", "--target", "c", "--taps", "8")),
        Case("detect-sound", ("word48k.wav", "mono48k.wav"), ("detect", "word48k.wav", "mono48k.wav", "--threshold", "0.5")),
        Case("detect-table", ("word.csv", "one.csv"), ("detect", "word.csv", "one.csv", "--threshold", "0.5")),
        Case("detect-picture", ("patch.png", "photo.png"), ("detect", "patch.png", "photo.png", "--threshold", "0.5")),
        Case("compare-sound", ("mono48k.wav", "filtered48k.wav"), ("compare", "mono48k.wav", "filtered48k.wav")),
        Case("compare-table", ("one.csv", "filtered.csv"), ("compare", "one.csv", "filtered.csv")),
        Case("compare-picture", ("photo.png", "photo.jpg"), ("compare", "photo.png", "photo.jpg")),
        Case("many-sounds", ("sounds",), ("audio", "lowpass:3k", "sounds")),
        Case("many-pictures", ("pictures",), ("image", "gaussian:2", "pictures")),
        Case("many-tables", ("tables",), ("csv", "sma:5", "tables")),
        Case("many-compared", ("sounds", "filtered"), ("compare", "sounds", "filtered")),
        Case("many-searched", ("short.wav", "sounds"), ("detect", "short.wav", "sounds", "--threshold", "0.5")),
        Case("short-sound", ("short.wav",), ("audio", "lowpass:3k", "short.wav")),
        Case("short-table", ("short.csv",), ("csv", "sma:5", "short.csv")),
        Case("short-picture", ("short.png",), ("image", "gaussian:2", "short.png")),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------- inputs


@dataclass(frozen=True)
class Length:
    """How long the inputs are: `times` an hour, 2 million rows, 24 megapixels."""

    times: float = 1.0

    @property
    def seconds(self) -> int:
        """Of a long sound."""
        return round(3600 * self.times)

    @property
    def rows(self) -> int:
        """Of a long table."""
        return round(2_000_000 * self.times)

    @property
    def megapixels(self) -> int:
        """Of a large picture."""
        return max(1, round(24 * self.times))


def write_sound(path: Path, rate: int, samples: int, channels: int) -> None:
    """Noise, again and again."""
    tile = noise()[:, :channels]
    with soundfile.SoundFile(path, "w", rate, channels, "PCM_16") as file:
        for start in range(0, samples, len(tile)):
            file.write(tile[: samples - start])


def write_table(path: Path, rows: int, columns: int, *, dated: bool) -> None:
    """Random walks of three decimals, a row a minute."""
    names = "abcdef"[:columns]
    walk = np.random.default_rng(5).normal(0, 0.1, (min(rows, AT_ONCE), columns)).cumsum(axis=0)
    header = [*(["date"] if dated else []), *names]
    with path.open("w") as file:
        file.write(",".join(header) + "\n")
        for start in range(0, rows, len(walk)):
            part = walk[: rows - start]
            lines = [",".join(f"{value:.3f}" for value in row) for row in part.tolist()]
            if dated:
                minutes = np.datetime64("2000-01-01T00:00") + np.arange(start, start + len(part))
                dates = np.datetime_as_string(minutes).tolist()
                lines = [f"{date},{line}" for date, line in zip(dates, lines, strict=True)]
            file.write("\n".join(lines) + "\n")


def write_groups(path: Path, rows: int) -> None:
    """Rows of 5,000 groups by turns."""
    values = np.random.default_rng(6).normal(0, 1, rows).tolist()
    with path.open("w") as file:
        file.write("k,v\n")
        file.writelines(f"key{row % 5000},{value:.3f}\n" for row, value in enumerate(values))


def write_grey(path: Path, megapixels: int) -> None:
    """Clouds of 16 bits."""
    import pyvips

    side = round((megapixels * 1e6) ** 0.5)
    grey = clouds(side, side)[..., 0].astype(np.uint16) * 257
    pyvips.Image.new_from_array(grey).write_to_file(str(path))


def write_many(folder: Path, count: int) -> None:
    """Small files of one medium, named by the folder."""
    import pyvips

    folder.mkdir()
    sound = noise()
    picture = clouds(1024, 1024)
    for number in range(count):
        start = 97 * number
        if folder.name == "sounds":
            part = sound[start : start + 44100]
            soundfile.write(folder / f"{number:03}.wav", part, 44100, subtype="PCM_16")
        elif folder.name == "pictures":
            pixels = np.ascontiguousarray(picture[number : number + 256, :256])
            pyvips.Image.new_from_array(pixels).write_to_file(str(folder / f"{number:03}.png"))
        else:
            write_table(folder / f"{number:03}.csv", 500, 2, dated=True)


def write_part(path: Path, source: Path) -> None:
    """A template: a part of a long input."""
    if path.suffix == ".wav":
        samples, rate = soundfile.read(source, frames=48000, start=480000, dtype="int16")
        soundfile.write(path, samples, rate)
    elif path.suffix == ".csv":
        with source.open() as file:
            lines = [next(file) for _ in range(201)]
        path.write_text("".join([lines[0], *lines[101:]]))
    else:
        import pyvips

        image = pyvips.Image.new_from_file(str(source))
        image.crop(1000, 1000, 48, 48).write_to_file(str(path))


def makers(length: Length) -> dict[str, Callable[[Path], None]]:
    """What makes each input."""
    seconds, rows = length.seconds, length.rows
    megapixels = str(length.megapixels)
    return {
        "mono16k.wav": lambda path: write_sound(path, 16000, 16000 * seconds, 1),
        "mono48k.wav": lambda path: write_sound(path, 48000, 48000 * seconds, 1),
        "stereo.wav": lambda path: write_sound(path, 44100, 44100 * seconds, 2),
        "stereo.flac": lambda path: write_sound(path, 44100, 44100 * seconds, 2),
        "filtered48k.wav": lambda path: filtered(path, "audio", "lowpass:3k", "mono48k.wav"),
        "filtered.csv": lambda path: filtered(path, "csv", "sma:20", "one.csv"),
        "filtered": lambda path: filtered(path, "audio", "lowpass:3k", "sounds"),
        "one.csv": lambda path: write_table(path, rows, 1, dated=False),
        "six.csv": lambda path: write_table(path, rows, 6, dated=True),
        "groups.csv": lambda path: write_groups(path, rows // 2),
        "photo.tif": lambda path: make_photo(path, megapixels, "tif"),
        "photo.png": lambda path: make_photo(path, megapixels, "png"),
        "photo.jpg": lambda path: make_photo(path, megapixels, "jpg"),
        "grey16.tif": lambda path: write_grey(path, length.megapixels),
        "word48k.wav": lambda path: write_part(path, path.with_name("mono48k.wav")),
        "word.csv": lambda path: write_part(path, path.with_name("one.csv")),
        "patch.png": lambda path: write_part(path, path.with_name("photo.png")),
        "sounds": lambda path: write_many(path, 500),
        "pictures": lambda path: write_many(path, 500),
        "tables": lambda path: write_many(path, 500),
        "short.wav": lambda path: write_sound(path, 44100, 44100, 2),
        "short.csv": lambda path: write_table(path, 1000, 2, dated=True),
        "short.png": lambda path: make_photo(path, "1", "png"),
    }


def filtered(path: Path, *words: str) -> None:
    """What a command makes of an input."""
    output = path.name if path.suffix else f"{path.name}/"
    done = measure(
        command((*words, "-o", output, "-q")), folder=path.parent, patience=PATIENCE, environment={}
    )
    if done.failure:
        raise SystemExit(done.failure)


# ---------------------------------------------------------------------------------------- measuring


def command(words: tuple[str, ...]) -> list[str]:
    """The command line of convcli."""
    return [sys.executable, "-m", "convcli", *words]


def output_words(case: Case) -> tuple[str, ...]:
    """How a command is told where its result goes; some have none."""
    verb = case.words[0]
    if verb in ("detect", "compare"):
        return ()
    if verb == "learn":
        return ("-o", "out/model.safetensors", "--force")
    source = case.inputs[0]
    return ("-o", f"out/{source}" if "." in source else "out/many/", "--force")


def run_once(case: Case, kind: str, folder: Path, wanted: Any) -> Measurement:
    """One run with a report of a kind, or with none."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "out").mkdir()
    words = (*case.words, *output_words(case), "-q")
    if wanted.threads:
        words = (*words, "--threads", str(wanted.threads))
    if kind:
        words = (*words, "--report", f"out/report.{kind}")
    environment = {"PYTHONPATH": str(wanted.package), "XDG_STATE_HOME": str(folder / "state")}
    return measure(command(words), folder=folder, patience=PATIENCE, environment=environment)


def row(case: Case, found: dict[str, Series], seconds: str) -> str:
    """A row of the table.

    seconds : `cpu` or `wall`
    """
    lowest = {kind: series.lowest(seconds) for kind, series in found.items()}
    plain = lowest[""]
    cells = [case.name, f"{plain:.2f} s"]
    for kind, least in lowest.items():
        if kind:
            cost = least - plain
            cells.append(f"{cost:+.2f} s, {100 * cost / plain:+.0f} %")
    peaks = [round(series.median("peak")) for series in found.values()]
    cells.append(" / ".join(map(str, peaks)))
    return "| " + " | ".join(cells) + " |"


def measured(case: Case, wanted: Any, folder: Path) -> str:
    """Run a case with each kind of report by turns; its row."""
    found = {kind: Series() for kind in ("", *wanted.kinds)}
    for _ in range(wanted.runs):
        for kind, series in found.items():
            series.runs.append(run_once(case, kind, folder, wanted))
    failures = [series.failure for series in found.values() if series.failure]
    # `detect` ends with 1 where nothing is found.
    return f"{case.name}: {failures[0]}" if failures else row(case, found, wanted.seconds)


def chosen(pattern: str) -> Iterator[Case]:
    """The cases whose name fits."""
    for case in cases():
        if fnmatch.fnmatch(case.name, pattern):
            yield case


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", metavar="PATTERN", default="*", help="cases whose name fits")
    parser.add_argument("--runs", type=int, default=4, help="runs of each command (4)")
    parser.add_argument("--times", type=float, default=1.0, help="how long the inputs are (1)")
    parser.add_argument("--threads", type=int, help="threads of each command (those of convcli)")
    parser.add_argument(
        "--wall",
        dest="seconds",
        action="store_const",
        const="wall",
        default="cpu",
        help="seconds of the clock",
    )
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), help="kinds of reports")
    parser.add_argument("--folder", type=Path, help="where inputs are, or are made and kept")
    parser.add_argument("--package", type=Path, default=HERE.parent, help="another checkout")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = wanted.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        os.environ["PYTHONPATH"] = str(wanted.package)
        # Modules are compiled once, as where convcli is installed.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder.resolve() / "compiled")
        print(f"| command | without | {' | '.join(wanted.kinds)} | MB |")
        print("| --- | --- |" + " --- |" * (len(wanted.kinds) + 1))
        make = makers(Length(wanted.times))
        for case in chosen(wanted.only):
            for name in case.inputs:
                if not (folder / name).exists():
                    make[name](folder / name)
            print(measured(case, wanted, folder), flush=True)


if __name__ == "__main__":
    main()
