"""TIFF directories and the feed through which libvips gets pixels; memory; rounding in one pass."""

from __future__ import annotations

import io
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageSequence, TiffImagePlugin
from program import peak_memory, tells_memory

import convcli
from convcli.errors import InputError, OutputError
from convcli.media.files import closed_or_discarded
from convcli.media.images import layout as image_layout
from convcli.media.images import levels, tiff
from convcli.media.images import vips_writer as image_feed
from convcli.media.images.details import ImageDetails
from convcli.media.images.formats import FORMATS
from convcli.media.images.layout import Layout
from convcli.media.images.picture_format import WriteRequest
from convcli.media.images.sink import ImageSink
from convcli.media.images.source import ImageOptions, open_image
from convcli.media.images.tiff import TiffVariant, build_directory, shorts_field
from convcli.media.images.vips_reader import VipsPicture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from program import Program

RNG = np.random.default_rng(3)
PROFILE = pyvips.Operation.call("profile_load", "p3")


def noise(rows: int, columns: int, channels: int, dtype: str) -> Any:
    if dtype.startswith("f"):
        return RNG.normal(size=(rows, columns, channels)).astype(dtype)
    limits = np.iinfo(dtype)
    return RNG.integers(
        limits.min, limits.max, (rows, columns, channels), dtype=dtype, endpoint=True
    )


def load(path: Path, **options: Any) -> Any:
    pixels = pyvips.Image.new_from_file(str(path), **options).numpy()
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def copy(source: Path, target: Path) -> None:
    """Through source and sink, nothing in between."""
    image = open_image(source, options=ImageOptions())
    with closed_or_discarded(
        ImageSink(target, like=image, signals=[page.signal for page in image.pages])
    ) as sink:
        for number, page in enumerate(image.pages):
            if number:
                sink.next_page()
            row = 0
            for strip in page.pieces():
                y = page.decode(strip).x
                sink.write(sink.encode(y, np.arange(row, row + len(y))))
                row += len(y)


def directories(path: Path) -> list[dict[int, tiff.TiffField]]:
    """The fields of every page of a TIFF of libvips, low byte first."""
    data = bytearray(path.read_bytes())
    big = data[2] == 43
    word, counter, entry, header = ("<Q", "<Q", 20, 8) if big else ("<I", "<H", 12, 4)
    found = []
    while offset := struct.unpack_from(word, data, header)[0]:
        found.append(tiff.read_directory(io.BytesIO(data)))
        count = struct.unpack_from(counter, data, offset)[0]
        link = offset + struct.calcsize(counter) + entry * count
        # The next page becomes the first.
        data[header : header + struct.calcsize(word)] = data[link : link + struct.calcsize(word)]
    return found


def numbers(field: tiff.TiffField) -> tuple[int, ...]:
    code = {3: "H", 4: "I", 16: "Q"}[field.kind]
    return struct.unpack(f"<{field.count}{code}", field.data)


def ratio(field: tiff.TiffField) -> float:
    above, below = struct.unpack("<II", field.data)
    return float(above / below)


KINDS = [
    ("u1", 1, "b-w"),
    ("u1", 2, "b-w"),
    ("u1", 3, "srgb"),
    ("u1", 4, "srgb"),
    ("u1", 4, "cmyk"),
    ("u1", 6, "cmyk"),
    ("u2", 3, "rgb16"),
    ("u2", 2, "grey16"),
    ("i1", 1, "b-w"),
    ("u4", 2, "b-w"),
    ("f4", 3, "scrgb"),
    ("f4", 3, "lab"),
    ("u1", 7, "multiband"),
]


@pytest.mark.parametrize("unit", [None, "in", "cm"])
@pytest.mark.parametrize("pages", [1, 3])
@pytest.mark.parametrize(("dtype", "channels", "meaning"), KINDS)
def test_every_field_of_a_tiff_is_kept(  # noqa: PLR0917
    tmp_path: Path,
    dtype: str,
    channels: int,
    meaning: str,
    pages: int,
    unit: str | None,
) -> None:
    image = pyvips.Image.new_from_array(noise(300, 12, channels, dtype)).copy(
        interpretation=meaning, xres=7, yres=5
    )
    values = pyvips.GValue
    if meaning in ("srgb", "rgb16"):
        image.set_type(values.blob_type, "icc-profile-data", PROFILE)
    image.set_type(values.blob_type, "xmp-data", b"<x:xmpmeta/>")
    image.set_type(values.gstr_type, "image-description", "what it is")
    if pages > 1:
        image.set_type(values.gint_type, "page-height", 100)
    a, b = tmp_path / "a.tif", tmp_path / "b.tif"
    image.tiffsave(str(a), **({"resunit": {"in": "inch", "cm": "cm"}[unit]} if unit else {}))
    with a.open("r+b") as file:  # an author, which libvips does not know
        block = (
            b"II*\0"
            + struct.pack("<I", 8)
            + struct.pack("<HHHIII", 1, 315, 2, 5, 26, 0)
            + b"Jane\0"
        )
        tiff.change_pages(file, [tiff.PageChange(tiff.described_fields(block, None))])
    copy(a, b)
    ours, theirs = directories(b), directories(a)
    assert len(ours) == len(theirs) == pages
    for one, two in zip(ours, theirs, strict=True):
        assert set(one) == set(two)
        assert numbers(one[279]) == numbers(two[279])
        for tag in (282, 283):  # the resolution, which libtiff turns into other fractions each time
            assert ratio(one[tag]) == pytest.approx(ratio(two[tag]), rel=1e-4)
        apart = (273, 279, 282, 283)
        assert {tag: one[tag] for tag in one if tag not in apart} == {
            tag: two[tag] for tag in two if tag not in apart
        }
    assert ours[0][315].data == b"Jane\0"
    assert np.array_equal(load(a, n=-1), load(b, n=-1))


