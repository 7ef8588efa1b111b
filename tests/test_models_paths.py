"""The paths by which layers are computed: the sum by its definition, and no seams wherever a signal is cut."""

from __future__ import annotations

import math
from itertools import cycle, pairwise, product
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from life import PATIENCE

from convcli.core import blocks
from convcli.core.activations import Rectifier
from convcli.core.binding import Rules
from convcli.core.blocks import OutputTask
from convcli.layers.conv_op import ConvOp
from convcli.layers.conv_path import ConvPath, ConvSums
from convcli.layers.conv_paths import ShiftedSums, TapByTap, WindowProduct, cheapest_conv_path
from convcli.layers.padding import Placement
from convcli.layers.weights import encode_weights, read_weights
from convcli.layers.winograd import Winograd
from convcli.planning.plan import make_plan
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.running.workers import Workers
from convcli.signals import ARRAY, TABLE, Medium, Signal

if TYPE_CHECKING:
    from convcli.signals import Array, Edge

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _own_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the library that runs networks; test_models_sessions.py is about that one."""
    monkeypatch.setattr("convcli.layers.onnx.sessions._installed", lambda: False)


def by_definition(sums: ConvSums, x: Array) -> Array:
    """The sum over all taps and inputs of one output after the other, as the docstring says."""
    w = sums.weights
    widths = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], sums.dilation, strict=True)]
    sides = [
        (n - width) // step + 1 for n, width, step in zip(x.shape, widths, sums.step, strict=False)
    ]
    y = np.zeros((*sides, len(w)))
    made = len(w) // sums.groups
    for place in np.ndindex(*sides):
        window = tuple(
            slice(k * step, k * step + width, d)
            for k, step, width, d in zip(place, sums.step, widths, sums.dilation, strict=True)
        )
        for o in range(len(w)):
            first = o // made * w.shape[1]
            inputs = np.moveaxis(x[window][..., first : first + w.shape[1]], -1, 0)
            y[(*place, o)] = (w[o] * inputs).sum() + (0 if sums.bias is None else sums.bias[o])
    return y if sums.activation is None else np.maximum(y, 0.1 * y)


def sums_with(weights: Array) -> ConvSums:
    return ConvSums(weights=weights, bias=None, step=(1, 1), dilation=(1, 1))


def sums_of(shape: tuple[int, ...], **others: Any) -> ConvSums:
    axes = len(shape) - 2
    values = {"step": (1,) * axes, "dilation": (1,) * axes, "bias": None} | others
    return ConvSums(weights=RNG.uniform(-1, 1, shape), **values)


ONE_AXIS = (sums_of((3, 2, 5), step=(2,), dilation=(3,)), (90, 2))
GROUPS = (sums_of((6, 2, 3, 2), step=(2, 3), dilation=(2, 1), groups=3), (9, 11, 6))
FEW = (sums_of((2, 5, 3, 4), dilation=(2, 1), bias=RNG.uniform(size=2)), (9, 11, 5))
EACH = (sums_of((4, 1, 2, 3), step=(2, 1), groups=4, bias=RNG.uniform(size=4)), (9, 11, 4))


@pytest.mark.parametrize(
    ("path", "case"),
    [
        *product([WindowProduct], [ONE_AXIS, GROUPS, FEW, EACH]),
        (ShiftedSums, FEW),
        (TapByTap, EACH),
    ],
)
def test_a_path_computes_the_sum(path: type[ConvPath], case: tuple[ConvSums, Any]) -> None:
    sums, shape = case
    x = RNG.uniform(-1, 1, shape)
    np.testing.assert_allclose(path(sums, np.float64)(x), by_definition(sums, x), atol=1e-13)


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (4, 4), (6, 5), (13, 22)])
@pytest.mark.parametrize("tiles", [1, 3, 1000])
def test_tiles_of_any_picture(
    size: tuple[int, int], tiles: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Winograd, "_tiles_at_once", (tiles, tiles))
    sums = sums_of((3, 2, 3, 3), bias=RNG.uniform(size=3), activation=Rectifier(0.1))
    x = RNG.uniform(-1, 1, (size[0] + 2, size[1] + 2, 3))[..., :2]
    y = Winograd(sums, np.float64)(x)
    np.testing.assert_allclose(y, by_definition(sums, x), atol=1e-13)
    single = Winograd(sums, np.float32)(x.astype(np.float32))
    np.testing.assert_allclose(single, y, atol=5e-6)


@pytest.mark.parametrize("sample", [np.inf, -np.inf, 1e38, 1e30, -1e15])
def test_a_huge_sample_changes_only_the_outputs_that_read_it(sample: float) -> None:
    """A tile of Winograd's algorithm has more inputs than the window of an output."""
    nothing = (0, 0)
    at = Placement(before=nothing, anchor=nothing, growth=nothing, padding=None)
    weights = RNG.uniform(0.1, 1, (32, 32, 3, 3))
    op = ConvOp(weights=weights, bias=None, step=(1, 1), dilation=(1, 1), at=at)
    x = RNG.uniform(0, 1, (15, 15, 32)).astype(np.float32)
    assert type(cheapest_conv_path(op.sums, x.dtype)) is Winograd
    clean = by_definition(op.sums, x)
    x[7, 7, 4] = sample
    y = op(x, ((0, 13), (0, 13)))
    touched = np.zeros((13, 13), bool)
    touched[5:8, 5:8] = True
    np.testing.assert_allclose(y[~touched], clean[~touched], rtol=1e-5)
    assert not (np.abs(y[touched]) < 0.01 * abs(sample)).any()


