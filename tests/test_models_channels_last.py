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


def saved(path: Path, nodes: Nodes, shape: Any = (1, "h", "w", 3), *, opset: int = 13) -> Path:
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
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path


@pytest.mark.parametrize("name", GRAPHS)
def test_channels_may_be_the_last_axis(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", GRAPHS[name])
    x: Any = RNG.random((7, 9, 3)).astype(np.float32)
    expected = of_reference(path, x)
    if name == "leaves channels first":
        expected = np.moveaxis(expected, 0, -1)
    tolerance = 1e-6 * np.abs(expected).max()
    np.testing.assert_allclose(apply(f"model:{path}", x), expected, rtol=2e-6, atol=tolerance)


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
        (("Reshape", [None, np.array([1, -1])], {}), "reads samples in another order"),
    ],
)
def test_what_is_not_known_with_the_channels_last(node: Any, said: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", [*conv(), node])
    with pytest.raises((RequestError, InputError), match=said):
        apply(f"model:{path}", np.ones((9, 9, 3), np.float32))


def block(axes: int, *normalisation: Any) -> Nodes:
    """A block of ConvNeXt, as torch writes it: layers over the channels, with the channels last."""
    last, first = ([0, 2, 1], [0, 2, 1]) if axes == 1 else (LAST, FIRST)
    taps = (3,) * axes
    return [
        ("Conv", ["x", normal(4, 3, *taps)], {"pads": [1] * 2 * axes}),
        ("Transpose", [None], {"perm": last}),
        *normalisation,
        ("MatMul", [None, normal(4, 8)], {}),
        ("Add", [normal(8), None], {}),
        ("Relu", [None], {}),
        ("MatMul", [None, normal(8, 4)], {}),
        ("Mul", [None, normal(4)], {}),
        ("Transpose", [None], {"perm": first}),
        ("Add", [None, "0"], {}),
        ("Conv", [None, normal(2, 4, *taps)], {"pads": [1] * 2 * axes}),
    ]


NORMALISATIONS: dict[str, Nodes] = {
    "one node": [("LayerNormalization", [None, normal(4), normal(4)], {"epsilon": 0.01})],
    "without shift": [("LayerNormalization", [None, normal(4)], {"axis": -1})],
    "several nodes": [
        ("ReduceMean", [None], {"axes": [-1]}),
        ("Sub", ["1", None], {}),
        ("Mul", [None, None], {}),
        ("ReduceMean", [None], {"axes": [-1], "keepdims": 1}),
        ("Sqrt", [None], {}),
        ("Div", ["3", None], {}),
    ],
}


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("name", NORMALISATIONS)
def test_layers_over_the_channels_between_convolutions(
    name: str, axes: int, tmp_path: Path
) -> None:
    sides = ("t",) if axes == 1 else ("h", "w")
    nodes = block(axes, *NORMALISATIONS[name])
    path = saved(tmp_path / "net.onnx", nodes, (1, 3, *sides), opset=17)
    x: Any = RNG.random((*(11, 14)[:axes], 3)).astype(np.float32)
    outputs: Any = ReferenceEvaluator(str(path)).run(None, {"x": np.moveaxis(x, -1, 0)[None]})
    expected = np.moveaxis(outputs[0][0], 0, -1)
    found = apply(f"model:{path}", x, axes=axes)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=5e-5)


def test_a_matrix_before_the_channels(tmp_path: Path) -> None:
    weights = normal(4, 3)
    path = saved(tmp_path / "net.onnx", [("MatMul", [weights, "x"], {})], (1, 3, "t"))
    x: Any = RNG.random((9, 3)).astype(np.float32)
    np.testing.assert_allclose(apply(f"model:{path}", x), x @ weights.T, rtol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([("MatMul", ["x", normal(7, 7)], {})], "weighs all samples of the signal"),
        (
            [("LayerNormalization", ["x", normal(7)], {})],
            "takes its mean and deviation over samples",
        ),
        (
            [
                ("Conv", ["x", normal(3, 3, 1)], {}),
                ("Transpose", [None], {"perm": [0, 2, 1]}),
                ("LayerNormalization", [None, normal(7, 3)], {"axis": 1}),
            ],
            "takes its mean and deviation over samples",
        ),
        (
            [("Transpose", ["x"], {"perm": [0, 2, 1]}), ("MatMul", ["x", None], {})],
            "weighs all samples of the signal",
        ),
        ([("MatMul", [normal(4, 5), "x"], {})], "does not take 3 channels"),
        (
            [
                ("Conv", ["x", normal(3, 3, 1)], {}),
                ("Transpose", [None], {"perm": [0, 2, 1]}),
                ("LayerNormalization", [None, normal(5)], {}),
            ],
            "has the shape .5,. for 3 channels",
        ),
    ],
)
def test_products_and_means_over_samples_are_refused(
    nodes: Nodes, said: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "net.onnx", nodes, (1, 3, 7), opset=17)
    with pytest.raises((RequestError, InputError), match=said):
        apply(f"model:{path}", np.ones((7, 3), np.float32))
