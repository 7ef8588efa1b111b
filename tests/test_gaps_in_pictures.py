"""Pictures with missing samples: windows with a gap are added up anew, in patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convcli
from convcli.core.missing import PATCH_ROWS, _patches

# The taps of `gaussian:3`, but for a factor.
LINE = np.exp(-0.5 * (np.arange(-12, 13) / 3) ** 2)


def picture(rows: int, columns: int, share: float) -> Any:
    """Random samples, of which a share is missing."""
    rng = np.random.default_rng(5)
    x: Any = rng.random((rows, columns))
    x[rng.random(x.shape) < share] = np.nan
    return x


def known_means(x: Any) -> Any:
    """The weighted mean of the known samples of every window within a picture."""
    weights = np.outer(LINE, LINE)
    windows = np.lib.stride_tricks.sliding_window_view(x, weights.shape)
    known = np.isfinite(windows)
    sums = (np.where(known, windows, 0) * weights).sum(axis=(2, 3))
    with np.errstate(invalid="ignore"):
        return sums / (known * weights).sum(axis=(2, 3))


@pytest.mark.parametrize("share", [0.001, 0.05, 0.6])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-6)])
def test_means_of_known_samples(share: float, dtype: Any, tolerance: float) -> None:
    x = picture(230, 90, share).astype(dtype)
    y = convcli.apply("gaussian:3", x, edge="valid", missing="fill", axes=2)
    np.testing.assert_allclose(y, known_means(x.astype(float)), rtol=tolerance)


def test_a_window_of_missing_samples_is_missing() -> None:
    x = picture(100, 120, 0)
    x[:, 40:] = np.nan
    y = convcli.apply("gaussian:3", x, edge="valid", missing="fill", axes=2)
    assert np.isfinite(y[:, :40]).all()
    assert np.isnan(y[:, 40:]).all()


@pytest.mark.parametrize("share", [0.0005, 0.02])
def test_patches_hold_all_windows_that_are_wanted(share: float) -> None:
    wanted = np.random.default_rng(7).random((900, 300, 2)) < share
    seen = np.zeros(wanted.shape, int)
    for places in _patches(wanted, 5):
        rows, _ = places
        assert rows.stop - rows.start <= PATCH_ROWS + 10
        seen[places] += 1
    assert seen.max() == 1
    assert seen[wanted].all()


def test_a_border_takes_no_more_windows_than_it_has() -> None:
    """A picture with a missing border of 10 columns, under windows of 5 x 5 samples."""
    wanted = np.zeros((400, 1000, 1), np.bool_)
    wanted[:, :12] = True
    assert sum(wanted[places].size for places in _patches(wanted, 5)) == 400 * 12
