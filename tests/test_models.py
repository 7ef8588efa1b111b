"""Model files and the step `model:`.

The numbers are those of torch, in any cut into blocks; bad files are refused.
"""

from __future__ import annotations

import contextlib
import json
import struct
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from convcli import InputError, RequestError, apply
from convcli.cli.planned_input import label_of
from convcli.core.binding import Rules
from convcli.layers.weights import encode_weights, read_weights
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.planning.grammar import parse
from convcli.planning.plan import Plan, make_plan, rules_for
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.signals import ARRAY, TABLE, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.signals import Array

REFERENCE = np.load(Path(__file__).parent / "reference" / "torch_models.npz")
CASES = list(enumerate(json.loads(str(REFERENCE["texts"]))))
every_case = pytest.mark.parametrize(
    ("number", "layers"), CASES, ids=[f"{n}-{text}" for n, text in CASES]
)


def reference(number: int) -> tuple[Array, dict[str, Array], Array]:
    """Input and output with the channels last, and the weights by name."""
    start = f"{number}/state/"
    state = {
        name.removeprefix(start): REFERENCE[name]
        for name in REFERENCE.files
        if name.startswith(start)
    }
    x, y = REFERENCE[f"{number}/x"], REFERENCE[f"{number}/y"]
    axes = x.ndim - 1
    y = y.reshape(-1, *(1,) * axes) if y.ndim == 1 else y
    return np.moveaxis(x, 0, -1).copy(), state, np.moveaxis(y, 0, -1)


def saved(
    path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> Path:
    path.write_bytes(encode_weights(tensors, metadata or {}))
    return path


def plan_of(filter: str, x: Array, **rules: Any) -> Plan:
    names = tuple(str(c + 1) for c in range(x.shape[-1]))
    signal = Signal(medium=ARRAY, shape=x.shape[:-1], channels=names)
    return make_plan(filter, signal, rules_for(signal, **rules))


def filtered(plan: Plan, x: Array, cuts: tuple[int, ...] = (), threads: int = 1) -> Array:
    ends = [0, *sorted(min(c, len(x)) for c in cuts), len(x)]
    sink = Collected()
    run(plan, Blocks(plan.signal, [x[a:b] for a, b in pairwise(ends)]), sink, threads=threads)
    return np.concatenate(sink.parts)


# -------------------------------------------------------------------------------------------- torch


@every_case
def test_the_numbers_are_those_of_torch(number: int, layers: str, tmp_path: Path) -> None:
    x, state, y = reference(number)
    path = saved(tmp_path / "m.safetensors", state)
    # Without a padding of their own, layers are filters; what torch computes of them is `valid`.
    edges = ("zero", "edge", "wrap", "shrink") if "padding" in layers else ("valid",)
    for edge in edges:
        plan = plan_of(f'model:{path},layers="{layers}"', x, edge=edge)
        z = filtered(plan, x)
        assert z.shape == y.shape == (*plan.result.shape, len(plan.result.channels))
        np.testing.assert_allclose(z, y, rtol=0, atol=1e-12)


@every_case
def test_blocks_are_the_whole(number: int, layers: str, tmp_path: Path) -> None:
    x, state, y = reference(number)
    path = saved(tmp_path / "m.safetensors", state)
    text = f'model:{path},layers="{layers}"'
    for align in ("center", "causal"):
        if align == "causal" and ("reflect" in layers or "circular" in layers):
            with pytest.raises(RequestError, match="looks ahead"):
                plan_of(text, x, align=align)
            continue
        plan = plan_of(text, x, align=align)
        whole = filtered(plan, x)
        assert whole.shape == (*plan.result.shape, len(plan.result.channels))
        if align == "center" and "padding" in layers:
            np.testing.assert_allclose(whole, y, rtol=0, atol=1e-12)
        width = plan.chain.reach[0].before + plan.chain.reach[0].after + 1
        for size in (1, 2, 3, width, 7):
            for threads in (1, 2):
                z = filtered(plan, x, tuple(range(0, len(x), size)), threads)
                np.testing.assert_allclose(z, whole, rtol=0, atol=1e-12)
        if align == "causal" and not any(step.sees_whole for step in plan.steps):
            assert plan.chain.look_ahead(0) <= 0


@every_case
def test_single_precision_stays(number: int, layers: str, tmp_path: Path) -> None:
    x, state, _ = reference(number)
    path = saved(
        tmp_path / "m.safetensors",
        {name: tensor.astype(np.float32) for name, tensor in state.items()},
    )
    plan = plan_of(f'model:{path},layers="{layers}"', x)
    y = filtered(plan, x.astype(np.float32))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, filtered(plan, x), rtol=0, atol=1e-5)


