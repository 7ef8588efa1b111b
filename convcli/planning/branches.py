"""Groups of branches, bound to a signal: `x - gaussian:3`, `(x - sma:20) / std:20`."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from convcli.core.alpha import Premultiply, Unpremultiply
from convcli.core.branch_chain import UnequalBranchesError
from convcli.core.branches import Branches
from convcli.core.chain import Chain
from convcli.core.formula import Arithmetic, Constant, Operand
from convcli.core.one_sample import Pointwise
from convcli.dataclass import dataclass
from convcli.designs.registry import step
from convcli.errors import RequestError
from convcli.planning.calls import Call
from convcli.planning.plan import bind_chain
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.core.binding import Site, Stage
    from convcli.core.op import Op
    from convcli.core.ops import Convolve
    from convcli.planning.calls import BranchGroup
    from convcli.planning.plan import BoundStep
    from convcli.signals import Array, Signal

# What is written as x and nothing else.
_INPUT_ALONE = Operand(0)
# A chain of groups doubles the outputs with each `&`, so that a short text may ask for any number.
# A stage makes as many as it reads, or this many.
MOST_OUTPUTS = 4096


@step("branches", example="x - gaussian:3")
def branches(*, call: Call) -> WrittenGroup:
    """Filters side by side, combined by + - * / between spaces: x - gaussian:3.

    x is the signal that enters the stage. Operands are steps, numbers (2, 1/14, 50%, -6dB), x and
    chains in parentheses; * and / bind tighter than + and -. The branches read the same input, and
    their outputs are aligned at the sample that they stand for, so branches of different rates or
    lengths are refused. An output is missing where an operand is, and where a divisor is 0. With
    one edge rule the signal is extended once for all branches; under `valid` an output counts where
    every branch is complete. Linear branches are one convolution, with taps and a response.

    & puts the outputs of several formulas side by side, as further columns or channels:
    sma:20 + 2 * std:20 & sma:20 - 2 * std:20.
    """
    if call.group is None:
        hint = "write an operator between spaces: `x - gaussian:3`"
        raise RequestError("branches is the name of no step of its own", hint=hint)
    return WrittenGroup(call, call.group)


@dataclass(frozen=True, eq=False)
class WrittenGroup:
    """A group of branches as written. Its branches are bound where the group is."""

    call: Call
    group: BranchGroup

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return one stage. RequestError with a caret at a branch that does not fit the others."""
        if self._is_input:
            return (site.stage(),)
        bound = _BoundGroup.of(self, site)
        alpha = site.signal.alpha
        if alpha is None:
            return (bound.stage(bound.op),)
        if len(self.group.formulas) > 1:
            message = "several outputs side by side have no common opacity"
            raise self.call.error(message, hint="--channels rgb filters the colours alone")
        ops = self._linear_operations(site)
        if not ops:
            ops = (replace(bound.op, keeps=alpha),)
        return (bound.stage(*ops),)

    def _linear_operations(self, site: Site) -> tuple[Op, ...]:
        """The operations of a linear group on a picture with opacity; none of any other group.

        Such a group is one filter, so that no branch weights the colours by itself.
        """
        opaque = replace(site, signal=replace(site.signal, alpha=None))
        with suppress(RequestError):
            return _linear_with_alpha(_BoundGroup.of(self, opaque).op, site.signal)
        return ()

    @property
    def _is_input(self) -> bool:
        """Whether nothing is written but x."""
        no_calls = not any(branch.calls for branch in self.group.branches)
        return no_calls and self.group.formulas == (_INPUT_ALONE,)


