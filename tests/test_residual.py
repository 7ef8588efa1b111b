"""`convcli learn --residual`: a network that learns target - input, and runs as x + network."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from program import SAMPLES, done

from convcli import RequestError, apply
from convcli.checking.explain_arrays import explain_arrays
from convcli.cli import main
from convcli.layers.model_reader import read_safetensors
from convcli.layers.weights import encode_weights, read_weights
from convcli.learning.learn import learn
from convcli.learning.pairs import Pair
from convcli.learning.task import Task
from convcli.learning.trainer import TrainingOptions
from convcli.media.audio.medium import AUDIO
from convcli.running.arrays import Blocks
from convcli.signals import Signal

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program

RNG = np.random.default_rng(0)
TENSORS: dict[str, Any] = {
    "0.weight": RNG.normal(size=(3, 1, 3)),
    "0.bias": RNG.normal(size=3),
    "2.weight": RNG.normal(size=(1, 3, 3)),
}
LAYERS = "conv | relu | conv"


def saved(path: Path, tensors: dict[str, Any], **metadata: str) -> Path:
    path.write_bytes(encode_weights(tensors, metadata))
    return path


def both(folder: Path, tensors: dict[str, Any], layers: str = LAYERS) -> tuple[str, str]:
    """The models of the layers, without the input and with it."""
    plain = saved(folder / "plain.safetensors", tensors, layers=layers)
    residual = saved(folder / "r.safetensors", tensors, layers=layers, residual="true")
    return f"model:{plain}", f"model:{residual}"


@pytest.mark.parametrize("edge", ["zero", "reflect", "valid"])
@pytest.mark.parametrize("layers", [LAYERS, "conv:padding=1 | relu | conv:padding=1"])
def test_the_model_is_x_plus_its_network(layers: str, edge: Any, tmp_path: Path) -> None:
    plain, residual = both(tmp_path, TENSORS, layers)
    x = RNG.normal(size=40)
    y = apply(residual, x, edge=edge)
    inside = x[2:-2] if edge == "valid" and "padding" not in layers else x
    np.testing.assert_allclose(y, inside + apply(plain, x, edge=edge), atol=1e-12)


def test_colours_are_added_and_the_opacity_is_kept(program: Program, tmp_path: Path) -> None:
    import pyvips

    tensors = {"0.weight": RNG.normal(size=(1, 1, 3, 3)) * 0.1}
    _, residual = both(tmp_path, tensors, "conv:padding=1")
    picture = RNG.integers(0, 256, (6, 8, 4), np.uint8)
    path = str(tmp_path / "in.png")
    pyvips.Image.new_from_array(picture, interpretation="srgb").write_to_file(path)
    words = ("image", residual, path, "-o", tmp_path / "out.png", "-q", "--range", "clip")
    assert program.run(*words).code == 0
    out = pyvips.Image.new_from_file(str(tmp_path / "out.png")).numpy()
    padded = np.pad(picture[..., :3] / 255, ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))
    added = np.einsum("rcbij,ij->rcb", windows, tensors["0.weight"][0, 0])
    expected = np.clip(np.rint(picture[..., :3] + 255 * added), 0, 255)
    np.testing.assert_array_equal(out[..., 3], picture[..., 3])
    assert np.abs(out[..., :3] - expected).max() <= 1


def test_what_was_learned_is_what_runs(tmp_path: Path) -> None:
    x = 0.1 * RNG.normal(size=(6000, 1))
    y = x + 0.5 * np.maximum(apply("correlate:1,-1", x), 0)
    signal = Signal(medium=AUDIO, shape=(len(x),), channels=("1",))
    pair = Pair(Blocks(signal, [x]), Blocks(signal, [y]))
    task = Task(taps=(1,), residual=True)
    options = TrainingOptions(epochs=15, learning_rate=0.03)
    made = learn(task, [pair], layers="conv:4,3 | relu | conv:1,1", training=options)
    errors = {each.name: each for each in made.facts.errors}
    # Errors and decibels are those of the target, not of the difference.
    power = np.sqrt(np.mean(y[4800:-1] ** 2))
    assert made.facts.power_held == pytest.approx(power, rel=1e-3)
    held = errors["the network"].held
    assert held is not None
    assert held < 0.3 * (errors["as it is"].held or 0)
    path = tmp_path / "m.safetensors"
    path.write_bytes(made.encoded())
    z = apply(f"model:{path}", x)
    left = np.sqrt(np.mean((z - y)[4800:-1] ** 2))
    assert left == pytest.approx(held, rel=1e-3)
    assert read_safetensors(path).formula == "x + (conv:4,3 | relu | conv:1,1)"


def test_the_column_that_is_predicted_is_added(tmp_path: Path) -> None:
    data = tmp_path / "t.csv"
    wave = 3 * np.sin(np.arange(400) / 7)
    level = 1000 + np.cumsum(RNG.normal(size=400)) + wave
    pd.DataFrame({"a": wave, "b": level}).to_csv(data, index=False)
    model = tmp_path / "m.safetensors"
    layers = ("--layers", "conv:3,4 | tanh | conv:1,1", "--epochs", "4")
    told = done("learn", data, "-c", "a,b", "--target", "b", *layers, "--residual", "-o", model)
    assert "x + (conv:3,4 | tanh | conv:1,1)" in told.err
    file = read_weights(model)
    assert file.metadata["residual"] == "true"
    filtered = done("csv", f"model:{model}", data, "--append", "-q").text
    y = pd.read_csv(io.StringIO(filtered)).iloc[:, -1].to_numpy()[20:]
    metadata = {name: text for name, text in file.metadata.items() if name != "residual"}
    plain = saved(tmp_path / "p.safetensors", dict(file.tensors), **metadata)
    filtered = done("csv", f"model:{plain}", data, "--append", "-q").text
    added = pd.read_csv(io.StringIO(filtered)).iloc[:, -1].to_numpy()[20:]
    np.testing.assert_allclose(y, level[20:] + added, rtol=1e-9)
    # What it adds is a change, not a level.
    assert np.abs(added).max() < 50


def test_what_lies_inside_has_no_input_added(tmp_path: Path) -> None:
    plain, residual = both(tmp_path, TENSORS)
    x = RNG.normal(size=(20, 1))
    inner = apply(f"{plain},upto=0", x, axes=1)
    np.testing.assert_array_equal(apply(f"{residual},upto=0", x, axes=1), inner)


def test_it_is_told(program: Program, tmp_path: Path) -> None:
    _, residual = both(tmp_path, TENSORS)
    assert f"x + ({LAYERS}), 21 parameters" in program.run("filters", residual).text
    assert explain_arrays(residual, np.arange(6.0)).stages[0].text == f"x + ({LAYERS})"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--taps", "3"), "--residual is for --layers"),
        (("--layers", "dense"), "--residual is for --layers"),
        (("--layers", "conv:1,4,stride=2"), "the layers make fewer samples"),
    ],
)
def test_requests_that_make_no_sense(
    words: tuple[str, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy, clean = str(SAMPLES / "hello_noisy.wav"), str(SAMPLES / "hello.wav")
    output = str(tmp_path / "m.safetensors")
    assert main(["learn", noisy, clean, *words, "--residual", "-o", output]) == 2
    assert told in capsys.readouterr().err


def test_networks_that_cannot_be_added(tmp_path: Path) -> None:
    shorter = both(tmp_path, TENSORS, "conv:padding=1 | relu | conv:padding=0")[1]
    with pytest.raises(RequestError, match="its network shortens the signal by 2 samples"):
        apply(shorter, np.ones(9))
    wide = both(tmp_path, {"0.weight": np.ones((2, 1, 3))}, "conv")[1]
    with pytest.raises(RequestError, match="1 channels go in and 2 come out"):
        apply(wide, np.ones(9))
    whole = both(tmp_path, TENSORS, f"{LAYERS} | global_avg_pool")[1]
    with pytest.raises(RequestError, match="a layer sees the whole signal"):
        apply(whole, np.ones(9))


def test_a_mix_of_other_numbers_of_channels_is_refused() -> None:
    def blocks(channels: int) -> Blocks:
        names = tuple(map(str, range(channels)))
        return Blocks(Signal(medium=AUDIO, shape=(50,), channels=names), [np.ones((50, channels))])

    task = Task(taps=(1,), residual=True, mix=True)
    with pytest.raises(RequestError, match="2 channels go in and 1 come out"):
        learn(task, [Pair(blocks(2), blocks(1))], layers="conv:1,3")
    predicted = replace(task, mix=False, inputs=(0,), targets=(1,))
    with pytest.raises(RequestError, match="it is not among the inputs"):
        learn(predicted, [Pair(blocks(2))], layers="conv:1,3")
