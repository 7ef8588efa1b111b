"""The door to onnxruntime, which runs the convolution layers of networks where it is installed.

It takes two thirds of the time of the paths of this program for the one-dimensional layers of
CREPE, and a third for a small network on a short array (benchmarks/RESULTS.md). Layers of 3x3 taps
and many channels stay here, where Winograd's algorithm is faster (session_choice.py). The library's
direct convolutions add up every output in one order, wherever the output lies. So strips of any
height are, bit for bit, the whole picture; this is checked for each network before it is used,
because other machines may have other convolutions.

A session has a fixed padding. There is one for the blocks inside of a signal, and one for each kind
of edge. All of them run in the thread that asks.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.chain import Chain
from convcli.core.executor import Executor
from convcli.layers.onnx.session_choice import count_in_library
from convcli.layers.onnx.session_convs import input_channels
from convcli.layers.onnx.session_nodes import session_node
from convcli.layers.onnx.writer import INPUT, OUTPUT, OnnxWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.core.executor import Pads
    from convcli.core.op import Op
    from convcli.layers.onnx.session_nodes import SessionNode
    from convcli.signals import Array

# Weights in all sessions of a network, and the fewest sessions that are kept.
MOST_WEIGHTS, FEWEST_SESSIONS = 1 << 26, 2


def network_executor(ops: Sequence[Op]) -> Executor | None:
    """What computes the first of these operations at once, if the library does it faster."""
    nodes: list[SessionNode] = []
    for op in ops:
        node = session_node(op)
        if node is None:
            break
        nodes.append(node)
    if not nodes or not _installed():
        return None
    count = count_in_library(ops[: len(nodes)], nodes)
    if count == 0:
        return None
    executor = SessionExecutor(nodes[:count], ops[:count])
    return executor if executor.is_exact() else None


@cache
def _installed() -> bool:
    """Whether the packages are there that make graphs and run them."""
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in ("onnxruntime", "onnx"))


def runtime_version() -> str | None:
    """The version of the library; None where it is not installed, and networks run without it."""
    if not _installed():
        return None
    import onnxruntime

    return str(onnxruntime.__version__)


@cache
def _shares_memory() -> bool:
    """Let all sessions share one allocator, so that memory does not grow with their number."""
    import onnxruntime as runtime

    runtime.set_default_logger_severity(4)
    memory = runtime.OrtMemoryInfo(
        "Cpu", runtime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, runtime.OrtMemType.DEFAULT
    )
    runtime.create_and_register_allocator(memory, None)
    return True


class SessionExecutor(Executor):
    """Runs operations in sessions of onnxruntime.

    nodes : of the operations, in their order
    """

    def __init__(self, nodes: Sequence[SessionNode], ops: Sequence[Op]) -> None:
        self.nodes = tuple(nodes)
        self.chain = Chain(tuple(ops), len(ops[0].reach))
        self.axes = self.chain.axes
        self.channels = input_channels(ops[0])
        self._sessions: dict[tuple[Pads, ...], Any] = {}
        self._lock = threading.Lock()
        weights = sum(np.size(values) for node in nodes for values in node.constants)
        self._most_sessions = max(FEWEST_SESSIONS, MOST_WEIGHTS // weights)

    def outputs(self, x: Array, pads: Sequence[Pads]) -> Array:
        """Run the session with this padding."""
        session = self._session(tuple(pads))
        columns, channels = x.shape[-2:]
        # A signal with one axis is a line of a picture.
        picture = x.reshape(-1, columns, channels)
        given = np.ascontiguousarray(picture.transpose(2, 0, 1))
        (made,) = session.run([OUTPUT], {INPUT: given[None]})
        found = np.ascontiguousarray(made[0].transpose(1, 2, 0))
        return found if self.axes == 2 else found[0]

    def _session(self, pads: tuple[Pads, ...]) -> Any:
        with self._lock:
            session = self._sessions.pop(pads, None)
            if session is None:
                session = self._opened(pads)
            self._sessions[pads] = session
            while len(self._sessions) > self._most_sessions:
                oldest = next(iter(self._sessions))
                del self._sessions[oldest]
        return session

    @property
    def session_count(self) -> int:
        """How many sessions are open, each for a padding of its own."""
        return len(self._sessions)

    def _opened(self, pads: tuple[Pads, ...]) -> Any:
        import onnxruntime as runtime

        graph = OnnxWriter(axes=2, channels=self.channels)
        for node, sides in zip(self.nodes, pads, strict=True):
            node.add(graph, sides)
            graph.channels = node.outputs or graph.channels
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        if _shares_memory():
            options.add_session_config_entry("session.use_env_allocators", "1")
        content = graph.model(self.channels).SerializeToString()
        return runtime.InferenceSession(content, options)

    def is_exact(self) -> bool:
        """Whether an output is bit for bit the same alone, among others, and beside a padding."""
        random = np.random.default_rng(0)
        nothing = [((0, 0),) * self.axes] * self.count
        x = random.standard_normal((*self._inputs_of(5), self.channels), np.float32)
        corner = tuple(slice(-side, None) for side in self._inputs_of(1))
        alone = self.outputs(x[corner], nothing)
        expected = alone.reshape(-1)
        last = (-1,) * self.axes
        among = self.outputs(x, nothing)
        beside = self.outputs(x, self._pads_before())
        return np.array_equal(among[last], expected) and np.array_equal(beside[last], expected)

    def _pads_before(self) -> list[Pads]:
        """Padding before the inputs of each operation that makes whole outputs more of it."""
        found: list[Pads] = []
        strides = np.ones(self.axes, np.int64)
        for op in reversed(self.chain.ops):
            strides *= [reach.step for reach in op.reach]
            found.append(tuple((int(stride), 0) for stride in strides))
        found.reverse()
        return found

    def _inputs_of(self, outputs: int) -> list[int]:
        """The number of inputs that a number of outputs read, along each axis."""
        sides = []
        for axis in range(self.axes):
            low, high = self.chain.needs(axis, 0, outputs)[0]
            sides.append(high - low)
        return sides
