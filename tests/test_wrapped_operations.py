"""Operations around another one: what is known of that one holds for them, unless they differ."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

# The classes of wrappers are found when their modules are imported.
from convcli.core.alpha import MaskedByAlpha, WeightedByAlpha
from convcli.core.ops import Complete, Convolve, Op, WrappedOp

if TYPE_CHECKING:
    from convcli.core.ops import Held, Span
    from convcli.signals import Array

# What `Op` says follows from other members, which wrappers forward or define.
DERIVED = {
    "compute",
    "reads",
    "held_places",
    "held_starts",
    "holds_input_alone",
    "bind",
    "complete",
}
# What stands for the function of the operation, from which that of the wrapper differs.
OF_THE_FUNCTION = {"branch_tasks", "window_weights", "nn_call", "in_place", "joined", "executor",
                   "as_convolution", "spread"}  # fmt: skip
# The same wrapper around a changed operation.
CHANGED_INSIDE = {"with_rules", "bound"}
MEMBERS = {name for name in vars(Op) if not name.startswith("_")} | {"__call__"}


class Bare(WrappedOp):
    """A wrapper that changes nothing."""

    def __call__(self, x: Array, span: Span, held: Held) -> Array:  # type: ignore[override]
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
    inside = SimpleNamespace(**{name: object() for name in forwarded})
    wrapper = Bare(inside)  # type: ignore[arg-type]
    for name in forwarded:
        assert getattr(wrapper, name) is getattr(inside, name), name


def test_the_rules_of_a_run_reach_the_wrapped_operation() -> None:
    inside = Convolve(
        taps=np.ones(3), before=(1,), after=(1,), step=(1,), anchor=(0,), missing="keep"
    )
    wrapper = Bare(inside).with_rules("propagate", exact=True)
    assert isinstance(wrapper, Bare)
    assert isinstance(wrapper.op, Convolve)
    assert (wrapper.op.missing, wrapper.op.exact) == ("propagate", True)
