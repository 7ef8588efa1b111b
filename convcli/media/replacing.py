"""Output files that appear complete or not at all, and temporary files that leave no trace."""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from convcli.dataclass import dataclass
from convcli.errors import OutputError
from convcli.media.remote import remote_place
from convcli.media.scratch import WRITE_FAILURES, keep_stream, scratch
from convcli.stopping import only_before_stop, undone_at_stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.places import Place

# Errors of file systems that make files without a name but cannot name them afterwards.
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EXDEV, errno.EBADF)
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOENT, errno.EMLINK, errno.ENOSYS)


def is_special(path: Place) -> bool:
    """Whether `path` is a device, a pipe or a socket, which is written to but never replaced."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def cannot_write(path: Place, error: OSError) -> OutputError:
    """The error for a file that could not be written, in the words of the system."""
    return OutputError(f"cannot write {path}: {error.strerror or error}")


@contextmanager
def refuse_full_disk(path: Place) -> Iterator[None]:
    """Turn errors that only a write can cause into OutputError about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in WRITE_FAILURES:
            raise
        raise cannot_write(path, error) from error


@contextmanager
def only_writing(path: Place | None) -> Iterator[None]:
    """Turn errors of the system into OutputError about `path`; None is standard output.

    A closed pipe stays a BrokenPipeError: it ends a run quietly.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_write(path or Path("standard output"), error) from error


def reserve(file: BinaryIO, size: int) -> None:
    """Make a file `size` bytes long, with room on the disk where the system has that call."""
    if size > 0:
        with suppress_unsupported(), suppress(AttributeError):
            os.posix_fallocate(file.fileno(), 0, size)
            return
    file.truncate(size)


@contextmanager
def suppress_unsupported() -> Iterator[None]:
    """Let an operation fail that the file system does not know."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def path_for_others(path: Path) -> Path:
    """A path by which other processes of this machine open a temporary file of this process."""
    own = Path("/proc/self/fd")
    if path.parent == own:
        return Path(f"/proc/{os.getpid()}/fd") / path.name
    return path


def append_file(place: Path, target: BinaryIO) -> None:
    """Append the bytes of a file to an open one, within the system where it can do that."""
    with place.open("rb", buffering=0) as part:
        size = os.fstat(part.fileno()).st_size
        copied = 0
        target.flush()
        with suppress_unsupported(), suppress(AttributeError, io.UnsupportedOperation):
            while copied < size:
                count = os.copy_file_range(part.fileno(), target.fileno(), size - copied)
                if count == 0:
                    break
                copied += count
        if copied < size:
            part.seek(copied)
            shutil.copyfileobj(part, target, 1 << 20)
        elif target.seekable():
            target.seek(0, os.SEEK_END)


@contextmanager
def stream_in_file(stream: BinaryIO, name: str) -> Iterator[Path]:
    """Yield a temporary file with everything that comes through a stream.

    name : of the stream, for the InputError where it cannot be read or kept
    """
    file, path = scratch()
    with file:
        keep_stream(stream, file, name=name)
        yield path


@contextmanager
def atomic(path: Place, *, replace: bool = True, aside: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path, which becomes `path` if the context ends without an error.

    Any exception, KeyboardInterrupt and SystemExit included, leaves `path` as it was and no partial
    file. On Linux the temporary file has no name (O_TMPFILE), so that a SIGKILL leaves nothing too;
    its path is `/proc/self/fd/N`, which has no suffix and means nothing to another process.
    Elsewhere it is a hidden file in the folder of `path`.

    Missing folders are made. A new file inherits the permissions of the file that it replaces. The
    target of a symbolic link is replaced, and the link stays. A device or a pipe is yielded itself.

    An object in a store is what a temporary file holds in the end.

    Where a file is replaced, the disk has the new content before the old is given up (fsync): after
    a power failure there is one of the two. A new file may be empty or missing then, as with most
    programs; to wait for the disk would double the time of many small files.

    replace : an object that another program has made meanwhile is replaced, as a file always is
    aside : the complete file gets this name in the folder of `path`, in place of that of `path`,
        which stays as it was; see `aside_of`
    """
    remote = remote_place(path)
    if remote is not None:
        from convcli.media.remote_writer import written_whole

        with written_whole(remote, replace=replace) as temporary:
            yield temporary
        return
    local = Path(str(path))
    if is_special(local):
        with refuse_full_disk(local):
            yield local
        return
    try:
        place = _real_place(local)
        handle = _unnamed(place.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    names = _Names(path=local, place=place, complete=aside or place)
    writer = (
        _hidden_until_complete(names) if handle is None else _unnamed_until_complete(names, handle)
    )
    with refuse_full_disk(path), writer as temporary:
        yield temporary


@dataclass(frozen=True, kw_only=True)
class _Names:
    """The names of an output.

    path : as it was asked for
    place : without symbolic links
    complete : what the complete file is called; not `place` if it is kept aside
    """

    path: Path
    place: Path
    complete: Path

    @property
    def is_aside(self) -> bool:
        """Whether the complete file is kept aside."""
        return self.complete != self.place


def aside_of(place: Path) -> Path:
    """A hidden name, in the folder of a file, for a complete file that will replace it."""
    return _beside(Path(os.path.realpath(place)))


def replace_by(place: Path, aside: Path) -> None:
    """Give the complete file of `atomic(place, aside=aside)` its name. OutputError if it fails."""
    try:
        aside.replace(os.path.realpath(place))
    except OSError as error:
        raise cannot_write(place, error) from error


def _real_place(path: Path) -> Path:
    """The file behind symbolic links, in a folder that exists. OSError if it cannot be replaced."""
    place = Path(os.path.realpath(path))
    _make_folders(place.parent)
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(place.stat().st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return place


def _make_folders(folder: Path) -> None:
    """Make a folder and those above it, however many; `Path.mkdir` calls itself for each."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        if folder.parent == folder:
            break
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)


