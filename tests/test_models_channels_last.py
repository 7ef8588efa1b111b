"""ONNX graphs that keep the channels last, as those of TensorFlow and Keras do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from convcli import InputError, RequestError, apply

if TYPE_CHECKING:
    from pathlib import Path

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

RNG = np.random.default_rng(5)
FIRST, LAST = [0, 3, 1, 2], [0, 2, 3, 1]
SAME = {"pads": [1, 1, 1, 1]}

Nodes = list[tuple[str, list[Any], dict[str, Any]]]


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def single(*values: float) -> Any:
    return np.array(values, np.float32)


def of_reference(path: Path, x: Any) -> Any:
    """What the evaluator of the package onnx makes of one signal, its axes as in the file."""
    outputs: Any = ReferenceEvaluator(str(path)).run(None, {"x": x[None]})
    return outputs[0][0]


def conv(channels: int = 4, given: int = 3, **attributes: Any) -> Nodes:
    """A convolution between a Transpose and another one, as exporters write it."""
    weights = normal(channels, given, 3, 3)
    return [
        ("Transpose", [None], {"perm": FIRST}),
        ("Conv", [None, weights], {**SAME, **attributes}),
        ("Transpose", [None], {"perm": LAST}),
    ]


# None stands for the output of the node before, a text for the output of the node of that number or
# for the input, and an array for a constant.
GRAPHS: dict[str, Nodes] = {
    "conv": conv(),
    "bias": [*conv(), ("Add", [None, normal(4)], {}), ("Relu", [None], {}), *conv(3, 4)],
    "units": [
        ("Sub", ["x", single(0.4, 0.5, 0.6)], {}),
        ("Mul", [None, np.asarray(2, np.float32)], {}),
        *conv(3),
        ("Add", [None, "x"], {}),
    ],
    "prelu": [*conv(), ("PRelu", [None, normal(1, 1, 4)], {})],
    "clip": [*conv(), ("Clip", [None, np.asarray(0, np.float32), np.asarray(6, np.float32)], {})],
    "depth to space": [
        *conv()[:2],
        ("DepthToSpace", [None], {"blocksize": 2, "mode": "DCR"}),
        ("Transpose", [None], {"perm": LAST}),
    ],
    "concat": [*conv(), ("Concat", [None, "x"], {"axis": 3}), *conv(2, 7)],
    "concat from behind": [*conv(), ("Concat", ["x", None], {"axis": -1}), *conv(2, 7)],
    "split": [
        *conv(),
        ("Split", [None, np.array([1, 3])], {"axis": 3, "outputs": 2}),
        ("Mul", ["3", "3.1"], {}),
    ],
    "slice": [*conv(), ("Slice", [None, np.array([1]), np.array([3]), np.array([3])], {})],
    "cut": [*conv(), ("Slice", [None, np.array([1, 2]), np.array([-2, -1]), np.array([1, 2])], {})],
    "pad": [
        ("Pad", ["x", np.array([0, 1, 2, 0, 0, 3, 1, 0])], {"mode": "reflect"}),
        *conv(pads=[0, 0, 0, 0]),
    ],
    "mean of channels": [*conv(), ("ReduceMean", [None], {"axes": [3], "keepdims": 1})],
    "softmax": [*conv(), ("Softmax", [None], {"axis": -1})],
    "resize": [
        *conv(),
        (
            "Resize",
            [None, "", single(1, 2, 3, 1)],
            {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        ),
    ],
    "matrix": [("MatMul", ["x", normal(3, 4)], {}), ("Relu", [None], {}), *conv(2, 4)],
    "leaves channels first": conv()[:2],
}


def saved(path: Path, nodes: Nodes, shape: Any = (1, "h", "w", 3)) -> Path:
    """Write a graph of nodes, each of which has its number as the name of its output."""
    made = []
    constants = []
    for number, (kind, inputs, given) in enumerate(nodes):
        attributes = dict(given)
        names = []
        for place, each in enumerate(inputs):
            name = each
            if each is None:
                name = str(number - 1) if number else "x"
            elif not isinstance(each, str):
                name = f"{number} {place}"
                constants.append(numpy_helper.from_array(np.asarray(each), name))
            names.append(name)
        outputs = [str(number)]
        outputs += [f"{number}.{more}" for more in range(1, attributes.pop("outputs", 1))]
        made.append(helper.make_node(kind, names, outputs, **attributes))
    value = helper.make_tensor_value_info
    ends = [value("x", TensorProto.FLOAT, shape), value(outputs[0], TensorProto.FLOAT, None)]
    graph = helper.make_graph(made, "g", ends[:1], ends[1:], constants)
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


@pytest.mark.parametrize("name", GRAPHS)
def test_channels_may_be_the_last_axis(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", GRAPHS[name])
    x: Any = RNG.random((7, 9, 3)).astype(np.float32)
    expected = of_reference(path, x)
    if name == "leaves channels first":
        expected = np.moveaxis(expected, 0, -1)
    np.testing.assert_allclose(apply(f"model:{path}", x), expected, rtol=2e-6, atol=1e-5)


def test_a_line_with_its_channels_last(tmp_path: Path) -> None:
    nodes: Nodes = [
        ("Transpose", ["x"], {"perm": [0, 2, 1]}),
        ("Conv", [None, normal(3, 2, 5)], {"pads": [2, 2]}),
        ("Transpose", [None], {"perm": [0, 2, 1]}),
        ("Add", [None, normal(3)], {}),
    ]
    path = saved(tmp_path / "net.onnx", nodes, ("n", "t", 2))
    x: Any = RNG.random((20, 2)).astype(np.float32)
    expected = of_reference(path, x)
    np.testing.assert_allclose(apply(f"model:{path}", x), expected, rtol=2e-6, atol=1e-5)


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (("BatchNormalization", [None, *normal(4, 9)], {}), "BatchNormalization"),
        (("GlobalAveragePool", [None], {}), "makes one number of the whole signal"),
        (("Add", [None, "1"], {}), "have the channels first, and some last"),
        (("Transpose", [None], {"perm": [0, 2, 1, 3]}), "puts samples in another order"),
        (("Reshape", [None, np.array([1, -1])], {}), "is not known with the channels last"),
    ],
)
def test_what_is_not_known_with_the_channels_last(node: Any, said: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", [*conv(), node])
    with pytest.raises((RequestError, InputError), match=said):
        apply(f"model:{path}", np.ones((9, 9, 3), np.float32))
