"""The versions of Python and of the libraries that took part in a run."""

from __future__ import annotations

import platform
import sys

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


def library_versions() -> dict[str, str]:
    """The version of Python and of each known library that has been imported."""
    found = {"Python": platform.python_version()}
    for name, module in _MODULES.items():
        version = _version_of(name, module)
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
