"""`convcli.explain` of Python: it explains a filter on an array, a Series or a DataFrame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.checking.explain import explain_filter, small_plan
from convcli.errors import RequestError
from convcli.running.arrays import as_array, is_pandas, no_numbers, source_of
from convcli.running.index_times import times_of_index
from convcli.running.python_arguments import check_axes, check_filter, check_rules, errors_in_python

if TYPE_CHECKING:
    from convcli.facts.explanation import ExplanationFacts
    from convcli.signals import Align, Array, Edge, Signal


@errors_in_python
def explain_arrays(
    filter: str,
    x: Any,
    *,
    signal: Signal | None = None,
    axes: int | None = None,
    edge: Edge | None = None,
    align: Align | None = None,
    matrix: bool = False,
) -> ExplanationFacts:
    """Compute FILTER on a small signal and record every stage.

    x : (n,) or (rows, columns) for one channel, with another dimension for several channels, which
        come last; NaN and what a masked array masks are missing. A Series or a DataFrame is a
        table, as for `convcli.apply`.
    signal : what the samples are; by default an array without a rate, with channels x1, x2, ...
    axes : number of sample axes; by default every dimension of an array is one
    edge, align : by default those of the medium: zero and center for arrays, shrink and causal for
        tables
    matrix : whether to add the filter as a matrix, which needs linear steps and one channel

    Returns facts: `stages`, each with the windows, the products and the sum of every output, and
    `result`. Raises `RequestError` for steps that see the whole signal, and for signals too large
    to read.

    >>> explain_arrays("sma:3", [0.0, 3.0, 0.0]).result
    (1.0, 1.0, 1.0)
    """
    check_filter(filter)
    check_axes(axes)
    check_rules(edge=edge, align=align)
    if is_pandas(x):
        samples, described = _table_samples(x)
        signal = signal or described
    else:
        samples = _array_samples(x, signal.axes if signal is not None else axes)
    plan, samples = small_plan(filter, samples, signal=signal, axes=axes, edge=edge, align=align)
    return explain_filter(plan, samples, matrix=matrix)


def _table_samples(x: Any) -> tuple[Array, Signal]:
    """The numeric columns of a Series or a DataFrame, and the signal that they are."""
    source = source_of(x)
    signal = source.signal
    times = times_of_index(x.index)
    if times is not None and times.step:
        signal = times.regular_signal(signal)
    nothing = np.empty((0, len(signal.channels)))
    return np.concatenate([*source.blocks, nothing]), signal


def _array_samples(x: Any, axes: int | None) -> Array:
    """Numbers of one or two sample axes, and perhaps channels. RequestError for anything else."""
    array = as_array(x)
    if array.dtype.kind not in "fiub":
        raise no_numbers(f"an array of {array.dtype}")
    most = 2 if axes is None else axes + 1
    least = 1 if axes is None else axes
    if not least <= array.ndim <= most:
        raise RequestError(
            f"expected {least} or {most} dimensions, got an array of shape {array.shape}",
            hint="axes=1 or axes=2 for samples that an axis of channels follows",
        )
    return array.astype(np.float64)
