"""Pictures read by libvips: the headers at once, then strips of rows in constant memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError
from convcli.losses import Loss
from convcli.media.images.details import ImageDetails
from convcli.media.images.exif import refresh_exif
from convcli.media.images.formats import format_for_reading, rules_for_reading
from convcli.media.images.icc import is_intact_profile
from convcli.media.images.layout import (
    Layout,
    Strip,
    name_channels,
    plain_interpretation,
    too_many_pixels,
)
from convcli.media.images.page_choice import PageRange
from convcli.media.images.png import ANIMATION_CHUNK, RESOLUTION_CHUNK
from convcli.media.images.tiff_reading import reading_losses, with_straight_alpha
from convcli.media.images.tiff_stacks import count_further_images
from convcli.media.images.vips import (
    DTYPES,
    NO_CAUSE,
    drain_log,
    field_value,
    utf8_or_latin1,
    vips,
)
from convcli.media.images.vips_fields import kept_fields, metadata_of
from convcli.media.images.vips_file import VipsFile, orientation_of, upright
from convcli.samples import in_type
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convcli.media.images.layout import PictureReader
    from convcli.media.images.page_choice import PageChoice
    from convcli.media.images.picture_format import ReadingRules
    from convcli.media.images.tiff_reading import PageReading, WholeNumbers
    from convcli.media.images.vips_file import Patch

# Complaints of the JPEG reader about what does no harm to the pixels.
_HARMLESS = ("extraneous bytes", "Unknown Adobe color transform", "Invalid SOS parameters")
# A header that promises more bands is not a picture.
_MOST_BANDS = 10_000
# The fields that hold bytes.
_BLOCKS = ("exif-data", "icc-profile-data", "xmp-data", "iptc-data")
# The type of samples of wide pages.
_WIDE = np.dtype(np.float64)
# What libvips calls an interpretation without a name, and does not write.
_UNKNOWN_MEANING = "error"


@dataclass(frozen=True)
class ChosenPages:
    """The pages of a file that are read, by their indices in the file.

    count : pages of the file
    stacked : whether the pages of an animation are decoded as one image
    """

    count: int
    indices: tuple[int, ...]
    stacked: bool

    @property
    def stack(self) -> range:
        """The pages of an animation that are decoded as one image."""
        return range(min(self.indices), max(self.indices) + 1)


class VipsPicture:
    """A picture that libvips reads.

    data : the file's bytes, or its path
    pages : which pages of the file are read; None for all

    Pages are known by their indices in the file everywhere but in `layouts`.
    """

    def __init__(
        self, data: bytes | Path, name: str, *, pages: PageChoice | None = None, max_pixels: int
    ) -> None:
        self.name = name
        self.warnings: list[str] = []
        self._max_pixels = max_pixels
        vips()
        drain_log()
        given = VipsFile(data, name)
        header = self._open_header(given, pages)
        self.file = self._readable_file(given, header)
        first = header
        if self.file is not given or self.pages.indices[0] > 0:
            first = self.file.open(self.pages.indices[0])
        # An animation is decoded as one image.
        self._check_size(first, len(self.pages.stack) if self.pages.stacked else 1)
        upright_first = upright(first)
        self.layouts = self._read_layouts(upright_first)
        self._check_total()
        self.plain_pixels = self._find_plain_pixels()
        self.as_whole = self._find_whole_numbers()
        self.details = self._read_details(first, upright_first)
        self._warn_of_faults()

    def reader(self) -> PictureReader:
        """A new run through the picture."""
        return VipsReader(self)

    def is_premultiplied(self, page: int) -> bool:
        """Whether the colours of a page still have to be divided by its opacity."""
        reading = self._readings.get(self.pages.indices[page])
        return reading is not None and reading.premultiplied

    # --- the steps of opening, in their order ---

    def _open_header(self, given: VipsFile, pages: PageChoice | None) -> Any:
        """The first page of the file; sets the format, the pages, and how they are read."""
        with given.reading() as content:
            by_first_bytes = rules_for_reading(content)
        self._readings = _page_readings(given, by_first_bytes, 1)
        wide = {page: each.wide for page, each in self._readings.items() if each.wide}
        header = replace(given, patches=wide).open(0)
        self.format = format_for_reading(_loader_format(header))
        self.pages = self._chosen_pages(header, pages)
        self._check_complete(given, pages)
        if self.pages.count > 1 or self.format.reading is not by_first_bytes:
            self._readings = _page_readings(given, self.format.reading, self.pages.count)
        return header

    def _readable_file(self, given: VipsFile, header: Any) -> VipsFile:
        """The file as libvips has to read it; the one given if it reads that rightly."""
        if self._is_needlessly_transparent(header, given):
            return replace(given, is_opaque=True)
        return self._patched(given)

    def _chosen_pages(self, header: Any, pages: PageChoice | None) -> ChosenPages:
        """The pages that are read; `header` is the first page of the file."""
        count = int(field_value(header, "n-pages", 1))
        indices = list(range(count))
        if pages is not None:
            indices = pages.indices(count, self.name)
        # A rotated animation is not decoded as one image: its pages are rotated one by one.
        stacked = count > 1 and self.format.pages.animated and orientation_of(header) == 1
        return ChosenPages(count, tuple(indices), stacked)

    def _check_complete(self, file: VipsFile, pages: PageChoice | None) -> None:
        """Refuse a file that is cut off, unless only pages before that place are asked for."""
        if self.format.reading.first_cut_page is None:
            return
        with file.reading() as content:
            cut = self.format.reading.first_cut_page(content, self.pages.count)
        if cut is None or (pages is not None and max(self.pages.indices) < cut):
            return
        hint = None
        if cut > 0:
            hint = f"--pages {PageRange(1, cut).text} reads what is there"
        raise InputError(f"{self.name} is cut off: it ends within page {cut + 1}", hint=hint)

    def _patched(self, file: VipsFile) -> VipsFile:
        """The file, with patches for pages that libvips misreads or reaches slowly."""
        patches: dict[int, tuple[Patch, ...]] = {}
        for page, reading in self._readings.items():
            own = reading.wide
            if self.pages.count > 1:
                own = reading.lone + own
            if page in self.pages.indices:
                own += reading.patches
                if reading.inverted:
                    raise InputError(
                        f"{self.name} has bands in separate planes whose 0 is white, which is not "
                        "read",
                        hint="store it with 0 as black, or with the bands of a pixel side by side",
                    )
            if own:
                patches[page] = own
        return replace(file, patches=patches) if patches else file

    def _is_needlessly_transparent(self, header: Any, file: VipsFile) -> bool:
        """Whether the file has an opacity by libvips, but no transparent pixel."""
        is_opaque = self.format.reading.is_opaque
        if is_opaque is None or header.bands not in (2, 4):
            return False
        with file.reading() as content:
            return is_opaque(content)

    def _check_size(self, image: Any, pages: int) -> None:
        rows = image.height * pages
        if image.width * rows > self._max_pixels:
            raise too_many_pixels(self.name, image.width, rows, self._max_pixels)

    def _read_layouts(self, first: Any) -> list[Layout]:
        """The layout of every page; `first` is the first page, upright."""
        layouts = []
        for page in self.pages.indices:
            image = first
            if page != self.pages.indices[0] and not self.pages.stacked:
                image = upright(self.file.open(page))
            self._check_size(image, 1)
            layout = self._layout(image, self._readings.get(page))
            if self._is_wide(page):
                layout = replace(layout, dtype=_WIDE)
            layouts.append(layout)
        return layouts

    def _layout(self, image: Any, reading: PageReading | None) -> Layout:
        if image.format not in DTYPES:
            raise InputError(
                f"{self.name} has {image.format} samples; a filter needs whole or floating numbers"
            )
        if image.bands > _MOST_BANDS:
            raise InputError(
                f"{self.name} has {image.bands} bands, more than the {_MOST_BANDS} that are read",
                hint="the file may be damaged",
            )
        dtype, meaning, extra = DTYPES[image.format], image.interpretation, None
        if meaning == _UNKNOWN_MEANING:
            meaning = "multiband"
        if reading is not None:
            extra = reading.extra
            if reading.in_planes:
                meaning = plain_interpretation(dtype, is_grey=True)
        channels, alpha = name_channels(meaning, image.bands, extra)
        return Layout(
            rows=image.height,
            columns=image.width,
            dtype=dtype,
            interpretation=meaning,
            channels=channels,
            alpha=alpha,
        )

    def _check_total(self) -> None:
        total = sum(layout.pixels for layout in self.layouts)
        if total > self._max_pixels:
            raise InputError(
                f"the {len(self.layouts)} pages of {self.name} have {total} pixels, "
                f"more than the {self._max_pixels} that are allowed",
                hint=f"if you trust the file, give --max-pixels {total}",
            )

    def _find_plain_pixels(self) -> dict[int, int]:
        """Where the pixels of pages begin that are read without libvips, by page."""
        if self.format.reading.plain_pixels is None:
            return {}
        with self.file.reading() as file:
            by_index = dict(zip(self.pages.indices, self.layouts, strict=True))
            return self.format.reading.plain_pixels(file, by_index)

    def _find_whole_numbers(self) -> dict[int, WholeNumbers]:
        """How the pages of floating samples are decoded that libvips takes for whole numbers."""
        found = {}
        patches = dict(self.file.patches)
        for page in self.pages.indices:
            reading = self._readings.get(page)
            if reading is None or page in self.plain_pixels:
                continue
            if reading.as_whole is not None:
                found[page] = reading.as_whole
                patches[page] = (*patches.get(page, ()), *reading.as_whole.patches)
            elif reading.wide:
                raise InputError(
                    f"{self.name} has 64-bit floating samples that are compressed with a "
                    "predictor, or several in a pixel that are compressed or in tiles, which are "
                    "not read",
                    hint="store it uncompressed, or with 32-bit samples, first",
                )
        if found:
            self.file = replace(self.file, patches=patches)
        return found

    def _is_wide(self, page: int) -> bool:
        """Whether a page has floating samples of 64 bits."""
        return page in self._readings and bool(self._readings[page].wide)

    def _read_details(self, first: Any, upright_first: Any) -> ImageDetails:
        known = metadata_of(first)
        upright_known = known if upright_first is first else metadata_of(upright_first)
        reading = self._readings.get(self.pages.indices[0])
        details = ImageDetails(
            format=self.format.name,
            loader=str(known.get("vips-loader", "")),
            pages=self.pages.count,
            page_indices=tuple(self.pages.indices),
            bits=self._stored_bits(known),
            interpretation=self.layouts[0].interpretation,
            palette=bool(known.get("palette", False)),
            interlaced=bool(known.get("interlaced", False)),
            resolution=(first.xres, first.yres),
            fields=kept_fields(upright_first, upright_known),
            extra_bands=() if reading is None else reading.meanings,
            orientation=orientation_of(first),
            loop=known.get("loop"),
        )
        details = self._inspected(_with_metadata(details, known))
        if self.pages.count > 1:
            details = replace(details, delays=self._delays(known))
        # libvips gives every picture a resolution.
        if "resolution-unit" in known or details.has_chunk(RESOLUTION_CHUNK):
            return details
        return replace(details, resolution=None)

    def _inspected(self, details: ImageDetails) -> ImageDetails:
        """The details with those that the format's own reader finds in the file."""
        if self.format.reading.inspect is None:
            return details
        with self.file.reading() as file:
            return self.format.reading.inspect(file, details)

    def _stored_bits(self, known: dict[str, Any]) -> int:
        """Bits of a stored sample of the first page."""
        layout_bits = 8 * self.layouts[0].dtype.itemsize
        if self._is_wide(self.pages.indices[0]):
            return layout_bits
        return int(known.get("bits-per-sample", 0)) or layout_bits

    def _delays(self, known: dict[str, Any]) -> tuple[int, ...]:
        """How long each page of an animation is shown, in milliseconds."""
        delays = tuple(known.get("delay", ()))
        if len(delays) != self.pages.count:
            return delays
        return tuple(delays[page] for page in self.pages.indices)

    def _warn_of_faults(self) -> None:
        """Warn about what is odd about the file."""
        self.warnings += map(Loss, self._losses())
        self.warnings += drain_log()

    def _losses(self) -> Iterator[str]:
        """Yield what of the file is not read, or cannot be kept."""
        if self.details.damaged_icc:
            yield "the colour profile is damaged: it is left out"
        if self.details.has_chunk(ANIMATION_CHUNK):
            yield "an animated PNG: only its first picture is read"
        if self.details.other_parts:
            listed = ", ".join(self.details.other_parts)
            yield f"the {self.format.name} also holds what cannot be kept: {listed}"
        inner = self.details.inner_pictures
        if inner:
            yield (
                f"{plural(inner, 'picture')} inside of the pages (SubIFDs, such as smaller copies "
                "or the raw pixels of a camera) cannot be kept"
            )
        chosen = [self._readings[page] for page in self.pages.indices if page in self._readings]
        yield from reading_losses(chosen)
        further = count_further_images(self.details)
        if further:
            yield (
                f"the description of ImageJ promises {plural(further, 'further image')} without a "
                "directory: only the first is read (save the stack as OME-TIFF to have all)"
            )


