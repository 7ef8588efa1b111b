"""What every registered step promises, checked for every one of them on every medium that it accepts."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from convcli.core.binding import Rules
from convcli.designs import steps
from convcli.errors import RequestError
from convcli.media.audio.medium import AUDIO
from convcli.media.images.medium import IMAGE
from convcli.planning.grammar import parse
from convcli.planning.plan import Plan, make_plan, rules_for
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.signals import ARRAY, TABLE, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convcli.designs.registry import Step
    from convcli.signals import Align, Array, Edge

    Check = Callable[[Step, str], None]

EDGES: tuple[Edge, ...] = (
    "shrink",
    "missing",
    "zero",
    "edge",
    "reflect",
    "symmetric",
    "wrap",
    "valid",
)
ALIGNS: tuple[Align, ...] = ("center", "causal")
# A causal filter meets the same edges with the same taps; those that differ most are enough.
RULES: tuple[tuple[Edge, Align], ...] = (
    *((edge, "center") for edge in EDGES),
    ("shrink", "causal"),
    ("zero", "causal"),
    ("missing", "causal"),
    ("wrap", "causal"),
    ("valid", "causal"),
)
# An axis of a picture is extended and aligned as every other signal is.
PICTURE_RULES = (*((edge, align) for edge, align in RULES if align == "center"), ("zero", "causal"))
# Groups of branches: operands of every kind, within each other, that hold values, and with strides.
GROUPS = (
    "ema:alpha=0.9 - 2 * ema:alpha=0.8",
    "(x - box:3) / (abs | box:4 | offset:1)",
    "x + 50% * (x - lowpass:0.2,taps=9 | kernel:1,-3,1) - 1/3",
    "avg_pool:3 * (max_pool:3 - min_pool:3 / 2) | box:2",
    "(x + (box:2 | x - kernel:2,-1,1)) * (diff:2 | x + 3)",
    "box:2 & x - box:3",
)
GROUP = steps()["branches"]
STEPS = [*steps().values(), *(replace(GROUP, example=example) for example in GROUPS)]
MEDIA = ("audio", "table", "image", "transparent", "array")

LINEAR_FAMILIES = ("given taps", "smoothing", "frequency", "differences", "channels")
NOT_LINEAR = ("envelope", "pct_change")
LINEAR = ("sharpen", "emboss", "motion", "disk", "gabor", "downsample", "stride", "resample", "resize", "upsample", "avg_pool",
          "sum_pool", "adaptive_avg_pool", "global_avg_pool", "gain")  # fmt: skip
KEEPS_A_CONSTANT = ("lowpass", "bandstop", "peak", "notch", "highshelf", "mono", "grey", "sharpen", "motion", "disk", "downsample", "stride", "resample", "resize",
                    "avg_pool", "max_pool", "min_pool", "adaptive_avg_pool", "adaptive_max_pool", "global_avg_pool",
                    "global_max_pool")  # fmt: skip
LOSES_A_CONSTANT = (
    "highpass",
    "bandpass",
    "hilbert",
    "diff",
    "gradient",
    "laplacian",
    "laplacian_of_gaussian",
    "dog",
    "pct_change",
    "sobel",
    "prewitt",
    "scharr",
    "gabor",
)
# A sample moves these only where it becomes another in order of size.
ORDERED = ("median", "quantile", "hampel", "min", "max", "median_pool", "first_pool", "last_pool")
DEVIATIONS = ("std", "var", "mad")
RANKS = ("rank", "mad")
# A new grid lies between the old samples, and each of its points is made of those on both sides of
# it.
BETWEEN_SAMPLES = ("resample", "resize", "upsample")
# An output column is made of several columns.
NOT_BY_COLUMN = ("mix", "pick", "mono", "model")


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples name files of sample_data/."""
    monkeypatch.chdir(Path(__file__).parents[1])


