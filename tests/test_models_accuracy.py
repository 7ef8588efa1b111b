"""How far float32 networks are from what float64 gives, beside onnxruntime.

torch 2.14 on 96 x 112 pixels, one thread, is as far from float64 as these are, in parts of the
largest output: VGG7 1.0e-6 (2.1e-6 with its channels last), DnCNN-17 2.7e-6 (5.0e-6). The same
weights, from He's normal distribution, gave here 0.9e-6 and 3.2e-6 with onnxruntime, and 1.8e-6 and
5.3e-6 by the own paths, of which Winograd's adds a rounding error to the sums.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from convcli import apply
from convcli.layers.onnx import sessions
from convcli.layers.weights import encode_weights

if TYPE_CHECKING:
    from pathlib import Path

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

# Channels before the first layer of 3 x 3 taps, and behind each; and the slope of the rectifiers.
NETWORKS = {
    "vgg7": ((3, 32, 32, 64, 64, 128, 128, 3), 0.1),
    "dncnn-9": ((1, *(64,) * 8, 1), 0.0),
}
SIDE = 24


def weights_of(channels: tuple[int, ...]) -> list[Any]:
    random = np.random.default_rng(1)
    found = []
    for taken, made in pairwise(channels):
        w = random.normal(0, np.sqrt(2 / (9 * taken)), (made, taken, 3, 3))
        found.append((w.astype(np.float32), random.normal(0, 0.05, made).astype(np.float32)))
    return found


def model_file(path: Path, channels: tuple[int, ...], slope: float) -> Path:
    tensors: dict[str, Any] = {}
    layers: list[str] = []
    for number, (w, b) in enumerate(weights_of(channels)):
        tensors |= {f"{2 * number}.weight": w, f"{2 * number}.bias": b}
        layers += ["conv:padding=1", f"leaky_relu:{slope}"]
    path.write_bytes(encode_weights(tensors, {"layers": " | ".join(layers[:-1])}))
    return path


def library_outputs(x: Any, channels: tuple[int, ...], slope: float) -> Any:
    """What onnxruntime makes of the network as a graph of its own."""
    helper = onnx.helper
    nodes: list[Any] = []
    constants: list[Any] = []
    name = "x"
    for number, tensors in enumerate(weights_of(channels)):
        names = [f"w{number}", f"b{number}"]
        constants += map(onnx.numpy_helper.from_array, tensors, names)
        if number:
            nodes.append(helper.make_node("LeakyRelu", [name], [f"r{number}"], alpha=slope))
            name = f"r{number}"
        nodes.append(helper.make_node("Conv", [name, *names], [f"c{number}"], pads=[1] * 4))
        name = f"c{number}"
    value = helper.make_tensor_value_info
    ends = [value(each, onnx.TensorProto.FLOAT, None) for each in ("x", name)]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (y,) = session.run(None, {"x": np.moveaxis(x, -1, 0)[None]})
    return np.moveaxis(y[0], 0, -1)


@pytest.mark.parametrize("name", NETWORKS)
def test_float32_is_as_near_to_float64_as_other_programs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels, slope = NETWORKS[name]
    path = model_file(tmp_path / "network.safetensors", channels, slope)
    x = np.random.default_rng(0).random((SIDE, SIDE, channels[0]), np.float32)
    truth = apply(f"model:{path}", x.astype(np.float64))
    theirs = _distance(library_outputs(x, channels, slope), truth)
    own_paths = _distance(apply(f"model:{path}", x), truth)
    monkeypatch.setattr(sessions, "count_in_library", lambda _, nodes: len(nodes))
    with_library = _distance(apply(f"model:{path}", x), truth)
    assert 0 < theirs < 4e-6
    assert with_library < 1.5 * theirs
    assert 0 < own_paths < 3 * theirs
    assert own_paths != with_library


def _distance(y: Any, truth: Any) -> float:
    """The largest difference in parts of the largest value."""
    return float(np.abs(y - truth).max() / np.abs(truth).max())