def test_offsets_of_64_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = tmp_path / "a.tif", tmp_path / "b.tif"
    image = pyvips.Image.new_from_array(noise(300, 5, 3, "u1")).copy(interpretation="srgb")
    image.set_type(pyvips.GValue.gint_type, "page-height", 150)
    image.tiffsave(str(a))
    monkeypatch.setattr(tiff, "_LARGEST_CLASSIC", 4000)
    copy(a, b)
    assert b.read_bytes().startswith(b"II+\0\x08\0\0\0")
    assert np.array_equal(load(a, n=-1), load(b, n=-1))
    assert [numbers(page[297]) for page in directories(b)] == [(0, 2), (1, 2)]


@pytest.mark.parametrize(("rows", "big"), [(70_000, True), (40_000, False)])
def test_four_gigabytes_and_more(rows: int, *, big: bool) -> None:
    """The options of a file that nobody writes here."""
    layout = Layout(
        rows=rows,
        columns=30_000,
        dtype=np.dtype("u1"),
        interpretation="srgb",
        channels=("R", "G", "B"),
        alpha=None,
    )
    details = ImageDetails(format="png", loader="", pages=1, bits=8, interpretation="srgb")
    request = WriteRequest(
        format=FORMATS["tiff"],
        layouts=[layout],
        details=details,
        quality=None,
        same_geometry=True,
        same_colours=True,
    )
    assert tiff.tiff_options(request)["bigtiff"] is big


def test_a_feed_of_four_gigabytes_and_more() -> None:
    header = image_feed.tiff_header(70_000, 30_000, 3)
    fields = tiff.read_directory(io.BytesIO(header))
    assert header.startswith(b"II+\0")
    assert (fields[256].value, fields[257].value) == (30_000, 70_000)
    assert sum(numbers(fields[279])) == 70_000 * 30_000 * 3
    assert numbers(fields[273])[0] == len(header)
    assert numbers(fields[273])[-1] + numbers(fields[279])[-1] == len(header) + 70_000 * 30_000 * 3


# Reading.


def scattered(path: Path, pixels: Any, order: str, strip: int, *, big: bool = False) -> Path:
    """A TIFF of whole numbers whose strips stand in the reverse order, 3 bytes between them."""
    rows, columns, channels = pixels.shape
    variant = tiff.TiffVariant(order, big=big)
    bits = 8 * pixels.dtype.itemsize
    parts = [
        pixels[row : row + strip].astype(pixels.dtype.newbyteorder(order)).tobytes()
        for row in range(0, rows, strip)
    ]
    offsets, body, place = [], b"", 4096
    for part in reversed(parts):
        offsets.append(place + len(body))
        body += part + b"\xff" * 3

    def short(*values: int) -> tiff.TiffField:
        return tiff.TiffField(3, len(values), struct.pack(f"<{len(values)}H", *values))

    def long(*values: int) -> tiff.TiffField:
        return tiff.TiffField(4, len(values), struct.pack(f"<{len(values)}I", *values))

    fields = {
        256: short(columns),
        257: short(rows),
        258: short(*(bits,) * channels),
        259: short(1),
        262: short(2 if channels >= 3 else 1),
        273: long(*offsets[::-1]),
        277: short(channels),
        278: short(strip),
        279: long(*(len(part) for part in parts)),
        284: short(1),
    }
    head = {"<": b"II", ">": b"MM"}[order] + (
        struct.pack(order + "HHHQ", 43, 8, 0, 16)
        if big
        else struct.pack(order + "HI", 42, 16) + bytes(8)
    )
    path.write_bytes(
        (head + tiff.build_directory(fields, variant, place=16, link=0)).ljust(place, b"\0") + body
    )
    return path


def reader_of(path: Path) -> Any:
    return open_image(path, options=ImageOptions()).reader()


def strips(reader: Any, page: int = 0) -> Any:
    return np.concatenate([strip.pixels for strip in reader.strips(page)])


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("strip", [1, 7, 16, 50])
@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), (">", True)])
def test_strips_wherever_they_stand(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    order: str,
    strip: int,
    dtype: str,
    *,
    big: bool,
) -> None:
    monkeypatch.setattr(image_layout, "STRIP_BYTES", 1000)
    monkeypatch.setattr(image_layout, "STRIP_ROWS", 1)
    pixels = noise(50, 20, 3, dtype)
    a = scattered(tmp_path / "a.tif", pixels, order, strip, big=big)
    assert np.array_equal(load(a), pixels)
    reader = reader_of(a)
    assert np.array_equal(strips(reader), pixels)
    assert np.array_equal(strips(reader), pixels)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzw"},
        {"compression": "deflate"},
        {"tile": True, "tile_width": 16, "tile_height": 16},
        {"miniswhite": True},
        {"bitdepth": 1},
    ],
    ids=lambda options: next(iter(options)),
)
def test_samples_however_they_are_stored(tmp_path: Path, options: dict[str, Any]) -> None:
    pixels = noise(40, 30, 1, "u1")
    a = tmp_path / "a.tif"
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="b-w")
    image.tiffsave(str(a), **options)
    assert np.array_equal(strips(reader_of(a)), load(a))


@pytest.mark.parametrize(
    ("bits", "order", "options", "is_plain"),
    [
        (8, "<", {}, True),
        (8, ">", {}, True),
        (16, "<", {}, True),
        (16, ">", {}, False),
        (8, "<", {"compression": "deflate"}, False),
        (8, "<", {"tile": True, "tile_width": 16, "tile_height": 16}, False),
        (8, "<", {"photometric": 0}, False),
        (8, "<", {"orientation": 2}, False),
        (8, "<", {"cut": 1}, False),
        (8, "<", {"gap": 2}, False),
    ],
)
def test_pixels_that_need_no_decoder(
    tmp_path: Path, bits: int, order: str, options: dict[str, Any], *, is_plain: bool
) -> None:
    """Uncompressed samples are read as they lie in the file, all others by libvips; to the same values."""
    path = tmp_path / "a.tif"
    pixels = noise(40, 24, 1, f"u{bits // 8}")
    saved = {name: value for name, value in options.items() if name.startswith(("comp", "tile"))}
    if saved:
        pyvips.Image.new_from_array(pixels).write_to_file(str(path), **saved)
    else:
        path.write_bytes(plain_tiff(pixels, order, **options))
    reader = VipsPicture(path, "a.tif", max_pixels=10_000)
    assert (0 in reader.plain_pixels) == is_plain
    if "cut" in options:
        return
    found = np.concatenate([strip.pixels for strip in reader.reader().strips(0)])
    upright = pyvips.Image.new_from_file(str(path)).autorot().numpy()
    np.testing.assert_array_equal(found, upright.reshape(found.shape))


