"""Make the sample data again: `python sample_data/make.py [FOLDER]`.

Needs espeak-ng and the packages of `pip install convcli[samples]`. With the same versions of these
the bytes are the same; what is synthesised here (noise, room, tide, RGBA picture) needs NumPy
alone.
"""

from __future__ import annotations

import csv
import io
import json
import shlex
import struct
import subprocess
import sys
import tempfile
import wave
import zlib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.layers.weights import encode_weights, read_weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    Samples = npt.NDArray[np.float64]

SPEECH_RATE = 22050
ROOM_RATE = 48000
# What is said in talk.wav; a number is a pause in seconds, a pair is hello.wav with its gain in
# decibels.
TALK: tuple[str | float | tuple[str, float], ...] = (
    "Good morning.",
    0.4,
    ("hello", 0.0),
    0.5,
    "A convolution slides a kernel along a signal.",
    0.4,
    ("hello", -6.0),
    0.3,
    "The same rule holds for sound, for prices and for pictures.",
    0.6,
    ("hello", -12.0),
    0.4,
)


def speak(text: str) -> Samples:
    """`text` spoken by espeak-ng, (n,) in -1...1 at 22050 Hz."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        subprocess.run(["espeak-ng", "-v", "en-us", "-s", "150", "-w", path, text], check=True)
        with wave.open(str(path)) as file:
            return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


def make_talk(hello: Samples) -> tuple[Samples, list[int]]:
    """The talk, and the samples at which the hellos start."""
    parts: list[Samples] = []
    starts = []
    for item in TALK:
        if isinstance(item, str):
            parts.append(speak(item))
        elif isinstance(item, tuple):
            starts.append(sum(map(len, parts)))
            parts.append(hello * 10 ** (item[1] / 20))
        else:
            parts.append(np.zeros(round(item * SPEECH_RATE)))
    return np.concatenate(parts), starts


def add_noise(x: Samples, *, snr: float, seed: int) -> Samples:
    """`x` with white Gaussian noise, `snr` decibels below its mean power."""
    sigma = np.sqrt(np.mean(x**2)) * 10 ** (-snr / 20)
    noisy: Samples = x + sigma * np.random.default_rng(seed).standard_normal(x.shape)
    return noisy


def make_room(*, seed: int = 3, seconds: float = 0.5, rt60: float = 0.4) -> Samples:
    """A room's impulse response at 48 kHz: the direct sound, six early echoes, and decaying noise.

    The noise falls by 60 dB in `rt60` seconds; the whole is scaled to a peak of 0.9.
    """
    random = np.random.default_rng(seed)
    t = np.arange(round(seconds * ROOM_RATE)) / ROOM_RATE
    y = 0.12 * random.standard_normal(t.shape) * 10 ** (-3 * t / rt60)
    y[: round(0.012 * ROOM_RATE)] = 0  # nothing arrives before the early echoes are over
    y[0] = 1.0
    for delay, gain in zip(
        (2.1, 3.4, 5.2, 7.7, 9.1, 11.3), (0.6, -0.5, 0.42, 0.35, -0.3, 0.25), strict=True
    ):
        y[round(delay / 1000 * ROOM_RATE)] += gain
    y *= 0.9 / np.abs(y).max()
    return y


def wav(x: Samples, *, rate: int) -> bytes:
    """`x` as a mono 16-bit WAV file, rounded to the nearest."""
    integers = np.clip(np.rint(x * 32768), -32768, 32767).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(integers.tobytes())
    return buffer.getvalue()


def make_hole(size: int = 256) -> npt.NDArray[np.uint16]:
    """A 16-bit RGBA picture, (size, size, 4): a gradient with a round transparent hole, bright green inside.

    The hole's edge is soft over two pixels. A filter that forgets to weight colour by alpha lets
    the green out.
    """
    y, x = np.mgrid[:size, :size] / (size - 1)
    radius = np.hypot(x - 0.5, y - 0.5) * (size - 1)
    alpha = np.clip((radius - size / 4) / 2 + 0.5, 0, 1)
    inside = alpha == 0
    red, green, blue = x, 0.25 + 0.5 * y, 1 - x
    colour = [np.where(inside, hidden, c) for hidden, c in ((0, red), (1, green), (0, blue))]
    pixels: npt.NDArray[np.uint16] = np.rint(np.stack([*colour, alpha], axis=-1) * 65535).astype(
        np.uint16
    )
    return pixels


def add_grain(content: bytes, *, sigma: float, seed: int) -> npt.NDArray[np.uint8]:
    """An 8-bit picture, decoded, with white Gaussian noise of `sigma` in every channel, rounded and clipped."""
    import pyvips  # noqa: PLC0415 -- for what is synthesised NumPy is enough

    pixels = pyvips.Image.new_from_buffer(content, "").numpy()
    noise = sigma * np.random.default_rng(seed).standard_normal(pixels.shape)
    noisy: npt.NDArray[np.uint8] = np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)
    return noisy


# Periods in hours, amplitudes in metres and phases in radians of M2, S2, K1 and O1.
TIDE = ((12.4206012, 1.2, 0.0), (12.0, 0.5, 1.0), (23.9344721, 0.4, 2.0), (25.8193387, 0.3, 0.3))


def tide_rows(*, seed: int = 5, days: int = 60, sigma: float = 0.3) -> list[list[str]]:
    """Hour, height of a tide of four constituents, and what a gauge reads: the height with white noise; metres."""
    hour = np.arange(24 * days)
    height = sum(a * np.cos(2 * np.pi * hour / period + phase) for period, a, phase in TIDE)
    gauge = height + sigma * np.random.default_rng(seed).standard_normal(hour.shape)
    rows = zip(hour.tolist(), np.asarray(height).tolist(), gauge.tolist(), strict=True)
    return [["hour", "height", "gauge"], *([str(h), f"{y:.3f}", f"{x:.3f}"] for h, y, x in rows)]


# Middles in Hz, heights in dB and widths in octaves of the bumps of a made-up headphone.
BUMPS = ((110.0, 4.5, 1.4), (2800.0, -3.5, 0.7), (6200.0, 5.0, 0.25), (9500.0, -4.0, 0.4))


def headphone_rows(*, per_octave: int = 12) -> list[list[str]]:
    """The response of a headphone and its correction, in the columns of AutoEq; dB."""
    frequency: Samples = 20 * np.exp2(np.arange(10 * per_octave) / per_octave)
    raw = np.zeros(frequency.shape)
    for middle, height, width in BUMPS:
        raw += height * np.exp(-0.5 * (np.log2(frequency / middle) / width) ** 2)
    columns = ["frequency", "raw", "target", "error", "equalization"]
    rows = [columns]
    for n in range(len(frequency)):
        error = f"{raw[n]:.2f}"
        turned = f"{0 - round(float(raw[n]), 2):.2f}"
        rows.append([f"{frequency[n]:.2f}", error, "0.00", error, turned])
    return rows


def png(pixels: npt.NDArray[np.uint8 | np.uint16]) -> bytes:
    """An RGB or RGBA picture as a PNG file (W3C Portable Network Graphics, second edition, sections 5 and 11)."""
    rows, columns, channels = pixels.shape
    lines = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(rows, -1).view(np.uint8)
    # Filter type 2, the difference to the row above, makes a gradient small.
    up = np.diff(lines, axis=0, prepend=np.zeros((1, lines.shape[1]), np.uint8))
    data = np.insert(up, 0, 2, axis=1).tobytes()
    colour = {3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", columns, rows, 8 * pixels.itemsize, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def stock_rows(text: str) -> list[list[str]]:
    """The rows of vega_datasets' stocks.csv, `Jan 1 2000` written as `2000-01-01`; prices as they were."""
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    rows = list(csv.reader(io.StringIO(text)))
    for row in rows[1:]:
        month, day, year = row[1].split()
        row[1] = f"{year}-{months.index(month) + 1:02}-{int(day):02}"
    return rows


