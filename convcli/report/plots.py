"""`--plot FILE.png|.svg|.pdf`: the charts of a page as one drawing, by matplotlib.

matplotlib is an extra, because it and what it needs take 90 MB; it is imported only here.
"""

from __future__ import annotations

import textwrap
import warnings
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from convcli.errors import OutputError, RequestError
from convcli.report.charts import Y_TICKS
from convcli.report.columns import signal_views
from convcli.report.figures import Figure, design_figures, overlay_figures
from convcli.report.marks import marked_views
from convcli.report.pictures import brightness, histogram_figures
from convcli.report.words import visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from convcli.facts import RunFacts, StepFacts
    from convcli.places import Place
    from convcli.report.charts import Axis, Box, Graph, Mark, Trace
    from convcli.report.views import SignalView

    FigureRows = Sequence[Sequence[Figure]]
    AtomicFile = Callable[[Place], AbstractContextManager[Path]]

FORMATS = (".png", ".svg", ".pdf")
# Inches: width of the drawing, height of a row of charts and of a row of pictures.
WIDTH, CHART_HEIGHT, PICTURE_HEIGHT = 10.0, 2.3, 3.6
# Characters of a title as wide as the drawing.
TITLE_LENGTH = 130
# Charts of one drawing, at most.
MOST_ROWS = 24

_COLOURS = {
    "before": "#8a94a3",
    "after": "#0b57d0",
    "second": "#a33a00",
    "third": "#146c2e",
    "gap": "#f3b7b0",
    "outside": "#e4e7ec",
    "hit": "#ffd58a",
    "stop": "#eceff3",
    "faint": "#c3cad3",
}


def check_plot(path: Place) -> None:
    """Raise RequestError for a format that cannot be drawn, or where matplotlib is missing."""
    if path.suffix.lower() not in FORMATS:
        raise RequestError(
            f"expected a drawing named {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, got {path}",
            hint=f"{path.stem or 'plot'}.png",
        )
    if find_spec("matplotlib") is None:
        raise RequestError(
            "drawings need matplotlib, which is not installed",
            hint="pip install 'convcli[plot]'; --report FILE.html draws without it",
        )


# ------------------------------------------------------------------------------------ what is drawn


def run_rows_of_figures(run: RunFacts) -> FigureRows:
    """What is drawn of a run: before and after, in rows of charts and pictures."""
    preview = run.preview
    if preview is None:
        return []
    before, after = preview.before.picture, preview.after.picture
    if before is None or after is None:
        return [[figure] for view in signal_views(run) for figure in _named_figures(view)]
    from convcli.report.embedded import picture_uri

    more_pages = len(preview.pages) + preview.more_pages
    which = f", page 1 of {1 + more_pages:,}" if more_pages else ""
    if run.comparison is not None and run.comparison.page is not None:
        which = f", page {run.comparison.page}"
    if before.undrawn:
        which += f", {' '.join(map(visible, before.channels))}"
    pictures = [
        Figure(caption=f"{visible(name)}{which}", image=picture_uri(picture.reduced, exact=True))
        for name, picture in zip(preview.names, (before, after), strict=True)
    ]
    if preview.likeness is not None:
        caption = f"difference, {brightness(preview.likeness)}"
        difference = picture_uri(preview.likeness.difference, exact=True)
        pictures.append(Figure(caption=caption, image=difference))
    return [pictures, list(histogram_figures(before, after, preview.names))]


def _named_figures(view: SignalView) -> Iterator[Figure]:
    """Yield the figures of a view, with its heading before their captions."""
    for figure in view.figures:
        caption = figure.caption
        if view.heading:
            caption = f"{view.heading}: {caption}"
        yield replace(figure, caption=caption)


def marked_rows_of_figures(run: RunFacts) -> FigureRows:
    """What is drawn of a search: each input with its hits."""
    return [[figure] for view in marked_views(run, exact=True) for figure in view.figures]


def learned_rows_of_figures(run: RunFacts) -> FigureRows:
    """What is drawn of a model: its training, an example, its responses or kernels."""
    from convcli.report.learned import learned_views
    from convcli.report.networks import network_views

    rows = _rows_of_views([*learned_views(run), *network_views(run)])
    if not any(step.layers and len(step.layers) > 1 for step in run.steps):
        rows += _response_rows(run.steps)
    return rows


