"""The units in which a network is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convcli.errors import InputError
from convcli.learning.material import known_parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.layers.nets import Net
    from convcli.learning.material import Segment
    from convcli.signals import Array, Medium


@dataclass(frozen=True)
class Scaling:
    """What was taken off the samples and the targets, and what they were divided by: (in,) and (out,) each."""

    x: tuple[Array, Array]
    y: tuple[Array, Array]

    def kept(self) -> dict[str, list[list[float]]]:
        """Mean and unit of each column that is read, and of each that is made, for a model file."""
        return {
            name: [[float(mean), float(unit)] for mean, unit in zip(*each, strict=True)]
            for name, each in (("inputs", self.x), ("outputs", self.y))
        }


def scale(net: Net, segments: list[Segment], medium: Medium) -> Scaling:
    """Bring the signals into units in which gradients are neither large nor small.

    Columns of a table lose their mean too, and the model file says so. Sound and pictures are only multiplied, by one
    factor; the weights at both ends can take that up, so that the network still gets them as they are.
    """
    x = _spread(segments, "x", columns=medium.separate_channels)
    y = _spread(segments, "y", columns=medium.separate_channels)
    if not medium.separate_channels and not net.layers[0].parameters:
        x = np.zeros_like(x[0]), np.ones_like(x[1])
    if not net.layers[-1].parameters:
        y = np.zeros_like(y[0]), np.ones_like(y[1])
    for each in segments:
        for samples, (mean, unit) in ((each.x, x), (each.y, y)):
            np.subtract(samples, mean, out=samples, casting="same_kind")
            np.divide(samples, unit, out=samples, casting="same_kind")
    return Scaling(x, y)


def _spread(segments: list[Segment], name: str, *, columns: bool) -> tuple[Array, Array]:
    """Mean and deviation of each channel where something is learned; or 0 and the root mean square of all."""
    count = sum(int(np.count_nonzero(each.train)) for each in segments)
    if not count:
        hint = "windows lie in one signal (or group) and hold no missing value: more data or smaller layers"
        raise InputError("no window is complete: too little data for these layers", hint=hint)

    def mean_of(function: Callable[[Array], Array]) -> Array:
        sums = [function(known).sum(axis=0) for known in known_parts(segments, name, "train")]
        return np.asarray(np.sum(sums, axis=0) / count)

    squares = mean_of(np.square)
    mean = mean_of(lambda known: known) if columns else np.zeros_like(squares)
    power = (
        mean_of(lambda known: np.square(known - mean))
        if columns
        else np.full_like(squares, squares.mean())
    )
    if not np.isfinite(power).all():
        raise InputError(
            "the samples are so large that their squares overflow",
            hint="scale them first: gain:0.001",
        )
    flat = power <= 1e-18 * squares
    if name == "x" and flat.all():
        raise InputError(
            "the input is constant where it is learned from: there is nothing to learn"
        )
    return mean, np.where(flat, 1.0, np.sqrt(np.where(flat, 1.0, power)))
