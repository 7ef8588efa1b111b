"""What torch computes for small networks, for tests/test_models.py: `python make_torch.py` with torch 2.13 installed.

Writes torch_models.npz: for every case its layers as text, its input (channels first), the state of the
torch.nn.Sequential by name, and its output.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

CASES: list[tuple[str, int, Any, list[Any]]] = [
    # (text, channels in, samples or (height, width), layers)
    ("conv", 1, 30, [("conv", 1, 5)]),
    ("conv", 2, 30, [("conv", 3, 4)]),
    ("conv:stride=2", 2, 31, [("conv", 3, 5, {"stride": 2})]),
    ("conv:stride=3,dilation=2", 2, 40, [("conv", 2, 3, {"stride": 3, "dilation": 2})]),
    ("conv:padding=2", 1, 30, [("conv", 2, 5, {"padding": 2})]),
    ("conv:padding=1", 2, 30, [("conv", 2, 6, {"padding": 1})]),
    ("conv:padding=4", 1, 20, [("conv", 2, 3, {"padding": 4})]),
    ("conv:padding=same", 2, 30, [("conv", 2, 4, {"padding": "same"})]),
    ("conv:padding=same,dilation=3", 2, 30, [("conv", 2, 4, {"padding": "same", "dilation": 3})]),
    ("conv:groups=2", 4, 30, [("conv", 6, 5, {"groups": 2, "bias": False})]),
    ("conv:groups=4,padding=same", 4, 30, [("conv", 4, 5, {"groups": 4, "padding": "same"})]),
    *(
        (
            f"conv:padding={p},padding_mode={mode},stride={s}",
            2,
            n,
            [("conv", 2, k, {"padding": p, "padding_mode": mode, "stride": s})],
        )
        for mode in ("zeros", "reflect", "replicate", "circular")
        for p, k, s, n in ((2, 5, 1, 23), (3, 4, 2, 24), (1, 3, 4, 12))
    ),
    *(
        (
            f"conv:padding=same,padding_mode={mode}",
            1,
            20,
            [("conv", 1, 6, {"padding": "same", "padding_mode": mode})],
        )
        for mode in ("reflect", "replicate", "circular")
    ),
    ("conv|relu|conv", 2, 40, [("conv", 4, 5), nn.ReLU(), ("conv", 1, 4)]),
    (
        "conv:padding=2|leaky_relu:0.1|conv:padding=same,padding_mode=reflect|tanh|conv:stride=2,padding=1",
        1,
        37,
        [
            ("conv", 4, 5, {"padding": 2}),
            nn.LeakyReLU(0.1),
            ("conv", 3, 4, {"padding": "same", "padding_mode": "reflect"}),
            nn.Tanh(),
            ("conv", 2, 3, {"stride": 2, "padding": 1}),
        ],
    ),
    (
        "conv:padding=same,padding_mode=circular|sigmoid|conv:padding=1,stride=2,padding_mode=circular",
        2,
        26,
        [
            ("conv", 3, 5, {"padding": "same", "padding_mode": "circular"}),
            nn.Sigmoid(),
            ("conv", 2, 3, {"padding": 1, "stride": 2, "padding_mode": "circular"}),
        ],
    ),
    (
        "conv:padding=1|relu|max_pool:3|conv:padding=0|avg_pool:2",
        1,
        41,
        [
            ("conv", 3, 3, {"padding": 1}),
            nn.ReLU(),
            nn.MaxPool1d(3),
            ("conv", 2, 3),
            nn.AvgPool1d(2),
        ],
    ),
    (
        "conv:padding=1|max_pool:3,stride=2|conv",
        1,
        40,
        [("conv", 3, 3, {"padding": 1}), nn.MaxPool1d(3, stride=2), ("conv", 2, 3)],
    ),
    (
        "conv:padding=same|relu|adaptive_avg_pool:4|flatten|dense",
        2,
        30,
        [
            ("conv", 3, 5, {"padding": "same"}),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(4),
            nn.Flatten(),
            ("dense", 12, 5),
        ],
    ),
    (
        "conv:padding=same|relu|adaptive_max_pool:3|conv:padding=1",
        2,
        30,
        [
            ("conv", 3, 5, {"padding": "same"}),
            nn.ReLU(),
            nn.AdaptiveMaxPool1d(3),
            ("conv", 2, 3, {"padding": 1}),
        ],
    ),
    ("conv", 1, (12, 14), [("conv", 1, (3, 5), {"bias": False})]),
    ("conv", 3, (12, 14), [("conv", 2, (3, 4))]),
    (
        "conv:padding=same|relu|conv:padding=1,stride=2",
        3,
        (13, 11),
        [
            ("conv", 4, (3, 3), {"padding": "same"}),
            nn.ReLU(),
            ("conv", 3, (3, 3), {"padding": 1, "stride": 2}),
        ],
    ),
    (
        "conv:padding=2x1,padding_mode=reflect,dilation=2x1|avg_pool:2|conv:padding=1,padding_mode=circular",
        1,
        (15, 12),
        [
            ("conv", 2, (3, 3), {"padding": (2, 1), "padding_mode": "reflect", "dilation": (2, 1)}),
            nn.AvgPool2d(2),
            ("conv", 1, (3, 3), {"padding": 1, "padding_mode": "circular"}),
        ],
    ),
    (
        "conv:padding=1|relu|adaptive_avg_pool:2x3|flatten|dense",
        1,
        (9, 10),
        [
            ("conv", 2, (3, 3), {"padding": 1}),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d((2, 3)),
            nn.Flatten(),
            ("dense", 12, 4),
        ],
    ),
]


def build(channels: int, axes: int, layers: list[Any]) -> nn.Sequential:
    made: list[Any] = []
    for layer in layers:
        if not isinstance(layer, tuple):
            made.append(layer)
        elif layer[0] == "dense":
            made.append(nn.Linear(layer[1], layer[2]))
        else:
            _, out, size, *options = layer
            kind = nn.Conv1d if axes == 1 else nn.Conv2d
            made.append(kind(channels, out, size, **(options[0] if options else {})))
            channels = out
    return nn.Sequential(*made)


def main() -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    arrays, texts = {}, []
    for number, (text, channels, shape, layers) in enumerate(CASES):
        sides = shape if isinstance(shape, tuple) else (shape,)
        x = torch.rand(1, channels, *sides) * 2 - 1
        net = build(channels, len(sides), layers)
        with torch.no_grad():
            y = net(x)[0].numpy()
        texts.append(text)
        arrays[f"{number}/x"] = x[0].numpy().astype(np.float64)
        arrays[f"{number}/y"] = y
        for name, tensor in net.state_dict().items():
            arrays[f"{number}/state/{name}"] = tensor.numpy()
    arrays["texts"] = np.array(json.dumps(texts))
    np.savez_compressed(Path(__file__).with_name("torch_models.npz"), **arrays)


if __name__ == "__main__":
    main()
