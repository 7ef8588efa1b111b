"""Pictures read by libvips: headers first, then strips of rows in constant memory."""

from __future__ import annotations

import io
import logging
import threading
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from convcli.errors import InputError
from convcli.media.images import png, tiff
from convcli.media.images.details import ImageDetails, jpeg_quality
from convcli.media.images.exif import refresh
from convcli.media.images.layout import Layout, Strip, name_channels
from convcli.media.images.pnm import too_many_pixels
from convcli.media.images.tiff_reader import plain_tiff

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convcli.media.images.layout import Reader

DTYPES = {
    "uchar": "u1",
    "char": "i1",
    "ushort": "u2",
    "short": "i2",
    "uint": "u4",
    "int": "i4",
    "float": "f4",
    "double": "f8",
}
# Formats whose pages libvips hands out below each other, each made from the one before.
_ROLLS = ("gif", "webp")
# Complaints of the JPEG reader about what does no harm to the pixels.
_HARMLESS = ("extraneous bytes", "Unknown Adobe color transform", "Invalid SOS parameters")
# Fields of libvips that describe the file, not the picture.
_OF_THE_FILE = {
    *(
        "vips-loader",
        "vips-sequential",
        "filename",
        "n-pages",
        "page-height",
        "bits-per-sample",
        "palette",
    ),
    *(
        "interlaced",
        "jpeg-multiscan",
        "jpeg-thumbnail-data",
        "gif-palette",
        "n-subifds",
        "tile-width",
        "tile-height",
    ),
    *(
        "orientation",
        "exif-ifd0-Orientation",
        "heif-primary",
        "heif-bitdepth",
        "heif-compression",
        "concurrency",
    ),
    *(
        "width",
        "height",
        "bands",
        "format",
        "coding",
        "interpretation",
        "xoffset",
        "yoffset",
        "xres",
        "yres",
    ),
}


@cache
def vips() -> Any:
    """The library, loaded when the first picture needs it; its cache of results is off, since no result recurs."""
    import pyvips

    pyvips.cache_set_max(0)
    logging.getLogger("pyvips").addHandler(_LISTENER)
    return pyvips


class _Listener(logging.Handler):
    """Keeps what libvips logs, thread by thread, instead of letting it out."""

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self._heard = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        heard = self._heard.__dict__.setdefault("messages", [])
        if len(heard) < 100:
            heard.append(record.getMessage().removeprefix("VIPS: ").strip())

    def drain(self) -> list[str]:
        """What was heard in this thread since the last call."""
        heard: list[str] = self._heard.__dict__.pop("messages", [])
        return heard


_LISTENER = _Listener()


def reason(error: Exception) -> str:
    """The cause in an error of libvips, without the names of its operations."""
    lines = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
    return "; ".join(dict.fromkeys(lines)) or "not a picture, or damaged"


