"""Pages in headless Chromium, driven by Playwright; tests are skipped where there is none."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@dataclass
class OpenPage:
    """A page, what its console said, and what it asked the network for."""

    page: Any
    said: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    @property
    def too_wide(self) -> bool:
        """Whether the page scrolls sideways."""
        wide: bool = self.page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        return wide


# Roles of the accessibility tree that need a name.
NAMED = {
    "button",
    "columnheader",
    "image",
    "link",
    "rowheader",
    "searchbox",
    "slider",
    "spinbutton",
    "table",
}


def unread(page: Any) -> list[str]:
    """What a screen reader misses: names, headings in order, and headers of tables."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in nodes if not node["ignored"]]
    faults = []
    last_level = 0
    for node in shown:
        role, name = node["role"]["value"], node.get("name", {}).get("value", "")
        if role in NAMED and not name.strip():
            faults.append(f"{role} without a name")
        if role == "heading":
            found = (each for each in node["properties"] if each["name"] == "level")
            level = next(found)["value"]["value"]
            if level > last_level + 1:
                faults.append(f"heading {name!r} of level {level} after level {last_level}")
            last_level = level
        if role == "table" and not _holds_header(node, {each["nodeId"]: each for each in nodes}):
            faults.append("table without headers")
    return faults


def _holds_header(node: Any, nodes: dict[str, Any]) -> bool:
    if node["role"]["value"] in ("columnheader", "rowheader"):
        return True
    return any(_holds_header(nodes[child], nodes) for child in node["childIds"] if child in nodes)


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    sync = pytest.importorskip("playwright.sync_api")
    with sync.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@contextmanager
def opened(
    running: Any, path: Path, *, width: int = 1200, scheme: str = "light"
) -> Iterator[OpenPage]:
    """Open the file at `path` in a window of `width` pixels."""
    context = running.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    shown = OpenPage(page)
    page.on("console", lambda message: shown.said.append(message.text))
    page.on("pageerror", lambda error: shown.said.append(str(error)))
    page.on("request", lambda request: shown.fetched.append(request.url))
    page.goto(path.as_uri())
    yield shown
    context.close()
