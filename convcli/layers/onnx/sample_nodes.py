"""Nodes of an ONNX graph that pad, pick, repeat or rearrange samples and channels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.op import Complete, Op
from convcli.core.ops import Convolve
from convcli.layers.padding import extended_input
from convcli.layers.selection import ChannelSelection
from convcli.layers.shuffle import MOST_TIMES_AS_MANY, InterleavePhases, SplitPhases
from convcli.layers.upsample import RepeatSamples, cubic_upsampling, linear_upsampling

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.layers.onnx.node_place import NodePlace, Ops
    from convcli.layers.weights import Tensor
    from convcli.signals import Edge

# A value has at most this many channels.
MOST_CHANNELS = 1 << 16
# An end of a Slice that lies beyond every signal.
ENDLESS = 1 << 31
# The modes of Pad, and what they are called here.
_PAD_MODES: dict[str, Edge] = {
    "constant": "zero",
    "reflect": "reflect",
    "edge": "edge",
    "wrap": "wrap",
}


def _pad_node(place: NodePlace) -> Ops:
    pads = place.constant(1)
    sides = list(place.attribute("pads", ())) if pads is None else pads.astype(int).tolist()
    mode = place.attribute("mode", "constant")
    value = place.scalar(2)
    dimensions = place.axes + 2
    if place.constant(3) is not None:
        raise place.error("names the axes that it pads; pads of all axes are known")
    if len(sides) != 2 * dimensions or any(sides[n] for n in (0, 1, dimensions, dimensions + 1)):
        raise place.error("only samples are padded, not batches or channels")
    known = "zeros, reflect, edge and wrap are known"
    if mode not in _PAD_MODES:
        raise place.error(f"pads by {mode}; {known}")
    if value not in {None, 0}:
        raise place.error(f"pads with {value:g}; {known}")
    if min(sides) < 0 and mode != "constant":
        raise place.error(f"cuts samples off in the mode {mode}; it is known with zeros alone")
    pairs = tuple(zip(sides[2:dimensions], sides[dimensions + 2 :], strict=True))
    return (extended_input(pairs, _PAD_MODES[mode]),)


def _depth_to_space_node(place: NodePlace) -> Ops:
    factors = (place.count("blocksize", MOST_TIMES_AS_MANY),) * place.axes
    phases = math.prod(factors)
    if place.channels % phases:
        raise place.error(f"makes one channel of {phases}, and {place.channels} come")
    interleaved = InterleavePhases(factors=factors)
    if place.attribute("mode", "DCR") == "CRD":
        return (interleaved,)
    # Depth, column, row: the phase is the slower index of a channel.
    order = np.arange(place.channels).reshape(phases, -1).T.ravel()
    return ChannelSelection(selected=tuple(order.tolist()), axes=place.axes), interleaved


def _space_to_depth_node(place: NodePlace) -> Ops:
    factors = (place.count("blocksize", MOST_TIMES_AS_MANY),) * place.axes
    phases = math.prod(factors)
    if place.channels * phases > MOST_CHANNELS:
        raise place.error(f"makes {place.channels * phases:,} channels; at most {MOST_CHANNELS:,}")
    order = np.arange(place.channels * phases).reshape(-1, phases).T.ravel()
    selection = ChannelSelection(selected=tuple(order.tolist()), axes=place.axes)
    return Complete(SplitPhases(factors=factors)), selection


def _gather_node(place: NodePlace) -> Ops:
    """Some of the channels, in another order."""
    picked = place.needed(1).astype(int)
    if place.attribute("axis", 0) % (place.axes + 2) != 1 or picked.ndim != 1:
        raise place.error("only channels are gathered, by a list of their numbers")
    if picked.size == 0 or (np.abs(picked + 0.5) > place.channels).any():
        raise place.error(f"there are {place.channels} channels")
    numbers = np.arange(place.channels)[picked]
    return (ChannelSelection(selected=tuple(numbers.tolist()), axes=place.axes),)


def _slice_node(place: NodePlace) -> Ops:
    """Some of the channels, and every nth sample without those at the ends."""
    kept = list(range(place.channels))
    cuts = [(0, 0)] * place.axes
    strides = [1] * place.axes
    for axis, start, end, step in _slice_arguments(place):
        if axis == 1:
            kept = kept[start:end:step]
            continue
        from_the_end = end < 0 or end >= ENDLESS
        if axis == 0 or not 0 < step <= MOST_TIMES_AS_MANY or start < 0 or not from_the_end:
            raise place.error("samples are cut off at the ends and nowhere else")
        cuts[axis - 2] = (-start, 0 if end >= ENDLESS else end)
        strides[axis - 2] = step
    if not kept:
        raise place.error("no channel is left")
    ops: list[Op] = []
    if any(map(any, cuts)):
        ops.append(extended_input(tuple(cuts), "zero"))
    if max(strides) > 1:
        ops.append(_every_nth(tuple(strides)))
    if kept != list(range(place.channels)):
        ops.append(ChannelSelection(selected=tuple(kept), axes=place.axes))
    return tuple(ops)


def _every_nth(strides: tuple[int, ...]) -> Op:
    """Every nth sample on each axis, from the first one on."""
    nothing = (0,) * len(strides)
    one = np.ones((1,) * len(strides))
    return Convolve(taps=one, before=nothing, after=nothing, step=strides, anchor=nothing)


def _slice_arguments(place: NodePlace) -> list[tuple[int, int, int, int]]:
    """The axis, the start, the end and the step of each part of a Slice."""
    starts = place.needed(1).astype(int).ravel().tolist()
    axes, steps = place.constant(3), place.constant(4)
    along = list(range(len(starts)))
    if axes is not None:
        along = axes.astype(int).ravel().tolist()
    strides = [1] * len(starts)
    if steps is not None:
        strides = steps.astype(int).ravel().tolist()
    numbers = [axis % (place.axes + 2) for axis in along]
    ends = _slice_ends(place, numbers)
    if not len(starts) == len(ends) == len(along) == len(strides) or 0 in strides:
        raise place.error("its starts, ends, axes and steps do not fit each other")
    return list(zip(numbers, starts, ends, strides, strict=True))


def _slice_ends(place: NodePlace, axes: list[int]) -> list[int]:
    """Where the parts of a Slice end; those made of lengths are counted from the end."""
    sizes = place.sizes_of(2)
    if sizes is None:
        raise place.error("input 2 is missing")
    if np.array_equal(sizes[0], sizes[1]):
        return sizes[0].astype(int).ravel().tolist()
    found = []
    for ends, lengths in zip(sizes, place.lengths, strict=True):
        shape = (1, place.channels, *lengths)
        from_the_end = [end - shape[axis] for end, axis in zip(ends.ravel(), axes, strict=False)]
        found.append([int(end) or ENDLESS for end in from_the_end])
    if found[0] != found[1]:
        raise place.error("its ends are no lengths of its input")
    return found[0]


def _resize_node(place: NodePlace) -> Ops:
    """Upsampling by whole factors, by the nearest sample, or by linear or cubic interpolation."""
    factors = _resize_factors(place)
    mode = place.attribute("mode", "nearest")
    where = place.attribute("coordinate_transformation_mode", "half_pixel")
    rounds = place.attribute("nearest_mode", "round_prefer_floor")
    halves = where in {"half_pixel", "pytorch_half_pixel"} and place.node.kind == "Resize"
    # At whole factors no position of half pixels lies midway between two samples.
    nearest = halves and rounds in {"round_prefer_floor", "round_prefer_ceil"}
    floors = where in {"asymmetric", "tf_half_pixel_for_nn"} and rounds == "floor"
    if mode == "nearest" and (nearest or floors or place.node.kind == "Upsample"):
        return (RepeatSamples(factors=factors),)
    if mode == "linear" and halves:
        return linear_upsampling(factors, place.channels, "edge")
    if mode == "cubic" and halves and not place.attribute("exclude_outside", 0):
        slope = place.attribute("cubic_coeff_a", -0.75)
        return cubic_upsampling(factors, place.channels, slope)
    if where == "align_corners":
        raise place.error("positions by align_corners depend on the length of the whole signal")
    if mode == "nearest":
        mode = f"nearest by {rounds}"
    raise place.error(f"{mode} at {where} positions is not known")


def _resize_factors(place: NodePlace) -> tuple[int, ...]:
    """How many samples are made of each, on each axis. RequestError unless that is a whole number.

    A node says it by scales, or by sizes that are a multiple of those of its input.
    """
    scales = _factors_of_sizes(place)
    if scales is None:
        scales = place.constant(2 if place.node.kind == "Resize" else 1)
    if scales is None or scales.size != place.axes + 2:
        raise place.error("it says no scale for each dimension")
    factors = tuple(int(scale) for scale in scales[2:])
    if max(factors) > MOST_TIMES_AS_MANY:
        raise place.error(f"scales are {scales.tolist()}; at most {MOST_TIMES_AS_MANY:,} are made")
    if (scales[:2] != 1).any() or (scales[2:] != factors).any() or min(factors) < 1:
        raise place.error(f"scales are {scales.tolist()}; only whole factors of samples are known")
    return factors


def _factors_of_sizes(place: NodePlace) -> Tensor | None:
    """The shape that a Resize makes, divided by the shape of its input; None where it is left out.

    Raises RequestError where that is not the same for inputs of several lengths.
    """
    sizes = place.sizes_of(3)
    if sizes is None:
        return None
    found: list[Tensor] = []
    # The last of the checked inputs has lengths that strides do not divide.
    for shape, lengths in zip(sizes[:-1], place.lengths, strict=False):
        given = (1, place.channels, *lengths)
        if shape.size != len(given):
            raise place.error(f"its sizes are {shape.tolist()}")
        found.append(shape / np.array(given))
    if not all(np.array_equal(factors, found[0]) for factors in found):
        raise place.error("its sizes are no multiples of those of its input")
    return found[0]


SAMPLE_NODES: dict[str, Callable[[NodePlace], Ops]] = {
    "Pad": _pad_node,
    "DepthToSpace": _depth_to_space_node,
    "SpaceToDepth": _space_to_depth_node,
    "Slice": _slice_node,
    "Gather": _gather_node,
    "Resize": _resize_node,
    "Upsample": _resize_node,
}
