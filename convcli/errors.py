"""Everything that can go wrong for a reason the user can mend, each with its exit code."""

from __future__ import annotations


class ConvcliError(Exception):
    """An error told in one line: what was expected, what came; `hint` says what to try.

    `excerpt` is the user's own text with a caret under the place, line by line. All three are plain text, never
    markup; what came from a file or the command line may stand in them as it is, because `main()` makes control
    characters visible before it prints.
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
    """The run was done and its answer is no: a `--fail-on` condition held."""

    exit_code = 1


class RequestError(ConvcliError):
    """The request is wrong: the command line, FILTER, an unknown column, a cut-off above Nyquist."""

    exit_code = 2


class InputError(ConvcliError):
    """The input cannot be read, or what it holds is bad."""

    exit_code = 3


class OutputError(ConvcliError):
    """The output cannot be written."""

    exit_code = 4


def nearest(name: str, known: list[str]) -> str | None:
    """The known name that `name` was probably meant to be, or None."""
    import difflib

    folded = {each.casefold(): each for each in reversed(known)}
    found = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None
