"""Learning from targets that have more or fewer samples than their inputs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from program import done

from convcli import apply
from convcli.errors import InputError, RequestError
from convcli.learning.learn import learn, pairs_at_rates
from convcli.learning.learn_arrays import learn_arrays
from convcli.learning.pairs import Channels, Pair, PairReader, check_pairs
from convcli.learning.strided_sums import strided_sums
from convcli.learning.target_rate import TargetRate
from convcli.learning.task import Task
from convcli.learning.trainable_network import network_for
from convcli.learning.trainer import TrainingOptions
from convcli.running.arrays import source_of
from convcli.running.workers import Workers

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(3)

# Layers, how many samples they make of each one, and the axes and channels of the input.
ENLARGING = [
    ("conv:4,3 | relu | conv:2,3 | pixel_shuffle:2", 2, 1, 1),
    ("conv:4,3 | relu | conv:3,3 | pixel_shuffle:3", 3, 1, 2),
    ("conv:4,3,padding=1 | relu | conv_transpose:1,4,stride=2,padding=1", 2, 1, 1),
    ("upsample:2,mode=nearest | conv:1,3,padding=1", 2, 1, 1),
    ("conv:4,3x3 | relu | conv:4,3x3 | pixel_shuffle:2", 2, 2, 1),
    ("conv:2,3x3,padding=1 | conv_transpose:1,4x4,stride=2,padding=1", 2, 2, 3),
    ("conv:2,3,stride=2,padding=1 | conv:8,3,padding=1 | pixel_shuffle:4 | conv:1,3,padding=1", 2, 1, 1),
]  # fmt: skip
SHRINKING = [
    ("conv:4,5,stride=2 | relu | conv:1,3", 2, 1, 1),
    ("conv:4,3,padding=1 | max_pool:3 | conv:1,1", 3, 1, 2),
    ("conv:4,3x3,stride=2,padding=1 | relu | conv:1,1x1", 2, 2, 1),
    ("avg_pool:2 | conv:1,3x3", 2, 2, 1),
]


def noise(n: int, axes: int, channels: int) -> Any:
    return RNG.normal(size=(*(n,) * axes, channels)).astype(np.float32)


def learned(x: Any, y: Any, layers: str, axes: int) -> tuple[Any, Any]:
    """The model of two epochs without a held-out part, and the network's receptive field."""
    pair = Pair(source_of(x, axes=axes), source_of(y, axes=axes))
    task = Task(taps=(3,) * axes, holdout=0.0)
    pairs = pairs_at_rates(task, [pair], layers)
    assert pairs[0].target_rate is not None
    model = learn(task, pairs, layers=layers, training=TrainingOptions(epochs=2, threads=1))
    return model, network_for(layers, task, pairs[0]).field


@pytest.mark.parametrize(("layers", "factor", "axes", "channels"), ENLARGING + SHRINKING)
def test_the_error_of_training_is_that_of_the_model(
    layers: str, factor: int, axes: int, channels: int, tmp_path: Path
) -> None:
    """What training compares is output k of the model with sample k of the target."""
    n, made = 48, 48 * factor
    if (layers, factor, axes, channels) in SHRINKING:
        n, made = 48 * factor, 48
    x = noise(n, axes, channels)
    y = noise(made, axes, channels)
    model, field = learned(x, y, layers, axes)
    path = tmp_path / "net.safetensors"
    path.write_bytes(model.encoded())
    outputs = apply(f"model:{path}", x, axes=axes)
    assert outputs.shape == y.shape
    places = []
    for before, after in zip(field.before, field.after, strict=True):
        # Of the inputs whose output reads complete windows, the outputs.
        first = math.ceil(max(before, 0) * made / n)
        stop = math.ceil((n - max(after, 0)) * made / n)
        places.append(slice(first, stop))
    error = (outputs - y)[tuple(places)]
    assert model.facts.errors[0].train == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-4)


@pytest.mark.parametrize("channels", [1, 2])
def test_naive_answers_repeat_the_samples(channels: int) -> None:
    x, y = noise(200, 1, channels), noise(400, 1, channels)
    model = learn_arrays(x, y, taps=3, layers="conv:2,1 | pixel_shuffle:2", holdout=0.0, axes=1)
    errors = {each.name: each.train for each in model.facts.errors}
    repeated = np.repeat(x, 2, axis=0)
    assert errors["as it is"] == pytest.approx(np.sqrt(np.mean((repeated - y) ** 2)), rel=1e-5)


