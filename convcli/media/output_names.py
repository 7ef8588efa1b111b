"""The output of every input: a file, or a name in a folder or by a template."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.errors import RequestError, nearest, shell_word
from convcli.media.refusals import (
    is_same,
    output_is_input,
    refuse_blocked_folder,
    refuse_existing,
    refuse_missing_parent,
)
from convcli.media.remote import RemotePlace, text_of, without_secrets
from convcli.media.replacing import is_special
from convcli.places import is_folder, is_remote, place_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.places import Place

FIELDS = ("stem", "suffix", "parent", "relative", "subfolder", "index")
# What standard input is called in the names of outputs.
STDIN_NAME = "stdin"
STDOUT_NAMES = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_EXAMPLE = "-o 'out/{stem}_filtered{suffix}'"
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def plan_output(
    source: Place | None,
    output: str | None,
    *,
    force: bool = False,
    in_place: bool = False,
    suffix: str | None = None,
) -> Place | None:
    """The output of a single input. Refuses whatever can be refused before any work.

    source : the input; None is standard input
    output : the text of `-o`. None or `-` is standard output, `out/` is a folder, and a text with
        fields such as `{stem}` is a template, in which `{{` is a brace; see `OutputNames`. Anything
        else is a file
    suffix : replaces the suffix of the input in folders and templates (`.flac`); None keeps it

    Returns None for standard output. The folder of a folder or template output may be missing:
    `atomic` makes it. Raises RequestError if the output is refused, and OutputError if the folder
    of a file is missing.
    """
    if in_place and output is None:
        place: Place | None = in_place_output(source)
    else:
        place = _named_output(source, output, suffix=suffix)
    if is_same(source, place):
        if not in_place or source is None or place is None:
            raise output_is_input(source, place)
    elif place is not None:
        refuse_existing(place, force=force)
    return place


def in_place_output(source: Place | None) -> Place:
    """The input as its own output. RequestError if it is not a file."""
    if source is None:
        raise RequestError(
            "--in-place needs a file, but the input is standard input",
            hint="name the file, or use -o",
        )
    if is_special(source):
        raise RequestError(
            f"--in-place needs a file, but {source} is a device or a pipe", hint="use -o"
        )
    return source


def _named_output(source: Place | None, output: str | None, *, suffix: str | None) -> Place | None:
    names = output_names(output, 1, several=False, suffix=suffix)
    path = STDIN_NAME if source is None else text_of(source)
    named = names.of(1, path, relative_path(path))
    return None if named is None else place_of(named)


def output_names(
    output: str | None, count: int, *, several: bool, suffix: str | None
) -> OutputNames | OneOutput:
    """How outputs are named: after their inputs, or as one output.

    output, suffix : as in `plan_output`
    count : number of inputs
    several : the inputs were named as many: by several words, a folder, a pattern or a list

    Raises RequestError if several inputs would share an output, and OutputError if a file is where
    their folder would be.
    """
    if output is None or output in STDOUT_NAMES:
        if count > 1:
            raise RequestError(
                f"{count} inputs cannot share standard output",
                hint=f"give a folder, -o out/, or a template, {_EXAMPLE}",
            )
        return OneOutput()
    if output == "":
        raise RequestError(
            "-o needs the name of a file, a folder (out/) or a template, got an empty text"
        )
    is_template = "{" in output or "}" in output
    folder = output.endswith(("/", os.sep)) or (several and is_folder(output))
    if is_template or folder:
        fixed = os.path.dirname(output.partition("{")[0])
        refuse_blocked_folder(output, fixed)
        return OutputNames(output, count, is_template, suffix)
    if count > 1:
        raise RequestError(
            f"{count} inputs cannot share the one output {output}",
            hint=f"give a folder, -o {shell_word(f'{output}/')}, or a template, {_EXAMPLE}",
        )
    place = place_of(output)
    refuse_missing_parent(place)
    return OneOutput(text_of(place))


def relative_path(path: str) -> str:
    """The path of a file that was named itself, below the folder that it is relative to.

    It does not begin at the root and does not lead out of that folder. Of an object it is the key.
    """
    if is_remote(path):
        path = RemotePlace(path).plain_key
    inside = path.lstrip("/" + os.sep)
    if ".." not in inside:
        return inside
    parts = Path(inside).parts
    return parts[-1] if ".." in parts else inside


@dataclass(frozen=True)
class OneOutput:
    """An output that is not named after an input.

    place : path or URL of a file; None is standard output
    """

    place: str | None = None

    def of(self, number: int, path: str, relative: str, *, nested: bool = False) -> str | None:  # noqa: ARG002 -- as of `OutputNames`
        """The output, whatever the input."""
        return self.place


@dataclass(frozen=True)
class OutputNames:
    """Outputs that are named after their inputs, by a folder or a template.

    output : the folder or the template. Its fields are `{stem}` and `{suffix}` of the input's name,
        `{parent}`, the folder of its path, `{relative}`, its path below the folder or the fixed
        part of the pattern that it was found by, `{subfolder}`, the folder of that, and `{index}`,
        its number from 1, with zeros in front so that names sort
    count : number of inputs
    is_template : `output` is a template, no folder
    suffix : replaces the suffix of the input; None keeps it
    """

    output: str
    count: int
    is_template: bool
    suffix: str | None = None

    def of(self, number: int, path: str, relative: str, *, nested: bool = False) -> str:
        """The output of an input.

        number : of the input, from 1
        nested : a folder of outputs gets the subfolders of `relative`
        """
        subfolder, name = os.path.split(relative)
        stem, suffix = _split_suffix(name)
        if self.suffix is not None:
            suffix = self.suffix
        if not self.is_template:
            return os.path.join(self.output, subfolder if nested else "", stem + suffix)
        fields = {
            "stem": stem,
            "suffix": suffix,
            "parent": os.path.dirname(without_secrets(path)) or ".",
            "relative": os.path.join(subfolder, stem + suffix),
            "subfolder": subfolder or ".",
            "index": f"{number:0{len(str(self.count))}}",
        }
        filled = _fill_template(self.output, fields)
        # In a store `.` is not a folder.
        return filled.replace("/./", "/") if is_remote(filled) else filled


def _split_suffix(name: str) -> tuple[str, str]:
    """The stem and the suffix of a name, as `Path` has them."""
    dot = name.rfind(".")
    if 0 < dot < len(name) - 1:
        return name[:dot], name[dot:]
    return name, ""


def _fill_template(template: str, fields: Mapping[str, str]) -> str:
    """Replace the fields of a template in one pass, so that braces in their values are kept."""

    def value(match: re.Match[str]) -> str:
        text = match[0]
        name = match[1]
        if text in ("{{", "}}"):
            return text[0]
        if name in fields:
            return fields[name]
        raise _unknown_field(text, name, template)

    return _FIELD.sub(value, template)


def _unknown_field(text: str, name: str | None, template: str) -> RequestError:
    near = nearest(name, list(FIELDS)) if name else None
    hint = "write {{ or }} for a brace in the name itself"
    if near is not None:
        hint = f"did you mean {{{near}}}?"
    known = " ".join(f"{{{field}}}" for field in FIELDS)
    return RequestError(
        f"{text} in the output {template} is not a field; the fields are {known}", hint=hint
    )
