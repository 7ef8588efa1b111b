"""Graphs that keep the channels last, as TensorFlow and Keras do, rewritten to keep them first.

Exporters put a Transpose before and behind each convolution; those of torch do so around a layer
that goes over the channels, such as Linear or LayerNorm. A value with the channels last is the
same value as with the channels first, but for the numbers of its axes. So those Transposes become
Identity, and axes and constants of the nodes between them are renumbered.

A Reshape puts numbers into the order of the file. It gets a Transpose before it if its input has
the channels last, and one behind it if such a layer reads what it makes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.layers.onnx.combining import FUNCTIONS_OF_SEVERAL
from convcli.layers.onnx.global_nodes import not_local_error
from convcli.layers.onnx.pointwise_nodes import POINTWISE_NODES
from convcli.layers.onnx.rearranging import REARRANGEMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convcli.errors import RequestError
    from convcli.layers.onnx.file import Node
    from convcli.layers.onnx.folding import Constant

# Nodes that compute each number by itself. Their other inputs are broadcast against it.
# BatchNormalization is none of them: it takes axis 1 for the channels, whatever is there.
_ARITHMETIC = {"Add", "Sub", "Mul", "Div"}
_UNCHANGED = {"Identity", "Cast", "Dropout"}
POINTWISE = {*POINTWISE_NODES, *FUNCTIONS_OF_SEVERAL, *_ARITHMETIC, *_UNCHANGED}
POINTWISE -= {"BatchNormalization"}
# Nodes with an attribute `axis`, and what it is where it is left out.
WITH_AXIS = {"Concat": 1, "Split": 0, "Softmax": -1, "LogSoftmax": -1, "ArgMax": 0, "Gather": 0}
# Nodes with numbers for each axis, and the input that has them.
FOR_EACH_AXIS = {"Pad": 1, "Resize": 2}
REDUCTIONS = frozenset({"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2"})
# The kind of a normalisation over the channels of each sample, which ONNX has for the last axis.
CHANNEL_NORMALIZATION = "LayerNormalization over channels"
# Nodes whose outputs have other axes than their inputs, or none that are known.
_OTHER_AXES = frozenset({"Shape", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Gemm", "MatMul"})


# Nodes that go over the last axis of their input, which is then that of the channels.
_OVER_LAST_AXIS = frozenset({"MatMul", "LayerNormalization"})

# The orders of axes that put the channels behind the samples.
_PUT_LAST = {(0, 2, 1), (0, 2, 3, 1)}


def has_channels_last(nodes: Sequence[Node], given: str) -> bool:
    """Whether a graph puts the channels of its input first before anything else reads them."""
    reached = {given}
    for node in nodes:
        if reached.isdisjoint(node.inputs):
            continue
        if node.kind == "Transpose":
            order = tuple(node.attributes.get("perm", ()))
            return order in {(0, 2, 1), (0, 3, 1, 2)}
        if node.kind not in POINTWISE | {"Pad", "MatMul", "Shape", "LayerNormalization"}:
            return False
        reached |= set(node.outputs)
    return False


def puts_channels_last(nodes: Sequence[Node]) -> bool:
    """Whether a graph computes with values whose channels a Transpose has put last.

    A Reshape may have done so, too, if a layer that goes over the channels reads what it makes.
    Nodes that put numbers in another order are not meant, such as a Reshape behind a Transpose.
    """
    last: set[str] = set()
    reshaped: set[str] = set()
    for node in nodes:
        if node.kind == "Transpose" and tuple(node.attributes.get("perm", ())) in _PUT_LAST:
            last |= set(node.outputs)
        elif not last.isdisjoint(node.inputs) and node.kind not in REARRANGEMENTS:
            return True
        if node.kind in REARRANGEMENTS:
            reshaped |= set(node.outputs)
        elif node.kind in _OVER_LAST_AXIS and not reshaped.isdisjoint(node.inputs):
            return True
    return False


class ChannelsFirst:
    """Rewrites the nodes of a graph so that all values have the channels first.

    rank : the number of axes of the input
    constants : those of the graph, to which others are added
    """

    def __init__(self, path: str, rank: int, constants: dict[str, Constant]) -> None:
        self.path = path
        self.rank = rank
        self.constants = constants
        # Names of values that have the channels last, and of those that have them first.
        self._last: set[str] = set()
        self._first: set[str] = set()
        # Names of values that a Reshape has made, with the axes in the order of the file.
        self._reshaped: set[str] = set()
        # Names of reshaped values with the channels last, to the names with the channels first.
        self._turned: dict[str, str] = {}
        self._rewriters: dict[str, Callable[[Node], Node]] = {
            "LayerNormalization": self._normalised,
            "MatMul": self._product,
            "Slice": self._sliced,
            **dict.fromkeys(FOR_EACH_AXIS, self._for_each_axis),
            **dict.fromkeys(REDUCTIONS, self._reduced),
        }

    def nodes(self, nodes: Sequence[Node], given: str, *, last: bool) -> list[Node]:
        """Return the nodes of a graph in their order.

        given : the name of its input; last : whether that has the channels last
        """
        (self._last if last else self._first).add(given)
        made: list[Node] = []
        for node in nodes:
            made += self._rewritten(node)
        return made

    def _rewritten(self, node: Node) -> list[Node]:
        if node.kind in REARRANGEMENTS:
            return self._rearranged(node)
        if self._goes_over_reshaped(node):
            return [self._turn(node), *self._renumbered(node)]
        return self._renumbered(node)

    def _renumbered(self, node: Node) -> list[Node]:
        """A node that rearranges nothing, and what it needs before it."""
        names = [self._turned.get(name, name) for name in node.inputs]
        node = replace(node, inputs=tuple(names))
        reads_last = not self._last.isdisjoint(node.inputs)
        reads_first = not self._first.isdisjoint(node.inputs)
        if reads_last and node.kind == "Shape":
            return self._shape(node)
        if reads_last and reads_first:
            raise self._error(node, "some of its inputs have the channels first, and some last")
        if reads_last:
            self._last |= set(node.outputs)
            return [self._with_first(node)]
        if reads_first and node.kind not in _OTHER_AXES:
            self._first |= set(node.outputs)
        return [node]

    def _with_first(self, node: Node) -> Node:
        """A node whose inputs have the channels last, for inputs that have them first."""
        if node.kind in POINTWISE:
            return replace(node, inputs=tuple(map(self._broadcast, node.inputs)))
        if node.kind in WITH_AXIS:
            axis = node.attributes.get("axis", WITH_AXIS[node.kind])
            return _with_attributes(node, axis=self._axis(axis))
        rewrite = self._rewriters.get(node.kind)
        if rewrite is None:
            raise self._error(node, "is not known with the channels last")
        return rewrite(node)

    def _rearranged(self, node: Node) -> list[Node]:
        """A node that puts numbers in another order, with its input in the order of the file."""
        if node.kind == "Transpose":
            node = self._transposed(node)
        if node.kind == "Identity":
            return [node]
        self._reshaped |= set(node.outputs)
        name = node.inputs[0]
        if name not in self._last:
            return [node]
        plain = f"{name}, channels last"
        samples = range(2, self.rank)
        back = _transpose_node(node, name, plain, (0, *samples, 1))
        return [back, replace(node, inputs=(plain, *node.inputs[1:]))]

    def _goes_over_reshaped(self, node: Node) -> bool:
        """Whether a node goes over the last axis of what a Reshape has made."""
        if node.kind not in _OVER_LAST_AXIS or node.inputs[0] in self._turned:
            return False
        matrix = self.constants.get(node.inputs[1])
        is_over_last = node.kind != "MatMul" or (matrix is not None and matrix.ndim == 2)
        return is_over_last and node.inputs[0] in self._reshaped

    def _turn(self, node: Node) -> Node:
        """The Transpose that puts the channels of the input of a node first."""
        name = node.inputs[0]
        made = f"{name}, channels first"
        self._turned[name] = made
        self._last.add(made)
        return _transpose_node(node, name, made, (0, self.rank - 1, *range(1, self.rank - 1)))

    def _transposed(self, node: Node) -> Node:
        """A Transpose, which changes nothing if it puts the channels first or last."""
        order = tuple(node.attributes.get("perm", ()))
        samples = tuple(range(1, self.rank - 1))
        (name,), made = node.inputs, node.outputs
        if name in self._last and order == (0, self.rank - 1, *samples):
            self._first |= set(made)
        elif name in self._first and order == (0, *(axis + 1 for axis in samples), 1):
            self._last |= set(made)
        else:
            if name in self._last:
                raise self._error(node, "puts samples in another order")
            return node
        return replace(node, kind="Identity", attributes={})

    # --- axes ---

    def _axis(self, axis: int) -> int:
        """The number of an axis with the channels first."""
        axis %= self.rank
        if axis == 0:
            return 0
        if axis == self.rank - 1:
            return 1
        return axis + 1

    def _broadcast(self, name: str) -> str:
        """The name of a constant with its axes in the order of the others; of a value, its own."""
        constant = self.constants.get(name)
        if constant is None or constant.size == 1:
            return name
        leading = (1,) * (self.rank - constant.ndim)
        with_all_axes = constant.reshape(*leading, *constant.shape)
        return self._kept(name, np.moveaxis(with_all_axes, -1, 1))

    def _kept(self, name: str, numbers: Any) -> str:
        """Keep a constant beside the one that it was made of; return its name."""
        made = f"{name}, channels first"
        self.constants[made] = numbers
        return made

    def _shape(self, node: Node) -> list[Node]:
        """A Shape, and a Gather that puts the sizes into the order of the file.

        The nodes that follow take the sizes of samples from there.
        """
        plain = f"{node.outputs[0]}, channels first"
        order = f"{node.outputs[0]}, order"
        first, last = node.attributes.get("start", 0), node.attributes.get("end")
        axes = [self._axis(axis) for axis in range(self.rank)][first:last]
        self.constants[order] = np.array(axes, np.int64)
        shape = replace(node, outputs=(plain,), attributes={})
        return [shape, replace(node, kind="Gather", inputs=(plain, order), attributes={})]

    def _for_each_axis(self, node: Node) -> Node:
        """A node with numbers for each axis, such as the widths of a padding."""
        if node.attributes.get("axes") or (node.kind == "Pad" and len(node.inputs) > 3):
            raise self._error(node, "axes are not known with the channels last")
        order = [self._axis(axis) for axis in range(self.rank)]
        inputs = list(node.inputs)
        for place in range(FOR_EACH_AXIS[node.kind], len(inputs)):
            numbers = self.constants.get(inputs[place])
            if numbers is None or numbers.size % self.rank or not numbers.size:
                continue
            by_axis = np.empty_like(numbers).reshape(-1, self.rank)
            by_axis[:, order] = numbers.reshape(-1, self.rank)
            inputs[place] = self._kept(inputs[place], by_axis.reshape(-1))
        return replace(node, inputs=tuple(inputs))

    def _reduced(self, node: Node) -> Node:
        """A sum or a mean along axes, which an attribute or an input names."""
        if len(node.inputs) > 1:
            axes = self.constants[node.inputs[1]]
            moved = np.array([self._axis(int(axis)) for axis in axes.reshape(-1)])
            return replace(node, inputs=(node.inputs[0], self._kept(node.inputs[1], moved)))
        axes = node.attributes.get("axes", range(self.rank))
        return _with_attributes(node, axes=[self._axis(axis) for axis in axes])

    def _sliced(self, node: Node) -> Node:
        """A Slice, whose axes are its fourth input; without it the first ones."""
        inputs = list(node.inputs)
        starts = self.constants.get(inputs[1])
        if len(inputs) < 3 or starts is None:
            raise self._error(node, "is not known with the channels last")
        axes = np.arange(starts.size)
        if len(inputs) > 3 and inputs[3]:
            axes = self.constants[inputs[3]].reshape(-1)
        moved = np.array([self._axis(int(axis)) for axis in axes])
        inputs[3:4] = [self._kept(f"{node.outputs[0]}, axes", moved)]
        return replace(node, inputs=tuple(inputs))

    def _product(self, node: Node) -> Node:
        """The product of all channels with a matrix, which is a convolution of one tap."""
        matrix = self.constants.get(node.inputs[1])
        if matrix is None or matrix.ndim != 2:
            raise self._error(node, "is not known with the channels last")
        taps = (1,) * (self.rank - 2)
        weights = self._kept(node.inputs[1], matrix.T.reshape(*matrix.T.shape, *taps))
        inputs = (node.inputs[0], weights)
        return replace(node, kind="Conv", inputs=inputs, attributes={"kernel_shape": list(taps)})

    def _normalised(self, node: Node) -> Node:
        """A LayerNormalization of the channels of each sample."""
        axis = node.attributes.get("axis", -1) % self.rank
        if axis != self.rank - 1 or any(node.outputs[1:]):
            raise self._error(node, "is known over channels alone, with one output")
        return replace(node, kind=CHANNEL_NORMALIZATION)

    def _error(self, node: Node, why: str) -> RequestError:
        return not_local_error(self.path, node, why)


def _transpose_node(node: Node, name: str, made: str, order: tuple[int, ...]) -> Node:
    """A Transpose of a value that belongs to a node."""
    attributes = {"perm": order}
    inputs, outputs = (name,), (made,)
    return replace(node, kind="Transpose", inputs=inputs, outputs=outputs, attributes=attributes)


def _with_attributes(node: Node, **attributes: Any) -> Node:
    return replace(node, attributes={**node.attributes, **attributes})
