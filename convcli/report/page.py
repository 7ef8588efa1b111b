"""What all pages and their parts share: files of this package, and text that is not escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

PAGES = Path(__file__).with_name("pages")


def unescaped(text: str) -> Any:
    """Text of our own that is not escaped: a file of this package, or what a renderer escaped."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704


@cache
def page_asset(name: str) -> str:
    """The text of a file in `pages`."""
    return PAGES.joinpath(name).read_text(encoding="utf-8")
