"""How much processor time networks take, beside onnxruntime and torch: one thread each, the same graph and weights.

Each side runs in a process of its own, by turns, and tells the processor seconds of its fastest run
and its answer. Reading the graph, the first run and making the input are not counted.
`python networks.py SIDE NAME` is one such process; it writes its answer to standard output.
"""

from __future__ import annotations

import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peers as programs

if TYPE_CHECKING:
    from collections.abc import Callable

SIDES = {
    "convcli": None,
    "onnxruntime": programs.Program(
        "onnxruntime", "pip install onnxruntime", modules=("onnxruntime",)
    ),
    "torch": programs.TORCH,
}
# Largest difference of answers, relative to the largest value.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Network:
    """A network and its input.

    channels : of the input and after each layer; shape : of the input, (rows, columns); goals :
    the ratio to reach for each peer; timed : runs that are timed in a process
    """

    name: str
    says: str
    channels: tuple[int, ...]
    shape: tuple[int, int]
    goals: dict[str, float]
    slope: float = 0.0
    timed: int = 3


NETWORKS = (
    Network(
        name="network-vgg7",
        says="VGG7 (3 to 128 channels, 3 x 3, leaky rectifiers) on 512 x 512 RGB",
        channels=(3, 32, 32, 64, 64, 128, 128, 3),
        shape=(512, 512),
        goals={"onnxruntime": 1.0, "torch": 1.3},
        slope=0.1,
    ),
    Network(
        name="network-dncnn",
        says="DnCNN-17 (64 channels, 3 x 3, rectifiers) on 2 megapixels of grey",
        channels=(1, *(64,) * 16, 1),
        shape=(1152, 1736),
        goals={"onnxruntime": 1.0},
        timed=1,
    ),
)


def run(*, only: str = "*", runs: int = 3) -> list[dict[str, Any]]:
    """Measure, print, and return everything."""
    print("\nnetworks: processor seconds of one thread, the fastest of the runs")
    wanted = [network for network in NETWORKS if fnmatch.fnmatch(network.name, only)]
    return [_measured(network, runs) for network in wanted]


def _measured(network: Network, runs: int) -> dict[str, Any]:
    sides = [name for name, program in SIDES.items() if program is None or program.present]
    series: dict[str, list[float]] = {side: [] for side in sides}
    answers: dict[str, Any] = {}
    for _ in range(runs):
        for side in sides:
            seconds, answers[side] = _one_run(side, network)
            series[side].append(seconds)
    print(f"\n{network.name}: {network.says}")
    ours = min(series["convcli"])
    found: dict[str, Any] = {
        "name": network.name,
        "says": network.says,
        "seconds": series,
        "peers": [],
        "agrees": True,
    }
    for side in sides:
        ratio = min(series[side]) / ours
        differs = _difference(answers["convcli"], answers[side])
        print(f"  {side:14}{min(series[side]):8.3f} s  ratio {ratio:.2f}  differs by {differs:.1e}")
        found["agrees"] &= differs <= TOLERANCE
        if side != "convcli":
            goal = network.goals.get(side)
            found["peers"].append(
                {"name": side, "ratio": ratio, "goal": goal, "difference": differs}
            )
    return found


def _difference(ours: Any, theirs: Any) -> float:
    import numpy as np

    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def _one_run(side: str, network: Network) -> tuple[float, Any]:
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "answer.npy"
        command = [sys.executable, __file__, side, network.name, str(place)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=_environment())
        return json.loads(done.stdout)["cpu"], np.load(place)


def _environment() -> dict[str, str]:
    return {**os.environ, **programs.environment(), "OPENBLAS_NUM_THREADS": "1"}


# ---------------------------------------------------------------------------------------- the sides


def weights_of(network: Network) -> list[Any]:
    """The weights (out, in, 3, 3) and the bias of each layer, from a seed."""
    import numpy as np

    random = np.random.default_rng(1)
    tensors = []
    for given, made in zip(network.channels, network.channels[1:], strict=False):
        scale = np.sqrt(2 / (9 * given))
        weights = random.normal(0, scale, (made, given, 3, 3)).astype(np.float32)
        tensors.append((weights, random.normal(0, 0.05, made).astype(np.float32)))
    return tensors