def _rows_of_views(views: Sequence[SignalView]) -> list[Sequence[Figure]]:
    """Rows of the figures of some views: up to three pictures in a row, or one chart."""
    rows: list[Sequence[Figure]] = []
    for view in views:
        figures = list(_named_figures(view))
        together = 3 if view.layout == "three" else 1
        rows += [figures[at : at + together] for at in range(0, len(figures), together)]
    return rows


def explained_rows_of_figures(facts: Any) -> FigureRows:
    """What is drawn of what `explain` found: charts below each other, pictures in lines."""
    from convcli.report.explained import explained_figures

    figures = explained_figures(facts)
    pictures = [figure for figure in figures if figure.chart is None]
    rows: list[Sequence[Figure]] = [[figure] for figure in figures if figure.chart is not None]
    return rows + [pictures[at : at + 3] for at in range(0, len(pictures), 3)]


def filter_rows_of_figures(run: RunFacts) -> FigureRows:
    """What is drawn of one step or, on one pair of axes, of several, and of their layers."""
    from convcli.report.networks import network_views

    return [*_response_rows(run.steps), *_rows_of_views(list(network_views(run)))]


def _response_rows(steps: Sequence[StepFacts]) -> FigureRows:
    """The responses of one step or, on one pair of axes, of several: two figures a row."""
    figures = design_figures(steps[0]) if len(steps) == 1 else overlay_figures(steps)
    return [figures[start : start + 2] for start in range(0, len(figures), 2)]


# ---------------------------------------------------------------------------------- how it is drawn


def write_plot(
    rows: FigureRows, path: Place, *, title: str, atomic: AtomicFile, empty: str | None = None
) -> None:
    """Draw rows of figures into `path`, in the format of its suffix.

    atomic : a context that gives a temporary path and renames the file when it is complete
    empty : what is written where there are no figures; None: RequestError
    """
    rows = [row for row in rows if row]
    if not rows and empty is None:
        raise RequestError("there is nothing that could be drawn")
    undrawn = len(rows) - MOST_ROWS
    with _quiet_matplotlib():
        figure = _drawn(rows[:MOST_ROWS], title) if rows else _empty_page(title, empty or "")
        if undrawn > 0:
            figure.supxlabel(f"There is no room for {plural(undrawn, 'row')} more.", fontsize=9)
        try:
            with atomic(path) as place:
                _save(figure, place, path.suffix.lower())
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def _quiet_matplotlib() -> Iterator[None]:
    """Show text as it is, write no date into files, and do not warn of missing glyphs."""
    import matplotlib as mpl

    settings: Any = {"text.parse_math": False, "svg.hashsalt": "convcli", "font.size": 9}
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _save(figure: Any, place: Path, suffix: str) -> None:
    metadata: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(
        suffix, {}
    )
    with place.open("wb") as file:
        figure.savefig(file, format=suffix[1:], dpi=150, metadata=metadata)


def _drawn(rows: FigureRows, title: str) -> Any:
    from matplotlib.figure import Figure as Drawing

    heights = [_height(row[0]) for row in rows]
    drawing = Drawing(figsize=(WIDTH, sum(heights) + 0.5), layout="constrained")
    drawing.suptitle(title, fontsize=11)
    parts = drawing.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)
    for part, row in zip(parts[:, 0], rows, strict=True):
        axes = part.subplots(1, len(row), squeeze=False)
        for place, figure in zip(axes[0], row, strict=True):
            _draw_figure(place, figure, TITLE_LENGTH // len(row))
    return drawing


def _empty_page(title: str, text: str) -> Any:
    """A drawing that consists of words."""
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(WIDTH, CHART_HEIGHT))
    drawing.suptitle(title, fontsize=11)
    drawing.text(0.5, 0.5, text, horizontalalignment="center")
    return drawing


def _height(figure: Figure) -> float:
    """Inches of a row with this figure."""
    if figure.chart is None:
        return PICTURE_HEIGHT
    if figure.chart.framed:
        return WIDTH * figure.chart.height / figure.chart.width
    return CHART_HEIGHT


def _draw_figure(axes: Any, figure: Figure, title_length: int) -> None:
    axes.set_title(textwrap.fill(figure.caption, title_length), fontsize=9, loc="left")
    if figure.chart is None:
        axes.imshow(_pixels(figure.image), interpolation=_enlargement(figure))
        axes.set_axis_off()
        # The text above a narrow picture has all the room to its right.
        axes.set_anchor("W")
        return
    _draw_chart(axes, figure.chart)
    if figure.keys:
        _draw_legend(axes, figure.keys)


