"""Compressed tables: recognised by their first bytes, and written where a suffix asks for it.

Everything streams: what is read grows with neither the compressed nor the unpacked size. Files of
several members or frames are read to their end. The same table gives the same bytes, without a time
or a name in them.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from convcli.dataclass import dataclass
from convcli.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convcli.places import Place

# Level 6 is that of the gzip program. Level 9, the default of Python, takes twice as long and saves
# a hundredth.
_GZIP_LEVEL = 6


@dataclass(frozen=True, eq=False, kw_only=True)
class Compression:
    """A way in which files are compressed.

    name : in messages · suffix : of its files · magic : their first bytes
    reading, writing : an open file of compressed bytes as one of the bytes within; closing it
        leaves the compressed file open
    """

    name: str
    suffix: str
    magic: bytes
    reading: Callable[[BinaryIO], BinaryIO]
    writing: Callable[[BinaryIO], BinaryIO]


def _read_gzip(file: BinaryIO) -> BinaryIO:
    import gzip

    return cast("BinaryIO", gzip.GzipFile(fileobj=file, mode="rb"))


def _write_gzip(file: BinaryIO) -> BinaryIO:
    import gzip

    packed = gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0)
    return cast("BinaryIO", packed)


def _read_bzip2(file: BinaryIO) -> BinaryIO:
    import bz2

    return cast("BinaryIO", bz2.BZ2File(file, "rb"))


def _write_bzip2(file: BinaryIO) -> BinaryIO:
    import bz2

    return cast("BinaryIO", bz2.BZ2File(file, "wb"))


def _read_xz(file: BinaryIO) -> BinaryIO:
    import lzma

    return cast("BinaryIO", lzma.LZMAFile(file, "rb"))


def _write_xz(file: BinaryIO) -> BinaryIO:
    import lzma

    return cast("BinaryIO", lzma.LZMAFile(file, "wb"))


def _read_zstandard(file: BinaryIO) -> BinaryIO:
    import pyarrow as pa

    return cast("BinaryIO", pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"))


def _write_zstandard(file: BinaryIO) -> BinaryIO:
    import pyarrow as pa

    kept_open = pa.PythonFile(KeptOpen(file), "w")
    return cast("BinaryIO", pa.CompressedOutputStream(kept_open, "zstd"))


COMPRESSIONS = (
    Compression(
        name="gzip",
        suffix=".gz",
        magic=b"\x1f\x8b",
        reading=_read_gzip,
        writing=_write_gzip,
    ),
    Compression(
        name="zstd",
        suffix=".zst",
        magic=b"\x28\xb5\x2f\xfd",
        reading=_read_zstandard,
        writing=_write_zstandard,
    ),
    Compression(
        name="bzip2",
        suffix=".bz2",
        magic=b"BZh",
        reading=_read_bzip2,
        writing=_write_bzip2,
    ),
    Compression(
        name="xz",
        suffix=".xz",
        magic=b"\xfd7zXZ\0",
        reading=_read_xz,
        writing=_write_xz,
    ),
)
# After `BZh` and a digit, bzip2 has the first digits of pi, or of its root at the end of an empty
# file.
_BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")


def compression_of_suffix(path: Place | None) -> Compression | None:
    """The compression that the suffix of a file asks for."""
    if path is None:
        return None
    suffix = path.suffix.lower()
    return next((each for each in COMPRESSIONS if each.suffix == suffix), None)


def compression_of_start(start: bytes) -> Compression | None:
    """The compression of a file that begins with these bytes."""
    for each in COMPRESSIONS:
        if start.startswith(each.magic):
            if each.magic == b"BZh" and start[4:10] not in _BZIP2_BLOCKS:
                return None
            return each
    return None


def may_be_compressed(start: bytes) -> bool:
    """Whether a file that begins with these few bytes may turn out to be compressed."""
    if start.startswith(b"BZh"):
        block_start = start[4:]
        begins_a_block = any(block.startswith(block_start) for block in _BZIP2_BLOCKS)
        return len(start) < 10 and begins_a_block
    return any(each.magic.startswith(start) for each in COMPRESSIONS)


def without_compression(path: Place) -> Place:
    """The name that the file has once it is unpacked.

    >>> from pathlib import Path
    >>> without_compression(Path("prices.csv.gz")).name, without_compression(Path("a.csv")).name
    ('prices.csv', 'a.csv')
    """
    return path if compression_of_suffix(path) is None else path.with_suffix("")


class _ReadsAsFile(io.RawIOBase):
    """A file object over successive reads of another file."""

    def __init__(self, reads: Iterator[bytes]) -> None:
        self._reads = reads
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """True: the stream is made for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Copy the next bytes, up to the end of the present read."""
        if not self._rest:
            self._rest = memoryview(next(self._reads, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def reads_as_file(reads: Iterator[bytes]) -> BinaryIO:
    """A buffered file object over successive reads of another file."""
    return cast("BinaryIO", io.BufferedReader(_ReadsAsFile(reads)))


class KeptOpen:
    """A file that a library writes to and may not close."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file: BinaryIO | None = file

    def write(self, data: Any) -> int:
        """Write to the file, unless it is forgotten."""
        return len(data) if self._file is None else self._file.write(data)

    def flush(self) -> None:
        """Flush the file, unless it is forgotten."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Do nothing: the owner of the file closes it."""

    def forget(self) -> None:
        """Ignore all further writes, such as those of a library that is being closed."""
        self._file = None


def compressed(data: bytes, compression: Compression) -> bytes:
    """Return all of `data` compressed, in one go."""
    packed = io.BytesIO()
    with compression.writing(packed) as file:
        file.write(data)
    return packed.getvalue()


@contextmanager
def _errors_name_table(name: str, compression: Compression) -> Iterator[None]:
    """Turn errors of the libraries into InputError about the table `name`."""
    import zlib

    errors: tuple[type[Exception], ...] = (EOFError, OSError, zlib.error)
    if compression.suffix == ".xz":
        import lzma

        errors = (*errors, lzma.LZMAError)
    try:
        yield
    except errors as error:
        ends_early = isinstance(error, EOFError) or "runcated" in str(error)
        if ends_early:
            raise InputError(
                f"{name}: expected {compression.name} data up to their end, and they end too early",
                hint="the file was not written or copied to its end",
            ) from error
        raise InputError(
            f"{name}: the {compression.name} data are damaged: {error}",
            hint="copy or download the file again",
        ) from error


def unpacked(
    reads: Iterator[bytes],
    compression: Compression,
    *,
    read: Callable[[BinaryIO], bytes],
    name: str,
) -> Iterator[bytes]:
    """Yield the bytes within compressed ones, block by block. InputError if they are damaged.

    read : reads a block of an open file · name : of the table, in messages
    """
    with _errors_name_table(name, compression):
        file = compression.reading(cast("BinaryIO", _ReadsAsFile(reads)))
        while fresh := read(file):
            yield fresh
