"""`convcli learn --layers`: it learns, the same each time, stops in time, and says honestly when there is nothing."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal as signals
import subprocess
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from life import read_some, read_terminal, wait_for_end
from program import CONVCLI, SAMPLES, done, run

from convcli import InputError, RequestError, apply
from convcli import learn as learn_from_arrays
from convcli.cli import main
from convcli.errors import OutputError
from convcli.layers.model_reader import read_safetensors
from convcli.layers.weights import encode_weights, read_weights
from convcli.learning import dataset, trainer
from convcli.learning.learn import DENSE, learn
from convcli.learning.pairs import Pair
from convcli.learning.task import Task
from convcli.learning.trainer import (
    PATIENCE,
    Callbacks,
    Epoch,
    TrainingOptions,
    TrainingStoppedError,
)
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.running.arrays import Blocks
from convcli.signals import Signal

if TYPE_CHECKING:
    from pathlib import Path

    from convcli.learning.learned_model import LearnedModel
    from convcli.signals import Array


GUIDE = (SAMPLES.parent / "docs/how-to/learn.md").read_text(encoding="utf-8")


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def source(x: Array, *, medium: Any = AUDIO, names: tuple[str, ...] = ()) -> Blocks:
    names = names or tuple(str(c) for c in range(x.shape[-1]))
    return Blocks(
        Signal(medium=medium, shape=x.shape[:-1], channels=names, rate=None),
        [x[:700], x[700:]],
    )


def trained(
    x: Array, y: Array, layers: str, callbacks: Callbacks | None = None, **options: Any
) -> LearnedModel:
    task = Task(taps=(1,) * (x.ndim - 1))
    medium = AUDIO if x.ndim == 2 else IMAGE
    pairs = [Pair(source(x, medium=medium), source(y, medium=medium))]
    training = TrainingOptions(**options)
    return learn(task, pairs, layers=layers, training=training, callbacks=callbacks)


def saved(path: Path, made: LearnedModel) -> Path:
    path.write_bytes(made.encoded())
    return path


# ---------------------------------------------------------------------------------------- it learns


def test_a_rectifier_between_two_filters_is_found(tmp_path: Path) -> None:
    x = 0.1 * noise(40_000, 1)
    y = apply("correlate:1,-2,1 | relu | correlate:1,1,1", x)
    made = trained(x, y, "conv:2,3 | relu | conv:1,3", epochs=60, seed=3)
    network, linear = made.facts.errors[:2]
    assert network.held is not None
    assert linear.held is not None
    assert network.held < 0.05 * linear.held
    assert linear.name == "one linear layer, 5 taps"
    z = apply(f"model:{saved(tmp_path / 'm.safetensors', made)}", x, edge="zero")
    wrong = (z - y)[-8000:-2]
    assert np.sqrt(np.mean(wrong**2)) == pytest.approx(network.held, rel=1e-4)


def test_an_activation_that_rises_may_stand_before_or_after_a_maximum() -> None:
    """The networks are one function: max(tanh(a), tanh(b)) is tanh(max(a, b))."""
    x = noise(6000, 1)
    filtered = np.convolve(x[:, 0], [0.5, -0.3, 0.2])[: len(x)]
    y = 0.5 * np.maximum(filtered[:-1], filtered[1:])[:, None]
    orders = ["tanh | max_pool:2,stride=1", "max_pool:2,stride=1 | tanh"]
    found = []
    for order in orders:
        layers = f"conv:4,5 | {order} | conv:1,1"
        found.append(trained(x[:-1], y, layers, epochs=15, seed=1).facts.errors[0].held)
    assert found[0] == pytest.approx(found[1], rel=1e-3)
    assert found[0] < 0.2 * np.sqrt(np.mean(y**2))


def test_the_errors_are_those_of_what_runs_at_half_the_rate(tmp_path: Path) -> None:
    x = 0.1 * noise(10_001, 1)
    y = apply("box:5 | abs", x)
    made = trained(x, y, "conv:4,5 | leaky_relu:0.1 | avg_pool:2 | conv:1,3", epochs=5)
    z = apply(f"model:{saved(tmp_path / 'm.safetensors', made)}", x)
    # Outputs stand at every other sample, and their targets with them.
    border = len(x) - round(len(x) * 0.2)
    at = 2 * np.arange(len(z))
    inside = (at >= border) & (at < len(x) - 6)
    wrong = z[inside] - y[at[inside]]
    assert made.facts.errors[0].held == pytest.approx(np.sqrt(np.mean(wrong**2)), rel=1e-3)


def test_pictures_learn_too(tmp_path: Path) -> None:
    x = np.random.default_rng(5).random((90, 100, 3))
    y = apply("kernel:0,1,0;1,-4,1;0,1,0", x)
    made = trained(x, np.abs(y), "conv:4,3x3 | relu | conv:1,1x1", epochs=25, learning_rate=0.01)
    network, linear = made.facts.errors[:2]
    assert network.held is not None
    assert linear.held is not None
    assert network.held < 0.5 * linear.held
    assert set(made.tensors) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert made.tensors["0.weight"].shape == (4, 1, 3, 3)
    assert (
        read_safetensors(saved(tmp_path / "m.safetensors", made)).layers
        == "conv:4,3x3 | relu | conv:1,1x1"
    )


# ------------------------------------------------------------------------------- the same each time


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads() -> None:
    x = noise(60_000, 2)
    y = np.abs(x)
    runs = [
        trained(x, y, "conv:4,5 | tanh | conv:1,3", epochs=2, seed=s, threads=t)
        for s, t in ((1, 1), (1, 2), (2, 2))
    ]
    for name, tensor in runs[0].tensors.items():
        np.testing.assert_array_equal(tensor, runs[1].tensors[name])
        assert not np.array_equal(tensor, runs[2].tensors[name])


def test_samples_beyond_the_memory_are_kept_in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    x = noise(20_000, 2)
    kept = trained(x, np.abs(x), "conv:4,5 | tanh | conv:1,3", epochs=2)
    monkeypatch.setattr(dataset, "IN_MEMORY", 1000)
    assert isinstance(dataset.allocate((2000, 1), np.float32), np.memmap)
    assert not dataset.allocate((2000, 1), np.float32).any()
    put_aside = trained(x, np.abs(x), "conv:4,5 | tanh | conv:1,3", epochs=2)
    for name, tensor in kept.tensors.items():
        np.testing.assert_array_equal(tensor, put_aside.tensors[name])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(
        OutputError, match=r"has no room for 0\.0 GB of samples: No space left"
    ) as caught:
        trained(x, x, "conv:1,3")
    assert "TMPDIR" in str(caught.value.hint)


def test_memory_is_that_of_the_samples_in_single_precision() -> None:
    x = noise(300_000, 2).astype(np.float32)
    pairs = [Pair(source(x), source(x))]
    tracemalloc.start()
    learn(
        Task(taps=(1,)),
        pairs,
        layers="conv:1,3 | relu | conv:1,1",
        training=TrainingOptions(epochs=1),
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Twice 4 bytes of the input and of the target, on arrival and on the canvas, flags, and some
    # megabytes for sums.
    assert peak < 26 * x.size + 16e6


# ------------------------------------------------------------------------------------------ the end


def test_it_ends_when_nothing_is_gained_and_keeps_the_best() -> None:
    seen: list[Epoch] = []
    x = noise(600, 1)
    made = trained(
        x,
        noise(600, 1, seed=1),
        "conv:8,9 | relu | conv:1,9",
        Callbacks(on_epoch=seen.append),
        learning_rate=0.02,
    )
    training = made.facts.training
    assert training is not None
    assert training.epochs < 100
    assert training.epochs == training.best + PATIENCE
    held = [epoch.held for epoch in seen]
    assert min(h for h in held if h is not None) == held[training.best - 1]
    assert [epoch.best for epoch in seen][training.best :] == [False] * PATIENCE
    score = made.facts.errors[0].held
    assert score == pytest.approx(
        np.sqrt(held[training.best - 1] or 0) * noise(600, 1, seed=1)[:480].std(), rel=0.05
    )


def test_stopped_after_an_epoch_it_keeps_the_best_before_it_nothing() -> None:
    x = noise(5000, 1)
    seen: list[Epoch] = []
    watch = Callbacks(on_epoch=seen.append, should_stop=lambda: len(seen) == 3)
    made = trained(x, np.abs(x), "conv:2,3 | relu | conv:1,1", watch)
    assert made.interrupted
    assert made.facts.training is not None
    assert made.facts.training.epochs == 3
    pairs = [Pair(source(x), source(x))]
    stop = Callbacks(should_stop=lambda: True)
    with pytest.raises(TrainingStoppedError):
        learn(Task(taps=(1,)), pairs, layers="conv:1,3", callbacks=stop)


def test_divergence_is_begun_again_with_smaller_steps_or_said() -> None:
    x = noise(3000, 1)
    for rate in (1e30, 1.5e308):
        with pytest.raises(RequestError, match="training diverges, even at a learning rate of"):
            trained(x, x, "conv:2,3 | relu | conv:2,3 | conv:1,3", learning_rate=rate)
    made = trained(x, np.abs(x), "conv:2,3 | relu | conv:1,3", learning_rate=1e3, epochs=30)
    assert made.facts.training is not None
    assert made.facts.training.restarts > 0
    assert made.facts.training.rate < 1e3
    assert (made.facts.errors[0].held or 9) < 1
    assert all(np.isfinite(tensor).all() for tensor in made.tensors.values())


# ------------------------------------------------------------------------------------------- tables


def table(path: Path, columns: dict[str, Any]) -> Path:
    lines = [
        ",".join(columns),
        *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_carries_its_scaling_and_nothing_looks_ahead(tmp_path: Path) -> None:
    x = 1000 + np.cumsum(noise(900))
    wave = 5 * np.sin(np.arange(900) / 5)
    prices = table(tmp_path / "p.csv", {"a": x + wave, "b": wave})
    model = tmp_path / "m.safetensors"
    words = (
        "learn",
        prices,
        "-c",
        "a,b",
        "--target",
        "b",
        "--layers",
        "conv:4,4 | tanh | conv:1,3",
        "--epochs",
        "15",
    )
    told = done(*words, "-o", model).err
    assert "tomorrow is like today" in told
    scaling = json.loads(read_weights(model).metadata["scaling"])
    assert scaling["inputs"][0][0] == pytest.approx((x + wave)[:719].mean(), rel=1e-3)
    assert len(scaling["outputs"]) == 1
    whole = done("csv", f"model:{model}", prices, "-q").text.splitlines()
    half = table(tmp_path / "h.csv", {"a": (x + wave)[:400], "b": wave[:400]})
    assert done("csv", f"model:{model}", half, "-q").text.splitlines() == whole[:401]
    errors = [
        abs(float(row.split(",")[1]) - target)
        for row, target in zip(whole[500:899], wave[500:], strict=False)
    ]
    assert np.mean(errors) < 2


@pytest.mark.parametrize("steps", [trainer.STEPS, 2])
def test_missing_rows_are_passed_over_and_groups_do_not_mix(
    steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In windows of one output, and in windows of several, of which some have no target."""
    monkeypatch.setattr(trainer, "STEPS", steps)
    x = noise(400)
    row = np.arange(400)
    known_x, known_y = row % 17 > 0, row % 23 != 5
    inputs = [value if known else "" for value, known in zip(x, known_x, strict=True)]
    targets = [abs(value) if known else "" for value, known in zip(x, known_y, strict=True)]
    names = ["u" if i % 2 else "v" for i in range(400)]
    data = table(tmp_path / "d.csv", {"g": names, "x": inputs, "y": targets})
    words = (
        "learn",
        data,
        "--by",
        "g",
        "-c",
        "x",
        "--target",
        "y",
        "--ahead",
        "0",
        "--layers",
        "conv:4,1 | relu | conv:1,1",
    )
    told = done(
        *words, "--epochs", "40", "-o", tmp_path / "m.safetensors", "--learning-rate", "0.02"
    ).err
    # The last fifth of each group is held out.
    complete = known_x & known_y
    learned, held_out = np.count_nonzero(complete[:320]), np.count_nonzero(complete[320:])
    assert f"{learned} samples learned from, {held_out} held out" in told
    network, linear = (float(line.split()[-1]) for line in told.splitlines()[2:4])
    assert network < 0.3 * linear
    assert all(
        np.isfinite(t).all() for t in read_weights(tmp_path / "m.safetensors").tensors.values()
    )