@pytest.mark.parametrize(
    ("shape", "step", "x_shape", "outputs"),
    [
        ((5,), (2,), (64, 2), 1),
        ((3,), (4,), (65, 1), 2),
        ((40,), (2,), (900, 2), 1),
        ((3, 4), (2, 3), (13, 17, 2), 2),
    ],
)
def test_sums_at_steps_are_those_of_the_definition(
    shape: Any, step: Any, x_shape: Any, outputs: int
) -> None:
    x = RNG.normal(size=x_shape)
    windows = np.lib.stride_tricks.sliding_window_view(x, shape, axis=tuple(range(len(shape))))
    counts = windows.shape[: len(shape)]
    y = RNG.normal(size=(*counts, outputs))
    every = tuple(slice(None, None, each) for each in step)
    rows = windows[every].reshape(-1, math.prod(windows.shape[len(shape) :]))
    a = np.hstack([rows, np.ones((len(rows), 1))])
    targets = y[every].reshape(-1, outputs)

    sums = strided_sums(x, y, shape, step)
    np.testing.assert_allclose(sums.gram, a.T @ a, atol=1e-9)
    np.testing.assert_allclose(sums.cross, a.T @ targets, atol=1e-9)
    np.testing.assert_allclose(sums.energy, (targets**2).sum(axis=0))


@pytest.mark.parametrize(("axes", "channels"), [(1, 1), (1, 2), (2, 1), (2, 3)])
@pytest.mark.parametrize("size", [48, 48 * 7])
def test_naive_answers_to_fewer_samples_are_taken_where_outputs_are(
    axes: int, channels: int, size: int
) -> None:
    """Every second sample, as it is, is the target, and a linear layer of that stride finds it."""
    n = size if axes == 1 else 48
    x = noise(n, axes, channels)
    target = x[(slice(None, None, 2),) * axes]
    layers = f"conv:{channels},{'x'.join('3' * axes)},stride=2"
    model = learn_arrays(x, target, layers=layers, mix=True, axes=axes)
    errors: dict[str, Any] = {each.name: (each.train, each.held) for each in model.facts.errors}
    linear = next(name for name in errors if name.startswith("one linear layer"))
    assert errors["as it is"] == (0, 0)
    assert errors["the best gain"] == pytest.approx((0, 0), abs=1e-6)
    assert errors[linear] == pytest.approx((0, 0), abs=1e-6)
    compared = model.facts.samples + model.facts.held_out
    assert compared <= target.size // channels
    assert "as it is" in " ".join(model.warnings)


def test_a_gap_in_fewer_samples_is_counted_once() -> None:
    x = noise(200, 1, 1).astype(float)
    target = x[::2] * 0.5
    target[20] = np.nan
    model = learn_arrays(x, target, layers="conv:1,1,stride=2", holdout=0.0)
    assert model.facts.passed_over == 1
    assert model.facts.samples == 99
    errors = {each.name: each.train for each in model.facts.errors}
    expected = np.sqrt(np.nanmean((x[::2] - target) ** 2))
    assert errors["as it is"] == pytest.approx(expected, rel=1e-5)


def test_columns_of_a_table_have_one_scale(tmp_path: Path) -> None:
    """Two columns with levels of their own, of which one network makes twice as many rows."""
    t = np.arange(400.0)
    y = np.stack([100 + np.sin(t / 9), -5 + 0.1 * np.cos(t / 7)], axis=1)
    target = pd.DataFrame(y, columns=["a", "b"])
    source = pd.DataFrame(y[::2], columns=["a", "b"])
    layers = "conv:8,5 | tanh | conv:4,5 | pixel_shuffle:2"
    model = learn_arrays(source, target, taps=3, layers=layers, mix=True)
    path = tmp_path / "net.safetensors"
    path.write_bytes(model.encoded())
    made = apply(f"model:{path}", y[::2])
    error = np.abs(made - y)[20:-20].max(axis=0)
    assert error[0] < 0.5
    assert error[1] < 0.05


