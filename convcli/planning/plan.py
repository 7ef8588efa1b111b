"""From FILTER and a signal to what will be done: steps bound left to right, each at the rate of its place."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.chain import Chain
from convcli.core.kernel import GradientPair, Kernel, PerChannel
from convcli.core.ops import Convolve, EachChannel, Magnitude, Op
from convcli.core.whole import Normalize, Reduce
from convcli.designs import find
from convcli.errors import ConvcliError, RequestError, nearest
from convcli.planning.grammar import Argument, Call, parse
from convcli.units import UnitError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.designs.registry import Parameter, Step
    from convcli.signals import Align, Edge, Missing, Signal

# Steps that filter only in order to change the rate.
ANTI_ALIASING = ("downsample", "resample")

# Families whose one-dimensional taps run along both axes of an image unless `axis=` picks one.
BOTH_AXES = ("smoothing", "frequency")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What holds for a whole run: the edge, the alignment, what becomes of missing samples."""

    edge: Edge
    align: Align
    missing: Missing = "keep"

    @classmethod
    def of(
        cls,
        signal: Signal,
        filter: str | tuple[Call, ...] = (),
        *,
        edge: Edge | None = None,
        align: Align | None = None,
        missing: Missing = "keep",
    ) -> Rules:
        """The rules asked for, with the defaults of the medium.

        Where silence is the default outside, a FILTER with an anti-alias filter gets the nearest sample instead: at
        another rate a constant is that constant from the first sample to the last.
        """
        default = signal.medium.edge
        calls = parse(filter) if isinstance(filter, str) else filter
        if default == "zero" and any(call.name in ANTI_ALIASING for call in calls):
            default = "edge"
        return cls(edge=edge or default, align=align or signal.medium.align, missing=missing)


@dataclass(frozen=True, kw_only=True)
class BoundLayer:
    """A layer of a network at its place.

    channels : that come out; chain : all that was done to the signal up to here, None where that saw the whole of it
    """

    text: str
    parameters: int
    channels: int
    chain: Chain | None


