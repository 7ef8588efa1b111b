"""The facts for a person at a terminal: one line, a table with `-v`, the plan with `--dry-run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.report.words import (
    STEP_COLUMNS,
    causality_text,
    chain_taps_text,
    duration_text,
    loss_texts,
    number,
    reach_text,
    run_rows,
    signal_text,
    step_row,
    visible,
)
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Group

    from convcli.facts import FileFacts, RunFacts, StepFacts
    from convcli.facts.causality import CausalityFacts
    from convcli.facts.detection import DetectionFacts

# The names of columns are cut after this many characters.
LONGEST_NAMES = 200
# Up to this many columns or files are named; of more, only the number is shown.
MOST_COLUMNS = 4
MOST_FILES = 3


def summary(run: RunFacts) -> str:
    """Return the run in one line of plain text without control characters.

    `talk.wav -> out.wav: lowpass:3.4k, 255 taps, delay 0, 44100 -> 22050 Hz, 12.3 s in 0.2 s`
    """
    sides = [_side_text(run.inputs), _side_text(run.outputs)]
    paths = " -> ".join(side for side in sides if side)
    texts = [visible(run.filter) + _columns_text(run), *_chain_texts(run), *_size_texts(run)]
    if run.seconds is not None:
        texts.append(f"{_sound_length(run)}in {duration_text(run.seconds, 2)}")
    message = ", ".join(text for text in texts if text)
    return "; ".join([f"{paths}: {message}", *loss_texts(run.losses)])


def _side_text(sides: Sequence[FileFacts]) -> str:
    return ", ".join(visible(side.path) for side in sides)


def _columns_text(run: RunFacts) -> str:
    """` of price`: the columns of a table that were filtered."""
    if not run.inputs or not run.inputs[0].medium.separate_channels:
        return ""
    names = run.inputs[0].channels
    if not names:  # without rows, numbers cannot be distinguished from words
        return ""
    if len(names) > MOST_COLUMNS:
        return f" of {len(names)} columns"
    text = ", ".join(map(visible, names))
    return f" of {text}" if len(text) <= LONGEST_NAMES else ""


def _chain_texts(run: RunFacts) -> list[str]:
    chain = run.chain
    texts = []
    if chain is not None and chain.taps is not None:
        texts.append(chain_taps_text(chain))
    if chain is not None and chain.delay is not None:
        texts.append(f"delay {number(chain.delay)}")
    return texts


def _size_texts(run: RunFacts) -> list[str]:
    """`44100 -> 22050 Hz` of sound, `600x400 -> 300x200 pixels` of other media."""
    if not run.inputs:
        return []
    before = run.inputs[0]
    after: FileFacts = run.outputs[0] if run.outputs else before
    if before.medium.in_seconds:
        if before.rate is None:
            return []
        rate_after = "" if after.rate is None else f"{after.rate:g}"
        return [f"{_change_text(f'{before.rate:g}', rate_after)} Hz"]
    if None in before.shape or not before.shape:
        return []
    sizes = _change_text(_shape_text(before), _shape_text(after))
    noun = before.medium.sample
    single = sizes.split()[-1] == "1"
    return [f"{sizes} {noun}" if single else f"{sizes} {noun}s"]


def _change_text(before: str, after: str) -> str:
    return before if after in ("", before) else f"{before} -> {after}"


def _shape_text(side: FileFacts) -> str:
    """`1,461` rows, and the width of a picture before its height, as people say it."""
    known = [n for n in side.shape if n is not None]
    if len(side.shape) == 1:
        return "".join(f"{n:,}" for n in known)
    return "x".join(str(n) for n in reversed(known))


def _sound_length(run: RunFacts) -> str:
    """`12.3 s ` of sound, and nothing of other media."""
    seconds = run.inputs[0].seconds if run.inputs else None
    return "" if seconds is None else f"{duration_text(seconds, 3)} "


def detection_summary(run: RunFacts, found: DetectionFacts) -> str:
    """`hello.wav in talk.wav: 3 places, best 1, 14.1 s in 0.2 s`."""
    templates = ", ".join(template.path for template in found.templates)
    names = list(dict.fromkeys(one.label for one in run.inputs))
    if len(names) > MOST_FILES:
        names = [f"{len(names)} files"]
    searched = f"{visible(templates)} in {visible(', '.join(names))}"
    places = f"{plural(len(found.hits), 'place')}, best {found.best_score:.3g}"
    seconds = [one.seconds for one in run.inputs if one.seconds is not None]
    searched_length = f"{duration_text(sum(seconds), 3)} " if seconds else ""
    spent = duration_text(run.seconds or 0.0, 2)
    return f"{searched}: {places}, {searched_length}in {spent}"


def causality_summary(run: RunFacts, found: CausalityFacts) -> str:
    """`prices.csv: sma:20: no row changed in 38 prefixes of 5,000 rows, in 0.3 s`."""
    (one,) = run.inputs
    checked = f"{visible(one.path)}: {visible(run.filter)}"
    rows = one.shape[0] or 0
    spent = duration_text(run.seconds or 0.0, 2)
    return f"{checked}: {causality_text(found)} of {rows:,} rows, in {spent}"


def run_details(run: RunFacts) -> Group:
    """Return the steps as a table and the other facts as a list, for a `rich` console.

    Every cell is a `Text`, so that nothing from a file is read as markup.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    steps = Table(box=None, pad_edge=False)
    for column in STEP_COLUMNS:
        words = column in ("step", "note")
        steps.add_column(column, justify="left" if words else "right", overflow="fold")
    for step in run.steps:
        steps.add_row(*(Text(cell) for cell in step_row(step)))
    facts = Table(box=None, pad_edge=False, show_header=False)
    for name, text in run_rows(run):
        facts.add_row(Text(name, style="bold"), Text(text, overflow="fold"))
    return Group(steps, facts) if run.steps else Group(facts)


def plan_text(run: RunFacts) -> str:
    """Return what `--dry-run` prints: what would be read, done and written, in plain lines."""
    lines = [f"input    {signal_text(facts)}" for facts in run.inputs]
    lines += [f"step     {_designed_step(step)}" for step in run.steps]
    lines.append(f"rules    edge {run.edge}, align {run.align}, missing {run.missing}")
    if run.chain is not None and run.chain.look_ahead is not None:
        look_ahead = max(0, run.chain.look_ahead)
        lines.append(f"reach    {reach_text(run.chain.reach)}; look-ahead {look_ahead}")
    lines += [f"output   {signal_text(side)}" for side in run.outputs]
    lines += [f"warning  {visible(text)}" for text in run.warnings]
    return "\n".join(lines)


def _designed_step(step: StepFacts) -> str:
    """`sma:3: taps 3, sum 1, delay 1, look-ahead 0, reach -2 ... +0`."""
    text, *cells = step_row(step)
    texts = [f"{name} {cell}" for name, cell in zip(STEP_COLUMNS[1:], cells, strict=True) if cell]
    return f"{text}: {', '.join(texts)}" if texts else text
