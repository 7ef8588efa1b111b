"""Networks run by onnxruntime: without seams, and with the answers of the paths of this program."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from convcli import apply
from convcli.core import blocks
from convcli.core.binding import Rules
from convcli.core.chain import Chain
from convcli.layers.conv_op import ConvOp
from convcli.layers.onnx import sessions
from convcli.layers.onnx.session_convs import ShiftedProducts
from convcli.layers.onnx.session_nodes import session_node
from convcli.layers.onnx.sessions import SessionExecutor
from convcli.layers.weights import encode_weights
from convcli.planning.plan import make_plan
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.signals import ARRAY, Signal

if TYPE_CHECKING:
    from pathlib import Path

    from convcli.core.executor import Executor
    from convcli.planning.plan import Plan
    from convcli.signals import Array

pytest.importorskip("onnxruntime")

RNG = np.random.default_rng(0)
# Sample axes, layers and the shapes of their tensors.
NETWORKS: dict[str, tuple[int, str, dict[str, tuple[int, ...]]]] = {
    "plane": (
        2,
        "conv:padding=1 | leaky_relu:0.1 | conv:padding=2,dilation=2 | relu | conv:padding=1",
        {"0.weight": (20, 2, 3, 3), "0.bias": (20,), "2.weight": (7, 20, 3, 3), "4.weight": (1, 7, 3, 3)},
    ),
    "pooled": (
        2,
        "conv | relu | batch_norm | max_pool:2,stride=1 | conv:stride=2 | tanh | conv:padding=1x0",
        {
            "0.weight": (8, 2, 3, 2),
            **dict.fromkeys(("2.weight", "2.bias", "2.running_mean", "2.running_var"), (8,)),
            "4.weight": (3, 8, 3, 3),
            "6.weight": (2, 3, 3, 1),
        },
    ),
    "few outputs": (
        2,
        "conv:padding=1 | relu | conv:padding=2x1,dilation=2x1 | leaky_relu:0.2 | conv",
        {"0.weight": (16, 2, 3, 3), "2.weight": (16, 16, 3, 3), "4.weight": (1, 16, 3, 2), "4.bias": (1,)},
    ),
    "line": (
        1,
        "conv:stride=4,padding=20 | relu | batch_norm | max_pool:2 | conv:padding=3 | relu | max_pool:2",
        {
            "0.weight": (24, 2, 40),
            "0.bias": (24,),
            **dict.fromkeys(("2.weight", "2.bias", "2.running_mean", "2.running_var"), (24,)),
            "4.weight": (16, 24, 7),
        },
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run what can be run by the library, however little it is, in small blocks."""
    monkeypatch.setattr(sessions, "count_in_library", lambda _, nodes: len(nodes))
    for name, side in (("ROWS", 8), ("MOST_ROWS", 8), ("COLUMNS", 12), ("MOST_COLUMNS", 12)):
        monkeypatch.setattr(blocks, name, side)


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Array]:
    """A model and a signal for it."""
    axes, layers, shapes = NETWORKS[request.param]
    tensors = {}
    for name, shape in shapes.items():
        positive = len(shape) == 1
        tensors[name] = RNG.uniform(0.5, 1, shape) if positive else RNG.uniform(-0.3, 0.3, shape)
    path = tmp_path / "m.safetensors"
    path.write_bytes(encode_weights(tensors, {"layers": layers}))
    shape = (34, 27, 2) if axes == 2 else (700, 2)
    return f"model:{path}", RNG.uniform(0, 1, shape).astype(np.float32)


def plan_for(text: str, x: Array, **rules: Any) -> Plan:
    signal = Signal(medium=ARRAY, shape=x.shape[:-1], channels=("1", "2"))
    return make_plan(text, signal, Rules(**{"edge": "zero", "align": "center"} | rules))