@dataclass(frozen=True, kw_only=True)
class BoundStep:
    """A step of FILTER at its place: what it does to the signal `before`, which gives the signal `after`.

    ops : what is run, none where the step changes nothing; whole : set instead where a first pass is needed
    kernels : the taps that the design gave, for those who want to look at them
    remark : what is to be said besides what the kernels say
    values : what the parameters were read as, defaults included; layers : those of a network, on its first step
    """

    call: Call
    step: Step
    before: Signal
    after: Signal
    ops: tuple[Op, ...] = ()
    whole: Normalize | Reduce | None = None
    kernels: tuple[Kernel, ...] = ()
    remark: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[BoundLayer, ...] = ()

    @property
    def note(self) -> str:
        """What the design has to say."""
        notes = sorted({kernel.note for kernel in self.kernels if kernel.note})
        return "; ".join([*notes, self.remark] if self.remark else notes)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All steps bound to one signal."""

    filter: str
    rules: Rules
    signal: Signal
    steps: tuple[BoundStep, ...]

    @property
    def result(self) -> Signal:
        """What comes out, as far as it is known beforehand."""
        return self.steps[-1].after if self.steps else self.signal

    @property
    def identity(self) -> bool:
        """Whether nothing at all is changed."""
        return all(not step.ops and step.whole is None for step in self.steps)

    @cached_property
    def chain(self) -> Chain:
        """The steps as one chain, where steps that need a first pass stand for themselves and change nothing."""
        return Chain(tuple(op for step in self.steps for op in step.ops), self.signal.axes)

    @property
    def look_ahead(self) -> int | None:
        """How many samples past the one it stands at an output reads, along any axis; None: the whole signal."""
        if any(step.whole is not None for step in self.steps):
            return None
        return max(self.chain.look_ahead(axis) for axis in range(self.signal.axes))

    @property
    def edge_look_ahead(self) -> int | None:
        """How many samples past the one it stands at the first output reads by the edge rule; None: up to the end."""
        return max(
            (self._mirrored(axis) for axis in range(self.signal.axes)), key=lambda n: n is None or n
        )

    def _mirrored(self, axis: int) -> int | None:
        first = -self.chain.needs(axis, 0, 1)[0][0]
        if first <= 0 or self.rules.edge not in ("reflect", "symmetric", "wrap"):
            return 0
        stands = int(self.chain.aligned_input(axis, np.zeros(1, np.int64))[0])
        return (
            None
            if self.rules.edge == "wrap"
            else max(0, first - (self.rules.edge == "symmetric") - stands)
        )

    @property
    def keeps_shape(self) -> bool:
        """Whether every output stands at one input, so that both have the same shape."""
        same = all(
            r.step == r.phases == 1 for step in self.steps for op in step.ops for r in op.reach
        )
        return (
            same
            and self.rules.edge != "valid"
            and not any(isinstance(s.whole, Reduce) for s in self.steps)
        )


def make_plan(filter: str | tuple[Call, ...], signal: Signal, rules: Rules) -> Plan:
    """Bind every step of FILTER. RequestError (with a caret) or InputError where a step cannot be made."""
    calls = parse(filter) if isinstance(filter, str) else filter
    steps: list[BoundStep] = []
    place = signal
    for call in calls:
        steps += bind(call, place, rules)
        place = steps[-1].after
    text = " | ".join(call.text for call in calls)
    plan = Plan(filter=text, rules=rules, signal=signal, steps=tuple(steps))
    return replace(plan, steps=_with_lengths(plan))


def _with_lengths(plan: Plan) -> tuple[BoundStep, ...]:
    """Under `valid` only the end of a chain has a length; the steps inside keep those of the extended signal."""
    reduced = max(
        (i + 1 for i, step in enumerate(plan.steps) if isinstance(step.whole, Reduce)), default=0
    )
    steps = plan.steps[reduced:]
    if plan.rules.edge != "valid" or not steps:
        return plan.steps
    chain, last = Chain(tuple(op for step in steps for op in step.ops), plan.signal.axes), steps[-1]
    lengths = tuple(
        None if n is None else chain.valid_count(axis, n)
        for axis, n in enumerate(steps[0].before.shape)
    )
    return (*plan.steps[:-1], replace(last, after=replace(last.after, shape=lengths)))


# ------------------------------------------------------------------------------------------------- one step


def bind(call: Call, signal: Signal, rules: Rules) -> tuple[BoundStep, ...]:
    """A step at its place; a network with a layer that sees the whole signal becomes several."""
    try:
        step = find(call.name)
    except RequestError as error:
        raise call.error(error.message, hint=error.hint) from None
    values, axis = arguments_of(call, step, signal)
    defaults = {p.name: p.default for p in step.parameters}
    try:
        made = step.design(**values, **injected(step, signal, rules))
        if step.family == "learned":
            from convcli.layers.models import bind_model

            bound = bind_model(made, call, step, signal, rules)
        else:
            bound = (bind_made(made, call, step, signal, rules, axis=axis),)
    except UnitError as error:
        raise call.error(f"{call.name}: {error}", hint=_usage(step, signal)) from None
    except ConvcliError as error:
        if error.exit_code != RequestError.exit_code or error.excerpt:
            raise
        raise call.error(f"{call.name}: {error.message}", hint=error.hint) from None
    return (replace(bound[0], values={**defaults, **values}), *bound[1:])


def injected(step: Step, signal: Signal, rules: Rules) -> dict[str, Any]:
    """What the design asks to be told about its place."""
    given = {"signal": signal, "align": rules.align}
    return {name: given[name] for name in step.injected}


def bind_made(
    made: Any, call: Call, step: Step, signal: Signal, rules: Rules, *, axis: str | None = None
) -> BoundStep:
    """What a design returned, as operations at this place."""
    return _Binder(call=call, step=step, signal=signal, rules=rules, axis=axis).bind(made)


def _usage(step: Step, signal: Signal) -> str:
    from convcli.designs.learned import LAYERS

    told = f"write it as in {_example(step, signal)}"
    return told if step.name in LAYERS else f"{told}; `convcli filters {step.name}` says more"


def _example(step: Step, signal: Signal) -> str:
    """The example of a step; where frequencies are counted in seconds, its cycles per sample in what they are there."""
    if step.family != "frequency" or signal.rate is None:
        return step.example
    name, values = step.example.split(":")
    bare = (
        float(format(float(value) * signal.rate * signal.cycle, ".1g"))
        for value in values.split(",")
    )
    return f"{name}:{','.join(format(value, 'g') for value in bare)}"


def arguments_of(call: Call, step: Step, signal: Signal) -> tuple[dict[str, Any], str | None]:
    """The values of the step's parameters, and `axis=` where the signal is an image and the step may take it."""
    names = {p.name for p in step.parameters}
    takes_axis = signal.axes == 2 and step.family in BOTH_AXES and "axis" not in names
    values: dict[str, Any] = {}
    axis: str | None = None
    for argument, parameter in _matched(call, step, signal, takes_axis=takes_axis):
        if parameter is None:
            axis = _choice(call, argument, ("x", "y"))
        elif parameter.name in values:
            raise call.error(f"{call.name}: {parameter.name} is given twice", at=argument.at)
        else:
            values[parameter.name] = _value(call, step, argument, parameter, signal)
    for parameter in step.parameters:
        if parameter.required and parameter.name not in values:
            raise call.error(
                f"{call.name} needs {parameter.name.upper()}", hint=_usage(step, signal)
            )
    return values, axis