def plain_tiff(
    pixels: Any,
    order: str,
    *,
    photometric: int = 1,
    orientation: int = 1,
    cut: int = 0,
    gap: int = 0,
) -> bytes:
    """A grey TIFF of two strips (TIFF 6.0, section 3), with bytes between them or without its last ones."""
    rows, columns = pixels.shape[:2]
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    half = len(data) // 2
    values = {256: columns, 257: rows, 258: 8 * pixels.itemsize, 259: 1, 262: photometric, 274: orientation,
              277: 1, 278: rows // 2}  # fmt: skip
    start = 8 + 2 + 12 * (len(values) + 2) + 4
    strips = {273: (start + 16, start + 16 + half + gap), 279: (half, half)}
    entries = {
        tag: struct.pack(order + "HHIHH", tag, 3, 1, value, 0) for tag, value in values.items()
    }
    for place, tag in zip((start, start + 8), strips, strict=True):
        entries[tag] = struct.pack(order + "HHII", tag, 4, 2, place)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, len(entries))
    directory = b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    numbers = b"".join(struct.pack(order + "II", *pair) for pair in strips.values())
    file: bytes = head + directory + numbers + data[:half] + bytes(gap) + data[half:]
    return file[: len(file) - cut]


def test_a_tiff_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    a = scattered(tmp_path / "a.tif", noise(50, 20, 3, "u1"), "<", 10)
    a.write_bytes(a.read_bytes()[:-4])
    with pytest.raises(InputError, match=r"a\.tif"):
        strips(reader_of(a))


# libvips in a thread of its own.


@pytest.mark.parametrize("channels", [1, 2, 3, 7])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
def test_every_type_gets_through_to_libvips(tmp_path: Path, dtype: str, channels: int) -> None:
    """libvips reads no TIFF of float64, but its own format holds it."""
    pixels = noise(150, 7, channels, dtype)
    pyvips.Image.new_from_array(pixels).copy(interpretation="multiband").write_to_file(
        str(tmp_path / "a.v")
    )
    copy(tmp_path / "a.v", tmp_path / "b.v")
    assert np.array_equal(load(tmp_path / "b.v"), pixels)
    assert load(tmp_path / "b.v").dtype == pixels.dtype


def test_feed_gives_what_was_asked_for() -> None:
    feed = image_feed.PixelFeed(b"head", 10)
    assert feed.read(2) == b"he"
    assert feed.seek(0, 2) == 14
    assert feed.seek(0, 0) == 0

    def write() -> None:
        for part in (b"01234", b"567", b"89"):
            feed.write(part)
        feed.end()

    writing = threading.Thread(target=write)
    writing.start()
    assert feed.read(6) == b"head01"
    assert feed.seek(1, 1) == 7
    assert feed.read(4) == b"3456"
    assert feed.seek(0, 0) == 0
    assert feed.read(4) == b"head"
    assert feed.read(1) == b""  # passed, and not kept
    assert feed.seek(11, 0) == 11
    assert feed.read(100) == b"789"
    assert feed.read(1) == b""
    writing.join()


def test_feed_that_nobody_reads_takes_everything() -> None:
    feed = image_feed.PixelFeed(b"", 1 << 40)
    feed.close()
    for _ in range(100):
        feed.write(bytes(1_000_000))
    feed.end()
    assert feed.read(1) == b""


@pytest.fixture
def narrow_feed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(image_feed, "_MOST_WAITING", 1000)
    monkeypatch.setattr(image_feed, "_IN_MEMORY", 1000)
    monkeypatch.setattr(image_layout, "STRIP_BYTES", 5000)
    monkeypatch.setattr(image_layout, "STRIP_ROWS", 1)
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "picture writer"]


@pytest.mark.usefixtures("narrow_feed")
@pytest.mark.parametrize("suffix", ["jpg", "webp", "tif", "gif"])
def test_given_up_half_way(tmp_path: Path, suffix: str) -> None:
    a = tmp_path / "a.tif"
    pyvips.Image.new_from_array(noise(300, 200, 3, "u1")).copy(interpretation="srgb").tiffsave(
        str(a), compression="lzw"
    )
    image = open_image(a, options=ImageOptions())
    page = image.pages[0]
    sink = ImageSink(tmp_path / f"b.{suffix}", like=image, signals=[page.signal])
    for number, strip in enumerate(page.pieces()):
        if number == 5:
            break
        y = page.decode(strip).x
        sink.write(sink.encode(y, np.arange(number, number + len(y))))
    sink.discard()
    sink.discard()
    assert not [thread for thread in threading.enumerate() if thread.name == "picture writer"]


