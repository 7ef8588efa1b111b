"""Nodes of an ONNX graph whose outputs depend on the whole signal: why each of them is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.errors import RequestError

if TYPE_CHECKING:
    from convcli.layers.onnx.file import Node

_STATISTICS = "subtracts the mean of the whole signal and divides by its deviation"
_ONE_NUMBER = "makes one number of the whole signal, as squeeze-and-excitation does"
_ALL_SAMPLES = "weighs all samples of the signal at once"
_STATE = "carries a state from the first sample to the last"
_SAMPLES_TOO = "takes its mean and deviation over samples, and not over the channels alone"
_REASONS = {
    "LayerNormalization": _SAMPLES_TOO,
    "InstanceNormalization": _STATISTICS,
    "GroupNormalization": _STATISTICS,
    "MeanVarianceNormalization": _STATISTICS,
    "GlobalAveragePool": _ONE_NUMBER,
    "GlobalMaxPool": _ONE_NUMBER,
    "GlobalLpPool": _ONE_NUMBER,
    "ReduceMean": _ONE_NUMBER,
    "ReduceSum": _ONE_NUMBER,
    "ReduceMax": _ONE_NUMBER,
    "ReduceMin": _ONE_NUMBER,
    "ReduceL2": _ONE_NUMBER,
    "Flatten": _ALL_SAMPLES,
    "Gemm": _ALL_SAMPLES,
    "MatMul": _ALL_SAMPLES,
    "Einsum": _ALL_SAMPLES,
    "Attention": _ALL_SAMPLES,
    "LSTM": _STATE,
    "GRU": _STATE,
    "RNN": _STATE,
}
_NOT_KNOWN = "this node is not known, or it sees the whole signal at once"
ANOTHER_ORDER = "reads samples in another order, or sees the whole signal at once"
_HINT = (
    "only networks run here whose outputs each read a neighbourhood of their place; "
    "a program such as onnxruntime runs this one, on signals that fit in memory"
)
# What to do instead, of kinds whose reason is not known.
_HINTS = {
    "GatherND": (
        "if it is Upsample(mode='linear') of torch: torch.onnx.export(..., dynamo=False) writes "
        "that as a Resize, which runs here"
    ),
}


def not_local_error(path: str, node: Node, otherwise: str = _NOT_KNOWN) -> RequestError:
    """The error for a node that sees the whole signal; `otherwise` : what is said of other kinds.

    path : of the file
    """
    title = f"{path}: {node.title}"
    reason = _REASONS.get(node.kind)
    if reason is None:
        return RequestError(f"{title}: {otherwise}", hint=_HINTS.get(node.kind))
    return RequestError(f"{title}: {reason}", hint=_HINT)
