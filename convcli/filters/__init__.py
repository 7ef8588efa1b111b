"""Designs: functions that return taps. Importing a family enters its steps, in the order in which they are listed."""

from __future__ import annotations

# isort: off
from convcli.filters import given
from convcli.filters import smoothing
from convcli.filters import frequency
from convcli.filters import differences
from convcli.filters import pictures
# isort: on

__all__ = ["differences", "frequency", "given", "pictures", "smoothing"]