# -------------------------------------------------------------------------------------- as a filter


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, shape)


@pytest.mark.parametrize(
    "edge", ["shrink", "zero", "edge", "reflect", "symmetric", "wrap", "valid"]
)
@pytest.mark.parametrize("align", ["center", "causal"])
def test_one_filter_is_a_correlation(edge: Any, align: Any, tmp_path: Path) -> None:
    w = noise(1, 1, 6)
    path = saved(tmp_path / "m.safetensors", {"0.weight": w})
    x = noise(50, 2)
    taps = ",".join(map(repr, w[0, 0].tolist()))
    if align == "center" and edge != "valid":
        # torch's padding="same" adds a sample more behind the signal: taps of 0 move the centre.
        taps = f"0,{taps}"
    expected = apply(f"correlate:{taps}", x, edge=edge, align=align)
    np.testing.assert_allclose(
        apply(f"model:{path}", x, edge=edge, align=align), expected, atol=1e-14
    )
    # The same taps as a layer: a bias of 0 makes it one.
    path = saved(tmp_path / "b.safetensors", {"0.weight": w, "0.bias": np.zeros(1)})
    if edge != "shrink":
        np.testing.assert_allclose(
            apply(f"model:{path}", x, edge=edge, align=align), expected, atol=1e-14
        )


