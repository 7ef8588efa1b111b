"""Files that appear complete or not at all, and that leave nothing behind when the work is cut short."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from convcli.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

# What only a write can fail with: an OSError with one of these that escapes from the work is the output's fault.
_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)

# What linking says where a file system makes unnamed files but does not name them afterwards.
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOENT, errno.EMLINK, errno.ENOSYS)


def is_special(path: Path) -> bool:
    """Whether `path` is a device, a pipe or a socket: written directly, never replaced."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The error for a file that could not be written, in the words of the system."""
    return OutputError(f"cannot write {path}: {error.strerror or error}")


@contextmanager
def refuse_full_disk(path: Path) -> Iterator[None]:
    """Turn the errors of the system that only a write can cause into OutputError, naming `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _WRITING:
            raise
        raise cannot_write(path, error) from error


def scratch() -> tuple[BinaryIO, Path]:
    """A temporary file and a path by which it can be opened again; both are gone when it is closed.

    Where the system has files without a name it gets none, so that even a SIGKILL leaves nothing behind.
    """
    import tempfile

    if Path("/proc/self/fd").is_dir():
        file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by whoever asked for it
        return cast("BinaryIO", file), Path(f"/proc/self/fd/{file.fileno()}")
    named = tempfile.NamedTemporaryFile(prefix="convcli-")  # noqa: SIM115 -- likewise
    return cast("BinaryIO", named), Path(named.name)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it becomes `path` when the context ends well, and is gone when it does not.

    Whatever ends the context early, KeyboardInterrupt and SystemExit included, leaves `path` as it was and no
    partial file. On Linux the temporary file has no name (O_TMPFILE), so that even a SIGKILL leaves nothing; there
    the path is `/proc/self/fd/N`, which has no suffix and means nothing to another process. Elsewhere it is a hidden
    file in the folder of `path`. Missing folders are made. A replaced file hands on its permissions; behind a
    symbolic link the target is replaced and the link stays. A device or a pipe is handed out as it is.
    """
    if is_special(path):
        with refuse_full_disk(path):
            yield path
        return
    try:
        place = _place(path)
        handle = _unnamed(place.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    writer = _named(path, place) if handle is None else _linked(path, place, handle)
    with refuse_full_disk(path), writer as temporary:
        yield temporary


def _place(path: Path) -> Path:
    """The file that stands behind `path`, with its folder made. Fails early where the end would fail."""
    place = Path(os.path.realpath(path))
    place.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(place.stat().st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return place


def _unnamed(folder: Path) -> int | None:
    """A file without a name in `folder`, or None where the system has no such thing."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not Path("/proc/self/fd").is_dir():
        return None
    try:
        return os.open(folder, flag | os.O_RDWR | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            return None
        raise


@contextmanager
def _linked(path: Path, place: Path, handle: int) -> Iterator[Path]:
    try:
        yield Path(f"/proc/self/fd/{handle}")
        try:
            _inherit(place, handle)
            _link(place, handle)
        except OSError as error:
            raise cannot_write(path, error) from error
    finally:
        os.close(handle)


def _link(place: Path, handle: int) -> None:
    """Give the unnamed file its name: at once where nothing is there, else beside it and then over it."""
    name = _name_by_link
    try:
        name(handle, place)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        name = _name_by_copy
    else:
        return
    beside = _beside(place)
    try:
        name(handle, beside)
        os.replace(beside, place)
    finally:
        beside.unlink(missing_ok=True)


def _name_by_link(handle: int, path: Path) -> None:
    # Only with a folder's handle does os.link call linkat, which alone follows /proc/self/fd/N to the file.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(f"/proc/self/fd/{handle}", path, src_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def _name_by_copy(handle: int, path: Path) -> None:
    shutil.copy(f"/proc/self/fd/{handle}", path)


@contextmanager
def _named(path: Path, place: Path) -> Iterator[Path]:
    beside = _beside(place)
    try:
        try:
            beside.touch(mode=0o666, exist_ok=False)
        except OSError as error:
            raise cannot_write(path, error) from error
        yield beside
        try:
            _inherit(place, beside)
            os.replace(beside, place)
        except OSError as error:
            raise cannot_write(path, error) from error
    finally:
        beside.unlink(missing_ok=True)


def _beside(place: Path) -> Path:
    """A hidden name in the same folder, short whatever the length of the final one."""
    return place.with_name(f".convcli-{os.urandom(8).hex()}.part")


def _inherit(place: Path, made: int | Path) -> None:
    """Hand the owner and the permissions of the file about to be replaced on to the new one."""
    try:
        old = place.stat()
    except FileNotFoundError:
        return
    # Only a privileged user may give files away; for all others the new owner is right.
    with suppress(PermissionError):
        os.chown(made, old.st_uid, old.st_gid)
    # Read, write and execute only: a file with new content does not run as its owner.
    os.chmod(made, old.st_mode & 0o777)  # noqa: PTH101 -- `made` may be a handle
