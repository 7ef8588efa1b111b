from __future__ import annotations

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st
from program import SAMPLES

from convcli.errors import InputError, RequestError
from convcli.media.files import closed_or_discarded
from convcli.media.images import layout as image_layout
from convcli.media.images import png as image_png
from convcli.media.images import tiff as image_tiff
from convcli.media.images import vips_writer as image_feed
from convcli.media.images.details import ImageDetails
from convcli.media.images.exif import refresh_exif
from convcli.media.images.formats import find_format, format_by_suffix
from convcli.media.images.jpeg import jpeg_quality
from convcli.media.images.levels import Levels, quantise
from convcli.media.images.medium import IMAGE
from convcli.media.images.sink import ImageSink
from convcli.media.images.source import ImageFile, ImageOptions, open_image
from convcli.media.images.srgb import from_light, luma, to_light
from convcli.media.images.vips_writer import HeadInserter
from convcli.media.images.webp import frame_quality, inspect_webp
from convcli.media.replacing import atomic
from convcli.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.signals import Array

RNG = np.random.default_rng(1)
PROFILES = {name: pyvips.Operation.call("profile_load", name) for name in ("p3", "srgb", "cmyk")}
PROFILE = PROFILES["p3"]


def noise(rows: int, columns: int, channels: int, dtype: str) -> Any:
    if dtype.startswith("f"):
        return RNG.normal(size=(rows, columns, channels)).astype(dtype)
    limits = np.iinfo(dtype)
    return RNG.integers(
        limits.min, limits.max, (rows, columns, channels), dtype=dtype, endpoint=True
    )


def save(
    path: Path,
    pixels: Any,
    interpretation: str,
    *,
    options: dict[str, Any] | None = None,
    **fields: Any,
) -> Path:
    image = pyvips.Image.new_from_array(pixels).copy(interpretation=interpretation)
    kinds = {
        bytes: pyvips.GValue.blob_type,
        str: pyvips.GValue.gstr_type,
        int: pyvips.GValue.gint_type,
    }
    for name, value in fields.items():
        image.set_type(kinds[type(value)], name.replace("_", "-"), value)
    image.write_to_file(str(path), **(options or {}))
    return path


def load(path: Path, **options: Any) -> Any:
    pixels = pyvips.Image.new_from_file(str(path), **options).numpy()
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def same(x: Array) -> Array:
    return x


def run(
    source: Path | bytes,
    target: Path | BinaryIO,
    change: Callable[[Array], Array] = same,
    *,
    signal: Callable[[Signal], Signal] = same,  # type: ignore[assignment]
    format: str | None = None,
    **options: Any,
) -> tuple[ImageFile, ImageSink]:
    """Filter a picture the way the engine does, pointwise."""
    chosen = ImageOptions(**options)
    stdin = io.BytesIO(source) if isinstance(source, bytes) else None
    image = open_image(None if isinstance(source, bytes) else source, stdin=stdin, options=chosen)
    sink = ImageSink(
        target, like=image, signals=[signal(page.signal) for page in image.pages], format=format
    )
    with closed_or_discarded(sink), ThreadPoolExecutor(2) as pool:
        for number, page in enumerate(image.pages):
            if number:
                sink.next_page()
            row = 0
            for block in pool.map(page.decode, page.pieces()):
                rows = np.arange(row, row + len(block.x))
                row += len(block.x)
                sink.write(sink.encode(change(block.x), rows))
    return image, sink


@pytest.fixture
def small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_layout, "STRIP_BYTES", 500)


def text_png(path: Path, *extra: tuple[bytes, bytes]) -> Path:
    save(path, noise(20, 30, 3, "u1"), "srgb", options={"keep": 0})
    data = path.read_bytes()
    place = data.index(b"pHYs") - 4
    data = data[:place] + data[place + 21 :]
    chunks = b"".join(image_png.make_chunk(kind, body) for kind, body in extra)
    path.write_bytes(data[:33] + chunks + data[33:])
    return path


# Identity: what is read is what is written.

LOSSLESS = [
    ("png", "u1", 1, "b-w"),
    ("png", "u1", 2, "b-w"),
    ("png", "u1", 3, "srgb"),
    ("png", "u1", 4, "srgb"),
    ("png", "u2", 1, "grey16"),
    ("png", "u2", 2, "grey16"),
    ("png", "u2", 3, "rgb16"),
    ("png", "u2", 4, "rgb16"),
    ("tif", "u1", 1, "b-w"),
    ("tif", "u1", 3, "srgb"),
    ("tif", "u1", 4, "srgb"),
    ("tif", "u2", 1, "grey16"),
    ("tif", "u2", 2, "grey16"),
    ("tif", "u2", 3, "rgb16"),
    ("tif", "u2", 4, "rgb16"),
    ("tif", "f4", 1, "b-w"),
    ("tif", "f4", 3, "scrgb"),
    ("tif", "f4", 3, "lab"),
    ("tif", "u1", 4, "cmyk"),
    ("tif", "u1", 5, "cmyk"),
    ("tif", "u2", 4, "cmyk"),
    ("tif", "u1", 7, "multiband"),
    ("tif", "i2", 1, "b-w"),
    ("tif", "u4", 1, "b-w"),
]


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize(("suffix", "dtype", "channels", "interpretation"), LOSSLESS)
def test_identity_is_bit_exact(
    tmp_path: Path, suffix: str, dtype: str, channels: int, interpretation: str
) -> None:
    a, b = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    profile = {"srgb": "p3", "rgb16": "p3", "scrgb": "p3", "cmyk": "cmyk"}.get(interpretation)
    fields = {"icc_profile_data": PROFILES[profile]} if profile else {}
    save(a, noise(37, 23, channels, dtype), interpretation, **fields)
    image, sink = run(a, b)
    assert bool(image.details.icc) == bool(profile)
    assert np.array_equal(load(a), load(b))
    one, two = pyvips.Image.new_from_file(str(a)), pyvips.Image.new_from_file(str(b))
    assert (one.interpretation, one.format, one.bands) == (
        two.interpretation,
        two.format,
        two.bands,
    )
    assert (one.get_typeof("icc-profile-data") > 0) == (two.get_typeof("icc-profile-data") > 0)
    if one.get_typeof("icc-profile-data"):
        assert two.get("icc-profile-data") == one.get("icc-profile-data")
    assert len(image.pages[0].signal.channels) == channels
    assert sink.warnings == image.warnings == []
    assert image.pages[0].signal.shape == (37, 23)


