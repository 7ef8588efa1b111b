"""What a resampler for sound leaves of images and aliases, measured on its finished response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from convcli import apply
from convcli.core.convolution.resample import TABULATED, Resample, _kaiser_sinc
from convcli.core.ops import Convolve
from convcli.designs.downsampling import resample
from convcli.media.audio.medium import AUDIO
from convcli.signals import Signal

if TYPE_CHECKING:
    from convcli.core.op import Op

Samples = np.ndarray[Any, Any]

RATES = [6000, 8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000]


def phases_of(ops: tuple[Op, ...]) -> int:
    last = ops[-1]
    return len(last.table) if isinstance(last, Resample) else 1


def impulse_response(op: Op, phases: int) -> Samples:
    """The taps at `phases` times the old rate: tap kM - iL weighs input i in output k."""
    if isinstance(op, Convolve):
        taps = op.taps / op.divisor
        spread = np.zeros((taps.size - 1) * phases + 1)
        spread[::phases] = taps
        return spread
    assert isinstance(op, Resample)
    place = {}
    for k, start in enumerate(op.starts.tolist()):
        for j, tap in enumerate(op.table[k].tolist()):
            place[k * op.step - (start + j) * phases] = tap
    low, high = min(place), max(place)
    taps = np.zeros(high - low + 1)
    taps[np.array(list(place)) - low] = list(place.values())
    return taps


@pytest.mark.parametrize("old", RATES)
def test_images_and_aliases_are_100_db_down_at_every_ratio(old: int) -> None:
    signal = Signal(medium=AUDIO, shape=(None,), channels=("left",), rate=old)
    for new in RATES:
        if new == old:
            continue
        ops = resample(str(new), signal=signal, align="center")
        phases = phases_of(ops)
        curves = [impulse_response(op, phases) for op in ops]
        points = 1 << (8 * sum(curve.size for curve in curves) - 1).bit_length()
        gains = [np.abs(np.fft.rfft(curve, points)) for curve in curves]
        total = np.prod([gain / gain[0] for gain in gains], axis=0)
        hertz = np.arange(total.size) * phases * old / points
        stopped = total[hertz > min(old, new) / 2]
        assert 20 * np.log10(stopped.max()) <= -100, (old, new)
        passed = total[hertz < 0.91 * min(old, new) / 2]
        assert np.abs(passed - 1).max() < 1e-4, (old, new)


def test_the_taps_of_a_simple_and_of_an_odd_ratio_agree() -> None:
    # Windows of few taps are computed point by point, those of many are read off a table.
    few = Resample.between(4, 1, passes=0.4, stops=0.6)
    many = Resample.between(4096, 1, passes=0.4, stops=0.6)
    for phase in range(4):
        lines = []
        for resampler, place in ((few, phase), (many, phase * 1024)):
            # The taps at their inputs: windows of one phase may begin earlier, with zeros.
            line = np.zeros(200)
            first = 100 + resampler.starts[place]
            line[first : first + resampler.table.shape[1]] = resampler.table[place]
            lines.append(line)
        assert np.abs(lines[0] - lines[1]).max() < 1e-8
        assert np.count_nonzero(lines[0]) > 20


def test_a_window_reaches_its_very_end() -> None:
    """Computed point by point, and read off a table: 1 / I0(beta) of the peak at its half-width."""
    at_the_end = np.full(1, 4.0)
    few = _kaiser_sinc(at_the_end, half=4.0, cutoff=0.9, beta=5.0)
    many = _kaiser_sinc(np.full(TABULATED, 4.0), half=4.0, cutoff=0.9, beta=5.0)
    np.testing.assert_allclose(few, np.sinc(0.9 * at_the_end), rtol=1e-12)
    np.testing.assert_allclose(many, np.sinc(0.9 * 4.0), rtol=1e-8)
    assert not _kaiser_sinc(np.full(1, 4.001), half=4.0, cutoff=0.9, beta=5.0).any()


def test_one_row_has_any_stride() -> None:
    """A pool that leaves one row leaves it within an array whose rows lie further apart."""
    x = np.random.default_rng(4).random((3, 131))
    pooled = apply("max_pool:5,stride=3", x, axes=2, edge="edge")
    expected = apply("resize:20x10,fit=inside", np.array(pooled), axes=2, edge="edge")

    y = apply("max_pool:5,stride=3 | resize:20x10,fit=inside", x, axes=2, edge="edge")

    assert y.shape == (1, 20)
    # The first outputs differ: a chain extends its input, and not what the pool makes of it.
    np.testing.assert_array_equal(y[:, 5:], expected[:, 5:])
