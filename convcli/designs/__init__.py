"""Designs: functions that return taps. Importing a family enters its steps, in the order in which they are listed."""

from __future__ import annotations

# isort: off
from convcli.designs import given
from convcli.designs import smoothing
from convcli.designs import frequency
from convcli.designs import differences
from convcli.designs import pictures
from convcli.designs import downsampling
from convcli.designs import pointwise
from convcli.designs import learned

# isort: on
from convcli.designs.registry import Step, find, steps

__all__ = [
    "Step",
    "differences",
    "downsampling",
    "find",
    "frequency",
    "given",
    "learned",
    "pictures",
    "pointwise",
    "smoothing",
    "steps",
]
