"""From FILTER and a signal to a plan: the operations, and the signal that comes out.

Steps are bound from left to right, each to the signal that reaches it. Commands, and the functions
for Python, call `make_plan` after `rules_for` has chosen the edge, the alignment and missing
samples.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.binding import Rules, Site
from convcli.core.chain import Chain
from convcli.core.framing import in_frames
from convcli.dataclass import dataclass
from convcli.designs import answer_for, find, is_step
from convcli.errors import ConvcliError, RequestError
from convcli.planning.arguments import arguments_of, example_for, usage_hint
from convcli.planning.calls import INPUT, SPACED, Call, unspaced_operator
from convcli.planning.grammar import parse
from convcli.signals import LearnedRules
from convcli.units import UnitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from convcli.core.binding import Stage
    from convcli.core.op import Measure, Op
    from convcli.designs.registry import Step
    from convcli.signals import Align, Edge, Missing, Signal

    Lengths = tuple[int | None, ...]

# The most numbers outside of a signal, half a gigabyte of float64. A large signal may be extended
# by TIMES_INSIDE times as many numbers as it has itself.
MOST_OUTSIDE = 1 << 26
TIMES_INSIDE = 4

# A sound of fewer numbers is filtered in less time than it takes to import OpenCV.
SHORT = 1 << 20


def rules_for(
    signal: Signal,
    filter: str | tuple[Call, ...] = (),
    *,
    edge: Edge | None = None,
    align: Align | None = None,
    missing: Missing | None = None,
) -> Rules:
    """The rules asked for, else those that a model was learned with, else those of the medium.

    Sound is extended by silence by default. A FILTER with an anti-alias filter or a pool extends it
    by the nearest sample instead, so that a constant stays constant at another rate, up to both
    ends.
    """
    medium = signal.medium
    default = medium.edge
    if default == "zero":
        extends_level = [step.extends_level for step in _known_steps(filter)]
        default = "edge" if any(extends_level) else default
    learned = learned_rules(_calls(filter))
    return Rules(
        edge=edge or default,
        align=align or learned.align or medium.align,
        missing=missing or learned.missing or "keep",
    )


def learned_rules(calls: tuple[Call, ...]) -> LearnedRules:
    """How the first model of a FILTER was learned.

    The rules are empty if there is no model or its file cannot be read; `bind` reports the latter.
    """
    for call in _with_nested(calls):
        for step in _known_steps((call,)):
            path = call.path
            if step.learned_rules is not None and path is not None:
                with suppress(ConvcliError):
                    return step.learned_rules(path)
    return LearnedRules()


def reads_twice(calls: tuple[Call, ...], *, in_branches: bool = False) -> bool:
    """Whether a step reads the whole signal before its first output, so that a pipe is stored.

    in_branches : the steps are filters of columns, side by side
    """
    if any(step.reads_twice for step in _known_steps(calls)):
        return True
    inside = calls
    if not in_branches:
        inside = tuple(each for call in calls for each in call.with_nested() if each is not call)
    return any(step.twice_in_branches for step in _known_steps(inside))


def runs_model(calls: tuple[Call, ...]) -> bool:
    """Whether a step runs a network."""
    return any(step.runs_model for step in _known_steps(calls))


def _known_steps(filter: str | tuple[Call, ...]) -> list[Step]:
    """The steps of a FILTER; names that do not exist are left out, and `bind` reports them."""
    names = (call.name for call in _with_nested(_calls(filter)))
    return [find(name) for name in names if is_step(name)]


def _with_nested(calls: tuple[Call, ...]) -> Iterator[Call]:
    """Yield all steps, those in branches included."""
    for call in calls:
        yield from call.with_nested()


def _calls(filter: str | tuple[Call, ...]) -> tuple[Call, ...]:
    if isinstance(filter, str):
        return parse(filter)
    return filter


@dataclass(frozen=True, eq=False, kw_only=True)
class BoundStep:
    """A stage, and the step of FILTER that it belongs to.

    values : the values of the parameters by name, defaults included
    """

    call: Call
    step: Step
    stage: Stage
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def before(self) -> Signal:
        """The signal that reaches the step."""
        return self.stage.before

    @property
    def after(self) -> Signal:
        """The signal that the step makes, as far as it is known before any sample is read."""
        return self.stage.after

    @property
    def ops(self) -> tuple[Op, ...]:
        """The operations of the step that run."""
        return self.stage.ops

    @property
    def sees_whole(self) -> bool:
        """Whether the step has to see the whole signal before its first output."""
        return self.stage.sees_whole


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """All steps of a FILTER bound to one signal.

    A network that sees the whole signal is several steps.
    """

    filter: str
    rules: Rules
    signal: Signal
    steps: tuple[BoundStep, ...]

    @property
    def result(self) -> Signal:
        """The signal that comes out, as far as it is known before any sample is read."""
        return self.steps[-1].after if self.steps else self.signal

    @cached_property
    def extension(self) -> Edge:
        """The edge rule that extends the signal when the plan runs.

        Under `valid` no output reads a sample outside, but layers may pad their own input. Then all
        operations run on complete windows, and the values outside do not matter: zeros are used.
        """
        if self.rules.edge == "valid" and self.chain.padding is not None:
            return "zero"
        return self.rules.edge

    @property
    def identity(self) -> bool:
        """Whether the plan changes nothing."""
        return not any(step.ops or step.sees_whole for step in self.steps)

    @property
    def single_pass(self) -> bool:
        """Whether no step has to see the whole signal before the first output."""
        return not any(step.sees_whole for step in self.steps)

    @cached_property
    def chain(self) -> Chain:
        """The operations of all steps; passes over the whole signal are left out."""
        chain = chain_of(self.steps, self.signal)
        if not (self.signal.medium.comes_live and self.single_pass):
            return chain
        length = self.signal.shape[0]
        is_short = length is not None and length * len(self.signal.channels) < SHORT
        return in_frames(chain, many=not is_short)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What is measured of the whole signal, in passes of their own, in this order."""
        found: list[Measure] = []
        for op in self.chain.ops:
            if op.to_measure is not None:
                found += op.to_measure.measures
        return tuple(found)

    @property
    def look_ahead(self) -> int | None:
        """How many samples an output reads past the one that it is aligned with.

        None if an output reads the whole signal.
        """
        if any(step.sees_whole for step in self.steps):
            return None
        return max(self.chain.look_ahead(axis) for axis in range(self.signal.axes))

    @property
    def edge_look_ahead(self) -> int | None:
        """Look-ahead of the first output caused by mirrored or wrapped edges.

        None if it is the whole signal.
        """
        axes = range(self.signal.axes)
        if self.rules.edge == "wrap":
            reads_end = any(self._reads_before_start(axis) > 0 for axis in axes)
            return None if reads_end else 0
        return max(self._mirrored_ahead(axis) for axis in axes)

    def _mirrored_ahead(self, axis: int) -> int:
        """How far past its own sample the first output reads because samples are mirrored."""
        farthest = self._reads_before_start(axis)
        if farthest <= 0 or self.rules.edge not in ("reflect", "symmetric"):
            return 0
        if self.rules.edge == "symmetric":  # sample 0 is mirrored too, as sample -1
            farthest -= 1
        first_output = np.zeros(1, np.int64)
        aligned = self.chain.aligned_input(axis, first_output)
        return max(0, farthest - int(aligned[0]))

    def _reads_before_start(self, axis: int) -> int:
        """How many samples before the start of the signal the first output reads."""
        first, _ = self.chain.needs(axis, 0, 1)[0]
        return -first

    @property
    def keeps_shape(self) -> bool:
        """Whether input and output have the same shape."""
        if self.rules.edge == "valid" or any(_reduces(step) for step in self.steps):
            return False
        reaches = [reach for op in self.chain.ops for reach in op.reach]
        same_rate = all(reach.step == reach.phases == 1 for reach in reaches)
        same_length = all(reach.growth == 0 and reach.limit is None for reach in reaches)
        return same_rate and same_length


