"""What the functions for Python users share: checked arguments, and errors in the words of Python.

The rest of the program names options of the command line in its errors. A function with
`@errors_in_python` names its own arguments instead: `edge="valid"` for `--edge valid`.
"""

from __future__ import annotations

import math
import re
from functools import wraps
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, get_args

import numpy as np

from convcli.errors import ConvcliError, RequestError, nearest
from convcli.signals import Align, Edge, Missing
from convcli.units import UnitError, to_rate

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

# The words of other libraries for our rules, if they have no other meaning here.
_ELSEWHERE = {
    "nearest": "edge",
    "replicate": "edge",
    "mirror": "reflect",
    "constant": "zero",
    "circular": "wrap",
    "same": "center",
}

# Options of the command line, and what takes their place in Python; the first that fits counts.
_IN_PYTHON = [
    (re.compile(pattern), words)
    for pattern, words in (
        (
            r"`convcli csv --time COLUMN` gives a table its rate",
            "rate= gives it, or times as the index",
        ),
        (r"--time COLUMN", "rate= or times as the index"),
        (r"without --time\b", "without times as the index"),
        (r"--every 1d", 'x.resample("1D").mean()'),
        (r"--missing keep, fill or propagate", 'missing="keep", "fill" or "propagate"'),
        (r"--(edge|align|missing) ([a-z]+)\b", r'\1="\2"'),
        (r"; --delay auto takes the part that both have", ""),
        (r"--blind\b", "a model without a target"),
        (r"--(bias|mix|residual)\b", r"\1=True"),
        (
            r"--(taps|ahead|seed|ridge|holdout|top|threshold|overlap|axes|rate) ([\dA-Z]\S*)",
            r"\1=\2",
        ),
        (r"--(taps|ahead|seed|ridge|holdout|top|threshold|overlap|axes|rate|layers)\b", r"\1="),
    )
]


def errors_in_python(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function for Python users raise its errors in the words of Python."""

    @wraps(function)
    def in_python(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except ConvcliError as error:
            hint = None if error.hint is None else _python_words(error.hint)
            raise error.reworded(_python_words(error.message), hint) from error.__cause__

    return in_python


def _python_words(text: str) -> str:
    """A message or a hint that names arguments in place of options."""
    for pattern, words in _IN_PYTHON:
        text = pattern.sub(words, text)
    return text


def check_filter(filter: Any) -> None:
    """Raise a RequestError unless `filter` is a text."""
    if not isinstance(filter, str):
        raise RequestError(f"filter expects a FILTER such as 'box:3', got {filter!r}")


def check_rules(
    *, edge: Edge | None = None, align: Align | None = None, missing: Missing | None = None
) -> None:
    """Raise a RequestError for a rule that there is not."""
    if edge is not None:
        _check_word("edge", edge, get_args(Edge))
    if align is not None:
        _check_word("align", align, get_args(Align))
    if missing is not None:
        _check_word("missing", missing, get_args(Missing))


def check_threads(threads: Any) -> None:
    """Raise a RequestError unless `threads` is None or a number of threads."""
    if threads is not None:
        check_whole("threads", threads, least=1)


def check_whole(name: str, given: Any, *, least: int) -> None:
    """Raise a RequestError unless an argument is a whole number from `least` on."""
    if not is_whole(given, least=least):
        raise RequestError(f"{name} expects a whole number from {least} on, got {given!r}")


def is_whole(given: Any, *, least: int) -> bool:
    """Whether an argument is a whole number from `least` on; True and False are not."""
    return _is_number(given, Integral) and given >= least


def check_number(
    name: str,
    given: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
) -> None:
    """Raise a RequestError unless an argument is a finite number within the bounds."""
    fits = _is_finite(given)
    bounds = []
    if above is not None:
        bounds.append(f"above {above:g}")
        fits = fits and given > above
    if least is not None:
        bounds.append(f"of at least {least:g}")
        fits = fits and given >= least
    if most is not None:
        bounds.append(f"at most {most:g}")
        fits = fits and given <= most
    if not fits:
        words = " ".join(["a number", " and ".join(bounds)]).rstrip()
        raise RequestError(f"{name} expects {words}, got {given!r}")


def check_flag(name: str, given: Any) -> None:
    """Raise a RequestError unless an argument is True or False."""
    if not isinstance(given, bool | np.bool):
        raise RequestError(f"{name} expects True or False, got {given!r}")


def read_rate(rate: float | str | None) -> float | None:
    """Samples per second from a number or a text such as `16k`. RequestError for other values."""
    if isinstance(rate, str):
        try:
            return to_rate(rate)
        except UnitError as error:
            raise RequestError(f"rate {error}") from None
    if rate is not None and not (_is_finite(rate) and rate > 0):
        raise RequestError(f"rate expects samples per second, a number above 0, got {rate!r}")
    return rate


def check_axes(axes: Any) -> None:
    """Raise a RequestError unless `axes` is None or a number of sample axes."""
    if axes is not None and not (_is_number(axes, Integral) and axes in (1, 2)):
        raise RequestError(f"axes expects 1 or 2 sample axes, got {axes!r}")


def _check_word(name: str, given: Any, known: tuple[str, ...]) -> None:
    """Raise a RequestError with the word that was meant if `given` is not a known word."""
    if given in known:
        return
    word = str(given).casefold()
    ours = _ELSEWHERE.get(word)
    near = ours if ours in known else nearest(word, list(known))
    raise RequestError(
        f"{name} expects {', '.join(known[:-1])} or {known[-1]}, got {given!r}",
        hint=f"did you mean {near}?" if near else None,
    )


def _is_number(given: Any, kind: type) -> bool:
    return isinstance(given, kind) and not isinstance(given, bool)


def _is_finite(given: Any) -> bool:
    """Whether it is a number that float64 can hold, and not NaN."""
    try:
        return _is_number(given, Real) and math.isfinite(given)
    except OverflowError:  # a whole number of more than 308 digits
        return False