def test_dilated_taps_are_a_correlation(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors", {"0.weight": np.array([[[1.0, 2.0, 3.0]]])})
    x = noise(30)
    np.testing.assert_allclose(
        apply(f'model:{path},layers="conv:dilation=2"', x), apply("correlate:1,0,2,0,3", x)
    )


def test_one_channel_models_filter_every_channel(tmp_path: Path) -> None:
    state = {
        "0.weight": noise(4, 1, 5),
        "0.bias": noise(4),
        "2.weight": noise(1, 4, 3),
        "2.bias": noise(1),
    }
    path = saved(tmp_path / "m.safetensors", state, {"layers": "conv | tanh | conv"})
    x = noise(40, 3)
    together = apply(f"model:{path}", x)
    for channel in range(3):
        np.testing.assert_allclose(
            together[:, channel], apply(f"model:{path}", x[:, channel]), atol=1e-14
        )


def test_steps_beside_a_model(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "m.safetensors", {"0.weight": noise(3, 2, 4), "2.weight": noise(2, 3, 5)}
    )
    text = f'model:{path},layers="conv:stride=2|relu|conv"'
    x = noise(60, 2)
    plan = plan_of(f"box:3 | {text} | diff:1", x, edge="reflect")
    whole = filtered(plan, x)
    by_hand = apply("box:3", x, edge="valid")
    by_hand = apply("diff:1", apply(text, by_hand, edge="valid"), edge="valid", align="center")
    np.testing.assert_allclose(
        filtered(plan_of(f"box:3 | {text} | diff:1", x, edge="valid"), x), by_hand, atol=1e-13
    )
    for size in (1, 7, 13):
        np.testing.assert_allclose(filtered(plan, x, tuple(range(0, 60, size))), whole, atol=1e-13)


def test_prefix_nested_and_bare_names(tmp_path: Path) -> None:
    w, b = noise(1, 1, 3), noise(1)
    x = noise(20)
    expected = np.correlate(x, w[0, 0], "valid") + b
    for names in (("net.0.weight", "net.0.bias"), ("weight", "bias"), ("0.weight", "0.bias")):
        path = saved(
            tmp_path / "m.safetensors", {names[0]: w, names[1]: b.reshape(1, 1)}
        )  # equinox: (out, 1)
        np.testing.assert_allclose(apply(f"model:{path}", x, edge="valid"), expected, atol=1e-15)


# ------------------------------------------------------------------------------ pictures and tables


def image(shape: tuple[int, int], channels: tuple[str, ...], alpha: int | None = None) -> Signal:
    return Signal(medium=IMAGE, shape=shape, channels=channels, alpha=alpha, full_scale=255.0)


def test_pictures_enter_and_leave_as_0_to_1(tmp_path: Path) -> None:
    w, b = noise(3, 3, 3, 3), noise(3)
    path = saved(tmp_path / "m.safetensors", {"0.weight": w, "0.bias": b})
    x = np.rint(255 * np.abs(noise(12, 13, 3)))
    signal = image((12, 13), ("R", "G", "B"))
    plan = make_plan(f"model:{path} | relu", signal, rules_for(signal, edge="valid"))
    expected = 255 * np.maximum(naive(x / 255, w, b), 0)
    np.testing.assert_allclose(filtered(plan, x), expected, atol=1e-11)


def naive(x: Array, w: Array, b: Array) -> Array:
    """A valid Conv2d in plain loops."""
    out, _, height, width = w.shape
    y = np.zeros((x.shape[0] - height + 1, x.shape[1] - width + 1, out))
    for r, c, o in np.ndindex(*y.shape):
        y[r, c, o] = b[o] + sum(
            w[o, i, p, q] * x[r + p, c + q, i] for i, p, q in np.ndindex(w.shape[1], height, width)
        )
    return y


@pytest.mark.parametrize("inputs", [1, 3])
def test_opacity_goes_past_a_model(inputs: int, tmp_path: Path) -> None:
    state = {
        "0.weight": noise(4, inputs, 3, 3),
        "2.weight": noise(inputs, 4, 3, 3),
        "2.bias": noise(inputs),
    }
    path = saved(tmp_path / "m.safetensors", state, {"layers": "conv | relu | conv"})
    x = np.rint(255 * np.abs(noise(12, 13, 4)))
    signal = image((12, 13), ("R", "G", "B", "A"), alpha=3)
    y = filtered(make_plan(f"model:{path}", signal, rules_for(signal)), x)
    np.testing.assert_allclose(y[..., 3], x[..., 3], atol=1e-12)
    opaque = image((12, 13), ("R", "G", "B"))
    expected = filtered(make_plan(f"model:{path}", opaque, rules_for(opaque)), x[..., :3])
    np.testing.assert_allclose(y[..., :3], expected, atol=1e-11)


def table(columns: tuple[str, ...], n: int) -> Signal:
    return Signal(medium=TABLE, shape=(n,), channels=columns)


def test_two_outputs_of_one_column(tmp_path: Path) -> None:
    w, b = noise(2, 1, 3), noise(2)
    path = saved(tmp_path / "m.safetensors", {"0.weight": w, "0.bias": b})
    x = noise(12, 1)
    signal = table(("Close",), 12)
    plan = make_plan(f"model:{path}", signal, rules_for(signal))
    assert plan.result.channels == ("y0", "y1")
    y = filtered(plan, x)
    assert y.shape == (12, 2)
    for t in range(2, 12):
        np.testing.assert_allclose(y[t], b + w[:, 0] @ x[t - 2 : t + 1, 0], atol=1e-14)
    # A model of one output filters every column by itself; one of two outputs has no place for a
    # second column.
    several = table(("a", "b", "c"), 12)
    with pytest.raises(RequestError, match="takes 1 column, and this signal has 3"):
        make_plan(f"model:{path}", several, rules_for(several))
    named = saved(tmp_path / "n.safetensors", {"0.weight": w}, {"targets": '["low","high"]'})
    assert make_plan(f"model:{named}", signal, rules_for(signal)).result.channels == ("low", "high")


@pytest.mark.parametrize("alpha", [None, 1])
def test_the_outputs_of_a_network_are_named_as_colours(alpha: int | None, tmp_path: Path) -> None:
    w, b = noise(3, 1, 3, 3), noise(3)
    path = saved(tmp_path / "m.safetensors", {"0.weight": w, "0.bias": b})
    grey = ("grey",) if alpha is None else ("grey", "A")
    x = np.rint(255 * np.abs(noise(9, 10, len(grey))))
    signal = image((9, 10), grey, alpha)
    plan = make_plan(f"model:{path}", signal, rules_for(signal, edge="valid"))
    assert plan.result.channels == ("R", "G", "B", *grey[1:])
    y = filtered(plan, x)
    np.testing.assert_allclose(y[..., :3], 255 * naive(x[..., :1] / 255, w, b), atol=1e-11)
    np.testing.assert_allclose(y[..., 3:], x[1:-1, 1:-1, 1:], atol=1e-12)


def test_the_names_of_other_numbers_of_outputs(tmp_path: Path) -> None:
    def names(w: Array, signal: Signal) -> tuple[str, ...]:
        path = saved(tmp_path / "m.safetensors", {"0.weight": w})
        return make_plan(f"model:{path}", signal, rules_for(signal)).result.channels

    colours = image((9, 10), ("R", "G", "B"))
    assert names(noise(1, 3, 3, 3), colours) == ("grey",)
    assert names(noise(2, 3, 3, 3), colours) == ("1", "2")
    assert names(noise(3, 3, 3, 3), colours) == ("R", "G", "B")
    mono = Signal(medium=AUDIO, shape=(50,), channels=("mono",), rate=8000.0)
    stereo = Signal(medium=AUDIO, shape=(50,), channels=("left", "right"), rate=8000.0)
    assert names(noise(2, 1, 3), mono) == ("left", "right")
    assert names(noise(1, 2, 3), stereo) == ("mono",)
    assert names(noise(3, 2, 3), stereo) == ("1", "2", "3")


def test_missing_cells_hold_the_nearest_earlier_value(tmp_path: Path) -> None:
    w = noise(1, 2, 3)
    path = saved(
        tmp_path / "m.safetensors", {"0.weight": w}, {"targets": '["b"]', "columns": '["a","b"]'}
    )
    x = noise(12, 2)
    x[4, 0] = x[8, 1] = x[9, 1] = np.nan
    held = x.copy()
    held[4, 0], held[8, 1], held[9, 1] = x[3, 0], x[7, 1], x[7, 1]
    held = np.concatenate([held[:1], held[:1], held])  # and at the start the first
    expected = np.array([(held[t : t + 3].T * w[0]).sum() for t in range(12)])
    signal = table(("a", "b"), 12)
    for missing, gone in (
        ("fill", []),
        ("keep", [4, 8, 9]),
        ("propagate", [4, 5, 6, 8, 9, 10, 11]),
    ):
        rules = Rules(edge="shrink", align="causal", missing=missing)  # type: ignore[arg-type]
        plan = make_plan(f"model:{path}", signal, rules)
        assert plan.result.channels == ("b",)
        y = filtered(plan, x)[:, 0]
        wanted = expected.copy()
        wanted[gone if missing == "keep" else [0, 1, *gone] if missing == "propagate" else []] = (
            np.nan
        )
        np.testing.assert_allclose(y, wanted, atol=1e-14)
        for size in (1, 2, 5):
            np.testing.assert_array_equal(filtered(plan, x, tuple(range(0, 12, size)))[:, 0], y)


# ---------------------------------------------------------------------------------- what is refused


def raw(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str = "F32", shape: Any = (1, 1, 3), offsets: Any = (0, 12)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


GOOD = raw({"0.weight": entry()}, np.ones(3, "<f4").tobytes())
BAD = {
    "empty": (b"", "0 bytes"),
    "cut in the length": (b"abc", "3 bytes"),
    "huge header": (struct.pack("<Q", 1 << 62), "at most 100,000,000"),
    "header longer than the file": (struct.pack("<Q", 1000) + b"{}", "truncated"),
    "no JSON": (raw(b"{nonsense"), "not JSON"),
    "no text": (raw(b"\xff\xfe"), "not JSON"),
    "too deep": (raw(b"[" * 100_000), "not JSON"),
    "a name twice": (
        raw(
            b'{"0.weight": '
            + json.dumps(entry()).encode()
            + b', "0.weight": '
            + json.dumps(entry()).encode()
            + b"}"
        ),
        "says '0.weight' twice",
    ),
    "a dtype that is a list": (raw({"0.weight": {**entry(), "dtype": ["F32"]}}), "stored as"),
    "a dtype that is an object": (raw({"0.weight": {**entry(), "dtype": {}}}), "stored as {}"),
    "101 dimensions": (raw({"0.weight": entry(shape=(1,) * 100 + (3,))}, bytes(12)), "at most 8"),
    "a side beyond arrays": (
        raw({"0.weight": entry(shape=(1 << 70, 0), offsets=(0, 0))}),
        "whole numbers",
    ),
    "nothing by nothing": (
        raw({"0.weight": entry(shape=(1 << 31, 1 << 31, 1 << 31, 0), offsets=(0, 0))}),
        "holds nothing",
    ),
    "a number of 4,000 digits": (
        raw({"0.weight": entry(shape=(10**4000,), offsets=(0, 10**4000))}),
        "whole numbers",
    ),
    "a type with a long name": (raw({"0.weight": entry("F" * 100_000)}, bytes(12)), "stored as 'F"),
    "many networks": (
        raw(
            {f"{c}.0.weight": entry(offsets=(12 * c, 12 * c + 12)) for c in range(5000)},
            bytes(60000),
        ),
        "and 4,988 more",
    ),
    "a length of 2^63": (struct.pack("<Q", 1 << 63) + b"{}", "at most 100,000,000"),
    "a list": (raw([1, 2]), "not a map"),
    "no tensor": (raw({}), "no tensor"),
    "cut in the data": (GOOD[:-4], "truncated"),
    "more than the tensors": (GOOD + b"x", "1 bytes follow"),
    "a pickle": (b"\x80\x04\x95" + bytes(30), "nothing is ever unpickled"),
    "wrong size": (raw({"0.weight": entry(shape=(1, 1, 4))}, bytes(12)), "takes 16 bytes, not 12"),
    "a negative side": (raw({"0.weight": entry(shape=(1, -1, -3))}, bytes(12)), "whole numbers"),
    "a fraction": (raw({"0.weight": entry(shape=(1, 1, 3.0))}, bytes(12)), "whole numbers"),
    "overlapping": (
        raw({"0.weight": entry(), "0.bias": entry(shape=(3,))}, bytes(12)),
        "begins at byte 0",
    ),
    "a hole": (raw({"0.weight": entry(offsets=(4, 16))}, bytes(16)), "begins at byte 4"),
    "integers": (raw({"0.weight": entry("I32")}, bytes(12)), "stored as 'I32'"),
    "nothing in it": (raw({"0.weight": entry(shape=(1, 0, 3), offsets=(0, 0))}), "holds nothing"),
    "three offsets": (raw({"0.weight": entry(offsets=(0, 12, 12))}, bytes(12)), "not two"),
    "metadata of numbers": (
        raw({"__metadata__": {"a": 1}, "0.weight": entry()}, bytes(12)),
        "not a map of texts",
    ),
    "NaN": (
        raw({"0.weight": entry()}, np.array([1, np.nan, 2], "<f4").tobytes()),
        r"0\.weight\[0, 0, 1\] is not finite",
    ),
    "infinity": (
        raw({"0.weight": entry()}, np.array([1, 2, np.inf], "<f4").tobytes()),
        "not finite",
    ),
    "other names": (raw({"weights": entry()}, bytes(12)), "expected tensors called"),
    "a bias alone": (raw({"0.bias": entry(shape=(3,))}, bytes(12)), "has no 0.weight"),
    "two networks": (
        raw({"a.0.weight": entry(), "b.1.weight": entry(offsets=(12, 24))}, bytes(24)),
        "several networks",
    ),
    "a rate that is none": (
        raw({"__metadata__": {"rate": "fast"}, "0.weight": entry()}, bytes(12)),
        "'fast'",
    ),
    "columns that are none": (
        raw({"__metadata__": {"columns": "{}"}, "0.weight": entry()}, bytes(12)),
        "list of names",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    content, told = BAD[name]
    path.write_bytes(content)
    with pytest.raises(InputError, match=told) as caught:
        apply(f"model:{path}", noise(20))
    assert len(caught.value.message) < 500 + len(str(path))


def test_names_that_occur_twice_are_found_in_one_pass(tmp_path: Path) -> None:
    """Comparing each of 200,000 names with all others would take hours."""
    names = [f'"{number}": 0' for number in range(200_000)]
    path = tmp_path / "m.safetensors"
    path.write_bytes(raw(("{" + ", ".join([*names, names[-1]]) + "}").encode()))
    with pytest.raises(InputError, match="says '199999' twice"):
        read_weights(path)


def broken(seed: int) -> bytes:
    """A model file of which one value, or some bytes, are something else."""
    random = np.random.default_rng(seed)
    odd: list[Any] = [
        None,
        [],
        {},
        "",
        "x" * 999,
        -1,
        1.5,
        True,
        1 << 40,
        1 << 80,
        [[1]],
        {"a": []},
    ]
    header: dict[str, Any] = {
        "__metadata__": {"layers": "conv | relu | conv", "rate": "8000", "columns": '["a"]'},
        "0.weight": entry(),
        "2.weight": entry(offsets=(12, 24)),
    }
    place: Any = header
    while isinstance(place, (dict, list)) and place:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = keys[random.integers(len(keys))]
        if random.random() < 0.4 or not isinstance(place[key], (dict, list)):
            place[key] = odd[random.integers(len(odd))]
            break
        place = place[key]
    content = bytearray(raw(header, bytes(24)))
    if random.random() < 0.3:
        for at in random.integers(len(content), size=random.integers(1, 4)):
            content[at] = random.integers(256)
    return bytes(content)


@pytest.mark.parametrize("seed", range(200))
def test_a_broken_file_is_an_error_in_words(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(broken(seed))
    y = None
    with contextlib.suppress(InputError, RequestError):
        y = apply(f"model:{path}", noise(20))
    assert y is None or len(y) == 20


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(GOOD)
    with path.open("r+b") as file:
        file.truncate(1 << 30)  # sparse
    tracemalloc.start()
    with pytest.raises(InputError, match="bytes follow the last tensor"):
        read_weights(path)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for length in range(len(GOOD)):
        path.write_bytes(GOOD[:length])
        with pytest.raises(InputError):
            read_weights(path)


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(InputError, match="expected a model"):
            apply(f"model:{path}", noise(20))


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16"])
def test_types_of_weights(dtype: str, tmp_path: Path) -> None:
    values = np.array([1.0, -0.5, 3.0])
    stored = {"F64": values, "F32": values.astype("<f4"), "F16": values.astype("<f2")}.get(dtype)
    data = (
        (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
        if stored is None
        else stored.tobytes()
    )
    path = tmp_path / "m.safetensors"
    path.write_bytes(raw({"0.weight": entry(dtype, offsets=(0, len(data)))}, data))
    assert read_weights(path).tensors["0.weight"].ravel().tolist() == values.tolist()


def test_what_we_write_others_read(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    tensors = {"0.weight": noise(2, 3, 5), "10.bias": noise(7).astype(np.float32)}
    path = saved(tmp_path / "m.safetensors", tensors, {"layers": "conv | \u00e4"})
    for name, tensor in numpy.load_file(path).items():
        np.testing.assert_array_equal(tensor, tensors[name])
        assert tensor.dtype == tensors[name].dtype
    numpy.save_file(tensors, path, {"layers": "conv"})
    back = read_weights(path)
    assert back.metadata == {"layers": "conv"}
    assert all((back.tensors[name] == tensors[name]).all() for name in tensors)


def refused(layers: str, state: Mapping[str, Any], x: Array, tmp_path: Path, **rules: Any) -> str:
    path = saved(tmp_path / "m.safetensors", state)
    with pytest.raises(RequestError) as caught:
        apply(f'model:{path},layers="{layers}"', x, **rules)
    return caught.value.message.replace(str(path), "m")


def test_layers_and_tensors_must_fit(tmp_path: Path) -> None:
    one, two = (
        {"0.weight": noise(1, 1, 3)},
        {"0.weight": noise(2, 1, 3), "2.weight": noise(1, 2, 3)},
    )
    x = noise(20)
    assert (
        refused("conv|relu|conv", one, x, tmp_path)
        == "m has no 2.weight for this layer; it has 0.weight"
    )
    assert "layer 2 is relu" in refused("conv|relu|relu", two, x, tmp_path)
    many = "|".join(["relu"] * 2000)
    assert "2,000 layers; at most 1,000 are run" in refused(many, one, x, tmp_path)
    assert "only 1 layers" in refused("conv", two, x, tmp_path)
    assert "another layer" in refused("conv:2,3", one, x, tmp_path)
    assert "another layer" in refused("conv:1,5", one, x, tmp_path)
    assert "evenly" in refused("conv:groups=3|relu|conv", two, x, tmp_path)
    assert "not a layer" in refused("conv|box:3", one, x, tmp_path)
    assert "not a layer" in refused("conv|normalize", one, x, tmp_path)
    assert "padding is a number or same" in refused("conv:padding=-1", one, x, tmp_path)
    assert "stride of 1" in refused("conv:padding=same,stride=2", one, x, tmp_path)
    assert "0.bias has the shape (2,), expected (1,)" in refused(
        "conv", {**one, "0.bias": noise(2)}, x, tmp_path
    )
    uneven = {"0.weight": noise(3, 1, 3), "1.weight": noise(1, 2, 3)}
    assert "takes 2 channels, and 3 come" in refused("conv|conv", uneven, x, tmp_path)
    assert "no parameter 'strides'" in refused("conv:strides=2", one, x, tmp_path)
    long = {"0.weight": noise(2, 2, 3), "2.weight": noise(3, 8)}
    assert "2 channels of 20 come" in refused("conv|flatten|dense", long, noise(20, 2), tmp_path)


def test_models_and_signals_must_fit(tmp_path: Path) -> None:
    two = {"0.weight": noise(2, 2, 3)}
    assert (
        refused("conv", two, noise(20, 3), tmp_path)
        == "model: m takes 2 channels, and this signal has 3"
    )
    assert "this signal needs (out, in, height, width)" in refused(
        "conv", two, noise(9, 9, 2), tmp_path
    )
    assert "this signal needs (out, in, k)" in refused(
        "conv", {"0.weight": noise(1, 1, 3, 3)}, noise(9), tmp_path
    )
    path = saved(tmp_path / "r.safetensors", {"0.weight": noise(1, 1, 3)}, {"rate": "16000.0"})
    with pytest.raises(RequestError, match="16000 samples per second, and this one has 44100"):
        apply(f"model:{path}", noise(9), rate=44100)
    path = saved(tmp_path / "c.safetensors", {"0.weight": noise(2, 2, 3)}, {"columns": '["a","b"]'})
    plan = make_plan(f"model:{path}", table(("b", "a"), 9), Rules(edge="shrink", align="causal"))
    assert plan.steps[0].stage.notices == (
        f"{path} was learned from the columns a, b and runs on b, a",
    )
    path = saved(
        tmp_path / "n.safetensors", {"0.weight": noise(2, 2, 3), "1.weight": noise(2, 2, 3)}
    )
    with pytest.raises(
        RequestError, match=r"say what its layers are; it has 0\.weight \(2, 2, 3\), 1\.weight"
    ) as caught:
        apply(f"model:{path}", noise(9, 2))
    assert str(caught.value.hint).endswith('layers="conv(0) | conv(1)"')


@pytest.mark.parametrize("text", ["sigmoid|model", "model", 'model:layers="conv"'])
def test_a_model_needs_a_path(text: str) -> None:
    with pytest.raises(RequestError, match="model needs PATH"):
        apply(text, noise(9))
    call = parse(text)[-1]
    assert label_of((call,)).startswith("model")


def test_a_fault_in_the_layers_is_shown(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors", {"0.weight": noise(1, 1, 3)})
    with pytest.raises(RequestError) as caught:
        apply(f'model:{path},layers="conv | leaky_rel"', noise(9))
    assert caught.value.excerpt == ("conv | leaky_rel", "       ^")
    assert caught.value.hint == "did you mean leaky_relu?"


def test_taps_of_a_layer_that_pads_its_own_input_have_no_place(tmp_path: Path) -> None:
    """They meet samples that are not those of the file, so that no delay is told of them."""
    path = saved(tmp_path / "m.safetensors", {"0.weight": np.ones((2, 1, 3))})
    for layers, before in (("conv", 2), ("conv:padding=1", None)):
        plan = plan_of(f'model:{path},layers="{layers}"', np.zeros((20, 1)), align="causal")
        learned = plan.steps[0].stage.learned
        assert learned is not None
        place = learned.position
        assert (place and place.before) == before
