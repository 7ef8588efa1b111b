"""Inputs on a real Dask cluster: a scheduler and workers of their own, some of which are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from life import PATIENCE, children, is_running, wait_until
from object_store import Line
from program import CONVCLI, done, refused, run

from convcli import __version__
from convcli.batch.units import Unit
from convcli.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("distributed", reason="needs convcli[cluster]")

from convcli.batch.cluster import _Request, carry_out_in_worker

# Inputs in a folder, and one more.
UNITS = 24
LAST = "v\n1\n2\n"


@dataclass
class Cluster:
    """A scheduler, with workers that are started when they are needed."""

    folder: Path

    def __post_init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self._contact = self.folder / "scheduler.json"
        words = ("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.scheduler = self._start(*words, "--scheduler-file", str(self._contact))
        wait_until(self._has_written_address, "writes its address")

    @property
    def address(self) -> str:
        """Where the scheduler listens."""
        return str(json.loads(self._contact.read_text())["address"])

    def _has_written_address(self) -> bool:
        """Whether the file of the address is there with all its bytes."""
        with suppress(OSError, ValueError):
            return bool(self.address)
        assert self.scheduler.poll() is None, "the scheduler has ended"
        return False

    def worker(self, folder: Path, address: str | None = None) -> subprocess.Popen[bytes]:
        """Start a worker of one thread in `folder`, which finds the scheduler at an address.

        The command waits half a minute for the first worker, so that it is not begun before.
        """
        found = address or self.address
        words = ("dask_worker", found, "--nthreads", "1", "--no-nanny", "--no-dashboard")
        process = self._start(*words, folder=folder)
        log = self._log(process)
        wait_until(
            lambda: b"Registered to:" in log.read_bytes() or process.poll() is not None,
            "finds the scheduler",
        )
        assert process.poll() is None, log.read_text()
        return process

    def end_workers(self) -> None:
        """Kill all workers."""
        for process in self.processes:
            if process is not self.scheduler:
                process.kill()
                process.wait()

    def need_worker(self, folder: Path) -> None:
        """Start a worker, unless another test has left one."""
        others = [process for process in self.processes if process is not self.scheduler]
        if all(process.poll() is not None for process in others):
            self.worker(folder)

    def _start(self, tool: str, *words: str, folder: Path | None = None) -> subprocess.Popen[bytes]:
        unnamed = self.folder / "log"
        with unnamed.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{tool}", *words],
                cwd=folder or self.folder,
                stderr=log,
            )
        unnamed.rename(self._log(process))
        self.processes.append(process)
        return process

    def _log(self, process: subprocess.Popen[bytes]) -> Path:
        """What a process tells of itself."""
        return self.folder / f"{process.pid}.log"

    def close(self) -> None:
        """Kill all processes."""
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def clusters() -> Iterator[list[Cluster]]:
    """The clusters of these tests; each but the last has lost its scheduler."""
    made: list[Cluster] = []
    try:
        yield made
    finally:
        for cluster in made:
            cluster.close()


@pytest.fixture
def cluster(clusters: list[Cluster], tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A cluster that other tests have used, since a scheduler takes seconds to start."""
    if not clusters or clusters[-1].scheduler.poll() is not None:
        clusters.append(Cluster(tmp_path_factory.mktemp("cluster")))
    return clusters[-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with tables in `in`, one of which is bad, and their results in `expected`."""
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(2)
    for number in range(UNITS):
        rows = "\n".join(f"{value:.6f}" for value in rng.normal(size=9_000 + number))
        (tmp_path / "in" / f"t{number:02}.csv").write_text(f"v\n{rows}\n")
    (tmp_path / "in" / "t07.csv").write_text("v\n1\nnix\n")
    (tmp_path / "last.csv").write_text(LAST)
    refused(3, "csv", "gaussian:40", "in", "last.csv", "-o", "expected/", "-q", cwd=tmp_path)
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def begun(folder: Path, *words: str) -> subprocess.Popen[str]:
    """A run that is under way: some outputs are there, and the last input waits to be written."""
    (folder / "last.csv").unlink()
    os.mkfifo(folder / "last.csv")
    process = subprocess.Popen(
        [*CONVCLI, "csv", "gaussian:40", "in", "last.csv", "-o", "out/", "-q", *words],
        cwd=folder,
        text=True,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    out = folder / "out"
    wait_until(lambda: out.exists() and len(os.listdir(out)) >= 3, "writes outputs")
    return process


def write_last(folder: Path) -> None:
    """Write the input that a run waits for, once it is open for reading."""
    path = folder / "last.csv"
    found = []

    def is_read() -> bool:
        with suppress(OSError):
            found.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        return bool(found)

    wait_until(is_read, "reads the last input")
    with os.fdopen(found[0], "w") as pipe:
        pipe.write(LAST)


def test_outcomes_that_are_lost_with_their_worker_are_made_again(
    cluster: Cluster, folder: Path
) -> None:
    """The worker ends when it has done its units, before the command has read an outcome."""
    import distributed

    connection: Any = distributed.Client  # it has no types
    cluster.end_workers()
    victim = cluster.worker(folder)
    run = begun(folder, "--cluster", cluster.address)
    os.kill(run.pid, signal.SIGSTOP)
    wait_until(lambda: len(os.listdir(folder / "out")) == UNITS - 1, "does its units")
    victim.kill()
    with connection(cluster.address, set_as_default=False) as client:
        wait_until(lambda: not client.scheduler_info()["workers"], "is missed")
        os.kill(run.pid, signal.SIGCONT)
    cluster.worker(folder)
    write_last(folder)
    _, errors = run.communicate(timeout=PATIENCE)
    assert run.returncode == 3, errors
    assert "was lost" not in errors
    assert files(folder / "out") == files(folder / "expected")


def test_a_worker_is_killed_and_nothing_is_lost(cluster: Cluster, folder: Path) -> None:
    # One of the workers begins elsewhere: relative names begin where the command does.
    victim = cluster.worker(cluster.folder)
    cluster.worker(folder)
    run = begun(folder, "--cluster", cluster.address, "--ledger", "run.jsonl")
    victim.kill()
    victim.wait()  # it may have the last input open
    write_last(folder)
    _, errors = run.communicate(timeout=PATIENCE)
    assert run.returncode == 3, errors
    told = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(told) == 1
    assert "t07.csv" in told[0]
    assert files(folder / "out") == files(folder / "expected")
    lines = [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]
    assert sorted(line["unit"] for line in lines) == list(range(1, UNITS + 2))


def test_one_table_in_parts(cluster: Cluster, folder: Path) -> None:
    cluster.need_worker(folder)
    words = ("csv", "gaussian:40", "in/t00.csv", "-o", "o.csv", "--parts", "5", "-j", "1")
    told = done(*words, "--cluster", cluster.address, cwd=folder)
    assert "5 parts -> o.csv" in told.err
    assert (folder / "o.csv").read_bytes() == files(folder / "expected")["t00.csv"]
    search = ("detect", "in/t01.csv", "in/t01.csv", "in/t02.csv", "-q", "--threshold", "0.01")
    found = done(*search, "--cluster", cluster.address, cwd=folder).out
    assert found == done(*search, cwd=folder).out != b""
    # Of each input, its warnings are told as without a cluster.
    for number in (3, 4):
        with (folder / "in" / f"t{number:02}.csv").open("a") as file:
            file.write(f"{2**53 + 1}\n")
    learn = ("learn", "in/t0[1-4].csv", "--target", "v", "--taps", "5", "-o")
    on_cluster = done(*learn, "a.safetensors", "--cluster", cluster.address, cwd=folder)
    alone = done(*learn, "b.safetensors", cwd=folder)
    for text in (on_cluster.err, alone.err):
        warned = [line for line in text.splitlines() if "beyond 2^53" in line]
        named = sorted(line.split(": ")[1] for line in warned)
        assert named == ["in/t03.csv", "in/t04.csv"]
    assert (folder / "a.safetensors").read_bytes() == (folder / "b.safetensors").read_bytes()


def test_a_line_with_delay_and_loss(cluster: Cluster, folder: Path) -> None:
    """The command and the only worker hear of the scheduler late, and some of it later."""
    cluster.end_workers()
    slow = Line(cluster.address, delay=0.05, lost=0.05)
    cluster.worker(folder, slow.address)
    words = ("csv", "gaussian:40", "in/t0[0-6].csv", "-q", "-o", "out/")
    done(*words, "--cluster", slow.address, cwd=folder)
    assert slow.resent > 0
    cluster.end_workers()
    slow.close()
    expected = files(folder / "expected")
    assert len(files(folder / "out")) == 7
    assert files(folder / "out").items() <= expected.items()


def test_the_scheduler_is_killed_and_resume_does_the_rest(cluster: Cluster, folder: Path) -> None:
    cluster.worker(folder)
    run = begun(folder, "--cluster", cluster.address, "--ledger", "run.jsonl")
    # A worker writes outputs before the command hears of them.
    ledger = folder / "run.jsonl"
    wait_until(lambda: b"\n" in ledger.read_bytes(), "notes what is done")
    cluster.scheduler.kill()
    _, errors = run.communicate(timeout=PATIENCE)
    assert run.returncode == 4, errors
    assert "was lost" in errors
    assert "--resume does what is left" in errors
    assert "Traceback" not in errors
    for process in cluster.processes:  # a worker may still write what it had begun
        process.kill()
        process.wait()
    (folder / "last.csv").unlink()
    (folder / "last.csv").write_text(LAST)
    words = ("csv", "gaussian:40", "in", "last.csv", "-o", "out/", "--ledger", "run.jsonl")
    left = refused(3, *words, "--resume", cwd=folder)
    assert "done by an earlier run" in left
    assert files(folder / "out") == files(folder / "expected")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ctrl_c_ends_the_processes_of_this_machine(folder: Path) -> None:
    """A terminal sends the signal to all of them; nothing is printed, and none stays."""
    (folder / "in" / "t07.csv").unlink()
    run = begun(folder, "--cluster", "local", "-j", "1")
    started = children(run)
    assert started
    os.killpg(run.pid, signal.SIGINT)
    _, errors = run.communicate(timeout=PATIENCE)
    assert (run.returncode, errors) == (130, "")
    wait_until(lambda: not any(map(is_running, started)), "ends its processes")
    expected = files(folder / "expected")
    assert files(folder / "out").items() <= expected.items()


def test_processes_of_this_machine(folder: Path) -> None:
    words = ("csv", "gaussian:40", "in", "last.csv", "-o", "out/", "-q", "-j", "1")
    # A process of its own: helpers of multiprocessing would keep standard output open.
    assert run(*words, "--cluster", "local", cwd=folder, env={"PYTHONUTF8": "1"}).code == 3
    assert files(folder / "out") == files(folder / "expected")


def test_a_worker_that_runs_networks_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bits of a network depend on the version of onnxruntime, and on whether it is there."""
    monkeypatch.chdir(tmp_path)  # a worker goes to the folder of the request, and stays there
    monkeypatch.setattr("convcli.batch.cluster.runtime_version", lambda: "1.2")
    unit = Unit(number=1, name="t.csv", relative="t.csv")
    work: Any = SimpleNamespace(runs_network=True, retries=0, run=lambda _: None)
    for wanted, told in (("1.3", "onnxruntime 1.3"), (None, "no onnxruntime"), ("1.2", "")):
        request = _Request(
            version=__version__, runtime=wanted, work=work, folder=str(tmp_path), topic="t"
        )
        error = carry_out_in_worker(request, unit).error
        if not told:
            assert error is None
            continue
        assert isinstance(error, RequestError)
        assert f"has onnxruntime 1.2 to run the network, and this machine has {told}" in str(error)
    work.runs_network = False
    request = _Request(
        version=__version__, runtime=None, work=work, folder=str(tmp_path), topic="t"
    )
    assert carry_out_in_worker(request, unit).error is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in.csv", "-o", "out/", "--cluster", "nix://x"], "no Dask scheduler answers"),
        (["in.csv", "--cluster", "local"], "do not write to standard output"),
        (["-", "-o", "out/", "--cluster", "local"], "standard input cannot be sent"),
    ],
)
def test_what_is_refused(words: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("v\n1\n2\n")
    assert message in refused(2, "csv", "sma:2", *words, cwd=tmp_path)
