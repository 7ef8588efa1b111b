"""The steps of a FILTER as written: calls, their arguments, branches, and errors with a caret."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.core.formula import Formula

# The name of the step that computes a group of branches, and the word for the signal that it reads.
BRANCHES = "branches"
INPUT = "x"

# Of a line of more characters, an error shows this many on each side of the place.
LONGEST_SHOWN, SHOWN_AROUND = 240, 60

# The hint for an operator that lacks a space before it or behind it.
SPACED = "an operator stands between spaces: x - box:3"
# Signs that other programs write for an operator or a quote, and what is written here.
_LOOK_ALIKES = {
    **dict.fromkeys("\N{MINUS SIGN}\N{EN DASH}\N{EM DASH}", "-"),
    **dict.fromkeys("\N{MULTIPLICATION SIGN}\N{ASTERISK OPERATOR}\N{MIDDLE DOT}", "*"),
    **dict.fromkeys("\N{DIVISION SIGN}\N{FRACTION SLASH}", "/"),
    **dict.fromkeys("\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}", '"'),
}
_POWER = "x * x is the square of x, as in x | square"
_NEGATED = "-1 * x changes the sign"
_UNSPACED = r"(?<=[\w)\s%])(?<![\d.][eE])[-+*/](?=\s*[\w(.])"


@dataclass(frozen=True)
class Argument:
    """One value of a step.

    row : how many `;` come before it
    at, key_at : where the value and its key begin in the text of FILTER; they are the same where
        there is no key
    """

    text: str
    key: str | None
    row: int
    at: int
    key_at: int


@dataclass(frozen=True, eq=False)
class Branch:
    """A branch as written: its steps, none for `x`, and where it begins in the text.

    words : the text that the user wrote, if it differs from that of the steps
    channels : how many channels must come out; None for any number
    """

    calls: tuple[Call, ...]
    at: int
    words: str = ""
    channels: int | None = None

    @property
    def text(self) -> str:
        """The user's own words for this branch."""
        return self.words or " | ".join(call.text for call in self.calls) or INPUT


@dataclass(frozen=True, eq=False)
class BranchGroup:
    """Branches as written and the formulas that combine them, one for each output.

    names : names of the channels that come out; None for the names of a branch, or new ones
    """

    branches: tuple[Branch, ...]
    formulas: tuple[Formula, ...]
    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Call:
    """A step as written: name, arguments, and its place in `source`, from `at` to `end`.

    group : the branches, if the step is a group of branches
    file : the recipe that the text is from; empty for a FILTER
    """

    name: str
    arguments: tuple[Argument, ...]
    source: str = field(repr=False)
    at: int
    end: int
    group: BranchGroup | None = None
    file: str = ""

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
        """The step in messages: its name, or the text of a group of branches."""
        return self.name if self.group is None else self.text

    @property
    def path(self) -> str | None:
        """The text of the first parameter of a step that reads a file; None where there is none."""
        for argument in self.arguments:
            if argument.key is None or argument.key.casefold() == "path":
                return argument.text
        return None

    def error(
        self, message: str, *, at: int | None = None, hint: str | None = None
    ) -> RequestError:
        """An error with a caret under the place in the user's text, by default under the name."""
        place = self.at if at is None else at
        return fault(self.source, place, message, hint=hint, file=self.file)


def unspaced_operator(text: str) -> int | None:
    """The place of an operator in a value or a name, which lacks the spaces around it, or None.

    >>> unspaced_operator("3-box:5"), unspaced_operator("3 -box"), unspaced_operator("20")
    (1, 2, None)
    """
    found = re.search(_UNSPACED, text)
    return None if found is None else found.start()


def look_alike(text: str) -> int | None:
    """The place of the first sign in a value that looks like an operator or a quote, or None."""
    return next((place for place, sign in enumerate(text) if sign in _LOOK_ALIKES), None)


def hint_for_sign(text: str) -> str | None:
    """The hint for a text that begins with a sign which is no operator here; None for any other."""
    sign = text[:1]
    if sign in _LOOK_ALIKES:
        return f"write {_LOOK_ALIKES[sign]} in place of {sign}"
    if sign == "^" or text.startswith("**"):
        return _POWER
    return _NEGATED if sign == "-" else None


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes; some letters take two, and accents none."""
    if text.isascii() and text.isprintable():
        return len(text)
    from unicodedata import combining, east_asian_width

    columns = 0
    for sign in text:
        if not sign.isprintable():
            columns += len(repr(sign)) - 2  # it is shown as an escape
        elif east_asian_width(sign) in "WF":
            columns += 2
        elif not combining(sign):
            columns += 1
    return columns


def fault(
    source: str, at: int, message: str, *, hint: str | None = None, file: str = ""
) -> RequestError:
    """A RequestError that shows the line of `source` around `at`, with a caret under it.

    file : the recipe that the text is from, which the error names with the line
    """
    start = source.rfind("\n", 0, at) + 1
    line, _, _ = source[start:].partition("\n")
    before, after = line[: at - start], line[at - start :]
    if len(line) > LONGEST_SHOWN:
        if len(before) > SHOWN_AROUND:
            before = "..." + before[-SHOWN_AROUND:]
        if len(after) > SHOWN_AROUND:
            after = after[:SHOWN_AROUND] + "..."
    caret = " " * _columns(before) + "^"
    if file:
        number = 1 + source.count("\n", 0, at)
        message = f"recipe {file}, line {number}: {message}"
    return RequestError(message, hint=hint, excerpt=(before + after, caret))