class VipsPicture:
    """A picture that libvips reads. data : the file's bytes, or its path."""

    def __init__(self, data: bytes | Path, name: str, *, max_pixels: int) -> None:
        self._data = data
        self.name = name
        self.warnings: list[str] = []
        vips()
        _LISTENER.drain()
        first = self.open(0, access="sequential")
        self._pages = int(first.get("n-pages")) if first.get_typeof("n-pages") else 1
        self.format = _format(first)
        # What TIFF readers warn of are unknown tags; what the JPEG reader warns of are damaged pixels.
        self.strictest = "warning" if self.format == "jpeg" else "error"
        self._max_pixels = max_pixels
        self.rolled = self._pages > 1 and self.format in _ROLLS and _orientation(first) == 1
        self._check_size(first, self._pages if self.rolled else 1)
        upright, self.layouts = self._read_layouts(first)
        self._check_total()
        self.details = self._read_details(first, upright)
        self._plain = (
            plain_tiff(data, name, self.layouts)
            if self.format == "tiff" and not isinstance(data, bytes)
            else None
        )
        self.warnings += dict.fromkeys(_LISTENER.drain())

    def open(self, page: int | None, *, access: str, fail_on: str = "error") -> Any:
        """A page as libvips has it; None is all of them below each other."""
        options: dict[str, object] = {"access": access, "fail_on": fail_on}
        if page is None:
            options["n"] = -1
        elif page:
            options["page"] = page
        try:
            if isinstance(self._data, bytes):
                return vips().Image.new_from_buffer(self._data, "", **options)
            # By way of a source, since libvips takes brackets at the end of a name for options.
            return vips().Image.new_from_source(
                vips().Source.new_from_file(str(self._data)), "", **options
            )
        except vips().Error as error:
            raise self.unreadable(error) from error

    def unreadable(self, error: Exception) -> InputError:
        """The error for a picture that libvips refused."""
        text = reason(error)
        if "not in a known format" in text:
            what = "is not a picture of a known format, or is cut off"
            return InputError(
                f"{self.name} {what}", hint="the formats read are those of libvips and PPM"
            )
        return InputError(
            f"cannot read the picture {self.name}: {text}", hint="the file is damaged or cut off"
        )

    def _check_size(self, image: Any, pages: int) -> None:
        if image.width * image.height * pages > self._max_pixels:
            raise too_many_pixels(self.name, image.width, image.height * pages, self._max_pixels)

    def _check_total(self) -> None:
        total = sum(layout.pixels for layout in self.layouts)
        if total > self._max_pixels:
            raise InputError(
                f"the {len(self.layouts)} pages of {self.name} have {total} pixels, more than the {self._max_pixels} "
                "that are allowed",
                hint=f"if it is no bomb, give --max-pixels {total}",
            )

    def _read_layouts(self, first: Any) -> tuple[Any, list[Layout]]:
        """The first page turned upright, and the layout of every page."""
        upright, layouts = self._upright(first), []
        for page in range(self._pages):
            image = (
                upright
                if page == 0 or self.rolled
                else self._upright(self.open(page, access="sequential"))
            )
            self._check_size(image, 1)
            layouts.append(self._layout(image))
        return upright, layouts

    def _upright(self, image: Any) -> Any:
        """The header of the picture as it is to be seen."""
        image = (
            image.labq2lab()
            if image.coding == "labq"
            else image.rad2float()
            if image.coding == "rad"
            else image
        )
        return image.autorot() if _orientation(image) > 1 else image

    def _layout(self, image: Any) -> Layout:
        if image.format not in DTYPES:
            raise InputError(
                f"{self.name} has {image.format} samples; a filter needs whole or floating numbers"
            )
        channels, alpha = name_channels(image.interpretation, image.bands)
        return Layout(
            rows=image.height,
            columns=image.width,
            dtype=np.dtype(DTYPES[image.format]),
            interpretation=image.interpretation,
            channels=channels,
            alpha=alpha,
        )

    def _read_details(self, first: Any, upright: Any) -> ImageDetails:
        known = {name: first.get(name) for name in first.get_fields()}
        exif, text = (
            known.get("exif-data"),
            [pair for pair in known.items() if pair[0] == "image-description"],
        )
        with self._opened() as file:
            special = _read_special(file, self.format)
        if any(kind == b"acTL" for kind, _ in special.get("chunks", ())):
            self.warnings.append("an animated PNG: only its first picture is read")
        has_resolution = "resolution-unit" in known or any(
            kind == b"pHYs" for kind, _ in special.get("chunks", ())
        )
        return ImageDetails(
            **{
                "format": self.format,
                "loader": str(known.get("vips-loader", "")),
                "pages": self._pages,
                "bits": int(known.get("bits-per-sample", 0)) or 8 * self.layouts[0].dtype.itemsize,
                "interpretation": first.interpretation,
                "palette": bool(known.get("palette", False)),
                "resolution": (first.xres, first.yres) if has_resolution else None,
                "delays": tuple(known.get("delay", ())) if self._pages > 1 else (),
                "loop": known.get("loop") if self._pages > 1 else None,
                "icc": known.get("icc-profile-data"),
                "exif": refresh(exif) if exif else None,
                "xmp": known.get("xmp-data"),
                "iptc": known.get("iptc-data"),
                "text": tuple(("Description", str(value)) for _, value in text),
                "fields": _kept_fields(upright),
                "orientation": _orientation(first),
                **special,
            }
        )

    def _opened(self) -> BinaryIO:
        return io.BytesIO(self._data) if isinstance(self._data, bytes) else self._data.open("rb")

    def reader(self) -> Reader:
        """A new run through the picture."""
        return self._plain or VipsReader(self)

    def open_upright(self, page: int | None, *, fail_on: str) -> Any:
        """A page ready to be read from top to bottom. One that is to be turned is decoded first (to disk, if large)."""
        image = self.open(page, access="sequential", fail_on=fail_on)
        if _orientation(image) > 1:
            image = self.open(page, access="random", fail_on=fail_on)
        return self._upright(image)