def _page_readings(file: VipsFile, rules: ReadingRules, count: int) -> dict[int, PageReading]:
    """How the first pages of a file are read, where libvips needs help with them."""
    if rules.pages is None:
        return {}
    with file.reading() as content:
        return dict(enumerate(rules.pages(content, count)))


class VipsReader:
    """One run through a picture.

    Pages are counted as in `layouts`. Those of an animation are read on from where the last one
    ended.
    """

    def __init__(self, picture: VipsPicture) -> None:
        self._picture = picture
        # libvips calls the source of the image as long as there is the region, which goes first.
        self._region: Any = None
        self._image: Any = None
        # The page that `_region` shows, and its next row.
        self._page: int | None = None
        self._next = 0
        self._tolerant = False

    def strips(self, page: int) -> Iterator[Strip]:
        """The rows of a page from the first to the last. A damaged file raises InputError."""
        place = self._plain_place(page)
        if place is None:
            return self._decoded_strips(page)
        return self._plain_strips(page, place, 0)

    def _plain_place(self, page: int) -> int | None:
        """Where the pixels of a page begin that needs no decoder, else None."""
        index = self._picture.pages.indices[page]
        return self._picture.plain_pixels.get(index)

    def seekable(self, page: int) -> bool:
        """Whether the strips of a page can be read from any of them on."""
        return self._plain_place(page) is not None

    def strips_from(self, page: int, row: int) -> Iterator[Strip]:
        """The strips of a seekable page from that on which begins with `row`."""
        place = self._plain_place(page)
        if place is None:
            raise ValueError(page)
        return self._plain_strips(page, place, row)

    def _plain_strips(self, page: int, place: int, first: int) -> Iterator[Strip]:
        """The rows of a page from `first` on; row 0 lies in the file at offset `place`."""
        layout = self._picture.layouts[page]
        row_bytes = layout.columns * layout.pixel_bytes
        with self._picture.file.reading() as file:
            file.seek(place + first * row_bytes)
            for start in range(first, layout.rows, layout.strip_rows):
                rows = min(layout.strip_rows, layout.rows - start)
                data = file.read(rows * row_bytes)
                if len(data) < rows * row_bytes:
                    raise InputError(f"the picture {self._picture.name} was cut off meanwhile")
                yield self._strip_of(page, data, start)

    def _strip_of(self, page: int, data: Any, start: int) -> Strip:
        """The bytes of whole rows as a strip."""
        layout = self._picture.layouts[page]
        whole = self._picture.as_whole.get(self._picture.pages.indices[page])
        stored = layout.dtype if whole is None else whole.dtype
        samples = in_type(np.frombuffer(data, stored), layout.dtype)
        pixels = samples.reshape(-1, layout.columns, len(layout.channels))
        if layout.alpha is not None and self._picture.is_premultiplied(page):
            pixels = with_straight_alpha(pixels, layout.alpha)
        return Strip(start, pixels)

    def _decoded_strips(self, page: int) -> Iterator[Strip]:
        picture = self._picture
        layout, index = picture.layouts[page], picture.pages.indices[page]
        opened: int | None = index
        columns = layout.columns
        if index in picture.as_whole:
            columns *= picture.as_whole[index].columns
        top = 0
        if picture.pages.stacked:
            opened = None
            top = layout.rows * (index - picture.pages.stack.start)
        drain_log()
        for start in range(0, layout.rows, layout.strip_rows):
            rows = min(layout.strip_rows, layout.rows - start)
            data = self._fetch(opened, top + start, columns, rows)
            yield self._strip_of(page, data, start)

    def _fetch(self, page: int | None, top: int, columns: int, rows: int) -> Any:
        """The bytes of some rows of a page, or of all pages of an animation.

        Harmless damage becomes a warning, and the page is opened once more.
        """
        try:
            return self._fetch_strictly(page, top, columns, rows)
        except InputError as error:
            is_named = any(text in error.message for text in _HARMLESS)
            # libvips gives no cause for a warning that it has logged when the file was opened.
            is_known = error.message.endswith(NO_CAUSE)
            if self._tolerant or not (is_named or is_known):
                raise
            if is_named:
                self._picture.warnings.append(error.message)
        self._tolerant, self._region = True, None
        return self._fetch_strictly(page, top, columns, rows)

    def _fetch_strictly(self, page: int | None, top: int, columns: int, rows: int) -> Any:
        try:
            if self._region is None or page != self._page or top < self._next:
                self._open(page)
            data = self._region.fetch(0, top, columns, rows)
        except vips().Error as error:
            raise self._picture.file.unreadable(error) from error
        self._next = top + rows
        return data

    def _open(self, page: int | None) -> None:
        fail_on = "error" if self._tolerant else self._picture.format.reading.fail_on
        file, stack = self._picture.file, self._picture.pages.stack
        if page is None:
            image = file.open_upright(stack.start, count=len(stack), fail_on=fail_on)
        else:
            image = file.open_upright(page, fail_on=fail_on)
        self._region = None
        self._region = vips().Region.new(image)
        self._image = image
        self._page = page
        self._next = 0


