"""The objects in a folder of a store, and those that a pattern matches."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from convcli.errors import InputError
from convcli.media.remote import WILDCARDS
from convcli.media.remote_store import in_words, obstore_module, open_bucket

if TYPE_CHECKING:
    from convcli.media.remote import RemotePlace

# Objects of a listing that are fetched at once.
_CHUNK = 1000


def objects_in(place: RemotePlace, *, recursive: bool) -> list[tuple[str, int]]:
    """The objects in a folder, sorted: their URLs, and where in them the path in the folder begins.

    Names that begin with a dot are left out, as on a disk. InputError if the store cannot be asked.
    """
    folder = place.key.strip("/")
    store = open_bucket(place)
    prefix = folder or None
    with in_words(place, InputError):
        if recursive:
            keys = _listed_keys(store, prefix)
        else:
            objects = obstore_module().list_with_delimiter(store, prefix)["objects"]
            keys = [found["path"] for found in objects]
    start = len(folder) + 1 if folder else 0
    visible = [key for key in keys if not _is_hidden(key[start:])]
    return _with_urls(place, visible, folder)


def objects_like(place: RemotePlace) -> list[tuple[str, int]]:
    """The objects whose keys match a pattern, sorted: URLs, and where their variable part begins.

    A pattern that is the key of an object is that object. `*`, `?` and `[abc]` stand for parts of a
    name, `**` for any number of folders. A name that begins with a dot is matched by a pattern that
    does. InputError if the store cannot be asked.
    """
    pattern = place.key.split("/")
    are_wild = [any(mark in part for mark in WILDCARDS) for part in pattern]
    fixed = are_wild.index(True)
    folder = "/".join(pattern[:fixed])
    with in_words(place, InputError):
        keys = _listed_keys(open_bucket(place), folder or None)
    if place.key in keys:
        return [(place.url, -1)]
    matching = [key for key in keys if _key_matches(key.split("/")[fixed:], pattern[fixed:])]
    return _with_urls(place, matching, folder)


def _listed_keys(store: object, prefix: str | None) -> list[str]:
    """The keys of all objects below a folder."""
    keys: list[str] = []
    for chunk in obstore_module().list(store, prefix, chunk_size=_CHUNK):
        keys.extend(found["path"] for found in chunk)
    return keys


def _with_urls(place: RemotePlace, keys: list[str], folder: str) -> list[tuple[str, int]]:
    bucket = f"{place.scheme}://{place.bucket}/"
    start = len(bucket) + (len(folder) + 1 if folder else 0)
    # An object with the name of the folder is how consoles make an empty folder.
    return [(bucket + key, start) for key in sorted(keys) if key != folder]


def _is_hidden(relative: str) -> bool:
    return any(name.startswith(".") for name in relative.split("/"))


def _key_matches(names: list[str], pattern: list[str]) -> bool:
    """Whether the names between the slashes of a key match the parts of a pattern."""
    if not names or not pattern:
        return not names and not pattern
    part, rest = pattern[0], pattern[1:]
    hidden = names[0].startswith(".") and not part.startswith(".")
    if part != "**":
        return not hidden and fnmatchcase(names[0], part) and _key_matches(names[1:], rest)
    # `**` stands for no folder, or for the first one and more; at the end for any name.
    if _key_matches(names, rest or ["*"]):
        return True
    return len(names) > 1 and not hidden and _key_matches(names[1:], pattern)