def test_identity_when_libvips_is_slower_than_the_filter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_feed, "_MOST_WAITING", 100)
    a = save(tmp_path / "a.tif", noise(300, 200, 3, "u2"), "rgb16")
    run(a, tmp_path / "b.tif")
    assert np.array_equal(load(a), load(tmp_path / "b.tif"))


@pytest.mark.parametrize(
    ("channels", "linear"),
    [(channels, linear) for channels in ("all", "rgb", "luma") for linear in (False, True)]
    + [("alpha", False)],
)
@pytest.mark.parametrize(("dtype", "meaning"), [("u1", "srgb"), ("u2", "rgb16")])
@pytest.mark.usefixtures("small_strips")
def test_identity_of_every_selection(
    tmp_path: Path, channels: str, dtype: str, meaning: str, *, linear: bool
) -> None:
    a = save(tmp_path / "a.png", noise(40, 30, 4, dtype), meaning)
    image, _ = run(a, tmp_path / "b.png", channels=channels, linear=linear)
    assert np.array_equal(load(a), load(tmp_path / "b.png"))
    assert image.pages[0].needs_same_size == (channels != "all")


def test_a_palette_becomes_eight_bits(tmp_path: Path) -> None:
    grey = np.where(noise(9, 11, 1, "u1") > 128, 255, 0).astype(np.uint8)
    save(tmp_path / "p.png", np.repeat(grey, 3, 2), "srgb", options={"palette": True})
    image, sink = run(tmp_path / "p.png", tmp_path / "c.png")
    assert image.details.palette
    assert sink.warnings == ["the palette of the png is not kept: colours are stored as R, G, B"]
    assert np.array_equal(load(tmp_path / "c.png")[..., :3], np.repeat(grey, 3, 2))


# Values.


def test_decoded_in_own_units(tmp_path: Path) -> None:
    for dtype, wanted in (("u1", np.float32), ("u2", np.float64), ("f4", np.float64)):
        a = save(tmp_path / "a.tif", noise(5, 4, 1, dtype), "b-w")
        page = open_image(a, options=ImageOptions()).pages[0]
        x = np.concatenate([page.decode(strip).x for strip in page.pieces()])
        assert x.dtype == wanted
        assert np.array_equal(x, load(a))
        again = np.concatenate([page.decode(strip).x for strip in page.pieces()])
        assert np.array_equal(x, again)


def test_rounds_half_to_even_and_counts_what_it_clips(tmp_path: Path) -> None:
    a = save(tmp_path / "a.png", np.array([[[0], [1], [2], [200], [255]]], np.uint8), "b-w")
    _, sink = run(a, tmp_path / "b.png", lambda x: x * 1.5 - 1)
    assert load(tmp_path / "b.png").ravel().tolist() == [0, 0, 2, 255, 255]
    assert sink.facts()["clipped_below"] == {"grey": 1}
    assert sink.facts()["clipped_above"] == {"grey": 2}
    assert "grey 1 below, 2 above" in sink.warnings[0]


def test_what_rounds_into_the_range_is_not_clipped() -> None:
    values = np.array([[[-0.5], [255.5], [254.5], [255.49], [-0.51]]])
    samples, below, above = quantise(values, Levels(np.dtype("u1")), row=0)
    assert samples.ravel().tolist() == [0, 255, 254, 255, 0]
    assert (below.tolist(), above.tolist()) == ([1], [1])


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("clip", [0, 0, 100]),
        ("abs", [100, 0, 100]),
        ("offset", [28, 128, 228]),
        ("scale", [0, 128, 255]),
    ],
)
def test_ranges(tmp_path: Path, rule: str, wanted: list[int]) -> None:
    a = save(tmp_path / "a.png", np.array([[[0]], [[100]], [[200]]], np.uint8), "b-w")
    run(a, tmp_path / "b.png", lambda x: x - 100, range=rule)
    assert load(tmp_path / "b.png").ravel().tolist() == wanted


def test_range_leaves_the_opacity_alone(tmp_path: Path) -> None:
    a = save(tmp_path / "a.png", np.array([[[0, 0, 0, 7], [50, 100, 200, 90]]], np.uint8), "srgb")
    for rule in ("offset", "scale"):
        run(a, tmp_path / "b.png", range=rule)
        assert load(tmp_path / "b.png")[..., 3].ravel().tolist() == [7, 90]
    run(a, tmp_path / "b.png", lambda x: x - 10, range="abs", channels="alpha")
    assert load(tmp_path / "b.png").tolist() == [[[0, 0, 0, 3], [50, 100, 200, 80]]]


def test_scale_spans_all_pages_and_floats_become_0_to_1(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.float32).reshape(4, 6, 1)
    a = save(tmp_path / "a.tif", pixels, "b-w", page_height=2)
    run(a, tmp_path / "b.tif", range="scale")
    assert np.allclose(load(tmp_path / "b.tif", n=-1), pixels / 23)


def test_scale_of_a_constant_is_that_constant(tmp_path: Path) -> None:
    a = save(tmp_path / "a.png", np.full((3, 3, 1), 70, np.uint8), "b-w")
    run(a, tmp_path / "b.png", range="scale")
    assert (load(tmp_path / "b.png") == 70).all()


