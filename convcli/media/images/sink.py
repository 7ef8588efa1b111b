"""Where filtered pictures go: results become stored samples, and pages become a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np

from convcli.errors import RequestError
from convcli.media.images.coder import PageCoder
from convcli.media.images.details import FORMATS, Format, find_format, format_of
from convcli.media.images.levels import Extent
from convcli.media.images.vips_writer import Plan
from convcli.media.images.writers import Spool, open_writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from convcli.media.images.layout import Layout, Pixels, Strip
    from convcli.media.images.levels import Counts
    from convcli.media.images.source import ImageFile, ImageOptions
    from convcli.signals import AnyRows, Array, Signal


@dataclass(frozen=True)
class Finished:
    """A strip ready for the file, and how many samples of each channel were cut off."""

    packed: Any
    rows: int
    below: Counts
    above: Counts


class ImageSink:
    """Takes the results of one picture file, page after page, as a Sink.

    Pages come in the order of `like.pages`: encode and write all rows of the first, `next_page()`, and so on, then
    `close()`; as a context manager it closes at a good end and discards at a bad one. `encode` is pure and may run
    in any thread for rows of the current page; `write` belongs to one thread.

    target : a path to write (it is reopened, and closed at the end), or a stream that is left open
    like : the input, whose details are kept and whose rows complete what `--channels` left out
    signals : shape and channels of the result, one per page
    format : its name; None takes the suffix of `name`, else the input's own
    name : the output as the user wrote it, for its suffix, where `target` is a temporary path

    Raises RequestError for results that the format cannot hold (several pages, inks, more channels, signed
    samples); what it holds less well (16 bits as 8, opacity over white) stands in `warnings`.
    """

    def __init__(
        self,
        target: Path | BinaryIO,
        *,
        like: ImageFile,
        signals: Sequence[Signal],
        format: str | None = None,
        name: Path | None = None,
        options: ImageOptions | None = None,
    ) -> None:
        self.like = like
        self.options = options or like.options
        self.format = _choose_format(target, name, format, like)
        self.warnings: list[str] = []
        self._pages = [
            PageCoder(source, signal, self.format, self.options)
            for source, signal in zip(like.pages, signals, strict=True)
        ]
        self._check_pages()
        self._warn_of_losses()
        first = self._pages[0]
        # By name, since the pages of some formats may have different channels.
        self._below = {name: 0 for page in self._pages for name in page.layout.channels}
        self._above = dict(self._below)
        layouts = [page.layout for page in self._pages]
        plan = Plan(
            format=self.format,
            layouts=layouts,
            details=like.details,
            quality=self.options.quality,
            same_colours=first.layout.colour_names == first.source.layout.colour_names,
        )
        self._scaling = self.options.range == "scale"
        self._spool = Spool() if self._scaling else None
        self._extent = Extent()
        self._writer = open_writer(target, plan)
        self._originals: _Originals | None = None
        self._index = -1
        self._row = 0
        self._closed = False
        self.next_page()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    @property
    def _page(self) -> PageCoder:
        return self._pages[self._index]

    def next_page(self) -> None:
        """Go on to the next page; what is written from now on belongs to it."""
        self._check_complete()
        self._index += 1
        self._row = 0
        page = self._page
        self._originals = (
            _Originals(self.like.reader().strips(self._index)) if page.completes else None
        )
        if not self._scaling:
            self._writer.start(page.layout)

    def encode(self, y: Array, rows: AnyRows) -> Finished | Array:
        """Results (rows, columns, channels) as the file stores them, or as they are where that needs all of them."""
        if self._scaling or self._page.completes:
            return y
        return self._finish(self._page, self._page.to_stored(y), int(rows[0]) if len(rows) else 0)

    def write(self, encoded: Finished | Array) -> None:
        """Append what `encode` made."""
        if isinstance(encoded, Finished):
            self._append(encoded)
            return
        page = self._page
        originals = self._originals.take(len(encoded)) if self._originals else None
        values = page.to_stored(encoded, originals)
        if self._spool is None:
            self._append(self._finish(page, values, self._row))
            return
        self._extent.include(values[..., page.mapped])
        self._spool.append(values.astype(page.floating, copy=False))
        self._row += len(values)

    def _finish(self, page: PageCoder, values: Array, row: int) -> Finished:
        samples, below, above = page.quantise(values, row)
        return Finished(self._writer.pack(samples), len(samples), below, above)

    def _append(self, finished: Finished) -> None:
        self._writer.append(finished.packed)
        for name, below, above in zip(
            self._page.layout.channels, finished.below, finished.above, strict=True
        ):
            self._below[name] += int(below)
            self._above[name] += int(above)
        self._row += finished.rows

    def close(self) -> None:
        """Write what still waits and end the file."""
        if self._closed:
            return
        self._check_complete()
        if self._spool is not None:
            self._write_scaled(self._spool)
        self._writer.finish()
        self._closed = True
        self._release()
        if any(self._below.values()) or any(self._above.values()):
            self.warnings.append(self._clip_message())

    def _write_scaled(self, spool: Spool) -> None:
        """The second pass of `--range scale`."""
        spool.rewind()
        for number, page in enumerate(self._pages):
            self._index = number
            self._writer.start(page.layout)
            shape = (page.layout.rows, page.layout.columns, len(page.source.layout.channels))
            if not page.completes:
                shape = (*shape[:2], page.given)
            row = 0
            for values in spool.strips(shape, np.dtype(page.floating), page.layout.strip_rows):
                stretched = self._extent.stretch(values, page.source.levels, page.mapped)
                self._append(self._finish(page, stretched, row))
                row += len(values)

    def discard(self) -> None:
        """Give up: nothing more is written, temporary files are let go."""
        self._writer.discard()
        self._release()
        self._closed = True

    def _release(self) -> None:
        if self._spool is not None:
            self._spool.close()
        self._originals = None

    def facts(self) -> dict[str, object]:
        """What was written, for a report."""
        layout = self._pages[0].layout
        return {
            "format": self.format.name,
            "size": [layout.columns, layout.rows],
            "pages": len(self._pages),
            "bits": 8 * layout.dtype.itemsize,
            "channels": list(layout.channels),
            "clipped": {name: low + self._above[name] for name, low in self._below.items()},
            "clipped_below": dict(self._below),
            "clipped_above": dict(self._above),
        }

    def _check_complete(self) -> None:
        if self._index >= 0 and self._row != self._page.layout.rows:
            raise ValueError(
                f"page {self._index + 1} has {self._page.layout.rows} rows, {self._row} were written"
            )

    def _check_pages(self) -> None:
        first, count, name = self._pages[0].layout, len(self._pages), self.format.name
        if count > 1 and not self.format.pages:
            paged = ", ".join(each.name for each in FORMATS.values() if each.pages)
            raise RequestError(
                f"{name} holds one picture, the input has {count} pages",
                hint=f"write one of: {paged}",
            )
        if name in ("ppm", "pam"):
            return
        for number, page in enumerate(self._pages, start=1):
            if page.layout != first:
                raise RequestError(
                    f"pages of one {name} must be alike: page 1 is {_describe(first)}, "
                    f"page {number} {_describe(page.layout)}",
                    hint="split the file into its pages first, e.g. with `tiffsplit`",
                )

    def _warn_of_losses(self) -> None:
        page, details = self._pages[0], self.like.details
        source, name = page.source.layout, self.format.name
        if (
            page.layout.dtype.itemsize < source.dtype.itemsize
            or page.layout.dtype.kind != source.dtype.kind
        ):
            have = "floating" if source.dtype.kind == "f" else f"{8 * source.dtype.itemsize}-bit"
            self.warnings.append(
                f"{name} holds no {have} samples: {8 * page.layout.dtype.itemsize} bits are kept"
            )
        if page.flattened:
            self.warnings.append(f"{name} holds no opacity: the picture was laid over white")
        if details.text and name not in ("png", "vips") and details.format == "png":
            keywords = ", ".join(keyword for keyword, _ in details.text)
            self.warnings.append(
                f"{name} has no place for the text of the PNG ({keywords}): it is lost"
            )
        if name in ("ppm", "pam") and (details.icc or details.exif or details.xmp):
            self.warnings.append(
                f"{name} has no place for the colour profile, EXIF or XMP: they are lost"
            )
        if name == "gif" and details.format != "gif":
            self.warnings.append(
                "gif holds 256 colours in a picture: others become the nearest of them"
            )

    def _clip_message(self) -> str:
        levels = self._pages[0].levels
        counts = [(name, low, self._above[name]) for name, low in self._below.items()]
        parts = [f"{name} {low} below, {high} above" for name, low, high in counts if low or high]
        span = f"{levels.low:g}..{levels.high:g}"
        return f"results outside {span} were clipped: {'; '.join(parts)} (--range says what else can be done)"


class _Originals:
    """The rows of the input once more, as many at a time as results come."""

    def __init__(self, strips: Iterator[Strip]) -> None:
        self._strips = strips
        self._rest: list[Pixels] = []

    def take(self, rows: int) -> Pixels:
        """The next `rows` rows."""
        while sum(map(len, self._rest)) < rows:
            self._rest.append(next(self._strips).pixels)
        joined = self._rest[0] if len(self._rest) == 1 else np.concatenate(self._rest)
        self._rest = [joined[rows:]]
        return joined[:rows]


def _describe(layout: Layout) -> str:
    return f"{layout.columns}x{layout.rows} {''.join(layout.channels)} {layout.dtype}"


def _choose_format(
    target: Path | BinaryIO, name: Path | None, wanted: str | None, like: ImageFile
) -> Format:
    if wanted is not None:
        return find_format(wanted)
    path = name or (target if isinstance(target, Path) else None)
    if path is not None and path.suffix:
        found = format_of(path)
        if found is None:
            raise RequestError(
                f"the suffix {path.suffix!r} of {path} stands for no picture format that can be written",
                hint="the formats are " + ", ".join(FORMATS) + "; --format names one",
            )
        return FORMATS[found]
    return FORMATS.get(like.details.format, FORMATS["png"])
