"""How torch trains networks of all layers that convcli trains, for tests/test_gradients.py.

    pip install torch
    python make_losses.py

writes torch_losses.npz: `texts`, and for each of them the windows, the targets, the first weights,
the mean squared errors of STEPS steps of AdamW, and the weights after them. Made with torch 2.14.1,
seed 0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent
STEPS = 6
DECAY = 0.01
RATE = 0.01

# The layers as convcli writes them. None reads a padding, which training never sees.
NETWORKS: dict[str, list[nn.Module]] = {
    "conv:4,5 | prelu:4 | conv:1,3": [nn.Conv1d(2, 4, 5), nn.PReLU(4), nn.Conv1d(4, 1, 3)],
    "conv:4,4,stride=2 | silu | conv_transpose:1,4,stride=2,padding=2": [
        nn.Conv1d(2, 4, 4, stride=2),
        nn.SiLU(),
        nn.ConvTranspose1d(4, 1, 4, stride=2, padding=2),
    ],
    "max_pool:2 | conv:4,3,dilation=2 | gelu | upsample:2 | conv:1,3": [
        nn.MaxPool1d(2),
        nn.Conv1d(2, 4, 3, dilation=2),
        nn.GELU(),
        nn.Upsample(scale_factor=2),
        nn.Conv1d(4, 1, 3),
    ],
    "conv:4,3,groups=2 | elu:0.5 | max_pool:3,stride=1,dilation=2 | hardswish | conv:1,1": [
        nn.Conv1d(2, 4, 3, groups=2),
        nn.ELU(0.5),
        nn.MaxPool1d(3, 1, dilation=2),
        nn.Hardswish(),
        nn.Conv1d(4, 1, 1),
    ],
    "pixel_unshuffle:2 | conv:4,3x3 | prelu | softplus | conv:4,1x1 | pixel_shuffle:2": [
        nn.PixelUnshuffle(2),
        nn.Conv2d(8, 4, 3),
        nn.PReLU(),
        nn.Softplus(),
        nn.Conv2d(4, 4, 1),
        nn.PixelShuffle(2),
    ],
    # Twice as many outputs as inputs.
    "conv:4,3 | prelu:4 | conv_transpose:1,4,stride=2,padding=2": [
        nn.Conv1d(2, 4, 3),
        nn.PReLU(4),
        nn.ConvTranspose1d(4, 1, 4, stride=2, padding=2),
    ],
    "conv:4,3x3 | silu | conv:4,2x2 | pixel_shuffle:2": [
        nn.Conv2d(2, 4, 3),
        nn.SiLU(),
        nn.Conv2d(4, 4, 2),
        nn.PixelShuffle(2),
    ],
}
SIDES = {1: (24,), 2: (10, 12)}


def trained(layers: list[nn.Module], axes: int) -> dict[str, Any]:
    """Windows, targets, weights before and after, and the errors on the way."""
    net = nn.Sequential(*layers)
    x = torch.empty(3, 2, *SIDES[axes]).uniform_(-1, 1)
    y = torch.empty_like(net(x)).uniform_(-1, 1)
    stored = {"x": x, "y": y}
    for name, tensor in net.state_dict().items():
        stored[f"first/{name}"] = tensor.clone()
    decaying = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim == 1]
    groups = [{"params": decaying, "weight_decay": DECAY}, {"params": others, "weight_decay": 0}]
    descent = torch.optim.AdamW(groups, lr=RATE)
    losses = []
    for _ in range(STEPS):
        descent.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        descent.step()
        losses.append(loss.item())
    for name, tensor in net.state_dict().items():
        stored[f"last/{name}"] = tensor
    return {name: t.detach().numpy() for name, t in stored.items()} | {"losses": losses}


def main() -> None:
    """Write torch_losses.npz."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    stored: dict[str, Any] = {}
    for number, (text, layers) in enumerate(NETWORKS.items()):
        for layer in layers:
            layer.to(torch.float64)
            if hasattr(layer, "reset_parameters") and not isinstance(layer, nn.PReLU):
                layer.reset_parameters()
        axes = 2 if "x" in text.split("conv:")[1].split("|")[0] else 1
        for name, array in trained(layers, axes).items():
            stored[f"{number}/{name}"] = array
    np.savez_compressed(HERE / "torch_losses.npz", texts=json.dumps(list(NETWORKS)), **stored)


if __name__ == "__main__":
    main()
