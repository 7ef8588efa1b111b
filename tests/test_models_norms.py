"""Activations, batch normalisation and learned slopes: the output of torch, shape and values.

tests/reference/make_norms.py made the references.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from convcli import RequestError, apply
from convcli.layers.weights import encode_weights

if TYPE_CHECKING:
    from convcli.signals import Array

REFERENCE = np.load(Path(__file__).parent / "reference" / "torch_norms.npz")
TEXTS = json.loads(str(REFERENCE["texts"]))


def saved(path: Path, tensors: dict[str, Any], layers: str) -> str:
    path.write_bytes(encode_weights(tensors, {"layers": layers}))
    return f"model:{path}"


def of_torch(number: int) -> tuple[dict[str, Any], Array, Array]:
    """The weights, the input and the output of a network."""
    start = f"{number}/state/"
    state = {
        name.removeprefix(start): REFERENCE[name]
        for name in REFERENCE.files
        if name.startswith(start) and not name.endswith("num_batches_tracked")
    }
    x, y = (np.moveaxis(REFERENCE[f"{number}/{name}"], 0, -1).copy() for name in ("x", "y"))
    return state, x, y


@pytest.mark.parametrize("number", range(len(TEXTS)), ids=TEXTS)
def test_a_network_is_that_of_torch(number: int, tmp_path: Path) -> None:
    state, x, y = of_torch(number)
    model = saved(tmp_path / "m.safetensors", state, TEXTS[number])
    z = apply(model, x, edge="valid", axes=x.ndim - 1)
    np.testing.assert_allclose(z, y, rtol=1e-9, atol=1e-9)


def test_a_state_dict_with_its_counters(tmp_path: Path) -> None:
    """torch stores how many batches it has seen as a whole number."""
    number = next(n for n, text in enumerate(TEXTS) if "batch_norm" in text)
    state, x, y = of_torch(number)
    path = tmp_path / "m.safetensors"
    data = encode_weights(state, {"layers": TEXTS[number]})
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    end = len(data) - 8 - length
    layer = (
        TEXTS[number]
        .split(" | ")
        .index(next(text for text in TEXTS[number].split(" | ") if text.startswith("batch_norm")))
    )
    header[f"{layer}.num_batches_tracked"] = {
        "dtype": "I64",
        "shape": [],
        "data_offsets": [end, end + 8],
    }
    text = json.dumps(header).encode()
    path.write_bytes(
        len(text).to_bytes(8, "little") + text + data[8 + length :] + (7).to_bytes(8, "little")
    )
    z = apply(f"model:{path}", x, edge="valid", axes=x.ndim - 1)
    np.testing.assert_allclose(z, y, rtol=1e-9, atol=1e-9)


def test_one_channel_is_every_channel_by_itself(tmp_path: Path) -> None:
    tensors = {
        "0.weight": np.array([2.0]),
        "0.bias": np.array([1.0]),
        "0.running_mean": np.array([3.0]),
        "0.running_var": np.array([4.0]),
        "1.weight": np.array([0.5]),
    }
    model = saved(tmp_path / "m.safetensors", tensors, "batch_norm:eps=0 | prelu")
    x = np.array([[1.0, 9], [5, -3]])
    normal = (x - 3) / 2 * 2 + 1
    expected = np.where(normal < 0, normal / 2, normal)
    np.testing.assert_allclose(apply(model, x, axes=1), expected)


@pytest.mark.parametrize(
    ("tensors", "layers", "told"),
    [
        ({"0.weight": np.ones(3)}, "batch_norm", "running_mean"),
        (
            {"0.running_mean": np.ones(2), "0.running_var": -np.ones(2)},
            "batch_norm",
            "not above 0",
        ),
        ({"0.weight": np.ones(5)}, "prelu", "5"),
    ],
)
def test_numbers_that_do_not_fit(
    tensors: dict[str, Any], layers: str, told: str, tmp_path: Path
) -> None:
    model = saved(tmp_path / "m.safetensors", tensors, layers)
    with pytest.raises(RequestError, match=told):
        apply(model, np.ones((4, 2)), axes=1)


@pytest.mark.parametrize("step", ["elu", "elu:0.3", "softplus"])
def test_derivatives_follow_from_values(step: str) -> None:
    """The derivative that training uses, against a difference quotient."""
    from convcli.core.one_sample import Pointwise
    from convcli.planning.plan import make_plan, rules_for
    from convcli.signals import ARRAY, Signal

    signal = Signal(medium=ARRAY, shape=(9,), channels=("x",))
    ((op,),) = (made.ops for made in make_plan(step, signal, rules_for(signal, step)).steps)
    assert isinstance(op, Pointwise)
    x = np.linspace(-4, 4, 9) + 0.1
    function: Any = op.function
    slope = (function(x + 1e-6) - function(x - 1e-6)) / 2e-6
    derivative = function.derivative(function(x), np.empty_like(x))
    np.testing.assert_allclose(derivative, slope, rtol=1e-6)


def test_large_samples_do_not_overflow() -> None:
    x = np.array([-1e4, 1e4])
    assert apply("elu", x).tolist() == [-1, 1e4]
    assert apply("softplus", x).tolist() == [0, 1e4]
    assert apply("silu", x).tolist() == [0, 1e4]
    assert apply("gelu", x).tolist() == [0, 1e4]
    assert apply("hardswish", x).tolist() == [0, 1e4]
