"""Every layer of `model:` with every combination of its arguments, against torch and in torch.

tests/reference/make_layers.py made the references.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from program import SAMPLES, done, run

from convcli import RequestError, apply
from convcli.core.binding import Rules
from convcli.layers.weights import encode_weights, read_weights
from convcli.media.images.medium import IMAGE
from convcli.planning.plan import make_plan
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run as run_plan
from convcli.signals import ARRAY, Signal

if TYPE_CHECKING:
    from convcli.signals import Array

FOLDER = Path(__file__).parent / "reference"
REFERENCE = np.load(FOLDER / "torch_layers.npz")
LAYERS, NETWORKS, OURS = (
    json.loads(str(REFERENCE[name])) for name in ("layers", "networks", "ours")
)


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).uniform(-1, 1, shape)


def saved(path: Path, tensors: dict[str, Any]) -> Path:
    path.write_bytes(encode_weights(tensors, {}))
    return path


def last(x: Array) -> Array:
    """Channels last, as here."""
    return np.ascontiguousarray(np.moveaxis(x, 0, -1))


def filtered(filter: str, x: Array, *, edge: Any = "zero", size: int | None = None) -> Array:
    """`x` in blocks of `size`."""
    signal = Signal(medium=ARRAY, shape=x.shape[:-1], channels=tuple(map(str, range(x.shape[-1]))))
    sink = Collected()
    cuts = [*range(0, len(x), size or len(x)), len(x)]
    plan = make_plan(filter, signal, Rules(edge=edge, align="center"))
    run_plan(plan, Blocks(signal, [x[a:b] for a, b in pairwise(cuts)]), sink, threads=1)
    y = np.concatenate(sink.parts)
    assert y.shape == (*plan.result.shape, len(plan.result.channels))
    return y


@pytest.mark.parametrize(
    "number", range(len(LAYERS)), ids=[f"{axes}d-{text}-{b}" for text, axes, _, b in LAYERS]
)
def test_a_layer_is_that_of_torch(number: int, tmp_path: Path) -> None:
    text, axes, groups, bias = LAYERS[number]
    names = ("weight", "bias") if bias else ("weight",)
    path = saved(
        tmp_path / "m.safetensors",
        {f"0.{n}": REFERENCE[f"layer/{n}/{axes}/{groups}"] for n in names},
    )
    x, y = last(REFERENCE[f"layer/x/{axes}"]), last(REFERENCE[f"layer/{number}/y"])
    # Without a padding of their own layers are filters, and torch's numbers are those of `valid`.
    edges = ("zero", "wrap", "valid") if "padding" in text else ("valid",)
    for edge in edges:
        for size in (None, 1, 4):
            z = filtered(f'model:{path},layers="{text}"', x, edge=edge, size=size)
            assert z.shape == y.shape
            np.testing.assert_allclose(z, y, rtol=0, atol=1e-5)


@pytest.mark.parametrize("number", range(len(NETWORKS)), ids=NETWORKS)
def test_pools_that_see_everything_and_dense_layers(number: int, tmp_path: Path) -> None:
    text, start = NETWORKS[number], f"{number}/state/"
    state = {
        name.removeprefix(start): REFERENCE[name]
        for name in REFERENCE.files
        if name.startswith(start)
    }
    path = saved(tmp_path / "m.safetensors", state)
    x, y = last(REFERENCE[f"{number}/x"]), REFERENCE[f"{number}/y"]
    axes = x.ndim - 1
    y = last(y.reshape(-1, *(1,) * axes) if y.ndim == 1 else y)
    for edge in ("zero", "reflect", "valid") if "padding" in text else ("valid",):
        for size in (None, 1, 5):
            z = filtered(f'model:{path},layers="{text}"', x, edge=edge, size=size)
            assert z.shape == y.shape
            np.testing.assert_allclose(z, y, rtol=0, atol=1e-5)


@pytest.mark.parametrize("step", [2, 5, 7, 30])
def test_a_circle_is_whole_whatever_a_later_step_leaves_out(step: int, tmp_path: Path) -> None:
    w = {"0.weight": noise(2, 2, 5), "1.weight": noise(2, 2, 3)}
    path = saved(tmp_path / "m.safetensors", w)
    circle = "conv:padding=2,padding_mode=circular"
    x = noise(31, 2)
    model = f'model:{path},layers="{circle} | {circle.replace("2", "1")}"'
    for size in (None, 4):
        np.testing.assert_array_equal(
            filtered(f"{model} | stride:{step}", x, size=size), filtered(model, x)[::step]
        )
    picture = saved(tmp_path / "p.safetensors", {"0.weight": noise(1, 1, 3, 5)})
    model, x = f'model:{picture},layers="{circle.replace("=2", "=1x2")}"', noise(19, 31, 1)
    np.testing.assert_allclose(
        filtered(f"{model} | stride:{step}", x, size=3),
        filtered(model, x)[::step, ::step],
        rtol=0,
        atol=1e-14,
    )


# ------------------------------------------------------------------------------------- dense layers


def test_a_dense_layer_takes_what_comes_to_it_under_each_edge(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors", {"0.weight": noise(1, 1, 3), "2.weight": noise(2, 8)})
    model = f'model:{path},layers="conv | flatten | dense"'
    x = noise(10, 1)
    inner = np.correlate(x[:, 0], noise(1, 1, 3)[0, 0], "valid")
    np.testing.assert_allclose(apply(model, x, edge="valid")[0], noise(2, 8) @ inner, atol=1e-14)
    with pytest.raises(RequestError, match="1 channels of 10 come to it") as caught:
        apply(model, x)
    assert 'edge="valid"' in str(caught.value.hint)
    with pytest.raises(RequestError, match="1 channels of 9 come to it") as caught:
        apply(model, noise(11, 1), edge="valid")
    assert caught.value.hint == "an adaptive or global pool fixes the size"


def test_a_dense_layer_has_no_place_for_opacity(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "m.safetensors", {"0.weight": noise(1, 3, 3, 3), "3.weight": noise(1, 4)}
    )
    signal = Signal(
        medium=IMAGE, shape=(9, 8), channels=("R", "G", "B", "A"), alpha=3, full_scale=255.0
    )
    model = f'model:{path},layers="conv:padding=1 | adaptive_avg_pool:2 | flatten | dense"'
    with pytest.raises(RequestError, match="this picture has an opacity") as caught:
        make_plan(model, signal, Rules(edge="edge", align="center"))
    assert caught.value.hint == "--channels rgb"


# ------------------------------------------------------------------------------------ ours in torch


@pytest.mark.parametrize("name", OURS)
def test_what_torch_makes_of_our_files(name: str, tmp_path: Path) -> None:
    path = FOLDER / f"{name}.safetensors"
    y = filtered(f"model:{path}", last(REFERENCE[f"{name}/x"]), edge="valid")
    np.testing.assert_allclose(y, last(REFERENCE[f"{name}/y"]), rtol=0, atol=1e-5)
    # What is written today is, byte for byte, what was loaded there.
    file = read_weights(path)
    kind = np.float64 if name == "ours_filter" else np.float32
    tensors = {key: tensor.astype(kind) for key, tensor in file.tensors.items()}
    assert encode_weights(tensors, file.metadata) == path.read_bytes()
    signals = {"ours_picture": ("cat_noisy.png", "cat.png")}.get(
        name, ("hello_noisy.wav", "hello.wav")
    )
    how = (
        ("--taps", "9")
        if name == "ours_filter"
        else ("--layers", file.metadata["layers"], "--epochs", "1")
    )
    words = ("learn", *(SAMPLES / each for each in signals), *how, "-o", tmp_path / "m.safetensors")
    done(*words)
    anew = read_weights(tmp_path / "m.safetensors")
    assert {key: tensor.shape for key, tensor in anew.tensors.items()} == {
        k: t.shape for k, t in file.tensors.items()
    }
    assert set(anew.metadata) == set(file.metadata)


def test_a_file_says_what_it_is_of(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    sound = (SAMPLES / "hello_noisy.wav", SAMPLES / "hello.wav")
    done(
        "learn",
        *sound,
        "--layers",
        "conv:2,5 | relu | conv:1,3",
        "--epochs",
        "2",
        "--seed",
        "7",
        "-o",
        path,
    )
    about = dict(read_weights(path).metadata)
    facts = json.loads(about["facts"])
    assert about["layers"] == "conv:2,5 | relu | conv:1,3"
    assert (about["medium"], about["rate"], about["units"], about["align"]) == (
        "audio",
        "22050.0",
        "-1 ... 1",
        "center",
    )
    assert {"epochs": 2, "seed": 7, "batch": 32}.items() <= facts.items()
    assert {"train", "held_out", "errors", "best_epoch", "learning_rate", "weight_decay"} <= set(
        facts
    )
    assert about["convcli"]
    table = (
        "learn",
        SAMPLES / "stocks.csv",
        "-c",
        "price",
        "--target",
        "price",
        "--by",
        "symbol",
        "--force",
        "-o",
        path,
    )
    done(*table, "--layers", "conv:2,5 | tanh | conv:1,1", "--epochs", "2")
    about = dict(read_weights(path).metadata)
    assert (about["columns"], about["targets"], about["align"]) == (
        '["price"]',
        '["price"]',
        "causal",
    )
    assert "scaling" in about["units"]
    assert set(json.loads(about["scaling"])) == {"inputs", "outputs"}
    told = run("filters", f"model:{path}").text
    assert "look-ahead      0 samples" in told
    assert "reach           -4 ... +0" in told
