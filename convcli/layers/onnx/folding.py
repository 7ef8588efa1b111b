"""Nodes of an ONNX graph that compute with constants alone, such as the sides of a Pad.

Exporters write sizes as little programs: zeros of a shape, joined, turned and cut. Weights that are
normalised are written as they were learned, with their norm. Both are computed while the graph is
read. A result has at most `MOST_FOLDED` numbers, or no more than the largest of its inputs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.array_types import AnyArray

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Attributes = Mapping[str, Any]
    Fold = Callable[[Sequence["Constant"], Attributes], Any]

# An array of int64 or float64.
Constant = AnyArray
# Results of at most this many numbers may be larger than their inputs.
MOST_FOLDED = 4096


def folded_constant(
    kind: str, inputs: Sequence[Constant], attributes: Attributes
) -> Constant | None:
    """The output of a node with constant inputs; None where it is not known, or too large."""
    fold = _FOLDS.get(kind)
    if fold is None:
        return None
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(fold(inputs, attributes))
    except (ValueError, TypeError, IndexError, KeyError, OverflowError):
        return None
    return found if np.isfinite(found).all() else None


def _check_size(shape: Sequence[int], inputs: Sequence[Constant]) -> None:
    """Raise ValueError for a result larger than each input and than `MOST_FOLDED` numbers."""
    most = max(MOST_FOLDED, *(each.size for each in inputs))
    if math.prod(shape) > most:
        raise ValueError


def _integers(numbers: Constant) -> list[int]:
    return [int(number) for number in np.ravel(numbers)]


def _constant_of_shape(inputs: Sequence[Constant], attributes: Attributes) -> Constant:
    shape = _integers(inputs[0])
    _check_size(shape, inputs)
    return np.full(shape, np.ravel(attributes.get("value", 0.0))[0])


def _joined(inputs: Sequence[Constant], attributes: Attributes) -> Constant:
    return np.concatenate(inputs, axis=attributes["axis"])


def _reshape(inputs: Sequence[Constant], attributes: Attributes) -> Constant:
    x = inputs[0]
    shape = _integers(inputs[1])
    if not attributes.get("allowzero", 0):
        shape = [side or x.shape[axis] for axis, side in enumerate(shape)]
    return x.reshape(shape)


def _transpose(inputs: Sequence[Constant], attributes: Attributes) -> Constant:
    return inputs[0].transpose(attributes.get("perm"))


def _cut_sizes(inputs: Sequence[Constant], _: Attributes) -> Constant:
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


def _gathered_sizes(inputs: Sequence[Constant], attributes: Attributes) -> Constant:
    x, picked = inputs
    axis = attributes.get("axis", 0)
    _check_size((x.size, picked.size), inputs)
    return np.take(x, picked.astype(int), axis=axis)


def _unsqueeze(inputs: Sequence[Constant], attributes: Attributes) -> Constant:
    axes = _integers(inputs[1]) if len(inputs) > 1 else attributes["axes"]
    return np.expand_dims(inputs[0], tuple(axes))


def _squeeze(inputs: Sequence[Constant], attributes: Attributes) -> Constant:
    axes = attributes.get("axes")
    if len(inputs) > 1:
        axes = _integers(inputs[1])
    return np.squeeze(inputs[0], None if axes is None else tuple(axes))


def _cast_sizes(inputs: Sequence[Constant], attributes: Attributes) -> Constant:
    from onnx import TensorProto

    floats = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
    return inputs[0].astype(np.float64 if attributes["to"] in floats else np.int64)


def _shape_of(inputs: Sequence[Constant], attributes: Attributes) -> Constant:
    shape = inputs[0].shape
    return np.array(shape[attributes.get("start", 0) : attributes.get("end")], np.int64)


def _number_by_number(function: Callable[..., Any]) -> Fold:
    """A function of numbers that belong together."""

    def fold(inputs: Sequence[Constant], _: Attributes) -> Any:
        _check_size(np.broadcast_shapes(*(each.shape for each in inputs)), inputs)
        return function(*inputs)

    return fold


def _number_quotient(x: Constant, y: Constant) -> Any:
    """The quotient; of whole numbers it is rounded towards 0."""
    if x.dtype.kind == y.dtype.kind == "i":
        if (y == 0).any():
            raise ValueError
        return np.trunc(x / y).astype(np.int64)
    return x / y


def _remainder(inputs: Sequence[Constant], attributes: Attributes) -> Any:
    function = np.fmod if attributes.get("fmod", 0) else np.mod
    return _number_by_number(function)(inputs, attributes)


def _over_axes(function: Callable[..., Any]) -> Fold:
    """A function of all numbers along some axes."""

    def fold(inputs: Sequence[Constant], attributes: Attributes) -> Any:
        axes = attributes.get("axes")
        if len(inputs) > 1:
            axes = _integers(inputs[1])
        along = None if axes is None else tuple(axes)
        return function(inputs[0], axis=along, keepdims=bool(attributes.get("keepdims", 1)))

    return fold


def _norm(x: Constant, **over: Any) -> Any:
    return np.sqrt(np.sum(np.square(x), **over))


_FOLDS: dict[str, Fold] = {
    "Identity": lambda inputs, _: inputs[0],
    "Cast": _cast_sizes,
    "ConstantOfShape": _constant_of_shape,
    "Concat": _joined,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Slice": _cut_sizes,
    "Gather": _gathered_sizes,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Shape": _shape_of,
    "Neg": _number_by_number(np.negative),
    "Add": _number_by_number(np.add),
    "Sub": _number_by_number(np.subtract),
    "Mul": _number_by_number(np.multiply),
    "Div": _number_by_number(_number_quotient),
    "Mod": _remainder,
    "Max": _number_by_number(np.maximum),
    "Min": _number_by_number(np.minimum),
    "Floor": _number_by_number(np.floor),
    "Ceil": _number_by_number(np.ceil),
    "Reciprocal": _number_by_number(lambda x: 1 / x),
    "Sqrt": _number_by_number(np.sqrt),
    "ReduceL2": _over_axes(_norm),
    "ReduceSum": _over_axes(np.sum),
    "ReduceProd": _over_axes(np.prod),
}
