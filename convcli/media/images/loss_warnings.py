"""What a format cannot hold of a picture, as warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.media.images.layout import list_channels
from convcli.media.images.png import colours_beyond_srgb, lost_chunks
from convcli.media.images.tiff_kept import lost_tags
from convcli.media.images.tiff_stacks import lost_descriptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.media.images.encoder import PageEncoder
    from convcli.media.images.picture_format import Format, WriteRequest


def picture_losses(page: PageEncoder, request: WriteRequest) -> Iterator[str]:
    """Warnings about everything that the output does not hold.

    page : the first page
    """
    yield from _sample_losses(page, request)
    yield from _colour_losses(page, request)
    yield from _text_losses(request)
    yield from _block_losses(request)
    yield from lost_tags(request)
    yield from lost_descriptions(request)
    yield from lost_chunks(request)


def black_and_white(form: Format) -> str:
    """The warning that grey samples are stored in a format of one bit a sample."""
    return f"{form.name} holds black and white alone: each sample becomes the nearer of them"


def too_many_colours(form: Format) -> str:
    """The warning that a picture has more colours than its format."""
    most = form.samples.most_colours
    return f"{form.name} holds {most} colours beside a transparent one: others become the nearest"


def _sample_losses(page: PageEncoder, request: WriteRequest) -> Iterator[str]:
    """Warnings about the values of samples."""
    name = request.format.name
    layout, source = page.layout, page.source.layout
    stored, had = layout.dtype, source.dtype
    is_other_kind = stored.kind not in {had.kind, "f"}
    if stored.itemsize < had.itemsize or is_other_kind:
        kind = "floating" if had.kind == "f" else f"{8 * had.itemsize}-bit"
        yield f"{name} holds no {kind} samples: {8 * stored.itemsize} bits are kept"
    elif stored.kind == had.kind == "f" and request.details.bits < 8 * stored.itemsize:
        yield f"floating samples of {request.details.bits} bits are stored with 32"
    white = source.white
    if white is not None and stored.kind == "u" and layout.white is None:
        yield f"white is {page.levels.full:g} in {name}: samples of 0..{white} are scaled"
    if request.format.writing.losses is not None:
        yield from request.format.writing.losses(request)
    if request.format.samples.white == 1 and request.details.bits > 1:
        yield black_and_white(request.format)
    if page.flattened:
        yield f"{name} holds no opacity: the picture was laid over white"


def _colour_losses(page: PageEncoder, request: WriteRequest) -> Iterator[str]:
    """Warnings about palettes, colour profiles and gain maps."""
    details, form = request.details, request.format
    is_same_format = details.format == form.name
    if details.palette and is_same_format and form.samples.most_colours is None:
        names = list_channels(page.layout.channels)
        yield f"the palette of the {form.name} is not kept: colours are stored as {names}"
    if details.icc and form.texts.blocks and not request.same_colours:
        had = list_channels(page.source.layout.colour_names)
        made = list_channels(page.layout.colour_names)
        yield f"the colour profile is one of {had}, not of {made}: it is dropped"
    beyond = colours_beyond_srgb(details)
    if beyond and not (form.texts.chunk_text and request.same_colours):
        listed = ", ".join(beyond)
        yield f"what the PNG says of its colours ({listed}) is lost: they will be shown as sRGB"
    if details.has_gain_map and not request.keeps_gain_map:
        yield (
            "the gain map, which makes the picture one of high dynamic range, does not fit the "
            "result: it is dropped"
        )


def _text_losses(request: WriteRequest) -> Iterator[str]:
    """Warnings about text and comments."""
    details, form = request.details, request.format
    if details.has_chunk_text and not form.texts.chunk_text:
        keywords = ", ".join(keyword for keyword, _ in details.text)
        yield f"{form.name} has no place for the text of the PNG ({keywords}): it is lost"
    if details.delays and len(request.layouts) > 1 and not form.pages.animated:
        yield f"{form.name} has no place for the delays of the animation: they are lost"
    if details.comments and not form.texts.comments:
        yield f"{form.name} has no place for the comment of the {details.format}: it is lost"


def _block_losses(request: WriteRequest) -> Iterator[str]:
    """Warnings about colour profile, EXIF, XMP and IPTC."""
    details, form = request.details, request.format
    for kind, block in details.blocks.items():
        if form.texts.largest_block is not None and len(block) > form.texts.largest_block:
            yield f"{form.name} holds no {kind} of {len(block):,} bytes: it is lost"
    if details.iptc and not form.texts.iptc:
        yield f"{form.name} has no place for IPTC: it is lost"
    if details.has_metadata_blocks and not form.texts.blocks:
        yield f"{form.name} has no place for the colour profile, EXIF or XMP: they are lost"
