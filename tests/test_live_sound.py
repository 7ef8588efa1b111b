"""Sound that comes as it is played: what is there is filtered, and cuts leave no trace."""

from __future__ import annotations

import io
import os
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
import pytest
import soundfile as sf
from life import PATIENCE, wait_for_end, wait_until_drained
from program import BUFFERED, CONVCLI, done
from scipy.signal import fftconvolve, firwin

from convcli.core.convolution.frames import FrameGrid, correlate_in_frames, grid_frame_size
from convcli.core.framing import grids_of
from convcli.media.audio import piped, wav
from convcli.media.audio.medium import AUDIO
from convcli.planning.plan import make_plan, rules_for
from convcli.running.run import run
from convcli.running.workers import Workers
from convcli.signals import Block, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from convcli.planning.plan import Plan
    from convcli.signals import AnyRows, Array

RNG = np.random.default_rng(7)
RATE = 48_000


def noise(frames: int, channels: int = 1, peak: int = 9000) -> Array:
    """Whole numbers of 16 bits."""
    numbers: Array = RNG.integers(-peak, peak, (frames, channels)).astype(np.int16)
    return numbers


def header_of_pipe(channels: int, subtype: str = "PCM_16") -> bytes:
    """The header of a WAV whose length is not known."""
    header = wav.WavHeader(format="WAV", subtype=subtype, rate=RATE, channels=channels)
    return header.to_bytes(None)


# ------------------------------------------------------------------------- a process on open pipes


