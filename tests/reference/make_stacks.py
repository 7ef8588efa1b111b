"""What torch computes for stacks of layers with and without padding, for tests/test_models_stacks.py.

Made by `python make_stacks.py` with torch 2.13.0. Writes torch_stacks.npz: `texts`, and for each of them its input,
state and output. The stacks are drawn at random, seed 0; each has a conv that pads and one that does not.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent
MODES = ("zeros", "reflect", "replicate", "circular")
ACTIVATIONS: dict[str, nn.Module] = {
    "relu": nn.ReLU(),
    "leaky_relu:0.1": nn.LeakyReLU(0.1),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
}
SHAPES = {1: (2, 41), 2: (2, 17, 19)}
COUNT = 40


def conv(axes: int, channels: int, *, padded: bool) -> tuple[str, nn.Module]:
    """A conv with or without padding, from `channels` to two channels."""
    size, stride, dilation = (
        random.choice((1, 2, 3, 5)),
        random.choice((1, 1, 2)),
        random.choice((1, 2)),
    )
    options: dict[str, Any] = {"stride": stride, "dilation": dilation}
    if padded:
        options |= {"padding": random.choice((0, 1, 2)), "padding_mode": random.choice(MODES)}
    text = "conv:" + ",".join(f"{name}={value}" for name, value in options.items())
    kind = nn.Conv1d if axes == 1 else nn.Conv2d
    return text, kind(channels, 2, size, **options)


def pool(axes: int) -> tuple[str, nn.Module]:
    """A mean or a maximum of windows, side by side or not."""
    kinds = {
        ("avg_pool", 1): nn.AvgPool1d,
        ("avg_pool", 2): nn.AvgPool2d,
        ("max_pool", 1): nn.MaxPool1d,
        ("max_pool", 2): nn.MaxPool2d,
    }
    name, size, stride = (
        random.choice(("avg_pool", "max_pool")),
        random.choice((2, 3)),
        random.choice((1, 2, 3)),
    )
    return f"{name}:{size},stride={stride}", kinds[name, axes](size, stride)


def stack(axes: int) -> tuple[str, nn.Sequential]:
    """Layers in a random order."""
    layers = [
        conv(axes, 2, padded=True),
        conv(axes, 2, padded=False),
        conv(axes, 2, padded=random.random() < 0.5),
    ]
    layers += [pool(axes), random.choice(list(ACTIVATIONS.items()))]
    random.shuffle(layers)
    return " | ".join(text for text, _ in layers), nn.Sequential(*(layer for _, layer in layers))


def main() -> None:
    random.seed(0)
    torch.manual_seed(0)
    texts: list[str] = []
    arrays: dict[str, Any] = {}
    while len(texts) < COUNT:
        axes = 1 + len(texts) % 2
        text, net = stack(axes)
        x = torch.rand(1, *SHAPES[axes]) * 2 - 1
        try:
            with torch.no_grad():
                y = net(x)[0].numpy()
        except RuntimeError:  # nothing is left of the signal
            continue
        number = len(texts)
        texts.append(text)
        arrays[f"{number}/x"], arrays[f"{number}/y"] = x[0].numpy(), y
        arrays |= {
            f"{number}/state/{name}": tensor.numpy() for name, tensor in net.state_dict().items()
        }
    np.savez_compressed(HERE / "torch_stacks.npz", texts=np.array(json.dumps(texts)), **arrays)


if __name__ == "__main__":
    main()
