"""`--report FILE`: the facts in a file, in the format that its suffix names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from convcli.errors import OutputError, RequestError, shell_word
from convcli.facts import RunFacts
from convcli.facts.libraries import library_versions
from convcli.places import Place

Facts = RunFacts | Sequence[RunFacts]
Atomic = Callable[[Place], AbstractContextManager[Path]]

PAGES, DRAWING = (".html", ".htm"), (".html", ".htm", ".md")


def render_report(facts: Facts, suffix: str) -> str:
    """Render the facts of one run, or of several, as a `.json`, `.html` or `.md` file."""
    runs = (facts,) if isinstance(facts, RunFacts) else tuple(facts)
    suffix = check_report(Path(f"report{suffix}"))
    # The command names every input. Written with each of them, it would make a report quadratic.
    first, *others = runs
    runs = (first, *(replace(run, command=()) for run in others))
    if suffix in PAGES:
        from convcli.report.as_html import render_html

        return render_html(runs)
    if suffix in DRAWING:
        from convcli.report.as_markdown import render_markdown

        return render_markdown(runs)
    from convcli.report.as_json import render_json

    return render_json(runs)


def draws_signals(path: Place | None) -> bool:
    """Whether a report is asked for, in a format that draws the signals."""
    return path is not None and path.suffix.lower() in DRAWING


def renderer_modules(path: Place, *, of_sounds: bool) -> tuple[str, ...]:
    """The modules that render a report, of sounds or of other signals, and take long to import."""
    if path.suffix.lower() not in PAGES:
        return ()
    players = ("convcli.report.sounds", "soundfile") if of_sounds else ()
    return ("convcli.report.as_html", *players)


def check_report(path: Place) -> str:
    """Return the suffix of a report in lower case. RequestError if there is no such format."""
    suffix = path.suffix.lower()
    if suffix not in (*DRAWING, ".json"):
        name = path.with_suffix(".json") if path.name else "facts.json"
        raise RequestError(
            f"expected a report named .json, .html or .md, got {path}",
            hint=f"--report {shell_word(name)}",
        )
    return suffix


def write_report(facts: Facts, path: Place, *, atomic: Atomic) -> None:
    """Write the facts to `path`, in the format of its suffix.

    atomic : a context that gives a temporary path and renames the file when it is complete
    """
    runs = (facts,) if isinstance(facts, RunFacts) else tuple(facts)
    first = replace(runs[0], libraries=library_versions())
    text = render_report((first, *runs[1:]), check_report(path))
    try:
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
