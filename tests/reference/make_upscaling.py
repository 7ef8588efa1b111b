"""What torch computes for layers that change the number of samples, for tests/test_models_upscaling.py.

    pip install torch
    python make_upscaling.py

writes torch_upscaling.npz: `texts`, and for each of them its input, state and output. Made with
torch 2.14.1, seed 0.
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
SHAPES = {1: (2, 12), 2: (2, 7, 8)}
COUNT = 160
KINDS = ("transpose", "transpose", "shuffle", "nearest", "linear", "pad", "pool", "pool")
PADS = {
    "zeros": {1: nn.ZeroPad1d, 2: nn.ZeroPad2d},
    "reflect": {1: nn.ReflectionPad1d, 2: nn.ReflectionPad2d},
    "replicate": {1: nn.ReplicationPad1d, 2: nn.ReplicationPad2d},
    "circular": {1: nn.CircularPad1d, 2: nn.CircularPad2d},
}


class Shuffle1d(nn.Module):  # type: ignore[misc]
    """PixelShuffle along one axis, which torch has for pictures alone."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Any) -> Any:
        """Interleave the phases."""
        batch, channels, n = x.shape
        phases = x.reshape(batch, channels // self.factor, self.factor, n)
        return phases.transpose(2, 3).reshape(batch, channels // self.factor, n * self.factor)


class Unshuffle1d(Shuffle1d):
    """PixelUnshuffle along one axis."""

    def forward(self, x: Any) -> Any:
        """Split the phases."""
        batch, channels, n = x.shape
        split = x.reshape(batch, channels, n // self.factor, self.factor)
        return split.transpose(2, 3).reshape(batch, channels * self.factor, n // self.factor)


def transposed(axes: int, channels: int) -> tuple[str, nn.Module, int]:
    """A transposed convolution."""
    stride = random.choice((1, 2, 3))
    dilation = random.choice((1, 1, 2))
    options: dict[str, Any] = {
        "stride": stride,
        "padding": random.choice((0, 1, 2)),
        "dilation": dilation,
        "output_padding": random.randrange(max(stride, dilation)),
        "groups": random.choice((1, channels)),
    }
    size = random.choice((2, 3, 4, 5))
    made = channels * random.choice((1, 2)) if options["groups"] > 1 else random.choice((1, 2, 3))
    kind = nn.ConvTranspose1d if axes == 1 else nn.ConvTranspose2d
    text = "conv_transpose:" + ",".join(f"{name}={value}" for name, value in options.items())
    bias = random.random() < 0.5
    return text, kind(channels, made, size, bias=bias, **options), made


def pooled(axes: int) -> tuple[str, nn.Module]:
    """A pool with padding, dilation, ceil_mode and count_include_pad."""
    size, stride = random.choice((2, 3, 4)), random.choice((1, 2, 3))
    stride = min(stride, size)
    padding, ceil = random.randint(0, size // 2), random.random() < 0.4
    text = f"{size},stride={stride},padding={padding},ceil_mode={str(ceil).lower()}"
    if random.random() < 0.5:
        dilation = random.choice((1, 2))
        mean = nn.MaxPool1d if axes == 1 else nn.MaxPool2d
        layer = mean(size, stride, padding, dilation=dilation, ceil_mode=ceil)
        return f"max_pool:{text},dilation={dilation}", layer
    counted = random.random() < 0.5
    mean = nn.AvgPool1d if axes == 1 else nn.AvgPool2d
    layer = mean(size, stride, padding, ceil_mode=ceil, count_include_pad=counted)
    return f"avg_pool:{text},count_include_pad={str(counted).lower()}", layer


def drawn(axes: int) -> tuple[list[str], list[nn.Module]]:
    """A stack with at least one layer that changes the number of samples."""
    conv = nn.Conv1d if axes == 1 else nn.Conv2d
    texts: list[str] = []
    layers: list[nn.Module] = []
    channels = 2

    def add(text: str, layer: nn.Module) -> None:
        texts.append(text)
        layers.append(layer)

    for _ in range(random.choice((1, 2))):
        kind = random.choice(KINDS)
        if kind == "transpose":
            text, layer, channels = transposed(axes, channels)
            add(text, layer)
        elif kind == "shuffle":
            factor = random.choice((2, 3))
            made = random.choice((1, 2))
            add("conv:padding=1", conv(channels, made * factor**axes, 3, padding=1))
            shuffle = Shuffle1d(factor) if axes == 1 else nn.PixelShuffle(factor)
            add(f"pixel_shuffle:{factor}", shuffle)
            channels = made
        elif kind == "nearest":
            factor = random.choice((2, 3))
            add(f"upsample:{factor}", nn.Upsample(scale_factor=factor))
        elif kind == "linear":
            factor = random.choice((2, 3, 4))
            mode = "linear" if axes == 1 else "bilinear"
            add(f"upsample:{factor},mode={mode}", nn.Upsample(scale_factor=factor, mode=mode))
        elif kind == "pool":
            text, pool = pooled(axes)
            add(text, pool)
        else:
            mode = random.choice(list(PADS))
            side = random.choice((1, 2, 3))
            add(f"pad:{side},mode={mode}", PADS[mode][axes](side))
    made = random.choice((1, 2))
    add("conv", conv(channels, made, 3))
    if random.random() < 0.3:
        layers.insert(0, Unshuffle1d(2) if axes == 1 else nn.PixelUnshuffle(2))
        texts.insert(0, "pixel_unshuffle:2")
        first = conv(2 * 2**axes, 2, 1)
        layers.insert(1, first)
        texts.insert(1, "conv")
    return texts, layers


def main() -> None:
    """Write torch_upscaling.npz."""
    random.seed(0)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    stored: dict[str, Any] = {}
    names: list[str] = []
    while len(names) < COUNT:
        axes = 1 + len(names) % 2
        texts, layers = drawn(axes)
        network = nn.Sequential(*layers)
        sides = [side + side % 2 for side in SHAPES[axes][1:]]
        x = torch.empty(1, 2, *sides).uniform_(-1, 1)
        try:
            with torch.no_grad():
                y = network(x)
        except RuntimeError:  # torch refuses the shapes or the padding
            continue
        number = len(names)
        names.append(" | ".join(texts))
        stored[f"{number}/x"] = x[0].numpy().astype(np.float32)
        network = network.to(torch.float32)
        for name, tensor in network.state_dict().items():
            stored[f"{number}/state/{name}"] = tensor.numpy()
        network = network.to(torch.float64)
        with torch.no_grad():
            y = network(torch.from_numpy(stored[f"{number}/x"])[None].to(torch.float64))
        stored[f"{number}/y"] = y[0].numpy().astype(np.float32)
    np.savez_compressed(HERE / "torch_upscaling.npz", texts=json.dumps(names), **stored)


if __name__ == "__main__":
    main()