def input_of(network: Network) -> Any:
    """The picture, (rows, columns, channels)."""
    import numpy as np

    shape = (*network.shape, network.channels[0])
    return np.random.default_rng(0).random(shape, np.float32)


def convcli(network: Network) -> Callable[[], Any]:
    """`convcli.apply` with a safetensors file; the file is read and bound in every run."""
    from convcli import apply
    from convcli.layers.weights import encode_weights

    tensors = {}
    layers = []
    pairs = weights_of(network)
    activation = f"leaky_relu:{network.slope}" if network.slope else "relu"
    for number, (weights, bias) in enumerate(pairs):
        tensors[f"{2 * number}.weight"] = weights
        tensors[f"{2 * number}.bias"] = bias
        layers.append("conv:padding=1")
    text = f" | {activation} | ".join(layers)
    path = Path(tempfile.mkdtemp()) / "network.safetensors"
    path.write_bytes(encode_weights(tensors, {"layers": text}))
    x = input_of(network)
    return lambda: apply(f"model:{path}", x, threads=1)


def onnxruntime(network: Network) -> Callable[[], Any]:
    """A session with one thread, and the axes of channels moved as it wants them."""
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(graph_of(network), options)
    x = input_of(network)
    return lambda: session.run(None, {"x": x.transpose(2, 0, 1)[None]})[0][0].transpose(1, 2, 0)


def graph_of(network: Network) -> bytes:
    """The network as an ONNX graph."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = []
    constants = []
    name = "x"
    pairs = weights_of(network)
    for number, (weights, bias) in enumerate(pairs):
        constants.append(numpy_helper.from_array(weights, f"w{number}"))
        constants.append(numpy_helper.from_array(bias, f"b{number}"))
        inputs = [name, f"w{number}", f"b{number}"]
        name = f"c{number}"
        nodes.append(helper.make_node("Conv", inputs, [name], pads=[1, 1, 1, 1]))
        if number + 1 < len(pairs):
            nodes.append(helper.make_node("LeakyRelu", [name], [f"a{number}"], alpha=network.slope))
            name = f"a{number}"
    ends = []
    for end, channels in (("x", network.channels[0]), (name, network.channels[-1])):
        shape = [1, channels, *network.shape]
        ends.append(helper.make_tensor_value_info(end, TensorProto.FLOAT, shape))
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    content: bytes = model.SerializeToString()
    return content


def torch(network: Network) -> Callable[[], Any]:
    """A Sequential in channels-last order, which is the faster one."""
    import torch as t

    t.set_num_threads(1)
    layers: list[Any] = []
    for weights, bias in weights_of(network):
        layer = t.nn.Conv2d(weights.shape[1], weights.shape[0], 3, padding=1)
        layer.load_state_dict({"weight": t.from_numpy(weights), "bias": t.from_numpy(bias)})
        layers += [layer, t.nn.LeakyReLU(network.slope)]
    net = t.nn.Sequential(*layers[:-1]).to(memory_format=t.channels_last)
    x = t.from_numpy(input_of(network)).permute(2, 0, 1)[None]

    def answer() -> Any:
        with t.inference_mode():
            return net(x)[0].permute(1, 2, 0).numpy()

    return answer


def _timed(answer: Callable[[], Any], runs: int) -> tuple[float, Any]:
    y = answer()
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        y = answer()
        seconds.append(time.process_time() - start)
    return min(seconds), y


def lines_of(found: dict[str, Any]) -> list[str]:
    """What was measured, as text."""
    lines = [f"{found['name']}: {found['says']}"]
    ours = min(found["seconds"]["convcli"])
    lines.append(f"  {'convcli':14}{ours:8.3f} s of processor")
    for peer in found["peers"]:
        seconds = min(found["seconds"][peer["name"]])
        wanted = f", {peer['goal']:.2f} to reach" if peer["goal"] else ""
        compared = f"ratio {peer['ratio']:.2f}{wanted}; differs by {peer['difference']:.1e}"
        lines.append(f"  {peer['name']:14}{seconds:8.3f} s of processor  {compared}")
    return lines


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import numpy as np

    _, side, name, place = sys.argv
    network = next(network for network in NETWORKS if network.name == name)
    makers = {"convcli": convcli, "onnxruntime": onnxruntime, "torch": torch}
    cpu, y = _timed(makers[side](network), network.timed)
    np.save(place, y)
    print(json.dumps({"cpu": cpu}))
