"""ONNX files: the graph of a network with its constants, read by the `onnx` package.

Nothing in the file is executed: it is a list of nodes, each with the name of an operation, and of
arrays. https://onnx.ai/onnx/operators

torch.onnx.export writes large arrays into files beside it:
https://onnx.ai/onnx/repo-docs/ExternalData.html
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError, quoted_text
from convcli.layers.onnx.channels_last import ChannelsFirst, has_channels_last, puts_channels_last
from convcli.layers.onnx.circular import with_circular_pads
from convcli.layers.onnx.folding import Constant, folded_constant
from convcli.named_files import opened_named
from convcli.signals import Align

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.array_types import AnyArray
    from convcli.places import Place


LARGEST_FILE = 1 << 31
MOST_NODES = 10_000
# Nodes whose inputs are constants are computed while the file is read. They may read at most a
# multiple of the numbers in the file, and some more. A normalised weight takes its numbers three
# times: for the norm, divided by it, and multiplied.
TIMES_AS_MANY, SOME_MORE = 8, 1 << 22
# The operator set from which a softmax goes along one axis.
FIRST_SOFTMAX_OF_AN_AXIS = 13


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node of a graph.

    kind : the name of the operation, such as Conv
    inputs, outputs : names of values; an input that is left out is empty
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The operation and the name of the node, for messages."""
        return f"{self.kind} {quoted_text(self.name)[1:-1]}" if self.name else self.kind


@dataclass(frozen=True, kw_only=True)
class OnnxGraph:
    """The graph of a network with one input and one output.

    path : of the file; nodes : each after those whose outputs it takes
    constants : arrays by name, whole numbers as int64 and others as float64
    input, output : names of the values that come in and go out
    channels : of the input, None where the file leaves them open
    axes : sample axes of the input, 1 or 2
    shape : of the input, as the file writes it; ? for a side that it leaves open
    sides : samples of the input on each axis, None for a side that the file leaves open
    """

    path: str
    nodes: tuple[Node, ...]
    constants: Mapping[str, Constant]
    input: str
    output: str
    channels: int | None
    axes: int
    shape: tuple[str, ...] = ()
    sides: tuple[int | None, ...] = ()
    align: Align | None = None

    def up_to(self, number: int) -> OnnxGraph:
        """The graph whose result is the output of the node of this number, counted from 0.

        Raises RequestError for a number of no node.
        """
        if not 0 <= number < len(self.nodes):
            message = f"upto={number}: {self.path} has {len(self.nodes)} nodes, counted from 0"
            raise RequestError(message, hint=f"upto={len(self.nodes) - 1} is the last one")
        return replace(self, output=self.nodes[number].outputs[0])


