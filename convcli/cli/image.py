"""The command `convcli image`: filter pictures. `convcli/cli/app.py` adds it."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from convcli.cli import options
from convcli.cli.filter_command import FilterCommand
from convcli.cli.groups import command
from convcli.cli.options import Request, RunOptions, suffix_of
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.media.images.files import ImageFiles
from convcli.signals import Align, Edge


@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """How pictures are filtered, read and written."""

    channels: Annotated[
        Literal["all", "rgb", "luma", "alpha"],
        typer.Option(
            help="What is filtered; the rest stays. With all, colours are weighted by alpha; rgb "
            "takes them as they are stored."
        ),
    ] = "all"
    range: Annotated[
        Literal["clip", "abs", "offset", "scale"],
        typer.Option(
            help="Values out of range: clip cuts them off and counts them, abs makes them "
            "positive, offset adds half of the range, scale fits all of them in."
        ),
    ] = "clip"
    linear: Annotated[
        bool, typer.Option("--linear", help="Filter linear light instead of sRGB values.")
    ] = False
    format: Annotated[
        str | None, typer.Option(help="Format of the output: png, jpeg, tiff, webp, ppm, ...")
    ] = None
    quality: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            help="Quality of JPEG, WebP and AVIF; without it JPEG and WebP keep theirs, and a "
            "lossless WebP stays lossless.",
        ),
    ] = None
    pages: Annotated[
        str | None,
        typer.Option(
            metavar="PAGES",
            help="Pages of a file of several, such as 3, 3-7, 2- or 1,4-6; the output holds these "
            "alone.",
            show_default="all",
        ),
    ] = None
    max_pixels: Annotated[int, typer.Option(min=1, help="Refuse larger pictures.")] = (
        options.MOST_PIXELS
    )
    missing: options.Missing = None


@dataclass(frozen=True, eq=False, kw_only=True)
class PictureRun(RunOptions):
    """How a filter is applied to pictures."""

    edge: Annotated[Edge | None, options.edge_option("edge")] = None
    align: Annotated[Align | None, options.align_option("center")] = None


@command(
    "image",
    "convcli image gaussian:3 photo.jpg -o soft.jpg",
    "convcli image sobel scan.tif --range scale -o edges.png",
    "convcli image 'grey | gaussian:1' scan.jpg -o scan.png",
    "convcli image median:3 fax.tif --pages 2-3 -o clean.tif",
    "convcli image 'resize:50% | sharpen:0.5' shots --recursive -o small/ --resume",
)
def image(request: Request, picture: PictureOptions, run: PictureRun) -> int:
    """Filter pictures: PNG, JPEG, TIFF, WebP, PPM, GIF and all else that libvips reads.

    Bit depth, colour profile, EXIF, text and resolution are kept. Values are those of the file (0
    to 255 for 8 bits), lengths are pixels, frequencies cycles per pixel. Smoothing runs along both
    axes; axis=x or axis=y picks one. A picture goes through in strips, in constant memory, but for
    the encoders of WebP and AVIF, which hold all of it.
    """
    from convcli.media.images.page_choice import parse_pages
    from convcli.media.images.source import ImageOptions

    if picture.pages is not None and run.in_place:
        raise RequestError(
            "--in-place with --pages would drop the other pages of the file",
            hint="write the pages to another file: -o OUTPUT",
        )
    image_options = ImageOptions(
        channels=picture.channels,
        linear=picture.linear,
        range=picture.range,
        quality=picture.quality,
    )
    files = ImageFiles(
        options=image_options,
        format=picture.format,
        pages=None if picture.pages is None else parse_pages(picture.pages),
        max_pixels=picture.max_pixels,
    )
    return FilterCommand(
        request=request,
        options=run,
        files=files,
        missing=picture.missing,
        suffix=suffix_of(picture.format),
    ).run()