def signal_for(step: Step, medium: str, n: int) -> Signal:
    """A signal of `n` samples along each axis.

    Frequencies of the examples are in cycles per sample.
    """
    if medium in ("image", "transparent"):
        channels = ("R", "G", "B") if medium == "image" else ("R", "G", "B", "A")
        alpha = 3 if medium == "transparent" else None
        return Signal(
            medium=IMAGE, shape=(n, n - 4), channels=channels, alpha=alpha, full_scale=255.0
        )
    in_cycles = step.family == "frequency" and "@" not in step.example
    rate = 1.0 if in_cycles else 16000.0
    if medium == "audio":
        return Signal(medium=AUDIO, shape=(n,), channels=("left", "right"), rate=rate)
    if medium == "table":
        return Signal(medium=TABLE, shape=(n,), channels=("Open", "Close"))
    return Signal(medium=ARRAY, shape=(n,), channels=("1",))


# Taps run along both axes of a picture, so that filters that ring for long take seconds there. They
# are tried with their own taps along one axis.
SHORT_ON_PICTURES = {
    "ema": "ema:span=2",
    "notch": "notch:0.2,q=0.7",
    "peak": "peak:0.25,6,q=0.5",
    "lowshelf": "lowshelf:0.2,6",
    "lowpass": "lowpass:0.1,width=0.15",
    "highpass": "highpass:0.1,width=0.15",
    "bandpass": "bandpass:0.15,0.35,width=0.15",
    "bandstop": "bandstop:0.1,0.4,width=0.15",
    "hilbert": "hilbert:low=0.1",
    "envelope": "envelope:low=0.1",
}


def example_for(step: Step, medium: str) -> str:
    """The example of a step, with few taps on pictures."""
    if medium not in ("image", "transparent"):
        return step.example
    return SHORT_ON_PICTURES.get(step.name, step.example)


@cache
def plan_for(
    step: Step, medium: str, *, edge: Edge | None = None, align: Align | None = None
) -> Plan | None:
    """The step's example bound to a signal some windows long; None where the step refuses the medium."""
    text = example_for(step, medium)
    try:
        signal = signal_for(step, medium, length_for(step, medium))
        return make_plan(text, signal, rules_for(signal, edge=edge, align=align))
    except RequestError:
        return None