def _with_metadata(details: ImageDetails, known: dict[str, Any]) -> ImageDetails:
    """The details with the metadata blocks and the description among the fields of libvips."""
    # The format of libvips itself may hold a text under such a name.
    known = {
        name: value
        for name, value in known.items()
        if name not in _BLOCKS or isinstance(value, bytes)
    }
    exif, description = known.get("exif-data"), known.get("image-description")
    if exif is not None:
        exif = refresh_exif(exif)
    if description is not None:
        details = replace(details, text=(("Description", utf8_or_latin1(str(description))),))
    icc = known.get("icc-profile-data")
    if icc is not None and not is_intact_profile(icc):
        fields = tuple(field for field in details.fields if field[0] != "icc-profile-data")
        details = replace(details, fields=fields, damaged_icc=True)
        icc = None
    return replace(
        details,
        icc=icc,
        exif=exif,
        xmp=known.get("xmp-data"),
        iptc=known.get("iptc-data"),
    )


def _loader_format(image: Any) -> str:
    """The name of the format, from that of the loader: `jpegload_source` reads a jpeg."""
    # libvips names no loader for its own format.
    loader = str(field_value(image, "vips-loader", "vipsload"))
    name = loader.split("load", maxsplit=1)[0].lower()
    if name == "heif" and field_value(image, "heif-compression", "") == "av1":
        return "avif"
    return name
