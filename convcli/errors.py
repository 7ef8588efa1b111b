"""Errors that the user can put right, each with its exit code."""

from __future__ import annotations

import errno
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self


class ConvcliError(Exception):
    """An error with a message of one line: what was expected, and what came instead.

    hint : what the user can try
    excerpt : lines of the user's own text, with a caret under the place
    may_pass : the same may succeed a moment later, as after a lost connection

    All texts are plain. Text from files or the command line may be part of them as it is, because
    `main` makes control characters visible before it prints.
    """

    exit_code = 1
    may_pass = False

    def __init__(
        self, message: str, *, hint: str | None = None, excerpt: tuple[str, ...] = ()
    ) -> None:
        message = _with_short_numbers(message)
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.excerpt = excerpt

    def reworded(self, message: str, hint: str | None) -> Self:
        """Return this error with another message and hint; class, excerpt and cause are kept."""
        error = type(self)(message, hint=hint, excerpt=self.excerpt)
        error.may_pass = self.may_pass
        error.__cause__ = self.__cause__
        return error

    def __str__(self) -> str:
        """The message, the excerpt and the hint, each on lines of its own."""
        lines = [self.message, *self.excerpt]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


# A number of 22 digits in groups, or of 40 without, is written with an exponent.
_LONG_NUMBER = re.compile(r"\b\d{1,3}(?:,\d{3}){7,}\b|\b\d{40,}\b")
# A word of this length is no path that a system accepts, and is cut in the middle.
_LONG_WORD = re.compile(r"\S{500,}")


def _with_short_numbers(message: str) -> str:
    """A message in which very long numbers are rounded and very long words are cut in the middle.

    >>> _with_short_numbers(f"this needs {10**30:,} taps")
    'this needs 1.00e+30 taps'
    """
    message = _LONG_NUMBER.sub(lambda found: _rounded_number(found[0]), message)
    return _LONG_WORD.sub(lambda found: f"{found[0][:100]}...{found[0][-60:]}", message)


def _rounded_number(digits: str) -> str:
    from decimal import Decimal

    return f"{Decimal(digits.replace(',', '')):.3g}"


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


class DefectError(ConvcliError):
    """An error that nobody expected: this program is wrong, and not its input."""

    exit_code = 70


# Errors of the system that the same call may not meet a moment later.
_PASSING = (
    errno.EIO,
    errno.EAGAIN,
    errno.EBUSY,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOLCK,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
)


# What the system says where a library cannot be loaded, or a thread not be started.
_WORDS_OF_SHORTAGE = (
    "failed to map segment",
    "cannot allocate memory",
    "can't start new thread",
)


def as_convcli_error(error: Exception) -> ConvcliError:
    """Convert any error of one input to one with a message for the user; its cause is kept."""
    if isinstance(error, ConvcliError):
        found = error
    elif isinstance(error, OSError):
        found = InputError(f"cannot be read: {error.strerror or error}")
        found.__cause__ = error
    else:
        found = unexpected_error(error)
    cause = found.__cause__
    if isinstance(cause, OSError) and cause.errno in _PASSING:
        found.may_pass = True
    return found


def _is_shortage(error: Exception) -> bool:
    """Whether the system had no memory left, or no room for a library or a thread."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, ImportError | RuntimeError):
        text = str(error).lower()
        return any(words in text for words in _WORDS_OF_SHORTAGE)
    return isinstance(error, MemoryError)


def unexpected_error(error: Exception) -> ConvcliError:
    """Convert an error that nobody expected to one with a message; its cause is kept."""
    found: ConvcliError
    if _is_shortage(error):
        found = InputError(
            "not enough memory for this",
            hint="--threads 1 and a chain with a shorter reach need less; `ulimit -a` shows limits",
        )
    else:
        found = DefectError(
            f"unexpected {type(error).__name__}: {error}",
            hint="this is a defect of convcli; --debug shows where",
        )
    found.__cause__ = error
    return found


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


def shell_word(text: object) -> str:
    """A word of the command in a hint, in quotes if a shell needs them."""
    from shlex import quote

    return quote(str(text))


# In names shorter than this a replaced letter makes another word: lag and log, sort and sqrt.
_SHORT_NAME = 5
# In names from this length on, two slips of the finger are likelier than another word.
_LONG_NAME = 8


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that `name` is a misspelling of, or None if none is close.

    A misspelling differs by one letter that is missing, added, replaced or swapped with the next,
    in long names by two, or is the beginning of one known name alone.
    """
    word = comparable_name(name)
    near = [(_slips(word, comparable_name(each)), each) for each in known]
    close = [(slips, each) for slips, each in near if slips is not None]
    if close:
        return min(close, key=lambda found: found[0])[1]
    if len(word) < 4:
        return None
    longer = [each for each in known if comparable_name(each).startswith(word)]
    return longer[0] if len(longer) == 1 else None


def comparable_name(name: str) -> str:
    """A name without the differences of case and hyphens that a slip may be."""
    return name.casefold().replace("-", "_")


def _slips(word: str, known: str) -> int | None:
    """How many slips turn `known` into `word`; None if there are too many."""
    shorter = min(len(word), len(known))
    most = 2 if shorter >= _LONG_NAME else 1
    if word == known:
        return 0
    if shorter < 2 or abs(len(word) - len(known)) > most:
        return None
    from collections import Counter

    differing = (Counter(word) - Counter(known)).total()
    if differing > most:
        return None
    replacement = 1 if shorter >= _SHORT_NAME else 2
    slips = _edit_distance(word, known, replacement)
    return slips if slips <= most else None


def _edit_distance(a: str, b: str, replacement: int) -> int:
    """Letters to insert, delete, replace or swap with the next (optimal string alignment).

    replacement : what a replaced letter costs; the others cost 1
    """
    before: list[int] = []
    above = list(range(len(b) + 1))
    for i, letter in enumerate(a):
        row = [i + 1]
        for j, other in enumerate(b):
            changed = above[j] + (0 if letter == other else replacement)
            best = min(changed, above[j + 1] + 1, row[j] + 1)
            swapped = i > 0 and j > 0 and a[i - 1] == other and b[j - 1] == letter
            if swapped:
                best = min(best, before[j - 1] + 1)
            row.append(best)
        before, above = above, row
    return above[-1]


def first_line(error: BaseException) -> str:
    """The first line of an error of a library, which may be long."""
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