@dataclass(frozen=True, eq=False, kw_only=True)
class _BoundGroup:
    """A group whose branches are bound to a signal.

    steps : those of each branch
    """

    written: WrittenGroup
    site: Site
    steps: tuple[tuple[BoundStep, ...], ...]

    @classmethod
    def of(cls, written: WrittenGroup, site: Site) -> _BoundGroup:
        """Bind the steps of every branch to the signal that enters the group."""
        rules = site.rules
        if any(formula.divides for formula in written.group.formulas):
            # Where a divisor is 0, what an FFT rounds would become an arbitrary large number.
            rules = replace(rules, exact=True)
        bound = []
        for branch in written.group.branches:
            steps = bind_chain(branch.calls, site.signal, rules, in_branch=True)
            _refuse_pools_of_signal(steps, of_columns=written.group.names is not None)
            bound.append(tuple(steps))
        return cls(written=written, site=site, steps=tuple(bound))

    @cached_property
    def op(self) -> Branches:
        """The branches and their formulas as one operation."""
        self._check_channels()
        axes = self.site.signal.axes
        chains = [
            Chain(tuple(op for bound in steps for op in bound.ops), axes) for steps in self.steps
        ]
        # Under `valid` a plan with layers that pad is completed at last.
        pads = any(chain.padding is not None for chain in chains)
        completed = pads and self.site.rules.edge == "valid"
        formulas = self.written.group.formulas
        shape = self.site.signal.shape
        try:
            group = Branches.of(tuple(chains), formulas, axes, shape=shape, completed=completed)
            if completed:
                group.complete()
        except UnequalBranchesError as error:
            first = self.written.group.branches[0].text
            message = f"{error.does}, and {first} {error.first_does}"
            hint = "branches are combined sample by sample; change the rate before or after them"
            if self.written.group.names is not None:
                hint = "all filters of one command make the same rows"
            raise self._error(error.number, message, hint) from None
        return replace(group, names_results=self.written.group.names is not None)

    @property
    def _results(self) -> list[Signal]:
        """What each branch makes of the signal."""
        return [steps[-1].after if steps else self.site.signal for steps in self.steps]

    def _check_channels(self) -> None:
        counts = [len(result.channels) - (result.alpha is not None) for result in self._results]
        for number, branch in enumerate(self.written.group.branches):
            if branch.channels not in (None, counts[number]):
                channel = self.site.signal.medium.channel
                made = f"makes {plural(counts[number], channel)}, expected {branch.channels}"
                hint = f"one {channel} of each that is read; | pick:1 takes the first of several"
                raise self._error(number, made, hint)
        outputs = 0
        for formula in self.written.group.formulas:
            operands = list(formula.operands())
            self._check_operands(counts, operands)
            outputs += max((counts[number] for number in operands), default=1)
        most = max(MOST_OUTPUTS, len(self.site.signal.channels))
        if outputs > most:
            message = f"these branches make {outputs:,} outputs; at most {most:,} are made"
            hint = "each formula between & makes as many as it reads; fewer channels make fewer"
            raise self.written.call.error(message, hint=hint)

    def _check_operands(self, counts: list[int], operands: list[int]) -> None:
        """Refuse operands of one formula whose channels cannot be combined."""
        most = max((counts[number] for number in operands), default=1)
        for number in operands:
            count = counts[number]
            if count not in {1, most}:
                channel = self.site.signal.medium.channel
                message = f"gives {plural(count, channel)}, and another branch {most}"
                raise self._error(number, message, f"branches of one {channel} go with any other")

    def _error(self, number: int, message: str, hint: str) -> RequestError:
        """An error with a caret at a branch."""
        branch = self.written.group.branches[number]
        return self.written.call.error(f"{branch.text} {message}", at=branch.at, hint=hint)

    def stage(self, *ops: Op) -> Stage:
        """Return the stage of the group, computed by these operations."""
        stage = self.site.stage(*ops)
        stages = [bound.stage for steps in self.steps for bound in steps]
        notes = [each.note for each in stages if each.note]
        notices = [notice for each in stages for notice in each.notices]
        after = replace(stage.after, channels=self._channels(stage.after.channels))
        return replace(
            stage,
            after=after,
            remark="; ".join(dict.fromkeys(notes)),
            notices=tuple(dict.fromkeys(notices)),
            warnings=tuple(dict.fromkeys(self._warnings())),
        )

    def _warnings(self) -> Iterator[str]:
        """Warn of delays in the branches, which no longer go together then."""
        for steps in self.steps:
            for bound in steps:
                yield from bound.stage.warnings
                if bound.step.length_follows_frequency:
                    from convcli.planning.describe import delay_warnings

                    yield from delay_warnings(bound, self.site.rules)

    def _channels(self, made: tuple[str, ...]) -> tuple[str, ...]:
        """The names of the channels: those of a branch with as many, else those that are made."""
        given = self.written.group.names
        if given is not None:
            return given
        for result in self._results:
            if len(result.channels) == len(made):
                return result.channels
        return made


def _refuse_pools_of_signal(steps: list[BoundStep], *, of_columns: bool) -> None:
    """Raise RequestError for a pool that makes several outputs of the whole signal.

    of_columns : whether the branches are filters of columns, from --add and --set
    """
    why = "branches are combined sample by sample"
    hint = "one value for all, as of global_avg_pool, is; or pool before or after the branches"
    if of_columns:
        why = "the filters of columns go from row to row"
        hint = "a run of its own, as in -c COLUMN, takes it: one before or after this one in a pipe"
    for bound in steps:
        pool = bound.stage.pool
        if pool is not None:
            outputs = plural(math.prod(pool.bins), "output")
            made = f"{outputs} for the whole signal"
            raise bound.call.error(f"{bound.call.text} gives {made}, and {why}", hint=hint)


# ---------------------------------------------------------------------------------------- opacity


def _linear_with_alpha(op: Branches, signal: Signal) -> tuple[Op, ...]:
    """The operations of a linear group on a picture with opacity; none where it is not linear.

    Colours are weighted by their opacity once, before the branches. A constant is added to the
    colours.
    """
    formula = op.formulas[0]
    combination = formula.combination(len(op.branches))
    if combination is None or signal.alpha is None:
        return ()
    constant = combination.constant
    if constant:
        op = replace(op, formulas=(Arithmetic("-", formula, Constant(constant)),))
    convolution = op.formula.as_convolution
    if convolution is None:
        return ()
    weighted = _weighted_once(op, convolution, signal.alpha, signal.full_scale)
    return (*weighted, *_added_constant(constant, signal))


def _weighted_once(
    op: Branches, convolution: Convolve, alpha: int, opaque: float
) -> tuple[Op, ...]:
    """A linear group between the operations that weight the colours by their opacity.

    As with a single kernel, the opacity is filtered too, or kept where the taps sum to 0.
    """
    if convolution.on_missing == "empty":
        weigh = Premultiply(axes=2, alpha=alpha, divisor=opaque)
        return (weigh, replace(op, keeps=alpha))
    weigh = Premultiply(axes=2, alpha=alpha, divisor=1.0)
    gain = float(convolution.taps.sum()) / convolution.divisor
    divide = Unpremultiply(axes=2, alpha=alpha, opaque=opaque, gain=gain)
    return (weigh, op, divide)


def _added_constant(constant: float, signal: Signal) -> tuple[Op, ...]:
    """The addition of a constant to the colours; none for 0."""
    if not constant:
        return ()

    def added(x: Array) -> Array:
        return x + constant

    return (Pointwise(function=added, axes=signal.axes, keeps=signal.alpha),)
