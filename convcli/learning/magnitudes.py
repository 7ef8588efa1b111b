"""Samples that are too large or too small for sums of squares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.errors import InputError

if TYPE_CHECKING:
    from convcli.core.correlation.normal_equations import ProductSums

# Sums of squares below this one have lost digits, or are 0.
LEAST_POWER = 1e-280
_HINT = "scale them first: normalize brings the largest to 1"


def too_large() -> InputError:
    """The error that squares overflow."""
    return InputError("the samples are so large that their squares overflow", hint=_HINT)


def too_small() -> InputError:
    """The error that squares of samples other than 0 are rounded to 0."""
    return InputError("the samples are so small that their squares vanish", hint=_HINT)


def are_too_small(sums: ProductSums) -> bool:
    """Whether the inputs are not 0 but the sums of their squares nearly are."""
    power = np.diagonal(sums.gram)[:-1]
    means = sums.gram[-1, :-1]
    return bool((power < LEAST_POWER).all() and means.any())
