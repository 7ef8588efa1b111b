"""A table of any format, opened by its suffix or its first bytes."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from dataclasses import replace
from io import BufferedReader
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from convcli.errors import InputError
from convcli.media.replacing import is_special, stream_in_file
from convcli.media.tables.compression import compression_of_start, reads_as_file
from convcli.media.tables.delimited_source import DelimitedSource
from convcli.media.tables.table_formats import JSON_LINES, format_of_start, format_of_suffix
from convcli.media.tables.text import TextInput, start_as_utf8

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack
    from pathlib import Path

    from convcli.media.tables.source import TableSource
    from convcli.media.tables.table_formats import TableFormat
    from convcli.media.tables.table_options import TableOptions

# First bytes by which a format is recognised.
_START = 64
_ARRAY = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*[{\]]")
_OBJECT = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{\s*\"")


def open_any_table(
    path: Path | None,
    *,
    options: TableOptions,
    held: ExitStack,
    stdin: BinaryIO | None = None,
) -> TableSource:
    """Open a table of any format: text, JSON Lines, or a Parquet or Arrow file.

    held : keeps what comes through a pipe in a temporary file, as files of columns are read in any
        order

    InputError says that it is not a table, RequestError that a column or an option does not fit.
    """
    if options.times.every is None:
        return _open_as_it_is(path, options, held, stdin)
    # Few tables are made regular.
    from convcli.media.tables.every import regular_table

    as_it_is = replace(options, times=replace(options.times, every=None, irregular=True))
    return regular_table(_open_as_it_is(path, as_it_is, held, stdin), options)


def _open_as_it_is(
    path: Path | None, options: TableOptions, held: ExitStack, stdin: BinaryIO | None
) -> TableSource:
    """Open a table whose rows stay as they are."""
    columnar = _format_of_columns(path, stdin)
    if columnar is None:
        text, start = _text_and_start(_text_input(path, options, stdin))
        if _is_json_lines(text, start):
            from convcli.media.tables.json_lines import JsonLinesSource

            return JsonLinesSource(text, options)
        return DelimitedSource(text, options)
    from convcli.media.tables.batch_readers import ColumnarFile
    from convcli.media.tables.columnar import ColumnarSource

    name = "standard input" if path is None else str(path)
    if path is None:
        path = held.enter_context(stream_in_file(_given(stdin), name))
    elif is_special(path):
        pipe = held.enter_context(path.open("rb"))
        path = held.enter_context(stream_in_file(pipe, name))
    return ColumnarSource(ColumnarFile(path=path, name=name, format=columnar), options)


def open_table(
    path: Path | None, *, options: TableOptions, stdin: BinaryIO | None = None
) -> DelimitedSource:
    """Open a table of delimited text and read until its columns and its rate are known.

    path : a file, or None for `stdin` (default: the standard input)
    """
    return DelimitedSource(_text_input(path, options, stdin), options)


def _text_input(path: Path | None, options: TableOptions, stdin: BinaryIO | None) -> TextInput:
    return TextInput(path=path, stdin=stdin, asked=options.text.encoding, follow=options.follow)


def _is_json_lines(text: TextInput, start: bytes) -> bool:
    """Whether a text is JSON Lines: by its suffix, or without one by its first bytes.

    Raises InputError for an array of objects, which is JSON and no table of lines.
    """
    if text.path is not None:
        by_suffix = format_of_suffix(text.path)
        if by_suffix is not None or is_special(text.path):
            return by_suffix is JSON_LINES
    if _ARRAY.match(start):
        raise InputError(
            f"{text.name}: expected a table, such as JSON Lines with an object a line, "
            "got an array",
            hint="jq -c '.[]' writes each object of it on a line of its own",
        )
    return _OBJECT.match(start) is not None


def _text_and_start(text: TextInput) -> tuple[TextInput, bytes]:
    """A text, and its first bytes as UTF-8, unpacked if they are compressed.

    Standard input is read again from what the text returned holds.
    """
    if text.path is not None and is_special(text.path):
        return text, b""
    start = _start_of(text.path, text.stdin)
    if compression_of_start(start) is not None:
        if text.path is None:
            text, start = _with_unpacked_start(text)
        else:
            with text.open() as stream:
                start = _first_unpacked(text, stream)
    return text, start_as_utf8(start[:_START])


def _with_unpacked_start(text: TextInput) -> tuple[TextInput, bytes]:
    """A compressed standard input from its beginning, and its first bytes unpacked."""
    coming = text.stored_blocks(text.open())
    read: list[bytes] = []

    def noted() -> Iterator[bytes]:
        for block in coming:
            read.append(block)
            yield block

    start = _first_unpacked(text, reads_as_file(noted()))
    return replace(text, stdin=reads_as_file(chain(read, coming))), start


def _first_unpacked(text: TextInput, stream: BinaryIO) -> bytes:
    """The first bytes within compressed ones."""
    _, unpacked = text.reads(stream)
    return next(unpacked, b"")


def _given(stdin: BinaryIO | None) -> BinaryIO:
    return sys.stdin.buffer if stdin is None else stdin


def _format_of_columns(path: Path | None, stdin: BinaryIO | None) -> TableFormat | None:
    """The format of a file of columns; None for text, and for a file that cannot be opened."""
    if path is not None and is_special(path):
        # What is read from a pipe is gone: the format follows from its name alone.
        named = format_of_suffix(path)
        return None if named is None or named.is_text else named
    return format_of_start(_start_of(path, stdin))


def _start_of(path: Path | None, stdin: BinaryIO | None) -> bytes:
    """The first bytes of a file, or of what has come through a pipe; empty if they are unknown."""
    if path is None:
        stream = _given(stdin)
        if isinstance(stream, BufferedReader):
            with suppress(OSError):
                return stream.peek(_START)[:_START]
        return b""
    with suppress(OSError), path.open("rb") as file:
        return file.read(_START)
    return b""