@pytest.mark.usefixtures("narrow_feed")
def test_a_device_that_is_full(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    a = tmp_path / "a.png"
    pyvips.Image.new_from_array(noise(300, 200, 3, "u1")).copy(interpretation="srgb").pngsave(
        str(a)
    )
    image = open_image(a, options=ImageOptions())
    page = image.pages[0]
    with (
        pytest.raises((OSError, OutputError)),
        closed_or_discarded(
            ImageSink(Path("/dev/full"), like=image, signals=[page.signal], format="jpeg")
        ) as sink,
    ):
        row = 0
        for strip in page.pieces():
            y = page.decode(strip).x
            sink.write(sink.encode(y, np.arange(row, row + len(y))))
            row += len(y)


# float32 is used only where hardly anybody can tell.

RULED = [
    "gaussian:3",
    "gaussian:50",
    "sharpen:1",
    "lowpass:0.1",
    "box:5",
    "avg_pool:3",
    "downsample:2",
    "resize:37%",
    "resize:50%",
    "motion:31,20",
    "disk:6",
    "sobel:magnitude",
    "laplacian_of_gaussian:2",
]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("steps", RULED)
def test_at_most_one_sample_in_10000_differs_from_float64(
    tmp_path: Path, program: Program, steps: str, bits: int
) -> None:
    """Whole numbers are the rounded float64 answer, or seldom 1 off."""
    pixels = noise(420, 400, 3, f"u{bits // 8}")
    a, b = tmp_path / "a.tif", tmp_path / "b.tif"
    pyvips.Image.new_from_array(pixels).copy(
        interpretation="srgb" if bits == 8 else "rgb16"
    ).tiffsave(str(a))
    assert program.run("image", "-q", steps, "a.tif", "-o", "b.tif", cwd=tmp_path).code == 0
    wanted = np.stack(
        [
            convcli.apply(steps, pixels[..., c].astype(np.float64), axes=2, edge="edge")
            for c in range(3)
        ],
        2,
    )
    wanted = np.clip(np.rint(wanted), 0, 2**bits - 1).astype(np.int64)
    off = np.abs(load(b).astype(np.int64) - wanted)
    assert off.max() <= 1
    assert np.count_nonzero(off) <= off.size / 10_000


# Rounding in one pass says the same as rounding step by step.


@pytest.mark.parametrize("channels", [1, 3, 4, 7])
@pytest.mark.parametrize(
    ("dtype", "floating"), [("u1", "f4"), ("u1", "f8"), ("u2", "f4"), ("u2", "f8")]
)
def test_large_strips_are_rounded_and_counted_like_small_ones(
    monkeypatch: pytest.MonkeyPatch, dtype: str, floating: str, channels: int
) -> None:
    held = levels.Levels(np.dtype(dtype))
    values = (RNG.integers(-3, int(held.high) * 4, (60, 50, channels)) / 2 - held.high / 2).astype(
        floating
    )
    values[0, :4, 0] = held.high + 0.5, held.high + 0.49, -0.5, -0.51
    inner = np.clip(values, -0.5, held.high + 0.25)
    cases = [values, values[3:-3, 5:-5], inner, np.clip(values, 1, held.high - 1)]
    cases += [
        np.where(values == values.max(), odd, values) for odd in (1e12, -1e12, np.inf, -np.inf)
    ]
    for case in cases:
        monkeypatch.setattr(levels, "_MANY", 1 << 40)
        small = levels.quantise(case, held, row=0)
        monkeypatch.setattr(levels, "_MANY", 0)
        large = levels.quantise(case, held, row=0)
        for one, two in zip(small, large, strict=True):
            assert one.dtype == two.dtype
            assert np.array_equal(one, two)
    values[7, 7, 0] = np.nan
    with pytest.raises(InputError, match="x 7, y 107"):
        levels.quantise(values, held, row=100)


# Memory.


def peak(folder: Path, rows: int, suffix: str) -> float:
    """Peak memory in MB of a run on a black picture of 2000 columns."""
    black = pyvips.Image.black(2000, rows, bands=3).copy(interpretation="srgb")
    black.tiffsave(str(folder / "a.tif"))
    words = ["image", "-q", "box:3", "a.tif", "--threads", "2", "--force", "-o", f"b{suffix}"]
    megabytes = peak_memory(*words, cwd=folder)[1]
    (folder / f"b{suffix}").unlink()
    return megabytes


@tells_memory
@pytest.mark.parametrize("suffix", [".tif", ".jpg", ".png"])
def test_memory_does_not_grow_with_the_picture(tmp_path: Path, suffix: str) -> None:
    assert peak(tmp_path, 10_000, suffix) < peak(tmp_path, 2_500, suffix) + 40


def bare_tiff(
    path: Path,
    bits: int,
    *,
    photometric: int = 1,
    bands: int = 1,
    kind: int = 1,
    compression: int = 1,
) -> Path:
    """A TIFF of 4 x 3 pixels, all 0, whose tags are as given."""
    fields = {
        256: shorts_field(4),
        257: shorts_field(3),
        258: shorts_field(*[bits] * bands),
        259: shorts_field(compression),
        262: shorts_field(photometric),
        273: shorts_field(8),
        277: shorts_field(bands),
        278: shorts_field(3),
        279: shorts_field(2 * bits * bands),
        339: shorts_field(*[kind] * bands),
    }
    variant = TiffVariant("<", big=False)
    pixels = bytes(2 * bits * bands)
    place = 8 + len(pixels)
    directory = build_directory(fields, variant, place=place, link=0)
    path.write_bytes(variant.header(place) + pixels + directory)
    return path


@pytest.mark.parametrize(
    ("tags", "text", "hint"),
    [
        ({"bits": 64, "kind": 6}, "complex samples", "32-bit"),
        ({"bits": 64}, "64-bit samples", "32-bit"),
        ({"bits": 12}, "12-bit samples", "16-bit"),
        ({"bits": 24}, "24-bit samples", "32-bit"),
        ({"bits": 8, "photometric": 8, "bands": 3}, "CIELAB", "RGB"),
    ],
)
def test_kinds_of_tiff_that_are_not_read(
    tmp_path: Path, tags: dict[str, int], text: str, hint: str
) -> None:
    path = bare_tiff(tmp_path / "a.tif", **tags)
    with pytest.raises(InputError, match=text) as told:
        open_image(path, options=ImageOptions())
    assert hint in (told.value.hint or "")
    assert "damaged" not in str(told.value) + (told.value.hint or "")
    with pytest.raises(InputError, match=text):
        open_image(None, stdin=io.BytesIO(path.read_bytes()), options=ImageOptions())


@pytest.mark.parametrize(
    ("compression", "name"),
    [(34933, "PNG"), (34661, "JBIG"), (6, "JPEG in its old form"), (12345, "method 12345 of TIFF")],
)
def test_compressions_that_are_not_read_are_no_damage(
    compression: int, name: str, program: Program, tmp_path: Path
) -> None:
    bare_tiff(tmp_path / "a.tif", 8, compression=compression)
    ended = program.run("image", "box:3", "a.tif", "-o", "b.tif", cwd=tmp_path)
    assert ended.code == 3, ended
    assert f"a.tif has pixels compressed by {name}, which are not read" in ended.errors[0]
    assert "LZW or Deflate" in ended.err
    assert not (tmp_path / "b.tif").exists()


def test_a_tiff_that_is_read_is_not_refused_for_its_tags(tmp_path: Path) -> None:
    for bits in (1, 2, 4, 8, 16, 32):
        page = open_image(bare_tiff(tmp_path / "a.tif", bits), options=ImageOptions()).pages[0]
        assert next(iter(page.pieces())).pixels.shape == (3, 4, 1)


@pytest.mark.parametrize("pages", [1, 3])
def test_floating_samples_of_64_bits(program: Program, tmp_path: Path, pages: int) -> None:
    """They are read and written as they are; libvips writes them and does not read them."""
    tifffile = pytest.importorskip("tifffile")
    pixels = RNG.normal(size=(pages, 40, 30, 3)) * 1e200
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    ended = program.run("image", "gain:0.5", "a.tif", "-o", "b.tif", cwd=tmp_path)
    assert (ended.code, ended.warnings) == (0, [])
    made = tifffile.imread(tmp_path / "b.tif")
    assert made.dtype == np.float64
    assert np.array_equal(made.squeeze(), (pixels / 2).squeeze())


@pytest.mark.parametrize("chosen", ["rgb", "luma", "alpha"])
def test_some_channels_of_floating_samples_of_64_bits(
    program: Program, tmp_path: Path, chosen: str
) -> None:
    """The channels that are not filtered stay as they are."""
    tifffile = pytest.importorskip("tifffile")
    pixels = RNG.random((40, 30, 4))
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"], metadata=None
    )
    words = ["image", "gain:0.5", "a.tif", "-o", "b.tif", "--channels", chosen]
    ended = program.run(*words, cwd=tmp_path)
    assert ended.code == 0, ended
    wanted = pixels.copy()
    luma = pixels[..., :3] @ [0.2126, 0.7152, 0.0722]
    if chosen == "luma":
        wanted[..., :3] -= luma[..., None] / 2
    else:
        wanted[..., slice(3) if chosen == "rgb" else 3] /= 2
    np.testing.assert_allclose(tifffile.imread(tmp_path / "b.tif"), wanted, atol=1e-12)


