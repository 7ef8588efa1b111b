"""Networks that torch exported to ONNX, by both of its exporters, against torch.

`reference/make_exports.py` writes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from convcli import RequestError, apply

if TYPE_CHECKING:
    from program import Program

    from convcli.signals import Array

pytest.importorskip("onnx")

STORED = np.load(Path(__file__).parent / "reference" / "torch_exports.npz")
NAMES = sorted({name.rpartition(".")[0] for name in STORED.files})
KINDS = ("legacy", "dynamo")
# What sees the whole signal, by the node that is named.
REFUSED = {"instance norm": "InstanceNormalization", "group norm": "InstanceNormalization"}


def channels_last(batch: Array) -> Array:
    """The only signal of a batch, (samples..., channels)."""
    return np.ascontiguousarray(np.moveaxis(batch[0], 0, -1))


def saved(name: str, kind: str, folder: Path) -> Path:
    """The file of a network."""
    path = folder / "net.onnx"
    path.write_bytes(STORED[f"{name}.{kind}"].tobytes())
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in REFUSED])
def test_an_exported_network_computes_what_torch_does(name: str, kind: str, tmp_path: Path) -> None:
    path = saved(name, kind, tmp_path)
    x = channels_last(STORED[f"{name}.x"])
    expected = channels_last(STORED[f"{name}.y"])
    y = apply(f"model:{path}", x, axes=x.ndim - 1)
    y = y.reshape(*y.shape, *(1,) * (expected.ndim - y.ndim))
    assert y.shape == expected.shape
    assert np.abs(y - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_sees_the_whole_signal_is_refused_by_name(
    name: str, kind: str, tmp_path: Path
) -> None:
    path = saved(name, kind, tmp_path)
    told = f"{REFUSED[name]} .*: subtracts the mean of the whole signal"
    with pytest.raises(RequestError, match=told):
        apply(f"model:{path}", channels_last(STORED[f"{name}.x"]), axes=2)


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_of_other_values_need_lengths_that_strides_divide(kind: str, tmp_path: Path) -> None:
    path = saved("unet of sizes", kind, tmp_path)
    with pytest.raises(RequestError, match=r"multiples of 2 x 2; this .* has 5 x 8"):
        apply(f"model:{path}", np.zeros((5, 8, 3)), axes=2)


def test_a_network_that_reads_its_channels_runs_on_any_length(
    program: Program, tmp_path: Path
) -> None:
    saved("gated by chunks", "legacy", tmp_path)
    rows = b"x\n" + b"1\n" * 7
    ended = program.run("csv", "model:net.onnx", "-", "--align", "center", stdin=rows, cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert len(ended.text.splitlines()) == 8
