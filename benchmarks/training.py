"""How long an epoch of training takes, beside torch: the same first weights, windows, batches, loss and descent.

Each side runs in a process of its own, by turns, and tells the seconds of every epoch but the
first, which fills the caches, and its loss in the end. What both share (the data and the places of
the windows) is made before the clock starts. `python training.py SIDE NAME SAMPLES` is one such
process.
"""

from __future__ import annotations

import fnmatch
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peers as programs

from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE

if TYPE_CHECKING:
    import numpy.typing as npt

EPOCHS = 6
BATCH, RATE, DECAY = 32, 0.003, 1e-4
# torch may be faster with one thread where the cores are busy; the better of both counts.
SIDES = ("convcli", "torch", "torch, 1 thread")
# All do the same sums in float32, in another order.
TOLERANCE = 0.02


@dataclass(frozen=True)
class Network:
    """A network, what it is trained on, and the ratio to reach."""

    name: str
    says: str
    layers: str
    axes: int
    samples: int = 1_000_000
    goal: float = 1.0


NETWORKS = (
    Network("train-sound", "a sound", "conv:8,7 | leaky_relu:0.1 | avg_pool:2 | conv:1,5", 1),
    Network("train-picture", "a picture", "conv:8,5x5 | relu | conv:8,3x3 | relu | conv:1,3x3", 2),
)


def run(*, only: str = "*", runs: int = 3, quick: bool = False) -> list[dict[str, Any]]:
    """Measure, print, and return everything."""
    print(
        f"\ntraining: seconds of processor and clock for an epoch, the medians of {EPOCHS - 1} epochs and {runs} runs"
    )
    return [
        _measured(network, runs, quick=quick)
        for network in NETWORKS
        if fnmatch.fnmatch(network.name, only)
    ]


def _measured(network: Network, runs: int, *, quick: bool) -> dict[str, Any]:
    sides = SIDES if programs.TORCH.present else SIDES[:1]
    samples = network.samples // 10 if quick else network.samples
    series: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(runs):
        for side in sides:
            command = [sys.executable, __file__, side, network.name, str(samples)]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=_environment())
            series[side].append(json.loads(done.stdout))
    print(
        f"\n{network.name}: {network.layers} on {network.says} of {samples:,} samples, {BATCH} windows to a step"
    )
    wall = {
        side: statistics.median(t for one in found for t in one["wall"])
        for side, found in series.items()
    }
    cpu = {
        side: statistics.median(t for one in found for t in one["cpu"])
        for side, found in series.items()
    }
    for side in sides:
        print(
            f"  {side:16}{wall[side]:8.3f} s{cpu[side]:8.3f} s cpu   loss {series[side][0]['loss']:.6g}"
        )
    found: dict[str, Any] = {
        "name": network.name,
        "layers": network.layers,
        "goal": network.goal,
        "runs": series,
    }
    if "torch" not in sides:
        print(f"  torch           absent; {programs.TORCH.install}")
        return found
    ours, theirs = (series[side][0]["loss"] for side in sides[:2])
    ratio, in_cpu = (
        min(cost[side] for side in sides[1:]) / cost["convcli"] for cost in (wall, cpu)
    )
    found |= {"ratio": ratio, "agrees": abs(ours / theirs - 1) < TOLERANCE}
    agrees = "agrees" if found["agrees"] else "DIFFERS"
    print(f"  ratio {ratio:.2f}, {network.goal:.2f} to reach; {in_cpu:.2f} in cpu; {agrees}")
    return found


def _environment() -> dict[str, str]:
    """Whoever shares a batch between threads gives each of them one of BLAS."""
    return {**os.environ, **programs.environment(), "OPENBLAS_NUM_THREADS": "1"}


# ---------------------------------------------------------------------------------------- the sides


