"""The layers of a model bound to a signal, at the place of the network in a FILTER.

They are bound from left to right, and each becomes operations like any other step. A network that
was learned with `--on differences` stands between two more layers: one makes changes of the
columns, and one adds the predicted change to a level.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from convcli.core.binding import Stage, signal_after
from convcli.core.branch_chain import UnequalBranchesError
from convcli.core.branches import Branches
from convcli.core.chain import Chain
from convcli.core.formula import Arithmetic, Operand
from convcli.core.one_sample import Pointwise
from convcli.core.op_formula import NNArithmetic
from convcli.errors import RequestError
from convcli.facts import LayerFacts
from convcli.layers.affine import folded_affine, folded_with_titles
from convcli.layers.conv_op import ConvOp
from convcli.layers.layer import LayerSite
from convcli.layers.padding import Placement
from convcli.layers.selection import ChannelSelection
from convcli.layers.shuffle import refuse_growth
from convcli.planning.describe import reach_facts
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from convcli.array_types import FloatArray
    from convcli.core.binding import Rules, Site
    from convcli.core.op import Op
    from convcli.layers.layer import Layer
    from convcli.layers.model import Model
    from convcli.signals import Array, Signal


# A length that pools, strides and factors of networks divide: 2**6 * 3**2 * 5 * 7.
CHECKED_LENGTH = 20_160


def network_padding(layers: Iterable[Layer], rules: Rules) -> Literal["chain", "torch", "causal"]:
    """Who extends the input of layers: they do if any says so, also under `valid`.

    Under `valid` layers that make more samples count complete windows as torch does.
    """
    some = list(layers)
    complete = rules.edge == "valid" and any(layer.upsamples for layer in some)
    if not complete and not any(layer.pads for layer in some):
        return "chain"
    return "causal" if rules.align == "causal" else "torch"


def known_channels(model: Model, layers: Sequence[Layer]) -> tuple[int, int] | None:
    """Channels that go into the layers of a model and come out, by its weights.

    None if no layer has weights that tell.
    """
    known = {}
    for number, layer in enumerate(layers):
        channels = layer.channels(model.tensors_of(number))
        if channels is not None:
            known[number] = channels
    if not known:
        return None
    first, last = min(known), max(known)
    taken, made = known[first][0], known[last][1]
    for layer in reversed(layers[:first]):
        taken = layer.channels_before(taken)
    for layer in layers[last + 1 :]:
        made = layer.channels_after(made)
    return taken, made


class NetworkBinder:
    """Binds the layers of a model to the signal of a site.

    place : the signal that reaches the next layer; start, ops : where the present stage began, and
        its operations
    done : the stages before it; bound : each layer with what it became; facts : about each layer
    """

    def __init__(self, model: Model, layers: list[Layer], site: Site) -> None:
        self.model = model
        self.layers = layers
        self.signal = site.signal
        self.rules = site.rules
        self.padding = network_padding(layers, site.rules)
        self.passed_by: Literal["opacity", "level"] | None
        self.passed_by, self.copies = self._channel_use()
        self.place = self._seen(site.signal)
        self.start = site.signal
        self.ops = self._scaling(1 / site.signal.full_scale)
        self.done: list[Stage] = []
        self.facts: list[LayerFacts] = []
        self.bound: list[tuple[Layer, Stage]] = []
        if model.differences:
            self._see_changes()
        self.ops += self._normalised("inputs", len(site.signal.channels))

    # --- channels ---

    def _channel_use(self) -> tuple[Literal["opacity"] | None, int]:
        """What goes past the network, and how many channels are filtered each by itself."""
        taken = known_channels(self.model, self.layers)
        given = len(self.signal.channels)
        alpha = self.signal.alpha
        colours = given - (alpha is not None)
        if taken is None or taken[0] == given:
            return None, 1
        if taken[0] == colours:
            return "opacity", 1
        one_by_one = taken == (1, 1) and not any(layer.takes_everything for layer in self.layers)
        if one_by_one and alpha in {None, given - 1}:
            return None if alpha is None else "opacity", colours
        count = taken[0]
        nouns = plural(count, self.signal.medium.channel)
        message = f"{self.model.path} takes {nouns}, and this signal has {given}"
        raise RequestError(message, hint=self.signal.medium.hint_for_channels(count, given))

    def _seen(self, signal: Signal) -> Signal:
        """The signal as the network sees it.

        An opacity that it takes in is a channel like others.
        """
        scale = 1.0 if signal.medium.unit_scale else signal.full_scale
        alpha = None if self.passed_by is None else signal.alpha
        return replace(signal, full_scale=scale, alpha=alpha)

    def _names(self) -> tuple[str, ...]:
        """The names of the channels that come out."""
        count = len(self.place.channels)
        if count == len(self.signal.channels):
            return self.signal.channels
        if count == len(self.model.targets):
            return self.model.targets
        if self.passed_by is None:
            return self.signal.medium.names_of(count)
        return (*self.signal.medium.names_of(count - 1), "A")

    # --- values ---

    def _scaling(self, factor: float) -> list[Op]:
        """The multiplication that scales a picture to 0 ... 1, or back; none for other media."""
        if not self.signal.medium.unit_scale or factor == 1:
            return []
        text = f"values times {factor:g}" if factor > 1 else f"values divided by {1 / factor:g}"
        return [
            Pointwise(
                function=lambda x: x * np.asarray(factor, x.dtype),
                axes=self.signal.axes,
                factor=factor,
                text=text,
            )
        ]

    def _normalised(self, name: Literal["inputs", "outputs"], count: int) -> list[Op]:
        """Standardise values as in the training of the network (inputs), or undo it (outputs)."""
        if not self.model.scaling:
            return []
        pairs = self.model.scaling[name]
        if len(pairs) == 1:
            pairs *= self.copies
        if len(pairs) != count:
            message = (
                f"{self.model.path} has a scaling of {len(pairs)} {name}, and there are {count}"
            )
            hint = self.signal.medium.hint_for_channels(len(pairs), count)
            raise RequestError(message, hint=hint)
        if self.model.differences:
            pairs = (*pairs, (0.0, 1.0))  # the level as it is
        mean, unit = np.array(pairs).T
        axes = self.signal.axes
        function, form = _out_of_units, "({mean} + {x} * {unit})"
        text = "values in the units of the signal"
        if name == "inputs":
            function, form = _in_units, "(({x} - {mean}) / {unit})"
            text = "values in the units of training"
        numbers = (("mean", tuple(mean.tolist())), ("unit", tuple(unit.tolist())))
        scaled = partial(function, mean=mean, unit=unit)
        return [
            Pointwise(function=scaled, axes=axes, text=text, nn_call=NNArithmetic(form, numbers))
        ]

    # --- changes instead of levels ---

    def _see_changes(self) -> None:
        """Replace the levels by their changes.

        The level that a change is added to goes past the network.
        """
        refuse_pools(self.layers)
        count = len(self.model.columns)
        given = len(self.signal.channels)
        if self.signal.axes != 1 or given != count:
            table = f"a table with {plural(count, 'column')}"
            message = f"{self.model.path} predicts changes of {table}, and this has {given}"
            hint = self.signal.medium.hint_for_channels(count, given)
            raise RequestError(message, hint=hint)
        level = self.model.columns.index(self.model.targets[0])
        self.ops.append(changes_of(given, level).with_rules(self.rules.missing, exact=True))
        self.passed_by = "level"
        names = (*self.place.channels, "level")
        self.place = replace(self.place, channels=names, alpha=count)

    def _add_level(self) -> None:
        made = len(self.place.channels) - 1
        if made != 1:
            message = f"{self.model.path} predicts the change of one column, and its layers make"
            raise RequestError(f"{message} {made}")
        op = onto_level().with_rules(self.rules.missing, exact=True)
        self.ops.append(op)
        self.passed_by = None
        self.place = replace(signal_after(self.place, (op,)), alpha=None)

    # --- layers ---

    def stages(self) -> tuple[Stage, ...]:
        """Bind all layers. A layer that sees the whole signal is a stage of its own."""
        for number, layer in enumerate(self.layers):
            layer.check_next(self.layers[number + 1 :])
            for stage in layer.bind(self._site(number)):
                self._append(stage)
                self.bound.append((layer, stage))
            self.facts.append(self._facts_of(number))
        reaches = self._chain().reach
        refuse_growth([(reach.phases, reach.step) for reach in reaches])
        self._finish()
        learned = self.bound[0][1].learned if len(self.layers) == 1 else None
        formula = self.model.formula if self.model.adds_input else ""
        layers = tuple(self.facts)
        first = replace(self.done[0], layers=layers, learned=learned, formula=formula)
        return (first, *self.done[1:])

    def _finish(self) -> None:
        """Scale the outputs of the last layer to the values of the signal.

        The outputs of a layer inside the network have no units; they are scaled as pictures are.
        """
        differences = self.model.differences
        if self.model.last is None:
            self.ops += self._normalised("outputs", len(self.place.channels) - differences)
        self.ops += self._scaling(self.signal.full_scale)
        if differences:
            self._add_level()
        if self.model.adds_input:
            self.ops = [self._onto_input()]
        self.done.append(self._stage_up_to(self._result()))

    def _onto_input(self) -> Op:
        """The operation that adds the input of the network to its output.

        Raises RequestError where the output is aligned with other samples or has other channels.
        """
        model, axes = self.model, self.signal.axes
        if self.done:
            text = f"{model.path} adds its input to its output"
            raise RequestError(f"{text}, and a layer sees the whole signal")
        chain = Chain(folded_affine(self.ops), axes)
        same = Chain(self._added_channels(chain.channels(len(self.signal.channels))), axes)
        self._check_keeps_samples(chain)
        sum_of_both = Arithmetic("+", Operand(0), Operand(1))
        try:
            group = Branches.of((same, chain), (sum_of_both,), axes, completed=True)
        except UnequalBranchesError as error:
            message = f"{model.path} adds its input to its output, and its network {error.does}"
            raise RequestError(message) from None
        group = group.with_rules(self.rules.missing, exact=self.signal.medium.exact)
        return replace(group, keeps=self.signal.alpha if self.passed_by else None)

    def _check_keeps_samples(self, chain: Chain) -> None:
        """Raise RequestError if layers that pad do not make an output for each sample."""
        if self.rules.edge == "valid" or self.padding == "chain":
            return
        for axis, reach in enumerate(chain.reach):
            many = CHECKED_LENGTH * reach.phases * reach.step
            lost = many - chain.count(axis, many)
            if lost and reach.phases == reach.step:
                message = f"{self.model.path} adds its input to its output, and its network"
                change = f"shortens the signal by {plural(lost, 'sample')}"
                if lost < 0:
                    change = f"lengthens the signal by {plural(-lost, 'sample')}"
                raise RequestError(f"{message} {change}", hint="a padding= that keeps the length")

    def _added_channels(self, made: int) -> tuple[Op, ...]:
        """The selection of `made` channels that are added to the outputs; none for all."""
        given = self.signal.channels
        columns, targets = self.model.columns, self.model.targets
        if len(targets) == made and len(columns) == len(given) and set(targets) <= set(columns):
            picked = tuple(columns.index(target) for target in targets)
            return (ChannelSelection(selected=picked, axes=self.signal.axes),)
        if made != len(given):
            message = f"{self.model.path} adds its input to its output: {len(given)} channels go in"
            raise RequestError(f"{message} and {made} come out")
        return ()

    def _site(self, number: int) -> LayerSite:
        return LayerSite(
            signal=self.place,
            rules=self.rules,
            tensors=self.model.tensors_of(number),
            lengths=self._lengths(),
            passed_by=self.passed_by,
            copies=self.copies,
            padding=self.padding,
        )

    def _lengths(self) -> tuple[int, ...]:
        """How many samples reach the next layer on each axis; 0 where that is not yet known."""
        if self.rules.edge != "valid":
            return tuple(n or 0 for n in self.place.shape)
        chain = self._chain()
        return tuple(
            0 if n is None else chain.valid_count(axis, n)
            for axis, n in enumerate(self.start.shape)
        )

    def _append(self, stage: Stage) -> None:
        """Append the stage that a layer was bound as."""
        if stage.sees_whole:
            self.done += [self._stage_up_to(self.place), stage]
            self.start = stage.after
            self.ops = []
        self.ops += stage.ops
        self.place = stage.after

    def _facts_of(self, number: int) -> LayerFacts:
        """The facts of the layer that was bound last."""
        return LayerFacts(
            text=self.layers[number].call.text,
            parameters=self.model.tensors_of(number).parameters,
            channels=len(self.place.channels) - (self.passed_by is not None),
            reach=None if self.done else reach_facts(self._chain()),
            size=self.place.shape,
            weights=self.model.tensors_of(number).named.get("weight"),
        )

    def _chain(self) -> Chain:
        return Chain(tuple(self.ops), self.signal.axes)

    def _stage_up_to(self, after: Signal) -> Stage:
        texts = {id(op): layer.call.text for layer, stage in self.bound for op in stage.ops}
        named = [(op, texts.get(id(op), "")) for op in self.ops]
        ops, titles = folded_with_titles(named)
        return Stage(before=self.start, after=after, ops=ops, titles=titles)

    def _result(self) -> Signal:
        """The signal that comes out, with its names, its opacity and its full scale."""
        names = self._names()
        full = self.signal.full_scale
        after = replace(self.place, full_scale=full, channels=names, features=True)
        if self.signal.alpha is not None and names == self.signal.channels:
            after = replace(after, alpha=self.signal.alpha)
        return after


def _in_units(x: Array, mean: FloatArray, unit: FloatArray) -> Array:
    """The samples as differences from the mean of their channel, in its unit."""
    scaled = (x - mean) / unit
    return scaled.astype(x.dtype)


def _out_of_units(x: Array, mean: FloatArray, unit: FloatArray) -> Array:
    """Return samples in the units of the signal, as they were before `_in_units`."""
    samples = x * unit + mean
    return samples.astype(x.dtype)


# ----------------------------------------------------------------------------- a network of changes
# It sees by how much every column changed since the row before, and predicts a change, which is
# added to a level. The level goes past the layers of the network as its last channel.


def changes_of(count: int, level: int) -> ConvOp:
    """The changes of `count` columns since the row before, then the column `level` itself."""
    weights = np.zeros((count + 1, count, 2))
    columns = np.arange(count)
    weights[columns, columns] = -1, 1
    weights[count, level, 1] = 1
    return _causal(weights)


def onto_level() -> ConvOp:
    """The change added to the level that comes beside it."""
    return _causal(np.ones((1, 2, 1)))


def refuse_pools(layers: Iterable[Layer]) -> None:
    """Raise RequestError where a layer would not leave the level as it is."""
    for layer in layers:
        if not layer.keeps_level:
            name = layer.call.name
            message = (
                f"{name} has no place where changes are predicted: "
                "it would take in the level they are added to"
            )
            hint = "conv and activations; conv:8,7,stride=2 makes fewer rows"
            raise layer.call.error(message, hint=hint)


def _causal(weights: FloatArray) -> ConvOp:
    """A layer on rows up to the present one."""
    placement = Placement(before=(weights.shape[-1] - 1,), anchor=(0,), growth=(0,))
    return ConvOp(weights=weights, bias=None, step=(1,), dilation=(1,), at=placement)
