"""The operators of FILTER: `x - gaussian:3` as branches and a formula that combines them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.core.formula import Arithmetic, Constant, Operand
from convcli.planning.calls import Branch, BranchGroup

if TYPE_CHECKING:
    from convcli.core.formula import Formula
    from convcli.errors import RequestError
    from convcli.planning.grammar import FilterReader, WrittenOperand

# Operators of one stage.
MOST_OPERATORS = 200


def read_group(reader: FilterReader, start: int, first: WrittenOperand) -> BranchGroup | float:
    """Read a stage up to its end: branches and their formulas, or a number in parentheses.

    start : where the stage begins; first : its first operand, which has been read
    Raises RequestError where the stage does not read the signal.
    """
    return _GroupReader(reader, start, first).read()


class _GroupReader:
    """Collects the branches and operators of one stage."""

    def __init__(self, reader: FilterReader, start: int, first: WrittenOperand) -> None:
        self.reader = reader
        self.start = start
        self._first: WrittenOperand | None = first
        self._branches: list[Branch] = []
        self._operators = 0
        self._numbers: dict[str, int] = {}

    def read(self) -> BranchGroup | float:
        """Read one sum, or several that are separated by `&`, each of which is an output."""
        formulas = [self._sum()]
        while self.reader.operator("&"):
            formulas.append(self._sum())
        if self.reader.depth and len(formulas) == 1 and not self._branches:
            number: float = formulas[0].value(())
            return number
        for formula in formulas:
            if next(formula.operands(), None) is None:
                raise without_signal(self.reader, self.start)
        return BranchGroup(tuple(self._branches), tuple(formulas))

    def _sum(self) -> Formula:
        formula = self._product()
        symbol = self.reader.operator("+-")
        while symbol:
            formula = self._combined(symbol, formula, self._product())
            symbol = self.reader.operator("+-")
        return formula

    def _product(self) -> Formula:
        formula = self._operand()
        symbol = self.reader.operator("*/")
        while symbol:
            at = self.reader.at
            right = self._operand()
            if symbol == "/" and right == Constant(0.0):
                raise self.reader.fault("division by 0", at=at)
            formula = self._combined(symbol, formula, right)
            symbol = self.reader.operator("*/")
        return formula

    def _combined(self, symbol: str, left: Formula, right: Formula) -> Formula:
        self._operators += 1
        if self._operators > MOST_OPERATORS:
            raise self.reader.fault(f"more than {MOST_OPERATORS} operators in one stage")
        return Arithmetic(symbol, left, right)

    def _operand(self) -> Formula:
        """Read an operand. A branch that is written twice is computed once."""
        written = self._first or self.reader.operand()
        self._first = None
        if written.number is not None:
            return Constant(written.number)
        branch = Branch(written.calls, written.at)
        number = self._numbers.setdefault(branch.text, len(self._branches))
        if number == len(self._branches):
            self._branches.append(branch)
        return Operand(number)


def input_alone(at: int) -> BranchGroup:
    """The group whose only branch is `x`, the input itself."""
    return BranchGroup((Branch((), at),), (Operand(0),))


def without_signal(reader: FilterReader, at: int) -> RequestError:
    """The error for a stage of numbers."""
    return reader.fault("numbers alone do not read the signal", at=at, hint="as in 2 * x")
