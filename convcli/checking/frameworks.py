"""The lines of PyTorch and of Equinox that compute the same as a FILTER on a small signal."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convcli.checking.explained_stage import without_zeros
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import FloatArray
    from convcli.facts.explanation import SpreadFacts, StageFacts

# For each edge rule the mode of torch.nn.functional.pad, of equinox.nn.Conv and of jax.numpy.pad;
# empty where there is none.
PAD_MODES: dict[str, tuple[str, str, str]] = {
    "zero": ("constant", "ZEROS", "constant"),
    "edge": ("replicate", "REPLICATE", "edge"),
    "reflect": ("reflect", "REFLECT", "reflect"),
    "symmetric": ("", "", "symmetric"),
    "wrap": ("circular", "CIRCULAR", "wrap"),
    "shrink": ("constant", "", "constant"),
}
# A line with more weights than this is too long to read.
MOST_WEIGHTS = 1000
# Why there is no line for a signal or a result with missing samples.
NO_MISSING = "they have no missing samples"


class NoLineError(Exception):
    """A FILTER has no line. The message is the reason."""


def torch_text(stages: Sequence[StageFacts], edge: str) -> str:
    """An expression of torch and torch.nn.functional. NoLineError if there is no simple one."""
    return _expression(stages, edge, _TorchWriter())


def equinox_text(stages: Sequence[StageFacts], edge: str) -> str:
    """An expression of equinox.nn, jax.nn and jax.numpy. NoLineError if there is no simple one."""
    return _expression(stages, edge, _EquinoxWriter())


# A call and what its names mean.
_Written = tuple[str, str]


@dataclass(frozen=True)
class _Padding:
    """How the input of a stage is extended or cut, and by which edge rule.

    sides : samples that are added before and after, along each axis
    cut : samples that are cut off before, along each axis
    length : samples before that, along each axis
    fill : what is added under a rule that adds one number
    """

    sides: tuple[tuple[int, int], ...]
    cut: tuple[int, ...]
    edge: str
    length: tuple[int, ...]
    fill: str = ""

    @property
    def empty(self) -> bool:
        """Whether no samples are added at any side."""
        return not any(any(side) for side in self.sides)

    @property
    def usual(self) -> bool:
        """Whether layers can pad this much: they mirror n - 1 samples at most, and wrap once."""
        if self.edge not in ("reflect", "wrap"):
            return True
        margin = 1 if self.edge == "reflect" else 0
        return all(max(side) <= n - margin for side, n in zip(self.sides, self.length, strict=True))

    def chosen(self, x: str) -> str:
        """The padded samples, chosen by their indices along each axis."""
        mode: Any = PAD_MODES[self.edge][2]
        last_axis = len(self.sides) - 1
        for axis, (side, n) in enumerate(zip(self.sides, self.length, strict=True)):
            places = np.pad(np.arange(n), side, mode=mode).tolist()
            later_axes = ", :" * (last_axis - axis)
            x = f"{x}[..., {places}{later_axes}]"
        return x

    def lengths_of(self, lengths: tuple[int, ...]) -> tuple[int, ...]:
        """The lengths after samples were added and cut off."""
        sides = zip(lengths, self.sides, self.cut, strict=True)
        return tuple(n + before + after - cut for n, (before, after), cut in sides)

    def sliced(self, x: str) -> str:
        """The samples without those that are cut off."""
        if not any(self.cut):
            return x
        places = [f"{cut}:" if cut else ":" for cut in self.cut]
        return f"{x}[..., {', '.join(places)}]"


class _TorchWriter:
    """Writes stages as calls of torch.nn.functional."""

    # Replacements for parts of `StageFacts.nn_call` that torch lacks: a slope for each channel.
    names: ClassVar[dict[str, str]] = {
        "leaky_relu({x}, {slope})": "prelu({x}[None], {slope}.flatten())[0]",
    }

    def padded(self, x: str, padding: _Padding) -> str:
        """The call that extends the samples, or their indices where no mode does it."""
        x = padding.sliced(x)
        if padding.empty:
            return x
        mode = PAD_MODES[padding.edge][0]
        if not mode or not padding.usual:
            return padding.chosen(x)
        # The last axis comes first.
        sides = tuple(side for pair in reversed(padding.sides) for side in pair)
        how = "" if mode == "constant" else f", {mode!r}"
        if padding.fill:
            how = f", value={padding.fill}"
        return f"pad({x}, {sides}{how})"

    def conv(self, x: str, stage: StageFacts, padding: _Padding, number: str) -> tuple[str, str]:
        """The call of a convolution, and what its names mean."""
        arguments = f"{self.padded(x, padding)}, w{number}"
        weights = without_zeros(np.asarray(stage.laid), stage.dilation)
        meaning = f"w{number} = {_weights_text(weights.tolist(), stage.divisor)}"
        if stage.bias:
            arguments += f", b{number}"
            meaning += f"; b{number} = {_rounded_weights(stage.bias)}"
        arguments += _stride(stage) + _dilation_argument(stage.dilation)
        if stage.several and stage.groups > 1:
            arguments += f", groups={stage.groups}"
        return f"conv{len(stage.stride)}d({arguments})", meaning

    def pool(self, x: str, stage: StageFacts, padding: _Padding, number: str) -> _Written:
        """The call of a pool, which needs no names."""
        del number
        size, step = _one_or_all(stage.size), _one_or_all(stage.stride)
        sign = _sign(stage)
        samples = self.padded(f"{sign}{x}", padding)
        return f"{sign}max_pool{len(stage.stride)}d({samples}, {size}, {step})", ""

    def reduced(self, x: str, stage: StageFacts, padding: _Padding, number: str) -> _Written:
        """The call that reduces each window, whose samples lie along the last axis."""
        del number
        windows = self.padded(x, padding)
        axes = len(stage.stride)
        for size, step in zip(stage.size, stage.stride, strict=True):
            windows += f".unfold({-axes}, {size}, {step})"
        if axes > 1:
            windows += f".flatten({-axes})"
        return stage.nn_windows.format(windows=windows, axes=-1, first="..., 0", last="..., -1"), ""

    def transposed(self, x: str, stage: StageFacts, spread: SpreadFacts, number: str) -> _Written:
        """The call of a transposed convolution, and what its names mean."""
        settings, shown = _transposed_settings(stage, spread)
        kernel = without_zeros(_kernel_by_channel(spread), spread.dilation)
        taken = kernel.shape[1]
        # (out, in / groups) becomes (in, out / groups).
        grouped = kernel.reshape(spread.groups, -1, *kernel.shape[1:]).swapaxes(1, 2)
        weights = grouped.reshape(spread.groups * taken, -1, *kernel.shape[2:])
        arguments = f"{x}, w{number}"
        meaning = f"w{number} = {_weights_text(weights.tolist(), 1)}"
        if spread.bias:
            arguments += f", b{number}"
            meaning += f"; b{number} = {_rounded_weights(spread.bias)}"
        arguments += f", {settings}"
        return f"conv_transpose{len(spread.stride)}d({arguments}){shown}", meaning


class _EquinoxWriter:
    """Writes stages as layers of equinox.nn, with functions of jax.numpy between them."""

    # What replaces a part of `StageFacts.nn_call` that JAX calls otherwise.
    names: ClassVar[dict[str, str]] = {
        "gelu({x})": "gelu({x}, False)",
        "hardswish({x})": "hard_swish({x})",
        "repeat_interleave": "repeat",
    }

    def padded(self, x: str, padding: _Padding) -> str:
        """The call of jax.numpy.pad that extends the samples."""
        x = padding.sliced(x)
        if padding.empty:
            return x
        mode = PAD_MODES[padding.edge][2]
        how = "" if mode == "constant" else f", {mode!r}"
        if padding.fill:
            how = f", constant_values={padding.fill}"
        return f"pad({x}, {((0, 0), *padding.sides)}{how})"

    def conv(self, x: str, stage: StageFacts, padding: _Padding, number: str) -> tuple[str, str]:
        """The call of a layer, and how the layer is made."""
        name = f"conv{number}"
        axes = len(stage.stride)
        weights = without_zeros(np.asarray(stage.laid), stage.dilation)
        if not stage.several:
            weights = weights.reshape(1, 1, *weights.shape)
        size = weights.shape[2] if axes == 1 else weights.shape[2:]
        arguments = f"{len(stage.channels_in)}, {len(weights)}, {size}"
        arguments += _stride(stage) + _dilation_argument(stage.dilation)
        mode = PAD_MODES[padding.edge][1] if not padding.empty else ""
        if mode and padding.usual:
            arguments += f", padding={padding.sides}, padding_mode={mode!r}"
            x = padding.sliced(x)
        else:
            x = self.padded(x, padding)
        if stage.groups > 1 and stage.several:
            arguments += f", groups={stage.groups}"
        if not stage.bias:
            arguments += ", use_bias=False"
        meaning = f"{name} = Conv{axes}d({arguments}); "
        meaning += f"{name}.weight = {_weights_text(weights.tolist(), stage.divisor)}"
        return f"{name}({x})", meaning + _bias_set(name, stage.bias, axes)

    def pool(self, x: str, stage: StageFacts, padding: _Padding, number: str) -> _Written:
        """The call of a pool, and how it is made."""
        size, step = _one_or_all(stage.size), _one_or_all(stage.stride)
        sign = _sign(stage)
        meaning = f"pool{number} = MaxPool{len(stage.stride)}d({size}, {step})"
        return f"{sign}pool{number}({self.padded(f'{sign}{x}', padding)})", meaning

    def reduced(self, x: str, stage: StageFacts, padding: _Padding, number: str) -> _Written:
        """The call that reduces each window, and the indices of its samples along each axis."""
        windows = self.padded(x, padding)
        axes = len(stage.stride)
        meanings = []
        lengths = padding.lengths_of(padding.length)
        for axis, (size, step) in enumerate(zip(stage.size, stage.stride, strict=True)):
            name = f"{'ij'[axis]}{number}"
            windows += f"[..., {name}{', :' * (axes - 1 - axis)}]"
            starts = f"arange(0, {lengths[axis] - size + 1}, {step})"
            meanings.append(f"{name} = {starts}[:, None] + arange({size})")
        places = ", :, ".join(["{0}"] * axes)
        along = tuple(range(1 - 2 * axes, 0, 2))
        text = stage.nn_windows.format(
            windows=windows,
            axes=_one_or_all(along),
            first=f"..., {places.format(0)}",
            last=f"..., {places.format(-1)}",
        )
        return text, "; ".join(meanings)

    def transposed(self, x: str, stage: StageFacts, spread: SpreadFacts, number: str) -> _Written:
        """The call of a layer, and how the layer is made."""
        settings, shown = _transposed_settings(stage, spread)
        axes = len(spread.stride)
        kernel = without_zeros(_kernel_by_channel(spread), spread.dilation)
        # The layer lays its weights over the inputs as a convolution does, from the other end.
        weights = np.flip(kernel, tuple(range(2, kernel.ndim)))
        size = _one_or_all(kernel.shape[2:])
        name = f"conv{number}"
        arguments = f"{len(stage.channels_in)}, {len(kernel)}, {size}, {settings}"
        if not spread.bias:
            arguments += ", use_bias=False"
        meaning = f"{name} = ConvTranspose{axes}d({arguments}); "
        meaning += f"{name}.weight = {_weights_text(weights.tolist(), 1)}"
        return f"{name}({x}){shown}", meaning + _bias_set(name, spread.bias, axes)


def _bias_set(name: str, bias: Sequence[float], axes: int) -> str:
    """The statement that sets the bias of a layer of Equinox; empty if it has none."""
    if not bias:
        return ""
    return f"; {name}.bias = {_by_channel_text(bias, axes)}"


def _sign(stage: StageFacts) -> str:
    """A minus for the smallest sample, which is the largest one with the other sign."""
    return "-" if stage.nn_pool == "min_pool" else ""


def _kernel_by_channel(spread: SpreadFacts) -> FloatArray:
    """The kernel, (out, in / groups, *size)."""
    kernel = np.asarray(spread.kernel, np.float64)
    if kernel.ndim == len(spread.stride):
        kernel = kernel[None, None]
    return kernel


def _transposed_settings(stage: StageFacts, spread: SpreadFacts) -> tuple[str, str]:
    """The arguments by name that both frameworks have, and which outputs are kept."""
    rests, shown = _transposed_rests(stage, spread)
    settings = f"stride={_one_or_all(spread.stride)}{rests}{_dilation_argument(spread.dilation)}"
    if spread.groups > 1:
        settings += f", groups={spread.groups}"
    return settings, shown


def _transposed_rests(stage: StageFacts, spread: SpreadFacts) -> tuple[str, str]:
    """The arguments of a transposed convolution that cut and add outputs, and those that are kept.

    `padding` outputs are left out before the first one, and as many after the last. A causal layer
    leaves out more after the last. NoLineError if the frameworks have no such arguments.
    """
    axes = len(spread.stride)
    sizes = np.shape(spread.kernel)[-axes:]
    counts = np.shape(stage.outputs)[-axes:]
    paddings = []
    rests = []
    for axis, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        step = spread.stride[axis]
        padding = spread.at[axis] - spread.first[axis]
        full = (stage.length[axis] - 1) * step + size - 2 * padding
        rest = count - full
        if padding < 0 or rest >= step:
            raise NoLineError(f"they have no such output_padding of {stage.text}")
        paddings.append(padding)
        rests.append(rest)
    text = ""
    added = tuple(max(0, rest) for rest in rests)
    for name, numbers in (("padding", tuple(paddings)), ("output_padding", added)):
        if any(numbers):
            text += f", {name}={_one_or_all(numbers)}"
    places = [f":{count}" if rest < 0 else ":" for rest, count in zip(rests, counts, strict=True)]
    return text, f"[..., {', '.join(places)}]" if min(rests) < 0 else ""


def _expression(
    stages: Sequence[StageFacts], edge: str, writer: _TorchWriter | _EquinoxWriter
) -> str:
    """The expression of all stages with what its names mean. NoLineError if a stage has none."""
    kernels = _kernels(stages)
    if sum(np.size(kernel) for kernel in kernels) > MOST_WEIGHTS:
        raise NoLineError(f"it would have more than {MOST_WEIGHTS:,} weights")
    pools = sum(bool(stage.nn_pool or stage.nn_windows) for stage in stages)
    scalings = sum(bool(stage.nn_numbers) for stage in stages)
    expression = _Expression(
        writer=writer,
        edge=edge,
        numbered=max(len(kernels), pools, scalings) > 1,
        alone=len(kernels) + pools == 1,
        lengths=stages[0].length,
    )
    for index, stage in enumerate(stages):
        if stage.only_pads:
            expression.pad(stage, stages[index + 1 :])
        else:
            expression.add(stage, first=index == 0)
    if expression.lengths != _output_lengths(stages[-1]):
        raise NoLineError("its outputs do not begin where theirs do")
    return expression.text


def _kernels(stages: Sequence[StageFacts]) -> list[Any]:
    """The weights of each convolution and of each transposed one."""
    kernels: list[Any] = []
    for stage in stages:
        if stage.flipped is not None:
            kernels.append(stage.laid)
        if stage.spread is not None:
            kernels.append(stage.spread.kernel)
    return kernels


@dataclass(eq=False, kw_only=True)
class _Expression:
    """An expression that gets a call for each stage.

    numbered : whether its names have numbers, as in w1 and w2
    alone : whether no more than one stage has windows
    lengths : how many samples it makes, along each axis
    x : the expression so far
    meanings : what its names mean
    """

    writer: _TorchWriter | _EquinoxWriter
    edge: str
    numbered: bool
    alone: bool
    lengths: tuple[int, ...]
    x: str = "x"
    meanings: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The expression with what its names mean."""
        if not self.meanings:
            return self.x
        return f"{self.x} with {'; '.join(self.meanings)}"

    def add(self, stage: StageFacts, *, first: bool) -> None:
        """Add the call of a stage. NoLineError where the framework has none."""
        if stage.nn_call:
            if first:
                self._extend(stage)
            self.x, meaning = self._arithmetic(stage)
            self.lengths = self._repeated(stage)
        elif stage.spread is not None:
            self.x, meaning = self._transposed(stage, stage.spread)
        elif stage.flipped is not None or stage.nn_pool or stage.nn_windows:
            self.x, meaning = self._convolution_or_pool(stage, first=first)
        else:
            raise NoLineError(f"none is written for {stage.text}")
        if meaning:
            self.meanings.append(meaning)

    def pad(self, stage: StageFacts, following: Sequence[StageFacts]) -> None:
        """Add the call of a padding. NoLineError where the framework has none.

        following : the stages after it, which say what takes the place of missing samples
        """
        if self.lengths != stage.length:
            raise NoLineError(_PADS_AGAIN)
        sides = tuple(zip(stage.before, stage.after, strict=True))
        if min(map(min, sides)) < 0:
            raise NoLineError(f"none is written for {stage.text}, which cuts samples off")
        fill = ""
        if stage.padding == "shrink":
            reader = next((each for each in following if not each.only_pads), None)
            fill = {"max_pool": "-inf", "min_pool": "inf"}.get(reader.nn_pool if reader else "", "")
            if not fill:
                raise NoLineError(f"none is written for {stage.text}")
        cut = (0,) * len(sides)
        padding = _Padding(sides, cut, stage.padding, stage.length, fill)
        self.x = self.writer.padded(self.x, padding)
        self.lengths = padding.lengths_of(self.lengths)

    def _extend(self, stage: StageFacts) -> None:
        """Extend the signal before a stage that reads one sample."""
        padding = _padding_of(stage, self.edge, self.lengths, first=True, alone=False)
        self.x = self.writer.padded(self.x, padding)
        self.lengths = padding.lengths_of(self.lengths)

    def _arithmetic(self, stage: StageFacts) -> _Written:
        """The call of a function of each sample, and its numbers where channels have their own."""
        meanings = []
        text = stage.nn_call
        for name, other in self.writer.names.items():
            text = text.replace(name, other)
        lengths = zip(self.lengths, self._repeated(stage), strict=True)
        for axis, (given, made) in enumerate(lengths):
            text = text.replace(f"{{n{axis}}}", str(given)).replace(f"{{m{axis}}}", str(made))
        for name, numbers in stage.nn_numbers:
            shown = str(_rounded_weights(numbers[0]))
            if len(set(numbers)) > 1:
                shown = f"{name}{self._number}"
                meanings.append(f"{shown} = {_by_channel_text(numbers, len(stage.stride))}")
            text = text.replace(f"{{{name}}}", shown)
        return text.replace("{x}", self.x), "; ".join(meanings)

    def _repeated(self, stage: StageFacts) -> tuple[int, ...]:
        """The lengths after a stage that makes `phases` outputs of each sample."""
        phases = stage.phases or (1,) * len(self.lengths)
        return tuple(n * each for n, each in zip(self.lengths, phases, strict=True))

    @property
    def _number(self) -> str:
        """The number of the next name."""
        return str(len(self.meanings) + 1) if self.numbered else ""

    def _transposed(self, stage: StageFacts, spread: SpreadFacts) -> _Written:
        if self.lengths != stage.length:
            raise NoLineError(_PADS_AGAIN)
        self.lengths = _output_lengths(stage)
        return self.writer.transposed(self.x, stage, spread, self._number)

    def _convolution_or_pool(self, stage: StageFacts, *, first: bool) -> _Written:
        padding = _padding_of(stage, self.edge, self.lengths, first=first, alone=self.alone)
        # A layer that pads needs the end of its input at its place.
        if stage.padding and self.lengths != stage.length:
            raise NoLineError(_PADS_AGAIN)
        padded = zip(padding.lengths_of(self.lengths), stage.size, stage.stride, strict=True)
        self.lengths = tuple((n - size) // step + 1 for n, size, step in padded)
        write = self.writer.conv
        if stage.nn_pool:
            write = self.writer.pool
        elif stage.nn_windows:
            write = self.writer.reduced
        return write(self.x, stage, padding, self._number)


_PADS_AGAIN = "a layer pads an input that was extended before"
_LEAVES_OUT = "they cannot leave samples outside the signal out of a window"


def _output_lengths(stage: StageFacts) -> tuple[int, ...]:
    """How many outputs a stage makes, along each axis."""
    lengths: tuple[int, ...] = np.shape(stage.outputs)[-len(stage.stride) :]
    return lengths


def _padding_of(
    stage: StageFacts, edge: str, lengths: tuple[int, ...], *, first: bool, alone: bool
) -> _Padding:
    """How the input of a stage is extended. NoLineError where frameworks cannot.

    first : whether it is the first stage; alone : whether no other one has windows

    The edges of the signal are extended once, before the first stage. Samples at the end that no
    output reads are left where they are.
    """
    rule = stage.padding or edge
    axes = len(stage.stride)
    if not first and not stage.padding:
        return _Padding(((0, 0),) * axes, (0,) * axes, rule, lengths)
    shape = np.shape(stage.inputs)[-axes:]
    sides = []
    cut = []
    for low, count, n in zip(stage.first, shape, stage.length, strict=True):
        sides.append((max(0, -low), max(0, low + count - n)))
        cut.append(max(0, low))
    fill = "-inf" if rule == "shrink" else ""
    padding = _Padding(tuple(sides), tuple(cut), rule, stage.length, fill)
    if padding.empty:
        return padding
    if rule == "missing":
        raise NoLineError(NO_MISSING)
    # A later window would read what the first one pads with.
    if rule == "shrink" and not (stage.nn_pool and alone):
        raise NoLineError(_LEAVES_OUT)
    if any(cut) and rule in ("reflect", "symmetric", "wrap"):
        raise NoLineError(f"they cannot cut samples off and extend by {rule}")
    return padding


def _one_or_all(numbers: tuple[int, ...]) -> int | tuple[int, ...]:
    """The number of one axis, or a number for each."""
    return numbers if len(numbers) > 1 else numbers[0]


def _stride(stage: StageFacts) -> str:
    if all(step == 1 for step in stage.stride):
        return ""
    return f", stride={_one_or_all(stage.stride)}"


def _dilation_argument(dilation: tuple[int, ...]) -> str:
    if all(apart == 1 for apart in dilation):
        return ""
    return f", dilation={_one_or_all(dilation)}"


def _by_channel_text(numbers: Sequence[float], axes: int) -> str:
    """A number for each channel, (channels, 1) or (channels, 1, 1)."""
    column = np.reshape(numbers, (-1,) + (1,) * axes)
    return str(_rounded_weights(column.tolist()))


def _weights_text(laid: Any, divisor: float) -> str:
    text = str(_rounded_weights(laid))
    if divisor != 1:
        text += f" / {divisor:g}"
    return text


def _rounded_weights(taps: Any) -> Any:
    """Convert nested tuples of taps to lists of numbers with at most six digits."""
    if isinstance(taps, (tuple, list)):
        return [_rounded_weights(tap) for tap in taps]
    if taps == int(taps):
        return int(taps)
    return float(f"{taps:.6g}")