@pytest.mark.parametrize(
    "scaling",
    [
        "[]",
        "{}",
        '{"inputs": [[0, 0]], "outputs": [[0, 1]]}',
        '{"inputs": [[0, 1]], "outputs": [[NaN, 1]]}',
        "{",
        "7",
    ],
)
def test_a_scaling_that_is_none_is_refused(scaling: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(encode_weights({"0.weight": np.ones((1, 1, 3))}, {"scaling": scaling}))
    with pytest.raises(InputError, match="expected a mean and a unit above 0"):
        read_safetensors(path)


def test_a_scaling_of_other_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    metadata = {"scaling": '{"inputs": [[0, 1], [1, 2]], "outputs": [[0, 1]]}'}
    path.write_bytes(encode_weights({"0.weight": np.ones((1, 1, 3))}, metadata))
    with pytest.raises(RequestError, match="a scaling of 2 inputs, and there are 1"):
        apply(f"model:{path}", noise(20, 1))


# ----------------------------------------------------------------------------------- honest failure


def test_a_pool_of_calendar_bins_cannot_be_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"2024-01-{day:02},{day % 5}\n" for day in range(1, 31))
    (tmp_path / "a.csv").write_text(f"t,x\n{rows}")
    words = ["--target", "x", "--time", "t", "--layers", "conv:1,3 | max_pool:1w"]
    model = str(tmp_path / "m.safetensors")
    assert main(["learn", str(tmp_path / "a.csv"), *words, "-o", model]) == 2
    assert "max_pool cannot be trained in bins of the calendar" in capsys.readouterr().err
    words[-1] = "conv:1,3 | max_pool:1mo"
    assert main(["learn", str(tmp_path / "a.csv"), *words, "-o", model]) == 2
    assert "bins of the calendar (avg_pool:1mo), except within a network" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ("conv:8,7 | relu | conv:2,1", "the last conv makes 2 channels, and the target has 1"),
        ("conv | relu", "a conv to be trained says how many channels it makes, and its taps"),
        ("relu", "no layer has weights to learn"),
        ("conv:3,3 | conv:1,3,groups=2", "2 groups do not share 3 and 1 channels evenly"),
        ("conv:1,3 | global_avg_pool", "global_avg_pool cannot be trained"),
        ("conv:1,3 | flatten | dense:1", "flatten cannot be trained"),
        ("gaussian:3 | conv:1,3", "gaussian cannot be trained"),
        ("conv:1,3 | batch_norm", "batch_norm cannot be trained"),
        ("conv:4,3 | prelu:3 | conv:1,1", "prelu has 1 slope or 4, one for each channel"),
        ("conv:2,3 | upsample:2 | conv:1,3", "the layers make 2 outputs of 1 input, and a target"),
        ("conv:2,3 | conv_transpose:stride=2", "a conv_transpose to be trained says how many"),
        ("conv:2,3 | pixel_shuffle:3 | conv:1,3", "pixel_shuffle:3 makes one channel of 3"),
        ("conv:1,0", "conv"),
        (
            "conv:1000000000,3 | conv:1,1",
            "3,000,000,000 weights in a layer; at most 10,000,000 are trained",
        ),
        ("", "empty"),
    ],
)
def test_layers_that_cannot_be_trained(layers: str, said: str) -> None:
    x = noise(1000, 1)
    with pytest.raises(RequestError, match=said):
        trained(x, x, layers)


