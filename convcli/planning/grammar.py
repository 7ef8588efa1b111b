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
from typing import TYPE_CHECKING, NamedTuple

from convcli.errors import InputError, RequestError
from convcli.places import path_of
from convcli.planning.calls import BRANCHES, INPUT, SPACED, Argument, Call, fault, hint_for_sign
from convcli.units import UnitError, to_factor

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_RECIPE = 1 << 20
# How deep chains in parentheses may be nested.
DEEPEST = 16
# Recipes that are read for one FILTER.
MOST_RECIPES = 500

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*=")
# What ends a value without quotes, if no parenthesis is open in it.
_END_OF_VALUE = re.compile(r'[|,;"\n()]|\s+[-+*/&]\s')
# Patterns that few runs need are compiled where they are used.
_NUMBER = r"[+-]?\.?[0-9][^\s|()&,;\"]*"
_RECIPE = r'@(?:"([^"\n]*)"|([^\s|()&,;"]+))'
_QUOTE_OR_COMMENT = r'("[^"\n]*")|#[^\n]*'
_OPERATORS = "-+*/&"


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
        return parse_recipe(path_of(bare[1:]))
    return tuple(FilterReader(text).chain())


def _names_one_file(text: str) -> bool:
    """Whether a text that begins with @ is the path of a recipe alone, perhaps with spaces."""
    if re.fullmatch(_RECIPE, text) or set('|"') & set(text):
        return False
    return re.search(r"\s[-+*/&]\s", text) is None


def parse_recipe(path: Path, within: _RecipesRead | None = None) -> tuple[Call, ...]:
    """The steps of a recipe file: one a line or separated by `|`; `#` starts a comment.

    within : the recipes that call this one
    """
    from convcli.file_stamps import note_untraceable

    note_untraceable()
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
    # Spaces in place of comments keep every step at its place in the text.
    code = re.sub(_QUOTE_OR_COMMENT, _quote_or_spaces, text)
    if not code.strip():
        raise RequestError(f"recipe {path} holds no step")
    recipes = (within or _RecipesRead()).beginning(path)
    return tuple(FilterReader(code, recipes=recipes, file=str(path)).chain())


def _quote_or_spaces(found: re.Match[str]) -> str:
    """Return a quoted text unchanged, and as many spaces as a comment is long."""
    quoted: str | None = found[1]
    return quoted or " " * len(found[0])


def _unreadable(path: Path, reason: str | None) -> InputError:
    return InputError(f"recipe {path} cannot be read: {reason}")


class WrittenOperand(NamedTuple):
    """An operand as written: the steps of a branch, none for `x`, or a number.

    at : where it begins in the text
    """

    calls: tuple[Call, ...]
    at: int
    number: float | None = None


class _RecipesRead:
    """The file of a recipe and of the recipes that call it, and how many were read in all."""

    def __init__(self, paths: tuple[Path, ...] = (), count: list[None] | None = None) -> None:
        self.paths = paths
        self.count = [] if count is None else count

    def beginning(self, path: Path) -> _RecipesRead:
        """Note that a further file is read."""
        self.count.append(None)
        return _RecipesRead((*self.paths, path.expanduser().resolve()), self.count)

    def problem(self, path: Path) -> str | None:
        """Why a further file must not be read, None if nothing is wrong."""
        if path.expanduser().resolve() in self.paths:
            return f"the recipe {path} calls itself"
        if len(self.paths) >= DEEPEST or len(self.count) >= MOST_RECIPES:
            return "recipes call each other too often"
        return None


