"""Templates and inputs of a search: which medium they are, how they are opened, what a row of them says."""

from __future__ import annotations

import io
import sys
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from convcli.errors import RequestError
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.signals import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from convcli.detecting.search import Candidates
    from convcli.media.tables.source import TableOptions, TableSource
    from convcli.signals import Medium, Source

    Opened = tuple[Sequence[Source[Any]], list[str]]

TABLES = frozenset({".csv", ".tsv", ".tab", ".txt", ".dat"})
# How options of tables are asked for, where the name says it otherwise.
_OPTIONS = {"columns": "-c", "header": "--no-header"}
# How files begin that no suffix tells of.
_SOUNDS = (b"fLaC", b"OggS", b"ID3", b"FORM", b"caff", b".snd", b"\xff\xfb", b"\xff\xf3")
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"GIF8", b"P4", b"P5", b"P6", b"P7")


def medium_of(paths: Sequence[Path | None]) -> Medium:
    """What the files are, by the first that says so with its suffix or its first bytes. RequestError if none does."""
    for path in paths:
        found = None if path is None else _by_suffix(path) or _by_content(path)
        if found is not None:
            return found
    raise RequestError(
        "nothing says whether this is sound, a table or a picture",
        hint="a suffix says it: .wav, .csv, .png",
    )


def _by_suffix(path: Path) -> Medium | None:
    from convcli.media.audio.formats import SUFFIXES
    from convcli.media.images.formats import format_of

    suffix = path.suffix.lower()
    if suffix in TABLES:
        return TABLE
    if suffix in SUFFIXES:
        return AUDIO
    return IMAGE if format_of(path) else None


def _by_content(path: Path) -> Medium | None:
    from convcli.media.outputs import check_input

    check_input(path)
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(_SOUNDS) or head[8:12] == b"WAVE":
        return AUDIO
    if head.startswith(_PICTURES) or head[8:12] in (b"WEBP", b"avif"):
        return IMAGE
    return TABLE if head and b"\0" not in head else None


@dataclass(kw_only=True)
class Opening:
    """How the files of one search are opened.

    table : how tables are read; its columns are those of the first template unless they were asked for
    """

    medium: Medium
    table: TableOptions
    max_pixels: int
    strict: bool

    def __post_init__(self) -> None:
        """Refuse what is asked of a table where there is none."""
        if self.medium is not TABLE:
            noun = self.medium.things
            for each in fields(self.table):
                if getattr(self.table, each.name) != each.default:
                    raise RequestError(
                        f"{_OPTIONS.get(each.name, '--' + each.name)} is for tables, and these are {noun}"
                    )

    @contextmanager
    def template(self, path: Path | None) -> Iterator[tuple[Source[Any], list[str]]]:
        """A template as a source, and the warnings that it leads to."""
        if self.medium is TABLE:
            source = self._template_table(path)
            yield source, source.warnings
            return
        with self.input(path) as (sources, warnings):
            name = "standard input" if path is None else path
            pages = (
                [f"{name}: of {len(sources)} pages the first is the template"]
                if len(sources) > 1
                else []
            )
            yield sources[0], [*warnings, *pages]

    @contextmanager
    def input(self, path: Path | None) -> Iterator[Opened]:
        """An input as its sources, one for each page of a picture, and the warnings that it leads to."""
        stdin = sys.stdin.buffer if path is None else None
        if self.medium is AUDIO:
            from convcli.media.audio.source import open_audio

            with open_audio(path, stdin=stdin, strict=self.strict) as sound:
                yield [sound], sound.warnings
        elif self.medium is IMAGE:
            from convcli.media.images.source import ImageOptions, open_image

            picture = open_image(
                path, stdin=stdin, options=ImageOptions(), max_pixels=self.max_pixels
            )
            yield picture.pages, picture.warnings
        else:
            from convcli.media.tables.source import open_table

            table = open_table(path, options=self.table, stdin=stdin)
            yield [table], table.warnings

    def _template_table(self, path: Path | None) -> TableSource:
        """A template needs neither the times nor the groups of what is searched; times that it has are read."""
        from convcli.media.tables.source import open_table

        held = _piped(path)

        def opened(options: TableOptions) -> TableSource:
            return (
                open_table(path, options=options)
                if held is None
                else open_table(None, options=options, stdin=io.BytesIO(held))
            )

        source = opened(replace(self.table, by=None, time=None))
        names = self.table.columns or _compared(source, self.table)
        self.table = replace(self.table, columns=names)
        time = self.table.time if self.table.time in source.header else None
        return opened(replace(self.table, by=None, time=time))


def _piped(path: Path | None) -> bytes | None:
    """All that comes through a pipe, which cannot be opened twice; None for a file."""
    from convcli.media.outputs import is_special

    if path is None:
        return sys.stdin.buffer.read()
    return path.read_bytes() if is_special(path) else None


def _compared(source: TableSource, options: TableOptions) -> tuple[str, ...]:
    names = tuple(name for name in source.signal.channels if name not in (options.by, options.time))
    if not names:
        raise RequestError(
            f"{source.name}: expected a column of numbers to compare, found none",
            hint="-c names the columns, --decimal , reads decimal commas",
        )
    return names


class Times:
    """The cells of the time column of a table, at the rows that places begin and end with."""

    def __init__(self, source: Any, column: str | None) -> None:
        self._recent = source.keep_text() if column is not None else None
        self._column = source.header.index(column) if column is not None else 0

    def of(self, found: Candidates) -> list[tuple[str, str]]:
        """The times of the first and last row of each place; rows that nothing reads again are let go."""
        if self._recent is None:
            return []
        told = list(zip(self._texts(found.rows[:, 0]), self._texts(found.rows[:, 1]), strict=True))
        self._recent.release(found.settled)
        return told

    def _texts(self, rows: Any) -> list[str]:
        if self._recent is None:
            return []
        texts: list[str] = self._recent.texts_of(self._column, rows)
        return texts