def test_constant_and_short_and_huge_data() -> None:
    with pytest.raises(InputError, match="the input is constant"):
        trained(np.full((2000, 1), 0.5), noise(2000, 1), "conv:1,3 | relu | conv:1,3")
    with pytest.raises(InputError, match=r"too little data|complete windows"):
        trained(noise(6, 1), noise(6, 1), "conv:1,9 | relu | conv:1,9")
    with pytest.raises(InputError, match="overflow"):
        trained(noise(2000, 1) * 1e200, noise(2000, 1), "conv:1,3 | relu | conv:1,3")
    made = trained(noise(2000, 1), np.zeros((2000, 1)), "conv:1,3 | relu | conv:1,3", epochs=2)
    assert all(np.isfinite(tensor).all() for tensor in made.tensors.values())


def test_padding_beyond_the_signal_is_learned_at_the_same_samples() -> None:
    x = noise(900, 1)
    plain, padded = (
        trained(x, np.abs(x), f"conv:2,3{more} | tanh | conv:1,1", epochs=3)
        for more in ("", ",padding=5000")
    )
    assert padded.facts.errors[0].held == pytest.approx(plain.facts.errors[0].held, rel=1e-6)
    for name, tensor in plain.tensors.items():
        np.testing.assert_array_equal(tensor, padded.tensors[name])


