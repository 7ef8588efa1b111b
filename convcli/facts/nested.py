"""Arrays as nested tuples, which facts hold and JSON can say."""

from __future__ import annotations

import math
from typing import Any


def nested(array: Any) -> Any:
    """Convert an array to nested tuples, NaN to None."""
    if array.ndim > 1:
        return tuple(nested(row) for row in array)
    return tuple(none_if_missing(value) for value in array.tolist())


def none_if_missing(value: float) -> float | None:
    """Return a sample as a float, None if it is NaN."""
    return None if math.isnan(value) else float(value)
