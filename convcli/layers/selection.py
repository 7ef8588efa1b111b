"""Operations that keep some of the channels or of the samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.core.one_sample import OneSample
from convcli.core.op import ChannelUse, LastKnown, NumberUse, Op, Span, none_known
from convcli.core.op_formula import OpFormula, delay_of_one_sample
from convcli.core.reach import Reach
from convcli.dataclass import dataclass
from convcli.layers.training.trained import trained_form

if TYPE_CHECKING:
    from convcli.array_types import Sizes
    from convcli.signals import Array


@dataclass(frozen=True, eq=False, kw_only=True)
class ChannelSelection(OneSample):
    """Some of the channels, in another order.

    selected : which ones
    """

    selected: tuple[int, ...]

    numbers = NumberUse(rounding="exact")

    def output_channels(self, count: int) -> int:
        """Count the channels that are selected."""
        return len(self.selected)

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Return the selected channels, in the order of `selected`."""
        return x[..., list(self.selected)]


@dataclass(frozen=True, eq=False, kw_only=True)
class FirstOutputs(Op):
    """All samples but the last ones.

    fewer : how many are cut off at the end of each axis
    """

    fewer: Sizes

    numbers = NumberUse(rounding="exact")
    channels = ChannelUse(uniform=True)

    @property
    def reach(self) -> tuple[Reach, ...]:
        """An output is known when `fewer` inputs have come after it."""
        return tuple(Reach(after=count, growth=-count) for count in self.fewer)

    @property
    def formula(self) -> OpFormula:
        """The end of a transposed convolution."""
        return OpFormula(delay=delay_of_one_sample(self.reach), continues_layer=True)

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Return the inputs that have enough others behind them."""
        wanted = [slice(0, stop - start) for start, stop in span]
        return x[tuple(wanted)]


@trained_form.register(FirstOutputs)
def _untouched(op: FirstOutputs) -> None:
    """Inside the signal nothing is cut off."""
