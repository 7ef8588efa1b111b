"""Text results: to a file or to standard output."""

from __future__ import annotations

import sys
from pathlib import Path


def write_result(text: str, place: Path | None = None) -> None:
    """Write `text` to `place`, or to standard output; bytes of file names stay as they are."""
    data = text.encode("utf-8", "surrogateescape")
    if place is not None:
        from convcli.media.outputs import open_output
        from convcli.signals import TABLE

        with open_output(place, medium=TABLE) as file:
            if isinstance(file, Path):
                file.write_bytes(data)
            else:
                file.write(data)
    elif sys.stdout is not None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
