"""Reading objects by ranges of bytes, so that only the needed parts are transferred."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from convcli.errors import InputError
from convcli.media.object_stream import ObjectStream
from convcli.media.remote_store import (
    in_words,
    obstore_module,
    open_store,
    tells_unusable_range,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from convcli.media.remote import RemotePlace

# The first range holds the header of most files. Ranges grow while an object is read in order, so
# that a long one takes few requests and a header little.
_FIRST_RANGE = 1 << 16
_LONGEST_RANGE = 1 << 23
_GROWTH = 4


def open_remote(place: RemotePlace) -> BinaryIO:
    """An object as a stream of bytes. InputError says why it cannot be read.

    It can be read at any position, except from a web server that sends no ranges.
    """
    reader = _reader_of(place)
    if isinstance(reader, io.RawIOBase):
        return cast("BinaryIO", io.BufferedReader(reader, _FIRST_RANGE))
    return cast("BinaryIO", ObjectStream(reader, _FIRST_RANGE))


class ObjectVersion:
    """What a store says of an object.

    size : in bytes
    modified : seconds since 1970
    tag : changes whenever the object does; None where the server has none
    """

    def __init__(self, meta: dict[str, Any]) -> None:
        self.size: int = meta["size"]
        self.modified: float = meta["last_modified"].timestamp()
        self.tag: str | None = meta["e_tag"]


def version_of(place: RemotePlace) -> ObjectVersion:
    """Size, time and tag of an object. InputError if it cannot be asked for."""
    stored = open_store(place)
    with in_words(place, InputError):
        return ObjectVersion(obstore_module().head(stored.store, stored.key))


def _reader_of(place: RemotePlace) -> _InOrder | partial[_ByRanges]:
    """What makes readers by ranges, or a reader in order where the server sends no ranges.

    The first range says all about the object, so that its size is not asked for before: the
    signature of an address may allow GET alone.
    """
    stored = open_store(place)
    # `open_store` has raised RequestError if the package is missing.
    from obstore.exceptions import BaseError, NotSupportedError

    get = obstore_module().get
    with in_words(place, InputError):
        try:
            first = get(stored.store, stored.key, options={"range": (0, _FIRST_RANGE)})
        except NotSupportedError:
            return _InOrder(place, get(stored.store, stored.key).stream(_FIRST_RANGE))
        except BaseError as error:
            if not tells_unusable_range(error):
                raise
            return partial(_ByRanges, place, 0, None, memoryview(b""))
        version = ObjectVersion(first.meta)
        return partial(_ByRanges, place, version.size, version.tag, memoryview(first.bytes()))


class _ByRanges(io.RawIOBase):
    """Reads ranges of an object. In a sequential read the next range is fetched in advance.

    tag : the version of the object; reading raises InputError when the object has another one
    first : the first bytes of the object
    """

    def __init__(self, place: RemotePlace, size: int, tag: str | None, first: memoryview) -> None:
        self._place = place
        self._stored = open_store(place)
        self._size = size
        # Servers never match weak tags.
        self._tag = None if tag is None or tag.startswith("W/") else tag
        self._at = 0
        self._window = first
        self._window_start = 0
        self._length = _FIRST_RANGE
        self._fetcher = ThreadPoolExecutor(1)
        self._next: tuple[int, Future[memoryview]] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise ValueError("a position before the beginning")
        self._at = origin + offset
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        if self._at >= self._size:
            return 0
        offset = self._at - self._window_start
        if not 0 <= offset < len(self._window):
            self._move_window(len(buffer))
            offset = 0
        part = self._window[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _move_window(self, wanted: int) -> None:
        """Fetch the window that begins at the current position."""
        in_order = self._at == self._window_start + len(self._window)
        if in_order:
            self._length = min(self._length * _GROWTH, _LONGEST_RANGE)
        else:
            self._length = min(max(wanted, _FIRST_RANGE), _LONGEST_RANGE)
        self._window = self._window_at(self._at)
        self._window_start = self._at
        following = self._at + len(self._window)
        if in_order and self._length == _LONGEST_RANGE and following < self._size:
            self._next = (following, self._fetcher.submit(self._fetch, following))

    def _window_at(self, start: int) -> memoryview:
        following, self._next = self._next, None
        if following is not None and following[0] == start:
            return following[1].result()
        return self._fetch(start)

    def _fetch(self, start: int) -> memoryview:
        stop = min(start + self._length, self._size)
        options = {"range": (start, stop), "if_match": self._tag}
        store, key = self._stored
        with in_words(self._place, InputError):
            found = memoryview(obstore_module().get(store, key, options=options).bytes())
        if len(found) != stop - start:
            raise InputError(f"{self._place} changed while it was read", hint="run it again")
        return found

    def close(self) -> None:
        self._fetcher.shutdown(wait=False, cancel_futures=True)
        super().close()


class _InOrder(io.RawIOBase):
    """Reads all bytes of a file in the order in which a server sends them."""

    def __init__(self, place: RemotePlace, chunks: Iterator[bytes]) -> None:
        self._place = place
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._rest:
            with in_words(self._place, InputError):
                self._rest = memoryview(next(self._chunks, b""))
        part = self._rest[: len(buffer)]
        buffer[: len(part)] = part
        self._rest = self._rest[len(part) :]
        return len(part)
