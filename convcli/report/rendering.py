"""Pages are rendered from templates, under a policy by which nothing is fetched.

A page is one file. The Content-Security-Policy names its script and its style by their hashes, so
that nothing else runs; pictures and sounds are data URIs. Compiled templates are kept beside
Python's compiled modules.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from jinja2 import Environment, FunctionLoader
from jinja2.bccache import Bucket, FileSystemBytecodeCache

from convcli.report.page import PAGES, page_asset, unescaped


def render_page(name: str, **values: Any) -> str:
    """Render the template `pages/NAME.html` with its script and its style; values are escaped."""
    script = page_asset(f"{name}.js")
    style = page_asset("charts.css") + page_asset(f"{name}.css")
    environment = Environment(
        loader=FunctionLoader(page_asset),
        bytecode_cache=_CompiledPages(PAGES),
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


def _policy(script: str, style: str) -> str:
    """A policy that allows this script and this style, and data URIs for pictures and sounds."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


class _CompiledPages(FileSystemBytecodeCache):
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
