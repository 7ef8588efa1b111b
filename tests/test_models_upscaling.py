"""Layers that change the number of samples: the output of torch, shape and values, at every cut.

tests/reference/make_upscaling.py made the references.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from convcli import RequestError
from convcli.core.binding import Rules
from convcli.layers.weights import encode_weights
from convcli.planning.plan import make_plan
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.signals import ARRAY, Signal

if TYPE_CHECKING:
    from convcli.signals import Array

REFERENCE = np.load(Path(__file__).parent / "reference" / "torch_upscaling.npz")
TEXTS = json.loads(str(REFERENCE["texts"]))


def saved(path: Path, tensors: dict[str, Any], layers: str) -> str:
    path.write_bytes(encode_weights(tensors, {"layers": layers}))
    return f"model:{path}"


def filtered(filter: str, x: Array, size: int) -> Array:
    """`x` under `valid`, in blocks of `size`; of the shape that the plan knew."""
    signal = Signal(medium=ARRAY, shape=x.shape[:-1], channels=tuple(map(str, range(x.shape[-1]))))
    sink = Collected()
    cuts = [*range(0, len(x), size), len(x)]
    plan = make_plan(filter, signal, Rules(edge="valid", align="center"))
    run(plan, Blocks(signal, [x[a:b] for a, b in pairwise(cuts)]), sink, threads=1)
    y = np.concatenate(sink.parts)
    assert y.shape == (*plan.result.shape, len(plan.result.channels))
    return y


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        ("conv_transpose:stride=1000000000", "1,000,000,000 times as many samples along an axis"),
        ("conv_transpose:dilation=1000000000", "weights; at most 67,108,864 are held"),
        ("conv | upsample:1000000000,mode=linear", "a factor of 1,000,000,000; at most 1,000"),
        ("conv | upsample:1000 | upsample:1000", "1,000,000 times as many samples along an axis"),
        ("conv | pixel_unshuffle:1000000000", "a factor of 1,000,000,000; at most 1,000"),
        ("conv | max_pool:2,dilation=1000000000,ceil_mode=true", "numbers outside of the signal"),
    ],
)
def test_sizes_are_bounded_before_anything_is_allocated(
    layers: str, told: str, tmp_path: Path
) -> None:
    model = saved(tmp_path / "m.safetensors", {"0.weight": np.ones((2, 2, 3))}, layers)
    with pytest.raises(RequestError, match=told):
        filtered(model, np.ones((90, 2)), 90)


@pytest.mark.parametrize("number", range(len(TEXTS)), ids=TEXTS)
def test_a_network_is_that_of_torch_at_every_cut(number: int, tmp_path: Path) -> None:
    start = f"{number}/state/"
    state = {n.removeprefix(start): REFERENCE[n] for n in REFERENCE.files if n.startswith(start)}
    model = saved(tmp_path / "m.safetensors", state, TEXTS[number])
    x, y = (
        np.moveaxis(REFERENCE[f"{number}/{name}"], 0, -1).astype(np.float64) for name in ("x", "y")
    )
    for size in (len(x), 1, 3):
        z = filtered(model, x, size)
        assert z.shape == y.shape
        np.testing.assert_allclose(z, y, rtol=1e-5, atol=2e-6)
