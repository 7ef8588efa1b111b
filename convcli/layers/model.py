"""The content of a model file, `Model`: the text of its layers, their tensors, how it was learned.

A model is checked against its layers and against the signal; `network_binder.py` then binds it.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Literal

from convcli.core.chain import Chain
from convcli.dataclass import dataclass
from convcli.errors import RequestError, named_first, quoted_text
from convcli.facts import LayerFacts
from convcli.layers.layer import LayerTensors, read_layers
from convcli.layers.network_binder import NetworkBinder, known_channels
from convcli.layers.tensor_names import parse_layers
from convcli.planning.describe import reach_facts
from convcli.signals import ARRAY, LearnedRules, Signal
from convcli.units import describe_rate, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from convcli.core.binding import Site, Stage
    from convcli.layers.layer import Layer
    from convcli.layers.onnx.writer import ExportedGraph
    from convcli.layers.weights import Tensor
    from convcli.signals import Align

On = Literal["levels", "differences"]

# How the task of a dense layer, which is not a filter, begins in the metadata of its file.
DENSE_TASK = "stretches"
# Sample axes of the media that a model may have been learned from, and what such signals are
# called.
ORIGINS = {"audio": (1, "sound"), "table": (1, "tables"), "image": (2, "pictures")}


@dataclass(frozen=True, kw_only=True)
class Model:
    """A learned filter or network, as its file says.

    path : of the file; layers : as written, `conv:stride=2 | relu | conv`
    tensors : `weight` and `bias` by the number of their layer, counted as torch.nn.Sequential does
    rate, cycle, medium, targets : of the signal that it was learned from, where the file says so
    learned : how it was learned, where the file says so
    on : whether it sees the columns as they are, or their changes, and answers with the change of
        the target
    scaling : mean and unit of each channel that comes in (`inputs`) and goes out (`outputs`), if
        the network works on (x - mean) / unit
    residual : whether the input is added to what the layers make
    about : all texts of the file
    last : number of the last layer that runs, counted from 0; None for all
    guessed : what follows from names and shapes of the tensors alone, in words; empty if the file
        says everything
    unused : names of tensors that belong to none of the layers
    """

    path: str
    layers: str
    tensors: Mapping[int, Mapping[str, Tensor]]
    rate: float | None = None
    cycle: float = 1.0
    medium: str | None = None
    learned: LearnedRules = field(default_factory=LearnedRules)
    targets: tuple[str, ...] = ()
    scaling: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    on: On = "levels"
    residual: bool = False
    about: Mapping[str, str] = field(default_factory=dict)
    last: int | None = None
    guessed: str = ""
    unused: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the table that it was learned from."""
        return self.learned.columns

    @property
    def differences(self) -> bool:
        """Whether the network sees changes and predicts a change."""
        return self.on == "differences"

    @property
    def adds_input(self) -> bool:
        """Whether the input is added to what comes out; it is not to what lies inside."""
        return self.residual and self.last is None

    @property
    def formula(self) -> str:
        """The layers, and the input where it is added to what they make."""
        return f"x + ({self.layers})" if self.adds_input else self.layers

    @property
    def parameters(self) -> int:
        """How many numbers were learned."""
        return sum(self.tensors_of(number).parameters for number in self.tensors)

    def tensors_of(self, number: int) -> LayerTensors:
        """The tensors of the layer of this number."""
        return LayerTensors(self.path, number, self.tensors.get(number, {}))

    def up_to(self, last: int) -> Model:
        """The model of which the layer of this number, counted from 0, is the last one that runs.

        Raises RequestError for a number of no layer.
        """
        count = len(parse_layers(self.layers))
        if not 0 <= last < count:
            message = f"upto={last}: {self.path} has {count} layers, counted from 0"
            raise RequestError(message, hint=f"upto={count - 1} is the last one")
        if last == count - 1:
            return self
        if self.differences:
            message = f"{self.path} predicts changes, and its layers carry the level beside them"
            raise RequestError(message, hint="leave upto= out")
        return replace(self, last=last, targets=())

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return the stages: one, or more where a layer must see the whole signal first."""
        self._check_origin(site.signal)
        layers = read_layers(self.layers, site.signal)
        self._check_tensors(layers)
        if self.last is not None:
            layers = layers[: self.last + 1]
        stages = self._filter_stage(layers, site)
        if stages is None:
            stages = NetworkBinder(self, layers, site).stages()
        first = replace(stages[0], remark=self._remark(), notices=tuple(self._notices(site)))
        return (first, *stages[1:])

    @property
    def _planar(self) -> bool:
        """Whether the weights of some layer have two sample axes."""
        shapes = (tensor.ndim for named in self.tensors.values() for tensor in named.values())
        return max(shapes) > 3

    def exported(self, align: Align) -> ExportedGraph:
        """An ONNX file that computes the model.

        Raises RequestError where ONNX has no node for it.
        """
        from convcli.layers.onnx.export import exported_model

        return exported_model(self, align)

    def signal(self) -> Signal:
        """A signal of unknown length such as the model takes.

        It serves for looking at the model without a file to filter.
        """
        shape: tuple[int | None, ...] = (None,)
        if self._planar:
            shape = (256, 256)
        signal = Signal(
            medium=ARRAY, shape=shape, channels=("1",), rate=self.rate, cycle=self.cycle
        )
        layers = read_layers(self.layers, signal)
        self._check_tensors(layers)
        known = known_channels(self, layers)
        count = 1
        if known is not None:
            count = known[0]
        else:
            weight = self.tensors_of(min(self.tensors)).named.get("weight")
            if weight is not None and weight.ndim > 1:
                count = weight.shape[1]
        if len(self.columns) == count:
            return replace(signal, channels=self.columns)
        names = tuple(str(number) for number in range(1, count + 1))
        return replace(signal, channels=names)

    def _filter_stage(self, layers: list[Layer], site: Site) -> tuple[Stage, ...] | None:
        """The stage of a model that is nothing but one filter; None of any other."""
        if self.scaling or self.differences or self.residual or len(layers) != 1:
            return None
        kernel = layers[0].kernel(self.tensors_of(0))
        if kernel is None:
            return None
        (stage,) = kernel.bind(site)
        facts = LayerFacts(
            text=layers[0].call.text,
            parameters=self.parameters,
            channels=1,
            reach=reach_facts(Chain(stage.ops, site.signal.axes)),
            size=stage.after.shape,
            weights=self.tensors_of(0).named.get("weight"),
        )
        return (replace(stage, layers=(facts,)),)

    def _remark(self) -> str:
        text = f"{self.formula}, {plural(self.parameters, 'parameter')}"
        ahead = self.about.get("ahead")
        if ahead is not None:
            text += f"; {ahead[:9]} ahead"
        if self.differences:
            text += f"; of changes, added to {self.targets[0]}"
        return text

    def _notices(self, site: Site) -> Iterator[str]:
        """Notices where the run differs from how the model was learned, or follows it."""
        rules, medium = site.rules, site.signal.medium
        learned = self.learned
        if self.guessed:
            yield f"{self.path} does not say {self.guessed}; it runs as {self.layers}"
        if self.unused:
            names = named_first([quoted_text(name)[1:-1] for name in self.unused])
            yield f"{self.path}: no layer uses {names}"
        if learned.align is not None and learned.align != rules.align:
            yield (
                f"{self.path} was learned with --align {learned.align} "
                f"and runs with --align {rules.align}"
            )
        elif learned.align is not None and learned.align != medium.align:
            reads = ", and so reads later rows" if medium.carries_cells else ""
            yield f"{self.path} runs with --align {learned.align}, as it was learned{reads}"
        if learned.missing not in {None, rules.missing}:
            yield (
                f"{self.path} was learned with --missing {learned.missing} "
                f"and runs with --missing {rules.missing}"
            )
        others = learned.columns and learned.columns != site.signal.channels
        if others and medium.separate_channels:
            wanted = named_first(learned.columns)
            given = named_first(site.signal.channels)
            yield f"{self.path} was learned from the columns {wanted} and runs on {given}"

    # --- checks ---

    def _check_origin(self, signal: Signal) -> None:
        """Refuse a signal of other axes or another rate than the model was learned from."""
        task = self.about.get("task", "")
        if task.startswith(DENSE_TASK):
            what = f"has one weight for each pair of positions in {task}"
            message = f"{self.path} {what}, and is not a filter"
            hint = "what convcli learn makes without --layers dense is one"
            raise RequestError(message, hint=hint)
        self._check_axes(signal)
        self._check_rate(signal)

    def _check_axes(self, signal: Signal) -> None:
        # Of arrays, which may have any number of axes, nothing is known.
        axes, things = ORIGINS.get(self.medium or "", (signal.axes, ""))
        if axes != signal.axes:
            message = f"{self.path} was learned from {things}, and this is {signal.medium.thing}"
            raise RequestError(message)

    def _check_rate(self, signal: Signal) -> None:
        if self.rate is None or signal.rate is None:
            return
        if abs(self.rate - signal.rate) <= 1e-6 * self.rate:
            return
        learned, given = (
            describe_rate(rate, signal.medium.sample) for rate in (self.rate, signal.rate)
        )
        message = f"{self.path} was learned from a signal with {learned}, and this one has {given}"
        hint = None
        if signal.medium.in_seconds:
            hint = f"'resample:{self.rate:g} | model:{self.path}'"
        elif signal.medium.carries_cells:
            hint = "without --time, rows are taken in their order"
        raise RequestError(message, hint=hint)

    def _check_tensors(self, layers: list[Layer]) -> None:
        """Every layer that needs weights has them, and no other has."""
        for number, layer in enumerate(layers):
            name = f"{number}.weight"
            if layer.weighted and number not in self.tensors:
                known = named_first([f"{n}.weight" for n in self.tensors])
                raise layer.call.error(f"{self.path} has no {name} for this layer; it has {known}")
            if not layer.weighted and number in self.tensors:
                message = f"{self.path} has {name}, but layer {number} is {layer.call.name}"
                raise layer.call.error(message)
        beyond = [number for number in self.tensors if number >= len(layers)]
        if beyond:
            known = named_first([layer.call.text for layer in layers])
            there = f"there are only {len(layers)} layers: {known}"
            message = f"{self.path} has {beyond[0]}.weight, but {there}"
            hint = "layers are counted from 0, activations and pools included"
            raise RequestError(message, hint=hint)
