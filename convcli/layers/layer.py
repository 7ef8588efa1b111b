"""What all layers of a network have in common, and the registry of their kinds.

A kind of layer is a class, registered by `@layer` under the names that it is written with. Its
fields are the grammar of its text form, `conv:8,7,stride=2`. It says which tensors a model file has
for it, which operations it becomes at its place in a network, and how those are trained. Adding a
kind means adding a module to `MODULES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from convcli.core.binding import Rules, Site
from convcli.dataclass import dataclass
from convcli.designs.registry import Step
from convcli.errors import RequestError
from convcli.layers.tensor_names import parse_layers
from convcli.layers.training.trained import trained_form
from convcli.planning.arguments import arguments_of
from convcli.planning.calls import Call
from convcli.planning.plan import bind
from convcli.signals import Signal
from convcli.units import UnitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from convcli.core.binding import Stage
    from convcli.core.kernel import Kernel
    from convcli.core.op import Op
    from convcli.layers.onnx.writer import ExportPlace
    from convcli.layers.training.trained import TrainedLayer
    from convcli.layers.weights import Tensor

# In the order in which layers that can be trained are listed.
MODULES = (
    "convcli.layers.conv",
    "convcli.layers.conv_transpose",
    "convcli.layers.activation",
    "convcli.layers.pool",
    "convcli.layers.per_channel",
    "convcli.layers.pad",
    "convcli.layers.shuffle",
    "convcli.layers.upsample",
    "convcli.layers.dense",
)

# Planning takes time that grows with the square of the layers: a second for this many.
MOST_LAYERS = 1000

# A shape of which some sides are not known.
Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class LayerTensors:
    """The tensors that a model file has for one layer.

    path : of the file; number : of the layer, counted from 0
    named : `weight`, `bias`, `running_mean` and `running_var`; empty for a layer without
    """

    path: str
    number: int
    named: Mapping[str, Tensor]

    @property
    def weight(self) -> Tensor:
        """The tensor that the file calls `weight`."""
        return self.named["weight"]

    @property
    def bias(self) -> Tensor | None:
        """The constants that are added, one for each output channel; None if the file has none."""
        return self.named.get("bias")

    @property
    def parameters(self) -> int:
        """How many numbers were learned."""
        return sum(tensor.size for tensor in self.named.values())

    @property
    def found(self) -> str:
        """The shape of the weights, for a message."""
        return f"{self.path}: {self.number}.weight has the shape {self.weight.shape}"


@dataclass(frozen=True, kw_only=True)
class LayerSite(Site):
    """The place of a layer in a network.

    tensors : what the model file has for it
    lengths : samples on each axis that reach the layer, 0 where that is not known beforehand
    passed_by : what the last channel is, if it goes past the layers unchanged; None if it does not
    copies : how many channels are filtered by the same weights, each by itself
    padding : who extends the input at the ends of the signal: the chain by its edge rule, or each
        layer its own, as torch does, or all of it before the signal (causal)
    """

    tensors: LayerTensors
    lengths: tuple[int, ...]
    passed_by: Literal["opacity", "level"] | None = None
    copies: int = 1
    padding: Literal["chain", "torch", "causal"] = "chain"

    @property
    def channels(self) -> int:
        """How many channels the layer gets."""
        return len(self.signal.channels) - (self.passed_by is not None)

    def stage(self, *ops: Op, kernels: tuple[Kernel, ...] = ()) -> Stage:
        """The operations at this place; a channel that goes past them stays the last one."""
        stage = super().stage(*ops, kernels=kernels)
        if self.passed_by is None:
            return stage
        last = len(stage.after.channels) - 1
        return replace(stage, after=replace(stage.after, alpha=last))


@dataclass(frozen=True, kw_only=True)
class Layer(ABC):
    """A layer as written.

    call : its text; signal : what the network gets, for the number of sample axes
    """

    call: Call
    signal: Signal

    # How the layer is written, for hints.
    example: ClassVar[str] = ""
    # Whether the model file has tensors for the layer.
    weighted: ClassVar[bool] = False
    # Whether each output is made of every sample of every channel.
    takes_everything: ClassVar[bool] = False
    # Whether `convcli learn` can train the layer, and why not.
    trainable: ClassVar[bool] = False
    untrainable_hint: ClassVar[str | None] = None
    # Whether there are more outputs than inputs, which have phases between them.
    upsamples: ClassVar[bool] = False
    # Whether a level, which goes past the layers of a network of changes, keeps its place in time.
    keeps_level: ClassVar[bool] = True

    @classmethod
    def read(cls, call: Call, signal: Signal) -> Self:
        """The layer that `call` says. RequestError points at what is wrong."""
        values, _ = arguments_of(call, _grammar(cls, call.name), signal)
        try:
            return cls(**values, call=call, signal=signal)
        except UnitError as error:
            raise call.error(f"{call.name}: {error}") from None

    @property
    def pads(self) -> bool:
        """Whether the layer is written with a padding of its own."""
        return False

    def channels(self, tensors: LayerTensors) -> tuple[int, int] | None:
        """Channels that go in and come out by the weights; None where they do not say."""
        return None

    def channels_before(self, made: int) -> int:
        """Count the channels that go into a layer without weights that makes `made` of them."""
        return made

    def channels_after(self, given: int) -> int:
        """Count the channels that a layer without weights makes of `given`."""
        return given

    @abstractmethod
    def bind(self, site: LayerSite) -> tuple[Stage, ...]:
        """Return the stages at a place. RequestError where layer, tensors and signal do not fit."""

    def check_next(self, following: list[Layer]) -> None:
        """Raise RequestError where the layer must not come before those that follow."""

    def kernel(self, tensors: LayerTensors) -> Kernel | None:
        """The taps of a layer that is nothing but a filter without a bias; None if it is more."""
        return None

    def untrained(self, channels: int) -> dict[str, Tensor]:
        """The tensors of a layer that gets `channels` channels, all 0.

        Raises RequestError where the text says too little.
        """
        return {}

    def export(self, place: ExportPlace) -> None:
        """Add the nodes of the layer to an ONNX graph. RequestError where ONNX has none."""
        raise self.call.error(f"{self.call.name} has no node in ONNX")

    def trained(self, ops: tuple[Op, ...]) -> tuple[TrainedLayer, ...]:
        """How the operations that the layer became are trained.

        ops : the operations of the layer in a network whose weights are 0
        """
        found = [trained_form(op) for op in ops]
        return tuple(trained for trained in found if trained is not None)


def fits_declared(shape: tuple[int, ...], declared: Shape) -> bool:
    """Whether weights have the shape that a layer declares, which may leave sides open."""
    if len(shape) != len(declared):
        return False
    sides = zip(declared, shape, strict=True)
    return all(wanted in {None, given} for wanted, given in sides)


@dataclass(frozen=True, kw_only=True)
class WeightedLayer(Layer):
    """A layer with weights. `bias` : whether it has a bias too; None: the model file says so."""

    bias: bool | None = None

    weighted: ClassVar[bool] = True

    def weights_and_bias(
        self, tensors: LayerTensors, declared: Shape, mismatch: RequestError
    ) -> tuple[Tensor, Tensor | None]:
        """The weights and the bias, (out,), checked against what the text declares.

        declared : shape of the weights, None where the text leaves a side open
        mismatch : raised where the weights have another shape; a wrong bias is a RequestError too
        """
        shape = tensors.weight.shape
        if not fits_declared(shape, declared):
            raise mismatch
        return tensors.weight, self.bias_of(tensors, shape[0])

    def bias_of(self, tensors: LayerTensors, out: int) -> Tensor | None:
        """The bias, (out,), if there is one. RequestError if the text or its shape is wrong."""
        stored = tensors.bias
        name = f"{tensors.number}.bias"
        if self.bias is not None and self.bias != (stored is not None):
            found = "no" if self.bias else "a"
            raise self.call.error(f"{tensors.path} has {found} {name}")
        if stored is None:
            return None
        # Equinox keeps it as (out, 1) or (out, 1, 1).
        if stored.size != out or stored.shape[:1] != (out,):
            message = f"{tensors.path}: {name} has the shape {stored.shape}, expected ({out},)"
            raise self.call.error(message)
        return stored.reshape(out)


@dataclass(frozen=True, kw_only=True)
class StepLayer(Layer):
    """A layer that is a step of FILTER: an activation, a pool, a gain."""

    @classmethod
    def read(cls, call: Call, signal: Signal) -> Self:
        """The layer that `call` says; the step reads its own arguments where it is bound."""
        return cls(call=call, signal=signal)

    def bind(self, site: LayerSite) -> tuple[Stage, ...]:
        """Return the stages of the step."""
        bound = bind(self.call, site.signal, site.rules)
        hint = f"layers are {', '.join(layer_kinds())} and other activations and pools"
        if len(bound) != 1 or not bound[0].step.traits.layers:
            raise self.call.error(f"{self.call.title} is not a layer", hint=hint)
        stage = bound[0].stage
        if stage.measures:
            raise self.call.error(f"{self.call.title} is not a layer")
        return (stage,)

    def export(self, place: ExportPlace) -> None:
        """Add the node of a function of each sample."""
        from convcli.layers.onnx.functions import FUNCTIONS

        rules = Rules(edge="valid", align="center")
        (bound,) = bind(self.call, self.signal, rules)
        if bound.step.name not in FUNCTIONS:
            super().export(place)
        FUNCTIONS[bound.step.name](place.graph, bound.values)


@cache
def _grammar(kind: type[Layer], name: str) -> Step:
    """The fields of a kind of layer, read as the parameters of a step."""
    return Step(name, (), "learned", kind.example, kind, listed=False)


_KINDS: dict[str, type[Layer]] = {}


def layer(*names: str) -> Callable[[type[Layer]], type[Layer]]:
    """Register a class as the kind of the layers that are written with these names."""

    def enter(kind: type[Layer]) -> type[Layer]:
        _KINDS.update(dict.fromkeys(names, kind))
        return kind

    return enter


def layer_kinds() -> Mapping[str, type[Layer]]:
    """Every kind of layer by the names that it is written with; any other layer is a plain step."""
    for module in MODULES:
        import_module(module)
    return _KINDS


def read_layers(text: str, signal: Signal) -> list[Layer]:
    """The layers of `conv:8,7 | relu | conv:1,5`. RequestError points at what is wrong."""
    kinds = layer_kinds()
    named = parse_layers(text)
    if len(named) > MOST_LAYERS:
        message = f"a network of {len(named):,} layers; at most {MOST_LAYERS:,} are run"
        raise RequestError(message)
    calls = [layer.call for layer in named]
    return [kinds.get(call.name, StepLayer).read(call, signal) for call in calls]