@pytest.mark.usefixtures("small_strips")
def test_nan_is_refused_by_whole_numbers_and_kept_by_floats(tmp_path: Path) -> None:
    def holes(x: Array) -> Array:
        return np.where(x == x.max(), np.nan, x)

    a = save(tmp_path / "a.png", np.arange(60, dtype=np.uint8).reshape(20, 3, 1), "b-w")
    with pytest.raises(InputError, match=r"NaN.* x 2, y 19"):
        run(a, tmp_path / "b.png", holes)
    f = save(tmp_path / "f.tif", noise(3, 3, 1, "f4"), "b-w")
    run(f, tmp_path / "g.tif", holes)
    assert np.isnan(load(tmp_path / "g.tif")).sum() == 1


def test_luma_adds_the_change_of_y(tmp_path: Path) -> None:
    pixels = np.array([[[10, 20, 30, 40], [100, 90, 80, 70]]], np.uint8)
    a = save(tmp_path / "a.png", pixels, "srgb")
    image, _ = run(a, tmp_path / "b.png", lambda y: y + 5, channels="luma")
    assert image.pages[0].signal.channels == ("Y",)
    assert load(tmp_path / "b.png").tolist() == [[[15, 25, 35, 40], [105, 95, 85, 70]]]
    assert luma(np.array([[[1.0, 1.0, 1.0]]])).item() == pytest.approx(1)


def test_rgb_keeps_the_opacity_and_alpha_the_colours(tmp_path: Path) -> None:
    a = save(tmp_path / "a.png", np.array([[[10, 20, 30, 40]]], np.uint8), "srgb")
    image, _ = run(a, tmp_path / "b.png", lambda x: x * 2, channels="rgb")
    assert (image.pages[0].signal.channels, image.pages[0].signal.alpha) == (("R", "G", "B"), None)
    assert load(tmp_path / "b.png").tolist() == [[[20, 40, 60, 40]]]
    run(a, tmp_path / "b.png", lambda x: x * 2, channels="alpha")
    assert load(tmp_path / "b.png").tolist() == [[[10, 20, 30, 80]]]


def test_linear_light(tmp_path: Path) -> None:
    a = save(tmp_path / "a.png", np.array([[[0, 128, 255, 100]]], np.uint8), "srgb")
    page = open_image(a, options=ImageOptions(linear=True)).pages[0]
    x = page.decode(next(iter(page.pieces()))).x
    assert x.ravel().tolist() == pytest.approx([0, 55.0444, 255, 100], abs=1e-3)
    run(a, tmp_path / "b.png", lambda x: x / 2, linear=True)
    assert load(tmp_path / "b.png").tolist() == [[[0, 92, 188, 50]]]


@given(st.floats(-2, 2))
def test_light_and_back(value: float) -> None:
    there = to_light(np.array([value]))
    assert from_light(there)[0] == pytest.approx(value, abs=2e-5)
    assert to_light(np.array([-value]))[0] == -there[0]


def test_linear_warns_of_other_profiles_and_refuses_inks(tmp_path: Path) -> None:
    a = save(tmp_path / "a.tif", noise(4, 4, 3, "u1"), "srgb", icc_profile_data=PROFILE)
    assert "sRGB curve is used" in open_image(a, options=ImageOptions(linear=True)).warnings[0]
    c = save(tmp_path / "c.tif", noise(4, 4, 4, "u1"), "cmyk")
    with pytest.raises(RequestError, match="has C, M, Y, K"):
        open_image(c, options=ImageOptions(linear=True))
    s = save(tmp_path / "s.tif", noise(4, 4, 1, "i2"), "b-w")
    with pytest.raises(RequestError, match=r"unsigned samples .*signed ones of 16"):
        open_image(s, options=ImageOptions(linear=True))
    f = save(tmp_path / "f.tif", noise(4, 4, 3, "f4"), "scrgb")
    image, _ = run(f, tmp_path / "g.tif", linear=True)
    assert "as they are" in image.warnings[0]
    assert np.array_equal(load(f), load(tmp_path / "g.tif"))


def test_selections_that_do_not_fit(tmp_path: Path) -> None:
    grey = save(tmp_path / "a.png", noise(4, 4, 1, "u1"), "b-w")
    with pytest.raises(RequestError, match="no opacity, only grey"):
        open_image(grey, options=ImageOptions(channels="alpha"))
    assert open_image(grey, options=ImageOptions(channels="luma")).pages[0].signal.channels == (
        "grey",
    )
    inks = save(tmp_path / "c.tif", noise(4, 4, 4, "u1"), "cmyk")
    with pytest.raises(RequestError, match="needs red, green and blue"):
        open_image(inks, options=ImageOptions(channels="luma"))
    rgba = save(tmp_path / "r.png", noise(4, 4, 4, "u1"), "srgb")
    smaller = Signal(medium=IMAGE, shape=(2, 2), channels=("R", "G", "B"))
    image = open_image(rgba, options=ImageOptions(channels="rgb"))
    with pytest.raises(RequestError, match="keeps the size"):
        ImageSink(tmp_path / "x.png", like=image, signals=[smaller])


# What stands beside the pixels.


def test_png_keeps_text_and_colour_chunks(tmp_path: Path) -> None:
    kept = [
        (b"gAMA", struct.pack(">I", 45455)),
        (b"pHYs", struct.pack(">IIB", 11811, 11811, 1)),
        (b"tEXt", b"Author\0me"),
        (b"zTXt", b"Notes\0\0" + zlib.compress(b"x" * 900)),
        (b"iTXt", "Comment\0\0\0fr\0Commentaire\0héé".encode()),
    ]
    a = text_png(tmp_path / "a.png", *kept)
    image, _ = run(a, tmp_path / "b.png")
    assert dict(image.details.text) == {"Author": "me", "Notes": "x" * 900, "Comment": "héé"}
    with (tmp_path / "b.png").open("rb") as file:
        assert list(image_png.read_chunks(file))[: len(kept)] == kept
    _, sink = run(a, tmp_path / "b.jpg")
    assert "Author, Notes, Comment" in sink.warnings[0]