def _unnamed(folder: Path) -> int | None:
    """A file without a name in `folder`, or None if the system has none."""
    if sys.platform != "linux" or not Path("/proc/self/fd").is_dir():
        return None
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            return None
        raise


@contextmanager
def _unnamed_until_complete(names: _Names, handle: int) -> Iterator[Path]:
    try:
        yield Path(f"/proc/self/fd/{handle}")
        try:
            _inherit(names.place, handle)
            if names.is_aside:
                _wait_for_disk(handle)
                with only_before_stop():
                    _link(names.complete, handle)
            else:
                _link(names.place, handle)
        except OSError as error:
            raise cannot_write(names.path, error) from error
    finally:
        os.close(handle)


def _link(place: Path, handle: int) -> None:
    """Name the unnamed file. An existing file is replaced by way of a hidden name beside it."""
    give_name = _name_by_link
    try:
        give_name(handle, place)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        give_name = _name_by_copy
    else:
        return
    with _removed(_beside(place)) as beside:
        give_name(handle, beside)
        _replace(place, beside)


def _name_by_link(handle: int, path: Path) -> None:
    # os.link needs the handle of a folder to call linkat, which alone follows /proc/self/fd/N.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(f"/proc/self/fd/{handle}", path, src_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def _name_by_copy(handle: int, path: Path) -> None:
    shutil.copy(f"/proc/self/fd/{handle}", path)


@contextmanager
def _hidden_until_complete(names: _Names) -> Iterator[Path]:
    with _removed(_beside(names.place)) as beside:
        try:
            beside.touch(mode=0o666, exist_ok=False)
        except OSError as error:
            raise cannot_write(names.path, error) from error
        yield beside
        try:
            _inherit(names.place, beside)
            if names.is_aside:
                _wait_for_file(beside)
            _replace(names.complete, beside)
        except OSError as error:
            raise cannot_write(names.path, error) from error


def _replace(place: Path, complete: Path) -> None:
    """Give a complete file its name. Its content is on the disk before an old file is given up."""
    if place.exists():
        _wait_for_file(complete)
    os.replace(complete, place)


def _wait_for_file(path: Path) -> None:
    with path.open("rb") as file:
        _wait_for_disk(file.fileno())


def _wait_for_disk(handle: int) -> None:
    """Wait until the content of a file is on the disk, where the file system knows that."""
    with suppress_unsupported():
        os.fsync(handle)


@contextmanager
def _removed(path: Path) -> Iterator[Path]:
    """A path that is not there any more when the context or the process ends."""

    def remove() -> None:
        path.unlink(missing_ok=True)

    with undone_at_stop(remove):
        try:
            yield path
        finally:
            remove()


def _beside(place: Path) -> Path:
    """A hidden path in the folder of `place`, short even if its name is long."""
    return place.with_name(f".convcli-{os.urandom(8).hex()}.part")


def _inherit(place: Path, made: int | Path) -> None:
    """Give the new file the owner and the permissions of the file that it replaces."""
    try:
        old = place.stat()
    except FileNotFoundError:
        return
    # Only a privileged user may give files away; the files of all others are their own.
    with suppress(PermissionError):
        os.chown(made, old.st_uid, old.st_gid)
    # Only read, write and execute: set-user-ID must not pass to new content.
    os.chmod(made, old.st_mode & 0o777)  # noqa: PTH101 -- `made` may be a handle
