"""`--report FILE`: the facts as a file, in the format that its suffix names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from convcli.errors import OutputError, RequestError
from convcli.facts import RunFacts
from convcli.report import as_html, as_json, as_markdown

Facts = RunFacts | Sequence[RunFacts]
Atomic = Callable[[Path], AbstractContextManager[Path]]

_RENDERERS: dict[str, Callable[[Sequence[RunFacts]], str]] = {
    ".json": as_json.render,
    ".html": as_html.render,
    ".htm": as_html.render,
    ".md": as_markdown.render,
}


def render_report(facts: Facts, suffix: str) -> str:
    """The facts of one run, or of several, as the text of a `.json`, `.html` or `.md` file."""
    runs = (facts,) if isinstance(facts, RunFacts) else tuple(facts)
    return _RENDERERS[check_report(Path(f"report{suffix}"))](runs)


def check_report(path: Path) -> str:
    """The suffix of a report's path in lower case; RequestError, before any work, where no format has it."""
    suffix = path.suffix.lower()
    if suffix not in _RENDERERS:
        raise RequestError(
            f"expected a report named .json, .html or .md, got {path}",
            hint=f"--report {path.stem or 'facts'}.json",
        )
    return suffix


def write_report(facts: Facts, path: Path, *, atomic: Atomic) -> None:
    """Write the facts to `path`, in the format of its suffix.

    atomic : the context that gives a temporary path and puts it in place at the end (`media.outputs.atomic`)
    """
    text = render_report(facts, check_report(path))
    try:
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
