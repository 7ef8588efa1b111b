"""What is to be learned: the request that every way of learning reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.signals import Align


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be learned from which samples.

    taps : length of the window along each sample axis
    align : position of the estimated sample in its window, in the middle or at the end
    bias : learn a constant too
    ahead : predict the sample that is this many samples later
    blind : the target is the input itself, estimated without the tap at its own sample
    delay : samples by which the target file is later, per sample axis; None measures the delay,
        and () says that both files start together and have the same length
    differences : learn the change of the target from the changes of the inputs
    residual : a network learns the target minus the input, which is added to its output
    noise : for `blind`, the standard deviation of the white noise; "auto" estimates it, and None
        leaves the sample itself out of the filter
    mix : every output channel reads every input channel; otherwise all channels share one filter
    inputs, targets : indices of the channels, where one source has both
    ridge : strength of the ridge; None chooses the best of several
    holdout : the fraction at the end of each signal that is held out
    """

    taps: tuple[int, ...]
    align: Align = "center"
    bias: bool = False
    ahead: int = 0
    blind: bool = False
    delay: tuple[int, ...] | None = ()
    differences: bool = False
    residual: bool = False
    noise: float | Literal["auto"] | None = None
    mix: bool = False
    inputs: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    ridge: float | None = None
    holdout: float = 0.2

    @property
    def before(self) -> tuple[int, ...]:
        """Taps before the estimated sample, on each axis."""
        if self.align == "causal":
            return tuple(k - 1 for k in self.taps)
        return tuple((k - 1) // 2 for k in self.taps)

    @property
    def summary(self) -> str:
        """The kind of task, as facts and model files name it."""
        if self.blind:
            return "blind" if self.noise is None else "blind, with the sample itself"
        kind = "pairs"
        if self.ahead:
            seen = "differences" if self.differences else "levels"
            kind = f"ahead {self.ahead}, on {seen}"
        return f"{kind}, target - input" if self.residual else kind

    def first_held_out(self, length: int) -> int:
        """Index of the first held-out sample of a signal of `length` samples."""
        return length - round(length * self.holdout)
