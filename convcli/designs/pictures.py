"""Filters for pictures only: edges with a direction, sharpening, the blurs of a camera.

Angles are in degrees, counter-clockwise from the right (90 is up).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from convcli.core.kernel import GradientPair, Kernel
from convcli.designs.registry import step
from convcli.designs.smoothing import TRUNCATE, gaussian_taps
from convcli.designs.taps import on_grid, refuse_huge, with_exact_sum
from convcli.errors import RequestError
from convcli.signals import Signal
from convcli.units import Angle, Length, Number

if TYPE_CHECKING:
    from convcli.array_types import Taps

# With a smaller sigma the Gaussian of gabor is one pixel, whose wave is nothing.
_LEAST_SPREAD = 0.1

Direction = Literal["x", "y", "magnitude"]
Edges = Kernel | GradientPair


def _need_image(signal: Signal, instead: str) -> None:
    if signal.axes != 2:
        needs = "needs a picture: rows and columns of pixels"
        message = f"{needs}; this signal has one axis of {signal.medium.sample}s"
        raise RequestError(message, hint=instead)


@step("image", example="sobel")
def sobel(direction: Direction = "magnitude", *, signal: Signal) -> Edges:
    """Edges by the weights 1,2,1 across and -1,0,1 along.

    direction : x is positive where brightness rises to the right, y where it rises downwards,
        magnitude is sqrt(x**2 + y**2)

    The usual whole weights, not divided: a ramp of 1 per pixel gives 8. Raises RequestError for
    anything but a picture, as does every step of this family.
    """
    return _edges((1, 2, 1), direction, signal)


@step("image", example="prewitt")
def prewitt(direction: Direction = "magnitude", *, signal: Signal) -> Edges:
    """Edges by the weights 1,1,1 across and -1,0,1 along.

    direction : x, y or magnitude, as in sobel. Not divided: a ramp of 1 per pixel gives 6.
    """
    return _edges((1, 1, 1), direction, signal)


@step("image", example="scharr")
def scharr(direction: Direction = "magnitude", *, signal: Signal) -> Edges:
    """Edges by the weights 3,10,3 across and -1,0,1 along; the most alike in all directions.

    direction : x, y or magnitude, as in sobel. Not divided: a ramp of 1 per pixel gives 32.
        Weights: Scharr, 2000.
    """
    return _edges((3, 10, 3), direction, signal)


def _edges(across: tuple[int, int, int], direction: Direction, signal: Signal) -> Edges:
    _need_image(signal, "gradient is the difference along one axis")
    to_the_right = np.outer(across, (-1, 0, 1))
    x = Kernel.correlating(to_the_right)
    y = Kernel.correlating(to_the_right.T)
    if direction == "magnitude":
        return GradientPair((x, y))
    return x if direction == "x" else y


@step("image", example="sharpen:0.5")
def sharpen(amount: Number, *, sigma: Length = 1.0, signal: Signal) -> Kernel:
    """Sharpen by AMOUNT times the detail that a Gaussian of sigma= removes (unsharp mask).

    amount : 0.5 or 50%, at least 0; sigma : pixels. (1 + a) delta - a gaussian, one kernel that
        sums to 1.
    """
    _need_image(signal, "kernel:-1,3,-1 sharpens along one axis")
    if amount < 0:
        message = f"the amount must be at least 0, got {amount:g}"
        raise RequestError(message, hint="gaussian:SIGMA smooths")
    side = 2 * TRUNCATE * sigma + 1
    refuse_huge(side * side, f"sigma {sigma:g}", "a smaller sigma")
    bell = gaussian_taps(sigma)
    taps = -amount * np.outer(bell, bell)
    middle = bell.size // 2
    taps[middle, middle] += 1 + amount
    return Kernel(taps=with_exact_sum(taps, 1.0))


@step("image", example="emboss")
def emboss(angle: Angle = 135.0, *, signal: Signal) -> Kernel:
    """Relief: the picture lit from ANGLE, 135 (the upper left) by default.

    angle : degrees, where the light comes from

    The weights for 135 are -2,-1,0; -1,1,1; 0,1,2. In general they are 1 in the middle, and around
    it sqrt(2) times the distance from the middle, measured away from the light. The taps sum to 1.
    """
    _need_image(signal, "gradient is the difference along one axis")
    right, up = _direction(angle)
    y, x = np.mgrid[-1:2, -1:2]
    away = math.sqrt(2) * (y * up - x * right)
    away[1, 1] = 1
    return Kernel.correlating(with_exact_sum(np.round(away, 12), 1.0))


@step("image", example="motion:5,30")
def motion(length: Length, angle: Angle = 0.0, *, signal: Signal) -> Kernel:
    """Blur of a camera that moves LENGTH pixels in the direction ANGLE.

    length : pixels, at least 1
    angle : degrees

    The weight of a pixel is 1 less its distance to a line of LENGTH - 1 pixels through the middle,
    and 0 from a distance of 1 on; the taps sum to 1. motion:3 is 1,1,1 divided by 3.
    """
    _need_image(signal, "box:N is the same along one axis")
    if length < 1:
        raise RequestError(
            f"the length must be at least 1 pixel, got {length:g}", hint="motion:9,30"
        )
    right, up = _direction(angle)
    half = (length - 1) / 2
    half_width = half * abs(right)
    half_height = half * abs(up)
    columns = math.ceil(half_width + 1)
    rows = math.ceil(half_height + 1)
    _refuse_huge_grid(columns, rows, f"a motion of {length:g} pixels", "a shorter motion")
    along, across = _turned_grid(columns, rows, angle)
    beyond_end = np.maximum(np.abs(along) - half, 0)
    distance = np.hypot(beyond_end, across)
    weights = np.maximum(1 - distance, 0)
    taps = _trimmed(np.round(weights, 12))
    return _average(taps)


@step("image", example="disk:2")
def disk(radius: Length, *, signal: Signal) -> Kernel:
    """Mean over a disk of RADIUS pixels (a lens out of focus).

    radius : pixels, may be fractional

    The weight of a pixel is the part of its area inside the circle; the taps sum to 1.
    """
    _need_image(signal, "box:N is the same along one axis")
    side = 2 * radius + 1
    refuse_huge(side * side, f"a radius of {radius:g}", "a smaller radius")
    if radius <= 0.5:
        return Kernel(taps=np.ones((1, 1)))
    rings = math.ceil(radius - 0.5)
    quarter = _quarter_disk(radius, rings)
    symmetric = quarter + quarter.T  # strips of rows and of columns: alike in both directions
    from_middle = np.abs(np.arange(-rings, rings + 1))
    taps = _trimmed(symmetric[np.ix_(from_middle, from_middle)])
    return _average(taps)


def _quarter_disk(radius: float, rings: int) -> Taps:
    """(rings + 1, rings + 1) the covered part of each pixel from the middle to the right and down.

    Each pixel is cut into thin strips along its row; the covered length of a strip is exact.
    """
    strips = 64
    middle_of_strip = (np.arange(strips) + 0.5) / strips
    offset = middle_of_strip - 0.5
    pixel = np.arange(rings + 1)
    quarter = np.empty((rings + 1, rings + 1))
    for y in pixel:
        squared = radius**2 - (y + offset) ** 2
        half_chord = np.sqrt(np.maximum(squared, 0))[:, None]
        right = np.minimum(pixel + 0.5, half_chord)
        left = np.maximum(pixel - 0.5, -half_chord)
        quarter[y] = np.clip(right - left, 0, 1).mean(axis=0)
    return quarter


@step("image", example="gabor:6,45")
def gabor(
    wavelength: Length,
    angle: Angle = 0.0,
    *,
    sigma: Length | None = None,
    aspect: Number = 0.5,
    phase: Angle = 0.0,
    signal: Signal,
) -> Kernel:
    """Waves of one WAVELENGTH and direction under a Gaussian (texture, lines).

    wavelength : pixels, at least 2
    angle : degrees, the direction in which the waves follow each other
    sigma : pixels, 0.56 wavelengths by default (one octave)
    aspect : sigma along over sigma across the direction
    phase : degrees, 0 for lines, 90 for edges

    The taps are exp(-(u**2 + (aspect v)**2) / (2 sigma**2)) cos(2 pi u / wavelength + phase), cut
    at 4 sigma, less the multiple of the Gaussian that makes the sum 0, and scaled to a gain of 1
    for waves of that length and direction. Raises RequestError where nothing is left (two pixels,
    90 degrees).
    """
    _need_image(signal, "bandpass:F1,F2 picks waves along one axis")
    spread = 0.56 * wavelength if sigma is None else sigma
    if wavelength < 2 or aspect <= 0:
        expected = "the wavelength must be at least 2 pixels, the aspect above 0"
        message = f"{expected}; got {wavelength:g} and {aspect:g}"
        raise RequestError(message, hint="gabor:8,45,aspect=0.5")
    if spread < _LEAST_SPREAD:
        message = f"sigma must be at least {_LEAST_SPREAD:g} pixels, got {spread:g}"
        raise RequestError(message, hint="sigma=3")
    u, v = _ellipse_grid(TRUNCATE * spread, TRUNCATE * spread / aspect, angle)
    squared_distance = u**2 + (aspect * v) ** 2
    bell = np.exp(-0.5 * squared_distance / spread**2)
    radians = 2 * np.pi * u / wavelength
    waves = bell * np.cos(radians + math.radians(phase))
    waves -= bell * (waves.sum() / bell.sum())
    terms = waves * np.exp(-1j * radians)
    gain = abs(complex(terms.sum()))
    if gain < 1e-9 * bell.sum():
        message = f"waves of {wavelength:g} pixels at phase {phase:g} vanish on the pixel grid"
        raise RequestError(message, hint="a longer wavelength, or phase=0")
    return Kernel.correlating(with_exact_sum(waves / gain, 0.0))


def _direction(angle: float) -> tuple[float, float]:
    """A step of 1 in the direction `angle`, (to the right, upwards); exact at multiples of 90."""
    radians = math.radians(angle)
    return round(math.cos(radians), 15), round(math.sin(radians), 15)


def _ellipse_grid(along: float, across: float, angle: float) -> tuple[Taps, Taps]:
    """`_turned_grid` that covers an ellipse with half axes `along` and `across` the direction."""
    right, up = _direction(angle)
    half_width = math.hypot(along * right, across * up)
    half_height = math.hypot(along * up, across * right)
    hint = "a shorter wavelength or a smaller sigma"
    _refuse_huge_grid(half_width, half_height, "this gabor", hint)
    return _turned_grid(math.ceil(half_width), math.ceil(half_height), angle)


def _turned_grid(columns: int, rows: int, angle: float) -> tuple[Taps, Taps]:
    """Coordinates along and across the direction `angle`.

    Pixels go from -rows to rows and from -columns to columns.
    """
    right, up = _direction(angle)
    y, x = np.mgrid[-rows : rows + 1, -columns : columns + 1]
    return x * right - y * up, x * up + y * right


def _refuse_huge_grid(columns: float, rows: float, what: str, hint: str) -> None:
    width = 2.0 * columns + 1
    height = 2.0 * rows + 1
    refuse_huge(width * height, what, hint)


def _average(weights: Taps) -> Kernel:
    """The kernel whose taps are the weights divided by their sum."""
    taps = weights / weights.sum()
    return Kernel(taps=on_grid(taps, 1.0))


def _trimmed(taps: Taps) -> Taps:
    """`taps` without the rows and columns of zeros around them; the middle stays the middle."""
    rows = np.flatnonzero(taps.any(axis=1))
    columns = np.flatnonzero(taps.any(axis=0))
    return taps[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