def test_tiff_to_png_keeps_profile_exif_and_resolution(tmp_path: Path) -> None:
    fields = {
        "icc_profile_data": PROFILE,
        "exif-ifd0-Artist": "me (me, ASCII, 3 components, 3 bytes)",
    }
    a = save(tmp_path / "a.jpg", noise(9, 9, 3, "u1"), "srgb", **fields)
    run(a, tmp_path / "b.png")
    made = pyvips.Image.new_from_file(str(tmp_path / "b.png"))
    assert made.get("icc-profile-data") == PROFILE
    assert made.get("exif-ifd0-Artist").startswith("me")
    assert np.array_equal(load(a), load(tmp_path / "b.png"))
    run(tmp_path / "b.png", tmp_path / "c.tif")
    back = pyvips.Image.new_from_file(str(tmp_path / "c.tif"))
    assert back.get("icc-profile-data") == PROFILE
    with (tmp_path / "c.tif").open("rb") as file:
        assert image_tiff.read_directory(file)[315].data == b"me\0"
    run(tmp_path / "c.tif", tmp_path / "d.jpg")
    assert (
        pyvips.Image.new_from_file(str(tmp_path / "d.jpg")).get("exif-ifd0-Artist").startswith("me")
    )


def exif_block(order: str) -> bytes:
    """Artist; in EXIF an exposure time and an ISO speed; a GPS latitude."""

    def entry(tag: int, kind: int, count: int, value: int) -> bytes:
        return struct.pack(order + "HHII", tag, kind, count, value)

    def directory(*entries: bytes) -> bytes:
        return (
            struct.pack(order + "H", len(entries)) + b"".join(entries) + struct.pack(order + "I", 0)
        )

    speed = struct.pack(order + "HHIHH", 34855, 3, 1, 400, 0)
    first = directory(entry(315, 2, 13, 50), entry(34665, 4, 1, 64), entry(34853, 4, 1, 102))
    exif = directory(entry(33434, 5, 1, 94), speed) + struct.pack(order + "II", 1, 250)
    gps = directory(entry(2, 5, 3, 120)) + struct.pack(order + "6I", 48, 1, 8, 1, 3, 2)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    return head + first + b"Jane Example\0\0" + exif + gps


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("pages", [1, 3])
def test_tiff_keeps_exif(tmp_path: Path, order: str, pages: int, *, big: bool) -> None:
    pixels = noise(30, 12, 4, "u2")
    fields = {"page_height": 10} if pages == 3 else {}
    a = save(
        tmp_path / "a.tif",
        pixels,
        "rgb16",
        options={"bigtiff": big},
        icc_profile_data=PROFILE,
        **fields,
    )
    block = exif_block(order)
    with a.open("r+b") as file:
        grafted = image_tiff.described_fields(block, None)
        image_tiff.change_pages(file, [image_tiff.PageChange(grafted)])
    assert np.array_equal(load(a, n=-1), pixels)
    run(a, tmp_path / "b.tif")
    assert np.array_equal(load(tmp_path / "b.tif", n=-1), pixels)
    for name in ("a.tif", "b.tif"):
        with (tmp_path / name).open("rb") as file:
            found = image_tiff.read_directory(file)
        assert found[315].data == b"Jane Example\0"
        assert found[34665].nested[33434].data == struct.pack("<II", 1, 250)
        assert found[34665].nested[34855].value == 400
        assert found[34853].nested[2].data == struct.pack("<6I", 48, 1, 8, 1, 3, 2)
    if pages == 1:
        run(a, tmp_path / "c.png")
        made = pyvips.Image.new_from_file(str(tmp_path / "c.png"))
        assert made.get("exif-ifd2-ISOSpeedRatings").startswith("400 ")
        assert made.get("exif-ifd3-GPSLatitude").startswith("48/1 8/1 3/2")
        run(a, tmp_path / "d.webp")
        assert (
            pyvips.Image.new_from_file(str(tmp_path / "d.webp"))
            .get("exif-ifd2-ExposureTime")
            .startswith("1/250")
        )