def test_what_does_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noisy, clean = str(SAMPLES / "hello_noisy.wav"), str(SAMPLES / "hello.wav")
    out = ("-o", str(tmp_path / "m.safetensors"))
    layers = ("--layers", "conv:1,3")
    stocks = (str(SAMPLES / "stocks.csv"), "--target", "price")
    for words, said in (
        ((noisy, clean, "--epochs", "3"), "--epochs is for training"),
        ((noisy, clean, *layers, "--taps", "3"), "--taps is for one linear layer"),
        ((noisy, "--blind", *layers, "--noise", "auto"), "--noise is for one linear layer"),
        (
            (noisy, clean, "--layers", "dense", "--seed", "1"),
            "--seed is for training, and a dense layer is solved",
        ),
        ((*stocks, "-c", "price", "--layers", "dense"), "answers a stretch as a whole"),
        (
            (noisy, clean, *layers, "--learning-rate", "inf"),
            "--learning-rate expects a number, got inf",
        ),
        (
            (noisy, clean, *layers, "--weight-decay", "nan"),
            "--weight-decay expects a number, got nan",
        ),
    ):
        assert main(["learn", *words, *out]) == 2
        assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------- as a program


def test_ctrl_c_keeps_the_best_so_far(tmp_path: Path) -> None:
    x = 0.1 * noise(400_000)
    soundfile.write(tmp_path / "x.wav", x, 8000)
    soundfile.write(tmp_path / "y.wav", np.abs(x), 8000)
    words = (
        "learn",
        "x.wav",
        "y.wav",
        "--layers",
        "conv:8,9 | tanh | conv:1,9",
        "--epochs",
        "9999",
        "-o",
        "m.safetensors",
    )
    leader, follower = os.openpty()  # the progress of epochs is shown on a terminal alone
    process = subprocess.Popen([*CONVCLI, *words], cwd=tmp_path, stderr=follower)
    os.close(follower)
    told = b""
    with os.fdopen(leader, "rb", buffering=0) as terminal:
        while not re.search(rb"epoch \d+", told):
            told += read_some(terminal)
        process.send_signal(signals.SIGINT)
        told += read_terminal(terminal)
    assert wait_for_end(process) == 130, told
    assert b"warning: interrupted after epoch" in told
    done("audio", "model:m.safetensors", "x.wav", "-o", "z.wav", cwd=tmp_path)