def test_the_path_that_costs_least() -> None:
    def chosen(*shape: int, **others: Any) -> type[ConvPath]:
        return type(cheapest_conv_path(sums_of(shape, **others), np.float32))

    assert chosen(64, 64, 3, 3) is Winograd
    assert chosen(32, 3, 3, 3) is chosen(64, 64, 5, 5) is WindowProduct
    assert chosen(64, 64, 3, 3, step=(2, 2)) is chosen(64, 64, 3) is WindowProduct
    assert chosen(1, 128, 3, 3) is ShiftedSums
    assert chosen(64, 1, 3, 3, groups=64) is TapByTap


# ---------------------------------------------------------------------------------------- no seams

# Layers, and the shapes of their weights by number.
STACKS: dict[str, dict[int, tuple[int, ...]]] = {
    "conv:padding=1 | leaky_relu:0.1 | conv:padding=1 | relu | conv:padding=1": {
        0: (20, 2, 3, 3),
        2: (24, 20, 3, 3),
        4: (1, 24, 3, 3),
    },
    "conv:padding=2x1,dilation=2x1 | max_pool:3,stride=2,padding=1 | conv | upsample:2": {
        0: (6, 2, 3, 3),
        2: (2, 6, 2, 3),
    },
    "pad:2,mode=reflect | conv:groups=2 | pixel_shuffle:2 | conv:padding=1,padding_mode=replicate": {
        1: (8, 1, 5, 5),
        3: (3, 2, 3, 3),
    },
    "conv:stride=2,padding=1 | prelu | conv_transpose:stride=2,padding=1,output_padding=1 | tanh": {
        0: (16, 2, 3, 3),
        1: (16,),
        2: (16, 3, 3, 3),
    },
    "pixel_unshuffle:2 | conv | elu | avg_pool:2,stride=1": {1: (5, 8, 3, 1)},
}
LINES: dict[str, dict[int, tuple[int, ...]]] = {
    "conv | relu | conv:dilation=3 | avg_pool:2": {0: (9, 2, 7), 2: (3, 9, 5)},
    "conv:padding=3,stride=2 | tanh | conv_transpose:stride=2 | conv:groups=2": {
        0: (4, 2, 7),
        2: (4, 6, 4),
        3: (2, 3, 3),
    },
}


def saved(folder: Path, layers: str, shapes: dict[int, tuple[int, ...]]) -> str:
    path = folder / "m.safetensors"
    scaled = {n: RNG.normal(0, 1 / math.sqrt(math.prod(s[1:])), s) for n, s in shapes.items()}
    tensors = {f"{number}.weight": weights for number, weights in scaled.items()}
    path.write_bytes(encode_weights(tensors, {"layers": layers}))
    return f"model:{path}"