@given(st.binary(max_size=120))
def test_directories_of_nonsense_are_read_without_a_stumble(data: bytes) -> None:
    for head in (b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0"):
        found = image_tiff.exif_of_tiff(image_tiff.read_directory(io.BytesIO(head + data)))
        assert found is None or isinstance(found, bytes)
        assert isinstance(refresh_exif(head + data), bytes)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("turn", [2, 3, 6, 8])
def test_orientation_is_applied_once(tmp_path: Path, suffix: str, turn: int) -> None:
    a = save(tmp_path / f"a.{suffix}", noise(16, 24, 3, "u1"), "srgb", orientation=turn)
    image, _ = run(a, tmp_path / f"b.{suffix}" if suffix != "jpg" else tmp_path / "b.png")
    out = next(tmp_path.glob("b.*"))
    upright = pyvips.Image.new_from_file(str(a)).autorot()
    assert np.array_equal(load(out), upright.numpy())
    assert image.pages[0].signal.shape == (upright.height, upright.width)
    made = pyvips.Image.new_from_file(str(out))
    assert not made.get_typeof("orientation") or made.get("orientation") == 1


def test_refresh_turns_the_tag_and_blanks_the_thumbnail() -> None:
    def entry(tag: int, kind: int, value: int) -> bytes:
        return struct.pack("<HHII", tag, kind, 1, value)

    first = struct.pack("<H", 1) + entry(0x0112, 3, 6) + struct.pack("<I", 26)
    second = (
        struct.pack("<H", 2) + entry(0x0201, 4, 56) + entry(0x0202, 4, 4) + struct.pack("<I", 0)
    )
    exif = b"II*\0" + struct.pack("<I", 8) + first + second + b"JPEG"
    wanted = exif.replace(entry(0x0112, 3, 6), entry(0x0112, 3, 1)).replace(b"JPEG", bytes(4))
    wanted = wanted[:22] + bytes(4) + wanted[26:]
    assert refresh_exif(exif) == wanted
    assert refresh_exif(b"Exif\0\0" + exif) == b"Exif\0\0" + wanted
    for cut in range(len(exif)):
        refresh_exif(exif[:cut])


def test_no_exif_is_made_up(tmp_path: Path) -> None:
    a = save(tmp_path / "a.png", noise(8, 8, 3, "u1"), "srgb", options={"keep": 0})
    for name in ("b.png", "b.jpg", "b.tif", "b.webp"):
        run(a, tmp_path / name)
        assert b"Exif" not in (tmp_path / name).read_bytes()


# Formats.


def test_formats() -> None:
    names = {
        "a.PNG": "png",
        "b.jpeg": "jpeg",
        "c.tif": "tiff",
        "d.pgm": "pgm",
        "e.txt": None,
        "f": None,
    }
    found = {name: format_by_suffix(Path(name)) for name in names}
    assert {name: each and each.name for name, each in found.items()} == names
    assert find_format("JPG").name == "jpeg"
    with pytest.raises(RequestError) as error:
        find_format("pgn")
    assert "did you mean" in str(error.value.hint)


@pytest.mark.parametrize("name", ["png", "jpeg", "tiff", "webp", "ppm", "gif", "avif"])
def test_pipes_in_and_out(tmp_path: Path, name: str) -> None:
    smooth = np.add.outer(np.arange(40), np.arange(30))[:, :, None] * np.array([1, 2, 3])
    a = save(tmp_path / "a.png", smooth.astype(np.uint8) // 2, "srgb")
    out = io.BytesIO()
    _, sink = run(a.read_bytes(), out, format=name)
    assert sink.facts()["format"] == name
    back = open_image(None, stdin=io.BytesIO(out.getvalue()), options=ImageOptions())
    page = back.pages[0]
    x = np.concatenate([page.decode(strip).x for strip in page.pieces()])[..., :3]
    assert back.details.format == name
    assert np.abs(x - load(a)).mean() < 12


def test_the_format_of_a_pipe_is_that_of_the_input(tmp_path: Path) -> None:
    a = save(tmp_path / "a.tif", noise(4, 4, 3, "u1"), "srgb")
    out = io.BytesIO()
    run(a, out)
    assert out.getvalue()[:2] in (b"II", b"MM")


def test_a_suffix_that_means_nothing(tmp_path: Path) -> None:
    a = save(tmp_path / "a.png", noise(4, 4, 3, "u1"), "srgb")
    with pytest.raises(RequestError, match=r"suffix '.foo'"):
        run(a, tmp_path / "b.foo")
    assert not (tmp_path / "b.foo").exists()


def test_the_name_gives_the_format_of_a_temporary_path(tmp_path: Path) -> None:
    a = save(tmp_path / "a.png", noise(4, 4, 3, "u1"), "srgb")
    image = open_image(a, options=ImageOptions())
    page = image.pages[0]
    with closed_or_discarded(
        ImageSink(tmp_path / "3", like=image, signals=[page.signal], name=tmp_path / "b.tif")
    ) as sink:
        for strip in page.pieces():
            sink.write(sink.encode(page.decode(strip).x, np.arange(4)))
    assert (tmp_path / "3").read_bytes()[:2] == b"II"


def test_sixteen_bits_become_eight_by_value_not_by_cutting(tmp_path: Path) -> None:
    a = save(tmp_path / "a.png", np.full((16, 16, 3), 255 * 128 + 128 + 255, np.uint16), "rgb16")
    _, sink = run(a, tmp_path / "b.webp", quality=100)
    assert "16-bit" in sink.warnings[0]
    save(tmp_path / "g.png", np.array([[[383], [65535], [32895]]], np.uint16), "grey16")
    _, sink = run(tmp_path / "g.png", tmp_path / "g.jpg", quality=100)
    assert sink.facts()["bits"] == 8
    values = np.array([383, 65535, 32895]) / 257
    assert np.abs(load(tmp_path / "g.jpg").ravel() - np.rint(values)).max() <= 1


def test_floats_become_sixteen_bits(tmp_path: Path) -> None:
    a = save(tmp_path / "a.tif", np.array([[[0.0], [0.5], [1.0], [1.5]]], np.float32), "b-w")
    _, sink = run(a, tmp_path / "b.png")
    assert load(tmp_path / "b.png").ravel().tolist() == [0, 32768, 65535, 65535]
    assert sink.facts()["clipped_above"] == {"grey": 1}
    assert any("floating" in text for text in sink.warnings)


def test_opacity_over_white_where_there_is_no_place_for_it(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 255, 128
    a = save(tmp_path / "a.png", pixels, "srgb")
    _, sink = run(a, tmp_path / "b.ppm")
    image = open_image(tmp_path / "b.ppm", options=ImageOptions())
    x = image.pages[0].decode(next(iter(image.pages[0].pieces()))).x
    assert x[0, 0].tolist() == [255, 127, 127]
    assert "over white" in sink.warnings[0]
    run(a, tmp_path / "b.jpg")
    assert np.abs(load(tmp_path / "b.jpg")[8, 8].astype(int) - [255, 127, 127]).max() < 4


@pytest.mark.parametrize(
    ("dtype", "channels", "meaning", "text"),
    [
        ("u1", 4, "cmyk", "cannot hold the colours C, M, Y, K"),
        ("f4", 3, "lab", "cannot hold the colours L, a, b"),
        ("u1", 7, "multiband", "7 channels"),
        ("i2", 1, "b-w", "no signed 16-bit"),
        ("u4", 1, "b-w", "no unsigned 32-bit"),
    ],
)
def test_what_a_format_cannot_hold(
    tmp_path: Path, dtype: str, channels: int, meaning: str, text: str
) -> None:
    a = save(tmp_path / "a.tif", noise(4, 4, channels, dtype), meaning)
    with pytest.raises(RequestError, match=text):
        run(a, tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


def test_jpeg_keeps_its_quality(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)[:, :, None]
    for quality in (10, 50, 75, 92, 100):
        a = save(tmp_path / "a.jpg", smooth, "b-w", options={"Q": quality})
        assert jpeg_quality(a.read_bytes()) == quality
        run(a, tmp_path / "b.jpg")
        assert jpeg_quality((tmp_path / "b.jpg").read_bytes()) == quality
    run(a, tmp_path / "c.jpg", quality=33)
    assert jpeg_quality((tmp_path / "c.jpg").read_bytes()) == 33


@pytest.mark.parametrize("pages", [1, 2])
@pytest.mark.parametrize("profile", [False, True])
def test_lossless_webp_stays_lossless(tmp_path: Path, pages: int, *, profile: bool) -> None:
    pixels = noise(16 * pages, 12, 3, "u1")
    fields: dict[str, Any] = {"icc_profile_data": PROFILE} if profile else {}
    if pages > 1:
        fields["page_height"] = 16
    a = save(tmp_path / "a.webp", pixels, "srgb", options={"lossless": True}, **fields)
    run(a, tmp_path / "b.webp")
    assert np.array_equal(load(tmp_path / "b.webp", n=-1), load(a, n=-1))
    run(a, tmp_path / "c.webp", quality=20)
    assert not np.array_equal(load(tmp_path / "c.webp", n=-1), load(a, n=-1))


@pytest.mark.parametrize("profile", [False, True])
def test_webp_keeps_its_quality(tmp_path: Path, *, profile: bool) -> None:
    # The quality was given to libwebp, which adapts its quantisers to the picture.
    cat = pyvips.Image.new_from_file(str(SAMPLES / "cat.png"))[:3].crop(100, 100, 128, 96).numpy()
    fields: dict[str, Any] = {"icc_profile_data": PROFILE} if profile else {}
    for pixels in (cat, noise(40, 50, 3, "u1")):
        for quality in (1, 10, 50, 75, 80, 90, 100):
            options = {"Q": quality}
            a = save(tmp_path / "a.webp", pixels, "srgb", options=options, **fields)
            image, _ = run(a, tmp_path / "b.webp")
            assert abs((image.details.quality or 0) - quality) <= 2
            sizes = [path.stat().st_size for path in (a, tmp_path / "b.webp")]
            assert 0.7 * sizes[0] < sizes[1] < 1.3 * sizes[0]


@given(st.binary(max_size=200))
def test_the_quality_of_nonsense(data: bytes) -> None:
    for head in (data, b"123\x9d\x01\x2a" + data):
        quality = frame_quality(head)
        assert quality is None or 1 <= quality <= 100
    details = ImageDetails(format="webp", loader="", pages=1, bits=8, interpretation="srgb")
    inspect_webp(io.BytesIO(b"RIFF\0\0\0\0WEBP" + data), details)


def test_fewer_channels_than_came(tmp_path: Path) -> None:
    a = save(tmp_path / "a.png", noise(4, 4, 3, "u1"), "srgb", icc_profile_data=PROFILE)

    def grey(signal: Signal) -> Signal:
        return Signal(medium=IMAGE, shape=signal.shape, channels=("magnitude",))

    run(a, tmp_path / "b.png", lambda x: x[..., :1], signal=grey)
    assert np.array_equal(load(tmp_path / "b.png"), load(a)[..., :1])
    assert not pyvips.Image.new_from_file(str(tmp_path / "b.png")).get_typeof("icc-profile-data")


# Pages.


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("suffix", ["tif", "webp", "gif"])
def test_every_page(tmp_path: Path, suffix: str) -> None:
    pixels = np.repeat(np.array([10, 90, 170, 250], np.uint8), 25)[:, None, None] + np.zeros(
        (100, 30, 3), np.uint8
    )
    options = {"lossless": True} if suffix == "webp" else {}
    a = save(tmp_path / f"a.{suffix}", pixels, "srgb", page_height=25, options=options)
    image, sink = run(a, tmp_path / f"b.{suffix}", lambda x: x)
    assert [page.signal.shape for page in image.pages] == [(25, 30)] * 4
    assert sink.facts()["pages"] == 4
    made = pyvips.Image.new_from_file(str(tmp_path / f"b.{suffix}"), n=-1)
    assert (made.get("n-pages"), made.height) == (4, 100)
    assert np.abs(made.numpy()[..., :3].astype(int) - pixels).max() <= 8
    page = image.pages[2]  # alone, and again
    for _ in range(2):
        first = next(iter(page.pieces())).pixels
        assert abs(int(first[0, 0, 0]) - 170) <= 8
    with pytest.raises(RequestError, match="png holds one picture, the input has 4 pages"):
        run(a, tmp_path / "b.png")


def test_animations_keep_their_times(tmp_path: Path) -> None:
    image = pyvips.Image.new_from_array(noise(30, 9, 3, "u1")).copy(interpretation="srgb")
    image.set_type(pyvips.GValue.gint_type, "page-height", 10)
    image.set_type(pyvips.GValue.array_int_type, "delay", [50, 120, 300])
    image.set_type(pyvips.GValue.gint_type, "loop", 3)
    image.write_to_file(str(tmp_path / "a.gif"))
    run(tmp_path / "a.gif", tmp_path / "b.gif")
    made = pyvips.Image.new_from_file(str(tmp_path / "b.gif"), n=-1)
    assert (made.get("delay"), made.get("loop")) == ([50, 120, 300], 3)


def two_sizes(path: Path) -> Path:
    """A TIFF of two pages that differ, put together by tifffile."""
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.full((5, 7), 9, np.uint8), photometric="minisblack")
        writer.write(np.full((8, 4), 99, np.uint8), photometric="minisblack")
    return path


def test_pages_of_different_sizes(tmp_path: Path) -> None:
    a = two_sizes(tmp_path / "a.tif")
    image, _ = run(a, tmp_path / "b.ppm")
    assert [page.signal.shape for page in image.pages] == [(5, 7), (8, 4)]
    back = open_image(tmp_path / "b.ppm", options=ImageOptions())
    assert [page.signal.shape for page in back.pages] == [(5, 7), (8, 4)]
    with pytest.raises(RequestError, match="page 1 is 7x5 grey uint8, page 2 4x8"):
        run(a, tmp_path / "b.webp")


def test_pages_of_different_channels_are_counted_by_name() -> None:
    data = b"P5 1 1 255\n\xff" + b"P6 1 1 255\n\xff\x00\xff"
    for rule in ("clip", "offset"):
        _, sink = run(data, io.BytesIO(), lambda x: x + 1, range=rule)
        assert sink.facts()["clipped_above"] == {"grey": 1, "R": 1, "G": 0, "B": 1}


# The netpbm family.


@pytest.mark.parametrize(("dtype", "channels"), [("u1", 1), ("u1", 3), ("u2", 1), ("u2", 3)])
@pytest.mark.usefixtures("small_strips")
def test_ppm_there_and_back(tmp_path: Path, dtype: str, channels: int) -> None:
    meaning = {"u11": "b-w", "u13": "srgb", "u21": "grey16", "u23": "rgb16"}[f"{dtype}{channels}"]
    a = save(tmp_path / "a.png", noise(33, 21, channels, dtype), meaning)
    run(a, tmp_path / "b.ppm")
    run(tmp_path / "b.ppm", tmp_path / "c.pam")
    run(tmp_path / "c.pam", tmp_path / "d.png")
    assert np.array_equal(load(a), load(tmp_path / "d.png"))


def test_pam_keeps_opacity(tmp_path: Path) -> None:
    a = save(tmp_path / "a.png", noise(3, 3, 4, "u2"), "rgb16")
    run(a, tmp_path / "b.pam")
    run(tmp_path / "b.pam", tmp_path / "c.png")
    assert np.array_equal(load(a), load(tmp_path / "c.png"))


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"P1\n# note\n3 2\n1 0 1\n010\n", [[0, 255, 0], [255, 0, 255]]),
        (b"P4 3 2\n" + bytes([0b10100000, 0b01000000]), [[0, 255, 0], [255, 0, 255]]),
        (b"P2 3 1 10\n0 5 # half\n10\n", [[0, 5, 10]]),
        (b"P5 3 1 # c\n255\n\x00\x07\xff", [[0, 7, 255]]),
        (b"P5\n2 1\n1023\n\x03\xff\x00\x00", [[1023, 0]]),
        (b"P5\n2 1\n1023\n\x04\x00\x00\x01", [[1023, 1]]),  # above white
        (b"P5 2 1 7\n\x07\x01", [[7, 1]]),
        (b"Pf\n1 2\n-1.0\n" + struct.pack("<2f", 1.5, 2.5), [[2.5], [1.5]]),
        (b"PF\n1 1\n1.0\n" + struct.pack(">3f", 1, 2, 3), [[[1, 2, 3]]]),
    ],
)
def test_netpbm_spellings(data: bytes, wanted: list[Any]) -> None:
    page = open_image(None, stdin=io.BytesIO(data), options=ImageOptions()).pages[0]
    x = page.decode(next(iter(page.pieces()))).x
    assert np.squeeze(x, -1).tolist() == wanted if x.shape[-1] == 1 else x.tolist() == wanted


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"P5 3 2 255\n\0\0\0", "promises 6 bytes of pixels, it has 3"),
        (b"P5 3 x 255\n", "expected a P5 header"),
        (b"P5 0 3 255\n", "0x3"),
        (b"P2 2 2 255\n1 2 3", "promises 4 samples, it has 3"),
        (b"P2 2 1 9\n1 12", "0 to 9, got 12"),
        (b"P2 2 1 9\n1 one", "whole numbers"),
        (b"P7\nWIDTH 3\n", "expected a P7 header"),
        (b"P6 3", "expected a P6 header"),
        (b"Pf 3 3 ", "expected a Pf header"),
    ],
)
def test_bad_netpbm(data: bytes, text: str) -> None:
    with pytest.raises(InputError, match=text):
        for strip in (
            open_image(None, stdin=io.BytesIO(data), options=ImageOptions()).pages[0].pieces()
        ):
            assert len(strip.pixels)


