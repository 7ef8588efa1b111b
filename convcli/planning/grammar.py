"""FILTER as text: `lowpass:3.4k,width=200 | downsample:2` becomes calls with their places.

* chain = stage { "|" stage }
* stage = sum { " & " sum }; several sums are several outputs, side by side
* sum = product { (" + " | " - ") product }; an operator stands between spaces
* product = operand { (" * " | " / ") operand }
* operand = step | number | "x" | "(" chain ")" | "@" recipe
* step = name [ ":" arg { ("," | ";") arg } ]
* arg = value | key "=" value
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from convcli.core.formula import Arithmetic, Constant, Operand
from convcli.errors import InputError, RequestError
from convcli.planning.recipe_folder import find_recipe
from convcli.units import UnitError, to_factor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.core.formula import Formula

LONGEST_RECIPE = 1 << 20
# A chain in parentheses within parentheses, and so on, at most so deep.
DEEPEST = 16
# Operators of one stage.
MOST_OPERATORS = 200

# The step that a group of branches is, and the word for the signal that enters it.
BRANCHES = "branches"
INPUT = "x"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*=")
_NUMBER = re.compile(r"[+-]?\.?[0-9][^\s|()&,;\"]*")
_RECIPE = re.compile(r'@(?:"([^"\n]*)"|([^\s|()&,;"]+))')
_OPERATOR = re.compile(r"(?<=\s)[-+*/&](?=\s|$)")
# What ends a value without quotes, if no parenthesis is open in it.
_END_OF_VALUE = re.compile(r'[|,;"\n()]|\s+[-+*/&]\s')
_QUOTE_OR_COMMENT = re.compile(r'("[^"\n]*")|#[^\n]*')

# An operator after a value or a name that lacks a space before it or behind it.
_UNSPACED = re.compile(r"(?<=[\w)\s%])[-+*/](?=\s*[A-Za-z_(])")
SPACED = "an operator stands between spaces: x - box:3"


@dataclass(frozen=True)
class Argument:
    """One value of a step. `row` counts the `;` before it; `at` is its place in the text."""

    text: str
    key: str | None
    row: int
    at: int


@dataclass(frozen=True)
class Branch:
    """A branch as written: its steps, none for `x`, and where it begins in the text.

    words : the user's own words, if they are not those of the steps
    channels : how many channels must come out; None: any number
    """

    calls: tuple[Call, ...]
    at: int
    words: str = ""
    channels: int | None = None

    @property
    def text(self) -> str:
        """The user's own words for this branch."""
        return self.words or " | ".join(call.text for call in self.calls) or INPUT


@dataclass(frozen=True)
class BranchGroup:
    """Branches as written and the formulas that combine them, one for each output.

    names : of the channels that come out; None: those of a branch, or new ones
    """

    branches: tuple[Branch, ...]
    formulas: tuple[Formula, ...]
    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Call:
    """A step as written: name, arguments, and where it is in `source`, from `at` to `end`.

    group : of a step that is a group of branches
    """

    name: str
    arguments: tuple[Argument, ...]
    source: str = field(repr=False)
    at: int
    end: int
    group: BranchGroup | None = None

    @property
    def is_name_alone(self) -> bool:
        """Whether nothing but the name of a step is written."""
        return not self.arguments and self.group is None

    def with_nested(self) -> Iterator[Call]:
        """Yield the step and, if it is a group of branches, every step in it."""
        yield self
        if self.group is not None:
            for branch in self.group.branches:
                for call in branch.calls:
                    yield from call.with_nested()

    @property
    def text(self) -> str:
        """The user's own words for this step."""
        return self.source[self.at : self.end]

    @property
    def title(self) -> str:
        """What a message calls the step: its name, a group of branches by its text."""
        return self.name if self.group is None else self.text

    def first_value(self, name: str) -> str | None:
        """The text of the first parameter, which is called `name`; None where there is none."""
        texts = (argument.text for argument in self.arguments if argument.key in {None, name})
        return next(texts, None)

    def error(
        self, message: str, *, at: int | None = None, hint: str | None = None
    ) -> RequestError:
        """An error with a caret under the place in the user's text, by default under the name."""
        return fault(self.source, self.at if at is None else at, message, hint=hint)