def _matched(
    call: Call, step: Step, signal: Signal, *, takes_axis: bool
) -> list[tuple[Argument, Parameter | None]]:
    """Which parameter each argument belongs to; None stands for `axis`."""
    positional = [p for p in step.parameters if not p.keyword_only]
    named = {p.name: p for p in step.parameters}
    matched: list[tuple[Argument, Parameter | None]] = []
    free = iter(positional)
    for argument in _joined(call, positional):
        if argument.key is not None and argument.key not in named:
            if argument.key == "axis" and takes_axis:
                matched.append((argument, None))
                continue
            known = [*named, "axis"] if takes_axis else [*named]
            near = nearest(argument.key, known)
            hint = f"did you mean {near}=?" if near else _usage(step, signal)
            raise call.error(
                f"{call.name} has no parameter {argument.key!r}", at=argument.at, hint=hint
            )
        parameter = named[argument.key] if argument.key is not None else next(free, None)
        if parameter is None:
            raise call.error(
                f"{call.name}: {argument.text!r} is one value too many",
                at=argument.at,
                hint=_usage(step, signal),
            )
        matched.append((argument, parameter))
    return matched


def _joined(call: Call, positional: list[Parameter]) -> list[Argument]:
    """The arguments, with all the numbers of a step that takes taps joined into one text again."""
    if not positional or positional[0].kind is None or positional[0].kind.name != "taps":
        return list(call.arguments)
    loose = [a for a in call.arguments if a.key is None]
    if not loose:
        return list(call.arguments)
    rows: dict[int, list[str]] = {}
    for argument in loose:
        rows.setdefault(argument.row, []).append(argument.text)
    text = ";".join(",".join(row) for row in rows.values())
    return [replace(loose[0], text=text), *(a for a in call.arguments if a.key is not None)]


def _value(call: Call, step: Step, argument: Argument, parameter: Parameter, signal: Signal) -> Any:
    if parameter.choices:
        word = _choice(call, argument, parameter.choices)
        return word == "true" if parameter.choices == ("true", "false") else word
    if parameter.kind is None:
        return argument.text
    try:
        return parameter.kind.convert(argument.text, signal)
    except UnitError as error:
        raise call.error(
            f"{call.name}: {error}", at=argument.at, hint=_usage(step, signal)
        ) from None


def _choice(call: Call, argument: Argument, choices: tuple[str, ...]) -> str:
    if argument.text in choices:
        return argument.text
    near = nearest(argument.text, list(choices))
    raise call.error(
        f"{call.name}: expected {' or '.join(choices)}, got {argument.text!r}",
        at=argument.at,
        hint=f"did you mean {near}?" if near else None,
    )


