"""Places in object stores and on web servers, which are named by a URL.

    s3://bucket/key   gs://bucket/key   az://container/key   https://host/path

A key is written as it is, as other programs take it: nothing in it is decoded. The address of a web
server is written as in a browser, with %20 for a blank. What a URL holds besides the path, such as
the signature of a presigned one, is a secret: it is sent and never shown.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from convcli.places import Place

BUCKETS = ("s3", "gs", "az")
SERVERS = ("https", "http")


def is_remote(text: str) -> bool:
    """Whether a text is the URL of an object or of a file on a web server.

    >>> is_remote("s3://bucket/a.wav"), is_remote("s3/a.wav")
    (True, False)
    """
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme.lower() in BUCKETS + SERVERS


def place_of(text: str, *, replaces: bool = False) -> Place:
    """The place that a text names: a URL, or a path of this machine.

    replaces : an object that exists there may be replaced
    """
    return RemotePlace(text, replaces=replaces) if is_remote(text) else Path(text)


def shown(text: str) -> str:
    """A word of the command line without the secrets of a URL in it."""
    return str(RemotePlace(text)) if is_remote(text) else text


@dataclass(frozen=True)
class RemotePlace:
    """An object in a store, or a file on a web server.

    url : as the user wrote it, secrets included
    replaces : an object that exists there may be replaced by an output
    """

    url: str
    replaces: bool = False

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

    def __str__(self) -> str:
        return f"{self.scheme}://{self._shown_rest}"

    # ----------------------------------------------------------------------------- as a path has

    @cached_property
    def _path(self) -> PurePosixPath:
        """The key as a path, of which only the last part is looked at."""
        name = self.key.rpartition("/")[2]
        if not self.is_in_bucket:
            from urllib.parse import unquote

            name = unquote(name)
        return PurePosixPath(name.replace("/", "_"))

    @property
    def name(self) -> str:
        """The last part of the key."""
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
        return replace(self, url=f"{self.scheme}://{folder}")

    def with_suffix(self, suffix: str, /) -> RemotePlace:
        """The place beside this one whose name ends otherwise."""
        shown_url = str(self)
        end = len(shown_url) - len(self.suffix)
        return replace(self, url=shown_url[:end] + suffix)

    def stat(self) -> NoReturn:
        """Raise FileNotFoundError: the system of this machine knows no file of this name."""
        raise FileNotFoundError(errno.ENOENT, "is not a file of this machine", str(self))
