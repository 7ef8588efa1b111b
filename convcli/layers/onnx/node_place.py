"""A node of an ONNX graph where it is: its attributes, its constants, and what reaches it."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.one_sample import ActivationOp, Pointwise
from convcli.core.op import Op
from convcli.dataclass import dataclass
from convcli.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from convcli.core.activations import Activation
    from convcli.layers.onnx.file import Node
    from convcli.layers.weights import Tensor
    from convcli.signals import Array

# The operations that a node becomes.
Ops = tuple[Op, ...]


@dataclass(frozen=True, kw_only=True)
class NodePlace:
    """A node where it is: what reaches it, and its constants.

    path : of the file; channels : of its first input that is not a constant; axes : sample axes
    lengths : samples of that input on each axis, for each of the checked inputs of the graph
    length_sizes : numbers that follow from lengths, by name, for each of the checked inputs
    """

    path: str
    node: Node
    constants: Mapping[str, Tensor]
    channels: int
    axes: int
    lengths: tuple[tuple[int, ...], ...] = ()
    length_sizes: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)

    def error(self, message: str, *, hint: str | None = None) -> RequestError:
        """An error that names the file and the node."""
        return RequestError(f"{self.path}: {self.node.title}: {message}", hint=hint)

    def constant(self, number: int) -> Tensor | None:
        """The constant of this input; None where it is left out."""
        inputs = self.node.inputs
        if number >= len(inputs) or not inputs[number]:
            return None
        if inputs[number] not in self.constants:
            raise self.error("its weights or sizes are not constant")
        return self.constants[inputs[number]]

    def needed(self, number: int) -> Tensor:
        """The constant of this input, which has to be there."""
        found = self.constant(number)
        if found is None:
            raise self.error(f"input {number} is missing")
        return found

    def filled(self, number: int) -> Tensor:
        """The constant of this input, which has to hold something."""
        found = self.needed(number)
        if found.size == 0:
            raise self.error(f"input {number} holds nothing")
        return found

    def sizes_of(self, number: int) -> tuple[Tensor, ...] | None:
        """The sizes of this input, for each of the checked inputs; None where it is left out."""
        inputs = self.node.inputs
        if number < len(inputs) and inputs[number] in self.length_sizes:
            return self.length_sizes[inputs[number]]
        constant = self.constant(number)
        return None if constant is None else (constant,) * len(self.lengths)

    def attribute(self, name: str, default: Any) -> Any:
        """The attribute `name` of the node, `default` where it has none."""
        return self.node.attributes.get(name, default)

    def sizes(self, name: str) -> tuple[int, ...]:
        """An attribute with a number for each sample axis; by default 1."""
        numbers = tuple(self.attribute(name, (1,) * self.axes))
        if len(numbers) != self.axes or min(numbers) < 1:
            raise self.error(f"{name} is {list(numbers)}, and there are {self.axes} sample axes")
        return numbers

    def count(self, name: str, most: int) -> int:
        """A whole number from 1 to `most`; 1 by default."""
        number = self.attribute(name, 1)
        if not isinstance(number, int) or not 1 <= number <= most:
            raise self.error(f"{name} is {number}, expected 1 to {most:,}")
        return number

    def scalar(self, number: int) -> float | None:
        """A constant that is one number; None where it is left out."""
        found = self.constant(number)
        if found is None:
            return None
        if found.size != 1:
            raise self.error(f"input {number} has the shape {found.shape}, expected one number")
        return float(found.item())

    def window(self, size: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """Padding before and after along each axis, for windows that span `size` samples."""
        kind = self.attribute("auto_pad", "NOTSET")
        pads = list(self.attribute("pads", (0,) * (2 * self.axes)))
        if kind in {"SAME_UPPER", "SAME_LOWER"}:
            if any(step != 1 for step in self.sizes("strides")):
                raise self.error(f"auto_pad={kind} with a stride depends on the length")
            more = [(width - 1) // 2 for width in size]
            less = [width - 1 - side for width, side in zip(size, more, strict=True)]
            pads = [*more, *less] if kind == "SAME_UPPER" else [*less, *more]
        elif kind == "VALID":
            pads = [0] * (2 * self.axes)
        if len(pads) != 2 * self.axes or min(pads) < 0:
            raise self.error(f"pads is {pads}")
        return tuple(zip(pads[: self.axes], pads[self.axes :], strict=True))

    def per_channel(self, array: Tensor) -> Tensor:
        """A constant that is one number, or one for each channel, as (channels,)."""
        shape = array.shape
        while len(shape) > self.axes + 1 and shape[0] == 1:
            shape = shape[1:]
        fits = array.size == 1 or (
            array.size == self.channels and shape == (self.channels, *(1,) * self.axes)
        )
        if not fits:
            raise self.error(f"a constant of the shape {array.shape} is not the same everywhere")
        return np.broadcast_to(array.ravel(), (self.channels,)).astype(np.float64)

    def vector(self, number: int) -> Tensor:
        """A constant with a number for each channel, (channels,)."""
        found = self.needed(number)
        if found.shape != (self.channels,):
            raise self.error(
                f"input {number} has the shape {found.shape} for {self.channels} channels"
            )
        return found

    def activation(self, function: Activation) -> Ops:
        """The operation that applies an activation to each sample."""
        return (ActivationOp(function=function, axes=self.axes),)

    def pointwise(self, function: Callable[[Array], Array]) -> Ops:
        """The operation that applies a function to each sample."""
        return (Pointwise(function=function, axes=self.axes),)
