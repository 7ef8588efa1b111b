"""The filters of pictures: directions, sums, symmetry, known matrices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import convolve, correlate, gaussian_filter

from convcli.core.kernel import Kernel
from convcli.designs.pictures import disk, emboss, gabor, motion, prewitt, scharr, sharpen, sobel
from convcli.designs.registry import steps
from convcli.errors import RequestError
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.running.arrays import apply
from convcli.signals import Signal

Samples = np.ndarray[Any, Any]
Design = Callable[..., Any]
PICTURE = Signal(medium=IMAGE, shape=(9, 9), channels=("Y",))
SOUND = Signal(medium=AUDIO, shape=(None,), channels=("left",), rate=8000)
RAMP = np.arange(9.0)[None, :] + np.zeros((9, 1))


def applied(made: Kernel, x: Samples) -> float:
    """The middle of what SciPy's true convolution makes of `x` (odd kernels, centred)."""
    assert made.centre == tuple((k - 1) // 2 for k in made.taps.shape)
    return float(
        convolve(x, made.taps, mode="nearest")[x.shape[0] // 2, x.shape[1] // 2] / made.divisor
    )


def test_every_step_of_the_family_needs_a_picture() -> None:
    family = [
        step
        for step in steps().values()
        if step.family == "image" and step.design.__module__.endswith("pictures")
    ]
    arguments = {"sharpen": (1,), "motion": (5,), "disk": (2,), "gabor": (6,)}
    assert len(family) == 8
    for step in family:
        with pytest.raises(RequestError, match=r"needs a picture.* one axis of samples") as caught:
            step.design(*arguments.get(step.name, ()), signal=SOUND)
        assert caught.value.hint


@pytest.mark.parametrize(("design", "gain"), [(sobel, 8), (prewitt, 6), (scharr, 32)])
def test_edges_are_positive_where_brightness_rises_to_the_right_and_downwards(
    design: Design, gain: float
) -> None:
    assert applied(design("x", signal=PICTURE), RAMP) == gain
    assert applied(design("y", signal=PICTURE), RAMP.T) == gain
    assert applied(design("x", signal=PICTURE), RAMP.T) == 0
    assert applied(design("x", signal=PICTURE), RAMP[:, ::-1]) == -gain


def test_magnitude_is_a_pair_of_kernels() -> None:
    x, y = sobel(signal=PICTURE).kernels
    assert isinstance(x, Kernel)
    assert np.array_equal(x.taps, sobel("x", signal=PICTURE).taps)
    assert np.array_equal(y.taps, sobel("y", signal=PICTURE).taps)


@pytest.mark.parametrize("name", ["sobel", "prewitt", "scharr"])
def test_edges_are_those_of_scipy_and_opencv(name: str) -> None:
    import cv2
    from scipy import ndimage

    x = np.random.default_rng(6).normal(size=(9, 9))
    design = {"sobel": sobel, "prewitt": prewitt, "scharr": scharr}[name]
    ours = applied(design("x", signal=PICTURE), x)
    if name == "scharr":
        assert ours == pytest.approx(cv2.Scharr(x, cv2.CV_64F, 1, 0)[4, 4])
    else:
        assert ours == pytest.approx(getattr(ndimage, name)(x, axis=1)[4, 4])


@pytest.mark.parametrize("sample_type", ["u1", "f4", "f8"])
@pytest.mark.parametrize(
    ("text", "taps"),
    [
        ("scharr:y", [[-3, -10, -3], [0, 0, 0], [3, 10, 3]]),
        ("correlate:3,10,3;6,20,6;9,30,9", [[3, 10, 3], [6, 20, 6], [9, 30, 9]]),
        ("correlate:7,3,5;-14,-6,-10;49,21,35", [[7, 3, 5], [-14, -6, -10], [49, 21, 35]]),
        ("correlate:6,-9;4,-6", [[6, -9, 0], [4, -6, 0], [0, 0, 0]]),
    ],
)
def test_whole_taps_on_whole_pixels_are_exact(
    text: str, taps: list[list[int]], sample_type: str
) -> None:
    """Taps along one axis after the other, such as 3,10,3, are whole numbers as their products are.

    A sum that is off by the rounding of 3 / 10 has another sign and rank than its equals.
    """
    x = np.random.default_rng(7).integers(0, 256, (40, 50))
    y = apply(text, x.astype(sample_type), axes=2, edge="symmetric")
    assert np.array_equal(y, correlate(x, np.array(taps), mode="reflect"))


def test_sharpen_is_the_unsharp_mask() -> None:
    x = np.random.default_rng(7).normal(size=(41, 41))
    expected = x + 0.7 * (x - gaussian_filter(x, 1.5))
    assert applied(sharpen(0.7, sigma=1.5, signal=PICTURE), x) == pytest.approx(expected[20, 20])
    assert sharpen(0.7, signal=PICTURE).taps.sum() == 1
    assert sharpen(0, signal=PICTURE).identity
    with pytest.raises(RequestError, match="at least 0"):
        sharpen(-1, signal=PICTURE)


def test_emboss_is_lit_from_its_angle() -> None:
    correlating = np.flip(emboss(signal=PICTURE).taps)
    assert correlating.tolist() == [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]
    brighter_to_the_right = applied(emboss(180, signal=PICTURE), RAMP)
    assert brighter_to_the_right > RAMP[4, 4] > applied(emboss(0, signal=PICTURE), RAMP)
    brighter_downwards = applied(emboss(90, signal=PICTURE), RAMP.T)
    assert brighter_downwards > RAMP.T[4, 4]
    assert emboss(33, signal=PICTURE).taps.sum() == 1


def test_motion_along_the_axes_is_a_box() -> None:
    assert motion(3, signal=PICTURE).taps == pytest.approx(np.full((1, 3), 1 / 3))
    assert motion(5, 90, signal=PICTURE).taps == pytest.approx(np.full((5, 1), 1 / 5))
    assert motion(4, 180, signal=PICTURE).taps == pytest.approx(np.array([[1, 2, 2, 2, 1]]) / 8)
    assert motion(1, 45, signal=PICTURE).identity
    with pytest.raises(RequestError, match="at least 1 pixel"):
        motion(0.5, signal=PICTURE)


def test_motion_of_45_degrees_rises_to_the_right() -> None:
    taps = motion(9, 45, signal=PICTURE).taps
    n = taps.shape[0]
    assert np.trace(np.fliplr(taps)) > 2 * np.trace(taps)
    assert taps == pytest.approx(taps.T)
    assert n == taps.shape[1] == 7


@given(st.floats(1, 60), st.floats(-720, 720))
def test_motion_sums_to_1_and_is_the_same_from_both_ends(length: float, angle: float) -> None:
    taps = motion(length, angle, signal=PICTURE).taps
    assert taps.sum() == 1
    assert (taps >= 0).all()
    assert taps == pytest.approx(np.flip(taps), abs=1e-11)
    assert all(side % 2 == 1 for side in taps.shape)


@given(st.floats(0.01, 40))
def test_a_disk_sums_to_1_and_covers_its_area(radius: float) -> None:
    taps = disk(radius, signal=PICTURE).taps
    assert taps.sum() == 1
    assert np.array_equal(taps, taps.T)
    assert np.array_equal(taps, np.flip(taps))
    if radius > 1.5:
        inside = taps[taps.shape[0] // 2, taps.shape[1] // 2]
        assert 1 / inside == pytest.approx(math.pi * radius**2, rel=2e-3)


def test_a_small_disk_is_a_pixel() -> None:
    assert disk(0.5, signal=PICTURE).identity
    assert disk(1, signal=PICTURE).taps.shape == (3, 3)


@given(st.floats(2.5, 20), st.floats(0, 180), st.floats(0, 180))
def test_gabor_passes_its_waves_and_stops_a_constant(
    wavelength: float, angle: float, phase: float
) -> None:
    taps = gabor(wavelength, angle, phase=phase, signal=PICTURE).taps
    assert taps.sum() == 0
    y, x = np.mgrid[: taps.shape[0], : taps.shape[1]]
    turn = math.radians(angle)
    along = (
        2
        * np.pi
        / wavelength
        * ((x - taps.shape[1] // 2) * math.cos(turn) - (y - taps.shape[0] // 2) * math.sin(turn))
    )
    assert abs((taps * np.exp(1j * along)).sum()) == pytest.approx(1)


def test_a_gabor_of_phase_90_is_positive_where_brightness_falls_along_its_direction() -> None:
    falling, rising = (
        applied(gabor(8, phase=90, signal=PICTURE), x)
        for x in (-np.sign(RAMP - 4), np.sign(RAMP - 4))
    )
    assert falling > 0 > rising


@pytest.mark.parametrize(
    "make",
    [
        lambda: motion(1e9, 10, signal=PICTURE),
        lambda: disk(1e9, signal=PICTURE),
        lambda: gabor(1e6, signal=PICTURE),
        lambda: sharpen(1, sigma=1e9, signal=PICTURE),
    ],
)
def test_absurd_sizes_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(RequestError, match="at most"):
        make()


def test_gabors_that_make_no_sense() -> None:
    with pytest.raises(RequestError, match="at least 2"):
        gabor(1.5, signal=PICTURE)
    with pytest.raises(RequestError, match="aspect"):
        gabor(8, aspect=0, signal=PICTURE)
    with pytest.raises(RequestError, match="vanish"):
        gabor(2, phase=90, signal=PICTURE)
