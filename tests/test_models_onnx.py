"""Networks in ONNX files against the reference evaluator of the `onnx` package, which is not ours."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from convcli import InputError, RequestError, apply
from convcli.core.binding import Rules
from convcli.layers.weights import encode_weights
from convcli.planning.plan import make_plan
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.signals import ARRAY, Signal

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

    from convcli.signals import Array

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

RNG = np.random.default_rng(0)


class Network:
    """A graph that is put together node by node."""

    def __init__(self, channels: int, axes: int) -> None:
        self.axes = axes
        self.channels = channels
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def weights(self, *shape: int) -> str:
        return self.constant(RNG.uniform(-1, 1, shape))

    def constant(self, values: Any, *, whole: bool = False) -> str:
        name = f"c{len(self.constants)}"
        kind = np.int64 if whole else np.float32
        self.constants.append(numpy_helper.from_array(np.asarray(values).astype(kind), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self.nodes_of(kind, *inputs, **attributes)[0]

    def nodes_of(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> list[str]:
        names = [f"v{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=names[0], **attributes))
        return names

    def conv(self, x: str, given: int, made: int, size: int = 3, **attributes: Any) -> str:
        sides = (size,) * self.axes
        weights = self.weights(made, given // attributes.get("group", 1), *sides)
        pads = [size // 2] * (2 * self.axes)
        return self.node("Conv", x, weights, self.weights(made), **{"pads": pads, **attributes})

    def model(self, output: str, *, version: int = 17) -> Any:
        sides: list[Any] = ["h", "w"][: self.axes]
        shape = [1, self.channels, *sides]
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "g",
            [value("x", TensorProto.FLOAT, shape)],
            [value(output, TensorProto.FLOAT, ["n", "c", *(f"{side}_out" for side in sides)])],
            self.constants,
        )
        opset = [helper.make_opsetid("", version)]
        return helper.make_model(graph, opset_imports=opset, ir_version=9)

    def save(self, path: Path, output: str, **options: Any) -> Path:
        onnx.save(self.model(output, **options), str(path))
        return path


def residual(net: Network) -> str:
    x = net.node("Relu", net.conv("x", 2, 4))
    y = net.node("Relu", net.conv(x, 4, 4))
    return net.conv(net.node("Add", x, net.conv(y, 4, 4)), 4, 2)


def dense_blocks(net: Network) -> str:
    a = net.node("LeakyRelu", net.conv("x", 2, 3), alpha=0.2)
    ab = net.node("Concat", a, net.conv(a, 3, 2), axis=1)
    abc = net.node("Concat", ab, net.node("Sigmoid", net.conv(ab, 5, 1)), axis=1)
    return net.node("Sub", net.conv(abc, 6, 1), net.conv("x", 2, 1, 1))


def down_and_up(net: Network) -> str:
    pads = [1] * (2 * net.axes)
    first = net.node("Relu", net.conv("x", 2, 4))
    half = net.conv(first, 4, 8, strides=[2] * net.axes)
    weights = net.weights(8, 4, *(4,) * net.axes)
    up = net.node("ConvTranspose", half, weights, pads=pads, strides=[2] * net.axes)
    return net.conv(net.node("Concat", first, up, axis=1), 8, 1)


def normalised(net: Network) -> str:
    numbers = [net.weights(3), net.weights(3), net.weights(3)]
    variance = net.constant(RNG.uniform(0.5, 2, 3))
    y = net.node("BatchNormalization", net.conv("x", 2, 3), *numbers, variance, epsilon=1e-3)
    return net.node("PRelu", y, net.weights(3, *(1,) * net.axes))


def pooled(net: Network) -> str:
    size = [3] * net.axes
    pads = [1] * (2 * net.axes)
    if net.axes == 1:  # the reference fails at padded pools along one axis
        return net.node("MaxPool", net.conv("x", 2, 2), kernel_shape=size, strides=[2])
    y = net.node("MaxPool", net.conv("x", 2, 2), kernel_shape=size, pads=pads)
    z = net.node("AveragePool", y, kernel_shape=size, pads=pads, count_include_pad=1)
    return net.node("AveragePool", z, kernel_shape=size, pads=pads, strides=[2] * net.axes)


def arithmetic(net: Network) -> str:
    y = net.node("Mul", "x", net.weights(1, 2, *(1,) * net.axes))
    y = net.node("Add", y, net.constant(0.5))
    y = net.node("Sub", net.constant(2.0), y)
    y = net.node("Mul", y, net.node("Sigmoid", y))
    return net.node(
        "Clip", net.node("Div", y, net.constant(0.7)), net.constant(-1), net.constant(1)
    )


def parts(net: Network) -> str:
    y = net.conv("x", 2, 6)
    sizes = net.constant([4, 2], whole=True)
    left, right = net.nodes_of("Split", y, sizes, outputs=2, axis=1)
    starts, ends = (net.constant([n], whole=True) for n in (1, 3))
    middle = net.node("Slice", left, starts, ends, net.constant([1], whole=True))
    return net.node("Mul", net.node("Tanh", middle), net.node("Elu", right))


def turned_round(net: Network) -> str:
    """The channels in reverse, as `x.flip(1)` is exported."""
    ends = [net.constant([n], whole=True) for n in (-1, -(2**62), 1, -1)]
    return net.node("Slice", net.conv("x", 2, 3), *ends)


def both_signs(net: Network) -> str:
    """All channels of one value, then all of the other, though no node mixes channels."""
    halves = net.node("Relu", "x"), net.node("Relu", net.node("Neg", "x"))
    return net.node("Concat", net.node("Concat", *halves, axis=1), "x", "x", axis=1)


def neighbours(net: Network) -> str:
    """Differences of neighbours, `y[1:] - y[:-1]`: of outputs aligned with different samples."""
    y = net.conv("x", 2, 2)
    first, second = (net.constant([n], whole=True) for n in (0, 1))
    last, end, axis = (net.constant([n], whole=True) for n in (-1, 2**62, 2))
    later = net.node("Slice", y, second, end, axis)
    earlier = net.node("Slice", y, first, last, axis)
    difference = net.node("Sub", later, earlier)
    return net.node("Add", difference, net.node("Abs", net.node("Slice", "x", second, end, axis)))


def padded(net: Network) -> str:
    sides = [0, 0, *[2] * net.axes] * 2
    y = net.node("Pad", "x", net.constant(sides, whole=True), mode="reflect")
    return net.node("HardSwish", net.conv(y, 2, 2, 5, pads=[0] * (2 * net.axes)))


def resized(net: Network) -> str:
    scales = net.constant([1, 1, *[2] * net.axes])
    y = net.node("Resize", net.conv("x", 2, 2), "", scales, mode="nearest")
    return net.node("Softplus", net.node("Resize", y, "", scales, mode="linear"))


def of_constants(net: Network) -> str:
    """The sides of a padding as exporters write them: zeros of a shape, joined, turned and cut."""
    whole = {"whole": True}
    zeros = net.node("ConstantOfShape", net.constant([4 - 2 * net.axes + 2 * net.axes], **whole))
    sides = net.node("Concat", net.constant([1, 2] * net.axes, **whole), zeros, axis=0)
    pairs = net.node("Reshape", sides, net.constant([-1, 2], **whole))
    ends = [net.constant([n], **whole) for n in (-1, -(2**62), 0, -1)]
    turned = net.node("Transpose", net.node("Slice", pairs, *ends), perm=[1, 0])
    flat = net.node("Reshape", turned, net.constant([-1], **whole))
    return net.node("Pad", "x", net.node("Cast", flat, to=TensorProto.INT64), mode="edge")


def unet(net: Network) -> str:
    size = [2] * net.axes
    first = net.node("Relu", net.conv("x", 2, 4))
    half = net.conv(net.node("MaxPool", first, kernel_shape=size, strides=size), 4, 4)
    weights = net.weights(4, 4, *size)
    up = net.node("ConvTranspose", half, weights, strides=size)
    return net.conv(net.node("Concat", first, up, axis=1), 8, 1)


def functions(net: Network) -> str:
    x = net.node("Concat", net.conv("x", 2, 3), axis=1)
    y = net.node("Softsign", net.node("Celu", x, alpha=0.5))
    y = net.node("Erf", net.node("Selu", net.node("Pow", y, net.constant(2.0))))
    mean = net.node("ReduceMean", y, axes=[1])
    return net.node("Mul", net.node("HardSigmoid", y), net.node("Sqrt", net.node("Abs", mean)))


def across_channels(net: Network) -> str:
    y = net.node("Softmax", net.conv("x", 2, 4), axis=1)
    best = net.node("Cast", net.node("ArgMax", y, axis=1), to=TensorProto.FLOAT)
    total = net.node("ReduceSum", net.node("LogSoftmax", y, axis=1), net.constant([1], whole=True))
    norm = net.node("ReduceL2", y, axes=[1])
    ends = net.node("Sub", net.node("ReduceMax", y, axes=[1]), net.node("ReduceMin", y, axes=[1]))
    return net.node("Concat", y, best, total, norm, ends, axis=1)


def comparisons(net: Network) -> str:
    y, z = net.conv("x", 2, 2), net.conv("x", 2, 2)
    larger = net.node("Max", y, z, net.constant(0.1))
    chosen = net.node("Where", net.node("Less", y, z), larger, net.node("Min", y, z))
    return net.node("Where", net.node("Greater", chosen, net.constant(0.5)), y, net.constant(2.0))


def conditions(net: Network) -> str:
    """Hardshrink as torch exports it, and what torch makes of ~, ^, == and !=."""
    y, z = net.conv("x", 2, 2), net.node("Relu", net.conv("x", 2, 2))
    above = net.node("Greater", y, net.constant(0.2))
    below = net.node("Less", y, net.constant(-0.2))
    casts = [net.node("Cast", each, to=TensorProto.BOOL) for each in (above, below)]
    shrunk = net.node("Where", net.node("Or", *casts), y, net.constant(0.0))
    positive = net.node("Cast", z, to=TensorProto.BOOL)
    not_zero = net.node("Not", net.node("Equal", z, net.constant(0.0)))
    one = net.node("Xor", above, positive)
    both = net.node("And", not_zero, net.node("Not", above))
    numbers = [net.node("Cast", each, to=TensorProto.FLOAT) for each in (one, both)]
    return net.node("Concat", shrunk, *numbers, axis=1)


NETWORKS = [
    of_constants, unet, functions, across_channels, comparisons, conditions,
    residual, dense_blocks, down_and_up, normalised, pooled, arithmetic, parts, padded, resized,
    turned_round, neighbours, both_signs,
]  # fmt: skip


def of_reference(path: Path, x: Array) -> Array:
    """What the reference evaluator computes of (samples..., channels)."""
    batch = np.moveaxis(x, -1, 0)[None].astype(np.float32)
    (y,) = ReferenceEvaluator(str(path)).run(None, {"x": batch})
    return np.moveaxis(np.asarray(y, np.float64)[0], 0, -1)


def filtered(filter: str, x: Array, size: int) -> Array:
    """`x` under `valid`, in blocks of `size`."""
    signal = Signal(medium=ARRAY, shape=x.shape[:-1], channels=tuple(map(str, range(x.shape[-1]))))
    sink = Collected()
    cuts = [*range(0, len(x), size), len(x)]
    plan = make_plan(filter, signal, Rules(edge="valid", align="center"))
    run(plan, Blocks(signal, [x[a:b] for a, b in pairwise(cuts)]), sink, threads=1)
    return np.concatenate(sink.parts)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("build", NETWORKS)
def test_a_network_is_that_of_the_reference_at_every_cut(
    build: Any, axes: int, tmp_path: Path
) -> None:
    net = Network(2, axes)
    path = net.save(tmp_path / "net.onnx", build(net))
    x = RNG.uniform(-1, 1, (*((18,), (12, 14))[axes - 1], 2))
    expected = of_reference(path, x)
    for size in (len(x), 1, 5):
        y = filtered(f"model:{path}", x, size)
        assert y.shape == expected.shape
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(apply(f"model:{path}", x, axes=axes), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(mode: str, tmp_path: Path) -> None:
    net = Network(8, 2)
    path = net.save(tmp_path / "net.onnx", net.node("DepthToSpace", "x", blocksize=2, mode=mode))
    x = RNG.uniform(-1, 1, (4, 5, 8))
    np.testing.assert_allclose(apply(f"model:{path}", x, axes=2), of_reference(path, x), rtol=1e-6)


def test_space_to_depth(tmp_path: Path) -> None:
    net = Network(2, 2)
    path = net.save(tmp_path / "net.onnx", net.node("SpaceToDepth", "x", blocksize=2))
    x = RNG.uniform(-1, 1, (4, 6, 2))
    np.testing.assert_allclose(apply(f"model:{path}", x, axes=2), of_reference(path, x), rtol=1e-6)


def test_what_is_not_local_is_refused_by_name(tmp_path: Path) -> None:
    net = Network(2, 1)
    y = net.node("GlobalAveragePool", net.conv("x", 2, 2))
    path = net.save(tmp_path / "net.onnx", y)
    with pytest.raises(RequestError, match="GlobalAveragePool v1_0: makes one number of the"):
        apply(f"model:{path}", np.ones((5, 2)), axes=1)


def test_an_interpolation_by_places_is_answered_by_another_export(tmp_path: Path) -> None:
    """The newer exporter of torch writes Upsample(mode="linear") of one axis in this way."""
    net = Network(2, 1)
    turned = net.node("Transpose", "x", perm=[2, 1, 0])
    taken = net.node("GatherND", turned, net.constant([[0], [0], [1], [1]], whole=True))
    path = net.save(tmp_path / "net.onnx", net.node("Transpose", taken, perm=[2, 1, 0]))
    with pytest.raises(RequestError, match="GatherND v1_0: reads samples in another") as caught:
        apply(f"model:{path}", np.ones((5, 2)), axes=1)
    assert caught.value.hint is not None
    assert "dynamo=False" in caught.value.hint


def test_the_first_node_that_is_not_local_is_named(tmp_path: Path) -> None:
    net = Network(2, 1)
    y = net.conv("x", 2, 2)
    scores = net.node("MatMul", y, y)
    path = net.save(tmp_path / "net.onnx", net.node("Softmax", scores))
    with pytest.raises(RequestError, match="MatMul v1_0: weighs all samples of the signal"):
        apply(f"model:{path}", np.ones((5, 2)), axes=1)


MANY = 10**9
HOSTILE: list[tuple[str, dict[str, Any], str]] = [
    ("Conv", {"pads": [MANY * 1000, 0]}, "numbers outside of the signal"),
    ("Conv", {"group": -2}, "group is -2, expected 1 to 2"),
    ("ConvTranspose", {"strides": [MANY]}, "1,000,000,000 times as many samples"),
    ("ConvTranspose", {"dilations": [MANY]}, "weights; at most 67,108,864 are held"),
    ("ConvTranspose", {"group": 0}, "group is 0, expected 1 to 2"),
    ("MaxPool", {"kernel_shape": [0]}, r"kernel_shape is \[0\]"),
    ("AveragePool", {"kernel_shape": [MANY]}, "taps; at most 4,194,304 are computed"),
    ("DepthToSpace", {"blocksize": MANY}, "blocksize is 1000000000, expected 1 to 1,000"),
    ("SpaceToDepth", {"blocksize": 500}, "makes 500,000 channels; at most 65,536"),
]


@pytest.mark.parametrize(("kind", "attributes", "told"), HOSTILE)
def test_sizes_are_bounded(
    kind: str, attributes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    axes = 2 if "blocksize" in attributes else 1
    net = Network(2, axes)
    weights = (net.weights(2, 2, 3),) if kind.startswith("Conv") else ()
    path = net.save(tmp_path / "net.onnx", net.node(kind, "x", *weights, **attributes))
    with pytest.raises(RequestError, match=told):
        apply(f"model:{path}", np.ones((9,) * axes + (2,)), axes=axes)


def test_values_do_not_grow_without_bound(tmp_path: Path) -> None:
    net = Network(2, 1)
    x = "x"
    for _ in range(40):
        x = net.node("Concat", x, x, axis=1)
    path = net.save(tmp_path / "net.onnx", x)
    with pytest.raises(RequestError, match="makes 131,072 channels; at most 65,536"):
        apply(f"model:{path}", np.ones((5, 2)), axes=1)
    scales = net.constant([1, 1, 1000])
    twice = net.node("Resize", net.node("Resize", "x", "", scales), "", scales)
    net.nodes = net.nodes[40:]
    path = net.save(tmp_path / "net.onnx", twice)
    with pytest.raises(RequestError, match="1,000,000 times as many samples"):
        apply(f"model:{path}", np.ones((5, 2)), axes=1)


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        ({"dims": [10**6, 10**6, 1]}, "should contain one and only one value field"),
        ({"dims": [10**6, 10**6, 1], "raw_data": b"1234"}, "too small for the declared shape"),
        ({"dims": [2**40] * 3}, "overflow"),
        ({"dims": [2, 2, 3], "location": "../../etc/passwd"}, "lie in another file"),
        ({"dims": [2, 2, 3], "location": "/etc/passwd"}, "lie in another file"),
        ({"dims": [2, 2, 3], "location": ".."}, "lie in another file"),
        ({"dims": [2, 2, 3], "location": "weights.bin"}, "no such file; expected the numbers of"),
        ({"dims": [2, 2, 3], "location": "short.bin"}, "too small for the declared shape"),
        ({"dims": [2, 2, 3], "location": "short.bin", "length": "48"}, "ends before"),
        ({"dims": [2, 2, 3], "location": "short.bin", "offset": "9" * 30}, "ends before"),
    ],
)
def test_constants_that_are_not_in_the_file(
    tensor: dict[str, Any], told: str, tmp_path: Path
) -> None:
    (tmp_path / "short.bin").write_bytes(bytes(40))
    entries = {key: tensor.pop(key) for key in ("location", "offset", "length") if key in tensor}
    constant = TensorProto(name="w", data_type=1, **tensor)
    for key, value in entries.items():
        constant.data_location = TensorProto.EXTERNAL
        constant.external_data.add(key=key, value=value)
    net = Network(2, 1)
    y = net.node("Conv", "x", "w")
    net.constants.append(constant)
    path = net.save(tmp_path / "net.onnx", y)
    with pytest.raises(InputError, match=told):
        apply(f"model:{path}", np.ones((5, 2)), axes=1)


def test_numbers_in_a_file_beside_the_graph(tmp_path: Path) -> None:
    """As torch.onnx.export writes networks whose weights are not few."""
    weights = np.arange(12, dtype="<f4").reshape(2, 2, 3)
    x = np.random.default_rng(0).normal(size=(9, 2))
    net = Network(2, 1)
    expected = apply(
        f"model:{net.save(tmp_path / 'one.onnx', net.node('Conv', 'x', net.constant(weights)))}",
        x,
        axes=1,
    )
    net = Network(2, 1)
    constant = TensorProto(name="w", data_type=1, dims=weights.shape)
    constant.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "two.onnx.data"), ("offset", "8"), ("length", "48")):
        constant.external_data.add(key=key, value=value)
    net.constants.append(constant)
    path = net.save(tmp_path / "two.onnx", net.node("Conv", "x", "w"))
    (tmp_path / "two.onnx.data").write_bytes(bytes(8) + weights.tobytes())
    np.testing.assert_array_equal(apply(f"model:{path}", x, axes=1), expected)


def test_a_long_graph_is_read_in_time(tmp_path: Path) -> None:
    """Two thousand nodes: the way back from a value to the input is kept once for each."""
    net = Network(1, 1)
    x = "x"
    for _ in range(2000):
        x = net.node("Neg", x)
    path = net.save(tmp_path / "net.onnx", x)
    ramp = np.arange(5.0)[:, None]
    np.testing.assert_array_equal(apply(f"model:{path}", ramp, axes=1), ramp)


@pytest.mark.parametrize(
    ("window", "samples", "made"),
    # Size, stride and padding; the counts are those of torch 2.14 and onnxruntime 1.32.
    [
        ((2, 3, 0), 24, 8),
        ((2, 3, 0), 25, 9),
        ((2, 2, 1), 25, 13),
        ((2, 3, 1), 26, 9),
        ((3, 2, 1), 8, 5),
    ],
)
def test_a_last_window_begins_within_the_input(
    window: tuple[int, int, int], samples: int, made: int, tmp_path: Path
) -> None:
    size, stride, pads = window
    net = Network(1, 1)
    kept = {"kernel_shape": [size], "strides": [stride], "pads": [pads, pads], "ceil_mode": 1}
    graph = net.save(tmp_path / "net.onnx", net.node("MaxPool", "x", **kept))
    weights = encode_weights({"0.weight": np.ones((1, 1, 1))}, {})
    (tmp_path / "net.safetensors").write_bytes(weights)
    layers = f"conv | max_pool:{size},stride={stride},padding={pads},ceil_mode=true"
    x = np.arange(1.0, samples + 1)
    starts = np.arange(made) * stride - pads
    expected = np.minimum(starts + size, samples)  # x rises, so that the last is the largest
    for model in (f"{graph}", f'{tmp_path}/net.safetensors,layers="{layers}"'):
        assert apply(f"model:{model}", x[:, None])[:, 0].tolist() == expected.tolist()


def _nearest_by_floor(net: Network) -> str:
    scales = net.constant([1, 1, 2])
    modes = {"mode": "nearest", "coordinate_transformation_mode": "half_pixel"}
    return net.node("Resize", "x", "", scales, nearest_mode="floor", **modes)


def _padded_axes_in_reverse(net: Network) -> str:
    sides, axes = ([1, 0, 0, 1, 0, 0], [2, 1, 0])
    return net.node("Pad", "x", net.constant(sides, whole=True), "", net.constant(axes, whole=True))


def _cut_by_the_edge(net: Network) -> str:
    return net.node("Pad", "x", net.constant([0, 0, -1, 0, 0, 1], whole=True), mode="edge")


def _padded_with_ones(net: Network) -> str:
    return net.node("Pad", "x", net.constant([0, 0, 1, 0, 0, 1], whole=True), net.constant(1.0))


@pytest.mark.parametrize(
    ("build", "version", "told"),
    [
        (_cut_by_the_edge, 17, "cuts samples off in the mode edge"),
        (_padded_with_ones, 17, "pads with 1; zeros, reflect, edge and wrap are known"),
        (_nearest_by_floor, 17, "nearest by floor at half_pixel positions is not known"),
        (lambda net: net.node("Softmax", "x", axis=1), 11, "all channels and samples at once"),
        (_padded_axes_in_reverse, 18, "names the axes that it pads"),
        (
            lambda net: net.node("Concat", "x", net.weights(1, 2, 18), axis=1),
            17,
            "puts constants beside channels",
        ),
    ],
)
def test_what_would_be_another_result_is_refused(
    build: Any, version: int, told: str, tmp_path: Path
) -> None:
    net = Network(2, 1)
    path = net.save(tmp_path / "net.onnx", build(net), version=version)
    with pytest.raises(RequestError, match=told):
        apply(f"model:{path}", np.zeros((18, 2)))


def test_channels_are_gathered_and_samples_cut_off(tmp_path: Path) -> None:
    net = Network(3, 1)
    picked = net.node("Gather", "x", net.constant([2, -3], whole=True), axis=1)
    ends = [net.constant([n], whole=True) for n in (1, -2, 2)]
    path = net.save(tmp_path / "net.onnx", net.node("Slice", picked, *ends))
    x = RNG.uniform(-1, 1, (9, 3))
    for size in (9, 1, 4):
        np.testing.assert_allclose(filtered(f"model:{path}", x, size), of_reference(path, x))


def test_a_dilated_maximum(tmp_path: Path) -> None:
    net = Network(1, 2)
    kept = {"kernel_shape": [3, 2], "dilations": [2, 3], "strides": [2, 1], "pads": [2, 1, 2, 1]}
    path = net.save(tmp_path / "net.onnx", net.node("MaxPool", "x", **kept))
    x = RNG.uniform(-1, 1, (11, 12, 1))
    np.testing.assert_allclose(apply(f"model:{path}", x, axes=2), of_reference(path, x), rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not a valid ONNX file"),
        (b"\x00" * 40, "not a valid ONNX file"),
        (None, "no such file"),
    ],
)
def test_files_that_are_none(content: bytes | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=told):
        apply(f"model:{path}", np.ones(5))


def test_an_output_need_not_say_its_shape(tmp_path: Path) -> None:
    net = Network(2, 1)
    model = net.model(residual(net))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    x = RNG.uniform(-1, 1, (9, 2))
    said = net.save(tmp_path / "said.onnx", model.graph.output[0].name)
    np.testing.assert_array_equal(apply(f"model:{path}", x), apply(f"model:{said}", x))


def test_a_grey_picture_for_a_network_of_colours(program: Program, tmp_path: Path) -> None:
    """The hint leads to a result."""
    net = Network(3, 2)
    net.save(tmp_path / "net.onnx", net.conv("x", 3, 3))
    Image.fromarray(np.full((9, 9), 7, np.uint8)).save(tmp_path / "a.png")
    ended = program.run("image", "model:net.onnx", "a.png", "-o", "b.png", cwd=tmp_path)
    assert "`mix:1;1;1 | model:...` makes 3 channels of one" in ended.err
    ended = program.run("image", "mix:1;1;1 | model:net.onnx", "a.png", "-o", "b.png", cwd=tmp_path)
    assert ended.code == 0, ended


def test_channels_and_axes_are_checked(tmp_path: Path) -> None:
    net = Network(2, 1)
    path = net.save(tmp_path / "net.onnx", residual(net))
    with pytest.raises(RequestError, match="takes 2 channels, and this signal has 3"):
        apply(f"model:{path}", np.ones((9, 3)), axes=1)
    with pytest.raises(RequestError, match="takes 1 sample axes"):
        apply(f"model:{path}", np.ones((9, 9, 2)), axes=2)
    with pytest.raises(RequestError, match="reads later samples"):
        apply(f"model:{path}", np.ones((9, 2)), axes=1, align="causal")


def test_a_picture_in_strips_is_the_whole(program: Program, tmp_path: Path) -> None:
    net = Network(3, 2)
    y = net.node("Relu", net.conv("x", 3, 4))
    path = net.save(tmp_path / "net.onnx", net.node("Add", "x", net.conv(y, 4, 3)))
    picture = RNG.integers(0, 256, (30, 20, 3), np.uint8)
    header = b"P6 20 30 255\n"
    (tmp_path / "in.ppm").write_bytes(header + picture.tobytes())
    words = ("image", "model:net.onnx", "in.ppm", "-o", "out.ppm", "-q")
    ended = program.run(*words, cwd=tmp_path)
    assert ended.code == 0, ended.err
    expected = of_reference(path, picture / 255) * 255
    out = np.frombuffer((tmp_path / "out.ppm").read_bytes()[len(header) :], np.uint8)
    rounded = np.clip(np.floor(expected + 0.5), 0, 255)
    assert np.abs(out.reshape(picture.shape) - rounded).max() <= 1
    assert (out.reshape(picture.shape) == rounded).mean() > 0.99
    shown = program.run("filters", "model:net.onnx", cwd=tmp_path)
    assert shown.code == 0
    assert "Conv v0_0" in shown.text
    assert "x (1, 3, h, w) to v3_0 (3 channels), 223 parameters" in shown.text


def test_feature_maps_of_a_node(tmp_path: Path) -> None:
    net = Network(2, 1)
    path = net.save(tmp_path / "net.onnx", residual(net))
    x = RNG.uniform(-1, 1, (9, 2))
    maps = apply(f"model:{path},upto=1", x, axes=1)
    shorter = net.save(tmp_path / "short.onnx", net.nodes[1].output[0])
    np.testing.assert_allclose(maps, of_reference(shorter, x), rtol=1e-4, atol=1e-5)
    with pytest.raises(RequestError, match="7 nodes, counted from 0"):
        apply(f"model:{path},upto=7", x, axes=1)


@pytest.mark.parametrize(
    ("axes", "kept", "told"),
    [([1], 0, "known with keepdims=1 alone"), ([2], 1, "one number of the whole signal")],
)
def test_a_mean_that_is_not_of_channels_is_refused(
    axes: list[int], kept: int, told: str, tmp_path: Path
) -> None:
    net = Network(2, 1)
    path = net.save(tmp_path / "net.onnx", net.node("ReduceMean", "x", axes=axes, keepdims=kept))
    with pytest.raises(RequestError, match=told):
        apply(f"model:{path}", np.ones((9, 2)))


@pytest.mark.parametrize(
    ("start", "end", "axis", "stride"),
    [(1, 1 << 62, 0, 1), (-1, 0, 2, -1), (-3, 1 << 62, 2, 1), (0, 5, 2, 1)],
)
def test_a_part_within_a_signal_is_refused(
    start: int, end: int, axis: int, stride: int, tmp_path: Path
) -> None:
    """A number of samples at an end may be cut off, whatever the length of the signal."""
    net = Network(2, 1)
    numbers = [net.constant([one], whole=True) for one in (start, end, axis, stride)]
    path = net.save(tmp_path / "net.onnx", net.node("Slice", "x", *numbers))
    with pytest.raises(RequestError, match="cut off at the ends"):
        apply(f"model:{path}", np.ones((9, 2)))


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize(("start", "end", "stride"), [(0, 1 << 62, 2), (1, -2, 3), (2, 1 << 62, 3)])
def test_every_nth_sample(start: int, end: int, stride: int, axes: int, tmp_path: Path) -> None:
    net = Network(2, axes)
    numbers = [net.constant([one], whole=True) for one in (start, end, 2, stride)]
    output = net.conv(net.node("Slice", net.conv("x", 2, 3), *numbers), 3, 2)
    path = net.save(tmp_path / "net.onnx", output)
    for length in (20, 21, 22):
        x = RNG.uniform(-1, 1, (*((length,), (length, 14))[axes - 1], 2))
        expected = of_reference(path, x)
        for size in (length, 1, 5):
            y = filtered(f"model:{path}", x, size)
            assert y.shape == expected.shape
            np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def beside_its_ends(net: Network, x: str, axis: int, before: int, after: int) -> str:
    """A value between its last and its first samples."""

    def part(*limits: int) -> str:
        names = [net.constant([limit], whole=True) for limit in (*limits, axis)]
        return net.node("Slice", x, *names)

    parts = [x]
    if before:
        parts.insert(0, part(-before, np.iinfo(np.int64).max))
    if after:
        parts.append(part(0, after))
    return net.node("Concat", *parts, axis=axis)


@pytest.mark.parametrize(("before", "after"), [(1, 1), (2, 0), (0, 3), (3, 1)])
def test_circular_padding_by_slices(before: int, after: int, tmp_path: Path) -> None:
    net = Network(2, 2)
    y = beside_its_ends(net, net.conv("x", 2, 3), 2, before, after)
    y = net.node("Relu", beside_its_ends(net, y, -1, after, before))
    path = net.save(tmp_path / "net.onnx", net.conv(y, 3, 2, pads=[0] * 4))
    x = RNG.uniform(-1, 1, (12, 14, 2))
    expected = of_reference(path, x)
    for size in (12, 1, 5):
        np.testing.assert_allclose(filtered(f"model:{path}", x, size), expected, atol=1e-5)


def test_samples_in_another_order_are_no_circular_padding(tmp_path: Path) -> None:
    """The first samples before a value, or its last ones behind it."""
    net = Network(2, 1)
    limits = [net.constant([limit], whole=True) for limit in (0, 2, 2)]
    first = net.node("Slice", "x", *limits)
    path = net.save(tmp_path / "net.onnx", net.node("Concat", first, "x", axis=2))
    with pytest.raises(RequestError, match="cut off at the ends"):
        apply(f"model:{path}", np.ones((9, 2)))
