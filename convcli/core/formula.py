"""Arithmetic of branches: `x - gaussian:3` as a tree of operands, numbers and operators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import FloatArray
    from convcli.signals import Array


@dataclass(frozen=True, eq=False)
class Combination:
    """A linear combination of operands plus a constant.

    weights : (operands,)
    """

    weights: FloatArray
    constant: float

    @property
    def is_number(self) -> bool:
        """Whether the weights of all operands are 0."""
        return not self.weights.any()

    def plus(self, other: Combination, sign: float) -> Combination:
        """Add another combination, or subtract it where `sign` is -1."""
        weights = self.weights + sign * other.weights
        return Combination(weights, self.constant + sign * other.constant)

    def times(self, factor: float) -> Combination:
        """Multiply all weights and the constant by a number."""
        return Combination(self.weights * factor, self.constant * factor)


class Formula(ABC):
    """An arithmetic expression of operands, which are numbered from 0."""

    @abstractmethod
    def value(self, operands: Sequence[Array]) -> Any:
        """Compute the formula: an array, or a number where it reads no operand."""

    @abstractmethod
    def combination(self, count: int) -> Combination | None:
        """The formula as a linear combination of `count` operands; None if it is not linear."""

    @abstractmethod
    def operands(self) -> Iterator[int]:
        """Yield the number of every operand, once for each time that it occurs."""

    @property
    def adds_only(self) -> bool:
        """Whether operands are only added and subtracted."""
        return False

    @property
    def divides(self) -> bool:
        """Whether something is divided by an operand."""
        return False


@dataclass(frozen=True)
class Constant(Formula):
    """A formula that is a number and reads no operand."""

    number: float

    def value(self, operands: Sequence[Array]) -> float:
        """Return the number; operands have no effect."""
        return self.number

    def combination(self, count: int) -> Combination:
        """Return the number as a constant."""
        return Combination(np.zeros(count), self.number)

    def operands(self) -> Iterator[int]:
        """Yield nothing: a number has no operands."""
        return iter(())


@dataclass(frozen=True)
class Operand(Formula):
    """A formula that is one operand, unchanged."""

    number: int

    adds_only = True

    def value(self, operands: Sequence[Array]) -> Array:
        """Return the samples of the operand."""
        return operands[self.number]

    def combination(self, count: int) -> Combination:
        """Return the operand with the weight 1."""
        weights = np.zeros(count)
        weights[self.number] = 1.0
        return Combination(weights, 0.0)

    def operands(self) -> Iterator[int]:
        """Yield the number of the operand."""
        yield self.number


@dataclass(frozen=True)
class Arithmetic(Formula):
    """Two formulas combined by an operator: + - * or /."""

    symbol: str
    left: Formula
    right: Formula

    @property
    def adds_only(self) -> bool:
        """Whether operands are only added and subtracted."""
        return self.symbol in ("+", "-") and self.left.adds_only and self.right.adds_only

    @property
    def divides(self) -> bool:
        """Whether a divisor, in the formula or in one of its parts, holds an operand."""
        if self.symbol == "/" and list(self.right.operands()):
            return True
        return self.left.divides or self.right.divides

    def value(self, operands: Sequence[Array]) -> Any:
        """Compute the formula. A quotient is missing where the divisor is 0."""
        left = self.left.value(operands)
        right = self.right.value(operands)
        with np.errstate(all="ignore"):
            if self.symbol == "+":
                return left + right
            if self.symbol == "-":
                return left - right
            if self.symbol == "*":
                return left * right
            return _divided_where_possible(left, right)

    def combination(self, count: int) -> Combination | None:
        """Return the formula as a linear combination; None where operands meet in a product."""
        left = self.left.combination(count)
        right = self.right.combination(count)
        if left is None or right is None:
            return None
        if self.symbol in ("+", "-"):
            return left.plus(right, 1.0 if self.symbol == "+" else -1.0)
        if self.symbol == "*" and left.is_number:
            return right.times(left.constant)
        if not right.is_number or right.constant == 0:
            return None
        factor = right.constant if self.symbol == "*" else 1 / right.constant
        return left.times(factor)

    def operands(self) -> Iterator[int]:
        """Yield the operands of both sides."""
        yield from self.left.operands()
        yield from self.right.operands()


def _divided_where_possible(left: Any, right: Any) -> Any:
    """Divide, and give NaN where the divisor is 0."""
    y = np.asarray(np.true_divide(left, right))
    zero = np.broadcast_to(np.equal(right, 0), y.shape)
    if zero.any():
        y[zero] = np.nan
    # A number must not turn samples of single precision into doubles.
    return y if y.ndim else float(y)