@pytest.mark.parametrize("pages", [1, 2])
@pytest.mark.parametrize(("bands", "meaning"), [(2, "minisblack"), (3, "rgb"), (4, "rgb")])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib", "rowsperstrip": 7},
        {"bigtiff": True, "rowsperstrip": 5},
        {"byteorder": ">"},
    ],
)
def test_floating_samples_of_16_bits_in_planes(
    tmp_path: Path, options: dict[str, Any], bands: int, meaning: str, pages: int
) -> None:
    """libvips mixes up the rows of such planes."""
    tifffile = pytest.importorskip("tifffile")
    pixels = RNG.random((pages, 33, 21, bands)).astype(np.float16)
    of_file = {name: options[name] for name in ("bigtiff", "byteorder") if name in options}
    of_page = {name: value for name, value in options.items() if name not in of_file}
    of_page |= {"photometric": meaning, "planarconfig": "separate", "metadata": None}
    with tifffile.TiffWriter(tmp_path / "a.tif", **of_file) as writer:
        for page in pixels:
            writer.write(np.moveaxis(page, 2, 0), **of_page)
    found = open_image(tmp_path / "a.tif", options=ImageOptions())
    for page, wanted in zip(found.pages, pixels, strict=True):
        strips = [strip.pixels for strip in page.pieces()]
        assert strips[0].dtype == np.float32
        assert np.array_equal(np.concatenate(strips), wanted)


@pytest.mark.parametrize("pages", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib"},
        {"compression": "zlib", "bigtiff": True, "rowsperstrip": 7},
        {"tile": (16, 32)},
        {"tile": (32, 16), "compression": "zlib", "byteorder": ">"},
        {"byteorder": ">"},
    ],
)
def test_wide_samples_that_are_decoded_as_bytes(
    program: Program, tmp_path: Path, options: dict[str, Any], pages: int
) -> None:
    tifffile = pytest.importorskip("tifffile")
    pixels = RNG.normal(size=(pages, 75, 50))
    of_file = {name: options[name] for name in ("bigtiff", "byteorder") if name in options}
    of_page = {name: value for name, value in options.items() if name not in of_file}
    with tifffile.TiffWriter(tmp_path / "a.tif", **of_file) as writer:
        for page in pixels:
            writer.write(page, metadata=None, **of_page)
    found = open_image(tmp_path / "a.tif", options=ImageOptions())
    for page, wanted in zip(found.pages, pixels, strict=True):
        strips = [strip.pixels for strip in page.pieces()]
        assert np.array_equal(np.concatenate(strips)[:, :, 0], wanted)
    assert program.run("image", "gain:1", "a.tif", "-o", "b.tif", cwd=tmp_path).code == 0
    with tifffile.TiffFile(tmp_path / "b.tif") as made:
        written = [page.asarray() for page in made.pages]
    assert np.array_equal(written, pixels)
    # The output is read again.
    assert program.run("image", "gain:1", "b.tif", "-o", "c.tif", cwd=tmp_path).code == 0


