"""Pictures of whole numbers equal the float64 result, rounded and clipped, as sounds do.

`convcli.apply` computes the float64 result. Where it is one half but for its own rounding, either
neighbour will do.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pyvips

import convcli
from convcli.core.chain import Chain
from convcli.core.convolution import refined, refined_resample
from convcli.core.convolution.convolve import correlate_valid
from convcli.core.convolution.resample import Resample
from convcli.media.images.levels import Levels, quantise
from convcli.media.images.medium import IMAGE
from convcli.planning.plan import make_plan, rules_for
from convcli.running.run import outputs_at
from convcli.signals import Signal

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

pyvips.cache_set_max(0)  # files are written again under the same names

SMOOTHING = (
    "gaussian:3",
    "gaussian:9",
    "gaussian:30",
    "gaussian:110",
    "box:3",
    "box:40",
    "disk:4",
    "motion:9,30",
)
WHOLE = (
    "kernel:0,-1,0;-1,5,-1;0,-1,0",
    "sobel",
    "sobel:x",
    "laplacian",
    "correlate:-60,68",
    "correlate:100,-100;1,1",
)
SMALLER = (
    "resize:50%",
    "resize:12.5%",
    "resize:37%",
    "resize:150%",
    "resize:90x61,method=cubic",
    "resize:70x200,method=linear",
    "upsample:2",
    "avg_pool:2",
    "avg_pool:7",
    "downsample:3",
)
CHAINS = (
    "sobel:x | abs | gaussian:1",
    "laplacian | laplacian",
    "emboss | max_pool:2",
    "laplacian | gain:25%",
)

# Kernels of either sign whose sums come near halves, alone and with others.
NEAR_HALVES = (
    "kernel:-0.3,0.9,-0.31;0.2,1.3,-0.7",
    "gabor:8,45",
    "lowpass:0.2,taps=31",
    "unsharp:2,0.5",
    "gaussian:1 | sobel",
    "gaussian:2 | gain:1.3",
    "std:5",
)

# Fractions, whose sums fall upon halves.
FRACTIONS = (
    *(
        "kernel:0.1,0.8,0.1",
        "correlate:0.3,0.3,0.4",
        "kernel:0.1,0.1;0.1,0.1,normalize=true",
        "gain:0.3",
        "offset:0.3",
    ),
    *(
        "box:5 | box:2",
        "box:5 | gain:1.5",
        "sobel | gain:0.1",
        "sobel:x | leaky_relu:0.1",
        "box:5 | max_pool:2",
    ),
    *("kernel:0.05,0.9,0.05 | laplacian", "wma:4 | offset:0.1", "avg_pool:5 | avg_pool:2"),
)


def picture(bits: int) -> Any:
    """Slopes with noise on them: about half of it at the ends of the range after an edge detector."""
    rows, columns = np.mgrid[:300, :420]
    slopes = 0.5 + 0.3 * np.sin(rows / 37)[..., None] * np.cos(
        columns[..., None] / np.array([19, 31, 53])
    )
    noisy = slopes + np.random.default_rng(bits).normal(0, 0.08, slopes.shape)
    full = (1 << bits) - 1
    return np.rint(np.clip(noisy, 0, 1) * full).astype(np.uint8 if bits == 8 else np.uint16)


def filtered(program: Program, folder: Path, x: Any, text: str, *more: str) -> Any:
    """The samples of a picture through the program."""
    kind = "srgb" if x.dtype == np.uint8 else "rgb16"
    pyvips.Image.new_from_array(x).copy(interpretation=kind).write_to_file(str(folder / "in.tif"))
    ended = program.run(
        "image", "-q", text, "in.tif", "-o", "out.tif", "--force", *more, cwd=folder
    )
    assert ended.code == 0, ended
    return pyvips.Image.new_from_file(str(folder / "out.tif")).numpy()


def differing(y: Any, truth: Any) -> float:
    """The part of the samples that differ from the truth as it would be stored, by 1 next to one half."""
    stored = np.clip(np.rint(truth), 0, np.iinfo(y.dtype).max)
    away = np.abs(y - stored)
    is_half = np.abs(truth - np.floor(truth) - 0.5) < 1e-9
    assert not away[~is_half].any()
    assert away.max() <= 1
    return float(np.count_nonzero(away) / away.size)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("text", SMOOTHING + WHOLE + SMALLER + CHAINS + NEAR_HALVES + FRACTIONS)
def test_pictures_of_whole_numbers(text: str, bits: int, program: Program, tmp_path: Path) -> None:
    x = picture(bits)[:200, :280]
    truth = convcli.apply(text, x.astype(np.float64), edge="edge", align="center")
    # Some 160,000 samples: a count of a few more is the luck of the draw.
    assert differing(filtered(program, tmp_path, x, text), truth) <= 1.2e-4


def test_whole_taps_whose_sums_float32_does_not_hold(program: Program, tmp_path: Path) -> None:
    x = np.random.default_rng(2).integers(200, 256, (300, 400, 1)).astype(np.uint8)
    text = "kernel:100000;-200000;100001"
    truth = convcli.apply(text, x.astype(np.float64), edge="edge", align="center")
    y = filtered(program, tmp_path, np.repeat(x, 3, axis=2), text)
    assert differing(y[..., :1], np.asarray(truth)) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (text, words)
        for text in ("gain:0.3", "correlate:0.3,0.3,0.4", "kernel:0.05,0.9,0.05")
        for words in (("--edge", "shrink"), ("--channels", "rgb"), ("--channels", "alpha"))
    ],
)
def test_bytes_that_come_in_another_way(
    text: str, words: tuple[str, str], program: Program, tmp_path: Path
) -> None:
    x = (
        np.concatenate([picture(8), 255 - picture(8)[..., :1]], axis=2)
        if "--channels" in words
        else picture(8)
    )
    part = {"rgb": x[..., :3], "alpha": x[..., 3:]}.get(words[1], x)
    truth = convcli.apply(text, part.astype(np.float64), edge="edge", align="center")
    y = filtered(program, tmp_path, x, text, *words)
    inner = (slice(None), slice(4, -4))
    assert (
        differing({"rgb": y[..., :3], "alpha": y[..., 3:]}.get(words[1], y)[inner], truth[inner])
        <= 1.2e-4
    )


@pytest.mark.parametrize("text", WHOLE)
def test_whole_numbers_of_bytes_are_exact_whatever_the_range(
    text: str, program: Program, tmp_path: Path
) -> None:
    x = picture(8)
    truth: Any = convcli.apply(text, x.astype(np.float64), edge="edge", align="center")
    ranges = {
        "clip": truth,
        "abs": np.abs(truth),
        "offset": truth + 128,
        "scale": (truth - truth.min()) * (255 / np.ptp(truth)),
    }
    if text == "sobel":
        ranges = {"clip": truth}  # roots, which float32 rounds
    for rule, values in ranges.items():
        assert differing(filtered(program, tmp_path, x, text, "--range", rule), values) == 0


@pytest.mark.parametrize("text", ["gaussian:1.5", "gabor:8,45"])
def test_sums_near_halves_of_a_part_or_a_range(text: str, program: Program, tmp_path: Path) -> None:
    x = picture(8)
    truth: Any = convcli.apply(text, x.astype(np.float64), edge="edge", align="center")
    weights = np.array([2126, 7152, 722]) / 10000
    brightness = (x @ weights)[..., None]
    brighter: Any = convcli.apply(text, brightness, edge="edge", align="center")
    wanted = {
        ("--range", "offset"): truth + 128,
        ("--range", "scale"): (truth - truth.min()) * (255 / np.ptp(truth)),
        ("--channels", "luma"): x + (brighter - brightness),
    }
    for words, values in wanted.items():
        assert differing(filtered(program, tmp_path, x, text, *words), values) == 0


@pytest.mark.parametrize("sides", [(7, 9), (12, 11), (15, 13), (40, 33), (3, 90)])
@pytest.mark.parametrize("signed", [False, True])
def test_the_error_of_float32_is_below_its_bound(sides: tuple[int, int], *, signed: bool) -> None:
    rng = np.random.default_rng(sides[0])
    w = rng.random(sides) - (0.5 if signed else 0.0)
    w /= np.abs(w).sum()
    bound = refined.error_of_sums(w)
    for x in (rng.integers(0, 256, (150, 400, 1)), rng.integers(250, 256, (150, 400, 1))):
        y = correlate_valid(x.astype(np.uint8), w, (1, 1), exact=False)
        assert y.dtype == np.float32
        for row, column in rng.integers(0, (150 - sides[0], 400 - sides[1]), (40, 2)):
            products = (x[row : row + sides[0], column : column + sides[1], 0] * w).ravel()
            error = abs(float(y[row, column, 0]) - math.fsum(products))
            size = math.fsum(np.abs(products))
            assert error <= bound.relative * size + bound.absolute


@pytest.mark.parametrize("sides", [(1, 45), (45, 1), (41, 90)])
@pytest.mark.parametrize("signed", [False, True])
def test_the_error_along_lines_is_below_its_bound(
    sides: tuple[int, int], *, signed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = []

    def compare(strips: Any, _: Any, bound: Any, in_double: Any, **__: Any) -> Any:
        (y,) = strips
        truth = in_double.everywhere()
        errors.append(np.abs(y - truth).max() / bound.absolute)
        return y

    monkeypatch.setattr(refined, "refine", compare)
    rng = np.random.default_rng(sides[0])
    lines = tuple(rng.random(side) - (0.5 if signed else 0.0) for side in sides)
    column, row = (w / np.abs(w).sum() for w in lines)
    x: Any = rng.integers(0, 256, (150, 200, 3)).astype(np.uint8)
    y = refined.refined_lines(x, (column, row), (2, 1), to_bytes=False)
    windows = np.lib.stride_tricks.sliding_window_view(x, sides, axis=(0, 1))[::2]
    np.testing.assert_allclose(y, windows @ row @ column, atol=1e-3)
    assert max(errors) < 1


def resamplers(ratio: tuple[int, int], method: Any) -> tuple[Resample, Resample]:
    """The resamplers of both axes of a picture."""
    rows, columns = (Resample.by(*ratio, method, axis=axis, axes=2) for axis in (0, 1))
    return rows, columns


@pytest.mark.parametrize("ratio", [(1, 2), (3, 2), (5, 12), (1, 8)])
@pytest.mark.parametrize("method", ["linear", "cubic", "lanczos3"])
def test_the_error_of_resampling_is_below_its_bound(
    ratio: tuple[int, int], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = []
    rows, columns = resamplers(ratio, method)
    both = refined_resample.RefinedResampling(rows.axis_taps.taps, columns.axis_taps.taps)
    span = ((7, 19), (4, 30))
    sides = [
        reach.needs(*of_axis)
        for reach, of_axis in zip((rows.reach[0], columns.reach[1]), span, strict=True)
    ]

    def compare(strips: Any, _: Any, bound: Any, in_double: Any, **__: Any) -> Any:
        (y,) = strips
        truth = in_double.everywhere()
        one_by_one = both._sums_at(np.nonzero(np.isfinite(y)), x, span).reshape(y.shape)
        np.testing.assert_allclose(truth, one_by_one, rtol=0, atol=1e-11)
        errors.append(np.abs(y - truth) / (bound.relative * np.abs(y) + bound.absolute))
        return y

    monkeypatch.setattr(refined_resample, "refine", compare)
    monkeypatch.setattr(refined_resample.RefinedResampling, "is_exact", False)
    shape = [high - low for low, high in sides]
    x: Any = np.random.default_rng(3).integers(0, 256, (*shape, 3)).astype(np.uint8)
    both(x, span)
    assert np.nanmax(errors) < 1


@pytest.mark.parametrize("method", ["linear", "cubic"])
@pytest.mark.parametrize("size", ["9x8", "21x16", "7x20"])
def test_resized_bytes_are_rounded_as_fractions_are(
    size: str, method: str, program: Program, tmp_path: Path
) -> None:
    x = picture(8)[:12, :14]
    width, height = map(int, size.split("x"))
    truth: Any = x.astype(object)
    truth = resized_in_fractions(truth, height, method)
    truth = resized_in_fractions(truth.swapaxes(0, 1), width, method).swapaxes(0, 1)
    y = filtered(program, tmp_path, x, f"resize:{size},method={method}")
    for found, exact in zip(y.ravel().tolist(), truth.ravel().tolist(), strict=True):
        inside = min(max(exact, Fraction(0)), Fraction(255))
        assert abs(found - inside) <= Fraction(1, 2)


def resized_in_fractions(x: Any, outputs: int, method: str) -> Any:
    """Rows of whole numbers resampled without rounding, beyond the ends by the outermost row."""
    ratio = Fraction(len(x), outputs)
    scale = max(ratio, Fraction(1))
    half = scale * (1 if method == "linear" else 2)
    y = []
    for k in range(outputs):
        place = (k + Fraction(1, 2)) * ratio - Fraction(1, 2)
        inputs = range(math.ceil(place - half), math.floor(place + half) + 1)
        weights = [interpolation(abs(i - place) / scale, method) for i in inputs]
        rows = [x[min(max(i, 0), len(x) - 1)] for i in inputs]
        products = [w * row for w, row in zip(weights, rows, strict=True)]
        y.append(sum(products) / sum(weights))
    return np.array(y)


def interpolation(d: Fraction, method: str) -> Fraction:
    """The weight at a distance, of a triangle or of the cubic of Catmull and Rom."""
    if method == "linear":
        return max(1 - d, Fraction(0))
    if d <= 1:
        return (3 * d**3 - 5 * d**2 + 2) / 2
    return max(2 - d, Fraction(0)) * -((d - 1) * (2 - d)) / 2


@pytest.mark.parametrize("ratio", [(1, 2), (5, 8), (6, 5)])
@pytest.mark.parametrize("most", [0, 100])
@pytest.mark.parametrize("contrast", [30, 125])
def test_resampled_bytes_are_rounded_as_their_samples_are(
    ratio: tuple[int, int], most: float, contrast: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain(resamplers(ratio, "lanczos3"), axes=2)
    assert chain._resampling_of_bytes is not None
    monkeypatch.setattr(refined_resample, "_MOST_READ_AGAIN", most)
    monkeypatch.setattr(refined_resample, "_MANY", 1)
    span = ((9, 40), (2, 90))
    shape = [np.diff(chain.needs(axis, *span[axis])[0])[0] for axis in (0, 1)]
    signs = np.random.default_rng(4).choice([-1, 1], (*shape, 3))
    x: Any = (125 + contrast * signs).astype(np.uint8)
    y, _ = chain.compute(x, span, (None, None))
    truth, _ = chain.compute(x.astype(np.float64), span, (None, None))
    # Results are bytes where Lanczos overshoots neither black nor white.
    overshoots = contrast == 125
    assert (truth.min() < 0) == (truth.max() > 255) == overshoots
    assert y.dtype == (np.float32 if overshoots else np.uint8)
    np.testing.assert_array_equal(np.rint(y), np.rint(truth))


def test_rows_of_bytes_resized_where_the_outside_is_missing(
    program: Program, tmp_path: Path
) -> None:
    x = picture(8)
    truth = convcli.apply("resize:420x150", x.astype(np.float64), edge="shrink", align="center")
    assert (
        differing(filtered(program, tmp_path, x, "resize:420x150", "--edge", "shrink"), truth) == 0
    )


def test_stripes_whose_means_all_come_near_halves(program: Program, tmp_path: Path) -> None:
    x = np.full((200, 240, 3), 100, np.uint8)
    x[::2] += 1
    truth = convcli.apply("gaussian:3", x.astype(np.float64), edge="edge", align="center")
    assert differing(filtered(program, tmp_path, x, "gaussian:3"), truth) <= 1


@pytest.mark.parametrize("sigma", [1, 3])
@pytest.mark.parametrize("step", [(1, 1), (2, 3)])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_means_in_strips_are_those_of_the_whole(
    sigma: float, step: tuple[int, int], channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = np.exp(-0.5 * (np.arange(-4 * sigma, 4 * sigma + 1) / sigma) ** 2)
    w = np.outer(line, line) / line.sum() ** 2
    x: Any = np.random.default_rng(5).integers(0, 256, (60, 1300, channels)).astype(np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape, axis=(0, 1))
    truth = np.einsum("...ij,ij", windows[:: step[0], :: step[1]], w)
    monkeypatch.setattr(refined, "_STRIP_SAMPLES", 1)
    assert len(list(refined._WeightedWindow(w, step).strips(x))) > 1
    y = refined.refined_mean(x, w, 1.0, step)
    assert y.dtype == np.uint8
    np.testing.assert_array_equal(y, np.rint(truth))
    # All are computed in float64 where most lie near one half.
    monkeypatch.setattr(refined, "_MOST_DOUBTFUL", 0.0)
    np.testing.assert_array_equal(refined.refined_mean(x, w, 1.0, step), y)


@pytest.mark.parametrize(
    ("text", "strips"),
    [("gaussian:3", 2), ("gaussian:1", 1), ("gaussian:3 | gain:2", 1), ("resize:12.5%", 1)],
)
def test_jobs_of_short_kernels_alone_are_long(text: str, strips: int) -> None:
    signal = Signal(medium=IMAGE, shape=(4000, 6000), channels=("R", "G", "B"))
    plan = make_plan(text, signal, rules_for(signal, text))
    done = outputs_at(plan, [55] * 40, range(3, 40))
    assert len(set(done)) == pytest.approx(37 / strips, abs=1)


@pytest.mark.parametrize(
    "text",
    [
        "laplacian | normalize",
        "laplacian | adaptive_max_pool:40",
        "laplacian | abs | adaptive_avg_pool:9x7",
    ],
)
def test_a_second_pass_after_whole_numbers(text: str, program: Program, tmp_path: Path) -> None:
    x = picture(8)
    truth: Any = convcli.apply(
        text.replace("normalize", "gain:1"), x.astype(np.float64), edge="edge", align="center"
    )
    if "normalize" in text:
        truth = truth * (255 / np.abs(truth).max())
    assert differing(filtered(program, tmp_path, x, text), truth) <= 1e-4


def test_what_is_cut_off_is_counted_by_channel(program: Program, tmp_path: Path) -> None:
    x = picture(8)
    for text in ("laplacian", "laplacian | gain:25%", "kernel:0,-1,0;-1,5,-1;0,-1,0"):
        truth: Any = np.rint(convcli.apply(text, x.astype(np.float64), edge="edge", align="center"))
        filtered(program, tmp_path, x, text, "--report", "facts.json")
        facts = (tmp_path / "facts.json").read_text()
        for channel, name in enumerate("RGB"):
            clipped = int(((truth < 0) | (truth > 255))[..., channel].sum())
            assert f'"{name}": {clipped}' in facts


@pytest.mark.parametrize(
    ("taps", "stored"),
    [("1,1;1,2", 255), ("-1,-1;1,-2", 0), ("60,60;1,2", 255), ("90,90;1,2", 255)],
)
def test_a_picture_that_is_cut_off_everywhere(
    taps: str, stored: int, program: Program, tmp_path: Path
) -> None:
    y = filtered(
        program,
        tmp_path,
        np.full((40, 50, 3), 200, np.uint8),
        f"correlate:{taps}",
        "--report",
        "facts.json",
    )
    assert (y == stored).all()
    assert '"R": 2000' in (tmp_path / "facts.json").read_text()


@pytest.mark.parametrize("stored", [np.uint8, np.uint16])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "span", [(-0.5, 300), (0, 255), (-100, 400), (-0.4, 255.49), (256, 300), (-9, -1)]
)
def test_many_values_are_rounded_half_to_even(
    span: tuple[float, float], dtype: type, stored: type
) -> None:
    levels = Levels(np.dtype(stored))
    values: Any = np.random.default_rng(1).uniform(*span, (300, 400, 3)).astype(dtype)
    values[::2] = np.clip(
        np.round(values[::2] * 2) / 2, *span
    )  # halves, and what lies just above them
    values[::3] = np.nextafter(values[::3], dtype(1e6))
    samples, below, above = quantise(values, levels, row=0)
    rounded = np.rint(values)
    np.testing.assert_array_equal(samples, np.clip(rounded, 0, levels.high))
    np.testing.assert_array_equal(below, (rounded < 0).sum(axis=(0, 1)))
    np.testing.assert_array_equal(above, (rounded > levels.high).sum(axis=(0, 1)))


@pytest.mark.parametrize(
    ("text", "taps"),
    [
        ("box:3", np.ones((3, 3), int)),
        ("box:5", np.ones((5, 5), int)),
        ("box:17", np.ones((17, 17), int)),
        ("binomial:5", np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])),
        ("kernel:1,2,1;2,4,2;1,2,1,normalize=true", np.outer([1, 2, 1], [1, 2, 1])),
    ],
)
def test_half_transparent_colours_are_rounded_half_to_even(
    text: str, taps: Any, program: Program, tmp_path: Path
) -> None:
    """The sums of colours times opacity are whole numbers, so that their quotient is known exactly."""
    rng = np.random.default_rng(4)
    x = rng.integers(0, 256, (150, 167, 4)).astype(np.uint8)
    x[..., 3] = rng.choice([0, 1, 2, 64, 127, 128, 254, 255], x.shape[:2])
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    pyvips.Image.new_from_array(x).copy(interpretation="srgb").write_to_file(str(source))
    assert program.run("image", "-q", text, source, "-o", target, cwd=tmp_path).code == 0
    height, width = taps.shape
    sides = ((height // 2, height // 2), (width // 2, width // 2), (0, 0))
    weighted = np.pad(x.astype(np.int64), sides, mode="edge")
    weighted[..., :3] *= weighted[..., 3:]
    windows = np.lib.stride_tricks.sliding_window_view(weighted, taps.shape, axis=(0, 1))
    sums = np.einsum("rcbij,ij->rcb", windows, taps)
    divisor = np.where(np.arange(4) < 3, np.maximum(sums[..., 3:], 1), taps.sum())
    whole, rest = np.divmod(sums, divisor)
    up = (2 * rest > divisor) | ((2 * rest == divisor) & (whole % 2 == 1))
    wanted = whole + up
    wanted[..., :3][sums[..., 3] == 0] = 0
    assert np.array_equal(pyvips.Image.new_from_file(str(target)).numpy(), wanted)