def filtered(text: str, x: Array, length: int, **rules: Any) -> Array:
    """`x` in blocks of a length."""
    plan = plan_for(text, x, **rules)
    sink = Collected()
    strips = [x[first : first + length] for first in range(0, len(x), length)]
    run(plan, Blocks(plan.signal, strips), sink, threads=1)
    return np.concatenate(sink.parts)


def executors_of(chain: Chain) -> list[Executor]:
    found = (op.executor(chain.ops[number:]) for number, op in enumerate(chain.ops))
    return [executor for executor in found if executor is not None]


def assert_close(y: Array, z: Array) -> None:
    """Two paths agree to the rounding of float32 beside the largest value."""
    finite = z[np.isfinite(z)]
    np.testing.assert_allclose(y, z, rtol=0, atol=2e-6 * max(1, np.abs(finite).max(initial=0)))


def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_installed", lambda: False)


@pytest.mark.parametrize("edge", ["zero", "valid"])
def test_strips_of_any_height_are_the_whole(
    network: tuple[str, Array], edge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, x = network
    assert executors_of(plan_for(text, x).chain)
    whole = filtered(text, x, len(x), edge=edge)
    for length in (1, 23):
        np.testing.assert_array_equal(filtered(text, x, length, edge=edge), whole)
    without_library(monkeypatch)
    assert not executors_of(plan_for(text, x).chain)
    assert_close(filtered(text, x, len(x), edge=edge), whole)


@pytest.mark.parametrize("missing", ["fill", "keep"])
def test_gaps_and_infinity_leave_all_other_outputs_alone(
    network: tuple[str, Array], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, x = network
    clean = filtered(text, x, len(x))
    x = x.copy()
    x[15:18] = np.nan
    x[3, ..., 1] = np.nan
    x[-4, ..., 0] = np.inf
    whole = filtered(text, x, len(x), missing=missing)
    for length in (1, 17):
        np.testing.assert_array_equal(filtered(text, x, length, missing=missing), whole)
    untouched = (whole == clean).mean()
    assert 0 < untouched < 1
    without_library(monkeypatch)
    assert_close(filtered(text, x, len(x), missing=missing), whole)


def test_a_signal_smaller_than_the_receptive_field(
    network: tuple[str, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, x = network
    small = x[:6, :6] if x.ndim == 3 else x[:20]
    whole = filtered(text, small, len(small))
    np.testing.assert_array_equal(filtered(text, small, 1), whole)
    without_library(monkeypatch)
    assert_close(filtered(text, small, len(small)), whole)


def test_networks_in_branches_and_threads(network: tuple[str, Array]) -> None:
    text, x = network
    for around in (f"downsample:2 | {text}", f"{text} & {text}"):
        whole = filtered(around, x, len(x))
        np.testing.assert_array_equal(filtered(around, x, 11), whole)
    one, two = (apply(text, np.concatenate([x] * 3), threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_overflow_on_the_way_is_that_of_the_other_paths(tmp_path: Path) -> None:
    tensors = {"0.weight": np.full((4, 2, 3), 1e30), "2.weight": np.full((1, 4, 1), 1e-30)}
    path = tmp_path / "m.safetensors"
    path.write_bytes(encode_weights(tensors, {"layers": "conv | relu | conv"}))
    x = np.ones((40, 2), np.float32)
    x[20] = 1e10
    y = filtered(f"model:{path}", x, 40)
    for length in (1, 7):
        np.testing.assert_array_equal(filtered(f"model:{path}", x, length), y)
    assert np.isinf(y[19:22]).all()
    assert np.isfinite(y[:19]).all()


# ------------------------------------------------------------------------------- when it is chosen


@pytest.fixture
def _by_cost(_always: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()


def conv_op(shape: tuple[int, ...], **others: Any) -> ConvOp:
    from convcli.layers.padding import Placement

    axes = len(shape) - 2
    nothing = (0,) * axes
    at = Placement(before=nothing, anchor=nothing, growth=nothing, padding=None)
    values = {"bias": None, "step": (1,) * axes, "dilation": (1,) * axes, "at": at} | others
    return ConvOp(weights=np.ones(shape), **values)


@pytest.mark.usefixtures("_by_cost")
def test_the_library_runs_what_it_computes_faster() -> None:
    def chosen(*ops: ConvOp) -> bool:
        return ops[0].executor(ops) is not None

    wide = conv_op((128, 128, 3, 3))
    assert chosen(conv_op((128, 1, 512), step=(4,)))
    assert chosen(conv_op((64, 32, 5, 5)), conv_op((64, 64, 5, 5)))
    # One layer alone has to be brought into another order and back.
    assert not chosen(wide)
    assert not chosen(conv_op((2, 2, 3, 3)))
    assert not chosen(conv_op((64, 2, 9, 9), groups=16))
    # Other products of matrices add up in an order that depends on their size.
    assert not chosen(conv_op((64, 18, 9, 9)))


@pytest.mark.usefixtures("_by_cost")
def test_layers_of_winograd_stay_here_and_others_go_to_the_library() -> None:
    window_of_3 = [conv_op((64, 64, 3, 3))] * 3
    window_of_5 = [conv_op((64, 64, 5, 5))] * 2
    assert window_of_3[0].executor(window_of_3) is None
    ops = [*window_of_3, *window_of_5, *window_of_3]
    assert sorted(Chain(tuple(ops), 2).executors) == [3]
    assert Chain(tuple(ops), 2).executors[3].count == 2
    # Bringing the samples into another order twice costs more than one layer of few channels here.
    ops = [*window_of_5, conv_op((1, 64, 3, 3)), conv_op((64, 1, 3, 3)), *window_of_5]
    assert Chain(tuple(ops), 2).executors[0].count == 6


@pytest.mark.usefixtures("_by_cost")
def test_few_outputs_after_a_stride_do_not_pay_for_another_order_of_inputs() -> None:
    first, second = conv_op((64, 64, 3, 3)), conv_op((64, 64, 5, 5))
    assert list(Chain((first, second), 2).executors) == [1]
    assert not Chain((first, replace(second, step=(8, 8))), 2).executors


def test_a_library_whose_sums_depend_on_the_place_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ops = (conv_op((8, 2, 5)),)
    assert ops[0].executor(ops) is not None
    right = SessionExecutor.outputs

    def wrong(self: SessionExecutor, x: Array, pads: Any) -> Array:
        return right(self, x, pads) * (1 + 1e-7 * len(x))

    monkeypatch.setattr(SessionExecutor, "outputs", wrong)
    assert ops[0].executor(ops) is None


def test_a_library_whose_sums_depend_on_the_padding_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ops = (conv_op((8, 2, 3, 3)), conv_op((8, 8, 3, 3), step=(2, 2)))
    assert ops[0].executor(ops) is not None
    right = SessionExecutor.outputs

    def wrong(self: SessionExecutor, x: Array, pads: Any) -> Array:
        factor = 1 + 1e-7 * any(low for sides in pads for low, _ in sides)
        return right(self, x, pads) * np.float32(factor)

    monkeypatch.setattr(SessionExecutor, "outputs", wrong)
    assert ops[0].executor(ops) is None


def test_few_outputs_are_shifted_products() -> None:
    few, many = conv_op((3, 128, 3, 3)), conv_op((32, 128, 3, 3))
    assert isinstance(session_node(few), ShiftedProducts)
    assert not isinstance(session_node(many), ShiftedProducts)
    # The library sums fewer channels than a block in another order.
    assert not isinstance(session_node(conv_op((1, 20, 5, 5))), ShiftedProducts)


def test_sessions_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_WEIGHTS", 1)
    ops = (conv_op((8, 2, 5)),)
    executor = ops[0].executor(ops)
    assert isinstance(executor, SessionExecutor)
    for side in range(4):
        assert len(executor.outputs(np.ones((9, 2), np.float32), [((side, 0),)])) == 5 + side
    assert executor.session_count == sessions.FEWEST_SESSIONS
