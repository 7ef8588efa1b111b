"""How pixels become files: PNG, the netpbm family and plain TIFF strip by strip, all other formats by libvips.

`pack` may run in any thread; the other methods run in one, in order.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np

from convcli.errors import OutputError
from convcli.media.images import png, pnm
from convcli.media.images.tiff_writer import TiffWriter
from convcli.media.images.vips_writer import VipsWriter, is_plain, tiff_pages
from convcli.media.replacing import scratch

if TYPE_CHECKING:
    from convcli.media.images.layout import Layout, Pixels
    from convcli.media.images.vips_writer import Plan


class PixelWriter(Protocol):
    """Takes packed strips, page by page."""

    def pack(self, pixels: Pixels) -> Any:
        """A strip as `append` wants it."""
        ...

    def start(self, layout: Layout) -> None:
        """Begin a page."""
        ...

    def append(self, packed: Any) -> None:
        """Add a strip to the page."""
        ...

    def finish(self) -> None:
        """End the file."""
        ...

    def discard(self) -> None:
        """Give up; what is held is let go."""
        ...


def open_writer(target: Path | BinaryIO, plan: Plan) -> PixelWriter:
    """The writer for a format. A path is opened at once, a stream is left open at the end."""
    if plan.format.name == "png":
        return _Png(target, plan)
    if plan.format.name in ("ppm", "pam"):
        return _Pnm(target, plan)
    if plan.format.name == "tiff" and is_plain(plan):
        return _Tiff(target, plan)
    return VipsWriter(target, plan)


class _Stream:
    """A file that is written front to back."""

    def __init__(self, target: Path | BinaryIO) -> None:
        self._own = target.open("wb") if isinstance(target, Path) else None
        self.file: BinaryIO = target if self._own is None else self._own  # type: ignore[assignment]

    def discard(self) -> None:
        """Close the file if it was opened here."""
        if self._own is not None:
            self._own.close()


class _Png(_Stream):
    def __init__(self, target: Path | BinaryIO, plan: Plan) -> None:
        super().__init__(target)
        self._plan = plan
        self._writer: png.PngWriter | None = None

    def pack(self, pixels: Pixels) -> png.Packed:
        return png.pack(pixels)

    def start(self, layout: Layout) -> None:
        bits = 8 * layout.dtype.itemsize
        self._writer = png.PngWriter(
            self.file,
            rows=layout.rows,
            columns=layout.columns,
            channels=len(layout.channels),
            bits=bits,
        )
        self._writer.start(
            png.describing_chunks(self._plan.details, same_colours=self._plan.same_colours)
        )

    def append(self, packed: png.Packed) -> None:
        if self._writer is not None:
            self._writer.append(packed)

    def finish(self) -> None:
        if self._writer is not None:
            self._writer.finish()
        self.discard()


class _Pnm(_Stream):
    def __init__(self, target: Path | BinaryIO, plan: Plan) -> None:
        super().__init__(target)
        self._writer = pnm.PnmWriter(self.file, container=plan.format.name)

    def pack(self, pixels: Pixels) -> bytes:
        return pnm.pack_pnm(pixels)

    def start(self, layout: Layout) -> None:
        self._writer.start(layout)

    def append(self, packed: bytes) -> None:
        self._writer.append(packed)

    def finish(self) -> None:
        self.discard()


class _Tiff(_Stream):
    def __init__(self, target: Path | BinaryIO, plan: Plan) -> None:
        super().__init__(target)
        self._writer = TiffWriter(self.file, tiff_pages(plan))

    def pack(self, pixels: Pixels) -> Pixels:
        return np.ascontiguousarray(pixels)

    def start(self, layout: Layout) -> None:  # noqa: ARG002 -- it has been told of all pages
        self._writer.start()

    def append(self, packed: Pixels) -> None:
        self._writer.append(packed)

    def finish(self) -> None:
        self.discard()


class Spool:
    """Samples that wait in a temporary file, to be read again from the front."""

    def __init__(self) -> None:
        self._file, self._path = scratch()

    @property
    def name(self) -> str:
        """The path of the file, complete up to here."""
        self._file.flush()
        return str(self._path)

    def append(self, samples: Pixels) -> None:
        """Add samples at the end."""
        try:
            self._file.write(np.ascontiguousarray(samples).reshape(-1).view(np.uint8).data)
        except OSError as error:
            import tempfile

            folder = tempfile.gettempdir()
            raise OutputError(
                f"cannot keep intermediate pixels in {folder}: {error.strerror}",
                hint="let TMPDIR name a larger place",
            ) from error

    def strips(self, shape: tuple[int, int, int], dtype: np.dtype[Any], step: int) -> Any:
        """What was added, next `shape` of it, in strips of `step` rows."""
        for start in range(0, shape[0], step):
            rows = min(step, shape[0] - start)
            count = rows * shape[1] * shape[2]
            yield np.frombuffer(self._file.read(count * dtype.itemsize), dtype).reshape(
                rows, *shape[1:]
            )

    def rewind(self) -> None:
        """Read from the front."""
        self._file.seek(0)

    def close(self) -> None:
        """Let the file go."""
        self._file.close()
