"""Jobs on pictures, and their peers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import peers as p
from job import OUT, Job, Peer, Sizes, script

if TYPE_CHECKING:
    from collections.abc import Sequence


def pictures(sizes: Sizes) -> list[Job]:
    """Smoothing in three formats, kernels, smaller pictures."""
    photo = f"photo-{sizes.megapixels}mpx"
    return [
        *(gaussian(photo, suffix) for suffix in (".tif", ".jpg", ".png")),
        picture_median(f"{photo}.tif"),
        *kernels(f"{photo}.tif"),
        *smaller(f"{photo}.tif"),
    ]


def single_picture(
    name: str,
    says: str,
    photo: str,
    words: Sequence[str],
    peers: tuple[Peer, ...],
    *more: str,
    equal: str = "",
) -> Job:
    """A job that makes a picture of a picture."""
    suffix = photo[photo.rindex(".") :]
    quality = ["--quality", "90"] if suffix == ".jpg" else []
    return Job(
        name=name,
        says=says,
        inputs=(photo, *more),
        command=("convcli", "image", "-q", *words, photo, *quality, "-o", OUT),
        peers=peers,
        kind="picture",
        suffix=suffix,
        equal=equal,
    )


def gaussian(photo: str, suffix: str) -> Job:
    """sigma 3."""
    source = f"{photo}{suffix}"
    # JPEG loses more than the arithmetic differs.
    limit = 0.6 if suffix == ".jpg" else 0.25
    quality = "[Q=90]" if suffix == ".jpg" else ""
    magick: tuple[str, ...] = (
        "convert",
        source,
        "-virtual-pixel",
        "edge",
        "-blur",
        "12x3",
        "-quality",
        "90",
        OUT,
    )
    if suffix == ".png":
        magick = (*magick[:-3], OUT)
    return single_picture(
        f"gaussian-{suffix[1:]}",
        f"Gaussian of sigma 3 on {source}, RGB, 8 bits",
        source,
        ["gaussian:3"],
        (
            Peer(
                "libvips float",
                p.PYVIPS,
                script("vips_gaussian", source, OUT),
                3,
                limit,
                "23 taps, rounded",
            ),
            Peer(
                "libvips integer",
                p.VIPS,
                ("vips", "gaussblur", source, f"{OUT}{quality}", "3"),
                0.6,
                limit + 0.9,
                "its default: whole-number taps, a shorter mask, a less exact answer",
            ),
            Peer("ImageMagick", p.MAGICK, magick, 40, max(limit, 0.55), "25 taps"),
            Peer(
                "G'MIC",
                p.GMIC,
                ("gmic", source, "-blur", "3", "-round", "1", "-cut", "0,255", "-o", OUT),
                None,
                1,
            ),
            Peer(
                "OpenCV",
                p.OPENCV,
                script("opencv_gaussian", source, OUT),
                None,
                limit,
                "25 taps, whole picture",
            ),
        ),
        equal="25 x 25 taps, edges repeated, rounded",
    )


def picture_median(photo: str) -> Job:
    """5 x 5."""
    return single_picture(
        "median-5x5",
        f"median of 5 x 5 pixels of {photo}, RGB, 8 bits",
        photo,
        ["median:5"],
        (
            Peer("OpenCV", p.OPENCV, script("opencv_median", photo, OUT), 1, 0),
            Peer("libvips", p.PYVIPS, script("vips_median", photo, OUT), 1, 0),
        ),
        equal="edges repeated",
    )


def kernels(photo: str) -> list[Job]:
    """3 x 3, a gradient, 31 x 31."""
    return [sharpen(photo), sobel(photo), sobel_strength(photo), dense(photo)]


def _vips_conv(photo: str, matrix: str, precision: str) -> tuple[str, ...]:
    return ("vips", "conv", photo, OUT, matrix, "--precision", precision)


def _morphology(photo: str, kernel: str) -> tuple[str, ...]:
    return ("convert", photo, "-virtual-pixel", "edge", "-morphology", "Correlate", kernel, OUT)


def sharpen(photo: str) -> Job:
    """The kernel of 5 taps."""
    return single_picture(
        "sharpen-3x3",
        f"sharpening 3 x 3 kernel on {photo}",
        photo,
        ["kernel:0,-1,0;-1,5,-1;0,-1,0"],
        (
            Peer("libvips integer", p.VIPS, _vips_conv(photo, "sharpen.mat", "integer"), 1, 0.01),
            Peer("ImageMagick", p.MAGICK, _morphology(photo, "3x3:0,-1,0 -1,5,-1 0,-1,0"), 1, 0.01),
            Peer(
                "SciPy ndimage",
                p.NDIMAGE,
                script("ndimage_filter", photo, OUT, "sharpen.mat"),
                1,
                0.01,
            ),
            Peer(
                "OpenCV", p.OPENCV, script("opencv_filter", photo, OUT, "sharpen.mat"), None, 0.01
            ),
        ),
        "sharpen.mat",
        equal="the same whole numbers, cut off at 0 and 255",
    )


def sobel(photo: str) -> Job:
    """Along x, what is below 0 cut off."""
    return single_picture(
        "sobel-x",
        f"Sobel along x on {photo}",
        photo,
        ["correlate:-1,0,1;-2,0,2;-1,0,1"],
        (
            Peer("libvips integer", p.VIPS, _vips_conv(photo, "sobel.mat", "integer"), 1, 0.01),
            Peer("ImageMagick", p.MAGICK, _morphology(photo, "3x3:-1,0,1 -2,0,2 -1,0,1"), 1, 0.01),
            Peer("OpenCV", p.OPENCV, script("opencv_filter", photo, OUT, "sobel.mat"), None, 0.01),
        ),
        "sobel.mat",
        equal="the same whole numbers, cut off at 0 and 255",
    )


def sobel_strength(photo: str) -> Job:
    """The root of the sum of squares."""
    return single_picture(
        "sobel",
        f"strength of the Sobel gradient on {photo}",
        photo,
        ["sobel"],
        (
            Peer(
                "libvips sobel",
                p.VIPS,
                ("vips", "sobel", photo, OUT),
                1,
                None,
                "adds magnitudes, at half precision",
            ),
            Peer(
                "OpenCV", p.OPENCV, script("opencv_sobel", photo, OUT), None, 0.01, "whole picture"
            ),
        ),
        equal="OpenCV: the same; libvips: a cheaper formula",
    )


def dense(photo: str) -> Job:
    """961 taps that do not separate."""
    return single_picture(
        "dense-31x31",
        f"dense 31 x 31 kernel on {photo}",
        photo,
        ["correlate:@kernel-dense.csv,normalize=true"],
        (
            Peer("libvips integer", p.VIPS, _vips_conv(photo, "dense.mat", "integer"), 5, 0.5),
            Peer("libvips float", p.PYVIPS, script("vips_filter", photo, OUT, "dense.mat"), 5, 0.1),
            Peer(
                "SciPy ndimage",
                p.NDIMAGE,
                script("ndimage_filter", photo, OUT, "dense.mat"),
                5,
                0.1,
            ),
            Peer(
                "OpenCV",
                p.OPENCV,
                script("opencv_filter", photo, OUT, "dense.mat"),
                None,
                0.1,
                "whole picture",
            ),
        ),
        "dense.mat",
        "kernel-dense.csv",
        equal="the same 961 weights, edges repeated",
    )


def smaller(photo: str) -> list[Job]:
    """Means of blocks, and Lanczos, by 2 and by 8."""
    return [
        job(photo, n, percent)
        for job in (_means, _lanczos)
        for n, percent in ((2, "50%"), (8, "12.5%"))
    ]


def _means(photo: str, n: int, percent: str) -> Job:
    vips = ("vips", "shrink", photo, OUT, str(n), str(n))
    magick = ("convert", photo, "-scale", percent, OUT)
    peers = (
        Peer("libvips shrink", p.VIPS, vips, 1, 0.51),
        Peer("ImageMagick -scale", p.MAGICK, magick, 1, 0.51),
    )
    says = f"mean of every {n} x {n} pixels of {photo}"
    return single_picture(
        f"shrink-{n}", says, photo, [f"avg_pool:{n}"], peers, equal="the same means"
    )


def _lanczos(photo: str, n: int, percent: str) -> Job:
    vips = ("vips", "resize", photo, OUT, str(1 / n))
    magick = ("convert", photo, "-filter", "Lanczos", "-resize", percent, OUT)
    peers = (
        Peer("libvips resize", p.VIPS, (*vips, "--gap", "0"), 1, 0.6),
        Peer(
            "libvips resize, default",
            p.VIPS,
            vips,
            1,
            1,
            "a mean of blocks first: a less exact answer",
        ),
        Peer("ImageMagick -resize", p.MAGICK, magick, 1, 0.6),
    )
    says = f"{photo} by 1/{n} with Lanczos (3 lobes)"
    return single_picture(
        f"resize-{n}", says, photo, [f"resize:{percent}"], peers, equal="the same kernel"
    )
