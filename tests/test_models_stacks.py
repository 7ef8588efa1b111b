"""Stacks of layers with and without padding under `--edge valid`: the output of torch, shape and values.

tests/reference/make_stacks.py made the references.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from convcli import apply
from convcli.core.binding import Rules
from convcli.layers.weights import encode_weights
from convcli.planning.plan import make_plan
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.signals import ARRAY, Signal

if TYPE_CHECKING:
    from convcli.signals import Align, Array

REFERENCE = np.load(Path(__file__).parent / "reference" / "torch_stacks.npz")
TEXTS = json.loads(str(REFERENCE["texts"]))


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).uniform(-1, 1, shape)


def saved(path: Path, tensors: dict[str, Any], layers: str) -> str:
    path.write_bytes(encode_weights(tensors, {"layers": layers}))
    return f"model:{path}"


def filtered(filter: str, x: Array, *, size: int | None = None, align: Align = "center") -> Array:
    """`x` under `valid`, in blocks of `size`; of the shape that the plan knew."""
    signal = Signal(medium=ARRAY, shape=x.shape[:-1], channels=tuple(map(str, range(x.shape[-1]))))
    sink = Collected()
    cuts = [*range(0, len(x), size or len(x)), len(x)]
    plan = make_plan(filter, signal, Rules(edge="valid", align=align))
    run(plan, Blocks(signal, [x[a:b] for a, b in pairwise(cuts)]), sink, threads=1)
    y = np.concatenate(sink.parts)
    assert y.shape == (*plan.result.shape, len(plan.result.channels))
    return y


@pytest.mark.parametrize("number", range(len(TEXTS)), ids=TEXTS)
def test_a_stack_is_that_of_torch(number: int, tmp_path: Path) -> None:
    start = f"{number}/state/"
    state = {n.removeprefix(start): REFERENCE[n] for n in REFERENCE.files if n.startswith(start)}
    model = saved(tmp_path / "m.safetensors", state, TEXTS[number])
    x, y = (np.moveaxis(REFERENCE[f"{number}/{name}"], 0, -1).copy() for name in ("x", "y"))
    for size in (None, 1, 5):
        z = filtered(model, x, size=size)
        assert z.shape == y.shape
        np.testing.assert_allclose(z, y, rtol=0, atol=1e-5)


PADDED = "conv:padding=2 | tanh | conv:stride=2 | max_pool:2,stride=1"


@pytest.mark.parametrize("around", ["box:3", "kernel:1,2,3,4", "downsample:2", "stride:3", "relu"])
@pytest.mark.parametrize("align", ["center", "causal"])
def test_other_steps_read_complete_windows(around: str, align: Align, tmp_path: Path) -> None:
    tensors = {"0.weight": noise(2, 2, 3), "2.weight": noise(2, 2, 4)}
    model = saved(tmp_path / "m.safetensors", tensors, PADDED)
    x = noise(1600, 2)
    each = filtered(around, x, align=align)
    each = filtered(model, each, align=align)
    each = filtered(around, each, align=align)
    for size in (None, 7):
        whole = filtered(f"{around} | {model} | {around}", x, size=size, align=align)
        np.testing.assert_allclose(whole, each, rtol=0, atol=1e-12)


def test_causal_layers_have_all_their_padding_before_the_signal(tmp_path: Path) -> None:
    w, v = noise(1, 1, 5), noise(1, 1, 3)
    layers = "conv:padding=2 | conv"
    model = saved(tmp_path / "m.safetensors", {"0.weight": w, "1.weight": v}, layers)
    x = noise(30, 1)
    inner = np.correlate(np.pad(x[:, 0], (4, 0)), w[0, 0], "valid")
    right = np.correlate(inner, v[0, 0], "valid")
    np.testing.assert_allclose(filtered(model, x, align="causal")[:, 0], right, atol=1e-14)


def test_a_dense_layer_after_other_steps_gets_what_they_leave(tmp_path: Path) -> None:
    x = noise(12, 1)
    inner = np.convolve(x[:, 0], np.ones(3) / 3, "valid")
    for layers, came in (
        ("conv:padding=1 | flatten | dense", np.convolve(inner, np.ones(3), "same")),
        ("conv | flatten | dense", np.convolve(inner, np.ones(3), "valid")),
    ):
        dense = noise(2, len(came))
        tensors = {"0.weight": np.ones((1, 1, 3)), "2.weight": dense}
        model = saved(tmp_path / "m.safetensors", tensors, layers)
        y = apply(f"box:3 | {model}", x, edge="valid")
        np.testing.assert_allclose(y[0], dense @ came, atol=1e-14)


def test_a_picture_is_as_large_as_the_layers_make_it(tmp_path: Path) -> None:
    from convcli.media.images.medium import IMAGE

    tensors = {"0.weight": noise(1, 1, 3, 3), "1.weight": noise(1, 1, 3, 3)}
    model = saved(tmp_path / "m.safetensors", tensors, "conv:padding=2 | conv")
    signal = Signal(medium=IMAGE, shape=(9, 8), channels=("grey",), full_scale=255.0)
    for edge in ("valid", "edge"):
        plan = make_plan(model, signal, Rules(edge=edge, align="center"))
        assert plan.result.shape == (9, 8)
    wider = saved(tmp_path / "w.safetensors", {"0.weight": tensors["0.weight"]}, "conv:padding=2")
    plan = make_plan(wider, signal, Rules(edge="edge", align="center"))
    assert plan.result.shape == (11, 10)
    assert not plan.keeps_shape


def test_a_gap_behind_the_first_block_of_a_padded_picture(tmp_path: Path) -> None:
    """It is closed along its row; the row before it, which the padding has lengthened, is held."""
    weights = {"0.weight": np.arange(9.0).reshape(1, 1, 3, 3)}
    model = saved(tmp_path / "m.safetensors", weights, "conv:padding=2,padding_mode=replicate")
    x = noise(6, 4, 1)
    x[2] = np.nan
    x[4, 1] = np.nan
    closed = x.copy()
    closed[2] = x[1]
    closed[4, 1] = x[4, 0]
    for size in (None, 1, 2):
        y = filtered(model, x, size=size)
        is_known = ~np.isnan(y)
        np.testing.assert_allclose(y[is_known], filtered(model, closed)[is_known], rtol=1e-12)
        assert 0 < is_known.sum() < y.size


def test_columns_are_filtered_each_by_itself_where_windows_are_one_column_wide(
    tmp_path: Path,
) -> None:
    weights = [noise(3, 1, 4), noise(2, 3, 5), noise(4, 2, 3)]
    frames = noise(32, 5)
    tensors = {f"{n}.weight": w[..., None] for n, w in zip((0, 3, 4), weights, strict=True)}
    layers = "conv:stride=2x1,padding=1x0 | relu | max_pool:2x1 | conv:padding=2x0 | conv"
    model = saved(tmp_path / "frames.safetensors", tensors, layers)
    y = apply(model, frames, axes=2, edge="valid")
    tensors = {f"{n}.weight": w for n, w in zip((0, 3, 4), weights, strict=True)}
    layers = "conv:stride=2,padding=1 | relu | max_pool:2 | conv:padding=2 | conv"
    model = saved(tmp_path / "frame.safetensors", tensors, layers)
    for number, frame in enumerate(frames.T):
        alone = apply(model, frame, edge="valid")
        np.testing.assert_allclose(y[:, number], alone, atol=1e-13)
