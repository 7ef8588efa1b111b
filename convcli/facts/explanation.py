"""Facts of `explain`: a convolution as it is computed, output by output.

Arrays are nested tuples with as many levels as the signal has sample axes, (k,) or (height, width);
None is a missing value. Where a stage takes or makes several channels, its arrays have one level
more for the channels, which comes first. `ContinuousFacts` are those of `--continuous`.
"""

from __future__ import annotations

from typing import Any

from convcli.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class SumFacts:
    """One output: the window that it is computed from, and for a convolution the products.

    channel : the output channel; reads : the input channels in the window
    at : index of the output, one for each sample axis
    first : index of the first input of the window
    x : the inputs of the window
    outside : for each sample of the window whether it lies outside of the signal; no level for the
        channels
    products : each input times its weight; None where the output is not a weighted sum
    total : sum of the products, without the bias; None where the output is not a weighted sum
    y : the output
    """

    channel: int = 0
    reads: tuple[int, ...] = (0,)
    at: tuple[int, ...]
    first: tuple[int, ...]
    x: Any
    outside: Any
    products: Any
    total: float | None
    y: float | None


@dataclass(frozen=True, kw_only=True)
class CopyFacts:
    """The kernel of a transposed convolution, multiplied by one input sample.

    channel : the input channel; adds_to : the output channels
    at : index of the input, one for each sample axis
    first : index of the first output that the products are added to; below 0 it is cut off
    x : the input
    products : the input times each weight; with several channels a level for those of `adds_to`
    """

    channel: int = 0
    adds_to: tuple[int, ...] = (0,)
    at: tuple[int, ...]
    first: tuple[int, ...]
    x: float
    products: Any


@dataclass(frozen=True, kw_only=True)
class SpreadFacts:
    """A transposed convolution: every input spreads the kernel over the outputs.

    kernel : the weights; with several channels (out, in / groups, ...)
    stride : outputs from one copy of the kernel to the next along each axis
    first : index of the first output of the copy of input 0
    at : index of the first output of the stage
    groups : an output channel reads the input channels of its group
    bias : a constant for each output channel; empty without one
    dilation : outputs from one tap to the next along each axis, between which the kernel is 0
    copies : one for each input, the input channels one after the other
    """

    kernel: Any
    stride: tuple[int, ...]
    first: tuple[int, ...]
    at: tuple[int, ...]
    groups: int = 1
    bias: tuple[float, ...] = ()
    dilation: tuple[int, ...] = ()
    copies: tuple[CopyFacts, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BranchFacts:
    """A branch of a group: as written, and its results, one for each output of the group.

    first : index of the first sample that the branch reads of those that reach the group
    results : as the outputs of a stage; with a level for the channels if `several`
    stages : how the branch is computed; none of `x`
    """

    text: str
    first: tuple[int, ...]
    several: bool
    results: Any
    stages: tuple[StageFacts, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StageFacts:
    """One operation of a chain, with its inputs and outputs.

    text : the step of FILTER that the operation belongs to
    channels_in, channels_out : names of the channels before and after
    first : index of the first input; indices below 0 lie before the signal
    length : length of the signal along each axis, without the extension at its edges
    inputs : the signal, extended at its edges
    outputs : all outputs
    stride : inputs from one output to the next along each axis
    before, after : inputs of a window before and after the one with the index of the output, times
        the stride
    at : index of the first output
    phases : outputs for each input along each axis; empty where there is one
    nn_call : the call of torch.nn.functional and jax.nn that computes the same, with {x} for the
        signal; empty if there is none
    nn_numbers : the names in braces in `nn_call`, each with a number for each channel
    nn_pool : the pool that computes the same, max_pool or min_pool; empty if there is none
    nn_windows : the function of torch and jax.numpy that reduces each window to the same number,
        with {windows} and their {axes}; empty if there is none
    branches : of a group, what it combines
    sums : how each output is computed, the output channels one after the other; empty for an
        operation that interpolates, and for a transposed convolution
    spread : of a transposed convolution, how its inputs make the outputs, as long as none of them
        is missing

    The other fields describe a convolution; other operations leave them empty.
    flipped : True for a convolution (the kernel is flipped), False for a correlation, else None
    taps : the kernel as given; empty where there are several channels
    laid : the weights as they lie over the window; with several channels (out, in / groups, ...)
    groups : an output channel reads the input channels of its group
    divisor : divides each sum
    bias : a constant for each output channel, added to each of its sums; empty without one
    gaps : how missing inputs are treated (`renormalise`, `hold`, `empty`)
    summarises : an output describes its whole window, and is there although the sample that it is
        aligned with is missing
    padding : edge rule by which the layer extends its own input; empty where it does not
    dilation : samples from one tap to the next along each axis, between which the weights are 0
    only_pads : whether the outputs are the inputs, extended by `padding`: `before` and `after` say
        by how many samples, and negative ones are cut off
    """

    text: str
    channels_in: tuple[str, ...]
    channels_out: tuple[str, ...]
    first: tuple[int, ...]
    length: tuple[int, ...]
    inputs: Any
    outputs: Any
    stride: tuple[int, ...] = (1,)
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    at: tuple[int, ...] = ()
    phases: tuple[int, ...] = ()
    nn_call: str = ""
    nn_numbers: tuple[tuple[str, tuple[float, ...]], ...] = ()
    nn_pool: str = ""
    nn_windows: str = ""
    branches: tuple[BranchFacts, ...] = ()
    sums: tuple[SumFacts, ...] = ()
    spread: SpreadFacts | None = None
    flipped: bool | None = None
    taps: Any = ()
    laid: Any = ()
    groups: int = 1
    divisor: float = 1.0
    bias: tuple[float, ...] = ()
    gaps: str = ""
    summarises: bool = False
    padding: str = ""
    dilation: tuple[int, ...] = ()
    only_pads: bool = False

    @property
    def several(self) -> bool:
        """Whether the arrays have a level for the channels."""
        return len(self.channels_in) > 1 or len(self.channels_out) > 1

    @property
    def size(self) -> tuple[int, ...]:
        """How many samples a window has on each axis."""
        return tuple(low + high + 1 for low, high in zip(self.before, self.after, strict=True))


@dataclass(frozen=True, kw_only=True)
class ExplanationFacts:
    """A FILTER computed on a small signal, operation by operation.

    channels : names of the channels of the result
    result : the outputs of the whole FILTER
    matrix : the filter as a matrix with a row for each output and a column for each sample, or None
    torch, equinox : expressions of PyTorch and of Equinox that compute the same; empty if there are
        no simple ones
    no_lines : why there are none; empty if there are, or if nothing is computed
    """

    filter: str
    edge: str
    align: str
    channels: tuple[str, ...] = ()
    stages: tuple[StageFacts, ...]
    result: Any
    matrix: Any = None
    torch: str = ""
    equinox: str = ""
    no_lines: str = ""


@dataclass(frozen=True, kw_only=True)
class ContinuousFacts:
    """A convolution integral and the sums that approach it.

    signal, kernel : names of the two functions; signal_formula, kernel_formula : what they are
    times : t at which they are convolved
    steps : dt of each row of `sums`
    sums : the convolution sum for each step and each time
    integral : the convolution integral for each time
    errors : largest difference between the sums of a step and the integral
    """

    signal: str
    signal_formula: str
    kernel: str
    kernel_formula: str
    times: tuple[float, ...]
    steps: tuple[float, ...]
    sums: tuple[tuple[float, ...], ...]
    integral: tuple[float, ...]
    errors: tuple[float, ...]