@pytest.mark.parametrize(("more", "fewer"), [((3, 2), (1, 1)), ((1, 1), (2, 3)), ((2, 1), (1, 3))])
def test_blocks_of_any_size_are_the_whole(more: Any, fewer: Any) -> None:
    rate = TargetRate(more=more, fewer=fewer)
    y = RNG.normal(size=(12, 6, 2))
    (whole,) = rate.at_inputs(iter([y]))
    parts = list(rate.at_inputs(iter(np.split(y, [1, 2, 7, 7, 11]))))
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    i, j, phase = 2, 1, (more[0] - 1, more[1] - 1)
    place = (i * more[0] // fewer[0] + phase[0], j * more[1] // fewer[1] + phase[1])
    of_channel = whole[i, j].reshape(2, *more)
    np.testing.assert_array_equal(of_channel[(slice(None), *phase)], y[place])


def test_a_target_that_is_too_long_by_a_part_is_seen() -> None:
    """The lengths of tables are known only when they have been read."""
    rate = TargetRate(more=(2,), fewer=(1,))
    pair = Pair(source_of(noise(10, 1, 1)), source_of(noise(21, 1, 1)), target_rate=rate)
    with Workers(1) as workers, pytest.raises(InputError, match="differ in length"):
        list(PairReader(Task(taps=(3,)), pair).blocks(workers))


def test_channels_count_the_phases() -> None:
    rate = TargetRate(more=(2, 2), fewer=(1, 1))
    x, y = noise(4, 2, 3), noise(8, 2, 3)
    pair = Pair(source_of(x), source_of(y), target_rate=rate)
    assert Channels.of(Task(taps=(3, 3)), pair) == Channels(1, 4, 3, 4)
    assert Channels.of(Task(taps=(3, 3), mix=True), pair) == Channels(3, 12, 0, 4)


SHUFFLED = "conv:4,3 | relu | conv:2,3 | pixel_shuffle:2"


@pytest.mark.parametrize(
    ("layers", "samples", "said"),
    [
        (SHUFFLED, 191, "the layers make 2 samples of each one"),
        (SHUFFLED, 288, "the layers make 2 samples of each one"),
        (SHUFFLED, 96, "the layers make 2 outputs of 1 input"),
        ("conv:4,3 | conv_transpose:1,4,stride=2,padding=1", 192, "padding="),
        ("conv:4,3,stride=2 | relu | conv:1,3", 47, "the input has 96 samples and the target 47"),
        ("conv:4,3 | relu | conv:1,3", 192, "the input has 96 samples and the target 192"),
        ("conv:2,3,stride=2 | conv:3,3 | pixel_shuffle:3", 144, "the input has 96 samples"),
    ],
)
def test_a_target_of_another_size_is_refused(layers: str, samples: int, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        learn_arrays(noise(96, 1, 1), noise(samples, 1, 1), taps=3, layers=layers, axes=1)
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_targets_of_different_rates_are_refused() -> None:
    pairs = [
        Pair(source_of(noise(8, 1, 1)), source_of(noise(n, 1, 1)), target_rate=rate)
        for n, rate in ((16, TargetRate((2,), (1,))), (8, None))
    ]
    with pytest.raises(RequestError, match="another size beside its input"):
        check_pairs(pairs)


def test_a_residual_network_keeps_the_samples() -> None:
    with pytest.raises(RequestError, match="make more samples"):
        learn_arrays(
            noise(96, 1, 1), noise(192, 1, 1), taps=3, layers=SHUFFLED, residual=True, axes=1
        )


def test_sound_of_twice_the_rate(tmp_path: Path) -> None:
    y = RNG.normal(size=2000) * 0.1
    soundfile.write(tmp_path / "high.wav", y, 8000)
    soundfile.write(tmp_path / "low.wav", y[::2], 4000)
    layers = "conv:4,3 | relu | conv:2,3 | pixel_shuffle:2"
    command = ["learn", "low.wav", "high.wav", "--layers", layers, "--epochs", "1"]
    made = done(*command, "-o", "net.safetensors", "--report", "page.html", cwd=tmp_path)
    assert "differ in length" not in made.err
    done("audio", "model:net.safetensors", "low.wav", "-o", "up.wav", cwd=tmp_path)
    up, rate = soundfile.read(tmp_path / "up.wav")
    assert (len(up), rate) == (2000, 8000)
