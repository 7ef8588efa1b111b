"""The inputs of the benchmarks, made from seeds: `python inputs.py FOLDER NAME...`.

The name says what is in a file.

sound-300s.wav       stereo, 44.1 kHz, 16 bits; noise of 24 s over and over
hall.wav             an impulse response of 2 s, stereo, float
prices-2000000.csv   date, ticker, open, high, low, close, volume; 50 tickers by turns
numbers-17-digits-2000000.csv   one column of numbers with 17 digits, also with other numbers of digits
photo-24mpx.tif      RGB, 8 bits; also .jpg and .png
tiny.png             64 x 64
small/               200 sounds of 1 s and 200 pictures of 256 x 256
taps-NAME.npy, .wav  what convcli designs, so that a peer can use the same taps
NAME.mat             kernels as libvips reads them
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

RATE = 44100

# The sound is silent here (Hz), where filters of equal promise may differ: in the transitions of
# the jobs.
SILENT = ((3100, 3700), (4300, 6300), (7100, 9000))

FILTERS = {
    "sound": ("lowpass:3400,width=400,attenuation=100", "44100"),
    "table": ("lowpass:0.05,taps=255", None),
    "decimate": ("lowpass:0.1125,width=0.025,attenuation=100", None),
}

KERNELS: dict[str, Callable[[], npt.NDArray[np.int64]]] = {
    "sharpen": lambda: np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "sobel": lambda: np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    "dense": lambda: np.random.default_rng(31).integers(1, 16, (31, 31)),
}


def make(path: Path) -> None:
    """Make one input, unless it is there already; it appears complete or not at all."""
    if path.exists():
        return
    for pattern, maker in MAKERS.items():
        found = re.fullmatch(pattern, path.name)
        if found:
            part = path.with_name(f"part-{path.name}")
            maker(part, *found.groups())
            part.rename(path)
            return
    raise SystemExit(f"no input is called {path.name}")


# -------------------------------------------------------------------------------------------- sound


def make_sound(path: Path, seconds: str) -> None:
    """Noise that falls with the frequency, with gaps, 20 dB below full scale."""
    import soundfile

    tile = noise()
    # A WAV holds 4 GB.
    form = "RF64" if int(seconds) * RATE * 4 > 4_000_000_000 else "WAV"
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16", format=form) as file:
        left = int(seconds) * RATE
        while left > 0:
            file.write(tile[:left])
            left -= len(tile)


def noise() -> npt.NDArray[np.int16]:
    """One period, (2**20, 2): as its spectrum is made, it joins itself without a seam."""
    n = 1 << 20
    random = np.random.default_rng(1)
    spectrum = random.standard_normal((n // 2 + 1, 2)) + 1j * random.standard_normal(
        (n // 2 + 1, 2)
    )
    hertz = np.fft.rfftfreq(n, 1 / RATE)
    spectrum *= (1 / (1 + hertz / 2000))[:, None]
    for low, high in SILENT:
        spectrum[(hertz >= low) & (hertz <= high)] = 0
    sound = np.fft.irfft(spectrum, n, axis=0)
    scaled: npt.NDArray[np.int16] = np.rint(sound / sound.std() * 0.1 * 32768).astype(np.int16)
    return scaled


def make_hall(path: Path) -> None:
    """Noise that decays by 60 dB within its 2 s; the energy is 1."""
    import soundfile

    n = 2 * RATE
    response = (
        np.random.default_rng(2).standard_normal((n, 2)) * np.exp(-6.9 * np.arange(n) / n)[:, None]
    )
    soundfile.write(
        path, response / np.sqrt((response**2).sum(axis=0)), RATE, subtype="FLOAT", format="WAV"
    )


# -------------------------------------------------------------------------------------------- table

MOST_ROWS = 2_000_000


def make_prices(path: Path, rows: str) -> None:
    """Random walks of 50 tickers, a row of each by turns; beyond 2 million rows they begin again."""
    random = np.random.default_rng(3)
    n = min(int(rows), MOST_ROWS)
    steps = random.normal(0, 0.01, (-(-n // 50), 50))
    close = (50 * np.exp(np.cumsum(steps, axis=0) * 0.2)).ravel()[:n]
    around = close[:, None] * (1 + random.uniform(-0.01, 0.01, (n, 3)))
    volume = random.integers(1000, 10_000_000, n)
    days = np.datetime_as_string(np.datetime64("1900-01-01") + np.arange(-(-n // 50)))
    body = "".join(
        f"{days[i // 50]},TICK{i % 50:02d},{a:.4f},{b:.4f},{c:.4f},{d:.4f},{v}\n"
        for i, ((a, b, c), d, v) in enumerate(
            zip(around.tolist(), close.tolist(), volume.tolist(), strict=True)
        )
    )
    with path.open("w", newline="") as file:
        file.write("date,ticker,open,high,low,close,volume\n")
        for _ in range(int(rows) // n):
            file.write(body)


def make_column(path: Path, digits: str, rows: str) -> None:
    """One column of random numbers around 100."""
    numbers = np.random.default_rng(5).normal(100, 15, int(rows))
    body = "".join(f"{number:.{digits}g}\n" for number in numbers.tolist())
    path.write_text(f"close\n{body}")


# ----------------------------------------------------------------------------------------- pictures


def make_photo(path: Path, megapixels: str, suffix: str) -> None:
    """Clouds of every size and the noise of a sensor; beyond 24 megapixels the picture is repeated."""
    import pyvips

    width, height = shape_of(int(megapixels))
    image = pyvips.Image.new_from_array(clouds(min(width, 6000), min(height, 4000))).copy(
        interpretation="srgb"
    )
    across, down = -(-width // image.width), -(-height // image.height)
    image = image.replicate(across, down).crop(0, 0, width, height)
    options = {"tif": "", "jpg": "[Q=90]", "png": ""}[suffix]
    image.write_to_file(f"{path}{options}")


def shape_of(megapixels: int) -> tuple[int, int]:
    """Width and height, 3 : 2, in whole eights."""
    width = round((megapixels * 1.5e6) ** 0.5 / 8) * 8
    return width, round(megapixels * 1e6 / width / 8) * 8


def clouds(width: int, height: int) -> npt.NDArray[np.uint8]:
    """(height, width, 3): random fields of 4, 8, 16 ... points across, each half as strong, and noise of 2 levels."""
    import cv2

    random = np.random.default_rng(4)
    image: Any = np.full((height, width, 3), 128, np.float32)
    strength, points = 60.0, 4
    while points <= width // 2:
        field = random.standard_normal(
            (max(2, points * height // width), points, 3), dtype=np.float32
        )
        image += strength * cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
        strength, points = strength * 0.55, points * 2
    image += random.normal(0, 2, image.shape[:2]).astype(np.float32)[..., None]
    stored: npt.NDArray[np.uint8] = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return stored


def make_tiny(path: Path) -> None:
    """A picture of 64 x 64."""
    import pyvips

    pyvips.Image.new_from_array(clouds(64, 64)).copy(interpretation="srgb").pngsave(str(path))


def make_small(folder: Path) -> None:
    """Many small files of both kinds."""
    import pyvips
    import soundfile

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    sound, picture = noise(), clouds(1024, 1024)
    for i in range(200):
        soundfile.write(
            folder / f"{i:03d}.wav", sound[i * 4000 : i * 4000 + RATE], RATE, subtype="PCM_16"
        )
        top, left = 50 * (i // 16), 48 * (i % 16)
        part = np.ascontiguousarray(picture[top : top + 256, left : left + 256])
        pyvips.Image.new_from_array(part).copy(interpretation="srgb").pngsave(
            str(folder / f"{i:03d}.png")
        )


# ------------------------------------------------------------------------------------------ kernels


def make_taps(path: Path, name: str, suffix: str) -> None:
    """What convcli designs for a job."""
    design, rate = FILTERS[name]
    npy = path.with_name(f"exported-{name}-{suffix}.npy")
    program = str(Path(sys.executable).with_name("convcli"))
    at = ["--rate", rate] if rate else []
    subprocess.run(
        [program, "filters", design, *at, "--export", str(npy), "--force"],
        check=True,
        capture_output=True,
    )
    if suffix == "npy":
        npy.rename(path)
        return
    import soundfile

    soundfile.write(
        path,
        np.stack([np.load(npy)] * 2, axis=1).astype(np.float32),
        RATE,
        subtype="FLOAT",
        format="WAV",
    )
    npy.unlink()


def make_matrix(path: Path, name: str) -> None:
    """A kernel in the text format of libvips: width, height, scale, offset, rows."""
    kernel = KERNELS[name]()
    scale = int(kernel.sum()) or 1
    rows = [" ".join(str(tap) for tap in row) for row in kernel.tolist()]
    path.write_text("\n".join([f"{kernel.shape[1]} {kernel.shape[0]} {scale} 0", *rows]) + "\n")


def make_rows(path: Path, name: str) -> None:
    """A kernel as convcli reads it."""
    path.write_text(
        "\n".join(",".join(str(tap) for tap in row) for row in KERNELS[name]().tolist()) + "\n"
    )


MAKERS: dict[str, Callable[..., None]] = {
    r"sound-(\d+)s\.wav": make_sound,
    r"hall\.wav": make_hall,
    r"prices-(\d+)\.csv": make_prices,
    r"numbers-(\d+)-digits-(\d+)\.csv": make_column,
    r"photo-(\d+)mpx\.(tif|jpg|png)": make_photo,
    r"tiny\.png": make_tiny,
    r"small": make_small,
    r"taps-(\w+)\.(npy|wav)": make_taps,
    r"(\w+)\.mat": make_matrix,
    r"kernel-(\w+)\.csv": make_rows,
}

if __name__ == "__main__":
    for argument in sys.argv[2:]:
        make(Path(sys.argv[1], argument))
