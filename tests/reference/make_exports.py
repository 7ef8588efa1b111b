"""Networks as torch exports them to ONNX, by both of its exporters, and what torch computes.

    pip install torch onnx onnxscript
    python make_exports.py

writes torch_exports.npz for tests/test_models_exported.py: the files, stripped of notes on where a
node comes from, and an input and an output for each network. Made with torch 2.14.1 (circular
and windows with 2.13.0), onnxscript 0.7.2, seed 0.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional

HERE = Path(__file__).parent


def block(given: int, made: int, size: int = 3, **options: Any) -> nn.Sequential:
    """A convolution that keeps the length, a normalisation and a rectifier."""
    padding = (size - 1) // 2 * options.get("dilation", 1)
    conv = nn.Conv2d(given, made, size, padding=padding, bias=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2d(made), nn.ReLU6())


class Sum(nn.Module):  # type: ignore[misc]
    """What layers make, added to their input."""

    def __init__(self, *layers: nn.Module, sign: float = 1, short: nn.Module | None = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.sign = sign
        self.short = short or nn.Identity()

    def forward(self, x: Any) -> Any:
        return self.short(x) + self.sign * self.layers(x)


class UNet(nn.Module):  # type: ignore[misc]
    """One level; `sized`: brought to the size of what it is put beside."""

    def __init__(self, *, sized: bool) -> None:
        super().__init__()
        self.sized = sized
        self.down = block(3, 4)
        self.inside = block(4, 4)
        self.up = nn.ConvTranspose2d(4, 4, 2, 2)
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, x: Any) -> Any:
        fine = self.down(x)
        coarse = self.inside(functional.max_pool2d(fine, 2))
        if self.sized:
            coarse = functional.interpolate(coarse, size=fine.shape[2:])
        else:
            coarse = self.up(coarse)
        return self.last(torch.cat([fine, coarse], 1))


class Trimmed(nn.Module):  # type: ignore[misc]
    """The first samples, without so many at the end."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: Any) -> Any:
        return x[:, :, : -self.count].contiguous()


def causal(channels: int, dilation: int) -> nn.Module:
    """A block of a temporal network, with a normalised weight."""
    normed = nn.utils.parametrizations.weight_norm
    padding = 2 * dilation
    conv = nn.Conv1d(channels, channels, 3, padding=padding, dilation=dilation)
    return Sum(normed(conv), Trimmed(padding), nn.ReLU())


