"""`--pages`: some pages of a file of several, from its bytes to its report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageSequence

from convcli.errors import RequestError
from convcli.media.images.page_choice import parse_pages
from convcli.media.images.source import ImageOptions, open_image
from convcli.media.images.vips_file import PatchedFile, VipsFile

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

RNG = np.random.default_rng(8)
# Files are written again under the same names.
pyvips.cache_set_max(0)
# The value of each page, and rows and columns of all.
LEVELS = (10, 60, 110, 160, 210)
ROWS, COLUMNS = 12, 9


def flat(level: int, rows: int = ROWS, columns: int = COLUMNS) -> Any:
    return np.full((rows, columns, 1), level, np.uint8)


def pages_file(path: Path, *, delays: bool = False, **options: Any) -> Path:
    """Five pages, each of one level."""
    pixels = np.concatenate([flat(level) for level in LEVELS])
    meaning = "b-w"
    if delays:
        pixels, meaning = np.repeat(pixels, 3, axis=2), "srgb"
    image = pyvips.Image.new_from_array(pixels).copy(interpretation=meaning)
    image.set_type(pyvips.GValue.gint_type, "page-height", ROWS)
    if delays:
        image.set_type(pyvips.GValue.array_int_type, "delay", [20, 50, 120, 300, 40])
        image.set_type(pyvips.GValue.gint_type, "loop", 3)
    image.write_to_file(str(path), **options)
    return path


def levels_of(path: Path) -> list[int]:
    """The level of each page of a file; every page is flat, but for the dither of a GIF."""
    options = {} if path.suffix == ".png" else {"n": -1}
    image = pyvips.Image.new_from_file(str(path), **options)
    pixels = image[0].numpy().reshape(-1, ROWS * COLUMNS)
    assert np.ptp(pixels, axis=1).max() <= (16 if path.suffix == ".gif" else 0)
    return [int(level) for level in pixels[:, 0]]


@pytest.mark.parametrize(
    ("text", "count", "wanted"),
    [
        ("3", 5, [2]),
        ("2-4", 5, [1, 2, 3]),
        ("2-", 5, [1, 2, 3, 4]),
        ("1,4-5", 5, [0, 3, 4]),
        (" 5 , 1 - 2 ", 5, [4, 0, 1]),
        ("1-", 1, [0]),
    ],
)
def test_pages_count_from_one(text: str, count: int, wanted: list[int]) -> None:
    assert parse_pages(text).indices(count, "a.tif") == wanted


@pytest.mark.parametrize(
    "text", ["", "0", "x", "3-2", "1,,2", "-3", "1.5", "1-2-3", "²", "9" * 400]
)
def test_what_names_no_pages_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="--pages"):
        parse_pages(text)


@pytest.mark.parametrize("text", ["6", "2-9", "6-", "1-99999999999999", "1,2-3,3"])
def test_pages_that_are_not_there(text: str) -> None:
    with pytest.raises(RequestError, match=r"a\.tif has 5 pages|twice"):
        parse_pages(text).indices(5, "a.tif")


@pytest.mark.parametrize("suffix", ["tif", "webp", "gif", "pgm"])
@pytest.mark.parametrize(("text", "wanted"), [("2-3", [60, 110]), ("5,1", [210, 10]), ("4", [160])])
def test_the_output_holds_those_pages_alone(
    program: Program, tmp_path: Path, suffix: str, text: str, wanted: list[int]
) -> None:
    source = tmp_path / f"a.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    if suffix == "pgm":
        source.write_bytes(
            b"".join(b"P5 %d %d 255\n" % (COLUMNS, ROWS) + flat(each).tobytes() for each in LEVELS)
        )
    else:
        pages_file(source, delays=suffix != "tif", **options)
    out = "o.tif" if suffix == "pgm" else f"o.{suffix}"
    ended = program.run("image", "gaussian:1", source, "--pages", text, "-o", out, cwd=tmp_path)
    assert ended.code == 0, ended
    found = levels_of(tmp_path / out)
    assert len(found) == len(wanted)
    assert np.abs(np.subtract(found, wanted)).max() <= (8 if suffix == "gif" else 0)


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_delays_and_loops_follow_their_pages(program: Program, tmp_path: Path, suffix: str) -> None:
    pages_file(tmp_path / f"a.{suffix}", delays=True)
    words = ["image", "gain:1", f"a.{suffix}", "--pages", "2,4-5", "-o", f"b.{suffix}"]
    assert program.run(*words, cwd=tmp_path).code == 0
    made = pyvips.Image.new_from_file(str(tmp_path / f"b.{suffix}"), n=-1)
    assert (made.get("delay"), made.get("loop")) == ([50, 300, 40], 3)


def test_a_picture_of_one_page_takes_a_page(program: Program, tmp_path: Path) -> None:
    pages_file(tmp_path / "a.tif")
    words = ["image", "gain:1", "a.tif", "--pages", "3", "-o", "b.png"]
    assert program.run(*words, cwd=tmp_path).code == 0
    assert levels_of(tmp_path / "b.png") == [110]


def test_pages_of_other_sizes_are_left_out(program: Program, tmp_path: Path) -> None:
    sizes = [(5, 7), (8, 4), (8, 4)]
    data = [b"P5 %d %d 255\n" % (c, r) + flat(9, r, c).tobytes() for r, c in sizes]
    (tmp_path / "a.pgm").write_bytes(b"".join(data))
    ended = program.run("image", "gain:1", "a.pgm", "-o", "b.webp", cwd=tmp_path)
    assert "must be alike" in ended.err
    assert "--pages 2-4" in ended.err
    ended = program.run("image", "gain:1", "a.pgm", "--pages", "2-", "-o", "b.webp", cwd=tmp_path)
    assert ended.code == 0, ended


@pytest.mark.parametrize("piped", [False, True])
def test_pages_of_a_tiff_may_differ(
    program: Program,
    tmp_path: Path,
    piped: bool,  # noqa: FBT001
) -> None:
    """Each page is filtered and stored with its own size, kind and depth."""
    tifffile = pytest.importorskip("tifffile")
    rng = np.random.default_rng(3)
    pages = [
        rng.integers(0, 256, (41, 63), np.uint8),
        rng.integers(0, 60000, (20, 21, 3), np.uint16),
        rng.random((300, 7), np.float32),
        rng.integers(0, 256, (5, 6, 3), np.uint8),
    ]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in pages:
            photometric = "rgb" if page.ndim == 3 else "minisblack"
            writer.write(page, photometric=photometric, compression="zlib", metadata=None)
    words = ["image", "gain:1", "a.tif"]
    if piped:
        ended = program.run(*words, cwd=tmp_path)
        (tmp_path / "b.tif").write_bytes(ended.out)
    else:
        ended = program.run(*words, "-o", "b.tif", cwd=tmp_path)
    assert ended.code == 0, ended
    (told,) = ended.warnings
    assert "in strips, without compression" in told
    with tifffile.TiffFile(tmp_path / "b.tif") as made:
        assert len(made.pages) == len(pages)
        for found, page in zip(made.pages, pages, strict=True):
            assert np.array_equal(found.asarray(), page)
    # Pillow follows the directories by code of its own.
    with Image.open(tmp_path / "b.tif") as made:
        sizes = [frame.size for frame in ImageSequence.Iterator(made)]
    assert sizes == [(63, 41), (21, 20), (7, 300), (6, 5)]


def test_a_page_is_opened_without_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """libvips asks for as many bytes of the last page as of the second."""
    tifffile = pytest.importorskip("tifffile")
    pixels = np.arange(60 * 12, dtype=np.uint16).reshape(60, 3, 4)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in pixels:
            writer.write(page, compression="zlib", metadata=None)
    asked: list[int] = []
    read = PatchedFile.read

    def counted(file: PatchedFile, length: int) -> bytes:
        asked.append(length)
        return read(file, length)

    monkeypatch.setattr(PatchedFile, "read", counted)
    reader = open_image(tmp_path / "a.tif", options=ImageOptions()).reader()
    needed = []
    for number, page in enumerate(pixels):
        asked.clear()
        (strip,) = reader.strips(number)
        needed.append(sum(asked))
        assert np.array_equal(strip.pixels[:, :, 0], page)
    assert needed[0] > 0
    assert needed[-1] <= 2 * needed[1]


def test_patches_take_the_place_of_bytes(tmp_path: Path) -> None:
    content = bytes(range(20))
    (tmp_path / "a").write_bytes(content)
    wanted = bytes([*content[:3], 99, 98, *content[5:19], 97])
    patches = [(3, b"\x63\x62"), (19, b"\x61\x60")]
    for start in range(25):
        for length in range(26):
            patched = PatchedFile((tmp_path / "a").open("rb"), patches)
            assert patched.seek(start, 0) == start
            assert patched.read(length) == wanted[start : start + length]
            assert patched.seek(0, 1) == max(start, min(start + length, 20))
    assert patched.seek(-4, 2) == 16


@pytest.mark.parametrize(("colours", "said"), [(255, False), (256, True)])
def test_a_gif_without_room_for_transparency(
    program: Program, tmp_path: Path, colours: int, *, said: bool
) -> None:
    """libvips stores 255 colours and a transparent one, whatever its options are."""
    indices = np.arange(256).reshape(16, 16) % colours
    image = Image.fromarray(indices.astype(np.uint8))
    greens = [(0, number, 0) for number in range(colours)]
    image.putpalette(np.array(greens, np.uint8).tobytes())
    image.save(tmp_path / "a.gif")
    ended = program.run("image", "gain:1", "a.gif", "-o", "b.gif", cwd=tmp_path)
    with Image.open(tmp_path / "a.gif") as read, Image.open(tmp_path / "b.gif") as made:
        before, after = np.asarray(read.convert("RGB")), np.asarray(made.convert("RGB"))
    assert (before != after).any() == said
    few = "warning: gif holds 255 colours beside a transparent one: others become the nearest"
    assert ended.warnings == [few] * said
    image.convert("RGB").save(tmp_path / "c.png")
    ended = program.run("image", "gain:1", "c.png", "-o", "c.gif", cwd=tmp_path)
    assert ended.warnings == [few] * said


def test_each_page_of_a_gif_has_its_own_colours(program: Program, tmp_path: Path) -> None:
    levels = np.arange(200, dtype=np.uint8).reshape(10, 20)
    zeros = np.zeros_like(levels)
    first = Image.fromarray(np.dstack([levels, zeros, zeros]))
    second = Image.fromarray(np.dstack([zeros, levels, zeros]))
    first.save(tmp_path / "a.webp", save_all=True, append_images=[second], lossless=True)
    same = program.run("image", "gain:1", "a.webp", "-o", "a.gif", cwd=tmp_path)
    assert (same.code, same.warnings) == (0, [])
    with Image.open(tmp_path / "a.gif") as made:
        made.seek(1)
        assert np.array_equal(np.asarray(made.convert("RGB")), np.asarray(second))


def test_an_animation_is_decoded_once_for_its_originals(
    monkeypatch: pytest.MonkeyPatch, program: Program, tmp_path: Path
) -> None:
    """A reader for the filter and one for the colours: not one more for each page."""
    pages_file(tmp_path / "a.webp", delays=True, lossless=True)
    opened: list[int] = []
    open_upright = VipsFile.open_upright

    def counted(file: VipsFile, page: int, **options: Any) -> Any:
        opened.append(page)
        return open_upright(file, page, **options)

    monkeypatch.setattr(VipsFile, "open_upright", counted)
    words = ["image", "offset:9", "a.webp", "-o", "b.webp", "--channels", "luma"]
    assert program.run(*words, cwd=tmp_path).code == 0
    assert levels_of(tmp_path / "b.webp") == [level + 9 for level in LEVELS]
    assert opened == [0, 0]


def test_pictures_inside_of_pages_are_counted(program: Program, tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    page = np.arange(240, dtype=np.uint8).reshape(12, 20)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for _ in range(2):
            writer.write(page, subifds=2)
            writer.write(page[::2, ::2], subfiletype=1)
            writer.write(page[::4, ::4], subfiletype=1)
    ended = program.run("image", "gain:1", "a.tif", "-o", "b.tif", cwd=tmp_path)
    assert "4 pictures inside of the pages (SubIFDs" in ended.warnings[0]
    ended = program.run("image", "gain:1", "a.tif", "--pages", "2", "-o", "c.tif", cwd=tmp_path)
    assert "2 pictures inside of the pages (SubIFDs" in ended.warnings[0]


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_floating_samples_of_16_bits_are_told(
    program: Program, tmp_path: Path, suffix: str
) -> None:
    tifffile = pytest.importorskip("tifffile")
    half = np.random.default_rng(4).random((9, 8), np.float32).astype(np.float16)
    tifffile.imwrite(tmp_path / "a.tif", half, metadata=None)
    ended = program.run("image", "gain:1", "a.tif", "-o", f"b.{suffix}", cwd=tmp_path)
    assert len(ended.warnings) == 1
    if suffix == "tif":
        assert "floating samples of 16 bits are stored with 32" in ended.warnings[0]
        assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), half.astype(np.float32))


# GIF


def gif(path: Path, frames: list[Any], **options: Any) -> Path:
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(path, save_all=len(frames) > 1, append_images=pictures[1:], **options)
    return path


def gif_frames(path: Path) -> list[Any]:
    with Image.open(path) as made:
        frames = ImageSequence.Iterator(made)
        return [np.array(frame.convert("RGBA")) for frame in frames]


GREYS = [np.random.default_rng(seed).integers(0, 256, (12, 20), np.uint8) for seed in range(3)]


def test_a_still_gif_has_no_loop(program: Program, tmp_path: Path) -> None:
    gif(tmp_path / "a.gif", GREYS[:1], comment="still")
    gif(tmp_path / "loop.gif", GREYS[:2], duration=70, loop=0)
    for words in (["a.gif"], ["loop.gif", "--pages", "2"]):
        ended = program.run("image", "gain:1", *words, "-o", "b.gif", "--force", cwd=tmp_path)
        assert ended.code == 0, ended
        assert b"NETSCAPE" not in (tmp_path / "b.gif").read_bytes()


@pytest.mark.parametrize(
    ("frames", "options", "channels"),
    [
        (GREYS, {"duration": 70, "loop": 2}, 3),
        (GREYS, {"duration": 70, "disposal": 2}, 3),
        # The second frame is removed and does not cover all: a transparent hole is left.
        ([np.dstack([GREYS[0]] * 3 + [GREYS[1] // 128 * 255])] * 2, {"duration": 70}, 4),
    ],
)
def test_an_animation_is_as_opaque_as_it_was(
    program: Program, tmp_path: Path, frames: list[Any], options: dict[str, Any], channels: int
) -> None:
    """libvips gives every animation an opacity."""
    source = gif(tmp_path / "a.gif", frames, **options)
    words = ["image", "gain:1", "a.gif"]
    assert program.run(*words, "-o", "b.gif", cwd=tmp_path).code == 0
    for made, had in zip(gif_frames(tmp_path / "b.gif"), gif_frames(source), strict=True):
        assert np.array_equal(made[..., 3], had[..., 3])
        visible = had[..., 3] > 0
        assert np.array_equal(made[visible], had[visible])
    assert program.run(*words, "--pages", "1", "-o", "c.png", cwd=tmp_path).code == 0
    assert pyvips.Image.new_from_file(str(tmp_path / "c.png")).bands == channels
    # What was written is read like the input.
    again = ["image", "gain:1", "b.gif", "--pages", "1", "-o", "d.png"]
    assert program.run(*again, cwd=tmp_path).code == 0
    assert pyvips.Image.new_from_file(str(tmp_path / "d.png")).bands == channels


def test_what_a_page_says_of_itself_goes_with_it(program: Program, tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(np.zeros((4, 5), np.uint8), description="first", metadata=None)
        pixels = np.ones((6, 5, 5), np.uint16)
        extra = (0, 2)  # data, and an opacity that is not the first of them
        writer.write(
            pixels, photometric="rgb", extrasamples=extra, description="second", metadata=None
        )
    words = ["image", "gain:1", "a.tif", "--pages", "2", "-o", "b.tif"]
    assert program.run(*words, cwd=tmp_path).code == 0
    with tifffile.TiffFile(tmp_path / "b.tif") as made:
        page = made.pages[0]
        assert (len(made.pages), page.shape, page.dtype) == (1, (6, 5, 5), np.uint16)
        assert (page.description, page.extrasamples) == ("second", extra)


def test_the_report_and_the_plan_name_the_pages(program: Program, tmp_path: Path) -> None:
    pages_file(tmp_path / "a.tif")
    words = ["image", "gain:2", "a.tif", "--pages", "2-3"]
    planned = program.run(*words, "-o", "b.tif", "--dry-run", cwd=tmp_path)
    assert planned.code == 0, planned
    assert "a.tif (pages 2-3 of 5)" in planned.err + planned.text
    assert not (tmp_path / "b.tif").exists()
    assert program.run(*words, "-o", "b.tif", "--report", "r.json", cwd=tmp_path).code == 0
    facts = json.loads((tmp_path / "r.json").read_text())
    assert facts["inputs"][0]["details"]["pages"] == 2
    assert facts["inputs"][0]["details"]["page_choice"] == "2-3"
    assert facts["inputs"][0]["details"]["pages_in_file"] == 5
    # The page of the report shows the result, which has pages of its own.
    html = program.run(*words, "-o", "c.tif", "--report", "r.html", cwd=tmp_path)
    assert html.code == 0, html


def test_refusals(program: Program, tmp_path: Path) -> None:
    pages_file(tmp_path / "a.tif")
    for extra in (["--dry-run"], []):
        words = ["image", "gain:1", "a.tif", "--pages", "4-6", "-o", "b.tif", *extra]
        ended = program.run(*words, cwd=tmp_path)
        assert ended.code == 2, ended
        assert "a.tif has 5 pages" in ended.err
    ended = program.run("image", "gain:1", "a.tif", "--pages", "1", "--in-place", cwd=tmp_path)
    assert ended.code == 2
    assert "--in-place" in ended.errors[0]
    assert levels_of(tmp_path / "a.tif") == list(LEVELS)


def test_many_files_and_parts(program: Program, tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        pages_file(tmp_path / name)
    one = pyvips.Image.new_from_array(flat(7)).copy(interpretation="b-w")
    one.write_to_file(str(tmp_path / "one.tif"))
    words = ["image", "gain:1", "a.tif", "one.tif", "b.tif", "--pages", "2-3", "-o", "out/"]
    ended = program.run(*words, cwd=tmp_path)
    assert ended.code == 2, ended
    assert "one.tif has 1 page" in ended.err
    assert [levels_of(tmp_path / "out" / name) for name in ("a.tif", "b.tif")] == [[60, 110]] * 2
    # One plain page of many can be cut into parts.
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 256, (600, 500, 1), np.uint8)
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="b-w")
    image.set_type(pyvips.GValue.gint_type, "page-height", 300)
    image.write_to_file(str(tmp_path / "large.tif"))
    whole = ["image", "box:5", "large.tif", "--pages", "2", "-o"]
    assert program.run(*whole, "w.tif", "--parts", "1", cwd=tmp_path).code == 0
    parted = program.run(*whole, "p.tif", "--parts", "2", "--jobs", "1", cwd=tmp_path)
    assert parted.code == 0, parted
    assert "one unit" not in parted.err
    assert (tmp_path / "w.tif").read_bytes() == (tmp_path / "p.tif").read_bytes()


@pytest.mark.parametrize("colour", [(0, 0, 0, 0), (10, 20, 30, 255)])
def test_an_animated_webp_keeps_its_background(
    program: Program, tmp_path: Path, colour: tuple[int, ...]
) -> None:
    frames = [Image.new("RGBA", (30, 20), (200, 10, 60 * number, 255)) for number in range(3)]
    frames[0].save(
        tmp_path / "a.webp",
        save_all=True,
        append_images=frames[1:],
        lossless=True,
        background=colour,
    )
    program.run("image", "median:3", "a.webp", "-o", "b.webp", cwd=tmp_path)
    with Image.open(tmp_path / "b.webp") as made:
        assert made.info["background"] == colour
    assert pyvips.Image.new_from_file(str(tmp_path / "b.webp")).get_n_pages() == 3
    program.run("image", "median:3", "a.webp", "--pages", "2", "-o", "c.webp", cwd=tmp_path)
    assert pyvips.Image.new_from_file(str(tmp_path / "c.webp")).get_n_pages() == 1
