"""A convolution as it is computed, output by output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class SumFacts:
    """One output of a convolution: what lies under the kernel, and what comes of it.

    at : which output, one index per sample axis; first : the first input under the kernel
    x : the inputs under the kernel, None where missing; outside : which of them lie outside of the signal
    products : of inputs and kernel; total : their sum; y : the output, None where it is missing
    Nested like the axes of the signal: (k,) or (height, width).
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
    """One operation of a chain as it is computed.

    text : of the step; flipped : whether its taps run backwards over the signal, None where it has none
    taps : as given; laid : as they lie over the signal; divisor : of the sums; stride : inputs from output to output
    before, after : inputs read on both sides of the one that an output stands at; gaps : what a missing input does
    first : index of the first input; length : of the signal inside; inputs : the signal with what lies outside
    sums : of a convolution; outputs : all outputs, nested like the axes of the signal
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
    """A FILTER computed on a small signal, step by step.

    result : the outputs; matrix : the filter as a matrix, a row for each output and a column for each sample, or None
    torch : what computes the same in PyTorch; empty where nothing simple does
    """

    filter: str
    edge: str
    align: str
    stages: tuple[StageFacts, ...]
    result: Any
    matrix: Any = None
    torch: str = ""