class VipsReader:
    """One run through a picture. Pages that hang below each other are read on where the last one ended."""

    def __init__(self, picture: VipsPicture) -> None:
        self._picture = picture
        self._page: int | None = -1
        self._next = 0
        self._region: Any = None
        self._tolerant = False

    def strips(self, page: int) -> Iterator[Strip]:
        """The rows of a page from the first to the last. A damaged file raises InputError."""
        layout = self._picture.layouts[page]
        top = layout.rows * page if self._picture.rolled else 0
        _LISTENER.drain()
        for start in range(0, layout.rows, layout.strip_rows):
            rows = min(layout.strip_rows, layout.rows - start)
            data = self._fetch(
                None if self._picture.rolled else page, top + start, layout.columns, rows
            )
            pixels = np.frombuffer(data, layout.dtype).reshape(
                rows, layout.columns, len(layout.channels)
            )
            yield Strip(start, pixels)

    def _fetch(self, page: int | None, top: int, columns: int, rows: int) -> Any:
        try:
            if self._region is None or page != self._page or top < self._next:
                self._open(page)
            data = self._region.fetch(0, top, columns, rows)
        except (vips().Error, InputError) as error:
            refused = error if isinstance(error, InputError) else self._picture.unreadable(error)
            if self._tolerant or not any(text in refused.message for text in _HARMLESS):
                raise refused from error
            self._picture.warnings.append(refused.message)
            self._tolerant, self._region = True, None
            return self._fetch(page, top, columns, rows)
        self._next = top + rows
        return data

    def _open(self, page: int | None) -> None:
        image = self._picture.open_upright(
            page, fail_on="error" if self._tolerant else self._picture.strictest
        )
        self._region, self._page, self._next = vips().Region.new(image), page, 0


def _orientation(image: Any) -> int:
    return int(image.get("orientation")) if image.get_typeof("orientation") else 1


def _format(image: Any) -> str:
    """The name of the format, from that of the loader: `jpegload_source` is a jpeg."""
    if not image.get_typeof("vips-loader"):
        return "vips"  # its own format, of which libvips does not tell
    loader = str(image.get("vips-loader")).split("load")[0].lower()
    if (
        loader == "heif"
        and image.get_typeof("heif-compression")
        and image.get("heif-compression") == "av1"
    ):
        return "avif"
    return {"gif": "gif", "nsgif": "gif"}.get(loader, loader)


def _kept_fields(image: Any) -> tuple[tuple[str, int, Any], ...]:
    """What libvips knows of a picture and can write again, the thumbnail left out."""
    kept = []
    for name in image.get_fields():
        if name in _OF_THE_FILE or name.startswith(
            ("exif-ifd1-", "png-comment-", "delay", "loop", "gif-")
        ):
            continue
        value = image.get(name)
        if name == "exif-data":
            value = refresh(value)
        if isinstance(value, (int, float, str, bytes)):
            kept.append((name, int(image.get_typeof(name)), value))
    return tuple(kept)


def exif_fields(block: bytes) -> tuple[tuple[str, int, Any], ...]:
    """A block of EXIF as libvips wants it: it reads one only in a picture, so the smallest one is made around it."""
    file = io.BytesIO()
    writer = png.PngWriter(file, rows=1, columns=1, channels=1, bits=8)
    writer.start([(b"eXIf", block.removeprefix(b"Exif\0\0"))])
    writer.append(png.pack(np.zeros((1, 1, 1), np.uint8)))
    writer.finish()
    image = vips().Image.new_from_buffer(file.getvalue(), "")
    return tuple(each for each in _kept_fields(image) if each[0].startswith("exif"))


def _read_special(file: BinaryIO, kind: str) -> dict[str, Any]:
    """What is read from the file itself, because libvips does not tell it."""
    if kind == "png":
        chunks = tuple(png.read_chunks(file))
        texts = (png.read_text(*each) for each in chunks if each[0] in (b"tEXt", b"zTXt", b"iTXt"))
        return {
            "chunks": chunks,
            "text": tuple(text for text in texts if text and text[0] != "XML:com.adobe.xmp"),
        }
    if kind == "jpeg":
        return {"quality": jpeg_quality(file.read(1 << 20))}
    if kind == "webp":
        return {"lossless": b"VP8L" in file.read(64)}
    if kind == "tiff":
        compression = tiff.read_directory(file).get(tiff.COMPRESSION)
        file.seek(0)
        block = tiff.describing_block(file)
        return {
            "compression": compression.value if compression else None,
            **({"exif": block} if block else {}),
        }
    return {}
