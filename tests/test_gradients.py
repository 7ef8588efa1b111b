"""Gradients are those of finite differences, and what is trained is what `model:` runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcli import RequestError
from convcli.core.binding import Rules
from convcli.layers.bands import Band
from convcli.layers.phases import split_phases
from convcli.layers.training.gradients import Worker
from convcli.layers.transposed import PhaseWeights, TransposedAxis
from convcli.layers.weights import encode_weights
from convcli.learning.dataset import TrainingSignal, complete_windows
from convcli.learning.pairs import Channels
from convcli.learning.sampler import WindowSampler
from convcli.learning.target_rate import TargetRate
from convcli.learning.trainable_network import TrainableNetwork, read_network
from convcli.learning.trainer import Adam
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.planning.plan import make_plan
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.signals import ARRAY, Signal

if TYPE_CHECKING:
    from convcli.signals import Align, Array

# -------------------------------------------------------------------------------------------- bands

few = st.integers(1, 3)
LOSSES = np.load(Path(__file__).parent / "reference" / "torch_losses.npz")
LOSSES_TEXTS = json.loads(str(LOSSES["texts"]))
# Networks that make two samples of each one, on each axis.
ENLARGING = LOSSES_TEXTS[5:]


@st.composite
def bands(draw: Any) -> tuple[Band, tuple[int, ...]]:
    axes = draw(st.integers(1, 2))

    def sides(most: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(1, most)) for _ in range(axes))

    band = Band(
        shape=sides(4),
        inputs=draw(few),
        outputs=draw(few),
        step=sides(3),
        dilation=sides(3),
        pool=sides(2),
        count=draw(st.integers(1, 4)),
    )
    return band, (*sides(3)[:-1], band.count * draw(few))


def naive_layer(x: Array, w: Array, band: Band, outputs: tuple[int, ...]) -> Array:
    """Loops over the sums of the definition, each tap weighing the sum of a pool."""
    y = np.zeros((len(x), *outputs, len(w)))
    for place in np.ndindex(*y.shape):
        b, *k, o = place
        for *j, i in np.ndindex(*band.shape, band.inputs):
            for r in np.ndindex(*band.pool):
                geometry = zip(k, band.step, j, band.dilation, band.pool, r, strict=True)
                at = tuple((a * s + c * d) * p + q for a, s, c, d, p, q in geometry)
                y[place] += w[(o, i, *j)] * x[(b, *at, i)]
    return y


@settings(max_examples=60, deadline=None)
@given(bands(), st.integers(0, 2**31))
def test_products_with_bands_are_the_layer_and_its_adjoints(
    case: tuple[Band, tuple[int, ...]], seed: int
) -> None:
    band, outputs = case
    random = np.random.default_rng(seed)
    x = random.normal(size=(2, *band.reads(outputs), band.inputs))
    w = random.normal(size=(band.outputs, band.inputs, *band.shape))
    rows = np.empty((2 * math.prod(outputs) // band.count, band.taps))
    windows, place = band.copies(x, outputs, rows)
    np.copyto(place, windows)
    y = (rows @ band.matrix(w)).reshape(2, *outputs, band.outputs)
    np.testing.assert_allclose(y, naive_layer(x, w, band, outputs), atol=1e-12)
    # <A x, y> = <x, A* y> for both linear maps.
    other = random.normal(size=(band.taps, band.count * band.outputs))
    assert (band.matrix(w) * other).sum() == pytest.approx(
        (w * band.summed(band.bands(other))).sum()
    )
    drows, dx = random.normal(size=rows.shape), np.zeros_like(x)
    for some, into in band.sums(drows, outputs, dx):
        np.add(into, some, out=into)
    assert (drows * rows).sum() == pytest.approx((dx * x).sum())


def test_the_fastest_band_is_no_slower_by_its_own_estimate() -> None:
    band = Band(shape=(3, 3), inputs=8, outputs=8, step=(1, 1), dilation=(1, 1), pool=(1, 1))
    best = band.fastest((50, 50), learns_first=False)
    assert best.cost((50, 50), learns_first=False) <= band.cost((50, 50), learns_first=False)


# --------------------------------------------------------------------------------------- parameters


def test_each_layer_finds_its_parameters_by_name() -> None:
    net = network("conv:3,5 | prelu | conv_transpose:2,4,bias=false | conv:1,1", channels=2).net
    numbers = np.arange(float(net.parameters))
    found = []
    for layer, views in zip(net.weighted, net.tensors(numbers), strict=True):
        assert [each.name for each in layer.learned] == list(views)
        found.append({name: view.shape for name, view in views.items()})
    assert found == [
        {"weight": (3, 2, 5), "bias": (3,)},
        {"weight": (1,)},
        {"weight": (3, 2, 4)},
        {"weight": (1, 2, 1), "bias": (1,)},
    ]
    # They lie one after the other, and are changed in place.
    joined = [view.ravel() for views in net.tensors(numbers) for view in views.values()]
    np.testing.assert_array_equal(np.concatenate(joined), numbers)
    net.tensors(numbers)[1]["weight"][...] = -1
    assert np.flatnonzero(numbers == -1).tolist() == [33]
    # Weights decay; biases and slopes do not.
    assert net.decays.sum() == 3 * 2 * 5 + 3 * 2 * 4 + 2


def test_taps_of_a_transposed_convolution_are_spread_over_phases_and_collected() -> None:
    """`collected` is the adjoint of `spread`: <spread(w), v> = <w, collected(v)>."""
    random = np.random.default_rng(0)
    axes = (TransposedAxis(5, 2, 1, 1, 0), TransposedAxis(4, 3, 2, 0, 0))
    phases = PhaseWeights(axes, groups=2)
    weights = random.normal(size=(4, 3, 5, 4))
    spread = phases.scattered(weights)
    assert np.count_nonzero(spread) == weights.size
    others = random.normal(size=spread.shape)
    collected = phases.gathered(others, weights.shape)
    assert np.vdot(spread, others) == pytest.approx(np.vdot(weights, collected), rel=1e-12)


# ---------------------------------------------------------------------------------------- gradients

LAYERS_1D = [
    "conv:1,5",
    "conv:1,4,bias=false",
    "conv:2,5,stride=2 | conv:1,3",
    "conv:2,3,stride=4 | conv:1,2",
    "conv:2,3,dilation=3 | tanh | conv:1,2,dilation=2,stride=2",
    "conv:4,3,groups=2 | relu | conv:1,3",
    "conv:4,3 | sigmoid | conv:4,3,groups=4,stride=2 | conv:1,2",
    "conv:6,2 | tanh | conv:4,3,groups=2,bias=false | conv:1,1",
    "conv:2,5,padding=2 | leaky_relu:0.1 | conv:1,3,padding=same",
    (
        "conv:2,4,padding=1,padding_mode=reflect | leaky_relu:1.5"
        " | conv:1,3,padding=1,padding_mode=circular"
    ),
    "conv:2,3,padding=3,padding_mode=replicate,stride=2 | sigmoid | conv:1,3",
    "conv:8,7 | leaky_relu:0.1 | avg_pool:2 | conv:1,5",
    "avg_pool:3 | conv:2,3 | relu | sum_pool:2 | conv:1,2",
    "conv:2,3 | avg_pool:3,stride=2 | tanh | conv:1,3",
    "conv:2,3 | max_pool:2 | conv:1,3",
    "conv:2,3 | min_pool:3,stride=2 | conv:1,2 | tanh",
    "conv:2,3 | tanh | sum_pool:2 | sigmoid | conv:1,1",
    "relu | conv:1,3 | avg_pool:2",
    "conv:3,4,stride=2 | silu | conv_transpose:1,4,stride=2",
    "conv:2,3,padding=1 | conv_transpose:4,5,stride=3,padding=2,output_padding=1 | avg_pool:3 | conv:1,1",
    "conv:4,3,padding=1 | conv_transpose:2,3,groups=2,dilation=2,padding=2,bias=false | conv:1,1",
    "pixel_unshuffle:3 | conv:6,3 | prelu:6 | conv:3,1 | pixel_shuffle:3",
    "max_pool:2 | conv:2,3 | gelu | upsample:2 | conv:1,3",
    "conv:2,4,padding=1,stride=3 | hardswish | upsample:3,mode=linear | conv:1,3,padding=1",
    "pad:2,mode=reflect | conv:2,5 | prelu | conv:1,1 | softplus",
    "conv:2,3 | max_pool:3,stride=2,padding=1,dilation=2 | elu:-0.5 | conv:1,2",
    "conv:2,3 | avg_pool:3,stride=1,padding=1,ceil_mode=true | leaky_relu:-0.2 | conv:1,2",
]
LAYERS_2D = [
    "conv:1,3x5",
    "conv:4,3x3 | relu | conv:2,2x3,groups=2 | tanh | conv:1,3x3,bias=false",
    "conv:2,3x2,stride=2x3 | leaky_relu:0.2 | conv:1,2x2,dilation=2x1",
    "conv:3,3x3,padding=1 | sigmoid | avg_pool:2 | conv:1,3x3,padding=same,padding_mode=reflect",
    "conv:2,2x2 | max_pool:2x3,stride=1x2 | conv:1,3x1",
    "avg_pool:2x1 | conv:2,3x3 | min_pool:2 | sum_pool:1x2 | conv:1,1x1",
    "conv:3,4x3,stride=2x3,padding=1x0 | prelu:3 | conv_transpose:1,4x3,stride=2x3,padding=1x0",
    "pixel_unshuffle:2 | conv:4,3x3,padding=1 | silu | pixel_shuffle:2 | pad:1 | conv:1,3x2",
    "max_pool:3,stride=2,padding=1 | conv:2,2x2 | upsample:2,mode=bilinear | gelu | conv:1,1x1",
]
# What has no causal form.
LOOK_AHEAD = (
    "padding_mode=reflect",
    "circular",
    "linear",
    "ceil_mode",
    "max_pool:3,stride=2,padding",
)
every_network = pytest.mark.parametrize("layers", [*LAYERS_1D, *LAYERS_2D])


def network(layers: str, channels: int, align: Align = "center") -> TrainableNetwork:
    axes = 2 if layers in {*LAYERS_2D, *ORDERS_2D} else 1
    medium: Any = IMAGE if axes == 2 else AUDIO
    names = tuple(map(str, range(channels)))
    signal = Signal(medium=medium, shape=(40,) * axes, channels=names)
    return read_network(layers, signal, Channels(channels, 1, 0), Rules(edge="zero", align=align))


def random_layers(seed: int, axes: int) -> str:
    """Layers of all kinds that can be trained, in a random order, with a conv among them."""
    random = np.random.default_rng(seed)
    size = "x".join("2" * axes)
    pools = [f"{kind}_pool:{size},stride=1" for kind in ("max", "min", "avg", "sum")]
    plain_pools = [f"{kind}_pool:2" for kind in ("max", "min", "avg", "sum")]
    activations = ["relu", "leaky_relu:0.1", "leaky_relu:1.5", "tanh", "sigmoid"]
    activations += ["prelu", "prelu:2", "silu", "gelu", "hardswish", "elu", "softplus"]
    more = [f"conv_transpose:2,{size}", "upsample:2 | avg_pool:2", f"pad:{size}"]
    more += ["pixel_unshuffle:2 | pixel_shuffle:2", "max_pool:2,stride=1,dilation=2"]
    more += ["avg_pool:2 | upsample:2,mode=linear", "max_pool:2 | conv_transpose:2,2,stride=2"]
    kinds = [pools, plain_pools, activations, activations, [f"conv:2,{size}"], more, more]
    names = [str(random.choice(kinds[random.integers(len(kinds))])) for _ in range(5)]
    names.insert(int(random.integers(6)), f"conv:2,{size}")
    return " | ".join([*names, f"conv:1,{'x'.join('1' * axes)}"])


ORDERS_1D = [random_layers(seed, 1) for seed in range(60)]
ORDERS_2D = [random_layers(seed, 2) for seed in range(30)]


@pytest.mark.parametrize(
    "layers",
    [
        *ORDERS_1D,
        *ORDERS_2D,
        "conv:2,3 | max_pool:2,stride=1 | tanh | conv:1,1",
        "conv:2,3 | min_pool:2 | sigmoid | conv:1,1",
        "conv:2,3 | tanh | sigmoid | conv:1,1",
        "conv:2,3 | tanh | avg_pool:1 | tanh | conv:1,1",
        "tanh | max_pool:1 | tanh | conv:1,3",
    ],
)
def test_no_layer_overwrites_what_the_gradient_of_another_reads(layers: str) -> None:
    check_gradient(layers)


@every_network
def test_gradients_are_those_of_central_differences(layers: str) -> None:
    check_gradient(layers)


def check_gradient(layers: str) -> None:
    """The gradient of a network is the rise of its outputs from a little below to above."""
    random = np.random.default_rng(1)
    made = network(layers, channels=2)
    net, field = made.net, made.field
    outputs_of_window = tuple(5 * cell for cell in field.cell)
    worker = Worker(net, 3, outputs_of_window, np.float64)
    numbers = net.started(random)
    worker.x[...] = random.normal(size=worker.x.shape)
    windows = worker.x.copy()

    def outputs(at: Any) -> Array:
        worker.x[...] = windows
        worker.load(at)
        return worker.forward()

    weigh = random.normal(size=outputs(numbers).shape)
    assert np.array_equal(worker.x, windows)
    worker.output_gradient[...] = weigh
    gradient = worker.backward().copy()
    for number in random.permutation(len(numbers))[:25]:
        step = np.zeros_like(numbers)
        step[number] = 1e-6
        rise = (
            (outputs(numbers + step) * weigh).sum() - (outputs(numbers - step) * weigh).sum()
        ) / 2e-6
        assert gradient[number] == pytest.approx(rise, rel=1e-6, abs=1e-7), number


@every_network
@pytest.mark.parametrize("align", ["center", "causal"])
def test_what_is_trained_is_what_runs(layers: str, align: Align, tmp_path: Path) -> None:
    """Windows anywhere inside give the very outputs that `model:` has on the whole signal."""
    if align == "causal" and any(word in layers for word in LOOK_AHEAD):
        with pytest.raises(RequestError, match=r"looks? ahead|the next one"):
            network(layers, 2, align)
        return
    random = np.random.default_rng(2)
    made = network(layers, 2, align)
    net, field = made.net, made.field
    names = made.numbers
    numbers = net.started(random)
    axes = len(field.start)
    x = random.normal(size=((90,) if axes == 1 else (34, 40)) + (2,))
    tensors: dict[str, Any] = {}
    for number, own in zip(names, net.tensors(numbers), strict=True):
        tensors |= {f"{number}.{name}": tensor for name, tensor in own.items()}
    path = tmp_path / "m.safetensors"
    path.write_bytes(encode_weights(tensors, {"layers": layers}))
    signal = Signal(medium=ARRAY, shape=x.shape[:-1], channels=("a", "b"))
    plan = make_plan(f"model:{path}", signal, Rules(edge="zero", align=align))
    sink = Collected()
    run(plan, Blocks(signal, [x]), sink, threads=1)
    whole = np.concatenate(sink.parts)
    inside = complete_windows(np.ones(x.shape[:-1], bool), field)
    assert inside.any()
    y = np.full((*x.shape[:-1], 1), np.nan)
    for k in np.ndindex(*whole.shape[:-1]):
        place = tuple(s + t * n for s, t, n in zip(field.start, field.step, k, strict=True))
        if all(0 <= p < n for p, n in zip(place, x.shape, strict=False)):
            y[place] = whole[k]
    counts = tuple(3 * cell for cell in field.cell)
    worker = Worker(net, 4, counts, np.float64)
    example = TrainingSignal(
        x=x,
        y=np.nan_to_num(y),
        train=inside & np.isfinite(y[..., 0]),
        held=np.zeros(x.shape[:-1], bool),
    )
    sampler = WindowSampler([example], field, counts, worker.x.shape[1:-1], np.float64)
    worker.load(numbers)
    places = sampler.in_order(held_out=False)
    seen = 0
    for first in range(0, len(places), 4):
        some = np.resize(places[first : first + 4], (4, axes))
        target, weight = sampler.load(worker, some, held_out=False)
        np.testing.assert_allclose(worker.forward() * weight, target * weight, atol=1e-12)
        seen += int(weight[: len(places[first : first + 4])].sum())
    assert seen == example.train.sum() > 0


@pytest.mark.parametrize("number", range(len(LOSSES_TEXTS)), ids=LOSSES_TEXTS)
def test_training_is_that_of_torch(number: int) -> None:
    """The errors of the first steps, and the weights after them, of tests/reference/make_losses.py."""
    start = f"{number}/"
    stored = {n.removeprefix(start): LOSSES[n] for n in LOSSES.files if n.startswith(start)}
    x, y = (np.moveaxis(stored[name], 1, -1) for name in ("x", "y"))
    axes = x.ndim - 2
    signal = Signal(medium=AUDIO if axes == 1 else IMAGE, shape=(99,) * axes, channels=("1", "2"))
    rules = Rules(edge="valid", align="center")
    rate = None
    phases = 1
    if LOSSES_TEXTS[number] in ENLARGING:
        rate = TargetRate(more=(2,) * axes, fewer=(1,) * axes)
        phases = rate.phases
        y = split_phases(y, rate.more)
    channels = Channels(2, y.shape[-1], 0, phases)
    net = read_network(LOSSES_TEXTS[number], signal, channels, rules, rate).net
    numbers = net.started(np.random.default_rng(0))
    names = [name for name in stored if name.startswith("first/")]
    views = [view for tensors in net.tensors(numbers) for view in tensors.values()]
    for name, view in zip(names, views, strict=True):
        view[...] = stored[name]
    worker = Worker(net, len(x), y.shape[1:-1], np.float64)
    read = (slice(None), *(slice(0, n) for n in x.shape[1:-1]))
    adam = Adam(net.decays, learning_rate=0.01, weight_decay=0.01)
    for loss in stored["losses"]:
        worker.x[read] = x
        worker.load(numbers)
        error = worker.forward() - y
        assert np.mean(error**2) == pytest.approx(loss, rel=1e-12)
        worker.output_gradient[...] = 2 * error / error.size
        adam.step(numbers, worker.backward())
    for name, view in zip(names, views, strict=True):
        np.testing.assert_allclose(view, stored[name.replace("first", "last")], rtol=1e-9)


def test_a_window_is_complete_where_nothing_of_it_is_missing() -> None:
    good = np.random.default_rng(3).random((20, 17)) > 0.05
    made = network("conv:2,3x2,stride=2x3 | leaky_relu:0.2 | conv:1,2x2,dilation=2x1", 1)
    net, field = made.net, made.field
    sizes = net.reads((1, 1))
    expected = np.zeros_like(good)
    found = np.lib.stride_tricks.sliding_window_view(good, sizes)
    for corner in np.ndindex(*found.shape[:2]):
        place = tuple(c + b for c, b in zip(corner, field.before, strict=True))
        expected[place] = found[corner].all()
    np.testing.assert_array_equal(complete_windows(good, field), expected)


# ------------------------------------------------------------------------------------------ descent


def test_adam_is_that_of_the_papers() -> None:
    random = np.random.default_rng(4)
    numbers = random.normal(size=5)
    theta, m, v = numbers.copy(), np.zeros(5), np.zeros(5)
    decays = np.array([1.0, 1, 1, 0, 0])
    adam = Adam(decays, learning_rate=0.01, weight_decay=0.1)
    for t in range(1, 6):
        g = random.normal(size=5)
        adam.step(numbers, g)
        theta = theta - 0.01 * 0.1 * decays * theta
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        theta = theta - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(numbers, theta, rtol=1e-12)
