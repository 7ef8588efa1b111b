"""The lines of PyTorch and of Equinox that compute the same as a FILTER on a small signal."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.facts.explanation import SpreadFacts, StageFacts
    from convcli.signals import Edge

# For each edge rule the mode of torch.nn.functional.pad and of equinox.nn.Conv. `valid` needs none,
# and the other rules have none.
PAD_MODES: dict[str, tuple[str, str]] = {
    "zero": ("constant", "ZEROS"),
    "edge": ("replicate", "REPLICATE"),
    "reflect": ("reflect", "REFLECT"),
    "wrap": ("circular", "CIRCULAR"),
    "valid": ("", ""),
}
# A line with more weights than this is too long to read.
MOST_WEIGHTS = 1000


def torch_text(stages: Sequence[StageFacts], edge: Edge) -> str:
    """An expression of torch.nn.functional; empty if there is no simple one."""
    return _expression(stages, edge, _TorchWriter())


def equinox_text(stages: Sequence[StageFacts], edge: Edge) -> str:
    """An expression of equinox.nn and jax.nn; empty if there is no simple one."""
    return _expression(stages, edge, _EquinoxWriter())


# A call and what its names mean; None where a framework has no such call.
_Written = tuple[str, str] | None


@dataclass(frozen=True)
class _Padding:
    """How the input of a stage is extended or cut, and by which edge rule.

    sides : samples that are added before and after, along each axis
    cut : samples that are cut off before, along each axis
    """

    sides: tuple[tuple[int, int], ...]
    cut: tuple[int, ...]
    edge: str

    @property
    def empty(self) -> bool:
        """Whether no samples are added at any side."""
        return not any(any(side) for side in self.sides)

    def possible(self, length: tuple[int, ...]) -> bool:
        """Whether frameworks pad so far.

        They mirror n - 1 samples at most, wrap around once, and have no other rules.
        """
        if self.empty:
            return True
        if self.edge not in PAD_MODES or self.edge == "valid":
            return False
        if self.edge not in ("reflect", "wrap"):
            return True
        if any(self.cut):
            return False
        margin = 1 if self.edge == "reflect" else 0
        return all(max(side) <= n - margin for side, n in zip(self.sides, length, strict=True))

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

    def padded(self, x: str, padding: _Padding) -> str:
        """The call that extends the samples."""
        x = padding.sliced(x)
        if padding.empty:
            return x
        # The last axis comes first.
        sides = tuple(side for pair in reversed(padding.sides) for side in pair)
        mode, _ = PAD_MODES[padding.edge]
        return f"pad({x}, {sides})" if mode == "constant" else f"pad({x}, {sides}, {mode!r})"

    def conv(self, x: str, stage: StageFacts, padding: _Padding, number: str) -> tuple[str, str]:
        """The call of a convolution, and what its names mean."""
        arguments = f"{self.padded(x, padding)}, w{number}"
        meaning = f"w{number} = {_weights_text(stage.laid, stage.divisor)}"
        if stage.bias:
            arguments += f", b{number}"
            meaning += f"; b{number} = {_rounded_weights(stage.bias)}"
        arguments += _stride(stage)
        if stage.several and stage.groups > 1:
            arguments += f", groups={stage.groups}"
        return f"conv{len(stage.stride)}d({arguments})", meaning

    def pool(self, x: str, stage: StageFacts, padding: _Padding, number: str) -> tuple[str, str]:
        """The call of a pool, which needs no names."""
        del number
        size, step = _one_or_all(stage.size), _one_or_all(stage.stride)
        return f"{stage.nn_pool}{len(stage.stride)}d({self.padded(x, padding)}, {size}, {step})", ""

    def transposed(self, x: str, stage: StageFacts, spread: SpreadFacts, number: str) -> _Written:
        """The call of a transposed convolution, and what its names mean."""
        rests = _transposed_rests(stage, spread)
        if rests is None:
            return None
        kernel = np.asarray(spread.kernel)
        axes = len(spread.stride)
        if kernel.ndim == axes:
            kernel = kernel.reshape(1, 1, *kernel.shape)
        taken = kernel.shape[1]
        # (out, in / groups) becomes (in, out / groups).
        grouped = kernel.reshape(spread.groups, -1, *kernel.shape[1:]).swapaxes(1, 2)
        weights = grouped.reshape(spread.groups * taken, -1, *kernel.shape[2:])
        arguments = f"{x}, w{number}"
        meaning = f"w{number} = {_weights_text(weights.tolist(), 1)}"
        if spread.bias:
            arguments += f", b{number}"
            meaning += f"; b{number} = {_rounded_weights(spread.bias)}"
        arguments += f", stride={_one_or_all(spread.stride)}"
        for name, rest in zip(("padding", "output_padding"), rests, strict=True):
            if any(rest):
                arguments += f", {name}={_one_or_all(rest)}"
        if spread.groups > 1:
            arguments += f", groups={spread.groups}"
        return f"conv_transpose{axes}d({arguments})", meaning


class _EquinoxWriter:
    """Writes stages as layers of equinox.nn."""

    def conv(self, x: str, stage: StageFacts, padding: _Padding, number: str) -> tuple[str, str]:
        """The call of a layer, and how the layer is made."""
        name = f"conv{number}"
        axes = len(stage.stride)
        weights = np.asarray(stage.laid)
        if not stage.several:
            weights = weights.reshape(1, 1, *weights.shape)
        size = weights.shape[2] if axes == 1 else weights.shape[2:]
        arguments = f"{len(stage.channels_in)}, {len(weights)}, {size}" + _stride(stage)
        if not padding.empty:
            _, mode = PAD_MODES[padding.edge]
            arguments += f", padding={padding.sides}, padding_mode={mode!r}"
        if stage.groups > 1 and stage.several:
            arguments += f", groups={stage.groups}"
        if not stage.bias:
            arguments += ", use_bias=False"
        meaning = f"{name} = Conv{axes}d({arguments}); "
        meaning += f"{name}.weight = {_weights_text(weights.tolist(), stage.divisor)}"
        if stage.bias:
            column = np.reshape(stage.bias, (-1,) + (1,) * axes)
            meaning += f"; {name}.bias = {_rounded_weights(column.tolist())}"
        return f"{name}({padding.sliced(x)})", meaning

    def pool(self, x: str, stage: StageFacts, padding: _Padding, number: str) -> _Written:
        """The call of a pool, and how it is made; None where samples are added first."""
        if not padding.empty:
            return None
        kind = "".join(word.capitalize() for word in stage.nn_pool.split("_"))
        size, step = _one_or_all(stage.size), _one_or_all(stage.stride)
        meaning = f"pool{number} = {kind}{len(stage.stride)}d({size}, {step})"
        return f"pool{number}({padding.sliced(x)})", meaning

    def transposed(self, x: str, stage: StageFacts, spread: SpreadFacts, number: str) -> _Written:
        """Nothing: no line is written for this layer."""
        del x, stage, spread, number
        return None


def _transposed_rests(
    stage: StageFacts, spread: SpreadFacts
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """`padding` and `output_padding` of a transposed convolution; None where torch has none such.

    `padding` is how many outputs are left out before the first one.
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
        if padding < 0 or not 0 <= rest < step:
            return None
        paddings.append(padding)
        rests.append(rest)
    return tuple(paddings), tuple(rests)