def make_plan(filter: str | tuple[Call, ...], signal: Signal, rules: Rules) -> Plan:
    """Bind every step of FILTER.

    RequestError (with a caret) or InputError where a step cannot be made.
    """
    if rules.edge == "missing" and not signal.holds_missing:
        message = f"--edge missing: no {signal.medium.sample} of {signal.medium.thing} like this"
        hint = "--edge valid leaves incomplete windows out; floating-point pictures and tables have"
        raise RequestError(f"{message} can be missing", hint=hint)
    calls = _calls(filter)
    steps = bind_chain(calls, signal, rules)
    pads = chain_of(steps, signal).padding is not None
    if rules.edge == "valid" and pads:
        # All operations run on complete windows.
        for number, step in enumerate(steps):
            ops = tuple(op.complete() for op in step.ops)
            steps[number] = replace(step, stage=replace(step.stage, ops=ops))
    if rules.edge != "valid" or pads:
        _refuse_endless_reach(steps)
    text = " | ".join(call.text for call in calls)
    return Plan(filter=text, rules=rules, signal=signal, steps=tuple(steps))


def _refuse_endless_reach(steps: Sequence[BoundStep]) -> None:
    """Raise RequestError for a chain that reads very far beyond the ends of its signal.

    A pass over the whole signal ends one chain and begins another.
    """
    chain: list[BoundStep] = []
    for step in steps:
        chain.append(step)
        if step.stage.pool is not None:
            _refuse_endless_chain(chain)
            chain = []
    _refuse_endless_chain(chain)


