"""The only module that loads libvips: its type names, log messages and errors."""

from __future__ import annotations

import logging
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

# The NumPy type of each sample format of libvips; complex samples are not filtered.
DTYPES: dict[str, np.dtype[Any]] = {
    "uchar": np.dtype("u1"),
    "char": np.dtype("i1"),
    "ushort": np.dtype("u2"),
    "short": np.dtype("i2"),
    "uint": np.dtype("u4"),
    "int": np.dtype("i4"),
    "float": np.dtype("f4"),
    "double": np.dtype("f8"),
}
# Bits of the option `keep` of savers: which metadata of an image they write.
KEEP_NOTHING, KEEP_ALL, KEEP_ALL_BUT_EXIF = 0, 0b111111, 0b111110
# Messages kept for each thread; a damaged file can cause millions.
_MOST_MESSAGES = 100
# Characters of a message; damaged files are quoted at length in some.
_LONGEST_MESSAGE = 300
# The reader of HEIC seeks beyond the end of every file; every failure is a load error as well.
_NOISE = ("bad seek to", ": load error")
# The cause of an error for which libvips gives none.
NO_CAUSE = "not a picture, or damaged"


@cache
def vips() -> Any:
    """Load libvips when the first picture needs it.

    Its cache of results is off: no result recurs.
    """
    import pyvips
    import pyvips.error

    pyvips.cache_set_max(0)
    # pyvips decodes texts of files as UTF-8 by this module's `ffi`, and raises an error for any
    # other encoding.
    pyvips.error.ffi = _TolerantStrings(pyvips.ffi)
    logging.getLogger("pyvips").addHandler(_LOG)
    return pyvips


class _TolerantStrings:
    """The part of `ffi` that pyvips decodes texts with, for texts that are not UTF-8, too.

    Other bytes become the surrogates U+DC80 to U+DCFF, as in names of files.
    """

    def __init__(self, ffi: Any) -> None:
        self._ffi = ffi
        self.NULL = ffi.NULL
        self.gc = ffi.gc

    def string(self, pointer: Any) -> str:
        """The text at a place in memory."""
        raw: bytes = self._ffi.string(pointer)
        return raw.decode("utf-8", "surrogateescape")


def raw_text(text: str) -> bytes:
    """A text of a file as libvips stores it; pyvips takes bytes wherever it takes a text."""
    return text.encode("utf-8", "surrogateescape")


def utf8_or_latin1(text: str) -> str:
    """A text of a file; one that is not UTF-8 is taken for Latin-1."""
    if text.isascii():
        return text
    raw = raw_text(text)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def field_value(image: Any, name: str, default: object = None) -> Any:
    """The value of a field of an image; `default` where the image has no such field."""
    raw = raw_text(name)
    return image.get(raw) if image.get_typeof(raw) else default


class _ThreadLog(logging.Handler):
    """Collects the log messages of libvips by thread and keeps them from stderr."""

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self._by_thread = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        messages = self._by_thread.__dict__.setdefault("messages", [])
        if len(messages) < _MOST_MESSAGES:
            text = record.getMessage()
            messages.append(one_line(text.removeprefix("VIPS: ")))

    def drain(self) -> Iterable[str]:
        """Return the messages of this thread since the last call, and forget them."""
        messages: list[str] = self._by_thread.__dict__.pop("messages", [])
        return messages


_LOG = _ThreadLog()


def drain_log() -> list[str]:
    """Return what libvips logged in this thread since the last call, each message once."""
    return list(dict.fromkeys(_LOG.drain()))


def error_cause(error: Exception) -> str:
    """The cause that an error of libvips reports, without the names of its operations."""
    lines = [line.strip() for line in str(error).splitlines()[1:]]
    causes = [line for line in lines if line and not _is_noise(line)]
    text = "; ".join(dict.fromkeys(causes))
    return one_line(text) or NO_CAUSE


def _is_noise(line: str) -> bool:
    return any(text in line for text in _NOISE)


def one_line(text: str) -> str:
    """A message of a library in one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[:_LONGEST_MESSAGE]} ..."


def vips_format(dtype: np.dtype[Any]) -> str:
    """The name of a NumPy type in libvips."""
    return next(name for name, known in DTYPES.items() if known == dtype)
