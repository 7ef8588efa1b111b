"""Modules are imported while the program would wait for something else."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def importing(modules: tuple[str, ...]) -> Iterator[None]:
    """Import modules in a thread of their own during this context, which ends after them.

    A module that cannot be imported is left to the code that needs it, which says so.
    """
    missing = [name for name in modules if name not in sys.modules]
    if not missing:
        yield
        return
    thread = Thread(target=_import, args=(missing,))
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _import(modules: list[str]) -> None:
    with suppress(ImportError):
        for name in modules:
            import_module(name)
