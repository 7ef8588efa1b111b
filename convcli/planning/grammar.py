"""FILTER as text: `lowpass:3.4k,width=200 | downsample:2` read into steps, each knowing where it stands.

chain = step { "|" step }     step = name [ ":" arg { ("," | ";") arg } ]     arg = value | key "=" value
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from convcli.errors import InputError, RequestError


@dataclass(frozen=True)
class Argument:
    """One value of a step. `row` counts the `;` before it; `at` is its place in the text."""

    text: str
    key: str | None
    row: int
    at: int


@dataclass(frozen=True)
class Call:
    """A step as written: its name, its arguments, and the text that it stands in from `at` to `end`."""

    name: str
    arguments: tuple[Argument, ...]
    source: str = field(repr=False)
    at: int
    end: int

    @property
    def text(self) -> str:
        """The user's own words for this step."""
        return self.source[self.at : self.end]

    def error(
        self, message: str, *, at: int | None = None, hint: str | None = None
    ) -> RequestError:
        """An error with a caret under the place in the user's text."""
        return fault(self.source, self.at if at is None else at, message, hint=hint)


def fault(source: str, at: int, message: str, *, hint: str | None = None) -> RequestError:
    """A RequestError that shows the line of `source` around `at` with a caret under it."""
    start = source.rfind("\n", 0, at) + 1
    stop = source.find("\n", at)
    line = source[start : stop if stop >= 0 else len(source)]
    return RequestError(message, hint=hint, excerpt=(line, " " * (at - start) + "^"))


LONGEST_RECIPE = 1 << 20

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*=")
_BARE = re.compile(r'[^|,;"\n]*')


def parse(text: str) -> tuple[Call, ...]:
    """The steps of a FILTER. `@recipe.conv` reads them from a file. RequestError points at what is wrong.

    >>> [(call.name, [a.text for a in call.arguments]) for call in parse("kernel:1,2;3,4 | abs")]
    [('kernel', ['1', '2', '3', '4']), ('abs', [])]
    """
    if text.strip().startswith("@"):
        return parse_recipe(Path(text.strip()[1:]))
    if not text.strip():
        raise RequestError(
            "FILTER is empty",
            hint="write at least one step, such as box:5; `convcli filters` lists all",
        )
    return tuple(_Reader(text).chain())


def parse_recipe(path: Path) -> tuple[Call, ...]:
    """The steps of a recipe file: one a line or split by `|`; `#` starts a comment."""
    try:
        with path.expanduser().open(encoding="utf-8-sig") as file:
            text = file.read(LONGEST_RECIPE + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        hint = (
            "a recipe stands alone: put further steps into the file" if "|" in str(path) else None
        )
        raise InputError(f"recipe {path} cannot be read: {reason}", hint=hint) from error
    if len(text) > LONGEST_RECIPE:
        raise InputError(
            f"recipe {path} is longer than {LONGEST_RECIPE:,} characters; expected a step a line"
        )
    bare = re.sub(r'("[^"\n]*")|#[^\n]*', lambda m: m[1] or " " * len(m[0]), text)
    if not bare.strip():
        raise RequestError(f"recipe {path} holds no step")
    return tuple(_Reader(bare, lines_separate=True).chain())


class _Reader:
    """A cursor over the text."""

    def __init__(self, text: str, *, lines_separate: bool = False) -> None:
        self.text = text
        self.at = 0
        self.separators = "|\n" if lines_separate else "|"

    def chain(self) -> list[Call]:
        calls: list[Call] = []
        while True:
            self._skip_space()
            if self.separators != "|" and self._peek() in ("\n", ""):
                if not self._peek():
                    return calls
                self.at += 1
                continue
            calls.append(self._step())
            self._skip_space()
            if not self._peek():
                return calls
            if self._peek() not in self.separators:
                raise fault(self.text, self.at, f"expected | or the end, got {self._peek()!r}")
            self.at += 1
            if self._rest_is_empty():
                if "\n" in self.separators and self.text[self.at - 1] == "\n":
                    return calls
                raise fault(self.text, self.at - 1, "a step is missing after the |")

    def _rest_is_empty(self) -> bool:
        return not self.text[self.at :].strip()

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _skip_space(self) -> None:
        while self._peek() and self._peek() in (" \t\r" if "\n" in self.separators else " \t\r\n"):
            self.at += 1

    def _step(self) -> Call:
        start = self.at
        match = _NAME.match(self.text, self.at)
        if match is None:
            found = repr(self._peek()) if self._peek() else "the end"
            raise fault(self.text, self.at, f"expected the name of a step, got {found}")
        self.at = match.end()
        arguments: list[Argument] = []
        end = self.at
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
        key = _KEY.match(self.text, self.at)
        if key is not None:
            self.at = key.end()
            self._skip_space()
        at = self.at
        if self._peek() == '"':
            close = self.text.find('"', self.at + 1)
            if close < 0:
                raise fault(self.text, at, 'the quote that opens here is not closed: expected "')
            self.at = close + 1
            return Argument(self.text[at + 1 : close], key[1] if key else None, row, at)
        match = _BARE.match(self.text, self.at)
        value = match[0].rstrip() if match else ""
        if not value:
            raise fault(self.text, at, "a value is missing here")
        self.at = at + len(value)
        return Argument(value, key[1] if key else None, row, at)