def index_rows(text: str) -> list[list[str]]:
    """The rows of vega_datasets' ohlc.json: date, open, high, low, close."""
    columns = ("date", "open", "high", "low", "close")
    days: list[dict[str, Any]] = json.loads(text)
    return [list(columns), *([str(day[name]) for name in columns] for day in days)]


def weather_rows(text: str) -> list[list[str]]:
    """The rows of vega_datasets' seattle-weather.csv, `2012/01/01` written as `2012-01-01`."""
    rows = list(csv.reader(io.StringIO(text)))
    return [rows[0], *([row[0].replace("/", "-"), *row[1:]] for row in rows[1:])]


def table(rows: Iterable[Sequence[str]]) -> bytes:
    """`rows` as CSV text with a line feed at the end of every line."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode()


def synthesised() -> dict[str, bytes]:
    """The files that need nothing but NumPy."""
    return {
        "room.wav": wav(make_room(), rate=ROOM_RATE),
        "hole.png": png(make_hole()),
        "tide.csv": table(tide_rows()),
        "headphone.csv": table(headphone_rows()),
    }


def spoken() -> dict[str, bytes]:
    """The files that need espeak-ng."""
    hello = speak("hello")
    talk, starts = make_talk(hello)
    print("talk.wav says hello at", ", ".join(f"{start / SPEECH_RATE:.3f} s" for start in starts))
    return {
        "hello.wav": wav(hello, rate=SPEECH_RATE),
        "hello_noisy.wav": wav(add_noise(hello, snr=10, seed=1), rate=SPEECH_RATE),
        "talk.wav": wav(talk, rate=SPEECH_RATE),
        "talk_noisy.wav": wav(add_noise(talk, snr=10, seed=2), rate=SPEECH_RATE),
    }


def collected() -> dict[str, bytes]:
    """The files whose numbers and pixels come from Python packages."""
    vega = files("vega_datasets") / "_data"
    cat = (files("skimage") / "data" / "chelsea.png").read_bytes()
    return {
        "stocks.csv": table(stock_rows((vega / "stocks.csv").read_text())),
        "vix.csv": table(index_rows((vega / "ohlc.json").read_text())),
        "weather.csv": table(weather_rows((vega / "seattle-weather.csv").read_text())),
        "cat.png": cat,
        "cat_noisy.png": png(add_grain(cat, sigma=20, seed=4)),
    }


def main() -> None:
    """Write every file into the folder named on the command line, or beside this script."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {**collected(), **spoken(), **synthesised()}.items():
        (folder / name).write_bytes(content)
        print(f"{len(content):9,} {name}")
    learn(folder)
    network(folder)
    layer(folder)


