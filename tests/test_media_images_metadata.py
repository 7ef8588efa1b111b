"""Comments, resolution, colour profiles and gain maps of pictures: kept as they were, or said to be lost."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convcli.media.images.details import ImageDetails
from convcli.media.images.exif import resize_exif
from convcli.media.images.gif import read_gif_comments
from convcli.media.images.icc import is_intact_profile
from convcli.media.images.jpeg import inspect_jpeg
from convcli.media.images.tiff import PageChange, change_pages, described_fields, read_directory

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

RAMP = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
PIXELS = np.stack([RAMP, RAMP[::-1], RAMP], 2)
PROFILE = pyvips.Operation.call("profile_load", "p3")
TYPES = pyvips.GValue


def picture() -> Any:
    return pyvips.Image.new_from_array(PIXELS).copy(interpretation="srgb")


def segment(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body


def exif_with_size(columns: int, rows: int) -> bytes:
    """A maker, and the size of the pixels in the nested directory."""
    first = struct.pack("<HHHI4sHHII", 2, 0x10F, 2, 4, b"abc\0", 0x8769, 4, 1, 38) + bytes(4)
    nested = struct.pack("<HHHIIHHII", 2, 0xA002, 4, 1, columns, 0xA003, 4, 1, rows) + bytes(4)
    return b"Exif\0\0II*\0\x08\0\0\0" + first + nested


def jpeg(*segments: bytes) -> bytes:
    """The picture as a JPEG with these segments alone."""
    data: bytes = picture().jpegsave_buffer(keep=0)
    return data[:2] + b"".join(segments) + data[2:]


def filtered(program: Program, source: Path, name: str, text: str = "gain:1") -> tuple[Path, str]:
    ended = program.run("image", text, source, "-o", name, cwd=source.parent)
    assert ended.code == 0, ended
    return source.parent / name, ended.err


def test_comments_of_jpeg_and_gif(program: Program, tmp_path: Path) -> None:
    comments = (b"hello \xe9", b"x" * 300)
    a = tmp_path / "a.jpg"
    a.write_bytes(jpeg(*(segment(0xFE, comment) for comment in comments)))
    for name in ("b.jpg", "b.gif"):
        path, errors = filtered(program, a, name)
        assert "lost" not in errors
        data = path.read_bytes()
        if name.endswith("gif"):
            assert read_gif_comments(io.BytesIO(data)) == comments
            again, _ = filtered(program, path, "c.gif", "box:3")
            assert read_gif_comments(io.BytesIO(again.read_bytes())) == comments
            assert pyvips.Image.new_from_file(str(again)).width == 64
        else:
            assert all(segment(0xFE, comment) in data for comment in comments)
    path, _ = filtered(program, a, "b.png")
    assert b"Comment\0" in path.read_bytes()
    assert "hello é".encode() in path.read_bytes()
    _, errors = filtered(program, a, "b.webp")
    assert "webp has no place for the comment of the jpeg" in errors


@given(st.binary(max_size=300))
def test_comments_of_nonsense(data: bytes) -> None:
    read_gif_comments(io.BytesIO(b"GIF89a" + data))
    details = ImageDetails(format="jpeg", loader="", pages=1, bits=8, interpretation="srgb")
    inspect_jpeg(io.BytesIO(b"\xff\xd8" + data), details)
    inspect_jpeg(io.BytesIO(b"\xff\xd8\xff" + data), details)
    assert is_intact_profile(PROFILE[:128] + data) in {True, False}
    resize_exif(b"II*\0" + data, 5, 6)


def test_the_size_in_exif_is_that_of_the_result(program: Program, tmp_path: Path) -> None:
    a = tmp_path / "a.jpg"
    a.write_bytes(jpeg(segment(0xE1, exif_with_size(64, 48))))
    for name in ("b.jpg", "b.png", "b.webp", "b.tif"):
        path, _ = filtered(program, a, name, "avg_pool:2")
        with Image.open(path) as picture:
            size = picture.getexif().get_ifd(0x8769)
        assert (size[0xA002], size[0xA003]) == (32, 24), name


@pytest.mark.parametrize("jfif", [b"", segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")])
@pytest.mark.parametrize("exif", [b"", segment(0xE1, exif_with_size(64, 48))])
def test_a_jpeg_without_resolution_gets_none(
    program: Program, tmp_path: Path, jfif: bytes, exif: bytes
) -> None:
    a = tmp_path / "a.jpg"
    a.write_bytes(jpeg(jfif, exif))
    data = filtered(program, a, "b.jpg")[0].read_bytes()
    assert data[2:20] == segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\0\0")  # no unit, square pixels
    # No EXIF was made up, and the block that was there got no fields.
    assert data.count(b"Exif\0\0") == (1 if exif else 0)
    assert exif in data


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
@pytest.mark.parametrize("resolution", [None, 300])
def test_exif_without_resolution_gets_none(
    program: Program, tmp_path: Path, suffix: str, resolution: int | None
) -> None:
    """libvips puts 25.4 dpi into EXIF; Pillow reads what is left of the block."""
    exif = Image.Exif()
    exif[271], exif[315] = "Maker", "Author"
    options: dict[str, Any] = {} if resolution is None else {"dpi": (resolution, resolution)}
    Image.new("RGB", (20, 10), "red").save(tmp_path / "a.jpg", exif=exif, **options)
    ended = program.run("image", "gain:1", "a.jpg", "-o", f"b{suffix}", cwd=tmp_path)
    assert ended.code == 0
    with Image.open(tmp_path / f"b{suffix}") as picture:
        made = picture.getexif()
        assert made.get_ifd(34665)[40962] == 20
    assert (made[271], made[315], made.get(282)) == ("Maker", "Author", resolution)
    assert (282 in made, 283 in made, 296 in made) == (resolution is not None,) * 3
    pixels = pyvips.Image.new_from_file(str(tmp_path / f"b{suffix}")).numpy()
    assert pixels.shape == (10, 20, 3)


def test_resolution_exif_xmp_iptc_and_profile_of_a_jpeg(program: Program, tmp_path: Path) -> None:
    image = picture().copy(xres=300 / 25.4, yres=150 / 25.4)
    blocks = {
        "icc-profile-data": PROFILE,
        "xmp-data": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
        "iptc-data": b"Photoshop 3.0\0008BIM\x04\x04\0\0\0\0\0\x08\x1c\x02\x78\x00\x03abc",
    }
    for name, value in blocks.items():
        image.set_type(TYPES.blob_type, name, value)
    image.jpegsave(str(tmp_path / "a.jpg"))
    path, _ = filtered(program, tmp_path / "a.jpg", "b.jpg")
    path, _ = filtered(program, path, "c.jpg", "resize:32x24")
    result = pyvips.Image.new_from_file(str(path))
    assert (round(result.xres * 25.4), round(result.yres * 25.4)) == (300, 150)
    assert result.get("icc-profile-data") == PROFILE
    assert result.get("xmp-data") == blocks["xmp-data"]
    assert result.get("iptc-data") == blocks["iptc-data"]


def test_the_size_in_exif_is_that_of_the_picture(program: Program, tmp_path: Path) -> None:
    a = tmp_path / "a.jpg"
    a.write_bytes(jpeg(segment(0xE1, exif_with_size(64, 48))))
    for name in ("b.jpg", "b.png"):
        data = filtered(program, a, name, "resize:32x24")[0].read_bytes()
        assert exif_with_size(32, 24).removeprefix(b"Exif\0\0") in data


def test_a_long_profile_is_kept_in_parts(program: Program, tmp_path: Path) -> None:
    # A sound profile with 150,000 bytes of data behind its tags.
    size = len(PROFILE) + 150_000
    profile = struct.pack(">I", size) + PROFILE[4:] + bytes(range(250)) * 600
    image = picture()
    image.set_type(TYPES.blob_type, "icc-profile-data", profile)
    image.write_to_file(str(tmp_path / "a.tif"))
    path, _ = filtered(program, tmp_path / "a.tif", "b.jpg")
    assert pyvips.Image.new_from_file(str(path)).get("icc-profile-data") == profile


@pytest.mark.parametrize("suffix", ["jpg", "webp", "tif", "png"])
@pytest.mark.parametrize("damage", ["cut", "zeros", "signature"])
def test_a_damaged_profile_is_not_copied(
    program: Program, tmp_path: Path, suffix: str, damage: str
) -> None:
    profile = {
        "cut": PROFILE[:400],
        "zeros": PROFILE[:200] + bytes(len(PROFILE) - 200),
        "signature": PROFILE[:36] + b"none" + PROFILE[40:],
    }[damage]
    assert is_intact_profile(PROFILE)
    image = picture()
    image.set_type(TYPES.blob_type, "icc-profile-data", profile)
    image.write_to_file(str(tmp_path / "a.tif"))
    had = pyvips.Image.new_from_file(str(tmp_path / "a.tif")).get_typeof("icc-profile-data")
    path, errors = filtered(program, tmp_path / "a.tif", f"b.{suffix}")
    # libvips itself leaves out a profile without signature.
    assert not had or "warning: the colour profile is damaged: it is left out" in errors
    assert not pyvips.Image.new_from_file(str(path)).get_typeof("icc-profile-data")


def high_range(path: Path) -> Path:
    """A JPEG with a gain map of a quarter of its size."""
    image = picture()
    grey = pyvips.Image.new_from_array(RAMP[::4, ::4].copy())
    image.set_type(TYPES.blob_type, "gainmap-data", grey.jpegsave_buffer(keep=0))
    for name, value in (("max-content-boost", 4.0), ("min-content-boost", 1.0), ("gamma", 1.0)):
        image.set_type(TYPES.array_double_type, f"gainmap-{name}", [value] * 3)
    for name in ("offset-sdr", "offset-hdr"):
        image.set_type(TYPES.array_double_type, f"gainmap-{name}", [1 / 64] * 3)
    image.set_type(TYPES.gdouble_type, "gainmap-hdr-capacity-min", 1.0)
    image.set_type(TYPES.gdouble_type, "gainmap-hdr-capacity-max", 4.0)
    image.set_type(TYPES.gint_type, "gainmap-use-base-cg", 1)
    path.write_bytes(image.uhdrsave_buffer(Q=90))
    return path


@pytest.mark.skipif(
    not pyvips.type_find("VipsOperation", "uhdrsave"), reason="needs libvips with gain maps"
)
def test_gain_maps_are_kept_where_they_fit(program: Program, tmp_path: Path) -> None:
    a = high_range(tmp_path / "a.jpg")
    before = pyvips.Image.new_from_file(str(a))
    path, errors = filtered(program, a, "b.jpg", "box:3")
    after = pyvips.Image.new_from_file(str(path))
    assert after.get("gainmap-max-content-boost") == [4.0, 4.0, 4.0]
    maps = [
        pyvips.Image.new_from_buffer(image.get("gainmap-data"), "").numpy()
        for image in (before, after)
    ]
    assert np.array_equal(*maps)
    assert "gain map" not in errors
    for name, text in (("c.jpg", "resize:50%"), ("c.png", "gain:1"), ("d.jpg", "sobel")):
        path, errors = filtered(program, a, name, text)
        dropped = "gain map" in errors
        kept = bool(pyvips.Image.new_from_file(str(path)).get_typeof("gainmap-data"))
        assert dropped != kept
        assert dropped or name == "d.jpg"


@pytest.mark.parametrize("name", ["out.tif", "out.jpg"])
def test_iptc_of_a_tiff(name: str, program: Program, tmp_path: Path) -> None:
    """libvips takes the number of its 32-bit words for that of its bytes."""
    iptc = b"\x1c\x02\x05\0\x05title\x1c\x02\x19\0\x03key"
    source = tmp_path / "in.tif"
    picture().write_to_file(str(source))
    with source.open("r+b") as file:
        change_pages(file, [PageChange(described_fields(None, iptc))])
    output, _ = filtered(program, source, name)
    if name == "out.jpg":
        assert iptc in output.read_bytes()
        return
    with output.open("rb") as file:
        assert read_directory(file)[33723].data == iptc


def test_metadata_too_long_for_a_jpeg_are_told(program: Program, tmp_path: Path) -> None:
    source = tmp_path / "in.tif"
    image = picture().copy()
    image.set_type(pyvips.GValue.blob_type, "xmp-data", b"<x:xmpmeta>" + b" " * 70_000)
    image.write_to_file(str(source))
    _, told = filtered(program, source, "out.jpg")
    assert "jpeg holds no XMP of 70,011 bytes: it is lost" in told
    _, told = filtered(program, source, "out.tif")
    assert "lost" not in told


@pytest.mark.parametrize(
    ("filter", "suffix", "bands"),
    [("grey", "png", "grey"), ("pick:1", "tif", "R"), ("mix:1,0,0", "jpg", "grey")],
)
def test_a_profile_of_other_colours_is_told(
    program: Program, tmp_path: Path, filter: str, suffix: str, bands: str
) -> None:
    image = picture()
    image.set_type(TYPES.blob_type, "icc-profile-data", PROFILE)
    image.write_to_file(str(tmp_path / "a.png"))
    done = program.run("image", filter, "a.png", "-o", f"b.{suffix}", cwd=tmp_path)
    assert done.code == 0, done
    assert f"profile is one of R, G, B, not of {bands}: it is dropped" in done.err
    made = pyvips.Image.new_from_file(str(tmp_path / f"b.{suffix}"))
    assert made.get_typeof("icc-profile-data") == 0
    # The profile of the same colours goes on.
    done = program.run("image", "gain:1", "a.png", "-o", f"c.{suffix}", cwd=tmp_path)
    assert not done.warnings
    kept = pyvips.Image.new_from_file(str(tmp_path / f"c.{suffix}"))
    assert kept.get("icc-profile-data") == PROFILE


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_a_grey_profile_stays_on_grey(program: Program, tmp_path: Path, suffix: str) -> None:
    profile = bytearray(PROFILE)
    profile[16:20] = b"GRAY"
    image = pyvips.Image.new_from_array(RAMP[..., None]).copy(interpretation="b-w")
    image.set_type(TYPES.blob_type, "icc-profile-data", bytes(profile))
    image.write_to_file(str(tmp_path / "a.tif"))
    done = program.run("image", "grey | box:3", "a.tif", "-o", f"b.{suffix}", cwd=tmp_path)
    assert done.code == 0, done
    assert not done.warnings
    made = pyvips.Image.new_from_file(str(tmp_path / f"b.{suffix}"))
    assert made.get("icc-profile-data") == bytes(profile)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif"])
def test_rows_in_several_passes_stay_so(program: Program, tmp_path: Path, suffix: str) -> None:
    for interlace in (True, False):
        picture().write_to_file(str(tmp_path / f"a.{suffix}"), interlace=interlace)
        words = ["image", "gain:1", f"a.{suffix}", "-o", f"b.{suffix}", "--force"]
        assert program.run(*words, cwd=tmp_path).code == 0
        made = pyvips.Image.new_from_file(str(tmp_path / f"b.{suffix}"))
        assert bool(made.get_typeof("interlaced")) == interlace
        np.testing.assert_allclose(made.numpy()[..., :3], PIXELS, atol=16)


@pytest.mark.parametrize("compression", ["none", "lzw"])
@pytest.mark.parametrize("pages", [1, 2])
def test_tiles_stay_tiles(program: Program, tmp_path: Path, compression: str, pages: int) -> None:
    image = picture()
    if pages > 1:
        image.set_type(TYPES.gint_type, "page-height", len(RAMP) // pages)
    options = {"tile": True, "tile_width": 32, "tile_height": 16, "compression": compression}
    image.write_to_file(str(tmp_path / "a.tif"), **options)
    assert program.run("image", "gain:1", "a.tif", "-o", "b.tif", cwd=tmp_path).code == 0
    made = pyvips.Image.new_from_file(str(tmp_path / "b.tif"), n=-1)
    assert (made.get("tile-width"), made.get("tile-height")) == (32, 16)
    np.testing.assert_array_equal(made.numpy(), PIXELS)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_gif_without_opacity_gets_none(program: Program, tmp_path: Path, channels: int) -> None:
    x = np.random.default_rng(4).integers(0, 255, (30, 20, channels), np.uint8) // 64 * 64
    image = pyvips.Image.new_from_array(x).copy(interpretation="srgb" if channels == 3 else "b-w")
    image.write_to_file(str(tmp_path / "a.png"))
    for source, target in (("a.png", "b.gif"), ("b.gif", "c.gif")):
        assert program.run("image", "kernel:1", source, "-o", target, cwd=tmp_path).code == 0
        written = pyvips.Image.new_from_file(str(tmp_path / target))
        assert written.bands == 3
        np.testing.assert_array_equal(written.numpy(), np.broadcast_to(x, (30, 20, 3)))


def chunk(kind: bytes, body: bytes) -> bytes:
    size = struct.pack(">I", len(body))
    return size + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize(
    ("kind", "body", "beyond"),
    [
        (b"gAMA", struct.pack(">I", 100_000), True),
        (b"gAMA", struct.pack(">I", 45_454), False),
        (b"cICP", bytes([9, 16, 0, 1]), True),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600), True),
        (b"cHRM", struct.pack(">8I", 31269, 32899, 63999, 33001, 30000, 60000, 15000, 5999), False),
    ],
)
def test_colours_that_only_a_png_can_tell(
    program: Program, tmp_path: Path, kind: bytes, body: bytes, *, beyond: bool
) -> None:
    x = np.zeros((3, 4, 3), np.uint8)
    plain = pyvips.Image.new_from_array(x).copy(interpretation="srgb").pngsave_buffer()
    (tmp_path / "a.png").write_bytes(plain[:33] + chunk(kind, body) + plain[33:])
    for name, steps, lost in (
        ("b.png", "box:3", False),
        ("b.jpg", "box:3", beyond),
        ("b.tif", "box:3", beyond),
        ("c.png", "grey", beyond),
    ):
        done = program.run("image", steps, "a.png", "-o", name, cwd=tmp_path)
        said = any(kind.decode() in line for line in done.warnings)
        assert (done.code, said) == (0, lost), name


@pytest.mark.parametrize(
    ("kind", "body", "foreign"),
    [
        (b"gAMA", struct.pack(">I", 100_000), True),
        (b"gAMA", struct.pack(">I", 45_455), False),
        (b"cICP", bytes([9, 16, 0, 1]), True),
        # The colours of Display P3 with the curve of sRGB.
        (b"cICP", bytes([12, 13, 0, 1]), False),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600), False),
    ],
)
def test_linear_light_of_a_png_that_names_its_curve(
    program: Program, tmp_path: Path, kind: bytes, body: bytes, *, foreign: bool
) -> None:
    plain = pyvips.Image.black(4, 3, bands=3).copy(interpretation="srgb").pngsave_buffer()
    (tmp_path / "a.png").write_bytes(plain[:33] + chunk(kind, body) + plain[33:])
    done = program.run("image", "box:3", "a.png", "--linear", "-o", "b.png", cwd=tmp_path)
    said = any(kind.decode() in line and "sRGB curve is used" in line for line in done.warnings)
    assert (done.code, said) == (0, foreign)


def test_delays_that_a_format_does_not_hold(program: Program, tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    frames = [pillow.fromarray(np.full((8, 9), 60 * number, np.uint8)) for number in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=50)
    for words, said in (
        (["-o", "b.tif"], True),
        (["-o", "b.webp"], False),
        (["-o", "b.png", "--pages", "2"], False),
    ):
        done = program.run("image", "box:3", "a.gif", *words, cwd=tmp_path)
        assert done.code == 0, done
        assert any("delays of the animation" in line for line in done.warnings) == said, words


@pytest.mark.parametrize("quality", [70, 95])
@pytest.mark.parametrize(
    ("stored", "kept"), [("4:4:4", "4:4:4"), ("4:2:0", "4:2:0"), ("4:2:2", "4:4:4")]
)
def test_the_size_of_the_colours_of_a_jpeg_is_kept(
    program: Program, tmp_path: Path, quality: int, stored: str, kept: str
) -> None:
    x = np.random.default_rng(5).integers(0, 256, (32, 48, 3), np.uint8)
    pillow = pytest.importorskip("PIL.Image")
    pillow.fromarray(x).save(tmp_path / "a.jpg", quality=quality, subsampling=stored)
    assert program.run("image", "box:3", "a.jpg", "-o", "b.jpg", cwd=tmp_path).code == 0
    written = pyvips.Image.new_from_file(str(tmp_path / "b.jpg"))
    assert written.get("jpeg-chroma-subsample") == kept


def test_chunks_of_a_png_that_are_copied(program: Program, tmp_path: Path) -> None:
    """Offsets and private chunks that may be copied stay where the pixels stay."""
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    offsets = chunk(b"oFFs", struct.pack(">iiB", 5, 6, 0))
    private = chunk(b"zzZz", b"words")
    unsafe = chunk(b"zzZZ", b"of the pixels")
    place = data.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(data[:place] + offsets + private + unsafe + data[place:])
    ended = program.run("image", "gain:1", "a.png", "-o", "b.png", cwd=tmp_path)
    (told,) = ended.warnings
    assert told.endswith("chunks of the PNG that are not kept: zzZZ")
    made = (tmp_path / "b.png").read_bytes()
    assert (offsets in made, private in made, unsafe in made) == (True, True, False)
    for words in (["downsample:2", "a.png", "-o", "c.png"], ["gain:1", "a.png", "-o", "d.tif"]):
        ended = program.run("image", *words, cwd=tmp_path)
        (told,) = ended.warnings
        assert "chunks of the PNG that are not kept: oFFs, zzZZ, zzZz" in told


BACKGROUND = chunk(b"bKGD", struct.pack(">3H", 255, 128, 0))


@pytest.mark.parametrize(
    ("encoded", "steps", "output", "lost"),
    [
        (BACKGROUND, "box:3", "b.png", ""),
        (BACKGROUND, "downsample:2", "b.png", ""),
        (BACKGROUND, "grey", "b.png", "bKGD"),
        (BACKGROUND, "box:3", "b.tif", "bKGD"),
        (chunk(b"sBIT", bytes([5, 6, 5])), "box:3", "b.png", "sBIT"),
        (chunk(b"sBIT", bytes([8, 8, 8])), "box:3", "b.png", ""),
        (chunk(b"tIME", bytes([7, 234, 1, 2, 3, 4, 5])), "box:3", "b.png", ""),
        (chunk(b"sPLT", b"ours\0\x08" + bytes(6)), "box:3", "b.png", "sPLT"),
        (chunk(b"iDOT", bytes(28)), "box:3", "b.png", ""),
    ],
)
def test_chunks_of_a_png_are_kept_or_told(
    program: Program, tmp_path: Path, encoded: bytes, *, steps: str, output: str, lost: str
) -> None:
    x = np.zeros((4, 4, 3), np.uint8)
    plain = pyvips.Image.new_from_array(x).copy(interpretation="srgb").pngsave_buffer()
    (tmp_path / "a.png").write_bytes(plain[:33] + encoded + plain[33:])
    done = program.run("image", steps, "a.png", "-o", output, cwd=tmp_path)
    told = [line.rpartition(": ")[2] for line in done.warnings if "are not kept" in line]
    assert (done.code, told) == (0, [lost] if lost else [])
    is_kept = encoded in (tmp_path / output).read_bytes()
    assert is_kept == (encoded == BACKGROUND and not lost)


def test_the_palette_of_a_tiff_is_told(program: Program, tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).convert("P")
    picture.save(tmp_path / "a.tif")
    ended = program.run("image", "gain:1", "a.tif", "-o", "b.tif", cwd=tmp_path)
    (told,) = ended.warnings
    assert "the palette of the tiff is not kept" in told


def test_what_is_behind_the_picture_of_a_jpeg_is_told(program: Program, tmp_path: Path) -> None:
    """Two further pictures by the index of CIPA DC-007, content credentials, and a film."""
    one = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8))
    one.save(tmp_path / "a.mpo", save_all=True, append_images=[one, one])
    (tmp_path / "a.mpo").rename(tmp_path / "a.jpg")
    ended = program.run("image", "gain:1", "a.jpg", "-o", "b.jpg", cwd=tmp_path)
    (told,) = ended.warnings
    assert "the jpeg also holds what cannot be kept: 2 further pictures" in told
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta GCamera:MotionPhoto="1"/>'
    (tmp_path / "c.jpg").write_bytes(jpeg(segment(0xE1, xmp), segment(0xEB, b"JP\0\1" + bytes(8))))
    ended = program.run("image", "gain:1", "c.jpg", "-o", "d.jpg", cwd=tmp_path)
    (told,) = ended.warnings
    assert "a film (motion photo), content credentials (JUMBF)" in told


def test_iptc_of_a_jpeg_is_bare_in_a_tiff(program: Program, tmp_path: Path) -> None:
    """Behind another resource, a resolution, in the container of Photoshop."""
    records = b"\x1c\x02\x05\0\x05title"
    other = b"8BIM\x03\xed\0\0" + struct.pack(">I", 3) + b"abc\0"
    named = b"8BIM\x04\x04\x02ab\0" + struct.pack(">I", len(records)) + records
    (tmp_path / "a.jpg").write_bytes(jpeg(segment(0xED, b"Photoshop 3.0\0" + other + named)))
    assert not program.run("image", "gain:1", "a.jpg", "-o", "b.tif", cwd=tmp_path).warnings
    with (tmp_path / "b.tif").open("rb") as file:
        assert read_directory(file)[33723].data == records
    for suffix in ("png", "webp", "gif"):
        ended = program.run("image", "gain:1", "a.jpg", "-o", f"b.{suffix}", cwd=tmp_path)
        assert f"{suffix} has no place for IPTC: it is lost" in ended.err


def test_a_gif_has_no_place_for_a_profile(program: Program, tmp_path: Path) -> None:
    Image.fromarray(picture().numpy()).save(tmp_path / "a.png", icc_profile=PROFILE)
    ended = program.run("image", "gain:1", "a.png", "-o", "b.gif", cwd=tmp_path)
    assert "gif has no place for the colour profile, EXIF or XMP: they are lost" in ended.err