@pytest.mark.parametrize("options", [{"compression": "deflate"}, {"tile": True}, {"bigtiff": True}])
def test_compressed_floating_samples_of_64_bits(
    program: Program, tmp_path: Path, options: dict[str, Any]
) -> None:
    pixels = RNG.normal(size=(300, 200, 3))
    pyvips.Image.new_from_array(pixels).tiffsave(str(tmp_path / "a.tif"), **options)
    ended = program.run("image", "gain:1", "a.tif", "-o", "b.tif", cwd=tmp_path)
    if "bigtiff" in options:
        assert ended.code == 0
        return
    assert ended.code == 3
    assert "64-bit floating samples" in ended.err
    assert "uncompressed" in ended.err


@pytest.mark.parametrize(("stored", "said"), [("jpeg", True), ("deflate", False), ("none", False)])
def test_a_compression_that_is_not_kept_is_told(
    program: Program, tmp_path: Path, stored: str, *, said: bool
) -> None:
    source = tmp_path / "a.tif"
    pyvips.Image.new_from_array(noise(40, 30, 3, "u1")).tiffsave(str(source), compression=stored)
    done = program.run("image", "kernel:1", source, "-o", "b.tif", cwd=tmp_path)
    assert any("was compressed by JPEG" in line for line in done.warnings) == said
    np.testing.assert_array_equal(load(tmp_path / "b.tif"), load(source))
    done = program.run("image", "kernel:1", source, "-o", "b.png", cwd=tmp_path)
    assert done.warnings == []


def test_tiles_in_planes_are_no_damage(program: Program, tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    planes = noise(3, 32, 32, "u1")
    tifffile.imwrite(
        tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate", tile=(16, 16)
    )
    refused = program.run("image", "box:3", "a.tif", "-o", "b.tif", cwd=tmp_path)
    assert refused.code == 3
    assert "tiles with bands in separate planes" in refused.err
    assert "damaged" not in refused.err


def test_a_resolution_beyond_that_of_libvips(program: Program, tmp_path: Path) -> None:
    """At most a million pixels are in a millimetre; libvips would print that it expects fewer."""
    picture = pyvips.Image.new_from_array(np.full((3, 4), 9, np.uint8)).copy(xres=5.0, yres=7.0)
    data = bytearray(picture.write_to_buffer(".tif"))
    # The rational numbers of the tags 282 and 283, in pixels per inch.
    first = struct.unpack_from("<I", data, 4)[0]
    for place in range(first + 2, first + 2 + 12 * data[first], 12):
        if struct.unpack_from("<H", data, place)[0] in {282, 283}:
            (at,) = struct.unpack_from("<I", data, place + 8)
            data[at : at + 8] = struct.pack("<II", 2**32 - 1, 1)
    (tmp_path / "in.tif").write_bytes(data)
    ended = program.run("image", "-q", "gain:0.5", "in.tif", "-o", "o.tif", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")


# What pages say of themselves

MAP = {33550: (1.0, 1.0, 0.0), 33922: (0.0, 0.0, 0.0, 100.0, 200.0, 0.0), 42113: "-9999"}


def mapped(path: Path, **options: Any) -> Path:
    """A TIFF with the tags of a map, a note of GDAL and a private tag, by tifffile."""
    tifffile = pytest.importorskip("tifffile")
    extra = [
        (33550, "d", 3, MAP[33550], True),
        (33922, "d", 6, MAP[33922], True),
        (42113, "s", 0, MAP[42113], True),
        (65000, "s", 0, "private", True),
    ]
    tifffile.imwrite(
        path, noise(20, 30, 1, "u1")[..., 0], extratags=extra, metadata=None, **options
    )
    return path


def tags_of(path: Path, page: int = 0) -> dict[int, Any]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        tags: Any = file.pages[page].aspage().tags
        return {tag.code: tag.value for tag in tags}


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}])
def test_a_picture_stays_where_it_is_on_the_map(
    program: Program, tmp_path: Path, options: dict[str, Any]
) -> None:
    mapped(tmp_path / "a.tif", **options)
    ended = program.run("image", "gaussian:1", "a.tif", "-o", "b.tif", cwd=tmp_path)
    (told,) = ended.warnings
    assert "tags of the TIFF that are not kept: 65000" in told
    found = tags_of(tmp_path / "b.tif")
    assert {tag: found.get(tag) for tag in MAP} == MAP
    ended = program.run("image", "downsample:2", "a.tif", "-o", "c.tif", cwd=tmp_path)
    assert "33550 (ModelPixelScale), 33922 (ModelTiepoint), 65000" in ended.warnings[0]
    found = tags_of(tmp_path / "c.tif")
    assert {tag: found.get(tag) for tag in MAP} == {33550: None, 33922: None, 42113: "-9999"}
    ended = program.run("image", "gaussian:1", "a.tif", "-o", "d.png", cwd=tmp_path)
    assert "33550 (ModelPixelScale), 33922 (ModelTiepoint), 42113, 65000" in ended.warnings[0]


# Samples that stand for missing ones


def with_nodata(path: Path, pixels: Any, note: str, **options: Any) -> None:
    """A TIFF whose tag of GDAL names the sample that stands for a missing one."""
    tifffile = pytest.importorskip("tifffile")
    notes = [(42113, "s", 0, note, True)]
    tifffile.imwrite(path, pixels, extratags=notes, metadata=None, **options)


def read_tiff(path: Path) -> Any:
    import tifffile

    return tifffile.imread(path)


