"""FILTER as text: `lowpass:3.4k,width=200 | downsample:2` becomes calls with their places.

chain = step { "|" step }     step = name [ ":" arg { ("," | ";") arg } ]     arg = value | key "="
value
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from convcli.errors import InputError, RequestError

LONGEST_RECIPE = 1 << 20

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*=")
_BARE = re.compile(r'[^|,;"\n]*')
_QUOTE_OR_COMMENT = re.compile(r'("[^"\n]*")|#[^\n]*')


@dataclass(frozen=True)
class Argument:
    """One value of a step. `row` counts the `;` before it; `at` is its place in the text."""

    text: str
    key: str | None
    row: int
    at: int


@dataclass(frozen=True)
class Call:
    """A step as written: name, arguments, and where it is in `source`, from `at` to `end`."""

    name: str
    arguments: tuple[Argument, ...]
    source: str = field(repr=False)
    at: int
    end: int

    @property
    def text(self) -> str:
        """The user's own words for this step."""
        return self.source[self.at : self.end]

    def first_value(self, name: str) -> str | None:
        """The text of the first parameter, which is called `name`; None where there is none."""
        texts = (argument.text for argument in self.arguments if argument.key in {None, name})
        return next(texts, None)

    def error(
        self, message: str, *, at: int | None = None, hint: str | None = None
    ) -> RequestError:
        """An error with a caret under the place in the user's text, by default under the name."""
        return fault(self.source, self.at if at is None else at, message, hint=hint)


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
    if bare.startswith("@"):
        return parse_recipe(Path(bare[1:]))
    if not bare:
        hint = "write at least one step, such as box:5; `convcli filters` lists all"
        raise RequestError("FILTER is empty", hint=hint)
    return tuple(_FilterReader(text).chain())


def parse_recipe(path: Path) -> tuple[Call, ...]:
    """The steps of a recipe file: one a line or separated by `|`; `#` starts a comment."""
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
    return tuple(_FilterReader(code, lines_separate=True).chain())


def _unreadable(path: Path, reason: str | None) -> InputError:
    hint = None
    if "|" in str(path):
        hint = "a recipe stands alone: put further steps into the file"
    return InputError(f"recipe {path} cannot be read: {reason}", hint=hint)


class _FilterReader:
    """A cursor that moves over the text of a FILTER or a recipe."""

    def __init__(self, text: str, *, lines_separate: bool = False) -> None:
        self.text = text
        self.at = 0
        self.lines_separate = lines_separate
        self.separators = "|\n" if lines_separate else "|"
        self.spaces = " \t\r" if lines_separate else " \t\r\n"

    def chain(self) -> list[Call]:
        """Read all steps up to the end of the text."""
        calls: list[Call] = []
        while self._find_step():
            calls.append(self._step())
            self._skip_space()
            if not self._peek():
                break
            if self._peek() not in self.separators:
                raise self._fault(f"expected | or the end, got {self._peek()!r}")
            self._separator()
        return calls

    def _find_step(self) -> bool:
        """Move to the next step, past empty lines of a recipe; False where a recipe ends."""
        self._skip_space()
        while self.lines_separate and self._peek() == "\n":
            self.at += 1
            self._skip_space()
        return bool(self._peek()) or not self.lines_separate

    def _separator(self) -> None:
        """Move past a separator. A `|` is followed by a step; a line may be the last one."""
        bar = self._peek() == "|"
        if bar and not self.text[self.at + 1 :].strip():
            raise self._fault("a step is missing after the |")
        self.at += 1

    def _peek(self) -> str:
        """The next character; empty at the end."""
        return self.text[self.at : self.at + 1]

    def _skip_space(self) -> None:
        while self._peek() and self._peek() in self.spaces:
            self.at += 1

    def _fault(self, message: str, *, at: int | None = None) -> RequestError:
        return fault(self.text, self.at if at is None else at, message)

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
        """Read a value up to the next separator."""
        match = _BARE.match(self.text, self.at)
        value = match[0].rstrip() if match else ""
        if not value:
            raise self._fault("a value is missing here")
        self.at += len(value)
        return value
