"""The layers of a model bound one after the other, each an operation like any other."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.chain import Chain
from convcli.core.ops import Op, Pointwise
from convcli.core.whole import Reduce
from convcli.designs.learned import ConvLayer, DenseLayer, FlattenLayer, PaddingMode
from convcli.errors import RequestError
from convcli.layers.changes import changes_of, onto_level, refuse_pool
from convcli.layers.conv import Complete, Conv
from convcli.layers.written import bias_of, weights_of, widths_of
from convcli.planning.plan import BoundLayer, BoundStep, bind, signal_after

if TYPE_CHECKING:
    from convcli.designs.learned import Model
    from convcli.designs.registry import Step
    from convcli.layers.written import WrittenLayer
    from convcli.planning.grammar import Call
    from convcli.planning.plan import Rules
    from convcli.signals import Edge, Signal

EDGES: dict[PaddingMode, Edge] = {
    "zeros": "zero",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}
POOLS = ("avg_pool", "sum_pool", "max_pool", "min_pool")


class Network:
    """The layers bound left to right, from a signal to steps."""

    def __init__(
        self,
        model: Model,
        layers: list[WrittenLayer],
        *,
        call: Call,
        step: Step,
        signal: Signal,
        rules: Rules,
    ) -> None:
        self.model, self.layers = model, layers
        self.call, self.step, self.signal, self.rules = call, step, signal, rules
        pads = any(
            isinstance(layer.spec, ConvLayer) and layer.spec.padding is not None for layer in layers
        )
        # Under `valid` nothing outside is ever read, and so nothing padded.
        self.pads = pads and rules.edge != "valid"
        self.as_torch = self.pads and rules.align == "center"
        self.beside, self.copies = self._lanes()
        self.place = self._scaled(signal)
        self.start, self.ops = signal, self._scaling(1 / signal.full_scale)
        self.done: list[BoundStep] = []
        self.told: list[BoundLayer] = []
        if model.on == "differences":
            self._differ()
        self.ops += self._units("inputs", len(signal.channels))

    # --- channels ---

    def _lanes(self) -> tuple[bool, int]:
        """Whether the opacity goes past the network, and how many channels are filtered each by itself."""
        taken, given = self._channels(), len(self.signal.channels)
        colours = given - (self.signal.alpha is not None)
        if taken is None or taken[0] == given:
            return False, 1
        if taken[0] == colours:
            return True, 1
        if taken == (1, 1) and self.signal.alpha in (None, given - 1) and not self._has_dense():
            return self.signal.alpha is not None, colours
        noun = self.signal.medium.channel
        message = f"{self.model.path} takes {taken[0]} {noun}{'s' * (taken[0] != 1)}, and this signal has {given}"
        raise RequestError(message, hint=self._hint(taken[0]))

    def _hint(self, taken: int) -> str | None:
        medium = self.signal.medium
        if taken == 1 and medium.one_channel_hint is not None:
            return medium.one_channel_hint
        return medium.channels_hint

    def _has_dense(self) -> bool:
        return any(isinstance(layer.spec, DenseLayer) for layer in self.layers)

    def _channels(self) -> tuple[int, int] | None:
        """Channels in and out; None where no layer has weights that say so."""
        found = [
            (n, layer.spec)
            for n, layer in enumerate(self.layers)
            if isinstance(layer.spec, ConvLayer)
        ]
        if not found:
            return None
        (first, spec), (last, _) = found[0], found[-1]
        weights = weights_of(self.model, first, self.layers[first], spec, self.signal)
        return weights.shape[1] * spec.groups, len(self.model.tensors[last]["weight"])

    def _scaled(self, signal: Signal) -> Signal:
        """The signal as the network sees it: pictures 0 ... 1, an opacity that it takes in is a channel like others."""
        scale = 1.0 if signal.medium.unit_scale else signal.full_scale
        return replace(signal, full_scale=scale, alpha=signal.alpha if self.beside else None)

    def _scaling(self, factor: float) -> list[Op]:
        if not self.signal.medium.unit_scale or factor == 1:
            return []
        return [Pointwise(function=lambda x: x * np.asarray(factor, x.dtype), axes=2)]

    def _units(self, name: str, count: int) -> list[Op]:
        """From the units of the signal to those that the network was trained in, or back."""
        if not self.model.scaling:
            return []
        pairs = self.model.scaling[name]
        pairs *= self.copies if len(pairs) == 1 else 1
        if len(pairs) != count:
            message = (
                f"{self.model.path} has a scaling of {len(pairs)} {name}, and there are {count}"
            )
            raise RequestError(message, hint=self._hint(count))
        if self.model.on == "differences":
            pairs = (*pairs, (0.0, 1.0))  # the level as it is
        mean, unit = np.array(pairs).T
        if name == "inputs":
            return [
                Pointwise(
                    function=lambda x: ((x - mean) / unit).astype(x.dtype), axes=self.signal.axes
                )
            ]
        return [
            Pointwise(function=lambda x: (x * unit + mean).astype(x.dtype), axes=self.signal.axes)
        ]

    def _differ(self) -> None:
        """Changes take the place of the levels; that to which one is added in the end goes past the network."""
        count = len(self.model.columns)
        if self.signal.axes != 1 or len(self.signal.channels) != count:
            message = f"{self.model.path} predicts changes of a table with {count} column{'s' * (count != 1)}"
            raise RequestError(
                f"{message}, and this has {len(self.signal.channels)}", hint=self._hint(count)
            )
        level = self.model.columns.index(self.model.targets[0])
        self.ops.append(changes_of(len(self.signal.channels), level, self.rules.missing))
        self.beside = True
        names = (*self.place.channels, "level")
        self.place = replace(self.place, channels=names, alpha=len(names) - 1)

    def _add_level(self) -> None:
        made = len(self.place.channels) - 1
        if made != 1:
            raise RequestError(
                f"{self.model.path} predicts the change of one column, and its layers make {made}"
            )
        self.beside = False
        self._append((onto_level(self.rules.missing),))

    # --- layers ---

    def bound(self) -> tuple[BoundStep, ...]:
        """The steps: the layers up to one that sees the whole signal, that one, and so on."""
        for number, layer in enumerate(self.layers):
            if layer.spec is None:
                self._step(layer)
            elif not isinstance(layer.spec, FlattenLayer):
                self._append((self._layer(number, layer, layer.spec),))
            elif not isinstance(self._next(number), DenseLayer):
                raise layer.call.error("flatten stands before dense and nowhere else")
            self.told.append(self._told(number, layer))
        differs = self.model.on == "differences"
        self.ops += self._units("outputs", len(self.place.channels) - differs) + self._scaling(
            self.signal.full_scale
        )
        if differs:
            self._add_level()
        after = replace(
            self.place, full_scale=self.signal.full_scale, channels=self._names(self.place)
        )
        if self.signal.alpha is not None and after.channels == self.signal.channels:
            after = replace(after, alpha=self.signal.alpha)
        self.done.append(self._bound(after))
        return (replace(self.done[0], layers=tuple(self.told)), *self.done[1:])

    def _told(self, number: int, layer: WrittenLayer) -> BoundLayer:
        chain = None if self.done else Chain(tuple(self.ops), self.signal.axes)
        channels = len(self.place.channels) - self.beside
        count = self.model.parameters_of(number)
        return BoundLayer(text=layer.call.text, parameters=count, channels=channels, chain=chain)

    def _next(self, number: int) -> object:
        return self.layers[number + 1].spec if number + 1 < len(self.layers) else None

    def _bound(self, after: Signal) -> BoundStep:
        return BoundStep(
            call=self.call, step=self.step, before=self.start, after=after, ops=tuple(self.ops)
        )

    def _append(self, ops: tuple[Op, ...]) -> None:
        channels = self.place.channels
        for op in ops:
            if isinstance(op, Conv):
                count = op.output_channels(len(channels))
                colours = tuple(str(c + 1) for c in range(count - self.beside))
                channels = (*colours, channels[-1]) if self.beside else colours
        alpha = len(channels) - 1 if self.beside else None
        self.ops += ops
        self.place = replace(signal_after(self.place, ops, None), channels=channels, alpha=alpha)

    def _step(self, layer: WrittenLayer) -> None:
        """A layer that is a step of FILTER: an activation, a pool."""
        if self.model.on == "differences":
            refuse_pool(layer.call)
        bound = bind(layer.call, self.place, self.rules)
        if len(bound) != 1 or bound[0].step.family not in ("pointwise", "downsampling"):
            raise layer.call.error(
                f"{layer.call.name} is no layer", hint="layers are conv, activations and pools"
            )
        (one,) = bound
        if isinstance(one.whole, Reduce):
            self.done += [self._bound(self.place), replace(one, call=self.call)]
            self.start, self.ops, self.place = one.after, [], one.after
        elif one.whole is not None:
            raise layer.call.error(f"{layer.call.name} is no layer")
        else:
            whole_windows = self.as_torch and layer.call.name in POOLS
            self._append(tuple(Complete(op=op) for op in one.ops) if whole_windows else one.ops)

    def _layer(self, number: int, layer: WrittenLayer, spec: ConvLayer | DenseLayer) -> Conv:
        if isinstance(spec, DenseLayer):
            return self._dense(number, layer, spec)
        weights = weights_of(self.model, number, layer, spec, self.signal)
        bias = bias_of(self.model, number, layer, len(weights), spec.bias)
        if self.copies > 1:
            weights = np.tile(weights, (self.copies, *(1,) * (weights.ndim - 1)))
            bias = None if bias is None else np.tile(bias, self.copies)
        groups = spec.groups * self.copies
        given = len(self.place.channels) - self.beside
        if weights.shape[1] * groups != given:
            message = f"{number}.weight takes {weights.shape[1] * spec.groups} channels, and {given} come to it"
            raise layer.call.error(f"{self.model.path}: {message}")
        return Conv(
            weights=weights,
            bias=bias,
            step=spec.stride,
            dilation=spec.dilation,
            groups=groups,
            beside=self.beside,
            missing=self.rules.missing,
            exact=self.signal.medium.exact,
            **self._geometry(layer, spec, widths_of(weights.shape[2:], spec.dilation)),
        )

    def _geometry(
        self, layer: WrittenLayer, spec: ConvLayer, widths: tuple[int, ...]
    ) -> dict[str, Any]:
        """Where the windows of a layer lie, and how it pads."""
        nothing = (0,) * len(widths)
        if self.rules.align == "causal":
            padding = EDGES[spec.padding_mode] if self.pads else None
            if padding in ("wrap", "reflect"):
                raise layer.call.error(
                    f"padding_mode={spec.padding_mode} looks ahead; --align causal does not"
                )
            before = tuple(w - 1 for w in widths)
            return {"before": before, "anchor": nothing, "growth": nothing, "padding": padding}
        middle = tuple((w - 1) // 2 for w in widths)
        if not self.as_torch:
            return {"before": middle, "anchor": nothing, "growth": nothing, "padding": None}
        left = right = spec.padding if isinstance(spec.padding, tuple) else nothing
        if spec.padding == "same":
            left, right = middle, tuple(w // 2 for w in widths)
        return {
            "before": left,
            "anchor": tuple(m - low for m, low in zip(middle, left, strict=True)),
            "growth": tuple(
                low + high + 1 - w for low, high, w in zip(left, right, widths, strict=True)
            ),
            "padding": EDGES[spec.padding_mode],
        }

    def _dense(self, number: int, layer: WrittenLayer, spec: DenseLayer) -> Conv:
        """One number from everything: a window as long as the signal, of which there is one."""
        weights = self.model.tensors[number]["weight"]
        sides, channels = self._sides(), len(self.place.channels)
        if self.beside and self.signal.alpha is None:
            raise layer.call.error("dense has no place for the level that is added to a change")
        if self.beside:
            raise layer.call.error(
                "dense takes colours, and this picture has an opacity", hint="--channels rgb"
            )
        if (
            weights.ndim != 2
            or (spec.out or len(weights)) != len(weights)
            or math.prod(weights.shape[1:]) != (channels * math.prod(sides))
        ):
            came = "x".join(str(n or "?") for n in sides)
            message = f"{number}.weight has the shape {weights.shape}, and {channels} channels of {came} come to it"
            raise layer.call.error(f"{self.model.path}: {message}", hint=self._sizing())
        return Conv(
            weights=weights.reshape(len(weights), channels, *sides),
            bias=bias_of(self.model, number, layer, len(weights), spec.bias),
            step=(1,) * len(sides),
            dilation=(1,) * len(sides),
            before=(0,) * len(sides),
            anchor=tuple(n - 1 if self.rules.align == "causal" else (n - 1) // 2 for n in sides),
            growth=tuple(1 - n for n in sides),
            missing=self.rules.missing,
            exact=self.signal.medium.exact,
        )

    def _sides(self) -> tuple[int, ...]:
        """How many samples come to a layer on each axis, 0 where that is not known beforehand."""
        if self.rules.edge != "valid":
            return tuple(n or 0 for n in self.place.shape)
        chain = Chain(tuple(self.ops), self.signal.axes)
        return tuple(
            0 if n is None else chain.valid_count(axis, n)
            for axis, n in enumerate(self.start.shape)
        )

    def _sizing(self) -> str:
        """What makes as many samples as a dense layer expects."""
        if self.pads or self.rules.edge == "valid":
            return "an adaptive or global pool fixes the size"
        return "--edge valid: as torch, without padding; or an adaptive or global pool, which fixes the size"

    def _names(self, place: Signal) -> tuple[str, ...]:
        """What the channels that come out are called."""
        count = len(place.channels)
        if count == len(self.signal.channels):
            return self.signal.channels
        if len(self.model.targets) == count:
            return self.model.targets
        colours = count - self.beside
        names = self.signal.medium.names_of(colours)
        return (*names, "A") if self.beside else names