class Prepared:
    """The data and the windows that both sides use."""

    def __init__(self, network: Network, samples: int) -> None:
        import numpy as np

        from convcli.core.binding import Rules
        from convcli.learning.dataset import TrainingSignal, complete_windows
        from convcli.learning.pairs import Channels
        from convcli.learning.trainable_network import read_network
        from convcli.learning.trainer import Trainer, TrainingOptions
        from convcli.signals import Signal

        side = round(samples ** (1 / network.axes))
        random = np.random.default_rng(1)
        x = random.normal(size=(side,) * network.axes + (1,))
        signal = Signal(
            medium=IMAGE if network.axes == 2 else AUDIO, shape=x.shape[:-1], channels=("1",)
        )
        rules = Rules(edge="zero", align="center")
        made = read_network(network.layers, signal, Channels(1, 1, 0), rules)
        net, field = made.net, made.field
        # Something that such a network can learn a part of.
        y = np.abs(x + np.roll(x, 1, 0)) - np.abs(np.roll(x, -2, 0))
        options = TrainingOptions(batch=BATCH, learning_rate=RATE, weight_decay=DECAY)
        train = complete_windows(np.ones(x.shape[:-1], bool), field)
        signals = [
            TrainingSignal(x=x, y=y - y.mean(), train=train, held=np.zeros(x.shape[:-1], bool))
        ]
        self.trainer = Trainer(net, options, signals, field)
        self.numbers = net.started(random)
        self.epochs = [self._whole(random) for _ in range(EPOCHS)]

    def _whole(self, random: Any) -> npt.NDArray[Any]:
        """Windows in all of which something is learned, as many as fill the batches."""
        import numpy as np

        sampler = self.trainer.sampler
        places = sampler.shuffled(random)
        whole = np.array(
            [sampler.count(place[None]) == np.prod(sampler.outputs) for place in places]
        )
        kept: npt.NDArray[Any] = places[whole][: int(whole.sum()) // BATCH * BATCH]
        return kept


def convcli(prepared: Prepared) -> dict[str, Any]:
    """Epochs as `convcli learn` runs them."""
    from convcli.running.workers import Workers

    trainer, numbers = prepared.trainer, prepared.numbers
    adam = trainer.optimizer(RATE)
    with Workers(trainer.threads) as workers:
        return _timed(
            prepared, lambda places: trainer.epoch(places, numbers, adam, workers, lambda: False)
        )


def torch(prepared: Prepared, threads: int) -> dict[str, Any]:
    """The same as one writes it with torch: a Sequential, its AdamW, windows by `unfold`."""
    import torch as t

    t.set_num_threads(threads)
    trainer, sampler = prepared.trainer, prepared.trainer.sampler
    net = _sequential(prepared)
    weights = [p for name, p in net.named_parameters() if name.endswith("weight")]
    biases = [p for name, p in net.named_parameters() if name.endswith("bias")]
    groups = [{"params": weights, "weight_decay": DECAY}, {"params": biases, "weight_decay": 0.0}]
    descent = t.optim.AdamW(groups, lr=RATE)
    reads = trainer.net.reads(sampler.outputs)
    steps = sampler.field.step
    x, y = t.from_numpy(sampler.x[..., 0]), t.from_numpy(sampler.y[..., 0])
    windows, targets = x, y
    for axis, (read, output, step) in enumerate(zip(reads, sampler.outputs, steps, strict=True)):
        windows = windows.unfold(axis, read, 1)
        targets = targets.unfold(axis, (output - 1) * step + 1, 1)
    every = (..., *(slice(None, None, step) for step in steps))
    before = t.tensor(sampler.field.lead)

    def epoch(places: Any) -> float:
        total = 0.0
        for first in range(0, len(places), BATCH):
            at = t.from_numpy(places[first : first + BATCH])
            window = windows[tuple((at - before).T)][:, None]
            target = targets[tuple(at.T)][:, None][every]
            descent.zero_grad()
            loss = t.nn.functional.mse_loss(net(window), target)
            loss.backward()
            descent.step()
            total += loss.item()
        return total / (len(places) // BATCH)

    return _timed(prepared, epoch)


def _sequential(prepared: Prepared) -> Any:
    """The network with the same first weights."""
    import torch as t

    from convcli.layers.activation import TrainedActivation
    from convcli.layers.training.trained_conv import TrainedConv

    layers: list[Any] = []
    tensors = iter(prepared.trainer.net.tensors(prepared.numbers))
    for layer in prepared.trainer.net.layers:
        if isinstance(layer, TrainedConv):
            if any(p > 1 for p in layer.pool):
                layers.append(t.nn.AvgPool1d(layer.pool[0]))
            out, inputs, *shape = layer.op.weights.shape
            made = (t.nn.Conv2d if len(shape) == 2 else t.nn.Conv1d)(inputs, out, tuple(shape))
            own = {name: t.tensor(view) for name, view in next(tensors).items()}
            made.load_state_dict(own)
            layers.append(made)
        elif isinstance(layer, TrainedActivation):
            slope = getattr(layer.function, "slope", 0.0)
            layers.append(t.nn.LeakyReLU(slope) if slope else t.nn.ReLU())
        else:
            raise TypeError("a pool that was not taken in")
    return t.nn.Sequential(*layers)


def _timed(prepared: Prepared, epoch: Any) -> dict[str, Any]:
    wall, cpu, loss = [], [], 0.0
    for places in prepared.epochs:
        clock, processor = time.perf_counter(), time.process_time()
        loss = epoch(places)
        wall.append(time.perf_counter() - clock)
        cpu.append(time.process_time() - processor)
    return {"wall": wall[1:], "cpu": cpu[1:], "loss": loss}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    _, side, name, samples = sys.argv
    prepared = Prepared(next(network for network in NETWORKS if network.name == name), int(samples))
    cores = 1 if side.endswith("1 thread") else len(os.sched_getaffinity(0))
    print(json.dumps(convcli(prepared) if side == "convcli" else torch(prepared, cores)))