# What cannot be read.


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "gif", "webp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_cut_off_pictures_are_refused(
    tmp_path: Path, suffix: str, share: float, capfd: Any
) -> None:
    data = save(tmp_path / f"a.{suffix}", noise(200, 150, 3, "u1"), "srgb").read_bytes()
    (tmp_path / f"b.{suffix}").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError) as error:
        run(tmp_path / f"b.{suffix}", tmp_path / "out.png")
    assert f"b.{suffix}" in error.value.message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_damaged_pictures_are_refused(tmp_path: Path, suffix: str, capfd: Any) -> None:
    smooth = np.add.outer(np.arange(400), np.arange(300))[:, :, None] % 256 + np.zeros((1, 1, 3))
    data = bytearray(save(tmp_path / f"a.{suffix}", smooth.astype(np.uint8), "srgb").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 30] = bytes(byte ^ 0x5A for byte in data[middle : middle + 30])
    (tmp_path / f"b.{suffix}").write_bytes(data)
    with pytest.raises(InputError):
        run(tmp_path / f"b.{suffix}", tmp_path / "out.png")
    assert capfd.readouterr() == ("", "")


def test_a_jpeg_with_stray_bytes_is_read_with_a_warning(tmp_path: Path, capfd: Any) -> None:
    a = save(tmp_path / "a.jpg", noise(40, 30, 3, "u1"), "srgb")
    data = a.read_bytes()
    scan = data.index(b"\xff\xda")
    (tmp_path / "b.jpg").write_bytes(data[:scan] + b"stray" + data[scan:])
    image, _ = run(tmp_path / "b.jpg", tmp_path / "c.png")
    assert np.array_equal(load(tmp_path / "c.png"), load(a))
    assert any("extraneous bytes" in text for text in image.warnings)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "ppm"])