class Live:
    """A run of `convcli audio` whose input stays open.

    A thread takes what comes out. A program that writes to a full pipe would not read its input.
    """

    def __init__(self, *words: str) -> None:
        self._process = subprocess.Popen(
            [*CONVCLI, "audio", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **BUFFERED},
            bufsize=0,
        )
        self._out = bytearray()
        self._at_end = False
        self._came = threading.Condition()
        self._collector = threading.Thread(target=self._collect, daemon=True)
        self._collector.start()

    def _collect(self) -> None:
        output = cast("BinaryIO", self._process.stdout)
        while some := output.read(1 << 16):
            with self._came:
                self._out += some
                self._came.notify()
        with self._came:
            self._at_end = True
            self._came.notify()

    @property
    def _input(self) -> BinaryIO:
        return cast("BinaryIO", self._process.stdin)

    def feed(self, data: bytes) -> None:
        """Write to the program, which goes on waiting for more."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._input.write(rest) :]

    def wait_until_read(self) -> None:
        """Wait until the program has taken all that was written."""
        wait_until_drained(self._input)

    def until(self, size: int) -> bytes:
        """Wait until there are so many bytes in all; the input is still open."""
        with self._came:
            came = self._came.wait_for(lambda: len(self._out) >= size or self._at_end, PATIENCE)
            assert came, f"{len(self._out)} bytes came out, not {size}"
            assert len(self._out) >= size, cast("BinaryIO", self._process.stderr).read()
            return bytes(self._out)

    def end(self) -> bytes:
        """Close the input, and return all bytes that came out."""
        self._input.close()
        message = cast("BinaryIO", self._process.stderr).read()
        assert wait_for_end(self._process) == 0, message
        self._collector.join(PATIENCE)
        return bytes(self._out)

    def close(self) -> None:
        """End the process, if it is still there."""
        self._process.kill()
        self._process.wait()
        self._collector.join(PATIENCE)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            cast("BinaryIO", stream).close()


@contextmanager
def live(*words: str) -> Iterator[Live]:
    running = Live(*words)
    try:
        yield running
    finally:
        running.close()


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_comes_out_while_the_source_waits(
    threads: str, channels: int, tmp_path: Path
) -> None:
    taps = firwin(333, 3000, fs=RATE)
    np.save(tmp_path / "taps.npy", taps)
    kernel = f"kernel:@{tmp_path}/taps.npy"
    x = noise(2 * RATE, channels)
    first = x[:RATE].tobytes()
    reach = len(taps) // 2
    with live(kernel, "-", "-q", "-o", "-", "--threads", threads) as running:
        running.feed(header_of_pipe(channels) + first)
        # More than nine tenths of what has come are known.
        frames = RATE * 9 // 10
        head = 44
        out = running.until(head + frames * 2 * channels)
        y = np.frombuffer(out[head : head + frames * 2 * channels], "<i2").reshape(-1, channels)
        for channel in range(channels):
            truth = fftconvolve(x[:, channel].astype(float), taps)[reach : reach + frames]
            assert np.abs(y[:, channel] - truth).max() < 0.5001
        # The next second comes out as well, before the source ends.
        running.feed(x[RATE:].tobytes())
        running.until(head + (RATE + frames) * 2 * channels)
        whole = running.end()
    # A file gives the same samples.
    sf.write(tmp_path / "in.wav", x, RATE)
    done("audio", kernel, "in.wav", "-q", "-o", "out.wav", cwd=tmp_path)
    of_file = (tmp_path / "out.wav").read_bytes()
    samples = x.size * 2
    assert whole[-samples:] == of_file[-samples:]
    assert len(whole) == head + samples


@pytest.mark.parametrize(
    "words", [["gain:-3dB"], ["median:9"], ["x - gaussian:40"], ["lowpass:3k", "-v"]]
)
def test_other_steps_do_not_wait_either(words: list[str]) -> None:
    x = noise(RATE)
    with live(*words, "-", "-o", "-") as running:
        running.feed(header_of_pipe(1) + x.tobytes())
        running.until(44 + RATE)
        assert len(running.end()) == 44 + 2 * RATE


def test_a_few_samples_come_out_in_full() -> None:
    with live("gain:-3dB", "-", "-q", "-o", "-") as running:
        running.feed(header_of_pipe(1))
        for count in range(1, 4):
            running.feed(noise(100).tobytes())
            running.until(44 + 200 * count)
        assert len(running.end()) == 44 + 600


def test_pieces_may_end_within_a_frame(tmp_path: Path) -> None:
    x = noise(9000, 2)
    raw = wav.pack(x.astype(np.int32) << 8, "PCM_24")
    data = header_of_pipe(2, "PCM_24") + bytes(raw)
    options = ("highpass:300 | lowpass:3k", "-", "-q", "-o", "-", "--subtype", "DOUBLE")
    with live(*options) as running:
        for start in range(0, len(data), 7919):
            running.feed(data[start : start + 7919])
            running.wait_until_read()
        pieced = running.end()
    assert pieced == done("audio", *options, stdin=data, cwd=tmp_path).out


def test_a_pipe_that_ends_within_a_frame_is_told() -> None:
    with live("gain:-3dB", "-", "-q", "-o", "-") as running:
        running.feed(header_of_pipe(2) + noise(RATE, 2).tobytes() + b"\1")
        running.until(44 + 2 * RATE)
        assert len(running.end()) == 44 + 4 * RATE


# ---------------------------------------------------------------------------- the bytes of a pipe


def test_a_piece_ends_where_no_more_bytes_are() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as target:
        target.write(b"header")
        assert source.read(2) == b"he"  # the others are in the buffer
        piece = piped.bytes_as_they_come(source, 1 << 20)  # more than the buffer holds
        assert (bytes(piece.content), piece.last_for_now) == (b"ader", True)
        target.write(b"samples")
        piece = piped.bytes_as_they_come(source, 4)
        assert (bytes(piece.content), piece.last_for_now) == (b"samp", False)
        piece = piped.bytes_as_they_come(source, 100)
        assert (bytes(piece.content), piece.last_for_now) == (b"les", True)
        target.write(b"end")
        target.close()
        piece = piped.bytes_as_they_come(source, 100)
        assert (bytes(piece.content), piece.last_for_now) == (b"end", False)
        assert not piped.bytes_as_they_come(source, 100).content


def test_a_stream_that_cannot_be_asked_gives_whole_blocks() -> None:
    stream = io.BufferedReader(cast("Any", io.BytesIO(bytes(range(10)))))
    assert bytes(piped.bytes_as_they_come(stream, 7).content) == bytes(range(7))
    assert bytes(piped.bytes_as_they_come(stream, 7).content) == bytes(range(7, 10))


def test_a_whole_block_that_came_slowly_is_the_last_for_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not piped.whole_blocks(io.BytesIO(bytes(10)), 7).last_for_now
    monkeypatch.setattr(piped, "PATIENCE", -1.0)
    assert piped.whole_blocks(io.BytesIO(bytes(10)), 7).last_for_now
    assert not piped.whole_blocks(io.BytesIO(bytes(3)), 7).last_for_now


# ------------------------------------------------------------------------------------ the threads


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_come_before_an_item_that_is_long_in_coming(threads: int) -> None:
    results: list[int] = []
    late = {1, 4, 5}

    def items() -> Iterator[int]:
        for item in range(8):
            if item - 1 in late:
                assert results == [number * 10 for number in range(item)]
            yield item

    with Workers(threads) as workers:
        for result in workers.map(lambda n: 10 * n, items(), last_for_now=late.__contains__):
            results.append(result)  # noqa: PERF402 -- the items look at it meanwhile
    assert results == [10 * number for number in range(8)]


# --------------------------------------------------------------------------- cuts leave no trace


class Cut:
    """A sound that comes in pieces with these ends."""

    def __init__(self, signal: Signal, x: Array, cuts: Sequence[int]) -> None:
        self.signal = signal
        self._x = x
        self._ends = [0, *cuts, len(x)]

    def pieces(self) -> Iterator[slice]:
        for start, stop in zip(self._ends[:-1], self._ends[1:], strict=True):
            yield slice(start, stop)

    def decode(self, raw: slice) -> Block:
        return Block(self._x[raw])


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.parts: list[Array] = []

    def encode(self, y: Array, rows: AnyRows) -> Array:
        del rows
        return np.array(y)

    def write(self, encoded: Array) -> None:
        self.parts.append(encoded)


def outputs(filter: str, x: Array, cuts: Sequence[int] = (), **rules: Any) -> tuple[Array, Plan]:
    """The float64 outputs of a filter on a sound that is cut so."""
    signal = Signal(
        medium=AUDIO,
        holds_missing=False,
        shape=(None,),
        channels=AUDIO.names_of(x.shape[1]),
        rate=float(RATE),
        full_scale=1.0,
        bits=32,
    )
    plan = make_plan(filter, signal, rules_for(signal, filter, **rules))
    sink = Kept()
    run(plan, Cut(signal, x, cuts), sink, threads=1)
    return np.concatenate(sink.parts), plan


def some_cuts(frames: int) -> list[list[int]]:
    """Ends of pieces: a few, many, and pieces of ten milliseconds."""
    few = sorted(RNG.integers(1, frames, 2).tolist())
    many = sorted(RNG.integers(0, frames, 60).tolist())
    return [few, many, list(range(480, frames, 480))]


CHAINS = [
    "gain:-3dB | tanh",
    "kernel:1,2,1",
    "median:9 | diff:1",
    "std:99",
    "mono",
    "max_pool:3",
    "lowpass:3k",
    "bandpass:300,3k | gain:3dB",
    "highpass:300 | lowpass:3k",
    "lowpass:3k | diff:1 | lowpass:1k | median:5 | gaussian:40",
    "hilbert | lowpass:4k",
    "envelope",
    "x - lowpass:1k",
    "gaussian:20 - gaussian:60 | lowpass:2k",
    "lowpass:2k | (lowpass:1k | tanh) + highpass:500",
    # Divisions by zero and logarithms leave gaps.
    "x / std:99 | lowpass:5k",
    "log | gaussian:40 | x - lowpass:3k | tanh",
]


@pytest.mark.parametrize("filter", CHAINS)
@pytest.mark.parametrize("channels", [1, 2])
def test_cuts_leave_no_trace(filter: str, channels: int) -> None:
    x = noise(70_000, channels)
    whole, plan = outputs(filter, x)
    assert plan.chain.cell is not None
    for cuts in some_cuts(len(x)):
        assert outputs(filter, x, cuts)[0].tobytes() == whole.tobytes()


@pytest.mark.parametrize("edge", ["zero", "edge", "reflect", "symmetric", "wrap", "valid"])
@pytest.mark.parametrize("align", ["center", "causal"])
def test_cuts_leave_no_trace_at_the_ends(edge: str, align: str) -> None:
    x = noise(30_000)
    chain = "lowpass:3k | x - gaussian:50 | lowpass:1k"
    whole, _ = outputs(chain, x, edge=edge, align=align)
    for cuts in some_cuts(len(x)):
        assert outputs(chain, x, cuts, edge=edge, align=align)[0].tobytes() == whole.tobytes()


def test_a_silent_channel_stays_silent_where_the_other_is_loud() -> None:
    x = noise(40_000, 2, peak=30_000)
    x[10_000:30_000, 1] = 0
    whole, _ = outputs("lowpass:3k", x)
    assert not whole[15_000:25_000, 1].any()
    assert outputs("lowpass:3k", x, [9_000, 9_500, 21_000])[0].tobytes() == whole.tobytes()


def test_infinities_stay_where_they_are() -> None:
    x = noise(20_000).astype(float)
    x[10_000] = np.inf
    whole, plan = outputs("gaussian:40 | tanh", x)
    reach = plan.chain.reach[0]
    held, _ = outputs("gaussian:40 | tanh", np.where(np.isfinite(x), x, 0.0))
    outside = np.abs(np.arange(len(x)) - 10_000) > reach.before
    assert whole[10_000] == 1.0
    np.testing.assert_array_equal(whole[outside], held[outside])
    assert outputs("gaussian:40 | tanh", x, [9_990, 10_001])[0].tobytes() == whole.tobytes()


def test_steps_that_wait_for_whole_blocks() -> None:
    """Where the bits of an output depend on the block, blocks are those of a file."""
    x = noise(20_000)
    for chain in ("resample:16k", "downsample:4", "upsample:2", "notch:50"):
        _, plan = outputs(chain, x)
        assert plan.chain.cell is None


# ---------------------------------------------------------------------------------------- frames


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("k", [5, 200, 3001])
def test_frames_of_a_grid_give_the_correlation(k: int, channels: int) -> None:
    x = RNG.normal(size=(40_000, channels))
    w = RNG.normal(size=k)
    size = grid_frame_size(k)
    for first in (0, 11, -3000):
        grid = FrameGrid(size=size, kept=size - k + 1, start=7, first=first)
        y = correlate_in_frames(x, w, grid, first)
        for channel in range(channels):
            truth = fftconvolve(x[:, channel], w[::-1], "valid")
            np.testing.assert_allclose(y[:, channel], truth, rtol=0, atol=1e-11 * np.sqrt(k))


def test_cells_of_different_frames_end_together() -> None:
    for taps in ([200], [200, 210], [200, 1000], [150, 1000, 9001]):
        grids = grids_of(taps, many=True)
        longest = max(grid.cell for grid in grids.values())
        for k in taps:
            grid = grids[k]
            assert longest % grid.cell == 0
            assert grid.kept + k - 1 <= grid.size
    assert not grids_of([200, 100_000], many=True)


def test_the_start_of_a_cell() -> None:
    grid = FrameGrid(size=32, kept=5, start=3, first=-4)
    assert [grid.cell_start(k) for k in (-4, 2, 3, 12, 13)] == [-4, -4, 3, 3, 13]
    assert [grid.lead(k) for k in (-7, 2, 3, 12, 13)] == [0, 9, 0, 9, 0]
