"""Picture files: how they are recognised, opened and written, and which of their pages.

`--pages` names pages as numbers and ranges that count from 1.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.media.files import Files, OpenedFile, UndividedError, format_contradiction
from convcli.media.images.medium import IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from convcli.media.division import Division, PartOfFile
    from convcli.media.images.montage import MontageSink
    from convcli.media.images.page_choice import PageChoice
    from convcli.media.images.picture_format import Format
    from convcli.media.images.sink import ImageSink
    from convcli.media.images.source import ImageFile, ImageOptions
    from convcli.places import Place
    from convcli.signals import Medium, Signal, Source


# What to do instead of --channels with a filter that changes the size.
_SIZE_HINTS = {
    "rgb": "leave --channels out, or take the opacity away before, as PPM does: "
    "convcli image gain:1 IN.png -o IN.ppm",
    "luma": "leave --channels out; `grey | ...` filters the luma, and the result is grey",
    "alpha": "leave --channels out, which filters colours and opacity",
}


@dataclass(frozen=True, kw_only=True)
class ImageFiles(Files):
    """Picture files with the options for reading and writing them.

    options : what is filtered, and how values are stored; None for the defaults
    format : the format of the output; None for that of its suffix, or of the input
    pages : which pages are read; None for all
    max_pixels : larger pictures are refused
    """

    medium: ClassVar[Medium] = IMAGE
    command: ClassVar[str] = "image"

    options: ImageOptions | None = None
    format: str | None = None
    pages: PageChoice | None = None
    max_pixels: int

    @staticmethod
    def has_suffix(path: Place) -> bool:
        """Whether the suffix of `path` belongs to a picture file."""
        from convcli.media.images.formats import format_by_suffix

        is_read_only = path.suffix.lower() in (".bmp", ".heic", ".heif", ".hif")
        return is_read_only or format_by_suffix(path) is not None

    @staticmethod
    def begins_with(head: bytes) -> bool:
        """Whether `head` is the beginning of a picture file."""
        from convcli.media.images.converted import is_heic
        from convcli.media.images.formats import is_picture

        return is_picture(head) or is_heic(head)

    @contextmanager
    def open(
        self, path: Path | None, *, stdin: BinaryIO | None, output: Place | None = None
    ) -> Iterator[OpenedImage]:
        """Open the picture in `path`, or on `stdin`. InputError says why it cannot be read."""
        from convcli.media.images.formats import find_format, format_by_suffix
        from convcli.media.images.source import ImageOptions, open_image

        if self.format is not None and output is not None:
            wanted = find_format(self.format)
            if format_by_suffix(output) not in (None, wanted):
                raise format_contradiction(self.format, output)
        options = self.options or ImageOptions()
        picture = open_image(
            path, stdin=stdin, options=options, pages=self.pages, max_pixels=self.max_pixels
        )
        yield OpenedImage(picture, self, output)

    def for_viewing(self) -> ImageFiles | None:
        """All channels as stored, where some alone or linear light are filtered."""
        from convcli.media.images.source import ImageOptions

        options = self.options or ImageOptions()
        if options.channels == "all" and not options.linear:
            return None
        return ImageFiles(pages=self.pages, max_pixels=self.max_pixels)

    def for_results(self) -> ImageFiles:
        """All pages of an output, which holds those that were read."""
        if self.pages is None:
            return self
        return replace(self, pages=None)


@dataclass(frozen=True)
class OpenedImage(OpenedFile):
    """An open picture file with its pages.

    output : where the result goes, None for standard output
    """

    file: ImageFile
    files: ImageFiles
    output: Place | None

    @property
    def sources(self) -> Sequence[Source[Any]]:
        """The pages, in the order of the file."""
        return self.file.pages

    @property
    def warnings(self) -> Sequence[str]:
        """The faults that were found in the file, one sentence each."""
        return self.file.warnings

    def details(self) -> Mapping[str, object]:
        """Format, bit depth and number of pages, and which pages they are if some are left out."""
        details = self.file.details
        facts = {"format": details.format, "bits": details.bits, "pages": len(self.file.pages)}
        if self.files.pages is None:
            return facts
        return {**facts, "page_choice": self.files.pages.text, "pages_in_file": details.pages}

    def check(self, result: Signal, *, keeps_shape: bool) -> None:
        """Refuse a result that is empty, too large, or does not fit the channels that are kept."""
        if self.file.needs_same_size and not keeps_shape:
            channels = self.file.options.channels
            raise RequestError(
                f"--channels {channels} needs a filter that keeps the size of the picture",
                hint=_SIZE_HINTS[channels],
            )
        rows, columns = (side or 0 for side in result.shape)
        most = self.files.max_pixels
        if rows * columns > most:
            raise RequestError(
                f"the result has {columns:,} x {rows:,} pixels, more than {most:,}",
                hint="--max-pixels allows more",
            )
        if rows == 0 or columns == 0:
            raise RequestError(
                "nothing is left of the picture: the filter is larger than it, and --edge is valid",
                hint="other rules of --edge keep its size",
            )
        from convcli.media.images.sink import choose_format

        form = choose_format(None, self.output, self.files.format, self.file)
        self._check_sides(form, rows, columns)
        self._check_options(form, result)

    @staticmethod
    def _check_sides(form: Format, rows: int, columns: int) -> None:
        """Refuse a picture that the format of the output has no room for."""
        from convcli.media.images.formats import FORMATS

        most = form.samples.most_side
        if most is None or max(rows, columns) <= most:
            return
        roomy = ", ".join(each.name for each in FORMATS.values() if not each.samples.most_side)
        raise RequestError(
            f"{form.name} holds at most {most:,} pixels a side, "
            f"and the result has {columns:,} x {rows:,}",
            hint=f"write one of: {roomy}",
        )

    def _check_options(self, form: Format, result: Signal) -> None:
        """Refuse options that the format of the output would ignore."""
        from convcli.media.images.formats import FORMATS

        options = self.file.options
        if options.quality is not None and not form.samples.lossy:
            lossy = ", ".join(each.name for each in FORMATS.values() if each.samples.lossy)
            raise RequestError(
                f"--quality is for formats that are stored with a loss ({lossy}), "
                f"and {form.name} keeps every sample",
                hint="leave --quality out, or write another format",
            )
        is_cut = options.range != "clip" and not form.samples.is_roomy
        if is_cut and self.file.makes_maps(result):
            raise RequestError(
                f"--range {options.range} does nothing to the montage of {len(result.channels)} "
                "channels, each of which is scaled to its own range",
                hint="leave --range out, or write TIFF (.tif), which holds their values",
            )

    def sink(
        self, place: Path | BinaryIO, pages: Sequence[Signal], *, label: str, unchanged: bool
    ) -> ImageSink | MontageSink:
        """The sink for the filtered pages; many channels are a montage where nothing else fits."""
        from convcli.media.images.sink import choose_format

        if not self._are_maps(pages):
            return self._sink(place, pages, None)
        target = place if isinstance(place, Path) else None
        form = choose_format(target, self.output, self.files.format, self.file)
        if form.samples.is_roomy:
            return self._sink(place, pages, None)
        from convcli.media.images.montage import MontageSink

        return MontageSink(
            pages, lambda signals: self._sink(place, signals, None), self.files.max_pixels
        )

    def _are_maps(self, pages: Sequence[Signal]) -> bool:
        """Whether every page has many channels, which are not those of the picture itself."""
        sides = zip(self.file.pages, pages, strict=True)
        return all(page.makes_maps(result) for page, result in sides)

    def division(self) -> Division:
        """How the picture is cut into parts: at strips of rows, if they are not compressed."""
        from convcli.media.block_parts import BlockDivision

        page = self.file.pages[0]
        if len(self.file.pages) > 1:
            raise UndividedError("a picture of several pages is read page by page")
        if not page.seekable:
            name = self.file.details.format
            raise UndividedError(f"{name} is decoded from its first row to its last")
        return BlockDivision(source=page, size=page.layout.stored_bytes, make_sink=self._sink)

    def _sink(
        self, place: Path | BinaryIO, pages: Sequence[Signal], part: PartOfFile | None
    ) -> ImageSink:
        """The sink for the whole picture, or for a part of it."""
        from convcli.media.images.sink import ImageSink

        return ImageSink(
            place,
            like=self.file,
            signals=pages,
            format=self.files.format,
            name=self.output,
            options=self.file.options,
            part=part,
        )