def _refuse_endless_chain(steps: Sequence[BoundStep]) -> None:
    if not steps:
        return
    signal = steps[0].before
    outside = _numbers_outside(chain_of(steps, signal), signal)
    lengths = [n or 0 for n in signal.shape]
    inside = len(signal.channels) * math.prod(lengths)
    if outside <= max(MOST_OUTSIDE, TIMES_INSIDE * inside):
        return
    text = " | ".join(dict.fromkeys(step.call.text for step in steps))
    asked = f"{text} reads {outside:,} numbers outside of the signal"
    raise RequestError(
        f"{asked}; at most {MOST_OUTSIDE:,} are held",
        hint="shorter windows, smaller steps, or --edge valid",
    )


def _numbers_outside(chain: Chain, signal: Signal) -> int:
    """How many numbers outside of the signal the outputs read: rows, and columns beside them."""
    lengths = [n or 0 for n in signal.shape]
    around = []
    for axis, n in enumerate(lengths):
        outputs = max(1, chain.count(axis, n))
        low, high = chain.needs(axis, 0, outputs, n or None)[0]
        before = max(0, -low)
        after = max(0, high - n)
        around.append(before + after)
    if len(lengths) == 1:
        return around[0] * len(signal.channels)
    rows, columns = around
    above_and_below = rows * (lengths[1] + columns)
    beside = lengths[0] * columns
    return (above_and_below + beside) * len(signal.channels)


def bind_chain(
    calls: tuple[Call, ...], signal: Signal, rules: Rules, *, in_branch: bool = False
) -> list[BoundStep]:
    """Bind steps from left to right, each to the signal that reaches it.

    in_branch : they are a branch, whose outputs are combined with those of others
    """
    steps: list[BoundStep] = []
    place = signal
    for call in calls:
        steps += bind(call, place, rules, in_branch=in_branch)
        if rules.edge == "valid":
            steps = _with_valid_lengths(steps)
        place = steps[-1].after
    _refuse_edges_in_time(steps, rules)
    return steps


def _refuse_edges_in_time(steps: list[BoundStep], rules: Rules) -> None:
    """Raise RequestError where windows in time would read beyond the ends of the signal."""
    if rules.edge == "shrink":
        return
    for step in steps:
        if any(op.times.in_time for op in step.ops):
            raise step.call.error(
                f"--edge {rules.edge} needs rows at equal steps of time; "
                "windows in time end where the table does (shrink)"
            )


