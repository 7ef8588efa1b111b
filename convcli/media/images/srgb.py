"""Linear light and luma, by the curve of sRGB and the weights of BT.709."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from convcli.signals import LUMA, LUMA_SUM

if TYPE_CHECKING:
    from convcli.array_types import AnyArray
    from convcli.signals import Array


def to_light(values: Array) -> Array:
    """Linear light 0..1 from sRGB values 0..1 (IEC 61966-2-1, section 5.2).

    The curve is odd about 0, so that values outside the range are kept.

    >>> to_light(np.array([0.0, 0.5, 1.0])).round(4).tolist()
    [0.0, 0.214, 1.0]
    """
    size = np.abs(values)
    curved = ((size + 0.055) / 1.055) ** 2.4
    light = np.where(size <= 0.04045, size / 12.92, curved)
    return np.copysign(light, values)


def from_light(light: Array) -> Array:
    """Convert linear light to sRGB values: the inverse of `to_light`.

    >>> from_light(np.array([0.0, 0.214041, 1.0])).round(4).tolist()
    [0.0, 0.5, 1.0]
    """
    size = np.abs(light)
    curved = 1.055 * size ** (1 / 2.4) - 0.055
    values = np.where(size <= 0.0031308, size * 12.92, curved)
    return np.copysign(values, light)


@cache
def light_table(full: int) -> Array:
    """The linear light 0..full of every stored value 0..full."""
    values = np.arange(full + 1) / full
    light = to_light(values)
    table: Array = light * full
    table.flags.writeable = False
    return table


def luma(colours: AnyArray) -> Array:
    """Y of (rows, columns, 3) colours, as (rows, columns, 1).

    Element by element, so that strips do not matter.
    """
    red, green, blue = (colours.dtype.type(part / LUMA_SUM) for part in LUMA)
    y: Array = colours[..., 0:1] * red
    y += colours[..., 1:2] * green
    y += colours[..., 2:3] * blue
    return y
