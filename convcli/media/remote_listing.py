"""The objects of a folder, and those that a pattern matches."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from convcli.errors import InputError, RequestError
from convcli.media.remote_store import open_bucket, in_words, obstore_module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.media.remote import RemotePlace

_WILD = "*?["
# Objects of a listing that are fetched at once.
_CHUNK = 1000


def has_wildcards(place: RemotePlace) -> bool:
    """Whether the key of a place is a pattern. Addresses of web servers are none."""
    return place.is_in_bucket and any(mark in place.key for mark in _WILD)


def is_remote_folder(place: RemotePlace) -> bool:
    """Whether a place is written as a folder: a bucket alone, or with a slash at its end."""
    return place.is_in_bucket and (not place.key or place.key.endswith("/"))


def objects_in(place: RemotePlace, *, recursive: bool) -> Iterator[tuple[str, str]]:
    """The objects in a folder in the order of their keys: the URL, and the path in the folder.

    Names that begin with a dot are left out, as on a disk. InputError if the store cannot be asked.
    """
    folder = place.key.strip("/")
    depth = None if recursive else 1
    for key in _keys(place, folder):
        relative = key[len(folder) :].lstrip("/")
        segments = relative.split("/")
        hidden = any(each.startswith(".") for each in segments)
        if relative and not hidden and (depth is None or len(segments) <= depth):
            yield _url(place, key), relative


def objects_like(place: RemotePlace) -> Iterator[tuple[str, str]]:
    """The objects whose keys match a pattern: the URL, and the path below its fixed part.

    `*`, `?` and `[abc]` stand for parts of a name, `**` for any number of folders. Names that begin
    with a dot are matched by patterns that do.
    """
    pattern = place.key.split("/")
    wild = next(at for at, each in enumerate(pattern) if any(mark in each for mark in _WILD))
    folder = "/".join(pattern[:wild])
    for key in _keys(place, folder):
        relative = key[len(folder) :].lstrip("/")
        if _matches(relative.split("/"), pattern[wild:]):
            yield _url(place, key), relative


def _matches(segments: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not segments
    first, rest = pattern[0], pattern[1:]
    if first == "**":
        # `**` stands for no folder, or for the first one and any number after it.
        if _matches(segments, rest or ["*"]):
            return True
        return (
            len(segments) > 1 and _is_seen(segments[0], first) and _matches(segments[1:], pattern)
        )
    if not segments or not _is_seen(segments[0], first):
        return False
    return fnmatchcase(segments[0], first) and _matches(segments[1:], rest)


def _is_seen(name: str, pattern: str) -> bool:
    return not name.startswith(".") or pattern.startswith(".")


def _url(place: RemotePlace, key: str) -> str:
    return f"{place.scheme}://{place.bucket}/{key}"


def _keys(place: RemotePlace, folder: str) -> list[str]:
    """The sorted keys of all objects below a folder."""
    if not place.is_in_bucket:
        raise RequestError(
            f"{place}: a web server does not list its files", hint="name them one by one"
        )
    store = open_bucket(place)
    found: list[str] = []
    with in_words(replace(place, url=_url(place, folder)), InputError):
        chunks: Any = obstore_module().list(store, folder or None, chunk_size=_CHUNK)
        for chunk in chunks:
            found.extend(meta["path"] for meta in chunk)
    # The object of the folder itself is how consoles make an empty one.
    return sorted(key for key in found if key != folder)
