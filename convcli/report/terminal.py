"""The facts for a person at a terminal: one line, or a table with `-v`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.report.words import (
    STEP_COLUMNS,
    losses,
    number,
    plural,
    reach,
    rows,
    step_row,
    visible,
)
from convcli.report.words import signal as signal_words

if TYPE_CHECKING:
    from rich.console import Group

    from convcli.facts import InputFacts, OutputFacts, RunFacts, StepFacts

__all__ = ["details", "summary", "visible"]


def summary(run: RunFacts) -> str:
    """The run in one line, plain text without control characters.

    `talk.wav -> out.wav: lowpass:3.4k | downsample:2, 255 taps, delay 0, 44100 -> 22050 Hz, 12.3 s in 0.2 s`
    """
    names = [", ".join(_path(side.path) for side in sides) for sides in (run.inputs, run.outputs)]
    told = [visible(run.filter) + _columns(run), *_design(run), *_sizes(run), _pace(run)]
    line = (
        f"{' -> '.join(name for name in names if name)}: {', '.join(text for text in told if text)}"
    )
    return "; ".join([line, *losses(run.losses)])


def _columns(run: RunFacts) -> str:
    """` of price`: which columns of a table were filtered."""
    if not run.inputs or run.inputs[0].medium != "table":
        return ""
    names = run.inputs[0].channels
    if not names:  # a header and no row to tell numbers from words
        return ""
    return (
        f" of {', '.join(map(visible, names))}" if len(names) <= 4 else f" of {len(names)} columns"
    )


def _path(path: str) -> str:
    return "-" if path == "" else visible(path)


def _design(run: RunFacts) -> list[str]:
    chain = run.chain
    if chain is None:
        return []
    taps = plural(chain.taps, "tap") if chain.taps is not None else ""
    return [taps, f"delay {number(chain.delay)}" if chain.delay is not None else ""]


def _sizes(run: RunFacts) -> list[str]:
    """`44100 -> 22050 Hz` and `600x400 -> 300x200 pixels`: what there was, and what there is where it changed."""
    if not run.inputs:
        return []
    before: InputFacts | OutputFacts = run.inputs[0]
    after: InputFacts | OutputFacts = run.outputs[0] if run.outputs else before
    noun = {"table": "rows", "image": "pixels", "audio": ""}.get(before.medium, "samples")
    told = []
    if before.medium == "audio" and before.rate is not None:
        told.append(
            f"{_change(f'{before.rate:g}', '' if after.rate is None else f'{after.rate:g}')} Hz"
        )
    if noun and None not in before.shape and before.shape:
        told.append(f"{_change(_shape(before), _shape(after))} {noun}")
    return told


def _change(before: str, after: str) -> str:
    return before if after in ("", before) else f"{before} -> {after}"


def _shape(side: InputFacts | OutputFacts) -> str:
    # Pictures are told as people tell them, width first.
    return "x".join(
        f"{n:,}" if len(side.shape) == 1 else str(n) for n in reversed(side.shape) if n is not None
    )


def _pace(run: RunFacts) -> str:
    """`12.3 s in 0.2 s` for sound, `in 0.2 s` for the rest."""
    if run.seconds is None:
        return ""
    first = run.inputs[0] if run.inputs else None
    length = ""
    if (
        first is not None
        and first.medium == "audio"
        and first.rate
        and first.shape
        and first.shape[0] is not None
    ):
        length = f"{first.shape[0] / first.rate:.3g} s "
    return f"{length}in {run.seconds:.2g} s"


def details(run: RunFacts) -> Group:
    """The run as a table of its steps and a list of the other facts, for a `rich` console.

    Every cell is a `Text`, so nothing that came from a file is read as markup.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    steps = Table(box=None, pad_edge=False)
    for column in STEP_COLUMNS:
        steps.add_column(
            column, justify="left" if column in ("step", "note") else "right", overflow="fold"
        )
    for step in run.steps:
        steps.add_row(*(Text(cell) for cell in step_row(step)))
    facts = Table(box=None, pad_edge=False, show_header=False)
    for name, text in rows(run):
        facts.add_row(Text(name, style="bold"), Text(text, overflow="fold"))
    return Group(steps, facts) if run.steps else Group(facts)


def plan_text(run: RunFacts) -> str:
    """What `--dry-run` prints: what would be read, done and written, in plain lines."""
    lines = [f"input    {signal_words(facts)}" for facts in run.inputs]
    lines += [f"step     {_designed(step)}" for step in run.steps]
    lines.append(f"rules    edge {run.edge}, align {run.align}, missing {run.missing}")
    if run.chain is not None and run.chain.look_ahead is not None:
        lines.append(
            f"reach    {reach(run.chain.reach)}; look-ahead {max(0, run.chain.look_ahead)}"
        )
    lines += [f"output   {signal_words(side)}" for side in run.outputs]
    return "\n".join([*lines, *(f"warning  {visible(text)}" for text in run.warnings)])


def _designed(step: StepFacts) -> str:
    """`sma:3: taps 3, sum 1, delay 1, look-ahead 0, reach -2 ... +0`: a step's cells under their names."""
    text, *cells = step_row(step)
    told = [f"{name} {cell}" for name, cell in zip(STEP_COLUMNS[1:], cells, strict=True) if cell]
    return f"{text}: {', '.join(told)}" if told else text
