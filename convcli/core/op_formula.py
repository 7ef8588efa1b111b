"""What is known of the function of an operation, besides how to compute it.

Reports draw the taps, explanations write down the sums, and chains of convolutions are composed to
one. None of this is needed to run a filter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.array_types import FloatArray
    from convcli.core.ops import Convolve
    from convcli.core.reach import Reach
    from convcli.signals import Edge

# What a missing sample does to the outputs of a convolution: weights are renormalised over the
# known samples, the last known value is held, or there is no output.
OnMissing = Literal["renormalise", "hold", "empty"]
# Names, each with a number for each channel.
ChannelNumbers = tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class WindowWeights:
    """The weights with which outputs sum up their windows.

    y[k, o] = sum over i, j of weights[o, i, j] * x[k*step - before + j, i] / divisor + bias[o]

    weights : (out, in / groups, *size), in the order of the samples of the window, not flipped
    before : inputs of a window before k*step, on each axis
    groups : output o reads only the channels of its group
    bias : (out,), or None
    flipped : whether the weights are the taps of a convolution in reverse
    on_missing : what a missing input does to the sum
    summarises : an output describes its whole window, not the sample that it is aligned with
    padding : edge rule by which a layer extends its own input; None where it does not
    only_complete : whether the weights hold only for windows in which no sample is missing
    dilation : samples from one tap to the next on each axis, between which the weights are 0; empty
        where it is 1
    """

    weights: FloatArray
    before: tuple[int, ...]
    groups: int
    divisor: float = 1.0
    bias: FloatArray | None = None
    flipped: bool = True
    on_missing: OnMissing = "hold"
    summarises: bool = False
    padding: Edge | None = None
    only_complete: bool = False
    dilation: tuple[int, ...] = ()

    @property
    def size(self) -> tuple[int, ...]:
        """How many samples a window has on each axis."""
        return self.weights.shape[2:]

    def inputs_of(self, output: int) -> range:
        """The channels that an output channel reads."""
        group = output * self.groups // len(self.weights)
        count = self.weights.shape[1]
        return range(group * count, (group + 1) * count)


@dataclass(frozen=True)
class Spread:
    """Outputs that an input of a transposed convolution adds to, along each sample axis.

    Input i adds its product with each tap to the outputs i * stride + first, ..., of which there
    are `size`; taps are as far apart as the dilation says, with zeros between them.
    """

    stride: tuple[int, ...]
    first: tuple[int, ...]
    size: tuple[int, ...]
    dilation: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class AddedSamples:
    """Samples that are added before and after a signal on each axis; negative ones are cut off.

    rule : what is added
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    rule: Edge


@dataclass(frozen=True)
class NNCall:
    """The function of torch.nn.functional and of jax.nn that computes the same as an operation.

    arguments : those besides the samples
    """

    function: str
    arguments: tuple[float, ...] = ()
    numbers: ClassVar[ChannelNumbers] = ()

    def text(self, x: str) -> str:
        """The call with the samples written as `x`."""
        return f"{self.function}({', '.join([x, *(f'{one:g}' for one in self.arguments)])})"


@dataclass(frozen=True)
class NNProduct:
    """The multiplication of all samples by a number, in PyTorch and JAX."""

    factor: float
    numbers: ClassVar[ChannelNumbers] = ()

    def text(self, x: str) -> str:
        """The product with the samples written as `x`."""
        factor = f"{self.factor:g}"
        if float(factor) != self.factor:
            factor = repr(self.factor)
        return f"({x} * {factor})"


@dataclass(frozen=True)
class NNArithmetic:
    """Arithmetic with numbers of each channel, in PyTorch and JAX.

    form : with {x} for the samples, and in braces the names of the numbers
    """

    form: str
    numbers: ChannelNumbers

    def text(self, x: str) -> str:
        """The arithmetic with the samples written as `x`."""
        return self.form.replace("{x}", x)


@dataclass(frozen=True)
class NNRepetition:
    """The repetition of each sample along each axis, in PyTorch; JAX calls it `repeat`.

    factors : how many times, on each axis
    """

    factors: tuple[int, ...]
    numbers: ClassVar[ChannelNumbers] = ()

    def text(self, x: str) -> str:
        """The calls, one for each axis, with the samples written as `x`."""
        for axis, factor in enumerate(self.factors):
            if factor > 1:
                x = f"repeat_interleave({x}, {factor}, {axis - len(self.factors)})"
        return x


@dataclass(frozen=True)
class NNInterleaving:
    """Channels interleaved to the phases of fewer channels, in PyTorch and JAX.

    factors : phases on each axis
    """

    factors: tuple[int, ...]
    numbers: ClassVar[ChannelNumbers] = ()

    def text(self, x: str) -> str:
        """The samples written as `x` with other axes; {n0}, {n1} are lengths, {m0}, {m1} new ones.

        The axes (phases, lengths) become (length, phase) for each sample axis.
        """
        axes = range(len(self.factors))
        phases = ", ".join(map(str, self.factors))
        lengths = ", ".join(f"{{n{axis}}}" for axis in axes)
        made = ", ".join(f"{{m{axis}}}" for axis in axes)
        swaps = ".swapaxes(1, 2)"
        if len(axes) == 2:
            swaps = ".swapaxes(2, 3).swapaxes(1, 2).swapaxes(3, 4)"
        return f"{x}.reshape(-1, {phases}, {lengths}){swaps}.reshape(-1, {made})"


def no_window_weights(_: int) -> None:
    """Return None: the operation is not a weighted sum of one window."""
    return


@dataclass(frozen=True, eq=False, kw_only=True)
class OpFormula:
    """What is known of the function of an operation.

    convolutions : those that the operation consists of, whose taps reports show
    as_convolution : the one convolution that the operation is where no sample is missing, if any
    window_weights : gives the weights of each output's window, for a number of channels, or
        None for an operation that is not a weighted sum of one window
    delay : in samples along axis 0, where it does not follow from the convolutions; None where it
        is not known
    nn_call : the function of PyTorch and JAX that computes the same, for functions of one sample
    nn_pool : the pool that computes the same from the same windows, max_pool or min_pool
    nn_windows : the function of PyTorch and JAX that computes the same from {windows} along {axes},
        or takes the {first} or {last} sample of them
    text : what pages call an operation that FILTER does not name, such as the scaling of a picture
    added : set where the outputs are the inputs, with samples added or cut off at both ends
    continues_layer : whether the operation is a part of the layer that the one before begins
    spread : where each input of a transposed convolution adds to the outputs; set by the operation
        that interleaves the phases of such a layer
    """

    convolutions: tuple[Convolve, ...] = ()
    as_convolution: Convolve | None = None
    window_weights: Callable[[int], WindowWeights | None] = no_window_weights
    delay: float | None = None
    nn_call: NNCall | NNProduct | NNArithmetic | NNRepetition | NNInterleaving | None = None
    nn_pool: str = ""
    nn_windows: str = ""
    text: str = ""
    added: AddedSamples | None = None
    continues_layer: bool = False
    spread: Spread | None = None


def delay_of_one_sample(reach: tuple[Reach, ...]) -> float | None:
    """Return a delay of 0 if an output reads one sample along axis 0, else None: not known."""
    along = reach[0]
    return None if along.before or along.after else 0.0
