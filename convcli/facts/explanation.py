"""Facts of `explain`: a convolution as it is computed, output by output.

Arrays are nested tuples with as many levels as the signal has sample axes, (k,) or (height, width);
None is a missing value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class SumFacts:
    """One output of a convolution: the window under the kernel, the products and their sum.

    at : index of the output, one for each sample axis
    first : index of the first input under the kernel
    x : the inputs under the kernel
    outside : for each of these inputs whether it lies outside of the signal
    products : each input times its tap
    total : sum of the products
    y : the output
    """

    at: tuple[int, ...]
    first: tuple[int, ...]
    x: Any
    outside: Any
    products: Any
    total: float
    y: float | None


@dataclass(frozen=True, kw_only=True)
class StageFacts:
    """One operation of a chain, with its inputs and outputs.

    text : the step of FILTER that the operation belongs to
    first : index of the first input; indices below 0 lie before the signal
    length : length of the signal along each axis, without the extension at its edges
    inputs : the signal, extended at its edges
    outputs : all outputs

    The other fields describe a convolution; other operations leave them empty.
    flipped : True for a convolution (the kernel is flipped), False for a correlation, else None
    taps : the kernel as given
    laid : the kernel as it lies over the signal, flipped if `flipped`
    divisor : divides each sum
    stride : inputs from one output to the next along each axis
    before, after : inputs read before and after the one that an output is aligned with
    gaps : how missing inputs are treated (`renormalise`, `hold`, `empty`)
    sums : how each output is computed
    """

    text: str
    first: tuple[int, ...]
    length: tuple[int, ...]
    inputs: Any
    outputs: Any
    flipped: bool | None = None
    taps: Any = ()
    laid: Any = ()
    divisor: float = 1.0
    stride: tuple[int, ...] = (1,)
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    gaps: str = ""
    sums: tuple[SumFacts, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ExplanationFacts:
    """A FILTER computed on a small signal, operation by operation.

    result : the outputs of the whole FILTER
    matrix : the filter as a matrix with a row for each output and a column for each sample, or None
    torch : an equal expression of PyTorch; empty if there is no simple one
    """

    filter: str
    edge: str
    align: str
    stages: tuple[StageFacts, ...]
    result: Any
    matrix: Any = None
    torch: str = ""
