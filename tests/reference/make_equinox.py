"""What equinox computes for small networks, for tests/test_models_equinox.py.

Made by `python make_equinox.py` with equinox 0.13.8 and jax 0.10.2.

Writes equinox_models.npz, float32: for every case its layers as text, its input (channels first), the arrays of the
equinox.nn.Sequential by the names that jax.tree_util.keystr gives them, and its output.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

CHANNELS = 4
SIDES = {1: (17,), 2: (9, 8)}
KERNEL = {1: 3, 2: (3, 2)}
MODES = {"zeros": "ZEROS", "reflect": "REFLECT", "replicate": "REPLICATE", "circular": "CIRCULAR"}
Case = tuple[str, int, list[Any]]


def conv(axes: int, given: int, out: int, kernel: Any, key: Any, **options: Any) -> Any:
    return (eqx.nn.Conv1d if axes == 1 else eqx.nn.Conv2d)(given, out, kernel, key=key, **options)


def single(axes: int, key: Any) -> list[Case]:
    """Every combination of stride, padding, dilation, groups and bias; then the modes of padding."""
    cases: list[Case] = []
    for stride, padding, dilation, groups, bias in itertools.product(
        (1, 2), (0, 2, "SAME"), (1, 2), (1, 2), (True, False)
    ):
        if padding == "SAME" and stride != 1:  # torch has none, and so no text says it
            continue
        text = f"conv:stride={stride},dilation={dilation},groups={groups},padding={str(padding).lower()}"
        options = {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "use_bias": bias,
        }
        cases.append((text, axes, [conv(axes, CHANNELS, 2, KERNEL[axes], key, **options)]))
    for (mode, name), (padding, stride), dilation, groups in itertools.product(
        MODES.items(), ((2, 1), (1, 2), ("SAME", 1)), (1, 2), (1, 2)
    ):
        told = str(padding).lower()
        text = f"conv:padding={told},padding_mode={mode},stride={stride},dilation={dilation},groups={groups}"
        options = {
            "stride": stride,
            "padding": padding,
            "padding_mode": name,
            "dilation": dilation,
            "groups": groups,
        }
        cases.append((text, axes, [conv(axes, CHANNELS, 2, KERNEL[axes], key, **options)]))
    return cases


def networks(axes: int, key: Any) -> list[Case]:
    """Layers with activations between them: leaky_relu, relu, tanh, sigmoid; pools."""
    act = [
        eqx.nn.Lambda(f)
        for f in (
            lambda x: jax.nn.leaky_relu(x, 0.1),
            jax.nn.relu,
            jax.nn.tanh,
            jax.nn.sigmoid,
            jax.nn.leaky_relu,
        )
    ]
    pool, peak = (
        (eqx.nn.AvgPool1d, eqx.nn.MaxPool1d) if axes == 1 else (eqx.nn.AvgPool2d, eqx.nn.MaxPool2d)
    )
    a, b, c = jax.random.split(key, 3)
    first = conv(axes, CHANNELS, 6, KERNEL[axes], a, padding=1)
    second = conv(axes, 6, 4, 2, b, groups=2, padding="SAME")
    third = conv(axes, 4, 1, 2, c, stride=2, padding=1, use_bias=False)
    plain = conv(axes, CHANNELS, 4, KERNEL[axes], a, dilation=2)
    whole = conv(axes, CHANNELS, 4, KERNEL[axes], a)
    # Bins of one size: where they do not come out even, equinox cuts them otherwise than torch.
    bins, mean, peak_of = (5, eqx.nn.AdaptiveAvgPool1d, eqx.nn.AdaptiveMaxPool1d) if axes == 1 else (
        (7, 1), eqx.nn.AdaptiveAvgPool2d, eqx.nn.AdaptiveMaxPool2d)  # fmt: skip
    size = bins if axes == 1 else 7
    flat = eqx.nn.Lambda(jax.numpy.ravel)
    told = "5" if axes == 1 else "7x1"
    return [
        (
            f"conv | relu | adaptive_avg_pool:{told} | flatten | dense | tanh | dense",
            axes,
            [
                whole,
                act[1],
                mean(bins),
                flat,
                eqx.nn.Linear(4 * size, 6, key=b),
                act[2],
                eqx.nn.Linear(6, 3, key=c),
            ],
        ),
        ("conv:dilation=2 | sigmoid | global_max_pool", axes, [plain, act[3], peak_of(1)]),
        (
            "conv:padding=1 | relu | global_avg_pool | flatten | dense",
            axes,
            [first, act[1], mean(1), flat, eqx.nn.Linear(6, 2, use_bias=False, key=b)],
        ),
        (
            "conv:padding=1 | leaky_relu:0.1 | conv:groups=2,padding=same | tanh | conv:stride=2,padding=1",
            axes,
            [first, act[0], second, act[2], third],
        ),
        (
            "conv:dilation=2 | leaky_relu:0.01 | conv:stride=2",
            axes,
            [plain, act[4], conv(axes, 4, 2, 2, b, stride=2)],
        ),
        (
            "conv:padding=1 | relu | max_pool:2 | conv:padding=same,groups=2 | sigmoid | avg_pool:2",
            axes,
            [first, act[1], peak(2, 2), second, act[3], pool(2, 2)],
        ),
    ]


def main() -> None:
    jax.config.update("jax_default_matmul_precision", "highest")
    keys = iter(jax.random.split(jax.random.key(0), 400))
    cases = [
        case for axes in (1, 2) for case in (*single(axes, next(keys)), *networks(axes, next(keys)))
    ]
    arrays: dict[str, Any] = {}
    for number, (_, axes, layers) in enumerate(cases):
        net = eqx.nn.Sequential(layers)
        x = jax.random.uniform(next(keys), (CHANNELS, *SIDES[axes]), minval=-1, maxval=1)
        arrays[f"{number}/x"], arrays[f"{number}/y"] = np.asarray(x), np.asarray(net(x))
        for path, leaf in jax.tree_util.tree_leaves_with_path(eqx.filter(net, eqx.is_array)):
            arrays[f"{number}/state/{jax.tree_util.keystr(path)}"] = np.asarray(leaf)
    arrays["texts"] = np.array(json.dumps([text for text, _, _ in cases]))
    np.savez_compressed(Path(__file__).with_name("equinox_models.npz"), **arrays)


if __name__ == "__main__":
    main()
