"""Other forms of a filter of a small signal: its result, its matrix, an expression of PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.ops import Convolve
from convcli.errors import RequestError
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run

if TYPE_CHECKING:
    from convcli.facts.explanation import StageFacts
    from convcli.planning.plan import Plan
    from convcli.signals import Array, Edge

# With more elements than this, nobody reads a matrix.
LARGEST_MATRIX = 1024
# The mode of torch.nn.functional.pad for each edge rule; `valid` needs none, others have none.
PAD_MODES = {
    "zero": "constant",
    "edge": "replicate",
    "reflect": "reflect",
    "wrap": "circular",
    "valid": "",
}


def filter_samples(plan: Plan, x: Array) -> Array:
    """Filter a signal, (n, channels) or (rows, columns, channels)."""
    sink = Collected()
    source = Blocks(plan.signal, [x])
    run(plan, source, sink, threads=1)
    if not sink.parts:
        lengths = [n or 0 for n in plan.result.shape]
        return np.empty((*lengths, len(plan.result.channels)))
    return np.concatenate(sink.parts)


def matrix_of(plan: Plan, x: Array) -> Array:
    """Return the matrix M of a linear filter, so that its outputs are M @ x.ravel().

    x : (n, 1) or (rows, columns, 1)
    Column i holds the outputs for an impulse at sample i. Raises RequestError for steps that are
    not linear, for several channels or missing samples, and for more samples than a page can show.
    """
    if x.shape[-1] > 1 or len(plan.result.channels) > 1:
        raise RequestError(
            "a matrix is shown for one channel", hint="choose one, or leave --matrix out"
        )
    for step in plan.steps:
        if any(not isinstance(op, Convolve) for op in step.ops):
            raise step.call.error(f"{step.call.name} is not linear, and so no matrix")
    if np.isnan(x).any():
        raise RequestError("a matrix needs a signal without missing values")
    if x.size**2 > LARGEST_MATRIX:
        raise RequestError(
            f"a matrix for {x.size} samples is too large to be looked at", hint="at most 32 samples"
        )
    if not x.size:
        return np.zeros((0, 0))
    impulses = np.eye(x.size).reshape(x.size, *x.shape)
    columns = [filter_samples(plan, impulse).ravel() for impulse in impulses]
    return np.stack(columns, axis=1)


def torch_expression(stage: StageFacts, edge: Edge) -> str:
    """Return an expression with torch.nn.functional that computes the same convolution.

    Empty if the stage is no convolution, or if PyTorch has no such edge rule.
    """
    if stage.flipped is None or edge not in PAD_MODES:
        return ""
    x = "x"
    padding = _padding(stage)
    if edge != "valid" and any(padding):
        mode = PAD_MODES[edge]
        if not _can_pad(stage, mode):
            return ""
        x = f"pad(x, {padding})" if mode == "constant" else f"pad(x, {padding}, {mode!r})"
    arguments = f"{x}, w"
    axes = len(stage.stride)
    if any(step > 1 for step in stage.stride):
        arguments += f", stride={stage.stride if axes > 1 else stage.stride[0]}"
    weights = str(_rounded(stage.laid))
    if stage.divisor != 1:
        weights += f" / {stage.divisor:g}"
    return f"conv{axes}d({arguments}) with w = {weights}"


def _padding(stage: StageFacts) -> tuple[int, ...]:
    """Return the padding as torch.nn.functional.pad takes it: before and after, last axis first."""
    pairs = list(zip(stage.before, stage.after, strict=True))
    return tuple(side for pair in reversed(pairs) for side in pair)


def _can_pad(stage: StageFacts, mode: str) -> bool:
    """Whether PyTorch pads so far: it mirrors n - 1 samples at most, and wraps around once."""
    if mode not in ("reflect", "circular"):
        return True
    margin = 1 if mode == "reflect" else 0
    for before, after, n in zip(stage.before, stage.after, stage.length, strict=True):
        if max(before, after) > n - margin:
            return False
    return True


def _rounded(taps: Any) -> Any:
    """Convert nested tuples of taps to lists of numbers with at most six digits."""
    if isinstance(taps, tuple):
        return [_rounded(tap) for tap in taps]
    if taps == int(taps):
        return int(taps)
    return float(f"{taps:.6g}")
