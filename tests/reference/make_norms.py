"""What torch computes for activations, batch normalisation and PReLU, for tests/test_models_norms.py.

    pip install torch safetensors
    python make_norms.py

writes torch_norms.npz: `texts`, and for each of them its input, state and output. Made with torch
2.14.1, seed 0. Every network is a Sequential in evaluation, with statistics drawn at random.
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
ACTIVATIONS: dict[str, Any] = {
    "elu": nn.ELU(),
    "elu:0.5": nn.ELU(0.5),
    "gelu": nn.GELU(),
    "silu": nn.SiLU(),
    "softplus": nn.Softplus(threshold=1e9),
    "hardswish": nn.Hardswish(),
    "relu": nn.ReLU(),
}
SHAPES = {1: (2, 23), 2: (2, 9, 11)}
COUNT = 40


def drawn(axes: int) -> tuple[list[str], list[nn.Module]]:
    """A stack of convolutions with normalisations, activations and learned slopes between them."""
    conv = nn.Conv1d if axes == 1 else nn.Conv2d
    norm = nn.BatchNorm1d if axes == 1 else nn.BatchNorm2d
    texts: list[str] = []
    layers: list[nn.Module] = []
    channels = 2
    for _ in range(random.choice((1, 2, 3))):
        if random.random() < 0.5:
            eps, affine = random.choice((1e-5, 1e-3)), random.random() < 0.7
            normal = norm(channels, eps=eps, affine=affine)
            normal.running_mean.uniform_(-1, 1)
            normal.running_var.uniform_(0.2, 2)
            if affine:
                nn.init.uniform_(normal.weight, -2, 2)
                nn.init.uniform_(normal.bias, -1, 1)
            texts.append(f"batch_norm:eps={eps:g}")
            layers.append(normal)
        kind = random.choice((*ACTIVATIONS, "prelu"))
        texts.append(kind)
        if kind == "prelu":
            slopes = nn.PReLU(random.choice((1, channels)))
            nn.init.uniform_(slopes.weight, -0.5, 0.5)
            layers.append(slopes)
        else:
            layers.append(ACTIVATIONS[kind])
        made = random.choice((1, 2, 3))
        padding = random.choice((0, 1))
        texts.append(f"conv:padding={padding}")
        layers.append(conv(channels, made, 3, padding=padding))
        channels = made
    return texts, layers


def main() -> None:
    """Write torch_norms.npz."""
    random.seed(0)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    stored: dict[str, Any] = {}
    names = []
    for number in range(COUNT):
        axes = 1 + number % 2
        texts, layers = drawn(axes)
        network = nn.Sequential(*layers).eval()
        x = torch.empty(1, *SHAPES[axes]).uniform_(-3, 3)
        with torch.no_grad():
            y = network(x)
        names.append(" | ".join(texts))
        stored[f"{number}/x"], stored[f"{number}/y"] = x[0].numpy(), y[0].numpy()
        for name, tensor in network.state_dict().items():
            stored[f"{number}/state/{name}"] = tensor.numpy()
    np.savez_compressed(HERE / "torch_norms.npz", texts=json.dumps(names), **stored)


if __name__ == "__main__":
    main()