def unspaced_operator(text: str) -> int | None:
    """The place of an operator in a value or a name, which lacks the spaces around it, or None.

    >>> unspaced_operator("3-box:5"), unspaced_operator("3 -box"), unspaced_operator("20")
    (1, 2, None)
    """
    found = _UNSPACED.search(text)
    return None if found is None else found.start()


def fault(source: str, at: int, message: str, *, hint: str | None = None) -> RequestError:
    """A RequestError that shows the line of `source` around `at`, with a caret under it."""
    start = source.rfind("\n", 0, at) + 1
    line, _, _ = source[start:].partition("\n")
    caret = " " * (at - start) + "^"
    return RequestError(message, hint=hint, excerpt=(line, caret))


def parse(text: str) -> tuple[Call, ...]:
    """The steps of a FILTER.

    `@recipe.conv` reads them from a file. RequestError points at what is wrong.

    >>> [(call.name, [a.text for a in call.arguments]) for call in parse("kernel:1,2;3,4 | abs")]
    [('kernel', ['1', '2', '3', '4']), ('abs', [])]
    """
    bare = text.strip()
    if not bare:
        hint = "write at least one step, such as box:5; `convcli filters` lists all"
        raise RequestError("FILTER is empty", hint=hint)
    if bare.startswith("@") and _names_one_file(bare):
        return parse_recipe(Path(bare[1:]))
    return tuple(_FilterReader(text).chain())


def _names_one_file(text: str) -> bool:
    """Whether a text that begins with @ is the path of a recipe alone, perhaps with spaces."""
    alone = _RECIPE.fullmatch(text) is not None
    return not alone and not _OPERATOR.search(text) and not set('|"') & set(text)


def parse_recipe(path: Path, *, within: tuple[Path, ...] = ()) -> tuple[Call, ...]:
    """The steps of a recipe file: one a line or separated by `|`; `#` starts a comment.

    within : the recipes that this one is read for; RequestError if it is one of them
    """
    try:
        with path.expanduser().open(encoding="utf-8-sig") as file:
            text = file.read(LONGEST_RECIPE + 1)
    except UnicodeDecodeError as error:
        raise _unreadable(path, "it is not UTF-8 text") from error
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    if len(text) > LONGEST_RECIPE:
        message = f"recipe {path} is longer than {LONGEST_RECIPE:,} characters"
        raise InputError(f"{message}; expected a step a line")
    # Spaces in the place of comments keep every step at its place in the text.
    code = _QUOTE_OR_COMMENT.sub(lambda found: found[1] or " " * len(found[0]), text)
    if not code.strip():
        raise RequestError(f"recipe {path} holds no step")
    recipes = (*within, path.expanduser().resolve())
    return tuple(_FilterReader(code, lines_separate=True, recipes=recipes).chain())


def _unreadable(path: Path, reason: str | None) -> InputError:
    return InputError(f"recipe {path} cannot be read: {reason}")


class _GroupReader:
    """Collects the branches and operators of one stage."""

    def __init__(self) -> None:
        self.branches: list[Branch] = []
        self.operators = 0
        self._numbers: dict[str, int] = {}

    def operand(self, calls: tuple[Call, ...], at: int) -> Operand:
        """Add a branch; one that is written twice is computed once."""
        branch = Branch(calls, at)
        number = self._numbers.setdefault(branch.text, len(self.branches))
        if number == len(self.branches):
            self.branches.append(branch)
        return Operand(number)


