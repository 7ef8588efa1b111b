"""Facts as short words, shared by every renderer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from convcli.facts import InputFacts, LossFacts, OutputFacts, ReachFacts, RunFacts, StepFacts
    from convcli.facts.causality import CausalityFacts, PrefixFacts
    from convcli.facts.detection import DetectionFacts

STEP_COLUMNS = ("step", "taps", "sum", "delay", "look-ahead", "reach", "note")
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    r"""`text` with everything that is not plainly printable escaped: control, direction and broken characters.

    >>> print(visible("a\x1b[31mb\n"))
    a\x1b[31mb\n
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    if char in _ESCAPES:
        return _ESCAPES[char]
    code = ord(char)
    # A byte of a file name that is not UTF-8 reaches Python as a lone surrogate.
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )


def number(value: float | None) -> str:
    """A number in at most six digits; nothing where it is not known."""
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def step_row(step: StepFacts) -> tuple[str, ...]:
    """The cells of a step under `STEP_COLUMNS`."""
    size = "x".join(map(str, step.shape)) if len(step.shape) > 1 else number(step.taps)
    cells = (
        step.text,
        size,
        number(step.sum),
        number(step.delay),
        number(step.look_ahead),
        reach(step.reach),
        step.note,
    )
    return tuple(map(visible, cells))


def reach(axes: tuple[ReachFacts, ...]) -> str:
    """`-127 ... +127`, per axis, with the spacing of the outputs where it is not one for one."""
    return " x ".join(map(_reach, axes))


def _reach(axis: ReachFacts) -> str:
    spacing = "" if axis.step == axis.phases == 1 else f", {axis.phases} per {axis.step}"
    return f"{-axis.before} ... {axis.after:+d}{spacing}"


def rows(run: RunFacts) -> Iterator[tuple[str, str]]:
    """The facts outside the table of steps as pairs of a name and a text, nothing that is empty."""
    if run.filter:
        yield "filter", visible(run.filter)
    for one in run.inputs:
        yield "input", signal(one)
    if run.detection is not None:
        yield from _detection(run.detection)
    for written in run.outputs:
        yield "output", signal(written)
    rules = {"edge": run.edge, "align": run.align, "missing": run.missing}
    yield from ((name, visible(text)) for name, text in rules.items() if text)
    if run.chain is not None:
        yield "whole chain", _chain(run.chain)
    yield from (("lost", text) for text in losses(run.losses))
    if run.causality is not None:
        yield "causality", causality(run.causality)
        yield from (("changed", change(each)) for each in run.causality.changed)
    yield from (("warning", visible(text)) for text in run.warnings)
    if run.seconds is not None:
        yield "time", f"{run.seconds:.3g} s"
    if run.command:
        yield "command", visible(" ".join(run.command))
    yield "convcli", visible(run.version)


def _detection(facts: DetectionFacts) -> Iterator[tuple[str, str]]:
    for template in facts.templates:
        yield "template", signal(template)
    top = "" if facts.top is None else f", the best {facts.top}"
    yield "asked for", f"a score of {facts.threshold:g} or more, overlap {facts.overlap:.0%}{top}"
    yield "found", plural(len(facts.hits), "place")
    yield "best score", number(facts.best_score)


def hit_rows(facts: DetectionFacts) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The places as a table: the names of its columns and its rows."""
    names = tuple(facts.hits[0]) if facts.hits else ()
    return names, [tuple(_cell(value) for value in hit.values()) for hit in facts.hits]


def _cell(value: str | float) -> str:
    return (
        visible(value)
        if isinstance(value, str)
        else str(value)
        if isinstance(value, int)
        else f"{value:.6f}"
    )


def signal(facts: InputFacts | OutputFacts) -> str:
    """`talk.wav: 1 channel, 22050 Hz, 12.3 s`, as the medium put it."""
    told = f"{facts.path}: {facts.signal}" if facts.signal else facts.path
    return visible(told)


def _chain(chain: StepFacts) -> str:
    told = [
        f"{number(chain.taps)} taps" if chain.taps is not None else "",
        f"delay {number(chain.delay)}" if chain.delay is not None else "",
        f"look-ahead {number(chain.look_ahead)}" if chain.look_ahead is not None else "",
        f"reach {reach(chain.reach)}" if chain.reach else "",
        f"DC gain {number(chain.dc_gain)}" if chain.dc_gain is not None else "",
    ]
    return ", ".join(text for text in told if text)


def causality(facts: CausalityFacts) -> str:
    """`no row changed in 38 prefixes`."""
    tried = f"{facts.prefixes:,} prefix{'es' * (facts.prefixes != 1)}"
    changed = len(facts.changed)
    rounding = "" if facts.exact else " beyond the rounding of FFT arithmetic"
    if not changed:
        return f"no row changed{rounding} in {tried}"
    return (
        f"rows changed{rounding} in {changed:,} of {plural(len(facts.columns), 'signal')}, {tried}"
    )


def change(facts: PrefixFacts) -> str:
    """`row 3 of price (MSFT) is 39.79 in the whole, 38.08 where 3 rows are known`."""
    group = f" ({facts.group})" if facts.group else ""
    told = ["nothing" if value is None else repr(value) for value in (facts.whole, facts.prefix)]
    known = plural(facts.known or 0, "row")
    are = "is" if facts.known == 1 else "are"
    return visible(
        f"row {facts.row} of {facts.column}{group} is {told[0]} in the whole, {told[1]} where {known} {are} known"
    )


def losses(facts: LossFacts) -> list[str]:
    """What was lost, a text for each kind: `clipped 3 samples (left 2, right 1)`."""
    told = [
        _counts(words, counts)
        for words, counts in (
            ("clipped {}", facts.clipped),
            ("missing {}", facts.missing),
            ("{} became missing", facts.became_missing),
        )
    ]
    if facts.edge_affected:
        told.append(f"{facts.edge_affected:,} at the edges")
    told.extend(f"{visible(name)} {count:,}" for name, count in facts.other.items() if count)
    return [text for text in told if text]


def _counts(words: str, counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    if not total:
        return ""
    told = words.format(plural(total, "sample"))
    if len(counts) == 1:
        return told
    return f"{told} ({', '.join(f'{visible(name)} {count:,}' for name, count in counts.items() if count)})"


def plural(count: int, noun: str) -> str:
    """`1 sample`, `3 samples`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
