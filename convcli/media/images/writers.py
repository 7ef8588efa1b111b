"""How pixels become files: PNG and the netpbm family strip by strip, all other formats by libvips.

`pack` may run in any thread; the other methods run in one, in order.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np

from convcli.errors import OutputError
from convcli.media.images import png, pnm, tiff
from convcli.media.images.vips import DTYPES, exif_fields, reason, vips
from convcli.media.replacing import scratch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.media.images.details import Format, ImageDetails
    from convcli.media.images.layout import Layout, Pixels

# Pixels for libvips are held up to here; more of them wait in a file without a name.
_HELD = 64_000_000
_DEFAULT_QUALITY = 92
_TIFF_COMPRESSIONS = {5: "lzw", 7: "lzw", 8: "deflate", 32946: "deflate", 32773: "packbits", 50000: "zstd"}
# Bits of libvips' "keep": all metadata but EXIF, which it would otherwise make up.
_ALL_BUT_EXIF = 0b111110


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be written: the format, a layout per page, what is known of the input, and the quality asked for.

    same_colours : whether the channels mean what they meant in the input, so that its profile fits
    """

    format: Format
    layouts: Sequence[Layout]
    details: ImageDetails
    quality: int | None
    same_colours: bool


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
    return _Vips(target, plan)


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
            self.file, rows=layout.rows, columns=layout.columns, channels=len(layout.channels), bits=bits
        )
        self._writer.start(png.describing_chunks(self._plan.details, same_colours=self._plan.same_colours))

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


class _Vips:
    """Gathers the pixels of all pages, which have one width and type, and hands them to libvips at the end."""

    def __init__(self, target: Path | BinaryIO, plan: Plan) -> None:
        self._target = target
        self._plan = plan
        self._layout = plan.layouts[0]
        self._rows = sum(layout.rows for layout in plan.layouts)
        size = self._rows * self._layout.columns * len(self._layout.channels) * self._layout.dtype.itemsize
        self._size = size
        self._memory = np.empty(size, np.uint8) if size <= _HELD else None
        self._spool = None if size <= _HELD else Spool()
        self._filled = 0

    def pack(self, pixels: Pixels) -> Pixels:
        return np.ascontiguousarray(pixels)

    def start(self, layout: Layout) -> None:
        """Pages follow each other without a mark."""

    def append(self, packed: Pixels) -> None:
        raw = packed.reshape(-1).view(np.uint8)
        if self._memory is not None:
            self._memory[self._filled : self._filled + raw.size] = raw
        elif self._spool is not None:
            self._spool.append(raw)
        self._filled += raw.size

    def finish(self) -> None:
        image = self._describe(self._image())
        options = self._options(image)
        try:
            if isinstance(self._target, Path):
                self._save(image, self._target, options)
            else:
                # Some formats are written back and forth, which a stream cannot do.
                file, path = scratch()
                with file:
                    self._save(image, path, options)
                    with path.open("rb") as saved:
                        shutil.copyfileobj(saved, self._target, 1 << 20)
        finally:
            self.discard()

    def discard(self) -> None:
        self._memory = None
        if self._spool is not None:
            self._spool.close()

    def _image(self) -> Any:
        kind = next(name for name, code in DTYPES.items() if np.dtype(code) == self._layout.dtype)
        size = (self._layout.columns, self._rows, len(self._layout.channels))
        if self._memory is not None:
            image = vips().Image.new_from_memory(self._memory.data, *size, kind)
        elif self._spool is not None:
            image = vips().Image.rawload(self._spool.name, *size, format=kind, access="sequential")
        return image.copy(interpretation=self._layout.interpretation)

    def _describe(self, image: Any) -> Any:
        """The image with everything that is known of the input and still true."""
        details, values = self._plan.details, vips().GValue
        if details.resolution:
            image = image.copy(xres=details.resolution[0], yres=details.resolution[1])
        described = exif_fields(details.exif) if details.exif and details.format == "tiff" else ()
        for name, kind, value in (*details.fields, *described):
            if name != "icc-profile-data" or self._plan.same_colours:
                image.set_type(kind, name, value)
        if len(self._plan.layouts) > 1:
            image.set_type(values.gint_type, "page-height", self._layout.rows)
            if details.delays:
                image.set_type(values.array_int_type, "delay", list(details.delays))
            if details.loop is not None:
                image.set_type(values.gint_type, "loop", details.loop)
        return image

    def _options(self, image: Any) -> dict[str, object]:
        details, name = self._plan.details, self._plan.format.name
        # libvips writes the resolution of a JPEG together with EXIF only.
        told = details.resolution not in (None, (1.0, 1.0))  # 1 is what libvips has where nothing is known
        needs_exif = details.exif or name == "vips" or (name == "jpeg" and told)
        options: dict[str, object] = {} if needs_exif else {"keep": _ALL_BUT_EXIF}
        if name in ("jpeg", "webp", "avif"):
            quality = details.quality if name == "jpeg" else None
            options["Q"] = self._plan.quality or quality or _DEFAULT_QUALITY
        if name == "jpeg":
            options["subsample_mode"] = "off" if _full_chroma(details, int(str(options["Q"]))) else "auto"
        if name == "webp" and details.lossless and self._plan.quality is None:
            options.update(lossless=True, exact=True)
        if name == "tiff":
            compression = _TIFF_COMPRESSIONS.get(details.compression or 0, "none")
            options.update(compression=compression, bigtiff=self._size > 4_000_000_000)
            if compression in ("lzw", "deflate", "zstd"):
                options["predictor"] = "float" if image.format in ("float", "double") else "horizontal"
            if details.resolution and ("resolution-unit", "in") in {field[::2] for field in details.fields}:
                options["resunit"] = "inch"
        return options

    def _save(self, image: Any, path: Path, options: dict[str, object]) -> None:
        try:
            target = vips().Target.new_to_file(str(path))
            image.write_to_target(target, self._plan.format.suffixes[0], **options)
            del target
        except vips().Error as error:
            if "No space left" in str(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            name = self._plan.format.name
            raise OutputError(f"cannot write the picture as {name}: {reason(error)}") from error
        if self._plan.format.name == "tiff" and self._plan.details.exif:
            with path.open("r+b") as file:
                tiff.graft(file, self._plan.details.exif)


def _full_chroma(details: ImageDetails, quality: int) -> bool:
    """Whether colour is to be stored at full size: as the input did, else from quality 90 on."""
    known = {name: value for name, _, value in details.fields}
    subsampling = known.get("jpeg-chroma-subsample")
    return quality >= 90 if subsampling is None else str(subsampling).startswith("4:4:4")


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
            folder = tempfile.gettempdir()
            raise OutputError(
                f"cannot keep intermediate pixels in {folder}: {error.strerror}", hint="let TMPDIR name a larger place"
            ) from error

    def strips(self, shape: tuple[int, int, int], dtype: np.dtype[Any], step: int) -> Any:
        """What was added, next `shape` of it, in strips of `step` rows."""
        for start in range(0, shape[0], step):
            rows = min(step, shape[0] - start)
            count = rows * shape[1] * shape[2]
            yield np.frombuffer(self._file.read(count * dtype.itemsize), dtype).reshape(rows, *shape[1:])

    def rewind(self) -> None:
        """Read from the front."""
        self._file.seek(0)

    def close(self) -> None:
        """Let the file go."""
        self._file.close()
