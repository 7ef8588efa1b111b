"""Operations around another one: what is known of that one holds for them, unless they differ."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

# The classes of wrappers are found when their modules are imported.
from convcli.core.alpha import MaskedByAlpha, WeightedByAlpha
from convcli.core.extend import Bounds
from convcli.core.op import Complete, Op, WrappedOp
from convcli.core.ops import Convolve
from convcli.core.whole_signal import Normalize, Unmeasured

if TYPE_CHECKING:
    from convcli.core.op import LastKnown, Span
    from convcli.signals import Array

# What `Op` says follows from other members, which wrappers forward or define.
DERIVED = {
    *("bind", "complete"),
    *("compute", "reads", "complete_outputs", "branch_tasks"),
    *("held_places", "held_starts", "holds_input_alone"),
}
# What stands for the function of the operation, from which that of the wrapper differs.
OF_THE_FUNCTION = {
    *("in_place", "joined", "executor", "prefers_long_jobs"),
    *("scale_and_shift", "undivided", "axis_taps"),
    *("cell", "framed_taps", "on_grids"),
}
# The same wrapper around a changed operation, or a part of what is known of it.
CHANGED_INSIDE = {"with_rules", "times", "to_measure", "formula"}
# Members that are asked with an argument.
METHODS = {"output_channels", "opacity_after"}
MEMBERS = {name for name in vars(Op) if not name.startswith("_")} | {"__call__"}


class Bare(WrappedOp):
    """A wrapper that changes nothing."""

    def __call__(self, x: Array, span: Span, held: LastKnown) -> Array:  # type: ignore[override]
        return self.op(x, span, held)


@pytest.mark.parametrize("wrapper", [Complete, MaskedByAlpha, WeightedByAlpha])
def test_no_member_is_forgotten(wrapper: type[WrappedOp]) -> None:
    assert wrapper in WrappedOp.__subclasses__()
    assert DERIVED | OF_THE_FUNCTION <= MEMBERS
    for name in MEMBERS - DERIVED - OF_THE_FUNCTION:
        definer = next(each for each in wrapper.__mro__ if name in vars(each))
        assert definer is not Op, f"{wrapper.__name__} neither forwards nor defines {name}"


def test_members_are_forwarded() -> None:
    forwarded = MEMBERS - DERIVED - OF_THE_FUNCTION - CHANGED_INSIDE - {"__call__"}
    inside = SimpleNamespace(**{name: object() for name in forwarded - METHODS})
    for name in METHODS:
        setattr(inside, name, lambda count: ("answer", count))
    wrapper = Bare(inside)  # type: ignore[arg-type]
    for name in forwarded - METHODS:
        assert getattr(wrapper, name) is getattr(inside, name), name
    for name in METHODS:
        assert getattr(wrapper, name)(3) == ("answer", 3), name


def test_what_stands_for_the_function_is_not_forwarded() -> None:
    inside = Convolve(taps=np.ones(3), before=(1,), after=(1,), step=(1,), anchor=(0,))
    formula = Bare(inside).formula
    assert formula.convolutions == (inside,)
    assert formula.as_convolution is None
    assert formula.window_weights(1) is None


def test_a_bound_operation_stays_wrapped() -> None:
    inside = Convolve(taps=np.ones(3), before=(1,), after=(1,), step=(1,), anchor=(0,))
    bound = Bare(inside).times.bound(inside.reach[0])
    assert isinstance(bound, Bare)
    assert bound.op is inside


def test_a_measured_operation_stays_wrapped() -> None:
    identity = Convolve(taps=np.ones(1), before=(0,), after=(0,), step=(1,), anchor=(0,))
    measure = Normalize(level=1, per_channel=False, axes=1, alpha=None)
    waiting = Unmeasured(measure=measure, axes=1)
    to_measure = Bare(waiting).to_measure
    assert to_measure is not None
    measured = to_measure.with_measured(identity)
    assert isinstance(measured, Bare)
    assert measured.op is identity


def test_a_wrapped_recursion_has_no_incomplete_window() -> None:
    inside = Convolve(
        taps=np.ones(3), before=(2,), after=(0,), step=(1,), anchor=(0,), recursive=True
    )
    found = Bare(inside).complete_outputs(Bounds((0,), (9,)), (9,))
    assert (found.low, found.high) == ((0,), (9,))


def test_the_rules_of_a_run_reach_the_wrapped_operation() -> None:
    inside = Convolve(
        taps=np.ones(3), before=(1,), after=(1,), step=(1,), anchor=(0,), missing="keep"
    )
    wrapper = Bare(inside).with_rules("propagate", exact=True)
    assert isinstance(wrapper, Bare)
    assert isinstance(wrapper.op, Convolve)
    assert (wrapper.op.missing, wrapper.op.exact) == ("propagate", True)
