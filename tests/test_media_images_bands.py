"""Bands of a TIFF beside its colours: opacity where the file says so, data everywhere else."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pyvips
from scipy.ndimage import uniform_filter

from convcli.media.images import tiff
from convcli.media.images.source import ImageOptions, open_image

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

RNG = np.random.default_rng(5)
COLOURS = {1: 1, 2: 3, 5: 4}  # of each photometric interpretation: grey, RGB, inks


def short(*values: int) -> tiff.TiffField:
    return tiff.TiffField(3, len(values), struct.pack(f"<{len(values)}H", *values))


def long(*values: int) -> tiff.TiffField:
    return tiff.TiffField(4, len(values), struct.pack(f"<{len(values)}I", *values))


def banded(
    path: Path,
    x: Any,
    photometric: int,
    extra: tuple[int, ...] | None,
    *,
    planes: bool = False,
    order: str = "<",
    big: bool = False,
) -> Path:
    """A TIFF of (rows, columns, bands) pixels with this ExtraSamples tag, or without one."""
    rows, columns, bands = x.shape
    stored = np.moveaxis(x, 2, 0) if planes else x
    data = stored.astype(x.dtype.newbyteorder(order)).tobytes()
    strips = bands if planes else 1
    size = len(data) // strips
    fields = {
        256: long(columns),
        257: long(rows),
        258: short(*[8 * x.dtype.itemsize] * bands),
        259: short(1),
        262: short(photometric),
        273: long(*(16 + index * size for index in range(strips))),
        277: short(bands),
        278: long(rows),
        279: long(*[size] * strips),
        284: short(2 if planes else 1),
        339: short(*[{"u": 1, "i": 2, "f": 3}[x.dtype.kind]] * bands),
    }
    if extra is not None:
        fields[338] = short(*extra)
    variant = tiff.TiffVariant(order, big=big)
    place = 16 + len(data) + -len(data) % 8
    head = struct.pack(order + "HHHQ", 43, 8, 0, place)
    if not big:
        head = struct.pack(order + "HI", 42, place) + bytes(8)
    mark = b"II" if order == "<" else b"MM"
    directory = tiff.build_directory(fields, variant, place=place, link=0)
    path.write_bytes((mark + head + data).ljust(place, b"\0") + directory)
    return path


def load(path: Path) -> Any:
    pixels = pyvips.Image.new_from_file(str(path)).numpy()
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize(
    ("photometric", "extra", "alpha"),
    [
        (1, (0,), None),
        (1, (2,), 1),
        (1, (0, 0, 0, 0, 0), None),
        (1, (0, 0, 2), 3),
        (2, (0,), None),
        (2, (2,), 3),
        (2, (0, 2), 4),
        (2, (2, 0, 0), 3),
        (5, (0,), None),
    ],
)
def test_only_what_the_file_calls_an_opacity_is_one(  # noqa: PLR0917
    program: Program,
    tmp_path: Path,
    photometric: int,
    extra: tuple[int, ...],
    alpha: int | None,
    kind: str,
    planes: bool,  # noqa: FBT001
) -> None:
    bands = COLOURS[photometric] + len(extra)
    x = RNG.integers(0, 200, (9, 7, bands)).astype(kind)
    order = ">" if planes else "<"
    a = banded(tmp_path / "a.tif", x, photometric, extra, planes=planes, order=order)
    page = open_image(a, options=ImageOptions()).pages[0]
    assert page.layout.alpha == alpha
    assert np.array_equal(np.concatenate([each.pixels for each in page.pieces()]), x)
    b = tmp_path / "b.tif"
    assert program.run("image", "-q", "box:3", a, "-o", b, cwd=tmp_path).code == 0
    with b.open("rb") as file:
        fields = tiff.read_directory(file)
    assert fields[262].value == photometric
    assert fields[338].numbers() == extra
    if alpha is None:
        wanted = uniform_filter(x.astype(np.float64), (3, 3, 1), mode="nearest")
        error = np.abs(load(b) - wanted).max()
        assert error <= (1e-4 if kind == "f4" else 0.5 + 1e-9)


def test_bands_that_are_not_said_to_be_anything_are_data(tmp_path: Path) -> None:
    for big in (False, True):
        x = RNG.integers(0, 200, (5, 4, 4)).astype("u1")
        a = banded(tmp_path / "a.tif", x, 2, None, big=big)
        layout = open_image(a, options=ImageOptions()).pages[0].layout
        assert layout.alpha is None
        assert layout.channels == ("R", "G", "B", "band4")


def test_data_is_not_written_where_it_would_become_an_opacity(
    program: Program, tmp_path: Path
) -> None:
    x = RNG.integers(0, 200, (5, 4, 4)).astype("u1")
    a = banded(tmp_path / "a.tif", x, 2, (0,))
    for name in ("b.png", "b.webp", "b.jpg", "b.pam"):
        run = program.run("image", "-q", "box:3", a, "-o", name, cwd=tmp_path)
        assert run.code == 2, run
        assert "write TIFF (.tif)" in run.err
    inks = banded(tmp_path / "c.tif", RNG.integers(0, 200, (5, 4, 5)).astype("u1"), 5, (0,))
    assert program.run("image", "-q", "box:3", inks, "-o", "c.jpg", cwd=tmp_path).code == 2


def pam(tuples: str, pixels: Any) -> bytes:
    rows, columns, bands = pixels.shape
    sides = f"WIDTH {columns}\nHEIGHT {rows}\nDEPTH {bands}\nMAXVAL 255\n"
    header = f"P7\n{sides}TUPLTYPE {tuples}\nENDHDR\n".encode()
    return header + bytes(pixels.tobytes())


def test_the_tuple_type_of_a_pam_says_whether_a_band_is_an_opacity(
    program: Program, tmp_path: Path
) -> None:
    x = RNG.integers(0, 200, (5, 4, 4)).astype("u1")
    padded = np.pad(x.astype(float), ((1, 1), (1, 1), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    plain = np.rint(windows.mean(axis=(-2, -1)))
    for tuples, channels, names in (
        ("CMYK", ("C", "M", "Y", "K"), ("b.pam", "b.tif")),
        ("RGB", ("R", "G", "B", "band4"), ("b.tif",)),
    ):
        (tmp_path / "a.pam").write_bytes(pam(tuples, x))
        layout = open_image(tmp_path / "a.pam", options=ImageOptions()).pages[0].layout
        assert (layout.channels, layout.alpha) == (channels, None)
        for name in names:
            words = ("image", "-q", "box:3", "a.pam", "-o", name, "--force")
            assert program.run(*words, cwd=tmp_path).code == 0
        np.testing.assert_array_equal(load(tmp_path / "b.tif"), plain)
    assert (tmp_path / "b.pam").read_bytes() == pam("CMYK", plain.astype("u1"))
    (tmp_path / "c.pam").write_bytes(pam("RGB_ALPHA", x))
    assert open_image(tmp_path / "c.pam", options=ImageOptions()).pages[0].layout.alpha == 3


def test_white_as_0_in_planes_is_refused(program: Program, tmp_path: Path) -> None:
    x = RNG.integers(0, 200, (5, 4, 2)).astype("u1")
    a = banded(tmp_path / "a.tif", x, 0, (0,), planes=True)
    run = program.run("image", "-q", "box:3", a, "-o", "b.tif", cwd=tmp_path)
    assert run.code == 3
    assert "separate planes whose 0 is white" in run.err


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("planes", [False, True])
def test_floating_colours_that_are_multiplied_by_the_opacity(
    program: Program, tmp_path: Path, colours: int, *, planes: bool
) -> None:
    """Means of the products are the means of the colours weighted by the opacity."""
    tifffile = pytest.importorskip("tifffile")
    opacity = RNG.random((9, 11, 1)).astype("f4")
    opacity[:3] *= 1e-4
    opacity[4] = 0
    x = np.concatenate([RNG.random((9, 11, colours)) * opacity, opacity], axis=2).astype("f4")
    stored = np.moveaxis(x, 2, 0) if planes else x
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored,
        photometric="rgb" if colours == 3 else "minisblack",
        planarconfig="separate" if planes else "contig",
        extrasamples=["assocalpha"],
        metadata=None,
    )
    padded = np.pad(x.astype(float), ((1, 1), (1, 1), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    for steps, wanted in (("kernel:1", x), ("box:3", windows.mean(axis=(-2, -1)))):
        done = program.run("image", "-q", steps, "a.tif", "-o", "b.tif", "--force", cwd=tmp_path)
        assert done.code == 0, done
        with tifffile.TiffFile(tmp_path / "b.tif") as file:
            assert file.pages[0].extrasamples == (2,)
            y = file.pages[0].asarray()
        y = y.reshape(9, 11, colours + 1).astype(float)
        np.testing.assert_allclose(y[..., -1], wanted[..., -1], rtol=1e-6)
        np.testing.assert_allclose(y[..., :-1] * y[..., -1:], wanted[..., :-1], rtol=2e-6)
