"""What all pages share: templates, and a policy under which nothing is fetched.

A page is one file. The Content-Security-Policy names its script and its style by their hashes, so
that nothing else runs; pictures and sounds are data URIs.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

PAGES = Path(__file__).with_name("pages")


def render_page(name: str, **values: Any) -> str:
    """Render the template `pages/NAME.html` with its script and its style; values are escaped."""
    from jinja2 import Environment, FunctionLoader

    from convcli.report.compiled_pages import CompiledPages

    script = page_asset(f"{name}.js")
    style = page_asset("charts.css") + page_asset(f"{name}.css")
    environment = Environment(
        loader=FunctionLoader(page_asset),
        bytecode_cache=CompiledPages(PAGES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template(f"{name}.html")
    return template.render(
        policy=_policy(script, style),
        script=unescaped(script),
        style=unescaped(style),
        **values,
    )


def unescaped(text: str) -> Any:
    """Text of our own that is not escaped: a file of this package, or what a renderer escaped."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704


@cache
def page_asset(name: str) -> str:
    """The text of a file in `pages`."""
    return PAGES.joinpath(name).read_text(encoding="utf-8")


def _policy(script: str, style: str) -> str:
    """A policy that allows this script and this style, and data URIs for pictures and sounds."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
