"""Units on the workers of a Dask cluster: a runner like any other.

Each unit is one task, which reads its input and writes its output where it runs, so that nothing
but requests and facts passes through the scheduler. Workers see the same files as this machine
(a shared file system or an object store) and have the same version of convcli.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import time
from collections import deque
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from threading import Condition
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from convcli import __version__
from convcli.batch.run_units import Outcome, Retry, carry_out
from convcli.dataclass import dataclass
from convcli.errors import (
    ConvcliError,
    OutputError,
    RequestError,
    as_convcli_error,
    first_line,
)
from convcli.layers.onnx.sessions import runtime_version
from convcli.stopping import undone_at_stop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

    from convcli.batch.run_units import OnRetry, Work
    from convcli.batch.units import Unit

# The address that stands for worker processes of this machine.
LOCAL = "local"

# Time limits in seconds: for the answer of a scheduler, for its first worker, and for closing a
# connection or the processes of this machine.
_ANSWERS = 10.0
_HAS_WORKERS = 30.0
_ENDS = 10.0

# States of a task whose worker was lost with the outcome, before this machine had read it: another
# worker does the unit again.
_DONE_AGAIN = ("lost", "pending")

# Units under way for each thread of a worker, so that no thread waits for this machine; and the
# least number of units under way, because workers may join later.
_UNITS_PER_THREAD = 4
_FEWEST_UNITS = 32


class ClusterError(OutputError):
    """The connection to the cluster was lost; units under way may have been finished or not."""

    may_pass = True


class ClusterRunner:
    """The workers of a Dask cluster, or worker processes of this machine.

    A unit of a worker that is lost is done again by another one.

    work : what is done with each unit
    address : of the scheduler, such as tcp://10.0.0.1:8786; `local` starts processes here
    processes : how many processes `local` starts
    stopping : set to end the pauses of units that are tried again
    on_retry : is called with each unit that a worker tries again

    Raises RequestError if there is no such cluster, or if it cannot do this work.
    """

    def __init__(
        self,
        work: Work,
        address: str,
        *,
        processes: int,
        stopping: Event,
        on_retry: OnRetry | None = None,
    ) -> None:
        distributed = _distributed()
        self._address = address
        self._stopping = stopping
        # A scheduler identifies tasks by names, and several commands may use it.
        self._run = uuid4().hex
        topic = f"convcli-{self._run}"
        self._request = _Request(
            version=__version__,
            runtime=runtime_version() if work.runs_network else None,
            work=work,
            folder=os.getcwd(),
            topic=topic,
        )
        self._cluster: Any = None
        self._client: Any = None
        self._held = ExitStack()
        try:
            if address == LOCAL:
                self._held.enter_context(undone_at_stop(_kill_children))
                self._cluster = _local_cluster(distributed, processes)
            self._client = _client(distributed, self._cluster or address)
            with self._loss_as_error():
                threads = self._checked_threads()
                if on_retry is not None:
                    self._client.subscribe_topic(topic, partial(_take_note, on_retry))
        except BaseException:
            self.close()
            raise
        self.window = max(_UNITS_PER_THREAD * threads, _FEWEST_UNITS)
        self._work = work
        self._units: dict[str, Unit] = {}
        self._refused: deque[Outcome] = deque()
        self._ended = distributed.as_completed(loop=self._client.loop)

    def _checked_threads(self) -> int:
        """How many threads the workers have. RequestError if they cannot do this work."""
        threads = self._threads_of_workers()
        self._refuse_other_versions()
        if self._request.work.runs_network:
            self._refuse_other_runtimes()
        return threads

    def _threads_of_workers(self) -> int:
        """Wait for the first worker, and count the threads of all."""
        try:
            self._client.wait_for_workers(1, timeout=_HAS_WORKERS)
        except TimeoutError:
            raise RequestError(
                f"the cluster at {self._address} has no workers",
                hint=f"start one with `dask worker {self._address}`",
            ) from None
        return sum(self._client.nthreads().values())

    def _refuse_other_versions(self) -> None:
        """Raise RequestError if some worker has another convcli than this machine, or none."""
        versions = self._client.get_versions(packages=["convcli"])["workers"]
        for worker, found in versions.items():
            _refuse_other_version(worker, found["packages"].get("convcli"), __version__)

    def _refuse_other_runtimes(self) -> None:
        """Raise RequestError if some worker runs networks by another library than this machine."""
        for worker, found in self._client.run(runtime_version).items():
            _refuse_other_runtime(worker, found, self._request.runtime)

    def submit(self, unit: Unit) -> None:
        """Send the unit to the scheduler, unless it is refused here."""
        try:
            self._work.refuse(unit)
        except Exception as error:  # noqa: BLE001 -- one unit never stops the others
            self._refused.append(Outcome(unit=unit, error=as_convcli_error(error)))
            return
        key = f"convcli-{self._run}-{unit.number}"
        # If its worker is lost, another one may find the output that this run has written.
        sent = replace(unit, replaces=True)
        with self._loss_as_error():
            future = self._client.submit(
                carry_out_in_worker, self._request, sent, key=key, pure=False
            )
        self._units[future.key] = unit
        self._ended.add(future)

    def next_outcome(self) -> Outcome:
        """Wait for the next unit that ends. ClusterError if the scheduler is lost."""
        if self._refused:
            return self._refused.popleft()
        future = next(self._ended)
        while future.status in _DONE_AGAIN:
            self._ended.add(future)
            future = next(self._ended)
        unit = self._units.pop(future.key)
        with self._loss_as_error():
            if future.status == "finished":
                return cast("Outcome", future.result())
            if future.status == "error":
                return Outcome(unit=unit, error=_lost_unit(future.exception()))
        raise self._lost()

    @contextmanager
    def _loss_as_error(self) -> Iterator[None]:
        """Raise ClusterError where the connection to the scheduler breaks."""
        try:
            yield
        except (OSError, RuntimeError) as error:
            raise self._lost() from error

    def _lost(self) -> ClusterError:
        return ClusterError(
            f"the scheduler at {self._address} was lost",
            hint="with --ledger, --resume does what is left",
        )

    def cancel(self) -> None:
        """Take back the units that no worker has begun."""
        self._stopping.set()
        # A cluster that was lost has nothing to take back.
        with suppress(OSError, RuntimeError, TimeoutError):
            self._client.cancel(list(self._ended.futures))

    def close(self) -> None:
        """Leave the cluster; worker processes of this machine end."""
        for connection in (self._client, self._cluster):
            if connection is not None:
                # A connection that does not close in time ends with this process.
                with suppress(OSError, RuntimeError, TimeoutError):
                    connection.close(timeout=_ENDS)
        self._held.close()


def _distributed() -> Any:
    """The package `distributed`. RequestError if it is not installed."""
    try:
        import distributed
    except ImportError:
        raise RequestError(
            "--cluster needs the package distributed", hint="pip install 'convcli[cluster]'"
        ) from None
    # The package and its event loop log every lost worker, with tracebacks. The outcomes of the
    # units give the user what matters.
    logging.disable(logging.CRITICAL)
    return distributed


def _local_cluster(distributed: Any, processes: int) -> Any:
    """A cluster of worker processes of this machine. Ctrl-C reaches this process alone."""
    _start_quiet_tracker()
    cluster = distributed.LocalCluster(
        n_workers=0,
        threads_per_worker=1,
        dashboard_address=None,
        # Without this its server takes a fixed port, and warns where another cluster has it.
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        silence_logs=logging.CRITICAL,
    )
    cluster.sync(_block_signals_of_terminal)
    cluster.scale(processes)
    with suppress(TimeoutError):  # fewer workers do the work, too
        cluster.wait_for_workers(processes, timeout=_HAS_WORKERS)
    return cluster


async def _block_signals_of_terminal() -> None:
    """Block the signals of a terminal in the thread of the cluster.

    The processes that it starts inherit this. A worker that met Ctrl-C would print a traceback.
    """
    if os.name == "posix":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})


def _kill_children() -> None:
    """Kill the processes that multiprocessing has started here, without waiting for them."""
    from multiprocessing import active_children

    for child in active_children():
        child.kill()


def _start_quiet_tracker() -> None:
    """Start the process of multiprocessing that removes semaphores, without its warning.

    It removes them, and warns of each, where a signal ends this process at once.
    """
    from multiprocessing import resource_tracker

    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore:resource_tracker"
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _client(distributed: Any, scheduler: Any) -> Any:
    """A connection to a scheduler. RequestError if none answers at this address."""
    try:
        return distributed.Client(scheduler, timeout=_ANSWERS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise RequestError(
            f"no Dask scheduler answers at {scheduler}",
            hint=f"{first_line(error)}; --cluster expects tcp://HOST:PORT, or local",
        ) from None


def _refuse_other_version(worker: str, version: str | None, wanted: str) -> None:
    if version == wanted:
        return
    found = "no convcli" if version is None else f"convcli {version}"
    raise RequestError(
        f"the worker {worker} has {found}, and this run is of {wanted}",
        hint="results are the same bits only where all have the same version",
    )


def _refuse_other_runtime(worker: str, version: str | None, wanted: str | None) -> None:
    if version == wanted:
        return
    found = _runtime_text(version)
    here = _runtime_text(wanted)
    raise RequestError(
        f"the worker {worker} has {found} to run the network, and this machine has {here}",
        hint="the last bits differ: install the same version of convcli[runtime] on all machines, "
        "or on none",
    )


def _runtime_text(version: str | None) -> str:
    return "no onnxruntime" if version is None else f"onnxruntime {version}"


def _lost_unit(error: BaseException) -> ConvcliError:
    """The error of a unit without an outcome, because every worker that began it was lost."""
    if isinstance(error, ConvcliError):
        return error
    lost = ClusterError(
        f"no worker could finish it: {first_line(error)}",
        hint="a worker that runs out of memory is killed: --threads 1 needs less, or more memory",
    )
    lost.__cause__ = error
    return lost


# ------------------------------------------------------------------------------------ in a worker


@dataclass(frozen=True, eq=False, kw_only=True)
class _Request:
    """The request that is sent with every unit of a run.

    version : of convcli on the machine that sends the request
    runtime : version of onnxruntime there, if the work runs a network
    folder : the folder that relative paths start from
    topic : of the events by which workers report units that they try again
    """

    version: str
    runtime: str | None
    work: Work
    folder: str
    topic: str


def carry_out_in_worker(request: _Request, unit: Unit) -> Outcome:
    """Carry a unit out in this process, which is a worker."""
    started = time.perf_counter()
    try:
        # A worker may have joined after the versions of all were compared.
        here = f"on {platform.node()}"
        _refuse_other_version(here, __version__, request.version)
        if request.work.runs_network:
            _refuse_other_runtime(here, runtime_version(), request.runtime)
        with _FOLDER.entered(request.folder):
            outcome = carry_out(request.work, unit, on_retry=partial(_publish_note, request.topic))
    except ConvcliError as error:
        outcome = Outcome(unit=unit, error=error, seconds=time.perf_counter() - started)
    if outcome.error is None:
        return outcome
    return replace(outcome, error=_without_cause(outcome.error))


def _publish_note(topic: str, retry: Retry) -> None:
    """Send a note from this worker to the machine that has sent the unit."""
    from distributed import get_worker

    get_worker().log_event(topic, asdict(retry))


def _take_note(on_retry: OnRetry, event: tuple[float, Any]) -> None:
    """Take a note of a worker, which comes with its time."""
    _, fields = event
    on_retry(Retry(**fields))


def _without_cause(error: ConvcliError) -> ConvcliError:
    """The error without its cause, which may hold anything, such as an open file."""
    error.__cause__ = None
    error.__context__ = None
    error.__traceback__ = None
    return error


class _WorkingFolder:
    """The working folder of this process, shared by the tasks of runs in different folders."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._users = 0

    @contextmanager
    def entered(self, folder: str) -> Iterator[None]:
        """Work in a folder. Tasks that need another folder wait until no task is in this one.

        Raises OutputError if this machine does not have the folder.
        """
        with self._changed:
            while self._users and os.getcwd() != folder:
                self._changed.wait()
            _enter(folder)
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()


def _enter(folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise OutputError(
            f"a worker cannot enter the folder {folder}: {error.strerror}",
            hint="workers need the same files as this machine",
        ) from None


_FOLDER = _WorkingFolder()
