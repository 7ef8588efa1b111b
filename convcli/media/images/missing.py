"""The sample of a TIFF that stands for a missing one, by the tag GDAL_NODATA.

The tag holds the number as text (GDAL, driver GTiff). It is a number of the file: it is of no use
where the pixels are handed out as other numbers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convcli.media.images.held_results import FEW_BITS
from convcli.media.images.tiff_kept import MISSING

if TYPE_CHECKING:
    from convcli.media.images.details import ImageDetails
    from convcli.media.images.layout import Layout


def missing_sample(details: ImageDetails, page: int, layout: Layout) -> float | None:
    """The sample that stands for a missing one in a page, None if there is none or it is NaN.

    page : its index among the pages that are read
    """
    if not details.page_fields or _has_other_numbers(details):
        return None
    field = details.page_fields[page].get(MISSING)
    if field is None:
        return None
    try:
        number = float(field.data.rstrip(b"\0 "))
    except ValueError:  # not a number
        return None
    if math.isnan(number):
        return None
    if layout.dtype.kind == "f":
        return _in_type(number, layout.dtype)
    limits = np.iinfo(layout.dtype)
    fits = number.is_integer() and limits.min <= number <= limits.max
    return number if fits else None


def _has_other_numbers(details: ImageDetails) -> bool:
    """Whether the pixels are handed out as other numbers than those in the file."""
    return details.palette or details.white_is_zero or details.bits in FEW_BITS


def _in_type(number: float, dtype: np.dtype[np.floating]) -> float:
    """The number as it is stored in a floating type."""
    with np.errstate(over="ignore"):
        return float(dtype.type(number))
