"""Designs: functions that return taps. Importing a family enters its steps, in the order in which they are listed."""

from __future__ import annotations

# isort: off
from convcli.filters import given
from convcli.filters import smoothing
from convcli.filters import frequency
from convcli.filters import differences
from convcli.filters import pictures
from convcli.filters import downsampling
from convcli.filters import pointwise

# isort: on
from convcli.filters.registry import Step, find, steps

__all__ = [
    "Step",
    "differences",
    "downsampling",
    "find",
    "frequency",
    "given",
    "pictures",
    "pointwise",
    "smoothing",
    "steps",
]