@dataclass(frozen=True, kw_only=True)
class _Binder:
    """Turns what a design returned into operations at this place."""

    call: Call
    step: Step
    signal: Signal
    rules: Rules
    axis: str | None

    def bind(self, made: Any) -> BoundStep:
        if isinstance(made, Reduce):
            made = replace(made, alpha=self.signal.alpha, opaque=self.signal.full_scale)
        if isinstance(made, (Normalize, Reduce)):
            return self._bound((), whole=made)
        kernels: tuple[Kernel, ...] = ()
        if isinstance(made, Kernel):
            kernels, ops = (made,), self._convolving(made)
        elif isinstance(made, (GradientPair, PerChannel)):
            kernels, ops = made.kernels, (self._together(made),)
        else:
            ops = made if isinstance(made, tuple) else (() if made is None else (made,))
        return self._bound(tuple(self._ruled(op) for op in ops), kernels=kernels)

    def _bound(
        self,
        ops: tuple[Op, ...],
        *,
        whole: Normalize | Reduce | None = None,
        kernels: tuple[Kernel, ...] = (),
    ) -> BoundStep:
        after = signal_after(self.signal, ops, whole)
        return BoundStep(
            call=self.call,
            step=self.step,
            before=self.signal,
            after=after,
            ops=ops,
            whole=whole,
            kernels=kernels,
        )

    def _convolving(self, kernel: Kernel) -> tuple[Op, ...]:
        kernel = self._laid_out(kernel)
        op = Convolve.by(kernel, self.rules.align)
        unchanged = kernel.taps[op.after] == kernel.divisor and np.count_nonzero(kernel.taps) == 1
        if unchanged and (kernel.taps.size == 1 or self.rules.edge != "valid"):
            return ()
        return (op,)

    def _together(self, made: GradientPair | PerChannel) -> Op:
        parts = tuple(Convolve.by(self._laid_out(k), self.rules.align) for k in made.kernels)
        return (
            Magnitude(parts=parts) if isinstance(made, GradientPair) else EachChannel(parts=parts)
        )

    def _laid_out(self, kernel: Kernel) -> Kernel:
        """The taps with as many axes as the signal."""
        if kernel.taps.ndim == self.signal.axes:
            return kernel
        if kernel.taps.ndim > self.signal.axes:
            raise RequestError(
                f"taps of {kernel.taps.shape[0]} rows need an image; {self.signal.medium.name} has one sample axis",
                hint="write the taps as one row: 1,2,1",
            )
        (centre,) = kernel.centre
        if self.axis is not None:
            shape = (1, -1) if self.axis == "x" else (-1, 1)
            return replace(
                kernel,
                taps=kernel.taps.reshape(shape),
                centre=(0, centre) if self.axis == "x" else (centre, 0),
            )
        return replace(
            kernel,
            taps=np.outer(kernel.taps, kernel.taps),
            divisor=kernel.divisor**2,
            centre=(centre, centre),
        )

    def _ruled(self, op: Op) -> Op:
        """The operation under the rules of the run, and with colours weighted by alpha."""
        op = op.with_rules(self.rules.missing, exact=self.signal.medium.exact)
        alpha = self.signal.alpha
        if alpha is None or op.opacity is None:
            return op
        from convcli.core.alpha import WeightedByAlpha

        return WeightedByAlpha(
            op=op,
            alpha=alpha,
            opaque=self.signal.full_scale,
            keeps_alpha=op.opacity == "kept",
        )


def signal_after(signal: Signal, ops: tuple[Op, ...], whole: Normalize | Reduce | None) -> Signal:
    """What the operations make of a signal, as far as it is known beforehand."""
    if isinstance(whole, Reduce):
        return replace(signal, shape=whole.bins)
    chain = Chain(ops, signal.axes)
    shape = tuple(
        None if n is None else chain.count(axis, n) for axis, n in enumerate(signal.shape)
    )
    channels = signal.channels
    for op in ops:
        count = op.output_channels(len(channels))
        if count == len(channels):
            continue
        channels = ("left", "right") if count == 2 else tuple(str(c + 1) for c in range(count))
    along = chain.reach[0]
    rate = None if signal.rate is None else signal.rate * along.phases / along.step
    return replace(signal, shape=shape, channels=channels, rate=rate)


def reads_twice(calls: tuple[Call, ...]) -> bool:
    """Whether some step must see the whole signal before it can begin, so that a pipe has to be kept."""
    return any(call.name == "normalize" for call in calls)
