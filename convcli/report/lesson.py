"""Pages that explain a convolution with numbers that can be played and edited.

The data are JSON in an element of the page that browsers do not run as a script.
"""

from __future__ import annotations

import json
from textwrap import indent
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli import __version__
from convcli.dataclass import dataclass
from convcli.facts import to_plain
from convcli.facts.explanation import ExplanationFacts
from convcli.facts.libraries import library_versions
from convcli.report.as_json import explanation_json
from convcli.report.as_markdown import markdown_page
from convcli.report.explained import explained_figures
from convcli.report.page import unescaped
from convcli.report.words import command_text, library_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from convcli.facts.explanation import StageFacts
    from convcli.report.figures import Figure
    from convcli.report.sample_texts import Line


# With more outputs than this in a channel of a stage, or in all, a page draws curves and pictures
# instead of cells.
MOST_PLAYED, MOST_CELLS = 90, 1000
PLAYED = (
    "Press Play, or move the slider, and the kernel moves over the signal. "
    "Where a number can be typed over, every result follows."
)


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A part of a page.

    text : paragraphs
    command : the command that computes the same
    lines : what the command prints
    explanation : stages that are played; None without
    figures : drawn above them
    prints : whether what the command prints is shown at once
    """

    title: str
    text: Sequence[str] = ()
    command: str = ""
    lines: Iterable[Line] = ()
    explanation: ExplanationFacts | None = None
    figures: Sequence[Figure] = ()
    prints: bool = False

    @property
    def printed(self) -> str:
        """What the command prints, as plain text."""
        lines = ["".join(text for text, _ in line).rstrip() for line in self.lines]
        return "\n".join(lines).strip("\n")


def explained_text(facts: Any, lines: Iterable[Line], *, suffix: str, words: Sequence[str]) -> str:
    """Render what `explain` found as HTML, JSON or Markdown.

    suffix : .html, .htm, .json or .md
    words : those of the command line
    """
    if suffix == ".json":
        return explanation_json(facts, words)
    command = command_text(words)
    chapter = Chapter(
        title="Step by step",
        command=command,
        lines=lines,
        explanation=facts_to_play(facts),
        figures=unplayed_figures(facts),
    )
    if suffix == ".md":
        printed = f"    $ {command}\n\n{indent(chapter.printed, '    ')}"
        return markdown_page(printed, explained_figures(facts))
    introduction = []
    if chapter.explanation is not None:
        introduction.append(PLAYED)
    return lesson_page("A convolution, explained", introduction, (chapter,))


def lesson_page(title: str, introduction: Sequence[str], chapters: Sequence[Chapter]) -> str:
    """Render a page of chapters as HTML."""
    data = [_chapter_data(chapter) for chapter in chapters]
    from convcli.report.rendering import render_page

    return render_page(
        "lesson",
        title=title,
        introduction=introduction,
        chapters=[_chapter_text(chapter) for chapter in chapters],
        version=__version__,
        libraries=library_text(library_versions()),
        data=unescaped(_embedded_json({"chapters": data})),
    )


def facts_to_play(facts: Any) -> ExplanationFacts | None:
    """The facts if they are stages that are short enough to be played, else None."""
    if not isinstance(facts, ExplanationFacts):
        return None
    outputs = [np.size(stage.outputs) for stage in facts.stages if stage.sums or stage.spread]
    largest = 0
    for stage in facts.stages:
        if stage.sums or stage.spread:
            largest = max(largest, np.size(stage.outputs) // len(stage.channels_out))
    fits = largest <= MOST_PLAYED and 0 < sum(outputs) <= MOST_CELLS
    return facts if fits else None


def unplayed_figures(facts: Any) -> list[Figure]:
    """Charts where nothing is played: a long signal and its result, or sums and their integral."""
    if facts_to_play(facts) is not None:
        return []
    return explained_figures(facts)


def _chapter_text(chapter: Chapter) -> dict[str, Any]:
    """What the template says of a chapter."""
    played_or_drawn = chapter.explanation is not None or bool(chapter.figures)
    return {
        "title": chapter.title,
        "text": chapter.text,
        "command": chapter.command,
        "lines": chapter.printed,
        "figures": chapter.figures,
        "open": chapter.prints or not played_or_drawn,
    }


def _chapter_data(chapter: Chapter) -> dict[str, Any]:
    """What the script knows of a chapter."""
    explanation = None
    if chapter.explanation is not None:
        explanation = to_plain(chapter.explanation)
        _complete_stages(explanation["stages"], chapter.explanation.stages)
    return {"explanation": explanation}


def _complete_stages(plain: Sequence[dict[str, Any]], stages: Sequence[StageFacts]) -> None:
    """Add what the script needs, and leave out what it computes itself."""
    for stage, facts in zip(plain, stages, strict=True):
        stage["size"] = facts.size
        # Every window lies one stride after the one before it.
        stage["sums"] = stage["sums"][:1]
        if stage["spread"] is not None:
            stage["spread"]["copies"] = []
        for branch, own in zip(stage["branches"], facts.branches, strict=True):
            _complete_stages(branch["stages"], own.stages)


def _embedded_json(data: Any) -> str:
    """JSON in which browsers find no end of the element that holds it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
