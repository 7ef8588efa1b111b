"""The units in which a network is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError
from convcli.learning.dataset import rows_where

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convcli.array_types import BoolArray
    from convcli.layers.training.layer_stack import LayerStack
    from convcli.learning.dataset import TrainingSignal
    from convcli.signals import Array

    # Samples of one signal, and which of them are trained on.
    Masked = tuple[Array, BoolArray]

# A channel whose variance is less than this part of its power is constant but for rounding.
LEAST_VARIANCE_OF_CHANNEL = 1e-18


@dataclass(frozen=True)
class ChannelScale:
    """Mean that is subtracted from each channel, and unit that it is divided by: (channels,)."""

    mean: Array
    unit: Array

    def apply(self, samples: Array) -> None:
        """Scale samples, (..., channels), in place."""
        np.subtract(samples, self.mean, out=samples, casting="same_kind")
        np.divide(samples, self.unit, out=samples, casting="same_kind")

    def pairs(self) -> list[list[float]]:
        """Mean and unit of each channel."""
        return [[float(m), float(u)] for m, u in zip(self.mean, self.unit, strict=True)]

    def of_phases(self, count: int) -> ChannelScale:
        """The scale with one pair for each `count` channels, which are samples of one channel."""
        if count == 1:
            return self
        mean = self.mean.reshape(-1, count).mean(axis=1)
        squares = np.square(self.unit) + np.square(self.mean)
        power = squares.reshape(-1, count).mean(axis=1) - np.square(mean)
        return ChannelScale(np.repeat(mean, count), np.repeat(np.sqrt(power), count))

    def unused(self) -> ChannelScale:
        """A scale that changes nothing."""
        return ChannelScale(np.zeros_like(self.mean), np.ones_like(self.unit))


@dataclass(frozen=True)
class Scaling:
    """Scales of inputs and targets; `phases` channels of the targets are samples of one channel."""

    inputs: ChannelScale
    targets: ChannelScale
    phases: int = 1

    def metadata(self) -> dict[str, list[list[float]]]:
        """Mean and unit of each input column and of each output column, for a model file."""
        return {"inputs": self.inputs.pairs(), "outputs": self.targets.pairs()[:: self.phases]}


def scale_signals(
    net: LayerStack, signals: Sequence[TrainingSignal], *, separate: bool, phases: int = 1
) -> Scaling:
    """Bring inputs and targets, in place, into units that suit gradient descent.

    separate : standardise every channel, as the model file will say. Otherwise all channels are
        divided by one factor, which the weights at that end of the network can take up, so that
        the network reads and makes samples in their own units.
    phases : so many channels of the targets are samples of one channel, which have one scale
    Raises InputError if nothing can be trained on, or the inputs are constant or too large.
    """
    inputs, constant = _scale_of([(each.x, each.train) for each in signals], separate=separate)
    if constant.all():
        raise InputError(
            "the input is constant where it is learned from: there is nothing to learn"
        )
    targets, _ = _scale_of([(each.y, each.train) for each in signals], separate=separate)
    targets = targets.of_phases(phases)
    if not separate and net.takes_input_unit is None:
        inputs = inputs.unused()
    if net.takes_output_unit is None:
        targets = targets.unused()
    for each in signals:
        inputs.apply(each.x)
        targets.apply(each.y)
    return Scaling(inputs, targets, phases)


def _scale_of(masked: Sequence[Masked], *, separate: bool) -> tuple[ChannelScale, BoolArray]:
    """The scale of all training samples, and which channels are constant.

    separate : mean and standard deviation of each channel; otherwise 0 and the root mean square
        of all channels
    """
    masks = [mask for _, mask in masked]
    count = sum(int(np.count_nonzero(mask)) for mask in masks)
    if not count:
        raise InputError(
            "no window is complete: too little data for these layers",
            hint="windows lie in one signal (or group) and hold no missing value: more data or "
            "smaller layers",
        )
    squares = _mean_of(np.square, masked, count)
    if separate:
        mean = _mean_of(np.positive, masked, count)

        def squared_deviation(known: Array) -> Array:
            return np.square(known - mean)

        power = _mean_of(squared_deviation, masked, count)
    else:
        mean = np.zeros_like(squares)
        power = np.full_like(squares, squares.mean())
    if not np.isfinite(power).all():
        raise InputError(
            "the samples are so large that their squares overflow",
            hint="scale them first: normalize brings the largest to 1",
        )
    constant = np.asarray(power <= LEAST_VARIANCE_OF_CHANNEL * squares)
    unit = np.where(constant, 1.0, np.sqrt(np.where(constant, 1.0, power)))
    return ChannelScale(mean, unit), constant


def _mean_of(function: Callable[[Array], Array], masked: Sequence[Masked], count: int) -> Array:
    """Mean of `function` over the training samples of each channel."""
    sums: list[Array] = []
    for values, mask in masked:
        sums += [function(known).sum(axis=0) for known in rows_where(values, mask)]
    return np.asarray(np.sum(sums, axis=0) / count)
