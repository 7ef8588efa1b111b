"""Taps from the user: written out, from a file of numbers, or from the sound file of a response."""

from __future__ import annotations

import math
import sys
from typing import Annotated

import numpy as np

from convcli.array_types import Taps
from convcli.core.kernel import Kernel, KernelMatrix, PerChannel
from convcli.designs.registry import step
from convcli.designs.taps import refuse_huge
from convcli.errors import InputError, RequestError
from convcli.named_files import named_place
from convcli.signals import Signal
from convcli.units import Gain, Integer, Kind, UnitError, parse_quantity


def _read_taps(text: str, signal: Signal) -> Taps:
    """The taps of `0,-1,0;-1,5,-1;0,-1,0` or `@taps.csv`: (k,) or (rows, columns)."""
    text = text.strip()
    if text.startswith("@"):
        from convcli.designs.tapfiles import read_tap_file

        name = text[1:].strip()
        return _shaped(read_tap_file(named_place(name)), text, signal)
    rows = [[_read_tap(item) for item in row.split(",")] for row in text.split(";")]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise UnitError(f"row {number} has {len(row)} taps, row 1 has {len(rows[0])}")
    taps = np.array(rows)
    if len(rows) > 1 and signal.axes == 1:
        raise _needs_picture(taps, signal)
    return _shaped(taps, text, signal)


def _read_tap(item: str) -> float:
    if not item.strip():
        expected = "expected taps such as 1,2,1 or @taps.csv"
        raise UnitError(f"{expected}, got nothing where a number should be")
    quantity = parse_quantity(item)
    if quantity.unit != "":
        raise UnitError(f"a tap is a plain number, got {item.strip()!r}")
    return quantity.value


def _shaped(taps: Taps, text: str, signal: Signal) -> Taps:
    """`taps` with as many axes as the signal has; one row is a (1, k) kernel on a picture."""
    refuse_huge(taps.size, f"kernel {text[:40]}", "fewer taps")
    if taps.size and float(np.abs(taps).max()) > sys.float_info.max / taps.size:
        problem = "the taps add up to more than the largest number"
        raise UnitError(f"{problem}; divide them all by one factor")
    if signal.axes == 2:
        return np.atleast_2d(taps)
    if taps.ndim == 2 and min(taps.shape) > 1:
        raise _needs_picture(taps, signal)
    return taps.ravel()


def _needs_picture(taps: Taps, signal: Signal) -> UnitError:
    shape = "x".join(str(side) for side in taps.shape)
    needs = f"a kernel of {shape} taps needs a picture"
    return UnitError(f"{needs}; this signal has one axis of {signal.medium.sample}s")


TapsText = Annotated[Taps, Kind("taps", _read_taps, takes_all=True)]


@step("given taps", example="kernel:1,2,1")
def kernel(taps: TapsText, *, normalize: bool = False) -> Kernel:
    """Convolve with these taps (true convolution: the kernel is flipped).

    taps : numbers, rows split by ";", or @taps.csv, @taps.txt, @taps.npy; on a picture one row is a
        1 x K kernel.
    normalize : divide by the sum of the taps. y[t] = sum_j g[j] x[t - j + c], c = (K - 1) // 2 when
        centred.
    Two-dimensional taps need a picture. Raises RequestError for normalize= with a sum of 0.

    >>> kernel(np.array([1.0, 2.0, 1.0]), normalize=True).weights
    array([0.25, 0.5 , 0.25])
    """
    return Kernel(taps=np.array(taps), divisor=_divisor(taps) if normalize else 1.0)


@step("given taps", example="correlate:1,2,3", correlates=True)
def correlate(taps: TapsText, *, normalize: bool = False) -> Kernel:
    """Correlate with these taps (not flipped: as Conv1d, Conv2d and the filters of deep learning).

    taps, normalize : as in kernel. y[t] = sum_j g[j] x[t + j - c], c = K // 2 when centred, as
        numpy.correlate: the same as kernel with the taps in reverse.

    >>> correlate(np.array([1.0, 2.0, 3.0])).taps
    array([3., 2., 1.])
    """
    return Kernel.correlating(taps, divisor=_divisor(taps) if normalize else 1.0)


def _divisor(taps: Taps) -> float:
    total = math.fsum(taps.ravel())
    if abs(total) <= 1e-12 * float(np.abs(taps).sum()):
        message = "normalize=true divides by the sum of the taps, and these sum to 0"
        raise RequestError(message, hint="without normalize=true")
    return total


@step("given taps", example="ir:sample_data/room.wav,wet=0.3")
def ir(
    path: str,
    *,
    wet: Gain = 1.0,
    normalize: bool = False,
    channel: Integer | None = None,
    signal: Signal,
) -> Kernel | PerChannel | KernelMatrix:
    """Convolve with an impulse response from a sound file (a hall, a loudspeaker, a plate).

    path : a sound file
    wet : share of the result, 0 ... 1; the rest is the unfiltered signal
    channel : which channel of the file, from 1
    normalize : scale the response to an energy of 1, so that noise keeps its level

    A response with several channels filters each channel of the signal with its own; a mono
    signal becomes as many channels as the response has. A response with four channels on a stereo
    signal is true stereo, in the order LL, LR, RL, RR (from, to): left = LL * left + RL * right,
    right = LR * left + RR * right. A response at another rate is converted
    with its gain kept: resampled by soxr, times the ratio of the rates, because y = sum h x
    approximates an integral over time whose step is 1 / rate. Raises RequestError for numbers of
    channels that do not fit, for a signal without a rate and for pictures; InputError where the
    file cannot be read, is empty or holds NaN.
    """
    from convcli.designs.impulse_responses import impulse_response

    if signal.axes == 2 or signal.rate is None:
        message = "needs a signal with a sampling rate, to play the response at its speed"
        hint = "`convcli csv --time COLUMN` gives a table its rate; without one kernel:@taps.csv"
        raise RequestError(message, hint=hint)
    if not 0 <= wet <= 1:
        raise RequestError(f"wet must be in 0 ... 1, got {wet:g}", hint="wet=0.3 or wet=30%")
    response = impulse_response(named_place(path), rate=signal.rate, channel=channel)
    channels = response.taps.shape[1]
    given = len(signal.channels)
    is_crossed = given > 1 and channels == given**2
    if not is_crossed:
        _check_channels(path, channels, given)
    gain = wet * _unit_energy_gain(response.taps, path) if normalize else wet
    taps = response.taps * gain
    # The unfiltered signal of a channel goes to that channel alone.
    dry = slice(None, None, given + 1) if is_crossed else slice(None)
    taps[response.start, dry] += 1 - wet
    kernels = tuple(
        Kernel(taps=each, centre=(response.start,), note=response.note) for each in taps.T
    )
    if is_crossed:
        return KernelMatrix(kernels, given)
    return kernels[0] if channels == 1 else PerChannel(kernels)


def _check_channels(path: str, channels: int, given: int) -> None:
    """Raise RequestError where the channels of a response do not go with those of the signal."""
    if channels > 1 and given not in (1, channels):
        message = f"{path} has {channels} channels and the signal {given}"
        raise RequestError(message, hint="channel=1 takes the first for all of them")


def _unit_energy_gain(taps: Taps, path: str) -> float:
    """The gain that gives the loudest channel of a response an energy of 1."""
    energies = np.sum(taps**2, axis=0)
    norm = float(np.sqrt(energies.max()))
    if norm == 0:
        message = f"{path}: the impulse response is silent, nothing to normalize"
        raise InputError(message, hint="without normalize=true")
    return 1 / norm
