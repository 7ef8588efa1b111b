"""Hints for a command whose words are in the order or notation of another program.

SoX writes `sox in.wav out.wav highpass 100`, ImageMagick `convert in.png -blur 0x2 out.png`.
"""

from __future__ import annotations

import re
import shlex
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from convcli.designs.other_names import answer_to
from convcli.errors import RequestError
from convcli.places import is_file
from convcli.planning.grammar import parse
from convcli.planning.other_notations import step_here, step_named

if TYPE_CHECKING:
    from collections.abc import Sequence

# The commands whose first word is a FILTER.
_FILTERING = ("audio", "csv", "image")
_VALUE = re.compile(r"[-+]?\.?\d")
# An option of several letters with one minus sign, as ImageMagick has them.
LONG_WITH_ONE = re.compile(r"-[A-Za-z][A-Za-z-]{2,}")


def refuse_other_order(command: str, filter: str, inputs: list[str], output: str | None) -> None:
    """Raise RequestError where FILTER or the inputs are what another program expects there."""
    if is_file(filter):
        meant = _with_filter_first(command, filter, inputs)
        raise RequestError(
            f"expected a FILTER, got the file {filter}",
            hint=f"FILTER comes first, then the files: {meant}",
        )
    if not inputs or is_file(inputs[0]):
        return
    if _VALUE.match(inputs[0]):
        step = step_here(f"{filter} {inputs[0]}", parse)
        if step is not None:
            files = [word for word in inputs[1:] if is_file(word)]
            raise RequestError(
                f"expected a file after FILTER, got {inputs[0]!r}",
                hint=f"FILTER is one word: {_written(command, step, files, output)}",
            )
    steps = list(takewhile(_is_step, inputs))
    if steps:
        chain = " | ".join([filter, *steps])
        files = inputs[len(steps) :]
        raise RequestError(
            f"expected a file after FILTER, got {inputs[0]!r}",
            hint=f"a chain is one word: {_written(command, chain, files, output)}",
        )


def _is_step(word: str) -> bool:
    """Whether a word can be read as a step, and no file or folder has its name."""
    return step_named(word, parse) == word and not Path(word).exists()


def refuse_second_as_output(command: str, filter: str, inputs: list[str]) -> None:
    """Raise RequestError where the second of two words is the output, as in other programs."""
    first, second = inputs
    suffix = Path(second).suffix
    if is_file(first) and suffix and not Path(second).exists() and not set("*?[:") & set(second):
        raise RequestError(
            f"there is no file {second} to read",
            hint=f"-o names the output: {_written(command, filter, [first], second)}",
        )


def hint_for_options(words: list[str]) -> str | None:
    """The hint where an option of ImageMagick or a value of SoX is no option here; else None."""
    command, *given = words or [""]
    if command not in _FILTERING:
        return None
    rest: list[str] = []
    for word in given:
        rest += word.split() if re.match(r"-[A-Za-z]", word) else [word]
    for place, word in enumerate(rest):
        if LONG_WITH_ONE.fullmatch(word):
            return _hint_for_option(command, rest, place)
        if place and re.match(r"-\.?\d", word):
            step = step_here(f"{rest[place - 1]} {word}", parse)
            if step is not None:
                return _as_one_word(command, step, rest[: place - 1] + rest[place + 1 :])
    return None


def is_other_notation(command: str, words: Sequence[str], place: int) -> bool:
    """Whether the word at a place is an option of ImageMagick, and with its value a step: -edge 1.

    words : those after the command
    """
    values = _values_after(words, place)
    if command not in _FILTERING or not values:
        return False
    return step_here(f"{words[place][1:]} {values[0]}", parse) is not None


def _values_after(words: Sequence[str], place: int) -> list[str]:
    """The number after the word at a place, if there is one."""
    return [word for word in words[place + 1 : place + 2] if _VALUE.match(word)]


def hint_without_command(words: list[str]) -> str | None:
    """The command line with the command that filters the file in it; None if none is known.

    It may lack the command, `convcli sma:20 prices.csv`, or have another name for it.
    """
    from convcli.cli.opening import files_by_suffix, sound_and_picture_files
    from convcli.media.tables.files import TableFiles
    from convcli.media.tables.table_options import TableOptions
    from convcli.places import place_of

    known = (
        *sound_and_picture_files(max_pixels=1, strict=False),
        TableFiles(options=TableOptions()),
    )
    for file in filter(is_file, words):
        files = files_by_suffix(place_of(file), known)
        if files is None:
            continue
        begins = is_file(words[0]) or step_named(words[0], parse) is not None
        rest = words if begins else words[1:]
        of_option = hint_for_options([files.command, *rest])
        if of_option is not None:
            return of_option
        return f"`{files.command}` filters such files: {_in_order(files.command, rest)}"
    return None


def _in_order(command: str, words: list[str]) -> str:
    """A command whose FILTER is one word before the files, wherever and however it was written."""
    first, *others = words
    if is_file(first):
        options = [place for place, word in enumerate(others) if word.startswith("-")]
        end = options[0] if options else len(others)
        meant = _with_filter_first(command, first, others[:end])
        return shlex.join([*shlex.split(meant), *others[end:]])
    if others and _VALUE.match(others[0]):
        step = step_here(f"{first} {others[0]}", parse)
        if step is not None:
            return _written(command, step, others[1:], None)
    return _written(command, step_named(first, parse) or first, others, None)


def _hint_for_option(command: str, words: list[str], place: int) -> str | None:
    """The hint for an option of ImageMagick such as -blur, which is a step here, or None."""
    name = words[place][1:]
    values = _values_after(words, place)
    step = step_here(f"{name} {values[0]}", parse) if values else step_named(name, parse)
    if step is not None:
        after = place + 1 + len(values)
        return _as_one_word(command, step, words[:place] + words[after:])
    answer = answer_to(name)
    return None if answer is None else answer.hint


def _as_one_word(command: str, step: str, others: list[str]) -> str:
    """The hint that shows a command with its FILTER before the other words."""
    files = [word for word in others if is_file(word)]
    new = [word for word in others if word not in files and Path(word).suffix]
    output = new[-1] if new else None
    return f"FILTER is one word and comes first: {_written(command, step, files, output)}"


def _with_filter_first(command: str, file: str, others: list[str]) -> str:
    """The command with the FILTER that is among the words after a file; else with an example."""
    for place in range(len(others)):
        rest = others[place:]
        step = step_here(" ".join(rest), parse) or step_named(rest[0], parse)
        if step is not None:
            outputs = [word for word in others[:place] if not is_file(word)]
            output = outputs[0] if outputs else None
            return _written(command, step, [file], output)
    return _written(command, "box:5", [file], None)


def _written(command: str, filter: str, files: list[str], output: str | None) -> str:
    """A command line of convcli, quoted for the shell."""
    words = ["convcli", command, filter, *files]
    if output is not None:
        words += ["-o", output]
    return shlex.join(words)
