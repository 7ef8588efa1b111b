"""A file that libvips opens: its pages as images of libvips, its bytes, and why it is refused."""

from __future__ import annotations

import io
import os
import weakref
from contextlib import contextmanager
from dataclasses import field
from typing import TYPE_CHECKING, Any, BinaryIO

from convcli.dataclass import dataclass
from convcli.errors import InputError
from convcli.media.images.formats import conversion_of, foreign_format, unread_kind
from convcli.media.images.vips import error_cause, field_value, vips

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

# Bytes that are read at an offset in place of those of the file.
Patch = tuple[int, bytes]


class PatchedFile:
    """A file for the callbacks of libvips, in which patches take the place of the file's bytes.

    Of a patch that goes beyond the end of the file, the rest is left out. The file is closed when
    this object is gone.
    """

    def __init__(self, file: BinaryIO, patches: Sequence[Patch]) -> None:
        self._file = file
        self._patches = patches
        self._position = 0
        self._length = file.seek(0, os.SEEK_END)
        weakref.finalize(self, file.close)

    def seek(self, offset: int, whence: int) -> int:
        """Go to a place counted from the start, from here or from the end (`whence` 0, 1, 2)."""
        bases = (0, self._position, self._length)
        self._position = bases[whence] + offset
        return self._position

    def read(self, length: int) -> bytes:
        """The next `length` bytes, or fewer at the end.

        libvips calls this from C, where no exception can pass: a file that cannot be read ends.
        """
        start = self._position
        try:
            self._file.seek(start)
            data = self._file.read(length)
        except OSError:
            return b""
        for place, patch in self._patches:
            if place < start + len(data) and start < place + len(patch):
                data = _overlay(data, place - start, patch)
        self._position += len(data)
        return data


def _overlay(data: bytes, place: int, patch: bytes) -> bytes:
    """The bytes with `patch` at `place`, as far as it covers them; it may begin before them."""
    if place < 0:
        patch, place = patch[-place:], 0
    patched = data[:place] + patch + data[place + len(patch) :]
    return patched[: len(data)]


# libvips looks at this many bytes to recognise a format.
_HEAD_BYTES = 4096
# What the reader of HEIC says where a codec is missing.
_NO_CODEC = "has not been built in"


@dataclass(frozen=True, eq=False)
class VipsFile:
    """A file that libvips opens.

    data : the bytes of the file, or its path
    is_opaque : whether the last band, an opacity, is left out, since no pixel is transparent
    patches : for pages that are opened as the first page of a patched file: the patches
    """

    data: bytes | Path
    name: str
    is_opaque: bool = False
    patches: Mapping[int, Sequence[Patch]] = field(default_factory=dict)

    def open(
        self, page: int, *, count: int = 1, access: str = "sequential", fail_on: str = "error"
    ) -> Any:
        """A page as an image of libvips, or `count` pages from it on, one below the other."""
        options: dict[str, object] = {"access": access, "fail_on": fail_on}
        patches = self.patches.get(page)
        if patches is None and (page or count > 1):
            options["page"] = page
        if count > 1:
            options["n"] = count
        try:
            image = self._load(options, patches)
            return image.extract_band(0, n=image.bands - 1) if self.is_opaque else image
        except vips().Error as error:
            raise self.unreadable(error) from error

    def _load(self, options: dict[str, object], patches: Sequence[Patch] | None) -> Any:
        image = vips().Image
        if patches is not None:
            return image.new_from_source(self._patched_source(patches), "", **options)
        if isinstance(self.data, bytes):
            return image.new_from_buffer(self.data, "", **options)
        # As a source, since libvips takes brackets at the end of a name for options.
        source = vips().Source.new_from_file(os.fsencode(self.data))
        return image.new_from_source(source, "", **options)

    def _patched_source(self, patches: Sequence[Patch]) -> Any:
        """The patched file as a source of libvips, which must outlive the images made of it."""
        patched = PatchedFile(self._opened(), patches)
        source = vips().SourceCustom()
        source.on_read(patched.read)
        source.on_seek(patched.seek)
        return source

    def open_upright(self, page: int, *, count: int = 1, fail_on: str) -> Any:
        """Pages that can be read from top to bottom.

        Rotated ones are decoded first (to disk, if large).
        """
        image = self.open(page, count=count, fail_on=fail_on)
        if orientation_of(image) > 1:
            image = self.open(page, count=count, access="random", fail_on=fail_on)
        return upright(image)

    @contextmanager
    def reading(self) -> Iterator[BinaryIO]:
        """The bytes of the file. A failure to read them is an InputError."""
        try:
            with self._opened() as file:
                yield file
        except OSError as error:
            raise InputError(f"cannot read {self.name}: {error.strerror or error}") from error

    def _opened(self) -> BinaryIO:
        if isinstance(self.data, bytes):
            return io.BytesIO(self.data)
        return self.data.open("rb")

    def unreadable(self, error: Exception) -> InputError:
        """The error for a picture that libvips refused."""
        cause = error_cause(error)
        if _NO_CODEC in cause:
            _, _, codec = cause.rpartition(_NO_CODEC)
            return InputError(
                f"{self.name} needs a codec that is not installed: {codec.strip(' :')}",
                hint="pip install 'convcli[heif]' installs that of HEIC; or convert the picture to "
                "PNG or TIFF first",
            )
        if "not in a known format" in cause:
            return self._unknown()
        with self.reading() as file:
            unread = unread_kind(file)
        if unread is not None:
            kind, hint = unread
            return InputError(f"{self.name} has {kind}, which are not read", hint=hint)
        return InputError(
            f"cannot read the picture {self.name}: {cause}", hint="the file is damaged or cut off"
        )

    def _unknown(self) -> InputError:
        """The error for a file that libvips does not recognise."""
        try:
            with self.reading() as file:
                head = file.read(_HEAD_BYTES)
        except InputError as failure:
            return failure
        name = foreign_format(head)
        if name is not None:
            return InputError(
                f"{self.name} is a picture in the format {name}, whose codec is not installed",
                hint=self._conversion(name),
            )
        return InputError(
            f"{self.name} is not a picture of a known format, or is cut off",
            hint="the formats read are those of libvips and PPM",
        )

    def _conversion(self, name: str) -> str:
        """How to convert the file, which is of a foreign format."""
        import shlex

        path = None if isinstance(self.data, bytes) else self.data
        program, words = conversion_of(name, path)
        return f"convert it first, such as by {program}: {shlex.join(words)}"


def orientation_of(image: Any) -> int:
    """The orientation of EXIF, 1 if a picture is upright."""
    return int(field_value(image, "orientation", 1))


def upright(image: Any) -> Any:
    """The image unpacked and rotated to its upright orientation."""
    if image.coding == "labq":
        image = image.labq2lab()
    elif image.coding == "rad":
        image = image.rad2float()
    return image.autorot() if orientation_of(image) > 1 else image
