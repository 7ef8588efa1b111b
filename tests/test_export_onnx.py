"""`convcli filters model:... --export net.onnx`: what onnxruntime computes is what `model:` gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from convcli import RequestError, apply
from convcli.cli import main
from convcli.core.binding import Rules
from convcli.layers.model_reader import read_safetensors
from convcli.layers.training.layer_stack import untrained_network
from convcli.layers.weights import encode_weights
from convcli.signals import ARRAY, Signal

if TYPE_CHECKING:
    from convcli.signals import Align, Array

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

RNG = np.random.default_rng(0)
FOLDER = Path(__file__).parent / "reference"
STORED = {name: np.load(FOLDER / f"torch_{name}.npz") for name in ("upscaling", "norms", "stacks")}


def saved(path: Path, tensors: dict[str, Any], **metadata: str) -> Path:
    path.write_bytes(encode_weights(tensors, metadata))
    return path


def exported(model: Path, align: Align = "center") -> Path:
    """The model as an ONNX file."""
    path = model.with_suffix(".onnx")
    path.write_bytes(read_safetensors(model).exported(align).content)
    return path


def of_runtime(path: Path, x: Array) -> Array:
    """What onnxruntime computes of (samples..., channels)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options)
    batch = np.moveaxis(x, -1, 0)[None].astype(np.float32)
    (y,) = session.run(["output"], {"input": batch})
    return np.moveaxis(np.asarray(y, np.float64)[0], 0, -1)


def filled(layers: str, channels: int, axes: int) -> dict[str, Any]:
    """Random tensors for layers that can be trained."""
    names = tuple(map(str, range(channels)))
    signal = Signal(medium=ARRAY, shape=(None,) * axes, channels=names)
    network = untrained_network(layers, signal, Rules(edge="valid", align="center"))
    numbers = network.net.started(RNG)
    tensors: dict[str, Any] = {}
    for number, own in zip(network.weighted, network.net.tensors(numbers), strict=True):
        tensors |= {f"{number}.{name}": tensor for name, tensor in own.items()}
    return tensors


CASES = [
    ("conv:3,4,stride=2,padding=1,padding_mode=reflect | elu:0.5 | conv:2,3", 2, 1),
    ("conv:3,5,padding=2,padding_mode=circular | softplus | conv:2,3,padding=same", 2, 1),
    ("conv:4,4,padding=same,dilation=2,groups=2 | silu | conv:1,1", 2, 1),
    ("pixel_unshuffle:2 | conv:6,3 | prelu:6 | pixel_shuffle:3 | conv:1,3", 2, 1),
    ("conv:2,3 | sum_pool:3,stride=2 | min_pool:2 | gelu | conv:1,1", 1, 1),
    ("conv:2,3 | hardswish | clip:-0.5,0.4 | gain:2 | offset:0.25 | square | abs | sqrt", 1, 1),
    ("conv:2,3 | max_pool:3,stride=2,padding=1,dilation=2,ceil_mode=true | tanh", 1, 1),
    ("conv:6,3x3,padding=1x1 | pixel_shuffle:2x3 | sigmoid | conv:2,1x1 | exp", 3, 2),
    ("conv:4,3x3 | upsample:2,mode=bilinear | pad:2x1,mode=replicate | conv:1,3x3", 2, 2),
    ("avg_pool:2,padding=1,count_include_pad=false | conv:2,2x2 | pixel_unshuffle:2", 1, 2),
]


