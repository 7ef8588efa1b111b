"""A short text that two commands have in common if they make the same results."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from convcli.errors import ConvcliError
from convcli.named_files import named_place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.planning.calls import Call


def request_identity(calls: Iterable[Call], *options: object) -> str:
    """The identity of a filter and of the options that its results depend on.

    The contents of files that the filter names, such as taps and models, are part of it.

    options : each is identified by its `repr`
    """
    digest = blake2b(repr(options).encode("utf-8", "surrogatepass"), digest_size=8)
    for call in calls:
        for step in call.with_nested():
            digest.update(step.text.encode("utf-8", "surrogatepass") + b"\0")
            for argument in step.arguments:
                _add_file(digest, argument.text.removeprefix("@"))
    return digest.hexdigest()


def _add_file(digest: blake2b, name: str) -> None:
    """Add the content of a file or an object; a text that names none adds nothing."""
    try:
        with named_place(name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (OSError, ValueError, ConvcliError):
        return
