"""Temporary files that leave nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, cast

from convcli.errors import OutputError


def scratch(folder: Path | None = None, *, buffering: int = -1) -> tuple[BinaryIO, Path]:
    """A temporary file and a path by which it can be opened again; closing it removes both.

    On systems that have files without a name it has none, so that even a SIGKILL leaves nothing.

    folder : where it takes room; None for that of temporary files
    buffering : as of `open`
    """
    import tempfile

    if Path("/proc/self/fd").is_dir():
        file = tempfile.TemporaryFile(buffering=buffering, dir=folder)  # noqa: SIM115 -- the caller closes it
        return cast("BinaryIO", file), Path(f"/proc/self/fd/{file.fileno()}")
    named = tempfile.NamedTemporaryFile(buffering=buffering, prefix=".convcli-", dir=folder)  # noqa: SIM115 -- likewise
    return cast("BinaryIO", named), Path(named.name)


def keep(file: BinaryIO, pixels: Any) -> None:
    """Append the bytes of an array to a temporary file. OutputError if there is no room."""
    import numpy as np

    try:
        file.write(np.ascontiguousarray(pixels).reshape(-1).view(np.uint8).data)
    except OSError as error:
        import tempfile

        raise OutputError(
            f"cannot keep intermediate pixels in {tempfile.gettempdir()}: {error.strerror}",
            hint="let TMPDIR name a larger place",
        ) from error
