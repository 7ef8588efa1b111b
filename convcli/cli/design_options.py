"""The signal that `convcli filters` designs steps for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from convcli.cli import options
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.named_files import named_place
from convcli.signals import Align

if TYPE_CHECKING:
    from convcli.layers.model import Model
    from convcli.layers.onnx.model import OnnxModel
    from convcli.planning.plan import BoundStep
    from convcli.signals import Signal


@dataclass(frozen=True, kw_only=True)
class DesignOptions:
    """The signal that a step is designed for."""

    rate: Annotated[str | None, typer.Option(help="Samples per second: 44100, 16k.")] = None
    align: Annotated[
        Align | None, options.align_option("center; for a model as it was learned")
    ] = None

    def bind(self, text: str) -> tuple[BoundStep, ...]:
        """Design the steps of a FILTER."""
        from convcli.core.binding import Rules
        from convcli.planning.plan import make_plan

        try:
            signal, align = self._signal(text)
            rules = Rules(edge="zero", align="causal" if align == "causal" else "center")
            return make_plan(text, signal, rules).steps
        except RequestError as error:
            if self.rate is not None or "cycles" not in error.message:
                raise
            hint = "frequencies in Hz need --rate, such as --rate 44100"
            raise error.reworded(error.message, hint) from error.__cause__

    def _signal(self, text: str) -> tuple[Signal, str | None]:
        """Choose a signal that suits the steps, and the alignment."""
        from convcli.media.images.medium import IMAGE
        from convcli.signals import ARRAY, Signal

        model = first_model(text)
        if model is not None:
            return model.signal(), self.align or model.learned.align
        if _is_for_pictures(text):
            signal = Signal(medium=IMAGE, shape=(256, 256), channels=("grey",), full_scale=255.0)
        else:
            rate = self._samples_per_second()
            signal = Signal(medium=ARRAY, shape=(None,), channels=("1",), rate=rate)
        return signal, self.align

    def _samples_per_second(self) -> float | None:
        from convcli.units import UnitError, to_rate

        if self.rate is None:
            return None
        try:
            return to_rate(self.rate)
        except UnitError as error:
            raise RequestError(f"--rate {error}") from None


def first_model(text: str) -> Model | OnnxModel | None:
    """Read the model that a FILTER begins with. It knows its channels, rate and alignment."""
    from convcli.designs import find
    from convcli.planning.grammar import parse

    for call in parse(text)[0].with_nested():
        path = call.path
        if path is None or not find(call.name).runs_model:
            continue
        layers = [argument.text for argument in call.arguments if argument.key == "layers"]
        from convcli.layers.model_reader import read_model

        return read_model(named_place(path), layers="".join(layers))
    return None


def _is_for_pictures(text: str) -> bool:
    """Whether a step works on pictures alone, or its values have two axes."""
    from convcli.designs import find
    from convcli.planning.grammar import parse

    for written in parse(text):
        for call in written.with_nested():
            if find(call.name).needs_picture:
                return True
            if any(argument.row or argument.key == "axis" for argument in call.arguments):
                return True
    return False
