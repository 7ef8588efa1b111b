"""Facts as JSON, for `--format json` and for reports."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from convcli import __version__
from convcli.facts import LossFacts, to_plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts import RunFacts, StepFacts


# Grows by one when a key changes its meaning or goes away.
SCHEMA = 1
# The most numbers of a run: the curves of its steps and of its chain, which are always written, and
# as many taps as there is room for. A number takes 20 to 24 bytes.
MOST_NUMBERS = 120_000
# A step without its taps, its responses and its kernel.
_NO_CURVES: dict[str, Any] = {
    "weights": (),
    "response": (),
    "group_delay": (),
    "impulse": (),
    "step_response": (),
    "plane": (),
    "plane_response": (),
}
# A list of numbers alone, as it is written one number a line.
_NUMBERS = re.compile(r"\[\n([^\[\]{}\"]*)\]")

# The keys of a run over one of several inputs.
_OWN = (
    "inputs",
    "outputs",
    "edge",
    "align",
    "missing",
    "steps",
    "chain",
    "losses",
    "causality",
    "comparison",
    "warnings",
    "seconds",
)


def render_json(runs: Sequence[RunFacts]) -> str:
    """Render the runs as one object; its keys are the fields of `RunFacts`, `schema` and `runs`.

    `inputs`, `outputs` and `warnings` are those of all runs, `losses` and `seconds` their sums,
    `steps` and `chain` those of the first. `runs` has an object for each run, whose `steps` and
    `chain` are null where they are those of the first.

    Taps and curves are bounded, as those of a page are: a step of more taps than there is room for
    has none, and says so in its note, and the curves of a design are in the first run that has it.
    """
    # What is drawn is not a fact for a program to read.
    bounded = [replace(run, preview=None, searched=()) for run in _bounded(runs)]
    whole = to_plain(_combined(bounded))
    whole["schema"] = SCHEMA
    same = [run.steps == runs[0].steps for run in runs]
    pairs = zip(bounded, same, strict=True)
    whole["runs"] = [_own_facts(run, as_first=is_same) for run, is_same in pairs]
    return _NUMBERS.sub(_on_one_line, _indented(whole) + "\n")


def _on_one_line(numbers: re.Match[str]) -> str:
    """A list of numbers on one line, which takes two thirds of the characters."""
    return f"[{' '.join(numbers[1].split())}]"


def _bounded(runs: Sequence[RunFacts]) -> Iterator[RunFacts]:
    """Yield the runs with the curves of as many different designs as a page draws."""
    from convcli.report.sections import most_designs

    drawn: set[tuple[StepFacts, ...]] = set()
    most = most_designs(runs)
    for run in runs:
        if run.steps in drawn or len(drawn) >= most:
            chain = None if run.chain is None else replace(run.chain, **_NO_CURVES)
            steps = tuple(replace(step, **_NO_CURVES) for step in run.steps)
            yield replace(run, steps=steps, chain=chain)
            continue
        drawn.add(run.steps)
        yield replace(run, steps=tuple(_with_taps_that_fit(run)))


def _with_taps_that_fit(run: RunFacts) -> Iterator[StepFacts]:
    """Yield the steps; those whose taps do not fit into a report have none, and say so."""
    import numpy as np

    curves = [name for name in _NO_CURVES if name != "weights"]
    drawn = list(run.steps)
    if run.chain is not None:
        drawn.append(run.chain)
    room = MOST_NUMBERS
    for step in drawn:
        room -= sum(np.size(vars(step)[name]) for name in curves)
    for step in run.steps:
        if len(step.weights) > room:
            note = f"weights left out: {len(step.weights):,} taps do not fit into a report"
            notes = [text for text in (step.note, note) if text]
            yield replace(step, weights=(), note="; ".join(notes))
            continue
        room -= len(step.weights)
        yield step


def _combined(runs: Sequence[RunFacts]) -> RunFacts:
    """The facts of all runs as those of one."""
    first = runs[0]
    if len(runs) == 1:
        return first
    known = [run.seconds for run in runs if run.seconds is not None]
    return replace(
        first,
        inputs=tuple(one for run in runs for one in run.inputs),
        outputs=tuple(one for run in runs for one in run.outputs),
        losses=sum((run.losses for run in runs), LossFacts()),
        causality=None,
        comparison=None,
        warnings=tuple(text for run in runs for text in run.warnings),
        seconds=sum(known) if known else None,
    )


def _own_facts(run: RunFacts, *, as_first: bool) -> dict[str, Any]:
    """The facts that belong to one run alone.

    as_first : its steps are those of the first run
    """
    own = {name: vars(run)[name] for name in _OWN}
    if run.usage is not None:
        own |= {"usage": run.usage, "filter": run.filter}
    if as_first:
        own["steps"] = own["chain"] = None
    plain: dict[str, Any] = to_plain(own)
    return plain


def detection_json(run: RunFacts) -> str:
    """Render a run of `detect` as one flat object, with the hits among the facts of the run.

    The time that it took is left out: the same search gives the same bytes.
    """
    facts = run.to_dict()
    kept = ("version", "command", "inputs", "failures", "warnings")
    flat = {name: facts[name] for name in kept}
    return _indented(flat | facts["detection"]) + "\n"


def comparisons_json(runs: Sequence[RunFacts]) -> str:
    """Render the runs of `compare` as one object with a list of comparisons.

    `failures` has the pairs that could not be compared, `alone` the files of one folder that the
    other does not have. The time that it took is left out: the same files give the same bytes.
    """
    comparisons = []
    for run in runs:
        facts = run.comparison
        if facts is None:
            continue
        own = {"equal": facts.equal, "warnings": run.warnings}
        comparisons.append(to_plain(facts) | to_plain(own))
    first = runs[0]
    head = {"version": first.version, "command": first.command}
    left_out = {"failures": first.failures, "alone": first.alone}
    return json_text(head | {"comparisons": comparisons} | left_out)


def explanation_json(facts: Any, command: Sequence[str]) -> str:
    """Render what `explain` found in the shape of all reports: an object with a list of runs.

    command : the words of the command line
    """
    own = to_plain(facts)
    head = {"version": __version__, "command": command}
    return json_text(head | own | {"schema": SCHEMA, "runs": [own]})


def json_text(facts: Any) -> str:
    """Render any facts; NaN and infinity are null."""
    return _indented(to_plain(facts)) + "\n"


def _indented(value: Any, line: str = "\n") -> str:
    """The JSON of plain facts as `json.dumps(value, indent=2)` writes it.

    That function encodes in Python, and takes five times as long for many inputs. Here each
    collection of numbers and texts is encoded in C.

    line : the line break and the indentation before the end of a collection
    """
    inner = line + "  "
    is_object = isinstance(value, dict)
    entries = value.values() if is_object else value
    if not isinstance(value, (dict, list)) or not value:
        return _encoder("").encode(value)
    if not any(isinstance(entry, (dict, list)) for entry in entries):
        flat = _encoder(inner).encode(value)
        return f"{flat[0]}{inner}{flat[1:-1]}{line}{flat[-1]}"
    texts = [_indented(entry, inner) for entry in entries]
    if not is_object:
        return f"[{inner}{f',{inner}'.join(texts)}{line}]"
    keys = map(_encoder("").encode, value)
    named = [f"{key}: {text}" for key, text in zip(keys, texts, strict=True)]
    return f"{{{inner}{f',{inner}'.join(named)}{line}}}"


@cache
def _encoder(line: str) -> json.JSONEncoder:
    """An encoder in C that begins a new line with each entry of a collection."""
    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(f",{line}", ": "))
