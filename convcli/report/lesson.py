"""Pages that explain a convolution with numbers that can be played and edited.

Data are JSON in the page, which does not run.
"""

from __future__ import annotations

import json
from textwrap import indent
from typing import TYPE_CHECKING, Any

from convcli import __version__
from convcli.dataclass import dataclass
from convcli.facts import to_plain
from convcli.facts.continuous import ContinuousFacts
from convcli.facts.explanation import ExplanationFacts
from convcli.report.as_json import json_text
from convcli.report.page import render_page, unescaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from convcli.report.explanation import Line


# With more outputs than this, a page draws curves instead of cells.
MOST_PLAYED = 90


@dataclass(frozen=True, kw_only=True)
class LessonCurve:
    """A line in a chart; None is a missing value."""

    name: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class LessonChart:
    """Curves that are drawn on one pair of axes."""

    title: str
    series: tuple[LessonCurve, ...]


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A part of a page.

    text : paragraphs
    command : the command that computes the same
    lines : what the command prints
    explanation : stages that are played; None without
    charts : drawn above them
    prints : whether what the command prints is shown at once
    """

    title: str
    text: Sequence[str] = ()
    command: str = ""
    lines: Iterable[Line] = ()
    explanation: ExplanationFacts | None = None
    charts: tuple[LessonChart, ...] = ()
    prints: bool = False

    @property
    def printed(self) -> str:
        """What the command prints, as plain text."""
        lines = ["".join(text for text, _ in line).rstrip() for line in self.lines]
        return "\n".join(lines).strip("\n")


def explained_text(facts: Any, lines: Iterable[Line], *, suffix: str, command: str) -> str:
    """Render what `explain` found as HTML, JSON or Markdown.

    suffix : .html, .htm, .json or .md
    """
    if suffix == ".json":
        return json_text(facts)
    chapter = Chapter(
        title="Step by step",
        command=command,
        lines=lines,
        explanation=played(facts),
        charts=charts_of(facts),
    )
    if suffix == ".md":
        return f"# Explained\n\n    $ {command}\n\n{indent(chapter.printed, '    ')}\n"
    introduction = ("Every number here can be played, and those with a frame edited.",)
    return lesson_page("A convolution, explained", introduction, (chapter,))


def lesson_page(title: str, introduction: Sequence[str], chapters: Sequence[Chapter]) -> str:
    """Render a page of chapters as HTML."""
    data = [_chapter_data(chapter) for chapter in chapters]
    return render_page(
        "lesson",
        title=title,
        introduction=introduction,
        chapters=[_chapter_text(chapter) for chapter in chapters],
        version=__version__,
        data=unescaped(_embedded_json({"chapters": data})),
    )


def played(facts: Any) -> ExplanationFacts | None:
    """The facts if they are stages that are short enough to be played, else None."""
    if not isinstance(facts, ExplanationFacts):
        return None
    samples = sum(len(stage.sums) for stage in facts.stages)
    return facts if 0 < samples <= MOST_PLAYED else None


def charts_of(facts: Any) -> tuple[LessonChart, ...]:
    """Curves of what is not played: a long signal and its result, or sums and their integral."""
    if isinstance(facts, ContinuousFacts):
        return (_integral_chart(facts),)
    if isinstance(facts, ExplanationFacts) and played(facts) is None:
        return _long_signal_charts(facts)
    return ()


def _integral_chart(facts: ContinuousFacts) -> LessonChart:
    rows = zip(facts.steps[:3], facts.sums, strict=False)
    curves = [LessonCurve(name=f"sum, dt = {step:g}", x=facts.times, y=row) for step, row in rows]
    limit = LessonCurve(name="integral", x=facts.times, y=facts.integral)
    return LessonChart(title="the sum approaches the integral", series=(*curves, limit))


def _long_signal_charts(facts: ExplanationFacts) -> tuple[LessonChart, ...]:
    """The signal and the result over the index, where there is one channel along one axis."""
    one_axis = bool(facts.result) and not isinstance(facts.result[0], tuple)
    if not one_axis:
        return ()
    curves = [_indexed_curve("result", facts.result)]
    if facts.stages and not facts.stages[0].several:
        stage = facts.stages[0]
        start = -stage.first[0]
        signal = stage.inputs[max(start, 0) : max(start, 0) + stage.length[0]]
        curves.insert(0, _indexed_curve("signal", signal))
    return (LessonChart(title=facts.filter or "the signal", series=tuple(curves)),)


def _indexed_curve(name: str, values: tuple[float | None, ...]) -> LessonCurve:
    return LessonCurve(name=name, x=tuple(map(float, range(len(values)))), y=values)


def _chapter_text(chapter: Chapter) -> dict[str, Any]:
    """What the template says of a chapter."""
    played_or_drawn = chapter.explanation is not None or bool(chapter.charts)
    return {
        "title": chapter.title,
        "text": chapter.text,
        "command": chapter.command,
        "lines": chapter.printed,
        "open": chapter.prints or not played_or_drawn,
    }


def _chapter_data(chapter: Chapter) -> dict[str, Any]:
    """What the script knows of a chapter."""
    explanation = None
    if chapter.explanation is not None:
        explanation = to_plain(chapter.explanation)
        for stage, facts in zip(explanation["stages"], chapter.explanation.stages, strict=True):
            stage["size"] = facts.size
            # Every window lies one stride after the one before it.
            stage["sums"] = stage["sums"][:1]
    return {"explanation": explanation, "charts": to_plain(chapter.charts)}


def _embedded_json(data: Any) -> str:
    """JSON that no page can take for the end of its element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
