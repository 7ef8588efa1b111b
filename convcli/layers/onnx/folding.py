"""Nodes of an ONNX graph that compute with constants alone, such as the sides of a Pad.

Exporters write sizes as little programs: zeros of a shape, joined, turned and cut. They are worked
out while the graph is read, as long as they are small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from convcli.layers.weights import Tensor

    Attributes = Mapping[str, Any]
    Fold = Callable[[Sequence[Tensor], Attributes], Tensor]

# More numbers than this are not sizes.
MOST_FOLDED = 4096


def folded_constant(kind: str, inputs: Sequence[Tensor], attributes: Attributes) -> Tensor | None:
    """The output of a node with constant inputs; None where it is not known, or large."""
    fold = _FOLDS.get(kind)
    if fold is None or sum(each.size for each in inputs) > MOST_FOLDED:
        return None
    try:
        found = np.asarray(fold(inputs, attributes), np.float64)
    except (ValueError, TypeError, IndexError, KeyError):
        return None
    return found if found.size <= MOST_FOLDED else None


def _integers(numbers: Tensor) -> list[int]:
    return [int(number) for number in np.ravel(numbers)]


def _constant_of_shape(inputs: Sequence[Tensor], attributes: Attributes) -> Tensor:
    shape = _integers(inputs[0])
    if np.prod(shape, dtype=np.float64) > MOST_FOLDED:
        raise ValueError
    value = np.ravel(attributes.get("value", 0.0))[0]
    return np.full(shape, value, np.float64)


def _concat(inputs: Sequence[Tensor], attributes: Attributes) -> Tensor:
    return np.concatenate(inputs, axis=attributes["axis"])


def _reshape(inputs: Sequence[Tensor], _: Attributes) -> Tensor:
    return inputs[0].reshape(_integers(inputs[1]))


def _transpose(inputs: Sequence[Tensor], attributes: Attributes) -> Tensor:
    return inputs[0].transpose(attributes.get("perm"))


def _cut_sizes(inputs: Sequence[Tensor], _: Attributes) -> Tensor:
    x, starts, ends, *others = inputs
    along = _integers(others[0]) if others else range(starts.size)
    steps = _integers(others[1]) if len(others) > 1 else [1] * starts.size
    for axis, start, end, step in zip(
        along, _integers(starts), _integers(ends), steps, strict=True
    ):
        where: list[Any] = [slice(None)] * x.ndim
        where[axis] = slice(start, end, step)
        if step < 0 and end < -x.shape[axis]:
            where[axis] = slice(start, None, step)
        x = x[tuple(where)]
    return x


def _gathered_sizes(inputs: Sequence[Tensor], attributes: Attributes) -> Tensor:
    return np.take(inputs[0], inputs[1].astype(int), axis=attributes.get("axis", 0))


def _unsqueeze(inputs: Sequence[Tensor], attributes: Attributes) -> Tensor:
    axes = _integers(inputs[1]) if len(inputs) > 1 else attributes["axes"]
    return np.expand_dims(inputs[0], tuple(axes))


def _squeeze(inputs: Sequence[Tensor], _: Attributes) -> Tensor:
    axes = tuple(_integers(inputs[1])) if len(inputs) > 1 else None
    return np.squeeze(inputs[0], axes)


def _cast_sizes(inputs: Sequence[Tensor], attributes: Attributes) -> Tensor:
    from onnx import TensorProto

    floats = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
    return inputs[0] if attributes["to"] in floats else np.trunc(inputs[0])


_FOLDS: dict[str, Fold] = {
    "Identity": lambda inputs, _: inputs[0],
    "Cast": _cast_sizes,
    "ConstantOfShape": _constant_of_shape,
    "Concat": _concat,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Slice": _cut_sizes,
    "Gather": _gathered_sizes,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Shape": lambda inputs, _: np.array(inputs[0].shape),
    "Neg": lambda inputs, _: -inputs[0],
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
}
