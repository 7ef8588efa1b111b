"""Writing a network as an ONNX graph: nodes, constants, names and shapes.

What each kind of layer becomes is in the module of the layer (`Layer.export`). A graph pads what
the layers pad and nothing else, as the same network does in torch.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli import __version__
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.samples import in_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convcli.layers.layer import LayerTensors
    from convcli.layers.weights import Tensor
    from convcli.signals import Edge

# The operator sets that graphs are written in; a node that is newer raises it.
OPSET = 17
INPUT, OUTPUT = "input", "output"
# The `ends` value of Slice that stands for the end of an axis.
TO_THE_END = 2**63 - 1


@dataclass(frozen=True, eq=False)
class ExportedGraph:
    """A graph as a file.

    content : the bytes of the ONNX file
    description : what the graph computes, in a sentence
    """

    content: bytes
    description: str


@dataclass
class OnnxWriter:
    """A graph that is put together node by node.

    axes : sample axes, 1 or 2
    channels : number of channels of the last value
    x : the name of the last value
    opset : the least operator set that has all nodes
    flat : whether the last value has no sample axes, behind a Flatten
    """

    axes: int
    channels: int
    x: str = INPUT
    opset: int = OPSET
    flat: bool = False
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)

    def constant(self, name: str, values: Any, *, whole: bool = False) -> str:
        """Store numbers under a name; float32, or int64 where they are `whole`."""
        kind = np.int64 if whole else np.float32
        self.constants[name] = in_type(np.asarray(values), kind)
        return name

    def node(self, kind: str, *inputs: str, x: str | None = None, **attributes: Any) -> str:
        """Add a node whose first input is the last value, or `x`; its output is the last value."""
        from onnx import helper

        name = f"{len(self.nodes)}_{kind}"
        given = (self.x if x is None else x, *inputs)
        self.nodes.append(helper.make_node(kind, given, [name], name=name, **attributes))
        self.x = name
        return name

    def per_channel(self, numbers: Sequence[float] | Tensor) -> Tensor:
        """Numbers in the shape in which they meet the channels: (channels, 1...)."""
        return np.reshape(numbers, (-1, *(1,) * self.axes))

    def padded(self, before: Sequence[int], after: Sequence[int], edge: Edge) -> None:
        """Add a Pad node along the sample axes, if anything is added."""
        if not any(before) and not any(after):
            return
        if edge == "wrap":
            self.opset = max(self.opset, 19)
        mode = "constant" if edge == "zero" else edge
        sides = [0, 0, *before, 0, 0, *after]
        pads = self.constant(f"{len(self.nodes)}.pads", sides, whole=True)
        self.node("Pad", pads, mode=mode)

    def cut(
        self,
        x: str,
        before: Sequence[int],
        after: Sequence[int],
        *,
        channels: tuple[int, int] | None = None,
    ) -> str:
        """Name the value `x` without some samples at the beginning and the end of each axis.

        channels : the channels [first, last) that are kept; by default all
        """
        starts = list(before)
        ends = [-count if count else TO_THE_END for count in after]
        axes = [2 + axis for axis in range(self.axes)]
        if channels is not None:
            starts.append(channels[0])
            ends.append(channels[1])
            axes.append(1)
        elif not any(before) and not any(after):
            return x
        number = len(self.nodes)
        names = [
            self.constant(f"{number}.starts", starts, whole=True),
            self.constant(f"{number}.ends", ends, whole=True),
            self.constant(f"{number}.axes", axes, whole=True),
        ]
        return self.node("Slice", *names, x=x)

    def encoded(self, channels: int, about: Mapping[str, str], description: str) -> ExportedGraph:
        """Return the graph as a file.

        channels : number of input channels
        about : metadata of the model, text by name
        description : what the graph computes, in a sentence
        Raises RequestError for a number that float32 does not hold.
        """
        for name, numbers in self.constants.items():
            if not np.isfinite(numbers).all():
                message = f"{name}: a number is too large for float32, which ONNX files hold"
                raise RequestError(message, hint="--export x.csv or .npy holds it as it is")
        import onnx
        from onnx import helper

        model = self.model(channels, description)
        helper.set_model_props(model, dict(about))
        onnx.checker.check_model(model, full_check=True)
        return ExportedGraph(model.SerializeToString(), description)

    def model(self, channels: int, description: str = "") -> Any:
        """Return the graph as a model of `onnx`; for the arguments see `encoded`."""
        from onnx import TensorProto, helper, numpy_helper

        if not self.nodes:
            self.node("Identity")
        self.nodes[-1].output[0] = OUTPUT
        sides = ["samples"] if self.axes == 1 else ["height", "width"]
        made = [f"{side}_out" for side in sides]
        if self.flat:
            made = []
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "convcli",
            [value(INPUT, TensorProto.FLOAT, ["batch", channels, *sides])],
            [value(OUTPUT, TensorProto.FLOAT, ["batch", self.channels, *made])],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
            doc_string=description,
        )
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=helper.find_min_ir_version_for(opsets),
            producer_name="convcli",
            producer_version=__version__,
            doc_string=description,
        )


@dataclass(frozen=True, kw_only=True)
class ExportPlace:
    """The place of a layer in a graph.

    tensors : what the model file has for it
    padding : who extends the input at the ends of the signal, as of a `LayerSite`
    """

    graph: OnnxWriter
    tensors: LayerTensors
    padding: str

    def pads(self, sides: Sequence[int] | None) -> list[int]:
        """The attribute `pads` for as much padding at both ends of each axis; None is 0."""
        each = list(sides or (0,) * self.graph.axes)
        return [*each, *each]

    def stored(self, kind: str, tensor: Tensor) -> str:
        """Store a tensor of the layer under the name that the model file has for it."""
        return self.graph.constant(f"{self.tensors.number}.{kind}", tensor)
