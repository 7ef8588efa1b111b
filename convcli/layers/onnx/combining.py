"""Nodes of an ONNX graph that combine several values, sample by sample, as formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.formula import Arithmetic, Constant, Formula, Operand
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from convcli.layers.onnx.file import Node
    from convcli.layers.weights import Tensor
    from convcli.signals import Array

_SYMBOLS = {"Add": "+", "Sum": "+", "Sub": "-", "Mul": "*", "Div": "/"}


@dataclass(frozen=True)
class FunctionOfSeveral(Formula):
    """A function of several formulas, sample by sample, that is not linear.

    function : of as many arrays or numbers as there are `parts`
    """

    function: Callable[..., Any]
    parts: tuple[Formula, ...]

    def value(self, operands: Sequence[Array]) -> Any:
        """Compute the function of the values of all parts."""
        values = [part.value(operands) for part in self.parts]
        return self.function(*values)

    def combination(self, count: int) -> None:
        """Return None: the function is not linear."""
        return

    def operands(self) -> Iterator[int]:
        """Yield the operands of all parts."""
        for part in self.parts:
            yield from part.operands()


def _maximum(*values: Any) -> Any:
    """The largest of some values; NaN where one of them is."""
    found = values[0]
    for value in values[1:]:
        found = np.maximum(found, value)
    return found


def _minimum(*values: Any) -> Any:
    """The smallest of some values; NaN where one of them is."""
    found = values[0]
    for value in values[1:]:
        found = np.minimum(found, value)
    return found


def _mean_value(*values: Any) -> Any:
    """The mean of several values of one shape."""
    return sum(values) / len(values)


def _selected(condition: Any, one: Any, other: Any) -> Any:
    """`one` where the condition is not 0, else `other`; NaN where the condition is."""
    found = np.where(np.not_equal(condition, 0), one, other)
    unknown = np.isnan(condition)
    if np.any(unknown):
        found = np.where(unknown, np.nan, found)
    return found


def _comparison(compare: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """A comparison that gives 1 or 0, and NaN where one of the values is missing."""

    def compared(one: Any, other: Any) -> Any:
        found = np.where(compare(one, other), np.float32(1), np.float32(0))
        unknown = np.isnan(one) | np.isnan(other)
        return np.where(unknown, np.float32(np.nan), found)

    return compared


def _differ(one: Any, other: Any) -> Any:
    """The exclusive or of conditions, which are 1 or 0; NaN where one of them is missing."""
    return abs(one - other)


# A condition is 1 where it holds, else 0. Both hold where the smaller one is 1.
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "Max": _maximum,
    "Min": _minimum,
    "And": _minimum,
    "Or": _maximum,
    "Xor": _differ,
    "Mean": _mean_value,
    "Where": _selected,
    "Greater": _comparison(np.greater),
    "GreaterOrEqual": _comparison(np.greater_equal),
    "Less": _comparison(np.less),
    "LessOrEqual": _comparison(np.less_equal),
    "Equal": _comparison(np.equal),
}

# Kinds of nodes that are such functions.
FUNCTIONS_OF_SEVERAL = frozenset(_FUNCTIONS)


def formula_of(
    node: Node, values: Mapping[str, Any], constants: Mapping[str, Tensor]
) -> Formula | None:
    """What a node makes of its inputs, each of them an operand or a number; None if not known.

    values : by name, those that follow from the input of the graph; operands are numbered in their
        order among the inputs of the node
    """
    parts: list[Formula] = []
    count = 0
    for name in node.inputs:
        if name in values:
            parts.append(Operand(count))
            count += 1
        elif name in constants and constants[name].size == 1:
            number = float(constants[name].item())
            parts.append(Constant(number))
        else:
            return None
    return _formula_of_kind(node.kind, parts)


def _formula_of_kind(kind: str, parts: list[Formula]) -> Formula | None:
    """The formula of a kind of node; None if it does not combine values."""
    if kind in _FUNCTIONS:
        return FunctionOfSeveral(_FUNCTIONS[kind], tuple(parts))
    if kind not in _SYMBOLS:
        return None
    formula = parts[0]
    for part in parts[1:]:
        formula = Arithmetic(_SYMBOLS[kind], formula, part)
    return formula
