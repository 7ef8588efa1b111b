"""`convcli.learn`, which learns a model from arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcli.errors import RequestError
from convcli.learning.learn import learn, pairs_at_rates
from convcli.learning.pairs import Pair
from convcli.learning.task import Task
from convcli.learning.trainer import TrainingOptions
from convcli.running.arrays import source_of
from convcli.running.blas_threads import one_blas_thread
from convcli.running.python_arguments import (
    check_flag,
    check_number,
    check_rules,
    check_whole,
    errors_in_python,
    is_whole,
    read_rate,
)
from convcli.units import to_size

if TYPE_CHECKING:
    from convcli.learning.learned_model import LearnedModel
    from convcli.signals import Align, Signal

# Taps that are learned by default with two sample axes, as of a picture.
_TAPS_OF_PLANES = "9x9"
# As --holdout: what is left must be learned from.
_LARGEST_HOLDOUT = 0.99


@errors_in_python
@one_blas_thread()
def learn_arrays(
    x: Any,
    target: Any = None,
    *,
    taps: int | tuple[int, ...] | None = None,
    layers: str | None = None,
    align: Align = "center",
    ahead: int = 0,
    bias: bool = False,
    residual: bool = False,
    mix: bool = False,
    ridge: float | None = None,
    holdout: float = 0.2,
    seed: int = 0,
    rate: float | str | None = None,
    axes: int | None = None,
) -> LearnedModel:
    """Learn the filter that turns `x` into `target` with the least squared error.

    x, target : arrays as `convcli.apply` takes them, of one length, or a target as long as the
        layers make it; without a target each sample is estimated from its neighbours (`--blind`)
    taps : length of the filter; (height, width) or one number for both with axes=2. By default 64
        samples, 20 rows of a table, or 9 x 9 with axes=2. A network has the lengths of its layers.
    layers : None learns one linear filter; a text such as "conv:8,9 | tanh | conv:1,1" trains a
        network
    align : "center", or "causal" for a filter that reads no later sample
    ahead : predict the target this many samples later, by a causal filter
    residual : a network learns the target minus `x`, and its output is added to `x`
    bias : learn a constant, too; mix : every output channel reads every input channel
    ridge : strength of the ridge; None tries several
    holdout : the part at the end of the signal on which the errors are measured
    seed : of the training of a network
    rate, axes : as in `convcli.apply`

    Returns a model: `facts` (errors beside those of naive answers), `tensors`, `warnings`, and
    `encoded()`, the bytes of a file that `model:` runs. Raises `RequestError` for a task that makes
    no sense, `InputError` for data that cannot be learned from.

    >>> import numpy as np
    >>> x = np.random.default_rng(1).normal(size=1000)
    >>> y = np.convolve(x, [0.5, 0.25, 0.25], "same")
    >>> learn_arrays(x, y, taps=3, ridge=0).tensors["0.weight"].round(6).tolist()
    [[[0.25, 0.25, 0.5]]]
    """
    check_rules(align=align)
    _check_numbers(ahead=ahead, seed=seed, ridge=ridge, holdout=holdout)
    for name, flag in (("bias", bias), ("residual", residual), ("mix", mix)):
        check_flag(name, flag)
    _check_layers(layers)
    pair = _pair(x, target, rate=read_rate(rate), axes=axes)
    if ahead and align == "center":
        align = "causal"
    task = Task(
        taps=_side_lengths(taps, pair.source.signal),
        align=align,
        bias=bias,
        residual=residual,
        ahead=ahead,
        blind=target is None,
        mix=mix,
        ridge=ridge,
        holdout=holdout,
    )
    pairs = pairs_at_rates(task, [pair], layers)
    return learn(task, pairs, layers=layers, training=TrainingOptions(seed=seed))


def _check_numbers(*, ahead: int, seed: int, ridge: float | None, holdout: float) -> None:
    """Raise a RequestError for an argument that is not a number of its kind."""
    check_whole("ahead", ahead, least=0)
    check_whole("seed", seed, least=0)
    if ridge is not None:
        check_number("ridge", ridge, least=0)
    check_number("holdout", holdout, least=0, most=_LARGEST_HOLDOUT)


def _check_layers(layers: Any) -> None:
    """Raise a RequestError unless `layers` is None or a text."""
    if layers is not None and not isinstance(layers, str):
        raise RequestError(f"layers expects a text such as 'conv:8,9 | tanh', got {layers!r}")


def _pair(x: Any, target: Any, *, rate: float | None, axes: int | None) -> Pair:
    """The arrays as a pair of signals, which has no target where each sample is its own."""
    source = source_of(x, rate=rate, axes=axes)
    wanted = None if target is None else source_of(target, rate=rate, axes=axes)
    return Pair(source, wanted, name="x")


def _side_lengths(taps: int | tuple[int, ...] | None, signal: Signal) -> tuple[int, ...]:
    """The length of the filter along each sample axis. RequestError if `taps` has no such form.

    taps : None for the length that is learned by default
    """
    axes = signal.axes
    if taps is None:
        return to_size(_TAPS_OF_PLANES if axes == 2 else signal.medium.taps, signal)
    sides = tuple(taps) if isinstance(taps, tuple | list) else (taps,) * axes
    if len(sides) != axes or not all(is_whole(side, least=1) for side in sides):
        form = "a length from 1 on" if axes == 1 else "one or two lengths from 1 on"
        raise RequestError(f"taps expects {form}, got {taps!r}")
    return sides
