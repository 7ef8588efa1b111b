"""Training a network: mini-batches, gradients, an early stop, and a model file of the best weights."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.binding import Rules
from convcli.errors import InputError, RequestError
from convcli.layers.changes import refuse_pools
from convcli.layers.layer import read_layers
from convcli.layers.nets import Net, untrained_network
from convcli.learning.learn import Learned, Score, learn, model_of
from convcli.learning.lessons import Lanes
from convcli.learning.material import Stand, powers, segments_of
from convcli.learning.scaling import Scaling, scale
from convcli.learning.school import Course, Outcome, School, Watch, diverged
from convcli.running.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.learning.lessons import Lesson
    from convcli.planning.grammar import Call
    from convcli.signals import Array, Medium, Signal, Source

    Pairs = Sequence[tuple[Source[Any], Source[Any] | None]]

# A linear layer of at most so many inputs is solved for comparison.
COMPARED = 1500


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A network and how well it does.

    tensors : by the names of torch.nn.Sequential; scaling : of the columns, for the model file; learned : its errors
    beside those of the linear layer and of the naive answers; rate : of learning, in the end; best, last : epochs
    restarts : how often training diverged and was begun again
    """

    layers: str
    course: Course
    tensors: dict[str, Array]
    scaling: dict[str, list[list[float]]]
    learned: Learned
    parameters: int
    rate: float
    best: int
    last: int
    restarts: int
    interrupted: bool

    def model(
        self, lesson: Lesson, signal: Signal, *, version: str
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """The tensors and the metadata of the model file."""
        _, metadata = model_of(self.learned, lesson, signal, version=version)
        facts = json.loads(metadata["facts"])
        course = self.course
        facts |= {
            "epochs": self.last,
            "best_epoch": self.best,
            "seed": course.seed,
            "batch": course.batch,
        }
        facts |= {"learning_rate": course.rate, "weight_decay": course.decay}
        metadata |= {"layers": self.layers, "facts": json.dumps(facts)}
        if lesson.differences:
            metadata["on"] = "differences"
        if self.scaling:
            metadata |= {
                "scaling": json.dumps(self.scaling),
                "units": "(value - mean) / unit, which scaling says",
            }
        return dict(self.tensors), metadata


def train(lesson: Lesson, course: Course, pairs: Pairs, watch: Watch) -> Trained | None:
    """The network of least squared error that was found from inputs to their targets.

    The lesson says what is to be learned, but for its taps, which are those of the layers. None where it was stopped
    before the first epoch had ended. RequestError where the layers cannot be trained or do not fit the signals, or
    training diverges; InputError where the data are too few, constant, or different in length; OutputError where
    neither the memory nor a temporary file has room for the samples.
    """
    signal = pairs[0][0].signal
    lanes = Lanes.of(lesson, signal, pairs[0][1])
    rules = Rules(edge=signal.medium.edge, align=lesson.align)
    net, stand, names = bound(course.layers, signal, lanes, rules)
    net = _fitting(net, stand, lesson, course, signal)
    linear = compared(
        lesson, pairs, stand
    )  # which looks at the files, and for a delay between them
    with Workers(course.threads) as workers:
        lags = [delay.lag for delay in linear.delays] or [(0,) * signal.axes] * len(pairs)
        # Levels of a table may be large and their changes small.
        dtype = None if signal.medium.separate_channels else np.float32
        segments = segments_of(lesson, lanes, pairs, workers, stand=stand, lags=lags, dtype=dtype)
    power, power_held = powers(segments)
    linear = replace(linear, power=power, power_held=power_held)
    scaling = scale(net, segments, signal.medium)
    school = School(net, course, segments, stand, dtype=np.float32)
    segments.clear()
    outcome = school.train(watch)
    if not outcome.best:
        if outcome.interrupted:
            return None
        raise diverged(course.rate)
    return _trained(course, linear, signal.medium, _Result(net, names, scaling, school, outcome))


# ---------------------------------------------------------------------------------------------------- layers


def _fitting(net: Net, stand: Stand, lesson: Lesson, course: Course, signal: Signal) -> Net:
    """The network as the lesson needs it. RequestError where it sees what it must not, or cannot be what is asked."""
    if lesson.ahead and any(after > 0 for after in stand.after):
        message = (
            f"the network would read {max(stand.after)} samples after the one that it predicts from"
        )
        raise RequestError(message, hint="--align causal")
    if lesson.differences:
        refuse_pools(read_layers(course.layers, signal))
    return blindfolded(net, stand) if lesson.blind else net


def blindfolded(net: Net, stand: Stand) -> Net:
    """The network that sees the neighbours of a sample and not the sample itself. RequestError where it would."""
    hint = "conv:16,65 | relu | conv:1,1"
    first, *others = net.weighted
    wide = [layer for layer in others if math.prod(layer.shape) > 1]
    pools = [layer for layer in net.layers if not (layer.parameters or layer.pointwise)]
    if wide or pools or any(math.prod(layer.pool) > 1 for layer in net.weighted):
        message = "--blind: none but the first conv may have a width, or the sample comes back through its neighbours"
        raise RequestError(message, hint=hint)
    taps = [
        divmod(before, dilation)
        for before, dilation in zip(stand.before, first.op.dilation, strict=True)
    ]
    if any(
        rest or not 0 <= tap < size for (tap, rest), size in zip(taps, first.shape, strict=True)
    ):
        return net  # it does not read the sample anyway
    if math.prod(first.shape) == 1:
        raise RequestError("--blind: the sample has no neighbours in a conv of one tap", hint=hint)
    return replace(net, blind=tuple(tap for tap, _ in taps))


def bound(text: str, signal: Signal, lanes: Lanes, rules: Rules) -> tuple[Net, Stand, list[int]]:
    """The network that `text` says, where its outputs stand, and the numbers of the layers with weights."""
    names = tuple(str(i + 1) for i in range(lanes.inputs))
    place = replace(signal, shape=(None,) * signal.axes, channels=names, alpha=None, full_scale=1.0)
    network = untrained_network(text, place, rules)
    net, chain = network.net, network.chain
    made, wanted = net.weighted[-1].outputs, lanes.outputs
    if made != wanted:
        last = network.layers[network.weighted[-1]]
        message = (
            f"the last conv makes {made} channel{'s' * (made != 1)}, and the target has {wanted}"
        )
        raise last.call.error(message, hint=f"conv:{wanted},SIZE")
    start = tuple(
        int(chain.aligned_input(axis, np.zeros(1, np.int64))[0]) for axis in range(signal.axes)
    )
    return net, Stand.of(net, start), network.weighted


# --------------------------------------------------------------------------------------------------- results


@dataclass(frozen=True)
class _Result:
    """What training left."""

    net: Net
    names: list[int]
    scaling: Scaling
    school: School
    outcome: Outcome


def _trained(course: Course, linear: Learned, medium: Medium, result: _Result) -> Trained:
    """The network with its errors, beside those of a linear layer and of the naive answers."""
    outcome, school = result.outcome, result.school
    unit = result.scaling.y[1]
    with Workers(school.threads) as workers:
        errors = [school.error(outcome.numbers, workers, held=held) for held in (False, True)]
    power = float(np.mean(np.square(unit)))
    # Of the error of what does not see a sample, the noise of that sample is a part that no other could avoid.
    noise = 0.0 if linear.noise is None else linear.noise.level**2
    train, held = (math.sqrt(max(0.0, error * power - noise)) for error in errors)
    score = Score(name="the network", train=train, held=held if school.checked else None)
    text = " | ".join(call.text for call in _calls(course.layers))
    return Trained(
        layers=text,
        course=course,
        tensors=_tensors(result, medium=medium),
        scaling=result.scaling.kept() if medium.separate_channels else {},
        learned=replace(linear, scores=(score, *linear.scores), ridge=0.0, deficient=False),
        parameters=result.net.parameters - len(result.net.left_out),
        rate=outcome.rate,
        best=outcome.best,
        last=outcome.last,
        restarts=outcome.restarts,
        interrupted=outcome.interrupted,
    )


def _calls(text: str) -> tuple[Call, ...]:
    from convcli.planning.grammar import parse

    return parse(text)


def compared(lesson: Lesson, pairs: Pairs, stand: Stand) -> Learned:
    """What one linear layer makes of as many inputs, where it can be solved, and the naive answers."""
    reached = tuple(b + a + 1 for b, a in zip(stand.before, stand.after, strict=True))
    taps = math.prod(reached) * (
        len(lesson.inputs) or (len(pairs[0][0].signal.channels) if lesson.mix else 1)
    )
    if taps <= COMPARED:
        try:
            linear = learn(replace(lesson, taps=reached, bias=True, ridge=None), pairs)
        except InputError:  # too few windows for so many taps
            pass
        else:
            name = f"one linear layer, {'x'.join(str(n) for n in reached)} taps"
            return replace(
                linear, scores=(replace(linear.scores[0], name=name), *linear.scores[1:])
            )
    few = 3 if lesson.blind else 1
    naive = learn(replace(lesson, taps=(few,) * len(reached), bias=True, ridge=None), pairs)
    return replace(naive, scores=naive.scores[1:])


def _tensors(result: _Result, *, medium: Medium) -> dict[str, Array]:
    """The weights by their names, for samples as they are (of a table: scaled as the model file says)."""
    tensors = [
        (w.copy(), None if b is None else b.copy())
        for w, b in result.net.tensors(result.outcome.numbers)
    ]
    if not medium.separate_channels:
        first, last = tensors[0][0], tensors[-1]
        first /= result.scaling.x[1][0]
        for each in last:
            if each is not None:
                np.multiply(each, result.scaling.y[1][0], out=each)
    named: dict[str, Array] = {}
    for number, (w, b) in zip(result.names, tensors, strict=True):
        named[f"{number}.weight"] = w.astype(np.float32)
        if b is not None:
            named[f"{number}.bias"] = b.astype(np.float32)
    return named
