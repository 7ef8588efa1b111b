"""What was learned, in words and tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from convcli.report.words import duration_text, number, visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts import RunFacts
    from convcli.facts.learning import DelayFacts, LearningFacts, MovedFacts, TrainingFacts

RIDGE_COLUMNS = ("ridge", "root mean squared error")
MOVED_COLUMNS = (
    "one sample later",
    "parameters",
    "learned from",
    "held out",
    "the answer changes by",
)
RANK_DEFICIENT = (
    "the input does not determine every tap; of those that fit, the smallest were taken"
)


# ------------------------------------------------------------------------------------------ tables


def error_columns(facts: LearningFacts) -> tuple[str, str, str]:
    """Headings of the table of errors."""
    against = f" against {facts.against}" if facts.against else ""
    return f"root mean squared error{against}", "learned from", "held out"


def error_rows(facts: LearningFacts) -> list[tuple[str, str, str]]:
    """Errors of the model and of the naive answers."""
    rows = []
    for each in facts.errors:
        held = "" if each.held is None else error_words(each.held, facts.power_held)
        rows.append((each.name, error_words(each.train, facts.power), held))
    return rows


def error_words(error: float, power: float | None) -> str:
    """An error, and its level in decibels below a target of root mean square `power`."""
    if power is None or error <= 0 or power <= 0:
        return number(error)
    level = round(20 * math.log10(error / power), 1) + 0.0  # no -0.0
    return f"{number(error)} ({level} dB)"


def ridge_rows(facts: LearningFacts) -> list[tuple[str, str]]:
    """The ridges that were tried, and their errors; empty if there was no choice."""
    if len(facts.tried) < 2:
        return []
    return [(f"{each.ridge:g}", number(each.error)) for each in facts.tried]


def moved_rows(facts: LearningFacts) -> list[tuple[str, ...]]:
    """Errors of a dense layer and of a filter before and after the signal moves by one sample."""
    return [_moved_row(each) for each in facts.moved]


def _moved_row(moved: MovedFacts) -> tuple[str, ...]:
    cells = []
    for before, after in zip(moved.before, moved.after, strict=True):
        known = before is not None and after is not None
        cells.append(f"{number(before)} -> {number(after)}" if known else "")
    return (moved.name, f"{moved.parameters:,}", *cells, number(moved.differs))


# ------------------------------------------------------------------------------------------- words


def summary_lines(run: RunFacts) -> Iterator[str]:
    """What was learned, for a terminal: one line, then delays, noise and the table of errors."""
    facts = run.learned
    if facts is None:
        return
    made = [facts.formula, plural(facts.parameters, "parameter")]
    if facts.ridge:
        made.append(f"ridge {facts.ridge:g}")
    if facts.training is not None:
        made.append(epoch_words(facts.training))
    place = visible(run.outputs[0].path)
    spent = duration_text(run.seconds or 0.0, 3)
    yield f"{place}: {', '.join(made)}, {sample_words(facts)}, in {spent}"
    for delay in facts.delays:
        name = f" of {visible(delay.input)}" if len(facts.delays) > 1 else ""
        yield f"  delay{name}: {delay_words(delay)}"
    if facts.noise is not None:
        yield f"  noise: {noise_words(facts)}"
    yield from _aligned([error_columns(facts), *error_rows(facts)])
    if facts.moved:
        yield from _aligned([MOVED_COLUMNS, *moved_rows(facts)])


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table; the last column is flush left, as decibels may follow its numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells, last in rows:
        middle = "".join(
            f"  {cell:>{width}}" for cell, width in zip(cells, widths[1:-1], strict=True)
        )
        yield f"  {name:<{widths[0]}}{middle}  {last}".rstrip()


def fact_rows(facts: LearningFacts) -> Iterator[tuple[str, str]]:
    """Names and texts of the facts that are in no table."""
    yield "task", facts.task
    constant = ", with a constant" if facts.bias else ""
    yield "layer", f"{facts.formula}, {plural(facts.parameters, 'parameter')}{constant}"
    yield "samples", sample_words(facts)
    how = facts.training
    if how is None:
        yield "ridge", f"{facts.ridge:g}, {facts.judged}"
    else:
        yield "training", f"{epoch_words(how)}, seed {how.seed}, {how.batch} windows to a step"
        yield "learning rate", f"{how.rate:g} in the end, weight decay {how.decay:g}"
    if facts.deficient:
        yield "note", RANK_DEFICIENT
    for delay in facts.delays:
        yield "delay", visible(f"{delay.input}: {delay_words(delay)}")
    if facts.noise is not None:
        yield "noise", noise_words(facts)


def sample_words(facts: LearningFacts) -> str:
    """Numbers of samples, such as `249,434 samples learned from, 62,327 held out`."""
    text = f"{facts.samples:,} samples learned from, {facts.held_out:,} held out"
    if facts.passed_over:
        windows = plural(facts.passed_over, "window")
        text += f", {windows} with a missing value passed over"
    return text


def delay_words(delay: DelayFacts) -> str:
    """A delay, such as `the target is 123 samples later than the input, correlation 0.97`."""
    text = _displacement(delay) if len(delay.samples) == 2 else _lag_words(delay)
    if delay.correlation is None:
        return text
    return f"{text}, correlation {delay.correlation:.3g}"


def _lag_words(delay: DelayFacts) -> str:
    (lag,) = delay.samples
    if lag == 0:
        return "none"
    count = plural(abs(lag), delay.noun)
    if delay.seconds:
        count += f" ({abs(delay.seconds) * 1000:.4g} ms)"
    return f"the target is {count} {'later' if lag > 0 else 'earlier'} than the input"


def _displacement(delay: DelayFacts) -> str:
    """The delay of a picture, as a displacement down and to the right."""
    rows, columns = delay.samples
    moved = []
    if rows:
        moved.append(f"{plural(abs(rows), delay.noun)} {'lower' if rows > 0 else 'higher'}")
    if columns:
        side = "further right" if columns > 0 else "further left"
        moved.append(f"{plural(abs(columns), delay.noun)} {side}")
    if not moved:
        return "input and target do not differ"
    return f"the target lies {' and '.join(moved)} than the input"


def epoch_words(training: TrainingFacts) -> str:
    """Numbers of epochs, such as `30 epochs, the best was 28`."""
    return f"{plural(training.epochs, 'epoch')}, the best was {training.best}"


def noise_words(facts: LearningFacts) -> str:
    """The noise, such as `0.0222, estimated, if it is white` or `14.3 of 255, as was said`."""
    origin = "as was said" if facts.noise_given else "estimated, if it is white"
    scale = "" if facts.full_scale is None else f" of {number(facts.full_scale)}"
    return f"{number(facts.noise)}{scale}, {origin}"