def test_a_full_disk(tmp_path: Path, suffix: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    a = save(tmp_path / "a.png", noise(300, 300, 3, "u1"), "srgb")
    with pytest.raises(OSError, match="No space left"):
        run(a, Path("/dev/full"), format=find_format(suffix).name)
    with (
        Path("/dev/full").open("wb", buffering=0) as stream,
        pytest.raises(OSError, match="No space left"),
    ):
        run(a, stream, format=find_format(suffix).name)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_through_the_door_of_the_outputs(tmp_path: Path, suffix: str) -> None:
    a = save(tmp_path / "a.png", noise(30, 30, 3, "u1"), "srgb", orientation=6)
    with atomic(tmp_path / f"b.{suffix}") as temporary:
        run(a, temporary, format=find_format(suffix).name)
    assert load(tmp_path / f"b.{suffix}").shape == (30, 30, 3)


def test_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture at all, though it is long enough to be sniffed at")
    (tmp_path / "empty.png").touch()
    for path, text in (
        (tmp_path / "a.png", "known format"),
        (tmp_path / "empty.png", "is empty"),
        (tmp_path / "none.png", "No such file"),
        (tmp_path, "directory"),
    ):
        with pytest.raises(InputError, match=text):
            open_image(path, options=ImageOptions())


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    head = image_png.SIGNATURE + image_png.make_chunk(
        b"IHDR", struct.pack(">IIBBBBB", 100_000, 90_000, 8, 2, 0, 0, 0)
    )
    (tmp_path / "a.png").write_bytes(
        head + image_png.make_chunk(b"IDAT", b"") + image_png.make_chunk(b"IEND", b"")
    )
    with pytest.raises(InputError, match=r"9000000000 pixels \(100000x90000\)") as error:
        open_image(tmp_path / "a.png", options=ImageOptions())
    assert "--max-pixels 9000000000" in str(error.value.hint)
    many = save(tmp_path / "m.gif", noise(40, 10, 3, "u1"), "srgb", page_height=10)
    with pytest.raises(InputError, match="400 pixels"):
        open_image(many, options=ImageOptions(), max_pixels=399)
    with pytest.raises(InputError, match="10000000000 pixels"):
        open_image(None, stdin=io.BytesIO(b"P5 100000 100000 255\n"), options=ImageOptions())


@pytest.mark.parametrize(
    "name", ["a[1].png", "b.png[page=2]", "c d.png", "[x].png", "-.png", "d\n.png"]
)
def test_names_are_names(tmp_path: Path, name: str) -> None:
    a = save(tmp_path / "a.png", noise(4, 4, 3, "u1"), "srgb")
    a.rename(tmp_path / name)
    image = open_image(tmp_path / name, options=ImageOptions())
    assert image.pages[0].signal.shape == (4, 4)
    assert np.array_equal(next(iter(image.pages[0].pieces())).pixels.shape, (4, 4, 3))


def test_a_pipe_too_large_to_hold_goes_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import convcli.media.images.source

    monkeypatch.setattr(convcli.media.images.source, "_MOST_HELD", 100)
    a = save(tmp_path / "a.png", noise(64, 64, 3, "u1"), "srgb")
    run(a.read_bytes(), tmp_path / "b.png")
    assert np.array_equal(load(a), load(tmp_path / "b.png"))


# PNG: chunks of our own in what libvips writes.


@given(st.integers(1, 60), st.data())
def test_chunks_are_inserted_however_the_bytes_come(parts: int, data: Any) -> None:
    pixels = noise(9, 7, 3, "u1")
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb")
    written = image.pngsave_buffer(keep=0)
    places = st.lists(st.integers(0, len(written)), max_size=parts)
    cuts = [0, *sorted(data.draw(places)), len(written)]
    own = image_png.make_chunk(b"tEXt", b"Author\0me IDAT")
    file = io.BytesIO()
    inserter = HeadInserter(file, own, image_png.png_cut)
    for start, stop in pairwise(cuts):
        assert inserter.write(written[start:stop]) == stop - start
    file.seek(0)
    assert list(image_png.read_chunks(file)) == [(b"tEXt", b"Author\0me IDAT")]
    read = pyvips.Image.new_from_buffer(file.getvalue(), "", fail_on="warning").numpy()
    assert np.array_equal(read, pixels)


def test_drawings_and_smooth_pictures_become_small_png_files(tmp_path: Path) -> None:
    pattern = np.tile(noise(8, 50, 3, "u1"), (40, 8, 1))
    photograph = noise(64, 64, 3, "u1")
    for pixels, share in ((pattern, 0.1), (photograph, 1.02)):
        a = save(tmp_path / "a.tif", pixels, "srgb", options={"keep": 0})
        run(a, tmp_path / "b.png")
        assert (tmp_path / "b.png").stat().st_size < pixels.nbytes * share + 200


def test_details_say_what_the_file_is(tmp_path: Path) -> None:
    a = text_png(tmp_path / "a.png", (b"tEXt", b"Author\0me"))
    details = open_image(a, options=ImageOptions()).details
    assert details.format == "png"
    assert details.bits == 8
    assert details.text == (("Author", "me"),)


def test_an_animated_png_says_that_one_picture_is_read(tmp_path: Path) -> None:
    a = text_png(tmp_path / "a.png", (b"acTL", struct.pack(">II", 2, 0)))
    assert "animated" in open_image(a, options=ImageOptions()).warnings[0]


def test_an_unfinished_page_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    image = open_image(
        save(tmp_path / "a.png", noise(4, 4, 1, "u1"), "b-w"), options=ImageOptions()
    )
    sink = ImageSink(tmp_path / "b.png", like=image, signals=[image.pages[0].signal])
    with pytest.raises(ValueError, match="4 rows, 0 were written"):
        sink.close()
    sink.discard()


def test_the_import_waits_for_a_picture() -> None:
    import subprocess
    import sys

    program = (
        "import sys, convcli.media.images.source, convcli.media.images.sink; "
        "print('pyvips' in sys.modules)"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout
        == "False\n"
    )
