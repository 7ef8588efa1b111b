"""The values of an ONNX graph: their channels, where branches part, and sizes made of lengths.

Exporters write `F.interpolate(x, size=y.shape[2:])` as a little program that reads the shape of y
while the graph runs. No length is known when a graph is read. So sizes are worked out for inputs of
several lengths: numbers that are the same for all of them are constants, and a size that is always
the same multiple of a length is a factor.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.formula import Formula, Operand
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.layers.onnx.combining import FUNCTIONS_OF_SEVERAL, formula_of
from convcli.layers.onnx.folding import MOST_FOLDED, Constant, folded_constant
from convcli.layers.onnx.global_nodes import ANOTHER_ORDER, not_local_error
from convcli.layers.onnx.node_place import NodePlace
from convcli.layers.onnx.nodes import operations_of
from convcli.layers.onnx.pointwise_nodes import with_constant
from convcli.layers.onnx.rearranging import REARRANGEMENTS, Phases, Rearrangement
from convcli.layers.onnx.sample_nodes import MOST_CHANNELS
from convcli.layers.selection import ChannelSelection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convcli.core.op import Op
    from convcli.layers.onnx.file import Node, OnnxGraph

    Lengths = tuple[int, ...]

# Strides and pools of networks divide this length.
EVEN_LENGTH = 1024 * 9 * 5 * 7
# Lengths of the first and the second axis of the inputs for which sizes are worked out. The first
# two can be divided by all strides, the last one cannot.
CHECKED = (
    (EVEN_LENGTH, 2 * EVEN_LENGTH),
    (3 * EVEN_LENGTH, 5 * EVEN_LENGTH),
    (EVEN_LENGTH + 1, 2 * EVEN_LENGTH + 1),
)


@dataclass(frozen=True)
class GraphValue:
    """A value of the graph.

    channels : how many it has
    dominator : the last value before it that every path from the input to it goes through, None for
        the input; depth : how many of them there are
    lengths : samples on each axis, for each of the checked inputs
    """

    channels: int
    dominator: str | None
    depth: int
    lengths: tuple[Lengths, ...]


class GraphValues:
    """All values that follow from the input of a graph, and all sizes that follow from lengths.

    values : by name, in the order in which they are made
    sizes : by name, for each of the checked inputs
    reads_odd_lengths : whether what the graph computes does not change with lengths that its
        strides do not divide
    """

    def __init__(self, graph: OnnxGraph, channels: int) -> None:
        self.graph = graph
        lengths = tuple(_checked_lengths(sides, graph.sides) for sides in CHECKED)
        self.values = {graph.input: GraphValue(channels, None, 0, lengths)}
        self.sizes: dict[str, tuple[Constant, ...]] = {}
        self.reads_odd_lengths = True
        self._rearranged: dict[str, list[Rearrangement]] = {}
        self._phases: dict[str, Phases] = {}
        self._constants: dict[str, Constant] = dict(graph.constants)
        for node in graph.nodes:
            self._add(node)

    @property
    def multiple(self) -> Lengths:
        """The lengths of which an input must be a multiple, on each axis."""
        ones = (1,) * self.graph.axes
        if self.reads_odd_lengths:
            return ones
        return tuple(self._common_stride(axis) for axis in range(len(ones)))

    def _common_stride(self, axis: int) -> int:
        """The number of inputs that is a whole number of samples of every value."""
        first = self.values[self.graph.input].lengths
        more = first[1][axis] - first[0][axis]
        strides = [1]
        for value in self.values.values():
            samples = value.lengths[1][axis] - value.lengths[0][axis]
            if more:
                strides.append(Fraction(samples, more).denominator)
        return math.lcm(*strides)

    def _add(self, node: Node) -> None:
        """Add the values that a node puts out."""
        inputs = [name for name in node.inputs if name in self.values]
        if node.kind == "Shape" and inputs:
            self._add_shape(node, self.values[inputs[0]])
        elif node.kind in REARRANGEMENTS and (inputs or self._rearranged.keys() & node.inputs):
            self._add_rearranged(node)
        elif inputs:
            self._add_values(node, inputs)
        elif self._rearranged.keys() & node.inputs:
            raise not_local_error(self.graph.path, node, ANOTHER_ORDER)
        elif any(name in self.sizes for name in node.inputs):
            self._add_sizes(node)

    # --- sizes ---

    def _add_shape(self, node: Node, value: GraphValue) -> None:
        """Add the shape of a value, or a part of it."""
        first, last = node.attributes.get("start", 0), node.attributes.get("end")
        shapes = [(1, value.channels, *lengths)[first:last] for lengths in value.lengths]
        self._keep_sizes(node, [np.array(shape, np.int64) for shape in shapes])

    def _add_sizes(self, node: Node) -> None:
        """Add what a node makes of sizes and constants, if that is known."""
        made = []
        for checked in range(len(CHECKED)):
            given = []
            for name in node.inputs:
                found = self._size(name, checked)
                if found is None or found.size > MOST_FOLDED:
                    return
                given.append(found)
            folded = folded_constant(node.kind, given, node.attributes)
            if folded is None:
                return
            made.append(folded)
        self._keep_sizes(node, made)

    def _size(self, name: str, checked: int) -> Constant | None:
        """The numbers of this name for one of the checked inputs."""
        if name in self.sizes:
            return self.sizes[name][checked]
        return self.graph.constants.get(name)

    def _keep_sizes(self, node: Node, made: list[Constant]) -> None:
        """Keep the output of a node; it is a constant if it is the same for all even lengths."""
        name = node.outputs[0]
        self.sizes[name] = tuple(made)
        if np.array_equal(made[0], made[1]):
            self._constants[name] = made[0]

    # --- numbers in another order ---

    def _add_rearranged(self, node: Node) -> None:
        """Add the numbers of a value in another order; they may be channels and samples again.

        Raises RequestError for an order that is not known.
        """
        made = []
        for checked, before in enumerate(self._arrangements(node.inputs[0])):
            sizes = self._size(node.inputs[1], checked) if len(node.inputs) > 1 else None
            following = before.then(node.kind, node.attributes, sizes)
            if following is None:
                raise not_local_error(self.graph.path, node)
            made.append(following)
        name = node.outputs[0]
        self._rearranged[name] = made
        phases = made[0].phases
        if phases is not None and phases == made[1].phases:
            self._phases[name] = phases
            self._add_values(node, [made[0].source])

    def _arrangements(self, name: str) -> list[Rearrangement]:
        """The numbers of this name, for each of the checked inputs with even lengths."""
        if name in self._rearranged and name not in self.values:
            return self._rearranged[name]
        value = self.values[name]
        shapes = [(1, value.channels, *lengths) for lengths in value.lengths[:-1]]
        return [Rearrangement(name, (shape,)) for shape in shapes]

    # --- values ---

    def _add_values(self, node: Node, inputs: list[str]) -> None:
        """Add the outputs of a node that are values."""
        dominator = inputs[0]
        for name in inputs[1:]:
            dominator = _common_dominator(self.values, dominator, name)
        depth = self.values[dominator].depth + 1
        for name in node.inputs:
            sizes = self.sizes.get(name)
            if sizes is not None and not np.array_equal(sizes[0], sizes[-1]):
                self.reads_odd_lengths = False
        for number, name in enumerate(node.outputs):
            if name:
                channels, lengths = self._made(node, number, inputs)
                self.values[name] = GraphValue(channels, dominator, depth, lengths)

    def _made(self, node: Node, number: int, inputs: list[str]) -> tuple[int, tuple[Lengths, ...]]:
        """Count the channels of an output of a node, and its lengths."""
        given = [self.values[name] for name in inputs]
        channels = [value.channels for value in given]
        if len(inputs) > 1:
            # What does not combine values is refused at its place in the order of the nodes.
            self.formulas(node)
        count = max(channels)
        if node.kind == "Concat":
            if len(inputs) < len(node.inputs):
                message = f"{self.graph.path}: {node.title}: puts constants beside channels"
                raise RequestError(message)
            count = sum(channels)
        if count > MOST_CHANNELS:
            message = f"{self.graph.path}: {node.title}: makes {count:,} channels"
            raise RequestError(f"{message}; at most {MOST_CHANNELS:,}")
        of_inputs = zip(*(value.lengths for value in given), strict=True)
        lengths = tuple(_common_lengths(each) for each in of_inputs)
        if len(inputs) > 1 or node.kind == "Concat":
            return count, lengths
        ops = self.own_ops(node, number)
        for op in ops:
            count = op.output_channels(count)
        return count, tuple(_lengths_after(ops, each) for each in lengths)

    def inputs_of(self, node: Node) -> list[str]:
        """The values that a node makes its outputs of, several nodes in a row taken as one."""
        if node.outputs[0] in self._phases:
            return [self._rearranged[node.outputs[0]][0].source]
        return [name for name in node.inputs if name in self.values]

    def formulas(self, node: Node) -> tuple[Formula, ...]:
        """How a node combines several values. RequestError for one that is not known."""
        inputs = [name for name in node.inputs if name in self.values]
        if node.kind == "Concat":
            if node.attributes.get("axis", 1) not in {1, -1 - self.graph.axes}:
                message = f"{self.graph.path}: {node.title}: only channels are put side by side"
                raise RequestError(message)
            return tuple(map(Operand, range(len(inputs))))
        formula = formula_of(node, self.values, self._constants)
        if formula is None:
            otherwise = "takes several values, and is not known"
            raise not_local_error(self.graph.path, node, otherwise)
        return (formula,)

    def own_ops(self, node: Node, number: int) -> tuple[Op, ...]:
        """The operations of a node with one input that is not a constant; `number` : its output."""
        if node.outputs[number] in self._phases:
            return self._phases[node.outputs[number]].ops
        place = self._place(node)
        if node.kind == "Split":
            return (_split_channels(place, number),)
        if node.kind in {"Add", "Sub", "Mul", "Div"}:
            return with_constant(place, 1 if node.inputs[0] not in self._constants else 0)
        if node.kind in FUNCTIONS_OF_SEVERAL:
            (formula,) = self.formulas(node)
            return place.pointwise(lambda x: formula.value([x]))
        return operations_of(place)

    def _place(self, node: Node) -> NodePlace:
        (name,) = [name for name in node.inputs if name in self.values]
        value = self.values[name]
        return NodePlace(
            path=self.graph.path,
            node=node,
            constants=self._constants,
            channels=value.channels,
            axes=self.graph.axes,
            lengths=value.lengths,
            length_sizes=self.sizes,
        )


def _checked_lengths(lengths: Lengths, sides: Sequence[int | None]) -> Lengths:
    """The lengths to check: those that the file says, else the given ones."""
    pairs = zip(lengths, sides, strict=False)
    return tuple(side or length for length, side in pairs)


def _common_lengths(lengths: Sequence[Lengths]) -> Lengths:
    """The lengths of the result of several values: on each axis the shortest one."""
    return tuple(min(along) for along in zip(*lengths, strict=True))


def _lengths_after(ops: Sequence[Op], lengths: Lengths) -> Lengths:
    """The lengths of what operations make."""
    found = lengths
    for op in ops:
        pairs = zip(op.reach, found, strict=True)
        found = tuple(reach.count(length) for reach, length in pairs)
    return found


def _common_dominator(values: Mapping[str, GraphValue], one: str, other: str) -> str:
    """The last value that every path to each of two values goes through."""
    while one != other:
        if values[one].depth < values[other].depth:
            one, other = other, one
        before = values[one].dominator
        if before is None:
            break
        one = before
    return one


def _split_channels(place: NodePlace, number: int) -> Op:
    """The channels of one output of a Split."""
    node = place.node
    if node.attributes.get("axis", 0) not in {1, -1 - place.axes}:
        raise place.error("only channels are split")
    sizes = place.constant(1)
    counts = list(node.attributes.get("split", ()))
    if sizes is not None:
        counts = sizes.astype(int).tolist()
    outputs = len(node.outputs)
    if counts and (len(counts) != outputs or min(counts) < 1 or sum(counts) != place.channels):
        raise place.error(f"splits {place.channels} channels into {counts}")
    if not counts:
        each = -(-place.channels // len(node.outputs))
        counts = [each] * len(node.outputs)
    first = sum(counts[:number])
    last = min(first + counts[number], place.channels)
    return ChannelSelection(selected=tuple(range(first, last)), axes=place.axes)