@cache
def length_for(step: Step, medium: str) -> int:
    """So many samples that the window of the step's example is there more than once."""
    signal = signal_for(step, medium, 41)
    plan = make_plan(example_for(step, medium), signal, rules_for(signal))
    reach = plan.chain.reach
    return 41 + max(5 * (r.before + r.after) // 4 + 3 * min(r.step, 9) for r in reach)


class RefusedError(Exception):
    """A step does not take a medium."""


def accepted(step: Step, medium: str, **rules: Any) -> Plan:
    plan = plan_for(step, medium, **rules)
    if plan is None:
        raise RefusedError
    return plan


def noise(plan: Plan, seed: int = 0) -> Array:
    shape = (*(n or 0 for n in plan.signal.shape), len(plan.signal.channels))
    x = np.random.default_rng(seed).uniform(-1, 1, shape)
    if plan.signal.medium == IMAGE:
        x = np.rint(127 + 120 * x)
    if plan.signal.alpha is not None:
        x[..., plan.signal.alpha] = 250 + x[..., plan.signal.alpha] % 5
    return x


def filtered(plan: Plan, x: Array, cuts: tuple[int, ...] = (), threads: int = 1) -> Array:
    ends = [0, *sorted(min(c, len(x)) for c in cuts), len(x)]
    sink = Collected()
    run(plan, Blocks(plan.signal, [x[a:b] for a, b in pairwise(ends)]), sink, threads=threads)
    if sink.parts:
        return np.concatenate(sink.parts)
    return np.empty(
        (0, *(n or 0 for n in plan.result.shape[1:]), len(plan.result.channels)), x.dtype
    )


def close(y: Array, truth: Array, tolerance: float = 1e-12) -> None:
    scale = float(np.nanmax(np.abs(truth), initial=1.0))
    np.testing.assert_allclose(y, truth, rtol=0, atol=tolerance * scale)


every_step = pytest.mark.parametrize(
    "step", STEPS, ids=lambda step: step.example if step.example in GROUPS else step.name
)


def on(media: Sequence[str]) -> Callable[[Check], Callable[[Step], None]]:
    """Make a test of every step of what is to hold for a step and a medium.

    The media are not parameters of the test: 4,700 tests instead of 1,200 take 10 s longer.
    """

    def test_of(check: Check) -> Callable[[Step], None]:
        def test(step: Step) -> None:
            for medium in media:
                try:
                    check(step, medium)
                except RefusedError:
                    continue
                except Exception as error:
                    error.add_note(f"medium: {medium}")
                    raise

        test.__name__ = check.__name__
        return every_step(test)

    return test_of


on_every_medium = on(MEDIA)
# Transparency changes what is computed, not how far it reaches.
on_every_geometry = on([medium for medium in MEDIA if medium != "transparent"])


@every_step
def test_words(step: Step) -> None:
    assert step.help.endswith((".", ")", ":")), (
        f"{step.name}: the docstring's first line is its help"
    )
    assert step.usage.startswith(step.name)
    assert parse(step.example)[0].name in (step.name, *step.aliases)
    assert any(plan_for(step, medium) is not None for medium in MEDIA), "some medium takes it"


@on_every_medium
def test_blocks_are_the_whole(step: Step, medium: str) -> None:
    plan = accepted(step, medium)
    x = noise(plan)
    kept = x.copy()
    x.flags.writeable = False
    whole = filtered(plan, x)
    np.testing.assert_array_equal(x, kept)
    assert whole.shape == (*plan.result.shape, len(plan.result.channels))
    width = plan.chain.reach[0].before + plan.chain.reach[0].after + 1
    # One thread and two by turns.
    for turn, size in enumerate((1, 2, width - 1, width, 13)):
        # So many blocks of one sample that each is nothing but context take long: some of them will
        # do.
        cuts = tuple(range(0, len(x), max(size, 1)))[: 24 if plan.signal.axes == 1 else 6]
        y = filtered(plan, x, cuts, threads=2 - turn % 2)
        if plan.signal.medium == TABLE:
            np.testing.assert_array_equal(y, whole)
        else:
            close(y, whole)


@on(["audio"])
def test_sound_has_the_same_bits_in_any_pieces(step: Step, medium: str) -> None:
    plan = accepted(step, medium)
    if plan.chain.cell is None or not plan.single_pass:
        return
    length = 3 * plan.chain.cell + 2 * length_for(step, medium)
    x = np.random.default_rng(0).uniform(-1, 1, (length, len(plan.signal.channels)))
    whole = filtered(plan, x).tobytes()
    for size in (length // 2, length // 7, length // 40):
        assert filtered(plan, x, tuple(range(size, length, size))).tobytes() == whole


@on(["table"])
def test_the_outputs_of_a_column_are_neighbours(step: Step, medium: str) -> None:
    plan = accepted(step, medium)
    x = noise(plan)
    both = filtered(plan, x)
    if step.name in NOT_BY_COLUMN or both.shape[1] != 2:
        return
    text = f"({step.example}) & 2 * ({step.example})"
    try:
        group = make_plan(text, plan.signal, rules_for(plan.signal))
    except RequestError:
        return  # some steps are no branches
    first, second = np.hsplit(both, 2)
    expected = np.hstack([first, 2 * first, second, 2 * second])
    outputs = filtered(group, x)
    # What is measured of the whole signal is there at every sample.
    close(outputs, np.broadcast_to(expected, outputs.shape))


@on_every_medium
def test_single_precision_stays(step: Step, medium: str) -> None:
    plan = accepted(step, medium)
    x = noise(plan)
    y = filtered(plan, x.astype(np.float32), (5, 20))
    assert y.dtype == np.float32
    if step.name != "exp":  # of an 8-bit picture: more than single precision holds
        close(y, filtered(plan, x.astype(np.float32).astype(np.float64)), 2e-5)


@on_every_medium
def test_the_reach_is_true(step: Step, medium: str) -> None:
    for align in ALIGNS:
        plan = accepted(step, medium, edge="zero", align=align)
        if any(bound.sees_whole for bound in plan.steps):
            continue
        x, other = noise(plan, 1), noise(plan, 2)
        y = filtered(plan, x)
        for axis in range(plan.signal.axes):
            k = y.shape[axis] // 2
            low, high = plan.chain.needs(axis, k, k + 1)[0]
            low, high = max(low, 0), min(high, x.shape[axis])
            mixed = np.moveaxis(other.copy(), axis, 0)
            mixed[low:high] = np.moveaxis(x, axis, 0)[low:high]
            z = filtered(plan, np.moveaxis(mixed, 0, axis))
            close(np.take(z, k, axis), np.take(y, k, axis))


@on_every_geometry
def test_the_reach_is_tight(step: Step, medium: str) -> None:
    for align in ALIGNS:
        plan = accepted(step, medium, edge="zero", align=align)
        if any(bound.sees_whole for bound in plan.steps):
            continue
        x = noise(plan, 1)
        y = filtered(plan, x)
        for axis in range(plan.signal.axes):
            reach = plan.chain.reach[axis]
            k = (-(-reach.before // reach.step) + 1) * reach.phases
            low, high = plan.chain.needs(axis, k, k + 1)[0]
            assert low >= 0
            assert high <= x.shape[axis], "the signal is long enough for one undisturbed window"
            for end in (low, high - 1):
                changed = np.moveaxis(x.copy(), axis, 0)
                changed[end] = 1e9 + 1e9 * np.moveaxis(x, axis, 0)[end]
                z = filtered(plan, np.moveaxis(changed, 0, axis))
                reaching = np.take(z, k, axis) != np.take(y, k, axis)
                assert reaching.any() or _ends_in_zero(plan, axis), (align, axis, end)


def _ends_in_zero(plan: Plan, axis: int) -> bool:
    """Whether an output need not depend on the ends of its reach: taps of 0, phases by turns, a fold."""
    if plan.steps[0].step.name in (
        *BETWEEN_SAMPLES,
        "max_pool",
        "min_pool",
        "relu",
        "sign",
        "clip",
        "tanh",
        "sigmoid",
        "exp",
        *ORDERED,
        *RANKS,
    ):
        return True
    for op in plan.chain.ops:
        taps = np.atleast_1d(getattr(op, "taps", np.ones(1)))
        taps = np.moveaxis(taps, min(axis, taps.ndim - 1), 0)
        if not taps[0].any() or not taps[-1].any():
            return True
    return False


@on_every_geometry
def test_causal_steps_do_not_look_ahead(step: Step, medium: str) -> None:
    plan = accepted(step, medium, align="causal")
    if step.name == "resize":  # a picture has no future
        return
    for axis in range(plan.signal.axes):
        assert plan.chain.look_ahead(axis) <= 0
    if plan.signal.axes == 2 or any(bound.sees_whole for bound in plan.steps):
        return
    x = noise(plan)
    whole = filtered(plan, x)
    for k in (1, 2, 17, len(x) - 1):
        complete = plan.chain.ready(0, k)
        y = filtered(plan, x[:k])[:complete]
        if plan.signal.medium == TABLE:
            np.testing.assert_array_equal(y, whole[:complete])
        elif plan.rules.edge == "zero":
            close(y, whole[:complete])


@on_every_geometry
def test_linear_steps_are_linear(step: Step, medium: str) -> None:
    if not (step.family in LINEAR_FAMILIES or step.name in LINEAR) or step.name in NOT_LINEAR:
        return
    for edge in ("zero", "edge", "wrap"):
        plan = accepted(step, medium, edge=edge)
        a, b = noise(plan, 3), noise(plan, 4)
        close(filtered(plan, a + b), filtered(plan, a) + filtered(plan, b))
        close(filtered(plan, -2.5 * a), -2.5 * filtered(plan, a))


@on_every_medium
def test_steps_move_along_with_their_input(step: Step, medium: str) -> None:
    plan = accepted(step, medium, edge="wrap")
    if any(bound.sees_whole for bound in plan.steps):
        return
    x = noise(plan)
    for axis in range(plan.signal.axes):
        along = plan.chain.reach[axis]
        if x.shape[axis] % along.step:
            continue
        moved = filtered(plan, np.roll(x, along.step, axis))
        close(moved, np.roll(filtered(plan, x), along.phases, axis), 1e-11)


@on_every_medium
def test_lengths_and_constants(step: Step, medium: str) -> None:
    keeps = step.family == "smoothing" or step.name in (*KEEPS_A_CONSTANT, *ORDERED)
    loses = step.name in (*LOSES_A_CONSTANT, *DEVIATIONS)
    rules = PICTURE_RULES if medium in ("image", "transparent") else RULES
    for edge, align in rules:
        plan = accepted(step, medium, edge=edge, align=align)
        x = noise(plan)
        if keeps or loses:
            x = np.full_like(x, 37.0)
        y = filtered(plan, x)
        assert y.shape == (*plan.result.shape, len(plan.result.channels)), (edge, align)
        if keeps or loses:
            _check_constant(plan, y, 37.0 if keeps else 0.0)


def _check_constant(plan: Plan, y: Array, constant: float) -> None:
    """Outputs of a constant signal are `constant`, where the edges do not matter."""
    edge, align = plan.rules.edge, plan.rules.align
    if plan.signal.axes == 2 and (edge, align) == ("shrink", "causal"):
        return  # in the corner nothing but taps of 0 may meet the picture
    if plan.signal.alpha is not None and constant == 0:
        y = y[..., :3]
    if edge in ("zero", "missing") or (edge == "shrink" and constant == 0):
        y = y[_undisturbed(plan, y)]
    close(y, np.full_like(y, constant), 1e-12)


def _undisturbed(plan: Plan, y: Array) -> tuple[slice, ...]:
    """The outputs that read nothing but the signal."""
    places = []
    for axis in range(plan.signal.axes):
        reach = plan.chain.reach[axis]
        first = -(-reach.before // reach.step) * reach.phases
        places.append(
            slice(first, min(y.shape[axis], plan.chain.ready(axis, plan.signal.shape[axis] or 0)))
        )
    return tuple(places)


@on(["table"])
def test_a_missing_cell_stays_missing(step: Step, medium: str) -> None:
    if step.family not in LINEAR_FAMILIES or step.name == "lag":  # which gives another cell
        return
    plan = accepted(step, medium)
    if len(plan.result.channels) != len(plan.signal.channels):
        return
    x = noise(plan)
    x[np.random.default_rng(5).random(x.shape) < 0.2] = np.nan
    y = filtered(plan, x)
    assert np.isnan(y)[np.isnan(x)].all()
    propagated = make_plan(
        step.example, plan.signal, Rules(edge="zero", align="causal", missing="propagate")
    )
    assert np.isnan(filtered(propagated, x)).sum() >= np.isnan(x).sum()
    filled = make_plan(
        step.example, plan.signal, Rules(edge="edge", align="causal", missing="fill")
    )
    if step.family == "smoothing":
        first = int(np.argmin(np.isnan(x).any(axis=1)))
        assert not np.isnan(filtered(filled, x)[first + 6 :]).any()


@on_every_geometry
def test_no_samples_at_all(step: Step, medium: str) -> None:
    plan = accepted(step, medium)
    x = noise(plan)[:0]
    for cuts in ((), (0, 0)):
        assert filtered(plan, x, cuts).shape[0] == 0
