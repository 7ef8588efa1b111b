"""Where filtered pictures go: results become stored samples, and pages become a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.losses import Loss
from convcli.media.files import FileSink, UndividedError
from convcli.media.images.colour_count import ColourCount
from convcli.media.images.encoder import PageEncoder
from convcli.media.images.formats import FORMATS, find_format, format_by_suffix
from convcli.media.images.held_results import FewBitsWriter, ScaledResults, few_bits_of
from convcli.media.images.layout import list_channels
from convcli.media.images.loss_warnings import black_and_white, picture_losses, too_many_colours
from convcli.media.images.picture_format import Format, WriteRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.media.division import PartOfFile
    from convcli.media.images.layout import Layout, PictureReader, Pixels, Strip
    from convcli.media.images.levels import Counts
    from convcli.media.images.picture_format import PictureWriter, SharedWriter
    from convcli.media.images.source import ImageFile, ImageOptions
    from convcli.places import Place
    from convcli.signals import AnyRows, Array, Signal


# Part of the range by which a result may miss black or white.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class EncodedStrip:
    """A strip as the writer takes it, and how many samples of each channel were cut off.

    drawn : its samples, for drawings of the picture; None where the file has another type, other
        channels or another full scale than the input
    has_grey : whether a result of a picture of black and white lies between them
    colours : those of the strip, where the format holds few; more than it holds may be left out
    """

    packed: Any
    rows: int
    below: Counts
    above: Counts
    drawn: Array | None = None
    has_grey: bool = False
    colours: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class WrittenRows:
    """What one of several sinks wrote into a file.

    below, above : how many samples of each channel were cut off
    has_grey : whether a result of a picture of black and white lies between them
    """

    rows: int
    below: dict[str, int]
    above: dict[str, int]
    has_grey: bool


class ImageSink(FileSink):
    """Takes the results of one picture file, page after page, as a Sink.

    Pages come in the order of `like.pages`: encode and write all rows of the first, `next_page()`,
    and so on, then `close()`. As a context manager it closes after success and discards after an
    error. `encode` is pure and may run in any thread for rows of the current page; `write` belongs
    to one thread.

    target : a path to write (it is reopened, and closed at the end), or a stream that is left open
    like : the input, whose details are kept and whose rows complete what `--channels` left out
    signals : shape and channels of the result, one for each page
    format : its name; None takes the suffix of `name`, else the input's own
    name : the output as the user wrote it, for its suffix, where `target` is a temporary path
    part : the part of the only page that is written; None for the whole

    Raises RequestError for results that the format cannot hold (several pages, inks, more channels,
    signed samples). `warnings` says what it holds less well (16 bits as 8, opacity over white).
    """

    # The writer of the file, when other sinks write parts of it.
    _shared: SharedWriter

    def __init__(
        self,
        target: Path | BinaryIO,
        *,
        like: ImageFile,
        signals: Sequence[Signal],
        format: str | None = None,
        name: Place | None = None,
        options: ImageOptions | None = None,
        part: PartOfFile | None = None,
    ) -> None:
        self.like = like
        self.options = options or like.options
        self._part = part
        path = target if isinstance(target, Path) else None
        self.format = choose_format(path, name, format, like)
        self._pages = self._encoders(signals)
        self._check_pages()
        request = self._write_request()
        self.warnings: list[str] = list(map(Loss, picture_losses(self._pages[0], request)))
        # Counts of clipped samples by name, since the pages of some formats may have different
        # channels.
        self._below = {name: 0 for page in self._pages for name in page.layout.channels}
        self._above = dict(self._below)
        self._scaled = ScaledResults() if self.options.range == "scale" else None
        self._writer, self._few_bits = self._open_writer(target, request)
        # One for all pages: another one would decode an animation from its first frame.
        self._original_reader: PictureReader | None = None
        self._originals: _OriginalRows | None = None
        self._has_grey = False
        self._colours = ColourCount(self.format.samples.most_colours)
        self._index = -1
        self._row = 0
        self.next_page()

    def _encoders(self, signals: Sequence[Signal]) -> list[PageEncoder]:
        """The encoder of each page, which takes its results."""
        pages = zip(self.like.pages, signals, strict=True)
        return [PageEncoder(source, signal, self.format, self.options) for source, signal in pages]

    def _open_writer(
        self, target: Path | BinaryIO, request: WriteRequest
    ) -> tuple[PictureWriter, FewBitsWriter | None]:
        """The writer, and the same if it may write fewer than 8 bits a sample."""
        bits = few_bits_of(request, [page.source.layout for page in self._pages])
        if bits is None:
            return self.format.writing.writer(target, request), None
        writer = FewBitsWriter(target, request, bits)
        return writer, writer

    def _write_request(self) -> WriteRequest:
        return WriteRequest(
            format=self.format,
            layouts=[page.layout for page in self._pages],
            details=self.like.details,
            quality=self.options.quality,
            same_colours=self._same_colours,
            same_geometry=self._same_geometry(),
            part=self._part,
        )

    @property
    def _is_black_and_white(self) -> bool:
        """Whether a picture of one bit a sample is written as one.

        Where a picture of more bits becomes one, `picture_losses` has warned of it.
        """
        return self.format.samples.white == 1 and self.like.details.bits == 1

    @property
    def _same_colours(self) -> bool:
        """Whether the channels of the first page are those of the input."""
        first = self._pages[0]
        return first.layout.colour_names == first.source.layout.colour_names

    def _same_geometry(self) -> bool:
        """Whether every pixel of the first page is where it was in the file."""
        first = self._pages[0]
        sides = (first.layout.rows, first.layout.columns)
        return sides == first.source.signal.shape and self.like.details.orientation == 1

    @property
    def _page(self) -> PageEncoder:
        return self._pages[self._index]

    def next_page(self) -> None:
        """Go on to the next page, to which all further results belong."""
        self._check_complete()
        self._index += 1
        self._row = 0
        page = self._page
        self._originals = None
        if page.needs_originals:
            reader = self._original_reader or self.like.reader()
            self._original_reader = reader
            self._originals = _OriginalRows(reader.strips(self._index))
        if self._scaled is None:
            self._start(page)

    def _start(self, page: PageEncoder) -> None:
        self._writer.start(page.layout)
        self._colours.start_page()

    def encode(self, y: Array, rows: AnyRows) -> EncodedStrip | Array:
        """Encode results (rows, columns, channels); return them unchanged if only `write` can."""
        page = self._page
        if self._scaled is not None or page.needs_originals:
            return y
        first_row = int(rows[0]) if len(rows) else 0
        return self._encode(page, page.to_stored(y), first_row)

    def stored(self, encoded: EncodedStrip | Array) -> Array | None:
        """The samples of a strip as in the file, if they are on the scale of the results."""
        return encoded.drawn if isinstance(encoded, EncodedStrip) else None

    def write(self, encoded: EncodedStrip | Array) -> None:
        """Append what `encode` returned."""
        if isinstance(encoded, EncodedStrip):
            self._append(encoded)
            return
        page, originals = self._page, None
        if self._originals is not None:
            originals = self._originals.take(len(encoded))
        values = page.to_stored(encoded, originals)
        if self._scaled is None:
            self._append(self._encode(page, values, self._row))
        else:
            self._scaled.add(values, page)
            self._row += len(values)

    def _encode(self, page: PageEncoder, values: Array, row: int) -> EncodedStrip:
        samples, below, above = page.quantise(values, row)
        drawn = None
        if self._are_drawn(page, samples, values):
            drawn = samples
        packed = self._writer.pack(samples)
        has_grey = self._is_black_and_white and self._are_grey(page, values)
        colours = self._colours.of_strip(samples, page.layout.alpha)
        return EncodedStrip(packed, len(samples), below, above, drawn, has_grey, colours)

    def _are_grey(self, page: PageEncoder, values: Array) -> bool:
        """Whether a result lies between black and white, apart from its rounding."""
        share = values / page.source.levels.full
        is_grey = (share > _ROUNDING) & (share < 1 - _ROUNDING)
        return bool(is_grey.any())

    def _are_drawn(self, page: PageEncoder, samples: Pixels, values: Array) -> bool:
        """Whether a drawing can be made of the rounded samples, instead of the results."""
        if page.levels.missing is not None:
            return False
        # A preview takes signed whole numbers for samples of sound, of full scale 1.
        if samples.dtype.kind == "i" or samples.dtype != page.source.layout.dtype:
            return False
        return page.levels.full == page.source.levels.full and values.shape == samples.shape

    def _append(self, strip: EncodedStrip) -> None:
        self._writer.append(strip.packed)
        channels = self._page.layout.channels
        for name, below, above in zip(channels, strip.below, strip.above, strict=True):
            self._below[name] += int(below)
            self._above[name] += int(above)
        self._row += strip.rows
        self._has_grey |= strip.has_grey
        self._colours.add(strip.colours)

    def close(self) -> None:
        """Write results that wait for their range, and end the file."""
        if self._part is not None:
            self._writer.finish()
            self._release()
            return
        self._check_complete()
        if self._scaled is not None:
            self._write_scaled(self._scaled)
        self._writer.finish()
        self._release()
        if any(self._below.values()) or any(self._above.values()):
            self.warnings.append(self._clip_message())
        if self._has_grey:
            self.warnings.append(Loss(black_and_white(self.format)))
        if self._colours.too_many:
            self.warnings.append(Loss(too_many_colours(self.format)))
        if self._few_bits is not None and self._few_bits.bits is None:
            self.warnings.append(
                f"the picture has {self.like.details.bits} bits a sample, the result needs more: "
                "it is stored with 8"
            )

    def _write_scaled(self, scaled: ScaledResults) -> None:
        """The second pass of `--range scale`."""
        scaled.rewind()
        for index, page in enumerate(self._pages):
            self._index = index
            self._row = 0
            self._start(page)
            for values in scaled.strips(page):
                self._append(self._encode(page, values, self._row))

    def discard(self) -> None:
        """Give up: write nothing more and delete temporary files."""
        self._writer.discard()
        self._release()

    def _release(self) -> None:
        self._originals = None
        self._original_reader = None
        if self._scaled is not None:
            self._scaled.close()

    # --- parts ---

    def parted(self) -> Self:
        """The sink for strips that other sinks write. UndividedError if there are none."""
        if len(self._pages) > 1:
            raise UndividedError("a picture of several pages is written page by page")
        if self._scaled is not None:
            raise UndividedError("--range scale needs the extremes of the whole result")
        if self._originals is not None:
            channels = self.options.channels
            raise UndividedError(f"--channels {channels} goes through the picture once more")
        writer = self._writer.shared
        if writer is None:
            raise UndividedError(f"{self.format.name} is encoded from its first row to its last")
        self._shared = writer
        return self

    def reserve(self) -> None:
        """Give the file its full size, before parts of it are written."""
        self._shared.reserve(self._page.layout)

    @property
    def written_part(self) -> WrittenRows:
        """What was written by this sink, as one of several."""
        return WrittenRows(
            rows=self._row, below=self._below, above=self._above, has_grey=self._has_grey
        )

    def add_part(
        self,
        written: WrittenRows,
        place: Path,  # noqa: ARG002 -- it is in the file
    ) -> None:
        """Count the rows and clipped samples that the sink of the next part put into the file."""
        self._shared.skip(written.rows)
        self._row += written.rows
        self._has_grey |= written.has_grey
        for name in self._below:
            self._below[name] += written.below[name]
            self._above[name] += written.above[name]

    # --- facts and checks ---

    def facts(self) -> dict[str, object]:
        """What was written, for a report."""
        layout = self._pages[0].layout
        bits = layout.bits
        if self._few_bits is not None and self._few_bits.bits is not None:
            bits = self._few_bits.bits
        return {
            "format": self.format.name,
            "size": [layout.columns, layout.rows],
            "pages": len(self._pages),
            "bits": bits,
            "channels": list(layout.channels),
            "clipped": {name: low + self._above[name] for name, low in self._below.items()},
            "clipped_below": dict(self._below),
            "clipped_above": dict(self._above),
        }

    def _check_complete(self) -> None:
        if self._index >= 0 and self._row != self._page.layout.rows:
            raise ValueError(
                f"page {self._index + 1} has {self._page.layout.rows} rows, "
                f"{self._row} were written"
            )

    def _check_pages(self) -> None:
        first, count, name = self._pages[0].layout, len(self._pages), self.format.name
        if count > 1 and not self.format.pages.several:
            paged = ", ".join(each.name for each in FORMATS.values() if each.pages.several)
            raise RequestError(
                f"{name} holds one picture, the input has {count} pages",
                hint=f"write one of: {paged}",
            )
        if self.format.pages.mixed:
            return
        for number, page in enumerate(self._pages, start=1):
            if page.layout != first:
                raise RequestError(
                    f"pages of one {name} must be alike: page 1 is {_describe_layout(first)}, "
                    f"page {number} {_describe_layout(page.layout)}",
                    hint="--pages picks pages that are alike, such as --pages 1 or --pages 2-4",
                )

    def _clip_message(self) -> str:
        levels = self._pages[0].levels
        counts = [(name, low, self._above[name]) for name, low in self._below.items()]
        parts = [f"{name} {low} below, {high} above" for name, low, high in counts if low or high]
        return (
            f"results outside {levels.low:g}..{levels.high:g} were clipped: {'; '.join(parts)} "
            "(--range says what else can be done)"
        )


class _OriginalRows:
    """The rows of the input, read a second time, as many at a time as there are results."""

    def __init__(self, strips: Iterator[Strip]) -> None:
        self._strips = strips
        self._held: list[Pixels] = []

    def take(self, rows: int) -> Pixels:
        """Return the next `rows` rows."""
        while sum(map(len, self._held)) < rows:
            self._held.append(next(self._strips).pixels)
        joined = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        self._held = [joined[rows:]]
        return joined[:rows]


def _describe_layout(layout: Layout) -> str:
    return f"{layout.columns}x{layout.rows} {list_channels(layout.channels)} {layout.dtype}"


def choose_format(
    target: Path | None, name: Place | None, wanted: str | None, like: ImageFile
) -> Format:
    """The format that was asked for, else that of the suffix, else that of the input, else PNG."""
    if wanted is not None:
        return find_format(wanted)
    path: Place | None = name or target
    if path is None or not path.suffix:
        return FORMATS.get(like.details.format, FORMATS["png"])
    found = format_by_suffix(path)
    if found is None:
        raise RequestError(
            f"the suffix {path.suffix!r} of {path} stands for no picture format "
            "that can be written",
            hint="the formats are " + ", ".join(FORMATS) + "; --format names one",
        )
    return found