def _expression(
    stages: Sequence[StageFacts], edge: Edge, writer: _TorchWriter | _EquinoxWriter
) -> str:
    """The expression of all stages with what its names mean; empty if a stage has none."""
    kernels = _kernels(stages)
    pools = sum(bool(stage.nn_pool) for stage in stages)
    weights = sum(np.size(kernel) for kernel in kernels)
    if not len(kernels) + pools or weights > MOST_WEIGHTS:
        return ""
    expression = _Expression(
        writer=writer,
        edge=edge,
        numbered=len(kernels) > 1 or pools > 1,
        lengths=stages[0].length,
    )
    for index, stage in enumerate(stages):
        if not expression.add(stage, first=index == 0):
            return ""
    if expression.lengths != _output_lengths(stages[-1]):
        return ""
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
    lengths : how many samples it makes, along each axis
    x : the expression so far
    meanings : what its names mean
    """

    writer: _TorchWriter | _EquinoxWriter
    edge: Edge
    numbered: bool
    lengths: tuple[int, ...]
    x: str = "x"
    meanings: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The expression with what its names mean."""
        if not self.meanings:
            return self.x
        return f"{self.x} with {'; '.join(self.meanings)}"

    def add(self, stage: StageFacts, *, first: bool) -> bool:
        """Add the call of a stage; False where the framework has none."""
        if stage.nn_call:
            self.x = stage.nn_call.replace("{x}", self.x)
            return True
        written = None
        if stage.spread is not None:
            written = self._transposed(stage, stage.spread)
        elif stage.flipped is not None or stage.nn_pool:
            written = self._convolution_or_pool(stage, first=first)
        if written is None:
            return False
        self.x, meaning = written
        if meaning:
            self.meanings.append(meaning)
        return True

    @property
    def _number(self) -> str:
        """The number of the next name."""
        return str(len(self.meanings) + 1) if self.numbered else ""

    def _transposed(self, stage: StageFacts, spread: SpreadFacts) -> _Written:
        if self.lengths != stage.length:
            return None
        self.lengths = _output_lengths(stage)
        return self.writer.transposed(self.x, stage, spread, self._number)

    def _convolution_or_pool(self, stage: StageFacts, *, first: bool) -> _Written:
        padding = _padding_of(stage, self.edge, first=first)
        # A layer that pads needs the end of its input at its place.
        if padding is None or (stage.padding and self.lengths != stage.length):
            return None
        padded = zip(padding.lengths_of(self.lengths), stage.size, stage.stride, strict=True)
        self.lengths = tuple((n - size) // step + 1 for n, size, step in padded)
        write = self.writer.pool if stage.nn_pool else self.writer.conv
        return write(self.x, stage, padding, self._number)


def _output_lengths(stage: StageFacts) -> tuple[int, ...]:
    """How many outputs a stage makes, along each axis."""
    lengths: tuple[int, ...] = np.shape(stage.outputs)[-len(stage.stride) :]
    return lengths


def _padding_of(stage: StageFacts, edge: Edge, *, first: bool) -> _Padding | None:
    """How the input of a stage is extended; None where frameworks cannot.

    The edges of the signal are extended once, before the first stage. Samples at the end that no
    output reads are left where they are.
    """
    rule = stage.padding or edge
    axes = len(stage.stride)
    if not first and not stage.padding:
        return _Padding(((0, 0),) * axes, (0,) * axes, rule)
    shape = np.shape(stage.inputs)[-axes:]
    sides = []
    cut = []
    for low, count, n in zip(stage.first, shape, stage.length, strict=True):
        sides.append((max(0, -low), max(0, low + count - n)))
        cut.append(max(0, low))
    padding = _Padding(tuple(sides), tuple(cut), rule)
    return padding if padding.possible(stage.length) else None


def _one_or_all(numbers: tuple[int, ...]) -> int | tuple[int, ...]:
    """The number of one axis, or a number for each."""
    return numbers if len(numbers) > 1 else numbers[0]


def _stride(stage: StageFacts) -> str:
    if all(step == 1 for step in stage.stride):
        return ""
    return f", stride={_one_or_all(stage.stride)}"


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
