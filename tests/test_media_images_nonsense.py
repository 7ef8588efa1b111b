"""Pictures with unusual or broken headers, names, texts and devices: one clear answer each."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pyvips
from program import Done, Program, run

from convcli.media.images.png import make_chunk, read_chunks
from convcli.media.images.tiff import LONG8, TiffField, TiffVariant, build_directory, read_directory
from convcli.media.images.vips import error_cause, one_line

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = np.random.default_rng(7).integers(0, 256, (12, 10, 3)).astype(np.uint8)
NINES = b"9" * 400


def picture() -> Any:
    return pyvips.Image.new_from_array(PIXELS).copy(interpretation="srgb")


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """The picture as a PNG with further chunks behind its header."""
    data: bytes = picture().pngsave_buffer()
    return data[:33] + b"".join(make_chunk(*chunk) for chunk in chunks) + data[33:]


@pytest.mark.parametrize("keyword", [b"Auteur \xe9", b"\xff\xfe", "Größe".encode()])
def test_png_text_whose_keyword_is_not_ascii_is_kept(
    program: Program, tmp_path: Path, keyword: bytes
) -> None:
    body = keyword + b"\0Ren\xe9"
    (tmp_path / "a.png").write_bytes(png((b"tEXt", body)))
    ended = program.run("image", "-q", "box:3", "a.png", "-o", "b.png", cwd=tmp_path)
    assert ended.code == 0, ended
    with (tmp_path / "b.png").open("rb") as file:
        assert (b"tEXt", body) in list(read_chunks(file))


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"n\xe9.png")
    (tmp_path / name).write_bytes(png())
    (tmp_path / "plain.png").write_bytes(png())
    ended = run("image", "box:3", name, "plain.png", "-o", "out/", cwd=tmp_path)
    assert ended.code == 0, ended
    assert sorted(os.listdir(tmp_path / "out")) == sorted([name, "plain.png"])
    found = run("detect", name, name, cwd=tmp_path)
    assert found.code == 0, found
    ended = run(
        "image", "-q", "box:3", name, "--report", "r.json", "-o", name + "x.v", cwd=tmp_path
    )
    assert ended.code == 0, ended


@pytest.mark.parametrize(
    "header",
    [
        b"P5 99999999999999999999 3 255\n\0\0",
        b"P5 3 3 99999999999999999999999\n123456789",
        b"P7\nWIDTH 99999999999999999999999\nHEIGHT 2\nDEPTH 1\nMAXVAL 255\nENDHDR\n12345678",
        b"P6\n" + NINES + b" 1 255\n123",
        b"P5 1 1 " + NINES + b"\n1",
        b"Pf 3 3 " + NINES + b"\n1",
        b"Pf 1 1 1." + b"0" * 400 + b"\n1234",
        b"Pf 1 1 1e999\n1234",
        b"Pf 1 1 0\n1234",
        b"Pf 1 1 nan\n1234",
        b"Pf 1 1 one\n1234",
        b"P5 1_0 1 255\n1234567890",
        b"P5 +1 1 255\n1",
        b"P5 4611686018427387904 2 255\n1",
        b"P2 3 1 255\n1 2 99999999999999999999999",
    ],
)
def test_netpbm_numbers_of_any_length(program: Program, tmp_path: Path, header: bytes) -> None:
    ended = program.run("image", "box:3", "-", "-o", "b.png", stdin=header, cwd=tmp_path)
    assert ended.code == 3, ended
    assert len(ended.errors) == 1
    assert len(ended.err) < 300


@pytest.mark.parametrize("offset", [1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_tiff_offsets_that_no_file_has(program: Program, tmp_path: Path, offset: int) -> None:
    variant = TiffVariant("<", big=True)
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16)
    data = picture().tiffsave_buffer(bigtiff=True)
    place = struct.unpack_from("<Q", data, 8)[0]
    # A classic file and a BigTIFF whose EXIF directory is nowhere.
    nowhere = {34665: TiffField(LONG8, 1, struct.pack("<Q", offset))}
    alone = head + build_directory(nowhere, variant, place=16, link=offset)
    moved = data[:8] + struct.pack("<Q", offset) + data[16:]
    count = struct.unpack_from("<Q", data, place)[0]
    link = place + 8 + 20 * count
    linked = data[:link] + struct.pack("<Q", offset) + data[link + 8 :]
    for content in (alone, moved, linked):
        ended = program.run("image", "-q", "box:3", "-", "-o", "b.png", stdin=content, cwd=tmp_path)
        assert ended.code in (0, 3), ended
        (tmp_path / "b.png").unlink(missing_ok=True)


def test_a_description_that_is_not_utf_8(program: Program, tmp_path: Path) -> None:
    image = picture()
    image.set_type(pyvips.GValue.gstr_type, "image-description", "Strasse")
    a, b = tmp_path / "a.tif", tmp_path / "b.tif"
    a.write_bytes(image.tiffsave_buffer().replace(b"Strasse", b"Stra\xdfe\0"))
    ended = program.run("image", "-q", "box:3", a, "-o", b, cwd=tmp_path)
    assert ended.code == 0, ended
    assert b"Stra\xdfe" in b.read_bytes()
    with b.open("rb") as file:
        assert read_directory(file)[270].data.startswith(b"Stra\xdfe\0")
    ended = program.run("image", "-q", "box:3", a, "-o", "b.png", cwd=tmp_path)
    assert ended.code == 0, ended


def test_messages_of_libraries_are_one_short_line() -> None:
    error = pyvips.Error("unable to load", "first\n second line\n" + "x" * 10_000)
    cause = error_cause(error)
    assert "\n" not in cause
    assert cause.startswith("first; second line")
    assert len(cause) < 400
    assert one_line("a\r\n  b\n") == "a b"


def heic() -> bytes:
    """An AVIF of libvips whose boxes say that its pixels are HEVC."""
    data = bytes(picture().heifsave_buffer(compression="av1", keep=0))
    configuration = data.index(b"av1C") - 4
    (size,) = struct.unpack_from(">I", data, configuration)
    changed = bytearray(data)
    for box in (b"meta", b"iprp", b"ipco"):
        place = data.index(box) - 4
        (old,) = struct.unpack_from(">I", data, place)
        struct.pack_into(">I", changed, place, old + 31 - size)
    start = data.index(b"mdat") + 4
    place = data.index(struct.pack(">I", start), data.index(b"iloc"))
    struct.pack_into(">I", changed, place, start + 31 - size)
    changed[configuration : configuration + size] = struct.pack(">I4sB", 31, b"hvcC", 1) + bytes(22)
    spelled = bytes(changed).replace(b"ftypavif", b"ftypheic")
    return spelled.replace(b"av01", b"hvc1").replace(b"avif", b"heic")


def test_a_missing_codec_is_not_called_damage(program: Program, tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(heic())
    ended = program.run("image", "-q", "box:3", "a.heic", "-o", "b.png", cwd=tmp_path)
    if ended.code != 0:  # some builds of libvips have the codec, and call these pixels damaged
        assert ended.code == 3
        assert "needs a codec that is not installed: HEVC" in ended.err or "damaged" in ended.err
        assert "bad seek" not in ended.err
    for head, name in ((b"\xff\x0a", "JPEG XL"), (b"8BPS", "Photoshop")):
        content = head + bytes(20)
        ended = program.run("image", "-q", "box:3", "-", "-o", "b.png", stdin=content, cwd=tmp_path)
        assert ended.code == 3
        assert f"in the format {name}, whose codec is not installed" in ended.err
        assert "magick - png:-" in ended.err
    (tmp_path / "moving.avif").write_bytes(b"\0\0\0\x1cftypavis" + bytes(40))
    ended = program.run("image", "-q", "box:3", "moving.avif", "-o", "b.png", cwd=tmp_path)
    assert ended.code == 3
    assert "in the format AVIF sequence" in ended.err
    assert "magick moving.avif moving.png" in ended.err


@pytest.mark.parametrize(
    ("name", "data", "command"),
    [
        ("cells.czi", b"ZISRAWFILE" + bytes(20), "bfconvert cells.czi cells.ome.tif"),
        ("a.dcm", bytes(128) + b"DICM" + bytes(20), "bfconvert a.dcm a.ome.tif"),
        ("brain.nii", b"\x5c\1\0\0" + bytes(340) + b"n+1\0", "bfconvert brain.nii brain.ome.tif"),
        ("sky.fits", b"SIMPLE  =" + bytes(20), "bfconvert sky.fits sky.ome.tif"),
        ("a.exr", b"\x76\x2f\x31\x01" + bytes(20), "floating-point -depth 32 a.tif"),
    ],
)
def test_formats_of_instruments_are_converted_without_loss(
    program: Program, tmp_path: Path, name: str, data: bytes, command: str
) -> None:
    (tmp_path / name).write_bytes(data)
    ended = program.run("image", "-q", "box:3", name, "-o", "b.png", cwd=tmp_path)
    assert ended.code == 3
    assert "is a picture in the format" in ended.err
    assert command in ended.err


def test_a_big_tiff_is_recognised_without_a_suffix(program: Program, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(picture().tiffsave_buffer(bigtiff=True))
    ended = program.run("detect", "big", "big", cwd=tmp_path)
    assert ended.code == 0, ended
    assert "big,0,0,10,12,1.000000" in ended.text


def test_many_channels_are_not_listed(program: Program, tmp_path: Path) -> None:
    image = pyvips.Image.black(4, 4, bands=3000).copy(interpretation="multiband")
    image.write_to_file(str(tmp_path / "a.v"))
    ended = program.run("image", "-q", "gain:1", "a.v", "-o", "b.png", cwd=tmp_path)
    assert ended.code == 2
    assert "3000 channels band1, band2," in ended.err
    assert len(ended.err) < 300


def test_more_bands_than_a_picture_has(program: Program, tmp_path: Path) -> None:
    picture().write_to_file(str(tmp_path / "a.v"))
    data = bytearray((tmp_path / "a.v").read_bytes())
    struct.pack_into("<I", data, 12, 100_000_000)
    (tmp_path / "a.v").write_bytes(data)
    ended = program.run("image", "-q", "box:3", "a.v", "-o", "b.v", cwd=tmp_path)
    assert ended.code == 3, ended
    assert "100000000 bands" in ended.err


def test_the_format_of_libvips_is_written(program: Program, tmp_path: Path) -> None:
    picture().write_to_file(str(tmp_path / "a.png"))
    ended = program.run("image", "-q", "gain:1", "a.png", "-o", "b.v", cwd=tmp_path)
    assert ended.code == 0, ended
    assert np.array_equal(pyvips.Image.new_from_file(str(tmp_path / "b.v")).numpy(), PIXELS)


@pytest.mark.parametrize("suffix", ["csv", "heic", "png.gz", "parquet", "wav"])
def test_a_suffix_that_pictures_do_not_have(program: Program, tmp_path: Path, suffix: str) -> None:
    picture().write_to_file(str(tmp_path / "a.png"))
    for output in (f"b.{suffix}", "{stem}." + suffix):
        ended = program.run("image", "-q", "gain:1", "a.png", "-o", output, cwd=tmp_path)
        assert ended.code == 2, ended
        assert "no picture format" in ended.err
    assert os.listdir(tmp_path) == ["a.png"]


def traced(folder: Path, path: Path, calls: str, *words: str | Path) -> Done:
    """The program with EIO in place of some system calls on a file, which is standard output."""
    fault = ["-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO", "-P", str(path)]
    with (folder / "out").open("wb") as out:
        return Program().run(*words, cwd=folder, strace=fault, out=out)


def can_trace() -> bool:
    command = ["strace", "-o", os.devnull, "-e", "inject=close:delay_enter=1", sys.executable, "-V"]
    return shutil.which("strace") is not None and (
        subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


needs_strace = pytest.mark.skipif(not can_trace(), reason="needs strace that may inject faults")


@needs_strace
@pytest.mark.parametrize("format", ["tiff", "jpeg", "webp", "png", "ppm"])
def test_standard_output_that_fails(tmp_path: Path, format: str) -> None:
    picture().write_to_file(str(tmp_path / "a.png"))
    words = ("image", "-q", "box:3", "a.png", "--format", format)
    ended = traced(tmp_path, tmp_path / "out", "write", *words)
    assert ended.code == 4, ended
    assert ended.err == "error: cannot write standard output: Input/output error\n"


@needs_strace
@pytest.mark.parametrize("suffix", ["tif", "jpg", "png", "webp", "ppm"])
def test_an_input_that_fails(tmp_path: Path, suffix: str) -> None:
    a = tmp_path / f"a.{suffix}"
    if suffix == "ppm":
        a.write_bytes(b"P6 10 12 255\n" + PIXELS.tobytes())
    else:
        picture().write_to_file(str(a))
    ended = traced(tmp_path, a, "read,pread64", "image", "-q", "box:3", a, "-o", "b.png")
    assert ended.code == 3, ended
    assert a.name in ended.err
    assert "Input/output error" in ended.err
    assert not (tmp_path / "b.png").exists()
