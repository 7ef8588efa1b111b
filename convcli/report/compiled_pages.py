"""Compiled templates of pages, kept beside Python's compiled modules."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from pickle import UnpicklingError

from jinja2.bccache import Bucket, FileSystemBytecodeCache


class CompiledPages(FileSystemBytecodeCache):
    """Compiled templates in the folder in which Python keeps its compiled modules.

    Compiling the templates took a quarter of the cost of a page about a short sound. As with
    modules, a folder that cannot be written is no error, and `PYTHONDONTWRITEBYTECODE` counts.
    """

    def __init__(self, templates: Path) -> None:
        folder = Path(cache_from_source(str(templates / "page.py"))).parent
        # Jinja marks what it compiles with versions of its own and of Python.
        super().__init__(str(folder), f"%s.{sys.implementation.cache_tag}.jinja")

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take a template that was kept, unless it cannot be read."""
        with suppress(OSError, EOFError, UnpicklingError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a template that has been compiled."""
        if sys.dont_write_bytecode:
            return
        with suppress(OSError):
            Path(self.directory).mkdir(parents=True, exist_ok=True)
            super().dump_bytecode(bucket)
