"""What filters under Kaiser's window need and reach (Kaiser, Nonrecursive digital filter design, 1974)."""

from __future__ import annotations

import math


def attenuation(count: int, width: float) -> float:
    """The dB that `count` taps reach over a transition of `width` cycles/sample."""
    return 7.95 + 14.36 * width * (count - 1)


def length(attenuation: float, width: float) -> float:
    """How many samples the taps span that fall by `attenuation` dB over `width` cycles/sample: their number less 1."""
    return max(attenuation - 7.95, 13.2) / (14.36 * width)


def width(count: int, attenuation: float) -> float:
    """The transition, in cycles/sample, in which `count` taps fall by `attenuation` dB."""
    return max(attenuation - 7.95, 13.2) / (14.36 * max(count - 1, 1))


def beta(attenuation: float) -> float:
    """The shape of the window for this many dB."""
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    excess: float = max(attenuation - 21, 0.0)
    return 0.5842 * math.pow(excess, 0.4) + 0.07886 * excess
