"""Places in object stores and on web servers, which are named by a URL.

    s3://bucket/key   gs://bucket/key   az://container/key   https://host/path

A key is taken literally, as by other programs: nothing in it is decoded. The address of a web
server is written as in a browser, with %20 for a blank. What a URL holds besides the path, such as
the signature of a presigned one, is a secret: it is sent and never shown.
"""

from __future__ import annotations

import errno
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Literal, NoReturn

from convcli.places import BUCKETS, is_remote

if TYPE_CHECKING:
    from convcli.places import Place

# The characters that make a key a pattern.
WILDCARDS = "*?["


def text_of(place: Place) -> str:
    """The text that names a place, the secrets of a URL included."""
    remote = remote_place(place)
    return str(place) if remote is None else remote.url


def remote_place(place: Place | None) -> RemotePlace | None:
    """An object in a store or on a web server; None for a file of this machine."""
    return place if isinstance(place, RemotePlace) else None


def without_secrets(text: str) -> str:
    """A word of the command line without the secrets of a URL in it."""
    return str(RemotePlace(text)) if is_remote(text) else text


class RemotePlace:
    """An object in a store, or a file on a web server.

    url : as the user wrote it, secrets included
    """

    def __init__(self, url: str) -> None:
        self.url = url

    # -------------------------------------------------------------------------- parts of the URL

    @property
    def scheme(self) -> str:
        """`s3`, `gs`, `az`, `https` or `http`."""
        return self.url.partition("://")[0].lower()

    @property
    def is_in_bucket(self) -> bool:
        """Whether the place is an object in a bucket, and not a file on a web server."""
        return self.scheme in BUCKETS

    @cached_property
    def _shown_rest(self) -> str:
        """What follows the scheme, without the secrets of the address of a web server."""
        rest = self.url.partition("://")[2]
        if self.is_in_bucket:
            return rest
        for mark in "?#":
            rest = rest.partition(mark)[0]
        host, slash, path = rest.partition("/")
        return host.rpartition("@")[2] + slash + path

    @property
    def bucket(self) -> str:
        """The bucket, the container of Azure, or the web server."""
        return self._shown_rest.partition("/")[0]

    @property
    def key(self) -> str:
        """What follows the bucket, without the slash between."""
        return self._shown_rest.partition("/")[2]

    @property
    def plain_key(self) -> str:
        """The key, in which the %20 of an address is a blank."""
        if self.is_in_bucket:
            return self.key
        from urllib.parse import unquote

        plain = unquote(self.key)
        return plain if plain.isprintable() else self.key

    def __str__(self) -> str:
        return f"{self.scheme}://{self._shown_rest}"

    @property
    def is_pattern(self) -> bool:
        """Whether the place stands for all objects whose keys match it."""
        return self.is_in_bucket and any(mark in self.key for mark in WILDCARDS)

    @property
    def is_folder(self) -> bool:
        """Whether the place is written as a folder: a bucket alone, or with a slash at its end."""
        return self.is_in_bucket and (not self.key or self.key.endswith("/"))

    # ------------------------------------------------------------------- the properties of a path

    @cached_property
    def _path(self) -> PurePosixPath:
        """The last part of the key as a path."""
        return PurePosixPath(self.plain_key.rpartition("/")[2])

    @property
    def name(self) -> str:
        """The last part of the key, as of a path."""
        return self._path.name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return self._path.stem

    @property
    def suffix(self) -> str:
        """The end of the name from its last dot on."""
        return self._path.suffix

    @property
    def parent(self) -> RemotePlace:
        """The place without the last part of its key."""
        rest = self._shown_rest
        folder = rest.rpartition("/")[0] or rest
        return RemotePlace(f"{self.scheme}://{folder}")

    def with_suffix(self, suffix: str, /) -> RemotePlace:
        """Return this place with another suffix."""
        shown_url = str(self)
        end = len(shown_url) - len(self.suffix)
        return RemotePlace(shown_url[:end] + suffix)

    def with_name(self, name: str, /) -> RemotePlace:
        """The place of another name in the same folder."""
        return RemotePlace(f"{self.parent}/{name}")

    def stat(self) -> NoReturn:
        """Raise FileNotFoundError: the system of this machine knows no file of this name."""
        raise FileNotFoundError(errno.ENOENT, "is not a file of this machine", str(self))

    # ------------------------------------------------------------------------------- the object

    def open(self, mode: Literal["rb"], /) -> BinaryIO:  # noqa: ARG002 -- as of a path
        """The object as a stream of bytes. InputError if it cannot be read."""
        from convcli.media.remote_reader import open_remote

        return open_remote(self)

    def exists(self) -> bool:
        """Whether there is an object. OutputError if the store cannot be asked."""
        from convcli.media.remote_writer import object_exists

        return object_exists(self)

    def unlink(self, *, missing_ok: Literal[True]) -> None:  # noqa: ARG002 -- as of a path
        """Remove the object, if there is one. OutputError if the store refuses it."""
        from convcli.media.remote_writer import remove_object

        remove_object(self)
