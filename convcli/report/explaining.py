"""A convolution as it is computed, in lines: the kernel under the signal, the products, their sum.

A line is a list of texts, each with a style of `rich` or none; plain text is the same without the styles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcli.report.words import plural, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts.explanation import ExplanationFacts, StageFacts, SumFacts

    Line = list[tuple[str, str]]

OUTSIDE, KERNEL, RESULT, TITLE = "dim", "cyan", "bold green", "bold"
# A signal that takes more columns than this is shown a window at a time.
WIDEST = 100
# Of a longer list the first so many numbers are shown.
MOST = 32
GAPS = {
    "renormalise": "what is missing gets no weight, and the sum is divided by the weights that are there",
    "hold": "in the place of what is missing stands the nearest earlier value",
    "empty": "where something is missing there is no output",
}
EDGES = {
    "zero": "outside of the signal is 0",
    "edge": "outside stands the nearest sample",
    "reflect": "outside the signal is mirrored about its last sample",
    "symmetric": "outside the signal is mirrored, its last sample twice",
    "wrap": "outside the signal begins anew",
    "shrink": "outside everything is missing",
    "valid": "only outputs whose every input is there",
}


def lines(facts: ExplanationFacts, limit: int) -> Iterator[Line]:
    """The whole explanation; of each stage at most `limit` outputs, 0 for all."""
    for number, stage in enumerate(facts.stages):
        if number:
            yield []
        yield from _stage(stage, facts, limit)
    if not facts.stages:
        yield [(f"{visible(facts.filter)} ", TITLE), (_untouched(facts), "")]
    yield []
    yield [("result  ", TITLE), (_shown(facts.result), RESULT)]
    if facts.torch:
        yield [("torch   ", TITLE), (facts.torch, "")]
    if facts.matrix is not None:
        yield []
        yield from _matrix(facts.matrix)


def _untouched(facts: ExplanationFacts) -> str:
    return (
        "changes nothing"
        if _shown(facts.result)
        else "has no output: the signal is shorter than the kernel"
    )


def number(value: float | None) -> str:
    """A number in at most six digits, `.` where nothing is."""
    return "." if value is None else f"{value + 0.0:.6g}"  # no -0


def _shown(values: Any) -> str:
    """`1, 2; 3, 4`, as SIGNAL is written; of many the first."""
    if not values or not isinstance(values[0], tuple):
        told = ", ".join(map(number, values[:MOST]))
        return told if len(values) <= MOST else f"{told}, ... ({len(values):,} in all)"
    told = "; ".join(_shown(row) for row in values[:MOST])
    return told if len(values) <= MOST else f"{told}; ... ({len(values):,} rows in all)"


# ---------------------------------------------------------------------------------------------------- a stage


def _stage(stage: StageFacts, facts: ExplanationFacts, limit: int) -> Iterator[Line]:
    if stage.flipped is None:
        yield [(visible(stage.text), TITLE), (" takes", ""), (f"  {_shown(stage.inputs)}", "")]
        yield [
            (" " * len(visible(stage.text)), ""),
            (" gives", ""),
            (f"  {_shown(stage.outputs)}", RESULT),
        ]
        return
    yield from _heading(stage, facts)
    yield []
    flat = len(stage.stride) == 1
    shown = stage.sums if limit == 0 else stage.sums[:limit]
    yield from _row(stage, shown) if flat else _plane(stage, shown)
    if len(shown) < len(stage.sums):
        yield [
            (
                f"... and {plural(len(stage.sums) - len(shown), 'output')} more; --limit 0 shows all",
                OUTSIDE,
            )
        ]


def _heading(stage: StageFacts, facts: ExplanationFacts) -> Iterator[Line]:
    kind = (
        "convolution, the kernel is flipped"
        if stage.flipped
        else "correlation, the kernel is not flipped"
    )
    yield [(visible(stage.text), TITLE), (f"  {kind}: {_formula(stage)}", "")]
    taps, laid = _shown(stage.taps), _shown(stage.laid)
    yield [("  kernel   ", ""), (taps, KERNEL)]
    yield [
        ("  laid     ", ""),
        (laid, KERNEL),
        (" over the signal" + (", the same" if taps == laid else ""), ""),
    ]
    sides = " and ".join(
        f"{b} before and {a} after{where}"
        for b, a, where in zip(
            stage.before,
            stage.after,
            _axes(len(stage.stride), " in rows", " in columns"),
            strict=True,
        )
    )
    yield [("  align    ", ""), (f"{facts.align}: an output reads {sides}", "")]
    yield [
        ("  edge     ", ""),
        (f"{facts.edge}: {EDGES[facts.edge]}", ""),
        (", in ( )" * (facts.edge != "valid"), OUTSIDE),
    ]
    if any(step > 1 for step in stage.stride):
        yield [
            ("  stride   ", ""),
            (f"an output for every {'x'.join(map(str, stage.stride))} samples", ""),
        ]
    if any(None in _leaves(one.x) for one in stage.sums):
        yield [("  missing  ", ""), (GAPS[stage.gaps], "")]


def _axes(count: int, *names: str) -> tuple[str, ...]:
    return ("",) if count == 1 else names


def _leaves(values: Any) -> list[Any]:
    return (
        [leaf for row in values for leaf in _leaves(row)]
        if isinstance(values[0], (tuple, list))
        else list(values)
    )


def _formula(stage: StageFacts) -> str:
    """`y[t] = sum of g[j] x[t - j + 1]`; along each axis, and with the stride and the divisor."""
    inputs = []
    names = _axes(len(stage.stride), "r", "c")
    letters = [(f"t{name}" if name else "t", f"j{name}" if name else "j") for name in names]
    for (t, j), step, before, after in zip(
        letters, stage.stride, stage.before, stage.after, strict=True
    ):
        at = t if step == 1 else f"{step}{t}"
        shift = after if stage.flipped else -before
        moved = f" {'+' if shift > 0 else '-'} {abs(shift)}" if shift else ""
        inputs.append(f"{at} {'-' if stage.flipped else '+'} {j}{moved}")
    y, g = (",".join(letter[i] for letter in letters) for i in (0, 1))
    divisor = f" / {stage.divisor:g}" if stage.divisor != 1 else ""
    return f"y[{y}] = sum of g[{g}] x[{', '.join(inputs)}]{divisor}"


# ---------------------------------------------------------------------------------------------- one sample axis


def _row(stage: StageFacts, shown: Sequence[SumFacts]) -> Iterator[Line]:
    """The signal once and under it the kernel at each place; a long signal a window at a time."""
    first, count = stage.first[0], len(stage.inputs)
    cells = [
        _framed(number(x), outside=not 0 <= first + i < stage.length[0])
        for i, x in enumerate(stage.inputs)
    ]
    products = [number(p) for one in shown for p in one.products]
    width = 2 + max(
        map(len, [*cells, *products, *map(number, stage.laid), str(first), str(first + count)])
    )
    margin = 2 + max([len(f"y[{one.at[0]}]") for one in shown] + [6])
    if count * width + margin <= WIDEST:
        yield _cells("t", [str(first + i) for i in range(count)], margin, width, OUTSIDE)
        yield _cells("x", cells, margin, width, "")
        yield []
    for one in shown:
        skip = one.first[0] - first
        if count * width + margin > WIDEST:
            window = slice(skip, skip + len(stage.laid))
            yield _cells("x", cells[window], margin, width, "")
            skip = 0
        blank = " " * (skip * width)
        yield [
            (f"{'kernel':<{margin}}", ""),
            (blank + _joined(map(number, stage.laid), width), KERNEL),
        ]
        yield [
            (f"{f'y[{one.at[0]}]':<{margin}}", ""),
            (blank + _joined(map(number, one.products), width), ""),
            *_answer(one, stage),
        ]


def _framed(text: str, *, outside: bool) -> str:
    return f"({text})" if outside else text


def _cells(name: str, cells: Sequence[str], margin: int, width: int, style: str) -> Line:
    inner = [(f"{cell:>{width}}", OUTSIDE if cell.startswith("(") else style) for cell in cells]
    return [(f"{name:<{margin}}", ""), *inner]


def _joined(cells: Any, width: int) -> str:
    return "".join(f"{cell:>{width}}" for cell in cells)


def _answer(one: SumFacts, stage: StageFacts) -> Line:
    """`  sum 8 / 4 = 2`: the sum and, where it is not that, the output."""
    missing = None in _leaves(one.x)
    told = f"   sum {number(one.total)}"
    if missing:
        return [(told, ""), (" -> ", ""), (number(one.y), RESULT)]
    if stage.divisor != 1:
        return [(f"{told} / {stage.divisor:g} = ", ""), (number(one.y), RESULT)]
    return [("   sum ", ""), (number(one.y), RESULT)]


# ---------------------------------------------------------------------------------------------- two sample axes


def _plane(stage: StageFacts, shown: Sequence[SumFacts]) -> Iterator[Line]:
    """Window, kernel and products side by side, a block for each output."""
    for one in shown:
        windows = [
            [_framed(number(x), outside=out) for x, out in zip(row, outs, strict=True)]
            for row, outs in zip(one.x, one.outside, strict=True)
        ]
        kernel, products = (
            [[number(v) for v in row] for row in rows] for rows in (stage.laid, one.products)
        )
        widths = [
            2 + max(len(cell) for row in block for cell in row)
            for block in (windows, kernel, products)
        ]
        margin = f"y[{one.at[0]},{one.at[1]}]"
        for place, (x, g, p) in enumerate(zip(windows, kernel, products, strict=True)):
            line: Line = _cells("" if place else margin, x, len(margin) + 1, widths[0], "")
            line += [
                ("   *", OUTSIDE),
                (_joined(g, widths[1]), KERNEL),
                ("   =", OUTSIDE),
                (_joined(p, widths[2]), ""),
            ]
            yield [*line, *(_answer(one, stage) if place == len(windows) - 1 else [])]


def _matrix(matrix: Any) -> Iterator[Line]:
    """A row for each output, a column for each sample; zeros as dots, so that the band is seen."""
    cells = [["." if value == 0 else number(value) for value in row] for row in matrix]
    width = 2 + max((len(cell) for row in cells for cell in row), default=0)
    size = f"{len(cells)}x{len(cells[0]) if cells else 0}"
    yield [("matrix  ", TITLE), (f"{size}: y = matrix * x, what lies outside worked in", "")]
    for row in cells:
        yield [(f"{cell:>{width}}", OUTSIDE if cell == "." else KERNEL) for cell in row]
