"""Convolution for sound, tables and pictures: chosen or learned filters, one engine.

>>> import convcli, numpy as np
>>> convcli.apply("box:3", np.array([0.0, 3.0, 0.0, 0.0])).tolist()
[1.0, 1.0, 1.0, 0.0]
"""

from __future__ import annotations

from convcli.errors import ConditionError, ConvcliError, InputError, OutputError, RequestError

# Little is imported here: Ctrl-C ends the program quietly only once its first import is done.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from convcli.checking.compare import compare_arrays as compare
    from convcli.checking.explain_arrays import explain_arrays as explain
    from convcli.designs import steps as filters
    from convcli.detecting.detect_arrays import detect_arrays as detect
    from convcli.learning.learn_arrays import learn_arrays as learn
    from convcli.running.arrays import apply
    from convcli.running.designing import design

__version__ = "0.1.0"

__all__ = [
    "ConditionError",
    "ConvcliError",
    "InputError",
    "OutputError",
    "RequestError",
    "__version__",
    "apply",
    "compare",
    "design",
    "detect",
    "explain",
    "filters",
    "learn",
]

# Loaded when first asked for, so that the command line starts without NumPy.
_LAZY = {
    "apply": ("convcli.running.arrays", "apply"),
    "compare": ("convcli.checking.compare", "compare_arrays"),
    "design": ("convcli.running.designing", "design"),
    "detect": ("convcli.detecting.detect_arrays", "detect_arrays"),
    "explain": ("convcli.checking.explain_arrays", "explain_arrays"),
    "filters": ("convcli.designs", "steps"),
    "learn": ("convcli.learning.learn_arrays", "learn_arrays"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'convcli' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _LAZY[name]
    found = getattr(import_module(module), attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
