"""Kaiser's formulas for the number of taps, the attenuation and the width of the transition.

Kaiser, Nonrecursive digital filter design using the I0-sinh window function, 1974. Widths of
transitions are in cycles per sample, attenuations in dB. The designs of filters and of resamplers
call them.
"""

from __future__ import annotations

import math


def attenuation(count: int, width: float) -> float:
    """The attenuation that `count` taps reach over a transition of `width`."""
    return 7.95 + 14.36 * width * (count - 1)


def length(attenuation: float, width: float) -> float:
    """The number of taps, less 1, that reach `attenuation` over a transition of `width`."""
    return max(attenuation - 7.95, 13.2) / (14.36 * width)


def width(count: int, attenuation: float) -> float:
    """The width of the transition over which `count` taps reach `attenuation`."""
    steps = max(count - 1, 1)
    return max(attenuation - 7.95, 13.2) / (14.36 * steps)


def beta(attenuation: float) -> float:
    """The shape parameter of the window for `attenuation`."""
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    excess: float = max(attenuation - 21, 0.0)
    return 0.5842 * math.pow(excess, 0.4) + 0.07886 * excess