def _draw_legend(axes: Any, keys: Sequence[tuple[str, str]]) -> None:
    """Draw the key of a chart: its lines by their names, then the shades."""
    from matplotlib.patches import Patch

    handles, names = axes.get_legend_handles_labels()
    lines = dict(zip(names, handles, strict=True))
    shades = {name: Patch(color=_COLOURS[style], label=name) for name, style in keys}
    axes.legend(handles=[lines.get(name, shades[name]) for name, _ in keys], loc="best", fontsize=8)


def _enlargement(drawn: Figure | Graph) -> str:
    return "nearest" if drawn.pixels else "antialiased"


def _draw_chart(axes: Any, chart: Graph) -> None:
    _set_axis(axes.xaxis, axes.set_xlim, axes.set_xscale, chart.x, chart.x_ticks)
    _set_axis(axes.yaxis, axes.set_ylim, axes.set_yscale, chart.y, Y_TICKS)
    for region in chart.regions:
        axes.axvspan(region.low, region.high, color=_COLOURS[region.style], linewidth=0)
    if chart.image:
        extent = (*chart.ends_of_image, chart.y.low, chart.y.high)
        axes.imshow(
            _pixels(chart.image),
            extent=extent,
            aspect="equal" if chart.framed else "auto",
            interpolation=_enlargement(chart),
        )
    else:
        axes.grid(visible=True, color="#e4e7ec", linewidth=0.6)
        axes.set_axisbelow(True)
    for trace in chart.traces:
        _draw_trace(axes, trace)
    for box in chart.boxes:
        _draw_box(axes, box)
    for mark in chart.marks:
        _draw_mark(axes, mark)


def _draw_box(axes: Any, box: Box) -> None:
    left, right = box.x
    top, bottom = box.y
    x = [left, right, right, left, left]
    y = [top, top, bottom, bottom, top]
    axes.plot(x, y, color="#ffb000", linewidth=1.5)


def _draw_mark(axes: Any, mark: Mark) -> None:
    axes.axvline(mark.value, color=_COLOURS["second"], linestyle="--", linewidth=0.8)
    beside = axes.get_xaxis_transform()
    axes.annotate(f" {mark.text}", (mark.value, 0.05), xycoords=beside, rotation=90, fontsize=7)


def _set_axis(axis: Any, set_limits: Any, set_scale: Any, wanted: Axis, count: int) -> None:
    """Set range, scale and about `count` ticks of an axis."""
    from matplotlib.ticker import NullLocator

    if wanted.logarithmic:
        set_scale("log")
    set_limits(wanted.low, wanted.high)
    # Ticks and texts are those of pages: dates, 10k, and 1, 2, 5 on logarithmic axes.
    ticks = wanted.ticks(count)
    texts, label = wanted.short_texts(ticks)
    axis.set_ticks(ticks, labels=texts)
    axis.set_label_text(label)
    axis.set_minor_locator(NullLocator())


def _draw_trace(axes: Any, trace: Trace) -> None:
    colour = _COLOURS[trace.style]
    x = [x for x, _ in trace.points]
    y = [y for _, y in trace.points]
    if len(trace.upper):
        upper = [y for _, y in trace.upper]
        axes.fill_between(x, y, upper, color=colour, linewidth=0.5, label=trace.name)
    elif trace.stems_drawn:
        axes.vlines(x, 0, y, color=colour, linewidth=1)
        axes.plot(x, y, "o", color=colour, markersize=2.5, label=trace.name)
    elif trace.dotted:
        axes.plot(x, y, "o", color=colour, markersize=2, label=trace.name)
    else:
        width = 6.0 if trace.thick else 1.1
        axes.plot(x, y, color=colour, linewidth=width, label=trace.name)
        for point in trace.lone_points:
            axes.plot(*point, "o", color=colour, markersize=2)


def _pixels(uri: str) -> Any:
    """The pixels of a data URI, red first."""
    import base64

    import cv2
    import numpy as np

    content = base64.b64decode(uri.partition(",")[2])
    found: Any = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if found.ndim == 2:
        return np.repeat(found[..., None], 3, axis=2)
    order = [2, 1, 0, 3][: found.shape[2]]
    return found[..., order]
