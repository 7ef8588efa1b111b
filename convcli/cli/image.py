"""`convcli image`."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import typer

from convcli.cli import options
from convcli.cli.batch import Batch
from convcli.cli.options import Request, examples, suffix_of, with_request
from convcli.errors import RequestError
from convcli.media.images.medium import IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from convcli.media.images.sink import ImageSink
    from convcli.media.images.source import ImageFile, ImageOptions
    from convcli.planning.grammar import Call
    from convcli.planning.plan import Plan
    from convcli.signals import Medium, Source


@dataclass(frozen=True, kw_only=True)
class ImageAdapter:
    """How pictures are opened and written."""

    options: ImageOptions
    format: str | None
    max_pixels: int
    medium: Medium = IMAGE
    command: str = "image"
    tail: bool = False
    stepwise: bool = False

    @contextmanager
    def open(
        self, path: Path | None, output: Path | None, calls: tuple[Call, ...]
    ) -> Iterator[OpenedImage]:
        """The picture in `path`, or on standard input."""
        from convcli.media.images.source import open_image

        stdin = sys.stdin.buffer if path is None else None
        yield OpenedImage(
            open_image(path, stdin=stdin, options=self.options, max_pixels=self.max_pixels),
            self,
            output,
        )


@dataclass
class OpenedImage:
    """A picture file, with its pages."""

    file: ImageFile
    adapter: ImageAdapter
    output: Path | None

    @property
    def warnings(self) -> list[str]:
        return self.file.warnings

    @property
    def sources(self) -> Sequence[Source[Any]]:
        return self.file.pages

    def details(self) -> Mapping[str, object]:
        details = self.file.details
        return {"format": details.format, "bits": details.bits, "pages": len(self.file.pages)}

    def check(self, plan: Plan) -> None:
        """Channels that are put back into the original need a result of the original's size."""
        if any(page.keeps_geometry_required for page in self.file.pages) and not plan.keeps_shape:
            raise RequestError(
                f"--channels {self.adapter.options.channels} needs a filter that keeps the size of the picture",
                hint="use --channels all",
            )
        rows, columns = (side or 0 for side in plan.result.shape)
        if rows * columns > self.adapter.max_pixels:
            raise RequestError(
                f"the result has {columns:,} x {rows:,} pixels, more than {self.adapter.max_pixels:,}",
                hint="--max-pixels allows more",
            )
        if not all(plan.result.shape):
            raise RequestError(
                "nothing is left of the picture: the filter is larger than it, and --edge is valid"
            )

    def sink(self, place: Path | BinaryIO, plans: Sequence[Plan], name: str) -> ImageSink:
        from convcli.media.images.sink import ImageSink

        return ImageSink(
            place,
            like=self.file,
            signals=[plan.result for plan in plans],
            format=self.adapter.format,
            name=self.output,
            options=self.adapter.options,
        )

    def next_page(self, sink: Any) -> None:
        sink.next_page()


@with_request
def image(
    request: Request,
    *,
    channels: Annotated[
        Literal["all", "rgb", "luma", "alpha"],
        typer.Option(help="What is filtered; the rest stays. Colours are weighted by alpha."),
    ] = "all",
    range: Annotated[
        Literal["clip", "abs", "offset", "scale"],
        typer.Option(
            help="Values out of range: cut off and counted, made positive, moved by half, or all fitted in."
        ),
    ] = "clip",
    linear: Annotated[
        bool, typer.Option("--linear", help="Filter linear light instead of sRGB values.")
    ] = False,
    format: Annotated[
        str | None,
        typer.Option(
            help="Format of the output: png, jpeg, tiff, webp, ppm, ...", show_default=False
        ),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Quality of JPEG, WebP and AVIF.", show_default=False),
    ] = None,
    max_pixels: Annotated[int, typer.Option(min=1, help="Refuse larger pictures.")] = 10**9,
    missing: options.Missing = "keep",
) -> int:
    """Filter pictures: PNG, JPEG, TIFF, WebP, PPM, GIF and all else that libvips reads.

    Bit depth, colour profile, EXIF, text and resolution are kept. Values are those of the file (0 to 255 for 8 bits),
    lengths are pixels, frequencies cycles per pixel. Smoothing runs along both axes; axis=x or axis=y picks one.
    A picture goes through in strips, in constant memory, but for the encoders of WebP and AVIF, which hold all of it.
    """
    from convcli.media.images.source import ImageOptions

    image_options = ImageOptions(channels=channels, linear=linear, range=range, quality=quality)
    return Batch(
        replace(request, missing=missing, suffix=suffix_of(format)),
        ImageAdapter(options=image_options, format=format, max_pixels=max_pixels),
    ).run()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        name="image",
        epilog=examples(
            "convcli image gaussian:3 photo.jpg -o soft.jpg",
            "convcli image sobel scan.tif --range scale -o edges.png",
            "convcli image 'resize:50% | sharpen:0.5' shots/*.png -o small/",
        ),
    )(image)
