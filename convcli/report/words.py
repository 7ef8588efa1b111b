"""Facts as short texts, for every renderer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.errors import shell_word
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from convcli.facts import FileFacts, LossFacts, ReachFacts, RunFacts, StepFacts, UsageFacts
    from convcli.facts.causality import CausalityFacts, ColumnVerdict
    from convcli.facts.detection import DetectionFacts

STEP_COLUMNS = ("step", "taps", "sum", "delay", "look-ahead", "reach", "note")
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Channels whose losses are counted by name.
MOST_COUNTS = 8
# A title names this many inputs.
MOST_TITLED = 3


def visible(text: str) -> str:
    r"""Escape control characters, changes of direction and broken characters.

    >>> print(visible("a\x1b[31mb\n"))
    a\x1b[31mb\n
    """
    return text if text.isprintable() else "".join(map(_visible_character, text))


def _visible_character(char: str) -> str:
    if char.isprintable():
        return char
    if char in _ESCAPES:
        return _ESCAPES[char]
    code = ord(char)
    # Python maps bytes of file names that are not UTF-8 to the surrogates U+DC80 to U+DCFF.
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    if code < 0x10000:
        return f"\\u{code:04x}"
    return f"\\U{code:08x}"


def number(value: float | None) -> str:
    """Format a number with at most six digits; an unknown one is empty."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}"


def duration_text(seconds: float, digits: int) -> str:
    """Format a duration to `digits` digits, a long one in whole seconds: `0.25 s`, `1,234 s`."""
    if round(seconds) >= 10**digits:
        return f"{seconds:,.0f} s"
    return f"{seconds:.{digits}g} s"


def command_text(words: Sequence[str]) -> str:
    r"""Write the words of a command so that it can be pasted into a shell.

    >>> print(command_text(["convcli", "csv", "box:3 | diff", "a\nb.csv"]))
    convcli csv 'box:3 | diff' $'a\nb.csv'
    """
    return " ".join(map(_quoted_word, words))


def _quoted_word(word: str) -> str:
    r"""Quote a word where a shell needs it; what cannot be printed is escaped as in `$'\n'`."""
    if word.isprintable():
        return shell_word(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{''.join(map(_shell_character, escaped))}'"


def _shell_character(char: str) -> str:
    # `\\x9b` would be a byte in a shell, and not the character of this number.
    if not char.isprintable() and 0x80 <= ord(char) < 0x100:
        return f"\\u{ord(char):04x}"
    return _visible_character(char)


# ------------------------------------------------------------------------------------------- a step


def step_row(step: StepFacts) -> tuple[str, ...]:
    """Return the cells of a step in the order of `STEP_COLUMNS`."""
    size = number(step.taps)
    if len(step.shape) > 1:
        size = "x".join(map(str, step.shape))
    cells = (
        step.text,
        size,
        number(step.sum),
        number(step.delay),
        number(step.look_ahead),
        reach_text(step.reach),
        step.note,
    )
    return tuple(visible(cell) for cell in cells)


def reach_text(axes: Sequence[ReachFacts]) -> str:
    """`-127 ... +127` for each axis, with `, 1 per 2` if there is one output for two inputs."""
    return " x ".join(axis.text for axis in axes)


# -------------------------------------------------------------------------------------------- a run


def run_rows(run: RunFacts) -> Iterator[tuple[str, str]]:
    """Yield the facts that are not tables, as pairs of a name and a text that is not empty."""
    if run.usage is not None:
        yield from _usage_rows(run.usage)
    if run.filter:
        name = "filter" if run.usage is None else "example"
        yield name, visible(run.filter)
    for one in run.inputs:
        yield "input", signal_text(one)
    if run.detection is not None:
        yield from _detection_rows(run.detection)
    for written in run.outputs:
        yield "output", signal_text(written)
    rules = {"edge": run.edge, "align": run.align, "missing": run.missing}
    yield from ((name, visible(text)) for name, text in rules.items() if text)
    if run.chain is not None:
        yield "whole chain", _chain_text(run.chain)
    yield from _finding_rows(run)
    if run.seconds is not None:
        yield "time", duration_text(run.seconds, 3)
    yield from _origin_rows(run)


def _finding_rows(run: RunFacts) -> Iterator[tuple[str, str]]:
    """Yield what the run has lost and changed, and its warnings."""
    yield from (("lost", text) for text in loss_texts(run.losses))
    if run.losses.edge_affected:
        yield "at the edges", plural(run.losses.edge_affected, "sample")
    if run.causality is not None:
        yield "causality", causality_text(run.causality)
        yield from (("changed", change_text(each)) for each in run.causality.changed)
    yield from (("warning", visible(text)) for text in run.warnings)


def _usage_rows(usage: UsageFacts) -> Iterator[tuple[str, str]]:
    """Yield how a step is written and what it does."""
    yield "step", usage.usage
    yield "what it does", usage.help
    if usage.aliases:
        yield "also called", ", ".join(usage.aliases)
    if usage.stands_for:
        yield "stands for", usage.stands_for


def _origin_rows(run: RunFacts) -> Iterator[tuple[str, str]]:
    """Yield what it takes to make the same once more."""
    if run.command:
        yield "command", command_text(run.command)
    seed = seed_of(run)
    if seed is not None:
        yield "seed", str(seed)
    yield "convcli", visible(run.version)
    if run.libraries:
        yield "with", library_text(run.libraries)


def seed_of(run: RunFacts) -> int | None:
    """The seed of the training or of the dither; None where nothing was left to chance."""
    if run.learned is not None and run.learned.training is not None:
        return run.learned.training.seed
    for written in run.outputs:
        seed = written.details.get("seed")
        if isinstance(seed, int):
            return seed
    return None


def library_text(versions: Mapping[str, str]) -> str:
    """`Python 3.11.2, numpy 2.4.0`."""
    return ", ".join(visible(f"{name} {version}") for name, version in versions.items())


def run_title(run: RunFacts) -> str:
    """Return the paths of the inputs, or the step that is described."""
    if run.usage is not None:
        return run.usage.usage
    if run.comparison is not None:
        return title_of([run.comparison.a.page_label, run.comparison.b.page_label])
    return title_of([one.path for one in run.inputs]) or "convcli"


def title_of(names: Sequence[str]) -> str:
    """The names of inputs, or of the first of many; pages of one file are named once.

    >>> title_of(["a.tif", "a.tif", "b.tif"])
    'a.tif, b.tif'
    """
    different = list(dict.fromkeys(names))
    more = len(different) - MOST_TITLED
    if more <= 1:
        return ", ".join(map(visible, different))
    return f"{', '.join(map(visible, different[:MOST_TITLED]))} and {more:,} more"


def signal_text(facts: FileFacts) -> str:
    """`talk.wav: 1 channel, 22050 Hz, 12.3 s`, as the medium describes it."""
    text = facts.path
    if facts.signal:
        text += f": {facts.signal}"
    chosen = facts.details.get("page_choice")
    if chosen is not None:
        text += f" (pages {chosen} of {facts.details['pages_in_file']})"
    return visible(text)


def chain_taps_text(chain: StepFacts) -> str:
    """`9 taps`, or `2 x 207 taps` of a chain that is computed along one axis after the other."""
    if not chain.passes:
        return plural(chain.taps or 0, "tap")
    counts = " + ".join(map(_passes_text, chain.passes))
    return f"{counts} taps"


def _passes_text(passes: tuple[int, ...]) -> str:
    alike = len(passes) > 1 and len(set(passes)) == 1
    if alike:
        return f"{len(passes)} x {passes[0]:,}"
    return " + ".join(f"{count:,}" for count in passes)


def _chain_text(chain: StepFacts) -> str:
    texts = []
    if chain.taps is not None:
        texts.append(chain_taps_text(chain))
    if chain.delay is not None:
        texts.append(f"delay {number(chain.delay)}")
    if chain.look_ahead is not None:
        texts.append(f"look-ahead {number(chain.look_ahead)}")
    if chain.reach:
        texts.append(f"reach {reach_text(chain.reach)}")
    return ", ".join(texts)


def loss_texts(facts: LossFacts, missing: str = "missing {}") -> list[str]:
    """Return a text for each kind of loss that occurred: `clipped 3 samples (left 2, right 1)`.

    missing : the text for samples that are missing in the input; {} stands for their number
    """
    texts = [
        _count_text("clipped {}", facts.clipped),
        _count_text(missing, facts.missing),
        _count_text("{} became missing", facts.became_missing),
    ]
    return [text for text in texts if text]


def _count_text(words: str, counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    if not total:
        return ""
    text = words.format(plural(total, "sample"))
    if len(counts) == 1:
        return text
    parts = [f"{visible(name)} {count:,}" for name, count in counts.items() if count]
    more = len(parts) - MOST_COUNTS
    if more > 1:
        parts[MOST_COUNTS:] = [f"and {more} more"]
    return f"{text} ({', '.join(parts)})"


def ordinal(number: int) -> str:
    """A number in a row.

    >>> [ordinal(number) for number in (1, 2, 3, 4, 11, 22)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd']
    """
    endings = {1: "st", 2: "nd", 3: "rd"}
    teens = number // 10 % 10 == 1
    ending = "th" if teens else endings.get(number % 10, "th")
    return f"{number}{ending}"


# -------------------------------------------------------------------------------------- a detection


def _detection_rows(facts: DetectionFacts) -> Iterator[tuple[str, str]]:
    for template in facts.templates:
        yield "template", signal_text(template)
    asked = f"a score of {facts.threshold:g} or more, overlap {facts.overlap:.0%}"
    if facts.top is not None:
        asked += f", the best {facts.top}"
    yield "asked for", asked
    yield "found", plural(len(facts.hits), "place")
    yield "best score", number(facts.best_score)


def hit_cell(value: str | float) -> str:
    """Format one cell of a hit: scores and times with six decimals."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, int):
        return str(value)
    return f"{value:.6f}"


# -------------------------------------------------------------------------------- a causality check


def causality_text(facts: CausalityFacts) -> str:
    """`no row changed in 38 prefixes`."""
    tried = f"{facts.prefixes:,} prefix{'es' * (facts.prefixes != 1)}"
    changed = len(facts.changed)
    if not changed:
        return f"no row changed in {tried}"
    signals = plural(len(facts.columns), "signal")
    return f"rows changed in {changed:,} of {signals}, {tried}"


def change_text(verdict: ColumnVerdict) -> str:
    """`row 3 of price (MSFT) is 39.79 in the whole, 38.08 where 3 rows are known`."""
    group = f" ({verdict.group})" if verdict.group else ""
    known = plural(verdict.known or 0, "row")
    are = "is" if verdict.known == 1 else "are"
    whole, prefix = _output_text(verdict.whole), _output_text(verdict.prefix)
    return visible(
        f"row {verdict.row} of {verdict.column}{group} is {whole} in the whole, "
        f"{prefix} where {known} {are} known"
    )


def _output_text(value: float | None) -> str:
    return "nothing" if value is None else repr(value)