class FilterReader:
    """A cursor that moves over the text of a FILTER or a recipe.

    recipes : given for the text of a recipe, whose lines separate steps: the recipe files read so
        far
    file : the recipe, for errors; empty for a FILTER
    """

    def __init__(self, text: str, *, recipes: _RecipesRead | None = None, file: str = "") -> None:
        self.text = text
        self.file = file
        self.at = 0
        self.depth = 0
        # The numbers that stand in place of a stage in the innermost parentheses.
        self.numbers: list[float] = []
        self.lines_separate = recipes is not None
        self.recipes = recipes or _RecipesRead()

    @property
    def separators(self) -> str:
        """The characters that separate two stages: `|`, and line ends in a recipe."""
        return "|\n" if self._lines_separate_here else "|"

    @property
    def spaces(self) -> str:
        """The characters that may surround words and have no meaning."""
        return " \t\r" if self._lines_separate_here else " \t\r\n"

    @property
    def _lines_separate_here(self) -> bool:
        return self.lines_separate and self.depth == 0

    def chain(self) -> list[Call]:
        """Read all stages up to the end of the text, or of the parentheses."""
        calls: list[Call] = []
        while self._find_step():
            start = self.at
            calls += self._stage()
            self._skip_space()
            if not self._peek() or (self.depth and self._peek() == ")"):
                break
            if self._peek() not in self.separators:
                raise self._unexpected(start)
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
        """Move past a separator. A `|` is followed by a step; a line may be the last one.

        A line of a recipe that begins with `|` goes on where the one before it ends.
        """
        following = self._next_place()
        if self.text[following : following + 1] == "|":
            self.at = following
        bar = self._peek() == "|"
        if bar and not self.text[self.at + 1 :].strip():
            raise self.fault("a step is missing after the |")
        self.at += 1

    def _unexpected(self, start: int) -> RequestError:
        """The error for a character where a stage should end, which began at `start`."""
        from convcli.planning.other_notations import hint_for_notation

        found = self._peek()
        if found == ")":
            return self.fault("this ) closes no parenthesis")
        before = self.text[: self.at].rstrip()
        hint = "values follow a colon, as in box:5; | separates two steps"
        if found in _OPERATORS or before[-1:] in _OPERATORS:
            hint = SPACED
        if found != "-":
            hint = hint_for_sign(self.text[self.at :]) or hint
        hint = hint_for_notation(self.text[start:], parse) or hint
        expected = "| or )" if self.depth else "| or the end"
        return self.fault(f"expected {expected}, got {found!r}", hint=hint)

    def _peek(self) -> str:
        """The next character; empty at the end."""
        return self.text[self.at : self.at + 1]

    def _skip_space(self) -> None:
        while self._peek() and self._peek() in self.spaces:
            self.at += 1

    def fault(
        self, message: str, *, at: int | None = None, hint: str | None = None
    ) -> RequestError:
        """An error with a caret at a place in the text, by default at the cursor."""
        place = self.at if at is None else at
        return fault(self.text, place, message, hint=hint, file=self.file)

    # --- branches ---

    def _stage(self) -> list[Call]:
        """Read a step or a group of branches; a chain in parentheses alone is that chain."""
        start = self.at
        first = self.operand()
        operator = self._operator_here()
        if operator is None and first.calls:
            return list(first.calls)
        if operator is None and first.number is not None:
            if not self.depth:
                found = self.text[start]
                raise self.fault(f"expected the name of a step, got {found!r}", at=start)
            self.numbers.append(first.number)
            return []
        # Most filters have no operators, and need none of this.
        from convcli.planning.expressions import input_alone, read_group

        group = input_alone(start) if operator is None else read_group(self, start, first)
        if isinstance(group, float):
            self.numbers.append(group)
            return []
        end = len(self.text[: self.at].rstrip())
        return [Call(BRANCHES, (), self.text, start, end, group, self.file)]

    def _operator_here(self) -> str | None:
        """The operator that comes next, perhaps on the next line; None if something else does."""
        here = self._next_place()
        around = self.text[here - 1 : here] + self.text[here + 1 : here + 2]
        found = self.text[here : here + 1]
        if found and found in _OPERATORS and around.isspace():
            return found
        return None

    def _next_place(self) -> int:
        """The place of the next character that is no space and no line end."""
        following = self.text[self.at :].lstrip()
        return len(self.text) - len(following)

    def operator(self, symbols: str) -> str | None:
        """Read an operator if one of `symbols` comes next; what follows it is an operand."""
        symbol = self._operator_here()
        if symbol is None or symbol not in symbols:
            return None
        self.at = self._next_place() + 1
        if not self.text[self.at :].strip():
            raise self.fault(f"a step is missing after the {symbol}", at=self.at - 1)
        self.at = self._next_place()
        return symbol

    def operand(self) -> WrittenOperand:
        """Read a step, a number, `x`, a recipe or a chain in parentheses."""
        start = self.at
        number = None
        calls: tuple[Call, ...] = ()
        first = self._peek()
        if first == "(":
            number, calls = self._in_parentheses()
        elif first == "@":
            calls = self._recipe()
        elif first and first in "+-.0123456789":
            number = self._number()
        else:
            call = self._step()
            if call.name != INPUT or not call.is_name_alone:
                calls = (call,)
        return WrittenOperand(calls, start, number)

    def _number(self) -> float:
        match = re.compile(_NUMBER).match(self.text, self.at)
        if match is None:
            hint = hint_for_sign(self.text[self.at :])
            raise self.fault(f"expected the name of a step, got {self._peek()!r}", hint=hint)
        try:
            factor = to_factor(match[0])
        except UnitError as error:
            behind_first = match[0][1:]
            has_operator = any(symbol in behind_first for symbol in "+-*/")
            hint = SPACED if has_operator else None
            raise self.fault(str(error), hint=hint) from None
        self.at = match.end()
        return factor

    def _in_parentheses(self) -> tuple[float | None, tuple[Call, ...]]:
        """Read a number or a chain in parentheses."""
        opened = self.at
        outer = self.numbers
        self.numbers = []
        if self.depth == DEEPEST:
            raise self.fault(f"more than {DEEPEST} parentheses within each other")
        self.depth += 1
        self.at += 1
        calls = tuple(self.chain())
        if self._peek() != ")":
            message = "the parenthesis that opens here is not closed: expected )"
            raise self.fault(message, at=opened)
        numbers = self.numbers
        if numbers and len(calls) + len(numbers) > 1:
            from convcli.planning.expressions import without_signal

            raise without_signal(self, opened + 1)
        self.numbers = outer
        self.depth -= 1
        self.at += 1
        return (numbers[0] if numbers else None), calls

    # --- recipes ---

    def _recipe(self) -> tuple[Call, ...]:
        """Read the steps of a recipe from its file."""
        start = self.at
        match = re.compile(_RECIPE).match(self.text, start)
        if match is None:
            raise self.fault("expected the name or the path of a recipe after the @")
        from convcli.planning.recipe_folder import find_recipe

        self.at = match.end()
        try:
            path = find_recipe(match[1] or match[2])
        except RequestError as error:
            raise self.fault(error.message, at=start, hint=error.hint) from None
        problem = self.recipes.problem(path)
        if problem is not None:
            raise self.fault(problem, at=start)
        return parse_recipe(path, self.recipes)

    # --- steps ---

    def _step(self) -> Call:
        start = self.at
        match = _NAME.match(self.text, self.at)
        if match is None:
            found = repr(self._peek()) if self._peek() else "the end"
            hint = hint_for_sign(self.text[self.at :])
            raise self.fault(f"expected the name of a step, got {found}", hint=hint)
        self.at = end = match.end()
        arguments: list[Argument] = []
        self._skip_space()
        if self._peek() == ":":
            self.at += 1
            arguments = self._arguments()
            end = len(self.text[: self.at].rstrip())
        return Call(match[0], tuple(arguments), self.text, start, end, file=self.file)

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
        key_at = self.at
        match = _KEY.match(self.text, self.at)
        if match is not None:
            key = match[1]
            self.at = match.end()
            self._skip_space()
        at = self.at
        value = self._quoted() if self._peek() == '"' else self._unquoted()
        return Argument(value, key, row, at, key_at)

    def _quoted(self) -> str:
        """Read a value between quotes, which may hold any character but a quote."""
        start = self.at + 1
        close = self.text.find('"', start)
        if close < 0:
            raise self.fault('the quote that opens here is not closed: expected "')
        self.at = close + 1
        return self.text[start:close]

    def _unquoted(self) -> str:
        """Read a value up to the next separator or operator, or the end of the parentheses."""
        end = self._end_of_value()
        value = self.text[self.at : end].rstrip()
        if not value:
            raise self.fault("a value is missing here")
        self.at += len(value)
        return value

    def _end_of_value(self) -> int:
        """The end of a value, which may contain parentheses."""
        opened = 0
        for found in _END_OF_VALUE.finditer(self.text, self.at):
            if found[0] == "(":
                opened += 1
            elif found[0] == ")" and opened:
                opened -= 1
            else:
                return found.start()
        return len(self.text)