class Gated(nn.Module):  # type: ignore[misc]
    """A block as in WaveNet; `chunks`: the halves by `chunk`, else by slices."""

    def __init__(self, dilation: int, *, chunks: bool) -> None:
        super().__init__()
        self.chunks = chunks
        self.both = nn.Conv1d(4, 8, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(4, 4, 1)

    def forward(self, x: Any) -> Any:
        both = self.both(x)
        one, other = both.chunk(2, 1) if self.chunks else (both[:, :4], both[:, 4:])
        return x + self.mix(torch.tanh(one) * torch.sigmoid(other))


class Upscaled(nn.Module):  # type: ignore[misc]
    """A network on a picture that was made larger by interpolation."""

    def __init__(self, *layers: nn.Module, mode: str) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.mode = mode

    def forward(self, x: Any) -> Any:
        larger = functional.interpolate(x, scale_factor=2, mode=self.mode, align_corners=False)
        return self.layers(larger)


class Fire(nn.Module):  # type: ignore[misc]
    """A block of SqueezeNet."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze, self.one = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 3, 1)
        self.nine = nn.Conv2d(2, 3, 3, padding=1)

    def forward(self, x: Any) -> Any:
        x = functional.relu(self.squeeze(x))
        return torch.cat([functional.relu(self.one(x)), functional.relu(self.nine(x))], 1)


class Separated(nn.Module):  # type: ignore[misc]
    """Encoder, mask and decoder as in Conv-TasNet, normalised frame by frame."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv1d(1, 6, 8, 4, bias=False)
        self.inside = nn.Conv1d(6, 6, 3, padding=2, dilation=2, groups=6)
        self.decoder = nn.ConvTranspose1d(6, 1, 8, 4, bias=False)

    def forward(self, x: Any) -> Any:
        coded = functional.relu(self.encoder(x))
        centred = coded - coded.mean(1, keepdim=True)
        normal = centred / torch.sqrt((centred**2).mean(1, keepdim=True) + 1e-6)
        return self.decoder(coded * torch.sigmoid(self.inside(normal)))


class ShuffledChannels(nn.Module):  # type: ignore[misc]
    """A block of ShuffleNet."""

    def __init__(self) -> None:
        super().__init__()
        self.groups = nn.Conv2d(4, 6, 1, groups=2)
        self.each = nn.Conv2d(6, 6, 3, padding=1, groups=6)

    def forward(self, x: Any) -> Any:
        y = self.groups(x)
        batch, channels, height, width = y.shape
        turned = y.view(batch, 2, channels // 2, height, width).transpose(1, 2)
        return self.each(turned.reshape(batch, channels, height, width))


class Attention(nn.Module):  # type: ignore[misc]
    """The mean and the largest of the channels weigh each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.weigh = nn.Conv2d(3, 4, 3), nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: Any) -> Any:
        y = self.first(x)
        both = torch.cat([y.mean(1, keepdim=True), y.amax(1, keepdim=True)], 1)
        return (y * torch.sigmoid(self.weigh(both))).softmax(1)


class Cropped(nn.Module):  # type: ignore[misc]
    """Convolutions without padding, and the input cut to their size."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: Any) -> Any:
        y = self.first(x)
        return torch.maximum(functional.pad(y, (-1, -1, -1, -1)), self.second(y))


class Windows(nn.Module):  # type: ignore[misc]
    """Windows of 2 x 2 pixels become channels, which come last, and pixels again.

    Each half is written as a Reshape, or as slices or a Reshape of values with the channels last.
    """

    def __init__(self, *, sliced: bool) -> None:
        super().__init__()
        self.sliced = sliced
        self.norm, self.last = nn.LayerNorm(12), nn.Conv2d(3, 3, 3)
        self.wide, self.back = nn.Linear(12, 16), nn.Linear(16, 12)

    def forward(self, x: Any) -> Any:
        batch, channels, height, width = x.shape
        if self.sliced:
            y = x.permute(0, 2, 3, 1)
            parts = [y[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
            y = torch.cat(parts, -1)
        else:
            y = x.view(batch, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
            y = y.reshape(batch, height // 2, width // 2, 4 * channels)
        y = self.back(functional.gelu(self.wide(self.norm(y)))) + y
        y = y.view(batch, height // 2, width // 2, 2, 2, channels).permute(0, 1, 3, 2, 4, 5)
        return self.last(y.reshape(batch, height, width, channels).permute(0, 3, 1, 2))


def circular() -> nn.Sequential:
    """Layers that pad with the other end, along both axes and along one."""
    round_it = {"padding_mode": "circular"}
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, **round_it),
        nn.LeakyReLU(0.1),
        nn.Conv2d(4, 2, (5, 1), padding=(2, 0), **round_it),
        nn.CircularPad2d((2, 0, 0, 1)),
    )


ACTIVATIONS = (
    nn.SiLU(), nn.GELU(), nn.Mish(), nn.Hardswish(), nn.Hardsigmoid(), nn.Softplus(), nn.SELU(),
    nn.CELU(0.7), nn.Hardtanh(), nn.Softsign(), nn.GELU("tanh"), nn.LogSigmoid(), nn.Softshrink(0.1),
)  # fmt: skip


def activations() -> nn.Sequential:
    """One activation after the other."""
    layers: list[nn.Module] = [nn.Conv1d(1, 3, 1)]
    for function in ACTIVATIONS:
        layers += [nn.Conv1d(3, 3, 3, padding=1), function]
    return nn.Sequential(*layers)


def residual(given: int, made: int) -> nn.Module:
    """A block of ResNet with a stride."""
    short = nn.Conv2d(given, made, 1, 2)
    inner = nn.Conv2d(given, made, 3, 2, 1), nn.BatchNorm2d(made), nn.ReLU()
    return nn.Sequential(Sum(*inner, block(made, made), short=short), nn.ReLU())


def networks() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Each network with the shape of its input, without the batch."""
    plane, line = (3, 12, 16), (1, 40)
    depthwise = block(3, 6, 1), block(6, 6, groups=6), nn.Conv2d(6, 3, 1)
    return {
        "unet": (UNet(sized=False), plane),
        "unet of sizes": (UNet(sized=True), plane),
        "resnet": (nn.Sequential(nn.MaxPool2d(3, 2, 1), residual(3, 4)), plane),
        "mobilenet": (Sum(*depthwise), plane),
        "temporal": (nn.Sequential(causal(2, 1), causal(2, 2), nn.Conv1d(2, 1, 1)), (2, 40)),
        "gated": (nn.Sequential(nn.Conv1d(1, 4, 1), Gated(1, chunks=False)), line),
        "gated by chunks": (nn.Sequential(nn.Conv1d(1, 4, 1), Gated(2, chunks=True)), line),
        "gated linear": (nn.Sequential(nn.Conv1d(1, 6, 5), nn.GLU(1)), line),
        "edsr": (nn.Sequential(Sum(block(3, 3)), nn.Conv2d(3, 12, 3), nn.PixelShuffle(2)), plane),
        "espcn": (nn.Sequential(nn.Conv2d(3, 9, 5), nn.Tanh(), nn.PixelShuffle(3)), plane),
        "unshuffle": (nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 3, 3)), plane),
        "srcnn cubic": (Upscaled(nn.Conv2d(3, 2, 3), mode="bicubic"), plane),
        "srcnn linear": (Upscaled(nn.Conv2d(3, 2, 3, padding=1), mode="bilinear"), plane),
        "dncnn": (Sum(block(3, 4), nn.Conv2d(4, 3, 3, padding=1, bias=False), sign=-1), plane),
        "fire": (
            nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d(3, 2, ceil_mode=True), Fire()),
            plane,
        ),
        "dilated": (nn.Sequential(block(3, 4, dilation=2), nn.Conv2d(4, 1, 1)), plane),
        "encoder": (
            nn.Sequential(nn.Conv1d(1, 4, 9, 4, 4), nn.PReLU(4), nn.ConvTranspose1d(4, 1, 8, 4, 2)),
            line,
        ),
        "tasnet": (Separated(), line),
        "channels": (ShuffledChannels(), (4, 8, 10)),
        "attention": (Attention(), plane),
        "cropped": (Cropped(), plane),
        "activations": (activations(), line),
        "circular": (circular(), plane),
        "windows": (Windows(sliced=False), plane),
        "sliced windows": (Windows(sliced=True), plane),
        "instance norm": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4)), plane),
        "group norm": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)), plane),
    }


def exported(network: nn.Module, x: Any, place: Path, *, dynamo: bool) -> bytes:
    """The file that an exporter writes for inputs of any length."""
    axes = ["h", "w"][-(x.ndim - 2) :]
    free = dict(enumerate(axes, 2))
    how: dict[str, Any] = {"dynamic_axes": {"x": free}}
    if dynamo:
        open_sides = dict.fromkeys(free, torch.export.Dim.DYNAMIC)
        how = {"dynamic_shapes": (open_sides,), "verbose": False}
    path = place / "net.onnx"
    names = {"input_names": ["x"], "output_names": ["y"]}
    torch.onnx.export(network, (x,), str(path), dynamo=dynamo, **names, **how)
    model = onnx.load(str(path))
    model.ClearField("functions")
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    content: bytes = model.SerializeToString()
    return content


def main() -> None:
    """Write the file."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    found: dict[str, Any] = {}
    for name, (network, shape) in networks().items():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, 0, 0.3)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        network.eval()
        x = torch.rand(1, *shape)
        with torch.no_grad():
            found[f"{name}.y"] = network(x).numpy()
        found[f"{name}.x"] = x.numpy()
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("legacy", "dynamo"):
                content = exported(network, x, Path(folder), dynamo=kind == "dynamo")
                found[f"{name}.{kind}"] = np.frombuffer(content, np.uint8)
    np.savez_compressed(HERE / "torch_exports.npz", **found)


if __name__ == "__main__":
    main()
