"""Networks whose tensors have names of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from convcli import InputError, RequestError, apply
from convcli.layers.tensor_names import proposed_layers
from convcli.layers.weights import encode_weights

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

RNG = np.random.default_rng(0)
TENSORS: dict[str, Any] = {
    "encoder.conv1.weight": RNG.normal(size=(2, 1, 3)),
    "encoder.conv1.bias": RNG.normal(size=2),
    "encoder.conv2.weight": RNG.normal(size=(3, 2, 3)),
    "encoder.conv10.weight": RNG.normal(size=(1, 3, 1)),
}
X = RNG.normal(size=20)


def saved(path: Path, tensors: dict[str, Any]) -> Path:
    path.write_bytes(encode_weights(tensors, {}))
    return path


def numbered() -> dict[str, Any]:
    """The same network with the names of a Sequential."""
    names = {"encoder.conv1": 0, "encoder.conv2": 2, "encoder.conv10": 4}
    return {
        f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": tensor
        for name, tensor in TENSORS.items()
    }


def test_layers_name_their_tensors(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors", TENSORS)
    plain = saved(tmp_path / "n.safetensors", numbered())
    text = (
        "conv(encoder.conv1) | relu | conv(encoder.conv2):padding=1 | tanh | conv(encoder.conv10)"
    )
    expected = apply(f'model:{plain},layers="conv | relu | conv:padding=1 | tanh | conv"', X)
    np.testing.assert_array_equal(apply(f'model:{path},layers="{text}"', X), expected)


def test_auto_takes_the_order_of_the_names(program: Program, tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors", TENSORS)
    plain = saved(tmp_path / "n.safetensors", numbered())
    expected = apply(f'model:{plain},layers="conv | relu | conv | relu | conv"', X)
    np.testing.assert_array_equal(apply(f"model:{path},layers=auto", X), expected)
    (tmp_path / "x.csv").write_text("x\n1\n2\n3\n")
    ended = program.run("csv", "model:m.safetensors,layers=auto", "x.csv", cwd=tmp_path)
    assert ended.code == 0
    assert "does not say its activations; it runs as conv(encoder.conv1) | relu |" in ended.err


def test_layers_without_names_take_a_plain_order(program: Program, tmp_path: Path) -> None:
    saved(tmp_path / "m.safetensors", TENSORS)
    plain = saved(tmp_path / "n.safetensors", numbered())
    text = "conv | leaky_relu:0.1 | conv:padding=1 | tanh | conv"
    (tmp_path / "x.csv").write_text("x\n" + "\n".join(map(str, X)) + "\n")
    ended = program.run("csv", f'model:m.safetensors,layers="{text}"', "x.csv", cwd=tmp_path)
    assert ended.code == 0
    told = "does not say the order of its layers; it runs as conv(encoder.conv1) | leaky_relu:0.1 |"
    assert told in ended.err
    expected = program.run("csv", f'model:{plain},layers="{text}"', "x.csv", cwd=tmp_path)
    assert ended.out == expected.out


@pytest.mark.parametrize(
    ("tensors", "layers"),
    [
        # Which of two alike comes first does not follow from channels.
        ({"a.one.weight": (2, 2, 3), "b.two.weight": (2, 2, 3)}, "conv | relu | conv"),
        ({"first.weight": (4, 1, 3), "last.weight": (1, 4, 3)}, "conv | relu"),
        ({"first.weight": (4, 1, 3), "last.weight": (1, 4, 3)}, "conv | conv_transpose"),
    ],
)
def test_layers_without_names_need_a_plain_order(
    tensors: dict[str, tuple[int, ...]], layers: str, tmp_path: Path
) -> None:
    filled = {name: np.ones(shape, np.float32) for name, shape in tensors.items()}
    path = saved(tmp_path / "m.safetensors", filled)
    with pytest.raises(InputError, match="expected tensors called"):
        apply(f'model:{path},layers="{layers}"', X)


def test_the_error_proposes_layers(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors", TENSORS)
    with pytest.raises(InputError) as caught:
        apply(f"model:{path}", X)
    assert "encoder.conv1.weight (2, 1, 3)" in caught.value.message
    text = "conv(encoder.conv1) | relu | conv(encoder.conv2) | relu | conv(encoder.conv10)"
    assert caught.value.hint is not None
    assert f'layers="{text}"' in caught.value.hint
    with pytest.raises(InputError, match=r"no tensor of .* begins with 'decoder'"):
        apply(f'model:{path},layers="conv(decoder)"', X)


def test_tensors_that_no_layer_uses_are_told(program: Program, tmp_path: Path) -> None:
    saved(tmp_path / "m.safetensors", TENSORS)
    (tmp_path / "x.csv").write_text("x\n1\n2\n3\n")
    ended = program.run(
        "csv", 'model:m.safetensors,layers="conv(encoder.conv1)"', "x.csv", cwd=tmp_path
    )
    assert ended.code == 0
    assert "no layer uses encoder.conv10.weight, encoder.conv2.weight" in ended.err


def test_carets_point_into_what_was_written(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors", TENSORS)
    with pytest.raises(RequestError) as caught:
        apply(f'model:{path},layers="conv(encoder.conv1) | rellu"', X)
    assert "did you mean relu?" in str(caught.value)


@pytest.mark.parametrize(
    ("tensors", "text"),
    [
        (
            {"a.weight": (4, 1, 3), "b.weight": (4,), "c.weight": (4, 1, 3)},
            "conv(a) | prelu(b) | conv_transpose(c)",
        ),
        (
            {
                "a.weight": (4, 1, 3),
                "b.running_mean": (4,),
                "b.running_var": (4,),
                "c.weight": (1, 4, 3),
            },
            "conv(a) | batch_norm(b) | relu | conv(c)",
        ),
        (
            {
                "head.weight": (4, 1, 3),
                "head.bias": (4,),
                "body.weight": (4, 4, 3),
                "body.bias": (4,),
                "tail.weight": (1, 4, 3),
                "tail.bias": (1,),
            },
            "conv(head) | relu | conv(body) | relu | conv(tail)",
        ),
        (
            {
                "encoder.0.weight": (4, 1, 5),
                "encoder.0.bias": (4,),
                "decoder.0.weight": (1, 4, 5),
                "decoder.0.bias": (1,),
            },
            "conv(encoder.0) | relu | conv(decoder.0)",
        ),
        # A transposed convolution would fit as well.
        ({"encoder.weight": (4, 1, 5), "decoder.weight": (1, 4, 5)}, None),
        ({"0.0.weight": (4, 1, 5), "1.0.weight": (1, 4, 5)}, "conv(0.0) | relu | conv(1.0)"),
        ({f"w{'x' * i}.weight": (4, 4, 3) for i in range(40)}, None),
        ({"a.weight": (4, 1, 3), "b.weight": (2, 3, 3)}, None),
        ({"a.weight": (4, 1, 3), "b.weight": (2, 8)}, None),
        ({"0.weight": ()}, None),
        ({"0.weight": (4, 1, 3), "2.weight": (1, 4, 3)}, "conv(0) | relu | conv(2)"),
        ({"0.weight": (4, 1, 3), "1.weight": (1, 4, 3)}, "conv(0) | conv(1)"),
        (
            {
                "0.weight": (4, 1, 3),
                "1.running_mean": (4,),
                "1.running_var": (4,),
                "3.weight": (4, 4, 3),
                "4.weight": (1, 4, 3),
            },
            "conv(0) | batch_norm(1) | relu | conv(3) | conv(4)",
        ),
    ],
)
def test_proposals(tensors: dict[str, tuple[int, ...]], text: str | None) -> None:
    assert proposed_layers({name: np.ones(shape) for name, shape in tensors.items()}) == text


def test_no_plain_order_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors", {"a.weight": np.ones((4, 1, 3)), "b.w": np.ones(2)})
    with pytest.raises(RequestError, match="do not follow from its tensors"):
        apply(f"model:{path},layers=auto", X)


def test_feature_maps_are_the_channels_after_a_layer(program: Program, tmp_path: Path) -> None:
    path = saved(tmp_path / "n.safetensors", numbered())
    layers = "conv | relu | conv | tanh | conv"
    first = TENSORS["encoder.conv1.weight"][:, 0], TENSORS["encoder.conv1.bias"]
    hidden = np.stack([np.correlate(X, w) + b for w, b in zip(*first, strict=True)], axis=-1)
    maps = apply(f'model:{path},layers="{layers}",upto=1', X[:, None], edge="valid", axes=1)
    np.testing.assert_allclose(maps, np.maximum(hidden, 0))
    whole = apply(f'model:{path},layers="{layers}"', X)
    np.testing.assert_array_equal(apply(f'model:{path},layers="{layers}",upto=4', X), whole)
    (tmp_path / "x.csv").write_text("t,x\na,1\nb,2\nc,3\n")
    words = ("csv", f'model:n.safetensors,layers="{layers}",upto=0', "x.csv", "-c", "x", "-q")
    ended = program.run(*words, cwd=tmp_path)
    assert ended.text.splitlines()[0] == "t,y0,y1"
    with pytest.raises(RequestError, match="5 layers, counted from 0"):
        apply(f'model:{path},layers="{layers}",upto=5', X)


def test_feature_maps_of_a_picture(program: Program, tmp_path: Path) -> None:
    tensors = {"0.weight": np.array([1.0, 0, 0.5, 0.25]).reshape(4, 1, 1, 1)}
    tensors["2.weight"] = np.ones((1, 4, 1, 1))
    saved(tmp_path / "m.safetensors", tensors)
    (tmp_path / "p.pgm").write_bytes(b"P2 2 1 255\n8 200\n")
    words = ("image", 'model:m.safetensors,layers="conv | relu | conv",upto=1', "p.pgm", "-q")
    ended = program.run(*words, "-o", "maps.tif", cwd=tmp_path)
    assert ended.code == 0, ended.err
    import pyvips

    maps = pyvips.Image.new_from_file(str(tmp_path / "maps.tif")).numpy()
    assert maps.shape == (1, 2, 4)
    assert maps[0].tolist() == [[8, 0, 4, 2], [200, 0, 100, 50]]


def test_a_nested_sequential_is_proposed_and_runs(tmp_path: Path) -> None:
    tensors = {"0.0.weight": np.ones((4, 1, 3)), "1.0.weight": np.ones((1, 4, 3))}
    path = saved(tmp_path / "m.safetensors", tensors)
    with pytest.raises(InputError) as caught:
        apply(f"model:{path}", X)
    assert 'layers="conv(0.0) | relu | conv(1.0)"' in str(caught.value.hint)
    plain = saved(tmp_path / "n.safetensors", {f"{n[0]}.weight": w for n, w in tensors.items()})
    expected = apply(f'model:{plain},layers="conv | conv"', np.abs(X))
    np.testing.assert_array_equal(apply(f"model:{path},layers=auto", np.abs(X)), expected)


def test_weight_norm_is_to_be_removed_before_saving(tmp_path: Path) -> None:
    tensors = {f"0.parametrizations.weight.original{i}": np.ones((4, 1, 3)) for i in range(2)}
    with pytest.raises(InputError) as caught:
        apply(f"model:{saved(tmp_path / 'm.safetensors', tensors)}", X)
    assert "remove_parametrizations" in str(caught.value.hint)
