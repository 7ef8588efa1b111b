"""libvips, which is loaded here alone: its type names, log messages and errors."""

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


@cache
def vips() -> Any:
    """Load libvips when the first picture needs it.

    Its cache of results is off: no result recurs.
    """
    import pyvips

    pyvips.cache_set_max(0)
    logging.getLogger("pyvips").addHandler(_LOG)
    return pyvips


class _ThreadLog(logging.Handler):
    """Collects the log messages of libvips by thread and keeps them from stderr."""

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self._by_thread = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        messages = self._by_thread.__dict__.setdefault("messages", [])
        if len(messages) < _MOST_MESSAGES:
            text = record.getMessage()
            messages.append(text.removeprefix("VIPS: ").strip())

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
    causes = dict.fromkeys(line for line in lines if line)
    return "; ".join(causes) or "not a picture, or damaged"


def vips_format(dtype: np.dtype[Any]) -> str:
    """The name of a NumPy type in libvips."""
    return next(name for name, known in DTYPES.items() if known == dtype)