def test_the_report_tells_how_it_was_trained(tmp_path: Path) -> None:
    words = (
        "learn",
        SAMPLES / "hello_noisy.wav",
        SAMPLES / "hello.wav",
        "--layers",
        "conv:2,5 | relu | conv:1,5",
    )
    told = done(
        *words, "--epochs", "2", "-o", tmp_path / "m.safetensors", "--report", tmp_path / "r.json"
    ).err
    assert "conv:2,5 | relu | conv:1,5, 23 parameters" in told
    assert "2 epochs, the best was" in told
    facts = json.loads((tmp_path / "r.json").read_text())
    assert facts["learned"]["training"]["epochs"] == 2
    assert facts["learned"]["parameters"] == 23
    assert (
        run(*words, "--epochs", "2", "-o", tmp_path / "m.safetensors").code != 0
    )  # it is there already


def test_the_network_in_the_docs_is_as_good_as_said(tmp_path: Path) -> None:
    """Its last digits depend on the processor, and so it is not compared letter by letter."""
    found = re.search(
        r"^convcli (learn .*--layers .*)\n```\n\n```text\n(.*?)```",
        GUIDE,
        re.DOTALL | re.MULTILINE,
    )
    assert found is not None
    words = shlex.split(found[1])
    shutil.copytree(SAMPLES, tmp_path / "sample_data")
    told = done(*words, cwd=tmp_path).err.splitlines()
    expected = found[2].splitlines()
    assert told[0].split(" epochs, ")[0] == expected[0].split(" epochs, ")[0]
    assert len(told) == len(expected)
    for line, wanted in zip(told[2:], expected[2:], strict=True):
        numbers, others = (
            [float(n) for n in re.findall(r"0\.\d+", each)] for each in (line, wanted)
        )
        assert numbers == pytest.approx(others, rel=0.1)


