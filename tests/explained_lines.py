"""The cases of which the lines of PyTorch and Equinox were run (reference/make_lines.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.checking.explain_arrays import explain_arrays
from convcli.layers.weights import encode_weights

if TYPE_CHECKING:
    from pathlib import Path

# FILTER, shape of the signal with its channels, edge rule, alignment.
CASES: list[tuple[str, tuple[int, ...], str, str]] = [
    ("kernel:1,2,3,4", (9, 1), "zero", "center"),
    ("correlate:3,1,2", (9, 1), "edge", "causal"),
    ("box:3", (8, 1), "reflect", "center"),
    ("correlate:1,2,3 | leaky_relu:0.1", (7, 1), "valid", "center"),
    ("kernel:1,-2,1 | sigmoid", (7, 1), "wrap", "center"),
    ("kernel:1,-2,1,stride=2 | tanh", (7, 1), "zero", "causal"),
    ("kernel:1,2,3;4,5,6", (5, 6, 1), "zero", "center"),
    ("correlate:1,2;3,-4 | relu", (4, 5, 1), "edge", "causal"),
    ("box:3", (6, 2), "zero", "center"),
    ("@layers", (9, 2), "valid", "center"),
    ("@network", (9, 1), "zero", "center"),
    ("@network", (9, 1), "reflect", "center"),
    ("@plane", (5, 6, 3), "valid", "center"),
    # The last samples are read by no output.
    ("box:3 | stride:3", (9, 1), "wrap", "center"),
    ("box:2 | stride:2", (5, 6, 1), "edge", "center"),
    ("correlate:1,2,1 | stride:2 | correlate:1,-1 | max_pool:2", (12, 1), "valid", "center"),
    ("box:3 | max_pool:2 | gain:-6dB", (9, 2), "zero", "center"),
    ("@mirrored", (7, 2), "zero", "center"),
    ("@transposed", (5, 2), "zero", "center"),
    ("@transposed", (5, 2), "zero", "causal"),
    ("@spread", (3, 4, 1), "zero", "center"),
    ("@spread", (3, 4, 1), "zero", "causal"),
    ("@scaled", (7, 2), "reflect", "center"),
    ("@scaled_plane", (4, 5, 1), "valid", "center"),
    ("@normalised", (7, 2), "zero", "center"),
    # Pools, and reductions of windows.
    ("min_pool:2", (9, 2), "zero", "center"),
    ("min:3", (5, 6, 1), "edge", "center"),
    ("max:3", (9, 1), "shrink", "center"),
    ("erode:2", (5, 6, 1), "shrink", "causal"),
    ("median:4", (9, 2), "symmetric", "center"),
    ("median:3", (5, 6, 1), "reflect", "center"),
    ("quantile:3,0.3", (5, 6, 2), "zero", "causal"),
    ("first_pool:2", (9, 1), "zero", "center"),
    ("last_pool:2", (5, 6, 1), "valid", "center"),
    ("sum:3 | std:2 | var:2,ddof=0", (9, 1), "edge", "center"),
    ("rms:2", (5, 6, 1), "wrap", "center"),
    ("kernel:1,2 | min_pool:2 | median_pool:2 | gain:-6dB", (13, 1), "zero", "center"),
    # Edge rules that torch has not, or not so far.
    ("kernel:1,2,3", (7, 1), "symmetric", "center"),
    ("kernel:1,2,3;4,5,6", (4, 5, 1), "symmetric", "causal"),
    ("box:9", (4, 1), "reflect", "center"),
    ("box:9", (3, 4, 1), "wrap", "center"),
    # Functions of one sample.
    ("abs | offset:1 | box:3 | clip:0,4 | sqrt", (7, 1), "zero", "center"),
    ("gelu | box:2 | hardswish | square | exp", (7, 1), "edge", "center"),
    # Layers that pad, bend, repeat and interleave.
    ("@bent", (7, 2), "zero", "center"),
    ("@bent_alike", (7, 1), "zero", "center"),
    ("@padded", (7, 2), "zero", "center"),
    ("@padded_plane", (4, 5, 1), "valid", "center"),
    ("@pooled", (8, 1), "zero", "center"),
    ("@smallest", (5, 6, 1), "zero", "center"),
    ("@means", (9, 2), "zero", "center"),
    ("@doubled", (4, 5, 1), "valid", "center"),
    ("@between", (6, 1), "zero", "center"),
    ("@between_plane", (4, 3, 2), "zero", "center"),
    ("@shuffled", (6, 2), "edge", "causal"),
    ("@shuffled_plane", (4, 5, 1), "zero", "center"),
    ("@folded", (7, 2), "zero", "center"),
    ("@apart", (5, 6, 1), "wrap", "center"),
    ("@spread_apart", (5, 2), "zero", "center"),
]
# The layers of the models in CASES, with the shapes of their weights.
MODELS: dict[str, tuple[str, dict[str, tuple[int, ...]]]] = {
    "@layers": (
        "conv:stride=2,dilation=2,padding=2,groups=2",
        {"0.weight": (4, 1, 3), "0.bias": (4,)},
    ),
    "@network": (
        "conv | leaky_relu:0.1 | conv",
        {"0.weight": (3, 1, 3), "0.bias": (3,), "2.weight": (1, 3, 3), "2.bias": (1,)},
    ),
    "@mirrored": (
        "conv:padding=2 | relu | conv:padding=2,padding_mode=reflect,stride=2",
        {"0.weight": (3, 2, 3), "2.weight": (1, 3, 4), "2.bias": (1,)},
    ),
    "@transposed": (
        "conv_transpose:stride=3,padding=1,output_padding=1,groups=2",
        {"0.weight": (2, 2, 4), "0.bias": (4,)},
    ),
    "@spread": ("conv_transpose:stride=2", {"0.weight": (1, 2, 3, 3)}),
    "@scaled": (
        "conv | relu | conv",
        {"0.weight": (3, 2, 3), "0.bias": (3,), "2.weight": (2, 3, 3)},
    ),
    "@scaled_plane": ("conv", {"0.weight": (1, 1, 2, 2)}),
    "@normalised": (
        "batch_norm | conv",
        {"0.running_mean": (2,), "0.running_var": (2,), "1.weight": (1, 2, 3)},
    ),
    "@bent": (
        "conv | prelu | conv | prelu",
        {"0.weight": (3, 2, 2), "1.weight": (3,), "2.weight": (2, 3, 2), "3.weight": (2,)},
    ),
    "@bent_alike": ("conv | prelu", {"0.weight": (2, 1, 3), "1.weight": (1,)}),
    "@padded": ("pad:2,mode=reflect | conv", {"1.weight": (1, 2, 3)}),
    "@padded_plane": ("pad:1x2,mode=circular | conv", {"1.weight": (1, 1, 2, 3)}),
    "@pooled": (
        "conv:padding=1 | max_pool:3,stride=2,padding=1,ceil_mode=true",
        {"0.weight": (2, 1, 3)},
    ),
    "@smallest": ("conv:padding=1 | min_pool:3,padding=1", {"0.weight": (1, 1, 3, 3)}),
    "@means": ("conv:padding=1 | avg_pool:3,stride=2,padding=1", {"0.weight": (2, 2, 3)}),
    "@doubled": (
        "conv | upsample:3x2 | conv",
        {"0.weight": (2, 1, 2, 2), "2.weight": (1, 2, 2, 2)},
    ),
    "@between": ("conv:padding=1 | upsample:3,mode=linear", {"0.weight": (2, 1, 3)}),
    "@between_plane": ("upsample:2,mode=bilinear | conv", {"1.weight": (1, 2, 2, 2)}),
    "@shuffled": ("conv | pixel_shuffle:3", {"0.weight": (6, 2, 3), "0.bias": (6,)}),
    "@shuffled_plane": ("conv:padding=1 | pixel_shuffle:2x3", {"0.weight": (6, 1, 3, 3)}),
    "@apart": ("conv:dilation=1x2", {"0.weight": (1, 1, 2, 2)}),
    "@spread_apart": (
        "conv_transpose:stride=2,dilation=3,padding=1",
        {"0.weight": (2, 2, 3), "0.bias": (2,)},
    ),
    "@folded": (
        "conv:padding=1 | batch_norm | relu",
        {"0.weight": (2, 2, 3), "1.running_mean": (2,), "1.running_var": (2,)},
    ),
    "@plane": ("conv:padding=1,padding_mode=replicate", {"0.weight": (2, 3, 3, 3)}),
}
# Mean and unit of each channel that goes in and comes out.
SCALING = {
    "@scaled": '{"inputs": [[1, 2], [-3, 4]], "outputs": [[5, 0.5], [-1, 8]]}',
    "@scaled_plane": '{"inputs": [[1, 2]], "outputs": [[5, 0.5]]}',
}


def explained(folder: Path, number: int) -> tuple[Any, Any]:
    """The signal of a case, (n, channels) or (rows, columns, channels), and its explanation."""
    text, shape, edge, align = CASES[number]
    rng = np.random.default_rng(number)
    x = rng.integers(-9, 10, shape).astype(float)
    if text in MODELS:
        layers, shapes = MODELS[text]
        tensors = {name: rng.integers(-4, 5, size).astype(float) for name, size in shapes.items()}
        path = folder / f"{number}.safetensors"
        tensors |= {name: tensors[name] ** 2 + 1 for name in tensors if "running_var" in name}
        metadata = {"layers": layers}
        if text in SCALING:
            metadata["scaling"] = SCALING[text]
        path.write_bytes(encode_weights(tensors, metadata))
        text = f"model:{path}"
    elif ",stride=2" in text:
        text = text.replace(",stride=2", "")
        text = text.replace(" | tanh", " | stride:2 | tanh")
    options: Any = {"edge": edge, "align": align}
    return x, explain_arrays(text, x, axes=len(shape) - 1, **options)