def mean_of_known(pixels: Any, missing: float) -> Any:
    """Mean of the known ones of 3 x 3 pixels; a missing pixel stays one."""
    known = np.where(pixels == missing, np.nan, pixels.astype(np.float64))
    padded = np.pad(known, 1, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    sums = np.nansum(windows, axis=(2, 3))
    counts = np.sum(~np.isnan(windows), axis=(2, 3))
    means = sums / np.maximum(counts, 1)
    if pixels.dtype.kind != "f":
        means = np.rint(means)
    return np.where(pixels == missing, missing, means)


@pytest.mark.parametrize(
    ("dtype", "note", "missing"),
    [
        ("u1", "255", 255),
        ("u2", "0", 0),
        ("i2", "-32768", -32768),
        ("i4", "-99", -99),
        ("f4", "-9999", -9999),
        ("f4", "-3.4028234663852886e+38", float(np.finfo(np.float32).min)),
        ("f4", "0.1 ", float(np.float32(0.1))),
        ("f8", "1e20", 1e20),
    ],
)
def test_the_sample_that_stands_for_a_missing_one(
    dtype: str, note: str, missing: float, program: Program, tmp_path: Path
) -> None:
    pixels = noise(30, 40, 1, dtype)[..., 0]
    pixels[5:12, 7:20] = missing
    pixels[:, -1] = missing
    with_nodata(tmp_path / "a.tif", pixels, note)
    ended = program.run("image", "box:3", "a.tif", "-o", "b.tif", cwd=tmp_path)
    assert f"missing {np.sum(pixels == missing)} samples" in ended.err
    expected = mean_of_known(pixels, missing)
    found = read_tiff(tmp_path / "b.tif")
    assert found.dtype == pixels.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert tags_of(tmp_path / "b.tif")[42113] == note.strip()
    words = ("image", "-q", "box:3", "a.tif", "-o", "c.tif", "--parts", "3")
    assert program.run(*words, cwd=tmp_path).code == 0
    assert (tmp_path / "c.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    ended = program.run("image", "box:3", "a.tif", "--missing", "error", cwd=tmp_path)
    assert ended.code == 3


@pytest.mark.parametrize("note", ["nan", "", "none", "-9999", "300", "12.5"])
def test_a_note_that_names_no_sample_of_the_type(
    note: str, program: Program, tmp_path: Path
) -> None:
    pixels = noise(20, 30, 1, "u1")[..., 0]
    with_nodata(tmp_path / "a.tif", pixels, note)
    with_nodata(tmp_path / "b.tif", pixels, "nan")
    for name in ("a", "b"):
        words = ("image", "box:3", f"{name}.tif", "-o", f"{name}.png")
        ended = program.run(*words, cwd=tmp_path)
        assert (ended.code, "missing" in ended.err) == (0, False)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_opacity_is_not_missing(program: Program, tmp_path: Path) -> None:
    pixels = noise(20, 30, 4, "u1") // 2 + 60
    pixels[5:9, 5:9, :3] = 0
    pixels[12:, 12:, 3] = 0
    with_nodata(tmp_path / "a.tif", pixels, "0", photometric="rgb", extrasamples=["unassalpha"])
    ended = program.run("image", "gain:1", "a.tif", "-o", "b.tif", cwd=tmp_path)
    assert "missing 48 samples" in ended.err
    np.testing.assert_array_equal(read_tiff(tmp_path / "b.tif"), pixels)


def test_a_missing_sample_in_another_format(program: Program, tmp_path: Path) -> None:
    pixels = noise(20, 30, 1, "u2")[..., 0] // 2
    pixels[5:9, 5:9] = 65535
    with_nodata(tmp_path / "a.tif", pixels, "65535")
    for name, missing in (("b.png", 65535), ("b.webp", 255)):
        words = ("image", "box:3", "a.tif", "-o", name)
        ended = program.run(*words, cwd=tmp_path)
        assert "missing 16 samples" in ended.err
        assert ended.code == 0
        if name == "b.png":
            found = pyvips.Image.new_from_file(str(tmp_path / name)).numpy()
            np.testing.assert_array_equal(found, mean_of_known(pixels, missing))


@pytest.mark.parametrize("sizes", [((5, 6), (5, 6), (5, 6)), ((5, 6), (7, 3), (4, 4))])
def test_each_page_keeps_its_own_description(
    program: Program, tmp_path: Path, sizes: tuple[tuple[int, int], ...]
) -> None:
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for number, (rows, columns) in enumerate(sizes):
            writer.write(
                noise(rows, columns, 1, "u2")[..., 0],
                description=f"page {number}" if number != 1 else None,
                software=f"program {number}",
                resolution=(100 + number, 200),
                resolutionunit="INCH",
                metadata=None,
            )
    assert program.run("image", "gain:1", "a.tif", "-o", "b.tif", cwd=tmp_path).code == 0
    assert (
        program.run("image", "gain:1", "a.tif", "--pages", "3,2", "-o", "c.tif", cwd=tmp_path).code
        == 0
    )
    for name, pages in (("b.tif", (0, 1, 2)), ("c.tif", (2, 1))):
        for place, number in enumerate(pages):
            found = tags_of(tmp_path / name, place)
            had = tags_of(tmp_path / "a.tif", number)
            assert {tag: found.get(tag) for tag in (270, 282, 283, 296, 305)} == {
                tag: had.get(tag) for tag in (270, 282, 283, 296, 305)
            }


def test_a_tiff_without_resolution_gets_none(program: Program, tmp_path: Path) -> None:
    """libvips would write 25.4 dpi."""
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", noise(5, 6, 1, "u1")[..., 0], metadata=None)
    Image.fromarray(noise(5, 6, 3, "u1")).save(tmp_path / "b.png")
    for name in ("a.tif", "b.png"):
        words = ["image", "gain:1", name, "-o", "out.tif", "--force"]
        assert program.run(*words, cwd=tmp_path).code == 0
        found = tags_of(tmp_path / "out.tif")
        assert [found[tag] for tag in (282, 283, 296)] == [(1, 1), (1, 1), 1]


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"])
def test_a_tiff_whose_0_is_white(
    program: Program, tmp_path: Path, dtype: str, compression: str | None
) -> None:
    """Unsigned samples are inverted; of others a warning says that the result calls 0 black."""
    tifffile = pytest.importorskip("tifffile")
    pixels = noise(20, 30, 1, dtype)[..., 0]
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="miniswhite", compression=compression, metadata=None
    )
    done = program.run("image", "kernel:1", "a.tif", "-o", "b.tif", cwd=tmp_path)
    said = any("calls 0 black" in line for line in done.warnings)
    is_unsigned = dtype.startswith("u")
    assert (done.code, said) == (0, not is_unsigned)
    wanted = np.iinfo(dtype).max - pixels if is_unsigned else pixels
    found = open_image(tmp_path / "b.tif", options=ImageOptions()).pages[0]
    strips = [strip.pixels[..., 0] for strip in found.pieces()]
    assert np.array_equal(np.concatenate(strips), wanted)


def test_smaller_copies_are_told(program: Program, tmp_path: Path) -> None:
    picture = pyvips.Image.new_from_array(noise(300, 400, 3, "u1"))
    picture.tiffsave(str(tmp_path / "a.tif"), tile=True, pyramid=True)
    for words, said in (([], True), (["--pages", "1"], False), (["--pages", "2-"], False)):
        done = program.run(
            "image", "box:3", "a.tif", "-o", "b.tif", "--force", *words, cwd=tmp_path
        )
        assert done.code == 0, done
        assert any("smaller copies of others" in line for line in done.warnings) == said


def test_the_place_of_a_missing_pixel(program: Program, tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    pixels = np.zeros((7, 9), np.float32)
    pixels[4, 6] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", pixels, metadata=None)
    words = ["image", "box:3", "a.tif", "-o", "b.tif", "--missing", "error"]
    ended = program.run(*words, cwd=tmp_path)
    assert ended.code == 3
    assert "missing value at x 6, y 4, grey" in ended.err
    ended = program.run("image", "box:3", "a.tif", "-o", "b.png", cwd=tmp_path)
    assert ended.code == 3
    assert "(NaN) at x 6, y 4" in ended.err
    assert "--missing fill" in ended.err


@pytest.mark.parametrize("meaning", ["rgb", "minisblack"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4"])
def test_whole_colours_multiplied_by_the_opacity_are_divided_and_rounded(
    tmp_path: Path, dtype: str, meaning: str
) -> None:
    tifffile = pytest.importorskip("tifffile")
    white = int(np.iinfo(dtype).max)
    opacity = RNG.integers(1, white, (40, 30, 1), dtype=np.int64, endpoint=True)
    colours = (RNG.random((40, 30, 3 if meaning == "rgb" else 1)) * opacity).astype(np.int64)
    colours[:5], opacity[:5] = 0, 0
    stored = np.concatenate([colours, opacity], axis=2).astype(dtype)
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored,
        photometric=meaning,
        extrasamples=["assocalpha"],
        planarconfig="contig",
        metadata=None,
    )
    page = open_image(tmp_path / "a.tif", options=ImageOptions()).pages[0]
    read = np.concatenate([strip.pixels for strip in page.pieces()])
    wanted = np.rint(colours * float(white) / np.maximum(opacity, 1))
    assert read.dtype == stored.dtype
    np.testing.assert_array_equal(read[..., -1], stored[..., -1])
    np.testing.assert_array_equal(read[..., :-1], wanted)


@pytest.mark.parametrize(
    ("compressions", "pages", "told"),
    [
        ([None, "tiff_lzw", "tiff_lzw"], "1-3", "(none, LZW)"),
        (["tiff_lzw", None, None], "1-3", "(LZW, none)"),
        (["tiff_adobe_deflate", "tiff_deflate", "packbits"], "1-3", "(Deflate, PackBits)"),
        ([None, "jpeg", "jpeg"], "1-3", "(none, JPEG)"),
        ([None, "tiff_lzw", "tiff_lzw"], "2-3", ""),
        (["tiff_lzw", "tiff_lzw", None], "1-2", ""),
    ],
)
def test_pages_that_are_compressed_differently_are_told(
    program: Program, tmp_path: Path, compressions: list[str | None], *, pages: str, told: str
) -> None:
    """libvips writes all pages of a file in one way."""
    _save_pages(tmp_path / "a.tif", compressions, rows=24)
    done = program.run("image", "box:3", "a.tif", "--pages", pages, "-o", "b.tif", cwd=tmp_path)
    warnings = [line for line in done.warnings if "differ in their compression" in line]
    assert (done.code, len(warnings)) == (0, bool(told))
    assert told in "".join(warnings)
    first = int(pages[0]) - 1
    with Image.open(tmp_path / "b.tif") as written, Image.open(tmp_path / "a.tif") as read:
        read.seek(first)
        for page in ImageSequence.Iterator(written):
            assert page.info["compression"] == read.info["compression"]
    assert program.run("image", "box:3", "a.tif", "-o", "b.webp", cwd=tmp_path).warnings == []


def test_pages_that_differ_lose_the_compression_of_any(program: Program, tmp_path: Path) -> None:
    _save_pages(tmp_path / "a.tif", [None, "tiff_lzw"], rows=24, grows=True)
    done = program.run("image", "box:3", "a.tif", "-o", "b.tif", cwd=tmp_path)
    (warning,) = done.warnings
    assert "are stored in strips, without compression" in warning


def _save_pages(
    path: Path, compressions: list[str | None], *, rows: int, grows: bool = False
) -> None:
    """Write a TIFF whose pages are compressed in these ways."""
    with TiffImagePlugin.AppendingTiffWriter(str(path), new=True) as file:
        for number, compression in enumerate(compressions):
            more = number if grows else 0
            page = Image.fromarray(np.full((rows + more, 32), 10 * number, np.uint8))
            page.encoderinfo = {}
            page.save(file, format="TIFF", compression=compression)
            file.newFrame()