def _with_valid_lengths(steps: list[BoundStep]) -> list[BoundStep]:
    """The steps, with the length of the last output under `valid`, where nothing is extended."""
    if not steps:
        return steps
    lengths = steps[0].before.shape
    first = 0
    for number, step in enumerate(steps):
        if _reduces(step):
            left = _valid_lengths(steps[first:number], lengths)
            lengths = step.after.shape if 0 not in left else (0,) * len(left)
            first = number + 1
    last = steps[-1].stage
    lengths = _valid_lengths(steps[first:], lengths)
    stage = replace(last, after=replace(last.after, shape=lengths))
    return [*steps[:-1], replace(steps[-1], stage=stage)]


def _valid_lengths(steps: list[BoundStep], lengths: Lengths) -> Lengths:
    """The lengths of a signal after steps that make complete windows only and reduce nothing."""
    if not steps:
        return lengths
    chain = chain_of(steps, steps[0].before)
    counts: list[int | None] = []
    for axis, n in enumerate(lengths):
        count = None if n is None else chain.valid_count(axis, n)
        counts.append(count)
    return tuple(counts)


def chain_of(steps: Sequence[BoundStep], signal: Signal) -> Chain:
    """The operations of some steps, one after the other."""
    return Chain(tuple(op for step in steps for op in step.ops), signal.axes)


def _reduces(step: BoundStep) -> bool:
    """Whether the step reduces the whole signal to a few numbers."""
    return step.stage.pool is not None


def bind(call: Call, signal: Signal, rules: Rules, *, in_branch: bool = False) -> list[BoundStep]:
    """The stages of a step at its place: one, or several for a network with a whole-signal pass."""
    step = _step_of(call, signal, rules)
    if step.needs_regular and signal.irregular:
        _refuse_irregular(call, signal)
    values, axis = arguments_of(call, step, signal)
    site = Site(signal=signal, rules=rules, axis=axis, in_branch=in_branch)
    try:
        stages = step.bindable(values, site, call).bind(site)
    except UnitError as error:
        hint = error.hint or usage_hint(call.name, step, signal)
        raise call.error(f"{call.name}: {error}", hint=hint) from None
    except ConvcliError as error:
        if error.exit_code != RequestError.exit_code or error.excerpt:
            raise
        raise call.error(f"{call.name}: {error.message}", hint=error.hint) from None
    defaults = {p.name: p.default for p in step.parameters}
    known = {**defaults, **values}
    return [BoundStep(call=call, step=step, stage=stage, values=known) for stage in stages]


def _refuse_irregular(call: Call, signal: Signal) -> None:
    """Raise the RequestError of a step that needs samples at equal steps of time."""
    message = f"{call.name} needs {signal.medium.sample}s at equal steps of time"
    if signal.uneven:
        message += f"; {signal.uneven}"
    raise call.error(message, hint="--every 1d makes rows regular first: the mean of each day")


def _step_of(call: Call, signal: Signal, rules: Rules) -> Step:
    try:
        return find(call.name)
    except RequestError as error:
        from convcli.designs.other_names import answer_to

        place = None if answer_to(call.name) else unspaced_operator(call.name)
        operand = call.name[:place]
        if place is not None and (operand == INPUT or is_step(operand)):
            raise call.error(error.message, at=call.at + place, hint=SPACED) from None
        hint = _hint_for_unknown(call, signal, rules)
        raise call.error(error.message, hint=hint) from None


def _hint_for_unknown(call: Call, signal: Signal, rules: Rules) -> str:
    """The hint for an unknown step: a step with values that this signal can be filtered by."""
    from convcli.designs.other_names import answer_by

    answer = answer_for(call.name)
    values = call.text.partition(":")[2].strip()
    candidates = [*answer.with_values(values), answer.step]
    if is_step(answer.step):  # a name alone, which may need values
        candidates.append(example_for(find(answer.step), signal))
    for candidate in candidates:
        if candidate and _can_be_bound(candidate, signal, rules):
            return answer_by(candidate).hint
    return answer.hint


def _can_be_bound(filter: str, signal: Signal, rules: Rules) -> bool:
    """Whether a signal can be filtered by a FILTER."""
    try:
        bind_chain(parse(filter), signal, rules)
    except ConvcliError:
        return False
    return True
