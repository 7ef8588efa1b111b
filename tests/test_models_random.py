"""Random stacks of layers: strips of any height are the whole, and all paths agree."""

from __future__ import annotations

import math
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convcli.core import blocks
from convcli.core.binding import Rules
from convcli.errors import RequestError
from convcli.layers.model import Model
from convcli.layers.onnx import sessions
from convcli.planning import plan as planning
from convcli.planning.plan import Plan, make_plan
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.signals import ARRAY, LearnedRules, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.signals import Array

    Draw = Callable[[st.SearchStrategy[Any]], Any]


class Drawn(NamedTuple):
    """A layer as text, its tensors, the channels that come out, and how the rate changes."""

    text: str
    tensors: dict[str, Array]
    channels: int
    growth: int = 1


def _weights(draw: Draw, *shape: int) -> Array:
    random = np.random.default_rng(draw(st.integers(0, 99)))
    return random.normal(0, 1 / math.sqrt(math.prod(shape[1:])), shape)


def _conv(draw: Draw, channels: int, axes: int) -> Drawn:
    sizes = [draw(st.integers(1, 4)) for _ in range(axes)]
    made = draw(st.integers(1, 6))
    text = f"conv:dilation={draw(st.integers(1, 2))},stride={draw(st.integers(1, 2))}"
    mode = draw(st.sampled_from(["zeros", "zeros", "reflect", "replicate"]))
    if draw(st.booleans()):
        text += f",padding={draw(st.integers(0, 3))},padding_mode={mode}"
    return Drawn(text, {"weight": _weights(draw, made, channels, *sizes)}, made)


def _square_conv(draw: Draw, channels: int, axes: int) -> Drawn:
    made = draw(st.integers(1, 20))
    weights = _weights(draw, made, channels, *(3,) * axes)
    return Drawn(
        "conv:padding=1", {"weight": weights, "bias": weights.reshape(made, -1)[:, 0]}, made
    )


def _transposed(draw: Draw, channels: int, axes: int) -> Drawn:
    made = draw(st.integers(1, 4))
    text = f"conv_transpose:stride=2,padding={draw(st.integers(0, 1))}"
    return Drawn(text, {"weight": _weights(draw, channels, made, *(3,) * axes)}, made, 2)


def _norm(draw: Draw, channels: int, _: int) -> Drawn:
    names = ("weight", "bias", "running_mean")
    tensors = {name: _weights(draw, channels) for name in names}
    return Drawn("batch_norm", {**tensors, "running_var": np.full(channels, 0.7)}, channels)


def _prelu(draw: Draw, channels: int, _: int) -> Drawn:
    return Drawn("prelu", {"weight": _weights(draw, channels)}, channels)


def _function(draw: Draw, channels: int, _: int) -> Drawn:
    names = ["relu", "leaky_relu:0.1", "tanh", "elu", "silu", "hardswish", "softplus", "sigmoid"]
    return Drawn(draw(st.sampled_from(names)), {}, channels)


def _pool(draw: Draw, channels: int, _: int) -> Drawn:
    name = draw(st.sampled_from(["max_pool", "avg_pool", "min_pool"]))
    padding = draw(st.sampled_from(["", ",padding=1"]))
    return Drawn(
        f"{name}:{draw(st.integers(2, 3))},stride={draw(st.integers(1, 2))}{padding}", {}, channels
    )


def _upsampled(_: Draw, channels: int, __: int) -> Drawn:
    return Drawn("upsample:2", {}, channels, 2)


def _padded(draw: Draw, channels: int, _: int) -> Drawn:
    mode = draw(st.sampled_from(["zeros", "reflect", "replicate"]))
    return Drawn(f"pad:{draw(st.integers(1, 2))},mode={mode}", {}, channels)


KINDS = (_conv, _square_conv, _transposed, _norm, _prelu, _function, _pool, _upsampled, _padded)


@st.composite
def stacks(draw: Draw) -> tuple[Model, int]:
    """A network of up to five layers, and its sample axes."""
    axes = draw(st.sampled_from([1, 2, 2]))
    channels = 2
    texts: list[str] = []
    tensors: dict[int, Any] = {}
    growth = 1
    first = _conv(draw, channels, axes)
    for number in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(KINDS))
        layer = first if number == 0 else kind(draw, channels, axes)
        growth *= layer.growth
        if growth > 2:
            continue
        if layer.tensors:
            tensors[len(texts)] = layer.tensors
        texts.append(layer.text)
        channels = layer.channels
    return Model(path="net", layers=" | ".join(texts), tensors=tensors), axes


def _plan(model: Model, x: Array, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr("convcli.layers.model_reader.read_model", lambda *_, **__: model)
    monkeypatch.setattr(planning, "learned_rules", lambda _: LearnedRules())
    signal = Signal(medium=ARRAY, shape=x.shape[:-1], channels=("1", "2"))
    return make_plan("model:net", signal, Rules(edge="zero", align="center"))


def _filtered(plan: Plan, x: Array, heights: list[int]) -> Array:
    strips = []
    first = 0
    for height in cycle(heights):
        strips.append(x[first : first + height])
        first += height
        if first >= len(x):
            break
    sink = Collected()
    run(plan, Blocks(plan.signal, strips), sink, threads=1)
    return np.concatenate([np.empty((0, *x.shape[1:-1], 0)), *sink.parts][bool(sink.parts) :])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    drawn=stacks(),
    heights=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    rows=st.integers(1, 19),
    library=st.booleans(),
)
def test_strips_are_the_whole_and_the_paths_agree(
    drawn: tuple[Model, int], heights: list[int], rows: int, *, library: bool
) -> None:
    model, axes = drawn
    shape = (rows, 11, 2) if axes == 2 else (rows * 4, 2)
    x = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        for name, side in (("ROWS", 8), ("MOST_ROWS", 8), ("COLUMNS", 6), ("MOST_COLUMNS", 6)):
            patch.setattr(blocks, name, side)
        patch.setattr(sessions, "count_in_library", lambda _, nodes: library * len(nodes))
        try:
            plan = _plan(model, x, patch)
        except RequestError:
            return
        whole = _filtered(plan, x, [len(x)])
        np.testing.assert_array_equal(_filtered(plan, x, heights), whole)
        patch.setattr(sessions, "count_in_library", lambda *_: 0)
        double = _filtered(
            _plan(model, x.astype(np.float64), patch), x.astype(np.float64), [len(x)]
        )
        np.testing.assert_allclose(whole, double, rtol=1e-5, atol=1e-5)
