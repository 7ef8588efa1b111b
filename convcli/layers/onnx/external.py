"""Numbers of an ONNX file that lie in files beside it, as torch.onnx.export writes large ones.

https://onnx.ai/onnx/repo-docs/ExternalData.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcli.errors import InputError, quoted_text
from convcli.named_files import opened_named

if TYPE_CHECKING:
    from convcli.places import Place


def read_external_numbers(path: Place, graph: Any, *, most: int) -> None:
    """Put the numbers of files beside an ONNX file into the initializers of its graph.

    most : the largest size of such a file, and of all numbers together

    InputError for a file that is not in the same folder, or does not hold the numbers.
    """
    total = 0
    for tensor in graph.initializer:
        if not tensor.data_location:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        called = quoted_text(tensor.name)
        location = entries.get("location", "")
        if not _is_name(location):
            raise InputError(
                f"{path}: the numbers of {called} lie in another file, {quoted_text(location)}",
                hint="only files in the folder of the ONNX file itself are read",
            )
        content = _part_of_file(path, path.with_name(location), entries, called, most)
        total += len(content)
        if total > most:
            raise InputError(f"{path}: holds more than {most >> 20:,} MB of numbers")
        tensor.raw_data = content
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")


def _is_name(location: str) -> bool:
    """Whether a location is the name of a file, in no other folder."""
    return location not in ("", ".", "..") and not set(location) & set("/\\\0:")


def _whole_number(text: str) -> int:
    """A number of bytes; -1 for any other text."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1


def _part_of_file(
    path: Place, beside: Place, entries: dict[str, str], called: str, most: int
) -> bytes:
    """The bytes of a tensor in a file."""
    hint = f"torch.onnx.export writes it beside {path.name}; external_data=False writes one file"
    expected = f"the numbers of {called}"
    with opened_named(beside, expected=expected, most=most, hint=hint) as (file, size):
        start = _whole_number(entries.get("offset", "0"))
        count = _whole_number(entries["length"]) if "length" in entries else size - start
        if not 0 <= start <= start + count <= size:
            message = f"{beside}: ends before the numbers of {called}"
            raise InputError(message, hint="the file is cut off, or belongs to another network")
        file.seek(start)
        return file.read(count)