@pytest.mark.parametrize(("layers", "channels", "axes"), CASES)
def test_every_layer(layers: str, channels: int, axes: int, tmp_path: Path) -> None:
    names = layers.replace("square | abs | sqrt", "relu").replace("exp", "relu")
    names = names.replace("clip:-0.5,0.4 | gain:2 | offset:0.25", "relu | relu | relu")
    model = saved(tmp_path / "m.safetensors", filled(names, channels, axes), layers=layers)
    x = RNG.uniform(-1, 1, (*((24,), (12, 18))[axes - 1], channels))
    expected = apply(f"model:{model}", x, axes=axes, edge="valid")
    path = exported(model)
    y = of_runtime(path, x)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    # What is read back gives the same numbers.
    again = apply(f"model:{path}", x, axes=axes, edge="valid")
    np.testing.assert_allclose(again, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", STORED)
def test_stacks_are_those_of_torch(name: str, tmp_path: Path) -> None:
    """Twelve of the random stacks whose outputs torch computed."""
    reference = STORED[name]
    texts = json.loads(str(reference["texts"]))
    done = 0
    for number in range(0, len(texts), len(texts) // 12):
        start = f"{number}/state/"
        names = [each for each in reference.files if each.startswith(start)]
        state = {
            each.removeprefix(start): reference[each]
            for each in names
            if not each.endswith("num_batches_tracked")
        }
        model = saved(tmp_path / f"{number}.safetensors", state, layers=texts[number])
        x, y = (np.moveaxis(reference[f"{number}/{side}"], 0, -1) for side in ("x", "y"))
        z = of_runtime(exported(model), x)
        assert z.shape == y.shape, texts[number]
        np.testing.assert_allclose(z, y, rtol=1e-3, atol=1e-5, err_msg=texts[number])
        done += 1
    assert done >= 12


@pytest.mark.parametrize("layers", ["conv:2,3 | relu | conv:1,2", "conv:2,4,stride=2,padding=1"])
def test_a_causal_network_is_causal(layers: str, tmp_path: Path) -> None:
    layers = f"{layers} | conv_transpose:1,5,stride=2" if "stride" in layers else layers
    model = saved(tmp_path / "m.safetensors", filled(layers, 1, 1), layers=layers, align="causal")
    x = RNG.uniform(-1, 1, (24, 1))
    expected = apply(f"model:{model}", x, axes=1, edge="valid", align="causal")
    y = of_runtime(exported(model, "causal"), x)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_scaling_and_residual_are_nodes(tmp_path: Path) -> None:
    layers = "conv:3,4 | tanh | conv:1,3"
    scaling = {"inputs": [[5.0, 2.0], [-1.0, 0.5]], "outputs": [[0.25, 3.0]]}
    model = saved(
        tmp_path / "m.safetensors",
        filled(layers, 2, 1),
        layers=layers,
        scaling=json.dumps(scaling),
        residual="true",
        columns='["a", "b"]',
        targets='["b"]',
    )
    x = RNG.normal(size=(30, 2))
    expected = apply(f"model:{model}", x, axes=1, edge="valid")
    path = exported(model)
    np.testing.assert_allclose(of_runtime(path, x), expected, rtol=1e-4, atol=1e-5)
    kinds = [node.op_type for node in onnx.load(str(path)).graph.node]
    assert kinds == ["Sub", "Div", "Conv", "Tanh", "Conv", "Mul", "Add", "Gather", "Slice", "Add"]
    again = apply(f"model:{path}", x, axes=1, edge="valid")
    np.testing.assert_allclose(again, expected, rtol=1e-4, atol=1e-5)


def test_a_dense_network_behind_a_pool(tmp_path: Path) -> None:
    tensors = {
        "0.weight": RNG.normal(size=(3, 1, 3, 3)),
        "2.weight": RNG.normal(size=(4, 3)),
        "2.bias": RNG.normal(size=4),
        "4.weight": RNG.normal(size=(2, 4)),
    }
    layers = "conv | global_avg_pool | dense | relu | dense"
    model = saved(tmp_path / "m.safetensors", tensors, layers=layers)
    x = RNG.normal(size=(9, 8, 1))
    expected = apply(f"model:{model}", x, axes=2, edge="valid")
    y = of_runtime(exported(model), x)
    np.testing.assert_allclose(y, expected.ravel(), rtol=1e-4, atol=1e-5)


def test_the_command_writes_names_shapes_and_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = "conv:3,3 | relu | conv:1,3"
    tensors = filled(layers, 2, 1)
    model = saved(tmp_path / "m.safetensors", tensors, layers=layers, medium="audio", rate="8000")
    path = tmp_path / "net.onnx"
    assert main(["filters", f"model:{model}", "--export", str(path)]) == 0
    net = onnx.load(str(path))
    onnx.checker.check_model(net, full_check=True)
    (given,), (made,) = net.graph.input, net.graph.output
    sides = [side.dim_param or side.dim_value for side in given.type.tensor_type.shape.dim]
    assert (given.name, sides) == ("input", ["batch", 2, "samples"])
    sides = [side.dim_param or side.dim_value for side in made.type.tensor_type.shape.dim]
    assert (made.name, sides) == ("output", ["batch", 1, "samples_out"])
    assert {each.name for each in net.graph.initializer} == set(tensors)
    assert net.opset_import[0].version == 17
    about = {each.key: each.value for each in net.metadata_props}
    assert about["layers"] == layers
    assert about["rate"] == "8000"
    assert "sound from -1 to 1" in net.doc_string
    told = f"net.onnx computes {layers}, on sound from -1 to 1; it reads complete windows alone"
    assert told in capsys.readouterr().err
    # An existing file is kept, and inner layers are a network, too.
    assert main(["filters", f"model:{model}", "--export", str(path)]) == 2
    assert "exists already" in capsys.readouterr().err
    words = ["filters", f"model:{model},upto=1", "--export", str(path), "--force"]
    assert main(words) == 0
    assert [node.op_type for node in onnx.load(str(path)).graph.node] == ["Conv", "Relu"]


def test_a_chain_of_linear_filters_is_a_convolution(tmp_path: Path) -> None:
    path = tmp_path / "box.onnx"
    assert main(["filters", "gaussian:2 | kernel:1,2,3", "--export", str(path)]) == 0
    x = RNG.normal(size=(60, 1))
    expected = apply("gaussian:2 | kernel:1,2,3", x, axes=1, edge="valid")
    np.testing.assert_allclose(of_runtime(path, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layers", "metadata", "told"),
    [
        ("conv:1,3 | log", {}, "log has no node in ONNX"),
        (
            "conv:1,3",
            {"on": "differences", "columns": '["a"]', "targets": '["a"]'},
            "which is not exported",
        ),
        ("conv:1,3 | adaptive_avg_pool:4", {}, "adaptive_avg_pool has no node in ONNX"),
        ("conv:1,3,padding=1 | max_pool:2", {"align": "causal"}, "not exported from a causal"),
    ],
)
def test_what_is_not_exported_says_why(
    layers: str, metadata: dict[str, str], told: str, tmp_path: Path
) -> None:
    tensors = {"0.weight": np.ones((1, 1, 3))}
    model = saved(tmp_path / "m.safetensors", tensors, layers=layers, **metadata)
    align: Any = metadata.get("align", "center")
    with pytest.raises(RequestError, match=told):
        exported(model, align)


def test_a_graph_is_no_model_of_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = saved(tmp_path / "m.safetensors", {"0.weight": np.ones((1, 1, 3))}, layers="conv")
    path = exported(model)
    for words, told in (
        ([f"model:{path}"], "is an ONNX file already"),
        (["relu"], "only a filter with one set of taps can be exported"),
        ([f"model:{model} | relu"], "a model is exported alone"),
    ):
        output = str(tmp_path / "out.onnx")
        assert main(["filters", *words, "--export", output]) == 2
        assert told in capsys.readouterr().err


def test_a_causal_filter_stays_causal(tmp_path: Path) -> None:
    path = tmp_path / "mean.onnx"
    design = ("filters", "sma:3", "--export", str(path), "--force")
    table = pd.DataFrame({"v": np.arange(8.0) ** 2})
    mean = table.v.rolling(3).mean().dropna()
    assert main([*design, "--align", "causal"]) == 0
    found = apply(f"model:{path}", table)
    np.testing.assert_allclose(found.v, mean, rtol=1e-6)
    assert found.index.tolist() == mean.index.tolist()
    middle = apply(f"model:{path}", table, align="center")
    assert middle.index.tolist() == [1, 2, 3, 4, 5, 6]
    # Without a word about the alignment, tables are causal and arrays are not.
    assert main([*design]) == 0
    assert apply(f"model:{path}", table).index.tolist() == mean.index.tolist()


def test_a_graph_that_pads_is_not_made_causal(tmp_path: Path) -> None:
    model = saved(
        tmp_path / "m.safetensors", {"0.weight": np.ones((1, 1, 3))}, layers="conv:padding=1"
    )
    path = exported(model)
    with pytest.raises(RequestError, match="reads later samples and pads"):
        apply(f"model:{path}", pd.DataFrame({"v": np.arange(8.0)}), align="causal")


def test_numbers_beyond_float32_are_not_exported(tmp_path: Path) -> None:
    model = saved(tmp_path / "m.safetensors", {"0.weight": np.full((1, 1, 3), 1e39)}, layers="conv")
    with pytest.raises(RequestError, match="too large for float32"):
        exported(model, "center")