def filtered(text: str, x: Array, heights: list[int], **rules: Any) -> Array:
    """`x` in strips of these heights, again and again."""
    medium: Medium = rules.pop("medium", ARRAY)
    threads = rules.pop("threads", 1)
    signal = Signal(medium=medium, shape=x.shape[:-1], channels=tuple(map(str, range(x.shape[-1]))))
    cuts = [0]
    for height in cycle(heights):
        cuts.append(min(cuts[-1] + height, len(x)))
        if cuts[-1] == len(x):
            break
    strips = [x[a:b] for a, b in pairwise(cuts)]
    sink = Collected()
    plan = make_plan(text, signal, Rules(**{"edge": "zero", "align": "center"} | rules))
    run(plan, Blocks(signal, strips), sink, threads=threads)
    return np.concatenate(sink.parts)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so small that a small picture has many in each direction."""
    monkeypatch.setattr(blocks, "ROWS", 8)
    monkeypatch.setattr(blocks, "MOST_ROWS", 8)
    monkeypatch.setattr(blocks, "COLUMNS", 12)
    monkeypatch.setattr(blocks, "MOST_COLUMNS", 12)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("layers", STACKS)
@pytest.mark.parametrize("edge", ["reflect", "valid"])
def test_strips_of_any_height_are_the_whole_picture(
    layers: str, edge: Edge, tmp_path: Path
) -> None:
    model = saved(tmp_path, layers, STACKS[layers])
    x = RNG.uniform(0, 1, (34, 26, 2)).astype(np.float32)
    whole = filtered(model, x, [34], edge=edge)
    for heights in ([1], [8], [23, 2]):
        np.testing.assert_array_equal(filtered(model, x, heights, edge=edge), whole)
    # Computed at once, the blocks have no edges: another path, the same but for the rounding.
    at_once = filtered(model, x.astype(np.float64), [34], edge=edge)
    np.testing.assert_allclose(whole, at_once, atol=2e-6)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("largest", [1.0, 3e38])
def test_values_held_after_a_row_of_blocks_are_those_of_all_its_outputs(
    largest: float, tmp_path: Path
) -> None:
    """The last row has them, unless sums overflow in the middle of the network."""
    layers = "conv | tanh | conv:stride=2 | conv"
    model = saved(tmp_path, layers, {0: (4, 2, 3, 3), 2: (4, 4, 3, 3), 3: (1, 4, 3, 3)})
    signal = Signal(medium=ARRAY, shape=(26, 20), channels=("1", "2"))
    chain = make_plan(model, signal, Rules(edge="zero", align="center")).chain
    rows = chain.reads(0, 8, None)[0]
    low, high = chain.needs(1, 0, 6, 20)[0]
    shape = (rows.high - rows.start, high - low, 2)
    x = (largest * RNG.uniform(-1, 1, shape)).astype(np.float32)
    task = OutputTask(chain=chain, x=x, span=((0, 8), (0, 6)), ends=(None, 20))
    with np.errstate(all="ignore"):
        _, expected = task.at_once()
        held = task.held_at_end()
    assert chain.held_places
    for place in chain.held_places:
        value = held(place)
        z = expected(place)
        assert value is not None
        assert z is not None
        np.testing.assert_allclose(value, z, rtol=1e-5, atol=1e-6 * largest)


@pytest.mark.usefixtures("small_blocks")
def test_steps_around_a_network_have_no_seams(tmp_path: Path) -> None:
    layers, shapes = next(iter(STACKS.items()))
    model = saved(tmp_path, layers, shapes)
    x = RNG.uniform(0, 1, (34, 26, 2)).astype(np.float32)
    for text in (f"{model} | gaussian:1", f"downsample:2 | {model}", f"mono - {model}"):
        whole = filtered(text, x, [34])
        for heights in ([1], [11]):
            np.testing.assert_array_equal(filtered(text, x, heights), whole)


@pytest.mark.usefixtures("small_blocks")
def test_gaps_in_a_picture_are_filled_across_blocks(tmp_path: Path) -> None:
    layers, shapes = next(iter(STACKS.items()))
    model = saved(tmp_path, layers, shapes)
    x = RNG.uniform(0, 1, (34, 26, 2)).astype(np.float32)
    x[3, 4, 1] = np.nan
    x[15:18, :, 0] = np.nan
    whole = filtered(model, x, [34], missing="fill")
    assert np.isfinite(whole).all()
    for heights in ([1], [17]):
        np.testing.assert_array_equal(filtered(model, x, heights, missing="fill"), whole)


def test_a_picture_smaller_than_the_receptive_field(tmp_path: Path) -> None:
    layers, shapes = next(iter(STACKS.items()))
    model = saved(tmp_path, layers, shapes)
    x = RNG.uniform(0, 1, (2, 3, 2)).astype(np.float32)
    whole = filtered(model, x, [2])
    np.testing.assert_array_equal(filtered(model, x, [1]), whole)
    # Each layer has its own zeros outside.
    tensors = read_weights(Path(model.removeprefix("model:"))).tensors
    y: Array = x.astype(np.float64)
    for number, slope in ((0, 0.1), (2, 0.0), (4, 1.0)):
        padded = np.pad(y, ((1, 1), (1, 1), (0, 0)))
        y = by_definition(sums_with(tensors[f"{number}.weight"]), padded)
        y = np.maximum(y, slope * y)
    np.testing.assert_allclose(whole, y, atol=1e-6)


@pytest.mark.parametrize("layers", LINES)
@pytest.mark.parametrize("medium", [ARRAY, TABLE], ids=["array", "table"])
def test_blocks_of_any_length_are_the_whole_signal(
    layers: str, medium: Medium, tmp_path: Path
) -> None:
    model = saved(tmp_path, layers, LINES[layers])
    x = RNG.uniform(-1, 1, (331, 2))
    whole = filtered(model, x, [331], medium=medium)
    for lengths in ([1], [64], [7, 150]):
        np.testing.assert_array_equal(filtered(model, x, lengths, medium=medium), whole)


def test_blocks_that_lie_in_padding_and_pictures_too_small_for_a_window(tmp_path: Path) -> None:
    x = RNG.uniform(0, 1, (17, 6, 2)).astype(np.float32)
    model = saved(tmp_path, "conv:dilation=2 | pad:3", {0: (3, 2, 2, 2)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "COLUMNS", 4)
        patch.setattr(blocks, "MOST_COLUMNS", 4)
        padded = filtered(model, x, [17])
    assert padded.shape == (21, 10, 3)
    assert not padded[:, :3].any()
    assert not padded[:, -3:].any()
    np.testing.assert_array_equal(filtered(model, x, [2])[:, :, :2], padded[:, :, :2])
    wide = saved(tmp_path, "conv | conv_transpose:stride=2", {0: (3, 2, 2, 9), 1: (3, 1, 2, 2)})
    assert filtered(wide, x, [2]).size == 0


def test_a_row_is_what_it_is_when_the_table_ends_there(tmp_path: Path) -> None:
    model = saved(tmp_path, "conv | relu | conv", {0: (9, 2, 7), 2: (3, 9, 5)})
    x = RNG.uniform(-1, 1, (150, 2))
    rules: dict[str, Any] = {"medium": TABLE, "edge": "edge", "align": "causal"}
    whole = filtered(model, x, [150], **rules)
    for n in (1, 63, 64, 100):
        np.testing.assert_array_equal(filtered(model, x[:n], [n], **rules), whole[:n])


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("heights", [[60], [31], [8]])
def test_threads_change_nothing(tmp_path: Path, heights: list[int]) -> None:
    """One job whose blocks are shared, two jobs, and more jobs than threads."""
    layers, shapes = next(iter(STACKS.items()))
    model = saved(tmp_path, layers, shapes)
    x = RNG.uniform(0, 1, (60, 26, 2)).astype(np.float32)
    one = filtered(model, x, heights, threads=1)
    for threads in (2, 3):
        np.testing.assert_array_equal(filtered(model, x, heights, threads=threads), one)


def test_a_thread_without_a_job_helps_with_the_blocks_of_another() -> None:
    both_at_once = Barrier(2)

    def block(number: int) -> int:
        both_at_once.wait(PATIENCE)
        return number

    with Workers(2) as workers:

        def job(blocks: list[int]) -> list[int]:
            return workers.nested_map(block, blocks)

        assert list(workers.map(job, [[], [5, 7]])) == [[], [5, 7]]
        assert list(workers.map(job, [[1, 2, 3, 4]])) == [[1, 2, 3, 4]]


def test_an_error_in_a_shared_block_is_that_of_the_job() -> None:
    with Workers(2) as workers:

        def job(blocks: list[int]) -> list[float]:
            return workers.nested_map(lambda number: 1 / number, blocks)

        for jobs in ([[1, 2], [3, 0, 1]], [[1, 1, 0]]):
            with pytest.raises(ZeroDivisionError):
                list(workers.map(job, jobs))