def run(folder: Path, command: str) -> None:
    """Run a command of convcli in a folder."""
    words = [sys.executable, "-m", "convcli", *shlex.split(command)]
    subprocess.run(words, cwd=folder, check=True)


def learn(folder: Path) -> None:
    """denoise.safetensors from the noisy and the clean talk."""
    run(folder, "learn talk_noisy.wav talk.wav --taps 129 -o denoise.safetensors --force")


# The layers of the network that cleans pictures, and what its tensors are called in cleaner.safetensors.
CLEANER = {
    "head": "conv:12,5x5,padding=same",
    "head_act": "prelu:12",
    "middle": "conv:12,3x3,padding=same",
    "middle_act": "prelu:12",
    "tail": "conv:3,3x3,padding=same",
}


def network(folder: Path) -> None:
    """cleaner.onnx from the noisy and the clean cat, and its layers alone in cleaner.safetensors."""
    layers = " | ".join(CLEANER.values())
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch, "model.safetensors")
        how = f"--layers '{layers}' --mix --residual --epochs 40 -o {model}"
        run(folder, f"learn cat_noisy.png cat.png {how}")
        run(folder, f"filters model:{model} --export cleaner.onnx --force")
        numbered = read_weights(model).tensors
    names = list(CLEANER)
    tensors = {}
    for name, tensor in numbered.items():
        number, kind = name.split(".")
        tensors[f"{names[int(number)]}.{kind}"] = tensor.astype(np.float32)
    (folder / "cleaner.safetensors").write_bytes(encode_weights(tensors, {}))


def layer(folder: Path) -> None:
    """layer.safetensors: the layer of two channels that the lecture shows."""
    tensors = {"0.weight": np.array([[[1.0, 2.0], [-2.0, 1.0]]]), "0.bias": np.array([-1.0])}
    about = {"layers": "conv | leaky_relu:0.1"}
    (folder / "layer.safetensors").write_bytes(encode_weights(tensors, about))


if __name__ == "__main__":
    main()
