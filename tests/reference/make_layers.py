"""What torch computes for every layer and every combination of its arguments, for tests/test_models_layers.py.

Made by `python make_layers.py` with torch 2.13.0 and safetensors 0.8.0. Writes torch_layers.npz:

* `layers`: texts of single conv layers, each with its number of axes, groups and bias. All of one number of axes share
  an input, and all of one number of groups their weights, which are those of the first.
* `networks`: texts of stacks with pools that see everything and dense layers, each with its input, state and output.
* `ours`: files that `convcli learn` wrote, as safetensors.torch and torch.nn.Sequential take them, and what came out:
    convcli learn hello_noisy.wav hello.wav --layers "conv:4,5 | leaky_relu:0.1 | avg_pool:2 | conv:1,3" --epochs 2 \\
        -o ours_sound.safetensors
    convcli learn cat_noisy.png cat.png --layers "conv:3,3x3 | relu | conv:1,3x3,bias=false" --epochs 2 \\
        -o ours_picture.safetensors
    convcli learn hello_noisy.wav hello.wav --taps 9 -o ours_filter.safetensors
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

HERE = Path(__file__).parent
CONV = {1: nn.Conv1d, 2: nn.Conv2d}
SIDES = {1: (13,), 2: (7, 8)}
KERNEL = {1: (3,), 2: (3, 2)}
CHANNELS = 4
MODES = ("zeros", "reflect", "replicate", "circular")


def combinations() -> list[tuple[str, int, int, bool, dict[str, Any]]]:
    """Stride, padding, its mode, dilation, groups and bias, each with each."""
    found = []
    paddings: list[Any] = [None, *itertools.product((2, "same"), MODES)]
    for axes, stride, padding, dilation, groups, bias in itertools.product(
        (1, 2), (1, 2), paddings, (1, 2), (1, 2), (True, False)
    ):
        options: dict[str, Any] = {"stride": stride, "dilation": dilation}
        if padding is not None:
            options |= dict(zip(("padding", "padding_mode"), padding, strict=True))
        if options.get("padding") == "same" and stride > 1:  # which torch has not
            continue
        text = ",".join(
            ["conv:groups=" + str(groups), *(f"{name}={value}" for name, value in options.items())]
        )
        found.append((text, axes, groups, bias, options))
    return found


def single(arrays: dict[str, Any]) -> list[Any]:
    """The outputs of all combinations."""
    told = []
    states: dict[Any, Any] = {}
    inputs = {axes: torch.rand(1, CHANNELS, *SIDES[axes]) * 2 - 1 for axes in (1, 2)}
    for number, (text, axes, groups, bias, options) in enumerate(combinations()):
        layer = CONV[axes](CHANNELS, 2, KERNEL[axes], groups=groups, bias=bias, **options)
        state = states.setdefault((axes, groups), layer.state_dict())  # the first has a bias
        layer.load_state_dict({name: state[name] for name in layer.state_dict()})
        with torch.no_grad():
            arrays[f"layer/{number}/y"] = layer(inputs[axes])[0].numpy()
        told.append([text, axes, groups, bias])
    for axes, x in inputs.items():
        arrays[f"layer/x/{axes}"] = x[0].numpy()
    for (axes, groups), state in states.items():
        for name, tensor in state.items():
            arrays[f"layer/{name}/{axes}/{groups}"] = tensor.numpy()
    return told


NETWORKS: list[tuple[str, tuple[int, ...], list[Any]]] = [
    # (layers, (channels, samples...), modules)
    ("conv:padding=1 | relu | global_avg_pool | flatten | dense", (2, 19), [
        nn.Conv1d(2, 3, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(3, 4)]),
    ("conv:padding=2,padding_mode=circular | tanh | global_max_pool", (1, 17), [
        nn.Conv1d(1, 3, 5, padding=2, padding_mode="circular"), nn.Tanh(), nn.AdaptiveMaxPool1d(1)]),
    ("conv:stride=2 | sigmoid | adaptive_avg_pool:5 | conv:padding=same | adaptive_max_pool:2", (2, 30), [
        nn.Conv1d(2, 4, 3, stride=2), nn.Sigmoid(), nn.AdaptiveAvgPool1d(5), nn.Conv1d(4, 2, 3, padding="same"),
        nn.AdaptiveMaxPool1d(2)]),
    ("conv | relu | flatten | dense | tanh | dense:2", (2, 14), [
        nn.Conv1d(2, 3, 4), nn.ReLU(), nn.Flatten(), nn.Linear(33, 5), nn.Tanh(), nn.Linear(5, 2, bias=False)]),
    ("conv | max_pool:3,stride=2 | flatten | dense", (1, 20), [
        nn.Conv1d(1, 2, 3), nn.MaxPool1d(3, 2), nn.Flatten(), nn.Linear(16, 3)]),
    ("avg_pool:2 | flatten | dense", (3, 11), [nn.AvgPool1d(2), nn.Flatten(), nn.Linear(15, 2)]),
    ("conv:padding=1 | leaky_relu:0.2 | global_avg_pool | flatten | dense", (3, 9, 7), [
        nn.Conv2d(3, 4, 3, padding=1), nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)]),
    ("conv:padding=1x2,padding_mode=reflect | relu | global_max_pool", (1, 8, 9), [
        nn.Conv2d(1, 3, (3, 5), padding=(1, 2), padding_mode="reflect"), nn.ReLU(), nn.AdaptiveMaxPool2d(1)]),
    ("conv:padding=same | adaptive_avg_pool:3x2 | conv:padding=1 | adaptive_max_pool:2 | flatten | dense", (2, 10, 9), [
        nn.Conv2d(2, 3, 3, padding="same"), nn.AdaptiveAvgPool2d((3, 2)), nn.Conv2d(3, 2, 3, padding=1),
        nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(8, 2)]),
    ("conv:stride=2x1 | relu | max_pool:2 | flatten | dense", (1, 12, 10), [
        nn.Conv2d(1, 2, 3, stride=(2, 1)), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)]),
    # A circle needs its end where what comes after it leaves the end out.
    ("conv:padding=1,padding_mode=circular | conv:stride=5", (2, 24), [
        nn.Conv1d(2, 3, 3, padding=1, padding_mode="circular"), nn.Conv1d(3, 2, 1, stride=5)]),
    ("conv:padding=same,padding_mode=circular | conv:padding=1,padding_mode=circular,stride=3 | max_pool:2,stride=3",
     (1, 17), [
        nn.Conv1d(1, 3, 3, padding="same", padding_mode="circular", dilation=1),
        nn.Conv1d(3, 2, 1, padding=1, padding_mode="circular", stride=3), nn.MaxPool1d(2, 3)]),
    ("conv:padding=same,padding_mode=circular | max_pool:2x3,stride=3 | avg_pool:2x1,stride=2", (1, 18, 29), [
        nn.Conv2d(1, 2, (3, 1), padding="same", padding_mode="circular"), nn.MaxPool2d((2, 3), 3),
        nn.AvgPool2d((2, 1), 2)]),
]  # fmt: skip


def networks(arrays: dict[str, Any]) -> list[str]:
    """Inputs, states and outputs of the stacks."""
    for number, (_, shape, layers) in enumerate(NETWORKS):
        net, x = nn.Sequential(*layers), torch.rand(1, *shape) * 2 - 1
        with torch.no_grad():
            y = net(x)[0].numpy()
        arrays[f"{number}/x"], arrays[f"{number}/y"] = x[0].numpy(), y
        arrays |= {
            f"{number}/state/{name}": tensor.numpy() for name, tensor in net.state_dict().items()
        }
    return [text for text, _, _ in NETWORKS]


OURS: dict[str, tuple[tuple[int, ...], list[Any]]] = {
    "ours_sound": (
        (1, 40),
        [nn.Conv1d(1, 4, 5), nn.LeakyReLU(0.1), nn.AvgPool1d(2), nn.Conv1d(4, 1, 3)],
    ),
    "ours_picture": ((1, 12, 11), [nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 1, 3, bias=False)]),
    "ours_filter": ((1, 30), [nn.Conv1d(1, 1, 9, bias=False)]),
}


def ours(arrays: dict[str, Any]) -> list[str]:
    """What a Sequential makes of our files; a name or a shape too many or too few is an error here."""
    for name, (shape, layers) in OURS.items():
        net = nn.Sequential(*layers)
        state = load_file(HERE / f"{name}.safetensors")
        net.to(next(iter(state.values())).dtype).load_state_dict(state, strict=True)
        x = (torch.rand(1, *shape) * 2 - 1).to(net[0].weight.dtype)
        with torch.no_grad():
            arrays[f"{name}/x"], arrays[f"{name}/y"] = x[0].numpy(), net(x)[0].numpy()
    return list(OURS)


def main() -> None:
    torch.manual_seed(0)
    arrays: dict[str, Any] = {}
    arrays["layers"] = np.array(json.dumps(single(arrays)))
    arrays["networks"] = np.array(json.dumps(networks(arrays)))
    arrays["ours"] = np.array(json.dumps(ours(arrays)))
    np.savez_compressed(HERE / "torch_layers.npz", **arrays)


if __name__ == "__main__":
    main()
