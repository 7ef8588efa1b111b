"""`convcli learn --blind --layers`: networks that see the neighbours of a sample and not the sample itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from program import SAMPLES, done, run

from convcli import RequestError, apply
from convcli.layers.weights import encode_weights, read_weights
from convcli.learning.learn import learn
from convcli.learning.pairs import Pair
from convcli.learning.task import Task
from convcli.learning.trainer import TrainingOptions
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.running.arrays import Blocks
from convcli.signals import Signal

if TYPE_CHECKING:
    from pathlib import Path

    from convcli.learning.learned_model import LearnedModel
    from convcli.signals import Array


def trained(
    x: Array, layers: str, *, medium: Any = AUDIO, align: Any = "center", **options: Any
) -> LearnedModel:
    names = tuple(map(str, range(x.shape[-1])))
    source = Blocks(Signal(medium=medium, shape=x.shape[:-1], channels=names), [x])
    task = Task(taps=(1,) * (x.ndim - 1), blind=True, align=align)
    return learn(task, [Pair(source)], layers=layers, training=TrainingOptions(**options))


def saved(path: Path, made: LearnedModel) -> Path:
    path.write_bytes(encode_weights(made.tensors, {"layers": made.facts.layers}))
    return path


@pytest.mark.parametrize(
    ("layers", "shape", "align"),
    [
        ("conv:4,9 | tanh | conv:1,1", (400, 1), "center"),
        ("conv:4,9 | tanh | conv:3,1 | relu | conv:1,1", (400, 2), "center"),
        ("tanh | conv:4,8,bias=false | tanh | conv:1,1", (400, 1), "center"),
        ("conv:4,5,dilation=3 | tanh | conv:1,1", (400, 1), "center"),
        ("conv:4,4,dilation=3 | tanh | conv:1,1", (400, 1), "center"),
        ("conv:4,7,padding=3,padding_mode=reflect | tanh | conv:1,1", (400, 1), "center"),
        ("conv:4,6 | tanh | conv:1,1", (400, 1), "causal"),
        ("conv:4,5x3 | tanh | conv:1,1", (30, 31, 1), "center"),
        ("conv:4,5x5,dilation=1x2 | tanh | conv:1,1", (30, 31, 3), "center"),
    ],
)
def test_no_output_of_a_blind_network_sees_its_own_sample(
    layers: str, shape: tuple[int, ...], align: Any, tmp_path: Path
) -> None:
    x = np.random.default_rng(4).normal(size=shape)
    made = trained(x, layers, medium=IMAGE if len(shape) == 3 else AUDIO, align=align, epochs=3)
    model, axes = f"model:{saved(tmp_path / 'm.safetensors', made)}", len(shape) - 1
    y = apply(model, x, axes=axes, align=align)
    place = tuple(n // 2 for n in shape[:-1])
    other = x.copy()
    other[place] += 10
    z = apply(model, other, axes=axes, align=align)
    np.testing.assert_array_equal(z[place], y[place])
    moved = np.argwhere(np.any(z != y, axis=-1))
    assert len(moved) > 1
    if align == "causal":
        assert moved.min() > place[0]
    assert made.facts.parameters == sum(
        np.count_nonzero(tensor) for tensor in made.tensors.values()
    )


def test_a_blind_network_cleans_what_no_linear_filter_does(tmp_path: Path) -> None:
    """Short pulses of both signs in white noise: what is between them is silence, and a bend can tell."""
    random = np.random.default_rng(5)
    clean = np.zeros((60_000, 1))
    for at in random.integers(0, 59_900, 900):
        clean[at : at + 24, 0] = 0.5 * random.choice([-1, 1])
    noisy = clean + 0.1 * random.normal(size=clean.shape)
    made = trained(noisy, "conv:8,17 | leaky_relu:0.1 | conv:8,1 | tanh | conv:1,1", epochs=40)
    network, linear = made.facts.errors[:2]
    assert linear.name == "one linear layer, 17 taps"
    assert network.held is not None
    assert linear.held is not None
    assert network.held < 0.9 * linear.held
    y = apply(f"model:{saved(tmp_path / 'm.safetensors', made)}", noisy)
    wrong = (y - clean)[48_000:-8]
    # What was estimated, but for the noise, of which there is less than under white noise alone
    # could be told.
    noise = made.facts.noise
    assert noise is not None
    assert np.mean(wrong**2) == pytest.approx(network.held**2 + noise**2 - 0.1**2, rel=0.1)


def test_speech_is_cleaned_as_well_as_readme_says(tmp_path: Path) -> None:
    layers = "conv:16,65 | leaky_relu:0.1 | conv:8,1 | leaky_relu:0.1 | conv:1,1"
    words = ("learn", "--blind", SAMPLES / "talk_noisy.wav", "--layers", layers, "--epochs", "25")
    done(*words, "-o", tmp_path / "m.safetensors")
    done(
        "audio",
        f"model:{tmp_path / 'm.safetensors'}",
        SAMPLES / "talk_noisy.wav",
        "-o",
        tmp_path / "y.wav",
    )
    clean, y = (soundfile.read(path)[0] for path in (SAMPLES / "talk.wav", tmp_path / "y.wav"))
    assert 10 * np.log10((clean**2).sum() / ((y - clean) ** 2).sum()) == pytest.approx(
        13.9, abs=0.4
    )


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ("conv:4,9 | tanh | conv:1,3", "or the sample comes back through its neighbours"),
        ("conv:4,1 | tanh | conv:1,9", "none but the first conv may have a width"),
        ("conv:4,9 | avg_pool:2 | conv:1,1", "none but the first conv may have a width"),
        ("max_pool:3,stride=1 | conv:1,9", "none but the first conv may have a width"),
        ("conv:4,1 | tanh | conv:1,1", "no neighbours in a conv of one tap"),
    ],
)
def test_networks_that_are_not_blind(layers: str, said: str) -> None:
    with pytest.raises(RequestError, match=said) as caught:
        trained(np.random.default_rng(4).normal(size=(400, 1)), layers)
    assert caught.value.hint == "conv:16,65 | relu | conv:1,1"


def test_blind_networks_from_the_shell(tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    words = (
        "learn",
        "--blind",
        SAMPLES / "tide.csv",
        "-c",
        "gauge",
        "--layers",
        "conv:4,9 | tanh | conv:1,1",
    )
    told = done(*words, "--epochs", "5", "-o", model).err
    assert "against the clean signal, estimated" in told
    assert "one linear layer, 9 taps" in told
    assert read_weights(model).tensors["0.weight"][:, :, 4].tolist() == [[0]] * 4
    done("csv", f"model:{model}", SAMPLES / "tide.csv", "-c", "gauge", "--align", "center", "-q")
    for more, said in (
        (("--noise", "auto"), "--noise is for one linear layer"),
        (("--layers", "dense"), "--blind is for filters"),
    ):
        failed = run(*words, *more, "--force", "-o", model)
        assert failed.code == 2
        assert said in failed.err
