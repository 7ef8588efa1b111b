"""A network from an ONNX file, bound to a signal.

A value that only one node takes goes on in a chain. Where values meet again (a sum, a product,
channels side by side), the paths since they parted are branches of one operation.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.branches import Branches
from convcli.core.chain import Chain
from convcli.core.one_sample import Pointwise
from convcli.core.op import Op
from convcli.core.ops import Convolve
from convcli.dataclass import dataclass
from convcli.errors import RequestError, quoted_text
from convcli.facts import LayerFacts
from convcli.layers.affine import folded_with_titles
from convcli.layers.onnx.file import Node, OnnxGraph, read_graph
from convcli.layers.onnx.global_nodes import ANOTHER_ORDER, not_local_error
from convcli.layers.onnx.values import GraphValues
from convcli.layers.shuffle import refuse_growth
from convcli.planning.describe import reach_facts
from convcli.signals import ARRAY, LearnedRules, Signal
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.core.binding import Site, Stage
    from convcli.layers.onnx.values import GraphValue
    from convcli.layers.onnx.writer import ExportedGraph
    from convcli.places import Place
    from convcli.signals import Align

# With more nodes than this, the reach of each takes too long to compute.
MOST_WITH_REACH = 300


def read_onnx(path: Place) -> OnnxModel:
    """The network in an ONNX file. InputError or RequestError where it cannot be run."""
    return OnnxModel(read_graph(path))


@dataclass(frozen=True)
class OnnxModel:
    """A graph of operations that each see a neighbourhood of a sample."""

    graph: OnnxGraph

    @property
    def path(self) -> str:
        """Path of the ONNX file, as the user wrote it."""
        return self.graph.path

    @property
    def learned(self) -> LearnedRules:
        """How the outputs are aligned: as an export says, else as a graph that pads needs it.

        A graph that reads complete windows alone can be aligned either way.
        """
        align = self.graph.align
        if align is None and not self._can_be_causal(Chain(self.ops, self.graph.axes)):
            align = "center"
        return LearnedRules(align=align)

    def _can_be_causal(self, chain: Chain) -> bool:
        """Whether each output can be aligned with the newest sample that it reads."""
        return chain.look_ahead(0) <= max(-chain.reach[0].growth, 0)

    def up_to(self, number: int) -> OnnxModel:
        """The network whose result is the output of the node of this number, counted from 0."""
        return OnnxModel(self.graph.up_to(number))

    def exported(self, align: Align) -> ExportedGraph:
        """RequestError: the network is in such a file."""
        raise RequestError(f"{self.path} is an ONNX file already")

    def signal(self) -> Signal:
        """A signal of unknown length such as the network takes."""
        shape: tuple[int | None, ...] = (None,) if self.graph.axes == 1 else (256, 256)
        multiples = self._graph_values.multiple
        if max(multiples) > 1:
            shape = tuple(256 * multiple for multiple in multiples)
        names = tuple(str(channel + 1) for channel in range(self._channels))
        return Signal(medium=ARRAY, shape=shape, channels=names)

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return one stage with the operations of the graph."""
        signal = site.signal
        self._check(signal)
        self._check_lengths(signal)
        scale = signal.full_scale if signal.medium.unit_scale else 1.0
        ops = self._scaling(1 / scale) + self.ops + self._scaling(scale)
        if site.rules.align == "causal":
            ops += self._delay(Chain(ops, signal.axes))
        stage = replace(site, signal=replace(signal, alpha=None)).stage(*ops)
        after = replace(stage.after, features=True)
        remark = self._remark()
        stage = replace(stage, layers=self.facts, titles=self._titles(len(ops), scale))
        return (replace(stage, before=signal, after=after, remark=remark),)

    def _titles(self, count: int, scale: float) -> tuple[str, ...]:
        """The nodes that each of `count` operations computes; empty for those of a picture."""
        _, titles = self._folded
        first = ("",) * len(self._scaling(scale))
        rest = ("",) * (count - len(first) - len(titles))
        return (*first, *titles, *rest)

    def _delay(self, chain: Chain) -> tuple[Op, ...]:
        """The delay that aligns each output with the newest sample that it reads.

        Raises RequestError for a graph that pads: its last outputs would be aligned with no sample.
        """
        ahead = chain.look_ahead(0)
        if ahead <= 0:
            return ()
        if not self._can_be_causal(chain):
            message = f"{self.path} reads later samples and pads, so that it cannot be causal"
            raise RequestError(message, hint="--align center")
        nothing = (0,) * self.graph.axes
        same = Convolve(
            taps=np.ones((1,) * self.graph.axes),
            before=nothing,
            after=nothing,
            step=(1,) * self.graph.axes,
            anchor=(ahead, *nothing[1:]),
        )
        return (same,)

    def _remark(self) -> str:
        """The names and shapes of what comes in and goes out, and the number of parameters."""
        graph = self.graph
        names = [quoted_text(name)[1:-1] for name in (graph.input, graph.output)]
        count = sum(layer.parameters for layer in self.facts)
        channels = plural(self._values[graph.output].channels, "channel")
        given = f"{names[0]} ({', '.join(graph.shape)})"
        return f"{given} to {names[1]} ({channels}), {plural(count, 'parameter')}"

    def _check(self, signal: Signal) -> None:
        if signal.axes != self.graph.axes:
            message = f"{self.path} takes {self.graph.axes} sample axes, and this is"
            raise RequestError(f"{message} {signal.medium.thing}")
        given = len(signal.channels)
        if given != self._channels:
            hint = signal.medium.hint_for_channels(self._channels, given)
            if signal.alpha is not None and given - 1 == self._channels:
                hint = "--channels rgb"
            taken = plural(self._channels, "channel")
            message = f"{self.path} takes {taken}, and this signal has {given}"
            raise RequestError(message, hint=hint)

    def _check_lengths(self, signal: Signal) -> None:
        """Raise RequestError where computed sizes of the graph do not fit the signal's lengths."""
        multiples = self._graph_values.multiple
        for length, multiple in zip(signal.shape, multiples, strict=True):
            if multiple == 1 or (length is not None and length % multiple == 0):
                continue
            wanted = " x ".join(f"{each}" for each in multiples)
            given = " x ".join("?" if each is None else f"{each}" for each in signal.shape)
            message = (
                f"{self.path} computes sizes from the lengths of its input, which have to be "
                f"multiples of {wanted}; this signal has {given}"
            )
            raise RequestError(message, hint=_hint_for_lengths(signal, multiples))

    def _scaling(self, factor: float) -> tuple[Op, ...]:
        """The multiplication that scales a picture to 0 ... 1, or back; none for other media."""
        if factor == 1:
            return ()
        axes = self.graph.axes
        return (Pointwise(function=lambda x: x * np.asarray(factor, x.dtype), axes=axes),)

    # --- the graph ---

    @cached_property
    def _channels(self) -> int:
        """How many channels the graph takes: as it says, or as its first convolution does."""
        if self.graph.channels is not None:
            return self.graph.channels
        for node in self.graph.nodes:
            weights = self.graph.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
            if node.kind == "Conv" and weights is not None:
                return int(weights.shape[1] * node.attributes.get("group", 1))
        raise RequestError(f"{self.path} does not say how many channels it takes")

    @cached_property
    def ops(self) -> tuple[Op, ...]:
        """The operations from the input of the graph to its output."""
        if self.graph.output not in self._values:
            maker = self._makers.get(self.graph.output)
            if maker is None:
                raise RequestError(f"{self.path}: nothing makes its output")
            raise not_local_error(str(self.path), maker, ANOTHER_ORDER)
        ops, _ = self._folded
        reaches = Chain(ops, self.graph.axes).reach
        refuse_growth([(reach.phases, reach.step) for reach in reaches])
        return ops

    @cached_property
    def _folded(self) -> tuple[tuple[Op, ...], tuple[str, ...]]:
        """The operations, and the nodes that each one computes; of branches empty."""
        return folded_with_titles(self._named_ops(self.graph.output, self.graph.input))

    @cached_property
    def _makers(self) -> dict[str, Node]:
        """The node that makes each value."""
        return {name: node for node in self.graph.nodes for name in node.outputs if name}

    @cached_property
    def _graph_values(self) -> GraphValues:
        """Every value that follows from the input."""
        return GraphValues(self.graph, self._channels)

    @property
    def _values(self) -> dict[str, GraphValue]:
        """Every value that follows from the input, in the order in which they are made."""
        return self._graph_values.values

    def _chain(self, name: str, start: str) -> tuple[Op, ...]:
        """The operations from the value `start` to the value `name`, which it dominates."""
        return tuple(op for op, _ in self._named_ops(name, start))

    def _named_ops(self, name: str, start: str) -> list[tuple[Op, str]]:
        """The operations of `_chain`, each with its node; of branches with none."""
        path = [name]
        while path[-1] != start:
            before = self._values[path[-1]].dominator
            if before is None:
                raise RequestError(f"{self.path}: {name} does not follow from {start}")
            path.append(before)
        path.reverse()
        ops: list[tuple[Op, str]] = []
        for before, after in pairwise(path):
            node = self._makers[after]
            title = node.title if len(self._graph_values.inputs_of(node)) == 1 else ""
            ops += [(op, title) for op in self._step(after, before)]
        return ops

    def _step(self, name: str, before: str) -> tuple[Op, ...]:
        """The operations from a value to the next one that all paths go through."""
        node = self._makers[name]
        inputs = self._graph_values.inputs_of(node)
        if len(inputs) == 1:
            return self._graph_values.own_ops(node, node.outputs.index(name))
        chains = [Chain(self._chain(each, before), self.graph.axes) for each in inputs]
        return (self._combination(node, chains),)

    def _combination(self, node: Node, chains: list[Chain]) -> Op:
        """The operation that combines several values."""
        formulas = self._graph_values.formulas(node)
        try:
            group = Branches.of(tuple(chains), formulas, self.graph.axes, completed=True)
        except ValueError as error:
            raise RequestError(f"{self.path}: {node.title}: {error}") from None
        return replace(group, by_number=True)

    # --- facts ---

    @cached_property
    def facts(self) -> tuple[LayerFacts, ...]:
        """Each node with its parameters, its channels and how far it reaches into the input."""
        found = []
        for node in self.graph.nodes:
            name = node.outputs[0]
            if name not in self._values:
                continue
            reach = None
            if len(self.graph.nodes) <= MOST_WITH_REACH:
                chain = Chain(self._chain(name, self.graph.input), self.graph.axes)
                reach = reach_facts(chain)
            found.append(
                LayerFacts(
                    text=node.title,
                    parameters=self._count_parameters(node),
                    channels=self._values[name].channels,
                    reach=reach,
                )
            )
        return tuple(found)

    def _count_parameters(self, node: Node) -> int:
        """How many weights a node has; whole numbers are sizes and axes."""
        constants = [self.graph.constants.get(name) for name in node.inputs]
        count = 0
        for array in constants:
            if array is not None and array.dtype.kind == "f":
                count += array.size
        return count


def _hint_for_lengths(signal: Signal, multiples: Sequence[int]) -> str:
    """How the user makes lengths that are multiples."""
    if signal.axes != 2 or None in signal.shape:
        return "cut it or extend it before"
    sides = []
    for length, multiple in zip(signal.shape, multiples, strict=True):
        whole = max(1, (length or 0) // multiple)
        sides.append(whole * multiple)
    return f"`resize:{sides[1]}x{sides[0]},fit=cover | model:...`"
