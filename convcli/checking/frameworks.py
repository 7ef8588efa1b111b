"""The lines of PyTorch and of Equinox that compute the same as a FILTER on a small signal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.facts.explanation import StageFacts
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


@dataclass(frozen=True)
class _Padding:
    """How far the input of a convolution is extended, and by which edge rule.

    sides : samples before and after, along each axis; negative ones are cut off
    """

    sides: tuple[tuple[int, int], ...]
    edge: str

    @property
    def empty(self) -> bool:
        """Whether nothing is added or cut off."""
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
        margin = 1 if self.edge == "reflect" else 0
        return all(max(side) <= n - margin for side, n in zip(self.sides, length, strict=True))


class _TorchWriter:
    """Writes convolutions as calls of torch.nn.functional."""

    def conv(self, x: str, stage: StageFacts, padding: _Padding, number: str) -> tuple[str, str]:
        """The call of a convolution, and what its names mean."""
        if not padding.empty:
            # The last axis comes first.
            sides = tuple(side for pair in reversed(padding.sides) for side in pair)
            mode, _ = PAD_MODES[padding.edge]
            x = f"pad({x}, {sides})" if mode == "constant" else f"pad({x}, {sides}, {mode!r})"
        arguments = f"{x}, w{number}"
        meaning = f"w{number} = {_weights_text(stage.laid, stage.divisor)}"
        if stage.bias:
            arguments += f", b{number}"
            meaning += f"; b{number} = {_rounded_weights(stage.bias)}"
        arguments += _stride(stage)
        if stage.several and stage.groups > 1:
            arguments += f", groups={stage.groups}"
        return f"conv{len(stage.stride)}d({arguments})", meaning


class _EquinoxWriter:
    """Writes convolutions as layers of equinox.nn."""

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
        return f"{name}({x})", meaning


def _expression(
    stages: Sequence[StageFacts], edge: Edge, writer: _TorchWriter | _EquinoxWriter
) -> str:
    """The expression of all stages with what its names mean; empty if a stage has none."""
    convolutions = [stage for stage in stages if stage.flipped is not None]
    weights = sum(np.size(stage.laid) for stage in convolutions)
    if not convolutions or weights > MOST_WEIGHTS:
        return ""
    x = "x"
    meanings: list[str] = []
    for number, stage in enumerate(stages):
        if stage.nn_call:
            x = stage.nn_call.replace("{x}", x)
            continue
        padding = _padding_of(stage, edge, first=number == 0)
        if stage.flipped is None or padding is None:
            return ""
        name = str(len(meanings) + 1) if len(convolutions) > 1 else ""
        x, meaning = writer.conv(x, stage, padding, name)
        meanings.append(meaning)
    return f"{x} with {'; '.join(meanings)}"


def _padding_of(stage: StageFacts, edge: Edge, *, first: bool) -> _Padding | None:
    """How the input of a stage is extended; None where frameworks cannot.

    The edges of the signal are extended once, before the first stage.
    """
    rule = stage.padding or edge
    axes = len(stage.stride)
    shape = np.shape(stage.inputs)[-axes:]
    sides = tuple(
        (-low, low + count - n)
        for low, count, n in zip(stage.first, shape, stage.length, strict=True)
    )
    if not first and not stage.padding:
        sides = ((0, 0),) * axes
    padding = _Padding(sides, rule)
    return padding if padding.possible(stage.length) else None


def _stride(stage: StageFacts) -> str:
    if all(step == 1 for step in stage.stride):
        return ""
    return f", stride={stage.stride if len(stage.stride) > 1 else stage.stride[0]}"


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
