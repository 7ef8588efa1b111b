"""Errors that the user can put right, each with its exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ConvcliError(Exception):
    """An error with a message of one line: what was expected, and what came instead.

    hint : what the user can try
    excerpt : lines of the user's own text, with a caret under the place

    All three are plain text. Text from files or the command line may be part of them as it is,
    because `main` makes control characters visible before it prints.
    """

    exit_code = 1

    def __init__(
        self, message: str, *, hint: str | None = None, excerpt: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.excerpt = excerpt


class ConditionError(ConvcliError):
    """The run was complete and its answer is no, such as a `--fail-on` condition that holds."""

    exit_code = 1


class RequestError(ConvcliError):
    """The request is wrong, such as an unknown column or a cut-off frequency above Nyquist."""

    exit_code = 2


class InputError(ConvcliError):
    """The input cannot be read, or its content is bad."""

    exit_code = 3


class OutputError(ConvcliError):
    """The output cannot be written."""

    exit_code = 4


# How much of a text from a file, and how many names, a message shows.
_LONGEST_QUOTED = 60
_MOST_NAMED = 12


def quoted_text(text: object) -> str:
    """A text or value from a file for a message: as Python writes it, and shortened."""
    written = repr(text)
    if len(written) <= _LONGEST_QUOTED:
        return written
    return written[: _LONGEST_QUOTED - 3] + "..."


def named_first(names: Sequence[str]) -> str:
    """The first of some names for a message, and how many more there are."""
    named = ", ".join(names[:_MOST_NAMED])
    more = len(names) - _MOST_NAMED
    return f"{named} and {more:,} more" if more > 0 else named


def nearest(name: str, known: list[str]) -> str | None:
    """The known name most similar to `name`, or None if none is similar."""
    import difflib

    folded = {each.casefold(): each for each in reversed(known)}
    found = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None
