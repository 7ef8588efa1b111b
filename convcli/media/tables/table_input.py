"""Where a table comes from, and one pass over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack
    from pathlib import Path

    from convcli.media.tables.compression import Compression
    from convcli.media.tables.header import Header
    from convcli.media.tables.text import Encoding


class TableInput(Protocol):
    """Where a table comes from: `TextInput`, or a file of columns."""

    @property
    def path(self) -> Path | None:
        """The file; None for standard input."""
        ...

    @property
    def name(self) -> str:
        """The name of the table in messages."""
        ...

    @property
    def repeatable(self) -> bool:
        """Whether it can be read again from the start."""
        ...

    @property
    def known_columns(self) -> tuple[int, ...] | None:
        """The numbers of the columns that FILTER reads; None if names or rows decide that."""
        ...


@dataclass(frozen=True, eq=False)
class Pass:
    """One pass over a table: its header, and the records to come. `closing` closes the file."""

    encoding: Encoding
    header: Header
    records: Iterator[Any]
    closing: ExitStack
    compression: Compression | None
