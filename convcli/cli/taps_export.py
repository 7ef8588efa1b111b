"""Taps and models that `convcli filters` writes to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convcli.cli import options, print_message
from convcli.cli.design_options import DesignOptions, first_model
from convcli.cli.results import refuse_plot, refuse_report, refuse_shared_places
from convcli.dataclass import dataclass
from convcli.errors import RequestError, shell_word
from convcli.places import path_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import FloatArray
    from convcli.places import Place
    from convcli.planning.plan import BoundStep


# The suffix of a network, or of a filter as one.
ONNX = ".onnx"


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The files that the taps are written to, and that the responses are drawn into."""

    export: Annotated[
        Path | None,
        typer.Option(
            parser=path_of,
            metavar="FILE",
            help="Write the taps of a step or of a whole chain to FILE.csv, .npy, .wav or "
            ".json; or a model or filter to FILE.onnx.",
        ),
    ] = None
    report: options.Report = None
    plot: options.Plot = None
    force: options.Force = False

    def check_places(self, steps: Sequence[str]) -> None:
        """Refuse files that cannot be written, or that nothing would be written into."""
        places: dict[str, Place | None] = {
            "--export": self.export,
            "--plot": self.plot,
            "--report": self.report,
        }
        for option, place in places.items():
            # A report without a step is about all of them.
            if place is not None and not steps and option != "--report":
                example = f"convcli filters lowpass:0.1 {option} {shell_word(place)}"
                raise RequestError(f"{option} needs a step", hint=example)
        if self.export is not None and len(steps) > 1:
            raise RequestError("--export takes one step or chain", hint="'box:3 | box:3' is one")
        if self.export is not None:
            self._check_export(self.export)
        refuse_plot(self.plot, [], force=self.force)
        refuse_report(self.report, [], force=self.force)
        refuse_shared_places(places)

    def _check_export(self, path: Path) -> None:
        """Refuse a file in no known format or in no folder, or one that exists."""
        from convcli.media.refusals import refuse_missing_parent
        from convcli.planning.export import EXPORTS

        refuse_missing_parent(path)
        known = (*EXPORTS, ONNX)
        if path.suffix.lower() not in known:
            raise RequestError(f"expected taps in a file named {', '.join(known)}, got {path}")
        if path.exists() and not self.force:
            raise RequestError(f"the output {path} exists already", hint="--force replaces it")


def export_design(
    text: str, bound: tuple[BoundStep, ...], design: DesignOptions, path: Path
) -> None:
    """Write a FILTER that was designed to a file, in the format that its suffix names."""
    if path.suffix.lower() == ONNX:
        _export_graph(text, bound, design, path)
    else:
        _export_taps(bound, path)


def _export_taps(bound: tuple[BoundStep, ...], path: Path) -> None:
    """Write the taps of a step or of a chain, and print what the file does not hold."""
    from convcli.media.replacing import atomic
    from convcli.planning.export import export_taps
    from convcli.planning.taps_of_steps import bias_of

    weights = _exported_weights(bound)
    step = bound[0]
    with atomic(path) as place:
        export_taps(weights, place, path.suffix.lower(), rate=step.before.rate)
    if weights.ndim > step.before.axes:
        print_message(f"{path} has a row for each output and each input of that", kind="note")
    bias = bias_of(step)
    if bias is not None:
        values = ", ".join(f"{value:.6g}" for value in bias)
        print_message(f"the bias is not among the taps: offset:{values}", kind="note")


def _export_graph(
    text: str, bound: tuple[BoundStep, ...], design: DesignOptions, path: Path
) -> None:
    """Write a model, or the taps of a step or chain, as an ONNX file."""
    from convcli.layers.onnx.export import exported_taps
    from convcli.media.replacing import atomic

    step = bound[0]
    model = first_model(text) if step.step.runs_model else None
    if model is None:
        graph = exported_taps(_exported_weights(bound), design.align)
    elif bound[-1].call is not step.call:
        raise RequestError("a model is exported alone", hint=f"'{step.call.text}'")
    else:
        upto = step.values["upto"]
        if upto is not None:
            model = model.up_to(upto)
        align = design.align or model.learned.align
        graph = model.exported("causal" if align == "causal" else "center")
    with atomic(path) as place:
        place.write_bytes(graph.content)
    print_message(f"{path} computes {graph.description}", kind="note")


def _exported_weights(bound: tuple[BoundStep, ...]) -> FloatArray:
    """The taps of a single step, or those of a chain of convolutions as one."""
    from convcli.planning.taps_of_steps import chain_taps, weights_of

    step = bound[0]
    if len(bound) > 1 and bound[-1].call is not step.call:
        return chain_taps(bound)
    weights = weights_of(step) if len(bound) == 1 else None
    if weights is None or weights.ndim > 2:
        hint = None
        if len(bound) > 1 or step.stage.network:
            hint = "a network of several layers has no taps of its own"
        raise RequestError("only a filter with one set of taps can be exported", hint=hint)
    return weights
