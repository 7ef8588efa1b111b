"""The other programs: whether they are there, how to get them, and their versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Program:
    """A program that a peer needs. command : an executable; modules : Python distributions; install : how to get it."""

    name: str
    install: str
    command: str = ""
    version: tuple[str, ...] = ("--version",)
    modules: tuple[str, ...] = ()

    @property
    def present(self) -> bool:
        """Whether it can be run here."""
        if self.command and shutil.which(self.command) is None:
            return False
        return all(_module_version(module) for module in self.modules)

    def found(self) -> str:
        """Its version, or that it is absent."""
        if not self.present:
            return f"absent; {self.install}"
        if self.modules:
            return ", ".join(f"{module} {_module_version(module)}" for module in self.modules)
        done = subprocess.run(
            [self.command, *self.version], capture_output=True, text=True, check=False
        )
        number = re.search(r"\d+\.\d[\w.+:~-]*", done.stdout + done.stderr)
        return number.group() if number else "unknown"


def _module_version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


SOX = Program("SoX", "apt-get install sox", command="sox")
FFMPEG = Program("ffmpeg", "apt-get install ffmpeg", command="ffmpeg", version=("-version",))
MILLER = Program("Miller", "apt-get install miller", command="mlr")
VIPS = Program("libvips", "apt-get install libvips-tools", command="vips")
MAGICK = Program(
    "ImageMagick", "apt-get install imagemagick", command="convert", version=("-version",)
)
GMIC = Program("G'MIC", "apt-get install gmic", command="gmic", version=("version",))
SCIPY = Program("SciPy", "pip install scipy soundfile", modules=("scipy", "soundfile"))
NDIMAGE = Program(
    "scipy.ndimage",
    "pip install scipy opencv-python-headless",
    modules=("scipy", "opencv-python-headless"),
)
PANDAS = Program("pandas", "pip install pandas", modules=("pandas",))
POLARS = Program("polars", "pip install polars", modules=("polars",))
ARROW = Program("Arrow", "pip install pyarrow", modules=("pyarrow",))
OPENCV = Program(
    "OpenCV", "pip install opencv-python-headless", modules=("opencv-python-headless",)
)
PYVIPS = Program("pyvips", "pip install 'pyvips[binary]'", modules=("pyvips", "pyvips-binary"))
PYTHON = Program("Python", "python.org", modules=("typer", "numpy"))

TORCH = Program("torch", "pip install torch", modules=("torch",))

ALL = (SOX, FFMPEG, MILLER, VIPS, MAGICK, GMIC, SCIPY, PANDAS, POLARS, ARROW, OPENCV, PYVIPS, TORCH)


def versions() -> dict[str, str]:
    """What was measured, and on what."""
    told = {
        "convcli": _module_version("convcli"),
        "machine": machine(),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "numpy": _module_version("numpy"),
    }
    return told | {program.name: program.found() for program in ALL}


def machine() -> str:
    """Processor, cores that may be used, memory."""
    cpu = ""
    information = Path("/proc/cpuinfo")
    if information.exists():
        found = re.search(r"model name\s*:\s*(.+)", information.read_text())
        cpu = found.group(1) if found else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{cpu or platform.machine()}, {len(os.sched_getaffinity(0))} cores used, {memory:.0f} GB"
    )


def environment() -> dict[str, str]:
    """What the children see: the program under test first on the PATH, no locale, no colours; modules stay compiled."""
    folder = str(Path(sys.executable).parent)
    path = os.pathsep.join([folder, os.environ.get("PATH", "")])
    return {"PATH": path, "LC_ALL": "C", "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": ""}
