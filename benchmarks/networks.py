"""How much processor time networks take, beside onnxruntime and torch: one thread each, the same graph and weights.

Each side runs in a process of its own, by turns, and tells the processor seconds of its fastest run
and its answer. Reading the graph, the first run and making the input are not counted, except for
whole processes: there everything counts from the start of the interpreter.
`python networks.py SIDE NAME PLACE` is one such process; it writes its answer to PLACE.

torch may be installed for another interpreter: TORCH_PYTHON names it.
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

ONNXRUNTIME = programs.Program("onnxruntime", "pip install onnxruntime", modules=("onnxruntime",))
# `own paths` is convcli as it is without onnxruntime.
SIDES = ("convcli", "own paths", "onnxruntime", "torch")
TORCH_PYTHON = os.environ.get("TORCH_PYTHON", "")
# Largest difference of answers, relative to the largest value.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Block:
    """A convolution and what follows it.

    stride, padding, pool : along the first axis; along all axes where the window is square
    padding : None for as many outputs as inputs, one more zero after them than before for an even
        size
    slope : of the rectifier, None where there is none; norm : batch normalisation follows that one,
        and then a maximum of `pool` samples
    """

    made: int
    size: tuple[int, ...]
    stride: int = 1
    padding: int | None = 1
    slope: float | None = 0.0
    norm: bool = False
    pool: int = 1

    def sides(self, along: int, beside: int) -> list[int]:
        """A number for each axis; that of other axes than the first, where windows are not square."""
        square = len(set(self.size)) == 1
        return [along, *[along if square else beside] * (len(self.size) - 1)]

    @property
    def pads(self) -> list[int]:
        """Zeros before the samples on each axis, and then after them, as ONNX writes them."""
        if self.padding is not None:
            return self.sides(self.padding, 0) * 2
        more = self.size[0] - 1
        return [*self.sides(more // 2, 0), *self.sides(more - more // 2, 0)]


@dataclass(frozen=True)
class Network:
    """A network and its input.

    channels : of the input; shape : of the input, (rows, columns) or (samples,)
    goals : the ratio to reach for each peer; timed : runs that are timed in a process, 0 to time the
        whole process with its first run
    """

    name: str
    says: str
    channels: int
    blocks: tuple[Block, ...]
    shape: tuple[int, ...]
    goals: dict[str, float]
    timed: int = 3
    frames: bool = False

    @property
    def where(self) -> str:
        """What is timed."""
        return "in process" if self.timed else "whole process"


def _plane(*made: int, slope: float) -> tuple[Block, ...]:
    """Windows of 3 x 3 with rectifiers between them."""
    inner = [Block(count, (3, 3), slope=slope) for count in made[:-1]]
    return (*inner, Block(made[-1], (3, 3), slope=None))


VGG7 = _plane(32, 32, 64, 64, 128, 128, 3, slope=0.1)
DNCNN = _plane(*(64,) * 16, 1, slope=0.0)
# CREPE tiny on frames of 1,024 samples. The last layer weighs what is left of a frame.
CREPE = (
    *(
        Block(made, (size, 1), stride=stride, padding=padding, norm=True, pool=2)
        for made, size, stride, padding in (
            (128, 512, 4, 254),
            (16, 64, 1, None),
            (16, 64, 1, None),
            (16, 64, 1, None),
            (32, 64, 1, None),
            (64, 64, 1, None),
        )
    ),
    Block(360, (4, 1), padding=0, slope=None),
)
NETWORKS = (
    Network(
        name="network-vgg7",
        says="VGG7 (3 to 128 channels, 3 x 3, leaky rectifiers) on 512 x 512 RGB",
        channels=3,
        blocks=VGG7,
        shape=(512, 512),
        goals={"onnxruntime": 1.0, "torch": 1.3},
    ),
    Network(
        name="network-vgg7-process",
        says="VGG7 on 512 x 512 RGB",
        channels=3,
        blocks=VGG7,
        shape=(512, 512),
        goals={"onnxruntime": 1.0, "torch": 1.3},
        timed=0,
    ),
    Network(
        name="network-short",
        says="VGG7 on 16 x 16 pixels, again and again",
        channels=3,
        blocks=VGG7,
        shape=(16, 16),
        goals={"onnxruntime": 1 / 3},
        timed=30,
    ),
    Network(
        name="network-small",
        says="5 taps to 4 channels, rectifiers and 1 tap on 256 samples, again and again",
        channels=1,
        blocks=(
            Block(4, (5,), padding=None, slope=0.0),
            Block(1, (1,), padding=None, slope=None),
        ),
        shape=(256,),
        goals={"onnxruntime": 1 / 3},
        timed=300,
    ),
    Network(
        name="network-crepe",
        says="CREPE tiny on 10 s of sound, a frame every 10 ms: 1,001 frames of 1,024 samples",
        channels=1,
        blocks=CREPE,
        shape=(1024, 1001),
        goals={"onnxruntime": 0.7},
        frames=True,
    ),
    Network(
        name="network-dncnn",
        says="DnCNN-17 (64 channels, 3 x 3, rectifiers) on 2 megapixels of grey",
        channels=1,
        blocks=DNCNN,
        shape=(1152, 1736),
        goals={"onnxruntime": 1.0},
        timed=1,
    ),
)


def _present(side: str) -> bool:
    """Whether a side can be run here."""
    if side == "onnxruntime":
        return ONNXRUNTIME.present
    if side == "torch":
        return bool(TORCH_PYTHON) or programs.TORCH.present
    return True


def run(*, only: str = "*", runs: int = 3) -> list[dict[str, Any]]:
    """Measure, print, and return everything."""
    print("\nnetworks: processor seconds of one thread, the fastest of the runs")
    wanted = [network for network in NETWORKS if fnmatch.fnmatch(network.name, only)]
    return [_measured(network, runs) for network in wanted]


def _measured(network: Network, runs: int) -> dict[str, Any]:
    sides = [side for side in SIDES if _present(side)]
    series: dict[str, list[float]] = {side: [] for side in sides}
    answers: dict[str, Any] = {}
    for _ in range(runs):
        for side in sides:
            seconds, answers[side] = _one_run(side, network)
            series[side].append(seconds)
    print(f"\n{network.name}: {network.says}, {network.where}")
    ours = min(series["convcli"])
    found: dict[str, Any] = {
        "name": network.name,
        "says": network.says,
        "where": network.where,
        "machine": programs.machine(),
        "seconds": series,
        "peers": [],
        "agrees": True,
    }
    for side in sides:
        ratio = min(series[side]) / ours
        differs = _difference(answers["convcli"], answers[side])
        print(f"  {side:14}{min(series[side]):9.5f} s  ratio {ratio:.2f}  differs by {differs:.1e}")
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

    python = sys.executable
    if side == "torch" and TORCH_PYTHON:
        python = TORCH_PYTHON
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "answer.npy"
        command = [python, __file__, side, network.name, str(place)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=_environment())
        told = process.stdout.read() if process.stdout else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        seconds = json.loads(told)["cpu"]
        if not network.timed:
            seconds = usage.ru_utime + usage.ru_stime
        return seconds, np.load(place)


def _environment() -> dict[str, str]:
    return {**os.environ, **programs.environment(), "OPENBLAS_NUM_THREADS": "1"}


# ---------------------------------------------------------------------------------------- the sides


def weights_of(network: Network) -> list[dict[str, Any]]:
    """The tensors of each block from a seed: weight, bias, and those of the normalisation."""
    import numpy as np

    random = np.random.default_rng(1)
    found = []
    given = network.channels
    for block in network.blocks:
        shape = (block.made, given, *block.size)
        scale = np.sqrt(2 / np.prod(shape[1:]))
        tensors = {
            "weight": random.normal(0, scale, shape),
            "bias": random.normal(0, 0.05, block.made),
        }
        if block.norm:
            for name in ("scale", "shift", "mean", "variance"):
                tensors[name] = random.uniform(0.5, 1.5, block.made)
        found.append({name: tensor.astype(np.float32) for name, tensor in tensors.items()})
        given = block.made
    return found


def input_of(network: Network) -> Any:
    """The input, (rows, columns, channels) or (samples, channels)."""
    import numpy as np

    shape = (*network.shape, network.channels)
    return np.random.default_rng(0).random(shape, np.float32)


def channels_first(network: Network, x: Any) -> Any:
    """A batch with the channels before the sample axes; of one signal, or of all frames."""
    import numpy as np

    if network.frames:
        return np.ascontiguousarray(np.transpose(x, (1, 2, 0))[..., None])
    return np.moveaxis(x, -1, 0)[None]


def channels_last(network: Network, y: Any) -> Any:
    """The only signal of a batch, or all frames side by side, with the channels last."""
    import numpy as np

    if network.frames:
        return np.transpose(y[..., 0], (2, 0, 1))
    return np.moveaxis(y[0], 0, -1)


def network_file(network: Network, folder: Path) -> Path:
    """The network as a safetensors file, which says its layers."""
    from convcli.layers.weights import encode_weights

    tensors = {}
    layers: list[str] = []
    for block, given in zip(network.blocks, weights_of(network), strict=True):
        for name in ("weight", "bias"):
            tensors[f"{len(layers)}.{name}"] = given[name]
        layers.append(
            f"conv:stride={_text(block.sides(block.stride, 1))},padding={_padding(block)}"
        )
        if block.slope is not None:
            layers.append(f"leaky_relu:{block.slope}" if block.slope else "relu")
        if block.norm:
            names = {"scale": "weight", "shift": "bias", "mean": "running_mean"}
            for name, stored in {**names, "variance": "running_var"}.items():
                tensors[f"{len(layers)}.{stored}"] = given[name]
            layers.append("batch_norm")
        if block.pool > 1:
            layers.append(f"max_pool:{_text(block.sides(block.pool, 1))}")
    path = folder / "network.safetensors"
    path.write_bytes(encode_weights(tensors, {"layers": " | ".join(layers)}))
    return path


def _text(sides: list[int]) -> str:
    """Numbers of several axes as they are written in a FILTER."""
    return "x".join(map(str, sides))


def _padding(block: Block) -> str:
    return "same" if block.padding is None else _text(block.sides(block.padding, 0))


def convcli(network: Network) -> Callable[[], Any]:
    """`convcli.apply` with a safetensors file."""
    from convcli import apply

    path = network_file(network, Path(tempfile.mkdtemp()))
    x = input_of(network)
    if network.timed > 3:
        # Plans of files that were just written are not kept.
        time.sleep(3.1)
    return lambda: apply(f"model:{path}", x, threads=1)


def own_paths(network: Network) -> Callable[[], Any]:
    """convcli as it is without onnxruntime."""
    from convcli.layers.onnx import sessions

    sessions._installed = lambda: False  # type: ignore[assignment]
    return convcli(network)


def onnxruntime(network: Network) -> Callable[[], Any]:
    """A session with one thread, and the axes of channels moved as it wants them."""
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(graph_of(network), options)
    x = input_of(network)
    return lambda: channels_last(network, session.run(None, {"x": channels_first(network, x)})[0])


def graph_of(network: Network) -> bytes:
    """The network as an ONNX graph."""
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    constants = []

    def add(kind: str, *arrays: Any, **attributes: Any) -> None:
        before = nodes[-1].output[0] if nodes else "x"
        names = [f"{len(nodes)}.{place}" for place in range(len(arrays))]
        for name, array in zip(names, arrays, strict=True):
            constants.append(numpy_helper.from_array(array, name))
        nodes.append(helper.make_node(kind, [before, *names], [f"y{len(nodes)}"], **attributes))

    for block, given in zip(network.blocks, weights_of(network), strict=True):
        strides = block.sides(block.stride, 1)
        add("Conv", given["weight"], given["bias"], pads=block.pads, strides=strides)
        if block.slope:
            add("LeakyRelu", alpha=block.slope)
        elif block.slope is not None:
            add("Relu")
        if block.norm:
            names = ("scale", "shift", "mean", "variance")
            add("BatchNormalization", *(given[name] for name in names), epsilon=1e-5)
        if block.pool > 1:
            pool = block.sides(block.pool, 1)
            add("MaxPool", kernel_shape=pool, strides=pool)
    value = helper.make_tensor_value_info
    x = value("x", TensorProto.FLOAT, channels_first(network, input_of(network)).shape)
    y = value(nodes[-1].output[0], TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "network", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    content: bytes = model.SerializeToString()
    return content


def torch(network: Network) -> Callable[[], Any]:
    """A Sequential in channels-last order for pictures, which is the faster one there."""
    import torch as t

    t.set_num_threads(1)
    conv, norm, pool = t.nn.Conv2d, t.nn.BatchNorm2d, t.nn.MaxPool2d
    if len(network.blocks[0].size) == 1:
        conv, norm, pool = t.nn.Conv1d, t.nn.BatchNorm1d, t.nn.MaxPool1d
    layers: list[Any] = []
    for block, given in zip(network.blocks, weights_of(network), strict=True):
        out, taken, *size = given["weight"].shape
        some = {name: t.from_numpy(tensor) for name, tensor in given.items()}
        padding = "same" if block.padding is None else tuple(block.sides(block.padding, 0))
        stride = tuple(block.sides(block.stride, 1))
        layer = conv(taken, out, tuple(size), stride=stride, padding=padding)
        layer.load_state_dict({name: some[name] for name in ("weight", "bias")})
        layers.append(layer)
        if block.slope is not None:
            layers.append(t.nn.LeakyReLU(block.slope) if block.slope else t.nn.ReLU())
        if block.norm:
            layer = norm(out)
            names = ("weight", "bias", "running_mean", "running_var")
            stored = ("scale", "shift", "mean", "variance")
            pairs = zip(names, stored, strict=True)
            layer.load_state_dict({name: some[each] for name, each in pairs}, strict=False)
            layers.append(layer)
        if block.pool > 1:
            layers.append(pool(tuple(block.sides(block.pool, 1))))
    net = t.nn.Sequential(*layers).eval()
    x = t.from_numpy(channels_first(network, input_of(network)))
    if len(network.shape) == 2 and not network.frames:
        net = net.to(memory_format=t.channels_last)

    def answer() -> Any:
        with t.inference_mode():
            return channels_last(network, net(x).numpy())

    return answer


MAKERS = {
    "convcli": convcli,
    "own paths": own_paths,
    "onnxruntime": onnxruntime,
    "torch": torch,
}


def _timed(answer: Callable[[], Any], runs: int) -> tuple[float, Any]:
    """The fastest of some runs after a first one; the first one alone where there are none."""
    y = answer()
    seconds = [0.0] * (not runs)
    for _ in range(runs):
        start = time.process_time()
        y = answer()
        seconds.append(time.process_time() - start)
    return min(seconds), y


def lines_of(found: dict[str, Any]) -> list[str]:
    """What was measured, as text."""
    lines = [f"{found['name']}: {found['says']}, {found['where']}", f"  {found['machine']}"]
    ours = min(found["seconds"]["convcli"])
    lines.append(f"  {'convcli':14}{ours:10.6f} s of processor")
    for peer in found["peers"]:
        seconds = min(found["seconds"][peer["name"]])
        wanted = f", {peer['goal']:.2f} to reach" if peer["goal"] else ""
        compared = f"ratio {peer['ratio']:.2f}{wanted}; differs by {peer['difference']:.1e}"
        lines.append(f"  {peer['name']:14}{seconds:10.6f} s of processor  {compared}")
    return lines


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import numpy as np

    _, side, name, place = sys.argv
    network = next(network for network in NETWORKS if network.name == name)
    cpu, y = _timed(MAKERS[side](network), network.timed)
    np.save(place, y)
    print(json.dumps({"cpu": cpu}))