class _FilterReader:
    """A cursor that moves over the text of a FILTER or a recipe.

    recipes : the files of the recipe and of those that it is read for
    """

    def __init__(
        self, text: str, *, lines_separate: bool = False, recipes: tuple[Path, ...] = ()
    ) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        # Stages of the innermost parentheses that are no steps but numbers.
        self.numbers: list[float] = []
        self.lines_separate = lines_separate
        self.recipes = recipes

    @property
    def separators(self) -> str:
        """What separates two stages."""
        return "|\n" if self._lines_separate_here else "|"

    @property
    def spaces(self) -> str:
        """What has no meaning between words."""
        return " \t\r" if self._lines_separate_here else " \t\r\n"

    @property
    def _lines_separate_here(self) -> bool:
        return self.lines_separate and self.depth == 0

    def chain(self) -> list[Call]:
        """Read all stages up to the end of the text, or of the parentheses."""
        calls: list[Call] = []
        while self._find_step():
            calls += self._stage()
            self._skip_space()
            if not self._peek() or (self.depth and self._peek() == ")"):
                break
            if self._peek() not in self.separators:
                raise self._unexpected()
            self._separator()
        return calls

    def _find_step(self) -> bool:
        """Move to the next step, past empty lines of a recipe; False where a recipe ends."""
        self._skip_space()
        while self._lines_separate_here and self._peek() == "\n":
            self.at += 1
            self._skip_space()
        return bool(self._peek()) or not self._lines_separate_here

    def _separator(self) -> None:
        """Move past a separator. A `|` is followed by a step; a line may be the last one."""
        bar = self._peek() == "|"
        if bar and not self.text[self.at + 1 :].strip():
            raise self._fault("a step is missing after the |")
        self.at += 1

    def _unexpected(self) -> RequestError:
        """The error for a character where a stage should end."""
        found = self._peek()
        if found == ")":
            return self._fault("this ) closes no parenthesis")
        hint = SPACED if found in "+-*/&" else None
        expected = "| or )" if self.depth else "| or the end"
        return self._fault(f"expected {expected}, got {found!r}", hint=hint)

    def _peek(self) -> str:
        """The next character; empty at the end."""
        return self.text[self.at : self.at + 1]

    def _skip_space(self) -> None:
        while self._peek() and self._peek() in self.spaces:
            self.at += 1

    def _fault(
        self, message: str, *, at: int | None = None, hint: str | None = None
    ) -> RequestError:
        return fault(self.text, self.at if at is None else at, message, hint=hint)

    # --- branches ---

    def _stage(self) -> list[Call]:
        """Read a step or a group of branches; a chain in parentheses alone is that chain."""
        start = self.at
        group = _GroupReader()
        formulas = [self._sum(group)]
        while self._operator("&"):
            formulas.append(self._sum(group))
        if len(formulas) == 1 and not group.operators and group.branches:
            calls = group.branches[0].calls
            if calls:
                return list(calls)
        if self.depth and len(formulas) == 1 and not group.branches:
            self.numbers.append(formulas[0].value(()))
            return []
        for formula in formulas:
            if next(formula.operands(), None) is None:
                raise self._without_signal(start, alone=not group.operators and not group.branches)
        end = len(self.text[: self.at].rstrip())
        written = BranchGroup(tuple(group.branches), tuple(formulas))
        return [Call(BRANCHES, (), self.text, start, end, written)]

    def _without_signal(self, start: int, *, alone: bool) -> RequestError:
        if alone:
            return self._fault(f"expected the name of a step, got {self.text[start]!r}", at=start)
        hint = "x is the signal: 2 * x"
        return self._fault("numbers alone do not read the signal", at=start, hint=hint)

    def _sum(self, group: _GroupReader) -> Formula:
        formula = self._product(group)
        symbol = self._operator("+-")
        while symbol:
            formula = self._combined(symbol, formula, self._product(group), group)
            symbol = self._operator("+-")
        return formula

    def _product(self, group: _GroupReader) -> Formula:
        formula = self._operand(group)
        symbol = self._operator("*/")
        while symbol:
            at = self.at
            right = self._operand(group)
            if symbol == "/" and right == Constant(0.0):
                raise self._fault("division by 0", at=at)
            formula = self._combined(symbol, formula, right, group)
            symbol = self._operator("*/")
        return formula

    def _combined(self, symbol: str, left: Formula, right: Formula, group: _GroupReader) -> Formula:
        group.operators += 1
        if group.operators > MOST_OPERATORS:
            raise self._fault(f"more than {MOST_OPERATORS} operators in one stage")
        return Arithmetic(symbol, left, right)

    def _operator(self, symbols: str) -> str | None:
        """Read an operator if one of `symbols` comes next; what follows it is an operand."""
        start = self.at
        self._skip_space()
        found = _OPERATOR.match(self.text, self.at)
        if found is None or found[0] not in symbols:
            self.at = start
            return None
        self.at += 1
        symbol = found[0]
        if not self.text[self.at :].strip():
            raise self._fault(f"a step is missing after the {symbol}", at=self.at - 1)
        self._skip_space()
        return symbol

    def _operand(self, group: _GroupReader) -> Formula:
        start = self.at
        written = _NUMBER.match(self.text, self.at)
        if written is not None:
            return self._number(written[0])
        if self._peek() == "(":
            number, calls = self._in_parentheses()
            if number is not None:
                return Constant(number)
        elif self._peek() == "@":
            calls = self._recipe()
        else:
            call = self._step()
            is_input = call.name == INPUT and call.is_name_alone
            calls = () if is_input else (call,)
        return group.operand(calls, start)

    def _number(self, text: str) -> Constant:
        try:
            factor = to_factor(text)
        except UnitError as error:
            hint = SPACED if set("+-*/") & set(text[1:]) else None
            raise self._fault(str(error), hint=hint) from None
        self.at += len(text)
        return Constant(factor)

    def _in_parentheses(self) -> tuple[float | None, tuple[Call, ...]]:
        """Read a number or a chain in parentheses."""
        opened = self.at
        outer = self.numbers
        self.numbers = []
        if self.depth == DEEPEST:
            raise self._fault(f"more than {DEEPEST} parentheses within each other")
        self.depth += 1
        self.at += 1
        calls = tuple(self.chain())
        if self._peek() != ")":
            message = "the parenthesis that opens here is not closed: expected )"
            raise self._fault(message, at=opened)
        numbers = self.numbers
        if numbers and len(calls) + len(numbers) > 1:
            raise self._without_signal(opened + 1, alone=False)
        self.numbers = outer
        self.depth -= 1
        self.at += 1
        return (numbers[0] if numbers else None), calls

    # --- recipes ---

    def _recipe(self) -> tuple[Call, ...]:
        """Read the steps of a recipe from its file."""
        start = self.at
        match = _RECIPE.match(self.text, start)
        if match is None:
            raise self._fault("expected the name or the path of a recipe after the @")
        self.at = match.end()
        try:
            path = find_recipe(match[1] or match[2])
        except RequestError as error:
            raise self._fault(error.message, at=start, hint=error.hint) from None
        if path.expanduser().resolve() in self.recipes:
            raise self._fault(f"the recipe {path} calls itself", at=start)
        if len(self.recipes) == DEEPEST:
            raise self._fault(f"more than {DEEPEST} recipes that call each other", at=start)
        return parse_recipe(path, within=self.recipes)

    # --- steps ---

    def _step(self) -> Call:
        start = self.at
        match = _NAME.match(self.text, self.at)
        if match is None:
            found = repr(self._peek()) if self._peek() else "the end"
            raise self._fault(f"expected the name of a step, got {found}")
        self.at = end = match.end()
        arguments: list[Argument] = []
        self._skip_space()
        if self._peek() == ":":
            self.at += 1
            arguments = self._arguments()
            end = len(self.text[: self.at].rstrip())
        return Call(match[0], tuple(arguments), self.text, start, end)

    def _arguments(self) -> list[Argument]:
        arguments: list[Argument] = []
        row = 0
        while True:
            self._skip_space()
            arguments.append(self._argument(row))
            self._skip_space()
            if self._peek() == ";":
                row += 1
            elif self._peek() != ",":
                return arguments
            self.at += 1

    def _argument(self, row: int) -> Argument:
        key = None
        match = _KEY.match(self.text, self.at)
        if match is not None:
            key = match[1]
            self.at = match.end()
            self._skip_space()
        at = self.at
        value = self._quoted() if self._peek() == '"' else self._unquoted()
        return Argument(value, key, row, at)

    def _quoted(self) -> str:
        """Read a value between quotes, which may hold any character but a quote."""
        start = self.at + 1
        close = self.text.find('"', start)
        if close < 0:
            raise self._fault('the quote that opens here is not closed: expected "')
        self.at = close + 1
        return self.text[start:close]

    def _unquoted(self) -> str:
        """Read a value up to the next separator or operator, or the end of the parentheses."""
        end = self._end_of_value()
        value = self.text[self.at : end].rstrip()
        if not value:
            raise self._fault("a value is missing here")
        self.at += len(value)
        return value

    def _end_of_value(self) -> int:
        """Where a value ends that may hold parentheses of its own."""
        opened = 0
        for found in _END_OF_VALUE.finditer(self.text, self.at):
            if found[0] == "(":
                opened += 1
            elif found[0] == ")" and opened:
                opened -= 1
            else:
                return found.start()
        return len(self.text)
