"""The versions of Python and of the libraries that took part in a run."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The modules that compute, read or write, by the names of their packages.
_MODULES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "opencv": "cv2",
    "bottleneck": "bottleneck",
    "pyarrow": "pyarrow",
    "pandas": "pandas",
    "soundfile": "soundfile",
    "soxr": "soxr",
    "av": "av",
    "pyvips": "pyvips",
    "onnx": "onnx",
    "matplotlib": "matplotlib",
}

# Versions of libraries in the processes that have worked for this one.
_elsewhere: dict[str, str] = {}


def imported_libraries() -> tuple[str, ...]:
    """The names of the known libraries that this process has imported."""
    return tuple(name for name, module in _MODULES.items() if module in sys.modules)


def note_versions(versions: Mapping[str, str]) -> None:
    """Note the `library_versions` of a process that has worked for this one."""
    _elsewhere.update(versions)


def library_versions() -> dict[str, str]:
    """The version of Python and of each known library that has taken part.

    That is, which this process has imported, or one that has worked for it.
    """
    found = {"Python": platform.python_version()}
    for name, module in _MODULES.items():
        version = _version_of(name, module) or _elsewhere.get(name)
        if version:
            found[name] = version
    return found


def _version_of(name: str, module: str) -> str:
    imported = sys.modules.get(module)
    if imported is None:
        return ""
    version = vars(imported).get("__version__")
    if isinstance(version, str):
        return version
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed_version

    try:
        return installed_version(name)
    except PackageNotFoundError:
        return ""
