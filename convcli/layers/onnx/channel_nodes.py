"""Nodes of an ONNX graph that put all channels of a sample together: a softmax, the largest one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.one_sample import OneSample
from convcli.core.op import Held, Span, nothing_held
from convcli.dataclass import dataclass
from convcli.layers.onnx.global_nodes import not_local_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.layers.onnx.node_place import NodePlace, Ops
    from convcli.signals import Array


@dataclass(frozen=True, eq=False, kw_only=True)
class AcrossChannels(OneSample):
    """A function of all channels of each sample.

    function : of (samples..., channels), returns (samples..., made)
    made : how many channels come out; None: as many as go in
    """

    function: Callable[[Array], Array]
    made: int | None = None

    def output_channels(self, count: int) -> int:
        """Count the channels that come out."""
        return self.made or count

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Apply the function; an output is missing where a channel that it reads is."""
        y = self.function(x)
        return y.astype(x.dtype, copy=False)


def softmax(x: Array) -> Array:
    """The exponentials of the channels, divided by their sum."""
    # Without the largest one the exponentials would overflow.
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    y: Array = powers / powers.sum(axis=-1, keepdims=True)
    return y


def _log_softmax(x: Array) -> Array:
    """The logarithm of the softmax."""
    below = x - x.max(axis=-1, keepdims=True)
    y: Array = below - np.log(np.exp(below).sum(axis=-1, keepdims=True))
    return y


def _largest_channel(x: Array) -> Array:
    """The number of the channel with the largest value, of several the first one."""
    y: Array = np.argmax(x, axis=-1, keepdims=True).astype(x.dtype)
    y[np.isnan(x).any(axis=-1)] = np.nan
    return y


def _root_of_squares(x: Array) -> Any:
    return np.sqrt(np.square(x).sum(axis=-1, keepdims=True))


def _over_channels(reduce: Callable[..., Any]) -> Callable[[Array], Array]:
    return lambda x: reduce(x, axis=-1, keepdims=True)


_REDUCTIONS: dict[str, Callable[[Array], Array]] = {
    "ReduceMean": _over_channels(np.mean),
    "ReduceSum": _over_channels(np.sum),
    "ReduceMax": _over_channels(np.max),
    "ReduceMin": _over_channels(np.min),
    "ReduceL2": _root_of_squares,
}


def _reduction_node(place: NodePlace) -> Ops:
    """One channel for all: their mean, their sum, the largest or the smallest of them."""
    axes = place.constant(1)
    along = place.attribute("axes", ()) if axes is None else axes.ravel()
    of_channels = [int(axis) % (place.axes + 2) for axis in along] == [1]
    if not of_channels:
        raise not_local_error(place.path, place.node)
    if not place.attribute("keepdims", 1):
        raise place.error("what is taken of the channels is known with keepdims=1 alone")
    return (AcrossChannels(function=_REDUCTIONS[place.node.kind], axes=place.axes, made=1),)


def _softmax_node(place: NodePlace) -> Ops:
    """The softmax of the channels, or its logarithm."""
    _check_axis(place, default=-1)
    function = {"Softmax": softmax, "LogSoftmax": _log_softmax}[place.node.kind]
    return (AcrossChannels(function=function, axes=place.axes),)


def _argmax_node(place: NodePlace) -> Ops:
    """The number of the channel with the largest value, as one channel."""
    _check_axis(place, default=0)
    if not place.attribute("keepdims", 1) or place.attribute("select_last_index", 0):
        raise place.error("the number of the largest channel is known with keepdims=1 alone")
    return (AcrossChannels(function=_largest_channel, axes=place.axes, made=1),)


def _check_axis(place: NodePlace, *, default: int) -> None:
    """RequestError for a node that goes along samples."""
    axis = place.attribute("axis", default)
    if axis % (place.axes + 2) != 1:
        raise place.error("goes along samples, not along channels, and sees the whole signal")


CHANNEL_NODES: dict[str, Callable[[NodePlace], Ops]] = {
    **dict.fromkeys(_REDUCTIONS, _reduction_node),
    "Softmax": _softmax_node,
    "LogSoftmax": _softmax_node,
    "ArgMax": _argmax_node,
}
