"""`model:` and weights exported from equinox.

Its numbers, its shapes and the names that people write them with.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from convcli import InputError, apply
from convcli.layers.weights import encode_weights

if TYPE_CHECKING:
    from convcli.signals import Array

REFERENCE = np.load(Path(__file__).parent / "reference" / "equinox_models.npz")
CASES = list(enumerate(json.loads(str(REFERENCE["texts"]))))


def reference(number: int) -> tuple[Array, dict[str, Array], Array]:
    """Input and output with the channels last, and the weights by the names of their paths."""
    start = f"{number}/state/"
    state = {
        name.removeprefix(start): REFERENCE[name]
        for name in REFERENCE.files
        if name.startswith(start)
    }
    x, y = REFERENCE[f"{number}/x"], REFERENCE[f"{number}/y"]
    y = y.reshape(-1, *(1,) * (x.ndim - 1)) if y.ndim == 1 else y  # after a dense layer
    return np.moveaxis(x, 0, -1), state, np.moveaxis(y, 0, -1)


def filtered(path: Path, layers: str, x: Array) -> Array:
    # Without a padding of their own, layers are filters; what equinox computes of them is `valid`.
    return apply(
        f'model:{path},layers="{layers}"',
        x,
        axes=x.ndim - 1,
        edge=None if "padding" in layers else "valid",
    )


@pytest.mark.parametrize(("number", "layers"), CASES, ids=[f"{n}-{text}" for n, text in CASES])
def test_the_numbers_are_those_of_equinox(number: int, layers: str, tmp_path: Path) -> None:
    x, state, y = reference(number)
    assert x.dtype == np.float32
    assert all(".layers[" in name for name in state)
    path = tmp_path / "m.safetensors"
    path.write_bytes(encode_weights(state, {}))
    for samples in (x, x.astype(np.float64)):
        z = filtered(path, layers, np.ascontiguousarray(samples))
        assert z.shape == y.shape
        np.testing.assert_allclose(z, y, rtol=0, atol=1e-5)


def test_the_combinations_are_all_there() -> None:
    texts = [text for _, text in CASES]
    assert sum(name.endswith("bias") for name in REFERENCE.files) > 60
    for words in (
        "stride=2",
        "padding=2",
        "padding=same",
        "dilation=2",
        "groups=2",
        "leaky_relu:0.1",
        "max_pool",
        "global_avg_pool",
        "adaptive_avg_pool",
        "dense",
        "padding=same,padding_mode=reflect,stride=1,dilation=2,groups=2",
        "circular",
    ):
        axes = {REFERENCE[f"{n}/x"].ndim - 1 for n, text in enumerate(texts) if words in text}
        assert axes == {1, 2}, words


SPELLINGS = [
    ".layers[{}].{}",
    "layers[{}].{}",
    "['layers'][{}]['{}']",
    "layers/{}/{}",
    "layers.{}.{}",
    "[{}].{}",
    "{}.{}",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_however_the_path_is_written(spelling: str, tmp_path: Path) -> None:
    number = next(n for n, text in CASES if "tanh" in text)
    x, state, y = reference(number)
    path = tmp_path / "m.safetensors"
    parts = {name: name.replace(".layers[", "").split("].") for name in state}
    path.write_bytes(
        encode_weights(
            {spelling.format(*parts[name]): tensor for name, tensor in state.items()}, {}
        )
    )
    np.testing.assert_allclose(
        filtered(path, CASES[number][1], np.ascontiguousarray(x)), y, rtol=0, atol=1e-5
    )


def test_one_layer_by_itself(tmp_path: Path) -> None:
    x, state, y = reference(0)
    path = tmp_path / "m.safetensors"
    for start in (".", ""):
        path.write_bytes(
            encode_weights({start + name.rsplit(".", 1)[1]: t for name, t in state.items()}, {})
        )
        np.testing.assert_allclose(
            filtered(path, CASES[0][1], np.ascontiguousarray(x)), y, rtol=0, atol=1e-5
        )


def archive() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        file.writestr("data.pkl", b"\x80\x02" + bytes(100))
    return held.getvalue()


def leaves() -> bytes:
    held = io.BytesIO()
    for shape in ((1, 1, 3), (1, 1)):
        np.save(held, np.zeros(shape, np.float32))
    return held.getvalue()


OTHERS = {
    "tree_serialise_leaves": (
        leaves(),
        "NumPy arrays without names, as equinox.tree_serialise_leaves",
    ),
    "torch.save": (archive(), "a zip archive"),
    "pickle": (b"\x80\x04\x95" + bytes(100), "nothing is ever unpickled"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_of_weights_are_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.eqx"
    content, told = OTHERS[name]
    path.write_bytes(content)
    with pytest.raises(InputError, match=told) as caught:
        apply(f"model:{path}", np.zeros(9))
    assert "save_file of safetensors" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        (".conv1.weight", "conv(conv1)"),
        ("params/Conv_0/kernel", "conv(NAME)"),
        ("layers[0].conv.weight", "conv(layers.0.conv)"),
        ("['first']['weight']", "conv(first)"),
    ],
)
def test_names_without_numbers_get_a_proposal(name: str, hint: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    tensors: dict[str, Any] = {name: np.zeros((1, 1, 3), np.float32)}
    path.write_bytes(encode_weights(tensors, {}))
    with pytest.raises(InputError, match="expected tensors called") as caught:
        apply(f"model:{path}", np.zeros(9))
    assert "(1, 1, 3)" in caught.value.message
    assert f'layers="{hint}' in str(caught.value.hint)