def read_graph(path: Place) -> OnnxGraph:
    """Read an ONNX file. InputError if it is not valid, with one input and one output."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        message = f"{path}: reading ONNX needs the package onnx, which is not installed"
        raise RequestError(message, hint="pip install 'convcli[onnx]'") from None
    expected = "a network in an ONNX file"
    with opened_named(path, expected=expected, most=LARGEST_FILE) as (file, _):
        content = file.read()
    try:
        model = onnx.load_model_from_string(content)
        read_external_numbers(path, model.graph, most=LARGEST_FILE)
        for output in model.graph.output:
            # Many programs leave out the shape of an output, and the checker asks for one.
            output.type.tensor_type.shape.SetInParent()
        onnx.checker.check_model(model)
        graph = _graph_of(path, model.graph)
        _refuse_flat_softmax(path, model, graph.axes + 2)
        return replace(graph, align=_alignment(model))
    except (DecodeError, onnx.checker.ValidationError) as error:
        first_line, _, _ = str(error).strip().partition("\n")
        raise _invalid_graph(path, first_line[:200]) from None
    except UnicodeDecodeError:
        raise _invalid_graph(path, "it holds names that are not UTF-8") from None


def _invalid_graph(path: Place, why: str) -> InputError:
    return InputError(f"{path}: not a valid ONNX file: {why or 'it cannot be parsed'}")


def _refuse_flat_softmax(path: Place, model: Any, rank: int) -> None:
    """Raise RequestError for a softmax of all axes from one on, as operator sets before 13 have it.

    rank : the number of axes
    """
    versions = [each.version for each in model.opset_import if each.domain in {"", "ai.onnx"}]
    if min(versions, default=FIRST_SOFTMAX_OF_AN_AXIS) >= FIRST_SOFTMAX_OF_AN_AXIS:
        return
    for node in model.graph.node:
        if node.op_type not in {"Softmax", "LogSoftmax"}:
            continue
        axis = next((each.i for each in node.attribute if each.name == "axis"), 1)
        if axis not in {-1, rank - 1}:
            name = node.name or node.output[0]
            message = f"{path}: {node.op_type} {name}: goes over all channels and samples at once"
            hint = "operator set 13 has one that goes over channels alone: export with that"
            raise RequestError(message, hint=hint)


def _alignment(model: Any) -> Align | None:
    """How the network was learned to be aligned, where an export has said so."""
    texts = {each.key: each.value for each in model.metadata_props}
    return next((align for align in get_args(Align) if align == texts.get("align")), None)


def _graph_of(path: Place, graph: Any) -> OnnxGraph:
    """The graph of a parsed file. InputError if it is not a network of one input and one output."""
    if len(graph.node) > MOST_NODES:
        count = f"{len(graph.node):,} nodes"
        raise _invalid_graph(path, f"it has {count}; at most {MOST_NODES:,} are run")
    constants = {tensor.name: _array(path, tensor.name, tensor) for tensor in graph.initializer}
    signal = _only_input(path, graph, constants)
    dimensions = signal.type.tensor_type.shape.dim
    sides = [side.dim_value or None for side in dimensions]
    _check_dimensions(path, len(sides))
    nodes = _nodes_of(path, graph, constants)
    last = has_channels_last(nodes, signal.name)
    if last or puts_channels_last(nodes):
        rewriter = ChannelsFirst(str(path), len(sides), constants)
        nodes = rewriter.nodes(nodes, signal.name, last=last)
    if last:
        sides.insert(1, sides.pop())
    output = graph.output[0].name
    shape = [_dimension_text(side) for side in dimensions]
    return OnnxGraph(
        path=str(path),
        nodes=with_circular_pads(nodes, constants, len(sides), output),
        constants=constants,
        input=signal.name,
        output=output,
        channels=sides[1],
        axes=len(sides) - 2,
        shape=tuple(shape),
        sides=tuple(sides[2:]),
    )


def _check_dimensions(path: Place, count: int) -> None:
    """Raise InputError unless an input of `count` dimensions is a signal along one axis or two."""
    if count not in {3, 4}:
        raise InputError(
            f"{path}: its input has {count} dimensions; expected (batch, channels, samples...) "
            "of 1 or 2 axes",
            hint="a network of frames runs on frames side by side, samples down, frames across",
        )


def _only_input(path: Place, graph: Any, constants: Mapping[str, Constant]) -> Any:
    """The input of a graph that is no constant. InputError unless it and the output are single."""
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        text = f"{len(inputs)} inputs and {len(graph.output)} outputs"
        raise InputError(f"{path}: has {text}; expected a network with one of each")
    return inputs[0]


def _nodes_of(path: Place, graph: Any, constants: dict[str, Constant]) -> list[Node]:
    """The nodes that depend on the input; the outputs of the others are added to `constants`."""
    nodes = []
    given_numbers = sum(array.size for array in constants.values())
    spare = SOME_MORE + TIMES_AS_MANY * given_numbers
    for node in graph.node:
        attributes = {each.name: _attribute(path, each) for each in node.attribute}
        if node.op_type == "Constant":
            constants[node.output[0]] = _constant(path, node, attributes)
            continue
        given = [constants[name] for name in node.input if name in constants]
        numbers = sum(array.size for array in given)
        folded = None
        if len(given) == len(node.input) and numbers <= spare:
            spare -= numbers
            folded = folded_constant(node.op_type, given, attributes)
        if folded is None:
            nodes.append(_node_of(node, attributes))
        else:
            constants[node.output[0]] = folded
    return nodes


def _dimension_text(side: Any) -> str:
    """A side of a shape: a number, or the name of one."""
    if side.dim_param:
        return quoted_text(side.dim_param)[1:-1]
    return str(side.dim_value) if side.dim_value else "?"


def _node_of(node: Any, attributes: Mapping[str, Any]) -> Node:
    """A node; one without a name is called as its first output."""
    first_output = node.output[0] if node.output else ""
    return Node(
        kind=node.op_type,
        name=node.name or first_output,
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes=attributes,
    )


def _constant(path: Place, node: Any, attributes: Mapping[str, Any]) -> Constant:
    """The array of a Constant node."""
    for name in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if name in attributes:
            return _numbers(np.asarray(attributes[name]))
    raise _invalid_graph(path, f"the Constant {quoted_text(node.name)} is not an array of numbers")


def _attribute(path: Place, attribute: Any) -> Any:
    """A number, a text, a list of them, or an array."""
    from onnx import AttributeProto, helper

    if attribute.type == AttributeProto.TENSOR:
        return _array(path, attribute.name, attribute.t)
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value


def _array(path: Place, name: str, tensor: Any) -> Constant:
    """The numbers of a tensor. InputError if there are others than its shape says, or infinite."""
    from onnx import numpy_helper

    called = quoted_text(name)
    if tensor.data_location:
        raise InputError(f"{path}: the numbers of {called} lie in another file")
    try:
        array = numpy_helper.to_array(tensor)
    except KeyError:
        raise _invalid_graph(
            path, f"the tensor {called} is of a type that does not exist"
        ) from None
    except (ValueError, TypeError, RuntimeError):
        why = f"the tensor {called} has not as many numbers as its shape says"
        raise _invalid_graph(path, why) from None
    if array.dtype.kind not in "fiub":
        raise _invalid_graph(path, f"the tensor {called} holds no numbers")
    numbers = _numbers(array)
    if not np.isfinite(numbers).all():
        raise InputError(f"{path}: {called} is not finite")
    return numbers


def _numbers(array: AnyArray) -> Constant:
    """Sizes as int64, which divide as whole numbers do; all other numbers as float64."""
    if array.dtype.kind == "u":
        array = np.minimum(array, np.iinfo(np.int64).max)
    if array.dtype.kind in "iub":
        return array.astype(np.int64)
    with np.errstate(invalid="ignore"):
        return array.astype(np.float64)


# ---------------------------------------------------------------------- tensors outside of the file


def read_external_numbers(path: Place, graph: Any, *, most: int) -> None:
    """Put the numbers of files beside an ONNX file into the initializers of its graph.

    most : the largest size of such a file, and of all numbers together

    Raises InputError for a file that is not in the same folder, or does not hold the numbers.
    """
    total = 0
    for tensor in graph.initializer:
        if not tensor.data_location:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        called = quoted_text(tensor.name)
        location = entries.get("location", "")
        if not _is_name(location):
            raise InputError(
                f"{path}: the numbers of {called} lie in another file, {quoted_text(location)}",
                hint="only files in the folder of the ONNX file itself are read",
            )
        content = _part_of_file(path, path.with_name(location), entries, called, most)
        total += len(content)
        if total > most:
            raise InputError(f"{path}: holds more than {most >> 20:,} MB of numbers")
        tensor.raw_data = content
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")


def _is_name(location: str) -> bool:
    """Whether a location is the name of a file, in no other folder."""
    return location not in ("", ".", "..") and not set(location) & set("/\\\0:")


def _whole_number(text: str) -> int:
    """A number of bytes; -1 for any other text."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1


def _part_of_file(
    path: Place, beside: Place, entries: dict[str, str], called: str, most: int
) -> bytes:
    """The bytes of a tensor in a file."""
    hint = f"torch.onnx.export writes it beside {path.name}; external_data=False writes one file"
    expected = f"the numbers of {called}"
    with opened_named(beside, expected=expected, most=most, hint=hint) as (file, size):
        start = _whole_number(entries.get("offset", "0"))
        count = _whole_number(entries["length"]) if "length" in entries else size - start
        if not 0 <= start <= start + count <= size:
            message = f"{beside}: ends before the numbers of {called}"
            raise InputError(message, hint="the file is cut off, or belongs to another network")
        file.seek(start)
        return file.read(count)