# ------------------------------------------------------------------------------------- a perceptron


def test_a_dense_layer_learns_positions_and_a_filter_does_not(tmp_path: Path) -> None:
    """What depends on the position in a stretch is learned by the dense layer alone, and lost one sample later."""
    x = noise(8000, 1)
    gains = np.tile([1.0, -1, 2, 0], 2000)[:, None]
    made = learn(Task(taps=(4,), bias=True), [Pair(source(x), source(x * gains))], layers=DENSE)
    np.testing.assert_allclose(made.tensors["0.weight"], np.diag([1.0, -1, 2, 0]), atol=1e-6)
    dense, conv = made.facts.moved
    assert dense.parameters == made.facts.parameters == 20
    assert dense.before[1] == pytest.approx(0, abs=1e-5)
    assert dense.after[1] is not None
    assert dense.after[1] > 1
    assert dense.differs > 1
    assert conv.parameters == 5
    assert conv.before == pytest.approx(conv.after, rel=0.02)
    assert conv.differs == 0
    path = saved(tmp_path / "d.safetensors", made)
    with pytest.raises(
        RequestError,
        match="one weight for each pair of positions in stretches of 4, and is not a filter",
    ):
        apply(f"model:{path}", x)


def test_stretches_of_pictures_and_channels() -> None:
    x = noise(60, 63, 2)
    w = noise(12, 24, seed=1)
    blocks = x[:, :60].reshape(20, 3, 15, 4, 2)
    flat = blocks.transpose(0, 2, 4, 1, 3).reshape(-1, 24)
    y = np.zeros((60, 63, 1))
    y[:, :60, 0] = (flat @ w.T).reshape(20, 15, 3, 4).transpose(0, 2, 1, 3).reshape(60, 60)
    pair = Pair(source(x, medium=IMAGE), source(y, medium=IMAGE))
    made = learn(Task(taps=(3, 4), mix=True, ridge=0.0), [pair], layers=DENSE)
    np.testing.assert_allclose(made.tensors["0.weight"], w, atol=1e-8)
    assert made.facts.layers == "dense:12"


def test_a_dense_layer_says_what_it_lacks() -> None:
    x = noise(50, 1)
    with pytest.raises(InputError, match=r"stretches of 40 to learn from|complete windows"):
        learn(Task(taps=(40,)), [Pair(source(x), source(x))], layers=DENSE)
    with pytest.raises(RequestError, match="at most 4,000 are solved for"):
        learn(Task(taps=(5000,)), [Pair(source(x), source(x))], layers=DENSE)
    with pytest.raises(InputError, match="constant"):
        learn(
            Task(taps=(4,)), [Pair(source(np.ones((900, 1))), source(noise(900, 1)))], layers=DENSE
        )


@pytest.mark.parametrize("layers", [None, "conv:1,3 | relu", "dense"])
def test_samples_whose_squares_vanish(layers: str | None) -> None:
    """They are not called constant."""
    x = 1e-200 * np.random.default_rng(0).normal(size=300)
    with pytest.raises(InputError, match="so small that their squares vanish"):
        learn_from_arrays(x, np.roll(x, 1), taps=3, layers=layers)
