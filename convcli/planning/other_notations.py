"""Steps in the notation of other programs: `sma(20)`, `highpass 100`, `lowpass=f=3000`.

Errors show the same step as it is written here. These functions are given `parse`, which reads a
FILTER: it asks for their hints itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from convcli.designs import answer_for, find, is_step
from convcli.designs.other_names import LONE_VALUES, OTHER_NAMES, answer_to
from convcli.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convcli.planning.calls import Call

    Parse = Callable[[str], tuple[Call, ...]]

# Calls of functions, as in Python; of methods, of which the second one names the statistic; options
# of FFmpeg; and words, as of SoX, or separated by a comma.
_NOTATIONS = (
    r"(?:rolling|expanding)\((?P<values>[^()|]*)\)\.(?P<name>\w+)\(",
    r"(?P<name>[A-Za-z_]\w*)\((?P<values>[^()|]*)\)",
    r"(?P<name>[A-Za-z_]\w*)=(?P<values>[^|\s]+)",
    r"(?P<name>[A-Za-z_][\w-]*)(?:\s+|,\s*)(?P<values>[-+]?[\d.@][^|()\s]*(?:[,\s]+[\d.][^|()\s]*)*)",
)


def hint_for_notation(text: str, parse: Parse) -> str | None:
    """The hint for a text that begins with a step in the notation of another program, or None."""
    step = step_here(text, parse)
    if step is not None:
        return f"write {step}; values follow a colon, and | separates two steps"
    name = re.match(r"[A-Za-z][\w-]*", text)
    if name is None or is_step(name[0]):
        return None
    answer = answer_to(name[0])
    return None if answer is None else answer.hint


def step_here(text: str, parse: Parse) -> str | None:
    """The step that a text begins with, as it is written here.

    None where the text is in no notation of another program, or its name is unknown.

    >>> from convcli.planning.grammar import parse
    >>> step_here("sma(20)", parse), step_here("highpass 100 | abs", parse)
    ('sma:20', 'highpass:100')
    """
    for notation in _NOTATIONS:
        found = re.match(notation, text)
        if found is not None:
            return _as_here(found["name"], _values(found["values"]), parse)
    return None


def step_named(name: str, parse: Parse) -> str | None:
    """The step that a word without values stands for, or a FILTER as it is; None if unknown.

    >>> from convcli.planning.grammar import parse
    >>> step_named("lowpass:3400", parse), step_named("despeckle", parse)
    ('lowpass:3400', 'median:3')
    """
    if _can_be_read(name, parse):
        return name
    written = re.fullmatch(r"([A-Za-z][\w-]*)(?::(.*))?", name)
    if written is None:
        return None
    return _as_here(written[1], written[2] or "", parse)


def _values(text: str) -> str:
    """The values of a step, separated by commas; the name of a lone value is left out."""
    values = [each for each in re.split(r"[\s,:]+", text.strip()) if each]
    if len(values) == 1:
        key, _, value = values[0].rpartition("=")
        if key.casefold() in LONE_VALUES:
            return value
    return ",".join(values)


def _as_here(name: str, values: str, parse: Parse) -> str | None:
    """The step that a name stands for, with the values if it can be read with them."""
    candidates = _candidates(name, values)
    return next((step for step in candidates if _can_be_read(step, parse)), None)


def _candidates(name: str, values: str) -> Iterator[str]:
    """Yield the step as it may be meant, from the most to the least likely."""
    if name not in OTHER_NAMES and is_step(name):
        yield f"{name}:{values}" if values else name
        return
    answer = answer_for(name)
    yield from answer.with_values(values)
    if answer.step:
        yield answer.step


def _can_be_read(filter: str, parse: Parse) -> bool:
    """Whether every step exists and takes as many values as it is given."""
    try:
        calls = parse(filter)
        return all(_takes_values(call) for first in calls for call in first.with_nested())
    except RequestError:
        return False


def _takes_values(call: Call) -> bool:
    positional = [each for each in find(call.name).parameters if not each.keyword_only]
    if positional and positional[0].kind is not None and positional[0].kind.takes_all:
        return True
    values = [argument for argument in call.arguments if argument.key is None]
    numbers = all(re.match(r"(?!0x)[-+]?[\d.]", each.text) for each in values)
    return numbers and len(values) <= len(positional)
