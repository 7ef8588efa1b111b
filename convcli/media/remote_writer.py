"""Writing objects: an object appears whole or not at all, and replaces another only by request."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from convcli.errors import OutputError, RequestError
from convcli.media.remote_store import (
    in_words,
    obstore_module,
    open_store,
    tells_missing_bucket,
    tells_unusable_range,
)
from convcli.media.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convcli.media.remote import RemotePlace

# An object up to this size is sent at once, so that the store itself refuses to replace one.
_SENT_AT_ONCE = 1 << 25
# Larger ones are sent in parts, some of them at the same time.
_PART = 1 << 24
_MOST_PARTS = 10_000
_PARTS_AT_ONCE = 4


@contextmanager
def written_whole(place: RemotePlace, *, replace: bool) -> Iterator[Path]:
    """Yield a temporary file that becomes the object if the context ends without an error.

    replace : another object of this name may be replaced; otherwise it is a RequestError

    OutputError if the object cannot be written.
    """
    file, path = scratch()
    with file:
        yield path
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        if size <= _SENT_AT_ONCE or not place.is_in_bucket:
            _send_at_once(place, file.read(), replace=replace)
        else:
            # An object has no more parts than stores allow.
            part = max(_PART, -(-size // _MOST_PARTS))
            _send_parts(place, iter(lambda: file.read(part), b""), part, replace=replace)


def object_exists(place: RemotePlace) -> bool:
    """Whether there is an object. OutputError if the store cannot be asked, or has no bucket."""
    store, key = open_store(place)
    # The answer to GET says which is missing, the object or its bucket; the one to HEAD does not.
    with in_words(place, OutputError):
        try:
            obstore_module().get(store, key, options={"range": (0, 1)})
        except FileNotFoundError as error:
            if tells_missing_bucket(error):
                raise
            return False
        except Exception as error:
            # An empty object has no range, and some servers send no ranges.
            if not tells_unusable_range(error):
                raise
    return True


def remove_object(place: RemotePlace) -> None:
    """Remove an object, if there is one. OutputError if the store refuses it."""
    store, key = open_store(place)
    with in_words(place, OutputError), suppress(FileNotFoundError):
        obstore_module().delete(store, key)


def _existing(place: RemotePlace) -> RequestError:
    return RequestError(f"the output {place} exists already", hint="--force replaces it")


def _send_at_once(place: RemotePlace, content: bytes, *, replace: bool) -> None:
    """Send an object as one request; the store itself refuses it if there is another one."""
    store, key = open_store(place)
    mode = "create" if place.is_in_bucket and not replace else "overwrite"
    from obstore.exceptions import AlreadyExistsError

    with in_words(place, OutputError):
        try:
            obstore_module().put(store, key, content, mode=mode, use_multipart=False)
        except AlreadyExistsError:
            raise _existing(place) from None


def _send_parts(place: RemotePlace, content: Iterator[bytes], part: int, *, replace: bool) -> None:
    """Send an object in parts; the store drops all of them if one fails.

    part : bytes of a part

    The library replaces an object without asking. So this function asks whether there is one after
    the last part and before the library completes the object.
    """
    store, key = open_store(place)

    def guarded() -> Iterator[bytes]:
        yield from content
        if replace:
            return
        # The library cannot be called by the thread in which it asks for the content.
        with ThreadPoolExecutor(1) as other:
            exists = other.submit(object_exists, place).result()
        if exists:
            raise _existing(place)

    with in_words(place, OutputError):
        obstore_module().put(
            store,
            key,
            guarded(),
            use_multipart=True,
            chunk_size=part,
            max_concurrency=_PARTS_AT_ONCE,
        )
